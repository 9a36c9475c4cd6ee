//! What is known of an action's bans: which are in force, and by what.

/// Whether a ban is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Enforcement {
    /// Not carried out yet.
    Pending,
    /// In the kernel: it was read back.
    Enforced,
    /// The commands succeeded, but what they do cannot be read back (a mail, a script of the user's).
    Unverified,
    /// Not in force, and why.
    Failed(String),
    /// The command succeeded, and the kernel has nothing of it. Where nobody knows what the command does, to run it again at
    /// once is no use.
    Absent(String),
}

impl Enforcement {
    /// Why it is not in force, if it is not.
    pub(crate) fn failure(&self) -> Option<&str> {
        match self {
            Enforcement::Failed(reason) | Enforcement::Absent(reason) => Some(reason),
            Enforcement::Pending | Enforcement::Enforced | Enforcement::Unverified => None,
        }
    }
}

/// What an action knows of some bans.
#[derive(Clone, Debug)]
pub(crate) struct States {
    /// The action's name.
    pub(crate) action: String,
    /// In the order in which they were asked for; `None` where there is no ban.
    pub(crate) bans: Vec<Option<Enforcement>>,
}

/// How many bans are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) pending: usize,
    pub(crate) enforced: usize,
    pub(crate) unverified: usize,
    pub(crate) failed: usize,
}

impl Tally {
    pub(super) fn add(&mut self, state: &Enforcement) {
        *self.of(state) += 1;
    }

    pub(super) fn remove(&mut self, state: &Enforcement) {
        *self.of(state) -= 1;
    }

    fn of(&mut self, state: &Enforcement) -> &mut usize {
        match state {
            Enforcement::Pending => &mut self.pending,
            Enforcement::Enforced => &mut self.enforced,
            Enforcement::Unverified => &mut self.unverified,
            Enforcement::Failed(_) | Enforcement::Absent(_) => &mut self.failed,
        }
    }
}

/// The state of an action, for `portcullis status`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health {
    /// The action's name.
    pub(crate) action: String,
    /// What carries it out: `shell`, `nftables (native)`.
    pub(crate) by: String,
    /// What is wrong with the action itself, with the remedy.
    pub(crate) finding: Option<String>,
    /// Orders not yet looked at.
    pub(crate) waiting: usize,
    /// Bans by state.
    pub(crate) bans: Tally,
    /// Why the first failed one is not in force.
    pub(crate) reason: Option<String>,
}

impl Health {
    pub(super) fn new(action: &str) -> Self {
        Health { action: action.to_owned(), ..Health::default() }
    }
}
