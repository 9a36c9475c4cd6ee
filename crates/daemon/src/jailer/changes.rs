//! How a jail starts, changes and ends: which files it follows and which actions it has.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;
use portcullis_jail::action::Action;
use portcullis_jail::time::local_text;
use portcullis_jail::{Level, LogLine, Ticket, Timestamp};
use portcullis_value::{Exception, Value};
use portcullis_wire::event::Kind;
use portcullis_wire::request::JailSet;

use super::definition::Definition;
use super::running::Running;
use super::surroundings::now;
use super::{Answer, Legacy};
use crate::act::worker::{self, Carriage, Worker};
use crate::events::Event;
use crate::journal::{Selection, Start};
use crate::store::{Position, Restorable};
use crate::watch::{Follow, FollowJournal, JournalWatch, Sought, seek};

/// So long a jail waits for the first of its earlier bans.
const LONG_PATIENCE: Duration = Duration::from_secs(600);

impl Running {
    pub(super) fn set_definition(&mut self, what: JailSet) -> Answer {
        let shown = super::answers::shown_after(&what);
        let before: HashSet<Arc<Path>> = self.definition.logpaths.keys().cloned().collect();
        let selection = self.definition.selection.clone();
        let actions: Vec<String> = self.definition.actions.keys().cloned().collect();
        let changed = match &what {
            JailSet::Action { action, .. } | JailSet::ActionProperties { action, .. } => Some(action.clone()),
            _ => None,
        };
        if let Err(exception) = self.definition.set(what, &self.surroundings.log) {
            return Err(exception).into();
        }
        if self.started {
            self.follow_difference(&before);
            self.reread_journal(&selection);
            self.act_difference(&actions, changed.as_deref());
        }
        self.get_after(shown).into()
    }

    /// Takes over what `portcullis.conf` says of networks.
    fn set_networks(&mut self) {
        let name = Arc::clone(self.definition.name());
        let limit = self.surroundings.settings_of(&name).networkban;
        let jail = &mut self.definition.jail;
        jail.networks.prefix = self.surroundings.ipv6_prefix(&name);
        jail.networks.set_limit(limit, jail.bans.ids());
    }

    /// The jail begins to work: actions, bans from the database, files.
    pub(super) fn start(&mut self) -> Result<(), Exception> {
        if self.started {
            return Ok(());
        }
        self.started = true;
        self.settings = self.surroundings.settings_of(self.definition.name());
        self.set_networks();
        let name = Arc::clone(self.definition.name());
        self.surroundings.store.jail_started(&name);
        for action in self.definition.actions.values().cloned().collect::<Vec<_>>() {
            self.employ(action)?;
        }
        self.go_on_counting();
        self.follow_difference(&HashSet::new());
        self.follow_journal(None)?;
        let line = LogLine::new(Level::INFO, "jail", format!("Jail '{name}' started"));
        self.surroundings.log.write_as(&line, Event::new(Kind::State).jail(&name).text("started"));
        if !self.definition.jail.dry_run {
            self.restoring = self.restorable();
            // Before the first line is judged: without its bans the jail would ban anew.
            self.restoring.wait(LONG_PATIENCE);
        }
        self.legacy = Legacy::default();
        Ok(())
    }

    /// Counts on where a jail of this name was that did not end in order: nobody gains a try by our death.
    fn go_on_counting(&mut self) {
        let since = now().0 - self.definition.findtime.as_f64();
        let most = self.definition.jail.tally.settings().identities;
        let former = self.surroundings.store.tallies(self.definition.name(), since, most);
        self.definition.jail.tally.go_on(former);
    }

    /// Ends, and tells what is to go on in another jail of this name.
    pub(super) fn bequeath(&mut self) -> Legacy {
        // With a database, the bans are in it.
        let tickets = match self.surroundings.store.file() {
            Some(_) => Vec::new(),
            None => {
                let bans = self.definition.jail.bans.tickets();
                bans.map(|ticket| Ticket { restored: true, ..ticket })
                    .chain(self.restoring.take_out(|_| true))
                    .collect()
            }
        };
        self.stop();
        Legacy { tickets, positions: std::mem::take(&mut self.read) }
    }

    /// How far a file was read: by the jail before this one, or as the database says.
    fn position(&self, path: &Path) -> Option<Position> {
        let left = self.legacy.positions.get(path).cloned();
        left.or_else(|| self.surroundings.store.position(self.definition.name(), path))
    }

