//! The one way in: every command, whether from the configuration, a client or a reload, is carried out here.

mod access;
mod client;
mod listen;
mod ours;
mod stream;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::bounded;
use indexmap::IndexMap;
use portcullis_jail::{Level, Timestamp};
use portcullis_value::{Exception, Value};
use portcullis_wire::request::{Late, NewSetting, Request, Setting};

use crate::jailer::{Definition, Jailer, Legacy, Order, Surroundings};
use crate::log::{Log, VERSION};
use crate::options::Options;

pub(crate) use access::share;
pub(crate) use listen::Control;

/// How long `sleep` sleeps at most. It holds up nobody but its client.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// What runs: the jails and what they share.
pub(crate) struct Server {
    log: Log,
    surroundings: Surroundings,
    jails: Mutex<IndexMap<Arc<str>, Jailer>>,
    /// One configuration at a time.
    configuring: Mutex<()>,
    settings: Mutex<Settings>,
    /// What is wrong with the configuration in force: a line for each jail that could not start.
    problems: Mutex<Vec<Problem>>,
    started: Timestamp,
    by_client: bool,
    /// A configuration was carried out, as far as it could be.
    configured: AtomicBool,
    stopping: Mutex<bool>,
    stop_asked: Condvar,
    stopped: AtomicBool,
}

/// Settings of the server that are only kept and told.
#[derive(Default)]
struct Settings {
    stacksize: i64,
}

/// Why a jail of the configuration does not run.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    /// The jail, when one is known.
    pub(crate) jail: Option<String>,
    /// What is wrong.
    pub(crate) text: String,
}

