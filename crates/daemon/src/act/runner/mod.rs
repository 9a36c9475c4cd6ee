//! The life of a jail's actions: started when they are needed, checked when they fail, repaired, flushed, stopped.
//!
//! Nothing here does I/O: scripts are given to an [`Executor`], which runs them and tells how it went. [`Runner`] is one
//! action, [`Actions`] are all of a jail, in their order.

mod action;
mod actions;
mod command;
mod state;
#[cfg(test)]
mod tests;

pub use action::Runner;
pub use actions::Actions;

use std::time::Duration;

use portcullis_jail::LogLine;
use portcullis_jail::action::Script;

use super::shell::Exit;

/// Whoever runs scripts and writes the log.
pub trait Executor {
    /// Runs a script to its end, but not longer than `timeout`.
    fn run(&mut self, script: &Script, timeout: Duration) -> Exit;

    /// Takes a line for the log. Those of [`Exit::lines`] are passed here too, in their place among the others.
    fn log(&mut self, line: LogLine);
}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All commands succeeded, or there was nothing to do.
    Done,
    /// Something did not; why, for people.
    Failed(String),
}

impl Outcome {
    /// Whether all went well.
    pub fn is_done(&self) -> bool {
        *self == Outcome::Done
    }
}
