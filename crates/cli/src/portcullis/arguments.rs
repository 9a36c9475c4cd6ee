//! The command line under our own name. Fail2ban's programs are its first words; the others are ours.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use portcullis_jail::Id;
use portcullis_value::{Number, Value, seconds};
use portcullis_wire::event::Kind;

/// Watches logs, decides who attacks, bans them in the kernel, and proves that it did. Takes Fail2ban's place.
#[derive(Debug, Parser)]
#[command(
    name = "portcullis",
    version,
    disable_help_subcommand = true,
    after_help = "Called as fail2ban-server, fail2ban-client or fail2ban-regex it is these programs.\n\n\
                  Exit codes of all commands but these programs: 0 all is as it should be, 1 something is not, 2 wrong\n\
                  arguments, 3 no server answers (not running, or permission denied). --json: see docs/json.md.\n\n\
                  Examples:\n  \
                  portcullis status                   is all well? (exit code 0 only then)\n  \
                  portcullis top                      the same, live\n  \
                  portcullis ban 192.0.2.0/24 --for 1d --why 'ticket 4711'\n  \
                  portcullis banned 192.0.2.66        is it banned? since when, by which lines, in force?\n  \
                  portcullis log -f --jail sshd       what happens, as it happens\n  \
                  portcullis restart                  after an upgrade: no ban is lifted meanwhile\n  \
                  portcullis explain --jail sshd LINE why is this line's host not banned?\n  \
                  portcullis check                    what is wrong with the configuration?\n  \
                  portcullis config show sshd bantime where does this value come from?\n  \
                  portcullis server -f start          a server in the foreground, with /etc/fail2ban\n  \
                  portcullis server -f --dry-run start\n                                      \
                  detect and tell, but ban nobody\n  \
                  portcullis client set sshd banip 192.0.2.66"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show on one screen what runs, what is banned, what is enforced, and what needs attention
    #[command(
        after_help = "Exit code: 0 all is well, 1 something needs attention, 2 wrong arguments, 3 no server answers.\n\n\
                      Examples:\n  \
                      portcullis status                for people\n  \
                      portcullis status sshd --json    one jail, for a program\n  \
                      portcullis status >/dev/null || mail -s 'look at the gate' root </dev/null"
    )]
    Status(Status),
    /// Watch jails, rates, bans and what is enforced on a live screen
    #[command(
        after_help = "Keys: ? shows them. Exit code: 0 quit, 2 wrong arguments, 3 no server answers.\n\n\
                      Examples:\n  \
                      portcullis top\n  \
                      portcullis top --json            what the screen would show, once, for a program"
    )]
    Top(Top),
    /// Ban addresses and networks by hand, and tell whether the bans are in force
    #[command(
        after_help = "Waits until the kernel was read back. Exit code: 0 all of it is in force (or carried out by an action that\n\
                      cannot be read back), 1 something is not, 2 wrong arguments, 3 no server answers.\n\n\
                      Examples:\n  \
                      portcullis ban 192.0.2.66                                  in all jails, for their ban time\n  \
                      portcullis ban 192.0.2.0/24 2001:db8::/48 --jail sshd\n  \
                      portcullis ban 192.0.2.66 --for 1d --why 'ticket 4711'     also changes a ban that is there\n  \
                      portcullis ban 192.0.2.66 --for forever"
    )]
    Ban(Ban),
    /// Lift bans
    #[command(
        after_help = "Exit code: 0 lifted, 1 one of the addresses was banned nowhere, 2 wrong arguments, 3 no \
                      server answers.\n\n\
                      Examples:\n  \
                      portcullis unban 192.0.2.66              in all jails\n  \
                      portcullis unban 192.0.2.0/24            that network's ban; or those of all addresses in it\n  \
                      portcullis unban 192.0.2.66 --jail sshd\n  \
                      portcullis unban --all"
    )]
    Unban(Unban),
    /// Show who is banned; or everything that is known of an address
    #[command(
        after_help = "Exit code: 0 shown, 1 one of the addresses is not banned, 2 wrong arguments, 3 no server answers.\n\n\
                      Examples:\n  \
                      portcullis banned                       the newest bans of all jails\n  \
                      portcullis banned --jail sshd --all     all bans of one jail\n  \
                      portcullis banned 192.0.2.66            since when, until when, why, by which lines, in force?"
    )]
    Banned(Banned),
    /// Show all jails in a table
    #[command(after_help = "Exit code: 0 shown, 2 wrong arguments, 3 no server answers.\n\n\
                      Examples:\n  \
                      portcullis jails\n  \
                      portcullis jails --json | jq '.jails[] | select(.failed > 0).name'")]
    Jails(Jails),
    /// Show what happened lately, or happens: failures, bans, whether they are in force, errors
    #[command(
        after_help = "The server keeps the last 1024 events. Whoever reads too slowly loses the oldest, and is told how many.\n\
                      Exit code: 0 shown, 2 wrong arguments, 3 no server answers.\n\n\
                      Examples:\n  \
                      portcullis log                                        the last 50 events\n  \
                      portcullis log -f --kind ban --kind unban             follow who comes and goes\n  \
                      portcullis log -f --jail sshd --address 192.0.2.0/24\n  \
                      portcullis log -f --json | jq -r 'select(.kind == \"failed\").text'"
    )]
    Log(Log),
    /// Explain what becomes of a line in a jail or a filter: why is it not banned?
    #[command(
        after_help = "Asks the running server's jail: its settings, its present tally and bans; nothing is counted. Without a server,\n\
                      or with --offline, goes by the configuration. Each line has one outcome: banned, counted, last-straw (the\n\
                      next one bans), future (counts, but its clock is wrong), failure (with --filter); or else missed (nothing\n\
                      matches; the nearest regex is shown), ignoreregex, ignored, usedns, no-address, no-failure, no-date, too-old,\n\
                      at-rest (idle, not started, dry run).\n\
                      Exit code: 0 the last line counts as a failure, or its host is banned, 1 it does not count, 2 wrong\n\
                      arguments, 3 the server does not answer or permission denied.\n\n\
                      Examples:\n  \
                      portcullis explain --jail sshd 'Nov 22 10:00:01 srv sshd[7]: Failed password for root from 192.0.2.1'\n  \
                      portcullis explain --jail sshd /var/log/auth.log      its last ten lines\n  \
                      portcullis explain --filter 'sshd[mode=aggressive]' LINE --json"
    )]
    Explain(Explain),
    /// Read the configuration again, for all jails or for one
    #[command(
        after_help = "Exit code: 0 all of it is in force, 1 something is not (what runs stays as it was), 2 wrong arguments,\n\
                      3 no server answers.\n\n\
                      Examples:\n  \
                      portcullis reload\n  \
                      portcullis reload sshd\n  \
                      portcullis check && portcullis reload"
    )]
    Reload(Reload),
    /// Let another server take over from the running one, after an upgrade say, without a gap in what is enforced
    #[command(
        after_help = "The bans of the action portcullis stay in the kernel all the time; those of other actions are lifted and\n\
                      come back. The process stays the same. With a configuration that cannot be read nothing happens.\n\
                      Exit code: 0 the new server runs, 1 it does not as it should, 2 wrong arguments, 3 no server answers."
    )]
    Restart(Restart),
    /// Print a script that teaches a shell to complete portcullis and Fail2ban's names
    #[command(after_help = "Exit code: 0 printed, 2 wrong arguments.\n\n\
                      Examples:\n  \
                      source <(portcullis completions bash)\n  \
                      portcullis completions zsh >/usr/local/share/zsh/site-functions/_portcullis\n  \
                      portcullis completions fish >~/.config/fish/completions/portcullis.fish")]
    Completions(Completions),
    /// Print a manual page
    #[command(after_help = "Exit code: 0 printed, 2 wrong arguments.\n\n\
                      Examples:\n  \
                      portcullis man | man -l -\n  \
                      portcullis man fail2ban-client >/usr/local/share/man/man1/fail2ban-client.1")]
    Man(Man),
    /// What may stand at the cursor, for the scripts of `completions`
    #[command(hide = true, disable_help_flag = true)]
    Complete(Complete),
    /// Explain everything that is wrong with the configuration, each with its place and what to do
    #[command(after_help = "Looks at what the enabled jails are made of; nothing is started or changed.\n\
                      Exit code: 0 no errors (there may be warnings), 1 errors, 2 wrong arguments.")]
    Check(Check),
    /// Show where the values of the configuration come from
    #[command(subcommand)]
    Config(Config),
    /// Be the server: the options of fail2ban-server, and --dry-run
    #[command(disable_help_flag = true)]
    Server(Words),
    /// Be the client: the options and commands of fail2ban-client
    #[command(disable_help_flag = true)]
    Client(Words),
    /// Try a filter or a regular expression on a log: the options of fail2ban-regex
    #[command(disable_help_flag = true)]
    Regex(Words),
}

