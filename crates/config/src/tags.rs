//! `<tag>` in the values of filters and actions, replaced by other options until nothing changes.
//!
//! Tags that nobody knows stay as they are: `<HOST>`, `<ip>` and `<F-USER>` are for later stages.

use std::borrow::Cow;
use std::sync::Arc;

use portcullis_value::repr_str;

use crate::maps::{HashMap, Map};
use crate::message::Fatal;

/// A tag is replaced as often within one value.
const MOST_REPLACEMENTS: usize = 25;
/// No value of a real configuration is longer, in bytes. Fail2ban knows no such limit and would grow until it is killed.
const LONGEST: usize = if cfg!(test) { 16 << 10 } else { 16 << 20 };
/// Longer values are left to the way that watches [`LONGEST`], as those are into which so many others go.
const LONGEST_EXPANDED: usize = LONGEST / 16;
const MOST_BROUGHT: usize = 100;
/// A tag that is brought as often may be one too many: even if it was so often before the value was prepared.
const MOST_TIMES: usize = MOST_REPLACEMENTS / 2;
/// So long is a value, and so many tags it has, at most as a rule.
const USUAL_LENGTH: usize = 4000;
const USUAL_TAGS: usize = 32;
/// Nested names such as `<re-<mode>>` are resolved one level each time round.
const MOST_ROUNDS: usize = 64;

/// The options of one filter or action while their tags are being replaced.
pub(crate) struct Tags<'a, 'e> {
    /// The options and their values; one without is no tag.
    pub(crate) values: Map<&'a str, Option<Cow<'a, str>>>,
    /// Tags that are somebody else's business.
    pub(crate) untouched: Vec<&'a str>,
    /// Values of the first options with some of their tags replaced already, where that is known.
    pub(crate) prepared: Vec<Option<Arc<str>>>,
    /// Finds a tag that is not among the values.
    pub(crate) elsewhere: &'e mut Elsewhere<'e>,
    /// What was found elsewhere before.
    pub(crate) found: Found,
    pub(crate) desk: Desk,
}

/// Looks for a tag beyond the values.
pub(crate) type Elsewhere<'e> = dyn FnMut(&str) -> Result<Option<Arc<str>>, Fatal> + 'e;

/// Tags that were looked for elsewhere, and what they stand for, if anything.
pub(crate) type Found = HashMap<String, Option<Arc<str>>>;

impl Desk {
    /// A desk with room for what is usual.
    pub(crate) fn new() -> Desk {
        Desk {
            text: String::new(),
            next: String::with_capacity(USUAL_LENGTH),
            counts: Vec::new(),
            brought: Vec::with_capacity(USUAL_TAGS),
        }
    }
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
    /// Where the text of a tag's value stands in memory, and how often other values brought that tag.
    brought: Vec<(*const u8, usize)>,
}

impl Tags<'_, '_> {
    /// Replaces tags in the values of all options that are not untouched, in their order.
    ///
    /// # Errors
    /// When tags refer to each other in a circle.
    pub(crate) fn replace(&mut self) -> Result<(), Fatal> {
        self.replace_all(true)
    }

