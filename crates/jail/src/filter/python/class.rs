//! Sets of characters as Python has them.
//!
//! Python's `\w` is `str.isalnum()` and `_`, which is neither Rust's `\w` (that has marks and joiners too) nor a subset;
//! its `\s` is `str.isspace()`, which has the four ASCII separators besides Unicode's `White_Space`.

use std::sync::OnceLock;

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

/// `\d`, `\s` or `\w`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Category {
    Digit,
    Space,
    Word,
}

/// The set of a category, among all characters or among ASCII's.
pub(super) fn category(category: Category, ascii: bool) -> ClassUnicode {
    static SETS: [OnceLock<ClassUnicode>; 6] = [const { OnceLock::new() }; 6];
    let (slot, source) = match (category, ascii) {
        (Category::Digit, false) => (0, r"\d"),
        (Category::Space, false) => (1, r"[\s\x1c-\x1f]"),
        (Category::Word, false) => (2, r"[\p{L}\p{N}_]"),
        (Category::Digit, true) => (3, r"[0-9]"),
        (Category::Space, true) => (4, r"[ \t\n\r\x0c\x0b]"),
        (Category::Word, true) => (5, r"[0-9A-Za-z_]"),
    };
    SETS[slot].get_or_init(|| parse(source)).clone()
}

fn parse(source: &str) -> ClassUnicode {
    match regex_syntax::parse(source).map(regex_syntax::hir::Hir::into_kind) {
        Ok(HirKind::Class(Class::Unicode(class))) => class,
        other => unreachable!("{source} is no class: {other:?}"),
    }
}

/// One character.
pub(super) fn single(c: char) -> ClassUnicode {
    range(c, c)
}

/// From `low` to `high`, both included.
pub(super) fn range(low: char, high: char) -> ClassUnicode {
    ClassUnicode::new([ClassUnicodeRange::new(low, high)])
}

/// `.`
pub(super) fn dot(all: bool) -> ClassUnicode {
    let mut class = if all { ClassUnicode::empty() } else { single('\n') };
    class.negate();
    class
}

/// The set together with all other cases of its letters.
pub(super) fn folded(class: &ClassUnicode, ascii: bool) -> ClassUnicode {
    let mut folded = class.clone();
    if ascii {
        for letter in ('a'..='z').chain('A'..='Z').filter(|letter| contains(class, *letter)) {
            let other = if letter.is_ascii_lowercase() {
                letter.to_ascii_uppercase()
            } else {
                letter.to_ascii_lowercase()
            };
            folded.push(ClassUnicodeRange::new(other, other));
        }
    } else if folded.try_case_fold_simple().is_err() {
        // Only a build without Unicode tables lands here, and ours has them.
        return class.clone();
    }
    folded
}

/// Whether the character is in the set.
pub(super) fn contains(class: &ClassUnicode, c: char) -> bool {
    let ranges = class.ranges();
    ranges
        .binary_search_by(|range| {
            if range.end() < c {
                std::cmp::Ordering::Less
            } else if range.start() > c {
                std::cmp::Ordering::Greater
            } else {
                std::cmp::Ordering::Equal
            }
        })
        .is_ok()
}

/// A set made for quick questions.
#[derive(Clone, Debug)]
pub(super) struct CharSet {
    /// Whether each byte is a character of the set.
    table: [bool; 256],
    /// All but the line feed: what a `.` is.
    pub(super) dot: bool,
    class: ClassUnicode,
    /// Where this text begins, no character is in the set: `(?! from ).`. Empty: everywhere as the set says.
    pub(super) unless: Box<str>,
}

impl CharSet {
    pub(super) fn new(class: &ClassUnicode, unless: &str) -> Self {
        let mut table = [false; 256];
        for range in class.ranges().iter().take_while(|range| range.start().is_ascii()) {
            let end = (range.end() as usize).min(0x7f);
            table[range.start() as usize..=end].fill(true);
        }
        CharSet { table, dot: *class == dot(false), class: class.clone(), unless: unless.into() }
    }

    /// Whether it is this set.
    pub(super) fn is(&self, class: &ClassUnicode, unless: &str) -> bool {
        self.class == *class && *self.unless == *unless
    }

    #[inline]
    pub(super) fn contains(&self, c: char) -> bool {
        if c.is_ascii() { self.has(c as u8) } else { contains(&self.class, c) }
    }

    /// Whether anything in it is not ASCII.
    pub(super) fn beyond_ascii(&self) -> bool {
        self.class.ranges().last().is_some_and(|range| !range.end().is_ascii())
    }

    /// Whether this byte, if it is ASCII, is in the set.
    #[inline]
    pub(super) fn has(&self, byte: u8) -> bool {
        self.table[usize::from(byte)]
    }
}
