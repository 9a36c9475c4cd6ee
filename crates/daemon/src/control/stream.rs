//! A whole configuration: the stream that a client sends at start and at a reload.
//!
//! The stream is carried out on definitions first, beside the running jails. Only a jail whose definition came out whole is
//! started or changed; a broken one is said, and what runs under its name stays as it was.
// Differs: in Fail2ban the first error ends the stream, and one bad jail leaves all others unstarted, or stopped.

use indexmap::IndexMap;
use portcullis_jail::{Level, LogLine};
use portcullis_value::{Exception, Value};
use portcullis_wire::event::Kind;
use portcullis_wire::request::{Reload, Request};

use super::{Problem, Server, lock, unknown_jail};
use crate::events::Event;
use crate::jailer::{Definition, Order};

/// What a stream makes of the jails that it names.
#[derive(Default)]
struct Plan {
    jails: IndexMap<String, Planned>,
    /// Errors in the order in which they came.
    errors: Vec<Exception>,
    /// Texts of `config-error`: jails that the client could not read.
    unreadable: Vec<String>,
}

struct Planned {
    /// The definition, unless a command of it failed.
    definition: Result<Box<Definition>, String>,
    start: bool,
}

impl Server {
    /// Carries out a start's stream.
    ///
    /// # Errors
    /// The first error. All that could be started runs nevertheless; with `strict` in `portcullis.conf`, nothing does.
    pub(crate) fn configure(&self, stream: &[Value]) -> Result<(), Exception> {
        let _one = lock(&self.configuring);
        lock(&self.problems).clear();
        let plan = self.plan(stream, false);
        let done = match plan.errors.first() {
            Some(first) if self.surroundings.is_strict() => Err(first.clone()),
            _ => self.carry_out(plan),
        };
        self.configured.store(true, std::sync::atomic::Ordering::Release);
        done
    }

    /// Carries out a reload: jails become what the stream says, and those that it does not name end.
    ///
    /// # Errors
    /// The first error. What is broken stays as it was.
    pub(crate) fn reload(&self, reload: Reload) -> Result<(), Exception> {
        let _one = lock(&self.configuring);
        match &reload.jail {
            Some(jail) => self.log.info("server", format!("Reload jail {jail}")),
            None => self.log.info("server", "Reload all jails"),
        }
        let result = self.reload_now(reload);
        self.log.info("server", "Reload finished.");
        result
    }

    fn reload_now(&self, reload: Reload) -> Result<(), Exception> {
        if let Some(jail) = &reload.jail {
            let known = lock(&self.jails).contains_key(jail.as_str());
            if !known && !reload.if_exists {
                return Err(unknown_jail(jail));
            }
        }
        let stream = reload.stream?;
        self.surroundings.reread_settings();
        // Before the plan is made: it adds what is wrong now.
        if reload.jail.is_none() {
            lock(&self.problems).clear();
        } else {
            lock(&self.problems).retain(|problem| problem.jail != reload.jail);
        }
        let plan = self.plan(&stream, true);
        let concerned = |name: &str| reload.jail.as_ref().is_none_or(|jail| jail == name);
        for jail in self.all_jails().iter().filter(|jail| concerned(&jail.name)) {
            if reload.unban {
                let _ = jail.ask(Order::UnbanAll);
            }
            let planned = plan.jails.get(&*jail.name);
            let broken = planned.is_some_and(|planned| planned.definition.is_err())
                || plan.unreadable.iter().any(|text| text.starts_with(&format!("Jail '{}' ", jail.name)));
            let ends = planned.is_none() || reload.restart;
            if ends && !broken {
                self.stop_jail(&jail.name)?;
            }
        }
        self.carry_out(plan)
    }

    fn plan(&self, stream: &[Value], reload: bool) -> Plan {
        let mut plan = Plan::default();
        for command in stream {
            if let Err(exception) = self.plan_one(command, reload, &mut plan) {
                self.log_failed(command, &exception);
                plan.errors.push(exception);
            }
        }
        plan
    }

    fn plan_one(&self, command: &Value, reload: bool, plan: &mut Plan) -> Result<(), Exception> {
        // A command of a jail whose definition is broken already is passed over: one error for a jail is enough.
        let named = jail_of(command);
        if named.and_then(|jail| plan.jails.get(jail)).is_some_and(|planned| planned.definition.is_err()) {
            return Ok(());
        }
        let result =
            Request::from_value(command).and_then(|request| self.plan_request(request, reload, plan));
        if let (Err(exception), Some(jail)) = (&result, named)
            && let Some(planned) = plan.jails.get_mut(jail)
        {
            planned.definition = Err(exception.to_string());
        }
        result
    }

