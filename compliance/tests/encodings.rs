//! Each byte in each encoding of one byte a character, and some lines in the others, as Python reads them.

#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::process::Command;

use portcullis_compliance::{Comparison, Peer, Who, genuine_root, skip};
use portcullis_jail::encoding::Encoding;

/// Prints each alias of each encoding with each byte decoded, in hex; for the others, lines.
const SCRIPT: &str = r"
import encodings.aliases, sys
names = set(encodings.aliases.aliases) | set(encodings.aliases.aliases.values()) | {'koi8-u', 'cp856', 'UTF-8-SIG', 'ISO 8859-15'}
texts = ['plain', '\u4f60\u597d', '\u0451\u0434 \u00e9', '\u3042']
for name in sorted(names):
    try:
        lines = [bytes([b]) for b in range(256)] + [t.encode(name, 'ignore') for t in texts]
        print(name, *(l.hex() + ':' + l.decode(name, 'replace').encode('utf-32-be').hex() for l in lines))
    except Exception:
        pass
";

#[test]
fn bytes_become_the_text_that_python_makes_of_them() {
    let root = match genuine_root() {
        Ok(root) => root,
        Err(reason) => return skip(&reason),
    };
    let python = root.with_file_name("bin").join("python3");
    let output = Command::new(python).args(["-W", "ignore", "-c", SCRIPT]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut comparison = Comparison::new("encodings");
    let mut unknown = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        // "ISO 8859-15"
        let name = words.next().unwrap();
        let Some(encoding) = Encoding::named(name) else {
            unknown.push(name.to_owned());
            continue;
        };
        let (mut genuine, mut ours) = (String::new(), String::new());
        for (at, (bytes, expected)) in words.filter_map(|word| word.split_once(':')).enumerate() {
            let raw = unhex(bytes);
            // Lone bytes are repaired in different ways, and Python's tables for these have narrower kin: Chinese is the same.
            if encoding.is_mixed() && !raw.is_ascii() && at != 257 {
                continue;
            }
            let text = encoding.decode(&raw).0;
            let text: String = text.chars().fold(String::new(), |mut out, c| {
                let _ = write!(out, "{:08x}", u32::from(c));
                out
            });
            let _ = writeln!(genuine, "{bytes} {expected}");
            let _ = writeln!(ours, "{bytes} {text}");
        }
        comparison.same(name, &genuine, &ours);
    }
    comparison.finish();
    eprintln!("not read: {}", unknown.join(" "));
    // Those that no log is written in.
    assert!(
        !unknown.iter().any(|name| name.starts_with("iso8859") || name.starts_with("cp125")),
        "{unknown:?}"
    );
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Our own promise; Fail2ban reads such lines late, too.
#[test]
fn a_log_in_utf_16_is_read_line_by_line_also_across_a_restart() {
    let Some(mut peer) = Peer::new(Who::Ours) else { return };
    peer.write(
        "conf/jail.local",
        "[j]\nenabled = true\nbackend = polling\nfilter =\nfailregex = fail .* from <HOST>$\nlogpath = @DIR@/log\n\
         logencoding = utf-16-le\nmaxretry = 99\naction =\nignoreself = false\n",
    );
    peer.write("log", "");
    let append = |peer: &Peer, number: u8| {
        let now = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
        // In this order of bytes the first and the last of these letters have a line feed's byte in them.
        let line = format!("{now} fail \u{10a}\u{a0a} from 192.0.2.{number}\r\n");
        let bytes: Vec<u8> = line.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut log = std::fs::File::options().append(true).open(peer.path("log")).unwrap();
        std::io::Write::write_all(&mut log, &bytes).unwrap();
    };
    // A line's last byte is read with the next line: of what is there, the last one waits.
    for first in [1, 4] {
        append(&peer, first);
        peer.start();
        for number in first + 1..=first + 2 {
            append(&peer, number);
            peer.wait_log(&format!("Found 192.0.2.{} ", number - 1));
        }
        peer.stop();
    }
    let log = peer.log();
    for number in 1..=5 {
        let found = log.lines().filter(|line| line.contains(&format!("Found 192.0.2.{number} "))).count();
        assert_eq!(found, 1, "192.0.2.{number} in\n{log}");
    }
}
