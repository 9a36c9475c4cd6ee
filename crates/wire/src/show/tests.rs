//! Texts that the genuine client 1.0.2 printed (those of 1.1 are marked).

use super::*;

fn shown(command: &str, value: impl Into<Value>) -> String {
    let words: Vec<Value> = command.split(' ').map(Value::from).collect();
    reply(&words, &value.into(), Charset::Ascii).unwrap_or_default()
}

fn list(items: &[&str]) -> Value {
    Value::List(items.iter().map(|item| Value::from(*item)).collect())
}

fn pair(name: &str, value: impl Into<Value>) -> Value {
    Value::Tuple(vec![name.into(), value.into()])
}

fn jail(banned: &[&str]) -> Value {
    Value::List(vec![
        pair(
            "Filter",
            Value::List(vec![
                pair("Currently failed", 0),
                pair("Total failed", 2),
                pair("File list", list(&["/l/a.log", "/l/b.log"])),
            ]),
        ),
        pair(
            "Actions",
            Value::List(vec![
                pair("Currently banned", 1),
                pair("Total banned", 6),
                pair("Banned IP list", list(banned)),
            ]),
        ),
    ])
}

#[test]
fn single_values_have_their_sentences() {
    for (command, value, text) in [
        ("ping", "pong".into(), "Server replied: pong"),
        ("version", "1.0.2".into(), "1.0.2"),
        ("echo a", list(&["a", "b"]), "a b"),
        ("add web", "web".into(), "Added jail web"),
        ("start web", Value::None, "Jail started"),
        ("stop web", Value::None, "Jail stopped"),
        ("stop --all", Value::None, "Jail stopped"),
        ("stop", Value::None, "Shutdown successful"),
        ("flushlogs", "rolled over".into(), "logs: rolled over"),
        ("sleep 0", Value::None, "None"),
        ("server-stream", Value::None, ""),
        ("get loglevel", "INFO".into(), "Current logging level is 'INFO'"),
        ("set logtarget x", "STDOUT".into(), "Current logging target is:\n`- STDOUT"),
        ("get syslogsocket", "auto".into(), "Current syslog socket is:\n`- auto"),
        ("get dbfile", "/x.db".into(), "Current database file is:\n`- /x.db"),
        ("get dbfile", Value::None, "Database currently disabled"),
        ("get dbpurgeage", Value::Int(86400), "Current database purge age is:\n`- 86400seconds"),
        ("set dbpurgeage 1d", Value::None, "Database currently disabled"),
        ("get dbmaxmatches", Value::None, "None"),
        ("set web findtime 1.5h", Value::Float(5400.0), "5400.0"),
        ("get web logencoding", "UTF-8".into(), "Current log encoding is set to:\nUTF-8"),
        ("get web datepattern", Value::None, "Current date pattern set to: Not set/required"),
        (
            "get web datepattern",
            Value::Tuple(vec![Value::None, "Default Detectors".into()]),
            "Current date pattern set to: Default Detectors",
        ),
        ("set web datepattern x", pair("%Y", "Year"), "Current date pattern set to: %Y (Year)"),
        ("unknown words", Value::Bool(true), "True"),
    ] {
        assert_eq!(shown(command, value), text, "{command}");
    }
}

#[test]
fn lists_have_their_titles_and_empty_lists_their_sentences() {
    let empty = || Value::List(vec![]);
    for (command, value, text) in [
        ("get web logpath", list(&["a", "b"]), "Current monitored log file(s):\n|- a\n`- b"),
        ("set web dellogpath a", empty(), "No file is currently monitored"),
        ("get web ignoreip", list(&["::1"]), "These IP addresses/networks are ignored:\n`- ::1"),
        ("set web addignoreip", empty(), "No IP address/network is ignored"),
        (
            "get web failregex",
            list(&["x", "y"]),
            "The following regular expression are defined:\n|- [0]: x\n`- [1]: y",
        ),
        ("set web delignoreregex 0", empty(), "No regular expression is defined"),
        ("get web journalmatch", empty(), "No journal match filter set"),
        ("get web banip", list(&["a", "b"]), "a b"),
        ("get web banip ,", list(&["a", "b"]), "a,b"),
        ("get web banip --with-time", list(&["a \tx", "b \ty"]), "a \tx\nb \ty"),
        ("get web banip", empty(), ""),
        ("set web banip a", Value::Int(1), "1"),
        ("get web banned", list(&["a"]), "['a']"),
        ("get web actions", list(&["a", "b"]), "The jail web has the following actions:\na, b"),
        ("get web actions", empty(), "No actions for jail web"),
        (
            "get web actionmethods act",
            list(&["ban", "flush"]),
            "The jail web action act has the following methods:\nban, flush",
        ),
    ] {
        assert_eq!(shown(command, value), text, "{command}");
    }
}

