//! Filters as somebody would write them today, for the messages of today's services: the rows of `fail2ban-regex`, ours
//! against the genuine program's, on lines with random dates, addresses and users, and on mutants of them.
//!
//! Each run has other lines: it prints its seed, and `SEED=…` makes the same again. `SERVICE=dovecot` looks at one filter
//! only, `LINES=…` makes more lines for each.

#![allow(clippy::unwrap_used, clippy::panic)]
#![allow(dead_code, reason = "the mutants are shared with another test")]

mod line;
#[path = "../mutants/mutate.rs"]
mod mutate;
#[path = "../mutants/rows.rs"]
mod rows;

use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis_compliance::{Comparison, Peer, Random, Who, genuine_root, number, skip};
use rows::{comparable, ends_the_genuine_program};

/// Lines for each filter.
const LINES: usize = 150;

/// A filter and what its service prints.
struct Service<'f> {
    name: &'f str,
    filter: &'f str,
    lines: Vec<&'f str>,
}

fn services(text: &str) -> Vec<Service<'_>> {
    let services = text.split("\n=== ").skip(1);
    services
        .map(|service| {
            let (name, rest) = service.split_once('\n').unwrap();
            let (filter, lines) = rest.split_once("\n---\n").unwrap_or_else(|| panic!("{name} has no lines"));
            Service { name, filter, lines: lines.lines().filter(|line| !line.is_empty()).collect() }
        })
        .collect()
}

/// What a program says of the file `lines`, a row for each failure.
fn rows(peer: &Peer, name: &str) -> Vec<String> {
    let arguments = ["-c", "@DIR@/conf", "--usedns=raw", "-o", "row", "@DIR@/lines", name];
    let output = peer.command("fail2ban-regex", &arguments).stdin(Stdio::null()).output().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let complaint = String::from_utf8_lossy(&output.stderr);
    let complaint = complaint.lines().rfind(|line| !line.is_empty()).unwrap_or_default().to_owned();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let rows = stdout.split('\n').map(|row| comparable(row, now));
    rows.chain([format!("exit status {:?} {complaint}", output.status.code())]).collect()
}

/// How many rows there are, and where the two programs part, the lines that bring it about.
fn difference(genuine: &Peer, ours: &Peer, name: &str, lines: &[String]) -> (usize, Option<String>) {
    let both = |lines: &[String]| {
        let text = lines.join("\n") + "\n";
        let [genuine, ours] = [genuine, ours].map(|peer| {
            peer.write("lines", &text);
            rows(peer, name)
        });
        let parted = (genuine != ours).then(|| {
            let at = genuine.iter().zip(&ours).take_while(|(genuine, ours)| genuine == ours).count();
            let row = |rows: &[String]| rows.get(at).cloned().unwrap_or_default();
            format!("  genuine {}\n  ours    {}", row(&genuine), row(&ours))
        });
        (genuine.len(), parted)
    };
    let (found, parted) = both(lines);
    let Some(parted) = parted else { return (found, None) };
    // The fewest lines that still part them: a shortest beginning, and of that no piece too many.
    let (mut same, mut other) = (0, lines.len());
    while same + 1 < other {
        let middle = usize::midpoint(same, other);
        if both(&lines[..middle]).1.is_some() { other = middle } else { same = middle }
    }
    let mut lines = lines[..other].to_vec();
    let mut piece = lines.len() / 2;
    while piece > 0 {
        for at in (0..lines.len()).step_by(piece).rev() {
            let mut fewer = lines.clone();
            fewer.drain(at..(at + piece).min(lines.len()));
            if !fewer.is_empty() && both(&fewer).1.is_some() {
                lines = fewer;
            }
        }
        piece /= 2;
    }
    let parted = both(&lines).1.unwrap_or(parted);
    (found, Some(format!("{name}: {lines:#?}\n{parted}")))
}

#[test]
fn filters_for_the_services_of_today_have_the_same_rows() {
    if let Err(reason) = genuine_root() {
        return skip(&reason);
    }
    let seed = Random::seed("services");
    let count = number("LINES").map_or(LINES, |lines| lines as usize);
    let only = std::env::var("SERVICE").ok();
    let mut services = services(include_str!("filters.txt"));
    services.retain(|service| only.as_ref().is_none_or(|only| only == service.name));
    let next = AtomicUsize::new(0);
    let (differences, idle) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let [genuine, ours] = [Who::Genuine, Who::Ours].map(|who| {
                    let mut peer = Peer::new(who).unwrap();
                    // No hour comes twice there: of one that does, mktime(3) takes now this and now that.
                    peer.env("TZ", "Asia/Kathmandu");
                    peer
                });
                while let Some(service) = services.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for peer in [&genuine, &ours] {
                        peer.write(&format!("conf/filter.d/{}.conf", service.name), service.filter);
                    }
                    let mut random = Random::new(seed);
                    let mut lines = line::lines(&mut random, &service.lines, count);
                    if service.filter.contains("<SKIPLINES>") {
                        lines.retain(|line| !has_other_line_ends(line));
                    }
                    let (rows, parted) = difference(&genuine, &ours, service.name, &lines);
                    differences.lock().unwrap().extend(parted);
                    // An empty row stands at the end, and the exit status.
                    if rows <= 2 {
                        idle.lock().unwrap().push(service.name);
                    }
                }
            });
        }
    });
    println!("services: {} filters, {count} lines each", services.len());
    let differences = differences.into_inner().unwrap();
    let mut comparison = Comparison::new(format!("services, SEED={seed}"));
    comparison.same("rows", "", &differences.join("\n"));
    comparison.finish();
    // One of them is refused by both: Python wants flags for all of a pattern at its beginning.
    let idle = idle.into_inner().unwrap();
    assert!(idle.iter().all(|name| *name == "pure-ftpd"), "nothing is found by the filters {idle:?}");
}

/// Lines of use: those at which the genuine program ends are left out.
fn of_use(line: &str) -> bool {
    !line.starts_with('#') && !ends_the_genuine_program(line.as_bytes())
}

/// What ends a line for Python's `splitlines`, and no line of a log. The genuine program loses lines that `<SKIPLINES>` skipped
/// when one of these is in them.
fn has_other_line_ends(line: &str) -> bool {
    line.contains(['\u{b}', '\u{c}', '\r', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}'])
}
