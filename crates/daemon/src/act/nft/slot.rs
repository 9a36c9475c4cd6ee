//! The sets of a jail in our own table: one of addresses for each family, and one of networks for each of their lengths.

use portcullis_jail::Id;

use super::object::{Element, KeyType};

/// Which set of a jail: addresses of a family, or its networks of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    pub(super) v6: bool,
    /// Length of the networks; 32 or 128 for addresses.
    pub(super) prefix: u8,
}

impl Slot {
    pub(super) const HOSTS: [Slot; 2] = [Slot { v6: false, prefix: 32 }, Slot { v6: true, prefix: 128 }];

    pub(super) fn of(id: &Id) -> Option<(Slot, Element)> {
        let net = id.net()?.trunc();
        let slot = Slot { v6: net.addr().is_ipv6(), prefix: net.prefix_len() };
        Some((slot, Element { net: net.network().into(), timeout: None }))
    }

    pub(super) fn key(self) -> KeyType {
        if self.v6 { KeyType::Ipv6 } else { KeyType::Ipv4 }
    }

    pub(super) fn network_length(self) -> Option<u8> {
        (!Slot::HOSTS.contains(&self)).then_some(self.prefix)
    }

    /// `v4-sshd`, `net6-64-sshd`.
    pub(super) fn set_name(self, jail: &str) -> String {
        let family = if self.v6 { '6' } else { '4' };
        match self.network_length() {
            None => format!("v{family}-{jail}"),
            Some(length) => format!("net{family}-{length}-{jail}"),
        }
    }

    pub(super) fn parse(set: &str, jail: &str) -> Option<Slot> {
        let rest = set.strip_suffix(jail)?.strip_suffix('-')?;
        let slot = match rest {
            "v4" => Slot::HOSTS[0],
            "v6" => Slot::HOSTS[1],
            _ => {
                let (family, prefix) = rest.strip_prefix("net")?.split_once('-')?;
                Slot { v6: family == "6", prefix: prefix.parse().ok()? }
            }
        };
        (slot.set_name(jail) == set).then_some(slot)
    }
}

/// A jail's name with everything that `nft` cannot read in a name written as `_xx`.
pub(super) fn label(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'/');
    name.bytes().fold(String::new(), |mut label, byte| {
        if plain(byte) {
            label.push(char::from(byte));
        } else if byte == b'_' {
            label.push_str("__");
        } else {
            label.push('_');
            label.extend([byte >> 4, byte & 15].map(|d| char::from_digit(u32::from(d), 16).unwrap_or('0')));
        }
        label
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_sets_tell_the_jail() {
        for slot in
            [Slot::HOSTS[0], Slot::HOSTS[1], Slot { v6: false, prefix: 24 }, Slot { v6: true, prefix: 64 }]
        {
            assert_eq!(Slot::parse(&slot.set_name("sshd"), "sshd"), Some(slot));
            assert_eq!(Slot::parse(&slot.set_name("my-sshd"), "sshd"), None);
            assert_eq!(Slot::parse(&slot.set_name("24-sshd"), "sshd"), None);
        }
    }

    proptest! {
        #[test]
        fn two_jails_never_share_a_label(a in ".{0,12}", b in ".{0,12}") {
            prop_assert_eq!(a == b, label(&a) == label(&b));
        }
    }
}
