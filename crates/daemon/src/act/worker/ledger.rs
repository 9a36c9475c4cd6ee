//! The bans of one action: which are in force, which failed and when those are tried again.
//!
//! A hundred thousand of them are nothing unusual, so each takes little room: an action that the kernel carries out needs no
//! more of a ticket than whom and how long.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_jail::{Id, Ticket, Timestamp};
use portcullis_value::Value;

use super::health::{Enforcement, Tally};

/// After the first failure a ban is tried again after this time, then after twice that, and so on.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The same where the command succeeded and the kernel has nothing of it.
const ABSENT_RETRY: Duration = Duration::from_secs(30);
/// The longest pause between two tries.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// See the module.
pub(super) struct Ledger {
    bans: HashMap<Id, Held>,
    /// Their tickets, where they are kept with all that belongs to them.
    whole: Option<HashMap<Id, Arc<Ticket>>>,
    /// What is known of those that failed: as a rule, none.
    failures: HashMap<Id, Failure>,
    /// All bans so far.
    banned: u64,
    /// Those that failed, by the time of the next try.
    due: BTreeMap<(Instant, u64), Id>,
    tally: Tally,
    began: Instant,
}

/// Of these there are as many as bans: nothing is in here that most of them do not have.
struct Held {
    begin: Timestamp,
    /// In seconds; NaN is the jail's time.
    bantime: f64,
    /// Its place among all bans.
    number: u64,
    /// When the state began.
    since: Age,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Pending,
    Enforced,
    Unverified,
    /// Why, the failures know.
    Failed,
}

/// Time since the ledger's begin, in steps of 64 ms: enough for eight years, and a quarter of an `Instant`.
#[derive(Clone, Copy)]
struct Age(u32);

impl Age {
    fn of(began: Instant) -> Self {
        Age(u32::try_from(began.elapsed().as_millis() >> 6).unwrap_or(u32::MAX))
    }

    /// Since then, or a little less.
    fn passed(self, began: Instant) -> Duration {
        let then = Duration::from_millis((u64::from(self.0) + 1) << 6);
        began.elapsed().saturating_sub(then)
    }
}

struct Failure {
    why: Enforcement,
    tries: u32,
    again: Instant,
}

/// What a ban's new state means for whom it is told.
pub(super) enum News {
    /// It failed, for the first time in a row.
    Failed,
    /// It holds, after so many failures (0: at once).
    Holds(u32),
    /// Nothing that is not known.
    Nothing,
}

