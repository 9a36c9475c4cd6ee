//! A log that is read by pages, its regexes tried by several, comes to what its lines come to one by one: for every stock
//! filter, over the corpus' lines in random order, with the program and with the engine alone.

#![allow(clippy::panic, clippy::unwrap_used)]
#![allow(dead_code, reason = "the corpus is shared with other tests")]

mod corpus;

use std::net::IpAddr;
use std::process::Command;

use corpus::stock::Stock;
use portcullis_compliance::{Random, workspace};
use portcullis_jail::filter::{CountedHit, Filter, Moment, Stamps, Verdict};
use portcullis_jail::{Outside, Page, Timestamp};
use serde_json::Map;

/// 2005-08-14 10:00:00 UTC, when most of the samples were written.
const AT: Moment = Moment { now: Timestamp(1_124_013_600.0), in_operation: false };

/// Names have as many addresses as the remainder of their length by three.
struct Names;

impl Outside for Names {
    fn resolve(&mut self, name: &str) -> Result<Vec<IpAddr>, String> {
        let addresses = ["192.0.2.1", "2001:db8::1"].map(|text| text.parse().unwrap());
        Ok(addresses.into_iter().take(name.len() % 3).collect())
    }
}

fn filters(stock: &Stock) -> Vec<String> {
    let files = std::fs::read_dir(stock.dir.path().join("filter.d")).unwrap().flatten();
    let mut names: Vec<String> = files
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".conf").map(str::to_owned))
        .filter(|name| !name.ends_with("common") && !name.starts_with("zzz-"))
        .collect();
    names.sort();
    names
}

/// The sample logs' lines: all, and a filter's own.
struct Lines {
    all: Vec<String>,
    logs: std::path::PathBuf,
}

fn lines_of(path: &std::path::Path) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
}

impl Lines {
    fn new(stock: &Stock) -> Self {
        let files = std::fs::read_dir(&stock.logs).unwrap().flatten();
        let mut paths: Vec<_> = files.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
        paths.sort();
        Lines { all: paths.iter().flat_map(|path| lines_of(path)).collect(), logs: stock.logs.clone() }
    }

    /// So many lines in random order, every second one of the filter's own log, with the ends that lines may have.
    fn draw(&self, filter: &str, count: usize, random: &mut Random) -> Vec<String> {
        let own = lines_of(&self.logs.join(filter));
        let ends = ["\n", "\n", "\n", "\r\n", "\r\r\n"];
        let mut draw = || {
            let from = if own.is_empty() || random.once_in(2) { &self.all } else { &own };
            // Runs of neighbours: what hangs on the lines before shall have a chance.
            let start = random.below(from.len());
            let run = &from[start..from.len().min(start + 1 + random.below(6))];
            run.iter().map(|line| format!("{line}{}", random.pick(&ends))).collect::<Vec<_>>()
        };
        let mut lines = Vec::new();
        while lines.len() < count {
            lines.extend(draw());
        }
        lines
    }
}

/// What is counted of a line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    prefregex: bool,
    ignored_by: Vec<usize>,
    hits: Vec<CountedHit>,
}

fn told(verdict: &Verdict) -> Told {
    let hits = verdict.hits.iter().map(|hit| CountedHit {
        index: hit.index,
        identities: hit.identities.len(),
        harmless: hit.harmless,
        nofail: hit.nofail,
    });
    Told {
        prefregex: verdict.prefregex.is_some(),
        ignored_by: verdict.ignored_by.clone(),
        hits: hits.collect(),
    }
}

/// The pages' lines one after the other; every page is scanned by another copy.
fn by_pages(filter: &mut Filter, copies: usize, pages: &[String]) -> Vec<Told> {
    let pages: Vec<Page> = pages.iter().map(|page| Page::new(page.clone().into_bytes(), AT.now)).collect();
    let stamps: Vec<Stamps> = pages.iter().map(|page| filter.stamp(page, AT, str::is_empty)).collect();
    let mut copies: Vec<Filter> = (0..copies).map(|_| filter.clone()).collect();
    let mut out = Vec::new();
    for (at, (page, stamps)) in pages.iter().zip(&stamps).enumerate() {
        let copy = at % copies.len();
        let finds = copies[copy].scan(page, stamps, AT);
        let base = out.len();
        out.extend(page.lines().map(|_| Told::default()));
        filter.settle(finds, AT, &mut Names, &mut |line, counted| {
            let (prefregex, ignored_by) = (counted.prefregex, counted.ignored_by.to_vec());
            out[base + line] = Told { prefregex, ignored_by, hits: counted.hits.to_vec() };
        });
    }
    out
}

