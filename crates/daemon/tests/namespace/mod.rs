//! Runs a test in a network namespace of its own, so that no test touches the machine's ruleset.
//!
//! The test's binary starts itself again under `unshare`. As root a missing part of the kernel is a failure; without
//! root, a user namespace is tried, and where that is forbidden the test says so and counts as skipped.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType};

const INSIDE: &str = "PORTCULLIS_TEST_NAMESPACE";

/// Runs `body` in a fresh network namespace with `lo` up. `name` is the test function's path.
pub(crate) fn in_namespace(name: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        loopback_up();
        return body();
    }
    let root = rustix::process::geteuid().is_root();
    let namespace = if root { "-n" } else { "-Urn" };
    if !root
        && !Command::new("unshare").args([namespace, "true"]).status().is_ok_and(|status| status.success())
    {
        eprintln!("skipped {name}: needs root, or leave to make user namespaces");
        return;
    }
    let status = Command::new("unshare")
        .arg(namespace)
        .arg("--")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare is part of util-linux");
    assert!(status.success(), "{name} failed in its namespace");
}

/// What a program prints. Panics when it fails.
pub(crate) fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stderr(Stdio::inherit()).output().expect(program);
    assert!(output.status.success(), "{program} {arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a tool for comparison is on PATH; says so if not.
pub(crate) fn has(tool: &str) -> bool {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|directory| directory.join(tool).exists());
    if !found {
        eprintln!("skipped the comparison with {tool}: it is not on PATH");
    }
    found
}

/// The ruleset as `nft` lists it.
pub(crate) fn ruleset() -> String {
    output("nft", &["list", "ruleset"])
}

/// RTM_NEWLINK for interface 1 with IFF_UP: what `ip link set lo up` sends.
fn loopback_up() {
    let mut socket = netlink_sys::Socket::new(netlink_sys::protocols::NETLINK_ROUTE).unwrap();
    socket.bind_auto().unwrap();
    let mut message = Vec::new();
    message.extend_from_slice(&32u32.to_ne_bytes());
    message.extend_from_slice(&16u16.to_ne_bytes());
    message.extend_from_slice(&5u16.to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(&1i32.to_ne_bytes());
    message.extend_from_slice(&1u32.to_ne_bytes());
    message.extend_from_slice(&1u32.to_ne_bytes());
    socket.send_to(&message, &netlink_sys::SocketAddr::new(0, 0), 0).unwrap();
    let (answer, _) = socket.recv_from_full().unwrap();
    assert_eq!(answer[16..20], [0; 4], "lo must come up");
}

/// Connects from an address to a port of the same family's loopback.
pub(crate) fn connect(from: &str, port: u16) -> Result<(), rustix::io::Errno> {
    let from: IpAddr = from.parse().unwrap();
    let (family, to): (_, IpAddr) = if from.is_ipv4() {
        (AddressFamily::INET, "127.0.0.1".parse().unwrap())
    } else {
        (AddressFamily::INET6, "::1".parse().unwrap())
    };
    let socket = rustix::net::socket(family, SocketType::STREAM, None).unwrap();
    // The first refusal may meet a socket that is still busy connecting; the repetition comes after a second.
    rustix::net::sockopt::set_socket_timeout(
        &socket,
        rustix::net::sockopt::Timeout::Send,
        Some(
            // The first refusal may meet a socket that is still busy connecting; the repetition comes after a second.
            Duration::from_millis(2500),
        ),
    )
    .unwrap();
    rustix::net::bind(&socket, &SocketAddr::new(from, 0)).unwrap();
    rustix::net::connect(&socket, &SocketAddr::new(to, port))
}

/// A server on all addresses of the loopback.
pub(crate) fn listen(address: &str) -> TcpListener {
    TcpListener::bind(address).unwrap()
}
