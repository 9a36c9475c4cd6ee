//! A line that is nobody's business costs no allocation: counted, for every stock filter, over all of the corpus' lines that
//! the filter has no use for.

#![allow(clippy::panic, clippy::unwrap_used)]
#![allow(dead_code, reason = "the corpus is shared with other tests")]

mod corpus;

use corpus::stock::Stock;
use portcullis_jail::filter::{Filter, Moment, Status};
use portcullis_jail::{Nobody, Timestamp};
use serde_json::Map;

/// 2005-08-14 10:00:00 UTC, when most of the samples were written. The log is followed, so that no line is too old.
const AT: Moment = Moment { now: Timestamp(1_124_013_600.0), in_operation: true };

/// Whether the line is rejected without a word.
fn rejected(filter: &mut Filter, line: &str) -> bool {
    let verdict = filter.judge(line, AT, &mut Nobody);
    verdict.status == Status::Missed && verdict.notes.is_empty()
}

/// Their date patterns are expressions of their own with Unicode's word boundaries. On a line that is not ASCII the regex
/// crate's automaton gives these up with an error, and that is an allocation.
const OWN_DATES: [&str; 2] = ["openhab", "selinux-ssh"];

/// Includes and other files that are no filters by themselves.
fn is_filter(name: &str) -> bool {
    !name.ends_with("common") && !name.starts_with("zzz-")
}

#[test]
fn no_stock_filter_allocates_for_a_line_that_it_rejects() {
    let Some(stock) = Stock::new() else { return };
    let read = |path: std::path::PathBuf| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let logs: Vec<String> = std::fs::read_dir(&stock.logs)
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_file())
        .map(|entry| read(entry.path()))
        .collect();
    let lines: Vec<&str> =
        logs.iter().flat_map(|log| log.lines()).filter(|line| !line.starts_with('#')).collect();
    let mut names: Vec<String> = std::fs::read_dir(stock.dir.path().join("filter.d"))
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".conf").map(str::to_owned))
        .filter(|name| is_filter(name))
        .collect();
    names.sort();
    let mut guilty = Vec::new();
    let mut judged = 0;
    for name in &names {
        let mut filter = stock.filter(name, &Map::new());
        // What is built when it is first needed (regexes, states of automata, buffers) is built now.
        let mut others: Vec<&str> = lines.clone();
        others.retain(|line| line.is_ascii() || !OWN_DATES.contains(&name.as_str()));
        for _ in 0..2 {
            others.retain(|line| rejected(&mut filter, line));
        }
        assert!(others.len() > 1000, "{name} rejects {} of {} lines only", others.len(), lines.len());
        judged += others.len();
        let mut still = true;
        let counted = allocation_counter::measure(|| {
            for line in &others {
                still &= rejected(&mut filter, line);
            }
        });
        assert!(still, "{name} does not say the same twice");
        // Of several lines that are looked at together, each is kept where another was, until each place has held the longest.
        let growing = if filter.maxlines() > 1 { 3 * filter.maxlines() as u64 } else { 0 };
        if counted.count_total > growing {
            let first = others.iter().find(|line| {
                allocation_counter::measure(|| assert!(rejected(&mut filter, line))).count_total > 0
            });
            guilty.push(format!(
                "{name}: {} allocations in {} lines, as for {first:?}",
                counted.count_total,
                others.len()
            ));
        }
    }
    println!("{judged} lines rejected by {} filters without an allocation", names.len());
    assert!(names.len() > 80, "{names:?}");
    assert!(guilty.is_empty(), "{}", guilty.join("\n"));
}

/// A million attackers in a minute, each from an address of its own: those who failed last are counted, the others are counted as
/// forgotten, and memory has a bound.
#[test]
fn a_million_attackers_take_bounded_memory_and_the_forgotten_are_counted() {
    use portcullis_jail::tally::{Settings, Tally};
    use portcullis_jail::{Failure, Id, MatchedLine};

    const ATTACKERS: u32 = 1_000_000;
    let settings = Settings::default();
    let mut tally = Tally::new(settings.clone());
    let used = allocation_counter::measure(|| {
        for n in 0..ATTACKERS {
            let id = Id::from(std::net::IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n)));
            let after =
                format!(" gate sshd[{n}]: Failed password for invalid user admin from {id} port 40000 ssh2");
            let line = MatchedLine { before: String::new(), date: "Nov 22 10:00:00".into(), after };
            let time = Timestamp(f64::from(n) * 60.0 / f64::from(ATTACKERS));
            let data = portcullis_jail::failure::Data::new();
            assert!(tally.failed(Failure { id, ip: None, time, matches: vec![line], data }, 1.0).is_none());
        }
    });
    let (counted, dropped) = (tally.currently_failed(), tally.dropped().identities);
    assert!(counted <= settings.identities, "{counted}");
    assert_eq!(counted as u64 + dropped, u64::from(ATTACKERS));
    // The last ones are those who are counted.
    assert!(tally.retry(&Id::new("10.15.66.63")).is_some());
    let most = used.bytes_max / settings.identities as u64;
    println!("{most} bytes for each of {} who are counted", settings.identities);
    assert!(used.bytes_max < 128 << 20, "{} bytes", used.bytes_max);
}
