//! One action of a jail.

use std::sync::Arc;

use indexmap::IndexMap;
use portcullis_jail::action::{Action, Facts, Info, Operation};
use portcullis_jail::{Family, Id, Level, LogLine, Ticket, Timestamp};

use super::command::{family_text, shown_ip};
use super::state::{For, State};
use super::{Executor, Outcome};

/// A ban that is this action's business.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) ticket: Arc<Ticket>,
    /// Its place among all bans: the map loses the order when one ends.
    number: u64,
    /// Why it is not in force, as far as commands can tell.
    failed: Option<String>,
}

/// An action, its state, and the bans that it has to keep in force.
#[derive(Debug)]
pub struct Runner {
    pub(super) jail: String,
    pub(super) action: Action,
    pub(super) state: State,
    pub(super) kept: IndexMap<Id, Kept>,
    /// All bans so far.
    count: u64,
    /// When the start with the jail last failed; none when it did not.
    pub(super) start_failed: Option<Timestamp>,
    /// What repairs have lost, where somebody else puts it back.
    pub(super) lost: Option<Vec<Arc<Ticket>>>,
}

impl Runner {
    /// An action that has not been started.
    pub fn new(jail: impl Into<String>, action: Action) -> Self {
        Runner {
            jail: jail.into(),
            action,
            state: State::default(),
            kept: IndexMap::new(),
            count: 0,
            start_failed: None,
            lost: None,
        }
    }

    /// The jail's name.
    pub fn jail(&self) -> &str {
        &self.jail
    }

    /// The action's properties.
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// The action's properties, to be changed; what is changed counts from the next command on.
    pub fn action_mut(&mut self) -> &mut Action {
        &mut self.action
    }

    /// The bans whose commands failed, and why; in no order.
    pub fn failed(&self) -> impl Iterator<Item = (&Arc<Ticket>, &str)> {
        self.kept.values().filter_map(|kept| Some((&kept.ticket, kept.failed.as_deref()?)))
    }

    /// How many bans this action has to keep in force.
    pub fn banned(&self) -> usize {
        self.kept.len()
    }

    /// The jail starts. An action that starts on demand does nothing yet.
    pub fn start(&mut self, exec: &mut dyn Executor, facts: &dyn Facts) -> Outcome {
        if self.action.start_on_demand() {
            return Outcome::Done;
        }
        match self.start_for(For::All, exec, facts) {
            Ok(()) => Outcome::Done,
            Err(broken) => {
                self.start_failed = Some(facts.now());
                let why = broken.said.unwrap_or_default();
                let text =
                    format!("Failed to start jail '{}' action '{}': {why}", self.jail, self.action.name());
                exec.log(LogLine::new(Level::ERROR, "actions", text));
                Outcome::Failed(broken.reason)
            }
        }
    }

    /// Somebody is banned.
    pub fn ban(&mut self, ticket: &Arc<Ticket>, exec: &mut dyn Executor, facts: &dyn Facts) -> Outcome {
        self.apply(Operation::Ban, "ban", ticket, exec, facts)
    }

    /// Somebody is banned still, and is to be banned again: a retry, or after the environment was found broken.
    pub fn reban(&mut self, ticket: &Arc<Ticket>, exec: &mut dyn Executor, facts: &dyn Facts) -> Outcome {
        self.apply(Operation::Reban, "reban", ticket, exec, facts)
    }

    fn apply(
        &mut self,
        operation: Operation,
        word: &str,
        ticket: &Arc<Ticket>,
        exec: &mut dyn Executor,
        facts: &dyn Facts,
    ) -> Outcome {
        if ticket.restored && self.action.norestored() {
            return Outcome::Done;
        }
        let info = Info::ticket(ticket, facts);
        self.keep(ticket);
        let whom = self.start_key(For::ticket(ticket));
        let was_broken = self.state.broken(whom);
        let done = match self.start_before(ticket, exec, facts) {
            Ok(()) => self.carry_out(operation, ticket, &info, exec, facts),
            Err(broken) => Err(broken),
        };
        match done {
            Ok(()) => {
                self.state.entry(For::ticket(ticket)).items = true;
                if was_broken {
                    self.state.entry(whom).broken = false;
                    self.apply_again(whom, Some(&ticket.id), exec, facts);
                }
                Outcome::Done
            }
            Err(broken) => {
                self.mark(&ticket.id, Some(broken.reason.clone()));
                self.complain(word, &info, "banning", broken, exec)
            }
        }
    }

    fn keep(&mut self, ticket: &Arc<Ticket>) {
        self.count += 1;
        let number = self.kept.get(&ticket.id).map_or(self.count, |kept| kept.number);
        let kept = Kept { ticket: Arc::clone(ticket), number, failed: None };
        self.kept.insert(ticket.id.clone(), kept);
    }

