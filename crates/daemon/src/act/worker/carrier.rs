//! What carries an action out: the user's commands in a shell, or the kernel directly.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use portcullis_config::JailSettings;
use portcullis_jail::action::{Action, Facts};
use portcullis_jail::{Family, Id, Level, Ticket, Timestamp};

use super::health::Enforcement;
use super::kernel::InKernel;
use super::ledger::Ledger;
use super::protection::Protection;
use super::shell::{Hands, InShell};
use super::shelter::Shelter;
use crate::act::mail::{MailError, Mailer};
use crate::act::nft::{Keep, Pace, Wanted};
use crate::act::preflight::Known;
use crate::act::runner::Outcome;
use crate::incident::Incidents;
use crate::log::Log;

/// What decides about the carrier, besides the action itself.
pub(crate) struct Carriage {
    pub(crate) shelter: Arc<Shelter>,
    pub(crate) settings: JailSettings,
    pub(crate) incidents: Incidents,
}

/// An action with what carries it out.
pub(crate) struct Carrier {
    name: String,
    finding: Option<String>,
    pub(super) by: By,
    pub(super) protection: Protection,
}

pub(super) enum By {
    Shell(Box<InShell>),
    Kernel(InKernel),
    Mail(Box<Mailer>),
}

/// The states of bans by whom they concern.
pub(super) type States = HashMap<Id, Enforcement>;
/// Whose bans were to be lifted and are in force still, and why.
pub(super) type Left = Vec<(Id, String)>;

impl Carrier {
    pub(super) fn in_shell(
        jail: &str,
        action: Action,
        shelter: &Arc<Shelter>,
        known: &[(Family, Known)],
        natively: bool,
        finding: Option<String>,
    ) -> Self {
        let name = action.name().to_owned();
        let shell = InShell::new(jail, action, shelter, known, natively);
        Carrier { name, finding, by: By::Shell(Box::new(shell)), protection: Protection::default() }
    }

    pub(super) fn by_mail(name: &str, mailer: Mailer) -> Self {
        let by = By::Mail(Box::new(mailer));
        Carrier { name: name.to_owned(), finding: None, by, protection: Protection::default() }
    }

