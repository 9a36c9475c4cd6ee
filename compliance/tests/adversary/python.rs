//! The Python process that takes patterns apart and says what its own engine makes of texts (`pump.py`).

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// A line in the making: the pump comes as often as wanted.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) head: String,
    pub(crate) pump: String,
    pub(crate) tail: String,
}

impl Shape {
    /// A line of about `size` bytes, not more.
    pub(crate) fn line(&self, size: usize) -> String {
        let room = size.saturating_sub(self.head.len() + self.tail.len());
        format!("{}{}{}", self.head, self.pump.repeat(room / self.pump.len().max(1)), self.tail)
    }
}

/// What Python's engine says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Missed,
    /// The named groups.
    Matched(serde_json::Map<String, Value>),
    /// Not within the time.
    Slow,
}

/// An interpreter.
pub(crate) struct Python {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Python {
    pub(crate) fn start() -> Option<Self> {
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", include_str!("pump.py")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let (input, output) = (child.stdin.take()?, BufReader::new(child.stdout.take()?));
        Some(Python { child, input, output })
    }

    fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.input, "{question}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{question}: {line:?}"))
    }

    /// Shapes of lines that are hard for this pattern.
    pub(crate) fn pumps(&mut self, pattern: &str, seed: u64, most: usize) -> Vec<Shape> {
        let answer = self.ask(&json!({"pumps": pattern, "seed": seed, "most": most}));
        let text = |shape: &Value, at: usize| shape[at].as_str().unwrap().to_owned();
        let shape = |s: &Value| Shape { head: text(s, 0), pump: text(s, 1), tail: text(s, 2) };
        answer.as_array().unwrap().iter().map(shape).collect()
    }

    /// What a prefregex wants before and behind its content.
    pub(crate) fn around(&mut self, pattern: &str) -> (String, String) {
        let answer = self.ask(&json!({"around": pattern}));
        (answer[0].as_str().unwrap().to_owned(), answer[1].as_str().unwrap().to_owned())
    }

    /// Python's `search` in each text, at most so many seconds for each.
    pub(crate) fn search(
        &mut self,
        pattern: &str,
        multiline: bool,
        texts: &[String],
        limit: f64,
    ) -> Vec<Answer> {
        let question = json!({"search": pattern, "multiline": multiline, "texts": texts, "limit": limit});
        let answer = |value: &Value| match value {
            Value::Null => Answer::Missed,
            Value::String(_) => Answer::Slow,
            groups => Answer::Matched(groups.as_object().unwrap().clone()),
        };
        self.ask(&question).as_array().unwrap().iter().map(answer).collect()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
