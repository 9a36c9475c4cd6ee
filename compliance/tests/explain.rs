//! `portcullis explain` asks the running jail: its settings as they are now, its tally, its bans. And it changes nothing.

#![allow(clippy::unwrap_used)]

use portcullis_compliance::{Output, Peer, Who};

fn explained(peer: &Peer, line: &str) -> (serde_json::Value, Output) {
    let output = peer.run("portcullis", &["explain", "-c", "@DIR@/conf", "--jail", "j", "--json", line]);
    let told: serde_json::Value = serde_json::from_str(&output.stdout).unwrap_or_default();
    (told["lines"][0].clone(), output)
}

#[test]
fn a_running_jail_tells_why_a_host_is_not_banned() {
    let Some(mut peer) = Peer::new(Who::Ours) else { return };
    peer.write(
        "conf/jail.local",
        "[j]\nenabled = true\nbackend = polling\nfilter =\nfailregex = ^ fail from <HOST>$\nlogpath = @DIR@/log\n\
         maxretry = 3\naction =\nignoreself = false\n",
    );
    peer.write("log", "");
    peer.start();
    let line = |address: &str| {
        let now = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
        format!("{now} fail from {address}")
    };
    let outcome = |peer: &Peer, address: &str| {
        let (told, output) = explained(peer, &line(address));
        (
            told["outcome"].as_str().unwrap_or("none").to_owned(),
            told["offenders"][0]["failures"].as_f64(),
            output,
        )
    };
    peer.append("log", &(line("192.0.2.1") + "\n"));
    peer.wait_log("Found 192.0.2.1");
    for _ in 0..3 {
        // Asking counts nothing.
        let (what, failures, output) = outcome(&peer, "192.0.2.1");
        assert_eq!((what.as_str(), failures), ("counted", Some(1.0)), "{output}");
    }
    assert_eq!(outcome(&peer, "192.0.2.2").1, Some(0.0));
    peer.append("log", &(line("192.0.2.1") + "\n"));
    peer.wait_log_times("Found 192.0.2.1", 2);
    assert_eq!(outcome(&peer, "192.0.2.1").0, "last-straw");
    peer.append("log", &(line("192.0.2.1") + "\n"));
    peer.wait_log("Ban 192.0.2.1");
    let (what, _, output) = outcome(&peer, "192.0.2.1");
    assert_eq!((what.as_str(), output.status), ("banned", 0));
    // What is set at run time counts.
    peer.client(&["set", "j", "addignoreip", "192.0.2.3"]);
    assert_eq!(outcome(&peer, "192.0.2.3").0, "ignored");
    peer.client(&["set", "j", "addignoreregex", "from 192.0.2.4"]);
    assert_eq!(outcome(&peer, "192.0.2.4").0, "ignoreregex");
    peer.client(&["set", "j", "idle", "on"]);
    assert_eq!(outcome(&peer, "192.0.2.5").0, "at-rest");
    peer.client(&["set", "j", "idle", "off"]);
    let status = peer.client(&["status", "j"]);
    assert!(status.stdout.contains("Total failed:\t3"), "{status}");
    peer.stop();
    let (_, output) = explained(&peer, &line("192.0.2.1"));
    assert!(output.stdout.contains("\"by\": \"configuration\""), "{output}");
}

/// All that is said, by a person's screen and the JSON: notes and hints.
fn said(peer: &Peer, arguments: &[&str]) -> String {
    let arguments: Vec<&str> = ["explain", "-c", "@DIR@/conf"].iter().chain(arguments).copied().collect();
    peer.run("portcullis", &arguments).stdout
}

