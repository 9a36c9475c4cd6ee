//! What a filter captured: names and values, few and in order.

use std::sync::Arc;

use portcullis_value::Value;

/// A captured thing's name, shared with the regex that captures it.
pub type Name = Arc<str>;

/// What a filter captured besides the identity: `user`, `fport`, … in the order of capture; keys are the tag's name in
/// lower case (`<F-USER>` is `user`, `<F-PORT>` is `fport`).
///
/// There are a handful of them, so that looking through all is quicker than any index. Two are equal when they have the
/// same values by the same names, in whatever order.
#[derive(Clone, Debug, Default)]
pub struct Data(Vec<(Name, Value)>);

impl Data {
    /// Nothing captured.
    pub const fn new() -> Self {
        Data(Vec::new())
    }

    /// Nothing captured yet, with room for so many.
    pub fn with_capacity(room: usize) -> Self {
        Data(Vec::with_capacity(room))
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|(known, _)| **known == *name)
    }

    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.place(name).map(|at| &self.0[at].1)
    }

    /// Whether there is a value of this name, be it null.
    pub fn contains_key(&self, name: &str) -> bool {
        self.place(name).is_some()
    }

    /// Sets a value: in its place when the name is known, else behind the others. Returns the former one.
    pub fn insert(&mut self, name: impl Into<Name>, value: Value) -> Option<Value> {
        let name = name.into();
        match self.place(&name) {
            Some(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            None => {
                self.0.push((name, value));
                None
            }
        }
    }

    /// Adds a value behind the others, by a name that is not there yet.
    pub(crate) fn push(&mut self, name: Name, value: Value) {
        self.0.push((name, value));
    }

    /// Takes a value out; the order of the others stays.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.place(name).map(|at| self.0.remove(at).1)
    }

    /// Keeps what the question answers yes to.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &Value) -> bool) {
        self.0.retain(|(name, value)| keep(name, value));
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// The names in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for Data {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(name, value)| other.get(name) == Some(value))
    }
}

impl std::ops::Index<&str> for Data {
    type Output = Value;

    fn index(&self, name: &str) -> &Value {
        self.get(name).unwrap_or(&Value::None)
    }
}

impl IntoIterator for Data {
    type Item = (Name, Value);
    type IntoIter = std::vec::IntoIter<(Name, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<N: Into<Name>> Extend<(N, Value)> for Data {
    fn extend<T: IntoIterator<Item = (N, Value)>>(&mut self, more: T) {
        for (name, value) in more {
            self.insert(name, value);
        }
    }
}

impl<N: Into<Name>> FromIterator<(N, Value)> for Data {
    fn from_iter<T: IntoIterator<Item = (N, Value)>>(items: T) -> Self {
        let mut data = Data::new();
        data.extend(items);
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_place_when_its_value_changes() {
        let mut data = Data::from_iter([("a", 1.into()), ("b", 2.into())]);
        assert_eq!(data.insert("a", 3.into()), Some(1.into()));
        data.insert("c", 4.into());
        assert_eq!(data.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(data.remove("b"), Some(2.into()));
        assert_eq!(data, Data::from_iter([("c", 4.into()), ("a", 3.into())]));
        assert_eq!(data["gone"], Value::None);
    }
}
