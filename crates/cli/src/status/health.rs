//! What of a report needs somebody's attention.

use portcullis_value::Value;

use super::jails;
use crate::portcullis::answer::{field, list, number, text};

/// What is not well, a line each, with what to do where that is known.
pub(crate) struct Health {
    pub(crate) attention: Vec<String>,
}

impl Health {
    /// Looks through a report, or through what it says of one jail.
    pub(crate) fn of(report: &Value, jail: Option<&str>) -> Self {
        let mut attention = Vec::new();
        for problem in list(report, "problems") {
            let of = field(problem, "jail").as_str();
            if jail.is_none() || of == jail {
                attention.push(match of {
                    Some(name) => format!("jail '{name}' does not run: {}", text(problem, "problem")),
                    None => text(problem, "problem").to_owned(),
                });
            }
        }
        for place in ["log", "database"] {
            if let Some(problem) = field(field(report, place), "problem").as_str() {
                attention.push(format!("{place}: {problem}"));
            }
        }
        if jail.is_none() && list(report, "jails").is_empty() {
            attention.push("no jail runs: nobody is guarded. Enable one in jail.local".to_owned());
        }
        jails(report, jail).for_each(|shown| look_at(shown, &mut attention));
        if let Some(name) = jail
            && jails(report, jail).next().is_none()
            && attention.is_empty()
        {
            attention.push(format!("there is no jail '{name}'"));
        }
        Health { attention }
    }
}

fn look_at(jail: &Value, attention: &mut Vec<String>) {
    let name = text(jail, "name");
    if field(jail, "busy").is_true() {
        attention.push(format!("jail '{name}' does not answer"));
        return;
    }
    if !field(jail, "started").is_true() {
        attention.push(format!("jail '{name}' is not started"));
    }
    for source in list(jail, "sources") {
        if let Some(problem) = field(source, "problem").as_str() {
            attention.push(format!("jail '{name}': cannot read {}: {problem}", text(source, "path")));
        }
    }
    if list(jail, "actions").is_empty() && field(jail, "started").is_true() {
        attention.push(format!("jail '{name}' has no action: its bans do nothing"));
    }
    for action in list(jail, "actions") {
        let label = format!("jail '{name}', action '{}'", text(action, "name"));
        let failed = number(action, "failed");
        if failed > 0 {
            attention.push(format!("{label}: {failed} ban(s) NOT enforced: {}", text(action, "reason")));
        }
        if let Some(problem) = field(action, "problem").as_str() {
            attention.push(format!("{label}: {problem}"));
        }
    }
    incidents(jail, name, attention);
    for (key, what) in [
        ("forgotten_offenders", "offender(s) forgotten, since there were too many at a time"),
        ("lines_too_hard", "line(s) too costly to judge to the end: somebody may try to evade the filter"),
        ("broken_lines", "line(s) passed over after an internal error: please report them, the log has them"),
    ] {
        let count = number(jail, key);
        if count > 0 {
            attention.push(format!("jail '{name}': {count} {what}"));
        }
    }
}

/// So many addresses are told of each cause.
const TOLD: usize = 3;

/// Banned addresses that still get through, by cause. What was mended is history.
fn incidents(jail: &Value, name: &str, attention: &mut Vec<String>) {
    let standing: Vec<&Value> =
        list(jail, "incidents").iter().filter(|incident| !field(incident, "mended").is_true()).collect();
    let mut causes: Vec<&str> = standing.iter().map(|incident| text(incident, "cause")).collect();
    causes.sort_unstable();
    causes.dedup();
    for cause in causes {
        let of_cause = || standing.iter().filter(|incident| text(incident, "cause") == cause);
        for incident in of_cause().take(TOLD) {
            attention.push(format!(
                "jail '{name}': {}. {}",
                text(incident, "problem"),
                text(incident, "remedy")
            ));
        }
        let more = of_cause().count().saturating_sub(TOLD);
        if more > 0 {
            attention.push(format!("jail '{name}': {more} more for the same reason ({cause})"));
        }
    }
}
