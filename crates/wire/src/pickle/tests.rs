//! Frames that a genuine client and server exchanged, Python's own pickle where it is installed, and hostile bytes.

use std::io::Write as _;
use std::process::{Command, Stdio};

use portcullis_value::{Exception, Value};
use proptest::prelude::*;

use super::*;

fn request(bytes: &[u8]) -> Result<Value, Error> {
    decode(bytes, Classes::Refused, Limits::default())
}

fn reply(bytes: &[u8]) -> Result<Value, Error> {
    decode(bytes, Classes::Replies, Limits::default())
}

/// `80 05 95 'ping' 94`: hexadecimal, and text between quotes.
fn bytes(spelled: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, part) in spelled.split('\'').enumerate() {
        if index % 2 == 1 {
            out.extend(part.as_bytes());
        } else {
            out.extend(part.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()));
        }
    }
    out
}

fn answer(code: i64, value: Value) -> Value {
    Value::Tuple(vec![Value::Int(code), value])
}

fn unknown_jail() -> Value {
    let class = "fail2ban.exceptions.UnknownJailException".into();
    Value::Exception(Exception { class, args: vec!["nope".into()] })
}

#[test]
fn frames_are_those_of_the_genuine_programs() {
    let pair = |name: &str, value: Value| Value::Tuple(vec![name.into(), value]);
    for (spelled, value) in [
        ("80 05 95 0b 00 00 00 00 00 00 00 5d 94 8c 04 'ping' 94 61 2e", Value::List(vec!["ping".into()])),
        (
            "80 05 95 15 00 00 00 00 00 00 00 5d 94 28 8c 04 'ping' 94 47 3f 89 99 99 99 99 99 9a 65 2e",
            Value::List(vec!["ping".into(), Value::Float(0.0125)]),
        ),
        ("80 05 95 0c 00 00 00 00 00 00 00 4b 00 8c 04 'pong' 94 86 94 2e", answer(0, "pong".into())),
        ("80 05 95 08 00 00 00 00 00 00 00 4b 00 4d 58 02 86 94 2e", answer(0, Value::Int(600))),
        ("80 05 95 06 00 00 00 00 00 00 00 4b 00 4e 86 94 2e", answer(0, Value::None)),
        (
            "80 05 95 3f 00 00 00 00 00 00 00 4b 01 8c 13 'fail2ban.exceptions' 94 8c 14 'UnknownJailException' \
             94 93 94 8c 04 'nope' 94 85 94 52 94 86 94 2e",
            answer(1, unknown_jail()),
        ),
        (
            "80 05 95 34 00 00 00 00 00 00 00 4b 01 8c 08 'builtins' 94 8c 09 'Exception' 94 93 94 \
             8c 0f 'Invalid command' 94 85 94 52 94 86 94 2e",
            answer(1, Value::Exception(Exception::builtin("Exception", "Invalid command"))),
        ),
        (
            "80 05 95 37 00 00 00 00 00 00 00 4b 00 5d 94 28 8c 0e 'Number of jail' 94 4b 02 86 94 \
             8c 09 'Jail list' 94 8c 08 'ssh, web' 94 86 94 65 86 94 2e",
            answer(
                0,
                Value::List(vec![
                    pair("Number of jail", Value::Int(2)),
                    pair("Jail list", "ssh, web".into()),
                ]),
            ),
        ),
    ] {
        let bytes = bytes(spelled);
        assert_eq!(encode(&value), bytes, "{spelled}");
        assert_eq!(reply(&bytes), Ok(value), "{spelled}");
    }
}

#[test]
fn addresses_in_replies_are_text_made_by_a_class() {
    let spelled = "80 05 95 3a 00 00 00 00 00 00 00 4b 00 5d 94 28 8c 08 'builtins' 94 8c 03 'str' 94 93 94 \
                   8c 0b '127.0.0.0/8' 94 85 94 52 94 68 03 8c 03 '::1' 94 85 94 52 94 65 86 94 2e";
    // The slot of the class is 3, as the list has slot 0.
    let list = Value::List(vec!["127.0.0.0/8".into(), "::1".into()]);
    assert_eq!(reply(&bytes(spelled)), Ok(answer(0, list)));
    assert_eq!(request(&bytes(spelled)), Err(Error::Class("builtins.str".into())));
}

#[test]
fn requests_of_other_writers_are_read() {
    let ping = Ok(Value::List(vec!["ping".into()]));
    for spelled in [
        // Python 2, protocols 0, 1, 2
        "'(lp0' 0a 'S' 27 'ping' 27 0a 'p1' 0a 'a.'",
        "5d 71 00 55 04 'ping' 71 01 61 2e",
        "80 02 5d 71 00 55 04 'ping' 71 01 61 2e",
        // a Go writer
        "80 02 28 58 04 00 00 00 'ping' 6c 2e",
        // without any framing, in the newest protocol
        "80 05 5d 8c 04 'ping' 61 2e",
    ] {
        assert_eq!(request(&bytes(spelled)), ping, "{spelled}");
    }
    let numbers = "(I01\nI00\nI-5\nL123L\nF1.5\nN(dp0\nVk\\u00e9\nI7\nsl.";
    let expected = vec![
        true.into(),
        false.into(),
        Value::Int(-5),
        Value::Int(123),
        1.5.into(),
        Value::None,
        Value::Dict(vec![("ké".into(), Value::Int(7))]),
    ];
    assert_eq!(request(numbers.as_bytes()), Ok(Value::List(expected)));
}

