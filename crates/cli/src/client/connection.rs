//! A conversation with the server over its socket.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use portcullis_value::{Exception, Value};
use portcullis_wire::frame;
use portcullis_wire::pickle::{self, Classes, Limits};

/// A longer reply is no reply.
const LONGEST_REPLY: usize = 256 << 20;

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The system's reason.
    #[error("{}", python_error(.0))]
    Io(#[from] io::Error),
    /// What came is no reply of such a server.
    #[error("{0}")]
    Reply(String),
}

/// What a server answers to one request.
#[derive(Debug)]
pub(super) enum Reply {
    /// The command succeeded.
    Done(Value),
    /// It raised something.
    Raised(Exception),
}

pub(super) struct Connection {
    stream: UnixStream,
}

impl Connection {
    /// Connects; `timeout` holds for every later step, too. `None` waits for ever.
    pub(super) fn open(socket: &Path, timeout: Option<Duration>) -> Result<Self, Error> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(timeout)?;
        stream.set_write_timeout(timeout)?;
        Ok(Connection { stream })
    }

    /// Sends one request and waits for its reply.
    pub(super) fn ask(&mut self, request: &Value) -> Result<Reply, Error> {
        self.stream.write_all(&frame::framed(request))?;
        let mut reply = Vec::new();
        let mut chunk = vec![0; 32 * 1024];
        while !frame::is_complete(&reply) {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(io::Error::from_raw_os_error(104).into()),
                Ok(length) => reply.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
            if reply.len() > LONGEST_REPLY {
                return Err(Error::Reply(format!("reply is longer than {LONGEST_REPLY} bytes")));
            }
        }
        let limits = Limits { bytes: LONGEST_REPLY, items: 16 << 20, ..Limits::default() };
        let value = pickle::decode(&reply, Classes::Replies, limits)
            .map_err(|error| Error::Reply(error.to_string()))?;
        understood(value)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A server that is gone already needs no farewell.
        let _ = self.stream.write_all(&[frame::CLOSE, frame::END].concat());
    }
}

fn understood(value: Value) -> Result<Reply, Error> {
    match value {
        Value::Tuple(parts) | Value::List(parts) => match <[Value; 2]>::try_from(parts) {
            Ok([Value::Int(0), value]) => Ok(Reply::Done(value)),
            Ok([_, Value::Exception(exception)]) => Ok(Reply::Raised(exception)),
            Ok([_, other]) => {
                Ok(Reply::Raised(Exception { class: "builtins.Exception".into(), args: vec![other] }))
            }
            // What a server says that is about to end.
            Err(parts) => Err(Error::Reply(Value::List(parts).to_string())),
        },
        // A message about the protocol: it could not read what we sent, or not write what it had to answer.
        Value::Str(text) => Err(Error::Reply(text)),
        other => Err(Error::Reply(format!("unexpected reply {}", other.repr()))),
    }
}

/// `[Errno 111] Connection refused`, as Python has it; and its `timed out`.
fn python_error(error: &io::Error) -> String {
    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
        return "timed out".into();
    }
    match error.raw_os_error() {
        Some(number) => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or(&text);
            format!("[Errno {number}] {text}")
        }
        None => error.to_string(),
    }
}
