//! How many failures an offender has, and when that is too many.
//!
//! A tally counts within `findtime` and answers once per offender, who is then forgotten. It neither reads the clock
//! (failures carry the time of their log line) nor knows what a ban is. It is bounded, however many addresses an
//! attacker has.

mod known;

use std::collections::HashSet;

use indexmap::IndexMap;

pub use known::{Known, known};

use crate::failure::{Data, keep_last, size};
use crate::{Failure, Id, MatchedLine, Ticket, Timestamp};

/// What the administrator set.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How many failures are too many. 0 and less mean the first one is.
    pub maxretry: i64,
    /// Within how many seconds.
    pub findtime: f64,
    /// How many of an offender's last lines are kept. Fail2ban keeps those of the very first failure whatever their
    /// number, and so do we: verdicts and `<matches>` must agree.
    pub maxmatches: usize,
    /// How many offenders are counted at the same time, at least 1.
    pub identities: usize,
    /// How many bytes of log lines and of what was captured from them are kept for all offenders together.
    pub bytes: usize,
}

impl Default for Settings {
    /// Fail2ban's defaults; 100,000 identities and 64 MiB of lines.
    fn default() -> Self {
        Settings { maxretry: 3, findtime: 600.0, maxmatches: 5, identities: 100_000, bytes: 64 << 20 }
    }
}

/// What was given up because a bound was reached. Counted, never silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Offenders who were forgotten, with their count, though their time was not over.
    pub identities: u64,
    /// Offenders whose lines and captures were forgotten; they are counted on.
    pub lines: u64,
}

/// Counts failures and reports whoever reached `maxretry`.
///
/// Fail2ban's window is not a sliding list. Where the first failure is older than `findtime`, the count so far is
/// taken as a rate and scaled down to `findtime` (rounded half to even), and the first failure is moved to the
/// beginning of the window. So old failures fade instead of falling out one by one.
///
/// At the bound of [`Settings::identities`] the 64th part with the oldest last failure is forgotten; at the bound of
/// [`Settings::bytes`] those whose first failure came first lose their lines, down to three quarters of it.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    settings: Settings,
    offenders: IndexMap<Id, Offender>,
    bytes: usize,
    total: u64,
    dropped: Dropped,
    /// Whose count is another since the changes were last asked for, where somebody asks.
    changed: Option<HashSet<Id>>,
}

/// Where one offender stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    /// The address, when the identity is not the address itself.
    pub ip: Option<Id>,
    /// The first failure; later ones fade into the beginning of the window.
    pub first: Timestamp,
    /// The last one.
    pub last: Timestamp,
    /// The count. Python keeps an integer or a float here; up to 2^53 they count alike.
    pub retry: f64,
    /// How many failures there were, faded ones too.
    pub failures: u32,
    /// Their last lines.
    pub matches: Vec<MatchedLine>,
    /// What the first one captured.
    pub data: Data,
}

/// Who has another count than before: none, when nobody counts them any more.
pub type Changes = Vec<(Id, Option<Counted>)>;

#[derive(Clone, Debug)]
struct Offender {
    counted: Counted,
    bytes: usize,
}

impl Tally {
    /// An empty tally.
    pub fn new(settings: Settings) -> Self {
        Tally { settings, ..Tally::default() }
    }

    /// What is set now.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The settings, to be changed; they count from the next failure on. Nobody's count is touched.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Adds one failure that weighs `attempts` (1 for a log line, the number of lines for `set J attempt`). Returns the
    /// offender's ticket when this one was the last straw, and forgets it.
    pub fn failed(&mut self, failure: Failure, attempts: f64) -> Option<Ticket> {
        self.total += 1;
        let id = failure.id.clone();
        let added = if let Some(offender) = self.offenders.get_mut(&id) {
            let before = offender.bytes;
            offender.again(failure, attempts, &self.settings);
            offender.bytes as isize - before as isize
        } else {
            self.make_room();
            let offender = Offender::new(failure, attempts);
            let bytes = offender.bytes as isize;
            self.offenders.insert(id.clone(), offender);
            bytes
        };
        self.bytes = self.bytes.saturating_add_signed(added);
        self.note(&id);
        let ticket = self.ticket_if_too_many(&id);
        self.make_room_for_lines();
        ticket
    }

