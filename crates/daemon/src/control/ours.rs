//! What `portcullis` asks: its report, bans by hand and what has become of them, what is known of addresses, what happened.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use portcullis_jail::Id;
use portcullis_value::{Exception, Value};
use portcullis_wire::request::{Ban, Ours};

use super::{Server, dict, lock};
use crate::act::worker::{Enforcement, States};
use crate::jailer::explain::Explainer;
use crate::jailer::{Answer, Jailer, Order};

/// How long a report waits for one jail.
const REPORT_PATIENCE: Duration = Duration::from_secs(2);
/// How long one waits for an action to tell the state of bans, when nothing else is said.
const STATES_PATIENCE: Duration = Duration::from_millis(500);
/// How long one waits until lifted bans are gone.
const UNBAN_PATIENCE: Duration = Duration::from_secs(30);

fn optional(text: Option<impl Into<String>>) -> Value {
    text.map_or(Value::None, |text| Value::Str(text.into()))
}

/// The value of an answer; and waits until the deadline for the actions that carry it out. `None` if the jail has ended or does
/// not answer.
fn value_by(answer: &Receiver<Answer>, deadline: Instant) -> Option<Value> {
    let answer = answer.recv_deadline(deadline.max(Instant::now() + REPORT_PATIENCE)).ok()?;
    if let Some(carried_out) = answer.carried_out {
        // Closed when the last action is through.
        let _ = carried_out.recv_deadline(deadline);
    }
    answer.value.ok()
}

impl Server {
    pub(super) fn ours(&self, request: Ours) -> Result<Value, Exception> {
        match request {
            Ours::Report => Ok(self.report()),
            // Whoever waits for the answer is the client's thread, as with a stop.
            Ours::Restart => {
                self.request_restart();
                Ok(self.is_configured_by_client().into())
            }
            Ours::Ban(ban) => self.ban_by_hand(ban),
            Ours::Unban { addresses, jails } => self.unban_by_hand(addresses, &jails),
            Ours::Banned(addresses) => Ok(self.about(&addresses)),
            Ours::Bans { jails, newest, networks } => {
                let jails = self.jails_named(&jails)?;
                let answers: Vec<_> =
                    jails.iter().map(|jail| jail.order(Order::Bans { newest, networks })).collect();
                let deadline = Instant::now() + REPORT_PATIENCE;
                Ok(Value::List(answers.iter().filter_map(|answer| value_by(answer, deadline)).collect()))
            }
            Ours::Explain { jail, lines } => self.explain(&jail, &lines),
            Ours::Events { after, started, wait, most } => {
                let after = if started.is_none_or(|started| started == self.started.0) { after } else { 0 };
                let wait = Duration::try_from_secs_f64(wait).unwrap_or_default();
                let Value::Dict(mut events) = self.log.events().after(after, wait, most) else {
                    return Ok(Value::None);
                };
                // By this a listener knows that the numbers are those of another run.
                events.push(("started".into(), Value::Float(self.started.0)));
                Ok(Value::Dict(events))
            }
        }
    }

    /// What becomes of lines in a jail. They are judged here, in a filter like the jail's: the jail goes on meanwhile.
    fn explain(&self, jail: &str, lines: &[String]) -> Result<Value, Exception> {
        let jail = self.jail(jail)?;
        let gone = |_| super::unknown_jail(&jail.name);
        let (reply, sketch) = unbounded();
        jail.order(Order::Sketch(reply));
        let mut explainer = Explainer::new(sketch.recv_timeout(REPORT_PATIENCE).map_err(gone)?)?;
        let mut outside = self.surroundings.outside(&jail.name);
        let mut told = Vec::new();
        for line in lines {
            let judged = explainer.judge(line, &mut outside);
            let offenders = judged.offenders();
            let mut standings = Vec::new();
            if !offenders.is_empty() {
                let (reply, answer) = unbounded();
                jail.order(Order::Standings(offenders.into(), reply));
                standings = answer.recv_timeout(REPORT_PATIENCE).map_err(gone)?;
            }
            told.push(explainer.tell(&judged, standings));
        }
        Ok(Value::List(told))
    }

