//! Times as users write them: `1d12h`, `10m`, `2*3600`, `1year-6mo`.
//!
//! Fail2ban replaces each abbreviation by a multiplication, adds neighbours, and lets Python compute the rest.

use crate::expr::Program;
use crate::{Exception, Number, Value};

/// Spellings of a unit, and what stands for it in the expression.
const UNITS: [(&[&str], &str); 7] = [
    (&["s", "ss", "se", "sec", "second", "seconds"], "*1"),
    (&["m", "mm", "mi", "min", "minute", "minutes"], "*60"),
    (&["h", "hh", "ho", "hou", "hour", "hours"], "*3600"),
    (&["d", "dd", "da", "day", "days"], "*86400"),
    (&["w", "ww", "we", "wee", "week", "weeks"], "*604800"),
    (&["mo", "mon", "month", "months"], "*2629800.0"),
    (&["y", "yy", "ye", "yea", "year", "years"], "*31557600.0"),
];

/// How many seconds a word means: a number is itself, text is a time expression. Months and years yield floats.
///
/// # Errors
/// What Python raises for it: `NameError: name 'abc' is not defined`, `SyntaxError`, `ZeroDivisionError`, `TypeError`.
pub fn seconds(value: &Value) -> Result<Number, Exception> {
    match value {
        Value::Int(number) => Ok(Number::Int(*number)),
        Value::Float(number) => Ok(Number::Float(*number)),
        Value::Bool(truth) => Ok(Number::Int(i64::from(*truth))),
        Value::Str(text) => {
            let expression = expand(text);
            let program = Program::parse_plain(&expression).map_err(|error| error.exception("<string>"))?;
            program.eval(&|_| None)
        }
        Value::Bytes(_) => {
            Err(Exception::builtin("TypeError", "cannot use a string pattern on a bytes-like object"))
        }
        other => Err(Exception::builtin(
            "TypeError",
            format!("expected string or bytes-like object, got '{}'", other.type_name()),
        )),
    }
}

/// The expression that a time stands for: `1h 5m` is `1*3600+5*60`.
fn expand(text: &str) -> String {
    add_neighbours(&multiply_units(&part_letters_and_digits(text)))
}

/// `1h5m` is `1h 5m`; `1e5` becomes `1e 5`, which is why there are no exponents in times.
fn part_letters_and_digits(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut before = ' ';
    for c in text.chars() {
        if before.is_ascii_alphabetic() && c.is_ascii_digit() {
            out.push(' ');
        }
        out.push(c);
        before = c;
    }
    out
}

/// A unit is a whole word behind a digit or a blank.
fn multiply_units(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut rest = text;
    let mut before = None;
    while let Some(c) = rest.chars().next() {
        if c.is_ascii_alphabetic()
            && before.is_some_and(|b: char| b.is_numeric() || b.is_whitespace())
            && let Some(word) = short_word(rest)
            && let Some(factor) = unit(&rest[..word])
        {
            out.push_str(factor);
            before = rest[..word].chars().next_back();
            rest = &rest[word..];
            continue;
        }
        out.push(c);
        before = Some(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// The length of the word that begins here, unless it is longer than any unit: a long text is looked at once only.
fn short_word(text: &str) -> Option<usize> {
    const LONGEST: usize = 8;
    let belongs = |c: char| c == '_' || c.is_alphanumeric();
    let mut ends = text.char_indices().skip_while(|(at, c)| *at <= LONGEST && belongs(*c));
    let end = ends.next().map_or(text.len(), |(at, _)| at);
    (end <= LONGEST).then_some(end)
}

fn unit(word: &str) -> Option<&'static str> {
    UNITS
        .iter()
        .find(|(spellings, _)| spellings.iter().any(|spelling| spelling.eq_ignore_ascii_case(word)))
        .map(|(_, factor)| *factor)
}

/// Two digits with nothing but blanks between them are added. A digit joins one pair only: `5 5 5` stays an error.
fn add_neighbours(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        out.push(chars[at]);
        let mut next = at + 1;
        while chars.get(next).is_some_and(|c| c.is_whitespace()) {
            next += 1;
        }
        if chars[at].is_ascii_digit() && next > at + 1 && chars.get(next).is_some_and(char::is_ascii_digit) {
            out.push('+');
            out.push(chars[next]);
            at = next;
        }
        at += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match seconds(&text.into()) {
            Ok(number) => number.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn times_are_what_fail2ban_makes_of_them() {
        for (text, expected) in [
            ("1h", "3600"),
            ("1w2d", "777600"),
            ("1d 12h", "129600"),
            ("1d12h", "129600"),
            ("-1", "-1"),
            ("1mo", "2629800.0"),
            ("1 hour 5 min", "3900"),
            ("10M", "600"),
            ("1.5h", "5400.0"),
            ("2*3600", "7200"),
            ("1day+30min", "88200"),
            ("1year-6mo", "15778800.0"),
            ("-1h5m", "-3300"),
            ("5 m 5", "305"),
            ("5 5", "10"),
            ("1h1h1h", "10800"),
            ("\t5h ", "18000"),
            ("5#6", "5"),
            ("0_0", "0"),
            ("max(1h,5m)", "3600"),
            ("1h if 0 else 2h", "7200"),
            (
                "010",
                "leading zeros in decimal integer literals are not permitted; \
                 use an 0o prefix for octal integers (<string>, line 1)",
            ),
            ("abc", "name 'abc' is not defined"),
            ("", "invalid syntax (<string>, line 0)"),
            ("1e5", "invalid decimal literal (<string>, line 1)"),
            ("math.pi", "name 'math' is not defined"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn a_long_text_is_looked_at_once() {
        for text in ["日".repeat(100_000), "1a".repeat(100_000), "5 ".repeat(100_000)] {
            let begin = std::time::Instant::now();
            let _ = shown(&text);
            assert!(begin.elapsed() < std::time::Duration::from_secs(5), "{text:.10}");
        }
    }

    /// The right-hand sides were read from the genuine server's SyntaxErrors, which quote the expression.
    #[test]
    fn units_and_neighbours_expand_as_in_fail2ban() {
        for (text, expected) in [
            ("1 hour 5 min ?", "1 *3600+5 *60 ?"),
            ("1 h h ?", "1 *3600 *3600 ?"),
            (" h ?", " *3600 ?"),
            ("h ?", "h ?"),
            ("1hx ?", "1hx ?"),
            ("1 x h ?", "1 x *3600 ?"),
            ("5m5s5 ?", "5*60+5*1+5 ?"),
            ("1E5 ?", "1E 5 ?"),
            ("0xd ?", "0xd ?"),
            ("1h_5 ?", "1h_5 ?"),
            ("(1h)5m ?", "(1*3600)5*60 ?"),
            ("1.h ?", "1.h ?"),
            ("1h .5m ?", "1*3600 .5*60 ?"),
            ("1mins ?", "1mins ?"),
            ("1sss ?", "1sss ?"),
            ("1 MIN ?", "1 *60 ?"),
            ("1hé ?", "1hé ?"),
            ("１h ?", "１*3600 ?"),
            ("a5b ?", "a 5b ?"),
            ("5m 5 5 ?", "5*60+5 5 ?"),
            ("1d\t5 ?", "1*86400+5 ?"),
            ("\"1h\" ?", "\"1*3600\" ?"),
        ] {
            assert_eq!(expand(text), expected, "{text}");
        }
    }
}
