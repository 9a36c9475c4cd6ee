//! The states of a lazy automaton as rows of one table, so that a step is two look-ups.
//!
//! The automaton builds a state when it is first met, and its row is copied into the table entry by entry, as they are
//! asked for. When the automaton empties its cache, the table is emptied too: what was known of states is void then.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use regex_automata::Anchored;
use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::util::start;

use super::mix::Mix;

/// Where a step leads: the place of a row, or that with flags, or something else to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry(u32);

impl Entry {
    /// Anything but a row that matches nothing.
    const SPECIAL: u32 = 1 << 31;
    const MATCH: u32 = 1 << 30;
    const PLACE: u32 = Entry::MATCH - 1;

    /// Nobody has asked yet.
    const UNKNOWN: Entry = Entry(Entry::SPECIAL);
    /// Nothing can match any more.
    pub(super) const DEAD: Entry = Entry(Entry::SPECIAL | 1);
    /// The automaton gave up.
    pub(super) const GIVEN_UP: Entry = Entry(Entry::SPECIAL | 2);

    /// Whether there is nothing to do but to go on.
    #[inline]
    pub(super) fn is_plain(self) -> bool {
        self.0 & Entry::SPECIAL == 0
    }

    /// Whether that is so of all of them.
    #[inline]
    pub(super) fn are_plain(all: [Entry; 4]) -> bool {
        (all[0].0 | all[1].0 | all[2].0 | all[3].0) & Entry::SPECIAL == 0
    }

    #[inline]
    pub(super) fn is_match(self) -> bool {
        self.0 & (Entry::SPECIAL | Entry::MATCH) == Entry::SPECIAL | Entry::MATCH
    }

    /// Without the flags of a match, which has been seen to.
    #[inline]
    pub(super) fn seen_to(self) -> Entry {
        if self.is_match() { Entry(self.0 & Entry::PLACE) } else { self }
    }

    #[inline]
    fn place(self) -> usize {
        (self.0 & Entry::PLACE) as usize
    }
}

/// A byte of a text, or its end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Input {
    Byte(u8),
    End,
}

/// An automaton, its cache, and the table. A copy, as another thread needs it, has all that is known.
#[derive(Clone)]
pub(super) struct Table {
    dfa: DFA,
    cache: Cache,
    /// The column of each byte.
    columns: Box<[u8; 256]>,
    /// How many columns a row has: one for each class of bytes, one for the end of a text, and one with the row's number.
    width: usize,
    entries: Vec<Entry>,
    /// Of each row, the automaton's state.
    states: Vec<LazyStateID>,
    rows: HashMap<LazyStateID, Entry, BuildHasherDefault<Mix>>,
    /// Of each row, in so many words, what matches there.
    matches: Vec<u64>,
    words: usize,
    start: Option<Entry>,
}

impl Table {
    /// A table of `dfa`, whose marks take so many words.
    pub(super) fn new(dfa: DFA, words: usize) -> Self {
        let cache = dfa.create_cache();
        let classes = dfa.byte_classes();
        let mut columns = Box::new([0; 256]);
        for (byte, column) in (0..=u8::MAX).zip(columns.iter_mut()) {
            *column = classes.get(byte);
        }
        Table {
            width: classes.alphabet_len() + 1,
            columns,
            dfa,
            cache,
            entries: Vec::new(),
            states: Vec::new(),
            rows: HashMap::default(),
            matches: Vec::new(),
            words,
            start: None,
        }
    }

    /// How often it was emptied: then no entry from before is worth anything.
    pub(super) fn emptied(&self) -> usize {
        self.cache.clear_count()
    }

    /// Where a text begins.
    pub(super) fn start(&mut self) -> Entry {
        if let Some(start) = self.start {
            return start;
        }
        let emptied = self.emptied();
        let config = start::Config::new().anchored(Anchored::Yes);
        let state = self.dfa.start_state(&mut self.cache, &config);
        let start = self.take(state.ok(), emptied);
        self.start = Some(start);
        start
    }

