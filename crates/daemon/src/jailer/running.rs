//! The loop of a jail's thread, and what the jail's effects become in the world.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, never, select_biased};
use indexmap::IndexMap;
use portcullis_config::JailSettings;
use portcullis_jail::action::{Action, METHODS};
use portcullis_jail::encoding::Encoding;
use portcullis_jail::filter::{DatedLine, Moment};
use portcullis_jail::jail::{Effect, Jail, Through};
use portcullis_jail::{Id, Level, Page, Ticket};
use portcullis_value::{Exception, Value};
use portcullis_wire::event::Kind;
use portcullis_wire::request::{JailSet, Late};

use super::definition::{Definition, no_action};
use super::outside::JailOutside;
use super::prolongs::Prolongs;
use super::scouts::Scouts;
use super::surroundings::{Surroundings, now};
use super::{Answer, Envelope, Legacy, Order};
use crate::act::worker::{self, Done, Worker};
use crate::events::Event;
use crate::journal::Entry;
use crate::panics::contained;
use crate::store::{Position, Progress, Restorable};
use crate::watch::{Batch, Content, JournalWatch};

/// A page is judged as of the time when it was read, unless that is so many seconds ago.
const FRESH: f64 = 1.0;
/// How often positions and counts are written while lines come in; what is not written is read again after a crash.
const KEEP_POSITIONS: Duration = Duration::from_secs(10);
/// With so many counts to be written one does not wait.
const MANY_COUNTS: usize = 10_000;
/// How often a jail looks after itself when nothing else wakes it.
const HOUSEKEEPING: Duration = Duration::from_secs(60);
/// So many restored bans are taken between two looks at the inboxes: new ones do not wait for old ones.
const RESTORE_PORTION: usize = 1000;
/// So many of them are given to the actions before those have carried them out, and then they are given time.
const RESTORE_AHEAD: usize = 4000;
const AHEAD_PAUSE: Duration = Duration::from_millis(1);
/// Of a line of several bytes a unit that has no end, so much is kept.
const LONGEST_PARTIAL: usize = 256 * 1024;

/// A jail with its thread.
pub(super) struct Running {
    pub(super) definition: Definition,
    pub(super) surroundings: Surroundings,
    pub(super) started: bool,
    /// What `portcullis.conf` said when the actions got their present form.
    pub(super) settings: JailSettings,
    pub(super) workers: IndexMap<String, Worker>,
    pub(super) outside: JailOutside,
    pub(super) lines: Sender<Batch>,
    /// With a jail that reads the journal, and has started.
    pub(super) journal: Option<JournalWatch>,
    scouts: Scouts,
    /// With encodings of several bytes a unit: what came of a line whose end has not come.
    partial: HashMap<Arc<Path>, Vec<u8>>,
    /// Positions to be kept, by file.
    positions: IndexMap<Arc<Path>, Position>,
    pub(super) positions_kept: Instant,
    /// The last position of each file.
    pub(super) read: IndexMap<Arc<Path>, Position>,
    /// What another jail of this name left, until this one starts.
    pub(super) legacy: Legacy,
    pub(super) restoring: Restorable,
    /// The database has not told the next of them yet.
    waits: bool,
    /// Bans that got longer, of which the actions are still to learn.
    pub(super) prolongs: Prolongs,
    /// The actions do not know yet that nothing more is to be restored.
    pub(super) unsettled: bool,
    /// Lines that were no UTF-8, told once a day for each file.
    told_encoding: HashSet<Arc<Path>>,
    pub(super) bad_encoding: u64,
    /// Lines over which we panicked.
    pub(super) broken_lines: u64,
    pub(super) facts: super::outside::SharedFacts,
}

impl Running {
    pub(super) fn new(mut definition: Definition, surroundings: Surroundings, lines: Sender<Batch>) -> Self {
        definition.jail.dry_run = surroundings.dry_run;
        definition.jail.tally.note_changes();
        let facts = super::outside::SharedFacts::new(Arc::clone(definition.name()), &surroundings);
        let outside = JailOutside::new(Arc::clone(definition.name()), &surroundings);
        Running {
            definition,
            started: false,
            settings: JailSettings::default(),
            workers: IndexMap::new(),
            outside,
            lines,
            journal: None,
            scouts: Scouts::default(),
            partial: HashMap::new(),
            positions: IndexMap::new(),
            positions_kept: Instant::now(),
            read: IndexMap::new(),
            legacy: Legacy::default(),
            restoring: Restorable::default(),
            waits: false,
            prolongs: Prolongs::default(),
            unsettled: true,
            told_encoding: HashSet::new(),
            bad_encoding: 0,
            broken_lines: 0,
            facts,
            surroundings,
        }
    }

