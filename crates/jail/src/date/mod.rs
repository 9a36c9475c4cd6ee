//! Dates in log lines: where they stand, and what time they tell.
//!
//! Two steps, since they cost differently. [`Detector::find`] says which bytes of a line are its date: every line needs
//! that, because the date is cut out before a filter looks. [`Detector::parse`] makes a time of them: only lines that
//! matched need it. What is accepted, which template wins and how its memory works are Fail2ban 1.0.2's.

mod civil;
mod cursor;
mod detector;
mod field;
mod hand;
mod list;
mod parse;
mod pattern;
mod python;
mod shape;
mod template;
mod words;
mod zone;

use std::fmt;

pub use civil::Zones;
pub use detector::{Detector, Found, TemplateReport};
pub(crate) use parse::Fields;
pub use zone::{Offset, parse_logtimezone};

/// Why there is no detector, or no time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DateError {
    /// A `datepattern` with an unknown field or a stray percent sign; Fail2ban's own words.
    Pattern {
        /// The pattern as it was given.
        pattern: String,
        /// What Python's formatting says of it.
        reason: String,
    },
    /// The same template twice; its name.
    Duplicate(String),
    /// A pattern that is no regular expression.
    Regex {
        /// The pattern as it was given.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A `logtimezone` that is no fixed offset.
    Zone(String),
    /// The text matched, but is no date (30 February, a leap second, an unknown zone name).
    Invalid,
}

impl fmt::Display for DateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DateError::Pattern { pattern, reason } => write!(
                f,
                "Failed to set datepattern '{pattern}' (may be an invalid format or unescaped percent char): {reason}"
            ),
            DateError::Duplicate(name) => write!(f, "There is already a template with name {name}"),
            DateError::Regex { pattern, reason } => {
                write!(f, "Unable to compile date pattern '{pattern}': {reason}")
            }
            DateError::Zone(zone) => {
                write!(f, "Unknown or unsupported time zone: {}", portcullis_value::repr_str(zone))
            }
            DateError::Invalid => f.write_str("no valid date"),
        }
    }
}

impl std::error::Error for DateError {}
