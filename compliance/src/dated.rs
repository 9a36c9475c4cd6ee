//! Dates for lines of logs, also such as there are none of: February 31st, twelve hours past noon at 24 o'clock.

use std::fmt::Write as _;

/// The fields of a date; nothing is asked of them.
#[derive(Clone, Copy, Debug)]
pub struct Dated {
    /// With its century.
    pub year: usize,
    /// From 1.
    pub month: usize,
    /// Of the month, from 1.
    pub day: usize,
    /// Of the day, from 0.
    pub hour: usize,
    /// From 0.
    pub minute: usize,
    /// From 0.
    pub second: usize,
}

impl Dated {
    /// The date in the letters of `strftime`, of which `%k` is the hour padded with a blank. What has no single form, as names,
    /// zones and fractions, is what `other` makes of the letter.
    ///
    /// # Panics
    /// When the format ends in `%`.
    pub fn written(&self, format: &str, mut other: impl FnMut(char) -> String) -> String {
        let mut out = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let letter = chars.next().expect("a letter follows %");
            let _ = match letter {
                'Y' => write!(out, "{}", self.year),
                'y' => write!(out, "{:02}", self.year % 100),
                'm' => write!(out, "{:02}", self.month),
                'd' => write!(out, "{:02}", self.day),
                'e' => write!(out, "{:2}", self.day),
                'H' => write!(out, "{:02}", self.hour),
                'k' => write!(out, "{:2}", self.hour),
                'M' => write!(out, "{:02}", self.minute),
                'S' => write!(out, "{:02}", self.second),
                _ => write!(out, "{}", other(letter)),
            };
        }
        out
    }
}
