//! Commands of the server as a whole.

use portcullis_value::{Exception, Value, float, int, options, seconds};

use super::Group::{Basic, Database, JailControl, Logging};
use super::reply::{BANNED, PERHAPS_INT, PERHAPS_TEXT, STATS, STATUS};
use super::{At, Entry, Form, Type};
use crate::request::{NewSetting, Reload, Request, Setting, jail_name};
use crate::show::Show;
use crate::words::{Words, cased_text, exception, items, sized_address, sized_text, strict_text, type_error};

type Result<T> = std::result::Result<T, Exception>;

const fn form(group: super::Group, arguments: &'static str, help: &'static str) -> Form {
    Form { group, arguments, help }
}

pub(super) static ENTRIES: &[Entry] = &[
    Entry {
        name: "add",
        at: At::Server(add),
        reply: Type::Str,
        show: Show::Added,
        forms: &[form(JailControl, "<JAIL> <BACKEND>", "makes a jail <JAIL> whose log is read by <BACKEND>")],
    },
    Entry {
        name: "start",
        at: At::Server(|w| Ok(Request::Start(jail_name(w.at(0)?)?))),
        reply: Type::None,
        show: Show::Fixed("Jail started"),
        forms: &[
            form(Basic, "", "brings up the server, configured, with its jails"),
            form(JailControl, "<JAIL>", "lets the jail <JAIL> begin its work"),
        ],
    },
    Entry {
        name: "restart",
        at: At::Client,
        reply: Type::None,
        show: Show::Text,
        forms: &[
            form(Basic, "", "stops the server and brings it up again"),
            form(
                Basic,
                "[--unban] [--if-exists] <JAIL>",
                "stops the jail <JAIL> and starts it anew (same as 'reload --restart ... <JAIL>')",
            ),
        ],
    },
    Entry {
        name: "reload",
        at: At::Server(reload),
        reply: Type::Str,
        show: Show::Text,
        forms: &[
            form(
                Basic,
                "[--restart] [--unban] [--all]",
                "reads the configuration again while the server runs; with '--restart' every jail is stopped \
                 and started anew, with '--unban' all bans are lifted first",
            ),
            form(
                Basic,
                "[--restart] [--unban] [--if-exists] <JAIL>",
                "the same for the jail <JAIL> alone; with '--if-exists' a jail that does not run is no error",
            ),
        ],
    },
    Entry {
        name: "stop",
        at: At::Server(stop),
        reply: Type::None,
        show: Show::Stopped,
        forms: &[
            form(Basic, "", "ends all jails, then the server"),
            form(JailControl, "<JAIL>", "ends the jail <JAIL> and removes it"),
        ],
    },
    Entry {
        name: "unban",
        at: At::Server(unban),
        reply: Type::Int,
        show: Show::Text,
        forms: &[
            form(Basic, "--all", "lifts every ban, in all jails and in the database"),
            form(Basic, "<IP> ... <IP>", "lifts the bans of <IP> in all jails and in the database"),
        ],
    },
    Entry {
        name: "banned",
        at: At::Server(|w| Ok(Request::Banned(w.from(0).iter().map(sized_address).collect()))),
        reply: BANNED,
        show: Show::Text,
        forms: &[
            form(Basic, "", "tells for each jail who is banned"),
            form(Basic, "<IP> ... <IP>", "tells for each <IP> which jails ban it"),
        ],
    },
    Entry {
        name: "status",
        at: At::Server(status),
        reply: STATUS,
        show: Show::Status,
        forms: &[
            form(Basic, "", "tells how the server is: its jails"),
            form(Basic, "--all [FLAVOR]", "tells how the server and each of its jails are"),
            form(JailControl, "<JAIL> [FLAVOR]", "tells how <JAIL> is: its log, its failures, its bans"),
        ],
    },
    Entry {
        name: "stats",
        at: At::Server(|_| Ok(Request::Stats)),
        reply: STATS,
        show: Show::Stats,
        forms: &[form(Basic, "", "tells the numbers of all jails in a table")],
    },
    Entry {
        name: "statistic",
        at: At::Server(|_| Ok(Request::Stats)),
        reply: STATS,
        show: Show::Stats,
        forms: &[],
    },
    Entry {
        name: "statistics",
        at: At::Server(|_| Ok(Request::Stats)),
        reply: STATS,
        show: Show::Stats,
        forms: &[],
    },
    Entry {
        name: "ping",
        at: At::Server(|_| Ok(Request::Ping)),
        reply: Type::Str,
        show: Show::Pong,
        forms: &[form(Basic, "", "asks whether the server is there")],
    },
    Entry {
        name: "echo",
        at: At::Server(|w| Ok(Request::Echo(Value::List(w.from(0).to_vec())))),
        // The words, in a list or a tuple as they came.
        reply: Type::Any,
        show: Show::Joined,
        forms: &[form(Basic, "", "lets the server say the words again, to try the line")],
    },
    Entry {
        name: "help",
        at: At::Client,
        reply: Type::None,
        show: Show::Text,
        forms: &[form(Basic, "", "shows this text")],
    },
    Entry {
        name: "version",
        at: At::Server(|_| Ok(Request::Version)),
        reply: Type::Str,
        show: Show::Text,
        forms: &[form(Basic, "", "tells the server's version")],
    },
    Entry { name: "sleep", at: At::Server(sleep), reply: Type::None, show: Show::Text, forms: &[] },
    Entry {
        name: "server-stream",
        at: At::Server(|w| Ok(Request::ServerStream(items(w.at(0)?)?))),
        reply: Type::None,
        show: Show::Hidden,
        forms: &[],
    },
    Entry {
        name: "server-status",
        at: At::Server(|_| Ok(Request::ServerStatus)),
        reply: Type::Str,
        show: Show::Text,
        forms: &[],
    },
    Entry {
        name: "config-error",
        at: At::Server(|w| Ok(Request::ConfigError(w.at(0)?.to_string()))),
        reply: Type::None,
        show: Show::Text,
        forms: &[],
    },
    Entry {
        name: "loglevel",
        at: At::Set(log_level),
        reply: Type::Str,
        show: Show::LogLevel,
        forms: &[form(
            Logging,
            "<LEVEL>",
            "makes the log as talkative as <LEVEL>: CRITICAL, ERROR, WARNING, NOTICE, INFO, DEBUG, TRACEDEBUG, \
             HEAVYDEBUG, or a number from 50 down to 5",
        )],
    },
    Entry {
        name: "loglevel",
        at: At::Get(Setting::LogLevel),
        reply: Type::Str,
        show: Show::LogLevel,
        forms: &[form(Logging, "", "tells how talkative the log is")],
    },
    Entry {
        name: "logtarget",
        at: At::Set(log_target),
        reply: Type::Str,
        show: Show::LogTarget,
        forms: &[form(
            Logging,
            "<TARGET>",
            "sends the log to <TARGET>: STDOUT, STDERR, SYSLOG, SYSTEMD-JOURNAL or a file",
        )],
    },
    Entry {
        name: "logtarget",
        at: At::Get(Setting::LogTarget),
        reply: Type::Str,
        show: Show::LogTarget,
        forms: &[form(Logging, "", "tells where the log goes")],
    },
    Entry {
        name: "syslogsocket",
        at: At::Set(|w| Ok(NewSetting::SyslogSocket(w.text(0)?))),
        reply: Type::Str,
        show: Show::SyslogSocket,
        forms: &[form(
            Logging,
            "auto|<SOCKET>",
            "finds syslog by itself or at <SOCKET>; of use with the log target SYSLOG only",
        )],
    },
    Entry {
        name: "syslogsocket",
        at: At::Get(Setting::SyslogSocket),
        reply: Type::Str,
        show: Show::SyslogSocket,
        forms: &[form(Logging, "", "tells where syslog is looked for")],
    },
    Entry {
        name: "flushlogs",
        at: At::Server(|_| Ok(Request::FlushLogs)),
        reply: Type::Str,
        show: Show::Flushed,
        forms: &[form(Logging, "", "closes the log file and opens it anew, after a rotation")],
    },
    Entry {
        name: "dbfile",
        at: At::Set(db_file),
        reply: PERHAPS_TEXT,
        show: Show::DbFile,
        forms: &[form(
            Database,
            "<FILE>",
            "keeps what must outlive the server in <FILE>; \"None\" for nowhere",
        )],
    },
    Entry {
        name: "dbfile",
        at: At::Get(Setting::DbFile),
        reply: PERHAPS_TEXT,
        show: Show::DbFile,
        forms: &[form(Database, "", "tells which file the database is")],
    },
    Entry {
        name: "dbmaxmatches",
        at: At::Set(|w| Ok(NewSetting::DbMaxMatches(w.at(0).and_then(int)))),
        reply: PERHAPS_INT,
        show: Show::Text,
        forms: &[form(Database, "<INT>", "keeps no more than <INT> log lines with a ban in the database")],
    },
    Entry {
        name: "dbmaxmatches",
        at: At::Get(Setting::DbMaxMatches),
        reply: PERHAPS_INT,
        show: Show::Text,
        forms: &[form(Database, "", "tells how many log lines are kept with a ban in the database")],
    },
    Entry {
        name: "dbpurgeage",
        at: At::Set(|w| Ok(NewSetting::DbPurgeAge(w.at(0).and_then(seconds)))),
        reply: Type::OneOf(&[Type::None, Type::Number]),
        show: Show::PurgeAge,
        forms: &[form(Database, "<SECONDS>", "forgets bans that ended more than <SECONDS> ago")],
    },
    Entry {
        name: "dbpurgeage",
        at: At::Get(Setting::DbPurgeAge),
        reply: Type::OneOf(&[Type::None, Type::Number]),
        show: Show::PurgeAge,
        forms: &[form(Database, "", "tells after how many seconds an old ban is forgotten")],
    },
    Entry { name: "thread", at: At::Set(thread), reply: Type::None, show: Show::Text, forms: &[] },
    Entry {
        name: "thread",
        at: At::Get(Setting::Thread),
        reply: Type::Dict(&Type::Int),
        show: Show::Text,
        forms: &[],
    },
    Entry {
        name: "allowipv6",
        at: At::Set(|w| Ok(NewSetting::AllowIpv6(w.at(0)?.clone()))),
        reply: Type::Any,
        show: Show::Text,
        forms: &[],
    },
];

