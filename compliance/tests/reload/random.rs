//! Random pairs of configurations, from a seed: one to start with, and what it has become when the server is reloaded.

use portcullis_compliance::Random;

/// All jails that a configuration may have.
const JAILS: &[&str] = &["web", "ssh", "ftp-1", "mail"];

/// What `[DEFAULT]` of `fail2ban.local` may say besides the paths of the test.
const GLOBALS: &[(&str, &[&str])] = &[
    ("loglevel", &["INFO", "NOTICE", "DEBUG"]),
    ("dbmaxmatches", &["10", "3", "0"]),
    ("dbpurgeage", &["1d", "2w", "3600"]),
    ("allowipv6", &["auto", "yes"]),
];

/// Options of a jail and the values that they may take. None covers an address that the test bans.
const OPTIONS: &[(&str, &[&str])] = &[
    ("backend", &["polling", "auto", "pyinotify", "polling"]),
    ("filter", &["plain", "dated", "plain[word=no]", "plain[word=\"(?:fail|no)\", extra='^x <HOST>$']"]),
    ("usedns", &["no", "warn", "raw"]),
    ("prefregex", &["", "^<F-CONTENT>.+</F-CONTENT>$"]),
    (
        "failregex",
        &[
            "^fail from <HOST>$",
            "^fail from <HOST>$\n  ^bad from <HOST>$",
            "%(known/failregex)s\n  ^more from <HOST>$",
        ],
    ),
    ("ignoreregex", &["", "^fail from 192\\.0\\.2\\.1$"]),
    ("maxlines", &["1", "3"]),
    ("datepattern", &["{NONE}", "%%Y-%%m-%%d", "^EPOCH"]),
    ("maxretry", &["1", "2", "3"]),
    ("maxmatches", &["1", "7", "%(maxretry)s"]),
    ("findtime", &["10m", "1h", "600", "1d 2h"]),
    ("bantime", &["1h", "2h", "-1", "1w"]),
    ("bantime.increment", &["true", "false"]),
    ("bantime.factor", &["2", "1.5"]),
    (
        "bantime.formula",
        &["ban.Time * 2", "ban.Time * math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)"],
    ),
    ("bantime.multipliers", &["1 2 4", "1 5 30 60"]),
    ("bantime.maxtime", &["5w", "1d"]),
    ("bantime.rndtime", &["0", "8m"]),
    ("bantime.overalljails", &["true", "false"]),
    ("ignorecommand", &["", "/bin/false <ip>"]),
    ("ignoreself", &["true", "false"]),
    ("ignoreip", &["", "192.0.2.0/24", "127.0.0.1/8 ::1", "192.0.2.7, 2001:db8:7::/48"]),
    ("ignorecache", &["", "key=\"<ip>\", max-count=100, max-time=5m"]),
    ("logtimezone", &["", "UTC+0200"]),
    ("logencoding", &["auto", "utf-8", "ascii"]),
    ("logpath", &["@DIR@/a.log", "@DIR@/b.log tail", "@DIR@/a.log\n  @DIR@/b.log", "@DIR@/[ab].log"]),
    (
        "action",
        &[
            "hold",
            "hold[actname=one]\n  hold[actname=two]",
            "hold hold[actname=one, mark=x]",
            "hold[actname=two, mark=y, timeout=30]",
            "hold[mark=\"a b\"]\n  other",
            "other[actname=one]",
            "",
        ],
    ),
];

/// What no jail of the test can do without.
const NEEDED: &[&str] = &["backend", "filter", "logpath", "action", "bantime", "maxretry"];

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JailOf {
    pub(crate) name: &'static str,
    options: Vec<(&'static str, &'static str)>,
}

impl JailOf {
    fn new(random: &mut Random, name: &'static str) -> Self {
        let mut options = Vec::new();
        for (option, values) in OPTIONS {
            if NEEDED.contains(option) || random.once_in(3) {
                options.push((*option, random.pick(values)));
            }
        }
        JailOf { name, options }
    }

    /// The same with some options added, changed or left out.
    fn changed(&self, random: &mut Random) -> Self {
        let mut new = self.clone();
        for _ in 0..=random.below(4) {
            let (option, values) = OPTIONS[random.below(OPTIONS.len())];
            let value = random.pick(values);
            match new.options.iter().position(|(known, _)| *known == option) {
                Some(at) if random.once_in(3) && !NEEDED.contains(&option) => drop(new.options.remove(at)),
                Some(at) => new.options[at].1 = value,
                None => new.options.push((option, value)),
            }
        }
        new
    }

    pub(crate) fn option(&self, option: &str) -> Option<&'static str> {
        self.options.iter().find(|(known, _)| *known == option).map(|(_, value)| *value)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Configuration {
    globals: Vec<(&'static str, &'static str)>,
    pub(crate) jails: Vec<JailOf>,
}

impl Configuration {
    pub(crate) fn new(random: &mut Random) -> Self {
        let mut globals = Vec::new();
        for (option, values) in GLOBALS {
            if random.once_in(2) {
                globals.push((*option, random.pick(values)));
            }
        }
        let count = 1 + random.below(JAILS.len());
        let jails = JAILS[..count].iter().map(|name| JailOf::new(random, name)).collect();
        Configuration { globals, jails }
    }

    /// What a person may have made of it: each jail is left alone, changed, or removed; there may be new ones; another order.
    pub(crate) fn changed(&self, random: &mut Random) -> Self {
        let mut new = Configuration::new(random);
        if random.once_in(2) {
            new.globals.clone_from(&self.globals);
        }
        for jail in &self.jails {
            new.jails.retain(|other| other.name != jail.name);
            match random.below(6) {
                0 => {}
                1 => new.jails.push(JailOf::new(random, jail.name)),
                2 | 3 => new.jails.push(jail.changed(random)),
                _ => new.jails.push(jail.clone()),
            }
        }
        if random.once_in(3) {
            new.jails.reverse();
        }
        new
    }

    /// The text of `jail.d/test.conf`.
    pub(crate) fn jail_text(&self) -> String {
        let mut text = String::new();
        for jail in &self.jails {
            text.push_str(&format!("[{}]\nenabled = true\n", jail.name));
            for (option, value) in &jail.options {
                text.push_str(&format!("{option} = {value}\n"));
            }
        }
        text
    }

    /// The text of `fail2ban.d/test.conf`.
    pub(crate) fn global_text(&self) -> String {
        let options = self.globals.iter().map(|(option, value)| format!("{option} = {value}\n"));
        "[Definition]\n".to_owned() + &options.collect::<String>()
    }
}
