//! A jail's thread: lines and orders in, and what they cause carried to the actions, the database and the log.
//!
//! One inbox for orders, one for lines; orders go first. The thread waits for no action (but at its end, and for
//! one that it replaces), for no client and not for the disk.

mod answers;
mod backend;
mod by_hand;
mod calls;
mod changes;
mod definition;
mod effects;
pub(crate) mod explain;
mod outside;
mod prolongs;
mod running;
mod scouts;
mod surroundings;

use std::path::Path;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use indexmap::IndexMap;
use portcullis_jail::{Id, Ticket};
use portcullis_value::{Exception, Value};
use portcullis_wire::request::{Ban, JailGet, JailSet, Late};

use crate::act::worker::States;
use crate::store::Position;
use crate::watch::Means;

pub(crate) use definition::Definition;
use running::Running;
pub(crate) use surroundings::{Surroundings, now};

/// So many batches of lines (of 64 KiB, or of one long line) wait for a jail; then it reads on by its own cursor.
const BATCHES: usize = 8;

/// The answer to an order, and what else to wait for before it is given to the client: a `banip` is answered when the
/// actions have run, as in Fail2ban.
pub(crate) struct Answer {
    pub(crate) value: Result<Value, Exception>,
    pub(crate) carried_out: Option<Receiver<()>>,
    /// When only an action knows the answer, it comes from there; `value` is given should the action end first.
    pub(crate) from_action: Option<Receiver<Result<Value, Exception>>>,
}

impl From<Result<Value, Exception>> for Answer {
    fn from(value: Result<Value, Exception>) -> Self {
        Answer { value, carried_out: None, from_action: None }
    }
}

/// What the process list shows of a jail's thread (15 bytes of it). The system's names of threads end at NUL.
pub(crate) fn thread_name(kind: char, jail: &str) -> String {
    format!("f2b/{kind}.{jail}").replace('\0', "?").chars().take(15).collect()
}

/// What a jail is told and asked.
pub(crate) enum Order {
    Get(JailGet),
    Set(JailSet),
    Status {
        flavor: String,
    },
    /// `[backend, (failed, total), (banned, total)]`
    Stats,
    Start,
    /// Be what this says from now on; bans, tallies and positions stay.
    Become(Box<Definition>),
    /// Lift the ban of this text, or of everybody in this network.
    Unban(String),
    UnbanAll,
    /// Which of these are banned (all when empty).
    Banned(Vec<Late<String>>),
    /// For `portcullis status`.
    Report,
    /// For `portcullis ban`: addresses, time, reason.
    BanByHand(Arc<Ban>),
    /// For `portcullis unban`: the bans of these, or of everybody in these networks.
    UnbanByHand(Arc<[String]>),
    /// For `portcullis banned ADDRESS`: what is known of these; and from the actions, when they get to it, whether their bans
    /// are in force.
    About(Arc<[Id]>, Sender<States>),
    /// For `portcullis banned` and `top`: so many of the newest bans, and of the networks with the most.
    Bans {
        newest: usize,
        networks: usize,
    },
    /// For `portcullis explain`: what makes the jail's judgement.
    Sketch(Sender<explain::Sketch>),
    /// For `portcullis explain`: where these offenders stand.
    Standings(Arc<[Id]>, Sender<Vec<explain::Standing>>),
    /// Lift or leave the bans, stop the actions, and end.
    Stop,
    /// The same, for another jail of this name that goes on with what is left to it.
    Bequeath(Sender<Legacy>),
    /// Begin, when it is time, with what a jail of this name left.
    Inherit(Box<Legacy>),
}

/// What a jail leaves to another of its name that takes its place: its backend changed.
#[derive(Default)]
pub(crate) struct Legacy {
    /// Bans in force, where no database has them.
    tickets: Vec<Ticket>,
    /// How far each log was read.
    positions: IndexMap<Arc<Path>, Position>,
}

pub(crate) struct Envelope {
    pub(crate) order: Order,
    pub(crate) reply: Sender<Answer>,
}

/// A handle on a jail's thread.
#[derive(Clone)]
pub(crate) struct Jailer {
    pub(crate) name: Arc<str>,
    pub(crate) backend: Arc<str>,
    pub(crate) means: Means,
    orders: Sender<Envelope>,
}

impl Jailer {
    /// Starts the thread of a jail. The jail itself starts with [`Order::Start`].
    pub(crate) fn spawn(definition: Definition, surroundings: Surroundings) -> std::io::Result<Self> {
        // Each order comes from a client that waits for its answer, and clients are few.
        let (orders, inbox) = unbounded();
        let (lines, read) = bounded(BATCHES);
        let name = Arc::clone(definition.name());
        let backend = definition.backend.as_str().into();
        let means = definition.means;
        let running = Running::new(definition, surroundings, lines);
        std::thread::Builder::new()
            .name(thread_name('f', &name))
            .spawn(move || running.run(&inbox, &read))?;
        Ok(Jailer { name, backend, means, orders })
    }

    /// Gives an order without waiting; the answer comes through the channel, which closes should the jail end first.
    pub(crate) fn order(&self, order: Order) -> Receiver<Answer> {
        let (reply, answer) = bounded(1);
        // A jail that has ended drops the envelope, and the receiver sees that.
        let _ = self.orders.send(Envelope { order, reply });
        answer
    }

    /// Gives an order and waits until it was carried out.
    ///
    /// # Errors
    /// The jail's own, or that it ended meanwhile.
    pub(crate) fn ask(&self, order: Order) -> Result<Value, Exception> {
        let gone = || Exception {
            class: "fail2ban.exceptions.UnknownJailException".to_owned(),
            args: vec![Value::from(&*self.name)],
        };
        let answer = self.order(order).recv().map_err(|_| gone())?;
        if let Some(carried_out) = answer.carried_out {
            // Closed when the last action is through; every action has its own time limit.
            let _ = carried_out.recv();
        }
        answer.from_action.and_then(|from| from.recv().ok()).unwrap_or(answer.value)
    }
}

#[cfg(test)]
mod tests {
    use super::thread_name;

    #[test]
    fn a_jail_of_any_name_gets_a_thread() {
        assert_eq!(thread_name('f', "sshd"), "f2b/f.sshd");
        assert_eq!(thread_name('a', "a-name-that-is-too-long"), "f2b/a.a-name-th");
        let name = thread_name('f', "a\0b");
        assert_eq!(name, "f2b/f.a?b");
        std::thread::Builder::new().name(name).spawn(|| ()).unwrap().join().unwrap();
    }
}
