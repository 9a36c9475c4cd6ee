//! The server as a process: start, stop, signals, pid file, socket, log, a second start, what a killed one leaves.

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use portcullis_compliance::{Comparison, Peer, Signal, both, wait_for};

/// Writes one jail that watches an empty log and bans nobody.
fn one_jail(peer: &Peer) {
    peer.write("some.log", "");
    peer.write(
        "conf/jail.local",
        "[dropbear]\nenabled = true\nlogpath = @DIR@/some.log\nbackend = polling\nmaxretry = 5\nfindtime = 600\nbantime = 600\naction =\n",
    );
}

/// The log, masked, without what the genuine program logs of its database when it is new and of its threads.
fn log(peer: &Peer) -> String {
    peer.log().lines().map(|line| peer.mask(line) + "\n").collect()
}

fn mode(peer: &Peer, file: &str) -> String {
    std::fs::metadata(peer.path(file)).map_or_else(
        |_| format!("{file}: none\n"),
        |data| format!("{file}: {:o}\n", data.permissions().mode() & 0o777),
    )
}

/// Which of the server's files there are, and with which rights.
fn files(peer: &Peer) -> String {
    ["f2b.sock", "f2b.pid", "f2b.sqlite3", "fail2ban.log"].iter().map(|file| mode(peer, file)).collect()
}

#[test]
fn in_the_foreground_it_starts_and_ends_by_a_signal_as_fail2ban_does() {
    for signal in [Signal::TERM, Signal::INT] {
        let Some((genuine, ours)) = both(|peer| {
            one_jail(peer);
            peer.start();
            let pid_file = peer.read("f2b.pid") == format!("{}\n", peer.pid().unwrap());
            let running = files(peer);
            let ping = peer.client(&["ping"]);
            peer.wait_log("Jail 'dropbear' started");
            peer.signal(signal);
            let end = peer.ended();
            (pid_file, running, ping, end.masked(), files(peer), log(peer))
        }) else {
            return;
        };
        assert!(genuine.0 && ours.0, "the pid file holds the process id");
        let mut comparison = Comparison::new(format!("in the foreground, ended by {signal:?}"));
        comparison.same("files while it runs", &genuine.1, &ours.1);
        comparison.same_output("ping", &genuine.2, &ours.2);
        comparison.same_output("what the server said", &genuine.3, &ours.3);
        comparison.same("files afterwards", &genuine.4, &ours.4);
        comparison.same("log", &genuine.5, &ours.5);
        comparison.finish();
    }
}

#[test]
fn in_the_background_it_starts_and_stops_as_fail2ban_does() {
    let Some((genuine, ours)) = both(|peer| {
        one_jail(peer);
        let start = peer.client(&["start"]);
        let running = files(peer);
        let ping = peer.client(&["ping"]);
        peer.wait_log("Jail 'dropbear' started");
        let again = peer.client(&["start"]);
        let server_again = peer.run(
            "fail2ban-server",
            &["-c", "@DIR@/conf", "-s", "@DIR@/f2b.sock", "-p", "@DIR@/f2b.pid", "start"],
        );
        let stop = peer.client(&["stop"]);
        let stop_again = peer.client(&["stop"]);
        let gone =
            wait_for(Duration::from_secs(10), || (!peer.path("f2b.pid").exists()).then_some(())).is_some();
        assert!(gone, "{}", peer.log());
        (
            [start, ping, again, server_again, stop, stop_again].map(|output| output.masked()),
            running,
            files(peer),
            log(peer),
        )
    }) else {
        return;
    };
    let mut comparison = Comparison::new("in the background");
    let commands = ["start", "ping", "start again", "fail2ban-server start", "stop", "stop again"];
    for ((command, genuine), ours) in commands.iter().zip(&genuine.0).zip(&ours.0) {
        comparison.same_output(command, genuine, ours);
    }
    comparison.same("files while it runs", &genuine.1, &ours.1);
    comparison.same("files afterwards", &genuine.2, &ours.2);
    comparison.same("log", &genuine.3, &ours.3);
    comparison.finish();
}

