//! Stock `nftables*` actions, carried out natively: the same ruleset as the commands leave, step by step.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::type_complexity)]

mod namespace;

use namespace::{connect, has, in_namespace, listen, output, ruleset};
use portcullis_daemon::act::nft::{
    BanNftSet, Batch, Firewall, Scripts, Services, Stock, Table, TableFamily, Wanted,
};
use portcullis_jail::{Family, Id};
use rustix::io::Errno;

/// An action's scripts, in the shape of the stock ones.
struct Rendered {
    start: String,
    stop: String,
    flush: String,
    check: String,
    ban: String,
    unban: String,
}

/// What a jail gives to its action.
#[derive(Clone, Copy)]
struct Jail {
    name: &'static str,
    family: Family,
    /// `None` is for all ports.
    ports: Option<&'static str>,
    protocol: &'static str,
    flags: &'static str,
    blocktype: &'static str,
}

const SSHD: Jail = Jail {
    name: "sshd",
    family: Family::Inet4,
    ports: Some("ssh,2222"),
    protocol: "tcp",
    flags: "",
    blocktype: "reject",
};

impl Jail {
    fn v6(self) -> Self {
        Jail { family: Family::Inet6, ..self }
    }

    fn set(&self) -> String {
        let prefix = if self.family == Family::Inet4 { "addr" } else { "addr6" };
        format!("{prefix}-set-{}", self.name)
    }

    fn render(&self) -> Rendered {
        let (set, table, chain) = (self.set(), "inet t-bans", "t-chain");
        let (ip, kind) =
            if self.family == Family::Inet4 { ("ip", "ipv4_addr") } else { ("ip6", "ipv6_addr") };
        let add_set = format!("nft add set {table} {set} \\{{ type {kind}\\; {}\\}}", self.flags);
        let rule = |matching: &str| {
            format!("nft add rule {table} {chain} {matching} {ip} saddr @{set} {}", self.blocktype)
        };
        let add_rule = match self.ports {
            Some(ports) if self.protocol == "all" => rule(&format!("th dport \\{{ {ports} \\}}")),
            Some(ports) => format!(
                "for proto in $(echo '{}' | sed 's/,/ /g'); do\n{}\ndone",
                self.protocol,
                rule(&format!("$proto dport \\{{ $(echo '{ports}' | sed s/:/-/g) \\}}"))
            ),
            None if self.protocol == "all" => rule(""),
            None => format!("\n{}\n", rule(&format!("meta l4proto \\{{ {} \\}}", self.protocol))),
        };
        let delete = format!(
            "{{ nft -a list chain {table} {chain} | grep -oP '@{set}\\s+.*\\s+\\Khandle\\s+(\\d+)$'; }} | while read -r hdl; do\n\
             nft delete rule {table} {chain} $hdl; done\nnft delete set {table} {set}"
        );
        Rendered {
            start: format!(
                "nft add table {table}\nnft -- add chain {table} {chain} \\{{ type filter hook input priority -1 \\; \\}}\n{add_set}\n{add_rule}"
            ),
            stop: format!(
                "{delete}\n{{ nft list table {table} | grep -qP '^\\s+set\\s+'; }} || {{\nnft delete table {table}\n}}"
            ),
            flush: format!(
                "{{ nft flush set {table} {set} 2> /dev/null; }} || {{\n{delete}\n{add_set}\n{add_rule}\n}}"
            ),
            check: format!("nft list chain {table} {chain} | grep -q '@{set}[ \\t]'"),
            ban: format!("nft add element {table} {set} \\{{ <ip> \\}}"),
            unban: format!("nft delete element {table} {set} \\{{ <ip> \\}}"),
        }
    }
}

impl Rendered {
    fn scripts(&self) -> Scripts<'_> {
        Scripts {
            start: &self.start,
            stop: &self.stop,
            flush: &self.flush,
            check: &self.check,
            ban: &self.ban,
            unban: &self.unban,
            offender: "<ip>",
        }
    }

    fn stock(&self) -> Stock {
        Stock::recognise(&self.scripts(), &Services::default()).expect("the shape is known")
    }
}

fn shell(script: &str, ip: &str) {
    output("sh", &["-c", &script.replace("<ip>", ip)]);
}

fn table() -> Table {
    Table { family: TableFamily::Inet, name: "t-bans".into() }
}

fn forever(text: &str) -> Wanted {
    (Id::new(text), None)
}

