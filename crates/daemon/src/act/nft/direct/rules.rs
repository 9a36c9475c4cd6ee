//! Rules of iptables-nft, each after the pattern of one that `iptables` has made itself.
//!
//! What a target looks like in the kernel is iptables' business, and differs between its versions. So a rule of its making
//! is read, and written again with another address. A rule is deleted by its number: `iptables -D` compares all rules, which
//! with thousands of them takes the square of their number.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;
use rustix::io::Errno;

use crate::act::nft::batch::Batch;
use crate::act::nft::decode::{attributes, pieces, text};
use crate::act::nft::encode::Writer;
use crate::act::nft::error::Error;
use crate::act::nft::expression::{Comparison, Expression, Payload, Verdict};
use crate::act::nft::firewall::Firewall;
use crate::act::nft::like::Like;
use crate::act::nft::object::{Table, TableFamily, address, octets};
use crate::act::nft::sweep::delete_rules;
use crate::act::nft::uapi::attr;

/// Bytes of a rule's message besides its expressions and names.
const AROUND: usize = 64;

/// A chain that has a rule for each ban.
#[derive(Debug)]
pub(super) struct Rules {
    table: Table,
    chain: String,
    pattern: Option<Pattern>,
    /// A rule of that pattern that has met no packet yet, as the kernel lists it: most are like it.
    like: Option<Like>,
    remembered: Option<Remembered>,
}

/// Whom the chain has rules for, as long as nobody else has changed the ruleset since.
#[derive(Debug)]
struct Remembered {
    disturbances: u64,
    addresses: HashSet<IpAddr>,
}

/// The expressions of a rule, before and behind the address; counters stand at zero.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    before: Vec<u8>,
    behind: Vec<u8>,
}

impl Rules {
    pub(super) fn new(table: Table, chain: String) -> Self {
        Rules { table, chain, pattern: None, like: None, remembered: None }
    }

    pub(super) fn has_learnt(&self) -> bool {
        self.pattern.is_some()
    }

    /// Whether it can write the rule of this ban: those for networks look different.
    pub(super) fn takes(&self, net: IpNet) -> bool {
        self.is_host(net)
    }

    pub(super) fn learn(&mut self, firewall: &mut Firewall, net: IpNet) -> Result<(), Error> {
        if !self.is_host(net) {
            return Ok(());
        }
        // The newest rule is the first.
        let rules = firewall.raw_rules(&self.table, &self.chain)?;
        let read = |list: &[u8]| read(list, self.width()).filter(|(found, _)| *found == net.addr());
        let read =
            rules.iter().filter(|rule| !rule.noted).find_map(|rule| Some((rule, read(&rule.expressions)?)));
        (self.like, self.pattern) = match read {
            Some((rule, (address, pattern))) => {
                (Like::new(&rule.expressions, pattern.before.len(), address), Some(pattern))
            }
            None => (None, None),
        };
        Ok(())
    }

    /// Puts rules on top for those who have none. The chain is read only when others have changed something since the last
    /// time.
    pub(super) fn add(&mut self, firewall: &mut Firewall, nets: &[IpNet]) -> Result<(), Error> {
        let disturbances = firewall.disturbances()?;
        let remembered = self.remembered.take().filter(|chain| chain.disturbances == disturbances);
        let pattern = self.pattern()?;
        let mut present = match remembered {
            Some(chain) => chain.addresses,
            None => self.present(firewall, pattern)?.into_keys().collect(),
        };
        let mut new = Vec::new();
        for net in nets {
            let address = self.address(*net)?;
            if present.insert(address) {
                new.push((*net, octets(address)));
            }
        }
        let size = AROUND + self.table.name.len() + self.chain.len() + pattern.length() + 16;
        for part in new.chunks((firewall.batch_limit() / size).max(1)) {
            let mut batch = Batch::default();
            for (net, address) in part {
                let what = format!("insert rule {} {} ip saddr {net}", self.table, self.chain);
                let address: &[u8] = address.as_ref();
                let expressions = [&pattern.before, address, &pattern.behind];
                batch.insert_raw_rule(what, &self.table, &self.chain, &expressions);
            }
            firewall.commit_own(batch)?;
        }
        self.remembered = Some(Remembered { disturbances, addresses: present });
        Ok(())
    }

    pub(super) fn delete(&mut self, firewall: &mut Firewall, nets: &[IpNet]) -> Result<Vec<IpNet>, Error> {
        self.remembered = None;
        let disturbances = firewall.disturbances()?;
        let mut present = self.present(firewall, self.pattern()?)?;
        let mut absent = Vec::new();
        let mut handles = Vec::new();
        for net in nets {
            match present.remove(&self.address(*net)?) {
                Some(mut all) => handles.append(&mut all),
                None => absent.push(*net),
            }
        }
        delete_rules(firewall, &self.table, &self.chain, &handles)?;
        self.remembered = Some(Remembered { disturbances, addresses: present.into_keys().collect() });
        Ok(absent)
    }

    /// The numbers of the rules of this pattern, by address. A killed server may have left one of which its successor made
    /// another.
    fn present(
        &self,
        firewall: &mut Firewall,
        pattern: &Pattern,
    ) -> Result<HashMap<IpAddr, Vec<u64>>, Error> {
        let width = self.width();
        let mut present: HashMap<_, Vec<u64>> = HashMap::new();
        for rule in firewall.raw_rules(&self.table, &self.chain)? {
            let address = self.like.as_ref().and_then(|like| like.address(&rule.expressions)).or_else(|| {
                let (address, found) = read(&rule.expressions, width)?;
                (found == *pattern).then_some(address)
            });
            if let Some(address) = address {
                present.entry(address).or_default().push(rule.handle);
            }
        }
        Ok(present)
    }

