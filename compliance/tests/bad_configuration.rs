//! Configurations that are none: our client ends with the genuine one's exit code, after a bounded time, with bounded memory,
//! and says why.

#![allow(clippy::unwrap_used, clippy::panic, clippy::format_push_string)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use portcullis_compliance::{Comparison, Peer, Random, Who};

/// No configuration takes longer to be refused, even on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(60);
/// Address space that is enough for a file of 100 MB, in KiB: the text, its value, and the value in the stream.
const MEMORY: &str = "1200000";

const SERVER: &str = "[Definition]\nallowipv6=auto\nsocket=/s\npidfile=/p\nloglevel=INFO\nlogtarget=/l\nsyslogsocket=auto\n\
                      dbfile=None\ndbpurgeage=1d\n";
const JAIL: &str = "[j]\nenabled = true\nbackend = auto\nfilter = f\naction =\n";

/// Makes the directory. The size of what has one: all of it for us; for the genuine program a part, since it would take minutes.
type Make = fn(&Path, usize);

const OURS: usize = 100;
const GENUINES: usize = 2;

fn put(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// What a case is about, the flags, how its directory is made from a good one, and whether the file modes shall count.
#[rustfmt::skip]
const CASES: &[(&str, &str, Make)] = &[
    ("garbage", "-d", |dir, _| {
        let mut random = Random::new(4);
        put(dir, "jail.local", (0..1 << 20).map(|_| random.below(256) as u8).collect::<Vec<u8>>());
    }),
    ("garbage of letters", "-d", |dir, _| {
        let mut random = Random::new(5);
        put(dir, "jail.local", (0..1 << 18).map(|_| b"ab[]=:%()s<>; #\n\t "[random.below(18)]).collect::<Vec<u8>>());
    }),
    ("a program", "-d", |dir, _| put(dir, "jail.conf", std::fs::read("/bin/true").unwrap())),
    ("100 MB in one line", "-d", |dir, size| put(dir, "jail.local", format!("[j]\nx = {}\n", "a b ".repeat(size << 18)))),
    ("100 MB in one line, no option", "-d", |dir, size| put(dir, "jail.local", "x".repeat(size << 20))),
    ("10,000 includes", "-d", |dir, size| {
        let count = size * 100;
        let names: String = (0..count).map(|i| format!("  i/{i}.conf\n")).collect();
        for i in 0..count {
            put(dir, &format!("i/{i}.conf"), format!("[DEFAULT]\nv{i} = %(known/v)s\n"));
        }
        put(dir, "jail.local", format!("[INCLUDES]\nbefore =\n{names}"));
    }),
    ("a circle of includes", "-d", |dir, _| {
        put(dir, "jail.local", "[INCLUDES]\nbefore = a.conf\n");
        put(dir, "a.conf", "[INCLUDES]\nbefore = b.conf\nafter = jail.local\n[DEFAULT]\nx=1\n");
        put(dir, "b.conf", "[INCLUDES]\nafter = a.conf\n        jail.conf\n");
    }),
    ("a chain of 300 includes", "-d", |dir, _| chain(dir, 300)),
    ("a chain of 2,000 includes", "-d", |dir, _| chain(dir, 2000)),
    ("references ten levels deep", "-d", |dir, _| nested(dir, 9)),
    ("references eleven levels deep", "-d", |dir, _| nested(dir, 12)),
    ("references that double", "-d", |dir, _| {
        let levels: String = (0..8).map(|i| format!("v{i} = %(v{})s%(v{})s\n", i + 1, i + 1)).collect();
        put(dir, "jail.local", format!("[j]\n{levels}v8 = x\nbantime = %(v0)s\n"));
    }),
    ("tags in a circle", "-d", |dir, _| put(dir, "filter.d/f.conf", "[Definition]\nfailregex = <a>\na = <b>\nb = <a>\n")),
    ("tags 60 deep", "-d", |dir, _| {
        let tags: String = (0..60).map(|i| format!("t{i} = <t{}>\n", i + 1)).collect();
        put(dir, "filter.d/f.conf", format!("[Definition]\nfailregex = ^<t0> <HOST>\n{tags}t60 = x\n"));
    }),
    ("brackets 5,000 deep", "-d", |dir, _| put(dir, "jail.local", format!("[j]\nfilter = f{}\n", "[a=".repeat(5000)))),
    ("groups 5,000 deep", "-t", |dir, _| {
        put(dir, "filter.d/f.conf", format!("[Definition]\nfailregex = {}<HOST>{}\n", "(".repeat(5000), ")".repeat(5000)));
    }),
    ("a directory in jail.local's place", "-d", |dir, _| std::fs::create_dir(dir.join("jail.local")).unwrap()),
    ("a directory in jail.conf's place", "-d", |dir, _| {
        std::fs::remove_file(dir.join("jail.conf")).unwrap();
        std::fs::create_dir(dir.join("jail.conf")).unwrap();
    }),
    ("a directory in the filter's place", "-d", |dir, _| {
        std::fs::remove_file(dir.join("filter.d/f.conf")).unwrap();
        std::fs::create_dir(dir.join("filter.d/f.conf")).unwrap();
    }),
    ("no permission for jail.conf", "-t", |dir, _| forbid(dir, "jail.conf")),
    ("no permission for the filter", "-d", |dir, _| forbid(dir, "filter.d/f.conf")),
    ("no permission for fail2ban.conf", "-d", |dir, _| forbid(dir, "fail2ban.conf")),
    ("no UTF-8", "-d", |dir, _| put(dir, "jail.local", b"[j]\nx = \xff\xfe\n")),
    ("no UTF-8 in jail.conf", "-t", |dir, _| put(dir, "jail.conf", b"[j]\nenabled = true\nx = \xe9\n")),
    ("NUL", "-d", |dir, _| put(dir, "jail.local", "[j]\nbantime = 1\0\nfind\0time = 2\n")),
    ("CRLF", "-d", |dir, _| put(dir, "jail.local", "[j]\r\nbantime = 3\r\n  4\r\n")),
    ("BOM", "-d", |dir, _| put(dir, "jail.local", "\u{feff}[j]\nbantime = 3\n")),
    ("empty files", "-t", |dir, _| for name in ["jail.conf", "fail2ban.conf", "filter.d/f.conf"] { put(dir, name, "") }),
    ("nothing at all", "-d", |dir, _| { std::fs::remove_dir_all(dir).unwrap(); std::fs::create_dir(dir).unwrap(); }),
    ("no directory", "-d", |dir, _| std::fs::remove_dir_all(dir).unwrap()),
    ("a file in the directory's place", "-d", |dir, _| { std::fs::remove_dir_all(dir).unwrap(); std::fs::write(dir, "x").unwrap(); }),
];

fn chain(dir: &Path, links: usize) {
    for i in 0..links {
        put(
            dir,
            &format!("c{i}.conf"),
            format!("[INCLUDES]\nbefore = c{}.conf\n[DEFAULT]\nx = {i}\n", i + 1),
        );
    }
    put(dir, "jail.local", "[INCLUDES]\nbefore = c0.conf\n");
}

fn nested(dir: &Path, levels: usize) {
    let options: String = (0..levels).map(|i| format!("v{i} = %(v{})s\n", i + 1)).collect();
    put(dir, "jail.local", format!("[j]\n{options}v{levels} = 7\nbantime = %(v0)s\n"));
}

fn forbid(dir: &Path, file: &str) {
    std::fs::set_permissions(dir.join(file), std::fs::Permissions::from_mode(0o0)).unwrap();
}

#[test]
fn what_is_no_configuration_is_refused_as_fail2ban_does_soon_and_with_a_reason() {
    let (Some(genuine), Some(ours)) = (Peer::new(Who::Genuine), Peer::new(Who::Ours)) else { return };
    let mut comparison = Comparison::new("configurations that are none");
    for (about, flag, make) in CASES {
        let run = |peer: &Peer| {
            let dir = peer.path("bad");
            put(&dir, "fail2ban.conf", SERVER);
            put(&dir, "jail.conf", JAIL);
            put(&dir, "filter.d/f.conf", "[Definition]\nfailregex = ^x <HOST>\n");
            make(&dir, if peer.who() == Who::Ours { OURS } else { GENUINES });
            // Root may read what it likes, so we are root without that right.
            let limit = if peer.who() == Who::Ours { MEMORY } else { "unlimited" };
            let script = format!(
                "ulimit -v {limit}; exec setpriv --bounding-set=-dac_override,-dac_read_search --inh-caps=-all \"$@\""
            );
            let begin = Instant::now();
            let output = std::process::Command::new("sh")
                .args(["-c", &script, "sh"])
                .arg(peer.path("bin/fail2ban-client"))
                .arg("-c")
                .arg(&dir)
                .arg(flag)
                .output()
                .unwrap();
            let took = begin.elapsed();
            let _ = std::fs::remove_dir_all(&dir).or_else(|_| std::fs::remove_file(&dir));
            let text = |bytes: &[u8]| peer.mask(&String::from_utf8_lossy(bytes));
            (output.status.code(), text(&output.stdout), text(&output.stderr), took)
        };
        let (their_code, their_out, ..) = run(&genuine);
        let (code, out, err, took) = run(&ours);
        comparison.same(&format!("{about}: exit code"), &format!("{their_code:?}"), &format!("{code:?}"));
        let cut = |text: &str| text.chars().take(2000).collect::<String>();
        comparison.same(&format!("{about}: standard output"), &cut(&their_out), &cut(&out));
        if code != Some(0) {
            assert!(err.contains("ERROR") || out.contains("ERROR"), "{about}: no reason given\n{out}\n{err}");
        }
        assert!(err.len() < 200_000, "{about}: {} bytes of complaints", err.len());
        assert!(took < PATIENCE, "{about}: {took:?}");
        println!("{about}: exit code {code:?}, {took:?}");
    }
    comparison.finish();
}
