//! Real journals, made by systemd's own tool, where no systemd runs.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::program::{require_tools, tool};
use crate::skip;

/// Names and values of an entry's fields.
pub type Fields<'f> = Vec<(&'f str, &'f [u8])>;

/// A journal in a file: `systemd-journal-remote` writes what it is given in the export format.
#[derive(Clone, Debug)]
pub struct Journal {
    file: PathBuf,
}

impl Journal {
    /// A journal that will be in `file` (`….journal`, in a directory that is there). `None` if the tools cannot be had: the test is
    /// skipped.
    pub fn new(file: &Path) -> Option<Self> {
        if let Err(reason) = require_tools() {
            skip(&reason);
            return None;
        }
        Some(Journal { file: file.to_owned() })
    }

    /// Adds an entry that was received so many seconds from now on (negative: ago), with these fields.
    pub fn add(&self, seconds: f64, fields: &[(&str, &str)]) {
        let fields: Fields<'_> = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        self.write(&[(((now + seconds) * 1e6) as u64, fields)]);
    }

    /// Adds what sshd writes about a wrong password, now.
    pub fn add_wrong_password(&self, from: &str) {
        let message = format!("Failed password for root from {from} port 4711 ssh2");
        let fields = [
            ("_HOSTNAME", "srv"),
            ("SYSLOG_IDENTIFIER", "sshd"),
            ("_COMM", "sshd"),
            ("_PID", "7"),
            ("_SYSTEMD_UNIT", "sshd.service"),
            ("MESSAGE", message.as_str()),
        ];
        self.add(0.0, &fields);
    }

    /// Adds entries with these times in microseconds since 1970.
    ///
    /// # Panics
    /// When the tool fails.
    pub fn write(&self, entries: &[(u64, Fields<'_>)]) {
        let mut text = Vec::new();
        for (time, fields) in entries {
            let monotonic = time % 1_000_000_000_000;
            writeln!(text, "__REALTIME_TIMESTAMP={time}\n__MONOTONIC_TIMESTAMP={monotonic}").unwrap();
            writeln!(text, "_BOOT_ID=00112233445566778899aabbccddeeff").unwrap();
            for (name, value) in fields {
                text.extend_from_slice(name.as_bytes());
                text.push(b'\n');
                text.extend_from_slice(&(value.len() as u64).to_le_bytes());
                text.extend_from_slice(value);
                text.push(b'\n');
            }
            text.push(b'\n');
        }
        let mut command = tool("systemd-journal-remote");
        let mut child = command
            .args(["-o", self.file.to_str().unwrap(), "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&text).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "systemd-journal-remote: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
