//! Manual pages, made from where commands and options are described: `man portcullis`, `man fail2ban-client`.

use std::fmt::Write as _;

use clap::CommandFactory as _;
use portcullis_wire::event::Kind;
use portcullis_wire::table::{Group, entries};

use super::arguments::{Arguments, Man, Page};
use super::say;
use crate::client::OPTIONS;
use crate::regex;

/// `portcullis man [PAGE]`
pub(super) fn run(wanted: &Man) {
    say(&match wanted.page {
        Page::Portcullis => portcullis(),
        Page::Fail2banClient => client(),
        Page::Fail2banServer => server(),
        Page::Fail2banRegex => tester(),
    });
}

/// A page in the making, in the language of man(7).
struct Roff(String);

impl Roff {
    fn new(name: &str, what: &str) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let mut page = Roff(String::new());
        let _ =
            writeln!(page.0, ".TH {} 1 \"\" \"Portcullis {version}\" \"User Commands\"", name.to_uppercase());
        page.section("NAME");
        page.text(&format!("{name} - {what}"));
        page
    }

    fn section(&mut self, heading: &str) {
        let _ = writeln!(self.0, ".SH \"{}\"", escaped(heading));
    }

    fn subsection(&mut self, heading: &str) {
        let _ = writeln!(self.0, ".SS \"{}\"", escaped(heading));
    }

    fn text(&mut self, text: &str) {
        for line in text.lines() {
            let line = escaped(line.trim());
            let _ = if line.is_empty() { writeln!(self.0, ".PP") } else { writeln!(self.0, "{line}") };
        }
    }

    fn paragraph(&mut self, text: &str) {
        self.0.push_str(".PP\n");
        self.text(text);
    }

    /// A term, and indented below what it means.
    fn term(&mut self, term: &str, meaning: &str) {
        let _ = writeln!(self.0, ".TP\n\\fB{}\\fR", escaped(term));
        self.text(meaning);
    }

    /// Lines as they are.
    fn verbatim(&mut self, text: &str) {
        self.0.push_str(".PP\n.nf\n");
        for line in text.lines() {
            let _ = writeln!(self.0, "{}", escaped(line));
        }
        self.0.push_str(".fi\n");
    }

    fn see_also(&mut self, others: &[&str]) {
        self.section("SEE ALSO");
        let others: Vec<String> = others.iter().map(|name| format!("\\fB{}\\fR(1)", escaped(name))).collect();
        let _ = writeln!(self.0, "{}", others.join(", "));
    }
}

/// Text that man(7) shows as it is.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('"', "\\(dq");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

const EXIT_CODES: [(&str, &str); 4] = [
    ("0", "all is as it should be"),
    ("1", "something is not: it needs attention, is not enforced, not banned, was refused"),
    ("2", "the arguments are wrong"),
    ("3", "no server answers: it does not run, or the socket is not for us"),
];

fn portcullis() -> String {
    let mut command = Arguments::command();
    command.build();
    let mut page = Roff::new("portcullis", "watches logs, bans attackers in the kernel, and proves it");
    page.section("SYNOPSIS");
    page.text("portcullis COMMAND [OPTIONS] [ARGUMENTS]");
    page.section("DESCRIPTION");
    page.text(&command.get_about().map(ToString::to_string).unwrap_or_default());
    page.paragraph("Called as fail2ban-server, fail2ban-client or fail2ban-regex it is these programs.");
    page.section("COMMANDS");
    document(&command, "portcullis", &mut page);
    page.section("EVENTS");
    page.text("The kinds of events that `portcullis log` shows:");
    for kind in Kind::ALL {
        page.term(kind.name(), kind.help());
    }
    page.section("EXIT STATUS");
    for (code, meaning) in EXIT_CODES {
        page.term(code, meaning);
    }
    page.section("ENVIRONMENT");
    page.term("NO_COLOR", "When set, nothing is coloured. Without a terminal nothing is, either.");
    page.section("FILES");
    for (file, what) in [
        (
            "/etc/fail2ban",
            "the configuration, Fail2ban's; portcullis.conf in it has what Fail2ban does not know",
        ),
        ("/var/run/fail2ban/fail2ban.sock", "where the server listens"),
        ("/var/lib/fail2ban/fail2ban.sqlite3", "what must outlive the server"),
        ("/var/log/fail2ban.log", "the log"),
    ] {
        page.term(file, what);
    }
    page.see_also(&["fail2ban-client", "fail2ban-server", "fail2ban-regex"]);
    page.0
}

/// The subcommands of a command, each with its options and examples.
fn document(command: &clap::Command, path: &str, page: &mut Roff) {
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        let path = format!("{path} {}", subcommand.get_name());
        if subcommand.has_subcommands() {
            document(subcommand, &path, page);
            continue;
        }
        let usage = subcommand.clone().render_usage().to_string();
        page.subsection(usage.trim_start_matches("Usage: ").lines().next().unwrap_or(&path));
        page.text(&subcommand.get_about().map(ToString::to_string).unwrap_or_default());
        for argument in subcommand.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            if help.is_empty() || argument.get_id() == "help" {
                continue;
            }
            let default: Vec<_> =
                argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
            let flag = matches!(argument.get_action(), clap::ArgAction::SetTrue);
            let default = if default.is_empty() || flag {
                String::new()
            } else {
                format!(" (default {})", default.join(" "))
            };
            page.term(&named(argument), &format!("{help}{default}"));
        }
        if let Some(more) = subcommand.get_after_help() {
            page.verbatim(&more.to_string());
        }
    }
}

