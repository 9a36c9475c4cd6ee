//! Our own way to ban: one table, for each jail a hash set of IPv4 and one of IPv6 addresses, and for networks one
//! hash set for each prefix length in use. `docs/decisions/010-default-action.md` tells why it looks as it does.
//!
//! ```text
//! table inet portcullis {
//!     set v4-sshd { type ipv4_addr; flags timeout; elements = { 192.0.2.1 timeout 11m expires 10m58s } }
//!     chain guard { tcp dport 22 ip saddr @v4-sshd reject … }
//!     chain prerouting { type filter hook prerouting priority raw; jump guard }
//!     chain input … chain forward …
//! }
//! ```

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use portcullis_jail::Id;

use super::batch::Batch;
use super::error::Error;
use super::expression::{Expression, Verdict};
use super::firewall::Firewall;
use super::matching;
use super::object::{Chain, Element, Hook, KernelSet, Rule, Set, Table, TableFamily};
use super::parameters::Parameters;
use super::slot::{Slot, label};

/// The table of all jails.
pub const TABLE: &str = "portcullis";
/// The chain with the jails' rules.
const GUARD: &str = "guard";
/// `raw` in `nft`'s words: before connection tracking, thus before any NAT and any rule for established connections.
const PRIORITY: i32 = -300;
/// Base chains, each with a jump to the guard. A port is the one that the attacker dialled at prerouting, and the one
/// behind a port mapping (of a container) at input and forward.
const BASE_CHAINS: [(&str, u32); 3] =
    [("prerouting", Hook::PREROUTING), ("input", Hook::INPUT), ("forward", Hook::FORWARD)];

/// How much longer than the ban the kernel keeps an element: the unban is ours to make; the kernel's own is for the
/// case that we are not there to make it.
pub const MARGIN: Duration = Duration::from_secs(60);
/// Differences of remaining times that are not worth a renewal.
const TOLERANCE: Duration = Duration::from_secs(2);

/// What is not in force although it should be, and the other way round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Tables, chains, sets and rules that are not there, in `nft`'s words.
    pub structure: Vec<String>,
    /// Bans that the kernel does not have, or would drop too early.
    pub missing: Vec<Id>,
    /// What is blocked though nobody asked for it.
    pub surplus: Vec<Id>,
}

impl Difference {
    /// Whether all is as it should be.
    pub fn is_none(&self) -> bool {
        *self == Difference::default()
    }
}

/// A ban that is to be in force: whom, and how long still; `None` is for ever.
pub type Wanted = (Id, Option<Duration>);

/// One jail's part of our table.
#[derive(Clone, Debug)]
pub struct DefaultAction {
    parameters: Parameters,
    /// The jail's name in a form that `nft` can list and load again.
    label: String,
    slots: Vec<Slot>,
    /// The [`Firewall::disturbances`] at which chains and rules were last found to be as they should.
    sound: Option<u64>,
}

impl DefaultAction {
    /// For a jail. Nothing is done yet.
    pub fn new(parameters: Parameters) -> Self {
        let label = label(&parameters.name);
        DefaultAction { parameters, label, slots: Slot::HOSTS.to_vec(), sound: None }
    }

    /// What it was made from.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Makes table, chains, sets and rules, in one transaction. What a killed process left behind is taken over with
    /// its elements; rules are replaced by those of the present parameters, without a gap.
    ///
    /// # Errors
    /// [`Error::Refused`]: nothing has been changed then.
    pub fn start(&mut self, firewall: &mut Firewall) -> Result<(), Error> {
        self.sound = None;
        let table = table();
        let sets = firewall.sets(&table)?;
        let chains = firewall.chains(&table)?;
        let rules = firewall.rules(&table, GUARD)?;
        for slot in sets.iter().filter_map(|set| Slot::parse(&set.name, &self.label)) {
            if !self.slots.contains(&slot) {
                self.slots.push(slot);
            }
        }
        let mut batch = Batch::default();
        batch.add_table(&table);
        batch.add_chain(&table, &Chain { name: GUARD.to_owned(), hook: None });
        for chain in base_chains() {
            let present = chains.iter().find(|other| other.name == chain.name);
            if present.is_some_and(|other| other.hook != chain.hook) {
                batch.flush_chain(&table, &chain.name);
                batch.delete_chain(&table, &chain.name);
            }
            batch.add_chain(&table, &chain);
            let kept = present.filter(|other| other.hook == chain.hook);
            if kept.is_none() || !has_jump(firewall, &chain.name)? {
                batch.add_rule(&table, &jump(&chain.name));
            }
        }
        for old in rules.iter().filter(|old| self.owns(&old.rule)) {
            batch.delete_rule(&table, GUARD, old.handle);
        }
        for slot in &self.slots {
            let set = self.set(*slot);
            if sets.iter().any(|other| other.name == set.name && !other.is(&set)) {
                batch.delete_set(&table, &set.name);
            }
            batch.add_set(&table, &set);
            batch.add_rule(&table, &self.rule(*slot));
        }
        firewall.commit_own(batch)
    }

