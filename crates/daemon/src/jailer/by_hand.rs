//! What `portcullis` asks of a jail: bans and unbans by hand, and what is known of addresses and of the bans as a whole.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use crossbeam_channel::Sender;
use ipnet::IpNet;
use portcullis_jail::ban::{Bans, Seen};
use portcullis_jail::filter::Moment;
use portcullis_jail::jail::{ByHand, WHY};
use portcullis_jail::{Id, MatchedLine, Ticket, Timestamp};
use portcullis_value::{Number, Value};
use portcullis_wire::request::Ban;

use super::running::Running;
use super::surroundings::now;
use crate::act::worker::{self, Done, States};
use crate::control::dict;

/// So many of the newest bans are looked at for their networks: a client must not hold up the jail.
const LOOKED_AT: usize = 20_000;
/// The networks that bans are counted by: an organisation's, as a rule.
const LENGTH_V4: u8 = 24;
const LENGTH_V6: u8 = 48;

fn time(time: Option<Timestamp>) -> Value {
    time.map_or(Value::None, |time| Value::Float(time.0))
}

impl Running {
    /// Bans these; answers for each what became of it.
    pub(super) fn ban_with(&mut self, ban: &Ban, done: &Done) -> Value {
        let seconds = ban.seconds.as_ref().and_then(|seconds| match seconds {
            Value::Int(whole) => Some(Number::Int(*whole)),
            Value::Float(float) => Some(Number::Float(*float)),
            _ => None,
        });
        let at = Moment { now: now(), in_operation: true };
        let banned = ban.addresses.iter().map(|address| {
            let id = Id::new(address);
            let mut effects = Vec::new();
            let (jail, outside) = (&mut self.definition.jail, &mut self.outside);
            let outcome = jail.ban_by_hand(&id, seconds, ban.why.as_deref(), at, outside, &mut effects);
            self.carry_out(effects, done);
            if outcome == ByHand::Changed {
                self.tell_changed(&id);
            }
            let end = self.definition.jail.bans.end(&id);
            let outcome = match outcome {
                ByHand::New => "new",
                ByHand::Changed => "changed",
                ByHand::Already => "already",
                ByHand::Expired => "expired",
                ByHand::DryRun => "dry-run",
            };
            dict(vec![
                ("address", id.text().into()),
                ("outcome", outcome.into()),
                ("end", time(end.flatten())),
                ("forever", (end == Some(None)).into()),
            ])
        });
        let banned = Value::List(banned.collect());
        self.facts.update(&self.definition.jail);
        banned
    }

    /// A ban that lasts longer now, or has a reason.
    fn tell_changed(&self, id: &Id) {
        let jail = &self.definition.jail;
        if let Some(ticket) = jail.bans.ticket(id) {
            self.surroundings.log.events().tell(self.ban_event(jail.name(), &ticket));
        }
    }

    /// Lifts bans; answers how many of each. No addresses are all.
    pub(super) fn unban_each(&mut self, addresses: &[String], done: &Done) -> Value {
        if addresses.is_empty() {
            return self.unban_all(done.clone());
        }
        self.restore_first(&addresses.iter().map(|address| Id::new(address)).collect::<Vec<_>>());
        let lifted = addresses.iter().map(|address| {
            // In the canonical spelling, unless it is a text or everybody.
            let id = Id::new(address);
            let named = id.net() == id.covers() && id.net().is_some();
            self.unban(if named { id.text() } else { address }, done.clone())
        });
        Value::List(lifted.collect())
    }

