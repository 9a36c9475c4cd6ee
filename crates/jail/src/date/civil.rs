//! Civil time and seconds since 1970, and the machine's zone, remembered between its clock changes.

use std::cell::Cell;

use jiff::Timestamp as Instant;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::zone::Offset;
use crate::Timestamp;

pub(crate) const DAY: i64 = 86_400;

/// The zones that dates without one are in.
#[derive(Clone, Debug)]
pub struct Zones {
    local: TimeZone,
    /// Offset of the log (`logtimezone`), when it is not local.
    pub logtimezone: Option<Offset>,
    /// Seconds, local or UTC, between two clock changes with a day to spare: there the offset is this one.
    steady: Cell<Option<(i64, i64, Offset)>>,
}

impl Zones {
    /// Zones of a machine in `local` whose log may be in a zone of its own.
    pub fn new(local: TimeZone, logtimezone: Option<Offset>) -> Self {
        Zones { local, logtimezone, steady: Cell::new(None) }
    }

    /// The wall clock at `now`, as seconds since 1970-01-01 00:00:00 on that clock.
    pub(crate) fn wall(&self, now: Timestamp) -> f64 {
        let seconds = now.0.floor() as i64;
        if let Some(offset) = self.remembered(seconds) {
            return now.0 + f64::from(offset);
        }
        let Ok(instant) = Instant::from_second(seconds) else { return now.0 };
        let offset = self.local.to_offset(instant).seconds();
        self.remember(instant, offset);
        now.0 + f64::from(offset)
    }

    /// Seconds since 1970 when the wall clock shows `wall` seconds since its 1970: of two the earlier, and a time that
    /// the clock jumped over is moved on by the jump (glibc's `mktime` does the same).
    pub(crate) fn instant(&self, wall: i64) -> Option<i64> {
        if let Some(offset) = self.remembered(wall) {
            return Some(wall - i64::from(offset));
        }
        let shown = DateTime::from_parts(jiff::civil::date(1970, 1, 1), jiff::civil::Time::midnight())
            .checked_add(jiff::SignedDuration::from_secs(wall))
            .ok()?;
        let instant = self.local.to_ambiguous_timestamp(shown).compatible().ok()?;
        self.remember(instant, self.local.to_offset(instant).seconds());
        Some(instant.as_second())
    }

    fn remembered(&self, seconds: i64) -> Option<Offset> {
        self.steady.get().filter(|(from, to, _)| (*from..*to).contains(&seconds)).map(|(_, _, offset)| offset)
    }

    fn remember(&self, instant: Instant, offset: Offset) {
        let from = self.local.preceding(instant).next().map_or(i64::MIN / 2, |t| t.timestamp().as_second());
        let to = self.local.following(instant).next().map_or(i64::MAX / 2, |t| t.timestamp().as_second());
        self.steady.set(Some((from + DAY, to - DAY, offset)));
    }
}

/// Days since 1970-01-01, if there is such a day.
pub(crate) fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let valid =
        (1..=9999).contains(&year) && (1..=12).contains(&month) && (1..=last_day(year, month)).contains(&day);
    if !valid {
        return None;
    }
    // Howard Hinnant, "chrono-compatible low-level date algorithms": years begin in March.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

fn last_day(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Year, month and day of a number of days since 1970-01-01.
pub(crate) fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn days_and_dates_are_each_others_inverse(days_since in -719_162_i64..2_932_896) {
            let (year, month, day) = date(days_since);
            prop_assert_eq!(days(year, month, day), Some(days_since));
            let jiff = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(days_since)).unwrap();
            prop_assert_eq!((year, month, day), (i64::from(jiff.year()), i64::from(jiff.month()), i64::from(jiff.day())));
        }

        #[test]
        fn what_is_remembered_of_a_zone_is_what_the_zone_says(
            wall in proptest::collection::vec(-2_000_000_000_i64..4_000_000_000, 1..20),
            zone in proptest::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kathmandu", "Africa/Casablanca"]),
        ) {
            let zone = TimeZone::get(zone).unwrap();
            let remembering = Zones::new(zone.clone(), None);
            for wall in wall {
                let fresh = Zones::new(zone.clone(), None);
                prop_assert_eq!(remembering.instant(wall), fresh.instant(wall));
                prop_assert_eq!(remembering.wall(Timestamp(wall as f64)), fresh.wall(Timestamp(wall as f64)));
            }
        }
    }
}
