//! Trees for the linear-time engines: an exact one, where the pattern is regular, and a superset, which always is.

use regex_syntax::hir::{
    Capture, Class, ClassBytes, ClassBytesRange, ClassUnicode, Hir, Look as Place, Repetition,
};

use super::ast::{Assertion, Greed, Node, Repeat};
use super::{program, rewrite};

/// Counted repetitions beyond this are without end in a superset, which keeps it small.
const COUNTED: u32 = 6;

/// What must hold of a text, that the exact linear tree is exact for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Demands {
    /// No line feed but at the very end: `$` is the end of a line then.
    pub(super) single_line: bool,
    /// Only ASCII: `\b` is ASCII's then.
    pub(super) ascii: bool,
}

/// The same language, with the same preferences and groups; `None` when it is not regular, or when loops over nothing
/// would give groups other spans than Python's.
pub(super) fn exact(node: &Node, demands: &mut Demands) -> Option<Hir> {
    Some(match node {
        Node::Empty => Hir::empty(),
        Node::Literal(c) => literal(*c),
        Node::Class(class) => Hir::class(Class::Unicode((**class).clone())),
        Node::Assert(assertion) => Hir::look(match assertion {
            Assertion::Start => Place::Start,
            Assertion::LineStart => Place::StartLF,
            Assertion::End => Place::End,
            Assertion::LineEnd => Place::EndLF,
            Assertion::EndOrLastNewline => {
                demands.single_line = true;
                Place::EndLF
            }
            Assertion::Word { .. } => {
                demands.ascii = true;
                Place::WordAscii
            }
            Assertion::NotWord { .. } => {
                demands.ascii = true;
                Place::WordAsciiNegate
            }
        }),
        Node::Group(group, node) => Hir::capture(Capture {
            index: u32::try_from(*group).ok()?,
            name: None,
            sub: Box::new(exact(node, demands)?),
        }),
        Node::Concat(nodes) => Hir::concat(all(nodes, demands)?),
        Node::Alternate(nodes) => Hir::alternation(all(nodes, demands)?),
        Node::Repeat(repeat) => {
            let Repeat { node, min, max, greed } = &**repeat;
            let looping = *max != Some(1) && *max != Some(0);
            if *greed == Greed::Possessive || looping && node.nullable() {
                return None;
            }
            Hir::repetition(Repetition {
                min: *min,
                max: *max,
                greedy: *greed == Greed::Greedy,
                sub: Box::new(exact(node, demands)?),
            })
        }
        Node::Look(_) | Node::Atomic(_) | Node::Backref { .. } | Node::Conditional { .. } => return None,
    })
}

fn all(nodes: &[Node], demands: &mut Demands) -> Option<Vec<Hir>> {
    nodes.iter().map(|node| exact(node, demands)).collect()
}

fn literal(c: char) -> Hir {
    Hir::literal(c.encode_utf8(&mut [0; 4]).as_bytes())
}

/// Whether the superset of a pattern that is applied to a whole text is the pattern itself, for texts of one line in ASCII.
pub(crate) fn is_own_superset(node: &Node) -> bool {
    match node {
        Node::Empty | Node::Literal(_) | Node::Class(_) => true,
        Node::Assert(assertion) => matches!(
            assertion,
            Assertion::Start | Assertion::LineStart | Assertion::LineEnd | Assertion::EndOrLastNewline
        ),
        Node::Group(_, node) => is_own_superset(node),
        Node::Concat(nodes) | Node::Alternate(nodes) => nodes.iter().all(is_own_superset),
        Node::Repeat(repeat) => {
            let counted = repeat.min.max(repeat.max.unwrap_or(0));
            repeat.greed != Greed::Possessive && counted <= COUNTED && is_own_superset(&repeat.node)
        }
        Node::Look(_) | Node::Atomic(_) | Node::Backref { .. } | Node::Conditional { .. } => false,
    }
}

/// A tree that accepts only what the pattern matches in a whole text, for texts of one line in ASCII: not all of it where
/// that is hard to say. `None`: nothing that could be said.
pub(crate) fn subset(node: &Node) -> Option<Hir> {
    Some(match node {
        Node::Group(_, node) => subset(node)?,
        Node::Concat(nodes) => {
            let mut trees = Vec::with_capacity(nodes.len());
            let mut rest = nodes.iter();
            while let Some(node) = rest.next() {
                trees.push(match node {
                    // Where the next character is none that the look-ahead could begin with, it finds nothing.
                    Node::Look(look) if look.negated && look.behind.is_none() && !look.node.nullable() => {
                        let first = program::first(&look.node)?;
                        subset(&rewrite::narrowed(rest.next()?, &first, true)?)?
                    }
                    node => subset(node)?,
                });
            }
            Hir::concat(trees)
        }
        Node::Alternate(nodes) => {
            let trees: Vec<Hir> = nodes.iter().filter_map(subset).collect();
            if trees.is_empty() {
                return None;
            }
            Hir::alternation(trees)
        }
        Node::Repeat(repeat) => {
            if repeat.greed == Greed::Possessive || repeat.min > COUNTED {
                return None;
            }
            match subset(&repeat.node) {
                Some(sub) => Hir::repetition(Repetition {
                    min: repeat.min,
                    max: repeat.max.map(|max| max.min(COUNTED)),
                    greedy: true,
                    sub: Box::new(sub),
                }),
                None if repeat.min == 0 => Hir::empty(),
                None => return None,
            }
        }
        node => superset(Some(node).filter(|node| is_own_superset(node))?, Scene::Whole, None),
    })
}

