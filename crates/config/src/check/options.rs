//! Options that mean nothing where they stand, and values that are not what they look like. Fail2ban is silent about these.

use std::collections::HashSet;

use super::lines::{Block, Entry, Sheet};
use super::tree::{Leaf, chain_remarks};
use super::{Place, Problem, Severity};
use crate::definition::{ACTION_OPTIONS, FILTER_OPTIONS};
use crate::settings::distance;
use crate::{jail, server};

/// What a file configures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// `fail2ban.conf`
    Server,
    /// `jail.conf`
    Jail,
    /// One of `filter.d`
    Filter,
    /// One of `action.d`
    Action,
}

/// Options whose values are regular expressions, shell commands or dates: a `#` in them may well be meant.
const FREE: &[&str] =
    &["failregex", "ignoreregex", "prefregex", "datepattern", "ignorecommand", "journalmatch"];

/// Nobody reads more than this; a file that has them is no configuration.
const MOST_PROBLEMS: usize = 1000;

/// Among more names than this, none is looked for that may have been meant.
const MOST_NAMES: usize = 2000;

/// Names that jails have by custom, for actions and filters to refer to; that none does is no mistake.
pub(super) const CUSTOMARY: &[&str] =
    &["port", "protocol", "chain", "mode", "banaction", "banaction_allports", "destemail", "sender", "mta"];

/// Looks through the files of one family.
pub(crate) fn look(family: Family, leaves: &[Leaf], problems: &mut Vec<Problem>) {
    let used = references(leaves);
    let jails: Vec<&str> = leaves
        .iter()
        .filter(|leaf| leaf.sheet.path.extension().is_some_and(|extension| extension == "conf"))
        .flat_map(|leaf| &leaf.sheet.blocks)
        .map(|block| block.name.as_str())
        .collect();
    for leaf in leaves {
        let mut found = Vec::new();
        for block in &leaf.sheet.blocks {
            let before = found.len();
            section(family, leaf, block, &jails, &mut found);
            // Nothing in it has an effect then, which need not be said of each.
            if family == Family::Server && found.len() > before {
                continue;
            }
            for entry in &block.entries {
                if problems.len() + found.len() >= MOST_PROBLEMS {
                    break;
                }
                unknown(family, leaf, block, entry, &used, &mut found);
                swallowed(family, &leaf.sheet, entry, &mut found);
                comment(family, &leaf.sheet, entry, &mut found);
            }
        }
        for problem in &mut found {
            problem.remarks.extend(chain_remarks(&leaf.chain));
        }
        problems.append(&mut found);
    }
}

/// Names that some value refers to as `%(name)s` or `<name>`.
fn references(leaves: &[Leaf]) -> HashSet<String> {
    let mut found = HashSet::new();
    for leaf in leaves {
        for (_, entry) in leaf.sheet.entries() {
            for piece in &entry.value {
                found.extend(named(leaf.sheet.text(piece)));
            }
        }
    }
    found
}

/// The names in `%(a)s`, `%(b/c)s`, `<d>`, `<e/f>`.
pub(crate) fn named(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for (open, close) in [("%(", ')'), ("<", '>')] {
        for (at, _) in text.match_indices(open) {
            let inner = &text[at + open.len()..];
            let Some(end) = inner.find(close).filter(|end| *end < 200) else { continue };
            let name = inner[..end].to_lowercase();
            let name = name.rsplit('/').next().unwrap_or_default();
            out.push(name.split('?').next().unwrap_or_default().to_owned());
        }
    }
    out
}

/// The options that a family's program reads, from sections where it does.
pub(crate) fn known(family: Family) -> Vec<&'static str> {
    match family {
        Family::Server => server::option_names().chain(["stacksize"]).collect(),
        Family::Jail => jail::option_names().chain(CUSTOMARY.iter().copied()).collect(),
        Family::Filter => FILTER_OPTIONS.to_vec(),
        Family::Action => ACTION_OPTIONS.to_vec(),
    }
}

