//! Which programs an action calls, and which of them this machine does not have.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path as FilePath, PathBuf};

use portcullis_jail::action::{Action, Counters, Facts, Info, Operation, Past};
use portcullis_jail::{Family, Id, Ticket, Timestamp};
use portcullis_value::Value;
use rustix::fs::Access;

use super::parse::parse;
use super::syntax::{Command, Part, Word};

/// What the shell does itself (POSIX, and what dash and bash have besides).
const BUILTINS: &[&str] = &[
    ".", ":", "[", "alias", "bg", "break", "cd", "chdir", "command", "continue", "echo", "eval", "exec",
    "exit", "export", "false", "fg", "getopts", "hash", "jobs", "kill", "local", "printf", "pwd", "read",
    "readonly", "return", "set", "shift", "test", "times", "trap", "true", "type", "ulimit", "umask",
    "unalias", "unset", "wait",
];

/// Where a missing program comes from: Debian's names, which most others share.
const PACKAGES: &[(&str, &str)] = &[
    ("apprise", "apprise"),
    ("awk", "mawk"),
    ("curl", "curl"),
    ("dig", "bind9-dnsutils"),
    ("firewall-cmd", "firewalld"),
    ("geoiplookup", "geoip-bin"),
    ("ip", "iproute2"),
    ("ip6tables", "iptables"),
    ("ipset", "ipset"),
    ("iptables", "iptables"),
    ("jq", "jq"),
    ("mail", "bsd-mailx"),
    ("nft", "nftables"),
    ("nginx", "nginx"),
    ("nsupdate", "bind9-dnsutils"),
    ("perl", "perl"),
    ("sendmail", "a mail transfer agent, such as postfix"),
    ("shorewall", "shorewall"),
    ("shorewall6", "shorewall6"),
    ("ufw", "ufw"),
    ("wget", "wget"),
    ("whois", "whois"),
];

/// Firewalls to fall back to: the program that has to be there, and the `banaction`.
const ALTERNATIVES: &[(&str, &str)] =
    &[("nft", "nftables-multiport"), ("iptables", "iptables-multiport"), ("ufw", "ufw")];

/// The programs that are the firewall of an action.
const FIREWALLS: &[&str] = &[
    "iptables",
    "ip6tables",
    "nft",
    "ipset",
    "firewall-cmd",
    "ufw",
    "shorewall",
    "shorewall6",
    "pfctl",
    "ipfw",
    "apf",
];

/// The directories in which programs are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// `PATH` of this process; what a shell takes when there is none.
    pub fn own() -> Self {
        let usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        Path(std::env::var("PATH").unwrap_or_else(|_| usual.to_owned()))
    }

    /// From text in the form of `PATH`.
    pub fn new(text: impl Into<String>) -> Self {
        Path(text.into())
    }

    /// The file that a shell would execute for `program`.
    pub fn find(&self, program: &str) -> Option<PathBuf> {
        if program.contains('/') {
            return Some(PathBuf::from(program)).filter(|file| executable(file));
        }
        let directories = self.0.split(':').map(|part| if part.is_empty() { "." } else { part });
        directories.map(|part| FilePath::new(part).join(program)).find(|file| executable(file))
    }
}

fn executable(file: &FilePath) -> bool {
    file.is_file() && rustix::fs::access(file, Access::EXEC_OK).is_ok()
}

