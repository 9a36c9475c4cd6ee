//! One jail as the files have it: its options, its filter, its actions.

use portcullis_value::repr_str;

use crate::arguments;
use crate::definition::{Definition, Kind, Value};
use crate::interpolate::{Missing, Scope};
use crate::layers::{Layers, Reader};
use crate::maps::{HashMap, Map, RandomState};
use crate::message::Fatal;
use crate::python::{int, truth};

#[derive(Clone, Copy)]
pub(crate) enum Type {
    Text,
    Truth,
    Int,
}

/// The names of all options of a jail.
pub(crate) fn option_names() -> impl Iterator<Item = &'static str> + Clone {
    OPTIONS.iter().map(|(name, ..)| *name)
}

/// A jail's options in the order in which they are read, with the defaults that are said when they are used.
pub(crate) const OPTIONS: &[(&str, Type, Option<&str>)] = &[
    ("enabled", Type::Truth, Some("False")),
    ("backend", Type::Text, Some("auto")),
    ("maxretry", Type::Int, None),
    ("maxmatches", Type::Int, None),
    ("findtime", Type::Text, None),
    ("bantime", Type::Text, None),
    ("bantime.increment", Type::Truth, None),
    ("bantime.factor", Type::Text, None),
    ("bantime.formula", Type::Text, None),
    ("bantime.multipliers", Type::Text, None),
    ("bantime.maxtime", Type::Text, None),
    ("bantime.rndtime", Type::Text, None),
    ("bantime.overalljails", Type::Truth, None),
    ("ignorecommand", Type::Text, None),
    ("ignoreself", Type::Truth, None),
    ("ignoreip", Type::Text, None),
    ("ignorecache", Type::Text, None),
    ("filter", Type::Text, Some("")),
    ("logtimezone", Type::Text, None),
    ("logencoding", Type::Text, None),
    ("logpath", Type::Text, None),
    ("action", Type::Text, Some("")),
    ("usedns", Type::Text, None),
    ("prefregex", Type::Text, None),
    ("ignoreregex", Type::Text, None),
    ("failregex", Type::Text, None),
    ("maxlines", Type::Int, None),
    ("datepattern", Type::Text, None),
    ("journalmatch", Type::Text, None),
];

/// Those that decide whether a jail is read any further.
pub(crate) const FIRST_OPTIONS: &[&str] = &["enabled", "backend", "filter"];

/// Why a jail gives no commands.
pub(crate) enum Broken {
    /// The jail alone is skipped, for this reason.
    Jail(String),
    /// Nothing is configured at all.
    All(Fatal),
}

impl From<Fatal> for Broken {
    fn from(fatal: Fatal) -> Self {
        Broken::All(fatal)
    }
}

/// An action as the jail has it.
pub(crate) enum Action {
    Commands { name: String, definition: Box<Definition> },
    Python { name: String, file: String, options: Vec<(String, String)> },
}

/// A jail that is enabled and could be read.
pub(crate) struct Jail {
    pub(crate) name: String,
    pub(crate) options: Map<&'static str, Value>,
    pub(crate) filter: Option<Definition>,
    pub(crate) actions: Vec<Action>,
    /// Where `logpath` stands, if that is to be told.
    pub(crate) logpath_at: Option<String>,
}

impl Jail {
    /// Reads a jail. Nothing if it is not enabled.
    pub(crate) fn read(reader: &mut Reader, layers: &mut Layers, name: &str) -> Result<Option<Self>, Broken> {
        let mut jail = Jail {
            name: name.to_owned(),
            options: Map::with_capacity_and_hasher(OPTIONS.len(), RandomState::default()),
            filter: None,
            actions: Vec::new(),
            logpath_at: None,
        };
        for option in OPTIONS.iter().filter(|(option, ..)| FIRST_OPTIONS.contains(option)) {
            jail.read_option(reader, layers, *option)?;
        }
        if jail.options.get("enabled") != Some(&Value::Truth(true)) && !reader.even_disabled {
            return Ok(None);
        }
        jail.read_filter(reader, layers)?;
        for option in OPTIONS {
            jail.read_option(reader, layers, *option)?;
        }
        jail.logpath_at = reader.jail_by_jail.then(|| layers.place(name, "logpath"));
        let visible = jail.visible(None);
        if let Some(filter) = &mut jail.filter {
            filter.read_again(reader, visible.clone(), |option| jail.options.contains_key(option))?;
        }
        jail.read_actions(reader, &visible)?;
        Ok(Some(jail))
    }

    fn read_option(
        &mut self,
        reader: &mut Reader,
        layers: &Layers,
        (option, kind, default): (&'static str, Type, Option<&'static str>),
    ) -> Result<(), Fatal> {
        let section = &self.name;
        let value = match layers.value(section, option, &[]) {
            Ok(text) => match kind {
                Type::Text => Value::Text(text),
                Type::Truth => Value::Truth(truth(&text)),
                Type::Int if reader.jail_by_jail && int(&text).is_none() => {
                    // Differs: Fail2ban goes on with nothing, at which the server stumbles and starts no jail at all.
                    let place = layers.place(section, option);
                    return Err(Fatal(format!("{place}: {option} = {text}: expected a whole number")));
                }
                Type::Int => int(&text).map_or_else(
                    || {
                        let text =
                            format!("Wrong value for '{option}' in '{section}'. Using default one: 'None'");
                        reader.messages.warning("configreader", text);
                        Value::Absent
                    },
                    Value::Int,
                ),
            },
            Err(Missing::Fatal(fatal)) => return Err(fatal),
            Err(Missing::Section) => return Err(Fatal(format!("No section: {}", repr_str(section)))),
            Err(Missing::Option) => {
                let Some(default) = default else { return Ok(()) };
                let shown = if option == "enabled" { default.to_owned() } else { repr_str(default) };
                let text = format!("'{option}' not defined in '{section}'. Using default one: {shown}");
                reader.messages.warning("configreader", text);
                if option == "enabled" { Value::Truth(false) } else { Value::Text(default.into()) }
            }
        };
        self.options.insert(option, value);
        Ok(())
    }

