//! News that wait to be written: bounded, in order, given up only with a count.

use std::collections::{HashSet, VecDeque};

use super::Write;

/// How many pieces of news wait at most while the database cannot be written to.
pub(super) const BOUND: usize = 100_000;

/// How the database does, for `portcullis status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The file, unless the database is switched off.
    pub file: Option<String>,
    /// How many pieces of news wait to be written.
    pub waiting: usize,
    /// How many were given up since the start.
    pub lost: u64,
    /// Why nothing is written now.
    pub trouble: Option<String>,
}

/// News in the order in which they came. Those that came together are written together or not at all.
#[derive(Debug, Default)]
pub struct Queue {
    batches: VecDeque<Vec<Write>>,
    len: usize,
    lost: u64,
}

impl Queue {
    /// Adds news that belong together. At the bound, first positions that a later one has made obsolete go, and the tallies that
    /// belong to them; should that not be enough, the oldest news, counted.
    pub fn push(&mut self, batch: Vec<Write>) {
        if batch.is_empty() {
            return;
        }
        self.len += pieces(&batch);
        self.batches.push_back(batch);
        if self.len > BOUND {
            self.drop_obsolete_positions();
        }
        // A tenth of the room at once, so that this is not done for every piece of news.
        if self.len > BOUND {
            while self.len > BOUND / 10 * 9 && self.batches.len() > 1 {
                let oldest = pieces(&self.batches.pop_front().unwrap_or_default());
                self.len -= oldest;
                self.lost += oldest as u64;
            }
        }
    }

    /// The news, oldest first.
    pub fn batches(&self) -> impl DoubleEndedIterator<Item = &[Write]> {
        self.batches.iter().map(Vec::as_slice)
    }

    /// Forgets the oldest batches: they are written.
    pub fn written(&mut self, batches: usize) {
        for batch in self.batches.drain(..batches.min(self.batches.len())) {
            self.len -= pieces(&batch);
        }
    }

    /// Forgets the oldest batch: it can never be written.
    pub fn refuse_oldest(&mut self) {
        if let Some(batch) = self.batches.pop_front() {
            self.len -= pieces(&batch);
            self.lost += pieces(&batch) as u64;
        }
    }

    /// How many pieces of news wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether all is written.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// How many were given up.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn drop_obsolete_positions(&mut self) {
        let (mut seen, mut counted) = (HashSet::new(), HashSet::new());
        for batch in self.batches.iter_mut().rev() {
            let before = pieces(batch);
            batch.reverse();
            batch.retain_mut(|write| match write {
                Write::Log { jail, path, .. } => seen.insert((jail.clone(), path.clone())),
                // The last ones stay, and are all that is known then: a crash forgets the others.
                Write::Tallies { jail, anew, .. } => {
                    *anew = true;
                    counted.insert(jail.clone())
                }
                _ => true,
            });
            batch.reverse();
            self.len -= before - pieces(batch);
        }
        self.batches.retain(|batch| !batch.is_empty());
    }
}

/// How many pieces of news these are: each changed count is one.
fn pieces(batch: &[Write]) -> usize {
    let pieces = |write: &Write| match write {
        Write::Tallies { changes, .. } => 1 + changes.len(),
        _ => 1,
    };
    batch.iter().map(pieces).sum()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use portcullis_jail::Id;
    use portcullis_jail::tally::Changes;

    use super::super::Position;
    use super::*;

    fn log(path: &str, position: u64) -> Write {
        let position = Position { first_line: String::new(), position };
        Write::Log { jail: "j".into(), path: Path::new(path).into(), position }
    }

    fn unban(n: usize) -> Write {
        Write::Unban { jail: "j".into(), id: n.to_string() }
    }

    #[test]
    fn at_the_bound_obsolete_positions_go_before_anything_else() {
        let mut queue = Queue::default();
        queue.push(vec![unban(0), log("/a", 1)]);
        for n in 0..BOUND as u64 {
            queue.push(vec![log("/a", n), log("/b", n)]);
        }
        assert_eq!(queue.lost(), 0);
        assert!(queue.len() <= BOUND);
        assert!(matches!(queue.batches().next().unwrap(), [Write::Unban { .. }]));
        let last = queue.batches().next_back().unwrap();
        assert!(matches!(&last[1], Write::Log { position, .. } if position.position == BOUND as u64 - 1));
    }

    #[test]
    fn tallies_do_not_outlive_the_positions_to_which_they_belong() {
        let mut queue = Queue::default();
        // Each changed count is a piece of news: what waits is bounded, however many fail.
        let changes: Changes = (0..98).map(|n| (Id::new(&n.to_string()), None)).collect();
        for n in 0..=BOUND as u64 / 100 {
            let tallies = Write::Tallies { jail: "j".into(), anew: false, changes: changes.clone() };
            queue.push(vec![log("/a", n), tallies]);
        }
        assert_eq!((queue.len(), queue.lost()), (100, 0));
        let only = queue.batches().next().unwrap();
        assert!(matches!(only, [Write::Log { .. }, Write::Tallies { anew: true, .. }]), "{only:?}");
    }

    #[test]
    fn beyond_the_bound_the_oldest_go_and_are_counted() {
        let mut queue = Queue::default();
        for n in 0..BOUND + 5 {
            queue.push(vec![unban(n)]);
        }
        assert!(queue.len() <= BOUND);
        assert_eq!(queue.len() as u64 + queue.lost(), BOUND as u64 + 5);
        queue.written(3);
        queue.refuse_oldest();
        assert_eq!(queue.batches().count(), queue.len());
        assert_eq!(queue.lost() as usize + queue.len() + 3, BOUND + 5);
    }
}
