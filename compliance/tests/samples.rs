//! Fail2ban's own sample corpus: every line of every stock filter, under every option set, has the verdict it ships with.

#![allow(clippy::panic, clippy::unwrap_used)]
#![allow(dead_code, reason = "the corpus is shared with other tests")]

mod corpus;

use std::collections::BTreeMap;

use corpus::stock::Stock;
use corpus::{Check, checks};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use portcullis_jail::filter::{DatedLine, Filter, Moment, Verdict};
use portcullis_jail::{Id, Nobody, Timestamp};
use serde_json::{Map, Value};

/// 2005-08-14 12:00:00 CEST, as the corpus has it.
const NOW: Timestamp = Timestamp(1_124_013_600.0);
/// How many checks there are, and how many filters with their option sets.
const CHECKS: usize = 1627;
const OPTION_SETS: usize = 128;

/// One filter object, its line of checks, and which of its regexes were of use.
struct Run {
    /// Tries all regexes, as the corpus' own runner does.
    filter: Filter,
    /// The way of a jail: behind the automaton, up to the first regex that matches.
    jail: Filter,
    used: Vec<bool>,
}

impl Run {
    fn new(stock: &Stock, name: &str, options: &Map<String, Value>) -> Self {
        let (mut filter, jail) = (stock.filter(name, options), stock.filter(name, options));
        filter.set_check_all(true);
        let used = vec![false; filter.failregex().len()];
        Run { filter, jail, used }
    }
}

fn judge(filter: &mut Filter, check: &Check, in_operation: bool) -> Verdict {
    let at = Moment { now: NOW, in_operation };
    if check.options.get("logtype").and_then(Value::as_str) == Some("journal") {
        let line = format!("{}{}", check.prefix, check.line);
        let dated = DatedLine { date: "2005-08-14T10:00:00", line: &line, time: NOW };
        return filter.judge_dated(dated, at, &mut Nobody);
    }
    filter.judge(&check.line, at, &mut Nobody)
}

/// What is wrong with the verdict, if anything.
fn wrong(check: &Check, verdict: &Verdict) -> Option<String> {
    let wanted = check.expected.get("match").and_then(Value::as_bool).unwrap_or(false);
    if !wanted {
        return (!verdict.failures.is_empty()).then(|| format!("should not match: {:?}", verdict.hits));
    }
    let [failure] = &*verdict.failures else {
        return Some(format!("{} failures: {:?}", verdict.failures.len(), verdict.hits));
    };
    for (key, value) in &check.expected {
        let found = match key.as_str() {
            "match" | "desc" | "constraint" => continue,
            // The corpus has addresses as they are written in the line.
            "host" if value.as_str().is_some_and(|host| Id::new(host) == failure.id) => continue,
            "time" if value.is_null() => continue,
            "time" => {
                let wanted = local_seconds(value.as_str().unwrap());
                if (failure.time.0 - wanted).abs() > f64::EPSILON {
                    return Some(format!("time {} instead of {wanted}", failure.time.0));
                }
                continue;
            }
            "attempts" => failure.matches.len().to_string(),
            "host" => failure.data.get("host").map_or(failure.id.text().to_owned(), ToString::to_string),
            "users" => sorted(failure.data.get(key)),
            key => failure.data.get(key).map_or("null".to_owned(), ToString::to_string),
        };
        let wanted = match value {
            Value::String(text) => text.clone(),
            Value::Array(list) => {
                let mut list: Vec<String> =
                    list.iter().map(|v| v.as_str().unwrap_or("").to_owned()).collect();
                list.sort();
                list.join(",")
            }
            other => other.to_string(),
        };
        if found != wanted {
            return Some(format!("{key} is {found:?} instead of {wanted:?}"));
        }
    }
    None
}

fn sorted(value: Option<&portcullis_value::Value>) -> String {
    let Some(portcullis_value::Value::Set(items)) = value else { return "null".into() };
    let mut items: Vec<String> = items
        .iter()
        .map(|v| if *v == portcullis_value::Value::None { String::new() } else { v.to_string() })
        .collect();
    items.sort();
    items.join(",")
}

