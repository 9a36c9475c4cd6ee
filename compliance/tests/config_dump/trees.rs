//! Random configuration directories, from a seed: a small grammar over everything that the dialect has, and its mistakes.

use portcullis_compliance::Random;

use crate::by_hand::Tree;
use crate::vocabulary::*;

struct Maker {
    random: Random,
    /// How rare a mistake is: one in this many; 0 for none.
    mistakes: usize,
}

/// The tree of a seed. Two of three have no mistake built in on purpose.
pub(crate) fn tree(seed: u64) -> Tree {
    let mut random = Random::new(seed);
    let mistakes = if random.once_in(3) { 12 + random.below(40) } else { 0 };
    Maker { random, mistakes }.tree()
}

impl Maker {
    fn mistake(&mut self) -> bool {
        self.mistakes > 0 && self.random.once_in(self.mistakes)
    }

    fn tree(&mut self) -> Tree {
        let mut files = Vec::new();
        files.push(("fail2ban.conf".to_owned(), self.server()));
        files.push(("jail.conf".to_owned(), self.jails(true)));
        for name in [
            "jail.local",
            "jail.d/10-a.conf",
            "jail.d/20-b.conf",
            "jail.d/c.local",
            "paths.conf",
            "paths.local",
            "more.conf",
        ] {
            if self.random.once_in(3) {
                files.push((name.to_owned(), self.jails(false)));
            }
        }
        for name in ["f", "g"] {
            files.push((format!("filter.d/{name}.conf"), self.definition(FILTER_OPTIONS)));
            if self.random.once_in(4) {
                files.push((format!("filter.d/{name}.local"), self.definition(FILTER_OPTIONS)));
            }
        }
        files.push(("filter.d/common.conf".to_owned(), self.definition(FILTER_OPTIONS)));
        for name in ["a", "b"] {
            files.push((format!("action.d/{name}.conf"), self.definition(ACTION_OPTIONS)));
            if self.random.once_in(4) {
                files.push((format!("action.d/{name}.d/x.conf"), self.definition(ACTION_OPTIONS)));
            }
        }
        files.push(("action.d/common.conf".to_owned(), self.definition(ACTION_OPTIONS)));
        Tree { files }
    }

    fn server(&mut self) -> String {
        let mut text = String::from("[Definition]\n");
        for (option, values) in [
            ("socket", &["/run/s", "%(pidfile)s"][..]),
            ("pidfile", &["/run/p"]),
            ("loglevel", &["INFO", "debug", "10"]),
            ("logtarget", &["/var/log/x", "SYSLOG", "STDOUT[format=\"x\"]"]),
            ("syslogsocket", &["auto", "/dev/log"]),
            ("allowipv6", &["auto", "no"]),
            ("dbfile", &["None", ":memory:", "/x"]),
            ("dbmaxmatches", &["10", "0", "x", ""]),
            ("dbpurgeage", &["1d", "1w ; c"]),
        ] {
            if !self.random.once_in(12) {
                let value = self.random.pick(values);
                text.push_str(&format!("{option} = {value}\n"));
            }
        }
        if self.random.once_in(4) {
            text.push_str(&format!("[Thread]\nstacksize = {}\n", self.random.pick(&["64", "0", "x"])));
        }
        text
    }

    fn jails(&mut self, main: bool) -> String {
        let mut text = String::new();
        if self.random.once_in(3) {
            text.push_str("[INCLUDES]\n");
            let file = self.random.pick(&[
                "paths.conf",
                "more.conf",
                "nope.conf",
                "paths.conf\n  more.conf",
                "jail.conf",
                "",
            ]);
            let when = self.random.pick(&["before", "after"]);
            text.push_str(&format!("{when} = {file}\n"));
        }
        if main || self.random.once_in(2) {
            text.push_str("[DEFAULT]\n");
            if main {
                text.push_str("backend = auto\nfilter = f\naction = a\nbase = B\nbase2 = %(base)s<t0>\n");
                for name in NAMES {
                    let value = self.random.pick(&["w", "5", "", "%%", "q <t1>"]);
                    text.push_str(&format!("{name} = {value}\n"));
                }
            }
            self.options(&mut text, NAMES, if main { 0 } else { 2 });
            let banned: Vec<&str> = JAIL_OPTIONS
                .iter()
                .copied()
                .filter(|o| !main || !matches!(*o, "backend" | "filter" | "action"))
                .collect();
            self.options(&mut text, &banned, 3);
        }
        let mut names = JAILS.to_vec();
        if main {
            names.retain(|name| *name != "sec");
            text.push_str("[sec]\nenabled = false\nbase = S\n");
        }
        for _ in 0..=self.random.below(3) {
            let name = names.remove(self.random.below(names.len()));
            let suffix = if self.mistake() { "?family=inet6" } else { "" };
            text.push_str(&format!("[{name}{suffix}]{}\n", self.random.pick(&["", "", " ; c", " x"])));
            if !self.random.once_in(4) {
                text.push_str("enabled = true\n");
            }
            let mut options: Vec<&str> = JAIL_OPTIONS.to_vec();
            options.retain(|option| *option != "enabled");
            let count = self.random.below(7);
            self.options(&mut text, &options, count);
            self.options(&mut text, NAMES, 2);
        }
        if self.mistake() {
            text.push_str(self.random.pick(&[
                "novalue\n",
                "[j]\n",
                "= x\n",
                "[]\n",
                "  indented\n",
                "\u{feff}\n",
                "a : b : c\n",
                "[unclosed\n",
            ]));
        }
        if self.random.once_in(10) { text.replace('\n', "\r\n") } else { text }
    }

