//! Python's regular expressions in the dialect of the `regex` crate, as far as date patterns use them.
//!
//! Same text, same matches. What the linear engine has no word for (look-around, general back-references) is left as it
//! is, and the caller takes the engine that backtracks.

use std::fmt::Write as _;

/// The variants of a Python expression for the `regex` crate. More than one when a back-reference repeats a separator
/// (`(?P<s>[-/])…(?P=s)`): then each has that separator written out.
pub(crate) fn variants(regex: &str) -> Vec<String> {
    separator(regex).map_or_else(
        || vec![translated(regex)],
        |(name, class)| {
            let group = format!("(?P<{name}>[{class}])");
            let reference = format!("(?P={name})");
            class
                .bytes()
                .map(|c| {
                    let c = escaped(char::from(c));
                    let chosen = regex.replace(&group, &format!("(?P<{name}>{c})")).replace(&reference, &c);
                    translated(&chosen)
                })
                .collect()
        },
    )
}

/// Name and characters of a group that a back-reference repeats, when it is a plain class of punctuation.
fn separator(regex: &str) -> Option<(&str, &str)> {
    let (_, reference) = regex.split_once("(?P=")?;
    let (name, _) = reference.split_once(')')?;
    let (_, class) = regex.split_once(&format!("(?P<{name}>["))?;
    let (class, rest) = class.split_once(']')?;
    let plain = class
        .bytes()
        .enumerate()
        .all(|(i, c)| matches!(c, b'/' | b'.' | b':' | b' ') || (c == b'-' && i == 0));
    (plain && !class.is_empty() && rest.starts_with(')')).then_some((name, class))
}

fn escaped(c: char) -> String {
    if c.is_ascii_punctuation() { format!("\\{c}") } else { c.to_string() }
}

/// Rewrites what the two dialects write differently.
fn translated(regex: &str) -> String {
    let mut out = String::with_capacity(regex.len() + 16);
    let chars: Vec<char> = regex.chars().collect();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        at += 1;
        match c {
            '\\' => {
                at = escape(&chars, at, false, &mut out);
            }
            '[' => at = class(&chars, at, &mut out),
            // A brace that is no repetition is itself.
            '{' => match repetition(&chars[at..]) {
                Some((text, len)) => {
                    out.push_str(&text);
                    at += len;
                }
                None => out.push_str(r"\{"),
            },
            '}' => out.push_str(r"\}"),
            // Python's `$` also matches before a last line feed, which a line does not have.
            c => out.push(c),
        }
    }
    out
}

/// `{2}`, `{2,}`, `{,2}`, `{2,3}` behind the opening brace, as the other dialect has it, and its length.
fn repetition(rest: &[char]) -> Option<(String, usize)> {
    let end = rest.iter().position(|c| *c == '}')?;
    let text: String = rest[..end].iter().collect();
    let (low, high) = text.split_once(',').unwrap_or((&text, &text));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if text.is_empty() || !digits(low) || !digits(high) {
        return None;
    }
    let low = if low.is_empty() { "0" } else { low };
    let text = if text.contains(',') { format!("{{{low},{high}}}") } else { format!("{{{low}}}") };
    Some((text, end + 1))
}

/// The escape whose letter stands at `at`.
fn escape(chars: &[char], at: usize, in_class: bool, out: &mut String) -> usize {
    let Some(&c) = chars.get(at) else {
        out.push('\\');
        return at;
    };
    match (c, in_class) {
        ('w', false) => out.push_str(r"[\p{L}\p{N}_]"),
        ('w', true) => out.push_str(r"\p{L}\p{N}_"),
        ('W', _) => out.push_str(r"[^\p{L}\p{N}_]"),
        ('s', false) => out.push_str(r"[\s\x1c-\x1f]"),
        ('s', true) => out.push_str(r"\s\x1c-\x1f"),
        ('S', _) => out.push_str(r"[^\s\x1c-\x1f]"),
        ('Z', false) => out.push_str(r"\z"),
        ('<' | '>', _) => out.push(c),
        (c, _) if c.is_ascii() => {
            out.push('\\');
            out.push(c);
        }
        (c, _) => out.push(c),
    }
    at + 1
}

/// The class whose first character stands at `at`. Python knows no nested classes and no operators in them.
fn class(chars: &[char], mut at: usize, out: &mut String) -> usize {
    out.push('[');
    if chars.get(at) == Some(&'^') {
        out.push('^');
        at += 1;
    }
    let first = at;
    while let Some(&c) = chars.get(at) {
        at += 1;
        match c {
            ']' if at - 1 > first => {
                out.push(']');
                return at;
            }
            '\\' => at = escape(chars, at, true, out),
            '[' | ']' | '&' | '~' | '^' => {
                out.push('\\');
                out.push(c);
            }
            '-' if chars.get(at) == Some(&'-') || at - 1 == first || chars.get(at) == Some(&']') => {
                out.push_str(r"\-");
            }
            c => {
                let _ = write!(out, "{c}");
            }
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_dialects_write_differently_is_rewritten() {
        assert_eq!(translated(r"{x}\d{,2}[[a&&b]\Z"), r"\{x\}\d{0,2}[\[a\&\&b]\z");
        assert_eq!(translated(r"[]a][^]a]\<"), r"[\]a][^\]a]<");
        assert_eq!(translated(r"[\w.-]"), r"[\p{L}\p{N}_.\-]");
    }

    #[test]
    fn a_repeated_separator_is_written_out() {
        let all = variants(r"\d(?P<s>[-/])\d(?P=s)\d");
        assert_eq!(all, [r"\d(?P<s>\-)\d\-\d", r"\d(?P<s>\/)\d\/\d"]);
        assert_eq!(variants(r"(?P<s>a|b)(?P=s)"), [r"(?P<s>a|b)(?P=s)"]);
    }
}
