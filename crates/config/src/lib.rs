//! Fail2ban's configuration dialect in, commands or problems out.
//!
//! A directory of INI files with layers, includes, interpolation and tags becomes the list of commands that configures
//! a server: what `fail2ban-client -d` shows. Reading touches no network, no clock and no running jail; the only look
//! beyond configuration files is whether a jail's log files are there.

mod arguments;
pub mod check;
mod commands;
mod definition;
mod dump;
mod filter;
mod folders;
mod glob;
mod ini;
mod interpolate;
mod jail;
mod layers;
mod maps;
mod message;
mod prepared;
mod python;
mod server;
mod settings;
mod source;
mod stream;
mod tags;

pub use dump::{dump, dump_pretty, write_dump};
pub use filter::{Filter, filter_modes, filter_reference, read_filter};
pub use glob::files as files_like;
pub use layers::{Layers, Origin, Section, Setting};
pub use message::{Level, Message};
pub use python::shell_words;
pub use server::{ServerOptions, read_server};
pub use settings::{JailSettings, Settings};
pub use source::Source;
pub use stream::{Configuration, Failed, Request, read};