fn section(family: Family, leaf: &Leaf, block: &Block, jails: &[&str], problems: &mut Vec<Problem>) {
    let name = block.name.as_str();
    if matches!(name, "DEFAULT" | "INCLUDES") {
        return;
    }
    let place = leaf.sheet.place(&block.at);
    let dead = |label: String| {
        Problem::new(Severity::Warning, "no-effect", format!("the section `[{name}]` has no effect here"))
            .at(place.clone(), label)
    };
    match family {
        Family::Server if !matches!(name, "Definition" | "Thread") => {
            let problem = dead("the server reads `[Definition]` and `[Thread]`".into());
            let problem = if jails.contains(&name) || block.entries.iter().any(|e| belongs_to_jail(&e.key)) {
                problem.hint("jails are configured in `jail.local` or `jail.d/*.local`")
            } else {
                problem.hint("move its options to `[Definition]`")
            };
            problems.push(problem);
        }
        Family::Jail => {
            if matches!(name, "Definition" | "Init" | "Thread") {
                let problem = dead("would be a jail of this name".into());
                problems.push(problem.hint("options for all jails belong under `[DEFAULT]`"));
            } else if name.eq_ignore_ascii_case("default") || name.eq_ignore_ascii_case("includes") {
                let upper = name.to_uppercase();
                problems.push(
                    dead("names are case-sensitive: this is a jail".into())
                        .hint(format!("write `[{upper}]`")),
                );
            } else if !jails.contains(&name) && !block.entries.iter().any(|entry| entry.key == "enabled") {
                // It adds to a jail that nobody has defined.
                if let Some(meant) = similar(name, jails.iter().copied()) {
                    let problem = dead("there is no such jail, and it is not enabled".into());
                    problems.push(problem.hint(format!("did you mean `[{meant}]`?")));
                }
            }
        }
        _ => {}
    }
}

fn belongs_to_jail(name: &str) -> bool {
    jail::option_names().any(|known| known == name) && !FILTER_OPTIONS.contains(&name)
}

fn unknown(
    family: Family,
    leaf: &Leaf,
    block: &Block,
    entry: &Entry,
    used: &HashSet<String>,
    problems: &mut Vec<Problem>,
) {
    let key = entry.key.as_str();
    let place = leaf.sheet.place(&entry.at);
    if block.name == "INCLUDES" {
        if !matches!(key, "before" | "after") {
            let problem =
                Problem::new(Severity::Warning, "unknown-option", format!("unknown option `{key}`"))
                    .at(place, "`[INCLUDES]` has `before` and `after`");
            problems.push(problem);
        }
        return;
    }
    // Conditions and single letters aside: Fail2ban has a meaning for parts of `datepattern`, too.
    let plain = key.split('?').next().unwrap_or(key);
    let names = known(family);
    if names.contains(&plain) || used.contains(plain) || key == "__name__" {
        return;
    }
    if let Some(problem) = elsewhere(family, plain, place.clone()) {
        problems.push(problem);
        return;
    }
    // Parameters of actions and parts of regexes are named as one likes, so only what looks like a slip is told.
    let searched = family == Family::Jail && used.len() < MOST_NAMES;
    let others = searched.then(|| used.iter().map(String::as_str)).into_iter().flatten();
    let candidates = names.iter().copied().chain(others);
    // `action_mw` is a variant, there to be chosen.
    let variant = names.iter().any(|name| plain.strip_prefix(name).is_some_and(|rest| rest.starts_with('_')));
    let meant = similar(plain, candidates).filter(|_| !plain.starts_with('_') && !variant);
    let mut problem = Problem::new(Severity::Warning, "unknown-option", format!("unknown option `{plain}`"))
        .at(place, "nothing reads this, and no other value refers to it");
    match meant {
        Some(meant) => problem = problem.hint(format!("did you mean `{meant}`?")),
        None if family == Family::Server => {}
        // A library of names (`paths-debian.conf`) defines more than is used.
        None if family == Family::Jail && block.name != "DEFAULT" => {}
        None => return,
    }
    problems.push(problem);
}

