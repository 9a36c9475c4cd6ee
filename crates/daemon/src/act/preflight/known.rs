//! Actions that are a firewall we know: recognised by the shape of their commands, whatever their name.
//!
//! Whoever carries such an action out in another way, or reads the kernel to see whether it was carried out, must not
//! guess: one argument that is not understood, and the action is not known.

use portcullis_jail::Family;
use portcullis_jail::action::{Action, Operation};

use super::evaluate::{Call, calls};
use super::parse::parse;
use super::programs::sample;

/// How an action keeps its bans in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One iptables rule for each ban, in a chain of its own, reached from the hook chains.
    Chain,
    /// An ipset, matched by a rule in the hook chains.
    Ipset,
    /// A set of nftables, matched by a rule in a chain with a hook of its own.
    NftSet,
}

/// An action that is a firewall we know, for one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// How bans are kept.
    pub kind: Kind,
    /// The program that bans (`iptables`, `ip6tables`, `ipset`, `nft`), as the command has it.
    pub program: String,
    /// The chain that has the rules of bans ([`Kind::Chain`]), or the rule that matches the set ([`Kind::NftSet`]); empty
    /// where that stands in the hook chains themselves.
    pub chain: String,
    /// The chains from which a rule leads to the bans: `INPUT`. For nftables the hook: `input`.
    pub hooks: Vec<String>,
    /// The ports, in iptables' notation (`22,2222`, `8000:8010`, names); none is all.
    pub ports: Option<String>,
    /// The protocols: `tcp`, `udp`, … or `all`.
    pub protocols: Vec<String>,
    /// Whether only packets of new connections are stopped (`-m state --state NEW`).
    pub only_new: bool,
    /// The set's name; empty for [`Kind::Chain`].
    pub set: String,
    /// What happens to a packet, in the program's words: `REJECT --reject-with icmp-port-unreachable`, `drop`.
    pub blocktype: String,
    /// `inet f2b-table` and the chain's priority, for nftables.
    pub nft: Option<Table>,
}

/// Where nftables' objects are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// `inet`, `ip`, `ip6`
    pub family: String,
    /// `f2b-table`
    pub name: String,
    /// `-1`, `filter - 1`
    pub priority: String,
}

/// What an action is, if its start and its ban are those of a firewall we know.
pub fn recognise(action: &Action, family: Family) -> Option<Known> {
    let start = calls(&parse(&sample(action, Operation::Start, family)?).ok()?)?;
    let ban = calls(&parse(&sample(action, Operation::Ban, family)?).ok()?)?;
    let start: Vec<_> = start.into_iter().filter(|call| call[0] != "true").collect();
    let address = if family == Family::Inet4 { "192.0.2.1" } else { "2001:db8::1" };
    match base(&ban.first()?[0]) {
        "iptables" | "ip6tables" => chain(&start, &ban, family, address),
        "ipset" => ipset(&start, &ban, family, address),
        "nft" => nft(&start, &ban, family, address),
        _ => None,
    }
}

fn base(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// One rule of iptables, as far as our actions have them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rule {
    chain: String,
    protocol: String,
    ports: Option<String>,
    source: Option<String>,
    set: Option<String>,
    only_new: bool,
    target: String,
}

