//! Who is never counted, whatever the log says.
//!
//! Addresses, networks, names, files of these, this machine itself, and a command that is asked. The order of the checks and
//! the words for the log are Fail2ban's; what has to be asked from the world is asked through [`Outside`].

mod cache;
mod entry;
#[cfg(test)]
mod tests;

use std::cell::RefCell;

use indexmap::IndexSet;
use ipnet::IpNet;
use portcullis_value::{Exception, Number, Value, repr_str};

use crate::action::{Counters, Facts, Info, Past, Script, script};
use crate::{Failure, Id, Level, LogLine, Outside, Ticket, Timestamp};
use cache::Cache;
use entry::Entry;

/// The ignore list of one jail.
#[derive(Clone, Debug)]
pub struct Ignore {
    /// Single addresses: looked up, not walked through, since there may be many.
    addresses: IndexSet<Id>,
    /// Networks, names and files, in the order in which they were given.
    list: Vec<Entry>,
    ignoreself: bool,
    command: String,
    cache: Option<Cache>,
}

impl Default for Ignore {
    fn default() -> Self {
        Self::new()
    }
}

impl Ignore {
    /// Only this machine itself is ignored.
    pub fn new() -> Self {
        Ignore {
            addresses: IndexSet::new(),
            list: Vec::new(),
            ignoreself: true,
            command: String::new(),
            cache: None,
        }
    }

    /// Whether this machine's own addresses are ignored.
    pub fn ignoreself(&self) -> bool {
        self.ignoreself
    }

    /// Ignores this machine's own addresses, or does not.
    pub fn set_ignoreself(&mut self, on: bool) {
        self.ignoreself = on;
    }

    /// The command that is asked last; empty for none.
    pub fn ignorecommand(&self) -> &str {
        &self.command
    }

    /// Sets the command that is asked last: exit status 0 is "ignore", 1 "do not". Its tags are those of an action.
    pub fn set_ignorecommand(&mut self, command: &str) {
        command.clone_into(&mut self.command);
    }

    /// How verdicts are remembered: a template of the key (`<ip>`), how many, for how many seconds.
    pub fn ignorecache(&self) -> Option<(&str, i64, Number)> {
        self.cache.as_ref().map(Cache::settings)
    }

    /// Remembers verdicts from now on, or stops to. What was remembered is forgotten.
    pub fn set_ignorecache(&mut self, settings: Option<(String, i64, Number)>) {
        self.cache = settings.map(|(key, max_count, max_time)| Cache::new(key, max_count, max_time));
    }

    /// Adds what one word of `ignoreip` says. Returns what is said about it.
    ///
    /// # Errors
    /// A `ValueError` for an address with a nonsensical mask or length.
    pub fn add(&mut self, word: &str) -> Result<Vec<LogLine>, Exception> {
        if word.is_empty() {
            return Ok(Vec::new());
        }
        // Differs: of tuples, which only a script can send, Fail2ban takes each for the same as the first.
        let entry = Entry::new(word)?;
        let (shown, given) = (repr_str(entry.text()), repr_str(word));
        let added = match entry {
            Entry::Address(id) => self.addresses.insert(id),
            other if self.list.iter().any(|entry| entry.text() == other.text()) => false,
            other => {
                self.list.push(other);
                true
            }
        };
        let line = if added {
            LogLine::new(Level::DEBUG, "filter", format!("  Add {shown} to ignore list ({given})"))
        } else {
            let text = format!("  Ignore duplicate {shown} ({given}), already in ignore list");
            LogLine::new(Level::MSG, "filter", text)
        };
        self.forget();
        Ok(vec![line])
    }

    /// Removes what one word says. Returns what is said about it.
    ///
    /// # Errors
    /// A `ValueError` with Python's words when there is no such entry.
    pub fn remove(&mut self, word: &str) -> Result<Vec<LogLine>, Exception> {
        let text = format!("  Remove {} from ignore list", repr_str(word));
        let line = LogLine::new(Level::DEBUG, "filter", text);
        let missing = Exception::builtin("ValueError", "list.remove(x): x not in list");
        if word.contains('\0') {
            // Python asks the system about it as soon as there is something to compare with.
            let asked = Exception::builtin("ValueError", "embedded null character");
            return Err(if self.list.is_empty() { missing } else { asked });
        }
        let entry = Entry::new(word)?;
        let removed = match &entry {
            Entry::Address(id) => self.addresses.shift_remove(id),
            other => {
                let at = self.list.iter().position(|entry| entry.text() == other.text());
                at.map(|at| self.list.remove(at)).is_some()
            }
        };
        if !removed {
            return Err(missing);
        }
        self.forget();
        Ok(vec![line])
    }

    /// The list as `get J ignoreip` shows it: networks, names and files first, then single addresses.
    pub fn entries(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(Entry::text).chain(self.addresses.iter().map(Id::text))
    }

