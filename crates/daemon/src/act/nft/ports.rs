//! Ports and protocols as jails name them: `ssh,2222`, `0:65535`, `http,https`, `tcp,udp`, `all`.

/// Why a list of ports or protocols cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// No such service.
    #[error(
        "unknown port '{0}': it is neither a number from 0 to 65535 nor a name in /etc/services. Write the number"
    )]
    Port(String),
    /// A range whose end comes before its beginning.
    #[error("port range '{0}' ends before it begins")]
    Range(String),
    /// No such protocol.
    #[error(
        "unknown protocol '{0}': use tcp, udp, udplite, sctp, dccp, icmp, ipv6-icmp, esp, ah, a number, or all"
    )]
    Protocol(String),
    /// A protocol that has no ports, where ports are given.
    #[error("protocol '{0}' has no ports: use an action for all ports")]
    NoPorts(String),
}

/// A range of ports, both ends included.
pub type PortRange = (u16, u16);

/// Services that a machine without `/etc/services` (a container, mostly) is guarded for all the same. The numbers are
/// IANA's.
const SERVICES: [(&str, u16); 46] = [
    ("ftp", 21),
    ("ftp-data", 20),
    ("ftps", 990),
    ("ftps-data", 989),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("mail", 25),
    ("domain", 53),
    ("tftp", 69),
    ("http", 80),
    ("www", 80),
    ("pop3", 110),
    ("pop-3", 110),
    ("sunrpc", 111),
    ("nntp", 119),
    ("ntp", 123),
    ("imap2", 143),
    ("imap", 143),
    ("snmp", 161),
    ("imap3", 220),
    ("ldap", 389),
    ("https", 443),
    ("submissions", 465),
    ("smtps", 465),
    ("ssmtp", 465),
    ("urd", 465),
    ("syslog", 514),
    ("submission", 587),
    ("ldaps", 636),
    ("rsync", 873),
    ("imaps", 993),
    ("pop3s", 995),
    ("socks", 1080),
    ("openvpn", 1194),
    ("ms-sql-s", 1433),
    ("mysql", 3306),
    ("rdp", 3389),
    ("ms-wbt-server", 3389),
    ("sieve", 4190),
    ("sip", 5060),
    ("sip-tls", 5061),
    ("postgresql", 5432),
    ("http-alt", 8080),
    ("webcache", 8080),
    ("webmin", 10000),
];

/// Protocols by name, with IANA's numbers.
const PROTOCOLS: [(&str, u8); 11] = [
    ("tcp", 6),
    ("udp", 17),
    ("udplite", 136),
    ("sctp", 132),
    ("dccp", 33),
    ("icmp", 1),
    ("ipv6-icmp", 58),
    ("icmpv6", 58),
    ("esp", 50),
    ("ah", 51),
    ("gre", 47),
];

/// Where service names are looked up: the text of `/etc/services`, then a small table of our own.
#[derive(Clone, Debug, Default)]
pub struct Services {
    text: String,
}

impl Services {
    /// Reads `/etc/services`; a machine may have none.
    pub fn system() -> Self {
        Services { text: std::fs::read_to_string("/etc/services").unwrap_or_default() }
    }

    /// From text in the format of `/etc/services`.
    pub fn from_text(text: &str) -> Self {
        Services { text: text.to_owned() }
    }

    /// The port of a service, as `getservbyname` finds it; any protocol's entry will do when `protocol` has none.
    pub fn port(&self, name: &str, protocol: &str) -> Option<u16> {
        let entries = self.text.lines().filter_map(|line| {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let (official, port) = (words.next()?, words.next()?);
            let (port, entry_protocol) = port.split_once('/')?;
            let named = official == name || words.any(|alias| alias == name);
            named.then(|| Some((port.parse::<u16>().ok()?, entry_protocol)))?
        });
        let found: Vec<_> = entries.collect();
        found
            .iter()
            .find(|(_, entry)| *entry == protocol)
            .or(found.first())
            .map(|(port, _)| *port)
            .or_else(|| SERVICES.iter().find(|(service, _)| *service == name).map(|(_, port)| *port))
    }

    /// Reads a list of ports: names, numbers, ranges with `:` or `-`. The result is sorted, overlaps are joined.
    ///
    /// # Errors
    /// [`PortError::Port`], [`PortError::Range`].
    pub fn ports(&self, list: &str, protocol: &str) -> Result<Vec<PortRange>, PortError> {
        let mut ranges = Vec::new();
        for word in list.split([',', ' ', '\t', '\n']).filter(|word| !word.is_empty()) {
            ranges.push(self.range(word, protocol)?);
        }
        Ok(join(ranges))
    }

    fn range(&self, word: &str, protocol: &str) -> Result<PortRange, PortError> {
        // A service's name may hold a dash (`ftp-data`): names first.
        if let Some(port) = self.one(word, protocol) {
            return Ok((port, port));
        }
        let unknown = || PortError::Port(word.to_owned());
        let (first, last) = word.split_once(':').or_else(|| word.split_once('-')).ok_or_else(unknown)?;
        // `1024:` and `:1023` as in iptables.
        let first = if first.is_empty() { Some(0) } else { self.one(first, protocol) }.ok_or_else(unknown)?;
        let last =
            if last.is_empty() { Some(u16::MAX) } else { self.one(last, protocol) }.ok_or_else(unknown)?;
        if first > last { Err(PortError::Range(word.to_owned())) } else { Ok((first, last)) }
    }

