//! Killed in any moment: the next server finds what the former one left in the kernel. Each ban is there exactly once, and when
//! it is lifted or has ended, it is there no more.

// Helpers of tests are outside `#[test]` functions, where clippy looks for what tests may do.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use portcullis_compliance::{Hosts, Peer, Random, Signal, Who, both, wait_for, wrong_password};

const LIMIT: Duration = Duration::from_secs(30);

/// What is killed: a way to ban, and the tool that shows the bans.
#[derive(Clone, Copy)]
struct Way {
    banaction: &'static str,
    shows: &'static str,
    legacy: bool,
}

impl Way {
    const fn new(banaction: &'static str, shows: &'static str) -> Self {
        Way { banaction, shows, legacy: false }
    }
}

/// Not two in a row: a set of intervals would take them together.
fn offenders(from: usize, count: usize) -> Vec<String> {
    let one = |n: usize| {
        if n % 8 == 7 {
            format!("2001:db8::{:x}", 2 * n)
        } else {
            format!("203.0.{}.{}", n / 100, 1 + 2 * (n % 100))
        }
    };
    (from..from + count).map(one).collect()
}

fn prepare(hosts: &Hosts, peer: &mut Peer, way: Way) {
    peer.on(&hosts.server);
    peer.add_own_action();
    peer.write("auth.log", "");
    peer.write(
        "conf/jail.local",
        &format!(
            "[J]\nenabled = true\nfilter = dropbear\nport = 22\nlogpath = @DIR@/auth.log\nmaxretry = 1\n\
             findtime = 600\nbantime = 600\nignoreself = false\nbackend = polling\nbanaction = {}\n",
            way.banaction
        ),
    );
    if way.legacy {
        let farm = peer.path("farm");
        portcullis_compliance::farm(&farm, &["iptables", "ip6tables"]);
        for name in ["iptables", "ip6tables"] {
            let tool = name.replace("tables", "tables-legacy");
            let real = hosts.server.sh(&format!("command -v {tool}"));
            std::os::unix::fs::symlink(real.trim(), farm.join(name)).unwrap();
        }
        peer.env("PATH", farm.to_str().unwrap());
    }
}

/// How often the kernel has each address.
fn banned(hosts: &Hosts, way: Way) -> BTreeMap<String, usize> {
    let text = hosts.server.sh(way.shows);
    let address = regex::Regex::new(r"\b203\.0\.\d+\.\d+|\b2001:db8::[0-9a-f]+").unwrap();
    let mut counts = BTreeMap::new();
    for found in address.find_iter(&text) {
        *counts.entry(found.as_str().to_owned()).or_default() += 1;
    }
    counts
}

/// Waits until the kernel has these, each once, and no others.
fn each_once(hosts: &Hosts, peer: &Peer, way: Way, wanted: &[String]) {
    let wanted: BTreeMap<String, usize> = wanted.iter().map(|ip| (ip.clone(), 1)).collect();
    let there = wait_for(LIMIT, || (banned(hosts, way) == wanted).then_some(()));
    if there.is_none() {
        let found = banned(hosts, way);
        let odd = found.iter().filter(|(ip, count)| wanted.get(*ip) != Some(count));
        let missing = wanted.keys().filter(|ip| !found.contains_key(*ip));
        panic!(
            "{}: not as it should be: {:?}; missing: {:?}\n{}",
            way.banaction,
            odd.collect::<Vec<_>>(),
            missing.collect::<Vec<_>>(),
            peer.log().lines().filter(|line| !line.contains("Restore Ban")).collect::<Vec<_>>().join("\n")
        );
    }
}

fn kill(peer: &mut Peer) {
    peer.signal(Signal::KILL);
    peer.ended();
    if peer.who() == Who::Genuine {
        // It does not start where a killed one has left these.
        std::fs::remove_file(peer.path("f2b.sock")).unwrap();
        std::fs::remove_file(peer.path("f2b.pid")).unwrap();
    }
}

fn portcullis(peer: &Peer, arguments: &[&str]) -> portcullis_compliance::Output {
    peer.run("portcullis", &[arguments, &["-c", "@DIR@/conf", "-s", "@DIR@/f2b.sock"]].concat())
}

