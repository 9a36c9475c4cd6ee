//! Netlink messages and attributes, written one after the other into one buffer.

use super::uapi::{NFGEN_HEADER, NLA_F_NESTED, NLA_HEADER, NLMSG_HEADER};

/// A buffer that grows by messages and attributes.
#[derive(Clone, Debug, Default)]
pub(in crate::act) struct Writer {
    bytes: Vec<u8>,
    too_long: bool,
}

impl Writer {
    pub(in crate::act) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(in crate::act) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether an attribute outgrew the 65,535 bytes that its length can tell. Such a buffer must not be sent.
    pub(in crate::act) fn too_long(&self) -> bool {
        self.too_long
    }

    /// One message: netlink's and nfnetlink's headers, then what `body` writes. The sequence number is put in later,
    /// by [`Writer::number`].
    pub(in crate::act) fn message(
        &mut self,
        kind: u16,
        flags: u16,
        family: u8,
        resource: u16,
        body: impl FnOnce(&mut Self),
    ) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 8]);
        self.bytes.extend_from_slice(&[family, 0]);
        self.bytes.extend_from_slice(&resource.to_be_bytes());
        debug_assert_eq!(self.bytes.len() - start, NLMSG_HEADER + NFGEN_HEADER);
        body(self);
        let length = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// One message of another subsystem: netlink's header, then `payload`.
    pub(in crate::act) fn plain_message(&mut self, kind: u16, flags: u16, payload: &[u8]) {
        let length = (NLMSG_HEADER + payload.len()) as u32;
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 8]);
        self.bytes.extend_from_slice(payload);
        self.pad();
    }

    /// Puts a sequence number into the message that begins at `start`.
    pub(in crate::act) fn number(&mut self, start: usize, sequence: u32) {
        self.bytes[start + 8..start + 12].copy_from_slice(&sequence.to_ne_bytes());
    }

    /// An attribute with a plain value.
    pub(in crate::act) fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = self.length(NLA_HEADER + value.len());
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad();
    }

    pub(in crate::act) fn be32(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_be_bytes());
    }

    pub(in crate::act) fn be64(&mut self, kind: u16, value: u64) {
        self.attribute(kind, &value.to_be_bytes());
    }

    /// Attributes that are encoded already.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// A text with its terminating zero.
    pub(in crate::act) fn text(&mut self, kind: u16, value: &str) {
        let length = self.length(NLA_HEADER + value.len() + 1);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self.pad();
    }

    /// An attribute that holds attributes.
    pub(in crate::act) fn nest(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NLA_F_NESTED).to_ne_bytes());
        body(self);
        let length = self.length(self.bytes.len() - start);
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    fn length(&mut self, length: usize) -> u16 {
        u16::try_from(length).unwrap_or_else(|_| {
            self.too_long = true;
            u16::MAX
        })
    }

    fn pad(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }
}
