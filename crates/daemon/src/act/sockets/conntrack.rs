//! What the kernel's connection tracking knows of an address, and its forgetting (`linux/netfilter/nfnetlink_conntrack.h`).
//!
//! A connection that is forgotten is a new one at its next packet: no rule for established connections lets it pass, and a
//! port that was mapped to a container shows up under the number that the attacker dialled.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::netlink::Talk;
use crate::act::nft::Error;
use crate::act::nft::decode::{Message, attributes};
use crate::act::nft::encode::Writer;
use crate::act::nft::uapi::{NETLINK_NETFILTER, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};

/// How many entries the kernel has, in this network namespace; no such file where nothing tracks.
const COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";
/// So many flows of banned addresses are taken at a time.
const MOST: usize = 100_000;

/// `NFNL_SUBSYS_CTNETLINK << 8`
const BASE: u16 = 1 << 8;
const GET: u16 = BASE + 1;
const DELETE: u16 = BASE + 2;

mod attr {
    pub(super) const TUPLE_ORIG: u16 = 1;
    pub(super) const TUPLE_REPLY: u16 = 2;
    pub(super) const ID: u16 = 12;
    pub(super) const ZONE: u16 = 18;
    pub(super) const FILTER: u16 = 25;
    pub(super) const FILTER_ORIG_FLAGS: u16 = 1;
    pub(super) const FILTER_REPLY_FLAGS: u16 = 2;
    pub(super) const IP: u16 = 1;
    pub(super) const PROTO: u16 = 2;
    pub(super) const V4_SRC: u16 = 1;
    pub(super) const V6_SRC: u16 = 3;
    pub(super) const NUM: u16 = 1;
    pub(super) const SRC_PORT: u16 = 2;
    pub(super) const DST_PORT: u16 = 3;
}
/// `CTA_FILTER_FLAG_CTA_IP_SRC`
const BY_SOURCE: u32 = 1;

/// A connection as the kernel tracks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The protocol's number.
    pub protocol: u8,
    /// Who began it.
    pub from: SocketAddr,
    /// What he dialled.
    pub dialled: SocketAddr,
    /// Who answers: another than was dialled where the packets are redirected.
    pub answers: SocketAddr,
    family: u8,
    /// The attributes by which the kernel knows it, as it gave them.
    key: Vec<(u16, Vec<u8>)>,
}

impl Flow {
    /// Whether the packets go to somebody else than whom the sender dialled.
    pub fn is_redirected(&self) -> bool {
        self.dialled != self.answers
    }
}

/// The tracked connections that one of these addresses or networks began; none where nothing tracks.
///
/// # Errors
/// When the kernel does not tell.
pub fn flows(whose: &[IpNet]) -> Result<Vec<Flow>, Error> {
    let tracked = std::fs::read_to_string(COUNT).ok().and_then(|text| text.trim().parse::<u64>().ok());
    if tracked.unwrap_or(0) == 0 || whose.is_empty() {
        return Ok(Vec::new());
    }
    let mut talk = Talk::open(NETLINK_NETFILTER)?;
    let mut found = Vec::new();
    let mut visit = |answer: &Message<'_>| {
        if let Some(flow) = read(answer)
            && whose.iter().any(|net| net.contains(&flow.from.ip()))
            && found.len() < MOST
        {
            found.push(flow);
        }
    };
    if let [one] = whose
        && one.prefix_len() == one.max_prefix_len()
    {
        // The kernel picks out the one (since Linux 5.8; an older one lists all).
        match talk.dump("list connections", list(Some(one.addr())), &mut visit) {
            Err(Error::Refused { .. }) => {}
            other => return other.map(|()| found),
        }
    }
    talk.dump("list connections", list(None), visit)?;
    Ok(found)
}

/// Makes the kernel forget these; answers how many there still were.
///
/// # Errors
/// When the kernel refuses.
pub(super) fn forget(flows: &[Flow]) -> Result<usize, Error> {
    if flows.is_empty() {
        return Ok(0);
    }
    let mut talk = Talk::open(NETLINK_NETFILTER)?;
    let mut forgotten = 0;
    for flow in flows {
        let mut request = Writer::default();
        request.message(DELETE, NLM_F_REQUEST | NLM_F_ACK, flow.family, 0, |w| {
            for (kind, value) in &flow.key {
                // What is nested must say so.
                let nested = if *kind == attr::TUPLE_ORIG { 0x8000 } else { 0 };
                w.attribute(*kind | nested, value);
            }
        });
        match talk.order("forget a connection", request) {
            Ok(()) => forgotten += 1,
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(forgotten)
}

fn list(whose: Option<IpAddr>) -> Writer {
    let family = match whose {
        None => 0,
        Some(IpAddr::V4(_)) => 2,
        Some(IpAddr::V6(_)) => 10,
    };
    let mut request = Writer::default();
    request.message(GET, NLM_F_REQUEST | NLM_F_DUMP, family, 0, |w| {
        let Some(address) = whose else { return };
        w.nest(attr::TUPLE_ORIG, |w| {
            w.nest(attr::IP, |w| match address {
                IpAddr::V4(v4) => w.attribute(attr::V4_SRC, &v4.octets()),
                IpAddr::V6(v6) => w.attribute(attr::V6_SRC, &v6.octets()),
            });
        });
        w.nest(attr::FILTER, |w| {
            w.attribute(attr::FILTER_ORIG_FLAGS, &BY_SOURCE.to_ne_bytes());
            w.attribute(attr::FILTER_REPLY_FLAGS, &0_u32.to_ne_bytes());
        });
    });
    request
}

fn read(answer: &Message<'_>) -> Option<Flow> {
    let part = |kind| answer.attributes().find_kind(kind);
    let original = part(attr::TUPLE_ORIG)?;
    let (protocol, from, dialled) = tuple(original)?;
    let (_, answers, _) = tuple(part(attr::TUPLE_REPLY)?)?;
    let key = [attr::TUPLE_ORIG, attr::ID, attr::ZONE].into_iter();
    let key = key.filter_map(|kind| Some((kind, part(kind)?.to_vec()))).collect();
    Some(Flow { protocol, from, dialled, answers, family: *answer.payload.first()?, key })
}

/// Protocol, source and destination.
fn tuple(bytes: &[u8]) -> Option<(u8, SocketAddr, SocketAddr)> {
    let ip = attributes(bytes).find_kind(attr::IP)?;
    let address = |v4: u16, v6: u16| -> Option<IpAddr> {
        let v4 =
            attributes(ip).find_kind(v4).and_then(|octets| Some(IpAddr::from(*octets.first_chunk::<4>()?)));
        v4.or_else(|| Some(IpAddr::from(*attributes(ip).find_kind(v6)?.first_chunk::<16>()?)))
    };
    let (source, destination) =
        (address(attr::V4_SRC, attr::V6_SRC)?, address(attr::V4_SRC + 1, attr::V6_SRC + 1)?);
    let proto = attributes(bytes).find_kind(attr::PROTO)?;
    let number = *attributes(proto).find_kind(attr::NUM)?.first()?;
    // ICMP has none.
    let port = |kind| {
        let port = attributes(proto).find_kind(kind).and_then(|bytes| bytes.first_chunk().copied());
        port.map_or(0, u16::from_be_bytes)
    };
    Some((
        number,
        SocketAddr::new(source, port(attr::SRC_PORT)),
        SocketAddr::new(destination, port(attr::DST_PORT)),
    ))
}
