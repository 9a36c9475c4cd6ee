//! Taking bans out of the kernel for good: every copy of a rule, and what a killed server has left behind.
//!
//! A command that lifts a ban takes one rule out. After a kill there may be two of them, and rules for bans that ended while
//! nobody was there. Only rules that are nothing but the ban of a source are touched, and only where it is known which tool made
//! them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use portcullis_jail::{Family, Id};

use super::batch::Batch;
use super::error::Error;
use super::expression::{Comparison, Expression, Verdict};
use super::firewall::Firewall;
use super::ipset;
use super::iptables_readback::{Backend, BanChain, BanSet, blocked, has_filter, source};
use super::nft_readback::BanNftSet;
use super::object::{Element, KernelRule, Table};
use super::readback::Readback;
use super::tool::{self, Tool};

/// Whose ban is to stay.
type Keep<'k> = &'k dyn Fn(&IpNet) -> bool;

impl Readback {
    /// Those of `ids` that are blocked by themselves. A network around them does not count: it is another ban.
    ///
    /// # Errors
    /// When the kernel or the tool cannot be asked.
    pub fn standing(&self, firewall: &mut Firewall, ids: &[Id]) -> Result<Vec<Id>, Error> {
        let nets: Vec<(&Id, IpNet)> = ids.iter().filter_map(|id| Some((id, id.net()?.trunc()))).collect();
        if nets.is_empty() {
            return Ok(Vec::new());
        }
        let there = match self {
            Readback::Chain(chain) => chain.sources(firewall)?,
            Readback::Ipset(set) => set.members(firewall)?,
            Readback::NftSet(set) => set.among(firewall, nets.iter().map(|(_, net)| *net))?,
        };
        Ok(nets.into_iter().filter(|(_, net)| there.contains(net)).map(|(id, _)| id.clone()).collect())
    }

    /// The chain or set, in its tool's words.
    pub fn place(&self) -> String {
        match self {
            Readback::Chain(chain) => format!("chain {} {}", chain.family.name(), chain.chain),
            Readback::Ipset(set) => format!("ipset {}", set.set),
            Readback::NftSet(set) => format!("set {} {}", set.table, set.set),
        }
    }

    /// Takes these out, all copies.
    ///
    /// # Errors
    /// When the kernel or the tool refuses, or nobody knows whose rules they are.
    pub fn lift(&self, firewall: &mut Firewall, ids: &[Id]) -> Result<(), Error> {
        let nets: HashSet<IpNet> = ids.iter().filter_map(|id| Some(id.net()?.trunc())).collect();
        match self {
            Readback::Chain(chain) => chain.leave(firewall, &|net| !nets.contains(net)).map(drop),
            Readback::Ipset(set) => nets.iter().try_for_each(|net| ipset::delete(firewall, &set.set, *net)),
            Readback::NftSet(set) => set.delete(firewall, nets.into_iter().collect()),
        }
    }

    /// Leaves one rule or member for each ban that `keep` names, and nothing else. Answers how many were taken away.
    ///
    /// # Errors
    /// As [`Readback::lift`].
    pub fn leave(&self, firewall: &mut Firewall, keep: Keep<'_>) -> Result<usize, Error> {
        match self {
            Readback::Chain(chain) => chain.leave(firewall, keep),
            Readback::Ipset(set) => {
                // A network may be there as the addresses that it is made of.
                let kept =
                    |net: &IpNet| std::iter::successors(Some(*net), IpNet::supernet).any(|net| keep(&net));
                let surplus: Vec<IpNet> =
                    set.members(firewall)?.into_iter().filter(|net| !kept(net)).collect();
                surplus.iter().try_for_each(|net| ipset::delete(firewall, &set.set, *net))?;
                Ok(surplus.len())
            }
            // What a set of intervals holds need not be what was put in.
            Readback::NftSet(_) => Ok(0),
        }
    }
}

/// Where the rule of a ban is.
enum Place {
    /// Its number in the kernel.
    Handle(u64),
    /// The words behind `-A`, as the tool lists it.
    Line(String),
}

impl BanChain {
    /// The sources that the chain blocks, wherever its rules may be.
    fn sources(&self, firewall: &mut Firewall) -> Result<HashSet<IpNet>, Error> {
        match &self.backend {
            Backend::Nft => blocked(None, firewall, self.family, &self.chain),
            Backend::Legacy(tool) => blocked(Some(tool), firewall, self.family, &self.chain),
            Backend::Unknown => {
                let mut all = blocked(None, firewall, self.family, &self.chain)?;
                let name = if self.family == Family::Inet4 { "iptables-legacy" } else { "ip6tables-legacy" };
                if let Tool::Genuine(found, _) = tool::resolve(name, std::env::var_os("PATH").as_deref()) {
                    all.extend(blocked(Some(&found), firewall, self.family, &self.chain)?);
                }
                Ok(all)
            }
        }
    }

