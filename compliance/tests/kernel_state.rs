//! What the firewall looks like after start, bans, unbans, and stop: the same with us as with the genuine server, whether
//! our bans go through a shell, or beside it, many at a time.

// Helpers of tests are outside `#[test]` functions, where clippy looks for what tests may do.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use portcullis_compliance::{Comparison, Hosts, Peer, Who, both, wait_for};

const ACTIONS: [&str; 5] = [
    "iptables-multiport",
    "iptables-allports",
    "iptables-ipset-proto6",
    "nftables-multiport",
    "nftables-allports",
];

/// Enough for a batch, of both families.
fn offenders() -> Vec<String> {
    let v4 = (1..=12).map(|n| format!("203.0.113.{n}"));
    v4.chain((1..=5).map(|n| format!("2001:db8::{n:x}"))).chain(["198.51.100.0/24".to_owned()]).collect()
}

fn configure(peer: &Peer, banaction: &str) {
    peer.write("some.log", "");
    peer.write(
        "conf/jail.local",
        &format!(
            "[J]\nenabled = true\nfilter =\nport = ssh,2222\nlogpath = @DIR@/some.log\nbackend = polling\n\
             bantime = 600\nbanaction = {banaction}\n"
        ),
    );
}

/// The whole firewall, without what counts or numbers. The order of a set's members is the kernel's own, by chance.
fn firewall(hosts: &Hosts, tools: [&str; 2]) -> String {
    let script = format!("{0}-save; {1}-save; ipset list; nft list ruleset 2>/dev/null", tools[0], tools[1]);
    let text = hosts.server.sh(&script);
    let text = regex::Regex::new(r"packets \d+ bytes \d+|\[\d+:\d+\]|Size in memory: \d+|initval \S+|^#.*")
        .unwrap()
        .replace_all(&text, "-")
        .into_owned();
    let mut lines: Vec<String> = Vec::new();
    let mut members = false;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(list) = line.trim().strip_prefix("elements = {") {
            members = true;
            lines.push("elements".into());
            lines.push(String::new());
            collect(&mut lines, list);
        } else if members {
            collect(&mut lines, line);
        } else {
            lines.push(line.to_owned());
        }
        members &= !line.contains('}');
    }
    // ipset lists its members one a line, behind this word.
    let mut sorted = Vec::new();
    let mut set: Option<Vec<String>> = None;
    for line in lines {
        if line == "Members:" {
            set = Some(Vec::new());
        } else if let Some(list) = set.as_mut().filter(|_| line.starts_with(|c: char| c.is_ascii_hexdigit()))
        {
            list.push(line);
            continue;
        } else if let Some(mut list) = set.take() {
            list.sort();
            sorted.append(&mut list);
        }
        sorted.push(line);
    }
    if let Some(mut list) = set.take() {
        list.sort();
        sorted.append(&mut list);
    }
    sorted.join("\n")
}

/// Takes the members of a part of nft's list into the last line, sorted.
fn collect(lines: &mut [String], list: &str) {
    let Some(last) = lines.last_mut() else { return };
    let found = list.split([',', '}']).map(str::trim).filter(|word| !word.is_empty());
    let mut all: Vec<&str> = last.split(' ').filter(|word| !word.is_empty()).chain(found).collect();
    all.sort_unstable();
    *last = all.join(" ");
}

fn has(hosts: &Hosts, tools: [&str; 2], what: &str, present: bool) -> bool {
    let found = wait_for(Duration::from_secs(30), || {
        (firewall(hosts, tools).contains(what) == present).then_some(())
    });
    found.is_some()
}

/// The firewall at each stage of a life.
fn stages(peer: &mut Peer, banaction: &str, tools: [&str; 2]) -> Option<Vec<(&'static str, String)>> {
    let hosts = Hosts::or_skip()?;
    peer.on(&hosts.server);
    configure(peer, banaction);
    if tools[0] != "iptables" {
        let farm = peer.path("farm");
        portcullis_compliance::farm(&farm, &["iptables", "ip6tables"]);
        for (name, tool) in ["iptables", "ip6tables"].iter().zip(tools) {
            let real = hosts.server.sh(&format!("command -v {tool}"));
            std::os::unix::fs::symlink(real.trim(), farm.join(name)).unwrap();
        }
        peer.env("PATH", farm.to_str().unwrap());
    }
    peer.start();
    let mut stages = vec![("start", firewall(&hosts, tools))];
    let all = offenders();
    let ban = |some: &[String]| {
        let mut arguments = vec!["set", "J", "banip"];
        arguments.extend(some.iter().map(String::as_str));
        peer.client(&arguments);
        let (last, last6) = (&some[some.len() - 1], some.iter().rfind(|ip| ip.contains(':')));
        assert!(has(&hosts, tools, last, true), "{banaction}: {last} is not in\n{}", peer.log());
        assert!(last6.is_none_or(|ip| has(&hosts, tools, ip, true)), "{banaction}\n{}", peer.log());
    };
    // nftables' sets hold no networks, and ipset's take them apart.
    let networks = banaction.starts_with("iptables") && !banaction.contains("ipset");
    ban(&all[..3]);
    stages.push(("three bans", firewall(&hosts, tools)));
    ban(&all[3..if networks { all.len() } else { all.len() - 1 }]);
    stages.push(("many bans", firewall(&hosts, tools)));
    let unban = ["set", "J", "unbanip", &all[0], &all[1], &all[5], &all[6], &all[7], &all[8], &all[13]];
    peer.client(&unban);
    assert!(has(&hosts, tools, &format!("{} ", all[13]), false));
    stages.push(("unbans", firewall(&hosts, tools)));
    peer.stop();
    stages.push(("stop", firewall(&hosts, tools)));
    Some(stages)
}

fn same_with(actions: &[&str], tools: [&str; 2], settings: &str) {
    let mut comparison = Comparison::new("the firewall");
    for action in actions {
        let Some((Some(genuine), Some(ours))) = both(|peer| {
            if peer.who() == Who::Ours && !settings.is_empty() {
                peer.write("conf/portcullis.conf", settings);
            }
            stages(peer, action, tools)
        }) else {
            return;
        };
        for ((stage, genuine), (_, ours)) in genuine.into_iter().zip(ours) {
            comparison.same(&format!("{action}, {stage}"), &genuine, &ours);
        }
    }
    comparison.finish();
}

#[test]
fn the_firewall_is_the_same_with_us_as_with_fail2ban() {
    same_with(&ACTIONS, ["iptables", "ip6tables"], "");
}

#[test]
fn the_firewall_is_the_same_with_iptables_legacy() {
    same_with(&["iptables-multiport", "iptables-ipset-proto6"], ["iptables-legacy", "ip6tables-legacy"], "");
}

#[test]
fn the_firewall_is_the_same_when_all_goes_through_a_shell() {
    same_with(
        &["iptables-multiport", "nftables-multiport"],
        ["iptables", "ip6tables"],
        "[DEFAULT]\nnativeactions = false\n",
    );
}
