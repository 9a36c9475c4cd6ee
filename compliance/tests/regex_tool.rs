//! `fail2ban-regex`: all stock filters on their sample logs, options, outputs and errors, against the genuine program.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::PathBuf;

use portcullis_compliance::{Comparison, Output, Peer, Random, both, genuine_root, number};

/// Small logs of our own, for the options.
const LOG: &str = "\
Nov 22 10:00:01 host sshd[1]: Failed password for root from 192.0.2.1 port 22 ssh2
# a comment
Nov 22 10:00:02 host cron[7]: something else

2026-11-22T10:00:03+02:00 host sshd[1]: Failed password for invalid user a b from 192.0.2.2 port 22 ssh2
Nov 22 10:00:04 host sshd[2]: Accepted password for bob from 192.0.2.1 port 22 ssh2
Nov 22 10:00:05 host sshd[3]: Invalid user b\u{e9}b\u{e9} from 2001:db8::7 port 1
Feb 30 10:00:06 host sshd[3]: Invalid user late from 192.0.2.3 port 1
";

/// What differs between two runs: the time that it took, and the order of Python's sets.
fn comparable(output: &Output) -> String {
    let took = regex::Regex::new(r"processed in \d+\.\d+ sec").unwrap();
    let sets = regex::Regex::new(r"'users': \{[^}]*\}").unwrap();
    let now = regex::Regex::new(r"\t\d+\.\d{3,},").unwrap();
    let text = took.replace_all(&output.stdout, "processed in TIME sec").into_owned();
    let text = sets.replace_all(&text, "'users': SET").into_owned();
    let text = now.replace_all(&text, "\tNOW,").into_owned();
    // The line of 30 February happens now.
    let invalid = regex::Regex::new(r"(192\.0\.2\.3  )\w+ \w+ \d+ [\d:]+ \d+").unwrap();
    let text = invalid.replace_all(&text, "${1}NOW").into_owned();
    let now = regex::Regex::new(r"\w{3} \w{3} [ \d]\d [\d:]{8} 2\d[2-9]\d").unwrap();
    let text = if output.stdout.contains(OLD) { now.replace_all(&text, "NOW").into_owned() } else { text };
    let text = log_lines(&text);
    // Help texts and tracebacks are each program's own.
    let complaint = output.stderr.lines().rfind(|line| !line.is_empty()).unwrap_or_default();
    let text = if text.contains("[OPTIONS] <LOG> <REGEX>") { "HELP".to_owned() } else { text };
    format!("{text}\nstderr: {complaint}\nexit status: {}\n", output.status)
}

/// The beginning of each log line, without the time, the process and the thread.
fn log_lines(text: &str) -> String {
    let time = r"\d{4}-\d\d-\d\d [\d:]{8},\d{3}";
    let own = regex::Regex::new(&format!(r"(?m)^{time} (fail2ban\.\S+ *)\[\d+\]")).unwrap();
    let thread = regex::Regex::new(&format!(r"(?m)^ {time} [0-9A-F]{{12}} ")).unwrap();
    let since = regex::Regex::new(r"(?m)^ \+ +\d+ [0-9A-F]{12} ").unwrap();
    let text = own.replace_all(text, "TIME ${1}[PID]").into_owned();
    let text = thread.replace_all(&text, " TIME THREAD ").into_owned();
    since.replace_all(&text, " + TIME THREAD ").into_owned()
}

fn compare(name: &str, runs: &[(String, Vec<String>)], prepare: impl Fn(&mut Peer) + Sync) {
    let Some((genuine, ours)) = both(|peer| {
        peer.env("TZ", "UTC");
        peer.write("log", LOG);
        prepare(peer);
        let run = |arguments: &Vec<String>| {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let output = peer.regex(&arguments);
            comparable(&output).replace(peer.path("").to_str().unwrap(), "@DIR@/")
        };
        runs.iter().map(|(_, arguments)| run(arguments)).collect::<Vec<String>>()
    }) else {
        return;
    };
    let mut comparison = Comparison::new(name);
    for (((what, _), genuine), ours) in runs.iter().zip(&genuine).zip(&ours) {
        comparison.same(what, genuine, ours);
    }
    comparison.finish();
}

/// The filters of which there are sample logs.
fn samples() -> Vec<(String, PathBuf)> {
    let root = genuine_root().unwrap();
    let logs = root.join("usr/lib/python3/dist-packages/fail2ban/tests/files/logs");
    let mut samples: Vec<(String, PathBuf)> = std::fs::read_dir(logs)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        .filter(|(name, path)| {
            path.is_file() && root.join(format!("etc/fail2ban/filter.d/{name}.conf")).is_file()
        })
        .collect();
    samples.sort();
    samples
}

