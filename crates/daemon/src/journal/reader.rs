//! A `journalctl` that writes entries, read as they come.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};

use super::{Entry, Export, Place, Selection};

/// How much is read at once.
const CHUNK: usize = 64 * 1024;
/// Of what `journalctl` complains about so many bytes are told.
const COMPLAINT: usize = 1000;
/// So many milliseconds it may take to exit once it has closed its output.
const EXITING: u32 = 1000;

/// Where to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest entry.
    Beginning,
    /// With the first that the journal received at this time or later; microseconds since 1970.
    Since(u64),
    /// Behind the entry of this cursor, or where it would stand.
    Behind(String),
}

/// Where to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// With the newest entry that is there now.
    Now,
    /// Never: entries are awaited.
    Ever,
}

/// A running `journalctl`.
pub struct Reader {
    child: Arc<Mutex<Child>>,
    out: ChildStdout,
    complaints: OwnedFd,
    export: Export,
    /// The entry that was read before, and comes first.
    known: Option<String>,
    buffer: Vec<u8>,
    ended: bool,
}

/// Where `journalctl` is.
///
/// # Errors
/// What to do about it, if it is not on `PATH`.
pub fn program() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    let mut places = std::env::split_paths(&path);
    places.find_map(|place| Some(place.join("journalctl")).filter(|program| program.is_file())).ok_or_else(|| {
        "journalctl is not on PATH, so that the systemd journal cannot be read. Install it (Debian: package systemd), or use \
         log files: backend = auto and a logpath"
            .to_owned()
    })
}

impl Reader {
    /// Starts `journalctl`.
    ///
    /// # Errors
    /// When it is not there or cannot be started.
    pub fn open(place: &Place, selection: &Selection, start: &Start, until: Until) -> io::Result<Self> {
        let program = program().map_err(|text| io::Error::new(io::ErrorKind::NotFound, text))?;
        let mut command = Command::new(program);
        command.args(["--quiet", "--no-pager", "--output=export"]);
        command.arg(format!("--output-fields={}", Entry::FIELDS)).args(place.arguments());
        if until == Until::Ever {
            command.args(["--follow", "--no-tail"]);
        }
        let mut known = None;
        match start {
            Start::Beginning => {}
            Start::Since(at) => {
                command.arg(format!("--since=@{}.{:06}", at / 1_000_000, at % 1_000_000));
            }
            Start::Behind(cursor) => {
                // `--after-cursor` passes over whatever comes first, also where the entry itself has been removed.
                command.arg(format!("--cursor={cursor}"));
                known = Some(cursor.clone());
            }
        }
        command.arg("--").args(selection.arguments());
        // Complaints must never block it: what nobody reads in time is dropped.
        let (complaints, theirs) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(theirs).env("LC_ALL", "C");
        let mut child = command.spawn()?;
        let out = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let child = Arc::new(Mutex::new(child));
        let export = Export::default();
        Ok(Reader { child, out, complaints, export, known, buffer: vec![0; CHUNK], ended: false })
    }

    /// Waits for the next entries and appends them. `false` at the end.
    ///
    /// # Errors
    /// When what comes is no journal's export.
    pub fn read(&mut self, entries: &mut Vec<Entry>) -> io::Result<bool> {
        let read = loop {
            match self.out.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        let before = entries.len();
        let fed = self.export.feed(&self.buffer[..read], entries);
        fed.map_err(|text| io::Error::new(io::ErrorKind::InvalidData, text))?;
        if entries.len() > before
            && let Some(known) = self.known.take()
            && entries[before].cursor == known
        {
            entries.remove(before);
        }
        self.ended = read == 0;
        Ok(!self.ended)
    }

    /// A handle by which another thread can end it.
    pub fn ender(&self) -> Ender {
        Ender(Arc::clone(&self.child))
    }

    /// Ends it if it has not ended.
    ///
    /// # Errors
    /// What it complained about, when it failed by itself.
    pub fn finish(self) -> Result<(), String> {
        let complained = |child: &mut Child| {
            let killed = !matches!(child.try_wait(), Ok(Some(_))) && child.kill().is_ok();
            let status = child.wait();
            match status {
                _ if killed => None,
                Ok(status) if status.success() => None,
                Ok(status) => Some(status.to_string()),
                Err(error) => Some(error.to_string()),
            }
        };
        // At its end it has closed its output, but may not have exited yet.
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..EXITING {
            if !self.ended || !matches!(child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let Some(status) = complained(&mut child) else { return Ok(()) };
        let mut text = vec![0; COMPLAINT];
        let read = rustix::io::read(&self.complaints, &mut text).unwrap_or(0);
        let text = String::from_utf8_lossy(&text[..read]);
        let text = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
        Err(if text.is_empty() {
            format!("journalctl ended: {status}")
        } else {
            format!("journalctl: {text}")
        })
    }
}

/// Ends a [`Reader`], which then reads its end.
#[derive(Clone, Debug)]
pub struct Ender(Arc<Mutex<Child>>);

impl Ender {
    /// Ends it; it may have ended already.
    pub fn end(&self) {
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).kill();
    }
}
