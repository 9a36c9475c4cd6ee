//! Bad input: each gives one clear message that names the culprit, the other jails run, nothing half-started is left.
//!
//! Against ours only: the genuine program lets one bad jail stop all others, which is a loss that we do not copy.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;

use portcullis_compliance::{Output, Peer, Who};

/// A peer with one good jail, which bans after one failure and says so in `bans`.
fn with_a_good_jail() -> Option<Peer> {
    let peer = Peer::new(Who::Ours)?;
    peer.write("good.log", "");
    peer.write("conf/filter.d/good.conf", "[Definition]\nfailregex = ^ fail <HOST>$\n");
    peer.write("conf/action.d/note.conf", "[Definition]\nactionban = echo <ip> >>@DIR@/bans\n");
    peer.write(
        "conf/jail.d/good.conf",
        "[good]\nenabled = true\nfilter = good\nlogpath = @DIR@/good.log\nbackend = auto\nmaxretry = 1\naction = note\nignoreself = false\n",
    );
    Some(peer)
}

fn now() -> String {
    let now = Command::new("date").arg("+%Y-%m-%d %H:%M:%S").output().unwrap().stdout;
    String::from_utf8(now).unwrap().trim().to_owned()
}

/// Everything that the server said, by log and by standard error.
fn said(peer: &Peer) -> String {
    format!("{}{}{}", peer.read("stdout"), peer.read("stderr"), peer.log())
}

/// Starts a server with the good jail and one more section; the good one has to ban, and one error has to name all `culprits`.
fn the_good_jail_runs_and_an_error_names(culprits: &[&str], section: &str) {
    let Some(mut peer) = with_a_good_jail() else { return };
    peer.write("some.log", "");
    peer.write("conf/filter.d/some.conf", "[Definition]\nfailregex = ^ some <HOST>$\n");
    peer.write("conf/jail.d/z-bad.conf", section);
    check(&mut peer, culprits);
}

fn check(peer: &mut Peer, culprits: &[&str]) {
    peer.start();
    the_good_jail_bans(peer);
    let said = said(peer);
    let complaints: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("ERROR") || line.contains("WARNING"))
        .filter(|line| culprits.iter().all(|culprit| line.contains(culprit)))
        .collect();
    assert!(!complaints.is_empty(), "no error names {culprits:?}:\n{said}");
    // Reading and executing the configuration may each have their words, as they do in Fail2ban; nobody repeats them.
    assert!(complaints.len() <= 6, "said too often:\n{said}");
    nothing_is_left(peer);
}

fn the_good_jail_bans(peer: &Peer) {
    peer.append("good.log", &format!("{} fail 192.0.2.66\n", now()));
    let banned = portcullis_compliance::wait_for(std::time::Duration::from_secs(10), || {
        (peer.read("bans") == "192.0.2.66\n").then_some(())
    });
    assert!(banned.is_some(), "the good jail does not ban:\n{}", said(peer));
    let status = peer.client(&["status", "good"]);
    assert!(status.stdout.contains("Banned IP list:\t192.0.2.66"), "{status}");
}

fn nothing_is_left(peer: &mut Peer) {
    let stop = peer.client(&["stop"]);
    assert_eq!((stop.stdout.as_str(), stop.status), ("Shutdown successful\n", 0), "{stop}");
    peer.ended();
    assert!(!peer.path("f2b.sock").exists() && !peer.path("f2b.pid").exists());
}

#[test]
fn an_unknown_filter_costs_its_jail_only() {
    the_good_jail_runs_and_an_error_names(
        &["filter", "nosuch"],
        "[bad]\nenabled = true\nfilter = nosuch\nlogpath = @DIR@/some.log\naction = note\n",
    );
}

#[test]
fn an_unknown_action_costs_its_jail_only() {
    the_good_jail_runs_and_an_error_names(
        &["action", "nosuch"],
        "[bad]\nenabled = true\nfilter = some\nlogpath = @DIR@/some.log\naction = nosuch\n",
    );
}

