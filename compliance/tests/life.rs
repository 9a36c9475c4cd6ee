//! The same logs, the same life: every filter in a jail of its own, with options of chance, and both servers read the same lines at
//! the same time. Then what they say of each jail, what its action was told, and what is in the database must be the same.

// Helpers of tests are outside `#[test]` functions, where clippy looks for what tests may do.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "life/told.rs"]
mod told;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use portcullis_compliance::{Comparison, Peer, Random, both, genuine_root, number, skip};
use regex::Regex;

/// A jail: its part of `jail.local`, what its log has at the start, and the lines that are added to it.
struct Jail {
    name: String,
    settings: String,
    before: String,
    lines: Vec<String>,
}

/// A moment, as syslog and as most others write it.
struct At {
    syslog: String,
    iso: String,
    dated: Regex,
    zone: Regex,
}

impl At {
    fn hours_ago(hours: i64) -> Self {
        let now = &jiff::Zoned::now() - jiff::Span::new().hours(hours);
        Self {
            syslog: now.strftime("%b %e %H:%M:%S").to_string(),
            iso: now.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            zone: Regex::new(r"^[.,]?\d*\s?(?:Z|[+-]\d\d)").unwrap(),
            dated: Regex::new(
                r"^(?:([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d)|(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d))\b",
            )
            .unwrap(),
        }
    }

    /// The line with this date, if it begins with one of the two forms. Not where a zone follows: that would be another moment.
    fn line(&self, line: &str) -> Option<String> {
        let date = self.dated.captures(line)?;
        let now = if date.get(1).is_some() { &self.syslog } else { &self.iso };
        let rest = &line[date[0].len()..];
        (!self.zone.is_match(rest)).then(|| format!("{now}{rest}"))
    }
}

fn jails(random: &mut Random) -> Option<Vec<Jail>> {
    let root = genuine_root().map_err(|reason| skip(&reason)).ok()?;
    let logs = root.join("usr/lib/python3/dist-packages/fail2ban/tests/files/logs");
    let (now, past) = (At::hours_ago(0), At::hours_ago(3));
    let mut names: Vec<String> = std::fs::read_dir(root.join("etc/fail2ban/filter.d"))
        .unwrap()
        .flatten()
        .filter_map(|entry| Some(entry.file_name().into_string().ok()?.strip_suffix(".conf")?.to_owned()))
        .collect();
    names.sort();
    let jail = |name: String| {
        let text = String::from_utf8_lossy(&std::fs::read(logs.join(&name)).ok()?).into_owned();
        let samples: Vec<&str> =
            text.lines().filter(|line| !line.starts_with('#') && now.line(line).is_some()).collect();
        if samples.is_empty() {
            return None;
        }
        // Lines that belong together stay together, mostly.
        let mut blocks = |blocks: usize, at: &At| {
            let mut lines = Vec::new();
            for _ in 0..blocks {
                let from = random.below(samples.len());
                let many = 1 + random.below(8);
                lines.extend(samples[from..].iter().take(many).filter_map(|line| at.line(line)));
            }
            lines
        };
        let before = [blocks(12, &past), blocks(4, &now)].concat();
        let lines = blocks(40, &now);
        // Nothing, the past, or what is still to be judged.
        let before = before.into_iter().take([0, 12, 99][random.below(3)]).map(|line| line + "\n").collect();
        Some(Jail { settings: settings(&name, random), name, before, lines })
    };
    Some(names.into_iter().filter_map(jail).collect())
}

fn settings(name: &str, random: &mut Random) -> String {
    let mut text =
        format!("[{name}]\nenabled = true\nlogpath = @DIR@/{name}.log\nbackend = auto\nusedns = no\n");
    let mode = if ["sshd", "postfix", "dovecot"].contains(&name) && random.once_in(2) {
        "[mode=aggressive]"
    } else {
        ""
    };
    let _ = writeln!(text, "filter = {name}{mode}\nmaxretry = {}", 1 + random.below(4));
    let _ = writeln!(text, "findtime = {}", random.pick(&["10m", "1h"]));
    let _ = writeln!(text, "bantime = {}", random.pick(&["10m", "1h", "-1", "1w"]));
    let _ = writeln!(text, "maxmatches = {}", random.pick(&["%(maxretry)s", "0", "1", "10"]));
    if random.once_in(3) {
        let _ = writeln!(text, "bantime.increment = true\nbantime.rndtime = 0");
    }
    if random.once_in(3) {
        text.push_str("ignoreip = 1.2.3.0/24 192.0.2.1 2001:db8::/64 87.142.0.0/16\n");
    }
    text.push_str("action = told[name=%(__name__)s]\n");
    text
}

