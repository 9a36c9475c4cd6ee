//! Threads and the outside world.
pub mod log;
pub mod watch;
