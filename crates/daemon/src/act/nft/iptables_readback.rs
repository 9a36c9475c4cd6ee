//! Is a ban that a shell made with iptables really in the kernel? A tool that exits with 0 and does nothing (a stub, the
//! wrong backend, a container without the right) is found out here.
//!
//! iptables-nft's rules are read over netlink. iptables-legacy has no netlink; there the genuine tool lists them, and only
//! where the kernel says that the table exists, since listing would load the modules.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::PathBuf;

use ipnet::IpNet;
use portcullis_jail::{Family, Id};

use super::default_action::Difference;
use super::error::Error;
use super::expression::{Comparison, Expression, Payload, Verdict};
use super::firewall::Firewall;
use super::like::Like;
use super::object::{Table, address, octets};
use super::tool::{Tool, output, resolve};
use super::{ipset, tool};

/// Up to so many members of an ipset are asked for one by one; beyond, one dump tells them all.
const SINGLE_QUESTIONS: usize = 64;

/// Where iptables' rules are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// In nf_tables' table `filter`.
    Nft,
    /// In the older tables, which this tool lists.
    Legacy(PathBuf),
    /// Nobody knows: the program is a script or something else. Both places are looked at.
    Unknown,
}

impl Backend {
    /// The backend of `iptables` or `ip6tables` with this PATH.
    pub fn of(program: &str, path: Option<&OsStr>) -> Self {
        match resolve(program, path) {
            Tool::Genuine(_, name) if name.contains("nft") => Backend::Nft,
            Tool::Genuine(found, name) if name.contains("legacy") || name == "xtables-multi" => {
                Backend::Legacy(found)
            }
            _ => Backend::Unknown,
        }
    }
}

/// One iptables rule for each ban, in a chain of the jail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BanChain {
    /// Whose: `iptables` or `ip6tables`.
    pub family: Family,
    /// Where.
    pub backend: Backend,
    /// The jail's chain: `f2b-sshd`.
    pub chain: String,
    /// The chains that must jump to it: `INPUT`.
    pub hooks: Vec<String>,
}

/// An ipset, matched by a rule in the hook chains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BanSet {
    /// Whose.
    pub family: Family,
    /// Where the rule is.
    pub backend: Backend,
    /// The set: `f2b-sshd`.
    pub set: String,
    /// The chains that must have the rule: `INPUT`.
    pub hooks: Vec<String>,
}

impl BanChain {
    /// Reads back: what of chain and jumps is not there, and which of `ids` are not blocked. Bans that nobody asked for are
    /// told as surplus.
    ///
    /// # Errors
    /// When the kernel or the tool cannot be asked.
    pub fn verify(&self, firewall: &mut Firewall, ids: &[Id]) -> Result<Difference, Error> {
        first_without_difference(&self.backend, self.family, |place| self.verify_in(place, firewall, ids))
    }

    fn verify_in(
        &self,
        place: Option<&PathBuf>,
        firewall: &mut Firewall,
        ids: &[Id],
    ) -> Result<Difference, Error> {
        let mut difference = Difference::default();
        for hook in &self.hooks {
            let rules = rules(place, firewall, self.family, hook)?;
            if !reaches(&rules, |rule| rule.end == End::Jump(self.chain.clone())) {
                difference.structure.push(format!("rule {hook} -j {}", self.chain));
            }
        }
        let blocked = blocked(place, firewall, self.family, &self.chain)?;
        let mut asked = HashSet::new();
        for id in ids {
            let covered = |net: IpNet| {
                std::iter::successors(Some(net), IpNet::supernet).any(|around| blocked.contains(&around))
            };
            match id.net().map(|net| net.trunc()) {
                Some(net) if covered(net) => {
                    asked.insert(net);
                }
                _ => difference.missing.push(id.clone()),
            }
        }
        difference.surplus = blocked.difference(&asked).map(|net| Id::new(&net.to_string())).collect();
        Ok(difference)
    }
}

