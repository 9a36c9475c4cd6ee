//! Actions that misbehave, tools that go away, and firewalls that somebody takes apart: what a ban is worth then. Fail2ban
//! has no such promises to compare with; the kernel is the judge.

// Helpers of tests are outside `#[test]` functions, where clippy looks for what tests may do.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "guarded/mod.rs"]
mod guarded;

use std::time::{Duration, Instant};

use portcullis_compliance::{Peer, farm, wait_for, wrong_password};

use guarded::{JAIL, guarded, stand_in, status, wait_status};

/// A jail with the stock nftables action and these besides, each with a file of its own.
fn beside_the_firewall(peer: &Peer, others: &[(&str, &str)]) {
    let names: String = others.iter().map(|(name, _)| format!("\n         {name}")).collect();
    for (name, ban) in others {
        peer.write(
            &format!("conf/action.d/{name}.conf"),
            &format!("[Definition]\nactionban = {ban}\nactionunban = true\n[Init]\ntimeout = 2\n"),
        );
    }
    let action = format!("banaction = nftables-multiport\naction = %(action_)s{names}\n");
    peer.write("conf/jail.local", &format!("{JAIL}{action}"));
}

#[test]
fn an_action_that_misbehaves_costs_neither_a_ban_nor_the_server() {
    let Some((hosts, mut peer)) = guarded("unused") else { return };
    beside_the_firewall(
        &peer,
        &[
            ("hangs", "sleep 1000"),
            ("ignores", "trap '' TERM; while :; do sleep 1; done"),
            ("forks", "sleep 5 & sleep 5 & true"),
            ("prints", "head -c 300000000 /dev/zero"),
            ("dies", "kill -SEGV $$"),
            ("wanders", "cd / && umask 000 && pwd"),
            ("closes", "exec 0<&- 1>&- 2>&- 3>&-; sleep 0.1"),
            ("unknown", "echo <no-such-tag>"),
        ],
    );
    peer.start();
    let process = format!("/proc/{}", peer.pid().unwrap());
    let place = || std::fs::read_link(format!("{process}/cwd")).unwrap();
    let (before, began) = (place(), Instant::now());
    peer.append("auth.log", &wrong_password("192.0.2.66").repeat(5));
    peer.append("auth.log", &wrong_password("192.0.2.67").repeat(5));
    let banned = wait_for(Duration::from_secs(10), || {
        let rules = hosts.server.sh("nft list ruleset");
        (rules.contains("192.0.2.66") && rules.contains("192.0.2.67")).then(|| began.elapsed())
    });
    assert!(banned.is_some(), "{}", peer.log());
    for said in [
        "timed out after 2 seconds",
        "killed with SIGKILL",
        "killed with SIGSEGV",
        "no-such-tag",
        "192.0.2.66 is NOT banned by action 'dies'",
        "192.0.2.66 is NOT banned by action 'hangs'",
        "192.0.2.66 is NOT banned by action 'unknown'",
    ] {
        peer.wait_log(said);
    }
    assert_eq!(place(), before, "an action's directory is its own");
    let resident = std::fs::read_to_string(format!("{process}/status")).unwrap();
    let resident = resident.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim();
    let resident: u64 = resident.trim_end_matches(" kB").parse().unwrap();
    assert!(resident < 80_000, "{resident} KiB after 300 MB of output");
    let told = peer.client(&["get", "gate", "banned"]).stdout;
    assert_eq!(told.trim(), "['192.0.2.66', '192.0.2.67']");
    assert_eq!(status(&peer).status, 1, "some actions failed, and status says so");
}

#[test]
fn a_tool_that_is_removed_while_we_run_leaves_bans_failed_until_it_is_back() {
    let Some((_hosts, mut peer)) = guarded("iptables-multiport") else { return };
    peer.write("conf/portcullis.conf", "[DEFAULT]\nnativeactions = false\n");
    farm(&peer.path("farm"), &["iptables-legacy"]);
    let farm = peer.path("farm");
    peer.env("PATH", farm.to_str().unwrap());
    peer.start();
    peer.client(&["set", "gate", "banip", "192.0.2.66"]);
    wait_status(&peer, "1 enforced");
    std::fs::rename(farm.join("iptables"), farm.join("gone")).unwrap();
    peer.client(&["set", "gate", "banip", "192.0.2.67"]);
    let bad = wait_status(&peer, "1 NOT ENFORCED");
    assert_eq!(bad.status, 1, "{bad}");
    peer.wait_log("Command not found");
    std::fs::rename(farm.join("gone"), farm.join("iptables")).unwrap();
    let well = wait_status(&peer, "2 enforced");
    assert_eq!(well.status, 0, "{well}");
    peer.stop();
}

