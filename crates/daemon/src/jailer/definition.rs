//! What a jail is told to be, by its configuration and by commands; before it runs, and as the measure at a reload.

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use portcullis_jail::action::Action;
use portcullis_jail::ban::increment::set_line;
use portcullis_jail::date::DateError;
use portcullis_jail::encoding::Encoding;
use portcullis_jail::filter::RegexError;
use portcullis_jail::jail::Jail;
use portcullis_value::{Exception, Number, Value, seconds};
use portcullis_wire::request::JailSet;

use super::backend::Backend;
use super::surroundings::now;
use crate::act::mail::{self, Mailer};
use crate::journal::{Place, Selection};
use crate::log::Log;
use crate::start::python_error;
use crate::watch::Means;

/// From this length on Fail2ban warns about a jail's name.
const LONG_NAME: usize = 26;

/// A jail as it is to be.
pub(crate) struct Definition {
    /// As written: `auto`, `polling`, `pyinotify`. A reload with another word makes another jail.
    pub(crate) backend: String,
    pub(crate) means: Means,
    /// Which journal, where it is one; a reload leaves it as it is.
    pub(crate) place: Option<Place>,
    /// What is read of the journal.
    pub(crate) selection: Selection,
    /// Filter, ignore list, limits. Bans and tallies are empty until the jail runs.
    pub(crate) jail: Jail,
    /// The commands that made the filter, to see at a reload whether it is still the same.
    pub(crate) filter_commands: Vec<JailSet>,
    /// The same for the ignore list.
    pub(crate) ignore_commands: Vec<JailSet>,
    /// As it was given: whole or not is shown to users.
    pub(crate) findtime: Number,
    pub(crate) logencoding: String,
    /// The same, understood.
    pub(crate) encoding: Encoding,
    pub(crate) idle: bool,
    /// Files, and whether to begin at their end.
    pub(crate) logpaths: IndexMap<Arc<Path>, bool>,
    pub(crate) actions: IndexMap<String, Action>,
    /// As it was given: an empty one is no zone, and shown.
    pub(crate) logtimezone: Option<String>,
    /// As it was given: a negative one means none, and is shown.
    pub(crate) maxmatches: i64,
    /// As it was given, if ever: `get J ignorecommand` tells "never set" from "set to nothing".
    pub(crate) ignorecommand: Option<Value>,
}

impl Definition {
    /// A new jail for a backend.
    ///
    /// # Errors
    /// When there is no such backend.
    pub(crate) fn new(name: &str, backend: &str, log: &Log) -> Result<Self, Exception> {
        log.info("jail", format!("Creating new jail '{name}'"));
        if name.chars().count() >= LONG_NAME {
            log.warning(
                "jail",
                format!(
                    "Jail name '{name}' might be too long and some commands might not function correctly. Please shorten"
                ),
            );
        }
        let carrier = Backend::new(name, backend, log)?;
        let mut definition = Self::with(name, backend, carrier.means);
        definition.place = carrier.place;
        Ok(definition)
    }

    /// A new definition of a jail that runs already, with the same backend: nothing is said of it.
    pub(crate) fn silently(name: &str, backend: &str, means: Means) -> Self {
        Self::with(name, backend, means)
    }

    fn with(name: &str, backend: &str, means: Means) -> Self {
        let jail = Jail::new(name.into(), jiff::tz::TimeZone::system(), seed());
        let maxmatches = i64::try_from(jail.tally.settings().maxmatches).unwrap_or(i64::MAX);
        Definition {
            backend: backend.to_owned(),
            means,
            place: None,
            selection: Selection::default(),
            jail,
            filter_commands: Vec::new(),
            ignore_commands: Vec::new(),
            findtime: Number::Int(600),
            logencoding: "UTF-8".to_owned(),
            encoding: Encoding::UTF_8,
            idle: false,
            logpaths: IndexMap::new(),
            actions: IndexMap::new(),
            logtimezone: None,
            maxmatches,
            ignorecommand: None,
        }
    }

