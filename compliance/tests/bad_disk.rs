//! A full disk and a locked database: bans go on, and are written when that is possible again. Fail2ban loses them.

// Helpers of tests are outside `#[test]` functions, where clippy looks for what tests may do.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "guarded/mod.rs"]
mod guarded;

use std::time::Duration;

use portcullis_compliance::{Peer, wait_for};

use guarded::{guarded, status, wait_status};

/// Bans two, one of them while `trouble` lasts (which answers what ends it), and looks whom a new server knows.
fn remembered(peer: &mut Peer, trouble: impl FnOnce(&Peer) -> Box<dyn FnOnce()>) {
    peer.start();
    peer.client(&["set", "gate", "banip", "192.0.2.66"]);
    wait_status(peer, "1 enforced");
    // A ban is written within a moment.
    std::thread::sleep(Duration::from_millis(500));
    let relieve = trouble(peer);
    peer.client(&["set", "gate", "banip", "192.0.2.67"]);
    wait_status(peer, "2 enforced");
    relieve();
    // It is tried again after twice as long each time, up to half a minute.
    let written = wait_for(Duration::from_secs(90), || {
        let out = peer.run("portcullis", &["status", "--json", "-c", "@DIR@/conf", "-s", "@DIR@/f2b.sock"]);
        let json: serde_json::Value = serde_json::from_str(&out.stdout).ok()?;
        let database = &json["database"];
        (database["waiting"] == 0 && database["problem"].is_null()).then_some(())
    });
    assert!(written.is_some(), "{}\n{}", status(peer), peer.log());
    peer.stop();
    peer.write("fail2ban.log", "");
    peer.start();
    for ip in ["192.0.2.66", "192.0.2.67"] {
        peer.wait_log(&format!("Restore Ban {ip}"));
    }
    peer.stop();
}

#[test]
fn bans_go_on_while_the_disk_is_full_and_are_written_later() {
    let Some((hosts, mut peer)) = guarded("nftables-multiport") else { return };
    let disk = peer.path("disk").to_str().unwrap().to_owned();
    std::fs::create_dir(&disk).unwrap();
    hosts.server.sh(&format!("mount -t tmpfs -o size=1m,mode=755 tmpfs {disk}"));
    peer.write(
        "conf/fail2ban.local",
        "[Definition]\nsocket = @DIR@/f2b.sock\npidfile = @DIR@/f2b.pid\ndbfile = @DIR@/disk/db\nlogtarget = @DIR@/fail2ban.log\n",
    );
    remembered(&mut peer, |peer| {
        hosts.server.sh(&format!("cat /dev/zero > {disk}/fill 2>/dev/null || true"));
        // More than the file has room for.
        let many: Vec<String> = (0..2000).map(|n| format!("10.0.{}.{}", n / 200, n % 200)).collect();
        let mut unban = vec!["set", "gate", "unbanip"];
        unban.extend(many.iter().map(String::as_str));
        let mut ban = unban.clone();
        ban[2] = "banip";
        peer.client(&ban);
        peer.wait_log("disk is full");
        peer.client(&unban);
        let (server, disk) = (hosts.server.clone(), disk.clone());
        Box::new(move || drop(server.sh(&format!("rm {disk}/fill"))))
    });
}

#[test]
fn bans_go_on_while_the_database_is_locked_and_are_written_later() {
    let Some((_hosts, mut peer)) = guarded("nftables-multiport") else { return };
    remembered(&mut peer, |peer| {
        let script = "import sqlite3, sys\n\
            db = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
            db.execute('BEGIN EXCLUSIVE')\n\
            print('locked', flush=True)\n\
            sys.stdin.read()\n";
        let mut holder = std::process::Command::new("python3")
            .args(["-c", script, peer.path("f2b.sqlite3").to_str().unwrap()])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut output = std::io::BufReader::new(holder.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut said).unwrap();
        assert_eq!(said, "locked\n");
        Box::new(move || {
            // Longer than Fail2ban waits for a lock.
            std::thread::sleep(Duration::from_secs(6));
            drop(holder.stdin.take());
            holder.wait().unwrap();
        })
    });
}