/// The ruleset after each step, once by the commands and once by us, in fresh rulesets.
fn same_as_the_commands(jails: &[Jail]) {
    if !has("nft") {
        return;
    }
    let actions: Vec<(Jail, Rendered)> = jails.iter().map(|jail| (*jail, jail.render())).collect();
    let ips = |jail: &Jail| match (jail.family, jail.flags.contains("interval")) {
        (Family::Inet4, false) => ["192.0.2.1", "192.0.2.2"],
        (Family::Inet6, false) => ["2001:db8::1", "2001:db8::2"],
        (Family::Inet4, true) => ["192.0.2.1", "198.51.100.0/24"],
        (Family::Inet6, true) => ["2001:db8::1", "2001:db8:1::/48"],
    };
    let mut expected = Vec::new();
    for (jail, action) in &actions {
        shell(&action.start, "");
        expected.push(("start", jail.name, ruleset()));
        for ip in ips(jail) {
            shell(&action.ban, ip);
        }
        expected.push(("ban", jail.name, ruleset()));
        shell(&action.check, "");
    }
    for (jail, action) in &actions {
        shell(&action.unban, ips(jail)[0]);
        expected.push(("unban", jail.name, ruleset()));
        shell(&action.flush, "");
        expected.push(("flush", jail.name, ruleset()));
    }
    for (jail, action) in &actions {
        shell(&action.stop, "");
        expected.push(("stop", jail.name, ruleset()));
    }
    assert_eq!(ruleset(), "", "the commands leave nothing");

    let mut firewall = Firewall::open().unwrap();
    let mut expected = expected.into_iter();
    let mut compare = |step: &str| {
        let (expected_step, jail, text) = expected.next().unwrap();
        assert_eq!(step, expected_step);
        assert_eq!(ruleset(), text, "after {step} of {jail}");
    };
    let mut stocks: Vec<(Jail, Stock)> =
        actions.iter().map(|(jail, action)| (*jail, action.stock())).collect();
    for (jail, stock) in &mut stocks {
        assert_eq!(stock.family(), jail.family);
        stock.start(&mut firewall).unwrap();
        compare("start");
        assert_eq!(stock.ban(&mut firewall, &ips(jail).map(forever)), Ok(vec![]));
        compare("ban");
        assert_eq!(stock.check(&mut firewall), Ok(true));
        assert!(stock.verify(&mut firewall, &ips(jail).map(forever)).unwrap().is_none());
    }
    for (jail, stock) in &mut stocks {
        assert_eq!(stock.unban(&mut firewall, &[Id::new(ips(jail)[0])]), Ok(vec![]));
        compare("unban");
        stock.flush(&mut firewall).unwrap();
        compare("flush");
    }
    for (_, stock) in &mut stocks {
        stock.stop(&mut firewall).unwrap();
        compare("stop");
    }
}

#[test]
fn several_jails_share_the_table_as_with_the_commands() {
    in_namespace("several_jails_share_the_table_as_with_the_commands", || {
        let web = Jail { name: "web", ports: Some("http,https"), ..SSHD };
        let recidive = Jail { name: "recidive", ports: None, ..SSHD };
        same_as_the_commands(&[SSHD, web, recidive, SSHD.v6(), recidive.v6()]);
    });
}

#[test]
fn every_form_of_ports_and_protocols_gives_the_same_rules() {
    in_namespace("every_form_of_ports_and_protocols_gives_the_same_rules", || {
        let forms = [
            (Some("22"), "tcp"),
            (Some("1000:2000"), "tcp"),
            (Some("0:65535"), "tcp"),
            (Some("ssh,1000:2000,60000:65535"), "udp"),
            (Some("0:5,7,6"), "tcp,udp"),
            (Some("25,24,23:25"), "sctp"),
            (Some("25,24,26"), "tcp"),
            (Some("22,ssh"), "tcp"),
            (Some("9,1:3,2:4,5"), "tcp"),
            (Some("22,80"), "all"),
            (None, "tcp"),
            (None, "udp, tcp"),
            (None, "icmp"),
            (None, "all"),
        ];
        for (ports, protocol) in forms {
            let jail = Jail { ports, protocol, ..SSHD };
            eprintln!("{ports:?} {protocol}");
            same_as_the_commands(&[jail, jail.v6()]);
        }
    });
}

