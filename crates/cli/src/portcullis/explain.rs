//! `portcullis explain`: what becomes of a line, step by step. "Why is it not banned?" has its answer here.

use std::path::Path;

use portcullis_config::{Source, filter_reference, read_filter};
use portcullis_value::Value;

use super::answer::{field, is, items, list, number, seconds, text};
use super::arguments::Explain;
use super::hints::{self, Logs};
use super::human::{clock, now, span};
use super::paint::{BAD, FAINT, GOOD, NOTE, STRONG};
use super::server::{Failure, PATIENCE, Server};
use super::{NOT_SO, WELL, document, plain, say, to_json};
use crate::client;
use crate::regex::World;

/// The name of the jail that a filter without one gets.
const NOBODYS: &str = "-";
/// Of a long line so many characters are shown before the place that matters.
const CONTEXT: usize = 100;

/// Where the answer comes from.
enum By {
    Server,
    Configuration,
    Filter,
}

/// What is known of the lines, and what of the jail as a whole.
struct Answer {
    by: By,
    told: Value,
    notes: Vec<String>,
}

/// Explains. Exit code 1 when the last line does not count as a failure.
pub(super) fn run(wanted: &Explain) -> Result<u8, Failure> {
    let lines = lines(wanted)?;
    let Answer { by, mut told, notes } = match (&wanted.jail, &wanted.filter) {
        (Some(jail), _) => by_jail(wanted, jail, &lines)?,
        (None, filter) => {
            let filter = named(filter.as_deref().unwrap_or_default())?;
            let told = of_filter(by_commands(&filter_commands(wanted, &filter)?, NOBODYS, &lines)?);
            Answer { by: By::Filter, told, notes: Vec::new() }
        }
    };
    add_modes(wanted, &mut told);
    let counts = items(&told).last().is_some_and(|line| {
        matches!(text(line, "outcome"), "counted" | "last-straw" | "banned" | "future" | "failure")
    });
    if wanted.json {
        let by = match by {
            By::Server => "server",
            By::Configuration => "configuration",
            By::Filter => "filter",
        };
        let notes: Vec<serde_json::Value> = notes.into_iter().map(Into::into).collect();
        say(&document(vec![("by", by.into()), ("notes", notes.into()), ("lines", to_json(&told))]));
    } else {
        if matches!(by, By::Configuration) {
            say(&format!(
                "{NOTE}!{NOTE:#} no server answers: by the configuration alone, as if nobody had failed before\n\n"
            ));
        }
        for note in notes {
            say(&format!("{NOTE}!{NOTE:#} {}\n\n", plain(&note)));
        }
        let told = items(&told).iter().map(|line| shown(line, &by)).collect::<Vec<_>>();
        say(&told.join("\n"));
    }
    Ok(if counts { WELL } else { NOT_SO })
}

/// The line, or the last lines of the file.
fn lines(wanted: &Explain) -> Result<Vec<String>, Failure> {
    if !Path::new(&wanted.line).is_file() {
        return Ok(vec![wanted.line.trim_end_matches(['\r', '\n']).to_owned()]);
    }
    let read = std::fs::read(&wanted.line);
    let bytes = read.map_err(|error| Failure::Refused(format!("{}: {error}", wanted.line)))?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return Err(Failure::Refused(format!("{} is empty: there is no line to explain", wanted.line)));
    }
    Ok(lines[lines.len().saturating_sub(usize::from(wanted.number))..].to_vec())
}

fn by_jail(wanted: &Explain, jail: &str, lines: &[String]) -> Result<Answer, Failure> {
    let file = Path::new(&wanted.line);
    let notes =
        |logs: &Logs| file.is_file().then(|| logs.without(jail, file)).flatten().into_iter().collect();
    if !wanted.offline {
        let server = Server::find(&wanted.place)?;
        let texts = Value::List(lines.iter().map(|line| line.as_str().into()).collect());
        match server.ours("portcullis-explain", vec![("jail", jail.into()), ("lines", texts)], PATIENCE) {
            Err(Failure::NotRunning { .. }) => {}
            answer => {
                let mut told = answer?;
                each_line(&mut told, |line| hints::of_bans(&server, jail, line));
                let notes = notes(&Logs::of_server(&server, jail));
                return Ok(Answer { by: By::Server, told, notes });
            }
        }
    }
    let stream = client::reload_stream(&wanted.place.conf, Some(jail.to_owned())).ok_or_else(|| {
        Failure::Configuration(format!(
            "the configuration makes no jail '{jail}' (not enabled, or no log is there): `portcullis check` explains what is wrong"
        ))
    })?;
    let told = by_commands(&stream, jail, lines)?;
    Ok(Answer { by: By::Configuration, told, notes: notes(&Logs::of_commands(&stream, jail)) })
}

