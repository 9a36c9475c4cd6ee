//! A file as its lines are: where each header, key and value begins and ends, and what is no line of a configuration.
//!
//! The same rules as [`crate::ini`], but it goes on after a mistake and keeps columns, which only explanations need.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Seen;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::Place;
use crate::ini::{header, indentation, without_comment};
use crate::python::{is_space, strip, strip_end};

/// Part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Counted from 1.
    pub(crate) line: u32,
    /// In bytes, from the line's beginning.
    pub(crate) columns: Range<usize>,
}

/// An option with its value, which is as many pieces as it has lines.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// In lower case.
    pub(crate) key: String,
    pub(crate) at: Piece,
    pub(crate) value: Vec<Piece>,
}

/// A section of one file.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) name: String,
    pub(crate) at: Piece,
    pub(crate) entries: Vec<Entry>,
}

/// What keeps a file from being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// A line before the first `[section]`.
    NoSection(Piece),
    /// Neither header nor `key = value`.
    NoDelimiter(Piece),
    /// `= value`
    NoKey(Piece),
    /// The second section of a name, and the first.
    SectionAgain(Piece, Piece),
    /// The second option of a name in a section, and the first.
    OptionAgain(Piece, Piece),
}

/// A file.
#[derive(Clone, Debug)]
pub(crate) struct Sheet {
    pub(crate) path: Arc<Path>,
    pub(crate) text: Arc<str>,
    /// Where each line begins.
    starts: Vec<usize>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) mistakes: Vec<Mistake>,
}

/// So many mistakes of one file are enough: it is no configuration.
const MOST_MISTAKES: usize = 50;

impl Sheet {
    pub(crate) fn new(path: &Path, text: String) -> Self {
        let text: Arc<str> = text.into();
        let mut sheet = Sheet {
            path: path.into(),
            text: text.clone(),
            starts: Vec::new(),
            blocks: Vec::new(),
            mistakes: Vec::new(),
        };
        let mut scan = Scan {
            sheet: &mut sheet,
            open: false,
            indent: 0,
            sections: HashMap::new(),
            options: HashMap::new(),
        };
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            scan.sheet.starts.push(start);
            start += line.len();
            let number = u32::try_from(scan.sheet.starts.len()).unwrap_or(u32::MAX);
            if !scan.line(line, number) || scan.sheet.mistakes.len() >= MOST_MISTAKES {
                break;
            }
        }
        sheet
    }

    /// A line's text, without its end.
    pub(crate) fn line(&self, number: u32) -> &str {
        let Some(start) = (number as usize).checked_sub(1).and_then(|index| self.starts.get(index)) else {
            return "";
        };
        self.text[*start..].split('\n').next().unwrap_or_default()
    }

    /// A piece's text.
    pub(crate) fn text(&self, piece: &Piece) -> &str {
        self.line(piece.line).get(piece.columns.clone()).unwrap_or_default()
    }

    /// A piece for others to show.
    pub(crate) fn place(&self, piece: &Piece) -> Place {
        Place {
            file: self.path.clone(),
            line: piece.line,
            columns: piece.columns.clone(),
            text: self.line(piece.line).into(),
        }
    }

    /// Every option with its section.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Block, &Entry)> {
        self.blocks.iter().flat_map(|block| block.entries.iter().map(move |entry| (block, entry)))
    }

    /// The option whose key is in this line.
    pub(crate) fn entry_at(&self, line: u32) -> Option<&Entry> {
        self.entries().map(|(_, entry)| entry).find(|entry| entry.at.line == line)
    }
}

struct Scan<'a> {
    sheet: &'a mut Sheet,
    /// Whether deeper indented lines continue the last option.
    open: bool,
    indent: usize,
    sections: HashMap<String, Piece>,
    /// By section and name.
    options: HashMap<(String, String), Piece>,
}

