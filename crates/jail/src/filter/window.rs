//! The last lines of a log, for regexes that go over several (`maxlines`, `<SKIPLINES>`).

use std::collections::VecDeque;

use super::python::{Captures, Regex};
use crate::failure::MatchedLine;

/// The lines that a filter with `maxlines` above 1 looks at together.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    lines: VecDeque<MatchedLine>,
    /// The lines as they were when the last one had come, where they are others now.
    before: Option<Vec<MatchedLine>>,
}

impl Window {
    /// Adds a line; the oldest leaves when there are more than `most`, and its memory serves the new one.
    pub(super) fn push(&mut self, before: &str, date: &str, after: &str, most: usize) {
        self.before = None;
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

    /// What a prefregex found in the lines takes their place.
    pub(super) fn keep_only(&mut self, content: &str) {
        self.before = Some(self.lines.drain(..).collect());
        self.lines.push_back(MatchedLine::plain(content.to_owned()));
    }

    /// The lines, the oldest first.
    pub(super) fn lines(&self) -> impl Iterator<Item = &MatchedLine> {
        self.lines.iter()
    }

    /// Takes out the lines that a match in `text`, the window's, covers, but not those that `<SKIPLINES>` skipped. As in Fail2ban they are
    /// told by their numbers among the lines as they were before any was taken out, or a prefregex' content took their place.
    pub(super) fn take(&mut self, regex: &Regex, captures: &Captures, text: &str) -> Vec<MatchedLine> {
        let (start, end) = captures.span(0).unwrap_or((0, 0));
        let skipped: Vec<(usize, usize)> = regex
            .names()
            .iter()
            .filter(|(name, _)| name.starts_with("skiplines"))
            .filter_map(|(_, group)| captures.span(*group))
            .collect();
        let mut places = text.split_inclusive('\n').scan(0, |place, line| {
            let from = *place;
            *place += line.len();
            Some((from, *place))
        });
        let mut taken = Vec::new();
        let before = self.before.get_or_insert_with(|| self.lines.iter().cloned().collect());
        self.lines.clear();
        for line in before {
            let is_taken = places.next().is_some_and(|(from, to)| {
                // A match that ends where a line begins does not cover it; an empty match covers the line that it stands in.
                let covered = from < end.max(start + 1) && to > start;
                covered && !skipped.iter().any(|(start, end)| from >= *start && to <= *end)
            });
            if is_taken {
                taken.push(line.clone());
            } else {
                self.lines.push_back(line.clone());
            }
        }
        taken
    }
}
