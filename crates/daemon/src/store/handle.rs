//! The thread that owns the database, and the handle by which all others speak with it.

use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use indexmap::IndexMap;
use portcullis_jail::action::Past;
use portcullis_jail::ban::Increment;
use portcullis_jail::tally::{Changes, Counted};
use portcullis_jail::{History, Id, Ticket, Timestamp};
use portcullis_value::{Number, Value};

use super::packed::{PARCEL, PORTION, Parcel, Restorable};
use super::queue::{BOUND, Health};
use super::{Database, Portion, Position, Restore, Write};
use crate::log::Log;

/// So often the thread looks after the file and tries again what failed.
const TICK: Duration = Duration::from_secs(1);
/// So many messages are taken before they are written.
const AT_ONCE: usize = 10_000;
/// So long a jail waits for what the database knows of an offender, while lines wait to be judged. The disk of a healthy
/// machine answers within milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// So long one waits for what must be known before a jail can begin: without its bans it would let everybody in.
const LONG_PATIENCE: Duration = Duration::from_secs(600);

/// What is asked, and whom to answer.
type Question = Box<dyn FnOnce(&mut Database, Timestamp) + Send>;

/// What the thread is told.
enum Message {
    /// News that belong together.
    Write(Vec<Write>),
    /// A question, to be answered after everything told before it.
    Ask(Question),
}

/// A handle on the database; clones speak with the same.
///
/// What is told is not waited for: it is written soon, in the order in which it was told. No more than 100,000 pieces of news
/// wait in the inbox; what is told beyond is given up and counted.
#[derive(Clone)]
pub struct Store {
    inbox: Sender<Message>,
    shared: Arc<Shared>,
}

struct Shared {
    /// Messages in the inbox.
    waiting: AtomicUsize,
    /// News for which there was no room.
    refused: AtomicUsize,
    settings: Mutex<Settings>,
    log: Log,
}

struct Settings {
    file: Option<String>,
    purge_age: Number,
    max_matches: i64,
    health: Health,
}