/// A life with many deaths.
fn survives(way: Way) {
    let Some((hosts, mut peer)) = Peer::guarding() else { return };
    prepare(&hosts, &mut peer, way);
    let mut random = Random::new(Random::seed(way.banaction));
    let all = offenders(0, 240);

    // In the middle of bursts of bans.
    let mut written = 0;
    for part in all.chunks(80) {
        peer.start();
        let lines: String = part.iter().map(wrong_password).collect();
        peer.append("auth.log", &lines);
        written += part.len();
        let enough = written - part.len() + random.below(part.len());
        wait_for(LIMIT, || (banned(&hosts, way).len() >= enough).then_some(())).unwrap();
        kill(&mut peer);
    }
    // Nobody is forgotten, nobody is there twice.
    peer.start();
    each_once(&hosts, &peer, way, &all);

    // In the middle of restores, some of which begin with what others have left.
    for _ in 0..4 {
        kill(&mut peer);
        peer.start();
        sleep(Duration::from_millis(random.below(40) as u64));
    }
    each_once(&hosts, &peer, way, &all);
    let well = wait_for(LIMIT, || Some(portcullis(&peer, &["status"])).filter(|status| status.status == 0));
    assert!(well.is_some(), "{}\n{}", portcullis(&peer, &["status"]), peer.log());

    // Who is unbanned while others are being restored is not banned again, and is out of the kernel.
    kill(&mut peer);
    peer.start();
    let (gone, left) = all.split_at(10);
    let arguments: Vec<&str> =
        ["set", "J", "unbanip"].into_iter().chain(gone.iter().map(String::as_str)).collect();
    peer.client(&arguments);
    each_once(&hosts, &peer, way, left);

    // What is said to be lifted is lifted, when it is said.
    let (gone, left) = left.split_at(10);
    let arguments: Vec<&str> =
        ["set", "J", "unbanip"].into_iter().chain(gone.iter().map(String::as_str)).collect();
    assert_eq!(peer.client(&arguments).stdout.trim(), "10", "{}", peer.log());
    let found = banned(&hosts, way);
    assert!(!gone.iter().any(|ip| found.contains_key(ip)), "{found:?}\n{}", peer.log());

    // What ended while nobody was there.
    let brief = "203.0.113.250".to_owned();
    let said = portcullis(&peer, &["ban", &brief, "--for", "3s"]);
    assert_eq!(said.status, 0, "{said}");
    assert!(banned(&hosts, way).contains_key(&brief), "{}", peer.log());
    sleep(Duration::from_millis(300));
    kill(&mut peer);
    sleep(Duration::from_secs(3));
    assert!(banned(&hosts, way).contains_key(&brief));
    peer.start();
    each_once(&hosts, &peer, way, left);

    // What ends by itself, and all the others.
    portcullis(&peer, &["ban", &brief, "--for", "2s"]);
    assert!(banned(&hosts, way).contains_key(&brief));
    each_once(&hosts, &peer, way, left);
    peer.client(&["set", "J", "unbanip", "203.0.0.0/16"]);
    peer.client(&["unban", "--all"]);
    each_once(&hosts, &peer, way, &[]);
    assert!(!peer.log().contains(" ERROR "), "{}", peer.messages(&["ERROR"]));
    peer.stop();
    assert!(!hosts.server.sh(way.shows).contains("f2b-"), "{}", hosts.server.sh(way.shows));
}

#[test]
fn rules_of_iptables_are_there_once_after_any_kill_and_not_at_all_after_the_end() {
    survives(Way::new("iptables-multiport", "iptables-save; ip6tables-save"));
}

#[test]
fn rules_of_iptables_legacy_are_there_once_after_any_kill_and_not_at_all_after_the_end() {
    let shows = "iptables-legacy-save; ip6tables-legacy-save";
    survives(Way { legacy: true, ..Way::new("iptables-multiport", shows) });
}

#[test]
fn members_of_ipsets_are_there_once_after_any_kill_and_not_at_all_after_the_end() {
    survives(Way::new("iptables-ipset-proto6", "ipset list"));
}

