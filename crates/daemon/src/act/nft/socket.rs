//! The netlink socket: transactions, requests and dumps, each with a time limit on the answer.
//!
//! The kernel carries out a request within the `send` call. It cannot be interrupted there, so the limit counts for
//! the answers; a transaction waits in `send` for another program's transaction to end (milliseconds, as measured).

use std::time::{Duration, Instant};

use netlink_sys::SocketAddr;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, sockopt};

use super::batch::Batch;
use super::decode::{self, Message, messages};
use super::encode::Writer;
use super::error::Error;
use super::uapi::{
    NETLINK_NETFILTER, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, attr,
    message,
};

/// How long the kernel may take to answer a request.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How often a dump is repeated when the ruleset changes meanwhile.
const DUMP_ATTEMPTS: u32 = 8;
/// What we ask for as the send buffer. The kernel silently gives less (`wmem_max`) unless we are the true root.
const SEND_BUFFER: usize = 4 << 20;
/// A transaction larger than this brings no more speed.
const BATCH_LIMIT: usize = 2 << 20;
/// Answers fit: the kernel makes dump messages of 32 KiB at most.
const RECEIVE_BUFFER: usize = 256 << 10;

/// A socket to the kernel's netfilter. Owned by one thread.
#[derive(Debug)]
pub struct Socket {
    netlink: netlink_sys::Socket,
    port: u32,
    sequence: u32,
    batch_limit: usize,
    /// The last generation that we know of.
    seen: u32,
    foreign: u64,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket, and asks the kernel whether it has nf_tables.
    ///
    /// # Errors
    /// [`Error::NotPermitted`] without CAP_NET_ADMIN, [`Error::NoNfTables`] when the kernel has none.
    pub fn open() -> Result<Self, Error> {
        let (netlink, port) = bound()?;
        // Refusals would carry the whole refused message, which does not fit the receive buffer.
        netlink.set_cap_ack(true).map_err(|error| socket_error(&error))?;
        let granted = sockopt::set_socket_send_buffer_size_force(&netlink, SEND_BUFFER)
            .or_else(|_| sockopt::set_socket_send_buffer_size(&netlink, SEND_BUFFER))
            .and_then(|()| sockopt::socket_send_buffer_size(&netlink))
            .map_err(|error| socket_error(&error.into()))?;
        // Best effort: errors of many messages need room.
        let _ = sockopt::set_socket_recv_buffer_size_force(&netlink, 1 << 20);
        let mut socket = Socket {
            netlink,
            port,
            sequence: 1,
            batch_limit: (granted / 2).min(BATCH_LIMIT),
            seen: 0,
            foreign: 0,
            buffer: vec![0; RECEIVE_BUFFER],
        };
        match socket.generation() {
            Err(Error::Refused { errno: Errno::INVAL | Errno::OPNOTSUPP, .. }) => Err(Error::NoNfTables),
            Err(error) => Err(error),
            Ok(generation) => {
                // A number that no earlier socket of ours had, unless nothing has changed since.
                socket.foreign = u64::from(generation) << 32;
                Ok(socket)
            }
        }
    }

    /// The kernel's number for this socket: events that we caused ourselves bear it.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// How many bytes one transaction may have.
    pub(super) fn batch_limit(&self) -> usize {
        self.batch_limit
    }

    /// The number of the ruleset's present generation: every transaction of anybody increases it.
    ///
    /// # Errors
    /// As any request.
    pub fn generation(&mut self) -> Result<u32, Error> {
        let mut generation = None;
        self.request(
            "get generation",
            message::GETGEN,
            0,
            |_| {},
            |answer| generation = read_generation(answer),
        )?;
        let generation = generation.ok_or_else(|| Error::Malformed("get generation".into()))?;
        self.notice(generation, self.seen);
        Ok(generation)
    }

    /// How often we found that others had changed the ruleset. While it stays the same, what was read stays true.
    pub(super) fn foreign_changes(&self) -> u64 {
        self.foreign
    }

    fn notice(&mut self, generation: u32, expected: u32) {
        if generation != expected {
            self.foreign += 1;
        }
        self.seen = generation;
    }

