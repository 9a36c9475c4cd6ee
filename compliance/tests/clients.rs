//! Real clients that others wrote: they find us as they find Fail2ban.
//!
//! `offenders` looks at jails, bans, the properties of actions and the kernel's rules; `fail2ban-importer` bans from a list. Both run
//! as they are, with a `sudo` and a `systemctl` on their PATH that serve this one server.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use portcullis_compliance::{Comparison, Hosts, Peer, both, skip, tool_path, wait_for, workspace};

/// The packages; `None` where they cannot be had, and the test is skipped.
fn fetched() -> Option<()> {
    let output = Command::new(workspace().join("compliance/fetch")).arg("clients").output().unwrap();
    if !output.status.success() {
        skip(String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("compliance/fetch failed"));
        return None;
    }
    Some(())
}

/// Two jails with firewalls of two kinds, on a host of their own, with bans in force.
fn prepare(peer: &mut Peer, hosts: &Hosts) {
    peer.on(&hosts.server);
    peer.write("conf/filter.d/fails.conf", "[Definition]\nfailregex = ^\\s*fail from <HOST>$\n");
    peer.write(
        "conf/jail.d/clients.conf",
        "[DEFAULT]\nbackend = polling\nfilter = fails\nmaxretry = 2\n\
         [web]\nenabled = true\nport = http,https\nlogpath = @DIR@/web.log\nbanaction = nftables-multiport\n\
         [ssh]\nenabled = true\nport = ssh\nlogpath = @DIR@/web.log\nbanaction = iptables-multiport\n",
    );
    peer.write("web.log", "");
    peer.start();
    for (jail, addresses) in [("web", &["198.51.100.1", "2001:db8::1"][..]), ("ssh", &["198.51.100.7"])] {
        let banned = peer.client(&[&["set", jail, "banip"], addresses].concat());
        assert_eq!(banned.stdout.trim(), addresses.len().to_string(), "{banned}");
    }
    let stub = |name: &str, text: &str| {
        peer.write(&format!("path/{name}"), &format!("#!/bin/sh\n{text}\n"));
        std::fs::set_permissions(peer.path(&format!("path/{name}")), PermissionsExt::from_mode(0o755))
            .unwrap();
    };
    stub("sudo", "while case \"$1\" in -*) true ;; *) false ;; esac; do shift; done\nexec \"$@\"");
    stub(
        "systemctl",
        "case \"$*\" in *--value*) cat @DIR@/f2b.pid ;; *) echo MainPID=$(cat @DIR@/f2b.pid) ;; esac",
    );
    stub(
        "fail2ban-client",
        "echo \"$@\" >> @DIR@/asked\nexec @DIR@/bin/fail2ban-client -c @DIR@/conf -s @DIR@/f2b.sock -p @DIR@/f2b.pid \"$@\"",
    );
}

/// Runs Python on the host, with the packages.
fn python(peer: &Peer, hosts: &Hosts, arguments: &[&str]) -> Output {
    let dir = peer.path("");
    let path = format!("{}:{}", peer.path("path").display(), tool_path());
    hosts
        .server
        .command("env")
        .arg("-C")
        .arg(&dir)
        .arg("/usr/bin/python3")
        .args(arguments)
        .env("PATH", path)
        .env("PYTHONPATH", workspace().join("target/clients"))
        .env("HOME", &dir)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn said(peer: &Peer, output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr].concat();
    format!("{}{}", peer.mask(&String::from_utf8_lossy(&text)), output.status)
}

#[test]
fn offenders_sees_the_same_jails_bans_actions_and_rules() {
    if fetched().is_none() {
        return;
    }
    let run = |peer: &mut Peer| {
        let hosts = Hosts::new().unwrap_or_else(|reason| panic!("{reason}"));
        prepare(peer, &hosts);
        let dir = peer.path("exported");
        let export = python(
            peer,
            &hosts,
            &["-m", "offenders", "export", "--period", "24h", "--output-dir", dir.to_str().unwrap()],
        );
        assert!(export.status.success(), "{}", said(peer, &export));
        let bundle = std::fs::read_dir(&dir).unwrap().next().unwrap().unwrap().path();
        let table = |name: &str| std::fs::read_to_string(bundle.join(name)).unwrap();
        let status = table("jail-status.csv");
        // What it does behind a key: properties of each action, then the kernel's own lists.
        let program = "from offenders_enforcement import check_enforcement\nfor row in check_enforcement().rows: print(row)";
        let enforcement = python(peer, &hosts, &["-c", program]);
        let asked = peer.read("asked");
        peer.stop();
        [status, table("ban-events.csv"), table("top-offenders.csv"), said(peer, &enforcement), asked]
    };
    let Some((theirs, ours)) = both(run) else { return };
    let mut comparison = Comparison::new("offenders");
    for (what, (theirs, ours)) in
        ["jails", "events", "offenders", "enforcement", "what it asked"].iter().zip(theirs.iter().zip(&ours))
    {
        comparison.same(what, theirs, ours);
    }
    assert!(theirs[0].contains("198.51.100.1 2001:db8::1"), "{}", theirs[0]);
    assert!(theirs[3].contains("outcome='confirmed'"), "{}", theirs[3]);
    comparison.finish();
}

#[test]
fn fail2ban_importer_bans_what_its_list_says() {
    if fetched().is_none() {
        return;
    }
    let run = |peer: &mut Peer| {
        let hosts = Hosts::new().unwrap_or_else(|reason| panic!("{reason}"));
        prepare(peer, &hosts);
        peer.write(
            "www/list.json",
            r#"[{"jail": "sshd", "ip": "203.0.113.1"}, {"jail": "x", "ip": "2001:db8::77"}, {"jail": "x", "ip": "198.51.100.1"}]"#,
        );
        peer.write(
            "fail2ban-importer.json",
            r#"{"source": "http://127.0.0.1:8099/list.json", "fail2ban_client": "@DIR@/path/fail2ban-client", "fail2ban_jail": "web"}"#,
        );
        let mut http = hosts
            .server
            .command("/usr/bin/python3")
            .args(["-m", "http.server", "8099", "--bind", "127.0.0.1", "--directory"])
            .arg(peer.path("www"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let probe = "import socket; socket.create_connection(('127.0.0.1', 8099), 1)";
        let listens = || python(peer, &hosts, &["-c", probe]).status.success().then_some(());
        assert!(wait_for(Duration::from_secs(30), listens).is_some(), "no HTTP server");
        let imported = python(peer, &hosts, &["-m", "fail2ban_importer", "--oneshot"]);
        let _ = http.kill();
        let _ = http.wait();
        let banned = peer.client(&["get", "web", "banned"]).stdout;
        let asked = peer.read("asked");
        peer.stop();
        [said(peer, &imported), banned, asked]
    };
    let Some((theirs, ours)) = both(run) else { return };
    let mut comparison = Comparison::new("fail2ban-importer");
    for (what, (theirs, ours)) in ["output", "bans", "what it asked"].iter().zip(theirs.iter().zip(&ours)) {
        comparison.same(what, theirs, ours);
    }
    assert!(theirs[1].contains("203.0.113.1") && theirs[1].contains("2001:db8::77"), "{}", theirs[1]);
    comparison.finish();
}
