//! Fail2ban's option grammar: getopt's, with long options that may be cut short, and no options behind the first word.
//!
//! All options are read before any has an effect, then they take effect one after the other: `-V --nope` is wrong, `-V -h`
//! tells the version.

use portcullis_value::{Number, Value, seconds};

use super::VERSION;

/// The command line.
#[derive(Clone, Debug)]
pub(super) struct Arguments {
    pub(super) conf: String,
    pub(super) socket: Option<String>,
    pub(super) pidfile: Option<String>,
    pub(super) pname: String,
    pub(super) loglevel: Option<String>,
    pub(super) logtarget: Option<String>,
    pub(super) syslogsocket: Option<String>,
    pub(super) dump: Option<Dump>,
    pub(super) test: bool,
    pub(super) interactive: bool,
    /// 0 shows errors, 1 warnings, 2 information, 3 and more debugging.
    pub(super) verbosity: i32,
    pub(super) force: bool,
    pub(super) background: bool,
    /// The server gets its configuration from somebody else.
    pub(super) is_async: bool,
    /// Nobody is to be banned.
    pub(super) dry_run: bool,
    /// Seconds to wait for a server that starts.
    pub(super) timeout: f64,
    /// The words that are no options.
    pub(super) command: Vec<String>,
}

/// How a dump is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dump {
    /// `-d`
    Plain,
    /// `--dp`
    Pretty,
}

/// What the command line wants.
#[derive(Debug)]
pub(super) enum Parsed {
    /// To do something.
    Run(Box<Arguments>),
    /// A line on stdout, nothing else.
    Say(String),
    /// The usage.
    Help,
    /// An option is unknown, or its argument is missing: the usage, as an error.
    Wrong,
    /// An option's argument makes no sense.
    Failed(String),
}

/// An option: what it means, its letter, its names, what argument follows, and what the help says of it.
pub(crate) struct OptionRow {
    option: Opt,
    pub(crate) letter: Option<char>,
    pub(crate) names: &'static [&'static str],
    pub(crate) argument: Option<&'static str>,
    pub(crate) help: &'static str,
}

/// All options, in the order of the help.
pub(crate) static OPTIONS: [OptionRow; 21] = [
    row(Opt::Conf, Some('c'), &["conf"], Some("<DIR>"), "where the configuration is (default /etc/fail2ban)"),
    row(Opt::Socket, Some('s'), &["socket"], Some("<FILE>"), "where the server listens"),
    row(Opt::Pidfile, Some('p'), &["pidfile"], Some("<FILE>"), "where the server leaves its process id"),
    row(
        Opt::Pname,
        None,
        &["pname"],
        Some("<NAME>"),
        "what the server's process is called (default fail2ban-server)",
    ),
    row(Opt::LogLevel, None, &["loglevel"], Some("<LEVEL>"), "how much the server logs"),
    row(
        Opt::LogTarget,
        None,
        &["logtarget"],
        Some("<TARGET>"),
        "where the server logs to: a file, stdout, stderr, syslog or sysout",
    ),
    row(Opt::SyslogSocket, None, &["syslogsocket"], Some("auto|<FILE>"), "where syslog is looked for"),
    row(Opt::Dump, Some('d'), &[], None, "show the configuration as the commands it becomes"),
    row(Opt::DumpPretty, None, &["dp", "dump-pretty"], None, "the same, long commands broken into lines"),
    row(Opt::Test, Some('t'), &["test"], None, "check the configuration; with a command, check it first"),
    row(Opt::Interactive, Some('i'), &[], None, "read commands from the terminal"),
    row(Opt::Verbose, Some('v'), &[], None, "say more (up to four times)"),
    row(Opt::Quiet, Some('q'), &[], None, "say less"),
    row(Opt::Force, Some('x'), &[], None, "start even if a socket of an earlier server is there"),
    row(Opt::Background, Some('b'), &[], None, "start the server in the background (default)"),
    row(Opt::Foreground, Some('f'), &[], None, "start the server in the foreground"),
    row(
        Opt::Async,
        None,
        &["async"],
        None,
        "start the server without a configuration (the client does this itself)",
    ),
    row(
        Opt::Timeout,
        None,
        &["timeout"],
        Some("<TIME>"),
        "how long to wait for a server that starts (default 30)",
    ),
    row(Opt::Str2Sec, None, &["str2sec"], Some("<STRING>"), "tell how many seconds a time such as 1d12h is"),
    row(Opt::Help, Some('h'), &["help"], None, "show this"),
    row(Opt::Version, Some('V'), &["version"], None, "show the version (-V the number only)"),
];

