//! The text of `-h`: Fail2ban's options and commands in Fail2ban's order and layout, in our words.

use portcullis_wire::table::{self, Group};

use super::{Name, VERSION};

/// Where the explanations of commands begin, and how wide they are.
const COLUMN: usize = 45;
const WIDTH: usize = 34;

const OPTIONS: &str = "    -c, --conf <DIR>        where the configuration is (default /etc/fail2ban)
    -s, --socket <FILE>     where the server listens
    -p, --pidfile <FILE>    where the server leaves its process id
    --pname <NAME>          what the server's process is called (default fail2ban-server)
    --loglevel <LEVEL>      how much the server logs
    --logtarget <TARGET>    where the server logs to: a file, stdout, stderr, syslog or sysout
    --syslogsocket auto|<FILE>
    -d                      show the configuration as the commands it becomes
    --dp, --dump-pretty     the same, long commands broken into lines
    -t, --test              check the configuration; with a command, check it first
    -i                      read commands from the terminal
    -v                      say more (up to four times)
    -q                      say less
    -x                      start even if a socket of an earlier server is there
    -b                      start the server in the background (default)
    -f                      start the server in the foreground
    --async                 start the server without a configuration (the client does this itself)
    --timeout               how long to wait for a server that starts (default 30)
    --str2sec <STRING>      tell how many seconds a time such as 1d12h is
    -h, --help              show this
    -V, --version           show the version (-V the number only)";

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
    let mut out = format!("Usage: {program} [OPTIONS]{command}\n\n{}\n\nOptions:\n{OPTIONS}\n", banner());
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
