//! Logs as the services of seven filters write them, a third of their lines attacks: the same for the same seed.
//!
//! The messages are the services' own (OpenSSH, Dovecot, Postfix, nginx, Apache, BIND, Fail2ban), the names, addresses and
//! numbers in them are drawn.

/// A log for one filter.
pub(crate) struct Kind {
    /// The filter's name.
    pub(crate) filter: &'static str,
    /// How the service writes dates, for `strftime`.
    date: &'static str,
    /// What stands between the date and the message.
    head: &'static str,
    attacks: &'static [&'static str],
    others: &'static [&'static str],
}

/// The logs that are measured.
pub(crate) const KINDS: [Kind; 7] = [
    Kind {
        filter: "sshd",
        date: "%b %e %H:%M:%S",
        head: " srv ",
        attacks: &[
            "sshd[{pid}]: Failed password for root from {ip} port {port} ssh2",
            "sshd[{pid}]: Failed password for invalid user {user} from {ip} port {port} ssh2",
            "sshd[{pid}]: Invalid user {user} from {ip} port {port}",
            "sshd[{pid}]: User {user} from {ip} not allowed because not listed in AllowUsers",
            "sshd[{pid}]: error: maximum authentication attempts exceeded for {user} from {ip} port {port} ssh2 [preauth]",
            "sshd[{pid}]: Received disconnect from {ip} port {port}:3: Auth fail [preauth]",
            "sshd[{pid}]: error: PAM: Authentication failure for {user} from {ip}",
            "sshd[{pid}]: Failed publickey for {user} from {ip} port {port} ssh2: RSA SHA256:{hex}",
            "sshd[{pid}]: Disconnecting authenticating user {user} {ip} port {port}: Too many authentication failures [preauth]",
        ],
        others: OTHERS,
    },
    Kind {
        filter: "dovecot",
        date: "%b %e %H:%M:%S",
        head: " mail ",
        attacks: &[
            "dovecot: imap-login: Disconnected (auth failed, {digit} attempts in {digit} secs): user=<{user}>, method=PLAIN, rip={ip}, lip=192.0.2.1, TLS, session=<{hex}>",
            "dovecot: pop3-login: Aborted login (auth failed, 1 attempts in 2 secs): user=<{user}@example.org>, method=PLAIN, rip={ip}, lip=192.0.2.1",
            "dovecot: auth-worker({pid}): pam({user},{ip}): pam_authenticate() failed: Authentication failure (password mismatch?)",
            "dovecot: auth: passwd-file({user},{ip}): unknown user",
            "auth: pam_unix(dovecot:auth): authentication failure; logname= uid=0 euid=0 tty=dovecot ruser={user} rhost={ip} user={user}",
        ],
        others: MAIL,
    },
    Kind {
        filter: "postfix",
        date: "%b %e %H:%M:%S",
        head: " mail ",
        attacks: &[
            "postfix/smtpd[{pid}]: NOQUEUE: reject: RCPT from unknown[{ip}]: 554 5.7.1 <{user}@example.com>: Relay access denied; from=<{user}@example.net> to=<{user}@example.com> proto=ESMTP helo=<win-{hex}>",
            "postfix/smtpd[{pid}]: NOQUEUE: reject: RCPT from unknown[{ip}]: 450 4.7.1 Client host rejected: cannot find your reverse hostname, [{ip}]; from=<{user}@example.net> to=<{user}@example.org> proto=ESMTP helo=<{user}>",
            "postfix/smtpd[{pid}]: NOQUEUE: reject: RCPT from host{digit}.example.net[{ip}]: 550 5.1.1 <{user}@example.org>: Recipient address rejected: User unknown in local recipient table; from=<a@example.net> to=<{user}@example.org> proto=SMTP helo=<{user}>",
            "postfix/smtpd[{pid}]: improper command pipelining after DATA from unknown[{ip}]: HELO {user}",
            "postfix/smtpd[{pid}]: too many errors after AUTH from unknown[{ip}]",
        ],
        others: MAIL,
    },
    Kind {
        filter: "nginx-http-auth",
        date: "%Y/%m/%d %H:%M:%S",
        head: " ",
        attacks: &[
            "[error] {pid}#{pid}: *{number} user \"{user}\": password mismatch, client: {ip}, server: example.org, request: \"GET /admin HTTP/1.1\", host: \"example.org\"",
            "[error] {pid}#{pid}: *{number} user \"{user}\" was not found in \"/etc/nginx/htpasswd\", client: {ip}, server: example.org, request: \"POST /login HTTP/1.1\", host: \"example.org\", referrer: \"https://example.org/{hex}\"",
        ],
        others: &[
            "[error] {pid}#{pid}: *{number} open() \"/var/www/html/{hex}.php\" failed (2: No such file or directory), client: {ip}, server: example.org, request: \"GET /{hex}.php HTTP/1.1\", host: \"example.org\"",
            "[warn] {pid}#{pid}: *{number} an upstream response is buffered to a temporary file /var/lib/nginx/proxy/{digit}/{number} while reading upstream, client: {ip}, server: example.org",
            "[notice] {pid}#{pid}: signal {digit} (SIGCHLD) received from {number}",
            "[error] {pid}#{pid}: *{number} connect() failed (111: Connection refused) while connecting to upstream, client: {ip}, server: example.org, request: \"GET /api HTTP/2.0\", upstream: \"http://127.0.0.1:{port}/api\"",
            "[info] {pid}#{pid}: *{number} client {ip} closed keepalive connection",
        ],
    },
    Kind {
        filter: "apache-auth",
        date: "[%a %b %d %H:%M:%S.%6f %Y",
        head: "] ",
        attacks: &[
            "[auth_basic:error] [pid {pid}:tid 1402{number}] [client {ip}:{port}] AH01617: user {user}: authentication failure for \"/admin\": Password Mismatch",
            "[auth_basic:error] [pid {pid}] [client {ip}:{port}] AH01618: user {user} not found: /private",
            "[authz_core:error] [pid {pid}:tid 1402{number}] [client {ip}:{port}] AH01630: client denied by server configuration: /var/www/html/{hex}",
            "[auth_digest:error] [pid {pid}] [client {ip}:{port}] AH01790: user `{user}' in realm `Staff only' not found: /digest/",
        ],
        others: &[
            "[core:error] [pid {pid}:tid 1402{number}] [client {ip}:{port}] AH00126: Invalid URI in request GET /../../{hex} HTTP/1.1",
            "[php:warn] [pid {pid}] [client {ip}:{port}] PHP Warning:  Undefined variable $user in /var/www/html/index.php on line {number}",
            "[mpm_event:notice] [pid {pid}:tid 1402{number}] AH00489: Apache/2.4.57 (Debian) configured -- resuming normal operations",
            "[proxy_http:error] [pid {pid}] (70007)The timeout specified has expired: [client {ip}:{port}] AH01102: error reading status line from remote server 127.0.0.1:8080",
            "[ssl:info] [pid {pid}] [client {ip}:{port}] AH02008: SSL library error 1 in handshake (server example.org:443)",
        ],
    },
    Kind {
        filter: "named-refused",
        date: "%b %e %H:%M:%S",
        head: " ns ",
        attacks: &[
            "named[{pid}]: client @0x7f{hex} {ip}#{port} (example.com): query (cache) 'example.com/ANY/IN' denied",
            "named[{pid}]: client {ip}#{port}: query (cache) './NS/IN' denied",
            "named[{pid}]: client @0x7f{hex} {ip}#{port} (example.org): zone transfer 'example.org/AXFR/IN' denied",
            "named[{pid}]: client {ip}#{port}: bad zone transfer request: '{user}.example/IN': non-authoritative zone (NOTAUTH)",
        ],
        others: &[
            "named[{pid}]: client @0x7f{hex} {ip}#{port} ({user}.example.org): query: {user}.example.org IN A +E(0)K (192.0.2.53)",
            "named[{pid}]: connection refused resolving '{user}.example.net/A/IN': {ip}#53",
            "named[{pid}]: zone example.org/IN: sending notifies (serial {number})",
            "named[{pid}]: DNS format error from {ip}#53 resolving {user}.example.com/AAAA: invalid response",
            "systemd[1]: Started session {number} of user {user}.",
            "kernel: [{number}.123456] IN=eth0 OUT= SRC={ip} DST=192.0.2.53 LEN=60 PROTO=UDP SPT={port} DPT=53",
        ],
    },
    Kind {
        filter: "recidive",
        date: "%Y-%m-%d %H:%M:%S,%3f",
        head: " ",
        attacks: &[
            "fail2ban.actions        [{pid}]: NOTICE  [sshd] Ban {ip}",
            "fail2ban.actions        [{pid}]: NOTICE  [postfix-sasl] Ban {ip}",
        ],
        others: &[
            "fail2ban.filter         [{pid}]: INFO    [sshd] Found {ip} - 2026-11-22 11:00:00",
            "fail2ban.actions        [{pid}]: NOTICE  [dovecot] Unban {ip}",
            "fail2ban.actions        [{pid}]: WARNING [sshd] {ip} already banned",
            "fail2ban.filter         [{pid}]: INFO    [postfix-sasl] Found {ip} - 2026-11-22 11:00:00",
        ],
    },
];

