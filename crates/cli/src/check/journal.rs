//! Logs that are not there, and whether the journal has what would have been in them.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portcullis_config::Message;
use portcullis_config::check::{Problem, Severity};
use portcullis_value::Value;

use super::Jail;

/// How long `journalctl` may take for one line.
const PATIENCE: Duration = Duration::from_secs(5);
/// No line of its short form is looked at any further.
const LONGEST: usize = 200;

/// Tells that a jail has no log file, if it was told so when the jail was read.
pub(super) fn look(jail: &Jail, messages: &[Message], problems: &mut Vec<Problem>) {
    let none = format!("Have not found any log file for {} jail", jail.name);
    if !messages.iter().any(|message| message.text == none) {
        return;
    }
    let paths = jail.checked.value(jail.name, "logpath").unwrap_or_default();
    let first = paths.lines().find(|line| !line.is_empty()).unwrap_or_default();
    let (place, remarks) = jail.checked.text_place(jail.name, "logpath", first);
    let problem =
        Problem::new(Severity::Error, "missing-log", format!("jail `{}` has no log to read", jail.name))
            .at(place, "no file matches")
            .noting(remarks);
    let problem = match jail.checked.option_place(jail.name, "enabled") {
        Some(place) => problem.remark("the jail is enabled here", place),
        None => problem,
    };
    problems.push(in_journal(jail, problem));
}

/// Adds what the journal has to say.
fn in_journal(jail: &Jail, problem: Problem) -> Problem {
    let matches: Vec<&Value> = jail.set("addjournalmatch").flatten().collect();
    let words: Vec<&str> = matches.iter().filter_map(|word| word.as_str()).collect();
    if words.is_empty() {
        return problem
            .note("nothing says how to find the service in the journal: neither filter nor jail has a `journalmatch`")
            .hint("correct `logpath`; or, if the service logs to the journal, set `backend = systemd` and `journalmatch`");
    }
    let shown = words.join(" ");
    match last_line(&words) {
        Some(line) if !line.is_empty() => problem
            .note(format!("the journal has lines of `{shown}`, the last one: {line}"))
            .hint("set `backend = systemd`: the journal has what this jail looks for"),
        Some(_) => problem
            .note(format!("the journal has no line of `{shown}` either"))
            .hint("correct `logpath`; is the service installed, and does it log?"),
        None => {
            problem.hint("correct `logpath`, or set `backend = systemd` if the service logs to the journal")
        }
    }
}

/// The beginning of the last line of the journal that matches; empty if there is none. Nothing if there is no journal.
fn last_line(matches: &[&str]) -> Option<String> {
    let mut child = Command::new("journalctl")
        .args(["--quiet", "--no-pager", "--lines=1", "--output=short-iso", "--"])
        .args(matches)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let begin = Instant::now();
    let status = loop {
        match child.try_wait().ok()? {
            Some(status) => break status,
            None if begin.elapsed() > PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    if !status.success() {
        return None;
    }
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(child.stdout.take()?, 1 << 16), &mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().next_back().unwrap_or_default();
    Some(line.chars().filter(|c| !c.is_control()).take(LONGEST).collect())
}
