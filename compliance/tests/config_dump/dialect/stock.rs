//! The part that distributions ship: paths, `jail.conf`, common prefixes, one filter with modes, one action for several
//! firewalls. The ways are Fail2ban's, the words are not.

use super::Maker;

impl Maker {
    pub(super) fn server(&mut self) -> String {
        let mut text = String::from(
            "[DEFAULT]\nloglevel = INFO\nlogtarget = /var/log/fail2ban.log\nsyslogsocket = auto\nsocket = /run/s\npidfile = /run/p\n",
        );
        text.push_str(self.random.pick(&["dbfile = /x\n", "dbfile = None\n", ""]));
        text.push_str(if self.odd() {
            "dbpurgeage = %(bantime)s\n"
        } else {
            self.random.pick(&["dbpurgeage = 1d\n", "dbpurgeage = 648000\n"])
        });
        text.push_str(self.random.pick(&["dbmaxmatches = 10\n", ""]));
        text.push_str(self.random.pick(&[
            "#allowipv6 = auto\n",
            "allowipv6 = auto\n",
            "allowipv6 = yes\n",
            "",
        ]));
        text.push_str(self.random.pick(&[
            "[Definition]\n\n[Thread]\n\n#stacksize = 0\n",
            "[Definition]\n[Thread]\nstacksize = 0\n",
            "[Definition]\n",
            "",
        ]));
        text
    }

    pub(super) fn paths_common(&mut self) -> String {
        let after =
            self.random.pick(&["paths-overrides.local", "paths-overrides.local\n  nothing.local", ""]);
        format!(
            "[INCLUDES]\nafter = {after}\n[DEFAULT]\ndefault_backend = {}\nsshd_log = %(syslog_authpriv)s\nsshd_backend = %(default_backend)s\n\
             syslog_local0 = /etc/passwd\nsyslog_authpriv = /etc/passwd\nnginx_access_log = /etc/host*\nbantime_base = 10m\n",
            self.random.pick(&["%(default/backend)s", "auto", "systemd", "systemd[journalflags=1]"])
        )
    }

    pub(super) fn paths_debian(&mut self) -> String {
        format!(
            "[INCLUDES]\n\nbefore = paths-common.conf\n\nafter  = paths-overrides.local\n\n[DEFAULT]\n\nsyslog_mail = /etc/hosts\nsyslog_user = {}\n{}",
            self.random.pick(&["/etc/hosts", "%(syslog_local0)s"]),
            self.random.pick(&["", "banaction = plain\n", "sshd_backend = systemd\n"])
        )
    }

