//! `-d`, `--dp` and `-t` of our reader of configurations against the genuine client: the same output, messages and exit
//! codes for Debian's configuration, each of its jails, filters and actions, for trees made by hand, and for random ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::format_push_string)]

mod by_hand;
mod dialect;
mod peers;
mod real;
mod trees;
mod vocabulary;

use std::path::Path;

use peers::{Genuine, genuine_root, ours};
use portcullis_compliance::{Comparison, number};

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

/// Debian's configuration in a directory of its own, with nothing enabled.
struct Stock {
    root: tempfile::TempDir,
}

impl Stock {
    fn new(genuine: &Path) -> Self {
        let root = tempfile::Builder::new().prefix("stock-").tempdir().unwrap();
        let from = genuine.join("etc/fail2ban");
        let status =
            std::process::Command::new("cp").arg("-r").arg(from).arg(root.path().join("conf")).status();
        assert!(status.unwrap().success());
        std::fs::remove_file(root.path().join("conf/jail.d/defaults-debian.conf")).unwrap();
        Stock { root }
    }

    fn directory(&self) -> std::path::PathBuf {
        self.root.path().join("conf")
    }

    fn local(&self, text: &str) {
        std::fs::write(self.directory().join("jail.local"), text).unwrap();
    }

    /// The names in a folder, without `.conf`.
    fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory().join(folder)).unwrap().flatten();
        let mut names: Vec<String> = entries
            .filter(|entry| entry.path().is_file())
            .map(|entry| entry.file_name().into_string().unwrap().trim_end_matches(".conf").to_owned())
            .collect();
        names.sort();
        names
    }

    fn jails(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.directory().join("jail.conf")).unwrap();
        let headers = text.lines().filter_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
        headers.filter(|name| !matches!(*name, "INCLUDES" | "DEFAULT")).map(str::to_owned).collect()
    }
}

#[test]
fn debians_configuration_is_read_alike() {
    let Some(root) = genuine_root() else { return };
    let (mut genuine, stock) = (Genuine::new(&root), Stock::new(&root));
    let directory = stock.directory();
    let mut comparison = Comparison::new("Debian's configuration");
    let all = [&["-d"][..], &["--dp"], &["-t"], &["-d", "-t"]];
    for (about, local) in [
        ("nothing enabled", ""),
        ("sshd", "[sshd]\nenabled = true\n"),
        ("all jails", "[DEFAULT]\nenabled = true\n"),
        ("all jails, journal", "[DEFAULT]\nenabled = true\nbackend = systemd\n"),
        (
            "all jails, mail and nftables",
            "[DEFAULT]\nenabled = true\naction = %(action_mwl)s\nbanaction = nftables\n",
        ),
    ] {
        stock.local(local);
        for flags in all {
            same(&mut comparison, &mut genuine, &directory, flags, about);
        }
    }
    for jail in stock.jails() {
        stock.local(&format!("[{jail}]\nenabled = true\n"));
        same(&mut comparison, &mut genuine, &directory, &["-d"], &format!("jail {jail}"));
    }
    comparison.finish();
}

#[test]
fn what_people_have_is_read_alike() {
    let Some(root) = genuine_root() else { return };
    let mut genuine = Genuine::new(&root);
    let mut comparison = Comparison::new("configurations as people have them");
    let trees = real::real();
    assert!(trees.len() > 10, "{}", trees.len());
    let others = [&["-d", "-t"][..], &["-t"], &["--dp"]];
    for ((name, tree), other) in trees.iter().zip(others.iter().cycle()) {
        let stock = Stock::new(&root);
        tree.write(&stock.directory());
        for flags in [&["-d"][..], other] {
            same(&mut comparison, &mut genuine, &stock.directory(), flags, name);
        }
    }
    comparison.finish();
}

#[test]
fn each_stock_filter_and_action_is_read_alike() {
    let Some(root) = genuine_root() else { return };
    let (mut genuine, stock) = (Genuine::new(&root), Stock::new(&root));
    let directory = stock.directory();
    let mut comparison = Comparison::new("stock filters and actions");
    for filter in stock.names("filter.d") {
        stock.local(&format!("[x]\nenabled = true\nfilter = {filter}\n"));
        same(&mut comparison, &mut genuine, &directory, &["-d"], &format!("filter {filter}"));
    }
    for (index, action) in stock.names("action.d").iter().enumerate() {
        stock.local(&format!(
            "[x]\nenabled = true\nfilter = sshd\nbantime = 1h\naction = {action}[name=x-{index}]\n"
        ));
        let flags = if index % 2 == 0 { ["-d"] } else { ["--dp"] };
        same(&mut comparison, &mut genuine, &directory, &flags, &format!("action {action}"));
    }
    comparison.finish();
}

