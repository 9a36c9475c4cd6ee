//! What the client reads of the configuration: its own settings, and the stream for the server.

use std::io::Write as _;
use std::mem::ManuallyDrop;
use std::path::Path;

use portcullis_config::{Configuration, Request, dump_pretty, read, read_server, write_dump};
use portcullis_value::Value;
use portcullis_wire::request::{NewSetting, Request as Wire};

use super::arguments::{Arguments, Dump};
use super::log::Log;
use super::{Name, Session, Settings, say};

/// The five settings, from the command line or else from `fail2ban.conf`, which is read only if one is missing.
///
/// # Errors
/// The text behind `ERROR: `.
pub(super) fn settings(name: Name, arguments: &Arguments, log: &Log) -> Result<Settings, String> {
    let mut ours = [
        arguments.socket.clone(),
        arguments.pidfile.clone(),
        arguments.loglevel.clone(),
        arguments.logtarget.clone(),
        arguments.syslogsocket.clone(),
    ];
    if ours.iter().any(Option::is_none) {
        let directory = &arguments.conf;
        // Our own names have the built-in configuration to go by.
        if matches!(name, Name::Client | Name::Server) && !Path::new(directory).exists() {
            return Err(format!("Base configuration directory {directory} does not exist "));
        }
        let mut messages = Vec::new();
        let read = read_server(&name.source(directory), &mut messages);
        let read = match read {
            Ok(read) => read,
            Err(failed) => {
                log.messages(&failed.messages);
                return Err(failed.text);
            }
        };
        log.messages(&messages);
        let theirs = [read.socket, read.pidfile, read.loglevel, read.logtarget, read.syslogsocket];
        for (ours, theirs) in ours.iter_mut().zip(theirs) {
            *ours = ours.take().or(theirs);
        }
    }
    let [socket, pidfile, loglevel, logtarget, syslogsocket] = ours;
    let settings = Settings {
        socket: socket.unwrap_or_else(|| "/var/run/fail2ban/fail2ban.sock".into()),
        pidfile: pidfile.unwrap_or_else(|| "/var/run/fail2ban/fail2ban.pid".into()),
        loglevel: loglevel.unwrap_or_else(|| "INFO".into()),
        logtarget: logtarget.unwrap_or_else(|| "/var/log/fail2ban.log".into()),
        syslogsocket: syslogsocket.unwrap_or_else(|| "auto".into()),
    };
    let level: [Value; 3] = ["set".into(), "loglevel".into(), settings.loglevel.as_str().into()];
    match Wire::parse(&level) {
        Ok(Wire::Set(NewSetting::LogLevel { .. })) => Ok(settings),
        Ok(_) => Err(format!("Invalid log level {}", level[2].repr())),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads the stream. What there is to say about it has been said when this returns.
///
/// # Errors
/// The text behind `Failed during configuration: ` was said, too.
pub(super) fn stream(session: &Session, request: Request) -> Result<Configuration, ()> {
    let (arguments, settings) = (&session.arguments, &session.settings);
    let given = [
        &arguments.socket,
        &arguments.pidfile,
        &arguments.loglevel,
        &arguments.logtarget,
        &arguments.syslogsocket,
    ];
    let request = Request {
        // What there is to say about fail2ban.conf was said, unless nothing of it was needed so far.
        server_told: given.iter().any(|given| given.is_none()),
        loglevel: Some(settings.loglevel.clone()),
        logtarget: Some(settings.logtarget.clone()),
        syslogsocket: Some(settings.syslogsocket.clone()),
        quiet: !session.log.tells_information(),
        ..request
    };
    match read(&session.name.source(&arguments.conf), &request) {
        Ok(configuration) => {
            session.log.messages(&configuration.messages);
            Ok(configuration)
        }
        Err(failed) => {
            session.log.messages(&failed.messages);
            session.log.error("", &format!("Failed during configuration: {}", failed.text));
            Err(())
        }
    }
}

/// The stream for a server that starts or reloads: one jail's mistake costs that jail, unless `strict` is set.
///
/// `None` when it cannot be read or no jail is left of it; why has been said.
pub(super) fn stream_for_server(session: &Session, jail: Option<String>, starts: bool) -> Option<Vec<Value>> {
    // Differs: in Fail2ban some mistakes in one jail keep all of them from starting.
    let jail_by_jail = match portcullis_config::Settings::read(&session.arguments.conf) {
        Ok(settings) => !settings.default.strict,
        Err(failed) => {
            session.log.error("", &format!("portcullis.conf: {}", failed.text));
            true
        }
    };
    // Of a single jail there are no others to be saved.
    let jail_by_jail = jail_by_jail && jail.is_none();
    let configuration = stream(
        session,
        Request { jail, jail_by_jail, skip_broken_files: jail_by_jail && starts, ..Request::default() },
    )
    .ok()?;
    configuration.usable().then(|| configuration.stream.into_iter().map(Value::List).collect())
}

/// What follows after `-d`, `--dp`, `-t`.
pub(super) enum Shown {
    /// Nothing more.
    Enough,
    /// The command.
    GoOn,
    /// The configuration cannot be shown.
    Failed,
    /// The configuration is not good.
    TestFailed,
}

/// Carries out `-d`, `--dp` and `-t`.
pub(super) fn dump_and_test(session: &Session, no_command: bool) -> Shown {
    let Arguments { dump: how, test, .. } = session.arguments;
    let request = Request { allow_no_files: how.is_some(), test, ..Request::default() };
    // The program is as good as over behind this: nothing is given back by parts.
    let Ok(configuration) = stream(session, request).map(ManuallyDrop::new) else {
        if how.is_some() {
            say("ERROR: The configuration stream failed because of the invalid syntax.");
        }
        return if test { Shown::TestFailed } else { Shown::Failed };
    };
    match how {
        Some(Dump::Plain) if !configuration.stream.is_empty() => {
            let mut out = std::io::stdout().lock();
            // A reader that has seen enough is no error.
            let _ = write_dump(&configuration.stream, &mut out).and_then(|()| out.flush());
        }
        Some(Dump::Plain) => say(""),
        Some(Dump::Pretty) => say(dump_pretty(&configuration.stream).trim_end_matches('\n')),
        None => {}
    }
    if test && !configuration.flawless() {
        return Shown::TestFailed;
    }
    match (test, no_command) {
        (true, true) => {
            say("OK: configuration test is successful");
            Shown::Enough
        }
        (true, false) => Shown::GoOn,
        (false, _) if configuration.usable() => Shown::Enough,
        (false, _) => Shown::Failed,
    }
}
