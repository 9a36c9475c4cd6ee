//! What the ignore list promises; texts and orders are those of Fail2ban 1.0.2.

use std::collections::HashMap;
use std::net::IpAddr;

use super::*;
use crate::MatchedLine;
use crate::failure::Data;
use crate::outside::{FileText, History};

/// A world from a script; it counts what is asked.
#[derive(Default)]
struct Scripted {
    hosts: HashMap<&'static str, Vec<IpAddr>>,
    own: Vec<Id>,
    status: HashMap<String, i32>,
    file: Option<(u64, String)>,
    ran: Vec<Script>,
    resolved: usize,
}

impl Outside for Scripted {
    fn resolve(&mut self, name: &str) -> Result<Vec<IpAddr>, String> {
        self.resolved += 1;
        self.hosts.get(name).cloned().ok_or_else(|| "[Errno -2] Name or service not known".into())
    }

    fn host_of(&mut self, _: IpAddr) -> Option<String> {
        None
    }

    fn is_own(&mut self, id: &Id) -> bool {
        self.own.contains(id)
    }

    fn run(&mut self, script: &Script) -> Result<i32, String> {
        self.ran.push(script.clone());
        self.status.get(&script.text).copied().ok_or_else(|| "timed out".into())
    }

    fn history(&mut self, _: &Id, _: bool) -> Option<History> {
        None
    }

    fn ignore_file(&mut self, path: &str, seen: Option<u64>) -> FileText {
        match &self.file {
            Some((version, _)) if seen == Some(*version) => FileText::Same,
            Some((version, text)) if path == "/etc/friends" => {
                FileText::New { version: *version, text: text.clone() }
            }
            _ => FileText::Unreadable("No such file or directory".into()),
        }
    }
}

fn failure(id: &str) -> Failure {
    Failure {
        id: Id::new(id),
        ip: None,
        time: Timestamp(5.0),
        matches: vec![MatchedLine { after: "line".into(), ..MatchedLine::default() }],
        data: Data::from_iter([("user".to_owned(), "joe; rm".into())]),
    }
}

fn list(words: &[&str]) -> Ignore {
    let mut ignore = Ignore::new();
    for word in words {
        ignore.add(word).unwrap();
    }
    ignore
}

/// The verdict, and the lines beyond DEBUG.
fn checked(ignore: &mut Ignore, id: &str, at: f64, world: &mut Scripted) -> (bool, Vec<String>) {
    let mut lines = Vec::new();
    let ignored = ignore.check("j", &failure(id), Timestamp(at), world, &mut lines);
    let lines = lines.into_iter().filter(|line| line.level > Level::DEBUG).map(|line| line.text);
    (ignored, lines.collect())
}

fn by(ignore: &mut Ignore, id: &str, world: &mut Scripted) -> Option<String> {
    let (ignored, lines) = checked(ignore, id, 0.0, world);
    let line = lines
        .into_iter()
        .find_map(|line| line.strip_prefix(&format!("[j] Ignore {id} by ")).map(str::to_owned));
    assert_eq!(ignored, line.is_some());
    line
}

#[test]
fn entries_are_added_shown_and_removed_in_fail2bans_words() {
    let mut ignore = Ignore::new();
    let mut add = |word: &str| {
        ignore.add(word).map_or_else(
            |error| error.to_string(),
            |lines| lines.first().map_or(String::new(), |line| format!("{} {}", line.level.0, line.text)),
        )
    };
    assert_eq!(add("1.1.1.1"), "10   Add '1.1.1.1' to ignore list ('1.1.1.1')");
    assert_eq!(add("10.0.0.5/8"), "10   Add '10.0.0.0/8' to ignore list ('10.0.0.5/8')");
    assert_eq!(
        add("::FFFF:1.1.1.1"),
        "18   Ignore duplicate '1.1.1.1' ('::FFFF:1.1.1.1'), already in ignore list"
    );
    assert_eq!(
        add("10.0.0.0/8"),
        "18   Ignore duplicate '10.0.0.0/8' ('10.0.0.0/8'), already in ignore list"
    );
    assert_eq!(add("one.example"), "10   Add 'one.example' to ignore list ('one.example')");
    assert_eq!(add("999.1.1.1"), "10   Add '999.1.1.1' to ignore list ('999.1.1.1')");
    assert_eq!(add("1.1.1.1/255.0.255.0"), "invalid mask '255.0.255.0', no plen representation");
    assert_eq!(add(""), "");
    assert_eq!(add("a/b"), "invalid literal for int() with base 10: 'b'");
    let shown: Vec<&str> = ignore.entries().collect();
    assert_eq!(shown, ["10.0.0.0/8", "one.example", "999.1.1.1", "1.1.1.1"]);
    assert_eq!(ignore.remove("10.0.0.7/8").unwrap()[0].text, "  Remove '10.0.0.7/8' from ignore list");
    assert_eq!(ignore.remove("10.0.0.0/8").unwrap_err().to_string(), "list.remove(x): x not in list");
    assert!(ignore.remove("1.1.1.1").is_ok() && ignore.remove("one.example").is_ok());
    assert_eq!(ignore.entries().collect::<Vec<_>>(), ["999.1.1.1"]);
}

