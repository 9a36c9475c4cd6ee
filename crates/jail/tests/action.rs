//! What scripts of actions promise: Fail2ban's text for harmless values, and no way into the shell for hostile ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::format_collect)]

use std::process::{Command, Stdio};

use portcullis_jail::action::{Action, Counters, Facts, Info, Operation, Past, Script, TagError};
use portcullis_jail::failure::Data;
use portcullis_jail::{Family, Id, MatchedLine, Ticket, Timestamp};
use portcullis_value::Value;
use proptest::prelude::*;

struct Known;

impl Facts for Known {
    fn jail(&self) -> String {
        "J".into()
    }
    fn now(&self) -> Timestamp {
        Timestamp(1_795_374_495.310_886)
    }
    fn bantime(&self) -> Value {
        Value::Int(600)
    }
    fn counters(&self) -> Counters {
        Counters { banned: 1, banned_total: 1, found: 0, found_total: 2 }
    }
    fn host_of(&self, _: &Id) -> Option<String> {
        None
    }
    fn past(&self, _: &Id, _: bool) -> Past {
        Past { matches: vec!["2026-11-22 19:13:11 fail 192.0.2.2 user=joe".into()], failures: 2 }
    }
    fn own_host(&self, _: bool) -> String {
        "vm".into()
    }
}

fn action(properties: &[(&str, &str)]) -> Action {
    let mut action = Action::new("t");
    for (property, value) in properties {
        action.set(property, (*value).into());
    }
    action
}

fn ticket(id: &str) -> Ticket {
    Ticket::by_hand(Id::new(id), Timestamp(1_795_374_791.0))
}

fn line(after: &str) -> MatchedLine {
    MatchedLine { before: String::new(), date: "2026-11-22 19:13:11".into(), after: after.into() }
}

fn failed(id: &str, user: &str) -> Ticket {
    let data = Data::from_iter([("user", Value::from(user))]);
    let text = format!(" fail {id} user={user}");
    Ticket { failures: 2, matches: vec![line(&text), line(&text)], data, ..ticket(id) }
}

fn ban(action: &Action, ticket: &Ticket) -> Script {
    let info = Info::ticket(ticket, &Known);
    action.render(Operation::Ban, ticket.id.family(), &info).expect("resolvable").expect("a command")
}

#[test]
fn values_of_a_family_take_the_place_of_the_plain_ones() {
    let action = action(&[
        ("actionban", "<iptables> -I f2b-J 1 -s <ip> -j <blocktype>"),
        ("blocktype", "REJECT --reject-with icmp-port-unreachable"),
        ("lockingopt", "-w"),
        ("iptables", "iptables <lockingopt>"),
        ("blocktype?family=inet6", "REJECT --reject-with icmp6-port-unreachable"),
        ("iptables?family=inet6", "ip6tables <lockingopt>"),
    ]);
    assert_eq!(
        ban(&action, &ticket("192.0.2.1")).text,
        "iptables -w -I f2b-J 1 -s 192.0.2.1 -j REJECT --reject-with icmp-port-unreachable"
    );
    assert_eq!(
        ban(&action, &ticket("2001:db8::1")).text,
        "ip6tables -w -I f2b-J 1 -s 2001:db8::1 -j REJECT --reject-with icmp6-port-unreachable"
    );
    assert!(action.start_on_demand());
}

#[test]
fn nested_tags_are_completed_from_inside() {
    let mut action = action(&[("actionban", "n=<n<w>>"), ("w", "1"), ("n1", "<ip>n1"), ("n2", "two")]);
    assert_eq!(ban(&action, &ticket("192.0.2.1")).text, "n=192.0.2.1n1");
    action.set("w", "2".into());
    assert_eq!(ban(&action, &ticket("192.0.2.1")).text, "n=two");
}

#[test]
fn a_circle_of_properties_is_named_in_fail2bans_words() {
    let circle = action(&[("actionban", "<timeout> v=<v>"), ("v", "<w> <v>"), ("w", "1")]);
    let info = Info::nobody("", &Known);
    let ones = "1 ".repeat(26);
    assert_eq!(
        circle.render(Operation::Ban, None, &info).expect_err("a circle").to_string(),
        format!(
            "properties contain self referencing definitions and cannot be resolved, fail tag: actionban, \
             found: v in {{'timeout': 1, 'v': 26, 'w': 26}}, value: 60 v={ones}<v>"
        )
    );
    let own = action(&[("actionban", "echo <foo> <actionban>"), ("foo", "")]);
    assert!(matches!(
        own.render(Operation::Ban, None, &info),
        Err(TagError::SelfReference { tag, value, .. }) if tag == "actionban" && value == "echo  <actionban>"
    ));
}

#[test]
fn properties_that_double_each_other_end_in_an_error_not_in_memory() {
    let mut action = Action::new("t");
    action.set("actionban", "<a0>".into());
    for step in 0..40 {
        action.set(&format!("a{step}"), "<X><X><X><X><X>".replace('X', &format!("a{}", step + 1)).into());
    }
    action.set("a40", "x".repeat(100_000).into());
    assert!(action.render(Operation::Ban, None, &Info::nobody("", &Known)).is_err());
}