/// Which server.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Place {
    /// The directory of the configuration
    #[arg(short, long, value_name = "DIR", default_value = "/etc/fail2ban")]
    pub(crate) conf: PathBuf,
    /// The server's socket, when it is not the configuration's
    #[arg(short, long, value_name = "FILE")]
    pub(crate) socket: Option<PathBuf>,
}

/// What `status` is about.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// This jail only
    pub(crate) jail: Option<String>,
    /// The whole report as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// How `top` watches.
#[derive(Debug, clap::Args)]
pub(crate) struct Top {
    /// Look so often, in seconds
    #[arg(short, long, value_name = "SECONDS", default_value = "2", value_parser = interval)]
    pub(crate) interval: f64,
    /// What it would show, once, as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// Whom `ban` bans, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Ban {
    /// Addresses and networks: 192.0.2.66, 192.0.2.0/24, 2001:db8::/48
    #[arg(required = true, value_name = "ADDRESS", value_parser = address)]
    pub(crate) addresses: Vec<Id>,
    /// In this jail (may be given several times) instead of all
    #[arg(short, long)]
    pub(crate) jail: Vec<String>,
    /// From now on for this time (10m, 1d, 2w, forever) instead of the jail's ban time
    #[arg(short, long, value_name = "TIME", value_parser = bantime)]
    pub(crate) r#for: Option<Value>,
    /// The reason, which is kept with the ban
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
    /// Wait at most so many seconds until the ban is in force
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = wait)]
    pub(crate) wait: f64,
    /// Even if it locks out whoever types this
    #[arg(long)]
    pub(crate) force: bool,
    /// What became of it as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// Whose bans `unban` lifts.
