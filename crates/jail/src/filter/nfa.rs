//! One automaton of many patterns: what several of them begin with is in it once.
//!
//! The failregexes of a filter mostly begin alike, with what a prefregex asks for or with the name of a daemon. The automaton
//! is smaller by that, sooner built, and each of its states stands for fewer places.

use regex_automata::nfa::thompson::{Builder, NFA, Transition};
use regex_automata::util::look;
use regex_automata::util::primitives::StateID;
use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};
use regex_syntax::utf8::Utf8Sequences;

/// The automaton of patterns, each of which is its pieces one behind the other. The first one's number is 0.
/// `None` when it would take more than `bytes`, or too many states.
pub(super) fn of(patterns: &[Vec<&Hir>], bytes: usize) -> Option<NFA> {
    let mut builder = Builder::new();
    builder.set_utf8(false);
    builder.set_size_limit(Some(bytes)).ok()?;
    let mut tree = Assembly { builder, places: Vec::new() };
    let root = tree.place()?;
    for pattern in patterns {
        tree.builder.start_pattern().ok()?;
        let mut at = root;
        for piece in pattern.iter().flat_map(|piece| parts(piece)) {
            at = tree.behind(at, piece)?;
        }
        let found = tree.builder.add_match().ok()?;
        tree.leads(at, found)?;
        let start = tree.places[root].union;
        // Nobody searches for one pattern only: that would find those that begin like it, too.
        tree.builder.finish_pattern(start).ok()?;
    }
    let start = tree.places[root].union;
    tree.builder.build(start, start).ok()
}

/// The pieces of a piece.
fn parts(hir: &Hir) -> &[Hir] {
    if let HirKind::Concat(parts) = hir.kind() { parts } else { std::slice::from_ref(hir) }
}

/// Where a pattern has come to.
struct Place<'h> {
    /// The state that leads on, to any of what comes behind.
    union: StateID,
    /// The pieces that come behind, and where they lead.
    next: Vec<(&'h Hir, usize)>,
}

/// A piece's first state, and the one that leads behind it.
type Span = (StateID, StateID);

struct Assembly<'h> {
    builder: Builder,
    places: Vec<Place<'h>>,
}

impl<'h> Assembly<'h> {
    fn place(&mut self) -> Option<usize> {
        let union = self.builder.add_union(Vec::new()).ok()?;
        self.places.push(Place { union, next: Vec::new() });
        Some(self.places.len() - 1)
    }

    fn leads(&mut self, place: usize, to: StateID) -> Option<()> {
        self.builder.patch(self.places[place].union, to).ok()
    }

    /// The place behind a piece, which a pattern before may have been at.
    fn behind(&mut self, at: usize, piece: &'h Hir) -> Option<usize> {
        if let Some((_, known)) = self.places[at].next.iter().find(|(other, _)| *other == piece) {
            return Some(*known);
        }
        let (start, end) = self.add(piece)?;
        self.leads(at, start)?;
        let place = self.place()?;
        self.builder.patch(end, self.places[place].union).ok()?;
        self.places[at].next.push((piece, place));
        Some(place)
    }

    fn add(&mut self, hir: &Hir) -> Option<Span> {
        match hir.kind() {
            HirKind::Empty => self.empty(),
            HirKind::Literal(literal) => self.row(literal.0.iter().map(|byte| (*byte, *byte))),
            HirKind::Class(class) => self.class(class),
            HirKind::Look(look) => {
                let state = self.builder.add_look(StateID::ZERO, kind(*look)).ok()?;
                Some((state, state))
            }
            HirKind::Repetition(repetition) => self.repetition(repetition),
            HirKind::Capture(capture) => self.add(&capture.sub),
            HirKind::Concat(parts) => {
                let mut whole = self.empty()?;
                for part in parts {
                    whole = self.then(whole, part)?;
                }
                Some(whole)
            }
            HirKind::Alternation(choices) => {
                let (start, end) = (self.builder.add_union(Vec::new()).ok()?, self.builder.add_empty().ok()?);
                for choice in choices {
                    let (first, last) = self.add(choice)?;
                    self.builder.patch(start, first).ok()?;
                    self.builder.patch(last, end).ok()?;
                }
                Some((start, end))
            }
        }
    }

    fn empty(&mut self) -> Option<Span> {
        let state = self.builder.add_empty().ok()?;
        Some((state, state))
    }

    /// The span, and this behind it.
    fn then(&mut self, (start, end): Span, hir: &Hir) -> Option<Span> {
        let (first, last) = self.add(hir)?;
        self.builder.patch(end, first).ok()?;
        Some((start, last))
    }

    /// Bytes one behind the other, each of a range.
    fn row(&mut self, ranges: impl Iterator<Item = (u8, u8)>) -> Option<Span> {
        let (start, mut end) = self.empty()?;
        for (first, last) in ranges {
            let state =
                self.builder.add_range(Transition { start: first, end: last, next: StateID::ZERO }).ok()?;
            self.builder.patch(end, state).ok()?;
            end = state;
        }
        Some((start, end))
    }

