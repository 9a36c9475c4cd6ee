//! What outlives the process: bans, positions in logs, offenders' histories, in Fail2ban's own SQLite file.
//!
//! [`Store`] is a handle that every thread holds; one thread owns the connection. What it is told it writes in batches, several
//! jails' news in one transaction; what it cannot write now it keeps and tries again; what it has to give up it counts and
//! says. One can go back to Fail2ban on the same file any day: its five tables are used exactly as it does.

mod data;
mod database;
mod handle;
mod opening;
mod packed;
mod queue;
mod reads;
mod schema;
#[cfg(test)]
mod tests;
mod writes;

pub use database::{Database, Portion, Restore};
pub use handle::{Progress, Store};
pub use packed::Restorable;
pub use queue::{Health, Queue};
pub use writes::{Position, Write};
