//! Where the programs under test and the tools of the tests are; fetches and builds what is missing.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Which of the two programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// Fail2ban 1.0.2, Debian's package, unpacked under `target/genuine`.
    Genuine,
    /// Portcullis, as built by cargo.
    Ours,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Genuine => "genuine",
            Self::Ours => "ours",
        })
    }
}

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Where the genuine package lies unpacked: `etc/fail2ban`, `usr/bin`, ...; its programs, ready to be run, are in `bin` beside
/// it. The reference is 1.0.2, unless `FAIL2BAN=1.1` asks for the newer one.
///
/// # Errors
/// Why it cannot be had here: it could not be fetched, or it is another version.
pub fn genuine_root() -> Result<PathBuf, String> {
    static FETCHED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FETCHED
        .get_or_init(|| {
            let (part, reference) = match std::env::var("FAIL2BAN").as_deref() {
                Err(_) => ("genuine", "1.0.2"),
                Ok("1.1") => ("newer", "1.1.0"),
                Ok(other) => return Err(format!("FAIL2BAN={other}: there is only 1.1")),
            };
            fetch(part)?;
            let stamp = workspace().join("target").join(part).join("stamp");
            let version =
                std::fs::read_to_string(&stamp).map_err(|error| format!("{}: {error}", stamp.display()))?;
            match version.trim() {
                version if version == reference => Ok(stamp.with_file_name("root")),
                other => Err(format!(
                    "the reference is Fail2ban {reference}, this machine's packages have {other}"
                )),
            }
        })
        .clone()
}

/// Our binary: `PORTCULLIS_BIN`, or what cargo puts beside the running test (built now, if need be).
pub(crate) fn our_binary() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            if let Some(path) = std::env::var_os("PORTCULLIS_BIN") {
                return PathBuf::from(path);
            }
            // target/PROFILE/deps/TEST, target/PROFILE/examples/BENCH, or target/PROFILE/TOOL
            let exe = std::env::current_exe().unwrap();
            let dir = exe.parent().unwrap();
            let nested = dir.ends_with("deps") || dir.ends_with("examples");
            let dir = if nested { dir.parent().unwrap() } else { dir };
            let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            build.args(["build", "--quiet", "--package", "portcullis"]).current_dir(workspace());
            if dir.ends_with("release") {
                build.arg("--release");
            }
            assert!(build.status().unwrap().success(), "cargo build -p portcullis failed");
            dir.join("portcullis")
        })
        .clone()
}

/// Makes sure that the tools of the tests (dropbear, rsyslogd, iptables, ...) are there.
///
/// # Errors
/// Why they are not.
pub fn require_tools() -> Result<(), String> {
    static FETCHED: OnceLock<Result<(), String>> = OnceLock::new();
    FETCHED.get_or_init(|| fetch("tools")).clone()
}

fn fetch(part: &str) -> Result<(), String> {
    let output = Command::new(workspace().join("compliance/fetch"))
        .arg(part)
        .output()
        .map_err(|error| format!("compliance/fetch: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(text.lines().last().unwrap_or("compliance/fetch failed").to_owned())
}

/// The environment of the tools: `PATH` and what the unpacked ones need to find their libraries.
pub(crate) fn tool_environment() -> &'static HashMap<String, String> {
    static ENVIRONMENT: OnceLock<HashMap<String, String>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let file = workspace().join("target/tools/env");
        let output = Command::new("sh").arg("-c").arg(". \"$0\"; env").arg(file).output().unwrap();
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| line.split_once('='))
            .filter(|(name, _)| {
                ["PATH", "LD_LIBRARY_PATH", "XTABLES_LIBDIR", "RSYSLOG_MODDIR"].contains(name)
            })
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    })
}

/// `PATH` with the tools behind those of the machine.
pub fn tool_path() -> &'static str {
    tool_environment().get("PATH").map_or("/usr/sbin:/usr/bin:/sbin:/bin", String::as_str)
}

/// A command whose environment has the tools.
pub fn tool(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("env");
    // Through env(1), since the child's PATH is not the one in which we are looked up.
    command.arg("--").arg(name).envs(tool_environment());
    command
}

/// Fills the directory `into` with links to everything on the tools' `PATH` but the programs whose name begins with one of
/// `without`: a `PATH` on which, say, iptables is not installed.
pub fn farm(into: &Path, without: &[&str]) {
    std::fs::create_dir_all(into).unwrap();
    for dir in std::env::split_paths(tool_path()) {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if without.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                continue;
            }
            // The first on PATH wins, as it does in a shell.
            let _ = std::os::unix::fs::symlink(entry.path(), into.join(name));
        }
    }
}
