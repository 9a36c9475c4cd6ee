//! Configuration directories made by hand, and what a directory is before it is written.

use std::path::Path;

const SERVER: &str = "[Definition]\nallowipv6=auto\nsocket=/s\npidfile=/p\nloglevel=INFO\nlogtarget=/l\nsyslogsocket=auto\n\
                      dbfile=None\ndbpurgeage=1d\n";

/// The trees of `by_hand.txt`: what each is about, the arguments, the tree.
pub(crate) fn by_hand() -> Vec<(&'static str, Vec<&'static str>, Tree)> {
    let text: &'static str = include_str!("by_hand.txt");
    let (_, text) = text.split_once("\n=== ").unwrap();
    text.split("\n=== ").map(one_by_hand).collect()
}

fn one_by_hand(text: &'static str) -> (&'static str, Vec<&'static str>, Tree) {
    let (head, body) = text.split_once('\n').unwrap();
    let (about, arguments) = head.split_once('|').unwrap_or((head, "-d"));
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let mut files = vec![
        file("fail2ban.conf", SERVER),
        file("filter.d/f.conf", "[Definition]\nfailregex=^x <HOST>\n"),
        file("action.d/a.conf", "[Definition]\nactionban=echo <ip>\n"),
    ];
    for part in body.strip_prefix("--- ").unwrap().split("\n--- ") {
        let (name, text) = part.split_once('\n').unwrap_or((part, ""));
        files.retain(|(known, _)| known != name);
        if text.trim() != "-none-" {
            files.push((name.to_owned(), format!("{text}\n")));
        }
    }
    (about.trim(), arguments.split_whitespace().collect(), Tree { files })
}

/// A configuration directory before it is written.
pub(crate) struct Tree {
    pub(crate) files: Vec<(String, String)>,
}

impl Tree {
    pub(crate) fn write(&self, directory: &Path) {
        for (name, text) in &self.files {
            let path = directory.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    /// The files' text, for a person who looks for the reason of a difference.
    pub(crate) fn show(&self) -> String {
        self.files.iter().map(|(name, text)| format!("==> {name}\n{text}\n")).collect()
    }
}
