//! Reading back the bans of a firewall action that a shell carries out, whatever it keeps them in.

use std::ffi::OsStr;

use portcullis_jail::{Family, Id};

use super::default_action::Difference;
use super::error::Error;
use super::firewall::Firewall;
use super::iptables_readback::{Backend, BanChain, BanSet};
use super::nft_readback::BanNftSet;
use super::object::{Table, TableFamily};
use crate::act::preflight::{Kind, Known};

/// Where the bans of an action are to be found in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readback {
    /// Rules of iptables.
    Chain(BanChain),
    /// An ipset.
    Ipset(BanSet),
    /// A set of nftables.
    NftSet(BanNftSet),
}

impl Readback {
    /// For an action of a known kind; `path` is the PATH with which its commands run.
    pub fn of(known: &Known, family: Family, path: Option<&OsStr>) -> Option<Self> {
        // The program that makes the rule; an ipset's bans are made by `ipset`.
        let iptables = match family {
            Family::Inet4 => "iptables",
            Family::Inet6 => "ip6tables",
        };
        Some(match known.kind {
            Kind::Chain => Readback::Chain(BanChain {
                family,
                backend: Backend::of(&known.program, path),
                chain: known.chain.clone(),
                hooks: known.hooks.clone(),
            }),
            Kind::Ipset => Readback::Ipset(BanSet {
                family,
                backend: Backend::of(iptables, path),
                set: known.set.clone(),
                hooks: known.hooks.clone(),
            }),
            Kind::NftSet => {
                let table = known.nft.as_ref()?;
                let table = Table { family: TableFamily::parse(&table.family)?, name: table.name.clone() };
                Readback::NftSet(BanNftSet {
                    family,
                    table,
                    chain: known.chain.clone(),
                    set: known.set.clone(),
                })
            }
        })
    }

    /// What of the structure is not there, and which of `ids` are not blocked.
    ///
    /// # Errors
    /// When the kernel cannot be read: nothing is known then.
    pub fn verify(&self, firewall: &mut Firewall, ids: &[Id]) -> Result<Difference, Error> {
        match self {
            Readback::Chain(chain) => chain.verify(firewall, ids),
            Readback::Ipset(set) => set.verify(firewall, ids),
            Readback::NftSet(set) => set.verify(firewall, ids),
        }
    }
}
