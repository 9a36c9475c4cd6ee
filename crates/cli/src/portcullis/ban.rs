//! `portcullis ban`: bans by hand, for a time and a reason of one's own, and the truth about whether they are in force.

use std::net::IpAddr;
use std::time::Duration;

use portcullis_jail::Id;
use portcullis_value::Value;

use super::answer::{field, is, items, list, seconds, text};
use super::arguments::Ban;
use super::human::{ends, now};
use super::paint::{BAD, FAINT, GOOD, NOTE, STRONG};
use super::server::{Failure, PATIENCE, Server};
use super::{NOT_SO, WELL, document, plain, say, to_json};

/// Bans, and waits until the kernel was read back.
pub(super) fn run(wanted: &Ban) -> Result<u8, Failure> {
    if let Some(reason) = locks_out(&wanted.addresses).filter(|_| !wanted.force) {
        return Err(Failure::Refused(format!("{reason}: if you mean it, say --force")));
    }
    let server = Server::find(&wanted.place)?;
    let texts = |texts: &[String]| Value::List(texts.iter().map(|text| Value::from(text.as_str())).collect());
    let addresses: Vec<String> = wanted.addresses.iter().map(|id| id.text().to_owned()).collect();
    let asked = vec![
        ("addresses", texts(&addresses)),
        ("jails", texts(&wanted.jail)),
        ("seconds", wanted.r#for.clone().unwrap_or(Value::None)),
        ("why", wanted.why.as_deref().map_or(Value::None, Value::from)),
        ("wait", Value::Float(wanted.wait)),
    ];
    let patience = PATIENCE + Duration::try_from_secs_f64(wanted.wait).unwrap_or_default();
    let answer = server.ours("portcullis-ban", asked, patience)?;
    let well = items(&answer).iter().all(in_force);
    if wanted.json {
        say(&document(vec![("enforced", well.into()), ("bans", to_json(&answer))]));
    } else {
        say(&items(&answer).iter().map(line).collect::<String>());
    }
    Ok(if well { WELL } else { NOT_SO })
}

/// Whether this is the ban that was asked for, and in the kernel as far as anybody can tell.
fn in_force(ban: &Value) -> bool {
    !matches!(text(ban, "outcome"), "expired" | "dry-run")
        && matches!(text(ban, "enforcement"), "enforced" | "unverified")
}

fn line(ban: &Value) -> String {
    let what = match text(ban, "outcome") {
        "new" => "banned",
        "changed" => "banned already, changed",
        "already" => "banned already",
        "dry-run" => "NOT banned: the server runs with --dry-run",
        _ => "NOT banned: the ban would be over already",
    };
    let (address, jail) = (text(ban, "address"), text(ban, "jail"));
    let head = format!("{STRONG}{address}{STRONG:#} {FAINT}in{FAINT:#} {jail}: {what}");
    if matches!(text(ban, "outcome"), "expired" | "dry-run") {
        return format!("{BAD}✗{BAD:#} {head}\n");
    }
    let end = if is(ban, "forever") {
        "for ever".to_owned()
    } else {
        format!("ends {}", ends(seconds(ban, "end"), now()))
    };
    let (mark, style, state) = enforcement(ban);
    format!("{style}{mark}{style:#} {head}, {end}, {style}{state}{style:#}\n")
}

/// What is known of a ban's enforcement: a mark, how it looks, and in words.
pub(super) fn enforcement(ban: &Value) -> (&'static str, anstyle::Style, String) {
    let reasons = || {
        let failed = list(ban, "actions").iter().filter(|action| *field(action, "reason") != Value::None);
        let reasons = failed.map(|action| format!("{}: {}", text(action, "action"), text(action, "reason")));
        plain(&reasons.collect::<Vec<_>>().join("; "))
    };
    match text(ban, "enforcement") {
        "enforced" => ("●", GOOD, "enforced".to_owned()),
        "unverified" => ("●", NOTE, "carried out (cannot be read back)".to_owned()),
        "pending" => ("…", NOTE, "NOT YET enforced: the action has not finished".to_owned()),
        "failed" => ("✗", BAD, format!("NOT ENFORCED: {} (it is tried again)", reasons())),
        _ => ("✗", BAD, "NOT ENFORCED: the jail has no action".to_owned()),
    }
}

/// Whether these bans would lock out whoever types this.
fn locks_out(ids: &[Id]) -> Option<String> {
    let session = std::env::var("SSH_CONNECTION").or_else(|_| std::env::var("SSH_CLIENT")).ok();
    let own = session.and_then(|session| session.split(' ').next()?.parse::<IpAddr>().ok());
    let inside = |address: IpAddr| {
        ids.iter().find(|id| id.covers().is_some_and(|net| net.contains(&address.to_canonical())))
    };
    if let Some((own, id)) = own.and_then(|own| Some((own, inside(own)?))) {
        return Some(format!("a ban of {id} would lock you out: you are connected from {own}"));
    }
    let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from(std::net::Ipv6Addr::LOCALHOST)];
    let id = loopback.into_iter().find_map(inside)?;
    Some(format!("a ban of {id} would cut this machine off from itself"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ban(outcome: &str, enforcement: &str) -> Value {
        let items = [("address", "192.0.2.7"), ("jail", "sshd"), ("outcome", outcome)];
        let items = items.into_iter().chain([("enforcement", enforcement)]);
        Value::Dict(items.map(|(key, value)| (key.into(), value.into())).collect())
    }

    #[test]
    fn only_what_is_in_the_kernel_or_cannot_be_read_back_counts_as_done() {
        for (outcome, enforcement, well) in [
            ("new", "enforced", true),
            ("already", "enforced", true),
            ("new", "unverified", true),
            ("new", "pending", false),
            ("new", "failed", false),
            ("new", "none", false),
            ("dry-run", "none", false),
            ("expired", "none", false),
            ("new", "", false),
        ] {
            assert_eq!(in_force(&ban(outcome, enforcement)), well, "{outcome} {enforcement}");
            let line = line(&ban(outcome, enforcement));
            assert_eq!(line.contains("NOT"), !well, "{line}");
        }
    }

    #[test]
    fn one_cannot_cut_off_the_machine_by_mistake() {
        for text in ["127.0.0.0/8", "::1", "0.0.0.0/1"] {
            assert!(locks_out(&[Id::new(text)]).is_some(), "{text}");
        }
    }
}
