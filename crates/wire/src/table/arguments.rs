//! What may follow the words of a command, read from the text that the help shows: `[--restart] <JAIL>`, `<IP> ... <IP>`.
//!
//! The text is the only place where arguments are written down; completions and the manual learn their types from it here.

use super::Form;

/// What kind of word an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// This very word: `--all`, `on`.
    Word(&'static str),
    /// The name of a jail.
    Jail,
    /// An address, a network, or another identity.
    Address,
    /// The name of a jail's action.
    Action,
    /// What a status shows: `basic`, `short`, `stats`.
    Flavor,
    /// How a jail's log is read.
    Backend,
    /// A file.
    File,
    /// A whole number.
    Number,
    /// A span, in seconds or like `1d 12h`.
    Time,
    /// A level of the log.
    Level,
    /// Where the log goes.
    Target,
    /// Any text: an expression, a command, a name of one's own.
    Text,
}

impl Kind {
    /// What is meant by a name in angle brackets.
    fn named(name: &str) -> Option<Kind> {
        Some(match name {
            "JAIL" => Kind::Jail,
            "IP" => Kind::Address,
            "ACT" => Kind::Action,
            "FLAVOR" => Kind::Flavor,
            "BACKEND" => Kind::Backend,
            "FILE" | "SOCKET" | "PYTHONFILE" => Kind::File,
            "INT" | "INDEX" | "RETRY" | "LINES" => Kind::Number,
            "SECONDS" | "TIME" | "TIMEOUT" => Kind::Time,
            "LEVEL" => Kind::Level,
            "TARGET" => Kind::Target,
            "VALUE" | "ENCODING" | "MATCH" | "REGEX" | "PATTERN" | "CMD" | "PROPERTY" | "METHOD"
            | "JSONKWARGS" | "SEP" | "failure1" | "failureN" => Kind::Text,
            _ => return None,
        })
    }

    /// Words that are always possible here.
    pub fn words(self) -> &'static [&'static str] {
        match self {
            Kind::Flavor => &["basic", "short", "stats", "cymru"],
            Kind::Backend => &["auto", "polling", "pyinotify", "systemd"],
            Kind::Level => {
                &["CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG", "TRACEDEBUG", "HEAVYDEBUG"]
            }
            Kind::Target => &["STDOUT", "STDERR", "SYSLOG", "SYSTEMD-JOURNAL"],
            _ => &[],
        }
    }

    /// What a name in angle brackets stands for, for the manual.
    pub fn meaning_of(name: &str) -> &'static str {
        match name {
            "VALUE" => "as the option of that name in the configuration",
            "ENCODING" => "an encoding, or auto",
            "MATCH" => "what journalctl takes: _SYSTEMD_UNIT=sshd.service",
            "REGEX" => "a regular expression, with <HOST> in it",
            "PATTERN" => "a date pattern, as in the configuration",
            "CMD" => "a command for the shell, with tags like <ip> in it",
            "PROPERTY" => "the name of a property of the action",
            "METHOD" => "the name of a method of the action",
            "JSONKWARGS" => "arguments as a JSON object",
            "SEP" => "what to put between two addresses",
            "failure1" => "a line that tells of the failure",
            "failureN" => "the last of them",
            name => Kind::named(name).unwrap_or(Kind::Text).meaning(),
        }
    }

    /// The type in a word or two.
    pub fn meaning(self) -> &'static str {
        match self {
            Kind::Word(_) => "this word",
            Kind::Jail => "the name of a jail",
            Kind::Address => "an address, a network or another identity",
            Kind::Action => "the name of an action of the jail",
            Kind::Flavor => "basic, short, stats or cymru",
            Kind::Backend => "auto, polling, pyinotify or systemd",
            Kind::File => "a file",
            Kind::Number => "a whole number",
            Kind::Time => "a span in seconds, or like 1d 12h",
            Kind::Level => "a level of the log",
            Kind::Target => "a file, or one of STDOUT, STDERR, SYSLOG, SYSTEMD-JOURNAL",
            Kind::Text => "text",
        }
    }
}

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// What it may be, one of these.
    pub kinds: Vec<Kind>,
    /// It may be left out.
    pub optional: bool,
    /// It may be given several times.
    pub repeated: bool,
}

