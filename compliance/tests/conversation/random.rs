//! Random requests, from a seed: commands that change nothing behind the back of the ones that follow.
//!
//! Those of [`requests`] are words as people type them; those of [`odd`] are what a script sends that somebody got wrong: other
//! types in place of words, too few and too many of them, long and strange texts.

use portcullis_compliance::Random;

use super::gets;

/// `get JAIL …` with more words, or wrong ones.
const GETS: &[&str] = &[
    "bantime.foo",
    "banned IP",
    "banned IP IP",
    "banip ,",
    "actionproperties ACT",
    "actionmethods ACT",
    "action ACT PROP",
    "nope",
    "",
];

/// Something that may be asked of a jail.
fn get(random: &mut Random, plain: &[String]) -> String {
    let at = random.below(plain.len() + GETS.len());
    let what = plain.get(at).map_or_else(|| GETS[at - plain.len()], String::as_str);
    format!("get JAIL {what}")
}

const SETS: &[&str] = &[
    "idle WORD",
    "ignoreself WORD",
    "addignoreip NET",
    "delignoreip NET",
    "ignorecommand WORD",
    "ignorecache CACHE",
    "addlogpath FILE",
    "addlogpath FILE tail",
    "addlogpath FILE WORD",
    "dellogpath FILE",
    "logencoding ENCODING",
    "addjournalmatch WORD",
    "deljournalmatch WORD",
    "addfailregex REGEX",
    "delfailregex NUMBER",
    "addignoreregex REGEX",
    "delignoreregex NUMBER",
    "prefregex PREFIX",
    "findtime TIME",
    "bantime TIME",
    "bantime.increment OFF",
    "bantime.factor NUMBER",
    "bantime.maxtime TIME",
    "bantime.rndtime TIME",
    "bantime.foo WORD",
    "datepattern DATE",
    "logtimezone ZONE",
    "usedns DNS",
    "banip IP",
    "banip IP IP",
    "unbanip IP",
    "unbanip --report-absent IP",
    "unbanip NET",
    "maxretry HIGH",
    "maxmatches NUMBER",
    "maxlines NUMBER",
    "addaction ACT",
    "delaction ACT",
    "action ACT PROP WORD",
    "action ACT timeout TIME",
    "action ACT PROP",
    "nope WORD",
    "",
    "idle",
    "banip",
    "bantime",
    "addfailregex",
];

const SERVER: &[&str] = &[
    "status",
    "status JAIL",
    "status JAIL short",
    "status JAIL WORD",
    "banned",
    "banned IP",
    "banned IP NET",
    "unban IP",
    "unban NET",
    "get loglevel",
    "set loglevel LEVEL",
    "get logtarget",
    "set logtarget TARGET",
    "get syslogsocket",
    "get dbpurgeage",
    "set dbpurgeage TIME",
    "get dbmaxmatches",
    "set dbmaxmatches NUMBER",
    "get dbfile",
    "flushlogs",
    "echo WORD WORD",
    "ping",
    "version",
    "WORD",
    "WORD JAIL",
    "get thread",
    "multi-set JAIL maxretry NUMBER",
    "config-error WORD",
    "server-status",
    "sleep 0",
    "get",
    "set",
    "get JAIL",
    "set JAIL",
];

