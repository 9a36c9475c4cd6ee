//! A banned address failed again: is the ban in the kernel? If it is, somebody else must find out how that can be.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_jail::{Id, Ticket};

use super::carrier::{By, Carrier, wanted_of};
use super::kernel::{InKernel, Rules};
use super::{Facts, Working};
use crate::act::nft::{Error, Wanted};
use crate::incident::{Case, Cause};

/// From then on a failure is none that was under way when the ban came.
const SETTLED: Duration = Duration::from_secs(1);
/// The same address is looked into this often at most, and any two addresses in a row.
const PAUSE: Duration = Duration::from_secs(2);
const BREATH: Duration = Duration::from_millis(200);
/// A look that took long is followed by a rest of so many times that: bans come first, and some sets can only be read whole.
const REST: u32 = 20;
/// So many addresses are counted; then counting begins anew.
const COUNTED: usize = 10_000;

/// How often banned addresses failed again, and when they were last looked into.
#[derive(Debug, Default)]
pub(super) struct Inquiries {
    addresses: HashMap<Id, (u32, Option<Instant>)>,
    /// Before that, nothing is looked at.
    rest: Option<Instant>,
}

impl Inquiries {
    /// Counts a failure. How many there were, if it is time to look.
    fn due(&mut self, id: &Id) -> Option<u32> {
        if self.addresses.len() >= COUNTED && !self.addresses.contains_key(id) {
            self.addresses.clear();
        }
        let (count, looked) = self.addresses.entry(id.clone()).or_default();
        *count = count.saturating_add(1);
        let now = Instant::now();
        if looked.is_some_and(|at| at.elapsed() < PAUSE) || self.rest.is_some_and(|until| now < until) {
            return None;
        }
        *looked = Some(now);
        Some(*count)
    }

    /// A look has taken so long.
    fn took(&mut self, time: Duration) {
        self.rest = Instant::now().checked_add(time.saturating_mul(REST).max(BREATH));
    }

    pub(super) fn forget(&mut self, id: &Id) {
        self.addresses.remove(id);
    }
}

impl Working {
    /// Looks whether a ban is in force though its address fails, and hands the case over.
    pub(super) fn inquire(&mut self, id: &Id) {
        let stands = self.ledger.stands_for(id).is_some_and(|time| time >= SETTLED);
        if !stands || self.carrier.protection.guarded.is_none() {
            return;
        }
        let Some(ticket) = self.ledger.ticket(id) else { return };
        let Some(failures) = self.inquiries.due(id) else { return };
        let began = Instant::now();
        let lost = self.carrier.lost(&ticket, &*self.facts);
        self.inquiries.took(began.elapsed());
        let known = match lost {
            Ok(None) => None,
            Ok(Some(why)) => {
                self.check(&ticket);
                let mended = self.ledger.state(id).is_some_and(|state| state.failure().is_none());
                Some(Cause::Lost { action: self.carrier.name().to_owned(), why, mended })
            }
            // Where the kernel does not tell, the state of the action does.
            Err(_) => return,
        };
        self.carriage.incidents.look_into(Case {
            jail: Arc::clone(&self.jail),
            id: id.clone(),
            protection: self.carrier.protection.clone(),
            failures,
            known,
        });
    }
}

impl Carrier {
    /// Why a ban is not in force, if it is not; where nothing can be read back, it is taken to be.
    fn lost(&mut self, ticket: &Ticket, facts: &dyn Facts) -> Result<Option<String>, String> {
        match &mut self.by {
            By::Mail(_) => Ok(None),
            By::Shell(shell) => shell.lost(&ticket.id),
            By::Kernel(kernel) => {
                kernel.lost(&wanted_of(ticket, facts, facts.now())).map_err(|error| error.to_string())
            }
        }
    }
}

impl InKernel {
    fn lost(&self, ban: &Wanted) -> Result<Option<String>, Error> {
        match &self.rules {
            Rules::Own(action) => self.shelter.with(|firewall| action.lost(firewall, ban)),
            Rules::Stock(parts) => {
                let Some(part) = parts.iter().find(|part| Some(part.family()) == ban.0.family()) else {
                    return Ok(None);
                };
                let difference =
                    self.shelter.with(|firewall| part.verify(firewall, std::slice::from_ref(ban)))?;
                Ok(match difference.structure.first() {
                    Some(missing) => Some(format!("the kernel has no {missing}")),
                    None => (!difference.missing.is_empty()).then(|| "it was not in the set".to_owned()),
                })
            }
        }
    }
}
