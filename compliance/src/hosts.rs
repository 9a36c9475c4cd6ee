//! Two hosts in network namespaces, a server and an attacker: `compliance/hosts` makes them and says what they are like.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, Command, Stdio};

use crate::program::{require_tools, tool_environment, workspace};
use crate::skip::skip;

/// The server's address.
pub const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// The attacker's address.
pub const ATTACKER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 66));
/// Another address of the attacker's host, of somebody who does no harm.
pub const FRIEND: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

/// The two hosts. Dropped, they are gone, and so they are if this process dies in any other way.
pub struct Hosts {
    /// Guarded: has a `/dev/log` and a `/run` of its own.
    pub server: Host,
    /// Has the addresses [`ATTACKER`] and [`FRIEND`].
    pub attacker: Host,
    // Its standard input is the pipe that keeps the namespaces alive.
    holder: Child,
}

/// A host: where commands can be run.
#[derive(Clone, Debug)]
pub struct Host {
    pid: u32,
    own_mounts: bool,
    own_users: bool,
}

impl Hosts {
    /// Makes the two hosts.
    ///
    /// # Errors
    /// Which right or tool is missing.
    pub fn new() -> Result<Self, String> {
        require_tools()?;
        let mut holder = Command::new(workspace().join("compliance/hosts"))
            .envs(tool_environment())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("compliance/hosts: {error}"))?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap())
            .read_line(&mut line)
            .map_err(|error| error.to_string())?;
        let pids: Vec<u32> = line.split(' ').skip(1).filter_map(|word| word.trim().parse().ok()).collect();
        let own_users = line.trim_end().ends_with(" user");
        let [server, attacker] = pids[..] else {
            let mut text = String::new();
            let _ = holder.stderr.take().unwrap().read_to_string(&mut text);
            let _ = holder.wait();
            return Err(text.lines().last().unwrap_or("compliance/hosts failed").to_owned());
        };
        Ok(Self {
            server: Host { pid: server, own_mounts: true, own_users },
            attacker: Host { pid: attacker, own_mounts: false, own_users },
            holder,
        })
    }

    /// The same, or the calling test is skipped.
    pub fn or_skip() -> Option<Self> {
        Self::new().inspect_err(|reason| skip(reason)).ok()
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

impl Host {
    /// A command that runs on this host, with the tools on its `PATH`; it dies with the thread that spawns it. Its process
    /// id is the spawned child's.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.pid)).arg("--net").arg("--wd=/");
        if self.own_mounts {
            command.arg("--mount");
        }
        if self.own_users {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.args(["--", "setpriv", "--pdeathsig", "KILL", "--"]).arg(program).envs(tool_environment());
        command
    }

    /// Runs a command of the shell on this host and returns its standard output.
    ///
    /// # Panics
    /// If it cannot be run or fails.
    pub fn sh(&self, script: &str) -> String {
        let output = self.command("sh").arg("-c").arg(script).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{script}: {}\n{text}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }
}
