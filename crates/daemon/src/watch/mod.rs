//! Log files: each read once, for all the jails that follow it.
//!
//! The file is the queue. A jail whose inbox is full is left where it is and reads on from its own cursor when it has room;
//! nobody waits for it. A renamed file is read to its end, and for a while beyond, before and beside its successor.

mod driver;
mod tail;

use std::path::Path;
use std::sync::Arc;

use crossbeam_channel::Sender;

pub use driver::Watch;
pub use tail::{FirstLine, first_line};

/// How a jail's files are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Means {
    /// The kernel tells about changes.
    Inotify,
    /// Files are looked at five times a second.
    Polling,
}

/// Complete lines of one file, as they stand there, for a jail to judge.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Which file.
    pub path: Arc<Path>,
    /// The lines, each with its line end.
    pub bytes: Arc<[u8]>,
    /// Where in the file they end: the position to keep once they are judged.
    pub end: u64,
    /// SHA-1 of the file's first line with its line end, in hex; empty while that is not complete.
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
