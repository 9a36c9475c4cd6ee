//! Banned, and still here: each way in which that can be is found out, said once with the remedy, and shown by
//! `portcullis status`.

// Helpers of tests are outside `#[test]` functions, where clippy looks for what tests may do.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use portcullis_compliance::{Host, Hosts, Peer, SERVER, wait_for, wrong_password};

/// A server that guards a port with this action.
fn guarded(banaction: &str, port: u16) -> Option<(Hosts, Peer)> {
    let (hosts, mut peer) = Peer::guarding()?;
    peer.write("auth.log", "");
    peer.write(
        "conf/jail.local",
        &format!(
            "[gate]\nenabled = true\nfilter = dropbear\nport = {port}\nlogpath = @DIR@/auth.log\nmaxretry = 50\nbanaction = {banaction}\n"
        ),
    );
    peer.start();
    Some((hosts, peer))
}

/// Bans an address, lets it be banned for a while, and lets it fail again until the log says `text`. Then the log and the
/// status are told only once.
fn fails_until(peer: &Peer, address: &str, text: &str) {
    let said = wait_for(Duration::from_secs(30), || {
        peer.append("auth.log", &wrong_password(address));
        std::thread::sleep(Duration::from_millis(300));
        peer.log().contains(text).then_some(())
    });
    assert!(said.is_some(), "not said: {text}\n{}", peer.log());
    let once = peer.log().lines().filter(|line| line.contains("is banned and still here")).count();
    assert_eq!(once, 1, "{}", peer.log());
}

fn status(peer: &Peer, options: &[&str]) -> portcullis_compliance::Output {
    peer.run("portcullis", &[&["status", "-c", "@DIR@/conf", "-s", "@DIR@/f2b.sock"], options].concat())
}

/// Something in Python on a host: there is one in every place where the genuine program runs. It has said `ready`.
struct Running(Child);

