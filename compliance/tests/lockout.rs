//! Nobody who looks after the machine is locked out by detection: an administrator who is logged in, the gateway, the
//! machine itself. An attacker who is only connected is.

// Helpers of tests are outside `#[test]` functions, where clippy looks for what tests may do.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Stdio};

use portcullis_compliance::{FRIEND, Host, Hosts, Peer, SERVER, wrong_password};

const JAIL: &str = "[gate]
enabled = true
filter = dropbear
port = 2222
logpath = @DIR@/auth.log
ignoreself = false
maxretry = 3
banaction = nftables-multiport
";

fn guarded(settings: &str) -> Option<(Hosts, Peer)> {
    let (hosts, mut peer) = Peer::guarding()?;
    peer.write("auth.log", "");
    peer.write("conf/jail.local", JAIL);
    peer.write("conf/portcullis.conf", settings);
    peer.start();
    Some((hosts, peer))
}

/// Three wrong passwords from somewhere, as dropbear tells them.
fn three_failures(peer: &Peer, from: &str) {
    peer.append("auth.log", &wrong_password(from).repeat(3));
}

/// A connection from one of the attacker's addresses to the server's port 2222, open until the child ends. There is a
/// Python in every place where the genuine program runs.
fn connection(hosts: &Hosts, from: &str) -> [Child; 2] {
    let python = |host: &Host, text: &str| {
        let mut command = host.command("/usr/bin/env");
        command.args(["python3", "-uc", text]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        child
    };
    let server = python(
        &hosts.server,
        "import socket\ns = socket.create_server(('', 2222))\nprint('ready')\nheld = s.accept()\ninput()",
    );
    let client = python(
        &hosts.attacker,
        &format!(
            "import socket\ns = socket.create_connection(('{SERVER}', 2222), source_address=('{from}', 0))\nprint('ready')\ninput()"
        ),
    );
    [server, client]
}

fn end(children: [Child; 2]) {
    for mut child in children {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Writes down that a user is logged in from an address (utmp(5)).
fn log_in(host: &Host, user: &str, from: std::net::Ipv4Addr) {
    let wide = cfg!(any(target_arch = "aarch64", target_arch = "riscv64", target_arch = "loongarch64"));
    let (size, address) = if wide { (400, 360) } else { (384, 348) };
    let mut record = vec![0_u8; size];
    record[..2].copy_from_slice(&7_i16.to_ne_bytes());
    record[8..13].copy_from_slice(b"pts/0");
    record[44..44 + user.len()].copy_from_slice(user.as_bytes());
    record[address..address + 4].copy_from_slice(&from.octets());
    let mut tee =
        host.command("tee").arg("/run/utmp").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    tee.stdin.take().unwrap().write_all(&record).unwrap();
    assert!(tee.wait().unwrap().success());
}

fn friend() -> std::net::Ipv4Addr {
    FRIEND.to_string().parse().unwrap()
}

const ON: &str = "[DEFAULT]\nprotectadmin = true\n";

#[test]
fn an_administrator_who_is_logged_in_is_not_banned_and_the_log_tells_why() {
    let Some((hosts, mut peer)) = guarded(ON) else { return };
    let open = connection(&hosts, "192.0.2.7");
    log_in(&hosts.server, "root", friend());
    three_failures(&peer, "192.0.2.7");
    peer.wait_log("NOT banning 192.0.2.7 after 3 failure(s): root is logged in from there (pts/0)");
    // Somebody else, who is connected as well, is.
    three_failures(&peer, "192.0.2.66");
    peer.wait_log("Ban 192.0.2.66");
    assert!(!peer.log().contains("Ban 192.0.2.7\n"), "{}", peer.log());
    // By hand one may do what one likes.
    peer.client(&["set", "gate", "banip", "192.0.2.7"]);
    assert!(peer.client(&["get", "gate", "banned"]).stdout.contains("192.0.2.7'"));
    end(open);
    peer.stop();
}

#[test]
fn to_be_connected_or_written_down_or_anybody_is_not_enough() {
    let Some((hosts, mut peer)) = guarded(ON) else { return };
    // Written down, and no longer connected: a crash leaves such records.
    log_in(&hosts.server, "root", friend());
    three_failures(&peer, "192.0.2.7");
    peer.wait_log("Ban 192.0.2.7");
    peer.client(&["unban", "--all"]);
    // Connected, and not logged in: the attacker at the door.
    let open = connection(&hosts, "192.0.2.66");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    three_failures(&peer, "192.0.2.66");
    peer.wait_log("Ban 192.0.2.66");
    // Connected and logged in, but nobody who could mend anything.
    log_in(&hosts.server, "nobody", "192.0.2.66".parse().unwrap());
    peer.client(&["unban", "--all"]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    three_failures(&peer, "192.0.2.66");
    peer.wait_log_times("Ban 192.0.2.66", 2);
    end(open);
    peer.stop();
}

#[test]
fn the_gateway_and_the_machine_itself_are_not_banned() {
    let Some((hosts, mut peer)) = guarded(ON) else { return };
    hosts.server.sh("ip route add default via 192.0.2.7; ip -6 route add default via 2001:db8::7");
    for (from, why) in [
        ("192.0.2.7", "it is the gateway of gate"),
        ("2001:db8::7", "it is the gateway of gate"),
        ("192.0.2.1", "it is this machine itself (gate)"),
        ("127.0.0.1", "it is this machine itself (lo)"),
    ] {
        three_failures(&peer, from);
        peer.wait_log(&format!("NOT banning {from} after 3 failure(s): {why}"));
    }
    assert!(!peer.log().contains("] Ban "), "{}", peer.log());
    peer.stop();
}

#[test]
fn under_fail2bans_configuration_nobody_is_spared_unless_it_is_set() {
    let Some((hosts, mut peer)) = guarded("") else { return };
    let open = connection(&hosts, "192.0.2.7");
    log_in(&hosts.server, "root", friend());
    three_failures(&peer, "192.0.2.7");
    peer.wait_log("Ban 192.0.2.7");
    end(open);
    peer.stop();
}
