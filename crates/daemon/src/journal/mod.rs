//! The systemd journal as a log: what is read of it, and the line that an entry becomes.
//!
//! It is read through `journalctl`, a child process that writes entries in the journal's export format; nothing is linked
//! and the journal's own index does the selecting. Following it for a jail is the business of [`crate::watch`].

mod entry;
mod export;
mod place;
mod reader;
mod selection;

pub(crate) use entry::date;
pub use entry::{Entry, Line};
pub use export::Export;
pub use place::Place;
pub use reader::{Ender, Reader, Start, Until, program};
pub use selection::Selection;

/// What Fail2ban calls the journal among the logs, in the database and on the command line of the tester.
pub const NAME: &str = "systemd-journal";
