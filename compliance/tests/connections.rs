//! A ban ends what the attacker has open: whoever is connected already gets no further try. A real dropbear, a real kernel.

// Helpers of tests are outside `#[test]` functions, where clippy looks for what tests may do.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Stdio};
use std::time::Duration;

use portcullis_compliance::{ATTACKER, Attempt, FRIEND, Gate, Peer, SERVER, Who, skip, wait_for};

/// A gate with our server, as it guards dropbear with this action and these settings in `portcullis.conf`.
fn gate(banaction: &str, settings: &str) -> Option<(Gate, Peer)> {
    let gate = match Gate::new() {
        Ok(gate) => gate,
        Err(reason) => {
            skip(&reason);
            return None;
        }
    };
    let mut peer = Peer::new(Who::Ours)?;
    peer.on(&gate.hosts.server);
    // Our own action, which the Debian configuration does not have.
    peer.add_own_action();
    let log = gate.auth_log();
    let jail = format!(
        "[dropbear]\nenabled = true\nport = ssh\nbackend = auto\nmaxretry = 5\nlogpath = {}\nbanaction = {banaction}\n",
        log.display()
    );
    peer.write("conf/jail.local", &jail);
    peer.write("conf/portcullis.conf", settings);
    peer.start();
    Some((gate, peer))
}

/// An ssh to the server from one of the attacker's addresses, with passwords from a program.
fn ssh(gate: &Gate, from: std::net::IpAddr) -> std::process::Command {
    let mut command = gate.hosts.attacker.command("ssh");
    command
        .args(["-F", "/dev/null", "-b", &from.to_string(), "-o", "NumberOfPasswordPrompts=10"])
        .args(["-o", "PreferredAuthentications=password", "-o", "StrictHostKeyChecking=no"])
        .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"])
        .args([&format!("root@{SERVER}"), "true"])
        .env("SSH_ASKPASS_REQUIRE", "force")
        .env("DISPLAY", "none")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// An ssh that tries one password after the other over one connection, as long as it is asked for one.
fn stubborn(gate: &Gate, peer: &Peer) -> Child {
    let askpass = peer.path("askpass");
    peer.write("askpass", "#!/bin/sh\necho x >>@DIR@/tries\nsleep 0.3\necho wrong\n");
    std::fs::set_permissions(&askpass, std::fs::Permissions::from_mode(0o755)).unwrap();
    ssh(gate, ATTACKER).env("SSH_ASKPASS", askpass).spawn().unwrap()
}

/// The server's open connections with this address.
fn open(gate: &Gate, address: std::net::IpAddr) -> String {
    gate.hosts.server.sh(&format!("ss -Htn state established dst {address}"))
}

fn failures(gate: &Gate) -> usize {
    std::fs::read_to_string(gate.auth_log()).unwrap().matches("Bad password attempt").count()
}

/// Somebody who connects, and waits at the question for a password.
fn waiting(gate: &Gate, peer: &Peer, from: std::net::IpAddr) -> Child {
    let askpass = peer.path("askpass-slow");
    std::fs::write(&askpass, "#!/bin/sh\nsleep 60\n").unwrap();
    std::fs::set_permissions(&askpass, std::fs::Permissions::from_mode(0o755)).unwrap();
    let child = ssh(gate, from).env("SSH_ASKPASS", askpass).spawn().unwrap();
    let came = wait_for(Duration::from_secs(20), || (!open(gate, from).is_empty()).then_some(()));
    assert!(came.is_some(), "{from} is not connected");
    child
}

fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

#[test]
fn an_attacker_who_is_connected_already_gets_no_further_try() {
    let Some((gate, mut peer)) = gate("portcullis", "") else { return };
    let friend = waiting(&gate, &peer, FRIEND);
    let idle = waiting(&gate, &peer, ATTACKER);
    let mut attacker = stubborn(&gate, &peer);
    peer.wait_log("Ban 192.0.2.66");
    let gone = wait_for(Duration::from_secs(10), || open(&gate, ATTACKER).is_empty().then_some(()));
    assert!(gone.is_some(), "{}\n{}", open(&gate, ATTACKER), peer.log());
    peer.wait_log("Ended 2 open connection(s) of 192.0.2.66");
    // He sees it at once, and is not asked again.
    let ended = wait_for(Duration::from_secs(10), || attacker.try_wait().unwrap());
    assert!(ended.is_some(), "the attacker's ssh still waits");
    // The sixth may have been under way.
    let tried = peer.read("tries").lines().count();
    assert!(failures(&gate) <= 6 && (5..=6).contains(&tried), "{} failures, {tried} tries", failures(&gate));
    assert_eq!(gate.attempt(ATTACKER, "wrong"), Attempt::Refused);
    // Nobody else is troubled.
    assert!(!open(&gate, FRIEND).is_empty(), "the friend was thrown out too");
    end(friend);
    end(idle);
    end(attacker);
    peer.stop();
}

#[test]
fn with_a_stock_action_connections_are_ended_only_where_the_setting_says_so() {
    for (settings, ends) in [("", false), ("[dropbear]\ncloseconnections = true\n", true)] {
        let Some((gate, mut peer)) = gate("iptables-multiport", settings) else { return };
        let idle = waiting(&gate, &peer, ATTACKER);
        peer.client(&["set", "dropbear", "banip", "192.0.2.66"]);
        let gone = || open(&gate, ATTACKER).is_empty().then_some(());
        if ends {
            assert!(wait_for(Duration::from_secs(10), gone).is_some(), "{}", peer.log());
        } else {
            std::thread::sleep(Duration::from_millis(700));
            assert!(gone().is_none() && !peer.log().contains("Ended"), "{}", peer.log());
        }
        end(idle);
        peer.stop();
    }
}