    /// Notes from now on whose count changes, for [`changes`](Self::changes). Whoever asks for that has to take them, for they
    /// are kept until then.
    pub fn note_changes(&mut self) {
        self.changed.get_or_insert_default();
    }

    /// How many counts have changed since they were last taken.
    pub fn changed(&self) -> usize {
        self.changed.as_ref().map_or(0, HashSet::len)
    }

    /// Whose count has changed since this was last asked, and what it is now.
    pub fn changes(&mut self) -> Changes {
        let changed = self.changed.as_mut().map(std::mem::take).unwrap_or_default();
        let now = |id: Id| {
            let counted = self.offenders.get(&id).map(|offender| offender.counted.clone());
            (id, counted)
        };
        changed.into_iter().map(now).collect()
    }

    /// Goes on counting where a former tally stood. Whoever is known already, or beyond the bound, is passed over.
    pub fn go_on(&mut self, former: impl IntoIterator<Item = (Id, Counted)>) {
        for (id, counted) in former {
            if self.offenders.len() >= self.settings.identities.max(1) || self.offenders.contains_key(&id) {
                continue;
            }
            let bytes = size(&counted.matches, &counted.data);
            self.bytes += bytes;
            self.offenders.insert(id, Offender { counted, bytes });
        }
        self.make_room_for_lines();
    }

    fn note(&mut self, id: &Id) {
        if let Some(changed) = &mut self.changed {
            changed.insert(id.clone());
        }
    }

    /// Adds the extra weight of a failure of a known offender ([`known`]), which was already counted once by
    /// [`failed`](Self::failed). Without effect when that count led to a ticket.
    pub fn failed_again(&mut self, failure: Failure, extra: f64) -> Option<Ticket> {
        if self.offenders.contains_key(&failure.id) { self.failed(failure, extra) } else { None }
    }

    /// Forgets everybody whose last failure is `findtime` ago or longer. Fail2ban does this every five seconds or so;
    /// until it is done, their failures count on (faded).
    pub fn cleanup(&mut self, now: Timestamp) {
        let findtime = self.settings.findtime;
        self.retain(|offender| offender.last.0 > now.0 - findtime);
    }

    /// Forgets one offender; whether it was known.
    pub fn forget(&mut self, id: &Id) -> bool {
        let removed = self.offenders.swap_remove(id);
        if removed.is_some() {
            self.note(id);
        }
        self.bytes -= removed.as_ref().map_or(0, |offender| offender.bytes);
        removed.is_some()
    }

    /// How many offenders are counted now: `Currently failed`.
    pub fn currently_failed(&self) -> usize {
        self.offenders.len()
    }

    /// How many failures there were: `Total failed`. The extra weight of known offenders is one failure each.
    pub fn total_failed(&self) -> u64 {
        self.total
    }

    /// Sets the total, as Fail2ban does at a restart of the jail.
    pub fn set_total_failed(&mut self, total: u64) {
        self.total = total;
    }

    /// The count of an offender: a whole number, unless a known offender's weight made it something else.
    pub fn retry(&self, id: &Id) -> Option<f64> {
        self.offenders.get(id).map(|offender| offender.counted.retry)
    }

