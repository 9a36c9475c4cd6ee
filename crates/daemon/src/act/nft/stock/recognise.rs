//! Whether an action's scripts have the shape of the stock `nftables*` actions, and what they are about.
//!
//! The script of the start is understood word by word. Those of stop, flush and check must consist of the known
//! commands in the known order, on the same table, chain and set. What is not understood is run by a shell.

use super::Stock;
use super::command::{Nft, parse};
use super::shell::{Command, END, OR, OR_BLOCK, PIPE, commands};
use crate::act::nft::object::{Chain, Rule, Set, Table};
use crate::act::nft::ports::Services;

/// An action's scripts, rendered for one family.
#[derive(Clone, Copy, Debug)]
pub struct Scripts<'a> {
    /// `actionstart`
    pub start: &'a str,
    /// `actionstop`
    pub stop: &'a str,
    /// `actionflush`; may be empty
    pub flush: &'a str,
    /// `actioncheck`; may be empty
    pub check: &'a str,
    /// `actionban`
    pub ban: &'a str,
    /// `actionunban`
    pub unban: &'a str,
    /// What stands for the offender in `ban` and `unban`: `<ip>`, or the address for which they were rendered.
    pub offender: &'a str,
}

/// What the scripts are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) table: Table,
    pub(super) chain: Chain,
    pub(super) set: Set,
    pub(super) rules: Vec<Rule>,
    /// The word that calls `nft`.
    pub(super) program: String,
    /// Whether `actioncheck` is there.
    pub(super) checks: bool,
}

/// A step of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Nft(Nft),
    /// Finds rules by their set.
    GrepRules,
    /// Finds rules by their set, and cuts out their handles.
    GrepHandles,
    /// Finds whether there is any set.
    GrepSets,
    /// `read -r name`
    Read(String),
    /// `|`
    Pipe,
    /// `||`
    Or,
    /// `|| {`
    OrBlock,
    /// Its `}`
    End,
}

impl Stock {
    /// The stock action that these scripts are, or `None`: then a shell must run them.
    pub fn recognise(scripts: &Scripts<'_>, services: &Services) -> Option<Stock> {
        let parts = start(scripts.start, services)?;
        let steps = |script| steps(script, &parts, services);
        let one = |script| match steps(script)?.as_slice() {
            [Step::Nft(nft)] => Some(nft.clone()),
            _ => None,
        };
        let (table, set) = (&parts.table, &parts.set.name);
        let offender = scripts.offender.to_owned();
        let ban = Nft::AddElement(table.clone(), set.clone(), offender.clone());
        let unban = Nft::DeleteElement(table.clone(), set.clone(), offender);
        let fits = one(scripts.ban)? == ban
            && one(scripts.unban)? == unban
            && is_stop(&steps(scripts.stop)?, &parts)
            && (scripts.flush.trim().is_empty() || is_flush(&steps(scripts.flush)?, &parts))
            && (scripts.check.trim().is_empty() || is_check(&steps(scripts.check)?, &parts));
        let parts = Parts { checks: !scripts.check.trim().is_empty(), ..parts };
        fits.then(|| Stock::new(parts))
    }
}

/// Reads `actionstart`: table, chain, set, rules, in this order.
fn start(script: &str, services: &Services) -> Option<Parts> {
    let commands = commands(script)?;
    let program = commands.first()?.first()?.clone();
    if program.rsplit('/').next() != Some("nft") {
        return None;
    }
    let mut calls = commands.iter().map(|command| call(command, &program, services));
    let Some(Nft::AddTable(table)) = calls.next()? else { return None };
    let Some(Nft::AddChain(chain_table, chain)) = calls.next()? else { return None };
    let Some(Nft::AddSet(set_table, set)) = calls.next()? else { return None };
    let mut rules = Vec::new();
    for call in calls {
        let Some(Nft::AddRule(rule_table, rule, rule_set)) = call else { return None };
        let source = crate::act::nft::matching::source(set.key, None, &set.name, false);
        let same_key = rule.expressions.windows(source.len()).any(|window| window == source);
        if rule_table != table || rule.chain != chain.name || rule_set != set.name || !same_key {
            return None;
        }
        rules.push(rule);
    }
    let fits = chain_table == table && set_table == table && !rules.is_empty() && !set.timeout;
    fits.then_some(Parts { table, chain, set, rules, program, checks: false })
}

fn call(command: &Command, program: &str, services: &Services) -> Option<Nft> {
    let (word, arguments) = command.split_first()?;
    if word == program { parse(arguments, services) } else { None }
}

