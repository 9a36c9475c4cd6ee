//! What rules are made of: loads into a register, comparisons, look-ups, verdicts.
//!
//! Only register 1 is used, as `nft` does for such rules. What we do not know is kept by name, so that a foreign rule
//! can be told from ours but never mistaken for it.

use super::decode::{attributes, be32, text};
use super::encode::Writer;
use super::uapi::{attr, set_flag};

const REGISTER_VERDICT: u32 = 0;
const REGISTER_1: u32 = 1;
/// `NFT_REG32_00`: the same bytes as register 1; iptables-nft writes it so.
const REGISTER_32_00: u32 = 8;

/// One expression of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// Loads something about the packet that is not in it.
    Meta(MetaKey),
    /// Loads bytes of the packet.
    Payload(Payload),
    /// Goes on only if the register compares so.
    Compare(Comparison, Vec<u8>),
    /// Keeps those bits of the register.
    Mask(Vec<u8>),
    /// Goes on only if the register is in the named set.
    Lookup(String),
    /// Goes on only if the register is in a set of its own. From the kernel, this reads as a [`Expression::Lookup`].
    AnonymousLookup(AnonymousSet),
    /// Counts packets.
    Counter,
    /// Drops, accepts, or goes elsewhere.
    Verdict(Verdict),
    /// Answers that the packet is not welcome.
    Reject(Reject),
    /// A match of xtables' (`iptables -m`), by its name, with its own data.
    XtMatch(String, Vec<u8>),
    /// A target of xtables' (`iptables -j`), by its name.
    XtTarget(String),
    /// Anything else, by its name.
    Other(String),
}

/// `NFT_META_*`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaKey {
    /// The packet's family.
    Nfproto,
    /// The transport protocol.
    L4proto,
    /// Any other, by number.
    Other(u32),
}

impl MetaKey {
    fn number(self) -> u32 {
        match self {
            MetaKey::Nfproto => 15,
            MetaKey::L4proto => 16,
            MetaKey::Other(number) => number,
        }
    }

    fn from_number(number: u32) -> Self {
        match number {
            15 => MetaKey::Nfproto,
            16 => MetaKey::L4proto,
            other => MetaKey::Other(other),
        }
    }
}

/// Bytes of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// `NFT_PAYLOAD_*`: 1 network header, 2 transport header.
    pub base: u32,
    /// Offset from there.
    pub offset: u32,
    /// How many.
    pub length: u32,
}

impl Payload {
    /// IPv4's source address.
    pub const SOURCE_V4: Payload = Payload { base: 1, offset: 12, length: 4 };
    /// IPv6's source address.
    pub const SOURCE_V6: Payload = Payload { base: 1, offset: 8, length: 16 };
    /// The destination port, of TCP, UDP, SCTP, DCCP and UDP-Lite alike.
    pub const DESTINATION_PORT: Payload = Payload { base: 2, offset: 2, length: 2 };
}

/// `NFT_CMP_*`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// equal
    Equal,
    /// not equal
    NotEqual,
    /// less
    Less,
    /// less or equal
    AtMost,
    /// greater
    Greater,
    /// greater or equal
    AtLeast,
}

impl Comparison {
    const ALL: [Comparison; 6] = [
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::Less,
        Comparison::AtMost,
        Comparison::Greater,
        Comparison::AtLeast,
    ];
}

/// Where a packet goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `drop`
    Drop,
    /// `accept`: for this chain's hook.
    Accept,
    /// `jump`
    Jump(String),
    /// `goto`
    Goto(String),
    /// `return`
    Return,
    /// Any other, by number.
    Other(i32),
}

impl Verdict {
    fn number(&self) -> i32 {
        match self {
            Verdict::Drop => 0,
            Verdict::Accept => 1,
            Verdict::Jump(_) => -3,
            Verdict::Goto(_) => -4,
            Verdict::Return => -5,
            Verdict::Other(number) => *number,
        }
    }
}

/// How a packet is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// `NFT_REJECT_*`: 0 ICMP of the family, 1 TCP reset, 2 ICMP of either family.
    pub kind: u32,
    /// The ICMP code.
    pub code: u8,
}

impl Reject {
    /// `reject with icmp port-unreachable`: a connecting client sees "Connection refused".
    pub const PORT_UNREACHABLE_V4: Reject = Reject { kind: 0, code: 3 };
    /// `reject with icmpv6 port-unreachable`
    pub const PORT_UNREACHABLE_V6: Reject = Reject { kind: 0, code: 4 };
    /// `reject with tcp reset`
    pub const TCP_RESET: Reject = Reject { kind: 1, code: 0 };
}