#[test]
fn copies_that_share_pages_count_what_one_filter_counts_line_by_line() {
    let Some(stock) = Stock::new() else { return };
    let seed = Random::seed("pages");
    let mut random = Random::new(seed);
    let lines = Lines::new(&stock);
    let (mut compared, mut found) = (0, 0);
    for name in filters(&stock) {
        let new = stock.filter(&name, &Map::new());
        if new.maxlines() > 1 {
            continue;
        }
        let drawn = lines.draw(&name, 600, &mut random);
        let first_only = random.once_in(4);
        let usedns = random.pick(&["yes", "warn", "no", "raw"]);
        let filter = || {
            let mut filter = new.clone();
            filter.set_check_all(true);
            filter.set_first_only(first_only);
            filter.set_usedns(usedns);
            filter
        };
        let mut alone = filter();
        let judged = drawn.iter().map(|line| line.trim_end_matches(['\r', '\n']));
        let wanted: Vec<Told> = judged
            .map(
                |line| {
                    if line.is_empty() { Told::default() } else { told(&alone.judge(line, AT, &mut Names)) }
                },
            )
            .collect();
        let mut pages = Vec::new();
        let mut rest = drawn.as_slice();
        while !rest.is_empty() {
            let (page, behind) = rest.split_at(rest.len().min(1 + random.below(150)));
            pages.push(page.concat());
            rest = behind;
        }
        let mut shared = filter();
        let counted = by_pages(&mut shared, 1 + random.below(4), &pages);
        for (line, (counted, wanted)) in drawn.iter().zip(counted.iter().zip(&wanted)) {
            assert_eq!(counted, wanted, "SEED={seed}, {name}, usedns {usedns}: {line:?}");
        }
        let hits = |filter: &Filter| {
            let templates =
                filter.known_detector().into_iter().flat_map(portcullis_jail::date::Detector::templates);
            templates.map(|template| (template.name.to_owned(), template.hits)).collect::<Vec<_>>()
        };
        assert_eq!(hits(&shared), hits(&alone), "SEED={seed}, {name}: the dates");
        compared += drawn.len();
        found += wanted.iter().map(|told| told.hits.len()).sum::<usize>();
    }
    println!("{compared} lines, {found} hits");
    assert!(found > 5000, "only {found} hits");
}

/// The verdicts on pages, from a jail's filter, while copies of it look ahead on threads of their own.
fn with_scouts(filter: &mut Filter, copies: usize, pages: &[String]) -> Vec<Verdict> {
    let pages: Vec<Page> = pages.iter().map(|page| Page::new(page.clone().into_bytes(), AT.now)).collect();
    let mut verdicts = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..copies {
            let mut copy = filter.scout();
            let pages = &pages;
            scope.spawn(move || pages.iter().for_each(|page| copy.look_ahead(page, AT)));
        }
        for page in &pages {
            // Now and then they are ahead, now and then they are not.
            if page.len() % 2 == 0 {
                std::thread::yield_now();
            }
            let mut next = 0;
            while let Some(verdict) = filter.judge_page(page, AT, &mut next, &mut Names) {
                verdicts.push(verdict);
                next += 1;
            }
        }
    });
    verdicts
}

#[test]
fn a_jail_with_copies_ahead_comes_to_the_verdicts_of_one_alone() {
    let Some(stock) = Stock::new() else { return };
    let seed = Random::seed("scouts");
    let mut random = Random::new(seed);
    let lines = Lines::new(&stock);
    let (mut verdicts, mut ahead) = (0, 0);
    for name in filters(&stock) {
        let mut new = stock.filter(&name, &Map::new());
        new.set_findtime(if random.once_in(2) { 1e9 } else { 3600.0 });
        let mut dates = new.clone();
        let drawn = lines.draw(&name, 600, &mut random);
        let mut pages = Vec::new();
        let mut rest = drawn.as_slice();
        while !rest.is_empty() {
            let (page, behind) = rest.split_at(rest.len().min(1 + random.below(60)));
            // Every second page is one on which each line has a date.
            let mut dated = |line: &&String| dates.time_of(line.trim_end(), AT.now).is_some();
            let page = if random.once_in(2) {
                page.iter().filter(&mut dated).cloned().collect()
            } else {
                page.concat()
            };
            pages.push(page);
            rest = behind;
        }
        let wanted = with_scouts(&mut new.clone(), 0, &pages);
        for copies in 1..4 {
            let mut filter = new.clone();
            let got = with_scouts(&mut filter, copies, &pages);
            assert_eq!(got, wanted, "SEED={seed}, {name}, {copies} copies");
            ahead += filter.counters().ahead;
        }
        verdicts += wanted.len();
    }
    println!("{verdicts} verdicts, {ahead} pages were looked at before");
    assert!(verdicts > 2000 && ahead > 100, "only {verdicts} verdicts, {ahead} pages");
}

