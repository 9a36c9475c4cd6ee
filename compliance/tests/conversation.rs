//! The same conversation: whatever a client sends, our server answers as Fail2ban's does, to its client and to ours.
//!
//! The requests are those of `conversation/commands.txt`, and random ones; `SEED` repeats those of an earlier run.

#![allow(clippy::unwrap_used, clippy::panic)]

mod gets;
#[path = "conversation/random.rs"]
mod random;

use std::io::Write as _;
use std::process::Stdio;

use portcullis_compliance::{Comparison, Output, Peer, Random, Who, both, number};

/// So many random requests, besides those of the list.
const RANDOM: usize = 1500;
/// So many more with something wrong in them; `CONVERSATION_ODD` tells another number.
const ODD: usize = 1000;

/// What we answer otherwise, on purpose: how the command begins, and what our answer contains.
const OTHERWISE: &[(&str, &str)] = &[
    // Fail2ban 1.1's commands.
    ("stats", "(0, {"),
    ("statistic", "(0, {"),
    ("status web stats", "['polling', ("),
    ("status --all", "('Jail list', "),
    // 1.0.2 stumbles over its own mistake (a NameError), 1.1 does not.
    ("add j polling", "DuplicateJailException('j',)"),
    ("add k 'polling[a=b]'", "DuplicateJailException('k',)"),
    ("add k systemd", "DuplicateJailException('k',)"),
    // The inner workings of an action are not for calling.
    ("set web action b replaceTag", "cannot be called from outside"),
];

/// Two jails; what their actions do is noted in a file.
fn prepare(peer: &Peer) {
    peer.write("conf/filter.d/fails.conf", "[Definition]\nfailregex = ^\\s*fail from <HOST>$\n");
    peer.write(
        "conf/action.d/act.conf",
        "[Definition]\nactionstart = echo start >> @DIR@/notes\nactionstop = echo stop >> @DIR@/notes\n\
         actionflush = echo flush >> @DIR@/notes\nactionban = echo ban '<ip>' >> @DIR@/notes\n\
         actionunban = echo unban '<ip>' >> @DIR@/notes\n[Init]\n",
    );
    peer.write(
        "conf/jail.d/conversation.conf",
        "[DEFAULT]\nbackend = polling\naction = act\nfilter = fails\n[web]\nenabled = true\nlogpath = @DIR@/web.log\n\
         [ssh]\nenabled = true\nlogpath = @DIR@/web.log\n",
    );
    peer.write("web.log", "");
    peer.write("b.log", "");
}

/// The lines of `conversation/commands.txt`.
fn listed() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conversation/commands.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

/// A line as JSON: it is JSON already, or words between blanks with `'…'` as one.
fn request(line: &str) -> serde_json::Value {
    if line.starts_with(['[', '{']) {
        return serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    let mut words: Vec<serde_json::Value> = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take().map(Into::into)),
            c => word.get_or_insert_default().push(c),
        }
    }
    assert!(!quoted, "{line}");
    words.extend(word.map(Into::into));
    words.into()
}

/// Sends the requests over one connection, in all protocols of pickle; the answers as Python shows them.
fn answers(peer: &Peer, lines: &[String]) -> Vec<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conversation/drive.py");
    let requests: Vec<serde_json::Value> = lines.iter().map(|line| request(line)).collect();
    let dir = peer.path("");
    let dir = dir.to_str().unwrap().trim_end_matches('/');
    let requests = serde_json::Value::from(requests).to_string().replace("@DIR@", dir);
    let mut driver = std::process::Command::new("python3")
        .arg(script)
        .arg(peer.path("f2b.sock"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    driver.stdin.take().unwrap().write_all(requests.as_bytes()).unwrap();
    let output = driver.wait_with_output().unwrap();
    assert!(output.status.success(), "{}: the driver failed", peer.who());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| peer.mask(line)).collect()
}

