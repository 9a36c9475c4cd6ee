//! `set JAIL action ACTION METHOD [JSON]`: a method of an action is called, with the errors that Python has for arguments.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;
use portcullis_jail::{Id, Ticket};
use portcullis_value::{Exception, Value, json, seconds};

use super::Answer;
use super::definition::no_action;
use super::running::Running;
use super::surroundings::now;
use crate::act::worker::{self, Call};

/// How long a command may take when nothing is said.
const PATIENCE: Duration = Duration::from_secs(60);

/// The arguments of a method: those that it must be given, and those that it may.
struct Signature {
    required: &'static [&'static str],
    optional: &'static [&'static str],
}

fn signature(method: &str) -> Option<Signature> {
    let with = |required, optional| Some(Signature { required, optional });
    match method {
        "ban" | "reban" | "unban" | "prolong" => with(&["aInfo"], &[]),
        "consistencyCheck" => with(&[], &["beforeRepair"]),
        "escapeTag" => with(&["value"], &[]),
        "executeCmd" => with(&["realCmd"], &["timeout"]),
        "replaceTag" => with(&["query", "aInfo"], &[]),
        "replaceDynamicTags" => with(&["realCmd", "aInfo"], &[]),
        // Takes whatever it is given.
        "reload" => None,
        _ => with(&[], &[]),
    }
}

type Arguments = Vec<(Value, Value)>;

fn type_error(text: String) -> Exception {
    Exception::builtin("TypeError", text)
}

/// The arguments that the JSON text gives, once they fit the method.
fn arguments(method: &str, given: Option<&Value>) -> Result<Arguments, Exception> {
    let given = match given {
        None => Value::Dict(Vec::new()),
        Some(Value::Str(text)) => json(text)?,
        Some(other) => {
            let text = format!("the JSON object must be str, bytes or bytearray, not {}", other.type_name());
            return Err(type_error(text));
        }
    };
    let Value::Dict(arguments) = given else {
        return Err(type_error(format!(
            "fail2ban.server.action.CommandAction.{method}() argument after ** must be a mapping, not {}",
            given.type_name()
        )));
    };
    let Some(signature) = signature(method) else { return Ok(arguments) };
    let missing = signature.required.iter().filter(|name| argument(&arguments, name).is_none());
    let missing: Vec<String> = missing.map(|name| format!("'{name}'")).collect();
    let known = |name: &str| signature.required.contains(&name) || signature.optional.contains(&name);
    let unknown = arguments.iter().find(|(name, _)| !name.as_str().is_some_and(known));
    // The one that hands on what it does not know finds out about it last.
    let hands_on = method == "executeCmd" && !missing.is_empty();
    if let (Some((unknown, _)), false) = (unknown, hands_on) {
        let class = if method == "executeCmd" { "Utils" } else { "CommandAction" };
        let text = format!("{class}.{method}() got an unexpected keyword argument {}", unknown.repr());
        return Err(type_error(text));
    }
    if !missing.is_empty() {
        let plural = if missing.len() == 1 { "argument" } else { "arguments" };
        return Err(type_error(format!(
            "CommandAction.{method}() missing {} required positional {plural}: {}",
            missing.len(),
            missing.join(" and ")
        )));
    }
    Ok(arguments)
}

fn argument<'a>(arguments: &'a Arguments, name: &str) -> Option<&'a Value> {
    arguments.iter().find(|(known, _)| known.as_str() == Some(name)).map(|(_, value)| value)
}

/// The ticket that `aInfo` describes; `None` without an address.
fn ticket(arguments: &Arguments) -> Result<Option<Arc<Ticket>>, Exception> {
    match argument(arguments, "aInfo") {
        Some(Value::Dict(info)) => {
            let ip = argument(info, "ip").map(|ip| Ticket::by_hand(Id::new(&ip.to_string()), now()));
            Ok(ip.map(Arc::new))
        }
        other => {
            let kind = other.map_or("NoneType", Value::type_name);
            Err(Exception::builtin("AttributeError", format!("'{kind}' object has no attribute 'get'")))
        }
    }
}