fn over_all_samples(name: &str, options: &[&str], without: &[&str]) {
    // Fetches the genuine program, if need be.
    let Some(peer) = Peer::new(portcullis_compliance::Who::Genuine) else { return };
    drop(peer);
    let samples = samples();
    assert!(samples.len() > 80, "only {} sample logs", samples.len());
    let runs: Vec<(String, Vec<String>)> = samples
        .into_iter()
        .filter(|(filter, _)| !without.contains(&filter.as_str()))
        .map(|(filter, log)| {
            let words = options.iter().copied().chain(["-c", "@DIR@/conf"]).map(str::to_owned);
            let words = words.chain([log.display().to_string(), filter.clone()]).collect();
            (filter, words)
        })
        .collect();
    compare(name, &runs, |_| {});
}

#[test]
fn sums_and_lists_of_all_stock_filters_agree() {
    // These have lines without a date: each program shows its own second.
    let undated = ["asterisk", "ejabberd-auth", "guacamole", "murmur", "named-refused"];
    let options = ["-v", "--print-all-matched", "--print-all-missed", "--print-all-ignored"];
    over_all_samples("sums of stock filters", &options, &undated);
}

#[test]
fn rows_of_all_stock_filters_agree() {
    over_all_samples("rows of stock filters", &["-o", "row"], &[]);
}

#[test]
fn options_outputs_and_errors_agree() {
    let lines = [
        "@DIR@/log|sshd",
        "@DIR@/log|sshd.conf",
        "@DIR@/log|sshd[mode=aggressive]",
        "@DIR@/log|sshd[mode=normal, maxlines=2]",
        "-v|@DIR@/log|sshd",
        "-D|@DIR@/log|from <HOST>|bob",
        "--VD|-v|@DIR@/log|from <HOST>",
        "--VD|@DIR@/log|sshd",
        "-o|id|@DIR@/log|sshd",
        "-o|fid|@DIR@/log|sshd",
        "-o|ip|@DIR@/log|sshd",
        "-o|msg|@DIR@/log|sshd",
        "-o|user|@DIR@/log|sshd",
        "-o|host|@DIR@/log|sshd",
        "-o|matches|@DIR@/log|sshd",
        "-o|<ip> <F-USER> <family> <ip-rev> <failures> <fid> <bar> <user>|@DIR@/log|sshd",
        "-o|<F-ID> <F-PORT> <F-FPORT> <F-ID/> <F-user>|@DIR@/log|<F-ID>[\\d.]+</F-ID> port <F-PORT>\\d+</F-PORT>",
        "--print-all-matched|@DIR@/log|sshd",
        "--print-no-missed|@DIR@/log|sshd",
        "--print-no-ignored|@DIR@/log|sshd",
        "-d|%b %d|@DIR@/log|from <HOST>",
        "-d|{NONE}|@DIR@/log|from <HOST>",
        "-d|%Q|@DIR@/log|from <HOST>",
        "-d|%Y\n%m-%d|@DIR@/log|from <HOST>",
        "--timezone|CET|-v|@DIR@/log|from <HOST>",
        "--TZ=foo|@DIR@/log|from <HOST>",
        "-e|latin1|-v|--print-all-matched|@DIR@/log|sshd",
        "-e|nonsense|@DIR@/log|from <HOST>",
        "--usedns|no|from name|from <HOST>",
        "-r|from name.invalid|from <HOST>",
        "--usedns=raw|from name.invalid|from <HOST>",
        "-L|3|@DIR@/log|sshd",
        "-L|2|a\nb 192.0.2.9\nc|^a$<SKIPLINES>^b <HOST>$",
        "--no-check-all|@DIR@/log|sshd",
        "-o|<ip-rev> <family>|from name|from <HOST>",
        "from 192.0.2.9|from <HOST>",
        "a\nb from 192.0.2.9\nc\nd\ne\nf\ng|from <HOST>",
        "x|<HOST>|(",
        "x|(<HOST>",
        "x|nofilter",
        "x|sshd[mode",
        "x|/no/such.conf",
        "x",
        "x|y|z|w",
        "--foo|x|y",
        "-Z|x|y",
        "--print-no|x|y",
        "-o",
        "-L|x|y|z",
        "-l|foo|x|from <HOST>",
        "-l|INFO|@DIR@/log|sshd",
        "-l|DEBUG|@DIR@/log|sshd[mode=aggressive, logtype=short]",
        "-l|DEBUG|-d|%b %d|-L|2|--usedns|no|@DIR@/log|from <HOST>|bob",
        "-l|debug|-d|EPOCH|@DIR@/log|from <HOST>",
        "-l|debug|@DIR@/log|dovecot",
        "-l|debug|@DIR@/log|(<HOST>",
        "-l|WARN|-o|row|@DIR@/log|sshd",
        "-l|0|-e|ascii|@DIR@/log|sshd",
        "-l|FATAL|@DIR@/log|from <HOST>",
        "-l|25|from name.invalid\nfrom name.invalid|from <HOST>",
        "-l|error|@DIR@/log|from <HOST>",
        "-vv|@DIR@/log|sshd[mode=ddos, foo=bar, maxlines=3]",
        "-vv|@DIR@/log|slapd",
        "-vv|-l|info|@DIR@/log|dropbear",
        "-vvv|-l|info|@DIR@/log|dropbear",
        "-vvvv|-l|info|@DIR@/log|dropbear",
        "-V",
        "--version",
        "--print-no-missed|--print-all-missed|x|from <HOST>",
        "--print-no-ignored|--print-all-ignored|x|from <HOST>",
        "--raw=1|x|y",
        "@DIR@/log|@DIR@/elsewhere.conf",
        "@DIR@/log|@DIR@/broken.conf",
        "-o|row|@DIR@/log|@DIR@/broken.conf",
        "@DIR@/log|@DIR@/log",
        "@DIR@/log|@DIR@/conf/filter.d/dropbear.conf",
    ];
    let runs: Vec<(String, Vec<String>)> = lines
        .iter()
        .map(|line| {
            let words = ["-c", "@DIR@/conf"].into_iter().chain(line.split('|')).map(str::to_owned).collect();
            ((*line).to_owned(), words)
        })
        .collect();
    compare("options", &runs, |peer| {
        peer.write("broken.conf", "[Definition]\nfailregex\n[Definition\n");
        peer.write("elsewhere.conf", "[Definition]\nfailregex = from <HOST>\nignoreregex = Invalid\n");
    });
}

