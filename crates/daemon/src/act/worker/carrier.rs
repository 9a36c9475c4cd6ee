//! What carries an action out: the user's commands in a shell, or the kernel directly.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portcullis_config::JailSettings;
use portcullis_jail::action::{Action, Facts, Script};
use portcullis_jail::{Id, Level, LogLine, Ticket, Timestamp};

use super::health::Enforcement;
use crate::act::nft::{DefaultAction, Error, Firewall, Services, Wanted};
use crate::act::runner::{Executor, Outcome, Runner};
use crate::act::shell::{Exit, Shell};
use crate::log::Log;

/// What the threads of all actions share: the firewall's socket and the names of ports.
#[derive(Default)]
pub(crate) struct Shelter {
    firewall: Mutex<Option<Firewall>>,
    services: std::sync::OnceLock<Services>,
}

impl Shelter {
    pub(super) fn services(&self) -> &Services {
        self.services.get_or_init(Services::system)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Firewall>> {
        self.firewall.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the firewall, which is opened when it is needed.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Firewall) -> Result<T, Error>) -> Result<T, Error> {
        let mut slot = self.lock();
        let mut firewall = match slot.take() {
            Some(firewall) => firewall,
            None => Firewall::open()?,
        };
        let result = work(&mut firewall);
        // A socket that failed, or whose answers are out of step, is opened anew the next time.
        if !matches!(&result, Err(Error::Socket(_) | Error::Lost | Error::TimedOut(_) | Error::Malformed(_)))
        {
            *slot = Some(firewall);
        }
        result
    }
}

/// What decides about the carrier, besides the action itself.
pub(crate) struct Carriage {
    pub(crate) shelter: Arc<Shelter>,
    pub(crate) settings: JailSettings,
}

/// An action with what carries it out.
pub(crate) struct Carrier {
    name: String,
    finding: Option<String>,
    by: By,
}

enum By {
    Shell(Box<InShell>),
    Kernel { action: Box<DefaultAction>, shelter: Arc<Shelter>, label: &'static str },
}

struct InShell {
    runner: Runner,
    shell: Shell,
    readback: Option<super::readback::Readback>,
    shelter: Arc<Shelter>,
}

/// Runs scripts for a runner, and writes what it says.
struct Hands<'a> {
    shell: &'a mut Shell,
    log: &'a Log,
}

impl Executor for Hands<'_> {
    fn run(&mut self, script: &Script, timeout: Duration) -> Exit {
        self.shell.run(script, timeout)
    }

    fn log(&mut self, line: LogLine) {
        self.log.write(&line);
    }
}

/// The states of bans by whom they concern.
pub(super) type States = HashMap<Id, Enforcement>;

impl Carrier {
    pub(super) fn in_shell(
        jail: &str,
        action: Action,
        shelter: &Arc<Shelter>,
        readback: Option<super::readback::Readback>,
        finding: Option<String>,
    ) -> Self {
        let name = action.name().to_owned();
        let runner = Runner::new(jail, action);
        let shelter = Arc::clone(shelter);
        Carrier {
            name,
            finding,
            by: By::Shell(Box::new(InShell { runner, shell: Shell::new(), readback, shelter })),
        }
    }

