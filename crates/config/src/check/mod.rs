//! What is wrong with a configuration: everything at once, each with its place and what to do.
//!
//! Here is what the text of the files tells. Whether a regular expression is any good, or a program is installed, must be
//! asked elsewhere; [`Checked`] knows where the text of an option came from, so that this can be shown, too.

mod brackets;
mod explain;
mod jails;
mod lines;
mod options;
mod places;
mod problem;
mod tree;

pub use explain::{Explained, Step, Unexplained, explain};
pub use jails::Checked;
pub use problem::{Place, Problem, Remark, Severity};

use crate::source::Source;

/// Reads everything that the enabled jails of a configuration are made of; with `all`, those that are not enabled, too.
pub fn check(source: &Source, all: bool) -> Checked {
    jails::check(source, all)
}
