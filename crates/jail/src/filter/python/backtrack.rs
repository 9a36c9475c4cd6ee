//! The exact engine: backtracking in Python's order, with a memory.
//!
//! What a choice leads to depends only on where it stands in pattern and text (and on a few bits for conditionals and
//! loops), so a choice that failed once is never tried again: time is linear in the text, with look-around too. With
//! back-references it depends on where their groups matched as well: there may be many such states, so that these, and
//! everything else, are held by a limit on the steps. The stack is a vector whose length that limit bounds; recursion is
//! as deep as look-arounds nest in the pattern, which the parser bounds.
//!
//! Of the ways of a choice only those are taken that the next byte allows ([`super::peek`]), so that on most lines there
//! is nothing to remember: the first try goes without the memory, for as many steps as a text of its length may need.

use super::class;
use super::place::{back, holds};
use super::program::{Depends, MOST_REFERENCED, Program, Step};
use super::scratch::{Job, KEPT_STATES, MOST_STATES, NONE, Scratch, State};

/// The step limit was reached: neither match nor miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooHard;

/// Memory kept between searches is cut back to this many words.
const KEPT_WORDS: usize = 1 << 16;
/// The memory of one search is at most this many words (64 MiB); beyond, the search goes without.
const MOST_WORDS: usize = 1 << 23;

/// A first try without the memory may take so many steps, and so many more for each byte.
const QUICK: u64 = 512;
const QUICK_PER_BYTE: u64 = 8;

/// Searches `text` without the memory, for as many steps as most texts need; the spans of the groups are then the scratch's.
///
/// # Errors
/// When that is not enough, for this pattern or this text.
pub(super) fn search_hastily(program: &Program, scratch: &mut Scratch, text: &str) -> Result<bool, TooHard> {
    if text.len() >= NONE as usize || program.memory.is_none() {
        return Err(TooHard);
    }
    search_with::<false>(program, scratch, text, QUICK + QUICK_PER_BYTE * text.len() as u64)
}

/// The same with the memory.
///
/// # Errors
/// When the search takes more than `limit` steps, or the text is longer than 4 GiB.
pub(super) fn search(
    program: &Program,
    scratch: &mut Scratch,
    text: &str,
    limit: u64,
) -> Result<bool, TooHard> {
    if text.len() >= NONE as usize {
        return Err(TooHard);
    }
    search_with::<true>(program, scratch, text, limit)
}

fn search_with<const REMEMBER: bool>(
    program: &Program,
    scratch: &mut Scratch,
    text: &str,
    limit: u64,
) -> Result<bool, TooHard> {
    scratch.jobs.clear();
    scratch.trail.clear();
    scratch.slots.clear();
    scratch.slots.resize((program.groups + 1) * 2, NONE);
    scratch.registers.clear();
    scratch.registers.resize(program.registers, NONE);
    let (mut choices, mut remember) = (0, false);
    if REMEMBER {
        let variants = program.memory.as_ref().map_or(0, |depends| 1usize << depends.len());
        // Choices of patterns with back-references are remembered as states.
        let by_place = program.referenced.is_empty();
        choices = if by_place { program.memos * variants * (text.len() + 1) } else { 0 };
        let bits = choices + program.tables * 2 * (text.len() + 1);
        let words = bits / 64 + 1;
        remember = words <= MOST_WORDS;
        scratch.states.clear();
        scratch.states.shrink_to(KEPT_STATES);
        scratch.state_trail.clear();
        if remember {
            scratch.memory.clear();
            scratch.memory.shrink_to(KEPT_WORDS.max(words));
            scratch.memory.resize(words, 0);
        }
    }
    let depends = program.memory.as_deref().filter(|_| remember);
    let mut run =
        Run::<REMEMBER> { program, text, scratch, left: limit, choices, remember, depends, nested: 0 };
    let mut start = 0;
    loop {
        // The first spans of a try leave no way back.
        run.scratch.slots.fill(NONE);
        if let Some(first) = program.first.as_ref().filter(|_| !program.anchored) {
            match text[start..].char_indices().find(|(_, c)| first.contains(*c)) {
                Some((skipped, _)) => start += skipped,
                None => return Ok(false),
            }
        }
        if let Some(end) = run.run(0, start)? {
            let slots = &mut run.scratch.slots;
            slots[0] = start as u32;
            slots[1] = end as u32;
            return Ok(true);
        }
        if program.anchored {
            return Ok(false);
        }
        match text[start..].chars().next() {
            Some(c) => start += c.len_utf8(),
            None => return Ok(false),
        }
    }
}