/// A program that an action calls and this machine does not have. Shown as one line with a remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The jail.
    pub jail: String,
    /// The action.
    pub action: String,
    /// The program, as the script has it.
    pub program: String,
    /// Where it was looked for; empty for a program with a path of its own.
    pub path: String,
    /// Whether bans themselves need it, not only a start, a check, or an end.
    pub for_bans: bool,
    /// Another `banaction` whose program is there.
    pub alternative: Option<&'static str>,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "jail '{}', action '{}': ", self.jail, self.action)?;
        let base = self.program.rsplit('/').next().unwrap_or(&self.program);
        let package = PACKAGES.iter().find(|(program, _)| *program == base).map(|(_, package)| *package);
        if self.path.is_empty() {
            write!(f, "'{}' is not there or not executable: ", self.program)?;
        } else {
            write!(f, "'{}' is not on PATH ({}): ", self.program, self.path)?;
        }
        match package {
            Some(package) if package.contains(' ') => write!(f, "install {package}")?,
            Some(package) => write!(f, "install the package {package}")?,
            None => f.write_str("install it, or give its full path in the action")?,
        }
        if let Some(alternative) = self.alternative {
            write!(f, ", or set banaction = {alternative}")?;
        }
        Ok(())
    }
}

/// The programs that an action's scripts call and that `path` does not have.
///
/// A program whose failure the script itself provides for (`whois … || echo …`) is not missed. A script that we cannot read
/// is taken to be in order: better no warning than a false one.
pub fn check(jail: &str, action: &Action, path: &Path) -> Vec<Missing> {
    let mut needed: BTreeMap<String, bool> = BTreeMap::new();
    for (operation, script) in scripts(action) {
        let Ok(commands) = parse(&script) else { continue };
        for program in programs(&commands) {
            *needed.entry(program).or_default() |= operation == Operation::Ban;
        }
    }
    let missing = needed.into_iter().filter(|(program, _)| path.find(program).is_none());
    missing
        .map(|(program, for_bans)| {
            let alternatives = ALTERNATIVES.iter().filter(|_| FIREWALLS.contains(&program.as_str()));
            let alternative = alternatives.into_iter().find(|(other, _)| path.find(other).is_some());
            Missing {
                jail: jail.to_owned(),
                action: action.name().to_owned(),
                path: if program.contains('/') { String::new() } else { path.0.clone() },
                for_bans,
                alternative: alternative.map(|(_, banaction)| *banaction),
                program,
            }
        })
        .collect()
}

/// How many scripts of an action are beyond us; nothing is said of their programs.
pub fn unreadable(action: &Action) -> usize {
    scripts(action).iter().filter(|(_, script)| parse(script).is_err()).count()
}

/// The scripts of an action for two sample offenders.
fn scripts(action: &Action) -> Vec<(Operation, String)> {
    const ALL: [Operation; 8] = [
        Operation::Start,
        Operation::Ban,
        Operation::Check,
        Operation::Reban,
        Operation::Unban,
        Operation::Flush,
        Operation::Repair,
        Operation::Stop,
    ];
    let mut scripts = Vec::new();
    for family in [Family::Inet4, Family::Inet6] {
        scripts.extend(
            ALL.into_iter().filter_map(|operation| Some((operation, sample(action, operation, family)?))),
        );
    }
    scripts
}

/// The script of one operation for a sample offender. `None` when there is none, or it cannot be rendered.
pub(super) fn sample(action: &Action, operation: Operation, family: Family) -> Option<String> {
    let address = if family == Family::Inet4 { "192.0.2.1" } else { "2001:db8::1" };
    let ticket = Ticket::by_hand(Id::new(address), Timestamp(1_700_000_000.0));
    let info = match operation {
        Operation::Ban | Operation::Reban | Operation::Unban | Operation::Prolong => {
            Info::ticket(&ticket, &Sample)
        }
        Operation::Check | Operation::Repair => Info::check(Some(family), &Sample),
        _ => Info::nobody(family.name(), &Sample),
    };
    Some(action.render(operation, Some(family), &info).ok()??.text)
}

/// The programs that must be there for these commands to work.
pub(super) fn programs(commands: &[Command]) -> BTreeSet<String> {
    let mut walk = Walk::default();
    for command in commands {
        walk.functions(command);
    }
    for command in commands {
        walk.command(command, true);
    }
    walk.needed.retain(|name| !walk.defined.contains(name));
    walk.needed
}