#[test]
fn every_blocktype_gives_the_same_rules() {
    in_namespace("every_blocktype_gives_the_same_rules", || {
        let both = [
            "drop",
            "reject",
            "reject with tcp reset",
            "reject with icmpx type admin-prohibited",
            "counter drop",
        ];
        for blocktype in both {
            same_as_the_commands(&[Jail { blocktype, ..SSHD }, Jail { blocktype, ..SSHD.v6() }]);
        }
        same_as_the_commands(&[Jail { blocktype: "reject with icmp type host-unreachable", ..SSHD }]);
        same_as_the_commands(&[Jail { blocktype: "reject with icmpv6 type no-route", ..SSHD.v6() }]);
    });
}

#[test]
fn interval_sets_hold_networks_as_with_the_commands() {
    in_namespace("interval_sets_hold_networks_as_with_the_commands", || {
        let jail = Jail { flags: "flags interval\\; ", ..SSHD };
        same_as_the_commands(&[jail, jail.v6()]);
    });
}

#[test]
fn an_attacker_is_refused() {
    in_namespace("an_attacker_is_refused", || {
        let _server = listen("127.0.0.1:2222");
        let mut firewall = Firewall::open().unwrap();
        let mut stock = SSHD.render().stock();
        assert_eq!(stock.ban(&mut firewall, &[forever("127.0.0.5")]), Ok(vec![]), "starts by itself");
        assert_eq!(connect("127.0.0.5", 2222), Err(Errno::CONNREFUSED));
        assert_eq!(connect("127.0.0.6", 2222), Ok(()));
    });
}

#[test]
fn what_a_killed_process_left_is_not_doubled() {
    in_namespace("what_a_killed_process_left_is_not_doubled", || {
        let mut firewall = Firewall::open().unwrap();
        let mut stock = SSHD.render().stock();
        stock.start(&mut firewall).unwrap();
        stock.ban(&mut firewall, &[forever("192.0.2.1")]).unwrap();
        let mut stock = SSHD.render().stock();
        stock.start(&mut firewall).unwrap();
        assert_eq!(firewall.rules(&table(), "t-chain").unwrap().len(), 1);
        assert!(stock.verify(&mut firewall, &[forever("192.0.2.1")]).unwrap().is_none());
        let surplus = stock.verify(&mut firewall, &[]).unwrap().surplus;
        assert_eq!(surplus, [Id::new("192.0.2.1")]);
    });
}

#[test]
fn foreign_damage_is_found_and_repaired() {
    in_namespace("foreign_damage_is_found_and_repaired", || {
        let mut firewall = Firewall::open().unwrap();
        let mut stock = SSHD.render().stock();
        let bans: Vec<Wanted> = (1..=200).map(|n| forever(&format!("192.0.2.{n}"))).collect();
        for damage in ["table", "rules", "elements"] {
            stock.ban(&mut firewall, &bans).unwrap();
            let mut batch = Batch::default();
            match damage {
                "table" => batch.delete_table(&table()),
                "rules" => batch.flush_chain(&table(), "t-chain"),
                _ => batch.flush_set(&table(), "addr-set-sshd"),
            }
            firewall.commit(batch).unwrap();
            let (difference, failed) = stock.repair(&mut firewall, bans.iter().map(|(id, _)| id)).unwrap();
            assert!(!difference.is_none() && failed.is_empty(), "{damage}");
            assert!(stock.verify(&mut firewall, &bans).unwrap().is_none(), "{damage}");
        }
        // Where only the rules have gone, the set is still taken away.
        let mut batch = Batch::default();
        batch.flush_chain(&table(), "t-chain");
        firewall.commit(batch).unwrap();
        assert_eq!((stock.check(&mut firewall), stock.is_present(&mut firewall)), (Ok(false), Ok(true)));
        stock.stop(&mut firewall).unwrap();
        assert_eq!((firewall.table_flags(&table()), stock.is_present(&mut firewall)), (Ok(None), Ok(false)));
        stock.ban(&mut firewall, &bans).unwrap();
        let gone = [Id::new("203.0.113.9")];
        assert_eq!(stock.unban(&mut firewall, &gone), Ok(vec![]));
        stock.stop(&mut firewall).unwrap();
        assert!(stock.stop(&mut firewall).unwrap_err().is_missing());
        assert!(stock.unban(&mut firewall, &gone).unwrap_err().is_missing());
    });
}

