//! `nft`'s command lines, as far as stock actions use them.

use crate::act::nft::expression::{Expression, Reject};
use crate::act::nft::matching::{self, Answer};
use crate::act::nft::object::{Chain, Hook, KeyType, Rule, Set, Table, TableFamily};
use crate::act::nft::ports::{self, Services};

/// What one call of `nft` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Nft {
    AddTable(Table),
    AddChain(Table, Chain),
    AddSet(Table, Set),
    /// The rule, and the set of addresses that it looks up.
    AddRule(Table, Rule, String),
    /// Table, set, the element's text.
    AddElement(Table, String, String),
    DeleteElement(Table, String, String),
    FlushSet(Table, String),
    DeleteSet(Table, String),
    DeleteTable(Table),
    /// Table, chain, and the words that name the rule.
    DeleteRule(Table, String, String),
    ListChain(Table, String),
    ListTable(Table),
}

/// Reads the arguments of one call. As `nft` does, the arguments are one text, whatever the shell made of it.
pub(super) fn parse(arguments: &[String], services: &Services) -> Option<Nft> {
    let text = arguments.join(" ");
    let words = words(&text);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let words = strip_options(&words)?;
    let table =
        |family: &str, name: &str| Some(Table { family: TableFamily::parse(family)?, name: name.to_owned() });
    Some(match *words {
        ["add", "table", f, t] => Nft::AddTable(table(f, t)?),
        ["add", "chain", f, t, c, "{", ref block @ .., "}"] => Nft::AddChain(table(f, t)?, chain(c, block)?),
        ["add", "set", f, t, s, "{", ref block @ .., "}"] => Nft::AddSet(table(f, t)?, set(s, block)?),
        ["add", "rule", f, t, c, ref rest @ ..] => {
            let table = table(f, t)?;
            let (rule, set) = rule(c, rest, table.family, services)?;
            Nft::AddRule(table, rule, set)
        }
        ["add", "element", f, t, s, "{", element, "}"] => {
            Nft::AddElement(table(f, t)?, s.to_owned(), element.to_owned())
        }
        ["delete", "element", f, t, s, "{", element, "}"] => {
            Nft::DeleteElement(table(f, t)?, s.to_owned(), element.to_owned())
        }
        ["flush", "set", f, t, s] => Nft::FlushSet(table(f, t)?, s.to_owned()),
        ["delete", "set", f, t, s] => Nft::DeleteSet(table(f, t)?, s.to_owned()),
        ["delete", "table", f, t] => Nft::DeleteTable(table(f, t)?),
        ["delete", "rule", f, t, c, ref rule @ ..] => {
            Nft::DeleteRule(table(f, t)?, c.to_owned(), rule.join(" "))
        }
        ["list", "chain", f, t, c] => Nft::ListChain(table(f, t)?, c.to_owned()),
        ["list", "table", f, t] => Nft::ListTable(table(f, t)?),
        _ => return None,
    })
}

/// Words, with braces, semicolons and commas as words of their own.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for chunk in text.split_whitespace() {
        let mut rest = chunk;
        while let Some(at) = rest.find(['{', '}', ';', ',']) {
            if at > 0 {
                words.push(rest[..at].to_owned());
            }
            words.push(rest[at..=at].to_owned());
            rest = &rest[at + 1..];
        }
        if !rest.is_empty() {
            words.push(rest.to_owned());
        }
    }
    words
}

/// Options that change only what is shown.
fn strip_options<'w, 't>(mut words: &'w [&'t str]) -> Option<&'w [&'t str]> {
    while let [option, rest @ ..] = words {
        match *option {
            "--" => return Some(rest),
            "-a" | "--handle" | "-n" | "--numeric" | "-s" | "--stateless" => words = rest,
            other if other.starts_with('-') => return None,
            _ => break,
        }
    }
    Some(words)
}

/// `type filter hook input priority -1 ; [policy accept ;]`
fn chain(name: &str, block: &[&str]) -> Option<Chain> {
    let mut statements = block.split(|word| *word == ";").filter(|statement| !statement.is_empty());
    let ["type", kind, "hook", hook, "priority", priority @ ..] = statements.next()? else { return None };
    let policy = statements.next();
    if policy.is_some_and(|policy| policy != ["policy", "accept"]) || statements.next().is_some() {
        return None;
    }
    let hook =
        Hook { kind: (*kind).to_owned(), number: Hook::number(hook)?, priority: self::priority(priority)? };
    Some(Chain { name: name.to_owned(), hook: Some(hook) })
}

/// `-1`, `filter`, `filter - 1`, `raw + 5`
fn priority(words: &[&str]) -> Option<i32> {
    let base = |word: &str| {
        Some(match word {
            "raw" => -300,
            "mangle" => -150,
            "filter" => 0,
            "security" => 50,
            number => number.parse().ok()?,
        })
    };
    match words {
        [word] => base(word),
        [word, "+", more] => base(word)?.checked_add(more.parse().ok()?),
        [word, "-", less] => base(word)?.checked_sub(less.parse().ok()?),
        _ => None,
    }
}