const TOLD: &str = "\
[Definition]
actionstart = echo start >> @DIR@/<name>.told
actionban = echo ban <ip> <failures> <bancount> <family> <restored> \"<F-USER>\" \"<matches>\" >> @DIR@/<name>.told
actionunban = echo unban <ip> >> @DIR@/<name>.told
actionstop = echo stop >> @DIR@/<name>.told
[Init]
name = default
";

const DATABASE: &str = "
import json, sqlite3, sys
base = sqlite3.connect(sys.argv[1])
for table in ('bans', 'bips'):
    count = ', bancount'
    for row in base.execute(f'select jail, ip, timeofban, bantime{count}, data from {table} order by jail, rowid'):
        print(table, *row[:-1], json.dumps(json.loads(row[-1]), sort_keys=True))
for row in base.execute('select jail, path, firstlinemd5, lastfilepos from logs order by jail'):
    print('logs', *row)
";

/// What is known of each jail at the end, by its name.
fn life(peer: &mut Peer, jails: &[Jail]) -> BTreeMap<String, String> {
    let mut settings = String::from("[DEFAULT]\nignoreself = false\n");
    for jail in jails {
        settings.push_str(&jail.settings);
        peer.append(&format!("{}.log", jail.name), &jail.before);
    }
    peer.write("conf/action.d/told.conf", TOLD);
    peer.write("conf/jail.local", &settings);
    peer.start();
    // What is found at the first look at a file is judged as of the past.
    std::thread::sleep(Duration::from_secs(3));
    for part in 0..4 {
        for jail in jails {
            let size = jail.lines.len().div_ceil(4);
            let lines: String =
                jail.lines.iter().skip(part * size).take(size).map(|line| format!("{line}\n")).collect();
            peer.append(&format!("{}.log", jail.name), &lines);
        }
        std::thread::sleep(Duration::from_millis(1500));
    }
    until_quiet(peer);
    at_the_end(peer, jails.iter().map(|jail| jail.name.as_str()))
}

/// Waits until nothing more is said.
fn until_quiet(peer: &Peer) {
    let mut said = 0;
    loop {
        std::thread::sleep(Duration::from_secs(4));
        let now = peer.log().len();
        if std::mem::replace(&mut said, now) == now {
            break;
        }
    }
}

/// What is known of each jail, of the server and afterwards.
fn at_the_end<'a>(peer: &mut Peer, jails: impl Iterator<Item = &'a str> + Clone) -> BTreeMap<String, String> {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for jail in jails.clone() {
        let answer = |words: &[&str]| peer.client(words).masked().to_string();
        known.insert(format!("status {jail}"), answer(&["status", jail]));
        known.insert(format!("banned {jail}"), answer(&["get", jail, "banned"]));
    }
    peer.stop();
    for jail in jails {
        known.insert(format!("told {jail}"), peer.read(&format!("{jail}.told")));
    }
    // Of each source and jail the messages, in order.
    let form = Regex::new(r"^\S+ \S+ (fail2ban\.\w+)\s*\[\d+\]: (.*)$").unwrap();
    let named = Regex::new(r"^\w+\s+\[([\w-]+)\] ").unwrap();
    for line in peer.log().lines() {
        let Some(parts) = form.captures(line) else { continue };
        let Some(jail) = named.captures(&parts[2]) else { continue };
        let text = known.entry(format!("{} {}", &parts[1], &jail[1])).or_default();
        let _ = writeln!(text, "{}", &parts[2]);
    }
    let base = peer.path("f2b.sqlite3");
    let rows = peer.run("python3", &["-c", DATABASE, base.to_str().unwrap()]);
    for row in peer.mask(&rows.to_string()).lines() {
        let jail = row.split(' ').nth(1).unwrap_or("");
        let text = known.entry(format!("database {jail}")).or_default();
        let _ = writeln!(text, "{row}");
    }
    known
}

