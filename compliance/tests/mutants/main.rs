//! 100,000 mutants of the sample lines, of all filters under all their options: the rows of `fail2ban-regex -o row`, ours
//! against the genuine program's.
//!
//! `SEED=…` makes others, `MUTANTS=…` makes another number of them, `FILTER=sshd` looks at one filter only.

#![allow(clippy::unwrap_used, clippy::panic)]
#![allow(dead_code, reason = "the corpus is shared with other tests")]

#[path = "../corpus/mod.rs"]
mod corpus;
mod mutate;
mod rows;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use corpus::checks;
use portcullis_compliance::{Comparison, Peer, Random, Who, genuine_root, number, skip};
use rows::{comparable, ends_the_genuine_program};

/// The mutants are the same in each run, unless `SEED` says otherwise.
const SEED: u64 = 1_795_394_467_105_678_156;
/// How many mutants a run makes.
const MUTANTS: usize = 100_000;
/// What a batch of lines may cost, in seconds of computing: some ten times what it does.
const PATIENCE: u32 = 15;
/// Into so many parts a batch is cut at which the genuine program does not come to an end.
const PARTS: usize = 8;
/// Forms of output. Rows have everything; the others ask for parts.
const FORMS: [&str; 6] = ["row", "row", "row", "row", "id", "<time> <ip> <fid> <F-USER> <family> <ip-rev>"];

/// A filter with options as `fail2ban-regex` takes them, and its sample lines.
struct Subject {
    filter: String,
    lines: Vec<String>,
}

/// Each filter of the corpus under each set of options.
fn subjects() -> Vec<Subject> {
    let root = genuine_root().unwrap();
    let logs = root.join("usr/lib/python3/dist-packages/fail2ban/tests/files/logs");
    let only = std::env::var("FILTER").ok();
    let mut sets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in std::fs::read_dir(&logs).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let stock = root.join(format!("etc/fail2ban/filter.d/{name}.conf")).is_file();
        if !stock || !entry.path().is_file() || only.as_ref().is_some_and(|only| *only != name) {
            continue;
        }
        for check in checks(&logs, &name) {
            let options: Vec<String> = check
                .options
                .iter()
                .map(|(key, value)| format!("{key}={}", value.as_str().unwrap()))
                .collect();
            let filter =
                if options.is_empty() { name.clone() } else { format!("{name}[{}]", options.join(", ")) };
            sets.entry(filter).or_default().push(check.prefix + &check.line);
        }
    }
    sets.into_iter().map(|(filter, lines)| Subject { filter, lines }).collect()
}

/// What a program says of these lines, one row a failure. `None` if the genuine one does not come to an end: some lines it
/// tries for ever.
fn rows(peer: &Peer, subject: &Subject, form: &str, lines: &[Vec<u8>]) -> Option<Vec<String>> {
    let mut text = lines.join(&b'\n');
    text.push(b'\n');
    std::fs::write(peer.path("lines"), text).unwrap();
    let arguments = ["-c", "@DIR@/conf", "--usedns=raw", "-o", form, "@DIR@/lines", &subject.filter];
    let tester = peer.command("fail2ban-regex", &arguments);
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--cpu={PATIENCE}")).arg(tester.get_program()).args(tester.get_args());
    let environment = tester.get_envs().filter_map(|(name, value)| Some((name, value?)));
    limited.envs(environment);
    let output = limited.stdin(Stdio::null()).output().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let complaint = String::from_utf8_lossy(&output.stderr);
    let complaint = complaint.lines().rfind(|line| !line.is_empty()).unwrap_or_default();
    let Some(status) = output.status.code().filter(|status| [0, 1].contains(status)) else {
        let (who, filter) = (peer.who(), &subject.filter);
        assert!(who == Who::Genuine, "{who} {filter}: {}: {complaint}", output.status);
        return None;
    };
    let stdout = String::from_utf8_lossy(&output.stdout);
    let rows = stdout.split('\n').map(|row| comparable(row, now));
    Some(rows.chain([format!("exit status {status} {complaint}")]).collect())
}

