//! What a client may ask, typed.
//!
//! [`Request::parse`] makes one out of the words that came over the socket (or stand in a stream of the configuration), and
//! raises what Fail2ban raises for wrong words. It knows no jail, so what Fail2ban checks only after it has found the jail
//! is a [`Late`] value: look the jail up first, then take it with `?`.

mod ours;

use portcullis_value::{Exception, Number, Value};

use crate::table::{self, At};
use crate::words::{Words, exception, is_late, items, missing_argument, type_error};

pub use ours::{Ban, Ours};
pub(crate) use ours::{ban, banned, bans, events, explain, unban};

/// A value whose error counts only after the jail (or the action, or the database) was found.
pub type Late<T> = Result<T, Exception>;

/// One command.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// `ping [timeout]` → `'pong'`
    Ping,
    /// `version` → `'1.0.2'`
    Version,
    /// `echo WORDS` → the words, a list or a tuple as they came
    Echo(Value),
    /// `sleep SECONDS` → None. Neither negative nor NaN.
    Sleep(f64),
    /// `server-status` → `'Server ready'`
    ServerStatus,
    /// What `portcullis` asks; Fail2ban does not know it.
    Ours(Ours),
    /// `config-error TEXT` → None; the text is logged as an error.
    ConfigError(String),
    /// `flushlogs` → `'rolled over'` or `'flushed'`
    FlushLogs,
    /// `status` → `[('Number of jail', n), ('Jail list', 'a, b')]`
    Status,
    /// `status --all [FLAVOR]` (1.1) → the list of `status` and a dict from each jail to its status
    StatusAll {
        /// `basic` unless given.
        flavor: String,
    },
    /// `status JAIL [FLAVOR]`
    JailStatus {
        /// The jail's name.
        jail: String,
        /// `basic` unless given. Unknown ones are logged, and then mean `basic`.
        flavor: String,
    },
    /// `stats` (1.1) → dict from jail to `[backend, (failed, total), (banned, total)]`
    Stats,
    /// `banned` (no address: a list of one-key dicts) and `banned IP…` (a list of jails for each)
    Banned(Vec<Late<String>>),
    /// `unban IP…` → number of lifted bans
    Unban(Vec<String>),
    /// `unban --all` → number of lifted bans
    UnbanAll,
    /// `add JAIL [BACKEND]` → the jail's name
    Add {
        /// The new jail's name; never `--all`.
        jail: String,
        /// With its options, as written; `auto` unless given.
        backend: String,
    },
    /// `start JAIL` → None
    Start(String),
    /// `stop JAIL` → None; the jail is removed.
    StopJail(String),
    /// `stop --all` → None; the server stays.
    StopAll,
    /// `stop` → None; the server ends.
    Stop,
    /// `reload JAIL|--all OPTIONS STREAM` → `'OK'`
    Reload(Reload),
    /// `server-stream STREAM` → None. Each item is a request of its own, for [`Request::from_value`].
    ServerStream(Vec<Value>),
    /// `get WHAT`: a setting of the server
    Get(Setting),
    /// `set WHAT VALUE`; answers the new value as `get` does
    Set(NewSetting),
    /// `get JAIL WHAT`
    JailGet {
        /// The jail's name.
        jail: String,
        /// What is asked.
        what: JailGet,
    },
    /// `set JAIL WHAT …`; answers the new value as `get` does, unless the variant tells otherwise
    JailSet {
        /// The jail's name.
        jail: String,
        /// What is set.
        what: JailSet,
    },
}

/// What to reload, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Reload {
    /// The jail; `None` means all of them.
    pub jail: Option<String>,
    /// `--restart`: stop before starting anew.
    pub restart: bool,
    /// `--unban`: lift the bans.
    pub unban: bool,
    /// `--if-exists`: an unknown jail is no error.
    pub if_exists: bool,
    /// The new configuration, each item for [`Request::from_value`]. Its error counts after an unknown jail's.
    pub stream: Late<Vec<Value>>,
}

/// `get WHAT`: a setting of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// → `'INFO'`
    LogLevel,
    /// → the target's name without options
    LogTarget,
    /// → `'auto'` or a path
    SyslogSocket,
    /// → a path, or None without a database
    DbFile,
    /// → seconds
    DbPurgeAge,
    /// → a number
    DbMaxMatches,
    /// → `{'stacksize': n}`
    Thread,
}

