//! The kernel's ruleset, as far as bans concern it: transactions in, what is in force out.

use std::time::Duration;

use ipnet::IpNet;

use super::batch::Batch;
use super::decode::{Message, attributes, be32, be64, is_text, text};
use super::encode::Writer;
use super::error::Error;
use super::expression::Expression;
use super::object::{Chain, Element, Hook, KernelRule, KernelSet, Rule, Set, Table, address, octets};
use super::socket::{Socket, refusal};
use super::uapi::{ELEM_INTERVAL_END, attr, message};

/// So many elements are asked for at a time: their answers must fit the socket's buffer.
const LOOKUPS: usize = 64;

/// The kernel's firewall. One thread owns it; calls block until the kernel has answered.
#[derive(Debug)]
pub struct Firewall {
    socket: Socket,
    /// Transactions that callers made up themselves.
    free: u64,
}

impl Firewall {
    /// Opens the firewall for reading and writing.
    ///
    /// # Errors
    /// As [`Socket::open`].
    pub fn open() -> Result<Self, Error> {
        Ok(Firewall { socket: Socket::open()?, free: 0 })
    }

    /// The number by which [`Events`](super::Events) tells our own changes from others'.
    pub fn port(&self) -> u32 {
        self.socket.port()
    }

    /// The generation of the ruleset; any change of anybody increases it (3 µs).
    ///
    /// # Errors
    /// As any request: [`Error::TimedOut`], [`Error::Socket`].
    pub fn generation(&mut self) -> Result<u32, Error> {
        self.socket.generation()
    }

    /// Carries out a transaction: all or nothing.
    ///
    /// # Errors
    /// [`Error::Refused`] with the first message that the kernel refused.
    pub fn commit(&mut self, batch: Batch) -> Result<(), Error> {
        self.free += 1;
        self.socket.commit(batch)
    }

    /// A transaction that leaves alone all chains, rules and sets but those of its owner.
    pub(super) fn commit_own(&mut self, batch: Batch) -> Result<(), Error> {
        self.socket.commit(batch)
    }

    /// A chain, set or rule was changed that may be somebody else's.
    pub(super) fn disturb(&mut self) {
        self.free += 1;
    }

    /// A number that stays the same as long as nobody but the owners of things has changed them. What was read of
    /// chains and rules needs not be read again then.
    ///
    /// # Errors
    /// As any request.
    pub(super) fn disturbances(&mut self) -> Result<u64, Error> {
        self.socket.generation()?;
        Ok(self.socket.foreign_changes() + self.free)
    }

    /// The socket, for questions to other subsystems of netfilter.
    pub(super) fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// A table's flags, when it is there; 1 means that it is dormant.
    ///
    /// # Errors
    /// As any request.
    pub fn table_flags(&mut self, table: &Table) -> Result<Option<u32>, Error> {
        let mut flags = None;
        let answer = self.socket.request(
            "list tables",
            message::GETTABLE,
            table.family.number(),
            |w| w.text(attr::table::NAME, &table.name),
            |answer| flags = answer.attributes().find_kind(attr::table::FLAGS).and_then(be32).or(Some(0)),
        );
        missing_is(answer.map(|()| flags), None)
    }

    /// The chains of a table; none when there is no such table.
    ///
    /// # Errors
    /// As any request.
    pub fn chains(&mut self, table: &Table) -> Result<Vec<Chain>, Error> {
        let answer = self.socket.dump(
            "list chains",
            message::GETCHAIN,
            table.family.number(),
            |_| {},
            Vec::new,
            |chains, answer| {
                let part = |kind| answer.attributes().find_kind(kind);
                if part(attr::chain::TABLE).map(text).as_deref() == Some(&table.name) {
                    chains.push(Chain {
                        name: part(attr::chain::NAME).map(text).unwrap_or_default(),
                        hook: part(attr::chain::HOOK)
                            .and_then(|hook| read_hook(hook, part(attr::chain::TYPE))),
                    });
                }
            },
        );
        missing_is(answer, Vec::new())
    }