    pub(super) fn run(mut self, orders: &Receiver<Envelope>, inbox: &Receiver<Batch>) {
        let nothing = never();
        let mut asked = false;
        loop {
            // A jail that is idle leaves its lines where they are; the watcher keeps the place.
            let works = self.started && !self.definition.idle;
            let waiting = works && self.scouts.have_batches();
            let lines = if works && !waiting { inbox } else { &nothing };
            // Orders go first, but after each of them lines have their turn: a flood of questions delays no ban.
            if (std::mem::take(&mut asked) || waiting && orders.is_empty())
                && works
                && let Some(batch) = self.scouts.next(inbox)
            {
                self.judge_next(&batch, inbox);
                self.tick();
                continue;
            }
            let wait = self.pause();
            select_biased! {
                recv(orders) -> envelope => match envelope {
                    Ok(Envelope { order: Order::Stop, reply }) => {
                        self.stop();
                        let _ = reply.send(Ok(Value::None).into());
                        return;
                    }
                    Ok(Envelope { order: Order::Bequeath(heir), reply }) => {
                        let _ = heir.send(self.bequeath());
                        let _ = reply.send(Ok(Value::None).into());
                        return;
                    }
                    Ok(Envelope { order, reply }) => {
                        asked = true;
                        if matches!(order, Order::Set(_) | Order::Become(_)) {
                            // The filter may be another one from now on.
                            self.scouts.call_back();
                        }
                        let answer = self.obey(order);
                        // A client that has gone away does not hear it.
                        let _ = reply.send(answer);
                    }
                    Err(_) => return,
                },
                recv(lines) -> batch => {
                    if let Ok(batch) = batch {
                        self.judge_next(&batch, inbox);
                    }
                },
                default(wait) => {}
            }
            self.tick();
        }
    }

    fn pause(&self) -> Duration {
        if !self.restoring.is_over() {
            return if self.is_ahead() || self.waits { AHEAD_PAUSE } else { Duration::ZERO };
        }
        let mut pause = HOUSEKEEPING.min(self.prolongs.rest());
        if self.started
            && let Some(at) = self.definition.jail.next_tick()
        {
            // Ends are times of the clock; a margin so that the clock has surely passed it.
            let rest = Duration::try_from_secs_f64(at.since(now()).max(0.0) + 0.001).unwrap_or(HOUSEKEEPING);
            pause = pause.min(rest);
        }
        if !self.positions.is_empty() || self.definition.jail.tally.changed() > 0 {
            pause = pause.min(KEEP_POSITIONS.saturating_sub(self.positions_kept.elapsed()));
        }
        pause
    }

    /// Whether all actions have enough to restore for the moment. What waits needs room that nobody gives back.
    fn is_ahead(&self) -> bool {
        let least = self.workers.values().map(Worker::to_restore).min();
        least.is_some_and(|waiting| waiting >= RESTORE_AHEAD)
    }

    fn tick(&mut self) {
        if !self.started {
            return;
        }
        let mut effects = Vec::new();
        self.definition.jail.tick(now(), &mut effects);
        self.carry_out(effects, &None);
        if !self.restoring.is_over() && !self.is_ahead() {
            let portion = self.restoring.take(RESTORE_PORTION);
            self.waits = portion.is_empty();
            if let Some(expected) = self.restoring.expected() {
                // What grows step by step leaves holes behind.
                self.definition.jail.bans.reserve(expected);
                for worker in self.workers.values() {
                    worker.order(worker::Order::Expect(expected));
                }
            }
            self.restore(portion);
        }
        for ticket in self.prolongs.due() {
            for worker in self.workers.values() {
                worker.order(worker::Order::Prolong(Arc::clone(&ticket)));
            }
        }
        if self.unsettled && self.restoring.is_over() {
            self.unsettled = false;
            for worker in self.workers.values() {
                worker.order(worker::Order::Settled);
            }
        }
        let many = self.definition.jail.tally.changed() >= MANY_COUNTS;
        if many || self.positions_kept.elapsed() >= KEEP_POSITIONS {
            self.keep_progress();
        }
    }

