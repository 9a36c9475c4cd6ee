//! What the tags of a ban stand for: the ticket's own values, and those that only the world around knows, asked for when a
//! command names them.

use std::cell::RefCell;
use std::net::IpAddr;

use indexmap::IndexMap;
use portcullis_value::Value;

use crate::{Family, Id, MatchedLine, Ticket, Timestamp};

/// The counters of a jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counters {
    /// Bans in force, the current one included.
    pub banned: u64,
    /// All bans since the jail's start.
    pub banned_total: u64,
    /// Offenders with failures that do not make a ban yet.
    pub found: u64,
    /// All failures since the jail's start.
    pub found_total: u64,
}

/// What the database has of an offender: `<ipmatches>`, `<ipfailures>`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Past {
    /// The lines, oldest first.
    pub matches: Vec<String>,
    /// The failures.
    pub failures: u64,
}

/// What the tags need and the ticket does not have. Each is asked at most once for a script, and only when a command has
/// the tag: some of them cost a look-up in the DNS or the database.
pub trait Facts {
    /// The jail's name.
    fn jail(&self) -> String;
    /// The time: `<time>` in commands that are about nobody.
    fn now(&self) -> Timestamp;
    /// The jail's ban time.
    fn bantime(&self) -> Value;
    /// The jail's counters.
    fn counters(&self) -> Counters;
    /// The host name of an address, bounded in time.
    fn host_of(&self, id: &Id) -> Option<String>;
    /// What the database has of this offender, in all jails or in this one.
    fn past(&self, id: &Id, all_jails: bool) -> Past;
    /// This machine's name, fully qualified or short.
    fn own_host(&self, full: bool) -> String;
}

enum About<'a> {
    /// A ban or its end.
    Ticket(&'a Ticket),
    /// A start, stop, flush or reload.
    Nobody,
    /// A check: knows no tag but `<family>`.
    Check,
}

/// The values behind the tags of one operation.
pub struct Info<'a> {
    about: About<'a>,
    family: Option<Value>,
    facts: &'a dyn Facts,
    known: RefCell<IndexMap<String, Option<Value>>>,
}

/// The keys in the order in which Fail2ban shows them.
const SHOWN: &[&str] = &[
    "ip",
    "family",
    "ip-rev",
    "ip-host",
    "fid",
    "failures",
    "time",
    "bantime",
    "bancount",
    "matches",
    "restored",
    "F-*",
    "ipmatches",
    "ipjailmatches",
    "ipfailures",
    "ipjailfailures",
    "raw-ticket",
    "jail.banned",
    "jail.banned_total",
    "jail.found",
    "jail.found_total",
];

impl<'a> Info<'a> {
    /// The values for a ban, its repetition, its prolongation or its end.
    pub fn ticket(ticket: &'a Ticket, facts: &'a dyn Facts) -> Self {
        let family = ticket.ip.as_ref().unwrap_or(&ticket.id).family();
        let family = family.map_or(Value::None, |family| family.name().into());
        Self::new(About::Ticket(ticket), Some(family), facts)
    }

    /// The values for a start, stop, flush or reload: an empty ticket. `family` is what `<family>` says.
    pub fn nobody(family: &str, facts: &'a dyn Facts) -> Self {
        Self::new(About::Nobody, Some(family.into()), facts)
    }

    /// The values for a check: there is only `<family>`, and even that only when the check is for one.
    pub fn check(family: Option<Family>, facts: &'a dyn Facts) -> Self {
        Self::new(About::Check, family.map(|family| family.name().into()), facts)
    }

    fn new(about: About<'a>, family: Option<Value>, facts: &'a dyn Facts) -> Self {
        Info { about, family, facts, known: RefCell::default() }
    }

