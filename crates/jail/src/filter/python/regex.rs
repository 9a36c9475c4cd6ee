//! A compiled pattern: parsed at once, its engines built when first needed.

use std::fmt;
use std::sync::OnceLock;

use regex_automata::meta;
use regex_automata::{Input, util::syntax};

use super::ast::{Greed, Node};
use super::backtrack::{self, TooHard};
use super::linear::{self, Demands};
use super::parse::{self, Error, Flags, Parsed};
use super::program::{self, Program};
use super::rewrite;
use super::scratch::Scratch;
use crate::failure::Name;

/// How many steps the exact engine may take for one search.
pub(crate) const STEPS: u64 = 1_000_000;
/// Up to this many bytes the exact engine with its memory is quicker than the linear one, which finds the end first and the
/// groups then.
const SHORT: usize = 1024;

/// A pattern in Python's dialect. What a search needs to write is the caller's, so that jails and threads can share it.
pub(crate) struct Regex {
    pattern: String,
    names: Vec<(Name, usize)>,
    groups: usize,
    node: Node,
    linear: OnceLock<Option<Linear>>,
    exact: OnceLock<Option<Program>>,
}

struct Linear {
    regex: meta::Regex,
    demands: Demands,
}

/// Where groups matched, in bytes; 0 is the whole match. A copy that outlives the next search.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Captures(Vec<Option<(usize, usize)>>);

impl Captures {
    /// Takes over the spans of the last match.
    pub(crate) fn take(&mut self, regex: &Regex, scratch: &Scratch) {
        self.0.clear();
        self.0.extend((0..=regex.groups).map(|group| scratch.span(group)));
    }

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
            names: names.into_iter().map(|(name, group)| (name.into(), group)).collect(),
            groups,
            node: rewrite::simplify(node),
            linear: OnceLock::new(),
            exact: OnceLock::new(),
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
    pub(crate) fn names(&self) -> &[(Name, usize)] {
        &self.names
    }

    /// The number of the group of this name.
    pub(crate) fn group(&self, name: &str) -> Option<usize> {
        self.names.iter().find(|(known, _)| **known == *name).map(|(_, group)| *group)
    }

    /// Whether the linear-time engine carries this pattern (for texts of one line in ASCII at least).
    pub(crate) fn is_linear(&self) -> bool {
        linear::exact(&self.node, &mut Demands::default()).is_some()
    }

    /// What the linear-time engine has no means for; nothing, if it carries the pattern.
    pub(crate) fn obstacles(&self) -> Vec<&'static str> {
        if self.is_linear() {
            return Vec::new();
        }
        let found = |question: &dyn Fn(&Node) -> bool| self.node.any(question);
        let look = |negated: bool, behind: bool| {
            found(&|node| match node {
                Node::Look(look) => look.negated == negated && look.behind.is_some() == behind,
                _ => false,
            })
        };
        let possessive =
            |node: &Node| matches!(node, Node::Repeat(repeat) if repeat.greed == Greed::Possessive);
        let idle = |node: &Node| match node {
            Node::Repeat(repeat) => !matches!(repeat.max, Some(0 | 1)) && repeat.node.nullable(),
            _ => false,
        };
        [
            (look(false, false), "look-ahead"),
            (look(true, false), "negative look-ahead"),
            (look(false, true), "look-behind"),
            (look(true, true), "negative look-behind"),
            (found(&|node| matches!(node, Node::Backref { .. })), "back-reference"),
            (found(&|node| matches!(node, Node::Conditional { .. })), "conditional"),
            (found(&|node| matches!(node, Node::Atomic(_))), "atomic group"),
            (found(&possessive), "possessive loop"),
            (found(&idle), "loop over what may be empty"),
        ]
        .into_iter()
        .filter_map(|(there, name)| there.then_some(name))
        .collect()
    }

    /// Whether the backtracking engine remembers every choice that failed, and so takes linear time.
    pub(crate) fn remembers(&self) -> bool {
        let remembers = |program: Program| program.memory.is_some() && program.referenced.is_empty();
        program::compile(&self.node, self.groups).is_some_and(remembers)
    }

    /// Python's `search`: whether there is a match. The spans of its groups are the scratch's until the next search.
    ///
    /// # Errors
    /// When the step limit was reached, which only patterns with back-references can bring about.
    pub(crate) fn search(&self, text: &str, scratch: &mut Scratch) -> Result<bool, TooHard> {
        if let Ok(found) = self.search_hastily(text, scratch) {
            return Ok(found);
        }
        if text.len() <= SHORT
            && let Ok(found) = self.search_exact(text, scratch)
        {
            return Ok(found);
        }
        self.search_linear(text, scratch)
    }

    /// The same through the linear-time engine, where that is exact.
    ///
    /// # Errors
    /// As [`Regex::search`].
    pub(super) fn search_linear(&self, text: &str, scratch: &mut Scratch) -> Result<bool, TooHard> {
        let linear = self.linear.get_or_init(|| build(&self.node));
        if let Some(linear) = linear.as_ref().filter(|linear| linear.serves(text)) {
            return Ok(scratch.filled((self.groups + 1) * 2, |slots| {
                linear.regex.search_slots(&Input::new(text), slots).is_some()
            }));
        }
        self.search_exact(text, scratch)
    }

    /// The same through the backtracking engine, with its memory.
    pub(super) fn search_exact(&self, text: &str, scratch: &mut Scratch) -> Result<bool, TooHard> {
        backtrack::search(self.program()?, scratch, text, STEPS)
    }

    /// The same without, as far as that goes.
    pub(super) fn search_hastily(&self, text: &str, scratch: &mut Scratch) -> Result<bool, TooHard> {
        backtrack::search_hastily(self.program()?, scratch, text)
    }

    fn program(&self) -> Result<&Program, TooHard> {
        let program = self.exact.get_or_init(|| program::compile(&self.node, self.groups));
        program.as_ref().ok_or(TooHard)
    }
}

impl Linear {
    /// Whether this engine is exact for the text.
    fn serves(&self, text: &str) -> bool {
        let inner = text.strip_suffix('\n').unwrap_or(text);
        (!self.demands.single_line || memchr::memchr(b'\n', inner.as_bytes()).is_none())
            && (!self.demands.ascii || (text.is_ascii() && !text.is_empty()))
    }
}

fn build(node: &Node) -> Option<Linear> {
    let mut demands = Demands::default();
    let hir = linear::exact(node, &mut demands)?;
    let config =
        meta::Config::new().utf8_empty(true).nfa_size_limit(Some(16 << 20)).hybrid_cache_capacity(1 << 20);
    let regex =
        meta::Builder::new().configure(config).syntax(syntax::Config::new()).build_from_hir(&hir).ok()?;
    Some(Linear { regex, demands })
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Regex").field(&self.pattern).finish()
    }
}