    /// Puts bans in force, and reads back from the kernel that they are. A ban already in force gets the new time.
    /// Where table, chain, set or rule have gone, they are made again first. Answers those that are not enforced, with
    /// the reason.
    ///
    /// # Errors
    /// When nothing can be said of any: then none counts as enforced.
    pub fn ban(&mut self, firewall: &mut Firewall, bans: &[Wanted]) -> Result<Vec<(Id, Error)>, Error> {
        let began = Instant::now();
        let (groups, mut failed) = group(bans);
        let slots: Vec<Slot> = groups.keys().copied().collect();
        self.add_slots(firewall, &slots)?;
        match self.add(firewall, &groups) {
            Err(error) if error.is_missing() => {
                self.start(firewall)?;
                self.add(firewall, &groups)?;
            }
            other => other?,
        }
        for (slot, wanted) in &groups {
            let short = self.not_in_force(firewall, *slot, wanted, began)?;
            if short.is_empty() {
                continue;
            }
            let elements: Vec<Element> = short.iter().map(|(_, element)| *element).collect();
            firewall.renew_elements(&table(), &self.set(*slot), &elements)?;
            failed.extend(self.not_in_force(firewall, *slot, &short, began)?.into_iter().map(|(id, _)| {
                let what = format!("find {id} in set {}", slot.set_name(&self.label));
                (id, Error::Refused { what, errno: rustix::io::Errno::NOENT })
            }));
        }
        self.ensure_structure(firewall)?;
        Ok(failed)
    }

    /// Puts bans of single addresses in force, for a caller who compares the whole afterwards: one that is there already
    /// keeps its time.
    ///
    /// # Errors
    /// As [`DefaultAction::ban`].
    pub fn put(&mut self, firewall: &mut Firewall, bans: &[Wanted]) -> Result<(), Error> {
        let (groups, _) = group(bans);
        match self.add(firewall, &groups) {
            Err(error) if error.is_missing() => {
                self.start(firewall)?;
                self.add(firewall, &groups)?;
            }
            other => other?,
        }
        self.ensure_structure(firewall)
    }

    /// Reads back table, chains, sets and rules, unless nobody can have touched them since; makes them again once.
    fn ensure_structure(&mut self, firewall: &mut Firewall) -> Result<(), Error> {
        let disturbances = firewall.disturbances()?;
        if self.sound == Some(disturbances) {
            return Ok(());
        }
        self.sound = None;
        if !self.missing_structure(firewall)?.is_empty() {
            self.start(firewall)?;
            if let Some(missing) = self.missing_structure(firewall)?.into_iter().next() {
                let what = format!("keep {missing}");
                return Err(Error::Refused { what, errno: rustix::io::Errno::NOENT });
            }
        }
        self.sound = (firewall.disturbances()? == disturbances).then_some(disturbances);
        Ok(())
    }

