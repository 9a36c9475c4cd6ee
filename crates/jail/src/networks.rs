//! Offenders by their networks: an IPv6 attacker has a whole /64 to come from, and some have a /24 of IPv4.
//!
//! Both are off unless the administrator sets them ([`Networks::prefix`], [`Networks::limit`]): Fail2ban knows addresses only.

use std::collections::HashMap;

use ipnet::IpNet;

use crate::{History, Id, Outside};

/// The networks in which banned addresses are counted: IPv4 /24, IPv6 /48.
const V4: u8 = 24;
const V6: u8 = 48;

/// How offenders of one network are taken together.
#[derive(Clone, Debug)]
pub struct Networks {
    /// How many bits of an IPv6 address tell one offender from another; 128 is all.
    pub prefix: u8,
    /// With more bans than this in one network, the network is banned in their place; 0 is never.
    limit: u32,
    counts: HashMap<IpNet, u32>,
}

impl Default for Networks {
    fn default() -> Self {
        Networks { prefix: 128, limit: 0, counts: HashMap::new() }
    }
}

impl Networks {
    /// With how many bans in one network that network is banned; 0 is never.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Changes the limit; `banned` are those who are banned now.
    pub fn set_limit<'i>(&mut self, limit: u32, banned: impl Iterator<Item = &'i Id>) {
        if limit == self.limit {
            return;
        }
        self.limit = limit;
        self.counts.clear();
        for id in banned {
            self.banned(id);
        }
    }

    /// The network that an IPv6 address is counted as; `None` for whoever counts as himself.
    pub fn counted_as(&self, id: &Id) -> Option<Id> {
        match id.address()? {
            std::net::IpAddr::V6(v6) if self.prefix < 128 => {
                IpNet::new(v6.into(), self.prefix).ok().map(Id::from)
            }
            _ => None,
        }
    }

    /// Somebody is banned. The network, once there are more in it than the limit allows.
    pub fn banned(&mut self, id: &Id) -> Option<IpNet> {
        if self.limit == 0 {
            return None;
        }
        let around = around(id)?;
        let count = self.counts.entry(around).or_default();
        *count += 1;
        (*count > self.limit).then_some(around)
    }

    /// A ban is over.
    pub fn ended(&mut self, id: &Id) {
        let Some(around) = around(id).filter(|_| self.limit > 0) else { return };
        if let Some(count) = self.counts.get_mut(&around) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&around);
            }
        }
    }

    /// Nobody is banned any more.
    pub fn clear(&mut self) {
        self.counts.clear();
    }

    /// Whether anybody is taken together with others.
    fn is_on(&self) -> bool {
        self.prefix < 128 || self.limit > 0
    }

    /// What is known of an offender, and of the networks in which he would be counted.
    pub fn history(&self, id: &Id, overalljails: bool, outside: &mut dyn Outside) -> Option<History> {
        let own = outside.history(id, overalljails);
        if !self.is_on() {
            return own;
        }
        let mut wider: Vec<Id> = self.counted_as(id).into_iter().collect();
        wider.extend(around(id).map(Id::from));
        wider.retain(|network| network != id);
        wider
            .into_iter()
            .filter_map(|network| outside.history(&network, overalljails))
            .chain(own)
            .reduce(together)
    }
}

/// Two histories as one.
fn together(a: History, b: History) -> History {
    let count = a.count.saturating_add(b.count);
    let newer = if a.last >= b.last { a } else { b };
    History { count, ..newer }
}

/// The network in which this offender's ban counts; none for networks as wide themselves.
fn around(id: &Id) -> Option<IpNet> {
    let net = id.net()?;
    let length = if net.addr().is_ipv4() { V4 } else { V6 };
    (net.prefix_len() > length).then(|| IpNet::new(net.addr(), length).ok().map(|net| net.trunc()))?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_network_is_told_with_the_first_ban_above_the_limit() {
        let mut networks = Networks::default();
        networks.set_limit(2, std::iter::empty());
        let mut ban = |text: &str| networks.banned(&Id::new(text)).map(|net| net.to_string());
        assert_eq!(ban("192.0.2.1"), None);
        assert_eq!(ban("192.0.2.2"), None);
        assert_eq!(ban("198.51.100.1"), None);
        assert_eq!(ban("192.0.2.3").as_deref(), Some("192.0.2.0/24"));
        assert_eq!(ban("2001:db8::1"), None);
        assert_eq!(ban("2001:db8:0:1::/64"), None);
        assert_eq!(ban("2001:db8:0:2::1").as_deref(), Some("2001:db8::/48"));
        assert_eq!(ban("no address"), None);
        assert_eq!(ban("10.0.0.0/8"), None);
    }

    #[test]
    fn ipv6_offenders_are_counted_by_their_network_where_that_is_set() {
        let mut networks = Networks::default();
        assert_eq!(networks.counted_as(&Id::new("2001:db8::1")), None);
        networks.prefix = 64;
        assert_eq!(networks.counted_as(&Id::new("2001:db8::1")), Some(Id::new("2001:db8::/64")));
        assert_eq!(networks.counted_as(&Id::new("192.0.2.1")), None);
        assert_eq!(networks.counted_as(&Id::new("2001:db8::/96")), None);
        assert_eq!(networks.counted_as(&Id::new("user")), None);
    }

    proptest! {
        #[test]
        fn what_has_ended_is_not_counted(banned in prop::collection::vec((0u8..4, 0u8..8), 0..60)) {
            let id = |(net, host): (u8, u8)| Id::new(&format!("192.0.{net}.{host}"));
            let mut networks = Networks::default();
            networks.set_limit(u32::MAX, std::iter::empty());
            for pair in &banned {
                networks.banned(&id(*pair));
            }
            let sum: u32 = networks.counts.values().sum();
            prop_assert_eq!(sum as usize, banned.len());
            for pair in &banned {
                networks.ended(&id(*pair));
            }
            prop_assert!(networks.counts.is_empty());
        }
    }
}
