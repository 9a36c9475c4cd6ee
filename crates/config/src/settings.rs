//! `portcullis.conf`: settings that Fail2ban does not know.
//!
//! `[DEFAULT]` holds for all, a section named like a jail for that jail. Unknown keys and bad values are told and do no
//! harm: the default stands.

use std::collections::BTreeMap;
use std::path::Path;

use crate::layers::{Layers, Reader, Setting};
use crate::message::{Level, Message};
use crate::python::strip;
use crate::source::Source;
use crate::stream::Failed;

/// The settings of one jail, or those of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JailSettings {
    /// Let nftables do it natively where an action's own program (iptables) is not installed.
    pub fallback: bool,
    /// Carry out known firewall commands of actions ourselves, without a shell.
    pub nativeactions: bool,
    /// Fail2ban's way: one jail that cannot start stops all.
    pub strict: bool,
    /// End the open connections of whoever is banned. Where nothing is said, the action decides: our own one does.
    pub closeconnections: Option<bool>,
    /// Do not let detection ban an administrator who is logged in, the gateway, or this machine. Where nothing is said, only
    /// the built-in configuration does.
    pub protectadmin: Option<bool>,
    /// How many bits of an IPv6 address tell one offender from another. Where nothing is said, 64 with the built-in
    /// configuration, else all 128.
    pub ipv6prefix: Option<u8>,
    /// With more banned addresses than this in one network (IPv4 /24, IPv6 /48), the network is banned in their place; 0 is
    /// never.
    pub networkban: u32,
    /// The group whose members may read over the control socket; `None` for nobody.
    pub socketgroup: Option<String>,
}

impl Default for JailSettings {
    fn default() -> Self {
        JailSettings {
            fallback: true,
            nativeactions: true,
            strict: false,
            closeconnections: None,
            protectadmin: None,
            ipv6prefix: None,
            networkban: 0,
            socketgroup: None,
        }
    }
}

impl JailSettings {
    /// Whether an action is carried out in the same way with these settings as with others.
    pub fn is_same_for_actions(&self, other: &JailSettings) -> bool {
        let of = |s: &JailSettings| (s.fallback, s.nativeactions, s.closeconnections);
        of(self) == of(other)
    }
}

/// Where a setting may stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// `[DEFAULT]` and jails.
    Anywhere,
    /// `[DEFAULT]` only: there is one of it for the whole program.
    Program,
}

/// One row for each setting: its name, where it may stand, and how its text is taken over. That fails with what is expected.
type Row = (&'static str, Scope, fn(&mut JailSettings, &str) -> Result<(), &'static str>);

/// All settings. A new one needs a row here and a field above.
const TABLE: &[Row] = &[
    ("fallback", Scope::Anywhere, |s, text| switch(text).map(|on| s.fallback = on)),
    ("nativeactions", Scope::Anywhere, |s, text| switch(text).map(|on| s.nativeactions = on)),
    ("closeconnections", Scope::Anywhere, |s, text| switch(text).map(|on| s.closeconnections = Some(on))),
    ("protectadmin", Scope::Anywhere, |s, text| switch(text).map(|on| s.protectadmin = Some(on))),
    ("ipv6prefix", Scope::Anywhere, |s, text| {
        let bits = text.trim_start_matches('/').parse().ok().filter(|bits| (32..=128).contains(bits));
        bits.map(|bits| s.ipv6prefix = Some(bits)).ok_or("expected a number from 32 to 128")
    }),
    ("networkban", Scope::Anywhere, |s, text| {
        let most = match text.to_ascii_lowercase().as_str() {
            "off" | "no" | "false" => Some(0),
            number => number.parse().ok(),
        };
        most.map(|most| s.networkban = most).ok_or("expected a number of addresses, or off")
    }),
    ("socketgroup", Scope::Program, |s, text| {
        s.socketgroup = Some(text.to_owned()).filter(|group| !group.is_empty());
        Ok(())
    }),
    ("strict", Scope::Program, |s, text| switch(text).map(|on| s.strict = on)),
];

fn switch(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "true" | "yes" => Ok(true),
        "0" | "off" | "false" | "no" => Ok(false),
        _ => Err("expected true or false"),
    }
}

/// Everything of `portcullis.conf` (and `portcullis.local`, `portcullis.d/`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Of jails without a section of their own, and of the program.
    pub default: JailSettings,
    /// Of jails with a section of their own.
    pub jails: BTreeMap<String, JailSettings>,
    /// What is wrong, each with file and line.
    pub problems: Vec<String>,
}

