//! `-d`, `--dp` and `-t` of our reader of configurations against the genuine client: the same output, messages and exit
//! codes for Debian's configuration, each of its jails, filters and actions, for trees made by hand, and for random ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::format_push_string)]

mod peers;
mod trees;

use std::path::Path;

use peers::{Genuine, genuine_root, ours};
use portcullis_compliance::Comparison;

/// Compares both for one directory.
fn same(
    comparison: &mut Comparison,
    genuine: &mut Genuine,
    directory: &Path,
    flags: &[&str],
    what: &str,
) -> bool {
    let directory = directory.to_str().unwrap();
    let mut args = vec!["-c", directory];
    args.extend(flags);
    let theirs = genuine.ask(&args);
    let mine = ours(directory, flags);
    comparison.same(&format!("{what} {}", flags.join(" ")), &theirs.text(), &mine.text())
}

/// How many random trees a run compares: `TREES`, or 300. The first seed is `SEED`, or the day's number.
fn random_run() -> (u64, u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let day = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs() / 86_400);
    (number("SEED").unwrap_or(day * 1_000_000), number("TREES").unwrap_or(300))
}

#[test]
fn random_trees_are_read_alike() {
    let Some(root) = genuine_root() else { return };
    let mut genuine = Genuine::new(&root);
    let (first, count) = random_run();
    println!("seeds {first} to {}", first + count - 1);
    let mut comparison = Comparison::new("random trees");
    let (mut equal, mut loaded) = (0, 0);
    let place = tempfile::Builder::new().prefix("trees-").tempdir().unwrap();
    for seed in first..first + count {
        let directory = place.path().join("t");
        let tree = trees::tree(seed);
        tree.write(&directory);
        let flags: &[&str] = match seed % 8 {
            0 => &["-t"],
            1 => &["--dp"],
            _ => &["-d"],
        };
        if same(&mut comparison, &mut genuine, &directory, flags, &format!("seed {seed}")) {
            equal += 1;
        } else if std::env::var_os("SHOW").is_some() {
            println!("seed {seed}:\n{}", tree.show());
        }
        loaded += u64::from(ours(directory.to_str().unwrap(), &["-d"]).out.contains("\n['start'"));
        std::fs::remove_dir_all(&directory).unwrap();
    }
    println!("{equal} of {count} random trees are equal; {loaded} start a jail");
    comparison.finish();
}