    fn leave(&self, firewall: &mut Firewall, keep: Keep<'_>) -> Result<usize, Error> {
        let mut kept = HashSet::new();
        let bans = self.bans(firewall)?.into_iter();
        // The newest is the first, and it is the one that stays.
        let surplus: Vec<Place> =
            bans.filter(|(net, _)| !keep(net) || !kept.insert(*net)).map(|(_, place)| place).collect();
        self.delete(firewall, &surplus)?;
        Ok(surplus.len())
    }

    /// The rules of the chain that are nothing but a ban, in their order.
    fn bans(&self, firewall: &mut Firewall) -> Result<Vec<(IpNet, Place)>, Error> {
        match &self.backend {
            Backend::Nft => {
                let rules = firewall.rules(&Table::of_iptables(self.family), &self.chain)?;
                Ok(rules
                    .iter()
                    .filter_map(|rule| Some((of_kernel(rule)?, Place::Handle(rule.handle))))
                    .collect())
            }
            Backend::Legacy(tool) => {
                let listed = listed(tool, self.family, &self.chain)?;
                Ok(listed.into_iter().map(|(net, line)| (net, Place::Line(line))).collect())
            }
            Backend::Unknown => Err(Error::Tool(format!(
                "nobody knows what made the rules of {}: they are left alone",
                self.chain
            ))),
        }
    }

    fn delete(&self, firewall: &mut Firewall, places: &[Place]) -> Result<(), Error> {
        let handles: Vec<u64> = places
            .iter()
            .filter_map(|place| if let Place::Handle(h) = place { Some(*h) } else { None })
            .collect();
        delete_rules(firewall, &Table::of_iptables(self.family), &self.chain, &handles)?;
        // Whoever puts rules into the chain remembers what it has.
        firewall.disturb();
        let lines = places
            .iter()
            .filter_map(|place| if let Place::Line(line) = place { Some(line.as_str()) } else { None });
        match &self.backend {
            Backend::Legacy(tool) => delete_listed(tool, self.family, lines),
            _ => Ok(()),
        }
    }
}

impl BanSet {
    fn members(&self, firewall: &mut Firewall) -> Result<HashSet<IpNet>, Error> {
        match ipset::index(firewall, &self.set)? {
            Some(_) => ipset::members(firewall, &self.set),
            None => Ok(HashSet::new()),
        }
    }
}

impl BanNftSet {
    fn among(
        &self,
        firewall: &mut Firewall,
        nets: impl Iterator<Item = IpNet>,
    ) -> Result<HashSet<IpNet>, Error> {
        let Some(set) = self.kernel_set(firewall)? else { return Ok(HashSet::new()) };
        let wanted: Vec<Element> = nets.map(|net| Element { net, timeout: None }).collect();
        let found = firewall.look_up(&self.table, &set, &wanted)?;
        Ok(found.into_iter().flatten().map(|element| element.net).collect())
    }

    fn delete(&self, firewall: &mut Firewall, nets: Vec<IpNet>) -> Result<(), Error> {
        let Some(set) = self.kernel_set(firewall)? else { return Ok(()) };
        let elements: Vec<Element> = nets.into_iter().map(|net| Element { net, timeout: None }).collect();
        firewall.delete_elements(&self.table, &set, &elements).map(drop)
    }
}

/// Takes rules out by their numbers, in as few transactions as the kernel takes.
pub(super) fn delete_rules(
    firewall: &mut Firewall,
    table: &Table,
    chain: &str,
    handles: &[u64],
) -> Result<(), Error> {
    /// Bytes of a message besides its names.
    const AROUND: usize = 64;
    let size = AROUND + table.name.len() + chain.len();
    for part in handles.chunks((firewall.batch_limit() / size).max(1)) {
        let mut batch = Batch::default();
        for handle in part {
            batch.delete_rule(table, chain, *handle);
        }
        firewall.commit_own(batch)?;
    }
    Ok(())
}

/// The source of a rule that asks for nothing else, and blocks.
fn of_kernel(rule: &KernelRule) -> Option<IpNet> {
    let blocks = |expression: &Expression| match expression {
        Expression::Reject(_) | Expression::Verdict(Verdict::Drop) => true,
        Expression::XtTarget(name) => matches!(name.as_str(), "REJECT" | "DROP"),
        _ => false,
    };
    let (net, rest) = match rule.rule.expressions.as_slice() {
        [
            Expression::Payload(payload),
            Expression::Mask(mask),
            Expression::Compare(Comparison::Equal, value),
            rest @ ..,
        ] => (source(*payload, Some(mask), value)?, rest),
        [Expression::Payload(payload), Expression::Compare(Comparison::Equal, value), rest @ ..] => {
            (source(*payload, None, value)?, rest)
        }
        _ => return None,
    };
    let (end, between) = rest.split_last()?;
    (blocks(end) && between.iter().all(|expression| *expression == Expression::Counter)).then_some(net)
}

