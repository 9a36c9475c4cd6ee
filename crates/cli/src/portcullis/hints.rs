//! What else may be the reason why somebody is not banned: a log that the jail does not read, a ban by another jail or one that
//! is not in force, a mode of the filter that is off.

use std::path::{Path, PathBuf};

use portcullis_config::check::explain;
use portcullis_config::{Source, filter_modes, filter_reference};
use portcullis_value::Value;

use super::answer::{field, items, list, text};
use super::arguments::Explain;
use super::human::{now, span};
use super::server::{PATIENCE, Server};

/// A jail's logs; `None` when nobody knows, as of a jail that reads the journal.
pub(super) enum Logs {
    Files(Vec<PathBuf>),
    Journal(String),
    Unknown,
}

impl Logs {
    /// Of a jail that runs.
    pub(super) fn of_server(server: &Server, jail: &str) -> Logs {
        let ask = |what: &str| server.ask(vec!["get".into(), jail.into(), what.into()], PATIENCE);
        if let Ok(Value::List(files)) = ask("logpath")
            && !files.is_empty()
        {
            return Logs::Files(files.iter().map(|file| file.to_string().into()).collect());
        }
        match ask("journalmatch") {
            Ok(Value::List(groups)) => {
                let group = |group: &Value| {
                    items(group).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
                };
                Logs::Journal(groups.iter().map(group).collect::<Vec<_>>().join(" + "))
            }
            _ => Logs::Unknown,
        }
    }

    /// By the commands of a configuration.
    pub(super) fn of_commands(commands: &[Value], jail: &str) -> Logs {
        let of_jail = |wanted: &'static str| {
            commands.iter().map(items).filter(move |words| {
                words.get(1).and_then(Value::as_str) == Some(jail)
                    && words.get(2).and_then(Value::as_str) == Some(wanted)
            })
        };
        let word = |words: &[Value], at: usize| words.get(at).map(ToString::to_string).unwrap_or_default();
        let backend =
            commands.iter().map(items).find(|words| word(words, 0) == "add" && word(words, 1) == jail);
        if backend.is_some_and(|words| word(words, 2).to_lowercase().starts_with("systemd")) {
            let matches = of_jail("addjournalmatch")
                .map(|words| words[3..].iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
            return Logs::Journal(matches.collect::<Vec<_>>().join(" + "));
        }
        Logs::Files(of_jail("addlogpath").map(|words| word(words, 3).into()).collect())
    }

    /// What is to be said when somebody asks this jail about lines of that file.
    pub(super) fn without(&self, jail: &str, file: &Path) -> Option<String> {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        match self {
            Logs::Files(files) if files.iter().any(|known| real(known) == real(file)) => None,
            Logs::Files(files) => {
                let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
                let names = if names.is_empty() { "no file".to_owned() } else { names.join(", ") };
                Some(format!(
                    "the jail '{jail}' does not read {}: it reads {names} (logpath)",
                    file.display()
                ))
            }
            Logs::Journal(matches) => {
                let matches = if matches.is_empty() {
                    "all of it".to_owned()
                } else {
                    format!("journalmatch = {matches}")
                };
                Some(format!(
                    "the jail '{jail}' does not read {}: it reads the systemd journal, {matches}",
                    file.display()
                ))
            }
            Logs::Unknown => None,
        }
    }
}

/// What a running server knows of the offenders of a line beyond that jail: bans by others, and whether a ban is in force.
pub(super) fn of_bans(server: &Server, jail: &str, line: &Value) -> Vec<String> {
    let addresses: Vec<Value> =
        list(line, "offenders").iter().map(|offender| field(offender, "address").clone()).collect();
    if addresses.is_empty() {
        return Vec::new();
    }
    let asked = vec![("addresses", Value::List(addresses))];
    let Ok(known) = server.ours("portcullis-banned", asked, PATIENCE) else { return Vec::new() };
    let mut hints = Vec::new();
    for address in items(&known) {
        let name = text(address, "address");
        for ban in list(address, "bans") {
            let by = text(ban, "jail");
            if by != jail {
                let end = super::answer::seconds(ban, "end").map_or("for ever".to_owned(), |end| {
                    format!("for another {}", span((end - now()).max(0.0)))
                });
                hints.push(format!("{name} is banned by the jail '{by}', {end}"));
            }
            if text(ban, "enforcement") == "failed" {
                let reasons = list(ban, "actions").iter().map(|action| text(action, "reason"));
                let reasons: Vec<&str> = reasons.filter(|reason| !reason.is_empty()).collect();
                let reasons =
                    if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) };
                hints.push(format!(
                    "the ban of {name} by the jail '{by}' is NOT in force{reasons}. `portcullis status` tells more"
                ));
            }
        }
    }
    hints
}

/// The filter of a jail and its options, by the configuration.
pub(super) fn filter_of(wanted: &Explain, jail: &str) -> Option<(String, Vec<(String, String)>)> {
    let source = Source::with_catalogue(&wanted.place.conf);
    let options = explain(&source, jail, Some("filter")).ok()?;
    let given = options.into_iter().next()?.value.ok()?;
    filter_reference(&given).ok().filter(|(name, _)| !name.is_empty())
}

/// The modes of the filter in which it would take the line, when it does not as it is. `matches` tells whether it does with such
/// options.
pub(super) fn of_modes(
    wanted: &Explain,
    (name, options): &(String, Vec<(String, String)>),
    matches: impl Fn(&[(String, String)]) -> bool,
) -> Option<String> {
    let source = Source::with_catalogue(&wanted.place.conf);
    let others = |mode: &String| {
        let mut options: Vec<(String, String)> =
            options.iter().filter(|(option, _)| option != "mode").cloned().collect();
        options.push(("mode".to_owned(), mode.clone()));
        matches(&options)
    };
    let modes: Vec<String> = filter_modes(&source, name).into_iter().filter(others).collect();
    let first = modes.first()?;
    let all = modes.join(" or ");
    Some(format!(
        "with mode = {all} the filter would take it (mode = {first} in the jail, or filter = {name}[mode={first}])"
    ))
}
