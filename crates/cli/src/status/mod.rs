//! `portcullis status`: one screen that tells whether all is well; and the same for programs.

mod health;
mod screen;

use std::io::Write;
use std::process::ExitCode;

use portcullis_value::Value;

use health::Health;

/// All is well.
const WELL: u8 = 0;
/// Something needs attention; the screen says what.
const ATTENTION: u8 = 1;
/// No server answers.
pub(crate) const NOT_RUNNING: u8 = 3;

/// Shows a server's report and answers the exit code: 0 when all is well, 1 when something needs attention.
///
/// # Errors
/// When standard output does not take it.
pub(crate) fn show(report: &Value, jail: Option<&str>, json: bool) -> std::io::Result<ExitCode> {
    let health = Health::of(report, jail);
    let mut out = anstream::stdout().lock();
    if json {
        let mut value = to_json(report);
        if let Some(object) = value.as_object_mut() {
            object.insert("healthy".to_owned(), health.attention.is_empty().into());
            object.insert("attention".to_owned(), health.attention.clone().into());
        }
        writeln!(out, "{value:#}")?;
    } else {
        screen::draw(&mut out, report, &health, jail)?;
    }
    Ok(ExitCode::from(if health.attention.is_empty() { WELL } else { ATTENTION }))
}

fn to_json(value: &Value) -> serde_json::Value {
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

/// What a dict has under a key.
fn field<'a>(value: &'a Value, key: &str) -> &'a Value {
    let Value::Dict(items) = value else { return &Value::None };
    items.iter().find(|(name, _)| name.as_str() == Some(key)).map_or(&Value::None, |(_, value)| value)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    field(value, key).as_str().unwrap_or_default()
}

fn number(value: &Value, key: &str) -> i64 {
    if let Value::Int(number) = field(value, key) { *number } else { 0 }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    if let Value::List(items) = field(value, key) { items } else { &[] }
}

/// The jails that are to be shown.
fn jails<'a>(report: &'a Value, jail: Option<&'a str>) -> impl Iterator<Item = &'a Value> {
    list(report, "jails").iter().filter(move |shown| jail.is_none_or(|jail| text(shown, "name") == jail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dict(items: &[(&str, Value)]) -> Value {
        Value::Dict(items.iter().map(|(key, value)| ((*key).into(), value.clone())).collect())
    }

    fn report(failed: i64) -> Value {
        let action = dict(&[
            ("name", "iptables-multiport".into()),
            ("by", "shell, read back from the kernel".into()),
            ("enforced", Value::Int(2)),
            ("failed", Value::Int(failed)),
            ("reason", if failed > 0 { "it broke".into() } else { Value::None }),
        ]);
        let source = dict(&[("path", "/var/log/auth.log".into())]);
        let jail = dict(&[
            ("name", "dropbear".into()),
            ("started", true.into()),
            ("backend", "pyinotify".into()),
            ("sources", Value::List(vec![source])),
            ("currently_banned", Value::Int(2 + failed)),
            ("actions", Value::List(vec![action])),
        ]);
        dict(&[("version", "0.1.0".into()), ("jails", Value::List(vec![jail]))])
    }

    fn drawn(report: &Value) -> String {
        let mut out = Vec::new();
        screen::draw(&mut out, report, &Health::of(report, None), None).unwrap();
        anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string()
    }

    #[test]
    fn a_healthy_server_says_so() {
        let screen = drawn(&report(0));
        assert!(screen.contains("2 enforced"), "{screen}");
        assert!(screen.ends_with("All is well.\n"), "{screen}");
    }

    #[test]
    fn a_ban_that_is_not_enforced_is_said_loudly() {
        let health = Health::of(&report(1), None);
        assert_eq!(
            health.attention,
            ["jail 'dropbear', action 'iptables-multiport': 1 ban(s) NOT enforced: it broke"]
        );
        assert!(drawn(&report(1)).contains("1 NOT ENFORCED"));
    }
}
