//! The bar of a long run: on a terminal, and nowhere else.

#![allow(clippy::unwrap_used)]

use std::process::Command;

/// Some 27 MB of lines that are nobody's, and a failure: more than can be judged before a bar is worth drawing.
fn log() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut text = format!("2020-02-29 10:00:00 {}\n", "x".repeat(70)).repeat(300_000);
    text.push_str("2020-02-29 10:00:00 from 192.0.2.1\n");
    std::fs::write(dir.path().join("log"), text).unwrap();
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
    assert!(seen.contains(" lines/s ") && seen.contains("MiB/26.0"), "{seen}");
    assert!(seen.contains("Lines: 300001 lines, 0 ignored, 1 matched, 300000 missed"), "{seen}");
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
    assert_eq!(String::from_utf8_lossy(&output.stdout), "192.0.2.1\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
