//! The systemd journal as a source, beside the genuine program: real journals, made by systemd's own tools.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;
use std::time::Duration;

use portcullis_compliance::{Comparison, Fields, Journal, Output, Peer, Signal, Who, both, farm, wait_for};

/// Some seconds of a host's life, long ago.
const THEN: u64 = 1_700_000_000_000_000;

/// Fills `a.journal` (and `dir/b.journal`) of a peer.
fn prepare(peer: &Peer) -> Option<Journal> {
    std::fs::create_dir(peer.path("dir")).unwrap();
    let journal = Journal::new(&peer.path("a.journal"))?;
    let mut entries: Vec<(u64, Fields<'_>)> = Vec::new();
    let mut add = |fields: &[(&'static str, &'static [u8])]| {
        entries.push((THEN + entries.len() as u64 * 1_000_123, fields.to_vec()));
    };
    let ssh: &[(&str, &[u8])] = &[
        ("_HOSTNAME", b"srv"),
        ("SYSLOG_IDENTIFIER", b"sshd"),
        ("_COMM", b"sshd"),
        ("_SYSTEMD_UNIT", b"sshd.service"),
    ];
    let with = |more: &[(&'static str, &'static [u8])]| [ssh, more].concat();
    add(&with(&[
        ("SYSLOG_PID", b"4711"),
        ("_PID", b"1"),
        ("MESSAGE", b"Failed password for root from 192.0.2.1 port 1 ssh2"),
    ]));
    add(&with(&[("_PID", b"4712"), ("MESSAGE", b"Invalid user a b from 2001:db8::1 port 1")]));
    add(&with(&[
        ("SYSLOG_PID", b"0x1f"),
        ("MESSAGE", b"Accepted password for bob from 192.0.2.9 port 1 ssh2"),
    ]));
    add(&with(&[
        ("SYSLOG_PID", b"abc"),
        ("MESSAGE", b"Failed password for root from 192.0.2.2 port 1 ssh2"),
    ]));
    add(&with(&[("SYSLOG_PID", b" 07 "), ("MESSAGE", b"Connection closed by 192.0.2.3 port 1 [preauth]")]));
    add(&[
        ("_HOSTNAME", b"srv"),
        ("_COMM", b"foo"),
        ("_PID", b"99"),
        ("MESSAGE", b"no identifier 192.0.2.4"),
    ]);
    add(&[
        ("_HOSTNAME", b"srv"),
        ("SYSLOG_IDENTIFIER", b"kernel"),
        ("_SOURCE_MONOTONIC_TIMESTAMP", b"12345678"),
        ("MESSAGE", b"x SRC=192.0.2.5"),
    ]);
    add(&[
        ("_HOSTNAME", b"srv"),
        ("SYSLOG_IDENTIFIER", b"kernel"),
        ("_PID", b"3"),
        ("MESSAGE", b"not the kernel"),
    ]);
    add(&[("_COMM", b"kernel"), ("_SOURCE_MONOTONIC_TIMESTAMP", b"123456789012345")]);
    add(&[("MESSAGE", b"bare from 192.0.2.6")]);
    add(&[("MESSAGE", b"one from"), ("MESSAGE", b"192.0.2.7")]);
    add(&[("_HOSTNAME", b"srv"), ("SYSLOG_IDENTIFIER", b"x y"), ("MESSAGE", b"line\nfrom 192.0.2.8\r\n")]);
    add(&[("_HOSTNAME", b"srv"), ("MESSAGE", b"fa\xffil from 192.0.2.10 \x01\x1b[0m")]);
    add(&[
        ("_HOSTNAME", b"srv"),
        ("SYSLOG_IDENTIFIER", b"s"),
        ("_SOURCE_REALTIME_TIMESTAMP", b"1699990000000000"),
        ("MESSAGE", b"sent before, from 192.0.2.11"),
    ]);
    add(&[("_HOSTNAME", b"srv"), ("SYSLOG_IDENTIFIER", b"s"), ("MESSAGE", b"")]);
    add(&[
        ("_HOSTNAME", b""),
        ("SYSLOG_IDENTIFIER", b""),
        ("_COMM", b"c"),
        ("SYSLOG_PID", b"0"),
        ("_PID", b"3"),
        ("MESSAGE", b"# from 192.0.2.12"),
    ]);
    add(&[("_UID", b"0")]);
    journal.write(&entries);
    std::fs::copy(peer.path("a.journal"), peer.path("dir/b.journal")).unwrap();
    Some(journal)
}

fn comparable(output: &Output, peer: &Peer) -> String {
    let took = regex::Regex::new(r"processed in \d+\.\d+ sec").unwrap();
    let logged = regex::Regex::new(r"(?m)^.* (fail2ban\.\w+ +)\[\d+\]").unwrap();
    let text = took.replace_all(&output.stdout, "processed in TIME sec").into_owned();
    let text = logged.replace_all(&text, "TIME $1").into_owned();
    let complaint = output.stderr.lines().rfind(|line| !line.is_empty()).unwrap_or_default();
    format!("{text}\nstderr: {complaint}\nexit status: {}\n", output.status)
        .replace(peer.path("").to_str().unwrap(), "@DIR@/")
}

#[test]
fn the_tester_reads_the_journal_as_the_genuine_one_does() {
    let file = "systemd-journal[journalfiles=@DIR@/a.journal]";
    let any = "from <HOST>";
    let mut runs: Vec<Vec<&str>> = Vec::new();
    for filter in ["sshd", "sshd[logtype=file]", "dovecot"] {
        runs.push(vec!["-c", "@DIR@/conf", file, filter]);
        runs.push(vec!["-c", "@DIR@/conf", "-v", "-m", "", file, filter]);
    }
    for matches in [
        "_COMM=foo + _COMM=sshd",
        "_COMM=sshd _PID=1",
        "_COMM=sshd _PID=1 + SYSLOG_IDENTIFIER='x y'",
        "+",
        "_COMM=foo +",
        "bad",
        "a=b",
        "_COMM=foo + bad",
        "'open",
    ] {
        runs.push(vec!["-m", matches, file, any]);
    }
    for options in [
        &["-v"][..],
        &["-L", "3"],
        &["-d", "EPOCH", "-v"],
        &["-e", "latin1"],
        &["-e", "nope"],
        &["-l", "INFO"],
        &["--no-check-all"],
        &["--print-all-missed", "--print-all-matched"],
        &["-o", "row"],
        &["-o", "matches"],
        &["-o", "<time> <F-ID> <ip> <matches>"],
    ] {
        runs.push([options, &[file, any]].concat());
    }
    runs.push(vec!["-o", "<time> [<F-ID>] <matches>", file, "^<F-ID>.+</F-ID>$"]);
    for log in [
        "systemd-journal[journalpath=@DIR@/dir]",
        "systemd-journal[journalpath='@DIR@/dir', journalflags=0]",
        "systemd-journal[journalfiles='@DIR@/*.journal, @DIR@/nope']",
        "systemd-journal[journalfiles=\"@DIR@/a.journal,@DIR@/dir/b.journal\"]",
        "systemd-journal[journalfiles=@DIR@/nope]",
        "systemd-journal[journalfiles=@DIR@/a.journal,journalflags=4]",
        "systemd-journal[journalfiles=@DIR@/a.journal,journalpath=@DIR@/dir]",
        "systemd-journal[journalpath=/nope]",
        "systemd-journal[journalflags=x]",
        "systemd-journal[bad=1]",
        "systemd-journal[",
    ] {
        runs.push(vec![log, any]);
    }
    let Some((genuine, ours)) = both(|peer| {
        peer.env("TZ", "Europe/Berlin");
        prepare(peer)?;
        Some(runs.iter().map(|arguments| comparable(&peer.regex(arguments), peer)).collect::<Vec<String>>())
    }) else {
        return;
    };
    let (Some(genuine), Some(ours)) = (genuine, ours) else { return };
    let mut comparison = Comparison::new("fail2ban-regex on the journal");
    for ((run, genuine), ours) in runs.iter().zip(&genuine).zip(&ours) {
        comparison.same(&run.join(" "), genuine, ours);
    }
    comparison.finish();
}

const JAILS: &str = "[DEFAULT]
backend = systemd[journalpath=\"@DIR@/dir\"]
findtime = 600
bantime = 600
action =
[sshd]
enabled = true
maxretry = 2
[all]
enabled = true
filter =
failregex = from <HOST>
maxretry = 9
[some]
enabled = true
filter =
backend = systemd[journalfiles=\"@DIR@/dir/*.journal, /nope\"]
failregex = from <HOST>
journalmatch = _COMM=foo
   _HOSTNAME=srv SYSLOG_IDENTIFIER=\"x y\"
maxretry = 9
";

/// The log of one jail, sorted: jails run side by side.
fn told(peer: &Peer, jail: &str) -> String {
    let mine = [format!("[{jail}]"), format!("'{jail}'")];
    let mut lines: Vec<String> = peer.messages(&[&mine[0], &mine[1]]).lines().map(str::to_owned).collect();
    lines.sort();
    lines.join("\n") + "\n"
}

#[test]
fn a_server_follows_the_journal_as_the_genuine_one_does() {
    let Some((genuine, ours)) = both(|peer| {
        peer.write("conf/jail.local", JAILS);
        std::fs::create_dir(peer.path("dir")).unwrap();
        let journal = Journal::new(&peer.path("dir/system.journal"))?;
        let foo = [("_HOSTNAME", "srv"), ("_COMM", "foo")];
        journal.add(-5000.0, &[&foo[..], &[("MESSAGE", "too old, from 203.0.113.1")]].concat());
        journal.add(-60.0, &[&foo[..], &[("MESSAGE", "from 203.0.113.2")]].concat());
        peer.start();
        for jail in ["sshd", "all", "some"] {
            peer.wait_log(&format!("[{jail}] Jail is in operation now"));
        }
        journal.add_wrong_password("203.0.113.3");
        journal.add_wrong_password("203.0.113.3");
        journal
            .add(0.0, &[("_HOSTNAME", "srv"), ("SYSLOG_IDENTIFIER", "x y"), ("MESSAGE", "from 203.0.113.4")]);
        peer.wait_log("[sshd] Ban 203.0.113.3");
        peer.wait_log("[some] Found 203.0.113.4");
        peer.wait_log("[all] Found 203.0.113.4");
        let mut replies = Vec::new();
        let mut ask = |words: &str| {
            let words: Vec<&str> = words.split(' ').collect();
            replies.push((words.join(" "), peer.client(&words).masked()));
        };
        for words in [
            "get sshd journalmatch",
            "get all journalmatch",
            "get some journalmatch",
            "set some addjournalmatch _UID=0 + _UID=1",
            "set some addjournalmatch bad",
            "set some addjournalmatch _UID=1 + bad",
            "set some deljournalmatch _UID=0 + _UID=1",
            "set some deljournalmatch _UID=0",
            "set some deljournalmatch",
            "set some addjournalmatch +",
            "set some deljournalmatch",
            "get some logpath",
            "set some addlogpath /etc/passwd",
            "get some datepattern",
            "get some logencoding",
            "add x systemd[journalpath=/nope]",
            "add x systemd[journalfiles=/nope]",
            "add x systemd[journalflags=y]",
            "add x systemd[what=1]",
            "add x systemd[",
            "add x SystemD[journalflags=4]",
            "status x",
            "stop x",
            "add y polling",
            "set y addjournalmatch _UID=1",
            "get y journalmatch",
            "stop y",
            "set all addjournalmatch _COMM=bar",
            "status all",
        ] {
            ask(words);
        }
        // What was added is read from now on, and what was read is not read again.
        journal.add(0.0, &[("_UID", "1"), ("MESSAGE", "from 203.0.113.5")]);
        peer.wait_log("[some] Found 203.0.113.5");
        journal.add(0.0, &[("_COMM", "bar"), ("MESSAGE", "from 203.0.113.6")]);
        peer.wait_log("[all] Found 203.0.113.6");
        for jail in ["sshd", "all", "some"] {
            replies.push((format!("status {jail}"), peer.client(&["status", jail]).masked()));
        }
        peer.stop();
        let logs = ["sshd", "all", "some"].map(|jail| (jail, told(peer, jail)));
        Some((replies, logs, rows(peer)))
    }) else {
        return;
    };
    let (Some(genuine), Some(ours)) = (genuine, ours) else { return };
    let mut comparison = Comparison::new("a server on the journal");
    for ((what, genuine), (_, ours)) in genuine.0.iter().zip(&ours.0) {
        comparison.same_output(what, genuine, ours);
    }
    for ((jail, genuine), (_, ours)) in genuine.1.iter().zip(&ours.1) {
        comparison.same(&format!("log of {jail}"), genuine, ours);
    }
    comparison.same("positions", &genuine.2, &ours.2);
    comparison.finish();
}

/// The journal's positions in the database: without what differs between two runs, and without our cursors.
fn rows(peer: &Peer) -> String {
    let script = "import sqlite3,sys,re\n\
                  for r in sqlite3.connect(sys.argv[1]).execute('SELECT * FROM logs ORDER BY jail'):\n  \
                  print(r[0], r[1], re.sub(r' s=.*', ' ', re.sub(r'\\d', '9', r[2])), type(r[3]).__name__, r[3] > 1.7e9)";
    let python = portcullis_compliance::workspace().join("target/genuine/bin/python3");
    let output = Command::new(python).args(["-c", script]).arg(peer.path("f2b.sqlite3")).output().unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr)
}

/// Our own promise: no entry twice and none lost, whatever is killed; also where times are equal.
#[test]
fn entries_are_read_exactly_once_across_restarts_and_deaths_of_journalctl() {
    let Some(mut peer) = Peer::new(Who::Ours) else { return };
    peer.write("conf/jail.local", JAILS);
    std::fs::create_dir(peer.path("dir")).unwrap();
    let Some(journal) = Journal::new(&peer.path("dir/system.journal")) else { return };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as u64;
    // All in the same microsecond, with a sender's clock that is behind.
    let sent = (now - 3_000_000).to_string();
    let write = |from: usize, to: usize| {
        let messages: Vec<String> = (from..to).map(|n| format!("from 198.51.100.{n}")).collect();
        let entries: Vec<(u64, Fields<'_>)> = messages
            .iter()
            .map(|m| (now, vec![("_SOURCE_REALTIME_TIMESTAMP", sent.as_bytes()), ("MESSAGE", m.as_bytes())]))
            .collect();
        journal.write(&entries);
    };
    write(1, 20);
    peer.start();
    peer.wait_log("[all] Found 198.51.100.19 ");
    peer.stop();
    write(20, 40);
    peer.start();
    peer.wait_log("[all] Found 198.51.100.39 ");
    // Every journalctl of ours dies; others are started where they were.
    for killed in 1..=2 {
        let children = children(peer.pid().unwrap());
        assert!(!children.is_empty(), "no journalctl is running");
        for child in children {
            let _ = rustix::process::kill_process(child, Signal::KILL);
        }
        let from = 20 * (killed + 1);
        write(from, from + 20);
        peer.wait_log(&format!("[all] Found 198.51.100.{} ", from + 19));
    }
    let report = peer.run("portcullis", &["status", "all", "-c", "@DIR@/conf", "--json"]);
    assert!(report.stdout.contains("systemd-journal"), "{report}");
    peer.stop();
    let log = peer.log();
    for n in 1..80 {
        let found = log.lines().filter(|line| line.contains(&format!("[all] Found 198.51.100.{n} "))).count();
        assert_eq!(found, 1, "198.51.100.{n} in\n{log}");
    }
}

fn children(of: u32) -> Vec<rustix::process::Pid> {
    let found = wait_for(Duration::from_secs(10), || {
        let mut pids = Vec::new();
        for task in std::fs::read_dir(format!("/proc/{of}/task")).ok()?.flatten() {
            let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            let named = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            pids.extend(
                text.split_whitespace().filter(|pid| named(pid).trim() == "journalctl").map(str::to_owned),
            );
        }
        (!pids.is_empty()).then_some(pids)
    });
    found
        .unwrap_or_default()
        .iter()
        .filter_map(|pid| rustix::process::Pid::from_raw(pid.parse().ok()?))
        .collect()
}

#[test]
fn without_journalctl_the_jail_says_what_to_do_and_the_others_run() {
    let Some(mut peer) = Peer::new(Who::Ours) else { return };
    farm(&peer.path("farm"), &["journalctl"]);
    peer.env("PATH", peer.path("farm").to_str().unwrap());
    peer.write("a.log", "");
    peer.write(
        "conf/jail.local",
        "[DEFAULT]\naction =\nfilter =\nfailregex = from <HOST>\n[journal]\nenabled = true\nbackend = systemd\n\
         [file]\nenabled = true\nbackend = polling\nlogpath = @DIR@/a.log\n",
    );
    peer.start();
    let log = peer.log();
    assert!(log.contains("journalctl is not on PATH") && log.contains("Install it"), "{log}");
    peer.wait_log("Jail 'file' started");
    let status = peer.run("portcullis", &["status", "-c", "@DIR@/conf"]);
    assert!(status.status == 1 && status.stdout.contains("journalctl is not on PATH"), "{status}");
}
