//! What can be known of an action before its first ban: which programs it calls and whether they are there, and whether it
//! is one of the firewalls that we know well enough to do its work without it. Nothing is executed for that.

mod evaluate;
mod known;
mod parse;
mod programs;
mod syntax;

pub use known::{Deed, Kind, Known, Table, recognise};
pub use parse::{Unreadable, parse};
pub use programs::{Missing, Path, check, unreadable};
pub use syntax::{Command, Part, Word};