    /// `jail.conf`.
    pub(super) fn stock(&mut self) -> String {
        let banaction = self.random.pick(&[
            "iptables-multiport",
            "iptables[type=multiport]",
            "iptables[type=allports, blocktype=DROP]",
            "plain",
            "iptables-multiport[x=1]",
            "iptables[type=\"oneport\"]",
        ]);
        let mut text = format!(
            "[INCLUDES]\nbefore = paths-debian.conf\n\n[DEFAULT]\nignorecommand =\nbantime  = 10m\nfindtime  = 10m\nmaxretry = 5\n\
             maxmatches = %(maxretry)s\nbackend = {}\nusedns = warn\nlogencoding = auto\nenabled = false\nmode = {}\nfilter = {}\n\
             destemail = root@localhost\nsender = root@<fq-hostname>\nmta = mail\nprotocol = tcp\nchain = {}\nport = 0:65535\n\
             fail2ban_agent = Fail2Ban/%(fail2ban_version)s\nbanaction = {banaction}\nbanaction_allports = iptables[type=allports]\n",
            self.random.pick(&["auto", "systemd", "polling", "%(sshd_backend)s"]),
            self.random.pick(&["normal", "aggressive", "ddos"]),
            self.random.pick(&["%(__name__)s[mode=%(mode)s]", "%(__name__)s", "web[mode=%(mode)s]", "web"]),
            self.random.pick(&["<known/chain>", "INPUT", "f2b-<name>"]),
        );
        text.push_str(self.random.pick(&[
            "action_ = %(banaction)s[port=\"%(port)s\", protocol=\"%(protocol)s\", chain=\"%(chain)s\"]\n",
            "action_ = %(banaction)s[name=%(__name__)s, bantime=\"%(bantime)s\", port=\"%(port)s\", protocol=\"%(protocol)s\", chain=\"%(chain)s\"]\n",
            "action_ = %(banaction)s[actname=%(banaction)s-tcp, port=\"%(port)s\", protocol=\"tcp\"]\n  %(banaction)s[actname=two, protocol=\"udp\"]\n",
        ]));
        text.push_str("action_mw = %(action_)s\n            %(mta)s-whois[sender=\"%(sender)s\", dest=\"%(destemail)s\", protocol=\"%(protocol)s\", chain=\"%(chain)s\"]\n");
        text.push_str("action_mwl = %(action_)s\n             %(mta)s-whois[sender=\"%(sender)s\", dest=\"%(destemail)s\", logpath=\"%(logpath)s\", chain=\"%(chain)s\"]\n");
        text.push_str(&format!(
            "action = {}\n",
            self.random.pick(&["%(action_)s", "%(action_mw)s", "%(action_mwl)s", "%(action_)s plain"])
        ));
        text.push_str(self.random.pick(&[
            "",
            "skip_if_nologs = true\n",
            "systemd_if_nologs = false\n",
            "journalmatch = _SYSTEMD_UNIT=ssh.service\n",
        ]));
        text.push_str("[sshd]\nport = ssh\nlogpath = %(sshd_log)s\nbackend = %(sshd_backend)s\n");
        text.push_str("[web]\nport = http,https\nlogpath = %(nginx_access_log)s\n");
        text.push_str("[recidive]\nlogpath = /etc/passwd\nfilter = web\nbanaction = %(banaction_allports)s\nbantime = 1w\nfindtime = 1d\n");
        text
    }

    pub(super) fn common(&mut self) -> String {
        format!(
            "[INCLUDES]\nafter = common.local\n[DEFAULT]\n\nlogtype = {}\n_daemon = \\S*\n__pid_re = (?:\\[\\d+\\])\n__daemon_re = [\\[\\(]?<_daemon>(?:\\(\\S+\\))?[\\]\\)]?:?\n\
             __prefix_line = <lt_<logtype>/__prefix_line>\n\n[lt_file]\n__prefix_line = <__date_ambit>?\\s*(?:<__daemon_re>|%(__pid_re)s)?\\s*\ndatepattern = {{^LN-BEG}}\n\
             [lt_short]\n__prefix_line = \\s*(?:%(__daemon_re)s)?\\s*\ndatepattern = {{NONE}}\n[lt_journal]\n__prefix_line = %(lt_short/__prefix_line)s\n{}",
            self.random.pick(&["file", "short", "journal"]),
            self.random.pick(&[
                "",
                "datepattern = %(lt_short/datepattern)s\n",
                "[Init]\nlogtype = short\n",
                "[DEFAULT]\n__date_ambit = (?:\\[\\])\n"
            ]),
        )
    }