/// The program's summary; `-l` has it go line by line.
fn summary(log: &std::path::Path, filter: &std::path::Path, words: &[&str]) -> String {
    let mut command = Command::new(words[0]);
    let output = command.args(&words[1..]).arg(log).arg(filter).output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, results) = text.split_once("\nResults\n").unwrap();
    results.lines().filter(|line| !line.starts_with("[processed in")).collect::<Vec<_>>().join("\n")
}

fn program() -> String {
    std::env::var("PORTCULLIS_BIN")
        .unwrap_or_else(|_| workspace().join("target/debug/portcullis").display().to_string())
}

/// All three ways of the program through a log: on all cores, on one, line by line.
fn ways_agree(what: &str, log: &std::path::Path, filter: &std::path::Path) -> String {
    let ours = program();
    let all = summary(log, filter, &[&ours, "regex"]);
    let one = summary(log, filter, &["taskset", "-c", "0", &ours, "regex"]);
    let by_line = summary(log, filter, &[&ours, "regex", "-l", "CRITICAL"]);
    assert_eq!(all, one, "{what}: all cores and one");
    assert_eq!(all, by_line, "{what}: all cores and line by line");
    all
}

/// Larger than what one core does alone.
const LARGE: usize = 34 << 20;

#[test]
fn the_sums_of_a_large_log_are_the_same_on_one_core_and_on_all() {
    let Some(stock) = Stock::new() else { return };
    let seed = Random::seed("large log");
    let mut random = Random::new(seed);
    let lines = Lines::new(&stock);
    let log = stock.dir.path().join("large.log");
    let all = filters(&stock);
    // Two whose lines hang together, and any other.
    for name in ["sshd", "sendmail-reject", &all[random.below(all.len())]] {
        let once = lines.draw(name, 4000, &mut random).concat();
        std::fs::write(&log, once.repeat(LARGE / once.len() + 1)).unwrap();
        let filter = stock.dir.path().join(format!("filter.d/{name}.conf"));
        ways_agree(&format!("SEED={seed}, {name}"), &log, &filter);
    }
}

#[test]
fn ends_lengths_and_years_make_no_difference_to_how_a_log_is_read() {
    let Some(stock) = Stock::new() else { return };
    let log = stock.dir.path().join("odd.log");
    let filter = stock.dir.path().join("filter.d/sshd.conf");
    let line = |day: &str, end: &str| {
        format!("{day} 10:00:00 srv sshd[7]: Invalid user x from 192.0.2.7 port 22{end}").into_bytes()
    };
    let year_change: Vec<u8> = (0..30_000)
        .flat_map(|at| {
            line(if at < 15_000 { "Dec 31" } else { "Jan  1" }, if at % 3 == 0 { "\r\n" } else { "\n" })
        })
        .collect();
    let long = format!("Jan  1 10:00:00 srv sshd[7]: {}\n", "x ".repeat(1 << 20)).into_bytes();
    let none = "\n\r\n#comment\n\r\r\n".repeat(5_000).into_bytes();
    let broken = b"Jan  1 10:00:00 srv sshd[7]: Invalid user \xe9 from 192.0.2.7\r\n".repeat(2_000);
    let unended = line("Jan  2", "");
    let every = [&year_change, &long, &none, &broken, &year_change].map(Vec::as_slice).concat();
    let large = every.repeat(LARGE / every.len() + 1);
    let count = 62_001 * (LARGE / every.len() + 1);
    let odd: [(&str, Vec<u8>, usize); 5] = [
        ("a long line", [long.as_slice(), &year_change].concat(), 30_001),
        ("no end", [year_change.as_slice(), &unended].concat(), 30_000),
        ("only one line without an end", unended.clone(), 0),
        ("nothing", Vec::new(), 0),
        ("all of it, large", [large, unended].concat(), count),
    ];
    for (what, text, lines) in odd {
        std::fs::write(&log, text).unwrap();
        let summary = ways_agree(what, &log, &filter);
        assert!(summary.contains(&format!("Lines: {lines} lines,")), "{what}: {summary}");
    }
}