    /// The text of an option; empty if there is none.
    pub(crate) fn text(&self, option: &str) -> &str {
        match self.options.get(option) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// Whether the jail's backend is the journal.
    pub(crate) fn reads_journal(&self) -> bool {
        self.text("backend").starts_with("systemd")
    }

    /// The options that filters or actions see as `%(x)s` and `<x>`. A bad integer is there without a value.
    fn visible(&self, only: Option<&[&str]>) -> Scope {
        let text = |value: &Value| (*value != Value::Absent).then(|| value.text());
        let seen = self.options.iter().filter(|(option, _)| only.is_none_or(|only| only.contains(option)));
        let most = only.map_or(self.options.len(), <[_]>::len);
        let mut scope = HashMap::with_capacity_and_hasher(most, RandomState::default());
        scope.extend(seen.map(|(option, value)| ((*option).into(), text(value))));
        Scope::new(scope)
    }

    fn read_filter(&mut self, reader: &mut Reader, layers: &mut Layers) -> Result<(), Broken> {
        let reference = self.text("filter").to_owned();
        if reference.is_empty() {
            reader.messages.warning("jailreader", format!("No filter set for jail {}", self.name));
            return Ok(());
        }
        let parsed = arguments::parse(&reference).map_err(|why| {
            broken(reader, format!("Invalid filter definition {}: {why}", repr_str(&reference)))
        })?;
        let visible = self.visible(Some(FIRST_OPTIONS));
        let logtype = ("logtype", if self.reads_journal() { "journal" } else { "file" });
        let filter =
            Definition::read(reader, Kind::Filter, &parsed.name, visible, parsed.options, Some(logtype))?;
        let Some(filter) = filter else {
            return Err(broken(reader, format!("Unable to read the filter {}", repr_str(&parsed.name))));
        };
        let known = filter.everything(&mut reader.messages, layers.known_matters)?;
        if let Some(section) = layers.sections.get_mut(self.name.as_str()) {
            section.known.extend(known);
        }
        self.filter = Some(filter);
        Ok(())
    }

    fn read_actions(&mut self, reader: &mut Reader, visible: &Scope) -> Result<(), Broken> {
        let value = self.text("action").to_owned();
        for reference in arguments::split(&value) {
            let action = self.read_action(reader, reference, visible)?;
            self.actions.push(action);
        }
        if self.actions.is_empty() {
            reader.messages.warning("jailreader", format!("No actions were defined for {}", self.name));
        }
        Ok(())
    }

    fn read_action(
        &mut self,
        reader: &mut Reader,
        reference: &str,
        visible: &Scope,
    ) -> Result<Action, Broken> {
        let mut parsed = arguments::parse(reference).map_err(|why| {
            broken(reader, format!("Invalid action definition {}: {why}", repr_str(reference)))
        })?;
        let given = |options: &[(String, String)], name: &str| {
            options.iter().find(|(option, _)| option == name).map(|(_, value)| value.clone())
        };
        if let Some(default) = parsed.name.strip_suffix(".py") {
            let name = given(&parsed.options, "actname").unwrap_or_else(|| default.to_owned());
            parsed.options.retain(|(option, _)| option != "actname");
            let file = reader.source.path().join("action.d").join(&parsed.name).display().to_string();
            return Ok(Action::Python { name, file, options: parsed.options });
        }
        let name = match (given(&parsed.options, "actname"), given(&parsed.options, "name")) {
            (Some(name), _) => name,
            (None, Some(name)) if name != self.name => match name.strip_prefix(&self.name) {
                Some(suffix) => format!("{}{suffix}", parsed.name),
                None => format!("{}-{name}", parsed.name),
            },
            _ => parsed.name.clone(),
        };
        for (option, value) in [("name", &self.name), ("actname", &name)] {
            if given(&parsed.options, option).is_none() {
                parsed.options.push((option.to_owned(), value.clone()));
            }
        }
        let definition =
            Definition::read(reader, Kind::Action, &parsed.name, visible.clone(), parsed.options, None)
                .map_err(|Fatal(why)| {
                    // Python's own complaints are shown with their class.
                    let why = if why.starts_with("argument of type") {
                        format!("TypeError({})", repr_str(&why))
                    } else {
                        why
                    };
                    Fatal(format!("Error in action definition {}: {why}", repr_str(reference)))
                })?;
        match definition {
            Some(definition) => Ok(Action::Commands { name, definition: Box::new(definition) }),
            None => Err(broken(reader, format!("Unable to read action {}", repr_str(&parsed.name)))),
        }
    }
}

fn broken(reader: &mut Reader, why: String) -> Broken {
    reader.messages.error("jailreader", why.clone());
    Broken::Jail(why)
}
