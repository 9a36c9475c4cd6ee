//! Where a part of a value in force came from.
//!
//! A value is put together from references and tags, so its text is looked for in the lines that may have gone into it.

use std::collections::HashSet;

use super::jails::{Checked, Part};
use super::lines::{Entry, Sheet};
use super::options::named;
use super::tree::{Leaf, chain_remarks};
use super::{Place, Remark};
use crate::definition::Kind;
use crate::layers::Origin;

/// References are followed as deep as this, as in interpolation.
const DEEPEST: usize = 10;

impl Checked {
    fn entry(&self, origin: &Origin) -> Option<(&Leaf, &Entry)> {
        let leaf = self.jail_files.iter().find(|leaf| leaf.sheet.path == origin.file)?;
        Some((leaf, leaf.sheet.entry_at(origin.line)?))
    }

    fn defined(&self, jail: &str, option: &str) -> Option<(&Leaf, &Entry)> {
        let sections = [self.layers.section(jail), self.layers.section("DEFAULT")];
        let (_, setting) = sections
            .into_iter()
            .flatten()
            .find_map(|section| section.options().find(|(name, _)| *name == option))?;
        self.entry(&setting.origin)
    }

    /// Where the option of a jail stands: its key, in the last file that sets it.
    pub fn option_place(&self, jail: &str, option: &str) -> Option<Place> {
        let (leaf, entry) = self.defined(jail, option)?;
        Some(leaf.sheet.place(&entry.at))
    }

    /// Where in the value of a jail's option `text` stands, or in the values that it refers to, and how one gets there. The
    /// value's first line if it is nowhere.
    pub fn text_place(&self, jail: &str, option: &str, text: &str) -> (Option<Place>, Vec<Remark>) {
        let mut remarks = Vec::new();
        if let Some((place, leaf)) = self.follow(jail, option, text, &mut remarks, &mut HashSet::new()) {
            remarks.reverse();
            remarks.extend(chain_remarks(&leaf.chain));
            return (Some(place), remarks);
        }
        let Some((leaf, entry)) = self.defined(jail, option) else { return (None, Vec::new()) };
        let piece = entry.value.iter().find(|piece| !leaf.sheet.text(piece).is_empty()).unwrap_or(&entry.at);
        (Some(leaf.sheet.place(piece)), chain_remarks(&leaf.chain))
    }

    fn follow(
        &self,
        jail: &str,
        option: &str,
        text: &str,
        remarks: &mut Vec<Remark>,
        seen: &mut HashSet<String>,
    ) -> Option<(Place, &Leaf)> {
        if remarks.len() >= DEEPEST || !seen.insert(option.to_owned()) {
            return None;
        }
        let (leaf, entry) = self.defined(jail, option)?;
        for piece in &entry.value {
            if has_word(leaf.sheet.text(piece), text) {
                return Some((leaf.sheet.place(piece).narrowed(text), leaf));
            }
        }
        for piece in &entry.value {
            for name in named(leaf.sheet.text(piece)) {
                remarks.push(Remark::at(format!("referred to by `{option}`"), leaf.sheet.place(piece)));
                if let Some(found) = self.follow(jail, &name, text, remarks, seen) {
                    return Some(found);
                }
                remarks.pop();
            }
        }
        None
    }

