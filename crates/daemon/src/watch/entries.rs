//! Follows the journal for one jail: a thread that reads a `journalctl`, first to the newest entry, then as they come.
//!
//! A `journalctl` that dies is started again where it was, ever more slowly if it keeps dying. Nothing is read twice and
//! nothing is passed over: what was handed over last is known by its cursor.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};
use jiff::tz::TimeZone;
use portcullis_jail::Level;

use super::{Batch, Content};
use crate::journal::{Ender, Entry, NAME, Place, Reader, Selection, Start, Until, date};
use crate::log::Log;

/// So many entries are handed over at once, at most.
const PORTION: usize = 500;
/// The pauses between two attempts: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// A `journalctl` that lived so long has worked: what comes next is a new trouble.
const WORKED: Duration = Duration::from_secs(60);
/// How often files are looked at: `journalctl` does not follow files.
const LOOK: Duration = Duration::from_millis(250);
/// How often they are read although they look the same.
const RECHECK: Duration = Duration::from_secs(10);

/// What a jail wants to read of the journal.
#[derive(Debug)]
pub struct FollowJournal {
    /// The jail.
    pub jail: Arc<str>,
    /// Which journal.
    pub place: Place,
    /// Which entries.
    pub selection: Selection,
    /// Where to begin.
    pub start: Start,
    /// Entries of this time (microseconds since 1970) and before are known, up to the first that is later: a position without
    /// a cursor is Fail2ban's, and includes the entry that it tells of.
    pub known_until: u64,
    /// Whether the jail has caught up before: what comes is news.
    pub in_operation: bool,
    /// Where the entries go.
    pub inbox: Sender<Batch>,
}

/// A handle on the thread. Dropped, it ends it.
#[derive(Debug)]
pub struct JournalWatch {
    /// Closed to end the thread.
    stop: Option<Sender<()>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stopping: bool,
    reading: Option<Ender>,
    /// Behind what was handed over last, and its time.
    left_off: Option<(Start, u64)>,
    in_operation: bool,
    trouble: Option<String>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl JournalWatch {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(follow: FollowJournal, log: Log) -> io::Result<Self> {
        let (stop, stopped) = bounded(0);
        let shared = Arc::new(Shared::default());
        {
            let mut state = shared.state();
            state.in_operation = follow.in_operation;
            state.left_off = Some((follow.start.clone(), follow.known_until));
        }
        let name: String = format!("f2b/j.{}", follow.jail).chars().take(15).collect();
        let follower = Follower {
            start: follow.start.clone(),
            known_until: follow.known_until,
            follow,
            shared: Arc::clone(&shared),
            stopped,
            path: Path::new(NAME).into(),
            zone: TimeZone::system(),
            log,
        };
        let thread = std::thread::Builder::new().name(name).spawn(move || follower.run())?;
        Ok(JournalWatch { stop: Some(stop), shared, thread: Some(thread) })
    }

    /// What keeps it from reading, if something does.
    pub fn trouble(&self) -> Option<String> {
        self.shared.state().trouble.clone()
    }

    /// Ends the thread. Returns where another goes on (`start` and `known_until`), and whether it had caught up.
    pub fn stop(mut self) -> (Option<(Start, u64)>, bool) {
        self.end();
        let state = self.shared.state();
        (state.left_off.clone(), state.in_operation)
    }

    fn end(&mut self) {
        self.stop = None;
        {
            let mut state = self.shared.state();
            state.stopping = true;
            if let Some(reading) = &state.reading {
                reading.end();
            }
        }
        if let Some(thread) = self.thread.take() {
            // It panicked, if anything; then there is nothing to wait for.
            let _ = thread.join();
        }
    }
}

impl Drop for JournalWatch {
    fn drop(&mut self) {
        self.end();
    }
}

struct Follower {
    follow: FollowJournal,
    start: Start,
    known_until: u64,
    shared: Arc<Shared>,
    stopped: Receiver<()>,
    path: Arc<Path>,
    zone: TimeZone,
    log: Log,
}

/// Nobody wants more.
struct Stopped;

impl Follower {
    fn run(mut self) {
        let mut pause = PAUSES.0;
        loop {
            let began = Instant::now();
            let caught_up = self.shared.state().in_operation;
            let files = self.follow.place.is_files();
            let version = files.then(|| self.follow.place.version());
            let until = if caught_up && !files { Until::Ever } else { Until::Now };
            let read = match self.read(until) {
                Ok(read) => read,
                Err(Stopped) => return,
            };
            let rest = match read {
                // It has read to the end.
                Ok(()) if until == Until::Now => {
                    pause = PAUSES.0;
                    self.trouble(None);
                    self.begin_operation();
                    version.map(|version| self.wait_for_news(&version))
                }
                ended => {
                    if began.elapsed() > WORKED {
                        pause = PAUSES.0;
                    }
                    self.trouble(Some(ended.err().unwrap_or_else(|| "journalctl ended".to_owned())));
                    let rest = self.sleep(pause);
                    pause = (pause * 2).min(PAUSES.1);
                    Some(rest)
                }
            };
            if let Some(Err(Stopped)) = rest {
                return;
            }
        }
    }

