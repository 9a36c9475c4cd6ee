//! Our actions without a server: what the genuine client would send one, carried out by our runner and shell.

// Each test uses its own part of this.
#![allow(dead_code)]

use std::sync::Mutex;
use std::time::Duration;

use portcullis_compliance::Peer;
use portcullis_daemon::act::runner::Executor;
use portcullis_daemon::act::shell::{Exit, Shell};
use portcullis_jail::action::{Action, Counters, Facts, Past, Script};
use portcullis_jail::{Id, Level, LogLine, Timestamp};
use portcullis_value::Value;

/// Runs scripts and keeps what is logged.
pub(crate) struct Hands {
    shell: Shell,
    /// Lines at INFO and above: `logger LEVEL text`.
    pub(crate) said: String,
}

impl Hands {
    /// Hands that work in a peer's directory, with its stand-ins.
    pub(crate) fn of(peer: &Peer) -> Self {
        let mut shell = Shell::new();
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", peer.path("stand-in").display());
        shell.set_environment("PATH", path);
        shell.set_environment("RECORD", peer.path("record"));
        Hands { shell, said: String::new() }
    }
}

impl Executor for Hands {
    fn run(&mut self, script: &Script, timeout: Duration) -> Exit {
        self.shell.run(script, timeout)
    }

    fn log(&mut self, line: LogLine) {
        let level = match line.level {
            Level::INFO => "INFO",
            Level::NOTICE => "NOTICE",
            Level::WARNING => "WARNING",
            Level::ERROR => "ERROR",
            Level::CRITICAL => "CRITICAL",
            _ => return,
        };
        self.said.push_str(&format!("{} {level} {}\n", line.logger, line.text));
    }
}

/// A jail's facts.
#[derive(Default)]
pub(crate) struct Jail {
    /// What the database has of every offender.
    pub(crate) past: Mutex<Past>,
}

impl Facts for Jail {
    fn jail(&self) -> String {
        "J".into()
    }
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000.5)
    }
    fn bantime(&self) -> Value {
        Value::Int(600)
    }
    fn counters(&self) -> Counters {
        Counters::default()
    }
    fn host_of(&self, _: &Id) -> Option<String> {
        None
    }
    fn past(&self, _: &Id, _: bool) -> Past {
        self.past.lock().unwrap().clone()
    }
    fn own_host(&self, full: bool) -> String {
        let argument = if full { "--fqdn" } else { "--short" };
        let output = std::process::Command::new("hostname").arg(argument).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

/// The action of the jail, as the client would send it to a server.
pub(crate) fn sent_action(peer: &Peer) -> Action {
    let dump = peer.client(&["-d"]).stdout;
    let line =
        dump.lines().find(|line| line.starts_with("['multi-set', 'J', 'action', ")).unwrap_or_else(|| {
            panic!("no action in the dump:\n{dump}");
        });
    let Value::List(command) = Literal { rest: line }.value() else { panic!("no list: {line}") };
    let mut action = Action::new(command[3].as_str().unwrap());
    let Value::List(properties) = &command[4] else { panic!("no properties: {line}") };
    for property in properties {
        let Value::List(pair) = property else { panic!("no pair: {line}") };
        action.set(pair[0].as_str().unwrap(), pair[1].clone());
    }
    action
}

/// Reads what Python's `repr()` wrote: lists, texts, integers, truth.
struct Literal<'t> {
    rest: &'t str,
}

impl Literal<'_> {
    fn value(&mut self) -> Value {
        self.rest = self.rest.trim_start_matches([' ', ',']);
        let first = self.rest.chars().next().unwrap();
        match first {
            '[' => {
                self.rest = &self.rest[1..];
                let mut items = Vec::new();
                while !self.rest.starts_with(']') {
                    items.push(self.value());
                }
                self.rest = &self.rest[1..];
                Value::List(items)
            }
            quote @ ('\'' | '"') => {
                let mut chars = self.rest[1..].char_indices();
                let mut text = String::new();
                while let Some((at, c)) = chars.next() {
                    match c {
                        c if c == quote => {
                            self.rest = &self.rest[1 + at + 1..];
                            return Value::Str(text);
                        }
                        '\\' => match chars.next().unwrap().1 {
                            'n' => text.push('\n'),
                            't' => text.push('\t'),
                            'r' => text.push('\r'),
                            c => text.push(c),
                        },
                        c => text.push(c),
                    }
                }
                panic!("no end of the text");
            }
            _ => {
                let end = self.rest.find([',', ']']).unwrap();
                let word = &self.rest[..end];
                self.rest = &self.rest[end..];
                match word {
                    "True" => Value::Bool(true),
                    "False" => Value::Bool(false),
                    number => Value::Int(number.parse().unwrap()),
                }
            }
        }
    }
}
