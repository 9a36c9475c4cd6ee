//! The bar of a long run: on a terminal, and nowhere else.

#![allow(clippy::unwrap_used)]

use std::process::Command;

/// So many lines are more than can be judged before a bar is worth drawing.
const LINES: u32 = 600_000;

/// Some 50 MB of failures, no two at the same time.
fn log() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let line = |n| {
        let (hour, minute, second) = (n / 3600 % 24, n / 60 % 60, n % 60);
        format!("2020-02-29 {hour:02}:{minute:02}:{second:02} {} from 192.0.2.1\n", "x".repeat(50))
    };
    std::fs::write(dir.path().join("log"), (0..LINES).map(line).collect::<String>()).unwrap();
    dir
}

#[test]
fn a_long_run_shows_on_a_terminal_how_far_it_is() {
    let dir = log();
    let program = env!("CARGO_BIN_EXE_portcullis");
    let command = format!("{program} regex {}/log 'from <HOST>'", dir.path().display());
    // script(1) runs it on a terminal of its own.
    let output = Command::new("script").args(["-qefc", &command, "/dev/null"]).output();
    let Ok(output) = output else {
        eprintln!("skipped: script(1) is not installed (Debian: bsdutils)");
        return;
    };
    let seen = String::from_utf8_lossy(&output.stdout);
    assert!(seen.contains(" lines/s ") && seen.contains("MiB/49.2"), "{seen}");
    assert!(seen.contains("Lines: 600000 lines, 0 ignored, 600000 matched, 0 missed"), "{seen}");
}

#[test]
fn a_pipe_gets_nothing_but_the_result() {
    let dir = log();
    let program = env!("CARGO_BIN_EXE_portcullis");
    let output = Command::new(program)
        .args(["regex", "-o", "ip"])
        .arg(dir.path().join("log"))
        .arg("from <HOST>")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "192.0.2.1\n".repeat(LINES as usize));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
