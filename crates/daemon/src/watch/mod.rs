//! Logs. Files: each read once, for all the jails that follow it.
//!
//! The file is the queue. A jail whose inbox is full is left where it is and reads on from its own cursor when it has room;
//! nobody waits for it. A renamed file is read to its end, and for a while beyond, before and beside its successor.
//!
//! The journal is its own queue likewise: each jail has a `journalctl` of its own, which waits when the inbox is full.

mod driver;
mod entries;
mod seek;
mod tail;

use std::path::Path;
use std::sync::Arc;

use crossbeam_channel::Sender;
use portcullis_jail::Page;

use crate::journal::Entry;

pub use driver::Watch;
pub use entries::{FollowJournal, JournalWatch};
pub(crate) use seek::{Sought, seek};
pub use tail::{FirstLine, first_line};

/// How a jail's files are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Means {
    /// The kernel tells about changes.
    Inotify,
    /// Files are looked at five times a second.
    Polling,
    /// The systemd journal, and no files.
    Journal,
}

/// What a batch brings.
#[derive(Clone, Debug)]
pub enum Content {
    /// Complete lines of a file, the same ones for all jails at this place.
    Lines(Arc<Page>),
    /// Entries of the journal.
    Entries(Arc<[Entry]>),
}

/// News of one log, for a jail to judge.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Which file; for the journal, [`NAME`](crate::journal::NAME).
    pub path: Arc<Path>,
    /// The lines.
    pub content: Content,
    /// Where in the file they end: the position to keep once they are judged. For the journal, the time of the last entry in
    /// microseconds since 1970.
    pub end: u64,
    /// SHA-1 of the file's first line with its line end, in hex; empty while that is not complete. For the journal, the time
    /// of the last entry as text, with a blank, and its cursor.
    pub first_line: Arc<str>,
    /// Whether the file had been read to its end before these lines were written: Fail2ban's "operation mode".
    pub in_operation: bool,
    /// Whether these lines come from a file that has been renamed: their position is not worth keeping.
    pub superseded: bool,
}

/// What a jail wants to read, and where it begins.
#[derive(Clone, Debug)]
pub struct Follow {
    /// The jail.
    pub jail: Arc<str>,
    /// The file.
    pub path: Arc<Path>,
    /// Where to begin, in bytes.
    pub position: u64,
    /// Whether the jail is in operation at once (`tail`).
    pub in_operation: bool,
    /// Where the lines go. Bounded: see above for what happens when it is full.
    pub inbox: Sender<Batch>,
}

#[cfg(test)]
impl Batch {
    /// The lines of a file, as text.
    fn text(&self) -> String {
        match &self.content {
            Content::Lines(page) => String::from_utf8_lossy(page.bytes()).into_owned(),
            Content::Entries(entries) => panic!("entries where lines were expected: {entries:?}"),
        }
    }
}
