//! Whom a failure is counted against: mostly an address, sometimes a network, sometimes any text (`<F-ID>`).

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

/// The family of an address, as `<family>` prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// `inet4`
    Inet4,
    /// `inet6`
    Inet6,
}

impl Family {
    /// `inet4` or `inet6`.
    pub fn name(self) -> &'static str {
        match self {
            Family::Inet4 => "inet4",
            Family::Inet6 => "inet6",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Address(IpAddr),
    Network(IpNet),
    Text,
}

/// The identity of an offender. Two are equal when their canonical texts are.
#[derive(Clone, Debug)]
pub struct Id {
    text: Arc<str>,
    kind: Kind,
}

impl Id {
    /// Reads an identity as Fail2ban reads a captured text: an address when it looks like one (brackets are taken off,
    /// IPv4-mapped becomes IPv4, text is put in canonical form), a network with `/24` or `/255.255.255.0` (host bits
    /// cleared, full length becomes the address), else the raw text.
    pub fn new(text: &str) -> Self {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Id::from(address);
        }
        match bare.split_once('/') {
            Some((address, length)) => Self::network(address, length).unwrap_or_else(|| Self::raw(text)),
            None => Self::raw(text),
        }
    }

    /// The text as it stands, even when it looks like an address.
    pub fn raw(text: &str) -> Self {
        Id { text: text.into(), kind: Kind::Text }
    }

    fn network(address: &str, length: &str) -> Option<Self> {
        let address: IpAddr = address.parse().ok()?;
        let bits: u8 = if address.is_ipv4() { 32 } else { 128 };
        let length = match length.parse::<u8>() {
            Ok(length) => length,
            Err(_) => ipnet::ip_mask_to_prefix(length.parse::<IpAddr>().ok()?).ok()?,
        };
        // A mask beyond the width is printed as the plain address (Fail2ban 1.0.2 does the same).
        if length >= bits {
            return Some(Id::from(address));
        }
        Some(Id::from(IpNet::new(address, length).ok()?))
    }

    /// The canonical text: key of tallies and bans, and what is shown.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The address, when it is one.
    pub fn address(&self) -> Option<IpAddr> {
        match self.kind {
            Kind::Address(address) => Some(address),
            _ => None,
        }
    }

    /// The network: of one address, when it is an address.
    pub fn net(&self) -> Option<IpNet> {
        match self.kind {
            Kind::Address(address) => Some(address.into()),
            Kind::Network(net) => Some(net),
            Kind::Text => None,
        }
    }

    /// Whether this is a network of more than one address.
    pub fn is_network(&self) -> bool {
        matches!(self.kind, Kind::Network(_))
    }

    /// The family, unless it is plain text.
    pub fn family(&self) -> Option<Family> {
        self.net().map(|net| if matches!(net, IpNet::V4(_)) { Family::Inet4 } else { Family::Inet6 })
    }
}

impl From<IpAddr> for Id {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Id { text: python_text(address).into(), kind: Kind::Address(address) }
    }
}

impl From<IpNet> for Id {
    fn from(net: IpNet) -> Self {
        let net = net.trunc();
        let text = format!("{}/{}", python_text(net.network()), net.prefix_len());
        Id { text: text.into(), kind: Kind::Network(net) }
    }
}

/// `inet_ntop`'s text. Rust's differs only in IPv4-compatible addresses (`::1.2.3.4`), where glibc writes dots too.
fn python_text(address: IpAddr) -> String {
    match address {
        IpAddr::V6(v6) if is_ipv4_compatible(v6) => {
            let [.., a, b, c, d] = v6.octets();
            format!("::{a}.{b}.{c}.{d}")
        }
        other => other.to_string(),
    }
}

fn is_ipv4_compatible(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    segments[..6] == [0; 6] && segments[6] != 0
}

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Id {}

impl std::hash::Hash for Id {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}