#[test]
fn hostile_values_become_variables_as_fail2ban_numbers_them() {
    let action = action(&[(
        "actionban",
        "echo \"<matches> <ip-host> <failures> <jail.found> <F-USER> <F-*>\"; exit 3",
    )]);
    let script = ban(&action, &failed("192.0.2.2", "j'o;e"));
    assert_eq!(
        script.text,
        "f2bV_matches=$0 f2bV_F__=$1 f2bV_F_user=$2 \necho \"$f2bV_matches None 2 0 $f2bV_F_user $f2bV_F__\"; exit 3"
    );
    assert_eq!(
        script.variables[1].1,
        "{'matches': [('', '2026-11-22 19:13:11', \" fail 192.0.2.2 user=j'o;e\"), \
         \"2026-11-22 19:13:11 fail 192.0.2.2 user=j'o;e\"], 'failures': 2, 'ip4': '192.0.2.2', 'user': \"j'o;e\"}"
    );
    assert_eq!(script.variables[2].1, "j'o;e");
}

#[test]
fn what_is_unknown_stays_and_what_was_not_captured_is_empty() {
    let action = action(&[("actionban", "<unk> <IP> < ip > <F-NOPE>.<F-user>[<br>][<sp>]<a <b")]);
    assert_eq!(ban(&action, &ticket("192.0.2.2")).text, "<unk> <IP> < ip > .<F-user>[\n][ ]<a <b");
}

#[test]
fn a_start_has_an_empty_ticket_and_a_check_has_none() {
    let mut action =
        action(&[("actionstart", "[<ip>|<fid>|<family>|<failures>|<bantime>|<time>|<F-USER>|<ip-host>]")]);
    let start = action.render(Operation::Start, None, &Info::nobody("inet6", &Known)).unwrap().unwrap();
    assert_eq!(start.text, "[||inet6|0|600|1795374495.310886||None]");
    action.set("actioncheck", "[<family>][<ip>][<F-USER>]".into());
    let check =
        |family| action.render(Operation::Check, family, &Info::check(family, &Known)).unwrap().unwrap().text;
    assert_eq!(check(Some(Family::Inet4)), "[inet4][<ip>][]");
    assert_eq!(check(None), "[<family>][<ip>][]");
}

#[test]
fn addresses_are_reversed_for_block_lists() {
    let action = action(&[("actionban", "<ip-rev>")]);
    let reversed = |id| ban(&action, &ticket(id)).text;
    assert_eq!(reversed("192.0.2.7"), "7.2.0.192.");
    assert_eq!(reversed("198.51.100.0/24"), "0/24.100.51.198.");
    assert_eq!(
        reversed("2001:db8:1::/48"),
        "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2."
    );
    assert_eq!(reversed("garbage"), "");
}

#[test]
fn a_restored_ban_shows_its_time_as_an_integer() {
    let action = action(&[("actionban", "<time> <restored> <bancount> <family>")]);
    let restored = Ticket { restored: true, bancount: 3, ..ticket("192.0.2.7") };
    assert_eq!(ban(&action, &restored).text, "1795374791 1 3 inet4");
    assert_eq!(ban(&action, &ticket("garbage")).text, "1795374791.0 0 1 None");
}

#[test]
fn the_words_about_a_failed_action_show_what_was_asked_for() {
    let action = action(&[("actionban", "<failures> <ip-host> <jail.found>")]);
    let ticket = ticket("a;b");
    let info = Info::ticket(&ticket, &Known);
    action.render(Operation::Ban, None, &info).unwrap();
    assert_eq!(
        info.to_string(),
        "ActionInfo({'ip': 'a;b', 'family': None, 'ip-host': None, \
         'fid': <function Actions.ActionInfo.<lambda> at 0x7f28786f2c00>, 'failures': 0, \
         'raw-ticket': <function Actions.ActionInfo.<lambda> at 0x7f28786f3380>, 'jail.found': 0})"
    );
}

#[test]
fn properties_and_their_names_are_told_as_fail2ban_tells_them() {
    let mut action = action(&[
        ("actionban", "x"),
        ("name", "J"),
        ("norestored", "1"),
        ("x?family=inet6", "2"),
        ("x", "1"),
    ]);
    assert_eq!(
        action.properties().join(", "),
        "ESCAPE_CRE, ESCAPE_VN_CRE, actionban, actioncheck, actionflush, actionreban, actionreload, actionrepair, \
         actionstart, actionstop, actionunban, banEpoch, name, norestored, timeout, x, x?family=inet6"
    );
    assert_eq!(action.property("actionstart"), Some("".into()));
    assert_eq!(action.property("actionprolong"), None);
    action.set("bantime", "5".into());
    assert_eq!(action.property("bantime"), None);
    action.set("timeout", "2m".into());
    assert_eq!(action.property("timeout"), Some(Value::Int(120)));
    assert_eq!(action.timeout(), std::time::Duration::from_secs(120));
    action.set("banEpoch", "5".into());
    assert_eq!(action.property("banEpoch"), Some(Value::Int(0)));
}

