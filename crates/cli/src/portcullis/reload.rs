//! `portcullis reload`: the configuration is read again, by all jails or by one, and what came of it is told.

use std::time::Duration;

use portcullis_value::Value;

use super::answer::{field, list, text};
use super::arguments::Reload;
use super::human::count;
use super::paint::{BAD, GOOD};
use super::server::{Failure, PATIENCE, Server};
use super::{NOT_SO, WELL, document, plain, say, to_json};
use crate::client;

/// A hundred jails take their time.
const RELOAD: Duration = Duration::from_secs(600);

/// Reloads. Exit code 1 when something of the configuration is not in force now.
pub(super) fn run(wanted: &Reload) -> Result<u8, Failure> {
    let server = Server::find(&wanted.place)?;
    // Before the configuration is read: whoever has no server need not see its mistakes.
    server.ask(vec!["ping".into()], PATIENCE)?;
    let stream = client::reload_stream(&wanted.place.conf, wanted.jail.clone()).ok_or_else(|| {
        Failure::Configuration("nothing was reloaded: `portcullis check` explains what is wrong".to_owned())
    })?;
    let jail = wanted.jail.as_deref().unwrap_or("--all");
    let mut options = Vec::new();
    for (given, option) in [(wanted.restart, "--restart"), (wanted.unban, "--unban")] {
        options.extend(given.then(|| Value::from(option)));
    }
    let request = vec!["reload".into(), jail.into(), Value::List(options), Value::List(stream)];
    let refused = match server.ask(request, RELOAD) {
        Ok(_) => None,
        Err(Failure::Refused(why)) => Some(why),
        Err(failure) => return Err(failure),
    };
    let report = server.ask(vec!["portcullis-report".into()], PATIENCE)?;
    let problems: Vec<&Value> = list(&report, "problems")
        .iter()
        .filter(|problem| wanted.jail.is_none() || field(problem, "jail").as_str() == wanted.jail.as_deref())
        .collect();
    let well = refused.is_none() && problems.is_empty();
    let jails = list(&report, "jails").len() as i64;
    if wanted.json {
        let problems = problems.iter().map(|problem| to_json(problem)).collect();
        say(&document(vec![
            ("reloaded", well.into()),
            ("jails", jails.into()),
            ("refused", refused.into()),
            ("problems", problems),
        ]));
    } else {
        let mut out = match (&refused, &wanted.jail) {
            (None, None) => format!("{GOOD}●{GOOD:#} reloaded: {}\n", count(jails, "jail")),
            (None, Some(jail)) => format!("{GOOD}●{GOOD:#} reloaded: {jail}\n"),
            (Some(why), _) => format!("{BAD}✗{BAD:#} not all was reloaded: {}\n", plain(why)),
        };
        for problem in problems {
            let whose = match field(problem, "jail").as_str() {
                Some(jail) => format!("jail '{jail}': "),
                None => String::new(),
            };
            out.push_str(&format!("  {BAD}!{BAD:#} {whose}{}\n", plain(text(problem, "problem"))));
        }
        if !well {
            out.push_str("`portcullis check` explains what is wrong.\n");
        }
        say(&out);
    }
    Ok(if well { WELL } else { NOT_SO })
}