/// The rules of a chain of iptables-legacy that are nothing but a ban, and the words behind `-A` by which they are listed.
pub(super) fn listed(tool: &Path, family: Family, chain: &str) -> Result<Vec<(IpNet, String)>, Error> {
    if !has_filter(family) {
        return Ok(Vec::new());
    }
    // All chains: a missing one would be a failure of the tool that looks like any other.
    let listed = tool::output(tool, &["-w", "-S"])?;
    Ok(listed.lines().filter_map(|line| plain_ban(line, chain)).collect())
}

/// Deletes rules by the words behind `-A`: all of them or none.
pub(super) fn delete_listed<'a>(
    tool: &Path,
    family: Family,
    rules: impl Iterator<Item = &'a str>,
) -> Result<(), Error> {
    let lines: String = rules.map(|rule| format!("-D {rule}\n")).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let (program, word) = restorer(tool, family)
        .ok_or_else(|| Error::Tool(format!("{}: there is no iptables-restore in it", tool.display())))?;
    tool::feed(&program, &[word, "-w", "--noflush"], format!("*filter\n{lines}COMMIT\n").as_bytes())
}

/// `xtables-legacy-multi`, and the word by which it restores; `None` where the tool is not several in one.
pub(super) fn restorer(tool: &Path, family: Family) -> Option<(PathBuf, &'static str)> {
    let program = std::fs::canonicalize(tool).ok()?;
    let several = program.file_name()?.to_str()?.starts_with("xtables-");
    let word = if family == Family::Inet4 { "iptables-restore" } else { "ip6tables-restore" };
    several.then_some((program, word))
}

/// `-A f2b-sshd -s 192.0.2.1/32 -j REJECT --reject-with icmp-port-unreachable`
fn plain_ban(line: &str, chain: &str) -> Option<(IpNet, String)> {
    let rule = line.strip_prefix("-A ")?;
    let rest = rule.strip_prefix(chain)?.strip_prefix(" -s ")?;
    let (source, rest) = rest.split_once(' ')?;
    let mut target = rest.strip_prefix("-j ")?.split(' ');
    let plain = matches!(
        (target.next()?, target.next(), target.next(), target.next()),
        ("DROP" | "REJECT", None, ..) | ("REJECT", Some("--reject-with"), Some(_), None)
    );
    Some((source.parse().ok().filter(|_| plain)?, rule.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::nft::expression::{Payload, Reject};
    use crate::act::nft::object::Rule;

    #[test]
    fn only_rules_that_are_nothing_but_a_ban_are_taken_for_one() {
        let net = |line| plain_ban(line, "f2b-J").map(|(net, _)| net.to_string());
        assert_eq!(net("-A f2b-J -s 192.0.2.1/32 -j DROP").unwrap(), "192.0.2.1/32");
        let reject = "-A f2b-J -s 2001:db8::/64 -j REJECT --reject-with icmp6-port-unreachable";
        assert_eq!(net(reject).unwrap(), "2001:db8::/64");
        for other in [
            "-A f2b-J-2 -s 192.0.2.1/32 -j DROP",
            "-A f2b-J -s 192.0.2.1/32 -p tcp -j DROP",
            "-A f2b-J ! -s 192.0.2.1/32 -j DROP",
            "-A f2b-J -s 192.0.2.1/32 -m comment --comment mine -j DROP",
            "-A f2b-J -s 192.0.2.1/32 -j ACCEPT",
            "-A f2b-J -j DROP",
            "-A f2b-J -j RETURN",
            "-N f2b-J",
        ] {
            assert_eq!(net(other), None, "{other}");
        }
    }

    #[test]
    fn rules_of_the_kernel_are_bans_when_they_ask_for_the_source_alone() {
        let rule = |expressions: Vec<Expression>| {
            let rule = Rule { chain: "f2b-J".into(), expressions, comment: None };
            of_kernel(&KernelRule { handle: 1, rule }).map(|net| net.to_string())
        };
        let from = |length, value: &[u8]| {
            vec![Expression::Payload(Payload { length, ..Payload::SOURCE_V4 }), Expression::equal(value)]
        };
        let reject = Expression::Reject(Reject::PORT_UNREACHABLE_V4);
        let drop = Expression::Verdict(Verdict::Drop);
        let with = |mut list: Vec<Expression>, more: &[&Expression]| {
            list.extend(more.iter().map(|expression| (*expression).clone()));
            rule(list)
        };
        let host = || from(4, &[192, 0, 2, 1]);
        assert_eq!(with(host(), &[&Expression::Counter, &reject]).unwrap(), "192.0.2.1/32");
        assert_eq!(with(from(3, &[192, 0, 2]), &[&drop]).unwrap(), "192.0.2.0/24");
        assert_eq!(with(host(), &[]), None);
        assert_eq!(with(host(), &[&Expression::Counter]), None);
        assert_eq!(with(host(), &[&Expression::Lookup("x".into()), &drop]), None);
        assert_eq!(with(host(), &[&Expression::Verdict(Verdict::Accept)]), None);
        assert_eq!(rule(vec![drop]), None);
    }
}
