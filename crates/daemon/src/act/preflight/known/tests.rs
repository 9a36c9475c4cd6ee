//! Tests of what is known, and of what is not.

use super::*;

fn action(properties: &[(&str, &str)]) -> Action {
    let mut action = Action::new("t");
    for (property, value) in properties {
        action.set(property, (*value).into());
    }
    action
}

const TABLES: [(&str, &str); 4] = [
    ("iptables", "iptables -w"),
    ("iptables?family=inet6", "ip6tables -w 5"),
    ("block", "REJECT --reject-with icmp-port-unreachable"),
    ("block?family=inet6", "REJECT --reject-with icmp6-port-unreachable"),
];

fn with_tables(properties: &[(&str, &str)]) -> Action {
    let mut action = action(properties);
    for (property, value) in TABLES {
        action.set(property, value.into());
    }
    action
}

const CHAIN: &str = "{ <iptables> -C f2b-x -j RETURN >/dev/null 2>&1; } || \
    { <iptables> -N f2b-x || true; <iptables> -A f2b-x -j RETURN; }\n";

#[test]
fn a_chain_of_iptables_is_known_by_its_commands() {
    let start = format!(
        "{CHAIN}for proto in $(echo 'tcp,udp' | sed 's/,/ /g'); do\n\
         <iptables> -I INPUT -p $proto -m multiport --dports ssh,2222,8000:8010 -j f2b-x\ndone"
    );
    let action =
        with_tables(&[("actionstart", &start), ("actionban", "<iptables> -I f2b-x 1 -s <ip> -j <block>")]);
    let known = recognise(&action, Family::Inet4).unwrap();
    let expected = Known {
        kind: Kind::Chain,
        program: "iptables".into(),
        chain: "f2b-x".into(),
        hooks: vec!["INPUT".into()],
        ports: Some("ssh,2222,8000:8010".into()),
        protocols: vec!["tcp".into(), "udp".into()],
        only_new: false,
        set: String::new(),
        blocktype: "REJECT --reject-with icmp-port-unreachable".into(),
        nft: None,
    };
    assert_eq!(known, expected);
    let known = recognise(&action, Family::Inet6).unwrap();
    assert_eq!(known.program, "ip6tables");
    assert_eq!(known.blocktype, "REJECT --reject-with icmp6-port-unreachable");
}

#[test]
fn all_ports_and_new_connections_are_told_apart() {
    let ban = ("actionban", "<iptables> -I f2b-x 1 -s <ip> -j DROP");
    let start = format!("{CHAIN}<iptables> -I FORWARD 1 -j f2b-x\n<iptables> -I INPUT -j f2b-x");
    let known = recognise(&with_tables(&[("actionstart", &start), ban]), Family::Inet4).unwrap();
    assert_eq!((known.ports, known.protocols), (None, vec!["all".to_owned()]));
    assert_eq!(known.hooks, ["FORWARD", "INPUT"]);
    let start = format!("{CHAIN}<iptables> -I INPUT -m state --state NEW<sp>-p tcp --dport 22 -j f2b-x");
    let known = recognise(&with_tables(&[("actionstart", &start), ban]), Family::Inet4).unwrap();
    assert!(known.only_new && known.ports.as_deref() == Some("22"));
}

#[test]
fn a_set_of_ipset_is_known_with_its_rule() {
    let start = "ipset -exist create <set> hash:ip timeout 0 <opt>\n\
         { <iptables> -C INPUT -p tcp -m set --match-set <set> src -j <block> >/dev/null 2>&1; } || \
         { <iptables> -I INPUT -p tcp -m set --match-set <set> src -j <block>; }";
    let mut action = with_tables(&[
        ("actionstart", start),
        ("actionban", "ipset -exist add <set> <ip> timeout 0"),
        ("set", "f2b-x"),
        ("set?family=inet6", "f2b-x6"),
        ("opt", ""),
        ("opt?family=inet6", "family inet6"),
    ]);
    let known = recognise(&action, Family::Inet6).unwrap();
    assert_eq!((known.kind, known.set.as_str(), known.program.as_str()), (Kind::Ipset, "f2b-x6", "ipset"));
    assert_eq!((known.ports, known.hooks), (None, vec!["INPUT".to_owned()]));
    action.set("opt?family=inet6", "".into());
    assert_eq!(recognise(&action, Family::Inet6), None, "the set would not take the address");
    action.set("actionban", "ipset --test <set> <ip> || ipset --add <set> <ip>".into());
    assert!(recognise(&action, Family::Inet4).is_some());
}

