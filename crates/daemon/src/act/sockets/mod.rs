//! The connections of banned addresses: which there are, and their end.
//!
//! A rule that refuses packets leaves an open connection hanging; the attacker may go on where an earlier rule accepts
//! what is established. So the kernel is told to end it (`SOCK_DESTROY`), and to forget that it knew it (conntrack).

mod closer;
mod conntrack;
mod diag;
mod guarded;
mod netlink;

pub use closer::Closer;
pub use conntrack::{Flow, flows};
pub use diag::{Connection, Sockets, State, TCP, UDP};
pub use guarded::Guarded;
