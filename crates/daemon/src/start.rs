//! From a command line to a running server, and back to nothing: background, pid file, socket, signals, the end.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use portcullis_jail::Level;
use portcullis_value::Value;
use rustix::fs::{FlockOperation, Mode, flock};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use crate::control::{Control, Server};
use crate::log::{Format, Log, Target, TargetError, VERSION};
use crate::options::Options;

/// Set for the process that goes on in the background.
const DETACHED: &str = "PORTCULLIS_DETACHED";
/// How long an answer from a server that may be running is waited for.
const ANSWER: Duration = Duration::from_secs(2);

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another server answers on the socket or holds the pid file.
    #[error("Server already running")]
    Running,
    /// Something that is no socket is in the way.
    #[error("cannot use {path} as the control socket: {reason}. Remove it, or give another with -s")]
    Socket {
        /// The socket's path.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The log cannot be opened.
    #[error("{0}. Give another target with --logtarget, or mend the permissions")]
    Log(#[from] TargetError),
    /// No level of this name.
    #[error("Invalid log level '{0}'")]
    Level(String),
    /// With `strict`: a command of the configuration failed.
    #[error("the configuration could not be carried out: {0}")]
    Configuration(String),
    /// The system refuses something that we cannot do without.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Its reason.
        source: io::Error,
    },
}

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::System { what, source }
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// For good (or it went into the background).
    Stopped,
    /// To be followed by another in this process, which takes over what was left in the kernel.
    Restart,
}

/// Runs a server until it is told to stop. With `background` this returns at once, and the server goes on by itself.
///
/// # Errors
/// When it cannot start; nothing is left behind then.
pub fn run(mut options: Options) -> Result<Ended, StartError> {
    let detached = std::env::var_os(DETACHED).is_some();
    if options.background && !detached {
        return detach().map(|()| Ended::Stopped);
    }
    // Log, pid file, database and socket are for root alone; and the shells of actions inherit it, as in Fail2ban.
    rustix::process::umask(Mode::from_raw_mode(0o077));
    options.socket = absolute(&options.socket);
    options.pidfile = absolute(&options.pidfile);
    if detached {
        // Fails only for a leader of a group, and then there is nothing to leave.
        let _ = rustix::process::setsid();
        std::env::set_current_dir("/").map_err(failed("go to /"))?;
    }
    let name: String = options.pname.chars().take(15).collect();
    if let Ok(name) = std::ffi::CString::new(name) {
        let _ = rustix::thread::set_name(&name);
    }

    let log = open_log(&options)?;
    crate::panics::install(log.clone());
    log.info("server", "-".repeat(50));
    log.info("server", format!("Starting Fail2ban v{VERSION}"));
    let (listener, pidfile) = match occupy(&options, &log) {
        Ok(both) => both,
        Err(error) => {
            log.error("server", error.to_string());
            return Err(error);
        }
    };
    let group = share_socket(&options, &log);
    if detached {
        log.info("server", "Daemon started");
    }
    log.info("observer", "Observer start...");

    let mut signals = Signals::new([SIGTERM, SIGINT, SIGUSR1, SIGHUP]).map_err(failed("catch signals"))?;
    let server = Arc::new(Server::new(options.clone(), log.clone()).map_err(failed("start threads"))?);
    let control =
        Control::start(listener, Arc::clone(&server), group).map_err(failed("start the control thread"))?;
    {
        let server = Arc::clone(&server);
        let log = log.clone();
        let background = options.background;
        let hangup_stops = move || !background;
        std::thread::Builder::new()
            .name("f2b/signals".into())
            .spawn(move || {
                for signal in signals.forever() {
                    match signal {
                        SIGUSR1 => {
                            log.flush();
                        }
                        SIGHUP if !hangup_stops() => {}
                        // Differs: in Fail2ban a second signal kills at once and leaves socket and rules behind.
                        _ => {
                            log.say(Level::DEBUG, "server", format!("Caught signal {signal}. Exiting"));
                            server.request_stop();
                        }
                    }
                }
            })
            .map_err(failed("start the signal thread"))?;
    }
    let mut failure = None;
    if let Some(stream) = options.stream.take() {
        let stream: Vec<Value> = stream.into_iter().map(Value::List).collect();
        if let Err(error) = server.configure(&stream) {
            eprintln!("ERROR: {error}");
            // Differs: in the foreground Fail2ban always gives up here. The jails that are in order run; the log has the
            // command that failed.
            if options.settings.default.strict {
                failure = Some(StartError::Configuration(error.to_string()));
                server.request_stop();
            }
        }
        if failure.is_none() {
            println!("Server ready");
        }
    }

    server.wait_for_stop();
    log.info("server", "Shutdown in progress...");
    control.refuse();
    server.stop();
    let _ = std::fs::remove_file(&options.socket);
    log.info("server", "Exiting Fail2ban");
    if let Some(pidfile) = pidfile {
        pidfile.remove(&log);
    }
    log.finish();
    // Whoever waits for `stop` is told now, when everything is gone.
    control.finish();
    let ended = if server.is_restarting() { Ended::Restart } else { Ended::Stopped };
    failure.map_or(Ok(ended), Err)
}

