//! The whole configuration as one list of commands: what `-d` shows, what starts the server and reloads it.

use portcullis_value::{Command, Value as Py, repr_str};

use crate::commands::Logs;
use crate::jail::{Broken, Jail};
use crate::layers::{Layers, Reader};
use crate::message::{Fatal, Message, Messages};
use crate::server;
use crate::source::Source;

/// What is wanted of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// This jail only (`reload JAIL`); all enabled ones otherwise.
    pub jail: Option<String>,
    /// A jail without any log file is only worth a warning, as for `-d`.
    pub allow_no_files: bool,
    /// The words of `-t`: a broken jail is not announced to be skipped.
    pub test: bool,
    /// Our own way: whatever is wrong with one jail costs that jail only. Without it, Fail2ban's: a mistake that is no
    /// mere "unable to read" ends everything.
    pub jail_by_jail: bool,
    /// A file of wrong syntax in `jail.d/` or `jail.local` costs that file only: for a start, where the alternative is that
    /// nothing starts. Not for a reload, which then changes nothing.
    pub skip_broken_files: bool,
    /// Only warnings and worse are wanted of the messages.
    pub quiet: bool,
    /// Jails that are not enabled are read as well: to see whether they could be.
    pub even_disabled: bool,
    /// What there is to say about the files of `fail2ban.conf` was said by [`crate::read_server`].
    pub server_told: bool,
    /// Replaces the files' `loglevel`. The client gives what [`crate::read_server`] found, or its own option.
    pub loglevel: Option<String>,
    /// Replaces the files' `logtarget`.
    pub logtarget: Option<String>,
    /// Replaces the files' `syslogsocket`.
    pub syslogsocket: Option<String>,
}

/// A configuration that could be read.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// The commands for the server.
    pub stream: Vec<Command>,
    /// What there was to say.
    pub messages: Vec<Message>,
    /// Jails that will be started, in order.
    pub jails: Vec<String>,
    /// Jails that are left out because of mistakes, in order.
    pub broken: Vec<String>,
}

impl Configuration {
    /// Whether `-d` and `start` succeed: at least one good jail, or none that is broken.
    pub fn usable(&self) -> bool {
        self.broken.is_empty() || !self.jails.is_empty()
    }

    /// Whether `-t` succeeds: nothing is broken.
    pub fn flawless(&self) -> bool {
        self.broken.is_empty()
    }
}

/// A configuration that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failed {
    /// What Fail2ban says after `Failed during configuration: `.
    pub text: String,
    /// What there was to say before.
    pub messages: Vec<Message>,
}

/// Reads the configuration.
///
/// # Errors
/// A mistake that leaves nothing to configure: wrong syntax of `jail.conf` and the files around it and, unless
/// [`Request::jail_by_jail`], any mistake beyond a filter or action that cannot be found.
pub fn read(source: &Source, request: &Request) -> Result<Configuration, Failed> {
    let mut reader = Reader::new(source);
    reader.jail_by_jail = request.jail_by_jail;
    reader.even_disabled = request.even_disabled;
    reader.messages.quiet = request.quiet;
    match Reading::default().read(&mut reader, request) {
        Ok(mut configuration) => {
            configuration.messages = reader.messages.said;
            Ok(configuration)
        }
        Err(Fatal(text)) => Err(Failed { text, messages: reader.messages.said }),
    }
}

/// A jail that was read, or why it could not be.
type Outcome = Result<Jail, String>;

fn broken(reader: &mut Reader, request: &Request, name: &str, why: String) -> Outcome {
    let skipping = if request.test { "" } else { " Skipping..." };
    reader.messages.error("jailsreader", format!("Errors in jail {}.{skipping}", repr_str(name)));
    Err(why)
}

/// Each jail is made commands as soon as it was read, so that not all of them are held at once. To the user it is told as if
/// all had been read before.
#[derive(Default)]
struct Reading {
    configuration: Configuration,
    logs: Logs,
    /// What making commands had to say.
    messages: Messages,
    /// What keeps everything from being configured, if reading finds nothing worse.
    failed: Option<Fatal>,
}

impl Reading {
    fn read(mut self, reader: &mut Reader, request: &Request) -> Result<Configuration, Fatal> {
        let server = server::layers(reader)?;
        if request.server_told {
            reader.messages.said.clear();
        }
        reader.left_out = request.skip_broken_files.then(Vec::new);
        let stem = reader.source.path().join("jail");
        let mut layers =
            reader.layers("jail", &stem)?.map_or_else(Layers::default, |layers| (*layers).clone());
        layers.define_default("fail2ban_version", "1.0.2");
        layers.define_default("fail2ban_confpath", &reader.source.path().display().to_string());
        layers.known_matters = layers.refers_to_known();
        self.configuration.stream = server::commands(reader, &server, request)?;
        for text in reader.left_out.take().unwrap_or_default() {
            self.configuration.stream.push(vec![Py::from("config-error"), Py::from(text)]);
        }
        let names: Vec<String> = match &request.jail {
            Some(jail) => vec![jail.clone()],
            None => layers
                .sections()
                .map(|(name, _)| name.to_owned())
                .filter(|name| name != "INCLUDES" && !name.starts_with("KNOWN/"))
                .collect(),
        };
        self.messages.quiet = reader.messages.quiet;
        for name in names {
            let outcome = match Jail::read(reader, &mut layers, &name) {
                Ok(Some(jail)) => Ok(jail),
                Ok(None) => continue,
                Err(Broken::Jail(why)) => broken(reader, request, &name, why),
                Err(Broken::All(Fatal(why))) if request.jail_by_jail => {
                    reader.messages.error("jailreader", format!("Jail {}: {why}", repr_str(&name)));
                    broken(reader, request, &name, why)
                }
                Err(Broken::All(fatal)) => return Err(fatal),
            };
            if self.failed.is_none() {
                self.failed = self.convert(request, name, outcome).err();
            }
        }
        reader.messages.append(self.messages);
        if let Some(fatal) = self.failed {
            return Err(fatal);
        }
        let starts = self.configuration.jails.iter().map(|jail| vec!["start".into(), jail.as_str().into()]);
        self.configuration.stream.extend(starts);
        Ok(self.configuration)
    }

    fn convert(&mut self, request: &Request, name: String, outcome: Outcome) -> Result<(), Fatal> {
        let why = match outcome {
            Ok(jail) => {
                match jail.commands(&mut self.messages, &mut self.logs, request.allow_no_files) {
                    Ok(commands) => {
                        self.configuration.stream.extend(commands);
                        self.configuration.jails.push(name);
                        return Ok(());
                    }
                    Err(Fatal(why)) if request.jail_by_jail => {
                        // Differs: Fail2ban does not say which file it missed.
                        let hint = jail
                            .missing_logs(&why)
                            .map(|paths| format!(": no file matches logpath = {paths}"));
                        let hint = hint.unwrap_or_default();
                        let name = repr_str(&name);
                        self.messages.error("jailreader", format!("Jail {name}: {why}{hint}"));
                        self.messages.error("jailsreader", format!("Errors in jail {name}. Skipping..."));
                        why
                    }
                    Err(fatal) => return Err(fatal),
                }
            }
            Err(why) => why,
        };
        let text = format!("Jail '{name}' skipped, because of wrong configuration: {why}");
        self.configuration.stream.push(vec![Py::from("config-error"), Py::from(text)]);
        self.configuration.broken.push(name);
        Ok(())
    }
}