/// A set that belongs to one rule: `{ 22, 80, 1000-2000 }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnonymousSet {
    /// `nft`'s number for the type: 12 protocol, 13 port.
    pub key_type: u32,
    /// Bytes of a key: at most 2.
    pub length: u32,
    /// Sorted, disjoint ranges, ends included.
    pub ranges: Vec<(u16, u16)>,
}

impl AnonymousSet {
    /// Transport protocols.
    pub fn protocols(numbers: &[u8]) -> Self {
        let ranges = numbers.iter().map(|n| (u16::from(*n), u16::from(*n))).collect();
        AnonymousSet { key_type: 12, length: 1, ranges }
    }

    /// Ports.
    pub fn ports(ranges: Vec<(u16, u16)>) -> Self {
        AnonymousSet { key_type: 13, length: 2, ranges }
    }

    fn is_interval(&self) -> bool {
        self.ranges.iter().any(|(first, last)| first != last)
    }

    pub(super) fn flags(&self) -> u32 {
        let interval = if self.is_interval() { set_flag::INTERVAL } else { 0 };
        set_flag::ANONYMOUS | set_flag::CONSTANT | interval
    }

    /// The elements as the kernel wants them: key, whether it ends an interval, whether it begins one without end.
    pub(super) fn elements(&self) -> Vec<AnonymousElement> {
        let max = if self.length == 1 { 0xff } else { u16::MAX };
        let mut elements = Vec::new();
        let mut push = |key: u16, end: bool, open: bool| {
            let key = if self.length == 1 { vec![key as u8] } else { key.to_be_bytes().to_vec() };
            elements.push(AnonymousElement { key, end, open });
        };
        if !self.is_interval() {
            self.ranges.iter().for_each(|(port, _)| push(*port, false, false));
            return elements;
        }
        if self.ranges.first().is_some_and(|(first, _)| *first > 0) {
            push(0, true, false);
        }
        let mut ranges = self.ranges.iter().peekable();
        while let Some(&(first, last)) = ranges.next() {
            push(first, false, last == max);
            // Where the next range begins right behind, its start is this one's end too.
            if last < max && ranges.peek().is_none_or(|next| next.0 != last + 1) {
                push(last + 1, true, false);
            }
        }
        elements
    }
}

/// See [`AnonymousSet::elements`].
pub(super) struct AnonymousElement {
    pub(super) key: Vec<u8>,
    pub(super) end: bool,
    pub(super) open: bool,
}

impl Expression {
    /// A comparison for equality.
    pub fn equal(data: &[u8]) -> Self {
        Expression::Compare(Comparison::Equal, data.to_vec())
    }

    /// Writes itself as an element of a rule's list. `set_id` numbers the transaction's anonymous sets.
    pub(super) fn write(&self, list: &mut Writer, set_id: u32) {
        list.nest(attr::list::ELEM, |w| match self {
            Expression::Meta(key) => named(w, "meta", |w| {
                w.be32(2, key.number());
                w.be32(1, REGISTER_1);
            }),
            Expression::Payload(payload) => named(w, "payload", |w| {
                w.be32(1, REGISTER_1);
                w.be32(2, payload.base);
                w.be32(3, payload.offset);
                w.be32(4, payload.length);
            }),
            Expression::Compare(comparison, data) => named(w, "cmp", |w| {
                let number = Comparison::ALL.iter().position(|c| c == comparison).unwrap_or_default();
                w.be32(1, REGISTER_1);
                w.be32(2, number as u32);
                w.nest(3, |w| w.attribute(attr::data::VALUE, data));
            }),
            Expression::Mask(mask) => named(w, "bitwise", |w| {
                w.be32(1, REGISTER_1);
                w.be32(2, REGISTER_1);
                w.be32(3, mask.len() as u32);
                w.nest(4, |w| w.attribute(attr::data::VALUE, mask));
                w.nest(5, |w| w.attribute(attr::data::VALUE, &vec![0; mask.len()]));
            }),
            Expression::Lookup(set) => named(w, "lookup", |w| {
                w.be32(2, REGISTER_1);
                w.text(1, set);
            }),
            Expression::AnonymousLookup(_) => named(w, "lookup", |w| {
                w.be32(2, REGISTER_1);
                w.text(1, "__set%d");
                w.be32(4, set_id);
            }),
            Expression::Counter => named(w, "counter", |_| {}),
            Expression::Verdict(verdict) => named(w, "immediate", |w| {
                w.be32(1, REGISTER_VERDICT);
                w.nest(2, |w| {
                    w.nest(attr::data::VERDICT, |w| {
                        w.be32(attr::verdict::CODE, verdict.number() as u32);
                        if let Verdict::Jump(chain) | Verdict::Goto(chain) = verdict {
                            w.text(attr::verdict::CHAIN, chain);
                        }
                    });
                });
            }),
            Expression::Reject(reject) => named(w, "reject", |w| {
                w.be32(1, reject.kind);
                w.attribute(2, &[reject.code]);
            }),
            Expression::XtMatch(name, _) | Expression::XtTarget(name) | Expression::Other(name) => {
                named(w, name, |_| {});
            }
        });
    }

