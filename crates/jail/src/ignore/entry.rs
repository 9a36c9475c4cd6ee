//! One entry of an ignore list: what its text means, and whether it means somebody.

use std::collections::{BTreeSet, HashSet};

use ipnet::IpNet;
use portcullis_value::{Exception, repr_str};

use crate::outside::FileText;
use crate::{Id, Level, LogLine, Outside};

#[derive(Clone, Debug)]
pub(super) enum Entry {
    Address(Id),
    Network(Id),
    Name(String),
    File(FileSet),
}

impl Entry {
    pub(super) fn new(word: &str) -> Result<Self, Exception> {
        if word.starts_with("file:") {
            return Ok(Entry::File(FileSet { name: word.to_owned(), ..FileSet::default() }));
        }
        let id = Id::parse(word)?;
        Ok(match id.covers() {
            None => Entry::Name(word.to_owned()),
            Some(_) if id.is_network() => Entry::Network(id),
            Some(_) => Entry::Address(id),
        })
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Entry::Address(id) | Entry::Network(id) => id.text(),
            Entry::Name(name) => name,
            Entry::File(set) => &set.name,
        }
    }

    /// By what this entry means `id`, if it does.
    pub(super) fn matches(
        &mut self,
        id: &Id,
        outside: &mut dyn Outside,
        lines: &mut Vec<LogLine>,
    ) -> Option<String> {
        match self {
            Entry::Address(address) => (address == id).then(|| "ip".into()),
            Entry::Network(network) => {
                let inside = network.covers()?.contains(&id.covers()?);
                inside.then(|| "ip".into())
            }
            Entry::Name(name) => has_name(name, id, outside, lines).then(|| "dns".into()),
            Entry::File(set) => {
                set.refresh(outside, lines);
                set.matches(id, outside, lines).then(|| set.name.clone())
            }
        }
    }
}

impl Entry {
    /// Whether this entry means somebody in this network.
    pub(super) fn touches(
        &mut self,
        net: IpNet,
        outside: &mut dyn Outside,
        lines: &mut Vec<LogLine>,
    ) -> bool {
        let meets = |other: &IpNet| net.contains(other) || other.contains(&net);
        match self {
            Entry::Address(id) | Entry::Network(id) => id.covers().as_ref().is_some_and(meets),
            Entry::Name(name) => name_is_in(name, net, outside),
            Entry::File(set) => {
                set.refresh(outside, lines);
                set.networks.iter().any(meets) || set.names.iter().any(|name| name_is_in(name, net, outside))
            }
        }
    }
}

/// A name that nobody resolves just now might be anywhere.
fn name_is_in(name: &str, net: IpNet, outside: &mut dyn Outside) -> bool {
    outside.resolve(name).map_or(true, |addresses| addresses.iter().any(|address| net.contains(address)))
}

fn has_name(name: &str, id: &Id, outside: &mut dyn Outside, lines: &mut Vec<LogLine>) -> bool {
    let Some(address) = id.address() else { return false };
    match outside.resolve(name) {
        Ok(addresses) => addresses.contains(&address),
        Err(error) => {
            let text = format!("Unable to find a corresponding IP address for {name}: {error}");
            lines.push(LogLine::new(Level::WARNING, "ipdns", text));
            false
        }
    }
}

/// The entries of a file (`file:/etc/hosts.ignore`, as in Fail2ban 1.1). Made for long lists: networks are looked up by
/// their lengths, not walked through.
#[derive(Clone, Debug, Default)]
pub(super) struct FileSet {
    name: String,
    version: Option<u64>,
    complaint: String,
    networks: HashSet<IpNet>,
    lengths: BTreeSet<u8>,
    names: Vec<String>,
}

impl FileSet {
    /// Reads the file again if it is another one now. While it cannot be read, what it last said holds.
    fn refresh(&mut self, outside: &mut dyn Outside, lines: &mut Vec<LogLine>) {
        let path = self.name.strip_prefix("file://").or_else(|| self.name.strip_prefix("file:"));
        match outside.ignore_file(path.unwrap_or_default(), self.version) {
            FileText::Same => {}
            FileText::New { version, text } => {
                self.version = Some(version);
                self.complaint.clear();
                self.read(&text, lines);
            }
            FileText::Unreadable(reason) => self.complain(&reason, lines),
        }
    }

    fn read(&mut self, text: &str, lines: &mut Vec<LogLine>) {
        self.networks.clear();
        self.lengths.clear();
        self.names.clear();
        let words = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default())
            .flat_map(|line| line.split(|c: char| c.is_whitespace() || c == ','))
            .filter(|word| !word.is_empty());
        for word in words {
            match Id::parse(word).map(|id| id.covers()) {
                Ok(Some(network)) => {
                    self.networks.insert(network);
                    self.lengths.insert(network.prefix_len());
                }
                Ok(None) => self.names.push(word.to_owned()),
                Err(error) => self.complain(&format!("{}: {error}", repr_str(word)), lines),
            }
        }
    }

    fn complain(&mut self, reason: &str, lines: &mut Vec<LogLine>) {
        if self.complaint != reason {
            let text = format!("cannot read ignoreip {}: {reason}", self.name);
            lines.push(LogLine::new(Level::ERROR, "filter", text));
            reason.clone_into(&mut self.complaint);
        }
    }

    fn matches(&self, id: &Id, outside: &mut dyn Outside, lines: &mut Vec<LogLine>) -> bool {
        let Some(network) = id.covers() else { return false };
        let inside = self
            .lengths
            .range(..=network.prefix_len())
            .filter_map(|&length| IpNet::new(network.addr(), length).ok())
            .any(|outer| self.networks.contains(&outer.trunc()));
        inside || self.names.iter().any(|name| has_name(name, id, outside, lines))
    }
}
