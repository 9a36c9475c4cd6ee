//! A server under guard, somebody who listens there, and an attacker with many addresses.

use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_compliance::{Host, Hosts, Peer, Who};

use crate::roles::{STRIKERS, striker};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Firewall {
    Iptables,
    Ipset,
    Nftables,
}

impl Firewall {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Firewall::Iptables => "iptables",
            Firewall::Ipset => "ipset",
            Firewall::Nftables => "nftables",
        }
    }

    fn banaction(self) -> &'static str {
        match self {
            Firewall::Iptables => "iptables-multiport",
            Firewall::Ipset => "iptables-ipset-proto6",
            Firewall::Nftables => "nftables-multiport",
        }
    }
}

pub(crate) struct Scene {
    pub(crate) peer: Peer,
    hosts: Hosts,
    firewall: Firewall,
    listener: Option<Child>,
}

impl Scene {
    /// Nothing is running yet. Jail `J` watches `auth.log`, `K` `other.log`; one failure is enough.
    pub(crate) fn new(who: Who, firewall: Firewall, more_actions: &str) -> Self {
        let hosts = Hosts::new().unwrap_or_else(|reason| panic!("{reason}"));
        let mut peer = Peer::new(who).expect("the genuine Fail2ban cannot be had here");
        peer.on(&hosts.server);
        peer.write("auth.log", "");
        peer.write("other.log", "");
        let jail = |name, log| {
            format!("[{name}]\nenabled = true\nlogpath = @DIR@/{log}\naction = %(action_)s{more_actions}\n")
        };
        peer.write(
            "conf/jail.local",
            &format!(
                "[DEFAULT]\nbanaction = {}\nbackend = auto\nfilter = dropbear\nport = 22\nmaxretry = 1\n\
                 bantime = 1d\nignoreself = false\n{}{}",
                firewall.banaction(),
                jail("J", "auth.log"),
                jail("K", "other.log")
            ),
        );
        Scene { peer, hosts, firewall, listener: None }
    }

    /// Opens the port that is attacked, and gives the attacker its addresses.
    pub(crate) fn listen(&mut self) {
        let add: String = STRIKERS.map(|n| format!("ip addr add 192.0.2.{n}/24 dev gate\n")).collect();
        self.hosts.attacker.sh(&add);
        self.listener = Some(role(&self.hosts.server, &["listen"]).spawn().unwrap());
    }

    /// Puts so many bans into the database, by a server of ours without a firewall.
    pub(crate) fn fill(&self, count: usize) {
        let mut scribe = Peer::new(Who::Ours).unwrap();
        scribe.write("auth.log", "");
        scribe.write(
            "conf/jail.local",
            "[J]\nenabled = true\nfilter = dropbear\nlogpath = @DIR@/auth.log\naction =\nbantime = 1d\n",
        );
        scribe.start();
        let all: Vec<String> = (0..count).map(|n| offender(n).to_string()).collect();
        for part in all.chunks(5000) {
            let mut arguments = vec!["set", "J", "banip"];
            arguments.extend(part.iter().map(String::as_str));
            let said = scribe.client(&arguments);
            assert_eq!(said.stdout.trim(), part.len().to_string(), "{said}");
        }
        scribe.stop();
        assert!(!scribe.path("f2b.sqlite3-wal").exists(), "the database was not closed");
        std::fs::copy(scribe.path("f2b.sqlite3"), self.peer.path("f2b.sqlite3")).unwrap();
    }

    /// One `banip` for all.
    pub(crate) fn ban(&self, offenders: &[Ipv4Addr]) {
        let offenders: Vec<String> = offenders.iter().map(ToString::to_string).collect();
        let mut arguments = vec!["set", "J", "banip"];
        arguments.extend(offenders.iter().map(String::as_str));
        let said = self.peer.client(&arguments);
        assert_eq!(said.stdout.trim(), offenders.len().to_string(), "{said}");
    }

    /// Watches the kernel until it has so many bans; it is being watched when this returns.
    pub(crate) fn watch(&self, count: usize) -> Watcher {
        self.watch_with(count, 0)
    }

    /// The same, with so many bans of others besides.
    pub(crate) fn watch_with(&self, count: usize, others: usize) -> Watcher {
        let numbers = [count.to_string(), others.to_string()];
        Watcher::spawn(role(&self.hosts.server, &["until", self.firewall.name(), &numbers[0], &numbers[1]]))
    }

    /// From the write of a failure to jail `J`'s log until a connection is refused.
    pub(crate) fn strike(&self, number: usize) -> Duration {
        // Neither side may profit from a rhythm.
        sleep(Duration::from_millis(20 + 17 * (number as u64 * 7 % 11)));
        self.strike_at("auth.log", number)
    }

    /// The same at another log.
    pub(crate) fn strike_at(&self, log: &str, number: usize) -> Duration {
        let log = self.peer.path(log);
        let strike = ["strike", log.to_str().unwrap(), &striker(number).to_string(), "50", ""];
        let output = role(&self.hosts.attacker, &strike).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let micros = said.trim().parse().unwrap_or_else(|_| {
            let tail: String = self.peer.log().lines().rev().take(20).collect::<Vec<_>>().join("\n");
            panic!("{}: {said}{}\n{tail}", self.peer.who(), String::from_utf8_lossy(&output.stderr))
        });
        Duration::from_micros(micros)
    }

    /// Strikes at jail `J` as soon as the server's log has this text, which it is being watched for when this returns.
    pub(crate) fn strike_after(&self, text: &str) -> Watcher {
        let (log, said) = (self.peer.path("auth.log"), self.peer.path("fail2ban.log"));
        let after = format!("{}:{text}", said.display());
        let strike = ["strike", log.to_str().unwrap(), &striker(0).to_string(), "50", &after];
        Watcher::spawn(role(&self.hosts.attacker, &strike))
    }

    /// Resident memory of the server, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.peer.pid().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(mut listener) = self.listener.take() {
            let _ = listener.kill();
            let _ = listener.wait();
        }
        // A server in good order would take its time to lift all bans; with the hosts they are gone anyway.
        if self.peer.pid().is_some() {
            self.peer.signal(portcullis_compliance::Signal::KILL);
            self.peer.ended();
        }
    }
}

/// Waits for the kernel.
pub(crate) struct Watcher {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Watcher {
    /// Begins to watch before it returns.
    fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut String::new()).unwrap();
        Watcher { child, said }
    }

    /// The number that it tells in the end.
    fn told(&mut self) -> u64 {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        self.child.wait().unwrap();
        line.trim().parse().unwrap_or_else(|_| panic!("what was waited for never came"))
    }

    /// How long the strike took.
    pub(crate) fn struck(mut self) -> Duration {
        Duration::from_micros(self.told())
    }

    /// How long it took, since `began`.
    pub(crate) fn since(mut self, began: SystemTime) -> Duration {
        let nanos = self.told();
        (UNIX_EPOCH + Duration::from_nanos(nanos)).duration_since(began).unwrap_or_default()
    }
}

/// This program in another role, on one of the hosts.
fn role(host: &Host, arguments: &[&str]) -> Command {
    let mut command = host.command(std::env::current_exe().unwrap());
    command.args(arguments);
    command
}

/// One of many.
pub(crate) fn offender(number: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(10, 0, 0, 1)) + number as u32)
}