fn add(w: Words<'_>) -> Result<Request> {
    let jail = sized_text(w.at(0)?)?;
    if jail == "--all" {
        return Err(exception("Reserved name '--all'"));
    }
    let backend = if w.has(1) { w.strict_text(1)? } else { "auto".into() };
    Ok(Request::Add { jail, backend })
}

fn stop(w: Words<'_>) -> Result<Request> {
    match w.0.first() {
        None => Ok(Request::Stop),
        Some(Value::Str(all)) if all == "--all" => Ok(Request::StopAll),
        Some(jail) => Ok(Request::StopJail(jail_name(jail)?)),
    }
}

fn unban(w: Words<'_>) -> Result<Request> {
    match w.0 {
        [] => Err(exception("Invalid command")),
        // With more words it is taken for an address, in Fail2ban too.
        [Value::Str(all)] if all == "--all" => Ok(Request::UnbanAll),
        words => {
            let mut ips = Vec::new();
            words.iter().try_for_each(|word| super::jails::flatten(word, &mut ips))?;
            Ok(Request::Unban(ips))
        }
    }
}

fn status(w: Words<'_>) -> Result<Request> {
    let flavor = || w.0.get(1).map_or_else(|| "basic".to_owned(), Value::to_string);
    match w.0 {
        [] => Ok(Request::Status),
        [_, _, _, ..] => Err(exception("Invalid command (no status)")),
        [Value::Str(all), ..] if all == "--all" => Ok(Request::StatusAll { flavor: flavor() }),
        [jail, ..] => Ok(Request::JailStatus { jail: jail_name(jail)?, flavor: flavor() }),
    }
}

