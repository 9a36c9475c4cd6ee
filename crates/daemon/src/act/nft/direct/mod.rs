//! What stock actions have `iptables` and `ipset` do for each ban, done without a process for each: rules of iptables-nft and
//! members of ipsets over netlink, rules of iptables-legacy many at a time through its own `iptables-restore`.
//!
//! Only where the action's program is the genuine tool, and after that what it would have done: what this puts into the
//! kernel is byte for byte what the tool puts there. Chains, sets and the rules that lead to them are the action's own
//! business, and so is a ban that fails here.

mod restore;
mod rules;

use std::ffi::OsStr;

use ipnet::IpNet;
use portcullis_jail::Family;

use self::restore::Restore;
use self::rules::Rules;
use super::error::Error;
use super::firewall::Firewall;
use super::iptables_readback::Backend;
use super::tool::{Tool, resolve};
use super::{ipset, object::Table};
use crate::act::preflight::{Kind, Known};

/// One offender, and for how many seconds the kernel is to keep it (ipset only; 0 is for ever).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Whom.
    pub net: IpNet,
    /// How long, where the action says so.
    pub timeout: Option<u32>,
}

/// What many bans cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Each as much as the first.
    One,
    /// Next to nothing: microseconds each.
    Each,
    /// The whole is read and compared, however few are new: not less than so many at a time.
    Batch(usize),
}

/// The place of an action's bans in the kernel, for one family.
#[derive(Debug)]
pub struct Direct(Place);

#[derive(Debug)]
enum Place {
    /// A chain of iptables-nft.
    Rules(Rules),
    /// A chain of iptables-legacy.
    Restore(Restore),
    /// An ipset, by its name.
    Ipset(String),
}

impl Direct {
    /// For an action of a known kind whose program is the genuine one; `path` is the PATH with which its commands run.
    pub fn of(known: &Known, family: Family, path: Option<&OsStr>) -> Option<Self> {
        let place = match known.kind {
            Kind::Ipset => match resolve(&known.program, path) {
                Tool::Genuine(_, name) if name == "ipset" => Place::Ipset(known.set.clone()),
                _ => return None,
            },
            Kind::Chain => match Backend::of(&known.program, path) {
                Backend::Nft => Place::Rules(Rules::new(Table::of_iptables(family), known.chain.clone())),
                Backend::Legacy(tool) => Place::Restore(Restore::new(&tool, family, known)?),
                Backend::Unknown => return None,
            },
            Kind::NftSet => return None,
        };
        Some(Direct(place))
    }

    /// What many bans cost.
    pub fn pace(&self) -> Pace {
        match &self.0 {
            Place::Rules(_) => Pace::Batch(250),
            Place::Restore(_) => Pace::Batch(usize::MAX),
            Place::Ipset(_) => Pace::Each,
        }
    }

    /// Whether a single ban is done this way as well: no process is started for it.
    pub fn is_quick(&self) -> bool {
        !matches!(self.0, Place::Restore(_))
    }

    /// Whether it can put this one in.
    pub fn takes(&self, net: IpNet) -> bool {
        !matches!(&self.0, Place::Rules(rules) if !rules.takes(net))
    }

    /// Whether it is known what a ban looks like. If not, the action's own command has to make one, to be
    /// [learnt](Direct::learn) from.
    pub fn is_ready(&self) -> bool {
        !matches!(&self.0, Place::Rules(rules) if !rules.has_learnt())
    }

    /// Takes the ban that the action's own command has just made as the pattern of all others.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub fn learn(&mut self, firewall: &mut Firewall, net: IpNet) -> Result<(), Error> {
        match &mut self.0 {
            Place::Rules(rules) => rules.learn(firewall, net),
            Place::Restore(_) | Place::Ipset(_) => Ok(()),
        }
    }

    /// Puts these in; whoever is in already stays. Answers those that the kernel refused, singly, with the reason.
    ///
    /// # Errors
    /// When all were refused, or nothing is known.
    pub fn add(&mut self, firewall: &mut Firewall, members: &[Member]) -> Result<Vec<(IpNet, Error)>, Error> {
        match &mut self.0 {
            Place::Rules(rules) => {
                let nets: Vec<IpNet> = members.iter().map(|member| member.net).collect();
                rules.add(firewall, &nets).map(|()| Vec::new())
            }
            Place::Restore(restore) => {
                let nets: Vec<IpNet> = members.iter().map(|member| member.net).collect();
                restore.add(firewall, &nets)
            }
            Place::Ipset(set) => {
                let members: Vec<_> = members.iter().map(|member| (member.net, member.timeout)).collect();
                ipset::add(firewall, set, &members)
            }
        }
    }

    /// Takes these out; answers those that were not there.
    ///
    /// # Errors
    /// When the kernel or the tool refused: some may be there still.
    pub fn delete(&mut self, firewall: &mut Firewall, nets: &[IpNet]) -> Result<Vec<IpNet>, Error> {
        match &mut self.0 {
            Place::Rules(rules) => rules.delete(firewall, nets),
            Place::Restore(restore) => restore.delete(nets),
            Place::Ipset(set) => {
                for net in nets {
                    ipset::delete(firewall, set, *net)?;
                }
                Ok(Vec::new())
            }
        }
    }
}