    fn obey(&mut self, order: Order) -> Answer {
        match order {
            Order::Get(what) => self.get(what).into(),
            Order::Set(what) => self.set(what),
            Order::Status { flavor } => Ok(self.status(&flavor)).into(),
            Order::Stats => Ok(self.stats()).into(),
            Order::Start => self.start().map(|()| Value::None).into(),
            Order::Become(definition) => {
                self.become_(*definition);
                Ok(Value::None).into()
            }
            Order::Unban(text) => {
                self.restore_first(&[Id::wanted(&text)]);
                self.carried_out(|jail, done| Ok(jail.unban(&text, done)))
            }
            Order::UnbanAll => self.carried_out(|jail, done| Ok(jail.unban_all(done))),
            Order::Banned(ips) => self.banned(&ips).into(),
            Order::Report => Ok(self.report()).into(),
            Order::BanByHand(ban) => self.carried_out(|jail, done| Ok(jail.ban_with(&ban, &done))),
            Order::UnbanByHand(ips) => self.carried_out(|jail, done| Ok(jail.unban_each(&ips, &done))),
            Order::About(ids, states) => Ok(self.about(&ids, &states)).into(),
            Order::Bans { newest, networks } => Ok(self.bans(newest, networks)).into(),
            Order::Sketch(reply) => {
                // A client that has gone away does not see it.
                let _ = reply.send(self.definition.sketch());
                Ok(Value::None).into()
            }
            Order::Standings(ids, reply) => {
                let _ = reply.send(self.standings(&ids));
                Ok(Value::None).into()
            }
            Order::Inherit(legacy) => {
                self.legacy = *legacy;
                Ok(Value::None).into()
            }
            // They end the thread: see `run`.
            Order::Stop | Order::Bequeath(_) => Ok(Value::None).into(),
        }
    }

    /// Answers once the actions have done what this orders.
    pub(super) fn carried_out(
        &mut self,
        order: impl FnOnce(&mut Self, Done) -> Result<Value, Exception>,
    ) -> Answer {
        let (done, carried_out) = bounded(0);
        let value = order(self, Some(done));
        Answer { value, carried_out: Some(carried_out), from_action: None }
    }

    fn set(&mut self, what: JailSet) -> Answer {
        match what {
            JailSet::BanIp(ips) => self.carried_out(|jail, done| jail.ban_by_hand(&ips, &done)),
            JailSet::UnbanIp { ips, report_absent } => {
                self.carried_out(|jail, done| jail.unban_by_hand(&ips, report_absent, done))
            }
            JailSet::Attempt { ip, lines } => {
                let (id, lines) = match Id::parse(&ip).and_then(|id| Ok((id, lines?))) {
                    Ok(both) => both,
                    Err(exception) => return Err(exception).into(),
                };
                let mut effects = Vec::new();
                let at = Moment { now: now(), in_operation: true };
                let jail = &mut self.definition.jail;
                jail.attempt(id, lines, at, &mut self.outside, &mut effects);
                self.carry_out(effects, &None);
                Ok(Value::Int(1)).into()
            }
            JailSet::Action { action, name: Ok(name), value } if METHODS.contains(&name.as_str()) => {
                self.call(&action, &name, value.as_ref())
            }
            what => self.set_definition(what),
        }
    }

    /// Judges a batch, while copies of the filter look at those behind it.
    fn judge_next(&mut self, batch: &Batch, inbox: &Receiver<Batch>) {
        let jail = &mut self.definition.jail;
        let name = Arc::clone(jail.name());
        // Other encodings are not read by pages.
        if self.definition.encoding == Encoding::UTF_8 {
            self.scouts.look_ahead(batch, inbox, &name, &mut jail.filter);
        }
        self.judge(batch);
    }

