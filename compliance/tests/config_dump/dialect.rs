//! Random configuration directories as people have them: a stock-like base in the manner of Fail2ban 1.1 (paths, common
//! prefixes by kind of log, modes, one action for several firewalls), and what administrators and panels put on top.

mod stock;

use portcullis_compliance::Random;

use crate::by_hand::Tree;

/// Sorts of blanks that Python strips, and one that it does not.
const BLANKS: &[&str] =
    &[" ", "\t", "\u{a0}", "\u{3000}", "\u{2028}", "\x0b", "\x0c", "\x1c", "\u{85}", "\u{200b}", "\u{feff}"];

/// Values for options between brackets.
const BRACKET_VALUES: &[&str] = &[
    "\"%(port)s\"",
    "%(port)s",
    "\"%(protocol)s\"",
    "<port>",
    "\"<known/chain>\"",
    "'a, b'",
    "\"a] b\"",
    "\"multi\n     line\"",
    "\"\"",
    "",
    "x y",
    "\"it's\"",
    "'say \"x\"'",
    "http,https",
    "\"http,https\"",
    "%(nothere)s",
    "\"<ip-host>\"",
    "é ü",
    "\"$(id)\"",
    "a=b",
    "\"a=b, c=d\"",
    "0:65535",
    "<blocktype>",
    "\"[x]\"",
    "[x",
    "%%",
    "\"%%\"",
    "<HOST>",
    "  lead",
    "trail  ",
    "\\\"",
    "a\\,b",
    "\"<t?family=inet6>\"",
    "\"#x\"",
    "\";x\"",
    " ;x",
    "+",
    "\"\t\"",
];
const BRACKET_NAMES: &[&str] = &[
    "port",
    "protocol",
    "name",
    "chain",
    "mode",
    "type",
    "blocktype",
    "actname",
    "bantime",
    "PORT",
    "Name",
    "logtype",
    "failregex",
    "actionban",
    "norestored",
    "x-y",
    "x.y",
    "x_y",
    "_daemon",
    "known/chain",
    "t?family=inet6",
    "ü",
    "maxlines",
    "datepattern",
    "__prefix_line",
    "timeout",
    "lockingopt",
    "1",
    "-",
];
const PLAIN_VALUES: &[&str] = &[
    "10m",
    "1h",
    "-1",
    "1d 12h",
    "5",
    "auto",
    "true",
    "yes",
    "False",
    "%(bantime)s",
    "%(findtime)s",
    "3 ; three",
    "3 # three",
    "\"3\"",
    "'x'",
    "0",
    "1w",
    "%(bantime_base)s",
    "%(known/bantime)s",
    "%(default/findtime)s",
    "%(fail2ban_version)s",
    "%(fail2ban_agent)s",
    "",
    "é",
    "1,5",
    "10 m",
    "%(__name__)s",
];
const EXPRESSIONS: &[&str] = &[
    "^%(__prefix_line)sfailed for <F-USER>.+</F-USER> from <HOST>%(suff)s$",
    "^<__prefix_line>x <ADDR>",
    "^(?:a|b) <HOST>(?: port \\d+)?$",
    "<mdre-<mode>>",
    "<cmnfailre>",
    "%(known/failregex)s",
    "^<HOST> -.*\"(?:GET|POST) [^\"]*\" 40[134]",
    "^: [^:]+=<HOST>$",
    "\\[<HOST>\\]",
    "^\\s*# not a comment <HOST>",
    "user=<F-USER>\\S+</F-USER>, rip=<SUBNET>",
    "^a;b <HOST>",
    "^a ; b <HOST>",
    "^100%% <HOST>",
    "^%(nope)s <HOST>",
    "<F-NOFAIL>x</F-NOFAIL> <F-ID>\\d+</F-ID>",
    "(?P<host>\\S+)",
    "^é <DNS>",
    "^a\tb <CIDR>",
];
const SERVICES: &[&str] =
    &["sshd", "nginx-http-auth", "postfix[mode=auth]", "web_1", "dé", "recidive", "x.y", "3proxy", "a b"];

/// The configuration of a seed.
pub(crate) fn tree(seed: u64) -> Tree {
    let mut random = Random::new(seed);
    let odd = if random.once_in(2) { 0 } else { 10 + random.below(30) };
    Maker { random, odd }.tree()
}

struct Maker {
    random: Random,
    /// One thing in this many is odd; 0 for none.
    odd: usize,
}

impl Maker {
    fn odd(&mut self) -> bool {
        self.odd > 0 && self.random.once_in(self.odd)
    }

