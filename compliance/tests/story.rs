//! The story: ten wrong passwords, and the gate closes. A real dropbear, a real rsyslog, a real kernel; the genuine
//! Fail2ban and ours, each with its own two hosts.

// Helpers of tests are outside `#[test]` functions, where clippy looks for what tests may do.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use portcullis_compliance::{
    ATTACKER, Attempt, Comparison, FRIEND, Gate, Output, Peer, Who, both, farm, logged, skip,
};

const JAIL: &str = "[dropbear]
enabled = true
port = ssh
logpath = @LOG@
maxretry = 5
findtime = 600
bantime = 600
";

/// What became of ten attempts, and what the program and the kernel say of them.
struct Story {
    attempts: Vec<Attempt>,
    friend_gets_in: bool,
    before: Output,
    status: Output,
    jail: String,
    banned: Output,
    log: String,
    rules: String,
    unban: Output,
    after_unban: Attempt,
    stop: Output,
    rules_at_the_end: String,
}

/// Runs `scene` with both programs, each at a gate of its own.
fn at_the_gate<T: Send>(scene: impl Fn(&mut Peer, &Gate) -> T + Sync) -> Option<(T, T)> {
    let (genuine, ours) = both(|peer| match Gate::new() {
        Ok(gate) => {
            peer.on(&gate.hosts.server);
            Some(scene(peer, &gate))
        }
        Err(reason) => {
            skip(&reason);
            None
        }
    })?;
    genuine.zip(ours)
}

fn write_jail(peer: &Peer, gate: &Gate, settings: &str) {
    let log = gate.auth_log();
    peer.write("conf/jail.local", &format!("{}{settings}", JAIL.replace("@LOG@", log.to_str().unwrap())));
}

/// The kernel's rules, without what counts packets.
fn rules(gate: &Gate) -> String {
    let text = gate.hosts.server.sh("nft list ruleset; iptables -S; ip6tables -S");
    regex::Regex::new(r"packets \d+ bytes \d+").unwrap().replace_all(&text, "packets N bytes N").into_owned()
}

fn story(peer: &mut Peer, gate: &Gate, settings: &str) -> Story {
    write_jail(peer, gate, settings);
    peer.start();
    let before = peer.client(&["status"]).masked();
    let mut attempts: Vec<Attempt> =
        (1..=5).map(|number| gate.attempt(ATTACKER, &format!("wrong{number}"))).collect();
    // The genuine program acts up to two seconds later; how fast we are is told by `make bench`.
    peer.wait_log("Ban 192.0.2.66");
    gate.wait_closed();
    attempts.extend((6..=10).map(|number| gate.attempt(ATTACKER, &format!("wrong{number}"))));
    let friend_gets_in = gate.lets_in(FRIEND);
    let status = peer.client(&["status"]).masked();
    let jail = status_of_the_jail(peer, gate);
    let banned = peer.client(&["banned"]);
    let rules_now = rules(gate);
    let unban = peer.client(&["set", "dropbear", "unbanip", "192.0.2.66"]);
    let after_unban = gate.attempt(ATTACKER, "wrong11");
    peer.wait_log_times("Found 192.0.2.66", 6);
    let stop = peer.client(&["stop"]);
    peer.ended();
    Story {
        attempts,
        friend_gets_in,
        before,
        status,
        jail,
        banned,
        log: peer.messages(&["Found", "Ban ", "Unban ", "banned"]),
        rules: rules_now,
        unban,
        after_unban,
        stop,
        rules_at_the_end: rules(gate),
    }
}

fn status_of_the_jail(peer: &Peer, gate: &Gate) -> String {
    peer.client(&["status", "dropbear"])
        .masked()
        .to_string()
        .replace(gate.auth_log().to_str().unwrap(), "LOG")
}

/// Tells the story with these settings of the jail, and compares all of it.
fn same_story(name: &str, settings: &str) {
    let Some((genuine, ours)) = at_the_gate(|peer, gate| story(peer, gate, settings)) else { return };
    for (who, told) in [(Who::Genuine, &genuine), (Who::Ours, &ours)] {
        assert_eq!(told.attempts[..5], [const { Attempt::Denied }; 5], "{who}\n{}", told.log);
        assert_eq!(told.attempts[5..], [const { Attempt::Refused }; 5], "{who}\n{}{}", told.log, told.rules);
        assert!(told.friend_gets_in, "{who}\n{}", told.rules);
        assert_eq!(told.after_unban, Attempt::Denied, "{who}\n{}", told.log);
        assert!(
            told.jail.contains("Total failed:\t5") && told.jail.contains("IP list:\t192.0.2.66"),
            "{}",
            told.jail
        );
    }
    let mut comparison = Comparison::new(name);
    comparison.same_output("status before", &genuine.before, &ours.before);
    comparison.same_output("status", &genuine.status, &ours.status);
    comparison.same("status of the jail", &genuine.jail, &ours.jail);
    comparison.same_output("banned", &genuine.banned, &ours.banned);
    comparison.same("the kernel's rules", &genuine.rules, &ours.rules);
    comparison.same_output("unbanip", &genuine.unban, &ours.unban);
    comparison.same_output("stop", &genuine.stop, &ours.stop);
    comparison.same("the kernel's rules at the end", &genuine.rules_at_the_end, &ours.rules_at_the_end);
    comparison.same("what the log tells", &genuine.log, &ours.log);
    comparison.finish();
}

