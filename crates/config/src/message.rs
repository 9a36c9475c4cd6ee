//! What reading a configuration has to say besides its result: the lines that the client prints to stderr.

/// How important a message is, with the numbers of Fail2ban's `loglevel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(pub u8);

impl Level {
    /// 40
    pub const ERROR: Level = Level(40);
    /// 30
    pub const WARNING: Level = Level(30);
    /// 25: shown with `-v` only
    pub const NOTICE: Level = Level(25);
    /// 20: shown with `-v` only
    pub const INFO: Level = Level(20);
    /// 10: shown with `-vv` only
    pub const DEBUG: Level = Level(10);

    /// The word in the log line: `WARNING`.
    pub fn word(self) -> &'static str {
        match self.0 {
            40.. => "ERROR",
            30..40 => "WARNING",
            25..30 => "NOTICE",
            20..25 => "INFO",
            _ => "DEBUG",
        }
    }
}

/// One line for the user, as Fail2ban's client words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// How important.
    pub level: Level,
    /// Who says it, without the prefix `fail2ban.`: `configreader`, `jailreader`, `jailsreader`.
    pub logger: &'static str,
    /// What is said; may hold line feeds.
    pub text: String,
}

/// Everything said so far, in order.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    pub(crate) said: Vec<Message>,
    /// Nobody wants to hear of mere information.
    pub(crate) quiet: bool,
}

/// A longer run of messages than this is cut: whoever reads ten thousand lines has understood.
const MOST: usize = 100_000;

impl Messages {
    pub(crate) fn error(&mut self, logger: &'static str, text: String) {
        self.say(Level::ERROR, logger, text);
    }

    pub(crate) fn warning(&mut self, logger: &'static str, text: String) {
        self.say(Level::WARNING, logger, text);
    }

    pub(crate) fn notice(&mut self, logger: &'static str, text: String) {
        self.say(Level::NOTICE, logger, text);
    }

    pub(crate) fn info(&mut self, logger: &'static str, text: impl FnOnce() -> String) {
        if !self.quiet {
            self.say(Level::INFO, logger, text());
        }
    }

    pub(crate) fn debug(&mut self, logger: &'static str, text: impl FnOnce() -> String) {
        if !self.quiet {
            self.say(Level::DEBUG, logger, text());
        }
    }

    /// What was said elsewhere, behind what was said here.
    pub(crate) fn append(&mut self, later: Messages) {
        let room = MOST.saturating_sub(self.said.len());
        self.said.extend(later.said.into_iter().take(room));
    }

    fn say(&mut self, level: Level, logger: &'static str, text: String) {
        if self.said.len() < MOST {
            self.said.push(Message { level, logger, text });
        }
    }
}

/// Why nothing can be read at all: the text behind `Failed during configuration: `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Fatal(pub(crate) String);
