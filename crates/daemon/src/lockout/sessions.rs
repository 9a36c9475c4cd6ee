//! Who is logged in from elsewhere: by utmp(5), by logind's own files, and by the titles of sshd's processes, which alone
//! know of sessions without a terminal (`ssh host command`, `scp`).

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// A session from another machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) user: String,
    /// The terminal, or what else tells it from others.
    pub(super) place: String,
    /// From where, when that is written down.
    pub(super) from: Option<IpAddr>,
    /// Otherwise, the inodes of its process' sockets.
    pub(super) sockets: Vec<u32>,
}

/// Groups whose members may become root.
const GROUPS: [&str; 3] = ["sudo", "wheel", "admin"];
/// More records, or files, are not looked at.
const MOST: usize = 10_000;

/// All sessions from elsewhere, of anybody.
pub(super) fn sessions(root: &Path) -> Vec<Session> {
    let utmp = std::fs::read(root.join("run/utmp")).or_else(|_| std::fs::read(root.join("var/run/utmp")));
    let mut sessions = utmp.map_or_else(|_| Vec::new(), |bytes| in_utmp(&bytes));
    sessions.extend(of_logind(&root.join("run/systemd/sessions")));
    sessions.extend(of_sshd(&root.join("proc")));
    sessions
}

/// Whether a user may do as he likes with this machine: root under any name, or a member of a group that may become root.
pub(super) fn is_administrator(user: &str) -> bool {
    if user == "root" {
        return true;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    is_administrator_by(user, &passwd, &groups)
}

fn is_administrator_by(user: &str, passwd: &str, groups: &str) -> bool {
    let own = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == user);
    let (uid, gid) =
        own.as_deref().and_then(|fields| Some((*fields.get(2)?, *fields.get(3)?))).unwrap_or_default();
    uid == "0"
        || groups.lines().any(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, number, members] = fields[..] else { return false };
            GROUPS.contains(&name) && (members.split(',').any(|member| member == user) || number == gid)
        })
}

/// `struct utmp`: on machines that keep 32-bit programs going its times are of 32 bits, elsewhere of 64.
const WIDE: bool = cfg!(any(target_arch = "aarch64", target_arch = "riscv64", target_arch = "loongarch64"));
const RECORD: usize = if WIDE { 400 } else { 384 };
const ADDRESS: usize = if WIDE { 360 } else { 348 };
const USER_PROCESS: i16 = 7;

fn in_utmp(bytes: &[u8]) -> Vec<Session> {
    let text = |record: &[u8], at: usize, length: usize| {
        let field = &record[at..at + length];
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(length);
        String::from_utf8_lossy(&field[..end]).into_owned()
    };
    let session = |record: &[u8]| {
        let kind = i16::from_ne_bytes([record[0], record[1]]);
        let octets: [u8; 16] = *record[ADDRESS..].first_chunk()?;
        // An IPv4 address is in the first four bytes alone.
        let address: Option<IpAddr> = match octets {
            [0, 0, 0, 0, rest @ ..] if rest == [0; 12] => text(record, 76, 256).parse().ok(),
            [a, b, c, d, rest @ ..] if rest == [0; 12] => Some([a, b, c, d].into()),
            octets => Some(IpAddr::from(octets).to_canonical()),
        };
        let from = Some(address?);
        let (user, place) = (text(record, 44, 32), text(record, 8, 32));
        (kind == USER_PROCESS).then_some(Session { user, place, from, sockets: Vec::new() })
    };
    bytes.chunks_exact(RECORD).take(MOST).filter_map(session).collect()
}

/// What `loginctl` shows stands in files of the form `KEY=value`.
fn of_logind(directory: &Path) -> Vec<Session> {
    let session = |entry: std::fs::DirEntry| {
        let text = std::fs::read_to_string(entry.path()).ok()?;
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let from: IpAddr = value("REMOTE_HOST")?.parse().ok()?;
        let open = value("REMOTE") == Some("1") && value("STATE") != Some("closing");
        let place =
            value("TTY").map_or_else(|| format!("session {}", entry.file_name().display()), str::to_owned);
        open.then(|| Session {
            user: value("USER").unwrap_or_default().to_owned(),
            place,
            from: Some(from.to_canonical()),
            sockets: Vec::new(),
        })
    };
    std::fs::read_dir(directory).into_iter().flatten().flatten().take(MOST).filter_map(session).collect()
}

/// `sshd: root@pts/0`, `sshd-session: root@notty`: titles with a place are given once somebody is logged in. Before, they
/// are `sshd: root [priv]` and `sshd: root [net]`.
fn title(cmdline: &str) -> Option<(&str, &str)> {
    let title = cmdline.strip_prefix("sshd: ").or_else(|| cmdline.strip_prefix("sshd-session: "))?;
    let (user, place) = title.trim_end_matches('\0').trim_end().rsplit_once('@')?;
    (!place.contains(['[', ' ', '\0']) && !user.contains(' ')).then_some((user, place))
}

