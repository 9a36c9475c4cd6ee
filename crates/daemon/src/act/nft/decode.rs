//! Netlink messages and attributes, read from a buffer. Whatever the buffer holds, nothing here panics: what does not
//! fit ends the iteration.

use super::uapi::{NFGEN_HEADER, NLA_HEADER, NLA_TYPE_MASK, NLMSG_HEADER};

/// One message: its header's fields, and what follows the header.
#[derive(Clone, Copy, Debug)]
pub(in crate::act) struct Message<'a> {
    pub(in crate::act) kind: u16,
    pub(in crate::act) flags: u16,
    pub(in crate::act) sequence: u32,
    /// The port number of the socket that it concerns: for an event, of the socket whose request caused it.
    pub(in crate::act) port: u32,
    pub(in crate::act) payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The attributes behind nfnetlink's own header.
    pub(in crate::act) fn attributes(&self) -> Attributes<'a> {
        attributes(self.payload.get(NFGEN_HEADER..).unwrap_or_default())
    }

    /// The error number of an NLMSG_ERROR or NLMSG_DONE: 0 or negative.
    pub(in crate::act) fn code(&self) -> i32 {
        self.payload.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes))
    }
}

/// The messages of one datagram.
pub(in crate::act) fn messages(bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let header = rest.first_chunk::<NLMSG_HEADER>()?;
        let field =
            |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let length = field(0) as usize;
        let message = Message {
            kind: u16::from_ne_bytes([header[4], header[5]]),
            flags: u16::from_ne_bytes([header[6], header[7]]),
            sequence: field(8),
            port: field(12),
            payload: rest.get(NLMSG_HEADER..length)?,
        };
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// The attributes in `bytes`: kind (without flags) and value.
pub(in crate::act) fn attributes(bytes: &[u8]) -> Attributes<'_> {
    Attributes { rest: bytes }
}

/// An iterator over attributes.
#[derive(Clone, Debug)]
pub(in crate::act) struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// The first attribute of this kind.
    pub(in crate::act) fn find_kind(self, kind: u16) -> Option<&'a [u8]> {
        let mut rest = self;
        rest.find(|(other, _)| *other == kind).map(|(_, value)| value)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let [a, b, c, d] = *self.rest.first_chunk::<NLA_HEADER>()?;
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = self.rest.get(NLA_HEADER..length)?;
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([c, d]) & NLA_TYPE_MASK, value))
    }
}

/// The attributes in `bytes` as they stand, with header and padding.
pub(super) fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = attributes(bytes);
    std::iter::from_fn(move || {
        let from = rest.rest;
        rest.next()?;
        from.get(..from.len() - rest.rest.len())
    })
}

pub(in crate::act) fn be32(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

pub(in crate::act) fn be64(value: &[u8]) -> Option<u64> {
    value.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// A text up to its terminating zero.
pub(in crate::act) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// Whether a value is this text, which has no zero in it.
pub(in crate::act) fn is_text(value: &[u8], wanted: &str) -> bool {
    value.strip_prefix(wanted.as_bytes()).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == 0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::encode::Writer;
    use super::*;

    proptest! {
        #[test]
        fn whatever_arrives_is_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            for message in messages(&bytes) {
                message.code();
                for (_, value) in message.attributes() {
                    attributes(value).for_each(drop);
                    text(value);
                }
            }
        }

        #[test]
        fn what_is_written_is_read_back(kind in 1u16..100, values in prop::collection::vec((1u16..50, prop::collection::vec(any::<u8>(), 0..40)), 0..10)) {
            let mut writer = Writer::default();
            writer.message(kind, 5, 1, 0, |w| w.nest(7, |w| {
                for (kind, value) in &values {
                    w.attribute(*kind, value);
                }
            }));
            let read: Vec<Message> = messages(writer.bytes()).collect();
            prop_assert_eq!(read.len(), 1);
            prop_assert_eq!(read[0].kind, kind);
            let nest = read[0].attributes().find_kind(7).unwrap();
            let got: Vec<(u16, Vec<u8>)> = attributes(nest).map(|(k, v)| (k, v.to_vec())).collect();
            prop_assert_eq!(got, values);
        }
    }

    #[test]
    fn an_attribute_that_is_too_long_is_noticed() {
        let mut writer = Writer::default();
        writer.nest(1, |w| w.attribute(1, &vec![0; 65_531]));
        assert!(writer.too_long());
    }
}