#[test]
fn each_form_ignores_whom_it_means() {
    let mut world = Scripted { own: vec![Id::new("127.0.0.1")], ..Scripted::default() };
    world.hosts.insert("two.example", vec!["192.0.2.8".parse().unwrap(), "2001:db8::8".parse().unwrap()]);
    let words = [
        "192.0.2.1",
        "[2001:db9::1]",
        "10.1.0.0/255.255.0.0",
        "198.51.100.9/24",
        "1.2.3.0/33",
        "two.example",
    ];
    let mut ignore = list(&words);
    let mut by = |id| by(&mut ignore, id, &mut world);
    for id in ["192.0.2.1", "2001:db9::1", "10.1.255.1", "198.51.100.0/25", "1.2.3.0"] {
        assert_eq!(by(id).as_deref(), Some("ip"), "{id}");
    }
    assert_eq!(by("127.0.0.1").as_deref(), Some("ignoreself rule"));
    assert_eq!(by("192.0.2.8").as_deref(), Some("dns"));
    assert_eq!(by("2001:db8::8").as_deref(), Some("dns"));
    for id in ["192.0.2.2", "10.2.0.1", "198.51.0.0/16", "1.2.3.1", "two.example", "joe"] {
        assert_eq!(by(id), None, "{id}");
    }
}

#[test]
fn a_length_of_zero_ignores_everybody_of_its_family() {
    let mut world = Scripted::default();
    let mut ignore = list(&["0.0.0.0/0"]);
    assert_eq!(by(&mut ignore, "9.9.9.9", &mut world).as_deref(), Some("ip"));
    assert_eq!(by(&mut ignore, "2001:db8::1", &mut world), None);
    assert_eq!(ignore.entries().collect::<Vec<_>>(), ["0.0.0.0"]);
}

#[test]
fn a_name_without_address_is_told_and_ignores_nobody() {
    let (ignored, lines) = checked(&mut list(&["999.1.1.1"]), "192.0.2.1", 0.0, &mut Scripted::default());
    let warning =
        "Unable to find a corresponding IP address for 999.1.1.1: [Errno -2] Name or service not known";
    assert_eq!((ignored, lines), (false, vec![warning.to_owned()]));
}

#[test]
fn the_command_is_asked_last_and_only_zero_is_yes() {
    let mut ignore = list(&["192.0.2.1"]);
    ignore.set_ignorecommand("test <ip>");
    let status = [("test 4.4.4.4", 0), ("test 4.4.4.5", 1), ("test 4.4.4.6", 3)];
    let status = status.map(|(text, status)| (text.to_owned(), status)).into();
    let mut world = Scripted { status, ..Scripted::default() };
    assert_eq!(by(&mut ignore, "192.0.2.1", &mut world).as_deref(), Some("ip"));
    assert!(world.ran.is_empty());
    assert_eq!(by(&mut ignore, "4.4.4.4", &mut world).as_deref(), Some("command"));
    assert_eq!(checked(&mut ignore, "4.4.4.5", 0.0, &mut world), (false, vec![]));
    let (ignored, lines) = checked(&mut ignore, "4.4.4.6", 0.0, &mut world);
    assert!(!ignored);
    assert!(
        lines[0].ends_with(" -- exec: test 4.4.4.6") && lines[1].ends_with(" -- returned 3"),
        "{lines:?}"
    );
    let (ignored, lines) = checked(&mut ignore, "4.4.4.7", 0.0, &mut world);
    assert!(!ignored && lines[1].ends_with(" -- timed out"));
}

#[test]
fn what_an_attacker_wrote_is_never_shell_text() {
    let mut ignore = Ignore::new();
    ignore.set_ignorecommand("check <F-USER>");
    let mut world = Scripted::default();
    checked(&mut ignore, "192.0.2.1", 0.0, &mut world);
    assert!(!world.ran[0].text.contains("rm"), "{:?}", world.ran[0]);
    assert_eq!(world.ran[0].variables[0].1, "joe; rm");
}

