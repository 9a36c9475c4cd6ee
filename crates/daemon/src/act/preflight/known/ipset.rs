//! Sets of ipset, matched by a rule of iptables.

use portcullis_jail::Family;

use super::iptables::{Leading, blocks, rule};
use super::{Call, Deed, Kind, Known, base};

/// A call of ipset: its command without dashes, the set, and the rest.
fn set_call(call: &Call) -> Option<(String, &str, Vec<&str>)> {
    let (program, arguments) = call.split_first()?;
    if base(program) != "ipset" {
        return None;
    }
    let mut arguments = arguments.iter().map(String::as_str).filter(|word| !matches!(*word, "-exist" | "-!"));
    let command = arguments.next()?.trim_start_matches('-').to_owned();
    let set = arguments.next()?;
    Some((command, set, arguments.collect()))
}

pub(super) fn ipset(start: &[Call], ban: &[Call], family: Family, address: &str) -> Option<Known> {
    let mut set = None;
    for call in ban {
        let (command, name, rest) = set_call(call)?;
        let fine = match (command.as_str(), rest.as_slice()) {
            ("add" | "test", [member]) => *member == address,
            ("add", [member, "timeout", seconds]) => *member == address && seconds.parse::<u32>().is_ok(),
            _ => false,
        };
        if !fine || set.is_some_and(|set| set != name) {
            return None;
        }
        set = Some(name);
    }
    let set = set?;
    let (mut created, mut leading) = (false, Leading::new());
    for call in start {
        if base(&call[0]) == "ipset" {
            let (command, name, rest) = set_call(call)?;
            created |= command == "create" && name == set && host_set(&rest, family);
            if !created {
                return None;
            }
            continue;
        }
        let (command, rule) = rule(call, family)?;
        match command {
            "-I" if rule.set.as_deref() == Some(set) && blocks(&rule.target) => leading.add(rule)?,
            "-C" => {}
            _ => return None,
        }
    }
    let like = leading.like?;
    created.then(|| Known {
        kind: Kind::Ipset,
        program: ban[0][0].clone(),
        chain: String::new(),
        hooks: leading.hooks,
        ports: like.ports,
        protocols: leading.protocols,
        only_new: like.only_new,
        set: set.to_owned(),
        blocktype: like.target,
        nft: None,
    })
}

/// Whether these are the options of a set of addresses of the family.
fn host_set(options: &[&str], family: Family) -> bool {
    let Some((kind, mut options)) = options.split_first() else { return false };
    let mut inet6 = false;
    while let [name, value, rest @ ..] = options {
        match (*name, *value) {
            ("family", value) => inet6 = value == "inet6",
            ("timeout" | "maxelem" | "hashsize", value) if value.parse::<u32>().is_ok() => {}
            _ => return false,
        }
        options = rest;
    }
    options.is_empty()
        && matches!(*kind, "hash:ip" | "hash:net" | "iphash")
        && inet6 == (family == Family::Inet6)
}

/// What a call does to the set: `ipset -exist add f2b-sshd 192.0.2.1 timeout 0`, or `del`.
pub(super) fn deed(call: &Call, known: &Known, member: &str) -> Option<Deed> {
    let (command, set, rest) = set_call(call)?;
    if set != known.set {
        return None;
    }
    match (command.as_str(), rest.as_slice()) {
        ("add", [one]) if *one == member => Some(Deed::Add { timeout: None }),
        ("add", [one, "timeout", seconds]) if *one == member => {
            Some(Deed::Add { timeout: Some(seconds.parse().ok()?) })
        }
        ("del", [one]) if *one == member => Some(Deed::Delete),
        _ => None,
    }
}
