//! What becomes of a jail's effects: lines for the log, orders for the actions, records for the database; and the bans that come
//! back from there.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use portcullis_jail::filter::Moment;
use portcullis_jail::jail::{Effect, WHY};
use portcullis_jail::{Id, Level, LogLine, Ticket};
use portcullis_value::Value;
use portcullis_wire::event::Kind;

use super::running::Running;
use super::surroundings::now;
use crate::act::worker::{self, Done};
use crate::events::Event;
use crate::store::Progress;

impl Running {
    /// Does what the jail wants done. In the log, that stands before what an action says, as in Fail2ban.
    pub(super) fn carry_out(&mut self, effects: Vec<Effect>, done: &Done) {
        let name = Arc::clone(self.definition.name());
        let events = self.surroundings.log.events().clone();
        self.remember(&effects);
        // In a dry run, what would be done stands between the lines.
        let together = !self.surroundings.dry_run;
        // What else is ordered stands in the order of the effects.
        let bans_alone = !effects.iter().any(|effect| matches!(effect, Effect::Unban(_)));
        let at_once = together && bans_alone;
        if together {
            let lines = effects.iter().filter_map(|effect| match effect {
                Effect::Say(line) => Some(line),
                _ => None,
            });
            // A disk that takes its time for the log must not hold up a ban.
            let start = || {
                for effect in effects.iter().filter(|_| at_once) {
                    let Effect::Ban(ticket) = effect else { continue };
                    for worker in self.workers.values().filter(|worker| worker.never_says_no()) {
                        worker.order(worker::Order::Ban(Arc::clone(ticket), done.clone()));
                    }
                }
            };
            self.surroundings.log.write_all_after(lines, start);
        }
        for effect in effects {
            match effect {
                Effect::Say(_) if together => {}
                Effect::Say(line) => self.surroundings.log.write(&line),
                Effect::Found(id) => events.tell(Event::new(Kind::Found).jail(&name).address(&id)),
                Effect::Ban(ticket) => {
                    events.tell(self.ban_event(&name, &ticket));
                    for worker in self.workers.values().filter(|worker| !at_once || !worker.never_says_no()) {
                        worker.order(worker::Order::Ban(Arc::clone(&ticket), done.clone()));
                    }
                }
                Effect::Unban(ticket) => {
                    events.tell(Event::new(Kind::Unban).jail(&name).address(&ticket.id));
                    self.surroundings.incidents.forget(&name, &ticket.id);
                    self.prolongs.forget(&ticket.id);
                    for worker in self.workers.values() {
                        worker.order(worker::Order::Unban(Arc::clone(&ticket), done.clone()));
                    }
                }
                // The kernel keeps a ban a minute longer than it was to last: ours can wait as well.
                Effect::Prolong(ticket, after) => self.prolongs.put_off(ticket, after),
                Effect::Remember(_) => {}
                Effect::StillHere(ticket) => {
                    for worker in self.workers.values() {
                        worker.order(worker::Order::Check(Arc::clone(&ticket)));
                    }
                }
                Effect::StillFails(id) => {
                    for worker in self.workers.values() {
                        worker.order(worker::Order::Inquire(id.clone()));
                    }
                }
                Effect::WouldBan(ticket) => {
                    let bantime = self.definition.jail.bans.bantime();
                    let text = format!(
                        "[{name}] Would ban {} for {bantime} seconds (dry run: nobody is banned)",
                        ticket.id
                    );
                    let event = Event::new(Kind::WouldBan).jail(&name).address(&ticket.id).bantime(&bantime);
                    self.surroundings.log.write_as(&LogLine::new(Level::NOTICE, "actions", text), event);
                }
            }
        }
    }

    /// Gives the database what it is to keep: before the actions start, for they may ask it (`<ipmatches>`).
    fn remember(&mut self, effects: &[Effect]) {
        let mut tickets = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Remember(ticket) => Some(ticket),
                _ => None,
            })
            .peekable();
        while let Some(ticket) = tickets.next() {
            let bantime = ticket.bantime.clone().unwrap_or_else(|| self.definition.jail.bans.bantime());
            // The place in the log and the bans that its lines caused are written together: it goes with the last of them. Should
            // we be killed in between, the lines are judged again, and nobody is passed over.
            let progress = if tickets.peek().is_none() { self.progress() } else { Progress::default() };
            self.surroundings.store.banned(self.definition.name(), ticket, &bantime, progress);
            self.positions_kept = Instant::now();
        }
    }

    pub(super) fn ban_event(&self, jail: &Arc<str>, ticket: &Ticket) -> Event {
        let kind = if ticket.restored { Kind::Restore } else { Kind::Ban };
        let bantime = ticket.bantime.clone().unwrap_or_else(|| self.definition.jail.bans.bantime());
        let event = Event::new(kind).jail(jail).address(&ticket.id).bantime(&bantime);
        match (ticket.data.get(WHY).and_then(Value::as_str), ticket.failures) {
            (Some(why), _) => event.text(why),
            (None, 0) => event,
            (None, failures) => event.text(&format!("{failures} failures")),
        }
    }

    /// Of bans that wait to be restored, those that these are about come first: they are to be lifted.
    pub(super) fn restore_first(&mut self, ids: &[Id]) {
        if self.restoring.is_over() {
            return;
        }
        let exact: HashSet<&Id> = ids.iter().collect();
        let nets: Vec<_> = ids.iter().filter(|id| id.is_network()).filter_map(Id::covers).collect();
        let inside =
            |id: &Id| id.covers().is_some_and(|inner| nets.iter().any(|net| net.contains(&inner.network())));
        let first = self.restoring.take_out(|ticket| exact.contains(&ticket.id) || inside(&ticket.id));
        self.restore(first);
    }

    /// Bans as in former times, but for those whom one would not ban today.
    pub(super) fn restore(&mut self, tickets: Vec<Ticket>) {
        if tickets.is_empty() {
            return;
        }
        let mut effects = Vec::new();
        let at = Moment { now: now(), in_operation: true };
        for ticket in tickets {
            let mut lines = Vec::new();
            let by = self.definition.jail.ignore.covers(&ticket.id, &mut self.outside, &mut lines);
            effects.extend(lines.into_iter().map(Effect::Say));
            if let Some(by) = by {
                let text = format!("[{}] Ignore {} by {by}", self.definition.name(), ticket.id);
                effects.push(Effect::Say(LogLine::new(Level::INFO, "filter", text)));
                continue;
            }
            self.definition.jail.ban(ticket, at, &mut self.outside, &mut effects);
        }
        self.facts.update(&self.definition.jail);
        self.carry_out(effects, &None);
    }
}
