//! For whom an action has been started, and whether anybody has been banned since.

use indexmap::IndexMap;
use portcullis_jail::{Family, Ticket};

/// For whom an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum For {
    /// For all: the start with the jail.
    All,
    /// For one family.
    Family(Family),
    /// For offenders that are no addresses.
    Other,
}

impl For {
    pub(super) fn ticket(ticket: &Ticket) -> Self {
        ticket.ip.as_ref().unwrap_or(&ticket.id).family().map_or(For::Other, For::Family)
    }

    pub(super) fn family(self) -> Option<Family> {
        if let For::Family(family) = self { Some(family) } else { None }
    }
}

/// One entry of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Started {
    /// A ban has been carried out: there is something to lift.
    pub(super) items: bool,
    /// The environment could not be restored: a start is due before the next ban.
    pub(super) broken: bool,
}

/// The table, in the order of the starts.
#[derive(Clone, Debug, Default)]
pub(super) struct State(IndexMap<For, Started>);

impl State {
    pub(super) fn entry(&mut self, whom: For) -> &mut Started {
        self.0.entry(whom).or_default()
    }

    pub(super) fn started(&self, whom: For) -> bool {
        self.0.get(&whom).is_some_and(|started| !started.broken)
    }

    pub(super) fn broken(&self, whom: For) -> bool {
        self.0.get(&whom).is_some_and(|started| started.broken)
    }

    pub(super) fn has_items(&self, whom: For) -> bool {
        self.0.get(&whom).is_some_and(|started| started.items)
    }

    /// All that were started, in order.
    pub(super) fn all(&self) -> Vec<For> {
        self.0.keys().copied().collect()
    }

    /// All with something to lift, in order.
    pub(super) fn with_items(&self) -> Vec<For> {
        self.0.iter().filter(|(_, started)| started.items).map(|(whom, _)| *whom).collect()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
