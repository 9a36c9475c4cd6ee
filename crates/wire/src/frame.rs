//! Where a message ends on the socket: each is followed by `<F2B_END_COMMAND>`, in both directions.
//!
//! The bytes are looked for in the raw stream, so a message that contains them is cut there, as Fail2ban cuts it.

use memchr::memmem;
use portcullis_value::Value;

/// Stands behind each message.
pub const END: &[u8] = b"<F2B_END_COMMAND>";
/// The message after which the server closes the connection, without an answer.
pub const CLOSE: &[u8] = b"<F2B_CLOSE_COMMAND>";
/// Within so many bytes at the end of what it has received a client looks for [`END`].
const CLIENT_LOOKS_AT: usize = 32;

/// The value as it goes over the socket.
pub fn framed(value: &Value) -> Vec<u8> {
    let mut bytes = crate::pickle::encode(value);
    bytes.extend(END);
    bytes
}

/// Whether a client has received the whole reply. A server sends one reply to one request and then waits.
pub fn is_complete(reply: &[u8]) -> bool {
    let tail = &reply[reply.len().saturating_sub(CLIENT_LOOKS_AT)..];
    memmem::find(tail, END).is_some()
}

/// A message that a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A pickled command. What it holds is not known yet.
    Request(Vec<u8>),
    /// The client wants no more.
    Close,
}

/// A message that is longer than allowed. There is no way to find the next one: close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message is longer than {0} bytes")]
pub struct TooLong(pub usize);

/// Cuts what arrives on a connection into messages.
#[derive(Debug)]
pub struct Splitter {
    buffer: Vec<u8>,
    /// So many bytes hold no beginning of a terminator.
    searched: usize,
    limit: usize,
}

impl Splitter {
    /// A splitter for messages of up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Splitter { buffer: Vec::new(), searched: 0, limit }
    }

    /// Takes what was read. Call [`Splitter::message`] until it has no more before the next call: then no more is held than
    /// the limit and what one call brings.
    ///
    /// # Errors
    /// When a message that has not ended yet is beyond the limit.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        self.buffer.extend_from_slice(bytes);
        if self.end().is_none() && self.buffer.len() > self.limit + END.len() {
            return Err(TooLong(self.limit));
        }
        Ok(())
    }

    /// The next whole message.
    pub fn message(&mut self) -> Option<Message> {
        let end = self.end()?;
        let message: Vec<u8> = self.buffer.drain(..end + END.len()).take(end).collect();
        self.searched = 0;
        Some(if message == CLOSE { Message::Close } else { Message::Request(message) })
    }

    /// Whether nothing of a further message has come yet.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    fn end(&mut self) -> Option<usize> {
        let found = memmem::find(&self.buffer[self.searched..], END);
        if found.is_none() {
            // The last bytes may be the beginning of a terminator.
            self.searched = self.buffer.len().saturating_sub(END.len() - 1);
        }
        found.map(|at| self.searched + at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(chunks: &[&[u8]], limit: usize) -> Result<Vec<Message>, TooLong> {
        let mut splitter = Splitter::new(limit);
        let mut out = Vec::new();
        for chunk in chunks {
            splitter.push(chunk)?;
            out.extend(std::iter::from_fn(|| splitter.message()));
        }
        Ok(out)
    }

    fn request(bytes: &[u8]) -> Message {
        Message::Request(bytes.to_vec())
    }

    #[test]
    fn messages_are_cut_at_the_terminator_wherever_it_stands() {
        let stream = b"one<F2B_END_COMMAND>x<F2B_END_COMMAND><F2B_END_COMMAND>rest";
        assert_eq!(split(&[stream], 100), Ok(vec![request(b"one"), request(b"x"), request(b"")]));
        let close = b"<F2B_CLOSE_COMMAND><F2B_END_COMMAND>";
        assert_eq!(split(&[close], 100), Ok(vec![Message::Close]));
    }

    #[test]
    fn a_message_beyond_the_limit_is_refused() {
        assert!(split(&[&[b'x'; 100], END], 100).is_ok());
        assert_eq!(split(&[&[b'x'; 200]], 100), Err(TooLong(100)));
        let drops: Vec<&[u8]> = vec![b"x"; 200];
        assert_eq!(split(&drops, 100), Err(TooLong(100)));
    }

    #[test]
    fn a_client_looks_for_the_end_at_the_end() {
        assert!(is_complete(&framed(&"pong".into())));
        assert!(!is_complete(b"...<F2B_END_COMMAN"));
        assert!(!is_complete(b"<F2B_END_COMMAND>and so many bytes behind"));
    }

    proptest! {
        #[test]
        fn it_makes_no_difference_how_the_bytes_arrive(
            parts in prop::collection::vec(prop_oneof![
                prop::collection::vec(any::<u8>(), 0..30),
                Just(END.to_vec()),
                Just(CLOSE.to_vec()),
                (0..END.len()).prop_map(|length| END[..length].to_vec()),
            ], 0..12),
            sizes in prop::collection::vec(1_usize..20, 1..50),
        ) {
            let stream = parts.concat();
            let mut rest = &stream[..];
            let mut chunks = Vec::new();
            for size in sizes.iter().cycle() {
                if rest.is_empty() { break }
                let (chunk, after) = rest.split_at(rest.len().min(*size));
                chunks.push(chunk);
                rest = after;
            }
            prop_assert_eq!(split(&chunks, 1000), split(&[&stream], 1000));
        }
    }
}
