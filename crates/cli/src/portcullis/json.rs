//! Answers as JSON, in the one schema of `docs/json.md`.

use portcullis_value::Value;

/// The number of the schema; it changes when a field goes or gets another meaning, not when one comes.
pub(crate) const SCHEMA: i64 = 1;

/// A whole document: the schema's number, then these fields.
pub(crate) fn document(fields: Vec<(&str, serde_json::Value)>) -> String {
    let schema = std::iter::once(("schema".to_owned(), SCHEMA.into()));
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
    let document: serde_json::Map<_, _> = schema.chain(fields).collect();
    format!("{:#}\n", serde_json::Value::Object(document))
}

/// A value of an answer.
pub(crate) fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::None => serde_json::Value::Null,
        Value::Bool(truth) => (*truth).into(),
        Value::Int(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::List(items) | Value::Tuple(items) | Value::Set(items) => items.iter().map(to_json).collect(),
        Value::Dict(items) => {
            let pairs = items.iter().map(|(key, value)| (key.to_string(), to_json(value)));
            serde_json::Value::Object(pairs.collect())
        }
        text => text.to_string().into(),
    }
}