    /// The line that a regular expression was made of: one of the jail's `option`, or of its filter's files.
    pub fn regex_place(&self, jail: &str, option: &str, regex: &str) -> (Option<Place>, Vec<Remark>) {
        let filter =
            self.parts.get(jail).and_then(|parts| parts.iter().find(|part| part.kind == Kind::Filter));
        let files = filter.map(|filter| filter.files.as_slice()).unwrap_or_default();
        let own = self.defined(jail, option).map(|(leaf, entry)| (leaf, entry, 1_usize));
        let theirs = files.iter().flat_map(|leaf| leaf.sheet.entries().map(move |(_, entry)| (leaf, entry)));
        // What stands in the option itself, and in later files, is preferred among equals.
        let theirs = theirs.map(|(leaf, entry)| (leaf, entry, usize::from(entry.key == option)));
        let mut best: Option<(usize, usize, &Leaf, Place)> = None;
        for (leaf, entry, bonus) in theirs.chain(own) {
            for piece in &entry.value {
                let Some(score) = made_of(leaf.sheet.text(piece), regex) else { continue };
                if best.as_ref().is_none_or(|(most, most_bonus, ..)| (score, bonus) >= (*most, *most_bonus)) {
                    best = Some((score, bonus, leaf, leaf.sheet.place(piece)));
                }
            }
        }
        match best {
            Some((score, _, leaf, place)) if score > 0 => (Some(place), way(jail, leaf, filter)),
            _ => {
                match files.iter().find_map(|leaf| key_place(&leaf.sheet, option).map(|place| (leaf, place)))
                {
                    Some((leaf, place)) => (Some(place), way(jail, leaf, filter)),
                    None => {
                        (self.option_place(jail, "filter").or_else(|| self.section_place(jail)), Vec::new())
                    }
                }
            }
        }
    }
}

/// How a filter's file was reached from the jail.
fn way(jail: &str, leaf: &Leaf, filter: Option<&Part>) -> Vec<Remark> {
    let mut remarks = chain_remarks(&leaf.chain);
    if let Some(filter) = filter
        && filter.files.iter().any(|file| file.sheet.path == leaf.sheet.path)
    {
        let text = format!("jail `{jail}` uses the filter `{}`", filter.name);
        remarks.push(Remark { text, place: None });
    }
    remarks
}

fn key_place(sheet: &Sheet, option: &str) -> Option<Place> {
    sheet.entries().find(|(_, entry)| entry.key == option).map(|(_, entry)| sheet.place(&entry.at))
}

/// Whether `text` has `word`, not as part of a longer one.
fn has_word(text: &str, word: &str) -> bool {
    let inner =
        |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':'));
    !word.is_empty()
        && text.match_indices(word).any(|(at, _)| {
            !inner(text[..at].chars().next_back()) && !inner(text[at + word.len()..].chars().next())
        })
}

/// How many characters of a line are found again, in order, in what was made of it by replacing `%(…)s` and `<…>`; none if
/// that cannot have been.
fn made_of(line: &str, made: &str) -> Option<usize> {
    let parts = literals(line);
    let (first, last) = (parts.first()?, parts.last()?);
    if parts.len() == 1 {
        return (first == made).then_some(first.len());
    }
    let mut rest = made.strip_prefix(first.as_str())?.strip_suffix(last.as_str())?;
    for part in &parts[1..parts.len() - 1] {
        rest = &rest[rest.find(part.as_str())? + part.len()..];
    }
    Some(parts.iter().map(String::len).sum())
}

/// What stands between references.
fn literals(line: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let reference = match c {
            '%' if rest.starts_with("%(") => rest.find(")s").map(|end| end + 2),
            '<' => rest.find('>').map(|end| end + 1).filter(|end| rest[1..*end - 1].chars().all(in_tag)),
            _ => None,
        };
        if let Some(end) = reference {
            parts.push(String::new());
            rest = &rest[end..];
            continue;
        }
        let step = if rest.starts_with("%%") { 2 } else { c.len_utf8() };
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
        rest = &rest[step..];
    }
    parts
}

fn in_tag(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_' | '/' | '?' | '=' | '<')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regex_is_recognised_in_the_line_that_it_was_made_of() {
        assert_eq!(made_of("^%(p)sbad <HOST>$", "^pre: bad <HOST>$"), Some(7 - 1));
        assert_eq!(made_of("^100%% of <x>", "^100% of you"), Some(9));
        assert_eq!(made_of("^good <HOST>$", "^bad <HOST>$"), None);
    }

    #[test]
    fn a_word_is_not_found_within_a_longer_one() {
        assert!(has_word("a 10.0.0.1/8 b", "10.0.0.1/8"));
        assert!(!has_word("110.0.0.1/8", "10.0.0.1/8"));
        assert!(!has_word("sshd-ddos", "sshd"));
    }
}
