//! Configurations as people have them, on top of Debian's.

use super::by_hand::Tree;

/// The trees of `real.txt`: their names, and their files.
pub(crate) fn real() -> Vec<(&'static str, Tree)> {
    let text: &'static str = include_str!("real.txt");
    let (_, text) = text.split_once("\n=== ").unwrap();
    text.split("\n=== ").map(one).collect()
}

fn one(text: &'static str) -> (&'static str, Tree) {
    let (name, body) = text.split_once('\n').unwrap();
    let files = body.strip_prefix("--- ").unwrap().split("\n--- ").map(|part| {
        let (path, text) = part.split_once('\n').unwrap();
        let text = format!("{}\n", text.trim_end());
        // As an editor of Windows writes it.
        match path.strip_suffix("|crlf") {
            Some(path) => (path.to_owned(), format!("\u{feff}{text}").replace('\n', "\r\n")),
            None => (path.to_owned(), text),
        }
    });
    (name, Tree { files: files.collect() })
}
