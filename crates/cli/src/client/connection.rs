//! A conversation with the server over its socket.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use portcullis_value::{Exception, Value};
use portcullis_wire::frame;
use portcullis_wire::pickle::{self, Classes, Limits};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A longer reply is no reply.
const LONGEST_REPLY: usize = 256 << 20;
/// What takes no longer is answered at once.
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The system's reason.
    #[error("{}", python_error(.0))]
    Io(#[from] io::Error),
    /// What came is no reply of such a server.
    #[error("{0}")]
    Reply(String),
}

/// What a server answers to one request.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The command succeeded.
    Done(Value),
    /// It raised something.
    Raised(Exception),
}

pub(crate) struct Connection {
    stream: UnixStream,
}

impl Connection {
    /// Connects; `timeout` holds for every later step, too. `None` waits for ever.
    pub(crate) fn open(socket: &Path, timeout: Option<Duration>) -> Result<Self, Error> {
        let stream = UnixStream::connect(socket)?;
        if timeout.is_some() {
            stream.set_read_timeout(timeout)?;
            stream.set_write_timeout(timeout)?;
        }
        Ok(Connection { stream })
    }

    /// Sends one request and waits for its reply. Calls `at_length` when it does not come at once.
    pub(crate) fn ask_patiently(
        &mut self,
        request: &Value,
        at_length: impl FnOnce(),
    ) -> Result<Reply, Error> {
        self.stream.write_all(&frame::framed(request))?;
        let mut reply = [PollFd::new(&self.stream, PollFlags::IN)];
        if !matches!(poll(&mut reply, Some(&AT_ONCE)), Ok(1..)) {
            at_length();
        }
        self.reply()
    }

    /// Sends one request and waits for its reply.
    pub(crate) fn ask(&mut self, request: &Value) -> Result<Reply, Error> {
        self.stream.write_all(&frame::framed(request))?;
        self.reply()
    }

    fn reply(&mut self) -> Result<Reply, Error> {
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

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// What a client gets that asks `['ping']` of a server which does this with the connection.
    fn asked(server: impl FnOnce(UnixStream) + Send + 'static) -> Result<Reply, Error> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || server(listener.accept().unwrap().0));
        let mut connection = Connection::open(&path, Some(Duration::from_millis(300)))?;
        let reply = connection.ask(&Value::List(vec!["ping".into()]));
        drop(connection);
        server.join().unwrap();
        reply
    }

    /// Reads the request and writes these bytes.
    fn answering(bytes: &'static [u8]) -> impl FnOnce(UnixStream) {
        move |mut stream| {
            let mut request = [0; 1000];
            let length = stream.read(&mut request).unwrap();
            assert!(request[..length].ends_with(frame::END));
            stream.write_all(bytes).unwrap();
        }
    }

    #[test]
    fn a_reply_may_come_in_pieces() {
        let reply = asked(|mut stream| {
            for piece in frame::framed(&Value::Tuple(vec![Value::Int(0), "pong".into()])).chunks(3) {
                stream.write_all(piece).unwrap();
            }
        });
        assert!(matches!(reply, Ok(Reply::Done(pong)) if pong.as_str() == Some("pong")));
    }

    #[test]
    fn a_server_that_misbehaves_is_an_error_not_a_hang() {
        let said = |server: Box<dyn FnOnce(UnixStream) + Send>| asked(server).unwrap_err().to_string();
        assert_eq!(said(Box::new(answering(b"hello<F2B_END_COMMAND>"))), "Memo value not found at index 101");
        assert_eq!(said(Box::new(answering(b"\x80\x05abc"))), "[Errno 104] Connection reset by peer");
        assert_eq!(said(Box::new(answering(b"]\x94\x8c\x08SHUTDOWNa.<F2B_END_COMMAND>"))), "['SHUTDOWN']");
        assert_eq!(said(Box::new(answering(b"\x8c\x05ERROR.<F2B_END_COMMAND>"))), "ERROR");
        assert_eq!(
            said(Box::new(answering(b"cos\nsystem\n(U\x02idtR.<F2B_END_COMMAND>"))),
            "a pickle must hold plain data, not os.system"
        );
        let silent = |stream| {
            std::thread::sleep(Duration::from_millis(600));
            drop::<UnixStream>(stream);
        };
        assert_eq!(said(Box::new(silent)), "timed out");
    }

    #[test]
    fn nobody_there_has_python_s_words() {
        let directory = tempfile::tempdir().unwrap();
        let missing = Connection::open(&directory.path().join("socket"), None).err().unwrap();
        assert_eq!(missing.to_string(), "[Errno 2] No such file or directory");
    }
}
