//! Lines that belong together by a connection's id (`<F-MLFID>`): who it is may stand in one line, what he did in another.

use indexmap::IndexMap;
use portcullis_value::Value;

use super::identity::has_identity;
use crate::Timestamp;
use crate::failure::{Data, MatchedLine};

/// How many connections are remembered; the oldest goes first.
const MOST: usize = 100;
/// How long one is remembered, in seconds from its first line.
const LIFETIME: f64 = 300.0;
/// How many lines of one connection are kept. Fail2ban has no bound; its tickets keep far fewer (`maxmatches`).
const MOST_LINES: usize = 200;

/// How many users of one connection are told apart. Two are as good as many.
const MOST_USERS: usize = 50;

/// What is known of a connection.
#[derive(Debug)]
struct Connection {
    since: Timestamp,
    data: Data,
    users: Vec<Value>,
    matches: Vec<MatchedLine>,
    innocent: Vec<MatchedLine>,
    nofail: bool,
    pending: bool,
}

/// The connections of a jail.
#[derive(Debug, Default)]
pub(super) struct Connections {
    known: IndexMap<String, Connection>,
}

/// What a line of a connection comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// A failure with the data and the lines collected so far.
    Failure(Data, Vec<MatchedLine>),
    /// No failure, or not yet. The data as it stands.
    Nothing(Data),
}

impl Connections {
    /// Takes a match with an `mlfid` group in.
    pub(super) fn merge(&mut self, mut groups: Data, lines: Vec<MatchedLine>, now: Timestamp) -> Outcome {
        let set = |data: &Data, key: &str| data.get(key).is_some_and(Value::is_true);
        let Some(id) = groups.get("mlfid").and_then(Value::as_str).map(str::to_owned) else {
            return Outcome::Failure(groups, lines);
        };
        let gained = set(&groups, "mlfgained");
        let forget = set(&groups, "mlfforget");
        groups.shift_remove("mlfforget");
        let mut nofail = gained || set(&groups, "nofail");
        let user = groups.get("user").filter(|user| user.is_true()).cloned();

        if self.known.get(&id).is_some_and(|known| now.since(known.since) > LIFETIME) {
            self.known.shift_remove(&id);
        }
        let mut new = None;
        let connection = match self.known.get_mut(&id) {
            Some(known) => {
                known.join(groups, user, gained);
                known
            }
            None => new.insert(Connection::begin(groups, user, now)),
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
        let data = connection.data.clone();
        if !nofail {
            connection.pending = !has_identity(&data);
        }
        let failed = !nofail && !connection.pending;
        let matches = if failed { connection.matches.clone() } else { Vec::new() };
        if forget {
            self.known.shift_remove(&id);
        } else if let Some(new) = new {
            if self.known.len() >= MOST {
                self.known.shift_remove_index(0);
            }
            self.known.insert(id, new);
        }
        if failed { Outcome::Failure(data, matches) } else { Outcome::Nothing(data) }
    }
}

impl Connection {
    fn begin(data: Data, user: Option<Value>, now: Timestamp) -> Self {
        let mut connection = Connection {
            since: now,
            data,
            users: Vec::new(),
            matches: Vec::new(),
            innocent: Vec::new(),
            nofail: false,
            pending: false,
        };
        connection.meet(user);
        connection
    }

    fn meet(&mut self, user: Option<Value>) {
        let Some(user) = user.filter(|user| !self.users.contains(user)) else { return };
        if self.users.len() < MOST_USERS {
            self.users.push(user);
        }
        self.data.insert("users".into(), Value::Set(self.users.clone()));
    }

    /// Takes back that the last line was no failure.
    fn accuse(&mut self) {
        self.data.shift_remove("nofail");
        self.data.shift_remove("mlfgained");
    }

    /// A further line of a known connection.
    fn join(&mut self, groups: Data, user: Option<Value>, gained: bool) {
        self.meet(user);
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