#[test]
fn both_servers_lead_the_same_life_with_all_filters() {
    let mut random = Random::new(Random::seed("life"));
    let Some(jails) = jails(&mut random) else { return };
    let Some((genuine, ours)) = both(|peer| life(peer, &jails)) else { return };
    let bans: usize = genuine.values().map(|text| text.matches(" Ban ").count()).sum();
    println!("{} jails, {bans} bans", jails.len());
    assert!(bans > 100, "that proves nothing");
    compare("the life of all filters", &genuine, &ours);
}

#[test]
fn both_servers_lead_the_same_life_whatever_they_are_told_between_the_lines() {
    let mut random = Random::new(Random::seed("life"));
    let settings = told::settings(&mut random);
    let steps = told::steps(&mut random, number("STEPS").map_or(20, |steps| steps as usize));
    println!("{settings}");
    steps.iter().enumerate().for_each(|(at, step)| println!("{at:3} {step:?}"));
    let Some((genuine, ours)) = both(|peer| told::live(peer, &settings, &steps)) else { return };
    compare("a life with commands", &genuine, &ours);
}

/// A long log, of which one line in eight is a failure, and all are younger than an hour.
fn long_log(random: &mut Random, lines: usize) -> String {
    const OTHERS: [&str; 6] = [
        "CRON[ID]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)",
        "sshd[ID]: Connection from IP port ID on 192.0.2.1 port 22 rdomain \"\"",
        "sshd[ID]: Accepted publickey for amy from IP port ID ssh2: ED25519 SHA256:x",
        "sshd[ID]: pam_unix(sshd:session): session opened for user amy(uid=1000) by (uid=0)",
        "kernel: [ID.ID] IPv4: martian source 255.255.255.255 from IP, on dev eth0",
        "postfix/smtpd[ID]: disconnect from unknown[IP] ehlo=1 auth=0/1 commands=1/2",
    ];
    const FAILURES: [&str; 5] = [
        "sshd[ID]: Failed password for root from IP port ID ssh2",
        "sshd[ID]: Failed password for invalid user x from 1.2.3.4 from IP port ID ssh2",
        "sshd[ID]: Invalid user été from IP port ID",
        "sshd[ID]: User root from IP not allowed because not listed in AllowUsers",
        "sshd[ID]: Connection closed by authenticating user root IP port ID [preauth]",
    ];
    let (now, mut text) = (jiff::Zoned::now(), String::new());
    for at in 0..lines {
        let before = jiff::Span::new().seconds(60 + (lines - at) as i64 * 3000 / lines as i64);
        let date = (&now - before).strftime("%b %e %H:%M:%S").to_string();
        let message = if random.once_in(8) { random.pick(&FAILURES) } else { random.pick(&OTHERS) };
        let ip = format!("198.51.{}.{}", random.below(4), random.below(256));
        let message = message.replace("IP", &ip).replace("ID", &(1000 + random.below(60_000)).to_string());
        let _ = writeln!(text, "{date} srv {message}");
    }
    text
}

#[test]
fn both_servers_catch_up_with_a_long_log_to_the_same_end() {
    let mut random = Random::new(Random::seed("a long log"));
    let log = long_log(&mut random, number("LINES").map_or(60_000, |lines| lines as usize));
    let settings = "[DEFAULT]\nignoreself = false\n[sshd]\nenabled = true\nfilter = sshd[mode=aggressive]\n\
        logpath = @DIR@/sshd.log\nbackend = auto\nusedns = no\nmaxretry = 5\nfindtime = 2h\nbantime = 1d\n\
        action = told[name=%(__name__)s]\n";
    let lives = both(|peer| {
        peer.append("sshd.log", &log);
        peer.write("conf/action.d/told.conf", TOLD);
        peer.write("conf/jail.local", settings);
        peer.start();
        until_quiet(peer);
        at_the_end(peer, ["sshd"].into_iter())
    });
    let Some((genuine, ours)) = lives else { return };
    let bans = genuine["fail2ban.actions sshd"].matches(" Ban ").count();
    println!("{} bytes, {bans} bans", log.len());
    assert!(bans > 500, "that proves nothing");
    compare("a long log", &genuine, &ours);
}

fn compare(name: &str, genuine: &BTreeMap<String, String>, ours: &BTreeMap<String, String>) {
    let mut comparison = Comparison::new(name);
    let empty = String::new();
    for what in genuine.keys().chain(ours.keys().filter(|what| !genuine.contains_key(*what))) {
        comparison.same(what, genuine.get(what).unwrap_or(&empty), ours.get(what).unwrap_or(&empty));
    }
    comparison.finish();
}