/// An option that means something in another file.
fn elsewhere(family: Family, key: &str, place: Place) -> Option<Problem> {
    let problem = |label: &str| {
        Problem::new(Severity::Warning, "no-effect", format!("the option `{key}` has no effect here"))
            .at(place.clone(), label)
    };
    let of_server = server::option_names().any(|name| name == key);
    match family {
        Family::Server if jail::option_names().any(|name| name == key) => Some(
            problem("is an option of jails").hint("move it to `jail.local`, under `[DEFAULT]` or a jail"),
        ),
        Family::Jail if of_server => Some(
            problem("is an option of the server").hint("move it to `fail2ban.local`, under `[Definition]`"),
        ),
        Family::Jail if matches!(key, "before" | "after") => {
            Some(problem("names an included file only under `[INCLUDES]`").hint("move it to `[INCLUDES]`"))
        }
        Family::Filter if belongs_to_jail(key) => {
            Some(problem("is an option of jails").hint("move it to the jail's section in `jail.local`"))
        }
        _ => None,
    }
}

/// The name that was probably meant: one that differs little for its length.
pub(crate) fn similar<'a>(name: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| name.chars().filter(|c| c.is_alphanumeric()).take(64).collect::<String>();
    let ours = plain(&name.to_lowercase());
    let most = match ours.chars().count() {
        0..=2 => return None,
        3..=4 => 1,
        _ => 2,
    };
    among
        .filter(|known| *known != name && known.len().abs_diff(name.len()) <= 8)
        .map(|known| (slips(&ours, &plain(&known.to_lowercase())), known))
        .filter(|(slips, _)| *slips <= most)
        .min()
        .map(|(_, known)| known)
}

/// How many slips of the hand make one name the other: two neighbours exchanged are one.
fn slips(a: &str, b: &str) -> usize {
    let distance = distance(a, b);
    let letters = |text: &str| {
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters
    };
    if distance == 2 && letters(a) == letters(b) { 1 } else { distance }
}

/// `  maxretry = 3` that continues the value above.
fn swallowed(family: Family, sheet: &Sheet, entry: &Entry, problems: &mut Vec<Problem>) {
    let names = known(family);
    let mut brackets = 0_i64;
    for (index, piece) in entry.value.iter().enumerate() {
        let text = sheet.text(piece);
        let inside = brackets > 0;
        brackets += text.matches('[').count() as i64 - text.matches(']').count() as i64;
        let Some((key, rest)) = text.split_once('=').filter(|_| index > 0 && !inside) else { continue };
        let key = key.trim_end();
        // A shell's assignment has no blanks; an option that is written so in a list of commands is one.
        let assignment = family == Family::Action && !rest.starts_with(' ');
        if assignment || !names.contains(&key.to_lowercase().as_str()) {
            continue;
        }
        let place = sheet.place(piece).narrowed(key);
        problems.push(
            Problem::new(
                Severity::Error,
                "swallowed-option",
                format!("`{key}` is part of the value of `{}`", entry.key),
            )
            .at(place, "indented, so it continues the option above")
            .remark("the option that it continues", sheet.place(&entry.at))
            .hint(format!("remove the blanks before `{key}`")),
        );
    }
}

/// `bantime = 10m  # ten minutes`: only ` ;` begins a comment behind a value.
fn comment(family: Family, sheet: &Sheet, entry: &Entry, problems: &mut Vec<Problem>) {
    let names = known(family);
    let key = entry.key.as_str();
    let simple = matches!(family, Family::Jail | Family::Server)
        || matches!(key, "maxlines" | "usedns" | "norestored");
    if !simple || FREE.contains(&key) || !names.contains(&key) {
        return;
    }
    for piece in &entry.value {
        let text = sheet.text(piece);
        let Some(at) = hash(text) else { continue };
        let mut place = sheet.place(piece);
        place.columns.start += at;
        problems.push(
            Problem::new(Severity::Error, "comment-in-value", format!("`#` is part of the value of `{key}`"))
                .at(place, "this is no comment: it belongs to the value")
                .hint("put the comment on a line of its own, or begin it with ` ;`"),
        );
    }
}

/// Where a `#` follows a blank outside of quotes and brackets.
fn hash(text: &str) -> Option<usize> {
    let (mut quote, mut before, mut depth) = (None, ' ', 0_i32);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '#') if before.is_whitespace() && depth <= 0 => return Some(at),
            (None, '"' | '\'') if depth > 0 => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => depth -= 1,
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
        before = c;
    }
    None
}
