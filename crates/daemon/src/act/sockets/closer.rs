//! Ends the open connections of whoever was banned just now. A thread of its own: looking through the kernel's sockets takes
//! milliseconds on a busy machine, and no ban shall wait for that.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use ipnet::IpNet;
use portcullis_jail::Level;
use rustix::io::Errno;

use super::conntrack::{self, flows};
use super::diag::{Connection, Sockets, State, TCP, UDP};
use super::guarded::Guarded;
use crate::act::nft::Error;
use crate::log::Log;

/// So many orders wait; each may hold thousands of bans, and all that wait are carried out together.
const WAITING: usize = 4096;
/// So many connections are ended in one go.
const MOST: usize = 100_000;

/// Whose connections are to be ended.
struct Order {
    jail: Arc<str>,
    whose: Vec<IpNet>,
    guarded: Arc<Guarded>,
    log: Log,
}

/// A handle on the thread.
#[derive(Clone, Debug)]
pub struct Closer {
    orders: Sender<Order>,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "end connections of {:?} to {:?}", self.whose, self.guarded)
    }
}

impl Closer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn start() -> std::io::Result<Self> {
        let (orders, inbox) = bounded(WAITING);
        std::thread::Builder::new()
            .name("f2b/closer".into())
            .stack_size(256 * 1024)
            .spawn(move || Closing::default().run(&inbox))?;
        Ok(Closer { orders })
    }

    /// Ends what these addresses and networks have open to what is guarded, after the call has returned.
    pub(crate) fn close(&self, jail: &str, whose: Vec<IpNet>, guarded: &Arc<Guarded>, log: &Log) {
        let order = Order { jail: jail.into(), whose, guarded: Arc::clone(guarded), log: log.clone() };
        if let Err(TrySendError::Full(order)) = self.orders.try_send(order) {
            let text = format!(
                "[{jail}] too many bans at a time: open connections of {} of them are left to the firewall",
                order.whose.len()
            );
            log.warning("actions", text);
        }
    }
}

#[derive(Default)]
struct Closing {
    /// The kernel cannot do it, which was said.
    unable: bool,
}

impl Closing {
    fn run(&mut self, inbox: &Receiver<Order>) {
        while let Ok(first) = inbox.recv() {
            let orders: Vec<Order> = std::iter::once(first).chain(inbox.try_iter()).collect();
            if let Err(error) = self.close(&orders)
                && let Some(order) = orders.first()
            {
                self.tell(&error, &order.log);
            }
        }
    }

    fn close(&mut self, orders: &[Order]) -> Result<(), Error> {
        let wanted = Wanted::new(orders);
        // A port may be redirected to another on this machine: conntrack knows.
        let nets: Vec<IpNet> = orders.iter().flat_map(|order| order.whose.iter().copied()).collect();
        let mut tracked = flows(&nets).unwrap_or_default();
        tracked.retain(|flow| {
            let ports = [flow.dialled.port(), flow.answers.port()];
            wanted.order(flow.from, flow.protocol, &ports).is_some()
        });
        let redirected: BTreeSet<(SocketAddr, u16)> = tracked
            .iter()
            .filter(|flow| flow.is_redirected())
            .map(|flow| (flow.from, flow.answers.port()))
            .collect();
        let mut ended: BTreeMap<Ban, usize> = BTreeMap::new();
        let found = if self.unable { Vec::new() } else { wanted.connections(&redirected)? };
        let mut sockets = Sockets::open()?;
        for (place, connection) in found {
            if sockets.destroy(&connection)? {
                *ended.entry(place).or_default() += 1;
            }
        }
        // After the sockets: what they say at their end shall still find its way.
        let _ = conntrack::forget(&tracked);
        for ((number, net), count) in ended {
            let order = &orders[number];
            let whom = if net.prefix_len() == net.max_prefix_len() {
                net.addr().to_string()
            } else {
                net.to_string()
            };
            let text = format!("[{}] Ended {count} open connection(s) of {whom}", order.jail);
            order.log.say(Level::NOTICE, "actions", text);
        }
        Ok(())
    }

    /// Says once why it cannot be done.
    fn tell(&mut self, error: &Error, log: &Log) {
        if std::mem::replace(&mut self.unable, true) {
            return;
        }
        let why = match error.errno() {
            Some(Errno::OPNOTSUPP) => "the kernel was built without CONFIG_INET_DIAG_DESTROY".to_owned(),
            _ => error.to_string(),
        };
        let text = format!(
            "Open connections of banned addresses cannot be ended: {why}. Their packets are refused all the same \
             (closeconnections = false in portcullis.conf ends this message)"
        );
        log.warning("actions", text);
    }
}

/// An order, and which of its addresses or networks.
type Ban = (usize, IpNet);

/// All orders at hand, so that a socket finds its own quickly.
struct Wanted<'o> {
    orders: &'o [Order],
    by_net: HashMap<IpNet, Vec<usize>>,
    lengths: BTreeSet<(bool, u8)>,
}

impl<'o> Wanted<'o> {
    fn new(orders: &'o [Order]) -> Self {
        let mut by_net: HashMap<IpNet, Vec<usize>> = HashMap::new();
        let mut lengths = BTreeSet::new();
        for (number, order) in orders.iter().enumerate() {
            for net in &order.whose {
                lengths.insert((net.addr().is_ipv6(), net.prefix_len()));
                by_net.entry(net.trunc()).or_default().push(number);
            }
        }
        Wanted { orders, by_net, lengths }
    }

    /// Whose ban it is that closes one of these ports to this peer.
    fn order(&self, peer: SocketAddr, protocol: u8, ports: &[u16]) -> Option<Ban> {
        let lengths = self.lengths.iter().filter(|(v6, _)| *v6 == peer.is_ipv6());
        lengths.filter_map(|(_, length)| Some(IpNet::new(peer.ip(), *length).ok()?.trunc())).find_map(|net| {
            let numbers = self.by_net.get(&net)?;
            let closes = |number: &&usize| {
                ports.iter().any(|port| self.orders[**number].guarded.covers(protocol, *port))
            };
            numbers.iter().find(closes).map(|number| (*number, net))
        })
    }

    /// The sockets that are to be ended, and for which ban.
    fn connections(&self, redirected: &BTreeSet<(SocketAddr, u16)>) -> Result<Vec<(Ban, Connection)>, Error> {
        let mut sockets = Sockets::open()?;
        let mut found = Vec::new();
        for protocol in [TCP, UDP] {
            sockets.each(protocol, State::Connected, |connection| {
                let (peer, port) = (connection.peer, connection.local.port());
                let whose = match self.order(peer, protocol, &[port]) {
                    None if redirected.contains(&(peer, port)) => self.any_order(peer),
                    whose => whose,
                };
                if let Some(whose) = whose
                    && found.len() < MOST
                {
                    found.push((whose, *connection));
                }
            })?;
        }
        Ok(found)
    }

    fn any_order(&self, peer: SocketAddr) -> Option<Ban> {
        let nets = self.lengths.iter().filter(|(v6, _)| *v6 == peer.is_ipv6());
        nets.filter_map(|(_, length)| Some(IpNet::new(peer.ip(), *length).ok()?.trunc()))
            .find_map(|net| Some((*self.by_net.get(&net)?.first()?, net)))
    }
}
