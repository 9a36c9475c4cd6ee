//! How one command of an action is run, and what is done when it fails: check, repair, once more.

use portcullis_jail::action::{Facts, Info, Operation, Script, TagError};
use portcullis_jail::{Family, Id, Level, LogLine, Ticket};

use super::action::Runner;
use super::state::{For, Started};
use super::{Executor, Outcome};

/// A start that failed with the jail is tried again before a ban, but not more often than every so many seconds.
const START_AGAIN: f64 = 10.0;

/// After so many failures in a row, a repair does not go on applying bans again.
const TOO_MANY: usize = 3;

/// The level of the commands themselves.
const COMMANDS: Level = Level(9);

/// A command that failed, or could not be made.
pub(super) struct Broken {
    /// What Fail2ban says of it, where that is not simply which operation failed.
    pub(super) said: Option<String>,
    /// What happened, for people.
    pub(super) reason: String,
}

pub(super) type Done = Result<(), Broken>;

impl From<TagError> for Broken {
    fn from(error: TagError) -> Self {
        Broken { said: Some(error.to_string()), reason: error.to_string() }
    }
}

impl Runner {
    /// Runs a command about a ticket; when it fails, finds out whether the environment is at fault, repairs that, and
    /// tries once more.
    pub(super) fn carry_out(
        &mut self,
        operation: Operation,
        ticket: &Ticket,
        info: &Info<'_>,
        exec: &mut dyn Executor,
        facts: &dyn Facts,
    ) -> Done {
        let whom = For::ticket(ticket);
        let Err(first) = self.run(operation, whom, info, exec) else { return Ok(()) };
        // Differs: without a check Fail2ban runs the failed command a second time at once, so that a notification is
        // sent twice.
        if first.said.is_some() || !self.action.has(Operation::Check) {
            return Err(first);
        }
        if self.invariant(whom, exec, facts).is_ok() {
            return self.run(operation, whom, info, exec);
        }
        if operation == Operation::Unban {
            if !self.may_repair(whom, "Unban", exec, facts) {
                return Err(first);
            }
        } else if let Err(broken) = self.repair(whom, exec, facts) {
            return Err(Broken { reason: first.reason, ..broken });
        }
        let done = self.run(operation, whom, info, exec);
        self.apply_again(whom, Some(&ticket.id), exec, facts);
        self.look_at_others(whom, exec, facts);
        done
    }

    /// Starts the action if a ban of this ticket needs it started.
    pub(super) fn start_before(
        &mut self,
        ticket: &Ticket,
        exec: &mut dyn Executor,
        facts: &dyn Facts,
    ) -> Done {
        if self.action.start_on_demand() {
            let whom = For::ticket(ticket);
            let start = self.start_key(whom);
            if self.state.started(whom) || self.state.started(start) {
                return Ok(());
            }
            return self.start_for(start, exec, facts);
        }
        // Differs: Fail2ban never tries again a start that failed with the jail.
        let due =
            self.start_failed.is_some_and(|failed| !(0.0..START_AGAIN).contains(&facts.now().since(failed)));
        if due {
            let started = self.start_for(For::All, exec, facts);
            self.start_failed = started.is_err().then(|| facts.now());
        }
        // As in Fail2ban, a ban is tried even so.
        Ok(())
    }

    /// Whose start a ban of `whom` waits for: what is no address counts as IPv4 where families differ.
    pub(super) fn start_key(&self, whom: For) -> For {
        if whom == For::Other && self.action.knows_families() { For::Family(Family::Inet4) } else { whom }
    }

    pub(super) fn start_for(&mut self, whom: For, exec: &mut dyn Executor, facts: &dyn Facts) -> Done {
        let info = Info::nobody(family_text(whom, ""), facts);
        match self.run(Operation::Start, whom, &info, exec) {
            Ok(()) => {
                self.state.entry(whom).broken = false;
                Ok(())
            }
            Err(broken) => {
                let said = format!(
                    "Error starting action Jail('{}')/{}: 'Script error'",
                    self.jail,
                    self.action.name()
                );
                let reason = format!("start: {}", broken.reason);
                Err(Broken { said: broken.said.or(Some(said)), reason })
            }
        }
    }

    /// Whether the environment is as it should be; there is no doubt without `actioncheck`.
    pub(super) fn invariant(&mut self, whom: For, exec: &mut dyn Executor, facts: &dyn Facts) -> Done {
        self.run(Operation::Check, whom, &Info::check(whom.family(), facts), exec)
    }

    /// Brings the environment back, by `actionrepair` or else by stop and start.
    pub(super) fn repair(&mut self, whom: For, exec: &mut dyn Executor, facts: &dyn Facts) -> Done {
        let say = |level, text: &str| LogLine::new(level, "CommandAction", text);
        exec.log(say(Level::ERROR, "Invariant check failed. Trying to restore a sane environment"));
        self.action.raise_epoch();
        // Until it is back: not started, but to be stopped in the end, whatever is left of it.
        self.state.entry(whom).broken = true;
        let restored = if self.action.has(Operation::Repair) {
            self.run(Operation::Repair, whom, &Info::check(whom.family(), facts), exec)
        } else {
            let info = Info::nobody(family_text(whom, ""), facts);
            let _ = self.run(Operation::Stop, whom, &info, exec);
            self.start_for(whom, exec, facts)?;
            Ok(())
        };
        if let Err(broken) = restored.and_then(|()| self.invariant(whom, exec, facts)) {
            self.state.entry(whom).broken = true;
            exec.log(say(Level::CRITICAL, "Unable to restore environment"));
            return Err(Broken {
                said: None,
                reason: format!("unable to restore environment: {}", broken.reason),
            });
        }
        *self.state.entry(whom) = Started::default();
        Ok(())
    }

