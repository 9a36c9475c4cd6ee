//! A compiled pattern: parsed at once, its engines built when first needed.

use std::fmt;
use std::sync::OnceLock;

use indexmap::IndexMap;
use regex_automata::meta;
use regex_automata::util::captures::Captures as Slots;
use regex_automata::{Input, util::syntax};

use super::ast::Node;
use super::backtrack::{self, Scratch, TooHard};
use super::linear::{self, Demands};
use super::parse::{self, Error, Flags, Parsed};
use super::program::{self, Program};
use super::rewrite;

/// How many steps the exact engine may take for one search.
pub(crate) const STEPS: u64 = 1_000_000;
/// Up to this many bytes the exact engine is the quicker one: it begins at once, where the linear engine finds the end
/// first and the groups then.
const SHORT: usize = 1024;

/// A pattern in Python's dialect.
pub(crate) struct Regex {
    pattern: String,
    names: IndexMap<String, usize>,
    groups: usize,
    node: Node,
    linear: OnceLock<Option<Linear>>,
    exact: OnceLock<Option<Program>>,
    scratch: Scratch,
}

struct Linear {
    regex: meta::Regex,
    slots: Slots,
    demands: Demands,
}

/// Where groups matched, in bytes; 0 is the whole match.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Captures(Vec<Option<(usize, usize)>>);

impl Captures {
    /// The span of a group.
    pub(crate) fn span(&self, group: usize) -> Option<(usize, usize)> {
        self.0.get(group).copied().flatten()
    }

    /// The spans of all groups.
    #[cfg(test)]
    pub(crate) fn spans(&self) -> &[Option<(usize, usize)>] {
        &self.0
    }
}

impl Regex {
    /// Parses a pattern; `multiline` as Python's flag of that name.
    ///
    /// # Errors
    /// Python's message when it is no pattern.
    pub(crate) fn new(pattern: &str, multiline: bool) -> Result<Self, Error> {
        let Parsed { node, names, groups } = parse::parse(pattern, Flags { multiline, ..Flags::default() })?;
        if !program::fits(&node) {
            return Err(Error("pattern is too large".into()));
        }
        Ok(Regex {
            pattern: pattern.to_owned(),
            names,
            groups,
            node: rewrite::simplify(node),
            linear: OnceLock::new(),
            exact: OnceLock::new(),
            scratch: Scratch::default(),
        })
    }

    /// The pattern's text.
    pub(crate) fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The tree, rewritten.
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// Names of groups and their numbers, in order of appearance.
    pub(crate) fn names(&self) -> &IndexMap<String, usize> {
        &self.names
    }

    /// Whether the linear-time engine carries this pattern (for texts of one line in ASCII at least).
    pub(crate) fn is_linear(&self) -> bool {
        linear::exact(&self.node, &mut Demands::default()).is_some()
    }

    /// Python's `search`.
    ///
    /// # Errors
    /// When the step limit was reached, which only patterns with back-references can bring about.
    pub(crate) fn search(&mut self, text: &str) -> Result<Option<Captures>, TooHard> {
        if text.len() <= SHORT
            && let Ok(found) = self.search_exact(text)
        {
            return Ok(found);
        }
        self.search_linear(text)
    }

    /// The same through the linear-time engine, where that is exact.
    ///
    /// # Errors
    /// As [`Regex::search`].
    pub(crate) fn search_linear(&mut self, text: &str) -> Result<Option<Captures>, TooHard> {
        self.linear.get_or_init(|| build(&self.node));
        if let Some(Some(linear)) = self.linear.get_mut()
            && linear.serves(text)
        {
            linear.regex.search_captures(&Input::new(text), &mut linear.slots);
            return Ok(linear.captures(self.groups));
        }
        self.search_exact(text)
    }

    /// The same through the backtracking engine.
    pub(crate) fn search_exact(&mut self, text: &str) -> Result<Option<Captures>, TooHard> {
        let program = self.exact.get_or_init(|| program::compile(&self.node, self.groups));
        let Some(program) = program else { return Err(TooHard) };
        let found = backtrack::search(program, &mut self.scratch, text, 0, STEPS)?;
        Ok(found.map(|slots| Captures(slots.chunks(2).map(|pair| span(pair[0], pair[1])).collect())))
    }
}

impl Linear {
    /// Whether this engine is exact for the text.
    fn serves(&self, text: &str) -> bool {
        let inner = text.strip_suffix('\n').unwrap_or(text);
        (!self.demands.single_line || memchr::memchr(b'\n', inner.as_bytes()).is_none())
            && (!self.demands.ascii || (text.is_ascii() && !text.is_empty()))
    }

    fn captures(&self, groups: usize) -> Option<Captures> {
        self.slots.is_match().then(|| {
            Captures((0..=groups).map(|i| self.slots.get_group(i).map(|s| (s.start, s.end))).collect())
        })
    }
}

fn span(start: usize, end: usize) -> Option<(usize, usize)> {
    (start != usize::MAX && end != usize::MAX).then_some((start, end))
}

fn build(node: &Node) -> Option<Linear> {
    let mut demands = Demands::default();
    let hir = linear::exact(node, &mut demands)?;
    let config =
        meta::Config::new().utf8_empty(true).nfa_size_limit(Some(16 << 20)).hybrid_cache_capacity(1 << 20);
    let regex =
        meta::Builder::new().configure(config).syntax(syntax::Config::new()).build_from_hir(&hir).ok()?;
    Some(Linear { slots: regex.create_captures(), regex, demands })
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Regex").field(&self.pattern).finish()
    }
}
