//! Reads a Python pattern. What Python refuses is refused with Python's words and position.

mod escape;
mod group;

use indexmap::IndexMap;
use regex_syntax::hir::ClassUnicode;

use super::ast::{Assertion, Greed, Node, Repeat};
use super::class;

/// How deep groups may nest. Python's own limit is its recursion limit, a few hundred.
const DEEPEST: usize = 150;
/// A pattern longer than this is refused.
const LONGEST: usize = 200_000;

/// Why a pattern is refused: Python's message with its position (`nothing to repeat at position 3`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Error(pub(crate) String);

/// A parsed pattern.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    pub(crate) node: Node,
    /// Names of groups and their numbers, in order of appearance.
    pub(crate) names: IndexMap<String, usize>,
    /// How many groups there are.
    pub(crate) groups: usize,
}

/// Python's flags, as far as they matter for text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) ignorecase: bool,
    pub(crate) multiline: bool,
    pub(crate) dotall: bool,
    pub(crate) verbose: bool,
    pub(crate) ascii: bool,
}

/// Parses `pattern` under flags from outside (`MULTILINE` for filters with several lines).
///
/// # Errors
/// Python's message, or ours for patterns beyond our bounds.
pub(crate) fn parse(pattern: &str, flags: Flags) -> Result<Parsed, Error> {
    let mut parser = Parser {
        chars: pattern.chars().collect(),
        at: 0,
        global: flags,
        names: IndexMap::new(),
        groups: vec![GroupState { open: true, width: None }],
        conditions: Vec::new(),
        lookbehind: None,
        late: None,
        depth: 0,
    };
    if parser.chars.len() > LONGEST {
        return Err(Error(format!("pattern is longer than {LONGEST} characters")));
    }
    let node = parser.alternatives(flags, true)?;
    if parser.at < parser.chars.len() {
        return Err(parser.error("unbalanced parenthesis", parser.at));
    }
    if let Some((group, position)) =
        parser.conditions.iter().find(|(group, _)| *group >= parser.groups.len()).copied()
    {
        return Err(parser.error(&format!("invalid group reference {group}"), position));
    }
    if let Some(error) = parser.late {
        return Err(error);
    }
    Ok(Parsed { node, groups: parser.groups.len() - 1, names: parser.names })
}

struct GroupState {
    open: bool,
    width: Option<(u64, Option<u64>)>,
}

struct Parser {
    chars: Vec<char>,
    at: usize,
    global: Flags,
    names: IndexMap<String, usize>,
    /// Index 0 is the whole match.
    groups: Vec<GroupState>,
    /// Groups tested by conditionals and where: they may be defined later.
    conditions: Vec<(usize, usize)>,
    /// Inside a look-behind: how many groups there were when it began.
    lookbehind: Option<usize>,
    /// A mistake that Python finds only after it has read everything.
    late: Option<Error>,
    depth: usize,
}

impl Parser {
    fn error(&self, message: &str, position: usize) -> Error {
        // Python looks one step ahead: a lone backslash at the end is found before whatever is wrong with the step before.
        let last = self.chars.len().saturating_sub(1);
        let backslashes = self.chars.iter().rev().take_while(|c| **c == '\\').count();
        let (message, position) = if backslashes % 2 == 1 && self.at >= last {
            ("bad escape (end of pattern)", last)
        } else {
            (message, position)
        };
        if !self.chars.contains(&'\n') {
            return Error(format!("{message} at position {position}"));
        }
        let before = &self.chars[..position.min(self.chars.len())];
        let line = before.iter().filter(|c| **c == '\n').count() + 1;
        let column = before.iter().rev().take_while(|c| **c != '\n').count() + 1;
        Error(format!("{message} at position {position} (line {line}, column {column})"))
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        self.at += usize::from(found);
        found
    }

    fn eat_while(&mut self, most: usize, fits: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while taken.len() < most && self.peek().is_some_and(&fits) {
            taken.extend(self.next());
        }
        taken
    }

