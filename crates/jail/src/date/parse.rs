//! From the fields of a date to a time: what is missing is completed from the present, as Fail2ban does it.

use std::borrow::Cow;

use super::DateError;
use super::civil::{DAY, Zones, date, days};
use super::zone::{Offset, offset};
use crate::Timestamp;

/// The groups that took part in a match, read but not judged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Raw {
    /// Where the text of an epoch or TAI64N template stands in the line.
    pub(crate) number: Option<(usize, usize)>,
    /// The fields of the others.
    pub(crate) fields: Fields,
    /// Whether a field was no number, no name, or no zone.
    pub(crate) broken: bool,
}

/// A date's fields. Missing ones are `None`, the time of day is midnight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) year: Option<i32>,
    pub(crate) month: Option<i32>,
    pub(crate) day: Option<i32>,
    pub(crate) hour: i32,
    pub(crate) minute: i32,
    pub(crate) second: i32,
    pub(crate) zone: Option<Offset>,
    rare: Rare,
}

/// Fields that only a user's own pattern can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rare {
    twelve: Option<i32>,
    afternoon: bool,
    yearday: Option<i32>,
    /// Week of the year, beginning on Monday or on Sunday.
    week: Option<(i32, bool)>,
    /// From Monday, 0.
    weekday: Option<i32>,
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

impl Raw {
    /// Takes a group; names that are no field are the user's own and mean nothing.
    pub(crate) fn field(&mut self, name: &str, text: &str) {
        if self.set(name, text).is_none() {
            self.broken = true;
        }
    }

    fn set(&mut self, name: &str, text: &str) -> Option<()> {
        let fields = &mut self.fields;
        match name {
            "Y" => fields.year = Some(number(text)?),
            "y" => fields.year = Some(number(text)?.checked_add(2000)?),
            "m" => fields.month = Some(number(text)?),
            "b" => fields.month = Some(named(&MONTHS, text, true)? + 1),
            "B" => fields.month = Some(named(&MONTHS, text, false)? + 1),
            "d" => fields.day = Some(number(text.trim_start())?),
            "H" => fields.hour = number(text)?,
            "I" => {
                fields.rare.twelve = Some(number(text)?);
                fields.hour = twelve(number(text)?, fields.rare.afternoon);
            }
            "p" => {
                fields.rare.afternoon = text.eq_ignore_ascii_case("pm");
                if let Some(hour) = fields.rare.twelve {
                    fields.hour = twelve(hour, fields.rare.afternoon);
                }
            }
            "M" => fields.minute = number(text)?,
            "S" => fields.second = number(text)?,
            "a" => fields.rare.weekday = Some(named(&WEEKDAYS, text, true)?),
            "A" => fields.rare.weekday = Some(named(&WEEKDAYS, text, false)?),
            "w" => fields.rare.weekday = Some((number(text)? + 6) % 7),
            "j" => fields.rare.yearday = Some(number(text)?),
            "U" => fields.rare.week = Some((number(text)?, false)),
            "W" => fields.rare.week = Some((number(text)?, true)),
            "z" | "Z" => fields.zone = Some(offset(text)?),
            _ => {}
        }
        Some(())
    }
}

/// The hour of a twelve-hour clock.
fn twelve(hour: i32, afternoon: bool) -> i32 {
    hour % 12 + if afternoon { 12 } else { 0 }
}

fn named(names: &[&str], text: &str, short: bool) -> Option<i32> {
    let of = |name: &str| {
        if short { name[..3].eq_ignore_ascii_case(text) } else { name.eq_ignore_ascii_case(text) }
    };
    names.iter().position(|name| of(name)).and_then(|at| i32::try_from(at).ok())
}

/// A number in any script's decimal digits, as Python's `int` reads it.
fn number(text: &str) -> Option<i32> {
    if text.is_empty() {
        return None;
    }
    text.chars().try_fold(0_i32, |n, c| n.checked_mul(10)?.checked_add(digit(c)?))
}

