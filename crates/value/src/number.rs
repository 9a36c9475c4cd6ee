//! Python's numbers as people write them: `int('…')`, `float('…')`, and the number that an expression yields.

use crate::{Exception, Value};

/// A number: what an expression yields, a duration in seconds.
///
/// Python keeps the two kinds apart when it prints them (`600`, `600.0`), so we do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A whole number. `True` and `False` are 1 and 0 here.
    Int(i64),
    /// A float.
    Float(f64),
}

impl Number {
    /// The number as a float.
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Int(number) => number as f64,
            Number::Float(number) => number,
        }
    }

    /// Python's `int(number)`: cut towards zero.
    ///
    /// # Errors
    /// `OverflowError`, `ValueError` for the infinities and NaN, as Python has them. Beyond 64 bits it saturates.
    pub fn trunc(self) -> Result<i64, Exception> {
        match self {
            Number::Int(number) => Ok(number),
            Number::Float(number) if number.is_nan() => {
                Err(Exception::builtin("ValueError", "cannot convert float NaN to integer"))
            }
            Number::Float(number) if number.is_infinite() => {
                Err(Exception::builtin("OverflowError", "cannot convert float infinity to integer"))
            }
            Number::Float(number) => Ok(number as i64),
        }
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&Value::from(*self).repr())
    }
}

impl From<Number> for Value {
    fn from(number: Number) -> Self {
        match number {
            Number::Int(number) => Value::Int(number),
            Number::Float(number) => Value::Float(number),
        }
    }
}

/// Python's `int(value)`, for text in base 10: blanks around it, a sign, single underscores between digits.
///
/// # Errors
/// `ValueError: invalid literal for int() with base 10: 'x'`, or `TypeError` for what is no number at all.
/// `// Differs:` numbers beyond 64 bits saturate; Python's have no end.
pub fn int(value: &Value) -> Result<i64, Exception> {
    match value {
        Value::Int(number) => Ok(*number),
        Value::Bool(truth) => Ok(i64::from(*truth)),
        Value::Float(number) => Number::Float(*number).trunc(),
        Value::Str(text) => {
            parse_int(text).ok_or_else(|| Exception::builtin("ValueError", no_literal(value)))
        }
        Value::Bytes(bytes) => std::str::from_utf8(bytes)
            .ok()
            .and_then(parse_int)
            .ok_or_else(|| Exception::builtin("ValueError", no_literal(value))),
        other => Err(Exception::builtin(
            "TypeError",
            format!(
                "int() argument must be a string, a bytes-like object or a real number, not '{}'",
                other.type_name()
            ),
        )),
    }
}

/// Python shows so many characters of what is no number.
fn no_literal(value: &Value) -> String {
    let shown: String = value.repr().chars().take(200).collect();
    format!("invalid literal for int() with base 10: {shown}")
}

/// Python's `float(value)`.
///
/// # Errors
/// `ValueError: could not convert string to float: 'x'`, or `TypeError` for what is no number at all.
pub fn float(value: &Value) -> Result<f64, Exception> {
    match value {
        Value::Int(number) => Ok(*number as f64),
        Value::Bool(truth) => Ok(f64::from(u8::from(*truth))),
        Value::Float(number) => Ok(*number),
        Value::Str(text) => parse_float(text).ok_or_else(|| {
            Exception::builtin("ValueError", format!("could not convert string to float: {}", value.repr()))
        }),
        other => Err(Exception::builtin(
            "TypeError",
            format!("float() argument must be a string or a real number, not '{}'", other.type_name()),
        )),
    }
}

/// The digits without their underscores, when each stands between two digits.
fn without_underscores(digits: &str) -> Option<String> {
    let bytes = digits.as_bytes();
    for (at, _) in digits.match_indices('_') {
        let digit = |index: Option<usize>| index.and_then(|i| bytes.get(i)).is_some_and(u8::is_ascii_digit);
        if !digit(at.checked_sub(1)) || !digit(Some(at + 1)) {
            return None;
        }
    }
    Some(digits.replace('_', ""))
}

fn parse_int(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = without_underscores(digits)?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // All digits: the only way to fail is to be too long.
    let magnitude = digits.parse::<i64>().unwrap_or(i64::MAX);
    Some(if negative { -magnitude } else { magnitude })
}

fn parse_float(text: &str) -> Option<f64> {
    let text = without_underscores(text.trim())?;
    let bare = text.strip_prefix(['+', '-']).unwrap_or(&text);
    // Rust reads what Python reads, both `inf`, `infinity` and `nan` in any case.
    if bare.starts_with(['+', '-']) || bare.is_empty() {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn int_reads_what_python_reads() {
        for (text, number) in
            [(" 1_0 ", 10), ("-5", -5), ("+7", 7), ("010", 10), ("99999999999999999999", i64::MAX)]
        {
            assert_eq!(int(&text.into()), Ok(number), "{text}");
        }
        for text in ["", "x", "1__0", "_1", "1_", "1.0", "--1", "+ 1", "0x10"] {
            let error = int(&text.into()).unwrap_err();
            assert_eq!(error.to_string(), format!("invalid literal for int() with base 10: '{text}'"));
        }
    }

    #[test]
    fn float_reads_what_python_reads() {
        for (text, number) in
            [("1e5", 1e5), (" .5", 0.5), ("1_0.5", 10.5), ("-inf", f64::NEG_INFINITY), ("5.", 5.0)]
        {
            assert_eq!(float(&text.into()), Ok(number), "{text}");
        }
        for text in ["", "x", "1e", "1_.5", "+-1", "0x10", "."] {
            assert!(float(&text.into()).is_err(), "{text}");
        }
    }
}
