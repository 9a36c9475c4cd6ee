//! Points in time, in the shape in which Fail2ban counts with them.

use jiff::tz::TimeZone;
use portcullis_value::Value;

/// Seconds since 1970-01-01 00:00:00 UTC. A float, since Fail2ban's arithmetic (decaying tallies, fractions of
/// journal times, random ban times) is Python's float arithmetic, and verdicts must agree.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Default)]
pub struct Timestamp(pub f64);

impl Timestamp {
    /// The point in time `seconds` later (earlier when negative).
    #[must_use]
    pub fn plus(self, seconds: f64) -> Self {
        Timestamp(self.0 + seconds)
    }

    /// Seconds from `earlier` to this one.
    pub fn since(self, earlier: Timestamp) -> f64 {
        self.0 - earlier.0
    }
}

/// Local time as Fail2ban writes it in log lines and lists: `2026-11-22 17:55:42`. Microseconds are rounded, what is left of the
/// second is cut off; what no calendar holds is the end of time, `9999-12-31 23:59:59`.
pub fn local_text(at: Timestamp, zone: &TimeZone) -> String {
    const LAST: &str = "9999-12-31 23:59:59";
    let microseconds = (at.0 * 1e6).round_ties_even();
    if microseconds.is_nan() || microseconds.abs() > 9.2e18 {
        return LAST.to_owned();
    }
    let Ok(at) = jiff::Timestamp::from_microsecond(microseconds as i64) else { return LAST.to_owned() };
    let local = at.to_zoned(zone.clone()).datetime();
    if local.year() > 9999 || local.year() < 1 {
        return LAST.to_owned();
    }
    local.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A number of seconds in words, as Fail2ban writes ban times: `1h 20m`, `6.0s`, `0`. Larger ones are rounded: from an
/// hour on to ten seconds, from a day on to minutes, from a week on to hours, from a year (365 days) on to days.
/// Anything but a number is written as it is.
pub fn duration_text(seconds: &Value) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const WEEK: i64 = 7 * DAY;
    const YEAR: i64 = 365 * DAY;
    let amount = match seconds {
        Value::Int(whole) => *whole as f64,
        Value::Float(float) => *float,
        other => return other.to_string(),
    };
    // The threshold of an hour is five seconds early, so that no `60m` is written.
    let (unit, parts): (i64, &[(i64, char)]) = if amount >= YEAR as f64 {
        (DAY, &[(YEAR, 'y'), (WEEK, 'w'), (DAY, 'd')])
    } else if amount >= WEEK as f64 {
        (HOUR, &[(WEEK, 'w'), (DAY, 'd'), (HOUR, 'h')])
    } else if amount >= DAY as f64 {
        (MINUTE, &[(DAY, 'd'), (HOUR, 'h'), (MINUTE, 'm')])
    } else if amount >= (HOUR - 5) as f64 {
        (10, &[(HOUR, 'h'), (MINUTE, 'm')])
    } else {
        return minutes_text(seconds, amount);
    };
    let mut left = ((amount / unit as f64).round_ties_even() as i64).saturating_mul(unit);
    let mut words = Vec::new();
    for (size, letter) in parts {
        if left / size != 0 {
            words.push(format!("{}{letter}", left / size));
        }
        left %= size;
    }
    words.join(" ")
}

/// Below an hour nothing is rounded, and a float stays one: `20.0m 0.0014649367867605179s`.
fn minutes_text(seconds: &Value, amount: f64) -> String {
    let number = |part: f64| match seconds {
        Value::Int(_) => Value::Int(part as i64),
        _ => Value::Float(part),
    };
    if amount < 60.0 {
        return if amount == 0.0 { "0".into() } else { format!("{seconds}s") };
    }
    let minutes = (amount / 60.0).floor();
    let rest = amount % 60.0;
    if rest == 0.0 {
        return format!("{}m", number(minutes));
    }
    format!("{}m {}s", number(minutes), number(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Fail2ban 1.0.2's own words for these.
    #[test]
    fn durations_are_told_in_fail2bans_words() {
        let whole = [
            (0, "0"),
            (1, "1s"),
            (60, "1m"),
            (61, "1m 1s"),
            (3594, "59m 54s"),
            (3595, "1h"),
            (3605, "1h"),
            (3661, "1h 1m"),
            (86394, "23h 59m"),
            (86395, "24h"),
            (86400, "1d"),
            (90061, "1d 1h 1m"),
            (604_769, "6d 23h 59m"),
            (604_770, "7d"),
            (604_800, "1w"),
            (1_209_599, "2w"),
            (2_592_000, "4w 2d"),
            (31_534_199, "52w 23h"),
            (31_534_200, "52w 1d"),
            (31_536_000, "1y"),
            (629_145_600, "19y 49w 4d"),
            (-5, "-5s"),
            (94_651_199, "3y"),
            (94_651_200, "3y 1d"),
        ];
        for (seconds, text) in whole {
            assert_eq!(duration_text(&Value::Int(seconds)), text);
        }
        let floats = [
            (0.5, "0.5s"),
            (6.0, "6.0s"),
            (24.271_156_753_269_747, "24.271156753269747s"),
            (1_200.001_464_936_786_8, "20.0m 0.0014649367867605179s"),
            (4800.0, "1h 20m"),
            (1e10, "317y 5w 1d"),
            (3599.7, "1h"),
            (59.9, "59.9s"),
            (86399.7, "24h"),
        ];
        for (seconds, text) in floats {
            assert_eq!(duration_text(&Value::Float(seconds)), text);
        }
    }

    #[test]
    fn local_times_are_cut_to_the_second_and_end_with_the_calendar() {
        let text = |at| local_text(Timestamp(at), &TimeZone::UTC);
        assert_eq!(text(1.999), "1970-01-01 00:00:01");
        assert_eq!(text(1.999_999_9), "1970-01-01 00:00:02");
        assert_eq!(text(-0.5), "1969-12-31 23:59:59");
        assert_eq!(text(253_402_300_799.0), "9999-12-31 23:59:59");
        assert_eq!(text(1e12), "9999-12-31 23:59:59");
        assert_eq!(text(f64::NAN), "9999-12-31 23:59:59");
        assert_eq!(text(f64::INFINITY), "9999-12-31 23:59:59");
    }
}
