//! Mutants of log lines: what an attacker, a broken daemon or another version would write instead.

use portcullis_compliance::Random;

/// What stands in an address' place.
const ADDRESSES: [&str; 30] = [
    "198.51.100.7",
    "10.0.0.1",
    "999.1.1.1",
    "256.0.0.1",
    "1.2.3",
    "1.2.3.4.5",
    "001.002.003.004",
    "1.2.3.4:5",
    "[1.2.3.4]",
    "1.2.3.4]",
    "1.2.3.4, 5.6.7.8",
    "2001:db8::7",
    "[2001:db8::7]",
    "[2001:db8::7]:443",
    "::1",
    "::",
    "::ffff:1.2.3.4",
    "[::ffff:1.2.3.4]",
    "::ffff:0102:0304",
    "fe80::1%eth0",
    "2001:DB8:0:0:0:0:0:7",
    "1:2:3:4:5:6:7:8:9",
    "12345::1",
    "example.com",
    "a-b_c.example.com.",
    "localhost",
    "unknown",
    "١.٢.٣.٤",
    "1.2.3.٤",
    "-",
];

/// What stands in a word's place: names of users above all.
const WORDS: [&str; 48] = [
    "root",
    "",
    " ",
    "a b",
    "''",
    "\"",
    "x from 1.2.3.4",
    "x from 1.2.3.4 port 22 ssh2",
    "invalid user",
    "user=",
    "user=x",
    "<x@y.z>",
    "<>",
    "[x]",
    "[",
    "]",
    "(",
    ")",
    "x: y",
    ": ",
    ",",
    ";",
    "=",
    "%s%n",
    "<HOST>",
    "\\n",
    "#012",
    "\\x00",
    "été",
    "用户",
    "Ⅷ",
    "a\u{301}",
    "\u{200b}",
    "\u{130}",
    "ſ",
    "K",
    "٣",
    "²",
    "\u{1b}[0m",
    "\u{0}",
    "\t",
    "\r",
    "\u{b}",
    "\u{1c}",
    "\u{85}",
    "\u{2028}",
    "\u{feff}",
    "12345678901",
];

/// What stands in a date's place.
const DATES: [&str; 24] = [
    "Nov 22 11:00:00",
    "Nov  2 11:00:00",
    "Nov 2 1:00:00",
    "2026-11-22 11:00:00",
    "2026-11-22 11:00:00,123",
    "2026-11-22T11:00:00.123456+01:00",
    "2026-11-22T11:00:00Z",
    "Sun Nov 22 11:00:00 2026",
    "Sun Nov 22 11:00:00.123456 2026",
    "22/Nov/2026:11:00:00 +0100",
    "[22/Nov/2026:11:00:00 +0100]",
    "22-11-2026 11:00:00",
    "11/22/2026:11:00:00",
    "1790000000",
    "[1790000000.123]",
    "@4000000042ff169f2a3b4c5d",
    "20261122T110000",
    "261122 11:00:00",
    "11:00:00",
    "Feb 30 11:00:00",
    "2026-13-01 11:00:00",
    "Dec 31 23:59:60",
    "Feb 29 00:00:00",
    "<11/22/26@11:00:00>",
];

/// Single characters that matter to patterns.
const CHARACTERS: [&str; 40] = [
    " ", " ", "  ", "\t", ":", ";", ",", ".", "-", "_", "/", "\\", "'", "\"", "`", "(", ")", "[", "]", "<",
    ">", "{", "}", "=", "+", "*", "?", "|", "@", "#", "$", "%", "^", "&", "!", "0", "9", "a", "Z", "é",
];

/// Makes one mutant of a line: one to three changes, each of another kind perhaps. `others` are lines to splice with.
pub(crate) fn mutant(random: &mut Random, line: &str, others: &[String]) -> Vec<u8> {
    let mut line = line.to_owned();
    for _ in 0..=random.below(3) {
        line = match random.below(12) {
            0 | 1 => address(random, &line),
            2 | 3 => word(random, &line),
            4 => date(random, &line),
            5 => spacing(random, &line),
            6 => truncated(random, &line),
            7 | 8 => spliced(random, &line, others),
            _ => noise(random, &line),
        };
    }
    let mut bytes = line.into_bytes();
    if random.once_in(40) && !bytes.is_empty() {
        // No text in any encoding.
        let at = random.below(bytes.len());
        bytes[at] = random.of(&[0x80, 0xff, 0xc3, 0xa4, 0xed, 0xf5]);
    }
    bytes.retain(|byte| *byte != b'\n');
    bytes
}

/// Byte offsets between characters, both ends included.
fn place(random: &mut Random, line: &str) -> usize {
    let count = line.chars().count();
    let nth = random.below(count + 1);
    line.char_indices().nth(nth).map_or(line.len(), |(at, _)| at)
}

fn two_places(random: &mut Random, line: &str) -> (usize, usize) {
    let (one, other) = (place(random, line), place(random, line));
    (one.min(other), one.max(other))
}