#[test]
fn elements_of_stock_nftables_are_there_once_after_any_kill_and_not_at_all_after_the_end() {
    survives(Way::new("nftables-multiport", "nft list ruleset"));
}

#[test]
fn elements_of_our_own_action_are_there_once_after_any_kill_and_not_at_all_after_the_end() {
    survives(Way::new("portcullis", "nft list ruleset"));
}

#[test]
fn after_a_kill_the_same_are_banned_as_under_fail2ban() {
    let ways = [
        Way::new("iptables-multiport", "iptables-save; ip6tables-save"),
        Way::new("nftables-multiport", "nft list ruleset"),
    ];
    for way in ways {
        let Some((Some(genuine), Some(ours))) = both(|peer| {
            let hosts = Hosts::or_skip()?;
            prepare(&hosts, peer, way);
            peer.start();
            let all = offenders(0, 12);
            let arguments: Vec<&str> =
                ["set", "J", "banip"].into_iter().chain(all.iter().map(String::as_str)).collect();
            peer.client(&arguments);
            wait_for(LIMIT, || (banned(&hosts, way).len() == all.len()).then_some(())).unwrap();
            // The record is written a moment later.
            sleep(Duration::from_millis(500));
            kill(peer);
            peer.start();
            peer.wait_log_times("Restore Ban", all.len());
            let again = wait_for(LIMIT, || (banned(&hosts, way).len() == all.len()).then_some(()));
            assert!(again.is_some(), "{}", peer.log());
            if peer.who() == Who::Ours {
                each_once(&hosts, peer, way, &all);
            }
            let found: Vec<String> = banned(&hosts, way).into_keys().collect();
            peer.stop();
            Some(found)
        }) else {
            return;
        };
        assert_eq!(genuine, ours, "{}", way.banaction);
    }
}

/// What the tool shows, without times, counters and orders that mean nothing.
fn shown(hosts: &Hosts, way: Way) -> Vec<String> {
    let text = hosts.server.sh(way.shows);
    let numbers = regex::Regex::new(r"\[\d+:\d+\]|initval 0x[0-9a-f]+|Size in memory: \d+").unwrap();
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let line = numbers.replace_all(line, "");
        // Elements of a set of nftables share lines.
        lines.extend(line.replace("elements = {", "").split(',').map(|word| word.trim().to_owned()));
    }
    lines.retain(|line| !matches!(line.as_str(), "" | "}"));
    for line in &mut lines {
        *line = line.trim_end_matches(" }").to_owned();
    }
    lines.sort_unstable();
    lines
}

/// The kernel after a kill, with bans that ended meanwhile, as after a stop and a start.
fn as_after_a_start(way: Way, networks: [&str; 2]) {
    let Some((hosts, mut peer)) = Peer::guarding() else { return };
    prepare(&hosts, &mut peer, way);
    let [stays, ends] = networks;
    let mut wanted = offenders(0, 24);
    wanted.extend(Some(stays).filter(|net| !net.is_empty()).map(str::to_owned));
    let enforced = |peer: &Peer, count: usize| {
        let text = format!("{count} enforced");
        let there = wait_for(LIMIT, || portcullis(peer, &["status"]).stdout.contains(&text).then_some(()));
        assert!(there.is_some(), "{}: {}\n{}", way.banaction, portcullis(peer, &["status"]), peer.log());
    };
    peer.start();
    let words: Vec<&str> =
        ["set", "J", "banip"].into_iter().chain(wanted.iter().map(String::as_str)).collect();
    peer.client(&words);
    enforced(&peer, wanted.len());
    peer.stop();
    peer.start();
    enforced(&peer, wanted.len());
    let fresh = shown(&hosts, way);
    assert!(fresh.iter().any(|line| line.contains("f2b-")), "{fresh:?}");

    let brief = ["203.0.113.250", "2001:db8::fa", ends];
    let mut count = wanted.len();
    for brief in brief.into_iter().filter(|brief| !brief.is_empty()) {
        let said = portcullis(&peer, &["ban", brief, "--for", "3s"]);
        assert_eq!(said.status, 0, "{}: {said}", way.banaction);
        count += 1;
    }
    enforced(&peer, count);
    assert_ne!(shown(&hosts, way), fresh);
    kill(&mut peer);
    sleep(Duration::from_secs(3));
    peer.start();
    enforced(&peer, wanted.len());
    let same = wait_for(LIMIT, || (shown(&hosts, way) == fresh).then_some(()));
    assert!(same.is_some(), "{}: {fresh:#?}\n{:#?}\n{}", way.banaction, shown(&hosts, way), peer.log());
    assert!(!peer.log().contains(" ERROR "), "{}", peer.messages(&["ERROR"]));
    // Nobody is left of a family, or of all, who was banned when it was killed.
    kill(&mut peer);
    std::fs::remove_file(peer.path("f2b.sqlite3")).unwrap();
    peer.start();
    let left = || shown(&hosts, way).iter().any(|line| line.contains("f2b-") || line.contains("addr-set-"));
    let gone = wait_for(LIMIT, || (!left()).then_some(()));
    assert!(gone.is_some(), "{}: {:#?}\n{}", way.banaction, shown(&hosts, way), peer.log());
    peer.stop();
}