    /// Carries out a transaction: all of it or nothing.
    ///
    /// # Errors
    /// [`Error::Refused`] tells the first message that the kernel refused.
    pub(super) fn commit(&mut self, mut batch: Batch) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let first = self.next_sequence(batch.len() as u32 + 2);
        batch.seal(first)?;
        self.drain()?;
        self.send(batch.bytes(), || batch.summary())?;
        // No acknowledgement is asked for: each message's own would overflow the buffer, and one for the end of the
        // batch alone is known to recent kernels only. The answer to a harmless question comes after all refusals.
        let mut refused = None;
        let mut lost = false;
        let last = self.ask(message::GETGEN, NLM_F_REQUEST, 0, |_| {}, "get generation")?;
        let deadline = Instant::now() + ANSWER_LIMIT;
        let generation = 'answered: loop {
            let answers = match receive(&self.netlink, &mut self.buffer, deadline) {
                Ok(answers) => answers,
                Err(Error::Lost) => {
                    lost = true;
                    continue;
                }
                Err(error) => return Err(error),
            };
            for answer in messages(answers) {
                if answer.sequence == last {
                    break 'answered read_generation(&answer).unwrap_or(0);
                }
                if answer.kind == NLMSG_ERROR && answer.code() != 0 && refused.is_none() {
                    let index = answer.sequence.wrapping_sub(first) as usize;
                    refused = Some(refusal(answer.code(), batch.what(index)));
                }
            }
        };
        // Every commit is one generation; the kernel leaves 0 out.
        let ours = if refused.is_some() { self.seen } else { self.seen.wrapping_add(1).max(1) };
        self.notice(generation, ours);
        match refused {
            Some(error) => Err(error),
            None if lost => Err(Error::Lost),
            None => Ok(()),
        }
    }

    /// Asks for one thing.
    pub(super) fn request(
        &mut self,
        what: &str,
        kind: u16,
        family: u8,
        body: impl FnOnce(&mut Writer),
        mut visit: impl FnMut(&Message<'_>),
    ) -> Result<(), Error> {
        self.drain()?;
        let sequence = self.ask(kind, NLM_F_REQUEST, family, body, what)?;
        let deadline = Instant::now() + ANSWER_LIMIT;
        loop {
            for answer in messages(receive(&self.netlink, &mut self.buffer, deadline)?) {
                if answer.sequence != sequence {
                    continue;
                }
                if answer.kind == NLMSG_ERROR && answer.code() != 0 {
                    return Err(refusal(answer.code(), what.to_owned()));
                }
                if answer.kind != NLMSG_ERROR {
                    visit(&answer);
                }
                return Ok(());
            }
        }
    }

    /// Asks a question whose last answer is an error number, 0 for yes; `visit` is shown what comes before.
    pub(super) fn question(
        &mut self,
        what: &str,
        kind: u16,
        family: u8,
        body: impl FnOnce(&mut Writer),
        mut visit: impl FnMut(&Message<'_>),
    ) -> Result<i32, Error> {
        self.drain()?;
        let sequence = self.ask(kind, NLM_F_REQUEST | NLM_F_ACK, family, body, what)?;
        let deadline = Instant::now() + ANSWER_LIMIT;
        loop {
            for answer in messages(receive(&self.netlink, &mut self.buffer, deadline)?) {
                match (answer.sequence == sequence, answer.kind) {
                    (true, NLMSG_ERROR) => return Ok(answer.code().saturating_neg()),
                    (true, _) => visit(&answer),
                    (false, _) => {}
                }
            }
        }
    }

    /// Asks about each of some things in one go. The answers are error numbers in the order of the questions, 0 for yes.
    pub(super) fn questions<T>(
        &mut self,
        what: &str,
        kind: u16,
        family: u8,
        about: &[T],
        body: impl Fn(&mut Writer, &T),
    ) -> Result<Vec<i32>, Error> {
        if about.is_empty() {
            return Ok(Vec::new());
        }
        self.drain()?;
        let first = self.next_sequence(about.len() as u32);
        let mut writer = Writer::default();
        for (sequence, one) in (first..).zip(about) {
            let start = writer.len();
            writer.message(kind, NLM_F_REQUEST | NLM_F_ACK, family, 0, |w| body(w, one));
            writer.number(start, sequence);
        }
        if writer.too_long() {
            return Err(Error::TooLong(what.to_owned()));
        }
        self.send(writer.bytes(), || what.to_owned())?;
        let deadline = Instant::now() + ANSWER_LIMIT;
        let mut codes = vec![None; about.len()];
        let mut left = about.len();
        while left > 0 {
            for answer in messages(receive(&self.netlink, &mut self.buffer, deadline)?) {
                let at = answer.sequence.wrapping_sub(first) as usize;
                let code = Some(answer.code().saturating_neg()).filter(|_| answer.kind == NLMSG_ERROR);
                if let (Some(slot @ None), Some(code)) = (codes.get_mut(at), code) {
                    *slot = Some(code);
                    left -= 1;
                }
            }
        }
        Ok(codes.into_iter().flatten().collect())
    }

    /// Reads all there is of something, consistently: begun again when the ruleset changes meanwhile, since a dump
    /// during a write loses or repeats entries without telling. `fresh` makes what `visit` fills in.
    pub(super) fn dump<T>(
        &mut self,
        what: &str,
        kind: u16,
        family: u8,
        body: impl Fn(&mut Writer),
        mut fresh: impl FnMut() -> T,
        mut visit: impl FnMut(&mut T, &Message<'_>),
    ) -> Result<T, Error> {
        for _ in 0..DUMP_ATTEMPTS {
            let before = self.generation()?;
            let mut all = fresh();
            let whole = match self.dump_once(what, kind, family, &body, |answer| visit(&mut all, answer)) {
                Ok(whole) => whole,
                Err(Error::Lost | Error::Refused { errno: Errno::INTR | Errno::AGAIN, .. }) => false,
                Err(error) => return Err(error),
            };
            if whole && self.generation()? == before {
                return Ok(all);
            }
        }
        Err(Error::Unstable(what.to_owned(), DUMP_ATTEMPTS))
    }

    fn dump_once(
        &mut self,
        what: &str,
        kind: u16,
        family: u8,
        body: impl FnOnce(&mut Writer),
        mut visit: impl FnMut(&Message<'_>),
    ) -> Result<bool, Error> {
        self.drain()?;
        let sequence = self.ask(kind, NLM_F_REQUEST | NLM_F_DUMP, family, body, what)?;
        let mut whole = true;
        loop {
            // The limit counts from the last part: a million elements take their time.
            let deadline = Instant::now() + ANSWER_LIMIT;
            for answer in messages(receive(&self.netlink, &mut self.buffer, deadline)?) {
                if answer.sequence != sequence {
                    continue;
                }
                whole &= answer.flags & NLM_F_DUMP_INTR == 0;
                match answer.kind {
                    NLMSG_DONE | NLMSG_ERROR if answer.code() != 0 => {
                        return Err(refusal(answer.code(), what.to_owned()));
                    }
                    NLMSG_DONE => return Ok(whole),
                    NLMSG_ERROR => {}
                    _ => visit(&answer),
                }
            }
        }
    }

    fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        family: u8,
        body: impl FnOnce(&mut Writer),
        what: &str,
    ) -> Result<u32, Error> {
        let sequence = self.next_sequence(1);
        let mut writer = Writer::default();
        writer.message(kind, flags, family, 0, body);
        writer.number(0, sequence);
        if writer.too_long() {
            return Err(Error::TooLong(what.to_owned()));
        }
        self.send(writer.bytes(), || what.to_owned())?;
        Ok(sequence)
    }

    fn send(&self, bytes: &[u8], what: impl Fn() -> String) -> Result<(), Error> {
        loop {
            match rustix::net::send(&self.netlink, bytes, SendFlags::empty()) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::PERM | Errno::ACCESS) => return Err(Error::NotPermitted),
                Err(Errno::MSGSIZE) => return Err(Error::TooLong(what())),
                Err(error) => return Err(socket_error(&error.into())),
            }
        }
    }

    /// Throws away answers to what was asked before and given up.
    fn drain(&mut self) -> Result<(), Error> {
        loop {
            match rustix::net::recv(&self.netlink, &mut self.buffer[..], RecvFlags::DONTWAIT) {
                Ok(_) | Err(Errno::INTR | Errno::NOBUFS) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(socket_error(&error.into())),
            }
        }
    }

    fn next_sequence(&mut self, count: u32) -> u32 {
        // 0 is what events bear.
        let first = if self.sequence > u32::MAX - count { 1 } else { self.sequence };
        self.sequence = first + count;
        first
    }
}

