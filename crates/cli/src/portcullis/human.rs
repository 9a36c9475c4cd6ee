//! Times as people say them.

/// A span in two units at most: `9m 12s`, `1d 4h`.
pub(crate) fn span(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let two = |large: u64, unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit} {small}{small_unit}"),
    };
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => two(seconds / 60, "m", seconds % 60, "s"),
        3600..86400 => two(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        _ => two(seconds / 86400, "d", seconds % 86400 / 3600, "h"),
    }
}

/// How long ago something was: `just now`, `3 min ago`, `2 days ago`.
pub(super) fn ago(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let some = |number: u64, unit: &str| match number {
        1 => format!("1 {unit} ago"),
        number => format!("{number} {unit}s ago"),
    };
    match seconds {
        0..2 => "just now".to_owned(),
        2..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86400 => some(seconds / 3600, "hour"),
        _ => some(seconds / 86400, "day"),
    }
}

/// How long something still lasts: `in 9m 12s`, `never` without an end.
pub(super) fn ends(end: Option<f64>, now: f64) -> String {
    match end {
        None => "never".to_owned(),
        Some(end) if end <= now => "now".to_owned(),
        Some(end) => format!("in {}", span((end - now).ceil())),
    }
}

/// Now, in seconds since 1970.
pub(super) fn now() -> f64 {
    jiff::Timestamp::now().as_millisecond() as f64 / 1000.0
}

/// A point in time on the clock of this machine: `14:03:07` today, with the date on other days.
pub(super) fn clock(time: f64, now: f64) -> String {
    let zoned = |seconds: f64| {
        let at = jiff::Timestamp::from_second(seconds as i64).unwrap_or_default();
        at.to_zoned(jiff::tz::TimeZone::system())
    };
    let (time, now) = (zoned(time), zoned(now));
    let format = if time.date() == now.date() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
    time.strftime(format).to_string()
}

/// `1 ban`, `2 bans`.
pub(super) fn count(number: i64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        for (seconds, text) in [
            (0.0, "0s"),
            (-5.0, "0s"),
            (59.9, "59s"),
            (60.0, "1m"),
            (552.0, "9m 12s"),
            (3600.0, "1h"),
            (100_000.0, "1d 3h"),
            (86400.0 * 400.0, "400d"),
            (f64::INFINITY, &span(u64::MAX as f64)),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn what_was_is_so_long_ago_and_what_ends_ends_in_so_long() {
        assert_eq!(
            [1.0, 2.0, 179.0, 3600.0, 7200.0, 90000.0].map(ago),
            ["just now", "2 s ago", "2 min ago", "1 hour ago", "2 hours ago", "1 day ago"]
        );
        assert_eq!(ends(Some(652.0), 100.0), "in 9m 12s");
        assert_eq!((ends(None, 0.0), ends(Some(1.0), 2.0)), ("never".to_owned(), "now".to_owned()));
    }
}
