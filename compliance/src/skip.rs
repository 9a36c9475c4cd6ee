//! Tests that cannot run here, and the tallies that `make test` adds up at its end.

use std::fs::OpenOptions;
use std::io::Write as _;

use crate::program::workspace;

/// Says that the calling test cannot run here, and why. Counted; in CI on Debian, where nothing may be skipped, a panic.
pub fn skip(reason: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(!(in_ci() && on_debian()), "{name} may not be skipped in CI: {reason}");
    eprintln!("skipped: {name}: {reason}");
    record("skips", &format!("{name}: {reason}"));
}

fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false" && value != "0")
}

fn on_debian() -> bool {
    std::fs::read_to_string("/etc/os-release").is_ok_and(|text| text.lines().any(|line| line == "ID=debian"))
}

/// Adds a line to `target/compliance/NAME`. One write of one line each: tests in other processes may do so too.
pub(crate) fn record(name: &str, line: &str) {
    let dir = workspace().join("target/compliance");
    std::fs::create_dir_all(&dir).unwrap();
    let mut file = OpenOptions::new().create(true).append(true).open(dir.join(name)).unwrap();
    file.write_all(format!("{}\n", line.replace('\n', " ")).as_bytes()).unwrap();
}
