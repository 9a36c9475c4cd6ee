//! Bans on their way from the database to their jail: a hundred thousand of them wait for the firewall, in little room.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError, never};
use portcullis_jail::failure::Data;
use portcullis_jail::{Id, MatchedLine, Ticket, Timestamp};
use portcullis_value::Value;

/// So many go in one parcel.
pub(super) const PARCEL: usize = 1000;
/// So many are read at a time; the next ones when these are nearly used up. What waits takes room that nobody gives back.
pub(super) const PORTION: usize = 4 * PARCEL;

/// Room is made for so many at most before they come.
const MOST_EXPECTED: usize = 1_000_000;

/// Tickets from the database.
#[derive(Debug, Default)]
pub(super) struct Parcel {
    /// So many are on record, if that is known: in the first parcel.
    pub(super) expected: usize,
    /// There are more behind the identity of this text.
    pub(super) behind: Option<String>,
    /// The texts of all identities, one after the other.
    texts: String,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    /// Where its identity ends in the texts.
    end: u32,
    bancount: u32,
    failures: u32,
    time: Timestamp,
    bantime: Option<Seconds>,
    more: Option<Box<More>>,
}

/// A number of seconds; whether it is whole is shown to users.
#[derive(Clone, Copy, Debug)]
enum Seconds {
    Int(i64),
    Float(f64),
}

#[derive(Debug)]
struct More {
    ip: Option<Id>,
    matches: Vec<MatchedLine>,
    data: Data,
}

impl Parcel {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn push(&mut self, ticket: Ticket) {
        let Ticket { id, ip, time, bantime, bancount, failures, matches, data, .. } = ticket;
        self.texts.push_str(id.text());
        let bare = ip.is_none() && matches.is_empty() && data.is_empty();
        let bantime = match bantime {
            Some(Value::Int(seconds)) => Some(Seconds::Int(seconds)),
            Some(Value::Float(seconds)) => Some(Seconds::Float(seconds)),
            _ => None,
        };
        let more = (!bare).then(|| Box::new(More { ip, matches, data }));
        self.rows.push(Row { end: self.texts.len() as u32, bancount, failures, time, bantime, more });
    }

    fn unpack(self) -> impl Iterator<Item = Ticket> + Send {
        let Parcel { texts, rows, .. } = self;
        let mut begin = 0;
        rows.into_iter().map(move |row| {
            let Row { end, bancount, failures, time, bantime, more } = row;
            let id = Id::new(texts.get(begin..end as usize).unwrap_or_default());
            begin = end as usize;
            let bantime = bantime.map(|seconds| match seconds {
                Seconds::Int(seconds) => Value::Int(seconds),
                Seconds::Float(seconds) => Value::Float(seconds),
            });
            let More { ip, matches, data } =
                more.map_or(More { ip: None, matches: Vec::new(), data: Data::new() }, |more| *more);
            Ticket { id, ip, time, bantime, bancount, failures, matches, data, restored: true }
        })
    }
}

/// Asks for those behind an identity.
type Ask = Box<dyn Fn(String) -> Receiver<Parcel> + Send>;

/// The bans of a jail that still hold, as they come from the database. Later ones are not among them.
pub struct Restorable {
    parcels: Option<Receiver<Parcel>>,
    ask: Ask,
    /// What comes after them.
    last: Option<Parcel>,
    here: Box<dyn Iterator<Item = Ticket> + Send>,
    /// So many are here.
    count: usize,
    /// So many there are in all, until somebody has asked.
    expected: usize,
}

impl Default for Restorable {
    fn default() -> Self {
        Restorable {
            parcels: None,
            ask: Box::new(|_| never()),
            last: None,
            here: Box::new(std::iter::empty()),
            count: 0,
            expected: 0,
        }
    }
}

impl Restorable {
    /// All that `ask` gives, which is asked for those behind no text first.
    pub(super) fn new(ask: impl Fn(String) -> Receiver<Parcel> + Send + 'static) -> Self {
        Restorable { parcels: Some(ask(String::new())), ask: Box::new(ask), ..Restorable::default() }
    }

    /// The same, and others after them.
    #[must_use]
    pub fn followed_by(mut self, others: impl Iterator<Item = Ticket>) -> Self {
        let mut last = Parcel::default();
        others.for_each(|ticket| last.push(ticket));
        self.last = Some(last).filter(|last| last.len() > 0);
        self
    }

