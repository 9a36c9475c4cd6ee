//! What is asked of a filter, and what it answers.

use crate::event::LogLine;
use crate::failure::Data;
use crate::{Failure, Id, Timestamp};

/// When a line is judged.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time now.
    pub now: Timestamp,
    /// Whether the log has been read to its end before: its lines are news then, whatever their dates say.
    pub in_operation: bool,
}

/// A line whose time is known: a journal's entry.
#[derive(Clone, Copy, Debug)]
pub struct DatedLine<'l> {
    /// The date as tickets keep it.
    pub date: &'l str,
    /// The line, without a date.
    pub line: &'l str,
    /// Its time.
    pub time: Timestamp,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Status {
    /// No regex matched.
    #[default]
    Missed,
    /// A failregex matched.
    Matched,
    /// An ignoreregex matched.
    Ignored,
    /// Too old to be looked at.
    TooOld,
}

/// The answer to a line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// What became of the line.
    pub status: Status,
    /// The failures to be counted. A name with several addresses is as many failures.
    pub failures: Vec<Failure>,
    /// What there is to say.
    pub notes: Vec<LogLine>,
    /// Which failregexes matched, in order; more than one only with [`Filter::set_check_all`].
    pub hits: Vec<Hit>,
    /// The groups of the prefregex, if it matched; only with [`Filter::set_check_all`]. With
    /// [`Filter::set_counts_only`] there are none.
    pub prefregex: Option<Data>,
    /// The indices of the ignoreregexes that matched, in order; more than one, and one for each failregex that had matched, only
    /// with [`Filter::set_check_all`].
    pub ignored_by: Vec<usize>,
}

/// One failregex that matched.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Its index.
    pub index: usize,
    /// What it captured, with the prefregex' groups before: null where a group took no part. Only with
    /// [`Filter::set_check_all`], and without [`Filter::set_counts_only`].
    pub data: Data,
    /// Whether it is marked as no failure (`<F-NOFAIL>`, `<F-MLFGAINED>`), whatever became of it.
    pub harmless: bool,
    /// Whether it is no failure (`<F-NOFAIL>`, or a connection whose address is not known yet).
    pub nofail: bool,
    /// Whose it is, and the address where the identity is not one. Empty when nobody knows, or yet.
    pub identities: Vec<(Id, Option<Id>)>,
    /// When it was.
    pub time: Timestamp,
}