    /// These jails; all when none is named.
    fn jails_named(&self, names: &[String]) -> Result<Vec<Jailer>, Exception> {
        if names.is_empty() {
            Ok(self.all_jails())
        } else {
            names.iter().map(|name| self.jail(name)).collect()
        }
    }

    /// Everything that `portcullis status` tells.
    fn report(&self) -> Value {
        let jails = self.all_jails();
        let answers: Vec<_> = jails.iter().map(|jail| (jail, jail.order(Order::Report))).collect();
        let jails = answers.into_iter().map(|(jail, answer)| {
            match answer.recv_timeout(REPORT_PATIENCE).map(|answer| answer.value) {
                Ok(Ok(report)) => report,
                _ => dict(vec![("name", (&*jail.name).into()), ("busy", true.into())]),
            }
        });
        let jails = Value::List(jails.collect());
        let problems = lock(&self.problems).clone().into_iter();
        let problems = problems
            .map(|problem| dict(vec![("jail", optional(problem.jail)), ("problem", problem.text.into())]));
        let lost =
            self.log.lost().map(|(lines, why)| format!("{lines} log lines could not be written: {why}"));
        dict(vec![
            ("version", env!("CARGO_PKG_VERSION").into()),
            ("pid", Value::Int(std::process::id().into())),
            ("started", Value::Float(self.started.0)),
            ("configured", self.configured.load(Ordering::Acquire).into()),
            ("dry_run", self.surroundings.dry_run.into()),
            ("log", dict(vec![("target", self.log.target().into()), ("problem", optional(lost))])),
            ("database", self.surroundings.store.report()),
            ("jails", jails),
            ("problems", Value::List(problems.collect())),
        ])
    }
    fn ban_by_hand(&self, ban: Ban) -> Result<Value, Exception> {
        let wrong = |text: String| Err(Exception::builtin("ValueError", text));
        let ids: Arc<[Id]> = ban.addresses.iter().map(|address| Id::new(address)).collect();
        for (id, given) in ids.iter().zip(&ban.addresses) {
            // Everybody would be written as one address, and mean that.
            if id.covers().is_none_or(|net| net.prefix_len() == 0) {
                return wrong(format!("'{given}' is no address and no network"));
            }
        }
        let jails = self.jails_named(&ban.jails)?;
        if jails.is_empty() {
            return wrong("no jail runs that could ban".to_owned());
        }
        let deadline = Instant::now() + Duration::try_from_secs_f64(ban.wait).unwrap_or_default();
        let ban = Arc::new(ban);
        let answers: Vec<_> =
            jails.iter().map(|jail| jail.order(Order::BanByHand(Arc::clone(&ban)))).collect();
        let mut outcomes = Vec::new();
        for (jail, answer) in jails.iter().zip(answers) {
            let Some(Value::List(banned)) = value_by(&answer, deadline) else {
                let text = format!("jail '{}' does not answer", jail.name);
                return Err(Exception::builtin("RuntimeError", text));
            };
            let (_, actions) = about_in(jail, &ids, deadline);
            for (place, outcome) in banned.into_iter().enumerate() {
                let Value::Dict(mut outcome) = outcome else { continue };
                outcome.insert(1, ("jail".into(), (&*jail.name).into()));
                outcome.extend(enforcement(&actions, place));
                outcomes.push(Value::Dict(outcome));
            }
        }
        Ok(Value::List(outcomes))
    }

    fn unban_by_hand(&self, addresses: Vec<String>, jails: &[String]) -> Result<Value, Exception> {
        let jails = self.jails_named(jails)?;
        let addresses: Arc<[String]> = addresses.into();
        let answers: Vec<_> =
            jails.iter().map(|jail| jail.order(Order::UnbanByHand(Arc::clone(&addresses)))).collect();
        let deadline = Instant::now() + UNBAN_PATIENCE;
        let lifted = jails.iter().zip(&answers).map(|(jail, answer)| {
            let count = |value: &Value| if let Value::Int(count) = value { *count } else { 0 };
            let (addresses, all) = match value_by(answer, deadline) {
                Some(Value::List(counts)) => {
                    let each = addresses.iter().zip(&counts).map(|(address, lifted)| {
                        dict(vec![("address", address.as_str().into()), ("lifted", lifted.clone())])
                    });
                    (each.collect(), counts.iter().map(count).sum())
                }
                Some(all) => (Vec::new(), count(&all)),
                None => (Vec::new(), 0),
            };
            dict(vec![
                ("jail", (&*jail.name).into()),
                ("lifted", Value::Int(all)),
                ("addresses", Value::List(addresses)),
            ])
        });
        Ok(Value::List(lifted.collect()))
    }

