//! Reading the server's answers: dicts whose keys may be missing where the server is older or newer than we are.

use portcullis_value::Value;

/// What a dict has under a key; None when it has not.
pub(crate) fn field<'a>(value: &'a Value, key: &str) -> &'a Value {
    let Value::Dict(items) = value else { return &Value::None };
    items.iter().find(|(name, _)| name.as_str() == Some(key)).map_or(&Value::None, |(_, value)| value)
}

/// The same as text; empty when it is none.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    field(value, key).as_str().unwrap_or_default()
}

/// The same as a number; 0 when it is none.
pub(crate) fn number(value: &Value, key: &str) -> i64 {
    if let Value::Int(number) = field(value, key) { *number } else { 0 }
}

/// The same as a time or span in seconds.
pub(crate) fn seconds(value: &Value, key: &str) -> Option<f64> {
    match field(value, key) {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    }
}

/// The same as a truth.
pub(crate) fn is(value: &Value, key: &str) -> bool {
    field(value, key).is_true()
}

/// The same as a list; empty when it is none.
pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    items(field(value, key))
}

/// The items of a list.
pub(crate) fn items(value: &Value) -> &[Value] {
    if let Value::List(items) = value { items } else { &[] }
}
