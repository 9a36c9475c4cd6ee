//! What we say is enforced, is enforced: read back from the kernel, put back when somebody takes it away, and said where it
//! is not. Fail2ban has no such thing to compare with; the kernel is the judge.

// Helpers of tests are outside `#[test]` functions, where clippy looks for what tests may do.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "guarded/mod.rs"]
mod guarded;

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use portcullis_compliance::{Peer, farm, logged, wait_for, wrong_password};

use guarded::{JAIL, guarded, stand_in, status, wait_status};

#[test]
fn a_ban_in_the_kernel_is_enforced_and_status_says_that_all_is_well() {
    for banaction in
        ["iptables-multiport", "iptables-allports", "iptables-ipset-proto6", "nftables-multiport"]
    {
        let Some((_hosts, mut peer)) = guarded(banaction) else { return };
        peer.start();
        peer.client(&["set", "gate", "banip", "192.0.2.66", "2001:db8::66"]);
        let well = wait_status(&peer, "2 enforced");
        assert_eq!(well.status, 0, "{banaction}\n{well}");
        assert!(well.stdout.contains("All is well."), "{banaction}\n{well}");
        peer.stop();
    }
}

#[test]
fn a_tool_that_exits_with_0_and_does_nothing_is_found_out() {
    for (banaction, tools) in
        [("iptables-multiport", ["iptables", "ip6tables"]), ("nftables-multiport", ["nft", "nft"])]
    {
        let Some((_hosts, mut peer)) = guarded(banaction) else { return };
        stand_in(&mut peer, &tools, "#!/bin/sh\nexit 0\n");
        peer.start();
        peer.client(&["set", "gate", "banip", "192.0.2.66"]);
        let bad = wait_status(&peer, "1 NOT ENFORCED");
        assert_eq!(bad.status, 1, "{bad}");
        assert!(peer.log().contains("192.0.2.66 is NOT banned by action"), "{}", peer.log());
        // The decision is told as Fail2ban tells it.
        let told = peer.client(&["get", "gate", "banned"]).stdout;
        assert_eq!(told.trim(), "['192.0.2.66']");
        peer.stop();
    }
}

#[test]
fn a_failed_ban_is_tried_again_until_it_holds() {
    let Some((_hosts, mut peer)) = guarded("iptables-multiport") else { return };
    let switch = peer.path("broken").to_str().unwrap().to_owned();
    peer.write("broken", "");
    let real = portcullis_compliance::tool_path().to_owned();
    let text = format!("#!/bin/sh\n[ -e {switch} ] && exit 1\nPATH='{real}'\nexec \"${{0##*/}}\" \"$@\"\n");
    stand_in(&mut peer, &["iptables", "ip6tables"], &text);
    peer.start();
    peer.client(&["set", "gate", "banip", "192.0.2.66"]);
    wait_status(&peer, "1 NOT ENFORCED");
    std::fs::remove_file(&switch).unwrap();
    let well = wait_status(&peer, "1 enforced");
    assert_eq!(well.status, 0, "{well}");
    assert!(peer.log().contains("192.0.2.66 is banned now by action"), "{}", peer.log());
    peer.stop();
}

#[test]
fn what_others_flush_is_back_within_a_second() {
    for banaction in ["nftables-multiport", "iptables-multiport"] {
        let Some((hosts, mut peer)) = guarded(banaction) else { return };
        peer.start();
        peer.client(&["set", "gate", "banip", "192.0.2.66", "192.0.2.67", "2001:db8::66"]);
        wait_status(&peer, "3 enforced");
        for round in 0..3 {
            hosts.server.sh("nft flush ruleset");
            let flushed = Instant::now();
            let back = wait_for(Duration::from_secs(20), || {
                let rules = hosts.server.sh("nft list ruleset; iptables -S; ip6tables -S");
                ["192.0.2.66", "192.0.2.67", "2001:db8::66"].iter().all(|ip| rules.contains(ip)).then_some(())
            });
            assert!(back.is_some(), "{banaction}, round {round}: not put back\n{}", peer.log());
            // A second, and what a loaded machine of two cores adds to it.
            assert!(flushed.elapsed() < Duration::from_secs(4), "{banaction}: {:?}", flushed.elapsed());
        }
        wait_status(&peer, "3 enforced");
        assert!(peer.log().contains("all are back"), "{}", peer.log());
        peer.stop();
    }
}