/// `set WHAT VALUE`: a setting of the server.
#[derive(Clone, Debug, PartialEq)]
pub enum NewSetting {
    /// A level that exists; answers `name`.
    LogLevel {
        /// As given, in upper case: `INFO`, `25`.
        name: String,
        /// Python's number of it: 20 for INFO.
        number: i64,
    },
    /// Answers the target's name.
    LogTarget {
        /// `STDOUT`, a path, …
        target: String,
        /// `padding`, `datetime`, `format`, `facility`.
        options: Vec<(String, String)>,
    },
    /// `auto` or a path.
    SyslogSocket(String),
    /// A path, `:memory:`; `None` for no database.
    DbFile(Option<String>),
    /// Seconds. Without a database the answer is None, whatever is given.
    DbPurgeAge(Late<Number>),
    /// Without a database the answer is None, whatever is given.
    DbMaxMatches(Late<i64>),
    /// Stack size of threads in KiB, unless the dict was empty; answers None.
    Thread(Option<i64>),
    /// Answers what was given.
    AllowIpv6(Value),
}

/// `get JAIL WHAT`.
#[derive(Clone, Debug, PartialEq)]
pub enum JailGet {
    /// → list of paths
    LogPath,
    /// → `'UTF-8'`
    LogEncoding,
    /// → list of lists of words
    JournalMatch,
    /// → bool
    IgnoreSelf,
    /// → list of addresses and networks
    IgnoreIp,
    /// → the command, False if never set
    IgnoreCommand,
    /// → None or `[key, max-count, max-time]`
    IgnoreCache,
    /// → text, expanded
    PrefRegex,
    /// → list of expanded expressions
    FailRegex,
    /// → list of expanded expressions
    IgnoreRegex,
    /// → `'warn'`
    UseDns,
    /// → seconds
    FindTime,
    /// → seconds, -1 for permanent
    BanTime,
    /// `bantime.OPTION` → the stored value or None. The option's name without `bantime.`.
    BanTimeOption(String),
    /// → None or `(pattern or None, name)`
    DatePattern,
    /// → None or text
    LogTimeZone,
    /// → number
    MaxRetry,
    /// → number
    MaxMatches,
    /// → number
    MaxLines,
    /// → list; of one address 0 or 1; of several a list of these. What is no address is an error only where somebody is
    /// banned: there it is compared.
    Banned(Vec<Late<String>>),
    /// `banip [SEPARATOR]` → list by end of ban, and with `--with-time` lines like `IP \tBEGIN + BANTIME = END`
    BanIp {
        /// With the times.
        with_time: bool,
    },
    /// → list of names
    Actions,
    /// → list of names of properties
    ActionProperties(String),
    /// → list of names of methods
    ActionMethods(String),
    /// → the property's value
    ActionProperty {
        /// The action's name.
        action: String,
        /// The property's name.
        property: Late<String>,
    },
    /// Words that the jail cannot use.
    Refused(Exception),
}

