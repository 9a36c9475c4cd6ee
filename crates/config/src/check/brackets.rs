//! Options between brackets, as in `filter = sshd[mdoe=aggressive]`, that nothing in the files of the filter or action
//! asks for. Fail2ban takes any name there.

use std::collections::HashSet;

use super::jails::{Checked, Part};
use super::options::{CUSTOMARY, Family, known, named, similar};
use super::{Problem, Severity};
use crate::arguments::Reference;
use crate::definition::Kind;

/// What each filter or action takes.
const ALWAYS: &[&str] = &["name", "actname", "timeout", "logtype", "mode", "bantime", "logpath"];

/// Looks through the brackets of one reference of a jail, given the files that it refers to.
pub(super) fn look(checked: &Checked, jail: &str, reference: &Reference, part: &Part) -> Vec<Problem> {
    let (option, family, word) = match part.kind {
        Kind::Filter => ("filter", Family::Filter, "filter"),
        Kind::Action => ("action", Family::Action, "action"),
    };
    if reference.options.is_empty() || part.files.is_empty() {
        return Vec::new();
    }
    let asked = asked(part, family);
    let mut problems = Vec::new();
    for (name, _) in &reference.options {
        let lower = name.to_lowercase();
        let computed = |known: &String| {
            known.split_once('<').is_some_and(|(start, _)| !start.is_empty() && lower.starts_with(start))
        };
        if asked.contains(&lower) || asked.iter().any(computed) || CUSTOMARY.contains(&lower.as_str()) {
            continue;
        }
        let meant = similar(&lower, asked.iter().map(String::as_str).filter(|known| !known.contains('<')));
        // One list of options often serves several actions, each of which takes what it needs.
        if meant.is_none() && part.kind == Kind::Action {
            continue;
        }
        let (place, remarks) = checked.text_place(jail, option, name);
        let title = format!("unknown option `{name}` for the {word} `{}`", part.name);
        let problem = Problem::new(Severity::Warning, "unknown-option", title)
            .at(place, format!("nothing in `{word}.d/{}.conf` refers to it", part.name))
            .noting(remarks);
        problems.push(match meant {
            Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
            None => problem,
        });
    }
    problems
}

/// Every name that the files define, refer to, or give to the server.
fn asked(part: &Part, family: Family) -> HashSet<String> {
    let mut asked: HashSet<String> =
        known(family).into_iter().chain(ALWAYS.iter().copied()).map(str::to_owned).collect();
    for leaf in &part.files {
        for (_, entry) in leaf.sheet.entries() {
            asked.insert(entry.key.split('?').next().unwrap_or_default().to_owned());
            for piece in &entry.value {
                asked.extend(named(leaf.sheet.text(piece)));
            }
        }
    }
    asked
}
