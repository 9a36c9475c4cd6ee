//! Every expected exception was answered by a genuine Fail2ban 1.0.2.

use super::*;

fn list(words: &[&str]) -> Vec<Value> {
    words.iter().map(|word| Value::from(*word)).collect()
}

fn raised(words: &[Value]) -> String {
    match Request::parse(words) {
        Ok(request) => format!("{request:?}"),
        Err(exception) => Value::Exception(exception).repr(),
    }
}

#[test]
fn wrong_words_raise_what_fail2ban_raises() {
    const MISSING: &str = "IndexError('list index out of range')";
    for (line, expected) in [
        ("", MISSING),
        ("nope", "Exception('Invalid command')"),
        ("PING", "Exception('Invalid command')"),
        ("restart", "Exception('Invalid command')"),
        ("add", MISSING),
        ("add --all", "Exception(\"Reserved name '--all'\")"),
        ("start", MISSING),
        ("sleep", MISSING),
        ("sleep x", "ValueError(\"could not convert string to float: 'x'\")"),
        ("sleep -1", "ValueError('sleep length must be non-negative')"),
        ("unban", "Exception('Invalid command')"),
        ("status web x y", "Exception('Invalid command (no status)')"),
        ("get", MISSING),
        ("get web", MISSING),
        ("get allowipv6", MISSING),
        ("get nojail nope", "Exception('Invalid command (no get action or not yet implemented)')"),
        ("get web idle", "Exception('Invalid command (no get action or not yet implemented)')"),
        ("get web action act", MISSING),
        ("get web actionmethods", MISSING),
        ("set", MISSING),
        ("set web", MISSING),
        ("set web nope x", "Exception(\"Invalid command 'nope' (no set action or not yet implemented)\")"),
        ("set web idle x", "Exception(\"Invalid idle option, must be 'on' or 'off'\")"),
        ("set web idle", MISSING),
        ("set web bantime", MISSING),
        ("set web bantime.increment", MISSING),
        ("set web maxretry x", "ValueError(\"invalid literal for int() with base 10: 'x'\")"),
        ("set web delfailregex x", "ValueError(\"invalid literal for int() with base 10: 'x'\")"),
        ("set web addlogpath a b c", "ValueError('Only one file can be added at a time')"),
        ("set web addlogpath a b", "ValueError(\"File option must be 'head' or 'tail'\")"),
        (
            "set web attempt",
            "TypeError(\"Filter.addAttempt() missing 1 required positional argument: 'ip'\")",
        ),
        ("set web unbanip", MISSING),
        ("set web ignorecache foo", "ValueError('expected option, wrong syntax at 0: foo')"),
        ("set web addaction b /x.py", MISSING),
        ("set loglevel foo", "ValueError(\"Invalid log level 'FOO'\")"),
        ("set loglevel -1", "ValueError(\"Invalid log level '-1'\")"),
        ("set logtarget STDOUT[x]", "ValueError('expected option, wrong syntax at 0: x')"),
        ("set dbfile", MISSING),
        ("set thread x", "AttributeError(\"'str' object has no attribute 'items'\")"),
        ("multi-set web addfailregex", MISSING),
        (
            "multi-set web nope",
            "Exception(\"Invalid command 'nope' (no set action or not yet implemented)\")",
        ),
        ("config-error", MISSING),
        ("server-stream", MISSING),
        (
            "reload",
            "TypeError(\"Server.reloadJails() missing 2 required positional arguments: 'name' and 'opts'\")",
        ),
    ] {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(raised(&list(&words)), expected, "{line}");
    }
}

#[test]
fn words_that_are_no_text_raise_what_fail2ban_raises() {
    let set = |option: &str, value: Value| vec!["set".into(), "web".into(), option.into(), value];
    for (words, expected) in [
        (vec![Value::Int(5)], "Exception('Invalid command')"),
        (vec!["add".into(), Value::Int(5)], "TypeError(\"object of type 'int' has no len()\")"),
        (vec!["start".into(), Value::Int(5)], "UnknownJailException(5)"),
        (
            set("maxretry", Value::None),
            "TypeError(\"int() argument must be a string, a bytes-like object or a real number, not 'NoneType'\")",
        ),
        (
            vec!["get".into(), "web".into(), Value::Int(5)],
            "AttributeError(\"'int' object has no attribute 'startswith'\")",
        ),
        (
            vec!["set".into(), "loglevel".into(), Value::Int(5)],
            "AttributeError(\"'int' object has no attribute 'upper'\")",
        ),
    ] {
        assert_eq!(raised(&words), expected, "{words:?}");
    }
}

