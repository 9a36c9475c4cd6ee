//! The program's own log: where it goes, what passes the level, and that it never floods.
//!
//! [`Log`] is a handle that every thread holds. Lines have Fail2ban's format; a target that cannot be written to loses
//! lines, which are counted and told as soon as it can be written to again.

mod target;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portcullis_jail::{Level, LogLine};
use portcullis_wire::event::Kind;

use crate::events::{Event, Events};

pub use target::{Target, TargetError, Written};

/// The same warning is written this often within [`WINDOW`]; then it is counted, and told as one line.
const BURST: u32 = 10;
/// How long a repeated warning stays quiet.
const WINDOW: Duration = Duration::from_secs(60);
/// How many different warnings are remembered for that. Beyond, the oldest are forgotten, and so told again.
const REMEMBERED: usize = 256;

/// A handle on the log; clones write to the same place.
#[derive(Clone)]
pub struct Log {
    inner: Arc<Mutex<Inner>>,
    events: Events,
}

struct Inner {
    level: Level,
    /// The level as `get loglevel` answers it: the user's own word, upper-cased.
    level_name: String,
    target: Target,
    /// The target as `get logtarget` answers it: as it was written, without its options.
    target_name: String,
    syslogsocket: String,
    format: Format,
    repeated: HashMap<String, Repeated>,
    lost: u64,
    lost_reason: Option<String>,
}

struct Repeated {
    since: Instant,
    count: u32,
    level: Level,
    logger: &'static str,
}

/// How a line looks besides Fail2ban's own format, after `-vv` and more at start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Format {
    /// How often `-v` was given.
    pub verbose: u8,
}

impl Log {
    /// A log that writes to `target`.
    pub fn new(target: Target, format: Format) -> Self {
        Log {
            events: Events::default(),
            inner: Arc::new(Mutex::new(Inner {
                level: Level::INFO,
                level_name: "INFO".into(),
                target_name: target.name().to_owned(),
                target,
                syslogsocket: "auto".into(),
                format,
                repeated: HashMap::new(),
                lost: 0,
                lost_reason: None,
            })),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A thread that panicked while it wrote leaves nothing half-done that matters here.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes one line, unless the level keeps it out or it is one repetition too many.
    pub fn write(&self, line: &LogLine) {
        if self.written(line) && line.level >= Level::WARNING {
            self.tell(line);
        }
    }

    /// A warning or error is an event, too.
    fn tell(&self, line: &LogLine) {
        let kind = if line.level >= Level::ERROR { Kind::Error } else { Kind::Warning };
        let named = line.text.strip_prefix('[').and_then(|text| text.split_once("] "));
        self.events.tell(match named {
            Some((jail, text)) => Event::new(kind).jail(&jail.into()).text(text),
            None => Event::new(kind).text(&line.text),
        });
    }

    /// Writes one line as [`Log::write`] does, for something that is told as this event.
    pub(crate) fn write_as(&self, line: &LogLine, event: Event) {
        self.written(line);
        self.events.tell(event);
    }

    /// What happened lately.
    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    fn written(&self, line: &LogLine) -> bool {
        let mut inner = self.inner();
        if line.level < inner.level || line.level >= Level::WARNING && inner.is_repetition(line) {
            return false;
        }
        inner.put(line);
        true
    }

    /// Writes many lines, those that follow each other at once where the target can.
    pub fn write_all<'a>(&self, lines: impl IntoIterator<Item = &'a LogLine>) {
        self.write_all_after(lines, || {});
    }

    /// The same, after something has been set going of which the lines tell. Whatever that leads to is written behind these
    /// lines, and does not wait for the disk that takes them. It must not write itself.
    pub(crate) fn write_all_after<'a>(
        &self,
        lines: impl IntoIterator<Item = &'a LogLine>,
        start: impl FnOnce(),
    ) {
        let mut inner = self.inner();
        start();
        let mut together: Vec<&LogLine> = Vec::new();
        let mut loud: Vec<&LogLine> = Vec::new();
        for line in lines {
            if line.level < inner.level {
                continue;
            }
            if line.level >= Level::WARNING {
                inner.put_all(&std::mem::take(&mut together));
                if !inner.is_repetition(line) {
                    inner.put(line);
                    loud.push(line);
                }
            } else {
                together.push(line);
            }
        }
        inner.put_all(&together);
        drop(inner);
        for line in loud {
            self.tell(line);
        }
    }

