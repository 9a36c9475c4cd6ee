//! Escapes and sets: `\d`, `\x41`, `\1`, `[^a-z\s]`.

use regex_syntax::hir::ClassUnicode;

use super::super::ast::{Assertion, Node};
use super::super::class::{self, Category};
use super::{Error, Flags, Parser, literal, repr, set_node};

/// A member of a set.
enum Member {
    One(char),
    Many(ClassUnicode),
}

impl Parser {
    /// What stands behind a backslash, outside of sets. `start` is the backslash.
    pub(super) fn escape(&mut self, start: usize, flags: Flags) -> Result<Node, Error> {
        let Some(c) = self.next() else {
            return Err(self.error("bad escape (end of pattern)", start));
        };
        if let Some(class) = category(c, flags.ascii) {
            return Ok(set_node(class));
        }
        let assertion = match c {
            'A' => Some(Assertion::Start),
            'Z' => Some(Assertion::End),
            'b' => Some(Assertion::Word { ascii: flags.ascii }),
            'B' => Some(Assertion::NotWord { ascii: flags.ascii }),
            _ => None,
        };
        if let Some(assertion) = assertion {
            return Ok(Node::Assert(assertion));
        }
        if c.is_ascii_digit() && c != '0' {
            return self.back_reference(start, c, flags);
        }
        if c == '0' {
            let digits = self.eat_while(2, |c| c.is_digit(8));
            return Ok(literal(code(&digits, 8), flags));
        }
        Ok(literal(self.character(start, c)?, flags))
    }

    /// `\1`, or an octal escape of three digits.
    fn back_reference(&mut self, start: usize, first: char, flags: Flags) -> Result<Node, Error> {
        let mut digits = String::from(first);
        if let Some(second) = self.peek().filter(char::is_ascii_digit) {
            self.at += 1;
            digits.push(second);
            let third = self.peek().filter(|c| c.is_digit(8));
            if let (Some(third), true) = (third, digits.chars().all(|c| c.is_digit(8))) {
                self.at += 1;
                digits.push(third);
                return Ok(literal(self.octal(start, &digits)?, flags));
            }
        }
        let group: usize = digits.parse().unwrap_or(usize::MAX);
        if group >= self.groups.len() {
            return Err(self.error(&format!("invalid group reference {digits}"), start + 1));
        }
        self.reference(group, start, self.at, flags)
    }

    /// A reference to a group that is there, closed, and not of the same look-behind.
    pub(super) fn reference(
        &self,
        group: usize,
        start: usize,
        end: usize,
        flags: Flags,
    ) -> Result<Node, Error> {
        if self.groups[group].open {
            return Err(self.error("cannot refer to an open group", start));
        }
        self.outside_lookbehind(group, end)?;
        Ok(Node::Backref { group, fold: flags.ignorecase })
    }

    pub(super) fn outside_lookbehind(&self, group: usize, position: usize) -> Result<(), Error> {
        let Some(groups) = self.lookbehind else { return Ok(()) };
        if self.groups.get(group).is_none_or(|group| group.open) {
            return Err(self.error("cannot refer to an open group", position));
        }
        if group >= groups {
            return Err(
                self.error("cannot refer to group defined in the same lookbehind subpattern", position)
            );
        }
        Ok(())
    }

    fn octal(&self, start: usize, digits: &str) -> Result<char, Error> {
        if u32::from_str_radix(digits, 8).unwrap_or(u32::MAX) > 0o377 {
            let message = format!("octal escape value \\{digits} outside of range 0-0o377");
            return Err(self.error(&message, start));
        }
        Ok(code(digits, 8))
    }

