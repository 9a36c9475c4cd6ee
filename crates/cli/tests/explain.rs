//! `portcullis explain` as somebody uses it who asks why a host is not banned: by the configuration, without a server.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

const JAIL: &str = "[gate]
enabled = true
filter = gate
backend = polling
logpath = @DIR@/log
usedns = no
maxretry = 3
findtime = 600
ignoreip = 203.0.113.0/24
ignoreself = false
";

const FILTER: &str = r"[Definition]
prefregex = ^ gate\[\d+\]: <F-CONTENT>.+</F-CONTENT>$
failregex = ^wrong password for <F-USER>.*</F-USER> from <HOST>$
            ^(?:unknown|locked) user (?:<F-USER>\S+</F-USER> )?at <ADDR> port \d+$
            ^<F-NOFAIL>knock</F-NOFAIL> <F-MLFID>\S+</F-MLFID> <ADDR>$
ignoreregex = for monitor from
";

fn configuration() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("filter.d")).unwrap();
    std::fs::write(dir.path().join("log"), "").unwrap();
    let jail = JAIL.replace("@DIR@", dir.path().to_str().unwrap());
    std::fs::write(dir.path().join("jail.conf"), jail).unwrap();
    std::fs::write(dir.path().join("filter.d/gate.conf"), FILTER).unwrap();
    dir
}

fn explain(conf: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["explain", "--offline", "-c"])
        .arg(conf)
        .args(arguments)
        .env("TZ", "UTC")
        .output()
        .unwrap()
}

/// A line of so many seconds ago.
fn line(ago: i64, text: &str) -> String {
    let at = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(ago);
    format!("{} gate[7]: {text}", at.strftime("%Y-%m-%d %H:%M:%S"))
}

#[test]
fn every_reason_for_not_being_banned_has_its_outcome() {
    let dir = configuration();
    for (line, outcome, code) in [
        (line(5, "wrong password for root from 192.0.2.1"), "counted", 0),
        (line(5, "wrong password for root form 192.0.2.1"), "missed", 1),
        (line(5, "wrong password for monitor from 192.0.2.1"), "ignoreregex", 1),
        (line(5, "wrong password for root from 203.0.113.9"), "ignored", 1),
        (line(5, "wrong password for root from evil.example"), "usedns", 1),
        (line(5, "knock 77 192.0.2.1"), "no-failure", 1),
        (line(700, "wrong password for root from 192.0.2.1"), "too-old", 1),
        (line(-3600, "wrong password for root from 192.0.2.1"), "future", 0),
        (" gate[7]: wrong password for root from 192.0.2.1".to_owned(), "no-date", 1),
        (line(5, ""), "missed", 1),
        (String::new(), "missed", 1),
    ] {
        let output = explain(dir.path(), &["--jail", "gate", "--json", &line]);
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["lines"][0]["outcome"], outcome, "{line}: {told:#}");
        assert_eq!(output.status.code(), Some(code), "{line}");
        assert_eq!(told["by"], "configuration");
    }
}

#[test]
fn lines_of_a_file_are_counted_one_after_the_other() {
    let dir = configuration();
    let log = dir.path().join("log");
    let lines: Vec<String> = (1..=3).map(|_| line(5, "wrong password for root from 192.0.2.1")).collect();
    std::fs::write(&log, lines.join("\n") + "\n").unwrap();
    let output = explain(dir.path(), &["--jail", "gate", "--json", log.to_str().unwrap()]);
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let outcomes: Vec<&str> =
        told["lines"].as_array().unwrap().iter().map(|line| line["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["counted", "counted", "last-straw"]);
}

#[test]
fn what_people_see() {
    let dir = configuration();
    let ages = regex::Regex::new(r"\(\d+d[^)]* ago\)").unwrap();
    let mut seen = String::new();
    for text in [
        "wrong password for root form 192.0.2.1",
        "wrong password for Jörg from 192.0.2.1",
        "locked user root at home port 22",
        "unlocked user root at 192.0.2.1 port 22",
        "wrong password for monitor from 192.0.2.1",
        "wrong password for root \u{1b}[31mfrom 192.0.2.1",
    ] {
        let line = format!("2020-02-29 10:00:00 gate[7]: {text}");
        let output = explain(dir.path(), &["--filter", "gate", &line]);
        seen += &format!(
            "{}exit code {}\n\n",
            String::from_utf8(output.stdout).unwrap(),
            output.status.code().unwrap()
        );
    }
    let cron = explain(dir.path(), &["--filter", "gate", "2020-02-29 10:00:00 cron[7]: nothing"]);
    seen += &String::from_utf8(cron.stdout).unwrap();
    insta::assert_snapshot!(ages.replace_all(&seen, "(AGE ago)"));
}

#[test]
fn what_cannot_be_explained_is_said_with_the_reason() {
    let dir = configuration();
    for (arguments, code, reason) in [
        (&["--jail", "gate2", "x"][..], 1, "gate2"),
        (&["--filter", "nope", "x"], 1, "there is no filter 'nope'"),
        (&["x"], 2, "--jail"),
        (&["--jail", "gate", "--filter", "gate", "x"], 2, "cannot be used with"),
    ] {
        let output = explain(dir.path(), arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(reason), "{arguments:?}: {said}");
    }
}