    pub(super) fn filter(&mut self, ssh: bool) -> String {
        let mut text = String::from(
            "[INCLUDES]\nbefore = common.conf\n\n[DEFAULT]\n_daemon = sshd(?:-session)?\n__pref = (?:(?:error|fatal): )?\n\n[Definition]\n",
        );
        text.push_str(self.random.pick(&[
            "",
            "prefregex = ^<F-MLFID>%(__prefix_line)s</F-MLFID>%(__pref)s<F-CONTENT>.+</F-CONTENT>$\n",
            "prefregex = ^<lt_<logtype>/__prefix_line><F-CONTENT>.+</F-CONTENT>$\n",
        ]));
        text.push_str("suff = (?: \\[preauth\\])?\\s*\n");
        text.push_str("cmnfailre = ^Failed <cmnfailed> for <F-USER>.+</F-USER> from <HOST>%(suff)s\n            ^User <HOST> is bad$\n            <mdre-<mode>-other>\n");
        text.push_str("cmnfailed = <cmnfailed-<publickey>>\ncmnfailed-any = \\S+\ncmnfailed-nofail = (?:<F-NOFAIL>publickey</F-NOFAIL>|\\S+)\n");
        text.push_str("mdre-normal =\nmdre-normal-other = ^<F-NOFAIL>Connection closed</F-NOFAIL> by <HOST>\nmdre-ddos = ^Did not receive <HOST>\nmdre-ddos-other = %(mdre-normal-other)s\n");
        text.push_str("mdre-aggressive = %(mdre-ddos)s\n                  %(mdre-normal)s\nmdre-aggressive-other = <mdre-ddos-other>\npublickey = nofail\n");
        text.push_str(self.random.pick(&[
            "failregex = %(cmnfailre)s\n            <mdre-<mode>>\n",
            "failregex = <cmnfailre>\n            <mdre-<mode>>\n            <known/x>\n",
            "failregex = <mdre-<mode>>\n",
            "failregex = ^<HOST> -.*$\n",
        ]));
        text.push_str(self.random.pick(&[
            "ignoreregex =\n",
            "",
            "ignoreregex = ^ok <HOST>\n",
            "ignoreregex\t=\n",
        ]));
        text.push_str(if self.odd() {
            "mode = %(default/mode)s\n"
        } else {
            self.random.pick(&["mode = normal\n", "mode = normal\n", ""])
        });
        text.push_str(self.random.pick(&["maxlines = 1\n", "", "maxlines = <lines>\nlines = 3\n"]));
        text.push_str(self.random.pick(&[
            "datepattern = {^LN-BEG}\n",
            "datepattern = <lt_<logtype>/datepattern>\n",
            "",
            "datepattern = ^%%Y%%m%%d\n",
            "[Init]\ndatepattern = {NONE}\n",
        ]));
        if ssh {
            text.push_str(self.random.pick(&[
                "journalmatch = _SYSTEMD_UNIT=sshd.service + _COMM=sshd\n",
                "journalmatch = _SYSTEMD_UNIT=ssh.service + _COMM=sshd + _COMM=sshd-session\n",
            ]));
        }
        text.push_str(self.random.pick(&[
            "",
            "\n# DEV Notes:\n#\n#   text = more\n",
            "[lt_file]\ndatepattern = {DATE}\n",
        ]));
        text
    }

    pub(super) fn extension(&mut self) -> String {
        self.random
            .pick(&[
                "[Definition]\nfailregex = %(known/failregex)s\n            ^mine <HOST>\n",
                "[Definition]\nmode = aggressive\n",
                "[Init]\nmode = ddos\n",
                "[DEFAULT]\n_daemon = dropbear\n[Definition]\nmdre-normal = ^own <HOST>\n",
                "[Definition]\nignoreregex = <known/ignoreregex>\n  ^x\n",
            ])
            .to_owned()
    }

