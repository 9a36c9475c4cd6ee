//! A pattern as a program for the backtracking engine.

use std::borrow::Cow;

use regex_syntax::hir::ClassUnicode;

use super::ast::{Assertion, Greed, Look, Node, Repeat};
use super::class::{self, CharSet};
use super::peek::{self, Follow, Peek};

/// More instructions than this are refused: counted repetitions are written out.
const LONGEST: usize = 100_000;
/// Loops over one character that are bounded by so many rounds are spans; each way of a span may be gone from each place.
const SHORT_SPAN: usize = 16;
/// How many conditions the engine's memory may depend on (each doubles it).
const MOST_CONDITIONS: usize = 4;

/// On where how many groups matched it may depend.
pub(super) const MOST_REFERENCED: usize = 2;

/// One step of a program. Numbers are places in the program, unless said.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// One byte: a character of ASCII.
    Byte(u8),
    /// These characters, one after the other.
    Text(Box<str>),
    /// Number of a set.
    Set(usize),
    Assert(Assertion),
    /// Tries `first`, then `second`. `memo` numbers this choice, and what it can begin with is the number's peek.
    Split {
        first: usize,
        second: usize,
        memo: usize,
    },
    /// As many characters of a set as there are, but no more than `most`; then fewer, one at a time. The greedy loop over
    /// one character is that frequent that it has a step of its own. With `one`, a character of the set comes first. The
    /// first half of the number's peek is about what comes behind.
    Span {
        set: usize,
        memo: usize,
        most: usize,
        one: bool,
    },
    /// As few characters of a set as there may be; then more, one at a time. Peeks as above.
    Lazy {
        set: usize,
        memo: usize,
    },
    Jump(usize),
    /// Keeps the position in a slot (two for each group).
    Save(usize),
    /// Forgets where a loop's last round began.
    Enter {
        register: usize,
    },
    /// The head of a loop whose body may match nothing: no second round from the same place.
    Head {
        register: u32,
        body: u32,
        exit: u32,
        lazy: bool,
        memo: u32,
    },
    /// A look around; its body follows and ends with `Match`. The first half of the number's peek is about the body.
    Look {
        negated: bool,
        behind: Option<u32>,
        next: u32,
        table: Option<u32>,
        peek: u32,
    },
    /// An atomic group; its body follows and ends with `Match`.
    Atomic {
        next: usize,
    },
    Backref {
        group: usize,
        fold: bool,
    },
    Condition {
        group: usize,
        no: usize,
    },
    Match,
}

/// What the memory of a choice depends on, besides place and position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depends {
    /// Whether this group has matched.
    Group(usize),
    /// Whether the loop's round has moved yet.
    Register(usize),
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) steps: Vec<Step>,
    pub(super) sets: Vec<CharSet>,
    pub(super) groups: usize,
    pub(super) registers: usize,
    /// How many choices there are.
    pub(super) memos: usize,
    /// What the ways of each choice can begin with.
    pub(super) peeks: Vec<[Peek; 2]>,
    /// What comes behind those of them that are spans or lazy.
    pub(super) follows: Vec<Follow>,
    /// How many look-arounds have answers that can be kept.
    pub(super) tables: usize,
    /// Whether failed choices may be remembered, and on what that depends.
    pub(super) memory: Option<Vec<Depends>>,
    /// The groups that back-references ask for: what a choice leads to depends on where these matched, too.
    pub(super) referenced: Vec<usize>,
    /// Can match at the beginning of the text only.
    pub(super) anchored: bool,
    /// The characters that a match can begin with; `None` when it can be empty.
    pub(super) first: Option<CharSet>,
}

