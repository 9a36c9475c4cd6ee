//! One database, two programs in turn: each restores the other's bans and reads on where the other stopped.

#![allow(clippy::unwrap_used)]

use std::process::Command;

use portcullis_compliance::{Comparison, Peer, Signal, Who, wait_for};

const JAILS: &str = "[j]
enabled = true
filter = j
backend = polling
logpath = @DIR@/j.log
maxretry = 2
findtime = 600
bantime = 3600
action = true[name=one]

[grow]
enabled = true
filter = j
backend = polling
logpath = @DIR@/grow.log
maxretry = 3
findtime = 600
bantime = 600
bantime.increment = true
action = true[name=two]
";

const FILTER: &str = "[Definition]
failregex = ^ fail (?:user=<F-USER>\\S+</F-USER> )?from <HOST>
            ^ fail id=<F-ID>\\S+</F-ID> at <HOST>
";

const ACTION: &str = "[Definition]
actionstart = true
actionstop = true
actioncheck =
actionban = echo \"ban <ip> <fid> <failures> <bantime> <bancount> <restored> <F-USER>\" >> @DIR@/acted
actionunban = true
";

fn prepare(peer: &Peer) {
    peer.write("conf/jail.local", JAILS);
    peer.write("conf/filter.d/j.conf", FILTER);
    peer.write("conf/action.d/true.conf", ACTION);
    for log in ["j.log", "grow.log"] {
        peer.write(log, "the first line of this log\n");
    }
}

/// A log line of now.
fn line(text: &str) -> String {
    let now = Command::new("date").arg("+%Y-%m-%d %H:%M:%S").output().unwrap();
    format!("{}{text}\n", String::from_utf8(now.stdout).unwrap().trim_end())
}

