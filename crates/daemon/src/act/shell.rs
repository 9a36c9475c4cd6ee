//! Runs one script with `/bin/sh`, under a time limit, and reports how it went in Fail2ban's words.
//!
//! The child has a process group of its own, `/dev/null` as input, and this process' environment, directory and umask
//! (Fail2ban's commands run with umask 0077: the daemon sets that once at its start). What it writes is read while it runs,
//! and only so much of it is kept. Nothing is locked: any number of scripts may run at a time.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use portcullis_jail::action::Script;
use portcullis_jail::{Level, LogLine};
use portcullis_value::repr_str;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// How much of each of the two outputs is kept. The rest is read and counted.
const KEPT: usize = 64 * 1024;

/// How long the group has between SIGTERM and SIGKILL, and after that until we give it up.
const GRACE: Duration = Duration::from_millis(200);

/// How many background processes' outputs are read on after their scripts have ended. Those of further ones are closed.
const LINGERING: usize = 32;

/// Level 9: the commands themselves.
const COMMANDS: Level = Level(9);

/// How a script ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// With this exit status.
    Exited(i32),
    /// By this signal; also when the time was up.
    Killed(i32),
    /// It could not be killed and still runs.
    Unkillable,
    /// It could not be started; why.
    NotStarted(String),
}

/// What came of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// How it ended.
    pub status: Status,
    /// Whether its time was up.
    pub timed_out: bool,
    /// The beginning of what it wrote to its standard output.
    pub stdout: Vec<u8>,
    /// The beginning of what it wrote to its standard error.
    pub stderr: Vec<u8>,
    /// What the log is to say about it.
    pub lines: Vec<LogLine>,
}

impl Exit {
    /// Whether it ended by itself with status 0.
    pub fn success(&self) -> bool {
        self.status == Status::Exited(0)
    }

    /// One line for people: what went wrong.
    pub fn reason(&self) -> String {
        let how = match &self.status {
            _ if self.timed_out => "timed out".to_owned(),
            Status::Exited(code) => format!("exit status {code}"),
            Status::Killed(signal) => format!("killed with {}", signal_name(*signal)),
            Status::Unkillable => "cannot be killed".to_owned(),
            Status::NotStarted(why) => format!("cannot be started: {why}"),
        };
        let said = String::from_utf8_lossy(&self.stderr);
        match said.lines().rev().find(|line| !line.trim().is_empty()) {
            Some(last) => format!("{how}: {}", last.trim()),
            None => how,
        }
    }
}

/// Runs scripts. One for each thread that does.
#[derive(Debug)]
pub struct Shell {
    next: u64,
    /// Children that outlived SIGKILL; they are collected when they are gone.
    stuck: Vec<Child>,
    lingering: Arc<AtomicUsize>,
    environment: Vec<(OsString, OsString)>,
}

impl Default for Shell {
    fn default() -> Self {
        Self::new()
    }
}

impl Shell {
    /// A shell that has run nothing yet.
    pub fn new() -> Self {
        // Fail2ban shows an address in its memory; ours looks like one, and tells processes apart.
        let first = 0x7f00_0000_0000 | u64::from(std::process::id() & 0xf_ffff) << 16;
        Shell { next: first, stuck: Vec::new(), lingering: Arc::default(), environment: Vec::new() }
    }

    /// Sets a variable of the scripts' environment, besides those of this process.
    pub fn set_environment(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.environment.push((name.into(), value.into()));
    }

