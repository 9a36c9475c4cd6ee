//! Bans that we put into the kernel ourselves: in our own table, or in that of a stock nftables action.

use std::sync::Arc;

use portcullis_jail::action::Facts;
use portcullis_jail::{Family, Id};

use super::carrier::wanted;
use super::ledger::Ledger;
use super::shelter::Shelter;
use crate::act::nft::{DefaultAction, Difference, Error, Firewall, Keep, Stock, Wanted};

/// So many bans at once are worth not to be told of.
pub(super) const BULK: usize = 500;

/// What rules and sets are kept.
pub(super) enum Rules {
    /// Our own table.
    Own(Box<DefaultAction>),
    /// The table of a stock action, one part for each family.
    Stock(Vec<Stock>),
}

/// Rules and the socket through which they are kept.
pub(super) struct InKernel {
    pub(super) rules: Rules,
    pub(super) shelter: Arc<Shelter>,
    /// What carries it out, for people.
    pub(super) label: &'static str,
}

impl InKernel {
    /// Whether the table is ours, and no stock action's.
    pub(super) fn is_own(&self) -> bool {
        matches!(self.rules, Rules::Own(_))
    }

    /// See [`Carrier::places`](super::Carrier::places).
    pub(super) fn places(&self) -> Vec<String> {
        match &self.rules {
            // Each jail has sets of its own.
            Rules::Own(_) => Vec::new(),
            Rules::Stock(parts) => parts.iter().map(Stock::place).collect(),
        }
    }

    /// Leaves all to the next server, if that can take it over. Whether it can.
    pub(super) fn leave(&self) -> bool {
        match &self.rules {
            // Each element has a time-out: the jail need not be there any more.
            Rules::Own(_) => true,
            Rules::Stock(parts) => {
                let leave = |firewall: &mut Firewall| {
                    parts.iter().try_fold(true, |all, part| Ok(all && part.leave(firewall)?))
                };
                self.shelter.with(leave).unwrap_or(false)
            }
        }
    }

    pub(super) fn start(&mut self) -> Result<(), Error> {
        match &mut self.rules {
            Rules::Own(action) => self.shelter.with(|firewall| action.start(firewall)),
            // Stock actions start with the first ban of a family: they have values that differ between families.
            Rules::Stock(_) => Ok(()),
        }
    }

    /// Puts bans in force and reads them back; answers those that are not, with the reason.
    pub(super) fn ban(&mut self, wanted: &[Wanted]) -> Result<Vec<(Id, Error)>, Error> {
        let _hush = (wanted.len() >= BULK).then(|| self.shelter.hush());
        match &mut self.rules {
            Rules::Own(action) => self.shelter.with(|firewall| action.ban(firewall, wanted)),
            Rules::Stock(parts) => {
                let nobodys = wanted.iter().filter(|(id, _)| part_of(parts, id).is_none());
                let mut failed: Vec<(Id, Error)> =
                    nobodys.map(|(id, _)| (id.clone(), Error::NotAnAddress(id.text().to_owned()))).collect();
                for part in parts {
                    let mine: Vec<Wanted> =
                        wanted.iter().filter(|(id, _)| id.family() == Some(part.family())).cloned().collect();
                    if !mine.is_empty() {
                        failed.extend(self.shelter.with(|firewall| part.ban(firewall, &mine))?);
                    }
                }
                Ok(failed)
            }
        }
    }

