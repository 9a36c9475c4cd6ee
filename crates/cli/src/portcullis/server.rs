//! A question to the running server, and what to do when there is no answer.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_value::{Exception, Value};

use super::arguments::Place;
use super::{NO_SERVER, NOT_SO};
use crate::client::{self, Connection, ConnectionError, Reply};

/// How long an answer may take that waits for nothing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Why a command has not succeeded. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Nobody listens.
    #[error("the server is not running (nobody listens at {socket}): {}", start_it())]
    NotRunning { socket: String },
    /// The socket is not for us.
    #[error(
        "permission denied: {socket}: run with sudo, or as a member of the socketgroup of portcullis.conf, who may read"
    )]
    Denied { socket: String },
    /// The server knows who we are, and that we may not.
    #[error("{0}")]
    Forbidden(String),
    /// It listens, but does not answer.
    #[error("the server does not answer ({why}): look into its log, or restart it: {}", start_it().replace("start", "restart"))]
    Silent { why: String },
    /// It is another server, or of another version.
    #[error("the server does not know `{name}`: it is Fail2ban's own, or an older one of ours. Restart it: {}", start_it().replace("start", "restart"))]
    Foreign { name: String },
    /// It said no.
    #[error("{0}")]
    Refused(String),
    /// There is no such jail.
    #[error("there is no jail '{name}'{}", known_jails(.known))]
    NoJail { name: String, known: Vec<String> },
    /// The configuration cannot be read.
    #[error("{0}")]
    Configuration(String),
}

impl Failure {
    /// The exit code: 3 when no server answers, else 1.
    pub(super) fn code(&self) -> u8 {
        match self {
            Failure::NotRunning { .. }
            | Failure::Denied { .. }
            | Failure::Forbidden(_)
            | Failure::Silent { .. }
            | Failure::Foreign { .. } => NO_SERVER,
            Failure::Refused(_) | Failure::NoJail { .. } | Failure::Configuration(_) => NOT_SO,
        }
    }

    /// Whether the server may be there again in a moment.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Failure::NotRunning { .. } | Failure::Silent { .. })
    }
}

/// Which unit is ours: beside Debian's Fail2ban it is that one, with our drop-in.
fn start_it() -> String {
    let directories = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
    let there = |unit: &str| directories.iter().any(|dir| Path::new(dir).join(unit).exists());
    let unit =
        if !there("portcullis.service") && there("fail2ban.service") { "fail2ban" } else { "portcullis" };
    format!("`systemctl start {unit}`")
}

fn known_jails(known: &[String]) -> String {
    match known {
        [] => String::new(),
        known => format!(" (there are: {})", known.join(", ")),
    }
}

/// Where the server listens.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    socket: PathBuf,
}

impl Server {
    /// Finds the socket: given, or the configuration's.
    ///
    /// # Errors
    /// When the configuration cannot be read.
    pub(crate) fn find(place: &Place) -> Result<Self, Failure> {
        let socket = match &place.socket {
            Some(socket) => socket.clone(),
            None => client::socket(&place.conf).map_err(Failure::Configuration)?.into(),
        };
        Ok(Server { socket })
    }

    /// Where it listens.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// When nobody answers, or the answer is an exception.
    pub(crate) fn ask(&self, words: Vec<Value>, patience: Duration) -> Result<Value, Failure> {
        let name = words.first().map(Value::to_string).unwrap_or_default();
        let reply = Connection::open(&self.socket, Some(patience))
            .and_then(|mut connection| connection.ask(&Value::List(words)));
        match reply {
            Ok(Reply::Done(value)) => Ok(value),
            Ok(Reply::Raised(exception)) => Err(self.raised(&name, &exception)),
            Err(error) => Err(self.unreachable(error)),
        }
    }

    /// Asks with one of our own requests, whose argument is a dict.
    ///
    /// # Errors
    /// As [`Server::ask`].
    pub(crate) fn ours(
        &self,
        name: &str,
        argument: Vec<(&str, Value)>,
        patience: Duration,
    ) -> Result<Value, Failure> {
        let argument = argument.into_iter().map(|(key, value)| (key.into(), value)).collect();
        self.ask(vec![name.into(), Value::Dict(argument)], patience)
    }

    fn raised(&self, name: &str, exception: &Exception) -> Failure {
        let text = exception.to_string();
        if exception.class.ends_with("UnknownJailException") {
            return Failure::NoJail { name: text, known: self.jails() };
        }
        if exception.class == "builtins.PermissionError" {
            return Failure::Forbidden(text);
        }
        // What Fail2ban says of a command that it does not have.
        if text == "Invalid command" && name.starts_with("portcullis-") {
            return Failure::Foreign { name: name.to_owned() };
        }
        Failure::Refused(text)
    }

    /// The names of the jails, as far as they can be had.
    pub(crate) fn jails(&self) -> Vec<String> {
        let status = self.ask(vec!["status".into()], PATIENCE);
        let Ok(Value::List(status)) = status else { return Vec::new() };
        let Some(Value::Tuple(pair)) = status.into_iter().nth(1) else { return Vec::new() };
        let names = pair.get(1).map(Value::to_string).unwrap_or_default();
        names.split(", ").filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    fn unreachable(&self, error: ConnectionError) -> Failure {
        let socket = self.socket.display().to_string();
        match error {
            ConnectionError::Io(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Failure::NotRunning { socket },
                io::ErrorKind::PermissionDenied => Failure::Denied { socket },
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    Failure::Silent { why: "no answer in time".to_owned() }
                }
                _ => Failure::Silent { why: error.to_string() },
            },
            ConnectionError::Reply(text) if text == "['SHUTDOWN']" => {
                Failure::Silent { why: "it is about to end".to_owned() }
            }
            ConnectionError::Reply(text) => Failure::Silent { why: text },
        }
    }
}
