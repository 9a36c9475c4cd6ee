//! The command line under our own name. Fail2ban's programs are its first words; `status` is ours.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Watches logs, decides who attacks, bans them in the kernel, and proves that it did. Takes Fail2ban's place.
#[derive(Debug, Parser)]
#[command(
    name = "portcullis",
    version,
    disable_help_subcommand = true,
    after_help = "Called as fail2ban-server, fail2ban-client or fail2ban-regex it is these programs.\n\n\
                  Examples:\n  \
                  portcullis status                   is all well? (exit code 0 only then)\n  \
                  portcullis status sshd --json       one jail, for a program\n  \
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
        after_help = "Exit code: 0 all is well, 1 something needs attention, 2 wrong arguments, 3 no server answers."
    )]
    Status(Status),
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

/// What `status` is about.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// This jail only
    pub(crate) jail: Option<String>,
    /// The whole report as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The directory of the configuration
    #[arg(short, long, value_name = "DIR", default_value = "/etc/fail2ban")]
    pub(crate) conf: PathBuf,
    /// The server's socket, when it is not the configuration's
    #[arg(short, long, value_name = "FILE")]
    pub(crate) socket: Option<PathBuf>,
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
