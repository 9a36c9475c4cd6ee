//! A regex of a filter, and what its groups are for: the groups of a match become its data.

use portcullis_value::Value;

use super::python::{Captures, Regex};
use crate::failure::{Data, Name};

/// A compiled regex whose groups are understood.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) regex: Regex,
    /// The group of the content that a prefregex leaves.
    pub(super) content: Option<usize>,
    groups: Vec<Group>,
    /// The groups of the keys with their names; 0 where there is none.
    keys: [(Name, usize); Key::COUNT],
    /// Whether there are `alt_` or `tuple_` groups.
    pub(super) special: bool,
    /// Whether there are `tuple_` groups.
    pub(super) tuples: bool,
}

/// What a verdict hangs on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Key {
    Fid,
    Ip4,
    Ip6,
    Dns,
    Nofail,
    Mlfid,
    Mlfgained,
    Mlfforget,
    Cidr,
    User,
}

impl Key {
    const COUNT: usize = 10;
    /// All of them, in order.
    pub(super) const ALL: [Key; Key::COUNT] = [
        Key::Fid,
        Key::Ip4,
        Key::Ip6,
        Key::Dns,
        Key::Nofail,
        Key::Mlfid,
        Key::Mlfgained,
        Key::Mlfforget,
        Key::Cidr,
        Key::User,
    ];

    /// The group's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Key::Fid => "fid",
            Key::Ip4 => "ip4",
            Key::Ip6 => "ip6",
            Key::Dns => "dns",
            Key::Nofail => "nofail",
            Key::Mlfid => "mlfid",
            Key::Mlfgained => "mlfgained",
            Key::Mlfforget => "mlfforget",
            Key::Cidr => "cidr",
            Key::User => "user",
        }
    }
}

#[derive(Debug)]
struct Group {
    name: Name,
    number: usize,
    /// Whether the verdict depends on it, and not only what is told of it.
    decides: bool,
    tuple: bool,
}

/// What is wanted of a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Wanted {
    /// What was captured.
    #[default]
    Captured,
    /// That, and nulls for groups that took no part.
    All,
    /// As much as decides.
    Deciding,
}

impl Rule {
    pub(super) fn new(regex: Regex) -> Self {
        let is_special = |name: &str| {
            ["alt_", "tuple_"]
                .iter()
                .any(|prefix| name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()))
        };
        let groups: Vec<Group> = regex
            .names()
            .iter()
            .map(|(name, number)| Group {
                name: name.clone(),
                number: *number,
                decides: decides(name) || is_special(name),
                tuple: name.starts_with("tuple_"),
            })
            .collect();
        let special = groups.iter().any(|group| is_special(&group.name));
        let tuples = groups.iter().any(|group| group.tuple);
        let keys = Key::ALL.map(|key| (Name::from(key.name()), regex.group(key.name()).unwrap_or(0)));
        Rule { content: regex.group("content"), regex, groups, keys, special, tuples }
    }

    /// The text of a key's group, if that took part.
    pub(super) fn value<'t>(&self, key: Key, captures: &Captures, text: &'t str) -> Option<&'t str> {
        let group = self.keys[key as usize].1;
        let (start, end) = captures.span(group).filter(|_| group > 0)?;
        Some(&text[start..end])
    }

    /// The groups of a match in the order of the pattern. `ALT_` and `TUPLE_` groups have been put to their use.
    pub(super) fn groups(&self, captures: &Captures, text: &str, wanted: Wanted) -> Data {
        // Room for what the connection or the failregex adds.
        let mut data = Data::with_capacity(self.groups.len() + 4);
        for group in self.groups.iter().filter(|group| wanted != Wanted::Deciding || group.decides) {
            match captures.span(group.number) {
                Some((start, end)) => data.push(group.name.clone(), Value::from(&text[start..end])),
                None if wanted == Wanted::All || group.tuple => data.push(group.name.clone(), Value::None),
                None => {}
            }
        }
        if self.special {
            alternatives(&mut data);
            tuples(&mut data);
        }
        data
    }
}

/// Whether a verdict depends on the group of this name.
fn decides(name: &str) -> bool {
    Key::ALL.into_iter().any(|key| key.name() == name)
}

/// `alt_user`, `alt_user_1`, … fill an empty `user`, the first by name that is not empty.
fn alternatives(data: &mut Data) {
    for (name, key) in special(data, "alt_") {
        if data.get(&key).is_some_and(Value::is_true) {
            continue;
        }
        if let Some(value) = data.get(&name).filter(|value| value.is_true()).cloned() {
            data.insert(key.as_str(), value);
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
        data.insert(key.as_str(), Value::Tuple(parts));
    }
}

/// The names with a prefix, sorted, each with the key that it is for.
fn special(data: &Data, prefix: &str) -> Vec<(String, String)> {
    let is_one = |name: &&str| name.len() > prefix.len() && name.starts_with(prefix);
    let mut names: Vec<&str> = data.keys().filter(is_one).collect();
    names.sort_unstable();
    names.into_iter().map(|name| (name.to_owned(), target(&name[prefix.len()..]))).collect()
}

/// `user` of `user_1`, but `user1` of `user1`; `fid` of `id`, `fport` of `port`.
fn target(name: &str) -> String {
    let numbered = name
        .rsplit_once('_')
        .filter(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    match numbered.map_or(name, |(bare, _)| bare) {
        "id" => "fid".into(),
        "port" => "fport".into(),
        bare => bare.to_owned(),
    }
}
