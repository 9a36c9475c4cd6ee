//! Who must not be locked out by detection (`protectadmin`): an administrator who is logged in, the gateway without which
//! nobody is reached, and this machine itself.
//!
//! Everything is asked from the kernel and from the system's own lists of sessions; no name is resolved, since names are
//! what others can forge or hold up. Being connected is not being logged in: an attacker at sshd's door is no administrator.

mod gateway;
mod sessions;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use portcullis_jail::Id;

use crate::act::sockets::{Connection, Sockets, State, TCP};
use sessions::Session;
pub(crate) use sessions::sockets_of;

/// So long an answer is good: bans may come in thousands, administrators do not.
const KEPT: Duration = Duration::from_secs(1);

/// Since when it is known, and the reason for each address.
type Known = (Instant, HashMap<IpAddr, String>);

/// Who must not be locked out. Clones share what they know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lockout {
    known: Arc<Mutex<Option<Known>>>,
}

impl Lockout {
    /// Why this offender (or somebody in this network) must not be banned, if so.
    pub(crate) fn why_not(&self, id: &Id) -> Option<String> {
        let net = id.net()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let stale = known.as_ref().is_none_or(|(since, _)| since.elapsed() > KEPT);
        let (_, protected) = if stale {
            known.insert((Instant::now(), protected(Path::new("/"))))
        } else {
            known.get_or_insert_with(|| (Instant::now(), HashMap::new()))
        };
        if net.prefix_len() == net.max_prefix_len() {
            return protected.get(&net.addr()).cloned();
        }
        let inside = protected.iter().find(|(address, _)| net.contains(*address));
        inside.map(|(address, why)| format!("{address} is in it: {why}"))
    }
}

/// All protected addresses, each with the reason; the weightier reason last.
fn protected(root: &Path) -> HashMap<IpAddr, String> {
    let mut all = HashMap::new();
    for (address, link) in gateway::gateways(root) {
        all.insert(address, format!("it is the gateway of {link}"));
    }
    for interface in if_addrs::get_if_addrs().unwrap_or_default() {
        all.insert(interface.ip().to_canonical(), format!("it is this machine itself ({})", interface.name));
    }
    for session in live(sessions::sessions(root)) {
        let Some(from) = session.from else { continue };
        let plain = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
        let (user, place) = (plain(&session.user), plain(&session.place));
        all.insert(from, format!("{user} is logged in from there ({place})"));
    }
    all
}

/// The sessions of administrators whose connection is there: lists of sessions outlive crashes.
fn live(sessions: Vec<Session>) -> Vec<Session> {
    let mut sessions: Vec<Session> =
        sessions.into_iter().filter(|session| sessions::is_administrator(&session.user)).collect();
    if sessions.is_empty() {
        return sessions;
    }
    let (mut peers, mut by_inode) = (HashSet::new(), HashMap::new());
    let seen = Sockets::open().and_then(|mut sockets| {
        sockets.each(TCP, State::Connected, |connection: &Connection| {
            peers.insert(connection.peer.ip());
            by_inode.insert(connection.inode, connection.peer.ip());
        })
    });
    if seen.is_err() {
        // Without the kernel's word, that of the lists counts: rather one too many than nobody gets in.
        return sessions;
    }
    for session in &mut sessions {
        if session.from.is_none() {
            session.from = session.sockets.iter().find_map(|inode| by_inode.get(inode).copied());
        }
    }
    sessions.retain(|session| session.from.is_some_and(|from| peers.contains(&from)));
    sessions
}
