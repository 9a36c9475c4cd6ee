//! Whether a line can match at all, and which regexes: one automaton over all of them.
//!
//! Each failregex, with the prefregex before it, takes part as a superset of itself that is regular: look-arounds become
//! empty, back-references any text, sets of other than ASCII characters all of those, high counts endless. What the
//! automaton refuses no regex can match; what it lets through is matched exactly. It reads each byte once, whatever an
//! attacker writes, and its cache is bounded: when full it is emptied.

use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, Config, DFA};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind, PatternID, PatternSet};
use regex_syntax::hir::Hir;

use super::python::{Assertion, Node, Regex, Scene, anything, is_own_superset, superset};

/// Bytes for the states of the automaton.
const CACHE: usize = 4 << 20;
/// Bytes for the program it is made of.
const PROGRAM: usize = 32 << 20;

/// The combined automaton. Built when the first line comes.
pub(super) struct Gate {
    /// `None`: the regexes are too large for one automaton, so that each must be tried by itself.
    automaton: Option<(DFA, Cache)>,
    /// The failregexes, behind them the ignoreregexes, and the prefregex.
    candidates: PatternSet,
    failregexes: usize,
    ignoreregexes: usize,
    /// Whether what the automaton says of the prefregex is the last word, on a line in ASCII.
    knows_prefix: bool,
}

impl Clone for Gate {
    /// The same automaton with a cache of its own, as another thread needs it.
    fn clone(&self) -> Self {
        let automaton = self.automaton.as_ref().map(|(dfa, _)| (dfa.clone(), dfa.create_cache()));
        Gate { automaton, candidates: self.candidates.clone(), ..*self }
    }
}

impl Gate {
    /// Builds the automaton.
    pub(super) fn new<'r>(
        prefregex: Option<&Regex>,
        failregex: impl ExactSizeIterator<Item = &'r Regex>,
        ignoreregex: impl ExactSizeIterator<Item = &'r Regex>,
    ) -> Self {
        let (failregexes, ignoreregexes) = (failregex.len(), ignoreregex.len());
        let trees: Vec<Hir> = failregex
            .map(|regex| combined(prefregex, regex))
            .chain(ignoreregex.map(alone))
            .chain(prefregex.map(alone))
            .collect();
        let automaton = automaton(&trees).map(|dfa| {
            let cache = dfa.create_cache();
            (dfa, cache)
        });
        let knows_prefix =
            automaton.is_some() && prefregex.is_some_and(|regex| is_own_superset(regex.node()));
        let candidates = PatternSet::new(trees.len());
        Gate { automaton, candidates, failregexes, ignoreregexes, knows_prefix }
    }

    /// Reads a text that comes in parts. Answers whether any regex may match it.
    pub(super) fn read(&mut self, parts: &[&str]) -> bool {
        self.candidates.clear();
        let candidates = &mut self.candidates;
        let read =
            self.automaton.as_mut().is_some_and(|(dfa, cache)| walk(dfa, cache, parts, candidates).is_some());
        if !read {
            // An automaton that gave up has refused nothing.
            for pattern in (0..self.candidates.capacity()).filter_map(|index| PatternID::new(index).ok()) {
                self.candidates.insert(pattern);
            }
        }
        !self.candidates.is_empty()
    }

    /// Whether any failregex may match the text read last.
    pub(super) fn may_fail(&self) -> bool {
        (0..self.failregexes).any(|index| self.may_match(index))
    }

    /// Whether a failregex may match the text read last, with its prefregex.
    pub(super) fn may_match(&self, index: usize) -> bool {
        PatternID::new(index).is_ok_and(|pattern| self.candidates.contains(pattern))
    }

    /// Whether the prefregex matches the text read last, a single line; `None` when it must be searched.
    pub(super) fn prefix_matches(&self, text: &str) -> Option<bool> {
        let index = self.failregexes + self.ignoreregexes;
        (self.knows_prefix && text.is_ascii()).then(|| self.may_match(index))
    }

    /// Whether an ignoreregex may match the text read last.
    pub(super) fn may_ignore(&self, index: usize) -> bool {
        index < self.ignoreregexes && self.may_match(self.failregexes + index)
    }
}

