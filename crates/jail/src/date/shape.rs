//! The default templates' shapes, recognised byte by byte: the same language as their regular expressions, without them.
//!
//! Nearly every line of a log has its date in one of these shapes at its beginning. Each shape is deterministic but for a
//! few choices at its end, which are tried in the expression's own order. Where a byte beyond ASCII would decide (a digit
//! of another script, a letter before or behind the date), the answer is [`Answer::Ask`], and the expression is asked.

use super::cursor::{Cursor, is_word};
use super::parse::Fields;

/// One of the default templates' bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `2005-01-23T21:59:59.981 +0200`
    Iso,
    /// `Sun Jan 23 21:59:59.011 2005`
    Syslog,
    /// `Sun Jan 23 2005 21:59:59.011`
    YearInside,
    /// `23/01/2005 21:59:59`
    DayMonth,
    /// `31/Oct/2006:09:22:55 -0000`
    Web,
    /// `05/20/2008:01:57:39`
    MonthDayColon,
    /// `01-27-2012 16:22:44.252`
    MonthDay,
    /// `1124013599.123`
    Epoch,
    /// `21:59:59`
    Clock,
    /// `<09/16/08@05:03:30>`
    Angle,
    /// `130322 11:46:11`
    Short,
    /// `Apr 27, 2013 9:59:59 AM`
    TwelveHours,
    /// `Apr-27-13 02:33:06`
    Dashes,
    /// `20050123T215959`
    Basic,
    /// `PDT Apr 16 21:05:29`
    ZoneName,
    /// `+00:00 Jan 23 21:59:59.011 2005`
    ZoneOffset,
    /// `@4000000042ff169f2a3b4c5d`
    Tai64n,
}

/// The shapes in the order of the default list.
pub(crate) const SHAPES: [Shape; 17] = [
    Shape::Iso,
    Shape::Syslog,
    Shape::YearInside,
    Shape::DayMonth,
    Shape::Web,
    Shape::MonthDayColon,
    Shape::MonthDay,
    Shape::Epoch,
    Shape::Clock,
    Shape::Angle,
    Shape::Short,
    Shape::TwelveHours,
    Shape::Dashes,
    Shape::Basic,
    Shape::ZoneName,
    Shape::ZoneOffset,
    Shape::Tai64n,
];

/// A date that was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Of the shapes with fields. `None`: a name in it is no zone, so it is no date.
    pub(crate) fields: Option<Fields>,
    /// How far from the line's start bytes had a say.
    pub(crate) looked_at: usize,
    /// Where any digit would do as well: the second's fraction. Empty if there is none.
    pub(crate) any_digits: (usize, usize),
}

/// What a shape says of a place in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    No,
    Yes(Seen),
    /// The regular expression has to tell.
    Ask,
}

/// A date of `shape` at the line's beginning, behind at most `skip` characters that belong to no word.
pub(crate) fn at_beginning(shape: Shape, line: &[u8], skip: usize, decade: u8) -> Answer {
    let mut ask = false;
    for skip in (0..=skip).rev() {
        let Some(before) = line.get(..skip) else { continue };
        if before.iter().any(|b| !b.is_ascii()) {
            return Answer::Ask;
        }
        if before.iter().any(|b| is_word(*b)) {
            continue;
        }
        match at(shape, line, skip, decade) {
            Answer::No => {}
            Answer::Ask => ask = true,
            yes @ Answer::Yes(_) => return if ask { Answer::Ask } else { yes },
        }
    }
    if ask { Answer::Ask } else { Answer::No }
}

/// A date of `shape` that begins at `start`.
pub(crate) fn at(shape: Shape, line: &[u8], start: usize, decade: u8) -> Answer {
    let mut cursor = Cursor {
        line,
        at: start,
        decade,
        ask: false,
        broken: false,
        fields: Fields::default(),
        looked_at: 0,
        any_digits: (0, 0),
    };
    let end = cursor.body(shape);
    match end {
        _ if cursor.ask => Answer::Ask,
        None => Answer::No,
        Some(end) => {
            let fields = (!cursor.broken).then_some(cursor.fields);
            let Cursor { looked_at, any_digits, .. } = cursor;
            Answer::Yes(Seen { start, end, fields, looked_at, any_digits })
        }
    }
}

