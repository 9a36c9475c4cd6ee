//! The column `data`: a ticket's lines, failures and captures as JSON, byte for byte as Fail2ban writes it.

use std::fmt::Write as _;

use portcullis_jail::failure::Data;
use portcullis_jail::tally::Counted;
use portcullis_jail::{Id, MatchedLine, Ticket};
use portcullis_value::{Value, json_text};

/// What `data` says of a ticket.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Remembered {
    pub(super) matches: Vec<MatchedLine>,
    pub(super) failures: u32,
    pub(super) ip: Option<Id>,
    pub(super) data: Data,
}

/// The ticket's JSON, with at most the last `max_matches` lines.
pub(super) fn written(ticket: &Ticket, max_matches: usize) -> String {
    object(ticket.failures, &ticket.matches, &ticket.data, ticket.ip.as_ref(), max_matches)
}

/// The same of a count that is no ticket yet.
pub(super) fn counted(counted: &Counted, max_matches: usize) -> String {
    object(counted.failures, &counted.matches, &counted.data, counted.ip.as_ref(), max_matches)
}

fn object(
    failures: u32,
    matches: &[MatchedLine],
    data: &Data,
    ip: Option<&Id>,
    max_matches: usize,
) -> String {
    let mut out = String::from("{");
    // A ban by hand has an empty list; a jail that keeps no lines has none, and neither has a server that stores none.
    if failures == 0 || (!matches.is_empty() && max_matches > 0) {
        let skipped = matches.len().saturating_sub(max_matches);
        out.push_str("\"matches\": [");
        for (n, line) in matches[skipped..].iter().enumerate() {
            separate(&mut out, n);
            matched_line(&mut out, line);
        }
        out.push_str("], ");
    }
    let _ = write!(out, "\"failures\": {failures}");
    let reserved = |key: &str| matches!(key, "matches" | "failures") || (key == "ip" && ip.is_some());
    for (key, value) in data.iter().filter(|(key, _)| !reserved(key)) {
        member(&mut out, key, value);
    }
    if let Some(ip) = ip {
        member(&mut out, "ip", &ip.text().into());
    }
    out.push('}');
    out
}

fn separate(out: &mut String, n: usize) {
    if n > 0 {
        out.push_str(", ");
    }
}

fn member(out: &mut String, key: &str, value: &Value) {
    out.push_str(", ");
    string(out, key);
    out.push_str(": ");
    json(out, value);
}

/// Three parts for a line that came with a date, else one piece.
fn matched_line(out: &mut String, line: &MatchedLine) {
    if line.before.is_empty() && line.date.is_empty() {
        return string(out, &line.after);
    }
    out.push('[');
    for (n, part) in [&line.before, &line.date, &line.after].into_iter().enumerate() {
        separate(out, n);
        string(out, part);
    }
    out.push(']');
}

/// Python's `json.dumps(value, ensure_ascii=False)`; what JSON does not know becomes text.
fn json(out: &mut String, value: &Value) {
    match value {
        Value::None => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Float(number) if number.is_nan() => out.push_str("NaN"),
        Value::Float(number) if number.is_infinite() => {
            out.push_str(if *number > 0.0 { "Infinity" } else { "-Infinity" });
        }
        Value::Int(_) | Value::Float(_) => out.push_str(&value.repr()),
        Value::Str(text) => string(out, text),
        Value::List(items) | Value::Tuple(items) | Value::Set(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                separate(out, n);
                json(out, item);
            }
            out.push(']');
        }
        Value::Dict(items) => {
            out.push('{');
            for (n, (key, value)) in items.iter().enumerate() {
                separate(out, n);
                string(out, &key.to_string());
                out.push_str(": ");
                json(out, value);
            }
            out.push('}');
        }
        other => string(out, &other.to_string()),
    }
}

fn string(out: &mut String, text: &str) {
    json_text(text, false, out);
}

/// Reads `data`. Text that is no JSON is an error (what the parser says); members of the wrong shape are passed over.
pub(super) fn read(bytes: &[u8]) -> Result<Remembered, String> {
    let json: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let mut remembered = Remembered::default();
    let serde_json::Value::Object(members) = json else { return Ok(remembered) };
    for (key, value) in members {
        match (key.as_str(), value) {
            ("matches", serde_json::Value::Array(lines)) => {
                remembered.matches = lines.into_iter().map(read_line).collect();
            }
            ("failures", serde_json::Value::Number(number)) => {
                let number = number.as_u64().unwrap_or(0);
                remembered.failures = u32::try_from(number).unwrap_or(u32::MAX);
            }
            ("matches" | "failures", _) => {}
            ("ip", serde_json::Value::String(ip)) => remembered.ip = Some(Id::new(&ip)),
            (_, value) => {
                remembered.data.insert(key, from_json(value));
            }
        }
    }
    Ok(remembered)
}

