//! Why a line leads to a ban, or not: judged by a jail's settings in a filter of its own, so that the jail's is left alone.
//!
//! What a line is, the filter knows; where its offender stands (ignored, counted, banned), the jail.

use std::sync::Arc;

use indexmap::IndexMap;
use portcullis_jail::filter::{DateCut, Explanation, Hit, Moment, Nearest, Status, UseDns, written};
use portcullis_jail::{Id, Outside, Timestamp};
use portcullis_value::{Exception, Value};
use portcullis_wire::Request;
use portcullis_wire::request::JailSet;

use super::Definition;
use super::running::Running;
use super::surroundings::now;
use crate::control::dict;
use crate::log::{Format, Log, Target};
use crate::watch::Means;

/// A jail in operation takes a line of this age, in seconds, and beyond as happening now.
const NEAR: f64 = 60.0;

/// What makes a jail's judgement, copied.
pub(crate) struct Sketch {
    pub(crate) name: Arc<str>,
    pub(crate) means: Means,
    pub(crate) filter_commands: Vec<JailSet>,
    pub(crate) findtime: f64,
    pub(crate) maxretry: i64,
}

/// Where an offender stands.
#[derive(Clone)]
pub(crate) struct Standing {
    /// By which rule it is ignored.
    pub(crate) ignored: Option<String>,
    /// Asked last; not asked here.
    pub(crate) ignorecommand: String,
    /// Its failures, as far as they count.
    pub(crate) retry: f64,
    /// Since when it is banned, and until when (`None`: for ever).
    pub(crate) banned: Option<(Timestamp, Option<Timestamp>)>,
    /// Why the jail bans nobody now.
    pub(crate) at_rest: Option<&'static str>,
}

/// A line, judged.
pub(crate) struct Judged {
    line: String,
    explanation: Explanation,
    /// With `usedns = no`: the host that the line names.
    named: Option<String>,
    now: Timestamp,
}

impl Judged {
    /// Against whom the line is counted.
    pub(crate) fn offenders(&self) -> Vec<Id> {
        let hit = self.explanation.verdict.hits.first().filter(|hit| !hit.nofail);
        hit.map(|hit| hit.identities.iter().map(|(id, _)| id.clone()).collect()).unwrap_or_default()
    }
}

/// Judges lines in a filter of their own.
pub(crate) struct Explainer {
    sketch: Sketch,
    definition: Definition,
    /// The same with host names, where the jail looks at addresses only.
    with_names: Option<Definition>,
}

fn quiet() -> Log {
    let log = Log::new(Target::Stderr, Format::default());
    // Nothing is that bad.
    let _ = log.set_level("CRITICAL");
    log
}

impl Definition {
    /// What makes its judgement.
    pub(crate) fn sketch(&self) -> Sketch {
        Sketch {
            name: Arc::clone(self.name()),
            means: self.means,
            filter_commands: self.filter_commands.clone(),
            findtime: self.findtime.as_f64(),
            maxretry: self.jail.tally.settings().maxretry,
        }
    }
}

impl Running {
    /// Where these stand, for somebody who has judged a line by [`Definition::sketch`].
    pub(super) fn standings(&mut self, ids: &[Id]) -> Vec<Standing> {
        let at_rest = if !self.started {
            Some("the jail has not been started")
        } else if self.definition.idle {
            Some("the jail is idle: it reads no lines (set JAIL idle off)")
        } else if self.definition.jail.dry_run {
            Some("the server runs with --dry-run: nobody is banned")
        } else {
            None
        };
        let jail = &mut self.definition.jail;
        let outside = &mut self.outside;
        let each = ids.iter().map(|id| {
            let held = super::by_hand::holding(&jail.bans, id).map(|ticket| ticket.id);
            let since = held.as_ref().and_then(|id| Some((jail.bans.begin(id)?, jail.bans.end(id)?)));
            Standing {
                ignored: jail.ignore.covers(id, outside, &mut Vec::new()),
                ignorecommand: jail.ignore.ignorecommand().to_owned(),
                retry: jail.tally.retry(id).unwrap_or(0.0),
                banned: since,
                at_rest,
            }
        });
        each.collect()
    }
}