#[derive(Debug, clap::Args)]
pub(crate) struct Unban {
    /// Addresses and networks
    #[arg(required_unless_present = "all", value_name = "ADDRESS")]
    pub(crate) addresses: Vec<String>,
    /// In this jail (may be given several times) instead of all
    #[arg(short, long)]
    pub(crate) jail: Vec<String>,
    /// Everybody's
    #[arg(short, long, conflicts_with = "addresses")]
    pub(crate) all: bool,
    /// What became of it as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// What `banned` is about.
#[derive(Debug, clap::Args)]
pub(crate) struct Banned {
    /// Everything that is known of these
    #[arg(value_name = "ADDRESS")]
    pub(crate) addresses: Vec<String>,
    /// In this jail (may be given several times) instead of all
    #[arg(short, long)]
    pub(crate) jail: Vec<String>,
    /// So many bans of each jail, the newest
    #[arg(short, long, value_name = "NUMBER", default_value = "1000")]
    pub(crate) number: u32,
    /// All bans
    #[arg(short, long, conflicts_with = "number")]
    pub(crate) all: bool,
    /// The bans as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// How `jails` shows them.
#[derive(Debug, clap::Args)]
pub(crate) struct Jails {
    /// The jails as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// What `log` shows.
#[derive(Debug, clap::Args)]
pub(crate) struct Log {
    /// Go on as things happen
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Begin with so many of the last events
    #[arg(short, long, value_name = "NUMBER", default_value = "50")]
    pub(crate) number: u32,
    /// Of this jail (may be given several times)
    #[arg(short, long)]
    pub(crate) jail: Vec<String>,
    /// About this address, those in this network, or networks around it (may be given several times)
    #[arg(short, long, value_name = "ADDRESS", value_parser = whom)]
    pub(crate) address: Vec<Id>,
    /// Of this kind (may be given several times)
    #[arg(short, long, value_parser = kind_parser())]
    pub(crate) kind: Vec<Kind>,
    /// A JSON object for each event, on a line of its own
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// What `explain` is about.
#[derive(Debug, clap::Args)]
#[group(id = "judge", required = true, multiple = false, args = ["jail", "filter"])]
pub(crate) struct Explain {
    /// A line as it stands in a log, with its date; or a file of them
    #[arg(value_name = "LINE|FILE")]
    pub(crate) line: String,
    /// The jail that judges
    #[arg(short, long)]
    pub(crate) jail: Option<String>,
    /// The filter that judges, also with options: 'sshd[mode=aggressive]'
    #[arg(short, long)]
    pub(crate) filter: Option<String>,
    /// Of a file, so many lines, the last ones
    #[arg(short, long, value_name = "NUMBER", default_value = "10", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) number: u8,
    /// Do not ask the server
    #[arg(long)]
    pub(crate) offline: bool,
    /// The explanation as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// What `reload` reads again.
#[derive(Debug, clap::Args)]
pub(crate) struct Reload {
    /// This jail only
    pub(crate) jail: Option<String>,
    /// Stop what is reloaded, and start it anew
    #[arg(long)]
    pub(crate) restart: bool,
    /// Lift the bans first
    #[arg(long)]
    pub(crate) unban: bool,
    /// What became of it as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// Which server `restart` is about.
#[derive(Debug, clap::Args)]
pub(crate) struct Restart {
    /// What became of it as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// For which shell.
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

/// Shells that can be taught.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Which page.
#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// The page
    #[arg(default_value = "portcullis")]
    pub(crate) page: Page,
}

/// Pages that there are.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Page {
    Portcullis,
    #[value(name = "fail2ban-client")]
    Fail2banClient,
    #[value(name = "fail2ban-server")]
    Fail2banServer,
    #[value(name = "fail2ban-regex")]
    Fail2banRegex,
}

/// A line that is being typed: the program, then its words up to the cursor.
#[derive(Debug, clap::Args)]
pub(crate) struct Complete {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORD")]
    pub(crate) words: Vec<OsString>,
}

/// What `check` looks at.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// The directory of the configuration
    #[arg(short, long, value_name = "DIR", default_value = "/etc/fail2ban")]
    pub(crate) conf: PathBuf,
    /// Look at the jails that are not enabled, too: their files and regular expressions
    #[arg(short, long)]
    pub(crate) all: bool,
    /// The problems as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `config` does.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Show a jail's options: the value in force, the line that each part of it came from, and what these lines replace
    #[command(after_help = "Exit code: 0 shown, 1 no such jail or option, 2 wrong arguments.")]
    Show(Show),
}

/// What `config show` is about.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The jail, enabled or not; or DEFAULT
    pub(crate) jail: String,
    /// This option only
    pub(crate) option: Option<String>,
    /// The directory of the configuration
    #[arg(short, long, value_name = "DIR", default_value = "/etc/fail2ban")]
    pub(crate) conf: PathBuf,
}

/// The words for one of Fail2ban's programs, which reads them by Fail2ban's rules.
#[derive(Debug, clap::Args)]
pub(crate) struct Words {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS AND COMMAND")]
    pub(crate) words: Vec<OsString>,
}

/// Somebody to ban: an address or a network, but not everybody.
fn address(text: &str) -> Result<Id, String> {
    let id = Id::parse(text).map_err(|error| error.to_string())?;
    match id.covers() {
        None => Err("no address and no network (like 192.0.2.66, 192.0.2.0/24, 2001:db8::/48)".to_owned()),
        Some(net) if net.prefix_len() == 0 => Err("that is everybody".to_owned()),
        Some(_) => Ok(id),
    }
}

/// Anybody whom a jail may ban, a name of `<F-ID>` too.
fn whom(text: &str) -> Result<Id, String> {
    Id::parse(text).map_err(|error| error.to_string())
}

/// A time as in the configuration; for ever is -1 there.
fn bantime(text: &str) -> Result<Value, String> {
    if matches!(text.to_ascii_lowercase().as_str(), "forever" | "for ever" | "permanent" | "-1") {
        return Ok(Value::Int(-1));
    }
    let time = seconds(&text.into()).map_err(|error| format!("{error} (like 10m, 1d 12h, forever)"))?;
    if !(1.0..=1e10).contains(&time.as_f64()) {
        return Err("a ban lasts a second at least, and 300 years at most".to_owned());
    }
    Ok(match time {
        Number::Float(time) => Value::Int(time.round() as i64),
        Number::Int(time) => Value::Int(time),
    })
}

fn interval(text: &str) -> Result<f64, String> {
    number_between(text, 0.2, 3600.0)
}

fn wait(text: &str) -> Result<f64, String> {
    number_between(text, 0.0, 60.0)
}

fn number_between(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("no number from {least} to {most}"))
}

fn kind_parser() -> impl clap::builder::TypedValueParser<Value = Kind> {
    use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser as _};
    let values = Kind::ALL.map(|kind| PossibleValue::new(kind.name()).help(kind.help()));
    PossibleValuesParser::new(values).try_map(|name| Kind::named(&name).ok_or("no such kind"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_of_ours_has_help_with_an_example_or_its_exit_codes() {
        for command in Arguments::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            let own = !matches!(command.get_name(), "server" | "client" | "regex" | "config");
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                !own || help.contains("Exit code") || help.contains("Examples"),
                "{}",
                command.get_name()
            );
        }
    }

    #[test]
    fn ban_times_are_those_of_the_configuration() {
        for (text, seconds) in [("10m", 600), ("1d 12h", 129_600), ("90", 90), ("forever", -1), ("1.6", 2)] {
            assert_eq!(bantime(text), Ok(Value::Int(seconds)), "{text}");
        }
        for text in ["", "0", "-5", "x", "1e99", "10m;rm"] {
            assert!(bantime(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nobody_bans_everybody_or_what_is_no_address() {
        for text in ["0.0.0.0/0", "::/0", "joe", "", "1.2.3", "1.2.3.4/", "1.2.3.4/255.0.255.0", "-1"] {
            assert!(address(text).is_err(), "{text}");
        }
        assert_eq!(address("192.0.2.7/24").unwrap().text(), "192.0.2.0/24");
    }
}
