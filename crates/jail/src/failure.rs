//! What a filter finds (a failure) and what a jail makes of enough of them (a ticket).

use portcullis_value::Value;

pub use crate::data::{Data, Name};
use crate::{Id, Timestamp};

/// A log line that counted, in the three parts in which Fail2ban keeps it. A line that Fail2ban keeps in one piece (not an
/// offender's first, or given by hand) is all `after`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchedLine {
    /// What stood before the date.
    pub before: String,
    /// The date's text. Empty when the line had none.
    pub date: String,
    /// What stood after it.
    pub after: String,
}

impl MatchedLine {
    /// A line whose date is not told apart.
    pub fn plain(line: String) -> Self {
        MatchedLine { before: String::new(), date: String::new(), after: line }
    }

    /// The line as it stood in the log.
    pub fn line(&self) -> String {
        format!("{}{}{}", self.before, self.date, self.after)
    }
}

/// One failure, found by a filter.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// Whom it counts against.
    pub id: Id,
    /// The address, when the identity is not the address itself (`<F-ID>` with `<HOST>`).
    pub ip: Option<Id>,
    /// When: the log line's time.
    pub time: Timestamp,
    /// The lines that led to it.
    pub matches: Vec<MatchedLine>,
    /// What else was captured.
    pub data: Data,
}

/// Enough failures: somebody to be banned, or banned already.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticket {
    /// Whom.
    pub id: Id,
    /// The address, when the identity is not the address itself.
    pub ip: Option<Id>,
    /// Time of the last failure: the ban begins here.
    pub time: Timestamp,
    /// Own ban time in seconds, when it is not the jail's; negative is for ever. The value's type (integer or float) is
    /// shown to users.
    pub bantime: Option<Value>,
    /// Which ban of this offender it is, beginning with 1.
    pub bancount: u32,
    /// How many failures led to it. 0 for a ban by hand.
    pub failures: u32,
    /// The last lines that led to it.
    pub matches: Vec<MatchedLine>,
    /// What the first failure captured.
    pub data: Data,
    /// Whether it came from the database.
    pub restored: bool,
}

impl Ticket {
    /// A ticket without failures, as `banip` makes it.
    pub fn by_hand(id: Id, time: Timestamp) -> Self {
        Ticket {
            id,
            ip: None,
            time,
            bantime: None,
            bancount: 1,
            failures: 0,
            matches: Vec::new(),
            data: Data::new(),
            restored: false,
        }
    }

    /// Only so many of the last lines.
    pub fn keep_matches(&mut self, maxmatches: usize) {
        keep_last(&mut self.matches, maxmatches);
    }
}

/// Only so many of the last lines.
pub(crate) fn keep_last(lines: &mut Vec<MatchedLine>, most: usize) {
    let excess = lines.len().saturating_sub(most);
    lines.drain(..excess);
}

/// Bytes of text that an attacker had written.
pub(crate) fn size(lines: &[MatchedLine], data: &Data) -> usize {
    let lines = lines.iter().map(|line| line.before.len() + line.date.len() + line.after.len());
    let data = data.iter().map(|(key, value)| key.len() + value.as_str().map_or(8, str::len));
    lines.sum::<usize>() + data.sum::<usize>()
}