/// One search, with the memory or without.
pub(super) struct Run<'a, const REMEMBER: bool> {
    pub(super) program: &'a Program,
    pub(super) text: &'a str,
    pub(super) scratch: &'a mut Scratch,
    pub(super) left: u64,
    /// Where in the memory the tables of look-arounds begin.
    choices: usize,
    remember: bool,
    /// What the memory depends on, when there is one.
    depends: Option<&'a [Depends]>,
    nested: u32,
}

impl<const REMEMBER: bool> Run<'_, REMEMBER> {
    /// Runs from a step until `Match`; the place where it ended.
    fn run(&mut self, step: usize, at: usize) -> Result<Option<usize>, TooHard> {
        let base = self.scratch.jobs.len();
        if let Some(end) = self.attempt(step, at)? {
            self.keep_restores(base);
            return Ok(Some(end));
        }
        while self.scratch.jobs.len() > base {
            match self.scratch.jobs.pop() {
                Some(Job::Try { step, at }) => {
                    if let Some(end) = self.attempt(step as usize, at as usize)? {
                        self.keep_restores(base);
                        return Ok(Some(end));
                    }
                }
                Some(Job::Shorten { step, low, at }) => {
                    let (step, low) = (step as usize, low as usize);
                    let earlier = (at as usize).checked_sub(1);
                    let Some(at) = earlier.and_then(|at| self.shortened(step, low, at)) else { continue };
                    if let Some(end) = self.attempt(step + 1, at)? {
                        self.keep_restores(base);
                        return Ok(Some(end));
                    }
                }
                Some(Job::Lengthen { step, at }) => {
                    let (step, at) = (step as usize, at as usize);
                    let later = self.one_more(step, at);
                    let Some(at) = later.and_then(|at| self.lengthened(step, at)) else { continue };
                    if let Some(end) = self.attempt(step + 1, at)? {
                        self.keep_restores(base);
                        return Ok(Some(end));
                    }
                }
                Some(Job::Slot { slot, was }) => self.scratch.slots[slot as usize] = was,
                Some(Job::Register { register, was }) => self.scratch.registers[register as usize] = was,
                None => break,
            }
        }
        Ok(None)
    }

    /// After a success only the way back for groups stays; other tries are given up.
    fn keep_restores(&mut self, base: usize) {
        // Nobody goes back behind the whole match.
        if self.nested == 0 {
            return;
        }
        let mut kept = base;
        for i in base..self.scratch.jobs.len() {
            if matches!(self.scratch.jobs[i], Job::Slot { .. } | Job::Register { .. }) {
                self.scratch.jobs[kept] = self.scratch.jobs[i];
                kept += 1;
            }
        }
        self.scratch.jobs.truncate(kept);
    }

    /// Follows one way until it fails or matches.
    fn attempt(&mut self, mut step: usize, mut at: usize) -> Result<Option<usize>, TooHard> {
        let program = self.program;
        let Program { steps, sets, peeks, follows, .. } = program;
        let (steps, sets, peeks, follows) = (&steps[..], &sets[..], &peeks[..], &follows[..]);
        let bytes = self.text.as_bytes();
        loop {
            match &steps[step] {
                Step::Byte(wanted) => {
                    if bytes.get(at) != Some(wanted) {
                        return Ok(None);
                    }
                    at += 1;
                }
                Step::Text(wanted) => {
                    if !bytes[at..].starts_with(wanted.as_bytes()) {
                        return Ok(None);
                    }
                    at += wanted.len();
                }
                Step::Set(set) => match self.one_of(&sets[*set], at) {
                    Some(next) => at = next,
                    None => return Ok(None),
                },
                Step::Assert(assertion) => {
                    if !holds(*assertion, self.text, at) {
                        return Ok(None);
                    }
                }
                Step::Split { first, second, memo } => {
                    self.step()?;
                    if self.failed_before(*memo, at) {
                        return Ok(None);
                    }
                    let [one, other] = &peeks[*memo];
                    let may = match bytes.get(at) {
                        Some(next) => (one.has(*next), other.has(*next)),
                        None => (one.allows(None), other.allows(None)),
                    };
                    step = match may {
                        (true, true) => {
                            self.scratch.jobs.push(Job::Try { step: *second as u32, at: at as u32 });
                            *first
                        }
                        (true, false) => *first,
                        (false, true) => *second,
                        (false, false) => return Ok(None),
                    };
                    continue;
                }
                Step::Span { set, memo, most, one } => {
                    if *one {
                        match self.one_of(&sets[*set], at) {
                            Some(next) => at = next,
                            None => return Ok(None),
                        }
                    }
                    self.step()?;
                    if self.failed_before(*memo, at) {
                        return Ok(None);
                    }
                    let end = self.span(&sets[*set], *memo, at, *most);
                    self.left = self.left.saturating_sub((end - at) as u64);
                    let follow = &follows[*memo];
                    if follow.firm && !(REMEMBER && self.depends.is_some()) {
                        // It ends where its set does, or nowhere.
                        if !peeks[*memo][0].allows(bytes.get(end)) {
                            return Ok(None);
                        }
                        (at, step) = (end, step + 1);
                        continue;
                    }
                    // Mostly it is as long as it can be.
                    if peeks[*memo][0].allows(bytes.get(end)) && follow.is_at(bytes, end) {
                        if end > at {
                            let (step, low, at) = (step as u32, at as u32, end as u32);
                            self.scratch.jobs.push(Job::Shorten { step, low, at });
                        }
                        (at, step) = (end, step + 1);
                        continue;
                    }
                    match self.shortened(step, at, end) {
                        Some(end) => at = end,
                        None => return Ok(None),
                    }
                }
                Step::Lazy { .. } => {
                    self.step()?;
                    match self.lengthened(step, at) {
                        Some(end) => at = end,
                        None => return Ok(None),
                    }
                }
                Step::Jump(to) => {
                    step = *to;
                    continue;
                }
                Step::Save(slot) => {
                    let was = std::mem::replace(&mut self.scratch.slots[*slot], at as u32);
                    // Before the first choice there is nothing to go back to.
                    if !self.scratch.jobs.is_empty() || self.nested > 0 {
                        self.scratch.jobs.push(Job::Slot { slot: *slot as u32, was });
                    }
                }
                Step::Enter { register } => self.set_register(*register, NONE),
                Step::Head { register, body, exit, lazy, memo } => {
                    self.step()?;
                    let (register, memo) = (*register as usize, *memo as usize);
                    let still = self.scratch.registers[register] == at as u32;
                    if self.failed_before(memo, at) {
                        return Ok(None);
                    }
                    step = match (still, lazy) {
                        (true, _) => *exit as usize,
                        (false, false) => {
                            self.scratch.jobs.push(Job::Try { step: *exit, at: at as u32 });
                            self.set_register(register, at as u32);
                            *body as usize
                        }
                        (false, true) => {
                            // The body is tried when the rest has failed: the register is set then, and reset after.
                            let (was, here) = (self.scratch.registers[register], at as u32);
                            let register = register as u32;
                            self.scratch.jobs.push(Job::Register { register, was });
                            self.scratch.jobs.push(Job::Try { step: *body, at: here });
                            self.scratch.jobs.push(Job::Register { register, was: here });
                            *exit as usize
                        }
                    };
                    continue;
                }
                Step::Look { negated, behind, next, table, peek } => {
                    if !peeks[*peek as usize][0].allows(bytes.get(at)) {
                        // What is looked for cannot begin here.
                        if !*negated {
                            return Ok(None);
                        }
                    } else if self.look(step + 1, at, *behind, *negated, table.map(|table| table as usize))?
                        == *negated
                    {
                        return Ok(None);
                    }
                    step = *next as usize;
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

    /// One choice more; everything else is as long as the pattern at most.
    #[inline]
    fn step(&mut self) -> Result<(), TooHard> {
        self.left = self.left.checked_sub(1).ok_or(TooHard)?;
        Ok(())
    }

    #[inline]
    pub(super) fn char_at(&self, at: usize) -> Option<char> {
        match self.text.as_bytes().get(at) {
            Some(byte) if byte.is_ascii() => Some(char::from(*byte)),
            Some(_) => self.text[at..].chars().next(),
            None => None,
        }
    }

    fn set_register(&mut self, register: usize, value: u32) {
        let was = std::mem::replace(&mut self.scratch.registers[register], value);
        self.scratch.jobs.push(Job::Register { register: register as u32, was });
    }

    /// Whether this choice was made before from the same state; remembers that it is made now.
    #[inline]
    pub(super) fn failed_before(&mut self, memo: usize, at: usize) -> bool {
        if !REMEMBER {
            return false;
        }
        let Some(depends) = self.depends else { return false };
        let mut variant = 0;
        for (bit, depends) in depends.iter().enumerate() {
            let set = match depends {
                Depends::Group(group) => self.scratch.slots[group * 2 + 1] != NONE,
                Depends::Register(register) => self.scratch.registers[*register] == at as u32,
            };
            variant |= usize::from(set) << bit;
        }
        if !self.program.referenced.is_empty() {
            return self.was_here((memo << depends.len()) + variant, at);
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

    /// The same with back-references.
    fn was_here(&mut self, choice: usize, at: usize) -> bool {
        let mut spans = [(0, 0); MOST_REFERENCED];
        for (span, group) in spans.iter_mut().zip(&self.program.referenced) {
            *span = (self.scratch.slots[group * 2], self.scratch.slots[group * 2 + 1]);
        }
        let state = State { choice: choice as u32, at: at as u32, spans };
        let scratch = &mut *self.scratch;
        if scratch.states.len() >= MOST_STATES {
            return scratch.states.contains(&state);
        }
        let new = scratch.states.insert(state);
        if new && self.nested > 0 {
            scratch.state_trail.push(state);
        }
        !new
    }

    fn remember_bit(&mut self, bit: usize) {
        self.scratch.memory[bit / 64] |= 1 << (bit % 64);
    }

    /// A match on its own. Choices that it remembered as failed are forgotten when it succeeded: one of them did not fail.
    fn nested(&mut self, step: usize, at: usize) -> Result<Option<usize>, TooHard> {
        let (trail, states) = (self.scratch.trail.len(), self.scratch.state_trail.len());
        self.nested += 1;
        let end = self.run(step, at)?;
        self.nested -= 1;
        if end.is_some() {
            for i in trail..self.scratch.trail.len() {
                let bit = self.scratch.trail[i];
                self.scratch.memory[bit / 64] &= !(1 << (bit % 64));
            }
            self.scratch.trail.truncate(trail);
            for state in self.scratch.state_trail.drain(states..) {
                self.scratch.states.remove(&state);
            }
        } else if self.nested == 0 {
            self.scratch.trail.clear();
            self.scratch.state_trail.clear();
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
                    Job::Slot { slot, was } => self.scratch.slots[slot as usize] = was,
                    Job::Register { register, was } => self.scratch.registers[register as usize] = was,
                    Job::Try { .. } | Job::Shorten { .. } | Job::Lengthen { .. } => {}
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
        let wanted = &self.text[start as usize..end as usize];
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