impl Ledger {
    /// No bans. `whole`: tickets are kept with all that belongs to them.
    pub(super) fn new(whole: bool) -> Self {
        let began = Instant::now();
        Ledger {
            bans: HashMap::new(),
            whole: whole.then(HashMap::new),
            failures: HashMap::new(),
            banned: 0,
            due: BTreeMap::new(),
            tally: Tally::default(),
            began,
        }
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// Whom we hold, in no order.
    pub(super) fn ids(&self) -> impl Iterator<Item = &Id> {
        self.bans.keys()
    }

    pub(super) fn contains(&self, id: &Id) -> bool {
        self.bans.contains_key(id)
    }

    /// Takes a ban that is to be carried out.
    pub(super) fn add(&mut self, ticket: &Arc<Ticket>) {
        self.banned += 1;
        self.remove(&ticket.id);
        let (begin, bantime) = (ticket.time, own_seconds(ticket));
        let since = Age::of(self.began);
        let held = Held { begin, bantime, number: self.banned, since, state: State::Pending };
        self.tally.add(&Enforcement::Pending);
        self.bans.insert(ticket.id.clone(), held);
        if let Some(whole) = &mut self.whole {
            whole.insert(ticket.id.clone(), Arc::clone(ticket));
        }
    }

    /// A ban has another time.
    pub(super) fn replace(&mut self, ticket: &Arc<Ticket>) {
        let Some(held) = self.bans.get_mut(&ticket.id) else { return };
        (held.begin, held.bantime) = (ticket.time, own_seconds(ticket));
        if let Some(whole) = &mut self.whole {
            whole.insert(ticket.id.clone(), Arc::clone(ticket));
        }
    }

    /// Forgets a ban.
    pub(super) fn remove(&mut self, id: &Id) {
        if let Some(held) = self.bans.remove(id) {
            self.tally.remove(&self.told(id, held.state));
            if let Some(failure) = self.failures.remove(id) {
                self.due.remove(&(failure.again, held.number));
            }
            if let Some(whole) = &mut self.whole {
                whole.remove(id);
            }
            if self.bans.capacity() > 1024 && self.bans.capacity() > 8 * self.bans.len() {
                self.bans.shrink_to(2 * self.bans.len());
            }
        }
    }

    /// All that were not carried out, or not read back.
    pub(super) fn pending(&self) -> Vec<Arc<Ticket>> {
        let pending = self.bans.iter().filter(|(_, held)| held.state == State::Pending);
        pending.map(|(id, held)| self.ticket_of(id, held)).collect()
    }

    /// Whom the kernel should have: those that were not read back yet, and those that were. In no order.
    pub(super) fn in_kernel(&self) -> Vec<Id> {
        let there =
            self.bans.iter().filter(|(_, held)| matches!(held.state, State::Pending | State::Enforced));
        there.map(|(id, _)| id.clone()).collect()
    }

    /// All of them are in the kernel.
    pub(super) fn enforced(&mut self) {
        let age = Age::of(self.began);
        for held in self.bans.values_mut().filter(|held| held.state == State::Pending) {
            held.state = State::Enforced;
            held.since = age;
            self.tally.remove(&Enforcement::Pending);
            self.tally.add(&Enforcement::Enforced);
        }
    }

    /// So many more will come.
    pub(super) fn reserve(&mut self, bans: usize) {
        self.bans.reserve(bans);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.bans.len()
    }

    /// Forgets all, and answers them in their order.
    pub(super) fn take_all(&mut self) -> Vec<Arc<Ticket>> {
        let mut held: Vec<(&Id, &Held)> = self.bans.iter().collect();
        held.sort_unstable_by_key(|(_, held)| held.number);
        let tickets = held.into_iter().map(|(id, held)| self.ticket_of(id, held)).collect();
        self.bans = HashMap::new();
        self.failures = HashMap::new();
        if let Some(whole) = &mut self.whole {
            *whole = HashMap::new();
        }
        self.due.clear();
        self.tally = Tally::default();
        tickets
    }

    /// Notes what has become of a ban that is held. Answers what it means, and the place of the ban among all.
    pub(super) fn settle(&mut self, id: &Id, state: Enforcement) -> Option<News> {
        let held = self.bans.get(id)?;
        let (number, before) = (held.number, self.told(id, held.state));
        let failure = self.failures.remove(id);
        let tries = failure.as_ref().map_or(0, |failure| failure.tries);
        if let Some(failure) = failure {
            self.due.remove(&(failure.again, number));
        }
        let (new, news) = match &state {
            Enforcement::Pending => (State::Pending, News::Nothing),
            Enforcement::Failed(_) | Enforcement::Absent(_) => {
                let first = if let Enforcement::Absent(_) = state { ABSENT_RETRY } else { FIRST_RETRY };
                let pause = first.saturating_mul(1 << tries.min(6)).min(LONGEST_RETRY);
                let again = Instant::now() + pause;
                self.due.insert((again, number), id.clone());
                self.failures.insert(id.clone(), Failure { why: state.clone(), tries: tries + 1, again });
                (State::Failed, if tries == 0 { News::Failed } else { News::Nothing })
            }
            holds => {
                let news = if *holds == before { News::Nothing } else { News::Holds(tries) };
                (if *holds == Enforcement::Enforced { State::Enforced } else { State::Unverified }, news)
            }
        };
        self.tally.remove(&before);
        self.tally.add(&state);
        let held = self.bans.get_mut(id)?;
        if state != before {
            held.since = Age::of(self.began);
        }
        held.state = new;
        Some(news)
    }

    /// Whether a ban is in force; `None` when there is none.
    pub(super) fn state(&self, id: &Id) -> Option<Enforcement> {
        self.bans.get(id).map(|held| self.told(id, held.state))
    }

    /// For how long a ban has been in force; `None` when there is none, or it is not.
    pub(super) fn stands_for(&self, id: &Id) -> Option<Duration> {
        let held = self.bans.get(id)?;
        let stands = matches!(held.state, State::Enforced | State::Unverified);
        stands.then(|| held.since.passed(self.began))
    }

    /// The ticket of a ban.
    pub(super) fn ticket(&self, id: &Id) -> Option<Arc<Ticket>> {
        self.bans.get(id).map(|held| self.ticket_of(id, held))
    }

    /// All that should be in force and are not known to have failed, in their order.
    pub(super) fn standing(&self) -> Vec<Arc<Ticket>> {
        let standing = self.bans.iter().filter(|(_, held)| held.state != State::Failed);
        let mut standing: Vec<(&Id, &Held)> = standing.collect();
        standing.sort_unstable_by_key(|(_, held)| held.number);
        standing.into_iter().map(|(id, held)| self.ticket_of(id, held)).collect()
    }

    /// The same, whom only, in no order.
    pub(super) fn standing_ids(&self) -> impl Iterator<Item = &Id> {
        self.bans.iter().filter(|(_, held)| held.state != State::Failed).map(|(id, _)| id)
    }

    /// What `of` says of each of the same, given its begin and the seconds of its own ban time; in no order.
    pub(super) fn wanted<T>(&self, of: impl Fn(&Id, Timestamp, Option<f64>) -> T) -> Vec<T> {
        let standing = self.bans.iter().filter(|(_, held)| held.state != State::Failed);
        standing
            .map(|(id, held)| of(id, held.begin, Some(held.bantime).filter(|bantime| !bantime.is_nan())))
            .collect()
    }

    /// Those of `ids` that are held, in the order of their bans.
    pub(super) fn in_order<'a>(&self, ids: impl Iterator<Item = &'a Id>) -> Vec<Id> {
        let mut held: Vec<(u64, &Id)> = ids.filter_map(|id| Some((self.bans.get(id)?.number, id))).collect();
        held.sort_unstable_by_key(|(number, _)| *number);
        held.into_iter().map(|(_, id)| id.clone()).collect()
    }

