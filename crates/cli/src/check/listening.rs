//! Ports that are guarded, while the service listens on others.
//!
//! Of a service that does not run, or that this user may not look into, nothing is claimed.

use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, Ipv6Addr};

use portcullis_config::check::{Problem, Severity};
use portcullis_daemon::act::nft::Services;
use portcullis_daemon::act::preflight;
use portcullis_jail::Family;
use portcullis_jail::action::Action;

use super::Jail;

/// So many ports of a service are shown.
const SHOWN: usize = 8;

/// Which ports each program listens on, from other machines' view.
pub(super) struct Sockets {
    by_program: HashMap<String, BTreeSet<u16>>,
}

impl Sockets {
    /// Reads `/proc`. Without rights to look into processes, there is nothing.
    pub(super) fn of_this_machine() -> Self {
        let mut ports: HashMap<u64, u16> = HashMap::new();
        for (table, state) in [("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")] {
            let text = std::fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
            ports.extend(text.lines().filter_map(|line| socket(line, state)));
        }
        let mut by_program: HashMap<String, BTreeSet<u16>> = HashMap::new();
        if ports.is_empty() {
            return Sockets { by_program };
        }
        for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Ok(files) = std::fs::read_dir(process.path().join("fd")) else { continue };
            let listens: Vec<u16> = files
                .flatten()
                .filter_map(|file| {
                    let target = std::fs::read_link(file.path()).ok()?;
                    let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
                    ports.get(&inode.parse().ok()?).copied()
                })
                .collect();
            if let (false, Ok(name)) =
                (listens.is_empty(), std::fs::read_to_string(process.path().join("comm")))
            {
                by_program.entry(name.trim_end().to_owned()).or_default().extend(listens);
            }
        }
        Sockets { by_program }
    }
}

/// Inode and port of a line of `/proc/net/tcp` and its kin (proc(5)), if it is in `state` and reachable from elsewhere.
fn socket(line: &str, state: &str) -> Option<(u64, u16)> {
    let mut words = line.split_ascii_whitespace();
    let local = words.nth(1)?;
    if words.nth(1)? != state {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    let loopback = match address.len() {
        8 => Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.swap_bytes()).is_loopback(),
        // Four words, each in the machine's order.
        _ => u128::from_str_radix(address, 16).is_ok_and(|number| {
            let mut bytes = number.to_be_bytes();
            bytes.chunks_exact_mut(4).for_each(<[u8]>::reverse);
            Ipv6Addr::from(bytes).is_loopback()
        }),
    };
    let inode = words.nth(5)?.parse().ok()?;
    (!loopback).then_some((inode, u16::from_str_radix(port, 16).ok()?))
}

/// Tells of a jail whose actions close ports on which its service does not listen.
pub(super) fn look(jail: &Jail, actions: &[Action], sockets: &Sockets, problems: &mut Vec<Problem>) {
    let programs = programs(jail);
    let Some((program, listens)) = programs.iter().find_map(|name| sockets.by_program.get_key_value(*name))
    else {
        return;
    };
    let services = Services::system();
    for action in actions {
        let Some(ports) = preflight::recognise(action, Family::Inet4).and_then(|known| known.ports) else {
            continue;
        };
        let Ok(ranges) = services.ports(&ports, "tcp") else { continue };
        let closed = |port: &u16| ranges.iter().any(|(first, last)| (first..=last).contains(&port));
        if ranges.is_empty() || listens.iter().any(closed) {
            continue;
        }
        let (place, remarks) = jail.checked.text_place(jail.name, "port", &ports);
        let list: Vec<String> = listens.iter().take(SHOWN).map(u16::to_string).collect();
        let title = format!("jail `{}` closes ports on which `{program}` does not listen", jail.name);
        problems.push(
            Problem::new(Severity::Warning, "other-port", title)
                .at(place, format!("`{program}` listens on {}", list.join(", ")))
                .noting(remarks)
                .note("who is banned there can still reach the service")
                .hint(format!("set `port = {}`", list.join(","))),
        );
        return;
    }
}

/// The programs that a jail's `journalmatch` names.
fn programs<'a>(jail: &'a Jail) -> Vec<&'a str> {
    let words = jail.set("addjournalmatch").flatten().filter_map(|word| word.as_str());
    words
        .filter_map(|word| match word.split_once('=')? {
            ("_COMM", program) => Some(program),
            ("_SYSTEMD_UNIT", unit) => unit.strip_suffix(".service"),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_others_can_reach_are_read_from_proc() {
        let line = |address: &str, state: &str| {
            format!(
                "   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 24109 1 x"
            )
        };
        assert_eq!(socket(&line("00000000:0016", "0A"), "0A"), Some((24109, 22)));
        assert_eq!(socket(&line("00000000:0016", "01"), "0A"), None, "connected");
        assert_eq!(socket(&line("0100007F:0016", "0A"), "0A"), None, "loopback");
        let any = "00000000000000000000000000000000:01BB";
        assert_eq!(socket(&line(any, "0A"), "0A"), Some((24109, 443)));
        assert_eq!(socket(&line("00000000000000000000000001000000:01BB", "0A"), "0A"), None);
        assert_eq!(socket("  sl  local_address rem_address   st", "0A"), None);
    }
}