impl Store {
    /// Starts the thread. There is no database until [`open`](Self::open) is called.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(log: Log) -> std::io::Result<Self> {
        let (inbox, messages) = unbounded();
        let settings = Settings {
            file: None,
            purge_age: Number::Int(86400),
            max_matches: 10,
            health: Health::default(),
        };
        let shared = Arc::new(Shared {
            waiting: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            settings: Mutex::new(settings),
            log,
        });
        let thread = Arc::clone(&shared);
        std::thread::Builder::new().name("f2b/store".into()).spawn(move || run(&messages, &thread))?;
        Ok(Store { inbox, shared })
    }

    /// Opens a database file; `None` for none. Waits until that is done.
    pub fn open(&self, file: Option<&str>) {
        let name = file.map(str::to_owned);
        let opened = self.ask(LONG_PATIENCE, move |database, now| {
            database.open(name.as_deref(), now);
            database.file().map(str::to_owned)
        });
        self.settings().file = opened.flatten();
    }

    /// Writes what waits and closes the file.
    pub fn close(&self) {
        self.ask(LONG_PATIENCE, Database::close);
        self.settings().file = None;
    }

    /// The file; `None` while there is no database.
    pub fn file(&self) -> Option<String> {
        self.settings().file.clone()
    }

    /// For how many seconds records are kept.
    pub fn purge_age(&self) -> Value {
        self.settings().purge_age.into()
    }

    /// Keeps records for so many seconds.
    pub fn set_purge_age(&self, seconds: Number) {
        self.settings().purge_age = seconds;
        self.send(Message::Ask(Box::new(move |database, _| database.set_purge_age(seconds.as_f64()))));
    }

    /// How many lines of a ticket are kept.
    pub fn max_matches(&self) -> Value {
        self.settings().max_matches.into()
    }

    /// Keeps so many lines of a ticket, the last ones; none when negative.
    pub fn set_max_matches(&self, number: i64) {
        self.settings().max_matches = number;
        let number = usize::try_from(number).unwrap_or(0);
        self.send(Message::Ask(Box::new(move |database, _| database.set_max_matches(number))));
    }

    /// How it does.
    pub fn health(&self) -> Health {
        let mut health = self.settings().health.clone();
        health.waiting += self.shared.waiting.load(Ordering::Relaxed);
        health.lost += self.shared.refused.load(Ordering::Relaxed) as u64;
        health
    }

    /// The same as values: `target`, `problem`, `waiting`, `lost`.
    pub fn report(&self) -> Value {
        let health = self.health();
        let text = |text: Option<String>| text.map_or(Value::None, Value::from);
        let number = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
        let problem = health.trouble.or_else(|| {
            (health.lost > 0).then(|| format!("{} records could not be written and are lost", health.lost))
        });
        let members = [
            ("target", text(health.file)),
            ("problem", text(problem)),
            ("waiting", number(health.waiting as u64)),
            ("lost", number(health.lost)),
        ];
        Value::Dict(members.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// A jail begins.
    pub fn jail_started(&self, jail: &Arc<str>) {
        self.write(vec![Write::Jail { name: Arc::clone(jail), enabled: true }]);
    }

    /// A jail ends. Its bans stay on record.
    pub fn jail_stopped(&self, jail: &Arc<str>) {
        self.write(vec![Write::Jail { name: Arc::clone(jail), enabled: false }]);
    }

    /// A new ban for `bantime` seconds, and how far the logs were read whose lines caused it: all is kept, or nothing.
    pub fn banned(&self, jail: &Arc<str>, ticket: &Arc<Ticket>, bantime: &Value, progress: Progress) {
        let (jail, ticket) = (Arc::clone(jail), Arc::clone(ticket));
        let mut news = progress.news(&jail);
        news.push(Write::Ban { jail, ticket, bantime: bantime.clone() });
        self.write(news);
    }

    /// How far logs were read, and what was counted there.
    pub fn progress(&self, jail: &Arc<str>, progress: Progress) {
        self.write(progress.news(jail));
    }

    /// What was counted is forgotten: the jail ends in order, or begins anew.
    pub fn tallies_forgotten(&self, jail: &Arc<str>) {
        self.write(vec![Write::Tallies { jail: Arc::clone(jail), anew: true, changes: Vec::new() }]);
    }

    /// Failures after `since` that a jail had counted when it was killed, at most so many.
    pub fn tallies(&self, jail: &str, since: f64, most: usize) -> Vec<(Id, Counted)> {
        let jail = jail.to_owned();
        self.ask(LONG_PATIENCE, move |database, now| database.tallies(&jail, since, most, now))
            .unwrap_or_default()
    }

    /// Bans were lifted by hand: those of `held`, and whatever is on record of `id`.
    pub fn unbanned(&self, jail: &Arc<str>, held: &[Id], id: &Id) {
        let mut ids: Vec<&str> = held.iter().map(Id::text).collect();
        if !ids.contains(&id.text()) {
            ids.push(id.text());
        }
        let news = ids.into_iter().map(|id| Write::Unban { jail: Arc::clone(jail), id: id.to_owned() });
        self.write(news.collect());
    }

    /// All bans of a jail were lifted by hand.
    pub fn all_unbanned(&self, jail: &Arc<str>) {
        self.write(vec![Write::UnbanAll { jail: Arc::clone(jail) }]);
    }

    /// The bans of a jail that still hold, as the database has them when it is their turn.
    pub fn restorable(
        &self,
        jail: &str,
        bantime: &Value,
        increment: &Increment,
        now: Timestamp,
    ) -> Restorable {
        let jail: Arc<str> = jail.into();
        let bantime = bantime.clone();
        let (grows, maxtime) = (increment.is_on(), increment.maxtime().map(Value::from));
        let store = self.clone();
        // Those that come to the database later have greater numbers of rows.
        let newest = Arc::new(AtomicI64::new(i64::MAX));
        Restorable::new(move |behind| {
            let (sender, parcels) = unbounded();
            let (jail, bantime, maxtime) = (Arc::clone(&jail), bantime.clone(), maxtime.clone());
            let newest = Arc::clone(&newest);
            store.send(Message::Ask(Box::new(move |database, _| {
                let rule = Restore { jail: &jail, bantime: &bantime, increment: grows, maxtime, now };
                let mut parcel = Parcel::default();
                if behind.is_empty() {
                    let (expected, last) = database.expected(&rule);
                    parcel.expected = expected;
                    newest.store(last, Ordering::Relaxed);
                }
                let newest = newest.load(Ordering::Relaxed);
                let portion = Portion { behind, newest, most: PORTION };
                let last = database.restorable(&rule, portion, &mut |ticket| {
                    parcel.push(ticket);
                    if parcel.len() == PARCEL {
                        // The jail may have ended.
                        let _ = sender.send(std::mem::take(&mut parcel));
                    }
                });
                if last.is_none() {
                    database.settle();
                }
                parcel.behind = last;
                let _ = sender.send(parcel);
            })));
            parcels
        })
    }

    /// Earlier bans of an offender in one jail, or in all.
    pub fn history(&self, jail: &str, id: &Id, all_jails: bool) -> Option<History> {
        let (jail, id) = (jail.to_owned(), id.clone());
        self.ask(PATIENCE, move |database, now| database.history(&jail, id.text(), all_jails, now)).flatten()
    }

    /// How far a log was read.
    pub fn position(&self, jail: &str, path: &Path) -> Option<Position> {
        let (jail, path) = (jail.to_owned(), path.to_owned());
        self.ask(LONG_PATIENCE, move |database, now| database.position(&jail, &path, now)).flatten()
    }

    /// Lines and failures of an offender's bans, in one jail or in all.
    pub fn past(&self, jail: &str, id: &Id, all_jails: bool) -> Past {
        let (jail, id) = ((!all_jails).then(|| jail.to_owned()), id.clone());
        self.ask(PATIENCE, move |database, now| database.past(jail.as_deref(), id.text(), now))
            .unwrap_or_default()
    }

    fn write(&self, news: Vec<Write>) {
        if news.is_empty() {
            return;
        }
        if self.shared.waiting.load(Ordering::Relaxed) >= BOUND {
            self.shared.refused.fetch_add(news.len(), Ordering::Relaxed);
            let text = "too many records wait for the database: some are given up";
            self.shared.log.error("database", text);
            return;
        }
        self.send(Message::Write(news));
    }

    /// Asks and waits; `None`, and a line in the log, when there is no answer in time.
    fn ask<T: Send + 'static>(
        &self,
        patience: Duration,
        question: impl FnOnce(&mut Database, Timestamp) -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = bounded(1);
        let shared = Arc::clone(&self.shared);
        self.send(Message::Ask(Box::new(move |database, now| {
            let told = question(database, now);
            // Before the answer, so that the log tells in the order in which things happen.
            shared.log.write_all(&database.lines());
            // Whoever asked may have given up.
            let _ = reply.send(told);
        })));
        let told = answer.recv_timeout(patience).ok();
        if told.is_none() {
            self.shared.log.error("database", "no answer from the database in time: going on without");
        }
        told
    }

    fn send(&self, message: Message) {
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        // The thread outlives every handle, unless it died of a mistake of ours.
        if self.inbox.send(message).is_err() {
            self.shared.refused.fetch_add(1, Ordering::Relaxed);
            self.shared
                .log
                .error("database", "the database's thread is gone: NOTHING IS REMEMBERED any more");
        }
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        lock(&self.shared.settings)
    }
}

