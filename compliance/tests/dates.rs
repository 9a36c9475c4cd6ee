//! Random dates in random lines: what is cut out, what time it is, and which templates rise, against the genuine program.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use portcullis_compliance::{Comparison, Dated, Peer, Who};
use portcullis_jail::Timestamp;
use portcullis_jail::date::{Detector, Zones};

/// Lines in a file (`LINES=…` tries more), and files for each pattern.
const LINES: usize = 60;
const FILES: usize = 3;

/// A small generator of pseudo-random numbers (xorshift64*): a seed is all that a failure needs to be seen again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 33) as usize % limit
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.below(items.len())]
    }
}

const MONTHS: [&str; 14] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "aug", "OCT"];
const DAYS: [&str; 8] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "sUN"];
const ZONES: [&str; 12] =
    ["Z", "UTC", "GMT", "+0200", "+02:00", "-0530", "+02", "CEST", "EST", "MSK", "+2", "utc"];
const FRACTIONS: [&str; 8] = ["", "", ".123", ",981", ".123456", ".1234567", ".5", "."];

/// What a strftime-like pattern makes of random fields, which need not be a date.
fn dated(random: &mut Random, format: &str) -> String {
    let (year, month, day) = (1998 + random.below(35), random.below(13), random.below(33));
    let (hour, minute, second) = (random.below(25), random.below(60), random.below(61));
    Dated { year, month, day, hour, minute, second }.written(format, |letter| match letter {
        'n' => month.to_string(),
        'I' => (hour % 12 + 1).to_string(),
        'b' => random.of(&MONTHS).to_string(),
        'a' => random.of(&DAYS).to_string(),
        'z' => random.of(&ZONES).to_string(),
        'f' => random.of(&FRACTIONS).to_string(),
        'p' => random.of(&["AM", "PM", "pm"]).to_string(),
        's' => (900_000_000 + random.below(1_200_000_000)).to_string(),
        '@' => format!("@40000000{:016x}", random.next()),
        other => panic!("{other} in {format}"),
    })
}

const FORMATS: [&str; 34] = [
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S%f%z",
    "%Y-%m-%d %H:%M:%S%f",
    "%Y/%m/%d %H:%M:%S",
    "%Y.%m.%d %k:%M:%S %z",
    "%Y-%n-%d %H:%M:%S",
    "%b %e %H:%M:%S",
    "%b %d %H:%M:%S",
    "%b %e %k:%M:%S%f",
    "%a %b %d %H:%M:%S %Y",
    "%a %b %d %H:%M:%S%f %Y",
    "%a %b %d %Y %H:%M:%S",
    "%b %e %Y %k:%M:%S%f",
    "%d/%m/%Y %H:%M:%S",
    "%e-%m-%y %k:%M:%S",
    "%d-%m-%Y %H:%M:%S",
    "%d/%b/%Y:%H:%M:%S +0200",
    "%d/%b/%Y:%H:%M:%S %z",
    "%d-%b-%Y %H:%M:%S%f",
    "%m/%d/%Y:%H:%M:%S",
    "%m-%d-%Y %k:%M:%S%f",
    "%s",
    "[%s%f]",
    "audit(%s.123:42)",
    "%H:%M:%S",
    "<%m/%d/%y@%H:%M:%S>",
    "%y%m%d %H:%M:%S",
    "%y%m%d %k:%M:%S",
    "%b %d, %Y %I:%M:%S %p",
    "%b-%d-%y %H:%M:%S",
    "%Y%m%dT%H%M%S%f%z",
    "%Y%m%d %H%M%S",
    "%z %b %e %H:%M:%S",
    "%@",
];

const BEFORE: [&str; 24] = [
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "[",
    " ",
    "<",
    "\"",
    "(( ",
    "x",
    "é ",
    "1.2.3.4 - - [",
    "10.20.30.40 - - [",
    "host sshd[1]: ",
    "msg=",
    "a ",
    "  ",
    "--- ",
    "- ",
    "12 ",
];
const AFTER: [&str; 14] = [
    " x",
    " x",
    " x",
    "] x",
    ": x",
    ", x",
    "x",
    "5 x",
    "] [error] x",
    " é x",
    ".x",
    "Z x",
    " +0100 x",
    "\tx",
];

