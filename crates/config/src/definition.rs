//! Filters and actions: a file's `[Definition]` and `[Init]`, what brackets in the jail change, and `<tags>` replaced.

use std::borrow::Cow;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::interpolate::{Missing, Scope, variable};
use crate::layers::{Layers, Reader, Section};
use crate::maps::{HashMap, Map};
use crate::message::{Fatal, Messages};
use crate::python::{int, truth};
use crate::source::normal;
use crate::tags::{Desk, Tags};

/// What a definition is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Filter,
    Action,
}

/// A filter's options that mean something to the server, in the order of its table.
pub(crate) const FILTER_OPTIONS: &[&str] =
    &["usedns", "prefregex", "ignoreregex", "failregex", "maxlines", "datepattern", "journalmatch"];

/// An action's, likewise.
pub(crate) const ACTION_OPTIONS: &[&str] = &[
    "actionstart",
    "actionstart_on_demand",
    "actionstop",
    "actionflush",
    "actionreload",
    "actioncheck",
    "actionrepair",
    "actionrepair_on_unban",
    "actionban",
    "actionprolong",
    "actionreban",
    "actionunban",
    "norestored",
];

/// Those of an action that are true or false.
const ACTION_TRUTHS: &[&str] = &["actionstart_on_demand", "actionrepair_on_unban", "norestored"];

/// Tags of actions that only a ban gives a meaning.
const RUN_TIME_TAGS: &[&str] = &["bantime", "timeout", "matches", "ipmatches", "ipjailmatches"];

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Kind::Filter => "filter.d",
            Kind::Action => "action.d",
        }
    }

    fn options(self) -> &'static [&'static str] {
        match self {
            Kind::Filter => FILTER_OPTIONS,
            Kind::Action => ACTION_OPTIONS,
        }
    }
}

/// A value of a definition.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Value {
    #[default]
    Absent,
    Text(String),
    Truth(bool),
    Int(i64),
}

impl Value {
    pub(crate) fn text(&self) -> String {
        match self {
            Value::Absent => "None".into(),
            Value::Text(text) => text.clone(),
            Value::Truth(true) => "True".into(),
            Value::Truth(false) => "False".into(),
            Value::Int(number) => number.to_string(),
        }
    }
}

/// A filter or an action as a jail uses it.
pub(crate) struct Definition {
    kind: Kind,
    pub(crate) layers: Rc<Layers>,
    /// What `%(…)s` finds before the file's own: the bracket's options, then the jail's.
    variables: Vec<Scope>,
    /// Options of the table that no bracket overrides.
    options: Map<String, Value>,
    /// The bracket's options, then those of `[Init]`, each of these behind a `known/…` of the same value.
    parameters: Map<String, String>,
    /// Tags that were looked for outside of the table. What the first reading found stays, though the second has other
    /// variables.
    found: RefCell<HashMap<String, Option<String>>>,
}

/// The name that files are asked for, and the path of those files without extension.
pub(crate) fn place(kind: Kind, name: &str, directory: &Path) -> (String, PathBuf) {
    if name.starts_with("./") || name.starts_with('/') {
        let path = Path::new(name);
        let path = if path.is_absolute() {
            path.to_owned()
        } else {
            std::env::current_dir().unwrap_or_default().join(path)
        };
        let path = normal(&path);
        return (path.display().to_string(), path);
    }
    let name = format!("{}/{name}", kind.folder());
    let path = directory.join(&name);
    (name, path)
}

impl Definition {
    /// Reads the files. `jail` are the options of the jail that the definition sees, `bracket` those behind its name,
    /// `guess` one more unless the bracket or the files' `[Definition]` have it.
    /// Nothing if there is no file.
    pub(crate) fn read(
        reader: &mut Reader,
        kind: Kind,
        name: &str,
        jail: Scope,
        mut bracket: Vec<(String, String)>,
        guess: Option<(&str, &str)>,
    ) -> Result<Option<Self>, Fatal> {
        let (name, stem) = place(kind, name, reader.source.path());
        let Some(layers) = reader.layers(&name, &stem)? else { return Ok(None) };
        if let Some((option, value)) = guess
            && !bracket.iter().any(|(name, _)| name == option)
            && !layers.section("Definition").is_some_and(|section| section.options.contains_key(option))
        {
            bracket.push((option.to_owned(), value.to_owned()));
        }
        let own = bracket.iter().map(|(name, value)| (name.to_lowercase().into(), Some(value.clone())));
        let variables = vec![Scope::new(own.collect()), jail];
        let mut definition = Definition {
            kind,
            layers,
            variables,
            options: Map::default(),
            parameters: bracket.into_iter().collect(),
            found: RefCell::default(),
        };
        definition.read_options(reader, |_| false)?;
        definition.read_init()?;
        Ok(Some(definition))
    }

