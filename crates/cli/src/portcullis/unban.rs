//! `portcullis unban`: lifts bans, in all jails or in some.

use std::time::Duration;

use portcullis_value::Value;

use super::answer::{items, list, number, text};
use super::arguments::Unban;
use super::human::count;
use super::paint::{BAD, FAINT, GOOD, STRONG};
use super::server::{Failure, Server};
use super::{NOT_SO, WELL, document, say, to_json};

/// The server waits for its actions for half a minute.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lifts bans. Exit code 1 when one of the addresses was banned nowhere.
pub(super) fn run(wanted: &Unban) -> Result<u8, Failure> {
    let server = Server::find(&wanted.place)?;
    let texts = |texts: &[String]| Value::List(texts.iter().map(|text| Value::from(text.as_str())).collect());
    let asked = vec![("addresses", texts(&wanted.addresses)), ("jails", texts(&wanted.jail))];
    let answer = server.ours("portcullis-unban", asked, PATIENCE)?;
    let jails = items(&answer);
    let lifted: i64 = jails.iter().map(|jail| number(jail, "lifted")).sum();
    let in_vain: Vec<&String> =
        wanted.addresses.iter().filter(|address| of_address(jails, address).next().is_none()).collect();
    if wanted.json {
        say(&document(vec![("lifted", lifted.into()), ("jails", to_json(&answer))]));
    } else {
        say(&shown(wanted, jails, lifted));
    }
    // `--all` on a server without bans has done what it should.
    Ok(if in_vain.is_empty() { WELL } else { NOT_SO })
}

/// The jails that have lifted a ban of this address, and how many.
fn of_address<'a>(jails: &'a [Value], address: &'a str) -> impl Iterator<Item = (&'a str, i64)> {
    jails.iter().filter_map(move |jail| {
        let of = list(jail, "addresses").iter().find(|of| text(of, "address") == address)?;
        let lifted = number(of, "lifted");
        (lifted > 0).then(|| (text(jail, "jail"), lifted))
    })
}

fn shown(wanted: &Unban, jails: &[Value], lifted: i64) -> String {
    if wanted.addresses.is_empty() {
        let each = jails.iter().filter(|jail| number(jail, "lifted") > 0);
        let each = each.map(|jail| format!("  {} {}\n", number(jail, "lifted"), text(jail, "jail")));
        return format!("{GOOD}●{GOOD:#} {} lifted\n{}", count(lifted, "ban"), each.collect::<String>());
    }
    let line = |address: &String| {
        let held: Vec<String> = of_address(jails, address)
            .map(
                |(jail, lifted)| {
                    if lifted == 1 { jail.to_owned() } else { format!("{jail} ({lifted} bans)") }
                },
            )
            .collect();
        if held.is_empty() {
            return format!("{BAD}✗{BAD:#} {STRONG}{address}{STRONG:#}: nobody was banned by that\n");
        }
        let held = held.join(", ");
        format!("{GOOD}●{GOOD:#} {STRONG}{address}{STRONG:#}: lifted {FAINT}in{FAINT:#} {held}\n")
    };
    wanted.addresses.iter().map(line).collect()
}
