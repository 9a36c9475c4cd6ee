//! `fail2ban-client`, `fail2ban-server` and `fail2ban-regex`: their options, and the commands of the table.

use portcullis_wire::table::{Entry, Kind, Place as At, entries};

use super::Candidates;
use super::server::Known;
use crate::client::OPTIONS;
use crate::regex;

/// What may follow these words of `fail2ban-client`.
pub(super) fn candidates(words: &[String], last: &str) -> Candidates {
    let Some(command) = command(words) else { return of_option(words) };
    if command.is_empty() && last.starts_with('-') {
        let mut found = Candidates::default();
        for row in &OPTIONS {
            let letter = row.letter.map(|letter| format!("-{letter}"));
            for name in letter.into_iter().chain(row.names.iter().map(|name| format!("--{name}"))) {
                found.add(name, row.help);
            }
        }
        return found;
    }
    of_command(command, &Known::of(words))
}

/// The words of the command so far; `None` when the cursor is at an option's argument.
fn command(words: &[String]) -> Option<&[String]> {
    let mut rest = words;
    while let Some((word, after)) = rest.split_first() {
        if !word.starts_with('-') || word == "-" {
            break;
        }
        rest = after;
        if takes_argument(word) {
            (_, rest) = rest.split_first()?;
        }
    }
    Some(rest)
}

fn takes_argument(word: &str) -> bool {
    let row = OPTIONS.iter().find(|row| match word.strip_prefix("--") {
        Some(long) => row.names.contains(&long),
        // Letters may stand together; the last one counts.
        None => row.letter.is_some() && row.letter == word.chars().last(),
    });
    row.is_some_and(|row| row.argument.is_some())
}

fn of_option(words: &[String]) -> Candidates {
    let Some(option) = words.last() else { return Candidates::default() };
    let mut found = Candidates::default();
    match option.trim_start_matches('-') {
        "loglevel" => Kind::Level.words().iter().for_each(|word| found.add(*word, "")),
        "logtarget" => {
            Kind::Target.words().iter().for_each(|word| found.add(*word, ""));
            found.files = true;
        }
        "pname" | "timeout" | "str2sec" => {}
        _ => found.files = true,
    }
    found
}

fn of_command(command: &[String], known: &Known) -> Candidates {
    let mut found = Candidates::default();
    let word = |place: usize| command.get(place).map(String::as_str);
    match (word(0), word(1), word(2)) {
        (None, ..) => {
            for entry in
                entries().filter(|entry| matches!(entry.place(), At::Server) && !entry.forms.is_empty())
            {
                found.add(entry.name, entry.forms[0].help);
            }
            found.add("get", "tells a setting of the server or of a jail");
            found.add("set", "changes a setting of the server or of a jail");
        }
        (Some(verb @ ("get" | "set")), None, _) => {
            names(if verb == "get" { At::Get } else { At::Set }, &mut found);
            known.jails(&mut found);
        }
        (Some(verb @ ("get" | "set")), Some(what), None) => {
            let setting = if verb == "get" { At::Get } else { At::Set };
            let place = if verb == "get" { At::JailGet } else { At::JailSet };
            match rows(setting, what).next() {
                Some(_) => arguments(rows(setting, what), &[], None, known, &mut found),
                None => names(place, &mut found),
            }
        }
        (Some(verb @ ("get" | "set")), Some(jail), Some(name)) => {
            let place = if verb == "get" { At::JailGet } else { At::JailSet };
            arguments(rows(place, name), &command[3..], Some(jail), known, &mut found);
        }
        (Some(name), ..) => arguments(rows(At::Server, name), &command[1..], None, known, &mut found),
    }
    found
}

fn rows(place: At, name: &str) -> impl Iterator<Item = &'static Entry> {
    entries().filter(move |entry| entry.place() == place && entry.name == name)
}

fn names(place: At, found: &mut Candidates) {
    for entry in entries().filter(|entry| entry.place() == place) {
        if let Some(form) = entry.forms.first() {
            found.add(entry.name, form.help);
        }
    }
}

/// What may stand behind these arguments.
fn arguments(
    rows: impl Iterator<Item = &'static Entry>,
    given: &[String],
    jail: Option<&str>,
    known: &Known,
    found: &mut Candidates,
) {
    for form in rows.flat_map(|entry| entry.forms) {
        // `action ACT actionban`: a word that stands there must be the one that was given.
        let list = form.list();
        let fits = given.iter().zip(&list).all(|(given, argument)| match argument.kinds.as_slice() {
            [Kind::Word(word)] if !argument.optional => given == word,
            _ => true,
        });
        if !fits {
            continue;
        }
        for kind in form.possible(given.len()) {
            match kind {
                Kind::Word(word) if given.iter().any(|given| given == word) => {}
                Kind::Word(word) => found.add(word, form.help),
                Kind::Jail => known.jails(found),
                Kind::Action => jail.into_iter().for_each(|jail| known.actions(jail, found)),
                Kind::Address => known.addresses(jail, found),
                Kind::File => found.files = true,
                other => other.words().iter().for_each(|word| found.add(*word, form.help)),
            }
        }
    }
}

/// What may follow these words of `fail2ban-regex`.
pub(super) fn of_tester(words: &[String], last: &str) -> Candidates {
    if last.starts_with('-') {
        let mut found = Candidates::default();
        for (name, help) in regex::option_names() {
            found.add(name, help);
        }
        return found;
    }
    let _ = words;
    // A log, a filter: files.
    Candidates::file()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(line: &str) -> Vec<String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (last, before) = words.split_last().unwrap();
        let mut before = before.to_vec();
        // A server that nobody has.
        before.splice(0..0, ["-s".to_owned(), "/nonexistent/socket".to_owned()]);
        let found = candidates(&before, last);
        let words = found.words.into_iter().map(|known| known.word).filter(|word| word.starts_with(last));
        words.chain(found.files.then(|| ":files".to_owned())).collect()
    }

    #[test]
    fn commands_and_their_arguments_come_from_the_table() {
        assert_eq!(offered("ba"), ["banned"]);
        assert_eq!(offered("set logl"), ["loglevel"]);
        assert!(offered("set loglevel ").contains(&"NOTICE".to_owned()));
        assert_eq!(offered("set sshd idle "), ["on", "off"]);
        assert_eq!(offered("get sshd banip --"), ["--with-time"]);
        assert_eq!(offered("set sshd addlogpath "), [":files"]);
        assert_eq!(offered("set sshd addlogpath /x "), ["tail"]);
        assert!(offered("reload ").contains(&"--restart".to_owned()));
        assert!(!offered("reload --restart ").contains(&"--restart".to_owned()));
        assert!(offered("set sshd action nft ").contains(&"actionban".to_owned()));
        assert_eq!(offered("nonsense x "), Vec::<String>::new());
    }

    #[test]
    fn options_and_their_arguments_are_offered_before_the_command_only() {
        assert!(offered("--lo").contains(&"--loglevel".to_owned()));
        assert_eq!(offered("-vc "), [":files"]);
        assert_eq!(offered("--loglevel DEB"), ["DEBUG"]);
        assert!(offered("-c /x ").contains(&"status".to_owned()));
        assert_eq!(offered("ping --lo"), Vec::<String>::new());
    }
}
