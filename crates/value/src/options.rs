//! `name[option=value, …]`: the form in which filters, actions, backends and log targets carry options.

use crate::Exception;

/// A name and its options, in the order written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What stands before the bracket.
    pub name: String,
    /// Each option and its value, quotes taken off.
    pub options: Vec<(String, String)>,
}

/// Reads `name[option=value, other="…"][more='…']`.
///
/// # Errors
/// `ValueError` with Fail2ban's words: `unexpected option syntax`, `expected option, wrong syntax at 0: o`.
pub fn options(text: &str) -> Result<Options, Exception> {
    let syntax = || Exception::builtin("ValueError", "unexpected option syntax");
    let Some((name, rest)) = text.split_once('[') else {
        return if text.is_empty() {
            Err(syntax())
        } else {
            Ok(Options { name: text.trim_end().to_owned(), options: Vec::new() })
        };
    };
    let inner = rest.trim_end().strip_suffix(']').ok_or_else(syntax)?;
    if name.is_empty() {
        return Err(syntax());
    }
    Ok(Options { name: name.to_owned(), options: list(inner)? })
}

/// Reads `option=value, other="…"`: what stands between the brackets.
///
/// # Errors
/// `ValueError` that names the place (in characters) and what stands there.
pub fn list(text: &str) -> Result<Vec<(String, String)>, Exception> {
    let mut out: Vec<(String, String)> = Vec::new();
    let mut rest = text;
    loop {
        let place = |rest: &str| text.chars().count() - rest.chars().count();
        let begun = rest;
        let after_blanks = rest.trim_start();
        let end = after_blanks
            .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.')))
            .unwrap_or(after_blanks.len());
        let (option, after_name) = after_blanks.split_at(end);
        let Some(value) = after_name.strip_prefix('=').filter(|_| !option.is_empty()) else {
            if begun.trim().is_empty() {
                return Ok(out);
            }
            let message = format!("expected option, wrong syntax at {}: {}", place(begun), shown(begun));
            return Err(Exception::builtin("ValueError", message));
        };
        let (value, after) = quoted(value).unwrap_or_else(|| bare(value));
        out.push((option.to_owned(), value.to_owned()));
        if after.is_empty() {
            return Ok(out);
        }
        let Some(next) = after.strip_prefix(',').or_else(|| after.strip_prefix("][")) else {
            let option = crate::repr_str(option);
            let message =
                format!("unexpected syntax at {} after option {option}: {}", place(after), shown(after));
            return Err(Exception::builtin("ValueError", message));
        };
        rest = next;
    }
}

/// As much as Fail2ban shows of what it cannot read.
fn shown(text: &str) -> String {
    text.chars().take(25).collect()
}

fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    text[1..].split_once(quote)
}

fn bare(text: &str) -> (&str, &str) {
    let end = text.find([',', ']']).unwrap_or(text.len());
    let (value, after) = text.split_at(end);
    (value.trim(), after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match options(text) {
            Ok(parsed) => {
                let options: Vec<_> =
                    parsed.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
                format!("{}: {}", parsed.name, options.join("|"))
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn lists_are_read_as_fail2ban_reads_them() {
        for (text, expected) in [
            ("f", "f: "),
            ("f[o=1]", "f: o=1"),
            ("f[o=\"a,b]\"]", "f: o=a,b]"),
            ("f[o='a\"b', p=2]", "f: o=a\"b|p=2"),
            ("f[o=a b]", "f: o=a b"),
            ("f[o=1][p=2]", "f: o=1|p=2"),
            ("f[o=]", "f: o="),
            ("f[o=\"a\" , p=2]", "unexpected syntax at 5 after option 'o':  , p=2"),
            ("f[o=1", "unexpected option syntax"),
            ("f[o]", "expected option, wrong syntax at 0: o"),
            ("f[o=\"a\" x]", "unexpected syntax at 5 after option 'o':  x"),
            ("f[o=\"x\\\"y\"]", "unexpected syntax at 6 after option 'o': y\""),
            ("f[o=a\\,b]", "expected option, wrong syntax at 5: b"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