#[test]
fn an_address_of_the_other_family_or_a_network_is_told_as_failed() {
    in_namespace("an_address_of_the_other_family_or_a_network_is_told_as_failed", || {
        let mut firewall = Firewall::open().unwrap();
        let mut stock = SSHD.render().stock();
        let bans = [forever("2001:db8::1"), forever("192.0.2.0/24"), forever("192.0.2.7")];
        let failed: Vec<Id> =
            stock.ban(&mut firewall, &bans).unwrap().into_iter().map(|(id, _)| id).collect();
        assert_eq!(failed, [Id::new("2001:db8::1"), Id::new("192.0.2.0/24")]);
    });
}

#[test]
fn what_a_shell_added_is_read_back() {
    in_namespace("what_a_shell_added_is_read_back", || {
        if !has("nft") {
            return;
        }
        let mut firewall = Firewall::open().unwrap();
        let ids = [Id::new("192.0.2.1"), Id::new("192.0.2.2")];
        let bans = BanNftSet {
            family: Family::Inet4,
            table: table(),
            chain: "t-chain".into(),
            set: "addr-set-sshd".into(),
        };
        assert_eq!(bans.verify(&mut firewall, &ids).unwrap().structure, ["table inet t-bans"]);
        let rendered = SSHD.render();
        shell(&rendered.start, "");
        shell(&rendered.ban, "192.0.2.1");
        let difference = bans.verify(&mut firewall, &ids).unwrap();
        assert_eq!((difference.structure.len(), &difference.missing[..]), (0, &ids[1..]));
        shell(&rendered.ban, "192.0.2.2");
        assert!(bans.verify(&mut firewall, &ids).unwrap().is_none());
        output("nft", &["flush", "chain", "inet", "t-bans", "t-chain"]);
        assert_eq!(bans.verify(&mut firewall, &ids).unwrap().structure.len(), 1);
    });
}

#[test]
fn scripts_of_another_shape_are_left_to_the_shell() {
    let services = Services::default();
    let known = SSHD.render();
    assert!(Stock::recognise(&known.scripts(), &services).is_some());
    let changes: [(&str, &str); 14] = [
        ("start", "nft add table inet other"),
        ("start", "logger started"),
        ("start", "nft add rule inet t-bans t-chain ip saddr @other drop"),
        ("ban", "mail -s banned root"),
        ("ban", "nft add element inet t-bans other \\{ <ip> \\}"),
        ("unban", "true"),
        ("stop", "rm -f /tmp/x"),
        ("stop", "nft delete table inet t-bans"),
        ("stop", "nft flush ruleset"),
        ("flush", "nft delete table inet t-bans"),
        ("flush", "echo flushed"),
        ("check", "false"),
        ("check", "nft list table inet t-bans"),
        ("unban", "nft delete element inet t-bans addr-set-sshd \\{ 192.0.2.1 \\}"),
    ];
    for (which, line) in changes {
        let mut changed = SSHD.render();
        let script = match which {
            "start" => &mut changed.start,
            "ban" => &mut changed.ban,
            "unban" => &mut changed.unban,
            "stop" => &mut changed.stop,
            "flush" => &mut changed.flush,
            _ => &mut changed.check,
        };
        script.push('\n');
        script.push_str(line);
        assert!(Stock::recognise(&changed.scripts(), &services).is_none(), "{which}: {line}");
    }
    let replaced: [(&str, fn(&mut Rendered)); 6] = [
        ("another set in the ban", |r| r.ban = r.ban.replace("addr-set", "set")),
        ("another table in the stop", |r| r.stop = r.stop.replacen("t-bans", "t-other", 1)),
        ("&& instead of ||", |r| r.stop = r.stop.replace("||", "&&")),
        ("a pattern that finds other jails' rules", |r| r.stop = r.stop.replace("sshd\\s+", "ssh")),
        ("another tool", |r| r.start = r.start.replace("nft ", "/usr/local/bin/wrapper ")),
        ("an unknown port", |r| r.start = r.start.replace("ssh,2222", "nosuch")),
    ];
    for (what, change) in replaced {
        let mut changed = SSHD.render();
        change(&mut changed);
        assert!(Stock::recognise(&changed.scripts(), &services).is_none(), "{what}");
    }
}

#[test]
fn scripts_rendered_for_an_address_are_recognised_too() {
    let mut rendered = SSHD.v6().render();
    rendered.ban = rendered.ban.replace("<ip>", "2001:db8::1");
    rendered.unban = rendered.unban.replace("<ip>", "2001:db8::1");
    let scripts = Scripts { offender: "2001:db8::1", ..rendered.scripts() };
    assert!(Stock::recognise(&scripts, &Services::default()).is_some());
}
