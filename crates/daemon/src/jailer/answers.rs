//! What a jail answers when it is asked: `get`, `status`, and the report for `portcullis status`.

use portcullis_jail::Id;
use portcullis_jail::action::METHODS;
use portcullis_jail::date::Detector;
use portcullis_value::{Exception, Value};
use portcullis_wire::request::{JailGet, JailSet, Late};

use super::running::Running;
use crate::control::dict;
use crate::watch::Means;

/// What a `set` is answered with.
pub(super) enum Shown {
    /// As this `get` would answer.
    Get(JailGet),
    /// A value of its own.
    Value(Value),
}

/// The answer to a `set`, decided before it is carried out.
pub(super) fn shown_after(what: &JailSet) -> Shown {
    let get = match what {
        JailSet::Idle(idle) => return Shown::Value(Value::Bool(*idle)),
        JailSet::AddLogPath { .. } | JailSet::DelLogPath(_) => JailGet::LogPath,
        JailSet::LogEncoding(_) => JailGet::LogEncoding,
        JailSet::AddJournalMatch(_) | JailSet::DelJournalMatch(_) => JailGet::JournalMatch,
        JailSet::IgnoreSelf(_) => JailGet::IgnoreSelf,
        JailSet::AddIgnoreIp(_) | JailSet::DelIgnoreIp(_) => JailGet::IgnoreIp,
        JailSet::IgnoreCommand(_) => JailGet::IgnoreCommand,
        JailSet::IgnoreCache(_) => JailGet::IgnoreCache,
        JailSet::PrefRegex(_) => JailGet::PrefRegex,
        JailSet::AddFailRegex(_) | JailSet::DelFailRegex(_) => JailGet::FailRegex,
        JailSet::AddIgnoreRegex(_) | JailSet::DelIgnoreRegex(_) => JailGet::IgnoreRegex,
        JailSet::AddFailRegexes(_) | JailSet::AddIgnoreRegexes(_) | JailSet::ActionProperties { .. } => {
            return Shown::Value(Value::Bool(true));
        }
        JailSet::UseDns(_) => JailGet::UseDns,
        JailSet::FindTime(_) => JailGet::FindTime,
        JailSet::BanTime(_) => JailGet::BanTime,
        JailSet::BanTimeOption { option, .. } => JailGet::BanTimeOption(option.clone()),
        JailSet::DatePattern(_) => JailGet::DatePattern,
        JailSet::LogTimeZone(_) => JailGet::LogTimeZone,
        JailSet::MaxRetry(_) => JailGet::MaxRetry,
        JailSet::MaxMatches(_) => JailGet::MaxMatches,
        JailSet::MaxLines(_) => JailGet::MaxLines,
        JailSet::AddAction { action, .. } => return Shown::Value(action.as_str().into()),
        JailSet::Action { action, name: Ok(name), .. } => {
            JailGet::ActionProperty { action: action.clone(), property: Ok(name.clone()) }
        }
        JailSet::DelAction(_)
        | JailSet::Action { .. }
        | JailSet::BanIp(_)
        | JailSet::UnbanIp { .. }
        | JailSet::Attempt { .. }
        | JailSet::Refused(_) => return Shown::Value(Value::None),
    };
    Shown::Get(get)
}

fn texts<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> Value {
    Value::List(items.into_iter().map(|item| Value::from(item.as_ref())).collect())
}

fn pair(name: &str, value: Value) -> Value {
    Value::Tuple(vec![name.into(), value])
}

fn count(number: impl TryInto<i64>) -> Value {
    Value::Int(number.try_into().unwrap_or(i64::MAX))
}

impl Running {
    pub(super) fn get_after(&self, shown: Shown) -> Result<Value, Exception> {
        match shown {
            Shown::Get(what) => self.get(what),
            Shown::Value(value) => Ok(value),
        }
    }

