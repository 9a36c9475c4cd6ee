//! Whether a line can match at all, and which regexes: one automaton over all of them.
//!
//! Each failregex, with the prefregex before it, takes part as a superset of itself that is regular: look-arounds become
//! empty, back-references any text, sets of other than ASCII characters all of those, high counts endless. What the
//! automaton refuses no regex can match; what it lets through is matched exactly. It reads each byte once, whatever an
//! attacker writes, and its cache is bounded: when full it is emptied.

use regex_automata::MatchKind;
use regex_automata::hybrid::dfa::{Config, DFA};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_syntax::hir::Hir;

use super::python::{Assertion, Node, Regex, Scene, anything, is_own_superset, superset};
use super::walk::{Marks, Text, Walker};

/// Bytes for the states of the automaton.
const CACHE: usize = 4 << 20;
/// Bytes for the program it is made of.
const PROGRAM: usize = 32 << 20;

/// The combined automaton. Built when the first line comes.
#[derive(Clone)]
pub(super) struct Gate {
    /// `None`: the regexes are too large for one automaton, so that each must be tried by itself.
    walker: Option<Walker>,
    /// What the text at hand may match: the failregexes, behind them the ignoreregexes, and the prefregex.
    candidates: Marks,
    /// The same of all texts of a page.
    page: Vec<u64>,
    failregexes: usize,
    ignoreregexes: usize,
    /// Whether the automaton tells of the prefregex for itself.
    tells_prefix: bool,
    /// Whether what it tells of it is the last word, on a line in ASCII.
    knows_prefix: bool,
}

impl Gate {
    /// Builds the automaton. `tells_prefix`: somebody wants to know of the prefregex even where no failregex can match.
    pub(super) fn new<'r>(
        prefregex: Option<&Regex>,
        failregex: impl ExactSizeIterator<Item = &'r Regex>,
        ignoreregex: impl ExactSizeIterator<Item = &'r Regex>,
        tells_prefix: bool,
    ) -> Self {
        let (failregexes, ignoreregexes) = (failregex.len(), ignoreregex.len());
        let prefix = prefregex.and_then(|regex| prefix(regex.node(), regex.group("content")?));
        let trees: Vec<Hir> = failregex
            .map(|regex| combined(prefregex, prefix.as_deref(), regex))
            .chain(ignoreregex.map(alone))
            .chain(prefregex.filter(|_| tells_prefix).map(alone))
            .collect();
        let walker = automaton(&trees).map(Walker::new);
        let knows_prefix =
            tells_prefix && walker.is_some() && prefregex.is_some_and(|regex| is_own_superset(regex.node()));
        let candidates = Marks::new(trees.len());
        Gate { walker, candidates, page: Vec::new(), failregexes, ignoreregexes, tells_prefix, knows_prefix }
    }

    /// Reads a text that comes in parts. Answers whether any regex may match it.
    pub(super) fn read(&mut self, parts: &[&str]) -> bool {
        self.candidates.clear();
        let candidates = &mut self.candidates;
        let read =
            self.walker.as_mut().is_some_and(|walker| walker.walk(parts, candidates.words()).is_some());
        if !read {
            // An automaton that gave up has refused nothing.
            self.candidates.fill();
        }
        !self.candidates.is_empty()
    }

    /// Reads the texts of a page; `None` has none. [`Gate::turn_to`] then has the answers.
    pub(super) fn read_page<'t>(&mut self, texts: impl ExactSizeIterator<Item = Option<Text<'t>>>) {
        self.page.clear();
        let Some(walker) = &mut self.walker else { return };
        let mut page = std::mem::take(&mut self.page);
        page.resize(texts.len() * self.candidates.len_in_words(), 0);
        walker.walk_all(texts, &mut page, &self.candidates);
        self.page = page;
    }

    /// Forgets the page.
    pub(super) fn turn_away(&mut self) {
        self.page.clear();
    }

    /// Takes what was read of this text of the page. Whether any regex may match it; `None` when it was not read.
    pub(super) fn turn_to(&mut self, text: usize) -> Option<bool> {
        let words = self.candidates.len_in_words();
        let marks = self.page.get(text * words..(text + 1) * words)?;
        self.candidates.words().copy_from_slice(marks);
        Some(!self.candidates.is_empty())
    }

    /// Whether any failregex may match the text at hand.
    pub(super) fn may_fail(&self) -> bool {
        self.next_failregex(0).is_some()
    }

    /// The first failregex from this one on that may match the text at hand, with its prefregex.
    pub(super) fn next_failregex(&self, from: usize) -> Option<usize> {
        self.candidates.next(from).filter(|index| *index < self.failregexes)
    }

    /// Whether the prefregex matches the text at hand, a single line; `None` when it must be searched.
    pub(super) fn prefix_matches(&self, text: &str) -> Option<bool> {
        let index = self.failregexes + self.ignoreregexes;
        (self.knows_prefix && text.is_ascii()).then(|| self.candidates.contains(index))
    }

    /// The first ignoreregex from this one on that may match the text at hand.
    pub(super) fn next_ignoreregex(&self, from: usize) -> Option<usize> {
        let next = self.candidates.next(self.failregexes + from)? - self.failregexes;
        (next < self.ignoreregexes).then_some(next)
    }

    /// Whether it was built to tell of the prefregex.
    pub(super) fn tells_prefix(&self) -> bool {
        self.tells_prefix
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

/// What stands before the content, where nothing stands around both: it is the same for each failregex.
fn prefix(prefregex: &Node, content: usize) -> Option<Vec<Hir>> {
    let Node::Concat(nodes) = prefregex else { return None };
    let place = nodes.iter().position(|node| matches!(node, Node::Group(number, _) if *number == content))?;
    Some(nodes[..place].iter().map(|node| superset(node, Scene::Whole, None)).collect())
}

/// The text that a failregex with its prefregex needs, at least.
fn combined(prefregex: Option<&Regex>, prefix: Option<&[Hir]>, failregex: &Regex) -> Hir {
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
    let scene = if reaches_end(prefregex.node(), content) { Scene::Rest } else { Scene::Piece };
    let piece = unanchored(failregex.node(), superset(failregex.node(), scene, None));
    let whole = match prefix {
        // What stands behind the piece is not asked, see `superset`.
        Some(prefix) => Hir::concat(prefix.iter().cloned().chain([piece]).collect()),
        None => superset(prefregex.node(), Scene::Whole, Some((content, &piece))),
    };
    unanchored(prefregex.node(), whole)
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

/// Whether the group's text ends where a line ends: `(?P<content>.+)$`.
fn reaches_end(node: &Node, group: usize) -> bool {
    let Node::Concat(nodes) = node else { return false };
    let place = nodes.iter().position(|node| matches!(node, Node::Group(number, _) if *number == group));
    let behind = place.and_then(|place| nodes.get(place + 1));
    let ends = [Assertion::End, Assertion::EndOrLastNewline, Assertion::LineEnd];
    matches!(behind, Some(Node::Assert(assertion)) if ends.contains(assertion))
}