/// A dict with these keys.
pub(crate) fn dict(items: Vec<(&str, Value)>) -> Value {
    Value::Dict(items.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn unknown_jail(name: &str) -> Exception {
    Exception { class: "fail2ban.exceptions.UnknownJailException".to_owned(), args: vec![name.into()] }
}

impl Server {
    /// A server without jails.
    ///
    /// # Errors
    /// When the threads that all jails share cannot be started.
    pub(crate) fn new(options: Options, log: Log) -> std::io::Result<Self> {
        let surroundings = Surroundings::start(&options, log.clone())?;
        Ok(Server {
            log,
            surroundings,
            jails: Mutex::default(),
            configuring: Mutex::default(),
            settings: Mutex::default(),
            problems: Mutex::default(),
            started: crate::jailer::now(),
            configured: AtomicBool::new(false),
            by_client: options.stream.is_none(),
            stopping: Mutex::new(false),
            stop_asked: Condvar::new(),
            stopped: AtomicBool::new(false),
        })
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Makes [`Server::wait_for_stop`] return.
    pub(crate) fn request_stop(&self) {
        *lock(&self.stopping) = true;
        self.stop_asked.notify_all();
    }

    /// The same, but bans that are ours in the kernel stay there: another server takes them over at once.
    pub(crate) fn request_restart(&self) {
        self.surroundings.leaving.store(true, Ordering::Release);
        self.request_stop();
    }

    /// Whether the end is to be followed by a beginning.
    pub(crate) fn is_restarting(&self) -> bool {
        self.surroundings.leaving.load(Ordering::Acquire)
    }

    /// Whether a client sent the configuration, and will have to send it to the next server too.
    pub(crate) fn is_configured_by_client(&self) -> bool {
        self.by_client
    }

    /// Sleeps until somebody wants the end.
    pub(crate) fn wait_for_stop(&self) {
        let mut stopping = lock(&self.stopping);
        while !*stopping {
            stopping = self.stop_asked.wait(stopping).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Stops all jails, and what they share.
    pub(crate) fn stop(&self) {
        if self.stopped.swap(true, Ordering::AcqRel) {
            return;
        }
        self.log.info("observer", "Observer stop ... try to end queue 5 seconds");
        self.log.info("observer", "Observer stopped, 0 events remaining.");
        self.log.info("server", "Stopping all jails");
        self.stop_jails();
        self.surroundings.stop();
    }

    fn stop_jails(&self) {
        let jails: Vec<Jailer> = lock(&self.jails).drain(..).map(|(_, jail)| jail).collect();
        // All at once: actions of different jails do not wait for each other.
        let answers: Vec<_> = jails.iter().map(|jail| jail.order(Order::Stop)).collect();
        for answer in answers {
            let _ = answer.recv();
        }
    }

    /// Logs a failed command as Fail2ban does.
    pub(crate) fn log_failed(&self, command: &Value, exception: &Exception) {
        let received = Value::Exception(exception.clone()).repr();
        let text = format!("Command {} has failed. Received {received}", command.repr());
        self.log.error("transmitter", text);
    }

    fn jail(&self, name: &str) -> Result<Jailer, Exception> {
        lock(&self.jails).get(name).cloned().ok_or_else(|| unknown_jail(name))
    }

    fn all_jails(&self) -> Vec<Jailer> {
        lock(&self.jails).values().cloned().collect()
    }

    /// Carries out one request; `stop` is the caller's.
    ///
    /// # Errors
    /// What Fail2ban would raise.
    pub(crate) fn execute(&self, request: Request) -> Result<Value, Exception> {
        match request {
            Request::Ping => Ok("pong".into()),
            Request::Version => Ok(VERSION.into()),
            Request::Echo(words) => Ok(words),
            Request::Sleep(seconds) => {
                let time = Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_SLEEP);
                std::thread::sleep(time.min(LONGEST_SLEEP));
                Ok(Value::None)
            }
            Request::ServerStatus => Ok("Server ready".into()),
            Request::Ours(ours) => self.ours(ours),
            Request::ConfigError(text) => {
                self.log.error("transmitter", &text);
                lock(&self.problems).push(Problem { jail: None, text });
                Ok(Value::None)
            }
            Request::FlushLogs => Ok(self.log.flush().into()),
            Request::Status => Ok(self.status()),
            Request::StatusAll { flavor } => self.status_all(&flavor),
            Request::JailStatus { jail, flavor } => self.jail(&jail)?.ask(Order::Status { flavor }),
            Request::Stats => {
                let jails = self.all_jails();
                let stats = jails.iter().filter_map(|jail| Some((jail, jail.ask(Order::Stats).ok()?)));
                Ok(Value::Dict(stats.map(|(jail, stats)| (Value::from(&*jail.name), stats)).collect()))
            }
            Request::Banned(ips) => self.banned(&ips),
            Request::Unban(ips) => Ok(Value::Int(self.unban(&ips))),
            Request::UnbanAll => Ok(Value::Int(self.unban_all())),
            Request::Add { jail, backend } => self.add(&jail, &backend),
            Request::Start(jail) => self.jail(&jail)?.ask(Order::Start),
            Request::StopJail(jail) => {
                self.stop_jail(&jail)?;
                Ok(Value::None)
            }
            Request::StopAll => {
                self.log.info("server", "Stopping all jails");
                self.stop_jails();
                Ok(Value::None)
            }
            Request::Stop => {
                self.request_stop();
                Ok(Value::None)
            }
            Request::Reload(reload) => self.reload(reload).map(|()| "OK".into()),
            Request::ServerStream(stream) => self.configure(&stream).map(|()| Value::None),
            Request::Get(setting) => Ok(self.get(setting)),
            Request::Set(setting) => self.set(setting),
            Request::JailGet { jail, what } => self.jail(&jail)?.ask(Order::Get(what)),
            Request::JailSet { jail, what } => self.jail(&jail)?.ask(Order::Set(what)),
        }
    }

    fn status(&self) -> Value {
        let mut names: Vec<Arc<str>> = lock(&self.jails).keys().cloned().collect();
        names.sort_unstable();
        let pair = |name: &str, value: Value| Value::Tuple(vec![name.into(), value]);
        Value::List(vec![
            pair("Number of jail", Value::Int(names.len() as i64)),
            pair("Jail list", names.join(", ").into()),
        ])
    }

    fn status_all(&self, flavor: &str) -> Result<Value, Exception> {
        let mut jails = self.all_jails();
        jails.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let mut all = Vec::new();
        for jail in jails {
            let status = jail.ask(Order::Status { flavor: flavor.to_owned() })?;
            all.push((Value::from(&*jail.name), status));
        }
        let Value::List(mut status) = self.status() else { return Ok(Value::None) };
        status.push(Value::Dict(all));
        Ok(Value::List(status))
    }

    fn banned(&self, ips: &[Late<String>]) -> Result<Value, Exception> {
        let jails = self.all_jails();
        let ask = |jail: &Jailer, ips: &[Late<String>]| jail.ask(Order::Banned(ips.to_vec()));
        if ips.is_empty() {
            // A jail that ends in this moment holds nobody.
            let each = jails.iter().map(|jail| {
                let held = ask(jail, &[]).unwrap_or(Value::List(Vec::new()));
                Value::Dict(vec![(Value::from(&*jail.name), held)])
            });
            return Ok(Value::List(each.collect()));
        }
        let mut held: Vec<Vec<Value>> = vec![Vec::new(); ips.len()];
        for jail in &jails {
            // One address gets a bare number, several a list of them.
            let answers = match ask(jail, ips) {
                Ok(Value::List(answers)) => answers,
                Ok(one) => vec![one],
                Err(gone) if gone.class.ends_with("UnknownJailException") => continue,
                Err(exception) => return Err(exception),
            };
            for (held, answer) in held.iter_mut().zip(answers) {
                if answer.is_true() {
                    held.push(Value::from(&*jail.name));
                }
            }
        }
        Ok(Value::List(held.into_iter().map(Value::List).collect()))
    }

    fn unban(&self, ips: &[String]) -> i64 {
        let jails = self.all_jails();
        let mut count = 0;
        for ip in ips {
            for jail in &jails {
                if let Ok(Value::Int(lifted)) = jail.ask(Order::Unban(ip.clone())) {
                    count += lifted;
                }
            }
        }
        count
    }

    fn unban_all(&self) -> i64 {
        let answers: Vec<_> = self.all_jails().iter().map(|jail| jail.order(Order::UnbanAll)).collect();
        let lifted = answers.iter().map(|answer| match answer.recv().map(|answer| answer.value) {
            Ok(Ok(Value::Int(lifted))) => lifted,
            _ => 0,
        });
        lifted.sum()
    }

    fn add(&self, name: &str, backend: &str) -> Result<Value, Exception> {
        if lock(&self.jails).contains_key(name) {
            return Err(Exception {
                class: "fail2ban.exceptions.DuplicateJailException".to_owned(),
                args: vec![name.into()],
            });
        }
        let definition = Definition::new(name, backend, &self.log)?;
        self.spawn(definition)?;
        Ok(name.into())
    }

    fn spawn(&self, definition: Definition) -> Result<Jailer, Exception> {
        let jail = Jailer::spawn(definition, self.surroundings.clone())
            .map_err(|error| Exception::builtin("RuntimeError", error.to_string()))?;
        lock(&self.jails).insert(Arc::clone(&jail.name), jail.clone());
        Ok(jail)
    }

    fn stop_jail(&self, name: &str) -> Result<(), Exception> {
        let jail = self.jail(name)?;
        // Removed first: nobody finds a jail that is ending.
        lock(&self.jails).shift_remove(name);
        let _ = jail.order(Order::Stop).recv();
        Ok(())
    }

    /// Stops a jail in whose place another comes, and returns what that one goes on with.
    fn bequeath(&self, jail: &Jailer) -> Legacy {
        lock(&self.jails).shift_remove(&jail.name);
        let (left, legacy) = bounded(1);
        let _ = jail.order(Order::Bequeath(left)).recv();
        legacy.try_recv().unwrap_or_default()
    }

    fn get(&self, setting: Setting) -> Value {
        let store = &self.surroundings.store;
        match setting {
            Setting::LogLevel => self.log.level().into(),
            Setting::LogTarget => self.log.target().into(),
            Setting::SyslogSocket => self.log.syslogsocket().into(),
            Setting::DbFile => store.file().map_or(Value::None, Value::from),
            Setting::DbPurgeAge | Setting::DbMaxMatches if store.file().is_none() => Value::None,
            Setting::DbPurgeAge => store.purge_age(),
            Setting::DbMaxMatches => store.max_matches(),
            Setting::Thread => {
                Value::Dict(vec![("stacksize".into(), Value::Int(lock(&self.settings).stacksize))])
            }
        }
    }

    fn set(&self, setting: NewSetting) -> Result<Value, Exception> {
        let target_failed = |_| Exception::builtin("Exception", "Failed to change log target");
        let store = &self.surroundings.store;
        match setting {
            NewSetting::LogLevel { name, .. } => {
                let unknown = |name| Exception::builtin("ValueError", format!("Invalid log level '{name}'"));
                self.log.set_level(&name).map_err(unknown)?;
                Ok(self.log.level().into())
            }
            NewSetting::LogTarget { target, options } => {
                let options: Vec<String> = options.iter().map(|(k, v)| format!("{k}=\"{v}\"")).collect();
                let word =
                    if options.is_empty() { target } else { format!("{target}[{}]", options.join(",")) };
                self.log.set_target(&word).map_err(target_failed)?;
                Ok(self.log.target().into())
            }
            NewSetting::SyslogSocket(socket) => {
                self.log.set_syslogsocket(&socket).map_err(target_failed)?;
                Ok(self.log.syslogsocket().into())
            }
            NewSetting::DbFile(file) => {
                if file == store.file() {
                    return Ok(file.map_or(Value::None, Value::from));
                }
                if !lock(&self.jails).is_empty() {
                    let text = "Cannot change database when there are jails present";
                    return Err(Exception::builtin("RuntimeError", text));
                }
                store.open(file.as_deref());
                // Another file begins with what Fail2ban has by itself.
                store.set_purge_age(portcullis_value::Number::Int(86400));
                store.set_max_matches(10);
                Ok(store.file().map_or(Value::None, Value::from))
            }
            NewSetting::DbPurgeAge(age) => {
                if store.file().is_none() {
                    return Ok(Value::None);
                }
                store.set_purge_age(age?);
                Ok(store.purge_age())
            }
            NewSetting::DbMaxMatches(number) => {
                if store.file().is_none() {
                    return Ok(Value::None);
                }
                store.set_max_matches(number?);
                Ok(store.max_matches())
            }
            NewSetting::Thread(stacksize) => {
                // Kept and told; our threads have what they need.
                if let Some(stacksize) = stacksize {
                    lock(&self.settings).stacksize = stacksize;
                }
                Ok(Value::None)
            }
            NewSetting::AllowIpv6(value) => {
                self.log.say(Level::DEBUG, "server", format!("allowipv6 is {value}"));
                Ok(value)
            }
        }
    }
}
