//! Reads Fail2ban's sample logs: log lines, each with what a filter has to find in it, and option sets in between.

pub(crate) mod stock;

use std::collections::VecDeque;
use std::path::Path;

use serde_json::{Map, Value, json};

/// One line of a sample log under one option set.
pub(crate) struct Check {
    /// Options of the filter, without the runner's own.
    pub(crate) options: Map<String, Value>,
    /// What is put before the line (the runner's option `test.prefix-line`).
    pub(crate) prefix: String,
    /// What has to be found; `match` says whether anything.
    pub(crate) expected: Map<String, Value>,
    /// File and line number.
    pub(crate) place: String,
    /// The log line.
    pub(crate) line: String,
}

/// All checks of a sample log for the filter `name`, in order, with those of the files that it adds.
pub(crate) fn checks(logs: &Path, name: &str) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut files = VecDeque::from([name.to_owned()]);
    let mut base = Map::new();
    while let Some(file) = files.pop_front() {
        let text = String::from_utf8_lossy(&std::fs::read(logs.join(&file)).unwrap()).into_owned();
        let mut options = vec![base.clone()];
        let mut expected: Option<Map<String, Value>> = None;
        for (number, line) in text.split('\n').enumerate() {
            let line = line.trim_end_matches('\r');
            match marker(line) {
                Some(("failJSON", value)) => expected = Some(value.as_object().unwrap().clone()),
                Some(("filterOptions", value)) => options = sets(&base, value),
                Some(("fileOptions", value)) => base.clone_from(value.as_object().unwrap()),
                Some((_, value)) => files.push_back(value.as_str().unwrap().to_owned()),
                None if line.trim().is_empty() || line.starts_with('#') => {}
                None => {
                    let nothing = || json!({"match": false}).as_object().unwrap().clone();
                    let expected = expected.take().unwrap_or_else(nothing);
                    let place = format!("{file}:{}", number + 1);
                    checks.extend(options.iter().filter_map(|set| check(name, set, &expected, &place, line)));
                }
            }
        }
    }
    checks
}

fn sets(base: &Map<String, Value>, value: Value) -> Vec<Map<String, Value>> {
    let list = if let Value::Array(list) = value { list } else { vec![value] };
    let merged = |set: Value| base.clone().into_iter().chain(set.as_object().unwrap().clone()).collect();
    list.into_iter().map(merged).collect()
}

/// `# failJSON: {...}` and its like.
fn marker(line: &str) -> Option<(&str, Value)> {
    let rest = line.strip_prefix('#')?.trim_start_matches('#').trim_start();
    let (keyword, value) = rest.split_once(':')?;
    if !["failJSON", "filterOptions", "fileOptions", "addFILE"].contains(&keyword) {
        return None;
    }
    Some((keyword, serde_json::from_str(value).unwrap()))
}

fn check(
    name: &str,
    set: &Map<String, Value>,
    expected: &Map<String, Value>,
    place: &str,
    line: &str,
) -> Option<Check> {
    if !holds(set.get("test.condition"), name, set) || !holds(expected.get("constraint"), name, set) {
        return None;
    }
    Some(Check {
        options: set.clone().into_iter().filter(|(key, _)| !key.starts_with("test.")).collect(),
        prefix: set.get("test.prefix-line").and_then(Value::as_str).unwrap_or("").to_owned(),
        expected: expected.clone(),
        place: place.to_owned(),
        line: line.to_owned(),
    })
}

/// The few Python expressions that occur: `name == 'sshd'`, `opts.get('mode') != 'aggressive'`.
fn holds(condition: Option<&Value>, name: &str, set: &Map<String, Value>) -> bool {
    let Some(condition) = condition.and_then(Value::as_str) else { return true };
    let (left, equal, right) = match (condition.split_once("!="), condition.split_once("==")) {
        (Some((left, right)), _) => (left, false, right),
        (None, Some((left, right))) => (left, true, right),
        _ => panic!("unknown condition {condition}"),
    };
    let right = right.trim().trim_matches('\'');
    let left = match left.trim() {
        "name" => Some(name),
        "opts.get('mode')" => set.get("mode").and_then(Value::as_str),
        other => panic!("unknown operand {other}"),
    };
    (left == Some(right)) == equal
}
