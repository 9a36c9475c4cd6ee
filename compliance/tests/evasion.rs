//! Hostile lines: text that poses as a message, and text that makes a backtracking engine run for ever.

#![allow(clippy::panic, clippy::unwrap_used)]
#![allow(dead_code, reason = "the corpus is shared with other tests")]

mod corpus;

use std::time::Duration;

use corpus::stock::Stock;
use portcullis_jail::filter::{Filter, Moment, Verdict};
use portcullis_jail::{Nobody, Timestamp};
use serde_json::Map;

/// 2026-11-22 11:00:00 UTC.
const NOW: Timestamp = Timestamp(1_795_345_200.0);

fn judge(filter: &mut Filter, line: &str) -> Verdict {
    filter.judge(line, Moment { now: NOW, in_operation: true }, &mut Nobody)
}

#[test]
fn who_writes_what_he_should_not_is_not_taken_for_another() {
    let Some(stock) = Stock::new() else { return };
    let ours = Stock::catalogue();
    let mut mistakes = Vec::new();
    let mut lines = 0;
    for row in include_str!("corpus/injections.tsv").lines().filter(|row| !row.starts_with('#')) {
        let [name, whose, line] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("{row}") };
        let mut filter = stock.filter(name, &Map::new());
        let line = &unescaped(line);
        let found: Vec<String> =
            judge(&mut filter, line).failures.iter().map(|f| f.id.text().to_owned()).collect();
        let wanted: Vec<String> = if whose == "-" { Vec::new() } else { vec![whose.to_owned()] };
        if found != wanted {
            mistakes.push(format!("{name}: {found:?} instead of {wanted:?}: {line}"));
        }
        // The catalogue's own filter knows other messages, but does not accuse those either of whom these lines only speak.
        if ["sshd", "dropbear"].contains(&name) {
            let failures = judge(&mut ours.filter(name, &Map::new()), line).failures;
            if failures.iter().any(|failure| failure.id.text().starts_with("192.0.2.")) {
                mistakes.push(format!("{name} (catalogue): {failures:?} instead of {wanted:?}: {line}"));
            }
        }
        lines += 1;
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    assert!(lines >= 40);
}

/// `\u{1b}` becomes that character.
fn unescaped(text: &str) -> String {
    let mut parts = text.split("\\u{");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |mut line, part| {
        let (code, rest) = part.split_once('}').unwrap();
        line.extend(u32::from_str_radix(code, 16).ok().and_then(char::from_u32));
        line + rest
    })
}

/// Lines that take Fail2ban 1.0.2 seconds or for ever, each for the filter that they are aimed at, of about `size` bytes.
fn pumped(size: usize) -> Vec<(&'static str, String)> {
    let line = |head: &str, pump: &str, tail: &str| format!("{head}{}{tail}", pump.repeat(size / pump.len()));
    let access = "203.0.113.9 - - [22/Nov/2026:11:00:00 +0000] ";
    vec![
        ("dovecot", line("Nov 22 11:00:00 srv dovecot: imap-login: Disconnected", ": a", "")),
        ("domino-smtp", line("22-11-2026 11:00:00   smtp: ", "ab ", "!")),
        ("domino-smtp", line("[000:000-000] 11/22/2026 11:00:00 AM SMTP Server: ", "ab ", "!")),
        ("courier-auth", line("Nov 22 11:00:00 srv imapd: LOGIN FAILED, ", "user=a, ", "ip=[::ffff:1.2.3.4")),
        (
            "apache-modsecurity",
            line(
                "[Sun Nov 22 11:00:00 2026] [error] [client 203.0.113.9] ModSecurity: ",
                "[file \"/a\"] [line \"1\"] [tag ",
                "\u{1}",
            ),
        ),
        ("php-url-fopen", line(access, "\"GET /index.php?n=http://e ", "")),
        ("apache-badbots", line(access, "\"POST /1.html HTTP/1.0\" ", "")),
        ("murmur", line("murmurd[2064]: <W>2026-11-22 11:00:00.000 ", "1", "")),
        ("murmur", line("<W>2026-11-22 11:00:00.000 ", "1", "")),
        ("softethervpn", line("2026-11-22 11:00:00 srv ", " ", "")),
        (
            "lighttpd-auth",
            line("2026-11-22 11:00:00: (http_auth.c.1) password doesn't match ", "for /g username: ", ""),
        ),
        (
            "uwimap-auth",
            line("Nov 22 11:00:00 srv ipop3d[9]: Login failed user=p ", "host=r [127.0.0.1] ", ""),
        ),
        ("sshd", line("Nov 22 11:00:00 srv sshd[9]: Failed password for invalid user ", "from x ", "!")),
        ("sshd", line("Nov 22 11:00:00 srv sshd[9]: Failed password for ", "from 1.2.3.4 port x ", "\u{1}")),
        ("sshd", line("Nov 22 11:00:00 ", "a", "")),
        (
            "postfix",
            line("Nov 22 11:00:00 srv postfix/smtpd[9]: NOQUEUE: reject: RCPT from ", "a[1.2.3.4]: ", ""),
        ),
        ("exim", line("2026-11-22 11:00:00 H=", "(a) [1.2.3.4] ", "")),
        (
            "asterisk",
            line(
                "[2026-11-22 11:00:00] NOTICE[9]: chan_sip.c:1 in handle: Registration from '",
                "a' failed for '",
                "",
            ),
        ),
        ("recidive", line("2026-11-22 11:00:00,123 fail2ban.actions [9]: NOTICE [", "a] Ban [", "")),
        (
            "sendmail-reject",
            line(
                "Nov 22 11:00:00 srv sm-mta[9]: abc: ruleset=check_rcpt, arg1=<a@b>, relay=",
                "a [1.2.3.4] ",
                "",
            ),
        ),
        (
            "roundcube-auth",
            line(
                "[22-Nov-2026 11:00:00 +0000]: IMAP Error: Login failed for ",
                "a against b from 1.2.3.4 ",
                "",
            ),
        ),
        ("slapd", line("Nov 22 11:00:00 srv slapd[9]: conn=1 fd=1 ACCEPT from IP=", "1.2.3.4:1 ", "")),
        ("mongodb-auth", line("2026-11-22T11:00:00.000 [conn1] ", "authenticate db: a ", "")),
    ]
}

