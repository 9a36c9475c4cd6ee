//! A shell script as a tree, as far as one needs it to see which commands there are.

/// A piece of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text, with its quotes taken off.
    Text(String),
    /// `$name`
    Variable(String),
    /// `$( … )` or `` ` … ` ``
    Substitution(Vec<Command>),
    /// Anything else that the shell computes: `${x:-y}`, `$((1+1))`, a file pattern.
    Other,
}

/// A word: an argument, a file name, a value.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Word {
    /// Its pieces; neighbouring texts are one.
    pub parts: Vec<Part>,
    /// Whether any of it stood in quotes: such a word is no keyword.
    pub quoted: bool,
}

impl Word {
    /// The text, when all of it stands there.
    pub fn text(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text, when it is unquoted: what a keyword looks like.
    pub(super) fn bare(&self) -> Option<&str> {
        if self.quoted { None } else { self.text() }
    }

    pub(super) fn push_text(&mut self, text: &str) {
        if let Some(Part::Text(last)) = self.parts.last_mut() {
            last.push_str(text);
        } else {
            self.parts.push(Part::Text(text.to_owned()));
        }
    }
}

/// A command, simple or made of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `NAME=value program argument… >file`
    Simple {
        /// The assignments before the program.
        assignments: Vec<(String, Word)>,
        /// The program and its arguments.
        words: Vec<Word>,
        /// What redirections name: files and descriptors.
        targets: Vec<Word>,
    },
    /// `a | b`, `a && b`, `{ a; b; }`, `( a )`, and the parts of `if` and `while`: all of them may be run.
    Several(Vec<Command>),
    /// `a || b`: when `a` fails, `b` is there.
    Or(Box<Command>, Box<Command>),
    /// `for variable in item…; do …; done`
    For {
        /// The loop's variable.
        variable: String,
        /// What it goes through.
        items: Vec<Word>,
        /// What is done each time.
        body: Vec<Command>,
    },
    /// `case word in … esac`
    Case(Word, Vec<Command>),
    /// `name() …`
    Function(String, Box<Command>),
}