    fn judge(&mut self, batch: &Batch) {
        let mut effects = Vec::new();
        // The same now for all jails of a page, as long as it is about now: they find its dates together.
        let (mut now, in_operation) = (now(), batch.in_operation);
        if let Content::Lines(page) = &batch.content
            && (0.0..FRESH).contains(&now.since(page.read()))
        {
            now = page.read();
        }
        let at = Moment { now, in_operation };
        let mut end = batch.end;
        let bad = match &batch.content {
            Content::Lines(page) if self.definition.encoding == Encoding::UTF_8 => {
                self.judge_page(page, at, &mut effects)
            }
            Content::Lines(page) if self.definition.encoding.unit() == 1 => {
                self.judge_lines(page.bytes(), at, &mut effects)
            }
            Content::Lines(page) => {
                let bytes = page.bytes();
                let mut lines = self.partial.remove(&batch.path).unwrap_or_default();
                if batch.end == bytes.len() as u64 {
                    // Another file, or this one from its beginning.
                    lines.clear();
                }
                lines.extend_from_slice(bytes);
                let rest = lines.split_off(self.definition.encoding.whole_lines(&lines));
                end = batch.end.saturating_sub(rest.len() as u64);
                if rest.len() <= LONGEST_PARTIAL {
                    self.partial.insert(Arc::clone(&batch.path), rest);
                }
                self.judge_lines(&lines, at, &mut effects)
            }
            Content::Entries(entries) => self.judge_entries(entries, at, &mut effects),
        };
        self.definition.jail.settle(at, &mut self.outside, &mut effects);
        if let Some(line) = bad
            && self.told_encoding.insert(Arc::clone(&batch.path))
        {
            self.tell_encoding(&batch.path, &line);
        }
        if !batch.superseded {
            let position = Position { first_line: batch.first_line.to_string(), position: end };
            self.positions.insert(Arc::clone(&batch.path), position);
        }
        self.facts.update(&self.definition.jail);
        self.carry_out(effects, &None);
    }

    /// Judges lines that are shared with other jails. Returns the first that is no text.
    fn judge_page(&mut self, page: &Page, at: Moment, effects: &mut Vec<Effect>) -> Option<Vec<u8>> {
        let mut through = Through::default();
        while through.next < page.len() {
            let (jail, outside) = (&mut self.definition.jail, &mut self.outside);
            if contained(|| jail.page(page, at, &mut through, outside, effects)).is_none() {
                effects.truncate(through.effects);
                self.tell_broken(page.line(through.next));
                through.next += 1;
            }
        }
        let bad = page.undecodable();
        self.bad_encoding += bad.lines;
        (bad.lines > 0).then(|| bad.first.clone())
    }

    /// Judges lines as they stand in a file. Returns the first that is no text.
    fn judge_lines(&mut self, mut rest: &[u8], at: Moment, effects: &mut Vec<Effect>) -> Option<Vec<u8>> {
        let encoding = self.definition.encoding;
        let mut bad = None;
        while !rest.is_empty() {
            let end = encoding.line_end(rest).unwrap_or(rest.len());
            let (line, after) = rest.split_at(end);
            rest = after;
            let (text, undecodable) = encoding.decode(line);
            if undecodable {
                self.bad_encoding += 1;
                bad.get_or_insert_with(|| line.to_vec());
            }
            let text = text.trim_end_matches(['\r', '\n']);
            self.judge_one(text, effects, |jail, outside, effects| jail.line(text, at, outside, effects));
        }
        bad
    }

    /// Judges entries of the journal. Returns the first whose text is none.
    fn judge_entries(&mut self, entries: &[Entry], at: Moment, effects: &mut Vec<Effect>) -> Option<Vec<u8>> {
        let (encoding, zone) = (self.definition.encoding, jiff::tz::TimeZone::system());
        let mut bad = None;
        for entry in entries {
            let line = entry.line(encoding, &zone);
            if line.undecodable {
                self.bad_encoding += 1;
                bad.get_or_insert_with(|| line.text.clone().into_bytes());
            }
            let dated = DatedLine { date: &line.date, line: &line.text, time: line.time };
            self.judge_one(&line.text, effects, |jail, outside, effects| {
                jail.dated_line(dated, at, outside, effects);
            });
        }
        bad
    }

    /// A panic over a line costs that line.
    fn judge_one(
        &mut self,
        text: &str,
        effects: &mut Vec<Effect>,
        judge: impl FnOnce(&mut Jail, &mut JailOutside, &mut Vec<Effect>),
    ) {
        let said = effects.len();
        let (jail, outside) = (&mut self.definition.jail, &mut self.outside);
        if contained(|| judge(jail, outside, effects)).is_none() {
            effects.truncate(said);
            self.tell_broken(text);
        }
    }

    fn tell_broken(&mut self, line: &str) {
        self.broken_lines += 1;
        let shown = portcullis_value::repr_str(&line.chars().take(1000).collect::<String>());
        let name = self.definition.name();
        let text = format!("[{name}] this line was passed over, it broke the filter: {shown}");
        self.surroundings.log.error("filter", text);
    }