#[test]
fn quoted_strings_have_python_2_s_escapes() {
    let pickle = br#"S'\a\b\t\n\v\f\r\\\'\"\x41\101\0\q'"#;
    let text = "\x07\x08\t\n\x0b\x0c\r\\'\"AA\0\\q";
    assert_eq!(request(&[pickle, &b"\n."[..]].concat()), Ok(text.into()));
    assert_eq!(request(b"S\"ping\"\n."), Ok("ping".into()));
    for broken in [&b"S'a\n."[..], b"Sa\n.", b"S'\\x4'\n.", b"S'\\'\n."] {
        assert!(request(broken).is_err(), "{broken:?}");
    }
}

#[test]
fn nothing_can_be_called() {
    for pickle in [
        &b"cos\nsystem\n(S'id'\ntR."[..],
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.",
        b"(S'id'\nios\nsystem\n.",
        b"(cos\nsystem\nS'id'\no.",
        b"Pid\n.",
        b"\x80\x02cbuiltins\neval\n(X\x01\x00\x00\x001tR.",
        b"\x80\x02\x82\x01.",
        b"\x80\x02cbuiltins\nstr\n.",
        b"\x80\x02cbuiltins\nException\n)\x81.",
    ] {
        assert!(matches!(request(pickle), Err(Error::Class(_))), "{pickle:?}");
    }
    assert_eq!(reply(b"cos\nsystem\n(S'id'\ntR."), Err(Error::Class("os.system".into())));
    assert_eq!(reply(b"cbuiltins\nexec\n(S'1'\ntR."), Err(Error::Class("builtins.exec".into())));
}

#[test]
fn broken_pickles_have_python_s_words() {
    for (pickle, words) in [
        (&b""[..], "Ran out of input"),
        (b"\x80\x05]", "Ran out of input"),
        (b"\x80\x05\x8c\x04pi", "pickle data was truncated"),
        (b"\x80\x05\x95\xff\0\0\0\0\0\0\0].", "pickle data was truncated"),
        (b"\x80\x06].", "unsupported pickle protocol: 6"),
        (b"?.", "invalid load key, '?'."),
        (b"\xff.", "invalid load key, '\\xff'."),
        (b".", "unpickling stack underflow"),
        (b"]e.", "could not find MARK"),
        (b"h\x05.", "Memo value not found at index 5"),
    ] {
        assert_eq!(request(pickle).unwrap_err().to_string(), words, "{pickle:?}");
    }
}

#[test]
fn hostile_pickles_meet_a_limit() {
    // A list in a list in a list …
    let deep = [b"(".repeat(500), b"l".repeat(500), b".".to_vec()].concat();
    assert_eq!(request(&deep), Err(Error::Limit("depth")));
    // A list that contains itself.
    assert_eq!(request(b"]q\0h\0a."), Err(Error::Limit("depth")));
    // Ten times the list before, twenty times.
    let mut laughs = b"]q\0".to_vec();
    for _ in 0..20 {
        laughs.extend(b"(");
        laughs.extend(b"h\0".repeat(10));
        laughs.extend(b"lq\0");
    }
    laughs.push(b'.');
    assert_eq!(request(&laughs), Err(Error::Limit("items")));
    // A long text many times.
    let mut loud = b"\x80\x05(X\x00\x00\x10\x00".to_vec();
    loud.extend(b"x".repeat(1 << 20));
    loud.extend(b"2".repeat(1000));
    loud.extend(b"l.");
    assert_eq!(request(&loud), Err(Error::Limit("items")));
    assert_eq!(request(&vec![b'('; 17 << 20]), Err(Error::Limit("size")));
    assert_eq!(request(&vec![b'('; 2 << 20]), Err(Error::Limit("items")));
}

