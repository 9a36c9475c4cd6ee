//! What can go wrong between us and the kernel's firewall, and what to do about it.

use std::time::Duration;

use rustix::io::Errno;

/// Why the firewall did not do as it was told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The process may not change the firewall.
    #[error("not permitted to change the firewall. Run as root, or give the service CAP_NET_ADMIN")]
    NotPermitted,
    /// The kernel was built without netfilter's netlink, or without nf_tables.
    #[error(
        "the kernel has no nf_tables. Load it with 'modprobe nf_tables', or choose a banaction that does not need it"
    )]
    NoNfTables,
    /// The kernel refused one message of a transaction; nothing of that transaction was done.
    #[error("cannot {what}: {}{}", describe(*.errno), remedy(*.errno, .what))]
    Refused {
        /// What was tried, in `nft`'s words: `add rule inet portcullis guard`.
        what: String,
        /// The kernel's reason.
        errno: Errno,
    },
    /// The kernel did not answer.
    #[error(
        "the kernel did not answer within {0:?}. It may be busy with another program's large ruleset: tried again later"
    )]
    TimedOut(Duration),
    /// The ruleset changed during every attempt to read it.
    #[error(
        "the firewall's {0} changed while it was read, {1} times. Another program rewrites it all the time"
    )]
    Unstable(String, u32),
    /// Answers were lost, since they did not fit the socket's buffer: what was done is unknown.
    #[error("answers of the kernel were lost: read back what is in force")]
    Lost,
    /// Too much for one message.
    #[error("{0} is too long for the kernel")]
    TooLong(String),
    /// The socket itself failed.
    #[error("firewall socket: {0}")]
    Socket(String),
    /// An answer that makes no sense.
    #[error("the kernel's answer to '{0}' is malformed")]
    Malformed(String),
    /// A port or protocol that nobody knows.
    #[error("{0}")]
    Ports(#[from] super::ports::PortError),
    /// What is to become of a packet is not a way to block it.
    #[error(
        "blocktype '{0}' is neither a reject nor a drop: the ban cannot be enforced in another way than by its own action"
    )]
    Blocktype(String),
    /// A program that is needed for reading back.
    #[error("cannot run {0}")]
    Tool(String),
    /// An identity that the packet filter cannot hold.
    #[error("'{0}' is neither an address nor a network: a packet filter cannot ban it")]
    NotAnAddress(String),
}

impl Error {
    /// Whether the thing that was to be changed or read does not exist.
    pub fn is_missing(&self) -> bool {
        matches!(self, Error::Refused { errno: Errno::NOENT, .. })
    }

    /// The errno of a refusal.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Error::Refused { errno, .. } => Some(*errno),
            _ => None,
        }
    }
}

/// The system's words for an error number, as `strerror` gives them.
fn describe(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn remedy(errno: Errno, what: &str) -> &'static str {
    match errno {
        Errno::NOENT if what.starts_with("add rule") => {
            ". The kernel lacks a module for it (nft_reject_inet, nft_ct, …), or the chain or set has gone"
        }
        Errno::OPNOTSUPP if what.starts_with("add rule") || what.starts_with("add chain") => {
            ". The kernel has no support for it (rejecting at prerouting needs Linux 5.9): use blocktype = drop"
        }
        Errno::INVAL if what.starts_with("add element") && what.contains('/') => {
            ". The set holds single addresses only: give it 'flags interval', or use banaction = portcullis"
        }
        Errno::EXIST if what.starts_with("add element") => {
            ". A network around it or within it is in the set already"
        }
        Errno::NFILE | Errno::NOMEM => ". The kernel is short of memory, or the set is full",
        Errno::BUSY => ". Something still refers to it",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_was_tried_why_not_and_what_to_do() {
        let what = "add element inet f2b-table addr-set-sshd { 192.0.2.0/24 }".to_owned();
        let text = Error::Refused { what, errno: Errno::INVAL }.to_string();
        assert_eq!(
            text,
            "cannot add element inet f2b-table addr-set-sshd { 192.0.2.0/24 }: Invalid argument. The set holds single \
             addresses only: give it 'flags interval', or use banaction = portcullis"
        );
        let text = Error::Refused { what: "flush set x".into(), errno: Errno::NOENT }.to_string();
        assert_eq!(text, "cannot flush set x: No such file or directory");
    }
}