#[test]
fn what_stands_behind_a_tag_does_not_swallow_it() {
    let action = action(&[("actionban", "printf %s \"<F-USER>abc<F-USER>_<F-USER><failures>\"")]);
    let script = ban(&action, &failed("192.0.2.2", "$x"));
    assert_eq!(run(&script), b"$xabc$x_$x2");
}

#[test]
fn a_value_never_outgrows_what_the_kernel_takes() {
    let action = action(&[("actionban", "printf %s \"<matches>\" | wc -c")]);
    let mut long = failed("192.0.2.2", "joe");
    long.matches = vec![line(&"a".repeat(300_000))];
    let count: usize = String::from_utf8(run(&ban(&action, &long))).unwrap().trim().parse().unwrap();
    assert_eq!(count, 64 * 1024);
}

#[test]
fn more_than_ten_values_keep_their_places() {
    let users: Vec<_> = (0..14).map(|index| format!("F-U{index}")).collect();
    let text: String = users.iter().map(|user| format!("printf '%s\\n' \"<{user}>\"\n")).collect();
    let mut many = ticket("192.0.2.2");
    for index in 0..14 {
        many.data.insert(format!("u{index}"), format!(";{index}").into());
    }
    let lines: String = (0..14).map(|index| format!(";{index}\n")).collect();
    assert_eq!(run(&ban(&action(&[("actionban", &text)]), &many)), lines.as_bytes());
}

/// Runs a script with the real shell in an empty directory, and says what it wrote. Nothing else may have come of it.
fn run(script: &Script) -> Vec<u8> {
    let place = tempfile::tempdir().expect("a directory");
    let output = Command::new("/bin/sh")
        .arg("-c")
        .arg(&script.text)
        .args(script.arguments())
        .current_dir(place.path())
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{:?}: {said}\n{script:?}", output.status);
    let left = std::fs::read_dir(place.path()).expect("the directory").count();
    assert_eq!(left, 0, "the script left files behind: {script:?}");
    output.stdout
}

/// Texts that try hard: shell syntax, tags of ours, controls, other scripts.
fn hostile() -> impl Strategy<Value = String> {
    let parts = prop_oneof![
        Just("$(touch pwned)".to_owned()),
        Just("`touch pwned`".to_owned()),
        Just("\";touch pwned;\"".to_owned()),
        Just("';touch pwned;'".to_owned()),
        Just("\n touch pwned\n".to_owned()),
        Just("\r".to_owned()),
        Just("&& touch pwned #".to_owned()),
        Just("| touch pwned".to_owned()),
        Just("> pwned".to_owned()),
        Just("<ip> <matches> <F-USER> <br> <cmd>".to_owned()),
        Just("${IFS}$0$1$f2bV_matches${x:=y}".to_owned()),
        Just("\\".to_owned()),
        Just("%s%n\\x41\\0".to_owned()),
        Just("-n --help !".to_owned()),
        Just("*?[a-z]~".to_owned()),
        Just("\u{81}\u{83}\u{88}é漢\u{7f}\u{1}".to_owned()),
        Just("EOF\n)}\nfi\ndone\n".to_owned()),
        "\\PC{0,20}",
        "[ -~\t\n\r]{0,20}",
    ];
    prop::collection::vec(parts, 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_a_log_line_holds_arrives_byte_for_byte_and_does_nothing_else(
        user in hostile(), fid in hostile(), text in hostile(),
    ) {
        let mut attack = failed("192.0.2.2", &user);
        attack.id = Id::raw(&fid);
        attack.ip = Some(Id::new("192.0.2.2"));
        attack.matches = vec![line(&text), line(&user)];
        let action = action(&[
            ("actionban", "<cmd> \"<matches>\"; <cmd> \"<F-USER>\"\n<cmd> \"<fid>\"\nfor i in 1; do <cmd> \"x$(<cmd> \"<fid>.\")y\"; done"),
            ("cmd", "printf %s"),
        ]);
        let matches = attack.matches.iter().map(MatchedLine::line).collect::<Vec<_>>().join("\n");
        let expected = format!("{matches}{user}{fid}x{fid}.y");
        let script = ban(&action, &attack);
        prop_assert_eq!(String::from_utf8_lossy(&run(&script)).into_owned(), expected);
        prop_assert!(!script.text.contains("pwned"), "a value stands in the text: {:?}", script.text);
    }
}

#[test]
fn a_zero_byte_in_a_log_line_does_not_stop_a_ban() {
    let action = action(&[("actionban", "printf %s \"<F-USER>\"")]);
    assert_eq!(run(&ban(&action, &failed("192.0.2.2", "a\0;b"))), b"a;b");
}
