//! One template: how a date of one shape is found in a line, and its fields read.

use std::sync::OnceLock;

use regex::{Captures, Match, Regex};

use super::DateError;
use super::hand::{Hand, Place};
use super::parse::{Fields, Raw};
use super::pattern::{Expression, Left, Right};
use super::python;
use super::shape::Answer;

/// How many steps an expression with look-around may take in one line. Dates are short: a true match needs some hundred.
const BACKTRACK_LIMIT: usize = 100_000;

/// How the matched text becomes a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// By the fields' groups.
    Fields,
    /// Seconds since 1970, in the first of these groups that took part.
    Epoch(&'static [usize]),
    /// The same, or milliseconds or microseconds by the number of digits.
    LongEpoch(&'static [usize]),
    /// A TAI64N label.
    Tai64n,
}

/// A match: bytes of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The date itself, which is cut out.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// All that the expression took, with what stands around the date.
    pub(crate) whole: (usize, usize),
    /// What was read on the way. `None`: nothing yet, see [`Template::read`].
    pub(crate) read: Option<Read>,
}

/// The fields of a date whose shape was recognised; `None` if one of them is a name without meaning.
pub(crate) type Read = Option<Fields>;

/// A date template. Shared by all jails that use it; what a jail remembers of it is the detector's.
#[derive(Debug)]
pub(crate) struct Template {
    /// As listings and duplicates go.
    pub(crate) name: String,
    /// As it was written; empty for the epoch and TAI64N kinds.
    pub(crate) pattern: String,
    /// The whole expression in Python's dialect, for show.
    pub(crate) python: String,
    /// Whether it can only match at the start of a line.
    pub(crate) anchored: bool,
    /// How its text is read.
    pub(crate) reading: Reading,
    /// Finds most dates of the default list without the expression.
    pub(crate) hand: Option<Hand>,
    rust: Vec<String>,
    boundary: bool,
    groups: &'static [usize],
    engine: OnceLock<Engine>,
}

#[derive(Debug)]
enum Engine {
    /// One for each variant (see [`python::variants`]).
    Linear(Vec<Regex>),
    Backtracking(Box<fancy_regex::Regex>),
    /// It did not compile; refused when the pattern was set, so this is never reached with a good one.
    Broken,
}

impl Template {
    /// A template of `expression`.
    pub(crate) fn new(name: String, pattern: &str, expression: &Expression, reading: Reading) -> Self {
        let rust =
            python::variants(&expression.body).into_iter().map(|body| rust(expression, &body)).collect();
        let (python, boundary) = (expression.python(), expression.left == Left::Boundary);
        Template::written(name, pattern, python, expression.anchored, rust, boundary, reading, &[1])
    }