impl Scan<'_> {
    /// Takes one line. No if there is no use in going on.
    fn line(&mut self, line: &str, number: u32) -> bool {
        let (content, _) = without_comment(line);
        let value = strip(content);
        if value.is_empty() {
            return true;
        }
        let start = content.len() - content.trim_start_matches(is_space).len();
        let piece = |from: usize, to: usize| Piece { line: number, columns: start + from..start + to };
        let whole = piece(0, value.len());
        let indent = indentation(line);
        if indent > self.indent
            && self.open
            && let Some(entry) = self.sheet.blocks.last_mut().and_then(|block| block.entries.last_mut())
        {
            entry.value.push(whole);
            return true;
        }
        self.indent = indent;
        if let Some(name) = header(value) {
            self.open = false;
            // `[DEFAULT]` may be repeated.
            match self.sections.entry(name.to_owned()) {
                Seen::Occupied(first) if name != "DEFAULT" => {
                    let first = first.get().clone();
                    self.sheet.mistakes.push(Mistake::SectionAgain(whole.clone(), first));
                }
                Seen::Occupied(_) => {}
                Seen::Vacant(new) => drop(new.insert(whole.clone())),
            }
            let block = Block { name: name.to_owned(), at: whole, entries: Vec::new() };
            self.sheet.blocks.push(block);
            return true;
        }
        let Some(section) = self.sheet.blocks.last().map(|block| block.name.clone()) else {
            self.sheet.mistakes.push(Mistake::NoSection(whole));
            return false;
        };
        let Some(at) = value.find(['=', ':']) else {
            self.sheet.mistakes.push(Mistake::NoDelimiter(whole));
            return true;
        };
        let key = strip_end(&value[..at]);
        if key.is_empty() {
            self.open = false;
            self.sheet.mistakes.push(Mistake::NoKey(whole));
            return true;
        }
        let key_at = piece(0, key.len());
        let lower = key.to_lowercase();
        match self.options.entry((section, lower.clone())) {
            Seen::Occupied(first) => {
                let first = first.get().clone();
                self.sheet.mistakes.push(Mistake::OptionAgain(key_at.clone(), first));
            }
            Seen::Vacant(new) => drop(new.insert(key_at.clone())),
        }
        let rest = &value[at + 1..];
        let behind = at + 1 + (rest.len() - rest.trim_start_matches(is_space).len());
        let first = piece(behind, value.len());
        let Some(block) = self.sheet.blocks.last_mut() else { return false };
        block.entries.push(Entry { key: lower, at: key_at, value: vec![first] });
        self.open = true;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ini;
    use crate::source::CATALOGUE;

    /// The options as the reader has them and as this has them.
    fn compare(name: &str, text: &str) {
        let sheet = Sheet::new(Path::new(name), text.to_owned());
        let Ok(parsed) = ini::parse(name, text) else {
            assert_ne!(sheet.mistakes, [], "{name}: the reader complains of\n{text}");
            return;
        };
        assert_eq!(sheet.mistakes, [], "{name}");
        let mut count = 0;
        for (block, entry) in sheet.entries() {
            let section = if block.name == "DEFAULT" {
                &parsed.defaults
            } else {
                &parsed.sections[block.name.as_str()]
            };
            let theirs = &section[entry.key.as_str()];
            let lines: Vec<_> = theirs.raw.split('\n').filter(|line| !line.is_empty()).collect();
            let ours: Vec<_> =
                entry.value.iter().map(|piece| sheet.text(piece)).filter(|line| !line.is_empty()).collect();
            assert_eq!(ours, lines, "{name}: {}", entry.key);
            assert_eq!(entry.at.line, theirs.line);
            count += 1;
        }
        let all =
            parsed.defaults.len() + parsed.sections.values().map(indexmap::IndexMap::len).sum::<usize>();
        assert_eq!(count, all, "{name}");
    }

    #[test]
    fn every_file_of_the_catalogue_is_seen_as_the_reader_sees_it() {
        assert!(CATALOGUE.len() > 10);
        for (name, text) in CATALOGUE {
            compare(name, text);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_seen_as_the_reader_sees_it(text in "(\\[[ab]\\]\n)?([ \t]{0,3}([abc#;\\[\\]=: é\u{1c}]{0,6})\n){0,8}") {
            compare("x", &text);
        }
    }
}
