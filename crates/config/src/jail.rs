//! One jail: its options, its filter, its actions, and the commands that make the server run it.

use indexmap::IndexMap;
use portcullis_value::{Command, Value as Py, repr_str};

use crate::arguments;
use crate::definition::{Definition, FILTER_OPTIONS, Kind, Value};
use crate::glob;
use crate::interpolate::Missing;
use crate::layers::{Known, Layers, Reader};
use crate::message::{Fatal, Messages};
use crate::python::{int, is_space, shell_words, truth};

#[derive(Clone, Copy)]
enum Type {
    Text,
    Truth,
    Int,
}

/// The names of all options of a jail.
pub(crate) fn option_names() -> impl Iterator<Item = &'static str> + Clone {
    OPTIONS.iter().map(|(name, ..)| *name)
}

/// A jail's options in the order in which they are read, with the defaults that are said when they are used.
const OPTIONS: &[(&str, Type, Option<&str>)] = &[
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
const FIRST_OPTIONS: &[&str] = &["enabled", "backend", "filter"];

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
enum Action {
    Commands { name: String, definition: Box<Definition> },
    Python { name: String, file: String, options: Vec<(String, String)> },
}

/// A jail that is enabled and could be read.
pub(crate) struct Jail {
    name: String,
    options: IndexMap<&'static str, Value>,
    filter: Option<Definition>,
    actions: Vec<Action>,
    /// Where `logpath` stands, if that is to be told.
    logpath_at: Option<String>,
}

impl Jail {
    /// Reads a jail. Nothing if it is not enabled.
    pub(crate) fn read(reader: &mut Reader, layers: &mut Layers, name: &str) -> Result<Option<Self>, Broken> {
        let mut jail = Jail {
            name: name.to_owned(),
            options: IndexMap::new(),
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
            filter.read_again(reader, &visible, |option| jail.options.contains_key(option))?;
        }
        jail.read_actions(reader)?;
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
                if option == "enabled" { Value::Truth(false) } else { Value::Text(default.to_owned()) }
            }
        };
        self.options.insert(option, value);
        Ok(())
    }

    fn text(&self, option: &str) -> &str {
        match self.options.get(option) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// Whether the jail's backend is the journal.
    fn reads_journal(&self) -> bool {
        self.text("backend").starts_with("systemd")
    }

    /// The options that filters or actions see as `%(x)s` and `<x>`. A bad integer is there without a value.
    fn visible(&self, only: Option<&[&str]>) -> Vec<(String, Option<String>)> {
        let text = |value: &Value| (*value != Value::Absent).then(|| value.text());
        self.options
            .iter()
            .filter(|(option, _)| only.is_none_or(|only| only.contains(option)))
            .map(|(option, value)| ((*option).to_owned(), text(value)))
            .collect()
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
            Definition::read(reader, Kind::Filter, &parsed.name, &visible, parsed.options, Some(logtype))?;
        let Some(filter) = filter else {
            return Err(broken(reader, format!("Unable to read the filter {}", repr_str(&parsed.name))));
        };
        let everything = filter.everything(&mut reader.messages)?;
        if let Some(section) = layers.sections.get_mut(self.name.as_str()) {
            for (option, value) in everything.iter().filter(|(option, _)| !option.starts_with("known/")) {
                let known = match value {
                    Value::Int(_) => Known::Other("int"),
                    Value::Absent => Known::Other("NoneType"),
                    value => Known::Text(value.text().into()),
                };
                section.known.insert(option.as_str().into(), known);
            }
        }
        self.filter = Some(filter);
        Ok(())
    }

    fn read_actions(&mut self, reader: &mut Reader) -> Result<(), Broken> {
        let value = self.text("action").to_owned();
        for reference in arguments::split(&value) {
            let action = self.read_action(reader, reference)?;
            self.actions.push(action);
        }
        if self.actions.is_empty() {
            reader.messages.warning("jailreader", format!("No actions were defined for {}", self.name));
        }
        Ok(())
    }

    fn read_action(&mut self, reader: &mut Reader, reference: &str) -> Result<Action, Broken> {
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
        let visible = self.visible(None);
        let definition = Definition::read(reader, Kind::Action, &parsed.name, &visible, parsed.options, None)
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

    /// The commands that add and configure the jail. Log files are looked for now; that there is none is an error unless
    /// `allow_no_files`.
    pub(crate) fn commands(
        &self,
        messages: &mut Messages,
        allow_no_files: bool,
    ) -> Result<Vec<Command>, Fatal> {
        let jail = self.name.as_str();
        let mut own: IndexMap<&str, Value> = IndexMap::new();
        for option in FILTER_OPTIONS {
            if let Some(value) = self.options.get(option) {
                own.insert(option, value.clone());
            }
        }
        let mut commands: Vec<Command> = vec![command(["add", jail, self.text("backend")])];
        let own_commands = filter_commands(jail, own.iter().map(|(name, value)| (*name, value)))?;
        commands.extend(own_commands.first);
        if let Some(filter) = &self.filter {
            let combined = filter.combined(messages)?;
            let filter = filter_commands(jail, combined.iter().map(|(name, value)| (name.as_str(), value)))?;
            commands.extend(filter.first);
            commands.extend(filter.rest);
        }
        commands.extend(own_commands.rest);
        for (option, ..) in OPTIONS {
            if let Some(value) = self.options.get(option) {
                commands.extend(option_command(jail, option, value));
            }
        }
        self.log_commands(&mut commands, messages, allow_no_files)?;
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
        allow_no_files: bool,
    ) -> Result<(), Fatal> {
        let Some(Value::Text(paths)) = self.options.get("logpath") else { return Ok(()) };
        if self.reads_journal() {
            return Ok(());
        }
        let mut found = false;
        for line in paths.split('\n') {
            let (pattern, from) = line.rsplit_once(' ').unwrap_or((line, "head"));
            let files = glob::files(pattern);
            if files.is_empty() {
                messages.notice("jailreader", format!("No file(s) found for glob {pattern}"));
            }
            for file in files {
                if std::path::Path::new(&file).exists() {
                    found = true;
                    commands.push(command(["set", &self.name, "addlogpath", &file, from]));
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

fn broken(reader: &mut Reader, why: String) -> Broken {
    reader.messages.error("jailreader", why.clone());
    Broken::Jail(why)
}

fn command<const N: usize>(words: [&str; N]) -> Command {
    words.into_iter().map(Py::from).collect()
}

/// Commands that configure a filter: those that must come before any expression, and the others.
#[derive(Default)]
struct FilterCommands {
    first: Vec<Command>,
    rest: Vec<Command>,
}

fn filter_commands<'a>(
    jail: &str,
    options: impl Iterator<Item = (&'a str, &'a Value)>,
) -> Result<FilterCommands, Fatal> {
    let mut commands = FilterCommands::default();
    for (option, value) in options {
        if *value == Value::Absent {
            continue;
        }
        let text = value.text();
        match option {
            "usedns" => commands.first.insert(0, command(["set", jail, option, &text])),
            "prefregex" => commands.first.push(command(["set", jail, option, &text])),
            "maxlines" => {
                let mut command = command(["set", jail, option]);
                command.push(python(value));
                commands.first.push(command);
            }
            "failregex" | "ignoreregex" => {
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
            "journalmatch" => {
                for line in text.split('\n').filter(|line| !line.is_empty()) {
                    let words = shell_words(line).map_err(|why| Fatal(why.into()))?;
                    let mut command = command(["set", jail, "addjournalmatch"]);
                    command.extend(words.into_iter().map(Py::from));
                    commands.rest.push(command);
                }
            }
            // Fail2ban 1.0.2 asks whether the name is *part of* "datepattern", so `p` and `date` are sent as well.
            option if "datepattern".contains(option) => {
                commands.rest.push(command(["set", jail, option, &text]));
            }
            _ => {}
        }
    }
    Ok(commands)
}

fn option_command(jail: &str, option: &str, value: &Value) -> Option<Command> {
    if FIRST_OPTIONS.contains(&option)
        || FILTER_OPTIONS.contains(&option)
        || matches!(option, "logpath" | "action")
    {
        return None;
    }
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

fn python(value: &Value) -> Py {
    match value {
        Value::Absent => Py::None,
        Value::Text(text) => Py::Str(text.clone()),
        Value::Truth(truth) => Py::Bool(*truth),
        Value::Int(number) => Py::Int(*number),
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
            let pairs = pairs
                .iter()
                .map(|(name, value)| Py::List(vec![Py::from(name.as_str()), python(value)]))
                .collect();
            commands.push(command(["set", jail, "addaction", name]));
            let mut properties = command(["multi-set", jail, "action", name]);
            properties.push(Py::List(pairs));
            commands.push(properties);
        }
    }
    Ok(())
}

/// A flat object as `json.dumps` writes it: ASCII only.
fn json(options: &[(String, String)]) -> String {
    let pairs: Vec<_> =
        options.iter().map(|(name, value)| format!("{}: {}", json_text(name), json_text(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}

fn json_text(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
    out
}