    /// Repairs while bans are lifted, if the action wants that. Whether it succeeded.
    pub(super) fn may_repair(
        &mut self,
        whom: For,
        word: &str,
        exec: &mut dyn Executor,
        facts: &dyn Facts,
    ) -> bool {
        if self.action.repair_on_unban() {
            return self.repair(whom, exec, facts).is_ok();
        }
        let logger = if word == "Flush" { "actions" } else { "CommandAction" };
        exec.log(LogLine::new(
            Level::ERROR,
            logger,
            format!("Invariant check failed. {word} is impossible."),
        ));
        false
    }

    /// Applies again what a repair has lost, except for one that is being dealt with already.
    ///
    /// Differs: in Fail2ban older bans stay out of the kernel until their addresses show up again.
    pub(super) fn apply_again(
        &mut self,
        whom: For,
        except: Option<&Id>,
        exec: &mut dyn Executor,
        facts: &dyn Facts,
    ) {
        let all = whom == For::All || !self.action.knows_families();
        let tickets: Vec<_> = self
            .tickets()
            .into_iter()
            .filter(|ticket| all || self.start_key(For::ticket(ticket)) == whom)
            .filter(|ticket| Some(&ticket.id) != except)
            .collect();
        if let Some(lost) = &mut self.lost {
            lost.extend(tickets);
            return;
        }
        let mut failures = 0;
        for ticket in tickets {
            let ip = shown_ip(&ticket);
            let name = self.action.name();
            if failures >= TOO_MANY {
                self.mark(
                    &ticket.id,
                    Some("not applied again after a repair: the bans before it failed".into()),
                );
                continue;
            }
            exec.log(LogLine::new(
                Level::NOTICE,
                "actions",
                format!("[{}] Reban {ip}, action '{name}'", self.jail),
            ));
            let info = Info::ticket(&ticket, facts);
            match self.run(Operation::Reban, For::ticket(&ticket), &info, exec) {
                Ok(()) => {
                    failures = 0;
                    self.state.entry(For::ticket(&ticket)).items = true;
                    self.mark(&ticket.id, None);
                }
                Err(broken) => {
                    failures += 1;
                    self.mark(&ticket.id, Some(broken.reason.clone()));
                    self.complain("reban", &info, "banning", broken, exec);
                }
            }
        }
    }

    /// Who broke one family's environment may have broken the other's.
    fn look_at_others(&mut self, whom: For, exec: &mut dyn Executor, facts: &dyn Facts) {
        if !self.action.knows_families() {
            return;
        }
        for other in self.state.with_items() {
            if other != whom
                && self.invariant(other, exec, facts).is_err()
                && self.repair(other, exec, facts).is_ok()
            {
                self.apply_again(other, None, exec, facts);
            }
        }
    }

    /// Runs the script of an operation, if it has one.
    pub(super) fn run(
        &mut self,
        operation: Operation,
        whom: For,
        info: &Info<'_>,
        exec: &mut dyn Executor,
    ) -> Done {
        match self.action.render(operation, whom.family(), info)? {
            Some(script) => self.execute(&script, exec),
            None => Ok(()),
        }
    }

    /// The same, but scripts that were run already in this round (`done`) are not run again.
    pub(super) fn once(
        &mut self,
        operation: Operation,
        whom: For,
        info: &Info<'_>,
        done: &mut Vec<(Script, bool)>,
        exec: &mut dyn Executor,
    ) -> bool {
        let script = match self.action.render(operation, whom.family(), info) {
            Ok(Some(script)) => script,
            Ok(None) => return true,
            Err(_) => return false,
        };
        if let Some((_, success)) = done.iter().find(|(known, _)| *known == script) {
            return *success;
        }
        let success = self.execute(&script, exec).is_ok();
        done.push((script, success));
        success
    }

    fn execute(&mut self, script: &Script, exec: &mut dyn Executor) -> Done {
        exec.log(LogLine::new(COMMANDS, "action", script.shown()));
        let mut exit = exec.run(script, self.action.timeout());
        for line in std::mem::take(&mut exit.lines) {
            exec.log(line);
        }
        if exit.success() { Ok(()) } else { Err(Broken { said: None, reason: exit.reason() }) }
    }

    /// Fail2ban's line about a ban or unban that failed.
    pub(super) fn complain(
        &self,
        word: &str,
        info: &Info<'_>,
        doing: &str,
        broken: Broken,
        exec: &mut dyn Executor,
    ) -> Outcome {
        let said = broken.said.unwrap_or_else(|| format!("Error {doing} {}", info.ip()));
        let text = format!(
            "Failed to execute {word} jail '{}' action '{}' info '{info}': {said}",
            self.jail,
            self.action.name()
        );
        exec.log(LogLine::new(Level::ERROR, "actions", text));
        Outcome::Failed(broken.reason)
    }
}

/// What `<family>` says; `other` for offenders that are no addresses.
pub(super) fn family_text(whom: For, other: &str) -> &str {
    match whom {
        For::All => "",
        For::Family(family) => family.name(),
        For::Other => other,
    }
}

/// The address of a ticket as the log shows it.
pub(super) fn shown_ip(ticket: &Ticket) -> &str {
    ticket.ip.as_ref().unwrap_or(&ticket.id).text()
}
