//! The kernel's sockets, by `sock_diag` (sock_diag(7), `linux/inet_diag.h`): who is connected with whom, who listens; and the
//! end of a connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::netlink::Talk;
use crate::act::nft::Error;
use crate::act::nft::decode::Message;
use crate::act::nft::encode::Writer;
use crate::act::nft::uapi::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};

/// The number of TCP.
pub const TCP: u8 = 6;
/// The number of UDP.
pub const UDP: u8 = 17;

const NETLINK_SOCK_DIAG: isize = 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// Length of `struct inet_diag_sockid`.
const ID: usize = 48;

/// Which sockets are meant. The numbers are those of `enum` in `net/tcp_states.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All with a peer that can still be ended: half open, open, and half closed.
    Connected,
    /// Those that wait for connections (TCP), or for datagrams of anybody (UDP).
    Listening,
}

impl State {
    fn mask(self, protocol: u8) -> u32 {
        let states: &[u32] = match (self, protocol) {
            // ESTABLISHED, SYN_SENT, SYN_RECV, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING, NEW_SYN_RECV
            (State::Connected, TCP) => &[1, 2, 3, 4, 5, 8, 9, 11, 12],
            (State::Connected, _) => &[1],
            (State::Listening, TCP) => &[10],
            (State::Listening, _) => &[7],
        };
        states.iter().map(|state| 1 << state).sum()
    }
}

/// A socket of this machine. An IPv4 address in IPv6's clothes is shown as what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// [`TCP`] or [`UDP`]
    pub protocol: u8,
    /// Our end.
    pub local: SocketAddr,
    /// The other end; port 0 for one that listens.
    pub peer: SocketAddr,
    /// By which `/proc/PID/fd` knows it; 0 when no process has it yet.
    pub inode: u32,
    family: u8,
    id: [u8; ID],
}

/// The kernel's list of sockets, of our own network namespace.
#[derive(Debug)]
pub struct Sockets(Talk);

impl Sockets {
    /// Opens the list.
    ///
    /// # Errors
    /// [`Error::Socket`]: the kernel has no `sock_diag`.
    pub fn open() -> Result<Self, Error> {
        Talk::open(NETLINK_SOCK_DIAG).map(Sockets)
    }

    /// Visits all sockets of a protocol in that state, of both families.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn each(
        &mut self,
        protocol: u8,
        state: State,
        mut visit: impl FnMut(&Connection),
    ) -> Result<(), Error> {
        for family in [AF_INET, AF_INET6] {
            let mut request = Writer::default();
            let body = body(family, protocol, state.mask(protocol), &[0; ID]);
            request.plain_message(SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, &body);
            let seen = self.0.dump("list sockets", request, |answer| {
                if let Some(connection) = read(answer, protocol) {
                    visit(&connection);
                }
            });
            match seen {
                // A kernel without IPv6, or without the module for UDP.
                Err(Error::Refused { .. }) if family == AF_INET6 || protocol != TCP => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Ends a connection: both ends see a reset. Whether it was still there.
    ///
    /// # Errors
    /// [`Error::Refused`] with EOPNOTSUPP: the kernel was built without CONFIG_INET_DIAG_DESTROY.
    pub fn destroy(&mut self, connection: &Connection) -> Result<bool, Error> {
        let mut request = Writer::default();
        let body = body(connection.family, connection.protocol, u32::MAX, &connection.id);
        request.plain_message(SOCK_DESTROY, NLM_F_REQUEST | NLM_F_ACK, &body);
        let what = format!("end the connection of {}", connection.peer);
        match self.0.order(&what, request) {
            Ok(()) => Ok(true),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// `struct inet_diag_req_v2`
fn body(family: u8, protocol: u8, states: u32, id: &[u8; ID]) -> Vec<u8> {
    let mut body = vec![family, protocol, 0, 0];
    body.extend_from_slice(&states.to_ne_bytes());
    body.extend_from_slice(id);
    body
}

/// `struct inet_diag_msg`: family, state, timer, retransmissions; the id; five numbers, the last of them the inode.
fn read(answer: &Message<'_>, protocol: u8) -> Option<Connection> {
    let family = *answer.payload.first()?;
    let id: &[u8; ID] = answer.payload.get(4..)?.first_chunk()?;
    let inode: &[u8; 4] = answer.payload.get(4 + ID + 16..)?.first_chunk()?;
    let port = |at: usize| u16::from_be_bytes([id[at], id[at + 1]]);
    Some(Connection {
        protocol,
        local: SocketAddr::new(address(family, &id[4..20])?, port(0)),
        peer: SocketAddr::new(address(family, &id[20..36])?, port(2)),
        inode: u32::from_ne_bytes(*inode),
        family,
        id: *id,
    })
}

fn address(family: u8, bytes: &[u8]) -> Option<IpAddr> {
    match family {
        AF_INET => bytes.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets).into()),
        AF_INET6 => bytes.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets).to_canonical()),
        _ => None,
    }
}
