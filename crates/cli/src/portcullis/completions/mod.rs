//! Completion in shells: a script of a few lines for each shell, which asks `portcullis complete` what may stand at the cursor.
//!
//! So the answers come from where the commands are described (the table in `portcullis-wire`, the options' tables, clap's own), and
//! know the jails and bans of the server that runs.

mod client;
mod ours;
mod server;

use std::fmt::Write as _;

use super::arguments::{Complete, Completions, Shell};
use super::say;

/// Something that may stand at the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) word: String,
    pub(super) help: String,
}

/// What may stand at the cursor.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Candidates {
    pub(super) words: Vec<Candidate>,
    /// Files, too.
    pub(super) files: bool,
}

impl Candidates {
    fn add(&mut self, word: impl Into<String>, help: impl Into<String>) {
        let candidate = Candidate { word: word.into(), help: help.into() };
        if !self.words.iter().any(|known| known.word == candidate.word) {
            self.words.push(candidate);
        }
    }

    fn file() -> Self {
        Candidates { words: Vec::new(), files: true }
    }
}

/// `portcullis completions SHELL`
pub(super) fn run(wanted: &Completions) {
    say(match wanted.shell {
        Shell::Bash => include_str!("portcullis.bash"),
        Shell::Zsh => include_str!("portcullis.zsh"),
        Shell::Fish => include_str!("portcullis.fish"),
    });
}

/// `portcullis complete PROGRAM WORD…`: what the last word may become. One a line, a tab, what it means; `:files` for files.
pub(super) fn complete(wanted: &Complete) {
    let words: Vec<String> = wanted.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let Some((program, words)) = words.split_first() else { return };
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let candidates = match program.as_str() {
        "fail2ban-client" | "fail2ban-server" => client::candidates(before, last),
        "fail2ban-regex" => client::of_tester(before, last),
        _ => ours::candidates(before, last),
    };
    let mut out = String::new();
    for Candidate { word, help } in candidates.words.iter().filter(|known| known.word.starts_with(last)) {
        // A name from a server is not trusted: a line is one candidate.
        if !word.contains(char::is_control) {
            let _ = writeln!(out, "{word}\t{}", super::plain(help));
        }
    }
    if candidates.files {
        out.push_str(":files\n");
    }
    say(&out);
}
