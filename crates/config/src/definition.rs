//! Filters and actions: a file's `[Definition]` and `[Init]`, what brackets in the jail change, and `<tags>` replaced.

use std::borrow::Cow;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use crate::interpolate::{Missing, Scope, lower, variable};
use crate::layers::{Init, Known, Layers, Reader, Section};
use crate::maps::Map;
use crate::message::{Fatal, Messages};
use crate::python::{int, truth};
use crate::source::normal;
use crate::tags::{Desk, Found, Tags};

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

/// About as many tags are looked for outside of the table.
const FEW_TAGS: usize = 12;

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

/// A value of a definition. Its text is shared with the file it stands in, or made for the occasion.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Value<Text = Arc<str>> {
    #[default]
    Absent,
    Text(Text),
    Truth(bool),
    Int(i64),
}

/// A value with its tags replaced.
pub(crate) type Replaced<'a> = Value<Cow<'a, str>>;

impl Value {
    pub(crate) fn text(&self) -> Arc<str> {
        match self {
            Value::Text(text) => text.clone(),
            other => other.borrowed().text().into(),
        }
    }

    pub(crate) fn borrowed(&self) -> Replaced<'_> {
        match self {
            Value::Absent => Value::Absent,
            Value::Text(text) => Value::Text(Cow::Borrowed(text)),
            Value::Truth(truth) => Value::Truth(*truth),
            Value::Int(number) => Value::Int(*number),
        }
    }
}

impl<'a> Replaced<'a> {
    pub(crate) fn text(self) -> Cow<'a, str> {
        match self {
            Value::Absent => "None".into(),
            Value::Text(text) => text,
            Value::Truth(true) => "True".into(),
            Value::Truth(false) => "False".into(),
            Value::Int(number) => number.to_string().into(),
        }
    }
}

/// A filter or an action as a jail uses it.
pub(crate) struct Definition {
    kind: Kind,
    pub(crate) layers: Rc<Layers>,
    /// What `%(…)s` finds before the file's own: the bracket's options, then the jail's.
    variables: Vec<Scope>,
    /// Options of the table that no bracket overrides, in its order.
    pub(crate) options: Vec<(&'static str, Value)>,
    /// So many are the bracket's.
    given: usize,
    /// The bracket's options, then those of `[Init]`, each of these behind a `known/…` of the same value.
    pub(crate) parameters: Map<Arc<str>, Arc<str>>,
    /// Tags that were looked for outside of the table. What the first reading found stays, though the second has other
    /// variables.
    found: RefCell<Found>,
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
        let parameters: Map<Arc<str>, Arc<str>> =
            bracket.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let variables = vec![scope(&parameters), jail];
        let mut definition = Definition {
            kind,
            layers,
            variables,
            options: Vec::new(),
            given: parameters.len(),
            parameters,
            found: RefCell::default(),
        };
        definition.read_options(reader, |_| false)?;
        definition.read_init()?;
        Ok(Some(definition))
    }

    /// The bracket's options.
    pub(crate) fn bracket(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.parameters.iter().take(self.given)
    }

    /// Reads the options of the table that no bracket overrides.
    fn read_options(&mut self, reader: &mut Reader, skip: impl Fn(&str) -> bool) -> Result<(), Fatal> {
        for option in self.kind.options() {
            if self.parameters.contains_key(*option) || skip(option) {
                continue;
            }
            let value = match self.layers.defined("Definition", option, &self.variables) {
                Ok(text) => Value::Text(text),
                Err(Missing::Fatal(fatal)) => return Err(fatal),
                Err(Missing::Option) => continue,
                Err(Missing::Section) => {
                    no_section(&mut reader.messages);
                    Value::Absent
                }
            };
            self.options.push((option, value));
        }
        Ok(())
    }

    fn read_init(&mut self) -> Result<(), Fatal> {
        let init = self.layers.init()?;
        self.parameters.reserve(2 * init.len());
        for Init { name, known, value } in init {
            self.parameters.insert(known.clone(), value.clone());
            self.parameters.entry(name.clone()).or_insert_with(|| value.clone());
        }
        Ok(())
    }

    /// Every option in the order in which it is sent, tags replaced.
    pub(crate) fn combined(&self, messages: &mut Messages) -> Result<Vec<(&str, Replaced<'_>)>, Fatal> {
        self.replaced(&[], messages)
    }

    /// As [`Definition::combined`], with everything else that `[Definition]` says: what the jail sees behind `known/`. It must
    /// be good even where nothing of it is `wanted`.
    pub(crate) fn everything(
        &self,
        messages: &mut Messages,
        wanted: bool,
    ) -> Result<Vec<(Arc<str>, Known)>, Fatal> {
        let mut besides = Vec::new();
        for (name, _) in self.layers.section("Definition").into_iter().flat_map(Section::options) {
            // Also what the bracket overrides.
            if self.options.iter().all(|(option, _)| *option != name) && name != "__name__" {
                match self.layers.value("Definition", name, &[]) {
                    Ok(text) => besides.push((name, text)),
                    Err(Missing::Fatal(fatal)) => return Err(fatal),
                    Err(_) => {}
                }
            }
        }
        let replaced = self.replaced(&besides, messages)?;
        if !wanted {
            return Ok(Vec::new());
        }
        let own = replaced.into_iter().filter(|(option, _)| !option.starts_with("known/"));
        let known = own.map(|(option, value)| {
            let value = match value {
                Value::Int(_) => Known::Other("int"),
                Value::Absent => Known::Other("NoneType"),
                text => Known::Text(text.text().into()),
            };
            (option.into(), value)
        });
        Ok(known.collect())
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
        if let Some(bracket) = self.variables.first_mut() {
            *bracket = scope(&self.parameters);
        }
        self.variables.push(jail);
        self.options.clear();
        self.read_options(reader, own)
    }