/// `set JAIL WHAT …`.
#[derive(Clone, Debug, PartialEq)]
pub enum JailSet {
    /// `idle on|off`
    Idle(bool),
    /// `addlogpath FILE [head|tail]`
    AddLogPath {
        /// The file.
        path: Late<String>,
        /// Begin at its end.
        tail: bool,
    },
    /// `dellogpath FILE`; an unknown one is no error
    DelLogPath(String),
    /// `logencoding NAME`; `auto` means the locale's
    LogEncoding(Late<String>),
    /// `addjournalmatch WORD…`
    AddJournalMatch(Vec<String>),
    /// `deljournalmatch WORD…`; these very words, or `ValueError: Match […] not found`
    DelJournalMatch(Vec<String>),
    /// `ignoreself BOOL`
    IgnoreSelf(bool),
    /// `addignoreip IP…`, up to the first that is wrong
    AddIgnoreIp(Vec<Late<String>>),
    /// `delignoreip IP`
    DelIgnoreIp(String),
    /// `ignorecommand COMMAND`; kept and told as given
    IgnoreCommand(Value),
    /// `ignorecache key="…",max-count=…,max-time=…`; empty means none
    IgnoreCache(Late<Option<IgnoreCache>>),
    /// `prefregex REGEX`; empty means none
    PrefRegex(Late<String>),
    /// `addfailregex REGEX`
    AddFailRegex(Late<String>),
    /// `multi-set JAIL addfailregex [REGEX, …]` → True
    AddFailRegexes(Late<Vec<String>>),
    /// `delfailregex INDEX`; a wrong index is logged, no error
    DelFailRegex(i64),
    /// `addignoreregex REGEX`
    AddIgnoreRegex(Late<String>),
    /// `multi-set JAIL addignoreregex [REGEX, …]` → True
    AddIgnoreRegexes(Late<Vec<String>>),
    /// `delignoreregex INDEX`; a wrong index is logged, no error
    DelIgnoreRegex(i64),
    /// `usedns yes|warn|no|raw`, in lower case; others are logged and mean `no`
    UseDns(Late<String>),
    /// `findtime TIME`
    FindTime(Late<Number>),
    /// `bantime TIME`, of which the whole seconds count; negative for ever
    BanTime(Late<Number>),
    /// `bantime.OPTION VALUE`
    BanTimeOption {
        /// `increment`, `factor`, …, without `bantime.`; unknown ones are stored too.
        option: String,
        /// As given, and so the log shows it; empty unsets.
        given: Value,
    },
    /// `datepattern PATTERN`
    DatePattern(Late<String>),
    /// `logtimezone ZONE`; None is none
    LogTimeZone(Late<Option<String>>),
    /// `maxretry N`
    MaxRetry(i64),
    /// `maxmatches N`
    MaxMatches(i64),
    /// `maxlines N`, at least 1
    MaxLines(Late<i64>),
    /// `banip IP…` → number of new bans; up to the first that is wrong
    BanIp(Vec<Late<String>>),
    /// `unbanip [--report-absent] IP…` → number of lifted bans
    UnbanIp {
        /// Addresses and networks.
        ips: Vec<String>,
        /// What was not banned is an error.
        report_absent: bool,
    },
    /// `attempt IP [LINE…]` → 1
    Attempt {
        /// Who failed.
        ip: String,
        /// The lines that become its matches.
        lines: Late<Vec<String>>,
    },
    /// `addaction ACTION [FILE JSON]` → the action's name
    AddAction {
        /// The action's name.
        action: String,
        /// An action written in Python.
        python: Option<PythonAction>,
    },
    /// `delaction ACTION` → None
    DelAction(String),
    /// `action ACTION PROPERTY VALUE` → the value; `action ACTION METHOD [JSON]` → what the method returns
    ///
    /// Without a value and when no method has this name, raise [`missing_argument`](crate::missing_argument).
    Action {
        /// The action's name.
        action: String,
        /// A property or a method.
        name: Late<String>,
        /// The property's new value, or a method's arguments as JSON.
        value: Option<Value>,
    },
    /// `multi-set JAIL action ACTION [[PROPERTY, VALUE], …]` → True
    ActionProperties {
        /// The action's name.
        action: String,
        /// What to set, in this order.
        properties: Late<Vec<(String, Value)>>,
    },
    /// Words that the jail cannot use.
    Refused(Exception),
}

/// How answers of `ignorecommand` are remembered.
#[derive(Clone, Debug, PartialEq)]
pub struct IgnoreCache {
    /// A template: `<ip>`.
    pub key: String,
    /// How many, 100 unless given.
    pub max_count: i64,
    /// For how long, in seconds, 300 unless given.
    pub max_time: Number,
}

/// An action written in Python.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonAction {
    /// The program text.
    pub path: String,
    /// Its arguments, a JSON object.
    pub json: String,
}

impl Request {
    /// What a client sent: a list (or tuple) of words.
    ///
    /// # Errors
    /// As [`Request::parse`]; for what is no list the `TypeError` or `IndexError` that Python raises for `value[0]`.
    pub fn from_value(value: &Value) -> Result<Request, Exception> {
        let out_of_range = |kind: &str| Exception::builtin("IndexError", format!("{kind}index out of range"));
        match value {
            Value::List(words) => Request::parse(words),
            Value::Tuple(words) => match Request::parse(words) {
                Ok(Request::Echo(Value::List(words))) => Ok(Request::Echo(Value::Tuple(words))),
                request => request.map_err(|exception| missing_in(value, exception)),
            },
            Value::Str(text) if text.is_empty() => Err(out_of_range("string ")),
            Value::Bytes(bytes) if bytes.is_empty() => Err(out_of_range("")),
            Value::Str(_) | Value::Bytes(_) => Err(exception("Invalid command")),
            Value::Dict(_) => Err(Exception { class: "builtins.KeyError".into(), args: vec![Value::Int(0)] }),
            other => Err(type_error(format!("'{}' object is not subscriptable", other.type_name()))),
        }
    }

    /// The command that these words are.
    ///
    /// # Errors
    /// What Fail2ban 1.0.2 raises: `IndexError` for a missing word, `Exception: Invalid command`, `ValueError` …
    pub fn parse(words: &[Value]) -> Result<Request, Exception> {
        let name = words.first().ok_or_else(missing_argument)?;
        let Value::Str(name) = name else { return Err(exception("Invalid command")) };
        match name.as_str() {
            "get" => get(words),
            "set" => set(words, false),
            "multi-set" => set(words, true),
            name => match table::server(name).map(|entry| entry.at) {
                Some(At::Server(parse)) => parse(Words(&words[1..])),
                _ => Err(exception("Invalid command")),
            },
        }
    }
}

