//! How a server comes up: in the background as another process, which the client then configures, or right here.

use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use portcullis_value::Value;

use super::commands::{self, Mode};
use super::connection::{Connection, Reply};
use super::{DRY_RUN, Name, Session, configuration, serve};

/// How long a living server may take to say so.
const ALIVE: Duration = Duration::from_millis(500);
/// A server that ends lifts its bans first.
const END: Duration = Duration::from_secs(30);

/// Whether a server answers.
pub(super) fn is_alive(session: &Session) -> bool {
    answers(session, ALIVE)
}

fn answers(session: &Session, timeout: Duration) -> bool {
    let ping = Value::List(vec!["ping".into(), Value::Float(timeout.as_secs_f64())]);
    let reply = Connection::open(Path::new(&session.settings.socket), Some(timeout))
        .and_then(|mut connection| connection.ask(&ping));
    matches!(reply, Ok(Reply::Done(_)))
}

/// Waits until the server has gone, with its socket.
pub(super) fn wait_for_end(session: &Session) {
    let begun = Instant::now();
    while begun.elapsed() < END && Path::new(&session.settings.socket).exists() && is_alive(session) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `fail2ban-client start`.
pub(super) fn client(session: &Session, mode: Mode) -> bool {
    if session.arguments.background || mode == Mode::Interactive {
        return prepared(session).is_some_and(|stream| in_background(session, stream));
    }
    match prepared(session) {
        Some(stream) => serve::serve(session, Some(stream)) == ExitCode::SUCCESS,
        None => false,
    }
}

/// `fail2ban-server`, with `start` or without a command.
pub(super) fn server(session: &Session) -> ExitCode {
    if session.arguments.is_async {
        return serve::serve(session, None);
    }
    let done = match prepared(session) {
        Some(stream) if session.arguments.background => {
            super::log::announce_signals(&session.log);
            in_background(session, stream)
        }
        Some(stream) => return serve::serve(session, Some(stream)),
        None => {
            session.log.error("", "Async configuration of server failed");
            false
        }
    };
    if done { ExitCode::SUCCESS } else { ExitCode::from(255) }
}

/// The configuration for a server that may start; `None` if it may not, and then why has been said.
fn prepared(session: &Session) -> Option<Vec<Value>> {
    let socket = &session.settings.socket;
    if Path::new(socket).exists() && is_alive(session) {
        session.log.error("", "Server already running");
        return None;
    }
    let stream = configuration::stream_for_server(session, None, true)?;
    // Differs: Fail2ban refuses to start where a killed server has left its socket. Only what is no socket is in the way.
    match std::fs::symlink_metadata(socket) {
        Ok(there) if there.file_type().is_socket() => {}
        Ok(there) if there.is_dir() => {
            let text =
                format!("cannot use {socket} as the control socket: it is a directory. Give another with -s");
            session.log.error("", &text);
            return None;
        }
        Ok(_) if !session.arguments.force => {
            let text = "Fail2ban seems to be in unexpected state (not running but the socket exists)";
            session.log.error("", text);
            return None;
        }
        _ => {}
    }
    Some(stream)
}

/// Starts the server as a process of its own, and configures it.
fn in_background(session: &Session, stream: Vec<Value>) -> bool {
    if let Err(error) = spawn(session) {
        session.log.error("", &format!("Could not start server: {error}"));
        return false;
    }
    let socket = &session.settings.socket;
    let begun = Instant::now();
    let limit = Duration::try_from_secs_f64(session.arguments.timeout).unwrap_or(END);
    let mut pause = Duration::from_micros(12_500);
    while !(Path::new(socket).exists() && answers(session, ALIVE)) {
        if begun.elapsed() > limit {
            session.log.error(
                "",
                &format!(
                    "Could not start server. Maybe an old socket file is still present. Try to remove {socket}. If you \
                     used fail2ban-client to start the server, adding the -x option will do it"
                ),
            );
            return false;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(ALIVE);
    }
    configure(session, stream)
}

/// Sends the configuration and asks how it is, on one connection.
pub(super) fn configure(session: &Session, stream: Vec<Value>) -> bool {
    let mut connection = match Connection::open(Path::new(&session.settings.socket), None) {
        Ok(connection) => connection,
        Err(error) => {
            session.log.error("", &format!("[{error}] Unable to contact server. Is it running?"));
            return false;
        }
    };
    let mut good = true;
    for request in [vec!["server-stream".into(), Value::List(stream)], vec!["server-status".into()]] {
        match connection.ask(&Value::List(request.clone())) {
            Ok(reply) => good &= commands::shown(session, &request, &reply),
            Err(error) => {
                session.log.error("", &format!("[{error}] Unable to contact server. Is it running?"));
                return false;
            }
        }
    }
    good
}

fn spawn(session: &Session) -> std::io::Result<()> {
    let settings = &session.settings;
    // The file that we are, also where it has been replaced or has another name on disk.
    let mut command = Command::new("/proc/self/exe");
    if session.name == Name::OurServer {
        command.arg0("portcullis").arg("server");
        command.args(session.arguments.dry_run.then_some(DRY_RUN));
    } else {
        command.arg0("fail2ban-server");
    }
    command.args(["--async", "-b", "-s", &settings.socket, "-p", &settings.pidfile]);
    if session.arguments.force {
        command.arg("-x");
    }
    for _ in 1..session.arguments.verbosity {
        command.arg("-v");
    }
    if session.arguments.pname != "fail2ban-server" {
        command.args(["--pname", &session.arguments.pname]);
    }
    if session.arguments.conf != "/etc/fail2ban" {
        command.args(["-c", &session.arguments.conf]);
    }
    let (level, target, syslog) = (&settings.loglevel, &settings.logtarget, &settings.syslogsocket);
    command.args(["--loglevel", level, "--logtarget", target, "--syslogsocket", syslog]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    // It detaches itself; what remains to be waited for is the first of its processes.
    std::thread::spawn(move || child.wait());
    Ok(())
}