#[test]
fn ten_wrong_passwords_get_connection_refused() {
    same_story("the story", "backend = auto\n");
}

#[test]
fn ten_wrong_passwords_get_connection_refused_with_polling() {
    same_story("the story, polling", "backend = polling\n");
}

#[test]
fn ten_wrong_passwords_get_connection_refused_by_nftables() {
    same_story("the story, nftables", "backend = auto\nbanaction = nftables-multiport\n");
}

#[test]
fn ten_wrong_passwords_get_connection_refused_by_nftables_on_all_ports() {
    same_story("the story, nftables-allports", "backend = auto\nbanaction = nftables-allports\n");
}

#[test]
fn the_seed_jail_as_it_stands_gives_the_story() {
    same_story("the story, %(dropbear_backend)s", "backend = %(dropbear_backend)s\n");
}

#[test]
fn without_iptables_the_genuine_program_bans_nobody_and_we_close_the_gate() {
    let Some((genuine, ours)) = at_the_gate(|peer, gate| {
        write_jail(peer, gate, "backend = auto\nbanaction = iptables-multiport\n");
        farm(&peer.path("farm"), &["iptables", "ip6tables", "xtables"]);
        peer.env("PATH", peer.path("farm").to_str().unwrap());
        peer.start();
        let mut attempts = Vec::new();
        for number in 1..=10 {
            attempts.push(gate.attempt(ATTACKER, &format!("wrong{number}")));
            if number == 5 {
                peer.wait_log("Ban 192.0.2.66");
                // The genuine program has nothing to close the gate with.
                match peer.who() {
                    Who::Genuine => std::thread::sleep(Duration::from_millis(500)),
                    Who::Ours => gate.wait_closed(),
                }
            }
        }
        let friend_gets_in = gate.lets_in(FRIEND);
        let jail = status_of_the_jail(peer, gate);
        let stop = peer.client(&["stop"]);
        peer.ended();
        (attempts, friend_gets_in, jail, stop, peer.log())
    }) else {
        return;
    };

    // The accident of the story: counted, called a ban, and let in.
    assert_eq!(genuine.0, [const { Attempt::Denied }; 10]);
    assert!(genuine.2.contains("Currently banned:\t1"), "{}", genuine.2);

    assert_eq!(ours.0[..5], [const { Attempt::Denied }; 5], "{}", ours.4);
    assert_eq!(ours.0[5..], [const { Attempt::Refused }; 5], "{}", ours.4);
    assert!(ours.1, "somebody else is refused too\n{}", ours.4);
    assert!(ours.2.contains("Total failed:\t5") && ours.2.contains("IP list:\t192.0.2.66"), "{}", ours.2);
    let warnings: Vec<&str> =
        ours.4.lines().filter(|line| line.contains("WARNING") && line.contains("iptables")).collect();
    assert_eq!(warnings.len(), 1, "one warning names iptables and the remedy\n{}", ours.4);
    let mut comparison = Comparison::new("without iptables");
    comparison.same_output("stop", &genuine.3, &ours.3);
    comparison.finish();
}

#[test]
fn failures_at_sshd_close_the_gate_as_well() {
    let Some((genuine, ours)) = at_the_gate(|peer, gate| {
        let log = gate.auth_log();
        let settings = format!("[sshd]\nenabled = true\nlogpath = {}\nbackend = auto\n", log.display());
        peer.write("conf/jail.local", &settings);
        peer.start();
        let mut text = String::new();
        for number in 1..=5 {
            let user = ["root", "admin", "invalid user test", "git", "invalid user x y"][number % 5];
            let pid = 4000 + number;
            for line in [
                format!("Failed password for {user} from {ATTACKER} port {}{number} ssh2", 5000),
                format!(
                    "Connection closed by authenticating user {user} {ATTACKER} port {}{number} [preauth]",
                    5000
                ),
            ] {
                text.push_str(&logged(format_args!("sshd[{pid}]: {line}")));
            }
        }
        // As rsyslog appends to it.
        std::io::Write::write_all(
            &mut std::fs::File::options().append(true).open(&log).unwrap(),
            text.as_bytes(),
        )
        .unwrap();
        peer.wait_log("Ban 192.0.2.66");
        gate.wait_closed();
        let attempt = gate.attempt(ATTACKER, "wrong");
        let friend_gets_in = gate.lets_in(FRIEND);
        let jail =
            peer.client(&["status", "sshd"]).masked().to_string().replace(log.to_str().unwrap(), "LOG");
        let rules = rules(gate);
        peer.stop();
        // The lines came at once: when the ban falls between them is a matter of speed.
        let log = peer.messages(&["Found"]) + &peer.messages(&["Ban "]);
        (attempt, friend_gets_in, jail, rules, log)
    }) else {
        return;
    };
    assert_eq!((&genuine.0, genuine.1), (&Attempt::Refused, true));
    assert_eq!((&ours.0, ours.1), (&Attempt::Refused, true));
    let mut comparison = Comparison::new("sshd");
    comparison.same("status of the jail", &genuine.2, &ours.2);
    comparison.same("the kernel's rules", &genuine.3, &ours.3);
    comparison.same("what the log tells", &genuine.4, &ours.4);
    comparison.finish();
}