fn choices(kind: &str) -> &'static [&'static str] {
    match kind {
        "JAIL" => &["web", "ssh", "web", "ssh", "web", "ssh", "nope", "''", "WEB"],
        "ACT" => &["act2", "act3", "act2", "act3", "nope", "''"],
        "PROP" => &["name", "port", "foo", "timeout", "a.b", "bantime", "banEpoch", "actname", "''", "'x y'"],
        "WORD" => &[
            "on", "off", "yes", "no", "x", "''", "0", "true", "a b", "5", "é", "'a b'", "<ip>", "nil", "-1",
            "--x",
        ],
        "NUMBER" => {
            &["0", "1", "2", "7", "-1", "100", "x", "''", "1.5", "' 3'", "1_0", "0x1", "+4", "99999999999"]
        }
        // A ban time that grows does so behind the back of the answer.
        "OFF" => &["off", "no", "''", "x", "0", "false"],
        "HIGH" => &["500", "1000", "x", "''", "5e3", "' 800'", "9_000"],
        "TIME" => &[
            "600", "1h", "2d", "1d12h", "10m", "x", "''", "'1h 30m'", "1.5h", "-1", "10mo", "1+", "2*3600",
            "1week", "010", "1y6mo", "3600s", "abc", "'1 h'",
        ],
        "IP" => &[
            "192.0.2.1",
            "192.0.2.2",
            "192.0.2.3",
            "198.51.100.7",
            "2001:db8::1",
            "2001:DB8:0::2",
            "::ffff:192.0.2.9",
            "192.0.2.0/24",
            "192.0.2.5/32",
            "10.0.0.0/8",
            "2001:db8::/32",
            "notanip",
            "1.2.3",
            "192.0.2.4/255.255.255.0",
            "' 192.0.2.6'",
            "é",
            "[192.0.2.8]",
            "999.1.1.1",
            "a.example",
        ],
        "NET" => &[
            "192.0.2.0/24",
            "192.0.2.64/26",
            "10.0.0.0/8",
            "10.1.2.3/16",
            "2001:db8::/32",
            "2001:db8::/64",
            "127.0.0.1/8",
            "192.0.2.77",
            "a.example",
            "192.0.2.0/255.255.255.0",
            "''",
        ],
        "FILE" => &["@DIR@/web.log", "@DIR@/b.log", "/nofile", "@DIR@", "''", "nofile"],
        "ENCODING" => &[
            "utf-8",
            "UTF-8",
            "ascii",
            "latin1",
            "auto",
            "AUTO",
            "foo",
            "''",
            "cp1252",
            "iso_8859-1",
            "utf 8",
            "koi8-r",
            "é",
            "utf-88",
        ],
        "REGEX" => &[
            "'^a <HOST>$'",
            "'b from <ADDR>'",
            "'^c'",
            "'('",
            "''",
            "'<HOST> [x-'",
            "'^d <F-USER>\\S+</F-USER> <HOST>'",
            "'^e <IP4>'",
            "'^(?:f|g) <SUBNET>$'",
            "'^h <F-ID>\\w+</F-ID>'",
            "'x{2,3} <HOST>'",
        ],
        "PREFIX" => &["'^x<F-CONTENT>.+</F-CONTENT>$'", "''", "'('", "'^y'", "'^z <HOST>'"],
        "DATE" => &[
            "%Y-%m-%d",
            "Epoch",
            "EPOCH",
            "TAI64N",
            "'{^LN-BEG}%Y-%m-%d %H:%M:%S'",
            "'^%d/%b/%Y'",
            "{NONE}",
            "''",
            "%%Y",
            "'%b %d %H:%M:%S'",
            "'%H:%M:%S'",
            "'{^LN-BEG}EPOCH'",
            "x",
            "'\\[%d/%b/%Y:%H:%M:%S %z\\]'",
        ],
        "ZONE" => &[
            "UTC",
            "UTC+0200",
            "GMT-1",
            "+0130",
            "Z",
            "''",
            "foo",
            "CET",
            "Europe/Berlin",
            "UTC+25",
            "-0800",
        ],
        "DNS" => &["yes", "no", "warn", "raw", "WARN", "foo", "''"],
        "CACHE" => &[
            "'key=<ip>'",
            "'key=\"<ip>\",max-count=10,max-time=5m'",
            "''",
            "foo",
            "'max-count=3'",
            "'key=x,max-time=y'",
        ],
        "LEVEL" => &["INFO", "info", "DEBUG", "25", "foo", "''", "NOTICE", "MSG", "WARN", "-1", "7"],
        "TARGET" => {
            &["STDOUT", "STDERR", "stdout", "@DIR@/fail2ban.log", "@DIR@/c.log", "/nodir/x", "SYSOUT"]
        }
        _ => &[],
    }
}

fn filled(random: &mut Random, template: &str) -> String {
    let words = template.split(' ').map(|word| match choices(word) {
        [] => word,
        choices => random.pick(choices),
    });
    words.collect::<Vec<_>>().join(" ").trim_end().to_owned()
}

/// So many requests as lines of words.
pub(crate) fn requests(seed: u64, count: usize) -> Vec<String> {
    let mut random = Random::new(seed);
    let plain = gets::plain();
    // Nobody is banned by a failure that a random word brings about.
    let mut lines = vec!["set web maxretry 1000".to_owned(), "set ssh maxretry 1000".to_owned()];
    while lines.len() < count {
        let template = match random.below(10) {
            0 | 1 => random.pick(SERVER).to_owned(),
            2..=4 => get(&mut random, &plain),
            _ => format!("set JAIL {}", random.pick(SETS)),
        };
        lines.push(filled(&mut random, &template));
    }
    lines
}

