//! What twenty jails on one file cost more than one: CPU time of our server while a burst of lines is written to it.
//!
//! `jails [LINES]`

// A measurement speaks by panicking, as tests do.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)]

use std::thread::sleep;
use std::time::{Duration, Instant};

use portcullis_compliance::{Peer, Who};

mod logs;

/// What is wanted of the ratio.
const WANTED: f64 = 3.0;

/// Twenty filters; the first one is it that has business in the log.
const FILTERS: [&str; 20] = [
    "sshd",
    "dovecot",
    "postfix",
    "nginx-http-auth",
    "apache-auth",
    "named-refused",
    "recidive",
    "dropbear",
    "proftpd",
    "vsftpd",
    "pure-ftpd",
    "exim",
    "courier-auth",
    "cyrus-imap",
    "sendmail-auth",
    "perdition",
    "roundcube-auth",
    "asterisk",
    "mysqld-auth",
    "squid",
];

/// Seconds of CPU that all threads of a process have used (proc(5), in nanoseconds there).
fn cpu(process: u32) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap().flatten();
    let of = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).unwrap_or(0.0)
    };
    threads.map(|thread| of(thread.path())).sum::<f64>() / 1e9
}

/// CPU seconds of a server with so many jails for a burst of lines.
fn burst(jails: usize, lines: usize) -> f64 {
    let mut peer = Peer::new(Who::Ours).expect("no tools");
    let sections: String = FILTERS[..jails]
        .iter()
        .map(|filter| format!("[{filter}]\nenabled = true\nfilter = {filter}\nlogpath = @DIR@/all.log\n"))
        .collect();
    peer.write("all.log", "");
    peer.write(
        "conf/jail.conf",
        &format!(
            "[DEFAULT]\nbackend = auto\nusedns = no\nmaxretry = 1000000\nfindtime = 600\naction =\n{sections}"
        ),
    );
    peer.start();
    let process = peer.pid().unwrap();
    // Once, so that what is built when it is first needed is built.
    let kind = logs::KINDS.iter().find(|kind| kind.filter == FILTERS[0]).expect("a log for it");
    peer.append("all.log", &kind.log(1000, &jiff::Zoned::now(), 5, 1));
    settled(process);
    let before = cpu(process);
    peer.append("all.log", &kind.log(lines, &jiff::Zoned::now(), 20, 2));
    let after = settled(process);
    peer.stop();
    after - before
}

/// Waits until the server has nothing to do; its CPU time then.
fn settled(process: u32) -> f64 {
    let begin = Instant::now();
    let mut last = cpu(process);
    let mut calm = 0;
    while calm < 5 {
        assert!(begin.elapsed() < Duration::from_secs(120), "the server never comes to rest");
        sleep(Duration::from_millis(200));
        let now = cpu(process);
        calm = if now - last < 0.002 { calm + 1 } else { 0 };
        last = now;
    }
    last
}

fn main() {
    let lines = std::env::args().nth(1).and_then(|lines| lines.parse().ok()).unwrap_or(300_000);
    println!("the server, a burst of {lines} lines, a third of them attacks that one jail counts; CPU time");
    let mut ratios = Vec::new();
    for _ in 0..3 {
        let (one, twenty) = (burst(1, lines), burst(FILTERS.len(), lines));
        let nanoseconds = |seconds: f64| seconds * 1e9 / lines as f64;
        println!(
            "  one jail {:6.0} ns a line;  twenty jails {:6.0} ns a line;  {:.2} times",
            nanoseconds(one),
            nanoseconds(twenty),
            twenty / one
        );
        ratios.push(twenty / one);
    }
    ratios.sort_by(f64::total_cmp);
    let met = if ratios[1] < WANTED { "met" } else { "MISSED" };
    println!("  median {:.2} times; wanted less than {WANTED}: {met}", ratios[1]);
}
