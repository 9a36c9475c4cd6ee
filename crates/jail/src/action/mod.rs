//! Actions: templates in, shell scripts out.
//!
//! An [`Action`] holds the properties of a jail's action (`actionban`, `chain`, `blocktype?family=inet6`, …) and renders one
//! [`Operation`] into a [`Script`]: first the properties into each other (once per family, cached), then the tags of the
//! offender at hand ([`Info`]), which never become part of the shell's program text when they hold anything that a shell
//! reads. Running the script is left to others.

mod expand;
mod info;
mod properties;
mod script;
mod tags;

pub use self::script::Script;
pub use expand::TagError;
pub use info::{Counters, Facts, Info, Past};
pub use properties::{Action, METHODS, Operation, script};