    /// What was given up at the bounds so far.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    fn ticket_if_too_many(&mut self, id: &Id) -> Option<Ticket> {
        if self.offenders.get(id)?.counted.retry < self.settings.maxretry as f64 {
            return None;
        }
        let (id, offender) = self.offenders.swap_remove_entry(id)?;
        self.bytes -= offender.bytes;
        let Counted { ip, last, failures, matches, data, .. } = offender.counted;
        Some(Ticket { ip, failures, matches, data, ..Ticket::by_hand(id, last) })
    }

    /// Forgets a batch of the oldest, so that the cost per failure stays small when every one comes from elsewhere.
    fn make_room(&mut self) {
        let bound = self.settings.identities.max(1);
        if self.offenders.len() < bound {
            return;
        }
        let excess = self.offenders.len() - bound + 1 + bound / 64;
        let excess = excess.min(self.offenders.len());
        let mut times: Vec<f64> = self.offenders.values().map(|offender| offender.counted.last.0).collect();
        let (_, &mut limit, _) = times.select_nth_unstable_by(excess - 1, f64::total_cmp);
        let mut left = excess;
        // Those of the limit's own second go as far as there is need, in the order in which they stand.
        let mut at_limit = left - times.iter().filter(|time| **time < limit).count();
        self.retain(|offender| {
            let goes = left > 0 && (offender.last.0 < limit || (offender.last.0 == limit && at_limit > 0));
            if goes {
                left -= 1;
                at_limit -= usize::from(offender.last.0 == limit);
            }
            !goes
        });
        self.dropped.identities += excess as u64;
    }

    fn make_room_for_lines(&mut self) {
        if self.bytes <= self.settings.bytes {
            return;
        }
        let aim = self.settings.bytes / 4 * 3;
        for (id, offender) in self.offenders.iter_mut().filter(|(_, offender)| offender.bytes > 0) {
            if self.bytes <= aim {
                break;
            }
            if let Some(changed) = &mut self.changed {
                changed.insert(id.clone());
            }
            self.bytes -= offender.bytes;
            offender.bytes = 0;
            offender.counted.matches = Vec::new();
            offender.counted.data = Data::new();
            self.dropped.lines += 1;
        }
    }

    fn retain(&mut self, mut stays: impl FnMut(&Counted) -> bool) {
        let (bytes, changed) = (&mut self.bytes, &mut self.changed);
        self.offenders.retain(|id, offender| {
            let stays = stays(&offender.counted);
            if !stays {
                *bytes -= offender.bytes;
                if let Some(changed) = changed {
                    changed.insert(id.clone());
                }
            }
            stays
        });
    }
}

impl Offender {
    fn new(failure: Failure, attempts: f64) -> Self {
        Offender {
            bytes: size(&failure.matches, &failure.data),
            counted: Counted {
                ip: failure.ip,
                first: failure.time,
                last: failure.time,
                retry: attempts,
                failures: 1,
                matches: failure.matches,
                data: failure.data,
            },
        }
    }

    /// One more failure: `data` stays that of the first one, as in Fail2ban.
    fn again(&mut self, failure: Failure, attempts: f64, settings: &Settings) {
        let counted = &mut self.counted;
        if failure.time > counted.last {
            let begin = failure.time.plus(-settings.findtime);
            if counted.first < begin {
                let rate = counted.retry / failure.time.since(counted.first);
                counted.retry = (rate * settings.findtime).round_ties_even();
                counted.first = begin;
            }
            counted.last = failure.time;
        }
        counted.retry += attempts;
        counted.failures = counted.failures.saturating_add(1);
        self.remember(failure.matches, settings.maxmatches);
    }

