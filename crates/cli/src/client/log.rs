//! What the client says on stderr, in the format of Fail2ban's log.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use portcullis_config::Message;

use crate::form::{Detail, Form, now};

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
    form: Form,
}

impl Log {
    /// 0 prints errors, 1 warnings too, 2 information, 3 and more debugging.
    pub(super) fn new(verbosity: i32) -> Self {
        let detail = match verbosity {
            ..=2 => Detail::Client,
            3 => Detail::Thread,
            4 => Detail::Since,
            _ => Detail::Place,
        };
        Log { verbosity, form: Form::new(detail) }
    }

    pub(super) fn error(&self, logger: &str, text: &str) {
        self.line(ERROR, logger, text);
    }

    pub(super) fn warning(&self, logger: &str, text: &str) {
        self.line(WARNING, logger, text);
    }

    pub(super) fn info(&self, logger: &str, text: &str) {
        self.line(INFO, logger, text);
    }

    /// The text is made only if it is shown: it may hold a whole configuration.
    pub(super) fn debug(&self, logger: &str, text: impl FnOnce() -> String) {
        if self.least() <= DEBUG {
            self.line(DEBUG, logger, &text());
        }
    }

    /// What only `-vvv` shows.
    pub(super) fn heavy(&self, logger: &str, text: impl FnOnce() -> String) {
        if self.least() <= HEAVY {
            self.line(HEAVY, logger, &text());
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
        let lines = shown.map(|message| self.form.line(&now, message.level.0, message.logger, &message.text));
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

    fn line(&self, level: u8, logger: &str, text: &str) {
        if level >= self.least() {
            tell(&self.form.line(&now(), level, logger, text));
        }
    }
}

/// Writes lines at once: stderr has no buffer.
fn tell(lines: &str) {
    let _ = std::io::stderr().write_all(lines.as_bytes());
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
