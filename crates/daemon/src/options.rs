//! What a server is started with.

use std::path::PathBuf;

use portcullis_config::{Settings, Source};
use portcullis_value::Command;

/// The command line and `fail2ban.conf`, put together by the program.
#[derive(Clone, Debug)]
pub struct Options {
    /// The control socket.
    pub socket: PathBuf,
    /// The file with our process number.
    pub pidfile: PathBuf,
    /// Go into the background.
    pub background: bool,
    /// Replace a socket even when somebody seems to answer on it (`-x`).
    pub force: bool,
    /// `INFO`, `DEBUG`, …
    pub loglevel: String,
    /// A file, `STDOUT`, `SYSLOG`, …
    pub logtarget: String,
    /// `auto` or a path.
    pub syslogsocket: String,
    /// The name that the process list shows.
    pub pname: String,
    /// How often `-v` was given.
    pub verbose: u8,
    /// Detect and tell, but ban nobody.
    pub dry_run: bool,
    /// Where to find `portcullis.conf`, at start and at a reload.
    pub source: Source,
    /// `portcullis.conf` as it is now.
    pub settings: Settings,
    /// The configuration to begin with; `None` when a client will send it.
    pub stream: Option<Vec<Command>>,
}
