//! What a running server knows: names of jails and actions, banned addresses. Without one, or a slow one, nothing.

use std::path::PathBuf;
use std::time::Duration;

use portcullis_value::Value;

use super::Candidates;
use crate::portcullis::answer::{items, list, text};
use crate::portcullis::arguments::Place;
use crate::portcullis::server::Server;

/// Nobody waits longer for the tab key.
const PATIENCE: Duration = Duration::from_millis(700);
/// So many addresses are offered.
const OFFERED: i64 = 200;

/// A server that may be asked, by the options on the line.
pub(super) struct Known {
    server: Option<Server>,
}

impl Known {
    /// By `-c` and `-s`, when they were given.
    pub(super) fn of(words: &[String]) -> Self {
        let given = |short: &str, long: &str| {
            let at = words.iter().rposition(|word| word == short || word == long)?;
            words.get(at + 1).map(PathBuf::from)
        };
        let conf = given("-c", "--conf").unwrap_or_else(|| "/etc/fail2ban".into());
        let server = Server::find(&Place { conf, socket: given("-s", "--socket") }).ok();
        Known { server }
    }

    fn ask(&self, words: Vec<Value>) -> Value {
        self.server.as_ref().and_then(|server| server.ask(words, PATIENCE).ok()).unwrap_or(Value::None)
    }

    pub(super) fn jails(&self, candidates: &mut Candidates) {
        // Fail2ban's own command: the server may be a genuine one.
        let status = self.ask(vec!["status".into()]);
        let names = items(&status).get(1).map(|pair| match pair {
            Value::Tuple(pair) | Value::List(pair) => pair.get(1).map(Value::to_string).unwrap_or_default(),
            _ => String::new(),
        });
        for name in names.unwrap_or_default().split(", ").filter(|name| !name.is_empty()) {
            candidates.add(name, "a jail");
        }
    }

    pub(super) fn actions(&self, jail: &str, candidates: &mut Candidates) {
        for name in items(&self.ask(vec!["get".into(), jail.into(), "actions".into()])) {
            candidates.add(name.to_string(), format!("an action of {jail}"));
        }
    }

    /// Who is banned, in this jail or in all.
    pub(super) fn addresses(&self, jail: Option<&str>, candidates: &mut Candidates) {
        let jails = Value::List(jail.map(Value::from).into_iter().collect());
        let asked = Value::Dict(vec![("newest".into(), Value::Int(OFFERED)), ("jails".into(), jails)]);
        for jail in items(&self.ask(vec!["portcullis-bans".into(), asked])) {
            for ban in list(jail, "bans") {
                candidates.add(text(ban, "address"), format!("banned in {}", text(jail, "jail")));
            }
        }
    }
}
