//! `portcullis check`: every problem of a configuration at once, with its place and what to do.
//!
//! What the files' text tells comes from [`portcullis_config::check`]. Added here is what needs regular expressions,
//! scripts of actions, or a look at this machine.

mod journal;
mod listening;
mod regexes;
mod render;
mod tools;
mod values;

use std::process::ExitCode;

use portcullis_config::check::{Checked, Problem, Severity};
use portcullis_config::{Source, check};
use portcullis_daemon::act::preflight;
use portcullis_value::{Command, Value};
use serde_json::{Value as Json, json};

use crate::portcullis::Check;

/// Programs are looked for here as well: who checks may not have the server's `PATH`.
const SYSTEM: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Checks, and tells. Exit code 1 if there are errors.
pub(crate) fn run(arguments: &Check) -> ExitCode {
    let source = Source::with_catalogue(&arguments.conf);
    let path = std::env::var("PATH").unwrap_or_default();
    let path = preflight::Path::new(if path.is_empty() { SYSTEM.into() } else { format!("{path}:{SYSTEM}") });
    let (problems, jails) = problems(&source, &path, arguments.all);
    let count = |severity| problems.iter().filter(|problem| problem.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let sum = render::sum(errors, warnings, jails, arguments.all, &arguments.conf);
    let out = if arguments.json {
        let list: Vec<Json> = problems.iter().map(as_json).collect();
        let all = json!({ "schema": 1, "errors": errors, "warnings": warnings, "problems": list });
        format!("{all:#}\n")
    } else {
        let mut out = String::new();
        for problem in &problems {
            out.push_str(&render::problem(problem, &annotate_snippets::Renderer::styled()));
            out.push_str("\n\n");
        }
        out + &sum + "\n"
    };
    // A reader that has seen enough is no error.
    let _ = std::io::Write::write_all(&mut anstream::stdout().lock(), out.as_bytes());
    ExitCode::from(u8::from(errors > 0))
}

/// All problems, and how many jails were looked at.
fn problems(source: &Source, path: &preflight::Path, all: bool) -> (Vec<Problem>, usize) {
    let mut checked = check::check(source, all);
    let mut problems = std::mem::take(&mut checked.problems);
    if let Some(configuration) = checked.configuration.take() {
        let settings = portcullis_config::Settings::read(source.path()).unwrap_or_default();
        let sockets = listening::Sockets::of_this_machine();
        for jail in &configuration.jails {
            let jail = Jail { name: jail, commands: of_jail(&configuration.stream, jail), checked: &checked };
            let mut found = Vec::new();
            regexes::look(&jail, &mut found);
            // What is missing on this machine is no fault of a jail that nobody wants.
            let enabled = checked.is_enabled(jail.name);
            if enabled {
                journal::look(&jail, &configuration.messages, &mut found);
            }
            values::look(&jail, &mut found);
            if enabled {
                let actions = tools::actions(&jail);
                tools::look(&jail, &actions, settings.of(jail.name), path, &mut found);
                listening::look(&jail, &actions, &sockets, &mut found);
            }
            // What was told of the same line already explains it.
            found.retain(|new| {
                let told = |old: &Problem| old.severity == Severity::Error && same_line(old, new);
                !problems.iter().any(|old| told(old) || repeats(old, new))
            });
            problems.extend(found);
        }
    }
    let jails = checked.jails().count();
    (problems, jails)
}

/// Whether `old` is about the line of `new`, be it in a remark.
fn same_line(old: &Problem, new: &Problem) -> bool {
    let Some(new) = &new.place else { return false };
    let remarks = old.remarks.iter().filter_map(|remark| remark.place.as_ref());
    old.place.iter().chain(remarks).any(|old| old.file == new.file && old.line == new.line)
}

/// Two jails with one filter or one `[DEFAULT]` have the same problem once.
fn repeats(a: &Problem, b: &Problem) -> bool {
    a.code == b.code && a.place.is_some() && a.place == b.place && a.label == b.label
}

/// A jail that can be read, with the commands for it.
struct Jail<'a> {
    name: &'a str,
    commands: Vec<&'a Command>,
    checked: &'a Checked,
}

impl Jail<'_> {
    /// What follows `set JAIL OPTION`, of each such command.
    fn set<'c>(&'c self, option: &'c str) -> impl Iterator<Item = &'c [Value]> {
        self.commands.iter().filter_map(move |words| match words.as_slice() {
            [_, _, name, rest @ ..] if name.as_str() == Some(option) => Some(rest),
            _ => None,
        })
    }
}

fn of_jail<'a>(stream: &'a [Command], jail: &str) -> Vec<&'a Command> {
    let set = |word: &Value| matches!(word.as_str(), Some("set" | "multi-set"));
    stream
        .iter()
        .filter(|words| words.first().is_some_and(set) && words.get(1).and_then(Value::as_str) == Some(jail))
        .collect()
}

fn as_json(problem: &Problem) -> Json {
    let place = |place: &check::Place| {
        json!({
            "file": place.file.to_string_lossy(),
            "line": place.line,
            "column": place.column(),
            "text": place.marked(),
        })
    };
    let remarks: Vec<Json> = problem
        .remarks
        .iter()
        .map(|remark| json!({ "text": remark.text, "place": remark.place.as_ref().map(place) }))
        .collect();
    json!({
        "severity": match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        },
        "code": problem.code,
        "title": problem.title,
        "place": problem.place.as_ref().map(place),
        "label": problem.label,
        "notes": remarks,
        "hint": problem.hint,
    })
}
