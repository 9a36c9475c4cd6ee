//! Lines made to be hard: from the syntax tree of every pattern of every stock filter and of the catalogue, loops pumped,
//! ends that just fail, up to 8 KiB. Each must have Python's verdict, none may take long (see [`LIMIT`]), and on none may the
//! engine give up.
//!
//! `SEED=…` makes other lines, `SHAPES=…` more of each pattern, `FILTER=…` looks at one filter only.

#![allow(clippy::panic, clippy::unwrap_used)]
#![allow(dead_code, reason = "the corpus is shared with other tests")]

#[path = "../corpus/mod.rs"]
mod corpus;
mod engines;
mod python;
mod shapes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use corpus::checks;
use corpus::stock::Stock;
use portcullis_compliance::skip;
use portcullis_jail::filter::{Filter, Moment};
use portcullis_jail::{Nobody, Timestamp};
use python::{Answer, Python, Shape};
use serde_json::{Map, Value};

/// Lines of each pattern.
const SHAPES: usize = 12;
/// The lines are the same in each run, unless `SEED` says otherwise.
const SEED: u64 = 7;
/// As long as a line may be for the promise of [`LIMIT`].
const LINE: usize = 8192;
/// What one line may cost in any filter: 2 ms in a release. The tests' build has its assertions and runs beside other tests, and is
/// given more.
const LIMIT: Duration = Duration::from_millis(if cfg!(debug_assertions) { 10 } else { 2 });
/// How long Python's own engine may think, in seconds.
const PATIENCE: f64 = 0.02;
/// Four times the length may not take so many times as long: were it quadratic, it would be 16; a busy machine has shown 7.
const TOO_FAST: u32 = 12;
/// Of so many of the slowest lines the growth is looked at.
const SLOWEST: usize = 40;
const AT: Moment = Moment { now: Timestamp(1_795_345_200.0), in_operation: true };

/// Time that this thread has spent computing: other programs on the machine do not count.
fn computing() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A filter under a set of options.
struct Subject {
    catalogue: bool,
    name: String,
    options: Map<String, Value>,
}

fn subjects(stock: &Stock) -> Vec<Subject> {
    let only = std::env::var("FILTER").ok();
    let mut sets: BTreeMap<String, Subject> = BTreeMap::new();
    for entry in std::fs::read_dir(stock.dir.path().join("filter.d")).unwrap().flatten() {
        let file = entry.file_name().into_string().unwrap();
        let Some(name) = file.strip_suffix(".conf").filter(|name| !name.ends_with("common")) else {
            continue;
        };
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        // The corpus' own filters are nobody's.
        if name.starts_with("zzz-") {
            continue;
        }
        let mut add = |options: Map<String, Value>| {
            let subject = Subject { catalogue: false, name: name.to_owned(), options };
            // The defaults first.
            sets.insert(format!("{name} {} {:?}", subject.options.len(), subject.options), subject);
        };
        add(Map::new());
        if stock.logs.join(name).is_file() {
            for check in checks(&stock.logs, name) {
                add(check.options);
            }
        }
    }
    let ours = ["sshd", "dropbear"].map(|name| Subject {
        catalogue: true,
        name: name.to_owned(),
        options: Map::new(),
    });
    sets.into_values().chain(ours.into_iter().filter(|_| only.is_none())).collect()
}

/// What was found, of all filters.
#[derive(Default)]
struct Found {
    /// Patterns whose verdicts are known.
    judged: BTreeSet<String>,
    verdicts: usize,
    matched: usize,
    slow: usize,
    lines: usize,
    mistakes: Vec<String>,
    /// Time, filter, which pattern, shape, of the slowest lines.
    times: Vec<(Duration, usize, String, Shape)>,
}

/// One pattern by itself, where nothing is cut out as a date.
fn alone(pattern: &str) -> Option<Filter> {
    let mut filter = Filter::new();
    filter.set_usedns("raw");
    filter.set_datepattern("{NONE}", AT.now).unwrap();
    filter.add_failregex(pattern).ok()?;
    Some(filter)
}