/// The line at which two runs part: the last of the shortest beginning that differs.
fn culprit(genuine: &Peer, ours: &Peer, subject: &Subject, form: &str, lines: &[Vec<u8>]) -> String {
    let differs = |lines: &[Vec<u8>]| {
        let (genuine, ours) = (rows(genuine, subject, form, lines)?, rows(ours, subject, form, lines)?);
        (genuine != ours).then(|| {
            let at = genuine.iter().zip(&ours).take_while(|(genuine, ours)| genuine == ours).count();
            let row = |rows: &[String]| rows.get(at).cloned().unwrap_or_default();
            format!("genuine {}\n  ours    {}", row(&genuine), row(&ours))
        })
    };
    let (mut same, mut other) = (0, lines.len());
    while same + 1 < other {
        let middle = usize::midpoint(same, other);
        if differs(&lines[..middle]).is_some() { other = middle } else { same = middle }
    }
    let line = &lines[other - 1];
    let shown = differs(std::slice::from_ref(line));
    let alone = if shown.is_some() { "alone" } else { "behind others" };
    let shown = shown.or_else(|| differs(&lines[..other])).unwrap_or_default();
    format!("{} (-o {form}), {alone}: {:?}\n  {shown}", subject.filter, String::from_utf8_lossy(line))
}

#[test]
fn mutants_of_all_sample_lines_have_the_same_rows() {
    if let Err(reason) = genuine_root() {
        return skip(&reason);
    }
    let seed = number("SEED").unwrap_or(SEED);
    println!("mutants: SEED={seed}");
    let count = std::env::var("MUTANTS").ok().and_then(|count| count.parse().ok()).unwrap_or(MUTANTS);
    let subjects = subjects();
    let all: Vec<String> = subjects.iter().flat_map(|subject| subject.lines.iter().cloned()).collect();
    let each = count.div_ceil(subjects.len());
    let (next, made, found) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let differences = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let (mut genuine, mut ours) =
                    (Peer::new(Who::Genuine).unwrap(), Peer::new(Who::Ours).unwrap());
                genuine.env("TZ", "Europe/Zurich");
                ours.env("TZ", "Europe/Zurich");
                while let Some((at, subject)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, subjects.get(at)?)))
                {
                    let mut random = Random::new(seed.wrapping_add(at as u64));
                    let form = random.of(&FORMS);
                    let lines: Vec<Vec<u8>> = (0..each)
                        .map(|_| {
                            let line = &subject.lines[random.below(subject.lines.len())];
                            let others = if random.once_in(10) { &all } else { &subject.lines };
                            mutate::mutant(&mut random, line, others)
                        })
                        .filter(|line| !ends_the_genuine_program(line))
                        .collect();
                    // Where the genuine program does not come to an end, all but the lines around the cause are compared.
                    let mut whole = rows(&genuine, subject, form, &lines);
                    let size = if whole.is_some() { lines.len() } else { lines.len().div_ceil(PARTS) };
                    for lines in lines.chunks(size) {
                        let Some(wanted) = whole.take().or_else(|| rows(&genuine, subject, form, lines))
                        else {
                            println!("the genuine program hangs: {}, {} lines", subject.filter, lines.len());
                            continue;
                        };
                        made.fetch_add(lines.len(), Ordering::Relaxed);
                        found.fetch_add(wanted.len() - 2, Ordering::Relaxed);
                        if Some(wanted) != rows(&ours, subject, form, lines) {
                            let culprit = culprit(&genuine, &ours, subject, form, lines);
                            println!("{culprit}");
                            differences.lock().unwrap().push(culprit);
                        }
                    }
                }
            });
        }
    });
    let (made, found) = (made.into_inner(), found.into_inner());
    println!("mutants: SEED={seed}: {made} lines, {} filters with options, {found} rows", subjects.len());
    let differences = differences.into_inner().unwrap();
    let mut comparison = Comparison::new(format!("mutants, SEED={seed}"));
    comparison.same("rows", "", &differences.join("\n"));
    comparison.finish();
    assert!(made * 10 > count * 9, "only {made} of {count} mutants were of use");
}