#[test]
fn what_is_lost_while_the_kernel_gives_up_telling_is_back_as_well() {
    let Some((hosts, mut peer)) = guarded("nftables-multiport") else { return };
    peer.start();
    peer.client(&["set", "gate", "banip", "192.0.2.66", "192.0.2.67"]);
    wait_status(&peer, "2 enforced");
    let set = "inet f2b-table addr-set-gate";
    for _ in 0..3 {
        // So many changes that their news do not fit the socket (ENOBUFS): the one that matters is among the lost.
        let many: Vec<String> =
            (0..60_000).map(|n| format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255)).collect();
        let flood = format!(
            "add table inet others\nadd set inet others crowd {{ type ipv4_addr; }}\nadd element inet others crowd {{ {} }}\n\
             delete element {set} {{ 192.0.2.66 }}\ndelete table inet others\n",
            many.join(", ")
        );
        peer.write("flood.nft", &flood);
        hosts.server.sh(&format!("nft -f {}", peer.path("flood.nft").display()));
        let back = wait_for(Duration::from_secs(20), || {
            hosts.server.sh(&format!("nft list set {set}")).contains("192.0.2.66").then_some(())
        });
        assert!(back.is_some(), "not put back\n{}", peer.log());
    }
    wait_status(&peer, "2 enforced");
    peer.stop();
}

#[test]
fn without_the_right_to_change_the_firewall_bans_are_failed_and_status_is_not_0() {
    for banaction in ["nftables-multiport", "iptables-multiport"] {
        let Some((_hosts, mut peer)) = guarded(banaction) else { return };
        under_our_own_name(&peer, "setpriv --bounding-set=-net_admin --inh-caps=-net_admin", "");
        peer.start();
        peer.client(&["set", "gate", "banip", "192.0.2.66"]);
        let bad = wait_status(&peer, "1 NOT ENFORCED");
        assert_eq!(bad.status, 1, "{banaction}\n{bad}");
        peer.stop();
    }
}

#[test]
fn with_the_fallback_turned_off_a_missing_tool_is_an_error_and_bans_are_failed() {
    let Some((hosts, mut peer)) = guarded("iptables-multiport") else { return };
    peer.write("conf/portcullis.conf", "[DEFAULT]\nfallback = false\n");
    farm(&peer.path("farm"), &["iptables", "ip6tables", "xtables"]);
    let farm = peer.path("farm").to_str().unwrap().to_owned();
    peer.env("PATH", farm);
    peer.start();
    peer.client(&["set", "gate", "banip", "192.0.2.66"]);
    let bad = wait_status(&peer, "1 NOT ENFORCED");
    assert_eq!(bad.status, 1, "{bad}");
    assert!(bad.stdout.contains("install the package iptables"), "no remedy\n{bad}");
    assert_eq!(hosts.server.sh("nft list ruleset").trim(), "");
    peer.stop();
}

