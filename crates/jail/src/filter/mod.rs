//! Filters: which lines are failures, and whose.
//!
//! A [`Filter`] has a jail's regexes and what goes with them. It is asked line by line; its answer, a [`Verdict`], has
//! the failures and what there is to say about the line. Addresses that are ignored, counting and banning are not its
//! business.

mod ahead;
mod clock;
mod connection;
mod count;
mod counted;
mod engines;
mod explain;
mod gate;
mod identity;
mod judge;
mod mix;
mod nearest;
mod nfa;
mod python;
mod rule;
mod settings;
mod table;
mod tags;
mod verdict;
mod walk;
mod window;

pub(crate) use ahead::Ahead;
pub(crate) use clock::Dates;
pub use count::{Counted, CountedHit, Finds, Stamps};
pub use engines::{Carried, Engine};
pub use explain::{DateCut, Explanation, Nearest};
pub use identity::UseDns;
pub use settings::{Counters, Filter, LONGEST_LINE, RegexError};
pub use tags::written;
pub use verdict::{DatedLine, Hit, Moment, Status, Verdict};
