//! `portcullis jails`: one line for each jail.

use portcullis_value::Value;

use super::answer::{is, list, number, text};
use super::arguments::Jails;
use super::paint::{BAD, FAINT, GOOD, NOTE, STRONG};
use super::server::{Failure, PATIENCE, Server};
use super::table::{Align, Cell, Table, terminal_width};
use super::{WELL, document, say, to_json};
use crate::status::Health;

/// What is summed up over a jail's actions.
const STATES: [&str; 4] = ["enforced", "unverified", "pending", "failed"];

/// Shows the jails.
pub(super) fn run(wanted: &Jails) -> Result<u8, Failure> {
    let server = Server::find(&wanted.place)?;
    let report = server.ask(vec!["portcullis-report".into()], PATIENCE)?;
    let jails = list(&report, "jails");
    if wanted.json {
        let jails = jails.iter().map(|jail| to_json(&summed_up(&report, jail)));
        say(&document(vec![("jails", jails.collect())]));
    } else if jails.is_empty() {
        say("No jail runs: nobody is guarded. Enable one in jail.local, then `portcullis reload`.\n");
    } else {
        say(&table(&report, jails).text(terminal_width()));
    }
    Ok(WELL)
}

/// What the bans of a jail are like: the sum over its actions.
pub(super) fn sum(jail: &Value, state: &str) -> i64 {
    list(jail, "actions").iter().map(|action| number(action, state)).sum()
}

fn summed_up(report: &Value, jail: &Value) -> Value {
    let name = text(jail, "name");
    let mut fields = vec![("name".into(), name.into())];
    for key in ["started", "idle", "busy"] {
        fields.push((key.into(), is(jail, key).into()));
    }
    fields.push(("backend".into(), text(jail, "backend").into()));
    for key in ["currently_failed", "total_failed", "currently_banned", "total_banned"] {
        fields.push((key.into(), Value::Int(number(jail, key))));
    }
    fields.extend(STATES.map(|state| (state.into(), Value::Int(sum(jail, state)))));
    let attention = Health::of(report, Some(name)).attention;
    fields.push(("attention".into(), Value::List(attention.into_iter().map(Value::from).collect())));
    Value::Dict(fields)
}

fn table(report: &Value, jails: &[Value]) -> Table {
    let mut table = Table::new(&[
        ("JAIL", Align::Left),
        ("STATE", Align::Left),
        ("FAILED", Align::Right),
        ("BANNED", Align::Right),
        ("ENFORCED", Align::Right),
        ("TOTAL", Align::Right),
        ("ENFORCED BY", Align::Left),
    ]);
    for jail in jails {
        let name = text(jail, "name");
        let health = Health::of(report, Some(name));
        let (state, style) = state(jail, &health);
        let (enforced, failed) = (sum(jail, "enforced"), sum(jail, "failed"));
        let enforced = match failed {
            0 => Cell::from(enforced.to_string()),
            failed => Cell::styled(format!("{enforced} ({failed} NOT)"), BAD),
        };
        let actions: Vec<&str> = list(jail, "actions").iter().map(|action| text(action, "name")).collect();
        table.row([
            Cell::styled(name, STRONG),
            Cell::styled(state, style),
            number(jail, "currently_failed").to_string().into(),
            number(jail, "currently_banned").to_string().into(),
            enforced,
            Cell::styled(number(jail, "total_banned").to_string(), FAINT),
            actions.join(", ").into(),
        ]);
    }
    table
}

/// How a jail is, in a word, and how that looks.
pub(super) fn state(jail: &Value, health: &Health) -> (&'static str, anstyle::Style) {
    match () {
        () if is(jail, "busy") => ("busy", BAD),
        () if !is(jail, "started") => ("stopped", BAD),
        () if !health.attention.is_empty() => ("attention", BAD),
        () if is(jail, "idle") => ("idle", NOTE),
        () => ("well", GOOD),
    }
}
