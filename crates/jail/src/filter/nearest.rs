//! How far a pattern gets in a text that it does not match: for people who ask why.
//!
//! A pattern is taken piece by piece, as it is written, and the longest beginning of it is looked for that matches. Pieces are what
//! a quantifier would apply to; where a group does not match, its alternatives are taken apart in the same way.

use super::python::{Regex, Scratch};
use super::tags;

/// Groups within groups are taken apart this deep.
const DEPTH: usize = 6;
/// A pattern of more pieces than this is not taken apart.
const PIECES: usize = 2000;
/// Of a text so much is looked at, in bytes.
const TEXT: usize = 4096;

/// How far a pattern got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// How many characters of the pattern that stand for themselves were found: what makes one pattern nearer than another.
    pub(super) literal: usize,
    /// Where in the text the beginning of the pattern ends, in bytes.
    pub(super) at: usize,
    /// What of the pattern was found, as it is written.
    pub(super) found: String,
    /// The piece that was not found there.
    pub(super) expected: String,
}

/// How far the pattern gets; `None` when it cannot be taken apart.
pub(super) fn reach(regex: &Regex, text: &str, multiline: bool) -> Option<Reach> {
    let end = (0..=text.len().min(TEXT)).rev().find(|end| text.is_char_boundary(*end))?;
    let searcher = Searcher { text: &text[..end], multiline };
    let mut best = searcher.within("", "", regex.pattern(), 0)?;
    best.found = tags::written(&best.found);
    best.expected = tags::written(&best.expected);
    Some(best)
}

struct Searcher<'t> {
    text: &'t str,
    multiline: bool,
}

impl Searcher<'_> {
    /// How far `before` + a beginning of `pattern` + `after` gets.
    fn within(&self, before: &str, after: &str, pattern: &str, depth: usize) -> Option<Reach> {
        let alternatives = alternatives(pattern);
        let reaches = alternatives.into_iter().filter_map(|pattern| self.one(before, after, pattern, depth));
        reaches.max_by_key(|reach| (reach.literal, reach.at))
    }

    fn one(&self, before: &str, after: &str, pattern: &str, depth: usize) -> Option<Reach> {
        let pieces = pieces(pattern)?;
        let end = |count: usize| {
            let beginning = pieces.get(count).map_or(pattern.len(), |piece| piece.start);
            self.end(&format!("{before}{}{after}", &pattern[..beginning]))
        };
        // A beginning that matches has beginnings that match: the longest is found by halving.
        let (mut matches, mut fails) = (0, pieces.len() + 1);
        let mut at = end(0)?;
        while fails - matches > 1 {
            let middle = usize::midpoint(matches, fails);
            match end(middle) {
                Some(end) => (matches, at) = (middle, end),
                None => fails = middle,
            }
        }
        let own: usize =
            pieces[..matches].iter().map(|piece| literal(&pattern[piece.start..piece.end])).sum();
        let Some(piece) = pieces.get(matches) else {
            return Some(Reach {
                literal: own,
                at,
                found: format!("{before}{pattern}"),
                expected: String::new(),
            });
        };
        let source = &pattern[piece.start..piece.end];
        let plain = Reach {
            literal: own,
            at,
            found: format!("{before}{}", &pattern[..piece.start]),
            expected: source.to_owned(),
        };
        let inner = group(source).filter(|_| depth < DEPTH && !source.contains("(?P<ip4>")).and_then(
            |(open, inner)| {
                let before = format!("{before}{}{open}", &pattern[..piece.start]);
                self.within(&before, &format!("){after}"), inner, depth + 1)
            },
        );
        Some(match inner {
            // Only if something of the group is there.
            Some(inner) if inner.literal > 0 => Reach { literal: own + inner.literal, ..inner },
            _ => plain,
        })
    }

    /// Where a match of the pattern ends.
    fn end(&self, pattern: &str) -> Option<usize> {
        let regex = Regex::new(pattern, self.multiline).ok()?;
        let mut scratch = Scratch::default();
        regex.search(self.text, &mut scratch).ok().filter(|found| *found)?;
        scratch.span(0).map(|(_, end)| end)
    }
}

/// A piece of a pattern, with its quantifier; bytes.
struct Piece {
    start: usize,
    end: usize,
}

/// The pieces of a pattern without alternatives. `None` when there are too many, or it is none.
fn pieces(pattern: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = 0;
    while rest < pattern.len() {
        let end = rest + atom(&pattern[rest..])?;
        let end = end + quantifier(&pattern[end..]);
        pieces.push(Piece { start: rest, end });
        rest = end;
        if pieces.len() > PIECES {
            return None;
        }
    }
    Some(pieces)
}

