//! Properties put into each other: `<chain>`, `<iptables>`, `<a<b>>`, with `x?family=inet6` in place of `x` for that family.

use indexmap::IndexMap;
use portcullis_value::Value;

use super::tags::tag_at;
use crate::Family;

/// How often one tag is replaced within one property before we say that it never ends (Fail2ban's number).
const MOST: u32 = 25;

/// The longest text that properties may grow to.
const LONGEST: usize = 1 << 20;

/// Properties that cannot be put into each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// A property contains itself. The text is Fail2ban's.
    #[error(
        "properties contain self referencing definitions and cannot be resolved, fail tag: {property}, found: {tag} in {counts}, value: {value}"
    )]
    SelfReference {
        /// The property that was being resolved.
        property: String,
        /// The tag that came back.
        tag: String,
        /// How often each tag was replaced, as a Python dictionary.
        counts: String,
        /// The text so far.
        value: String,
    },
    /// The text grew beyond 1 MiB.
    #[error("property '{property}' grows beyond {LONGEST} bytes when its tags are replaced")]
    TooLong {
        /// The property that was being resolved.
        property: String,
    },
}

/// `property`'s text with all properties put in that it names. What no property has (`<ip>`) stays.
///
/// Differs: in Fail2ban a circle among properties that this one does not name fails it too; a stop would not be run then.
pub(super) fn expand(
    property: &str,
    text: &str,
    properties: &IndexMap<String, Value>,
    family: Option<Family>,
) -> Result<String, TagError> {
    let mut text = text.to_owned();
    let mut counts: IndexMap<String, u32> = IndexMap::new();
    loop {
        let mut replaced = false;
        let mut from = 0;
        while let Some((begin, end)) = tag_at(&text, from) {
            let tag = &text[begin + 1..end - 1];
            let Some(value) = lookup(properties, tag, family) else {
                from = end;
                continue;
            };
            let count = counts.get(tag).copied().unwrap_or(0);
            if tag == property || count > MOST {
                return Err(self_reference(property, tag, &counts, &text));
            }
            let (tag, value) = (tag.to_owned(), value.to_string());
            if text.len() + value.len() > LONGEST {
                return Err(TagError::TooLong { property: property.to_owned() });
            }
            text.replace_range(begin..end, &value);
            counts.insert(tag, count + 1);
            replaced = true;
            from = begin;
        }
        // A replacement may have completed a tag around it: `<a<b>>`.
        if !replaced {
            return Ok(text);
        }
    }
}

/// The value of a tag among the properties, for a family.
fn lookup<'p>(
    properties: &'p IndexMap<String, Value>,
    tag: &str,
    family: Option<Family>,
) -> Option<&'p Value> {
    // These are what the log says, whatever a property of that name says.
    if matches!(tag, "matches" | "ipmatches" | "ipjailmatches") {
        return None;
    }
    let own = family.and_then(|family| properties.get(&format!("{tag}?family={}", family.name())));
    own.or_else(|| properties.get(tag))
}

fn self_reference(property: &str, tag: &str, counts: &IndexMap<String, u32>, value: &str) -> TagError {
    let counts = counts
        .iter()
        .map(|(tag, count)| (Value::from(tag.as_str()), Value::Int(i64::from(*count))))
        .collect();
    TagError::SelfReference {
        property: property.to_owned(),
        tag: tag.to_owned(),
        counts: Value::Dict(counts).repr(),
        value: value.to_owned(),
    }
}