impl Explainer {
    /// A filter like the jail's.
    ///
    /// # Errors
    /// When a setting is refused, which the jail itself has taken.
    pub(crate) fn new(sketch: Sketch) -> Result<Self, Exception> {
        let made = |usedns: Option<&str>| {
            let log = quiet();
            let mut definition = Definition::silently(&sketch.name, "polling", Means::Polling);
            if let Some(usedns) = usedns {
                definition.set(JailSet::UseDns(Ok(usedns.to_owned())), &log)?;
            }
            for command in &sketch.filter_commands {
                if usedns.is_none() || !matches!(command, JailSet::UseDns(_)) {
                    definition.set(command.clone(), &log)?;
                }
            }
            Ok::<_, Exception>(definition)
        };
        let definition = made(None)?;
        let names = definition.jail.filter.usedns() == UseDns::No;
        Ok(Explainer { with_names: names.then(|| made(Some("raw"))).transpose()?, definition, sketch })
    }

    /// Judges a line.
    pub(crate) fn judge(&mut self, line: &str, outside: &mut dyn Outside) -> Judged {
        let at = Moment { now: now(), in_operation: false };
        let explanation = self.definition.jail.filter.explain(line, at, outside);
        let verdict = &explanation.verdict;
        let mut named = None;
        if verdict.hits.is_empty()
            && verdict.status != Status::Ignored
            && let Some(definition) = &mut self.with_names
        {
            let verdict = definition.jail.filter.explain(line, at, outside).verdict;
            let id = verdict.hits.first().and_then(|hit| hit.identities.first());
            named = id.map(|(id, _)| id.text().to_owned());
        }
        Judged { line: line.to_owned(), explanation, named, now: at.now }
    }

