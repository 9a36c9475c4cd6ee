//! `<tag>` in the values of filters and actions, replaced by other options until nothing changes.
//!
//! Tags that nobody knows stay as they are: `<HOST>`, `<ip>` and `<F-USER>` are for later stages.

use std::borrow::Cow;

use portcullis_value::repr_str;

use crate::maps::{HashMap, Map};
use crate::message::Fatal;

/// A tag is replaced as often within one value.
const MOST_REPLACEMENTS: usize = 25;
/// No value of a real configuration is longer, in bytes. Fail2ban knows no such limit and would grow until it is killed.
const LONGEST: usize = 16 << 20;
/// Nested names such as `<re-<mode>>` are resolved one level each time round.
const MOST_ROUNDS: usize = 64;

/// The options of one filter or action while their tags are being replaced.
pub(crate) struct Tags<'a, 'e> {
    /// The options and their values; one without is no tag.
    pub(crate) values: Map<&'a str, Option<Cow<'a, str>>>,
    /// Tags that are somebody else's business.
    pub(crate) untouched: Vec<&'a str>,
    /// Finds a tag that is not among the values.
    pub(crate) elsewhere: &'e mut dyn FnMut(&str) -> Result<Option<String>, Fatal>,
    /// What was found elsewhere before.
    pub(crate) found: HashMap<String, Option<String>>,
    pub(crate) desk: Desk,
}

/// A tag that was replaced.
#[derive(Debug)]
enum Tag {
    /// The name of this value.
    Value(usize),
    /// What was found elsewhere.
    Elsewhere(String),
}

/// What the work on one value needs, and the next one can use again.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// The text as far as it has come.
    text: String,
    /// Where the next text is written.
    next: String,
    /// How often each tag was replaced within one value, in the order of their first time.
    counts: Vec<(Tag, usize)>,
}