    /// Reads the options of the table that no bracket overrides.
    fn read_options(&mut self, reader: &mut Reader, skip: impl Fn(&str) -> bool) -> Result<(), Fatal> {
        for option in self.kind.options() {
            if self.parameters.contains_key(*option) || skip(option) {
                continue;
            }
            let value = match self.defined(option) {
                Ok(text) => Value::Text(text),
                Err(Missing::Fatal(fatal)) => return Err(fatal),
                Err(Missing::Option) => continue,
                Err(Missing::Section) => {
                    no_section(&mut reader.messages);
                    Value::Absent
                }
            };
            self.options.insert((*option).to_owned(), value);
        }
        Ok(())
    }

    fn read_init(&mut self) -> Result<(), Fatal> {
        let Some(init) = self.layers.section("Init") else { return Ok(()) };
        for name in init.options.keys().filter(|name| &***name != "__name__") {
            let value = match self.layers.value("Init", name, &[]) {
                Ok(value) => value,
                Err(Missing::Fatal(fatal)) => return Err(fatal),
                Err(_) => continue,
            };
            self.parameters.insert(format!("known/{name}"), value.clone());
            self.parameters.entry(name.to_string()).or_insert(value);
        }
        Ok(())
    }

    /// Every option in the order in which it is sent, tags replaced.
    pub(crate) fn combined(&self, messages: &mut Messages) -> Result<Vec<(&str, Value)>, Fatal> {
        self.replaced(Map::default(), messages)
    }

    /// As [`Definition::combined`], with everything else that `[Definition]` says: what the jail sees behind `known/`.
    pub(crate) fn everything(&self, messages: &mut Messages) -> Result<Vec<(&str, Value)>, Fatal> {
        let mut besides = Map::default();
        for (name, _) in self.layers.section("Definition").into_iter().flat_map(Section::options) {
            // Also what the bracket overrides.
            if !self.options.contains_key(name) && name != "__name__" {
                match self.layers.value("Definition", name, &[]) {
                    Ok(text) => drop(besides.insert(name, text)),
                    Err(Missing::Fatal(fatal)) => return Err(fatal),
                    Err(_) => {}
                }
            }
        }
        self.replaced(besides, messages)
    }

    /// Reads the options of the table once more, now that the jail's are known: they are variables from now on, and what
    /// the jail has itself is left out. (What brackets or `[Init]` give is not: it is sent besides the jail's.)
    pub(crate) fn read_again(
        &mut self,
        reader: &mut Reader,
        jail: Scope,
        own: impl Fn(&str) -> bool,
    ) -> Result<(), Fatal> {
        // By now the bracket's options and those of `[Init]` are one.
        let parameters = self.parameters.iter();
        let parameters = parameters.map(|(name, value)| (name.to_lowercase().into(), Some(value.clone())));
        if let Some(bracket) = self.variables.first_mut() {
            *bracket = Scope::new(parameters.collect());
        }
        self.variables.push(jail);
        self.options.clear();
        self.read_options(reader, own)
    }

