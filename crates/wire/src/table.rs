//! Every command, once: its words, how they are parsed, of which type its reply is and how that is shown, and one line of help
//! for each form.
//!
//! [`Request::parse`](crate::Request::parse), [`show`](crate::show), the client's help, the manual and completions in shells go by
//! this table. The order is the help's.

mod arguments;
mod globals;
mod jails;
mod ours;
mod reply;

use portcullis_value::{Exception, Value};

use crate::request::{JailGet, JailSet, NewSetting, Request, Setting};
use crate::show::Show;
use crate::words::Words;

pub use arguments::{Argument, Kind};
pub use reply::Type;

/// A command in the table.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The word that tells it from its neighbours: `banip`. One that ends in `.` stands for all with this beginning.
    pub name: &'static str,
    /// Where it stands, and how its arguments are read.
    pub(crate) at: At,
    /// What it answers.
    pub reply: Type,
    /// How a reply is shown as text.
    pub show: Show,
    /// The ways to call it that the help tells.
    pub forms: &'static [Form],
}

/// One way to call a command.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Under which heading it is told.
    pub group: Group,
    /// What follows the name.
    pub arguments: &'static str,
    /// What it does; a sentence without capital and full stop.
    pub help: &'static str,
}

/// Headings of the help, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Start, stop, status.
    Basic,
    /// Where the server's log goes.
    Logging,
    /// The persistent database.
    Database,
    /// Jails as a whole.
    JailControl,
    /// `set JAIL …`
    JailConfiguration,
    /// `set JAIL action ACT actionban …`
    CommandActionConfiguration,
    /// `set JAIL action ACT PROPERTY …`
    GeneralActionConfiguration,
    /// `get JAIL …`
    JailInformation,
    /// `get JAIL action ACT actionban`
    CommandActionInformation,
    /// `get JAIL action ACT PROPERTY`
    GeneralActionInformation,
}

impl Group {
    /// All of them, in the order of the help.
    pub const ALL: [Group; 10] = [
        Group::Basic,
        Group::Logging,
        Group::Database,
        Group::JailControl,
        Group::JailConfiguration,
        Group::CommandActionConfiguration,
        Group::GeneralActionConfiguration,
        Group::JailInformation,
        Group::CommandActionInformation,
        Group::GeneralActionInformation,
    ];

    /// The heading, as Fail2ban writes it.
    pub fn heading(self) -> &'static str {
        match self {
            Group::Basic => "BASIC",
            Group::Logging => "LOGGING",
            Group::Database => "DATABASE",
            Group::JailControl => "JAIL CONTROL",
            Group::JailConfiguration => "JAIL CONFIGURATION",
            Group::CommandActionConfiguration => "COMMAND ACTION CONFIGURATION",
            Group::GeneralActionConfiguration => "GENERAL ACTION CONFIGURATION",
            Group::JailInformation => "JAIL INFORMATION",
            Group::CommandActionInformation => "COMMAND ACTION INFORMATION",
            Group::GeneralActionInformation => "GENERAL ACTION INFORMATION",
        }
    }
}

type Parse<T> = fn(Words<'_>) -> Result<T, Exception>;
/// The text is what follows a name that ends in `.`.
type ParseOption<T> = fn(&str, Words<'_>) -> Result<T, Exception>;

/// Where a command stands, and how its arguments are read.
#[derive(Clone, Copy)]
pub(crate) enum At {
    /// Only the client knows it.
    Client,
    /// `NAME …`
    Server(Parse<Request>),
    /// `get NAME`
    Get(Setting),
    /// `set NAME …`
    Set(Parse<NewSetting>),
    /// `get JAIL NAME …`
    JailGet(ParseOption<JailGet>),
    /// `set JAIL NAME …`
    JailSet(ParseOption<JailSet>),
}

/// Where a command stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is the first word.
    Server,
    /// `get NAME`
    Get,
    /// `set NAME`
    Set,
    /// `get JAIL NAME`
    JailGet,
    /// `set JAIL NAME`
    JailSet,
}

impl Entry {
    /// Where it stands.
    pub fn place(&self) -> Place {
        match self.at {
            At::Client | At::Server(_) => Place::Server,
            At::Get(_) => Place::Get,
            At::Set(_) => Place::Set,
            At::JailGet(_) => Place::JailGet,
            At::JailSet(_) => Place::JailSet,
        }
    }

    /// Whether it goes to the server; else only the client knows it.
    pub fn is_sent(&self) -> bool {
        !matches!(self.at, At::Client)
    }

    /// The words before the arguments, as the help writes them: `set <JAIL> banip`.
    pub fn words(&self) -> String {
        let before = match self.at {
            At::Client | At::Server(_) => "",
            At::Get(_) => "get ",
            At::Set(_) => "set ",
            At::JailGet(_) => "get <JAIL> ",
            At::JailSet(_) => "set <JAIL> ",
        };
        format!("{before}{}", self.name)
    }
}

/// The whole table, in the order of the help.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    globals::ENTRIES.iter().chain(jails::ENTRIES).chain(ours::ENTRIES)
}

/// The row of the command that these words are, if there is one.
pub fn find(words: &[Value]) -> Option<&'static Entry> {
    let word = |index: usize| words.get(index).and_then(Value::as_str);
    match word(0)? {
        "get" => get(word(1)?).or_else(|| Some(jail_get(word(2)?)?.0)),
        "set" => set(word(1)?).or_else(|| Some(jail_set(word(2)?)?.0)),
        name => server(name),
    }
}

pub(crate) fn server(name: &str) -> Option<&'static Entry> {
    entries().find(|entry| entry.name == name && matches!(entry.at, At::Server(_)))
}

pub(crate) fn get(name: &str) -> Option<&'static Entry> {
    entries().find(|entry| entry.name == name && matches!(entry.at, At::Get(_)))
}

pub(crate) fn set(name: &str) -> Option<&'static Entry> {
    entries().find(|entry| entry.name == name && matches!(entry.at, At::Set(_)))
}

pub(crate) fn jail_get(name: &str) -> Option<(&'static Entry, &str)> {
    jail(name, |at| matches!(at, At::JailGet(_)))
}

pub(crate) fn jail_set(name: &str) -> Option<(&'static Entry, &str)> {
    jail(name, |at| matches!(at, At::JailSet(_)))
}

fn jail(name: &str, stands: impl Fn(At) -> bool) -> Option<(&'static Entry, &str)> {
    entries().filter(|entry| stands(entry.at)).find_map(|entry| {
        let rest = name.strip_prefix(entry.name)?;
        (rest.is_empty() || entry.name.ends_with('.')).then_some((entry, rest))
    })
}
