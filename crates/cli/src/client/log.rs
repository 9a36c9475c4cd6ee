//! What the client says on stderr, in the format of Fail2ban's log.

use std::io::Write as _;
use std::time::Instant;

use jiff::Zoned;
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
        for message in messages {
            self.line(message.level.0, message.level.word(), message.logger, &message.text);
        }
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
        if level < self.least() {
            return;
        }
        let logger = if logger.is_empty() { "fail2ban".to_owned() } else { format!("fail2ban.{logger}") };
        let process = std::process::id();
        let time = Zoned::now().strftime("%Y-%m-%d %H:%M:%S,%3f");
        let line = match self.verbosity {
            ..=2 => format!("{time} {logger:24}[{process}]: {word:7} {text}"),
            3 => format!(" {time} {process:012X} {word:5.5} {text}"),
            verbosity => {
                let since = self.started.elapsed().as_millis();
                let place = if verbosity > 4 { "|          client               | " } else { "" };
                format!(" + {since:4} {process:012X} {logger:25.25} {word:5.5} {place}{text}")
            }
        };
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

/// From now on a signal ends the program with a word and exit code 255.
pub(super) fn announce_signals(log: &Log) {
    use signal_hook::consts::{SIGINT, SIGTERM};
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
