//! Everything that begins with a parenthesis.

use super::super::ast::{Look, Node};
use super::escape::is_identifier;
use super::{Error, Flags, GroupState, Parser, repr};

/// Python's flag letters.
const LETTERS: &str = "aiLmsux";

impl Parser {
    /// A group; `None` for comments and global flags. `start` is the parenthesis, `at_start`: nothing stands before it.
    pub(super) fn group(
        &mut self,
        start: usize,
        flags: &mut Flags,
        at_start: bool,
    ) -> Result<Option<Node>, Error> {
        if !self.eat('?') {
            return self.capture(start, None, *flags).map(Some);
        }
        let position = self.at;
        let Some(c) = self.next() else {
            return Err(self.error("unexpected end of pattern", self.at));
        };
        match c {
            'P' => self.named(start, *flags).map(Some),
            ':' => self.body(start, *flags).map(Some),
            '#' => {
                loop {
                    match self.next() {
                        Some(')') => return Ok(None),
                        // Python reads a backslash and what follows as one.
                        Some('\\') => self.at += 1,
                        Some(_) => {}
                        None => return Err(self.error("missing ), unterminated comment", start)),
                    }
                }
            }
            '=' | '!' => self.look(start, c == '!', false, *flags).map(Some),
            '<' => match self.next() {
                None => Err(self.error("unexpected end of pattern", self.at)),
                Some(c @ ('=' | '!')) => self.look(start, c == '!', true, *flags).map(Some),
                Some(_) => Err(self.unknown_extension("?<", position + 1, start)),
            },
            '(' => self.conditional(start, *flags).map(Some),
            '>' => Ok(Some(Node::Atomic(Box::new(self.body(start, *flags)?)))),
            c if LETTERS.contains(c) || c == '-' => match self.flags(c, start, *flags)? {
                Scope::Group(inner) => self.body(start, inner).map(Some),
                Scope::All(all) => {
                    if !at_start {
                        return Err(self.error("global flags not at the start of the expression", start));
                    }
                    *flags = all;
                    self.global = all;
                    Ok(None)
                }
            },
            _ => Err(self.unknown_extension("?", position, start)),
        }
    }

    /// Python reads a backslash and what follows as one.
    fn unknown_extension(&mut self, before: &str, position: usize, start: usize) -> Error {
        if self.chars.get(position) == Some(&'\\') {
            self.at = position + 2;
        }
        match &self.chars[position..] {
            ['\\'] => self.error("bad escape (end of pattern)", position),
            ['\\', c, ..] => self.error(&format!("unknown extension {before}\\{c}"), start + 1),
            [c, ..] => self.error(&format!("unknown extension {before}{c}"), start + 1),
            [] => self.error("unexpected end of pattern", position),
        }
    }

    /// The rest of a group: alternatives and the closing parenthesis.
    fn body(&mut self, start: usize, flags: Flags) -> Result<Node, Error> {
        let node = self.alternatives(flags, false)?;
        if !self.eat(')') {
            return Err(self.error("missing ), unterminated subpattern", start));
        }
        // Kept together, lest a repetition that follows takes only its last piece for its own.
        Ok(match node {
            node @ Node::Assert(_) => Node::Concat(vec![node]),
            node => node,
        })
    }

    fn capture(&mut self, start: usize, name: Option<(String, usize)>, flags: Flags) -> Result<Node, Error> {
        let group = self.groups.len();
        self.groups.push(GroupState { open: true, width: None });
        if let Some((name, position)) = name {
            if let Some(former) = self.names.get(&name) {
                let name = repr(&name);
                let message =
                    format!("redefinition of group name {name} as group {group}; was group {former}");
                return Err(self.error(&message, position));
            }
            self.names.insert(name, group);
        }
        let node = self.body(start, flags)?;
        self.groups[group] = GroupState { open: false, width: Some(node.width()) };
        Ok(Node::Group(group, Box::new(node)))
    }

    /// Behind `(?P`.
    fn named(&mut self, start: usize, flags: Flags) -> Result<Node, Error> {
        match self.next() {
            Some('<') => {
                let position = self.at;
                let name = self.name('>')?;
                self.identifier(&name, position)?;
                self.capture(start, Some((name, position)), flags)
            }
            Some('=') => {
                let position = self.at;
                let name = self.name(')')?;
                self.identifier(&name, position)?;
                let Some(group) = self.names.get(&name).copied() else {
                    return Err(self.error(&format!("unknown group name {}", repr(&name)), position));
                };
                if self.groups[group].open {
                    return Err(self.error("cannot refer to an open group", position));
                }
                self.reference(group, start, self.at, flags)
            }
            None => Err(self.error("unexpected end of pattern", self.at)),
            Some(_) => Err(self.unknown_extension("?P", self.at - 1, start)),
        }
    }