    /// The options of the table, those besides, and the parameters, with their tags replaced.
    fn replaced<'a>(
        &'a self,
        besides: Map<&'a str, String>,
        messages: &mut Messages,
    ) -> Result<Vec<(&'a str, Value)>, Fatal> {
        // A name that has no value is sent, but is no tag.
        let mut values: Map<&str, Option<Cow<str>>> = Map::default();
        values.reserve(self.options.len() + besides.len() + self.parameters.len());
        for (name, value) in &self.options {
            let text = match value {
                Value::Absent => None,
                Value::Text(text) => Some(Cow::Borrowed(text.as_str())),
                other => Some(other.text().into()),
            };
            values.insert(name, text);
        }
        values.extend(besides.into_iter().map(|(name, text)| (name, Some(Cow::Owned(text)))));
        let parameters = self.parameters.iter();
        values.extend(parameters.map(|(name, text)| (name.as_str(), Some(Cow::Borrowed(text.as_str())))));
        // What has a conditional variant is the server's business as a whole.
        let conditional = values.keys().filter(|name| memchr::memchr(b'?', name.as_bytes()).is_some());
        let conditional = conditional.filter(|name| !name.starts_with("known/"));
        let mut untouched: Vec<&str> = conditional.filter_map(|name| Some(name.split_once('?')?.0)).collect();
        if self.kind == Kind::Action {
            untouched.extend(RUN_TIME_TAGS);
        }
        let mut elsewhere = |tag: &str| self.elsewhere(tag);
        let (found, desk) = (self.found.take(), Desk::default());
        let mut tags = Tags { values, untouched, elsewhere: &mut elsewhere, found, desk };
        tags.replace()?;
        self.found.replace(tags.found);
        let values = tags.values.into_iter().map(|(name, text)| {
            let value = text.map_or(Value::Absent, |text| self.typed(name, text.into_owned(), messages));
            (name, value)
        });
        let sent = |(name, value): &(&str, Value)| {
            self.kind == Kind::Action || *name != "maxlines" || *value != Value::Absent
        };
        Ok(values.filter(sent).collect())
    }

    /// The value as the server takes it.
    fn typed(&self, option: &str, text: String, messages: &mut Messages) -> Value {
        if ACTION_TRUTHS.contains(&option) {
            return Value::Truth(truth(&text));
        }
        if self.kind == Kind::Action || option != "maxlines" {
            return Value::Text(text);
        }
        int(&text).map_or_else(
            || {
                let shown = portcullis_value::repr_str(&text);
                let text = format!("Wrong int value {shown} for 'maxlines'. Using default one: None");
                messages.warning("configreader", text);
                Value::Absent
            },
            Value::Int,
        )
    }

    /// What an action is sent: its options, tags replaced, then its parameters, in which the server replaces tags.
    pub(crate) fn properties(&self, messages: &mut Messages) -> Result<Vec<(&str, Value)>, Fatal> {
        let combined = self.combined(messages)?;
        let (options, parameters): (Vec<_>, Vec<_>) =
            combined.into_iter().partition(|(name, _)| self.kind.options().contains(name));
        let raw =
            parameters.into_iter().filter(|(name, _)| !name.starts_with("known/")).map(|(name, value)| {
                let value = self.parameters.get(name).map_or(value, |raw| Value::Text(raw.clone()));
                (name, value)
            });
        Ok(options.into_iter().chain(raw).collect())
    }

    /// The value of an option that the files' `[Definition]` has, or `[DEFAULT]`; a variable of that name hides it.
    fn defined(&self, option: &str) -> Result<String, Missing> {
        if self.layers.has("Definition", option)? {
            self.layers.value("Definition", option, &self.variables)
        } else {
            Err(Missing::Option)
        }
    }

    /// A tag that is no option: `<section/option>`, `<known/option>`, or anything that `[Definition]` says besides.
    fn elsewhere(&self, tag: &str) -> Result<Option<String>, Fatal> {
        let found = match tag.split_once('/') {
            None => match self.defined(tag) {
                Err(Missing::Option | Missing::Section) => {
                    if variable(&self.variables, &tag.to_lowercase()).is_none() {
                        return Ok(None);
                    }
                    self.layers.value("Definition", tag, &self.variables)
                }
                found => found,
            },
            Some(_) if variable(&self.variables, &tag.to_lowercase()).is_some() => {
                self.layers.value("Definition", tag, &self.variables)
            }
            Some(("known", option)) => match self.layers.known_value("Definition", option) {
                Err(Missing::Option | Missing::Section) => self.layers.value("Definition", option, &[]),
                found => found,
            },
            Some((section, option)) => {
                let section = if section == "default" { "DEFAULT" } else { section };
                self.layers.value(section, option, &[])
            }
        };
        match found {
            Ok(value) => Ok(Some(value)),
            Err(Missing::Fatal(fatal)) => Err(fatal),
            Err(_) => Ok(None),
        }
    }
}

fn no_section(messages: &mut Messages) {
    messages.error("configreader", "No section: 'Definition'".into());
}