impl Form {
    /// What follows the command's words, one after the other.
    pub fn list(&self) -> Vec<Argument> {
        let mut list: Vec<Argument> = Vec::new();
        let mut depth = 0_usize;
        // What stands behind `...` is the last of what stood before.
        let mut again = false;
        for token in self.arguments.replace('[', " [ ").replace(']', " ] ").split_whitespace() {
            match token {
                "[" => depth += 1,
                "]" => depth = depth.saturating_sub(1),
                "..." => {
                    again = true;
                    if let Some(last) = list.last_mut() {
                        last.repeated = true;
                    }
                }
                _ if std::mem::take(&mut again) => {}
                token => {
                    let token = in_text(self.arguments, token);
                    let kinds = token.split('|').map(kind).collect();
                    list.push(Argument { kinds, optional: depth > 0, repeated: false });
                }
            }
        }
        list
    }

    /// What may stand at the argument number `place`, after those before it.
    pub fn possible(&self, place: usize) -> Vec<Kind> {
        let list = self.list();
        let mut kinds = Vec::new();
        // How many words have been read when one stands before this argument: at least, and at most.
        let (mut least, mut most) = (0, 0);
        for argument in &list {
            if (least..=most).contains(&place) || (argument.repeated && place >= least) {
                kinds.extend(
                    argument.kinds.iter().filter(|kind| !kinds.contains(*kind)).copied().collect::<Vec<_>>(),
                );
            }
            least += usize::from(!argument.optional);
            most = if argument.repeated { usize::MAX } else { usize::saturating_add(most, 1) };
        }
        kinds
    }
}

/// The token where it stands in the text, which lives as long as the program.
fn in_text(text: &'static str, token: &str) -> &'static str {
    text.find(token).map_or("", |at| &text[at..at + token.len()])
}

fn kind(word: &'static str) -> Kind {
    let inner = word.strip_prefix('<').and_then(|word| word.strip_suffix('>'));
    match inner {
        Some(name) => Kind::named(name).unwrap_or(Kind::Text),
        None => Kind::Word(word.trim_matches('\'')),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Group, entries};
    use super::*;

    fn list(arguments: &'static str) -> Vec<Argument> {
        Form { group: Group::Basic, arguments, help: "" }.list()
    }

    #[test]
    fn arguments_are_read_as_the_help_writes_them() {
        let one = |kind, optional, repeated| Argument { kinds: vec![kind], optional, repeated };
        assert_eq!(list(""), []);
        assert_eq!(list("<IP> ... <IP>"), [one(Kind::Address, false, true)]);
        assert_eq!(
            list("[--unban] <JAIL>"),
            [one(Kind::Word("--unban"), true, false), one(Kind::Jail, false, false)]
        );
        assert_eq!(list("<FILE> ['tail']")[1], one(Kind::Word("tail"), true, false));
        assert_eq!(list("auto|<SOCKET>")[0].kinds, [Kind::Word("auto"), Kind::File]);
        assert_eq!(list("<ACT>[ <PYTHONFILE> <JSONKWARGS>]").len(), 3);
        assert_eq!(list("<IP> [<failure1> ... <failureN>]")[1], one(Kind::Text, true, true));
    }

    #[test]
    fn what_may_stand_somewhere_follows_from_what_may_be_left_out() {
        let form = Form { group: Group::Basic, arguments: "[--restart] [--unban] <JAIL>", help: "" };
        assert_eq!(form.possible(0), [Kind::Word("--restart"), Kind::Word("--unban"), Kind::Jail]);
        assert_eq!(form.possible(2), [Kind::Jail]);
        assert_eq!(form.possible(3), []);
        let form = Form { group: Group::Basic, arguments: "<IP> ... <IP>", help: "" };
        assert_eq!((form.possible(0), form.possible(7)), (vec![Kind::Address], vec![Kind::Address]));
    }

    #[test]
    fn every_name_in_the_table_has_a_type() {
        for form in entries().flat_map(|entry| entry.forms) {
            let brackets = form.arguments.split('<').skip(1).filter_map(|rest| rest.split('>').next());
            for name in brackets {
                assert!(Kind::named(name).is_some(), "{name} in {form:?}");
            }
        }
    }
}