impl Cursor<'_> {
    fn body(&mut self, shape: Shape) -> Option<usize> {
        match shape {
            Shape::Iso => self.iso(),
            Shape::Syslog => self.syslog(),
            Shape::YearInside => self.year_inside(),
            Shape::DayMonth => self.day_month(),
            Shape::Web => self.web(),
            Shape::MonthDayColon => self.month_day_colon(),
            Shape::MonthDay => self.month_day(),
            Shape::Epoch => self.epoch(),
            Shape::Clock => {
                self.time()?;
                self.bounded(self.at)
            }
            Shape::Angle => self.angle(),
            Shape::Short => self.short(),
            Shape::TwelveHours => self.twelve_hours(),
            Shape::Dashes => self.dashes(),
            Shape::Basic => self.basic(),
            Shape::ZoneName => self.zone_name(),
            Shape::ZoneOffset => self.zone_offset(),
            Shape::Tai64n => self.tai64n(),
        }
    }

    fn iso(&mut self) -> Option<usize> {
        self.year()?;
        let separator = self.look(self.at).filter(|b| matches!(b, b'-' | b'/' | b'.'))?;
        self.at += 1;
        self.month()?;
        self.expect(separator)?;
        self.day()?;
        self.t_or_blanks()?;
        self.time()?;
        self.ending(b".,", Self::zone_behind_blanks)
    }

    /// `(?:T|  ?)`
    fn t_or_blanks(&mut self) -> Option<()> {
        if !self.eat(b'T') {
            self.expect(b' ')?;
            self.eat(b' ');
        }
        Some(())
    }

    /// `(?:%a )?%b %d `, up to before the last blank.
    fn day_of_month_name(&mut self) -> Option<()> {
        let start = self.at;
        if self.weekday().is_none() || !self.eat(b' ') {
            self.at = start;
        }
        self.month_name()?;
        self.expect(b' ')?;
        self.day()
    }

    fn syslog(&mut self) -> Option<usize> {
        self.day_of_month_name()?;
        self.loose_time()?;
        self.ending(b".", Self::year_behind)
    }

    fn year_inside(&mut self) -> Option<usize> {
        self.day_of_month_name()?;
        self.expect(b' ')?;
        self.year()?;
        self.loose_time()?;
        self.ending(b".", Self::nothing_more)
    }

    fn day_month(&mut self) -> Option<usize> {
        self.day()?;
        let separator = self.look(self.at).filter(|b| matches!(b, b'-' | b'/'))?;
        self.at += 1;
        self.month()?;
        self.expect(separator)?;
        let start = self.at;
        if self.year().is_none() {
            self.at = start;
            self.fields.year = Some(2000 + self.two(0, 99)?);
        }
        self.loose_time()?;
        self.bounded(self.at)
    }

    fn web(&mut self) -> Option<usize> {
        self.day()?;
        let separator = self.look(self.at).filter(|b| matches!(b, b'-' | b'/'))?;
        self.at += 1;
        self.month_name()?;
        self.expect(separator)?;
        self.year()?;
        let _ = self.eat(b' ') || self.eat(b':');
        self.time()?;
        self.ending(b".", Self::zone_behind_blank)
    }

    fn month_day_colon(&mut self) -> Option<usize> {
        self.month()?;
        self.expect(b'/')?;
        self.day()?;
        self.expect(b'/')?;
        self.year()?;
        self.expect(b':')?;
        self.time()?;
        self.bounded(self.at)
    }

    fn month_day(&mut self) -> Option<usize> {
        self.month()?;
        self.expect(b'-')?;
        self.day()?;
        self.expect(b'-')?;
        self.year()?;
        self.loose_time()?;
        self.ending(b".", Self::nothing_more)
    }

    fn digits(&mut self, mut at: usize, most: usize) -> usize {
        let start = at;
        while at - start <= most && self.digit_at(at).is_some() {
            at += 1;
        }
        at - start
    }

    fn epoch(&mut self) -> Option<usize> {
        let len = self.digits(self.at, 11);
        let end = self.at + len;
        if !(10..=11).contains(&len) || self.bounded(end).is_none() {
            return None;
        }
        let fraction = if self.look(end) == Some(b'.') { self.digits(end + 1, 6) } else { 0 };
        let longer = (3..=6).contains(&fraction).then_some(end + 1 + fraction);
        longer.and_then(|longer| self.bounded(longer)).or(Some(end))
    }

    fn angle(&mut self) -> Option<usize> {
        self.expect(b'<')?;
        self.month()?;
        self.expect(b'/')?;
        self.day()?;
        self.expect(b'/')?;
        self.fields.year = Some(2000 + self.two(0, 99)?);
        self.expect(b'@')?;
        self.time()?;
        self.expect(b'>')?;
        Some(self.at)
    }

    fn short(&mut self) -> Option<usize> {
        self.fields.year = Some(2000 + self.two(0, 99)?);
        self.fields.month = Some(self.two(1, 12)?);
        self.fields.day = Some(self.two(1, 31)?);
        self.expect(b' ')?;
        self.eat(b' ');
        self.time()?;
        self.bounded(self.at)
    }

    fn twelve_hours(&mut self) -> Option<usize> {
        self.month_name()?;
        self.expect(b' ')?;
        self.day()?;
        self.expect(b',')?;
        self.expect(b' ')?;
        self.year()?;
        self.expect(b' ')?;
        let hour = self.number(1, 12)?;
        self.expect(b':')?;
        self.fields.minute = self.number(0, 59)?;
        self.expect(b':')?;
        self.fields.second = self.number(0, 61)?;
        self.expect(b' ')?;
        let half = self.look(self.at)?.to_ascii_lowercase();
        let m = self.look(self.at + 1)?.to_ascii_lowercase();
        if !matches!((half, m), (b'a' | b'p', b'm')) {
            return None;
        }
        self.fields.hour = hour % 12 + if half == b'p' { 12 } else { 0 };
        self.bounded(self.at + 2)
    }

    fn dashes(&mut self) -> Option<usize> {
        self.month_name()?;
        self.expect(b'-')?;
        self.day()?;
        self.expect(b'-')?;
        self.fields.year = Some(2000 + self.two(0, 99)?);
        self.loose_time()?;
        self.bounded(self.at)
    }

    fn basic(&mut self) -> Option<usize> {
        self.year()?;
        self.fields.month = Some(self.two(1, 12)?);
        self.fields.day = Some(self.two(1, 31)?);
        self.t_or_blanks()?;
        self.fields.hour = self.two(0, 23)?;
        self.fields.minute = self.two(0, 59)?;
        self.fields.second = self.two(0, 61)?;
        self.ending(b".,", Self::zone_behind_blanks)
    }

    /// `(?:%Z )?` and what `syslog` has.
    fn zone_name(&mut self) -> Option<usize> {
        let start = self.at;
        let mut end = start;
        while end <= start + 5 && self.look(end).is_some_and(|b| b.is_ascii_alphabetic()) {
            end += 1;
        }
        let single = self.look(start).is_some_and(|b| b.eq_ignore_ascii_case(&b'Z'));
        let long_enough = (3..=5).contains(&(end - start)) || (end - start == 1 && single);
        if long_enough && self.look(end) == Some(b' ') {
            self.at = end + 1;
            if let Some(found) = self.syslog() {
                self.take_zone(start, end);
                return Some(found);
            }
            self.at = start;
        }
        (self.fields, self.any_digits) = (Fields::default(), (0, 0));
        self.syslog()
    }

    /// `(?:%z )?` and what `syslog` has.
    fn zone_offset(&mut self) -> Option<usize> {
        let start = self.at;
        let ends = self.zone_ends(start, true).into_iter().flatten().flatten();
        let end = ends.into_iter().find(|end| self.line.get(*end) == Some(&b' '));
        if let Some(end) = end {
            self.at = end + 1;
            if let Some(found) = self.syslog() {
                self.take_zone(start, end);
                return Some(found);
            }
            self.at = start;
        }
        (self.fields, self.any_digits) = (Fields::default(), (0, 0));
        self.syslog()
    }

    fn tai64n(&mut self) -> Option<usize> {
        self.expect(b'@')?;
        let end = self.at + 24;
        for at in self.at..end {
            self.look(at).filter(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))?;
        }
        self.bounded(end)
    }
}