    /// Explains a judged line. `standings` are those of [`Judged::offenders`].
    pub(crate) fn tell(&self, judged: &Judged, standings: Vec<Standing>) -> Value {
        let Judged { line, explanation, now, .. } = judged;
        let hit = explanation.verdict.hits.first();
        let offenders: Vec<(Id, Standing)> = judged.offenders().into_iter().zip(standings).collect();
        let (outcome, why) =
            self.without_failure(judged).unwrap_or_else(|| self.with_failure(judged, &offenders));
        let filter = &self.definition.jail.filter;
        let regex = |index: usize, mut all: Box<dyn Iterator<Item = &str> + '_>| {
            let text = all.nth(index).map(written).unwrap_or_default();
            dict(vec![("number", Value::Int(index as i64 + 1)), ("regex", text.into())])
        };
        let failregex = |index| regex(index, Box::new(filter.failregex()));
        let ignoreregex = |index| regex(index, Box::new(filter.ignoreregex()));
        let nearest = explanation.nearest.as_ref().map(|nearest: &Nearest| {
            let regex = match nearest.index {
                Some(index) => failregex(index),
                None => dict(vec![
                    ("number", Value::None),
                    ("regex", filter.prefregex().map(written).unwrap_or_default().into()),
                ]),
            };
            let column = line.get(..nearest.at).unwrap_or_default().chars().count();
            dict(vec![
                ("regex", regex),
                ("found", nearest.found.as_str().into()),
                ("wanted", nearest.expected.as_str().into()),
                ("column", Value::Int(column as i64)),
            ])
        });
        let optional = |value: Option<Value>| value.unwrap_or(Value::None);
        let count = self.sketch.maxretry;
        let offenders = offenders.iter().map(|(id, standing)| shown(id, standing, count)).collect();
        dict(vec![
            ("line", line.as_str().into()),
            ("date", optional(explanation.date.as_ref().map(|date| shown_date(line, date, *now)))),
            ("text", explanation.text.as_str().into()),
            ("failregex", optional(hit.map(|hit| failregex(hit.index)))),
            ("ignoreregex", optional(explanation.verdict.ignored_by.first().copied().map(ignoreregex))),
            ("nearest", optional(nearest)),
            ("captured", hit.map_or(Value::Dict(Vec::new()), captured)),
            ("offenders", Value::List(offenders)),
            ("outcome", outcome.into()),
            ("why", why.into()),
        ])
    }

    /// Why the line is no failure, if it is none.
    fn without_failure(&self, judged: &Judged) -> Option<(&'static str, String)> {
        let verdict = &judged.explanation.verdict;
        if verdict.status == Status::Ignored {
            return Some(("ignoreregex", "an ignoreregex takes the line out".to_owned()));
        }
        let Some(hit) = verdict.hits.first() else {
            return Some(match &judged.named {
                Some(name) => (
                    "usedns",
                    format!(
                        "the line names the host {name} and no address, and usedns = no: names are not looked up"
                    ),
                ),
                None if self.definition.jail.filter.failregex().len() == 0 => {
                    ("missed", "the filter has no failregex".to_owned())
                }
                None => ("missed", "no failregex matches".to_owned()),
            });
        };
        if hit.nofail {
            let text = "the regex marks no failure by itself (<F-NOFAIL> or <F-MLFGAINED>): it is kept for other lines of the same connection";
            return Some(("no-failure", text.to_owned()));
        }
        if hit.identities.is_empty() {
            let name = hit.data.get("dns").and_then(Value::as_str);
            return Some(match name {
                Some(name) => ("no-address", format!("the host name {name} has no address")),
                None => (
                    "no-address",
                    "the line says against whom only together with others of its connection".to_owned(),
                ),
            });
        }
        None
    }

    /// What a failure leads to.
    fn with_failure(&self, judged: &Judged, offenders: &[(Id, Standing)]) -> (&'static str, String) {
        let now = judged.now;
        let Sketch { findtime, maxretry, .. } = self.sketch;
        let standing =
            |wanted: &dyn Fn(&Standing) -> bool| offenders.iter().find(|(_, standing)| wanted(standing));
        let span = |seconds: f64| portcullis_jail::time::duration_text(&Value::Int(seconds.round() as i64));
        if let Some((id, Standing { ignored: Some(rule), .. })) = standing(&|s| s.ignored.is_some()) {
            let rule = match rule.as_str() {
                "ip" | "dns" => "it is in ignoreip".to_owned(),
                "ignoreself rule" => "it is one of this machine's own addresses (ignoreself)".to_owned(),
                other => format!("by {other}"),
            };
            return ("ignored", format!("{id} is ignored: {rule}"));
        }
        if let Some((id, Standing { banned: Some((since, end)), .. })) = standing(&|s| s.banned.is_some()) {
            let end =
                end.map_or("for ever".to_owned(), |end| format!("for another {}", span(end.since(now))));
            let since = span(now.since(*since).max(1.0));
            return ("banned", format!("{id} is banned, for {since} already and {end}"));
        }
        if let Some((_, Standing { at_rest: Some(why), .. })) = standing(&|s| s.at_rest.is_some()) {
            return ("at-rest", (*why).to_owned());
        }
        // A journal's entries bring their times; a line of it that is given here has none.
        let dated = self.sketch.means != Means::Journal;
        let time = judged.explanation.date.as_ref().and_then(|date| date.time);
        match time {
            None if dated => {
                let text = "the line has no date that the jail reads: it counts as happening now if it comes while the jail follows the log, and not at all at a start (datepattern)";
                return ("no-date", text.to_owned());
            }
            Some(time) if now.since(time) > findtime => {
                let text = format!(
                    "the line is {} old, and failures count for findtime = {}: it counts no more. Coming in now, it would be taken as happening now: a wrong clock or time zone (logtimezone).{}",
                    span(now.since(time)),
                    span(findtime),
                    zone_hint(now.since(time))
                );
                return ("too-old", text);
            }
            Some(time) if time.since(now) > NEAR => {
                let text = format!(
                    "the line is dated {} in the future: a wrong clock or time zone (logtimezone). It counts as happening now.{}",
                    span(time.since(now)),
                    zone_hint(time.since(now))
                );
                return ("future", text);
            }
            _ => {}
        }
        let retry = offenders.iter().map(|(_, standing)| standing.retry).fold(0.0, f64::max);
        let within = span(findtime);
        let asked = offenders.iter().any(|(_, standing)| !standing.ignorecommand.is_empty());
        let unless =
            if asked { ", unless the ignorecommand, which was not asked now, lets it off" } else { "" };
        if retry + 1.0 >= maxretry as f64 {
            let text = format!(
                "one more such line and it is banned: {retry} of maxretry = {maxretry} within {within}{unless}"
            );
            return ("last-straw", text);
        }
        let text = format!(
            "it counts, but that is too few: {retry} of maxretry = {maxretry} within {within}, and one more with this line{unless}"
        );
        ("counted", text)
    }
}