    /// What is known of these; of one that is not banned itself, of the network that is. The actions tell what they know.
    pub(super) fn about(&self, ids: &[Id], states: &Sender<States>) -> Value {
        let bans = &self.definition.jail.bans;
        let held: Vec<Option<Ticket>> = ids.iter().map(|id| holding(bans, id)).collect();
        let asked: Arc<[Id]> = ids
            .iter()
            .zip(&held)
            .map(|(id, held)| held.as_ref().map_or(id, |held| &held.id).clone())
            .collect();
        for worker in self.workers.values() {
            worker.order(worker::Order::States(Arc::clone(&asked), states.clone()));
        }
        Value::List(
            held.into_iter().map(|held| held.map_or(Value::None, |held| self.about_one(held))).collect(),
        )
    }

    fn about_one(&self, ticket: Ticket) -> Value {
        let bans = &self.definition.jail.bans;
        let end = bans.end(&ticket.id);
        let Ticket { id, ip, time: begin, bancount, failures, matches, data, restored, .. } = ticket;
        let lines = Value::List(matches.iter().map(MatchedLine::line).map(Value::from).collect());
        let text = |text: Option<&str>| text.map_or(Value::None, Value::from);
        dict(vec![
            ("jail", (&**self.definition.name()).into()),
            ("address", id.text().into()),
            ("host", text(ip.as_ref().map(Id::text))),
            ("begin", Value::Float(begin.0)),
            ("end", time(end.flatten())),
            ("bans", Value::Int(bancount.max(1).into())),
            ("failures", Value::Int(failures.into())),
            ("restored", restored.into()),
            ("why", text(data.get(WHY).and_then(Value::as_str))),
            ("lines", lines),
        ])
    }

    /// The newest bans, and the networks that most of them come from.
    pub(super) fn bans(&self, newest: usize, networks: usize) -> Value {
        let bans = &self.definition.jail.bans;
        let shown = bans.newest().take(newest).map(|Seen { id, time: begin, end, failures, data }| {
            let why = data.and_then(|data| data.get(WHY)).and_then(Value::as_str);
            dict(vec![
                ("address", id.text().into()),
                ("begin", Value::Float(begin.0)),
                ("end", time(end)),
                ("failures", Value::Int(failures.into())),
                ("why", why.map_or(Value::None, Value::from)),
            ])
        });
        dict(vec![
            ("jail", (&**self.definition.name()).into()),
            ("currently_banned", Value::Int(bans.len() as i64)),
            ("bans", Value::List(shown.collect())),
            ("networks", if networks == 0 { Value::List(Vec::new()) } else { self.networks(networks) }),
        ])
    }

    fn networks(&self, most: usize) -> Value {
        let bans = &self.definition.jail.bans;
        let mut counts: HashMap<IpNet, i64> = HashMap::new();
        for net in bans.newest().take(LOOKED_AT).filter_map(|ban| network(ban.id)) {
            *counts.entry(net).or_default() += 1;
        }
        let mut counts: Vec<(IpNet, i64)> = counts.into_iter().collect();
        counts.sort_unstable_by(|(a, m), (b, n)| n.cmp(m).then(a.cmp(b)));
        let shown = counts
            .into_iter()
            .take(most)
            .map(|(net, count)| dict(vec![("network", net.to_string().into()), ("bans", Value::Int(count))]));
        Value::List(shown.collect())
    }
}

/// The ban of this identity, or of the narrowest network around it.
pub(super) fn holding(bans: &Bans, id: &Id) -> Option<Ticket> {
    if let Some(ticket) = bans.ticket(id) {
        return Some(ticket);
    }
    let net = id.covers()?;
    let wider = (1..net.prefix_len()).rev().filter_map(|length| IpNet::new(net.addr(), length).ok());
    wider.map(Id::from).find_map(|wider| bans.ticket(&wider))
}

/// The network that an identity is counted to: its own, when that is wider.
fn network(id: &Id) -> Option<IpNet> {
    let net = id.covers()?;
    let length = match net.addr() {
        IpAddr::V4(_) => LENGTH_V4,
        IpAddr::V6(_) => LENGTH_V6,
    };
    IpNet::new(net.addr(), length.min(net.prefix_len())).ok().map(|net| net.trunc())
}