/// Lets the members of `socketgroup` connect, if there is one. Whether they can.
fn share_socket(options: &Options, log: &Log) -> bool {
    let Some(group) = options.settings.default.socketgroup.as_deref() else { return false };
    match crate::control::share(&options.socket, group) {
        Ok(()) => true,
        Err(reason) => {
            let text = format!("socketgroup = {group}: {reason}. The socket stays root's alone");
            log.error("server", text);
            false
        }
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Starts this program again, without a terminal.
fn detach() -> Result<(), StartError> {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    Command::new("/proc/self/exe")
        .arg0(name)
        .args(arguments)
        .env(DETACHED, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed("go into the background"))?;
    Ok(())
}

fn open_log(options: &Options) -> Result<Log, StartError> {
    let target = Target::open(&options.logtarget, &options.syslogsocket)?;
    let log = Log::new(target, Format { verbose: options.verbose });
    log.set_level(&options.loglevel).map_err(StartError::Level)?;
    log.set_syslogsocket(&options.syslogsocket)?;
    Ok(log)
}

/// Takes pid file and socket, if nobody else has them.
fn occupy(options: &Options, log: &Log) -> Result<(UnixListener, Option<PidFile>), StartError> {
    let path = &options.socket;
    let refused = |reason: String| StartError::Socket { path: path.clone(), reason };
    // The address of a socket is short (108 bytes, unix(7)).
    if path.as_os_str().as_bytes().len() > 107 {
        return Err(refused("the path is longer than 107 bytes".into()));
    }
    if let Ok(meta) = std::fs::symlink_metadata(path) {
        if meta.is_dir() {
            return Err(refused("it is a directory".into()));
        }
        if meta.file_type().is_socket() && is_answered(path) {
            log.error("server", "Fail2ban seems to be already running");
            if !options.force {
                return Err(StartError::Running);
            }
            log.warning("server", "Forcing execution of the server");
        } else if !meta.file_type().is_socket() && !options.force {
            return Err(refused("it is no socket".into()));
        }
    }
    let pidfile = match PidFile::take(&options.pidfile) {
        Ok(pidfile) => Some(pidfile),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(StartError::Running),
        Err(error) => {
            let shown = portcullis_value::repr_str(&options.pidfile.to_string_lossy());
            log.error("server", format!("Unable to create PID file: {}: {shown}", python_error(&error)));
            None
        }
    };
    match bind(path) {
        Ok(listener) => Ok((listener, pidfile)),
        Err(error) => {
            if let Some(pidfile) = pidfile {
                pidfile.remove(log);
            }
            Err(error)
        }
    }
}

/// Makes the control socket. A stale one is replaced: the pid file's lock has shown that nobody owns it.
fn bind(path: &Path) -> Result<UnixListener, StartError> {
    let refused = |reason: String| StartError::Socket { path: path.to_owned(), reason };
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(refused(error.to_string()));
    }
    if let Some(directory) = path.parent() {
        make_directory(directory).map_err(|error| refused(format!("{}: {error}", directory.display())))?;
    }
    UnixListener::bind(path).map_err(|error| refused(error.to_string()))
}

/// Makes the last level of a directory, for us alone, as Fail2ban does.
fn make_directory(directory: &Path) -> io::Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn is_answered(path: &Path) -> bool {
    let Ok(stream) = UnixStream::connect(path) else { return false };
    let _ = stream.set_read_timeout(Some(ANSWER));
    true
}

/// `[Errno 2] No such file or directory`: an error of the system in Python's words.
pub(crate) fn python_error(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or(&text);
            format!("[Errno {number}] {text}")
        }
        None => error.to_string(),
    }
}

/// The pid file, locked as long as we run.
struct PidFile {
    path: PathBuf,
    _file: File,
}

impl PidFile {
    fn take(path: &Path) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            make_directory(directory)?;
        }
        let mut file = File::options().write(true).create(true).truncate(false).open(path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(PidFile { path: path.to_owned(), _file: file })
    }

    fn remove(self, log: &Log) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            let shown = portcullis_value::repr_str(&self.path.to_string_lossy());
            log.error("server", format!("Unable to remove PID file: {}: {shown}", python_error(&error)));
        }
    }
}
