//! Bans that the genuine iptables and ipset made are read back; those of a tool that does nothing are found out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod namespace;

use std::os::unix::fs::PermissionsExt;

use namespace::{has, in_namespace, output};
use portcullis_daemon::act::nft::{Backend, BanChain, BanSet, Firewall};
use portcullis_jail::{Family, Id};

fn run(line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    output(words[0], &words[1..]);
}

fn ids(texts: &[&str]) -> Vec<Id> {
    texts.iter().map(|text| Id::new(text)).collect()
}

/// The jail's chain as the stock action makes it.
fn start(iptables: &str) {
    run(&format!("{iptables} -w -N f2b-kj"));
    run(&format!("{iptables} -w -A f2b-kj -j RETURN"));
    run(&format!("{iptables} -w -I INPUT -p tcp -m multiport --dports 22,2222 -j f2b-kj"));
}

fn backend(program: &str) -> Backend {
    Backend::of(program, std::env::var_os("PATH").as_deref())
}

fn chain(program: &str, family: Family) -> BanChain {
    BanChain { family, backend: backend(program), chain: "f2b-kj".into(), hooks: vec!["INPUT".into()] }
}

/// One chain of bans, damaged in several ways.
fn bans_are_read_back(program: &str, family: Family, bans: [&str; 4], stranger: &str) {
    if !has(program) {
        return;
    }
    let mut firewall = Firewall::open().unwrap();
    let chain = chain(program, family);
    let nothing = chain.verify(&mut firewall, &ids(&bans)).unwrap();
    assert_eq!((nothing.structure.len(), nothing.missing.len()), (1, 4), "before the start: {nothing:?}");
    start(program);
    for (ban, target) in bans.iter().zip(["REJECT", "DROP", "DROP", "REJECT"]) {
        run(&format!("{program} -w -I f2b-kj 1 -s {ban} -j {target}"));
    }
    assert!(chain.verify(&mut firewall, &ids(&bans)).unwrap().is_none());
    assert_eq!(chain.verify(&mut firewall, &ids(&[stranger])).unwrap().missing, ids(&[stranger]));
    assert_eq!(chain.verify(&mut firewall, &ids(&bans[1..])).unwrap().surplus, ids(&bans[..1]));

    run(&format!("{program} -w -D f2b-kj -s {} -j DROP", bans[1]));
    assert_eq!(chain.verify(&mut firewall, &ids(&bans)).unwrap().missing, ids(&bans[1..2]));

    // A rule behind the RETURN, and one that only goes elsewhere, block nobody.
    run(&format!("{program} -w -A f2b-kj -s {} -j DROP", bans[1]));
    assert_eq!(chain.verify(&mut firewall, &ids(&bans)).unwrap().missing, ids(&bans[1..2]));
    run(&format!("{program} -w -I f2b-kj -s {stranger} -j ACCEPT"));
    assert_eq!(chain.verify(&mut firewall, &ids(&[stranger])).unwrap().missing, ids(&[stranger]));

    run(&format!("{program} -w -I INPUT -j ACCEPT"));
    assert_eq!(chain.verify(&mut firewall, &[]).unwrap().structure.len(), 1, "accepted before the jump");
    run(&format!("{program} -w -D INPUT -j ACCEPT"));
    assert!(chain.verify(&mut firewall, &[]).unwrap().structure.is_empty());
    run(&format!("{program} -w -F INPUT"));
    assert_eq!(chain.verify(&mut firewall, &[]).unwrap().structure.len(), 1);
}

const V4: [&str; 4] = ["192.0.2.1", "198.51.100.0/24", "10.32.0.0/11", "203.0.113.255"];
const V6: [&str; 4] = ["2001:db8::1", "2001:db8:1::/48", "2001:db8:8000::/33", "fd00::ffff"];

#[test]
fn bans_of_iptables_nft_are_read_back() {
    in_namespace("bans_of_iptables_nft_are_read_back", || {
        bans_are_read_back("iptables-nft", Family::Inet4, V4, "192.0.2.2");
        bans_are_read_back("ip6tables-nft", Family::Inet6, V6, "2001:db8::2");
    });
}

#[test]
fn bans_of_iptables_legacy_are_read_back() {
    in_namespace("bans_of_iptables_legacy_are_read_back", || {
        bans_are_read_back("iptables-legacy", Family::Inet4, V4, "192.0.2.2");
        bans_are_read_back("ip6tables-legacy", Family::Inet6, V6, "2001:db8::2");
    });
}

