//! The firewall actions of the catalogue: understood by the daemon, and the same in the kernel when a shell runs them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod namespace;

use std::path::Path;

use namespace::{has, in_namespace, output, ruleset};
use portcullis_config::{Request, Source, read};
use portcullis_daemon::act::nft::{Firewall, Readback, Scripts, Services, Stock, guard};
use portcullis_daemon::act::preflight::{Kind, recognise};
use portcullis_jail::action::{Action, Operation};
use portcullis_jail::{Family, Id};
use portcullis_value::Value;

const FAMILIES: [(Family, &str); 2] = [(Family::Inet4, "192.0.2.1"), (Family::Inet6, "2001:db8::1")];

/// The action of a jail whose `banaction` is this one of the catalogue, read as the daemon reads it.
fn action(banaction: &str) -> Action {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let jail = format!(
        "[kj]\nenabled = true\nfilter =\nbackend = polling\nlogpath = {}\naction = {banaction}\n",
        at("log").display()
    );
    std::fs::write(at("log"), "").unwrap();
    std::fs::write(at("jail.conf"), jail).unwrap();
    std::fs::write(at("fail2ban.conf"), "[Definition]\n").unwrap();
    std::fs::create_dir(at("action.d")).unwrap();
    let catalogue = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../catalogue/action.d");
    for file in std::fs::read_dir(catalogue).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), at("action.d").join(file.file_name())).unwrap();
    }
    let configuration = read(&Source::directory(directory.path()), &Request::default()).unwrap();
    let mut found = None;
    for command in &configuration.stream {
        if let [Value::Str(verb), _, Value::Str(what), Value::Str(name), Value::List(properties)] =
            &command[..]
            && (verb.as_str(), what.as_str()) == ("multi-set", "action")
        {
            let mut action = Action::new(name.clone());
            for property in properties {
                let (Value::List(pair) | Value::Tuple(pair)) = property else { panic!("{property:?}") };
                let Value::Str(key) = &pair[0] else { panic!("{pair:?}") };
                action.set(key, pair[1].clone());
            }
            found = Some(action);
        }
    }
    found.unwrap_or_else(|| panic!("no action in {:?}: {:?}", configuration.stream, configuration.messages))
}

fn text(action: &Action, operation: Operation, family: Family) -> String {
    action.expanded(operation, Some(family)).unwrap().to_string()
}

fn stock(action: &Action, family: Family) -> Option<Stock> {
    let text = |operation| text(action, operation, family);
    let scripts = Scripts {
        start: &text(Operation::Start),
        stop: &text(Operation::Stop),
        flush: &text(Operation::Flush),
        check: &text(Operation::Check),
        ban: &text(Operation::Ban),
        unban: &text(Operation::Unban),
        offender: "<ip>",
    };
    Stock::recognise(&scripts, &Services::default())
}

fn shell(action: &Action, operation: Operation, family: Family, ip: &str) {
    let script = text(action, operation, family).replace("<ip>", ip);
    output("sh", &["-c", &script]);
}

#[test]
fn our_own_action_is_understood() {
    for (banaction, ports) in [("portcullis[port='22,80']", 2), ("portcullis-allports[port=22]", 0)] {
        let action = action(banaction);
        let start = text(&action, Operation::Start, Family::Inet4);
        let parameters = guard(&start, &Services::default()).expect("it is ours").unwrap();
        assert_eq!((parameters.name.as_str(), parameters.ports.len()), ("kj", ports));
        assert!(!action.start_on_demand(), "the guard stands from the start on");
    }
}

