//! What nf_tables is made of, in plain values: tables, chains, sets, elements, rules.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;
use portcullis_jail::Family;

use super::expression::Expression;
use super::uapi::set_flag;

/// The family of a table (`NFPROTO_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TableFamily {
    /// `inet`: both IPv4 and IPv6.
    Inet,
    /// `ip`
    Ip,
    /// `ip6`
    Ip6,
}

impl TableFamily {
    /// `nft`'s word for it.
    pub fn name(self) -> &'static str {
        match self {
            TableFamily::Inet => "inet",
            TableFamily::Ip => "ip",
            TableFamily::Ip6 => "ip6",
        }
    }

    /// Reads `nft`'s word.
    pub fn parse(word: &str) -> Option<Self> {
        [TableFamily::Inet, TableFamily::Ip, TableFamily::Ip6].into_iter().find(|f| f.name() == word)
    }

    pub(super) fn number(self) -> u8 {
        match self {
            TableFamily::Inet => 1,
            TableFamily::Ip => 2,
            TableFamily::Ip6 => 10,
        }
    }
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Table {
    /// Whose packets.
    pub family: TableFamily,
    /// Its name.
    pub name: String,
}

impl Table {
    /// Where iptables-nft and ip6tables-nft have the rules that bans are among.
    pub(super) fn of_iptables(family: Family) -> Self {
        let family = if family == Family::Inet4 { TableFamily::Ip } else { TableFamily::Ip6 };
        Table { family, name: "filter".to_owned() }
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.family.name(), self.name)
    }
}

/// Where a base chain meets packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// `filter`, `nat`, `route`
    pub kind: String,
    /// `NF_INET_*`: 0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting.
    pub number: u32,
    /// Lower numbers see a packet first.
    pub priority: i32,
}

impl Hook {
    /// `NF_INET_PRE_ROUTING`
    pub const PREROUTING: u32 = 0;
    /// `NF_INET_LOCAL_IN`
    pub const INPUT: u32 = 1;
    /// `NF_INET_FORWARD`
    pub const FORWARD: u32 = 2;

    /// The number of the hook that `nft` calls `name`.
    pub fn number(name: &str) -> Option<u32> {
        ["prerouting", "input", "forward", "output", "postrouting"]
            .iter()
            .position(|hook| *hook == name)
            .map(|n| n as u32)
    }
}

/// A chain. Base chains have a hook (and policy accept), others are jumped to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its name within the table.
    pub name: String,
    /// Where it meets packets, when it is a base chain.
    pub hook: Option<Hook>,
}

/// What a set holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// `ipv4_addr`
    Ipv4,
    /// `ipv6_addr`
    Ipv6,
}

impl KeyType {
    /// `nft`'s word for it.
    pub fn name(self) -> &'static str {
        match self {
            KeyType::Ipv4 => "ipv4_addr",
            KeyType::Ipv6 => "ipv6_addr",
        }
    }

    /// The number by which `nft` knows the type, and the length in bytes.
    pub(super) fn number_and_length(self) -> (u32, u32) {
        match self {
            KeyType::Ipv4 => (7, 4),
            KeyType::Ipv6 => (8, 16),
        }
    }

    /// The type for addresses like this one.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { KeyType::Ipv4 } else { KeyType::Ipv6 }
    }
}

/// A named set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its name within the table.
    pub name: String,
    /// What it holds.
    pub key: KeyType,
    /// Whether it can hold networks. Adding to such a set costs the more, the more it holds.
    pub interval: bool,
    /// Whether its elements can go by themselves.
    pub timeout: bool,
}

impl Set {
    pub(super) fn flags(&self) -> u32 {
        let interval = if self.interval { set_flag::INTERVAL } else { 0 };
        let timeout = if self.timeout { set_flag::TIMEOUT } else { 0 };
        interval | timeout
    }
}

/// The longest time-out that we ask for. A longer ban is kept by the kernel until it is taken away.
pub const LONGEST_TIMEOUT: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// An element of a set of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// The address, or the network (for sets that hold intervals).
    pub net: IpNet,
    /// How long the kernel is to keep it; `None` until it is taken away. In a dump: how long it still stays.
    pub timeout: Option<Duration>,
}

impl From<IpAddr> for Element {
    fn from(address: IpAddr) -> Self {
        Element { net: address.into(), timeout: None }
    }
}

impl Element {
    /// Its first address.
    pub fn address(&self) -> IpAddr {
        self.net.network()
    }

    pub(super) fn timeout_millis(&self) -> Option<u64> {
        // The kernel takes 0 for the set's default, that is: for ever.
        self.timeout.filter(|left| *left <= LONGEST_TIMEOUT).map(|left| (left.as_millis() as u64).max(1))
    }
}

/// A key by which networks are sorted and found again, where their own order does not matter: many times quicker than that.
pub(crate) fn sort_key(net: &IpNet) -> (u128, u8) {
    match net {
        IpNet::V4(net) => (net.addr().to_bits().into(), net.prefix_len()),
        IpNet::V6(net) => (net.addr().to_bits(), 64 + net.prefix_len()),
    }
}

/// The octets of an address, as the kernel keeps it.
pub(super) fn octets(address: IpAddr) -> Octets {
    match address {
        IpAddr::V4(v4) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&v4.octets());
            Octets { bytes, length: 4 }
        }
        IpAddr::V6(v6) => Octets { bytes: v6.octets(), length: 16 },
    }
}

/// Four or sixteen octets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Octets {
    bytes: [u8; 16],
    length: usize,
}

impl AsRef<[u8]> for Octets {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The address in these octets.
pub(super) fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => bytes.first_chunk().map(|b: &[u8; 4]| Ipv4Addr::from(*b).into()),
        16 => bytes.first_chunk().map(|b: &[u8; 16]| Ipv6Addr::from(*b).into()),
        _ => None,
    }
}

/// A rule to be added at its chain's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The chain that it belongs to.
    pub chain: String,
    /// What it does, in order.
    pub expressions: Vec<Expression>,
    /// A comment, shown by `nft list`.
    pub comment: Option<String>,
}

/// A rule as the kernel tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRule {
    /// The kernel's number for it: unique within the table.
    pub handle: u64,
    /// The rule. Names of anonymous sets are the kernel's (`__set3`).
    pub rule: Rule,
}

/// A set as the kernel tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelSet {
    /// Its name; anonymous ones are called `__set0` and so on.
    pub name: String,
    /// Type number of the keys (7 is `ipv4_addr`, 8 `ipv6_addr`).
    pub key_type: u32,
    /// `NFT_SET_*`
    pub flags: u32,
}

impl KernelSet {
    /// Whether it belongs to a rule (`tcp dport { 22, 80 }`).
    pub fn is_anonymous(&self) -> bool {
        self.flags & set_flag::ANONYMOUS != 0
    }

    /// Whether it is what `set` describes.
    pub fn is(&self, set: &Set) -> bool {
        self.name == set.name && self.key_type == set.key.number_and_length().0 && self.flags == set.flags()
    }
}