impl BanSet {
    /// Reads back: whether set and rule are there, and which of `ids` are not in the set.
    ///
    /// # Errors
    /// When the kernel or the tool cannot be asked.
    pub fn verify(&self, firewall: &mut Firewall, ids: &[Id]) -> Result<Difference, Error> {
        let Some(index) = ipset::index(firewall, &self.set)? else {
            let structure = vec![format!("ipset {}", self.set)];
            return Ok(Difference { structure, missing: ids.to_vec(), surplus: Vec::new() });
        };
        let mut difference = first_without_difference(&self.backend, self.family, |place| {
            let mut structure = Vec::new();
            for hook in &self.hooks {
                let rules = rules(place, firewall, self.family, hook)?;
                let matches = |rule: &BanRule| match &rule.set {
                    Some(SetMatch::Index(other)) => *other == index,
                    Some(SetMatch::Name(name)) => *name == self.set,
                    None => false,
                };
                if !reaches(&rules, |rule| rule.end == End::Block && matches(rule)) {
                    structure.push(format!("rule {hook} --match-set {} src", self.set));
                }
            }
            Ok(Difference { structure, ..Difference::default() })
        })?;
        // Networks may be there as the addresses that they are made of.
        let all =
            if ids.len() > SINGLE_QUESTIONS { Some(ipset::members(firewall, &self.set)?) } else { None };
        for id in ids {
            let held = match (id.net().map(|net| net.trunc()), &all) {
                (Some(net), Some(all)) if !id.is_network() => all.contains(&net),
                (Some(net), _) => ipset::holds(firewall, &self.set, net)?,
                (None, _) => false,
            };
            if !held {
                difference.missing.push(id.clone());
            }
        }
        Ok(difference)
    }
}

/// The sources that a chain blocks, until all packets leave it.
pub(super) fn blocked(
    place: Option<&PathBuf>,
    firewall: &mut Firewall,
    family: Family,
    chain: &str,
) -> Result<HashSet<IpNet>, Error> {
    let mut blocked = HashSet::new();
    if place.is_none() {
        let mut known: Option<Like> = None;
        for raw in firewall.raw_rules(&Table::of_iptables(family), chain)? {
            if let Some(source) = known.as_ref().and_then(|like| like.address(&raw.expressions)) {
                blocked.insert(source.into());
                continue;
            }
            let rule = of_expressions(&Expression::read_list(&raw.expressions));
            if note(&rule, &mut blocked) {
                break;
            }
            known = like(&raw.expressions, &rule).or(known);
        }
        return Ok(blocked);
    }
    for rule in rules(place, firewall, family, chain)? {
        if note(&rule, &mut blocked) {
            break;
        }
    }
    Ok(blocked)
}

/// Notes whom a rule blocks; whether all packets leave the chain here.
fn note(rule: &BanRule, blocked: &mut HashSet<IpNet>) -> bool {
    if let (Some(source), End::Block) = (rule.source, &rule.end) {
        blocked.insert(source);
    }
    rule.source.is_none() && rule.end == End::Leave && rule.unconditional
}

/// What other rules are compared with; `None` for a rule that does anything but block one address, or where it is not certain
/// which bytes are that address.
fn like(expressions: &[u8], rule: &BanRule) -> Option<Like> {
    let source = rule.source.filter(|net| net.prefix_len() == net.max_prefix_len())?.addr();
    if rule.end != End::Block {
        return None;
    }
    let octets = octets(source);
    let mut places = (0..expressions.len()).filter(|at| expressions[*at..].starts_with(octets.as_ref()));
    let (at, None) = (places.next()?, places.next()) else { return None };
    Like::new(expressions, at, source)
}

/// Looks at the backend's place; where it is unknown, at both, and the better answer counts.
fn first_without_difference(
    backend: &Backend,
    family: Family,
    mut look: impl FnMut(Option<&PathBuf>) -> Result<Difference, Error>,
) -> Result<Difference, Error> {
    match backend {
        Backend::Nft => look(None),
        Backend::Legacy(tool) => look(Some(tool)),
        Backend::Unknown => {
            let nft = look(None)?;
            let name = if family == Family::Inet4 { "iptables-legacy" } else { "ip6tables-legacy" };
            match tool::resolve(name, std::env::var_os("PATH").as_deref()) {
                Tool::Genuine(found, _) if !nft.structure.is_empty() || !nft.missing.is_empty() => {
                    let legacy = look(Some(&found))?;
                    let better = legacy.structure.is_empty() && legacy.missing.len() <= nft.missing.len();
                    Ok(if better { legacy } else { nft })
                }
                _ => Ok(nft),
            }
        }
    }
}

/// A rule of iptables, as far as bans are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BanRule {
    source: Option<IpNet>,
    set: Option<SetMatch>,
    /// Whether it has no condition at all.
    unconditional: bool,
    end: End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum SetMatch {
    Index(u16),
    Name(String),
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Block,
    Jump(String),
    /// Accepted, or back to the calling chain.
    Leave,
    /// Goes on: counted, logged.
    Nothing,
}

