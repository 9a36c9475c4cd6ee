//! Rules that differ in nothing but an address: one of them is taken apart, and thousands of others are read by their bytes.

use std::net::IpAddr;

use super::object::{address, octets};

/// A rule's expressions, as the kernel lists them, around an address.
#[derive(Clone, Debug)]
pub(super) struct Like {
    before: Vec<u8>,
    width: usize,
    behind: Vec<u8>,
}

impl Like {
    /// Expressions that have this address from byte `at` on; `None` when they have not.
    pub(super) fn new(expressions: &[u8], at: usize, address: IpAddr) -> Option<Self> {
        let octets = octets(address);
        let (before, rest) = expressions.split_at_checked(at)?;
        let behind = rest.strip_prefix(octets.as_ref())?;
        Some(Like { before: before.to_vec(), width: octets.as_ref().len(), behind: behind.to_vec() })
    }

    /// The address in expressions that differ in nothing else.
    pub(super) fn address(&self, expressions: &[u8]) -> Option<IpAddr> {
        let rest = expressions.strip_prefix(self.before.as_slice())?;
        let (octets, behind) = rest.split_at_checked(self.width)?;
        if behind == self.behind { address(octets) } else { None }
    }
}

/// The expressions of a rule about one source address, for tests.
#[cfg(test)]
pub(super) fn about_source(value: &[u8], behind: &[super::Expression]) -> Vec<u8> {
    use super::{Expression, Payload};

    let mut writer = super::encode::Writer::default();
    Expression::Payload(Payload::SOURCE_V4).write(&mut writer, 0);
    Expression::equal(value).write(&mut writer, 0);
    for expression in behind {
        expression.write(&mut writer, 0);
    }
    writer.bytes().to_vec()
}
