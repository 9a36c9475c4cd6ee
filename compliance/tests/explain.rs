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
