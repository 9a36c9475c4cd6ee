//! Where log lines go: a file, the standard streams, syslog, the journal.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use portcullis_jail::{Level, LogLine};

use super::Format;

/// Nothing, or why a line could not be written.
pub type Written = io::Result<()>;

/// Where the log goes.
#[derive(Debug)]
pub enum Target {
    /// A file, appended to.
    File(LogFile),
    /// Standard output, in the file's format.
    Stdout,
    /// Standard error, in the file's format.
    Stderr,
    /// Standard output without the time: a service manager adds it.
    Sysout,
    /// Datagrams to syslog's socket.
    Syslog(Syslog),
    /// The journal's native socket.
    Journal(UnixDatagram),
    /// Whatever standard error was when we were started.
    Inherited,
}

/// Why a target cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The file cannot be opened for appending.
    #[error("Unable to log to '{path}': {source}")]
    File {
        /// As it was given.
        path: String,
        /// The system's reason.
        source: io::Error,
    },
    /// There is no socket at this path.
    #[error("Syslog socket file: {0} does not exists or is not a socket")]
    Syslog(String),
    /// An option in brackets that no target has.
    #[error("Unable to log to '{word}': unknown option '{option}'; there are padding, datetime and facility")]
    Option {
        /// The whole target as it was given.
        word: String,
        /// The option.
        option: String,
    },
}

/// An open log file and where it was opened.
#[derive(Debug)]
pub struct LogFile {
    name: String,
    path: PathBuf,
    file: File,
    layout: Layout,
}

/// A datagram socket to syslog.
#[derive(Debug)]
pub struct Syslog {
    word: String,
    path: String,
    facility: u8,
    socket: UnixDatagram,
    layout: Layout,
}

/// What `[padding=…,datetime=…]` change.
#[derive(Clone, Copy, Debug)]
struct Layout {
    padding: bool,
    datetime: bool,
}

const FULL: Layout = Layout { padding: true, datetime: true };
/// Bytes of a line besides its text.
const AROUND: usize = 80;
const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

impl Target {
    /// Opens a target by Fail2ban's word for it: `STDOUT`, `STDERR`, `SYSOUT`, `SYSLOG`, `SYSTEMD-JOURNAL`, `INHERITED`
    /// (any case) or a path; with options in brackets.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(word: &str, syslogsocket: &str) -> Result<Self, TargetError> {
        let (name, options) = split_options(word);
        let plain = Layout { padding: false, datetime: false };
        Ok(match name.to_uppercase().as_str() {
            "STDOUT" => Target::Stdout,
            "STDERR" => Target::Stderr,
            "SYSOUT" => Target::Sysout,
            "INHERITED" => Target::Inherited,
            "SYSTEMD-JOURNAL" => Target::Journal(connected(JOURNAL_SOCKET)?),
            "SYSLOG" => {
                let path = if syslogsocket == "auto" { "/dev/log" } else { syslogsocket };
                let layout = layout(word, options, plain)?;
                Target::Syslog(Syslog {
                    word: word.to_owned(),
                    path: path.to_owned(),
                    facility: facility(options),
                    socket: connected(path)?,
                    layout,
                })
            }
            _ => Target::File(LogFile::open(name, layout(word, options, FULL)?)?),
        })
    }

    /// The word without its options.
    pub fn name(&self) -> &str {
        match self {
            Target::File(file) => &file.name,
            Target::Stdout => "STDOUT",
            Target::Stderr => "STDERR",
            Target::Sysout => "SYSOUT",
            Target::Syslog(_) => "SYSLOG",
            Target::Journal(_) => "SYSTEMD-JOURNAL",
            Target::Inherited => "INHERITED",
        }
    }

    /// The name as the line about a change shows it.
    pub(super) fn shown(&self) -> String {
        match self {
            Target::Syslog(syslog) => format!("SYSLOG ({})", syslog.path),
            other => other.name().to_owned(),
        }
    }

    /// Writes one line.
    ///
    /// # Errors
    /// When the target does not take it; nothing is kept.
    pub fn write(&mut self, line: &LogLine, format: Format) -> Written {
        match self {
            Target::File(file) => file.file.write_all(laid_out(line, file.layout, format).as_bytes()),
            Target::Stdout => io::stdout().lock().write_all(laid_out(line, FULL, format).as_bytes()),
            Target::Stderr | Target::Inherited => {
                io::stderr().lock().write_all(laid_out(line, FULL, format).as_bytes())
            }
            Target::Sysout => {
                let layout = Layout { padding: true, datetime: false };
                io::stdout().lock().write_all(laid_out(line, layout, format).as_bytes())
            }
            Target::Syslog(syslog) => syslog.write(line, format),
            Target::Journal(socket) => {
                let priority = severity(line.level);
                // The native protocol takes values with line feeds only with a length in front.
                let mut message =
                    format!("PRIORITY={priority}\nSYSLOG_IDENTIFIER=fail2ban\nMESSAGE\n").into_bytes();
                message.extend((line.text.len() as u64).to_le_bytes());
                message.extend(line.text.as_bytes());
                message.push(b'\n');
                socket.send(&message).map(drop)
            }
        }
    }

    /// Whether several lines can be written at once.
    pub fn takes_many(&self) -> bool {
        matches!(self, Target::File(_))
    }

    /// Writes lines in one go, if the target can; else one after the other.
    ///
    /// # Errors
    /// When the target does not take them; how many were written is not known.
    pub fn write_many(&mut self, lines: &[&LogLine], format: Format) -> Written {
        if let Target::File(file) = self {
            // They are written in this moment; to ask for the time again and again would cost more than all else.
            let time = time_now();
            let mut text = String::with_capacity(lines.iter().map(|line| line.text.len() + AROUND).sum());
            for line in lines {
                lay_out(&mut text, line, file.layout, format, &time);
            }
            return file.file.write_all(text.as_bytes());
        }
        lines.iter().try_for_each(|line| self.write(line, format))
    }
}

