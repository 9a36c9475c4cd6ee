//! Which files make up a name, and how each was reached: the files of `jail`, of a filter, of an action.
//!
//! Follows `[INCLUDES]` by [`crate::layers`]' rules, but past files that cannot be read.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use indexmap::IndexMap;

use super::lines::{Mistake, Piece, Sheet};
use super::{Place, Problem, Remark, Severity};
use crate::ini;
use crate::layers::{DEEPEST_INCLUDE, Layers, included};
use crate::source::{Source, Unreadable};

/// More files than this are not looked at.
const MOST_FILES: usize = 5_000;

/// Of a longer chain of includes, so many links are shown.
const LONGEST_CHAIN: usize = 10;

/// A file, and the lines of `[INCLUDES]` that led to it, outermost first.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub(crate) sheet: Rc<Sheet>,
    pub(crate) chain: Vec<Place>,
}

/// Files read so far, and what keeps some from being read.
pub(crate) struct Tree<'a> {
    source: &'a Source,
    leaves: IndexMap<PathBuf, Option<Leaf>>,
    pub(crate) problems: Vec<Problem>,
}

impl<'a> Tree<'a> {
    pub(crate) fn new(source: &'a Source) -> Self {
        Tree { source, leaves: IndexMap::new(), problems: Vec::new() }
    }

    /// The files of a name in the order in which they are read, each once.
    pub(crate) fn family(&mut self, stem: &Path) -> Vec<Leaf> {
        let with = |extension: &str| {
            let mut path = stem.as_os_str().to_owned();
            path.push(extension);
            PathBuf::from(path)
        };
        let mut paths = vec![with(".conf")];
        paths.extend(self.source.files_in(&with(".d"), ".conf"));
        paths.push(with(".local"));
        paths.extend(self.source.files_in(&with(".d"), ".local"));
        let mut found = IndexMap::new();
        for path in paths.iter().filter(|path| self.source.exists(path)) {
            self.add(path, &[], &mut found);
        }
        found.into_values().flatten().collect()
    }

    fn add(&mut self, path: &Path, chain: &[Place], found: &mut IndexMap<PathBuf, Option<Leaf>>) {
        if found.contains_key(path) || found.len() >= MOST_FILES || chain.len() >= DEEPEST_INCLUDE {
            return;
        }
        // Known from now on, so that a circle ends.
        found.insert(path.to_owned(), None);
        let leaf = match self.leaves.get(path) {
            Some(leaf) => leaf.clone(),
            None => self.read(path, chain),
        };
        self.leaves.insert(path.to_owned(), leaf.clone());
        let Some(leaf) = leaf else { return };
        let includes = includes(&leaf);
        let (before, after): (Vec<_>, Vec<_>) = includes.into_iter().partition(|include| include.before);
        for include in before {
            self.follow(&include, chain, found);
        }
        // In the place where it is read: behind what it includes before.
        found.shift_remove(path);
        found.insert(path.to_owned(), Some(leaf));
        for include in after {
            self.follow(&include, chain, found);
        }
    }

    fn follow(&mut self, include: &Include, chain: &[Place], found: &mut IndexMap<PathBuf, Option<Leaf>>) {
        let mut chain = chain.to_vec();
        chain.push(include.place.clone());
        let local = include.path.with_extension("local");
        for path in [&include.path, &local] {
            if self.source.exists(path) {
                self.add(path, &chain, found);
            }
        }
        let known = self.problems.iter().any(|problem| problem.place.as_ref() == Some(&include.place));
        let optional = include.path.extension().is_none_or(|extension| extension != "conf");
        if !optional && !known && !self.source.exists(&include.path) && !self.source.exists(&local) {
            self.problems.push(
                Problem::new(Severity::Warning, "missing-include", "the included file is not there")
                    .at(include.place.clone(), format!("there is no `{}`", include.path.display()))
                    .noting(chain_remarks(&chain[..chain.len() - 1])),
            );
        }
    }

    fn read(&mut self, path: &Path, chain: &[Place]) -> Option<Leaf> {
        let text = match self.source.text(path, &mut Vec::new()) {
            Ok(text) => text.into_owned(),
            Err(why) => {
                let why = match why {
                    Unreadable::NotText { why, .. } => format!("is no text in UTF-8: {why}"),
                    Unreadable::Missing | Unreadable::Denied => {
                        "cannot be read; is it a file, may this user read it, is it below 256 MiB?".into()
                    }
                };
                let title = format!("`{}` {why}", path.display());
                self.problems
                    .push(Problem::new(Severity::Error, "unreadable", title).noting(chain_remarks(chain)));
                return None;
            }
        };
        let sheet = Rc::new(Sheet::new(path, text));
        for mistake in &sheet.mistakes {
            self.problems.push(syntax(&sheet, mistake).noting(chain_remarks(chain)));
        }
        Some(Leaf { sheet, chain: chain.to_vec() })
    }
}

/// What a file's `[INCLUDES]` names.
fn includes(leaf: &Leaf) -> Vec<Include> {
    let sheet = &leaf.sheet;
    if !sheet.blocks.iter().any(|block| block.name == "INCLUDES") {
        return Vec::new();
    }
    let Ok(parsed) = ini::parse(&sheet.path.to_string_lossy(), &sheet.text) else { return Vec::new() };
    let mut own = Layers::default();
    own.add(&sheet.path, &parsed);
    let mut out = Vec::new();
    for (option, before) in [("before", true), ("after", false)] {
        let entry = sheet
            .entries()
            .find(|(block, entry)| block.name == "INCLUDES" && entry.key == option)
            .map(|(_, entry)| entry);
        let (Some(entry), Ok(paths)) = (entry, included(&own, option, &sheet.path)) else { continue };
        let pieces: Vec<&Piece> = entry.value.iter().filter(|piece| !sheet.text(piece).is_empty()).collect();
        for (index, path) in paths.iter().enumerate() {
            let piece = pieces.get(index).copied().unwrap_or(&entry.at);
            out.push(Include { before, path: path.clone(), place: sheet.place(piece) });
        }
    }
    out
}

struct Include {
    before: bool,
    path: PathBuf,
    place: Place,
}

/// How a file was reached, innermost first.
pub(crate) fn chain_remarks(chain: &[Place]) -> Vec<Remark> {
    chain
        .iter()
        .rev()
        .take(LONGEST_CHAIN)
        .map(|place| Remark::at("included from here", place.clone()))
        .collect()
}

fn syntax(sheet: &Sheet, mistake: &Mistake) -> Problem {
    let error = |title: &str| Problem::new(Severity::Error, "syntax", title);
    match mistake {
        Mistake::NoSection(piece) => error("the file has text before its first section")
            .at(sheet.place(piece), "belongs to no section")
            .hint("begin the file with a header such as `[DEFAULT]` or `[sshd]`"),
        Mistake::NoDelimiter(piece) => error("a line is neither header nor option")
            .at(sheet.place(piece), "expected `name = value`")
            .hint("indent it if it continues the value above, or begin it with `#` if it is a comment"),
        Mistake::NoKey(piece) => {
            error("an option has no name").at(sheet.place(piece), "expected a name before this")
        }
        Mistake::SectionAgain(again, first) => error("a section stands twice in one file")
            .at(sheet.place(again), "second time")
            .remark("first time", sheet.place(first))
            .hint("move the options of one to the other"),
        Mistake::OptionAgain(again, first) => error("an option stands twice in one section")
            .at(sheet.place(again), "second time")
            .remark("first time", sheet.place(first))
            .hint("remove one of them"),
    }
}