fn local_seconds(text: &str) -> f64 {
    let zone = TimeZone::posix("CET-01CEST-02,M3.5.0,M10.5.0").unwrap();
    let at = DateTime::strptime("%Y-%m-%dT%H:%M:%S%.f", text).unwrap().to_zoned(zone).unwrap();
    at.timestamp().as_second() as f64 + f64::from(at.timestamp().subsec_nanosecond()) / 1e9
}

#[test]
fn every_line_of_the_sample_corpus_has_the_verdict_it_ships_with() {
    let Some(stock) = Stock::new() else { return };
    let mut names: Vec<String> = std::fs::read_dir(&stock.logs)
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name != "sshd-journal")
        .collect();
    names.sort();
    let (mut total, mut sets, mut mistakes) = (0, 0, Vec::new());
    for name in &names {
        let mut runs: BTreeMap<String, Run> = BTreeMap::new();
        let mut count = 0;
        for check in checks(&stock.logs, name) {
            let key = serde_json::to_string(&check.options).unwrap();
            let run = runs.entry(key.clone()).or_insert_with(|| Run::new(&stock, name, &check.options));
            let verdict = judge(&mut run.filter, &check, false);
            let first = judge(&mut run.jail, &check, true).hits.first().map(|hit| hit.index);
            // Several lines at once: what matched has left the buffer, differently when all regexes are tried.
            // Without a date, what is cut out goes by the line before.
            let comparable = run.filter.maxlines() == 1 && check.expected.get("time") != Some(&Value::Null);
            if comparable && first != verdict.hits.first().map(|hit| hit.index) {
                mistakes.push(format!("{name}{key} {}: the automaton lets {first:?} match", check.place));
            }
            for hit in &verdict.hits {
                run.used[hit.index] = true;
            }
            count += 1;
            if let Some(wrong) = wrong(&check, &verdict) {
                mistakes.push(format!("{name}{key} {}: {wrong}\n    {}", check.place, check.line));
            }
        }
        let used: Vec<String> = runs
            .values()
            .flat_map(|run| run.filter.failregex().zip(&run.used).filter(|(_, used)| **used))
            .map(|(regex, _)| regex.to_owned())
            .collect();
        for (key, run) in &runs {
            for regex in run.filter.failregex().filter(|regex| !used.iter().any(|used| used == regex)) {
                mistakes.push(format!("{name}{key}: never used: {regex}"));
            }
            assert_eq!(run.filter.counters().too_hard, 0, "{name}{key} reached the step limit");
        }
        println!("{name}: {count} checks, {} option sets", runs.len());
        total += count;
        sets += runs.len();
    }
    println!("{total} checks, {sets} option sets, {} mistakes", mistakes.len());
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    assert!(total >= CHECKS && sets >= OPTION_SETS, "only {total} checks and {sets} option sets");
}

/// Options that stock filters know, with the values that their own files name.
const MODES: &[&str] =
    &["normal", "aggressive", "ddos", "extra", "auth", "rbl", "errors", "more", "fallback"];

#[test]
fn every_stock_filter_compiles_under_every_option() {
    let Some(stock) = Stock::new() else { return };
    let mut compiled = 0;
    for entry in std::fs::read_dir(stock.dir.path().join("filter.d")).unwrap().flatten() {
        let file = entry.file_name().into_string().unwrap();
        let Some(name) = file.strip_suffix(".conf").filter(|name| !name.ends_with("common")) else {
            continue;
        };
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let mut sets = vec![Map::new()];
        for mode in MODES.iter().filter(|mode| text.contains(&format!("-{mode} = "))) {
            sets.push(Map::from_iter([("mode".to_owned(), Value::from(*mode))]));
        }
        for logtype in ["file", "short", "journal", "rfc5424"] {
            sets.push(Map::from_iter([("logtype".to_owned(), Value::from(logtype))]));
        }
        for set in sets {
            let mut filter = stock.filter(name, &set);
            assert!(filter.failregex().len() > 0, "{name}{set:?} has no failregex");
            // The engines are built when a line comes.
            let verdict =
                filter.judge("nothing of interest", Moment { now: NOW, in_operation: true }, &mut Nobody);
            assert!(verdict.failures.is_empty());
            compiled += 1;
        }
    }
    println!("{compiled} filters with options");
    assert!(compiled > 400);
}