/// So many of all ways to name a filter by its file are tried.
const NAMES: usize = 24;

#[test]
fn whatever_a_filter_s_file_is_called_it_is_found_or_not_alike() {
    let seed = Random::seed("names of files");
    let mut random = Random::new(seed);
    // Which of the files there are, by their number in bits, and how they are asked for.
    let ends = ["", ".conf", ".local", ".d/1.conf"];
    let mut ways = Vec::new();
    for folder in ["conf/filter.d", "elsewhere", "elsewhere/filter.d"] {
        for there in 1..1 << ends.len() {
            for stem in ["name", "a.txt", "a.longer"] {
                ways.extend(["", ".conf", ".local"].map(|asked| (folder, stem, there, asked)));
            }
        }
    }
    // Differs: a path to which only `.conf` is missing is that filter's, and a name may have a dot.
    let there =
        |there: usize, end: &str| ends.iter().position(|e| *e == end).is_some_and(|n| there >> n & 1 == 1);
    ways.retain(|(folder, stem, files, asked)| {
        let (dotted, missing) = (*stem != "name", *stem != "a.txt" && !there(*files, ""));
        !asked.is_empty() || !if folder.ends_with("filter.d") { dotted } else { missing }
    });
    let ways: Vec<_> = (0..NAMES).map(|_| ways.swap_remove(random.below(ways.len()))).collect();
    let path = |n: usize| format!("{}/{n}{}", ways[n].0, ways[n].1);
    let runs: Vec<(String, Vec<String>)> = (0..NAMES)
        .map(|n| {
            let (_, _, files, asked) = ways[n];
            let regex = format!("@DIR@/{}{asked}", path(n));
            let there: Vec<&str> = ends.into_iter().filter(|end| there(files, end)).collect();
            let words = ["-c", "@DIR@/conf", "@DIR@/log", &regex].map(str::to_owned).to_vec();
            (format!("{regex} of {there:?}"), words)
        })
        .collect();
    compare(&format!("names of files, SEED={seed}"), &runs, |peer| {
        for (n, way) in ways.iter().enumerate() {
            for end in ends.into_iter().filter(|end| there(way.2, end)) {
                let text = format!("[Definition]\nfailregex = (?:{end}|from) <HOST>\n");
                peer.write(&format!("{}{end}", path(n)), &text);
            }
        }
    });
}

/// So many random filters are tried; `RANDOM_FILTERS` tells another number.
const FILTERS: u64 = 80;
/// The year of the dates in their logs: what has another was undated.
const OLD: &str = "2005";