    /// Shorthand for [`Log::write`].
    pub fn say(&self, level: Level, logger: &'static str, text: impl Into<String>) {
        self.write(&LogLine::new(level, logger, text));
    }

    /// An INFO line.
    pub fn info(&self, logger: &'static str, text: impl Into<String>) {
        self.say(Level::INFO, logger, text);
    }

    /// A WARNING line.
    pub fn warning(&self, logger: &'static str, text: impl Into<String>) {
        self.say(Level::WARNING, logger, text);
    }

    /// An ERROR line.
    pub fn error(&self, logger: &'static str, text: impl Into<String>) {
        self.say(Level::ERROR, logger, text);
    }

    /// Whether lines of this level are written.
    pub fn shows(&self, level: Level) -> bool {
        level >= self.inner().level
    }

    /// The level as `get loglevel` answers it.
    pub fn level(&self) -> String {
        self.inner().level_name.clone()
    }

    /// Sets the level from a name (any case) or a number.
    ///
    /// # Errors
    /// The word, upper-cased, when it is neither.
    pub fn set_level(&self, word: &str) -> Result<(), String> {
        let name = word.to_uppercase();
        let level = level_named(&name).ok_or_else(|| name.clone())?;
        let mut inner = self.inner();
        inner.level = level;
        inner.level_name = name;
        Ok(())
    }

    /// The target as `get logtarget` answers it: without its `[options]`.
    pub fn target(&self) -> String {
        self.inner().target_name.clone()
    }

    /// Sends the log to another target. When it cannot be opened the present one stays.
    ///
    /// # Errors
    /// When the new target cannot be opened; the reason has been logged.
    pub fn set_target(&self, word: &str) -> Result<(), TargetError> {
        let mut inner = self.inner();
        // Fail2ban 1.0.2 ignores a change of nothing but the options, and so do scripts that rely on it.
        let (name, _) = target::split_options(word);
        if name == inner.target_name {
            return Ok(());
        }
        match Target::open(word, &inner.syslogsocket) {
            Ok(target) => {
                inner.target = target;
                name.clone_into(&mut inner.target_name);
                let shown = inner.shown_target();
                inner.put(&LogLine::new(Level::INFO, "server", format!("Start Fail2ban v{VERSION}")));
                let changed = format!("Changed logging target to {shown} for Fail2ban v{VERSION}");
                inner.put(&LogLine::new(Level::INFO, "server", changed));
                Ok(())
            }
            Err(error) => {
                inner.put(&LogLine::new(Level::ERROR, "server", error.to_string()));
                let kept = format!("Logging to previous target '{}'", inner.target_name);
                inner.put(&LogLine::new(Level::INFO, "server", kept));
                Err(error)
            }
        }
    }

    /// The socket for SYSLOG: a path or `auto`.
    pub fn syslogsocket(&self) -> String {
        self.inner().syslogsocket.clone()
    }

    /// Sets the socket for SYSLOG; an open SYSLOG target moves to it.
    ///
    /// # Errors
    /// When SYSLOG is the target and the socket cannot be used; then the old one stays.
    pub fn set_syslogsocket(&self, socket: &str) -> Result<(), TargetError> {
        let mut inner = self.inner();
        if let Target::Syslog(syslog) = &inner.target {
            let word = syslog.word().to_owned();
            inner.target = Target::open(&word, socket)?;
        }
        socket.clone_into(&mut inner.syslogsocket);
        Ok(())
    }