/// An answer without what depends on the moment: how long a repeated `banip` prolonged a ban, and the order of single addresses
/// of an ignore list, which Fail2ban keeps in a set; and without the tuples of such a list, each of which it takes for the first.
fn settled(line: &str, answer: &str) -> String {
    if line.contains("--with-time") {
        let parts = answer.split(" + ").map(|part| part.split_once(" = ").map_or(part, |(_, end)| end));
        return parts.collect();
    }
    if !line.contains("ignoreip") {
        return answer.to_owned();
    }
    // Entries that were tuples stand between double quotes.
    let is_tuple = |(at, part): &(usize, &str)| at % 2 == 1 && part.starts_with('(') && part.ends_with(')');
    let texts = answer.split('"').enumerate().filter(|part| !is_tuple(part));
    let parts = texts.flat_map(|(_, text)| text.split([' ', ',', '[', ']', '(', ')', '\n', '|', '`', '-']));
    let mut parts: Vec<&str> = parts.collect();
    parts.sort_unstable();
    parts.concat()
}

/// What is expected of our answer where it differs on purpose.
fn otherwise(line: &str) -> Option<&'static str> {
    OTHERWISE.iter().find(|(begin, _)| line.starts_with(begin)).map(|(_, expected)| *expected)
}

#[test]
fn every_request_is_answered_as_by_fail2ban_s_server() {
    let seed = Random::seed("conversation");
    let random = random::requests(seed, RANDOM);
    let lines = [listed()[..].to_vec(), vec!["add web2 polling".into()]].concat();
    let run = |peer: &mut Peer| {
        prepare(peer);
        peer.start();
        // The random ones first: the list ends with no jail left.
        let random = answers(peer, &random);
        let log = peer.log();
        peer.stop();
        std::fs::remove_file(peer.path("f2b.sqlite3")).unwrap();
        peer.start();
        let listed = answers(peer, &lines);
        (random, listed, log)
    };
    let Some(((their_random, theirs, _), (our_random, ours, _))) = both(run) else { return };
    let mut comparison = Comparison::new("conversation, request by request");
    let pairs = random.iter().zip(their_random.iter().zip(&our_random));
    let pairs = pairs.chain(lines.iter().zip(theirs.iter().zip(&ours)));
    let mut compared = 0;
    for (line, (theirs, ours)) in pairs {
        compared += 1;
        if let Some(expected) = otherwise(line).filter(|_| theirs != ours) {
            assert!(ours.contains(expected), "{line}\n{theirs}\n{ours}");
            continue;
        }
        comparison.same(line, &settled(line, theirs), &settled(line, ours));
    }
    assert_eq!(compared, random.len() + lines.len(), "seed {seed}: an answer is missing");
    println!("{} listed and {} random requests (seed {seed})", lines.len(), random.len());
    comparison.finish();
}

/// What one of the four pairings gave.
struct Talk {
    /// One output for each command that was run by itself.
    single: Vec<Output>,
    /// What the session printed after each command.
    turns: Vec<String>,
    stderr: String,
    status: Option<i32>,
}

/// One of the four pairings: a server, and whose client talks to it.
fn talk(server: Who, our_client: bool, lines: &[String], single: &[String]) -> Option<Talk> {
    let mut peer = Peer::new(server)?;
    prepare(&peer);
    peer.start();
    let other = our_client != (server == Who::Ours);
    let run = |line: &String| {
        let words: Vec<String> = serde_json::from_value(request(line)).unwrap();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if other { peer.other_client(&words) } else { peer.client(&words) }.masked()
    };
    let single = single.iter().map(run).collect();
    let program = if other { "../other/fail2ban-client" } else { "fail2ban-client" };
    peer.write("session", &(lines.join("\n") + "\nexit\n"));
    let typed = std::fs::File::open(peer.path("session")).unwrap();
    let places = ["-c", "@DIR@/conf", "-s", "@DIR@/f2b.sock", "-p", "@DIR@/f2b.pid", "-i"];
    let output = peer.command(program, &places).stdin(typed).output().unwrap();
    peer.stop();
    let stdout = peer.mask(&String::from_utf8(output.stdout).unwrap());
    Some(Talk {
        single,
        turns: stdout.split("fail2ban> ").skip(1).map(str::to_owned).collect(),
        stderr: peer.mask(&String::from_utf8(output.stderr).unwrap()),
        status: output.status.code(),
    })
}