#[test]
fn nftables_actions_are_carried_out_natively_with_the_same_result() {
    in_namespace("nftables_actions_are_carried_out_natively_with_the_same_result", || {
        if !has("nft") {
            return;
        }
        let mut firewall = Firewall::open().unwrap();
        let variants = [
            "nftables-multiport[port='ssh,8000:8010']",
            "nftables-multiport[port=ssh, protocol='tcp,udp', blocktype=drop]",
            "nftables-allports",
            "nftables[type=allports, chain_priority=-10]",
        ];
        for banaction in variants {
            let action = action(banaction);
            for (family, ip) in FAMILIES {
                let mut stock = stock(&action, family).unwrap_or_else(|| panic!("{banaction}"));
                let known = recognise(&action, family).unwrap_or_else(|| panic!("{banaction}"));
                assert_eq!(known.kind, Kind::NftSet);
                let readback = Readback::of(&known, family, None).unwrap();
                shell(&action, Operation::Start, family, ip);
                shell(&action, Operation::Ban, family, ip);
                shell(&action, Operation::Check, family, ip);
                let by_shell = ruleset();
                assert!(readback.verify(&mut firewall, &[Id::new(ip)]).unwrap().is_none(), "{banaction}");
                shell(&action, Operation::Flush, family, ip);
                shell(&action, Operation::Stop, family, ip);
                assert_eq!(ruleset(), "", "{banaction}");
                assert_eq!(stock.ban(&mut firewall, &[(Id::new(ip), None)]), Ok(vec![]));
                assert_eq!(ruleset(), by_shell, "{banaction}");
                stock.stop(&mut firewall).unwrap();
                assert_eq!(ruleset(), "", "{banaction}");
            }
        }
    });
}

#[test]
fn iptables_actions_ban_and_clean_up_and_are_read_back() {
    in_namespace("iptables_actions_ban_and_clean_up_and_are_read_back", || {
        if !has("iptables") || !has("ipset") {
            return;
        }
        let mut firewall = Firewall::open().unwrap();
        let path = std::env::var_os("PATH");
        let variants = [
            ("iptables[port=ssh]", Kind::Chain),
            ("iptables-multiport[port='ssh,8000:8010']", Kind::Chain),
            ("iptables-multiport[port=22, protocol='tcp,udp', blocktype=DROP]", Kind::Chain),
            ("iptables-allports", Kind::Chain),
            ("iptables-new[port=2222]", Kind::Chain),
            ("iptables-ipset[port='ssh,http']", Kind::Ipset),
            ("iptables-ipset-proto6[port='ssh,http', blocktype=DROP]", Kind::Ipset),
            ("iptables-ipset-proto6-allports[protocol=udp]", Kind::Ipset),
        ];
        for (banaction, kind) in variants {
            let action = action(banaction);
            for (family, ip) in FAMILIES {
                let known = recognise(&action, family).unwrap_or_else(|| panic!("{banaction} {family:?}"));
                assert_eq!(known.kind, kind, "{banaction}");
                let readback = Readback::of(&known, family, path.as_deref()).unwrap();
                let rules = || {
                    let tool = if family == Family::Inet4 { "iptables" } else { "ip6tables" };
                    output(tool, &["-S"]) + &output("ipset", &["list", "-name"])
                };
                let before = rules();
                for operation in [Operation::Start, Operation::Start, Operation::Ban, Operation::Check] {
                    shell(&action, operation, family, ip);
                }
                let difference = readback.verify(&mut firewall, &[Id::new(ip)]).unwrap();
                assert!(difference.is_none(), "{banaction}: {difference:?}");
                shell(&action, Operation::Unban, family, ip);
                let gone = readback.verify(&mut firewall, &[Id::new(ip)]).unwrap();
                assert_eq!((gone.structure.len(), gone.missing.len()), (0, 1), "{banaction}");
                shell(&action, Operation::Ban, family, ip);
                shell(&action, Operation::Flush, family, ip);
                assert_eq!(readback.verify(&mut firewall, &[Id::new(ip)]).unwrap().missing.len(), 1);
                shell(&action, Operation::Stop, family, ip);
                assert_eq!(rules(), before, "{banaction} leaves nothing");
            }
        }
    });
}