/// `type ipv4_addr ; [flags interval ;]`
fn set(name: &str, block: &[&str]) -> Option<Set> {
    let mut set = Set { name: name.to_owned(), key: KeyType::Ipv4, interval: false, timeout: false };
    let mut typed = false;
    for statement in block.split(|word| *word == ";").filter(|statement| !statement.is_empty()) {
        match statement {
            ["type", "ipv4_addr"] => typed = true,
            ["type", "ipv6_addr"] => {
                typed = true;
                set.key = KeyType::Ipv6;
            }
            ["flags", flags @ ..] => {
                for flag in flags.iter().filter(|flag| **flag != ",") {
                    match *flag {
                        "interval" => set.interval = true,
                        "timeout" => set.timeout = true,
                        _ => return None,
                    }
                }
            }
            _ => return None,
        }
    }
    typed.then_some(set)
}

/// `tcp dport { 22,80-90 } ip saddr @set reject`, and the forms with `th dport`, `meta l4proto` or neither.
fn rule(chain: &str, mut words: &[&str], family: TableFamily, services: &Services) -> Option<(Rule, String)> {
    let mut expressions = Vec::new();
    let mut protocols = Vec::new();
    loop {
        match *words {
            ["meta", "l4proto", ref rest @ ..] if expressions.is_empty() => {
                let (list, after) = list(rest)?;
                protocols = ports::protocols(&list).ok().filter(|numbers| !numbers.is_empty())?;
                expressions.extend(matching::protocols(&protocols));
                words = after;
            }
            [protocol @ ("tcp" | "udp" | "sctp" | "dccp" | "udplite" | "th"), "dport", ref rest @ ..] => {
                let (list, after) = list(rest)?;
                if protocol != "th" && protocols.is_empty() {
                    protocols = ports::protocols(protocol).ok()?;
                    expressions.extend(matching::protocols(&protocols));
                } else if protocol != "th" {
                    return None;
                }
                let given = list.split(',').filter(|item| !item.is_empty()).count();
                expressions.extend(matching::ports_as_given(&services.ports(&list, protocol).ok()?, given));
                words = after;
            }
            _ => break,
        }
    }
    let [ip @ ("ip" | "ip6"), "saddr", set, ref answer @ ..] = *words else { return None };
    let set = set.strip_prefix('@')?;
    let key = if ip == "ip" { KeyType::Ipv4 } else { KeyType::Ipv6 };
    let fits = match family {
        TableFamily::Inet => true,
        TableFamily::Ip => key == KeyType::Ipv4,
        TableFamily::Ip6 => key == KeyType::Ipv6,
    };
    expressions.extend(matching::source(key, None, set, family == TableFamily::Inet));
    let answer = match *answer {
        ["counter", ref rest @ ..] => {
            expressions.push(Expression::Counter);
            rest
        }
        ref rest => rest,
    };
    expressions.push(self::answer(answer, key, &protocols)?.expression(key));
    fits.then(|| (Rule { chain: chain.to_owned(), expressions, comment: None }, set.to_owned()))
}

/// `{ a, b }` or one word: the words joined by commas, and what is behind.
fn list<'w, 't>(words: &'w [&'t str]) -> Option<(String, &'w [&'t str])> {
    match words {
        ["{", rest @ ..] => {
            let end = rest.iter().position(|word| *word == "}")?;
            let inner = &rest[..end];
            (!inner.is_empty()).then(|| (inner.concat(), &rest[end + 1..]))
        }
        [one, rest @ ..] => Some(((*one).to_owned(), rest)),
        [] => None,
    }
}

const ICMP: [(&str, u8); 7] = [
    ("net-unreachable", 0),
    ("host-unreachable", 1),
    ("prot-unreachable", 2),
    ("port-unreachable", 3),
    ("net-prohibited", 9),
    ("host-prohibited", 10),
    ("admin-prohibited", 13),
];
const ICMPV6: [(&str, u8); 6] = [
    ("no-route", 0),
    ("admin-prohibited", 1),
    ("addr-unreachable", 3),
    ("port-unreachable", 4),
    ("policy-fail", 5),
    ("reject-route", 6),
];
const ICMPX: [(&str, u8); 4] =
    [("no-route", 0), ("port-unreachable", 1), ("host-unreachable", 2), ("admin-prohibited", 3)];

fn answer(words: &[&str], key: KeyType, protocols: &[u8]) -> Option<Answer> {
    let code = |codes: &[(&str, u8)], name: &str, kind| {
        let code = codes.iter().find(|(other, _)| *other == name)?.1;
        Some(Answer::RejectWith(Reject { kind, code }))
    };
    match *words {
        ["drop"] => Some(Answer::Drop),
        ["reject"] => Some(Answer::Reject),
        ["reject", "with", "tcp", "reset"] => (protocols == [6]).then_some(Answer::Reset),
        ["reject", "with", "icmp", name] | ["reject", "with", "icmp", "type", name]
            if key == KeyType::Ipv4 =>
        {
            code(&ICMP, name, 0)
        }
        ["reject", "with", "icmpv6", name] | ["reject", "with", "icmpv6", "type", name]
            if key == KeyType::Ipv6 =>
        {
            code(&ICMPV6, name, 0)
        }
        ["reject", "with", "icmpx", name] | ["reject", "with", "icmpx", "type", name] => {
            code(&ICMPX, name, 2)
        }
        _ => None,
    }
}
