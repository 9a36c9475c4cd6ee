//! `name[option=value, …]`: how filters, actions and backends are given options, and how several actions are told apart.
//!
//! Values stand in `"…"`, in `'…'`, or bare up to a comma or bracket. There are no escapes, and blanks around a value are
//! removed even between quotes.

use crate::maps::HashSet;
use crate::python::{is_space, is_word, strip};

/// A name and its options in written order; the last of two with one name wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) name: String,
    pub(crate) options: Vec<(String, String)>,
}

/// How many characters of a mistake are shown.
const SHOWN: usize = 25;

/// Reads one definition.
///
/// # Errors
/// What Fail2ban says after `Invalid filter definition '…': `.
pub(crate) fn parse(definition: &str) -> Result<Reference, String> {
    let unexpected = || "unexpected option syntax".to_owned();
    let (name, rest) = match definition.find('[') {
        Some(at) => definition.split_at(at),
        None => (definition, ""),
    };
    if name.is_empty() {
        return Err(unexpected());
    }
    if rest.is_empty() {
        return Ok(Reference { name: name.to_owned(), options: Vec::new() });
    }
    let inner = rest[1..].trim_end_matches(is_space).strip_suffix(']').ok_or_else(unexpected)?;
    Ok(Reference { name: name.to_owned(), options: options(inner)? })
}

/// Reads what stands between the outer brackets.
fn options(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut options: Vec<(String, String)> = Vec::new();
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let Some((name, behind)) = option_name(rest) else {
            if nothing_follows(rest) {
                return Ok(options);
            }
            let shown: String = rest.chars().take(SHOWN).collect();
            return Err(format!("expected option, wrong syntax at {}: {shown}", characters(text, at)));
        };
        let (value, behind) = option_value(behind);
        let value = strip(value);
        let Some(next) = separator(behind) else {
            let shown: String = behind.chars().take(SHOWN).collect();
            return Err(format!(
                "unexpected syntax at {} after option {}: {shown}",
                characters(text, text.len() - behind.len()),
                portcullis_value::repr_str(name)
            ));
        };
        match options.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => options.push((name.to_owned(), value.to_owned())),
        }
        if behind.is_empty() {
            return Ok(options);
        }
        at = text.len() - behind.len() + next;
    }
}

/// Positions are told in characters.
fn characters(text: &str, at: usize) -> usize {
    text[..at].chars().count()
}

fn is_name(c: char) -> bool {
    is_word(c) || c == '-' || c == '.'
}

/// `name=` at the beginning, blanks before it allowed: the name and what follows.
fn option_name(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches(is_space);
    let end = text.find(|c| !is_name(c)).filter(|end| *end > 0)?;
    Some((&text[..end], text[end..].strip_prefix('=')?))
}

/// A value at the beginning: its content, and what follows.
fn option_value(text: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some((value, behind)) = text.strip_prefix(quote).and_then(|inner| inner.split_once(quote)) {
            return (value, behind);
        }
    }
    text.split_at(text.find([',', ']']).unwrap_or(text.len()))
}

/// How long the separator is with which `text` begins; 0 at the end.
fn separator(text: &str) -> Option<usize> {
    if text.starts_with(',') {
        return Some(1);
    }
    if let Some(inner) = text.strip_prefix(']') {
        let inner = inner.trim_start_matches(is_space);
        return inner.starts_with('[').then(|| text.len() - inner.len() + 1);
    }
    (text.is_empty() || text == "\n").then_some(0)
}

fn nothing_follows(text: &str) -> bool {
    let text = text.strip_prefix(',').unwrap_or(text);
    text.chars().all(is_space)
}

/// Splits the value of `action` into single definitions: at white space outside of well-formed brackets.
pub(crate) fn split(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let start = rest.len() - rest.trim_start_matches(is_space).len();
        at += start;
        let rest = &text[at..];
        if rest.is_empty() {
            break;
        }
        let end =
            Matcher::new(rest).definition().unwrap_or_else(|| rest.find(is_space).unwrap_or(rest.len()));
        found.push(strip(&rest[..end]));
        at += end;
    }
    found
}

/// Finds where one definition ends. Values may be read in more than one way (a quote that is never closed is an
/// ordinary character), so all are tried, the longest first; each place is tried once.
struct Matcher<'a> {
    text: &'a str,
    tried: HashSet<Place>,
    stack: Vec<Place>,
    steps: usize,
}

/// What may stand at a place.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    /// An option, or the closing bracket.
    Item(usize),
    /// A value, right behind the `=`.
    Value(usize),
}

/// More attempts are not worth it: then the definition ends at the next blank.
const MOST_STEPS: usize = 1_000_000;

impl<'a> Matcher<'a> {
    fn new(text: &'a str) -> Self {
        Matcher { text, tried: HashSet::default(), stack: Vec::new(), steps: 0 }
    }