#[test]
fn a_killed_server_leaves_a_socket_that_is_told_and_replaced_by_x() {
    let Some((genuine, ours)) = both(|peer| {
        one_jail(peer);
        peer.start();
        peer.wait_log("Jail 'dropbear' started");
        peer.signal(Signal::KILL);
        peer.ended();
        let left = files(peer);
        let commands = [&["ping"][..], &["status"], &["stop"]].map(|command| peer.client(command).masked());
        let forced = peer.try_start(&["-x"]);
        assert!(forced.is_none(), "{}\n{}", forced.unwrap(), peer.log());
        let status = peer.client(&["status"]);
        let stop = peer.client(&["stop"]);
        peer.ended();
        (left, commands, status, stop, files(peer))
    }) else {
        return;
    };
    let mut comparison = Comparison::new("after a kill");
    comparison.same("what is left", &genuine.0, &ours.0);
    for ((command, genuine), ours) in ["ping", "status", "stop"].iter().zip(&genuine.1).zip(&ours.1) {
        comparison.same_output(command, genuine, ours);
    }
    comparison.same_output("status after -x start", &genuine.2, &ours.2);
    comparison.same_output("stop", &genuine.3, &ours.3);
    comparison.same("files afterwards", &genuine.4, &ours.4);
    comparison.finish();
}

#[test]
fn without_a_server_every_command_says_so() {
    let Some((genuine, ours)) = both(|peer| {
        [
            &["ping"][..],
            &["status"],
            &["stop"],
            &["reload"],
            &["version"],
            &["set", "dropbear", "banip", "192.0.2.1"],
        ]
        .map(|command| peer.client(command).masked())
    }) else {
        return;
    };
    let mut comparison = Comparison::new("without a server");
    for (genuine, ours) in genuine.iter().zip(&ours) {
        comparison.same_output("a command", genuine, ours);
    }
    comparison.finish();
}

#[test]
fn the_log_goes_where_it_is_told_to() {
    for target in ["STDOUT", "STDERR", "SYSOUT"] {
        let Some((genuine, ours)) = both(|peer| {
            one_jail(peer);
            assert!(peer.try_start(&["--logtarget", target]).is_none());
            let came = wait_for(Duration::from_secs(10), || {
                (peer.read("stdout") + &peer.read("stderr")).contains("Jail 'dropbear' started").then_some(())
            });
            assert!(came.is_some(), "{}{}", peer.read("stdout"), peer.read("stderr"));
            peer.stop().masked()
        }) else {
            return;
        };
        let mut comparison = Comparison::new(format!("log to {target}"));
        comparison.same_output("what the server said", &genuine, &ours);
        comparison.finish();
    }
}

#[test]
fn the_level_decides_what_is_logged() {
    for level in ["ERROR", "NOTICE", "INFO"] {
        let Some((genuine, ours)) = both(|peer| {
            one_jail(peer);
            assert!(peer.try_start(&["--loglevel", level]).is_none());
            peer.client(&["set", "dropbear", "banip", "192.0.2.66"]);
            if level == "ERROR" {
                std::thread::sleep(Duration::from_secs(1));
            } else {
                peer.wait_log("Ban 192.0.2.66");
            }
            let answer = peer.client(&["get", "loglevel"]);
            peer.stop();
            (answer, log(peer))
        }) else {
            return;
        };
        let mut comparison = Comparison::new(format!("level {level}"));
        comparison.same_output("get loglevel", &genuine.0, &ours.0);
        comparison.same("log", &genuine.1, &ours.1);
        comparison.finish();
    }
}

#[test]
fn a_syslog_gets_the_same_datagrams() {
    let Some((genuine, ours)) = both(|peer| {
        one_jail(peer);
        let socket = std::os::unix::net::UnixDatagram::bind(peer.path("syslog")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let options = ["--logtarget", "SYSLOG", "--syslogsocket", "@DIR@/syslog"];
        // Somebody has to listen while it starts: a full socket blocks the genuine program.
        let listener = std::thread::spawn(move || {
            let mut text = String::new();
            let mut buffer = vec![0; 65_536];
            while let Ok(length) = socket.recv(&mut buffer) {
                text.push_str(&String::from_utf8_lossy(&buffer[..length]).replace('\0', "NUL"));
                text.push('\n');
                if text.contains("Exiting Fail2ban") {
                    break;
                }
            }
            text
        });
        assert!(peer.try_start(&options).is_none());
        peer.client(&["set", "dropbear", "banip", "192.0.2.66"]);
        std::thread::sleep(Duration::from_secs(1));
        peer.client(&["stop"]);
        peer.ended();
        peer.mask(&listener.join().unwrap())
    }) else {
        return;
    };
    let mut comparison = Comparison::new("log to SYSLOG");
    comparison.same("datagrams", &genuine, &ours);
    comparison.finish();
}
