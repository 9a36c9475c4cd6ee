//! Replies as people read them.
//!
//! The command table tells of which type a command's reply is, and how it is shown. What is of another type (from a server of
//! another version) is shown as Python shows it.

mod stats;
mod tree;

use portcullis_value::{Exception, Value};

use crate::table;

/// Which characters a terminal has for tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// `|` and `-`
    Ascii,
    /// `║` and `═`
    Utf8,
}

/// The reply to the command `words`, as text without the last line feed. `None`: print nothing.
pub fn reply(words: &[Value], reply: &Value, charset: Charset) -> Option<String> {
    let entry = table::find(words).filter(|entry| entry.show == Show::Hidden || entry.reply.fits(reply));
    let show = entry.map_or(Show::Text, |entry| entry.show);
    let text = match show {
        Show::Hidden => return None,
        Show::Fixed(text) => Some(text.to_owned()),
        Show::Status => tree::status(words, reply),
        Show::Stats => stats::table(reply, charset),
        show => show.text(words, reply),
    };
    Some(text.unwrap_or_else(|| reply.to_string()))
}

/// A failed command's exception, as text.
pub fn exception(exception: &Exception) -> String {
    let about = exception.args.first().map(Value::to_string).unwrap_or_default();
    match exception.name() {
        "UnknownJailException" => format!("Sorry but the jail '{about}' does not exist"),
        "DuplicateJailException" => format!("The jail '{about}' already exists"),
        "IndexError" => "Sorry but the command is invalid".to_owned(),
        _ => exception.to_string(),
    }
}

/// The word at this place, as text.
fn word(words: &[Value], index: usize) -> String {
    words.get(index).map(Value::to_string).unwrap_or_default()
}

/// The items of a list or tuple.
fn items(value: &Value) -> Option<&[Value]> {
    match value {
        Value::List(items) | Value::Tuple(items) => Some(items),
        _ => None,
    }
}

fn joined(items: &[Value], separator: &str) -> String {
    items.iter().map(Value::to_string).collect::<Vec<_>>().join(separator)
}

/// How a reply becomes text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Python's `str()`.
    Text,
    /// Nothing is printed.
    Hidden,
    /// Always these words.
    Fixed(&'static str),
    /// `Added jail web`
    Added,
    /// `Shutdown successful`, or `Jail stopped` if a jail was named.
    Stopped,
    /// `Server replied: pong`
    Pong,
    /// The words with a blank between them.
    Joined,
    /// `logs: rolled over`
    Flushed,
    /// A tree, of the server or a jail.
    Status,
    /// A table of all jails.
    Stats,
    /// `Current logging level is 'INFO'`
    LogLevel,
    /// `Current logging target is:` and the target
    LogTarget,
    /// `Current syslog socket is:` and the path
    SyslogSocket,
    /// `Current database file is:` and the path, or that there is none
    DbFile,
    /// `Current database purge age is:` and the seconds
    PurgeAge,
    /// `Current monitored log file(s):` and the files
    FileList,
    /// `Current log encoding is set to:` and its name
    Encoding,
    /// `Current match filter:` and the matches
    JournalMatch,
    /// `These IP addresses/networks are ignored:` and they
    IgnoreList,
    /// `The following regular expression are defined:` and they, numbered
    Regexes,
    /// `Current date pattern set to:` and its name
    DatePattern,
    /// Addresses with the given separator between them
    BanList,
    /// `The jail web has the following actions:` and their names
    Actions,
    /// `The jail web action a has the following properties:` and their names
    ActionParts(&'static str),
}

impl Show {
    /// One reply as text; `None` if it has not the expected shape.
    fn text(self, words: &[Value], reply: &Value) -> Option<String> {
        let titled = |title: &str, line: &str| Some(format!("{title}\n{line}"));
        let listed = |title: &str, none: &str| match items(reply)? {
            [] => Some(none.to_owned()),
            items => titled(title, &tree::list(items.iter().map(Value::to_string))),
        };
        match self {
            Show::Added => Some(format!("Added jail {reply}")),
            Show::Stopped if words.len() > 1 => Some("Jail stopped".to_owned()),
            Show::Stopped => Some("Shutdown successful".to_owned()),
            Show::Pong => Some(format!("Server replied: {reply}")),
            Show::Joined => Some(joined(items(reply)?, " ")),
            Show::Flushed => Some(format!("logs: {reply}")),
            Show::LogLevel => {
                Some(format!("Current logging level is {}", Value::Str(reply.to_string()).repr()))
            }
            Show::LogTarget => titled("Current logging target is:", &format!("`- {reply}")),
            Show::SyslogSocket => titled("Current syslog socket is:", &format!("`- {reply}")),
            Show::DbFile | Show::PurgeAge if *reply == Value::None => {
                Some("Database currently disabled".to_owned())
            }
            Show::DbFile => titled("Current database file is:", &format!("`- {reply}")),
            Show::PurgeAge => {
                // Whole seconds, whatever was set.
                let seconds = match reply {
                    Value::Float(seconds) => format!("{:.0}", seconds.trunc()),
                    other => other.to_string(),
                };
                titled("Current database purge age is:", &format!("`- {seconds}seconds"))
            }
            Show::FileList => listed("Current monitored log file(s):", "No file is currently monitored"),
            Show::IgnoreList => {
                listed("These IP addresses/networks are ignored:", "No IP address/network is ignored")
            }
            Show::Encoding => titled("Current log encoding is set to:", &reply.to_string()),
            Show::JournalMatch => match items(reply)? {
                [] => Some("No journal match filter set".to_owned()),
                matches => {
                    let matches: Vec<_> = matches
                        .iter()
                        .map(|words| items(words).map(|words| joined(words, " ")))
                        .collect::<Option<_>>()?;
                    titled("Current match filter:", &matches.join(" + "))
                }
            },
            Show::Regexes => match items(reply)? {
                [] => Some("No regular expression is defined".to_owned()),
                regexes => {
                    let numbered =
                        regexes.iter().enumerate().map(|(index, regex)| format!("[{index}]: {regex}"));
                    titled("The following regular expression are defined:", &tree::list(numbered))
                }
            },
            Show::DatePattern => {
                let pattern = match reply {
                    Value::None => "Not set/required".to_owned(),
                    pattern => match items(pattern)? {
                        [Value::None, name] => name.to_string(),
                        [pattern, name] => format!("{pattern} ({name})"),
                        _ => return None,
                    },
                };
                Some(format!("Current date pattern set to: {pattern}"))
            }
            Show::BanList => {
                let separator = match words.get(3).map(Value::to_string) {
                    None => " ".to_owned(),
                    Some(option) if option == "--with-time" => "\n".to_owned(),
                    Some(separator) => separator,
                };
                Some(joined(items(reply)?, &separator))
            }
            Show::Actions => Some(match items(reply)? {
                [] => format!("No actions for jail {}", word(words, 1)),
                actions => {
                    format!(
                        "The jail {} has the following actions:\n{}",
                        word(words, 1),
                        joined(actions, ", ")
                    )
                }
            }),
            Show::ActionParts(what) => titled(
                &format!("The jail {} action {} has the following {what}:", word(words, 1), word(words, 3)),
                &joined(items(reply)?, ", "),
            ),
            Show::Text | Show::Hidden | Show::Fixed(_) | Show::Status | Show::Stats => None,
        }
    }
}

#[cfg(test)]
mod tests;