/// What else stands in an auth.log.
const OTHERS: &[&str] = &[
    "CRON[{pid}]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)",
    "sudo:  {user} : TTY=pts/0 ; PWD=/home/{user} ; USER=root ; COMMAND=/usr/bin/apt update",
    "systemd-logind[612]: New session {number} of user {user}.",
    "kernel: [{number}.123456] IN=eth0 OUT= MAC=52:54:00 SRC={ip} DST=192.0.2.1 LEN=60 PROTO=TCP SPT={port} DPT=23",
    "sshd[{pid}]: Accepted publickey for {user} from {ip} port {port} ssh2: ED25519 SHA256:{hex}",
    "sshd[{pid}]: pam_unix(sshd:session): session closed for user {user}",
    "dbus-daemon[511]: [system] Activating via systemd: service name='org.freedesktop.hostname1'",
    "CRON[{pid}]: pam_unix(cron:session): session closed for user root",
    "su[{pid}]: (to postgres) root on none",
];

/// What else stands in a mail.log.
const MAIL: &[&str] = &[
    "dovecot: imap-login: Login: user=<{user}>, method=PLAIN, rip={ip}, lip=192.0.2.1, mpid={pid}, TLS, session=<{hex}>",
    "dovecot: imap({user})<{pid}><{hex}>: Disconnected: Logged out in={number} out={number} deleted=0 expunged=0 trashed=0",
    "postfix/smtpd[{pid}]: connect from mail.example.net[{ip}]",
    "postfix/smtpd[{pid}]: disconnect from mail.example.net[{ip}] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5",
    "postfix/cleanup[{pid}]: {hex}: message-id=<{hex}@example.net>",
    "postfix/qmgr[{pid}]: {hex}: from=<{user}@example.net>, size={number}, nrcpt=1 (queue active)",
    "postfix/smtp[{pid}]: {hex}: to=<{user}@example.com>, relay=mx.example.com[{ip}]:25, delay=1.2, delays=0.1/0/0.5/0.6, dsn=2.0.0, status=sent (250 2.0.0 OK)",
    "spamd[{pid}]: spamd: result: . -1 - BAYES_00 scantime=0.3,size={number},user={user},rport={port}",
    "CRON[{pid}]: pam_unix(cron:session): session closed for user root",
];

