//! The look into a case: the attacker's connections, who listens, what the kernel forwards, which rules come first. From what
//! is seen to what must be supposed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use portcullis_jail::Family;

use super::ahead;
use super::{Case, Cause};
use crate::act::nft::{Tool, list_rules, resolve};
use crate::act::preflight::Kind;
use crate::act::sockets::{Connection, Guarded, Sockets, State, TCP, UDP, flows};

/// So many failures must there have been before something is supposed and not seen: a log may lag behind.
const SUPPOSED: u32 = 3;
/// So many peers are told.
const PEERS: usize = 16;

/// What this machine's sockets tell of a case.
#[derive(Default)]
struct Seen {
    /// The offender's own connections.
    his: Vec<Connection>,
    /// Whoever else is connected to the guarded ports.
    others: BTreeSet<IpAddr>,
    /// Ports with somebody behind them, and the inode of the socket.
    listening: BTreeMap<u16, u32>,
}

/// Why he is still here; `None` when nothing is found, or too little to say.
pub(super) fn cause(case: &Case) -> Option<Cause> {
    let guarded = case.protection.guarded.as_deref()?;
    let net = case.id.net()?;
    let seen = look(net, guarded).ok()?;
    if let Some(other) = seen.his.iter().find(|his| !guarded.covers(his.protocol, his.local.port())) {
        let port = other.local.port();
        return Some(Cause::OtherPort { port, program: program(other.inode), guarded: words(guarded) });
    }
    if let Some(forwarded) = forwarded(case, net, guarded) {
        return Some(forwarded);
    }
    if let Some(accepted) = accepted(case, net.addr(), guarded) {
        return Some(accepted);
    }
    if let Some(his) = seen.his.first() {
        return Some(Cause::OpenConnection { port: his.local.port() });
    }
    if !seen.listening.keys().any(|port| guarded.covers_port(*port)) && !seen.listening.is_empty() {
        let mut listening: Vec<_> =
            seen.listening.iter().map(|(port, inode)| (*port, program(*inode))).collect();
        // The jail's own service before all others, if it can be told by its name.
        let service = |name: &Option<String>| name.as_deref().is_some_and(|name| case.jail.contains(name));
        if listening.iter().any(|(_, name)| service(name)) {
            listening.retain(|(_, name)| service(name));
        }
        return Some(Cause::NobodyListens { guarded: words(guarded), listening });
    }
    if case.failures < SUPPOSED {
        return None;
    }
    let peers: Vec<IpAddr> = seen.others.into_iter().filter(|peer| !net.contains(peer)).collect();
    Some(if peers.is_empty() { Cause::Elsewhere } else { Cause::Proxy { peers } })
}

fn look(net: IpNet, guarded: &Guarded) -> Result<Seen, crate::act::nft::Error> {
    let mut seen = Seen::default();
    let mut sockets = Sockets::open()?;
    for protocol in [TCP, UDP] {
        sockets.each(protocol, State::Connected, |connection| {
            if net.contains(&connection.peer.ip()) {
                seen.his.push(*connection);
            } else if guarded.covers(protocol, connection.local.port()) && seen.others.len() < PEERS {
                seen.others.insert(connection.peer.ip());
            }
        })?;
        let concerns = guarded.protocols.is_empty() || guarded.protocols.contains(&protocol);
        if concerns {
            sockets.each(protocol, State::Listening, |connection| {
                seen.listening.insert(connection.local.port(), connection.inode);
            })?;
        }
    }
    // What we began ourselves is no attempt of his.
    let listening = &seen.listening;
    seen.his.retain(|his| his.protocol != TCP || listening.contains_key(&his.local.port()));
    Ok(seen)
}

/// Packets of his that go on to another machine or a container.
fn forwarded(case: &Case, net: IpNet, guarded: &Guarded) -> Option<Cause> {
    let tracked = flows(&[net]).ok()?;
    let own: BTreeSet<IpAddr> =
        if_addrs::get_if_addrs().ok()?.iter().map(|interface| interface.ip().to_canonical()).collect();
    let flow = tracked.iter().find(|flow| {
        own.contains(&flow.dialled.ip()) && flow.is_redirected() && !own.contains(&flow.answers.ip())
    })?;
    let (dialled, to) = (flow.dialled.port(), flow.answers.ip());
    let ports = [dialled, flow.answers.port()];
    if !ports.iter().any(|port| guarded.covers(flow.protocol, *port)) {
        return Some(Cause::OtherPort { port: dialled, program: None, guarded: words(guarded) });
    }
    let hooks = hooks(case, to);
    // Ours stands before the forwarding; others may have been put into the right chain.
    let passed = |hook: &String| matches!(hook.to_ascii_uppercase().as_str(), "INPUT" | "LOCALIN");
    let misses = !case.protection.own && !hooks.is_empty() && hooks.iter().all(passed);
    misses.then(|| Cause::Forwarded { dialled, to, chain: hooks.join(", ") })
}

fn hooks(case: &Case, address: IpAddr) -> Vec<String> {
    let family = if address.is_ipv4() { Family::Inet4 } else { Family::Inet6 };
    let known = case.protection.known.iter().find(|(of, _)| *of == family);
    known.map(|(_, known)| known.hooks.clone()).unwrap_or_default()
}

/// A rule of iptables before the jail's that accepts.
fn accepted(case: &Case, address: IpAddr, guarded: &Guarded) -> Option<Cause> {
    let (family, name) = match address {
        IpAddr::V4(_) => (Family::Inet4, "iptables"),
        IpAddr::V6(_) => (Family::Inet6, "ip6tables"),
    };
    let (_, known) = case.protection.known.iter().find(|(of, _)| *of == family)?;
    let own = match known.kind {
        Kind::Chain if !known.chain.is_empty() => &known.chain,
        Kind::Ipset => &known.set,
        // nftables goes through all chains of a hook: an earlier one that accepts does not end it.
        _ => return None,
    };
    let path = std::env::var_os("PATH");
    let word = if known.kind == Kind::Chain { known.program.as_str() } else { name };
    let Tool::Genuine(tool, _) = resolve(word, path.as_deref()) else { return None };
    known.hooks.iter().find_map(|chain| {
        let listing = list_rules(&tool, chain).ok()?;
        let rule = ahead::accepting(&listing, own, address, guarded)?;
        Some(Cause::Accepted { chain: chain.clone(), rule: rule.to_owned() })
    })
}

/// `port 22`, `ports 80, 443, 8000-8010`, `all ports`
fn words(guarded: &Guarded) -> String {
    let range = |(first, last): &(u16, u16)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    let ranges: Vec<String> = guarded.ports.iter().take(16).map(range).collect();
    match &ranges[..] {
        [] => "all ports".to_owned(),
        [one] => format!("port {one}"),
        several => format!("ports {}", several.join(", ")),
    }
}

/// The name of a process that has this socket.
fn program(inode: u32) -> Option<String> {
    if inode == 0 {
        return None;
    }
    let processes = std::fs::read_dir(Path::new("/proc")).ok()?.flatten();
    let mut numbered =
        processes.filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit));
    let owner = numbered.find(|process| crate::lockout::sockets_of(&process.path()).contains(&inode))?;
    let name = std::fs::read_to_string(owner.path().join("comm")).ok()?;
    Some(name.trim_end().to_owned())
}
