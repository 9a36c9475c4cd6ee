//! The command line of the tester, in the grammar of Python's optparse: long options may be shortened, values stand behind
//! `=` or in the next word.

/// What was asked for.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) config: Option<String>,
    pub(super) datepattern: Option<String>,
    pub(super) timezone: Option<String>,
    pub(super) encoding: Option<String>,
    pub(super) usedns: Option<String>,
    pub(super) maxlines: Option<usize>,
    pub(super) journalmatch: Option<String>,
    pub(super) log_level: Option<String>,
    pub(super) verbose: u8,
    pub(super) verbose_date: bool,
    pub(super) debuggex: bool,
    pub(super) first_only: bool,
    pub(super) out: Option<String>,
    pub(super) all_matched: bool,
    pub(super) ignored: Show,
    pub(super) missed: Show,
    pub(super) log: String,
    pub(super) regex: String,
    pub(super) ignoreregex: Option<String>,
}

/// Which lines of a kind are shown at the end; without either, all unless they are too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Show {
    pub(super) none: bool,
    pub(super) all: bool,
}

/// What became of the command line.
pub(super) enum Parsed {
    Run(Box<Options>),
    /// Help, to stdout.
    Help,
    /// A version, to stdout.
    Say(String),
    /// optparse's complaint.
    Unknown(String),
    /// The program's own.
    Wrong(String),
}

/// An option: its long names, its letter, the name of its value, what it is for.
type Entry = (&'static [&'static str], Option<char>, Option<&'static str>, &'static str);

/// In the order of Fail2ban's help.
const TABLE: [Entry; 25] = [
    (&["--version"], None, None, "say which version this is, and nothing else"),
    (&["--help"], Some('h'), None, "show this help, and nothing else"),
    (&["--config"], Some('c'), Some("CONFIG"), "directory of the configuration"),
    (&["--datepattern"], Some('d'), Some("DATEPATTERN"), "how dates are written in the log"),
    (&["--timezone", "--TZ"], None, Some("TIMEZONE"), "zone of dates that name none"),
    (&["--encoding"], Some('e'), Some("ENCODING"), "encoding of the log, UTF-8 by default"),
    (&["--raw"], Some('r'), None, "take host names as they are"),
    (&["--usedns"], None, Some("USEDNS"), "what to do with host names: yes, warn, no, raw"),
    (&["--maxlines"], Some('L'), Some("MAXLINES"), "how many lines are matched together"),
    (&["--journalmatch"], Some('m'), Some("JOURNALMATCH"), "which entries of the journal"),
    (&["--log-level"], Some('l'), Some("LOG_LEVEL"), "show log messages of this level and above"),
    (&["-V"], None, None, "say the bare version, and nothing else"),
    (&["--verbose"], Some('v'), None, "tell more"),
    (&["--verbosity"], None, Some("VERBOSE"), "how much to tell, 0 to 4"),
    (&["--verbose-date", "--VD"], None, None, "tell more of the date templates"),
    (&["--debuggex"], Some('D'), None, "show addresses of debuggex.com for lines and regexes"),
    (&["--no-check-all"], None, None, "stop at the first regex that matches"),
    (
        &["--out"],
        Some('o'),
        Some("OUT"),
        "print one thing of each failure only: row, id, ip, msg, a group, <tags>",
    ),
    (&["--print-no-missed"], None, None, "print no missed lines"),
    (&["--print-no-ignored"], None, None, "print no ignored lines"),
    (&["--print-all-matched"], None, None, "print all lines that matched"),
    (&["--print-all-missed"], None, None, "print all missed lines, however many"),
    (&["--print-all-ignored"], None, None, "print all ignored lines, however many"),
    (&["--log-traceback"], Some('t'), None, "accepted, without effect: we have no tracebacks"),
    (&["--full-traceback"], None, None, "accepted, without effect"),
];

/// The first line of the help.
pub(super) fn usage(program: &str) -> String {
    format!("Usage: {program} [OPTIONS] <LOG> <REGEX> [IGNOREREGEX]")
}

/// The names of all options, each with what it is for.
pub(crate) fn names() -> impl Iterator<Item = (String, &'static str)> {
    TABLE.iter().flat_map(|(long, short, _, help)| {
        let short = short.map(|short| format!("-{short}"));
        long.iter().map(|name| (*name).to_owned()).chain(short).map(move |name| (name, *help))
    })
}

/// All of the help.
pub(super) fn help(program: &str) -> String {
    let mut text = usage(program);
    text.push_str(
        "\n\nTries a filter, or a regular expression, on a log.\n\n\
         LOG:\n  a file, systemd-journal, or a line as it would stand in a log\n\n\
         REGEX:\n  a failregex, the name of a filter, also with options (sshd[mode=aggressive]), or its file\n\n\
         IGNOREREGEX:\n  an ignoreregex\n\nOptions:\n",
    );
    for (long, short, value, meaning) in TABLE {
        let value = value.map(|value| format!("={value}")).unwrap_or_default();
        let long: Vec<String> = long.iter().map(|name| format!("{name}{value}")).collect();
        let short = short.map(|short| format!("-{short}{}, ", value.replace('=', " "))).unwrap_or_default();
        let names = format!("{short}{}", long.join(", "));
        let gap = if names.len() > 20 { format!("\n{:24}", "") } else { " ".repeat(22 - names.len()) };
        text.push_str(&format!("  {names}{gap}{meaning}\n"));
    }
    text
}

