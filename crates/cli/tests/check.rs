//! `portcullis check` and `portcullis config show` as a user sees them: the configuration in `tests/check/` has one of each problem.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

fn check(arguments: &[&str]) -> Output {
    portcullis(&[&["check"], arguments].concat())
}

fn portcullis(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"))
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A directory without `jail.conf`, which has the built-in configuration under it, and a log.
fn usual(jail: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("auth.log");
    std::fs::write(&log, "").unwrap();
    std::fs::create_dir(dir.path().join("filter.d")).unwrap();
    std::fs::write(
        dir.path().join("filter.d/sshd.conf"),
        "[Definition]\nfailregex = ^Failed \\S+ from <HOST>$\n",
    )
    .unwrap();
    let log = log.display();
    let jail = format!("[dropbear]\nenabled = false\n[sshd]\nenabled = true\nlogpath = {log}\n{jail}");
    std::fs::write(dir.path().join("jail.local"), jail).unwrap();
    let path = dir.path().display().to_string();
    (dir, path)
}

#[test]
fn every_problem_is_shown_at_once_with_its_line_and_a_hint() {
    let output = check(&["-c", "check"]);
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!("problems", text(&output.stdout));
}

#[test]
fn syntax_errors_of_one_file_are_told_all_together() {
    let output = check(&["-c", "check-syntax"]);
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!("syntax", text(&output.stdout));
}

/// As [`check`], with programs of our own before those of the machine.
fn check_with(programs: &[(&str, &str)], arguments: &[&str]) -> String {
    use std::os::unix::fs::PermissionsExt;
    let bin = tempfile::tempdir().unwrap();
    for (name, script) in programs {
        let path = bin.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap());
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .arg("check")
        .args(arguments)
        .env("PATH", path)
        .output()
        .unwrap();
    text(&output.stdout)
}

#[test]
fn of_a_log_that_is_not_there_one_learns_whether_the_journal_has_it() {
    let (_dir, path) = usual("journalmatch = _SYSTEMD_UNIT=ssh.service + _COMM=sshd\n");
    std::fs::remove_file(Path::new(&path).join("auth.log")).unwrap();
    let has = "case \"$*\" in *'-- _SYSTEMD_UNIT=ssh.service + _COMM=sshd') echo 2026-11-22T10:00:00 h sshd: x;; esac";
    let shown = check_with(&[("journalctl", has)], &["-c", &path]);
    assert!(
        shown.contains("the journal has lines of `_SYSTEMD_UNIT=ssh.service + _COMM=sshd`, the last one: 2026-11-22T10:00:00 h sshd: x\n"),
        "{shown}"
    );
    assert!(
        shown.contains("help: set `backend = systemd`: the journal has what this jail looks for"),
        "{shown}"
    );
    let shown = check_with(&[("journalctl", "exit 0")], &["-c", &path]);
    assert!(shown.contains("the journal has no line of"), "{shown}");
    let shown = check_with(&[("journalctl", "echo no journal; exit 1")], &["-c", &path]);
    assert!(shown.contains("if the service logs to the journal"), "{shown}");
}

/// The service is this test itself.
#[test]
fn a_jail_that_closes_other_ports_than_its_service_has_is_told() {
    let program = std::fs::read_to_string(format!("/proc/{}/comm", std::process::id())).unwrap();
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let jail = |port: &str| {
        format!(
            "backend = auto\njournalmatch = _COMM={}\nport = {port}\naction = iptables-multiport[name=x, port=\"%(port)s\"]\n",
            program.trim_end()
        )
    };
    let (_dir, path) = usual(&jail("1,9"));
    let shown = text(&check(&["-c", &path]).stdout);
    assert!(shown.contains("warning[other-port]: jail `sshd` closes ports on which"), "{shown}");
    assert!(shown.contains(&format!("help: set `port = {port}`")), "{shown}");
    let (_dir, path) = usual(&jail(&format!("1,{port}")));
    assert!(!text(&check(&["-c", &path]).stdout).contains("other-port"));
    // A service that does not run is not judged.
    let (_dir, path) = usual(&jail("1,9").replace(program.trim_end(), "nobody-runs-this"));
    assert!(!text(&check(&["-c", &path]).stdout).contains("other-port"));
}

#[test]
fn jails_that_are_not_enabled_are_looked_at_when_asked_for() {
    let (_dir, path) = usual("[off]\nfilter = off\nlogpath = /nowhere\n");
    std::fs::write(Path::new(&path).join("filter.d/off.conf"), "[Definition]\nfailregex = ^x (<HOST>$\n")
        .unwrap();
    assert!(text(&check(&["-c", &path]).stdout).ends_with("no problems; 1 jail enabled\n"));
    let output = check(&["-c", &path, "--all"]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(shown.contains("error[bad-regex]"), "{shown}");
    assert!(!shown.contains("missing-log"), "a jail that nobody wants needs no log: {shown}");
    assert!(shown.ends_with("looked at, enabled or not\n"), "{shown}");
}

#[test]
fn options_between_brackets_are_known_by_their_files() {
    let (_dir, path) = usual("filter = sshd[mode=normal, logtype=file, failregex=\"^x <HOST>$\"]\n");
    assert!(!text(&check(&["-c", &path]).stdout).contains("warning"));
    let (_dir, path) = usual("filter = sshd[failrgex=\"^x <HOST>$\"]\n");
    let shown = text(&check(&["-c", &path]).stdout);
    assert!(shown.contains("jail.local:6:15\n"), "{shown}");
    assert!(shown.contains("unknown option `failrgex` for the filter `sshd`"), "{shown}");
    assert!(shown.contains("did you mean `failregex`?"), "{shown}");
}

#[test]
fn a_good_configuration_has_no_problems() {
    let (_dir, path) =
        usual("bantime = 1d\nignoreip = 127.0.0.1/8 ::1 192.168.0.0/16\nmta = mail ; customary\n");
    let output = check(&["-c", &path]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(shown.ends_with("no problems; 1 jail enabled\n"), "{shown}");
    assert!(!shown.contains("warning"), "{shown}");
}

#[test]
fn warnings_alone_are_no_failure() {
    let (_dir, path) = usual("maxrety = 2\n");
    let output = check(&["-c", &path]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(shown.ends_with(": 1 warning; 1 jail enabled\n"), "{shown}");
    assert!(shown.contains("did you mean `maxretry`?"), "{shown}");
}

#[test]
fn programs_get_the_same_as_json() {
    let (_dir, path) = usual("bantime = 10m # short\n");
    let output = check(&["-c", &path, "--json"]);
    let all: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(all["errors"], 1);
    let problem = &all["problems"][0];
    assert_eq!(problem["code"], "comment-in-value");
    assert_eq!(problem["place"]["file"], format!("{path}/jail.local"));
    assert_eq!((&problem["place"]["line"], &problem["place"]["column"]), (&6.into(), &15.into()));
    assert_eq!(problem["place"]["text"], "# short");
}

#[test]
fn each_value_is_shown_with_the_lines_that_it_came_from_and_those_that_it_replaces() {
    let output = portcullis(&["config", "show", "sshd", "-c", "check"]);
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!("show_sshd", text(&output.stdout));
}

#[test]
fn lines_of_a_filter_are_shown_where_they_are_written() {
    let output = portcullis(&["config", "show", "web", "failregex", "-c", "check"]);
    insta::assert_snapshot!("show_web_failregex", text(&output.stdout));
}

#[test]
fn what_is_known_of_earlier_files_is_told_with_their_lines() {
    let (_dir, path) = usual("");
    std::fs::create_dir(Path::new(&path).join("jail.d")).unwrap();
    let late = "[sshd]\nlogpath = %(known/logpath)s\n          /var/log/two.log\n";
    std::fs::write(Path::new(&path).join("jail.d/late.local"), late).unwrap();
    let output = portcullis(&["config", "show", "sshd", "LogPath", "-c", &path]);
    let shown = text(&output.stdout).replace(&path, "DIR");
    let blanks = |text: &str| " ".repeat(text.len());
    let expected = [
        "logpath = DIR/auth.log".to_owned(),
        format!("{}/var/log/two.log", blanks("logpath = ")),
        "  jail.d/late.local:2  [sshd] logpath = %(known/logpath)s".to_owned(),
        format!("{}/var/log/two.log", blanks("  jail.d/late.local:2  [sshd] logpath = ")),
        "    replaces jail.local:5  [sshd] logpath = DIR/auth.log".to_owned(),
    ];
    assert!(shown.starts_with(&expected.join("\n")), "{shown}");
    assert!(shown.contains("\n    jail.local:5  [sshd] logpath = DIR/auth.log\n"), "{shown}");
}

#[test]
fn who_asks_for_what_is_not_there_learns_what_is() {
    for (words, expected) in [
        (vec!["ssh"], "there is no jail 'ssh'; did you mean 'sshd'?"),
        (vec!["sshd", "bantme"], "jail 'sshd' has no option 'bantme'; did you mean 'bantime'?"),
    ] {
        let output = portcullis(&[&["config", "show", "-c", "check"], words.as_slice()].concat());
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(text(&output.stderr), format!("portcullis: {expected}\n"));
    }
    assert_eq!(portcullis(&["config", "show"]).status.code(), Some(2));
}

#[test]
fn a_jail_may_add_to_the_regexes_of_its_filter() {
    let (_dir, path) = usual("failregex = %(known/failregex)s\n            ^Broken by <HOST>$\n");
    let output = check(&["-c", &path]);
    assert!(text(&output.stdout).ends_with("no problems; 1 jail enabled\n"), "{}", text(&output.stdout));
    let output = portcullis(&["config", "show", "sshd", "failregex", "-c", &path]);
    assert_eq!(
        text(&output.stdout).lines().map(str::trim).collect::<Vec<_>>(),
        [
            "failregex = ^Failed \\S+ from <HOST>$",
            "^Broken by <HOST>$",
            "jail.local:6  [sshd] failregex = %(known/failregex)s",
            "^Broken by <HOST>$",
            "%(known/failregex)s is what the filter says",
        ]
    );
}

#[test]
fn of_a_long_line_only_the_mistake_is_shown_with_its_true_column() {
    let names = "192.0.2.1 ".repeat(500);
    let (_dir, path) = usual(&format!("ignoreip = {names}10.0.0.300\n"));
    let shown = text(&check(&["-c", &path]).stdout);
    assert!(
        shown.contains(&format!("{path}/jail.local:6:{}\n", "ignoreip = ".len() + names.len() + 1)),
        "{shown}"
    );
    assert!(shown.contains("note: `10.0.0.300`: taken for"), "{shown}");
    assert!(shown.lines().all(|line| line.len() < 500), "{shown}");
}

#[test]
fn ten_thousand_options_that_refer_to_each_other_take_no_long_time() {
    let options: String = (0..10_000).map(|i| format!("maxrety{i} = %(x{i})s\n")).collect();
    let (_dir, path) = usual(&options);
    let start = std::time::Instant::now();
    assert_eq!(check(&["-c", &path]).status.code(), Some(0));
    assert!(start.elapsed() < std::time::Duration::from_secs(30), "{:?}", start.elapsed());
}
