//! What is a letter to Python, for an engine that has other letters.
//!
//! Python's `\w` has all numbers (`²`, `½`) and no marks; the `regex` crate's has marks and no such numbers. A date ends where
//! no word goes on, so that this decides whether `1124013599²` has one.

use std::borrow::Cow;
use std::sync::OnceLock;

use regex_syntax::hir::{Class, ClassUnicode, HirKind};

/// The line with each character that is a letter to one of the two only in another's place: of the same length, and what
/// Python takes it for.
pub(super) fn as_python_has_them(line: &str) -> Cow<'_, str> {
    if line.is_ascii() || !line.chars().any(is_odd) {
        return Cow::Borrowed(line);
    }
    Cow::Owned(line.chars().map(|c| if is_odd(c) { stand_in(c) } else { c }).collect())
}

/// Whether only one of the two has it among the letters.
fn is_odd(c: char) -> bool {
    static ODD: OnceLock<Option<ClassUnicode>> = OnceLock::new();
    let parse = || match regex_syntax::parse(r"[[\p{L}\p{N}_]~~\w]").ok()?.into_kind() {
        HirKind::Class(Class::Unicode(class)) => Some(class),
        _ => None,
    };
    let Some(class) = ODD.get_or_init(parse).as_ref().filter(|_| !c.is_ascii()) else { return false };
    let ranges = class.ranges();
    let at = ranges.partition_point(|range| range.end() < c);
    ranges.get(at).is_some_and(|range| range.start() <= c)
}

/// A letter of all for a number, a sign of none for the others.
fn stand_in(c: char) -> char {
    match (c.is_numeric(), c.len_utf8()) {
        (true, 2) => 'ª',
        (true, 3) => 'ア',
        (true, _) => '𐀀',
        (false, 2) => '§',
        (false, 3) => '。',
        (false, _) => '🀄',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_letters_and_marks_become_signs_of_the_same_length() {
        let line = "1²½ ① 𐄇 e\u{301} a\u{20dd} x\u{200d} ‿ Ⓐ ٣ é 𝟘 _";
        let seen = as_python_has_them(line);
        assert_eq!(seen, "1ªª ア 𐀀 e§ a。 x。 。 。 ٣ é 𝟘 _");
        assert_eq!(seen.len(), line.len());
        assert!(matches!(as_python_has_them("٣ é _ plain"), Cow::Borrowed(_)));
    }
}