    /// Reads a rule's list.
    pub(super) fn read_list(list: &[u8]) -> Vec<Expression> {
        attributes(list)
            .filter(|(kind, _)| *kind == attr::list::ELEM)
            .map(|(_, bytes)| {
                let name = attributes(bytes).find_kind(attr::expression::NAME).map(text).unwrap_or_default();
                let data = attributes(bytes).find_kind(attr::expression::DATA).unwrap_or_default();
                Self::read(&name, data).unwrap_or(Expression::Other(name))
            })
            .collect()
    }

    fn read(name: &str, data: &[u8]) -> Option<Expression> {
        let part = |kind| attributes(data).find_kind(kind);
        let number = |kind| part(kind).and_then(be32);
        let bytes = |kind| part(kind).and_then(|nest| attributes(nest).find_kind(attr::data::VALUE));
        let in_register = |kind| matches!(number(kind), Some(REGISTER_1 | REGISTER_32_00));
        Some(match name {
            "meta" if in_register(1) => Expression::Meta(MetaKey::from_number(number(2)?)),
            "payload" if in_register(1) => {
                Expression::Payload(Payload { base: number(2)?, offset: number(3)?, length: number(4)? })
            }
            "cmp" if in_register(1) => {
                Expression::Compare(*Comparison::ALL.get(number(2)? as usize)?, bytes(3)?.to_vec())
            }
            "bitwise" if in_register(1) && in_register(2) => {
                let plain = number(6).unwrap_or(0) == 0 && bytes(5)?.iter().all(|byte| *byte == 0);
                Expression::Mask(bytes(4).filter(|_| plain)?.to_vec())
            }
            // An inverted look-up (flags 1) and one with data (a map) are others.
            "lookup" if in_register(2) && part(3).is_none() && number(5).unwrap_or(0) == 0 => {
                Expression::Lookup(text(part(1)?))
            }
            "counter" => Expression::Counter,
            "immediate" if number(1) == Some(REGISTER_VERDICT) => {
                let verdict = attributes(part(2)?).find_kind(attr::data::VERDICT)?;
                let chain = || attributes(verdict).find_kind(attr::verdict::CHAIN).map(text);
                let code = attributes(verdict).find_kind(attr::verdict::CODE).and_then(be32)? as i32;
                Expression::Verdict(match code {
                    0 => Verdict::Drop,
                    1 => Verdict::Accept,
                    -3 => Verdict::Jump(chain()?),
                    -4 => Verdict::Goto(chain()?),
                    -5 => Verdict::Return,
                    other => Verdict::Other(other),
                })
            }
            "reject" => Expression::Reject(Reject {
                kind: number(1)?,
                code: part(2).and_then(|code| code.first().copied()).unwrap_or(0),
            }),
            "match" => Expression::XtMatch(text(part(1)?), part(3)?.to_vec()),
            "target" => Expression::XtTarget(text(part(1)?)),
            _ => return None,
        })
    }

    /// Whether a rule that the kernel tells is the one that we wrote. An anonymous set has got a name meanwhile; its
    /// contents cannot change, so its being there is enough.
    pub fn same_list(kernel: &[Expression], ours: &[Expression]) -> bool {
        kernel.len() == ours.len()
            && kernel.iter().zip(ours).all(|(kernel, ours)| match (kernel, ours) {
                (Expression::Lookup(name), Expression::AnonymousLookup(_)) => name.starts_with("__set"),
                (kernel, ours) => kernel == ours,
            })
    }

    /// Whether a chain's rules contain `ours`, and nothing before it lets all packets by.
    pub(super) fn in_force<'a>(rules: impl Iterator<Item = &'a [Expression]>, ours: &[Expression]) -> bool {
        for rule in rules {
            if Expression::same_list(rule, ours) {
                return true;
            }
            // An unconditional verdict hides what follows; a jump comes back.
            if let [Expression::Verdict(verdict)] | [Expression::Counter, Expression::Verdict(verdict)] = rule
                && !matches!(verdict, Verdict::Jump(_))
            {
                return false;
            }
        }
        false
    }
}

fn named(w: &mut Writer, name: &str, data: impl FnOnce(&mut Writer)) {
    w.text(attr::expression::NAME, name);
    w.nest(attr::expression::DATA, data);
}