    fn one(&self, word: &str, protocol: &str) -> Option<u16> {
        if word.bytes().all(|byte| byte.is_ascii_digit()) {
            return word.parse().ok();
        }
        self.port(word, protocol)
    }
}

/// Sorts, and joins what overlaps; where there is any range, neighbours too: as `nft` does.
fn join(mut ranges: Vec<PortRange>) -> Vec<PortRange> {
    ranges.sort_unstable();
    let gap = u16::from(ranges.iter().any(|(first, last)| first != last));
    let mut joined: Vec<PortRange> = Vec::new();
    for (first, last) in ranges {
        match joined.last_mut() {
            Some(previous) if first <= previous.1.saturating_add(gap) => previous.1 = previous.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    joined
}

/// Reads a list of protocols. `all` (or `any`, or nothing) is every protocol: an empty list.
///
/// # Errors
/// [`PortError::Protocol`]
pub fn protocols(list: &str) -> Result<Vec<u8>, PortError> {
    let mut numbers = Vec::new();
    for word in list.split([',', ' ', '\t', '\n']).filter(|word| !word.is_empty()) {
        if matches!(word, "all" | "any") {
            return Ok(Vec::new());
        }
        let number = word.parse::<u8>().ok();
        let named = PROTOCOLS.iter().find(|(name, _)| *name == word).map(|(_, number)| *number);
        let number = number.or(named).ok_or_else(|| PortError::Protocol(word.to_owned()))?;
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    Ok(numbers)
}

/// A protocol's name, when it has ports.
pub(super) fn with_ports(number: u8) -> Option<&'static str> {
    matches!(number, 6 | 17 | 33 | 132 | 136)
        .then(|| PROTOCOLS.iter().find(|(_, other)| *other == number).map(|(name, _)| *name))?
}

/// A protocol's name, or its number.
pub(super) fn protocol_name(number: u8) -> String {
    let named = PROTOCOLS.iter().find(|(_, other)| *other == number);
    named.map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_come_from_etc_services_first() {
        let services = Services::from_text("ssh 2022/tcp\nfoo\t4711/udp bar # ssh 1/tcp\n");
        assert_eq!(services.ports("ssh", "tcp"), Ok(vec![(2022, 2022)]));
        assert_eq!(services.ports("bar", "tcp"), Ok(vec![(4711, 4711)]));
    }

    #[test]
    fn well_known_names_need_no_etc_services() {
        let services = Services::default();
        assert_eq!(
            services.ports("ssh,http,https,smtp", "tcp"),
            Ok(vec![(22, 22), (25, 25), (80, 80), (443, 443)])
        );
    }

    #[test]
    fn the_entry_of_the_protocol_wins() {
        let services = Services::from_text("rsh 514/tcp\nsyslog 514/udp\nx 1/udp\nx 2/tcp\n");
        assert_eq!(services.port("x", "tcp"), Some(2));
        assert_eq!(services.port("x", "udp"), Some(1));
    }

    #[test]
    fn ranges_have_colons_or_dashes_and_open_ends() {
        let services = Services::default();
        assert_eq!(services.ports("1000:2000", "tcp"), Ok(vec![(1000, 2000)]));
        assert_eq!(services.ports("ftp-data:ssh", "tcp"), Ok(vec![(20, 22)]));
        assert_eq!(services.ports("60000:,:5 ssh-telnet", "tcp"), Ok(vec![(0, 5), (22, 23), (60000, 65535)]));
    }

    #[test]
    fn nonsense_is_told_by_name() {
        let services = Services::default();
        assert_eq!(services.ports("ssh,nosuch", "tcp"), Err(PortError::Port("nosuch".into())));
        assert_eq!(services.ports("70000", "tcp"), Err(PortError::Port("70000".into())));
        assert_eq!(services.ports("30:20", "tcp"), Err(PortError::Range("30:20".into())));
        assert_eq!(protocols("tcp,quic"), Err(PortError::Protocol("quic".into())));
    }

    #[test]
    fn all_protocols_are_an_empty_list() {
        assert_eq!(protocols("all"), Ok(vec![]));
        assert_eq!(protocols("tcp,udp,tcp"), Ok(vec![6, 17]));
    }

    proptest! {
        #[test]
        fn joined_ranges_cover_the_same_ports(ranges in prop::collection::vec((any::<u16>(), 0u16..500), 0..12), probe in any::<u16>()) {
            let ranges: Vec<PortRange> = ranges.into_iter().map(|(a, n)| (a, a.saturating_add(n))).collect();
            let joined = join(ranges.clone());
            let holds = |all: &[PortRange], port| all.iter().any(|(a, b)| (*a..=*b).contains(&port));
            for port in ranges.iter().flat_map(|(a, b)| [*a, *b, a.wrapping_sub(1), b.wrapping_add(1)]).chain([probe]) {
                prop_assert_eq!(holds(&ranges, port), holds(&joined, port));
            }
            prop_assert!(joined.windows(2).all(|w| w[0].1 < w[1].0));
        }
    }
}
