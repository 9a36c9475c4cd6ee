//! A restart leaves no gap: what is banned stays out while one server follows the other. A stop takes everything away.

// Helpers of tests are outside `#[test]` functions, where clippy looks for what tests may do.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use portcullis_compliance::{Host, Hosts, Peer, wait_for};

/// A server with our own action for port 2222 of UDP and TCP.
fn guarded() -> Option<(Hosts, Peer)> {
    guarded_by("portcullis")
}

/// The same by another.
fn guarded_by(banaction: &str) -> Option<(Hosts, Peer)> {
    let (hosts, peer) = Peer::guarding()?;
    peer.add_own_action();
    peer.write("auth.log", "");
    peer.write("conf/jail.local", &jail("gate", banaction, "2222"));
    Some((hosts, peer))
}

fn jail(name: &str, banaction: &str, port: &str) -> String {
    format!(
        "[{name}]\nenabled = true\nfilter = dropbear\nport = {port}\nprotocol = tcp,udp\nlogpath = @DIR@/auth.log\n\
         bantime = 600\nbanaction = {banaction}\n"
    )
}

fn restart(peer: &Peer) -> portcullis_compliance::Output {
    peer.run("portcullis", &["restart", "-c", "@DIR@/conf", "-s", "@DIR@/f2b.sock"])
}

fn status(peer: &Peer) -> portcullis_compliance::Output {
    peer.run("portcullis", &["status", "-c", "@DIR@/conf", "-s", "@DIR@/f2b.sock"])
}

/// The ruleset, but for the numbers and times in it, and the order of a set's elements.
fn kernel(hosts: &Hosts) -> Vec<String> {
    let listed = hosts.server.sh("nft list ruleset");
    let times = regex::Regex::new(r" (timeout|expires) [0-9dhms]+").unwrap();
    let listed = times.replace_all(&listed, "").into_owned();
    let (elements, mut lines): (Vec<&str>, Vec<&str>) =
        listed.lines().map(str::trim).partition(|line| line.contains("10.66."));
    let mut elements: Vec<&str> = elements
        .iter()
        .flat_map(|line| line.split([',', ' ']))
        .filter(|word| word.starts_with("10."))
        .collect();
    elements.sort_unstable();
    lines.extend(elements);
    lines.into_iter().map(str::to_owned).collect()
}

/// A program in Python on a host, and what it says.
struct Running(Child, BufReader<ChildStdout>);

