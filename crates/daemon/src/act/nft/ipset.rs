//! Questions and orders to ipset, the older kind of sets (`linux/netfilter/ipset/ip_set.h`), which iptables' rules match.

use std::collections::HashSet;

use ipnet::IpNet;
use rustix::io::Errno;

use super::decode::attributes;
use super::encode::Writer;
use super::error::Error;
use super::firewall::Firewall;
use super::object::{address, octets};

/// So many members are put in at a time: the answers must fit the socket's buffer.
const TOGETHER: usize = 64;

/// `NFNL_SUBSYS_IPSET << 8`
const SUBSYSTEM: u16 = 6 << 8;
const LIST: u16 = SUBSYSTEM + 7;
const ADD: u16 = SUBSYSTEM + 9;
const DELETE: u16 = SUBSYSTEM + 10;
const TEST: u16 = SUBSYSTEM + 11;
const GET_BYNAME: u16 = SUBSYSTEM + 14;
/// Version of the protocol: 7 since Linux 4.18.
const PROTOCOL: u8 = 7;

const ATTR_PROTOCOL: u16 = 1;
const ATTR_SETNAME: u16 = 2;
const ATTR_DATA: u16 = 7;
const ATTR_ADT: u16 = 8;
const ATTR_INDEX: u16 = 11;
const DATA_IP: u16 = 1;
const DATA_CIDR: u16 = 3;
const DATA_TIMEOUT: u16 = 6;
const IP_V4: u16 = 1;
const IP_V6: u16 = 2;
const NET_BYTEORDER: u16 = 0x4000;

/// `IPSET_ERR_EXIST`: the answer "no" of a test; of an addition or deletion, that there was nothing to do.
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
    let code = ask(firewall, &format!("test ipset {set} {net}"), TEST, set, net, None)?;
    match code {
        0 => Ok(true),
        code if code == Errno::PERM.raw_os_error() => Err(Error::NotPermitted),
        // NOT_IN_SET, or that there is no such set. Any other number is a refusal of ipset's own: of another family, say.
        _ => Ok(false),
    }
}

/// Puts addresses or networks into the set, each for so many seconds (0 is for ever). One that is there gets the new time.
/// Answers those that were refused, with the reason.
pub(super) fn add(
    firewall: &mut Firewall,
    set: &str,
    members: &[(IpNet, Option<u32>)],
) -> Result<Vec<(IpNet, Error)>, Error> {
    let mut refused = Vec::new();
    for part in members.chunks(TOGETHER) {
        // The family stands in the message's head.
        for part in part.chunk_by(|(one, _), (next, _)| family(*one) == family(*next)) {
            let Some((first, _)) = part.first() else { continue };
            let what = format!("add {} member(s) to ipset {set}", part.len());
            let codes =
                firewall.socket().questions(&what, ADD, family(*first), part, |w, (net, timeout)| {
                    write(w, set, *net, *timeout);
                })?;
            for ((net, _), code) in part.iter().zip(codes) {
                match done(format!("add {net} to ipset {set}"), code) {
                    Ok(()) => {}
                    Err(error @ Error::Refused { .. }) => refused.push((*net, error)),
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(refused)
}

/// Takes an address or network out of the set. Whoever has gone already is no failure.
pub(super) fn delete(firewall: &mut Firewall, set: &str, net: IpNet) -> Result<(), Error> {
    let what = format!("delete {net} from ipset {set}");
    let code = ask(firewall, &what, DELETE, set, net, None)?;
    done(what, code)
}

/// All that the set holds, in one dump.
pub(super) fn members(firewall: &mut Firewall, set: &str) -> Result<HashSet<IpNet>, Error> {
    let what = format!("list ipset {set}");
    firewall.socket().dump(
        &what,
        LIST,
        0,
        |w| {
            w.attribute(ATTR_PROTOCOL, &[PROTOCOL]);
            w.text(ATTR_SETNAME, set);
        },
        HashSet::new,
        |members, answer| {
            let list = answer.attributes().find_kind(ATTR_ADT).unwrap_or_default();
            members.extend(attributes(list).filter_map(|(_, member)| read_member(member)));
        },
    )
}

fn read_member(member: &[u8]) -> Option<IpNet> {
    let part = |kind| attributes(member).find_kind(kind);
    let (_, octets) = attributes(part(DATA_IP)?).next()?;
    let address = address(octets)?;
    let whole = IpNet::from(address).prefix_len();
    let length = part(DATA_CIDR).and_then(|value| value.first().copied()).unwrap_or(whole);
    IpNet::new(address, length).ok().map(|net| net.trunc())
}

fn done(what: String, code: i32) -> Result<(), Error> {
    match code {
        0 | NOT_IN_SET => Ok(()),
        code if code == Errno::PERM.raw_os_error() => Err(Error::NotPermitted),
        code if code < 4096 => Err(Error::Refused { what, errno: Errno::from_raw_os_error(code) }),
        code => {
            let reason = match code {
                4097 => "the kernel speaks another protocol",
                4098 => "there is no such type of sets",
                4104 => "the set is full",
                4352 => "the set is full (maxelem)",
                _ => "ipset refuses",
            };
            Err(Error::Refused { what: format!("{what} ({reason}, {code})"), errno: Errno::INVAL })
        }
    }
}

/// One question about one member; the answer is an error number.
fn ask(
    firewall: &mut Firewall,
    what: &str,
    kind: u16,
    set: &str,
    net: IpNet,
    timeout: Option<u32>,
) -> Result<i32, Error> {
    firewall.socket().question(what, kind, family(net), |w| write(w, set, net, timeout), |_| {})
}

fn family(net: IpNet) -> u8 {
    if net.addr().is_ipv4() { 2 } else { 10 }
}

/// The body of a message about one member.
fn write(w: &mut Writer, set: &str, net: IpNet, timeout: Option<u32>) {
    w.attribute(ATTR_PROTOCOL, &[PROTOCOL]);
    w.text(ATTR_SETNAME, set);
    w.nest(ATTR_DATA, |w| {
        let kind = if net.addr().is_ipv4() { IP_V4 } else { IP_V6 };
        w.nest(DATA_IP, |w| w.attribute(kind | NET_BYTEORDER, octets(net.network()).as_ref()));
        if net.prefix_len() < net.max_prefix_len() {
            w.attribute(DATA_CIDR, &[net.prefix_len()]);
        }
        if let Some(seconds) = timeout {
            w.attribute(DATA_TIMEOUT | NET_BYTEORDER, &seconds.to_be_bytes());
        }
    });
}

/// The index of the set in the data of xtables' `set` match: the first field of all its revisions.
pub(super) fn matched_index(data: &[u8]) -> Option<u16> {
    data.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}