fn reload(w: Words<'_>) -> Result<Request> {
    let missing = |what| Err(type_error(format!("Server.reloadJails() missing {what}")));
    let Some(name) = w.0.first() else {
        return missing("2 required positional arguments: 'name' and 'opts'");
    };
    let Some(options) = w.0.get(1) else { return missing("1 required positional argument: 'opts'") };
    let options = items(options)
        .map_err(|_| type_error(format!("argument of type '{}' is not iterable", options.type_name())))?;
    let has = |option: &str| options.iter().any(|given| given.as_str() == Some(option));
    let jail = if name.as_str() == Some("--all") { None } else { Some(jail_name(name)?) };
    Ok(Request::Reload(Reload {
        jail,
        restart: has("--restart"),
        unban: has("--unban"),
        if_exists: has("--if-exists"),
        stream: w.at(2).and_then(items),
    }))
}

fn sleep(w: Words<'_>) -> Result<Request> {
    let time = float(w.at(0)?)?;
    if time.is_nan() {
        return Err(Exception::builtin("ValueError", "Invalid value NaN (not a number)"));
    }
    if time < 0.0 {
        return Err(Exception::builtin("ValueError", "sleep length must be non-negative"));
    }
    if time > 9.2e9 {
        // What Python says of any time that its clock cannot count.
        return Err(Exception::builtin("OverflowError", "timestamp out of range for platform time_t"));
    }
    Ok(Request::Sleep(time))
}

