//! The tree of a Python pattern.

use regex_syntax::hir::ClassUnicode;

/// A piece of a pattern. Flags are resolved by the parser: what a `.` or a `$` means here stands in the tree.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    /// Matches the empty text.
    Empty,
    /// One character of a set.
    Class(Box<ClassUnicode>),
    /// One certain character.
    Literal(char),
    /// A place, no character.
    Assert(Assertion),
    /// A capturing group; numbers begin with 1.
    Group(usize, Box<Node>),
    /// One after the other.
    Concat(Vec<Node>),
    /// The first that fits, in this order.
    Alternate(Vec<Node>),
    /// Again and again.
    Repeat(Box<Repeat>),
    /// A look around without consuming.
    Look(Box<Look>),
    /// `(?>…)`: once matched, never tried in another way.
    Atomic(Box<Node>),
    /// The text of an earlier group; the flag says whether letter case counts.
    Backref { group: usize, fold: bool },
    /// `(?(group)yes|no)`
    Conditional { group: usize, yes: Box<Node>, no: Box<Node> },
}

/// How a repetition chooses among its possibilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Greed {
    /// `x*`: the longest first
    Greedy,
    /// `x*?`: the shortest first
    Lazy,
    /// `x*+`: the longest only
    Possessive,
}

/// `x{min,max}`
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Repeat {
    pub(crate) node: Node,
    pub(crate) min: u32,
    /// `None`: without end.
    pub(crate) max: Option<u32>,
    pub(crate) greed: Greed,
}

/// `(?=…)`, `(?!…)`, `(?<=…)`, `(?<!…)`
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Look {
    pub(crate) node: Node,
    pub(crate) negated: bool,
    /// `Some(n)`: a look-behind over exactly `n` characters.
    pub(crate) behind: Option<u32>,
}

/// Places in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Assertion {
    /// `\A`, and `^` without `MULTILINE`
    Start,
    /// `^` with `MULTILINE`
    LineStart,
    /// `\Z`
    End,
    /// `$` without `MULTILINE`: the end, or before a line feed that is the last character
    EndOrLastNewline,
    /// `$` with `MULTILINE`
    LineEnd,
    /// `\b`; with the `a` flag only ASCII letters make words
    Word { ascii: bool },
    /// `\B`
    NotWord { ascii: bool },
}

impl Node {
    /// Whether the empty text can match.
    pub(crate) fn nullable(&self) -> bool {
        match self {
            Node::Empty | Node::Assert(_) | Node::Look(_) | Node::Backref { .. } => true,
            Node::Class(_) | Node::Literal(_) => false,
            Node::Group(_, node) | Node::Atomic(node) => node.nullable(),
            Node::Concat(nodes) => nodes.iter().all(Node::nullable),
            Node::Alternate(nodes) => nodes.iter().any(Node::nullable),
            Node::Repeat(repeat) => repeat.min == 0 || repeat.node.nullable(),
            Node::Conditional { yes, no, .. } => yes.nullable() || no.nullable(),
        }
    }

    /// The nodes directly below.
    pub(crate) fn children(&self) -> Vec<&Node> {
        match self {
            Node::Empty | Node::Class(_) | Node::Literal(_) | Node::Assert(_) | Node::Backref { .. } => {
                Vec::new()
            }
            Node::Group(_, node) | Node::Atomic(node) => vec![node],
            Node::Concat(nodes) | Node::Alternate(nodes) => nodes.iter().collect(),
            Node::Repeat(repeat) => vec![&repeat.node],
            Node::Look(look) => vec![&look.node],
            Node::Conditional { yes, no, .. } => vec![yes, no],
        }
    }

    /// Whether this node or one below answers yes to the question.
    pub(crate) fn any(&self, question: &dyn Fn(&Node) -> bool) -> bool {
        question(self) || self.children().into_iter().any(|child| child.any(question))
    }

    /// Least and greatest number of characters that can match; `None` is without end.
    pub(crate) fn width(&self) -> (u64, Option<u64>) {
        match self {
            Node::Empty | Node::Assert(_) | Node::Look(_) => (0, Some(0)),
            Node::Class(_) | Node::Literal(_) => (1, Some(1)),
            Node::Backref { .. } => (0, None),
            Node::Group(_, node) | Node::Atomic(node) => node.width(),
            Node::Concat(nodes) => nodes.iter().map(Node::width).fold((0, Some(0)), |a, b| {
                (a.0.saturating_add(b.0), a.1.zip(b.1).map(|(a, b)| a.saturating_add(b)))
            }),
            Node::Alternate(nodes) => nodes.iter().map(Node::width).reduce(either).unwrap_or((0, Some(0))),
            Node::Conditional { yes, no, .. } => either(yes.width(), no.width()),
            Node::Repeat(repeat) => {
                let (low, high) = repeat.node.width();
                let most = match (high, repeat.max) {
                    (Some(0), _) => Some(0),
                    (high, max) => high.zip(max).map(|(high, max)| high.saturating_mul(u64::from(max))),
                };
                (low.saturating_mul(u64::from(repeat.min)), most)
            }
        }
    }
}

fn either(a: (u64, Option<u64>), b: (u64, Option<u64>)) -> (u64, Option<u64>) {
    (a.0.min(b.0), a.1.zip(b.1).map(|(a, b)| a.max(b)))
}
