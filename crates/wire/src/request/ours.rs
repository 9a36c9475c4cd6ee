//! What `portcullis` asks its server besides Fail2ban's commands. Each has one argument, a dict; unknown keys are passed over,
//! so that an older server answers a newer client as well as it can.

use portcullis_value::{Exception, Value, float, seconds};

use crate::words::{Words, items, strict_text, type_error};

type Result<T> = std::result::Result<T, Exception>;

/// The most that a client may wait for an answer, in seconds.
const LONGEST_WAIT: f64 = 60.0;
/// So much of a reason is kept, in characters.
const LONGEST_WHY: usize = 1000;
/// So many addresses may be named at once.
const MOST_ADDRESSES: usize = 10_000;
/// So many lines are explained at once.
const MOST_LINES: usize = 100;

/// A request of `portcullis`.
#[derive(Clone, Debug, PartialEq)]
pub enum Ours {
    /// `portcullis-report` → a dict with the state of everything
    Report,
    /// `portcullis-restart` → whether the client has to send the configuration to the next server; answered when this one has
    /// come to its end
    Restart,
    /// `portcullis-ban` → a list of dicts, one for each address and jail: what became of it
    Ban(Ban),
    /// `portcullis-unban` → a list of dicts, one for each jail: whose bans were lifted
    Unban {
        /// Addresses and networks; empty for all.
        addresses: Vec<String>,
        /// These jails; empty for all.
        jails: Vec<String>,
    },
    /// `portcullis-banned` → a list of dicts, one for each address: everything that is known of it
    Banned(Vec<String>),
    /// `portcullis-bans` → a list of dicts, one for each jail: its bans and the networks that they come from
    Bans {
        /// These jails; empty for all.
        jails: Vec<String>,
        /// So many bans of each, the newest first.
        newest: usize,
        /// So many networks of each, those with the most bans first.
        networks: usize,
    },
    /// `portcullis-explain` → a list of dicts, one for each line: what becomes of it, and why
    Explain {
        /// Whose judgement.
        jail: String,
        /// Lines as they stand in a log.
        lines: Vec<String>,
    },
    /// `portcullis-events` → a dict: what happened
    Events {
        /// What happened after the event of this number.
        after: u64,
        /// The number was counted by the run of the server that began then; another run tells all that it has.
        started: Option<f64>,
        /// If nothing has, wait so many seconds for it.
        wait: f64,
        /// No more than so many, the newest.
        most: usize,
    },
}

/// Bans by hand.
#[derive(Clone, Debug, PartialEq)]
pub struct Ban {
    /// Addresses and networks.
    pub addresses: Vec<String>,
    /// In these jails; empty for all.
    pub jails: Vec<String>,
    /// For so many seconds instead of the jail's time; -1 for ever.
    pub seconds: Option<Value>,
    /// Why.
    pub why: Option<String>,
    /// Wait so many seconds for the actions.
    pub wait: f64,
}

/// The dict that is the only argument; without one, an empty dict.
struct Asked<'w>(&'w [(Value, Value)]);

impl<'w> Asked<'w> {
    fn of(w: Words<'w>) -> Result<Self> {
        match w.0.first() {
            None | Some(Value::None) => Ok(Asked(&[])),
            Some(Value::Dict(asked)) => Ok(Asked(asked)),
            Some(other) => Err(type_error(format!("expected dict, got '{}'", other.type_name()))),
        }
    }

    fn given(&self, key: &str) -> Option<&'w Value> {
        let found = self.0.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value);
        found.filter(|value| **value != Value::None)
    }

    fn texts(&self, key: &str) -> Result<Vec<String>> {
        let Some(given) = self.given(key) else { return Ok(Vec::new()) };
        let given = items(given)?;
        if given.len() > MOST_ADDRESSES {
            let text = format!("more than {MOST_ADDRESSES} at once");
            return Err(Exception::builtin("ValueError", text));
        }
        given.iter().map(strict_text).collect()
    }

    fn count(&self, key: &str, default: usize) -> Result<usize> {
        let number = self.given(key).map(portcullis_value::int).transpose()?;
        Ok(number.map_or(default, |number| usize::try_from(number).unwrap_or(0)))
    }

    fn wait(&self) -> Result<f64> {
        let seconds = self.given("wait").map(float).transpose()?.unwrap_or(0.0);
        // NaN waits for nothing, too.
        Ok(if seconds > 0.0 { seconds.min(LONGEST_WAIT) } else { 0.0 })
    }
}

