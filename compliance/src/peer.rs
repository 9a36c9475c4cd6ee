//! A server of either kind in a private directory, and its client.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;
use rustix::process::{Pid, kill_process};
use tempfile::TempDir;

use crate::program::{Who, genuine_root, our_binary, require_tools, tool_environment, workspace};
use crate::{Host, Hosts, skip, wait_for};

pub use rustix::process::Signal;

/// How long a server may take to start or to stop. Only a broken one takes that long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs `test` with a peer of each kind, side by side, and returns what it made of the genuine one and of ours.
///
/// `None` if the genuine Fail2ban cannot be had on this machine: the test is skipped (see [`skip`]).
///
/// # Panics
/// If `test` does.
pub fn both<T: Send>(test: impl Fn(&mut Peer) -> T + Sync) -> Option<(T, T)> {
    let genuine = Peer::new(Who::Genuine)?;
    let ours = Peer::new(Who::Ours)?;
    let run = |mut peer: Peer| test(&mut peer);
    std::thread::scope(|scope| {
        let name = std::thread::current().name().unwrap_or("test").to_owned();
        let spawn = |peer: Peer| {
            std::thread::Builder::new()
                .name(format!("{name}, {}", peer.who))
                .spawn_scoped(scope, || run(peer))
                .unwrap()
        };
        let (genuine, ours) = (spawn(genuine), spawn(ours));
        // Ours is joined in any case: both messages are of interest if both panic.
        let (genuine, ours) = (genuine.join(), ours.join());
        Some((
            genuine.unwrap_or_else(|_| panic!("genuine panicked")),
            ours.unwrap_or_else(|_| panic!("ours panicked")),
        ))
    })
}

/// What a command left: its outputs and exit status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Exit status; a signal counts negative.
    pub status: i32,
    dir: PathBuf,
}

impl Output {
    /// The same with everything replaced that differs between two runs, see [`Peer::mask`].
    #[must_use]
    pub fn masked(&self) -> Self {
        Self { stdout: mask(&self.stdout, &self.dir), stderr: mask(&self.stderr, &self.dir), ..self.clone() }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stdout:\n{}\nstderr:\n{}\nexit status: {}\n", self.stdout, self.stderr, self.status)
    }
}

/// A Fail2ban, genuine or ours, in a temporary directory:
///
/// | path | what it is |
/// |---|---|
/// | `conf/` | Debian's `/etc/fail2ban`, without `jail.d/defaults-debian.conf` (no jail is enabled) |
/// | `conf/fail2ban.local` | puts socket, pid file, database and log into the directory |
/// | `f2b.sock`, `f2b.pid`, `f2b.sqlite3`, `fail2ban.log` | these |
/// | `bin/` | `fail2ban-server`, `fail2ban-client`, `fail2ban-regex`, with us `portcullis`; in `other/` the other program's |
///
/// Dropped, it ends its server and removes the directory.
pub struct Peer {
    who: Who,
    dir: TempDir,
    host: Option<Host>,
    environment: HashMap<String, String>,
    server: Option<Child>,
}

impl Peer {
    /// A peer in a new directory; nothing is running.
    ///
    /// `None` if there is no genuine Fail2ban to be had here (we run with its configuration too): the test is skipped.
    pub fn new(who: Who) -> Option<Self> {
        let root = match require_tools().and_then(|()| genuine_root()) {
            Ok(root) => root,
            Err(reason) => {
                skip(&reason);
                return None;
            }
        };
        let dir = tempfile::Builder::new().prefix("compliance-").tempdir().unwrap();
        let peer = Self { who, dir, host: None, environment: tool_environment().clone(), server: None };
        copy_tree(&root.join("etc/fail2ban"), &peer.path("conf"));
        std::fs::remove_file(peer.path("conf/jail.d/defaults-debian.conf")).unwrap();
        peer.write(
            "conf/fail2ban.local",
            "[Definition]\nsocket = @DIR@/f2b.sock\npidfile = @DIR@/f2b.pid\ndbfile = @DIR@/f2b.sqlite3\nlogtarget = @DIR@/fail2ban.log\n",
        );
        link_programs(&peer.path("bin"), who);
        link_programs(
            &peer.path("other"),
            match who {
                Who::Genuine => Who::Ours,
                Who::Ours => Who::Genuine,
            },
        );
        Some(peer)
    }

    /// Our server on a host of its own, not started.
    pub fn guarding() -> Option<(Hosts, Self)> {
        let hosts = Hosts::or_skip()?;
        let mut peer = Self::new(Who::Ours)?;
        peer.on(&hosts.server);
        Some((hosts, peer))
    }

    /// Puts the action `portcullis` beside those of Fail2ban.
    pub fn add_own_action(&self) {
        let own = workspace().join("catalogue/action.d/portcullis.conf");
        std::fs::copy(own, self.path("conf/action.d/portcullis.conf")).unwrap();
    }

