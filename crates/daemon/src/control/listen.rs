//! The control socket: a thread for each client, few at a time. When the places are taken, whoever has kept silent for longest
//! (or does not read its answer) makes room: a thousand connections that say nothing keep nobody out.

use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Server;
use super::access::Who;
use super::client::Client;

/// So many clients are served at the same time.
const CLIENTS: usize = 128;
/// So many threads wait for the next client, if no more than so many are being served.
const LISTENING: usize = 2;
/// The stack of each of them, in bytes.
const STACK: usize = 512 * 1024;
/// So long a client has its place for certain: time to send a request.
const GRACE: Duration = Duration::from_millis(100);
/// How long the answer to `stop` may take to get out before the process ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// A client's connection, and whether we wait for it.
pub(super) struct Connection {
    pub(super) stream: UnixStream,
    /// Since when we have been waiting for the client to send or to read; `None` while we carry out what it wants.
    waiting: Mutex<Option<Instant>>,
}

impl Connection {
    pub(super) fn works(&self) {
        self.set(None);
    }

    pub(super) fn waits(&self) {
        self.set(Some(Instant::now()));
    }

    pub(super) fn waits_since(&self, since: Instant) {
        self.set(Some(since));
    }

    fn set(&self, waiting: Option<Instant>) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = waiting;
    }

    fn waiting(&self) -> Option<Instant> {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What clients and the thread that accepts them share.
#[derive(Default)]
pub(super) struct Shared {
    connections: Mutex<Vec<Arc<Connection>>>,
    pub(super) refusing: AtomicBool,
    /// Clients that wait for the end (`stop`), and whether it has come.
    pub(super) stopping: Mutex<Stopping>,
    pub(super) changed: Condvar,
}

#[derive(Default)]
pub(super) struct Stopping {
    pub(super) waiting: usize,
    pub(super) finished: bool,
}

impl Shared {
    /// Takes in a connection if there is a place, or if one can be freed.
    fn takes(&self, connection: &Arc<Connection>) -> bool {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if connections.len() >= CLIENTS {
            let waiting = connections.iter().enumerate();
            let waiting = waiting.filter_map(|(index, connection)| Some((connection.waiting()?, index)));
            match waiting.min() {
                Some((since, index)) if since.elapsed() >= GRACE => {
                    // Its thread reads the end, and ends.
                    let _ = connections.swap_remove(index).stream.shutdown(Shutdown::Both);
                }
                _ => return false,
            }
        }
        connections.push(Arc::clone(connection));
        true
    }

    /// A client has gone.
    pub(super) fn left(&self, connection: &Arc<Connection>) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|other| !Arc::ptr_eq(other, connection));
    }
}

/// Where clients come in. Whoever takes one in serves it as well: that a thread waits already spares the client the time in which
/// one is made.
struct Door {
    socket: UnixListener,
    server: Arc<Server>,
    shared: Arc<Shared>,
    group: bool,
    /// Threads that wait for a client.
    listening: AtomicUsize,
}

impl Door {
    /// One more thread that waits for clients.
    fn post(self: &Arc<Self>) -> std::io::Result<()> {
        self.listening.fetch_add(1, Ordering::Relaxed);
        let door = Arc::clone(self);
        let thread = std::thread::Builder::new().name("f2b/control".into()).stack_size(STACK);
        let posted = thread.spawn(move || door.keep());
        posted.map(drop).inspect_err(|_| _ = self.listening.fetch_sub(1, Ordering::Relaxed))
    }

    /// Takes in and serves one client after the other, while there are not threads enough that wait for one.
    fn keep(self: Arc<Self>) {
        loop {
            let Some(client) = self.client() else { continue };
            // The last one who listened has another to take its place; without a thread the client is dropped.
            if self.listening.fetch_sub(1, Ordering::Relaxed) == 1 && self.post().is_err() {
                self.listening.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            client.serve();
            if self.listening.fetch_add(1, Ordering::Relaxed) >= LISTENING {
                self.listening.fetch_sub(1, Ordering::Relaxed);
                return;
            }
        }
    }

    /// The next client that has a place.
    fn client(&self) -> Option<Client> {
        let Ok((stream, _)) = self.socket.accept() else {
            // Out of descriptors or memory: others will give some back.
            std::thread::sleep(Duration::from_millis(50));
            return None;
        };
        let who = Who::is_at(&stream, self.group);
        let connection = Arc::new(Connection { stream, waiting: Mutex::new(Some(Instant::now())) });
        while !self.shared.takes(&connection) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let (server, shared) = (Arc::clone(&self.server), Arc::clone(&self.shared));
        Some(Client { connection, server, shared, who })
    }
}

/// A handle on the control socket.
pub(crate) struct Control {
    shared: Arc<Shared>,
}

impl Control {
    /// Serves clients in threads of their own from now on. `group`: whether there is one whose members may look.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(socket: UnixListener, server: Arc<Server>, group: bool) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let control = Control { shared: Arc::clone(&shared) };
        let door = Arc::new(Door { socket, server, shared, group, listening: AtomicUsize::new(0) });
        for _ in 0..LISTENING {
            door.post()?;
        }
        Ok(control)
    }

    /// From now on every request is answered with `['SHUTDOWN']`, as Fail2ban does while it ends.
    pub(crate) fn refuse(&self) {
        self.shared.refusing.store(true, Ordering::Release);
    }

    /// Tells those who wait for the end that it has come, and gives their answers time to get out.
    pub(crate) fn finish(&self) {
        let mut stopping = self.shared.stopping.lock().unwrap_or_else(PoisonError::into_inner);
        stopping.finished = true;
        self.shared.changed.notify_all();
        let deadline = Instant::now() + FAREWELL;
        while stopping.waiting > 0 && Instant::now() < deadline {
            let waited = self.shared.changed.wait_timeout(stopping, Duration::from_millis(50));
            stopping = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
