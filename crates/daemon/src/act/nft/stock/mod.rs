//! Stock `nftables*` actions, carried out without a shell: their scripts are read, and where they have the known shape
//! the kernel is brought to the state to which the scripts' commands would have brought it.

mod action;
mod command;
mod left;
mod recognise;
mod shell;

pub use action::Stock;
pub use left::clear_left;
pub use recognise::Scripts;
pub(super) use shell::commands;