    /// Waits until the first are here, or it is known that there are none.
    pub fn wait(&mut self, patience: Duration) {
        let Some(parcels) = self.parcels.as_ref().filter(|_| self.count == 0) else { return };
        match parcels.recv_timeout(patience) {
            Ok(parcel) => self.open(parcel),
            Err(RecvTimeoutError::Disconnected) => self.parcels = None,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }

    /// How many there are in all, about: once, as soon as the database has told.
    pub fn expected(&mut self) -> Option<usize> {
        Some(std::mem::take(&mut self.expected).min(MOST_EXPECTED)).filter(|expected| *expected > 0)
    }

    /// Whether all have been taken.
    pub fn is_over(&self) -> bool {
        self.count == 0 && self.parcels.is_none() && self.last.is_none()
    }

    /// The next ones, at most so many; none when the database has not told them yet.
    pub fn take(&mut self, most: usize) -> Vec<Ticket> {
        if self.count == 0 {
            match self.parcels.as_ref().map(Receiver::try_recv) {
                Some(Ok(parcel)) => self.open(parcel),
                Some(Err(TryRecvError::Disconnected)) => self.parcels = None,
                Some(Err(TryRecvError::Empty)) => {}
                None => {
                    if let Some(last) = self.last.take() {
                        self.open(last);
                    }
                }
            }
        }
        let some: Vec<Ticket> = self.here.by_ref().take(most).collect();
        self.count -= some.len();
        some
    }

    /// Takes out those that are meant, wherever they stand. Waits for the database.
    pub fn take_out(&mut self, meant: impl Fn(&Ticket) -> bool) -> Vec<Ticket> {
        let mut rest = std::mem::take(self);
        let mut found = Vec::new();
        let mut left = Parcel::default();
        while !rest.is_over() {
            if rest.count == 0
                && let Some(parcels) = &rest.parcels
            {
                match parcels.recv() {
                    Ok(parcel) => rest.open(parcel),
                    Err(_) => rest.parcels = None,
                }
            }
            for ticket in rest.take(usize::MAX) {
                if meant(&ticket) { found.push(ticket) } else { left.push(ticket) }
            }
        }
        self.open(left);
        found
    }

    fn open(&mut self, mut parcel: Parcel) {
        if let Some(last) = parcel.behind.take() {
            self.parcels = Some((self.ask)(last));
        }
        self.count = parcel.len();
        self.expected = self.expected.max(parcel.expected);
        self.here = Box::new(parcel.unpack());
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::unbounded;

    use super::*;

    fn ticket(n: u32) -> Ticket {
        let line = MatchedLine::plain(format!("line {n}"));
        let bare = n.is_multiple_of(3);
        Ticket {
            bantime: Some(Value::Int(i64::from(n))),
            bancount: n,
            failures: n % 7,
            matches: if bare { Vec::new() } else { vec![line] },
            restored: true,
            ..Ticket::by_hand(Id::new(&format!("10.0.{}.{}", n / 200, n % 200)), Timestamp(f64::from(n)))
        }
    }

    fn all() -> (Vec<Ticket>, Restorable) {
        let tickets: Vec<Ticket> = (0..2500).map(ticket).collect();
        let all = tickets.clone();
        // Two portions, of two parcels and of one.
        let ask = move |last: String| {
            let (sender, parcels) = unbounded();
            let (begin, end) = if last.is_empty() { (0, 2 * PARCEL) } else { (2 * PARCEL, all.len()) };
            for (n, some) in all[begin..end].chunks(PARCEL).enumerate() {
                let mut parcel = Parcel::default();
                for ticket in some {
                    parcel.push(ticket.clone());
                }
                parcel.behind = (begin == 0 && n == 1).then(|| "it".to_owned());
                sender.send(parcel).unwrap();
            }
            parcels
        };
        (tickets, Restorable::new(ask))
    }

    fn rest(mut restorable: Restorable) -> Vec<Ticket> {
        let mut rest = Vec::new();
        while !restorable.is_over() {
            rest.extend(restorable.take(300));
        }
        rest
    }

    #[test]
    fn what_was_packed_is_unpacked() {
        let (tickets, restorable) = all();
        assert_eq!(rest(restorable), tickets);
        assert!(Restorable::default().is_over());
    }

    #[test]
    fn those_that_are_meant_come_first_and_only_once() {
        let (mut tickets, restorable) = all();
        tickets.extend((2500..2510).map(ticket));
        let mut restorable = restorable.followed_by((2500..2510).map(ticket));
        let begun = restorable.take(10);
        let odd = |ticket: &Ticket| ticket.bancount % 2 == 1;
        let found = restorable.take_out(odd);
        let (wanted, others): (Vec<_>, Vec<_>) =
            tickets.iter().skip(begun.len()).cloned().partition(|ticket| odd(ticket));
        assert_eq!(found, wanted);
        assert_eq!(rest(restorable), others);
    }

    #[test]
    fn a_hundred_thousand_that_wait_take_less_than_ten_megabytes() {
        assert!(size_of::<Row>() <= 56, "{}", size_of::<Row>());
    }
}
