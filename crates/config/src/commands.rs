//! What a jail that was read becomes: the commands that make the server run it, in Fail2ban's order.

use std::path::Path;

use portcullis_value::{Command, Value as Py, json_text};

use crate::definition::{FILTER_OPTIONS, Replaced, Value};
use crate::glob;
use crate::jail::{Action, FIRST_OPTIONS, Jail, OPTIONS};
use crate::maps::HashMap;
use crate::message::{Fatal, Messages};
use crate::python::{is_space, shell_words};

impl Jail {
    /// The commands that add and configure the jail. Log files are looked for now; that there is none is an error unless
    /// `allow_no_files`.
    pub(crate) fn commands(
        &self,
        messages: &mut Messages,
        logs: &mut Logs,
        allow_no_files: bool,
    ) -> Result<Vec<Command>, Fatal> {
        let mut commands: Vec<Command> = Vec::with_capacity(OPTIONS.len());
        commands.push(command(["add", &self.name, self.text("backend")]));
        let combined = self.filter.as_ref().map(|filter| filter.combined(messages)).transpose()?;
        let own = FILTER_OPTIONS.iter();
        let own = own.filter_map(|option| Some((*option, self.options.get(option)?.borrowed()))).collect();
        let jail = self.name.as_str();
        let own_commands = filter_commands(jail, own)?;
        commands.extend(own_commands.first);
        if let Some(combined) = combined {
            let filter = filter_commands(jail, combined)?;
            commands.extend(filter.first);
            commands.extend(filter.rest);
        }
        commands.extend(own_commands.rest);
        for (option, ..) in OPTIONS.iter().filter(|(option, ..)| is_sent(option)) {
            if let Some(value) = self.options.get(option) {
                commands.extend(option_command(jail, option, value.borrowed()));
            }
        }
        self.log_commands(&mut commands, messages, logs, allow_no_files)?;
        for action in &self.actions {
            action_commands(jail, action, &mut commands, messages)?;
        }
        Ok(commands)
    }

    /// Where the jail looks for its logs, if it has none: what Fail2ban's words for that leave out.
    pub(crate) fn missing_logs(&self, why: &str) -> Option<String> {
        match self.options.get("logpath") {
            Some(Value::Text(paths)) if why.starts_with("Have not found any log file") => {
                Some(paths.split('\n').collect::<Vec<_>>().join(", "))
            }
            _ => None,
        }
    }

    fn log_commands(
        &self,
        commands: &mut Vec<Command>,
        messages: &mut Messages,
        logs: &mut Logs,
        allow_no_files: bool,
    ) -> Result<(), Fatal> {
        let Some(Value::Text(paths)) = self.options.get("logpath") else { return Ok(()) };
        if self.reads_journal() {
            return Ok(());
        }
        let mut found = false;
        for line in paths.split('\n') {
            let (pattern, from) = line.rsplit_once(' ').unwrap_or((line, "head"));
            let files = logs.files(pattern);
            if files.is_empty() {
                messages.notice("jailreader", format!("No file(s) found for glob {pattern}"));
            }
            for (file, readable) in files {
                if *readable {
                    found = true;
                    commands.push(command(["set", &self.name, "addlogpath", file, from]));
                } else {
                    let text = format!("File {file} is a dangling link, thus cannot be monitored");
                    messages.warning("jailreader", text);
                }
            }
        }
        if found {
            return Ok(());
        }
        let text = format!("Have not found any log file for {} jail", self.name);
        if !allow_no_files {
            let Some(place) = &self.logpath_at else { return Err(Fatal(text)) };
            let paths = paths.split('\n').collect::<Vec<_>>().join(", ");
            return Err(Fatal(format!(
                "{text}: {paths} ({place}). Correct logpath, or set backend = systemd if the service logs to the journal"
            )));
        }
        messages.warning("jailreader", text);
        Ok(())
    }
}

/// Log files that were looked for: many jails have the same.
#[derive(Default)]
pub(crate) struct Logs {
    /// By pattern: the files that match, and whether there is more than a link that leads nowhere.
    found: HashMap<String, Vec<(String, bool)>>,
}

impl Logs {
    fn files(&mut self, pattern: &str) -> &[(String, bool)] {
        self.found.entry(pattern.to_owned()).or_insert_with(|| {
            let there = |file: String| {
                let there = Path::new(&file).exists();
                (file, there)
            };
            glob::files(pattern).into_iter().map(there).collect()
        })
    }
}