    fn pattern(&self) -> Result<&Pattern, Error> {
        let what = || format!("find a rule of {} {} to go by", self.table, self.chain);
        self.pattern.as_ref().ok_or_else(|| Error::Refused { what: what(), errno: Errno::NOENT })
    }

    fn address(&self, net: IpNet) -> Result<IpAddr, Error> {
        if self.is_host(net) { Ok(net.addr()) } else { Err(Error::NotAnAddress(net.to_string())) }
    }

    /// Whether it is a single address of the chain's family. Rules for networks look different.
    fn is_host(&self, net: IpNet) -> bool {
        net.prefix_len() == net.max_prefix_len() && usize::from(net.max_prefix_len()) == self.width() * 8
    }

    /// Bytes of an address.
    fn width(&self) -> usize {
        if self.table.family == TableFamily::Ip6 { 16 } else { 4 }
    }
}

impl Pattern {
    fn length(&self) -> usize {
        self.before.len() + self.behind.len()
    }
}

/// The address that a rule blocks, and the rule without it. `None` for a rule that asks anything else, or does not block.
fn read(list: &[u8], width: usize) -> Option<(IpAddr, Pattern)> {
    let expressions = Expression::read_list(list);
    let source = if width == 16 { Payload::SOURCE_V6 } else { Payload::SOURCE_V4 };
    let [Expression::Payload(payload), Expression::Compare(Comparison::Equal, value), rest @ ..] =
        expressions.as_slice()
    else {
        return None;
    };
    let blocks = |expression: &Expression| match expression {
        Expression::Reject(_) | Expression::Verdict(Verdict::Drop) => true,
        Expression::XtTarget(name) => matches!(name.as_str(), "REJECT" | "DROP"),
        _ => false,
    };
    let counters = rest.iter().filter(|expression| **expression == Expression::Counter).count();
    if *payload != source
        || value.len() != width
        || rest.len() != counters + 1
        || !rest.last().is_some_and(blocks)
    {
        return None;
    }
    let address = address(value)?;
    let (mut before, mut behind) = (Writer::default(), Writer::default());
    for (index, piece) in pieces(list).enumerate() {
        let part = if index < 2 { &mut before } else { &mut behind };
        match index {
            // The kernel tells the value last, and the value is as long as it is aligned.
            1 => part.raw(piece.strip_suffix(value.as_slice())?),
            _ if is_counter(piece) => Expression::Counter.write(part, 0),
            _ => part.raw(piece),
        }
    }
    let pattern = Pattern { before: before.bytes().to_vec(), behind: behind.bytes().to_vec() };
    Some((address, pattern))
}

fn is_counter(piece: &[u8]) -> bool {
    let inside = attributes(piece).find_kind(attr::list::ELEM).unwrap_or_default();
    attributes(inside).find_kind(attr::expression::NAME).map(text).as_deref() == Some("counter")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::nft::expression::Reject;
    use crate::act::nft::like::about_source as rule;

    #[test]
    fn a_rule_is_its_address_and_what_stands_around_it() {
        let end = [Expression::Counter, Expression::Reject(Reject::PORT_UNREACHABLE_V4)];
        let (one, other) = (rule(&[192, 0, 2, 1], &end), rule(&[198, 51, 100, 7], &end));
        let (address, pattern) = read(&one, 4).unwrap();
        assert_eq!(address, IpAddr::from([192, 0, 2, 1]));
        let rewritten = [pattern.before.as_slice(), &[198, 51, 100, 7], &pattern.behind].concat();
        assert_eq!(rewritten, other);
        assert_eq!(read(&other, 4).unwrap().1, pattern);
        // Without being taken apart, but only where nothing else differs.
        let like = Like::new(&one, pattern.before.len(), address).unwrap();
        assert_eq!(like.address(&other), Some([198, 51, 100, 7].into()));
        let dropped = rule(&[198, 51, 100, 7], &[Expression::Counter, Expression::Verdict(Verdict::Drop)]);
        assert_eq!(like.address(&dropped), None);
        assert_eq!(like.address(&pattern.before), None);
        assert!(Like::new(&other, pattern.before.len(), address).is_none(), "another's");
    }

    #[test]
    fn rules_that_ask_more_or_let_through_are_no_pattern() {
        let drop = Expression::Verdict(Verdict::Drop);
        let address = [192, 0, 2, 1];
        assert!(read(&rule(&address, std::slice::from_ref(&drop)), 4).is_some());
        for behind in [
            vec![],
            vec![Expression::Counter],
            vec![Expression::Verdict(Verdict::Accept)],
            vec![Expression::Verdict(Verdict::Jump("x".into()))],
            vec![Expression::Lookup("x".into()), drop.clone()],
            vec![drop.clone(), drop.clone()],
            vec![Expression::XtTarget("LOG".into())],
        ] {
            assert_eq!(read(&rule(&address, &behind), 4), None, "{behind:?}");
        }
        assert_eq!(read(&rule(&address[..3], std::slice::from_ref(&drop)), 4), None, "a network");
        assert_eq!(read(&rule(&address, &[drop]), 16), None, "of the other family");
    }
}