fn read_line(line: serde_json::Value) -> MatchedLine {
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    match line {
        serde_json::Value::Array(parts) if parts.len() == 3 => {
            let mut parts = parts.into_iter().map(text);
            let mut next = || parts.next().unwrap_or_default();
            MatchedLine { before: next(), date: next(), after: next() }
        }
        serde_json::Value::Array(parts) => {
            MatchedLine { after: parts.into_iter().map(text).collect(), ..MatchedLine::default() }
        }
        other => MatchedLine { after: text(other), ..MatchedLine::default() },
    }
}

fn from_json(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::None,
        serde_json::Value::Bool(truth) => Value::Bool(truth),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Value::Str(text),
        serde_json::Value::Array(items) => Value::List(items.into_iter().map(from_json).collect()),
        serde_json::Value::Object(members) => {
            Value::Dict(members.into_iter().map(|(key, value)| (Value::Str(key), from_json(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_jail::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn ticket(failures: u32, matches: Vec<MatchedLine>, data: &[(&str, &str)]) -> Ticket {
        let data = data.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect();
        Ticket { failures, matches, data, ..Ticket::by_hand(Id::new("192.0.2.7"), Timestamp(0.0)) }
    }

    fn dated(after: &str) -> MatchedLine {
        MatchedLine { before: String::new(), date: "Nov 22 17:55:42".into(), after: after.into() }
    }

    fn whole(text: &str) -> MatchedLine {
        MatchedLine { after: text.into(), ..MatchedLine::default() }
    }

    // Rows of a genuine database.
    #[test]
    fn the_bytes_are_fail2bans() {
        let lines = vec![dated(" h bad user=joe"), whole("Nov 22 17:55:42 h bad user=joe")];
        let text = r#"{"matches": [["", "Nov 22 17:55:42", " h bad user=joe"], "Nov 22 17:55:42 h bad user=joe"], "failures": 2, "user": "joe", "ip4": "192.0.2.7"}"#;
        let two = ticket(2, lines, &[("user", "joe"), ("ip4", "192.0.2.7")]);
        assert_eq!(written(&two, 10), text);
        assert_eq!(written(&ticket(0, vec![], &[]), 10), r#"{"matches": [], "failures": 0}"#);
        assert_eq!(written(&ticket(2, vec![], &[("user", "zoe")]), 10), r#"{"failures": 2, "user": "zoe"}"#);
        let mut other = ticket(1, vec![dated(" é\u{fffd}\"\\")], &[("fid", "j"), ("fport", "22")]);
        other.ip = Some(Id::new("::1:2"));
        let text = "{\"matches\": [[\"\", \"Nov 22 17:55:42\", \" é\u{fffd}\\\"\\\\\"]], \"failures\": 1, \"fid\": \"j\", \"fport\": \"22\", \"ip\": \"::0.1.0.2\"}";
        assert_eq!(written(&other, 10), text);
    }

    #[test]
    fn at_most_the_last_lines_are_written() {
        let lines = vec![whole("a"), whole("b"), whole("c")];
        assert_eq!(written(&ticket(3, lines.clone(), &[]), 2), r#"{"matches": ["b", "c"], "failures": 3}"#);
        assert_eq!(written(&ticket(3, lines, &[]), 0), r#"{"failures": 3}"#);
    }

    #[test]
    fn control_characters_are_escaped_as_python_does() {
        let text = written(&ticket(0, vec![whole("\u{1}\t\u{8}\u{c}\r\n\u{7f}\u{2028}/")], &[]), 9);
        assert_eq!(text, "{\"matches\": [\"\\u0001\\t\\b\\f\\r\\n\u{7f}\u{2028}/\"], \"failures\": 0}");
    }

    #[test]
    fn foreign_shapes_are_passed_over_and_no_json_is_an_error() {
        let read = |text: &str| read(text.as_bytes()).unwrap();
        assert_eq!(read("[1, 2]"), Remembered::default());
        let odd = read(r#"{"matches": 5, "failures": "x", "n": [1, 2.5, null], "o": {"a": true}}"#);
        assert_eq!((odd.matches.len(), odd.failures), (0, 0));
        assert_eq!(odd.data["n"].repr(), "[1, 2.5, None]");
        assert_eq!(odd.data["o"].repr(), "{'a': True}");
        let lines = read(r#"{"matches": [["a", "b"], 7, ["x", "y", "z"]]}"#).matches;
        assert_eq!(lines.iter().map(MatchedLine::line).collect::<Vec<_>>(), ["ab", "7", "xyz"]);
        assert!(
            super::read(b"").is_err() && super::read(b"{\"a\"").is_err() && super::read(b"\xff").is_err()
        );
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            failures in 1_u32..99,
            lines in prop::collection::vec((".{0,5}", ".{1,5}", ".{0,9}"), 1..4),
            data in prop::collection::vec(("[a-e]{1,3}_", ".{0,9}"), 0..4),
        ) {
            let lines = lines.into_iter().map(|(before, date, after)| MatchedLine { before, date, after }).collect();
            let data: Vec<_> = data.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            let ticket = ticket(failures, lines, &data);
            let read = read(written(&ticket, 10).as_bytes()).unwrap();
            prop_assert_eq!(read.matches, ticket.matches);
            prop_assert_eq!(read.failures, ticket.failures);
            prop_assert_eq!(read.data, ticket.data);
        }
    }
}
