//! An action carried out by its own commands in a shell, and beside them, where it is known what a ban's command does, all
//! bans that wait at a time without a shell.
//!
//! What goes wrong there is done again by the commands, one by one: they say what is the matter, and repair.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use portcullis_jail::action::{Action, Facts, Operation, Script};
use portcullis_jail::{Family, Id, Level, LogLine, Ticket};

use super::carrier::{Left, States};
use super::health::Enforcement;
use super::readback::{Lost, Readback};
use super::shelter::Shelter;
use super::shortcut::Shortcut;
use crate::act::nft::{Keep, Pace};
use crate::act::preflight::{Deed, Known};
use crate::act::runner::{Executor, Outcome, Runner};
use crate::act::shell::{Exit, Shell};
use crate::log::Log;

/// Where a process is started for a batch, so many bans make one.
const BATCH: usize = 4;
/// When so many bans in a row have failed, the others of the batch are not tried one by one as well.
const TOO_MANY: usize = 3;
/// So often the command that lifts a ban is run again while the kernel still has it.
const MOST_COPIES: usize = 4;

/// Runs scripts for a runner, and writes what it says.
pub(super) struct Hands<'a> {
    pub(super) shell: &'a mut Shell,
    pub(super) log: &'a Log,
}

impl Executor for Hands<'_> {
    fn run(&mut self, script: &Script, timeout: Duration) -> Exit {
        self.shell.run(script, timeout)
    }

    fn log(&mut self, line: LogLine) {
        self.log.write(&line);
    }
}

pub(super) struct InShell {
    pub(super) runner: Runner,
    pub(super) shell: Shell,
    readback: Option<Readback>,
    shortcuts: Vec<Shortcut>,
    shelter: Arc<Shelter>,
    /// What a killed server may have left in the kernel has been taken away.
    swept: bool,
}

impl InShell {
    /// `known` is what is known of the action; natively, it is made use of to go beside the shell.
    pub(super) fn new(
        jail: &str,
        action: Action,
        shelter: &Arc<Shelter>,
        known: &[(Family, Known)],
        natively: bool,
    ) -> Self {
        let path = std::env::var_os("PATH");
        let shortcut = |(family, known): &(Family, Known)| Shortcut::new(*family, known, path.as_deref());
        let shortcuts: Vec<Shortcut> = known.iter().filter(|_| natively).filter_map(shortcut).collect();
        let mut runner = Runner::new(jail, action);
        if !shortcuts.is_empty() {
            runner.leave_lost();
        }
        InShell {
            runner,
            shell: Shell::new(),
            readback: Readback::of(known),
            shortcuts,
            shelter: Arc::clone(shelter),
            swept: false,
        }
    }

