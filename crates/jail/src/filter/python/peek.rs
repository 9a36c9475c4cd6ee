//! What the ways of a choice can begin with, so that the exact engine takes only ways that the next byte allows.
//!
//! A superset is found by following the program: what is hard to say counts as everything. Most choices in log filters are
//! decided by one byte, and then there is nothing to come back to.

use super::ast::Assertion;
use super::class::CharSet;
use super::program::{Program, Step};

/// So many steps are followed for one answer; a way that needs more may begin with anything.
const FAR: usize = 64;

/// The bytes with which a way through the program can go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Peek {
    bytes: [u64; 4],
    /// Whether it can also succeed at the end of the text.
    end: bool,
}

impl Peek {
    const ANYTHING: Peek = Peek { bytes: [u64::MAX; 4], end: true };

    /// Whether the way may be worth taking where the text goes on with `next`.
    #[inline]
    pub(super) fn allows(&self, next: Option<&u8>) -> bool {
        match next {
            Some(byte) => self.has(*byte),
            None => self.end,
        }
    }

    /// Whether it allows nothing.
    fn is_nothing(&self) -> bool {
        self.bytes == [0; 4] && !self.end
    }

    /// The same where there is a byte.
    #[inline]
    pub(super) fn has(&self, byte: u8) -> bool {
        self.bytes[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }

    /// Whether no byte is in both.
    fn is_disjoint(&self, other: &Peek) -> bool {
        self.bytes.iter().zip(&other.bytes).all(|(one, other)| one & other == 0)
    }

    fn add(&mut self, byte: u8) {
        self.bytes[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    fn add_set(&mut self, set: &CharSet) {
        for byte in (0..128).filter(|byte| set.has(*byte)) {
            self.add(byte);
        }
        if set.beyond_ascii() {
            self.bytes[2] = u64::MAX;
            self.bytes[3] = u64::MAX;
        }
    }
}

/// What comes behind a loop over one character.
#[derive(Clone, Debug, Default)]
pub(super) struct Follow {
    /// The bytes that must come directly behind; none, when a set or a choice comes.
    text: Box<[u8]>,
    /// Which of them is likely to be the rarest in a log.
    rare: usize,
    /// Whether the loop can end only where its set does: what comes behind begins with nothing of the set.
    pub(super) firm: bool,
}

/// The bytes that logs are full of, the most frequent first.
const FREQUENT: &[u8] = b" etaoinrsdcl:ufpmgh10b2]";

impl Follow {
    /// What comes behind the loop at this place.
    fn new(program: &Program, place: usize, firm: bool) -> Self {
        let mut text = Vec::new();
        for step in &program.steps[place + 1..] {
            match step {
                Step::Byte(byte) => text.push(*byte),
                Step::Text(more) => text.extend(more.as_bytes()),
                Step::Save(_) => {}
                _ => break,
            }
        }
        let frequent = |byte: &u8| FREQUENT.iter().position(|known| known == byte).unwrap_or(FREQUENT.len());
        let rare = (0..text.len()).max_by_key(|at| frequent(&text[*at])).unwrap_or(0);
        Follow { text: text.into(), rare, firm }
    }

    /// Whether it can come here.
    #[inline]
    pub(super) fn is_at(&self, bytes: &[u8], at: usize) -> bool {
        bytes.get(at..).is_some_and(|rest| rest.starts_with(&self.text))
    }

    /// The last place from `low` to `high` where it can come; `None` where it can come nowhere. Only for one with a text.
    pub(super) fn last(&self, bytes: &[u8], low: usize, high: usize) -> Option<usize> {
        let rare = *self.text.get(self.rare)?;
        let (from, mut to) = (low + self.rare, (high + self.rare + 1).min(bytes.len()));
        while from < to {
            let found = from + memchr::memrchr(rare, &bytes[from..to])?;
            if self.is_at(bytes, found - self.rare) {
                return Some(found - self.rare);
            }
            to = found;
        }
        None
    }

    /// Whether certain bytes must come.
    #[inline]
    pub(super) fn is_text(&self) -> bool {
        !self.text.is_empty()
    }
}

/// Whether a loop over this set may end only where its set does, because what would be left of the set then is taken by another
/// loop over the same set: `\s+(?:\s*a)?b` need not try the blanks in several ways. What comes behind begins with nothing
/// of the set, or with that loop.
fn is_absorbed(program: &Program, place: usize, set: usize, firm: &[bool]) -> bool {
    let mut inside = Peek::default();
    inside.add_set(&program.sets[set]);
    let apart = |one: &dyn Fn(&mut Peek)| {
        let mut other = Peek::default();
        one(&mut other);
        other.is_disjoint(&inside)
    };
    // Whether something before looked at the place.
    let mut todo = vec![(place + 1, false)];
    let mut seen: Vec<(usize, bool)> = Vec::new();
    while let Some((step, looked)) = todo.pop() {
        if seen.contains(&(step, looked)) {
            continue;
        }
        if seen.len() >= FAR {
            return false;
        }
        seen.push((step, looked));
        let apart = match &program.steps[step] {
            Step::Byte(byte) => apart(&|peek| peek.add(*byte)),
            Step::Text(text) => apart(&|peek| text.bytes().take(1).for_each(|byte| peek.add(byte))),
            Step::Set(set) | Step::Span { set, one: true, .. } => {
                apart(&|peek| peek.add_set(&program.sets[*set]))
            }
            Step::Span { set: other, memo, most, .. } => {
                let takes_all = *other == set && *most == usize::MAX && firm[*memo] && !looked;
                if !takes_all {
                    todo.push((step + 1, looked));
                }
                takes_all || apart(&|peek| peek.add_set(&program.sets[*other]))
            }
            Step::Lazy { set, .. } => {
                todo.push((step + 1, looked));
                apart(&|peek| peek.add_set(&program.sets[*set]))
            }
            Step::Assert(_) => {
                todo.push((step + 1, true));
                true
            }
            Step::Look { next, .. } => {
                todo.push((*next as usize, true));
                true
            }
            Step::Save(_) => {
                todo.push((step + 1, looked));
                true
            }
            Step::Split { first, second, .. } => {
                todo.extend([(*first, looked), (*second, looked)]);
                true
            }
            Step::Jump(to) => {
                todo.push((*to, looked));
                true
            }
            Step::Enter { .. }
            | Step::Head { .. }
            | Step::Atomic { .. }
            | Step::Backref { .. }
            | Step::Condition { .. }
            | Step::Match => false,
        };
        if !apart {
            return false;
        }
    }
    true
}

/// What follows each loop over one character, by the loop's number.
pub(super) fn follows(program: &Program) -> Vec<Follow> {
    let mut follows = vec![Follow::default(); program.memos];
    let firm: Vec<bool> = program.peeks.iter().map(|[_, inside]| inside.is_nothing()).collect();
    for (place, step) in program.steps.iter().enumerate() {
        if let Step::Span { memo, .. } | Step::Lazy { memo, .. } = *step {
            let absorbed = matches!(*step, Step::Span { set, most: usize::MAX, .. }
                if program.referenced.is_empty() && is_absorbed(program, place, set, &firm));
            follows[memo] = Follow::new(program, place, firm[memo] || absorbed);
        }
    }
    follows
}

/// The peeks of all choices.
pub(super) fn peeks(program: &Program) -> Vec<[Peek; 2]> {
    let mut peeks = vec![[Peek::ANYTHING; 2]; program.memos];
    for (place, step) in program.steps.iter().enumerate() {
        match *step {
            Step::Split { first, second, memo } => {
                peeks[memo] = [from(program, first), from(program, second)];
            }
            Step::Span { memo, set, .. } => {
                let behind = from(program, place + 1);
                let mut inside = Peek::default();
                inside.add_set(&program.sets[set]);
                // A span can end only where its set does, when what comes behind begins with nothing of the set.
                let firm = behind.is_disjoint(&inside);
                peeks[memo] = [behind, if firm { Peek::default() } else { Peek::ANYTHING }];
            }
            Step::Lazy { memo, .. } => peeks[memo][0] = from(program, place + 1),
            Step::Look { peek, behind: None, .. } => peeks[peek as usize][0] = from(program, place + 1),
            _ => {}
        }
    }
    peeks
}

/// What can come from this step on.
fn from(program: &Program, step: usize) -> Peek {
    let mut peek = Peek::default();
    let mut todo = vec![step];
    let mut seen: Vec<usize> = Vec::new();
    while let Some(step) = todo.pop() {
        if seen.contains(&step) {
            continue;
        }
        if seen.len() >= FAR {
            return Peek::ANYTHING;
        }
        seen.push(step);
        match &program.steps[step] {
            Step::Byte(byte) => peek.add(*byte),
            Step::Text(text) => {
                if let Some(byte) = text.as_bytes().first() {
                    peek.add(*byte);
                }
            }
            Step::Set(set) | Step::Span { set, one: true, .. } => peek.add_set(&program.sets[*set]),
            Step::Span { set, .. } | Step::Lazy { set, .. } => {
                peek.add_set(&program.sets[*set]);
                todo.push(step + 1);
            }
            Step::Assert(Assertion::End) => peek.end = true,
            Step::Assert(Assertion::EndOrLastNewline | Assertion::LineEnd) => {
                peek.end = true;
                peek.add(b'\n');
            }
            Step::Assert(_) | Step::Save(_) | Step::Enter { .. } | Step::Atomic { .. } => todo.push(step + 1),
            Step::Split { first, second, .. } => todo.extend([*first, *second]),
            Step::Jump(to) => todo.push(*to),
            Step::Head { body, exit, .. } => todo.extend([*body as usize, *exit as usize]),
            Step::Look { next, .. } => todo.push(*next as usize),
            Step::Condition { no, .. } => todo.extend([step + 1, *no]),
            Step::Backref { .. } | Step::Match => return Peek::ANYTHING,
        }
    }
    peek
}