    /// Reads to the end, and hands over what comes. The inner error is a reader's that failed.
    fn read(&mut self, until: Until) -> Result<Result<(), String>, Stopped> {
        let opened = Reader::open(&self.follow.place, &self.follow.selection, &self.start, until);
        let mut reader = match opened {
            Ok(reader) => reader,
            Err(error) => return Ok(Err(error.to_string())),
        };
        {
            let mut state = self.shared.state();
            state.reading = Some(reader.ender());
            if state.stopping {
                reader.ender().end();
            }
        }
        let mut entries = Vec::new();
        let ended = loop {
            match reader.read(&mut entries) {
                Ok(more) => {
                    if !entries.is_empty() {
                        self.trouble(None);
                    }
                    self.hand_over(&mut entries)?;
                    if !more {
                        break Ok(());
                    }
                }
                Err(error) => break Err(format!("what journalctl writes cannot be read: {error}")),
            }
        };
        self.shared.state().reading = None;
        let finished = reader.finish();
        if self.shared.state().stopping {
            return Err(Stopped);
        }
        let result = ended.and(finished);
        if let (Err(text), Start::Behind(_)) = (&result, &self.start)
            && text.contains("seek to cursor")
        {
            // A journal that was set up anew does not know the old one's cursors: by time then.
            self.start = Start::Since(self.known_until);
        }
        Ok(result)
    }

    fn hand_over(&mut self, entries: &mut Vec<Entry>) -> Result<(), Stopped> {
        if matches!(self.start, Start::Since(_)) {
            let new = entries.iter().position(|entry| entry.microseconds() > self.known_until);
            entries.drain(..new.unwrap_or(entries.len()));
        }
        while !entries.is_empty() {
            let rest = entries.split_off(entries.len().min(PORTION));
            let portion = std::mem::replace(entries, rest);
            let Some(last) = portion.last() else { break };
            let (end, cursor) = (last.microseconds(), last.cursor.clone());
            let batch = Batch {
                path: Arc::clone(&self.path),
                end,
                first_line: format!("{}{cursor}", date(end, &self.zone)).into(),
                content: Content::Entries(portion.into()),
                in_operation: self.shared.state().in_operation,
                superseded: false,
            };
            select! {
                send(self.follow.inbox, batch) -> sent => sent.map_err(|_| Stopped)?,
                recv(self.stopped) -> _ => return Err(Stopped),
            }
            self.start = Start::Behind(cursor);
            self.known_until = end;
            self.shared.state().left_off = Some((self.start.clone(), end));
        }
        Ok(())
    }

    fn begin_operation(&self) {
        let mut state = self.shared.state();
        if !std::mem::replace(&mut state.in_operation, true) {
            let text =
                format!("[{}] Jail is in operation now (process new journal entries)", self.follow.jail);
            self.log.info("filtersystemd", text);
        }
    }

    /// Says what is new of what keeps us from reading.
    fn trouble(&self, trouble: Option<String>) {
        let mut state = self.shared.state();
        if state.trouble == trouble {
            return;
        }
        let jail = &self.follow.jail;
        match &trouble {
            Some(text) => self.log.say(
                Level::ERROR,
                "filtersystemd",
                format!("[{jail}] the journal cannot be read, trying again: {text}"),
            ),
            None => self.log.info("filtersystemd", format!("[{jail}] the journal is read again")),
        }
        state.trouble = trouble;
    }

    fn sleep(&self, pause: Duration) -> Result<(), Stopped> {
        match self.stopped.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            _ => Err(Stopped),
        }
    }

    /// Until one of the files is another than it was, or it is time to read them anyway.
    fn wait_for_news(&self, version: &[(u64, Option<std::time::SystemTime>)]) -> Result<(), Stopped> {
        let due = Instant::now() + RECHECK;
        while Instant::now() < due && self.follow.place.version() == version {
            self.sleep(LOOK)?;
        }
        Ok(())
    }
}