#[test]
fn status_is_a_tree() {
    let server = Value::List(vec![pair("Number of jail", 2), pair("Jail list", "ssh, web")]);
    assert_eq!(shown("status", server), "Status\n|- Number of jail:\t2\n`- Jail list:\tssh, web");
    insta::assert_snapshot!(shown("status web", jail(&["192.0.2.1", "::1"])), @r"
    Status for the jail: web
    |- Filter
    |  |- Currently failed:	0
    |  |- Total failed:	2
    |  `- File list:	/l/a.log /l/b.log
    `- Actions
       |- Currently banned:	1
       |- Total banned:	6
       `- Banned IP list:	192.0.2.1 ::1
    ");
    assert!(shown("status web", jail(&[])).ends_with("`- Banned IP list:\t"));
}

/// 1.1
#[test]
fn status_of_all_jails_is_a_tree_of_trees() {
    let jails = Value::Dict(vec![("ssh".into(), jail(&[])), ("web".into(), jail(&["::1"]))]);
    let all = Value::List(vec![pair("Number of jail", 2), pair("Jail list", "ssh, web"), jails]);
    insta::assert_snapshot!(shown("status --all", all), @r"
    Status
    |- Number of jail:	2
    |- Jail list:	ssh, web
    `- Status for the jails:
       |- Jail: ssh
       |  |- Filter
       |  |  |- Currently failed:	0
       |  |  |- Total failed:	2
       |  |  `- File list:	/l/a.log /l/b.log
       |  `- Actions
       |     |- Currently banned:	1
       |     |- Total banned:	6
       |     `- Banned IP list:	
       `- Jail: web
          |- Filter
          |  |- Currently failed:	0
          |  |- Total failed:	2
          |  `- File list:	/l/a.log /l/b.log
          `- Actions
             |- Currently banned:	1
             |- Total banned:	6
             `- Banned IP list:	::1
    ");
}

/// 1.1
#[test]
fn stats_are_a_table() {
    let row = |backend: &str, [a, b, c, d]: [i64; 4]| {
        let counts = |now: i64, total: i64| Value::Tuple(vec![Value::Int(now), Value::Int(total)]);
        Value::List(vec![backend.into(), counts(a, b), counts(c, d)])
    };
    let stats = Value::Dict(vec![
        ("sshd".into(), row("systemd", [3, 120, 1, 17])),
        ("web-long-jail".into(), row("pyinotify", [0, 0, 0, 0])),
    ]);
    let ascii = "
···············|···········|·Filter····|·Actions··
·Jail··········|·Backend···|-----------x-----------
···············|···········|·cur·|·tot·|·cur·|·tot
---------------x-----------x-----------x-----------
·sshd··········|·systemd···|···3·|·120·|···1·|··17
·web-long-jail·|·pyinotify·|···0·|···0·|···0·|···0
---------------------------------------------------";
    assert_eq!(format!("\n{}", shown("stats", stats).replace(' ', "·")), ascii);
    let stats = Value::Dict(vec![
        ("sshd".into(), row("systemd", [3, 120, 1, 17])),
        ("web-long-jail".into(), row("pyinotify", [0, 0, 0, 0])),
    ]);
    let utf8 = "
···············║···········║·Filter····║·Actions··
·Jail··········║·Backend···╟───────────╫───────────
···············║···········║·cur·│·tot·║·cur·│·tot
═══════════════╬═══════════╬═══════════╬═══════════
·sshd··········║·systemd···║···3·│·120·║···1·│··17
·web-long-jail·║·pyinotify·║···0·│···0·║···0·│···0
═══════════════╩═══════════╩═══════════╩═══════════";
    let shown_in_utf8 = reply(&["stats".into()], &stats, Charset::Utf8).unwrap();
    assert_eq!(format!("\n{}", shown_in_utf8.replace(' ', "·")), utf8);
    assert_eq!(shown("statistics", Value::Dict(vec![])), "No jails found.");
}

#[test]
fn exceptions_have_their_sentences() {
    let fail2ban =
        |name: &str| Exception { class: format!("fail2ban.exceptions.{name}"), args: vec!["x".into()] };
    assert_eq!(exception(&fail2ban("UnknownJailException")), "Sorry but the jail 'x' does not exist");
    assert_eq!(exception(&fail2ban("DuplicateJailException")), "The jail 'x' already exists");
    assert_eq!(exception(&crate::missing_argument()), "Sorry but the command is invalid");
    assert_eq!(
        exception(&Exception::builtin("KeyError", "Invalid Action name: a")),
        "'Invalid Action name: a'"
    );
    assert_eq!(exception(&Exception::builtin("ValueError", "x")), "x");
}

#[test]
fn replies_of_another_shape_are_shown_as_they_are() {
    for command in ["status", "status web", "status --all", "stats", "get web logpath", "get web datepattern"]
    {
        assert_eq!(shown(command, Value::Int(5)), "5", "{command}");
        assert!(!shown(command, Value::Tuple(vec![Value::Int(5)])).is_empty(), "{command}");
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            "[a-z ]{0,8}".prop_map(Value::from),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_map(Value::Float),
            Just(Value::None),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Tuple),
                prop::collection::vec((inner.clone(), inner), 0..3).prop_map(Value::Dict),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_reply_to_any_command_has_a_text(
            entry in prop::sample::select(crate::table::entries().map(crate::table::Entry::words).collect::<Vec<_>>()),
            more in prop::collection::vec(value(), 0..3),
            answer in value(),
            utf8 in any::<bool>(),
        ) {
            let words: Vec<Value> = entry.split(' ').map(Value::from).chain(more).collect();
            let charset = if utf8 { Charset::Utf8 } else { Charset::Ascii };
            let hidden = crate::table::entries().any(|e| e.words() == entry && matches!(e.show, Show::Hidden));
            prop_assert_eq!(reply(&words, &answer, charset).is_none(), hidden);
        }
    }
}
