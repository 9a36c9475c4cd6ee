//! JSON as Python's `json.loads` reads it, with its errors and their places.
//!
//! Arguments of an action's methods come as JSON; whoever writes it wrong is told what Python would say. Depth is bounded.

use crate::{Exception, Value};

/// Deeper than this Python's recursion ends as well, roughly; nobody nests arguments like that.
const DEEPEST: usize = 200;

/// Reads a JSON text.
///
/// # Errors
/// `json.decoder.JSONDecodeError` with the message, the text and the place in characters; `RecursionError` for too deep a
/// nesting.
pub fn json(text: &str) -> Result<Value, Exception> {
    let mut reader = Reader { text, chars: text.chars().collect(), at: 0 };
    reader.blanks();
    let value = reader.value(0)?;
    reader.blanks();
    if reader.at < reader.chars.len() {
        return Err(reader.error("Extra data", reader.at));
    }
    Ok(value)
}

/// Writes a text as Python's `json.dumps` does, between quotes; `ascii` escapes all beyond it, as Python does by itself.
pub fn json_text(text: &str, ascii: bool, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' || ascii && c > '~' => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

struct Reader<'t> {
    text: &'t str,
    chars: Vec<char>,
    at: usize,
}

impl Reader<'_> {
    fn error(&self, message: &str, at: usize) -> Exception {
        let at = i64::try_from(at).unwrap_or(i64::MAX);
        Exception {
            class: "json.decoder.JSONDecodeError".to_owned(),
            args: vec![message.into(), self.text.into(), Value::Int(at)],
        }
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, word: &str) -> bool {
        let fits = word.chars().eq(self.chars[self.at..].iter().copied().take(word.len()));
        if fits {
            self.at += word.len();
        }
        fits
    }

    fn value(&mut self, depth: usize) -> Result<Value, Exception> {
        if depth > DEEPEST {
            let text = "maximum recursion depth exceeded while decoding a JSON array from a unicode string";
            return Err(Exception::builtin("RecursionError", text));
        }
        match self.peek() {
            Some('"') => self.string().map(Value::Str),
            Some('{') => self.object(depth),
            Some('[') => self.array(depth),
            _ => self.literal(),
        }
    }

    fn literal(&mut self) -> Result<Value, Exception> {
        let words = [
            ("null", Value::None),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("NaN", Value::Float(f64::NAN)),
            ("Infinity", Value::Float(f64::INFINITY)),
            ("-Infinity", Value::Float(f64::NEG_INFINITY)),
        ];
        for (word, value) in words {
            if self.take(word) {
                return Ok(value);
            }
        }
        self.number().ok_or_else(|| self.error("Expecting value", self.at))
    }

    /// The end of the digits from `at` on.
    fn digits(&self, at: usize) -> usize {
        at + self.chars[at.min(self.chars.len())..].iter().take_while(|c| c.is_ascii_digit()).count()
    }

    fn number(&mut self) -> Option<Value> {
        let start = self.at;
        let first = start + usize::from(self.peek() == Some('-'));
        // `01` is a zero with something behind it.
        let mut end = if self.chars.get(first) == Some(&'0') { first + 1 } else { self.digits(first) };
        if end == first {
            return None;
        }
        let whole = end;
        if self.chars.get(end) == Some(&'.') && self.digits(end + 1) > end + 1 {
            end = self.digits(end + 1);
        }
        if matches!(self.chars.get(end), Some('e' | 'E')) {
            let digits = end + 1 + usize::from(matches!(self.chars.get(end + 1), Some('+' | '-')));
            if self.digits(digits) > digits {
                end = self.digits(digits);
            }
        }
        self.at = end;
        let text: String = self.chars[start..end].iter().collect();
        let int = if end == whole { text.parse().ok().map(Value::Int) } else { None };
        int.or_else(|| text.parse().ok().map(Value::Float))
    }

    fn string(&mut self) -> Result<String, Exception> {
        let start = self.at;
        self.at += 1;
        let mut out = String::new();
        loop {
            let at = self.at;
            self.at += 1;
            match self.chars.get(at).copied() {
                None => return Err(self.error("Unterminated string starting at", start)),
                Some('"') => return Ok(out),
                Some(c) if c < ' ' => return Err(self.error("Invalid control character at", at)),
                Some('\\') => out.push(self.escape(start, at)?),
                Some(c) => out.push(c),
            }
        }
    }

    fn escape(&mut self, start: usize, backslash: usize) -> Result<char, Exception> {
        let Some(kind) = self.peek() else {
            return Err(self.error("Unterminated string starting at", start));
        };
        self.at += 1;
        Ok(match kind {
            '"' | '\\' | '/' => kind,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = self.unit(backslash)?;
                let high = (0xd800..0xdc00).contains(&first);
                if high && self.chars[self.at..].starts_with(&['\\', 'u']) {
                    let before = self.at;
                    self.at += 2;
                    let second = self.unit(before)?;
                    if (0xdc00..0xe000).contains(&second) {
                        let both = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                        return Ok(char::from_u32(both).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    self.at = before;
                }
                // Python keeps a lone half of a pair; text here is always Unicode.
                char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return Err(self.error("Invalid \\escape", backslash)),
        })
    }

    fn unit(&mut self, backslash: usize) -> Result<u32, Exception> {
        let digits: String = self.chars[self.at..].iter().take(4).collect();
        let value = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
        // A sign would be read as a digit.
        let value = value.filter(|_| digits.chars().all(|c| c.is_ascii_hexdigit()));
        self.at += 4;
        value.ok_or_else(|| self.error("Invalid \\uXXXX escape", backslash + 1))
    }

    fn array(&mut self, depth: usize) -> Result<Value, Exception> {
        self.at += 1;
        let mut items = Vec::new();
        self.blanks();
        if self.take("]") {
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.blanks();
            if self.take("]") {
                return Ok(Value::List(items));
            }
            if !self.take(",") {
                return Err(self.error("Expecting ',' delimiter", self.at));
            }
            self.blanks();
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Exception> {
        self.at += 1;
        let mut items: Vec<(Value, Value)> = Vec::new();
        self.blanks();
        if self.take("}") {
            return Ok(Value::Dict(items));
        }
        loop {
            if self.peek() != Some('"') {
                let text = "Expecting property name enclosed in double quotes";
                return Err(self.error(text, self.at));
            }
            let key = Value::Str(self.string()?);
            self.blanks();
            if !self.take(":") {
                return Err(self.error("Expecting ':' delimiter", self.at));
            }
            self.blanks();
            let value = self.value(depth + 1)?;
            match items.iter_mut().find(|(known, _)| *known == key) {
                Some((_, old)) => *old = value,
                None => items.push((key, value)),
            }
            self.blanks();
            if self.take("}") {
                return Ok(Value::Dict(items));
            }
            if !self.take(",") {
                return Err(self.error("Expecting ',' delimiter", self.at));
            }
            self.blanks();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mistake_is_named_with_its_place() {
        for (text, message, place) in [
            ("", "Expecting value", 0),
            ("x", "Expecting value", 0),
            ("{", "Expecting property name enclosed in double quotes", 1),
            ("{\"a\" 1}", "Expecting ':' delimiter", 5),
            ("{\"a\":1", "Expecting ',' delimiter", 6),
            ("[1,]", "Expecting value", 3),
            ("{} x", "Extra data", 3),
            ("\"x", "Unterminated string starting at", 0),
            ("\"\\q\"", "Invalid \\escape", 1),
            ("01", "Extra data", 1),
        ] {
            let error = json(text).unwrap_err();
            assert_eq!(error.args, [message.into(), text.into(), Value::Int(place)], "{text}");
        }
    }

    #[test]
    fn values_are_read() {
        let text = r#" {"a": [1, -2.5e1, true, null, "é\u00e9\ud83d\ude00\n"], "a": {}, "b": []} "#;
        assert_eq!(json(text).unwrap().repr(), "{'a': {}, 'b': []}");
        assert_eq!(
            json("[1, -2.5e1, true, null, \"\\ud83d\\ude00\"]").unwrap().repr(),
            "[1, -25.0, True, None, '😀']"
        );
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_overflow() {
        assert_eq!(json(&"[".repeat(100_000)).unwrap_err().name(), "RecursionError");
    }

    proptest! {
        #[test]
        fn whatever_serde_writes_is_read_as_serde_reads_it(text in "[\\[\\]{}\",:0-9a-z.\\\\ \\-]{0,40}") {
            let serde = serde_json::from_str::<serde_json::Value>(&text);
            prop_assert_eq!(serde.is_ok() && json(&text).is_err(), false);
        }
    }
}
