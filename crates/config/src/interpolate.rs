//! `%(name)s` in values: Python's interpolation with Fail2ban's references into other sections.
//!
//! A reference is looked up among the caller's variables, the section, `[DEFAULT]`; `%(section/option)s` and
//! `%(known/option)s` name a place. Values found are raw and go through the same again, ten levels deep.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use crate::layers::{Known, Layers, Section};
use crate::maps::HashMap;
use crate::message::Fatal;

/// References may nest as deep as this.
const DEEPEST: usize = 10;
/// No value of a real configuration is longer, in bytes. Fail2ban knows no such limit and would grow until it is killed.
const LONGEST: usize = 16 << 20;
/// As many references are replaced within one value.
const MOST_STEPS: usize = 1_000_000;

/// Variables by lower-cased name. One without a value hides the files' as well, and must not be referred to. Of two with one
/// name the last counts.
pub(crate) type Scope = Rc<HashMap<Cow<'static, str>, Option<Arc<str>>>>;

/// Variables that come before what the files say; the first scope that has a name counts.
pub(crate) type Variables<'a> = &'a [Scope];

/// The variable of that name.
pub(crate) fn variable<'a>(variables: Variables<'a>, name: &str) -> Option<&'a Option<Arc<str>>> {
    variables.iter().find_map(|scope| scope.get(name))
}

/// Why there is no value.
#[derive(Debug)]
pub(crate) enum Missing {
    Section,
    Option,
    Fatal(Fatal),
}

/// The value that a reference stands for.
enum Found<'a> {
    Text(&'a Arc<str>),
    /// The name of the section.
    Name(&'a str),
    Shared(Arc<str>),
    Other(&'static str),
}

impl Layers {
    /// The value of an option with everything replaced.
    pub(crate) fn value(
        &self,
        section: &str,
        option: &str,
        variables: Variables,
    ) -> Result<Arc<str>, Missing> {
        let own = self.section(section).ok_or(Missing::Section)?;
        self.value_in(section, own, &lower(option), variables)
    }

    /// As [`Layers::value`], of an option that the files have, in the section or in `[DEFAULT]`; a variable of that name
    /// hides it.
    pub(crate) fn defined(
        &self,
        section: &str,
        option: &str,
        variables: Variables,
    ) -> Result<Arc<str>, Missing> {
        let own = self.section(section).ok_or(Missing::Section)?;
        let option = lower(option);
        let Some(found) = self.found(own, &option) else { return Err(Missing::Option) };
        let found = found_among(variables, &option).unwrap_or(found);
        Reading::new(self, section, own, &option, variables).value(found)
    }

    /// The value that an option had before the last file that changed it. It is replaced as if what was changed were a
    /// section of its own.
    pub(crate) fn known_value(&self, section: &str, option: &str) -> Result<Arc<str>, Missing> {
        let (own, option) = (self.section(section).ok_or(Missing::Section)?, lower(option));
        // Most refer to nothing.
        let raw = own.options.get(&*option).and_then(|setting| own.known_of(&option, setting));
        if let Some((raw, _)) = raw
            && memchr::memchr(b'%', raw.as_bytes()).is_none()
        {
            return Ok(raw.clone());
        }
        let known = own.before();
        if known.options.is_empty() {
            return Err(Missing::Section);
        }
        self.value_in(&format!("KNOWN/{section}"), &known, &option, &[])
    }

    fn value_in(
        &self,
        section: &str,
        own: &Section,
        option: &str,
        variables: Variables,
    ) -> Result<Arc<str>, Missing> {
        let found = found_among(variables, option).or_else(|| self.found(own, option));
        Reading::new(self, section, own, option, variables).value(found.ok_or(Missing::Option)?)
    }

    /// What the files have, in the section or in `[DEFAULT]`.
    fn found<'a>(&'a self, section: &'a Section, option: &str) -> Option<Found<'a>> {
        found_in(section, option).or_else(|| found_in(&self.defaults, option))
    }

    /// The raw value of an option, in the section or in `[DEFAULT]`.
    fn raw(&self, section: &str, option: &str) -> Option<&Arc<str>> {
        match self.found(self.section(section)?, option)? {
            Found::Text(raw) => Some(raw),
            _ => None,
        }
    }
}

/// `text.lower()`, of which most names need no copy.
pub(crate) fn lower(text: &str) -> Cow<'_, str> {
    let plain = text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    if plain { text.into() } else { text.to_lowercase().into() }
}

fn found_among<'a>(variables: Variables<'a>, option: &str) -> Option<Found<'a>> {
    let value = variable(variables, option)?;
    Some(value.as_ref().map_or(Found::Other("NoneType"), Found::Text))
}

