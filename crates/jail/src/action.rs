//! Actions: templates in, shell scripts out.

/// A script for `/bin/sh`, with values that must not stand in its text as variables.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Script {
    /// The commands.
    pub text: String,
    /// Shell variables and their raw values, in the order of first use: `("f2bV_matches", "…")`.
    pub variables: Vec<(String, String)>,
}
