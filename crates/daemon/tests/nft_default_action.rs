//! Our own default action against a real kernel: packets are refused, and everything is found out by reading back.

#![allow(clippy::unwrap_used, clippy::panic)]

mod namespace;

use std::time::{Duration, Instant};

use namespace::{connect, has, in_namespace, listen, output, ruleset};
use portcullis_daemon::act::nft::{
    Batch, Change, DefaultAction, Element, Error, Events, Firewall, KeyType, Parameters, Services, Set,
    TABLE, Table, TableFamily, Wanted,
};
use portcullis_jail::Id;
use rustix::io::Errno;

fn parameters(name: &str, port: Option<&str>, protocol: &str, blocktype: &str) -> Parameters {
    Parameters::read(name, port, protocol, blocktype, &Services::default()).unwrap()
}

fn sshd() -> DefaultAction {
    DefaultAction::new(parameters("sshd", Some("2222"), "tcp", "reject"))
}

fn wanted(text: &str, seconds: Option<u64>) -> Wanted {
    (Id::new(text), seconds.map(Duration::from_secs))
}

fn many(count: u32) -> Vec<Wanted> {
    (0..count)
        .map(|n| {
            (
                Id::from(std::net::IpAddr::from((0x0a00_0000 + n).to_be_bytes())),
                Some(Duration::from_secs(600)),
            )
        })
        .collect()
}

fn table() -> Table {
    Table { family: TableFamily::Inet, name: TABLE.to_owned() }
}

#[test]
fn a_banned_address_sees_connection_refused_and_others_do_not() {
    in_namespace("a_banned_address_sees_connection_refused_and_others_do_not", || {
        let _server = listen("127.0.0.1:2222");
        let _other = listen("127.0.0.1:8080");
        let mut firewall = Firewall::open().unwrap();
        let mut action = sshd();
        action.start(&mut firewall).unwrap();
        assert_eq!(connect("127.0.0.5", 2222), Ok(()));
        assert_eq!(action.ban(&mut firewall, &[wanted("127.0.0.5", Some(600))]), Ok(vec![]));
        assert_eq!(connect("127.0.0.5", 2222), Err(Errno::CONNREFUSED));
        assert_eq!(connect("127.0.0.5", 8080), Ok(()), "another port is none of this jail's business");
        assert_eq!(connect("127.0.0.6", 2222), Ok(()));
        assert_eq!(action.unban(&mut firewall, &[Id::new("127.0.0.5")]), Ok(vec![]));
        assert_eq!(connect("127.0.0.5", 2222), Ok(()));
    });
}

#[test]
fn ipv6_is_refused_too() {
    in_namespace("ipv6_is_refused_too", || {
        let _server = listen("[::1]:2222");
        let mut firewall = Firewall::open().unwrap();
        let mut action = sshd();
        action.start(&mut firewall).unwrap();
        action.ban(&mut firewall, &[wanted("::1", None)]).unwrap();
        assert_eq!(connect("::1", 2222), Err(Errno::CONNREFUSED));
    });
}

#[test]
fn networks_are_blocked_and_may_lie_within_each_other() {
    in_namespace("networks_are_blocked_and_may_lie_within_each_other", || {
        let _server = listen("127.0.0.1:2222");
        let mut firewall = Firewall::open().unwrap();
        let mut action = sshd();
        action.start(&mut firewall).unwrap();
        let bans =
            [wanted("127.0.8.0/21", None), wanted("127.0.9.0/24", Some(60)), wanted("127.0.9.7", Some(60))];
        assert_eq!(action.ban(&mut firewall, &bans), Ok(vec![]));
        assert_eq!(connect("127.0.15.255", 2222), Err(Errno::CONNREFUSED));
        assert_eq!(connect("127.0.16.0", 2222), Ok(()));
        assert_eq!(action.unban(&mut firewall, &[Id::new("127.0.8.0/21")]), Ok(vec![]));
        assert_eq!(connect("127.0.15.255", 2222), Ok(()));
        assert_eq!(connect("127.0.9.1", 2222), Err(Errno::CONNREFUSED));
        // Seconds have passed meanwhile.
        let left =
            [wanted("127.0.8.0/21", None), wanted("127.0.9.0/24", Some(40)), wanted("127.0.9.7", Some(40))];
        assert_eq!(action.verify(&mut firewall, &left).unwrap().missing, [Id::new("127.0.8.0/21")]);
    });
}