    pub(super) fn get(&self, what: JailGet) -> Result<Value, Exception> {
        let definition = &self.definition;
        let jail = &definition.jail;
        let (filter, ignore, bans) = (&jail.filter, &jail.ignore, &jail.bans);
        Ok(match what {
            JailGet::LogPath => texts(definition.logpaths.keys().map(|path| path.to_string_lossy())),
            JailGet::LogEncoding => definition.logencoding.as_str().into(),
            JailGet::JournalMatch => Value::List(definition.selection.groups().iter().map(texts).collect()),
            JailGet::IgnoreSelf => ignore.ignoreself().into(),
            JailGet::IgnoreIp => texts(ignore.entries()),
            // False as long as nobody has set it.
            JailGet::IgnoreCommand => definition.ignorecommand.clone().unwrap_or(Value::Bool(false)),
            JailGet::IgnoreCache => ignore.ignorecache().map_or(Value::None, |(key, most, time)| {
                Value::List(vec![key.into(), Value::Int(most), time.into()])
            }),
            JailGet::PrefRegex => filter.prefregex().unwrap_or_default().into(),
            JailGet::FailRegex => texts(filter.failregex()),
            JailGet::IgnoreRegex => texts(filter.ignoreregex()),
            JailGet::UseDns => filter.usedns().name().into(),
            JailGet::FindTime => definition.findtime.into(),
            JailGet::BanTime => bans.bantime(),
            JailGet::BanTimeOption(option) => jail.increment.stored(&option),
            // Entries bring their times with them.
            JailGet::DatePattern if definition.means == Means::Journal => Value::None,
            JailGet::DatePattern => filter.known_detector().map(Detector::name).map_or_else(
                || Value::Tuple(vec![Value::None, "Default Detectors".into()]),
                |(pattern, name)| Value::Tuple(vec![pattern.map_or(Value::None, Value::from), name.into()]),
            ),
            JailGet::LogTimeZone => definition.logtimezone.as_deref().map_or(Value::None, Value::from),
            JailGet::MaxRetry => Value::Int(jail.tally.settings().maxretry),
            JailGet::MaxMatches => Value::Int(definition.maxmatches),
            JailGet::MaxLines => count(filter.maxlines()),
            JailGet::Banned(ips) => self.banned(&ips)?,
            JailGet::BanIp { with_time: true } => texts(bans.with_time(&jiff::tz::TimeZone::system())),
            JailGet::BanIp { with_time: false } => texts(bans.ids_by_end().into_iter().map(Id::text)),
            JailGet::Refused(exception) => return Err(exception),
            JailGet::Actions => texts(definition.actions.keys()),
            JailGet::ActionProperties(action) => texts(self.action(&action)?.properties()),
            JailGet::ActionMethods(action) => self.action(&action).map(|_| texts(METHODS))?,
            JailGet::ActionProperty { action, property } => {
                let (action, property) = (self.action(&action)?, property?);
                action.property(&property).ok_or_else(|| {
                    let text = format!("'CommandAction' object has no attribute '{property}'");
                    Exception::builtin("AttributeError", text)
                })?
            }
        })
    }

    pub(super) fn banned(&self, ips: &[Late<String>]) -> Result<Value, Exception> {
        let bans = &self.definition.jail.bans;
        let held = |ip: &Late<String>| {
            // Nothing is compared with nobody.
            let held = !bans.is_empty() && bans.contains(&Id::parse(&ip.clone()?)?);
            Ok(Value::Int(i64::from(held)))
        };
        match ips {
            [] => Ok(texts(bans.ids().map(Id::text))),
            [one] => held(one),
            many => many.iter().map(held).collect::<Result<_, _>>().map(Value::List),
        }
    }