    fn look(&mut self, start: usize, negated: bool, behind: bool, flags: Flags) -> Result<Node, Error> {
        let outer = self.lookbehind;
        if behind && outer.is_none() {
            self.lookbehind = Some(self.groups.len());
        }
        let node = self.alternatives(flags, false)?;
        self.lookbehind = outer;
        if !self.eat(')') {
            return Err(self.error("missing ), unterminated subpattern", start));
        }
        let behind = if behind {
            match self.width(&node) {
                (low, Some(high)) if low == high => Some(low.try_into().unwrap_or(u32::MAX)),
                _ => {
                    let error = Error("look-behind requires fixed-width pattern".into());
                    self.late.get_or_insert(error);
                    None
                }
            }
        } else {
            None
        };
        Ok(Node::Look(Box::new(Look { node, negated, behind })))
    }

    /// The width, with back-references as wide as their groups (the tree alone does not know).
    fn width(&self, node: &Node) -> (u64, Option<u64>) {
        match node {
            Node::Backref { group, .. } => self.groups[*group].width.unwrap_or((0, None)),
            Node::Concat(nodes) => nodes.iter().fold((0, Some(0)), |sum, node| {
                let (low, high) = self.width(node);
                (sum.0 + low, sum.1.zip(high).map(|(a, b)| a + b))
            }),
            node => node.width(),
        }
    }

    /// Behind `(?(`.
    fn conditional(&mut self, start: usize, flags: Flags) -> Result<Node, Error> {
        let position = self.at;
        let name = self.name(')')?;
        let group = if is_identifier(&name) {
            match self.names.get(&name) {
                Some(group) => *group,
                None => return Err(self.error(&format!("unknown group name {}", repr(&name)), position)),
            }
        } else {
            let number = name.trim().parse::<usize>().ok();
            match number {
                None => {
                    let message = format!("bad character in group name {}", repr(&name));
                    return Err(self.error(&message, position));
                }
                Some(0) => return Err(self.error("bad group number", position)),
                Some(group) if group > 1_000_000 => {
                    return Err(self.error(&format!("invalid group reference {group}"), position));
                }
                Some(group) => {
                    self.conditions.push((group, position));
                    group
                }
            }
        };
        self.outside_lookbehind(group, self.at)?;
        let yes = self.sequence(flags, false)?;
        let no = if self.eat('|') {
            let no = self.sequence(flags, false)?;
            if self.peek() == Some('|') {
                return Err(self.error("conditional backref with more than two branches", self.at));
            }
            no
        } else {
            Node::Empty
        };
        if !self.eat(')') {
            return Err(self.error("missing ), unterminated subpattern", start));
        }
        Ok(Node::Conditional { group, yes: Box::new(yes), no: Box::new(no) })
    }

    /// `(?i)`, `(?i:`, `(?i-s:`; `c` is the first character, eaten already.
    fn flags(&mut self, first: char, _start: usize, outer: Flags) -> Result<Scope, Error> {
        let mut added = Vec::new();
        let mut removed = Vec::new();
        let mut c = first;
        if c != '-' {
            loop {
                if c == 'L' {
                    let message = "bad inline flags: cannot use 'L' flag with a str pattern";
                    return Err(self.error(message, self.at));
                }
                added.push(c);
                if added.contains(&'a') && added.contains(&'u') {
                    let message = "bad inline flags: flags 'a', 'u' and 'L' are incompatible";
                    return Err(self.error(message, self.at));
                }
                c = self.next().ok_or_else(|| self.error("missing -, : or )", self.at))?;
                if matches!(c, ')' | '-' | ':') {
                    break;
                }
                self.flag_letter(c, "missing -, : or )")?;
            }
        }
        if c == ')' {
            return Ok(Scope::All(apply(outer, &added, &removed)));
        }
        if c == '-' {
            c = self.next().ok_or_else(|| self.error("missing flag", self.at))?;
            self.flag_letter(c, "missing flag")?;
            loop {
                if matches!(c, 'a' | 'u' | 'L') {
                    let message = "bad inline flags: cannot turn off flags 'a', 'u' and 'L'";
                    return Err(self.error(message, self.at));
                }
                removed.push(c);
                c = self.next().ok_or_else(|| self.error("missing :", self.at))?;
                if c == ':' {
                    break;
                }
                self.flag_letter(c, "missing :")?;
            }
        }
        if added.iter().any(|flag| removed.contains(flag)) {
            return Err(self.error("bad inline flags: flag turned on and off", self.at - 1));
        }
        Ok(Scope::Group(apply(outer, &added, &removed)))
    }

    /// Refuses what is no flag letter; it was eaten already.
    fn flag_letter(&mut self, c: char, otherwise: &str) -> Result<(), Error> {
        if LETTERS.contains(c) {
            return Ok(());
        }
        let position = self.at - 1;
        // Python reads a backslash and what follows as one.
        self.at += usize::from(c == '\\');
        Err(self.error(if c.is_alphabetic() { "unknown flag" } else { otherwise }, position))
    }
}

/// How far flags reach.
enum Scope {
    Group(Flags),
    All(Flags),
}

fn apply(mut flags: Flags, added: &[char], removed: &[char]) -> Flags {
    for (letters, on) in [(added, true), (removed, false)] {
        for letter in letters {
            match letter {
                'a' => flags.ascii = on,
                'u' => flags.ascii = false,
                'i' => flags.ignorecase = on,
                'm' => flags.multiline = on,
                's' => flags.dotall = on,
                'x' => flags.verbose = on,
                _ => {}
            }
        }
    }
    flags
}