pub(crate) fn ban(w: Words<'_>) -> Result<Ours> {
    let asked = Asked::of(w)?;
    let why = asked.given("why").map(strict_text).transpose()?;
    Ok(Ours::Ban(Ban {
        addresses: asked.texts("addresses")?,
        jails: asked.texts("jails")?,
        seconds: asked.given("seconds").map(|time| seconds(time).map(Value::from)).transpose()?,
        why: why.map(|why| why.chars().take(LONGEST_WHY).collect()),
        wait: asked.wait()?,
    }))
}

pub(crate) fn unban(w: Words<'_>) -> Result<Ours> {
    let asked = Asked::of(w)?;
    Ok(Ours::Unban { addresses: asked.texts("addresses")?, jails: asked.texts("jails")? })
}

pub(crate) fn banned(w: Words<'_>) -> Result<Ours> {
    Ok(Ours::Banned(Asked::of(w)?.texts("addresses")?))
}

pub(crate) fn explain(w: Words<'_>) -> Result<Ours> {
    let asked = Asked::of(w)?;
    let lines = asked.texts("lines")?;
    if lines.len() > MOST_LINES {
        return Err(Exception::builtin("ValueError", format!("more than {MOST_LINES} lines at once")));
    }
    let jail = asked.given("jail").map(strict_text).transpose()?.unwrap_or_default();
    Ok(Ours::Explain { jail, lines })
}

pub(crate) fn bans(w: Words<'_>) -> Result<Ours> {
    let asked = Asked::of(w)?;
    let (newest, networks) = (asked.count("newest", usize::MAX)?, asked.count("networks", 0)?);
    Ok(Ours::Bans { jails: asked.texts("jails")?, newest, networks })
}

pub(crate) fn events(w: Words<'_>) -> Result<Ours> {
    let asked = Asked::of(w)?;
    let after = asked.count("after", 0)? as u64;
    let started = asked.given("started").map(float).transpose()?;
    Ok(Ours::Events { after, started, wait: asked.wait()?, most: asked.count("most", usize::MAX)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dict(items: &[(&str, Value)]) -> Value {
        Value::Dict(items.iter().map(|(key, value)| ((*key).into(), value.clone())).collect())
    }

    fn parsed(name: &str, argument: Value) -> std::result::Result<crate::Request, Exception> {
        crate::Request::parse(&[name.into(), argument])
    }

    #[test]
    fn what_is_not_given_has_a_default_and_what_is_unknown_is_passed_over() {
        let parsed = |name, argument| match parsed(name, argument) {
            Ok(crate::Request::Ours(ours)) => ours,
            other => panic!("{other:?}"),
        };
        assert_eq!(parsed("portcullis-banned", Value::None), Ours::Banned(vec![]));
        let all = Ours::Events { after: 0, started: None, wait: 0.0, most: usize::MAX };
        assert_eq!(parsed("portcullis-events", dict(&[("colour", 7.into())])), all);
        let some = Ours::Events { after: 9, started: None, wait: 60.0, most: 0 };
        let asked = dict(&[("after", 9.into()), ("wait", Value::Float(1e9)), ("most", (-3).into())]);
        assert_eq!(parsed("portcullis-events", asked), some);
    }

    #[test]
    fn a_time_may_be_written_as_in_the_configuration_and_a_reason_is_bounded() {
        let asked = dict(&[("seconds", "1d".into()), ("why", "é".repeat(5000).into())]);
        let Ok(crate::Request::Ours(Ours::Ban(ban))) = parsed("portcullis-ban", asked) else {
            panic!("no ban")
        };
        assert_eq!(ban.seconds, Some(Value::Int(86400)));
        assert_eq!(ban.why.unwrap().chars().count(), 1000);
    }

    #[test]
    fn what_is_no_dict_or_of_the_wrong_type_is_an_error() {
        for (key, value) in [("addresses", Value::Int(7)), ("why", Value::Int(7)), ("seconds", "x".into())] {
            assert!(parsed("portcullis-ban", dict(&[(key, value)])).is_err(), "{key}");
        }
        assert!(parsed("portcullis-unban", "all".into()).is_err());
        let many = Value::List(vec!["192.0.2.1".into(); 10_001]);
        assert!(parsed("portcullis-unban", dict(&[("addresses", many)])).is_err());
    }
}