/// Compiles; `None` when the program would be too long.
pub(super) fn compile(node: &Node, groups: usize) -> Option<Program> {
    let mut program = Program {
        steps: Vec::new(),
        sets: Vec::new(),
        groups,
        registers: 0,
        memos: 0,
        peeks: Vec::new(),
        follows: Vec::new(),
        tables: 0,
        memory: None,
        referenced: referenced(node),
        anchored: anchored(node),
        first: first(node).filter(|_| !node.nullable()).map(|class| CharSet::new(&class, "")),
    };
    let mut depends = Vec::new();
    program.node(node, &mut depends)?;
    program.push(Step::Match)?;
    if program.referenced.len() <= MOST_REFERENCED && depends.len() <= MOST_CONDITIONS {
        program.memory = Some(depends);
    }
    program.peeks = peek::peeks(&program);
    program.follows = peek::follows(&program);
    Some(program)
}

/// The groups that back-references ask for, each once.
fn referenced(node: &Node) -> Vec<usize> {
    let mut groups: Vec<usize> = node.children().into_iter().flat_map(referenced).collect();
    if let Node::Backref { group, .. } = node {
        groups.push(*group);
    }
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// Whether a program for this tree stays within bounds, without compiling it.
pub(super) fn fits(node: &Node) -> bool {
    length(node) < LONGEST as u64
}

/// An upper bound of a program's length.
fn length(node: &Node) -> u64 {
    let children: u64 = node.children().into_iter().map(length).fold(0, u64::saturating_add);
    match node {
        Node::Repeat(repeat) => {
            let copies = u64::from(repeat.max.unwrap_or(repeat.min.saturating_add(1)).max(1));
            children.saturating_add(2).saturating_mul(copies).saturating_add(2)
        }
        Node::Alternate(nodes) => children.saturating_add(nodes.len() as u64 * 2),
        _ => children.saturating_add(4),
    }
}

fn anchored(node: &Node) -> bool {
    match node {
        Node::Assert(Assertion::Start) => true,
        Node::Concat(nodes) => nodes.first().is_some_and(anchored),
        Node::Group(_, node) | Node::Atomic(node) => anchored(node),
        Node::Alternate(nodes) => nodes.iter().all(anchored),
        _ => false,
    }
}

/// The characters that the piece can begin with, when it is not empty; `None` when nobody knows.
pub(super) fn first(node: &Node) -> Option<ClassUnicode> {
    let all = |nodes: Vec<&Node>| {
        nodes.into_iter().try_fold(ClassUnicode::empty(), |mut all, node| {
            all.union(&first(node)?);
            Some(all)
        })
    };
    match node {
        Node::Empty | Node::Assert(_) | Node::Look(_) => Some(ClassUnicode::empty()),
        Node::Class(class) => Some((**class).clone()),
        Node::Literal(c) => Some(class::single(*c)),
        Node::Group(_, node) | Node::Atomic(node) => first(node),
        Node::Repeat(repeat) => first(&repeat.node),
        Node::Alternate(nodes) => all(nodes.iter().collect()),
        Node::Conditional { yes, no, .. } => all(vec![&**yes, &**no]),
        Node::Backref { .. } => None,
        Node::Concat(nodes) => {
            let nullable = nodes.iter().take_while(|node| node.nullable()).count();
            all(nodes.iter().take(nullable + 1).collect())
        }
    }
}

/// The set of a piece that is one character.
fn class_of(node: &Node) -> Option<Cow<'_, ClassUnicode>> {
    match node {
        Node::Class(class) => Some(Cow::Borrowed(class)),
        Node::Literal(c) => Some(Cow::Owned(class::single(*c))),
        _ => None,
    }
}

/// The same of a piece that is one character where a certain text does not begin: `(?! from ).`. The text is empty where there is
/// none.
fn tempered(node: &Node) -> Option<(Cow<'_, ClassUnicode>, String)> {
    let Node::Concat(nodes) = node else { return Some((class_of(node)?, String::new())) };
    let [Node::Look(look), character] = nodes.as_slice() else { return None };
    let letters = match &look.node {
        Node::Concat(nodes) => nodes.as_slice(),
        node => std::slice::from_ref(node),
    };
    let text: Option<String> = letters
        .iter()
        .map(|node| if let Node::Literal(letter) = node { Some(*letter) } else { None })
        .collect();
    let text = text.filter(|text| look.negated && look.behind.is_none() && !text.is_empty())?;
    Some((class_of(character)?, text))
}

