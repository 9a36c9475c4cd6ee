//! What a recognised stock action does to the kernel.

use std::collections::HashSet;

use portcullis_jail::{Family, Id};
use rustix::io::Errno;

use super::left::{looking_up, place, removal};
use super::recognise::Parts;
use crate::act::nft::batch::Batch;
use crate::act::nft::default_action::{Difference, Wanted, left_over};
use crate::act::nft::error::Error;
use crate::act::nft::expression::Expression;
use crate::act::nft::firewall::Firewall;
use crate::act::nft::keep::Keep;
use crate::act::nft::object::{Element, KernelRule, KeyType, Set, sort_key};
use crate::act::nft::uapi::set_flag;

/// Whom, and the element for it.
type Pair = (Id, Element);

/// A stock `nftables*` action of one jail and family. The table and its chain are shared with other jails.
#[derive(Clone, Debug)]
pub struct Stock {
    pub(super) parts: Parts,
    sound: Option<u64>,
    /// What was there from a server before us is taken over.
    adopted: bool,
}

impl Stock {
    pub(super) fn new(parts: Parts) -> Self {
        Stock { parts, sound: None, adopted: false }
    }

    /// The word by which the scripts call `nft`. Only if that is the genuine tool (or there is none) may they be
    /// carried out natively.
    pub fn program(&self) -> &str {
        &self.parts.program
    }

    /// Its set, in `nft`'s words.
    pub fn place(&self) -> String {
        place(&self.parts.table, &self.parts.set.name)
    }

    /// Whose addresses its set holds.
    pub fn family(&self) -> Family {
        match self.parts.set.key {
            KeyType::Ipv4 => Family::Inet4,
            KeyType::Ipv6 => Family::Inet6,
        }
    }

    /// Makes table, chain, set and rules where they are missing.
    ///
    // Differs: a rule that is there already (left by a killed process) is not added a second time.
    ///
    /// # Errors
    /// [`Error::Refused`]: nothing has been changed then.
    pub fn start(&mut self, firewall: &mut Firewall) -> Result<(), Error> {
        self.sound = None;
        let Parts { table, chain, set, rules, .. } = &self.parts;
        let chains = firewall.chains(table)?;
        let sets = firewall.sets(table)?;
        let present = firewall.rules(table, &chain.name)?;
        let mut batch = Batch::default();
        batch.add_table(table);
        // `nft` cannot change the hook of a chain or the flags of a set either: those that are there are used.
        if !chains.iter().any(|other| other.name == chain.name) {
            batch.add_chain(table, chain);
        }
        if !sets.iter().any(|other| other.name == set.name) {
            batch.add_set(table, set);
        }
        for rule in rules {
            if !present.iter().any(|old| Expression::same_list(&old.rule.expressions, &rule.expressions)) {
                batch.add_rule(table, rule);
            }
        }
        firewall.commit_own(batch)
    }

    /// Takes over what a server before us left, in one transaction: the elements stay, the rules become ours. They may have
    /// had other ports, which an anonymous set does not tell.
    fn adopt(&mut self, firewall: &mut Firewall) -> Result<(), Error> {
        let Parts { table, chain, set, rules, .. } = &self.parts;
        let sets = firewall.sets(table)?;
        let chains = firewall.chains(table)?;
        let hooked = |other: &crate::act::nft::Chain| other.name == chain.name && other.hook.is_some();
        let present = sets.iter().find(|other| other.name == set.name);
        if let (Some(present), true) = (present, chains.iter().any(hooked)) {
            let mut batch = Batch::default();
            for rule in looking_up(firewall, table, &chain.name, &set.name)? {
                batch.delete_rule(table, &chain.name, rule.handle);
            }
            // One that takes networks although it need not is used as it is.
            if set.interval && present.flags & set_flag::INTERVAL == 0 {
                batch.delete_set(table, &set.name);
                batch.add_set(table, set);
            }
            for rule in rules {
                batch.add_rule(table, rule);
            }
            // The set may be another action's, too.
            firewall.commit(batch)?;
        }
        self.adopted = true;
        Ok(())
    }