    /// Closes and reopens a file (after logrotate has renamed it). Answers what `flushlogs` answers.
    pub fn flush(&self) -> &'static str {
        let mut inner = self.inner();
        let name = inner.target_name.clone();
        if let Target::File(file) = &mut inner.target {
            if let Err(error) = file.reopen() {
                let text = format!("Unable to log to '{name}': {error}");
                inner.lost_reason = Some(text);
            }
            inner.put(&LogLine::new(Level::INFO, "server", format!("rollover performed on {name}")));
            "rolled over"
        } else if name != name.to_uppercase() || matches!(inner.target, Target::Sysout) {
            // Fail2ban knows SYSOUT, and `stdout` in small letters, when it opens them, but not here.
            inner.put(&LogLine::new(Level::INFO, "server", format!("rollover performed on {name}")));
            "rolled over"
        } else {
            inner.put(&LogLine::new(Level::INFO, "server", format!("flush performed on {name}")));
            "flushed"
        }
    }

    /// How many lines could not be written, and why the last one could not; for `portcullis status`.
    pub fn lost(&self) -> Option<(u64, String)> {
        let inner = self.inner();
        inner.lost_reason.clone().map(|reason| (inner.lost, reason))
    }

    /// The file that is written to, so that nobody watches our own output by mistake.
    pub fn file(&self) -> Option<PathBuf> {
        match &self.inner().target {
            Target::File(file) => Some(file.path().to_owned()),
            _ => None,
        }
    }

    /// Tells what is still counted. Called at the end.
    pub fn finish(&self) {
        let mut inner = self.inner();
        let open: Vec<String> = inner.repeated.keys().cloned().collect();
        for text in open {
            inner.tell_count(&text);
        }
    }
}

/// The version that goes under Fail2ban's names.
pub const VERSION: &str = "1.0.2";

impl Inner {
    /// The target as the line about a change shows it.
    fn shown_target(&self) -> String {
        match &self.target {
            Target::Syslog(_) => self.target.shown(),
            _ => self.target_name.clone(),
        }
    }

    /// Counts a warning; true when it must not be written. Lines below WARNING are never dropped: others read them
    /// (the jail `recidive`, scripts), and their number is bounded by what happens.
    fn is_repetition(&mut self, line: &LogLine) -> bool {
        let now = Instant::now();
        if self.repeated.get(&line.text).is_some_and(|seen| now - seen.since > WINDOW) {
            self.tell_count(&line.text);
        }
        if !self.repeated.contains_key(&line.text) && self.repeated.len() >= REMEMBERED {
            let oldest =
                self.repeated.iter().min_by_key(|(_, seen)| seen.since).map(|(text, _)| text.clone());
            if let Some(oldest) = oldest {
                self.tell_count(&oldest);
            }
        }
        let seen = self.repeated.entry(line.text.clone()).or_insert(Repeated {
            since: now,
            count: 0,
            level: line.level,
            logger: line.logger,
        });
        seen.count += 1;
        seen.count > BURST
    }

    fn tell_count(&mut self, text: &str) {
        if let Some(seen) = self.repeated.remove(text)
            && seen.count > BURST
        {
            let more = seen.count - BURST;
            let seconds = seen.since.elapsed().as_secs().max(1);
            let first = text.lines().next().unwrap_or_default();
            let text = format!("{more} more of the same in {seconds} seconds: {first}");
            self.put(&LogLine::new(seen.level, seen.logger, text));
        }
    }

    fn put_all(&mut self, lines: &[&LogLine]) {
        if lines.is_empty() {
            return;
        }
        if self.lost > 0 || !self.target.takes_many() {
            for line in lines {
                self.put(line);
            }
        } else if let Err(error) = self.target.write_many(lines, self.format) {
            self.lose(lines.len() as u64, &error);
        }
    }

