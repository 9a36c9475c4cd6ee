//! Whether a line can match at all, and which regexes: one automaton over all of them.
//!
//! Each failregex, with the prefregex before it, takes part as a superset of itself that is regular: look-arounds become
//! empty, back-references any text, sets of other than ASCII characters all of those, high counts endless. What the
//! automaton refuses no regex can match; what it lets through is matched exactly. It reads each byte once, whatever an
//! attacker writes, and its cache is bounded: when full it is emptied.

use regex_automata::hybrid::dfa::{Cache, Config, DFA};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::{Anchored, Input, MatchKind, PatternID, PatternSet};
use regex_syntax::hir::Hir;

use super::python::{Assertion, Node, Regex, Scene, anything, superset};

/// Bytes for the states of the automaton.
const CACHE: usize = 4 << 20;
/// Bytes for the program it is made of.
const PROGRAM: usize = 32 << 20;

/// The combined automaton. Built when the first line comes.
pub(super) struct Gate {
    /// `None`: the regexes are too large for one automaton, so that each must be tried by itself.
    automaton: Option<(DFA, Cache)>,
    candidates: PatternSet,
}

impl Gate {
    /// Builds the automaton.
    pub(super) fn new(prefregex: Option<&Regex>, failregex: &[Regex]) -> Self {
        let trees: Vec<Hir> = failregex.iter().map(|regex| combined(prefregex, regex)).collect();
        let automaton = automaton(&trees).map(|dfa| {
            let cache = dfa.create_cache();
            (dfa, cache)
        });
        Gate { automaton, candidates: PatternSet::new(failregex.len()) }
    }

    /// Reads a text. Answers whether any regex may match it.
    pub(super) fn read(&mut self, text: &str) -> bool {
        self.candidates.clear();
        let input = Input::new(text).anchored(Anchored::Yes);
        let read = self.automaton.as_mut().is_some_and(|(dfa, cache)| {
            dfa.try_which_overlapping_matches(cache, &input, &mut self.candidates).is_ok()
        });
        if !read {
            // An automaton that gave up has refused nothing.
            for pattern in (0..self.candidates.capacity()).filter_map(|index| PatternID::new(index).ok()) {
                self.candidates.insert(pattern);
            }
        }
        !self.candidates.is_empty()
    }

    /// The regexes that may match the text read last.
    pub(super) fn may_match(&self, index: usize) -> bool {
        PatternID::new(index).is_ok_and(|pattern| self.candidates.contains(pattern))
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
    let alone = |regex: &Regex| unanchored(regex.node(), superset(regex.node(), Scene::Whole, None));
    let Some(prefregex) = prefregex else { return alone(failregex) };
    let Some(content) = prefregex.names().get("content").copied() else {
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
