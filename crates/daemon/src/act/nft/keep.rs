//! Whose bans are to stay in the kernel, when all others are taken out.

use ipnet::IpNet;

use super::object::sort_key;

/// Networks and single addresses.
#[derive(Clone, Debug, Default)]
pub struct Keep(Vec<IpNet>);

impl Keep {
    /// In any order.
    pub fn new(mut nets: Vec<IpNet>) -> Self {
        nets.sort_unstable_by_key(sort_key);
        Keep(nets)
    }

    /// Whether it is one of them.
    pub fn has(&self, net: &IpNet) -> bool {
        self.0.binary_search_by_key(&sort_key(net), sort_key).is_ok()
    }

    /// Whether it is one of them, within one, or around one.
    pub fn touches(&self, net: &IpNet) -> bool {
        let net = net.trunc();
        if std::iter::successors(Some(net), IpNet::supernet).any(|around| self.has(&around)) {
            return true;
        }
        let (first, _) = sort_key(&net);
        let (last, _) = sort_key(&net.broadcast().into());
        let from = self.0.partition_point(|kept| sort_key(kept).0 < first);
        let within = self.0.iter().skip(from).take_while(|kept| sort_key(kept).0 <= last);
        // IPv4 and IPv6 stand among each other.
        within.into_iter().any(|kept| net.contains(kept))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nets() -> impl Strategy<Value = Vec<IpNet>> {
        let v4 = (0_u32..64, 24_u8..=32).prop_map(|(bits, length)| {
            IpNet::new(std::net::Ipv4Addr::from_bits(bits * 8).into(), length).unwrap().trunc()
        });
        let v6 = (0_u128..64, 120_u8..=128).prop_map(|(bits, length)| {
            IpNet::new(std::net::Ipv6Addr::from_bits(bits * 8).into(), length).unwrap().trunc()
        });
        prop::collection::vec(prop_oneof![v4, v6], 0..12)
    }

    proptest! {
        #[test]
        fn what_touches_is_found_among_many(kept in nets(), asked in nets()) {
            let keep = Keep::new(kept.clone());
            for net in asked {
                prop_assert_eq!(keep.has(&net), kept.contains(&net));
                let touches = kept.iter().any(|kept| kept.contains(&net) || net.contains(kept));
                prop_assert_eq!(keep.touches(&net), touches, "{} among {:?}", net, kept);
            }
        }
    }
}
