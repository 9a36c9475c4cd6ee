//! Places in a text: where a look-behind begins, and where an assertion holds.

use super::ast::Assertion;
use super::class::{self, Category};

/// The place `characters` before `at`.
pub(super) fn back(text: &str, at: usize, characters: u32) -> Option<usize> {
    match characters {
        0 => Some(at),
        n => text[..at].char_indices().rev().nth(n as usize - 1).map(|(start, _)| start),
    }
}

/// Whether the text has such a place here.
pub(super) fn holds(assertion: Assertion, text: &str, at: usize) -> bool {
    let bytes = text.as_bytes();
    match assertion {
        Assertion::Start => at == 0,
        Assertion::LineStart => at == 0 || bytes[at - 1] == b'\n',
        Assertion::End => at == bytes.len(),
        Assertion::EndOrLastNewline => at == bytes.len() || (at + 1 == bytes.len() && bytes[at] == b'\n'),
        Assertion::LineEnd => at == bytes.len() || bytes[at] == b'\n',
        Assertion::Word { ascii } => at_boundary(text, at, ascii),
        // Python: the empty text has no boundary, and no `\B` either.
        Assertion::NotWord { ascii } => !text.is_empty() && !at_boundary(text, at, ascii),
    }
}

fn at_boundary(text: &str, at: usize, ascii: bool) -> bool {
    let before = text[..at].chars().next_back().is_some_and(|c| is_word(c, ascii));
    let after = text[at..].chars().next().is_some_and(|c| is_word(c, ascii));
    before != after
}

fn is_word(c: char, ascii: bool) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    !ascii && class::contains(&class::category(Category::Word, false), c)
}
