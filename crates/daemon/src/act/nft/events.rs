//! Foreign changes of the ruleset, told by the kernel as they happen.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::decode::{messages, text};
use super::error::Error;
use super::socket::{bound, receive, socket_error};
use super::uapi::{NFNLGRP_NFTABLES, attr, message};

/// What an event socket has heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Another program has changed the ruleset; its name as the kernel knows it (`nft`, 15 bytes at most).
    Foreign(String),
    /// So much was changed that the kernel gave up telling: compare everything.
    Lost,
}

/// A subscription to changes of the ruleset, on a socket of its own.
///
/// While it is subscribed, a bulk restore is several times slower: [`Ears::close`] before it, [`Ears::open`] after it.
#[derive(Debug)]
pub struct Events {
    socket: Arc<netlink_sys::Socket>,
    own: Vec<u32>,
    buffer: Vec<u8>,
}

/// The membership of an event socket in the kernel's group.
#[derive(Clone, Debug)]
pub struct Ears(Arc<netlink_sys::Socket>);

impl Ears {
    /// Stops listening, for the time of a bulk change of our own. What others do meanwhile is not heard: verify after
    /// [`Ears::open`].
    ///
    /// # Errors
    /// [`Error::Socket`]
    pub fn close(&self) -> Result<(), Error> {
        self.0.drop_membership(NFNLGRP_NFTABLES).map_err(|error| socket_error(&error))
    }

    /// Listens again.
    ///
    /// # Errors
    /// [`Error::Socket`]
    pub fn open(&self) -> Result<(), Error> {
        self.0.add_membership(NFNLGRP_NFTABLES).map_err(|error| socket_error(&error))
    }
}

impl Events {
    /// Subscribes. `own` are the [`port`](super::Firewall::port) numbers of our own sockets: what they do is not told.
    ///
    /// # Errors
    /// [`Error::NotPermitted`], [`Error::NoNfTables`].
    pub fn subscribe(own: &[u32]) -> Result<Self, Error> {
        let (socket, _) = bound()?;
        // More room for bursts, where the kernel grants it; what does not fit is told as lost.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 4 << 20);
        let events = Events { socket: Arc::new(socket), own: own.to_vec(), buffer: vec![0; 256 << 10] };
        events.ears().open()?;
        Ok(events)
    }

    /// What stops the listening for a while, from another thread too.
    pub fn ears(&self) -> Ears {
        Ears(Arc::clone(&self.socket))
    }

    /// Waits up to `limit` for a foreign change. Several at once are told as one.
    ///
    /// # Errors
    /// [`Error::Socket`]
    pub fn changed(&mut self, limit: Duration) -> Result<Option<Change>, Error> {
        let deadline = Instant::now() + limit;
        let mut change = None;
        loop {
            // Once something was heard, only what is there already is taken along.
            let until = if change.is_some() { Instant::now() } else { deadline };
            match receive(&self.socket, &mut self.buffer, until) {
                Ok(datagram) => {
                    for event in messages(datagram) {
                        // Every commit ends with one of these; they tell who made it.
                        if event.kind == message::NEWGEN && !self.own.contains(&event.port) {
                            let name = event.attributes().find_kind(attr::generation::PROC_NAME).map(text);
                            change.get_or_insert(Change::Foreign(name.unwrap_or_default()));
                        }
                    }
                }
                Err(Error::Lost) => change = Some(Change::Lost),
                Err(Error::TimedOut(_)) => return Ok(change),
                Err(error) => return Err(error),
            }
        }
    }
}
