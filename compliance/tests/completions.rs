//! The tab key in real shells: bash, zsh and fish complete our commands, Fail2ban's, names of jails, addresses and files.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use portcullis_compliance::{Peer, Who, skip, tool_path, workspace};

/// The unpacked shells, and where their libraries are; `None` where they cannot be had, and the test is skipped.
fn shells() -> Option<(PathBuf, String)> {
    let output = Command::new(workspace().join("compliance/fetch")).arg("shells").output().unwrap();
    if !output.status.success() {
        skip(String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("compliance/fetch failed"));
        return None;
    }
    let shells = workspace().join("target/shells");
    let libraries = std::fs::read_to_string(shells.join("libraries")).unwrap();
    Some((shells.join("root"), libraries.trim().to_owned()))
}

/// A server with a jail and a ban; its programs are on the shells' PATH.
fn prepared() -> Option<Peer> {
    let mut peer = Peer::new(Who::Ours)?;
    peer.write("conf/filter.d/fails.conf", "[Definition]\nfailregex = ^\\s*fail from <HOST>$\n");
    peer.write(
        "conf/jail.d/tab.conf",
        "[website]\nenabled = true\nbackend = polling\naction =\nfilter = fails\nlogpath = @DIR@/web.log\n",
    );
    peer.write("web.log", "");
    peer.write("some-file.log", "");
    peer.start();
    assert_eq!(peer.client(&["set", "website", "banip", "2001:db8::77"]).stdout.trim(), "1");
    for shell in ["bash", "zsh", "fish"] {
        let script = peer.run("portcullis", &["completions", shell]);
        let name = if shell == "zsh" { "functions/_portcullis" } else { shell };
        peer.write(name, &script.stdout);
    }
    Some(peer)
}

/// What is typed, and what the line is then.
fn lines(peer: &Peer) -> Vec<(String, String)> {
    let dir = peer.path("");
    let dir = dir.to_str().unwrap().trim_end_matches('/');
    let cases = [
        ("portcullis st", "portcullis status"),
        ("portcullis completions z", "portcullis completions zsh"),
        ("portcullis log --ki", "portcullis log --kind"),
        ("portcullis unban -s @DIR@/f2b.sock 2001:d", "2001:db8::77"),
        ("fail2ban-client flushl", "fail2ban-client flushlogs"),
        ("fail2ban-client -s @DIR@/f2b.sock status we", "status website"),
        ("fail2ban-client -s @DIR@/f2b.sock set website unb", "set website unbanip"),
        ("fail2ban-client -s @DIR@/f2b.sock set loglevel NOT", "set loglevel NOTICE"),
        ("fail2ban-regex @DIR@/some-f", "@DIR@/some-file.log"),
    ];
    cases.iter().map(|(typed, line)| (typed.replace("@DIR@", dir), line.replace("@DIR@", dir))).collect()
}

fn command(peer: &Peer, program: &str, libraries: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env("PATH", format!("{}:{}", peer.path("bin").display(), tool_path()))
        .env("LD_LIBRARY_PATH", libraries)
        .env("HOME", peer.path("home"))
        .env("XDG_CONFIG_HOME", peer.path("home"))
        .env("LC_ALL", "C.UTF-8")
        .current_dir(peer.path(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// Presses the tab key behind each line, in a shell at a terminal.
fn at_a_terminal(peer: &Peer, libraries: &str, shell: &[&str], setup: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/completions/tab.py");
    let lines = lines(peer);
    let task = serde_json::json!({ "shell": shell, "setup": setup, "lines": lines });
    let mut driver = command(peer, "/usr/bin/python3", libraries).arg(script).spawn().unwrap();
    driver.stdin.take().unwrap().write_all(task.to_string().as_bytes()).unwrap();
    let output = driver.wait_with_output().unwrap();
    let outcomes: Vec<Option<String>> = serde_json::from_slice(&output.stdout).unwrap();
    let (set_up, outcomes) = outcomes.split_first().unwrap();
    assert_eq!(*set_up, None, "{}: not ready", shell[0]);
    assert_eq!(outcomes.len(), lines.len());
    for ((typed, expected), shown) in lines.iter().zip(outcomes) {
        assert_eq!(*shown, None, "{}: `{typed}` did not become `{expected}`", shell[0]);
    }
}

#[test]
fn the_tab_key_completes_in_bash_zsh_and_fish() {
    let Some((root, libraries)) = shells() else { return };
    let Some(peer) = prepared() else { return };
    std::fs::create_dir_all(peer.path("home")).unwrap();
    let root = root.to_str().unwrap();
    let scripts = peer.path("");
    let scripts = scripts.to_str().unwrap().trim_end_matches('/');

    // What is echoed while it is typed is not what is waited for.
    let bash = format!("source {scripts}/bash; echo ready to'' go");
    at_a_terminal(&peer, &libraries, &["/bin/bash", "--norc", "--noprofile", "-i"], &bash);

    let modules = std::fs::read_dir(format!("{root}/usr/lib")).unwrap().flatten();
    let modules = modules.map(|entry| entry.path().join("zsh/5.9")).find(|path| path.is_dir()).unwrap();
    let zsh = format!(
        "module_path=({}); fpath=({root}/usr/share/zsh/functions/*(/) {root}/usr/share/zsh/functions/Completion/*(/) \
         {scripts}/functions); autoload -Uz compinit; compinit -u -D; echo ready to'' go",
        modules.display()
    );
    at_a_terminal(&peer, &libraries, &[&format!("{root}/bin/zsh"), "-f", "-i"], &zsh);

    // fish tells by itself what the tab key would offer.
    for (typed, expected) in lines(&peer) {
        let word = expected.rsplit(' ').next().unwrap();
        let program = format!(
            "set -g fish_function_path {root}/usr/share/fish/functions; source {scripts}/fish; complete -C '{typed}'"
        );
        let fish = command(&peer, &format!("{root}/usr/bin/fish"), &libraries)
            .args(["--no-config", "-c", &program])
            .output()
            .unwrap();
        let offered = String::from_utf8(fish.stdout).unwrap();
        let words: Vec<&str> = offered.lines().filter_map(|line| line.split('\t').next()).collect();
        assert!(words.contains(&word), "fish: `{typed}` offers {words:?}, not `{word}`");
    }
}
