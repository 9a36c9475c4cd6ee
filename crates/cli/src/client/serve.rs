//! The seam to the daemon: the only place that knows how a server is run in this process.

use std::path::PathBuf;
use std::process::ExitCode;

use portcullis_config::Settings;
use portcullis_daemon::{Options, StartError};
use portcullis_value::Value;

use super::Session;

/// Runs a server until it ends, with the configuration, or without where a client will send it.
pub(super) fn serve(session: &Session, stream: Option<Vec<Value>>) -> ExitCode {
    let arguments = &session.arguments;
    let settings = match Settings::read(&arguments.conf) {
        Ok(settings) => settings,
        Err(failed) => {
            session.log.error("", &format!("portcullis.conf: {}", failed.text));
            Settings::default()
        }
    };
    let commands = stream.map(|stream| {
        let words = |command| if let Value::List(words) = command { words } else { vec![command] };
        stream.into_iter().map(words).collect()
    });
    let options = Options {
        socket: PathBuf::from(&session.settings.socket),
        pidfile: PathBuf::from(&session.settings.pidfile),
        background: arguments.background,
        force: arguments.force,
        loglevel: session.settings.loglevel.clone(),
        logtarget: session.settings.logtarget.clone(),
        syslogsocket: session.settings.syslogsocket.clone(),
        pname: arguments.pname.clone(),
        verbose: u8::try_from(arguments.verbosity - 1).unwrap_or(0),
        dry_run: arguments.dry_run,
        source: session.name.source(&arguments.conf),
        settings,
        stream: commands,
    };
    match portcullis_daemon::run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            session.log.error("", &error.to_string());
            if matches!(error, StartError::Running) {
                session.log.error("", "Async configuration of server failed");
            }
            ExitCode::from(255)
        }
    }
}