    /// Escapes of single characters that mean the same in and out of sets.
    fn character(&mut self, start: usize, c: char) -> Result<char, Error> {
        let hexadecimal = |parser: &mut Parser, length: usize| {
            let digits = parser.eat_while(length, |c| c.is_ascii_hexdigit());
            if digits.len() != length {
                return Err(parser.error(&format!("incomplete escape \\{c}{digits}"), start));
            }
            u32::from_str_radix(&digits, 16)
                .ok()
                .and_then(char::from_u32)
                .ok_or_else(|| parser.error(&format!("bad escape \\{c}{digits}"), start))
        };
        match c {
            'a' => Ok('\x07'),
            'f' => Ok('\x0c'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'v' => Ok('\x0b'),
            'x' => hexadecimal(self, 2),
            'u' => hexadecimal(self, 4),
            'U' => hexadecimal(self, 8),
            c if c.is_ascii_alphanumeric() => Err(self.error(&format!("bad escape \\{c}"), start)),
            c => Ok(c),
        }
    }

    /// `[…]`. `start` is the bracket.
    pub(super) fn set(&mut self, start: usize, flags: Flags) -> Result<Node, Error> {
        let negated = self.eat('^');
        let mut class = ClassUnicode::empty();
        let mut categories = ClassUnicode::empty();
        let mut first = true;
        loop {
            let before = self.at;
            let Some(c) = self.next() else {
                return Err(self.error("unterminated character set", start));
            };
            if c == ']' && !first {
                break;
            }
            first = false;
            let low = self.member(before, c, flags)?;
            if !self.eat('-') {
                add(low, &mut class, &mut categories);
                continue;
            }
            let after = self.at;
            let Some(c) = self.next() else {
                return Err(self.error("unterminated character set", start));
            };
            if c == ']' {
                add(low, &mut class, &mut categories);
                class.union(&class::single('-'));
                break;
            }
            let high = self.member(after, c, flags)?;
            match (low, high) {
                (Member::One(low), Member::One(high)) if low <= high => class.union(&class::range(low, high)),
                _ => {
                    let (low, high) = (self.token(before), self.token(after));
                    let position = self.at - (low.len() + 1 + high.len());
                    let text: String = low.iter().chain(&['-']).chain(high).collect();
                    return Err(self.error(&format!("bad character range {text}"), position));
                }
            }
        }
        if flags.ignorecase {
            class = class::folded(&class, flags.ascii);
        }
        class.union(&categories);
        if negated {
            class.negate();
        }
        Ok(set_node(class))
    }

    /// What Python's messages show of a member: a character, or a backslash and what follows, also where an escape is longer.
    fn token(&self, start: usize) -> &[char] {
        let length = if self.chars[start] == '\\' { 2 } else { 1 };
        &self.chars[start..(start + length).min(self.at)]
    }

    fn member(&mut self, start: usize, c: char, flags: Flags) -> Result<Member, Error> {
        if c != '\\' {
            return Ok(Member::One(c));
        }
        let Some(c) = self.next() else {
            return Err(self.error("bad escape (end of pattern)", start));
        };
        if let Some(class) = category(c, flags.ascii) {
            return Ok(Member::Many(class));
        }
        match c {
            'b' => Ok(Member::One('\x08')),
            c if c.is_digit(8) => {
                let digits = format!("{c}{}", self.eat_while(2, |c| c.is_digit(8)));
                self.octal(start, &digits).map(Member::One)
            }
            c => self.character(start, c).map(Member::One),
        }
    }

    /// `name` up to the terminator, which is eaten.
    pub(super) fn name(&mut self, terminator: char) -> Result<String, Error> {
        let start = self.at;
        let mut name = String::new();
        loop {
            match self.next() {
                None if name.is_empty() => return Err(self.error("missing group name", self.at)),
                None => {
                    let message = format!("missing {terminator}, unterminated name");
                    return Err(self.error(&message, start));
                }
                Some(c) if c == terminator => break,
                // Python reads a backslash and what follows as one.
                Some('\\') => name.extend(std::iter::once('\\').chain(self.next())),
                Some(c) => name.push(c),
            }
        }
        if name.is_empty() {
            return Err(self.error("missing group name", start));
        }
        Ok(name)
    }

    /// Group names are Python identifiers.
    pub(super) fn identifier(&self, name: &str, position: usize) -> Result<(), Error> {
        if is_identifier(name) {
            return Ok(());
        }
        Err(self.error(&format!("bad character in group name {}", repr(name)), position))
    }
}

pub(super) fn is_identifier(name: &str) -> bool {
    let word = class::category(Category::Word, false);
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c == '_' || c.is_alphabetic()) && chars.all(|c| class::contains(&word, c))
}

fn add(member: Member, class: &mut ClassUnicode, categories: &mut ClassUnicode) {
    match member {
        Member::One(c) => class.union(&class::single(c)),
        Member::Many(set) => categories.union(&set),
    }
}

fn category(c: char, ascii: bool) -> Option<ClassUnicode> {
    let category = match c.to_ascii_lowercase() {
        'd' => Category::Digit,
        's' => Category::Space,
        'w' => Category::Word,
        _ => return None,
    };
    let mut class = class::category(category, ascii);
    if c.is_ascii_uppercase() {
        class.negate();
    }
    Some(class)
}

/// The character with this number; `\0` when there are no digits.
fn code(digits: &str, radix: u32) -> char {
    u32::from_str_radix(digits, radix).ok().and_then(char::from_u32).unwrap_or('\0')
}
