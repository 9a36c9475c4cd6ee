//! Python's values, as far as Fail2ban shows them to people and sends them over its socket.
//!
//! Commands, replies and log lines of Fail2ban are full of Python's `repr()` and `str()`. This crate has the values, both
//! ways of writing them, and the two little languages that users write in configuration files: numbers and time
//! expressions (`1h 30m`, `2*3600`). Nothing here does I/O.

mod repr;

pub use repr::repr_str;

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

    /// The class without its module.
    pub fn name(&self) -> &str {
        self.class.rsplit('.').next().unwrap_or(&self.class)
    }
}

impl std::fmt::Display for Exception {
    /// Python's `str(exception)`: the only argument, or the tuple of them; `KeyError` shows the `repr()`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.args.as_slice() {
            [] => Ok(()),
            [one] if self.class == "builtins.KeyError" => f.write_str(&one.repr()),
            [one] => write!(f, "{one}"),
            many => f.write_str(&Value::Tuple(many.to_vec()).repr()),
        }
    }
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
