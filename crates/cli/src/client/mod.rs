//! `fail2ban-client` and `fail2ban-server`: Fail2ban's own command line, its words, its exit codes 0 and 255.
//!
//! Both names are one program that differs in what happens without a command, as in Fail2ban: the client shows its usage,
//! the server starts.

mod arguments;
mod commands;
mod configuration;
mod connection;
mod interactive;
mod log;
mod serve;
mod start;
mod usage;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use portcullis_config::Source;
use portcullis_value::Value;

pub(crate) use arguments::OPTIONS;
use arguments::{Arguments, Parsed};
pub(crate) use connection::{Connection, Error as ConnectionError, Reply};
use log::Log;

/// The version that Fail2ban's programs tell.
const VERSION: &str = "1.0.2";

/// Under which name the program was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// `fail2ban-client`
    Client,
    /// `fail2ban-server`
    Server,
    /// `portcullis client`
    OurClient,
    /// `portcullis server`
    OurServer,
}

impl Name {
    /// As the usage writes it.
    fn text(self) -> &'static str {
        match self {
            Name::Client => "fail2ban-client",
            Name::Server => "fail2ban-server",
            Name::OurClient => "portcullis client",
            Name::OurServer => "portcullis server",
        }
    }

    fn is_server(self) -> bool {
        matches!(self, Name::Server | Name::OurServer)
    }

    /// Where the configuration comes from. Under Fail2ban's names it is the directory alone.
    fn source(self, directory: &str) -> Source {
        match self {
            Name::Client | Name::Server => Source::directory(directory),
            Name::OurClient | Name::OurServer => Source::with_catalogue(directory),
        }
    }
}

/// Everything that a command needs to know about the command line.
struct Session {
    name: Name,
    /// The five paths and settings in it are known by now.
    arguments: Arguments,
    settings: Settings,
    log: Log,
}

/// What is given on the command line or else in `fail2ban.conf`.
struct Settings {
    socket: String,
    pidfile: String,
    loglevel: String,
    logtarget: String,
    syslogsocket: String,
}

/// `portcullis server --dry-run`: detect and tell, but ban nobody.
const DRY_RUN: &str = "--dry-run";

/// Runs the program with the words behind its name.
pub(crate) fn run(name: Name, words: Vec<OsString>) -> ExitCode {
    let mut words: Vec<String> = words.into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
    // Fail2ban has no such option, and under its name neither have we.
    let dry_run = name == Name::OurServer && words.iter().any(|word| word == DRY_RUN);
    if dry_run {
        words.retain(|word| word != DRY_RUN);
    }
    let mut arguments = match arguments::parse(&words) {
        Parsed::Run(arguments) => Arguments { dry_run, ..*arguments },
        Parsed::Say(text) => {
            say(&text);
            return ExitCode::SUCCESS;
        }
        Parsed::Help => {
            say(&usage::text(name));
            return ExitCode::SUCCESS;
        }
        Parsed::Wrong => {
            say(&usage::text(name));
            return unlogged_failure();
        }
        Parsed::Failed(text) => {
            say(&format!("ERROR: {text}"));
            return unlogged_failure();
        }
    };
    let log = Log::new(arguments.verbosity);
    let settings = match configuration::settings(name, &arguments, &log) {
        Ok(settings) => settings,
        Err(text) => {
            say(&format!("ERROR: {text}"));
            return failure(&log);
        }
    };
    log.info("", &format!("Using socket file {}", settings.socket));
    let (level, target) = (&settings.loglevel, &settings.logtarget);
    log.info("", &format!("Using pid file {}, [{level}] logging to {target}", settings.pidfile));
    let command = std::mem::take(&mut arguments.command);
    let session = Session { name, arguments, settings, log };
    let asked_for_nothing = command.is_empty() && !session.arguments.interactive;
    if session.arguments.dump.is_some() || session.arguments.test {
        match configuration::dump_and_test(&session, command.is_empty()) {
            configuration::Shown::Enough => return ExitCode::SUCCESS,
            configuration::Shown::GoOn => {}
            configuration::Shown::Failed => return failure(&session.log),
            configuration::Shown::TestFailed => {
                session.log.error("", "ERROR: test configuration failed");
                return ExitCode::from(255);
            }
        }
    }
    if name.is_server() && (asked_for_nothing || command == ["start"]) {
        return start::server(&session);
    }
    if asked_for_nothing {
        say(&usage::text(name));
        return ExitCode::from(255);
    }
    // A server in the foreground has its own way with signals; and what is answered at once is over before one comes.
    let serves = command == ["start"] && !session.arguments.background;
    let takes_time =
        command.first().is_some_and(|word| ["start", "restart", "reload"].contains(&word.as_str()));
    if session.arguments.interactive || takes_time && !serves {
        log::announce_signals(&session.log);
    }
    let done = if session.arguments.interactive {
        interactive::run(&session)
    } else {
        commands::run(&session, &command, commands::Mode::Single)
    };
    let code = if done { 0 } else { 255 };
    session.log.debug("", || format!("Exit with code {code}"));
    ExitCode::from(code)
}

/// Where the server of a configuration listens, for our own commands.
///
/// # Errors
/// Why the configuration cannot be read.
pub(crate) fn socket(conf: &Path) -> Result<String, String> {
    Ok(session(conf)?.settings.socket)
}

/// The stream for a reload; `None` when there is nothing that could be reloaded, and then why has been said.
pub(crate) fn reload_stream(conf: &Path, jail: Option<String>) -> Option<Vec<Value>> {
    let session = session(conf).ok()?;
    configuration::stream_for_server(&session, jail, false)
}

fn session(conf: &Path) -> Result<Session, String> {
    let words = ["-c".to_owned(), conf.to_string_lossy().into_owned(), "status".to_owned()];
    let Parsed::Run(arguments) = arguments::parse(&words) else {
        return Err(format!("{} cannot be a directory", conf.display()));
    };
    let log = Log::new(0);
    let settings = configuration::settings(Name::OurClient, &arguments, &log)?;
    Ok(Session { name: Name::OurClient, arguments: *arguments, settings, log })
}

/// Sends a configuration to a server that has none. Whether all of it is in force; if not, why has been said.
pub(crate) fn send_configuration(conf: &Path, socket: &Path, stream: Vec<Value>) -> bool {
    session(conf).is_ok_and(|mut session| {
        session.settings.socket = socket.to_string_lossy().into_owned();
        start::configure(&session, stream)
    })
}

/// Prints a line. Whoever closed the pipe does not want to know.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Before the log is set up its lines have no beginning.
fn unlogged_failure() -> ExitCode {
    let _ = writeln!(std::io::stderr(), "Init of command line failed");
    ExitCode::from(255)
}

fn failure(log: &Log) -> ExitCode {
    log.error("", "Init of command line failed");
    log.debug("", || "Exit with code 255".into());
    ExitCode::from(255)
}
