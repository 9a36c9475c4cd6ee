//! A netlink socket for questions to sock_diag and conntrack.

use std::time::Instant;

use netlink_sys::SocketAddr;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::act::nft::Error;
use crate::act::nft::decode::{Message, messages};
use crate::act::nft::encode::Writer;
use crate::act::nft::socket::{ANSWER_LIMIT, receive, refusal, socket_error};
use crate::act::nft::uapi::{NLMSG_DONE, NLMSG_ERROR};

/// The kernel makes dump messages of 32 KiB at most.
const BUFFER: usize = 64 << 10;

/// A socket to one of the kernel's subsystems.
#[derive(Debug)]
pub(super) struct Talk {
    netlink: netlink_sys::Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Talk {
    pub(super) fn open(protocol: isize) -> Result<Self, Error> {
        let failed = |error: std::io::Error| socket_error(&error);
        let mut netlink = netlink_sys::Socket::new(protocol).map_err(failed)?;
        netlink.bind_auto().map_err(failed)?;
        netlink.connect(&SocketAddr::new(0, 0)).map_err(failed)?;
        // Refusals need not repeat what was refused. Old kernels do it all the same.
        let _ = netlink.set_cap_ack(true);
        Ok(Talk { netlink, sequence: 1, buffer: vec![0; BUFFER] })
    }

    /// Asks for a list, and visits all that is on it.
    pub(super) fn dump(
        &mut self,
        what: &str,
        request: Writer,
        mut visit: impl FnMut(&Message<'_>),
    ) -> Result<(), Error> {
        let sequence = self.send(request)?;
        loop {
            let deadline = Instant::now() + ANSWER_LIMIT;
            for answer in messages(receive(&self.netlink, &mut self.buffer, deadline)?) {
                if answer.sequence != sequence {
                    continue;
                }
                match answer.kind {
                    NLMSG_DONE | NLMSG_ERROR if answer.code() != 0 => {
                        return Err(refusal(answer.code(), what.to_owned()));
                    }
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => {}
                    _ => visit(&answer),
                }
            }
        }
    }

    /// Wants something done, and waits until it is.
    pub(super) fn order(&mut self, what: &str, request: Writer) -> Result<(), Error> {
        let sequence = self.send(request)?;
        let deadline = Instant::now() + ANSWER_LIMIT;
        loop {
            for answer in messages(receive(&self.netlink, &mut self.buffer, deadline)?) {
                if answer.sequence == sequence && answer.kind == NLMSG_ERROR {
                    return match answer.code() {
                        0 => Ok(()),
                        code => Err(refusal(code, what.to_owned())),
                    };
                }
            }
        }
    }

    fn send(&mut self, mut request: Writer) -> Result<u32, Error> {
        self.drain()?;
        self.sequence = self.sequence.wrapping_add(1).max(1);
        request.number(0, self.sequence);
        loop {
            match rustix::net::send(&self.netlink, request.bytes(), SendFlags::empty()) {
                Ok(_) => return Ok(self.sequence),
                Err(Errno::INTR) => {}
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
}