fn line(random: &mut Random, favourite: &str) -> String {
    let format = if random.one_in(3) { random.of(&FORMATS) } else { favourite };
    let mut line = format!("{}{}{}", random.of(&BEFORE), dated(random, format), random.of(&AFTER));
    if random.one_in(5) {
        let format = random.of(&FORMATS);
        let _ = write!(line, " {} y", dated(random, format));
    }
    if random.one_in(4) {
        let mut chars: Vec<char> = line.chars().collect();
        let at = random.below(chars.len());
        let c = random.of(&[
            " ", ":", "/", "-", ".", ",", "+", "T", "Z", "0", "1", "2", "3", "9", "a", "[", "]", "@", "é",
            "٣",
        ]);
        match random.below(3) {
            0 => chars.splice(at..at, c.chars()).for_each(drop),
            1 => chars.splice(at..=at, c.chars()).for_each(drop),
            _ => drop(chars.remove(at)),
        }
        line = chars.into_iter().collect();
    }
    // Comments are skipped by the tester, and lines that end in a blank are cut.
    format!("{}.", line.trim_start_matches('#'))
}

/// Ours: the line without its date and the time; the time only if there is one.
fn ours(detector: &mut Detector, zones: &Zones, line: &str, now: Timestamp) -> (String, Option<String>) {
    let Some(found) = detector.find(line, now) else { return (line.to_owned(), None) };
    let cut = format!("{}{}", &line[..found.start], &line[found.end..]);
    if found.start == found.end {
        return (cut, None);
    }
    let time = detector.parse(line, &found, now, zones).ok();
    let integer = detector.is_integer(line, &found, zones);
    (cut, time.map(|time| if integer { format!("{}", time.0 as i64) } else { format!("{:?}", time.0) }))
}

fn now() -> Timestamp {
    Timestamp(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64())
}

/// Compares all lines, and at the end the order, hits and weights of the templates. The genuine program ends at a line
/// with an unknown zone; then both begin anew behind it, and such a line must be without a valid date here.
fn compare(comparison: &mut Comparison, peer: &mut Peer, zone: &str, pattern: &str, lines: &[String]) {
    peer.env("TZ", zone);
    let zones = Zones::new(TimeZone::get(zone).unwrap(), None);
    let mut rest = lines;
    while !rest.is_empty() {
        peer.write("lines", &(rest.join("\n") + "\n"));
        let mut arguments = vec!["-o", "<time>\t<F-ID>", "@DIR@/lines", "^<F-ID>.*</F-ID>$"];
        let listing_arguments = ["-v", "--VD", "@DIR@/lines", "^<F-ID>.*</F-ID>$"];
        let mut listing_arguments = listing_arguments.to_vec();
        if !pattern.is_empty() {
            arguments.splice(0..0, ["-d", pattern]);
            listing_arguments.splice(0..0, ["-d", pattern]);
        }
        let genuine = peer.regex(&arguments);
        let mut detector = Detector::new(Some(pattern), now()).unwrap();
        let mut answered = genuine.stdout.lines();
        let mut done = rest.len();
        let mut last: Option<String> = None;
        for (at, line) in rest.iter().enumerate() {
            let (cut, time) = ours(&mut detector, &zones, line, now());
            let Some((genuine_time, genuine_cut)) = answered.next().and_then(|row| row.split_once('\t'))
            else {
                assert!(genuine.stderr.contains("Error"), "{genuine}");
                comparison.same(
                    &format!("{zone} {pattern:?} {line:?} (fails)"),
                    "None",
                    &format!("{time:?}"),
                );
                done = at + 1;
                break;
            };
            let what = format!("{zone} {pattern:?} {line:?}");
            // A line with an invalid date is taken whole, with the last one's time.
            let cut = if time.is_none() && last.is_some() { line.clone() } else { cut };
            let same_cut = comparison.same(&format!("{what}: cut"), genuine_cut, &cut);
            // A line without a time happens when the last one did, if that is no minute ago, or now.
            let time = time.or_else(|| last.clone()).unwrap_or_else(|| "now".to_owned());
            let masked = |text: &str| match text.parse::<f64>() {
                Ok(time) if (now().0 - time).abs() < 60.0 => "now".to_owned(),
                // In three hundred million years, Python still counts each second, and a float only every other.
                Ok(time) if time >= 2_f64.powi(53) => time.to_string(),
                _ => text.to_owned(),
            };
            // Of an hour that comes twice, mktime(3) takes the one or the other, by what it was asked before.
            let genuine_time = if same_reading(zone, genuine_time, &time) { &time } else { genuine_time };
            let genuine_time = masked(genuine_time);
            last =
                Some(time.clone()).filter(|time| time.parse::<f64>().is_ok_and(|time| time > now().0 - 60.0));
            let same_time = comparison.same(&format!("{what}: time"), &genuine_time, &masked(&time));
            if !same_cut || !same_time {
                // What follows would differ as well, since the templates' order does.
                return;
            }
        }
        if done == rest.len() {
            let genuine = peer.regex(&listing_arguments);
            let genuine: Vec<&str> = genuine
                .stdout
                .split("date format\n")
                .nth(1)
                .unwrap()
                .split("\n`-")
                .next()
                .unwrap()
                .lines()
                .collect();
            let ours: Vec<String> = detector
                .templates()
                .flat_map(|t| {
                    [
                        format!("|  [{}] {}", t.hits, t.name),
                        format!(
                            "|      # weight: {:.3} ({:.3}), pattern: {}",
                            t.weight, t.template_weight, t.pattern
                        ),
                        format!("|      # regex:   {}", t.regex),
                    ]
                })
                .collect();
            comparison.same(
                &format!("{zone} {pattern:?}: templates after {:?} ...", rest[0]),
                &genuine.join("\n"),
                &ours.join("\n"),
            );
        }
        rest = &rest[done..];
    }
}

