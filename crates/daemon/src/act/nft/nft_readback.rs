//! Is a ban that a shell made with `nft` really in the kernel? For actions that are no stock ones, but of the same kind: a
//! set, and a rule that looks it up.

use std::collections::HashSet;

use portcullis_jail::{Family, Id};

use super::default_action::Difference;
use super::error::Error;
use super::expression::{Expression, Verdict};
use super::firewall::Firewall;
use super::object::{Element, KeyType, Set, Table};
use super::uapi::{TABLE_DORMANT, set_flag};

/// A set of nftables, matched by a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BanNftSet {
    /// Whose addresses.
    pub family: Family,
    /// Where.
    pub table: Table,
    /// The chain with the rule; any chain of the table when empty.
    pub chain: String,
    /// The set.
    pub set: String,
}

impl BanNftSet {
    /// Reads back: what of table, set and rule is not there, and which of `ids` are not in the set.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub fn verify(&self, firewall: &mut Firewall, ids: &[Id]) -> Result<Difference, Error> {
        let table = &self.table;
        let nothing =
            |what: String| Difference { structure: vec![what], missing: ids.to_vec(), surplus: Vec::new() };
        match firewall.table_flags(table)? {
            None => return Ok(nothing(format!("table {table}"))),
            Some(flags) if flags & TABLE_DORMANT != 0 => return Ok(nothing(format!("table {table}, awake"))),
            Some(_) => {}
        }
        let Some(set) = self.kernel_set(firewall)? else {
            return Ok(nothing(format!("set {table} {}", self.set)));
        };
        let mut difference = Difference::default();
        if !self.has_rule(firewall)? {
            difference.structure.push(format!("rule {table} {} @{}", self.chain, self.set));
        }
        let wanted: Vec<Element> = ids.iter().filter_map(element).collect();
        let present: HashSet<_> = firewall
            .look_up(table, &set, &wanted)?
            .into_iter()
            .flatten()
            .map(|element| element.net)
            .collect();
        let covers = |id: &&Id| element(id).is_some_and(|element| present.contains(&element.net));
        difference.missing = ids.iter().filter(|id| !covers(id)).cloned().collect();
        Ok(difference)
    }

    /// The set with the flags that it really has, if it is there.
    pub(super) fn kernel_set(&self, firewall: &mut Firewall) -> Result<Option<Set>, Error> {
        let key = if self.family == Family::Inet4 { KeyType::Ipv4 } else { KeyType::Ipv6 };
        let found = firewall.sets(&self.table)?.into_iter().find(|set| set.name == self.set);
        Ok(found.map(|found| Set {
            name: self.set.clone(),
            key,
            interval: found.flags & set_flag::INTERVAL != 0,
            timeout: found.flags & set_flag::TIMEOUT != 0,
        }))
    }

    fn has_rule(&self, firewall: &mut Firewall) -> Result<bool, Error> {
        let chains = firewall.chains(&self.table)?;
        for chain in chains.iter().filter(|chain| self.chain.is_empty() || chain.name == self.chain) {
            for rule in firewall.rules(&self.table, &chain.name)? {
                let expressions = &rule.rule.expressions;
                let blocks = matches!(
                    expressions.last(),
                    Some(
                        Expression::Reject(_)
                            | Expression::Verdict(Verdict::Drop | Verdict::Jump(_) | Verdict::Goto(_))
                    )
                );
                if blocks && expressions.contains(&Expression::Lookup(self.set.clone())) {
                    return Ok(true);
                }
                if let [Expression::Verdict(Verdict::Accept | Verdict::Return)] = expressions[..] {
                    break;
                }
            }
        }
        Ok(false)
    }
}

fn element(id: &Id) -> Option<Element> {
    Some(Element { net: id.net()?.trunc(), timeout: None })
}
