//! `status`: trees of names and values.

use portcullis_value::Value;

use super::{items, joined, word};

/// `|- a`, `` `- b``: each item on a line.
pub(super) fn list(items: impl Iterator<Item = String>) -> String {
    let mut items = items.peekable();
    let mut out = String::new();
    while let Some(item) = items.next() {
        out.push_str(if items.peek().is_some() { "|- " } else { "`- " });
        out.push_str(&item);
        if items.peek().is_some() {
            out.push('\n');
        }
    }
    out
}

/// The tree of a server, a jail, or of all jails.
pub(super) fn status(words: &[Value], reply: &Value) -> Option<String> {
    let lines = match words.get(1) {
        None => [vec!["Status".to_owned()], pairs(items(reply)?, "")?].concat(),
        Some(all) if all.as_str() == Some("--all") => all_jails(reply)?,
        Some(_) => [vec![format!("Status for the jail: {}", word(words, 1))], groups(reply, "")?].concat(),
    };
    Some(lines.join("\n"))
}

/// `|- name:→value` for each pair.
fn pairs(pairs: &[Value], indent: &str) -> Option<Vec<String>> {
    let last = pairs.len().checked_sub(1);
    pairs
        .iter()
        .enumerate()
        .map(|(index, pair)| {
            let [name, value] = items(pair)? else { return None };
            let branch = if Some(index) == last { "`-" } else { "|-" };
            let value = items(value).map_or_else(|| value.to_string(), |values| joined(values, " "));
            Some(format!("{indent}{branch} {name}:\t{value}"))
        })
        .collect()
}

/// The groups of a jail, and in each its pairs.
fn groups(status: &Value, indent: &str) -> Option<Vec<String>> {
    let groups = items(status)?;
    let mut lines = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        let [name, values] = items(group)? else { return None };
        let (branch, trunk) = if index + 1 == groups.len() { ("`-", "   ") } else { ("|-", "|  ") };
        lines.push(format!("{indent}{branch} {name}"));
        lines.extend(pairs(items(values)?, &format!("{indent}{trunk}"))?);
    }
    Some(lines)
}

/// `status --all` of 1.1: the pairs of the server, then a dict with the status of each jail.
fn all_jails(reply: &Value) -> Option<Vec<String>> {
    let parts = items(reply)?;
    let (last, rest) = parts.split_last()?;
    let jails = match last {
        Value::Dict(jails) => jails,
        named => match items(named)? {
            [_, Value::Dict(jails)] => jails,
            _ => return None,
        },
    };
    // The list may come by itself beside the dict.
    let server = match rest {
        [Value::List(server)] => server,
        server => server,
    };
    let mut lines = vec!["Status".to_owned()];
    for line in pairs(server, "")? {
        lines.push(line.replacen("`-", "|-", 1));
    }
    lines.push("`- Status for the jails:".to_owned());
    for (index, (jail, status)) in jails.iter().enumerate() {
        let (branch, indent) = if index + 1 == jails.len() { ("`-", "      ") } else { ("|-", "   |  ") };
        lines.push(format!("   {branch} Jail: {jail}"));
        lines.extend(groups(status, indent)?);
    }
    Some(lines)
}