    fn restorable(&mut self) -> Restorable {
        let jail = &self.definition.jail;
        let recorded =
            self.surroundings.store.restorable(jail.name(), &jail.bans.bantime(), &jail.increment, now());
        // What a jail without a database left, as far as it is not over under today's ban time.
        let bantime = seconds(&jail.bans.bantime());
        let left = std::mem::take(&mut self.legacy.tickets).into_iter().filter(|ticket| {
            let bantime = ticket.bantime.as_ref().map_or(bantime, seconds);
            bantime < 0.0 || now().since(ticket.time) < bantime
        });
        recorded.followed_by(left)
    }

    fn employ(&mut self, action: Action) -> Result<(), Exception> {
        let name = action.name().to_owned();
        let carriage = Carriage {
            shelter: Arc::clone(&self.surroundings.shelter),
            settings: self.surroundings.settings_of(self.definition.name()),
            incidents: self.surroundings.incidents.clone(),
        };
        let facts = Box::new(self.facts.clone());
        let log = self.surroundings.log.clone();
        let worker = Worker::spawn(self.definition.name(), action, carriage, facts, log)
            .map_err(|error| Exception::builtin("RuntimeError", error.to_string()))?;
        worker.order(worker::Order::Start(None));
        self.workers.insert(name, worker);
        Ok(())
    }

    /// Follows files that are new in the definition, and leaves those that are no longer in it.
    fn follow_difference(&mut self, before: &HashSet<Arc<Path>>) {
        let jail = Arc::clone(self.definition.name());
        let log = self.surroundings.log.clone();
        for path in before.iter().filter(|path| !self.definition.logpaths.contains_key(*path)) {
            self.watch().unfollow(Arc::clone(&jail), Some(Arc::clone(path)));
            let shown = portcullis_value::repr_str(&path.to_string_lossy());
            log.info("filter", format!("Removed logfile: {shown}"));
        }
        let new: Vec<(Arc<Path>, bool)> = self
            .definition
            .logpaths
            .iter()
            .filter(|(path, _)| !before.contains(*path))
            .map(|(path, tail)| (Arc::clone(path), *tail))
            .collect();
        for (path, tail) in new {
            // A file that has gone since it was checked is followed all the same: it may come back.
            let first = crate::watch::first_line(&path).ok();
            let hash = first.as_ref().map(|first| Arc::clone(&first.hash)).unwrap_or_default();
            let inherited = self.legacy.positions.contains_key(&path);
            let kept = if tail && !inherited { None } else { self.position(&path) };
            let position = match kept {
                Some(kept) if kept.first_line == *hash => kept.position,
                _ if tail => first.as_ref().map_or(0, |first| first.size),
                _ => 0,
            };
            let shown = portcullis_value::repr_str(&path.to_string_lossy());
            log.info("filter", format!("Added logfile: {shown} (pos = {position}, hash = {hash})"));
            // The jail before this one was there when the lines came: none of them is old.
            let position = if tail || inherited { position } else { self.young_from(&path, position) };
            self.read.insert(Arc::clone(&path), Position { first_line: hash.to_string(), position });
            self.watch().follow(Follow {
                jail: Arc::clone(&jail),
                path,
                position,
                in_operation: tail,
                inbox: self.lines.clone(),
            });
        }
    }

    /// Where in a file behind `position` the lines begin that are not older than `findtime`.
    fn young_from(&mut self, path: &Path, position: u64) -> u64 {
        let encoding = self.definition.encoding;
        // A file that cannot be opened now is read from there when it can be.
        let Ok(file) = File::open(path) else { return position };
        if encoding.is_wide() {
            return position;
        }
        let now = now();
        let since = now.0 - self.definition.findtime.as_f64();
        let filter = &mut self.definition.jail.filter;
        let sought = seek(&file, position, since, |line| {
            let (text, _) = encoding.decode(line);
            filter.time_of(text.trim_end_matches(['\r', '\n']), now).map(|time| time.0)
        });
        let Ok(Sought { position, size, found, seeks }) = sought else { return position };
        let log = &self.surroundings.log;
        let debug = |text| log.say(Level::DEBUG, "filter", text);
        let zone = jiff::tz::TimeZone::system();
        let shown = |at: f64| format!("{} ({})", Value::Float(at).repr(), local_text(Timestamp(at), &zone));
        debug(format!("Seek to find time {}, file size {size}", shown(since)));
        if size > 0 {
            let found = found.map_or_else(|| "None ()".into(), shown);
            debug(format!("Position {position} from {size}, found time {found} within {seeks} seeks"));
        }
        position
    }