#[derive(Default)]
struct Walk {
    needed: BTreeSet<String>,
    defined: BTreeSet<String>,
}

impl Walk {
    fn functions(&mut self, command: &Command) {
        match command {
            Command::Function(name, body) => {
                self.defined.insert(name.clone());
                self.functions(body);
            }
            Command::Several(all) | Command::For { body: all, .. } | Command::Case(_, all) => {
                for command in all {
                    self.functions(command);
                }
            }
            Command::Or(left, right) => {
                self.functions(left);
                self.functions(right);
            }
            Command::Simple { .. } => {}
        }
    }

    fn all(&mut self, commands: &[Command], needed: bool) {
        for command in commands {
            self.command(command, needed);
        }
    }

    /// `needed` is false where the script goes another way when this fails.
    fn command(&mut self, command: &Command, needed: bool) {
        match command {
            Command::Simple { assignments, words, targets } => {
                let values = assignments.iter().map(|(_, value)| value);
                for word in values.chain(words).chain(targets) {
                    self.word(word, needed);
                }
                if needed {
                    self.program(words);
                }
            }
            Command::Several(all) => self.all(all, needed),
            Command::Or(left, right) => {
                self.command(left, false);
                self.command(right, needed);
            }
            Command::For { items, body, .. } => {
                for item in items {
                    self.word(item, needed);
                }
                self.all(body, needed);
            }
            Command::Case(word, all) => {
                self.word(word, needed);
                self.all(all, needed);
            }
            Command::Function(_, body) => self.command(body, needed),
        }
    }

    fn word(&mut self, word: &Word, needed: bool) {
        for part in &word.parts {
            if let Part::Substitution(commands) = part {
                self.all(commands, needed);
            }
        }
    }

    fn program(&mut self, words: &[Word]) {
        let Some((first, rest)) = words.split_first() else { return };
        match first.text() {
            // What a shell would run instead of itself, or of a function of the same name; `command -v` only asks.
            Some("exec" | "command") => match rest.first().and_then(Word::text) {
                Some(option) if option.starts_with('-') => {}
                _ => self.program(rest),
            },
            // A text left by an unknown tag, or one that the shell makes: nothing is known of it.
            Some(name) if name.is_empty() || BUILTINS.contains(&name) => {}
            Some(name) if name.chars().any(|c| c.is_whitespace() || "<>*?[$".contains(c)) => {}
            Some(name) => {
                self.needed.insert(name.to_owned());
            }
            None => {}
        }
    }
}

/// Facts without a jail, for scripts that nobody runs.
struct Sample;