#[test]
fn rules_of_iptables_are_after_a_kill_as_after_a_start_networks_as_well() {
    for banaction in ["iptables-multiport", "iptables-allports"] {
        let way = Way::new(banaction, "iptables-save; ip6tables-save");
        as_after_a_start(way, ["203.1.0.0/16", "2001:db8:5::/48"]);
    }
}

#[test]
fn ipsets_are_after_a_kill_as_after_a_start() {
    for banaction in ["iptables-ipset-proto6", "iptables-ipset-proto6-allports"] {
        as_after_a_start(Way::new(banaction, "ipset list; iptables-save; ip6tables-save"), ["", ""]);
    }
}

#[test]
fn sets_of_stock_nftables_are_after_a_kill_as_after_a_start() {
    for banaction in ["nftables-multiport", "nftables-allports"] {
        as_after_a_start(Way::new(banaction, "nft list ruleset"), ["", ""]);
    }
    // Of intervals, for networks.
    let intervals = r#"nftables-multiport[addr_type="ipv4_addr\; flags interval"]"#;
    as_after_a_start(Way::new(intervals, "nft list ruleset"), ["203.1.0.0/16", "203.2.0.0/16"]);
}

/// A jail that bans at the fifth failure and does nothing about it.
fn five_tries(peer: &Peer) {
    peer.write("auth.log", "");
    peer.write(
        "conf/jail.local",
        "[J]\nenabled = true\nfilter = dropbear\nlogpath = @DIR@/auth.log\nmaxretry = 5\nfindtime = 600\n\
         bantime = 600\nbackend = polling\nignoreself = false\naction =\n",
    );
    // Without a first line a log has no name by which it is known again.
    peer.append("auth.log", &wrong_password("198.51.100.1"));
}

fn fails(peer: &Peer, who: &str, times: usize) {
    peer.append("auth.log", &wrong_password(who).repeat(times));
}

fn currently_failed(peer: &Peer) -> String {
    let status = peer.client(&["status", "J"]).stdout;
    let line = status.lines().find(|line| line.contains("Currently failed")).unwrap_or_default();
    line.split_whitespace().last().unwrap_or_default().to_owned()
}

fn bans(peer: &Peer, who: &str) -> usize {
    peer.log().matches(&format!("] Ban {who}\n")).count()
}