    /// Begins to read the journal, if that is what the jail reads: where another left off, or where the database says.
    fn follow_journal(&mut self, left_off: Option<(Option<(Start, u64)>, bool)>) -> Result<(), Exception> {
        let Some(place) = self.definition.place.clone() else { return Ok(()) };
        let jail = Arc::clone(self.definition.name());
        let selection = self.definition.selection.clone();
        let log = self.surroundings.log.clone();
        if left_off.is_none() && selection.is_everything() {
            let text = format!(
                "[{jail}] Jail started without 'journalmatch' set. Jail regexs will be checked against all journal entries, which is not advised for performance reasons."
            );
            log.say(portcullis_jail::Level::NOTICE, "filtersystemd", text);
        }
        let (start, known_until) = match &left_off {
            Some((Some(left_off), _)) => left_off.clone(),
            _ => self.journal_start(),
        };
        let in_operation = left_off.is_some_and(|(_, in_operation)| in_operation);
        let inbox = self.lines.clone();
        let follow = FollowJournal { jail, place, selection, start, known_until, in_operation, inbox };
        let watch = JournalWatch::start(follow, log)
            .map_err(|error| Exception::builtin("RuntimeError", error.to_string()))?;
        self.journal = Some(watch);
        Ok(())
    }

    /// Where the database says that the journal was read to, unless that is longer ago than `findtime`; and how far entries are
    /// known by their time alone.
    fn journal_start(&self) -> (Start, u64) {
        let microseconds = |at: f64| (at.max(0.0) * 1e6) as u64;
        let since = microseconds(now().0 - self.definition.findtime.as_f64());
        let kept = self.position(Path::new(crate::journal::NAME));
        let Some(kept) = kept.filter(|kept| kept.position > since) else { return (Start::Since(since), 0) };
        // Fail2ban writes the time alone. We put the cursor behind it, for times can be equal.
        match kept.first_line.split_once(' ') {
            Some((_, cursor)) if !cursor.is_empty() => (Start::Behind(cursor.to_owned()), kept.position),
            _ => (Start::Since(kept.position), kept.position),
        }
    }

    /// Reads other entries from now on, where the definition says other than `before`.
    fn reread_journal(&mut self, before: &Selection) {
        if self.definition.selection == *before {
            return;
        }
        if let Some(journal) = self.journal.take() {
            let left_off = journal.stop();
            if let Err(exception) = self.follow_journal(Some(left_off)) {
                self.surroundings.log.error("jail", exception.to_string());
            }
        }
    }

    fn watch(&self) -> &crate::watch::Watch {
        self.surroundings.watch(self.definition.means)
    }

    /// Starts actions that are new in the definition, ends those that are no longer in it.
    fn act_difference(&mut self, before: &[String], changed: Option<&str>) {
        for name in before {
            if !self.definition.actions.contains_key(name) {
                self.dismiss(name);
            }
        }
        let actions: Vec<Action> = self.definition.actions.values().cloned().collect();
        for action in actions {
            if !before.iter().any(|name| name == action.name()) {
                self.employ_with_bans(action);
            } else if changed == Some(action.name())
                && let Some(worker) = self.workers.get(action.name())
            {
                worker.order(worker::Order::Change(Box::new(action)));
            }
        }
    }

    /// A new action gets all bans that are in force, so that it does what it would after a start.
    fn employ_with_bans(&mut self, action: Action) {
        let name = action.name().to_owned();
        if let Err(exception) = self.employ(action) {
            self.surroundings.log.error("jail", exception.to_string());
            return;
        }
        if let Some(worker) = self.workers.get(&name) {
            for ticket in self.definition.jail.bans.tickets() {
                worker.order(worker::Order::Ban(Arc::new(ticket), None));
            }
            if !self.unsettled {
                worker.order(worker::Order::Settled);
            }
        }
    }

    fn dismiss(&mut self, name: &str) {
        if let Some(worker) = self.workers.shift_remove(name) {
            let (done, stopped) = bounded(0);
            worker.order(worker::Order::Stop(Some(done)));
            let _ = stopped.recv();
        }
    }

