//! Loops over one character, as the backtracking engine runs them: how far they reach, and where they may end.

use super::backtrack::Run;
use super::class::CharSet;
use super::program::Step;
use super::scratch::Job;

impl<const REMEMBER: bool> Run<'_, REMEMBER> {
    /// The place behind the character at `at`, if that is in the set.
    #[inline]
    pub(super) fn one_of(&self, set: &CharSet, at: usize) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let byte = *bytes.get(at)?;
        if !set.unless.is_empty() && bytes[at..].starts_with(set.unless.as_bytes()) {
            return None;
        }
        if set.has(byte) {
            return Some(at + 1);
        }
        if byte.is_ascii() { None } else { self.one_beyond_ascii(set, at) }
    }

    #[cold]
    fn one_beyond_ascii(&self, set: &CharSet, at: usize) -> Option<usize> {
        self.char_at(at).filter(|c| set.contains(*c)).map(|c| at + c.len_utf8())
    }

    /// Where the characters of a set end that begin at `at`, or so many of them.
    #[inline]
    pub(super) fn span(&mut self, set: &CharSet, memo: usize, at: usize, most: usize) -> usize {
        // Only a span without bounds has tried all from wherever it has been.
        if REMEMBER && most == usize::MAX {
            return self.new_span(set, memo, at);
        }
        let end = self.plain_span(set, at, most);
        if set.unless.is_empty() { end } else { self.up_to(&set.unless, at, end) }
    }

    /// Where a text begins between these places; the second one, if it does not.
    fn up_to(&self, text: &str, at: usize, end: usize) -> usize {
        let bytes = self.text.as_bytes();
        let here = &bytes[at..bytes.len().min(end + text.len() - 1)];
        memchr::memmem::find(here, text.as_bytes()).map_or(end, |before| at + before)
    }

    fn plain_span(&self, set: &CharSet, mut at: usize, most: usize) -> usize {
        let bytes = self.text.as_bytes();
        if set.dot && most == usize::MAX {
            return memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |length| at + length);
        }
        let mut left = most;
        loop {
            let rest = &bytes[at..];
            let rest = &rest[..rest.len().min(left)];
            let ascii = rest.iter().position(|byte| !set.has(*byte)).unwrap_or(rest.len());
            (at, left) = (at + ascii, left - ascii);
            match bytes.get(at) {
                Some(byte) if left > 0 && !byte.is_ascii() => match self.one_beyond_ascii(set, at) {
                    Some(next) => (at, left) = (next, left - 1),
                    None => return at,
                },
                _ => return at,
            }
        }
    }

    /// The same up to where an earlier span of this loop has been: there everything was tried already.
    fn new_span(&mut self, set: &CharSet, memo: usize, mut at: usize) -> usize {
        while let Some(next) = self.one_of(set, at) {
            if self.failed_before(memo, next) {
                break;
            }
            at = next;
        }
        at
    }

    /// The last place from `low` to `at` where what comes behind a span may begin. The earlier ones are left for later.
    pub(super) fn shortened(&mut self, step: usize, low: usize, at: usize) -> Option<usize> {
        let program = self.program;
        let Step::Span { memo, .. } = program.steps[step] else { return None };
        let bytes = self.text.as_bytes();
        let follow = &program.follows[memo];
        if follow.is_text() {
            // Text begins where a character does.
            let end = follow.last(bytes, low, at);
            self.left = self.left.saturating_sub((at - end.unwrap_or(low)) as u64);
            if let Some(end) = end.filter(|end| *end > low) {
                let (step, low, at) = (step as u32, low as u32, end as u32);
                self.scratch.jobs.push(Job::Shorten { step, low, at });
            }
            return end;
        }
        let peek = &program.peeks[memo][0];
        let mut end = at;
        while end >= low {
            let fits = peek.allows(bytes.get(end)) && self.text.is_char_boundary(end);
            if fits {
                self.left = self.left.saturating_sub((at - end) as u64);
                if end > low {
                    let (step, low, at) = (step as u32, low as u32, end as u32);
                    self.scratch.jobs.push(Job::Shorten { step, low, at });
                }
                return Some(end);
            }
            end = end.checked_sub(1)?;
        }
        self.left = self.left.saturating_sub((at - low) as u64);
        None
    }

    /// The place behind one more character of a lazy span.
    pub(super) fn one_more(&self, step: usize, at: usize) -> Option<usize> {
        let Step::Lazy { set, .. } = self.program.steps[step] else { return None };
        self.one_of(&self.program.sets[set], at)
    }

    /// The first place from `at` on where what comes behind a lazy span may begin. The later ones are left for later.
    pub(super) fn lengthened(&mut self, step: usize, at: usize) -> Option<usize> {
        let Step::Lazy { set, memo } = self.program.steps[step] else { return None };
        let program = self.program;
        let mut end = at;
        loop {
            if self.failed_before(memo, end) {
                return None;
            }
            let bytes = self.text.as_bytes();
            if program.peeks[memo][0].allows(bytes.get(end)) && program.follows[memo].is_at(bytes, end) {
                break;
            }
            end = self.one_of(&program.sets[set], end)?;
        }
        self.left = self.left.saturating_sub((end - at) as u64);
        self.scratch.jobs.push(Job::Lengthen { step: step as u32, at: end as u32 });
        Some(end)
    }
}