/// Whether this is one character, any but a line feed.
pub(crate) fn is_any_of_line(node: &Node) -> bool {
    let Node::Class(class) = node else { return false };
    let mut left = super::class::dot(false);
    left.difference(class);
    left.ranges().is_empty()
}

/// Where a pattern is applied, for the superset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    /// To the text that the automaton reads.
    Whole,
    /// To a piece cut out of it, with a line feed behind that the text itself may not have.
    Piece,
    /// The same, and where the piece ends, a line of the text ends.
    Rest,
}

/// An automaton's tree that accepts at least what the pattern matches, and whether a match must begin at the start.
/// `inside` replaces the body of that group.
pub(crate) fn superset(node: &Node, scene: Scene, inside: Option<(usize, &Hir)>) -> Hir {
    let over = |node: &Node| superset(node, scene, inside);
    match node {
        Node::Empty | Node::Look(_) => Hir::empty(),
        Node::Literal('\n') if scene != Scene::Whole => optional(literal('\n')),
        Node::Literal(c) => literal(*c),
        Node::Class(class) => {
            let hir = bytes(class);
            if scene != Scene::Whole && super::class::contains(class, '\n') { optional(hir) } else { hir }
        }
        Node::Assert(assertion) => match (assertion, scene) {
            (Assertion::Start, Scene::Whole) => Hir::look(Place::Start),
            (Assertion::LineStart, Scene::Whole) => Hir::look(Place::StartLF),
            (Assertion::LineEnd | Assertion::EndOrLastNewline, Scene::Whole | Scene::Rest)
            | (Assertion::End, Scene::Rest) => Hir::look(Place::EndLF),
            _ => Hir::empty(),
        },
        Node::Group(group, _) if inside.is_some_and(|(replaced, _)| replaced == *group) => {
            inside.map_or_else(Hir::empty, |(_, hir)| hir.clone())
        }
        Node::Group(_, node) | Node::Atomic(node) => over(node),
        Node::Concat(nodes) => {
            let replaced = inside.and_then(|(group, _)| nodes.iter().position(|node| holds(node, group)));
            // What stands behind the piece is not asked: the piece may be read in another way than the text was.
            let end = replaced.map_or(nodes.len(), |at| at + 1);
            Hir::concat(nodes[..end].iter().map(over).collect())
        }
        Node::Alternate(nodes) => Hir::alternation(nodes.iter().map(over).collect()),
        Node::Conditional { yes, no, .. } => Hir::alternation(vec![over(yes), over(no)]),
        Node::Repeat(repeat) => Hir::repetition(Repetition {
            min: repeat.min.min(COUNTED),
            max: repeat.max.filter(|max| *max <= COUNTED),
            greedy: repeat.greed != Greed::Lazy,
            sub: Box::new(over(&repeat.node)),
        }),
        Node::Backref { .. } => anything(),
    }
}

fn holds(node: &Node, group: usize) -> bool {
    node.any(&|node| matches!(node, Node::Group(number, _) if *number == group))
}

/// Any text.
pub(crate) fn anything() -> Hir {
    let any = Hir::class(Class::Bytes(ClassBytes::new([ClassBytesRange::new(0, 255)])));
    Hir::repetition(Repetition { min: 0, max: None, greedy: false, sub: Box::new(any) })
}

fn optional(hir: Hir) -> Hir {
    Hir::repetition(Repetition { min: 0, max: Some(1), greedy: true, sub: Box::new(hir) })
}

/// The set in bytes; all that is not ASCII counts as in it when anything of that is.
fn bytes(class: &ClassUnicode) -> Hir {
    // Ranges are in order.
    let ascii = class.ranges().iter().take_while(|range| range.start().is_ascii()).map(|range| {
        let end = if range.end().is_ascii() { range.end() } else { '\x7f' };
        ClassBytesRange::new(range.start() as u8, end as u8)
    });
    let ascii = Hir::class(Class::Bytes(ClassBytes::new(ascii)));
    let more = class.ranges().last().is_some_and(|range| !range.end().is_ascii());
    if !more {
        return ascii;
    }
    let class = |start, end| Hir::class(Class::Bytes(ClassBytes::new([ClassBytesRange::new(start, end)])));
    let tail = Repetition { min: 0, max: None, greedy: true, sub: Box::new(class(0x80, 0xbf)) };
    Hir::alternation(vec![ascii, Hir::concat(vec![class(0xc2, 0xf4), Hir::repetition(tail)])])
}