/// Adds hints to each line.
fn each_line(told: &mut Value, hints: impl Fn(&Value) -> Vec<String>) {
    let Value::List(lines) = told else { return };
    for line in lines {
        let new = hints(line);
        let Value::Dict(fields) = line else { continue };
        let new = new.into_iter().map(Value::from);
        match fields.iter_mut().find(|(name, _)| name.as_str() == Some("hints")) {
            Some((_, Value::List(known))) => known.extend(new),
            _ => fields.push(("hints".into(), Value::List(new.collect()))),
        }
    }
}

/// Of lines that nothing matches: whether the filter would take them in another of its modes.
fn add_modes(wanted: &Explain, told: &mut Value) {
    let filter = match (&wanted.jail, &wanted.filter) {
        (Some(jail), _) => hints::filter_of(wanted, jail),
        (None, filter) => filter.as_deref().and_then(|filter| named(filter).ok()),
    };
    each_line(told, |line| {
        let no_failure = |line: &Value| matches!(text(line, "outcome"), "missed" | "no-failure");
        let Some(filter) = filter.as_ref().filter(|_| no_failure(line)) else { return Vec::new() };
        let matches = |options: &[(String, String)]| {
            let other = (filter.0.clone(), options.to_vec());
            let line = [text(line, "line").to_owned()];
            let told =
                filter_commands(wanted, &other).and_then(|commands| by_commands(&commands, NOBODYS, &line));
            told.is_ok_and(|told| items(&told).iter().any(|line| !no_failure(line)))
        };
        hints::of_modes(wanted, filter, matches).into_iter().collect()
    });
}

fn by_commands(commands: &[Value], jail: &str, lines: &[String]) -> Result<Value, Failure> {
    portcullis_daemon::explain(commands, jail, lines, &mut World::default()).map_err(|exception| {
        if exception.class.ends_with("UnknownJailException") {
            return Failure::NoJail { name: jail.to_owned(), known: Vec::new() };
        }
        Failure::Refused(exception.to_string())
    })
}

/// A filter's name, or the path of its file without an extension, and its options.
fn named(filter: &str) -> Result<(String, Vec<(String, String)>), Failure> {
    let (name, options) = filter_reference(filter)
        .map_err(|why| Failure::Refused(format!("'{filter}' is no filter's name with options: {why}")))?;
    let name = if name.contains('/') {
        let path = std::path::absolute(&name).unwrap_or_default().display().to_string();
        path.strip_suffix(".conf").or_else(|| path.strip_suffix(".local")).unwrap_or(&path).to_owned()
    } else {
        name.trim_end_matches(".conf").to_owned()
    };
    Ok((name, options))
}

/// The commands that make a jail of nothing but a filter.
fn filter_commands(
    wanted: &Explain,
    (name, options): &(String, Vec<(String, String)>),
) -> Result<Vec<Value>, Failure> {
    let refused = |text: String| Failure::Refused(text);
    let source = Source::with_catalogue(&wanted.place.conf);
    let missing =
        || refused(format!("there is no filter '{name}' in {}/filter.d", wanted.place.conf.display()));
    let filter = read_filter(&source, name, options.clone(), "file")
        .map_err(|error| refused(format!("the filter '{name}' cannot be read: {error}")))?
        .ok_or_else(missing)?;
    let set = |what: &str, value: &str| {
        Value::List(["set", NOBODYS, what, value].into_iter().map(Value::from).collect())
    };
    let mut commands = vec![Value::List(["add", NOBODYS, "polling"].into_iter().map(Value::from).collect())];
    // No line is too old for a filter.
    commands.push(set("findtime", "1000y"));
    for option in ["usedns", "maxlines", "prefregex"] {
        commands.extend(filter.option(option).map(|value| set(option, value)));
    }
    commands.extend(filter.lines("failregex").map(|regex| set("addfailregex", regex)));
    commands.extend(filter.lines("ignoreregex").map(|regex| set("addignoreregex", regex)));
    commands.extend(filter.option("datepattern").map(|pattern| set("datepattern", pattern)));
    Ok(commands)
}

/// A filter knows of failures and nothing of bans.
fn of_filter(told: Value) -> Value {
    let Value::List(lines) = told else { return told };
    let lines = lines.into_iter().map(|line| {
        let Value::Dict(mut fields) = line else { return line };
        let outcome = |fields: &[(Value, Value)]| {
            let found = fields.iter().find(|(key, _)| key.as_str() == Some("outcome"));
            found.map(|(_, value)| value.to_string()).unwrap_or_default()
        };
        if matches!(outcome(&fields).as_str(), "counted" | "last-straw" | "future" | "no-date" | "ignored") {
            for (key, value) in &mut fields {
                match key.as_str() {
                    Some("outcome") => *value = "failure".into(),
                    Some("why") => *value = "a failure (--jail tells whether it leads to a ban)".into(),
                    _ => {}
                }
            }
        }
        Value::Dict(fields)
    });
    Value::List(lines.collect())
}

