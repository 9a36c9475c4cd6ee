//! The database as a value: told what is new and what time it is, asked what was. It waits for nothing but the disk.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use portcullis_jail::action::Past;
use portcullis_jail::tally::Counted;
use portcullis_jail::{History, Id, Level, LogLine, Ticket, Timestamp};
use portcullis_value::Value;
use rusqlite::{Connection, ErrorCode, TransactionBehavior, params};

use super::opening::{self, OpenError, line};
use super::queue::{Health, Queue};
use super::{Position, Write, reads};

/// So many pieces of news go into one transaction.
const PORTION: usize = 10_000;
/// The database is cleared of old records this often, in seconds.
const PURGE_EVERY: f64 = 3600.0;
/// After a failure one tries again after so many seconds, then after twice as many, and so on up to the second figure.
const RETRY: (f64, f64) = (0.25, 30.0);

/// Which bans are to be restored.
#[derive(Clone, Debug)]
pub struct Restore<'a> {
    /// The jail.
    pub jail: &'a str,
    /// Its ban time, in seconds; -1 is for ever.
    pub bantime: &'a Value,
    /// Whether its ban times grow.
    pub increment: bool,
    /// Up to how many seconds they grow.
    pub maxtime: Option<Value>,
    /// What time it is.
    pub now: Timestamp,
}

/// Which of them at a time.
#[derive(Clone, Debug)]
pub struct Portion {
    /// Those behind the identity of this text.
    pub behind: String,
    /// Those whose rows have no greater number.
    pub newest: i64,
    /// So many rows at most.
    pub most: usize,
}

impl Portion {
    /// All of them.
    pub fn all() -> Self {
        Portion { behind: String::new(), newest: i64::MAX, most: usize::MAX }
    }
}

/// A database, or none.
#[derive(Debug)]
pub struct Database {
    file: Option<String>,
    connection: Option<Connection>,
    /// Device and number of the open file: somebody may delete or replace it.
    identity: Option<(u64, u64)>,
    queue: Queue,
    /// Jails whose row is surely there.
    jails: HashSet<Arc<str>>,
    /// Whether it has tables for tallies.
    has_tallies: bool,
    /// Jails that run: they get a row in a file that is new.
    running: HashSet<Arc<str>>,
    max_matches: usize,
    purge_age: f64,
    purged: Timestamp,
    trouble: Option<Trouble>,
    lines: Vec<LogLine>,
}

/// Why nothing is written now.
#[derive(Debug)]
struct Trouble {
    text: String,
    /// When one tries again; `None`: never.
    retry_at: Option<Timestamp>,
    delay: f64,
}

impl Default for Database {
    fn default() -> Self {
        Self::new()
    }
}

impl Database {
    /// No database: nothing is remembered, and nothing lost.
    pub fn new() -> Self {
        Database {
            file: None,
            connection: None,
            identity: None,
            queue: Queue::default(),
            jails: HashSet::new(),
            has_tallies: false,
            running: HashSet::new(),
            max_matches: 10,
            purge_age: 86400.0,
            purged: Timestamp(0.0),
            trouble: None,
            lines: Vec::new(),
        }
    }

    /// Opens a file (`:memory:` for none on disk; `None` to remember nothing), after closing the one before. What goes wrong
    /// is said in [`lines`](Self::lines) and tried again; only a newer program's file is left alone for good.
    pub fn open(&mut self, file: Option<&str>, now: Timestamp) {
        self.close(now);
        self.file = file.map(str::to_owned);
        self.purged = now;
        self.trouble = None;
        if self.file.is_some() {
            self.connect(now);
        }
    }

    /// Writes what waits and closes the file.
    pub fn close(&mut self, now: Timestamp) {
        if let Some(trouble) = &mut self.trouble {
            trouble.retry_at = trouble.retry_at.map(|_| now);
        }
        self.flush(now);
        if !self.queue.is_empty() && self.file.is_some() {
            let text = format!("{} record(s) could not be written and are lost", self.queue.len());
            self.say(Level::ERROR, text);
        }
        if let Some(connection) = self.connection.take() {
            opening::close(connection);
            self.say(Level::INFO, "Connection to database closed.");
        }
        self.identity = None;
        self.file = None;
    }

