//! Where the value of a jail's option came from: each setting that is part of it, and those that it replaces.

use std::sync::Arc;

use super::jails::{self, Checked};
use super::{Place, Remark};
use crate::definition::FILTER_OPTIONS;
use crate::interpolate::{self, Missing};
use crate::jail;
use crate::layers::{Known, Layers, Origin, Section, Setting};
use crate::source::Source;
use crate::stream::{self, Request};

/// References are followed as deep as this, as in interpolation.
const DEEPEST: usize = 10;
/// Of a value that refers to thousands of others, so many steps are told.
const MOST_STEPS: usize = 500;

/// A setting that goes into a value.
#[derive(Clone, Debug)]
pub struct Step {
    /// The section that it stands in.
    pub section: String,
    /// Its name.
    pub option: String,
    /// Its value before anything in it is replaced.
    pub raw: Arc<str>,
    /// Where it stands. The program's own settings have line 0.
    pub origin: Origin,
    /// What it hides: values of files read earlier, newest first, and last that of `[DEFAULT]`; each with its section.
    pub shadowed: Vec<(String, Arc<str>, Origin)>,
    /// What its references stand for, as they are written; nothing for one that no file of the jails has.
    pub references: Vec<(String, Option<Step>)>,
}

/// An option in force.
#[derive(Clone, Debug)]
pub struct Explained {
    /// Its name.
    pub option: String,
    /// Its value, or why there is none.
    pub value: Result<String, String>,
    /// How the value came about, if the jail's files have it.
    pub step: Option<Step>,
    /// Lines that the jail's filter gives for it, each with where it stands and how one gets there.
    pub filter: Vec<(String, Option<Place>, Vec<Remark>)>,
}

/// Why nothing is explained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unexplained {
    /// There is no such jail. With the name that was probably meant.
    #[error("there is no jail '{0}'{1}")]
    Jail(String, String),
    /// The jail has no such option. With the name that was probably meant.
    #[error("jail '{0}' has no option '{1}'{2}")]
    Option(String, String, String),
}

/// Explains one option of a jail, or all that are set.
///
/// # Errors
/// When there is no such jail or option.
pub fn explain(source: &Source, jail: &str, option: Option<&str>) -> Result<Vec<Explained>, Unexplained> {
    let (checked, enabled) = jails::open(source, jail);
    let layers = &checked.layers;
    let Some(section) = layers.section(jail).filter(|_| jail != "INCLUDES") else {
        let hint = hint(jail, layers.sections().map(|(name, _)| name));
        return Err(Unexplained::Jail(jail.to_owned(), hint));
    };
    let sent = if enabled { in_stream(source, jail) } else { Vec::new() };
    let mut names: Vec<&str> = jail::option_names().collect();
    names.extend(
        section.options().map(|(name, _)| name).filter(|name| jail::option_names().all(|n| n != *name)),
    );
    let mut all = names
        .iter()
        .filter(|name| option.is_none_or(|option| option.eq_ignore_ascii_case(name)))
        .filter_map(|name| one(&checked, jail, name, &sent));
    let Some(option) = option else { return Ok(all.collect()) };
    let lower = option.to_lowercase();
    match all.next().or_else(|| one(&checked, jail, &lower, &sent)) {
        Some(explained) => Ok(vec![explained]),
        None if jail::option_names().any(|name| name == lower) => {
            let unset = "not set: the default of the server holds".to_owned();
            Ok(vec![Explained { option: lower, value: Err(unset), step: None, filter: Vec::new() }])
        }
        None => {
            let defaults = layers.defaults.options().map(|(name, _)| name);
            let hint = hint(&lower, names.iter().copied().chain(defaults));
            Err(Unexplained::Option(jail.to_owned(), option.to_owned(), hint))
        }
    }
}

fn hint<'a>(name: &str, among: impl Iterator<Item = &'a str>) -> String {
    super::options::similar(name, among)
        .map_or_else(String::new, |meant| format!("; did you mean '{meant}'?"))
}

