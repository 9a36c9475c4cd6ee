//! Whom a match counts against: the groups of a match become its data, an identity and an address.

use std::net::IpAddr;

use portcullis_value::{Value, repr_str};

use super::python::{Captures, Regex};
use crate::event::{Level, LogLine};
use crate::failure::Data;
use crate::{Id, Outside};

/// What to do with host names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum UseDns {
    /// Resolve them.
    Yes,
    /// Resolve them and say so.
    #[default]
    Warn,
    /// Do not count them.
    No,
    /// Take them as they are.
    Raw,
}

impl UseDns {
    /// The setting's name.
    pub fn name(self) -> &'static str {
        match self {
            UseDns::Yes => "yes",
            UseDns::Warn => "warn",
            UseDns::No => "no",
            UseDns::Raw => "raw",
        }
    }

    /// The setting of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [UseDns::Yes, UseDns::Warn, UseDns::No, UseDns::Raw].into_iter().find(|usedns| usedns.name() == name)
    }
}

/// Groups that say whom a failure is counted against.
pub(super) const ID_GROUPS: [&str; 5] = ["fid", "ip4", "ip6", "dns", "mlfid"];

/// The groups of a match in the order of the pattern, with `nulls` also those that took no part. `ALT_` and `TUPLE_`
/// groups have been put to their use.
pub(super) fn groups(regex: &Regex, captures: &Captures, text: &str, nulls: bool) -> Data {
    let mut data = Data::new();
    for (name, group) in regex.names() {
        match captures.span(*group) {
            Some((start, end)) => data.insert(name.clone(), Value::from(&text[start..end])),
            None if nulls || name.starts_with("tuple_") => data.insert(name.clone(), Value::None),
            None => None,
        };
    }
    if data.keys().any(|name| name.starts_with("alt_") || name.starts_with("tuple_")) {
        alternatives(&mut data);
        tuples(&mut data);
    }
    data
}

/// `alt_user`, `alt_user_1`, … fill an empty `user`, the first by name that is not empty.
fn alternatives(data: &mut Data) {
    for (name, key) in special(data, "alt_") {
        if data.get(&key).is_some_and(Value::is_true) {
            continue;
        }
        if let Some(value) = data.get(&name).filter(|value| value.is_true()).cloned() {
            data.insert(key, value);
        }
    }
}

/// `tuple_user`, `tuple_user_1`, … make a tuple of `user`, which comes first.
fn tuples(data: &mut Data) {
    let names = special(data, "tuple_");
    let mut done: Vec<&str> = Vec::new();
    for (_, key) in &names {
        if done.contains(&key.as_str()) {
            continue;
        }
        done.push(key);
        let mut parts = vec![data.get(key).cloned().unwrap_or(Value::None)];
        let mine = names.iter().filter(|(_, other)| other == key);
        parts.extend(mine.filter_map(|(name, _)| data.get(name).cloned()));
        data.insert(key.clone(), Value::Tuple(parts));
    }
}

/// The names with a prefix, sorted, each with the key that it is for.
fn special(data: &Data, prefix: &str) -> Vec<(String, String)> {
    let mut names: Vec<&String> = data.keys().filter(|name| name.starts_with(prefix)).collect();
    names.sort();
    names.into_iter().map(|name| (name.clone(), target(&name[prefix.len()..]))).collect()
}

/// `user` of `user_1` and `user1`; `fid` of `id`, `fport` of `port`.
fn target(name: &str) -> String {
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let bare = bare.strip_suffix('_').unwrap_or(bare);
    match bare {
        "id" => "fid".into(),
        "port" => "fport".into(),
        "" => name.to_owned(),
        bare => bare.to_owned(),
    }
}

/// Whether data names anybody.
pub(super) fn has_identity(data: &Data) -> bool {
    ["fid", "ip4", "ip6", "dns"].iter().any(|key| data.get(*key).is_some_and(Value::is_true))
}

/// One or more identities (a name may have several addresses), and the address where the identity is not one.
pub(super) fn identities(
    data: &mut Data,
    usedns: UseDns,
    outside: &mut dyn Outside,
    notes: &mut Vec<LogLine>,
) -> Vec<(Id, Option<Id>)> {
    let text = |data: &Data, key: &str| match data.get(key) {
        Some(Value::Str(text)) if !text.is_empty() => Some(text.clone()),
        _ => None,
    };
    let fid = data.get("fid").filter(|fid| fid.is_true()).map(|fid| match fid {
        Value::Str(text) if usedns == UseDns::Raw => Id::raw(text),
        // Differs: text with a slash that is no network stays as it is (Fail2ban 1.1 does so, 1.0.2 loses the failure).
        Value::Str(text) => Id::new(text),
        other => Id::raw(&other.repr()),
    });
    let address = text(data, "ip4").or_else(|| text(data, "ip6"));
    if let Some(address) = address {
        let host = match text(data, "cidr") {
            Some(cidr) => Id::new(&format!("{address}/{cidr}")),
            None => Id::new(&address),
        };
        return vec![with_fid(data, fid, host)];
    }
    let Some(name) = text(data, "dns") else {
        return fid.map(|fid| (fid, None)).into_iter().collect();
    };
    let literal = Id::new(&name);
    if literal.address().is_some() || usedns == UseDns::Raw {
        return vec![with_fid(data, fid, literal)];
    }
    if usedns == UseDns::No {
        return Vec::new();
    }
    // Fail2ban 1.0.2 counts a name's addresses even when there is an `<F-ID>`.
    resolve(&name, usedns, outside, notes).into_iter().map(|address| (Id::from(address), None)).collect()
}

/// The identity is `fid` when there is one; the address then stands beside it.
fn with_fid(data: &mut Data, fid: Option<Id>, host: Id) -> (Id, Option<Id>) {
    match fid {
        Some(fid) if fid != host => {
            data.insert("ip".into(), Value::from(host.text()));
            (fid, Some(host))
        }
        Some(fid) => (fid, None),
        None => (host, None),
    }
}

fn resolve(name: &str, usedns: UseDns, outside: &mut dyn Outside, notes: &mut Vec<LogLine>) -> Vec<IpAddr> {
    match outside.resolve(name) {
        Ok(addresses) => {
            if usedns == UseDns::Warn && !addresses.is_empty() {
                let set: Vec<String> = addresses.iter().map(|a| repr_str(Id::from(*a).text())).collect();
                let text = format!("Determined IP using DNS Lookup: {name} = {{{}}}", set.join(", "));
                notes.push(LogLine::new(Level::WARNING, "ipdns", text));
            }
            addresses
        }
        Err(reason) => {
            let text = format!("Unable to find a corresponding IP address for {name}: {reason}");
            notes.push(LogLine::new(Level::WARNING, "ipdns", text));
            Vec::new()
        }
    }
}
