//! The story: ten wrong passwords, and the gate closes. A real dropbear, a real rsyslog, a real kernel.

// Helpers of tests are outside `#[test]` functions, where clippy looks for what tests may do.
#![allow(clippy::unwrap_used)]

use portcullis_compliance::{ATTACKER, Attempt, FRIEND, Gate, Peer, Who, skip};

/// What became of ten attempts, and what the program says of them.
struct Story {
    attempts: Vec<Attempt>,
    friend_gets_in: bool,
    before: String,
    status: String,
    jail: String,
    log: String,
    rules: String,
    after_unban: Attempt,
}

const JAIL: &str = "[dropbear]
enabled = true
port = ssh
logpath = @LOG@
maxretry = 5
findtime = 600
bantime = 600
ignoreself = false
";

fn story(peer: &mut Peer, gate: &Gate, settings: &str) -> Story {
    let jail = JAIL.replace("@LOG@", gate.auth_log().to_str().unwrap());
    peer.write("conf/jail.local", &format!("{jail}{settings}"));
    peer.on(&gate.hosts.server);
    peer.start();
    let before = peer.client(&["status"]).masked().to_string();
    let mut attempts = Vec::new();
    for number in 1..=10 {
        attempts.push(gate.attempt(ATTACKER, &format!("wrong{number}")));
        if number == 5 {
            // The genuine program takes up to a second to act; the story is about that it does.
            peer.wait_log("Ban 192.0.2.66");
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
    }
    let friend_gets_in = gate.lets_in(FRIEND);
    let status = peer.client(&["status"]).masked().to_string();
    let jail = peer.client(&["status", "dropbear"]).masked().to_string();
    let rules = gate.hosts.server.sh("nft list ruleset; true");
    peer.client(&["set", "dropbear", "unbanip", "192.0.2.66"]);
    let after_unban = gate.attempt(ATTACKER, "wrong11");
    peer.stop();
    let jail = jail.replace(gate.auth_log().to_str().unwrap(), "LOG");
    let log = peer.messages(&["Found", "Ban ", "Unban ", "banned"]);
    Story { attempts, friend_gets_in, before, status, jail, log, rules, after_unban }
}

/// Runs the story with one of the two programs; `None` if it cannot be run here.
fn run(who: Who, settings: &str) -> Option<Story> {
    let mut peer = Peer::new(who)?;
    match Gate::new() {
        Ok(gate) => Some(story(&mut peer, &gate, settings)),
        Err(reason) => {
            skip(&reason);
            None
        }
    }
}

#[test]
fn ten_wrong_passwords_get_connection_refused() {
    let Some(genuine) = run(Who::Genuine, "backend = auto\n") else { return };
    assert_eq!(genuine.attempts[..5], [const { Attempt::Denied }; 5], "{}", genuine.log);
    assert_eq!(genuine.attempts[5..], [const { Attempt::Refused }; 5], "{}", genuine.log);
    assert!(
        genuine.jail.contains("Total failed:\t5") && genuine.jail.contains("Banned IP list:\t192.0.2.66")
    );
    assert!(genuine.before.contains("Jail list:\tdropbear") && genuine.status == genuine.before);
    assert!(genuine.rules.contains("192.0.2.66"), "{}", genuine.rules);
    assert!(genuine.friend_gets_in);
    assert_eq!(genuine.after_unban, Attempt::Denied);
}
