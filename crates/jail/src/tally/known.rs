//! Known offenders: with `bantime.increment`, a failure of somebody who was banned before counts for more than one.

use jiff::tz::TimeZone;
use portcullis_value::Value;

use crate::time::local_text;
use crate::{History, Id, Level, LogLine, Timestamp};

/// What history makes of a failure.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    /// The failure is from before the last ban: it was paid for.
    BeforeLastBan {
        /// When the failure was.
        time: Timestamp,
        /// When the last ban began.
        last: Timestamp,
    },
    /// The failure counts for more.
    Weighs {
        /// When the failure was.
        time: Timestamp,
        /// How many bans there were.
        count: u32,
        /// For how many failures it counts. A float unless `maxretry` caps it, as Python shows it.
        weight: Value,
        /// Whether this alone is enough for a ban.
        bans: bool,
    },
}

/// The power of two stops growing after this many bans (Fail2ban 1.0.2 does so).
const MOST_BANS: u32 = 20;

/// Weighs a failure at `time` of somebody with this history. `None` when it counts as any other.
pub fn known(history: &History, time: Timestamp, maxretry: i64) -> Option<Known> {
    if history.count == 0 {
        return None;
    }
    if time <= history.last {
        return Some(Known::BeforeLastBan { time, last: history.last });
    }
    let weight = f64::from(1_u32 << history.count.min(MOST_BANS)) / 2.0 + 1.0;
    let (weight, value) = if weight > maxretry as f64 {
        (maxretry as f64, Value::Int(maxretry))
    } else {
        (weight, Value::Float(weight))
    };
    let bans = weight >= maxretry as f64;
    (weight > 1.0).then_some(Known::Weighs { time, count: history.count, weight: value, bans })
}

impl Known {
    /// What has to be added to the tally besides the failure itself ([`Tally::failed_again`]); `None` for nothing.
    ///
    /// [`Tally::failed_again`]: super::Tally::failed_again
    pub fn extra(&self) -> Option<f64> {
        match self {
            Known::Weighs { weight: Value::Int(weight), .. } => Some(*weight as f64 - 1.0),
            Known::Weighs { weight: Value::Float(weight), .. } => Some(weight - 1.0),
            Known::Weighs { .. } | Known::BeforeLastBan { .. } => None,
        }
    }

    /// What Fail2ban's observer says about it.
    pub fn line(&self, jail: &str, id: &Id, zone: &TimeZone) -> LogLine {
        match self {
            Known::BeforeLastBan { time, last } => {
                let (time, last) = (Value::Float(time.0), last.0);
                let text = format!("[{jail}] Ignore failure {id} before last ban {time} < {last}, restored");
                LogLine::new(Level::DEBUG, "observer", text)
            }
            Known::Weighs { time, count, weight, bans } => {
                let time = local_text(*time, zone);
                let ban = if *bans { ", Ban" } else { "" };
                let text = format!("[{jail}] Found {id}, bad - {time}, {count} # -> {weight}{ban}");
                LogLine::new(Level::INFO, "observer", text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn banned(count: u32) -> History {
        History { count, last: Timestamp(1_795_374_358.0), bantime: Value::Int(600) }
    }

    fn said(count: u32, at: f64, maxretry: i64) -> Option<String> {
        let known = known(&banned(count), Timestamp(at), maxretry)?;
        Some(known.line("t", &Id::new("1.2.3.5"), &TimeZone::UTC).text)
    }

    // What the genuine observer wrote for these, with its clock in UTC.
    #[test]
    fn the_lines_are_the_observers() {
        let now = 1_795_374_661.0;
        let said = |count, maxretry| said(count, now, maxretry).unwrap();
        assert_eq!(said(3, 3), "[t] Found 1.2.3.5, bad - 2026-11-22 19:11:01, 3 # -> 3, Ban");
        assert_eq!(said(1, 3), "[t] Found 1.2.3.5, bad - 2026-11-22 19:11:01, 1 # -> 2.0");
        assert_eq!(said(3, 10), "[t] Found 1.2.3.5, bad - 2026-11-22 19:11:01, 3 # -> 5.0");
        assert_eq!(said(3, 2), "[t] Found 1.2.3.5, bad - 2026-11-22 19:11:01, 3 # -> 2, Ban");
        assert_eq!(said(1, 2), "[t] Found 1.2.3.5, bad - 2026-11-22 19:11:01, 1 # -> 2.0, Ban");
    }

    #[test]
    fn a_failure_from_before_the_last_ban_does_not_weigh() {
        let text = "[t] Ignore failure 1.2.3.5 before last ban 1795374258.0 < 1795374358, restored";
        assert_eq!(said(3, 1_795_374_258.0, 5).unwrap(), text);
        assert_eq!(known(&banned(3), Timestamp(1_795_374_358.0), 5).unwrap().extra(), None);
    }

    #[test]
    fn the_weight_doubles_up_to_the_twentieth_ban_and_never_passes_maxretry() {
        let weight = |count, maxretry| {
            known(&banned(count), Timestamp(2e9), maxretry)
                .and_then(|known| known.extra())
                .map(|extra| extra + 1.0)
        };
        assert_eq!([1, 2, 3, 4].map(|count| weight(count, 100)), [2.0, 3.0, 5.0, 9.0].map(Some));
        assert_eq!(weight(20, 1 << 30), Some(524_289.0));
        assert_eq!(weight(21, 1 << 30), Some(524_289.0));
        assert_eq!(weight(u32::MAX, 7), Some(7.0));
        assert_eq!(weight(4, 1), None);
        assert_eq!(weight(0, 5), None);
    }
}
