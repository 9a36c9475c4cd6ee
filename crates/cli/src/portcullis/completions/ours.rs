//! `portcullis` itself, as clap knows it.

use clap::{Arg, ArgAction, Command, CommandFactory as _};

use super::server::Known;
use super::{Candidates, client};
use crate::portcullis::arguments::Arguments;

/// What may follow these words of `portcullis`.
pub(super) fn candidates(words: &[String], last: &str) -> Candidates {
    let mut command = Arguments::command();
    command.build();
    let mut command = &command;
    let mut free = 0;
    let mut jail = None;
    let mut rest = words;
    while let Some((word, after)) = rest.split_first() {
        rest = after;
        if let Some(option) = option(command, word) {
            if takes_value(option) && !word.contains('=') {
                let Some((value, after)) = rest.split_first() else {
                    return of_value(option, &Known::of(words), None);
                };
                if option.get_id() == "jail" {
                    jail = Some(value.as_str());
                }
                rest = after;
            }
        } else if let Some(subcommand) = command.find_subcommand(word) {
            match subcommand.get_name() {
                "server" | "client" => return client::candidates(rest, last),
                "regex" => return client::of_tester(rest, last),
                _ => command = subcommand,
            }
        } else {
            free += 1;
        }
    }
    let mut found = Candidates::default();
    if last.starts_with('-') {
        for option in
            command.get_arguments().filter(|option| !option.is_positional() && !option.is_hide_set())
        {
            let help = option.get_help().map(ToString::to_string).unwrap_or_default();
            let short = option.get_short().map(|short| format!("-{short}"));
            for name in option.get_long().map(|long| format!("--{long}")).into_iter().chain(short) {
                found.add(name, help.clone());
            }
        }
        return found;
    }
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        found.add(subcommand.get_name(), subcommand.get_about().map(ToString::to_string).unwrap_or_default());
    }
    let positionals: Vec<&Arg> = command.get_positionals().collect();
    let last_one = positionals.last().filter(|last| last.get_action().takes_values() && is_many(last));
    if let Some(argument) = positionals.get(free).or(last_one) {
        let values = of_value(argument, &Known::of(words), jail);
        values.words.into_iter().for_each(|value| found.add(value.word, value.help));
        found.files |= values.files;
    }
    found
}

fn option<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let name = word.split('=').next().unwrap_or(word);
    command.get_arguments().find(|option| match name.strip_prefix("--") {
        Some(long) => option.get_long() == Some(long),
        None => {
            let letter = name.strip_prefix('-').and_then(|letters| letters.chars().last());
            letter.is_some() && option.get_short() == letter
        }
    })
}

fn takes_value(option: &Arg) -> bool {
    matches!(option.get_action(), ArgAction::Set | ArgAction::Append)
}

fn is_many(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::Append)
        || argument.get_num_args().is_some_and(|range| range.max_values() > 1)
}

/// What the value of an option or argument may be.
fn of_value(argument: &Arg, known: &Known, jail: Option<&str>) -> Candidates {
    let mut found = Candidates::default();
    match argument.get_id().as_str() {
        "jail" => known.jails(&mut found),
        "addresses" | "address" => known.addresses(jail, &mut found),
        "conf" | "socket" | "output" => found.files = true,
        "for" => ["10m", "1h", "1d", "1w", "forever"].iter().for_each(|time| found.add(*time, "")),
        _ => {}
    }
    for value in argument.get_possible_values() {
        found.add(value.get_name(), value.get_help().map(ToString::to_string).unwrap_or_default());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(line: &str) -> Vec<String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (last, before) = words.split_last().unwrap();
        let found = candidates(before, last);
        let words = found.words.into_iter().map(|known| known.word).filter(|word| word.starts_with(last));
        words.chain(found.files.then(|| ":files".to_owned())).collect()
    }

    #[test]
    fn our_commands_come_from_clap() {
        assert_eq!(offered("unb"), ["unban"]);
        assert_eq!(offered("comp"), ["completions"], "what is for scripts is not offered");
        assert_eq!(offered("ban 192.0.2.1 --f"), ["--for", "--force"]);
        assert_eq!(offered("ban --for 1"), ["10m", "1h", "1d", "1w"]);
        assert_eq!(offered("log --kind un"), ["unban", "unverified"]);
        assert_eq!(offered("status -c "), [":files"]);
        assert_eq!(offered("completions z"), ["zsh"]);
        assert_eq!(offered("config s"), ["show"]);
    }

    #[test]
    fn fail2bans_programs_are_completed_behind_their_word() {
        assert_eq!(offered("client -s /nonexistent/socket flushl"), ["flushlogs"]);
        assert!(offered("server --lo").contains(&"--loglevel".to_owned()));
        assert!(offered("regex --print-all-m").contains(&"--print-all-matched".to_owned()));
    }
}
