//! The kernel's sockets: found with who is at the other end, and ended; IPv4, IPv6, IPv4 in IPv6's clothes, UDP.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod namespace;

use std::io::{ErrorKind, Read as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use namespace::in_namespace;
use portcullis_daemon::act::sockets::{Connection, Sockets, State, TCP, UDP};

fn all(protocol: u8, state: State) -> Vec<Connection> {
    let mut found = Vec::new();
    Sockets::open().unwrap().each(protocol, state, |connection| found.push(*connection)).unwrap();
    found
}

/// A server on `listen`, a client that connects to `dial`: the client, the server's end, and both ends as the kernel lists
/// the server's.
fn connected(listen: &str, dial: &str) -> (TcpStream, TcpStream, Connection) {
    let server = TcpListener::bind(listen).unwrap();
    let port = server.local_addr().unwrap().port();
    let client = TcpStream::connect((dial.parse::<IpAddr>().unwrap(), port)).unwrap();
    let (accepted, _) = server.accept().unwrap();
    let peer = client.local_addr().unwrap();
    let listed = all(TCP, State::Connected).into_iter().find(|c| c.peer == peer).expect("it is listed");
    assert_eq!(listed.local, SocketAddr::new(dial.parse().unwrap(), port));
    (client, accepted, listed)
}

#[test]
fn a_connection_is_ended_at_both_ends_whatever_its_family() {
    in_namespace("a_connection_is_ended_at_both_ends_whatever_its_family", || {
        for (listen, dial) in
            [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("[::]:0", "127.0.0.1"), ("[::]:0", "::1")]
        {
            let (mut client, mut accepted, listed) = connected(listen, dial);
            let mut sockets = Sockets::open().unwrap();
            assert_eq!(sockets.destroy(&listed), Ok(true), "{listen} {dial}");
            client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            assert_eq!(
                client.read(&mut [0]).unwrap_err().kind(),
                ErrorKind::ConnectionReset,
                "{listen} {dial}"
            );
            assert_eq!(accepted.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionAborted);
            assert_eq!(sockets.destroy(&listed), Ok(false), "it has gone, which is no error");
            assert!(!all(TCP, State::Connected).contains(&listed));
        }
    });
}

#[test]
fn a_connection_that_nobody_has_accepted_yet_is_ended_too() {
    in_namespace("a_connection_that_nobody_has_accepted_yet_is_ended_too", || {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        let peer = client.local_addr().unwrap();
        let listed = all(TCP, State::Connected).into_iter().find(|c| c.peer == peer).unwrap();
        assert_eq!(Sockets::open().unwrap().destroy(&listed), Ok(true));
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn listeners_and_connected_datagram_sockets_are_told_apart() {
    in_namespace("listeners_and_connected_datagram_sockets_are_told_apart", || {
        let server = TcpListener::bind("[::]:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let open = UdpSocket::bind("127.0.0.1:0").unwrap();
        let connected = UdpSocket::bind("127.0.0.1:0").unwrap();
        connected.connect(open.local_addr().unwrap()).unwrap();
        let listening: Vec<u16> = all(TCP, State::Listening).iter().map(|c| c.local.port()).collect();
        assert_eq!(listening, [port]);
        let open_ports: Vec<u16> = all(UDP, State::Listening).iter().map(|c| c.local.port()).collect();
        assert_eq!(open_ports, [open.local_addr().unwrap().port()]);
        let found = all(UDP, State::Connected);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].peer, open.local_addr().unwrap());
        assert_eq!(Sockets::open().unwrap().destroy(&found[0]), Ok(true));
    });
}
