//! An action: its properties, which may change at run time, and its operations as scripts.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use portcullis_value::{Value, seconds};

use super::expand::{TagError, expand};
use super::info::Info;
use super::script::Script;
use super::tags::fill;
use crate::Family;

/// What an action can be told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `actionstart`
    Start,
    /// `actionstop`
    Stop,
    /// `actioncheck`
    Check,
    /// `actionrepair`
    Repair,
    /// `actionban`
    Ban,
    /// `actionreban`, or `actionban` when that is not given
    Reban,
    /// `actionunban`
    Unban,
    /// `actionprolong`
    Prolong,
    /// `actionflush`
    Flush,
    /// `actionreload`
    Reload,
}

impl Operation {
    /// The property that has the command.
    pub fn property(self) -> &'static str {
        match self {
            Operation::Start => "actionstart",
            Operation::Stop => "actionstop",
            Operation::Check => "actioncheck",
            Operation::Repair => "actionrepair",
            Operation::Ban => "actionban",
            Operation::Reban => "actionreban",
            Operation::Unban => "actionunban",
            Operation::Prolong => "actionprolong",
            Operation::Flush => "actionflush",
            Operation::Reload => "actionreload",
        }
    }
}

/// The methods that `get J actionmethods A` lists.
pub const METHODS: &[&str] = &[
    "ban",
    "clearAllParams",
    "consistencyCheck",
    "escapeTag",
    "executeCmd",
    "flush",
    "invalidateBanEpoch",
    "prolong",
    "reban",
    "reload",
    "replaceDynamicTags",
    "replaceTag",
    "start",
    "stop",
    "unban",
];

/// The commands that every action has, empty unless given.
const COMMANDS: &[&str] = &[
    "actionban",
    "actioncheck",
    "actionflush",
    "actionreban",
    "actionreload",
    "actionrepair",
    "actionstart",
    "actionstop",
    "actionunban",
];

/// Commands with their properties put in, by operation and family.
type Expanded = HashMap<(Operation, Option<Family>), Arc<str>>;

/// An action of a jail.
#[derive(Clone, Debug)]
pub struct Action {
    name: String,
    properties: IndexMap<String, Value>,
    /// The file that it is written in, where that is no configuration.
    python: Option<String>,
    expanded: RefCell<Expanded>,
}

impl Action {
    /// An action without commands. `name` is its identity in the jail (`actname`).
    pub fn new(name: impl Into<String>) -> Self {
        let properties = [("timeout".to_owned(), Value::Int(60)), ("banEpoch".to_owned(), Value::Int(0))];
        Action {
            name: name.into(),
            properties: properties.into(),
            python: None,
            expanded: RefCell::default(),
        }
    }

    /// An action that is written in Python for Fail2ban (`smtp.py`), with its parameters.
    pub fn python(name: impl Into<String>, file: &str, parameters: &[(Value, Value)]) -> Self {
        let mut action = Action::new(name);
        action.python = Some(file.to_owned());
        for (parameter, value) in parameters {
            action.properties.insert(parameter.to_string(), value.clone());
        }
        action
    }

    /// The file of an action that is written in Python, without its directories.
    pub fn python_file(&self) -> Option<&str> {
        self.python.as_deref()
    }

    /// All that was set, by name.
    pub fn parameters(&self) -> Vec<(Value, Value)> {
        let own = self.properties.iter().filter(|(name, _)| *name != "banEpoch");
        own.map(|(name, value)| (name.as_str().into(), value.clone())).collect()
    }

    /// Its identity in the jail.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sets a property (`set J action A PROP V`, or one pair of the configuration's list); it counts from the next command
    /// on. `bantime` is dropped (it would hide the tag), `banEpoch` cannot be set; a timeout may have units (`2m`).
    pub fn set(&mut self, property: &str, value: Value) {
        if matches!(property, "bantime" | "banEpoch") {
            return;
        }
        let seconds = if property == "timeout" { seconds(&value).ok() } else { None };
        self.properties.insert(property.to_owned(), seconds.map_or(value, Value::from));
        self.expanded.borrow_mut().clear();
    }

    /// Raises `banEpoch` by one: the environment was found broken.
    pub fn raise_epoch(&mut self) {
        let epoch = self.epoch() + 1;
        self.properties.insert("banEpoch".to_owned(), Value::Int(epoch));
        self.expanded.borrow_mut().clear();
    }

    /// How often the environment was found broken.
    pub fn epoch(&self) -> i64 {
        if let Some(Value::Int(epoch)) = self.properties.get("banEpoch") { *epoch } else { 0 }
    }