#[test]
fn a_repeated_key_keeps_its_place_and_takes_the_later_value() {
    let dict = Value::Dict(vec![("a".into(), Value::Int(3)), ("b".into(), Value::Int(2))]);
    assert_eq!(request(b"(U\x01aK\x01U\x01bK\x02U\x01aK\x03d."), Ok(dict));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<i8>().prop_map(|number| Value::Int(number.into())),
        (0_u32..64).prop_map(|bits| Value::Int(-(1_i64 << bits.min(62)))),
        any::<f64>().prop_filter("NaN equals nothing", |number| !number.is_nan()).prop_map(Value::Float),
        ".{0,20}".prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
        (200_usize..300).prop_map(|length| Value::from("é".repeat(length))),
        prop::collection::vec(any::<u8>(), 2..10).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::List),
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Tuple),
            prop::collection::btree_map(".{0,5}", inner, 0..4).prop_map(|dict| Value::Dict(
                dict.into_iter().map(|(key, value)| (key.into(), value)).collect()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(value in value()) {
        prop_assert_eq!(request(&encode(&value)), Ok(value));
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = reply(&bytes);
    }

    #[test]
    fn changed_pickles_are_answered(value in value(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encode(&value);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = reply(&bytes);
    }
}

/// Runs a Python program on `input`. `None` where there is no Python.
fn python(program: &str, input: &[u8]) -> Option<Vec<u8>> {
    let mut child = Command::new("/usr/bin/python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    Some(output.stdout)
}

/// Values of every kind, and of the sizes where the format changes.
fn corners() -> Value {
    let mut items: Vec<Value> = vec![
        Value::None,
        true.into(),
        false.into(),
        "".into(),
        "".into(),
        "a".into(),
        "a".into(),
        "é".into(),
        "é".into(),
        "€".into(),
        1e300.into(),
        (-0.0).into(),
        Value::Tuple(vec![]),
        Value::List(vec![]),
        Value::List(vec![Value::Int(1)]),
        Value::Dict(vec![]),
        Value::Dict(vec![("one".into(), Value::Int(1))]),
        Value::Dict((0..1001).map(|n| (Value::Int(n), Value::None)).collect()),
        Value::List((0..2001).map(Value::Int).collect()),
        Value::List((0..300).map(|n| format!("text number {n}").into()).collect()),
        "x".repeat(255).into(),
        "y".repeat(256).into(),
        "z".repeat(65_535).into(),
        "w".repeat(65_536).into(),
        "v".repeat(200_000).into(),
        Value::List((0..9000).map(|n| format!("another {n}").into()).collect()),
        Value::List((0..40_000).map(Value::Int).collect()),
    ];
    for length in 1..6 {
        items.push(Value::Tuple((0..length).map(Value::Int).collect()));
    }
    for bits in 0..63 {
        for number in [(1_i64 << bits) - 1, 1 << bits, -(1 << bits), -(1 << bits) - 1] {
            items.push(Value::Int(number));
        }
    }
    items.push(Value::Int(i64::MIN));
    items.push(Value::Int(i64::MAX));
    Value::List(items)
}

#[test]
fn python_writes_the_same_bytes() {
    // Each text is made anew, so that Python shares only what it always shares.
    let program = "import sys, pickle
def fresh(value):
    if isinstance(value, str): return (value + '!')[:-1]
    if isinstance(value, list): return [fresh(item) for item in value]
    if isinstance(value, tuple): return tuple(fresh(item) for item in value)
    if isinstance(value, dict): return {fresh(key): fresh(item) for key, item in value.items()}
    return value
value = fresh(pickle.load(sys.stdin.buffer))
sys.stdout.buffer.write(pickle.dumps(value, 5))";
    let ours = encode(&corners());
    let Some(theirs) = python(program, &ours) else { return eprintln!("skipped: no /usr/bin/python3") };
    let differs = ours.iter().zip(&theirs).position(|(a, b)| a != b);
    assert_eq!((differs, ours.len()), (None, theirs.len()));
}

#[test]
fn python_writes_what_we_read_in_every_protocol() {
    let ours = encode(&corners());
    for protocol in 0..=5 {
        let program = format!(
            "import sys, pickle; sys.stdout.buffer.write(pickle.dumps(pickle.load(sys.stdin.buffer), {protocol}))"
        );
        let Some(theirs) = python(&program, &ours) else { return eprintln!("skipped: no /usr/bin/python3") };
        assert_eq!(request(&theirs), Ok(corners()), "protocol {protocol}");
    }
}

#[test]
fn python_writes_exceptions_that_we_read_in_every_protocol() {
    for protocol in 0..=5 {
        let program = format!(
            "import sys, pickle, json
try: open('/nonexistent')
except OSError as error: missing = error
try: json.loads('x')
except ValueError as error: decode = error
odd = KeyError('k'); odd.note = 'more'
value = (1, [missing, decode, odd, {{1}}, frozenset()])
if {protocol} < 4: value = (1, [missing, decode, odd])
sys.stdout.buffer.write(pickle.dumps(value, {protocol}))"
        );
        let Some(theirs) = python(&program, &[]) else { return eprintln!("skipped: no /usr/bin/python3") };
        // Python 2, for which the lower protocols are, has no class of its own for this.
        let class = if protocol < 3 { "OSError" } else { "FileNotFoundError" };
        let missing = Exception::os(class, 2, "No such file or directory", "/nonexistent");
        let class = "json.decoder.JSONDecodeError".to_owned();
        let json = Exception { class, args: vec!["Expecting value".into(), "x".into(), Value::Int(0)] };
        let mut items: Vec<Value> =
            [missing, json, Exception::builtin("KeyError", "k")].map(Value::Exception).into();
        if protocol >= 4 {
            items.extend([Value::Set(vec![Value::Int(1)]), Value::Set(vec![])]);
        }
        assert_eq!(reply(&theirs), Ok(answer(1, Value::List(items))), "protocol {protocol}");
    }
}
