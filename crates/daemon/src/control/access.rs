//! Who may do what over the control socket: root and the server's own user everything, the members of `socketgroup` may look.
//!
//! The socket's mode decides who can connect, as in Fail2ban; the kernel tells who did (`SO_PEERCRED`).

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use portcullis_value::Exception;
use portcullis_wire::Request;
use portcullis_wire::request::{JailGet, Ours};

/// What a client may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everything.
    Full,
    /// What changes nothing.
    Reads,
    /// Nothing: the socket was opened up, but `socketgroup` is not set.
    None,
}

/// The client at the other end, as the kernel knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who {
    pub(crate) access: Access,
    uid: Option<u32>,
    pid: Option<i32>,
}

impl Who {
    /// Asks the kernel. `shared`: whether there is a group that may look.
    // Differs: in Fail2ban whoever can open the socket may do everything that root may.
    pub(crate) fn is_at(stream: &UnixStream, shared: bool) -> Self {
        let Ok(peer) = rustix::net::sockopt::socket_peercred(stream) else {
            return Who { access: Access::None, uid: None, pid: None };
        };
        let ours = peer.uid.is_root() || peer.uid == rustix::process::geteuid();
        let access = match (ours, shared) {
            (true, _) => Access::Full,
            (false, true) => Access::Reads,
            (false, false) => Access::None,
        };
        Who { access, uid: Some(peer.uid.as_raw()), pid: Some(peer.pid.as_raw_nonzero().get()) }
    }

    /// Whether this client may ask that.
    ///
    /// # Errors
    /// A `PermissionError` that says what may be done about it.
    pub(crate) fn may(self, request: &Request) -> Result<(), Exception> {
        let text = match self.access {
            Access::Full => return Ok(()),
            Access::Reads if reads(request) => return Ok(()),
            Access::Reads => {
                "permission denied: members of socketgroup may only read (status, get, banned); run this as root"
            }
            Access::None => {
                "permission denied: run this as root, or set socketgroup in portcullis.conf to let a group read"
            }
        };
        Err(Exception::builtin("PermissionError", text))
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.uid, self.pid) {
            (Some(uid), Some(pid)) => write!(f, "the user {uid} (process {pid})"),
            _ => f.write_str("an unknown user"),
        }
    }
}

/// Whether a request changes nothing and tells no secret.
fn reads(request: &Request) -> bool {
    match request {
        Request::Ping
        | Request::Version
        | Request::Echo(_)
        | Request::ServerStatus
        | Request::Status
        | Request::StatusAll { .. }
        | Request::JailStatus { .. }
        | Request::Stats
        | Request::Banned(_)
        | Request::Get(_) => true,
        // Properties of actions hold passwords, of a mail server or a cloud's firewall.
        Request::JailGet { what, .. } => !matches!(what, JailGet::ActionProperty { .. }),
        Request::Ours(ours) => !matches!(ours, Ours::Ban(_) | Ours::Unban { .. } | Ours::Restart),
        _ => false,
    }
}

/// Lets a group connect to the socket. The directory that Fail2ban makes for it (0700) must let the group through, too.
///
/// # Errors
/// When there is no such group, or the system refuses.
pub(crate) fn share(socket: &Path, group: &str) -> Result<(), String> {
    let gid = group_number(group).ok_or_else(|| format!("there is no group '{group}'"))?;
    let open = |path: &Path, mode: u32| {
        std::os::unix::fs::chown(path, None, Some(gid))
            .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)))
            .map_err(|error| format!("{}: {error}", path.display()))
    };
    open(socket, 0o770)?;
    if let Some(directory) = socket.parent()
        && let Ok(meta) = std::fs::metadata(directory)
        // A directory that others may pass, or that is somebody's, is left as it is.
        && meta.mode() & 0o001 == 0
        && meta.uid() == rustix::process::geteuid().as_raw()
    {
        open(directory, (meta.mode() & 0o7777) | 0o010)?;
    }
    Ok(())
}

/// The number of a group: `/etc/group`, or the number itself.
fn group_number(group: &str) -> Option<u32> {
    if let Ok(number) = group.parse() {
        return Some(number);
    }
    let text = std::fs::read_to_string("/etc/group").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(group)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use portcullis_value::Value;

    use super::*;

    fn may_read(words: &str) -> bool {
        let words: Vec<Value> = words.split(' ').map(Value::from).collect();
        let who = Who { access: Access::Reads, uid: Some(1000), pid: Some(1) };
        who.may(&Request::parse(&words).unwrap()).is_ok()
    }

    #[test]
    fn members_of_the_group_may_look_and_nothing_else() {
        for words in [
            "ping",
            "version",
            "status",
            "status web",
            "status --all",
            "stats",
            "banned",
            "banned 192.0.2.1",
            "get loglevel",
            "get dbfile",
            "get web banip --with-time",
            "get web failregex",
            "get web actions",
        ] {
            assert!(may_read(words), "{words}");
        }
        for words in [
            "stop",
            "stop web",
            "start web",
            "add j",
            "unban --all",
            "unban 192.0.2.1",
            "set loglevel DEBUG",
            "set web banip 192.0.2.1",
            "set web idle on",
            "get web action mail password",
            "flushlogs",
            "sleep 1",
            "config-error x",
            "server-stream x",
            "reload --all x x",
            "multi-set web maxretry 5",
        ] {
            assert!(!may_read(words), "{words}");
        }
    }

    #[test]
    fn without_a_group_others_may_nothing() {
        let who = Who { access: Access::None, uid: Some(1000), pid: Some(1) };
        let error = who.may(&Request::Ping).unwrap_err();
        assert_eq!(error.class, "builtins.PermissionError");
        assert!(error.to_string().contains("socketgroup"), "{error}");
    }

    #[test]
    fn the_peer_of_a_socket_is_ourselves() {
        let (here, _there) = UnixStream::pair().unwrap();
        assert_eq!(Who::is_at(&here, false).access, Access::Full);
    }

    #[test]
    fn groups_have_numbers() {
        assert_eq!(group_number("root"), Some(0));
        assert_eq!(group_number("4711"), Some(4711));
        assert_eq!(group_number("no such group"), None);
    }
}