    /// `a|b|c`, up to a closing parenthesis or the end.
    fn alternatives(&mut self, flags: Flags, top: bool) -> Result<Node, Error> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error("groups nested too deep", self.at));
        }
        let mut branches = Vec::new();
        loop {
            let flags = if top { self.global } else { flags };
            branches.push(self.sequence(flags, top && branches.is_empty())?);
            if !self.eat('|') {
                break;
            }
        }
        self.depth -= 1;
        Ok(if branches.len() == 1 { branches.remove(0) } else { Node::Alternate(branches) })
    }

    /// One branch. `first`: global flags are allowed at its very beginning.
    fn sequence(&mut self, mut flags: Flags, first: bool) -> Result<Node, Error> {
        let mut items: Vec<Item> = Vec::new();
        while let Some(c) = self.peek() {
            if c == '|' || c == ')' {
                break;
            }
            let start = self.at;
            self.at += 1;
            if flags.verbose {
                if matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c') {
                    continue;
                }
                if c == '#' {
                    while self.next().is_some_and(|c| c != '\n') {}
                    continue;
                }
            }
            match c {
                '\\' => items.push(Item::plain(self.escape(start, flags)?)),
                '[' => items.push(Item::plain(self.set(start, flags)?)),
                '.' => items.push(Item::plain(Node::Class(Box::new(class::dot(flags.dotall))))),
                '^' => items.push(Item::place(if flags.multiline {
                    Assertion::LineStart
                } else {
                    Assertion::Start
                })),
                '$' => items.push(Item::place(if flags.multiline {
                    Assertion::LineEnd
                } else {
                    Assertion::EndOrLastNewline
                })),
                '*' | '+' | '?' | '{' => self.repeat(c, start, &mut items, flags)?,
                '(' => {
                    let at_start = first && items.is_empty();
                    let node = self.group(start, &mut flags, at_start)?;
                    items.extend(node.map(Item::plain));
                }
                c => items.push(Item::plain(literal(c, flags))),
            }
        }
        let mut nodes: Vec<Node> = items.into_iter().map(|item| item.node).collect();
        Ok(match nodes.len() {
            0 => Node::Empty,
            1 => nodes.remove(0),
            _ => Node::Concat(nodes),
        })
    }

    fn repeat(&mut self, c: char, start: usize, items: &mut Vec<Item>, flags: Flags) -> Result<(), Error> {
        let (min, max) = match c {
            '*' => (0, None),
            '+' => (1, None),
            '?' => (0, Some(1)),
            _ => {
                let Some(counts) = self.counts(start)? else {
                    items.push(Item::plain(literal('{', flags)));
                    return Ok(());
                };
                counts
            }
        };
        match items.last() {
            None | Some(Item { kind: Kind::Place, .. }) => return Err(self.error("nothing to repeat", start)),
            Some(Item { kind: Kind::Repeat, .. }) => return Err(self.error("multiple repeat", start)),
            Some(_) => {}
        }
        let greed = if self.eat('?') {
            Greed::Lazy
        } else if self.eat('+') {
            Greed::Possessive
        } else {
            Greed::Greedy
        };
        if let Some(Item { node, .. }) = items.pop() {
            let node = Node::Repeat(Box::new(Repeat { node, min, max, greed }));
            items.push(Item { node, kind: Kind::Repeat });
        }
        Ok(())
    }

    /// What stands behind `{`: `m}`, `m,}`, `,n}`, `m,n}`; else the brace is an ordinary character.
    fn counts(&mut self, start: usize) -> Result<Option<(u32, Option<u32>)>, Error> {
        let here = self.at;
        if self.peek() == Some('}') {
            return Ok(None);
        }
        let low = self.eat_while(usize::MAX, |c| c.is_ascii_digit());
        let high =
            if self.eat(',') { self.eat_while(usize::MAX, |c| c.is_ascii_digit()) } else { low.clone() };
        if !self.eat('}') {
            self.at = here;
            return Ok(None);
        }
        let number = |digits: &str| match digits {
            "" => Ok(None),
            digits => digits.parse::<u32>().ok().filter(|n| *n < u32::MAX).map(Some).ok_or_else(|| {
                // An OverflowError in Python, which has no position.
                Error("the repetition number is too large".into())
            }),
        };
        let (min, max) = (number(&low)?.unwrap_or(0), number(&high)?);
        if max.is_some_and(|max| max < min) {
            return Err(self.error("min repeat greater than max repeat", start + 1));
        }
        Ok(Some((min, max)))
    }
}

/// What a repetition needs to know of the thing before it.
struct Item {
    node: Node,
    kind: Kind,
}

#[derive(PartialEq, Eq)]
enum Kind {
    Plain,
    Place,
    Repeat,
}

impl Item {
    fn plain(node: Node) -> Self {
        let kind = if matches!(node, Node::Assert(_)) { Kind::Place } else { Kind::Plain };
        Item { node, kind }
    }

    fn place(assertion: Assertion) -> Self {
        Item { node: Node::Assert(assertion), kind: Kind::Place }
    }
}

/// A character as it stands, in all its cases under `(?i)`.
fn literal(c: char, flags: Flags) -> Node {
    if !flags.ignorecase {
        return Node::Literal(c);
    }
    let folded = class::folded(&class::single(c), flags.ascii);
    if folded == class::single(c) { Node::Literal(c) } else { set_node(folded) }
}

fn set_node(class: ClassUnicode) -> Node {
    Node::Class(Box::new(class))
}

/// Python's `repr()` of a name in a message.
fn repr(name: &str) -> String {
    portcullis_value::repr_str(name)
}
