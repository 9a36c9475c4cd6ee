//! The text of `-h`: Fail2ban's options and commands in Fail2ban's order and layout, in our words.

use portcullis_wire::table::{self, Group};

use super::arguments::OPTIONS;
use super::{Name, VERSION};

/// Where the explanations of commands begin, and how wide they are.
const COLUMN: usize = 45;
const WIDTH: usize = 34;

/// What both the usage and the interactive mode begin with.
pub(super) fn banner() -> String {
    format!(
        "This program takes the place of Fail2Ban v{VERSION}: it watches logs for failed logins\n\
         and closes the firewall to the addresses they come from."
    )
}

/// The whole text, without the last line feed.
pub(super) fn text(name: Name) -> String {
    let program = name.text();
    let command = if name.is_server() { "" } else { " <COMMAND>" };
    let mut out = format!("Usage: {program} [OPTIONS]{command}\n\n{}\n\nOptions:\n{}", banner(), options());
    if !name.is_server() {
        out.push_str("\nCommand:\n");
        for (index, group) in Group::ALL.into_iter().enumerate() {
            if index > 0 {
                out.push('\n');
            }
            out.push_str(&format!("{:COLUMN$}{}\n", "", group.heading()));
            for (words, help) in forms(group) {
                command_lines(&words, help, &mut out);
            }
        }
    }
    out.push_str("\nReport bugs to the Portcullis project");
    out
}

fn options() -> String {
    OPTIONS.iter().map(|row| format!("    {:<22}  {}\n", row.words(), row.help)).collect()
}

fn forms(group: Group) -> impl Iterator<Item = (String, &'static str)> {
    table::entries().flat_map(move |entry| {
        let forms = entry.forms.iter().filter(move |form| form.group == group);
        forms.map(|form| (format!("{} {}", entry.words(), form.arguments).trim_end().to_owned(), form.help))
    })
}

fn command_lines(words: &str, help: &str, out: &mut String) {
    let first = format!("    {words}");
    // Without a blank between them the explanation begins on a line of its own.
    let mut line =
        if first.len() < COLUMN { format!("{first:COLUMN$}") } else { format!("{first}\n{:COLUMN$}", "") };
    let mut used = 0;
    for word in help.split(' ') {
        if used > 0 && used + 1 + word.len() > WIDTH {
            line.push_str(&format!("\n{:COLUMN$}", ""));
            used = 0;
        }
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += word.len();
    }
    out.push_str(&line);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stand_left_and_explanations_from_column_45() {
        let text = text(Name::Client);
        let commands: Vec<&str> = text.lines().skip_while(|line| *line != "Command:").skip(1).collect();
        assert_eq!(commands[0], format!("{:45}BASIC", ""));
        assert_eq!(commands[1], format!("{:45}brings up the server, configured,", "    start"));
        for line in commands.iter().take_while(|line| !line.starts_with("Report")) {
            assert!(line.len() <= 45 + 34 || line.starts_with("    "), "{line}");
            assert!(line.is_empty() || line.starts_with("    "), "{line}");
        }
        assert!(!super::text(Name::Server).contains("Command:"));
    }
}
