//! The few things that a jail must ask from the world while it judges.

use std::net::IpAddr;

use portcullis_value::Value;

use crate::action::Script;
use crate::{Id, Timestamp};

/// What the database knows of an offender's earlier bans.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// How many bans there were.
    pub count: u32,
    /// When the last one began.
    pub last: Timestamp,
    /// How long the last one was, in seconds; negative is for ever.
    pub bantime: Value,
}

/// The world as a jail sees it. The daemon answers from bounded caches, under time limits; a simulator from a script.
pub trait Outside {
    /// The addresses of a host name; empty when it has none or nobody answers in time.
    ///
    /// # Errors
    /// The resolver's words (`[Errno -2] Name or service not known`), once per cache period; then an empty list.
    fn resolve(&mut self, name: &str) -> Result<Vec<IpAddr>, String>;

    /// The host name of an address (PTR), for `<ip-host>`.
    fn host_of(&mut self, address: IpAddr) -> Option<String>;

    /// Whether the address is one of this machine's own.
    fn is_own(&mut self, id: &Id) -> bool;

    /// Runs an `ignorecommand` under a time limit; its exit status, or what went wrong.
    ///
    /// # Errors
    /// Why it could not be run to its end.
    fn run(&mut self, script: &Script) -> Result<i32, String>;

    /// Earlier bans of this offender in this jail (`None`) or, with `overalljails`, in all.
    fn history(&mut self, id: &Id, overalljails: bool) -> Option<History>;
}
