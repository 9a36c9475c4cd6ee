//! The default action guards containers too: an attacker in a namespace of its own, a server behind a port mapping in
//! another, and this machine between them, with the rules that Docker and firewalls usually have.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod namespace;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use namespace::{has, in_namespace, output};
use portcullis_daemon::act::nft::{DefaultAction, Firewall, Parameters, Services};
use portcullis_jail::Id;

/// What the test's binary is to do in another namespace: `serve PORT`, or `connect HOST PORT`.
const ERRAND: &str = "PORTCULLIS_TEST_ERRAND";

/// Not a test by itself: the part that runs in the other namespaces.
#[test]
fn errand() {
    let Ok(errand) = std::env::var(ERRAND) else { return };
    match errand.split(' ').collect::<Vec<_>>()[..] {
        ["serve", port] => {
            let server = TcpListener::bind(format!("0.0.0.0:{port}")).unwrap();
            println!("ready");
            for peer in server.incoming() {
                std::thread::spawn(move || {
                    let mut peer = peer.unwrap();
                    let mut byte = [0];
                    while peer.read_exact(&mut byte).is_ok() && peer.write_all(&byte).is_ok() {}
                });
            }
        }
        ["connect", address] => {
            match TcpStream::connect_timeout(&address.parse().unwrap(), Duration::from_secs(3)) {
                Ok(_) => println!("answer: connected"),
                Err(error) => println!("answer: {:?}", error.kind()),
            }
        }
        // Says something each time it is told to, over one connection.
        ["talk", address] => {
            let mut peer = TcpStream::connect(address).unwrap();
            peer.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
            println!("ready");
            for _ in std::io::stdin().lines() {
                let spoken = peer.write_all(b"x").is_ok() && peer.read_exact(&mut [0]).is_ok();
                println!("answer: {}", if spoken { "heard" } else { "silence" });
            }
        }
        _ => panic!("{errand}"),
    }
}

/// A namespace, kept open by a process.
struct Place(Child);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Place {
    /// A namespace with one link to here: it has address `net`.2, we have `net`.1.
    fn new(link: &str, net: &str) -> Self {
        let keeper = Command::new("unshare").args(["-n", "sleep", "60"]).spawn().unwrap();
        let place = Place(keeper);
        let pid = place.0.id().to_string();
        // The namespace is there when it is no longer ours.
        let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
        while std::fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|theirs| theirs == ours) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let ip = |line: &str| output("ip", &line.split(' ').collect::<Vec<_>>());
        ip(&format!("link add {link} type veth peer name eth0 netns {pid}"));
        ip(&format!("addr add {net}.1/24 dev {link}"));
        ip(&format!("link set {link} up"));
        for line in [
            format!("addr add {net}.2/24 dev eth0"),
            "link set eth0 up".into(),
            format!("route add default via {net}.1"),
        ] {
            let words: Vec<&str> = ["-t", &pid, "-n", "ip"].into_iter().chain(line.split(' ')).collect();
            output("nsenter", &words);
        }
        place
    }

    fn errand(&self, errand: &str) -> Talk {
        let mut child = Command::new("nsenter")
            .args(["-t", &self.0.id().to_string(), "-n", "--"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "errand", "--nocapture"])
            .env(ERRAND, errand)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = std::io::BufReader::new(child.stdout.take().unwrap());
        Talk { child, said }
    }

    fn connect(&self, address: &str) -> String {
        self.errand(&format!("connect {address}")).wait_for("answer: ")
    }
}

/// A running errand.
struct Talk {
    child: Child,
    said: std::io::BufReader<std::process::ChildStdout>,
}

impl Talk {
    /// The rest of the next line that has `word`.
    fn wait_for(&mut self, word: &str) -> String {
        let mut line = String::new();
        while std::io::BufRead::read_line(&mut self.said, &mut line).unwrap() > 0 {
            if let Some((_, rest)) = line.split_once(word) {
                return rest.trim().to_owned();
            }
            line.clear();
        }
        panic!("the errand ended without '{word}'");
    }

    fn say(&mut self) -> String {
        writeln!(self.child.stdin.as_mut().unwrap()).unwrap();
        self.wait_for("answer: ")
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_container_behind_a_port_mapping_is_guarded_before_nat_and_established_rules() {
    in_namespace("a_container_behind_a_port_mapping_is_guarded_before_nat_and_established_rules", || {
        if !has("ip") || !has("nft") {
            return;
        }
        let attacker = Place::new("out", "10.9.0");
        let container = Place::new("inside", "10.8.0");
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        let rules = "table ip nat {
            chain pre { type nat hook prerouting priority dstnat;
                tcp dport 8022 dnat to 10.8.0.2:22
            }
        }
        table inet usual {
            chain through { type filter hook forward priority filter;
                ct state established,related accept
            }
        }
";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), rules).unwrap();
        output("nft", &["-f", file.path().to_str().unwrap()]);
        let mut server = container.errand("serve 22");
        server.wait_for("ready");

        let mut firewall = Firewall::open().unwrap();
        assert_eq!(attacker.connect("10.9.0.1:8022"), "connected");
        // The container's port, and the one that the attacker dials: a jail may name either.
        for port in ["ssh", "8022"] {
            let mut open = attacker.errand("talk 10.9.0.1:8022");
            open.wait_for("ready");
            assert_eq!(open.say(), "heard");
            let parameters =
                Parameters::read("ssh", Some(port), "tcp", "reject", &Services::default()).unwrap();
            let mut action = DefaultAction::new(parameters);
            action.start(&mut firewall).unwrap();
            assert_eq!(action.ban(&mut firewall, &[(Id::new("10.9.0.2"), None)]), Ok(vec![]));
            assert_eq!(attacker.connect("10.9.0.1:8022"), "ConnectionRefused", "port = {port}");
            assert_eq!(open.say(), "silence", "port = {port}: an open connection ends too");
            action.unban(&mut firewall, &[Id::new("10.9.0.2")]).unwrap();
            assert_eq!(attacker.connect("10.9.0.1:8022"), "connected");
            action.stop(&mut firewall).unwrap();
        }
    });
}
