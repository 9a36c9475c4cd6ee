//! Comparing what the genuine program said with what we said.

use std::fmt::Write as _;

use similar::{ChangeTag, TextDiff};

use crate::Output;
use crate::skip::record;

/// Comparisons that belong together. All differences are shown at once, by [`Comparison::finish`].
pub struct Comparison {
    name: String,
    made: usize,
    differences: Vec<String>,
    finished: bool,
}

impl Comparison {
    /// Begins with nothing compared. `name` heads the differences.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), made: 0, differences: Vec::new(), finished: false }
    }

    /// Compares two texts, and remembers the difference, if any. Returns whether they are the same.
    pub fn same(&mut self, what: &str, genuine: &str, ours: &str) -> bool {
        self.made += 1;
        record("comparisons", &format!("{}: {what}", self.name));
        if genuine == ours {
            return true;
        }
        self.differences.push(format!("{what}:\n{}", diff(genuine, ours)));
        false
    }

    /// Compares standard output, standard error and exit status of two commands.
    pub fn same_output(&mut self, what: &str, genuine: &Output, ours: &Output) -> bool {
        self.same(what, &genuine.to_string(), &ours.to_string())
    }

    /// How many comparisons were made.
    pub fn made(&self) -> usize {
        self.made
    }

    /// Prints the number of comparisons.
    ///
    /// # Panics
    /// With all differences, if there are any; or if nothing was compared.
    pub fn finish(mut self) {
        self.finished = true;
        assert!(self.made > 0, "{}: nothing was compared", self.name);
        if self.differences.is_empty() {
            println!("{}: {} comparisons, no difference", self.name, self.made);
            return;
        }
        let mut text =
            format!("{}: {} of {} comparisons differ\n", self.name, self.differences.len(), self.made);
        for difference in &self.differences {
            let _ = write!(text, "\n{difference}");
        }
        panic!("{text}");
    }
}

impl Drop for Comparison {
    fn drop(&mut self) {
        // A comparison that nobody finishes would pass with differences.
        assert!(self.finished || std::thread::panicking(), "{}: call finish()", self.name);
    }
}

/// The lines that differ, with two lines around each: `-` is the genuine program's, `+` is ours.
pub fn diff(genuine: &str, ours: &str) -> String {
    let diff = TextDiff::from_lines(genuine, ours);
    let mut text = String::from("  --- genuine\n  +++ ours\n");
    for (index, group) in diff.grouped_ops(2).iter().enumerate() {
        if index > 0 {
            text.push_str("    ...\n");
        }
        for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            // Tabs and blanks at the end of a line would be invisible.
            let line = change.value().trim_end_matches('\n').replace('\t', "→");
            let trimmed = line.trim_end_matches(' ');
            let blanks = "·".repeat(line.len() - trimmed.len());
            let _ = writeln!(text, "  {sign} {trimmed}{blanks}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_both_lines_and_what_is_invisible() {
        let text = diff("a\nlist:\t\nsame\n", "a\nlist: \nsame\n");
        assert!(
            text.contains("  - list:→\n") && text.contains("  + list:·\n") && text.contains("    same\n"),
            "{text}"
        );
    }

    #[test]
    #[should_panic(expected = "1 of 2 comparisons differ")]
    fn differences_are_collected_and_fail_the_test_at_the_end() {
        let mut comparison = Comparison::new("two");
        assert!(comparison.same("one", "x\n", "x\n"));
        assert!(!comparison.same("two", "x\n", "y\n"));
        comparison.finish();
    }

    #[test]
    #[should_panic(expected = "nothing was compared")]
    fn a_comparison_of_nothing_proves_nothing() {
        Comparison::new("none").finish();
    }
}
