//! `fail2ban.conf`: what the server and its client need before there is any jail.

use std::rc::Rc;

use portcullis_value::{Command, Value as Py, repr_str};

use crate::interpolate::Missing;
use crate::layers::{Layers, Reader};
use crate::message::{Fatal, Message};
use crate::python::int;
use crate::source::Source;
use crate::stream::{Failed, Request};

/// The options that the client needs itself, as `[Definition]` of `fail2ban.conf` has them, or Fail2ban's defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerOptions {
    /// Path of the control socket.
    pub socket: Option<String>,
    /// Path of the file that holds the server's process id.
    pub pidfile: Option<String>,
    /// A level's name or number.
    pub loglevel: Option<String>,
    /// Where the log goes.
    pub logtarget: Option<String>,
    /// The socket of syslog, or `auto`.
    pub syslogsocket: Option<String>,
}

/// The names of all options of `fail2ban.conf`, from its `[Definition]`.
pub(crate) fn option_names() -> impl Iterator<Item = &'static str> + Clone {
    EARLY.iter().map(|(name, _)| *name).chain(SENT.iter().copied())
}

const EARLY: &[(&str, &str)] = &[
    ("socket", "/var/run/fail2ban/fail2ban.sock"),
    ("pidfile", "/var/run/fail2ban/fail2ban.pid"),
    ("loglevel", "INFO"),
    ("logtarget", "/var/log/fail2ban.log"),
    ("syslogsocket", "auto"),
];

/// What goes into the stream: read in this order. Those without a default are integers.
const STREAM: &[(&str, Option<&str>)] = &[
    ("loglevel", Some("INFO")),
    ("logtarget", Some("STDERR")),
    ("syslogsocket", Some("auto")),
    ("allowipv6", Some("auto")),
    ("dbfile", Some("/var/lib/fail2ban/fail2ban.sqlite3")),
    ("dbmaxmatches", None),
    ("dbpurgeage", Some("1d")),
];

/// The order in which they are sent.
const SENT: &[&str] =
    &["syslogsocket", "loglevel", "logtarget", "allowipv6", "dbfile", "dbmaxmatches", "dbpurgeage"];

/// Reads what the client needs to find the server. Missing options have Fail2ban's defaults, which is said in `messages`.
///
/// # Errors
/// When a file has a mistake in its syntax or an option refers to something that is not there.
pub fn read_server(source: &Source, messages: &mut Vec<Message>) -> Result<ServerOptions, Failed> {
    let mut reader = Reader::new(source);
    let options = early(&mut reader);
    let said = reader.messages.said;
    match options {
        Ok(options) => {
            messages.extend(said);
            Ok(options)
        }
        Err(Fatal(text)) => Err(Failed { text, messages: said }),
    }
}

fn early(reader: &mut Reader) -> Result<ServerOptions, Fatal> {
    let layers = layers(reader)?;
    let mut values = EARLY.iter().map(|(option, default)| text(reader, &layers, option, default).map(Some));
    let mut next = || values.next().unwrap_or(Ok(None));
    Ok(ServerOptions {
        socket: next()?,
        pidfile: next()?,
        loglevel: next()?,
        logtarget: next()?,
        syslogsocket: next()?,
    })
}

/// Reads `fail2ban.conf` and the files around it.
pub(crate) fn layers(reader: &mut Reader) -> Result<Rc<Layers>, Fatal> {
    let stem = reader.source.path().join("fail2ban");
    Ok(reader.layers("fail2ban", &stem)?.unwrap_or_default())
}

fn text(reader: &mut Reader, layers: &Layers, option: &str, default: &str) -> Result<String, Fatal> {
    match layers.value("Definition", option, &[]) {
        Ok(text) => Ok(text.to_string()),
        Err(Missing::Fatal(fatal)) => Err(fatal),
        Err(Missing::Section) => {
            reader.messages.error("configreader", "No section: 'Definition'".into());
            Ok(default.to_owned())
        }
        Err(Missing::Option) => {
            let text = format!(
                "{} not defined in 'Definition'. Using default one: {}",
                repr_str(option),
                repr_str(default)
            );
            reader.messages.warning("configreader", text);
            Ok(default.to_owned())
        }
    }
}

fn integer(reader: &mut Reader, layers: &Layers, section: &str, option: &str) -> Result<Option<Py>, Fatal> {
    match layers.value(section, option, &[]) {
        Ok(text) => Ok(Some(int(&text).map_or_else(
            || {
                let text = format!(
                    "Wrong value for {} in {}. Using default one: 'None'",
                    repr_str(option),
                    repr_str(section)
                );
                reader.messages.warning("configreader", text);
                Py::None
            },
            Py::Int,
        ))),
        Err(Missing::Fatal(fatal)) => Err(fatal),
        Err(Missing::Section) if section == "Definition" => {
            reader.messages.error("configreader", "No section: 'Definition'".into());
            Ok(Some(Py::None))
        }
        Err(_) => Ok(None),
    }
}

/// The global commands from `fail2ban.conf`, and with them the warnings about what is missing.
pub(crate) fn commands(
    reader: &mut Reader,
    layers: &Layers,
    request: &Request,
) -> Result<Vec<Command>, Fatal> {
    let mut values: Vec<(&str, Option<Py>)> = Vec::new();
    for (option, default) in STREAM {
        let value = match default {
            Some(default) => Some(Py::Str(text(reader, layers, option, default)?)),
            None => integer(reader, layers, "Definition", option)?,
        };
        values.push((option, value));
    }
    let stacksize = integer(reader, layers, "Thread", "stacksize")?;
    let mut commands: Vec<Command> = Vec::new();
    if let Some(size) = stacksize {
        commands.push(vec!["set".into(), "thread".into(), Py::Dict(vec![("stacksize".into(), size)])]);
    }
    for option in SENT {
        let ours = match *option {
            "syslogsocket" => &request.syslogsocket,
            "loglevel" => &request.loglevel,
            "logtarget" => &request.logtarget,
            _ => &None,
        };
        let value = match ours {
            Some(ours) => Some(Py::Str(ours.clone())),
            None => values.iter().find(|(name, _)| name == option).and_then(|(_, value)| value.clone()),
        };
        if let Some(value) = value {
            commands.push(vec!["set".into(), (*option).into(), value]);
        }
    }
    Ok(commands)
}
