//! Questions to ipset, the older kind of sets (`linux/netfilter/ipset/ip_set.h`), which iptables' rules match.

use ipnet::IpNet;
use rustix::io::Errno;

use super::error::Error;
use super::firewall::Firewall;
use super::object::octets;

/// `NFNL_SUBSYS_IPSET << 8`
const SUBSYSTEM: u16 = 6 << 8;
const TEST: u16 = SUBSYSTEM + 11;
const GET_BYNAME: u16 = SUBSYSTEM + 14;
/// Version of the protocol: 7 since Linux 4.18.
const PROTOCOL: u8 = 7;

const ATTR_PROTOCOL: u16 = 1;
const ATTR_SETNAME: u16 = 2;
const ATTR_DATA: u16 = 7;
const ATTR_INDEX: u16 = 11;
const DATA_IP: u16 = 1;
const DATA_CIDR: u16 = 3;
const IP_V4: u16 = 1;
const IP_V6: u16 = 2;
const NET_BYTEORDER: u16 = 0x4000;

/// `IPSET_ERR_EXIST`: the answer "no" of a test.
const NOT_IN_SET: i32 = 4103;

/// The number by which rules refer to the set; `None` when there is no such set.
pub(super) fn index(firewall: &mut Firewall, set: &str) -> Result<Option<u16>, Error> {
    let mut index = None;
    let answer = firewall.socket().request(
        &format!("find ipset {set}"),
        GET_BYNAME,
        0,
        |w| {
            w.attribute(ATTR_PROTOCOL, &[PROTOCOL]);
            w.text(ATTR_SETNAME, set);
        },
        |answer| {
            let value = answer.attributes().find_kind(ATTR_INDEX);
            index = value.and_then(|value| value.first_chunk()).map(|bytes| u16::from_be_bytes(*bytes));
        },
    );
    match answer {
        Ok(()) => Ok(index),
        // EINVAL: the kernel has not loaded ipset at all.
        Err(Error::Refused { errno: Errno::NOENT | Errno::INVAL | Errno::OPNOTSUPP, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the set holds the address or network.
pub(super) fn holds(firewall: &mut Firewall, set: &str, net: IpNet) -> Result<bool, Error> {
    let what = format!("test ipset {set} {net}");
    let code = firewall.socket().question(&what, TEST, if net.addr().is_ipv4() { 2 } else { 10 }, |w| {
        w.attribute(ATTR_PROTOCOL, &[PROTOCOL]);
        w.text(ATTR_SETNAME, set);
        w.nest(ATTR_DATA, |w| {
            let kind = if net.addr().is_ipv4() { IP_V4 } else { IP_V6 };
            w.nest(DATA_IP, |w| w.attribute(kind | NET_BYTEORDER, octets(net.network()).as_ref()));
            if net.prefix_len() < net.max_prefix_len() {
                w.attribute(DATA_CIDR, &[net.prefix_len()]);
            }
        });
    })?;
    match code {
        0 => Ok(true),
        NOT_IN_SET => Ok(false),
        code if code == Errno::NOENT.raw_os_error() || code == Errno::INVAL.raw_os_error() => Ok(false),
        code if code == Errno::PERM.raw_os_error() => Err(Error::NotPermitted),
        // Any other number is a refusal of ipset's own: of another family, say. Then it is not in the set.
        _ => Ok(false),
    }
}

/// The index of the set in the data of xtables' `set` match: the first field of all its revisions.
pub(super) fn matched_index(data: &[u8]) -> Option<u16> {
    data.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}