    /// Everything that is known of some addresses.
    fn about(&self, addresses: &[String]) -> Value {
        let ids: Arc<[Id]> = addresses.iter().map(|address| Id::new(address)).collect();
        let deadline = Instant::now() + STATES_PATIENCE;
        let mut found: Vec<Vec<Value>> = vec![Vec::new(); ids.len()];
        for jail in self.all_jails() {
            let (bans, actions) = about_in(&jail, &ids, deadline);
            for (place, ban) in bans.into_iter().enumerate() {
                let Value::Dict(mut ban) = ban else { continue };
                self.with_lines(&mut ban, &jail, &ids[place]);
                ban.extend(enforcement(&actions, place));
                found[place].push(Value::Dict(ban));
            }
        }
        let each = ids.iter().zip(found).map(|(id, bans)| {
            let history = self.surroundings.store.history("", id, true);
            dict(vec![
                ("address", id.text().into()),
                ("banned", (!bans.is_empty()).into()),
                ("bans", Value::List(bans)),
                ("recorded_bans", Value::Int(history.as_ref().map_or(0, |history| history.count.into()))),
                ("last_ban", history.map_or(Value::None, |history| Value::Float(history.last.0))),
            ])
        });
        Value::List(each.collect())
    }

    /// Lines that the jail has forgotten, the database may still have.
    fn with_lines(&self, ban: &mut [(Value, Value)], jail: &Jailer, id: &Id) {
        let failures = ban.iter().any(|(key, value)| key.as_str() == Some("failures") && value.is_true());
        let lines = ban.iter_mut().find(|(key, _)| key.as_str() == Some("lines")).map(|(_, lines)| lines);
        if let (true, Some(lines)) = (failures, lines.filter(|lines| !lines.is_true())) {
            let past = self.surroundings.store.past(&jail.name, id, false).matches;
            *lines = Value::List(past.into_iter().map(Value::from).collect());
        }
    }
}

/// What a jail knows of some addresses, and what its actions know; `None` for an action that has not answered by then.
fn about_in(jail: &Jailer, ids: &Arc<[Id]>, deadline: Instant) -> (Vec<Value>, Vec<Option<States>>) {
    let (tell, told) = unbounded();
    let answer = jail.order(Order::About(Arc::clone(ids), tell));
    let Some(Value::List(known)) = value_by(&answer, deadline) else { return (Vec::new(), Vec::new()) };
    let deadline = deadline.max(Instant::now() + STATES_PATIENCE);
    let mut actions = Vec::new();
    loop {
        match told.recv_deadline(deadline) {
            Ok(states) => actions.push(Some(states)),
            // All of them have answered.
            Err(error) if error.is_disconnected() => return (known, actions),
            Err(_) => {
                actions.push(None);
                return (known, actions);
            }
        }
    }
}

/// Whether one of the bans is in force, by all that its jail's actions say: `enforcement` and `actions`.
fn enforcement(actions: &[Option<States>], place: usize) -> [(Value, Value); 2] {
    let mut all = Vec::new();
    let mut each = Vec::new();
    for action in actions {
        let Some(States { action, bans }) = action else {
            all.push("pending");
            continue;
        };
        let Some(state) = bans.get(place).cloned().flatten() else { continue };
        let name = match &state {
            Enforcement::Pending => "pending",
            Enforcement::Enforced => "enforced",
            Enforcement::Unverified => "unverified",
            Enforcement::Failed(_) | Enforcement::Absent(_) => "failed",
        };
        all.push(name);
        each.push(dict(vec![
            ("action", action.as_str().into()),
            ("state", name.into()),
            ("reason", optional(state.failure())),
        ]));
    }
    // The worst counts; but what cannot be read back (a mail) beside what was read back does no harm.
    let worst = ["failed", "pending", "enforced", "unverified"].into_iter().find(|state| all.contains(state));
    [("enforcement".into(), worst.unwrap_or("none").into()), ("actions".into(), Value::List(each))]
}