/// A value with a backslash before all that a shell may read as something else.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if "\\#&;`|*?~<>^()[]{}$'\"\n\r".contains(c) {
            out.push('\\');
        }
        out.push(match c {
            '\n' => 'n',
            '\r' => 'r',
            c => c,
        });
    }
    out
}

impl Running {
    /// Calls a method of an action. What takes time is done by the action's own thread, behind what it has to do already.
    pub(super) fn call(&mut self, action: &str, method: &str, given: Option<&Value>) -> Answer {
        match self.prepare(action, method, given) {
            Ok(Ok(call)) => self.hand_over(action, call),
            Ok(Err(value)) => Ok(value).into(),
            Err(exception) => Err(exception).into(),
        }
    }

    fn hand_over(&self, action: &str, call: Call) -> Answer {
        let Some(worker) = self.workers.get(action) else {
            let text = format!("jail '{}' has not been started", self.definition.name());
            return Err(Exception::builtin("RuntimeError", text)).into();
        };
        let (reply, from_action) = bounded(1);
        worker.order(worker::Order::Call(call, reply));
        Answer { value: Err(no_action(action)), carried_out: None, from_action: Some(from_action) }
    }

    /// What the action's thread has to do, or the answer when that is known already.
    fn prepare(
        &mut self,
        action: &str,
        method: &str,
        given: Option<&Value>,
    ) -> Result<Result<Call, Value>, Exception> {
        self.action(action)?;
        let arguments = arguments(method, given)?;
        let about = |call: fn(Arc<Ticket>) -> Call| match ticket(&arguments)? {
            Some(ticket) => Ok(Ok(call(ticket))),
            None if method == "unban" => Ok(Err(Value::None)),
            None => Err(Exception { class: "builtins.KeyError".to_owned(), args: vec!["ip".into()] }),
        };
        match method {
            "start" => Ok(Ok(Call::Start)),
            "stop" => Ok(Ok(Call::Stop)),
            "flush" => Ok(Ok(Call::Flush)),
            "reload" => Ok(Ok(Call::Reload)),
            "consistencyCheck" => Ok(Ok(Call::ConsistencyCheck)),
            "ban" => about(Call::Ban),
            "reban" => about(Call::Reban),
            "unban" => about(Call::Unban),
            "prolong" => about(Call::Prolong),
            "executeCmd" => {
                let command = argument(&arguments, "realCmd").map(Value::to_string).unwrap_or_default();
                let timeout = match argument(&arguments, "timeout") {
                    Some(given) => Duration::try_from_secs_f64(seconds(given)?.as_f64()).unwrap_or(PATIENCE),
                    None => PATIENCE,
                };
                Ok(Ok(Call::ExecuteCmd(command, timeout.min(PATIENCE))))
            }
            "clearAllParams" | "invalidateBanEpoch" => {
                let Some(known) = self.definition.actions.get_mut(action) else {
                    return Err(no_action(action));
                };
                if method == "clearAllParams" {
                    known.clear();
                } else {
                    known.raise_epoch();
                }
                if let Some(worker) = self.workers.get(action) {
                    worker.order(worker::Order::Change(Box::new(known.clone())));
                }
                Ok(Err(Value::None))
            }
            "escapeTag" => match argument(&arguments, "value") {
                Some(Value::Str(value)) => Ok(Err(escaped(value).into())),
                other => {
                    let kind = other.map_or("NoneType", Value::type_name);
                    Err(type_error(format!("expected string or bytes-like object, got '{kind}'")))
                }
            },
            // Differs: Fail2ban shows its inner workings here; nobody's firewall needs them.
            other => {
                let text = format!("method '{other}' of an action cannot be called from outside");
                Err(Exception::builtin("RuntimeError", text))
            }
        }
    }
}
