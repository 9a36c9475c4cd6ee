//! Bans that got longer, and when the actions are to learn of it: Fail2ban's observer waits a little, since a ban that ends
//! meanwhile need not be prolonged.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_jail::{Id, Ticket};

/// What is put off, at most one for each ban.
#[derive(Debug, Default)]
pub(super) struct Prolongs {
    by_time: BTreeMap<(Instant, u64), Arc<Ticket>>,
    by_id: HashMap<Id, (Instant, u64)>,
    next: u64,
}

impl Prolongs {
    /// Puts off for so many seconds; what was put off for the same ban before is replaced.
    pub(super) fn put_off(&mut self, ticket: Arc<Ticket>, seconds: f64) {
        self.forget(&ticket.id);
        let rest = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default();
        let now = Instant::now();
        let key = (now.checked_add(rest).unwrap_or(now), self.next);
        self.next += 1;
        self.by_id.insert(ticket.id.clone(), key);
        self.by_time.insert(key, ticket);
    }

    /// The ban is over.
    pub(super) fn forget(&mut self, id: &Id) {
        if let Some(key) = self.by_id.remove(id) {
            self.by_time.remove(&key);
        }
    }

    /// All bans are over.
    pub(super) fn clear(&mut self) {
        self.by_time.clear();
        self.by_id.clear();
    }

    /// What is due, in its order.
    pub(super) fn due(&mut self) -> Vec<Arc<Ticket>> {
        if self.by_time.is_empty() {
            return Vec::new();
        }
        let later = self.by_time.split_off(&(Instant::now(), u64::MAX));
        let due = std::mem::replace(&mut self.by_time, later);
        for ticket in due.values() {
            self.by_id.remove(&ticket.id);
        }
        due.into_values().collect()
    }

    /// How long until something is due.
    pub(super) fn rest(&self) -> Duration {
        let first = self.by_time.first_key_value();
        first.map_or(Duration::MAX, |((at, _), _)| at.saturating_duration_since(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_jail::Timestamp;

    fn ticket(id: &str) -> Arc<Ticket> {
        Arc::new(Ticket::by_hand(Id::new(id), Timestamp(0.0)))
    }

    #[test]
    fn what_is_put_off_comes_when_it_is_due_and_not_when_the_ban_is_over() {
        let mut prolongs = Prolongs::default();
        assert_eq!(prolongs.rest(), Duration::MAX);
        for (id, seconds) in
            [("192.0.2.3", 3600.0), ("192.0.2.1", 0.0), ("192.0.2.2", -5.0), ("192.0.2.4", 0.0)]
        {
            prolongs.put_off(ticket(id), seconds);
        }
        prolongs.put_off(ticket("192.0.2.4"), 7200.0);
        assert_eq!(prolongs.rest(), Duration::ZERO);
        let due: Vec<String> = prolongs.due().iter().map(|ticket| ticket.id.to_string()).collect();
        assert_eq!(due, ["192.0.2.1", "192.0.2.2"]);
        assert!(prolongs.due().is_empty());
        assert!(prolongs.rest() > Duration::from_secs(3500));
        prolongs.forget(&Id::new("192.0.2.3"));
        assert!(prolongs.rest() > Duration::from_secs(7000));
        prolongs.clear();
        assert_eq!((prolongs.rest(), prolongs.by_id.len()), (Duration::MAX, 0));
    }
}
