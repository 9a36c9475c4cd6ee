//! The list itself. It is made for a hundred thousand bans and more: some 200 bytes each without lines, and no
//! operation on one ban walks over all.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use jiff::tz::TimeZone;
use portcullis_value::Value;

use super::Added;
use crate::failure::Data;
use crate::time::local_text;
use crate::{Id, MatchedLine, Ticket, Timestamp};

/// The bans of one jail, in the order in which they came.
///
/// A ban without a time of its own lasts as long as the jail's `bantime` says *now*: changing it changes bans already
/// in force, as in Fail2ban.
#[derive(Clone, Debug)]
pub struct Bans {
    bantime: Span,
    /// Sorted by `seq`. Holes of ended bans are closed once they are the greater part.
    slots: Vec<Slot>,
    holes: usize,
    next_seq: u64,
    /// Their numbers, by the identities' texts, which stand in the slots.
    by_id: HashTable<u64>,
    hasher: RandomState,
    /// Begins of the bans that last as long as the jail says.
    plain: BTreeSet<(Moment, u64)>,
    /// Ends of the bans with a time of their own, except those for ever.
    own: BTreeSet<(Moment, u64)>,
    total: u64,
    bound: usize,
    lines: usize,
    lines_bound: usize,
    /// All slots before this one have lost their lines.
    bare_to: u64,
}

#[derive(Clone, Debug)]
struct Slot {
    seq: u64,
    ban: Option<Ban>,
}

#[derive(Clone, Debug)]
struct Ban {
    id: Id,
    time: Timestamp,
    own: Option<Span>,
    bancount: u32,
    failures: u32,
    restored: bool,
    more: Option<Box<More>>,
}

/// A ban as it stands in the list.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Whom.
    pub id: &'a Id,
    /// Its begin.
    pub time: Timestamp,
    /// Its end; `None` for ever.
    pub end: Option<Timestamp>,
    /// How many failures led to it; 0 for a ban by hand.
    pub failures: u32,
    /// What was captured, if anything.
    pub data: Option<&'a Data>,
}

/// What few bans have, or few readers want.
#[derive(Clone, Debug, Default)]
struct More {
    ip: Option<Id>,
    matches: Vec<MatchedLine>,
    data: Data,
}

/// How long: Python tells integers from floats, and shows it.
#[derive(Clone, Copy, Debug)]
enum Span {
    Int(i64),
    Float(f64),
}

/// A point in time that can be sorted.
#[derive(Clone, Copy, Debug)]
struct Moment(f64);

/// How many bans a jail holds unless told otherwise.
const BOUND: usize = 1_000_000;
/// How many bytes of lines and captures it keeps for them. The database has them all.
const LINES_BOUND: usize = 64 << 20;

impl Bans {
    /// An empty list for a jail whose bans last `bantime` seconds; -1 is for ever.
    pub fn new(bantime: &Value) -> Self {
        Bans {
            bantime: Span::of(bantime).unwrap_or(Span::Int(0)),
            slots: Vec::new(),
            holes: 0,
            next_seq: 0,
            by_id: HashTable::new(),
            hasher: RandomState::new(),
            plain: BTreeSet::new(),
            own: BTreeSet::new(),
            total: 0,
            bound: BOUND,
            lines: 0,
            lines_bound: LINES_BOUND,
            bare_to: 0,
        }
    }

    /// So many more will come: what grows step by step leaves holes in memory behind.
    pub fn reserve(&mut self, bans: usize) {
        let bans = bans.min(self.bound);
        self.slots.reserve_exact(bans);
        let Bans { by_id, slots, hasher, .. } = self;
        by_id.reserve(bans, |&seq| hash_of(slots, hasher, seq));
    }