    /// A reload: what differs is changed, all else goes on.
    pub(super) fn become_(&mut self, new: Definition) {
        let before: HashSet<Arc<Path>> = self.definition.logpaths.keys().cloned().collect();
        let old = &mut self.definition;
        if old.filter_commands != new.filter_commands {
            old.filter_commands = new.filter_commands;
            old.jail.filter = new.jail.filter;
        }
        if old.ignore_commands != new.ignore_commands {
            old.ignore_commands = new.ignore_commands;
            old.jail.ignore = new.jail.ignore;
        }
        *old.jail.tally.settings_mut() = new.jail.tally.settings().clone();
        old.jail.filter.set_findtime(new.findtime.as_f64());
        old.jail.bans.set_bantime(&new.jail.bans.bantime());
        old.jail.increment = new.jail.increment;
        old.findtime = new.findtime;
        old.logencoding = new.logencoding;
        old.encoding = new.encoding;
        let selection = std::mem::replace(&mut old.selection, new.selection);
        old.idle = new.idle;
        old.logtimezone = new.logtimezone;
        old.maxmatches = new.maxmatches;
        old.ignorecommand = new.ignorecommand;
        old.logpaths = new.logpaths;
        let actions = std::mem::replace(&mut old.actions, new.actions);
        if !self.started {
            if let Err(exception) = self.start() {
                self.surroundings.log.error("jail", exception.to_string());
            }
            return;
        }
        self.set_networks();
        self.follow_difference(&before);
        self.reread_journal(&selection);
        // What `portcullis.conf` says of actions decides what carries them out.
        let settings = self.surroundings.settings_of(self.definition.name());
        let same_settings = settings.is_same_for_actions(&self.settings);
        self.settings = settings;
        let kept: Vec<String> = actions
            .iter()
            .filter(|(name, old)| {
                same_settings
                    && self.definition.actions.get(*name).is_some_and(|new| new.same_properties(old))
            })
            .map(|(name, _)| name.clone())
            .collect();
        // An action whose parameters changed is another one: the old takes its bans out, the new puts them in.
        for name in actions.keys().filter(|name| !kept.contains(name)) {
            self.dismiss(name);
        }
        for name in &kept {
            if let Some(worker) = self.workers.get(name) {
                worker.order(worker::Order::Reload(None));
            }
        }
        let new: Vec<Action> = self
            .definition
            .actions
            .values()
            .filter(|a| !kept.iter().any(|k| k == a.name()))
            .cloned()
            .collect();
        for action in new {
            self.employ_with_bans(action);
        }
        // In the order of the configuration.
        let order: Vec<String> = self.definition.actions.keys().cloned().collect();
        self.workers.sort_by_cached_key(|name, _| order.iter().position(|known| known == name));
    }

    /// The end: files first, then bans and actions, last the database. Bans stay there, to be restored.
    pub(super) fn stop(&mut self) {
        let name = Arc::clone(self.definition.name());
        let log = self.surroundings.log.clone();
        if self.started {
            self.watch().unfollow(Arc::clone(&name), None);
            for path in self.definition.logpaths.keys() {
                let shown = portcullis_value::repr_str(&path.to_string_lossy());
                log.info("filter", format!("Removed logfile: {shown}"));
            }
            self.journal = None;
            self.keep_progress();
            let leaving = self.surroundings.leaving.load(std::sync::atomic::Ordering::Acquire);
            if !leaving {
                // As in Fail2ban, an end in order forgets who is no ban yet.
                self.surroundings.store.tallies_forgotten(&name);
            }
            if leaving {
                let count = self.definition.jail.bans.len();
                log.info(
                    "actions",
                    format!("[{name}] Restart: {count} ban(s) stay with the actions that can keep them"),
                );
            } else {
                self.let_all_go(None);
            }
            // The last action first, as Fail2ban does.
            for action in self.definition.actions.keys().rev() {
                if let Some(worker) = self.workers.get(action) {
                    let (done, stopped) = bounded(0);
                    worker.order(if leaving {
                        worker::Order::Leave(Some(done))
                    } else {
                        worker::Order::Stop(Some(done))
                    });
                    let _ = stopped.recv();
                }
            }
            self.surroundings.store.jail_stopped(&name);
        }
        let line = LogLine::new(Level::INFO, "jail", format!("Jail '{name}' stopped"));
        log.write_as(&line, Event::new(Kind::State).jail(&name).text("stopped"));
    }
}

/// A ban time; negative is for ever.
fn seconds(bantime: &Value) -> f64 {
    match bantime {
        Value::Int(seconds) => *seconds as f64,
        Value::Float(seconds) => *seconds,
        _ => 0.0,
    }
}
