//! Actions that are a firewall we know: recognised by the shape of their commands, whatever their name.
//!
//! Whoever carries such an action out in another way, or reads the kernel to see whether it was carried out, must not
//! guess: one argument that is not understood, and the action is not known.

mod ipset;
mod iptables;
mod nftables;
#[cfg(test)]
mod tests;

use portcullis_jail::Family;
use portcullis_jail::action::{Action, Operation};

use super::evaluate::{Call, calls};
use super::parse::parse;
use super::programs::sample;

/// How an action keeps its bans in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One iptables rule for each ban, in a chain of its own, reached from the hook chains.
    Chain,
    /// An ipset, matched by a rule in the hook chains.
    Ipset,
    /// A set of nftables, matched by a rule in a chain with a hook of its own.
    NftSet,
}

/// An action that is a firewall we know, for one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// How bans are kept.
    pub kind: Kind,
    /// The program that bans (`iptables`, `ip6tables`, `ipset`, `nft`), as the command has it.
    pub program: String,
    /// The chain that has the rules of bans ([`Kind::Chain`]), or the rule that matches the set ([`Kind::NftSet`]); empty
    /// where that stands in the hook chains themselves.
    pub chain: String,
    /// The chains from which a rule leads to the bans: `INPUT`. For nftables the hook: `input`.
    pub hooks: Vec<String>,
    /// The ports, in iptables' notation (`22,2222`, `8000:8010`, names); none is all.
    pub ports: Option<String>,
    /// The protocols: `tcp`, `udp`, … or `all`.
    pub protocols: Vec<String>,
    /// Whether only packets of new connections are stopped (`-m state --state NEW`).
    pub only_new: bool,
    /// The set's name; empty for [`Kind::Chain`].
    pub set: String,
    /// What happens to a packet, in the program's words: `REJECT --reject-with icmp-port-unreachable`, `drop`.
    pub blocktype: String,
    /// `inet f2b-table` and the chain's priority, for nftables.
    pub nft: Option<Table>,
}

/// All that the script of one ban, or of its end, does to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Puts the offender in.
    Add {
        /// For so many seconds; 0 is for ever. `None` when the script says nothing.
        timeout: Option<u32>,
    },
    /// Takes it out.
    Delete,
}

impl Known {
    /// What `script` does, if it is nothing but a ban of `member`, or its end, in the way of this action. `None` when that
    /// is not certain: then a shell must run it.
    pub fn deed(&self, script: &str, family: Family, member: &str) -> Option<Deed> {
        let calls = calls(&parse(script).ok()?)?;
        let [call] = calls.as_slice() else { return None };
        if call.first()? != &self.program {
            return None;
        }
        match self.kind {
            Kind::Chain => iptables::deed(call, self, family, member),
            Kind::Ipset => ipset::deed(call, self, member),
            Kind::NftSet => None,
        }
    }
}

/// Where nftables' objects are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// `inet`, `ip`, `ip6`
    pub family: String,
    /// `f2b-table`
    pub name: String,
    /// `-1`, `filter - 1`
    pub priority: String,
}

/// What an action is, if its start and its ban are those of a firewall we know.
pub fn recognise(action: &Action, family: Family) -> Option<Known> {
    let start = calls(&parse(&sample(action, Operation::Start, family)?).ok()?)?;
    let ban = calls(&parse(&sample(action, Operation::Ban, family)?).ok()?)?;
    let start: Vec<_> = start.into_iter().filter(|call| call[0] != "true").collect();
    let address = if family == Family::Inet4 { "192.0.2.1" } else { "2001:db8::1" };
    match base(&ban.first()?[0]) {
        "iptables" | "ip6tables" => iptables::chain(&start, &ban, family, address),
        "ipset" => ipset::ipset(&start, &ban, family, address),
        "nft" => nftables::nft(&start, &ban, family, address),
        _ => None,
    }
}

fn base(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}