/// A log whose clock is off by half hours, but for some minutes, is probably in another zone.
fn zone_hint(off: f64) -> String {
    let halves = (off / 1800.0).round();
    let near = (1.0..=28.0).contains(&halves) && (off - halves * 1800.0).abs() < 300.0;
    if !near {
        return String::new();
    }
    let span = portcullis_jail::time::duration_text(&Value::Int((halves * 1800.0) as i64));
    format!(" That is {span} to the minute, or nearly: is the log written in another time zone?")
}

fn shown_date(line: &str, date: &DateCut, now: Timestamp) -> Value {
    let (start, end) = date.span;
    let number = |text: Option<&str>| Value::Int(text.unwrap_or_default().chars().count() as i64);
    dict(vec![
        ("template", date.template.as_str().into()),
        ("text", line.get(start..end).unwrap_or_default().into()),
        ("column", number(line.get(..start))),
        ("time", date.time.map_or(Value::None, |time| Value::Float(time.0))),
        ("age", date.time.map_or(Value::None, |time| Value::Float(now.since(time)))),
    ])
}

fn captured(hit: &Hit) -> Value {
    let groups = hit.data.iter().filter(|(_, value)| **value != Value::None);
    Value::Dict(groups.map(|(name, value)| (name.into(), value.clone())).collect())
}

fn shown(id: &Id, standing: &Standing, maxretry: i64) -> Value {
    let time = |time: Option<Timestamp>| time.map_or(Value::None, |time| Value::Float(time.0));
    dict(vec![
        ("address", id.text().into()),
        ("ignored_by", standing.ignored.as_deref().map_or(Value::None, Value::from)),
        ("ignorecommand", standing.ignorecommand.as_str().into()),
        ("failures", Value::Float(standing.retry)),
        ("maxretry", Value::Int(maxretry)),
        ("banned", standing.banned.is_some().into()),
        ("since", time(standing.banned.map(|(since, _)| since))),
        ("end", time(standing.banned.and_then(|(_, end)| end))),
    ])
}

/// Explains lines by the commands of a configuration, without a server: nobody is banned, and the lines are counted one after the
/// other as if they came now.
///
/// # Errors
/// When the commands do not make a jail of that name.
pub fn without_server(
    commands: &[Value],
    jail: &str,
    lines: &[String],
    outside: &mut dyn Outside,
) -> Result<Value, Exception> {
    let log = quiet();
    let mut definition = Definition::silently(jail, "polling", Means::Polling);
    let mut means = Means::Polling;
    let mut known = false;
    for command in commands {
        match Request::from_value(command) {
            Ok(Request::Add { jail: name, backend }) if name == jail => {
                known = true;
                if backend.to_lowercase().starts_with("systemd") {
                    means = Means::Journal;
                }
            }
            Ok(Request::JailSet { jail: name, what }) if name == jail => match what {
                // Files need not be there, and nothing is carried out.
                JailSet::AddLogPath { .. }
                | JailSet::AddAction { .. }
                | JailSet::Action { .. }
                | JailSet::ActionProperties { .. } => {}
                what => definition.set(what, &log)?,
            },
            _ => {}
        }
    }
    if !known {
        return Err(crate::control::unknown_jail(jail));
    }
    definition.means = means;
    let mut explainer = Explainer::new(definition.sketch())?;
    let ignore = &mut definition.jail.ignore;
    let ignorecommand = ignore.ignorecommand().to_owned();
    let mut counted: IndexMap<Id, f64> = IndexMap::new();
    let told = lines.iter().map(|line| {
        let judged = explainer.judge(line, outside);
        let standings = judged.offenders().into_iter().map(|id| {
            let ignored = ignore.covers(&id, outside, &mut Vec::new());
            let failures = counted.entry(id).or_default();
            let retry = *failures;
            *failures += if ignored.is_none() { 1.0 } else { 0.0 };
            Standing { ignored, ignorecommand: ignorecommand.clone(), retry, banned: None, at_rest: None }
        });
        let standings = standings.collect();
        explainer.tell(&judged, standings)
    });
    Ok(Value::List(told.collect()))
}