/// Reads the words behind the program's name.
pub(super) fn parse(words: Vec<String>) -> Parsed {
    let mut options = Options::default();
    let mut rest = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--" {
            rest.extend(words);
            break;
        }
        let done = if word.starts_with("--") {
            long(&mut options, &word, &mut words)
        } else if word.len() > 1 && word.starts_with('-') {
            shorts(&mut options, &word[1..], &mut words)
        } else {
            rest.push(word);
            Ok(())
        };
        if let Err(end) = done {
            return end;
        }
    }
    for (name, show) in [("missed", options.missed), ("ignored", options.ignored)] {
        if show.none && show.all {
            return Parsed::Wrong(format!(
                "--print-no-{name} and --print-all-{name} are mutually exclusive."
            ));
        }
    }
    let mut rest = rest.into_iter();
    match (rest.next(), rest.next(), rest.next(), rest.next()) {
        (Some(log), Some(regex), ignoreregex, None) => {
            (options.log, options.regex, options.ignoreregex) = (log, regex, ignoreregex);
            Parsed::Run(Box::new(options))
        }
        _ => Parsed::Wrong("provide both <LOG> and <REGEX>.".into()),
    }
}

/// An option by its long name, whole or as far as it is the only one.
fn long(options: &mut Options, word: &str, words: &mut impl Iterator<Item = String>) -> Result<(), Parsed> {
    let (given, inline) =
        word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value.to_owned())));
    let names = || TABLE.iter().flat_map(|row| row.0.iter().map(move |name| (*name, row)));
    let mut candidates: Vec<_> = names().filter(|(name, _)| name.starts_with(given)).collect();
    if let Some(exact) = candidates.iter().position(|(name, _)| *name == given) {
        candidates = vec![candidates.swap_remove(exact)];
    }
    let row = match candidates.as_slice() {
        [(_, row)] => row,
        [] => return Err(Parsed::Unknown(format!("no such option: {given}"))),
        many => {
            let mut names: Vec<_> = many.iter().map(|(name, _)| *name).collect();
            names.sort_unstable();
            return Err(Parsed::Unknown(format!("ambiguous option: {given} ({}?)", names.join(", "))));
        }
    };
    let name = candidates[0].0;
    let value = match (row.2, inline) {
        (None, Some(_)) => return Err(Parsed::Unknown(format!("{name} option does not take a value"))),
        (None, None) => String::new(),
        (Some(_), Some(value)) => value,
        (Some(_), None) => {
            words.next().ok_or_else(|| Parsed::Unknown(format!("{name} option requires 1 argument")))?
        }
    };
    take(options, row.0[0], name, value)
}

/// Options by their letters: `-vd PATTERN`, `-vdPATTERN`.
fn shorts(
    options: &mut Options,
    letters: &str,
    words: &mut impl Iterator<Item = String>,
) -> Result<(), Parsed> {
    let mut rest = letters;
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        let row = TABLE.iter().find(|row| row.1 == Some(letter) || (letter == 'V' && row.0[0] == "-V"));
        let Some(row) = row else { return Err(Parsed::Unknown(format!("no such option: -{letter}"))) };
        let mut value = String::new();
        if row.2.is_some() {
            std::mem::take(&mut rest).clone_into(&mut value);
            if value.is_empty() {
                let missing = || Parsed::Unknown(format!("-{letter} option requires 1 argument"));
                value = words.next().ok_or_else(missing)?;
            }
        }
        take(options, row.0[0], &format!("-{letter}"), value)?;
    }
    Ok(())
}

fn take(options: &mut Options, option: &str, shown: &str, value: String) -> Result<(), Parsed> {
    let number = |value: &str| {
        let wrong = || {
            Parsed::Unknown(format!(
                "option {shown}: invalid integer value: {}",
                portcullis_value::repr_str(value)
            ))
        };
        value.trim().parse::<usize>().map_err(|_| wrong())
    };
    match option {
        "--version" => return Err(Parsed::Say("fail2ban-regex 1.0.2".into())),
        "-V" => return Err(Parsed::Say("1.0.2".into())),
        "--help" => return Err(Parsed::Help),
        "--config" => options.config = Some(value),
        "--datepattern" => options.datepattern = Some(value),
        "--timezone" => options.timezone = Some(value),
        "--encoding" => options.encoding = Some(value),
        "--raw" => options.usedns = Some("raw".into()),
        "--usedns" => {
            // `--raw` counts, whatever stands beside it.
            options.usedns.get_or_insert(value);
        }
        "--maxlines" => options.maxlines = Some(number(&value)?),
        "--journalmatch" => options.journalmatch = Some(value),
        "--log-level" => options.log_level = Some(value),
        "--verbose" => options.verbose = options.verbose.saturating_add(1),
        "--verbosity" => options.verbose = u8::try_from(number(&value)?).unwrap_or(u8::MAX),
        "--verbose-date" => options.verbose_date = true,
        "--debuggex" => options.debuggex = true,
        "--no-check-all" => options.first_only = true,
        "--out" => options.out = Some(value),
        "--print-no-missed" => options.missed.none = true,
        "--print-no-ignored" => options.ignored.none = true,
        "--print-all-matched" => options.all_matched = true,
        "--print-all-missed" => options.missed.all = true,
        "--print-all-ignored" => options.ignored.all = true,
        _ => {}
    }
    Ok(())
}