    /// The address of the ticket, empty without one.
    pub fn ip(&self) -> &'a str {
        match self.about {
            About::Ticket(ticket) => ticket.ip.as_ref().unwrap_or(&ticket.id).text(),
            _ => "",
        }
    }

    /// What stands for `<tag>`; `None` when there is no such tag.
    pub fn value(&self, tag: &str) -> Option<String> {
        if let Some(known) = self.known.borrow().get(tag) {
            return known.as_ref().map(Value::to_string);
        }
        let value = self.look_up(tag);
        let text = value.as_ref().map(Value::to_string);
        if value.is_some() {
            self.known.borrow_mut().insert(tag.to_owned(), value);
        }
        text
    }

    /// What the filter captured under `key` (`user`, `fport`, `ip4`).
    pub(super) fn captured(&self, key: &str) -> Option<String> {
        let About::Ticket(ticket) = self.about else { return None };
        captures(ticket).into_iter().find(|(known, _)| known == key).map(|(_, value)| value.to_string())
    }

    fn look_up(&self, tag: &str) -> Option<Value> {
        match self.about {
            About::Check if tag != "family" => None,
            About::Ticket(ticket) if tag == "F-*" => Some(dictionary(ticket)),
            _ if tag == "family" => self.family.clone(),
            About::Ticket(ticket) => self.of_ticket(ticket, tag).or_else(|| self.of_jail(tag)),
            _ => self.of_nobody(tag).or_else(|| self.of_jail(tag)),
        }
    }

    fn of_ticket(&self, ticket: &Ticket, tag: &str) -> Option<Value> {
        let ip = ticket.ip.as_ref().unwrap_or(&ticket.id);
        Some(match tag {
            "ip" => ip.text().into(),
            "fid" => ticket.id.text().into(),
            "ip-rev" => reversed(ip).into(),
            "ip-host" => self.facts.host_of(ip).map_or(Value::None, Value::from),
            "failures" => i64::from(ticket.failures).into(),
            "time" if ticket.restored => (ticket.time.0.trunc() as i64).into(),
            "time" => ticket.time.0.into(),
            "bantime" => whole(ticket.bantime.clone().unwrap_or_else(|| self.facts.bantime())),
            "bancount" => i64::from(ticket.bancount).into(),
            "restored" => i64::from(ticket.restored).into(),
            "matches" => ticket.matches.iter().map(MatchedLine::line).collect::<Vec<_>>().join("\n").into(),
            "ipmatches" => self.facts.past(ip, true).matches.join("\n").into(),
            "ipjailmatches" => self.facts.past(ip, false).matches.join("\n").into(),
            "ipfailures" => (self.facts.past(ip, true).failures as i64).into(),
            "ipjailfailures" => (self.facts.past(ip, false).failures as i64).into(),
            "raw-ticket" => raw(ticket).into(),
            _ => return None,
        })
    }

    fn of_nobody(&self, tag: &str) -> Option<Value> {
        Some(match tag {
            "ip" | "fid" | "ip-rev" | "matches" | "ipmatches" | "ipjailmatches" => "".into(),
            "ip-host" => Value::None,
            "failures" | "bancount" | "restored" | "ipfailures" | "ipjailfailures" => 0.into(),
            "time" => self.facts.now().0.into(),
            "bantime" => whole(self.facts.bantime()),
            "F-*" => {
                Value::Dict(vec![("matches".into(), Value::List(Vec::new())), ("failures".into(), 0.into())])
            }
            "raw-ticket" => {
                let time = Value::Float(self.facts.now().0).repr();
                format!("BanTicket: ip= time={time} bantime=None bancount=0 #attempts=0 matches=[]").into()
            }
            _ => return None,
        })
    }

    fn of_jail(&self, tag: &str) -> Option<Value> {
        Some(match tag {
            "fq-hostname" => self.facts.own_host(true).into(),
            "sh-hostname" => self.facts.own_host(false).into(),
            "jail.name" => self.facts.jail().into(),
            "jail.banned" => (self.facts.counters().banned as i64).into(),
            "jail.banned_total" => (self.facts.counters().banned_total as i64).into(),
            "jail.found" => (self.facts.counters().found as i64).into(),
            "jail.found_total" => (self.facts.counters().found_total as i64).into(),
            _ => return None,
        })
    }
}