    fn tell_encoding(&self, path: &Path, line: &[u8]) {
        let log = &self.surroundings.log;
        let encoding = &self.definition.logencoding;
        log.warning("filter", format!("Error decoding line from '{}' with '{encoding}'.", path.display()));
        let shown = Value::Bytes(line[..line.len().min(1000)].to_vec()).repr();
        let text = format!(
            "Consider setting logencoding to appropriate encoding for this jail. Continuing to process line ignoring invalid characters: {shown}"
        );
        log.warning("filter", text);
    }

    pub(super) fn ban(&mut self, ticket: Ticket, done: &Done) -> bool {
        let mut effects = Vec::new();
        let at = Moment { now: now(), in_operation: true };
        let new = self.definition.jail.ban(ticket, at, &mut self.outside, &mut effects);
        self.facts.update(&self.definition.jail);
        self.carry_out(effects, done);
        new
    }

    /// Bans one after the other, up to the first that is no address nor name.
    fn ban_by_hand(&mut self, ips: &[Late<String>], done: &Done) -> Result<Value, Exception> {
        let at = now();
        let mut new = 0;
        for ip in ips {
            new += i64::from(self.ban(Ticket::by_hand(Id::parse(&ip.clone()?)?, at), done));
        }
        Ok(Value::Int(new))
    }

    pub(super) fn unban(&mut self, text: &str, done: Done) -> Value {
        let id = Id::wanted(text);
        let mut effects = Vec::new();
        let held: Vec<Id> = self.definition.jail.unban(&id, &mut effects);
        self.surroundings.store.unbanned(self.definition.name(), &held, &id);
        self.facts.update(&self.definition.jail);
        self.carry_out(effects, &done);
        Value::Int(held.len() as i64)
    }

    fn unban_by_hand(&mut self, ips: &[String], report_absent: bool, done: Done) -> Result<Value, Exception> {
        self.restore_first(&ips.iter().map(|ip| Id::wanted(ip)).collect::<Vec<_>>());
        let mut lifted = 0;
        let mut absent = Vec::new();
        for ip in ips {
            match self.unban(ip, done.clone()) {
                Value::Int(0) => absent.push(Value::from(ip.as_str())),
                Value::Int(some) => lifted += some,
                _ => {}
            }
        }
        if report_absent && !absent.is_empty() {
            let text = format!("not banned: {}", Value::List(absent).repr());
            return Err(Exception::builtin("ValueError", text));
        }
        Ok(Value::Int(lifted))
    }

    pub(super) fn unban_all(&mut self, done: Done) -> Value {
        self.restoring = Restorable::default();
        let name = Arc::clone(self.definition.name());
        let count = self.let_all_go(done);
        self.surroundings.store.all_unbanned(&name);
        Value::Int(count as i64)
    }

    pub(super) fn let_all_go(&mut self, done: Done) -> usize {
        let name = Arc::clone(self.definition.name());
        let log = self.surroundings.log.clone();
        for (action, definition) in &self.definition.actions {
            if definition.has(portcullis_jail::action::Operation::Flush) {
                log.say(Level::NOTICE, "actions", format!("[{name}] Flush ticket(s) with {action}"));
            }
        }
        let tickets = self.definition.jail.bans.flush();
        self.definition.jail.networks.clear();
        self.prolongs.clear();
        for ticket in &tickets {
            let event = Event::new(Kind::Unban).jail(&name).address(&ticket.id);
            log.write_as(&portcullis_jail::ban::unban_line(&name, &ticket.id), event);
        }
        self.facts.update(&self.definition.jail);
        for worker in self.workers.values() {
            worker.order(worker::Order::Flush(done.clone()));
        }
        tickets.len()
    }

    /// What is to be kept of how far we are.
    pub(super) fn progress(&mut self) -> Progress {
        let positions = std::mem::take(&mut self.positions);
        self.read.extend(positions.iter().map(|(path, position)| (Arc::clone(path), position.clone())));
        Progress { positions, tallies: self.definition.jail.tally.changes() }
    }

    pub(super) fn keep_progress(&mut self) {
        self.positions_kept = Instant::now();
        let progress = self.progress();
        self.surroundings.store.progress(self.definition.name(), progress);
    }

    pub(super) fn action(&self, name: &str) -> Result<&Action, Exception> {
        self.definition.actions.get(name).ok_or_else(|| no_action(name))
    }
}
