//! What the client says on stderr, in the format of Fail2ban's log.

use std::io::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use portcullis_config::Message;

/// Levels with Python's numbers.
const ERROR: u8 = 40;
const WARNING: u8 = 30;
const INFO: u8 = 20;
const DEBUG: u8 = 10;
const HEAVY: u8 = 5;

/// Prints lines of sufficient importance.
#[derive(Clone, Debug)]
pub(super) struct Log {
    verbosity: i32,
    started: Instant,
}

impl Log {
    /// 0 prints errors, 1 warnings too, 2 information, 3 and more debugging.
    pub(super) fn new(verbosity: i32) -> Self {
        Log { verbosity, started: Instant::now() }
    }

    pub(super) fn error(&self, logger: &str, text: &str) {
        self.line(ERROR, "ERROR", logger, text);
    }

    pub(super) fn warning(&self, logger: &str, text: &str) {
        self.line(WARNING, "WARNING", logger, text);
    }

    pub(super) fn info(&self, logger: &str, text: &str) {
        self.line(INFO, "INFO", logger, text);
    }

    /// The text is made only if it is shown: it may hold a whole configuration.
    pub(super) fn debug(&self, logger: &str, text: impl FnOnce() -> String) {
        if self.least() <= DEBUG {
            self.line(DEBUG, "DEBUG", logger, &text());
        }
    }

    /// What only `-vvv` shows.
    pub(super) fn heavy(&self, logger: &str, text: impl FnOnce() -> String) {
        if self.least() <= HEAVY {
            self.line(HEAVY, "HEAVY", logger, &text());
        }
    }

    /// What reading the configuration had to say.
    pub(super) fn messages(&self, messages: &[Message]) {
        let mut shown = messages.iter().filter(|message| message.level.0 >= self.least()).peekable();
        if shown.peek().is_none() {
            // Nobody needs to know the time.
            return;
        }
        let now = now();
        let lines = shown.map(|message| self.text(&now, message.level.word(), message.logger, &message.text));
        tell(&lines.collect::<String>());
    }

    /// Whether information is shown.
    pub(super) fn tells_information(&self) -> bool {
        self.least() <= INFO
    }

    /// The least important level that is shown.
    fn least(&self) -> u8 {
        match self.verbosity {
            ..=0 => ERROR,
            1 => WARNING,
            2 => INFO,
            3 => DEBUG,
            _ => HEAVY,
        }
    }

    fn line(&self, level: u8, word: &str, logger: &str, text: &str) {
        if level >= self.least() {
            tell(&self.text(&now(), word, logger, text));
        }
    }

    fn text(&self, now: &Zoned, word: &str, logger: &str, text: &str) -> String {
        let logger = if logger.is_empty() { "fail2ban".to_owned() } else { format!("fail2ban.{logger}") };
        let process = std::process::id();
        let time = now.strftime("%Y-%m-%d %H:%M:%S,%3f");
        match self.verbosity {
            ..=2 => format!("{time} {logger:24}[{process}]: {word:7} {text}\n"),
            3 => format!(" {time} {process:012X} {word:5.5} {text}\n"),
            verbosity => {
                let since = self.started.elapsed().as_millis();
                let place = if verbosity > 4 { "|          client               | " } else { "" };
                format!(" + {since:4} {process:012X} {logger:25.25} {word:5.5} {place}{text}\n")
            }
        }
    }
}

/// Writes lines at once: stderr has no buffer.
fn tell(lines: &str) {
    let _ = std::io::stderr().write_all(lines.as_bytes());
}

/// The time on this machine's clock. `/etc/localtime` is read as it is where it can be: to learn its name, all files of the
/// zone database would be looked at, which takes longer than reading a configuration.
fn now() -> Zoned {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    let zone = ZONE.get_or_init(|| {
        let file = if std::env::var_os("TZ").is_none() { std::fs::read("/etc/localtime").ok() } else { None };
        let zone = file.and_then(|bytes| TimeZone::tzif("Local", &bytes).ok());
        zone.unwrap_or_else(TimeZone::system)
    });
    Timestamp::now().to_zoned(zone.clone())
}

/// From now on a signal ends the program with a word and exit code 255.
pub(super) fn announce_signals(log: &Log) {
    use signal_hook::consts::{SIGINT, SIGTERM};
    static ONCE: AtomicBool = AtomicBool::new(false);
    if ONCE.swap(true, Ordering::AcqRel) {
        return;
    }
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]) else { return };
    let log = log.clone();
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            super::say("");
            log.warning("", &format!("Caught signal {signal}. Exiting"));
            std::process::exit(255);
        }
    });
}
