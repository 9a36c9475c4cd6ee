//! A filter's rules beyond regexes: connections, time, ignoreregex, several lines, identities. Each expectation was
//! observed on Fail2ban 1.0.2.

#![allow(clippy::panic, clippy::unwrap_used)]

use std::net::IpAddr;

use portcullis_jail::filter::{Filter, Moment, Status, Verdict};
use portcullis_jail::{Outside, Timestamp};

/// 2005-08-14 10:00:00 UTC.
const NOW: Timestamp = Timestamp(1_124_013_600.0);

/// Knows one name.
struct World;

impl Outside for World {
    fn resolve(&mut self, name: &str) -> Result<Vec<IpAddr>, String> {
        match name {
            "two.example" => Ok(vec!["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()]),
            _ => Err("[Errno -2] Name or service not known".into()),
        }
    }
}

fn filter(prefregex: &str, failregex: &[&str]) -> Filter {
    let mut filter = Filter::new();
    filter.set_jail("j");
    filter.set_prefregex(prefregex).unwrap();
    for regex in failregex {
        filter.add_failregex(regex).unwrap();
    }
    filter
}

fn judge(filter: &mut Filter, line: &str, in_operation: bool) -> Verdict {
    filter.judge(line, Moment { now: NOW, in_operation }, &mut World)
}

/// Identity, and without dates the lines that led to it.
fn told(verdict: &Verdict) -> Vec<String> {
    let line = |f: &portcullis_jail::Failure| {
        f.matches.iter().map(|m| m.after.as_str()).collect::<Vec<_>>().join("|")
    };
    verdict.failures.iter().map(|f| format!("{} {}", f.id, line(f))).collect()
}

#[test]
fn lines_of_a_connection_come_together() {
    let failregex = [
        "^F <F-USER>\\S+</F-USER> <HOST>$",
        "^<F-NOFAIL>N</F-NOFAIL> <HOST>$",
        "^L <F-USER>\\S+</F-USER>$",
        "^<F-NOFAIL><F-MLFFORGET>B</F-MLFFORGET></F-NOFAIL>$",
        "^<F-MLFFORGET><F-MLFGAINED>A</F-MLFGAINED></F-MLFFORGET> <F-USER>\\S+</F-USER>(?: <HOST>)?$",
        "^<F-NOFAIL>n</F-NOFAIL>$",
        "^<F-MLFGAINED>a</F-MLFGAINED>$",
    ];
    for (lines, wanted) in [
        (
            "L bob;L bob;N 1.2.3.4;n;L amy;N 1.2.3.4",
            "1.2.3.4 L bob|L bob|N 1.2.3.4;1.2.3.4 n|L amy;1.2.3.4 N 1.2.3.4",
        ),
        ("N 1.2.3.4;L bob;L bob", "1.2.3.4 N 1.2.3.4|L bob;1.2.3.4 L bob"),
        ("F bob 1.2.3.4;F amy 1.2.3.4;A bob", "1.2.3.4 F bob 1.2.3.4;1.2.3.4 F amy 1.2.3.4;1.2.3.4 A bob"),
        ("F bob 1.2.3.4;B;L bob", "1.2.3.4 F bob 1.2.3.4"),
        ("L bob;A bob", ""),
        ("L amy;A bob 1.2.3.4", "1.2.3.4 A bob 1.2.3.4"),
        ("L bob;n;a;n;L bob;N 1.2.3.4;L bob", "1.2.3.4 a|n|L bob|N 1.2.3.4;1.2.3.4 L bob"),
        ("L bob;L amy;n;B;L bob;N 1.2.3.4", "1.2.3.4 L bob|N 1.2.3.4"),
        ("n;n;F bob 1.2.3.4;F bob 1.2.3.4", "1.2.3.4 n|n|F bob 1.2.3.4;1.2.3.4 F bob 1.2.3.4"),
        ("F bob 1.2.3.4;F bob 2001:db8::1", "1.2.3.4 F bob 1.2.3.4;1.2.3.4 F bob 2001:db8::1"),
    ] {
        let mut filter = filter("^<F-MLFID>id</F-MLFID> <F-CONTENT>.+</F-CONTENT>$", &failregex);
        let found: Vec<String> = lines
            .split(';')
            .flat_map(|line| told(&judge(&mut filter, &format!("id {line}"), true)))
            .collect();
        assert_eq!(found.join(";").replace("id ", ""), wanted, "{lines}");
    }
}

#[test]
fn an_old_line_counts_in_operation_only() {
    let mut filter = filter("", &["^ fail <HOST>$"]);
    for (line, in_operation, status, time) in [
        ("2005-08-14 09:50:00 fail 1.2.3.4", false, Status::Matched, Some(-600.0)),
        ("2005-08-14 09:49:59 fail 1.2.3.4", false, Status::TooOld, None),
        ("2005-08-14 10:00:09 fail 1.2.3.4", false, Status::Matched, Some(0.0)),
        ("2005-08-14 09:59:00 fail 1.2.3.4", true, Status::Matched, Some(-60.0)),
        ("2005-08-14 09:58:59 fail 1.2.3.4", true, Status::Matched, Some(0.0)),
        ("2004-08-14 09:58:59 fail 1.2.3.4", true, Status::Matched, Some(0.0)),
    ] {
        let verdict = judge(&mut filter, line, in_operation);
        assert_eq!(verdict.status, status, "{line}");
        assert_eq!(verdict.failures.first().map(|f| f.time.since(NOW)), time, "{line}");
    }
}

#[test]
fn odd_times_are_told_once_a_day() {
    let mut filter = filter("", &["^ fail <HOST>$"]);
    let line = "2005-08-14 11:00:00 fail 1.2.3.4";
    let notes: Vec<String> = judge(&mut filter, line, true).notes.into_iter().map(|note| note.text).collect();
    assert_eq!(
        notes,
        [
            "[j] Detected a log entry 1h after the current time in operation mode. This looks like a timezone problem. \
             Treating such entries as if they just happened.",
            "[j] Please check a jail for a timing issue. Line with odd timestamp: 2005-08-14 11:00:00 fail 1.2.3.4",
        ]
    );
    assert!(judge(&mut filter, line, true).notes.is_empty());
}

#[test]
fn ignoreregex_sees_the_whole_line_only_beside_many_failregexes() {
    for (failregex, ignored) in [(1, false), (4, true)] {
        let mut filter = filter("^ d: <F-CONTENT>.+</F-CONTENT>$", &vec!["^fail <HOST>$"; failregex]);
        filter.add_ignoreregex("^ d: fail").unwrap();
        let verdict = judge(&mut filter, "2005-08-14 10:00:00 d: fail 1.2.3.4", true);
        assert_eq!(verdict.status == Status::Ignored, ignored, "{failregex} failregexes");
    }
}

#[test]
fn skipped_lines_stay_in_the_window() {
    let mut filter = Filter::new();
    filter.set_maxlines(3);
    filter.add_failregex("^ a.*$<SKIPLINES>^ b <HOST>$").unwrap();
    let mut found = |lines: &[&str]| -> Vec<usize> {
        let dated = lines.iter().map(|line| format!("2005-08-14 10:00:00 {line}"));
        dated.map(|line| judge(&mut filter, &line, true).failures.len()).collect()
    };
    assert_eq!(found(&["a", "a", "b 1.2.3.4", "b 1.2.3.4", "b 1.2.3.4"]), [0, 0, 1, 1, 0]);
    // Differs: what ends a line for Python, but none of a log, makes Fail2ban lose the second.
    assert_eq!(found(&["a", "a\u{b}", "b 1.2.3.4", "b 1.2.3.4", "b 1.2.3.4"]), [0, 0, 1, 1, 0]);
}

#[test]
fn an_identity_is_an_address_a_network_a_name_or_any_text() {
    for (regex, line, wanted) in [
        ("^w <HOST>$", "w 999.1.1.1", "999.1.1.1"),
        ("^w <HOST>$", "w [2001:DB8:0:0::1]", "2001:db8::1"),
        ("^w <HOST>$", "w ::ffff:102:304", "1.2.3.4"),
        ("^w <HOST>$", "w two.example", "192.0.2.7 2001:db8::7"),
        ("^w <HOST>$", "w no.example", ""),
        ("^w <SUBNET>$", "w 1.2.3.4/24", "1.2.3.0/24"),
        ("^w <F-ID>\\S+</F-ID> <HOST>$", "w u/abc 1.2.3.4", "u/abc"),
        ("^w <F-ID>\\S+</F-ID> <HOST>$", "w u two.example", "192.0.2.7 2001:db8::7"),
        (
            "^w <F-TUPLE_ID>c</F-TUPLE_ID>(?: <F-TUPLE_ID_1>d</F-TUPLE_ID_1>)? (?P<fid>b)?<HOST>$",
            "w c b1.2.3.4",
            "('b', 'c', None)",
        ),
    ] {
        let mut filter = filter("", &[regex]);
        let found: Vec<String> =
            judge(&mut filter, line, true).failures.iter().map(|f| f.id.to_string()).collect();
        assert_eq!(found.join(" "), wanted, "{regex} on {line}");
    }
}

#[test]
fn a_bad_regex_is_refused_in_fail2ban_s_words() {
    let mut filter = Filter::new();
    for (regex, wanted) in [
        (" ", "Cannot add empty regex"),
        ("^fail$", "No failure-id group in '^fail$'"),
        (
            "^fail (<F-ID/>",
            "Unable to compile regular expression '^fail ((?P<fid>\\S+)':\nmissing ), unterminated subpattern at position 6",
        ),
        (
            "<F-A-B>x</F-A-B>",
            "Unable to compile regular expression '(?P<a-b>x)':\nbad character in group name 'a-b' at position 4",
        ),
    ] {
        assert_eq!(filter.add_failregex(regex).unwrap_err().to_string(), wanted);
    }
    assert_eq!(filter.failregex().len(), 0);
}

/// Lines with dates of several kinds, without, odd ones, and some that match.
const LINES: [&str; 8] = [
    "Aug 14 09:59:58 host sshd[1]: bad user joe from 192.0.2.1",
    "Aug 14 09:59:58 host sshd[1]: fine user joe from 192.0.2.2",
    "Aug 14 09:59:59 host sshd[1]: bad user é from 192.0.2.3",
    "2005-08-14T09:59:59.123 host sshd[1]: bad user ann from 192.0.2.4",
    "Aug 14 07:00:00 host sshd[1]: bad user eve from 192.0.2.5",
    "Feb 30 07:00:00 host sshd[1]: bad user bob from 192.0.2.6",
    "bad user nobody from 192.0.2.7",
    "host sshd[1]: Aug 14 10:00:00 bad user tom from 192.0.2.8",
];

proptest::proptest! {
    #[test]
    fn jails_that_share_a_page_say_what_they_say_of_its_lines(
        pages in proptest::collection::vec(proptest::collection::vec(0..LINES.len(), 1..6), 1..8),
        in_operation: bool,
    ) {
        let new = || filter("", &["bad user <F-USER>\\S+</F-USER> from <HOST>$"]);
        let (mut alone, mut first, mut second) = (new(), new(), new());
        let at = Moment { now: NOW, in_operation };
        for lines in pages {
            let lines: Vec<&str> = lines.into_iter().map(|line| LINES[line]).collect();
            let page = portcullis_jail::Page::new(format!("{}\n", lines.join("\n")).into_bytes(), NOW);
            let wanted: Vec<_> = lines
                .iter()
                .map(|line| alone.judge(line, at, &mut World))
                .filter(|verdict| !verdict.failures.is_empty() || !verdict.notes.is_empty())
                .map(|verdict| (verdict.failures, verdict.notes))
                .collect();
            for filter in [&mut first, &mut second] {
                let (mut next, mut told) = (0, Vec::new());
                while let Some(verdict) = filter.judge_page(&page, at, &mut next, &mut World) {
                    told.push((verdict.failures, verdict.notes));
                    next += 1;
                }
                proptest::prop_assert_eq!(&told, &wanted);
            }
        }
    }
}
