//! The thread that asks the server: at every interval how things are, and in between what somebody at the screen wants.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use portcullis_value::Value;

use crate::portcullis::answer::{items, number};
use crate::portcullis::log::Listener;
use crate::portcullis::server::{Failure, PATIENCE, Server};

/// So many bans of each jail, and so many networks.
const NEWEST: i64 = 200;
const NETWORKS: i64 = 20;

/// How things are.
pub(super) struct Snapshot {
    pub(super) report: Value,
    /// For each jail its newest bans, and its networks.
    pub(super) bans: Value,
    /// What has happened since the last time.
    pub(super) events: Vec<Value>,
    pub(super) taken: Instant,
}

/// What somebody at the screen wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// How things are, at once.
    Look,
    /// Lift this ban of this jail.
    Unban { address: String, jail: String },
    /// Everything about this address.
    About(String),
}

/// What the thread has to tell.
pub(super) enum Told {
    Snapshot(Box<Snapshot>),
    /// Of [`Question::About`].
    About(String, Value),
    /// One line about what was done.
    Done(String),
    /// The server does not answer.
    Failed(String),
}

impl Snapshot {
    /// Asks for everything.
    ///
    /// # Errors
    /// As [`Server::ask`].
    pub(super) fn take(server: &Server, listener: &mut Listener) -> Result<Self, Failure> {
        let asked = vec![("newest", Value::Int(NEWEST)), ("networks", Value::Int(NETWORKS))];
        Ok(Snapshot {
            report: server.ask(vec!["portcullis-report".into()], PATIENCE)?,
            bans: server.ours("portcullis-bans", asked, PATIENCE)?,
            events: listener.ask(server, 0.0)?,
            taken: Instant::now(),
        })
    }
}

/// A handle on the thread; it ends with the program.
pub(super) struct Asking {
    questions: Sender<Question>,
    told: Receiver<Told>,
}

impl Asking {
    pub(super) fn start(server: Server, interval: Duration) -> std::io::Result<Self> {
        let (questions, asked) = channel();
        // A screen that is not drawn (a stopped terminal) stops the asking, too.
        let (tell, told) = sync_channel(4);
        std::thread::Builder::new()
            .name("top".into())
            .spawn(move || keep_asking(&server, interval, &asked, &tell))?;
        Ok(Asking { questions, told })
    }

    pub(super) fn ask(&self, question: Question) {
        // The thread ends only with us.
        let _ = self.questions.send(question);
    }

    /// What has come, without waiting.
    pub(super) fn told(&self) -> Option<Told> {
        self.told.try_recv().ok()
    }
}

fn keep_asking(server: &Server, interval: Duration, asked: &Receiver<Question>, tell: &SyncSender<Told>) {
    let mut listener = Listener::default();
    let mut next = Instant::now() + interval;
    loop {
        let told = match asked.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(Question::Look) | Err(RecvTimeoutError::Timeout) => {
                next = Instant::now() + interval;
                Snapshot::take(server, &mut listener).map(|snapshot| Told::Snapshot(Box::new(snapshot)))
            }
            Ok(Question::Unban { address, jail }) => {
                // What came of it is seen at once.
                next = Instant::now();
                unban(server, &address, &jail).map(Told::Done)
            }
            Ok(Question::About(address)) => {
                let asked = vec![("addresses", Value::List(vec![address.as_str().into()]))];
                let answer = server.ours("portcullis-banned", asked, PATIENCE);
                answer.map(|answer| {
                    Told::About(address, items(&answer).first().cloned().unwrap_or(Value::None))
                })
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if tell.send(told.unwrap_or_else(|failure| Told::Failed(failure.to_string()))).is_err() {
            return;
        }
    }
}

fn unban(server: &Server, address: &str, jail: &str) -> Result<String, Failure> {
    let list = |text: &str| Value::List(vec![text.into()]);
    let asked = vec![("addresses", list(address)), ("jails", list(jail))];
    let answer = server.ours("portcullis-unban", asked, 2 * PATIENCE)?;
    let lifted: i64 = items(&answer).iter().map(|jail| number(jail, "lifted")).sum();
    Ok(match lifted {
        0 => format!("{address} was not banned in {jail} any more"),
        _ => format!("{address}: the ban in {jail} is lifted"),
    })
}