fn found_in<'a>(section: &'a Section, option: &str) -> Option<Found<'a>> {
    if let Some(setting) = section.options.get(option) {
        return Some(Found::Text(&setting.raw));
    }
    match section.known.get(option.strip_prefix("known/")?)? {
        Known::Text(text) => Some(Found::Text(text)),
        Known::Other(kind) => Some(Found::Other(kind)),
    }
}

/// One value being read.
struct Reading<'a> {
    layers: &'a Layers,
    name: &'a str,
    own: &'a Section,
    name_of_option: &'a str,
    variables: Variables<'a>,
    /// References into other sections, as they were written, with their raw values.
    fetched: Vec<(String, Arc<str>)>,
    out: String,
    steps: usize,
}

impl<'a> Reading<'a> {
    fn new(
        layers: &'a Layers,
        name: &'a str,
        own: &'a Section,
        name_of_option: &'a str,
        variables: Variables<'a>,
    ) -> Self {
        let (fetched, out) = (Vec::new(), String::new());
        Reading { layers, name, own, name_of_option, variables, fetched, out, steps: 0 }
    }

    /// The value that was found with everything replaced. Most have nothing to replace and are shared.
    fn value(mut self, found: Found) -> Result<Arc<str>, Missing> {
        let raw = match found {
            Found::Text(raw) => raw,
            Found::Name(name) => return Ok(name.into()),
            // Only references share.
            Found::Shared(_) | Found::Other(_) => return Err(Missing::Option),
        };
        if memchr::memchr(b'%', raw.as_bytes()).is_none() {
            return Ok(raw.clone());
        }
        self.out.reserve(2 * raw.len());
        self.replace(raw, 1).map_err(Missing::Fatal)?;
        Ok(self.out.into())
    }