/// A new socket with a port number of the kernel's choice.
pub(super) fn bound() -> Result<(netlink_sys::Socket, u32), Error> {
    let mut socket =
        netlink_sys::Socket::new(NETLINK_NETFILTER).map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT) => Error::NoNfTables,
            Some(Errno::PERM | Errno::ACCESS) => Error::NotPermitted,
            _ => socket_error(&error),
        })?;
    let address = socket.bind_auto().map_err(|error| socket_error(&error))?;
    socket.connect(&SocketAddr::new(0, 0)).map_err(|error| socket_error(&error))?;
    Ok((socket, address.port_number()))
}

/// The next datagram.
pub(in crate::act) fn receive<'b>(
    socket: &netlink_sys::Socket,
    buffer: &'b mut [u8],
    deadline: Instant,
) -> Result<&'b [u8], Error> {
    loop {
        match rustix::net::recv(socket, &mut *buffer, RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
            Ok((_, length)) if length > buffer.len() => return Err(Error::Lost),
            Ok((_, length)) => return Ok(&buffer[..length]),
            Err(Errno::INTR) => {}
            Err(Errno::NOBUFS) => return Err(Error::Lost),
            Err(Errno::AGAIN) => wait(socket, deadline)?,
            Err(error) => return Err(socket_error(&error.into())),
        }
    }
}

/// Waits until something can be received.
pub(super) fn wait(socket: &netlink_sys::Socket, deadline: Instant) -> Result<(), Error> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::TimedOut(ANSWER_LIMIT));
        }
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        match poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&left)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(socket_error(&error.into())),
        }
    }
}

fn read_generation(answer: &Message<'_>) -> Option<u32> {
    answer.attributes().find_kind(attr::generation::ID).and_then(decode::be32)
}

pub(in crate::act) fn refusal(code: i32, what: String) -> Error {
    // Beyond are subsystems' own numbers, which are no errno.
    let number = Some(code.saturating_neg()).filter(|number| (1..4096).contains(number));
    match number.map_or(Errno::PROTO, Errno::from_raw_os_error) {
        Errno::PERM | Errno::ACCESS => Error::NotPermitted,
        errno => Error::Refused { what, errno },
    }
}

pub(in crate::act) fn socket_error(error: &std::io::Error) -> Error {
    Error::Socket(error.to_string())
}
