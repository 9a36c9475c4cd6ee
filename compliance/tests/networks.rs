//! Offenders by their networks: IPv6 by /64, and one ban for many addresses of one network. Only where it is set.

// Helpers of tests are outside `#[test]` functions, where clippy looks for what tests may do.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use portcullis_compliance::{Hosts, Peer, wait_for, wrong_password};

fn guarded(settings: &str, more: &str) -> Option<(Hosts, Peer)> {
    let (hosts, mut peer) = Peer::guarding()?;
    peer.add_own_action();
    peer.write("auth.log", "");
    peer.write("conf/portcullis.conf", settings);
    peer.write(
        "conf/jail.local",
        &format!(
            "[gate]\nenabled = true\nfilter = dropbear\nport = 2222\nlogpath = @DIR@/auth.log\nmaxretry = 3\nignoreself = false\nbanaction = portcullis\n{more}"
        ),
    );
    peer.start();
    Some((hosts, peer))
}

/// One failure from each of these.
fn failures<'a>(peer: &Peer, from: impl IntoIterator<Item = &'a str>) {
    peer.append("auth.log", &from.into_iter().map(wrong_password).collect::<String>());
}

fn banned(peer: &Peer) -> String {
    peer.client(&["get", "gate", "banned"]).stdout.trim().to_owned()
}

fn wait_kernel(hosts: &Hosts, has: &[&str], has_not: &[&str]) {
    let rules = || hosts.server.sh("nft list ruleset");
    let so = || {
        let rules = rules();
        (has.iter().all(|text| rules.contains(text)) && !has_not.iter().any(|text| rules.contains(text)))
            .then_some(())
    };
    assert!(wait_for(Duration::from_secs(20), so).is_some(), "{has:?}, not {has_not:?}:\n{}", rules());
}

#[test]
fn an_attacker_with_a_whole_network_of_ipv6_is_counted_and_banned_as_one() {
    let Some((hosts, mut peer)) = guarded("[DEFAULT]\nipv6prefix = 64\n", "ignoreip = 2001:db8:0:9::1\n")
    else {
        return;
    };
    failures(&peer, ["2001:db8:0:5::1", "2001:db8:0:5:a::2", "2001:db8:0:5:b:c:d:3"]);
    peer.wait_log("Ban 2001:db8:0:5::/64");
    wait_kernel(&hosts, &["2001:db8:0:5::"], &[]);
    // IPv4 is counted as ever; and where somebody in the network is not to be banned, so is IPv6.
    failures(&peer, ["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    failures(
        &peer,
        ["2001:db8:0:9::2", "2001:db8:0:9::3", "2001:db8:0:9::4", "2001:db8:0:9::4", "2001:db8:0:9::4"],
    );
    peer.wait_log("Ban 2001:db8:0:9::4");
    assert_eq!(banned(&peer), "['2001:db8:0:5::/64', '2001:db8:0:9::4']", "{}", peer.log());
    peer.stop();
}

#[test]
fn without_the_setting_addresses_count_alone() {
    let Some((_hosts, mut peer)) = guarded("", "") else { return };
    failures(&peer, ["2001:db8:0:5::1", "2001:db8:0:5:a::2", "2001:db8:0:5:b:c:d:3", "2001:db8:0:5::4"]);
    failures(&peer, ["198.51.100.1"; 3]);
    peer.wait_log("Ban 198.51.100.1");
    let many: Vec<String> = (1..=20).map(|host| format!("198.51.100.{host}")).collect();
    let words: Vec<&str> =
        ["set", "gate", "banip"].into_iter().chain(many.iter().map(String::as_str)).collect();
    peer.client(&words);
    assert!(!banned(&peer).contains('/'), "{}", banned(&peer));
    peer.stop();
}

#[test]
fn many_of_one_network_become_one_ban() {
    let Some((hosts, mut peer)) = guarded("[gate]\nnetworkban = 3\n", "") else { return };
    for host in 1..=4 {
        failures(&peer, [format!("198.51.100.{host}").as_str(); 3]);
        peer.wait_log(&format!("Ban 198.51.100.{host}"));
    }
    peer.wait_log("More than 3 addresses of 198.51.100.0/24 are banned: the network is, in their place");
    peer.wait_log("Ban 198.51.100.0/24");
    peer.wait_log_times("Unban 198.51.100.", 4);
    assert_eq!(banned(&peer), "['198.51.100.0/24']");
    wait_kernel(&hosts, &["198.51.100.0"], &["198.51.100.1 ", "198.51.100.4 "]);
    // It is remembered as what it is.
    std::thread::sleep(Duration::from_millis(500));
    peer.stop();
    peer.start();
    peer.wait_log("Restore Ban 198.51.100.0/24");
    peer.stop();
}

#[test]
fn a_network_with_somebody_who_is_not_to_be_banned_is_not_banned() {
    let Some((_hosts, mut peer)) = guarded("[gate]\nnetworkban = 2\n", "ignoreip = 198.51.100.99\n") else {
        return;
    };
    peer.client(&["set", "gate", "banip", "198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4"]);
    assert!(!banned(&peer).contains('/'), "{}", banned(&peer));
    peer.stop();
}

#[test]
fn bantime_increment_looks_at_the_network_too() {
    let increment = "bantime = 2\nbantime.increment = true\nbantime.factor = 1\n";
    let Some((_hosts, mut peer)) = guarded("[DEFAULT]\nipv6prefix = 64\n", increment) else { return };
    failures(&peer, ["2001:db8:0:5::1"; 3]);
    peer.wait_log("Ban 2001:db8:0:5::/64");
    peer.wait_log("Unban 2001:db8:0:5::/64");
    // Another address of the network, by itself: its network's past counts.
    peer.client(&["set", "gate", "banip", "2001:db8:0:5::77"]);
    peer.wait_log("[gate] Increase Ban 2001:db8:0:5::77 (2 # ");
    peer.stop();
}
