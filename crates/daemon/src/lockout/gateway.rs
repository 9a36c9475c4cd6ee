//! The default gateways, as the kernel's routing tables have them (proc(5), `/proc/net/route`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// Default gateways with the links that lead to them.
pub(super) fn gateways(root: &Path) -> Vec<(IpAddr, String)> {
    let table = |name: &str| std::fs::read_to_string(root.join("proc/net").join(name)).unwrap_or_default();
    let v4 = table("route");
    let v6 = table("ipv6_route");
    let v4 = v4.lines().skip(1).filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (link, destination, gateway) = (words.next()?, words.next()?, words.next()?);
        let gateway = u32::from_str_radix(gateway, 16).ok().filter(|gateway| *gateway != 0)?;
        let is_default = destination == "00000000" && words.nth(4) == Some("00000000");
        // The kernel writes the bytes of the address as a number of this machine.
        is_default.then(|| (Ipv4Addr::from(gateway.to_ne_bytes()).into(), link.to_owned()))
    });
    let v6 = v6.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, "00", _, _, gateway, .., link] = words[..] else { return None };
        let gateway = u128::from_str_radix(gateway, 16).ok().filter(|gateway| *gateway != 0)?;
        Some((Ipv6Addr::from(gateway).into(), link.to_owned()))
    });
    v4.chain(v6).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_routes_name_their_gateways_and_others_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let net = dir.path().join("proc/net");
        std::fs::create_dir_all(&net).unwrap();
        let gateway = u32::from_ne_bytes([192, 0, 2, 254]);
        let other = u32::from_ne_bytes([198, 51, 100, 0]);
        let route = format!(
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
             eth0\t00000000\t{gateway:08X}\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
             eth1\t{other:08X}\t{gateway:08X}\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
             eth0\t{other:08X}\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
        );
        std::fs::write(net.join("route"), route).unwrap();
        let zero = "0".repeat(32);
        let v6 = format!(
            "{zero} 00 {zero} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n\
             {zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\n\
             20010db8000000000000000000000000 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001     eth0\n"
        );
        std::fs::write(net.join("ipv6_route"), v6).unwrap();
        let expected: Vec<(IpAddr, String)> = vec![
            ("192.0.2.254".parse().unwrap(), "eth0".into()),
            ("fe80::1".parse().unwrap(), "eth0".into()),
        ];
        assert_eq!(gateways(dir.path()), expected);
    }
}
