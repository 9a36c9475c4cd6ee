//! Who is banned, since when and until when.
//!
//! The list of one jail's bans decides what a ticket means (a new ban, a ban there is already, one that is over before it began),
//! and who is to be let go. It says so in Fail2ban's words. What a ban *does* is not its business.

pub mod increment;
mod list;
#[cfg(test)]
mod tests;

pub use increment::Increment;
pub use list::{Bans, Seen};

use crate::{Id, Level, LogLine};

/// What became of a ticket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Added {
    /// A new ban: carry it out.
    New {
        /// Whether it comes from the database.
        restored: bool,
    },
    /// There is a ban already. Nothing to carry out; from [`CHECK_AGE`] on one asks why it does not hold.
    AlreadyBanned {
        /// How many seconds after the ban began the ticket's last failure was.
        age: f64,
        /// Whether the ban now ends later than before.
        prolonged: bool,
    },
    /// The ban would be over already: nothing to carry out.
    Expired,
}

/// From this age of a ban on, in seconds, its victim should no longer get through: Fail2ban then checks its actions.
pub const CHECK_AGE: f64 = 3.0;
/// From this age on it is worth a warning.
const WARNING_AGE: f64 = 60.0;

impl Added {
    /// What Fail2ban's action thread says about it.
    pub fn line(self, jail: &str, id: &Id) -> LogLine {
        let (level, text) = match self {
            Added::New { restored: false } => (Level::NOTICE, format!("[{jail}] Ban {id}")),
            Added::New { restored: true } => (Level::NOTICE, format!("[{jail}] Restore Ban {id}")),
            Added::AlreadyBanned { age, .. } => {
                let level = match age {
                    age if age < CHECK_AGE => Level::DEBUG,
                    age if age < WARNING_AGE => Level::NOTICE,
                    _ => Level::WARNING,
                };
                (level, format!("[{jail}] {id} already banned"))
            }
            Added::Expired => (Level::INFO, format!("[{jail}] Ignore {id}, expired bantime")),
        };
        LogLine::new(level, "actions", text)
    }
}

/// What is said when a ban ends, however it ends.
pub fn unban_line(jail: &str, id: &Id) -> LogLine {
    LogLine::new(Level::NOTICE, "actions", format!("[{jail}] Unban {id}"))
}

/// What is said when somebody is to be let go who is not held.
pub fn not_banned_line(id: &Id) -> LogLine {
    LogLine::new(Level::MSG, "actions", format!("{id} is not banned"))
}