#[test]
fn drop_is_silence_and_reset_is_a_reset() {
    in_namespace("drop_is_silence_and_reset_is_a_reset", || {
        let _server = listen("127.0.0.1:2222");
        let mut firewall = Firewall::open().unwrap();
        for (blocktype, expected) in
            [("DROP", Errno::INPROGRESS), ("REJECT --reject-with tcp-reset", Errno::CONNREFUSED)]
        {
            let mut action = DefaultAction::new(parameters("x", Some("2000:3000"), "tcp", blocktype));
            action.start(&mut firewall).unwrap();
            action.ban(&mut firewall, &[wanted("127.0.0.5", None)]).unwrap();
            assert_eq!(connect("127.0.0.5", 2222), Err(expected), "{blocktype}");
            action.stop(&mut firewall).unwrap();
        }
    });
}

#[test]
fn all_ports_and_all_protocols_are_possible() {
    in_namespace("all_ports_and_all_protocols_are_possible", || {
        let _server = listen("127.0.0.1:2222");
        let mut firewall = Firewall::open().unwrap();
        let cases = [
            (None, "all"),
            (None, "tcp"),
            (None, "tcp,udp"),
            (Some("22,2222,80"), "all"),
            (Some("22,2222,8000:9000"), "udp,tcp"),
        ];
        for (port, protocol) in cases {
            let mut action = DefaultAction::new(parameters("x", port, protocol, "reject"));
            action.start(&mut firewall).unwrap();
            action.ban(&mut firewall, &[wanted("127.0.0.5", Some(5))]).unwrap();
            assert_eq!(connect("127.0.0.5", 2222), Err(Errno::CONNREFUSED), "{port:?} {protocol}");
            assert_eq!(connect("127.0.0.7", 2222), Ok(()), "{port:?} {protocol}");
            action.stop(&mut firewall).unwrap();
            assert_eq!(firewall.table_flags(&table()), Ok(None), "the last jail takes the table along");
        }
    });
}

#[test]
fn nft_lists_what_we_made() {
    in_namespace("nft_lists_what_we_made", || {
        if !has("nft") {
            return;
        }
        let mut firewall = Firewall::open().unwrap();
        let mut action =
            DefaultAction::new(parameters("my jail", Some("ssh,1000:2000"), "tcp,udp", "reject"));
        action.start(&mut firewall).unwrap();
        action.ban(&mut firewall, &[wanted("192.0.2.1", None), wanted("2001:db8:1::/48", None)]).unwrap();
        sshd().start(&mut firewall).unwrap();
        insta::assert_snapshot!(ruleset());
        // What is listed can be loaded again: no name of ours is beyond `nft`'s grammar.
        let file = std::env::temp_dir().join(format!("portcullis-nft-{}", std::process::id()));
        std::fs::write(&file, format!("flush ruleset\n{}", ruleset())).unwrap();
        output("nft", &["-f", file.to_str().unwrap()]);
        std::fs::remove_file(&file).unwrap();
        assert!(
            action
                .verify(&mut firewall, &[wanted("192.0.2.1", None), wanted("2001:db8:1::/48", None)])
                .unwrap()
                .is_none()
        );
    });
}

#[test]
fn what_a_killed_process_left_is_adopted_without_a_gap() {
    in_namespace("what_a_killed_process_left_is_adopted_without_a_gap", || {
        let _server = listen("127.0.0.1:2222");
        let bans = [wanted("127.0.0.5", Some(100)), wanted("127.7.0.0/16", Some(100))];
        let mut firewall = Firewall::open().unwrap();
        let mut action = sshd();
        action.start(&mut firewall).unwrap();
        action.ban(&mut firewall, &bans).unwrap();
        let mut other = DefaultAction::new(parameters("24-sshd", None, "all", "drop"));
        other.start(&mut firewall).unwrap();
        drop((action, firewall));

        let mut firewall = Firewall::open().unwrap();
        let mut successor = sshd();
        successor.start(&mut firewall).unwrap();
        assert!(successor.verify(&mut firewall, &bans).unwrap().is_none());
        assert_eq!(firewall.rules(&table(), "guard").unwrap().len(), 5, "rules are not doubled");
        assert_eq!(connect("127.7.0.5", 2222), Err(Errno::CONNREFUSED));
        successor.stop(&mut firewall).unwrap();
        assert_eq!(firewall.rules(&table(), "guard").unwrap().len(), 2, "the other jail's stay");
        assert_eq!(connect("127.7.0.5", 2222), Ok(()));
    });
}