const PREFREGEX: &[&str] = &[
    "^<F-CONTENT>.+</F-CONTENT>$",
    "P: <F-CONTENT>.+</F-CONTENT>",
    "^(?:a )?<F-CONTENT>.+</F-CONTENT>$",
    r"^\s*(?:\S+\s+)?<F-CONTENT>.+</F-CONTENT>$",
    "(?s)<F-CONTENT>one.*</F-CONTENT>",
    r"^<F-MLFID>\w+ </F-MLFID><F-CONTENT>.+</F-CONTENT>$",
    "P:",
    r"^(?:b\s+)?<F-CONTENT>.*</F-CONTENT>$",
    "<F-CONTENT>a.*?</F-CONTENT>$",
];
const FAILREGEX: &[&str] = &[
    "from <HOST>",
    "^from <HOST>$",
    "^a$<SKIPLINES>^b from <HOST>",
    r"one.*\n.*from <HOST>",
    "^two<SKIPLINES>.*<HOST>",
    "x from <HOST>$",
    "^P: x from <HOST>",
    r"a\n<HOST>",
    "<F-ID>Foo</F-ID>",
    "^<F-NOFAIL>b</F-NOFAIL> from <HOST>",
    "<HOST>$",
    r"^.*<HOST>.*\n.*x",
];
const IGNOREREGEX: &[&str] = &["x", "^one", "Foo$", "from 5", "^P:", r"a\nb"];
const DATES: &[&str] =
    &["2005-08-14 10:11:12 ", "2005-08-14 10:11:13 ", "Aug 14 10:11:14 2005 ", "2005-02-30 10:11:12 ", ""];
const WORDS: &[&str] = &[
    "a",
    "b",
    "one",
    "two",
    "P:",
    "from 192.0.2.1",
    "from 5.6.7.8",
    "x",
    "[1]",
    "Foo",
    "192.0.2.1",
    "from y",
];
const SHOWN: &[&str] = &[
    "-v|--print-all-matched|--print-all-missed|--print-all-ignored",
    "--print-all-matched|--print-all-missed|--print-all-ignored",
    "-o|row",
    "-o|<matches>|-l|error",
    "-o|<fid> <msg>",
    "-l|INFO|--print-all-matched",
    "--no-check-all|--print-all-matched|-v",
];

/// A filter's file.
fn filter(random: &mut Random) -> String {
    let mut list = |option: &str, from: &[&str], most: usize| {
        let lines: Vec<&str> = (0..random.below(most + 1)).map(|_| random.pick(from)).collect();
        if lines.is_empty() { String::new() } else { format!("{option} = {}\n", lines.join("\n  ")) }
    };
    let text = [
        "[Definition]\n".to_owned(),
        list("prefregex", PREFREGEX, 1),
        list("failregex", FAILREGEX, 4),
        list("ignoreregex", IGNOREREGEX, 2),
    ];
    text.concat() + random.pick(&["", "maxlines = 1\n", "maxlines = 2\n", "maxlines = 3\n", "maxlines = 5\n"])
}

#[test]
fn random_filters_are_told_alike() {
    let seed = Random::seed("random filters");
    let mut random = Random::new(seed);
    let count = number("RANDOM_FILTERS").unwrap_or(FILTERS);
    let cases: Vec<(String, String)> = (0..count)
        .map(|_| {
            let words = |random: &mut Random| -> Vec<&str> {
                (0..random.below(4)).map(|_| random.pick(WORDS)).collect()
            };
            let line = |random: &mut Random| format!("{}{}\n", random.pick(DATES), words(random).join(" "));
            (filter(&mut random), (0..12).map(|_| line(&mut random)).collect())
        })
        .collect();
    let runs: Vec<(String, Vec<String>)> = cases
        .iter()
        .enumerate()
        .map(|(n, (filter, log))| {
            let (usedns, shown) = (random.pick(&["no", "raw"]), random.pick(SHOWN));
            let words = ["-c", "@DIR@/conf", "--usedns", usedns].into_iter().chain(shown.split('|'));
            let words = words.map(str::to_owned).chain([format!("@DIR@/{n}.log"), format!("r{n}")]);
            (format!("{shown} {usedns}\n{filter}\n{log}"), words.collect())
        })
        .collect();
    compare(&format!("random filters, SEED={seed}"), &runs, |peer| {
        for (n, (filter, log)) in cases.iter().enumerate() {
            peer.write(&format!("conf/filter.d/r{n}.conf"), filter);
            // Each log has the year, so that it is known which dates were found.
            peer.write(&format!("{n}.log"), &format!("{log}{OLD}-08-14 10:11:12 x\n"));
        }
    });
}