impl Settings {
    /// The settings that hold for a jail.
    pub fn of(&self, jail: &str) -> &JailSettings {
        self.jails.get(jail).unwrap_or(&self.default)
    }
}

impl Settings {
    /// Reads the settings in a directory; that there are none is fine. What is wrong with single ones is in
    /// [`Settings::problems`].
    ///
    /// # Errors
    /// When a file's syntax is wrong.
    pub fn read(directory: impl AsRef<Path>) -> Result<Settings, Failed> {
        let source = Source::directory(directory.as_ref());
        let mut reader = Reader::new(&source);
        let stem = source.path().join("portcullis");
        let layers = match reader.layers("portcullis", &stem) {
            Ok(layers) => layers,
            Err(fatal) => return Err(Failed { text: fatal.0, messages: reader.messages.said }),
        };
        let mut settings = Settings::default();
        let unreadable =
            |message: &&Message| !message.text.starts_with("Found no") && message.level >= Level::ERROR;
        settings
            .problems
            .extend(reader.messages.said.iter().filter(unreadable).map(|message| message.text.clone()));
        if let Some(layers) = layers {
            settings.take(&layers);
        }
        Ok(settings)
    }

    fn take(&mut self, layers: &Layers) {
        let mut default = JailSettings::default();
        for (name, setting) in layers.defaults.options() {
            self.apply(&mut default, layers, "DEFAULT", name, setting);
        }
        for (jail, section) in layers.sections().filter(|(name, _)| *name != "INCLUDES") {
            let mut settings = default.clone();
            for (name, setting) in section.options() {
                self.apply(&mut settings, layers, jail, name, setting);
            }
            self.jails.insert(jail.to_owned(), settings);
        }
        self.default = default;
    }

    fn apply(
        &mut self,
        settings: &mut JailSettings,
        layers: &Layers,
        section: &str,
        name: &str,
        setting: &Setting,
    ) {
        let problem = match TABLE.iter().find(|(known, ..)| *known == name) {
            None => Some(format!("unknown setting '{name}'{}", similar(name))),
            Some((_, Scope::Program, _)) if section != "DEFAULT" => {
                Some(format!("'{name}' holds for the whole program: move it to [DEFAULT]"))
            }
            Some((.., take)) => match layers.value(section, name, &[]) {
                Ok(text) => {
                    take(settings, strip(&text)).err().map(|expected| format!("{name} = {text}: {expected}"))
                }
                Err(_) => Some(format!("'{name}' refers to something that is not there: {}", setting.raw)),
            },
        };
        if let Some(problem) = problem {
            self.problems.push(format!(
                "{}:{}: {problem}",
                setting.origin.file.display(),
                setting.origin.line
            ));
        }
    }
}

/// A hint at the setting that was probably meant: one that differs in a hyphen or underscore, or by two letters at most.
fn similar(name: &str) -> String {
    let plain: String = name.chars().filter(|c| c.is_alphanumeric()).take(64).collect();
    let meant = TABLE.iter().map(|(known, ..)| *known).find(|known| distance(&plain, known) <= 2);
    meant.map_or_else(String::new, |known| format!(". Did you mean '{known}'?"))
}

/// How many letters must be added, removed or changed to make one word the other.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let cost = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("portcullis.conf"), text).unwrap();
        Settings::read(dir.path()).unwrap()
    }

    #[test]
    fn nothing_configured_means_the_defaults() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Settings::read(dir.path()).unwrap(), Settings::default());
    }

    #[test]
    fn a_jail_inherits_from_default_and_overrides_it() {
        let all = settings(
            "[DEFAULT]\nfallback = off\nstrict = yes\n[sshd]\nfallback = true\n[web]\nnativeactions = no\n",
        );
        assert_eq!(all.problems, Vec::<String>::new());
        assert!(!all.of("other").fallback && all.of("sshd").fallback && !all.of("web").fallback);
        assert!(all.default.strict && !all.of("web").nativeactions);
    }

    #[test]
    fn mistakes_are_told_with_their_place_and_do_no_harm() {
        let all = settings("[DEFAULT]\nfalback = off\nstrict = maybe\n[sshd]\nstrict = yes\n");
        assert_eq!(all.problems.len(), 3, "{:?}", all.problems);
        assert!(
            all.problems[0]
                .ends_with("portcullis.conf:2: unknown setting 'falback'. Did you mean 'fallback'?")
        );
        assert!(all.problems[1].ends_with(":3: strict = maybe: expected true or false"));
        assert!(all.problems[2].ends_with(":5: 'strict' holds for the whole program: move it to [DEFAULT]"));
        assert_eq!(all.default, JailSettings::default());
    }
}
