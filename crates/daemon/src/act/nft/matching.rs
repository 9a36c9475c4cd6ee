//! The rules for a banned source: which protocol and port, which set of addresses, what becomes of the packet.

use super::expression::{AnonymousSet, Comparison, Expression, MetaKey, Payload, Reject, Verdict};
use super::object::KeyType;
use super::ports::{PortRange, with_ports};

/// What is done with a banned packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// ICMP port unreachable: a connecting client sees "Connection refused" at once.
    Reject,
    /// The same with another ICMP code, of either family: `icmpx admin-prohibited`, …
    RejectWith(Reject),
    /// A TCP reset; only where the rule is for TCP alone.
    Reset,
    /// Silence: the client waits for its own time-out.
    Drop,
}

impl Answer {
    /// The last expression of a rule for addresses of this type.
    pub(super) fn expression(self, key: KeyType) -> Expression {
        match (self, key) {
            (Answer::Reject, KeyType::Ipv4) => Expression::Reject(Reject::PORT_UNREACHABLE_V4),
            (Answer::Reject, KeyType::Ipv6) => Expression::Reject(Reject::PORT_UNREACHABLE_V6),
            (Answer::RejectWith(reject), _) => Expression::Reject(reject),
            (Answer::Reset, _) => Expression::Reject(Reject::TCP_RESET),
            (Answer::Drop, _) => Expression::Verdict(Verdict::Drop),
        }
    }
}

/// `meta l4proto`: nothing for all, one, or one of several.
pub(super) fn protocols(numbers: &[u8]) -> Vec<Expression> {
    match numbers {
        [] => Vec::new(),
        [one] => vec![Expression::Meta(MetaKey::L4proto), Expression::equal(&[*one])],
        several => {
            let mut several = several.to_vec();
            several.sort_unstable();
            vec![
                Expression::Meta(MetaKey::L4proto),
                Expression::AnonymousLookup(AnonymousSet::protocols(&several)),
            ]
        }
    }
}

/// `th dport`: sorted ranges; one is a comparison, several are a set.
pub(super) fn ports(ranges: &[PortRange]) -> Vec<Expression> {
    ports_as_given(ranges, ranges.len())
}

/// The same as `nft` makes it, where `given` ports and ranges were written: only what was written as one is a comparison.
pub(super) fn ports_as_given(ranges: &[PortRange], given: usize) -> Vec<Expression> {
    let compare = |comparison, port: u16| Expression::Compare(comparison, port.to_be_bytes().to_vec());
    let mut expressions = vec![Expression::Payload(Payload::DESTINATION_PORT)];
    match ranges {
        [] => return Vec::new(),
        [(first, last)] if given == 1 && first == last => {
            expressions.push(compare(Comparison::Equal, *first));
        }
        [(first, last)] if given == 1 => {
            expressions.push(compare(Comparison::AtLeast, *first));
            expressions.push(compare(Comparison::AtMost, *last));
        }
        several => {
            expressions.push(Expression::AnonymousLookup(AnonymousSet::ports(several.to_vec())));
        }
    }
    expressions
}

/// `ip saddr @set`; with a prefix length, `ip saddr & mask @set`. `family_check` is needed where the table's family
/// is `inet`.
pub(super) fn source(key: KeyType, prefix: Option<u8>, set: &str, family_check: bool) -> Vec<Expression> {
    let (nfproto, payload, length) = match key {
        KeyType::Ipv4 => (2, Payload::SOURCE_V4, 4),
        KeyType::Ipv6 => (10, Payload::SOURCE_V6, 16),
    };
    let mut expressions = Vec::new();
    if family_check {
        expressions.extend([Expression::Meta(MetaKey::Nfproto), Expression::equal(&[nfproto])]);
    }
    expressions.push(Expression::Payload(payload));
    if let Some(prefix) = prefix {
        let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0).to_be_bytes();
        expressions.push(Expression::Mask(mask[..length].to_vec()));
    }
    expressions.push(Expression::Lookup(set.to_owned()));
    expressions
}

/// The protocols among these that have ports; all five for every protocol.
pub(super) fn protocols_with_ports(numbers: &[u8]) -> Result<Vec<u8>, super::ports::PortError> {
    if numbers.is_empty() {
        return Ok(vec![6, 17, 33, 132, 136]);
    }
    match numbers.iter().find(|number| with_ports(**number).is_none()) {
        Some(number) => Err(super::ports::PortError::NoPorts(super::ports::protocol_name(*number))),
        None => Ok(numbers.to_vec()),
    }
}