    /// Puts bans in force, and reads back from the kernel that they are; one that is in force already stays. Where table,
    /// chain, set or rules have gone, they are made again first. Ban times are not the kernel's business here. Answers
    /// those that are not enforced, with the reason.
    ///
    /// # Errors
    /// When nothing can be said of any: then none counts as enforced.
    pub fn ban(&mut self, firewall: &mut Firewall, bans: &[Wanted]) -> Result<Vec<(Id, Error)>, Error> {
        self.ensure_structure(firewall)?;
        let set = self.kernel_set(firewall)?;
        let (wanted, mut failed) = self.elements(bans.iter().map(|(id, _)| id), &set);
        let missing = if set.interval { self.absent(firewall, &set, &wanted)? } else { wanted.clone() };
        let new: Vec<Element> = missing.iter().map(|(_, element)| *element).collect();
        match firewall.add_elements(&self.parts.table, &set, &new) {
            // Networks that overlap: each by itself, so that one does not spoil the others.
            Err(Error::Refused { errno: Errno::EXIST, .. }) if new.len() > 1 => {
                for element in &new {
                    match firewall.add_elements(&self.parts.table, &set, &[*element]) {
                        Err(Error::Refused { errno: Errno::EXIST, .. }) => {}
                        other => other?,
                    }
                }
            }
            Err(Error::Refused { errno: Errno::EXIST, .. }) => {}
            other => other?,
        }
        for (id, _) in self.absent(firewall, &set, &wanted)? {
            let what = format!("add element {} {} {{ {id} }}", self.parts.table, set.name);
            failed.push((id, Error::Refused { what, errno: Errno::EXIST }));
        }
        self.ensure_structure(firewall)?;
        Ok(failed)
    }

    /// Lifts bans, and reads back that they are. That one was not in force is no failure here (for `nft`, and thus for
    /// Fail2ban, it is). Answers those that are still in force, with the reason.
    ///
    /// # Errors
    /// [`Error::Refused`] when the set has gone.
    pub fn unban(&mut self, firewall: &mut Firewall, ids: &[Id]) -> Result<Vec<(Id, Error)>, Error> {
        let set = self.kernel_set(firewall)?;
        // Whom the set cannot hold it does not hold.
        let (wanted, _) = self.elements(ids.iter(), &set);
        let elements: Vec<Element> = wanted.iter().map(|(_, element)| *element).collect();
        firewall.delete_elements(&self.parts.table, &set, &elements)?;
        let still = firewall.still_there(&self.parts.table, &set, &elements)?;
        Ok(left_over(&self.parts.table, &set, wanted, &still))
    }