    /// From now on, bans that a repair has lost are not applied again here: the caller asks for them by
    /// [`Runner::lost`].
    pub fn leave_lost(&mut self) {
        self.lost = Some(Vec::new());
    }

    /// The bans that repairs have lost since this was last asked.
    pub fn lost(&mut self) -> Vec<Arc<Ticket>> {
        self.lost.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Prepares for a ban that is carried out without a command: starts the action if that is due. Whether it may be.
    pub fn prepare(&mut self, ticket: &Arc<Ticket>, exec: &mut dyn Executor, facts: &dyn Facts) -> bool {
        let broken = self.state.broken(self.start_key(For::ticket(ticket)));
        !broken && self.start_before(ticket, exec, facts).is_ok()
    }

    /// A ban was carried out without a command.
    pub fn was_banned(&mut self, ticket: &Arc<Ticket>) {
        self.keep(ticket);
        self.state.entry(For::ticket(ticket)).items = true;
    }

    /// Whether somebody of the ticket's family has been banned since the start (or the last flush).
    pub fn has_bans_like(&self, ticket: &Ticket) -> bool {
        self.state.has_items(For::ticket(ticket))
    }

    /// A ban has ended, and was lifted without a command.
    pub fn was_unbanned(&mut self, ticket: &Ticket, exec: &mut dyn Executor) {
        self.kept.swap_remove(&ticket.id);
        exec.log(self.unban_line(ticket));
    }

    fn unban_line(&self, ticket: &Ticket) -> LogLine {
        let text = format!("[{}] action '{}': unban {}", self.jail, self.action.name(), shown_ip(ticket));
        LogLine::new(Level::DEBUG, "actions", text)
    }

    /// A ban's time has grown. Nothing happens without `actionprolong`.
    pub fn prolong(&mut self, ticket: &Arc<Ticket>, exec: &mut dyn Executor, facts: &dyn Facts) -> Outcome {
        if let Some(kept) = self.kept.get_mut(&ticket.id) {
            kept.ticket = Arc::clone(ticket);
        }
        if (ticket.restored && self.action.norestored()) || !self.action.has(Operation::Prolong) {
            return Outcome::Done;
        }
        let info = Info::ticket(ticket, facts);
        match self.carry_out(Operation::Prolong, ticket, &info, exec, facts) {
            Ok(()) => Outcome::Done,
            Err(broken) => self.complain("ban", &info, "prolonging", broken, exec),
        }
    }

    /// A ban has ended. Nothing happens if nobody of the family has been banned since the start (or the last flush).
    pub fn unban(&mut self, ticket: &Ticket, exec: &mut dyn Executor, facts: &dyn Facts) -> Outcome {
        self.kept.swap_remove(&ticket.id);
        exec.log(self.unban_line(ticket));
        if !self.state.has_items(For::ticket(ticket)) {
            return Outcome::Done;
        }
        let info = Info::ticket(ticket, facts);
        match self.carry_out(Operation::Unban, ticket, &info, exec, facts) {
            Ok(()) => Outcome::Done,
            Err(broken) => self.complain("unban", &info, "unbanning", broken, exec),
        }
    }

    /// A ban was to be lifted and holds still: the same command once more.
    pub fn lift_again(&mut self, ticket: &Ticket, exec: &mut dyn Executor, facts: &dyn Facts) {
        let info = Info::ticket(ticket, facts);
        // Whoever asks looks for himself what came of it.
        let _ = self.run(Operation::Unban, For::ticket(ticket), &info, exec);
    }

    /// Whether bans are lifted by one command, not one by one, when all are.
    pub fn can_flush(&self) -> bool {
        self.action.has(Operation::Flush)
    }

    /// All bans end at once, for an action that can do so.
    pub fn flush(&mut self, exec: &mut dyn Executor, facts: &dyn Facts) -> Outcome {
        let mut failed = Vec::new();
        let mut flushed = Vec::new();
        for whom in self.state.with_items() {
            let info = Info::nobody(family_text(whom, "None"), facts);
            if self.once(Operation::Flush, whom, &info, &mut flushed, exec) {
                self.state.entry(whom).items = false;
            } else {
                failed.push(whom);
            }
        }
        if failed.is_empty() {
            self.kept.clear();
            return Outcome::Done;
        }
        let why =
            format!("Error flushing action Jail('{}')/{}: 'Script error'", self.jail, self.action.name());
        let text =
            format!("Failed to flush bans in jail '{}' action '{}': {why}", self.jail, self.action.name());
        exec.log(LogLine::new(Level::ERROR, "actions", text));
        exec.log(LogLine::new(Level::INFO, "actions", "No flush occurred, do consistency check"));
        for whom in self.state.all() {
            if self.invariant(whom, exec, facts).is_ok() {
                continue;
            }
            // What could not be repaired has nothing to lift any more, nor has what was stopped and started.
            if !self.may_repair(whom, "Flush", exec, facts) || !self.action.has(Operation::Repair) {
                failed.retain(|failed| *failed != whom);
            }
        }
        self.lift_one_by_one(&failed, exec, facts);
        self.kept.clear();
        Outcome::Failed(why)
    }

    /// Differs: Fail2ban leaves the bans of a failed flush in the kernel.
    fn lift_one_by_one(&mut self, whom: &[For], exec: &mut dyn Executor, facts: &dyn Facts) {
        for ticket in self.tickets().iter().filter(|ticket| whom.contains(&For::ticket(ticket))) {
            let info = Info::ticket(ticket, facts);
            if let Err(broken) = self.run(Operation::Unban, For::ticket(ticket), &info, exec) {
                self.complain("unban", &info, "unbanning", broken, exec);
            }
        }
        for whom in whom {
            self.state.entry(*whom).items = false;
        }
    }

    /// The jail stops, or the action is removed. Bans must have been lifted before.
    pub fn stop(&mut self, exec: &mut dyn Executor, facts: &dyn Facts) -> Outcome {
        let mut stopped = Vec::new();
        let mut failed = false;
        for whom in self.state.all() {
            let other = if self.action.knows_families() { "None" } else { "" };
            let info = Info::nobody(family_text(whom, other), facts);
            failed |= !self.once(Operation::Stop, whom, &info, &mut stopped, exec);
        }
        self.state.clear();
        self.kept.clear();
        self.start_failed = None;
        if !failed {
            return Outcome::Done;
        }
        let why =
            format!("Error stopping action Jail('{}')/{}: 'Script error'", self.jail, self.action.name());
        let text = format!("Failed to stop jail '{}' action '{}': {why}", self.jail, self.action.name());
        exec.log(LogLine::new(Level::ERROR, "actions", text));
        Outcome::Failed(why)
    }

    /// Whether it is started for a family, or need not be.
    pub fn is_started(&self, family: Family) -> bool {
        let started = self.state.all();
        !self.action.start_on_demand()
            || started.contains(&For::All)
            || started.contains(&For::Family(family))
    }

    /// A killed server had started it for a family of whom nobody is banned now: that is stopped.
    pub fn stop_left(&mut self, family: Family, exec: &mut dyn Executor, facts: &dyn Facts) {
        let info = Info::nobody(family.name(), facts);
        // Whatever comes of it, the next ban starts anew.
        let _ = self.run(Operation::Stop, For::Family(family), &info, exec);
    }

    /// The configuration has been read again, and this action is still there. The error is the answer to the command.
    pub fn reload(&mut self, exec: &mut dyn Executor, facts: &dyn Facts) -> Outcome {
        let mut done = Vec::new();
        let mut failed = false;
        for whom in self.state.all() {
            let info = Info::nobody(family_text(whom, ""), facts);
            failed |= !self.once(Operation::Reload, whom, &info, &mut done, exec);
        }
        if failed {
            let name = self.action.name();
            return Outcome::Failed(format!(
                "Error reloading action Jail('{}')/{name}: 'Script error'",
                self.jail
            ));
        }
        Outcome::Done
    }

    /// Somebody who is banned showed up again: is the environment as it should be? If not, it is repaired.
    pub fn check(&mut self, exec: &mut dyn Executor, facts: &dyn Facts) -> Outcome {
        let mut outcome = Outcome::Done;
        for whom in self.state.all() {
            if self.invariant(whom, exec, facts).is_ok() {
                continue;
            }
            match self.repair(whom, exec, facts) {
                Ok(()) => self.apply_again(whom, None, exec, facts),
                Err(broken) => outcome = Outcome::Failed(broken.reason),
            }
        }
        outcome
    }

    /// All bans, in their order.
    pub(super) fn tickets(&self) -> Vec<Arc<Ticket>> {
        let mut kept: Vec<&Kept> = self.kept.values().collect();
        kept.sort_unstable_by_key(|kept| kept.number);
        kept.into_iter().map(|kept| Arc::clone(&kept.ticket)).collect()
    }

    /// Notes whether a ban is in force, as far as commands can tell.
    pub(super) fn mark(&mut self, id: &Id, failed: Option<String>) {
        if let Some(kept) = self.kept.get_mut(id) {
            kept.failed = failed;
        }
    }
}
