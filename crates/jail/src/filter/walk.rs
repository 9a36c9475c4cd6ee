//! The automaton's way over texts: one text, or several at a time.
//!
//! Each step of an automaton needs the answer of the one before, and the processor waits for it. Where there are many texts,
//! four of them go side by side: it costs little more than one.

use regex_automata::hybrid::dfa::DFA;

use super::table::{Entry, Input, Table};

/// So many texts go side by side.
const LANES: usize = 4;

/// A text in parts: what stood before a line's date, what behind, and the line feed, where that is not in one of them.
pub(super) type Text<'t> = [&'t [u8]; 3];

/// A line, which may have its line feed, without its date: what stands before `before` and behind `after`, up to `end`.
pub(super) fn without_date(line: &[u8], before: usize, after: usize, end: usize) -> Text<'_> {
    let part = |from: usize, to: usize| line.get(from..to).unwrap_or_default();
    if line.len() == end + 1 && line.ends_with(b"\n") {
        [part(0, before), part(after, end + 1), b""]
    } else {
        [part(0, before), part(after, end), b"\n"]
    }
}

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

/// The automaton's way over texts. A copy, as another thread needs it, has all that the automaton has built.
#[derive(Clone)]
pub(super) struct Walker {
    table: Table,
}

/// A text on its way.
#[derive(Clone, Copy)]
struct Lane<'t> {
    number: usize,
    text: Text<'t>,
    /// The part of the text that is read.
    part: usize,
    /// What of that is still to be read.
    rest: &'t [u8],
    /// From where the last step led.
    from: Entry,
    /// The last byte, and where it led.
    byte: u8,
    at: Entry,
}

/// Whether it makes sense to read on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    On,
    Over,
}

impl<'t> Lane<'t> {
    fn new(number: usize, text: Text<'t>, start: Entry) -> Self {
        let part = text.iter().position(|part| !part.is_empty()).unwrap_or(0);
        Lane { number, text, part, rest: text[part], from: start, byte: 0, at: start }
    }

    /// So many bytes further, the last of which led from one place to another.
    #[inline]
    fn moved(&mut self, bytes: usize, from: Entry, at: Entry) {
        let Some(last) = bytes.checked_sub(1) else { return };
        (self.from, self.at, self.byte) = (from, at, self.rest[last]);
        self.rest = &self.rest[bytes..];
    }
}

impl Walker {
    /// A walker for texts whose marks take so many words.
    pub(super) fn new(dfa: DFA, words: usize) -> Self {
        Walker { table: Table::new(dfa, words) }
    }

    /// Reads a text that comes in parts, and marks what may match it, and everything when the automaton gave up.
    pub(super) fn walk(&mut self, text: Text<'_>, marks: &mut Marks) {
        let (start, count) = (self.table.start(), marks.count);
        self.alone(Lane::new(0, text, start), &mut marks.words, count);
    }