    /// Whom nobody wants: what a killed server has left behind; and whether that is all that there is. In a set of intervals
    /// it has to be clear of all others: what that holds need not be what was put in.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub fn surplus(&self, firewall: &mut Firewall, keep: &Keep) -> Result<(Vec<ipnet::IpNet>, bool), Error> {
        let set = match self.kernel_set(firewall) {
            Err(error) if error.is_missing() => return Ok((Vec::new(), false)),
            other => other?,
        };
        let mut surplus = self.present(firewall, &set)?;
        let all = surplus.len();
        surplus.retain(|net| if set.interval { !keep.touches(net) } else { !keep.has(net) });
        let is_all = surplus.len() == all;
        Ok((surplus, is_all))
    }

    /// Takes these out, whoever they are.
    ///
    /// # Errors
    /// [`Error::Refused`]
    pub fn take_out(&mut self, firewall: &mut Firewall, nets: &[ipnet::IpNet]) -> Result<(), Error> {
        let set = self.kernel_set(firewall)?;
        let elements: Vec<Element> = nets.iter().map(|net| Element { net: *net, timeout: None }).collect();
        firewall.delete_elements(&self.parts.table, &set, &elements).map(drop)
    }

    /// Puts bans of single addresses in force, for a caller who reads the whole set back. False for a set of intervals, whose
    /// elements may be in each other's way.
    ///
    /// # Errors
    /// As [`Stock::ban`].
    pub fn put(&mut self, firewall: &mut Firewall, bans: &[Wanted]) -> Result<bool, Error> {
        self.ensure_structure(firewall)?;
        let set = self.kernel_set(firewall)?;
        if set.interval {
            return Ok(false);
        }
        let (wanted, failed) = self.elements(bans.iter().map(|(id, _)| id), &set);
        let elements: Vec<Element> = wanted.iter().map(|(_, element)| *element).collect();
        firewall.add_elements(&self.parts.table, &set, &elements)?;
        Ok(failed.is_empty())
    }

    /// Lifts all bans of this jail and family. Where the set has gone, all is made again, empty.
    ///
    /// # Errors
    /// [`Error::Refused`]
    pub fn flush(&mut self, firewall: &mut Firewall) -> Result<(), Error> {
        let mut batch = Batch::default();
        batch.flush_set(&self.parts.table, &self.parts.set.name);
        match firewall.commit_own(batch) {
            Err(error) if error.is_missing() => self.start(firewall),
            other => other,
        }
    }

    /// Takes away the rules and the set, and the table if no set is left in it.
    ///
    /// # Errors
    /// [`Error::Refused`]; `is_missing` when there was nothing.
    pub fn stop(&mut self, firewall: &mut Firewall) -> Result<(), Error> {
        self.sound = None;
        let Parts { table, chain, set, .. } = &self.parts;
        let batch = removal(firewall, table, &chain.name, &set.name)?;
        firewall.commit_own(batch)
    }

    /// Whether the chain has a rule that looks up the set, as `actioncheck` asks.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub fn check(&self, firewall: &mut Firewall) -> Result<bool, Error> {
        Ok(!self.own_rules(firewall)?.is_empty())
    }

    /// Whether anything of this jail and family is there: its set. Rules that look it up cannot be without it.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub fn is_present(&self, firewall: &mut Firewall) -> Result<bool, Error> {
        let set = &self.parts.set.name;
        Ok(firewall.sets(&self.parts.table)?.iter().any(|other| other.name == *set))
    }

    /// Whether there is an `actioncheck`.
    pub fn has_check(&self) -> bool {
        self.parts.checks
    }

    /// Compares the kernel with what should be in force: one dump. Bans of the other family are not looked at.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub fn verify(&self, firewall: &mut Firewall, bans: &[Wanted]) -> Result<Difference, Error> {
        let (mut difference, mut present) = self.compare(firewall, bans.iter().map(|(id, _)| id))?;
        let ours = bans.iter().filter(|(id, _)| id.family() == Some(self.family()));
        let wanted: HashSet<ipnet::IpNet> = ours.filter_map(|(id, _)| Some(id.net()?.trunc())).collect();
        present.retain(|net| !wanted.contains(net));
        difference.surplus.extend(present.into_iter().map(|net| Id::new(&net.to_string())));
        Ok(difference)
    }

    /// What of the structure and of these bans is not there: one dump.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub fn difference<'a>(
        &self,
        firewall: &mut Firewall,
        bans: impl Iterator<Item = &'a Id>,
    ) -> Result<Difference, Error> {
        self.compare(firewall, bans).map(|(difference, _)| difference)
    }

    /// What of the structure and of these bans is not there; and all that is, sorted. It is done twice a minute with all bans
    /// that there are, so it takes little room.
    fn compare<'a>(
        &self,
        firewall: &mut Firewall,
        ids: impl Iterator<Item = &'a Id>,
    ) -> Result<(Difference, Vec<ipnet::IpNet>), Error> {
        let structure = self.missing_structure(firewall)?;
        let mut difference = Difference { structure, ..Difference::default() };
        let ours = ids.filter(|id| id.family() == Some(self.family()));
        let set = match self.kernel_set(firewall) {
            Err(error) if error.is_missing() => {
                difference.missing = ours.cloned().collect();
                return Ok((difference, Vec::new()));
            }
            other => other?,
        };
        let mut present = self.present(firewall, &set)?;
        present.sort_unstable_by_key(sort_key);
        let there = |id: &&Id| {
            let net = id.net().map(|net| sort_key(&net.trunc()));
            net.is_some_and(|net| present.binary_search_by_key(&net, sort_key).is_ok())
        };
        difference.missing = ours.filter(|id| !there(id)).cloned().collect();
        Ok((difference, present))
    }

    /// Makes the kernel have these bans again, in a few transactions; answers what was wrong, and what cannot be
    /// enforced. What others added to the set stays: it may be the administrator's.
    ///
    /// # Errors
    /// As [`Stock::ban`].
    pub fn repair<'a>(
        &mut self,
        firewall: &mut Firewall,
        bans: impl Iterator<Item = &'a Id>,
    ) -> Result<(Difference, Vec<(Id, Error)>), Error> {
        let (difference, _) = self.compare(firewall, bans)?;
        if !difference.structure.is_empty() {
            self.start(firewall)?;
        }
        let lost: Vec<Wanted> = difference.missing.iter().map(|id| (id.clone(), None)).collect();
        let failed = if lost.is_empty() { Vec::new() } else { self.ban(firewall, &lost)? };
        Ok((difference, failed))
    }

    fn ensure_structure(&mut self, firewall: &mut Firewall) -> Result<(), Error> {
        let disturbances = firewall.disturbances()?;
        if self.sound == Some(disturbances) {
            return Ok(());
        }
        self.sound = None;
        if !self.adopted {
            self.adopt(firewall)?;
        }
        if !self.missing_structure(firewall)?.is_empty() {
            self.start(firewall)?;
            if let Some(missing) = self.missing_structure(firewall)?.into_iter().next() {
                return Err(Error::Refused { what: format!("keep {missing}"), errno: Errno::NOENT });
            }
        }
        self.sound = (firewall.disturbances()? == disturbances).then_some(disturbances);
        Ok(())
    }

    fn missing_structure(&self, firewall: &mut Firewall) -> Result<Vec<String>, Error> {
        let Parts { table, chain, set, rules, .. } = &self.parts;
        match firewall.table_flags(table)? {
            None => return Ok(vec![format!("table {table}")]),
            Some(flags) if flags & crate::act::nft::uapi::TABLE_DORMANT != 0 => {
                return Ok(vec![format!("table {table}, awake")]);
            }
            Some(_) => {}
        }
        let mut missing = Vec::new();
        let hooked = |other: &crate::act::nft::Chain| other.name == chain.name && other.hook.is_some();
        if !firewall.chains(table)?.iter().any(hooked) {
            missing.push(format!("chain {table} {}", chain.name));
        }
        if !firewall.sets(table)?.iter().any(|other| other.name == set.name) {
            missing.push(format!("set {table} {}", set.name));
        }
        let present = firewall.rules(table, &chain.name)?;
        for rule in rules {
            let lists = present.iter().map(|rule| &rule.rule.expressions[..]);
            if !Expression::in_force(lists, &rule.expressions) {
                missing.push(format!("rule {table} {} @{}", chain.name, set.name));
            }
        }
        Ok(missing)
    }

    fn own_rules(&self, firewall: &mut Firewall) -> Result<Vec<KernelRule>, Error> {
        let Parts { table, chain, set, .. } = &self.parts;
        looking_up(firewall, table, &chain.name, &set.name)
    }

    /// The set with the flags that it really has.
    fn kernel_set(&self, firewall: &mut Firewall) -> Result<Set, Error> {
        let Parts { table, set, .. } = &self.parts;
        let found = firewall.sets(table)?.into_iter().find(|other| other.name == set.name);
        let found = found.ok_or_else(|| Error::Refused {
            what: format!("list set {table} {}", set.name),
            errno: Errno::NOENT,
        })?;
        let interval = found.flags & set_flag::INTERVAL != 0;
        Ok(Set { interval, timeout: found.flags & set_flag::TIMEOUT != 0, ..set.clone() })
    }

    /// All that the set holds, in no order.
    fn present(&self, firewall: &mut Firewall, set: &Set) -> Result<Vec<ipnet::IpNet>, Error> {
        if !set.interval {
            return firewall.addresses(&self.parts.table, set);
        }
        let elements = firewall.elements(&self.parts.table, set)?;
        Ok(elements.iter().map(|element| element.net).collect())
    }

    /// The elements for these offenders, and those that the set cannot hold.
    fn elements<'a>(&self, ids: impl Iterator<Item = &'a Id>, set: &Set) -> (Vec<Pair>, Vec<(Id, Error)>) {
        let (mut elements, mut failed) = (Vec::new(), Vec::new());
        for id in ids {
            match id.net() {
                Some(net) if id.family() == Some(self.family()) && (set.interval || !id.is_network()) => {
                    elements.push((id.clone(), Element { net: net.trunc(), timeout: None }));
                }
                Some(_) if id.family() == Some(self.family()) => {
                    let what = format!("add element {} {} {{ {id} }}", self.parts.table, set.name);
                    failed.push((id.clone(), Error::Refused { what, errno: Errno::INVAL }));
                }
                _ => failed.push((id.clone(), Error::NotAnAddress(id.text().to_owned()))),
            }
        }
        (elements, failed)
    }

    /// Those that the kernel does not block: neither themselves nor a network around them.
    fn absent(&self, firewall: &mut Firewall, set: &Set, wanted: &[Pair]) -> Result<Vec<Pair>, Error> {
        let elements: Vec<Element> = wanted.iter().map(|(_, element)| *element).collect();
        if !set.interval {
            let found = firewall.look_up(&self.parts.table, set, &elements)?;
            let pairs = wanted.iter().zip(found);
            return Ok(pairs.filter(|(_, found)| found.is_none()).map(|(pair, _)| pair.clone()).collect());
        }
        let present: HashSet<ipnet::IpNet> =
            firewall.elements(&self.parts.table, set)?.iter().map(|element| element.net).collect();
        let covered = |element: &Element| {
            std::iter::successors(Some(element.net), ipnet::IpNet::supernet).any(|net| present.contains(&net))
        };
        Ok(wanted.iter().filter(|(_, element)| !covered(element)).cloned().collect())
    }
}