#[test]
fn what_is_no_list_raises_what_python_raises() {
    for (value, expected) in [
        (Value::from("ping"), "Exception('Invalid command')"),
        (Value::from(""), "IndexError('string index out of range')"),
        (Value::Int(5), "TypeError(\"'int' object is not subscriptable\")"),
        (Value::None, "TypeError(\"'NoneType' object is not subscriptable\")"),
        (Value::Tuple(vec![]), "IndexError('tuple index out of range')"),
        (Value::Dict(vec![]), "KeyError(0)"),
    ] {
        assert_eq!(Value::Exception(Request::from_value(&value).unwrap_err()).repr(), expected);
    }
}

#[test]
fn numbers_may_come_as_text_or_as_numbers() {
    for value in [Value::Int(5), "5".into(), " 0_5 ".into(), Value::Float(5.7)] {
        let words = ["set".into(), "web".into(), "maxretry".into(), value];
        let what = JailSet::MaxRetry(5);
        assert_eq!(Request::parse(&words), Ok(Request::JailSet { jail: "web".into(), what }));
    }
}

#[test]
fn a_bad_time_is_told_only_after_an_unknown_jail() {
    let request = Request::parse(&list(&["set", "nojail", "findtime", "abc"])).unwrap();
    let Request::JailSet { jail, what: JailSet::FindTime(time) } = request else { panic!("{request:?}") };
    assert_eq!(jail, "nojail");
    assert_eq!(time.unwrap_err().to_string(), "name 'abc' is not defined");
}

#[test]
fn every_form_of_the_help_is_understood() {
    for entry in table::entries() {
        for form in entry.forms {
            let line = format!("{} {}", entry.words(), form.arguments);
            let words: Vec<Value> = line
                .replace("<ACT>[ <", "<ACT> <")
                .replace("<METHOD>[ <", "<METHOD> <")
                .split_whitespace()
                .map(|word| word.trim_matches(['[', ']', '\'']))
                .map(|word| match word {
                    "on|off" => "on",
                    "<INDEX>" | "<RETRY>" | "<INT>" | "<LINES>" | "<SECONDS>" | "<TIME>" => "5",
                    "<LEVEL>" => "INFO",
                    "..." => "<IP>",
                    "<JSONKWARGS>" => "{}",
                    other => other,
                })
                .filter(|word| *word != "<VALUE>" || !line.contains("ignorecache"))
                .map(Value::from)
                .collect();
            match entry.at {
                At::Client => {}
                // The client itself carries these out, by other requests.
                _ if entry.name == "reload" || line.trim() == "start" => {}
                _ if line.contains("ignorecache") => assert!(Request::parse(&words).is_err(), "{line}"),
                _ => assert!(Request::parse(&words).is_ok(), "{line}: {:?}", Request::parse(&words)),
            }
        }
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let word = prop_oneof![
            "[a-z.-]{0,12}".prop_map(Value::from),
            prop::sample::select(table::entries().map(|entry| entry.name).collect::<Vec<_>>())
                .prop_map(Value::from),
            prop::sample::select(vec!["get", "set", "multi-set", "web", "--all"]).prop_map(Value::from),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_map(Value::Float),
            any::<bool>().prop_map(Value::Bool),
            Just(Value::None),
        ];
        word.prop_recursive(3, 16, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
                prop::collection::vec((inner.clone(), inner), 0..3).prop_map(Value::Dict),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_words_are_answered(words in prop::collection::vec(value(), 0..6)) {
            let _ = Request::parse(&words);
        }
    }

    #[test]
    fn what_is_wrong_with_a_value_counts_after_the_jail_was_found() {
        for line in
            ["ignorecache max-count=5", "ignorecache key=x,max-time=y", "logencoding foo", "bantime x"]
        {
            let words: Vec<Value> =
                ["set", "web"].into_iter().chain(line.split(' ')).map(Value::from).collect();
            assert!(Request::parse(&words).is_ok(), "{line}");
        }
    }
}