    fn put(&mut self, line: &LogLine) {
        if self.lost > 0 {
            let told =
                format!("{} log lines were lost: {}", self.lost, self.lost_reason.as_deref().unwrap_or("?"));
            let told = LogLine::new(Level::ERROR, "server", told);
            if self.target.write(&told, self.format).is_ok() {
                self.lost = 0;
                self.lost_reason = None;
            }
        }
        if let Err(error) = self.target.write(line, self.format) {
            self.lose(1, &error);
        }
    }

    fn lose(&mut self, lines: u64, error: &std::io::Error) {
        if self.lost == 0 {
            // The one place that is left to say it; a service manager keeps it.
            eprintln!("portcullis: cannot write the log to {}: {error}", self.target.name());
        }
        self.lost += lines;
        self.lost_reason = Some(error.to_string());
    }
}

fn level_named(name: &str) -> Option<Level> {
    Some(match name {
        "CRITICAL" | "FATAL" => Level::CRITICAL,
        "NOTSET" => Level(0),
        "ERROR" => Level::ERROR,
        "WARNING" | "WARN" => Level::WARNING,
        "NOTICE" => Level::NOTICE,
        "INFO" => Level::INFO,
        "MSG" => Level::MSG,
        "DEBUG" => Level::DEBUG,
        "TRACEDEBUG" => Level::TRACEDEBUG,
        "HEAVYDEBUG" => Level::HEAVYDEBUG,
        number => Level(number.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_in(dir: &std::path::Path) -> (Log, PathBuf) {
        let path = dir.join("fail2ban.log");
        let target = Target::open(path.to_str().unwrap(), "auto").unwrap();
        (Log::new(target, Format::default()), path)
    }

    #[test]
    fn a_line_has_fail2bans_format() {
        let dir = tempfile::tempdir().unwrap();
        let (log, path) = log_in(dir.path());
        log.info("jail", "Creating new jail 'web'");
        let text = std::fs::read_to_string(path).unwrap();
        let pid = std::process::id();
        assert_eq!(
            &text[23..],
            format!(" fail2ban.jail           [{pid}]: INFO    Creating new jail 'web'\n")
        );
        assert_eq!(&text[19..20], ",");
    }

    #[test]
    fn the_same_warning_a_thousand_times_becomes_a_burst_and_a_count() {
        let dir = tempfile::tempdir().unwrap();
        let (log, path) = log_in(dir.path());
        for _ in 0..1000 {
            log.error("filter", "it broke");
        }
        log.finish();
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count(), BURST as usize + 1);
        let last = text.lines().last().unwrap_or_default();
        assert!(last.contains("ERROR   990 more of the same in ") && last.ends_with(": it broke"), "{text}");
    }

    #[test]
    fn equal_found_lines_are_all_written() {
        let dir = tempfile::tempdir().unwrap();
        let (log, path) = log_in(dir.path());
        for _ in 0..100 {
            log.info("filter", "[sshd] Found 192.0.2.1 - 2026-11-22 18:06:22");
        }
        assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 100);
    }

    #[test]
    fn levels_have_names_and_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let (log, path) = log_in(dir.path());
        log.set_level("notice").unwrap();
        assert_eq!(log.level(), "NOTICE");
        log.info("server", "hidden");
        log.set_level("18").unwrap();
        log.say(Level::MSG, "server", "seen");
        assert_eq!(log.set_level("foo"), Err("FOO".to_owned()));
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains("MSG     seen") && !text.contains("hidden"));
    }

    #[test]
    fn a_full_disk_loses_lines_and_says_how_many() {
        let target = Target::open("/dev/full", "auto").unwrap();
        let log = Log::new(target, Format::default());
        log.info("server", "one");
        log.info("server", "two");
        let (lost, reason) = log.lost().unwrap();
        assert_eq!(lost, 2);
        assert!(reason.contains("No space left"), "{reason}");
    }
}
