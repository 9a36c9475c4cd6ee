//! What twenty jails on one file cost more than one: CPU time of our server while a burst of lines is written to it. And what it
//! takes one jail to catch up with a log that was there before it, how much of that is done by its own thread, and how many
//! cores work on it.
//!
//! `jails [LINES]`

// A measurement speaks by panicking, as tests do.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use portcullis_compliance::{Peer, Random, Who};

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
    threads(process).values().sum()
}

/// The same by thread.
fn threads(process: u32) -> HashMap<String, f64> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap().flatten();
    let of = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).unwrap_or(0.0)
    };
    let name = |path: &Path| {
        let name = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
        format!("{} {}", name.trim(), path.display())
    };
    threads.map(|thread| (name(&thread.path()), of(thread.path()) / 1e9)).collect()
}

/// What a jail takes for a line of a log of so many that is there when it starts: seconds of CPU, and of them of the jail's own
/// thread; and how many cores work on it, in the middle half of that work.
fn catching_up(lines: usize) -> (f64, f64, f64) {
    let mut peer = Peer::new(Who::Ours).expect("no tools");
    let kind = logs::KINDS.iter().find(|kind| kind.filter == FILTERS[0]).expect("a log for it");
    // Nine lines of ten are nobody's business, as in most logs.
    let text = kind.log(lines / 4, &jiff::Zoned::now(), 600, 3);
    let mut random = Random::new(1);
    let rare: Vec<&str> = text
        .lines()
        .filter(|line| !(line.contains(" from ") && line.contains("sshd")) || random.once_in(4))
        .collect();
    let count = rare.len() * 4;
    peer.write("all.log", &format!("{}\n", rare.join("\n")).repeat(4));
    peer.write(
        "conf/jail.conf",
        "[DEFAULT]\nbackend = auto\nusedns = no\nmaxretry = 1000000\nfindtime = 86400\naction =\n\
         [sshd]\nenabled = true\nfilter = sshd\nlogpath = @DIR@/all.log\n",
    );
    let begin = Instant::now();
    peer.start();
    let process = peer.pid().unwrap();
    let (mut last, mut own) = (0.0, 0.0);
    let mut samples = Vec::new();
    let (mut seen, mut calm) = (HashMap::new(), Instant::now());
    // Threads that have ended count, too.
    while calm.elapsed() < Duration::from_secs(1) {
        sleep(Duration::from_millis(2));
        seen.extend(threads(process));
        let now: f64 = seen.values().sum();
        if now - last > 0.001 {
            (last, calm) = (now, Instant::now());
            samples.push((begin.elapsed().as_secs_f64(), now));
            own = seen.iter().filter(|(name, _)| name.starts_with("f2b/f.")).map(|(_, cpu)| cpu).sum();
        }
    }
    peer.stop();
    let reached =
        |part: f64| samples.iter().find(|(_, cpu)| *cpu >= last * part).copied().unwrap_or_default();
    let ((begin, before), (end, after)) = (reached(0.25), reached(0.75));
    let per_line = |seconds: f64| seconds / count as f64;
    (per_line(last), per_line(own), (after - before) / (end - begin))
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
    println!("one jail that catches up with a log of {} lines, one in ten an attack", lines * 4);
    for _ in 0..3 {
        let (cpu, own, cores) = catching_up(lines * 4);
        println!(
            "  {:6.0} ns of CPU a line, {:6.0} of them in the jail's thread, by {cores:.2} cores at a time",
            cpu * 1e9,
            own * 1e9
        );
    }
}