fn nftables(rule: &str) -> Option<Known> {
    let start = format!(
        "nft add table inet f2b-table\n\
         nft -- add chain inet f2b-table f2b-chain \\{{ type filter hook input priority -1 \\; \\}}\n\
         nft add set inet f2b-table <set> \\{{ type <type>\\; \\}}\n{rule}"
    );
    let action = action(&[
        ("actionstart", &start),
        ("actionban", "nft add element inet f2b-table <set> \\{ <ip> \\}"),
        ("set", "addr-set-x"),
        ("type", "ipv4_addr"),
        ("set?family=inet6", "addr6-set-x"),
        ("type?family=inet6", "ipv6_addr"),
        ("ip_word", "ip"),
        ("ip_word?family=inet6", "ip6"),
    ]);
    recognise(&action, Family::Inet6)
}

#[test]
fn a_set_of_nftables_is_known_with_its_rule() {
    let known = nftables(
        "for proto in $(echo 'tcp,udp' | sed 's/,/ /g'); do\n\
         nft add rule inet f2b-table f2b-chain $proto dport \\{ $(echo 'ssh,80:90' | sed s/:/-/g) \\} \
         <ip_word> saddr @<set> reject\ndone",
    )
    .unwrap();
    assert_eq!(
        (known.kind, known.set.as_str(), known.chain.as_str()),
        (Kind::NftSet, "addr6-set-x", "f2b-chain")
    );
    assert_eq!(known.ports.as_deref(), Some("ssh,80:90"));
    assert_eq!(
        (known.protocols, known.blocktype.as_str()),
        (vec!["tcp".to_owned(), "udp".to_owned()], "reject")
    );
    let table = Table { family: "inet".into(), name: "f2b-table".into(), priority: "-1".into() };
    assert_eq!((known.nft, known.hooks), (Some(table), vec!["input".to_owned()]));
    let known = nftables(
        "nft add rule inet f2b-table f2b-chain meta l4proto \\{ tcp,udp \\} <ip_word> saddr @<set> drop",
    )
    .unwrap();
    assert_eq!((known.ports, known.protocols.len()), (None, 2));
}

#[test]
fn what_is_not_understood_to_the_last_word_is_not_known() {
    let ban = "<iptables> -I f2b-x 1 -s <ip> -j <block>";
    let lead = "<iptables> -I INPUT -p tcp -j f2b-x";
    let good = format!("{CHAIN}{lead}");
    assert!(recognise(&with_tables(&[("actionstart", &good), ("actionban", ban)]), Family::Inet4).is_some());
    for (start, ban) in [
        (good.clone(), "<iptables> -I f2b-x 1 -s <ip> -j f2b-log".to_owned()),
        (good.clone(), format!("{ban}\nmail -s banned root")),
        (good.clone(), "<iptables> -A f2b-x -s <ip> -j <block>".into()),
        (good.clone(), "<iptables> -I f2b-x 2 -s <ip> -j <block>".into()),
        (good.clone(), "<iptables> -I f2b-x 1 -s <ip> -p udp -j <block>".into()),
        (good.clone(), "<iptables> -I f2b-y 1 -s <ip> -j <block>".into()),
        (good.clone(), format!("{ban} > /tmp/x")),
        (good.clone(), format!("[ -e /x ] && {ban}")),
        (format!("{good}\ntouch /tmp/x"), ban.to_owned()),
        (format!("{CHAIN}<iptables> -I INPUT -p tcp -i eth0 -j f2b-x"), ban.to_owned()),
        (format!("{CHAIN}<iptables> -I INPUT -p tcp --dport $(cat /ports) -j f2b-x"), ban.to_owned()),
        (format!("{good}\n<iptables> -I FORWARD -p tcp --dport 22 -j f2b-x"), ban.to_owned()),
        (CHAIN.to_owned(), ban.to_owned()),
        (lead.to_owned(), ban.to_owned()),
    ] {
        let action = with_tables(&[("actionstart", &start), ("actionban", &ban)]);
        assert_eq!(recognise(&action, Family::Inet4), None, "{start}\n--\n{ban}");
    }
    assert_eq!(
        nftables("nft add rule inet other f2b-chain tcp dport \\{ 22 \\} <ip_word> saddr @<set> drop"),
        None
    );
    assert_eq!(nftables("nft add rule inet f2b-table f2b-chain ip daddr @<set> drop"), None);
    assert_eq!(nftables("true"), None);
}

