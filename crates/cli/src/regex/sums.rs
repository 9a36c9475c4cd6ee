//! What is counted while lines go by: hits of each regex, and lines of each kind.

use portcullis_jail::filter::{Counted, CountedHit, Filter, Finds, Moment};
use portcullis_jail::{Outside, Page};

use super::report::Sum;

/// All that is counted.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) prefregex: Sum,
    pub(super) failregex: Vec<Sum>,
    pub(super) ignoreregex: Vec<Sum>,
    pub(super) lines: u64,
    pub(super) matched: Kept,
    pub(super) ignored: Kept,
    pub(super) missed: Kept,
    /// Whether only failures are hits.
    pub(super) only_failures: bool,
}

/// Lines of one kind: all are counted, as many as may be shown are kept.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) count: usize,
    pub(super) lines: Vec<String>,
    pub(super) room: usize,
}

impl Kept {
    pub(super) fn new(room: usize) -> Self {
        Kept { room, ..Kept::default() }
    }

    pub(super) fn add(&mut self, line: &str) {
        self.count += 1;
        if self.lines.len() < self.room {
            self.lines.push(line.to_owned());
        }
    }

    /// Takes a line back, if it is there.
    pub(super) fn remove(&mut self, line: &str) -> bool {
        let at = self.lines.iter().rposition(|known| known == line);
        if let Some(at) = at {
            self.lines.remove(at);
            self.count -= 1;
        }
        at.is_some()
    }
}

/// Lines that Fail2ban's tester does not look at.
pub(super) fn is_skipped(line: &str) -> bool {
    line.is_empty() || line.starts_with('#')
}

impl Sums {
    /// Adds a page and what was found on it.
    pub(super) fn add_page(
        &mut self,
        page: &Page,
        finds: Finds,
        at: Moment,
        filter: &mut Filter,
        outside: &mut dyn Outside,
    ) {
        let mut next = 0;
        filter.settle(finds, at, outside, &mut |line, counted| {
            self.miss(page, next..line);
            self.lines += 1;
            self.count(counted);
            self.kind(counted).add(page.line(line));
            next = line + 1;
        });
        self.miss(page, next..page.len());
    }

    /// Lines on which nothing was found.
    fn miss(&mut self, page: &Page, lines: std::ops::Range<usize>) {
        for line in lines.map(|line| page.line(line)).filter(|line| !is_skipped(line)) {
            self.lines += 1;
            self.missed.add(line);
        }
    }

    fn count(&mut self, counted: &Counted<'_>) {
        if counted.prefregex {
            self.prefregex.add(None);
        }
        for hit in counted.hits.iter().filter(|hit| counts(hit, self.only_failures)) {
            let Some(sum) = self.failregex.get_mut(hit.index) else { continue };
            (0..hit.identities.max(1)).for_each(|_| sum.add(None));
        }
        if let Some(sum) = counted.ignored_by.and_then(|index| self.ignoreregex.get_mut(index)) {
            sum.add(None);
        }
    }

    fn kind(&mut self, counted: &Counted<'_>) -> &mut Kept {
        let mut hits = counted.hits.iter().filter(|hit| counts(hit, self.only_failures)).peekable();
        let matched = hits.peek().is_some();
        // One that is no failure makes its line an ignored one.
        if matched && counted.ignored_by.is_none() && !hits.any(|hit| hit.harmless) {
            &mut self.matched
        } else if matched || counted.ignored_by.is_some() {
            &mut self.ignored
        } else {
            &mut self.missed
        }
    }
}

/// Whether a match is one at all: not when the name that it has leads nowhere; what is no failure, unless all is checked.
fn counts(hit: &CountedHit, only_failures: bool) -> bool {
    (hit.nofail && !only_failures) || hit.identities > 0
}
