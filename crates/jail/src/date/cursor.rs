//! A place in a line that moves on over numbers, names and zones: what the shapes of dates are made of.

use super::parse::Fields;
use super::zone::offset;

pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | 0x1c..=0x1f | b' ')
}

/// A place in the line that moves on, and what was read so far.
pub(super) struct Cursor<'l> {
    pub(super) line: &'l [u8],
    pub(super) at: usize,
    pub(super) decade: u8,
    pub(super) ask: bool,
    pub(super) broken: bool,
    pub(super) fields: Fields,
    pub(super) looked_at: usize,
    pub(super) any_digits: (usize, usize),
}

impl Cursor<'_> {
    /// The byte at `at`; what is beyond ASCII makes the answer a question.
    pub(super) fn look(&mut self, at: usize) -> Option<u8> {
        let byte = self.line.get(at).copied();
        self.looked_at = self.looked_at.max(at + 1);
        self.ask |= byte.is_some_and(|b| !b.is_ascii());
        byte
    }

    pub(super) fn digit_at(&mut self, at: usize) -> Option<i32> {
        self.look(at).filter(u8::is_ascii_digit).map(|b| i32::from(b - b'0'))
    }

    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let there = self.look(self.at) == Some(byte);
        self.at += usize::from(there);
        there
    }

    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        self.eat(byte).then_some(())
    }

    /// One or two digits up to a byte that is none, as a number in `range`.
    pub(super) fn number(&mut self, low: i32, high: i32) -> Option<i32> {
        let first = self.digit_at(self.at)?;
        let (number, len) = match self.digit_at(self.at + 1) {
            Some(second) => (first * 10 + second, 2),
            None => (first, 1),
        };
        if !(low..=high).contains(&number) || (len == 2 && self.digit_at(self.at + 2).is_some()) {
            return None;
        }
        self.at += len;
        Some(number)
    }

    /// Exactly two digits, whatever follows.
    pub(super) fn two(&mut self, low: i32, high: i32) -> Option<i32> {
        let number = self.digit_at(self.at)? * 10 + self.digit_at(self.at + 1)?;
        self.at += 2;
        (low..=high).contains(&number).then_some(number)
    }

    /// `20[012]\d`
    fn century(&mut self) -> Option<i32> {
        let prefix = self.digit_at(self.at)? * 10 + self.digit_at(self.at + 1)?;
        let decade =
            self.digit_at(self.at + 2).filter(|decade| prefix == 20 && *decade <= i32::from(self.decade))?;
        let year = 2000 + decade * 10 + self.digit_at(self.at + 3)?;
        self.at += 4;
        Some(year)
    }

    pub(super) fn year(&mut self) -> Option<()> {
        self.fields.year = Some(self.century()?);
        Some(())
    }

    pub(super) fn month(&mut self) -> Option<()> {
        self.fields.month = Some(self.number(1, 12)?);
        Some(())
    }

    /// A day, of one digit also behind a blank.
    pub(super) fn day(&mut self) -> Option<()> {
        let blank = self.eat(b' ');
        let day = self.number(1, if blank { 9 } else { 31 })?;
        if blank && self.line[self.at - 2] != b' ' {
            return None;
        }
        self.fields.day = Some(day);
        Some(())
    }

    pub(super) fn month_name(&mut self) -> Option<()> {
        const NAMES: &[u8; 36] = b"janfebmaraprmayjunjulaugsepoctnovdec";
        self.fields.month = Some(self.name(NAMES)? + 1);
        Some(())
    }

    pub(super) fn weekday(&mut self) -> Option<()> {
        self.name(b"montuewedthufrisatsun").map(|_| ())
    }

    pub(super) fn name(&mut self, names: &[u8]) -> Option<i32> {
        // Only letters become small letters by this bit.
        let mut text = [0; 3];
        for (at, small) in (self.at..).zip(&mut text) {
            *small = self.look(at)? | 0x20;
        }
        let index = names.chunks_exact(3).position(|name| name == text)?;
        self.at += 3;
        i32::try_from(index).ok()
    }

    /// `%H:%M:%S`
    pub(super) fn time(&mut self) -> Option<()> {
        self.time_up_to(23)
    }

    /// `%k:%M:%S` behind its first blank. The shape allows hours up to 29; such a date is none.
    pub(super) fn loose_time(&mut self) -> Option<()> {
        self.expect(b' ')?;
        self.eat(b' ');
        self.time_up_to(29)
    }

    fn time_up_to(&mut self, hour: i32) -> Option<()> {
        self.fields.hour = self.number(0, hour)?;
        self.expect(b':')?;
        self.fields.minute = self.number(0, 59)?;
        self.expect(b':')?;
        self.fields.second = self.number(0, 61)?;
        Some(())
    }

    /// Whether a date may end before `end`, where its last byte belongs to a word.
    pub(super) fn bounded(&mut self, end: usize) -> Option<usize> {
        (!self.look(end).is_some_and(is_word)).then_some(end)
    }

    /// Where a fraction of one to six digits ends that begins at `self.at`.
    pub(super) fn fraction(&mut self, points: &[u8]) -> Option<usize> {
        self.look(self.at).filter(|b| points.contains(b))?;
        let mut end = self.at + 1;
        while end <= self.at + 7 && self.digit_at(end).is_some() {
            end += 1;
        }
        (2..=7).contains(&(end - self.at)).then(|| {
            self.any_digits = (self.at + 1, end);
            end
        })
    }

    /// The end behind the second: a fraction and what `more` finds behind it, or one of them, or neither.
    pub(super) fn ending(
        &mut self,
        points: &[u8],
        more: fn(&mut Self, usize) -> Option<usize>,
    ) -> Option<usize> {
        if let Some(end) = self.fraction(points) {
            return more(self, end).or_else(|| self.bounded(end)).or(Some(self.at));
        }
        let second = self.at;
        more(self, second).or_else(|| self.bounded(second))
    }

    pub(super) fn nothing_more(_: &mut Self, _: usize) -> Option<usize> {
        None
    }

    /// `(?: %ExY)?`
    pub(super) fn year_behind(&mut self, at: usize) -> Option<usize> {
        let back = std::mem::replace(&mut self.at, at);
        let year = self.expect(b' ').and_then(|()| self.century());
        let end = std::mem::replace(&mut self.at, back);
        self.bounded(end).filter(|_| year.is_some()).inspect(|_| self.fields.year = year)
    }

    /// `(?:\s*%z)?`
    pub(super) fn zone_behind_blanks(&mut self, at: usize) -> Option<usize> {
        let mut start = at;
        while self.look(start).is_some_and(is_space) {
            start += 1;
        }
        self.zone(start, false)
    }

    /// `(?: %z)?`
    pub(super) fn zone_behind_blank(&mut self, at: usize) -> Option<usize> {
        self.look(at).filter(|b| *b == b' ')?;
        self.zone(at + 1, true)
    }

    /// A zone up to a boundary.
    pub(super) fn zone(&mut self, start: usize, any_case: bool) -> Option<usize> {
        let ends = self.zone_ends(start, any_case)?;
        let end = ends.into_iter().flatten().find_map(|end| self.bounded(end))?;
        self.take_zone(start, end);
        Some(end)
    }

    pub(super) fn take_zone(&mut self, start: usize, end: usize) {
        let text = std::str::from_utf8(&self.line[start..end]).unwrap_or_default();
        self.fields.zone = offset(text);
        self.broken |= self.fields.zone.is_none();
    }

    /// Where `Z|UTC|GMT|[+-][01]\d(?::?\d{2})?` may end, the first choice first.
    pub(super) fn zone_ends(&mut self, start: usize, any_case: bool) -> Option<[Option<usize>; 2]> {
        let first = self.look(start)?;
        if matches!(first, b'+' | b'-') {
            self.digit_at(start + 1).filter(|d| *d < 2)?;
            self.digit_at(start + 2)?;
            let short = start + 3;
            let minutes = short + usize::from(self.look(short) == Some(b':'));
            let long = self.digit_at(minutes).and_then(|_| self.digit_at(minutes + 1)).map(|_| minutes + 2);
            return Some([long, Some(short)]);
        }
        let is = |text: &[u8], name: &[u8]| {
            if any_case { text.eq_ignore_ascii_case(name) } else { text == name }
        };
        if is(&[first], b"Z") {
            return Some([Some(start + 1), None]);
        }
        // Bytes that need not be asked need not be the same in the next line.
        if !matches!(first.to_ascii_uppercase(), b'U' | b'G') {
            return None;
        }
        self.look(start + 1)?;
        self.look(start + 2)?;
        let text = self.line.get(start..start + 3)?;
        (is(text, b"UTC") || is(text, b"GMT")).then_some([Some(start + 3), None])
    }
}