/// Names and Python's numbers of the levels.
const LEVELS: [(&str, i64); 12] = [
    ("CRITICAL", 50),
    ("FATAL", 50),
    ("ERROR", 40),
    ("WARNING", 30),
    ("WARN", 30),
    ("NOTICE", 25),
    ("INFO", 20),
    ("MSG", 18),
    ("DEBUG", 10),
    ("TRACEDEBUG", 7),
    ("HEAVYDEBUG", 5),
    ("NOTSET", 0),
];

fn log_level(w: Words<'_>) -> Result<NewSetting> {
    let name = cased_text(w.at(0)?, "upper")?.to_uppercase();
    let known = LEVELS.iter().find(|(level, _)| *level == name).map(|(_, number)| *number);
    let shown = Value::Str(name.clone());
    let number = || name.bytes().all(|b| b.is_ascii_digit()).then(|| int(&shown).ok()).flatten();
    match known.or_else(number) {
        Some(number) => Ok(NewSetting::LogLevel { name, number }),
        None => Err(Exception::builtin("ValueError", format!("Invalid log level {}", shown.repr()))),
    }
}

fn log_target(w: Words<'_>) -> Result<NewSetting> {
    let parsed = options::options(&strict_text(w.at(0)?)?)?;
    Ok(NewSetting::LogTarget { target: parsed.name, options: parsed.options })
}

fn db_file(w: Words<'_>) -> Result<NewSetting> {
    let file = cased_text(w.at(0)?, "lower")?;
    Ok(NewSetting::DbFile((!file.eq_ignore_ascii_case("none")).then_some(file)))
}

fn thread(w: Words<'_>) -> Result<NewSetting> {
    let options = match w.at(0)? {
        Value::Dict(options) => options,
        other => {
            let message = format!("'{}' object has no attribute 'items'", other.type_name());
            return Err(Exception::builtin("AttributeError", message));
        }
    };
    let mut stack_size = None;
    for (option, value) in options {
        if option.as_str() != Some("stacksize") {
            return Err(Exception::builtin("KeyError", format!("unknown option {}", option.repr())));
        }
        stack_size = Some(stack_size_of(value)?);
    }
    Ok(NewSetting::Thread(stack_size))
}

/// KiB, as Python takes them: none, or at least 32.
fn stack_size_of(value: &Value) -> Result<i64> {
    let kib = int(value)?;
    match kib {
        0 | 32.. => Ok(kib),
        ..0 => Err(Exception::builtin("ValueError", "size must be 0 or a positive value")),
        _ => Err(Exception::builtin("ValueError", format!("size not valid: {} bytes", kib * 1024))),
    }
}