#[test]
fn a_tool_that_is_removed_after_the_first_ban_is_not_missed_where_bans_go_beside_the_shell() {
    let Some((hosts, mut peer)) = guarded("iptables-multiport") else { return };
    farm(&peer.path("farm"), &["iptables-legacy"]);
    let farm = peer.path("farm");
    peer.env("PATH", farm.to_str().unwrap());
    peer.start();
    peer.client(&["set", "gate", "banip", "192.0.2.66"]);
    wait_status(&peer, "1 enforced");
    std::fs::remove_file(farm.join("iptables")).unwrap();
    peer.client(&["set", "gate", "banip", "192.0.2.67"]);
    wait_status(&peer, "2 enforced");
    let rules = hosts.server.sh("iptables -S f2b-gate");
    assert!(rules.contains("-s 192.0.2.67/32 -j REJECT --reject-with icmp-port-unreachable"), "{rules}");
}

#[test]
fn a_kernel_without_ipset_leaves_bans_failed_and_says_why() {
    let Some((_hosts, mut peer)) = guarded("iptables-ipset-proto6") else { return };
    let said = "ipset v7.17: Cannot open session to kernel.";
    stand_in(&mut peer, &["ipset"], &format!("#!/bin/sh\necho '{said}' >&2\nexit 1\n"));
    peer.start();
    peer.client(&["set", "gate", "banip", "192.0.2.66"]);
    let bad = wait_status(&peer, "1 NOT ENFORCED");
    assert_eq!(bad.status, 1, "{bad}");
    peer.wait_log("Cannot open session to kernel");
    peer.stop();
}

#[test]
fn what_somebody_takes_out_of_the_firewall_by_hand_comes_back() {
    let counters = regex::Regex::new(r"packets \d+ bytes \d+|\[\d+:\d+\]|^#.*|# handle \d+").unwrap();
    for (banaction, harm) in [
        ("nftables-multiport", "nft delete table inet f2b-table"),
        ("nftables-multiport", "nft flush chain inet f2b-table f2b-chain"),
        ("nftables-multiport", "nft delete element inet f2b-table addr-set-gate { 192.0.2.66 }"),
        ("iptables-multiport", "iptables -F; ip6tables -F"),
        ("iptables-multiport", "iptables -F INPUT"),
        ("iptables-multiport", "iptables -F f2b-gate"),
        ("iptables-multiport", "iptables -D f2b-gate 1"),
        ("iptables-ipset-proto6", "iptables -F INPUT"),
    ] {
        let Some((hosts, mut peer)) = guarded(banaction) else { return };
        peer.start();
        let many: Vec<String> = (1..=20).map(|n| format!("203.0.113.{n}")).collect();
        let mut ban = vec!["set", "gate", "banip", "2001:db8::66"];
        ban.extend(many.iter().map(String::as_str));
        ban.push("192.0.2.66");
        peer.client(&ban);
        wait_status(&peer, "22 enforced");
        let all = || {
            let text = hosts.server.sh("iptables-save; ip6tables-save; ipset list; nft list ruleset");
            let mut lines: Vec<String> = counters.replace_all(&text, "").lines().map(str::to_owned).collect();
            // What comes back comes in another order, and a chain ends without a rule for that as well.
            let matters = |line: &str| {
                !["elements", "RETURN", "return", "initval", "Size in memory"]
                    .iter()
                    .any(|word| line.contains(word))
            };
            lines.retain(|line| !line.starts_with('#') && matters(line));
            lines.sort();
            lines.join("\n")
        };
        let before = all();
        hosts.server.sh(harm);
        let back = wait_for(Duration::from_secs(20), || (all() == before).then_some(()));
        assert!(back.is_some(), "{banaction}, {harm}:\n{before}\n-- became --\n{}\n{}", all(), peer.log());
        wait_status(&peer, "22 enforced");
        peer.stop();
    }
}

#[test]
fn an_emptied_ipset_is_filled_again_when_a_banned_address_shows_up() {
    let Some((hosts, mut peer)) = guarded("iptables-ipset-proto6") else { return };
    peer.start();
    peer.client(&["set", "gate", "banip", "192.0.2.66"]);
    wait_status(&peer, "1 enforced");
    hosts.server.sh("ipset flush f2b-gate");
    let back = wait_for(Duration::from_secs(20), || {
        std::thread::sleep(Duration::from_secs(1));
        let line = wrong_password("192.0.2.66");
        peer.append("auth.log", &line.repeat(5));
        hosts.server.sh("ipset list f2b-gate").contains("192.0.2.66").then_some(())
    });
    assert!(back.is_some(), "{}", peer.log());
    peer.stop();
}