#[test]
fn bans_by_other_jails_and_bans_that_are_not_in_force_are_told() {
    let Some(mut peer) = Peer::new(Who::Ours) else { return };
    peer.write("conf/action.d/broken.conf", "[Definition]\nactionban = echo no gate here >&2; false\n");
    let jail = |name: &str, action: &str| {
        format!(
            "[{name}]\nenabled = true\nbackend = polling\nfilter =\nfailregex = ^ fail from <HOST>$\n\
             logpath = @DIR@/log\nmaxretry = 3\nignoreself = false\naction = {action}\n"
        )
    };
    peer.write("conf/jail.local", &(jail("j", "") + &jail("other", "broken")));
    peer.write("log", "");
    peer.write("elsewhere", "fail from 192.0.2.1\n");
    peer.start();
    let now = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
    let line = format!("{now} fail from 192.0.2.1");
    let before = said(&peer, &["--jail", "j", &line]);
    assert!(!before.contains("is banned by"), "{before}");
    peer.client(&["set", "other", "banip", "192.0.2.1"]);
    peer.wait_log("Failed to execute ban jail 'other'");
    let of_j = said(&peer, &["--jail", "j", &line]);
    assert!(of_j.contains("192.0.2.1 is banned by the jail 'other', for another"), "{of_j}");
    let of_other = said(&peer, &["--jail", "other", &line]);
    assert!(of_other.contains("the ban of 192.0.2.1 by the jail 'other' is NOT in force"), "{of_other}");
    // A file that the jail does not read.
    let log = said(&peer, &["--jail", "j", "--json", "@DIR@/elsewhere"]);
    let told: serde_json::Value = serde_json::from_str(&log).unwrap();
    let note = told["notes"][0].as_str().unwrap_or_default();
    assert!(note.contains("does not read") && note.ends_with("log (logpath)"), "{log}");
    peer.append("log", &(line + "\n"));
    peer.wait_log("Found 192.0.2.1");
    let told: serde_json::Value =
        serde_json::from_str(&said(&peer, &["--jail", "j", "--json", "@DIR@/log"])).unwrap();
    assert_eq!(told["notes"], serde_json::json!([]), "{told:#}");
    peer.stop();
}

#[test]
fn other_modes_other_zones_and_other_logs_are_pointed_at_without_a_server() {
    let Some(peer) = Peer::new(Who::Ours) else { return };
    peer.write(
        "conf/jail.local",
        "[sshd]\nenabled = true\nbackend = polling\nlogpath = @DIR@/log\naction =\nignorecommand = /bin/false\n\
         [dropbear]\nenabled = true\nbackend = systemd[journalflags=1]\naction =\n",
    );
    peer.write("log", "");
    let line = |ago: i64, text: &str| {
        let at = jiff::Zoned::now() - jiff::SignedDuration::from_secs(ago);
        format!("{} h sshd[7]: {text}", at.strftime("%b %e %H:%M:%S"))
    };
    let failed = "Failed password for root from 192.0.2.1 port 22 ssh2";
    let unable =
        "Unable to negotiate with 192.0.2.1 port 5: no matching cipher found. Their offer: x [preauth]";
    for (line, wanted) in [
        (line(5, unable), "with mode = extra or aggressive the filter would take it"),
        (line(5, "Connection closed by 192.0.2.1 port 22 [preauth]"), "with mode = ddos"),
        (line(7200, failed), "That is 2h to the minute, or nearly"),
        (line(-3590, failed), "That is 1h to the minute, or nearly"),
        (line(5, failed), "unless the ignorecommand, which was not asked now, lets it off"),
    ] {
        let told = said(&peer, &["--offline", "--jail", "sshd", &line]);
        assert!(told.contains(wanted), "{line}: {told}");
    }
    let told = said(&peer, &["--offline", "--jail", "sshd", &line(5, "nothing of note")]);
    assert!(!told.contains("mode ="), "{told}");
    peer.write("elsewhere", &(line(5, failed) + "\n"));
    let told = said(&peer, &["--offline", "--jail", "dropbear", "@DIR@/elsewhere"]);
    assert!(told.contains("it reads the systemd journal"), "{told}");
}