    pub(super) fn status(&self, flavor: &str) -> Value {
        let definition = &self.definition;
        let (tally, bans) = (&definition.jail.tally, &definition.jail.bans);
        if flavor == "stats" {
            return self.stats();
        }
        let source = match definition.means {
            Means::Journal => ("Journal matches", texts([definition.selection.shown()])),
            _ => ("File list", texts(definition.logpaths.keys().map(|path| path.to_string_lossy()))),
        };
        let filter = vec![
            pair("Currently failed", count(tally.currently_failed())),
            pair("Total failed", count(tally.total_failed())),
            pair(source.0, source.1),
        ];
        let mut actions =
            vec![pair("Currently banned", count(bans.len())), pair("Total banned", count(bans.total()))];
        match flavor {
            "short" => {}
            "cymru" => {
                // Differs: we ask no third party whose addresses these are.
                actions.push(pair("Banned IP list", texts(bans.ids().map(Id::text))));
                for name in ["Banned ASN list", "Banned Country list", "Banned RIR list"] {
                    actions.push(pair(name, texts(["error"])));
                }
            }
            _ => actions.push(pair("Banned IP list", texts(bans.ids().map(Id::text)))),
        }
        if !matches!(flavor, "basic" | "short" | "cymru") {
            let text = format!(
                "Unsupported extended jail status flavor '{flavor}'. Supported: ['short', 'basic', 'cymru']"
            );
            self.surroundings.log.warning("actions", text);
        }
        Value::List(vec![pair("Filter", Value::List(filter)), pair("Actions", Value::List(actions))])
    }

    pub(super) fn stats(&self) -> Value {
        let jail = &self.definition.jail;
        let both = |now: usize, total: u64| Value::Tuple(vec![count(now), count(total)]);
        Value::List(vec![
            self.definition.backend_name().into(),
            both(jail.tally.currently_failed(), jail.tally.total_failed()),
            both(jail.bans.len(), jail.bans.total()),
        ])
    }

    /// Everything that `portcullis status` tells about a jail.
    pub(super) fn report(&self) -> Value {
        let definition = &self.definition;
        let jail = &definition.jail;
        let sources = definition.logpaths.keys().map(|path| {
            let readable =
                std::fs::File::open(path).map_or_else(|e| Value::from(e.to_string()), |_| Value::None);
            dict(vec![("path", path.to_string_lossy().into_owned().into()), ("problem", readable)])
        });
        let journal = self.journal.as_ref().map(|journal| {
            let problem = journal.trouble().map_or(Value::None, Value::from);
            dict(vec![("path", crate::journal::NAME.into()), ("problem", problem)])
        });
        let actions = self.workers.values().map(|worker| {
            let health = worker.health();
            let text = |text: Option<String>| text.map_or(Value::None, Value::from);
            dict(vec![
                ("name", health.action.into()),
                ("by", health.by.into()),
                ("problem", text(health.finding)),
                ("waiting", count(health.waiting)),
                ("pending", count(health.bans.pending)),
                ("enforced", count(health.bans.enforced)),
                ("unverified", count(health.bans.unverified)),
                ("failed", count(health.bans.failed)),
                ("reason", text(health.reason)),
            ])
        });
        let dropped = jail.tally.dropped();
        dict(vec![
            ("name", (&**definition.name()).into()),
            ("started", self.started.into()),
            ("idle", definition.idle.into()),
            ("backend", definition.backend_name().into()),
            ("sources", Value::List(sources.chain(journal).collect())),
            ("currently_failed", count(jail.tally.currently_failed())),
            ("total_failed", count(jail.tally.total_failed())),
            ("currently_banned", count(jail.bans.len())),
            ("total_banned", count(jail.bans.total())),
            ("actions", Value::List(actions.collect())),
            ("incidents", self.surroundings.incidents.report(definition.name())),
            ("forgotten_offenders", count(dropped.identities)),
            ("lines_too_hard", count(jail.filter.counters().too_hard)),
            ("lines_cut", count(jail.filter.counters().cut)),
            ("broken_lines", count(self.broken_lines)),
            ("undecodable_lines", count(self.bad_encoding)),
        ])
    }
}
