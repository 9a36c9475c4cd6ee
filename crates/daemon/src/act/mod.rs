//! Carrying out what a jail has decided: actions as shell scripts, and what can be known of them before.

pub mod shell;