    pub(super) fn in_kernel(name: &str, kernel: InKernel) -> Self {
        let by = By::Kernel(kernel);
        Carrier { name: name.to_owned(), finding: None, by, protection: Protection::default() }
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
            By::Shell(shell) => shell.label().to_owned(),
            By::Kernel(kernel) => kernel.label.to_owned(),
            By::Mail(_) => "SMTP".to_owned(),
        }
    }

    /// Whether more than whom and how long has to be known of a ban, for its end or should it be tried again.
    pub(super) fn needs_tickets(&self) -> bool {
        matches!(self.by, By::Shell(_))
    }

    /// The chains and sets that hold its bans, where that is known: by these texts they are told from others'.
    pub(super) fn places(&self) -> Vec<String> {
        match &self.by {
            By::Shell(shell) => shell.places(),
            By::Kernel(kernel) => kernel.places(),
            By::Mail(_) => Vec::new(),
        }
    }

    /// What many bans cost.
    pub(super) fn pace(&self) -> Pace {
        match &self.by {
            By::Shell(shell) => shell.pace(),
            By::Kernel(_) => Pace::Each,
            By::Mail(_) => Pace::One,
        }
    }

    /// What has become, besides, of bans that the last order did not name: a repair loses some, and here they are put
    /// back.
    pub(super) fn aftermath(&mut self, facts: &dyn Facts, log: &Log) -> States {
        match &mut self.by {
            By::Shell(shell) => shell.aftermath(facts, log),
            By::Kernel(_) | By::Mail(_) => States::new(),
        }
    }

    /// Leaves its bans in the kernel while the server is replaced. Whether that is possible.
    pub(super) fn leave(&self) -> bool {
        matches!(&self.by, By::Kernel(kernel) if kernel.leave())
    }

    /// Whether its bans are in our own table, each with its time-out: that is compared as a whole.
    pub(super) fn is_own(&self) -> bool {
        matches!(&self.by, By::Kernel(kernel) if kernel.is_own())
    }

    pub(super) fn start(&mut self, facts: &dyn Facts, log: &Log) {
        match &mut self.by {
            By::Shell(shell) => {
                let InShell { runner, shell, .. } = &mut **shell;
                // Failures are logged by the runner; bans try again.
                let _ = runner.start(&mut Hands { shell, log }, facts);
            }
            By::Kernel(kernel) => {
                if let Err(error) = kernel.start() {
                    let text =
                        format!("Failed to start jail '{}' action '{}': {error}", facts.jail(), self.name);
                    log.error("actions", text);
                    self.finding = Some(error.to_string());
                } else {
                    self.finding = None;
                }
            }
            By::Mail(mailer) => {
                let sent = mailer.started(facts);
                let failed = format!("Failed to start jail '{}' action '{}'", facts.jail(), self.name);
                self.mailed(sent, &failed, log);
            }
        }
    }

    /// Says what became of a mail. One that failed is not tried again: nobody is let in for that.
    fn mailed(&mut self, sent: Result<String, MailError>, failed: &str, log: &Log) {
        match sent {
            Ok(subject) => {
                self.finding = None;
                let subject = portcullis_value::repr_str(&subject);
                log.say(Level::DEBUG, "SMTPAction", format!("Email {subject} successfully sent"));
            }
            Err(error) => {
                log.error("actions", format!("{failed}: {error}"));
                self.finding = Some(format!("the last mail was not sent: {error}"));
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
            By::Shell(shell) => shell.ban(tickets, again, facts, log),
            By::Kernel(kernel) => {
                let now = facts.now();
                let wanted: Vec<Wanted> =
                    tickets.iter().map(|ticket| wanted_of(ticket, facts, now)).collect();
                match kernel.ban(&wanted) {
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
            By::Mail(mailer) => {
                // Once for each ban: not when it is tried again, nor when it comes from the database.
                let mailer = mailer.clone();
                for ticket in tickets.iter().filter(|ticket| !again && !ticket.restored) {
                    let sent = mailer.banned(ticket, facts);
                    let info = portcullis_jail::action::Info::ticket(ticket, facts);
                    let failed = format!(
                        "Failed to execute ban jail '{}' action '{}' info '{info}'",
                        facts.jail(),
                        self.name
                    );
                    self.mailed(sent, &failed, log);
                }
                tickets.iter().map(|ticket| (ticket.id.clone(), Enforcement::Unverified)).collect()
            }
        }
    }

    /// Puts bans in force without reading them back, where that can be done for all of them in the end. Answers for whom
    /// it cannot.
    pub(super) fn put(
        &mut self,
        tickets: Vec<Arc<Ticket>>,
        facts: &dyn Facts,
        log: &Log,
    ) -> Vec<Arc<Ticket>> {
        match &mut self.by {
            By::Shell(shell) => shell.put(tickets, facts, log),
            By::Kernel(kernel) => {
                let now = facts.now();
                let wanted: Vec<Wanted> =
                    tickets.iter().map(|ticket| wanted_of(ticket, facts, now)).collect();
                let hosts = tickets.iter().all(|ticket| ticket.id.address().is_some());
                if hosts && kernel.put(&wanted).unwrap_or(false) { Vec::new() } else { tickets }
            }
            By::Mail(_) => tickets,
        }
    }

    /// Those bans that the kernel does not have, of all that it should; `None` when nobody knows. While many are put in,
    /// nobody hears of others' changes.
    pub(super) fn missing(&mut self, ledger: &Ledger, facts: &dyn Facts) -> Option<Vec<Id>> {
        match &mut self.by {
            By::Shell(shell) => shell.lost_of(&ledger.in_kernel()).ok(),
            By::Kernel(kernel) => kernel.missing(ledger, facts).ok(),
            By::Mail(_) => None,
        }
    }

    /// Lifts bans; answers those that are still in force, with the reason.
    pub(super) fn unban(
        &mut self,
        tickets: &[Arc<Ticket>],
        again: bool,
        facts: &dyn Facts,
        log: &Log,
    ) -> Left {
        match &mut self.by {
            By::Shell(shell) => shell.unban(tickets, again, facts, log),
            By::Kernel(kernel) => {
                let ids: Vec<Id> = tickets.iter().map(|ticket| ticket.id.clone()).collect();
                match kernel.unban(&ids) {
                    Ok(left) => left.into_iter().map(|(id, error)| (id, error.to_string())).collect(),
                    // Where there is no set, nobody is banned.
                    Err(error) if error.is_missing() => {
                        let text = format!(
                            "Failed to unban in jail '{}' action '{}': {error}",
                            facts.jail(),
                            self.name
                        );
                        log.error("actions", text);
                        Left::new()
                    }
                    Err(error) => ids.into_iter().map(|id| (id, error.to_string())).collect(),
                }
            }
            By::Mail(_) => Left::new(),
        }
    }

    /// Takes out what a killed server has left of these, if anything. Should that fail, it goes with all that nobody wants.
    pub(super) fn lift_left_behind(&mut self, ids: &[Id]) {
        match &mut self.by {
            By::Shell(shell) => drop(shell.lift(ids)),
            By::Kernel(kernel) => drop(kernel.unban(ids)),
            By::Mail(_) => {}
        }
    }

    /// Takes out what a killed server has left behind: bans that nobody wants, and second copies of rules. Answers how many.
    ///
    /// # Errors
    /// Why that could not be done.
    pub(super) fn sweep(&mut self, keep: &Keep, facts: &dyn Facts, log: &Log) -> Result<usize, String> {
        match &mut self.by {
            By::Shell(shell) => shell.sweep(keep, facts, log),
            By::Kernel(kernel) => kernel.sweep(keep).map_err(|error| error.to_string()),
            By::Mail(_) => Ok(0),
        }
    }

    pub(super) fn prolong(&mut self, ticket: &Arc<Ticket>, facts: &dyn Facts, log: &Log) {
        match &mut self.by {
            By::Shell(shell) => {
                let InShell { runner, shell, .. } = &mut **shell;
                let _ = runner.prolong(ticket, &mut Hands { shell, log }, facts);
            }
            // A ban with another time is the same ban with another time-out in the kernel.
            By::Kernel(_) => drop(self.ban(std::slice::from_ref(ticket), true, facts, log)),
            By::Mail(_) => {}
        }
    }

    /// Looks whether a ban holds. `Some` when it did not, with what came of banning again.
    pub(super) fn check(&mut self, ticket: &Arc<Ticket>, facts: &dyn Facts, log: &Log) -> Option<States> {
        match &mut self.by {
            By::Shell(shell) => {
                if shell.holds(ticket, facts, log) {
                    return None;
                }
                Some(shell.ban(std::slice::from_ref(ticket), true, facts, log))
            }
            // Banning again costs a few microseconds, and reads back.
            By::Kernel(_) => {
                let states = self.ban(std::slice::from_ref(ticket), true, facts, log);
                let lost = states.values().any(|state| *state != Enforcement::Enforced);
                lost.then_some(states)
            }
            By::Mail(_) => None,
        }
    }

    /// Compares the kernel with all bans that should be in force, and puts back what is missing. Answers one line about
    /// what was wrong, and what has become of the bans that were missing.
    pub(super) fn verify(
        &mut self,
        ledger: &Ledger,
        facts: &dyn Facts,
        log: &Log,
    ) -> Option<(String, States)> {
        match &mut self.by {
            By::Shell(shell) => shell.verify(&ledger.standing(), facts, log),
            By::Kernel(kernel) => {
                let (difference, failed) = match kernel.repair(ledger, facts) {
                    Ok(both) => both,
                    Err(error) => {
                        self.finding = Some(error.to_string());
                        return None;
                    }
                };
                self.finding = None;
                if difference.structure.is_empty() && difference.missing.is_empty() {
                    return None;
                }
                let mut states: States =
                    difference.missing.iter().map(|id| (id.clone(), Enforcement::Enforced)).collect();
                states.extend(failed.into_iter().map(|(id, e)| (id, Enforcement::Failed(e.to_string()))));
                let mut what = difference.structure;
                if !difference.missing.is_empty() {
                    what.push(format!("{} ban(s)", difference.missing.len()));
                }
                Some((format!("gone from the firewall: {}", what.join(", ")), states))
            }
            By::Mail(_) => None,
        }
    }

    /// All bans end.
    pub(super) fn lift_all(&mut self, tickets: &[Arc<Ticket>], facts: &dyn Facts, log: &Log) {
        match &mut self.by {
            By::Shell(shell) => {
                let left = shell.flush(tickets, facts, log);
                if let Some((id, why)) = left.first() {
                    let text = format!(
                        "[{}] {} ban(s) are NOT lifted by action '{}', {id} for one: {why}",
                        facts.jail(),
                        left.len(),
                        self.name
                    );
                    log.error("actions", text);
                }
            }
            By::Kernel(kernel) => {
                if let Err(error) = kernel.flush() {
                    self.finding = Some(error.to_string());
                    log.error("actions", format!("Failed to flush bans in jail '{}': {error}", facts.jail()));
                }
            }
            By::Mail(_) => {}
        }
    }

    pub(super) fn stop(&mut self, facts: &dyn Facts, log: &Log) {
        match &mut self.by {
            By::Shell(shell) => {
                let InShell { runner, shell, .. } = &mut **shell;
                let _ = runner.stop(&mut Hands { shell, log }, facts);
            }
            By::Kernel(kernel) => {
                if let Err(error) = kernel.stop() {
                    let text =
                        format!("Failed to stop jail '{}' action '{}': {error}", facts.jail(), self.name);
                    log.error("actions", text);
                }
            }
            By::Mail(mailer) => {
                let sent = mailer.stopped(facts);
                let failed = format!("Failed to stop jail '{}' action '{}'", facts.jail(), self.name);
                self.mailed(sent, &failed, log);
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
        match &mut self.by {
            By::Shell(shell) => *shell.runner.action_mut() = action,
            // Parameters that make no mailer leave the old one.
            By::Mail(mailer) => {
                if let Ok(new) = Mailer::new(&action.parameters()) {
                    **mailer = new;
                }
            }
            By::Kernel(_) => {}
        }
    }
}

/// How long a ban still has to be in force that began then, for so long; `None` is the jail's time.
pub(super) fn wanted(
    id: &Id,
    begin: Timestamp,
    bantime: Option<f64>,
    facts: &dyn Facts,
    now: Timestamp,
) -> Wanted {
    let seconds = bantime.unwrap_or_else(|| portcullis_value::float(&facts.bantime()).unwrap_or(-1.0));
    if seconds < 0.0 {
        return (id.clone(), None);
    }
    let rest = (begin.plus(seconds).since(now)).max(0.0);
    (id.clone(), Some(Duration::try_from_secs_f64(rest).unwrap_or(Duration::MAX)))
}

/// The same of a ticket.
pub(super) fn wanted_of(ticket: &Ticket, facts: &dyn Facts, now: Timestamp) -> Wanted {
    let bantime = ticket.bantime.as_ref().map(|bantime| portcullis_value::float(bantime).unwrap_or(-1.0));
    wanted(&ticket.id, ticket.time, bantime, facts, now)
}