    /// Lifts bans, and reads back that they are. That one was not in force is no failure. Answers those that are still in
    /// force, with the reason.
    ///
    /// # Errors
    /// When the kernel refused: then some may still be in force.
    pub fn unban(&mut self, firewall: &mut Firewall, ids: &[Id]) -> Result<Vec<(Id, Error)>, Error> {
        let mut groups = Groups::new();
        for id in ids {
            if let Some((slot, element)) = Slot::of(id) {
                groups.entry(slot).or_default().push((id.clone(), element));
            }
        }
        let mut left = Vec::new();
        for (slot, wanted) in groups {
            let set = self.set(slot);
            let elements: Vec<Element> = wanted.iter().map(|(_, element)| *element).collect();
            match firewall.delete_elements(&table(), &set, &elements) {
                Err(error) if error.is_missing() => continue,
                other => drop(other?),
            }
            let still = firewall.still_there(&table(), &set, &elements)?;
            left.extend(left_over(&table(), &set, wanted, &still));
        }
        Ok(left)
    }

    /// Lifts all bans of this jail; sets and rules stay.
    ///
    /// # Errors
    /// [`Error::Refused`]
    pub fn flush(&mut self, firewall: &mut Firewall) -> Result<(), Error> {
        let sets = self.own_sets(firewall)?;
        let mut batch = Batch::default();
        for (_, set) in &sets {
            batch.flush_set(&table(), set);
        }
        firewall.commit_own(batch)
    }

    /// Takes away all that belongs to this jail, and the table with the last jail.
    ///
    /// # Errors
    /// [`Error::Refused`]: nothing has been changed then.
    pub fn stop(&mut self, firewall: &mut Firewall) -> Result<(), Error> {
        self.sound = None;
        let table = table();
        let rules = firewall.rules(&table, GUARD)?;
        let sets = self.own_sets(firewall)?;
        let (own, others): (Vec<_>, Vec<_>) = rules.iter().partition(|rule| self.owns(&rule.rule));
        let mut batch = Batch::default();
        if others.is_empty() {
            if firewall.table_flags(&table)?.is_some() {
                batch.delete_table(&table);
            }
            return firewall.commit_own(batch);
        }
        for rule in own {
            batch.delete_rule(&table, GUARD, rule.handle);
        }
        for (_, set) in &sets {
            batch.delete_set(&table, set);
        }
        firewall.commit_own(batch)
    }

