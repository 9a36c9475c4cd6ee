//! Bans that go beside the shell: what the action's own command would do to the kernel, if it does nothing else.

use std::ffi::OsStr;
use std::sync::Arc;

use portcullis_jail::action::{Facts, Info, Operation};
use portcullis_jail::{Family, Id, Ticket};

use super::shell::Hands;
use crate::act::nft::{Direct, Member};
use crate::act::preflight::{Deed, Known};
use crate::act::runner::Runner;

/// The bans of one family in the kernel, written without the action's commands.
pub(super) struct Shortcut {
    pub(super) family: Family,
    known: Known,
    pub(super) direct: Direct,
    /// The last script that was understood.
    like: Option<Like>,
}

impl Shortcut {
    /// For an action that is known for this family; `None` where the shell has to do everything.
    pub(super) fn new(family: Family, known: &Known, path: Option<&OsStr>) -> Option<Self> {
        let direct = Direct::of(known, family, path)?;
        Some(Shortcut { family, known: known.clone(), direct, like: None })
    }

    /// Those of these bans that are put in without a shell, and whose they are. `None` where the action cannot be prepared
    /// for them.
    pub(super) fn members<'t>(
        &mut self,
        runner: &mut Runner,
        tickets: impl Iterator<Item = &'t Arc<Ticket>>,
        again: bool,
        hands: &mut Hands<'_>,
        facts: &dyn Facts,
    ) -> Option<(Vec<Member>, Vec<Id>)> {
        let operation = if again { Operation::Reban } else { Operation::Ban };
        let mut mine = (Vec::new(), Vec::new());
        for ticket in tickets {
            let kept_out = ticket.restored && runner.action().norestored();
            let deed = self.deed(runner, operation, ticket, facts).filter(|_| !kept_out);
            let Some((member, Deed::Add { .. })) = deed else { continue };
            if !runner.prepare(ticket, hands, facts) {
                return None;
            }
            mine.0.push(member);
            mine.1.push(ticket.id.clone());
        }
        Some(mine)
    }

    /// Whom the action's command would put in or take out, if it does nothing else.
    pub(super) fn deed(
        &mut self,
        runner: &Runner,
        operation: Operation,
        ticket: &Ticket,
        facts: &dyn Facts,
    ) -> Option<(Member, Deed)> {
        if ticket.id.family() != Some(self.family) {
            return None;
        }
        let net = ticket.id.net()?.trunc();
        if !self.direct.takes(net) {
            return None;
        }
        let script =
            runner.action().render(operation, Some(self.family), &Info::ticket(ticket, facts)).ok()??;
        let member = ticket.id.text();
        let deed = match self.like.as_ref().and_then(|like| like.deed(&script.text, member)) {
            Some(deed) => deed,
            None => {
                let deed = self.known.deed(&script.text, self.family, member)?;
                self.like = Like::of(&script.text, member, deed);
                deed
            }
        };
        let timeout = if let Deed::Add { timeout } = deed { timeout } else { None };
        Some((Member { net, timeout }, deed))
    }
}

/// A script around the one word that tells whom it bans, and what it does. One that differs in nothing but that word does
/// the same.
struct Like {
    before: String,
    behind: String,
    deed: Deed,
}

impl Like {
    /// `None` where the offender stands in it more than once, or is no plain word.
    fn of(script: &str, member: &str, deed: Deed) -> Option<Self> {
        let (before, behind) = script.split_once(member)?;
        let once = is_plain(member) && !behind.contains(member);
        once.then(|| Like { before: before.to_owned(), behind: behind.to_owned(), deed })
    }

    fn deed(&self, script: &str, member: &str) -> Option<Deed> {
        let inner = script.strip_prefix(self.before.as_str())?.strip_suffix(self.behind.as_str())?;
        (inner == member && is_plain(member)).then_some(self.deed)
    }
}

/// Whether it is an address or a network to whoever reads it: nothing in it is special to a shell.
fn is_plain(member: &str) -> bool {
    member.contains(['.', ':'])
        && member.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_differs_in_the_address_alone_does_the_same() {
        let add = Deed::Add { timeout: None };
        let like = Like::of("iptables -w -I f2b-J 1 -s 192.0.2.1 -j DROP", "192.0.2.1", add).unwrap();
        assert_eq!(like.deed("iptables -w -I f2b-J 1 -s 198.51.100.7 -j DROP", "198.51.100.7"), Some(add));
        for (script, member) in [
            ("iptables -w -I f2b-J 1 -s 198.51.100.7 -j ACCEPT", "198.51.100.7"),
            ("iptables -w -D f2b-J 1 -s 198.51.100.7 -j DROP", "198.51.100.7"),
            ("iptables -w -I f2b-J 1 -s 198.51.100.7 -j DROP", "198.51.100.8"),
            ("iptables -w -I f2b-J 1 -s x;reboot -j DROP", "x;reboot"),
            ("iptables -w -I f2b-J 1 -s 7 -j DROP", "7"),
            ("iptables -w -I f2b-J 1 -s", ""),
        ] {
            assert_eq!(like.deed(script, member), None, "{script}");
        }
    }

    #[test]
    fn a_script_that_names_the_offender_twice_or_not_is_no_pattern() {
        let like = |script, member| Like::of(script, member, Deed::Delete).is_some();
        assert!(like("ipset del s 192.0.2.1", "192.0.2.1"));
        assert!(!like("ipset del s 192.0.2.1; echo 192.0.2.1", "192.0.2.1"));
        assert!(!like("ipset del s 192.0.2.1", "192.0.2.2"));
        assert!(!like("ipset del s x", "x"));
    }
}
