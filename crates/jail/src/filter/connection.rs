//! Lines that belong together by a connection's id (`<F-MLFID>`): who it is may stand in one line, what he did in another.

use std::borrow::Cow;
use std::collections::VecDeque;

use portcullis_value::Value;

use super::identity::has_identity;
use crate::Timestamp;
use crate::failure::{Data, MatchedLine};

/// How many connections are remembered; the oldest goes first.
pub(super) const MOST: usize = 100;
/// How long one is remembered, in seconds from its first line.
pub(super) const LIFETIME: f64 = 300.0;
/// How many lines of one connection are kept. Fail2ban has no bound; its tickets keep far fewer (`maxmatches`).
const MOST_LINES: usize = 200;

/// How many users of one connection are told apart. Two are as good as many.
pub(super) const MOST_USERS: usize = 50;

/// What is known of a connection.
#[derive(Clone, Debug)]
struct Connection {
    since: Timestamp,
    data: Data,
    users: Vec<Value>,
    matches: Vec<MatchedLine>,
    innocent: Vec<MatchedLine>,
    nofail: bool,
    pending: bool,
}

/// The connections of a jail, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Connections {
    /// Hashes of their ids, which tell most of them apart at little cost.
    hashes: VecDeque<u32>,
    known: VecDeque<(Box<str>, Box<Connection>)>,
    /// Whether what is only shown is left out.
    counts_only: bool,
}

impl Connections {
    fn place(&self, id: &str, hash: u32) -> Option<usize> {
        place(&self.hashes, hash, |at| &*self.known[at].0 == id)
    }

    fn forget(&mut self, at: usize) {
        self.hashes.remove(at);
        self.known.remove(at);
    }
}

/// The place of a hash whose id is the one.
pub(super) fn place(hashes: &VecDeque<u32>, hash: u32, is: impl Fn(usize) -> bool) -> Option<usize> {
    let (first, second) = hashes.as_slices();
    let mut from = 0;
    // Nearly always nobody, and then this is all.
    while first.get(from..).unwrap_or_default().contains(&hash) || second.contains(&hash) {
        let at = (from..hashes.len()).find(|at| hashes[*at] == hash)?;
        if is(at) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// FNV-1a (Fowler, Noll, Vo 1991). An attacker who makes equal ones makes us compare a hundred ids.
pub(super) fn hash(id: &str) -> u32 {
    id.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// What a line of a connection comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome<'c> {
    /// The data as it stands.
    pub(super) data: Cow<'c, Data>,
    /// With a failure, the lines collected so far; `None` when it is none, or none yet.
    pub(super) lines: Option<Vec<MatchedLine>>,
}

impl Connections {
    /// The data of a match as it stands with its connection's, if it has one, and whether that is a failure.
    pub(super) fn joined(&mut self, groups: Data, now: Timestamp) -> (Cow<'_, Data>, bool) {
        if !groups.get("mlfid").is_some_and(Value::is_true) {
            return (Cow::Owned(groups), true);
        }
        self.counts_only = true;
        let outcome = self.merge(groups, Vec::new(), now);
        (outcome.data, outcome.lines.is_some())
    }

    /// Takes a match with an `mlfid` group in.
    pub(super) fn merge(&mut self, mut groups: Data, lines: Vec<MatchedLine>, now: Timestamp) -> Outcome<'_> {
        let set = |data: &Data, key: &str| data.get(key).is_some_and(Value::is_true);
        let Some(id) = groups.get("mlfid").and_then(Value::as_str) else {
            return Outcome { data: Cow::Owned(groups), lines: Some(lines) };
        };
        let hash = hash(id);
        let mut place = self.place(id, hash);
        let mut new_id = None;
        if let Some(at) = place
            && now.since(self.known[at].1.since) > LIFETIME
        {
            self.forget(at);
            place = None;
        }
        if place.is_none() {
            new_id = Some(id.into());
        }
        let gained = set(&groups, "mlfgained");
        let forget = set(&groups, "mlfforget");
        groups.remove("mlfforget");
        let mut nofail = gained || set(&groups, "nofail");
        let counts_only = self.counts_only;
        let user = if counts_only { groups.remove("user") } else { groups.get("user").cloned() };
        let user = user.filter(Value::is_true);

        let mut new = None;
        let connection = match place.and_then(|at| self.known.get_mut(at)) {
            Some((_, known)) => {
                known.join(groups, user, gained, counts_only);
                known
            }
            // Who begins and ends in one line is not kept, nor are the names that he tried.
            None => {
                new.insert(Box::new(Connection::begin(groups, user.filter(|_| !forget), now, counts_only)))
            }
        };
        // Another try under another name is a failure, whatever this line says.
        if connection.pending || connection.users.len() > 1 {
            nofail = false;
            connection.accuse();
        }
        let gained = gained && nofail;
        connection.nofail = nofail;
        if nofail {
            if !forget {
                append(&mut connection.innocent, lines);
            }
        } else {
            let mut matches = std::mem::take(&mut connection.innocent);
            matches.append(&mut connection.matches);
            if !gained {
                append(&mut matches, lines);
            }
            connection.matches = matches;
        }
        if !nofail {
            connection.pending = !has_identity(&connection.data);
        }
        let lines = (!nofail && !connection.pending).then(|| connection.matches.clone());
        let at = match (place, new_id.zip(new)) {
            (Some(at), _) if forget => {
                self.hashes.remove(at);
                let gone = self.known.remove(at).map(|(_, connection)| connection.data);
                return Outcome { data: Cow::Owned(gone.unwrap_or_default()), lines };
            }
            (None, Some((_, new))) if forget => return Outcome { data: Cow::Owned(new.data), lines },
            (None, Some(new)) => {
                if self.known.len() >= MOST {
                    self.forget(0);
                }
                self.hashes.push_back(hash);
                self.known.push_back(new);
                self.known.len() - 1
            }
            (at, _) => at.unwrap_or_default(),
        };
        let data =
            self.known.get(at).map_or(Cow::Owned(Data::new()), |(_, known)| Cow::Borrowed(&known.data));
        Outcome { data, lines }
    }
}

impl Connection {
    fn begin(data: Data, user: Option<Value>, now: Timestamp, counts_only: bool) -> Self {
        let mut connection = Connection {
            since: now,
            data,
            users: Vec::new(),
            matches: Vec::new(),
            innocent: Vec::new(),
            nofail: false,
            pending: false,
        };
        connection.meet(user, counts_only);
        connection
    }

    fn meet(&mut self, user: Option<Value>, counts_only: bool) {
        let Some(user) = user.filter(|user| !self.users.contains(user)) else { return };
        if self.users.len() < MOST_USERS {
            self.users.push(user);
        }
        if !counts_only {
            self.data.insert("users", Value::Set(self.users.clone()));
        }
    }

    /// Takes back that the last line was no failure.
    fn accuse(&mut self) {
        self.data.remove("nofail");
        self.data.remove("mlfgained");
    }

    /// A further line of a known connection.
    fn join(&mut self, groups: Data, user: Option<Value>, gained: bool, counts_only: bool) {
        self.meet(user, counts_only);
        let was_innocent = std::mem::take(&mut self.nofail);
        self.accuse();
        if gained {
            self.pending = false;
        }
        if !was_innocent && !self.pending {
            self.matches.clear();
        }
        self.data.extend(groups.into_iter().filter(|(_, value)| *value != Value::None));
    }
}

fn append(lines: &mut Vec<MatchedLine>, more: Vec<MatchedLine>) {
    let room = MOST_LINES.saturating_sub(lines.len());
    lines.extend(more.into_iter().take(room));
}
