//! What `portcullis` does besides being Fail2ban's programs: its own commands, for people and for monitoring.
//!
//! Each asks the server over its socket, shows the answer (as JSON too, see `docs/json.md`) and ends with one of four exit
//! codes: see [`server::Failure`] and [`done`].

pub(crate) mod answer;
mod arguments;
mod ban;
mod banned;
mod completions;
mod explain;
mod hints;
mod human;
mod jails;
mod json;
mod log;
mod man;
pub(crate) mod paint;
mod reload;
mod restart;
mod server;
mod table;
mod top;
mod unban;

pub(crate) use arguments::{Arguments, Check, Command, Config, Show, Status};
pub(crate) use human::span;
pub(crate) use json::{document, to_json};
pub(crate) use server::{Failure, PATIENCE, Server};

use std::io::Write as _;
use std::process::ExitCode;

/// All is as it should be.
pub(crate) const WELL: u8 = 0;
/// Something is not: it needs attention, is not enforced, not banned, was refused.
pub(crate) const NOT_SO: u8 = 1;
/// No server answers.
pub(crate) const NO_SERVER: u8 = 3;

/// Carries out a command of ours; what went wrong is said on standard error, with what to do.
pub(crate) fn run(command: Command) -> ExitCode {
    use crate::{check, client, config, regex, status};
    done(match command {
        Command::Status(wanted) => status::run(&wanted),
        Command::Ban(wanted) => ban::run(&wanted),
        Command::Unban(wanted) => unban::run(&wanted),
        Command::Banned(wanted) => banned::run(&wanted),
        Command::Jails(wanted) => jails::run(&wanted),
        Command::Top(wanted) => top::run(&wanted),
        Command::Log(wanted) => log::run(&wanted),
        Command::Explain(wanted) => explain::run(&wanted),
        Command::Reload(wanted) => reload::run(&wanted),
        Command::Restart(wanted) => restart::run(&wanted),
        Command::Completions(wanted) => {
            completions::run(&wanted);
            Ok(WELL)
        }
        Command::Complete(wanted) => {
            completions::complete(&wanted);
            Ok(WELL)
        }
        Command::Man(wanted) => {
            man::run(&wanted);
            Ok(WELL)
        }
        Command::Check(check) => return check::run(&check),
        Command::Config(Config::Show(show)) => return config::show(&show),
        Command::Server(words) => return client::run(client::Name::OurServer, words.words),
        Command::Client(words) => return client::run(client::Name::OurClient, words.words),
        Command::Regex(words) => return regex::run("portcullis regex", words.words),
    })
}

/// The exit code of a command, and its last words if it failed.
fn done(result: Result<u8, Failure>) -> ExitCode {
    ExitCode::from(result.unwrap_or_else(|failure| {
        // Nobody can be told that standard error is closed.
        let _ = writeln!(anstream::stderr(), "portcullis: {failure}");
        failure.code()
    }))
}

/// Prints text. Whoever has closed the pipe (`| head`) has seen enough: no error.
pub(crate) fn say(text: &str) {
    let mut out = anstream::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Text of somebody else (a log line, a reason) for a terminal: nothing in it moves the cursor or colours the screen.
pub(crate) fn plain(text: &str) -> String {
    annotate_snippets::normalize_untrusted_str(text).replace('\n', " ")
}
