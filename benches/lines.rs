//! Lines per second of CPU time: our `fail2ban-regex` and the genuine one, on the same synthetic auth.log, with Fail2ban's
//! own sshd filter. The summaries must agree.

// A measurement speaks by panicking, as tests do.
#![allow(clippy::panic, clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use portcullis_compliance::{children_cpu, genuine_root, workspace};

/// An auth.log of so many lines, a third of them attacks.
fn auth_log(lines: usize) -> String {
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
            format!("{date} srv {text}\n")
        })
        .collect()
}

/// Runs a tester on the log; its CPU time, and the line that sums up.
fn run(program: &mut Command, log: &Path, filter: &Path) -> (f64, String) {
    let before = children_cpu();
    let output = program.arg(log).arg(filter).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let sum =
        text.lines().find(|line| line.starts_with("Lines: ")).unwrap_or_else(|| panic!("no sum in\n{text}"));
    (children_cpu() - before, sum.to_owned())
}

fn main() {
    let root = genuine_root().unwrap_or_else(|reason| panic!("no genuine Fail2ban: {reason}"));
    let ours = workspace().join("target/release/portcullis");
    let genuine = workspace().join("target/genuine/bin/fail2ban-regex");
    let filter = root.join("etc/fail2ban/filter.d/sshd.conf");
    let log = std::env::temp_dir().join(format!("portcullis-lines-{}.log", std::process::id()));
    let lines = 100_000;
    std::fs::write(&log, auth_log(lines)).unwrap();
    println!("fail2ban-regex on {lines} lines of auth.log, a third of them attacks");
    let mut ratios = Vec::new();
    for _ in 0..3 {
        let (theirs, sum) = run(&mut Command::new(&genuine), &log, &filter);
        let (own, own_sum) = run(Command::new(&ours).arg("regex"), &log, &filter);
        assert_eq!(own_sum, sum, "the summaries differ");
        println!(
            "  genuine {theirs:6.2} s, {:9.0} lines/s;  ours {own:6.2} s, {:9.0} lines/s;  {:.0} times",
            lines as f64 / theirs,
            lines as f64 / own,
            theirs / own
        );
        ratios.push(theirs / own);
    }
    std::fs::remove_file(&log).unwrap();
    ratios.sort_by(f64::total_cmp);
    println!("  median {:.0} times; wanted 60, 120 as the stretch", ratios[1]);
}