    /// Steps from a row that is plain, as far as that is known. `None` only where there is no such row.
    #[inline]
    pub(super) fn step(&self, from: Entry, byte: u8) -> Option<Entry> {
        let column = usize::from(self.columns[usize::from(byte)]);
        self.entries.get(from.0 as usize + column).copied()
    }

    /// The entry that [`Table::step`] found, or the one that it will find from now on.
    pub(super) fn known(&mut self, from: Entry, input: Input, found: Entry) -> Entry {
        if found == Entry::UNKNOWN { self.build(from, input) } else { found }
    }

    /// The step behind the last byte.
    pub(super) fn end(&mut self, from: Entry) -> Entry {
        let found = self.entries.get(from.place() + self.width - 2).copied().unwrap_or(Entry::GIVEN_UP);
        self.known(from, Input::End, found)
    }

    #[cold]
    fn build(&mut self, from: Entry, input: Input) -> Entry {
        let Some(state) = self.states.get(self.number(from)).copied() else { return Entry::GIVEN_UP };
        let emptied = self.emptied();
        let (next, column) = match input {
            Input::Byte(byte) => {
                let column = self.columns[usize::from(byte)].into();
                (self.dfa.next_state(&mut self.cache, state, byte), column)
            }
            Input::End => (self.dfa.next_eoi_state(&mut self.cache, state), self.width - 2),
        };
        let entry = self.take(next.ok(), emptied);
        if self.emptied() == emptied
            && let Some(place) = self.entries.get_mut(from.place() + column)
        {
            *place = entry;
        }
        entry
    }

    /// The entry that leads to a state. `emptied`: how often the cache had been emptied before that was asked for.
    fn take(&mut self, state: Option<LazyStateID>, emptied: usize) -> Entry {
        if self.emptied() != emptied {
            self.entries.clear();
            self.states.clear();
            self.rows.clear();
            self.matches.clear();
            self.start = None;
        }
        match state {
            Some(state) if state.is_dead() => Entry::DEAD,
            Some(state) if !state.is_quit() && !state.is_unknown() => self.row(state),
            _ => Entry::GIVEN_UP,
        }
    }

    fn row(&mut self, state: LazyStateID) -> Entry {
        if let Some(known) = self.rows.get(&state) {
            return *known;
        }
        let place = self.entries.len();
        if place + self.width > Entry::PLACE as usize {
            // Never: the cache is far smaller.
            return Entry::GIVEN_UP;
        }
        let flags = if state.is_match() { Entry::SPECIAL | Entry::MATCH } else { 0 };
        let entry = Entry(place as u32 | flags);
        self.entries.resize(place + self.width - 1, Entry::UNKNOWN);
        self.entries.push(Entry(self.states.len() as u32));
        self.states.push(state);
        let marks = self.matches.len();
        self.matches.resize(marks + self.words, 0);
        if state.is_match() {
            for index in 0..self.dfa.match_len(&self.cache, state) {
                let regex = self.dfa.match_pattern(&self.cache, state, index).as_usize();
                if let Some(word) = self.matches.get_mut(marks + regex / 64) {
                    *word |= 1 << (regex % 64);
                }
            }
        }
        self.rows.insert(state, entry);
        entry
    }

    #[inline]
    fn number(&self, entry: Entry) -> usize {
        self.entries.get(entry.place() + self.width - 1).map_or(usize::MAX, |number| number.0 as usize)
    }

    /// Marks what matches where an entry leads to.
    #[inline]
    pub(super) fn mark(&self, entry: Entry, marks: &mut [u64]) {
        let from = self.number(entry).saturating_mul(self.words);
        let known = self.matches.get(from..).unwrap_or_default();
        marks.iter_mut().zip(known).for_each(|(mark, known)| *mark |= known);
    }
}
