//! From a `datepattern` to the regular expression that finds it: anchors, word boundaries, and the group that is cut out.

use super::DateError;
use super::field::{Written, write_out};

/// `{^LN-BEG}`: at the start of the line, behind at most two characters that belong to no word.
pub(crate) const LINE_BEGIN: &str = "{^LN-BEG}";
const UNBOUND: &str = "{UNB}";

/// What must stand to the left of the date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Whatever; the pattern may have an anchor of its own inside.
    Anything,
    /// The line's start, no word, or the end of one.
    Boundary,
    /// The line's start.
    LineStart,
    /// The line's start and up to two characters that belong to no word.
    LineBegin,
}

/// What must stand to the right of the date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// Whatever.
    Anything,
    /// The line's end, no word, or the start of one.
    Boundary,
    /// The line's end.
    LineEnd,
}

/// A date's regular expression in parts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expression {
    /// Flags for the whole: `(?iu)`, or empty.
    pub(crate) flags: String,
    /// What stands before it.
    pub(crate) left: Left,
    /// The expression itself, with at least one group; the first one is what is cut out.
    pub(crate) body: String,
    /// What stands behind it.
    pub(crate) right: Right,
    /// Whether it can only match at the start of a line.
    pub(crate) anchored: bool,
}

impl Expression {
    /// The whole in Python's dialect, as `fail2ban-regex --VD` shows it.
    pub(crate) fn python(&self) -> String {
        let left = match self.left {
            Left::Anything => "",
            Left::Boundary => r"(?=^|\b|\W)",
            Left::LineStart => "^",
            Left::LineBegin => r"^(?:\W{0,2})?",
        };
        let right = match self.right {
            Right::Anything => "",
            Right::Boundary => r"(?=\b|\W|$)",
            Right::LineEnd => "$",
        };
        format!("{}{left}{}{right}", self.flags, self.body)
    }
}

/// The name of a `datepattern` with fields, and its expression. `year` is the present one.
pub(crate) fn dated(pattern: &str, year: i16) -> Result<(String, Expression), DateError> {
    let (mode, rest) = split_mode(pattern);
    let Written { mut name, regex, any_case } = write_out(rest, year)?;
    let mut expression = bounded(mode, &regex);
    if any_case {
        expression.flags.insert_str(0, "(?iu)");
    }
    if expression.left == Left::LineBegin {
        name.insert_str(0, LINE_BEGIN);
    }
    Ok((name, expression))
}

/// The expression of a pattern without fields whose whole match is cut out (`ts={EPOCH}`).
pub(crate) fn whole(regex: &str) -> Expression {
    let (stars_left, rest) = regex.strip_prefix("**").map_or((false, regex), |rest| (true, rest));
    let (stars_right, rest) = rest.strip_suffix("**").map_or((false, rest), |rest| (true, rest));
    let mut expression = bounded(Mode::Plain, &format!("({rest})"));
    if stars_left {
        expression.left = Left::Anything;
    }
    if stars_right {
        expression.right = Right::Anything;
    }
    expression
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Plain,
    LineBegin,
    Unbound,
}

fn split_mode(pattern: &str) -> (Mode, &str) {
    if let Some(rest) = pattern.strip_prefix(LINE_BEGIN) {
        (Mode::LineBegin, rest)
    } else if let Some(rest) = pattern.strip_prefix(UNBOUND) {
        (Mode::Unbound, rest)
    } else {
        (Mode::Plain, pattern)
    }
}

/// Adds boundaries and the group, and takes leading flags, `^`, `$` and `**` out of the body.
fn bounded(mode: Mode, regex: &str) -> Expression {
    let (flags, body) = split_flags(regex);
    let (mut flags, mut body) = (flags.to_owned(), body);
    let mut left = match mode {
        Mode::Plain => Left::Boundary,
        Mode::LineBegin => Left::LineBegin,
        Mode::Unbound => Left::Anything,
    };
    let mut anchored = mode == Mode::LineBegin;
    if let Some(rest) = body.strip_prefix("**") {
        (left, body, anchored) = (Left::Anything, rest, false);
    } else if let Some(rest) = body.strip_prefix('^') {
        let (more, rest) = split_flags(rest);
        flags.push_str(more);
        (left, body, anchored) = (Left::LineStart, rest, true);
    } else if starts_with_anchor(body) {
        (left, anchored) = (Left::Anything, true);
    }
    let mut right = if mode == Mode::Unbound { Right::Anything } else { Right::Boundary };
    if let Some(rest) = body.strip_suffix("**") {
        (right, body) = (Right::Anything, rest);
    } else if let Some(rest) = body.strip_suffix('$') {
        (right, body) = (Right::LineEnd, rest);
    } else if ends_with_boundary(body) {
        right = Right::Anything;
    }
    let body = if has_group(body) { body.to_owned() } else { format!("({body})") };
    Expression { flags, left, body, right, anchored }
}

