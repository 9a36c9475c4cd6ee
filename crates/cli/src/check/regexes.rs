//! Regular expressions: those that do not compile, name nobody, can be fooled, or are slow.

use portcullis_config::check::{Problem, Severity};
use portcullis_jail::filter::{Engine, Filter, RegexError};
use portcullis_value::Value;

use super::Jail;

/// Tags that stand for the offender.
const HOSTS: &[&str] = &[
    "<HOST>",
    "<ADDR>",
    "<SUBNET>",
    "<CIDR>",
    "<IP4>",
    "<IP6>",
    "<DNS>",
    "<F-ID>",
    "(?P<host>",
    "(?P<ip4>",
    "(?P<ip6>",
];

pub(super) fn look(jail: &Jail, problems: &mut Vec<Problem>) {
    let mut filter = Filter::new();
    if let Some([Value::Int(lines)]) = jail.set("maxlines").last() {
        filter.set_maxlines(usize::try_from(*lines).unwrap_or(1));
    }
    // Those that were taken, to tell by their place which of them is which.
    let mut taken = [("prefregex", Vec::new()), ("ignoreregex", Vec::new()), ("failregex", Vec::new())];
    if let Some(prefix) = texts(jail, "prefregex").last() {
        match filter.set_prefregex(prefix) {
            Ok(()) => taken[0].1.push(prefix),
            Err(error) => problems.push(refused(jail, "prefregex", prefix, &error)),
        }
    }
    for regex in texts(jail, "addignoreregex") {
        match filter.add_ignoreregex(regex) {
            Ok(()) => taken[1].1.push(regex),
            Err(error) => problems.push(refused(jail, "ignoreregex", regex, &error)),
        }
    }
    let mut count = 0;
    for regex in texts(jail, "addfailregex") {
        count += 1;
        match filter.add_failregex(regex) {
            Ok(()) => {
                taken[2].1.push(regex);
                problems.extend(open(jail, regex));
            }
            Err(error) => problems.push(refused(jail, "failregex", regex, &error)),
        }
    }
    for carried in filter.engines() {
        let Engine::Limited(reasons) = carried.engine else { continue };
        let texts = taken.iter().find(|(option, _)| *option == carried.option).map(|(_, texts)| texts);
        if let Some(regex) = texts.and_then(|texts| texts.get(carried.number - 1)) {
            problems.push(hard(jail, carried.option, regex, &reasons));
        }
    }
    if count == 0 {
        let place =
            jail.checked.option_place(jail.name, "filter").or_else(|| jail.checked.section_place(jail.name));
        let title = format!("jail `{}` has no `failregex`", jail.name);
        problems.push(
            Problem::new(Severity::Warning, "no-regex", title).at(place, "no line of a log can be a failure"),
        );
    }
}

/// The texts that commands give, one or many at once.
fn texts<'a>(jail: &'a Jail, option: &'a str) -> impl Iterator<Item = &'a str> {
    jail.set(option)
        .flatten()
        .flat_map(|value| match value {
            Value::List(many) => many.as_slice(),
            one => std::slice::from_ref(one),
        })
        .filter_map(Value::as_str)
}

fn refused(jail: &Jail, option: &str, regex: &str, error: &RegexError) -> Problem {
    let (place, remarks) = jail.checked.regex_place(jail.name, option, regex);
    let stands = place.as_ref().is_some_and(|place| place.marked() == regex);
    let problem = match error {
        RegexError::NoId(_) => {
            let problem = Problem::new(Severity::Error, "no-host", format!("this `{option}` names nobody"))
                .at(place, "nothing here says whom to count the failure against");
            problem
                .noting(remarks)
                .hint("put `<HOST>` (or `<ADDR>`, `<F-ID>…</F-ID>`) where the address stands")
        }
        RegexError::Invalid { reason, .. } => {
            let title = format!("this `{option}` is no regular expression");
            Problem::new(Severity::Error, "bad-regex", title).at(place, first_line(reason)).noting(remarks)
        }
        other => Problem::new(Severity::Error, "bad-regex", format!("this `{option}` cannot be used"))
            .at(place, other.to_string())
            .noting(remarks),
    };
    if stands { problem } else { problem.note(format!("in full: {regex}")) }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// A regex that lets whoever chooses the text before the address choose the address: anything may stand before it, and
/// anything may follow.
fn open(jail: &Jail, regex: &str) -> Option<Problem> {
    let at = HOSTS.iter().filter_map(|tag| regex.find(tag)).min()?;
    let before = &regex[..at];
    let free = [".*", ".+"].iter().filter_map(|free| unescaped(before, free)).min()?;
    if anchored(regex) {
        return None;
    }
    let (place, remarks) = jail.checked.regex_place(jail.name, "failregex", regex);
    let place = place?;
    let shown = &regex[free..free + 2];
    Some(
        Problem::new(Severity::Warning, "injection", "an attacker may choose whom this `failregex` bans")
            .at(place.narrowed(&regex[free..]), format!("`{shown}` stands before the address, and no `$` behind"))
            .noting(remarks)
            .note("whoever writes part of such a line (a user name, a URL) can write an address of others into it")
            .hint("say what may stand there (`\\S+`, `[^\"]*`), or end the regex with `$`"),
    )
}

/// Where `what` stands in a pattern, not behind a backslash or in brackets.
fn unescaped(pattern: &str, what: &str) -> Option<usize> {
    let (mut escaped, mut class) = (false, false);
    for (at, c) in pattern.char_indices() {
        if !escaped && !class && pattern[at..].starts_with(what) {
            return Some(at);
        }
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => class = true,
            ']' => class = false,
            _ => {}
        }
    }
    None
}

/// Whether a pattern says what comes at the end of the line.
fn anchored(regex: &str) -> bool {
    let mut rest = regex.trim_end_matches([')', ' ', '?', '+', '*']);
    rest = rest.strip_suffix("\\Z").map_or(rest, |_| "$");
    rest.ends_with('$') && !rest.ends_with("\\$") || regex.contains("$)") || regex.contains("$|")
}

/// What refers back to an earlier group makes a line cost more the longer it is; the rest is linear in both engines.
fn hard(jail: &Jail, option: &str, regex: &str, reasons: &[&str]) -> Problem {
    let (place, remarks) = jail.checked.regex_place(jail.name, option, regex);
    let title = format!("this `{option}` needs the engine that tries and goes back");
    let (place, why) = match reference(regex) {
        Some((at, length)) => (
            place.map(|place| place.narrowed(&regex[at..at + length])),
            "refers back to what a group has matched".to_owned(),
        ),
        None => (place, format!("has a {}", reasons.join(" and a "))),
    };
    Problem::new(Severity::Note, "slow-regex", title)
        .at(place, why)
        .noting(remarks)
        .note("a line that takes too many steps is left unjudged")
        .hint("say what may stand there instead, and every line costs little")
}

/// The first reference to an earlier group, and how long it is.
fn reference(regex: &str) -> Option<(usize, usize)> {
    let digit = |at: usize| regex[at + 1..].starts_with(|c: char| ('1'..='9').contains(&c));
    let numbered = regex.match_indices('\\').scan(None, |last: &mut Option<usize>, (at, _)| {
        let escaped = *last == Some(at);
        *last = (!escaped).then_some(at + 1);
        Some((at, escaped))
    });
    numbered
        .filter(|(at, escaped)| !escaped && digit(*at))
        .map(|(at, _)| (at, 2))
        .chain(regex.find("(?P=").map(|at| (at, regex[at..].find(')').map_or(4, |end| end + 1))))
        .min()
}