fn steps(script: &str, parts: &Parts, services: &Services) -> Option<Vec<Step>> {
    commands(script)?.iter().map(|command| step(command, parts, services)).collect()
}

fn step(command: &Command, parts: &Parts, services: &Services) -> Option<Step> {
    match command.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [PIPE] => Some(Step::Pipe),
        [OR] => Some(Step::Or),
        [OR_BLOCK] => Some(Step::OrBlock),
        [END] => Some(Step::End),
        ["read", "-r", name] => Some(Step::Read(name.to_owned())),
        ["grep", option, pattern] if option.starts_with('-') => grep(option, pattern, &parts.set.name),
        _ => call(command, &parts.program, services).map(Step::Nft),
    }
}

/// What a `grep` looks for. A pattern with the set's name finds its rules only if the name's end is marked: else it would
/// find those of another jail, whose name begins like this one's.
fn grep(option: &str, pattern: &str, set: &str) -> Option<Step> {
    let quiet = option.contains('q');
    if let Some(behind) = pattern.strip_prefix('@').and_then(|pattern| pattern.strip_prefix(set)) {
        let ends = ["\\s", " ", "[ ", "[[:space:]]", "\\b", "$"].iter().any(|end| behind.starts_with(end));
        return match (ends, quiet, option.contains('o') && behind.contains("handle")) {
            (true, true, _) => Some(Step::GrepRules),
            (true, false, true) => Some(Step::GrepHandles),
            _ => None,
        };
    }
    let bare: String = pattern.chars().filter(|c| !matches!(c, '^' | '*' | '+' | ' ')).collect();
    let bare = bare.replace("\\s", "").replace("[[:space:]]", "");
    (quiet && bare == "set" && pattern.starts_with('^')).then_some(Step::GrepSets)
}

/// Deletes the rules that look up the set, then the set, then the table if no set is left.
fn is_stop(steps: &[Step], parts: &Parts) -> bool {
    let Some(rest) = deletion(steps, parts) else { return false };
    let list = Step::Nft(Nft::ListTable(parts.table.clone()));
    let delete = Step::Nft(Nft::DeleteTable(parts.table.clone()));
    match rest {
        [first, Step::Pipe, Step::GrepSets, Step::Or, last]
        | [first, Step::Pipe, Step::GrepSets, Step::OrBlock, last, Step::End] => {
            *first == list && *last == delete
        }
        _ => false,
    }
}

/// The deletion of rules and set at the beginning of `steps`; the rest.
fn deletion<'s>(steps: &'s [Step], parts: &Parts) -> Option<&'s [Step]> {
    let [
        list,
        Step::Pipe,
        Step::GrepHandles,
        Step::Pipe,
        Step::Read(name),
        Step::Nft(Nft::DeleteRule(table, chain, rule)),
        set,
        rest @ ..,
    ] = steps
    else {
        return None;
    };
    let listed = *list == Step::Nft(Nft::ListChain(parts.table.clone(), parts.chain.name.clone()));
    let deleted = *set == Step::Nft(Nft::DeleteSet(parts.table.clone(), parts.set.name.clone()));
    // What `grep` has cut out is `handle 5`, or `5` behind the word.
    let handle = *rule == format!("${name}") || *rule == format!("handle ${name}");
    (listed && deleted && handle && *table == parts.table && *chain == parts.chain.name).then_some(rest)
}

/// Flushes the set; or else deletes and makes again what belongs to the jail.
fn is_flush(steps: &[Step], parts: &Parts) -> bool {
    let flush = Step::Nft(Nft::FlushSet(parts.table.clone(), parts.set.name.clone()));
    let Some((first, fallback)) = steps.split_first() else { return false };
    if *first != flush {
        return false;
    }
    let fallback = match fallback {
        [] => return true,
        [Step::OrBlock, fallback @ .., Step::End] => fallback,
        _ => return false,
    };
    let Some(again) = deletion(fallback, parts) else { return false };
    let set = Step::Nft(Nft::AddSet(parts.table.clone(), parts.set.clone()));
    let rules = parts
        .rules
        .iter()
        .map(|rule| Step::Nft(Nft::AddRule(parts.table.clone(), rule.clone(), parts.set.name.clone())));
    again.iter().cloned().eq(std::iter::once(set).chain(rules))
}

/// Finds the set's rules in the chain.
fn is_check(steps: &[Step], parts: &Parts) -> bool {
    let list = Step::Nft(Nft::ListChain(parts.table.clone(), parts.chain.name.clone()));
    *steps == [list, Step::Pipe, Step::GrepRules]
}
