//! What happens in a server, told to whoever listens (`portcullis log`): the kinds of events, and their names.

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A line of a log was a failure.
    Found,
    /// Somebody is banned: the decision.
    Ban,
    /// A ban of an earlier run holds again.
    Restore,
    /// A ban is over.
    Unban,
    /// With `--dry-run`: somebody would be banned.
    WouldBan,
    /// A ban is in the kernel: it was read back.
    Enforced,
    /// A ban was carried out by something that cannot be read back.
    Unverified,
    /// A ban is not in force.
    Failed,
    /// A jail or the server starts, changes or ends.
    State,
    /// A warning of the server's log.
    Warning,
    /// An error of the server's log.
    Error,
}

impl Kind {
    /// All of them, in the order in which they are told.
    pub const ALL: [Kind; 11] = [
        Kind::Found,
        Kind::Ban,
        Kind::Restore,
        Kind::Unban,
        Kind::WouldBan,
        Kind::Enforced,
        Kind::Unverified,
        Kind::Failed,
        Kind::State,
        Kind::Warning,
        Kind::Error,
    ];

    /// Its name, on the wire and for people.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Found => "found",
            Kind::Ban => "ban",
            Kind::Restore => "restore",
            Kind::Unban => "unban",
            Kind::WouldBan => "would-ban",
            Kind::Enforced => "enforced",
            Kind::Unverified => "unverified",
            Kind::Failed => "failed",
            Kind::State => "state",
            Kind::Warning => "warning",
            Kind::Error => "error",
        }
    }

    /// One line about it, for help texts.
    pub fn help(self) -> &'static str {
        match self {
            Kind::Found => "a line of a log was a failure",
            Kind::Ban => "somebody is banned (the decision)",
            Kind::Restore => "a ban of an earlier run holds again",
            Kind::Unban => "a ban is over",
            Kind::WouldBan => "with --dry-run: somebody would be banned",
            Kind::Enforced => "a ban is in the kernel: it was read back",
            Kind::Unverified => "a ban was carried out by something that cannot be read back",
            Kind::Failed => "a ban is NOT in force",
            Kind::State => "a jail or the server starts, changes or ends",
            Kind::Warning => "a warning of the server's log",
            Kind::Error => "an error of the server's log",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name_and_no_other() {
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.name()), Some(kind));
        }
        assert_eq!(Kind::named("Ban"), None);
    }
}
