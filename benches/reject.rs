//! What it costs to find that a line is somebody else's business: nanoseconds of CPU time in the filter alone, with
//! Debian's own filters, on the lines of their services' logs that no regex matches; and beside it what a match costs.
//! Lines come by pages, as a jail gets them.

// A measurement speaks by panicking, as tests do.
#![allow(clippy::panic, clippy::unwrap_used)]

use std::hint::black_box;

use portcullis_compliance::genuine_root;
use portcullis_config::{Source, read_filter};
use portcullis_jail::filter::{Filter, Moment, Status};
use portcullis_jail::{Nobody, Page, Timestamp};
use rustix::time::{ClockId, clock_gettime};

mod logs;

/// This thread's nanoseconds on a CPU.
fn cpu() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn main() {
    let root = genuine_root().unwrap_or_else(|reason| panic!("no genuine Fail2ban: {reason}"));
    let source = Source::with_catalogue(root.join("etc/fail2ban"));
    let rounds = std::env::args().nth(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(20);
    let wanted = std::env::args().nth(2);
    println!(
        "nanoseconds of CPU a line, in the filter alone; wanted: less than 150 for a line that is rejected"
    );
    for kind in logs::KINDS.iter().filter(|kind| wanted.as_ref().is_none_or(|name| name == kind.filter)) {
        let read = read_filter(&source, kind.filter, Vec::new(), "file").unwrap().unwrap();
        let mut filter = Filter::new();
        filter.set_prefregex(read.option("prefregex").unwrap_or_default()).unwrap();
        read.lines("failregex").for_each(|regex| filter.add_failregex(regex).unwrap());
        read.lines("ignoreregex").for_each(|regex| filter.add_ignoreregex(regex).unwrap());
        let now = jiff::Zoned::now();
        filter.set_zone(now.time_zone().clone());
        let seconds = now.timestamp().as_second() as f64;
        if let Some(pattern) = read.option("datepattern") {
            filter.set_datepattern(pattern, Timestamp(seconds)).unwrap();
        }
        filter.set_findtime(1e6);
        let at = Moment { now: Timestamp(seconds), in_operation: false };
        let log = kind.log(20_000, &now, 600, 7);
        let (mut matched, mut missed) = (Vec::new(), Vec::new());
        for line in log.lines() {
            match filter.judge(line, at, &mut Nobody).status {
                Status::Missed => missed.push(line),
                _ => matched.push(line),
            }
        }
        let mut per_line = |lines: &[&str]| {
            let text: Vec<u8> =
                lines.iter().flat_map(|line| [line.as_bytes(), b"\n"]).flatten().copied().collect();
            let mut best = f64::MAX;
            for _ in 0..rounds {
                let page = Page::new(text.clone(), at.now);
                let begin = cpu();
                let mut next = 0;
                while let Some(verdict) = filter.judge_page(black_box(&page), at, &mut next, &mut Nobody) {
                    black_box(verdict);
                    next += 1;
                }
                best = best.min((cpu() - begin) as f64 / lines.len().max(1) as f64);
            }
            best
        };
        let (rejected, found) = (per_line(&missed), per_line(&matched));
        println!(
            "{:<16} rejected {rejected:>5.0} ({} lines)   matched {found:>5.0} ({})",
            kind.filter,
            missed.len(),
            matched.len()
        );
    }
}
