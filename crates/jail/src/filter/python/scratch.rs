//! What a search of the backtracking engine writes: where groups matched, what is still to be tried, what failed before.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use regex_automata::util::primitives::NonMaxUsize;

use super::program::MOST_REFERENCED;
use crate::filter::mix::Mix;

/// No place. Texts are shorter, see [`super::backtrack::search`].
pub(super) const NONE: u32 = u32::MAX;

/// What to do when the present try has failed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Job {
    Try {
        step: u32,
        at: u32,
    },
    /// The span of this step that reaches from `low` to `at` may end earlier.
    Shorten {
        step: u32,
        low: u32,
        at: u32,
    },
    /// The lazy one that reaches to `at` may end later.
    Lengthen {
        step: u32,
        at: u32,
    },
    Slot {
        slot: u32,
        was: u32,
    },
    Register {
        register: u32,
        was: u32,
    },
}

/// Memory that outlives a search.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    pub(super) jobs: Vec<Job>,
    pub(super) slots: Vec<u32>,
    pub(super) registers: Vec<u32>,
    pub(super) memory: Vec<u64>,
    pub(super) trail: Vec<usize>,
    pub(super) foreign: Vec<Option<NonMaxUsize>>,
    /// The memory of patterns with back-references, and the trail through it.
    pub(super) states: HashSet<State, BuildHasherDefault<Mix>>,
    pub(super) state_trail: Vec<State>,
}

/// A choice, where it is made, and where the groups of back-references matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) choice: u32,
    pub(super) at: u32,
    pub(super) spans: [(u32, u32); MOST_REFERENCED],
}

/// How many states are remembered in one search, and how many places for them are kept for the next one.
pub(super) const MOST_STATES: usize = 1 << 18;
pub(super) const KEPT_STATES: usize = 1 << 12;

impl Scratch {
    /// The span of a group in the last match; 0 is the whole.
    pub(crate) fn span(&self, group: usize) -> Option<(usize, usize)> {
        match (self.slots.get(group * 2), self.slots.get(group * 2 + 1)) {
            (Some(&start), Some(&end)) if start != NONE && end != NONE => {
                Some((start as usize, end as usize))
            }
            _ => None,
        }
    }

    /// Has another engine fill so many slots, and takes them over.
    pub(super) fn filled(
        &mut self,
        slots: usize,
        fill: impl FnOnce(&mut [Option<NonMaxUsize>]) -> bool,
    ) -> bool {
        self.foreign.clear();
        self.foreign.resize(slots, None);
        let found = fill(&mut self.foreign);
        self.slots.clear();
        self.slots.extend(self.foreign.iter().map(|slot| slot.map_or(NONE, |slot| slot.get() as u32)));
        found
    }
}