const USERS: [&str; 12] = [
    "admin",
    "oracle",
    "test",
    "ubuntu",
    "postgres",
    "git",
    "pi",
    "user1",
    "ftp",
    "alice",
    "minecraft",
    "deploy",
];

/// Numbers from a seed (xorshift64, Marsaglia 2003).
pub(crate) struct Random(u64);

impl Random {
    /// A generator of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit
    }
}

impl Kind {
    /// A log of so many lines, written evenly over the seconds before `now`.
    pub(crate) fn log(&self, lines: usize, now: &jiff::Zoned, seconds: i64, seed: u64) -> String {
        let mut random = Random::new(seed);
        let mut out = String::with_capacity(lines * 120);
        let begin = now.timestamp().as_millisecond() - seconds * 1000;
        for line in 0..lines {
            let at = begin + line as i64 * seconds * 1000 / lines as i64;
            let at = jiff::Timestamp::from_millisecond(at).unwrap().to_zoned(now.time_zone().clone());
            let templates = if random.below(3) == 0 { self.attacks } else { self.others };
            let template = templates[random.below(templates.len() as u64) as usize];
            out.push_str(&at.strftime(self.date).to_string());
            out.push_str(self.head);
            fill(template, &mut random, &mut out);
            out.push('\n');
        }
        out
    }
}

/// Writes a template with its places filled.
fn fill(template: &str, random: &mut Random, out: &mut String) {
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (place, behind) = after.split_once('}').unwrap();
        out.push_str(before);
        let filled = match place {
            "ip" => format!(
                "{}.{}.{}.{}",
                1 + random.below(222),
                random.below(256),
                random.below(256),
                1 + random.below(254)
            ),
            "user" => USERS[random.below(USERS.len() as u64) as usize].to_owned(),
            "pid" => (400 + random.below(32_000)).to_string(),
            "port" => (1024 + random.below(64_000)).to_string(),
            "digit" => (1 + random.below(9)).to_string(),
            "number" => random.below(100_000).to_string(),
            "hex" => format!("{:010x}", random.below(1 << 40)),
            other => panic!("no such place: {other}"),
        };
        out.push_str(&filled);
        rest = behind;
    }
    out.push_str(rest);
}