    /// Adds up to `count` different options.
    fn options(&mut self, text: &mut String, from: &[&str], count: usize) {
        let mut seen: Vec<String> = Vec::new();
        for line in text.rsplit('\n').take_while(|line| !line.starts_with('[')) {
            seen.extend(line.split_once(" =").map(|(key, _)| key.to_lowercase()));
        }
        for _ in 0..count {
            let option = self.random.pick(from);
            if seen.contains(&option.to_lowercase()) && !self.mistake() {
                continue;
            }
            seen.push(option.to_lowercase());
            self.comment(text);
            let value = self.value(option);
            let equals = self.random.pick(&[" = ", " = ", " = ", " : ", "=", " ="]);
            text.push_str(&format!("{option}{equals}{value}\n"));
        }
    }

    fn comment(&mut self, text: &mut String) {
        if self.random.once_in(8) {
            text.push_str(self.random.pick(&[
                "# a = comment\n",
                "; b\n",
                "\n",
                "   # indented\n",
                "\t; tab\n",
                "  \n",
            ]));
        }
    }

    fn value(&mut self, option: &str) -> String {
        match option.to_lowercase().as_str() {
            "action" => {
                let count = 1 + self.random.below(2);
                let separator = self.random.pick(&["\n  ", " ", "\n\n   "]);
                let actions: Vec<_> = (0..count).map(|_| self.reference(&["a", "b"])).collect();
                actions.join(separator)
            }
            "filter" => self.reference(&["f", "g", "f"]),
            "backend" => self
                .random
                .pick(&["auto", "polling", "systemd", "systemd[journalflags=1]", "AUTO", ""])
                .to_owned(),
            "maxretry" | "maxmatches" | "maxlines" => self
                .random
                .pick(&["5", "1", "0", "-3", "1_0", " 7 ; c", "x", "", "5 # c", "%(v1)s"])
                .to_owned(),
            "logpath" => {
                let files = [
                    "/etc/passwd",
                    "/etc/hos?s",
                    "/etc/passwd tail",
                    "/nope*",
                    "/etc/hosts head",
                    "/etc/[p]asswd",
                    "/etc/host.conf  tail",
                ];
                let count = 1 + self.random.below(3);
                (0..count).map(|_| self.random.pick(&files)).collect::<Vec<_>>().join("\n  ")
            }
            "failregex" | "ignoreregex" => {
                let count = self.random.below(4);
                let mut lines: Vec<String> = Vec::new();
                for _ in 0..count {
                    let piece = if self.random.once_in(4) {
                        self.text()
                    } else {
                        self.random.pick(EXPRESSIONS).to_owned()
                    };
                    lines.push(piece);
                    if self.random.once_in(6) {
                        lines.push(
                            self.random.pick(&["# comment", "", "; x", "%(known/failregex)s"]).to_owned(),
                        );
                    }
                }
                lines.join("\n   ")
            }
            "journalmatch" => self
                .random
                .pick(&["_A=1 + _B='x y'", "_A=1\n  _B=2", "a \"b c\" d\\ e", "", "_S=%(__name__)s #x"])
                .to_owned(),
            _ => self.text(),
        }
    }

    /// A value of all sorts of pieces.
    fn text(&mut self) -> String {
        let mut out = String::new();
        for _ in 0..=self.random.below(3) {
            match self.random.below(10) {
                0..=3 => out.push_str(self.random.pick(LITERALS)),
                4..=5 => {
                    let name = self.random.pick(if self.mistakes > 0 { REFERENCES } else { SAFE_REFERENCES });
                    out.push_str(&format!("%({name})s"));
                }
                6..=7 => out.push_str(&format!("<{}>", self.random.pick(TAGS))),
                8 => out.push_str(self.random.pick(&[
                    " ; comment",
                    " # no comment",
                    "\n  more",
                    "\n\n  after a gap",
                    "\n# whole\n  line",
                ])),
                _ => out.push(' '),
            }
            if self.mistake() {
                out.push_str(self.random.pick(&[
                    "%",
                    "%(nope)s",
                    "%(v0)",
                    "%(v0",
                    "%d",
                    "%(known/nope)s",
                    "%(a/b)s",
                ]));
            }
        }
        out
    }

