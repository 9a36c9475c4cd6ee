//! What a script would call, found out without calling it: loops over known lists are unrolled, and the two little
//! pipelines are computed with which Fail2ban's actions split lists.

use std::collections::HashMap;

use super::syntax::{Command, Part, Word};

/// The most calls that a script may come to.
const MOST: usize = 200;

/// A call: the program and its arguments.
pub(super) type Call = Vec<String>;

/// All calls of a script, in order, both ways of `||` included. `None` when any of it cannot be known beforehand.
pub(super) fn calls(commands: &[Command]) -> Option<Vec<Call>> {
    let mut evaluation = Evaluation::default();
    evaluation.all(commands)?;
    Some(evaluation.calls)
}

#[derive(Default)]
struct Evaluation {
    variables: HashMap<String, String>,
    calls: Vec<Call>,
}

impl Evaluation {
    fn all(&mut self, commands: &[Command]) -> Option<()> {
        commands.iter().try_for_each(|command| self.command(command))
    }

    fn command(&mut self, command: &Command) -> Option<()> {
        match command {
            Command::Several(all) => self.all(all),
            Command::Or(left, right) => {
                self.command(left)?;
                self.command(right)
            }
            Command::For { variable, items, body } => {
                let mut values = Vec::new();
                for item in items {
                    let value = self.word(item)?;
                    values.extend(value.split_whitespace().map(str::to_owned));
                }
                for value in values {
                    self.variables.insert(variable.clone(), value);
                    self.all(body)?;
                }
                Some(())
            }
            Command::Simple { assignments, words, targets } => {
                let harmless = |target: &Word| matches!(target.text(), Some("/dev/null" | "1" | "2"));
                if !assignments.is_empty() || self.calls.len() >= MOST || !targets.iter().all(harmless) {
                    return None;
                }
                let mut call = Call::new();
                for word in words {
                    let value = self.word(word)?;
                    // An unquoted value that has blanks becomes several words.
                    if word.quoted || matches!(word.parts.as_slice(), [Part::Text(_)]) {
                        call.push(value);
                    } else {
                        call.extend(value.split_whitespace().map(str::to_owned));
                    }
                }
                if !call.is_empty() {
                    self.calls.push(call);
                }
                Some(())
            }
            Command::Case(..) | Command::Function(..) => None,
        }
    }

    fn word(&self, word: &Word) -> Option<String> {
        let mut value = String::new();
        for part in &word.parts {
            match part {
                Part::Text(text) => value.push_str(text),
                Part::Variable(name) => value.push_str(self.variables.get(name)?),
                Part::Substitution(commands) => value.push_str(&self.substitution(commands)?),
                Part::Other => return None,
            }
        }
        Some(value)
    }

    /// `echo TEXT`, through any number of `sed s/x/y/g` with plain characters.
    fn substitution(&self, commands: &[Command]) -> Option<String> {
        let [command] = commands else { return None };
        let stages = match command {
            Command::Several(stages) => stages.as_slice(),
            single => std::slice::from_ref(single),
        };
        let (first, filters) = stages.split_first()?;
        let mut value = match self.argv(first)?.split_first()? {
            (echo, rest) if echo == "echo" => rest.join(" "),
            _ => return None,
        };
        for filter in filters {
            let argv = self.argv(filter)?;
            let [sed, script] = argv.as_slice() else { return None };
            let mut parts = script.split('/');
            let (s, from, to, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
            if sed != "sed" || s != "s" || flags != "g" || parts.next().is_some() {
                return None;
            }
            if !matches!(from, "," | ":") || !matches!(to, " " | "-" | ",") {
                return None;
            }
            value = value.replace(from, to);
        }
        Some(value)
    }

    fn argv(&self, command: &Command) -> Option<Call> {
        match command {
            Command::Simple { assignments, words, targets }
                if assignments.is_empty() && targets.is_empty() =>
            {
                words.iter().map(|word| self.word(word)).collect()
            }
            _ => None,
        }
    }
}