fn literal(text: &str) -> Step {
    match text.as_bytes() {
        [byte] => Step::Byte(*byte),
        _ => Step::Text(text.into()),
    }
}

impl Program {
    fn push(&mut self, step: Step) -> Option<usize> {
        if self.steps.len() >= LONGEST {
            return None;
        }
        self.steps.push(step);
        Some(self.steps.len() - 1)
    }

    /// The number of a set; the same one for equal sets.
    fn set(&mut self, class: &ClassUnicode, unless: &str) -> usize {
        self.sets.iter().position(|known| known.is(class, unless)).unwrap_or_else(|| {
            self.sets.push(CharSet::new(class, unless));
            self.sets.len() - 1
        })
    }

    fn memo(&mut self) -> usize {
        self.memos += 1;
        self.memos - 1
    }

    fn node(&mut self, node: &Node, depends: &mut Vec<Depends>) -> Option<()> {
        match node {
            Node::Empty => {}
            Node::Literal(c) => {
                self.push(literal(c.encode_utf8(&mut [0; 4])))?;
            }
            Node::Class(class) => {
                let set = self.set(class, "");
                self.push(Step::Set(set))?;
            }
            Node::Assert(assertion) => {
                self.push(Step::Assert(*assertion))?;
            }
            Node::Group(group, node) => {
                self.push(Step::Save(group * 2))?;
                self.node(node, depends)?;
                self.push(Step::Save(group * 2 + 1))?;
            }
            Node::Concat(nodes) => self.concat(nodes, depends)?,
            Node::Alternate(nodes) => self.alternate(nodes, depends)?,
            Node::Repeat(repeat) => self.repeat(repeat, depends)?,
            Node::Look(look) => self.look(look, depends)?,
            Node::Atomic(node) => self.atomic(node, depends)?,
            Node::Backref { group, fold } => {
                self.push(Step::Backref { group: *group, fold: *fold })?;
            }
            Node::Conditional { group, yes, no } => {
                if !depends.contains(&Depends::Group(*group)) {
                    depends.push(Depends::Group(*group));
                }
                let condition = self.push(Step::Condition { group: *group, no: 0 })?;
                self.node(yes, depends)?;
                let jump = self.push(Step::Jump(0))?;
                self.steps[condition] = Step::Condition { group: *group, no: self.steps.len() };
                self.node(no, depends)?;
                self.steps[jump] = Step::Jump(self.steps.len());
            }
        }
        Some(())
    }

    fn concat(&mut self, nodes: &[Node], depends: &mut Vec<Depends>) -> Option<()> {
        let mut rest = nodes;
        while let Some((node, behind)) = rest.split_first() {
            let letters = rest.iter().map_while(|node| match node {
                Node::Literal(c) => Some(*c),
                _ => None,
            });
            let text: String = letters.collect();
            if text.is_empty() {
                self.node(node, depends)?;
                rest = behind;
            } else {
                rest = &rest[text.chars().count()..];
                self.push(literal(&text))?;
            }
        }
        Some(())
    }

    fn alternate(&mut self, nodes: &[Node], depends: &mut Vec<Depends>) -> Option<()> {
        let mut jumps = Vec::new();
        for (i, node) in nodes.iter().enumerate() {
            if i + 1 == nodes.len() {
                self.node(node, depends)?;
                break;
            }
            let memo = self.memo();
            let split = self.push(Step::Split { first: 0, second: 0, memo })?;
            self.node(node, depends)?;
            jumps.push(self.push(Step::Jump(0))?);
            self.steps[split] = Step::Split { first: split + 1, second: self.steps.len(), memo };
        }
        for jump in jumps {
            self.steps[jump] = Step::Jump(self.steps.len());
        }
        Some(())
    }

    fn atomic(&mut self, node: &Node, depends: &mut Vec<Depends>) -> Option<()> {
        let atomic = self.push(Step::Atomic { next: 0 })?;
        self.node(node, depends)?;
        self.push(Step::Match)?;
        self.steps[atomic] = Step::Atomic { next: self.steps.len() };
        Some(())
    }

