//! Sets of nftables, matched by a rule in a chain with a hook of its own.

use portcullis_jail::Family;

use super::iptables::{Leading, Rule};
use super::{Call, Kind, Known, Table, base};

/// A call of nft as words, with braces, commas and semicolons apart.
fn nft_words(call: &Call) -> Option<Vec<String>> {
    let (program, arguments) = call.split_first()?;
    if base(program) != "nft" {
        return None;
    }
    let mut text = arguments.join(" ");
    for mark in ["{", "}", ";"] {
        text = text.replace(mark, &format!(" {mark} "));
    }
    let mut words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
    if words.first().is_some_and(|word| word == "--") {
        words.remove(0);
    }
    Some(words)
}

pub(super) fn nft(start: &[Call], ban: &[Call], family: Family, address: &str) -> Option<Known> {
    let [ban] = ban else { return None };
    let words = nft_words(ban)?;
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let ["add", "element", table_family, table, set, "{", member, "}"] = words[..] else { return None };
    let table_family_fits =
        matches!((table_family, family), ("inet", _) | ("ip", Family::Inet4) | ("ip6", Family::Inet6));
    if member != address || !table_family_fits {
        return None;
    }
    let (kind, word) = if family == Family::Inet4 { ("ipv4_addr", "ip") } else { ("ipv6_addr", "ip6") };
    let reference = format!("@{set}");
    let (mut has_set, mut chain, mut leading) = (false, None, Leading::new());
    for call in start {
        let words = nft_words(call)?;
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let [add, object, of, table_name, rest @ ..] = &words[..] else { return None };
        if (*add, *of, *table_name) != ("add", table_family, table) {
            return None;
        }
        match (*object, rest) {
            ("table", []) => {}
            ("chain", [name, "{", "type", "filter", "hook", hook, "priority", priority @ .., ";", "}"]) => {
                chain = Some(((*name).to_owned(), (*hook).to_owned(), priority.join(" ")));
            }
            ("set", [name, "{", "type", r#type, ";", flags @ .., "}"]) => {
                if (*name, *r#type) != (set, kind) || !matches!(flags, [] | ["flags", "interval", ";"]) {
                    return None;
                }
                has_set = true;
            }
            ("rule", [name, matches @ ..]) => {
                if chain.as_ref().is_none_or(|(chain, ..)| chain != name) {
                    return None;
                }
                nft_rule(matches, word, &reference, &mut leading)?;
            }
            _ => return None,
        }
    }
    let (chain, hook, priority) = chain?;
    let like = leading.like?;
    has_set.then(|| Known {
        kind: Kind::NftSet,
        program: ban[0].clone(),
        chain,
        hooks: vec![hook],
        ports: like.ports,
        protocols: leading.protocols,
        only_new: false,
        set: set.to_owned(),
        blocktype: like.target,
        nft: Some(Table { family: table_family.to_owned(), name: table.to_owned(), priority }),
    })
}

/// `tcp dport { 22,2222 } ip saddr @set reject`, or `meta l4proto { tcp } ip saddr @set drop`.
fn nft_rule(words: &[&str], family: &str, reference: &str, leading: &mut Leading) -> Option<()> {
    let close = words.iter().position(|word| *word == "}")?;
    let (matches, rest) = words.split_at(close + 1);
    let [saddr_family, "saddr", set, verdict @ ..] = rest else { return None };
    if *saddr_family != family || *set != reference || !matches!(verdict.first(), Some(&("reject" | "drop")))
    {
        return None;
    }
    let target = verdict.join(" ");
    match matches {
        ["meta", "l4proto", "{", protocols @ .., "}"] => {
            for protocol in protocols.iter().flat_map(|list| list.split(',')).filter(|name| !name.is_empty())
            {
                leading.add(Rule {
                    protocol: protocol.to_owned(),
                    target: target.clone(),
                    ..Rule::default()
                })?;
            }
            Some(())
        }
        [protocol, "dport", "{", ports @ .., "}"] => {
            // nftables writes a range with a dash; a service's name may have one too, but then no digits around it.
            let ports = ports.concat();
            let ports: Vec<_> = ports.split(',').filter(|port| !port.is_empty()).map(colon).collect();
            leading.add(Rule {
                protocol: (*protocol).to_owned(),
                ports: Some(ports.join(",")),
                target,
                ..Rule::default()
            })
        }
        _ => None,
    }
}

/// A range in iptables' notation.
fn colon(port: &str) -> String {
    match port.split_once('-') {
        Some((from, to)) if from.parse::<u16>().is_ok() && to.parse::<u16>().is_ok() => {
            format!("{from}:{to}")
        }
        _ => port.to_owned(),
    }
}