    /// A name with options.
    fn reference(&mut self, names: &[&str]) -> String {
        let mut out = self.random.pick(names).to_owned();
        if self.mistake() {
            return self
                .random
                .pick(&[
                    "nosuch",
                    "f[",
                    "f]",
                    "a[o]",
                    "f[o=\"a\" , p=2]",
                    "a, b",
                    "f [o=1]",
                    "x.py[a=1, actname=n]",
                    "f[o=\"x\\\"y\"]",
                    "f[o=a\\,b]",
                    "f\n  g",
                    "a[o=1]]",
                    "./nope",
                    "",
                ])
                .to_owned();
        }
        if self.random.once_in(2) {
            return out;
        }
        out.push('[');
        let count = self.random.below(4);
        for index in 0..count {
            if index > 0 {
                out.push_str(self.random.pick(&[",", ", ", ",  ", "][", "]["]));
            }
            let option = self.random.pick(&[
                "t0",
                "t1",
                "T2",
                "mode",
                "name",
                "actname",
                "p",
                "failregex",
                "actionban",
                "maxlines",
                "chain",
                "port",
                "norestored",
                "usedns",
                "known",
                "logtype",
            ]);
            let value = self.random.pick(&[
                "1",
                "\"a, b\"",
                "'it\"s'",
                "a b",
                "",
                "\"\"",
                "<t1>",
                "\"<known/t0>\"",
                "<known/chain>",
                "%(v0)s",
                "\"%(port)s\"",
                "x]y",
                "\"x]y\"",
                "'a",
                "a'b",
                "j-2",
                "é",
                "2 ",
                " 3",
            ]);
            let value = if value.contains(']') && !value.starts_with('"') && self.mistakes == 0 {
                "m"
            } else {
                value
            };
            out.push_str(&format!("{option}={value}"));
        }
        out.push_str(self.random.pick(&["]", "]", "]", "] ", ",]"]));
        out
    }

    fn definition(&mut self, options: &[&str]) -> String {
        let mut text = String::new();
        if self.random.once_in(3) {
            let when = self.random.pick(&["before", "after"]);
            text.push_str(&format!(
                "[INCLUDES]\n{when} = {}\n",
                self.random.pick(&["common.conf", "nope.conf", "common.conf\n nope.conf"])
            ));
        }
        let mut sections = vec!["Definition", "Init"];
        for extra in ["DEFAULT", "Init?family=inet6", "Definition?family=inet6", "lt_file", "Init?other"] {
            if self.random.once_in(5) {
                sections.push(extra);
            }
        }
        if self.mistake() {
            sections.remove(0);
        }
        while !sections.is_empty() {
            let section = sections.remove(self.random.below(sections.len()));
            text.push_str(&format!("[{section}]\n"));
            let count = if section == "Definition" { 3 + self.random.below(6) } else { self.random.below(5) };
            let mut chosen = self.chosen(options, count);
            if section == "Definition" && self.mistakes == 0 && options.contains(&"failregex") {
                chosen.retain(|option| *option != "failregex");
                chosen.push("failregex");
            }
            for option in chosen {
                let value = self.definition_value(option);
                self.comment(&mut text);
                text.push_str(&format!("{option} = {value}\n"));
            }
        }
        text
    }

    fn chosen<'a>(&mut self, options: &[&'a str], count: usize) -> Vec<&'a str> {
        let mut chosen: Vec<&str> = Vec::new();
        for _ in 0..count {
            let option = self.random.pick(options);
            if !chosen.iter().any(|seen| seen.eq_ignore_ascii_case(option)) || self.mistake() {
                chosen.push(option);
            }
        }
        chosen
    }

    fn definition_value(&mut self, option: &str) -> String {
        match option {
            "maxlines" | "journalmatch" | "failregex" | "ignoreregex" => {
                let value = self.value(option);
                value.replace("%(known/failregex)s", "z").replace("%(v0)s", "v").replace("%(v1)s", "4")
            }
            _ => {
                let mut out = String::new();
                for _ in 0..=self.random.below(3) {
                    match self.random.below(9) {
                        0..=2 => out.push_str(self.random.pick(LITERALS)),
                        3..=5 => out.push_str(&format!("<{}>", self.random.pick(TAGS))),
                        6 if self.mistakes > 0 => {
                            let name = self.random.pick(&[
                                "t0", "t1", "T3", "__name__", "bantime", "maxretry", "logpath", "backend",
                                "known/t0", "enabled",
                            ]);
                            out.push_str(&format!("%({name})s"));
                        }
                        6 => out.push_str("%(__name__)s"),
                        7 => {
                            out.push_str(self.random.pick(&[" ; comment", "\n  more", "\n\n  gap", " # no"]));
                        }
                        _ => out.push(' '),
                    }
                }
                out
            }
        }
    }
}