/// Whether a rule is found that is `wanted`, before all packets have left the chain.
fn reaches(rules: &[BanRule], wanted: impl Fn(&BanRule) -> bool) -> bool {
    for rule in rules {
        if wanted(rule) {
            return true;
        }
        if rule.unconditional && matches!(rule.end, End::Leave | End::Block) {
            return false;
        }
    }
    false
}

fn rules(
    place: Option<&PathBuf>,
    firewall: &mut Firewall,
    family: Family,
    chain: &str,
) -> Result<Vec<BanRule>, Error> {
    let Some(tool) = place else {
        let rules = firewall.rules(&Table::of_iptables(family), chain)?;
        return Ok(rules.iter().map(|rule| of_expressions(&rule.rule.expressions)).collect());
    };
    if !has_filter(family) {
        return Ok(Vec::new());
    }
    // All chains: a missing one would be a failure of the tool that looks like any other.
    let listed = output(tool, &["-w", "-S"])?;
    Ok(listed.lines().filter_map(|line| of_listing(line, chain)).collect())
}

/// Whether iptables-legacy has the table `filter`. To ask the tool would make it.
pub(super) fn has_filter(family: Family) -> bool {
    let tables =
        if family == Family::Inet4 { "/proc/net/ip_tables_names" } else { "/proc/net/ip6_tables_names" };
    std::fs::read_to_string(tables).is_ok_and(|names| names.lines().any(|name| name == "filter"))
}

/// Reads a rule that iptables-nft made.
fn of_expressions(expressions: &[Expression]) -> BanRule {
    let mut read = BanRule { source: None, set: None, unconditional: true, end: End::Nothing };
    let mut rest = expressions;
    while let [expression, more @ ..] = rest {
        rest = more;
        match expression {
            Expression::Counter => {}
            Expression::Verdict(verdict) => read.end = end_of_verdict(verdict),
            Expression::Reject(_) => read.end = End::Block,
            Expression::XtTarget(name) => read.end = end_of_target(name),
            Expression::XtMatch(name, data) => {
                read.unconditional = false;
                if name == "set" {
                    read.set = ipset::matched_index(data).map(SetMatch::Index);
                }
            }
            Expression::Payload(payload) => {
                read.unconditional = false;
                match more {
                    [Expression::Mask(mask), Expression::Compare(Comparison::Equal, value), ..] => {
                        read.source = read.source.or_else(|| source(*payload, Some(mask), value));
                    }
                    [Expression::Compare(Comparison::Equal, value), ..] => {
                        read.source = read.source.or_else(|| source(*payload, None, value));
                    }
                    _ => {}
                }
            }
            _ => read.unconditional = false,
        }
    }
    read
}

/// The network that a comparison of the source address stands for. iptables-nft compares 3 bytes for a /24.
pub(super) fn source(payload: Payload, mask: Option<&[u8]>, value: &[u8]) -> Option<IpNet> {
    let (start, width) = [Payload::SOURCE_V4, Payload::SOURCE_V6]
        .iter()
        .find(|source| (source.base, source.offset) == (payload.base, payload.offset))
        .map(|source| (source.offset, source.length as usize))?;
    debug_assert_eq!(start, payload.offset);
    let length = payload.length as usize;
    if value.len() != length || length > width {
        return None;
    }
    let prefix = match mask {
        None => length * 8,
        Some(mask) => {
            let ones: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
            let leading = mask.iter().take_while(|byte| **byte == 0xff).count() as u32 * 8
                + mask.iter().find(|byte| **byte != 0xff).map_or(0, |byte| byte.leading_ones());
            (ones == leading).then_some(ones as usize)?
        }
    };
    let mut bytes = value.to_vec();
    bytes.resize(width, 0);
    IpNet::new(address(&bytes)?, prefix as u8).ok().map(|net| net.trunc())
}

fn end_of_verdict(verdict: &Verdict) -> End {
    match verdict {
        Verdict::Drop => End::Block,
        Verdict::Jump(chain) | Verdict::Goto(chain) => End::Jump(chain.clone()),
        Verdict::Accept | Verdict::Return => End::Leave,
        Verdict::Other(_) => End::Nothing,
    }
}

/// What iptables' targets do; chains of users are not among them.
fn end_of_target(name: &str) -> End {
    match name {
        "REJECT" | "DROP" | "TARPIT" | "DELUDE" | "CHAOS" | "STEAL" => End::Block,
        "ACCEPT" | "RETURN" => End::Leave,
        _ => End::Nothing,
    }
}