    /// The sets of a table, anonymous ones too; none when there is no such table.
    ///
    /// # Errors
    /// As any request.
    pub fn sets(&mut self, table: &Table) -> Result<Vec<KernelSet>, Error> {
        let answer = self.socket.dump(
            "list sets",
            message::GETSET,
            table.family.number(),
            |w| w.text(attr::set::TABLE, &table.name),
            Vec::new,
            |sets, answer| {
                let part = |kind| answer.attributes().find_kind(kind);
                sets.push(KernelSet {
                    name: part(attr::set::NAME).map(text).unwrap_or_default(),
                    key_type: part(attr::set::KEY_TYPE).and_then(be32).unwrap_or(0),
                    flags: part(attr::set::FLAGS).and_then(be32).unwrap_or(0),
                });
            },
        );
        missing_is(answer, Vec::new())
    }

    /// The rules of a chain in their order; none when there is no such chain.
    ///
    /// # Errors
    /// As any request.
    pub fn rules(&mut self, table: &Table, chain: &str) -> Result<Vec<KernelRule>, Error> {
        let answer = self.socket.dump(
            "list rules",
            message::GETRULE,
            table.family.number(),
            |w| {
                w.text(attr::rule::TABLE, &table.name);
                w.text(attr::rule::CHAIN, chain);
            },
            Vec::new,
            |rules, answer| {
                let rule = read_rule(answer);
                // A kernel that does not filter sends the whole family's.
                if rule.1.rule.chain == chain && rule.0 == table.name {
                    rules.push(rule.1);
                }
            },
        );
        missing_is(answer, Vec::new())
    }

    /// The rules of a chain in their order, as the kernel encodes them; none when there is no such chain.
    pub(super) fn raw_rules(&mut self, table: &Table, chain: &str) -> Result<Vec<RawRule>, Error> {
        let answer = self.socket.dump(
            "list rules",
            message::GETRULE,
            table.family.number(),
            |w| {
                w.text(attr::rule::TABLE, &table.name);
                w.text(attr::rule::CHAIN, chain);
            },
            Vec::new,
            |rules, answer| {
                let part = |kind| answer.attributes().find_kind(kind);
                let is = |kind, name: &str| part(kind).is_some_and(|value| is_text(value, name));
                // A kernel that does not filter sends the whole family's.
                if is(attr::rule::CHAIN, chain) && is(attr::rule::TABLE, &table.name) {
                    rules.push(RawRule {
                        handle: part(attr::rule::HANDLE).and_then(be64).unwrap_or(0),
                        expressions: part(attr::rule::EXPRESSIONS).unwrap_or_default().to_vec(),
                        noted: part(attr::rule::USERDATA).is_some(),
                    });
                }
            },
        );
        missing_is(answer, Vec::new())
    }

    /// How many bytes one transaction may have.
    pub(super) fn batch_limit(&self) -> usize {
        self.socket.batch_limit()
    }

    /// All elements of a set, with the time that they still stay.
    ///
    /// # Errors
    /// [`Error::Refused`] (`is_missing`) when there is no such set.
    pub fn elements(&mut self, table: &Table, set: &Set) -> Result<Vec<Element>, Error> {
        let raw = self.socket.dump(
            &format!("list set {table} {}", set.name),
            message::GETSETELEM,
            table.family.number(),
            |w| write_key(w, table, &set.name, &[]),
            Vec::new,
            |all, answer| read_elements(answer, all),
        )?;
        Ok(if set.interval { networks(raw) } else { raw.into_iter().filter_map(RawElement::host).collect() })
    }

    /// The addresses in a set without intervals, without their times.
    ///
    /// # Errors
    /// As [`Firewall::elements`].
    pub fn addresses(&mut self, table: &Table, set: &Set) -> Result<Vec<IpNet>, Error> {
        let mut part = Vec::new();
        self.socket.dump(
            &format!("list set {table} {}", set.name),
            message::GETSETELEM,
            table.family.number(),
            |w| write_key(w, table, &set.name, &[]),
            Vec::new,
            |all, answer| {
                read_elements(answer, &mut part);
                all.extend(part.drain(..).filter_map(RawElement::host).map(|element| element.net));
            },
        )
    }