fn shown(line: &Value, by: &By) -> String {
    let mut out = String::new();
    let whole: Vec<char> = plain(text(line, "line")).chars().collect();
    let nearest = field(line, "nearest");
    let column = usize::try_from(number(nearest, "column")).unwrap_or(0).min(whole.len());
    // With a caret, the line is shown around it.
    let from = column.saturating_sub(CONTEXT);
    let (dots, part) = if from > 0 { ("…", &whole[from..]) } else { ("", &whole[..]) };
    let part: String = part.iter().take(2 * CONTEXT).collect();
    out.push_str(&format!("{STRONG}{dots}{part}{STRONG:#}\n"));
    if *nearest != Value::None {
        let wanted = match text(nearest, "wanted") {
            "" => "up to here all matched, but not all of it together".to_owned(),
            "$" => "the line should end here".to_owned(),
            wanted => format!("wanted here: {}", shortened(wanted)),
        };
        let gap = " ".repeat(column - from + dots.chars().count());
        out.push_str(&format!("{gap}{BAD}^ {}{BAD:#}\n", plain(&wanted)));
    }
    let mut say = |name: &str, value: String| out.push_str(&format!("  {FAINT}{name:<11}{FAINT:#}{value}\n"));
    let date = field(line, "date");
    say("date", shown_date(date));
    if *date != Value::None {
        say("without it", plain(text(line, "text")));
    }
    for (name, key) in [("matched", "failregex"), ("ignored by", "ignoreregex")] {
        let regex = field(line, key);
        if *regex != Value::None {
            say(name, numbered(regex, key));
        }
    }
    if *nearest != Value::None {
        say("nearest", numbered(field(nearest, "regex"), "failregex"));
        say("it found", plain(text(nearest, "found")));
    }
    if let Value::Dict(captured) = field(line, "captured") {
        let shown = captured.iter().map(|(name, value)| format!("{name} = {}", plain(&value.to_string())));
        let shown = shown.collect::<Vec<_>>().join(", ");
        if !shown.is_empty() {
            say("captured", shown);
        }
    }
    if !matches!(by, By::Filter) {
        for offender in list(line, "offenders") {
            say("offender", about(offender));
        }
    }
    let outcome = text(line, "outcome");
    let (mark, style) = match outcome {
        "counted" | "last-straw" | "banned" | "failure" => ("●", GOOD),
        "future" | "no-failure" => ("!", NOTE),
        _ => ("✗", BAD),
    };
    out.push_str(&format!("{style}{mark}{style:#} {}\n", plain(text(line, "why"))));
    for hint in list(line, "hints") {
        out.push_str(&format!("{NOTE}!{NOTE:#} {}\n", plain(&hint.to_string())));
    }
    out
}

fn shown_date(date: &Value) -> String {
    if *date == Value::None {
        return "none was found".to_owned();
    }
    let read = match (seconds(date, "time"), seconds(date, "age")) {
        (Some(time), Some(age)) => {
            let distance =
                if age < 0.0 { format!("in {}", span(-age)) } else { format!("{} ago", span(age)) };
            format!("{} ({distance})", clock(time, now()))
        }
        _ => "which is no date that there is".to_owned(),
    };
    format!("{}: {read}, by {}", plain(text(date, "text")), plain(text(date, "template")))
}

fn numbered(regex: &Value, kind: &str) -> String {
    let name = match field(regex, "number") {
        Value::Int(number) => format!("{kind} {number}"),
        _ => "prefregex".to_owned(),
    };
    format!("{name}: {}", plain(text(regex, "regex")))
}

fn about(offender: &Value) -> String {
    let mut facts = Vec::new();
    if let Some(rule) = field(offender, "ignored_by").as_str() {
        facts.push(format!("ignored by {rule}"));
    } else if !text(offender, "ignorecommand").is_empty() {
        facts.push("not ignored, unless the ignorecommand says so".to_owned());
    } else {
        facts.push("not ignored".to_owned());
    }
    let failures = seconds(offender, "failures").unwrap_or_default();
    facts.push(format!("{failures} of {} failures before this line", number(offender, "maxretry")));
    facts.push(if is(offender, "banned") { "banned" } else { "not banned" }.to_owned());
    format!("{STRONG}{}{STRONG:#}: {}", plain(text(offender, "address")), plain(&facts.join(", ")))
}

fn shortened(pattern: &str) -> String {
    if pattern.chars().count() <= 60 {
        return pattern.to_owned();
    }
    pattern.chars().take(57).chain("...".chars()).collect()
}