#[test]
fn a_missing_log_costs_its_jail_only() {
    the_good_jail_runs_and_an_error_names(
        &["bad", "missing.log"],
        "[bad]\nenabled = true\nfilter = some\nlogpath = @DIR@/missing.log\naction = note\n",
    );
}

#[test]
fn a_log_that_cannot_be_read_costs_its_jail_only() {
    // Root may read everything but a directory.
    let Some(mut peer) = with_a_good_jail() else { return };
    peer.write("conf/filter.d/some.conf", "[Definition]\nfailregex = ^ some <HOST>$\n");
    std::fs::create_dir(peer.path("directory.log")).unwrap();
    peer.write(
        "conf/jail.d/z-bad.conf",
        "[bad]\nenabled = true\nfilter = some\nlogpath = @DIR@/directory.log\naction = note\n",
    );
    check(&mut peer, &["bad", "directory.log"]);
}

#[test]
fn a_regex_that_does_not_compile_costs_its_jail_only() {
    the_good_jail_runs_and_an_error_names(
        &["Unable to compile regular expression", "some ("],
        "[bad]\nenabled = true\nfilter = some\nlogpath = @DIR@/some.log\naction = note\nfailregex = ^ some (<HOST>\n",
    );
}

#[test]
fn a_regex_without_host_costs_its_jail_only() {
    the_good_jail_runs_and_an_error_names(
        &["No failure-id group in"],
        "[bad]\nenabled = true\nfilter = some\nlogpath = @DIR@/some.log\naction = note\nfailregex = ^ nobody$\n",
    );
}

#[test]
fn a_bad_number_costs_its_jail_at_most() {
    the_good_jail_runs_and_an_error_names(
        &["maxretry"],
        "[bad]\nenabled = true\nfilter = some\nlogpath = @DIR@/some.log\naction = note\nmaxretry = five\n",
    );
}

/// Starts a server that has to refuse; returns what it said.
fn refused(mut peer: Peer, options: &[&str], culprit: &str) -> Output {
    let output = peer.try_start(options).unwrap_or_else(|| panic!("it started:\n{}", said(&peer)));
    assert_ne!(output.status, 0, "{output}");
    let said = said(&peer);
    assert!(said.contains(culprit), "nothing names {culprit}:\n{output}\n{said}");
    assert!(!peer.path("f2b.pid").exists(), "a pid file is left:\n{said}");
    assert!(!peer.path("f2b.sock").is_file());
    output
}

#[test]
fn two_jails_of_one_name_cost_the_file_that_has_them() {
    the_good_jail_runs_and_an_error_names(
        &["jail.d/z-bad.conf", "[line  5]", "section 'bad' already exists"],
        "[bad]\nenabled = false\n[other]\nenabled = false\n[bad]\nenabled = false\n",
    );
}

#[test]
fn a_socket_path_that_is_a_directory_is_refused() {
    let Some(peer) = with_a_good_jail() else { return };
    std::fs::create_dir(peer.path("f2b.sock")).unwrap();
    refused(peer, &[], "f2b.sock");
}

#[test]
fn a_place_where_one_may_not_write_is_refused() {
    let Some(peer) = with_a_good_jail() else { return };
    // Even root may not make anything in /proc.
    refused(peer, &["-s", "/proc/portcullis.sock"], "/proc/portcullis.sock");
}

#[test]
fn a_full_disk_for_the_log_does_not_stop_the_guard() {
    let Some(mut peer) = with_a_good_jail() else { return };
    peer.write(
        "conf/fail2ban.local",
        "[Definition]\nsocket = @DIR@/f2b.sock\npidfile = @DIR@/f2b.pid\ndbfile = @DIR@/f2b.sqlite3\nlogtarget = /dev/full\n",
    );
    peer.start();
    the_good_jail_bans(&peer);
    nothing_is_left(&mut peer);
}
