//! Python's `repr()`.

use std::fmt::Write as _;

use crate::Value;
use crate::printable::is_printable;

pub(crate) fn repr(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

pub(crate) fn write(value: &Value, out: &mut String) {
    match value {
        Value::None => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Int(number) => out.push_str(&number.to_string()),
        Value::Float(number) => out.push_str(&repr_float(*number)),
        Value::Str(text) => write_str(text, out),
        Value::Bytes(bytes) => out.push_str(&repr_bytes(bytes)),
        Value::List(items) => joined("[", items, "]", out),
        Value::Tuple(items) if items.len() == 1 => joined("(", items, ",)", out),
        Value::Tuple(items) => joined("(", items, ")", out),
        Value::Set(items) if items.is_empty() => out.push_str("set()"),
        Value::Set(items) => joined("{", items, "}", out),
        Value::Dict(items) => {
            out.push('{');
            for (index, (key, value)) in items.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write(key, out);
                out.push_str(": ");
                write(value, out);
            }
            out.push('}');
        }
        Value::Exception(e) => {
            out.push_str(e.name());
            joined("(", &e.shown_args(), ")", out);
        }
    }
}

fn joined(open: &str, items: &[Value], close: &str, out: &mut String) {
    out.push_str(open);
    for (index, item) in items.iter().enumerate() {
        out.push_str(if index > 0 { ", " } else { "" });
        write(item, out);
    }
    out.push_str(close);
}

/// The shortest text that reads back as the same number; an exponent of two digits at least below 1e-4 and from 1e16 on.
fn repr_float(number: f64) -> String {
    if !number.is_finite() {
        return if number.is_nan() {
            "nan".into()
        } else if number > 0.0 {
            "inf".into()
        } else {
            "-inf".into()
        };
    }
    if number == 0.0 || (1e-4..1e16).contains(&number.abs()) {
        // Rust prints the same shortest digits, without an exponent in this range.
        return format!("{number:?}");
    }
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}

/// Python's `repr()` of a string: single quotes unless only those occur in it, escapes for what cannot be printed.
pub fn repr_str(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    write_str(text, &mut out);
    out
}

fn write_str(text: &str, out: &mut String) {
    let has = |byte| memchr::memchr(byte, text.as_bytes()).is_some();
    let quote = if has(b'\'') && !has(b'"') { '"' } else { '\'' };
    out.reserve(text.len() + 2);
    out.push(quote);
    let mut rest = text;
    loop {
        // Most of a text is written as it is.
        let run = plain(rest.as_bytes(), quote as u8);
        out.push_str(&rest[..run]);
        rest = &rest[run..];
        let Some(c) = rest.chars().next() else { break };
        escaped(c, quote, out);
        rest = &rest[c.len_utf8()..];
    }
    out.push(quote);
}

/// How many bytes at the beginning are written as they are. Eight are looked at together.
fn plain(bytes: &[u8], quote: u8) -> usize {
    /// The same byte in each of the eight.
    const fn eight(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    /// Sets the high bit of bytes below `limit`; above the first such one perhaps of others. Bytes beyond ASCII are not told.
    const fn below(word: u64, limit: u8) -> u64 {
        word.wrapping_sub(eight(limit)) & !word
    }
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let control = below(word, b' ') | below(word ^ eight(0x7f), 1) | word;
        let special = control | below(word ^ eight(b'\\'), 1) | below(word ^ eight(quote), 1);
        let special = special & eight(0x80);
        if special != 0 {
            return 8 * index + special.trailing_zeros() as usize / 8;
        }
    }
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'\\' && *byte != quote;
    let run = rest.iter().position(|byte| !plain(byte)).unwrap_or(rest.len());
    bytes.len() - rest.len() + run
}

fn escaped(c: char, quote: char, out: &mut String) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if c == quote => out.extend(['\\', c]),
        c if is_printable(c) => out.push(c),
        c => {
            let code = u32::from(c);
            let _ = match code {
                ..=0xff => write!(out, "\\x{code:02x}"),
                0x100..=0xffff => write!(out, "\\u{code:04x}"),
                _ => write!(out, "\\U{code:08x}"),
            };
        }
    }
}

fn repr_bytes(bytes: &[u8]) -> String {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    let mut out = String::with_capacity(bytes.len() + 3);
    out.extend(['b', quote]);
    for &byte in bytes {
        match char::from(byte) {
            c if c == quote || c == '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c @ ' '..='~' => out.push(c),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exception;

    #[test]
    fn floats_are_as_short_as_python_s() {
        for (number, text) in [
            (5400.0, "5400.0"),
            (1e16, "1e+16"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (-1.5e-7, "-1.5e-07"),
            (1.234e100, "1.234e+100"),
            (5e-324, "5e-324"),
            (-0.0, "-0.0"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(Value::Float(number).repr(), text);
        }
    }

    #[test]
    fn text_is_quoted_and_escaped_as_in_python() {
        for (text, shown) in [
            ("a'b", "\"a'b\""),
            ("a\"b", "'a\"b'"),
            ("a'b\"c", "'a\\'b\"c'"),
            ("a\nb\tc\\", "'a\\nb\\tc\\\\'"),
            ("\u{7f}\u{2028}\u{200b}\u{e0001}\u{a0}\0", "'\\x7f\\u2028\\u200b\\U000e0001\\xa0\\x00'"),
            ("é😀", "'é😀'"),
        ] {
            assert_eq!(repr_str(text), shown);
        }
    }

    proptest::proptest! {
        #[test]
        fn runs_end_at_the_first_byte_that_is_escaped(
            text in "([ -~]{0,20}|[\\\\'\"\n\u{7f}\u{0}\u{80}é]{0,2}){0,6}",
            quote in proptest::sample::select(vec![b'\'', b'"']),
        ) {
            let special = |byte: u8| !(b' '..=b'~').contains(&byte) || byte == b'\\' || byte == quote;
            let expected = text.bytes().position(special).unwrap_or(text.len());
            proptest::prop_assert_eq!(plain(text.as_bytes(), quote), expected);
        }
    }

    #[test]
    fn bytes_and_containers_are_shown_as_in_python() {
        assert_eq!(Value::Bytes(b"a'\xff\n".to_vec()).repr(), "b\"a'\\xff\\n\"");
        let value = Value::Dict(vec![
            ("a".into(), Value::Tuple(vec![Value::None])),
            (Value::Int(1), Value::Set(vec![])),
        ]);
        assert_eq!(value.repr(), "{'a': (None,), 1: set()}");
    }

    #[test]
    fn exceptions_are_shown_as_in_python() {
        let missing = Exception::os("FileNotFoundError", 2, "No such file or directory", "/x");
        assert_eq!(missing.to_string(), "[Errno 2] No such file or directory: '/x'");
        assert_eq!(Value::Exception(missing).repr(), "FileNotFoundError(2, 'No such file or directory')");
        assert_eq!(
            Exception::builtin("KeyError", "Invalid Action name: a").to_string(),
            "'Invalid Action name: a'"
        );
        let class = "json.decoder.JSONDecodeError".to_owned();
        let json = Exception { class, args: vec!["Expecting value".into(), "[\n x".into(), Value::Int(3)] };
        assert_eq!(json.to_string(), "Expecting value: line 2 column 2 (char 3)");
    }
}
