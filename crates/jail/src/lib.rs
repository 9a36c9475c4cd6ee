//! A line in, a verdict out.
//!
//! Everything that decides lives here, and nothing that acts: dates, filters, ignore lists, tallies, bans, the text of
//! actions. No I/O and no clock: the time is an argument, and the few things that must be asked from the world
//! (names, history, commands) are asked through [`Outside`].

pub mod action;
pub mod ban;
mod data;
pub mod date;
pub mod encoding;
pub mod event;
pub mod failure;
pub mod filter;
pub mod id;
pub mod ignore;
pub mod jail;
pub mod networks;
pub mod outside;
pub mod page;
pub mod tally;
pub mod time;

pub use event::{Level, LogLine};
pub use failure::{Failure, MatchedLine, Ticket};
pub use id::{Family, Id};
pub use outside::{History, Nobody, Outside};
pub use page::Page;
pub use time::Timestamp;
