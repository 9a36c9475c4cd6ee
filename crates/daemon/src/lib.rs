//! Threads and the outside world.
pub mod act;
pub mod log;
pub mod watch;