const fn row(
    option: Opt,
    letter: Option<char>,
    names: &'static [&'static str],
    argument: Option<&'static str>,
    help: &'static str,
) -> OptionRow {
    OptionRow { option, letter, names, argument, help }
}

impl OptionRow {
    /// `-c, --conf <DIR>`
    pub(crate) fn words(&self) -> String {
        let letter = self.letter.map(|letter| format!("-{letter}"));
        let names = letter.into_iter().chain(self.names.iter().map(|name| format!("--{name}")));
        let names = names.collect::<Vec<_>>().join(", ");
        self.argument.map_or(names.clone(), |argument| format!("{names} {argument}"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opt {
    Conf,
    Socket,
    Pidfile,
    Pname,
    LogLevel,
    LogTarget,
    SyslogSocket,
    Dump,
    DumpPretty,
    Test,
    Interactive,
    Verbose,
    Quiet,
    Force,
    Background,
    Foreground,
    Async,
    Timeout,
    Str2Sec,
    Help,
    Version,
}

/// An option as it was given.
struct Given {
    option: Opt,
    /// By its letter.
    short: bool,
    argument: String,
}

/// Reads the words behind the program's name.
pub(super) fn parse(words: &[String]) -> Parsed {
    let Some((given, command)) = split(words) else { return Parsed::Wrong };
    let mut arguments = Arguments {
        conf: "/etc/fail2ban".into(),
        socket: None,
        pidfile: None,
        pname: "fail2ban-server".into(),
        loglevel: None,
        logtarget: None,
        syslogsocket: None,
        dump: None,
        test: false,
        interactive: false,
        verbosity: 1,
        force: false,
        background: true,
        is_async: false,
        dry_run: false,
        timeout: 30.0,
        command,
    };
    for Given { option, short, argument } in given {
        match option {
            Opt::Conf => arguments.conf = argument,
            Opt::Socket => arguments.socket = Some(argument),
            Opt::Pidfile => arguments.pidfile = Some(argument),
            Opt::Pname => arguments.pname = argument,
            Opt::LogLevel => arguments.loglevel = Some(argument),
            Opt::LogTarget => arguments.logtarget = Some(argument),
            Opt::SyslogSocket => arguments.syslogsocket = Some(argument),
            Opt::Dump => arguments.dump = Some(Dump::Plain),
            Opt::DumpPretty => arguments.dump = Some(Dump::Pretty),
            Opt::Test => arguments.test = true,
            Opt::Interactive => arguments.interactive = true,
            Opt::Verbose => arguments.verbosity += 1,
            Opt::Quiet => arguments.verbosity -= 1,
            Opt::Force => arguments.force = true,
            Opt::Background => arguments.background = true,
            Opt::Foreground => arguments.background = false,
            Opt::Async => arguments.is_async = true,
            Opt::Timeout => match seconds(&Value::Str(argument)) {
                Ok(time) => arguments.timeout = time.as_f64(),
                Err(error) => return Parsed::Failed(error.to_string()),
            },
            Opt::Str2Sec => {
                return match seconds(&Value::Str(argument)) {
                    Ok(Number::Int(number)) => Parsed::Say(number.to_string()),
                    Ok(number) => Parsed::Say(number.to_string()),
                    Err(error) => Parsed::Failed(error.to_string()),
                };
            }
            Opt::Help => return Parsed::Help,
            Opt::Version if short => return Parsed::Say(VERSION.into()),
            Opt::Version => return Parsed::Say(format!("Fail2Ban v{VERSION}")),
        }
    }
    Parsed::Run(Box::new(arguments))
}

/// The options, and the words behind them.
fn split(words: &[String]) -> Option<(Vec<Given>, Vec<String>)> {
    let mut given = Vec::new();
    let mut rest = words;
    while let Some((word, after)) = rest.split_first() {
        if word == "--" {
            rest = after;
            break;
        }
        if let Some(long) = word.strip_prefix("--") {
            rest = after;
            let (name, inline) = match long.split_once('=') {
                Some((name, argument)) => (name, Some(argument.to_owned())),
                None => (long, None),
            };
            let (option, takes_argument) = long_option(name)?;
            let argument = match (takes_argument, inline) {
                (true, Some(argument)) => argument,
                (true, None) => next(&mut rest)?,
                (false, None) => String::new(),
                (false, Some(_)) => return None,
            };
            given.push(Given { option, short: false, argument });
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            rest = after;
            let mut letters = letters.chars();
            while let Some(letter) = letters.next() {
                let row = OPTIONS.iter().find(|row| row.letter == Some(letter))?;
                let mut argument = String::new();
                if row.argument.is_some() {
                    argument = letters.by_ref().collect();
                    if argument.is_empty() {
                        argument = next(&mut rest)?;
                    }
                }
                given.push(Given { option: row.option, short: true, argument });
            }
        } else {
            break;
        }
    }
    Some((given, rest.to_vec()))
}

fn next(rest: &mut &[String]) -> Option<String> {
    let (argument, after) = rest.split_first()?;
    *rest = after;
    Some(argument.clone())
}

/// A long option by its name, or by a beginning that no other option has.
fn long_option(name: &str) -> Option<(Opt, bool)> {
    let mut found = Vec::new();
    for row in &OPTIONS {
        for candidate in row.names {
            if *candidate == name {
                return Some((row.option, row.argument.is_some()));
            }
            if candidate.starts_with(name) {
                found.push((row.option, row.argument.is_some()));
            }
        }
    }
    match found.as_slice() {
        [one] => Some(*one),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Parsed {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    fn arguments(line: &str) -> Arguments {
        match parsed(line) {
            Parsed::Run(arguments) => *arguments,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn options_end_at_the_first_word() {
        let arguments = arguments("-vvx -s/x --pid /y stop -x");
        assert_eq!((arguments.verbosity, arguments.force), (3, true));
        assert_eq!((arguments.socket.as_deref(), arguments.pidfile.as_deref()), (Some("/x"), Some("/y")));
        assert_eq!(arguments.command, ["stop", "-x"]);
        assert_eq!(self::arguments("-- -d").command, ["-d"]);
        assert_eq!(self::arguments("-f - x").command, ["-", "x"]);
    }

    #[test]
    fn a_beginning_of_a_long_option_must_be_unique() {
        assert_eq!(arguments("--so=/x ping").socket.as_deref(), Some("/x"));
        assert_eq!(arguments("--du").dump, Some(Dump::Pretty));
        assert!(arguments("--tes").test);
        for wrong in ["--log INFO", "--s=/x", "--nope", "-y", "--help=x", "-c", "--str2sec", "-V --nope"] {
            assert!(matches!(parsed(wrong), Parsed::Wrong), "{wrong}");
        }
    }

    #[test]
    fn options_take_effect_in_their_order() {
        for (line, text) in [
            ("-Vh", "1.0.2"),
            ("--ver", "Fail2Ban v1.0.2"),
            ("--str2sec 1h -V", "3600"),
            ("--str2sec=1mo", "2629800.0"),
            ("-c /x -t -V", "1.0.2"),
        ] {
            assert!(matches!(parsed(line), Parsed::Say(said) if said == text), "{line}");
        }
        assert!(matches!(parsed("-hV"), Parsed::Help));
        assert!(
            matches!(parsed("--timeout x -V"), Parsed::Failed(text) if text == "name 'x' is not defined")
        );
    }
}