#[test]
fn a_wrapper_may_use_either_backend() {
    in_namespace("a_wrapper_may_use_either_backend", || {
        for real in ["iptables-nft", "iptables-legacy"] {
            if !has(real) {
                return;
            }
            let directory = tempfile::tempdir().unwrap();
            let wrapper = directory.path().join("iptables");
            std::fs::write(&wrapper, format!("#!/bin/sh\nexec {real} \"$@\"\n")).unwrap();
            std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
            let wrapper = wrapper.to_str().unwrap();
            assert_eq!(backend(wrapper), Backend::Unknown);
            start(wrapper);
            run(&format!("{wrapper} -I f2b-kj 1 -s 192.0.2.1 -j REJECT"));
            let difference = chain(wrapper, Family::Inet4)
                .verify(&mut Firewall::open().unwrap(), &ids(&["192.0.2.1"]))
                .unwrap();
            assert!(difference.is_none(), "{real}: {difference:?}");
            run(&format!("{wrapper} -F"));
        }
    });
}

#[test]
fn a_tool_that_does_nothing_is_found_out() {
    in_namespace("a_tool_that_does_nothing_is_found_out", || {
        let directory = tempfile::tempdir().unwrap();
        let stub = directory.path().join("iptables");
        std::fs::write(&stub, "#!/bin/sh\nexit 0\n").unwrap();
        std::fs::set_permissions(&stub, std::fs::Permissions::from_mode(0o755)).unwrap();
        let stub = stub.to_str().unwrap();
        start(stub);
        run(&format!("{stub} -I f2b-kj 1 -s 192.0.2.1 -j REJECT"));
        let difference =
            chain(stub, Family::Inet4).verify(&mut Firewall::open().unwrap(), &ids(&["192.0.2.1"])).unwrap();
        assert_eq!(difference.structure, ["rule INPUT -j f2b-kj"]);
        assert_eq!(difference.missing, ids(&["192.0.2.1"]));
    });
}

#[test]
fn members_of_an_ipset_are_read_back_with_the_rule_that_matches_it() {
    in_namespace("members_of_an_ipset_are_read_back_with_the_rule_that_matches_it", || {
        if !has("ipset") || !has("iptables-nft") {
            return;
        }
        let mut firewall = Firewall::open().unwrap();
        let set = BanSet {
            family: Family::Inet4,
            backend: backend("iptables-nft"),
            set: "f2b-kj".into(),
            hooks: vec!["INPUT".into()],
        };
        let wanted = ids(&["192.0.2.1", "192.0.2.2"]);
        assert_eq!(set.verify(&mut firewall, &wanted).unwrap().structure, ["ipset f2b-kj"]);
        run("ipset create f2b-other hash:ip timeout 0");
        run("ipset create f2b-kj hash:ip timeout 0");
        run(
            "iptables-nft -I INPUT -p tcp -m multiport --dports 22 -m set --match-set f2b-other src -j REJECT",
        );
        run("ipset add f2b-kj 192.0.2.1");
        let difference = set.verify(&mut firewall, &wanted).unwrap();
        assert_eq!(difference.structure.len(), 1, "the rule of another set is not this one's");
        assert_eq!(difference.missing, ids(&["192.0.2.2"]));
        run("iptables-nft -I INPUT -p tcp -m multiport --dports 22 -m set --match-set f2b-kj src -j REJECT");
        run("ipset add f2b-kj 192.0.2.2 timeout 600");
        assert!(set.verify(&mut firewall, &wanted).unwrap().is_none());
        run("ipset create f2b-kj6 hash:ip family inet6 timeout 0");
        run("ipset add f2b-kj6 2001:db8::1");
        run("ip6tables-nft -I INPUT -p tcp -m set --match-set f2b-kj6 src -j REJECT");
        let set =
            BanSet { family: Family::Inet6, set: "f2b-kj6".into(), backend: backend("ip6tables-nft"), ..set };
        assert!(set.verify(&mut firewall, &ids(&["2001:db8::1"])).unwrap().is_none());
        assert_eq!(set.verify(&mut firewall, &ids(&["2001:db8::2"])).unwrap().missing.len(), 1);
    });
}