#[test]
fn trees_made_by_hand_are_read_alike() {
    let Some(root) = genuine_root() else { return };
    let mut genuine = Genuine::new(&root);
    let mut comparison = Comparison::new("trees made by hand");
    let place = tempfile::Builder::new().prefix("hand-").tempdir().unwrap();
    for (about, arguments, tree) in by_hand::by_hand() {
        let directory = place.path().join("t");
        tree.write(&directory);
        same(&mut comparison, &mut genuine, &directory, &arguments, about);
        std::fs::remove_dir_all(&directory).unwrap();
    }
    comparison.finish();
}

#[test]
fn bytes_that_are_no_text_are_told_alike() {
    let Some(root) = genuine_root() else { return };
    let mut genuine = Genuine::new(&root);
    let mut comparison = Comparison::new("bytes that are no text");
    let place = tempfile::Builder::new().prefix("bytes-").tempdir().unwrap();
    let filler =
        |length: usize, bytes: &[u8]| [b"[k]\nx=1\n#".as_slice(), &vec![b'#'; length - 9], bytes].concat();
    let mut cases: Vec<Vec<u8>> = [
        b"[j]\nb=\xe9\xc3\xa9\n".as_slice(),
        b"[j]\nb=\xe2\x82",
        b"\xe2\x28\xa1",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf0\x9f\x98",
        b"\xf4\x90\x80\x80",
        b"[k]\nx=1\nx=2\n\xff",
        b"\xef\xbb\xbf[DEFAULT]\nx=1\n",
        b"[k]\r\nx=1\rbantime=3\r\n\r\n",
        b"[k]\nx=\0\x01\x1b\x7f\n\0\n",
        b"\0\0\0",
        b"",
    ]
    .map(<[u8]>::to_vec)
    .into();
    for length in [4096, 8189, 8190, 8191, 8192, 8193, 16384, 20000] {
        cases.push(filler(length, b"\xe9\xe9"));
        cases.push(filler(length, b"\xe2\x82\x28"));
        cases.push(filler(length, "é€\n[k]\n".as_bytes()));
        cases.push(filler(length, b"\xc3\xa9\xe2\x82\xac\xff"));
        cases.push(filler(length, b"\xf0\x9f"));
        cases.push([&filler(length, b"\n"), b"[k]\n\xff".as_slice()].concat());
    }
    for (index, bytes) in cases.iter().enumerate() {
        let directory = place.path().join("t");
        by_hand::Tree {
            files: vec![("jail.conf".into(), "[j]\nenabled=true\nfilter=\nbackend=auto\n".into())],
        }
        .write(&directory);
        std::fs::write(directory.join("jail.local"), bytes).unwrap();
        same(&mut comparison, &mut genuine, &directory, &["-d"], &format!("case {index}"));
        std::fs::remove_dir_all(&directory).unwrap();
    }
    comparison.finish();
}

/// How many random trees a run compares: `TREES`, or 200. The first seed is `SEED`, or the day's number.
fn random_run() -> (u64, u64) {
    let day = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs() / 86_400);
    (number("SEED").unwrap_or(day * 1_000_000), number("TREES").unwrap_or(200))
}

/// As [`same`]. Some trees grow without end, at which the genuine client must be ended; then ours must have said so.
fn random_same(
    comparison: &mut Comparison,
    genuine: &mut Genuine,
    directory: &Path,
    flags: &[&str],
    seed: u64,
) -> bool {
    let path = directory.to_str().unwrap();
    let theirs = genuine.ask(&[&["-c", path], flags].concat());
    let mine = ours(path, flags);
    if theirs.code < 0 {
        println!("seed {seed}: the genuine client had to be ended");
        assert!(
            mine.code == 255 && mine.err.contains("grows beyond all bounds"),
            "seed {seed}: {}",
            mine.text()
        );
        return true;
    }
    comparison.same(&format!("seed {seed} {}", flags.join(" ")), &theirs.text(), &mine.text())
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
        // Every third is like what people have: Fail2ban 1.1's own ways, services with their variants, panels' leftovers.
        let tree = if seed % 3 == 2 { dialect::tree(seed) } else { trees::tree(seed) };
        tree.write(&directory);
        let flags: &[&str] = match seed % 8 {
            0 => &["-t"],
            1 => &["--dp"],
            _ => &["-d"],
        };
        if random_same(&mut comparison, &mut genuine, &directory, flags, seed) {
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