/// The value of a decimal digit. Unicode has them in rows of ten that begin at a code point ending in 0 or in 6.
pub(super) fn digit(c: char) -> Option<i32> {
    if c.is_ascii() {
        return c.to_digit(10).and_then(|d| i32::try_from(d).ok());
    }
    let code = i32::try_from(u32::from(c)).ok()?;
    if (0x1_d7ce..=0x1_d7ff).contains(&code) {
        return Some((code - 0x1_d7ce) % 10);
    }
    if !c.is_numeric() {
        return None;
    }
    let row = u32::try_from(code & !0xf).ok().and_then(char::from_u32)?;
    let low = code & 0xf;
    // U+11060 is a Brahmi number, but no digit.
    if row.is_numeric() && row != '\u{11060}' {
        (low < 10).then_some(low)
    } else {
        (low >= 6).then_some(low - 6)
    }
}

impl Fields {
    /// The time that the fields tell at `now`.
    pub(crate) fn time(&self, now: Timestamp, zones: &Zones) -> Result<Timestamp, DateError> {
        self.seconds(now, zones).map(|seconds| Timestamp(seconds as f64)).ok_or(DateError::Invalid)
    }

    fn seconds(&self, now: Timestamp, zones: &Zones) -> Option<i64> {
        let wall = zones.wall(now);
        let today = date((wall.floor() as i64).div_euclid(DAY));
        let whole_date = (self.month, self.day);
        let (year, assumed_year) = self.year.map_or((today.0, true), |year| (i64::from(year), false));
        let (mut assumed_today, ordinal) = (false, self.yearday(year));
        let day = match (whole_date, ordinal) {
            ((Some(month), Some(day)), _) => days(year, month.into(), day.into())?,
            (_, Some(ordinal)) => days(year, 1, 1)? + ordinal - 1,
            ((None, None), None) => {
                assumed_today = true;
                days(year, today.1, today.2)?
            }
            // Fail2ban 1.0.2 fails at such a line with a TypeError.
            _ => return None,
        };
        if !(0..24).contains(&self.hour) || !(0..60).contains(&self.minute) || !(0..60).contains(&self.second)
        {
            return None;
        }
        let mut seconds = day * DAY + i64::from(self.hour * 3600 + self.minute * 60 + self.second);
        let zone = self.zone.or(zones.logtimezone);
        seconds -= zone.map_or(0, i64::from);
        // With a zone, this compares UTC with the local clock. So does Fail2ban.
        if assumed_today && seconds as f64 > wall {
            seconds -= DAY;
        }
        if assumed_year && seconds as f64 > wall + DAY as f64 {
            let (year, month, day) = date(day);
            seconds = days(year - 1, month, day)? * DAY + seconds.rem_euclid(DAY);
        }
        if zone.is_some() { Some(seconds) } else { zones.instant(seconds) }
    }

    /// The day of the year, by `%j` or by week and weekday.
    fn yearday(&self, year: i64) -> Option<i64> {
        if let Some(day) = self.rare.yearday {
            return Some(day.into());
        }
        let ((week, from_monday), weekday) = (self.rare.week?, i64::from(self.rare.weekday?));
        // 1970-01-01 was a Thursday.
        let first = (days(year, 1, 1)? + 3).rem_euclid(7);
        let (first, weekday) =
            if from_monday { (first, weekday) } else { ((first + 1) % 7, (weekday + 1) % 7) };
        Some(match week {
            0 => 1 + weekday - first,
            week => 1 + (7 - first) % 7 + 7 * (i64::from(week) - 1) + weekday,
        })
    }
}

/// The time of an epoch's digits. `long`: by their number, milliseconds or microseconds.
pub(crate) fn epoch(text: &str, long: bool) -> Result<Timestamp, DateError> {
    let ascii = |c| digit(c).and_then(|d| char::from_digit(d.unsigned_abs(), 10)).unwrap_or(c);
    let text: Cow<'_, str> =
        if text.is_ascii() { text.into() } else { text.chars().map(ascii).collect::<String>().into() };
    let number: f64 = text.parse().map_err(|_| DateError::Invalid)?;
    Ok(Timestamp(match text.len() {
        16.. if long && !text.contains('.') => number / 1_000_000.0,
        13.. if long => number / 1000.0,
        _ => number,
    }))
}

/// The time of a TAI64N label: seconds as they stand in it, neither the ten seconds' constant nor leap seconds taken off.
pub(crate) fn tai64n(text: &str) -> Result<Timestamp, DateError> {
    let seconds =
        text.get(2..17).and_then(|hex| i64::from_str_radix(hex, 16).ok()).ok_or(DateError::Invalid)?;
    Ok(Timestamp(seconds as f64))
}