    /// What carries the jail's lines, as `stats` names it.
    pub(crate) fn backend_name(&self) -> &'static str {
        match self.means {
            Means::Inotify => "pyinotify",
            Means::Polling => "polling",
            Means::Journal => "systemd",
        }
    }

    /// The jail's name.
    pub(crate) fn name(&self) -> &Arc<str> {
        self.jail.name()
    }

    /// Carries out one `set` of what a jail is. Those that act on a running jail are [`Running`](super::Running)'s.
    ///
    /// # Errors
    /// What Fail2ban answers; the definition is then as it was.
    pub(crate) fn set(&mut self, command: JailSet, log: &Log) -> Result<(), Exception> {
        let kept = command.clone();
        match command {
            JailSet::Idle(idle) => self.idle = idle,
            JailSet::AddLogPath { path, tail } => self.add_log_path(&path?, tail, log)?,
            JailSet::DelLogPath(path) => {
                self.logpaths.shift_remove(Path::new(&path));
            }
            JailSet::LogEncoding(encoding) => {
                let encoding = encoding?;
                self.encoding = Encoding::named(&encoding).ok_or_else(|| {
                    Exception::builtin("LookupError", format!("unknown encoding: {encoding}"))
                })?;
                // A locale of ours is always UTF-8: what `auto` means wherever it is not a rare 8-bit one.
                self.logencoding =
                    if encoding.eq_ignore_ascii_case("auto") { "UTF-8".to_owned() } else { encoding };
                log.info("filter", format!("  encoding: {}", self.logencoding));
            }
            // Fail2ban takes them for every backend, and only the journal's uses them.
            JailSet::AddJournalMatch(_) | JailSet::DelJournalMatch(_) if self.means != Means::Journal => {}
            JailSet::AddJournalMatch(words) => self.add_journal_match(&words, log)?,
            JailSet::DelJournalMatch(words) => {
                self.selection.remove(&words)?;
                let shown = Value::List(words.iter().map(|word| word.as_str().into()).collect());
                let shown = if words.is_empty() { "'*'".to_owned() } else { shown.repr() };
                let text = format!("[{}] Removed journal match for: {shown}", self.name());
                log.info("filtersystemd", text);
            }
            JailSet::MaxRetry(number) => {
                self.jail.tally.settings_mut().maxretry = number;
                log.info("filter", format!("  maxRetry: {number}"));
            }
            JailSet::MaxMatches(number) => {
                self.jail.tally.settings_mut().maxmatches = usize::try_from(number).unwrap_or(0);
                self.maxmatches = number;
            }
            JailSet::FindTime(seconds) => {
                self.findtime = seconds?;
                self.jail.filter.set_findtime(self.findtime.as_f64());
                self.jail.tally.settings_mut().findtime = self.findtime.as_f64();
                log.info("filter", format!("  findtime: {}", Value::from(self.findtime)));
            }
            JailSet::BanTime(seconds) => {
                let seconds = seconds?;
                self.jail.bans.set_bantime(&Value::Int(seconds.trunc()?));
                log.info("actions", format!("  banTime: {seconds}"));
            }
            JailSet::BanTimeOption { option, given } => {
                log.write(&set_line(&option, &given));
                self.jail.increment.set(&option, &given)?;
            }
            JailSet::AddAction { action, python } => {
                let parameters =
                    python.as_ref().map(|python| portcullis_value::json(&python.json)).transpose()?;
                self.add_action(&action, python.map(|python| python.path), parameters)?;
            }
            JailSet::DelAction(action) => {
                self.actions.shift_remove(&action).ok_or_else(|| no_action(&action))?;
            }
            JailSet::ActionProperties { action, properties } => {
                let known = self.actions.get_mut(&action).ok_or_else(|| no_action(&action))?;
                for (property, value) in properties? {
                    set_property(known, &property, value)?;
                }
            }
            JailSet::Action { action, name, value } => {
                let known = self.actions.get_mut(&action).ok_or_else(|| no_action(&action))?;
                set_property(known, &name?, value.ok_or_else(portcullis_wire::missing_argument)?)?;
            }
            filter_or_ignore => self.set_judgement(filter_or_ignore, kept, log)?,
        }
        Ok(())
    }

    /// What decides about a line: the filter, and who is ignored.
    fn set_judgement(&mut self, command: JailSet, kept: JailSet, log: &Log) -> Result<(), Exception> {
        let mut ignores = false;
        let refused = |error| refused(error, log);
        match command {
            JailSet::IgnoreSelf(on) => {
                self.jail.ignore.set_ignoreself(on);
                ignores = true;
            }
            JailSet::AddIgnoreIp(words) => {
                for word in words {
                    log.write_all(&self.jail.ignore.add(&word?)?);
                }
                ignores = true;
            }
            JailSet::DelIgnoreIp(word) => {
                log.write_all(&self.jail.ignore.remove(&word)?);
                ignores = true;
            }
            JailSet::IgnoreCommand(command) => {
                let text = if command.is_true() { command.to_string() } else { String::new() };
                self.jail.ignore.set_ignorecommand(&text);
                self.ignorecommand = Some(command);
                ignores = true;
            }
            JailSet::IgnoreCache(cache) => {
                let cache = cache?.map(|cache| (cache.key, cache.max_count, cache.max_time));
                self.jail.ignore.set_ignorecache(cache);
                ignores = true;
            }
            JailSet::PrefRegex(regex) => self.jail.filter.set_prefregex(&regex?).map_err(refused)?,
            JailSet::AddFailRegex(regex) => self.jail.filter.add_failregex(&regex?).map_err(refused)?,
            JailSet::AddFailRegexes(regexes) => {
                for regex in regexes? {
                    self.jail.filter.add_failregex(&regex).map_err(refused)?;
                }
            }
            JailSet::DelFailRegex(index) => {
                let at = place(index, self.jail.filter.failregex().len());
                let removed = at.is_some_and(|at| self.jail.filter.del_failregex(at).is_ok());
                tell_unremoved(removed, index, log);
            }
            JailSet::AddIgnoreRegex(regex) => self.jail.filter.add_ignoreregex(&regex?).map_err(refused)?,
            JailSet::AddIgnoreRegexes(regexes) => {
                for regex in regexes? {
                    self.jail.filter.add_ignoreregex(&regex).map_err(refused)?;
                }
            }
            JailSet::DelIgnoreRegex(index) => {
                let at = place(index, self.jail.filter.ignoreregex().len());
                let removed = at.is_some_and(|at| self.jail.filter.del_ignoreregex(at).is_ok());
                tell_unremoved(removed, index, log);
            }
            JailSet::UseDns(word) => log.write_all(&self.jail.filter.set_usedns(&word?)),
            JailSet::DatePattern(pattern) => {
                let lines = self.jail.filter.set_datepattern(&pattern?, now()).map_err(bad_date)?;
                log.write_all(&lines);
            }
            JailSet::LogTimeZone(zone) => {
                let zone = zone?;
                let given = zone.as_deref().filter(|zone| !zone.is_empty());
                self.jail.filter.set_logtimezone(given).map_err(bad_date)?;
                self.logtimezone = zone;
            }
            JailSet::MaxLines(lines) => {
                let lines = lines?;
                self.jail.filter.set_maxlines(usize::try_from(lines).unwrap_or(1));
                log.info("filter", format!("  maxLines: {lines}"));
            }
            JailSet::Refused(exception) => return Err(exception),
            other => {
                // Only a running jail can do the rest.
                let text = format!("this needs a started jail: {other:?}");
                return Err(Exception::builtin("RuntimeError", text));
            }
        }
        if ignores {
            self.ignore_commands.push(kept);
        } else {
            self.filter_commands.push(kept);
        }
        Ok(())
    }

    fn add_journal_match(&mut self, words: &[String], log: &Log) -> Result<(), Exception> {
        let shown = words.join(" ");
        let added = self.selection.add(words);
        match &added {
            Ok(()) => {
                log.info("filtersystemd", format!("[{}] Added journal match for: '{shown}'", self.name()));
            }
            Err(_) => log.error("filtersystemd", format!("Error adding journal match for: '{shown}'")),
        }
        added
    }

    fn add_log_path(&mut self, path: &str, tail: bool, log: &Log) -> Result<(), Exception> {
        if self.means == Means::Journal {
            // As in Fail2ban, which answers that no file is monitored.
            return Ok(());
        }
        let path: Arc<Path> = Path::new(path).into();
        if self.logpaths.contains_key(&path) {
            log.error("filter", format!("{} already exists", path.display()));
            return Ok(());
        }
        if log.file().as_deref() == Some(&*path) && &**self.name() != "recidive" {
            log.warning("filter", format!("jail '{}' reads our own log {}", self.name(), path.display()));
        }
        crate::watch::first_line(&path).map_err(|error| os_error(&error, &path))?;
        self.logpaths.insert(path, tail);
        Ok(())
    }

    fn add_action(
        &mut self,
        name: &str,
        python: Option<String>,
        parameters: Option<Value>,
    ) -> Result<(), Exception> {
        if self.actions.contains_key(name) {
            return Err(Exception::builtin("ValueError", format!("Action {name} already exists")));
        }
        let action = match python {
            None => Action::new(name),
            Some(path) => python_action(name, &path, parameters)?,
        };
        self.actions.insert(name.to_owned(), action);
        Ok(())
    }
}

