//! Which entries are read: `journalmatch`.

use portcullis_value::{Exception, Value};

/// Groups of `FIELD=value` words. An entry is read if it fits one of the groups; it fits a group if for each field that stands
/// there it has one of the values. Without any group all entries are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    groups: Vec<Vec<String>>,
}

impl Selection {
    /// Adds the groups of one `journalmatch` line; `+` stands between groups.
    ///
    /// # Errors
    /// `ValueError: Invalid match` when a word is none; then nothing is added.
    pub fn add(&mut self, words: &[String]) -> Result<(), Exception> {
        if !words.iter().all(|word| word == "+" || is_match(word)) {
            return Err(Exception::builtin("ValueError", "Invalid match"));
        }
        self.groups.extend(words.split(|word| word == "+").map(<[String]>::to_vec));
        Ok(())
    }

    /// Removes the group of these very words.
    ///
    /// # Errors
    /// `ValueError: Match ['_COMM=x'] not found`
    pub fn remove(&mut self, words: &[String]) -> Result<(), Exception> {
        let Some(at) = self.groups.iter().position(|group| group == words) else {
            let words = Value::List(words.iter().map(|word| word.as_str().into()).collect());
            return Err(Exception::builtin("ValueError", format!("Match {} not found", words.repr())));
        };
        self.groups.remove(at);
        Ok(())
    }

    /// The groups, as `get JAIL journalmatch` answers them.
    pub fn groups(&self) -> &[Vec<String>] {
        &self.groups
    }

    /// `_COMM=sshd + _UID=0 _PID=1`
    pub fn shown(&self) -> String {
        self.groups.iter().map(|group| group.join(" ")).collect::<Vec<_>>().join(" + ")
    }

    /// Whether all entries are read.
    pub fn is_everything(&self) -> bool {
        self.groups.iter().all(Vec::is_empty)
    }

    /// The words for `journalctl`, which does not take empty groups; to libsystemd they mean nothing.
    pub(super) fn arguments(&self) -> impl Iterator<Item = &str> {
        let groups = self.groups.iter().filter(|group| !group.is_empty());
        groups.enumerate().flat_map(|(at, group)| {
            (at > 0).then_some("+").into_iter().chain(group.iter().map(String::as_str))
        })
    }
}

/// What libsystemd takes: a field's name in capitals, digits and `_`, none of the two-underscore kind, and a value.
fn is_match(word: &str) -> bool {
    let Some((field, _)) = word.split_once('=') else { return false };
    let known = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    !field.is_empty() && !field.starts_with("__") && field.bytes().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn matches_are_added_shown_and_removed_as_fail2ban_does() {
        let mut selection = Selection::default();
        assert!(selection.is_everything());
        selection.add(&words("_COMM=sshd + _COMM=foo")).unwrap();
        for bad in ["bad", "a=b", "_UID=1 bad", "_UID=3 + bad", "__X=1", "="] {
            assert_eq!(selection.add(&words(bad)).unwrap_err().to_string(), "Invalid match", "{bad}");
        }
        selection.add(&words("_UID=1 _UID=2")).unwrap();
        assert_eq!(selection.shown(), "_COMM=sshd + _COMM=foo + _UID=1 _UID=2");
        for absent in ["_UID=2 _UID=1", "_COMM=sshd + _COMM=foo", ""] {
            let shown = Value::List(words(absent).into_iter().map(Value::from).collect()).repr();
            let error = selection.remove(&words(absent)).unwrap_err().to_string();
            assert_eq!(error, format!("Match {shown} not found"));
        }
        selection.remove(&words("_COMM=sshd")).unwrap();
        selection.add(&words("_UID=3 +")).unwrap();
        selection.add(&[]).unwrap();
        assert_eq!(selection.shown(), "_COMM=foo + _UID=1 _UID=2 + _UID=3 +  + ");
        let arguments: Vec<&str> = selection.arguments().collect();
        assert_eq!(arguments, ["_COMM=foo", "+", "_UID=1", "_UID=2", "+", "_UID=3"]);
    }

    #[test]
    fn empty_groups_select_everything() {
        let mut selection = Selection::default();
        selection.add(&words("+")).unwrap();
        assert!(selection.is_everything());
        assert_eq!((selection.shown().as_str(), selection.arguments().count()), (" + ", 0));
    }
}