impl Tags<'_, '_> {
    /// Replaces tags in the values of all options that are not untouched, in their order.
    ///
    /// # Errors
    /// When tags refer to each other in a circle.
    pub(crate) fn replace(&mut self) -> Result<(), Fatal> {
        let has_tag = |value: &Cow<str>| memchr::memchr(b'<', value.as_bytes()).is_some();
        let wanted = |(name, value): (&&str, &Option<Cow<str>>)| {
            value.as_ref().is_some_and(has_tag) && !self.untouched.contains(name)
        };
        let due = self.values.iter().enumerate().filter(|(_, entry)| wanted(*entry));
        let mut due: Vec<usize> = due.map(|(index, _)| index).collect();
        for _ in 0..MOST_ROUNDS {
            let mut changed = Vec::new();
            for index in due {
                if self.replace_one(index)? {
                    changed.push(index);
                }
            }
            // What had nothing to replace has nothing next time: which names have a meaning does not change.
            due = changed;
            if due.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Replaces the tags of one value from left to right. Returns whether there was any.
    fn replace_one(&mut self, index: usize) -> Result<bool, Fatal> {
        let Some((&option, Some(value))) = self.values.get_index_mut(index) else { return Ok(false) };
        let value = std::mem::take(value);
        let mut desk = std::mem::take(&mut self.desk);
        desk.counts.clear();
        desk.text.clear();
        desk.text.push_str(&value);
        let mut at = 0;
        while let Some((start, end)) = tag(&desk.text, at) {
            let name = &desk.text[start + 1..end - 1];
            at = end;
            if self.untouched.contains(&name) {
                continue;
            }
            let place = self.values.get_index_of(name);
            let same = |tag: &Tag| match (tag, place) {
                (Tag::Value(known), Some(place)) => *known == place,
                (Tag::Elsewhere(known), None) => known == name,
                _ => false,
            };
            let known = desk.counts.iter().position(|(tag, _)| same(tag));
            if name == option || known.is_some_and(|known| desk.counts[known].1 > MOST_REPLACEMENTS) {
                return Err(self.circle(option, name, &desk));
            }
            let Some(replacement) = self.meaning(name, place)? else { continue };
            match known {
                Some(known) => desk.counts[known].1 += 1,
                None => {
                    let tag = place.map_or_else(|| Tag::Elsewhere(name.to_owned()), Tag::Value);
                    desk.counts.push((tag, 1));
                }
            }
            replaced(&desk.text, start..end, replacement, &mut desk.next);
            std::mem::swap(&mut desk.text, &mut desk.next);
            if desk.text.len() > LONGEST {
                return Err(Fatal(format!(
                    "option {} grows beyond all bounds when its tags are replaced",
                    repr_str(option)
                )));
            }
            at = start;
        }
        let any = !desk.counts.is_empty();
        self.values[index] = Some(if any { Cow::Owned(desk.text.clone()) } else { value });
        self.desk = desk;
        Ok(any)
    }

    /// What a tag stands for; `place` is that of the value with its name.
    fn meaning(&mut self, name: &str, place: Option<usize>) -> Result<Option<&str>, Fatal> {
        if let Some((_, Some(value))) = place.and_then(|place| self.values.get_index(place)) {
            return Ok(Some(value));
        }
        if !self.found.contains_key(name) {
            let value = (self.elsewhere)(name)?;
            self.found.insert(name.to_owned(), value);
        }
        Ok(self.found.get(name).and_then(Option::as_deref))
    }

    fn circle(&self, option: &str, name: &str, desk: &Desk) -> Fatal {
        let counted = |(tag, count): &(Tag, usize)| {
            let name = match tag {
                Tag::Value(index) => self.values.get_index(*index).map_or("", |(name, _)| name),
                Tag::Elsewhere(name) => name,
            };
            format!("{}: {count}", repr_str(name))
        };
        let counts: Vec<String> = desk.counts.iter().map(counted).collect();
        Fatal(format!(
            "properties contain self referencing definitions and cannot be resolved, fail tag: {option}, found: {name} in \
             {{{}}}, value: {}",
            counts.join(", "),
            desk.text
        ))
    }
}

/// Writes the value with what stands at `place`, and all that is the same, replaced.
fn replaced(value: &str, place: std::ops::Range<usize>, replacement: &str, out: &mut String) {
    let tag = &value[place.clone()];
    out.clear();
    out.reserve(value.len() + replacement.len());
    // There may be one before: a tag that was made of a nested one.
    let mut rest = value;
    if find(&value[..place.start], tag).is_none() {
        out.push_str(&value[..place.start]);
        rest = &value[place.start..];
    }
    while let Some(at) = find(rest, tag) {
        out.push_str(&rest[..at]);
        out.push_str(replacement);
        rest = &rest[at + tag.len()..];
    }
    out.push_str(rest);
}

/// `text.find(tag)` for short texts: all tags begin with `<`, which is quickly found.
fn find(text: &str, tag: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'<', bytes).find(|at| bytes[*at..].starts_with(tag.as_bytes()))
}

/// The first tag at or after `from`: `<` and `>` with neither blanks nor brackets between.
fn tag(text: &str, from: usize) -> Option<(usize, usize)> {
    // The text behind may have become shorter than it was when the last tag was found.
    let from = (from..text.len()).find(|at| text.is_char_boundary(*at))?;
    let mut start = from + memchr::memchr(b'<', &text.as_bytes()[from..])?;
    loop {
        let inner = &text.as_bytes()[start + 1..];
        let stop = memchr::memchr3(b'<', b'>', b' ', inner)?;
        let end = start + 1 + stop;
        match inner[stop] {
            b'>' if stop > 0 => return Some((start, end + 1)),
            b'<' => start = end,
            _ => start = end + memchr::memchr(b'<', &text.as_bytes()[end..])?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replaces the tags of all options in their order and returns the first one's value.
    fn first(options: &[(&str, &str)]) -> Result<String, Fatal> {
        let mut elsewhere = |tag: &str| Ok((tag == "far").then(|| "<near>".to_owned()));
        let mut tags = Tags {
            values: options.iter().map(|(name, value)| (*name, Some(Cow::Borrowed(*value)))).collect(),
            untouched: vec!["ip"],
            elsewhere: &mut elsewhere,
            found: HashMap::default(),
            desk: Desk::default(),
        };
        tags.replace()?;
        Ok(tags.values[0].clone().unwrap().into_owned())
    }

    #[test]
    fn tags_become_values_and_unknown_ones_stay() {
        assert_eq!(
            first(&[("a", "<b> <HOST> <c d> <> <ip> < x>"), ("b", "<c>!"), ("c", "1")]).unwrap(),
            "1! <HOST> <c d> <> <ip> < x>"
        );
        assert_eq!(first(&[("a", "<re-<mode>>"), ("mode", "x"), ("re-x", "y")]).unwrap(), "y");
        assert_eq!(first(&[("a", "<far>"), ("near", "here")]).unwrap(), "here");
    }

    #[test]
    fn circles_are_told() {
        assert!(first(&[("a", "<a>")]).unwrap_err().0.ends_with("fail tag: a, found: a in {}, value: <a>"));
        let told = first(&[("a", "<b>"), ("b", "<c>"), ("c", "<b>")]).unwrap_err().0;
        assert!(told.ends_with("fail tag: a, found: b in {'b': 26, 'c': 26}, value: <b>"), "{told}");
    }

    #[test]
    fn a_tag_is_looked_for_within_the_text_only() {
        assert_eq!(tag("a<b>", 0), Some((1, 4)));
        assert_eq!(tag("a<b>", 40), None);
        assert_eq!(tag("ä<b>", 1), Some((2, 5)));
    }
}
