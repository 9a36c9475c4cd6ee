//! The commands of Fail2ban's stock actions: which programs they call, in which order, with which arguments, input and umask.
//!
//! The genuine server runs each action with stand-ins on PATH that write down how they are called. Our renderer and runner get
//! the properties that the genuine client reads from the same files, and run them with the same stand-ins.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "actions/driver.rs"]
mod driver;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_compliance::{Comparison, Peer, Who, both, wait_for, workspace};
use portcullis_daemon::act::preflight;
use portcullis_daemon::act::runner::Actions;
use portcullis_jail::action::{Action, Facts as _, Past};
use portcullis_jail::{Family, Id, MatchedLine, Ticket};
use regex::Regex;

use driver::{Hands, Jail, sent_action};

/// The programs that the stock actions call and that are replaced. Text tools are the machine's.
const STAND_INS: &str = "apf apprise curl date dig firewall-cmd geoiplookup ip ip6tables ipfw ipset iptables jq mail nft nginx \
     pfctl sendmail shorewall shorewall6 ufw uname wget whois";

/// Parameters that keep everything within the private directory; an action takes those that it knows.
const PARAMETERS: &str = "port=\"ssh,2222\", protocol=\"tcp,udp\", \
     tmpfile=\"@DIR@/tmp\", target=\"@DIR@/target\", file=\"@DIR@/hosts.deny\", startstatefile=\"@DIR@/state\", \
     srv_cfg_path=\"@DIR@/\", srv_pid=\"@DIR@/stand-in/uname\", nsupdatecmd=nsupdate, logpath=\"@DIR@/some.log\", \
     blocklist_de_apikey=k, email=\"a@example.org\", apikey=k, service=s, debug=0";

/// A line as an attacker would write it.
const HOSTILE: &str =
    "fail for 'root; $(touch pwned)' `touch pwned` \"; touch pwned; \" \\ & | > pwned é %s from 192.0.2.7";

/// Actions whose commands name files of the system or programs by their paths: nothing of them can be replaced.
const UNTOUCHED: [&str; 6] =
    ["ipfilter", "iptables-xt_recent-echo", "npf", "osx-afctl", "symbiosis-blacklist-allports", "nsupdate"];

