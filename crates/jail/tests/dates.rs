//! The dates that Fail2ban 1.0.2 was seen to find, and what it made of them.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use jiff::tz::TimeZone;
use portcullis_jail::Timestamp;
use portcullis_jail::date::{DateError, Detector, Zones, parse_logtimezone};

/// When the examples were recorded: their `%ExY` ends with 2029.
const RECORDED: Timestamp = Timestamp(1_795_374_000.0);

/// Result, matched text, span in characters and template, as the columns of the table have them.
type Outcome = (String, String, String, String);

fn outcome(zone: &str, now: f64, logtimezone: &str, pattern: Option<&str>, line: &str) -> Outcome {
    let error = || ("ERROR".to_owned(), String::new(), String::new(), String::new());
    let none = |result: &str| (result.to_owned(), String::new(), String::new(), String::new());
    let logtimezone = match logtimezone {
        "" => None,
        text => match parse_logtimezone(text) {
            Ok(offset) => Some(offset),
            Err(_) => return error(),
        },
    };
    let zones = Zones::new(TimeZone::get(zone).unwrap(), logtimezone);
    let mut detector = Detector::new(pattern, RECORDED).unwrap();
    let Some(found) = detector.find(line, Timestamp(now)) else { return none("NOMATCH") };
    let winner = detector.templates().find(|t| t.hits == 1).unwrap();
    let column = |byte: usize| line[..byte].chars().count();
    let span = format!("{}-{}", column(found.start), column(found.end));
    let name = winner.name.to_owned();
    if found.start == found.end {
        return ("EMPTY".to_owned(), String::new(), span, name);
    }
    let result = match detector.parse(line, &found, Timestamp(now), &zones) {
        Ok(time) if detector.is_integer(line, &found, &zones) => format!("{}", time.0 as i64),
        Ok(time) => format!("{:?}", time.0),
        Err(DateError::Invalid) => "INVALID".to_owned(),
        Err(other) => panic!("{other}"),
    };
    (result, line[found.start..found.end].to_owned(), span, name)
}

#[test]
fn every_recorded_date_is_found_and_read_as_fail2ban_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/compat/dates.tsv");
    let table = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut wrong = Vec::new();
    let mut rows = 0;
    for row in table.lines().filter(|row| !row.starts_with('#')) {
        let cells: Vec<&str> = row.split('\t').collect();
        let [id, zone, now, logtimezone, pattern, line, result, text, span, template] = cells[..] else {
            panic!("{row}");
        };
        rows += 1;
        let pattern = pattern.replace("\\n", "\n").replace("\\\\", "\\");
        let pattern = (pattern != "(default)").then_some(pattern.as_str());
        let got = outcome(zone, now.parse().unwrap(), logtimezone, pattern, line);
        let expected = [result, text, span, template].map(str::to_owned);
        let expected: Outcome = expected.into();
        // Where Fail2ban fails with an exception, the line has no valid date here; the empty line is like any other.
        let same = match result {
            "ERROR" if line.is_empty() => got.0 == "EMPTY",
            "ERROR" => got.0 == "ERROR" || got.0 == "INVALID",
            _ => got == expected,
        };
        if !same {
            wrong.push(format!("{id}: {line:?}\n  expected {expected:?}\n  got      {got:?}"));
        }
    }
    assert!(rows > 200, "only {rows} rows in {}", path.display());
    assert!(wrong.is_empty(), "{} of {rows} differ:\n{}", wrong.len(), wrong.join("\n"));
}
