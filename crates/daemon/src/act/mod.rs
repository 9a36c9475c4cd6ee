//! Carrying out what a jail has decided: actions as shell scripts, and what can be known of them before; the kernel's
//! firewall without a shell.

pub mod mail;
pub mod nft;
pub mod preflight;
pub mod runner;
pub mod shell;
pub mod sockets;
pub(crate) mod worker;
