//! `<tag>` in the values of filters and actions, replaced by other options until nothing changes.
//!
//! Tags that nobody knows stay as they are: `<HOST>`, `<ip>` and `<F-USER>` are for later stages.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;
use portcullis_value::repr_str;

use crate::message::Fatal;

/// A tag is replaced as often within one value.
const MOST_REPLACEMENTS: usize = 25;
/// No value of a real configuration is longer, in bytes. Fail2ban knows no such limit and would grow until it is killed.
const LONGEST: usize = 16 << 20;
/// Nested names such as `<re-<mode>>` are resolved one level each time round.
const MOST_ROUNDS: usize = 64;

/// The options of one filter or action while their tags are being replaced.
pub(crate) struct Tags<'a> {
    /// The options and their values.
    pub(crate) values: IndexMap<String, String>,
    /// Tags that are somebody else's business.
    pub(crate) untouched: HashSet<String>,
    /// Finds a tag that is not among the values.
    pub(crate) elsewhere: &'a mut dyn FnMut(&str) -> Result<Option<String>, Fatal>,
    /// What was found elsewhere before.
    pub(crate) found: HashMap<String, Option<String>>,
}

impl Tags<'_> {
    /// Replaces tags in the values of `options`, in their order.
    ///
    /// # Errors
    /// When tags refer to each other in a circle.
    pub(crate) fn replace(&mut self, options: &[String]) -> Result<(), Fatal> {
        for _ in 0..MOST_ROUNDS {
            let mut changed = false;
            for option in options {
                let Some(value) = self.values.get(option).filter(|value| value.contains('<')) else {
                    continue;
                };
                let value = value.clone();
                if let Some(new) = self.replaced(option, value)? {
                    self.values.insert(option.clone(), new);
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        Ok(())
    }

    /// The value with its tags replaced from left to right, or nothing when there was none to replace.
    fn replaced(&mut self, option: &str, mut value: String) -> Result<Option<String>, Fatal> {
        let mut counts: IndexMap<String, usize> = IndexMap::new();
        let mut at = 0;
        while let Some((start, end)) = tag(&value, at) {
            let name = &value[start + 1..end - 1];
            if self.untouched.contains(name) {
                at = end;
                continue;
            }
            if name == option || counts.get(name).is_some_and(|count| *count > MOST_REPLACEMENTS) {
                return Err(circle(option, name, &counts, &value));
            }
            let Some(replacement) = self.meaning(name)? else {
                at = end;
                continue;
            };
            match counts.get_mut(name) {
                Some(count) => *count += 1,
                None => {
                    counts.insert(name.to_owned(), 1);
                }
            }
            value = value.replace(&value[start..end], &replacement);
            if value.len() > LONGEST {
                return Err(Fatal(format!(
                    "option {} grows beyond all bounds when its tags are replaced",
                    repr_str(option)
                )));
            }
            at = start;
        }
        Ok((!counts.is_empty()).then_some(value))
    }

    fn meaning(&mut self, name: &str) -> Result<Option<String>, Fatal> {
        if let Some(value) = self.values.get(name) {
            return Ok(Some(value.clone()));
        }
        if let Some(value) = self.found.get(name) {
            return Ok(value.clone());
        }
        let value = (self.elsewhere)(name)?;
        self.found.insert(name.to_owned(), value.clone());
        Ok(value)
    }
}

fn circle(option: &str, name: &str, counts: &IndexMap<String, usize>, value: &str) -> Fatal {
    let counts: Vec<_> = counts.iter().map(|(tag, count)| format!("{}: {count}", repr_str(tag))).collect();
    Fatal(format!(
        "properties contain self referencing definitions and cannot be resolved, fail tag: {option}, found: {name} in \
         {{{}}}, value: {value}",
        counts.join(", ")
    ))
}

/// The first tag at or after `from`: `<` and `>` with neither blanks nor brackets between.
fn tag(text: &str, from: usize) -> Option<(usize, usize)> {
    // The text behind may have become shorter than it was when the last tag was found.
    let from = (from..text.len()).find(|at| text.is_char_boundary(*at))?;
    let mut start = from + text[from..].find('<')?;
    loop {
        let inner = &text[start + 1..];
        let stop = inner.find(['<', '>', ' '])?;
        let end = start + 1 + stop;
        match inner.as_bytes()[stop] {
            b'>' if stop > 0 => return Some((start, end + 1)),
            b'<' => start = end,
            _ => start = end + text[end..].find('<')?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replaces the tags of all options in their order and returns the first one's value.
    fn first(options: &[(&str, &str)]) -> Result<String, Fatal> {
        let names: Vec<String> = options.iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut tags = Tags {
            values: options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            untouched: HashSet::from(["ip".to_owned()]),
            elsewhere: &mut |tag| Ok((tag == "far").then(|| "<near>".to_owned())),
            found: HashMap::new(),
        };
        tags.replace(&names)?;
        Ok(tags.values[0].clone())
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
