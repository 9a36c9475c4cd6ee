//! Connections for a tester that only counts: what [`super::connection`] makes of the lines of a connection, without the
//! texts that would only be shown.

use std::collections::VecDeque;

use super::connection::{LIFETIME, MOST, MOST_USERS, hash, place};
use super::rule::Key;
use crate::Timestamp;

/// What a line says about its connection: which keys it gives, and of which of them there is more than an empty text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told<'t> {
    pub(super) id: &'t str,
    pub(super) user: &'t str,
    pub(super) name: &'t str,
    pub(super) keys: Keys,
}

/// Keys that a line gives, and those of them that are not empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Keys {
    given: u16,
    set: u16,
}

/// What is known of a connection. Of its values only the name's text matters, and whether there are others.
#[derive(Clone, Debug, Default)]
struct Connection {
    id: String,
    since: Timestamp,
    name: String,
    keys: Keys,
    users: Vec<Box<str>>,
    nofail: bool,
    pending: bool,
}

/// The connections of a log, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Connections {
    hashes: VecDeque<u32>,
    known: VecDeque<Box<Connection>>,
    /// The last one that was forgotten: its memory is of use for the next.
    spare: Box<Connection>,
}

impl Keys {
    /// The keys that have values.
    pub(super) fn of<'t>(value: impl Fn(Key) -> Option<&'t str>) -> Self {
        let mut keys = Keys::default();
        for key in Key::ALL {
            if let Some(text) = value(key) {
                keys.given |= bit(key);
                keys.set |= if text.is_empty() { 0 } else { bit(key) };
            }
        }
        keys
    }

    /// Whether the key has a value that is not empty.
    pub(super) fn has(self, key: Key) -> bool {
        self.set & bit(key) != 0
    }

    fn without(self, key: Key) -> Self {
        Keys { given: self.given & !bit(key), set: self.set & !bit(key) }
    }

    /// Takes over what others give.
    fn join(&mut self, others: Keys) {
        *self = Keys { given: self.given | others.given, set: self.set & !others.given | others.set };
    }

    fn names_anybody(self) -> bool {
        [Key::Fid, Key::Ip4, Key::Ip6, Key::Dns].into_iter().any(|key| self.has(key))
    }
}

fn bit(key: Key) -> u16 {
    1 << key as u16
}

impl Connections {
    /// A line of a connection: its keys and its name as they stand with the lines before, and whether that is a failure.
    pub(super) fn merge(&mut self, told: Told<'_>, now: Timestamp) -> (Keys, &str, bool) {
        let Told { id, user, name, keys } = told;
        let hash = hash(id);
        let mut at = place(&self.hashes, hash, |at| self.known[at].id == id);
        if let Some(old) = at.filter(|at| now.since(self.known[*at].since) > LIFETIME) {
            self.forget(old);
            at = None;
        }
        let (gained, forget) = (keys.has(Key::Mlfgained), keys.has(Key::Mlfforget));
        let mut nofail = gained || keys.has(Key::Nofail);
        let keys = keys.without(Key::Mlfforget).without(Key::User);
        let connection = if let Some(known) = at.and_then(|at| self.known.get_mut(at)) {
            known.meet(user);
            known.accuse();
            if gained {
                known.pending = false;
            }
            known.keys.join(keys);
            if keys.given & bit(Key::Dns) != 0 {
                name.clone_into(&mut known.name);
            }
            known
        } else {
            self.spare.begin(id, name, keys, now);
            // Who begins and ends in one line is not kept, nor are the names that he tried.
            self.spare.meet(if forget { "" } else { user });
            &mut self.spare
        };
        if connection.pending || connection.users.len() > 1 {
            nofail = false;
            connection.accuse();
        }
        connection.nofail = nofail;
        if !nofail {
            connection.pending = !connection.keys.names_anybody();
        }
        let failed = !nofail && !connection.pending;
        let at = match (at, forget) {
            (Some(at), false) => at,
            (Some(at), true) => {
                self.forget(at);
                return (self.spare.keys, &self.spare.name, failed);
            }
            (None, true) => return (self.spare.keys, &self.spare.name, failed),
            (None, false) => {
                let new = std::mem::take(&mut self.spare);
                if self.known.len() >= MOST {
                    self.forget(0);
                }
                self.hashes.push_back(hash);
                self.known.push_back(new);
                self.known.len() - 1
            }
        };
        let connection = &self.known[at];
        (connection.keys, &connection.name, failed)
    }

    fn forget(&mut self, at: usize) {
        self.hashes.remove(at);
        if let Some(gone) = self.known.remove(at) {
            self.spare = gone;
        }
    }
}

impl Connection {
    fn begin(&mut self, id: &str, name: &str, keys: Keys, now: Timestamp) {
        id.clone_into(&mut self.id);
        name.clone_into(&mut self.name);
        self.users.clear();
        (self.since, self.keys) = (now, keys);
        (self.nofail, self.pending) = (false, false);
    }

    fn meet(&mut self, user: &str) {
        let known = || self.users.iter().any(|known| **known == *user);
        if !user.is_empty() && self.users.len() < MOST_USERS && !known() {
            self.users.push(user.into());
        }
    }

    /// Takes back that the last line was no failure.
    fn accuse(&mut self) {
        self.keys = self.keys.without(Key::Nofail).without(Key::Mlfgained);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use portcullis_value::Value;

    use super::*;
    use crate::failure::Data;
    use crate::filter::connection;

    /// Values of some keys, `None` where a key took no part.
    fn line() -> impl Strategy<Value = Vec<Option<String>>> {
        let value = |texts: &'static [&'static str]| {
            proptest::option::of(proptest::sample::select(texts).prop_map(str::to_owned))
        };
        let id = proptest::sample::select(&["a", "b", "c"][..]).prop_map(|id| Some(id.to_owned()));
        Key::ALL
            .map(|key| match key {
                Key::Mlfid => id.clone().boxed(),
                Key::User => value(&["", "root", "x", "y"]).boxed(),
                _ => value(&["", "one", "two"]).boxed(),
            })
            .to_vec()
    }

    proptest! {
        #[test]
        fn what_is_counted_is_what_would_be_shown(lines in proptest::collection::vec((line(), 0..200_u32), 1..40)) {
            let (mut shown, mut counted) = (connection::Connections::default(), Connections::default());
            let mut now = 1_000_000.0;
            for (values, passed) in lines {
                now += f64::from(passed);
                let value = |key: Key| values[key as usize].as_deref();
                let mut data = Data::new();
                for key in Key::ALL {
                    if let Some(text) = value(key) {
                        data.insert(key.name(), Value::from(text));
                    }
                }
                let text = |key| value(key).unwrap_or_default();
                let told = Told { id: text(Key::Mlfid), user: text(Key::User), name: text(Key::Dns), keys: Keys::of(value) };
                let (wanted, wanted_failed) = shown.joined(data, Timestamp(now));
                let (keys, name, failed) = counted.merge(told, Timestamp(now));
                prop_assert_eq!(failed, wanted_failed);
                for key in Key::ALL.into_iter().filter(|key| !matches!(key, Key::User)) {
                    let set = wanted.get(key.name()).is_some_and(Value::is_true);
                    prop_assert_eq!(keys.has(key), set, "{}", key.name());
                }
                let wanted_name = wanted.get("dns").and_then(Value::as_str).unwrap_or_default();
                prop_assert_eq!(name, wanted_name);
            }
        }
    }
}
