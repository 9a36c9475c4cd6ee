//! Lines made from what a service prints: `‹ip›`, `‹user›`, `‹date›`, `‹@%Y-%m-%d›` and `‹this|that›` in it become text.

use portcullis_compliance::{Dated, Random};

use super::{mutate, of_use};

/// Addresses as services print them; the odd ones less often.
const ADDRESSES: [&str; 12] = [
    "192.0.2.17",
    "198.51.100.9",
    "203.0.113.250",
    "10.1.2.3",
    "2001:db8::7",
    "2001:db8:0:1:2:3:4:5",
    "::1",
    "fe80::1",
    "2001:DB8::A",
    "::ffff:192.0.2.5",
    "mail.example.com",
    "host-1.example",
];
const ODD_ADDRESSES: [&str; 14] = [
    "[192.0.2.17]",
    "[2001:db8::7]",
    "192.0.2.17:4711",
    "[2001:db8::7]:4711",
    "fe80::1%eth0",
    "999.1.1.1",
    "1.2.3.4.5",
    "192.0.2.256",
    "::ffff:c000:205",
    "::",
    "unknown",
    "-",
    "192.0.2.1, 192.0.2.2",
    "UNKNOWN(192.0.2.1)",
];
const USERS: [&str; 8] = ["root", "admin", "amy", "test01", "oracle", "user.name", "x-y", "pi"];
const ODD_USERS: [&str; 18] = [
    "",
    " ",
    "a b",
    "x from 1.2.3.4",
    "x from 1.2.3.4 port 22 ssh2",
    "été",
    "'",
    "\"",
    "a\\\"b",
    "<x>",
    "[x]",
    "(x)",
    "x, rip=1.2.3.4",
    "x: y",
    "user@example.com",
    "x\u{a0}y",
    "\u{0}",
    "ſ",
];
/// As syslog writes dates, and programs that do without it.
const DATES: [&str; 8] = [
    "%b %e %H:%M:%S",
    "%b %e %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S%f%z",
    "%Y-%m-%dT%H:%M:%S.123456+01:00",
    "%Y-%m-%dT%H:%M:%S.123456Z",
    "%b %d %Y %H:%M:%S",
    "%a %b %e %H:%M:%S %Y",
    "%Y-%m-%d %H:%M:%S",
];
const ODD_DATES: [&str; 12] = [
    "[%b %e %H:%M:%S]",
    "%b %e %k:%M:%S",
    "%b %e %H:%M:%S%f",
    "%Y-%m-%d %H:%M:%S,123",
    "%Y/%m/%d %H:%M:%S",
    "%d/%b/%Y:%H:%M:%S %z",
    "%d-%m-%Y %H:%M:%S",
    "%Y%m%dT%H%M%S",
    "%s",
    "[%s.123]",
    "%@",
    "%H:%M:%S",
];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const FRACTIONS: [&str; 6] = ["", ".123", ",981", ".123456", ".5", ".1234567"];
const ZONES: [&str; 8] = ["Z", "+01:00", "+0100", "-05:30", "+01", " +0100", "", "+0000"];

/// So many lines, some of them mutants.
pub(crate) fn lines(random: &mut Random, templates: &[&str], count: usize) -> Vec<String> {
    let fresh = |random: &mut Random| {
        let template = random.pick(templates);
        filled(random, template)
    };
    let others: Vec<String> = (0..20).map(|_| fresh(random)).collect();
    let mut lines = Vec::new();
    while lines.len() < count {
        let mut line = fresh(random);
        if random.once_in(3) {
            let mutant = mutate::mutant(random, &line, &others);
            let Ok(text) = String::from_utf8(mutant) else { continue };
            line = text;
        }
        line.retain(|c| c != '\n');
        if of_use(&line) {
            lines.push(line);
        }
    }
    lines
}

/// The text with something in each place.
fn filled(random: &mut Random, template: &str) -> String {
    let mut line = String::new();
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('‹') {
        line.push_str(before);
        let end = closing(behind);
        line.push_str(&place(random, &behind[..end]));
        rest = &behind[end + '›'.len_utf8()..];
    }
    line + rest
}

/// Where the bracket is that closes what has just been opened.
fn closing(text: &str) -> usize {
    let mut depth = 0;
    let found = text.char_indices().find(|(_, c)| {
        depth += i32::from(*c == '‹') - i32::from(*c == '›');
        depth < 0
    });
    found.map_or_else(|| panic!("unclosed: {text}"), |(at, _)| at)
}

fn place(random: &mut Random, what: &str) -> String {
    match what {
        "ip" if random.once_in(6) => random.pick(&ODD_ADDRESSES).to_owned(),
        "ip" => random.pick(&ADDRESSES).to_owned(),
        "user" if random.once_in(4) => random.pick(&ODD_USERS).to_owned(),
        "user" => random.pick(&USERS).to_owned(),
        "host" => random.pick(&["srv1", "mail.example.com", "h", "web-2"]).to_owned(),
        "n" => random.of(&[1, 2, 7, 22, 64, 443, 4711, 31337, 65535]).to_string(),
        "date" => {
            let format = if random.once_in(12) { random.pick(&ODD_DATES) } else { random.pick(&DATES) };
            dated(random, format)
        }
        _ => match what.strip_prefix('@') {
            Some("@") => dated(random, "%@"),
            Some(format) => {
                let format = if random.once_in(20) { random.pick(&ODD_DATES) } else { format };
                dated(random, format)
            }
            None => {
                let choice = random.pick(&alternatives(what));
                filled(random, choice)
            }
        },
    }
}

/// What stands between bars that are not within brackets.
fn alternatives(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut choices) = (0, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '‹' => depth += 1,
            '›' => depth -= 1,
            '|' if depth == 0 => {
                choices.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    choices.push(&text[start..]);
    choices
}

/// A moment of these years in the letters of `strftime`; `%f` a fraction or none, `%z` a zone.
fn dated(random: &mut Random, format: &str) -> String {
    let (year, month, day) = (2024 + random.below(4), 1 + random.below(12), 1 + random.below(30));
    let (hour, minute, second) = (random.below(24), random.below(60), random.below(60));
    Dated { year, month, day, hour, minute, second }.written(format, |letter| match letter {
        'I' => format!("{:02}", hour % 12 + 1),
        'b' => MONTHS[month - 1].to_owned(),
        'a' => random.pick(&["Mon", "Tue", "Sun"]).to_string(),
        'p' => random.pick(&["AM", "PM"]).to_string(),
        'z' => random.pick(&ZONES).to_string(),
        'f' => random.pick(&FRACTIONS).to_string(),
        's' => (1_700_000_000 + random.below(90_000_000)).to_string(),
        '@' => format!("@40000000{:08x}0a1b2c3d", 1_700_000_000 + random.below(90_000_000)),
        other => panic!("{other} in {format}"),
    })
}