    fn find(&self, key: &str) -> Option<Found<'a>> {
        if key == "__name__" { Some(Found::Name(self.name)) } else { self.option(key) }
    }

    /// An option by its name, which may be that of a variable.
    fn option(&self, key: &str) -> Option<Found<'a>> {
        let found = found_among(self.variables, key).or_else(|| {
            let fetched = self.fetched.iter().find(|(name, _)| name == key);
            fetched.map(|(_, value)| Found::Shared(value.clone()))
        });
        found.or_else(|| self.layers.found(self.own, key))
    }

    fn replace(&mut self, text: &str, depth: usize) -> Result<(), Fatal> {
        if depth > DEEPEST {
            return Err(Fatal(format!(
                "Recursion limit exceeded in value substitution: option {} in section {} contains an interpolation key \
                 which cannot be substituted in {DEEPEST} steps. Raw value: {}",
                quoted(self.name_of_option),
                quoted(self.name),
                quoted(&self.raw_value(text))
            )));
        }
        let mut rest = text;
        while let Some(at) = memchr::memchr(b'%', rest.as_bytes()) {
            self.push(&rest[..at])?;
            rest = &rest[at..];
            match rest.as_bytes().get(1) {
                Some(b'%') => {
                    self.push("%")?;
                    rest = &rest[2..];
                }
                Some(b'(') => {
                    let Some((key, behind)) = reference(rest) else {
                        return Err(Fatal(format!("bad interpolation variable reference {}", quoted(rest))));
                    };
                    self.reference(key, text, depth)?;
                    rest = behind;
                }
                _ => {
                    return Err(Fatal(format!(
                        "'%' must be followed by '%' or '(', found: {}",
                        quoted(rest)
                    )));
                }
            }
        }
        self.push(rest)
    }

    /// Puts what `key` stands for into the result. `text` is the value in which the reference stands.
    fn reference(&mut self, key: &str, text: &str, depth: usize) -> Result<(), Fatal> {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return Err(self.too_large());
        }
        let name = lower(key);
        let mut found = self.find(&name);
        if found.is_none() && name.contains('/') {
            self.fetch(text);
            found = self.find(&name);
        }
        let value = match found {
            Some(Found::Text(value)) => &**value,
            Some(Found::Name(name)) => name,
            Some(Found::Shared(value)) => return self.put(&value, depth),
            Some(Found::Other(kind)) => {
                return Err(Fatal(format!("argument of type '{kind}' is not iterable")));
            }
            None => {
                return Err(Fatal(format!(
                    "Bad value substitution: option {} in section {} contains an interpolation key {} which is not a \
                     valid option name. Raw value: {}",
                    quoted(self.name_of_option),
                    quoted(self.name),
                    quoted(&name),
                    quoted(&self.raw_value(text))
                )));
            }
        };
        self.put(value, depth)
    }

    fn put(&mut self, value: &str, depth: usize) -> Result<(), Fatal> {
        if memchr::memchr(b'%', value.as_bytes()).is_some() {
            self.replace(value, depth + 1)
        } else {
            self.push(value)
        }
    }

    /// Looks up all references of `text` into other sections, by the names as they are written there.
    fn fetch(&mut self, text: &str) {
        let mut rest = text;
        while let Some(at) = rest.find("%(") {
            rest = &rest[at..];
            let Some((key, behind)) = reference(rest) else {
                rest = &rest[2..];
                continue;
            };
            rest = behind;
            let Some((section, option)) = key.split_once('/') else { continue };
            // What the section itself knows is not looked for in `[DEFAULT]`.
            if self.fetched.iter().any(|(name, _)| name == key) || self.find(&lower(key)).is_some() {
                continue;
            }
            let lower = lower(option);
            let found = match section {
                "known" | "default" => match found_in(&self.layers.defaults, &lower) {
                    Some(Found::Text(raw)) => Some(raw),
                    _ => None,
                },
                _ => self.layers.raw(section, &lower),
            };
            if let Some(value) = found {
                self.fetched.push((key.to_owned(), value.clone()));
            }
        }
    }

    fn push(&mut self, text: &str) -> Result<(), Fatal> {
        if !self.out.is_empty() && self.out.len() + text.len() > LONGEST {
            return Err(self.too_large());
        }
        self.out.push_str(text);
        Ok(())
    }

    fn too_large(&self) -> Fatal {
        Fatal(format!(
            "option {} in section {} grows beyond all bounds when its references are replaced",
            quoted(self.name_of_option),
            quoted(self.name)
        ))
    }

    /// The raw value as errors show it: the files' own, even when a variable hides it.
    fn raw_value(&self, fallback: &str) -> String {
        match self.layers.found(self.own, self.name_of_option) {
            Some(Found::Text(text)) => text.to_string(),
            _ => fallback.to_owned(),
        }
    }
}

/// The name in `%(name)s` at the beginning of `text`, and what follows.
pub(crate) fn reference(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix("%(")?;
    let end = inner.find(')').filter(|end| *end > 0)?;
    Some((&inner[..end], inner[end + 1..].strip_prefix('s')?))
}

fn quoted(text: &str) -> String {
    portcullis_value::repr_str(text)
}
