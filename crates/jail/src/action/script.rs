//! A rendered script, and the rule by which values get into it.
//!
//! What comes from a log line is hostile. A value that holds any character with a meaning to the shell is handed over as a
//! positional argument (`$0`, `$1`, …), assigned to a variable in the script's first line, and named in the text; it is
//! never parsed by the shell.

use std::fmt::Write as _;

use portcullis_value::{Value, repr_str};

/// Characters that a shell may read as something else than themselves (Fail2ban 1.0.2's list).
const SPECIAL: &[char] = &[
    '\\', '#', '&', ';', '`', '|', '*', '?', '~', '<', '>', '^', '(', ')', '[', ']', '{', '}', '$', '\'',
    '"', '\n', '\r',
];

/// Longer values are handed over as arguments even without special characters: the text as a whole is one argument of
/// `/bin/sh`, and Linux takes no argument above 128 KiB.
const LONGEST_INLINE: usize = 4096;

/// The longest value that is handed over, in bytes; the rest is cut off, at the front, since the last lines of `<matches>`
/// say most.
const LONGEST_VALUE: usize = 64 * 1024;

/// A script for `/bin/sh`, with values that must not stand in its text as variables.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Script {
    /// The commands; with variables, the first line assigns them: `f2bV_matches=$0 f2bV_F_user=$1 `.
    pub text: String,
    /// Shell variables and their raw values, in the order of first use: `("f2bV_matches", "…")`. The values are the
    /// arguments after the text: `/bin/sh -c TEXT VALUE…`.
    pub variables: Vec<(String, String)>,
}

impl Script {
    /// A script without variables.
    pub fn plain(text: impl Into<String>) -> Self {
        Script { text: text.into(), variables: Vec::new() }
    }

    /// The values that follow the text in the shell's arguments: `$0`, `$1`, ….
    pub fn arguments(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|(_, value)| value.as_str())
    }

    /// As Fail2ban's `exec:` lines show it: the text, or the list of text and values.
    pub fn shown(&self) -> String {
        if self.variables.is_empty() { self.text.clone() } else { self.repr() }
    }

    /// Python's `repr()` of what is run: of the text, or of the list of text and values.
    pub fn repr(&self) -> String {
        if self.variables.is_empty() {
            return repr_str(&self.text);
        }
        let all = std::iter::once(self.text.as_str()).chain(self.arguments());
        Value::List(all.map(Value::from).collect()).repr()
    }
}

/// What stands at one place of a template.
pub(super) enum Piece<'t> {
    /// The author's own text.
    Text(&'t str),
    /// A value without meaning to a shell, as it is.
    Literal(String),
    /// The variable of this index.
    Variable(usize),
    /// Nobody has resolved this tag yet; the whole text, and what stands between the angles.
    Tag(&'t str, &'t str),
}

/// Puts a script together, piece by piece.
#[derive(Default)]
pub(super) struct Builder {
    variables: Vec<(String, String)>,
}

impl Builder {
    /// The piece for `value`, which replaces `tag`: itself when it is harmless, else a variable.
    pub(super) fn piece<'t>(&mut self, tag: &str, value: String) -> Piece<'t> {
        let value = bounded(value);
        if value.len() <= LONGEST_INLINE && !value.contains(SPECIAL) {
            return Piece::Literal(value);
        }
        let name: String =
            tag.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
        let name = format!("f2bV_{name}");
        if let Some(index) = self.variables.iter().position(|known| known.0 == name && known.1 == value) {
            return Piece::Variable(index);
        }
        // Two tags may share a name (`F-A_B`, `F-A-B`); Fail2ban lets the later one win.
        let taken = self.variables.iter().any(|known| known.0 == name);
        let name = if taken { format!("{name}_{}", self.variables.len()) } else { name };
        self.variables.push((name, value));
        Piece::Variable(self.variables.len() - 1)
    }

    /// The script made of `pieces`.
    pub(super) fn script(self, pieces: &[Piece<'_>]) -> Script {
        let mut body = String::new();
        for (index, piece) in pieces.iter().enumerate() {
            match piece {
                Piece::Text(text) | Piece::Tag(text, _) => body.push_str(text),
                Piece::Literal(value) => body.push_str(value),
                Piece::Variable(variable) => {
                    let name = &self.variables[*variable].0;
                    // Differs: Fail2ban writes `$f2bV_matchesabc` for `<matches>abc`, and the value is lost.
                    if continues_a_name(&pieces[index + 1..]) {
                        let _ = write!(body, "${{{name}}}");
                    } else {
                        let _ = write!(body, "${name}");
                    }
                }
            }
        }
        if self.variables.is_empty() {
            return Script { text: body, variables: self.variables };
        }
        let mut text = String::new();
        for (index, (name, _)) in self.variables.iter().enumerate() {
            // `$10` is `${1}0` to a shell.
            let _ = if index < 10 {
                write!(text, "{name}=${index} ")
            } else {
                write!(text, "{name}=${{{index}}} ")
            };
        }
        text.push('\n');
        text.push_str(&body);
        Script { text, variables: self.variables }
    }
}

/// Whether the next character would be read as part of a variable's name.
fn continues_a_name(rest: &[Piece<'_>]) -> bool {
    for piece in rest {
        let text = match piece {
            Piece::Text(text) | Piece::Tag(text, _) => text,
            Piece::Literal(value) => value.as_str(),
            Piece::Variable(_) => return false,
        };
        if let Some(first) = text.chars().next() {
            return first.is_ascii_alphanumeric() || first == '_';
        }
    }
    false
}

/// A value as it can be an argument: without NUL (a process cannot be given one), and not longer than the kernel takes.
fn bounded(mut value: String) -> String {
    // Differs: in Fail2ban a NUL in a log line makes every action fail that shows the line.
    if value.contains('\0') {
        value.retain(|c| c != '\0');
    }
    if value.len() > LONGEST_VALUE {
        let mut from = value.len() - LONGEST_VALUE;
        while !value.is_char_boundary(from) {
            from += 1;
        }
        value.drain(..from);
    }
    value
}
