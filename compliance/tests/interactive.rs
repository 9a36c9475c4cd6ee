//! `fail2ban-client -i`: prompts, errors, the end of the input and interruptions, at a terminal and in a pipe.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Write as _;
use std::process::{Command, Stdio};

use portcullis_compliance::{Comparison, Peer, Who};

/// What is typed, each text when a prompt is there.
const SESSIONS: &[&[&str]] = &[
    &["ping\n", "exit\n"],
    &["ping\n", "quit\n"],
    // Ctrl-D, on an empty line and behind a word.
    &["ping\n", "\u{4}"],
    &["\n", "   \n", "\u{4}"],
    // Ctrl-C.
    &["\u{3}"],
    &["status\n", "pin\u{3}"],
    // Corrections.
    &["pinx\u{7f}g\n", "exit\n"],
    &["echo 'a b\n", "echo \"a b\" c\\ d # x\n", "echo ''\n", "echo é 日本\n", "exit\n"],
    &["nope\n", "exit now\n", " exit \n", "EXIT\n", "get\n", "set web\n", "status nope\n", "exit\n"],
    &["help\n", "-h\n", "--help\n", "version\n", "exit\n"],
    &["set web banip 192.0.2.7\n", "banned 192.0.2.7\n", "unban 192.0.2.7\n", "exit\n"],
    &["ping 0.5\n", "ping x\n", "restart x y\n", "reload x y\n", "reload nope\n", "exit\n"],
    &["stop web\n", "status\n", "reload\n", "status\n", "exit\n"],
];

const ENDING: &[&str] = &["stop\n", "ping\n", "status\n", "reload\n", "\u{4}"];

fn prepare(peer: &Peer) {
    peer.write("conf/filter.d/fails.conf", "[Definition]\nfailregex = ^\\s*fail from <HOST>$\n");
    peer.write(
        "conf/jail.d/interactive.conf",
        "[web]\nenabled = true\nbackend = polling\naction =\nfilter = fails\nlogpath = @DIR@/web.log\n",
    );
    peer.write("web.log", "");
}

/// What a session showed, without the texts that are everybody's own: the banner and the help.
fn told(peer: &Peer, shown: &str) -> String {
    let mut out = String::new();
    for (turn, text) in peer.mask(shown).split("fail2ban> ").enumerate() {
        out += &match (turn, text.find("Usage: ")) {
            (0, _) => String::new(),
            (_, Some(at)) => format!("> {}the help\n", &text[..at]),
            _ => format!("> {text}"),
        };
    }
    // The terminal itself shows that key, or the program's line editor does not.
    out.replace("^C", "")
}

fn arguments(peer: &Peer, our_client: bool) -> Vec<String> {
    let other = our_client != (peer.who() == Who::Ours);
    let program = if other { "other/fail2ban-client" } else { "bin/fail2ban-client" };
    let file = |name: &str| peer.path(name).to_str().unwrap().to_owned();
    let places = [("-c", "conf"), ("-s", "f2b.sock"), ("-p", "f2b.pid")];
    let places = places.iter().flat_map(|(option, name)| [(*option).to_owned(), file(name)]);
    std::iter::once(file(program)).chain(places).chain(["-i".to_owned()]).collect()
}

fn at_a_terminal(peer: &Peer, our_client: bool, typed: &[&str]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client/terminal.py");
    let mut driver = Command::new("/usr/bin/python3")
        .arg(script)
        .args(arguments(peer, our_client))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let keys = serde_json::to_vec(typed).unwrap();
    driver.stdin.take().unwrap().write_all(&keys).unwrap();
    let output = driver.wait_with_output().unwrap();
    assert!(output.status.success());
    told(peer, &String::from_utf8(output.stdout).unwrap())
}

fn in_a_pipe(peer: &Peer, our_client: bool, typed: &[&str]) -> String {
    let (program, rest) = (arguments(peer, our_client)[0].clone(), arguments(peer, our_client)[1..].to_vec());
    let mut client = Command::new(program)
        .args(rest)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let keys: String = typed.concat().replace(['\u{3}', '\u{4}', '\u{7f}'], "");
    // It may have ended before it reads all.
    let _ = client.stdin.take().unwrap().write_all(keys.as_bytes());
    let output = client.wait_with_output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    format!("{}{}{:?}", told(peer, &stdout), peer.mask(&stderr), output.status.code())
}

#[test]
fn sessions_at_a_terminal_and_in_a_pipe_are_those_of_fail2ban_s_client() {
    let (Some(mut theirs), Some(mut ours)) = (Peer::new(Who::Genuine), Peer::new(Who::Genuine)) else {
        return;
    };
    // Two genuine servers.
    let run = |peer: &mut Peer, our_client: bool| -> Vec<(String, String)> {
        prepare(peer);
        peer.start();
        let mut shown = Vec::new();
        for typed in SESSIONS.iter().chain([&ENDING]) {
            shown.push((format!("{typed:?} in a pipe"), String::new()));
            if *typed != ENDING {
                shown.last_mut().unwrap().1 = in_a_pipe(peer, our_client, typed);
            }
            shown.push((format!("{typed:?} at a terminal"), at_a_terminal(peer, our_client, typed)));
        }
        peer.ended();
        shown
    };
    let (theirs, ours) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| run(&mut theirs, false));
        let ours = run(&mut ours, true);
        (theirs.join().unwrap(), ours)
    });
    let mut comparison = Comparison::new("interactive sessions");
    for ((what, theirs), (_, ours)) in theirs.iter().zip(&ours) {
        comparison.same(what, theirs, ours);
    }
    comparison.finish();
}
