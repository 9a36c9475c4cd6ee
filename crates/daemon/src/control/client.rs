//! One client: its requests are read, carried out and answered, in a thread of their own. It can hold up nobody but itself.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use portcullis_value::Value;
use portcullis_wire::Request;
use portcullis_wire::frame::{Message, Splitter, framed};
use portcullis_wire::pickle::{self, Classes, Limits};
use portcullis_wire::request::{Ours, missing_in};

use super::Server;
use super::access::Who;
use super::listen::{Connection, Shared};

/// How long a client may take for one request, and how long it may read nothing of its answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a client may take to read one answer, however little by little.
const LONGEST_ANSWER: Duration = Duration::from_secs(300);
/// The longest request in bytes: a stream with ten thousand jails is less.
const LONGEST: usize = 64 << 20;
/// After so long without reading its answer a client is one that we wait for.
const STUCK: Duration = Duration::from_millis(100);
/// How often a silent connection is looked at.
const LOOK: Duration = Duration::from_secs(1);

pub(super) struct Client {
    pub(super) connection: Arc<Connection>,
    pub(super) server: Arc<Server>,
    pub(super) shared: Arc<Shared>,
    pub(super) who: Who,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.left(&self.connection);
    }
}

impl Client {
    fn stream(&self) -> &UnixStream {
        &self.connection.stream
    }

    pub(super) fn serve(mut self) {
        let stream = self.stream();
        if stream.set_read_timeout(Some(LOOK)).and(stream.set_write_timeout(Some(STUCK))).is_err() {
            return;
        }
        let mut splitter = Splitter::new(LONGEST);
        let mut buffer = [0; 8192];
        // When the request began that has come in part.
        let mut begun: Option<Instant> = None;
        loop {
            match self.stream().read(&mut buffer) {
                Ok(0) => return,
                Ok(read) => {
                    if let Err(error) = splitter.push(&buffer[..read]) {
                        // Nothing behind a message that is too long can be told apart.
                        let text = format!("PROTO-error: load message failed: {error}");
                        self.server.log().error("asyncserver", text);
                        let _ = self.send(&Value::from(format!("ERROR: {error}")));
                        return;
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return,
            }
            while let Some(message) = splitter.message() {
                let Message::Request(bytes) = message else { return };
                self.connection.works();
                let sent = self.answer(&bytes);
                self.connection.waits();
                begun = None;
                if sent.is_err() {
                    return;
                }
            }
            // A slow writer has so long for the whole request, not for each byte of it.
            if splitter.is_empty() {
                begun = None;
            } else if begun.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                return;
            }
        }
    }

    /// Sends an answer to a client that reads it, at least a little of it from time to time.
    fn send(&self, answer: &Value) -> std::io::Result<()> {
        let bytes = framed(answer);
        let mut rest = &bytes[..];
        let begun = Instant::now();
        let mut moved = begun;
        while !rest.is_empty() {
            match self.stream().write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    rest = &rest[written..];
                    moved = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    // Somebody else may have this place meanwhile.
                    self.connection.waits_since(moved);
                    if moved.elapsed() > PATIENCE {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
            if begun.elapsed() > LONGEST_ANSWER {
                return Err(ErrorKind::TimedOut.into());
            }
        }
        Ok(())
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
        let request = Request::from_value(&message).and_then(|request| {
            self.who.may(&request).inspect_err(|_| {
                let text = format!("refused {} {:.200}", self.who, message.repr());
                self.server.log().warning("server", text);
            })?;
            Ok(request)
        });
        let result = match request {
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
