//! What is counted while lines go by: hits of each regex, and lines of each kind.

use portcullis_jail::filter::{Counted, CountedHit, Filter, Finds, Moment};
use portcullis_jail::{Outside, Page};

use super::report::Sum;

/// All that is counted.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) prefregex: Sum,
    /// What the last line that it was tried on gave. Of a line that is ignored before, Fail2ban counts that once more.
    pub(super) last_prefregex: Option<String>,
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
    /// Below zero where more was taken back than there was, as in Fail2ban.
    pub(super) count: i64,
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

    /// Takes a line back. It counts less also where it is not there.
    pub(super) fn remove(&mut self, line: &str) {
        if let Some(at) = self.lines.iter().position(|known| known == line) {
            self.lines.remove(at);
        }
        self.count -= 1;
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
            self.last_prefregex = None;
        }
    }

    /// `found`: the prefregex matched, and what it captured, or nothing where that is not told.
    pub(super) fn count_prefregex(&mut self, found: Option<String>, ignored: bool) {
        if found.is_some() || !ignored {
            self.last_prefregex = found;
        }
        if let Some(told) = &self.last_prefregex {
            self.prefregex.add(Some(told.clone()).filter(|told| !told.is_empty()));
        }
    }

    fn count(&mut self, counted: &Counted<'_>) {
        self.count_prefregex(counted.prefregex.then(String::new), !counted.ignored_by.is_empty());
        for hit in counted.hits.iter().filter(|hit| counts(hit, self.only_failures)) {
            let Some(sum) = self.failregex.get_mut(hit.index) else { continue };
            (0..hit.identities.max(1)).for_each(|_| sum.add(None));
        }
        for index in counted.ignored_by {
            let Some(sum) = self.ignoreregex.get_mut(*index) else { continue };
            sum.add(None);
        }
    }

    fn kind(&mut self, counted: &Counted<'_>) -> &mut Kept {
        let mut hits = counted.hits.iter().filter(|hit| counts(hit, self.only_failures)).peekable();
        let matched = hits.peek().is_some();
        // One that is no failure makes its line an ignored one.
        if matched && counted.ignored_by.is_empty() && !hits.any(|hit| hit.harmless) {
            &mut self.matched
        } else if matched || !counted.ignored_by.is_empty() {
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