    /// Whether the failure is not to be counted. What is to be said goes to `lines`.
    pub fn check(
        &mut self,
        jail: &str,
        failure: &Failure,
        now: Timestamp,
        outside: &mut dyn Outside,
        lines: &mut Vec<LogLine>,
    ) -> bool {
        let key = self.cache.as_ref().map(|cache| {
            let template = cache.settings().0;
            // The plain text: nothing of it goes to a shell.
            let filled = fill(template, jail, failure, now, outside);
            filled.variables.into_iter().fold(filled.text, |text, (_, value)| text + "\0" + &value)
        });
        if let (Some(cache), Some(key)) = (&mut self.cache, &key)
            && let Some(ignored) = cache.verdict(key, now)
        {
            return ignored;
        }
        let single = self.is_single(&failure.id);
        let ignored = self.ignored_by(jail, failure, now, outside, lines);
        if let Some(by) = &ignored {
            let text = format!("[{jail}] Ignore {} by {by}", failure.id);
            lines.push(LogLine::new(Level::INFO, "filter", text));
        }
        if let (Some(cache), Some(key), false) =
            (&mut self.cache, key, single && ignored.as_deref() == Some("ip"))
        {
            cache.remember(key, ignored.is_some(), now);
        }
        ignored.is_some()
    }

    /// Whether an identity is ignored as such, without asking a command: so a restored ban is checked.
    pub fn covers(&mut self, id: &Id, outside: &mut dyn Outside, lines: &mut Vec<LogLine>) -> Option<String> {
        if self.ignoreself && outside.is_own(id) {
            return Some("ignoreself rule".into());
        }
        if self.is_single(id) {
            return Some("ip".into());
        }
        self.list.iter_mut().find_map(|entry| entry.matches(id, outside, lines))
    }

    /// Whether a ban of this network could meet somebody who is to be ignored: an address or network of the list, this
    /// machine, or whoever a command might name.
    pub fn touches(&mut self, net: IpNet, outside: &mut dyn Outside, lines: &mut Vec<LogLine>) -> bool {
        !self.command.is_empty()
            || (self.ignoreself && outside.owns_one_of(net))
            || self.addresses.iter().any(|id| id.address().is_some_and(|address| net.contains(&address)))
            || self.list.iter_mut().any(|entry| entry.touches(net, outside, lines))
    }

    fn is_single(&self, id: &Id) -> bool {
        id.address().is_some() && self.addresses.contains(id)
    }

    fn ignored_by(
        &mut self,
        jail: &str,
        failure: &Failure,
        now: Timestamp,
        outside: &mut dyn Outside,
        lines: &mut Vec<LogLine>,
    ) -> Option<String> {
        if let Some(by) = self.covers(&failure.id, outside, lines) {
            return Some(by);
        }
        if self.command.is_empty() {
            return None;
        }
        let script = fill(&self.command, jail, failure, now, outside);
        lines.push(LogLine::new(Level::DEBUG, "filter", format!("ignore command: {}", script.shown())));
        let status = outside.run(&script);
        if status != Ok(0) && status != Ok(1) {
            lines.extend(complaint(&script, status.as_ref().copied()));
        }
        (status == Ok(0)).then(|| "command".into())
    }

    fn forget(&mut self) {
        // Differs: Fail2ban goes on with verdicts that an added or removed entry has made wrong.
        if let Some(cache) = &mut self.cache {
            cache.clear();
        }
    }
}

/// What Fail2ban says about a command that answers neither yes nor no.
fn complaint(script: &Script, status: Result<i32, &String>) -> [LogLine; 2] {
    use std::hash::{DefaultHasher, Hash, Hasher};
    // There stands the address of an object; what matters is that lines of one command have the same.
    let mut hasher = DefaultHasher::new();
    script.shown().hash(&mut hasher);
    let number = hasher.finish() >> 16;
    let outcome = match status {
        Ok(status) if status < 0 => format!("killed with signal {} (return code: {status})", -status),
        Ok(status) => format!("returned {status}"),
        Err(reason) => reason.clone(),
    };
    [format!("exec: {}", script.shown()), outcome]
        .map(|text| LogLine::new(Level::ERROR, "utils", format!("{number:x} -- {text}")))
}

/// Fills in a template's tags from a failure, by the rules of actions.
fn fill(template: &str, jail: &str, failure: &Failure, now: Timestamp, outside: &mut dyn Outside) -> Script {
    let ticket = Ticket {
        ip: failure.ip.clone(),
        matches: failure.matches.clone(),
        data: failure.data.clone(),
        ..Ticket::by_hand(failure.id.clone(), failure.time)
    };
    let world = World { jail, now, outside: RefCell::new(outside) };
    script(template, &Info::ticket(&ticket, &world))
}

/// The world as tags of a failure see it: there is no ban, and nothing is looked up in the database for them.
struct World<'a> {
    jail: &'a str,
    now: Timestamp,
    outside: RefCell<&'a mut dyn Outside>,
}

impl Facts for World<'_> {
    fn jail(&self) -> String {
        self.jail.to_owned()
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    fn bantime(&self) -> Value {
        Value::None
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }

    fn host_of(&self, id: &Id) -> Option<String> {
        self.outside.borrow_mut().host_of(id.address()?)
    }

    fn past(&self, _id: &Id, _all_jails: bool) -> Past {
        Past::default()
    }

    fn own_host(&self, _full: bool) -> String {
        String::new()
    }
}
