//! The words of a command while it is parsed: access by place, and the conversions with Python's exceptions.

use portcullis_value::{Exception, Value};

/// The arguments of a command: what follows its name.
#[derive(Clone, Copy)]
pub(crate) struct Words<'w>(pub(crate) &'w [Value]);

type Result<T> = std::result::Result<T, Exception>;

/// What Python raises for a word that is not there.
pub fn missing_argument() -> Exception {
    Exception::builtin("IndexError", "list index out of range")
}

pub(crate) fn type_error(message: impl Into<String>) -> Exception {
    Exception::builtin("TypeError", message)
}

pub(crate) fn exception(message: impl Into<String>) -> Exception {
    Exception::builtin("Exception", message)
}

impl<'w> Words<'w> {
    pub(crate) fn at(self, index: usize) -> Result<&'w Value> {
        self.0.get(index).ok_or_else(missing_argument)
    }

    pub(crate) fn from(self, index: usize) -> &'w [Value] {
        self.0.get(index..).unwrap_or_default()
    }

    pub(crate) fn has(self, index: usize) -> bool {
        self.0.len() > index
    }

    /// The word as text. A number or a truth value becomes what Python shows for it.
    pub(crate) fn text(self, index: usize) -> Result<String> {
        text(self.at(index)?)
    }

    /// The words from there on as Python shows them, whatever they are.
    pub(crate) fn shown(self, index: usize) -> Vec<String> {
        self.from(index).iter().map(Value::to_string).collect()
    }

    /// Text and nothing else.
    pub(crate) fn strict_text(self, index: usize) -> Result<String> {
        strict_text(self.at(index)?)
    }

    pub(crate) fn int(self, index: usize) -> Result<i64> {
        portcullis_value::int(self.at(index)?)
    }
}

pub(crate) fn text(value: &Value) -> Result<String> {
    match value {
        Value::List(_) | Value::Dict(_) | Value::Set(_) => {
            Err(type_error(format!("unhashable type: '{}'", value.type_name())))
        }
        other => Ok(other.to_string()),
    }
}

/// Text for a regular expression, a pattern, a file.
pub(crate) fn strict_text(value: &Value) -> Result<String> {
    match value {
        Value::Str(text) => Ok(text.clone()),
        Value::Bytes(_) => Err(type_error("cannot use a string pattern on a bytes-like object")),
        other => {
            Err(type_error(format!("expected string or bytes-like object, got '{}'", other.type_name())))
        }
    }
}

/// Text of which Python first asks the length: addresses, names of jails.
pub(crate) fn sized_text(value: &Value) -> Result<String> {
    match value {
        Value::Str(text) => Ok(text.clone()),
        Value::List(_) | Value::Dict(_) | Value::Set(_) => text(value),
        Value::Tuple(_) => Ok(value.to_string()),
        Value::Bytes(_) => Err(type_error("a bytes-like object is required, not 'str'")),
        other => Err(type_error(format!("object of type '{}' has no len()", other.type_name()))),
    }
}

/// What Python says of an address that the system cannot be asked about.
const NUL: &str = "embedded null character";

/// Whether Python would come upon this only where a jail uses the value. An unknown jail is told before that.
pub(crate) fn is_late(exception: &Exception) -> bool {
    let begins = ["unhashable type", "object of type", "a bytes-like object is required"];
    let text = exception.args.first().and_then(Value::as_str).unwrap_or_default();
    let kind_is_wrong =
        exception.class == "builtins.TypeError" && begins.iter().any(|begin| text.starts_with(begin));
    kind_is_wrong || text == NUL
}

/// Text of which Python first asks the length, and which is then taken for an address.
pub(crate) fn sized_address(value: &Value) -> Result<String> {
    sized_text(value).and_then(|text| address(&text.into()))
}

/// An address, or what is taken for one; it goes to the system's resolver, for which a text ends at NUL.
pub(crate) fn address(value: &Value) -> Result<String> {
    let text = text(value)?;
    if text.contains('\0') {
        return Err(Exception::builtin("ValueError", NUL));
    }
    Ok(text)
}

/// Text that Python first puts into lower or upper case.
pub(crate) fn cased_text(value: &Value, method: &str) -> Result<String> {
    match value {
        Value::Str(text) => Ok(text.clone()),
        other => Err(Exception::builtin(
            "AttributeError",
            format!("'{}' object has no attribute '{method}'", other.type_name()),
        )),
    }
}

/// `1 on true yes` in any case; of what is no text, Python's truth.
pub(crate) fn boolean(value: &Value) -> bool {
    match value {
        Value::Str(text) => ["1", "on", "true", "yes"].iter().any(|word| text.eq_ignore_ascii_case(word)),
        other => other.is_true(),
    }
}

/// The items of a list, a tuple, …
pub(crate) fn items(value: &Value) -> Result<Vec<Value>> {
    match value {
        Value::List(items) | Value::Tuple(items) | Value::Set(items) => Ok(items.clone()),
        Value::Dict(items) => Ok(items.iter().map(|(key, _)| key.clone()).collect()),
        Value::Str(text) => Ok(text.chars().map(|c| Value::Str(c.into())).collect()),
        Value::Bytes(bytes) => Ok(bytes.iter().map(|byte| Value::Int((*byte).into())).collect()),
        other => Err(type_error(format!("'{}' object is not iterable", other.type_name()))),
    }
}
