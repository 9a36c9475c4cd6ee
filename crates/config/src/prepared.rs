//! What the options of an action look like once everything is replaced that is the same for each jail that uses it.
//!
//! Most jails have the same action, and most of its tags stand for what its own files say. These are replaced once for
//! all jails that give the action the same options; what is left is for each jail to replace.

use std::borrow::Cow;
use std::sync::Arc;

use crate::definition::{Definition, Value};
use crate::interpolate::{Missing, Scope, Variables, lower, variable};
use crate::jail;
use crate::maps::Map;
use crate::message::Fatal;
use crate::tags::{Desk, Found, Tags};

/// Of more ways to use one action, the others are not prepared.
const MOST_WAYS: usize = 16;

/// An action as jails use it that give it options of certain names.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    names: Vec<Arc<str>>,
    /// Values of options, and the same prepared.
    texts: Vec<(Arc<str>, Arc<str>)>,
}

impl Definition {
    /// For each option of the table its text as far as it is the same for each jail; nothing where that is not known.
    pub(crate) fn prepared(&self, untouched: &[&str]) -> Vec<Option<Arc<str>>> {
        let names = || self.bracket().map(|(name, _)| name);
        let mut ways = self.layers.prepared.borrow_mut();
        let known = ways.iter().position(|way| way.names.iter().eq(names()));
        let way = match known {
            Some(known) => &ways[known],
            None if ways.len() < MOST_WAYS => {
                ways.push(Prepared { names: names().cloned().collect(), texts: self.prepare(untouched) });
                &ways[ways.len() - 1]
            }
            None => return Vec::new(),
        };
        let text = |(name, value): &(&str, Value)| match value {
            // What `[Init]` has under that name goes before it.
            Value::Text(text) if !self.parameters.contains_key(*name) => {
                let prepared = way.texts.iter().find(|(known, _)| known == text);
                prepared.map(|(_, prepared)| prepared.clone())
            }
            _ => None,
        };
        self.options.iter().map(text).collect()
    }

    fn prepare(&self, untouched: &[&str]) -> Vec<(Arc<str>, Arc<str>)> {
        let options = self.options.iter().filter_map(|(name, value)| match value {
            Value::Text(text) => Some((*name, text)),
            _ => None,
        });
        let options: Vec<_> = options.collect();
        let mut values: Map<&str, Option<Cow<str>>> =
            options.iter().map(|(name, text)| (*name, Some(Cow::Borrowed(&***text)))).collect();
        // What the jail gives, and what it may change, is left.
        let mut untouched = untouched.to_vec();
        untouched.extend(self.bracket().map(|(name, _)| &**name));
        untouched.extend(self.options.iter().map(|(name, _)| *name));
        for (name, value) in &self.parameters {
            if !untouched.contains(&&**name) {
                values.entry(name).or_insert(Some(Cow::Borrowed(value)));
            }
        }
        // These are variables without a value: whatever refers to them cannot be told.
        let given = self.bracket().map(|(name, _)| Cow::Owned(lower(name).into_owned()));
        let varying = given.chain(jail::option_names().map(Cow::Borrowed)).map(|name| (name, None));
        let varying = [Scope::new(varying.collect())];
        let mut elsewhere = |tag: &str| self.constant(tag, &varying);
        let (found, prepared) = (Found::default(), Vec::new());
        let mut tags =
            Tags { values, untouched, prepared, elsewhere: &mut elsewhere, found, desk: Desk::new() };
        let done = (0..options.len()).filter(|index| tags.expand_one(*index)).collect::<Vec<_>>();
        let prepared = done.into_iter().filter_map(|index| match tags.values.get_index(index) {
            Some((_, Some(Cow::Owned(text)))) => Some((options[index].1.clone(), text.as_str().into())),
            _ => None,
        });
        prepared.collect()
    }

    /// What a tag stands for in each jail.
    ///
    /// # Errors
    /// When it may stand for something else in another jail.
    fn constant(&self, tag: &str, varying: Variables) -> Result<Option<Arc<str>>, Fatal> {
        if tag.contains('/') {
            return self.elsewhere(tag);
        }
        if variable(varying, &lower(tag)).is_some() {
            return Err(Fatal(format!("{tag} depends on the jail")));
        }
        match self.layers.defined("Definition", tag, varying) {
            Ok(value) => Ok(Some(value)),
            Err(Missing::Option | Missing::Section) => Ok(None),
            Err(Missing::Fatal(fatal)) => Err(fatal),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::definition::Kind;
    use crate::layers::Reader;
    use crate::maps::HashMap;
    use crate::message::Messages;
    use crate::source::Source;

    type Sent = Result<Vec<(String, String)>, String>;

    /// What is sent for an action whose bracket gives it these values.
    fn sent(reader: &mut Reader, values: &[String], prepared: bool) -> Sent {
        let names = ["name", "port", "c"].map(str::to_owned);
        let bracket = names.into_iter().zip(values.iter().cloned()).collect();
        let jail = HashMap::from_iter([("maxretry".into(), Some("<a>".into()))]);
        let read = Definition::read(reader, Kind::Action, "x", Scope::new(jail), bracket, None);
        let Some(definition) = read.map_err(|fatal| fatal.0)? else { return Err("no action".into()) };
        if !prepared {
            let full = vec![Prepared { names: Vec::new(), texts: Vec::new() }; MOST_WAYS];
            definition.layers.prepared.replace(full);
        }
        let properties = definition.properties(&mut Messages::default()).map_err(|fatal| fatal.0)?;
        Ok(properties.into_iter().map(|(name, value)| (name.to_owned(), value.text().into_owned())).collect())
    }

    fn value() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "<a>",
            "<b>",
            "<d>",
            "<d>",
            "<port>",
            "<name>",
            "<c>",
            "<known/c>",
            "<x_<c>>",
            "<x_<d>>",
            "<x_1>",
            "<s/a>",
            "<ip>",
            "<actionban>",
            "<maxretry>",
            "<Port>",
            "%(a)s",
            "%(port)s",
            "%(s/a)s",
            "%(maxretry)s",
            "1",
            "2 ",
            " ",
            "<",
            ">",
            "é",
        ]);
        let pieces = prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat());
        prop_oneof![3 => pieces, 1 => Just("1".to_owned())]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn a_prepared_action_is_sent_as_one_that_is_not(
            own in prop::collection::vec(value(), 7),
            init in prop::collection::vec(value(), 4),
            jails in prop::collection::vec(prop::collection::vec(value(), 0..4), 1..4),
        ) {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir(dir.path().join("action.d")).unwrap();
            let names = ["actionstart", "actionban", "actionunban", "a", "b", "x_1", "x_2"];
            let mut text = "[Definition]\n".to_owned();
            text.extend(names.iter().zip(&own).map(|(name, value)| format!("{name} = {value}\n")));
            text.push_str("[s]\na = 1<d>\n[Init]\n");
            text.extend(["c", "d", "port", "actionunban"].iter().zip(&init).map(|(name, value)| format!("{name} = {value}\n")));
            std::fs::write(dir.path().join("action.d/x.conf"), text).unwrap();
            let source = Source::directory(dir.path());
            let mut reader = Reader::new(&source);
            for values in &jails {
                let alone = sent(&mut Reader::new(&source), values, false);
                prop_assert_eq!(sent(&mut reader, values, true), alone);
            }
        }
    }
}