#[test]
fn a_remembered_verdict_is_silent_until_its_time_is_over() {
    let mut ignore = list(&["192.0.2.1", "two.example"]);
    ignore.set_ignorecache(Some(("<ip>".into(), 2, Number::Int(60))));
    let mut world = Scripted::default();
    world.hosts.insert("two.example", vec!["192.0.2.8".parse().unwrap()]);
    let line = |id| vec![format!("[j] Ignore {id} by dns")];
    assert_eq!(checked(&mut ignore, "192.0.2.8", 0.0, &mut world), (true, line("192.0.2.8")));
    assert_eq!(checked(&mut ignore, "192.0.2.8", 59.0, &mut world), (true, vec![]));
    assert_eq!(checked(&mut ignore, "192.0.2.9", 59.0, &mut world), (false, vec![]));
    assert_eq!(checked(&mut ignore, "192.0.2.9", 59.5, &mut world), (false, vec![]));
    assert_eq!(world.resolved, 2);
    assert_eq!(checked(&mut ignore, "192.0.2.8", 61.0, &mut world), (true, line("192.0.2.8")));
    // Single addresses are never remembered.
    for _ in 0..2 {
        assert_eq!(by(&mut ignore, "192.0.2.1", &mut world).as_deref(), Some("ip"));
    }
    // The third one drives the first one out.
    checked(&mut ignore, "192.0.2.10", 62.0, &mut world);
    let asked = world.resolved;
    checked(&mut ignore, "192.0.2.10", 62.0, &mut world);
    checked(&mut ignore, "192.0.2.9", 62.0, &mut world);
    assert_eq!(world.resolved, asked);
    checked(&mut ignore, "192.0.2.8", 62.0, &mut world);
    assert_eq!(world.resolved, asked + 1);
}

#[test]
fn keys_with_different_values_are_different() {
    let mut ignore = list(&[]);
    ignore.set_ignorecommand("test <ip>");
    ignore.set_ignorecache(Some(("<F-USER>".into(), 9, Number::Int(60))));
    let mut world = Scripted { status: [("test 4.4.4.4".to_owned(), 0)].into(), ..Scripted::default() };
    let mut ask = |user: &str| {
        let data = Data::from_iter([("user".to_owned(), user.into())]);
        let failure = Failure { data, ..failure("4.4.4.4") };
        ignore.check("j", &failure, Timestamp(0.0), &mut world, &mut Vec::new());
        world.ran.len()
    };
    assert_eq!([ask("a;b"), ask("a;c"), ask("a;b"), ask("plain"), ask("plain")], [1, 2, 2, 3, 3]);
}

#[test]
fn an_added_entry_counts_at_once_though_verdicts_are_remembered() {
    let mut ignore = list(&["two.example"]);
    ignore.set_ignorecache(Some(("<ip>".into(), 2, Number::Int(60))));
    let mut world = Scripted::default();
    world.hosts.insert("two.example", vec![]);
    assert_eq!(by(&mut ignore, "192.0.2.8", &mut world), None);
    ignore.add("192.0.2.0/24").unwrap();
    assert_eq!(by(&mut ignore, "192.0.2.8", &mut world).as_deref(), Some("ip"));
}

#[test]
fn a_file_is_read_again_when_it_changes_and_holds_while_it_is_gone() {
    let mut world = Scripted::default();
    let mut ignore = list(&["file:///etc/friends"]);
    let (ignored, lines) = checked(&mut ignore, "192.0.2.1", 0.0, &mut world);
    assert!(!ignored && lines[0].contains("file:///etc/friends: No such file"), "{lines:?}");
    assert_eq!(checked(&mut ignore, "192.0.2.1", 0.0, &mut world), (false, vec![]));
    world.file = Some((1, "# friends\n192.0.2.0/24, 2001:db8::/32 # all\n198.51.100.7".into()));
    for id in ["192.0.2.1", "2001:db8::5", "198.51.100.7"] {
        assert_eq!(by(&mut ignore, id, &mut world).as_deref(), Some("file:///etc/friends"));
    }
    assert_eq!(by(&mut ignore, "198.51.100.8", &mut world), None);
    world.file = Some((2, "198.51.100.8".into()));
    assert_eq!(by(&mut ignore, "192.0.2.1", &mut world), None);
    world.file = None;
    assert!(checked(&mut ignore, "198.51.100.8", 0.0, &mut world).0);
}