    fn definition(&mut self) -> Option<usize> {
        let name_end = self.text.find(|c| c == '[' || is_space(c)).unwrap_or(self.text.len());
        if name_end == 0 {
            return None;
        }
        let open = self.blank(name_end);
        if self.text[open..].starts_with('[') {
            let first = self.blank(open + 1);
            if let Some(end) = self.closing_bracket(first) {
                return Some(end);
            }
        }
        self.ends_at(name_end)
    }

    /// The place behind white space.
    fn blank(&self, at: usize) -> usize {
        self.text.len() - self.text[at..].trim_start_matches(is_space).len()
    }

    /// Where the definition ends if it may end at `at`: white space or nothing must follow.
    fn ends_at(&self, at: usize) -> Option<usize> {
        self.text[at..].chars().next().is_none_or(is_space).then_some(at)
    }

    /// Where the definition ends, given that its first option may stand at `start`. Works off a stack of places instead
    /// of recursing, since a definition may hold very many options.
    fn closing_bracket(&mut self, start: usize) -> Option<usize> {
        self.stack.push(Place::Item(start));
        while let Some(place) = self.stack.pop() {
            self.steps += 1;
            if self.steps > MOST_STEPS {
                return None;
            }
            if !self.tried.insert(place) {
                continue;
            }
            match place {
                Place::Value(at) => self.value(at),
                Place::Item(at) => {
                    let rest = &self.text[at..];
                    let end = if rest.starts_with(']') { self.ends_at(at + 1) } else { None };
                    if end.is_some() {
                        return end;
                    }
                    if let Some((_, value)) = option_name(rest) {
                        self.stack.push(Place::Value(self.text.len() - value.len()));
                    }
                }
            }
        }
        None
    }

    /// Pushes what may follow a value that begins at `at`, the preferred way last.
    fn value(&mut self, at: usize) {
        let rest = &self.text[at..];
        let bare = &rest[..rest.find([',', ']']).unwrap_or(rest.len())];
        self.steps += bare.len() / 64;
        // A shorter bare value makes sense only where another option follows within it.
        for (equals, _) in bare.match_indices('=') {
            if bare[..equals].ends_with(is_name) {
                self.stack.push(Place::Value(at + equals + 1));
            }
        }
        self.behind(at + bare.len());
        for quote in ['\'', '"'] {
            if let Some((value, _)) = rest.strip_prefix(quote).and_then(|inner| inner.split_once(quote)) {
                self.behind(at + value.len() + 2);
            }
        }
    }

    /// Pushes the places where the next option may stand when a value ended at `at`.
    fn behind(&mut self, at: usize) {
        let at = self.blank(at);
        self.stack.push(Place::Item(at));
        let rest = &self.text[at..];
        if rest.starts_with(',') {
            self.stack.push(Place::Item(self.blank(at + 1)));
        } else if let Some(inner) = rest.strip_prefix(']') {
            let inner = inner.trim_start_matches(is_space);
            if inner.starts_with('[') {
                self.stack.push(Place::Item(self.blank(self.text.len() - inner.len() + 1)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options_of(definition: &str) -> Vec<(String, String)> {
        parse(definition).unwrap().options
    }

    #[test]
    fn values_are_quoted_or_bare_and_the_last_of_a_name_counts() {
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        assert_eq!(
            options_of("f[o=\"a,b]\", p='c\"d',q= e f ]"),
            pairs(&[("o", "a,b]"), ("p", "c\"d"), ("q", "e f")])
        );
        assert_eq!(options_of("f[o=1][p=2] [o=3]"), pairs(&[("o", "3"), ("p", "2")]));
        assert_eq!(options_of("f[o=, p=\" \",]"), pairs(&[("o", ""), ("p", "")]));
        assert_eq!(options_of("f[]"), pairs(&[]));
        assert_eq!(parse("f [o=1]").unwrap().name, "f ");
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (definition, told) in [
            ("f[o=1", "unexpected option syntax"),
            ("[o=1]", "unexpected option syntax"),
            ("f[o]", "expected option, wrong syntax at 0: o"),
            ("f[o=\"a\" , p=2]", "unexpected syntax at 5 after option 'o':  , p=2"),
            ("f[o=\"x\\\"y\"]", "unexpected syntax at 6 after option 'o': y\""),
            ("f[o=a\\,b]", "expected option, wrong syntax at 5: b"),
        ] {
            assert_eq!(parse(definition).unwrap_err(), told, "{definition}");
        }
    }

    #[test]
    fn definitions_are_split_at_white_space_outside_of_brackets() {
        for (text, expected) in [
            ("a b\n  c", &["a", "b", "c"][..]),
            ("a[x='1 2', y=\"3\n4\"]\n b", &["a[x='1 2', y=\"3\n4\"]", "b"]),
            ("a[x=1] [y=2] b", &["a[x=1] [y=2]", "b"]),
            ("a, b", &["a,", "b"]),
            ("a[x=1, y] b", &["a[x=1,", "y]", "b"]),
            ("a[x='1 2] b", &["a[x='1 2]", "b"]),
            ("", &[]),
            (" \n ", &[]),
        ] {
            assert_eq!(split(text), expected, "{text:?}");
        }
    }
}
