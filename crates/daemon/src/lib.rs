//! Threads and the outside world.
//!
//! Log files in, bans into the kernel, everything remembered, and a socket through which all of it is ruled. What is
//! decided is decided in `portcullis-jail`; here are the threads that drive it.

pub mod act;
mod control;
mod events;
mod incident;
mod jailer;
pub mod journal;
mod lockout;
pub mod log;
mod names;
mod options;
mod panics;
mod start;
pub mod store;
pub mod watch;

pub use jailer::explain::without_server as explain;
pub use names::addresses_of;
pub use options::Options;
pub use start::{Ended, StartError, run};
