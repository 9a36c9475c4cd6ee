//! Rewrites that change nothing but make a pattern regular: a look-around that a set can say, or that says nothing.

use regex_syntax::hir::ClassUnicode;

use super::ast::{Look, Node, Repeat};
use super::class;

/// Rewrites a whole pattern.
pub(super) fn simplify(node: Node) -> Node {
    rewrite(node, None)
}

/// `before`: the characters of which one certainly stands directly before this piece, when that is known.
fn rewrite(node: Node, before: Option<&ClassUnicode>) -> Node {
    match node {
        Node::Group(group, node) => Node::Group(group, Box::new(rewrite(*node, before))),
        Node::Atomic(node) => Node::Atomic(Box::new(rewrite(*node, before))),
        Node::Alternate(nodes) => {
            Node::Alternate(nodes.into_iter().map(|node| rewrite(node, before)).collect())
        }
        Node::Concat(nodes) => concat(nodes, before),
        Node::Conditional { group, yes, no } => Node::Conditional {
            group,
            yes: Box::new(rewrite(*yes, before)),
            no: Box::new(rewrite(*no, before)),
        },
        Node::Repeat(repeat) => {
            let inner = if looks_behind(&repeat.node) { join(before, &repeat.node) } else { None };
            let Repeat { node, min, max, greed } = *repeat;
            Node::Repeat(Box::new(Repeat { node: rewrite(node, inner.as_ref()), min, max, greed }))
        }
        Node::Look(look) => match before {
            Some(before) if says_nothing(&look, before) => Node::Empty,
            _ => {
                // A look-behind's body begins elsewhere.
                let before = if look.behind.is_some() { None } else { before };
                let Look { node, negated, behind } = *look;
                Node::Look(Box::new(Look { node: rewrite(node, before), negated, behind }))
            }
        },
        node => node,
    }
}

/// `(?<=:)` behind something that ends with `:` in any case.
fn says_nothing(look: &Look, before: &ClassUnicode) -> bool {
    if look.behind != Some(1) {
        return false;
    }
    let Some(wanted) = single(&look.node) else { return false };
    let mut common = before.clone();
    common.intersect(&wanted);
    if look.negated { common.ranges().is_empty() } else { common == *before }
}

fn concat(nodes: Vec<Node>, before: Option<&ClassUnicode>) -> Node {
    let mut done: Vec<Node> = Vec::with_capacity(nodes.len());
    let mut rest = nodes.into_iter().peekable();
    while let Some(node) = rest.next() {
        let node = match (as_set(&node), rest.peek()) {
            (Some((set, negated)), Some(next)) => match narrowed(next, &set, negated) {
                Some(narrowed) => {
                    rest.next();
                    narrowed
                }
                None => node,
            },
            _ => node,
        };
        let behind = if looks_behind(&node) { behind(&done, before) } else { None };
        match rewrite(node, behind.as_ref()) {
            Node::Empty => {}
            node => done.push(node),
        }
    }
    match done.len() {
        0 => Node::Empty,
        _ => Node::Concat(done),
    }
}

/// Whether anything in it asks for the character before.
fn looks_behind(node: &Node) -> bool {
    node.any(&|node| matches!(node, Node::Look(look) if look.behind == Some(1)))
}

/// What stands before whatever follows these pieces.
fn behind(nodes: &[Node], before: Option<&ClassUnicode>) -> Option<ClassUnicode> {
    let nullable = nodes.iter().rev().take_while(|node| node.nullable()).count();
    let mut all = all_last(nodes.iter().rev().take(nullable + 1))?;
    if nullable == nodes.len() {
        all.union(before?);
    }
    Some(all)
}

/// A look-ahead at a single character.
fn as_set(node: &Node) -> Option<(ClassUnicode, bool)> {
    match node {
        Node::Look(look) if look.behind.is_none() => Some((single(&look.node)?, look.negated)),
        _ => None,
    }
}

/// The piece with its first character narrowed to what a look-ahead before it allows.
pub(super) fn narrowed(node: &Node, set: &ClassUnicode, negated: bool) -> Option<Node> {
    match node {
        Node::Class(_) | Node::Literal(_) => {
            let mut class = single(node)?;
            if negated {
                class.difference(set);
            } else {
                class.intersect(set);
            }
            Some(Node::Class(Box::new(class)))
        }
        Node::Repeat(repeat) if repeat.min > 0 && repeat.greed != super::ast::Greed::Possessive => {
            let first = match &repeat.node {
                node @ (Node::Class(_) | Node::Literal(_)) => narrowed(node, set, negated)?,
                _ => return None,
            };
            let mut rest = repeat.clone();
            rest.min -= 1;
            rest.max = rest.max.map(|max| max - 1);
            Some(Node::Concat(vec![first, Node::Repeat(rest)]))
        }
        _ => None,
    }
}

/// The set of a piece that matches exactly one character.
fn single(node: &Node) -> Option<ClassUnicode> {
    match node {
        Node::Class(class) => Some((**class).clone()),
        Node::Literal(c) => Some(class::single(*c)),
        Node::Alternate(nodes) => {
            let mut all = ClassUnicode::empty();
            for node in nodes {
                all.union(&single(node)?);
            }
            Some(all)
        }
        _ => None,
    }
}

/// What may stand before whatever follows `node`.
fn join(before: Option<&ClassUnicode>, node: &Node) -> Option<ClassUnicode> {
    let mut last = last(node)?;
    if node.nullable() {
        last.union(before?);
    }
    Some(last)
}

/// The characters that a match of this piece can end with, when it is not empty.
fn last(node: &Node) -> Option<ClassUnicode> {
    match node {
        Node::Empty | Node::Assert(_) | Node::Look(_) => Some(ClassUnicode::empty()),
        Node::Class(_) | Node::Literal(_) => single(node),
        Node::Group(_, node) | Node::Atomic(node) => last(node),
        Node::Repeat(repeat) => last(&repeat.node),
        Node::Alternate(nodes) => all_last(nodes.iter()),
        Node::Conditional { yes, no, .. } => all_last([&**yes, &**no].into_iter()),
        Node::Backref { .. } => None,
        Node::Concat(nodes) => {
            let nullable = nodes.iter().rev().take_while(|node| node.nullable()).count();
            all_last(nodes.iter().rev().take(nullable + 1))
        }
    }
}

fn all_last<'n>(nodes: impl Iterator<Item = &'n Node>) -> Option<ClassUnicode> {
    let mut all = ClassUnicode::empty();
    for node in nodes {
        all.union(&last(node)?);
    }
    Some(all)
}
