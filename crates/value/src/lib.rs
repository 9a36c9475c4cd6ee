//! Python's values, as far as Fail2ban shows them to people and sends them over its socket.
//!
//! Commands, replies and log lines of Fail2ban are full of Python's `repr()` and `str()`. This crate has the values, both
//! ways of writing them, and the two little languages that users write in configuration files: numbers and time
//! expressions (`1h 30m`, `2*3600`). Nothing here does I/O.

pub mod expr;
mod json;
mod number;
pub mod options;
mod printable;
mod repr;
mod seconds;

pub use json::{json, json_text};
pub use number::{Number, float, int};
pub use repr::repr_str;
pub use seconds::seconds;

/// A Python value that can stand in a command or in a reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `None`
    None,
    /// `True`, `False`
    Bool(bool),
    /// An integer. Python's are unbounded; beyond 64 bits we refuse.
    Int(i64),
    /// A float.
    Float(f64),
    /// Text.
    Str(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// `[a, b]`
    List(Vec<Value>),
    /// `(a, b)`
    Tuple(Vec<Value>),
    /// `{a, b}`, in the order of insertion.
    Set(Vec<Value>),
    /// `{k: v}`, in the order of insertion.
    Dict(Vec<(Value, Value)>),
    /// An exception instance, as a failed command answers it.
    Exception(Exception),
}

/// An exception: `builtins.ValueError` and what it was made with.
#[derive(Clone, Debug, PartialEq)]
pub struct Exception {
    /// Module and class: `builtins.IndexError`, `fail2ban.exceptions.UnknownJailException`.
    pub class: String,
    /// The arguments it was raised with.
    pub args: Vec<Value>,
}

/// One command as it goes over the socket: `['set', 'sshd', 'maxretry', 5]`.
pub type Command = Vec<Value>;

impl Value {
    /// Python's `repr()`.
    pub fn repr(&self) -> String {
        repr::repr(self)
    }

    /// Python's `repr()`, behind what is in `out` already.
    pub fn write_repr(&self, out: &mut String) {
        repr::write(self, out);
    }

    /// What Python calls the type: `int`, `NoneType`; of an exception its class.
    pub fn type_name(&self) -> &str {
        match self {
            Value::None => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Str(_) => "str",
            Value::Bytes(_) => "bytes",
            Value::List(_) => "list",
            Value::Tuple(_) => "tuple",
            Value::Set(_) => "set",
            Value::Dict(_) => "dict",
            Value::Exception(exception) => exception.name(),
        }
    }

    /// Python's truth of a value: not zero, not empty.
    pub fn is_true(&self) -> bool {
        match self {
            Value::None => false,
            Value::Bool(truth) => *truth,
            Value::Int(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Str(text) => !text.is_empty(),
            Value::Bytes(bytes) => !bytes.is_empty(),
            Value::List(items) | Value::Tuple(items) | Value::Set(items) => !items.is_empty(),
            Value::Dict(items) => !items.is_empty(),
            Value::Exception(_) => true,
        }
    }

    /// The text, when this is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }
}

impl std::fmt::Display for Value {
    /// Python's `str()`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Str(text) => f.write_str(text),
            Value::Exception(e) => e.fmt(f),
            other => f.write_str(&other.repr()),
        }
    }
}

impl Exception {
    /// An exception of one of Python's own classes, with one message: `Exception::builtin("ValueError", "…")`.
    pub fn builtin(class: &str, message: impl Into<String>) -> Self {
        Exception { class: format!("builtins.{class}"), args: vec![Value::Str(message.into())] }
    }

    /// An operating system's error with the file that it is about, as Python's `open()` raises it.
    pub fn os(class: &str, errno: i32, message: &str, file: &str) -> Self {
        let args = vec![Value::Int(errno.into()), message.into(), file.into()];
        Exception { class: format!("builtins.{class}"), args }
    }

    /// What Python has in `exception.args`: of an operating system's error the file is left out, and of the JSON reader's
    /// only the whole message is there.
    pub fn shown_args(&self) -> Vec<Value> {
        match (self.class.strip_prefix("builtins."), self.args.as_slice()) {
            (Some(class), [errno_and_message @ .., _file]) if is_os_error(class) && self.args.len() == 3 => {
                errno_and_message.to_vec()
            }
            (None, [_, _, _]) if self.class == "json.decoder.JSONDecodeError" => {
                vec![self.to_string().into()]
            }
            (_, args) => args.to_vec(),
        }
    }

    /// The class without its module.
    pub fn name(&self) -> &str {
        self.class.rsplit('.').next().unwrap_or(&self.class)
    }
}

impl std::fmt::Display for Exception {
    /// Python's `str(exception)`: the only argument, or the tuple of them, with the classes that have a way of their own.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let module_less = self.class.strip_prefix("builtins.");
        match (module_less, self.args.as_slice()) {
            (_, []) => Ok(()),
            (Some("KeyError"), [one]) => f.write_str(&one.repr()),
            (Some("SyntaxError"), [message, Value::Tuple(place)]) => match place.as_slice() {
                [Value::Str(file), Value::Int(line), ..] => write!(f, "{message} ({file}, line {line})"),
                _ => write!(f, "{message}"),
            },
            (Some(class), [errno, message]) if is_os_error(class) => write!(f, "[Errno {errno}] {message}"),
            (Some(class), [errno, message, file]) if is_os_error(class) => {
                write!(f, "[Errno {errno}] {message}: {}", file.repr())
            }
            (None, [Value::Str(message), Value::Str(document), Value::Int(at)])
                if self.class == "json.decoder.JSONDecodeError" =>
            {
                let at = usize::try_from(*at).unwrap_or(0);
                let before: Vec<char> = document.chars().take(at).collect();
                let line = before.iter().filter(|c| **c == '\n').count() + 1;
                let column =
                    at + 1 - before.iter().rposition(|c| *c == '\n').map_or(0, |newline| newline + 1);
                write!(f, "{message}: line {line} column {column} (char {at})")
            }
            (_, [one]) => write!(f, "{one}"),
            (_, many) => f.write_str(&Value::Tuple(many.to_vec()).repr()),
        }
    }
}

/// Whether Python shows the exceptions of this class as `[Errno 2] No such file or directory`.
fn is_os_error(class: &str) -> bool {
    matches!(
        class,
        "OSError"
            | "FileNotFoundError"
            | "FileExistsError"
            | "IsADirectoryError"
            | "NotADirectoryError"
            | "PermissionError"
            | "ConnectionRefusedError"
            | "ConnectionResetError"
            | "BrokenPipeError"
            | "TimeoutError"
            | "InterruptedError"
            | "BlockingIOError"
            | "ProcessLookupError"
            | "ChildProcessError"
    )
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Str(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Str(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Int(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Value::Float(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Value::Bool(truth)
    }
}