/// Rows of the database as Python reads them, without what depends on the moment.
fn rows(peer: &Peer) -> String {
    let script = "
import re, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
for table, columns in (('fail2banDb', 'version'), ('jails', 'name, enabled'), ('logs', 'jail, path, length(firstlinemd5), lastfilepos'),
        ('bans', 'jail, ip, typeof(timeofban), bantime, typeof(bantime), bancount, typeof(data), data'),
        ('bips', 'jail, ip, typeof(timeofban), bantime, typeof(bantime), bancount, typeof(data), data')):
    for row in db.execute('SELECT %s FROM %s ORDER BY 1, rowid' % (columns, table)): print(table, row)
# What a sudden end leaves of ours, Fail2ban does not look at.
for row in db.execute(\"SELECT name, sql FROM sqlite_master WHERE tbl_name NOT LIKE 'portcullis%' ORDER BY name\"): print(row)
";
    let file = peer.path("f2b.sqlite3");
    let output = Command::new("python3").arg("-c").arg(script).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    peer.mask(&String::from_utf8(output.stdout).unwrap())
}

fn wait_rows(peer: &Peer, text: &str) {
    let came = wait_for(std::time::Duration::from_secs(20), || rows(peer).contains(text).then_some(()));
    assert!(came.is_some(), "no {text} in\n{}", rows(peer));
}

/// The first program's day: bans of all kinds.
fn first_day(peer: &mut Peer, how_it_ends: Option<Signal>) -> String {
    peer.start();
    peer.wait_log("Jail 'grow' started");
    for text in [
        " fail user=joe from 192.0.2.1",
        " fail from 192.0.2.1",
        " fail id=amy at 192.0.2.9",
        " fail id=amy at 192.0.2.9",
    ] {
        peer.append("j.log", &line(text));
    }
    // One failure that counts on under nobody: the position must be kept though it bans nobody.
    peer.append("j.log", &line(" fail from 192.0.2.77"));
    peer.wait_log("Found 192.0.2.77");
    peer.wait_log("Ban amy");
    let mut said = String::new();
    let mut ask = |peer: &Peer, words: &[&str]| said += &peer.client(words).masked().stdout;
    ask(peer, &["set", "j", "banip", "2001:DB8::5", "198.51.100.0/24", "10.0.0.1", "9.0.0.1"]);
    ask(peer, &["set", "j", "unbanip", "9.0.0.1"]);
    ask(peer, &["set", "grow", "banip", "192.0.2.30", "192.0.2.31"]);
    wait_rows(peer, "('grow', '192.0.2.31'");
    wait_rows(peer, "('j', '10.0.0.1'");
    ask(peer, &["get", "j", "banip", "--with-time"]);
    match how_it_ends {
        // Written within ten seconds, or at a stop.
        Some(signal) => {
            let size = std::fs::metadata(peer.path("j.log")).unwrap().len();
            wait_rows(peer, &format!("40, {size})"));
            peer.signal(signal);
            peer.ended();
        }
        None => drop(peer.stop()),
    }
    said
}

/// The second program's day on the same files: what is restored, what is read.
fn second_day(peer: &mut Peer) -> Vec<(&'static str, String)> {
    std::fs::write(peer.path("fail2ban.log"), "").unwrap();
    std::fs::write(peer.path("acted"), "").unwrap();
    // Logged while nobody was there.
    peer.append("j.log", &line(" fail from 192.0.2.50"));
    peer.append("grow.log", &line(" fail user=eve from 192.0.2.40"));
    peer.start();
    peer.wait_log("Found 192.0.2.50");
    peer.wait_log("Found 192.0.2.40");
    peer.wait_log_times("Restore Ban", 7);
    // The genuine program fails in its actions for a restored identity that is no address: nothing to compare with.
    let acted = || {
        let mut lines: Vec<String> =
            peer.read("acted").lines().filter(|line| !line.contains("amy")).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    wait_for(std::time::Duration::from_secs(20), || (acted().len() == 6).then_some(()));
    let acted = acted().join("\n");
    let said = peer.client(&["set", "grow", "bantime", "900"]).masked().stdout;
    let with_time = peer.client(&["get", "j", "banip", "--with-time"]).masked().stdout;
    let mut banned: Vec<String> =
        peer.client(&["get", "j", "banip"]).stdout.split_whitespace().map(str::to_owned).collect();
    banned.sort();
    let status = peer.client(&["status", "grow"]).masked().stdout;
    peer.stop();
    let mut log: Vec<String> = peer
        .messages(&["Found ", "Restore Ban", "Added logfile"])
        .lines()
        .map(|line| line.to_owned() + "\n")
        .collect();
    log.sort();
    vec![
        ("what the actions got", acted),
        ("set", said),
        ("bans with time", with_time.lines().count().to_string()),
        ("bans", banned.join(" ")),
        ("status", status),
        ("log", log.concat()),
        ("rows", rows(peer)),
    ]
}

/// Two days on one set of files, each under its program.
fn days(first: Who, second: Who, how_it_ends: Option<Signal>) -> Option<Vec<(&'static str, String)>> {
    let mut one = Peer::new(first)?;
    let mut two = Peer::new(second)?;
    prepare(&one);
    prepare(&two);
    let said = first_day(&mut one, how_it_ends);
    let between = rows(&one);
    for file in ["j.log", "grow.log"] {
        std::fs::copy(one.path(file), two.path(file)).unwrap();
    }
    // The database with whatever a sudden end left beside it; paths in it are made those of the second place.
    for suffix in ["", "-wal", "-journal"] {
        let (from, to) = (format!("f2b.sqlite3{suffix}"), format!("f2b.sqlite3{suffix}"));
        if one.path(&from).exists() {
            std::fs::copy(one.path(&from), two.path(&to)).unwrap();
        }
    }
    let script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('UPDATE logs SET path = replace(path, ?, ?)', sys.argv[2:4]); db.commit()";
    let places =
        [one.path("f2b.sqlite3").parent().unwrap().to_owned(), two.path("x").parent().unwrap().to_owned()];
    let moved =
        Command::new("python3").arg("-c").arg(script).arg(two.path("f2b.sqlite3")).args(&places).status();
    assert!(moved.unwrap().success());
    let mut seen = second_day(&mut two);
    seen.insert(0, ("first day", said));
    seen.insert(1, ("rows between", between));
    Some(seen)
}

/// Compares runs with one of two genuine days. A sudden end is only asked of ours: the genuine program has not written its
/// position by then, and reads lines twice.
fn compare(pairs: &[(Who, Who)], how_it_ends: Option<Signal>, name: &str) {
    let run = |first, second, how| std::thread::spawn(move || days(first, second, how));
    let genuine = run(Who::Genuine, Who::Genuine, None);
    let runs: Vec<_> = pairs.iter().map(|&(first, second)| run(first, second, how_it_ends)).collect();
    let Some(genuine) = genuine.join().unwrap() else { return };
    let mut comparison = Comparison::new(name);
    for ((first, second), other) in pairs.iter().zip(runs) {
        let Some(other) = other.join().unwrap() else { return };
        for ((what, expected), (_, found)) in genuine.iter().zip(other) {
            if how_it_ends.is_none() || *what != "rows between" {
                comparison.same(&format!("{first}, then {second}: {what}"), expected, &found);
            }
        }
    }
    comparison.finish();
}

#[test]
fn either_program_goes_on_where_the_other_stopped() {
    let pairs = [(Who::Genuine, Who::Ours), (Who::Ours, Who::Genuine), (Who::Ours, Who::Ours)];
    compare(&pairs, None, "two programs in turn on one database");
}

#[test]
fn either_program_goes_on_where_ours_was_killed() {
    let pairs = [(Who::Ours, Who::Genuine), (Who::Ours, Who::Ours)];
    compare(&pairs, Some(Signal::KILL), "two programs in turn on one database, ours killed");
}
