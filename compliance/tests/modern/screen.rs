//! `portcullis top` in a real terminal, tmux: what it shows, what its keys do, and that the terminal is whole afterwards.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use portcullis_compliance::{Hosts, Peer, Signal, wait_for, wrong_password};

use crate::{PATIENCE, guarded, kernel, ours};

/// A terminal of its own server, which ends with it.
struct Terminal {
    server: Child,
    socket: PathBuf,
    command: Box<dyn Fn() -> Command>,
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        // The next one shall not take the dead one's for its own.
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Terminal {
    /// A terminal of this size on the server's host, in which this line of the shell runs.
    fn new(hosts: &Hosts, peer: &Peer, width: u16, height: u16, line: &str) -> Self {
        let host = hosts.server.clone();
        let socket = peer.path("tmux");
        let place = socket.clone();
        let command = move || {
            let mut command = host.command("tmux");
            command
                .env("LC_ALL", "C.UTF-8")
                .env("TERM", "xterm-256color")
                .env_remove("TMUX")
                .arg("-u")
                .arg("-S")
                .arg(&place);
            command
        };
        let server = command()
            .args(["-f", "/dev/null", "-D"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let terminal = Terminal { server, socket, command: Box::new(command) };
        assert!(wait_for(PATIENCE, || terminal.socket.exists().then_some(())).is_some(), "no tmux");
        let (width, height) = (width.to_string(), height.to_string());
        let made = wait_for(PATIENCE, || {
            let line = format!("{line}; echo \"exit $?\"; stty -a | grep -o -- '-*icanon'; exec sleep 1000");
            terminal.tmux(&["new-session", "-d", "-x", &width, "-y", &height, &line]).then_some(())
        });
        assert!(made.is_some(), "tmux has no session");
        terminal
    }

    /// Without a server it fails: a terminal of somebody else's server would not end with this one.
    fn tmux(&self, words: &[&str]) -> bool {
        (self.command)().arg("-N").args(words).output().unwrap().status.success()
    }

    fn keys(&self, keys: &[&str]) {
        assert!(self.tmux(&[&["send-keys"], keys].concat()));
    }

    fn screen(&self) -> String {
        let output = (self.command)().args(["capture-pane", "-p"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until the screen is so.
    fn wait(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let came = wait_for(PATIENCE, || {
            std::thread::sleep(Duration::from_millis(50));
            Some(self.screen()).filter(|screen| is(screen))
        });
        came.unwrap_or_else(|| panic!("the screen is not {what}:\n{}", self.screen()))
    }

    fn wait_text(&self, text: &str) -> String {
        self.wait(text, |screen| screen.contains(text))
    }
}

fn line(peer: &Peer) -> String {
    let path = |file: &str| peer.path(file).display().to_string();
    format!("{} top -i 0.3 -c {} -s {}", path("bin/portcullis"), path("conf"), path("f2b.sock"))
}

#[test]
fn the_live_screen_shows_lifts_and_explains_bans_and_survives_a_restart_of_the_server() {
    let Some((hosts, mut peer)) = guarded("iptables-multiport") else { return };
    peer.start();
    let bad = wrong_password("192.0.2.66");
    peer.append("auth.log", &bad.repeat(5));
    peer.wait_log("Ban 192.0.2.66");
    ours(&peer, &["ban", "198.51.100.0/24", "--why", "ticket 4711"]);
    let terminal = Terminal::new(&hosts, &peer, 120, 36, &line(&peer));
    let screen = terminal.wait_text("ticket 4711");
    for text in
        ["gate", "all is well", "192.0.2.66", "5 failures", "Worst networks", "192.0.2.0/24", "enforced"]
    {
        assert!(screen.contains(text), "no {text}:\n{screen}");
    }
    // New bans come by themselves.
    ours(&peer, &["ban", "192.0.2.99"]);
    terminal.wait_text("192.0.2.99");
    // The lines that led to a ban.
    terminal.keys(&["G", "Enter"]);
    terminal.wait_text("Bad password attempt for 'root'");
    terminal.keys(&["Escape"]);
    terminal.wait("without the box", |screen| !screen.contains("Bad password"));
    // Lifted only after a yes.
    terminal.keys(&["u"]);
    terminal.wait_text("Lift the ban of 192.0.2.66 in gate?");
    terminal.keys(&["n"]);
    terminal.wait("without the question", |screen| !screen.contains("Lift the ban"));
    assert!(ours(&peer, &["banned", "192.0.2.66"]).status == 0, "nobody said yes");
    terminal.keys(&["u", "y"]);
    terminal.wait_text("is lifted");
    let gone = wait_for(PATIENCE, || (!kernel(&hosts).contains("192.0.2.66")).then_some(()));
    assert!(gone.is_some(), "still in the kernel");
    terminal.keys(&["?"]);
    terminal.wait_text("choose a ban");
    terminal.keys(&["q"]);
    terminal.wait("without help", |screen| !screen.contains("choose a ban (also"));
    // A narrow terminal, and back.
    assert!(terminal.tmux(&["resize-window", "-x", "40", "-y", "12"]));
    terminal.wait("narrow", |screen| screen.contains("198.51.100.0/24") && !screen.contains("Worst"));
    assert!(terminal.tmux(&["resize-window", "-x", "120", "-y", "36"]));
    terminal.wait_text("Worst networks");
    // The server dies, and comes back.
    peer.signal(Signal::KILL);
    peer.ended();
    terminal.wait_text("no answer, trying again");
    peer.start();
    terminal.wait_text("all is well");
    terminal.keys(&["q"]);
    // The terminal is as it was before: no box is left, and lines are edited by the kernel again.
    let left = terminal.wait_text("exit 0");
    assert!(!left.contains("Jails") && left.contains("icanon") && !left.contains("-icanon"), "{left}");
    peer.stop();
}

#[test]
fn a_terminated_screen_leaves_the_terminal_whole_and_one_whose_terminal_is_gone_ends() {
    let Some((hosts, mut peer)) = guarded("nftables-multiport") else { return };
    peer.start();
    let pid = peer.path("pid").display().to_string();
    let line = format!("sh -c 'echo $$ >{pid}; exec {}'", line(&peer));
    let shown = || {
        let terminal = Terminal::new(&hosts, &peer, 80, 24, &line);
        terminal.wait_text("all is well");
        (terminal, rustix::process::Pid::from_raw(peer.read("pid").trim().parse().unwrap()).unwrap())
    };
    let (terminal, pid) = shown();
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    let left = terminal.wait_text("exit 143");
    assert!(!left.contains("Jails") && !left.contains("-icanon"), "{left}");
    drop(terminal);

    let (terminal, pid) = shown();
    drop(terminal);
    let gone = wait_for(PATIENCE, || {
        let state =
            std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        // A zombie has ended as well.
        (state.is_empty() || state.contains(") Z ")).then_some(())
    });
    assert!(gone.is_some(), "it goes on without a terminal");
    peer.stop();
}
