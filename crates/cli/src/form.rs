//! Log lines as Fail2ban's programs print them on a terminal, which depends on the number of `-v`.

use std::process;
use std::sync::OnceLock;
use std::time::Instant;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// How much a line tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Detail {
    /// As the server's log, for the client.
    Client,
    /// The same with the level's first letter, for the tester.
    Tester,
    /// The time and the thread.
    Thread,
    /// The milliseconds since the program began, the thread and the logger.
    Since,
    /// The same, and the place in the program.
    Place,
}

/// The form of a program's log lines.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    detail: Detail,
    started: Instant,
}

impl Form {
    pub(crate) fn new(detail: Detail) -> Self {
        Form { detail, started: Instant::now() }
    }

    /// A line with its end. `level` is Python's number; `logger` has no `fail2ban.` before it.
    pub(crate) fn line(&self, now: &Zoned, level: u8, logger: &str, text: &str) -> String {
        let logger = if logger.is_empty() { "fail2ban".to_owned() } else { format!("fail2ban.{logger}") };
        let (word, process) = (word(level), process::id());
        let time = now.strftime("%Y-%m-%d %H:%M:%S,%3f");
        match self.detail {
            Detail::Client => format!("{time} {logger:24}[{process}]: {word:7} {text}\n"),
            Detail::Tester => format!("{time} {logger:24}[{process}]: {word:7}{word:.1}: {text}\n"),
            // We have no threads that one could be interested in.
            Detail::Thread => format!(" {time} {process:012X} {word:5.5} {text}\n"),
            detail => {
                let since = self.started.elapsed().as_millis();
                let place = if detail == Detail::Place {
                    format!("|{:>16}-{level:<2}: {:21}| ", "helpers", "__safeLog")
                } else {
                    String::new()
                };
                format!(" + {since:4} {process:012X} {logger:25.25} {word:5.5} {place}{text}\n")
            }
        }
    }
}

/// The name of a level.
fn word(level: u8) -> &'static str {
    match level {
        50.. => "CRITICAL",
        40.. => "ERROR",
        30.. => "WARNING",
        25.. => "NOTICE",
        20.. => "INFO",
        18.. => "MSG",
        10.. => "DEBUG",
        6.. => "TRACE",
        _ => "HEAVY",
    }
}

/// The time on this machine's clock.
pub(crate) fn now() -> Zoned {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    Timestamp::now().to_zoned(ZONE.get_or_init(zone).clone())
}

/// The machine's time zone. `/etc/localtime` is read as it is where it can be: to learn its name, all files of the zone database
/// would be looked at, which takes longer than reading a configuration.
pub(crate) fn zone() -> TimeZone {
    let file = if std::env::var_os("TZ").is_none() { std::fs::read("/etc/localtime").ok() } else { None };
    let zone = file.and_then(|bytes| TimeZone::tzif("Local", &bytes).ok());
    zone.unwrap_or_else(TimeZone::system)
}