impl LogFile {
    fn open(name: &str, layout: Layout) -> Result<Self, TargetError> {
        // The daemon's directory is `/`, and so a relative name means a file there, as in Fail2ban.
        let path = PathBuf::from(name);
        let file = append(&path).map_err(|source| TargetError::File { path: name.to_owned(), source })?;
        Ok(LogFile { name: name.to_owned(), path, file, layout })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the path again. When that fails the old file stays in use.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.file = append(&self.path)?;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

impl Syslog {
    pub(super) fn word(&self) -> &str {
        &self.word
    }

    // Differs: Fail2ban's send blocks, and a full socket stops the whole daemon. Ours loses the line and counts it.
    fn write(&mut self, line: &LogLine, format: Format) -> Written {
        let priority = u16::from(self.facility) * 8 + u16::from(severity(line.level));
        let text = laid_out(line, self.layout, format);
        let datagram = format!("<{priority}>{}\0", text.trim_end_matches('\n'));
        match self.socket.send(datagram.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                // syslogd was restarted: its socket is a new one.
                self.socket = connected(&self.path).map_err(|_| error)?;
                self.socket.send(datagram.as_bytes()).map(drop)
            }
            other => other.map(drop),
        }
    }
}

fn connected(path: &str) -> Result<UnixDatagram, TargetError> {
    let missing = |_| TargetError::Syslog(path.to_owned());
    let socket = UnixDatagram::unbound().map_err(missing)?;
    socket.connect(path).map_err(missing)?;
    socket.set_nonblocking(true).map_err(missing)?;
    Ok(socket)
}

/// `name[options]` as its two parts.
pub(super) fn split_options(word: &str) -> (&str, &str) {
    match word.split_once('[') {
        Some((name, rest)) if rest.ends_with(']') => (name, &rest[..rest.len() - 1]),
        _ => (word, ""),
    }
}

fn options(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(',').filter_map(|option| {
        let (name, value) = option.split_once('=')?;
        Some((name.trim(), value.trim().trim_matches(['"', '\''])))
    })
}

fn layout(word: &str, text: &str, mut layout: Layout) -> Result<Layout, TargetError> {
    for (name, value) in options(text) {
        let on = matches!(value.to_lowercase().as_str(), "1" | "on" | "true" | "yes");
        match name {
            "padding" => layout.padding = on,
            "datetime" => layout.datetime = on,
            "facility" => {}
            _ => return Err(TargetError::Option { word: word.to_owned(), option: name.to_owned() }),
        }
    }
    Ok(layout)
}

/// Numbers from RFC 5424, section 6.2.1.
fn facility(text: &str) -> u8 {
    const NAMES: [&str; 12] = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    ];
    let daemon = 3;
    let Some((_, name)) = options(text).find(|(name, _)| *name == "facility") else { return daemon };
    let name = name.to_lowercase();
    if let Some(number) = name.strip_prefix("local").and_then(|n| n.parse::<u8>().ok()).filter(|n| *n < 8) {
        return 16 + number;
    }
    NAMES.iter().position(|known| *known == name).map_or(daemon, |at| at as u8)
}

/// Syslog's severity of a level.
fn severity(level: Level) -> u8 {
    match level {
        Level(50..) => 2,
        Level(40..) => 3,
        Level(30..) => 4,
        Level(25..) => 5,
        Level(18..) => 6,
        _ => 7,
    }
}

fn laid_out(line: &LogLine, layout: Layout, format: Format) -> String {
    let mut text = String::with_capacity(line.text.len() + AROUND);
    let time = if layout.datetime { time_now() } else { String::new() };
    lay_out(&mut text, line, layout, format, &time);
    text
}

fn lay_out(out: &mut String, line: &LogLine, layout: Layout, format: Format, time: &str) {
    let LogLine { level, logger, text } = line;
    let level = level_name(*level);
    if format.verbose >= 2 && layout.datetime {
        // Fail2ban puts the thread here; ours have names.
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("-");
        let short: String = level.chars().take(5).collect();
        let _ = writeln!(out, " {time} {thread} {short:<5} {text}");
        return;
    }
    if layout.datetime {
        out.extend([time, " "]);
    }
    let pid = std::process::id();
    let _ = if layout.padding {
        // 24 columns with the name before it.
        writeln!(out, "fail2ban.{logger:<15}[{pid}]: {level:<7} {text}")
    } else {
        writeln!(out, "fail2ban.{logger}[{pid}]: {level} {text}")
    };
}

fn time_now() -> String {
    let now = jiff::Zoned::now();
    format!("{},{:03}", now.strftime("%Y-%m-%d %H:%M:%S"), now.millisecond())
}

fn level_name(level: Level) -> std::borrow::Cow<'static, str> {
    match level {
        Level::CRITICAL => "CRITICAL".into(),
        Level::ERROR => "ERROR".into(),
        Level::WARNING => "WARNING".into(),
        Level::NOTICE => "NOTICE".into(),
        Level::INFO => "INFO".into(),
        Level::MSG => "MSG".into(),
        Level::DEBUG => "DEBUG".into(),
        Level::TRACEDEBUG => "TRACE".into(),
        Level::HEAVYDEBUG => "HEAVY".into(),
        Level(number) => format!("#{number:02}-Lev.").into(),
    }
}