    /// The options of the table, those besides, and the parameters, with their tags replaced.
    fn replaced<'a>(
        &'a self,
        besides: &'a [(&'a str, Arc<str>)],
        messages: &mut Messages,
    ) -> Result<Vec<(&'a str, Replaced<'a>)>, Fatal> {
        // A name that has no value is sent, but is no tag.
        let mut values: Map<&str, Option<Cow<str>>> = Map::default();
        values.reserve(self.options.len() + besides.len() + self.parameters.len());
        for (name, value) in &self.options {
            values.insert(name, (*value != Value::Absent).then(|| value.borrowed().text()));
        }
        let text = |text| Some(Cow::Borrowed(text));
        values.extend(besides.iter().map(|(name, value)| (*name, text(&**value))));
        values.extend(self.parameters.iter().map(|(name, value)| (&**name, text(&**value))));
        // What has a conditional variant is the server's business as a whole.
        let conditional = values.keys().filter(|name| memchr::memchr(b'?', name.as_bytes()).is_some());
        let conditional = conditional.filter(|name| !name.starts_with("known/"));
        let mut untouched: Vec<&str> = conditional.filter_map(|name| Some(name.split_once('?')?.0)).collect();
        if self.kind == Kind::Action {
            untouched.extend(RUN_TIME_TAGS);
        }
        let prepared = if self.kind == Kind::Action { self.prepared(&untouched) } else { Vec::new() };
        let mut elsewhere = |tag: &str| self.elsewhere(tag);
        let (mut found, desk) = (self.found.take(), Desk::new());
        found.reserve(FEW_TAGS);
        let mut tags = Tags { values, untouched, prepared, elsewhere: &mut elsewhere, found, desk };
        tags.replace()?;
        self.found.replace(tags.found);
        let values = tags.values.into_iter().map(|(name, text)| {
            let value = text.map_or(Value::Absent, |text| self.typed(name, text, messages));
            (name, value)
        });
        let sent = |(name, value): &(&str, Replaced)| {
            self.kind == Kind::Action || *name != "maxlines" || *value != Value::Absent
        };
        Ok(values.filter(sent).collect())
    }

    /// The value as the server takes it.
    fn typed<'a>(&self, option: &str, text: Cow<'a, str>, messages: &mut Messages) -> Replaced<'a> {
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
    pub(crate) fn properties(&self, messages: &mut Messages) -> Result<Vec<(&str, Replaced<'_>)>, Fatal> {
        let combined = self.combined(messages)?;
        let (options, parameters): (Vec<_>, Vec<_>) =
            combined.into_iter().partition(|(name, _)| self.kind.options().contains(name));
        let raw =
            parameters.into_iter().filter(|(name, _)| !name.starts_with("known/")).map(|(name, value)| {
                let value = self.parameters.get(name).map_or(value, |raw| Value::Text(Cow::Borrowed(raw)));
                (name, value)
            });
        Ok(options.into_iter().chain(raw).collect())
    }

    /// What `[Definition]` says of an option that is not in the table.
    pub(crate) fn stated(&self, option: &str) -> Result<Option<Arc<str>>, Fatal> {
        match self.layers.defined("Definition", option, &self.variables) {
            Ok(text) => Ok(Some(text)),
            Err(Missing::Fatal(fatal)) => Err(fatal),
            Err(Missing::Option | Missing::Section) => Ok(None),
        }
    }

    /// A tag that is no option: `<section/option>`, `<known/option>`, or anything that `[Definition]` says besides.
    pub(crate) fn elsewhere(&self, tag: &str) -> Result<Option<Arc<str>>, Fatal> {
        let slash = memchr::memchr(b'/', tag.as_bytes());
        let found = match slash.map(|at| (&tag[..at], &tag[at + 1..])) {
            None => match self.layers.defined("Definition", tag, &self.variables) {
                Err(Missing::Option | Missing::Section) => {
                    if variable(&self.variables, &lower(tag)).is_none() {
                        return Ok(None);
                    }
                    self.layers.value("Definition", tag, &self.variables)
                }
                found => found,
            },
            Some(_) if variable(&self.variables, &lower(tag)).is_some() => {
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

/// A bracket's options as variables: by lower-cased name.
fn scope(parameters: &Map<Arc<str>, Arc<str>>) -> Scope {
    let own = parameters.iter().map(|(name, value)| (lower(name).into_owned().into(), Some(value.clone())));
    Scope::new(own.collect())
}

fn no_section(messages: &mut Messages) {
    messages.error("configreader", "No section: 'Definition'".into());
}
