//! The names of encodings that Python 3 knows, so that a misspelt `logencoding` is refused at once.

/// One a line, in Python's normal form; what Python 3.11 on Linux finds.
const NAMES: &str = include_str!("encodings.txt");

/// Whether Python has an encoding of this name. Case does not count, nor which signs stand between the words.
pub(crate) fn is_known(name: &str) -> bool {
    let normal = normal(name);
    // Python looks for the name as it is, and without dots.
    let undotted = normal.replace('.', "_");
    name.is_ascii() && NAMES.lines().any(|known| known == normal || known == undotted)
}

/// Runs of what is neither letter nor digit nor dot become one `_`.
fn normal(name: &str) -> String {
    let mut out = String::new();
    let mut gap = false;
    for c in name.chars() {
        if !c.is_ascii_alphanumeric() && c != '.' {
            gap = true;
            continue;
        }
        if gap && !out.is_empty() {
            out.push('_');
        }
        gap = false;
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_however_it_is_written() {
        for name in ["UTF-8", "utf8", "utf 8", "Latin-1", "ISO-8859-15", "cp1252", "EUC-JP", "ascii", "hex"] {
            assert!(is_known(name), "{name}");
        }
        for name in ["", "foo", "a.b", "é", "utf-88", "utf-8x"] {
            assert!(!is_known(name), "{name}");
        }
    }
}
