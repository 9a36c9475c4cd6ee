//! Rules of iptables as bans have them: one for each, in a chain of the jail's own.

use portcullis_jail::Family;

use super::{Call, Deed, Kind, Known, base};

/// One rule of iptables, as far as our actions have them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) chain: String,
    pub(super) protocol: String,
    pub(super) ports: Option<String>,
    pub(super) source: Option<String>,
    pub(super) set: Option<String>,
    pub(super) only_new: bool,
    pub(super) target: String,
}

/// A call of iptables: its command (`-I`), and the rule.
pub(super) fn rule(call: &Call, family: Family) -> Option<(&'static str, Rule)> {
    let program = if family == Family::Inet4 { "iptables" } else { "ip6tables" };
    let (first, arguments) = call.split_first()?;
    if base(first) != program {
        return None;
    }
    let mut arguments = arguments.iter().map(String::as_str).peekable();
    while let Some("-w" | "--wait") = arguments.peek().copied() {
        arguments.next();
        arguments.next_if(|argument| argument.chars().all(|c| c.is_ascii_digit()));
    }
    let command = match arguments.next()? {
        "-I" => "-I",
        "-A" => "-A",
        "-C" => "-C",
        "-N" => "-N",
        "-D" => "-D",
        _ => return None,
    };
    let mut rule = Rule { chain: arguments.next()?.to_owned(), protocol: "all".into(), ..Rule::default() };
    if command == "-I" {
        // Only at the top: elsewhere the order of rules would matter.
        if let Some(place) = arguments.next_if(|argument| argument.chars().all(|c| c.is_ascii_digit()))
            && place != "1"
        {
            return None;
        }
    }
    while let Some(argument) = arguments.next() {
        match argument {
            "-p" => arguments.next()?.clone_into(&mut rule.protocol),
            "-m" => match arguments.next()? {
                "multiport" | "tcp" | "udp" => {}
                "set" => {
                    let (word, set, side) = (arguments.next()?, arguments.next()?, arguments.next()?);
                    if (word, side) != ("--match-set", "src") {
                        return None;
                    }
                    rule.set = Some(set.to_owned());
                }
                "state" | "conntrack" => {
                    if !matches!((arguments.next()?, arguments.next()?), ("--state" | "--ctstate", "NEW")) {
                        return None;
                    }
                    rule.only_new = true;
                }
                _ => return None,
            },
            "--dport" | "--dports" => rule.ports = Some(arguments.next()?.to_owned()),
            "-s" => rule.source = Some(arguments.next()?.to_owned()),
            "-j" => {
                let target: Vec<_> = arguments.by_ref().collect();
                rule.target = target.join(" ");
            }
            _ => return None,
        }
    }
    Some((command, rule))
}

/// Whether a target is one of those that stop a packet, with no more than a choice of the answer.
pub(super) fn blocks(target: &str) -> bool {
    let mut words = target.split(' ');
    match words.next() {
        Some("DROP") => words.next().is_none(),
        Some("REJECT") => match words.next() {
            None => true,
            Some("--reject-with") => words.next().is_some() && words.next().is_none(),
            Some(_) => false,
        },
        _ => false,
    }
}

/// Collects the rules that lead to the bans: the same but for protocol and hook chain.
pub(super) struct Leading {
    pub(super) hooks: Vec<String>,
    pub(super) protocols: Vec<String>,
    pub(super) like: Option<Rule>,
}

impl Leading {
    pub(super) fn new() -> Self {
        Leading { hooks: Vec::new(), protocols: Vec::new(), like: None }
    }

    pub(super) fn add(&mut self, mut rule: Rule) -> Option<()> {
        let (chain, protocol) = (std::mem::take(&mut rule.chain), std::mem::take(&mut rule.protocol));
        if rule.source.is_some() || self.like.as_ref().is_some_and(|like| *like != rule) {
            return None;
        }
        if !self.hooks.contains(&chain) {
            self.hooks.push(chain);
        }
        if !self.protocols.contains(&protocol) {
            self.protocols.push(protocol);
        }
        self.like = Some(rule);
        Some(())
    }
}

pub(super) fn chain(start: &[Call], ban: &[Call], family: Family, address: &str) -> Option<Known> {
    let [ban] = ban else { return None };
    let (command, ban_rule) = rule(ban, family)?;
    let plain = Rule {
        chain: ban_rule.chain.clone(),
        protocol: "all".into(),
        source: Some(address.to_owned()),
        target: ban_rule.target.clone(),
        ..Rule::default()
    };
    if command != "-I" || ban_rule != plain || !blocks(&ban_rule.target) {
        return None;
    }
    let own = &ban_rule.chain;
    let (mut created, mut returns, mut leading) = (false, false, Leading::new());
    for call in start {
        let (command, rule) = rule(call, family)?;
        match command {
            "-N" if rule.chain == *own && rule.target.is_empty() => created = true,
            "-A" if rule.chain == *own => {
                let end = Rule {
                    chain: own.clone(),
                    protocol: "all".into(),
                    target: "RETURN".into(),
                    ..Rule::default()
                };
                if rule != end {
                    return None;
                }
                returns = true;
            }
            "-I" if rule.target == *own && rule.set.is_none() => leading.add(rule)?,
            "-C" => {}
            _ => return None,
        }
    }
    let like = leading.like?;
    (created && returns).then(|| Known {
        kind: Kind::Chain,
        program: ban[0].clone(),
        chain: own.clone(),
        hooks: leading.hooks,
        ports: like.ports,
        protocols: leading.protocols,
        only_new: like.only_new,
        set: String::new(),
        blocktype: ban_rule.target,
        nft: None,
    })
}

/// What a call does to the bans: `-I f2b-sshd 1 -s 192.0.2.1 -j REJECT …`, or the same with `-D`.
pub(super) fn deed(call: &Call, known: &Known, family: Family, member: &str) -> Option<Deed> {
    let (command, rule) = rule(call, family)?;
    let plain = Rule {
        chain: known.chain.clone(),
        protocol: "all".into(),
        source: Some(member.to_owned()),
        target: known.blocktype.clone(),
        ..Rule::default()
    };
    match command {
        "-I" if rule == plain => Some(Deed::Add { timeout: None }),
        "-D" if rule == plain => Some(Deed::Delete),
        _ => None,
    }
}