/// Ours and Python's verdict on each of the texts.
fn verdicts(python: &mut Python, pattern: &str, shapes: &[Shape], found: &Mutex<Found>) {
    // Some patterns name nobody: an empty identity changes nothing about what they match.
    let pattern = &if alone(pattern).is_some() { pattern.to_owned() } else { format!("{pattern}(?P<fid>)") };
    let Some(mut jail) = alone(pattern) else { panic!("{pattern} is refused") };
    let mut tester = alone(pattern).unwrap();
    tester.set_check_all(true);
    let texts: Vec<String> = shapes.iter().flat_map(|shape| [shape.line(160), shape.line(LINE)]).collect();
    let searched: Vec<String> = texts.iter().map(|text| format!("{text}\n")).collect();
    let answers = python.search(pattern, false, &searched, PATIENCE);
    let (mut matched, mut slow, mut mistakes) = (0, 0, Vec::new());
    for (text, answer) in texts.iter().zip(&answers) {
        let one = jail.judge(text, AT, &mut Nobody);
        let all = tester.judge(text, AT, &mut Nobody);
        let shown = || format!("{pattern}\n  on {} bytes: {text:.300?}", text.len());
        if one.hits.len() != all.hits.len() {
            mistakes.push(format!("the automaton refuses what matches: {}", shown()));
        }
        let groups = all.hits.first().map(|hit| &hit.data);
        match (answer, groups) {
            (Answer::Slow, _) => slow += 1,
            (Answer::Missed, None) => {}
            (Answer::Matched(wanted), Some(groups)) => {
                matched += 1;
                // Of a connection's groups, and of alternatives, other values are made.
                let plain = !wanted
                    .keys()
                    .any(|name| ["mlfid", "alt_", "tuple_"].iter().any(|p| name.starts_with(p)));
                for (name, value) in wanted.iter().filter(|_| plain) {
                    let ours = groups
                        .get(name)
                        .map(ToString::to_string)
                        .filter(|_| groups[name] != portcullis_value::Value::None);
                    if ours.as_deref() != value.as_str() {
                        mistakes.push(format!("{name} is {ours:.100?}, in Python {value:.100}: {}", shown()));
                    }
                }
            }
            (Answer::Missed, Some(_)) => mistakes.push(format!("ours matches alone: {}", shown())),
            (Answer::Matched(_), None) => mistakes.push(format!("Python matches alone: {}", shown())),
        }
    }
    for filter in [jail, tester] {
        if filter.counters().too_hard > 0 {
            mistakes.push(format!("gives up on {} lines: {pattern}", filter.counters().too_hard));
        }
    }
    let mut found = found.lock().unwrap();
    found.verdicts += texts.len();
    found.matched += matched;
    found.slow += slow;
    found.mistakes.extend(mistakes);
}

/// What a line costs in the way of a jail: the quietest of some.
fn cost(filter: &mut Filter, line: &str, times: usize) -> Duration {
    let once = |_| {
        let start = computing();
        filter.judge(line, AT, &mut Nobody);
        computing().saturating_sub(start)
    };
    (0..times).map(once).min().unwrap()
}

