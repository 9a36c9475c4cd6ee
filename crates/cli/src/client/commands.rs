//! Commands: most go to the server as they are; `start`, `reload` and `restart` are the client's own.

use std::path::Path;
use std::time::Duration;

use portcullis_value::{Value, float};
use portcullis_wire::show::{self, Charset};

use super::connection::{Connection, Reply};
use super::{Session, configuration, say, start};

/// Python counts time in nanoseconds, with 64 bits.
const LONGEST_TIMEOUT: f64 = 9_223_372_036.0;

/// Where the command comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The command line.
    Single,
    /// The prompt, where long commands tell their progress.
    Interactive,
}

impl Mode {
    pub(super) fn progress(self, step: &str) {
        if self == Mode::Interactive {
            say(&format!("  ## {step} ... "));
        }
    }
}

/// Carries out one command. Returns whether it succeeded; if not, why has been said.
pub(super) fn run(session: &Session, command: &[String], mode: Mode) -> bool {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    match words.as_slice() {
        // A line of blanks is sent, and the server refuses it.
        [] if mode == Mode::Single => {
            session.log.error("", "list index out of range");
            false
        }
        ["start"] => start::client(session, mode),
        ["restart"] => {
            mode.progress("stop");
            send(session, command, None);
            start::wait_for_end(session);
            mode.progress("load configuration");
            mode.progress("start");
            start::client(session, mode)
        }
        ["restart", rest @ ..] => reload(session, &[&["--restart"], rest].concat(), mode),
        ["reload", rest @ ..] => reload(session, rest, mode),
        ["ping", time] => ping(session, command, time),
        _ => send(session, command, None),
    }
}

fn ping(session: &Session, command: &[String], time: &str) -> bool {
    let timeout = match float(&time.into()) {
        Ok(time) if time.is_nan() => {
            session.log.error("", "Invalid value NaN (not a number)");
            return false;
        }
        Ok(time) if time > LONGEST_TIMEOUT => {
            session.log.error("", "timestamp too large to convert to C _PyTime_t");
            return false;
        }
        // No time at all means no limit, too: a socket cannot wait for nothing.
        Ok(time) => Duration::try_from_secs_f64(time).ok().filter(|time| !time.is_zero()),
        Err(error) => {
            session.log.error("", &error.to_string());
            return false;
        }
    };
    send(session, command, timeout)
}

fn reload(session: &Session, words: &[&str], mode: Mode) -> bool {
    let is_option = |word: &&str| matches!(*word, "--restart" | "--unban" | "--if-exists");
    let count = words.iter().take_while(|word| is_option(word)).count();
    let (options, rest) = words.split_at(count);
    let texts = |words: &[&str]| Value::List(words.iter().map(|word| Value::from(*word)).collect());
    let jail = match rest {
        [] => "--all",
        [jail] => jail,
        several => {
            let shown = texts(several).repr();
            session.log.error("", &format!("Unexpected argument(s) for reload: {shown}"));
            return false;
        }
    };
    if !start::is_alive(session) {
        session.log.error("", "Could not find server");
        return false;
    }
    let one = (jail != "--all").then(|| jail.to_owned());
    let Some(stream) = configuration::stream_for_server(session, one, false) else { return false };
    mode.progress("reload");
    let request = vec!["reload".into(), jail.into(), texts(options), Value::List(stream)];
    ask(session, &request, None)
}

/// Sends the words as they are, and shows the reply.
fn send(session: &Session, command: &[String], timeout: Option<Duration>) -> bool {
    let stop = ["stop".to_owned()];
    // A restart is a stop to the server.
    let command = if command == ["restart"] { &stop[..] } else { command };
    let words: Vec<Value> = command.iter().map(|word| Value::from(word.as_str())).collect();
    ask(session, &words, timeout)
}

fn ask(session: &Session, words: &[Value], timeout: Option<Duration>) -> bool {
    if !accessible(session) {
        return false;
    }
    session.log.heavy("", || format!("CMD: {}", Value::List(words.to_vec()).repr()));
    let is_ping = words.first().and_then(Value::as_str) == Some("ping");
    let reply = Connection::open(Path::new(&session.settings.socket), timeout).and_then(|mut connection| {
        let at_length = || super::log::announce_signals(&session.log);
        connection.ask_patiently(&Value::List(words.to_vec()), at_length)
    });
    match reply {
        Ok(reply) => shown(session, words, &reply),
        Err(error @ super::connection::Error::Reply(_)) => {
            session.log.error("", &error.to_string());
            false
        }
        Err(error) if is_ping => {
            session.log.error("", &error.to_string());
            false
        }
        Err(error) => {
            session.log.error("", &format!("[{error}] Unable to contact server. Is it running?"));
            false
        }
    }
}

/// Whether the socket is there and ours to use; says so if not.
fn accessible(session: &Session) -> bool {
    let socket = &session.settings.socket;
    if !Path::new(socket).exists() {
        session.log.error("", &format!("Failed to access socket path: {socket}. Is fail2ban running?"));
        return false;
    }
    if rustix::fs::access(socket, rustix::fs::Access::WRITE_OK).is_err() {
        session.log.error("", &format!("Permission denied to socket: {socket}, (you must be root)"));
        return false;
    }
    true
}

/// Prints a reply; returns whether it is a good one.
pub(super) fn shown(session: &Session, words: &[Value], reply: &Reply) -> bool {
    let command = || Value::List(words.to_vec()).repr();
    match reply {
        Reply::Done(value) => {
            session.log.heavy("", || format!("OK : {}", value.repr()));
            session.log.heavy("beautifier", || format!("Beautify {} with {}", value.repr(), command()));
            if let Some(text) = show::reply(words, value, charset()) {
                say(&text);
            }
            true
        }
        Reply::Raised(exception) => {
            let args = Value::Tuple(exception.shown_args());
            session.log.error("", &format!("NOK: {}", args.repr()));
            session.log.debug("beautifier", || {
                let raised = Value::Exception(exception.clone()).repr();
                format!("Beautify (error) {raised} with {}", command())
            });
            let hidden = words.first().and_then(Value::as_str) == Some("server-stream");
            if !hidden || words.len() != 2 || !matches!(words[1], Value::List(_)) {
                say(&show::exception(exception));
            }
            false
        }
    }
}

/// Python writes UTF-8 unless the locale names another character set.
fn charset() -> Charset {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty())
        .unwrap_or_default();
    match locale.to_ascii_lowercase().split_once('.') {
        Some((_, charset)) if !charset.starts_with("utf") => Charset::Ascii,
        _ => Charset::Utf8,
    }
}