/// Values of every type in the place of words, as [JSON that `drive.py` reads](../drive.py): what JSON has no word for is
/// `{"@": type, "v": …}`.
const ODD: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "7",
    "600",
    "70000",
    "4294967296",
    "-9223372036854775808",
    "0.0",
    "2.5",
    "-0.5",
    r#"{"@": "float", "v": "nan"}"#,
    r#"{"@": "float", "v": "inf"}"#,
    r#""""#,
    r#"" ""#,
    r#""é""#,
    r#""日本語""#,
    r#""😀""#,
    r#""it's""#,
    r#""say \"it's\"""#,
    r#""\u0000""#,
    r#""\u200b\ufeff""#,
    r#""\u007f\u00ad\u0378""#,
    r#""back\\slash""#,
    r#""<ip>""#,
    r#""%(x)s""#,
    r#""web""#,
    r#""192.0.2.1""#,
    "[]",
    r#"["web"]"#,
    r#"["192.0.2.1", "192.0.2.2"]"#,
    r#"[["a", "b"]]"#,
    "[1, [2, [3, null]]]",
    "{}",
    r#"{"a": 1}"#,
    r#"{"a": {"b": [true]}}"#,
    r#"{"@": "tuple", "v": []}"#,
    r#"{"@": "tuple", "v": ["web"]}"#,
    r#"{"@": "tuple", "v": ["a", 1]}"#,
    r#"{"@": "set", "v": []}"#,
    r#"{"@": "set", "v": ["a"]}"#,
    r#"{"@": "bytes", "v": ""}"#,
    r#"{"@": "bytes", "v": "web"}"#,
    r#"{"@": "bytes", "v": "7"}"#,
    r#"{"@": "dict", "v": [[1, "x"], [null, []]]}"#,
];

/// Commands that keep what they get as it is, a number as an address for instance; ours keep its text. They get strange texts only.
const KEEPING: &[&str] = &[
    "banip",
    "unbanip",
    "unban",
    "addaction",
    "delaction",
    "action",
    "actionproperties",
    "actionmethods",
    "banned",
    "addlogpath",
    "dellogpath",
    "delignoreip",
    "datepattern",
    "usedns",
    "findtime",
    "bantime",
    "dbpurgeage",
    "loglevel",
    "multi-set",
];

/// Commands that stop or delay the server, or make it lose its log, when a word is missing or another.
fn is_delicate(template: &str) -> bool {
    ["sleep", "stop", "dbfile", "logtarget", "syslogsocket", "start", "reload"]
        .iter()
        .any(|word| template.contains(word))
}

fn odd_value(random: &mut Random) -> String {
    match random.below(12) {
        0 => {
            let letter = random.pick(&["x", "é", "%", "<", "日"]);
            let times = [31, 255, 256, 5000, 20_000][random.below(5)];
            format!("\"{}\"", letter.repeat(times))
        }
        _ => random.pick(ODD).to_owned(),
    }
}

/// Requests with something wrong in them.
pub(crate) fn odd(seed: u64, count: usize) -> Vec<String> {
    let mut random = Random::new(seed);
    let plain = gets::plain();
    let mut lines = vec!["set web maxretry 1000".to_owned(), "set ssh maxretry 1000".to_owned()];
    while lines.len() < count {
        let template = match random.below(10) {
            0..=2 => random.pick(SERVER).to_owned(),
            3 | 4 => get(&mut random, &plain),
            _ => format!("set JAIL {}", random.pick(SETS)),
        };
        if is_delicate(&template) {
            continue;
        }
        let serde_json::Value::Array(words) = super::request(&filled(&mut random, &template)) else {
            continue;
        };
        let mut words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let keeps = template.split(' ').any(|word| KEEPING.contains(&word) || word.starts_with("bantime."));
        for _ in 0..=random.below(2) {
            let odd = odd_value(&mut random);
            if keeps && !odd.starts_with('"') {
                continue;
            }
            // What is wrong stands further behind more often: nearly everything goes wrong with the first words.
            let at = random.below(words.len() + 1).max(random.below(words.len() + 1));
            match random.below(8) {
                0 => words.insert(at, odd),
                1 => words.truncate(at),
                2 => words.push(odd),
                _ if at < words.len() => words[at] = odd,
                _ => words.push(odd),
            }
        }
        let request = format!("[{}]", words.join(", "));
        lines.push(match random.below(40) {
            0 => format!("{{\"@\": \"just\", \"v\": {}}}", odd_value(&mut random)),
            1 if !keeps => format!("{{\"@\": \"tuple\", \"v\": {request}}}"),
            2 => format!("[{request}]"),
            3 => format!("[\"server-stream\", [{request}]]"),
            _ => request,
        });
        if lines.len() % 100 == 0 {
            lines.extend(read_back());
        }
    }
    lines
}

/// Everything that can be asked about the two jails and the server: what has been said so far must have had the same effects.
pub(crate) fn read_back() -> Vec<String> {
    let mut lines: Vec<String> =
        ["status", "banned", "get loglevel", "get dbpurgeage", "get dbmaxmatches", "get thread"]
            .map(String::from)
            .into();
    for jail in ["web", "ssh"] {
        lines.extend(gets::plain().iter().map(|get| format!("get {jail} {get}")));
        lines.push(format!("get {jail} banip --with-time"));
        lines.push(format!("status {jail}"));
        for action in ["act", "act2", "act3"] {
            lines.push(format!("get {jail} actionproperties {action}"));
            lines.extend(
                ["name", "port", "foo", "timeout", "bantime", "banEpoch"]
                    .map(|property| format!("get {jail} action {action} {property}")),
            );
        }
    }
    lines
}
