//! The last lines of a log, for regexes that go over several (`maxlines`, `<SKIPLINES>`).

use std::collections::VecDeque;

use super::python::{Captures, Regex};
use crate::failure::MatchedLine;

/// The lines that a filter with `maxlines` above 1 looks at together.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    lines: VecDeque<MatchedLine>,
}

impl Window {
    /// Adds a line; the oldest leaves when there are more than `most`, and its memory serves the new one.
    pub(super) fn push(&mut self, before: &str, date: &str, after: &str, most: usize) {
        let mut line = MatchedLine::default();
        while self.lines.len() >= most.max(1) {
            line = self.lines.pop_front().unwrap_or_default();
        }
        before.clone_into(&mut line.before);
        date.clone_into(&mut line.date);
        after.clone_into(&mut line.after);
        self.lines.push_back(line);
    }

    /// The lines without their dates, each with its line feed.
    pub(super) fn text(&self, out: &mut String) {
        for line in &self.lines {
            out.push_str(&line.before);
            out.push_str(&line.after);
            out.push('\n');
        }
    }

    /// Takes out the lines that a match covers, but not those that `<SKIPLINES>` skipped. `base` is where the searched
    /// text begins in the window's.
    pub(super) fn take(&mut self, regex: &Regex, captures: &Captures, base: usize) -> Vec<MatchedLine> {
        let (start, end) = captures.span(0).unwrap_or((0, 0));
        let skipped: Vec<(usize, usize)> = regex
            .names()
            .iter()
            .filter(|(name, _)| name.starts_with("skiplines"))
            .filter_map(|(_, group)| captures.span(*group))
            .map(|(start, end)| (start + base, end + base))
            .collect();
        let (start, end) = (start + base, end + base);
        let mut taken = Vec::new();
        let mut place = 0;
        self.lines.retain(|line| {
            let from = place;
            place += line.before.len() + line.after.len() + 1;
            // A match that ends where a line begins does not cover it; an empty match covers the line that it stands in.
            let covered = from < end.max(start + 1) && place > start;
            let skipped = skipped.iter().any(|(start, end)| from >= *start && place <= *end);
            let take = covered && !skipped;
            if take {
                taken.push(line.clone());
            }
            !take
        });
        taken
    }
}
