//! Where a recognised shape is looked for: at the line's beginning, behind the first bracket, or anywhere.

use memchr::{memchr, memchr_iter};

use super::cursor::is_word;
use super::shape::{Answer, Seen, Shape, at, at_beginning};

/// No shape has more bytes before its first colon.
const BEFORE_COLON: usize = 40;

/// A template whose body is one of the default list's, in a place that needs no regular expression.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hand {
    pub(crate) shape: Shape,
    pub(crate) place: Place,
    /// The last decade of a four-digit year.
    pub(crate) decade: u8,
}

/// Where the body may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At the line's beginning, behind at most so many characters that belong to no word.
    Beginning(usize),
    /// Right behind the line's first `[`.
    Bracket,
    /// Wherever no word goes on.
    Anywhere,
}

impl Hand {
    /// The left-most date from `from` on.
    pub(crate) fn find(&self, line: &str, from: usize) -> Answer {
        let bytes = line.as_bytes();
        match self.place {
            Place::Beginning(_) | Place::Bracket if from > 0 => Answer::No,
            Place::Beginning(skip) => at_beginning(self.shape, bytes, skip, self.decade),
            Place::Bracket => memchr(b'[', bytes)
                .map_or(Answer::No, |bracket| at(self.shape, bytes, bracket + 1, self.decade)),
            Place::Anywhere => match self.shape {
                Shape::Epoch => self.epoch(bytes, from),
                Shape::Tai64n => self.first(line, memchr_iter(b'@', bytes).filter(|start| *start >= from)),
                Shape::Basic => self.first(line, from..bytes.len()),
                _ => self.timed(line, from),
            },
        }
    }

    /// The first of `starts` where the body fits.
    fn first(&self, line: &str, starts: impl Iterator<Item = usize>) -> Answer {
        let mut starts = starts;
        starts
            .find_map(|start| Some(self.try_at(line, start)).filter(|answer| *answer != Answer::No))
            .unwrap_or(Answer::No)
    }