    /// When the next failed ban is to be tried again.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.due.keys().next().map(|(again, _)| *again)
    }

    /// Failed bans whose time has come, at most so many.
    pub(super) fn due(&self, now: Instant, most: usize) -> Vec<Arc<Ticket>> {
        let due = self.due.iter().take_while(|((again, _), _)| *again <= now).take(most);
        due.filter_map(|(_, id)| self.ticket(id)).collect()
    }

    /// Why the first failed one is not in force.
    pub(super) fn reason(&self) -> Option<String> {
        let first = self.due.values().next().and_then(|id| self.state(id));
        first.and_then(|state| state.failure().map(str::to_owned))
    }

    fn told(&self, id: &Id, state: State) -> Enforcement {
        match state {
            State::Pending => Enforcement::Pending,
            State::Enforced => Enforcement::Enforced,
            State::Unverified => Enforcement::Unverified,
            State::Failed => {
                self.failures.get(id).map_or(Enforcement::Unverified, |failure| failure.why.clone())
            }
        }
    }

    /// The ticket as it came; or, where no more is needed, one of whom and how long.
    fn ticket_of(&self, id: &Id, held: &Held) -> Arc<Ticket> {
        let whole = self.whole.as_ref().and_then(|whole| whole.get(id));
        whole.map_or_else(
            || {
                let bantime = (!held.bantime.is_nan()).then_some(Value::Float(held.bantime));
                Arc::new(Ticket { bantime, ..Ticket::by_hand(id.clone(), held.begin) })
            },
            Arc::clone,
        )
    }
}

/// For how many seconds; NaN is the jail's time.
fn own_seconds(ticket: &Ticket) -> f64 {
    ticket.bantime.as_ref().map_or(f64::NAN, |time| portcullis_value::float(time).unwrap_or(-1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(n: u8) -> Arc<Ticket> {
        let ticket = Ticket::by_hand(Id::new(&format!("192.0.2.{n}")), Timestamp(f64::from(n)));
        Arc::new(Ticket { bantime: Some(Value::Int(600)), failures: 7, ..ticket })
    }

    #[test]
    fn a_failed_ban_is_due_after_a_second_then_after_two_and_no_more_once_it_holds() {
        let mut ledger = Ledger::new(true);
        let one = ticket(1);
        ledger.add(&one);
        let failed = || Enforcement::Failed("x".into());
        assert!(matches!(ledger.settle(&one.id, failed()), Some(News::Failed)));
        let first = ledger.next_retry().unwrap();
        assert!(ledger.due(Instant::now(), 9).is_empty());
        assert_eq!(ledger.due(first, 9), [Arc::clone(&one)]);
        assert!(matches!(ledger.settle(&one.id, failed()), Some(News::Nothing)));
        assert!(ledger.next_retry().unwrap() > first + Duration::from_millis(900));
        assert_eq!((ledger.tally().failed, ledger.reason().as_deref()), (1, Some("x")));
        assert!(matches!(ledger.settle(&one.id, Enforcement::Enforced), Some(News::Holds(2))));
        assert!(matches!(ledger.settle(&one.id, Enforcement::Enforced), Some(News::Nothing)));
        assert_eq!((ledger.next_retry(), ledger.tally().enforced, ledger.tally().failed), (None, 1, 0));
        assert!(ledger.settle(&ticket(2).id, Enforcement::Enforced).is_none());
    }

    #[test]
    fn a_hundred_thousand_bans_take_less_than_eight_megabytes() {
        // A table of them has room for 131,072.
        assert!(size_of::<(Id, Held)>() <= 56, "{}", size_of::<(Id, Held)>());
    }

    #[test]
    fn bans_keep_their_order_and_what_the_kernel_needs_of_them() {
        for whole in [true, false] {
            let mut ledger = Ledger::new(whole);
            for n in [3, 1, 2, 5] {
                ledger.add(&ticket(n));
            }
            ledger.settle(&ticket(1).id, Enforcement::Absent("gone".into()));
            ledger.remove(&ticket(5).id);
            let ids = |tickets: Vec<Arc<Ticket>>| tickets.iter().map(|t| t.id.clone()).collect::<Vec<_>>();
            assert_eq!(ids(ledger.standing()), [ticket(3).id.clone(), ticket(2).id.clone()]);
            let kept = ledger.ticket(&ticket(3).id).unwrap();
            assert_eq!((kept.time, kept.failures), (Timestamp(3.0), if whole { 7 } else { 0 }));
            assert_eq!(portcullis_value::float(kept.bantime.as_ref().unwrap()).ok(), Some(600.0));
            assert_eq!(
                ids(ledger.take_all()),
                [ticket(3).id.clone(), ticket(1).id.clone(), ticket(2).id.clone()]
            );
            assert_eq!((ledger.tally(), ledger.next_retry()), (Tally::default(), None));
        }
    }
}