/// How far a jail has come with its logs: positions that changed, and the counts that changed up to there. One is worth nothing
/// without the other.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// By file.
    pub positions: IndexMap<Arc<Path>, Position>,
    /// Of failures that are no ban yet.
    pub tallies: Changes,
}

impl Progress {
    fn news(self, jail: &Arc<str>) -> Vec<Write> {
        let log = |(path, position)| Write::Log { jail: Arc::clone(jail), path, position };
        let mut news: Vec<Write> = self.positions.into_iter().map(log).collect();
        if !self.tallies.is_empty() {
            news.push(Write::Tallies { jail: Arc::clone(jail), anew: false, changes: self.tallies });
        }
        news
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked while it held this left whole values behind.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread: takes everything that is in the inbox, then writes it in one go.
fn run(messages: &Receiver<Message>, shared: &Shared) {
    let mut database = Database::new();
    let mut next_tick = std::time::Instant::now() + TICK;
    loop {
        match messages.recv_deadline(next_tick) {
            Ok(message) => {
                for message in std::iter::once(message).chain(messages.try_iter().take(AT_ONCE)) {
                    shared.waiting.fetch_sub(1, Ordering::Relaxed);
                    match message {
                        Message::Write(news) => database.push(news),
                        Message::Ask(question) => question(&mut database, now()),
                    }
                }
                database.flush(now());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                database.close(now());
                shared.log.write_all(&database.lines());
                return;
            }
        }
        if std::time::Instant::now() >= next_tick {
            database.tick(now());
            next_tick = std::time::Instant::now() + TICK;
        }
        shared.log.write_all(&database.lines());
        lock(&shared.settings).health = database.health();
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp(since.map_or_else(|before| -before.duration().as_secs_f64(), |after| after.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Format, Target};

    fn store(file: &Path) -> Store {
        let store = Store::start(Log::new(Target::Stderr, Format::default())).unwrap();
        store.open(file.to_str());
        store
    }

    #[test]
    fn what_many_jails_tell_is_there_after_a_close_and_an_open() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("db");
        let bantime = Value::Int(600);
        let told = store(&file);
        std::thread::scope(|scope| {
            for jail in 0..8 {
                let (told, bantime) = (told.clone(), &bantime);
                scope.spawn(move || {
                    let jail: Arc<str> = format!("j{jail}").into();
                    told.jail_started(&jail);
                    for n in 0..200_u32 {
                        let id = Id::from(std::net::IpAddr::from(std::net::Ipv4Addr::from_bits(n)));
                        let path: Arc<Path> = Path::new("/log").into();
                        let position = Position { first_line: "3f78".into(), position: n.into() };
                        let ticket = Arc::new(Ticket::by_hand(id, now()));
                        let positions = [(path, position)].into_iter().collect();
                        told.banned(&jail, &ticket, bantime, Progress { positions, tallies: Vec::new() });
                    }
                    let id = Id::new("0.0.0.7");
                    assert_eq!(told.history(&jail, &id, false).unwrap().count, 1);
                    told.unbanned(&jail, &[], &id);
                    assert_eq!(told.history(&jail, &id, false), None);
                });
            }
        });
        assert_eq!(told.history("j0", &Id::new("0.0.0.8"), true).unwrap().count, 8);
        told.close();
        assert_eq!(told.file(), None);
        let again = store(&file);
        for jail in 0..8 {
            let jail = format!("j{jail}");
            let restored = again.restorable(&jail, &bantime, &Increment::default(), now()).take_out(|_| true);
            assert_eq!(restored.len(), 199);
            assert_eq!(again.position(&jail, Path::new("/log")).unwrap().position, 199);
        }
        assert_eq!((again.health().waiting, again.health().lost), (0, 0));
        assert_eq!(again.file().as_deref(), file.to_str());
    }

    #[test]
    fn settings_are_told_as_they_were_set_and_count() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir.path().join("db"));
        assert_eq!((store.purge_age(), store.max_matches()), (Value::Int(86400), Value::Int(10)));
        store.set_max_matches(0);
        store.set_purge_age(Number::Float(1.5));
        assert_eq!((store.purge_age(), store.max_matches()), (Value::Float(1.5), Value::Int(0)));
        let line = portcullis_jail::MatchedLine { after: "x".into(), ..Default::default() };
        let ticket =
            Ticket { failures: 1, matches: vec![line], ..Ticket::by_hand(Id::new("192.0.2.1"), now()) };
        let jail: Arc<str> = "j".into();
        store.banned(&jail, &Arc::new(ticket), &Value::Int(600), Progress::default());
        let past = store.past("j", &Id::new("192.0.2.1"), false);
        assert_eq!((past.failures, past.matches.len()), (1, 0));
    }
}