/// Runs the automaton; `None` when it gave up.
fn walk(dfa: &DFA, cache: &mut Cache, parts: &[&str], candidates: &mut PatternSet) -> Option<()> {
    let mut state = dfa.start_state(cache, &start::Config::new().anchored(Anchored::Yes)).ok()?;
    // Behind a match the automaton goes in small circles.
    let mut counted = [None; 4];
    let mut turn = 0;
    for part in parts {
        for byte in part.as_bytes() {
            // The way of nearly all bytes: from a plain state to one that is known and plain.
            if !state.is_tagged() {
                let next = dfa.next_state_untagged(cache, state, *byte);
                if !next.is_tagged() {
                    state = next;
                    continue;
                }
            }
            state = dfa.next_state(cache, state, *byte).ok()?;
            if !state.is_tagged() {
                continue;
            }
            if state.is_dead() {
                return Some(());
            }
            if state.is_quit() {
                return None;
            }
            if state.is_match() && !counted.contains(&Some(state)) {
                count(dfa, cache, state, candidates);
                counted[turn % counted.len()] = Some(state);
                turn += 1;
            }
        }
    }
    state = dfa.next_eoi_state(cache, state).ok()?;
    if state.is_match() {
        count(dfa, cache, state, candidates);
    }
    Some(())
}

fn count(dfa: &DFA, cache: &Cache, state: LazyStateID, candidates: &mut PatternSet) {
    for index in 0..dfa.match_len(cache, state) {
        candidates.insert(dfa.match_pattern(cache, state, index));
    }
}

fn automaton(trees: &[Hir]) -> Option<DFA> {
    let config =
        thompson::Config::new().utf8(false).which_captures(WhichCaptures::None).nfa_size_limit(Some(PROGRAM));
    let nfa = thompson::Compiler::new().configure(config).build_many_from_hir(trees).ok()?;
    let config =
        Config::new().match_kind(MatchKind::All).cache_capacity(CACHE).skip_cache_capacity_check(true);
    DFA::builder().configure(config).build_from_nfa(nfa).ok()
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

/// The text that a failregex with its prefregex needs, at least.
fn combined(prefregex: Option<&Regex>, failregex: &Regex) -> Hir {
    let Some(prefregex) = prefregex else { return alone(failregex) };
    let Some(content) = prefregex.group("content") else {
        // Without content both are searched in the whole text, each for itself.
        return alone(failregex);
    };
    if !always_cut(prefregex.node(), content) {
        return Hir::alternation(vec![
            alone(failregex),
            Hir::concat(vec![anything(), superset(failregex.node(), Scene::Piece, None)]),
        ]);
    }
    let piece = unanchored(failregex.node(), superset(failregex.node(), Scene::Piece, None));
    unanchored(prefregex.node(), superset(prefregex.node(), Scene::Whole, Some((content, &piece))))
}

/// The text that a regex needs, at least.
fn alone(regex: &Regex) -> Hir {
    unanchored(regex.node(), superset(regex.node(), Scene::Whole, None))
}

/// A search: unless the pattern begins at the start of the text, anything may stand before.
fn unanchored(node: &Node, hir: Hir) -> Hir {
    if begins_at_start(node) { hir } else { Hir::concat(vec![anything(), hir]) }
}

fn begins_at_start(node: &Node) -> bool {
    match node {
        Node::Assert(Assertion::Start) => true,
        Node::Concat(nodes) => nodes.first().is_some_and(begins_at_start),
        Node::Group(_, node) => begins_at_start(node),
        Node::Alternate(nodes) => nodes.iter().all(begins_at_start),
        _ => false,
    }
}

/// Whether each match of the pattern has this group, and not empty: only then nothing but the group's text is searched.
fn always_cut(node: &Node, group: usize) -> bool {
    match node {
        Node::Group(number, node) if *number == group => !node.nullable(),
        Node::Group(_, node) => always_cut(node, group),
        Node::Concat(nodes) => nodes.iter().any(|node| always_cut(node, group)),
        _ => false,
    }
}
