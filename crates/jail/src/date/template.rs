//! One template: how a date of one shape is found in a line, and its fields read.

use std::borrow::Cow;
use std::sync::OnceLock;

use regex_automata::meta::{BuildError, Regex};
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Input, PatternID};

use super::DateError;
use super::hand::{Hand, Place};
use super::parse::{Fields, Raw};
use super::pattern::{Expression, Left, Right};
use super::python;
use super::shape::Answer;
use super::words;

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
    /// So many bytes from the line's start were looked at, and no others; 0 when nobody knows.
    pub(crate) looked_at: usize,
    /// Where any digit would do as well, in bytes of the line; empty if there is none.
    pub(crate) any_digits: (usize, usize),
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
    /// Fail2ban 1.0.2 does not have it: it is not listed before it is of use, and changes nothing about the others.
    pub(crate) newer: bool,
    rust: Vec<String>,
    boundary: bool,
    groups: &'static [usize],
    engine: OnceLock<Engine>,
}

#[derive(Debug)]
enum Engine {
    /// One for each variant (see [`python::variants`]), with the names and numbers of its groups.
    Linear(Vec<(Regex, Names)>),
    Backtracking(Box<fancy_regex::Regex>),
    /// It did not compile; refused when the pattern was set, so this is never reached with a good one.
    Broken,
}

/// The named groups of an expression.
type Names = Vec<(Box<str>, usize)>;

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
        Template {
            name,
            pattern,
            python,
            anchored,
            reading,
            hand: None,
            newer: false,
            rust,
            boundary,
            groups,
            engine,
        }
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
                let (end, looked_at) = (seen.end, seen.looked_at);
                let any_digits = seen.any_digits;
                Some(Span { start: seen.start, end, whole: (start, end), read, looked_at, any_digits })
            }
        }
    }

    /// The same, by the expression.
    pub(crate) fn search(&self, line: &str, from: usize) -> Option<Span> {
        let seen = self.seen(line);
        let span = match self.engine() {
            Engine::Linear(variants) => variants
                .iter()
                .filter_map(|(regex, _)| {
                    let groups = self.groups_from(regex, &seen, from)?;
                    let date = self.date(&groups)?;
                    // Where the groups are given, what stands around them is only looked at.
                    let whole = if self.groups.len() > 1 { date } else { groups.span(0)? };
                    Some(Span {
                        start: date.0,
                        end: date.1,
                        whole,
                        read: None,
                        looked_at: 0,
                        any_digits: (0, 0),
                    })
                })
                .min_by_key(|span| span.whole.0),
            Engine::Backtracking(regex) => {
                let captures = regex.captures_from_pos(line, from).ok()??;
                let whole = captures.get(0).map(|whole| (whole.start(), whole.end()))?;
                captures.get(1).map(|date| Span {
                    start: date.start(),
                    end: date.end(),
                    whole,
                    read: None,
                    looked_at: 0,
                    any_digits: (0, 0),
                })
            }
            Engine::Broken => None,
        }?;
        // At the end of a line, Python's boundary wants a word before it.
        let past_the_end = self.boundary
            && span.start == line.len()
            && line.chars().next_back().is_some_and(|c| !c.is_alphanumeric() && c != '_');
        (!past_the_end).then_some(span)
    }

    /// What the expression is tried on. One that asks for other characters than ASCII's gets the line as it is.
    fn seen<'l>(&self, line: &'l str) -> Cow<'l, str> {
        if self.python.is_ascii() { words::as_python_has_them(line) } else { line.into() }
    }

    /// The left-most match whose date does not begin before `from`.
    fn groups_from(&self, regex: &Regex, line: &str, from: usize) -> Option<Groups> {
        // What stands before such a date is only looked at: it may stand before `from`.
        let mut at = if self.groups.len() > 1 { 0 } else { from };
        loop {
            let groups = Groups::of(regex, line, at)?;
            if self.groups.len() == 1 || self.date(&groups)?.0 >= from {
                return Some(groups);
            }
            at = groups.span(0)?.1;
        }
    }

    fn date(&self, groups: &Groups) -> Option<(usize, usize)> {
        self.groups.iter().find_map(|group| groups.span(*group))
    }

    /// Hands the groups of the date that `find` found to `take`, by name, and by number for the epochs.
    pub(crate) fn read(&self, line: &str, from: usize) -> Option<Raw> {
        let mut raw = Raw::default();
        let seen = self.seen(line);
        match self.engine() {
            Engine::Linear(variants) => {
                let (names, found) = variants
                    .iter()
                    .filter_map(|(regex, names)| Some((names, self.groups_from(regex, &seen, from)?)))
                    .min_by_key(|(_, found)| found.span(0).map(|(start, _)| start))?;
                let groups: Option<&[usize]> = match self.reading {
                    Reading::Fields => None,
                    Reading::Epoch(groups) | Reading::LongEpoch(groups) => Some(groups),
                    Reading::Tai64n => Some(&[1]),
                };
                if let Some(groups) = groups {
                    raw.number = groups.iter().find_map(|group| found.span(*group));
                }
                for (name, group) in names {
                    if let Some((start, end)) = found.span(*group) {
                        raw.field(name, &line[start..end]);
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

/// Where groups matched. A date has few of them, and no line may cost an allocation for its date.
struct Groups([Option<NonMaxUsize>; 2 * MOST_GROUPS]);

/// Groups behind so many are not read. The default templates have at most ten.
const MOST_GROUPS: usize = 32;

impl Groups {
    fn of(regex: &Regex, line: &str, from: usize) -> Option<Self> {
        let mut slots = [None; 2 * MOST_GROUPS];
        let wanted = slots.len().min(regex.group_info().slot_len());
        regex.search_slots(&Input::new(line).range(from..), &mut slots[..wanted])?;
        Some(Groups(slots))
    }

    fn span(&self, group: usize) -> Option<(usize, usize)> {
        let slot = |at: usize| self.0.get(at).copied().flatten().map(NonMaxUsize::get);
        slot(group * 2).zip(slot(group * 2 + 1))
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
    let linear = |text: &String| {
        let words =
            |error: BuildError| error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string);
        Regex::new(text).map_err(words)
    };
    let error = match variants.iter().map(linear).collect::<Result<Vec<Regex>, String>>() {
        Ok(regexes) => return Ok(Engine::Linear(regexes.into_iter().map(named).collect())),
        Err(error) => error,
    };
    let Some(text) = variants.first().filter(|_| variants.len() == 1) else { return Err(error) };
    let text = text.replace(BOUNDARY, r"(?:(?!\w)|(?<!\w))");
    fancy_regex::RegexBuilder::new(&text)
        .backtrack_limit(BACKTRACK_LIMIT)
        .build()
        .map(|regex| Engine::Backtracking(Box::new(regex)))
        .map_err(|_| error)
}

fn named(regex: Regex) -> (Regex, Names) {
    let names = regex.group_info().pattern_names(PatternID::ZERO).enumerate();
    let names = names.filter_map(|(group, name)| Some((name?.into(), group))).collect();
    (regex, names)
}