/// Flags like `(?i)` at the start.
fn split_flags(regex: &str) -> (&str, &str) {
    let flags = regex.strip_prefix("(?").and_then(|rest| {
        let len = rest.find(|c: char| !c.is_ascii_lowercase())?;
        (len > 0 && rest[len..].starts_with(')')).then_some(len + 3)
    });
    regex.split_at(flags.unwrap_or(0))
}

/// Whether the first thing inside opening groups is `^`.
fn starts_with_anchor(mut body: &str) -> bool {
    while let Some(rest) = body.strip_prefix("(?:").or_else(|| body.strip_prefix('(')) {
        body = rest;
    }
    body.starts_with('^')
}

/// Whether the last thing inside closing groups is `$`, `\b` or `\s`.
fn ends_with_boundary(body: &str) -> bool {
    let body = body.trim_end_matches(')');
    body.ends_with('$') || body.ends_with(r"\b") || body.ends_with(r"\s")
}

/// Whether there is a capturing group: an opening parenthesis that is neither escaped nor followed by `?`. (As simple as
/// Fail2ban 1.0.2's own test: named groups do not count, a parenthesis in a character class does.)
fn has_group(regex: &str) -> bool {
    let bytes = regex.as_bytes();
    bytes
        .iter()
        .enumerate()
        .any(|(i, b)| *b == b'(' && (i == 0 || bytes[i - 1] != b'\\') && bytes.get(i + 1) != Some(&b'?'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(pattern: &str) -> String {
        dated(pattern, 2026).unwrap().1.python()
    }

    #[test]
    fn boundaries_are_those_that_fail2ban_shows() {
        let year = r"(?P<Y>\d{4})";
        let cases = [
            ("%Y", format!(r"(?=^|\b|\W)({year})(?=\b|\W|$)")),
            ("**%Y**", format!(r"({year})")),
            ("{UNB}%Y", format!(r"({year})")),
            ("{UNB}^", "^()".to_owned()),
            ("{^LN-BEG}%Y", format!(r"^(?:\W{{0,2}})?({year})(?=\b|\W|$)")),
            ("{^LN-BEG}^%Y", format!(r"^({year})(?=\b|\W|$)")),
            ("{^LN-BEG}**%Y", format!(r"({year})(?=\b|\W|$)")),
            ("(%Y)", format!(r"(?=^|\b|\W)({year})(?=\b|\W|$)")),
            ("(?:%Y)", format!(r"(?=^|\b|\W)((?:{year}))(?=\b|\W|$)")),
            ("^(?i)%Y", format!(r"(?i)^({year})(?=\b|\W|$)")),
            ("(?i)^%Y", format!(r"(?i)^({year})(?=\b|\W|$)")),
            ("%Y$", format!(r"(?=^|\b|\W)({year})$")),
            (r"%Y\b", format!(r"(?=^|\b|\W)({year}\b)")),
            (r"(%Y\s)", format!(r"(?=^|\b|\W)({year}\s)")),
            ("(?:^%Y)", format!(r"((?:^{year}))(?=\b|\W|$)")),
            ("(?P<x>^%Y)", format!(r"(?=^|\b|\W)((?P<x>^{year}))(?=\b|\W|$)")),
            (r"\(%Y", format!(r"(?=^|\b|\W)(\({year})(?=\b|\W|$)")),
            ("[(]%Y", format!(r"(?=^|\b|\W)[(]{year}(?=\b|\W|$)")),
        ];
        for (pattern, expected) in cases {
            assert_eq!(python(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn text_with_an_epoch_is_cut_out_whole() {
        assert_eq!(whole(r"x(\d+)$").python(), r"(?=^|\b|\W)(x(\d+)$)");
        assert_eq!(whole(r"^(\d+)").python(), r"(^(\d+))(?=\b|\W|$)");
        assert_eq!(whole(r"**(\d+)**").python(), r"((\d+))");
    }
}
