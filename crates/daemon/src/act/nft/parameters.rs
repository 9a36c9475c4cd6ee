//! What a jail wants to have blocked, from the parameters of its action.

use super::error::Error;
use super::matching::{self, Answer};
use super::ports::{self, PortRange, Services};
use crate::act::preflight::Known;

/// What a jail wants to have blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// The jail's name, or the action's parameter `name`.
    pub name: String,
    /// Protocol numbers; none is all protocols.
    pub protocols: Vec<u8>,
    /// Ports; none is all ports.
    pub ports: Vec<PortRange>,
    /// What happens to a banned packet.
    pub answer: Answer,
}

impl Parameters {
    /// Reads an action's parameters, of the stock iptables and nftables actions alike: `port` as in `ssh,2222` or
    /// `0:65535` (`None` for the all-ports actions), `protocol` as in `tcp,udp` or `all`, `blocktype` as in `reject`,
    /// `DROP` or `REJECT --reject-with icmp-port-unreachable`.
    ///
    /// # Errors
    /// [`Error::Ports`] with the word that nobody knows; [`Error::Blocktype`] when packets are not to be blocked.
    pub fn read(
        name: &str,
        port: Option<&str>,
        protocol: &str,
        blocktype: &str,
        services: &Services,
    ) -> Result<Self, Error> {
        let mut protocols = ports::protocols(protocol)?;
        let port = port.filter(|port| !matches!(*port, "" | "all" | "any"));
        let ranges = match port {
            None => Vec::new(),
            Some(list) => {
                protocols = matching::protocols_with_ports(&protocols)?;
                let named = protocols.first().and_then(|number| ports::with_ports(*number)).unwrap_or("tcp");
                services.ports(list, named)?
            }
        };
        let ranges = if ranges == [(0, u16::MAX)] { Vec::new() } else { ranges };
        let blocktype = blocktype.to_ascii_lowercase();
        let answer = if blocktype.starts_with("drop") {
            Answer::Drop
        } else if (blocktype.contains("tcp-reset") || blocktype.contains("tcp reset")) && protocols == [6] {
            Answer::Reset
        } else if blocktype.is_empty() || blocktype.starts_with("reject") {
            Answer::Reject
        } else {
            return Err(Error::Blocktype(blocktype));
        };
        Ok(Parameters { name: name.to_owned(), protocols, ports: ranges, answer })
    }
}

impl Parameters {
    /// For use in the place of a stock action that cannot work here (its program is missing, mostly): the same ports,
    /// protocols and answer. A rule for new connections only (`iptables-new`) becomes one for all packets. It is named
    /// after the action's own chain or set (`f2b-sshd`), since a jail may have several such actions.
    ///
    /// # Errors
    /// As [`Parameters::read`].
    pub fn replacing(jail: &str, known: &Known, services: &Services) -> Result<Self, Error> {
        let name = [&known.chain, &known.set].into_iter().find(|name| !name.is_empty());
        let name = name.map_or(jail, String::as_str);
        let protocols = known.protocols.join(",");
        Parameters::read(name, known.ports.as_deref(), &protocols, &known.blocktype, services)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::preflight::Kind;

    #[test]
    fn two_actions_of_a_jail_are_replaced_by_two() {
        let known = |chain: &str, set: &str, ports: Option<&str>| Known {
            kind: Kind::Chain,
            program: "iptables".into(),
            chain: chain.into(),
            hooks: vec!["INPUT".into()],
            ports: ports.map(str::to_owned),
            protocols: vec!["tcp".into(), "udp".into()],
            only_new: false,
            set: set.into(),
            blocktype: "DROP".into(),
            nft: None,
        };
        let replacing = |known| Parameters::replacing("sshd", &known, &Services::default()).unwrap();
        let first = replacing(known("f2b-sshd", "", Some("ssh,8000:8010")));
        assert_eq!(
            (first.name.as_str(), first.ports.len(), &first.protocols[..]),
            ("f2b-sshd", 2, &[6, 17][..])
        );
        assert_eq!(replacing(known("", "f2b-sshd-web", None)).name, "f2b-sshd-web");
        assert_eq!(replacing(known("", "", None)).name, "sshd");
    }

    #[test]
    fn stock_parameters_are_understood() {
        let services = Services::default();
        let read = |port, protocol, blocktype| Parameters::read("j", port, protocol, blocktype, &services);
        let parameters = read(Some("ssh,2222"), "tcp", "REJECT --reject-with icmp-port-unreachable").unwrap();
        assert_eq!(
            (&parameters.protocols[..], &parameters.ports[..]),
            (&[6][..], &[(22, 22), (2222, 2222)][..])
        );
        assert_eq!(parameters.answer, Answer::Reject);
        assert_eq!(read(Some("0:65535"), "tcp", "DROP").unwrap().ports, []);
        assert_eq!(read(Some("0:65535"), "tcp", "DROP").unwrap().answer, Answer::Drop);
        assert!(read(None, "all", "reject").unwrap().protocols.is_empty());
        assert!(read(Some("nosuch"), "tcp", "reject").is_err());
        assert!(read(Some("22"), "icmp", "reject").is_err());
    }
}
