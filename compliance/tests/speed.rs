//! How long a line takes, in numbers: for people and for `make bench`. Run with
//! `cargo test --release -p portcullis-compliance --test speed -- --ignored --nocapture`.

#![allow(clippy::panic, clippy::unwrap_used)]
#![allow(dead_code, reason = "the corpus is shared with other tests")]

mod corpus;

use std::time::Instant;

use corpus::stock::{Nobody, Stock};
use portcullis_jail::Timestamp;
use portcullis_jail::filter::Moment;
use serde_json::Map;

/// 2026-11-22 12:00:00 UTC.
const NOW: Timestamp = Timestamp(1_795_348_800.0);

/// An auth.log of so many lines, a third of them attacks. The third column says whether the line is one.
fn auth_log(lines: usize) -> Vec<(String, bool)> {
    (0..lines)
        .map(|i| {
            let second = i / 20 % 3600;
            let date = format!("Nov 22 11:{:02}:{:02}", second / 60, second % 60);
            let ip = format!("198.51.{}.{}", i / 250 % 250, i % 250);
            let (pid, port) = (1000 + i % 30000, 1024 + i % 60000);
            let attack = i % 3 == 0;
            let text = match (attack, i / 3 % 9) {
                (true, 0) => format!("sshd[{pid}]: Failed password for root from {ip} port {port} ssh2"),
                (true, 1) => format!("sshd[{pid}]: Failed password for invalid user admin from {ip} port {port} ssh2"),
                (true, 2) => format!("sshd[{pid}]: Invalid user oracle from {ip} port {port}"),
                (true, 3) => format!("sshd[{pid}]: User root from {ip} not allowed because not listed in AllowUsers"),
                (true, 4) => format!("sshd[{pid}]: error: maximum authentication attempts exceeded for root from {ip} port {port} ssh2 [preauth]"),
                (true, 5) => format!("sshd[{pid}]: Received disconnect from {ip} port {port}:3: Auth fail [preauth]"),
                (true, 6) => format!("sshd[{pid}]: error: PAM: Authentication failure for root from {ip}"),
                (true, 7) => format!("sshd[{pid}]: Failed publickey for git from {ip} port {port} ssh2: RSA SHA256:abc"),
                (true, _) => format!("sshd[{pid}]: Disconnecting authenticating user root {ip} port {port}: Too many authentication failures [preauth]"),
                (false, 0) => format!("CRON[{pid}]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)"),
                (false, 1) => "sudo:  alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/apt update".to_owned(),
                (false, 2) => format!("systemd-logind[612]: New session {i} of user alice."),
                (false, 3) => format!("kernel: [{i:5}.123456] IN=eth0 OUT= MAC=52:54:00 SRC={ip} DST=192.0.2.1 LEN=60 PROTO=TCP SPT={port} DPT=23"),
                (false, 4) => format!("sshd[{pid}]: Accepted publickey for alice from {ip} port {port} ssh2: ED25519 SHA256:def"),
                (false, 5) => format!("sshd[{pid}]: pam_unix(sshd:session): session closed for user alice"),
                (false, 6) => "dbus-daemon[511]: [system] Activating via systemd: service name='org.freedesktop.hostname1'".to_owned(),
                (false, 7) => format!("CRON[{pid}]: pam_unix(cron:session): session closed for user root"),
                (false, _) => "su[5122]: (to postgres) root on none".to_owned(),
            };
            (format!("{date} srv {text}"), attack)
        })
        .collect()
}

#[test]
#[ignore = "a measurement, not a test"]
fn nanoseconds_per_line() {
    let Some(stock) = Stock::new() else { return };
    let lines = auth_log(99_000);
    for (what, wanted) in [("all", None), ("attacks", Some(true)), ("others", Some(false))] {
        let mut filter = stock.filter("sshd", &Map::new());
        filter.set_findtime(86_400.0);
        let chosen: Vec<&str> = lines
            .iter()
            .filter(|(_, attack)| wanted.is_none_or(|w| w == *attack))
            .map(|(line, _)| line.as_str())
            .collect();
        let at = Moment { now: NOW, in_operation: false };
        // The first thousand lines build what is built once.
        let (mut matched, mut failures) = (0, 0);
        let start = Instant::now();
        for line in &chosen[..1000] {
            filter.judge(line, at, &mut Nobody);
        }
        let first = start.elapsed();
        let start = Instant::now();
        for line in &chosen {
            let verdict = filter.judge(line, at, &mut Nobody);
            matched += usize::from(!verdict.hits.is_empty());
            failures += verdict.failures.len();
        }
        let each = start.elapsed().as_nanos() / chosen.len() as u128;
        println!(
            "{what}: {each} ns a line, {} lines, {matched} matched, {failures} failures (first thousand: {first:?})",
            chosen.len()
        );
    }
    let path = std::env::temp_dir().join("portcullis-speed-auth.log");
    let text: String = lines.iter().map(|(line, _)| format!("{line}\n")).collect();
    std::fs::write(&path, text).unwrap();
    println!("the log is in {}", path.display());
}
