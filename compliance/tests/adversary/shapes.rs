//! The ten shapes of line that are known to stop Fail2ban's own engine: the genuine tester's verdict where it comes to an end,
//! and ours, the same at 8 KiB, within the promised time.

use std::time::Duration;

use portcullis_compliance::{Comparison, both};
use portcullis_jail::Nobody;
use serde_json::Map;

use super::corpus::stock::Stock;
use super::python::Shape;
use super::{AT, LIMIT, LINE, cost};

/// A filter, what stands before what comes again and again, that, what follows so that all just fails, and what follows so that
/// it matches.
const KNOWN: [(&str, &str, &str, &str, &str); 10] = [
    (
        "dovecot",
        "Nov 22 10:00:00 h dovecot: imap-login: Disconnected",
        ": a",
        "",
        " (auth failed, 1 attempts in 2 secs): user=<x>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2",
    ),
    (
        "domino-smtp",
        "2026-11-22 10:00:00   smtp: ",
        "ab ",
        "!",
        "[192.0.2.1] authentication failure using internet password",
    ),
    (
        "courier-auth",
        "Nov 22 10:00:00 h imapd: LOGIN FAILED, ",
        "user=a, ",
        "ip=[::ffff:192.0.2.1",
        "ip=[::ffff:192.0.2.1]",
    ),
    (
        "apache-modsecurity",
        "[Sun Nov 22 10:00:00 2026] [error] [client 192.0.2.1] ModSecurity: ",
        "[file \"/a\"] [line \"1\"] [tag ",
        "\u{1}",
        "x] Access denied with code 403 (phase 2).",
    ),
    (
        "php-url-fopen",
        "192.0.2.1 - - [22/Nov/2026:10:00:00 +0100] ",
        "\"GET /index.php?n=http://e ",
        "",
        "HTTP/1.1\" 200 1 \"-\" \"x\"",
    ),
    (
        "apache-badbots",
        "192.0.2.1 - - [22/Nov/2026:10:00:00 +0100] ",
        "\"POST /1.html HTTP/1.0\" ",
        "",
        "301 459 \"x\" \"TrackBack/1.02\"",
    ),
    (
        "murmur",
        "<W>2026-11-22 10:00:00.818 ",
        "1",
        "",
        " => <4:x(-1)> Rejected connection from 192.0.2.1:29530: Invalid server password",
    ),
    (
        "softethervpn",
        "2026-11-22 10:00:00.123 h",
        " ",
        "x",
        "Connection \"CID-72\": User authentication failed. The user name that has been provided was \"bob\", from 192.0.2.1.",
    ),
    (
        "lighttpd-auth",
        "2026-11-22 10:00:00: (http_auth.c.875) password doesn't match ",
        "for /g username: ",
        "x",
        "for /g username: x, IP: 192.0.2.1",
    ),
    (
        "uwimap-auth",
        "Nov 22 10:00:00 h imapd[666]: Login failed user=p auth=p ",
        "host=r [127.0.0.1] ",
        "x",
        "host=r [192.0.2.1]",
    ),
];

/// So many bytes the genuine engine can bear; what it takes doubles with each repeat in the worst of them.
const BEARABLE: usize = 130;

/// Each with the end that fails and the one that matches.
fn shapes() -> impl Iterator<Item = (&'static str, Shape)> {
    KNOWN.into_iter().flat_map(|(filter, head, pump, fails, matches)| {
        [fails, matches].map(|tail| {
            (filter, Shape { head: head.to_owned(), pump: pump.to_owned(), tail: tail.to_owned() })
        })
    })
}

/// The shape with few repeats.
fn short(shape: &Shape, repeats: usize) -> String {
    format!("{}{}{}", shape.head, shape.pump.repeat(repeats), shape.tail)
}

#[test]
fn the_known_shapes_have_the_genuine_verdict_when_short() {
    let Some((genuine, ours)) = both(|peer| {
        peer.env("TZ", "UTC");
        let all: Vec<(&str, Shape)> = shapes().collect();
        let each = all.chunks(2).map(|both_ends| {
            let filter = both_ends[0].0;
            let lines = both_ends.iter().flat_map(|(_, shape)| {
                let most = BEARABLE / shape.pump.len();
                [0, 1, 2, 5, 8.min(most)].map(|repeats| short(shape, repeats))
            });
            let lines = lines.collect::<Vec<_>>().join("\n");
            peer.write("lines", &(lines.clone() + "\n"));
            let arguments = ["-c", "@DIR@/conf", "--usedns=raw", "-o", "row", "@DIR@/lines", filter];
            (filter, lines, peer.regex(&arguments).stdout)
        });
        each.collect::<Vec<_>>()
    }) else {
        return;
    };
    let mut comparison = Comparison::new("known shapes");
    for ((filter, lines, genuine), (.., ours)) in genuine.iter().zip(&ours) {
        comparison.same(&format!("{filter}\n{lines}"), genuine, ours);
    }
    let matched = genuine.iter().filter(|(.., rows)| !rows.trim().is_empty()).count();
    comparison.finish();
    assert!(matched == KNOWN.len(), "only {matched} of the shapes match at all");
}

#[test]
fn the_known_shapes_keep_their_verdict_at_8_kib_and_take_no_time() {
    let Some(stock) = Stock::new() else { return };
    let mut mistakes = Vec::new();
    for (name, shape) in shapes() {
        let mut filter = stock.filter(name, &Map::new());
        let mut verdict = |line: &str| filter.judge(line, AT, &mut Nobody).failures.len();
        let line = shape.line(LINE);
        let (few, many) = (verdict(&short(&shape, 8)), verdict(&line));
        let time = (0..3).map(|_| cost(&mut filter, &line, 3)).min().unwrap_or(Duration::MAX);
        println!("{time:?} for {} bytes, {many} failures: {name} {:.20?}", line.len(), shape.tail);
        if time > LIMIT || few != many || filter.counters().too_hard > 0 {
            mistakes.push(format!("{name}: {time:?}, {few} failures and {many}: {:.20?}", shape.tail));
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}