    fn tree(&mut self) -> Tree {
        let mut files: Vec<(String, String)> = Vec::new();
        let mut put = |name: &str, text: String| files.push((name.to_owned(), text));
        put("fail2ban.conf", self.server());
        put("paths-common.conf", self.paths_common());
        put("paths-debian.conf", self.paths_debian());
        put("jail.conf", self.stock());
        put("filter.d/common.conf", self.common());
        put("filter.d/sshd.conf", self.filter(true));
        put("filter.d/web.conf", self.filter(false));
        put("action.d/iptables.conf", self.firewall());
        put("action.d/iptables-multiport.conf", self.derived());
        put("action.d/mail-whois.conf", self.mail());
        put("action.d/plain.conf", "[Definition]\nactionban = echo <ip> <family>\nactionunban =\n".into());
        if self.random.once_in(2) {
            put("jail.local", self.local());
        }
        if self.random.once_in(2) {
            put("jail.d/10-panel.conf", self.local());
        }
        if self.random.once_in(3) {
            put("jail.d/zz.local", self.local());
        }
        if self.random.once_in(3) {
            put("filter.d/sshd.local", self.extension());
        }
        if self.random.once_in(4) {
            put("filter.d/common.local", "[DEFAULT]\nlogtype = short\n".into());
        }
        if self.random.once_in(3) {
            put("action.d/iptables.local", self.action_local());
        }
        if self.random.once_in(4) {
            put(
                "paths-overrides.local",
                "[DEFAULT]\nsyslog_authpriv = /etc/hosts\nsshd_backend = polling\n".into(),
            );
        }
        Tree { files }
    }

    /// What an administrator or a panel adds.
    fn local(&mut self) -> String {
        let mut text = String::new();
        if self.random.once_in(4) {
            text.push_str("# managed by a panel ; do not edit\n\n");
        }
        if self.random.once_in(2) {
            text.push_str("[DEFAULT]\n");
            let count = self.random.below(5);
            self.options(&mut text, count);
        }
        let count = self.random.below(3);
        let mut names = vec!["sshd", "web", "recidive"];
        names.extend_from_slice(SERVICES);
        names.dedup();
        let mut seen: Vec<&str> = Vec::new();
        for _ in 0..=count {
            let name = self.random.pick(&names);
            if seen.contains(&name) && !self.odd() {
                continue;
            }
            seen.push(name);
            let blank = if self.odd() { self.random.pick(BLANKS) } else { "" };
            text.push_str(&format!("{}[{name}{blank}]\n", if self.odd() { " " } else { "" }));
            if !self.random.once_in(5) {
                text.push_str(self.random.pick(&[
                    "enabled = true\n",
                    "enabled  = true\n",
                    "enabled=True\n",
                    "enabled: yes\n",
                ]));
            }
            let count = self.random.below(6);
            self.options(&mut text, count);
            text.push('\n');
        }
        text
    }

    fn options(&mut self, text: &mut String, count: usize) {
        let mut seen: Vec<&str> = vec!["enabled"];
        for _ in 0..count {
            let option = self.random.pick(&[
                "bantime",
                "findtime",
                "maxretry",
                "ignoreip",
                "backend",
                "port",
                "filter",
                "action",
                "banaction",
                "logpath",
                "failregex",
                "ignoreregex",
                "mode",
                "journalmatch",
                "bantime.increment",
                "bantime.formula",
                "bantime.multipliers",
                "bantime.maxtime",
                "ignorecommand",
                "ignorecache",
                "datepattern",
                "protocol",
                "chain",
                "destemail",
                "mta",
                "skip_if_nologs",
                "systemd_if_nologs",
                "usedns",
                "logencoding",
                "logtimezone",
                "maxlines",
                "prefregex",
                "maxmatches",
                "bantime.overalljails",
                "ignoreself",
                "sender",
                "action_",
                "sendername",
                "allowipv6",
                "dbpurgeage",
                "bantime_base",
                "abuseipdb_apikey",
            ]);
            if seen.contains(&option) && !self.odd() {
                continue;
            }
            seen.push(option);
            let value = self.value(option);
            let indent = if self.odd() { self.random.pick(&[" ", "\t", "\u{a0}"]) } else { "" };
            let key =
                if self.odd() { format!("{option}{}", self.random.pick(BLANKS)) } else { option.to_owned() };
            text.push_str(&format!(
                "{indent}{key}{}{value}\n",
                self.random.pick(&[" = ", " = ", "=", "  =  ", ": ", " :"])
            ));
        }
    }