impl Running {
    fn new(host: &Host, text: &str) -> Self {
        let mut command = host.command("/usr/bin/env");
        command.args(["python3", "-uc", text]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut running = Running(child, out);
        assert_eq!(running.line(), "ready");
        running
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Tells it to come to an end; what it says then.
    fn finish(mut self) -> String {
        drop(self.0.stdin.take());
        let line = self.line();
        let _ = self.0.wait();
        line
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Receives on port 2222 until its input closes, then tells how many packets came from banned addresses and from others.
const RECEIVER: &str = "
import socket, select, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
s.bind(('', 2222))
print('ready')
banned = others = 0
while True:
    ready, _, _ = select.select([s, sys.stdin], [], [])
    if s in ready:
        _, (address, _) = s.recvfrom(100)
        if address.startswith('10.66.'): banned += 1
        else: others += 1
    elif sys.stdin in ready:
        print(banned, others)
        break
";

/// Sends from each of the banned addresses in turn, and now and then from a harmless one, until its input closes; then tells
/// how many it sent.
const SENDER: &str = "
import socket, select, sys, time
def at(address):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, 0))
    s.setblocking(False)
    return s
sockets = [at(f'10.66.{n // 250}.{n % 250 + 1}') for n in range(1000)]
harmless = at('192.0.2.7')
print('ready')
def send(s):
    # What was refused (by ICMP) is told at the next call, which then sends nothing.
    for _ in range(2):
        try:
            s.sendto(b'x', ('192.0.2.1', 2222))
            return 1
        except OSError:
            pass
    return 0
sent = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    for number, s in enumerate(sockets):
        sent += send(s)
        if number % 50 == 0:
            send(harmless)
            time.sleep(0.001)
print(sent)
";

#[test]
fn ten_restarts_let_none_of_a_thousand_banned_addresses_through() {
    none_gets_through("portcullis");
}

#[test]
fn nor_do_they_with_the_stock_action_of_nftables() {
    none_gets_through("nftables-multiport");
}

fn none_gets_through(banaction: &str) {
    let Some((hosts, mut peer)) = guarded_by(banaction) else { return };
    // The reject would be limited to some packets a second for each target: silence is what is tested.
    let addresses: Vec<String> = (0..1000).map(|n| format!("10.66.{}.{}", n / 250, n % 250 + 1)).collect();
    let mut script = addresses.iter().fold(String::new(), |mut script, address| {
        writeln!(script, "addr add {address}/32 dev gate").unwrap();
        script
    });
    script.push_str("route replace 192.0.2.0/24 dev gate\n");
    let mut ip = hosts.attacker.command("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    ip.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(ip.wait().unwrap().success());
    hosts.server.sh("ip route add 10.66.0.0/16 dev gate");

    peer.start();
    let words: Vec<&str> =
        ["set", "gate", "banip"].into_iter().chain(addresses.iter().map(String::as_str)).collect();
    peer.client(&words);
    let enforced = || status(&peer).stdout.contains("1000 enforced").then_some(());
    assert!(wait_for(Duration::from_secs(30), enforced).is_some(), "{}", status(&peer));
    let before = kernel(&hosts);
    let pid = peer.pid();
    let receiver = Running::new(&hosts.server, RECEIVER);
    let sender = Running::new(&hosts.attacker, SENDER);
    for number in 1..=10 {
        let again = restart(&peer);
        assert_eq!(again.status, 0, "restart {number}: {again}\n{}", peer.log());
        // Not only the moment of the restart: also while the bans are taken over.
        let taken_over = || status(&peer).stdout.contains("1000 enforced").then_some(());
        assert!(wait_for(Duration::from_secs(30), taken_over).is_some(), "{}\n{}", status(&peer), peer.log());
    }
    let sent: u64 = sender.finish().parse().unwrap();
    let came = receiver.finish();
    let (banned, others) = came.split_once(' ').unwrap();
    assert_eq!(banned, "0", "{came} of {sent}");
    assert!(sent > 20_000 && others.parse::<u64>().unwrap() > 100, "{came} of {sent}");
    eprintln!(
        "{sent} packets of banned addresses during ten restarts: {banned} came; of another address: {others}"
    );
    assert_eq!(peer.pid(), pid, "the same process, to whoever looks after it");
    assert!(!peer.log().contains("Unban"), "{}", peer.log());
    // What is noted in the kernel for the next server goes when that has taken over.
    let same = wait_for(Duration::from_secs(60), || (kernel(&hosts) == before).then_some(()));
    assert!(same.is_some(), "{before:#?}\n{:#?}", kernel(&hosts));

    // A stop is a stop.
    peer.stop();
    assert_eq!(hosts.server.sh("nft list ruleset").trim(), "");
}

#[test]
fn what_stock_nftables_have_left_follows_the_new_configuration() {
    // A set of intervals for IPv4, as networks need it, and of hashes for IPv6.
    let intervals = r#"nftables-multiport[addr_type="ipv4_addr\; flags interval"]"#;
    let Some((hosts, mut peer)) = guarded_by(intervals) else { return };
    let other = jail("other", "nftables-allports", "2222");
    peer.write("conf/jail.local", &format!("{}{other}", jail("gate", intervals, "2222")));
    peer.start();
    peer.client(&["set", "gate", "banip", "192.0.2.66", "198.51.100.0/24", "2001:db8::66"]);
    peer.client(&["set", "other", "banip", "192.0.2.68", "2001:db8::68"]);
    let rules = || hosts.server.sh("nft list ruleset");
    let wait = |what: &dyn Fn(&str) -> bool| {
        let met = wait_for(Duration::from_secs(60), || what(&rules()).then_some(()));
        assert!(met.is_some(), "{}\n{}", rules(), peer.log());
    };
    let all = |rules: &str, wanted: &[&str]| wanted.iter().all(|ip| rules.contains(ip));
    wait(&|rules| {
        all(rules, &["192.0.2.66", "198.51.100.0/24", "192.0.2.68", "2001:db8::66", "2001:db8::68"])
    });
    // Somebody of whom no database knows, another port, and a jail less.
    hosts.server.sh("nft add element inet f2b-table addr-set-gate '{ 192.0.2.99 }'");
    peer.write("conf/jail.local", &jail("gate", intervals, "2222,2223"));
    assert_eq!(restart(&peer).status, 0, "{}", peer.log());
    // In the same moment nobody has been let in.
    assert!(all(&rules(), &["192.0.2.66", "198.51.100.0/24", "2001:db8::66"]), "{}", rules());
    let ports =
        |rules: &str| rules.lines().filter(|line| line.contains(" @addr")).map(str::to_owned).collect();
    wait(&|rules| {
        let lines: Vec<String> = ports(rules);
        lines.len() == 4 && lines.iter().all(|line| line.contains("dport { 2222, 2223 }"))
    });
    wait(&|rules| {
        let gone = ["192.0.2.99", "192.0.2.68", "2001:db8::68", "other", "portcullis"];
        all(rules, &["192.0.2.66", "198.51.100.0/24", "2001:db8::66"])
            && !gone.iter().any(|ip| rules.contains(ip))
    });
    // Who was let go while nobody was there, and with him the last one of his family.
    peer.client(&["set", "gate", "unbanip", "2001:db8::66"]);
    hosts.server.sh("nft add element inet f2b-table addr6-set-gate '{ 2001:db8::99 }'");
    assert_eq!(restart(&peer).status, 0, "{}", peer.log());
    wait(&|rules| !rules.contains("addr6-set-gate") && all(rules, &["192.0.2.66", "198.51.100.0/24"]));
    assert_eq!(status(&peer).status, 0, "{}", status(&peer));
    peer.stop();
    assert_eq!(rules().trim(), "");
}

#[test]
fn what_ended_meanwhile_is_taken_away_by_the_next_server() {
    let Some((hosts, mut peer)) = guarded() else { return };
    peer.start();
    peer.client(&["set", "gate", "banip", "192.0.2.66", "192.0.2.67"]);
    let enforced = || hosts.server.sh("nft list ruleset").contains("192.0.2.67").then_some(());
    assert!(wait_for(Duration::from_secs(10), enforced).is_some());
    // As if a ban had ended between the two: the kernel has one that no database knows.
    hosts.server.sh("nft add element inet portcullis v4-gate '{ 192.0.2.99 }'");
    assert_eq!(restart(&peer).status, 0, "{}", peer.log());
    let gone = || {
        let rules = hosts.server.sh("nft list ruleset");
        (rules.contains("192.0.2.66") && rules.contains("192.0.2.67") && !rules.contains("192.0.2.99"))
            .then_some(())
    };
    assert!(wait_for(Duration::from_secs(20), gone).is_some(), "{}", hosts.server.sh("nft list ruleset"));
    assert_eq!(status(&peer).status, 0, "{}", status(&peer));
    peer.stop();
}

#[test]
fn a_configuration_that_cannot_be_read_leaves_the_running_server_alone() {
    let Some((hosts, mut peer)) = guarded() else { return };
    peer.start();
    peer.client(&["set", "gate", "banip", "192.0.2.66"]);
    peer.write("conf/jail.conf", "[DEFAULT\nnonsense");
    assert_eq!(restart(&peer).status, 1);
    assert_eq!(peer.client(&["ping"]).status, 0);
    assert!(hosts.server.sh("nft list ruleset").contains("192.0.2.66"));
    peer.stop();
}

#[test]
fn a_ban_ends_in_the_kernel_even_if_nobody_is_there_to_lift_it() {
    let Some((hosts, mut peer)) = guarded() else { return };
    peer.start();
    peer.client(&["set", "gate", "banip", "192.0.2.66"]);
    peer.run(
        "portcullis",
        &["ban", "192.0.2.67", "--for", "forever", "-c", "@DIR@/conf", "-s", "@DIR@/f2b.sock"],
    );
    let rules = || hosts.server.sh("nft list set inet portcullis v4-gate");
    let there = || rules().contains("192.0.2.67").then_some(());
    assert!(wait_for(Duration::from_secs(10), there).is_some(), "{}", rules());
    peer.signal(portcullis_compliance::Signal::KILL);
    peer.ended();
    // Its rest and a minute: 11 minutes, of which some have gone on a slow machine.
    let rules = rules();
    let first = rules
        .split("192.0.2.66")
        .nth(1)
        .unwrap_or_default()
        .split([',', '}'])
        .next()
        .unwrap_or_default()
        .to_owned();
    assert!(first.contains("timeout 1") && first.contains("expires 10m"), "{rules}");
    let second = rules
        .split("192.0.2.67")
        .nth(1)
        .unwrap_or_default()
        .split([',', '}'])
        .next()
        .unwrap_or_default()
        .to_owned();
    assert!(!second.contains("expires"), "a permanent ban has no end: {rules}");
    // What the kernel has ended before us is no error.
    peer.start();
    peer.wait_log("Restore Ban 192.0.2.66");
    hosts.server.sh("nft delete element inet portcullis v4-gate '{ 192.0.2.66 }'");
    peer.client(&["set", "gate", "unbanip", "192.0.2.66"]);
    assert!(!peer.log().contains("ERROR"), "{}", peer.log());
    peer.stop();
}