    /// Puts bans of single addresses in force without reading them back; false where that would not do.
    pub(super) fn put(&mut self, wanted: &[Wanted]) -> Result<bool, Error> {
        match &mut self.rules {
            Rules::Own(action) => self.shelter.with(|firewall| action.put(firewall, wanted)).map(|()| true),
            Rules::Stock(parts) => {
                for part in parts {
                    let mine: Vec<Wanted> =
                        wanted.iter().filter(|(id, _)| id.family() == Some(part.family())).cloned().collect();
                    if !mine.is_empty() && !self.shelter.with(|firewall| part.put(firewall, &mine))? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }

    /// Those bans that the kernel does not have.
    pub(super) fn missing(&mut self, ledger: &Ledger, facts: &dyn Facts) -> Result<Vec<Id>, Error> {
        let lost = |difference: Difference, all: Vec<Id>| {
            if difference.structure.is_empty() { difference.missing } else { all }
        };
        match &mut self.rules {
            Rules::Own(action) => {
                let (_, difference) = compared(action, &self.shelter, ledger, facts)?;
                Ok(lost(difference, ledger.standing_ids().cloned().collect()))
            }
            Rules::Stock(parts) => {
                let mut missing = Vec::new();
                for part in parts {
                    let family = Some(part.family());
                    let mine = || ledger.standing_ids().filter(|id| id.family() == family);
                    if mine().next().is_some() {
                        let difference = self.shelter.read(|firewall| part.difference(firewall, mine()))?;
                        missing.extend(lost(difference, mine().cloned().collect()));
                    }
                }
                Ok(missing)
            }
        }
    }

    /// Compares the kernel with what should be in force, and puts back what is missing. Answers what was wrong, and
    /// what could not be mended.
    pub(super) fn repair(
        &mut self,
        ledger: &Ledger,
        facts: &dyn Facts,
    ) -> Result<(Difference, Vec<(Id, Error)>), Error> {
        match &mut self.rules {
            Rules::Own(action) => {
                let (wanted, difference) = compared(action, &self.shelter, ledger, facts)?;
                let all_addresses = wanted.iter().all(|(id, _)| id.net().is_some());
                if difference.is_none() && all_addresses {
                    return Ok((difference, Vec::new()));
                }
                self.shelter.with(|firewall| action.repair(firewall, &wanted))
            }
            Rules::Stock(parts) => {
                let mut all = (Difference::default(), Vec::new());
                for part in parts {
                    let family = Some(part.family());
                    let mine = || ledger.standing_ids().filter(|id| id.family() == family);
                    // Without bans there need be no table: stock actions start with the first.
                    if mine().next().is_none() {
                        continue;
                    }
                    if self.shelter.read(|firewall| part.difference(firewall, mine()))?.is_none() {
                        continue;
                    }
                    let (difference, failed) = self.shelter.with(|firewall| part.repair(firewall, mine()))?;
                    all.0.structure.extend(difference.structure);
                    all.0.missing.extend(difference.missing);
                    all.1.extend(failed);
                }
                Ok(all)
            }
        }
    }

    /// Lifts bans; answers those that are still in force, with the reason.
    pub(super) fn unban(&mut self, ids: &[Id]) -> Result<Vec<(Id, Error)>, Error> {
        let _hush = (ids.len() >= BULK).then(|| self.shelter.hush());
        match &mut self.rules {
            Rules::Own(action) => self.shelter.with(|firewall| action.unban(firewall, ids)),
            Rules::Stock(parts) => {
                let mut left = Vec::new();
                for part in parts {
                    let mine: Vec<Id> =
                        ids.iter().filter(|id| id.family() == Some(part.family())).cloned().collect();
                    if !mine.is_empty() {
                        left.extend(self.shelter.with(|firewall| part.unban(firewall, &mine))?);
                    }
                }
                Ok(left)
            }
        }
    }

    /// Takes out what a killed server has left in the sets of a stock action; answers how many.
    pub(super) fn sweep(&mut self, keep: &Keep) -> Result<usize, Error> {
        // Our own table is compared as a whole: see `repair`.
        let Rules::Stock(parts) = &mut self.rules else { return Ok(0) };
        let mut surplus = 0;
        for part in parts {
            let (mine, is_all) = self.shelter.read(|firewall| part.surplus(firewall, keep))?;
            if is_all {
                // Nobody is banned: then there is no set, as after a start.
                self.shelter.with(|firewall| part.stop(firewall))?;
            } else if !mine.is_empty() {
                self.shelter.with(|firewall| part.take_out(firewall, &mine))?;
            }
            surplus += mine.len();
        }
        Ok(surplus)
    }

    pub(super) fn flush(&mut self) -> Result<(), Error> {
        let _hush = self.shelter.hush();
        match &mut self.rules {
            Rules::Own(action) => self.shelter.with(|firewall| action.flush(firewall)),
            Rules::Stock(parts) => self.shelter.with(|firewall| each_present(parts, firewall, Stock::flush)),
        }
    }

    pub(super) fn stop(&mut self) -> Result<(), Error> {
        let _hush = self.shelter.hush();
        match &mut self.rules {
            Rules::Own(action) => self.shelter.with(|firewall| action.stop(firewall)),
            Rules::Stock(parts) => self.shelter.with(|firewall| each_present(parts, firewall, Stock::stop)),
        }
    }
}

/// What should be in our own table, and what is otherwise there.
fn compared(
    action: &DefaultAction,
    shelter: &Shelter,
    ledger: &Ledger,
    facts: &dyn Facts,
) -> Result<(Vec<Wanted>, Difference), Error> {
    let now = facts.now();
    let wanted: Vec<Wanted> = ledger.wanted(|id, time, bantime| wanted(id, time, bantime, facts, now));
    let difference = shelter.read(|firewall| action.verify(firewall, &wanted))?;
    Ok((wanted, difference))
}

fn part_of<'p>(parts: &'p [Stock], id: &Id) -> Option<&'p Stock> {
    let family: Option<Family> = id.family();
    parts.iter().find(|part| Some(part.family()) == family)
}

/// Does something with each family's part that the kernel has; one that was never started is passed over.
fn each_present(
    parts: &mut [Stock],
    firewall: &mut Firewall,
    work: fn(&mut Stock, &mut Firewall) -> Result<(), Error>,
) -> Result<(), Error> {
    for part in parts {
        if !part.is_present(firewall)? {
            continue;
        }
        match work(part, firewall) {
            Err(error) if error.is_missing() => {}
            other => other?,
        }
    }
    Ok(())
}