    /// Which program this is.
    pub fn who(&self) -> Who {
        self.who
    }

    /// Makes everything from now on run on a host of its own network.
    pub fn on(&mut self, host: &Host) {
        self.host = Some(host.clone());
    }

    /// Sets a variable of the environment for everything from now on, `PATH` for instance.
    pub fn env(&mut self, name: &str, value: impl Into<String>) {
        self.environment.insert(name.to_owned(), value.into());
    }

    /// The absolute path of a file in the private directory.
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// Writes a file in the private directory. `@DIR@` in the text stands for that directory.
    pub fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text.replace("@DIR@", self.dir.path().to_str().unwrap())).unwrap();
    }

    /// Adds to a file in the private directory, as a service writes its log. `@DIR@` as in [`Peer::write`].
    pub fn append(&self, file: &str, text: &str) {
        let mut log = File::options().create(true).append(true).open(self.path(file)).unwrap();
        let text = text.replace("@DIR@", self.dir.path().to_str().unwrap());
        std::io::Write::write_all(&mut log, text.as_bytes()).unwrap();
    }

    /// The text of a file in the private directory; empty if there is none.
    pub fn read(&self, file: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path(file)).unwrap_or_default()).into_owned()
    }

    /// Runs one of the programs by its Fail2ban name to its end, with these arguments and no others. `@DIR@` as in [`Peer::write`].
    pub fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let output = self.command(program, arguments).stdin(Stdio::null()).output().unwrap();
        Output {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            status: status_number(output.status),
            dir: self.dir.path().to_owned(),
        }
    }

    /// Runs `fail2ban-client` with `-c`, `-s` and `-p` of this peer.
    pub fn client(&self, arguments: &[&str]) -> Output {
        self.run("fail2ban-client", &[&PLACES[..], arguments].concat())
    }

    /// Runs the other program's `fail2ban-client` against this peer: a genuine client drives our server, or ours a genuine one.
    pub fn other_client(&self, arguments: &[&str]) -> Output {
        self.run("../other/fail2ban-client", &[&PLACES[..], arguments].concat())
    }

    /// Runs `fail2ban-regex` with these arguments.
    pub fn regex(&self, arguments: &[&str]) -> Output {
        self.run("fail2ban-regex", arguments)
    }

    /// A command for one of the programs, to be run as the caller likes. It dies with the calling thread.
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let program = self.path("bin").join(program);
        let mut command = if let Some(host) = &self.host {
            host.command(program)
        } else {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", "--"]).arg(program).current_dir("/");
            command
        };
        let dir = self.dir.path().to_str().unwrap();
        command.args(arguments.iter().map(|argument| argument.replace("@DIR@", dir))).envs(&self.environment);
        command
    }

    /// Starts the server in the foreground and waits until it says that it is ready.
    ///
    /// # Panics
    /// If it ends instead, or takes longer than half a minute; with what it said.
    pub fn start(&mut self) {
        if let Some(output) = self.try_start(&[]) {
            panic!("{}: the server did not start\n{output}\nlog:\n{}", self.who, self.log());
        }
    }

    /// Starts the server in the foreground, with more options, and waits until it says that it is ready. Returns what it said
    /// if it ended instead.
    pub fn try_start(&mut self, options: &[&str]) -> Option<Output> {
        assert!(self.server.is_none(), "started already");
        let arguments = [&PLACES[..], options, &["-f", "start"]].concat();
        let stdout = File::create(self.path("stdout")).unwrap();
        let stderr = File::create(self.path("stderr")).unwrap();
        let mut child = self
            .command("fail2ban-server", &arguments)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap();
        let ended = wait_for(PATIENCE, || {
            if let Some(status) = child.try_wait().unwrap() {
                return Some(Some(status));
            }
            self.read("stdout").contains("Server ready").then_some(None)
        });
        match ended {
            Some(None) => {
                self.server = Some(child);
                None
            }
            Some(Some(status)) => Some(self.server_output(status_number(status))),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{}: no `Server ready`\n{}\nlog:\n{}", self.who, self.server_output(0), self.log());
            }
        }
    }

    /// The process id of the server in the foreground.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// Sends a signal to the server in the foreground.
    pub fn signal(&self, signal: Signal) {
        let pid = self.pid().and_then(|pid| Pid::from_raw(pid.cast_signed())).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Sends `SIGTERM`, waits for the end, and returns what the server had said.
    ///
    /// # Panics
    /// If it does not end within half a minute.
    pub fn stop(&mut self) -> Output {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Waits for the end of the server (after `client(&["stop"])`, say), and returns what it had said.
    ///
    /// # Panics
    /// If it does not end within half a minute.
    pub fn ended(&mut self) -> Output {
        let mut child = self.server.take().unwrap();
        let Some(status) = wait_for(PATIENCE, || child.try_wait().unwrap()) else {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{}: the server does not end\nlog:\n{}", self.who, self.log());
        };
        self.server_output(status_number(status))
    }

    fn server_output(&self, status: i32) -> Output {
        Output {
            stdout: self.read("stdout"),
            stderr: self.read("stderr"),
            status,
            dir: self.dir.path().to_owned(),
        }
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        self.read("fail2ban.log")
    }

    /// Waits until the server's log has a line that contains `text`, at most for half a minute.
    ///
    /// # Panics
    /// If it does not come; with the log.
    pub fn wait_log(&self, text: &str) {
        self.wait_log_times(text, 1);
    }

    /// The same for `times` lines.
    ///
    /// # Panics
    /// If they do not come; with the log.
    pub fn wait_log_times(&self, text: &str, times: usize) {
        let came = wait_for(PATIENCE, || {
            (self.log().lines().filter(|line| line.contains(text)).count() >= times).then_some(())
        });
        assert!(came.is_some(), "{}: not {times} times `{text}` in the log:\n{}", self.who, self.log());
    }

    /// The messages of the log which contain one of `texts`, as `logger LEVEL message` without time and process id, masked.
    pub fn messages(&self, texts: &[&str]) -> String {
        self.log()
            .lines()
            .filter(|line| texts.iter().any(|text| line.contains(text)))
            .map(|line| mask(line, self.dir.path()) + "\n")
            .collect()
    }

    /// Replaces what differs between two runs: this directory (`@DIR@`), dates and times (`TIME`), process ids in log lines
    /// (`[PID]`), addresses of objects (`ADDRESS`).
    pub fn mask(&self, text: &str) -> String {
        mask(text, self.dir.path())
    }
}

/// Where a peer's configuration, socket and pid file are.
const PLACES: [&str; 6] = ["-c", "@DIR@/conf", "-s", "@DIR@/f2b.sock", "-p", "@DIR@/f2b.pid"];

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(mut child) = self.server.take() {
            // Orderly, so that firewall rules of a server outside a namespace go too; then the hard way.
            self.server = None;
            if let Some(pid) = Pid::from_raw(child.id().cast_signed()) {
                let _ = kill_process(pid, Signal::TERM);
            }
            if wait_for(Duration::from_secs(10), || child.try_wait().ok().flatten()).is_none() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        // A server in the background is known by its pid file.
        let pid = self.read("f2b.pid").trim().parse().ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
            let gone = || rustix::process::test_kill_process(pid).is_err().then_some(());
            if wait_for(Duration::from_secs(10), gone).is_none() {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

/// Makes the programs of that kind callable by Fail2ban's names in a new directory.
fn link_programs(dir: &Path, who: Who) {
    std::fs::create_dir(dir).unwrap();
    for name in ["fail2ban-server", "fail2ban-client", "fail2ban-regex"] {
        let link = dir.join(name);
        match who {
            // The genuine programs find their modules beside themselves, so a link will not do.
            Who::Genuine => {
                let program = genuine_root().unwrap().with_file_name("bin").join(name);
                std::fs::write(&link, format!("#!/bin/sh\nexec {} \"$@\"\n", program.display())).unwrap();
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
                std::fs::set_permissions(&link, mode).unwrap();
            }
            Who::Ours => std::os::unix::fs::symlink(our_binary(), &link).unwrap(),
        }
    }
    if who == Who::Ours {
        std::os::unix::fs::symlink(our_binary(), dir.join("portcullis")).unwrap();
    }
}

fn status_number(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| -status.signal().unwrap_or(0))
}

fn mask(text: &str, dir: &Path) -> String {
    static MASKS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        [
            (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d([,.]\d+)?", "TIME"),
            (r"\[\d+\]: (CRITICAL|ERROR|WARNING|NOTICE|INFO|DEBUG)", "[PID]: $1"),
            (r"\b0x[0-9a-f]{6,16}\b", "ADDRESS"),
            (r"\b[0-9a-f]{12} -- ", "ADDRESS -- "),
        ]
        .into_iter()
        .map(|(pattern, with)| (Regex::new(pattern).unwrap(), with))
        .collect()
    });
    let mut text = text.replace(dir.to_str().unwrap(), "@DIR@");
    for (regex, with) in MASKS.iter() {
        text = regex.replace_all(&text, *with).into_owned();
    }
    text
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_leaves_nothing_that_differs_between_two_runs() {
        let text = "2026-11-22 18:06:24,123 fail2ban.utils          [4711]: ERROR   7f28786f21f0 -- exec: /t/x\n<f at 0x7f287a775e40>";
        assert_eq!(
            mask(text, Path::new("/t")),
            "TIME fail2ban.utils          [PID]: ERROR   ADDRESS -- exec: @DIR@/x\n<f at ADDRESS>"
        );
    }
}
