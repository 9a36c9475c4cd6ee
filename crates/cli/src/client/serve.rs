//! The seam to the daemon: the only place that knows how a server is run in this process.

use std::path::PathBuf;
use std::process::ExitCode;

use portcullis_config::Settings;
use portcullis_daemon::{Ended, Options, StartError};
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
        Ok(Ended::Stopped) => ExitCode::SUCCESS,
        Ok(Ended::Restart) => {
            let error = become_anew();
            session.log.error("", &format!("cannot start again: {error}"));
            // Not 255, after which systemd would not try.
            ExitCode::FAILURE
        }
        Err(error) => {
            session.log.error("", &error.to_string());
            if matches!(error, StartError::Running) {
                session.log.error("", "Async configuration of server failed");
            }
            ExitCode::from(255)
        }
    }
}

/// Makes this process run the program from its beginning: the file that lies where ours lay, which an upgrade may have
/// replaced. It stays the same process to whoever looks after it. Returns only when that fails.
fn become_anew() -> std::io::Error {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    use std::os::unix::process::CommandExt as _;

    let program = match std::fs::read_link("/proc/self/exe") {
        Ok(program) => program.into_os_string().into_vec(),
        Err(error) => return error,
    };
    // So the kernel marks a file that was replaced.
    let program = program.strip_suffix(b" (deleted)").unwrap_or(&program);
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    std::process::Command::new(std::ffi::OsStr::from_bytes(program)).arg0(name).args(words).exec()
}