fn examine(
    at: usize,
    subject: &Subject,
    stock: &Stock,
    python: &mut Python,
    seed: u64,
    most: usize,
    found: &Mutex<Found>,
) {
    let mut filter = stock.filter(&subject.name, &subject.options);
    let prefregex = filter.prefregex().map(str::to_owned);
    let (before, behind) = prefregex.as_deref().map(|regex| python.around(regex)).unwrap_or_default();
    let patterns: Vec<String> = filter.failregex().map(str::to_owned).collect();
    let names = (1..=patterns.len()).map(|index| format!("failregex {index}"));
    let mut all: Vec<(String, String, bool)> =
        names.zip(patterns).map(|(name, pattern)| (name, pattern, prefregex.is_some())).collect();
    all.extend(prefregex.map(|pattern| ("prefregex".to_owned(), pattern, false)));
    all.extend(filter.ignoreregex().map(|pattern| ("ignoreregex".to_owned(), pattern.to_owned(), false)));
    for (name, pattern, inside) in all {
        let shapes = python.pumps(&pattern, seed, most);
        if filter.maxlines() == 1 && found.lock().unwrap().judged.insert(pattern.clone()) {
            verdicts(python, &pattern, &shapes, found);
        }
        let mut times = Vec::new();
        for shape in shapes {
            let shape = if inside {
                Shape {
                    head: format!("{before}{}", shape.head),
                    tail: format!("{}{behind}", shape.tail),
                    ..shape
                }
            } else {
                shape
            };
            let line = shape.line(LINE);
            let mut time = cost(&mut filter, &line, 2);
            if time > LIMIT / 8 {
                time = cost(&mut filter, &line, 5).min(time);
            }
            times.push((time, at, name.clone(), shape));
        }
        let mut found = found.lock().unwrap();
        found.lines += times.len();
        found.times.extend(times);
        found.times.sort_by_key(|(time, ..)| std::cmp::Reverse(*time));
        found.times.truncate(SLOWEST);
    }
    let hard = filter.counters().too_hard;
    if hard > 0 {
        found.lock().unwrap().mistakes.push(format!("{} gives up on {hard} lines", subject.name));
    }
}

#[test]
fn no_line_made_from_a_pattern_takes_long_or_gets_another_verdict_than_python_s() {
    let Some(stock) = Stock::new() else { return };
    if Python::start().is_none() {
        return skip("no /usr/bin/python3");
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let seed = number("SEED").unwrap_or(SEED);
    let most = number("SHAPES").map_or(SHAPES, |most| most as usize);
    let subjects = subjects(&stock);
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Found::default()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let (stock, ours) = (Stock::new().unwrap(), Stock::catalogue());
                let mut python = Python::start().unwrap();
                while let Some((at, subject)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, subjects.get(at)?)))
                {
                    let stock = if subject.catalogue { &ours } else { &stock };
                    examine(at, subject, stock, &mut python, seed, most, &found);
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    println!(
        "adversary: SEED={seed}: {} patterns, {} verdicts ({} matches, {} too slow for Python), {} lines of 8 KiB in {} filters with options",
        found.judged.len(),
        found.verdicts,
        found.matched,
        found.slow,
        found.lines,
        subjects.len()
    );
    let ours = Stock::catalogue();
    let shown = |at: usize, name: &str, shape: &Shape| {
        let Subject { name: filter, options, catalogue } = &subjects[at];
        let whose = if *catalogue { " (catalogue)" } else { "" };
        format!(
            "{filter}{options:?}{whose} {name}: {:.60?} + {:.60?}* + {:.60?}",
            shape.head, shape.pump, shape.tail
        )
    };
    for (rank, (time, at, name, shape)) in found.times.iter().enumerate() {
        let subject = &subjects[*at];
        let stock = if subject.catalogue { &ours } else { &stock };
        let mut filter = stock.filter(&subject.name, &subject.options);
        let mut sizes: Vec<Duration> =
            [16, 32, 64].iter().map(|size| cost(&mut filter, &shape.line(size * 1024), 3)).collect();
        // Once more where a neighbour may have disturbed.
        if sizes[2] > sizes[0] * TOO_FAST {
            sizes = [16, 32, 64].iter().map(|size| cost(&mut filter, &shape.line(size * 1024), 7)).collect();
        }
        if rank < 12 {
            println!("{time:?} for 8 KiB, {sizes:?} for 16, 32, 64: {}", shown(*at, name, shape));
        }
        if *time > LIMIT {
            found.mistakes.push(format!("{time:?} for 8 KiB: {}", shown(*at, name, shape)));
        }
        if sizes[2] > sizes[0] * TOO_FAST {
            found
                .mistakes
                .push(format!("grows faster than its length, {sizes:?}: {}", shown(*at, name, shape)));
        }
    }
    let count = found.mistakes.len();
    assert!(count == 0, "{count} mistakes:\n{}", found.mistakes[..count.min(40)].join("\n"));
}