/// An action that is written in Python: of those we have one ourselves.
fn python_action(name: &str, path: &str, parameters: Option<Value>) -> Result<Action, Exception> {
    let file = Path::new(path).file_name().and_then(|file| file.to_str()).unwrap_or_default();
    if file != mail::FILE {
        // Differs: there is no Python in us. The jail's other actions go on.
        let text = format!(
            "action '{name}' is written in Python ({path}); Portcullis runs shell actions, and smtp.py. Use one of action.d/*.conf"
        );
        return Err(Exception::builtin("ValueError", text));
    }
    let Some(Value::Dict(parameters)) = parameters else { return Ok(Action::python(name, file, &[])) };
    Mailer::new(&parameters)?;
    Ok(Action::python(name, file, &parameters))
}

/// A property is stored as given; a timeout must be a time.
fn set_property(action: &mut Action, property: &str, value: Value) -> Result<(), Exception> {
    if property == "timeout" {
        seconds(&value)?;
    }
    action.set(property, value);
    Ok(())
}

/// What Fail2ban answers to an expression that it refuses, and logs.
fn refused(error: RegexError, log: &Log) -> Exception {
    log.error("filter", error.to_string());
    let class = "fail2ban.server.failregex.RegexException";
    Exception { class: class.to_owned(), args: vec![error.to_string().into()] }
}