/// These words, with room for one more.
fn command<const N: usize>(words: [&str; N]) -> Command {
    let mut command = Vec::with_capacity(N + 1);
    command.extend(words.into_iter().map(Py::from));
    command
}

/// Commands that configure a filter: those that must come before any expression, and the others.
#[derive(Default)]
struct FilterCommands {
    first: Vec<Command>,
    rest: Vec<Command>,
}

fn filter_commands(jail: &str, options: Vec<(&str, Replaced)>) -> Result<FilterCommands, Fatal> {
    let mut commands = FilterCommands::default();
    let set = |option, value| {
        let mut command = command(["set", jail, option]);
        command.push(python(value));
        command
    };
    for (option, value) in options {
        match (option, value) {
            (_, Value::Absent) => {}
            ("usedns", value) => commands.first.insert(0, set(option, value)),
            ("prefregex" | "maxlines", value) => commands.first.push(set(option, value)),
            ("failregex" | "ignoreregex", value) => {
                let text = value.text();
                let expressions: Vec<Py> =
                    text.split('\n').filter(|line| !line.is_empty()).map(Py::from).collect();
                let many = if expressions.len() > 1 { "multi-set" } else { "set" };
                let mut command = command([
                    many,
                    jail,
                    if option == "failregex" { "addfailregex" } else { "addignoreregex" },
                ]);
                match expressions.len() {
                    0 => continue,
                    1 => command.extend(expressions),
                    _ => command.push(Py::List(expressions)),
                }
                commands.rest.push(command);
            }
            ("journalmatch", value) => {
                let text = value.text();
                for line in text.split('\n').filter(|line| !line.is_empty()) {
                    let words = shell_words(line).map_err(|why| Fatal(why.into()))?;
                    let mut command = command(["set", jail, "addjournalmatch"]);
                    command.extend(words.into_iter().map(Py::from));
                    commands.rest.push(command);
                }
            }
            // Fail2ban 1.0.2 asks whether the name is *part of* "datepattern", so `p` and `date` are sent as well.
            (option, value) if "datepattern".contains(option) => commands.rest.push(set(option, value)),
            _ => {}
        }
    }
    Ok(commands)
}

/// Whether a jail's option is sent as it is.
fn is_sent(option: &str) -> bool {
    !FIRST_OPTIONS.contains(&option)
        && !FILTER_OPTIONS.contains(&option)
        && !matches!(option, "logpath" | "action")
}

fn option_command(jail: &str, option: &str, value: Replaced) -> Option<Command> {
    if option == "ignoreip" {
        let mut command = command(["set", jail, "addignoreip"]);
        let Value::Text(text) = value else { return None };
        let words = text
            .split([' ', ',', '\n'])
            .map(|word| word.trim_matches(is_space))
            .filter(|word| !word.is_empty());
        command.extend(words.map(Py::from));
        return Some(command);
    }
    let mut command = command(["set", jail, option]);
    command.push(python(value));
    Some(command)
}

fn python(value: Replaced) -> Py {
    match value {
        Value::Absent => Py::None,
        Value::Text(text) => Py::Str(text.into_owned()),
        Value::Truth(truth) => Py::Bool(truth),
        Value::Int(number) => Py::Int(number),
    }
}

fn action_commands(
    jail: &str,
    action: &Action,
    commands: &mut Vec<Command>,
    messages: &mut Messages,
) -> Result<(), Fatal> {
    match action {
        Action::Python { name, file, options } => {
            commands.push(command(["set", jail, "addaction", name, file, &json(options)]));
        }
        Action::Commands { name, definition } => {
            let pairs = definition.properties(messages)?;
            let pairs =
                pairs.into_iter().map(|(name, value)| Py::List(vec![name.into(), python(value)])).collect();
            commands.push(command(["set", jail, "addaction", name]));
            let mut properties = command(["multi-set", jail, "action", name]);
            properties.push(Py::List(pairs));
            commands.push(properties);
        }
    }
    Ok(())
}

/// A flat object as `json.dumps` writes it.
fn json(options: &[(String, String)]) -> String {
    let mut out = String::from("{");
    for (index, (name, value)) in options.iter().enumerate() {
        out.push_str(if index > 0 { ", " } else { "" });
        json_text(name, true, &mut out);
        out.push_str(": ");
        json_text(value, true, &mut out);
    }
    out + "}"
}
