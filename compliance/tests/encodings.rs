//! Each byte in each encoding of one byte a character, and some lines in the others, as Python reads them.

#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::process::Command;

use portcullis_compliance::{Comparison, genuine_root, skip, workspace};
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
    if let Err(reason) = genuine_root() {
        return skip(&reason);
    }
    let python = workspace().join("target/genuine/bin/python3");
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