/// Whether a clock in this zone shows the same at both times.
fn same_reading(zone: &str, one: &str, other: &str) -> bool {
    let shown = |time: &str| {
        let seconds = time.parse::<f64>().ok()?;
        let time = jiff::Timestamp::from_second(seconds as i64).ok()?;
        Some(time.to_zoned(TimeZone::get(zone).ok()?).datetime())
    };
    shown(one).is_some_and(|one| shown(other) == Some(one))
}

fn random_lines(name: &str, patterns: &[&str]) {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| now().0.to_bits() | 1);
    println!("{name}: SEED={seed}");
    let count = std::env::var("LINES").ok().and_then(|lines| lines.parse().ok()).unwrap_or(LINES);
    let mut random = Random(seed);
    let Some(mut peer) = Peer::new(Who::Genuine) else { return };
    let mut comparison = Comparison::new(format!("{name}, SEED={seed}"));
    for pattern in patterns {
        for _ in 0..FILES {
            let favourite = random.of(&FORMATS);
            let zone = random.of(&["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]);
            let lines: Vec<String> = (0..count).map(|_| line(&mut random, favourite)).collect();
            compare(&mut comparison, &mut peer, zone, pattern, &lines);
        }
    }
    comparison.finish();
}

#[test]
fn random_dates_of_the_default_list_agree() {
    random_lines("default list", &["", "", "", "", "", ""]);
}

#[test]
fn random_dates_of_keyword_patterns_agree() {
    random_lines(
        "keywords",
        &[
            "{^LN-BEG}",
            "{DATE}",
            "^[^\\[]*\\[({DATE})",
            "{^LN-BEG}EPOCH\n{^LN-BEG}",
            "LEPOCH",
            "{^LN-BEG}%ExY(?P<_sep>[-/.])%m(?P=_sep)%d[T ]%H:%M:%S(?:[.,]%f)?(?:\\s*%z)?\n^[^\\[]*\\[({DATE})\n{^LN-BEG}",
            "{NONE}",
            "TAI64N\n%Y-%m-%d",
        ],
    );
}

#[test]
fn random_dates_of_patterns_with_fields_agree() {
    random_lines(
        "fields",
        &[
            "%Y-%m-%d %H:%M:%S",
            "%b %d %H:%M:%S",
            "^%H:%M:%S",
            "**%d[/-](?:%b|%m)[/-]%Y**",
            "%Y-%m-%d\n%d/%b/%Y:%H:%M:%S %z\n%b %d %k:%M:%S",
            "{UNB}%H:%M",
            "(?:%Z )?%b %d %H:%M",
            "%ExY%Exm%Exd(?:T| )%ExH%ExM%ExS",
        ],
    );
}

#[test]
fn a_shorter_date_in_the_place_of_the_last_one_is_of_the_same_template() {
    let Some(mut peer) = Peer::new(Who::Genuine) else { return };
    let mut comparison = Comparison::new("shorter dates");
    for first in ["Tue Sep 09 20:35:59.123 2013 x", "..Tue Sep 09 20:35:59.123 2013 x"] {
        // `Fri`, `Tue` and `abc` may also be the name of a zone.
        for second in [
            "Fri Jul 23 08:59:29 xxxxxxxx z",
            "Fri Jul 23 08:59:29. 2024: x May  0 2028 15:23:26 y",
            "Fri Jul 23 08:59:29 x",
            "abc Jul 23 08:59:29 xxxxxxx z",
            "..Tue Sep 09 20:35:59.12 2013x x",
            "..abc Sep 09 20:35:59.12 2013 xx",
            ".Tue Sep 09 20:35:59.1 2013  xx.  z",
        ] {
            compare(&mut comparison, &mut peer, "UTC", "{DATE}", &[first.to_owned(), second.to_owned()]);
        }
    }
    comparison.finish();
}
