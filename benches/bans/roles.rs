//! What this program plays on the hosts of the network.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use portcullis_compliance::{SERVER, wrong_password};
use portcullis_daemon::act::nft::{self, Element, KeyType, Set, TableFamily};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use crate::scene::offender;

pub(crate) const PORT: u16 = 22;

/// On the server: accepts connections and closes them.
pub(crate) fn listen() {
    let listener = TcpListener::bind(SocketAddr::new(SERVER, PORT)).unwrap();
    for connection in listener.incoming() {
        drop(connection);
    }
}

/// At the attacker: writes the last failure, connects until refused, and prints the microseconds between. `every` is the
/// pause between two connections in microseconds. If `after` is not empty, it is first waited for in the server's log.
pub(crate) fn strike(log: &str, from: IpAddr, every: u64, after: &str) {
    let line = wrong_password(from);
    assert!(knock(from), "refused before the last failure");
    if let Some((said, text)) = after.split_once(':') {
        println!("waiting");
        std::io::stdout().flush().unwrap();
        let begin = Instant::now();
        while !std::fs::read_to_string(said).is_ok_and(|said| said.contains(text)) {
            assert!(begin.elapsed() < Duration::from_secs(60), "no {text} in {said}");
            sleep(Duration::from_micros(200));
        }
    }
    let mut log = std::fs::File::options().append(true).open(log).unwrap();
    let begin = Instant::now();
    log.write_all(line.as_bytes()).unwrap();
    loop {
        // The moment of trying counts. The refusal (ICMP) of a neighbour on a veth pair arrives inside connect(2), while that
        // holds the socket, and is noticed a second later only, when the SYN is repeated.
        let tried = begin.elapsed();
        if !knock(from) {
            println!("{}", tried.as_micros());
            return;
        }
        assert!(tried < Duration::from_secs(60), "never refused");
        sleep(Duration::from_micros(every));
    }
}

/// Connects from that address; whether it was let in.
fn knock(from: IpAddr) -> bool {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::new(from, 0)).unwrap();
    connect(&socket, &SocketAddr::new(SERVER, PORT)).is_ok()
}

/// On the server: waits until the firewall holds the first so many offenders and so many other bans of the jail, and prints the
/// time (nanoseconds since 1970).
pub(crate) fn until(firewall: &str, offenders: usize, others: usize) {
    let count = offenders + others;
    let mut kernel = nft::Firewall::open().unwrap();
    println!("watching");
    std::io::stdout().flush().unwrap();
    let begin = Instant::now();
    let mut awaited = Awaited::new(if firewall == "nftables" { offenders } else { 0 });
    let mut before = None;
    loop {
        // All rules are read for a count, which keeps a core busy: only when there are others than the last time.
        let generation = (firewall == "iptables").then(|| kernel.generation().unwrap());
        let same = generation.is_some() && generation == before;
        before = generation;
        // A dump of a large set would slow down what is measured: first each is waited for by itself.
        let lingers = firewall == "nftables" && count == 0 && is_there(&mut kernel, offender(0));
        if !same && !lingers && awaited.all_there(&mut kernel) {
            let seen = SystemTime::now();
            if counted(&mut kernel, firewall) == count {
                // What was looked for one by one was there before it was counted.
                let then = if awaited.each.is_empty() { SystemTime::now() } else { seen };
                println!("{}", then.duration_since(UNIX_EPOCH).unwrap().as_nanos());
                return;
            }
        }
        assert!(
            begin.elapsed() < Duration::from_secs(120),
            "{} of {count} are in the kernel",
            counted(&mut kernel, firewall)
        );
        sleep(Duration::from_micros(500));
    }
}

/// Those who are to be banned, in the order in which a restore takes them, up to whom they are.
struct Awaited {
    each: Vec<Element>,
    there: usize,
}

impl Awaited {
    /// One after the other.
    const STEP: usize = 64;

    fn new(offenders: usize) -> Self {
        let mut each: Vec<Ipv4Addr> = (0..offenders).map(offender).collect();
        each.sort_by_cached_key(ToString::to_string);
        Awaited { each: each.into_iter().map(|ip| IpAddr::from(ip).into()).collect(), there: 0 }
    }

    /// Looks on from the first that was not there the last time: a ban stays.
    fn all_there(&mut self, kernel: &mut nft::Firewall) -> bool {
        while self.there < self.each.len() {
            let some = &self.each[self.there..self.each.len().min(self.there + Self::STEP)];
            let found = kernel.look_up(&table(), &set(), some).unwrap();
            let there = found.iter().take_while(|found| found.is_some()).count();
            self.there += there;
            if there < some.len() {
                return false;
            }
        }
        true
    }
}

fn is_there(kernel: &mut nft::Firewall, ip: Ipv4Addr) -> bool {
    kernel.element(&table(), &set(), &IpAddr::from(ip).into()).unwrap().is_some()
}

fn counted(kernel: &mut nft::Firewall, firewall: &str) -> usize {
    match firewall {
        "nftables" => kernel.elements(&table(), &set()).map_or(0, |all| all.len()),
        "iptables" => {
            let filter = nft::Table { family: TableFamily::Ip, name: "filter".into() };
            // The last rule leads back. While more are put in all the time, they cannot be counted.
            kernel.rules(&filter, "f2b-J").map_or(0, |rules| rules.len().saturating_sub(1))
        }
        "ipset" => {
            let listed = Command::new("ipset").args(["-t", "list", "f2b-J"]).output().unwrap().stdout;
            let listed = String::from_utf8_lossy(&listed);
            let number = listed.lines().find_map(|line| line.strip_prefix("Number of entries: "));
            number.map_or(0, |number| number.parse().unwrap())
        }
        other => panic!("no such firewall: {other}"),
    }
}

fn table() -> nft::Table {
    nft::Table { family: TableFamily::Inet, name: "f2b-table".into() }
}

fn set() -> Set {
    Set { name: "addr-set-J".into(), key: KeyType::Ipv4, interval: false, timeout: false }
}

/// So many addresses of its own has the attacker's host, from here on.
pub(crate) const STRIKERS: std::ops::Range<u8> = 100..240;

pub(crate) fn striker(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, STRIKERS.start + number as u8)
}