/// A call of iptables: its command (`-I`), and the rule.
fn rule(call: &Call, family: Family) -> Option<(&'static str, Rule)> {
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
fn blocks(target: &str) -> bool {
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
struct Leading {
    hooks: Vec<String>,
    protocols: Vec<String>,
    like: Option<Rule>,
}

impl Leading {
    fn new() -> Self {
        Leading { hooks: Vec::new(), protocols: Vec::new(), like: None }
    }

    fn add(&mut self, mut rule: Rule) -> Option<()> {
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

fn chain(start: &[Call], ban: &[Call], family: Family, address: &str) -> Option<Known> {
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

fn ipset(start: &[Call], ban: &[Call], family: Family, address: &str) -> Option<Known> {
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

fn nft(start: &[Call], ban: &[Call], family: Family, address: &str) -> Option<Known> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn action(properties: &[(&str, &str)]) -> Action {
        let mut action = Action::new("t");
        for (property, value) in properties {
            action.set(property, (*value).into());
        }
        action
    }

    const TABLES: [(&str, &str); 4] = [
        ("iptables", "iptables -w"),
        ("iptables?family=inet6", "ip6tables -w 5"),
        ("block", "REJECT --reject-with icmp-port-unreachable"),
        ("block?family=inet6", "REJECT --reject-with icmp6-port-unreachable"),
    ];

    fn with_tables(properties: &[(&str, &str)]) -> Action {
        let mut action = action(properties);
        for (property, value) in TABLES {
            action.set(property, value.into());
        }
        action
    }

    const CHAIN: &str = "{ <iptables> -C f2b-x -j RETURN >/dev/null 2>&1; } || \
        { <iptables> -N f2b-x || true; <iptables> -A f2b-x -j RETURN; }\n";

    #[test]
    fn a_chain_of_iptables_is_known_by_its_commands() {
        let start = format!(
            "{CHAIN}for proto in $(echo 'tcp,udp' | sed 's/,/ /g'); do\n\
             <iptables> -I INPUT -p $proto -m multiport --dports ssh,2222,8000:8010 -j f2b-x\ndone"
        );
        let action = with_tables(&[
            ("actionstart", &start),
            ("actionban", "<iptables> -I f2b-x 1 -s <ip> -j <block>"),
        ]);
        let known = recognise(&action, Family::Inet4).unwrap();
        let expected = Known {
            kind: Kind::Chain,
            program: "iptables".into(),
            chain: "f2b-x".into(),
            hooks: vec!["INPUT".into()],
            ports: Some("ssh,2222,8000:8010".into()),
            protocols: vec!["tcp".into(), "udp".into()],
            only_new: false,
            set: String::new(),
            blocktype: "REJECT --reject-with icmp-port-unreachable".into(),
            nft: None,
        };
        assert_eq!(known, expected);
        let known = recognise(&action, Family::Inet6).unwrap();
        assert_eq!(known.program, "ip6tables");
        assert_eq!(known.blocktype, "REJECT --reject-with icmp6-port-unreachable");
    }

    #[test]
    fn all_ports_and_new_connections_are_told_apart() {
        let ban = ("actionban", "<iptables> -I f2b-x 1 -s <ip> -j DROP");
        let start = format!("{CHAIN}<iptables> -I FORWARD 1 -j f2b-x\n<iptables> -I INPUT -j f2b-x");
        let known = recognise(&with_tables(&[("actionstart", &start), ban]), Family::Inet4).unwrap();
        assert_eq!((known.ports, known.protocols), (None, vec!["all".to_owned()]));
        assert_eq!(known.hooks, ["FORWARD", "INPUT"]);
        let start = format!("{CHAIN}<iptables> -I INPUT -m state --state NEW<sp>-p tcp --dport 22 -j f2b-x");
        let known = recognise(&with_tables(&[("actionstart", &start), ban]), Family::Inet4).unwrap();
        assert!(known.only_new && known.ports.as_deref() == Some("22"));
    }

    #[test]
    fn a_set_of_ipset_is_known_with_its_rule() {
        let start = "ipset -exist create <set> hash:ip timeout 0 <opt>\n\
             { <iptables> -C INPUT -p tcp -m set --match-set <set> src -j <block> >/dev/null 2>&1; } || \
             { <iptables> -I INPUT -p tcp -m set --match-set <set> src -j <block>; }";
        let mut action = with_tables(&[
            ("actionstart", start),
            ("actionban", "ipset -exist add <set> <ip> timeout 0"),
            ("set", "f2b-x"),
            ("set?family=inet6", "f2b-x6"),
            ("opt", ""),
            ("opt?family=inet6", "family inet6"),
        ]);
        let known = recognise(&action, Family::Inet6).unwrap();
        assert_eq!(
            (known.kind, known.set.as_str(), known.program.as_str()),
            (Kind::Ipset, "f2b-x6", "ipset")
        );
        assert_eq!((known.ports, known.hooks), (None, vec!["INPUT".to_owned()]));
        action.set("opt?family=inet6", "".into());
        assert_eq!(recognise(&action, Family::Inet6), None, "the set would not take the address");
        action.set("actionban", "ipset --test <set> <ip> || ipset --add <set> <ip>".into());
        assert!(recognise(&action, Family::Inet4).is_some());
    }

    fn nftables(rule: &str) -> Option<Known> {
        let start = format!(
            "nft add table inet f2b-table\n\
             nft -- add chain inet f2b-table f2b-chain \\{{ type filter hook input priority -1 \\; \\}}\n\
             nft add set inet f2b-table <set> \\{{ type <type>\\; \\}}\n{rule}"
        );
        let action = action(&[
            ("actionstart", &start),
            ("actionban", "nft add element inet f2b-table <set> \\{ <ip> \\}"),
            ("set", "addr-set-x"),
            ("type", "ipv4_addr"),
            ("set?family=inet6", "addr6-set-x"),
            ("type?family=inet6", "ipv6_addr"),
            ("ip_word", "ip"),
            ("ip_word?family=inet6", "ip6"),
        ]);
        recognise(&action, Family::Inet6)
    }

    #[test]
    fn a_set_of_nftables_is_known_with_its_rule() {
        let known = nftables(
            "for proto in $(echo 'tcp,udp' | sed 's/,/ /g'); do\n\
             nft add rule inet f2b-table f2b-chain $proto dport \\{ $(echo 'ssh,80:90' | sed s/:/-/g) \\} \
             <ip_word> saddr @<set> reject\ndone",
        )
        .unwrap();
        assert_eq!(
            (known.kind, known.set.as_str(), known.chain.as_str()),
            (Kind::NftSet, "addr6-set-x", "f2b-chain")
        );
        assert_eq!(known.ports.as_deref(), Some("ssh,80:90"));
        assert_eq!(
            (known.protocols, known.blocktype.as_str()),
            (vec!["tcp".to_owned(), "udp".to_owned()], "reject")
        );
        let table = Table { family: "inet".into(), name: "f2b-table".into(), priority: "-1".into() };
        assert_eq!((known.nft, known.hooks), (Some(table), vec!["input".to_owned()]));
        let known = nftables(
            "nft add rule inet f2b-table f2b-chain meta l4proto \\{ tcp,udp \\} <ip_word> saddr @<set> drop",
        )
        .unwrap();
        assert_eq!((known.ports, known.protocols.len()), (None, 2));
    }

    #[test]
    fn what_is_not_understood_to_the_last_word_is_not_known() {
        let ban = "<iptables> -I f2b-x 1 -s <ip> -j <block>";
        let lead = "<iptables> -I INPUT -p tcp -j f2b-x";
        let good = format!("{CHAIN}{lead}");
        assert!(
            recognise(&with_tables(&[("actionstart", &good), ("actionban", ban)]), Family::Inet4).is_some()
        );
        for (start, ban) in [
            (good.clone(), "<iptables> -I f2b-x 1 -s <ip> -j f2b-log".to_owned()),
            (good.clone(), format!("{ban}\nmail -s banned root")),
            (good.clone(), "<iptables> -A f2b-x -s <ip> -j <block>".into()),
            (good.clone(), "<iptables> -I f2b-x 2 -s <ip> -j <block>".into()),
            (good.clone(), "<iptables> -I f2b-x 1 -s <ip> -p udp -j <block>".into()),
            (good.clone(), "<iptables> -I f2b-y 1 -s <ip> -j <block>".into()),
            (good.clone(), format!("{ban} > /tmp/x")),
            (good.clone(), format!("[ -e /x ] && {ban}")),
            (format!("{good}\ntouch /tmp/x"), ban.to_owned()),
            (format!("{CHAIN}<iptables> -I INPUT -p tcp -i eth0 -j f2b-x"), ban.to_owned()),
            (format!("{CHAIN}<iptables> -I INPUT -p tcp --dport $(cat /ports) -j f2b-x"), ban.to_owned()),
            (format!("{good}\n<iptables> -I FORWARD -p tcp --dport 22 -j f2b-x"), ban.to_owned()),
            (CHAIN.to_owned(), ban.to_owned()),
            (lead.to_owned(), ban.to_owned()),
        ] {
            let action = with_tables(&[("actionstart", &start), ("actionban", &ban)]);
            assert_eq!(recognise(&action, Family::Inet4), None, "{start}\n--\n{ban}");
        }
        assert_eq!(
            nftables("nft add rule inet other f2b-chain tcp dport \\{ 22 \\} <ip_word> saddr @<set> drop"),
            None
        );
        assert_eq!(nftables("nft add rule inet f2b-table f2b-chain ip daddr @<set> drop"), None);
        assert_eq!(nftables("true"), None);
    }
}