/// Time that this thread has spent computing: other programs on the machine do not count.
fn computing() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn no_line_of_8_kib_takes_long_or_counts_for_another() {
    let Some(stock) = Stock::new() else { return };
    let limit = Duration::from_micros(if cfg!(debug_assertions) { 200_000 } else { 2_000 });
    let mut mistakes = Vec::new();
    for ((name, line), all) in
        pumped(8192).into_iter().flat_map(|pumped| [(pumped.clone(), false), (pumped, true)])
    {
        let mut filter = stock.filter(name, &Map::new());
        // Without the automaton too: every regex must stand for itself.
        filter.set_check_all(all);
        let limit = if all { limit * 5 } else { limit };
        // What is built once, and the cache of the automaton.
        judge(&mut filter, &line);
        // The quietest of three: page faults and neighbours are not the filter's.
        let times = (0..3).map(|_| {
            let start = computing();
            let verdict = judge(&mut filter, &line);
            (computing().saturating_sub(start), verdict)
        });
        let (time, verdict) = times.min_by_key(|(time, _)| *time).unwrap();
        println!("{name}{}: {time:?}, {} bytes", if all { " (each regex)" } else { "" }, line.len());
        if time > limit {
            mistakes.push(format!("{name} takes {time:?}: {line:.120}"));
        }
        // These two are failures, of the last one named; the genuine program says the same.
        let whose = verdict.failures.first().map(|failure| failure.id.text());
        if whose.is_some_and(|whose| name != "sshd" || !["x", "1.2.3.4"].contains(&whose)) {
            mistakes.push(format!("{name} counts {:?}: {line:.120}", verdict.failures));
        }
        if filter.counters().too_hard > 0 {
            mistakes.push(format!("{name} gives up: {line:.120}"));
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

#[test]
fn a_line_beyond_the_bound_is_cut_and_counted() {
    let Some(stock) = Stock::new() else { return };
    let mut filter = stock.filter("sshd", &Map::new());
    let long = "é".repeat(portcullis_jail::filter::LONGEST_LINE);
    let line =
        format!("Nov 22 11:00:00 srv sshd[9]: Failed password for root from 203.0.113.9 port 1 ssh2 {long}");
    judge(&mut filter, &line);
    assert_eq!(filter.counters().cut, 1);
    let verdict = judge(
        &mut filter,
        "Nov 22 11:00:00 srv sshd[9]: Failed password for root from 203.0.113.9 port 1 ssh2",
    );
    assert_eq!(verdict.failures.len(), 1);
}