/// The length of what stands first: a character, an escape, a class or a group.
fn atom(pattern: &str) -> Option<usize> {
    let mut chars = pattern.char_indices();
    let (_, first) = chars.next()?;
    match first {
        '\\' => chars.next().map(|(at, c)| at + c.len_utf8()),
        '[' => {
            let mut escaped = false;
            let body = if pattern[1..].starts_with('^') { 2 } else { 1 };
            // The first character of a class may be its closing bracket.
            pattern.char_indices().find_map(|(at, c)| {
                let closes = c == ']' && at > body && !escaped;
                escaped = c == '\\' && !escaped;
                closes.then_some(at + 1)
            })
        }
        '(' => {
            let (mut depth, mut at) = (1, 1);
            while depth > 0 {
                let rest = &pattern[at..];
                match rest.chars().next()? {
                    '(' => {
                        depth += 1;
                        at += 1;
                    }
                    ')' => {
                        depth -= 1;
                        at += 1;
                    }
                    _ => at += atom(rest)?,
                }
            }
            Some(at)
        }
        other => Some(other.len_utf8()),
    }
}

/// The length of a quantifier.
fn quantifier(pattern: &str) -> usize {
    let length = match pattern.as_bytes().first() {
        Some(b'*' | b'+' | b'?') => 1,
        Some(b'{') => match pattern.find('}') {
            Some(end) if end > 1 && pattern[1..end].bytes().all(|b| b.is_ascii_digit() || b == b',') => {
                end + 1
            }
            _ => return 0,
        },
        _ => return 0,
    };
    length + usize::from(matches!(pattern.as_bytes().get(length), Some(b'?' | b'+')))
}

/// The alternatives at the top of a pattern.
fn alternatives(pattern: &str) -> Vec<&str> {
    let (mut out, mut start, mut at) = (Vec::new(), 0, 0);
    while at < pattern.len() {
        if pattern[at..].starts_with('|') {
            out.push(&pattern[start..at]);
            at += 1;
            start = at;
            continue;
        }
        let Some(length) = atom(&pattern[at..]) else { return vec![pattern] };
        at += length;
    }
    out.push(&pattern[start..]);
    out
}

/// The opening of a group and what is in it. Those that look around or ask are taken as they are.
fn group(piece: &str) -> Option<(&str, &str)> {
    let inside = piece.strip_prefix('(')?;
    let end = atom(piece)?;
    let open = if inside.starts_with("?P<") {
        piece.find('>')? + 1
    } else if inside.starts_with("?:") {
        3
    } else if inside.starts_with('?') {
        return None;
    } else {
        1
    };
    Some((&piece[..open], piece.get(open..end - 1)?))
}

/// How many characters of a piece stand for themselves.
fn literal(piece: &str) -> usize {
    let mut chars = piece.chars();
    match chars.next() {
        Some('\\') => usize::from(chars.next().is_some_and(|c| !c.is_alphanumeric())),
        // A group counts a little: something of it was found.
        Some('(') => usize::from(
            !piece.ends_with(['?', '*'])
                && group(piece).is_some_and(|(_, i)| i.chars().any(char::is_alphabetic)),
        ),
        Some('.' | '^' | '$' | '[' | ' ') | None => 0,
        Some(_) => usize::from(!piece.ends_with(['?', '*'])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(pattern: &str, text: &str) -> (usize, String) {
        let regex = Regex::new(&tags::expand(pattern, true), false).unwrap();
        let reach = reach(&regex, text, false).unwrap();
        (reach.at, reach.expected)
    }

    #[test]
    fn a_pattern_says_how_far_it_got_and_what_it_wanted_there() {
        for (pattern, text, at, expected) in [
            ("^Failed password for .* from <HOST>$", "Failed password for root form 1.2.3.4\n", 26, "r"),
            ("^Failed password from <HOST>$", "Failed password from nobody!\n", 27, "$"),
            ("^Failed password from <ADDR>$", "Failed password from nobody\n", 21, "<ADDR>"),
            ("^(?:error|fatal): (?:no|any) way <HOST>", "fatal: any road 1.2.3.4\n", 11, "w"),
            ("^a(?:bcd|bxy)<HOST>", "abxz\n", 3, "y"),
            (r"^\[\d+\] x <HOST>", "[12] y\n", 5, "x"),
            ("^nothing like <HOST>", "it\n", 0, "n"),
        ] {
            assert_eq!(reached(pattern, text), (at, expected.to_owned()), "{pattern} in {text}");
        }
    }

    #[test]
    fn patterns_are_cut_where_a_quantifier_would_stand() {
        let cut = |pattern: &str| {
            let pieces = pieces(pattern).unwrap();
            pieces.iter().map(|piece| pattern[piece.start..piece.end].to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            cut(r"^a{2,3}?[]x\]]+(?:b(c)|\))*é{x"),
            ["^", "a{2,3}?", r"[]x\]]+", r"(?:b(c)|\))*", "é", "{", "x"]
        );
        assert_eq!(alternatives("a(b|c)|[|]|d"), ["a(b|c)", "[|]", "d"]);
    }
}