#[test]
fn a_repeated_ban_renews_the_kernels_timeout() {
    in_namespace("a_repeated_ban_renews_the_kernels_timeout", || {
        let mut firewall = Firewall::open().unwrap();
        let mut action = sshd();
        action.start(&mut firewall).unwrap();
        let set = Set { name: "v4-sshd".into(), key: KeyType::Ipv4, interval: false, timeout: true };
        let host = Element::from(std::net::IpAddr::from([192, 0, 2, 1]));
        for seconds in [Some(100), Some(5000), Some(300), None, Some(50)] {
            assert_eq!(action.ban(&mut firewall, &[wanted("192.0.2.1", seconds)]), Ok(vec![]));
            let left =
                firewall.element(&table(), &set, &host).unwrap().unwrap().timeout.map(|left| left.as_secs());
            match (seconds, left) {
                (None, None) => {}
                (Some(seconds), Some(left)) => {
                    assert!((seconds + 57..=seconds + 60).contains(&left), "{seconds} {left}");
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn a_foreign_flush_is_heard_at_once_and_repaired_in_one_go() {
    in_namespace("a_foreign_flush_is_heard_at_once_and_repaired_in_one_go", || {
        let mut firewall = Firewall::open().unwrap();
        let mut events = Events::subscribe(&[firewall.port()]).unwrap();
        let mut action = sshd();
        action.start(&mut firewall).unwrap();
        let bans = many(5000);
        assert_eq!(action.ban(&mut firewall, &bans), Ok(vec![]));
        while let Some(change) = events.changed(Duration::from_millis(50)).unwrap() {
            assert_eq!(change, Change::Lost, "what we do ourselves is no foreign change");
        }

        let mut foreign = Firewall::open().unwrap();
        let mut batch = Batch::default();
        batch.delete_table(&table());
        foreign.commit(batch).unwrap();
        let flushed = Instant::now();
        assert!(events.changed(Duration::from_secs(1)).unwrap().is_some());
        let (difference, failed) = action.repair(&mut firewall, &bans).unwrap();
        assert!(flushed.elapsed() < Duration::from_secs(1), "{:?}", flushed.elapsed());
        assert_eq!((difference.missing.len(), failed.len()), (5000, 0));
        assert!(action.verify(&mut firewall, &bans).unwrap().is_none());
    });
}

#[test]
fn a_ban_notices_that_rules_or_chains_have_gone() {
    in_namespace("a_ban_notices_that_rules_or_chains_have_gone", || {
        let _server = listen("127.0.0.1:2222");
        let mut firewall = Firewall::open().unwrap();
        let mut action = sshd();
        for sabotage in ["jump", "guard", "table", "none"] {
            let mut batch = Batch::default();
            match sabotage {
                "jump" => batch.flush_chain(&table(), "prerouting"),
                "guard" => batch.flush_chain(&table(), "guard"),
                "table" => batch.delete_table(&table()),
                _ => {}
            }
            action.start(&mut firewall).unwrap();
            firewall.commit(batch).unwrap();
            assert_eq!(action.verify(&mut firewall, &[]).unwrap().structure.is_empty(), sabotage == "none");
            assert_eq!(action.ban(&mut firewall, &[wanted("127.0.0.9", Some(9))]), Ok(vec![]), "{sabotage}");
            assert_eq!(connect("127.0.0.9", 2222), Err(Errno::CONNREFUSED), "{sabotage}");
            action.unban(&mut firewall, &[Id::new("127.0.0.9")]).unwrap();
        }
    });
}

#[test]
fn a_foreign_accept_before_our_jump_is_found_out() {
    in_namespace("a_foreign_accept_before_our_jump_is_found_out", || {
        if !has("nft") {
            return;
        }
        let mut firewall = Firewall::open().unwrap();
        let mut action = sshd();
        action.start(&mut firewall).unwrap();
        output("nft", &["insert", "rule", "inet", TABLE, "guard", "accept"]);
        assert!(!action.verify(&mut firewall, &[]).unwrap().structure.is_empty());
    });
}

#[test]
fn unbanning_what_is_not_there_is_told_and_harms_nobody() {
    in_namespace("unbanning_what_is_not_there_is_told_and_harms_nobody", || {
        let mut firewall = Firewall::open().unwrap();
        let mut action = sshd();
        assert_eq!(action.unban(&mut firewall, &[Id::new("192.0.2.1")]), Ok(vec![]));
        action.start(&mut firewall).unwrap();
        let bans = many(3000);
        action.ban(&mut firewall, &bans).unwrap();
        let half: Vec<Id> = bans.iter().step_by(2).map(|(id, _)| id.clone()).collect();
        assert_eq!(action.unban(&mut firewall, &half), Ok(vec![]));
        let all: Vec<Id> = bans.iter().map(|(id, _)| id.clone()).collect();
        assert_eq!(action.unban(&mut firewall, &all), Ok(vec![]));
        assert!(action.verify(&mut firewall, &[]).unwrap().is_none());
        assert_eq!(action.unban(&mut firewall, &[Id::raw("joe")]), Ok(vec![]));
    });
}

#[test]
fn what_is_no_address_is_told_by_name() {
    in_namespace("what_is_no_address_is_told_by_name", || {
        let mut firewall = Firewall::open().unwrap();
        let mut action = sshd();
        action.start(&mut firewall).unwrap();
        let failed = action.ban(&mut firewall, &[(Id::raw("joe"), None), wanted("192.0.2.1", None)]).unwrap();
        assert_eq!(failed, [(Id::raw("joe"), Error::NotAnAddress("joe".into()))]);
        assert!(action.verify(&mut firewall, &[wanted("192.0.2.1", None)]).unwrap().is_none());
    });
}

#[test]
fn flush_lifts_the_bans_of_this_jail_alone() {
    in_namespace("flush_lifts_the_bans_of_this_jail_alone", || {
        let mut firewall = Firewall::open().unwrap();
        let (mut one, mut two) = (sshd(), DefaultAction::new(parameters("two", None, "all", "drop")));
        let bans = [wanted("192.0.2.1", None), wanted("2001:db8::/32", None)];
        for action in [&mut one, &mut two] {
            action.start(&mut firewall).unwrap();
            action.ban(&mut firewall, &bans).unwrap();
        }
        one.flush(&mut firewall).unwrap();
        assert_eq!(one.verify(&mut firewall, &bans).unwrap().missing.len(), 2);
        assert!(one.verify(&mut firewall, &[]).unwrap().is_none());
        assert!(two.verify(&mut firewall, &bans).unwrap().is_none());
    });
}

#[test]
fn a_hundred_thousand_bans_are_in_force_and_read_back() {
    in_namespace("a_hundred_thousand_bans_are_in_force_and_read_back", || {
        let mut firewall = Firewall::open().unwrap();
        let mut action = sshd();
        action.start(&mut firewall).unwrap();
        for count in [10_000, 100_000] {
            let bans = many(count);
            let began = Instant::now();
            assert_eq!(action.ban(&mut firewall, &bans), Ok(vec![]));
            eprintln!("{count} bans, enforced and read back: {:?}", began.elapsed());
            let began = Instant::now();
            assert!(action.verify(&mut firewall, &bans).unwrap().is_none());
            eprintln!("{count} bans verified: {:?}", began.elapsed());
            let began = Instant::now();
            let ids: Vec<Id> = bans.iter().map(|(id, _)| id.clone()).collect();
            assert_eq!(action.unban(&mut firewall, &ids), Ok(vec![]));
            eprintln!("{count} bans lifted: {:?}", began.elapsed());
        }
        let mut times: Vec<Duration> = many(1000)
            .iter()
            .map(|ban| {
                let began = Instant::now();
                action.ban(&mut firewall, std::slice::from_ref(ban)).unwrap();
                began.elapsed()
            })
            .collect();
        times.sort();
        eprintln!("one ban, enforced and read back: p50 {:?} p99 {:?}", times[500], times[990]);
    });
}