    /// Forgets all properties, as a reload does before it sets them anew.
    pub fn clear(&mut self) {
        let epoch = self.epoch();
        let python = self.python.take();
        *self = Action::new(std::mem::take(&mut self.name));
        self.python = python;
        self.properties.insert("banEpoch".to_owned(), Value::Int(epoch));
    }

    /// What `get J action A PROP` answers; `None` where Fail2ban raises
    /// `AttributeError("'CommandAction' object has no attribute 'PROP'")`.
    pub fn property(&self, property: &str) -> Option<Value> {
        let own = self.properties.get(property).cloned();
        own.or_else(|| COMMANDS.contains(&property).then(|| "".into()))
    }

    /// Whether all properties are the same, but for `banEpoch`, which is no setting.
    pub fn same_properties(&self, other: &Action) -> bool {
        let set = |action: &Action| {
            let own = action.properties.iter().filter(|(property, _)| *property != "banEpoch");
            own.map(|(property, value)| (property.clone(), value.clone())).collect::<IndexMap<_, _>>()
        };
        self.python == other.python && set(self) == set(other)
    }

    /// What `get J actionproperties A` lists.
    pub fn properties(&self) -> Vec<String> {
        let own = self.properties.keys().map(String::as_str);
        let mut names: Vec<_> =
            ["ESCAPE_CRE", "ESCAPE_VN_CRE"].into_iter().chain(COMMANDS.iter().copied()).chain(own).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(str::to_owned).collect()
    }

    /// How long one command may take.
    pub fn timeout(&self) -> Duration {
        let seconds = match self.properties.get("timeout") {
            Some(Value::Int(seconds)) => *seconds as f64,
            Some(Value::Float(seconds)) => *seconds,
            _ => 60.0,
        };
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)
    }

    /// Whether restored bans are not its business.
    pub fn norestored(&self) -> bool {
        self.flag("norestored").unwrap_or(false)
    }

    /// Whether it may repair its environment while bans are lifted.
    pub fn repair_on_unban(&self) -> bool {
        self.flag("actionrepair_on_unban").unwrap_or(false)
    }

    /// Whether it starts with the first ban of a family, not with the jail: as told, else if it has values for families.
    pub fn start_on_demand(&self) -> bool {
        self.flag("actionstart_on_demand").unwrap_or_else(|| self.knows_families())
    }

    /// Whether it has values that differ between families.
    pub fn knows_families(&self) -> bool {
        self.properties.keys().any(|key| key.contains("?family="))
    }

    /// Whether there is a command for this operation.
    pub fn has(&self, operation: Operation) -> bool {
        !self.command(operation).1.is_empty()
    }

    fn flag(&self, property: &str) -> Option<bool> {
        Some(match self.properties.get(property)? {
            Value::Bool(truth) => *truth,
            Value::Int(number) => *number != 0,
            Value::Str(text) => matches!(text.to_ascii_lowercase().as_str(), "1" | "on" | "true" | "yes"),
            _ => return None,
        })
    }

    fn command(&self, operation: Operation) -> (&'static str, String) {
        let text = |property| self.properties.get(property).map(Value::to_string).unwrap_or_default();
        match operation {
            Operation::Reban if text("actionreban").is_empty() => ("actionban", text("actionban")),
            _ => (operation.property(), text(operation.property())),
        }
    }

    /// The script of an operation; `None` when there is nothing to do.
    ///
    /// # Errors
    /// When the properties name each other in a circle.
    pub fn render(
        &self,
        operation: Operation,
        family: Option<Family>,
        info: &Info<'_>,
    ) -> Result<Option<Script>, TagError> {
        let text = self.expanded(operation, family)?;
        Ok(if text.is_empty() { None } else { Some(fill(&text, info)) })
    }

    /// The command of an operation with all properties put in, before the tags of a ban are.
    ///
    /// # Errors
    /// When the properties name each other in a circle.
    pub fn expanded(&self, operation: Operation, family: Option<Family>) -> Result<Arc<str>, TagError> {
        if let Some(text) = self.expanded.borrow().get(&(operation, family)) {
            return Ok(text.clone());
        }
        let (property, command) = self.command(operation);
        let text: Arc<str> = expand(property, &command, &self.properties, family)?.into();
        self.expanded.borrow_mut().insert((operation, family), text.clone());
        Ok(text)
    }
}

/// A text with tags of a ban, filled in under the same rules as an action's command (`ignorecommand`).
pub fn script(template: &str, info: &Info<'_>) -> Script {
    fill(template, info)
}