/// Reads a line of `iptables -S`: `-A f2b-sshd -s 192.0.2.1/32 -j REJECT --reject-with icmp-port-unreachable`.
fn of_listing(line: &str, chain: &str) -> Option<BanRule> {
    let mut words = line.split(' ');
    if words.next() != Some("-A") || words.next() != Some(chain) {
        return None;
    }
    let mut rule = BanRule { source: None, set: None, unconditional: true, end: End::Nothing };
    while let Some(word) = words.next() {
        match word {
            "-j" | "-g" => {
                let target = words.next()?;
                rule.end = match end_of_target(target) {
                    End::Nothing => End::Jump(target.to_owned()),
                    end => end,
                };
                break;
            }
            "!" => {
                // A negated condition is none that a ban has.
                rule.unconditional = false;
                words.next();
                words.next();
            }
            "-s" => {
                rule.unconditional = false;
                rule.source = words.next()?.parse().ok();
            }
            "--match-set" => rule.set = words.next().map(|name| SetMatch::Name(name.to_owned())),
            _ => rule.unconditional = false,
        }
    }
    Some(rule)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::act::nft::like::about_source as rule;

    #[test]
    fn listed_rules_are_read() {
        let rule =
            of_listing("-A f2b-kj -s 192.0.2.0/24 -j REJECT --reject-with icmp-port-unreachable", "f2b-kj");
        let rule = rule.unwrap();
        assert_eq!((rule.source, rule.end), ("192.0.2.0/24".parse().ok(), End::Block));
        assert_eq!(of_listing("-A f2b-other -s 192.0.2.1/32 -j DROP", "f2b-kj"), None);
        let jump = of_listing("-A INPUT -p tcp -m multiport --dports 22 -j f2b-kj", "INPUT").unwrap();
        assert_eq!((jump.end, jump.unconditional), (End::Jump("f2b-kj".into()), false));
        let back = of_listing("-A f2b-kj -j RETURN", "f2b-kj").unwrap();
        assert_eq!((back.end, back.unconditional), (End::Leave, true));
        assert_eq!(of_listing("-A f2b-kj ! -s 192.0.2.1/32 -j DROP", "f2b-kj").unwrap().source, None);
    }

    #[test]
    fn sources_of_any_length_are_read() {
        let v4 = |length, mask: Option<&[u8]>, value: &[u8]| {
            source(Payload { length, ..Payload::SOURCE_V4 }, mask, value).map(|net| net.to_string())
        };
        assert_eq!(v4(4, None, &[192, 0, 2, 1]).unwrap(), "192.0.2.1/32");
        assert_eq!(v4(3, None, &[192, 0, 2]).unwrap(), "192.0.2.0/24");
        assert_eq!(v4(4, Some(&[255, 224, 0, 0]), &[10, 32, 0, 0]).unwrap(), "10.32.0.0/11");
        assert_eq!(v4(4, Some(&[255, 0, 255, 0]), &[10, 0, 2, 0]), None);
        assert_eq!(source(Payload { offset: 16, ..Payload::SOURCE_V4 }, None, &[1, 2, 3, 4]), None);
    }

    #[test]
    fn a_rule_like_the_last_is_read_by_its_address_alone_and_any_other_is_not() {
        let like = |raw: &[u8]| like(raw, &of_expressions(&Expression::read_list(raw)));
        let drop = [Expression::Counter, Expression::Verdict(Verdict::Drop)];
        let one = like(&rule(&[192, 0, 2, 1], &drop)).unwrap();
        for address in [[198, 51, 100, 7], [0, 0, 0, 0], [255, 255, 255, 255]] {
            let raw = rule(&address, &drop);
            let slowly = of_expressions(&Expression::read_list(&raw)).source;
            assert_eq!(
                (one.address(&raw), slowly),
                (Some(address.into()), Some(IpAddr::from(address).into()))
            );
        }
        let accepts = rule(&[198, 51, 100, 7], &[Expression::Counter, Expression::Verdict(Verdict::Accept)]);
        assert_eq!(one.address(&accepts), None);
        assert_eq!(one.address(&rule(&[198, 51, 100], &drop)), None, "a network");
        assert!(like(&accepts).is_none() && like(&rule(&[198, 51, 100], &drop)).is_none());
        // These bytes stand elsewhere in a rule as well.
        assert!(like(&rule(&[0, 0, 0, 0], &drop)).is_none());
    }
}