    /// Why this ban is not in force, if it is not; nothing is changed.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub fn lost(&self, firewall: &mut Firewall, ban: &Wanted) -> Result<Option<String>, Error> {
        if let Some(missing) = self.missing_structure(firewall)?.into_iter().next() {
            return Ok(Some(format!("the kernel has no {missing}")));
        }
        let Some((slot, element)) = Slot::of(&ban.0) else {
            return Ok(Some(not_an_address(&ban.0).1.to_string()));
        };
        let found = firewall.look_up(&table(), &self.set(slot), &[element])?;
        let absent = found.iter().all(Option::is_none);
        Ok(absent.then(|| format!("it was not in the set {}", slot.set_name(&self.label))))
    }

    /// Compares the kernel with what should be in force: one dump a set.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub fn verify(&self, firewall: &mut Firewall, bans: &[Wanted]) -> Result<Difference, Error> {
        let began = Instant::now();
        let mut difference =
            Difference { structure: self.missing_structure(firewall)?, ..Difference::default() };
        let (groups, _) = group(bans);
        let slots: std::collections::BTreeSet<Slot> =
            self.slots.iter().chain(groups.keys()).copied().collect();
        for slot in slots {
            let elements = match firewall.elements(&table(), &self.set(slot)) {
                Err(error) if error.is_missing() => Vec::new(),
                other => other?,
            };
            let mut present: std::collections::HashMap<_, _> =
                elements.iter().map(|element| (element.address(), element)).collect();
            for (id, element) in groups.get(&slot).into_iter().flatten() {
                // The margin is for the time between the caller's reckoning and ours.
                let needed = element.timeout.map(|timeout| timeout.saturating_sub(MARGIN));
                match present.remove(&element.address()) {
                    Some(found) if long_enough(found.timeout, needed, began) => {}
                    _ => difference.missing.push(id.clone()),
                }
            }
            let net = |address: std::net::IpAddr| ipnet::IpNet::new(address, slot.prefix);
            let surplus = present.into_keys().filter_map(|address| net(address).ok());
            difference.surplus.extend(surplus.map(|net| Id::new(&net.to_string())));
        }
        Ok(difference)
    }

    /// Makes the kernel have exactly these bans, in a few transactions; answers what was wrong. What was lost is added
    /// again, what is too much is taken away, and what cannot be enforced is told as by [`DefaultAction::ban`].
    ///
    /// # Errors
    /// As [`DefaultAction::ban`].
    pub fn repair(
        &mut self,
        firewall: &mut Firewall,
        bans: &[Wanted],
    ) -> Result<(Difference, Vec<(Id, Error)>), Error> {
        let difference = self.verify(firewall, bans)?;
        if !difference.structure.is_empty() {
            self.start(firewall)?;
        }
        let lost: std::collections::HashSet<&Id> = difference.missing.iter().collect();
        let again: Vec<Wanted> = bans.iter().filter(|(id, _)| lost.contains(id)).cloned().collect();
        let mut failed = if again.is_empty() { Vec::new() } else { self.ban(firewall, &again)? };
        failed.extend(bans.iter().filter(|(id, _)| id.net().is_none()).map(|(id, _)| not_an_address(id)));
        if !difference.surplus.is_empty() {
            self.unban(firewall, &difference.surplus)?;
        }
        Ok((difference, failed))
    }

    /// What of table, chains, sets and rules is not there, or not as we made it.
    fn missing_structure(&self, firewall: &mut Firewall) -> Result<Vec<String>, Error> {
        let table = table();
        match firewall.table_flags(&table)? {
            None => return Ok(vec![format!("table {table}")]),
            Some(flags) if flags & super::uapi::TABLE_DORMANT != 0 => {
                return Ok(vec![format!("table {table}, awake")]);
            }
            Some(_) => {}
        }
        let chains = firewall.chains(&table)?;
        let rules = firewall.rules(&table, GUARD)?;
        let sets = firewall.sets(&table)?;
        let mut missing = Vec::new();
        for chain in base_chains() {
            if !chains.contains(&chain) {
                missing.push(format!("chain {table} {}", chain.name));
            } else if !has_jump(firewall, &chain.name)? {
                missing.push(format!("rule {table} {} jump {GUARD}", chain.name));
            }
        }
        for slot in &self.slots {
            let (set, rule) = (self.set(*slot), self.rule(*slot));
            if !sets.iter().any(|other| other.is(&set)) {
                missing.push(format!("set {table} {}", set.name));
            }
            if !Expression::in_force(rules.iter().map(|rule| &rule.rule.expressions[..]), &rule.expressions) {
                missing.push(format!("rule {table} {GUARD} @{}", set.name));
            }
        }
        Ok(missing)
    }

    fn add_slots(&mut self, firewall: &mut Firewall, slots: &[Slot]) -> Result<(), Error> {
        let before = self.slots.len();
        self.slots.extend(slots.iter().filter(|slot| slot.network_length().is_some()));
        self.slots.sort_unstable();
        self.slots.dedup();
        if self.slots.len() > before { self.start(firewall) } else { Ok(()) }
    }

    fn add(&self, firewall: &mut Firewall, groups: &Groups) -> Result<(), Error> {
        for (slot, wanted) in groups {
            let elements: Vec<Element> = wanted.iter().map(|(_, element)| *element).collect();
            firewall.add_elements(&table(), &self.set(*slot), &elements)?;
        }
        Ok(())
    }

    /// Those that the kernel does not have, or not for as long as they should stay, or longer.
    fn not_in_force(
        &self,
        firewall: &mut Firewall,
        slot: Slot,
        wanted: &[(Id, Element)],
        began: Instant,
    ) -> Result<Vec<(Id, Element)>, Error> {
        let elements: Vec<Element> = wanted.iter().map(|(_, element)| *element).collect();
        let found = firewall.look_up(&table(), &self.set(slot), &elements)?;
        let as_wanted = |found: &Option<Element>, element: &Element| {
            found.is_some_and(|found| {
                long_enough(found.timeout, element.timeout, began)
                    && !much_longer(found.timeout, element.timeout)
            })
        };
        let pairs = wanted.iter().zip(&found);
        Ok(pairs.filter(|(pair, found)| !as_wanted(found, &pair.1)).map(|(pair, _)| pair.clone()).collect())
    }

    fn own_sets(&self, firewall: &mut Firewall) -> Result<Vec<(Slot, String)>, Error> {
        let sets = firewall.sets(&table())?;
        let own = |set: KernelSet| Slot::parse(&set.name, &self.label).map(|slot| (slot, set.name));
        Ok(sets.into_iter().filter_map(own).collect())
    }

    fn owns(&self, rule: &Rule) -> bool {
        rule.expressions.iter().any(|expression| {
            matches!(expression, Expression::Lookup(set) if Slot::parse(set, &self.label).is_some())
        })
    }

    fn set(&self, slot: Slot) -> Set {
        Set { name: slot.set_name(&self.label), key: slot.key(), interval: false, timeout: true }
    }

    fn rule(&self, slot: Slot) -> Rule {
        let set = slot.set_name(&self.label);
        let mut expressions = matching::protocols(&self.parameters.protocols);
        expressions.extend(matching::ports(&self.parameters.ports));
        expressions.extend(matching::source(slot.key(), slot.network_length(), &set, true));
        expressions.push(self.parameters.answer.expression(slot.key()));
        let comment = (self.label != self.parameters.name).then(|| self.parameters.name.clone());
        Rule { chain: GUARD.to_owned(), expressions, comment }
    }
}