/// Byte ranges of the pieces that consist of such characters only.
fn pieces(line: &str, fits: impl Fn(char) -> bool) -> Vec<(usize, usize)> {
    let mut pieces: Vec<(usize, usize)> = Vec::new();
    for (at, c) in line.char_indices().filter(|(_, c)| fits(*c)) {
        let end = at + c.len_utf8();
        match pieces.last_mut() {
            Some(last) if last.1 == at => last.1 = end,
            _ => pieces.push((at, end)),
        }
    }
    pieces
}

fn replaced(line: &str, (start, end): (usize, usize), with: &str) -> String {
    format!("{}{with}{}", &line[..start], &line[end..])
}

/// An address, where the line has one, becomes another; else one comes somewhere.
fn address(random: &mut Random, line: &str) -> String {
    let looks = |piece: &&(usize, usize)| {
        let text = &line[piece.0..piece.1];
        text.len() > 2 && (text.matches('.').count() > 1 || text.matches(':').count() > 1)
    };
    let pieces = pieces(line, |c| c.is_ascii_hexdigit() || c == '.' || c == ':');
    let addresses: Vec<(usize, usize)> = pieces.iter().filter(looks).copied().collect();
    let with = random.of(&ADDRESSES);
    if addresses.is_empty() || random.once_in(10) {
        let at = place(random, line);
        return replaced(line, (at, at), with);
    }
    replaced(line, random.of(&addresses), with)
}

/// A word becomes another, comes twice, goes, or is followed by one.
fn word(random: &mut Random, line: &str) -> String {
    let words = pieces(line, |c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@'));
    if words.is_empty() {
        return random.of(&WORDS).to_owned();
    }
    let word = random.of(&words);
    match random.below(6) {
        0 => replaced(line, word, ""),
        1 => replaced(line, (word.0, word.0), &format!("{} ", &line[word.0..word.1])),
        2 => replaced(line, (word.1, word.1), &format!(" {}", random.of(&WORDS))),
        3 => replaced(line, word, &line[word.0..word.1].to_uppercase()),
        _ => replaced(line, word, random.of(&WORDS)),
    }
}

/// The date: another one, a digit changed, none, or a second one.
fn date(random: &mut Random, line: &str) -> String {
    let digits = pieces(line, |c| c.is_ascii_digit());
    let head: Vec<(usize, usize)> = digits.into_iter().filter(|piece| piece.1 <= 40).collect();
    let Some((first, last)) = head.first().zip(head.last()).map(|(first, last)| (first.0, last.1)) else {
        return format!("{} {line}", random.of(&DATES));
    };
    match random.below(6) {
        0 => replaced(line, (first, last), random.of(&DATES)),
        1 => replaced(line, (0, last), random.of(&DATES)),
        2 => replaced(line, (0, last), ""),
        3 => format!("{} {line}", random.of(&DATES)),
        4 => {
            let at = place(random, line);
            replaced(line, (at, at), random.of(&DATES))
        }
        _ => {
            let piece = random.of(&head);
            let number = random.below(100).to_string();
            replaced(line, piece, &number)
        }
    }
}

fn spacing(random: &mut Random, line: &str) -> String {
    let blanks = pieces(line, |c| c == ' ');
    let with = random.of(&["", "  ", "\t", "   ", "\u{a0}", " \t ", "\u{3000}", "\r"]);
    match random.below(4) {
        0 => format!("{with}{line}"),
        1 => format!("{line}{with}"),
        _ if blanks.is_empty() => line.to_owned(),
        _ => replaced(line, random.of(&blanks), with),
    }
}

fn truncated(random: &mut Random, line: &str) -> String {
    let (start, end) = two_places(random, line);
    match random.below(4) {
        0 => line[start..].to_owned(),
        1 => replaced(line, (start, end), ""),
        _ => line[..end].to_owned(),
    }
}

/// Pieces of two lines, or a piece of one twice.
fn spliced(random: &mut Random, line: &str, others: &[String]) -> String {
    let other = &others[random.below(others.len())];
    let (start, end) = two_places(random, other);
    let at = place(random, line);
    match random.below(4) {
        0 => format!("{}{}", &line[..at], &other[start..]),
        1 => replaced(line, (at, at), &other[start..end]),
        2 => {
            let (start, end) = two_places(random, line);
            replaced(line, (end, end), &line[start..end])
        }
        _ => format!("{line}{}{}", random.of(&["", " ", ": ", "; "]), &other[start..end]),
    }
}

/// A character too many, one too few, one changed.
fn noise(random: &mut Random, line: &str) -> String {
    let mut chars: Vec<char> = line.chars().collect();
    if chars.is_empty() {
        return line.to_owned();
    }
    let at = random.below(chars.len());
    let with: Vec<char> =
        if random.once_in(3) { random.of(&WORDS) } else { random.of(&CHARACTERS) }.chars().collect();
    match random.below(6) {
        0 => drop(chars.remove(at)),
        1 => chars.swap(at, at.saturating_sub(1)),
        2 => {
            let flipped: Vec<char> = if chars[at].is_lowercase() {
                chars[at].to_uppercase().collect()
            } else {
                chars[at].to_lowercase().collect()
            };
            chars.splice(at..=at, flipped).for_each(drop);
        }
        3 => chars.splice(at..=at, with).for_each(drop),
        _ => chars.splice(at..at, with).for_each(drop),
    }
    chars.into_iter().collect()
}
