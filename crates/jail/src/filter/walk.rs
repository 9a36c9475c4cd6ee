//! The automaton's way over texts: one text, or several at a time.
//!
//! Each step of an automaton needs the answer of the one before, and the processor waits for it. Where there are many texts,
//! four of them go side by side: it costs little more than one.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use regex_automata::Anchored;
use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::util::start;

/// So many texts go side by side.
const LANES: usize = 4;

/// A line without its date: what stood before, and what behind. The automaton adds the line feed.
pub(super) type Text<'t> = [&'t str; 2];

/// Which regexes, by their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    words: Vec<u64>,
    count: usize,
}

impl Marks {
    /// None of so many.
    pub(super) fn new(count: usize) -> Self {
        Marks { words: vec![0; count.div_ceil(64)], count }
    }

    pub(super) fn len_in_words(&self) -> usize {
        self.words.len()
    }

    pub(super) fn words(&mut self) -> &mut [u64] {
        &mut self.words
    }

    pub(super) fn clear(&mut self) {
        self.words.fill(0);
    }

    pub(super) fn fill(&mut self) {
        fill(&mut self.words, self.count);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    pub(super) fn contains(&self, index: usize) -> bool {
        self.words.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// Whether the last one is marked.
    pub(super) fn is_last(&self) -> bool {
        self.count > 0 && self.contains(self.count - 1)
    }

    /// The first one from this on.
    pub(super) fn next(&self, from: usize) -> Option<usize> {
        let mut at = from / 64;
        let mut word = self.words.get(at)? & (u64::MAX << (from % 64));
        while word == 0 {
            at += 1;
            word = *self.words.get(at)?;
        }
        Some(at * 64 + word.trailing_zeros() as usize)
    }
}

/// Marks all of so many.
fn fill(words: &mut [u64], count: usize) {
    for (at, word) in words.iter_mut().enumerate() {
        let here = count.saturating_sub(at * 64).min(64);
        *word = u64::MAX.checked_shr(64 - here as u32).unwrap_or(0);
    }
}

/// Marks of one text, of a page's.
fn of(page: &mut [u64], text: usize, words: usize) -> &mut [u64] {
    &mut page[text * words..(text + 1) * words]
}

/// The automaton with the cache of its states. A copy, as another thread needs it, has all that is in the cache.
#[derive(Clone)]
pub(super) struct Walker {
    dfa: DFA,
    cache: Cache,
    /// Bytes of the cache after the last step by the long way.
    used: usize,
    /// How often it was emptied since. What is known of its states is void then.
    emptied: u64,
    /// The marks of states that match.
    matches: HashMap<LazyStateID, Box<[u64]>, BuildHasherDefault<Mix>>,
    /// Whether a cache holds that many states that one can see by its size that it was emptied.
    side_by_side: bool,
}

/// Mixes the numbers of states, quickly. (Nobody gains by collisions: states are numbered as they are met.)
#[derive(Clone, Debug, Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        // The numbers are multiples of a power of two: the low bits say nothing.
        self.0.rotate_left(26)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0.rotate_left(5) ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// A text on its way.
#[derive(Clone, Copy)]
struct Lane<'t> {
    number: usize,
    text: Text<'t>,
    /// What of the second part is still to be read.
    rest: &'t [u8],
    state: LazyStateID,
}

/// Whether it makes sense to read on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    On,
    Over,
}

/// The automaton gave up.
struct GaveUp;

/// The states whose marks were made last: behind a match the automaton goes in small circles.
#[derive(Default)]
struct Seen {
    states: [Option<LazyStateID>; 4],
    turn: usize,
    emptied: u64,
}

/// The program of an automaton whose states are small beside the cache.
const SMALL: usize = 1 << 16;

impl Walker {
    pub(super) fn new(dfa: DFA) -> Self {
        let cache = dfa.create_cache();
        let side_by_side = dfa.get_nfa().states().len() <= SMALL;
        Walker { dfa, cache, used: 0, emptied: 0, matches: HashMap::default(), side_by_side }
    }

    /// Reads a text that comes in parts, and marks what may match it; `None` when the automaton gave up.
    pub(super) fn walk(&mut self, parts: &[&str], marks: &mut [u64]) -> Option<()> {
        self.through(parts, marks).ok()
    }

