//! A client of the control socket that sends bytes as they are: what a test wants to say, no more and no less.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::Peer;

/// Stands behind each message, in both directions.
const END: &[u8] = b"<F2B_END_COMMAND>";
/// Generous: a loaded machine is slow, a server that does not answer never does.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to a peer's server.
pub struct Socket(UnixStream);

impl Socket {
    /// Connects to the server of this peer.
    ///
    /// # Panics
    /// If nobody listens.
    pub fn to(peer: &Peer) -> Self {
        let stream = UnixStream::connect(peer.path("f2b.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// Sends one message and returns the answer to it, both without what marks their end. `None`: the server hung up.
    ///
    /// # Panics
    /// If no answer comes within half a minute.
    pub fn ask(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        self.0.write_all(&[message, END].concat()).ok()?;
        let mut answer = Vec::new();
        let mut part = [0; 8192];
        while !answer.ends_with(END) {
            match self.0.read(&mut part) {
                Ok(0) => return None,
                Ok(length) => answer.extend(&part[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no answer: {error}"),
            }
        }
        answer.truncate(answer.len() - END.len());
        Some(answer)
    }
}
