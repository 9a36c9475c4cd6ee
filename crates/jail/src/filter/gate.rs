//! Whether a line can match at all, and which regexes: one automaton over all of them.
//!
//! Each failregex, with the prefregex before it, takes part as a superset of itself that is regular: look-arounds become
//! empty, back-references any text, sets of other than ASCII characters all of those, high counts endless. What the
//! automaton refuses no regex can match; what it lets through is matched exactly. It reads each byte once, whatever an
//! attacker writes, and its cache is bounded: when full it is emptied.

use std::borrow::Cow;
use std::sync::Arc;

use regex_automata::MatchKind;
use regex_automata::hybrid::dfa::{Config, DFA};
use regex_syntax::hir::Hir;

use super::nfa;
use super::python::{
    Assertion, Greed, Node, Regex, Scene, anything, is_any_of_line, is_own_superset, subset, superset,
};
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
    /// What the text at hand may match: the failregexes, behind them the ignoreregexes, and the prefregex; then what it
    /// surely matches, if it is a single line in ASCII: the prefregex once more. The last mark is that nobody knows.
    candidates: Marks,
    /// The same of all texts of a page.
    page: Vec<u64>,
    /// The same one for all copies.
    identity: Arc<()>,
    failregexes: usize,
    ignoreregexes: usize,
    /// Whether the automaton tells of the prefregex for itself.
    tells_prefix: bool,
    /// Whether the prefregex, if it is told of, matches each line that is not empty.
    any_line: bool,
    /// Whether nothing else matches the prefregex than what may match it, on a line in ASCII.
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
        let around = prefregex.and_then(|regex| Around::new(regex.node(), regex.group("content")?));
        let told = prefregex.filter(|_| tells_prefix).map_or(Told::Nothing, |regex| Told::of(regex.node()));
        let sure = told.pattern().filter(|node| !is_own_superset(node));
        let trees: Vec<Tree> = failregex
            .map(|regex| combined(prefregex, around.as_ref(), regex))
            .chain(ignoreregex.map(|regex| Tree::Whole(alone(regex))))
            .chain(
                told.pattern().map(|node| Tree::Whole(unanchored(node, superset(node, Scene::Whole, None)))),
            )
            .chain(sure.and_then(|node| Some(Tree::Whole(unanchored(node, subset(node)?)))))
            .collect();
        let knows_prefix = sure.is_none();
        let candidates = Marks::new(trees.len() + 1);
        let pieces: Vec<Vec<&Hir>> = trees.iter().map(|tree| tree.pieces(around.as_ref())).collect();
        let walker = automaton(&pieces).map(|dfa| Walker::new(dfa, candidates.len_in_words()));
        Gate {
            walker,
            candidates,
            page: Vec::new(),
            identity: Arc::default(),
            failregexes,
            ignoreregexes,
            tells_prefix,
            any_line: told == Told::AnyLine,
            knows_prefix,
        }
    }

    /// Reads a text that comes in parts. Answers whether any regex may match it.
    pub(super) fn read(&mut self, text: Text<'_>) -> bool {
        self.candidates.clear();
        match &mut self.walker {
            Some(walker) => walker.walk(text, &mut self.candidates),
            // No automaton refuses nothing.
            None => self.candidates.fill(),
        }
        self.any_line || !self.candidates.is_empty()
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

    /// What its copies have in common with it, and no other has.
    pub(super) fn identity(&self) -> &Arc<()> {
        &self.identity
    }

    /// What was read of the page, for a copy to take over; forgotten here.
    pub(super) fn take_page(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.page)
    }

    /// Takes over what a copy has read of the page.
    pub(super) fn give_page(&mut self, page: Vec<u64>) {
        self.page = page;
    }

    /// Forgets the page.
    pub(super) fn turn_away(&mut self) {
        self.page.clear();
    }

    /// Whether this text of the page was read, or is not to be read, and nothing can match it.
    pub(super) fn refuses(&self, text: usize) -> bool {
        let words = self.candidates.len_in_words();
        let marks = self.page.get(text * words..(text + 1) * words);
        !self.any_line && marks.is_some_and(|marks| marks.iter().all(|word| *word == 0))
    }

    /// Takes what was read of this text of the page. Whether any regex may match it; `None` when it was not read.
    pub(super) fn turn_to(&mut self, text: usize) -> Option<bool> {
        let words = self.candidates.len_in_words();
        let marks = self.page.get(text * words..(text + 1) * words)?;
        self.candidates.words().copy_from_slice(marks);
        Some(self.any_line || !self.candidates.is_empty())
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
        if self.any_line {
            return Some(!matches!(text.as_bytes(), [] | [b'\n', ..]));
        }
        let index = self.failregexes + self.ignoreregexes;
        if !self.tells_prefix || self.candidates.is_last() || !text.is_ascii() {
            return None;
        }
        let may = self.candidates.contains(index);
        if !may || self.knows_prefix || self.candidates.contains(index + 1) { Some(may) } else { None }
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

fn automaton(patterns: &[Vec<&Hir>]) -> Option<DFA> {
    let nfa = nfa::of(patterns, PROGRAM)?;
    let config =
        Config::new().match_kind(MatchKind::All).cache_capacity(CACHE).skip_cache_capacity_check(true);
    DFA::builder().configure(config).build_from_nfa(nfa).ok()
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

/// What stands around the content, where that stands between other pieces: it is the same for each failregex.
struct Around {
    before: Hir,
    /// What stands behind, with what the failregex leaves of the content. Nothing, where the content reaches the end.
    behind: Hir,
}

impl Around {
    fn new(prefregex: &Node, content: usize) -> Option<Self> {
        let Node::Concat(nodes) = prefregex else { return None };
        let is_content = |node: &Node| matches!(node, Node::Group(number, _) if *number == content);
        let place = nodes.iter().position(is_content)?;
        let over = |nodes: &[Node]| -> Hir {
            Hir::concat(nodes.iter().map(|node| superset(node, Scene::Whole, None)).collect())
        };
        let behind = if reaches_end(prefregex, content) || place + 1 == nodes.len() {
            Hir::empty()
        } else {
            Hir::concat(vec![anything(), over(&nodes[place + 1..])])
        };
        Some(Around { before: unanchored(prefregex, over(&nodes[..place])), behind })
    }
}

/// The text that a regex needs, at least.
enum Tree {
    Whole(Hir),
    /// The same with what stands around it.
    Content(Hir),
}

impl Tree {
    fn pieces<'t>(&'t self, around: Option<&'t Around>) -> Vec<&'t Hir> {
        match (self, around) {
            (Tree::Content(hir), Some(Around { before, behind })) => vec![before, hir, behind],
            (Tree::Whole(hir) | Tree::Content(hir), _) => vec![hir],
        }
    }
}

/// The text that a failregex with its prefregex needs, at least.
fn combined(prefregex: Option<&Regex>, around: Option<&Around>, failregex: &Regex) -> Tree {
    // Without content both are searched in the whole text, each for itself.
    let Some((prefregex, content)) = prefregex.and_then(|regex| Some((regex, regex.group("content")?)))
    else {
        return Tree::Whole(beginning(failregex, Scene::Whole));
    };
    if !always_cut(prefregex.node(), content) {
        return Tree::Whole(Hir::alternation(vec![
            alone(failregex),
            Hir::concat(vec![anything(), superset(failregex.node(), Scene::Piece, None)]),
        ]));
    }
    let scene = if reaches_end(prefregex.node(), content) { Scene::Rest } else { Scene::Piece };
    let piece = beginning(failregex, scene);
    if around.is_some() {
        return Tree::Content(piece);
    }
    let whole = superset(prefregex.node(), Scene::Whole, Some((content, &piece)));
    Tree::Whole(unanchored(prefregex.node(), whole))
}

/// What the automaton is to find of a prefregex, for itself.
#[derive(Clone, Debug, PartialEq)]
enum Told {
    /// Nothing: nobody asks.
    Nothing,
    /// It matches each line that has any character.
    AnyLine,
    /// It matches the single lines that this pattern matches, which may be shorter.
    Lines(Node),
}

impl Told {
    /// What is to be found of this one. Where its end takes any rest of a line, as `(?P<content>.+)$` does, one character of
    /// that is enough, and so is one of what may be empty before it: the automaton need not read lines to their ends.
    fn of(prefregex: &Node) -> Self {
        let whole = || Told::Lines(prefregex.clone());
        let Node::Concat(nodes) = prefregex else { return whole() };
        let ends = [Assertion::EndOrLastNewline, Assertion::LineEnd];
        let nodes = match nodes.split_last() {
            Some((Node::Assert(assertion), before)) if ends.contains(assertion) => before,
            _ => nodes,
        };
        let Some((last, before)) = nodes.split_last() else { return whole() };
        let rest = if let Node::Group(_, inner) = last { &**inner } else { last };
        let Some(character) = one_of_rest(rest) else { return whole() };
        let needed = before.iter().rposition(|node| !(node.nullable() && takes_characters(node)));
        let before = needed.map_or(&[][..], |last| &before[..=last]);
        match before {
            [] | [Node::Assert(Assertion::Start | Assertion::LineStart)] => Told::AnyLine,
            _ => Told::Lines(Node::Concat(before.iter().chain([character]).cloned().collect())),
        }
    }

    fn pattern(&self) -> Option<&Node> {
        if let Told::Lines(node) = self { Some(node) } else { None }
    }
}

/// The character that `.+` repeats, or any set that has all of a line's.
fn one_of_rest(node: &Node) -> Option<&Node> {
    match node {
        Node::Repeat(repeat)
            if repeat.min == 1
                && repeat.max.is_none()
                && repeat.greed != Greed::Possessive
                && is_any_of_line(&repeat.node) =>
        {
            Some(&repeat.node)
        }
        _ => None,
    }
}

/// Whether it only takes characters, and asks for nothing around them.
fn takes_characters(node: &Node) -> bool {
    !node.any(&|node| {
        matches!(
            node,
            Node::Assert(_)
                | Node::Look(_)
                | Node::Atomic(_)
                | Node::Backref { .. }
                | Node::Conditional { .. }
        )
    })
}

/// So many characters in a row are worth reading on for.
const TEXT: usize = 3;

/// The pattern as far as it wants certain text. What comes behind, mostly an address and a port, seldom refuses what has come so
/// far: the automaton need not read that.
fn up_to_last_text(node: &Node) -> Cow<'_, Node> {
    let Node::Concat(nodes) = node else { return Cow::Borrowed(node) };
    let mut run = 0;
    let mut last = None;
    for (at, node) in nodes.iter().enumerate() {
        run = if matches!(node, Node::Literal(_)) { run + 1 } else { 0 };
        if run >= TEXT || has_text(node) {
            last = Some(at);
        }
    }
    match last {
        Some(last) if last + 1 < nodes.len() => Cow::Owned(Node::Concat(nodes[..=last].to_vec())),
        _ => Cow::Borrowed(node),
    }
}

/// Whether certain text is in each match of this piece.
fn has_text(node: &Node) -> bool {
    match node {
        Node::Group(_, node) | Node::Atomic(node) => has_text(node),
        Node::Repeat(repeat) => repeat.min > 0 && has_text(&repeat.node),
        Node::Alternate(nodes) => nodes.iter().all(has_text),
        Node::Concat(nodes) => {
            let text = |nodes: &[Node]| nodes.iter().all(|node| matches!(node, Node::Literal(_)));
            nodes.windows(TEXT).any(text) || nodes.iter().any(has_text)
        }
        _ => false,
    }
}

/// The text that a regex needs, at least, up to its last certain text.
fn beginning(regex: &Regex, scene: Scene) -> Hir {
    unanchored(regex.node(), superset(&up_to_last_text(regex.node()), scene, None))
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