    /// The body has a time of day: only places shortly before a colon between digits are tried, each once.
    fn timed(&self, line: &str, from: usize) -> Answer {
        let bytes = line.as_bytes();
        let digit = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_digit() || !b.is_ascii());
        let mut next = from;
        for colon in memchr_iter(b':', bytes) {
            if colon == 0 || !digit(bytes.get(colon - 1)) || !digit(bytes.get(colon + 1)) {
                continue;
            }
            let first = next.max(colon.saturating_sub(BEFORE_COLON));
            match self.first(line, first..colon) {
                Answer::No => next = next.max(colon),
                found => return found,
            }
        }
        Answer::No
    }

    /// Seconds since 1970, only at the line's beginning, in a bracket there, or behind `audit(`.
    fn epoch(&self, line: &[u8], from: usize) -> Answer {
        let beginning = [0, usize::from(line.first() == Some(&b'['))];
        let audits = memchr::memmem::find_iter(line, b"audit(")
            .filter(|at| *at == 0 || !is_word(line[at - 1]))
            .map(|at| (at + 6, at > 0 && !line[at - 1].is_ascii()));
        let places = beginning.into_iter().map(|at| (at, false)).chain(audits).filter(|(at, _)| *at >= from);
        for (start, unsure) in places {
            match at(self.shape, line, start, self.decade) {
                Answer::No => {}
                Answer::Yes(_) if unsure => return Answer::Ask,
                found => return found,
            }
        }
        Answer::No
    }

    fn try_at(&self, line: &str, start: usize) -> Answer {
        let bytes = line.as_bytes();
        let first = bytes[start];
        if !first.is_ascii() {
            // In another script only a digit, and two signs that fold to `s` and `k`, can begin a date.
            let odd = line.get(start..).and_then(|rest| rest.chars().next());
            let odd = odd.is_some_and(|c| c.is_numeric() || matches!(c, '\u{17f}' | '\u{212a}'));
            return if odd { Answer::Ask } else { Answer::No };
        }
        if !self.may_begin(first) {
            return Answer::No;
        }
        let before = start.checked_sub(1).map(|before| bytes[before]);
        let inside = self.shape != Shape::Tai64n && is_word(first);
        if inside && before.is_some_and(is_word) {
            return Answer::No;
        }
        match at(self.shape, bytes, start, self.decade) {
            Answer::Yes(Seen { .. }) if inside && before.is_some_and(|b| !b.is_ascii()) => Answer::Ask,
            answer => answer,
        }
    }

    fn may_begin(&self, byte: u8) -> bool {
        match self.shape {
            Shape::Iso | Shape::Basic => byte == b'2',
            Shape::DayMonth | Shape::Web => byte.is_ascii_digit() || byte == b' ',
            Shape::MonthDayColon | Shape::MonthDay | Shape::Epoch | Shape::Clock | Shape::Short => {
                byte.is_ascii_digit()
            }
            Shape::Angle => byte == b'<',
            Shape::Tai64n => byte == b'@',
            Shape::Syslog | Shape::YearInside | Shape::TwelveHours | Shape::Dashes | Shape::ZoneName => {
                byte.is_ascii_alphabetic()
            }
            Shape::ZoneOffset => byte.is_ascii_alphabetic() || matches!(byte, b'+' | b'-'),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use crate::Timestamp;
    use crate::date::Zones;
    use crate::date::list::{Templates, templates};

    /// Pieces of dates and of what stands around them; more likely than random text to be nearly a date.
    const PIECES: [&str; 70] = [
        "2005",
        "2029",
        "2030",
        "1999",
        "20",
        "05",
        "5",
        "0",
        "00",
        "12",
        "13",
        "31",
        "32",
        "3",
        "59",
        "60",
        "61",
        "6",
        "99",
        "23",
        "24",
        "29",
        "7",
        "08",
        "-",
        "/",
        ".",
        ":",
        " ",
        "  ",
        "T",
        ",",
        "@",
        "<",
        ">",
        "[",
        "]",
        "(",
        "_",
        "x",
        "Jan",
        "feb",
        "AUG",
        "may",
        "Sun",
        "mon ",
        "PM",
        "am",
        "Z",
        "UTC",
        "gmt",
        "CEST",
        "XXXX",
        "+02",
        "-0530",
        "+05:30",
        ".123",
        ",981746",
        ".1234567",
        "audit(",
        "1124013599",
        "11240135990",
        "é",
        "٣",
        "½",
        "ſ",
        "\u{a0}",
        "\t",
        "@4000000042ff169f2a3b4c5d",
        "²",
    ];

    /// Whole dates, to be cut and glued.
    const DATES: [&str; 18] = [
        "2005-08-14 09:59:59",
        "2005-08-14T09:59:59.981746Z",
        "Aug  4 09:59:59",
        "Sun Aug 14 09:59:59.123 2005",
        "Aug 14 2005  9:59:59.5",
        "14/08/05 09:59:59",
        "14-08-2005  9:59:59",
        "14/Aug/2005:09:59:59 +0200",
        "08/14/2005:09:59:59",
        "08-14-2005 09:59:59.252",
        "1124013599.123",
        "<08/14/05@09:59:59>",
        "050814  9:59:59",
        "Aug 14, 2005 9:59:59 AM",
        "Aug-14-05 09:59:59",
        "20050814T095959,12+02",
        "CEST Sun Aug 14 09:59:59 2005",
        "+02:00 Aug 14 09:59:59",
    ];

    /// Compiled once: that takes longer than the rest.
    static LISTS: LazyLock<Vec<Templates>> = LazyLock::new(|| {
        let patterns =
            [None, Some("{DATE}"), Some(r"^[^\[]*\[({DATE})"), Some("{^LN-BEG}{DATE}"), Some("^{DATE}")];
        patterns.into_iter().map(|pattern| templates(pattern, 2026).unwrap()).collect()
    });

    fn text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => proptest::sample::select(PIECES.to_vec()).prop_map(str::to_owned),
            3 => proptest::sample::select(DATES.to_vec()).prop_map(str::to_owned),
            2 => (proptest::sample::select(DATES.to_vec()), 0..30_usize, 0..8_usize)
                .prop_map(|(date, from, len)| date.chars().enumerate()
                    .filter(|(at, _)| !(from..from + len).contains(at)).map(|(_, c)| c).collect()),
        ];
        proptest::collection::vec(piece, 1..7).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn what_the_hand_finds_is_what_the_expression_finds(line in text(), from in 0..3_usize) {
            let now = Timestamp(1_795_374_000.0);
            let zones = Zones::new(TimeZone::UTC, None);
            for templates in LISTS.iter() {
                for (template, _) in &templates.all {
                    let Some(hand) = template.hand else { continue };
                    let from = if template.anchored || !line.is_char_boundary(from) { 0 } else { from };
                    let (by_hand, searched) = (template.find(&line, from), template.search(&line, from));
                    prop_assert_eq!(
                        by_hand.map(|s| (s.start, s.end, s.whole)),
                        searched.map(|s| (s.start, s.end, s.whole)),
                        "{} {:?}", &template.name, hand
                    );
                    let Some(Some(read)) = by_hand.map(|s| s.read) else { continue };
                    let raw = template.read(&line, from).unwrap();
                    let expected = (!raw.broken).then(|| raw.fields.time(now, &zones));
                    prop_assert_eq!(read.map(|fields| fields.time(now, &zones)), expected, "{}", &template.name);
                }
            }
        }
    }
}