fn of_sshd(proc: &Path) -> Vec<Session> {
    let mut sessions = Vec::new();
    let processes = std::fs::read_dir(proc).into_iter().flatten().flatten();
    let numbered =
        processes.filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit));
    for process in numbered.take(10 * MOST) {
        let path = process.path();
        let comm = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
        if !comm.starts_with("sshd") {
            continue;
        }
        let cmdline =
            String::from_utf8_lossy(&std::fs::read(path.join("cmdline")).unwrap_or_default()).into_owned();
        let Some((user, place)) = title(&cmdline) else { continue };
        if !is_genuine(&path, user) {
            continue;
        }
        let sockets = sockets_of(&path);
        sessions.push(Session { user: user.to_owned(), place: place.to_owned(), from: None, sockets });
    }
    sessions
}

/// Anybody can give a program of his own any title. What counts is the system's sshd, run as the user that it names.
fn is_genuine(process: &Path, user: &str) -> bool {
    let exe = std::fs::read_link(process.join("exe")).unwrap_or_default();
    let name = exe.file_name().unwrap_or_default().as_encoded_bytes();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let owner = std::fs::metadata(process).map(|meta| meta.uid().to_string());
    let uid = passwd.lines().find_map(|line| line.strip_prefix(user)?.strip_prefix(':')?.split(':').nth(1));
    exe.starts_with("/usr")
        && name.starts_with(b"sshd")
        && owner.is_ok_and(|owner| Some(owner.as_str()) == uid)
}

/// The inodes of a process' sockets: `/proc/PID/fd/3` is `socket:[12345]`.
pub(crate) fn sockets_of(process: &Path) -> Vec<u32> {
    let fds = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    fds.filter_map(|fd| {
        let target = std::fs::read_link(fd.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(kind: i16, user: &str, line: &str, host: &str, address: &[u8]) -> Vec<u8> {
        let mut record = vec![0; RECORD];
        record[..2].copy_from_slice(&kind.to_ne_bytes());
        record[8..8 + line.len()].copy_from_slice(line.as_bytes());
        record[44..44 + user.len()].copy_from_slice(user.as_bytes());
        record[76..76 + host.len()].copy_from_slice(host.as_bytes());
        record[ADDRESS..ADDRESS + address.len()].copy_from_slice(address);
        record
    }

    #[test]
    fn utmp_tells_who_is_logged_in_from_where() {
        let mapped = "::ffff:192.0.2.9".parse::<std::net::Ipv6Addr>().unwrap().octets();
        let bytes = [
            record(7, "root", "pts/0", "client.example", &[192, 0, 2, 7]),
            record(8, "gone", "pts/1", "", &[192, 0, 2, 8]),
            record(7, "here", "tty1", "", &[]),
            record(7, "named", "pts/2", "2001:db8::7", &[]),
            record(7, "mapped", "pts/3", "", &mapped),
        ]
        .concat();
        let found: Vec<(String, String)> =
            in_utmp(&bytes).into_iter().map(|s| (s.user, s.from.unwrap().to_string())).collect();
        let expected = [("root", "192.0.2.7"), ("named", "2001:db8::7"), ("mapped", "192.0.2.9")];
        assert_eq!(found, expected.map(|(user, from)| (user.to_owned(), from.to_owned())));
    }

    #[test]
    fn logind_tells_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let remote = "UID=0\nUSER=root\nACTIVE=1\nSTATE=active\nREMOTE=1\nTTY=pts/0\nREMOTE_HOST=192.0.2.7\n";
        std::fs::write(dir.path().join("4"), remote).unwrap();
        std::fs::write(dir.path().join("5"), remote.replace("STATE=active", "STATE=closing")).unwrap();
        std::fs::write(dir.path().join("6"), "USER=root\nREMOTE=0\nTTY=tty1\n").unwrap();
        let found = of_logind(dir.path());
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].user.as_str(), found[0].from), ("root", "192.0.2.7".parse().ok()));
    }

    #[test]
    fn only_sshds_title_of_a_session_counts() {
        assert_eq!(title("sshd: root@pts/0\0"), Some(("root", "pts/0")));
        assert_eq!(title("sshd-session: eve@notty\0\0"), Some(("eve", "notty")));
        for before in [
            "sshd: root [priv]\0",
            "sshd: root [net]",
            "sshd: unknown [priv]",
            "sshd: x@y [priv]",
            "sshd\0-D\0",
        ] {
            assert_eq!(title(before), None, "{before}");
        }
    }

    #[test]
    fn administrators_are_root_and_those_who_may_become_it() {
        let passwd = "root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\neve:x:1000:1000::/:/bin/sh\nann:x:1001:27::/:/bin/sh\nbob:x:1002:1002::/:/bin/sh\n";
        let groups = "sudo:x:27:bob,carl\nusers:x:100:eve\nadm:x:4:eve\n";
        let is = |user| is_administrator_by(user, passwd, groups);
        assert!(is("toor") && is("ann") && is("bob") && is("carl"));
        assert!(!is("eve") && !is("nobody") && !is(""));
    }

    proptest! {
        #[test]
        fn whatever_is_in_utmp_does_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..1200)) {
            in_utmp(&bytes);
        }
    }
}