    /// One element of a set without intervals, when it is there.
    ///
    /// # Errors
    /// As any request.
    pub fn element(&mut self, table: &Table, set: &Set, wanted: &Element) -> Result<Option<Element>, Error> {
        let mut found = Vec::new();
        let answer = self.socket.request(
            &format!("get element {table} {} {{ {} }}", set.name, wanted.address()),
            message::GETSETELEM,
            table.family.number(),
            |w| write_key(w, table, &set.name, std::slice::from_ref(wanted)),
            |answer| read_elements(answer, &mut found),
        );
        let found = missing_is(answer.map(|()| found), Vec::new())?;
        Ok(found.into_iter().find_map(|raw| raw.host().filter(|got| got.address() == wanted.address())))
    }

    /// Those of `wanted` that the kernel has, in their order, each with the time that it still stays; `None` for one
    /// that is not there. What it costs depends on their number only; for a set of intervals it is a dump of all.
    ///
    /// # Errors
    /// As any request. A set that is not there has no elements.
    pub fn look_up(
        &mut self,
        table: &Table,
        set: &Set,
        wanted: &[Element],
    ) -> Result<Vec<Option<Element>>, Error> {
        if set.interval {
            let all = missing_is(self.elements(table, set), Vec::new())?;
            let by_net: std::collections::HashMap<IpNet, Element> =
                all.into_iter().map(|element| (element.net, element)).collect();
            return Ok(wanted.iter().map(|element| by_net.get(&element.net.trunc()).copied()).collect());
        }
        let mut found = Vec::with_capacity(wanted.len());
        while found.len() < wanted.len() {
            let part = &wanted[found.len()..wanted.len().min(found.len() + LOOKUPS)];
            found.extend(self.look_up_part(table, set, part)?);
        }
        Ok(found)
    }

    /// Looks for the first of these, up to the first that is not there.
    fn look_up_part(
        &mut self,
        table: &Table,
        set: &Set,
        part: &[Element],
    ) -> Result<Vec<Option<Element>>, Error> {
        let what = format!("get {} element(s) {table} {}", part.len(), set.name);
        let mut raw = Vec::new();
        let code = self.socket.question(
            &what,
            message::GETSETELEM,
            table.family.number(),
            |w| write_key(w, table, &set.name, part),
            |answer| read_elements(answer, &mut raw),
        )?;
        let answers = raw.into_iter().filter_map(RawElement::host);
        let mut found: Vec<Option<Element>> = part
            .iter()
            .zip(answers)
            .map(|(element, got)| Some(got).filter(|got| got.address() == element.address()))
            .collect();
        match code {
            0 => found.resize(part.len(), None),
            // The kernel goes no further than the first that it does not find.
            code if code == rustix::io::Errno::NOENT.raw_os_error() => found.push(None),
            code => return Err(refusal(-code, what)),
        }
        found.truncate(part.len());
        Ok(found)
    }

    /// Those of `some` that the kernel has. Made for those that it should not have any more: one that is not there costs as
    /// little as one that is. A set that is not there has no elements.
    ///
    /// # Errors
    /// As any request.
    pub fn still_there(&mut self, table: &Table, set: &Set, some: &[Element]) -> Result<Vec<Element>, Error> {
        if set.interval {
            let found = self.look_up(table, set, some)?;
            return Ok(found.into_iter().flatten().collect());
        }
        let mut found = Vec::new();
        for part in some.chunks(LOOKUPS) {
            let what = format!("get {} element(s) {table} {}", part.len(), set.name);
            let codes = self.socket.questions(
                &what,
                message::GETSETELEM,
                table.family.number(),
                part,
                |w, element| write_key(w, table, &set.name, std::slice::from_ref(element)),
            )?;
            for (element, code) in part.iter().zip(codes) {
                match code {
                    0 => found.push(*element),
                    code if code == rustix::io::Errno::NOENT.raw_os_error() => {}
                    code => return Err(refusal(-code, what)),
                }
            }
        }
        Ok(found)
    }

    /// Adds elements, in as few transactions as the kernel takes. Those already there stay as they are.
    ///
    /// # Errors
    /// [`Error::Refused`]: some may have been added then.
    pub fn add_elements(&mut self, table: &Table, set: &Set, elements: &[Element]) -> Result<(), Error> {
        for part in elements.chunks(self.elements_a_batch()) {
            let mut batch = Batch::default();
            batch.add_elements(table, set, part);
            self.commit_own(batch)?;
        }
        Ok(())
    }

