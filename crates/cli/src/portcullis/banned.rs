//! `portcullis banned`: who is banned; and of an address, everything that is known: since when, why, by which lines, in force?

use anstyle::Style;
use portcullis_value::Value;

use super::answer::{field, is, items, list, number, seconds, text};
use super::arguments::Banned;
use super::ban::enforcement;
use super::human::{ago, clock, count, ends, now};
use super::paint::{BAD, FAINT, STRONG};
use super::server::{Failure, PATIENCE, Server};
use super::table::{Align, Cell, Table, terminal_width};
use super::{NOT_SO, WELL, document, plain, say, to_json};

/// Shows bans. Exit code 1 when one of the named addresses is not banned.
pub(super) fn run(wanted: &Banned) -> Result<u8, Failure> {
    let server = Server::find(&wanted.place)?;
    let texts = |texts: &[String]| Value::List(texts.iter().map(|text| Value::from(text.as_str())).collect());
    if wanted.addresses.is_empty() {
        let newest = if wanted.all { i64::MAX } else { wanted.number.into() };
        let asked = vec![("jails", texts(&wanted.jail)), ("newest", Value::Int(newest))];
        let answer = server.ours("portcullis-bans", asked, PATIENCE)?;
        if wanted.json {
            say(&document(vec![("jails", to_json(&without_networks(&answer)))]));
        } else {
            say(&all(items(&answer)));
        }
        return Ok(WELL);
    }
    let asked = vec![("addresses", texts(&wanted.addresses))];
    let answer = server.ours("portcullis-banned", asked, PATIENCE)?;
    let answer = in_jails(answer, &wanted.jail);
    if wanted.json {
        say(&document(vec![("addresses", to_json(&answer))]));
    } else {
        say(&items(&answer).iter().map(one).collect::<String>());
    }
    let banned = items(&answer).iter().all(|address| is(address, "banned"));
    Ok(if banned { WELL } else { NOT_SO })
}

/// The networks are for `top`.
fn without_networks(answer: &Value) -> Value {
    let jails = items(answer).iter().map(|jail| match jail {
        Value::Dict(fields) => {
            Value::Dict(fields.iter().filter(|(key, _)| key.as_str() != Some("networks")).cloned().collect())
        }
        other => other.clone(),
    });
    Value::List(jails.collect())
}

/// Only the bans of these jails; all of them when none is named.
fn in_jails(answer: Value, jails: &[String]) -> Value {
    let Value::List(addresses) = answer else { return answer };
    let wanted = |ban: &Value| jails.is_empty() || jails.iter().any(|jail| jail == text(ban, "jail"));
    let addresses = addresses.into_iter().map(|address| {
        let Value::Dict(mut fields) = address else { return address };
        let mut any = false;
        for (key, value) in &mut fields {
            if let (Some("bans"), Value::List(bans)) = (key.as_str(), value) {
                bans.retain(wanted);
                any = !bans.is_empty();
            }
        }
        for (key, value) in &mut fields {
            if key.as_str() == Some("banned") {
                *value = any.into();
            }
        }
        Value::Dict(fields)
    });
    Value::List(addresses.collect())
}

fn all(jails: &[Value]) -> String {
    let now = now();
    let mut table = Table::new(&[
        ("ADDRESS", Align::Left),
        ("JAIL", Align::Left),
        ("BANNED", Align::Left),
        ("ENDS", Align::Left),
        ("FAILURES", Align::Right),
        ("WHY", Align::Left),
    ]);
    let mut bans: Vec<(&str, &Value)> = jails
        .iter()
        .flat_map(|jail| list(jail, "bans").iter().map(move |ban| (text(jail, "jail"), ban)))
        .collect();
    let begin = |ban: &Value| seconds(ban, "begin").unwrap_or_default();
    bans.sort_by(|(_, a), (_, b)| begin(b).total_cmp(&begin(a)));
    for (jail, ban) in &bans {
        table.row([
            Cell::styled(text(ban, "address"), STRONG),
            (*jail).into(),
            ago(now - begin(ban)).into(),
            ends(seconds(ban, "end"), now).into(),
            match number(ban, "failures") {
                0 => Cell::styled("by hand", FAINT),
                failures => failures.to_string().into(),
            },
            text(ban, "why").into(),
        ]);
    }
    let held: i64 = jails.iter().map(|jail| number(jail, "currently_banned")).sum();
    if table.is_empty() {
        return format!("Nobody is banned ({}).\n", count(jails.len() as i64, "jail"));
    }
    let left_out = held - bans.len() as i64;
    let rest = if left_out > 0 {
        format!("{FAINT}… and {left_out} older; `--all` shows them{FAINT:#}\n")
    } else {
        String::new()
    };
    format!("{}{rest}", table.text(terminal_width()))
}

fn one(address: &Value) -> String {
    let name = plain(text(address, "address"));
    let earlier = match (number(address, "recorded_bans"), seconds(address, "last_ban")) {
        (0, _) | (_, None) => "no ban on record".to_owned(),
        (bans, Some(last)) => {
            format!("{} on record, the last one {}", count(bans, "ban"), ago(now() - last))
        }
    };
    if !is(address, "banned") {
        return format!("{BAD}✗{BAD:#} {STRONG}{name}{STRONG:#} is not banned ({earlier})\n");
    }
    let bans = list(address, "bans").iter().map(|ban| about(&name, ban));
    format!("{STRONG}{name}{STRONG:#} {FAINT}({earlier}){FAINT:#}\n{}", bans.collect::<String>())
}

fn about(name: &str, ban: &Value) -> String {
    let (mark, style, state) = enforcement(ban);
    let mut out = format!("{style}{mark}{style:#} {STRONG}{}{STRONG:#}\n", text(ban, "jail"));
    for (name, value) in facts(name, ban, now()) {
        let style = if value == state { style } else { Style::new() };
        out.push_str(&format!("  {FAINT}{name:<9}{FAINT:#}{style}{}{style:#}\n", plain(&value)));
    }
    out
}

/// What is known of a ban that concerns the address `name`, each with what it is called.
pub(super) fn facts(name: &str, ban: &Value, now: f64) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if text(ban, "address") != name {
        facts.push(("as part", format!("of {}", text(ban, "address"))));
    }
    let begin = seconds(ban, "begin").unwrap_or(now);
    facts.push(("since", format!("{} ({})", clock(begin, now), ago(now - begin))));
    facts.push(("ends", ends(seconds(ban, "end"), now)));
    facts.push(match number(ban, "failures") {
        0 => ("by", "hand".to_owned()),
        failures => ("by", count(failures, "failure")),
    });
    facts.extend(field(ban, "why").as_str().map(|why| ("why", why.to_owned())));
    facts.push(("state", enforcement(ban).2));
    for action in list(ban, "actions") {
        facts.push(("", format!("{}: {}", text(action, "action"), text(action, "state"))));
    }
    facts.extend(list(ban, "lines").iter().map(|line| ("line", line.to_string())));
    facts
}
