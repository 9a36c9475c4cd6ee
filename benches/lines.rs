//! Lines per second of CPU time: our `fail2ban-regex` and the genuine one with Fail2ban's own filters, on the same
//! synthetic logs, a third of them attacks. The summaries must agree. Beside them `rg -c` with the same patterns, and how
//! often as many lines we do by the clock on the wall, on all cores.
//!
//! `lines [--lines N] [--seed N] [--rounds N] [FILTER]...`

// A measurement speaks by panicking, as tests do.
#![allow(clippy::panic, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use portcullis_compliance::{genuine_root, workspace};
use portcullis_config::{Source, read_filter};
use portcullis_jail::filter::Filter;
use wait4::Wait4;

mod logs;

/// What is wanted of the ratio, and what would be splendid.
const WANTED: (f64, f64) = (60.0, 120.0);
/// Ours is that much quicker that it runs several times for each run of the genuine one.
const OURS: usize = 5;

struct Arguments {
    lines: usize,
    seed: u64,
    rounds: usize,
    filters: Vec<String>,
}

fn arguments() -> Arguments {
    let mut arguments = Arguments { lines: 100_000, seed: 20_261_122, rounds: 2, filters: Vec::new() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).expect("a number");
        match word.as_str() {
            "--lines" => arguments.lines = number() as usize,
            "--seed" => arguments.seed = number(),
            "--rounds" => arguments.rounds = number() as usize,
            _ => arguments.filters.push(word),
        }
    }
    arguments
}

/// What a run took in seconds.
#[derive(Clone, Copy)]
struct Took {
    /// User and system (wait4(2)).
    cpu: f64,
    wall: f64,
}

/// Runs a program to its end: what it took, and what it wrote.
fn run(command: &mut Command) -> (Took, String) {
    let begin = Instant::now();
    let out = tempfile::tempfile().unwrap();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let used = child.wait4().unwrap().rusage;
    let wall = begin.elapsed().as_secs_f64();
    let mut text = String::new();
    let mut out = out;
    std::io::Seek::rewind(&mut out).unwrap();
    std::io::Read::read_to_string(&mut out, &mut text).unwrap();
    (Took { cpu: used.utime.as_secs_f64() + used.stime.as_secs_f64(), wall }, text)
}

/// What must agree: all but how long it took.
fn summary(text: &str) -> String {
    text.lines()
        .skip_while(|line| *line != "Results")
        .filter(|line| !line.starts_with("[processed in"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// `rg` on PATH, or the one that `compliance/fetch` has unpacked.
fn ripgrep() -> Option<PathBuf> {
    let fetched = workspace().join("target/tools/root/usr/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain([fetched]).map(|dir| dir.join("rg")).find(|rg| rg.is_file())
}

/// The filter's patterns as one list for `rg -P`: behind a date, prefregex and failregex in one.
fn patterns(root: &Path, name: &str) -> String {
    let source = Source::with_catalogue(root.join("etc/fail2ban"));
    let read = read_filter(&source, name, Vec::new(), "file").unwrap().unwrap();
    let mut filter = Filter::new();
    filter.set_prefregex(read.option("prefregex").unwrap_or_default()).unwrap();
    read.lines("failregex").for_each(|regex| filter.add_failregex(regex).unwrap());
    let prefregex = filter.prefregex().unwrap_or_default();
    let prefix = prefregex.split("(?P<content>").next().unwrap_or_default().trim_start_matches('^');
    let date = r"\[?(?:\w{3} )?[\w/-]+ +[\d:.,]+(?: \d+ [\d:.]+)?(?: \d{4})?";
    let regexes = filter.failregex().map(|regex| regex.trim_start_matches('^').replace(r"\[\]\s", r"\]\s"));
    regexes.map(|regex| format!("(?J)^{date}{}{regex}\n", prefix.replace(r"\[\]\s", r"\]\s"))).collect()
}

fn main() {
    let Arguments { lines, seed, rounds, filters } = arguments();
    let root = genuine_root().unwrap_or_else(|reason| panic!("no genuine Fail2ban: {reason}"));
    let ours = workspace().join("target/release/portcullis");
    let genuine = workspace().join("target/genuine/bin/fail2ban-regex");
    let directory = tempfile::tempdir().unwrap();
    println!(
        "fail2ban-regex on {lines} lines, a third of them attacks (--seed {seed}); CPU time, median of {rounds} pairs"
    );
    println!(
        "{:<16} {:>10} {:>10} {:>12} {:>9} {:>12} {:>6} {:>10}",
        "", "genuine", "ours", "lines/s", "MB/s", "rg -c", "ratio", "all cores"
    );
    let mut missed = Vec::new();
    for kind in
        logs::KINDS.iter().filter(|kind| filters.is_empty() || filters.iter().any(|f| f == kind.filter))
    {
        let text = kind.log(lines, &jiff::Zoned::now(), 3600, seed);
        let log = directory.path().join(kind.filter);
        std::fs::write(&log, &text).unwrap();
        let filter = root.join(format!("etc/fail2ban/filter.d/{}.conf", kind.filter));
        let (mut theirs, mut own) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (took, wanted) = run(Command::new(&genuine).arg(&log).arg(&filter));
            theirs.push(took);
            for _ in 0..OURS {
                let (took, said) = run(Command::new(&ours).arg("regex").arg(&log).arg(&filter));
                assert_eq!(summary(&said), summary(&wanted), "{}: the summaries differ", kind.filter);
                own.push(took);
            }
        }
        let reference = ripgrep().map_or_else(
            || "-".to_owned(),
            |rg| {
                let list = directory.path().join("patterns");
                std::fs::write(&list, patterns(&root, kind.filter)).unwrap();
                let mut command = Command::new(rg);
                let (took, _) = run(command.args(["-P", "-c", "-f"]).arg(&list).arg(&log));
                format!("{:.0}", lines as f64 / took.cpu)
            },
        );
        let cpu = |runs: &[Took]| median(runs.iter().map(|took| took.cpu));
        let wall = |runs: &[Took]| median(runs.iter().map(|took| took.wall));
        let clock = wall(&theirs) / wall(&own);
        let (theirs, own) = (cpu(&theirs), cpu(&own));
        let ratio = theirs / own;
        println!(
            "{:<16} {theirs:>8.2} s {:>7.1} ms {:>12.0} {:>9.0} {reference:>12} {ratio:>6.0} {clock:>10.0}",
            kind.filter,
            own * 1000.0,
            lines as f64 / own,
            text.len() as f64 / own / 1e6,
        );
        if ratio < WANTED.0 {
            missed.push(kind.filter);
        }
    }
    println!(
        "wanted {:.0} times, {:.0} as the stretch: {}",
        WANTED.0,
        WANTED.1,
        if missed.is_empty() { "met".to_owned() } else { format!("MISSED by {}", missed.join(", ")) }
    );
}