    /// Reads texts, each with a line feed behind, and marks what may match them in their parts of `page`. `each` has the
    /// size of a part. A text that is `None` is not read.
    pub(super) fn walk_all<'t>(
        &mut self,
        texts: impl Iterator<Item = Option<Text<'t>>>,
        page: &mut [u64],
        each: &Marks,
    ) {
        let words = each.len_in_words();
        let mut texts = texts.enumerate().filter_map(|(number, text)| Some((number, text?)));
        let mut lanes: Vec<Lane<'t>> = Vec::with_capacity(LANES);
        loop {
            let emptied = self.emptied;
            while self.side_by_side && lanes.len() < LANES {
                let Some((number, text)) = texts.next() else { break };
                match self.enter(number, text, of(page, number, words)) {
                    Ok(lane) => lanes.extend(lane),
                    Err(GaveUp) => fill(of(page, number, words), each.count),
                }
            }
            let full = lanes.len() == LANES;
            if full && self.emptied == emptied {
                self.together(&mut lanes, page, each);
            }
            // Where they stand is void once the cache was emptied; and too few are read one by one.
            if !full || self.emptied != emptied {
                let alone = lanes.drain(..).map(|lane| (lane.number, lane.text));
                let mut rest = alone.collect::<Vec<_>>();
                if !full {
                    rest.extend(&mut texts);
                }
                for (number, [before, after]) in rest {
                    if self.through(&[before, after, "\n"], of(page, number, words)).is_err() {
                        fill(of(page, number, words), each.count);
                    }
                }
                if !full {
                    return;
                }
            }
        }
    }

    fn through(&mut self, parts: &[&str], marks: &mut [u64]) -> Result<(), GaveUp> {
        let mut state = self.start()?;
        let mut seen = Seen::default();
        for part in parts {
            if self.read(&mut state, part.as_bytes(), &mut seen, marks)? == Way::Over {
                return Ok(());
            }
        }
        self.end(state, marks)
    }

    /// A text at its first plain step; `None` when it is through before.
    fn enter<'t>(
        &mut self,
        number: usize,
        text: Text<'t>,
        marks: &mut [u64],
    ) -> Result<Option<Lane<'t>>, GaveUp> {
        let mut state = self.start()?;
        if self.read(&mut state, text[0].as_bytes(), &mut Seen::default(), marks)? == Way::Over {
            return Ok(None);
        }
        self.long_way(Lane { number, text, rest: text[1].as_bytes(), state }, marks)
    }

    /// Goes on up to the next plain step; `None` when it is through before.
    fn long_way<'t>(&mut self, mut lane: Lane<'t>, marks: &mut [u64]) -> Result<Option<Lane<'t>>, GaveUp> {
        let mut seen = Seen::default();
        while let Some((byte, rest)) = lane.rest.split_first() {
            if self.plain(lane.state, *byte).is_some() {
                return Ok(Some(lane));
            }
            lane.rest = rest;
            if self.read(&mut lane.state, &[*byte], &mut seen, marks)? == Way::Over {
                return Ok(None);
            }
        }
        if self.read(&mut lane.state, b"\n", &mut seen, marks)? == Way::On {
            self.end(lane.state, marks)?;
        }
        Ok(None)
    }

    /// Moves four texts on side by side, up to where one of them ends or leaves the plain way; that one is moved on alone, and
    /// taken out when it is through.
    fn together(&mut self, lanes: &mut Vec<Lane<'_>>, page: &mut [u64], each: &Marks) {
        if let Ok(four) = <&mut [Lane<'_>; LANES]>::try_from(lanes.as_mut_slice()) {
            self.plain_steps(four);
        }
        let (words, emptied) = (each.len_in_words(), self.emptied);
        for at in (0..lanes.len()).rev() {
            let lane = lanes[at];
            if lane.rest.first().is_some_and(|byte| self.plain(lane.state, *byte).is_some()) {
                continue;
            }
            let marks = of(page, lane.number, words);
            match self.long_way(lane, marks) {
                Ok(Some(lane)) => lanes[at] = lane,
                Ok(None) => drop(lanes.swap_remove(at)),
                Err(GaveUp) => {
                    fill(marks, each.count);
                    lanes.swap_remove(at);
                }
            }
            if self.emptied != emptied {
                return;
            }
        }
    }

    /// As many steps as all four can do.
    fn plain_steps(&self, lanes: &mut [Lane<'_>; LANES]) {
        let (dfa, cache) = (&self.dfa, &self.cache);
        let common = lanes.iter().map(|lane| lane.rest.len()).min().unwrap_or(0);
        let [a, b, c, d] = lanes.each_ref().map(|lane| &lane.rest[..common]);
        let [mut one, mut two, mut three, mut four] = lanes.each_ref().map(|lane| lane.state);
        let mut steps = 0;
        for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
            let next = [
                dfa.next_state_untagged(cache, one, *a),
                dfa.next_state_untagged(cache, two, *b),
                dfa.next_state_untagged(cache, three, *c),
                dfa.next_state_untagged(cache, four, *d),
            ];
            if next[0].is_tagged() | next[1].is_tagged() | next[2].is_tagged() | next[3].is_tagged() {
                break;
            }
            [one, two, three, four] = next;
            steps += 1;
        }
        for (lane, state) in lanes.iter_mut().zip([one, two, three, four]) {
            (lane.rest, lane.state) = (&lane.rest[steps..], state);
        }
    }

    fn start(&mut self) -> Result<LazyStateID, GaveUp> {
        let config = start::Config::new().anchored(Anchored::Yes);
        self.dfa.start_state(&mut self.cache, &config).map_err(|_| GaveUp)
    }

    /// The next state, if both are plain: nothing to be built, nothing to be marked.
    #[inline]
    fn plain(&self, state: LazyStateID, byte: u8) -> Option<LazyStateID> {
        if state.is_tagged() {
            return None;
        }
        Some(self.dfa.next_state_untagged(&self.cache, state, byte)).filter(|next| !next.is_tagged())
    }

    fn read(
        &mut self,
        state: &mut LazyStateID,
        bytes: &[u8],
        seen: &mut Seen,
        marks: &mut [u64],
    ) -> Result<Way, GaveUp> {
        for byte in bytes {
            let known = (!state.is_tagged())
                .then(|| self.dfa.next_state_untagged(&self.cache, *state, *byte))
                .filter(|next| !next.is_unknown());
            *state = match known {
                Some(next) => next,
                None => self.step(*state, *byte)?,
            };
            // The way of nearly all bytes.
            if !state.is_tagged() {
                continue;
            }
            if state.is_dead() {
                return Ok(Way::Over);
            }
            if state.is_quit() {
                return Err(GaveUp);
            }
            if state.is_match() && seen.is_new(*state, self.emptied) {
                self.mark(*state, marks);
            }
        }
        Ok(Way::On)
    }

    /// A step that may build the next state.
    fn step(&mut self, state: LazyStateID, byte: u8) -> Result<LazyStateID, GaveUp> {
        let next = self.dfa.next_state(&mut self.cache, state, byte).map_err(|_| GaveUp)?;
        self.look_at_cache();
        Ok(next)
    }

    /// Behind the last byte.
    fn end(&mut self, state: LazyStateID, marks: &mut [u64]) -> Result<(), GaveUp> {
        let state = self.dfa.next_eoi_state(&mut self.cache, state).map_err(|_| GaveUp)?;
        self.look_at_cache();
        if state.is_match() {
            self.mark(state, marks);
        }
        Ok(())
    }

    /// A cache only grows, until it is emptied.
    fn look_at_cache(&mut self) {
        let used = self.cache.memory_usage();
        if used < self.used {
            self.emptied += 1;
            self.matches.clear();
        }
        self.used = used;
    }

    fn mark(&mut self, state: LazyStateID, marks: &mut [u64]) {
        let (dfa, cache) = (&self.dfa, &self.cache);
        let known = self.matches.entry(state).or_insert_with(|| {
            let mut known = vec![0; marks.len()];
            for index in 0..dfa.match_len(cache, state) {
                let regex = dfa.match_pattern(cache, state, index).as_usize();
                known[regex / 64] |= 1 << (regex % 64);
            }
            known.into()
        });
        marks.iter_mut().zip(&**known).for_each(|(mark, known)| *mark |= known);
    }
}

impl Seen {
    fn is_new(&mut self, state: LazyStateID, emptied: u64) -> bool {
        if self.emptied != emptied {
            *self = Seen { emptied, ..Seen::default() };
        }
        if self.states.contains(&Some(state)) {
            return false;
        }
        self.states[self.turn] = Some(state);
        self.turn = (self.turn + 1) % self.states.len();
        true
    }
}