/// The exception in the words for the request's type: a tuple that lacks a word says that it is a tuple.
pub fn missing_in(request: &Value, exception: Exception) -> Exception {
    match request {
        Value::Tuple(_) if exception == missing_argument() => {
            Exception::builtin("IndexError", "tuple index out of range")
        }
        _ => exception,
    }
}

fn get(words: &[Value]) -> Result<Request, Exception> {
    let what = words.get(1).ok_or_else(missing_argument)?;
    if let Some(At::Get(setting)) = what.as_str().and_then(table::get).map(|entry| entry.at) {
        return Ok(Request::Get(setting));
    }
    let name = jail_option(words)?;
    let Some((At::JailGet(parse), argument)) = table::jail_get(name).map(|(entry, rest)| (entry.at, rest))
    else {
        return Err(exception("Invalid command (no get action or not yet implemented)"));
    };
    let what_is_asked = match parse(argument, Words(words.get(3..).unwrap_or_default())) {
        Err(exception) if is_late(&exception) => JailGet::Refused(exception),
        what_is_asked => what_is_asked?,
    };
    Ok(Request::JailGet { jail: jail_name(what)?, what: what_is_asked })
}

fn set(words: &[Value], multiple: bool) -> Result<Request, Exception> {
    let what = words.get(1).ok_or_else(missing_argument)?;
    if let Some(At::Set(parse)) = what.as_str().and_then(table::set).map(|entry| entry.at) {
        return Ok(Request::Set(parse(Words(&words[2..]))?));
    }
    let name = jail_option(words)?;
    let arguments = Words(words.get(3..).unwrap_or_default());
    if multiple && let Some(several) = several(name, arguments) {
        return Ok(Request::JailSet { what: several?, jail: jail_name(what)? });
    }
    let Some((At::JailSet(parse), argument)) = table::jail_set(name).map(|(entry, rest)| (entry.at, rest))
    else {
        let name = portcullis_value::repr_str(name);
        return Err(exception(format!("Invalid command {name} (no set action or not yet implemented)")));
    };
    let what_is_set = match parse(argument, arguments) {
        Err(exception) if is_late(&exception) => JailSet::Refused(exception),
        what_is_set => what_is_set?,
    };
    Ok(Request::JailSet { jail: jail_name(what)?, what: what_is_set })
}

/// The commands that take a list in `multi-set`; there it makes no difference for the others.
fn several(name: &str, words: Words<'_>) -> Option<Result<JailSet, Exception>> {
    let expressions = || -> Result<Late<Vec<String>>, Exception> {
        let list = words.at(0)?;
        Ok(items(list).and_then(|list| list.iter().map(crate::words::strict_text).collect()))
    };
    Some(match name {
        "addfailregex" => expressions().map(JailSet::AddFailRegexes),
        "addignoreregex" => expressions().map(JailSet::AddIgnoreRegexes),
        "action" => {
            words.text(0).map(|action| JailSet::ActionProperties { action, properties: pairs(words) })
        }
        _ => return None,
    })
}

fn pairs(words: Words<'_>) -> Late<Vec<(String, Value)>> {
    items(words.at(1)?)?
        .iter()
        .map(|pair| match pair {
            Value::List(pair) | Value::Tuple(pair) => {
                let pair = Words(pair);
                Ok((pair.text(0)?, pair.at(1)?.clone()))
            }
            // A text is a list of letters.
            Value::Str(pair) => {
                let mut letters = pair.chars().map(|letter| letter.to_string());
                match (letters.next(), letters.next()) {
                    (Some(property), Some(value)) => Ok((property, value.into())),
                    _ => Err(Exception::builtin("IndexError", "string index out of range")),
                }
            }
            other => Err(type_error(format!("'{}' object is not subscriptable", other.type_name()))),
        })
        .collect()
}

/// The third word, which Python asks for `startswith`.
fn jail_option(words: &[Value]) -> Result<&str, Exception> {
    match words.get(2).ok_or_else(missing_argument)? {
        Value::Str(name) => Ok(name),
        Value::Bytes(_) => Err(type_error("startswith first arg must be bytes or a tuple of bytes, not str")),
        other => Err(Exception::builtin(
            "AttributeError",
            format!("'{}' object has no attribute 'startswith'", other.type_name()),
        )),
    }
}

/// The name of a jail. What is no text cannot be one's name.
pub(crate) fn jail_name(value: &Value) -> Result<String, Exception> {
    match value {
        Value::Str(name) => Ok(name.clone()),
        Value::List(_) | Value::Dict(_) | Value::Set(_) => crate::words::text(value),
        other => Err(Exception {
            class: "fail2ban.exceptions.UnknownJailException".into(),
            args: vec![other.clone()],
        }),
    }
}

#[cfg(test)]
mod tests;