/// Nothing if the option is set nowhere.
fn one(checked: &Checked, jail: &str, option: &str, sent: &[(&'static str, String)]) -> Option<Explained> {
    let layers = &checked.layers;
    let mut steps = 0;
    let step = step(layers, jail, option, 0, &mut steps);
    let lines = sent.iter().filter(|(name, _)| *name == option && step.is_none());
    let filter: Vec<_> = lines
        .map(|(_, line)| {
            let (place, remarks) = checked.regex_place(jail, option, line);
            (line.clone(), place, remarks)
        })
        .collect();
    if step.is_none() && filter.is_empty() {
        return None;
    }
    let sent: Vec<&str> =
        sent.iter().filter(|(name, _)| *name == option).map(|(_, line)| line.as_str()).collect();
    let value = match layers.value(jail, option, &[]) {
        Ok(value) => Ok(value.to_string()),
        // `%(known/failregex)s` is known once the filter was read.
        Err(Missing::Fatal(fatal)) if sent.is_empty() => Err(fatal.0),
        Err(_) => Ok(sent.join("\n")),
    };
    Some(Explained { option: option.to_owned(), value, step, filter })
}

/// The options of a filter that an enabled jail gives the server, line by line, be they its own or its filter's.
fn in_stream(source: &Source, jail: &str) -> Vec<(&'static str, String)> {
    let request = Request {
        jail: Some(jail.to_owned()),
        allow_no_files: true,
        jail_by_jail: true,
        ..Request::default()
    };
    let Ok(configuration) = stream::read(source, &request) else { return Vec::new() };
    let mut out = Vec::new();
    for words in &configuration.stream {
        let [_, _, name, rest @ ..] = words.as_slice() else { continue };
        let name = name.as_str().unwrap_or_default();
        let name = name.strip_prefix("add").unwrap_or(name);
        let Some(option) = FILTER_OPTIONS.iter().find(|option| **option == name) else { continue };
        for value in rest {
            match value {
                portcullis_value::Value::List(many) => {
                    out.extend(many.iter().map(|value| (*option, value.to_string())));
                }
                one => out.push((*option, one.to_string())),
            }
        }
    }
    out
}

/// The setting that an option of a section has, own or of `[DEFAULT]`.
fn step(layers: &Layers, section: &str, option: &str, depth: usize, steps: &mut usize) -> Option<Step> {
    let own = layers.section(section)?;
    let (place, setting) = match own.options.get(option) {
        Some(setting) => (section, setting),
        None => ("DEFAULT", layers.defaults.options.get(option)?),
    };
    *steps += 1;
    let mut shadowed: Vec<_> = before(place, setting);
    if place != "DEFAULT"
        && let Some(default) = layers.defaults.options.get(option)
    {
        shadowed.push(("DEFAULT".to_owned(), default.raw.clone(), default.origin.clone()));
    }
    Some(Step {
        section: place.to_owned(),
        option: option.to_owned(),
        raw: setting.raw.clone(),
        origin: setting.origin.clone(),
        shadowed,
        references: references(layers, section, &setting.raw, depth, steps),
    })
}

/// The values of earlier files, newest first.
fn before(section: &str, setting: &Setting) -> Vec<(String, Arc<str>, Origin)> {
    setting.shadowed.iter().rev().map(|(raw, at)| (section.to_owned(), raw.clone(), at.clone())).collect()
}

fn references(
    layers: &Layers,
    section: &str,
    raw: &str,
    depth: usize,
    steps: &mut usize,
) -> Vec<(String, Option<Step>)> {
    let mut out: Vec<(String, Option<Step>)> = Vec::new();
    let mut rest = raw;
    while let Some(at) = rest.find('%') {
        rest = &rest[at..];
        let Some((key, behind)) = interpolate::reference(rest) else {
            rest = rest.get(if rest.starts_with("%%") { 2 } else { 1 }..).unwrap_or_default();
            continue;
        };
        rest = behind;
        let name = format!("%({key})s");
        // `%(__name__)s` stands for the section's name, which is nowhere to be looked up.
        if key == "__name__" || out.iter().any(|(known, _)| *known == name) {
            continue;
        }
        if depth >= DEEPEST || *steps >= MOST_STEPS {
            break;
        }
        let found = find(layers, section, key, depth + 1, steps);
        out.push((name, found));
    }
    out
}

/// What `%(key)s` means within a section.
fn find(layers: &Layers, section: &str, key: &str, depth: usize, steps: &mut usize) -> Option<Step> {
    let lower = key.to_lowercase();
    if let Some(step) = step(layers, section, &lower, depth, steps) {
        return Some(step);
    }
    let (from, option) = key.split_once('/')?;
    let option = option.to_lowercase();
    if from.eq_ignore_ascii_case("known")
        && let Some(step) = known(layers, section, &option, depth, steps)
    {
        return Some(step);
    }
    let from = if matches!(from, "known" | "default") { "DEFAULT" } else { from };
    step(layers, from, &option, depth, steps)
}

/// What an option of the section was before the last file that changed it.
fn known(layers: &Layers, section: &str, option: &str, depth: usize, steps: &mut usize) -> Option<Step> {
    let own: &Section = layers.section(section)?;
    let Some(Known::Text(raw)) = own.known.get(option) else { return None };
    let mut shadowed = before(section, own.options.get(option)?);
    let (section_of, _, origin) = shadowed.iter().find(|(_, text, _)| text == raw)?.clone();
    shadowed.retain(|(_, _, at)| *at != origin);
    *steps += 1;
    Some(Step {
        section: section_of,
        option: option.to_owned(),
        raw: raw.clone(),
        origin,
        shadowed,
        references: references(layers, section, raw, depth, steps),
    })
}