    pub(super) fn firewall(&mut self) -> String {
        let mut text = String::from(
            "[Definition]\ntype = oneport\nactionflush = <iptables> -F f2b-<name>\n\
             actionstart = { <iptables> -C f2b-<name> -j <returntype> >/dev/null 2>&1; } || { <iptables> -N f2b-<name> || true; <iptables> -A f2b-<name> -j <returntype>; }\n              <_ipt_add_rules>\n\
             actionstop = <_ipt_del_rules>\n             <actionflush>\n             <iptables> -X f2b-<name>\n\
             actionban = <iptables> -I f2b-<name> 1 -s <ip> -j <blocktype>\nactionunban = <iptables> -D f2b-<name> -s <ip> -j <blocktype>\n\
             pre-rule =\nrule-jump = -j <_ipt_rule_target>\n_ipt_rule_target = f2b-<name>\n\
             _ipt_for_proto-iter = for proto in $(echo '<protocol>' | sed 's/,/ /g'); do\n_ipt_for_proto-done = done\n\
             _ipt_add_rules = <_ipt_for_proto-iter>\n              { %(_ipt_check_rule)s >/dev/null 2>&1; } || { <iptables> -I <chain> %(_ipt_chain_rule)s; }\n              <_ipt_for_proto-done>\n\
             _ipt_del_rules = <_ipt_for_proto-iter>\n              <iptables> -D <chain> %(_ipt_chain_rule)s\n              <_ipt_for_proto-done>\n\
             _ipt_check_rule = <iptables> -C <chain> %(_ipt_chain_rule)s\n_ipt_chain_rule = <pre-rule><ipt_<type>/_chain_rule>\n",
        );
        text.push_str(self.random.pick(&[
            "actioncheck = <_ipt_check_rules>\n_ipt_check_rules = x <iptables>\n",
            "actioncheck =\n",
            "",
        ]));
        text.push_str("[ipt_oneport]\n_chain_rule = -p $proto --dport <port> <rule-jump>\n[ipt_multiport]\n_chain_rule = -p $proto -m multiport --dports <port> <rule-jump>\n[ipt_allports]\n_chain_rule = -p $proto <rule-jump>\n");
        text.push_str("[Init]\nchain = INPUT\nname = default\nport = ssh\nprotocol = tcp\nblocktype = REJECT --reject-with icmp-port-unreachable\nreturntype = RETURN\nlockingopt = -w\niptables = iptables <lockingopt>\n");
        text.push_str(self.random.pick(&[
            "[Init?family=inet6]\nblocktype = REJECT --reject-with icmp6-port-unreachable\niptables = ip6tables <lockingopt>\n",
            "\n[Init?family=inet6]\n\niptables = ip6tables <known/lockingopt>\nhost? = <HOST>\n",
            "[Init?family=inet6]\niptables = %(known/iptables)s\n",
            "",
        ]));
        text
    }

    pub(super) fn derived(&mut self) -> String {
        let mut text = String::from("[INCLUDES]\nbefore = iptables.conf\n[Definition]\n");
        text.push_str(self.random.pick(&[
            "type = multiport\n",
            "_ipt_chain_rule = <ipt_multiport/_chain_rule>\n",
            "actionstart = <Definition/actionban>\n",
        ]));
        text.push_str(self.random.pick(&[
            "",
            "[Definition?family=inet6]\nactionban = six <HOST> <ip>\n",
            "[Init?family=inet6]\nchain = INPUT6\n",
            "[Init?family=inet4]\nblocktype = DROP\n",
        ]));
        text
    }

    pub(super) fn mail(&mut self) -> String {
        format!(
            "[INCLUDES]\nbefore = mail-common.conf\n[Definition]\nnorestored = {}\nactionstart = printf %%%%b \"Hi,\\n\n              The jail <name> has been started.\\n\n              Fail2Ban\" | <mailcmd> \"[Fail2Ban] <name>: started on <fq-hostname>\" <dest>\n\
             actionban = printf %%%%b \"Hi,\\n\n            <ip> after <failures> attempts\\n `%(_whois_command)s`\\n <matches>\" | <mailcmd> \"x\" <dest>\n\
             _whois_command = <_whois>\n_whois = whois <ip> || echo \"missing\"\n[Init]\nmailcmd = mail -s\nname = default\ndest = root\nlogpath = /dev/null\ngrepopts = -m <grepmax>\ngrepmax = 1000\n",
            self.random.pick(&["1", "true", "0", "off"])
        )
    }

    pub(super) fn action_local(&mut self) -> String {
        self.random
            .pick(&[
                "[Init]\nblocktype = DROP\n",
                "[Init]\nlockingopt =\n[Init?family=inet6]\nblocktype = DROP\n",
                "[Definition]\nactionban = <known/actionban>\n  logger <ip>\n",
                "[Definition]\nactionban = %(known/actionban)s\n",
                "[Init?family=inet6]\nport?family=inet6 = 6\n",
                "[DEFAULT]\nchain = DOCKER-USER\n",
            ])
            .to_owned()
    }
}
