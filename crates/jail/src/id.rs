//! Whom a failure is counted against: mostly an address, sometimes a network, sometimes any text (`<F-ID>`).

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;
use portcullis_value::{Exception, repr_str};

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

/// What the text is. Its address or network is read from it whenever it is asked for: that takes some 20 ns, and a hundred
/// thousand bans have three copies each of their identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Address,
    Network,
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
        match Meaning::of(text) {
            // What is read as an IPv4 address is written as one.
            Some(Meaning::Address(IpAddr::V4(_))) if !text.contains(['[', ':', '/']) => {
                Id { text: text.into(), kind: Kind::Address }
            }
            Some(Meaning::Address(address)) => Id::from(address),
            Some(Meaning::Network(net)) => Id::from(net),
            None => Self::raw(text),
        }
    }

    /// The text as it stands, even when it looks like an address.
    pub fn raw(text: &str) -> Self {
        Id { text: text.into(), kind: Kind::Text }
    }

    /// Reads an identity as a command gives it (`addignoreip`, `banip`): as [`Id::new`], but a nonsensical length is an
    /// error, and of a network whose address is none the text before the slash remains.
    ///
    /// # Errors
    /// A `ValueError` with Python's words: `invalid mask '255.0.255.0', no plen representation`,
    /// `invalid literal for int() with base 10: ''`.
    pub fn parse(text: &str) -> Result<Self, Exception> {
        let Some((address, length)) = text.split_once('/') else { return Ok(Self::new(text)) };
        let nonsense = |message: String| Exception::builtin("ValueError", message);
        // Differs: a mask that is no address means length 0 to Fail2ban, and so everybody: `10.1.0.0/16,10.2.0.0/16`.
        if length.contains(['.', ':']) {
            let message = format!("invalid mask {}, no plen representation", repr_str(length));
            let mask = length.parse::<IpAddr>().ok().and_then(|mask| ipnet::ip_mask_to_prefix(mask).ok());
            mask.ok_or_else(|| nonsense(message))?;
        } else if python_int(length).is_none() {
            return Err(nonsense(format!("invalid literal for int() with base 10: {}", repr_str(length))));
        }
        Ok(match Meaning::of_network(address, length) {
            Some(Meaning::Address(address)) => Id::from(address),
            Some(Meaning::Network(net)) => Id::from(net),
            None => Self::raw(address),
        })
    }

    /// An identity to look for, as `unbanip` takes it: first of all a text, as it was written (another spelling of an address is
    /// another text, as in Fail2ban); only when nobody is banned by it, a network means all that is inside.
    pub fn wanted(text: &str) -> Self {
        Id { text: text.into(), kind: Self::new(text).kind }
    }

    /// The canonical text: key of tallies and bans, and what is shown.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The address, when it is one.
    pub fn address(&self) -> Option<IpAddr> {
        match self.meaning()? {
            Meaning::Address(address) => Some(address),
            Meaning::Network(_) => None,
        }
    }

    /// The network that the text names: of one address, when it is an address. This is what a ban closes.
    ///
    /// A network of length 0 is written as its bare address `0.0.0.0`, and a ban of it closes just that, as in Fail2ban:
    /// nobody means to ban everybody. [`covers`](Self::covers) tells what it stands for elsewhere.
    pub fn net(&self) -> Option<IpNet> {
        self.covers().map(|net| if net.prefix_len() == 0 { net.network().into() } else { net })
    }

    /// All addresses that are meant when something is looked for in it (`ignoreip`, `unbanip`): `0.0.0.0/0` is everybody.
    pub fn covers(&self) -> Option<IpNet> {
        match self.meaning()? {
            Meaning::Address(address) => Some(address.into()),
            Meaning::Network(net) => Some(net),
        }
    }

    /// Whether this covers more than one address.
    pub fn is_network(&self) -> bool {
        self.kind == Kind::Network
    }

    fn meaning(&self) -> Option<Meaning> {
        if self.kind == Kind::Text {
            return None;
        }
        match (self.kind, Meaning::of(&self.text)?) {
            // Everybody is written as a bare address.
            (Kind::Network, Meaning::Address(address)) => IpNet::new(address, 0).ok().map(Meaning::Network),
            (_, meaning) => Some(meaning),
        }
    }

    /// The family, unless it is plain text.
    pub fn family(&self) -> Option<Family> {
        match self.kind {
            Kind::Text => None,
            // Nothing that means an IPv6 address is written without a colon.
            _ if !self.text.contains(':') => Some(Family::Inet4),
            _ => {
                self.net().map(|net| if matches!(net, IpNet::V4(_)) { Family::Inet4 } else { Family::Inet6 })
            }
        }
    }
}

impl From<IpAddr> for Id {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Id { text: python_text(address).into(), kind: Kind::Address }
    }
}

impl From<IpNet> for Id {
    fn from(net: IpNet) -> Self {
        let net = net.trunc();
        let address = python_text(net.network());
        let text = if net.prefix_len() == 0 { address } else { format!("{address}/{}", net.prefix_len()) };
        Id { text: text.into(), kind: Kind::Network }
    }
}

