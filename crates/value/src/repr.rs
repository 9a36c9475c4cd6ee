//! Python's `repr()`.

use crate::Value;

pub(crate) fn repr(value: &Value) -> String {
    match value {
        Value::None => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Str(text) => repr_str(text),
        Value::Bytes(bytes) => format!("b{}", repr_str(&String::from_utf8_lossy(bytes))),
        Value::List(items) => format!("[{}]", joined(items)),
        Value::Tuple(items) if items.len() == 1 => format!("({},)", items[0].repr()),
        Value::Tuple(items) => format!("({})", joined(items)),
        Value::Set(items) if items.is_empty() => "set()".into(),
        Value::Set(items) => format!("{{{}}}", joined(items)),
        Value::Dict(items) => {
            let items: Vec<_> = items.iter().map(|(k, v)| format!("{}: {}", k.repr(), v.repr())).collect();
            format!("{{{}}}", items.join(", "))
        }
        Value::Exception(e) => match e.args.as_slice() {
            [one] => format!("{}({})", e.name(), one.repr()),
            many => format!("{}({})", e.name(), joined(many)),
        },
    }
}

fn joined(items: &[Value]) -> String {
    items.iter().map(Value::repr).collect::<Vec<_>>().join(", ")
}

/// Python's `repr()` of a string: single quotes unless only those occur in it, escapes for what cannot be printed.
pub fn repr_str(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}