fn has_jump(firewall: &mut Firewall, chain: &str) -> Result<bool, Error> {
    let rules = firewall.rules(&table(), chain)?;
    Ok(Expression::in_force(rules.iter().map(|rule| &rule.rule.expressions[..]), &jump(chain).expressions))
}

fn jump(chain: &str) -> Rule {
    let expressions = vec![Expression::Verdict(Verdict::Jump(GUARD.to_owned()))];
    Rule { chain: chain.to_owned(), expressions, comment: None }
}

fn base_chains() -> impl Iterator<Item = Chain> {
    BASE_CHAINS.into_iter().map(|(name, number)| Chain {
        name: name.to_owned(),
        hook: Some(Hook { kind: "filter".to_owned(), number, priority: PRIORITY }),
    })
}

fn table() -> Table {
    Table { family: TableFamily::Inet, name: TABLE.to_owned() }
}

/// Bans by set.
type Groups = BTreeMap<Slot, Vec<(Id, Element)>>;

/// Bans by set, and those that no set can hold.
fn group(bans: &[Wanted]) -> (Groups, Vec<(Id, Error)>) {
    let mut groups = Groups::new();
    let mut failed = Vec::new();
    for (id, remaining) in bans {
        match Slot::of(id) {
            Some((slot, element)) => {
                let timeout = remaining.map(|left| left.saturating_add(MARGIN));
                groups.entry(slot).or_default().push((id.clone(), Element { timeout, ..element }));
            }
            None => failed.push(not_an_address(id)),
        }
    }
    (groups, failed)
}

/// Of bans that were lifted, those whose elements are there still.
pub(super) fn left_over(
    table: &Table,
    set: &Set,
    lifted: Vec<(Id, Element)>,
    still: &[Element],
) -> Vec<(Id, Error)> {
    let still: std::collections::HashSet<_> = still.iter().map(|element| element.net).collect();
    let left = lifted.into_iter().filter(|(_, element)| still.contains(&element.net));
    let refused = |id: &Id| Error::Refused {
        what: format!("delete element {table} {} {{ {id} }}", set.name),
        errno: rustix::io::Errno::EXIST,
    };
    left.map(|(id, _)| {
        let error = refused(&id);
        (id, error)
    })
    .collect()
}

fn not_an_address(id: &Id) -> (Id, Error) {
    (id.clone(), Error::NotAnAddress(id.text().to_owned()))
}

/// Whether the kernel keeps an element long enough; time has passed since `began`.
fn long_enough(left: Option<Duration>, wanted: Option<Duration>, began: Instant) -> bool {
    let wanted = wanted.filter(|wanted| *wanted <= super::object::LONGEST_TIMEOUT);
    match (left, wanted) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(left), Some(wanted)) => left + began.elapsed() + TOLERANCE >= wanted,
    }
}

fn much_longer(left: Option<Duration>, wanted: Option<Duration>) -> bool {
    let wanted = wanted.filter(|wanted| *wanted <= super::object::LONGEST_TIMEOUT);
    match (left, wanted) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(left), Some(wanted)) => left > wanted + TOLERANCE,
    }
}
