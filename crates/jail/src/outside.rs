//! The few things that a jail must ask from the world while it judges.

use std::net::IpAddr;

use ipnet::IpNet;
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

/// A file of ignored addresses, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileText {
    /// It has not changed since.
    Same,
    /// It is another one.
    New {
        /// Which one: anything that changes when the file does.
        version: u64,
        /// What stands in it.
        text: String,
    },
    /// It cannot be read, for this reason.
    Unreadable(String),
}

/// The world as a jail sees it. The daemon answers from bounded caches, under time limits; a simulator from a script. What is not
/// answered here is answered as by [`Nobody`].
pub trait Outside {
    /// The addresses of a host name; empty when it has none or nobody answers in time.
    ///
    /// # Errors
    /// The resolver's words (`[Errno -2] Name or service not known`), once per cache period; then an empty list.
    fn resolve(&mut self, name: &str) -> Result<Vec<IpAddr>, String> {
        let _ = name;
        Ok(Vec::new())
    }

    /// The host name of an address (PTR), for `<ip-host>`.
    fn host_of(&mut self, address: IpAddr) -> Option<String> {
        let _ = address;
        None
    }

    /// Whether the address is one of this machine's own.
    fn is_own(&mut self, id: &Id) -> bool {
        let _ = id;
        false
    }

    /// Whether one of this machine's own addresses is in this network.
    fn owns_one_of(&mut self, net: IpNet) -> bool {
        let _ = net;
        false
    }

    /// Runs an `ignorecommand` under a time limit; its exit status (negative: the signal that ended it), or what went
    /// wrong. What its exit status means is not looked at here.
    ///
    /// # Errors
    /// Why it could not be run to its end.
    fn run(&mut self, script: &Script) -> Result<i32, String> {
        let _ = script;
        Err("nothing is run here".into())
    }

    /// Earlier bans of this offender in this jail (`None`) or, with `overalljails`, in all.
    fn history(&mut self, id: &Id, overalljails: bool) -> Option<History> {
        let _ = (id, overalljails);
        None
    }

    /// Why detection must not ban this offender, in words that follow "NOT banning": he is logged in as an administrator, is
    /// the gateway, is this machine. A world without such people protects nobody.
    fn why_not(&mut self, id: &Id) -> Option<String> {
        let _ = id;
        None
    }

    /// The file of `ignoreip = file:PATH`, unless it still is the version `seen`. Asked for each failure: one looks at the file
    /// once a second at most. A world without files has none that change.
    fn ignore_file(&mut self, path: &str, seen: Option<u64>) -> FileText {
        let _ = (path, seen);
        FileText::Same
    }
}

/// A world without names, files, commands and memory: nobody answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Outside for Nobody {}