    pub(super) fn in_kernel(
        name: &str,
        action: DefaultAction,
        shelter: &Arc<Shelter>,
        label: &'static str,
        finding: Option<String>,
    ) -> Self {
        let by = By::Kernel { action: Box::new(action), shelter: Arc::clone(shelter), label };
        Carrier { name: name.to_owned(), finding, by }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn finding(&self) -> Option<&str> {
        self.finding.as_deref()
    }

    /// What carries it out, for people.
    pub(super) fn by(&self) -> String {
        match &self.by {
            By::Shell(shell) if shell.readback.is_some() => "shell, read back from the kernel".to_owned(),
            By::Shell(_) => "shell".to_owned(),
            By::Kernel { label, .. } => (*label).to_owned(),
        }
    }

    /// Whether many bans cost little more than one.
    pub(super) fn takes_many(&self) -> bool {
        matches!(self.by, By::Kernel { .. })
    }

    pub(super) fn start(&mut self, facts: &dyn Facts, log: &Log) {
        match &mut self.by {
            By::Shell(shell) => {
                let InShell { runner, shell, .. } = &mut **shell;
                // Failures are logged by the runner; bans try again.
                let _ = runner.start(&mut Hands { shell, log }, facts);
            }
            By::Kernel { action, shelter, .. } => {
                if let Err(error) = shelter.with(|firewall| action.start(firewall)) {
                    let text =
                        format!("Failed to start jail '{}' action '{}': {error}", facts.jail(), self.name);
                    log.error("actions", text);
                    self.finding = Some(error.to_string());
                } else {
                    self.finding = None;
                }
            }
        }
    }

    pub(super) fn ban(
        &mut self,
        tickets: &[Arc<Ticket>],
        again: bool,
        facts: &dyn Facts,
        log: &Log,
    ) -> States {
        match &mut self.by {
            By::Shell(shell) => {
                let mut states = States::new();
                for ticket in tickets {
                    states.insert(ticket.id.clone(), shell.ban(ticket, again, facts, log));
                }
                states
            }
            By::Kernel { action, shelter, .. } => {
                let now = facts.now();
                let wanted: Vec<Wanted> = tickets.iter().map(|ticket| wanted(ticket, facts, now)).collect();
                match shelter.with(|firewall| action.ban(firewall, &wanted)) {
                    Ok(failed) => {
                        self.finding = None;
                        let mut states: States =
                            tickets.iter().map(|t| (t.id.clone(), Enforcement::Enforced)).collect();
                        for (id, error) in failed {
                            states.insert(id, Enforcement::Failed(error.to_string()));
                        }
                        states
                    }
                    Err(error) => {
                        let failed = Enforcement::Failed(error.to_string());
                        self.finding = Some(error.to_string());
                        tickets.iter().map(|ticket| (ticket.id.clone(), failed.clone())).collect()
                    }
                }
            }
        }
    }

    pub(super) fn unban(&mut self, tickets: &[Arc<Ticket>], facts: &dyn Facts, log: &Log) {
        match &mut self.by {
            By::Shell(shell) => {
                let InShell { runner, shell, .. } = &mut **shell;
                for ticket in tickets {
                    let _ = runner.unban(ticket, &mut Hands { shell, log }, facts);
                }
            }
            By::Kernel { action, shelter, .. } => {
                let ids: Vec<Id> = tickets.iter().map(|ticket| ticket.id.clone()).collect();
                if let Err(error) = shelter.with(|firewall| action.unban(firewall, &ids)) {
                    let text =
                        format!("Failed to unban in jail '{}' action '{}': {error}", facts.jail(), self.name);
                    log.error("actions", text);
                }
            }
        }
    }

    pub(super) fn prolong(&mut self, ticket: &Arc<Ticket>, facts: &dyn Facts, log: &Log) {
        match &mut self.by {
            By::Shell(shell) => {
                let InShell { runner, shell, .. } = &mut **shell;
                let _ = runner.prolong(ticket, &mut Hands { shell, log }, facts);
            }
            // A ban with another time is the same ban with another time-out in the kernel.
            By::Kernel { .. } => drop(self.ban(std::slice::from_ref(ticket), true, facts, log)),
        }
    }

    /// Looks whether a ban holds. `Some` when it did not, with what came of banning again.
    pub(super) fn check(&mut self, ticket: &Arc<Ticket>, facts: &dyn Facts, log: &Log) -> Option<States> {
        match &mut self.by {
            By::Shell(shell) => {
                if shell.holds(ticket, facts, log) {
                    return None;
                }
                let state = shell.ban(ticket, true, facts, log);
                Some(States::from([(ticket.id.clone(), state)]))
            }
            // Banning again costs a few microseconds, and reads back.
            By::Kernel { .. } => {
                let states = self.ban(std::slice::from_ref(ticket), true, facts, log);
                let lost = states.values().any(|state| *state != Enforcement::Enforced);
                lost.then_some(states)
            }
        }
    }

    /// All bans end.
    pub(super) fn lift_all(&mut self, tickets: &[Arc<Ticket>], facts: &dyn Facts, log: &Log) {
        match &mut self.by {
            By::Shell(shell) => {
                let InShell { runner, shell, .. } = &mut **shell;
                if runner.can_flush() {
                    let _ = runner.flush(&mut Hands { shell, log }, facts);
                    return;
                }
                for ticket in tickets {
                    let _ = runner.unban(ticket, &mut Hands { shell, log }, facts);
                }
            }
            By::Kernel { action, shelter, .. } => {
                if let Err(error) = shelter.with(|firewall| action.flush(firewall)) {
                    self.finding = Some(error.to_string());
                    log.error("actions", format!("Failed to flush bans in jail '{}': {error}", facts.jail()));
                }
            }
        }
    }

    pub(super) fn stop(&mut self, facts: &dyn Facts, log: &Log) {
        match &mut self.by {
            By::Shell(shell) => {
                let InShell { runner, shell, .. } = &mut **shell;
                let _ = runner.stop(&mut Hands { shell, log }, facts);
            }
            By::Kernel { action, shelter, .. } => {
                if let Err(error) = shelter.with(|firewall| action.stop(firewall)) {
                    let text =
                        format!("Failed to stop jail '{}' action '{}': {error}", facts.jail(), self.name);
                    log.error("actions", text);
                }
            }
        }
    }

    pub(super) fn reload(&mut self, facts: &dyn Facts, log: &Log) {
        if let By::Shell(shell) = &mut self.by {
            let InShell { runner, shell, .. } = &mut **shell;
            if let Outcome::Failed(why) = runner.reload(&mut Hands { shell, log }, facts) {
                log.error("actions", why);
            }
        }
    }

    /// Takes over properties that were set while it runs.
    pub(super) fn change(&mut self, action: Action) {
        if let By::Shell(shell) = &mut self.by {
            *shell.runner.action_mut() = action;
        }
    }
}

impl Carrier {
    pub(super) fn choose(
        jail: &str,
        action: Action,
        carriage: &Carriage,
        _facts: &dyn Facts,
        _log: &Log,
    ) -> Self {
        Carrier::in_shell(jail, action, &carriage.shelter, None, None)
    }
}

impl InShell {
    fn ban(&mut self, ticket: &Arc<Ticket>, again: bool, facts: &dyn Facts, log: &Log) -> Enforcement {
        let mut hands = Hands { shell: &mut self.shell, log };
        let outcome = if again {
            self.runner.reban(ticket, &mut hands, facts)
        } else {
            self.runner.ban(ticket, &mut hands, facts)
        };
        match (outcome, &self.readback) {
            (Outcome::Failed(why), _) => Enforcement::Failed(why),
            (Outcome::Done, None) => Enforcement::Unverified,
            (Outcome::Done, Some(readback)) => match readback.holds(&ticket.id, &self.shelter) {
                Ok(()) => Enforcement::Enforced,
                Err(why) => Enforcement::Failed(why),
            },
        }
    }

    fn holds(&mut self, ticket: &Arc<Ticket>, facts: &dyn Facts, log: &Log) -> bool {
        match &self.readback {
            Some(readback) => readback.holds(&ticket.id, &self.shelter).is_ok(),
            // The runner's own check, which repairs what is broken and bans anew.
            None => {
                log.say(Level::DEBUG, "actions", format!("check of {}", ticket.id));
                let _ = self.runner.check(&mut Hands { shell: &mut self.shell, log }, facts);
                true
            }
        }
    }
}

/// How long a ban still has to be in force.
fn wanted(ticket: &Ticket, facts: &dyn Facts, now: Timestamp) -> Wanted {
    let bantime = ticket.bantime.clone().unwrap_or_else(|| facts.bantime());
    let seconds = portcullis_value::float(&bantime).unwrap_or(-1.0);
    if seconds < 0.0 {
        return (ticket.id.clone(), None);
    }
    let rest = (ticket.time.plus(seconds).since(now)).max(0.0);
    (ticket.id.clone(), Some(Duration::try_from_secs_f64(rest).unwrap_or(Duration::MAX)))
}
