//! File patterns as Python's `glob` has them: `*`, `?`, `[…]`; no `**`, no braces; hidden files only when asked for.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// More files than this for one pattern are not watched.
const MOST_FILES: usize = 10_000;

/// The paths that match, in the order in which the directories list them. Without any of `*?[` it is the path itself, if
/// there is such a thing.
pub fn files(pattern: &str) -> Vec<String> {
    let (folder, name) = match pattern.rfind('/') {
        Some(at) => (&pattern[..=at], &pattern[at + 1..]),
        None => ("", pattern),
    };
    let folder = if folder.bytes().all(|b| b == b'/') { folder } else { folder.trim_end_matches('/') };
    if !has_magic(pattern) {
        let there = if name.is_empty() {
            !folder.is_empty() && Path::new(folder).is_dir()
        } else {
            Path::new(pattern).symlink_metadata().is_ok()
        };
        return if there { vec![pattern.to_owned()] } else { Vec::new() };
    }
    let folders =
        if has_magic(folder) && folder != pattern { files(folder) } else { vec![folder.to_owned()] };
    let mut found = Vec::new();
    for folder in folders {
        let joined = |name: &str| {
            if folder.is_empty() || folder.ends_with('/') {
                format!("{folder}{name}")
            } else {
                format!("{folder}/{name}")
            }
        };
        if !has_magic(name) {
            let path = joined(name);
            let there = if name.is_empty() {
                Path::new(&folder).is_dir()
            } else {
                Path::new(&path).symlink_metadata().is_ok()
            };
            if there {
                found.push(path);
            }
            continue;
        }
        let listed = std::fs::read_dir(if folder.is_empty() { "." } else { &folder });
        for entry in listed.into_iter().flatten().flatten() {
            let file = entry.file_name();
            let Some(file) = std::str::from_utf8(file.as_bytes()).ok() else { continue };
            if (!file.starts_with('.') || name.starts_with('.'))
                && matches(name, file)
                && found.len() < MOST_FILES
            {
                found.push(joined(file));
            }
        }
    }
    found
}

fn has_magic(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

/// Whether `name` matches `pattern`, in time proportional to the product of their lengths.
fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, n));
            p += 1;
            continue;
        }
        if p == pattern.len() && n == name.len() {
            return true;
        }
        let step = if p < pattern.len() && n < name.len() { one(&pattern[p..], name[n]) } else { None };
        if let Some(length) = step {
            p += length;
            n += 1;
        } else if let Some((at, from)) = star.filter(|(_, from)| *from < name.len()) {
            star = Some((at, from + 1));
            p = at + 1;
            n = from + 1;
        } else {
            return false;
        }
    }
}

/// How much of the pattern is used up by matching one character, if it matches.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern[0] {
        '?' => Some(1),
        '[' => {
            // A bracket right behind the opening one (or behind `!`) is a member; without a closing one `[` is itself.
            let first = if pattern.get(1) == Some(&'!') { 2 } else { 1 };
            let Some(end) = pattern.iter().skip(first + 1).position(|c| *c == ']').map(|at| at + first + 1)
            else {
                return (c == '[').then_some(1);
            };
            let members = &pattern[first..end];
            let mut inside = false;
            let mut at = 0;
            while at < members.len() {
                if at + 2 < members.len() && members[at + 1] == '-' {
                    inside |= (members[at]..=members[at + 2]).contains(&c);
                    at += 3;
                } else {
                    inside |= members[at] == c;
                    at += 1;
                }
            }
            (inside != (first == 2)).then_some(end + 1)
        }
        member => (member == c).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*error.log", "a.error.log", true),
            ("*error.log", "error.log.1", false),
            ("L[0-9]*.log", "L07.log", true),
            ("L[0-9]*.log", "Lx.log", false),
            ("[!a]b", "cb", true),
            ("[!a]b", "ab", false),
            ("[]x]", "]", true),
            ("[", "[", true),
            ("a?c", "abc", true),
            ("a*b*c", "a_b_b_c", true),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
