//! The control socket: one short-lived thread for each client, few at a time, none of which can hold up the others.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use portcullis_value::Value;
use portcullis_wire::Request;
use portcullis_wire::frame::{Message, Splitter, framed};
use portcullis_wire::pickle::{self, Classes, Limits};
use portcullis_wire::request::{Ours, missing_in};

use super::Server;

/// So many clients are served at the same time; more wait in the socket's queue.
const CLIENTS: usize = 128;
/// With more clients than this, those that say nothing are sent away.
const CROWDED: usize = 32;
/// How long a client may take for one request, and for reading one answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest request in bytes: a stream with ten thousand jails is less.
const LONGEST: usize = 64 << 20;
/// How often a silent connection is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long the answer to `stop` may take to get out before the process ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// What clients and the thread that accepts them share.
#[derive(Default)]
struct Shared {
    clients: AtomicUsize,
    refusing: AtomicBool,
    /// Clients that wait for the end (`stop`), and whether it has come.
    stopping: Mutex<Stopping>,
    changed: Condvar,
}

#[derive(Default)]
struct Stopping {
    waiting: usize,
    finished: bool,
}

/// A handle on the control socket.
pub(crate) struct Control {
    shared: Arc<Shared>,
}

impl Control {
    /// Serves clients in threads of their own from now on.
    pub(crate) fn start(listener: UnixListener, server: Arc<Server>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let control = Control { shared: Arc::clone(&shared) };
        std::thread::Builder::new().name("f2b/control".into()).spawn(move || {
            loop {
                while shared.clients.load(Ordering::Acquire) >= CLIENTS {
                    std::thread::sleep(Duration::from_millis(5));
                }
                let Ok((stream, _)) = listener.accept() else {
                    // Out of descriptors or memory: others will give some back.
                    std::thread::sleep(Duration::from_millis(50));
                    continue;
                };
                shared.clients.fetch_add(1, Ordering::AcqRel);
                let client = Client { stream, server: Arc::clone(&server), shared: Arc::clone(&shared) };
                let spawned = std::thread::Builder::new()
                    .name("f2b/client".into())
                    .stack_size(512 * 1024)
                    .spawn(move || client.serve());
                if spawned.is_err() {
                    shared.clients.fetch_sub(1, Ordering::AcqRel);
                }
            }
        })?;
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

struct Client {
    stream: UnixStream,
    server: Arc<Server>,
    shared: Arc<Shared>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.clients.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Client {
    fn serve(mut self) {
        let prepared =
            self.stream.set_read_timeout(Some(LOOK)).and(self.stream.set_write_timeout(Some(PATIENCE)));
        if prepared.is_err() {
            return;
        }
        let mut splitter = Splitter::new(LONGEST);
        let mut buffer = [0; 8192];
        let mut last = Instant::now();
        // Part of a request has come.
        let mut pending = false;
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return,
                Ok(read) => {
                    if !pending {
                        last = Instant::now();
                    }
                    pending = true;
                    if let Err(error) = splitter.push(&buffer[..read]) {
                        // Nothing behind a message that is too long can be told apart.
                        let text = format!("PROTO-error: load message failed: {error}");
                        self.server.log().error("asyncserver", text);
                        let _ = self.send(&Value::from(format!("ERROR: {error}")));
                        return;
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    let crowded = self.shared.clients.load(Ordering::Acquire) > CROWDED;
                    if last.elapsed() > PATIENCE && (crowded || pending) {
                        return;
                    }
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return,
            }
            while let Some(message) = splitter.message() {
                let Message::Request(bytes) = message else { return };
                let sent = self.answer(&bytes);
                last = Instant::now();
                pending = !splitter.is_empty();
                if sent.is_err() {
                    return;
                }
            }
            // A slow writer has so long for the whole request, not for each byte of it.
            if pending && last.elapsed() > PATIENCE {
                return;
            }
        }
    }

    fn send(&mut self, answer: &Value) -> std::io::Result<()> {
        self.stream.write_all(&framed(answer))
    }

    fn answer(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if self.shared.refusing.load(Ordering::Acquire) {
            return self.send(&Value::List(vec!["SHUTDOWN".into()]));
        }
        let message = match pickle::decode(bytes, Classes::Refused, Limits::default()) {
            Ok(message) => message,
            Err(error) => {
                let text = format!("PROTO-error: load message failed: {error}");
                self.server.log().error("asyncserver", text);
                return self.send(&Value::from(format!("ERROR: {error}")));
            }
        };
        let result = match Request::from_value(&message) {
            Ok(Request::Stop) => {
                self.server.request_stop();
                return self.farewell(Value::None);
            }
            Ok(Request::Ours(Ours::Restart)) => {
                self.server.request_restart();
                return self.farewell(self.server.is_configured_by_client().into());
            }
            Ok(request) => self.server.execute(request),
            Err(exception) => Err(exception),
        };
        self.send(&match result {
            Ok(value) => Value::Tuple(vec![Value::Int(0), value]),
            Err(exception) => {
                let exception = missing_in(&message, exception);
                self.server.log_failed(&message, &exception);
                Value::Tuple(vec![Value::Int(1), Value::Exception(exception)])
            }
        })
    }

    /// A stop is answered when everything is gone.
    fn farewell(&mut self, answer: Value) -> std::io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let mut stopping = shared.stopping.lock().unwrap_or_else(PoisonError::into_inner);
        stopping.waiting += 1;
        while !stopping.finished {
            stopping = shared.changed.wait(stopping).unwrap_or_else(PoisonError::into_inner);
        }
        let sent = self.send(&Value::Tuple(vec![Value::Int(0), answer]));
        stopping.waiting -= 1;
        shared.changed.notify_all();
        sent
    }
}