impl std::fmt::Display for Info<'_> {
    /// As it stands in Fail2ban's line about a failed action: what was asked for so far, and two that always are there,
    /// as functions, with their addresses in memory (ours are made up).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for always in ["ip", "family"] {
            self.value(always);
        }
        let known = self.known.borrow();
        let mut parts = Vec::new();
        for key in SHOWN {
            match known.get(*key) {
                Some(Some(value)) => parts.push(format!("'{key}': {}", value.repr())),
                _ if *key == "fid" || *key == "raw-ticket" => {
                    let address = if *key == "fid" { 0x7f28_786f_2c00_u64 } else { 0x7f28_786f_3380 };
                    parts.push(format!("'{key}': <function Actions.ActionInfo.<lambda> at {address:#x}>"));
                }
                _ => {}
            }
        }
        write!(f, "ActionInfo({{{}}})", parts.join(", "))
    }
}

/// An integer, as Python's `int()` makes it.
fn whole(value: Value) -> Value {
    match value {
        Value::Float(number) => Value::Int(number.trunc() as i64),
        other => other,
    }
}

/// For a DNS block list: the octets or nibbles in reverse, each with a dot behind it.
fn reversed(id: &Id) -> String {
    match id.net().map(|net| net.network()) {
        None => String::new(),
        Some(IpAddr::V4(_)) => {
            let mut out = String::new();
            for octet in id.text().rsplit('.') {
                out.push_str(octet);
                out.push('.');
            }
            out
        }
        Some(IpAddr::V6(address)) => {
            let nibbles = address.octets().into_iter().rev().flat_map(|octet| [octet & 0xf, octet >> 4]);
            nibbles.flat_map(|nibble| [char::from(b"0123456789abcdef"[usize::from(nibble)]), '.']).collect()
        }
    }
}

/// The lines as the ticket holds them in Fail2ban: the first in its three parts, the others in one piece, unless the first
/// has been dropped already or never had a date.
fn lines(ticket: &Ticket) -> Value {
    let dropped = (ticket.matches.len() as u64) < u64::from(ticket.failures);
    let line = |(index, line): (usize, &MatchedLine)| {
        if index == 0 && !dropped && !line.date.is_empty() {
            Value::Tuple(vec![
                line.before.as_str().into(),
                line.date.as_str().into(),
                line.after.as_str().into(),
            ])
        } else {
            line.line().into()
        }
    };
    Value::List(ticket.matches.iter().enumerate().map(line).collect())
}

fn raw(ticket: &Ticket) -> String {
    let time =
        if ticket.restored { Value::Int(ticket.time.0.trunc() as i64) } else { Value::Float(ticket.time.0) };
    let bantime = ticket.bantime.as_ref().map_or_else(|| "None".to_owned(), Value::repr);
    format!(
        "BanTicket: ip={} time={} bantime={bantime} bancount={} #attempts={} matches={}",
        ticket.id,
        time.repr(),
        ticket.bancount,
        ticket.failures,
        lines(ticket).repr()
    )
}

/// What was captured, the address first, which Fail2ban's filters capture as `ip4` or `ip6`.
fn captures(ticket: &Ticket) -> Vec<(String, Value)> {
    let mut captures: Vec<(String, Value)> = ticket
        .data
        .iter()
        .filter(|(key, _)| *key != "matches" && *key != "failures")
        .map(|(k, v)| (k.to_owned(), v.clone()))
        .collect();
    let ip = ticket.ip.as_ref().unwrap_or(&ticket.id);
    let named = captures.iter().any(|(key, _)| matches!(key.as_str(), "ip4" | "ip6" | "dns"));
    if !named
        && !captures.is_empty()
        && let Some(family) = ip.family()
    {
        let key = if family == Family::Inet4 { "ip4" } else { "ip6" };
        captures.insert(0, (key.to_owned(), ip.text().into()));
    }
    captures
}

fn dictionary(ticket: &Ticket) -> Value {
    let mut items =
        vec![("matches".into(), lines(ticket)), ("failures".into(), i64::from(ticket.failures).into())];
    items.extend(captures(ticket).into_iter().map(|(key, value)| (Value::from(key), value)));
    Value::Dict(items)
}
