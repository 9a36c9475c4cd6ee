//! What the log says, and what is tried next, when an action's commands fail: the genuine server beside our runner.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "actions/driver.rs"]
mod driver;

use std::sync::Arc;

use portcullis_compliance::{Comparison, Peer, Who};
use portcullis_daemon::act::runner::Actions;
use portcullis_jail::action::Facts as _;
use portcullis_jail::{Id, Level, LogLine, Ticket};
use regex::Regex;

use driver::{Hands, Jail, sent_action};

/// Commands that fail while there is a file `fail-NAME`.
fn command(name: &str) -> String {
    format!("action{name} = echo \"{name} <family> <ip>\"; test ! -e @DIR@/fail-{name}\n")
}

/// An action with these operations, which can be made to fail.
fn action(operations: &str) -> String {
    let commands: String = operations.split_whitespace().map(command).collect();
    format!("[Definition]\n{commands}")
}

enum Step {
    /// From now on these operations fail, and no others.
    Fail(&'static str),
    Ban(&'static str),
    Unban(&'static str),
    Set(&'static str, &'static str),
}

use Step::{Ban, Fail, Set, Unban};

const ALL: &str = "start stop check ban unban flush";

fn mend(peer: &Peer, failing: &str) {
    for operation in ["start", "stop", "check", "ban", "unban", "flush", "repair"] {
        let file = peer.path(&format!("fail-{operation}"));
        if failing.split_whitespace().any(|word| word == operation) {
            std::fs::write(file, "").unwrap();
        } else {
            let _ = std::fs::remove_file(file);
        }
    }
}

fn configure(peer: &Peer, definition: &str) {
    peer.write("conf/action.d/probe.conf", definition);
    peer.write("some.log", "");
    peer.write(
        "conf/jail.local",
        "[J]\nenabled = true\nfilter =\nlogpath = @DIR@/some.log\nbackend = polling\nbantime = 600\naction = probe\n",
    );
}

fn genuine(peer: &mut Peer, steps: &[Step]) -> String {
    peer.start();
    peer.wait_log("Jail 'J' started");
    std::thread::sleep(std::time::Duration::from_millis(300));
    for step in steps {
        match step {
            Fail(operations) => mend(peer, operations),
            Ban(ip) => drop(peer.client(&["set", "J", "banip", ip])),
            Unban(ip) => drop(peer.client(&["set", "J", "unbanip", ip])),
            Set(property, value) => drop(peer.client(&["set", "J", "action", "probe", property, value])),
        }
    }
    peer.stop();
    let head = Regex::new(r"^\S+ \S+ fail2ban\.(\S+)\s*\[\d+\]: (\w+)\s+(.*)$").unwrap();
    let mut said = String::new();
    let mut kept = false;
    for line in peer.log().lines() {
        if let Some(parts) = head.captures(line) {
            kept = matches!(&parts[1], "actions" | "utils" | "CommandAction");
            if kept {
                said.push_str(&format!("{} {} {}\n", &parts[1], &parts[2], &parts[3]));
            }
        } else if kept {
            said.push_str(&format!("{line}\n"));
        }
    }
    // Of setting up the jail; and what the genuine program says when a group is gone before its second signal, by chance.
    let other = ["actions INFO banTime", "[Errno 3] No such process"];
    let said: Vec<_> = said.lines().filter(|line| !other.iter().any(|text| line.contains(text))).collect();
    peer.mask(&said.join("\n"))
}

fn ours(peer: &Peer, steps: &[Step]) -> String {
    let (mut hands, facts) = (Hands::of(peer), Jail::default());
    let mut actions = Actions::new("J");
    actions.add(sent_action(peer));
    actions.start(&mut hands, &facts);
    let mut banned: Vec<Arc<Ticket>> = Vec::new();
    for step in steps {
        let mut notice = |text: String| {
            use portcullis_daemon::act::runner::Executor as _;
            hands.log(LogLine::new(Level::NOTICE, "actions", text));
        };
        match step {
            Fail(operations) => mend(peer, operations),
            Ban(ip) => {
                notice(format!("[J] Ban {ip}"));
                let ticket = Arc::new(Ticket::by_hand(Id::new(ip), facts.now()));
                banned.push(Arc::clone(&ticket));
                actions.ban(&ticket, &mut hands, &facts);
            }
            Unban(ip) => {
                notice(format!("[J] Unban {ip}"));
                let index = banned.iter().position(|ticket| ticket.id.text() == *ip).unwrap();
                let ticket = banned.remove(index);
                actions.unban(&ticket, &mut hands, &facts);
            }
            Set(property, value) => {
                actions.get_mut("probe").unwrap().action_mut().set(property, (*value).into());
            }
        }
    }
    actions.flush(&banned, &mut hands, &facts);
    actions.stop(&mut hands, &facts);
    peer.mask(hands.said.trim_end())
}

#[test]
fn failures_are_told_and_followed_up_as_under_fail2ban() {
    let family = "[Init]\nv = 4\n[Init?family=inet6]\nv = 6\n";
    let cases: Vec<(&str, String, Vec<Step>)> = vec![
        (
            "a ban fails, the environment is fine",
            action(ALL),
            vec![Ban("192.0.2.1"), Fail("ban"), Ban("192.0.2.2")],
        ),
        (
            "nothing helps",
            action(ALL),
            vec![Fail("ban check"), Ban("192.0.2.2"), Fail("ban check start"), Ban("192.0.2.3")],
        ),
        (
            "a start on demand fails, then works",
            action(ALL) + family,
            vec![Fail("start"), Ban("192.0.2.1"), Ban("2001:db8::1"), Fail(""), Ban("192.0.2.2")],
        ),
        (
            "a repair of the action's own fails",
            action(&format!("{ALL} repair")),
            vec![Fail("ban check repair"), Ban("192.0.2.2")],
        ),
        (
            "an unban fails",
            action("start stop check ban unban"),
            vec![Ban("192.0.2.1"), Ban("192.0.2.2"), Fail("unban"), Unban("192.0.2.1"), Fail("unban check")],
        ),
        (
            "a flush and a stop fail in a broken environment",
            action(ALL),
            vec![Ban("192.0.2.1"), Ban("2001:db8::1"), Fail("flush check stop")],
        ),
        (
            "no addresses",
            action(ALL) + family,
            vec![Ban("garbage"), Ban("a b;c"), Unban("garbage"), Fail("ban"), Ban("$x")],
        ),
        (
            "many ways to fail",
            action("check ban unban"),
            vec![
                Set("actionban", "no-such-program '<ip>' \"<ip>\""),
                Ban("192.0.2.1"),
                Ban("a;b"),
                Set("actionban", "printf 'a\\tb\\n\\nc'; printf 'x\\ry\\f\\n' >&2; exit 200"),
                Ban("192.0.2.2"),
                Set("actionban", "echo <failures> <ip-rev> <bancount> <restored> <fid> <F-*>; kill -9 $$"),
                Ban("2001:db8::1"),
                Set("timeout", "1"),
                Set("actionban", "echo before; sleep 5; echo after"),
                Ban("192.0.2.4"),
                Set("actionban", "<v>"),
                Set("v", "echo <actionban>"),
                Ban("192.0.2.5"),
                Set("v", "<v>"),
                Ban("192.0.2.6"),
                Set("v", "4"),
            ],
        ),
    ];
    if Peer::new(Who::Genuine).is_none() {
        return;
    }
    let mut comparison = Comparison::new("failures of actions");
    for (name, definition, steps) in cases {
        let (mut theirs, mine) = (Peer::new(Who::Genuine).unwrap(), Peer::new(Who::Genuine).unwrap());
        configure(&theirs, &definition);
        configure(&mine, &definition);
        comparison.same(name, &genuine(&mut theirs, &steps), &ours(&mine, &steps));
    }
    comparison.finish();
}