    fn look(&mut self, look: &Look, depends: &mut Vec<Depends>) -> Option<()> {
        let dependent = look.node.any(&|node| match node {
            Node::Group(..) => !look.negated,
            Node::Backref { .. } | Node::Conditional { .. } => true,
            _ => false,
        });
        let table = (!dependent).then(|| {
            self.tables += 1;
            self.tables as u32 - 1
        });
        let peek = self.memo() as u32;
        let step = |next| Step::Look { negated: look.negated, behind: look.behind, next, table, peek };
        let place = self.push(step(0))?;
        self.node(&look.node, depends)?;
        self.push(Step::Match)?;
        self.steps[place] = step(self.steps.len() as u32);
        Some(())
    }

    fn repeat(&mut self, repeat: &Repeat, depends: &mut Vec<Depends>) -> Option<()> {
        if repeat.greed == Greed::Possessive {
            let greedy = Repeat { greed: Greed::Greedy, ..repeat.clone() };
            return self.atomic(&Node::Repeat(Box::new(greedy)), depends);
        }
        let lazy = repeat.greed == Greed::Lazy;
        let copies = repeat.max.map(|max| max - repeat.min);
        let most = match copies {
            Some(copies) => usize::try_from(copies).ok().filter(|most| (1..=SHORT_SPAN).contains(most)),
            None => Some(usize::MAX),
        };
        if let (Some((class, unless)), Some(most), false) = (tempered(&repeat.node), most, lazy) {
            for _ in 1..repeat.min {
                self.node(&repeat.node, depends)?;
            }
            let (set, memo) = (self.set(&class, &unless), self.memo());
            self.push(Step::Span { set, memo, most, one: repeat.min > 0 })?;
            return Some(());
        }
        for _ in 0..repeat.min {
            self.node(&repeat.node, depends)?;
        }
        if copies == Some(0) {
            return Some(());
        }
        // One optional copy of what matches nothing is harmless; only rounds must be kept from standing still.
        if repeat.node.nullable() && copies != Some(1) {
            return self.careful_loop(repeat, copies, lazy, depends);
        }
        if let (Some((class, unless)), None) = (tempered(&repeat.node), copies) {
            let (set, memo) = (self.set(&class, &unless), self.memo());
            self.push(Step::Lazy { set, memo })?;
            return Some(());
        }
        let mut exits = Vec::new();
        let split = |first, second, memo| {
            let (first, second) = if lazy { (second, first) } else { (first, second) };
            Step::Split { first, second, memo }
        };
        for _ in 0..copies.unwrap_or(1) {
            let memo = self.memo();
            let place = self.push(split(0, 0, memo))?;
            self.node(&repeat.node, depends)?;
            if copies.is_none() {
                self.push(Step::Jump(place))?;
            }
            exits.push((place, memo));
        }
        for (place, memo) in exits {
            self.steps[place] = split(place + 1, self.steps.len(), memo);
        }
        Some(())
    }

    /// A loop whose body may match nothing.
    fn careful_loop(
        &mut self,
        repeat: &Repeat,
        copies: Option<u32>,
        lazy: bool,
        depends: &mut Vec<Depends>,
    ) -> Option<()> {
        let register = self.registers;
        self.registers += 1;
        depends.push(Depends::Register(register));
        self.push(Step::Enter { register })?;
        let register = register as u32;
        let mut heads = Vec::new();
        for _ in 0..copies.unwrap_or(1) {
            let memo = self.memo() as u32;
            let head = self.push(Step::Head { register, body: 0, exit: 0, lazy, memo })?;
            self.node(&repeat.node, depends)?;
            if copies.is_none() {
                self.push(Step::Jump(head))?;
            }
            heads.push((head, memo));
        }
        for (head, memo) in heads {
            let exit = self.steps.len() as u32;
            self.steps[head] = Step::Head { register, body: head as u32 + 1, exit, lazy, memo };
        }
        Some(())
    }
}