    fn class(&mut self, class: &Class) -> Option<Span> {
        let bytes = match class {
            Class::Bytes(bytes) => Some(bytes.clone()),
            Class::Unicode(characters) => characters.to_byte_class(),
        };
        let end = self.builder.add_empty().ok()?;
        if let Some(bytes) = bytes {
            let ranges = bytes.ranges().iter();
            let transitions =
                ranges.map(|range| Transition { start: range.start(), end: range.end(), next: end });
            let state = self.builder.add_sparse(transitions.collect()).ok()?;
            return Some((state, end));
        }
        let start = self.builder.add_union(Vec::new()).ok()?;
        if let Class::Unicode(characters) = class {
            let ranges = characters.ranges().iter();
            for sequence in ranges.flat_map(|range| Utf8Sequences::new(range.start(), range.end())) {
                let (first, last) =
                    self.row(sequence.as_slice().iter().map(|range| (range.start, range.end)))?;
                self.builder.patch(start, first).ok()?;
                self.builder.patch(last, end).ok()?;
            }
        }
        Some((start, end))
    }

    fn repetition(&mut self, repetition: &Repetition) -> Option<Span> {
        let Repetition { min, max, sub, .. } = repetition;
        let (start, mut before) = self.empty()?;
        let end = self.builder.add_empty().ok()?;
        let certain = if max.is_some() { *min } else { min.saturating_sub(1) };
        for _ in 0..certain {
            (_, before) = self.then((start, before), sub)?;
        }
        let Some(max) = max else {
            let (first, last) = self.add(sub)?;
            let again = self.builder.add_union(vec![first, end]).ok()?;
            self.builder.patch(last, again).ok()?;
            self.builder.patch(before, if *min == 0 { again } else { first }).ok()?;
            return Some((start, end));
        };
        for _ in *min..*max {
            let (first, last) = self.add(sub)?;
            let choice = self.builder.add_union(vec![first, end]).ok()?;
            self.builder.patch(before, choice).ok()?;
            before = last;
        }
        self.builder.patch(before, end).ok()?;
        Some((start, end))
    }
}

/// The same look-around in the automaton's words.
fn kind(look: Look) -> look::Look {
    match look {
        Look::Start => look::Look::Start,
        Look::End => look::Look::End,
        Look::StartLF => look::Look::StartLF,
        Look::EndLF => look::Look::EndLF,
        Look::StartCRLF => look::Look::StartCRLF,
        Look::EndCRLF => look::Look::EndCRLF,
        Look::WordAscii => look::Look::WordAscii,
        Look::WordAsciiNegate => look::Look::WordAsciiNegate,
        Look::WordUnicode => look::Look::WordUnicode,
        Look::WordUnicodeNegate => look::Look::WordUnicodeNegate,
        Look::WordStartAscii => look::Look::WordStartAscii,
        Look::WordEndAscii => look::Look::WordEndAscii,
        Look::WordStartUnicode => look::Look::WordStartUnicode,
        Look::WordEndUnicode => look::Look::WordEndUnicode,
        Look::WordStartHalfAscii => look::Look::WordStartHalfAscii,
        Look::WordEndHalfAscii => look::Look::WordEndHalfAscii,
        Look::WordStartHalfUnicode => look::Look::WordStartHalfUnicode,
        Look::WordEndHalfUnicode => look::Look::WordEndHalfUnicode,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use regex_automata::hybrid::dfa::{Config, DFA};
    use regex_automata::{Anchored, Input, MatchKind, PatternSet};
    use regex_syntax::ParserBuilder;

    use super::*;

    const PIECES: &[&str] = &[
        "a",
        "b",
        "ab",
        "abc",
        "(?s-u:.)*?",
        "[ab]",
        "[a-cé-ü]",
        "é|ü",
        "a|bc|",
        "(?:ab|a)*",
        "(?:a|b?)*",
        "b+",
        "(?:b*)+",
        "a{2}",
        "a{1,3}",
        "(?:ab){0,2}",
        "(?:a|b){2,}",
        "^",
        "$",
        "\\n?",
        "[a&&b]",
        "",
    ];

    fn hir(pattern: &str) -> Hir {
        ParserBuilder::new().utf8(false).multi_line(true).build().parse(pattern).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]
        #[test]
        fn what_is_shared_changes_nothing(
            patterns in proptest::collection::vec(
                proptest::collection::vec(proptest::sample::select(PIECES), 0..4), 1..6),
            text in "[abcé\n]{0,7}",
        ) {
            let trees: Vec<Vec<Hir>> =
                patterns.iter().map(|pieces| pieces.iter().map(|piece| hir(piece)).collect()).collect();
            let pieces: Vec<Vec<&Hir>> = trees.iter().map(|tree| tree.iter().collect()).collect();
            let config = Config::new().match_kind(MatchKind::All).skip_cache_capacity_check(true);
            let nfa = of(&pieces, 1 << 20).unwrap();
            let dfa = DFA::builder().configure(config).build_from_nfa(nfa).unwrap();
            let mut found = PatternSet::new(patterns.len());
            let input = Input::new(&text).anchored(Anchored::Yes);
            dfa.try_which_overlapping_matches(&mut dfa.create_cache(), &input, &mut found).unwrap();
            for (at, pieces) in trees.into_iter().enumerate() {
                let alone = regex_automata::meta::Builder::new().build_from_hir(&Hir::concat(pieces)).unwrap();
                let matches = alone.is_match(Input::new(&text).anchored(Anchored::Yes));
                let told = found.iter().any(|pattern| pattern.as_usize() == at);
                prop_assert_eq!(told, matches, "{:?} in {:?}", &patterns[at], text);
            }
        }
    }
}