    /// Other bounds than a million bans and 64 MiB of lines. Bans beyond the bound end early: [`expired`](Self::expired)
    /// returns those that end first. Beyond the bound of bytes, the oldest bans' lines and captures are forgotten.
    #[must_use]
    pub fn bounded(self, bans: usize, bytes: usize) -> Self {
        Bans { bound: bans, lines_bound: bytes, ..self }
    }

    /// The jail's ban time.
    pub fn bantime(&self) -> Value {
        self.bantime.value()
    }

    /// Changes the jail's ban time, and with it the end of all bans that have none of their own. Anything but a number
    /// is ignored.
    pub fn set_bantime(&mut self, bantime: &Value) {
        self.bantime = Span::of(bantime).unwrap_or(self.bantime);
    }

    /// Takes a ticket. A ban that is there already ends at the later of both ends, and stays as it is otherwise.
    pub fn add(&mut self, ticket: &Ticket, now: Timestamp) -> Added {
        let own = ticket.bantime.as_ref().and_then(Span::of);
        let span = own.unwrap_or(self.bantime);
        if span.end(ticket.time).is_some_and(|end| end < now.0) {
            return Added::Expired;
        }
        if let Some(seq) = self.seq(&ticket.id) {
            return self.again(seq, ticket.time, span);
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        let ban = Ban::new(ticket, own);
        self.lines += ban.size();
        self.schedule(seq, ban.time, own);
        self.slots.push(Slot { seq, ban: Some(ban) });
        let Bans { by_id, slots, hasher, .. } = self;
        let hash = hasher.hash_one(ticket.id.text());
        by_id.insert_unique(hash, seq, |&seq| hash_of(slots, hasher, seq));
        self.total += 1;
        self.forget_lines();
        Added::New { restored: ticket.restored }
    }

    /// Gives a ban another time of its own, as `bantime.increment` does. Whether there is such a ban.
    pub fn set_own_bantime(&mut self, id: &Id, bantime: &Value) -> bool {
        let (Some(seq), Some(span)) = (self.seq(id), Span::of(bantime)) else { return false };
        self.reschedule(seq, span);
        true
    }

    /// Ends the ban of this identity; if there is none and it is a network, those of all addresses in it and of all networks that
    /// begin in it, wider ones too, as in Fail2ban.
    pub fn unban(&mut self, id: &Id) -> Vec<Ticket> {
        let everybody = id.covers().is_some_and(|net| net.prefix_len() == 0);
        match self.seq(id) {
            Some(seq) if !everybody => self.remove(seq).into_iter().collect(),
            _ if id.is_network() => {
                let Some(net) = id.covers() else { return Vec::new() };
                let inside = |ban: &Ban| ban.id.covers().is_some_and(|inner| net.contains(&inner.network()));
                let inside = |slot: &&Slot| slot.ban.as_ref().is_some_and(inside);
                let numbers: Vec<u64> = self.slots.iter().filter(inside).map(|slot| slot.seq).collect();
                numbers.into_iter().filter_map(|seq| self.remove(seq)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Ends and returns at most `limit` bans whose end is before `now`, those that ended first; and, should there be more
    /// bans than the bound allows, those that would end next. In the order in which they came.
    pub fn expired(&mut self, now: Timestamp, limit: usize) -> Vec<Ticket> {
        let mut ended = Vec::new();
        while ended.len() < limit {
            let over = self.len() > self.bound;
            let due = match self.first_end() {
                Some((end, seq)) if now.0 > end || over => Some(seq),
                None if over => self.slots.iter().find(|slot| slot.ban.is_some()).map(|slot| slot.seq),
                _ => None,
            };
            let Some(seq) = due else { break };
            ended.extend(self.remove(seq).map(|ticket| (seq, ticket)));
        }
        ended.sort_by_key(|(seq, _)| *seq);
        ended.into_iter().map(|(_, ticket)| ticket).collect()
    }

    /// The first moment at which [`expired`](Self::expired) has something to return; `None` while all bans are for ever.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        if self.len() > self.bound {
            return Some(Timestamp(f64::MIN));
        }
        // A ban ends strictly after its last moment.
        self.first_end().map(|(end, _)| Timestamp(end.next_up()))
    }

    /// Ends all bans.
    pub fn flush(&mut self) -> Vec<Ticket> {
        let slots = std::mem::take(&mut self.slots);
        self.by_id = HashTable::new();
        self.plain.clear();
        self.own.clear();
        (self.holes, self.lines, self.bare_to) = (0, 0, self.next_seq);
        slots.into_iter().filter_map(|slot| slot.ban).map(Ban::ticket).collect()
    }

    /// Whether exactly this identity is banned.
    pub fn contains(&self, id: &Id) -> bool {
        self.seq(id).is_some()
    }

    /// The ban of exactly this identity.
    pub fn ticket(&self, id: &Id) -> Option<Ticket> {
        self.ban(self.seq(id)?).cloned().map(Ban::ticket)
    }

    /// When the ban of this identity began.
    pub fn begin(&self, id: &Id) -> Option<Timestamp> {
        self.ban(self.seq(id)?).map(|ban| ban.time)
    }

    /// When the ban of this identity ends: `None` when there is none, `Some(None)` when it is for ever.
    pub fn end(&self, id: &Id) -> Option<Option<Timestamp>> {
        let ban = self.ban(self.seq(id)?)?;
        Some(self.end_of(ban).map(Timestamp))
    }

    /// Whom we hold, in the order in which they came: `status` shows it so.
    pub fn ids(&self) -> impl Iterator<Item = &Id> {
        self.bans().map(|ban| &ban.id)
    }

    /// All bans in the order in which they came.
    pub fn tickets(&self) -> impl Iterator<Item = Ticket> {
        self.bans().cloned().map(Ban::ticket)
    }

    /// Gives a ban other captures. Whether there is such a ban.
    pub fn set_data(&mut self, id: &Id, data: &Data) -> bool {
        let Some(at) = self.seq(id).and_then(|seq| self.position(seq)) else { return false };
        let Some(ban) = &mut self.slots[at].ban else { return false };
        self.lines -= ban.size();
        let more = ban.more.get_or_insert_default();
        more.data.clone_from(data);
        self.lines += ban.size();
        true
    }

    /// All bans, the newest first.
    pub fn newest(&self) -> impl Iterator<Item = Seen<'_>> {
        self.slots.iter().rev().filter_map(|slot| slot.ban.as_ref()).map(|ban| Seen {
            id: &ban.id,
            time: ban.time,
            end: self.end_of(ban).map(Timestamp),
            failures: ban.failures,
            data: ban.more.as_ref().map(|more| &more.data),
        })
    }

    /// Whom we hold, by the end of the ban: `get J banip` shows it so.
    pub fn ids_by_end(&self) -> Vec<&Id> {
        self.by_end().into_iter().map(|ban| &ban.id).collect()
    }

    /// The same with times, a line each: `192.0.2.7 <tab>2026-11-22 17:55:42 + 611 = 2026-11-22 18:05:53`.
    pub fn with_time(&self, zone: &TimeZone) -> Vec<String> {
        let line = |ban: &Ban| {
            let begin = local_text(ban.time, zone);
            let end = local_text(Timestamp(self.end_of(ban).unwrap_or(f64::INFINITY)), zone);
            format!("{} \t{begin} + {} = {end}", ban.id, self.span_of(ban).seconds().trunc())
        };
        self.by_end().into_iter().map(line).collect()
    }

    /// How many are banned now: `Currently banned`.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether nobody is banned.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// How many bans there were: `Total banned`.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Sets the total.
    pub fn set_total(&mut self, total: u64) {
        self.total = total;
    }

    fn again(&mut self, seq: u64, time: Timestamp, span: Span) -> Added {
        let Some(ban) = self.ban(seq) else { return Added::AlreadyBanned { age: 0.0, prolonged: false } };
        let age = time.since(ban.time);
        let prolonged = match (span.end(time), self.end_of(ban)) {
            (_, None) => None,
            (None, Some(_)) => Some(Span::Int(-1)),
            // From a failure before the ban's begin, Fail2ban takes the length and not the end.
            (Some(new), Some(old)) => (new > old).then(|| span.plus(age.max(0.0))),
        };
        if let Some(span) = prolonged {
            self.reschedule(seq, span);
        }
        Added::AlreadyBanned { age, prolonged: prolonged.is_some() }
    }

    fn remove(&mut self, seq: u64) -> Option<Ticket> {
        let at = self.position(seq)?;
        let ban = self.slots[at].ban.take()?;
        if let Ok(known) = self.by_id.find_entry(self.hasher.hash_one(ban.id.text()), |&known| known == seq) {
            known.remove();
        }
        self.unschedule(seq, ban.time, ban.own);
        self.lines -= ban.size();
        self.holes += 1;
        if self.holes > 64 && self.holes > self.slots.len() / 2 {
            self.slots.retain(|slot| slot.ban.is_some());
            self.holes = 0;
            if self.slots.capacity() > 4 * self.slots.len() {
                self.slots.shrink_to(2 * self.slots.len());
                let Bans { by_id, slots, hasher, .. } = self;
                by_id.shrink_to(2 * slots.len(), |&seq| hash_of(slots, hasher, seq));
            }
        }
        Some(ban.ticket())
    }

    fn reschedule(&mut self, seq: u64, span: Span) {
        let Some(at) = self.position(seq) else { return };
        let Some(ban) = &mut self.slots[at].ban else { return };
        let (time, before) = (ban.time, ban.own.replace(span));
        self.unschedule(seq, time, before);
        self.schedule(seq, time, Some(span));
    }

    fn schedule(&mut self, seq: u64, time: Timestamp, own: Option<Span>) {
        match own.map(|span| span.end(time)) {
            None => self.plain.insert((Moment(time.0), seq)),
            Some(Some(end)) => self.own.insert((Moment(end), seq)),
            Some(None) => true,
        };
    }

    fn unschedule(&mut self, seq: u64, time: Timestamp, own: Option<Span>) {
        match own.map(|span| span.end(time)) {
            None => self.plain.remove(&(Moment(time.0), seq)),
            Some(Some(end)) => self.own.remove(&(Moment(end), seq)),
            Some(None) => true,
        };
    }

    /// The end that comes first, and whose it is.
    fn first_end(&self) -> Option<(f64, u64)> {
        let own = self.own.first().map(|&(Moment(end), seq)| (end, seq));
        let plain = self
            .plain
            .first()
            .and_then(|&(Moment(time), seq)| Some((self.bantime.end(Timestamp(time))?, seq)));
        match (own, plain) {
            (Some(own), Some(plain)) => Some(if plain.0 < own.0 { plain } else { own }),
            (own, plain) => own.or(plain),
        }
    }

    /// The number of the ban of exactly this identity.
    fn seq(&self, id: &Id) -> Option<u64> {
        let same = |seq: &u64| self.ban(*seq).is_some_and(|ban| ban.id == *id);
        self.by_id.find(self.hasher.hash_one(id.text()), same).copied()
    }

    fn position(&self, seq: u64) -> Option<usize> {
        position(&self.slots, seq)
    }

    fn ban(&self, seq: u64) -> Option<&Ban> {
        ban(&self.slots, seq)
    }

    fn bans(&self) -> impl Iterator<Item = &Ban> {
        self.slots.iter().filter_map(|slot| slot.ban.as_ref())
    }

    fn by_end(&self) -> Vec<&Ban> {
        let mut bans: Vec<&Ban> = self.bans().collect();
        let end = |ban: &Ban| Moment(self.end_of(ban).unwrap_or(f64::INFINITY));
        bans.sort_by_key(|ban| end(ban));
        bans
    }

    fn span_of(&self, ban: &Ban) -> Span {
        ban.own.unwrap_or(self.bantime)
    }

    fn end_of(&self, ban: &Ban) -> Option<f64> {
        self.span_of(ban).end(ban.time)
    }

    fn forget_lines(&mut self) {
        if self.lines <= self.lines_bound {
            return;
        }
        let aim = self.lines_bound / 4 * 3;
        let begin = self.slots.partition_point(|slot| slot.seq < self.bare_to);
        for slot in &mut self.slots[begin..] {
            if self.lines <= aim {
                break;
            }
            self.bare_to = slot.seq + 1;
            let Some(ban) = &mut slot.ban else { continue };
            self.lines -= ban.size();
            let ip = ban.more.take().and_then(|more| more.ip);
            ban.more = ip.map(|ip| Box::new(More { ip: Some(ip), matches: Vec::new(), data: Data::new() }));
        }
    }
}

fn position(slots: &[Slot], seq: u64) -> Option<usize> {
    slots.binary_search_by_key(&seq, |slot| slot.seq).ok()
}

fn ban(slots: &[Slot], seq: u64) -> Option<&Ban> {
    slots[position(slots, seq)?].ban.as_ref()
}

/// Of the identity that has this number.
fn hash_of(slots: &[Slot], hasher: &RandomState, seq: u64) -> u64 {
    hasher.hash_one(ban(slots, seq).map_or("", |ban| ban.id.text()))
}

impl Ban {
    fn new(ticket: &Ticket, own: Option<Span>) -> Self {
        let bare = ticket.ip.is_none() && ticket.matches.is_empty() && ticket.data.is_empty();
        let more = || {
            Box::new(More {
                ip: ticket.ip.clone(),
                matches: ticket.matches.clone(),
                data: ticket.data.clone(),
            })
        };
        Ban {
            id: ticket.id.clone(),
            time: ticket.time,
            own,
            bancount: ticket.bancount,
            failures: ticket.failures,
            restored: ticket.restored,
            more: (!bare).then(more),
        }
    }

    fn ticket(self) -> Ticket {
        let more = self.more.map_or(More { ip: None, matches: Vec::new(), data: Data::new() }, |more| *more);
        Ticket {
            id: self.id,
            ip: more.ip,
            time: self.time,
            bantime: self.own.map(Span::value),
            bancount: self.bancount,
            failures: self.failures,
            matches: more.matches,
            data: more.data,
            restored: self.restored,
        }
    }

    fn size(&self) -> usize {
        self.more.as_ref().map_or(0, |more| crate::failure::size(&more.matches, &more.data))
    }
}

impl Span {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Int(seconds) => Some(Span::Int(*seconds)),
            Value::Float(seconds) if seconds.is_nan() => None,
            Value::Float(seconds) => Some(Span::Float(*seconds)),
            _ => None,
        }
    }

    fn value(self) -> Value {
        match self {
            Span::Int(seconds) => Value::Int(seconds),
            Span::Float(seconds) => Value::Float(seconds),
        }
    }

    fn seconds(self) -> f64 {
        match self {
            Span::Int(seconds) => seconds as f64,
            Span::Float(seconds) => seconds,
        }
    }

    /// The end of a ban that begins at `time`; `None` for ever, which is exactly -1.
    fn end(self, time: Timestamp) -> Option<f64> {
        let seconds = self.seconds();
        (seconds != -1.0).then_some(time.0 + seconds)
    }

    /// Longer by so much; an integer stays one when it can.
    fn plus(self, seconds: f64) -> Self {
        match self {
            Span::Int(whole) if seconds.fract() == 0.0 => Span::Int(whole.saturating_add(seconds as i64)),
            other => Span::Float(other.seconds() + seconds),
        }
    }
}

impl PartialEq for Moment {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Moment {}

impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Moment {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}
