//! The end of bans: what we say is lifted, is lifted. Where the kernel still has it, that is told, and it is tried again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_jail::{Id, Level, Ticket};

use super::carrier::Left;
use super::{RETRIED, Working};
use crate::act::nft::Keep;

/// After the first failure it is tried again after this time, then after twice that, and so on.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest pause between two tries.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Bans that were to be lifted and are in force still. No more than there were bans.
#[derive(Default)]
pub(super) struct Lingering(HashMap<Id, Linger>);

struct Linger {
    ticket: Arc<Ticket>,
    why: String,
    tries: u32,
    again: Instant,
}

impl Lingering {
    /// When one is to be tried again.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.0.values().map(|linger| linger.again).min()
    }

    /// It is banned anew, or nobody's business any more.
    pub(super) fn forget(&mut self, id: &Id) {
        if !self.0.is_empty() {
            self.0.remove(id);
        }
    }

    /// What is wrong, for people.
    pub(super) fn finding(&self) -> Option<String> {
        let (id, first) = self.0.iter().next()?;
        Some(format!("{} ban(s) could not be lifted, {id} for one: {}", self.0.len(), first.why))
    }

    fn due(&self) -> Vec<Arc<Ticket>> {
        let now = Instant::now();
        let due = self.0.values().filter(|linger| linger.again <= now).take(RETRIED);
        due.map(|linger| Arc::clone(&linger.ticket)).collect()
    }
}

impl Working {
    pub(super) fn unban(&mut self, mut tickets: Vec<Arc<Ticket>>) {
        // What was not restored yet is not restored any more, and what a killed server has left of it goes as well.
        if !self.restored.is_empty() {
            let (held, waiting) = tickets.into_iter().partition(|ticket| self.ledger.contains(&ticket.id));
            tickets = held;
            let waiting: Vec<Arc<Ticket>> = waiting;
            let ids: Vec<Id> = waiting.iter().map(|ticket| ticket.id.clone()).collect();
            self.carrier.lift_left_behind(&ids);
            self.ended.extend(waiting.into_iter().map(|ticket| ticket.id.clone()));
        }
        for ticket in &tickets {
            self.ledger.remove(&ticket.id);
            self.inquiries.forget(&ticket.id);
        }
        if !tickets.is_empty() {
            self.lift(&tickets, false);
        }
    }

    /// Bans whose end failed.
    pub(super) fn lift_again(&mut self) {
        let tickets = self.lingering.due();
        if !tickets.is_empty() {
            self.lift(&tickets, true);
        }
    }

    fn lift(&mut self, tickets: &[Arc<Ticket>], again: bool) {
        let left = self.carrier.unban(tickets, again, &*self.facts, &self.log);
        if left.is_empty() && self.lingering.0.is_empty() {
            return;
        }
        self.note_left(tickets, left);
    }

    /// Notes which of these bans are in force still, and tells it.
    fn note_left(&mut self, tickets: &[Arc<Ticket>], left: Left) {
        let mut left: HashMap<Id, String> = left.into_iter().collect();
        let (jail, name) = (&self.jail, self.carrier.name());
        for ticket in tickets {
            let id = &ticket.id;
            let before = self.lingering.0.remove(id).map_or(0, |linger| linger.tries);
            let Some(why) = left.remove(id) else {
                if before > 0 {
                    let text = format!(
                        "[{jail}] {id} is unbanned now by action '{name}', after {before} failure(s)"
                    );
                    self.log.say(Level::NOTICE, "actions", text);
                }
                continue;
            };
            if before == 0 {
                let text = format!("[{jail}] {id} is NOT unbanned by action '{name}': {why}. Trying again");
                self.log.error("actions", text);
            }
            let pause = FIRST_RETRY.saturating_mul(1 << before.min(6)).min(LONGEST_RETRY);
            let ticket = Arc::clone(ticket);
            let linger = Linger { ticket, why, tries: before + 1, again: Instant::now() + pause };
            self.lingering.0.insert(id.clone(), linger);
        }
    }

    /// Once all earlier bans are in force again, what a former server left beyond them is taken away.
    pub(super) fn clear_away(&mut self) {
        if !self.settled || !self.restored.is_empty() {
            return;
        }
        self.hush = None;
        self.read_back();
        if self.carrier.is_own() {
            self.verify();
        } else if !std::mem::replace(&mut self.swept, true) {
            self.sweep();
        }
    }

    fn sweep(&mut self) {
        let keep = Keep::new(self.ledger.ids().filter_map(|id| Some(id.net()?.trunc())).collect());
        let Some(_alone) = self.carriage.shelter.alone(self.number) else { return };
        match self.carrier.sweep(&keep, &*self.facts, &self.log) {
            Ok(0) => {}
            Ok(surplus) => {
                let text = format!(
                    "[{}] action '{}': {surplus} rule(s) or element(s) of a server that did not stop were taken away",
                    self.jail,
                    self.carrier.name()
                );
                self.log.info("actions", text);
            }
            Err(why) => {
                let text = format!(
                    "[{}] action '{}': what another server may have left cannot be taken away: {why}",
                    self.jail,
                    self.carrier.name()
                );
                self.log.warning("actions", text);
            }
        }
    }
}