fn configure(peer: &mut Peer, name: &str) {
    let places = std::env::join_paths(
        [peer.path("stand-in")]
            .into_iter()
            .chain(["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from)),
    );
    std::fs::create_dir(peer.path("stand-in")).unwrap();
    for program in STAND_INS.split_whitespace() {
        let stand_in = workspace().join("compliance/tests/actions/stand-in");
        std::os::unix::fs::symlink(stand_in, peer.path("stand-in").join(program)).unwrap();
    }
    peer.env("PATH", places.unwrap().into_string().unwrap());
    peer.env("RECORD", peer.path("record").to_str().unwrap());
    peer.write("some.log", &format!("{HOSTILE}\nother\n"));
    // A mail's command has quotes of its own, which no parameter can have.
    let mailcmd = if name.contains("mail") || name.contains("xarf") { ", mailcmd=sendmail" } else { "" };
    peer.write(
        "conf/jail.local",
        &format!(
            "[J]\nenabled = true\nfilter =\nlogpath = @DIR@/some.log\nbackend = polling\nmaxretry = 1\nbantime = 600\n\
             action = {name}[{PARAMETERS}{mailcmd}]\n"
        ),
    );
}

/// What the action called under a server.
fn served(peer: &mut Peer, by_line: bool) -> String {
    peer.start();
    peer.wait_log("Jail 'J' started");
    std::thread::sleep(Duration::from_millis(300));
    settle(peer);
    peer.append("record", "== ban\n");
    peer.client(&["set", "J", "banip", "192.0.2.1", "2001:db8::1", "192.0.2.2"]);
    if by_line {
        peer.append("record", "== a line\n");
        peer.client(&["set", "J", "attempt", "192.0.2.7", HOSTILE]);
        peer.wait_log("Ban 192.0.2.7");
        settle(peer);
    }
    peer.append("record", "== unban\n");
    peer.client(&["set", "J", "unbanip", "192.0.2.1"]);
    peer.append("record", "== stop\n");
    peer.stop();
    recorded(peer)
}

/// Waits until no more calls are recorded: the log tells of a ban before its commands run.
fn settle(peer: &Peer) {
    let mut before = peer.read("record");
    let settled = wait_for(Duration::from_secs(20), || {
        std::thread::sleep(Duration::from_millis(500));
        let now = peer.read("record");
        let same = now == before && !now.ends_with("== a line\n");
        before = now;
        same.then_some(())
    });
    assert!(settled.is_some(), "no end of calls:\n{before}");
}

/// What was recorded, with what differs between two runs replaced.
fn recorded(peer: &Peer) -> String {
    let text = peer.mask(&peer.read("record"));
    let text = Regex::new(r"1[6-9]\d{8}(\.\d+)?").unwrap().replace_all(&text, "SECONDS").into_owned();
    Regex::new(r"\d{4}-\d\d-\d\d\+\d\d:\d\d:\d\d").unwrap().replace_all(&text, "TIME").into_owned()
}

/// What our runner calls for the same.
fn ours(peer: &Peer, action: Action, by_line: bool) -> String {
    let mut hands = Hands::of(peer);
    let facts = Jail::default();
    let mut actions = Actions::new("J");
    assert!(actions.add(action));
    actions.start(&mut hands, &facts);
    peer.append("record", "== ban\n");
    let mut banned = Vec::new();
    let mut ban = |ticket: Ticket, hands: &mut Hands, actions: &mut Actions| {
        banned.push(Arc::new(ticket));
        actions.ban(&banned[banned.len() - 1], hands, &facts);
    };
    for id in ["192.0.2.1", "2001:db8::1", "192.0.2.2"] {
        ban(Ticket::by_hand(Id::new(id), facts.now()), &mut hands, &mut actions);
    }
    if by_line {
        peer.append("record", "== a line\n");
        let line = MatchedLine { before: String::new(), date: String::new(), after: HOSTILE.into() };
        let by_hand = Ticket::by_hand(Id::new("192.0.2.7"), facts.now());
        *facts.past.lock().unwrap() = Past { matches: vec![HOSTILE.to_owned()], failures: 1 };
        ban(Ticket { matches: vec![line], failures: 1, ..by_hand }, &mut hands, &mut actions);
    }
    peer.append("record", "== unban\n");
    let first = banned.remove(0);
    actions.unban(&first, &mut hands, &facts);
    peer.append("record", "== stop\n");
    actions.flush(&banned, &mut hands, &facts);
    actions.stop(&mut hands, &facts);
    recorded(peer)
}

fn stock_actions(conf: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(conf.join("action.d"))
        .unwrap()
        .filter_map(|entry| {
            entry.unwrap().file_name().into_string().unwrap().strip_suffix(".conf").map(str::to_owned)
        })
        .filter(|name| !name.ends_with("-common") && !UNTOUCHED.contains(&name.as_str()))
        .collect();
    names.sort();
    names
}

/// What is tested of one action: calls of the two, and what is found out before the first of them.
fn examine(name: &str, comparison: &Mutex<Comparison>, known: &Mutex<BTreeSet<String>>) {
    let mut theirs = Peer::new(Who::Genuine).unwrap();
    let mut mine = Peer::new(Who::Genuine).unwrap();
    configure(&mut theirs, name);
    configure(&mut mine, name);
    let action = sent_action(&mine);
    let by_line =
        ["matches>", "<F-"].iter().any(|tag| format!("{:?}", action.property("actionban")).contains(tag));
    let unreadable = preflight::unreadable(&action);
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", mine.path("stand-in").display());
    let missing = preflight::check("J", &action, &preflight::Path::new(path));
    for family in [Family::Inet4, Family::Inet6] {
        if let Some(shape) = preflight::recognise(&action, family) {
            let line =
                format!("{name} {}: {:?} {:?} {:?}", family.name(), shape.kind, shape.ports, shape.protocols);
            known.lock().unwrap().insert(line);
        }
    }
    let theirs = served(&mut theirs, by_line);
    let mine = ours(&mine, action, by_line);
    let mut comparison = comparison.lock().unwrap();
    comparison.same(&format!("{name}: calls"), &theirs, &mine);
    assert!(!Path::new("pwned").exists(), "{name} runs what an attacker wrote");
    assert_eq!(unreadable, 0, "{name} has scripts that we cannot read");
    assert!(missing.is_empty(), "a false alarm: {missing:?}");
}

#[test]
fn every_stock_action_calls_what_it_calls_under_fail2ban() {
    let Some(first) = Peer::new(Who::Genuine) else { return };
    // As the daemon does at its start.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let names = Mutex::new(stock_actions(&first.path("conf")));
    let comparison = Mutex::new(Comparison::new("calls of the stock actions"));
    let known = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(name) = names.lock().unwrap().pop() else { return };
                    examine(&name, &comparison, &known);
                }
            });
        }
    });
    let known: Vec<_> = known.into_inner().unwrap().into_iter().collect();
    let expected = include_str!("actions/known");
    assert_eq!(known.join("\n"), expected.trim_end(), "the actions that are known by their shape");
    comparison.into_inner().unwrap().finish();
}

/// The same with our server, for the actions that most machines have.
#[test]
fn our_server_calls_what_the_genuine_one_calls() {
    let Some(_) = Peer::new(Who::Genuine) else { return };
    let mut comparison = Comparison::new("calls of the stock actions, by our server");
    for name in [
        "iptables-multiport",
        "iptables-allports",
        "iptables-ipset-proto6",
        "nftables-multiport",
        "nftables-allports",
        "firewallcmd-ipset",
        "ufw",
        "shorewall",
        "route",
        "hostsdeny",
        "mail-whois-lines",
        "sendmail-whois-matches",
        "cloudflare",
    ] {
        let (genuine, ours) = both(|peer| {
            configure(peer, name);
            served(peer, name.ends_with("matches"))
        })
        .unwrap();
        comparison.same(name, &genuine, &ours);
    }
    comparison.finish();
}