/// What a text says of the net, when it says anything.
enum Meaning {
    Address(IpAddr),
    Network(IpNet),
}

impl Meaning {
    fn of(text: &str) -> Option<Self> {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Meaning::Address(address.to_canonical()));
        }
        let (address, length) = bare.split_once('/')?;
        Self::of_network(address, length)
    }

    fn of_network(address: &str, length: &str) -> Option<Self> {
        let address: IpAddr = address.parse().ok()?;
        let bits: i64 = if address.is_ipv4() { 32 } else { 128 };
        let length = if length.contains(['.', ':']) {
            i64::from(ipnet::ip_mask_to_prefix(length.parse::<IpAddr>().ok()?).ok()?)
        } else {
            python_int(length)?
        };
        // A mask beyond the width is printed as the plain address (Fail2ban 1.0.2 does the same).
        // Differs: `::ffff:1.2.3.4/128` is the IPv4 address, as it is without a mask; Fail2ban bans an IPv6 one then.
        if !(0..bits).contains(&length) {
            return Some(Meaning::Address(address.to_canonical()));
        }
        Some(Meaning::Network(IpNet::new(address, length as u8).ok()?.trunc()))
    }
}

/// Python's `int()` of a text: blanks around it, a sign, and underscores between digits are fine.
fn python_int(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let well_placed =
        digits.split('_').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    if well_placed { text.replace('_', "").parse().ok() } else { None }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // Texts and results of Fail2ban 1.0.2.
    #[test]
    fn identities_have_fail2bans_canonical_text() {
        let cases = [
            ("[2001:db8::1]", "2001:db8::1"),
            ("[1.2.3.4]", "1.2.3.4"),
            ("2001:DB8::A", "2001:db8::a"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
            ("::1.2.3.4", "::1.2.3.4"),
            ("64:ff9b::1.2.3.4", "64:ff9b::102:304"),
            ("1.2.3.4/8", "1.0.0.0/8"),
            ("1.2.3.4/ 8", "1.0.0.0/8"),
            ("1.2.3.4/1_6", "1.2.0.0/16"),
            ("1.2.3.4/+8", "1.0.0.0/8"),
            ("1.2.3.4/-1", "1.2.3.4"),
            ("1.2.3.0/33", "1.2.3.0"),
            ("1.2.3.4/32", "1.2.3.4"),
            ("::1/129", "::1"),
            ("1.2.3.4/0", "0.0.0.0"),
            ("::/0", "::"),
            ("::/1", "::/1"),
            ("10.1.0.0/255.255.0.0", "10.1.0.0/16"),
            ("fe80::/ffff::", "fe80::/16"),
            ("1.2.3.4/ffff::", "1.2.0.0/16"),
            ("::ffff:10.9.0.0/112", "::ffff:10.9.0.0/112"),
            // Here Fail2ban says `::ffff:1.2.3.4`.
            ("::ffff:1.2.3.4/128", "1.2.3.4"),
            ("999.1.1.1", "999.1.1.1"),
            ("192.0.2.077", "192.0.2.077"),
            ("127.1", "127.1"),
            (" 1.2.3.4", " 1.2.3.4"),
            ("fe80::1%lo", "fe80::1%lo"),
            ("user", "user"),
        ];
        for (text, canonical) in cases {
            assert_eq!(Id::new(text).text(), canonical, "{text}");
            assert_eq!(Id::parse(text).unwrap().text(), canonical, "{text}");
        }
    }

    #[test]
    fn a_nonsensical_length_is_an_error_in_pythons_words() {
        let error = |text| Id::parse(text).unwrap_err().to_string();
        assert_eq!(error("1.2.3.4/255.0.255.0"), "invalid mask '255.0.255.0', no plen representation");
        assert_eq!(error("1.2.3.4/"), "invalid literal for int() with base 10: ''");
        assert_eq!(error("1.2.3.4/8/9"), "invalid literal for int() with base 10: '8/9'");
        assert_eq!(error("1.2.3.4/0xff"), "invalid literal for int() with base 10: '0xff'");
        assert_eq!(Id::new("1.2.3.4/8/9").family(), None);
    }

    #[test]
    fn everybody_is_covered_but_never_banned_by_length_zero() {
        let id = Id::new("0.0.0.0/0");
        assert_eq!(id.covers().unwrap().prefix_len(), 0);
        assert_eq!(id.net().unwrap().prefix_len(), 32);
        assert_eq!(id, Id::new("0.0.0.0"));
    }

    proptest! {
        #[test]
        fn the_canonical_text_names_the_same_identity(text in "[0-9a-f.:/]{0,24}") {
            let id = Id::new(&text);
            prop_assume!(id.covers().is_none_or(|net| net.prefix_len() != 0));
            let again = Id::new(id.text());
            prop_assert_eq!(again.text(), id.text());
            prop_assert_eq!(again.net(), id.net());
        }
    }
}