#[test]
fn an_attacker_gains_no_try_by_a_crash_and_loses_none() {
    let Some(mut peer) = Peer::new(Who::Ours) else { return };
    let mut random = Random::new(Random::seed("tries"));
    five_tries(&peer);
    peer.start();
    let attackers: Vec<String> = (1..=40).map(|n| format!("192.0.2.{n}")).collect();
    // Each fails four times, with deaths in between: some after the place in the log was written, some before, some in the
    // middle of it, some with lines written while nobody was there.
    let mut failed = 1;
    for round in 0..4 {
        for attacker in &attackers {
            fails(&peer, attacker, 1);
            failed += 1;
        }
        if round == 3 {
            break;
        }
        match round {
            0 => {
                // With a ban goes what was counted before it.
                fails(&peer, "203.0.113.9", 5);
                peer.wait_log("] Ban 203.0.113.9");
                wait_for(LIMIT, || (currently_failed(&peer) == "41").then_some(())).unwrap();
            }
            1 => sleep(Duration::from_millis(random.below(300) as u64)),
            _ => sleep(Duration::from_secs(11)),
        }
        kill(&mut peer);
        fails(&peer, &attackers[0], usize::from(round == 2));
        peer.start();
    }
    // The first one has five now, in part while nobody was there.
    peer.wait_log(&format!("] Ban {}", attackers[0]));
    wait_for(LIMIT, || (currently_failed(&peer) == "40").then_some(())).unwrap();
    assert_eq!(failed, 161);
    for attacker in &attackers[1..] {
        assert_eq!(bans(&peer, attacker), 0, "{attacker} before the fifth failure\n{}", peer.log());
    }
    for attacker in &attackers[1..] {
        fails(&peer, attacker, 1);
    }
    for attacker in &attackers {
        let banned = wait_for(LIMIT, || (bans(&peer, attacker) > 0).then_some(()));
        assert!(banned.is_some() && bans(&peer, attacker) == 1, "{attacker}\n{}", peer.log());
    }
    // Whoever is banned is not counted on; an end in order forgets, as in Fail2ban, and leaves it a file that it knows.
    wait_for(LIMIT, || (currently_failed(&peer) == "1").then_some(())).unwrap();
    peer.stop();
    peer.start();
    assert_eq!(currently_failed(&peer), "0", "{}", peer.log());
    // A restart, which a package upgrade does as well, forgets nobody.
    fails(&peer, "192.0.2.99", 4);
    wait_for(LIMIT, || (currently_failed(&peer) == "1").then_some(())).unwrap();
    let said = portcullis(&peer, &["restart"]);
    assert_eq!(said.status, 0, "{said}");
    wait_for(LIMIT, || (currently_failed(&peer) == "1").then_some(())).unwrap();
    fails(&peer, "192.0.2.99", 1);
    peer.wait_log("] Ban 192.0.2.99");
    peer.stop();
}

#[test]
fn what_fail2ban_has_read_on_is_not_counted_by_us() {
    let (Some(mut ours), Some(mut genuine)) = (Peer::new(Who::Ours), Peer::new(Who::Genuine)) else { return };
    five_tries(&ours);
    five_tries(&genuine);
    // One log and one database for both.
    let (log, file) = (genuine.path("auth.log"), genuine.path("f2b.sqlite3"));
    let jail = std::fs::read_to_string(ours.path("conf/jail.local")).unwrap();
    let place = ours.path("auth.log");
    let shared = jail.replace(place.to_str().unwrap(), log.to_str().unwrap());
    std::fs::write(ours.path("conf/jail.local"), shared).unwrap();
    let dbfile = format!("[Definition]\ndbfile = {}\n", file.display());
    for peer in [&ours, &genuine] {
        peer.write("conf/fail2ban.d/database.local", &dbfile);
    }
    ours.start();
    fails(&genuine, "192.0.2.1", 4);
    ours.wait_log_times("Found 192.0.2.1", 4);
    sleep(Duration::from_secs(11));
    kill(&mut ours);
    // It takes our database, reads on, and stops in order.
    genuine.start();
    fails(&genuine, "192.0.2.2", 1);
    genuine.wait_log("Found 192.0.2.2");
    genuine.stop();
    assert!(!genuine.log().contains(" ERROR "), "{}", genuine.messages(&["ERROR"]));
    ours.start();
    assert_eq!(currently_failed(&ours), "0", "{}", ours.log());
    fails(&genuine, "192.0.2.1", 1);
    ours.wait_log_times("Found 192.0.2.1", 5);
    sleep(Duration::from_secs(1));
    assert_eq!(bans(&ours, "192.0.2.1"), 0, "{}", ours.log());
    ours.stop();
}
