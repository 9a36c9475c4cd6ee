//! An entry of the journal, and the line of a log that Fail2ban makes of it.

use std::borrow::Cow;

use jiff::tz::TimeZone;
use portcullis_jail::Timestamp;
use portcullis_jail::encoding::Encoding;
use portcullis_value::Value;

/// Several values of one field are kept up to this number.
const MOST_VALUES: usize = 100;

/// The fields of an entry that a line is made of, as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Where it is in the journal; opaque.
    pub cursor: String,
    /// When the journal received it, in microseconds since 1970.
    received: u64,
    /// When it was sent, likewise; the sender's own clock.
    sent: Option<u64>,
    /// Since boot, in microseconds; the kernel's own clock first.
    monotonic: Option<u64>,
    source_monotonic: Option<u64>,
    hostname: Option<Vec<u8>>,
    identifier: Option<Vec<u8>>,
    comm: Option<Vec<u8>>,
    syslog_pid: Option<Vec<u8>>,
    pid: Option<Vec<u8>>,
    message: Vec<Vec<u8>>,
}

/// What a filter judges.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The time as tickets show it: `2026-11-22T17:36:40.123456+00:00 `, with the blank.
    pub date: String,
    /// `host identifier[pid]: message`, without a date.
    pub text: String,
    /// The same time as a number.
    pub time: Timestamp,
    /// Whether there were bytes that the encoding does not know, which became U+FFFD.
    pub undecodable: bool,
}

impl Entry {
    /// The fields that are asked for, besides those that `journalctl` always gives.
    pub const FIELDS: &str = "MESSAGE,_HOSTNAME,SYSLOG_IDENTIFIER,_COMM,SYSLOG_PID,_PID,_SOURCE_REALTIME_TIMESTAMP,\
                              _SOURCE_MONOTONIC_TIMESTAMP";

    /// Takes a field. Of those that are one word, the first value counts.
    // Differs: with several hosts, identifiers or times in one entry Fail2ban raises an exception, and its jail pauses.
    pub(super) fn take(&mut self, name: &[u8], value: &[u8]) {
        let number = || std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok());
        let first = |field: &mut Option<Vec<u8>>| {
            field.get_or_insert_with(|| value.to_vec());
        };
        match name {
            b"__CURSOR" => self.cursor = String::from_utf8_lossy(value).into_owned(),
            b"__REALTIME_TIMESTAMP" => self.received = number().unwrap_or(self.received),
            b"__MONOTONIC_TIMESTAMP" => self.monotonic = self.monotonic.or_else(number),
            b"_SOURCE_REALTIME_TIMESTAMP" => self.sent = self.sent.or_else(number),
            b"_SOURCE_MONOTONIC_TIMESTAMP" => self.source_monotonic = self.source_monotonic.or_else(number),
            b"_HOSTNAME" => first(&mut self.hostname),
            b"SYSLOG_IDENTIFIER" => first(&mut self.identifier),
            b"_COMM" => first(&mut self.comm),
            b"SYSLOG_PID" => first(&mut self.syslog_pid),
            b"_PID" => first(&mut self.pid),
            b"MESSAGE" if self.message.len() < MOST_VALUES => self.message.push(value.to_vec()),
            _ => {}
        }
    }

    /// When it happened, in microseconds since 1970: by the sender's clock, if it said so.
    pub fn microseconds(&self) -> u64 {
        self.sent.unwrap_or(self.received)
    }

    /// When the journal received it, in microseconds since 1970: what `journalctl --since` goes by.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The line that Fail2ban makes of it.
    pub fn line(&self, encoding: Encoding, zone: &TimeZone) -> Line {
        let mut undecodable = false;
        let mut text = |bytes: &[u8]| {
            let (text, broken) = match encoding.decode(bytes) {
                (Cow::Borrowed(text), broken) => (text.to_owned(), broken),
                (Cow::Owned(text), broken) => (text, broken),
            };
            undecodable |= broken;
            text
        };
        // As in Python, what is empty is not there.
        let there = |field: &Option<Vec<u8>>| field.clone().filter(|bytes| !bytes.is_empty());
        let mut elements: Vec<String> = Vec::new();
        elements.extend(there(&self.hostname).map(|host| text(&host)));
        if let Some(identifier) = there(&self.identifier).or_else(|| there(&self.comm)) {
            let pid = [&self.syslog_pid, &self.pid].into_iter().flatten().find_map(|pid| process(pid));
            let pid = pid.map(|pid| format!("[{pid}]")).unwrap_or_default();
            let element = format!("{}{pid}:", text(&identifier));
            let kernel = element == "kernel:";
            elements.push(element);
            if let Some(since_boot) = self.source_monotonic.or(self.monotonic).filter(|_| kernel) {
                elements.push(format!("[{:12.6}]", since_boot as f64 / 1e6));
            }
        }
        elements.push(self.message.iter().map(|part| text(part)).collect::<Vec<_>>().join(" "));
        let microseconds = self.microseconds();
        Line {
            date: date(microseconds, zone),
            text: elements.join(" ").replace('\n', "\\n"),
            time: Timestamp(microseconds as f64 / 1e6),
            undecodable,
        }
    }
}

/// `2026-11-22T17:36:40.123456+00:00 `, in Python's way: without a fraction when that is none.
pub(crate) fn date(microseconds: u64, zone: &TimeZone) -> String {
    let instant = i64::try_from(microseconds).ok().and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
    let shown = instant.unwrap_or_default().to_zoned(zone.clone());
    let form = if microseconds.is_multiple_of(1_000_000) {
        "%Y-%m-%dT%H:%M:%S%:z "
    } else {
        "%Y-%m-%dT%H:%M:%S.%6f%:z "
    };
    shown.strftime(form).to_string()
}