#[test]
fn a_ban_in_a_known_way_is_a_deed_and_nothing_else_is() {
    let start = format!("{CHAIN}<iptables> -I INPUT -p tcp -j f2b-x");
    let chain = with_tables(&[
        ("actionstart", &start),
        ("actionban", "<iptables> -I f2b-x 1 -s <ip> -j <block>"),
        ("actionunban", "<iptables> -D f2b-x -s <ip> -j <block>"),
    ]);
    let known = recognise(&chain, Family::Inet4).unwrap();
    let add = sample(&chain, Operation::Ban, Family::Inet4).unwrap();
    let delete = sample(&chain, Operation::Unban, Family::Inet4).unwrap();
    let deed = |script: &str, member: &str| known.deed(script, Family::Inet4, member);
    assert_eq!(deed(&add, "192.0.2.1"), Some(Deed::Add { timeout: None }));
    assert_eq!(deed(&delete, "192.0.2.1"), Some(Deed::Delete));
    assert_eq!(deed(&add, "192.0.2.2"), None);
    for other in [
        add.replace("iptables", "/opt/iptables"),
        add.replace("f2b-x", "f2b-y"),
        add.replace("REJECT", "DROP"),
        add.replace("-s", "! -s"),
        add.replace("-s 192.0.2.1", "-s 192.0.2.1 -p tcp"),
        add.replace(" 1 ", " 2 "),
        format!("{add}\n{add}"),
        format!("{add} && touch /tmp/x"),
        format!("{add} > /tmp/x"),
        format!("PATH=/x {add}"),
    ] {
        assert_eq!(deed(&other, "192.0.2.1"), None, "{other}");
    }
}

#[test]
fn a_ban_in_an_ipset_is_a_deed_with_its_time() {
    let start = "ipset -exist create f2b-x hash:ip timeout 0 <opt>\n\
         <iptables> -I INPUT -p tcp -m set --match-set f2b-x src -j <block>";
    let action = with_tables(&[
        ("actionstart", start),
        ("actionban", "ipset -exist add f2b-x <ip> timeout 7"),
        ("opt", ""),
        ("opt?family=inet6", "family inet6"),
    ]);
    let known = recognise(&action, Family::Inet6).unwrap();
    let deed = |script: &str| known.deed(script, Family::Inet6, "2001:db8::1");
    assert_eq!(deed("ipset -exist add f2b-x 2001:db8::1 timeout 7"), Some(Deed::Add { timeout: Some(7) }));
    assert_eq!(deed("ipset add f2b-x 2001:db8::1"), Some(Deed::Add { timeout: None }));
    assert_eq!(deed("ipset -exist del f2b-x 2001:db8::1"), Some(Deed::Delete));
    for other in
        ["add f2b-y 2001:db8::1", "add f2b-x 2001:db8::2", "add f2b-x 2001:db8::1 timeout x", "flush f2b-x"]
    {
        assert_eq!(deed(&format!("ipset {other}")), None, "{other}");
    }
}