fn bad_date(error: DateError) -> Exception {
    let class = if matches!(error, DateError::Pattern { .. }) { "TypeError" } else { "ValueError" };
    Exception::builtin(class, error.to_string())
}

/// The place that an index of Python's means: -1 is the last.
fn place(index: i64, len: usize) -> Option<usize> {
    let from_end = || len.checked_sub(usize::try_from(index.unsigned_abs()).ok()?);
    if index < 0 { from_end() } else { usize::try_from(index).ok() }
}

fn tell_unremoved(removed: bool, index: i64, log: &Log) {
    if !removed {
        log.error("filter", format!("Cannot remove regular expression. Index {index} is not valid"));
    }
}

/// Where the random part of ban times comes from: the clock and the process, so that no two servers agree.
fn seed() -> u64 {
    now().0.to_bits() ^ (u64::from(std::process::id()) << 32)
}

/// `'Invalid Action name: nope'`
pub(crate) fn no_action(name: &str) -> Exception {
    Exception::builtin("KeyError", format!("Invalid Action name: {name}"))
}

/// `FileNotFoundError(2, 'No such file or directory')` and its kin.
fn os_error(error: &std::io::Error, path: &Path) -> Exception {
    let number = error.raw_os_error().unwrap_or(5);
    let class = match number {
        2 => "FileNotFoundError",
        13 => "PermissionError",
        21 => "IsADirectoryError",
        _ => "OSError",
    };
    let text = python_error(error);
    let text = text.split_once("] ").map_or(text.as_str(), |(_, text)| text);
    Exception::os(class, number, text, &path.to_string_lossy())
}