    /// What is to be logged since this was last asked.
    pub fn lines(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.lines)
    }

    /// The file; `None` while there is no database.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// How many lines of a ticket are kept.
    pub fn set_max_matches(&mut self, max_matches: usize) {
        self.max_matches = max_matches;
    }

    /// For how many seconds records are kept.
    pub fn set_purge_age(&mut self, seconds: f64) {
        self.purge_age = seconds;
    }

    /// How it does.
    pub fn health(&self) -> Health {
        Health {
            file: self.file.clone(),
            waiting: self.queue.len(),
            lost: self.queue.lost(),
            trouble: self.trouble.as_ref().map(|trouble| trouble.text.clone()),
        }
    }

    /// Takes news, which are written together at the next [`flush`](Self::flush).
    pub fn push(&mut self, news: Vec<Write>) {
        for write in &news {
            if let Write::Jail { name, enabled } = write {
                let name = Arc::clone(name);
                if *enabled {
                    self.running.insert(name)
                } else {
                    self.running.remove(&name)
                };
            }
        }
        if self.file.is_some() {
            let lost = self.queue.lost();
            self.queue.push(news);
            if self.queue.lost() > lost {
                let text =
                    format!("database: {} record(s) given up, too many wait", self.queue.lost() - lost);
                self.say(Level::ERROR, text);
            }
        }
    }

    /// Writes all that waits, unless that was tried in vain just before.
    pub fn flush(&mut self, now: Timestamp) {
        let mut repaired = false;
        let mut one_by_one = false;
        while !self.queue.is_empty() {
            if !self.is_due(now) || !self.is_open(now) {
                return;
            }
            let written = self.write_portion(if one_by_one { 1 } else { PORTION });
            if written.is_err() {
                // A transaction that failed may have taken back rows and tables.
                self.jails.clear();
                self.has_tallies = self.connection.as_ref().is_some_and(opening::has_tallies);
            }
            match written {
                Ok(batches) => {
                    self.queue.written(batches);
                    self.recovered();
                }
                Err(error) if opening::is_damage(&error) && !repaired => {
                    repaired = true;
                    self.repair(&error, now);
                }
                Err(error) if is_refusal(&error) && !one_by_one => {
                    // A table may be gone, or one record among many is bad.
                    one_by_one = true;
                    if let Some(connection) = &mut self.connection {
                        let _ = opening::create(connection);
                    }
                }
                Err(error) if is_refusal(&error) => {
                    let text = format!("database refuses a record: {}", opening::message(&error));
                    self.say(Level::ERROR, text);
                    self.queue.refuse_oldest();
                }
                Err(error) => return self.failed(&opening::message(&error), now),
            }
        }
    }

    /// What is due from time to time: another attempt, a look whether the file is still there, and hourly the purge.
    pub fn tick(&mut self, now: Timestamp) {
        self.look_after_file(now);
        self.flush(now);
        if now < self.purged {
            self.purged = now;
        }
        if now.since(self.purged) >= PURGE_EVERY {
            self.purged = now;
            if let Err(error) = self.purge(now) {
                self.say(Level::ERROR, format!("purge of the database failed: {}", opening::message(&error)));
            }
        }
    }

    /// Deletes what is older than the purge age allows, and jails of which nothing is left.
    ///
    /// # Errors
    /// SQLite's. Nothing is deleted then.
    pub fn purge(&mut self, now: Timestamp) -> rusqlite::Result<()> {
        let oldest = now.0 - self.purge_age;
        let Some(connection) = &mut self.connection else { return Ok(()) };
        self.jails.clear();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute("DELETE FROM bans WHERE timeofban < ?1", params![oldest])?;
        transaction.execute(
            "DELETE FROM bips WHERE timeofban < ?1 AND bantime != -1 AND timeofban + 3 * bantime < ?1",
            params![oldest],
        )?;
        if self.has_tallies {
            // Jails that run take out what they count no more.
            transaction.execute("DELETE FROM portcullis_tallies WHERE last < ?1", params![oldest])?;
        }
        transaction.execute(
            "DELETE FROM jails WHERE enabled = 0 \
             AND NOT EXISTS(SELECT 1 FROM bans WHERE bans.jail = jails.name) \
             AND NOT EXISTS(SELECT 1 FROM bips WHERE bips.jail = jails.name)",
            [],
        )?;
        transaction.commit()
    }

    /// The bans of a jail that still hold, by the text of their identity. [`Ticket::restored`] is set; the ban time is the
    /// one they had, cut to what the jail's settings allow now. Answers behind whom there may be more.
    pub fn restorable(
        &mut self,
        rule: &Restore<'_>,
        mut portion: Portion,
        each: &mut dyn FnMut(Ticket),
    ) -> Option<String> {
        let read = |database: &mut Self| {
            let Some(connection) = &database.connection else { return Ok(false) };
            reads::restorable(connection, &database.queue, rule, &mut portion, &mut database.lines, each)
        };
        self.read(rule.now, read).unwrap_or(false).then_some(portion.behind)
    }

    /// How many they are at most, and the greatest number of a row.
    pub fn expected(&mut self, rule: &Restore<'_>) -> (usize, i64) {
        let count = |database: &mut Self| {
            let Some(connection) = &database.connection else { return Ok((0, 0)) };
            let count =
                "SELECT count(*) FROM bips WHERE jail = ?1 AND (timeofban + bantime > ?2 OR bantime <= -1)";
            let count =
                connection.query_row(count, params![rule.jail, rule.now.0], |row| row.get::<_, i64>(0))?;
            let newest =
                connection.query_row("SELECT coalesce(max(rowid), 0) FROM bips", [], |row| row.get(0))?;
            Ok((count, newest))
        };
        let (count, newest) = self.read(rule.now, count).unwrap_or((0, i64::MAX));
        (usize::try_from(count).unwrap_or(0), newest)
    }

    /// Gives back the memory that a large piece of work has taken.
    pub fn settle(&mut self) {
        if let Some(connection) = &self.connection {
            // Nothing depends on it.
            let _ = connection.execute_batch("PRAGMA shrink_memory");
        }
    }

    /// Earlier bans of an offender in one jail, or in all.
    pub fn history(&mut self, jail: &str, id: &str, all_jails: bool, now: Timestamp) -> Option<History> {
        self.read(now, |database| {
            reads::history(database.connection.as_ref(), &database.queue, jail, id, all_jails)
        })
        .flatten()
    }

    /// How far a log was read.
    pub fn position(&mut self, jail: &str, path: &Path, now: Timestamp) -> Option<Position> {
        self.read(now, |database| reads::position(database.connection.as_ref(), &database.queue, jail, path))
            .flatten()
    }

    /// The counts of failures after `since` that a jail left when it did not end in order, at most so many; none where another
    /// program has read on in its logs, and then they are forgotten.
    pub fn tallies(&mut self, jail: &str, since: f64, most: usize, now: Timestamp) -> Vec<(Id, Counted)> {
        let read = |database: &mut Self| match &database.connection {
            Some(_) if !database.has_tallies => Ok(Some(Vec::new())),
            Some(connection) if reads::tallies_hold(connection, jail)? => {
                reads::tallies(connection, jail, since, most).map(Some)
            }
            Some(_) => Ok(None),
            None => Ok(Some(Vec::new())),
        };
        match self.read(now, read) {
            Some(Some(tallies)) => tallies,
            Some(None) => {
                self.push(vec![Write::Tallies { jail: jail.into(), anew: true, changes: Vec::new() }]);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// Lines and failures of an offender's bans, in one jail or (`None`) in all.
    pub fn past(&mut self, jail: Option<&str>, id: &str, now: Timestamp) -> Past {
        let read = |database: &mut Self| match &database.connection {
            Some(connection) => reads::past(connection, jail, id),
            None => Ok(Past::default()),
        };
        self.read(now, read).unwrap_or_default()
    }

    /// Asks after all that waits was written, if that is possible. A damaged file is repaired and asked again.
    fn read<T>(
        &mut self,
        now: Timestamp,
        mut ask: impl FnMut(&mut Self) -> rusqlite::Result<T>,
    ) -> Option<T> {
        self.flush(now);
        match ask(self) {
            Ok(answer) => Some(answer),
            Err(error) if opening::is_damage(&error) => {
                self.repair(&error, now);
                ask(self).ok()
            }
            Err(error) => {
                self.say(Level::ERROR, opening::message(&error));
                None
            }
        }
    }

    fn connect(&mut self, now: Timestamp) {
        let Some(file) = self.file.clone() else { return };
        match opening::open(&file, now, &mut self.lines) {
            Ok(connection) => self.connected(connection, &file),
            Err(OpenError::Newer(version)) => {
                // Differs: Fail2ban does not start at all; protection without memory is better than none.
                let text = format!(
                    "database '{file}' has version {version}, made by a newer program: it is left alone, and \
                     NOTHING IS REMEMBERED until another dbfile is set"
                );
                self.say(Level::CRITICAL, text.clone());
                self.trouble = Some(Trouble { text, retry_at: None, delay: 0.0 });
                self.file = None;
            }
            Err(error) => {
                if self.trouble.is_none() {
                    let text = format!("Error connecting to fail2ban persistent database '{file}': {error}");
                    self.say(Level::ERROR, text);
                }
                self.failed(&error.to_string(), now);
            }
        }
    }

    fn connected(&mut self, connection: Connection, file: &str) {
        self.has_tallies = opening::has_tallies(&connection);
        self.connection = Some(connection);
        self.identity = identity(file);
        self.jails.clear();
        let running = self.running.iter().map(|name| Write::Jail { name: Arc::clone(name), enabled: true });
        self.queue.push(running.collect());
    }

    fn repair(&mut self, error: &rusqlite::Error, now: Timestamp) {
        let Some(file) = self.file.clone() else { return };
        self.connection = None;
        let text = format!("Error in fail2ban persistent database '{file}': {}", opening::message(error));
        self.say(Level::ERROR, text);
        match opening::replace(&file, now, &mut self.lines) {
            Ok(connection) => self.connected(connection, &file),
            Err(error) => self.failed(&error.to_string(), now),
        }
    }

    /// Reopens a file that was replaced, and writes anew one that was deleted: else all news would go to a file that
    /// nobody can find.
    fn look_after_file(&mut self, now: Timestamp) {
        let (Some(file), Some(connection)) = (self.file.clone(), &self.connection) else { return };
        if file == ":memory:" || identity(&file) == self.identity {
            return;
        }
        let gone = !Path::new(&file).exists();
        let rescued = gone.then(|| opening::rescue(connection, &file));
        self.say(
            Level::ERROR,
            match &rescued {
                None => format!("database '{file}' was replaced by another file: going on with that"),
                Some(Ok(())) => format!("database '{file}' was deleted: written anew"),
                Some(Err(error)) => format!("database '{file}' was deleted: {}", opening::message(error)),
            },
        );
        self.connection = None;
        self.connect(now);
    }

    fn write_portion(&mut self, portion: usize) -> rusqlite::Result<usize> {
        let Some(connection) = &mut self.connection else { return Ok(0) };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (mut batches, mut written) = (0, 0);
        for batch in self.queue.batches() {
            if batches > 0 && written + batch.len() > portion {
                break;
            }
            for write in batch {
                // Records of a jail need its row.
                let jail = write.jail();
                if !self.jails.contains(jail) {
                    transaction.execute("INSERT OR IGNORE INTO jails(name) VALUES(?1)", [jail])?;
                    self.jails.insert(Arc::clone(jail));
                }
                write.apply(&transaction, self.max_matches, &mut self.has_tallies)?;
            }
            batches += 1;
            written += batch.len();
        }
        transaction.commit().map(|()| batches)
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.trouble.as_ref().is_none_or(|trouble| {
            // A clock that was set back does not make us wait longer than the longest delay.
            trouble.retry_at.is_some_and(|at| now >= at || at.since(now) > RETRY.1)
        })
    }

    fn is_open(&mut self, now: Timestamp) -> bool {
        if self.connection.is_none() {
            self.connect(now);
        }
        self.connection.is_some()
    }

    fn failed(&mut self, text: &str, now: Timestamp) {
        let delay = if let Some(trouble) = &self.trouble {
            (trouble.delay * 2.0).clamp(RETRY.0, RETRY.1)
        } else {
            let waiting = self.queue.len();
            self.say(Level::ERROR, format!("{text}; {waiting} record(s) wait to be written"));
            RETRY.0
        };
        self.trouble = Some(Trouble { text: text.to_owned(), retry_at: Some(now.plus(delay)), delay });
    }

    fn recovered(&mut self) {
        if self.trouble.take().is_some() {
            let text = match self.queue.lost() {
                0 => "database is written again, nothing was lost".to_owned(),
                lost => format!("database is written again; {lost} record(s) were lost"),
            };
            self.say(Level::WARNING, text);
        }
    }

    fn say(&mut self, level: Level, text: impl Into<String>) {
        self.lines.push(line(level, text));
    }
}

fn identity(file: &str) -> Option<(u64, u64)> {
    std::fs::metadata(file).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Whether the record itself is what the database does not want, so that waiting is of no use.
fn is_refusal(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => matches!(
            code,
            ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
                | ErrorCode::TooBig
                | ErrorCode::ApiMisuse
                | ErrorCode::ParameterOutOfRange
                | ErrorCode::Unknown
        ),
        None => true,
    }
}
