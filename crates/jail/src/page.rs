//! Some lines of a log, as all jails that follow it get them: split and decoded once, and their dates found once.
//!
//! Finding a date costs as much as finding that a line is somebody else's business. Jails that read dates alike (the same
//! `datepattern` and `logtimezone`, and the same lines before) find the same ones, so the first of them leaves what it
//! found with the page. Pages are shared among the jails of one machine, whose time zone is one.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Timestamp;
use crate::filter::{Ahead, Dates};

/// So many ways of reading a page's dates are kept; more are found by each jail for itself.
const MOST_WAYS: usize = 16;

/// Complete lines of a log, each with its line end.
#[derive(Debug)]
pub struct Page {
    text: String,
    /// The lines without their ends, in the text.
    lines: Vec<Range<u32>>,
    /// What was read, where that is no UTF-8.
    raw: Option<Vec<u8>>,
    undecodable: Undecodable,
    read: Timestamp,
    dates: Mutex<Vec<Arc<Dates>>>,
    ahead: Mutex<Ahead>,
}

/// Lines that were no UTF-8; what was none of it in them is replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undecodable {
    /// How many.
    pub lines: u64,
    /// The first of them, with its line end.
    pub first: Vec<u8>,
}

impl Page {
    /// A page of what was read at a time; less than 4 GiB.
    pub fn new(bytes: Vec<u8>, read: Timestamp) -> Self {
        let mut undecodable = Undecodable::default();
        let (text, raw) = match String::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let bytes = error.into_bytes();
                let mut text = String::with_capacity(bytes.len() + 64);
                for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                    let decoded = String::from_utf8_lossy(line);
                    if let std::borrow::Cow::Owned(_) = decoded {
                        undecodable.lines += 1;
                        if undecodable.lines == 1 {
                            undecodable.first = line.to_vec();
                        }
                    }
                    text.push_str(&decoded);
                }
                (text, Some(bytes))
            }
        };
        let mut lines = Vec::with_capacity(text.len() / 64);
        let mut start = 0;
        let ends = memchr::memchr_iter(b'\n', text.as_bytes()).map(|end| end + 1);
        let unended = (!text.is_empty() && !text.ends_with('\n')).then_some(text.len());
        for end in ends.chain(unended) {
            // Any number of CR and LF, as Fail2ban strips them.
            let line = text[start..end].trim_end_matches(['\n', '\r']);
            lines.push(start as u32..(start + line.len()) as u32);
            start = end;
        }
        Page { text, lines, raw, undecodable, read, dates: Mutex::default(), ahead: Mutex::default() }
    }

    /// The bytes as they were read.
    pub fn bytes(&self) -> &[u8] {
        self.raw.as_deref().unwrap_or(self.text.as_bytes())
    }

    /// When it was read.
    pub fn read(&self) -> Timestamp {
        self.read
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// A line, without its end.
    pub fn line(&self, index: usize) -> &str {
        self.lines.get(index).map_or("", |line| &self.text[line.start as usize..line.end as usize])
    }

    /// How many bytes a line has, without its end.
    pub(crate) fn length(&self, index: usize) -> usize {
        self.lines.get(index).map_or(0, |line| (line.end - line.start) as usize)
    }

    /// A line's bytes with its line feed, if nothing else ends it; without an end otherwise.
    pub(crate) fn line_bytes(&self, index: usize) -> &[u8] {
        let Some(line) = self.lines.get(index) else { return &[] };
        let (start, end) = (line.start as usize, line.end as usize);
        let fed = self.text.as_bytes().get(end) == Some(&b'\n');
        self.text.as_bytes().get(start..end + usize::from(fed)).unwrap_or_default()
    }

    /// A line with its line feed, if nothing else ends it.
    pub(crate) fn line_with_feed(&self, index: usize) -> Option<&str> {
        let line = self.lines.get(index)?;
        let text = self.text.get(line.start as usize..=line.end as usize)?;
        text.ends_with('\n').then_some(text)
    }

    /// The lines in order, without their ends.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.len()).map(|index| self.line(index))
    }

    /// What was no UTF-8.
    pub fn undecodable(&self) -> &Undecodable {
        &self.undecodable
    }

    /// What somebody has found out about the lines before their jail came to them.
    pub(crate) fn ahead(&self) -> &Mutex<Ahead> {
        &self.ahead
    }

    /// The dates that fit the question, or those that are found now, while other jails with the same question wait.
    pub(crate) fn dates(
        &self,
        fits: impl Fn(&Dates) -> bool,
        find: impl FnOnce(&Self) -> Dates,
    ) -> Arc<Dates> {
        // A panic while dates are searched leaves those that others have found.
        let mut known = self.dates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(dates) = known.iter().find(|dates| fits(dates)) {
            return Arc::clone(dates);
        }
        let dates = Arc::new(find(self));
        if known.len() < MOST_WAYS {
            known.push(Arc::clone(&dates));
        }
        dates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lose_their_ends_and_keep_their_order() {
        let page = Page::new(b"one\r\n\n\r\r\nt\rwo\nrest".to_vec(), Timestamp(0.0));
        assert_eq!(page.lines().collect::<Vec<_>>(), ["one", "", "", "t\rwo", "rest"]);
        assert_eq!((page.len(), page.line(9)), (5, ""));
    }

    #[test]
    fn what_is_no_utf8_is_replaced_and_told() {
        let page = Page::new(b"a\nb\xff\nc\xe4\xbd\nd\n".to_vec(), Timestamp(0.0));
        assert_eq!(page.lines().collect::<Vec<_>>(), ["a", "b\u{fffd}", "c\u{fffd}", "d"]);
        assert_eq!(page.undecodable(), &Undecodable { lines: 2, first: b"b\xff\n".to_vec() });
        assert_eq!(page.bytes(), b"a\nb\xff\nc\xe4\xbd\nd\n");
    }
}