    fn value(&mut self, option: &str) -> String {
        let blank = if self.odd() { self.random.pick(BLANKS) } else { "" };
        let value = match option {
            "ignoreip" => self
                .random
                .pick(&[
                    "127.0.0.1/8 ::1",
                    "127.0.0.1/8 ::1\n           10.0.0.0/8\n           # office\n           192.0.2.1",
                    "127.0.0.1/8, ::1,host.example",
                    "%(known/ignoreip)s 10.0.0.1",
                    "1.2.3.4\t5.6.7.8",
                    "",
                    "127.0.0.1/8\u{a0}::1",
                    "file:/etc/hosts",
                    "::1 ; local",
                ])
                .to_owned(),
            "backend" => self
                .random
                .pick(&[
                    "auto",
                    "systemd",
                    "%(sshd_backend)s",
                    "polling",
                    "systemd[journalpath=\"/x\"]",
                    "%(default_backend)s",
                    "pyinotify",
                ])
                .to_owned(),
            "port" => self
                .random
                .pick(&["ssh", "22,2222", "0:65535", "\"http,https\"", "http,https,8080", "ssh ; 22"])
                .to_owned(),
            "filter" => {
                let name = self.random.pick(&["sshd", "web", "%(__name__)s", "%(known/filter)s", "sshd"]);
                self.bracketed(name)
            }
            "action" | "action_" => {
                let mut parts = Vec::new();
                for _ in 0..=self.random.below(2) {
                    let name = self.random.pick(&[
                        "iptables",
                        "iptables-multiport",
                        "%(banaction)s",
                        "plain",
                        "mail-whois",
                        "%(action_mw)s",
                        "%(known/action)s",
                    ]);
                    parts.push(if name.contains("action_") || name.contains("known") {
                        name.to_owned()
                    } else {
                        self.bracketed(name)
                    });
                }
                parts.join(self.random.pick(&["\n         ", " ", "\n\n  ", "\n# more\n  "]))
            }
            "banaction" => {
                let name = self.random.pick(&["iptables", "plain", "iptables-multiport"]);
                self.bracketed(name)
            }
            "logpath" => self
                .random
                .pick(&[
                    "/etc/passwd",
                    "/etc/passwd\n          /etc/hosts",
                    "%(sshd_log)s",
                    "%(nginx_access_log)s",
                    "/etc/hos?s tail",
                    "/nope/*.log",
                    "%(syslog_mail)s\n  %(syslog_user)s",
                    "/etc/passwd\t/etc/hosts",
                    "/etc/{passwd,hosts}",
                    "/etc/**/hosts",
                    "/etc/[!a-g]osts",
                    " /etc/hosts  ",
                ])
                .to_owned(),
            "failregex" | "ignoreregex" | "prefregex" => {
                let count = 1 + self.random.below(3);
                let lines: Vec<&str> = (0..count).map(|_| self.random.pick(EXPRESSIONS)).collect();
                lines.join(self.random.pick(&["\n            ", "\n\t", "\n\n   "]))
            }
            "journalmatch" => self
                .random
                .pick(&[
                    "_SYSTEMD_UNIT=ssh.service + _COMM=sshd",
                    "_A=1\n  _B=\"x y\"",
                    "",
                    "CONTAINER_NAME=a 'b",
                    "%(known/journalmatch)s",
                ])
                .to_owned(),
            "ignorecache" => self
                .random
                .pick(&[
                    "key=\"<ip>\", max-count=100, max-time=5m",
                    "key=\"<F-USER>@<ip-host>\", max-count=10",
                ])
                .to_owned(),
            "bantime.formula" => self
                .random
                .pick(&[
                    "ban.Time * (1<<(ban.Count if ban.Count<20 else 20)) * banFactor",
                    "ban.Time*%(bantime)s",
                    "50%",
                ])
                .to_owned(),
            "datepattern" => self
                .random
                .pick(&[
                    "{^LN-BEG}",
                    "%%Y-%%m-%%d",
                    "^%%d/%%b/%%Y:%%H:%%M:%%S %%z\n  {^LN-BEG}",
                    "%Y",
                    "{DATE}",
                    "<lt_file/datepattern>",
                ])
                .to_owned(),
            "ignorecommand" => self
                .random
                .pick(&["", "%(fail2ban_confpath)s/filter.d/x <ip>", "/bin/x \"<ip>\" ; c"])
                .to_owned(),
            _ => self.random.pick(PLAIN_VALUES).to_owned(),
        };
        format!("{value}{blank}")
    }

    /// A name with options between brackets.
    fn bracketed(&mut self, name: &str) -> String {
        if self.random.once_in(3) {
            return name.to_owned();
        }
        let mut out = format!("{name}[");
        for index in 0..=self.random.below(4) {
            if index > 0 {
                out.push_str(self.random.pick(&[", ", ",", ",\n    ", " , ", "][", "] [", "\n   , "]));
            }
            let option = if self.odd() {
                self.random.pick(BRACKET_NAMES)
            } else {
                self.random.pick(&BRACKET_NAMES[..14])
            };
            let value = if self.odd() {
                self.random.pick(BRACKET_VALUES)
            } else {
                self.random.pick(&BRACKET_VALUES[..16])
            };
            let equals = if self.odd() { self.random.pick(&[" = ", "= ", " ="]) } else { "=" };
            out.push_str(&format!("{option}{equals}{value}"));
        }
        out + self.random.pick(&["]", "]", " ]", "]\t", "] "])
    }
}