#[test]
fn an_action_that_a_reload_adds_works_and_unchanged_ones_are_left_alone() {
    let Some((hosts, mut peer)) = guarded("nftables-multiport") else { return };
    let note = "[Definition]\nactionstart = echo start >> @DIR@/notes\nactionban = echo ban <ip> >> @DIR@/notes\nactionunban = echo unban <ip> >> @DIR@/notes\nactionstop = echo stop >> @DIR@/notes\n";
    peer.write("conf/action.d/note.conf", note);
    peer.start();
    peer.client(&["set", "gate", "banip", "192.0.2.66"]);
    wait_status(&peer, "1 enforced");
    let handles = hosts.server.sh("nft -a list ruleset");
    peer.write(
        "conf/jail.local",
        &format!("{JAIL}banaction = nftables-multiport\naction = %(action_)s\n         note\nmaxretry = 7\n"),
    );
    let reload = peer.client(&["reload"]);
    assert_eq!(reload.stdout.trim(), "OK", "{reload}\n{}", peer.log());
    // What was in force is in force for the new action too; the old one's rules were not touched.
    wait_for(Duration::from_secs(5), || peer.read("notes").contains("ban 192.0.2.66").then_some(())).unwrap();
    assert_eq!(hosts.server.sh("nft -a list ruleset"), handles);
    assert!(!peer.log().contains("Unban"), "{}", peer.log());
    assert_eq!(peer.client(&["get", "gate", "maxretry"]).stdout.trim(), "7");
    peer.client(&["set", "gate", "banip", "192.0.2.67"]);
    wait_for(Duration::from_secs(5), || peer.read("notes").contains("ban 192.0.2.67").then_some(())).unwrap();
    // And taken away again, it lifts its bans and stops; the other goes on.
    peer.write("conf/jail.local", &format!("{JAIL}banaction = nftables-multiport\n"));
    peer.client(&["reload"]);
    let notes = peer.read("notes");
    assert!(notes.ends_with("stop\n") && notes.contains("unban 192.0.2.67"), "{notes}");
    assert!(hosts.server.sh("nft list ruleset").contains("192.0.2.67"));
    peer.stop();
    assert_eq!(hosts.server.sh("nft list ruleset").trim(), "");
}

#[test]
fn a_broken_reload_changes_nothing() {
    let Some((hosts, mut peer)) = guarded("nftables-multiport") else { return };
    peer.start();
    peer.client(&["set", "gate", "banip", "192.0.2.66"]);
    wait_status(&peer, "1 enforced");
    for broken in [
        "failregex = ^ nobody\n",
        "maxretry = many\n",
        "filter = nosuch\n",
        "action = nosuch\n",
        "bantime = %(x\n",
    ] {
        peer.write("conf/jail.local", &format!("{JAIL}banaction = nftables-multiport\n{broken}"));
        let reload = peer.client(&["reload"]);
        let said = format!("{broken}{reload}\n{}", peer.log());
        assert_eq!(peer.client(&["get", "gate", "banned"]).stdout.trim(), "['192.0.2.66']", "{said}");
        assert!(hosts.server.sh("nft list ruleset").contains("192.0.2.66"), "{said}");
        assert!(!peer.log().contains("Unban"), "{said}");
    }
    peer.stop();
}