    /// Reads texts, and marks what may match them in their parts of `page`. `each` has the size of a part. A text that is
    /// `None` is not read.
    pub(super) fn walk_all<'t>(
        &mut self,
        texts: impl Iterator<Item = Option<Text<'t>>>,
        page: &mut [u64],
        each: &Marks,
    ) {
        let (words, count) = (each.len_in_words(), each.count);
        let mut texts = texts.enumerate().filter_map(|(number, text)| Some((number, text?)));
        let mut lanes: Vec<Lane<'t>> = Vec::with_capacity(LANES);
        'four: loop {
            let start = self.table.start();
            let emptied = self.table.emptied();
            lanes.extend(
                texts.by_ref().take(LANES - lanes.len()).map(|(number, text)| Lane::new(number, text, start)),
            );
            if let Ok(four) = <&mut [Lane<'_>; LANES]>::try_from(lanes.as_mut_slice()) {
                'steps: loop {
                    self.together(four);
                    for lane in four.iter_mut() {
                        if lane.at.is_plain() && !lane.rest.is_empty() {
                            continue;
                        }
                        let way = self.attend(lane, of(page, lane.number, words), count);
                        if self.table.emptied() != emptied {
                            // Where the others stand is void.
                            let own = lane.number;
                            if way == Way::On {
                                self.alone(*lane, of(page, own, words), count);
                            }
                            for other in four.iter().filter(|other| other.number != own) {
                                let start = self.table.start();
                                let lane = Lane::new(other.number, other.text, start);
                                self.alone(lane, of(page, other.number, words), count);
                            }
                            lanes.clear();
                            continue 'four;
                        }
                        if way == Way::Over {
                            let Some((number, text)) = texts.next() else {
                                // Not to be read once more.
                                lane.at = Entry::DEAD;
                                break 'steps;
                            };
                            *lane = Lane::new(number, text, start);
                        }
                    }
                }
            }
            // Too few to go side by side.
            for lane in lanes {
                let again = self.table.emptied() != emptied && lane.at != Entry::DEAD;
                let lane = if again { Lane::new(lane.number, lane.text, self.table.start()) } else { lane };
                self.alone(lane, of(page, lane.number, words), count);
            }
            return;
        }
    }

    /// Reads a text to its end.
    fn alone(&mut self, mut lane: Lane<'_>, marks: &mut [u64], count: usize) {
        while self.attend(&mut lane, marks, count) == Way::On {
            let mut bytes = lane.rest.iter();
            while lane.at.is_plain()
                && let Some(byte) = bytes.next()
            {
                (lane.from, lane.byte) = (lane.at, *byte);
                lane.at = self.table.step(lane.at, *byte).unwrap_or(Entry::GIVEN_UP);
            }
            lane.rest = bytes.as_slice();
        }
    }

    /// Sees to what is not plain, and goes on to the next part of the text where one is through.
    fn attend(&mut self, lane: &mut Lane<'_>, marks: &mut [u64], count: usize) -> Way {
        loop {
            lane.at = self.table.known(lane.from, Input::Byte(lane.byte), lane.at);
            if lane.at.is_match() {
                self.table.mark(lane.at, marks);
                lane.at = lane.at.seen_to();
            }
            if !lane.at.is_plain() {
                if lane.at == Entry::GIVEN_UP {
                    fill(marks, count);
                }
                return Way::Over;
            }
            if !lane.rest.is_empty() {
                return Way::On;
            }
            if let Some(part) = lane.text.get(lane.part + 1) {
                (lane.part, lane.rest) = (lane.part + 1, part);
                continue;
            }
            let end = self.table.end(lane.at);
            if end.is_match() {
                self.table.mark(end, marks);
            } else if end == Entry::GIVEN_UP {
                fill(marks, count);
            }
            lane.at = Entry::DEAD;
            return Way::Over;
        }
    }

    /// Moves four texts on side by side, up to where one of them ends or leaves the plain way.
    fn together(&self, [one, two, three, four]: &mut [Lane<'_>; LANES]) {
        let table = &self.table;
        let common = one.rest.len().min(two.rest.len()).min(three.rest.len()).min(four.rest.len());
        let bytes = one.rest[..common].iter().zip(&two.rest[..common]);
        let bytes = bytes.zip(&three.rest[..common]).zip(&four.rest[..common]);
        let mut at = [one.at, two.at, three.at, four.at];
        let mut from = at;
        let mut steps = 0;
        for (((a, b), c), d) in bytes {
            let Some(first) = table.step(at[0], *a) else { break };
            let Some(second) = table.step(at[1], *b) else { break };
            let Some(third) = table.step(at[2], *c) else { break };
            let Some(fourth) = table.step(at[3], *d) else { break };
            let next = [first, second, third, fourth];
            steps += 1;
            if !Entry::are_plain(next) {
                (from, at) = (at, next);
                break;
            }
            at = next;
        }
        one.moved(steps, from[0], at[0]);
        two.moved(steps, from[1], at[1]);
        three.moved(steps, from[2], at[2]);
        four.moved(steps, from[3], at[3]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex_automata::MatchKind;
    use regex_automata::hybrid::dfa::Config;
    use regex_automata::nfa::thompson;

    use super::*;

    const PATTERNS: [&str; 6] =
        ["a.{0,5}b$", "(?s:.)*(ab|ba)c.{3}d", "[a-c]{4}", "(?s:.)*c.{2,6}a", "", "(?m:(?s:.)*b$)"];

    fn walker(cache: usize) -> (Walker, Marks) {
        let config = thompson::Config::new().utf8(false);
        let nfa = thompson::Compiler::new().configure(config).build_many(&PATTERNS).unwrap();
        let config =
            Config::new().match_kind(MatchKind::All).cache_capacity(cache).skip_cache_capacity_check(true);
        let marks = Marks::new(PATTERNS.len() + 1);
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa).unwrap();
        (Walker::new(dfa, marks.len_in_words()), marks)
    }

    proptest! {
        #[test]
        fn texts_side_by_side_are_marked_as_one_by_one_however_small_the_cache(
            texts in proptest::collection::vec(proptest::option::weighted(0.9, ("[abcd]{0,3}", "[abcd\n]{0,40}")), 0..30),
        ) {
            let (mut roomy, each) = walker(1 << 20);
            let parts = || texts.iter().map(|text| text.as_ref().map(|(a, b)| [a.as_bytes(), b.as_bytes(), b"\n"]));
            let wanted: Vec<u64> = parts()
                .map(|text| {
                    let mut marks = each.clone();
                    if let Some(text) = text {
                        roomy.walk(text, &mut marks);
                    }
                    marks.words()[0]
                })
                .collect();
            let mut emptied = 0;
            for cache in [1 << 20, 3000, 1500, 1] {
                let (mut walker, each) = walker(cache);
                let mut page = vec![0; texts.len()];
                walker.walk_all(parts(), &mut page, &each);
                prop_assert_eq!(&page, &wanted, "cache of {} bytes", cache);
                emptied += walker.table.emptied();
            }
            let long: usize = parts().flatten().flatten().map(<[u8]>::len).sum();
            prop_assert!(emptied > 0 || long < 300, "no cache was emptied by {} bytes", long);
        }
    }
}