    /// `quickly`: by [`Tags::expand_one`] where that is possible.
    fn replace_all(&mut self, quickly: bool) -> Result<(), Fatal> {
        let has_tag = |value: &Cow<str>| memchr::memchr(b'<', value.as_bytes()).is_some();
        let wanted = |(name, value): (&&str, &Option<Cow<str>>)| {
            value.as_ref().is_some_and(has_tag) && !self.untouched.contains(name)
        };
        let due = self.values.iter().enumerate().filter(|(_, entry)| wanted(*entry));
        let mut due: Vec<usize> = due.map(|(index, _)| index).collect();
        for _ in 0..MOST_ROUNDS {
            let mut changed = Vec::new();
            for index in due {
                if !(quickly && self.expand_one(index)) && self.replace_one(index)? {
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

    /// Replaces the tags of one value by writing it once, and once more for tags that were made of others. In the end that
    /// is what [`Tags::replace_one`] makes of it, which is needed only where tags are very many, refer to the value itself
    /// or cannot be told. Returns whether the value is done; it is as it was otherwise.
    pub(crate) fn expand_one(&mut self, index: usize) -> bool {
        let Some((&option, Some(value))) = self.values.get_index(index) else { return false };
        let prepared = self.prepared.get(index).and_then(Option::as_deref);
        let Desk { text, next, brought, .. } = &mut self.desk;
        next.clear();
        brought.clear();
        let (values, untouched, found) = (&self.values, &self.untouched[..], &mut self.found);
        let elsewhere = &mut *self.elsewhere;
        let mut expansion = Expansion {
            values,
            untouched,
            elsewhere,
            found,
            option,
            brought,
            again: prepared.is_some(),
            replaced: false,
            nested: false,
            out: next,
        };
        if expansion.write(prepared.unwrap_or(value), true).is_none() {
            return false;
        }
        let any = expansion.replaced || prepared.is_some();
        while expansion.nested && expansion.replaced {
            std::mem::swap(text, expansion.out);
            expansion.out.clear();
            (expansion.again, expansion.nested, expansion.replaced) = (true, false, false);
            if expansion.write(text, true).is_none() {
                return false;
            }
        }
        if any {
            self.values[index] = Some(Cow::Owned(self.desk.next.clone()));
        }
        true
    }

    /// Replaces the tags of one value from left to right. Returns whether there was any.
    fn replace_one(&mut self, index: usize) -> Result<bool, Fatal> {
        if let Some(prepared) = self.prepared.get_mut(index) {
            *prepared = None;
        }
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

/// One value being written with its tags replaced.
struct Expansion<'x, 'a, 'e> {
    values: &'x Map<&'a str, Option<Cow<'a, str>>>,
    untouched: &'x [&'a str],
    elsewhere: &'x mut Elsewhere<'e>,
    found: &'x mut Found,
    /// The name of the value.
    option: &'x str,
    /// How often each tag was brought by what others were replaced with. All that stand in a value are replaced at once.
    brought: &'x mut Vec<(*const u8, usize)>,
    /// Tags of the text itself were brought by others, since it is not written for the first time.
    again: bool,
    /// Some tag was replaced.
    replaced: bool,
    /// Tags were met within what may become one.
    nested: bool,
    out: &'x mut String,
}

impl Expansion<'_, '_, '_> {
    /// Writes `text`. Nothing when the tags must be replaced one after the other.
    fn write(&mut self, text: &str, outermost: bool) -> Option<()> {
        let bytes = text.as_bytes();
        // What was written, and what was looked at.
        let (mut written, mut from) = (0, 0);
        while let Some(open) = memchr::memchr(b'<', &bytes[from..]) {
            let start = from + open;
            // Names are short: a search by words is not worth its beginning.
            let Some(length) = bytes[start + 1..].iter().position(|byte| matches!(byte, b'<' | b'>' | b' '))
            else {
                // What follows the value could make a tag of its end.
                if outermost {
                    break;
                }
                return None;
            };
            from = start + 1 + length;
            match bytes[from] {
                b'>' if length > 0 => from += 1,
                b'<' => {
                    self.nested = true;
                    continue;
                }
                _ => continue,
            }
            let name = &text[start + 1..from - 1];
            if self.untouched.contains(&name) {
                continue;
            }
            if name == self.option {
                return None;
            }
            let elsewhere;
            let value = match self.values.get(name) {
                Some(Some(value)) => &**value,
                // An error will be one in its turn.
                _ => match self.elsewhere(name).ok()? {
                    Some(value) => {
                        elsewhere = value;
                        &*elsewhere
                    }
                    None => continue,
                },
            };
            if !outermost || self.again {
                self.bring(value)?;
            }
            self.replaced = true;
            self.out.push_str(&text[written..start]);
            written = from;
            if self.out.len() + value.len() > LONGEST_EXPANDED {
                return None;
            }
            self.write(value, false)?;
        }
        self.out.push_str(&text[written..]);
        Some(())
    }

    /// Counts a tag of this value. Nothing when there are so many that it may be a circle.
    fn bring(&mut self, value: &str) -> Option<()> {
        let value = value.as_ptr();
        match self.brought.iter_mut().find(|(known, _)| *known == value) {
            Some((_, count)) => {
                *count += 1;
                (*count < MOST_TIMES).then_some(())
            }
            None => {
                self.brought.push((value, 1));
                (self.brought.len() < MOST_BROUGHT).then_some(())
            }
        }
    }

    /// What a tag stands for that is none of the values.
    fn elsewhere(&mut self, name: &str) -> Result<Option<Arc<str>>, Fatal> {
        if let Some(known) = self.found.get(name) {
            return Ok(known.clone());
        }
        let value = (self.elsewhere)(name)?;
        self.found.insert(name.to_owned(), value.clone());
        Ok(value)
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
    use proptest::prelude::*;

    use super::*;

    /// Replaces the tags of all options in their order and returns the first one's value.
    fn first(options: &[(&str, &str)]) -> Result<String, Fatal> {
        let mut elsewhere = |tag: &str| Ok((tag == "far").then(|| "<near>".into()));
        let mut tags = Tags {
            values: options.iter().map(|(name, value)| (*name, Some(Cow::Borrowed(*value)))).collect(),
            untouched: vec!["ip"],
            prepared: Vec::new(),
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

    /// Options that refer to each other in every way, and to what is found elsewhere.
    fn tangled() -> impl Strategy<Value = Vec<(String, String)>> {
        let piece = prop_oneof![
            4 => prop::sample::select(vec!["<a>", "<b>", "<c>", "<d>", "<far>", "<none>", "<ip>", "<HOST>", "<bad>"]),
            2 => prop::sample::select(vec!["<k-<a>>", "<k-<b>>", "<<c>>", "<k-<far>>", "<k-", "<x", "a>", ">", "<", "<>", "<a <b>"]),
            3 => prop::sample::select(vec!["x", "y", "", " ", "é", "b", "-"]),
        ];
        let value = prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat());
        let many = (prop::sample::select(vec!["<a>", "<b>", "<k-<a>>"]), 20..30_usize)
            .prop_map(|(tag, count)| tag.repeat(count));
        let name = prop::sample::select(vec!["a", "b", "c", "d", "e", "k-x", "k-y", "k-xx", "xb", "ip"]);
        let option = (name.prop_map(str::to_owned), prop_oneof![12 => value, 1 => many]);
        prop::collection::vec(option, 1..8)
    }

    /// The options with their tags replaced, quickly or one after the other.
    fn all(options: &[(String, String)], quickly: bool) -> Result<Vec<String>, Fatal> {
        let mut elsewhere = |tag: &str| match tag {
            "far" => Ok(Some("[<none><a>]".into())),
            "k-y" => Ok(Some("x".into())),
            "bad" => Err(Fatal("bad".into())),
            _ => Ok(None),
        };
        let mut tags = Tags {
            values: options
                .iter()
                .map(|(name, value)| (name.as_str(), Some(Cow::Borrowed(value.as_str()))))
                .collect(),
            untouched: vec!["ip"],
            prepared: Vec::new(),
            elsewhere: &mut elsewhere,
            found: HashMap::default(),
            desk: Desk::new(),
        };
        tags.replace_all(quickly)?;
        Ok(tags.values.into_values().map(|value| value.unwrap_or_default().into_owned()).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn both_ways_come_to_the_same(options in tangled()) {
            let (quick, slow) = (all(&options, true), all(&options, false));
            prop_assert_eq!(quick.map_err(|fatal| fatal.0), slow.map_err(|fatal| fatal.0));
        }
    }

    #[test]
    fn a_tag_is_looked_for_within_the_text_only() {
        assert_eq!(tag("a<b>", 0), Some((1, 4)));
        assert_eq!(tag("a<b>", 40), None);
        assert_eq!(tag("ä<b>", 1), Some((2, 5)));
    }
}