    /// Runs a script to its end, but not longer than `timeout` (then SIGTERM, 0.2 s, SIGKILL to its process group).
    pub fn run(&mut self, script: &Script, timeout: Duration) -> Exit {
        self.stuck.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        self.next += 0x10;
        let id = format!("{:x}", self.next);
        let mut child = match self.spawn(script) {
            Ok(child) => child,
            Err(error) => return not_started(script, &error),
        };
        let mut outputs = Outputs::of(&mut child);
        let (ended, timed_out) = wait(&mut child, &mut outputs, timeout);
        outputs.drain(&self.lingering);
        let pid = child.id();
        let status = match ended.map(|status| (status.code(), status.signal())) {
            Some((Some(code), _)) => Status::Exited(code),
            Some((None, signal)) => Status::Killed(signal.unwrap_or(0)),
            None => {
                self.stuck.push(child);
                Status::Unkillable
            }
        };
        let [out, err] = outputs.0;
        let mut exit = Exit { status, timed_out, stdout: out.kept, stderr: err.kept, lines: Vec::new() };
        exit.lines = lines(&id, script, &exit, [out.lost, err.lost], timeout, pid);
        exit
    }

    fn spawn(&self, script: &Script) -> io::Result<Child> {
        Command::new("/bin/sh")
            .arg("-c")
            .arg(&script.text)
            .args(script.arguments())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }
}

fn not_started(script: &Script, error: &io::Error) -> Exit {
    let text = format!("{} -- failed with {error}", script.shown());
    Exit {
        status: Status::NotStarted(error.to_string()),
        timed_out: false,
        stdout: Vec::new(),
        stderr: Vec::new(),
        lines: vec![LogLine::new(Level::ERROR, "utils", text)],
    }
}

/// Waits for the child while reading what it writes. `None` when it is still there after all; and whether time was up.
fn wait(child: &mut Child, outputs: &mut Outputs, timeout: Duration) -> (Option<ExitStatus>, bool) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pidfd = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let began = Instant::now();
    if let Some(status) = until(child, outputs, pidfd.as_ref(), began.checked_add(timeout)) {
        return (Some(status), false);
    }
    for signal in [Signal::TERM, Signal::KILL] {
        if let Some(pid) = pid {
            // The group may be gone already.
            let _ = kill_process_group(pid, signal);
        }
        let ended = until(child, outputs, pidfd.as_ref(), Instant::now().checked_add(GRACE));
        if ended.is_some() {
            return (ended, true);
        }
    }
    (None, true)
}

/// Reads and waits until the child has ended or `deadline` has come (`None` never comes).
fn until(
    child: &mut Child,
    outputs: &mut Outputs,
    pidfd: Option<&OwnedFd>,
    deadline: Option<Instant>,
) -> Option<ExitStatus> {
    // Kernels before 5.3 have no pidfd: there we look from time to time.
    let nap = if pidfd.is_some() { Duration::from_secs(3600) } else { Duration::from_millis(10) };
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        let left = deadline.map_or(nap, |deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return None;
        }
        outputs.wait(pidfd, left.min(nap));
    }
}

/// One of the child's two outputs.
struct Output<R> {
    pipe: Option<R>,
    kept: Vec<u8>,
    lost: u64,
}

impl<R: Read + AsFd> Output<R> {
    fn of(pipe: Option<R>) -> Self {
        if let Some(pipe) = &pipe {
            let _ = rustix::io::ioctl_fionbio(pipe, true);
        }
        Output { pipe, kept: Vec::new(), lost: 0 }
    }

    /// Reads once. Whether there may be more at this moment.
    fn read(&mut self) -> bool {
        let Some(pipe) = &mut self.pipe else { return false };
        let mut buffer = [0; 16 * 1024];
        match pipe.read(&mut buffer) {
            Ok(0) => {
                self.pipe = None;
                false
            }
            Ok(count) => {
                let room = KEPT.saturating_sub(self.kept.len()).min(count);
                self.kept.extend_from_slice(&buffer[..room]);
                self.lost += (count - room) as u64;
                true
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(_) => {
                self.pipe = None;
                false
            }
        }
    }
}

struct Outputs([Output<Pipe>; 2]);

/// Either end of a child's output.
type Pipe = std::fs::File;

impl Outputs {
    fn of(child: &mut Child) -> Self {
        let out = child.stdout.take().map(|pipe| Pipe::from(OwnedFd::from(pipe)));
        let err = child.stderr.take().map(|pipe| Pipe::from(OwnedFd::from(pipe)));
        Outputs([Output::of(out), Output::of(err)])
    }

