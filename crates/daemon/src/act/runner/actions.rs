//! All actions of a jail: in configuration order for bans, in reverse order for the end.

use std::sync::Arc;

use portcullis_jail::action::{Action, Facts};
use portcullis_jail::{Level, LogLine, Ticket};

use super::action::Runner;
use super::command::shown_ip;
use super::{Executor, Outcome};

/// The actions of one jail.
#[derive(Debug)]
pub struct Actions {
    jail: String,
    runners: Vec<Runner>,
}

impl Actions {
    /// A jail without actions.
    pub fn new(jail: impl Into<String>) -> Self {
        Actions { jail: jail.into(), runners: Vec::new() }
    }

    /// Adds an action at the end. Whether there was none of its name yet.
    pub fn add(&mut self, action: Action) -> bool {
        if self.get(action.name()).is_some() {
            return false;
        }
        self.runners.push(Runner::new(self.jail.clone(), action));
        true
    }

    /// All actions, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Runner> {
        self.runners.iter()
    }

    /// All actions, in their order, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Runner> {
        self.runners.iter_mut()
    }

    /// The action of this name.
    pub fn get(&self, name: &str) -> Option<&Runner> {
        self.runners.iter().find(|runner| runner.action().name() == name)
    }

    /// The action of this name, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Runner> {
        self.runners.iter_mut().find(|runner| runner.action().name() == name)
    }

    /// The jail starts.
    pub fn start(&mut self, exec: &mut dyn Executor, facts: &dyn Facts) {
        for runner in &mut self.runners {
            runner.start(exec, facts);
        }
    }

    /// Somebody is banned; what became of it, action by action. `[J] Ban …` has been logged by the caller.
    pub fn ban(&mut self, ticket: &Arc<Ticket>, exec: &mut dyn Executor, facts: &dyn Facts) -> Vec<Outcome> {
        self.runners.iter_mut().map(|runner| runner.ban(ticket, exec, facts)).collect()
    }

    /// A ban has ended. `[J] Unban …` has been logged by the caller.
    pub fn unban(&mut self, ticket: &Ticket, exec: &mut dyn Executor, facts: &dyn Facts) -> Vec<Outcome> {
        self.runners.iter_mut().map(|runner| runner.unban(ticket, exec, facts)).collect()
    }

    /// A ban's time has grown.
    pub fn prolong(&mut self, ticket: &Arc<Ticket>, exec: &mut dyn Executor, facts: &dyn Facts) {
        for runner in &mut self.runners {
            runner.prolong(ticket, exec, facts);
        }
    }

    /// Somebody who is banned showed up again, more than 3 s after the ban: looks after the environment of all actions.
    pub fn check(&mut self, exec: &mut dyn Executor, facts: &dyn Facts) {
        for runner in &mut self.runners {
            runner.check(exec, facts);
        }
    }

    /// All bans end: those that can lift them at once do, the others one by one, with the `Unban` lines.
    pub fn flush(&mut self, tickets: &[Arc<Ticket>], exec: &mut dyn Executor, facts: &dyn Facts) {
        for runner in self.runners.iter_mut().filter(|runner| runner.can_flush()) {
            let text = format!("[{}] Flush ticket(s) with {}", self.jail, runner.action().name());
            exec.log(LogLine::new(Level::NOTICE, "actions", text));
            runner.flush(exec, facts);
        }
        for ticket in tickets {
            let text = format!("[{}] Unban {}", self.jail, shown_ip(ticket));
            exec.log(LogLine::new(Level::NOTICE, "actions", text));
            for runner in self.runners.iter_mut().filter(|runner| !runner.can_flush()) {
                runner.unban(ticket, exec, facts);
            }
        }
    }

    /// The jail stops; its bans have been lifted by [`Actions::flush`].
    pub fn stop(&mut self, exec: &mut dyn Executor, facts: &dyn Facts) {
        for runner in self.runners.iter_mut().rev() {
            runner.stop(exec, facts);
            let text = format!("{}: action {} terminated", self.jail, runner.action().name());
            exec.log(LogLine::new(Level::DEBUG, "actions", text));
        }
    }

    /// Takes an action away: its bans are lifted without `Unban` lines, then it is stopped. Whether it was there.
    pub fn remove(
        &mut self,
        name: &str,
        tickets: &[Arc<Ticket>],
        exec: &mut dyn Executor,
        facts: &dyn Facts,
    ) -> bool {
        let Some(index) = self.runners.iter().position(|runner| runner.action().name() == name) else {
            return false;
        };
        let mut runner = self.runners.remove(index);
        if runner.can_flush() {
            runner.flush(exec, facts);
        } else {
            for ticket in tickets {
                runner.unban(ticket, exec, facts);
            }
        }
        runner.stop(exec, facts);
        true
    }
}
