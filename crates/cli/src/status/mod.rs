//! `portcullis status`: one screen that tells whether all is well; and the same for programs.

mod health;
mod screen;

use std::io::Write;

use portcullis_value::Value;

use crate::portcullis::answer::{list, text};
use crate::portcullis::{Failure, NOT_SO, PATIENCE, Server, Status, WELL, document, say, to_json};

pub(crate) use health::Health;

/// Shows a server's report and answers the exit code: 0 when all is well, 1 when something needs attention.
///
/// # Errors
/// When no server answers.
pub(crate) fn run(wanted: &Status) -> Result<u8, Failure> {
    let server = Server::find(&wanted.place)?;
    let report = server.ask(vec!["portcullis-report".into()], PATIENCE)?;
    let health = Health::of(&report, wanted.jail.as_deref());
    if wanted.json {
        say(&as_json(&report, &health, wanted.jail.as_deref()));
    } else {
        let mut out = anstream::stdout().lock();
        // Whoever has closed the pipe has seen enough.
        let _ = screen::draw(&mut out, &report, &health, wanted.jail.as_deref()).and_then(|()| out.flush());
    }
    Ok(if health.attention.is_empty() { WELL } else { NOT_SO })
}

/// The report as JSON, with what needs attention.
pub(crate) fn as_json(report: &Value, health: &Health, jail: Option<&str>) -> String {
    let mut fields = vec![
        ("healthy", health.attention.is_empty().into()),
        ("attention", serde_json::Value::from(health.attention.clone())),
    ];
    if let Value::Dict(items) = report {
        for (key, value) in items {
            fields.extend(key.as_str().map(|key| match key {
                "jails" => (key, jails(report, jail).map(to_json).collect()),
                _ => (key, to_json(value)),
            }));
        }
    }
    document(fields)
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