/// A process id as Fail2ban shows it: a number in any of Python's forms, in decimal; else the bytes as Python shows them.
/// `None` for what is empty or zero.
fn process(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return None;
    }
    match std::str::from_utf8(bytes).ok().and_then(integer) {
        Some(0) => None,
        Some(number) => Some(number.to_string()),
        None => Some(Value::Bytes(bytes.to_vec()).repr()),
    }
}

/// An integer as Python's `int(text, 0)` reads it, or else `int(text)`.
fn integer(text: &str) -> Option<i128> {
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\u{b}');
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let prefixed = [("0x", 16), ("0o", 8), ("0b", 2)]
        .into_iter()
        .find_map(|(prefix, radix)| Some((lower.strip_prefix(prefix)?, radix)));
    let (digits, radix) = match prefixed {
        // One underscore may stand between prefix and digits.
        Some((digits, radix)) => (digits.strip_prefix('_').unwrap_or(digits), radix),
        None => (lower.as_str(), 10),
    };
    let grouped =
        digits.split('_').all(|group| !group.is_empty() && group.bytes().all(|b| b.is_ascii_alphanumeric()));
    let number = grouped.then(|| i128::from_str_radix(&digits.replace('_', ""), radix).ok()).flatten()?;
    Some(sign * number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(fields: &[(&str, &str)]) -> String {
        let mut entry = Entry::default();
        for (name, value) in fields {
            entry.take(name.as_bytes(), value.as_bytes());
        }
        entry.line(Encoding::UTF_8, &TimeZone::UTC).text
    }

    #[test]
    fn an_entry_becomes_the_line_that_fail2ban_makes_of_it() {
        let host = ("_HOSTNAME", "h");
        let ident = ("SYSLOG_IDENTIFIER", "i");
        // Each observed on 1.0.2.
        for (fields, expected) in [
            (&[host, ident, ("SYSLOG_PID", "1"), ("_PID", "2"), ("MESSAGE", "m")][..], "h i[1]: m"),
            (&[host, ("_COMM", "c"), ("_PID", "99"), ("MESSAGE", "m")], "h c[99]: m"),
            (&[host, ident, ("SYSLOG_PID", "0x1f"), ("MESSAGE", "a"), ("MESSAGE", "b")], "h i[31]: a b"),
            (&[host, ident, ("SYSLOG_PID", "abc")], "h i[b'abc']: "),
            (&[host, ident, ("SYSLOG_PID", "007")], "h i[7]: "),
            (&[host, ident, ("SYSLOG_PID", " 12 ")], "h i[12]: "),
            (&[host, ident, ("SYSLOG_PID", "1_000")], "h i[1000]: "),
            (&[host, ident, ("SYSLOG_PID", "-5")], "h i[-5]: "),
            (&[host, ident, ("SYSLOG_PID", "+3")], "h i[3]: "),
            (&[host, ident, ("SYSLOG_PID", "0b11")], "h i[3]: "),
            (&[host, ident, ("SYSLOG_PID", "0x")], "h i[b'0x']: "),
            (&[host, ident, ("SYSLOG_PID", "99999999999999999999")], "h i[99999999999999999999]: "),
            (&[host, ident, ("SYSLOG_PID", "0"), ("MESSAGE", "m")], "h i: m"),
            (&[host, ident, ("SYSLOG_PID", ""), ("_PID", "4")], "h i[4]: "),
            (&[("_HOSTNAME", ""), ("SYSLOG_IDENTIFIER", ""), ("_COMM", "c"), ("_PID", "3")], "c[3]: "),
            (&[host, ("_PID", "3"), ("MESSAGE", "no name, no pid")], "h no name, no pid"),
            (&[("MESSAGE", "bare")], "bare"),
            (&[host, ("MESSAGE", "")], "h "),
            (&[host], "h "),
            (&[], ""),
            (&[("SYSLOG_IDENTIFIER", "a\nb"), ("MESSAGE", "x\n")], "a\\nb: x\\n"),
            (
                &[host, ("_COMM", "kernel"), ("_SOURCE_MONOTONIC_TIMESTAMP", "12345678"), ("MESSAGE", "m")],
                "h kernel: [   12.345678] m",
            ),
            (
                &[host, ("_COMM", "kernel"), ("__MONOTONIC_TIMESTAMP", "123456789012345")],
                "h kernel: [123456789.012345] ",
            ),
            (&[host, ("_COMM", "kernel"), ("_PID", "5"), ("__MONOTONIC_TIMESTAMP", "1")], "h kernel[5]: "),
        ] {
            assert_eq!(line(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn a_date_is_python_s_with_its_blank() {
        assert_eq!(date(1_795_385_142_589_123, &TimeZone::UTC), "2026-11-22T22:05:42.589123+00:00 ");
        assert_eq!(date(1_795_385_153_000_000, &TimeZone::UTC), "2026-11-22T22:05:53+00:00 ");
        assert_eq!(date(5, &TimeZone::UTC), "1970-01-01T00:00:00.000005+00:00 ");
    }

    #[test]
    fn bytes_of_another_encoding_cost_only_themselves() {
        let mut entry = Entry::default();
        entry.take(b"MESSAGE", b"fa\xffil");
        let line = entry.line(Encoding::UTF_8, &TimeZone::UTC);
        assert_eq!((line.text.as_str(), line.undecodable), ("fa\u{fffd}il", true));
        let latin = Encoding::named("latin1").unwrap();
        assert_eq!(entry.line(latin, &TimeZone::UTC).text, "fa\u{ff}il");
    }
}