    /// Waits until there is something to read, the child has ended, or `most` has passed; reads once from each.
    fn wait(&mut self, pidfd: Option<&OwnedFd>, most: Duration) {
        let readable = PollFlags::IN;
        let mut fds: Vec<PollFd<'_>> = self
            .0
            .iter()
            .filter_map(|output| output.pipe.as_ref())
            .map(|pipe| PollFd::new(pipe, readable))
            .chain(pidfd.map(|fd| PollFd::new(fd, readable)))
            .collect();
        let most = Timespec { tv_sec: most.as_secs() as i64, tv_nsec: i64::from(most.subsec_nanos()) };
        let ready = poll(&mut fds, Some(&most));
        drop(fds);
        if matches!(ready, Ok(count) if count > 0) {
            for output in &mut self.0 {
                output.read();
            }
        }
    }

    /// Reads what is left. Where a background process still holds a pipe, a thread reads on for it, so that it
    /// neither waits nor dies by writing.
    fn drain(&mut self, lingering: &Arc<AtomicUsize>) {
        for output in &mut self.0 {
            // The pipe holds 64 KiB at most when the child has ended; a background process may keep filling it.
            let mut rounds = 0;
            while rounds < 64 && output.read() {
                rounds += 1;
            }
            if let Some(pipe) = output.pipe.take() {
                linger(pipe, lingering);
            }
        }
    }
}

fn linger(mut pipe: Pipe, lingering: &Arc<AtomicUsize>) {
    if lingering.fetch_add(1, Ordering::Relaxed) >= LINGERING {
        lingering.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let _ = rustix::io::ioctl_fionbio(&pipe, false);
    let count = Arc::clone(lingering);
    let read_on = move || {
        let _ = io::copy(&mut pipe, &mut io::sink());
        count.fetch_sub(1, Ordering::Relaxed);
    };
    if std::thread::Builder::new().name("action output".into()).stack_size(64 * 1024).spawn(read_on).is_err()
    {
        lingering.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Fail2ban's lines about a script, in its order.
fn lines(
    id: &str,
    script: &Script,
    exit: &Exit,
    lost: [u64; 2],
    timeout: Duration,
    pid: u32,
) -> Vec<LogLine> {
    let success = exit.success();
    let level = if success { Level::DEBUG } else { Level::ERROR };
    let exec = if success && !exit.timed_out { COMMANDS } else { Level::ERROR };
    let mut lines = Vec::new();
    let mut say = |level, text: String| lines.push(LogLine::new(level, "utils", text));
    say(exec, format!("{id} -- exec: {}", script.shown()));
    if exit.timed_out {
        say(Level::ERROR, format!("{id} -- timed out after {} seconds.", seconds(timeout)));
    }
    for (name, said, lost) in [("stdout", &exit.stdout, lost[0]), ("stderr", &exit.stderr, lost[1])] {
        for line in said_lines(said) {
            say(level, format!("{id} -- {name}: {}", repr_str(&line)));
        }
        if lost > 0 {
            say(level, format!("{id} -- {name}: {lost} more bytes, not kept"));
        }
    }
    match exit.status {
        Status::Exited(0) => say(Level::DEBUG, format!("{id} -- returned successfully 0")),
        Status::Exited(code) if code > 128 => {
            say(
                Level::ERROR,
                format!("{id} -- killed with {} (return code: {code})", signal_name(code - 128)),
            );
        }
        Status::Exited(code) => say(Level::ERROR, format!("{id} -- returned {code}")),
        Status::Killed(signal) => {
            say(
                Level::ERROR,
                format!("{id} -- killed with {} (return code: -{signal})", signal_name(signal)),
            );
        }
        Status::Unkillable => say(Level::ERROR, format!("{id} -- unable to kill PID {pid}")),
        Status::NotStarted(_) => {}
    }
    if exit.status == Status::Exited(127) {
        say(Level::INFO, hint(script));
    }
    lines
}

/// Fail2ban's remedy when a command was not found.
fn hint(script: &Script) -> String {
    format!(
        "HINT on 127: \"Command not found\".  Make sure that all commands in {} are in the PATH of fail2ban-server \
         process (grep -a PATH= /proc/`pidof -x fail2ban-server`/environ). You may want to start \"fail2ban-server -f\" \
         separately, initiate it with \"fail2ban-client reload\" in another shell session and observe if additional \
         informative error messages appear in the terminals.",
        script.repr()
    )
}

/// What was written, in lines, as Python splits bytes: at LF, CR, and CR LF.
fn said_lines(said: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(said).replace("\r\n", "\n");
    let mut lines: Vec<_> = text.split(['\n', '\r']).map(str::to_owned).collect();
    // What follows the last line feed is no line, unless there is something.
    if lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

fn seconds(time: Duration) -> String {
    if time.subsec_nanos() == 0 { time.as_secs().to_string() } else { time.as_secs_f64().to_string() }
}

/// A signal's name as Fail2ban 1.0.2 writes it, including its `SIG_IGN` for 1.
fn signal_name(signal: i32) -> String {
    const NAMES: [&str; 31] = [
        "SIG_IGN",
        "SIGINT",
        "SIGQUIT",
        "SIGILL",
        "SIGTRAP",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGKILL",
        "SIGUSR1",
        "SIGSEGV",
        "SIGUSR2",
        "SIGPIPE",
        "SIGALRM",
        "SIGTERM",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGCONT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGXCPU",
        "SIGXFSZ",
        "SIGVTALRM",
        "SIGPROF",
        "SIGWINCH",
        "SIGPOLL",
        "SIGPWR",
        "SIGSYS",
    ];
    match signal {
        34 => "SIGRTMIN".into(),
        64 => "SIGRTMAX".into(),
        _ => match usize::try_from(signal - 1).ok().and_then(|index| NAMES.get(index)) {
            Some(name) => (*name).into(),
            None => format!("signal {signal}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn run(text: &str, timeout: Duration) -> Exit {
        Shell::new().run(&Script::plain(text), timeout)
    }

    /// The log without the identities in front.
    fn said(exit: &Exit) -> Vec<String> {
        let text = |line: &LogLine| {
            line.text.split_once(" -- ").map_or(line.text.clone(), |(_, text)| text.to_owned())
        };
        exit.lines.iter().map(text).collect()
    }

    #[test]
    fn a_failure_is_told_in_fail2bans_lines() {
        let exit = run("echo out1; printf 'a\\tb\\n\\n' >&2; exit 3", LONG);
        assert_eq!(
            said(&exit),
            [
                "exec: echo out1; printf 'a\\tb\\n\\n' >&2; exit 3",
                "stdout: 'out1'",
                "stderr: 'a\\tb'",
                "stderr: ''",
                "returned 3"
            ]
        );
        assert!(exit.lines.iter().all(|line| line.level == Level::ERROR && line.logger == "utils"));
        let (id, _) = exit.lines[0].text.split_once(' ').unwrap();
        assert!(u64::from_str_radix(id, 16).is_ok(), "{id}");
        assert_eq!(exit.reason(), "exit status 3: a\tb");
    }

    #[test]
    fn a_success_is_silent_above_debug() {
        let exit = run("echo fine", LONG);
        assert!(exit.success());
        assert_eq!(said(&exit), ["exec: echo fine", "stdout: 'fine'", "returned successfully 0"]);
        assert!(exit.lines.iter().all(|line| line.level <= Level::DEBUG));
    }

    #[test]
    fn a_command_not_found_brings_the_hint() {
        let exit = run("no-such-program-anywhere 'x'", LONG);
        let last = exit.lines.last().unwrap();
        assert_eq!(last.level, Level::INFO);
        assert!(last.text.starts_with("HINT on 127: \"Command not found\".  Make sure that all commands in \"no-such-program-anywhere 'x'\" are in the PATH"));
    }

    #[test]
    fn signals_have_their_names() {
        assert_eq!(said(&run("kill -9 $$", LONG)).last().unwrap(), "killed with SIGKILL (return code: -9)");
        assert_eq!(said(&run("exit 139", LONG)).last().unwrap(), "killed with SIGSEGV (return code: 139)");
        assert_eq!(said(&run("exit 193", LONG)).last().unwrap(), "killed with signal 65 (return code: 193)");
        assert_eq!(said(&run("exit 128", LONG)).last().unwrap(), "returned 128");
    }

    #[test]
    fn values_arrive_as_arguments_and_stand_in_the_log_as_a_list() {
        let script = Script {
            text: "f2bV_x=$0 \nprintf %s \"$f2bV_x\"; exit 1".into(),
            variables: vec![("f2bV_x".into(), "a'b".into())],
        };
        let exit = Shell::new().run(&script, LONG);
        assert_eq!(exit.stdout, b"a'b");
        assert_eq!(said(&exit)[0], "exec: ['f2bV_x=$0 \\nprintf %s \"$f2bV_x\"; exit 1', \"a'b\"]");
    }

    #[test]
    fn time_is_up_for_the_whole_group() {
        let began = Instant::now();
        let place = tempfile::tempdir().unwrap();
        let mark = place.path().join("mark");
        let exit = run(
            &format!("echo hi; (sleep 1; touch {}) & sleep 30", mark.display()),
            Duration::from_millis(300),
        );
        assert!(exit.timed_out && began.elapsed() < Duration::from_secs(1));
        let lines = said(&exit);
        assert_eq!(
            lines[1..],
            ["timed out after 0.3 seconds.", "stdout: 'hi'", "killed with SIGTERM (return code: -15)"]
        );
        std::thread::sleep(Duration::from_millis(1200));
        assert!(!mark.exists(), "a child of the script lives on");
    }

    #[test]
    fn who_ignores_sigterm_is_killed() {
        let began = Instant::now();
        let exit = run("trap '' TERM; while :; do sleep 0.1; done", Duration::from_millis(200));
        assert_eq!(exit.status, Status::Killed(9));
        assert!(began.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn a_gigabyte_of_output_neither_blocks_nor_stays_in_memory() {
        let exit = run("head -c 1000000000 /dev/zero; echo end >&2", Duration::from_secs(60));
        assert!(exit.success(), "{:?}", exit.status);
        assert_eq!(exit.stdout.len(), KEPT);
        assert_eq!(exit.stderr, b"end\n");
        assert!(said(&exit).contains(&format!("stdout: {} more bytes, not kept", 1_000_000_000 - KEPT)));
    }

    #[test]
    fn a_background_child_does_not_hang_us_and_may_go_on_writing() {
        let place = tempfile::tempdir().unwrap();
        let mark = place.path().join("mark");
        let began = Instant::now();
        let text = format!("(sleep 1; head -c 300000 /dev/zero; touch {}) & echo now", mark.display());
        let mut shell = Shell::new();
        let exit = shell.run(&Script::plain(text), LONG);
        assert!(exit.success() && began.elapsed() < Duration::from_millis(900), "{:?}", began.elapsed());
        assert_eq!(exit.stdout, b"now\n");
        for _ in 0..100 {
            if mark.exists() && shell.lingering.load(Ordering::Relaxed) == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the background child did not come to its end");
    }

    #[test]
    fn a_script_has_no_input() {
        assert_eq!(run("cat; echo end", LONG).stdout, b"end\n");
    }

    #[test]
    fn scripts_run_at_the_same_time() {
        let began = Instant::now();
        let threads: Vec<_> =
            (0..6).map(|_| std::thread::spawn(|| run("sleep 0.5", LONG).success())).collect();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
        assert!(began.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn what_cannot_be_started_is_a_failure_with_its_reason() {
        let script = Script { text: "true".into(), variables: vec![("x".into(), "y".repeat(4 << 20))] };
        let exit = Shell::new().run(&script, LONG);
        assert!(matches!(exit.status, Status::NotStarted(_)) && !exit.success());
        assert_eq!(exit.lines[0].level, Level::ERROR);
    }
}