    /// A template whose expression is given in both dialects. `groups`: the first of them that took part is the date.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn written(
        name: String,
        pattern: &str,
        python: String,
        anchored: bool,
        rust: Vec<String>,
        boundary: bool,
        reading: Reading,
        groups: &'static [usize],
    ) -> Self {
        let pattern = pattern.to_owned();
        let engine = OnceLock::new();
        Template { name, pattern, python, anchored, reading, hand: None, rust, boundary, groups, engine }
    }

    /// Compiles it now, to know whether it is a regular expression at all.
    pub(crate) fn check(&self) -> Result<(), DateError> {
        match compile(&self.rust) {
            Ok(engine) => {
                let _ = self.engine.set(engine);
                Ok(())
            }
            Err(reason) => Err(DateError::Regex { pattern: self.pattern.clone(), reason }),
        }
    }

    fn engine(&self) -> &Engine {
        self.engine.get_or_init(|| compile(&self.rust).unwrap_or(Engine::Broken))
    }

    /// The left-most date in `line`, looking from `from`. (A shortened line is a shorter slice: what is behind is not
    /// seen, what is before `from` is.)
    pub(crate) fn find(&self, line: &str, from: usize) -> Option<Span> {
        let Some(hand) = &self.hand else { return self.search(line, from) };
        match hand.find(line, from) {
            Answer::No => None,
            Answer::Ask => self.search(line, from),
            Answer::Yes(seen) => {
                let read = (self.reading == Reading::Fields).then_some(seen.fields);
                let start = if hand.place == Place::Anywhere { seen.start } else { 0 };
                Some(Span { start: seen.start, end: seen.end, whole: (start, seen.end), read })
            }
        }
    }

    /// The same, by the expression.
    pub(crate) fn search(&self, line: &str, from: usize) -> Option<Span> {
        let span = match self.engine() {
            Engine::Linear(variants) => variants
                .iter()
                .filter_map(|regex| {
                    let captures = self.captures(regex, line, from)?;
                    let whole = captures.get(0)?;
                    let date = self.date(&captures)?;
                    // Where the groups are given, what stands around them is only looked at.
                    let whole = if self.groups.len() > 1 {
                        (date.start(), date.end())
                    } else {
                        (whole.start(), whole.end())
                    };
                    Some(Span { start: date.start(), end: date.end(), whole, read: None })
                })
                .min_by_key(|span| span.whole.0),
            Engine::Backtracking(regex) => {
                let captures = regex.captures_from_pos(line, from).ok()??;
                let whole = captures.get(0).map(|whole| (whole.start(), whole.end()))?;
                captures.get(1).map(|date| Span { start: date.start(), end: date.end(), whole, read: None })
            }
            Engine::Broken => None,
        }?;
        // At the end of a line, Python's boundary wants a word before it.
        let past_the_end = self.boundary
            && span.start == line.len()
            && line.chars().next_back().is_some_and(|c| !c.is_alphanumeric() && c != '_');
        (!past_the_end).then_some(span)
    }

    /// The left-most match whose date does not begin before `from`.
    fn captures<'l>(&self, regex: &Regex, line: &'l str, from: usize) -> Option<Captures<'l>> {
        // What stands before such a date is only looked at: it may stand before `from`.
        let mut at = if self.groups.len() > 1 { 0 } else { from };
        loop {
            let whole = regex.find_at(line, at)?;
            let captures = regex.captures_at(line, whole.start())?;
            if self.groups.len() == 1 || self.date(&captures)?.start() >= from {
                return Some(captures);
            }
            at = whole.end();
        }
    }

    fn date<'l>(&self, captures: &Captures<'l>) -> Option<Match<'l>> {
        self.groups.iter().find_map(|group| captures.get(*group))
    }

    /// Hands the groups of the date that `find` found to `take`, by name, and by number for the epochs.
    pub(crate) fn read(&self, line: &str, from: usize) -> Option<Raw> {
        let mut raw = Raw::default();
        match self.engine() {
            Engine::Linear(variants) => {
                let (regex, captures) = variants
                    .iter()
                    .filter_map(|regex| Some((regex, self.captures(regex, line, from)?)))
                    .min_by_key(|(_, captures)| captures.get(0).map(|m| m.start()))?;
                let groups: Option<&[usize]> = match self.reading {
                    Reading::Fields => None,
                    Reading::Epoch(groups) | Reading::LongEpoch(groups) => Some(groups),
                    Reading::Tai64n => Some(&[1]),
                };
                if let Some(groups) = groups {
                    raw.number =
                        groups.iter().find_map(|group| captures.get(*group)).map(|m| m.as_str().to_owned());
                }
                for name in regex.capture_names().flatten() {
                    if let Some(text) = captures.name(name) {
                        raw.field(name, text.as_str());
                    }
                }
            }
            Engine::Backtracking(regex) => {
                let captures = regex.captures_from_pos(line, from).ok()??;
                for name in regex.capture_names().flatten() {
                    if let Some(text) = captures.name(name) {
                        raw.field(name, text.as_str());
                    }
                }
            }
            Engine::Broken => return None,
        }
        Some(raw)
    }
}

/// No word on this side, or no word on that.
const BOUNDARY: &str = r"(?:\b{start-half}|\b{end-half})";

/// The expression for the `regex` crate, with `body` in its dialect.
fn rust(expression: &Expression, body: &str) -> String {
    let left = match expression.left {
        Left::Anything => "",
        Left::Boundary => BOUNDARY,
        Left::LineStart => "^",
        Left::LineBegin => r"^[^\p{L}\p{N}_]{0,2}",
    };
    let right = match expression.right {
        Right::Anything => "",
        Right::Boundary => BOUNDARY,
        Right::LineEnd => "$",
    };
    format!("{}{left}{body}{right}", expression.flags)
}

fn compile(variants: &[String]) -> Result<Engine, String> {
    let linear: Result<Vec<Regex>, _> = variants.iter().map(|text| Regex::new(text)).collect();
    let error = match linear {
        Ok(regexes) => return Ok(Engine::Linear(regexes)),
        Err(error) => error,
    };
    let Some(text) = variants.first().filter(|_| variants.len() == 1) else { return Err(error.to_string()) };
    let text = text.replace(BOUNDARY, r"(?:(?!\w)|(?<!\w))");
    fancy_regex::RegexBuilder::new(&text)
        .backtrack_limit(BACKTRACK_LIMIT)
        .build()
        .map(|regex| Engine::Backtracking(Box::new(regex)))
        .map_err(|_| error.to_string())
}
