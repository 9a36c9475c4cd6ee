//! How far a long run is: bytes, lines a second, the time that is left. On a terminal only, and never in what the program prints.

use std::io::{IsTerminal, stderr, stdout};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Smaller logs are read before anybody has seen a bar.
const WORTH_IT: u64 = 16 << 20;
/// How many lines pass between two looks at the clock.
const LINES: u64 = 4096;
/// How often it is drawn.
const PAUSE: Duration = Duration::from_millis(100);

/// A bar on standard error; or nothing at all.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
    drawn: Instant,
    lines: u64,
}

impl Progress {
    /// A bar for a log of that size. There is none for a small log, in a pipe, or where lines are printed on the same terminal
    /// meanwhile (`prints`).
    pub(super) fn new(size: u64, prints: bool) -> Self {
        let shown = size >= WORTH_IT && stderr().is_terminal() && !(prints && stdout().is_terminal());
        let bar = shown.then(|| {
            let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr());
            let style = "{bar:30} {bytes}/{total_bytes} {msg} {eta} left";
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style.progress_chars("━╸ "));
            }
            bar
        });
        let now = Instant::now();
        Progress { bar, started: now, drawn: now, lines: 0 }
    }

    /// One more line was read; `bytes` of the log so far.
    pub(super) fn line(&mut self, bytes: impl FnOnce() -> u64) {
        if self.bar.is_none() {
            return;
        }
        self.lines += 1;
        if self.lines.is_multiple_of(LINES) {
            self.draw(bytes());
        }
    }

    /// So many more lines were read; `bytes` of the log so far.
    pub(super) fn page(&mut self, lines: usize, bytes: u64) {
        self.lines += lines as u64;
        self.draw(bytes);
    }

    fn draw(&mut self, bytes: u64) {
        let Some(bar) = &self.bar else { return };
        if self.drawn.elapsed() < PAUSE {
            return;
        }
        self.drawn = Instant::now();
        let rate = self.lines as f64 / self.started.elapsed().as_secs_f64().max(0.001);
        bar.set_message(format!("{} lines/s", grouped(rate as u64)));
        bar.set_position(bytes);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// `1,234,567`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_told_apart() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