    /// What carries it out, for people.
    pub(super) fn label(&self) -> &'static str {
        match (&self.readback, !self.shortcuts.is_empty()) {
            (Some(_), true) => "shell and natively, read back from the kernel",
            (Some(_), false) => "shell, read back from the kernel",
            (None, _) => "shell",
        }
    }

    pub(super) fn pace(&self) -> Pace {
        self.shortcuts.first().map_or(Pace::One, |shortcut| shortcut.direct.pace())
    }

    /// See [`Carrier::places`](super::Carrier::places).
    pub(super) fn places(&self) -> Vec<String> {
        self.readback.as_ref().map(Readback::places).unwrap_or_default()
    }

    /// Puts bans in force; what has become of each.
    pub(super) fn ban(
        &mut self,
        tickets: &[Arc<Ticket>],
        again: bool,
        facts: &dyn Facts,
        log: &Log,
    ) -> States {
        let mut work = Work { left: tickets.iter().cloned().collect(), again, ..Work::default() };
        if again {
            // Before a command is run once more: it may have taken its time, or somebody has helped.
            self.leave_out_what_is_there(&mut work);
        }
        while !work.left.is_empty() {
            self.ban_beside_the_shell(&mut work, facts, log);
            let Some(ticket) = work.left.pop_front() else { break };
            let failures = work.failures;
            let state = self.ban_one(&ticket, &mut work, facts, log);
            work.shelled += 1;
            work.failures = if state.failure().is_some() { failures + 1 } else { 0 };
            work.states.insert(ticket.id.clone(), state.clone());
            self.put_back(&mut work, log);
            if work.failures >= TOO_MANY && !self.shortcuts.is_empty() {
                // They are tried again later.
                let failed = work.left.drain(..).map(|ticket| (ticket.id.clone(), state.clone()));
                work.states.extend(failed);
            }
        }
        work.states
    }

    /// One ban by the action's own commands.
    fn ban_one(
        &mut self,
        ticket: &Arc<Ticket>,
        work: &mut Work,
        facts: &dyn Facts,
        log: &Log,
    ) -> Enforcement {
        let mut hands = Hands { shell: &mut self.shell, log };
        let outcome = if work.again {
            self.runner.reban(ticket, &mut hands, facts)
        } else {
            self.runner.ban(ticket, &mut hands, facts)
        };
        if let Outcome::Failed(why) = outcome {
            return Enforcement::Failed(why);
        }
        let kept_out = ticket.restored && self.runner.action().norestored();
        let Some(readback) = self.readback.as_ref().filter(|_| !kept_out) else {
            return Enforcement::Unverified;
        };
        match readback.missing(std::slice::from_ref(&ticket.id), &self.shelter) {
            Err(why) => Enforcement::Failed(why),
            Ok(lost) => match lost.bans.into_iter().next() {
                None => {
                    if !self.swept && !self.shortcuts.is_empty() {
                        // A killed server may have left the same rule. Should it stay, it goes with the others.
                        let _ = readback.leave(&|_| true, &self.shelter);
                    }
                    self.learn(ticket);
                    Enforcement::Enforced
                }
                Some((_, why)) => {
                    // The ban's command does not notice when what leads to it is gone; the action's check does.
                    // (Where nothing goes beside the shell, its own calls are the only ones.)
                    if lost.structure.is_some() && !work.checked && !self.shortcuts.is_empty() {
                        work.checked = true;
                        let _ = self.runner.check(&mut Hands { shell: &mut self.shell, log }, facts);
                    }
                    let why = format!("the command succeeded, but {why}");
                    // Where such a command has shown what it does, somebody took the ban out just now.
                    let is_known = |shortcut: &Shortcut| {
                        Some(shortcut.family) == ticket.id.family() && shortcut.direct.is_ready()
                    };
                    if self.shortcuts.iter().any(is_known) {
                        Enforcement::Failed(why)
                    } else {
                        Enforcement::Absent(why)
                    }
                }
            },
        }
    }

    /// Why the kernel does not have a ban, if that can be read and it has not.
    pub(super) fn lost(&self, id: &Id) -> Result<Option<String>, String> {
        let Some(readback) = &self.readback else { return Ok(None) };
        let lost = readback.missing(std::slice::from_ref(id), &self.shelter)?;
        Ok(lost.bans.into_iter().next().map(|(_, why)| why))
    }

    /// Puts bans into the kernel, all at once, for whom that can be done without the action's commands and read back as a
    /// whole later. Answers the others.
    pub(super) fn put(
        &mut self,
        mut tickets: Vec<Arc<Ticket>>,
        facts: &dyn Facts,
        log: &Log,
    ) -> Vec<Arc<Ticket>> {
        if self.readback.is_none() {
            return tickets;
        }
        let InShell { runner, shell, shortcuts, shelter, .. } = self;
        for shortcut in shortcuts {
            if !shortcut.direct.is_ready() || !shortcut.direct.is_quick() {
                continue;
            }
            let mut hands = Hands { shell, log };
            let Some((members, ids)) = shortcut.members(runner, tickets.iter(), false, &mut hands, facts)
            else {
                return tickets;
            };
            // Whoever is refused is tried again by those who tell why.
            let Ok(refused) = shelter.with(|firewall| shortcut.direct.add(firewall, &members)) else {
                continue;
            };
            let refused: HashSet<IpNet> = refused.into_iter().map(|(net, _)| net).collect();
            let done = members.iter().zip(ids).filter(|(member, _)| !refused.contains(&member.net));
            let done: HashSet<Id> = done.map(|(_, id)| id).collect();
            tickets.retain(|ticket| {
                let is_done = done.contains(&ticket.id);
                if is_done {
                    runner.was_banned(ticket);
                }
                !is_done
            });
        }
        tickets
    }

    /// Those of whom the kernel has nothing.
    ///
    /// # Errors
    /// When nothing can be said.
    pub(super) fn lost_of(&self, ids: &[Id]) -> Result<Vec<Id>, String> {
        let readback = self.readback.as_ref().ok_or("nobody knows where to look")?;
        let lost = readback.missing(ids, &self.shelter)?;
        Ok(lost.bans.into_iter().map(|(id, _)| id).collect())
    }

    fn learn(&mut self, ticket: &Ticket) {
        let family = ticket.id.family();
        let Some(shortcut) = self.shortcuts.iter_mut().find(|shortcut| Some(shortcut.family) == family)
        else {
            return;
        };
        if let (false, Some(net)) = (shortcut.direct.is_ready(), ticket.id.net()) {
            // Without, the shell goes on.
            let _ = self.shelter.with(|firewall| shortcut.direct.learn(firewall, net));
        }
    }

    /// Bans all at once for whom that is possible. The others stay in line for the shell.
    fn ban_beside_the_shell(&mut self, work: &mut Work, facts: &dyn Facts, log: &Log) {
        // After two tries without success the shell is to tell why; after some bans of its, and then after twice as many, there
        // is another: somebody may have been changing the firewall.
        if work.futile > 1 {
            if work.shelled < 1 << work.futile.min(16) {
                return;
            }
            work.shelled = 0;
        }
        let InShell { runner, shell, shortcuts, shelter, readback, swept, .. } = self;
        let Some(readback) = readback else { return };
        for shortcut in shortcuts {
            let quick = shortcut.direct.is_quick();
            // What a killed server has left is not to be put in once more: the shell would do that.
            let enough = if quick || !*swept { 1 } else { BATCH };
            if !shortcut.direct.is_ready() || work.left.len() < enough {
                continue;
            }
            let mut hands = Hands { shell, log };
            let members = shortcut.members(runner, work.left.iter(), work.again, &mut hands, facts);
            let Some((members, ids)) = members else {
                // The shell will tell why.
                work.futile += 1;
                return;
            };
            if members.len() < enough {
                continue;
            }
            let added = shelter.with(|firewall| shortcut.direct.add(firewall, &members));
            let lost = added.map_err(|error| error.to_string()).and_then(|_| readback.missing(&ids, shelter));
            let Ok(Lost { structure: None, bans: missing }) = lost else {
                work.futile += 1;
                continue;
            };
            let missing: HashSet<Id> = missing.into_iter().map(|(id, _)| id).collect();
            work.futile = if missing.len() < ids.len() { 0 } else { work.futile + 1 };
            let done: HashSet<Id> = ids.into_iter().filter(|id| !missing.contains(id)).collect();
            work.left.retain(|ticket| {
                let enforced = done.contains(&ticket.id);
                if enforced {
                    runner.was_banned(ticket);
                    work.states.insert(ticket.id.clone(), Enforcement::Enforced);
                }
                !enforced
            });
        }
    }

    fn leave_out_what_is_there(&self, work: &mut Work) {
        let Some(readback) = &self.readback else { return };
        let ids: Vec<Id> = work.left.iter().map(|ticket| ticket.id.clone()).collect();
        let Ok(lost) = readback.missing(&ids, &self.shelter) else { return };
        let lost: HashSet<Id> = lost.bans.into_iter().map(|(id, _)| id).collect();
        let states = &mut work.states;
        work.left.retain(|ticket| {
            if !lost.contains(&ticket.id) {
                states.insert(ticket.id.clone(), Enforcement::Enforced);
            }
            lost.contains(&ticket.id)
        });
    }

    /// Puts in line what a repair has lost, once in a piece of work: should it be lost again, it counts as failed, and is
    /// tried again later.
    fn put_back(&mut self, work: &mut Work, log: &Log) {
        let lost = self.runner.lost();
        if lost.is_empty() {
            return;
        }
        if work.repaired {
            let state = Enforcement::Failed("lost in a repair of the action's environment".to_owned());
            work.states.extend(lost.into_iter().map(|ticket| (ticket.id.clone(), state.clone())));
            return;
        }
        work.repaired = true;
        work.again = true;
        work.futile = 0;
        let queued: HashSet<Id> = work.left.iter().map(|ticket| ticket.id.clone()).collect();
        for ticket in lost {
            let (name, ip) = (self.runner.action().name(), &ticket.id);
            let text = format!("[{}] Reban {ip}, action '{name}'", self.runner.jail());
            log.say(Level::NOTICE, "actions", text);
            if !queued.contains(&ticket.id) {
                work.left.push_back(ticket);
            }
        }
    }

    /// See [`Carrier::aftermath`](super::Carrier::aftermath).
    pub(super) fn aftermath(&mut self, facts: &dyn Facts, log: &Log) -> States {
        let mut work = Work::default();
        self.put_back(&mut work, log);
        let lost: Vec<Arc<Ticket>> = work.left.into_iter().collect();
        if lost.is_empty() { States::new() } else { self.ban(&lost, true, facts, log) }
    }

    /// Lifts bans, and reads back that they are. Answers those that are in force still, with the reason.
    pub(super) fn unban(
        &mut self,
        tickets: &[Arc<Ticket>],
        again: bool,
        facts: &dyn Facts,
        log: &Log,
    ) -> Left {
        let ids: Vec<Id> = tickets.iter().map(|ticket| ticket.id.clone()).collect();
        if !again {
            let lifted = self.unban_beside_the_shell(tickets, facts, log);
            for ticket in tickets.iter().filter(|ticket| !lifted.contains(&ticket.id)) {
                let _ = self.runner.unban(ticket, &mut Hands { shell: &mut self.shell, log }, facts);
            }
        }
        let mut left = self.standing(&ids);
        // A killed server may have left the same rule once more: the command takes out one.
        for _ in 0..if self.shortcuts.is_empty() { MOST_COPIES } else { 0 } {
            if left.is_empty() {
                break;
            }
            for ticket in tickets.iter().filter(|ticket| left.contains(&ticket.id)) {
                self.runner.lift_again(ticket, &mut Hands { shell: &mut self.shell, log }, facts);
            }
            left = self.standing(&left);
        }
        self.take_out(left)
    }

    /// Takes out what the commands have left; answers those for whom that did not work, and why.
    fn take_out(&self, ids: Vec<Id>) -> Left {
        if ids.is_empty() {
            return Left::new();
        }
        let (left, why) = match self.lift(&ids) {
            Ok(()) => (self.standing(&ids), "the kernel still has it".to_owned()),
            Err(why) => (ids, why),
        };
        left.into_iter().map(|id| (id, why.clone())).collect()
    }

    /// Those of `ids` that the kernel has. Where it cannot be read, nothing more is known than what the commands said.
    fn standing(&self, ids: &[Id]) -> Vec<Id> {
        let readback = self.readback.as_ref();
        readback.and_then(|readback| readback.standing(ids, &self.shelter).ok()).unwrap_or_default()
    }

    /// Takes bans out of the kernel without the action's commands, all copies.
    pub(super) fn lift(&self, ids: &[Id]) -> Result<(), String> {
        match &self.readback {
            Some(readback) if !self.shortcuts.is_empty() => readback.lift(ids, &self.shelter),
            _ => Err("the command succeeded, but the kernel still has it".to_owned()),
        }
    }

    /// Lifts all bans; answers those that are in force still, with the reason.
    pub(super) fn flush(&mut self, tickets: &[Arc<Ticket>], facts: &dyn Facts, log: &Log) -> Left {
        if !self.runner.can_flush() {
            return self.unban(tickets, false, facts, log);
        }
        let _ = self.runner.flush(&mut Hands { shell: &mut self.shell, log }, facts);
        let ids: Vec<Id> = tickets.iter().map(|ticket| ticket.id.clone()).collect();
        self.take_out(self.standing(&ids))
    }

    /// See [`Carrier::sweep`](super::Carrier::sweep).
    pub(super) fn sweep(&mut self, keep: &Keep, facts: &dyn Facts, log: &Log) -> Result<usize, String> {
        self.swept = true;
        let InShell { runner, shell, shortcuts, shelter, readback, .. } = self;
        let Some(readback) = readback.as_ref().filter(|_| !shortcuts.is_empty()) else { return Ok(0) };
        let surplus = readback.leave(&|net| keep.has(net), shelter)?;
        for family in shortcuts.iter().map(|shortcut| shortcut.family) {
            // Otherwise it would be there still when this server has stopped.
            if !runner.is_started(family) && readback.stands(family, shelter) {
                runner.stop_left(family, &mut Hands { shell, log }, facts);
            }
        }
        Ok(surplus)
    }

    /// Lifts all at once for whom that is possible, and answers them.
    fn unban_beside_the_shell(
        &mut self,
        tickets: &[Arc<Ticket>],
        facts: &dyn Facts,
        log: &Log,
    ) -> HashSet<Id> {
        let mut lifted = HashSet::new();
        let InShell { runner, shell, shortcuts, shelter, .. } = self;
        for shortcut in shortcuts {
            if !shortcut.direct.is_ready() || (!shortcut.direct.is_quick() && tickets.len() < BATCH) {
                continue;
            }
            let mut mine = Vec::new();
            for ticket in tickets.iter().filter(|ticket| runner.has_bans_like(ticket)) {
                let deed = shortcut.deed(runner, Operation::Unban, ticket, facts);
                if let Some((member, Deed::Delete)) = deed {
                    mine.push((member.net, ticket));
                }
            }
            let nets: Vec<_> = mine.iter().map(|(net, _)| *net).collect();
            // Differs: who is not there any more is no failure: that is what was wanted.
            if !nets.is_empty() && shelter.with(|firewall| shortcut.direct.delete(firewall, &nets)).is_ok() {
                for (_, ticket) in mine {
                    runner.was_unbanned(ticket, &mut Hands { shell, log });
                    lifted.insert(ticket.id.clone());
                }
            }
        }
        lifted
    }

    /// Whether a ban holds, as far as can be known.
    pub(super) fn holds(&mut self, ticket: &Arc<Ticket>, facts: &dyn Facts, log: &Log) -> bool {
        if let Some(readback) = &self.readback {
            let lost = readback.missing(std::slice::from_ref(&ticket.id), &self.shelter);
            return lost.is_ok_and(|lost| lost.bans.is_empty());
        }
        // The runner's own check, which repairs what is broken and bans anew.
        log.say(Level::DEBUG, "actions", format!("check of {}", ticket.id));
        let _ = self.runner.check(&mut Hands { shell: &mut self.shell, log }, facts);
        true
    }

    /// Compares the kernel with these bans, and puts back what is missing. See
    /// [`Carrier::verify`](super::Carrier::verify).
    pub(super) fn verify(
        &mut self,
        tickets: &[Arc<Ticket>],
        facts: &dyn Facts,
        log: &Log,
    ) -> Option<(String, States)> {
        let readback = self.readback.as_ref()?;
        let ids: Vec<Id> = tickets.iter().map(|ticket| ticket.id.clone()).collect();
        let lost = readback.missing(&ids, &self.shelter).ok()?.bans;
        let (_, why) = lost.first()?;
        let said = format!("{} of {} ban(s) were gone from the firewall: {why}", lost.len(), ids.len());
        let lost: HashSet<Id> = lost.into_iter().map(|(id, _)| id).collect();
        let lost: Vec<_> = tickets.iter().filter(|ticket| lost.contains(&ticket.id)).cloned().collect();
        Some((said, self.ban(&lost, true, facts, log)))
    }
}

/// Bans under way.
#[derive(Default)]
struct Work {
    left: VecDeque<Arc<Ticket>>,
    states: States,
    /// Whether they were in force before.
    again: bool,
    /// How many have failed in a row.
    failures: usize,
    /// How often in a row the way beside the shell led nowhere, and how many bans the shell has carried out since.
    futile: usize,
    shelled: usize,
    /// Whether the action's environment has been looked after.
    checked: bool,
    /// Whether it has been repaired.
    repaired: bool,
}