/// `-c, --conf <DIR>`, `[JAIL]`
fn named(argument: &clap::Arg) -> String {
    let short = argument.get_short().map(|short| format!("-{short}"));
    let long = argument.get_long().map(|long| format!("--{long}"));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    let values = argument.get_value_names().unwrap_or_default();
    let value = values.iter().map(|name| format!("<{name}>")).collect::<String>();
    let takes_value = argument.get_action().takes_values();
    match (names.is_empty(), takes_value) {
        (true, _) => value,
        (false, true) => format!("{} {value}", names.join(", ")),
        (false, false) => names.join(", "),
    }
}

fn options(page: &mut Roff) {
    page.section("OPTIONS");
    for row in &OPTIONS {
        page.term(&row.words(), row.help);
    }
}

fn client() -> String {
    let mut page = Roff::new("fail2ban-client", "rules the server that bans attackers");
    page.section("SYNOPSIS");
    page.text("fail2ban-client [OPTIONS] COMMAND");
    page.section("DESCRIPTION");
    page.text(
        "Asks and changes a running server, starts and stops it. Takes the place of Fail2ban's client 1.0.2:",
    );
    page.text("same words, same replies, same exit codes.");
    options(&mut page);
    page.section("COMMANDS");
    for group in Group::ALL {
        page.subsection(group.heading());
        for entry in entries() {
            for form in entry.forms.iter().filter(|form| form.group == group) {
                let words = format!("{} {}", entry.words(), form.arguments);
                page.term(words.trim_end(), form.help);
            }
        }
    }
    page.section("ARGUMENTS");
    types(&mut page);
    page.section("REPLIES");
    page.text("What a script that unpickles replies gets behind the 0 of a command that was carried out, in Python's words:");
    for entry in entries().filter(|entry| entry.is_sent() && !entry.name.starts_with("portcullis-")) {
        page.term(&entry.words(), &entry.reply.to_string());
    }
    page.section("EXIT STATUS");
    page.term("0", "the command was carried out");
    page.term("255", "it was not; why is said");
    page.see_also(&["portcullis", "fail2ban-server", "fail2ban-regex"]);
    page.0
}

/// What the names in angle brackets stand for, each once.
fn types(page: &mut Roff) {
    let mut told = Vec::new();
    for form in entries().flat_map(|entry| entry.forms) {
        for name in form.arguments.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
            if !told.contains(&name) {
                told.push(name);
                page.term(&format!("<{name}>"), portcullis_wire::table::Kind::meaning_of(name));
            }
        }
    }
}

fn server() -> String {
    let mut page = Roff::new("fail2ban-server", "watches logs and bans attackers");
    page.section("SYNOPSIS");
    page.text("fail2ban-server [OPTIONS]");
    page.section("DESCRIPTION");
    page.text(
        "Reads the configuration and begins. Takes the place of Fail2ban's server 1.0.2. Under the name",
    );
    page.text("`portcullis server` there is one option more, --dry-run: detect and tell, but ban nobody.");
    options(&mut page);
    page.see_also(&["portcullis", "fail2ban-client"]);
    page.0
}

fn tester() -> String {
    let mut page = Roff::new("fail2ban-regex", "tries a filter, or a regular expression, on a log");
    page.section("SYNOPSIS");
    page.text("fail2ban-regex [OPTIONS] <LOG> <REGEX> [IGNOREREGEX]");
    page.section("OPTIONS");
    for (name, help) in regex::option_names() {
        page.term(&name, help);
    }
    page.see_also(&["portcullis", "fail2ban-client"]);
    page.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_option_is_in_its_page() {
        let plain = |page: String| page.replace("\\-", "-");
        let ours = plain(portcullis());
        for command in Arguments::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            assert!(ours.contains(&format!("portcullis {}", command.get_name())), "{}", command.get_name());
        }
        let client = plain(client());
        for entry in entries() {
            for form in entry.forms {
                assert!(
                    client.contains(format!("{} {}", entry.words(), form.arguments).trim_end()),
                    "{form:?}"
                );
            }
        }
        for row in &OPTIONS {
            assert!(client.contains(&row.words()) && plain(server()).contains(&row.words()));
        }
    }

    #[test]
    fn text_cannot_become_a_request_of_roff() {
        for page in [portcullis(), client(), server(), tester()] {
            for line in page.lines().filter(|line| line.starts_with(['.', '\''])) {
                let request = line.split(' ').next().unwrap_or(line);
                assert!([".TH", ".SH", ".SS", ".PP", ".TP", ".nf", ".fi"].contains(&request), "{line}");
            }
            assert!(page.is_ascii() || page.contains('↑') || page.contains('…'), "only known letters");
        }
    }
}