impl Facts for Sample {
    fn jail(&self) -> String {
        "sample".into()
    }
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000.0)
    }
    fn bantime(&self) -> Value {
        Value::Int(600)
    }
    fn counters(&self) -> Counters {
        Counters::default()
    }
    fn host_of(&self, _: &Id) -> Option<String> {
        None
    }
    fn past(&self, _: &Id, _: bool) -> Past {
        Past::default()
    }
    fn own_host(&self, _: bool) -> String {
        "host".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(script: &str) -> Vec<String> {
        programs(&parse(script).unwrap()).into_iter().collect()
    }

    #[test]
    fn programs_are_found_wherever_a_command_may_stand() {
        for (script, expected) in [
            ("iptables -w -N x\nip6tables -N x", "ip6tables iptables"),
            ("a; b & c && d | e", "a b c d e"),
            ("{ a; } && ( b; c )", "a b c"),
            ("for p in $(echo 'tcp,udp' | sed 's/,/ /g'); do\n{ a $p; }\ndone", "a sed"),
            ("for p\ndo a; done", "a"),
            ("if [ -f x ] && a; then b; elif c; then d; else e; fi", "a b c d e"),
            ("{ a list | grep -oP '@x\\s'; } | while read -r h; do\nb $h; done", "a b grep"),
            ("x=`a 2>&1`; y=$(b | c) LC_ALL=C d \"$(e \"`f`\")\"", "a b c d e f"),
            ("case \"$p\" in \\{*) false;; a|b) c;; esac; d", "c d"),
            ("echo \"if then; rm -rf | ( \" 'x; y' \\; z # comment; w", ""),
            (">> file a <in 2>&1 >&2", "a"),
            ("cat <<EOF\nrm x; (\nEOF\na", "a cat"),
            ("cat <<-'E'\n\t$(\n\tE\na", "a cat"),
            ("exec a; command -v b; command c; eval d", "a c"),
            ("f() { a; }; f; b", "a b"),
            ("! a; until b; do c; done", "a b c"),
            ("n=$((1 + (2 * 3))); : ${x:=$n}; a ${#n}", "a"),
            ("a \\\n -x; \"/usr/bin/my b\"; 'c'", "a c"),
            ("$cmd x; \"$(pick)\" y", "pick"),
        ] {
            assert_eq!(called(script).join(" "), expected, "{script}");
        }
    }

    #[test]
    fn a_program_with_a_fallback_is_not_needed() {
        assert_eq!(called("whois x || echo 'missing'"), [""; 0]);
        assert_eq!(called("{ jq x || tr y | sed z; } | cat"), ["cat", "sed", "tr"]);
        assert_eq!(called("{ iptables -C x; } || { iptables -N x || true; iptables -A x; }"), ["iptables"]);
    }

    #[test]
    fn what_is_beyond_the_reader_is_an_error_and_no_alarm() {
        for script in ["a 'b", "$(a", "if a; then", "a )", "done", "cat <<E\nx", "a;;b", "`a"] {
            assert!(parse(script).is_err(), "{script}");
        }
        let deep = format!("{}a{}", "$(".repeat(10_000), ")".repeat(10_000));
        assert!(parse(&deep).is_err());
        let mut action = Action::new("t");
        action.set("actionban", "no-such-program 'unclosed".into());
        assert_eq!(check("j", &action, &Path::new("/nowhere")), []);
    }

    #[test]
    fn what_is_missing_is_said_in_one_line_with_a_remedy() {
        let place = tempfile::tempdir().unwrap();
        let tool = |name: &str, mode| {
            use std::os::unix::fs::PermissionsExt as _;
            let file = place.path().join(name);
            std::fs::write(&file, "").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        tool("nft", 0o755);
        tool("curl", 0o644);
        let mut action = Action::new("iptables-multiport");
        action.set("actionban", "<iptables> -I f2b-x 1 -s <ip> -j DROP".into());
        action.set("actionunban", "curl x; /no/such/whois; nft y; odd-tool".into());
        action.set("iptables", "iptables -w".into());
        let path = Path::new(place.path().to_str().unwrap());
        let missing: Vec<_> = check("dropbear", &action, &path).iter().map(ToString::to_string).collect();
        let at = place.path().display();
        assert_eq!(
            missing,
            [
                "jail 'dropbear', action 'iptables-multiport': '/no/such/whois' is not there or not executable: \
                 install the package whois"
                    .to_owned(),
                format!(
                    "jail 'dropbear', action 'iptables-multiport': 'curl' is not on PATH ({at}): install the package curl"
                ),
                format!(
                    "jail 'dropbear', action 'iptables-multiport': 'iptables' is not on PATH ({at}): install the \
                     package iptables, or set banaction = nftables-multiport"
                ),
                format!(
                    "jail 'dropbear', action 'iptables-multiport': 'odd-tool' is not on PATH ({at}): install it, or \
                     give its full path in the action"
                ),
            ]
        );
        assert!(check("dropbear", &action, &path)[2].for_bans);
    }

    proptest::proptest! {
        #[test]
        fn no_script_makes_the_reader_panic_or_hang(script in "[a-z;&|(){}$`'\"<>\\\\ \n#=!0-9]{0,60}") {
            if let Ok(commands) = parse(&script) {
                let _ = programs(&commands);
            }
        }
    }
}