/// Starts the server as `portcullis server`, with these options more.
fn under_our_own_name(peer: &Peer, wrapper: &str, options: &str) {
    let program = peer.path("bin/fail2ban-server");
    let real = std::fs::read_link(&program).unwrap();
    std::fs::remove_file(&program).unwrap();
    let script = format!("#!/bin/sh\nexec {wrapper} {} server {options} \"$@\"\n", real.display());
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn with_nothing_configured_sshd_and_dropbear_are_guarded() {
    let Some((hosts, mut peer)) = guarded("unused") else { return };
    under_our_own_name(&peer, "", "");
    std::fs::remove_dir_all(peer.path("conf")).unwrap();
    // Where the logs are on this machine is all that is told; with `/var/log/auth.log` not even that.
    peer.write("conf/jail.local", "[sshd]\nlogpath = @DIR@/auth.log\n[dropbear]\nlogpath = @DIR@/auth.log\n");
    peer.write("conf/fail2ban.local", "[Definition]\nlogtarget = @DIR@/fail2ban.log\ndbfile = @DIR@/db\n");
    peer.start();
    peer.append("auth.log", &wrong_password("192.0.2.66").repeat(5));
    // As OpenSSH 9.8 and later call themselves.
    let sshd = "sshd-session[2]: Failed password for root from 2001:db8::66 port 5000 ssh2";
    peer.append("auth.log", &logged(sshd).repeat(5));
    let well = wait_for(Duration::from_secs(10), || {
        Some(status(&peer)).filter(|out| out.stdout.matches("1 enforced").count() == 2)
    });
    let well = well.unwrap_or_else(|| panic!("{}\n{}", status(&peer), peer.log()));
    assert_eq!(well.status, 0, "{well}");
    let rules = hosts.server.sh("nft list ruleset");
    assert!(rules.contains("192.0.2.66") && rules.contains("2001:db8::66"), "{rules}");
    peer.stop();
    assert_eq!(hosts.server.sh("nft list ruleset").trim(), "");
}

#[test]
fn a_dry_run_tells_and_bans_nobody() {
    let Some((hosts, mut peer)) = guarded("nftables-multiport") else { return };
    under_our_own_name(&peer, "", "--dry-run");
    peer.start();
    let line = wrong_password("192.0.2.66");
    peer.append("auth.log", &line.repeat(6));
    peer.wait_log("Would ban 192.0.2.66");
    assert!(!peer.log().contains("] Ban "), "{}", peer.log());
    assert_eq!(hosts.server.sh("nft list ruleset").trim(), "");
    assert!(status(&peer).stdout.contains("NOBODY IS BANNED"));
    peer.stop();
}

#[test]
fn after_a_kill_the_bans_are_restored_and_what_is_in_the_kernel_is_taken_over() {
    for banaction in ["nftables-multiport", "iptables-multiport"] {
        let Some((hosts, mut peer)) = guarded(banaction) else { return };
        peer.start();
        peer.client(&["set", "gate", "banip", "192.0.2.66", "2001:db8::66"]);
        wait_status(&peer, "2 enforced");
        // A ban is written within a moment.
        std::thread::sleep(Duration::from_millis(500));
        peer.signal(portcullis_compliance::Signal::KILL);
        peer.ended();
        assert!(hosts.server.sh("nft list ruleset").contains("192.0.2.66"), "the kernel keeps what it has");
        peer.start();
        peer.wait_log("Restore Ban 192.0.2.66");
        let well = wait_status(&peer, "2 enforced");
        assert_eq!(well.status, 0, "{banaction}\n{well}\n{}", peer.log());
        peer.stop();
        assert!(!hosts.server.sh("nft list ruleset").contains("192.0.2.66"));
    }
}

#[test]
fn what_somebody_takes_away_while_earlier_bans_are_restored_is_put_back_once() {
    let Some((hosts, mut peer)) = guarded("iptables-multiport") else { return };
    let mut wanted: Vec<String> = (0..1500).map(|n| format!("10.{}.{}.1", n / 250, n % 250)).collect();
    wanted.extend((1..=20).map(|n| format!("2001:db8:1::{n:x}")));
    peer.start();
    let words: Vec<&str> =
        ["set", "gate", "banip"].into_iter().chain(wanted.iter().map(String::as_str)).collect();
    peer.client(&words);
    let all = format!("{} enforced", wanted.len());
    let enforced = |peer: &Peer| {
        let there = wait_for(Duration::from_secs(60), || status(peer).stdout.contains(&all).then_some(()));
        assert!(there.is_some(), "{}\n{}", status(peer), peer.messages(&["WARNING", "ERROR"]));
    };
    enforced(&peer);
    peer.signal(portcullis_compliance::Signal::KILL);
    peer.ended();
    let takes_away = "iptables -F f2b-gate";
    hosts.server.sh(takes_away);
    peer.start();
    // The first is the action's own command, and what that lost would be tried again after half a minute only.
    let rules = || hosts.server.sh("iptables -S f2b-gate 2>/dev/null || true").lines().count();
    wait_for(Duration::from_secs(30), || (rules() > 300).then_some(())).unwrap();
    for _ in 0..6 {
        hosts.server.sh(takes_away);
    }
    enforced(&peer);
    wanted.sort_unstable();
    let mut found = String::new();
    let once = wait_for(Duration::from_secs(60), || {
        found = hosts.server.sh("iptables -S; ip6tables -S");
        let mut sources: Vec<&str> = found
            .split_whitespace()
            .filter_map(|word| word.strip_suffix("/32").or_else(|| word.strip_suffix("/128")))
            .collect();
        sources.sort_unstable();
        (sources == wanted).then_some(())
    });
    assert!(once.is_some(), "{}\n{found}", peer.messages(&["WARNING", "ERROR"]));
    peer.stop();
    assert!(!hosts.server.sh("iptables -S; ip6tables -S").contains("f2b-"));
}