    /// Fail2ban keeps the first failure's lines in three parts and joins those of the others.
    fn remember(&mut self, lines: Vec<MatchedLine>, maxmatches: usize) {
        let joined =
            lines.into_iter().map(|line| MatchedLine { after: line.line(), ..MatchedLine::default() });
        self.counted.matches.extend(joined);
        keep_last(&mut self.counted.matches, maxmatches);
        self.bytes = size(&self.counted.matches, &self.counted.data);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn failure(id: &str, at: f64) -> Failure {
        let line = |after: String| MatchedLine { before: String::new(), date: "Nov".into(), after };
        Failure {
            id: Id::new(id),
            ip: None,
            time: Timestamp(at),
            matches: vec![line(format!(" {at}"))],
            data: Data::from_iter([("at".to_owned(), at.into())]),
        }
    }

    /// The counts after each failure; 0 with the ticket's failures where it was the last straw.
    fn counts(maxretry: i64, times: &[f64]) -> (Vec<f64>, Option<Ticket>) {
        let mut tally = Tally::new(Settings { maxretry, ..Settings::default() });
        let mut ticket = None;
        let counts = times
            .iter()
            .map(|&at| {
                ticket = tally.failed(failure("a", at), 1.0).or(ticket.take());
                tally.retry(&Id::raw("a")).unwrap_or(0.0)
            })
            .collect();
        (counts, ticket)
    }

    #[test]
    fn the_last_straw_empties_the_count() {
        let (counts, ticket) = counts(5, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(counts, [1.0, 2.0, 3.0, 4.0, 0.0, 1.0]);
        assert_eq!((ticket.as_ref().unwrap().time, ticket.unwrap().failures), (Timestamp(4.0), 5));
    }

    #[test]
    fn old_failures_fade_at_their_average_rate() {
        let every = |seconds: f64| -> Vec<f64> { (0..8).map(|n| f64::from(n) * seconds).collect() };
        assert_eq!(counts(5, &every(150.0)[..5]).0, [1.0, 2.0, 3.0, 4.0, 0.0]);
        assert_eq!(counts(5, &every(151.0)[..5]).0, [1.0, 2.0, 3.0, 4.0, 0.0]);
        assert_eq!(counts(5, &every(200.0)).0, [1.0, 2.0, 3.0, 4.0, 4.0, 4.0, 4.0, 4.0]);
        assert_eq!(counts(3, &every(301.0)[..3]).0, [1.0, 2.0, 0.0]);
        assert_eq!(counts(2, &every(601.0)[..2]).0, [1.0, 0.0]);
        assert_eq!(counts(5, &[0.0, 1.0, 2.0, 3.0, 650.0]).0, [1.0, 2.0, 3.0, 4.0, 0.0]);
        let (counts, ticket) = counts(5, &[0.0, 1.0, 2.0, 3.0, 1200.0, 1201.0, 1202.0]);
        assert_eq!(counts, [1.0, 2.0, 3.0, 4.0, 3.0, 4.0, 0.0]);
        assert_eq!(ticket.unwrap().failures, 7);
    }

    #[test]
    fn cleanup_forgets_at_findtime_and_not_before() {
        let mut tally = Tally::new(Settings { maxretry: 2, ..Settings::default() });
        tally.failed(failure("a", 10.0), 1.0);
        tally.failed(failure("b", 10.5), 1.0);
        tally.cleanup(Timestamp(609.9));
        assert_eq!(tally.currently_failed(), 2);
        tally.cleanup(Timestamp(610.0));
        assert_eq!(tally.currently_failed(), 1);
        assert_eq!(tally.failed(failure("a", 611.0), 1.0), None);
        assert_eq!(tally.total_failed(), 3);
    }

    #[test]
    fn order_of_times_is_irrelevant_when_earlier_and_the_ticket_has_the_latest() {
        let (counts, ticket) = counts(5, &[1000.0, 10.0, 20.0, 30.0, 40.0]);
        assert_eq!((counts, ticket.unwrap().time), (vec![1.0, 2.0, 3.0, 4.0, 0.0], Timestamp(1000.0)));
    }

    #[test]
    fn maxretry_of_one_or_less_takes_the_first() {
        for maxretry in [1, 0, -1] {
            assert_eq!(counts(maxretry, &[0.0, 0.0]).0, [0.0, 0.0]);
        }
    }

    #[test]
    fn the_ticket_has_the_last_lines_and_the_first_data() {
        let (_, ticket) = counts(7, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let ticket = ticket.unwrap();
        let lines: Vec<String> = ticket.matches.iter().map(MatchedLine::line).collect();
        assert_eq!(lines, ["Nov 2", "Nov 3", "Nov 4", "Nov 5", "Nov 6"]);
        assert_eq!(ticket.data["at"], 0.0.into());
        let (_, ticket) = counts(3, &[0.0, 1.0, 2.0]);
        let dates: Vec<String> = ticket.unwrap().matches.into_iter().map(|line| line.date).collect();
        assert_eq!(dates, ["Nov", "", ""]);
    }

    #[test]
    fn extra_weight_counts_only_for_whom_is_counted_already() {
        let mut tally = Tally::new(Settings::default());
        assert_eq!(tally.failed_again(failure("a", 1.0), 4.0), None);
        assert_eq!((tally.total_failed(), tally.currently_failed()), (0, 0));
        tally.failed(failure("a", 1.0), 1.0);
        let ticket = tally.failed_again(failure("a", 1.0), 2.0).unwrap();
        assert_eq!((ticket.failures, ticket.matches.len(), tally.total_failed()), (2, 2, 2));
    }

    #[test]
    fn a_flood_of_addresses_costs_the_oldest_and_is_counted() {
        let mut tally = Tally::new(Settings { identities: 1000, ..Settings::default() });
        for n in 0..5000_u32 {
            tally.failed(failure(&std::net::Ipv4Addr::from_bits(n).to_string(), f64::from(n)), 1.0);
            assert!(tally.currently_failed() <= 1000);
        }
        assert_eq!(tally.dropped().identities as usize + tally.currently_failed(), 5000);
        assert!(tally.currently_failed() >= 984);
        assert_eq!(tally.retry(&Id::new("0.0.19.135")), Some(1.0));
        assert_eq!(tally.retry(&Id::new("0.0.0.1")), None);
    }

    #[test]
    fn the_bound_of_identities_holds_when_all_come_in_the_same_second() {
        for identities in [0, 1, 2, 63, 64, 65, 200] {
            let mut tally = Tally::new(Settings { identities, ..Settings::default() });
            for n in 0..400_u32 {
                tally.failed(failure(&n.to_string(), 5.0), 1.0);
            }
            assert!(tally.currently_failed() <= identities.max(1));
            assert_eq!(tally.dropped().identities as usize + tally.currently_failed(), 400);
        }
    }

    #[test]
    fn long_lines_are_forgotten_before_anybodys_count_is() {
        let mut tally = Tally::new(Settings { bytes: 10_000, ..Settings::default() });
        for n in 0..100 {
            let mut failure = failure(&n.to_string(), 1.0);
            failure.matches[0].after = "x".repeat(500);
            tally.failed(failure, 1.0);
            assert!(tally.bytes <= 10_000);
        }
        assert_eq!(tally.currently_failed(), 100);
        assert!(tally.dropped().lines >= 80);
    }

    proptest! {
        #[test]
        fn counting_never_fails_and_what_is_kept_adds_up(
            maxretry in -1_i64..12,
            findtime in prop_oneof![0.0..1000.0, Just(0.0), Just(-5.0)],
            maxmatches in 0_usize..4,
            failures in prop::collection::vec((0_u8..6, 0.0..5000.0, 0_u8..4), 1..80),
        ) {
            let settings = Settings { maxretry, findtime, maxmatches, identities: 4, bytes: 60 };
            let mut tally = Tally::new(settings.clone());
            tally.note_changes();
            let mut kept = IndexMap::new();
            for (id, at, what) in failures {
                let failure = failure(&id.to_string(), at);
                match what {
                    0 => tally.cleanup(Timestamp(at)),
                    1 => drop(tally.failed_again(failure, 1.5)),
                    _ => drop(tally.failed(failure, f64::from(what))),
                }
                prop_assert!(tally.currently_failed() <= 4);
                let bytes: usize = tally.offenders.values().map(|offender| offender.bytes).sum();
                prop_assert_eq!(bytes, tally.bytes);
                prop_assert!(tally.bytes <= 60);
                let below = |offender: &Offender| offender.counted.retry < maxretry as f64;
                prop_assert!(tally.offenders.values().all(below));
                if what == 3 {
                    for (id, counted) in tally.changes() {
                        match counted {
                            Some(counted) => drop(kept.insert(id, counted)),
                            None => drop(kept.swap_remove(&id)),
                        }
                    }
                    let mut again = Tally::new(settings.clone());
                    again.go_on(kept.clone());
                    prop_assert_eq!(again.bytes, tally.bytes);
                    for (id, offender) in &tally.offenders {
                        let stands = again.offenders.get(id).map(|offender| &offender.counted);
                        prop_assert_eq!(stands, Some(&offender.counted));
                    }
                }
            }
        }
    }
}