    /// Puts elements in with exactly these time-outs, whether they are there or not, without a moment in which they
    /// are not. Works with kernels that do not renew a time-out.
    ///
    /// # Errors
    /// [`Error::Refused`]: some may have been renewed then.
    pub fn renew_elements(&mut self, table: &Table, set: &Set, elements: &[Element]) -> Result<(), Error> {
        for part in elements.chunks(self.elements_a_batch() / 3) {
            let mut batch = Batch::default();
            // The first makes sure that the deletion finds something.
            batch.add_elements(table, set, part);
            batch.delete_elements(table, set, part);
            batch.add_elements(table, set, part);
            self.commit_own(batch)?;
        }
        Ok(())
    }

    /// Takes elements out; answers those that were not there.
    ///
    /// # Errors
    /// [`Error::Refused`] when the set is not there, or for another reason than that an element is not.
    pub fn delete_elements(
        &mut self,
        table: &Table,
        set: &Set,
        elements: &[Element],
    ) -> Result<Vec<Element>, Error> {
        let mut missing = Vec::new();
        for part in elements.chunks(self.elements_a_batch()) {
            match self.delete_part(table, set, part) {
                Ok(()) => {}
                Err(error) if error.is_missing() => self.delete_present(table, set, part, &mut missing)?,
                Err(error) => return Err(error),
            }
        }
        Ok(missing)
    }

