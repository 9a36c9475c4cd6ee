//! The exact engine: backtracking in Python's order, with a memory.
//!
//! What a choice leads to depends only on where it stands in pattern and text (and on a few bits for conditionals and
//! loops), so a choice that failed once is never tried again: time is linear in the text, with look-around too. Only
//! back-references defeat the memory; they, and everything else, are held by a limit on the steps. The stack is a vector
//! whose length that limit bounds; recursion is as deep as look-arounds nest in the pattern, which the parser bounds.

use super::ast::Assertion;
use super::class::{self, Category};
use super::program::{Depends, Program, Step};

const NONE: usize = usize::MAX;

/// The step limit was reached: neither match nor miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooHard;

/// What to do when the present try has failed.
#[derive(Clone, Copy, Debug)]
enum Job {
    Try {
        step: usize,
        at: usize,
    },
    /// A span that reaches from `low` to `at` may end one character earlier.
    Shorten {
        step: usize,
        low: usize,
        at: usize,
    },
    Slot {
        slot: usize,
        was: usize,
    },
    Register {
        register: usize,
        was: usize,
    },
}

/// Memory that outlives a search.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    jobs: Vec<Job>,
    slots: Vec<usize>,
    registers: Vec<usize>,
    memory: Vec<u64>,
    trail: Vec<usize>,
}

/// Memory kept between searches is cut back to this many words.
const KEPT_WORDS: usize = 1 << 16;
/// The memory of one search is at most this many words (64 MiB); beyond, the search goes without.
const MOST_WORDS: usize = 1 << 23;

/// Searches `text` from `from` on. `slots` of the scratch then hold the groups.
///
/// # Errors
/// When the search takes more than `limit` steps.
pub(super) fn search<'s>(
    program: &Program,
    scratch: &'s mut Scratch,
    text: &str,
    from: usize,
    limit: u64,
) -> Result<Option<&'s [usize]>, TooHard> {
    let variants = program.memory.as_ref().map_or(0, |depends| 1usize << depends.len());
    let choices = program.memos * variants * (text.len() + 1);
    let bits = choices + program.tables * 2 * (text.len() + 1);
    let mut words = bits / 64 + 1;
    let remember = words <= MOST_WORDS;
    if !remember {
        words = 1;
    }
    scratch.jobs.clear();
    scratch.trail.clear();
    scratch.slots.clear();
    scratch.slots.resize((program.groups + 1) * 2, NONE);
    scratch.registers.clear();
    scratch.registers.resize(program.registers, NONE);
    scratch.memory.clear();
    scratch.memory.shrink_to(KEPT_WORDS.max(words));
    scratch.memory.resize(words, 0);
    let depends = program.memory.as_deref().filter(|_| remember);
    let mut run = Run { program, text, scratch, left: limit, choices, remember, depends, nested: 0 };
    let mut start = from;
    loop {
        if let Some(first) = program.first.as_ref().filter(|_| !program.anchored) {
            match text[start..].char_indices().find(|(_, c)| first.contains(*c)) {
                Some((skipped, _)) => start += skipped,
                None => return Ok(None),
            }
        }
        if let Some(end) = run.run(0, start)? {
            let slots = &mut run.scratch.slots;
            slots[0] = start;
            slots[1] = end;
            return Ok(Some(&scratch.slots));
        }
        if program.anchored {
            return Ok(None);
        }
        match text[start..].chars().next() {
            Some(c) => start += c.len_utf8(),
            None => return Ok(None),
        }
    }
}

struct Run<'a> {
    program: &'a Program,
    text: &'a str,
    scratch: &'a mut Scratch,
    left: u64,
    /// Where in the memory the tables of look-arounds begin.
    choices: usize,
    remember: bool,
    /// What the memory depends on, when there is one.
    depends: Option<&'a [Depends]>,
    nested: u32,
}