#[test]
fn requests_with_other_types_in_place_of_words_are_answered_alike() {
    let seed = Random::seed("conversation, other types");
    let count = number("CONVERSATION_ODD").map_or(ODD, |count| count as usize);
    let lines = random::odd(seed, count);
    let run = |peer: &mut Peer| {
        prepare(peer);
        peer.start();
        answers(peer, &lines)
    };
    let Some((theirs, ours)) = both(run) else { return };
    assert_eq!((theirs.len(), ours.len()), (lines.len(), lines.len()), "seed {seed}: an answer is missing");
    let mut comparison = Comparison::new("conversation, other types");
    for (line, (theirs, ours)) in lines.iter().zip(theirs.iter().zip(&ours)) {
        // Longer ones are refused before they are computed.
        let too_long = ours.contains("'expression is too long'");
        if !too_long && otherwise(line).is_none_or(|expected| !ours.contains(expected)) {
            comparison.same(&format!("{line:.300}"), &settled(line, theirs), &settled(line, ours));
        }
    }
    comparison.finish();
}

#[test]
fn genuine_and_our_clients_and_servers_hold_the_same_conversation() {
    // What the interactive client does by itself is compared elsewhere.
    let itself = ["start", "reload", "restart", "help", "stop", "exit", "quit", "echo"];
    let typed = |line: &String| {
        !line.starts_with('[')
            && otherwise(line).is_none()
            && !itself.contains(&line.split(' ').next().unwrap())
    };
    let lines: Vec<String> = listed().into_iter().filter(typed).collect();
    let single: Vec<String> = lines.iter().take(500).step_by(16).cloned().collect();
    let pairings = [(Who::Genuine, false), (Who::Genuine, true), (Who::Ours, false), (Who::Ours, true)];
    let talks: Vec<Option<Talk>> = std::thread::scope(|scope| {
        let (lines, single) = (&lines, &single);
        let running = pairings.map(|(server, ours)| scope.spawn(move || talk(server, ours, lines, single)));
        running.into_iter().map(|talk| talk.join().unwrap()).collect()
    });
    let Some(talks) = talks.into_iter().collect::<Option<Vec<_>>>() else { return };
    let mut comparison = Comparison::new("conversation, four pairings");
    let names = ["our client, Fail2ban's server", "Fail2ban's client, our server", "our client and server"];
    let (genuine, others) = talks.split_first().unwrap();
    assert_eq!(genuine.turns.len(), lines.len() + 1, "{}", genuine.stderr);
    for (name, other) in names.iter().zip(others) {
        for (line, (theirs, ours)) in single.iter().zip(genuine.single.iter().zip(&other.single)) {
            comparison.same_output(&format!("{name}: {line}"), theirs, ours);
        }
        assert_eq!(genuine.turns.len(), other.turns.len(), "{name}: {}", other.stderr);
        for (line, (theirs, ours)) in lines.iter().zip(genuine.turns.iter().zip(&other.turns)) {
            let what = format!("{name}: {line}");
            comparison.same(&what, &settled(line, theirs), &settled(line, ours));
        }
        comparison.same(&format!("{name}: stderr of the session"), &genuine.stderr, &other.stderr);
        comparison.same(
            &format!("{name}: status"),
            &format!("{:?}", genuine.status),
            &format!("{:?}", other.status),
        );
    }
    println!("{} commands typed and {} run in each of four pairings", lines.len(), single.len());
    comparison.finish();
}
