//! Whom a match counts against: an identity and an address, from the data of a match.

use std::net::IpAddr;

use portcullis_value::{Value, repr_str};

use crate::event::{Level, LogLine};
use crate::failure::Data;
use crate::{Id, Outside};

/// What to do with host names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum UseDns {
    /// Resolve them.
    Yes,
    /// Resolve them and say so.
    #[default]
    Warn,
    /// Do not count them.
    No,
    /// Take them as they are.
    Raw,
}

impl UseDns {
    /// The setting's name.
    pub fn name(self) -> &'static str {
        match self {
            UseDns::Yes => "yes",
            UseDns::Warn => "warn",
            UseDns::No => "no",
            UseDns::Raw => "raw",
        }
    }

    /// The setting of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [UseDns::Yes, UseDns::Warn, UseDns::No, UseDns::Raw].into_iter().find(|usedns| usedns.name() == name)
    }
}

/// Groups that say whom a failure is counted against.
pub(super) const ID_GROUPS: [&str; 5] = ["fid", "ip4", "ip6", "dns", "mlfid"];

/// Whether data names anybody.
pub(super) fn has_identity(data: &Data) -> bool {
    ["fid", "ip4", "ip6", "dns"].iter().any(|key| data.get(key).is_some_and(Value::is_true))
}

/// One or more identities (a name may have several addresses), and the address where the identity is not one.
pub(super) fn identities(
    data: &Data,
    usedns: UseDns,
    outside: &mut dyn Outside,
    notes: &mut Vec<LogLine>,
) -> Vec<(Id, Option<Id>)> {
    let text = |key: &str| data.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let fid = data.get("fid").filter(|fid| fid.is_true()).map(|fid| match fid {
        Value::Str(text) if usedns == UseDns::Raw => Id::raw(text),
        // Differs: text with a slash that is no network stays as it is (Fail2ban 1.1 does so, 1.0.2 loses the failure).
        Value::Str(text) => Id::new(text),
        other => Id::raw(&other.repr()),
    });
    let fid_text = text("fid");
    let address = text("ip4").or_else(|| text("ip6"));
    if let Some(address) = address {
        let host = match text("cidr") {
            // What looks like an address and is none has no network either.
            Some(cidr) if Id::new(address).address().is_some() => Id::new(&format!("{address}/{cidr}")),
            _ => Id::new(address),
        };
        return vec![with_fid(fid, fid_text == Some(address), host)];
    }
    let Some(name) = text("dns") else {
        return fid.map(|fid| (fid, None)).into_iter().collect();
    };
    let literal = Id::new(name);
    if literal.address().is_some() || usedns == UseDns::Raw {
        return vec![with_fid(fid, fid_text == Some(name), literal)];
    }
    if usedns == UseDns::No {
        return Vec::new();
    }
    // Fail2ban 1.0.2 counts a name's addresses even when there is an `<F-ID>`.
    resolve(name, usedns, outside, notes).into_iter().map(|address| (Id::from(address), None)).collect()
}

/// The identity is `fid` when there is one; the address then stands beside it, unless both are the `same` text.
fn with_fid(fid: Option<Id>, same: bool, host: Id) -> (Id, Option<Id>) {
    match fid {
        Some(fid) if !same => (fid, Some(host)),
        _ => (host, None),
    }
}

fn resolve(name: &str, usedns: UseDns, outside: &mut dyn Outside, notes: &mut Vec<LogLine>) -> Vec<IpAddr> {
    match outside.resolve(name) {
        Ok(addresses) => {
            if usedns == UseDns::Warn && !addresses.is_empty() {
                let set: Vec<String> = addresses.iter().map(|a| repr_str(Id::from(*a).text())).collect();
                let text = format!("Determined IP using DNS Lookup: {name} = {{{}}}", set.join(", "));
                notes.push(LogLine::new(Level::WARNING, "ipdns", text));
            }
            addresses
        }
        Err(reason) => {
            let text = format!("Unable to find a corresponding IP address for {name}: {reason}");
            notes.push(LogLine::new(Level::WARNING, "ipdns", text));
            Vec::new()
        }
    }
}