    fn plan_request(&self, request: Request, reload: bool, plan: &mut Plan) -> Result<(), Exception> {
        match request {
            Request::Add { jail, backend } => {
                let running = lock(&self.jails).get(jail.as_str()).cloned();
                let log = &self.log;
                let made = match running.filter(|_| reload) {
                    Some(running) if *running.backend == *backend => {
                        log.info("server", format!("Reload jail '{jail}'"));
                        Ok(Definition::silently(&jail, &backend, running.means))
                    }
                    Some(running) => {
                        let (old, new) =
                            (Value::from(&*running.backend).repr(), Value::from(&*backend).repr());
                        log.info("server", format!("Restart jail '{jail}' (reason: {old} != {new})"));
                        Definition::new(&jail, &backend, log)
                    }
                    None => Definition::new(&jail, &backend, log),
                };
                let definition = made.map(Box::new);
                let error = definition.as_ref().err().cloned();
                let definition = definition.map_err(|error| error.to_string());
                plan.jails.insert(jail, Planned { definition, start: false });
                error.map_or(Ok(()), Err)
            }
            Request::JailSet { jail, what } => match plan.jails.get_mut(&jail) {
                Some(Planned { definition: Ok(definition), .. }) => definition.set(what, &self.log),
                Some(_) => Ok(()),
                // A stream may also set what runs already.
                None => self.execute(Request::JailSet { jail, what }).map(drop),
            },
            Request::Start(jail) => {
                match plan.jails.get_mut(&jail) {
                    Some(planned) => planned.start = true,
                    None => drop(self.execute(Request::Start(jail))?),
                }
                Ok(())
            }
            Request::ConfigError(text) => {
                plan.unreadable.push(text.clone());
                self.log.error("transmitter", &text);
                let jail = text.split('\'').nth(1).map(str::to_owned);
                lock(&self.problems).push(Problem { jail, text });
                Ok(())
            }
            // A stream that stops, reloads or streams is none of ours.
            Request::Stop | Request::Reload(_) | Request::ServerStream(_) => {
                Err(Exception::builtin("Exception", "Invalid command"))
            }
            other => self.execute(other).map(drop),
        }
    }

    fn carry_out(&self, mut plan: Plan) -> Result<(), Exception> {
        for (name, planned) in plan.jails {
            let result = match planned.definition {
                Ok(definition) => self.install(*definition, planned.start),
                Err(text) => {
                    lock(&self.problems).push(Problem { jail: Some(name.clone()), text });
                    continue;
                }
            };
            if let Err(exception) = result {
                self.log.error("server", format!("Jail '{name}' could not be started: {exception}"));
                lock(&self.problems).push(Problem { jail: Some(name), text: exception.to_string() });
                plan.errors.push(exception);
            }
        }
        plan.errors.into_iter().next().map_or(Ok(()), Err)
    }

    fn install(&self, definition: Definition, start: bool) -> Result<(), Exception> {
        let name = definition.name().clone();
        let running = lock(&self.jails).get(&name).cloned();
        let mut legacy = None;
        if let Some(running) = running {
            if *running.backend == *definition.backend {
                running.ask(Order::Become(Box::new(definition)))?;
                let line = LogLine::new(Level::INFO, "server", format!("Jail '{name}' reloaded"));
                self.log.write_as(&line, Event::new(Kind::State).jail(&name).text("reloaded"));
                return Ok(());
            }
            legacy = Some(self.bequeath(&running));
        }
        let jail = self.spawn(definition)?;
        if let Some(legacy) = legacy {
            jail.ask(Order::Inherit(Box::new(legacy)))?;
        }
        if start {
            jail.ask(Order::Start)?;
        }
        Ok(())
    }
}

/// The jail that a command of a stream is about.
fn jail_of(command: &Value) -> Option<&str> {
    let (Value::List(words) | Value::Tuple(words)) = command else { return None };
    match words.first()?.as_str()? {
        "add" | "start" | "set" | "multi-set" => words.get(1)?.as_str(),
        _ => None,
    }
}