impl Run<'_> {
    /// Runs from a step until `Match`; the place where it ended.
    fn run(&mut self, step: usize, at: usize) -> Result<Option<usize>, TooHard> {
        let base = self.scratch.jobs.len();
        self.scratch.jobs.push(Job::Try { step, at });
        while self.scratch.jobs.len() > base {
            match self.scratch.jobs.pop() {
                Some(Job::Try { step, at }) => {
                    if let Some(end) = self.attempt(step, at)? {
                        self.keep_restores(base);
                        return Ok(Some(end));
                    }
                }
                Some(Job::Shorten { step, low, at }) => {
                    let at = back(self.text, at, 1).unwrap_or(low);
                    if at > low {
                        self.scratch.jobs.push(Job::Shorten { step, low, at });
                    }
                    if let Some(end) = self.attempt(step, at)? {
                        self.keep_restores(base);
                        return Ok(Some(end));
                    }
                }
                Some(Job::Slot { slot, was }) => self.scratch.slots[slot] = was,
                Some(Job::Register { register, was }) => self.scratch.registers[register] = was,
                None => break,
            }
        }
        Ok(None)
    }

    /// After a success only the way back for groups stays; other tries are given up.
    fn keep_restores(&mut self, base: usize) {
        let mut kept = base;
        for i in base..self.scratch.jobs.len() {
            if !matches!(self.scratch.jobs[i], Job::Try { .. } | Job::Shorten { .. }) {
                self.scratch.jobs[kept] = self.scratch.jobs[i];
                kept += 1;
            }
        }
        self.scratch.jobs.truncate(kept);
    }

    /// Follows one way until it fails or matches.
    fn attempt(&mut self, mut step: usize, mut at: usize) -> Result<Option<usize>, TooHard> {
        let program = self.program;
        loop {
            self.left = self.left.checked_sub(1).ok_or(TooHard)?;
            match &program.steps[step] {
                Step::Char(c) => match self.char_at(at) {
                    Some(found) if found == *c => at += c.len_utf8(),
                    _ => return Ok(None),
                },
                Step::Set(set) => match self.char_at(at) {
                    Some(found) if program.sets[*set].contains(found) => at += found.len_utf8(),
                    _ => return Ok(None),
                },
                Step::Assert(assertion) => {
                    if !holds(*assertion, self.text, at) {
                        return Ok(None);
                    }
                }
                Step::Split { first, second, memo } => {
                    if self.failed_before(*memo, at) {
                        return Ok(None);
                    }
                    self.scratch.jobs.push(Job::Try { step: *second, at });
                    step = *first;
                    continue;
                }
                Step::Span { set, memo } => {
                    if self.failed_before(*memo, at) {
                        return Ok(None);
                    }
                    let low = at;
                    while let Some(c) = self.char_at(at).filter(|c| program.sets[*set].contains(*c)) {
                        let next = at + c.len_utf8();
                        // Where an earlier span of this loop has been, everything was tried already.
                        if self.failed_before(*memo, next) {
                            break;
                        }
                        at = next;
                    }
                    self.left = self.left.saturating_sub((at - low) as u64);
                    if at > low {
                        self.scratch.jobs.push(Job::Shorten { step: step + 1, low, at });
                    }
                }
                Step::Jump(to) => {
                    step = *to;
                    continue;
                }
                Step::Save(slot) => {
                    let was = std::mem::replace(&mut self.scratch.slots[*slot], at);
                    self.scratch.jobs.push(Job::Slot { slot: *slot, was });
                }
                Step::Enter { register } => self.set_register(*register, NONE),
                Step::Head { register, body, exit, lazy, memo } => {
                    let still = self.scratch.registers[*register] == at;
                    if self.failed_before(*memo, at) {
                        return Ok(None);
                    }
                    step = match (still, lazy) {
                        (true, _) => *exit,
                        (false, false) => {
                            self.scratch.jobs.push(Job::Try { step: *exit, at });
                            self.set_register(*register, at);
                            *body
                        }
                        (false, true) => {
                            // The body is tried when the rest has failed: the register is set then, and reset after.
                            let was = self.scratch.registers[*register];
                            self.scratch.jobs.push(Job::Register { register: *register, was });
                            self.scratch.jobs.push(Job::Try { step: *body, at });
                            self.scratch.jobs.push(Job::Register { register: *register, was: at });
                            *exit
                        }
                    };
                    continue;
                }
                Step::Look { negated, behind, next, table } => {
                    if self.look(step + 1, at, *behind, *negated, *table)? == *negated {
                        return Ok(None);
                    }
                    step = *next;
                    continue;
                }
                Step::Atomic { next } => match self.nested(step + 1, at)? {
                    Some(end) => {
                        at = end;
                        step = *next;
                        continue;
                    }
                    None => return Ok(None),
                },
                Step::Backref { group, fold } => match self.back_reference(*group, *fold, at) {
                    Some(end) => at = end,
                    None => return Ok(None),
                },
                Step::Condition { group, no } => {
                    if self.scratch.slots[group * 2 + 1] == NONE {
                        step = *no;
                        continue;
                    }
                }
                Step::Match => return Ok(Some(at)),
            }
            step += 1;
        }
    }

    fn char_at(&self, at: usize) -> Option<char> {
        match self.text.as_bytes().get(at) {
            Some(byte) if byte.is_ascii() => Some(char::from(*byte)),
            Some(_) => self.text[at..].chars().next(),
            None => None,
        }
    }

    fn set_register(&mut self, register: usize, value: usize) {
        let was = std::mem::replace(&mut self.scratch.registers[register], value);
        self.scratch.jobs.push(Job::Register { register, was });
    }

    /// Whether this choice was made before from the same state; remembers that it is made now.
    fn failed_before(&mut self, memo: usize, at: usize) -> bool {
        let Some(depends) = self.depends else { return false };
        let mut variant = 0;
        for (bit, depends) in depends.iter().enumerate() {
            let set = match depends {
                Depends::Group(group) => self.scratch.slots[group * 2 + 1] != NONE,
                Depends::Register(register) => self.scratch.registers[*register] == at,
            };
            variant |= usize::from(set) << bit;
        }
        let bit = ((memo << depends.len()) + variant) * (self.text.len() + 1) + at;
        let word = &mut self.scratch.memory[bit / 64];
        let mask = 1 << (bit % 64);
        let was = *word & mask != 0;
        *word |= mask;
        if !was && self.nested > 0 {
            self.scratch.trail.push(bit);
        }
        was
    }

    fn remember_bit(&mut self, bit: usize) {
        self.scratch.memory[bit / 64] |= 1 << (bit % 64);
    }

    /// A match on its own. Choices that it remembered as failed are forgotten when it succeeded: one of them did not fail.
    fn nested(&mut self, step: usize, at: usize) -> Result<Option<usize>, TooHard> {
        let trail = self.scratch.trail.len();
        self.nested += 1;
        let end = self.run(step, at)?;
        self.nested -= 1;
        if end.is_some() {
            for i in trail..self.scratch.trail.len() {
                let bit = self.scratch.trail[i];
                self.scratch.memory[bit / 64] &= !(1 << (bit % 64));
            }
            self.scratch.trail.truncate(trail);
        } else if self.nested == 0 {
            self.scratch.trail.clear();
        }
        Ok(end)
    }

    /// Whether the body of a look-around matches here.
    fn look(
        &mut self,
        body: usize,
        at: usize,
        behind: Option<u32>,
        negated: bool,
        table: Option<usize>,
    ) -> Result<bool, TooHard> {
        let known = table
            .filter(|_| self.remember)
            .map(|table| self.choices + (table * (self.text.len() + 1) + at) * 2);
        if let Some(bit) = known {
            let memory = &self.scratch.memory;
            if memory[bit / 64] >> (bit % 64) & 1 == 1 {
                let bit = bit + 1;
                return Ok(memory[bit / 64] >> (bit % 64) & 1 == 1);
            }
        }
        let start = match behind {
            None => Some(at),
            Some(characters) => back(self.text, at, characters),
        };
        let base = self.scratch.jobs.len();
        let found = match start {
            Some(start) => self.nested(body, start)?.is_some(),
            None => false,
        };
        if negated {
            // Groups set inside are unset again.
            for job in self.scratch.jobs.drain(base..).rev() {
                match job {
                    Job::Slot { slot, was } => self.scratch.slots[slot] = was,
                    Job::Register { register, was } => self.scratch.registers[register] = was,
                    Job::Try { .. } | Job::Shorten { .. } => {}
                }
            }
        }
        if let Some(bit) = known {
            self.remember_bit(bit);
            if found {
                self.remember_bit(bit + 1);
            }
        }
        Ok(found)
    }

    /// The end of the group's text, repeated here. A group that did not match never does.
    fn back_reference(&self, group: usize, fold: bool, at: usize) -> Option<usize> {
        let (start, end) = (self.scratch.slots[group * 2], self.scratch.slots[group * 2 + 1]);
        if start == NONE || end == NONE {
            return None;
        }
        let wanted = &self.text[start..end];
        if !fold {
            return self.text[at..].starts_with(wanted).then(|| at + wanted.len());
        }
        let mut place = at;
        for c in wanted.chars() {
            let found = self.char_at(place)?;
            if found != c && !class::contains(&class::folded(&class::single(c), false), found) {
                return None;
            }
            place += found.len_utf8();
        }
        Some(place)
    }
}

/// The place `characters` before `at`.
fn back(text: &str, at: usize, characters: u32) -> Option<usize> {
    match characters {
        0 => Some(at),
        n => text[..at].char_indices().rev().nth(n as usize - 1).map(|(start, _)| start),
    }
}

fn holds(assertion: Assertion, text: &str, at: usize) -> bool {
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
