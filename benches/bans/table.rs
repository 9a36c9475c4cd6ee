//! The figures, a row each.

use std::time::Duration;

/// All rows.
#[derive(Default)]
pub(crate) struct Table(Vec<Row>);

/// What was measured of the two, and what was wanted.
pub(crate) struct Row {
    what: String,
    genuine: String,
    ours: String,
    ratio: Option<f64>,
    wanted: String,
    met: bool,
}

impl Table {
    pub(crate) fn push(&mut self, row: Row) {
        eprintln!("  {}", row.line());
        self.0.push(row);
    }

    pub(crate) fn print(&self) {
        println!("\n{:<60}{:>12}{:>12}{:>9}   wanted", "", "genuine", "ours", "ratio");
        for row in &self.0 {
            println!("{}", row.line());
        }
    }
}

impl Row {
    /// Two times, and whether they are as wanted.
    pub(crate) fn pair(what: &str, genuine: Duration, ours: Duration, wanted: &str, met: bool) -> Self {
        Row {
            what: what.to_owned(),
            genuine: shown(genuine),
            ours: shown(ours),
            ratio: Some(genuine.as_secs_f64() / ours.as_secs_f64().max(1e-9)),
            wanted: wanted.to_owned(),
            met,
        }
    }

    /// Two times, of which ours must be so many times less.
    pub(crate) fn times_less(what: &str, genuine: Duration, ours: Duration, times: f64) -> Self {
        let met = genuine.as_secs_f64() >= ours.as_secs_f64() * times;
        Row::pair(what, genuine, ours, &format!("{times:.0} x"), met)
    }

    /// A time of ours with a limit.
    pub(crate) fn alone(what: &str, ours: Duration, limit: Duration) -> Self {
        Row {
            what: what.to_owned(),
            genuine: "-".to_owned(),
            ours: shown(ours),
            ratio: None,
            wanted: format!("< {}", shown(limit)),
            met: ours < limit,
        }
    }

    /// A size of ours with a limit.
    pub(crate) fn size(what: &str, ours: u64, limit: u64) -> Self {
        let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        Row {
            what: what.to_owned(),
            genuine: "-".to_owned(),
            ours: mib(ours),
            ratio: None,
            wanted: format!("< {}", mib(limit)),
            met: ours < limit,
        }
    }

    fn line(&self) -> String {
        let ratio = self.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.0}"));
        let met = if self.met { "met" } else { "MISSED" };
        format!("{:<60}{:>12}{:>12}{ratio:>9}   {}: {met}", self.what, self.genuine, self.ours, self.wanted)
    }
}

fn shown(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds >= 1.0 => format!("{seconds:.2} s"),
        seconds if seconds >= 0.001 => format!("{:.1} ms", seconds * 1e3),
        seconds => format!("{:.0} µs", seconds * 1e6),
    }
}

/// The time below which so many of a hundred stay.
pub(crate) fn percentile(times: &[Duration], hundredth: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[(times.len() * hundredth / 100).min(times.len() - 1)]
}
