//! Which program a command's first word calls, and a tool's output within limits.

use std::ffi::OsStr;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::error::Error;

/// How long a tool may take to list rules.
const LIMIT: Duration = Duration::from_secs(20);
/// More than a million rules.
const LONGEST_OUTPUT: usize = 128 << 20;

/// What a word calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tool {
    /// The genuine tool; its path, and the name of the file behind all links (`xtables-nft-multi`, `nft`).
    Genuine(PathBuf, String),
    /// Something else of that name: a wrapper script, say. It must be called as the user wants it.
    Foreign(PathBuf),
    /// Nothing.
    Missing,
}

/// Looks up `program` as a shell does with this PATH. A binary (ELF) is taken for the genuine tool; a script is not.
pub fn resolve(program: &str, path: Option<&OsStr>) -> Tool {
    let executable = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    let found = if program.contains('/') {
        Some(PathBuf::from(program)).filter(|path| executable(path))
    } else {
        let path = path.unwrap_or(OsStr::new("/usr/sbin:/usr/bin:/sbin:/bin"));
        std::env::split_paths(path).map(|directory| directory.join(program)).find(|path| executable(path))
    };
    let Some(found) = found else { return Tool::Missing };
    let Ok(target) = std::fs::canonicalize(&found) else { return Tool::Foreign(found) };
    let mut magic = [0; 4];
    let binary = std::fs::File::open(&target).and_then(|mut file| file.read_exact(&mut magic)).is_ok();
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if binary && magic == *b"\x7fELF" { Tool::Genuine(found, name) } else { Tool::Foreign(found) }
}

/// The rules of a chain, as `iptables -S CHAIN` lists them.
///
/// # Errors
/// [`Error::Tool`]
pub(crate) fn list_rules(program: &Path, chain: &str) -> Result<String, Error> {
    output(program, &["-w", "-S", chain])
}

/// What a tool prints. It is ended when it takes too long or prints too much.
pub(super) fn output(program: &Path, arguments: &[&str]) -> Result<String, Error> {
    let failed =
        |reason: &str| Error::Tool(format!("{} {}: {reason}", program.display(), arguments.join(" ")));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(&error.to_string()))?;
    let deadline = Instant::now() + LIMIT;
    let read = child.stdout.take().ok_or("it has no output").and_then(|pipe| read(pipe, deadline));
    if read.is_err() {
        // It may have ended by itself meanwhile.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| failed(&error.to_string()))?;
    let text = read.map_err(failed)?;
    if status.success() {
        Ok(String::from_utf8_lossy(&text).into_owned())
    } else {
        Err(failed(&status.to_string()))
    }
}

/// Gives a tool its input, and waits until it is through. The error tells the last line that it wrote.
pub(super) fn feed(program: &Path, arguments: &[&str], input: &[u8]) -> Result<(), Error> {
    let failed =
        |reason: &str| Error::Tool(format!("{} {}: {reason}", program.display(), arguments.join(" ")));
    let text = |error: &dyn std::fmt::Display| failed(&error.to_string());
    // A file, not a pipe: a tool that does not read could hold us up.
    let memory = rustix::fs::memfd_create("input", rustix::fs::MemfdFlags::CLOEXEC).map_err(|e| text(&e))?;
    let mut file = std::fs::File::from(memory);
    file.write_all(input).and_then(|()| file.rewind()).map_err(|e| text(&e))?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(file)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| text(&e))?;
    let deadline = Instant::now() + LIMIT;
    let read = child.stderr.take().ok_or("it has no output").and_then(|pipe| read(pipe, deadline));
    if read.is_err() {
        // It may have ended by itself meanwhile.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|e| text(&e))?;
    let said = read.map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said);
    let line = said.lines().find(|line| !line.trim().is_empty());
    Err(failed(line.unwrap_or(&status.to_string())))
}

fn read<P: Read + AsFd>(mut pipe: P, deadline: Instant) -> Result<Vec<u8>, &'static str> {
    let mut text = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        match poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Err("it takes too long"),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(_) => return Err("its output cannot be waited for"),
        }
        match pipe.read(&mut buffer) {
            Ok(0) => return Ok(text),
            Ok(count) if text.len() + count > LONGEST_OUTPUT => return Err("it prints too much"),
            Ok(count) => text.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return Err("its output cannot be read"),
        }
    }
}