impl Running {
    fn new(host: &Host, text: &str) -> Self {
        let mut command = host.command("/usr/bin/env");
        command.args(["python3", "-uc", &format!("import socket\n{text}\nprint('ready')\ninput()")]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Running(child)
    }

    fn server(hosts: &Hosts, port: u16) -> Self {
        Running::new(&hosts.server, &format!("s = socket.create_server(('', {port}))"))
    }

    fn client(hosts: &Hosts, from: &str, port: u16) -> Self {
        let text = format!(
            "s = socket.create_connection(('{SERVER}', {port}), source_address=('{from}', 0), timeout=10)"
        );
        Running::new(&hosts.attacker, &text)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_ban_that_somebody_has_taken_out_of_the_kernel_is_put_back_and_told() {
    let Some((hosts, mut peer)) = guarded("iptables-ipset-proto6", 2222) else { return };
    peer.client(&["set", "gate", "banip", "192.0.2.66"]);
    // The kernel tells nobody of changes to an ipset; but of those that the action made at its start.
    std::thread::sleep(Duration::from_secs(3));
    hosts.server.sh("ipset del f2b-gate 192.0.2.66");
    fails_until(
        &peer,
        "192.0.2.66",
        "192.0.2.66 is banned and still here: the ban of action 'iptables-ipset-proto6' was not in force",
    );
    assert!(hosts.server.sh("ipset list f2b-gate").contains("192.0.2.66"));
    let json = status(&peer, &["--json"]).stdout;
    assert!(json.contains("\"cause\": \"lost\"") && json.contains("\"mended\": true"), "{json}");
    peer.stop();
}

#[test]
fn an_attacker_at_another_port_than_the_jails_is_told() {
    for banaction in ["nftables-multiport", "iptables-multiport"] {
        let Some((hosts, mut peer)) = guarded(banaction, 22) else { return };
        let _server = Running::server(&hosts, 2222);
        peer.client(&["set", "gate", "banip", "192.0.2.66"]);
        let _attacker = Running::client(&hosts, "192.0.2.66", 2222);
        fails_until(
            &peer,
            "192.0.2.66",
            "[gate] 192.0.2.66 is banned and still here: connected to port 2222",
        );
        assert!(
            peer.log().contains("and the jail closes port 22. Add 2222 to the jail's port"),
            "{}",
            peer.log()
        );
        let told = status(&peer, &[]);
        assert_eq!(told.status, 1, "{told}");
        assert!(
            told.stdout.contains("192.0.2.66 is banned and still here: connected to port 2222"),
            "{told}"
        );
        // With the ban it ends.
        peer.client(&["set", "gate", "unbanip", "192.0.2.66"]);
        assert_eq!(status(&peer, &[]).status, 0, "{}", status(&peer, &[]));
        peer.stop();
    }
}

#[test]
fn that_nobody_listens_on_the_jails_port_is_told() {
    let Some((hosts, mut peer)) = guarded("nftables-multiport", 22) else { return };
    let _server = Running::server(&hosts, 2222);
    peer.client(&["set", "gate", "banip", "192.0.2.66"]);
    fails_until(
        &peer,
        "192.0.2.66",
        "still here: the jail closes port 22, on which nothing listens; listening are 2222 (",
    );
    assert!(peer.log().contains("Set the jail's port = 2222"), "{}", peer.log());
    peer.stop();
}

#[test]
fn a_rule_before_the_jails_that_accepts_is_told() {
    let Some((hosts, mut peer)) = guarded("iptables-multiport", 2222) else { return };
    let _server = Running::server(&hosts, 2222);
    let _attacker = Running::client(&hosts, "192.0.2.66", 2222);
    peer.client(&["set", "gate", "banip", "192.0.2.66"]);
    hosts.server.sh("iptables -I INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT");
    fails_until(
        &peer,
        "192.0.2.66",
        "still here: a rule before the jail's in INPUT lets the packets pass: -A INPUT",
    );
    assert!(peer.log().contains("RELATED,ESTABLISHED"), "{}", peer.log());
    peer.stop();
}

#[test]
fn a_connection_from_before_the_ban_is_told() {
    let Some((hosts, mut peer)) = guarded("nftables-multiport", 2222) else { return };
    let _server = Running::server(&hosts, 2222);
    let _attacker = Running::client(&hosts, "192.0.2.66", 2222);
    peer.client(&["set", "gate", "banip", "192.0.2.66"]);
    fails_until(
        &peer,
        "192.0.2.66",
        "still here: a connection to port 2222 from before the ban is still open",
    );
    peer.stop();
}

#[test]
fn packets_that_are_forwarded_past_the_ban_are_told() {
    let Some((hosts, mut peer)) = guarded("iptables-multiport", 2222) else { return };
    // A container, as far as the kernel has to do with it.
    hosts.server.sh("echo 1 >/proc/sys/net/ipv4/ip_forward
         ip link add box type veth peer name inside && ip addr add 198.51.100.1/24 dev box && ip link set box up && ip link set inside up
         ip neigh add 198.51.100.2 lladdr 02:00:00:00:00:02 dev box nud permanent
         nft add table ip nat
         nft add chain ip nat pre '{ type nat hook prerouting priority dstnat; }'
         nft add rule ip nat pre tcp dport 2222 dnat to 198.51.100.2:22");
    peer.client(&["set", "gate", "banip", "192.0.2.66"]);
    let _knocking = Running::new(
        &hosts.attacker,
        "s = socket.socket()\ns.bind(('192.0.2.66', 0))\ns.setblocking(False)\ns.connect_ex(('192.0.2.1', 2222))",
    );
    fails_until(
        &peer,
        "192.0.2.66",
        "still here: port 2222 is forwarded to 198.51.100.2 (a container?), and the ban is in INPUT",
    );
    peer.stop();
}

#[test]
fn that_a_proxy_brings_what_the_log_tells_is_told() {
    let Some((hosts, mut peer)) = guarded("nftables-multiport", 2222) else { return };
    let _server = Running::server(&hosts, 2222);
    let _proxy = Running::client(&hosts, "192.0.2.7", 2222);
    peer.client(&["set", "gate", "banip", "203.0.113.9"]);
    fails_until(
        &peer,
        "203.0.113.9",
        "no connection of this address reaches this machine; connected to the jail's ports is 192.0.2.7",
    );
    peer.stop();
}

#[test]
fn that_the_log_is_not_this_machines_is_told() {
    let Some((hosts, mut peer)) = guarded("nftables-multiport", 2222) else { return };
    let _server = Running::server(&hosts, 2222);
    peer.client(&["set", "gate", "banip", "203.0.113.9"]);
    fails_until(&peer, "203.0.113.9", "still here: nothing of this address reaches this machine");
    peer.stop();
}
