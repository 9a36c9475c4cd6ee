//! The story's scene: a real rsyslog and a real dropbear on the server, and logins with wrong passwords from the attacker.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::program::tool_environment;
use crate::{Hosts, SERVER, wait_for};

/// Two hosts; on the server listen rsyslog (at `/dev/log`) and dropbear (at port 22). Dropped, they end.
pub struct Gate {
    /// The hosts.
    pub hosts: Hosts,
    dir: TempDir,
    services: Vec<Child>,
}

/// How an attempt to log in went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The server answered `Permission denied`: the password was looked at.
    Denied,
    /// `Connection refused`: the gate is closed.
    Refused,
    /// Something else, in ssh's words.
    Other(String),
}

impl Gate {
    /// Makes the hosts and starts the services.
    ///
    /// # Errors
    /// Which right or tool is missing.
    ///
    /// # Panics
    /// If a service does not start.
    pub fn new() -> Result<Self, String> {
        let hosts = Hosts::new()?;
        let dir = tempfile::Builder::new().prefix("gate-").tempdir().map_err(|error| error.to_string())?;
        let mut gate = Self { hosts, dir, services: Vec::new() };
        gate.start_rsyslog();
        gate.start_dropbear();
        Ok(gate)
    }

    /// The log to which rsyslog writes what comes from `auth` and `authpriv`, in its traditional format.
    pub fn auth_log(&self) -> PathBuf {
        self.dir.path().join("auth.log")
    }

    fn start_rsyslog(&mut self) {
        let config = self.dir.path().join("rsyslog.conf");
        let text = format!(
            "module(load=\"imuxsock\")\n\
             $ActionFileDefaultTemplate RSYSLOG_TraditionalFileFormat\n\
             auth,authpriv.* {}\n",
            self.auth_log().display()
        );
        std::fs::write(&config, text).unwrap();
        std::fs::write(self.auth_log(), "").unwrap();
        let mut command = self.hosts.server.command("rsyslogd");
        command.arg("-n").arg("-f").arg(config).arg("-i").arg(self.dir.path().join("rsyslog.pid"));
        if let Some(modules) = tool_environment().get("RSYSLOG_MODDIR") {
            command.arg("-M").arg(modules);
        }
        self.service(command);
        self.eventually("rsyslog makes no /dev/log", |gate| {
            let test = gate.hosts.server.command("test").args(["-S", "/dev/log"]).status();
            test.is_ok_and(|status| status.success())
        });
    }

    fn start_dropbear(&mut self) {
        let key = self.dir.path().join("hostkey");
        let made = self
            .hosts
            .server
            .command("dropbearkey")
            .args(["-t", "ed25519", "-f"])
            .arg(&key)
            .output()
            .unwrap();
        assert!(made.status.success(), "dropbearkey: {}", String::from_utf8_lossy(&made.stderr));
        let mut command = self.hosts.server.command("dropbear");
        command
            .arg("-F")
            .arg("-r")
            .arg(key)
            .arg("-P")
            .arg(self.dir.path().join("dropbear.pid"))
            .args(["-p", "22"]);
        self.service(command);
        self.eventually("dropbear does not listen", |gate| {
            gate.hosts.server.sh("ss -Hltn 'sport = :22' || true").contains(":22")
        });
    }

    fn service(&mut self, mut command: Command) {
        let log =
            std::fs::File::create(self.dir.path().join(format!("service{}", self.services.len()))).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.services.push(command.spawn().unwrap());
    }

    fn eventually(&self, otherwise: &str, question: impl Fn(&Self) -> bool) {
        let came = wait_for(Duration::from_secs(20), || question(self).then_some(()));
        let said = |number| read(&self.dir.path().join(format!("service{number}")));
        assert!(came.is_some(), "{otherwise}\n{}{}", said(0), said(1));
    }

    /// Waits until the kernel's rules name [`ATTACKER`](crate::ATTACKER): both programs log a ban before they carry it out.
    ///
    /// # Panics
    /// If they do not within half a minute.
    pub fn wait_closed(&self) {
        let attacker = crate::ATTACKER.to_string();
        let rules = || self.hosts.server.sh("nft list ruleset; iptables -S");
        let closed = wait_for(Duration::from_secs(30), || rules().contains(&attacker).then_some(()));
        assert!(closed.is_some(), "no rule names {attacker}:\n{}", rules());
    }

    /// Tries to log in as root with a wrong password, by ssh from one of the attacker's addresses.
    pub fn attempt(&self, from: IpAddr, password: &str) -> Attempt {
        let output = self
            .hosts
            .attacker
            // A gate that closes while the connection is open leaves ssh waiting.
            .command("timeout")
            .args(["20", "sshpass", "-p", password, "ssh", "-F", "/dev/null", "-b", &from.to_string()])
            .args(["-o", "PreferredAuthentications=password", "-o", "NumberOfPasswordPrompts=1"])
            .args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"])
            .args(["-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10"])
            .args([&format!("root@{SERVER}"), "true"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("Permission denied") {
            Attempt::Denied
        } else if said.contains("Connection refused") {
            Attempt::Refused
        } else {
            Attempt::Other(format!("{} {}", output.status, said.trim()))
        }
    }

    /// Whether somebody at this address of the attacker's host gets an answer from dropbear.
    pub fn lets_in(&self, from: IpAddr) -> bool {
        // No password is tried, so that nothing is counted.
        let output = self
            .hosts
            .attacker
            .command("timeout")
            .args(["20", "ssh", "-F", "/dev/null", "-b", &from.to_string()])
            .args(["-o", "PreferredAuthentications=none"])
            .args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"])
            .args(["-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10", "-o", "BatchMode=yes"])
            .args([&format!("root@{SERVER}"), "true"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stderr).contains("Permission denied")
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        for service in &mut self.services {
            let _ = service.kill();
            let _ = service.wait();
        }
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}