    /// Deletes after one was found missing: looks which are there, and deletes those. One that goes by itself
    /// meanwhile is found by halving.
    fn delete_present(
        &mut self,
        table: &Table,
        set: &Set,
        part: &[Element],
        missing: &mut Vec<Element>,
    ) -> Result<(), Error> {
        if !self.sets(table)?.iter().any(|other| other.name == set.name) {
            let what = format!("delete element {table} {}", set.name);
            return Err(Error::Refused { what, errno: rustix::io::Errno::NOENT });
        }
        let found = self.look_up(table, set, part)?;
        let (present, absent): (Vec<_>, Vec<_>) =
            part.iter().zip(found).partition(|(_, found)| found.is_some());
        missing.extend(absent.into_iter().map(|(element, _)| *element));
        let present: Vec<Element> = present.into_iter().map(|(element, _)| *element).collect();
        let mut parts = vec![&present[..]];
        while let Some(part) = parts.pop() {
            match self.delete_part(table, set, part) {
                Ok(()) => {}
                Err(error) if error.is_missing() && part.len() > 1 => {
                    parts.extend(part.chunks(part.len().div_ceil(2)));
                }
                Err(error) if error.is_missing() => missing.extend_from_slice(part),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn delete_part(&mut self, table: &Table, set: &Set, part: &[Element]) -> Result<(), Error> {
        let mut batch = Batch::default();
        if !part.is_empty() {
            batch.delete_elements(table, set, part);
        }
        self.commit_own(batch)
    }

    /// How many elements fit a transaction, each of 72 bytes at most, with room for headers.
    fn elements_a_batch(&self) -> usize {
        (self.socket.batch_limit() / 80).max(3)
    }
}

/// A rule whose expressions were not read.
pub(super) struct RawRule {
    pub(super) handle: u64,
    pub(super) expressions: Vec<u8>,
    /// Whether a program has left notes with it (a comment, say).
    pub(super) noted: bool,
}

/// What is not there is told as `default`.
fn missing_is<T>(answer: Result<T, Error>, default: T) -> Result<T, Error> {
    match answer {
        Err(error) if error.is_missing() => Ok(default),
        other => other,
    }
}

fn write_key(w: &mut Writer, table: &Table, set: &str, elements: &[Element]) {
    w.text(attr::elements::TABLE, &table.name);
    w.text(attr::elements::SET, set);
    if elements.is_empty() {
        return;
    }
    w.nest(attr::elements::LIST, |w| {
        for element in elements {
            w.nest(attr::list::ELEM, |w| {
                w.nest(attr::element::KEY, |w| {
                    w.attribute(attr::data::VALUE, octets(element.address()).as_ref());
                });
            });
        }
    });
}

fn read_hook(hook: &[u8], kind: Option<&[u8]>) -> Option<Hook> {
    let part = |kind| attributes(hook).find_kind(kind).and_then(be32);
    Some(Hook {
        kind: kind.map(text).unwrap_or_default(),
        number: part(attr::hook::NUM)?,
        priority: part(attr::hook::PRIORITY)? as i32,
    })
}

/// The table's name, and the rule.
fn read_rule(answer: &Message<'_>) -> (String, KernelRule) {
    let part = |kind| answer.attributes().find_kind(kind);
    let rule = KernelRule {
        handle: part(attr::rule::HANDLE).and_then(be64).unwrap_or(0),
        rule: Rule {
            chain: part(attr::rule::CHAIN).map(text).unwrap_or_default(),
            expressions: part(attr::rule::EXPRESSIONS).map(Expression::read_list).unwrap_or_default(),
            comment: part(attr::rule::USERDATA).and_then(read_comment),
        },
    };
    (part(attr::rule::TABLE).map(text).unwrap_or_default(), rule)
}

/// The comment among `nft`'s own notes: type, length, value.
fn read_comment(mut userdata: &[u8]) -> Option<String> {
    while let [kind, length, rest @ ..] = userdata {
        let value = rest.get(..usize::from(*length))?;
        if *kind == 0 {
            return Some(text(value));
        }
        userdata = &rest[value.len()..];
    }
    None
}

/// An element as the dump has it: one end of an interval, or a key by itself.
#[derive(Clone, Copy, Debug)]
struct RawElement {
    address: std::net::IpAddr,
    end: bool,
    left: Option<Duration>,
}

impl RawElement {
    fn host(self) -> Option<Element> {
        (!self.end).then(|| Element { net: self.address.into(), timeout: self.left })
    }
}

fn read_elements(answer: &Message<'_>, all: &mut Vec<RawElement>) {
    let list = answer.attributes().find_kind(attr::elements::LIST).unwrap_or_default();
    for (_, element) in attributes(list) {
        let (mut key, mut flags, mut expires, mut timeout) = (None, 0, None, None);
        for (kind, value) in attributes(element) {
            match kind {
                attr::element::KEY => key = attributes(value).find_kind(attr::data::VALUE).and_then(address),
                attr::element::FLAGS => flags = be32(value).unwrap_or(0),
                attr::element::EXPIRATION => expires = be64(value),
                attr::element::TIMEOUT => timeout = be64(value),
                _ => {}
            }
        }
        if let Some(address) = key {
            // Newer kernels tell a time-out of 0 for what never goes.
            let left = expires.filter(|_| timeout != Some(0)).map(Duration::from_millis);
            all.push(RawElement { address, end: flags & ELEM_INTERVAL_END != 0, left });
        }
    }
}

/// The networks between starts and ends. A range that is not one network gives the networks that make it up.
fn networks(mut raw: Vec<RawElement>) -> Vec<Element> {
    // The end of one and the start of the next may be the same address: the end comes first.
    raw.sort_by_key(|element| (element.address, !element.end));
    let mut elements = Vec::new();
    let mut raw = raw.into_iter().peekable();
    while let Some(start) = raw.next() {
        if start.end {
            continue;
        }
        let last = match raw.peek() {
            Some(next) => before(next.address),
            None if start.address.is_ipv4() => std::net::Ipv4Addr::BROADCAST.into(),
            None => std::net::Ipv6Addr::from(u128::MAX).into(),
        };
        let subnets: Vec<IpNet> = match (start.address, last) {
            (std::net::IpAddr::V4(first), std::net::IpAddr::V4(last)) => {
                ipnet::Ipv4Subnets::new(first, last, 0).map(IpNet::from).collect()
            }
            (std::net::IpAddr::V6(first), std::net::IpAddr::V6(last)) => {
                ipnet::Ipv6Subnets::new(first, last, 0).map(IpNet::from).collect()
            }
            _ => Vec::new(),
        };
        elements.extend(subnets.into_iter().map(|net| Element { net, timeout: start.left }));
    }
    elements
}

fn before(address: std::net::IpAddr) -> std::net::IpAddr {
    match address {
        std::net::IpAddr::V4(v4) => std::net::Ipv4Addr::from(u32::from(v4).saturating_sub(1)).into(),
        std::net::IpAddr::V6(v6) => std::net::Ipv6Addr::from(u128::from(v6).saturating_sub(1)).into(),
    }
}
