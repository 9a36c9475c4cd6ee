//! `make bench`: start-up, memory, idle CPU and latency, of the genuine Fail2ban and of ours, in one run.
//!
//! How each is measured: `benches/README.md`. Two roles besides, played by this program itself on the hosts of the network:
//! `listen` accepts connections, `strike` writes the fifth failure and knocks until it is refused.

// A measurement that cannot be made ends the run, and says where.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use portcullis_compliance::{Host, Hosts, Peer, SERVER, Who, wait_for, workspace, wrong_password};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

const STARTS: usize = 15;
const STRIKES: usize = 15;
const PORT: u16 = 22;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["listen"] => listen(),
        ["strike", log, from] => strike(log, from.parse().unwrap()),
        [] => compare(&[Who::Genuine, Who::Ours]),
        ["--only", "genuine"] => compare(&[Who::Genuine]),
        ["--only", "ours"] => compare(&[Who::Ours]),
        _ => {
            eprintln!("usage: bench [--only genuine|ours]");
            std::process::exit(2);
        }
    }
}

/// What was measured of one program.
struct Measured {
    who: Who,
    start: Vec<Duration>,
    resident: u64,
    idle: Duration,
    latency: Vec<(&'static str, Vec<Duration>)>,
}

fn compare(sides: &[Who]) {
    // A database in memory would flatter whoever writes most.
    let disk = workspace().join("target/bench");
    std::fs::create_dir_all(&disk).unwrap();
    tempfile::env::override_temp_dir(&disk).unwrap();

    let mut measured: Vec<Measured> = sides
        .iter()
        .map(|&who| Measured {
            who,
            start: Vec::new(),
            resident: 0,
            idle: Duration::ZERO,
            latency: Vec::new(),
        })
        .collect();
    eprintln!("start-up, {STARTS} times each");
    for _ in 0..STARTS {
        for side in &mut measured {
            side.start.push(start_up(side.who));
        }
    }
    eprintln!("a minute of idleness");
    idle_minute(&mut measured);
    for banaction in ["iptables-multiport", "nftables-multiport"] {
        eprintln!("latency with {banaction}, {STRIKES} times each");
        let mut scenes: Vec<Scene> = measured.iter().map(|side| Scene::new(side.who, banaction)).collect();
        let mut latencies = vec![Vec::new(); scenes.len()];
        for number in 0..STRIKES {
            for (scene, latencies) in scenes.iter_mut().zip(&mut latencies) {
                latencies.push(scene.latency(number));
            }
        }
        for (side, latencies) in measured.iter_mut().zip(latencies) {
            side.latency.push((banaction, latencies));
        }
    }
    print(&measured);
}

/// A peer with two jails, not started.
fn two_jails(who: Who, banaction: &str) -> Peer {
    let peer = Peer::new(who).expect("the genuine Fail2ban cannot be had here");
    peer.write("auth.log", "");
    peer.write(
        "conf/jail.local",
        &format!(
            "[DEFAULT]\nbanaction = {banaction}\nbackend = auto\n\
             [sshd]\nenabled = true\nlogpath = @DIR@/auth.log\nbackend = auto\n\
             [dropbear]\nenabled = true\nlogpath = @DIR@/auth.log\nbackend = auto\nport = {PORT}\nmaxretry = 5\nfindtime = 600\nbantime = 600\n"
        ),
    );
    peer
}

/// From the start of the process to `Server ready`.
fn start_up(who: Who) -> Duration {
    let peer = two_jails(who, "iptables-multiport");
    let mut command = peer.command(
        "fail2ban-server",
        &["-c", "@DIR@/conf", "-s", "@DIR@/f2b.sock", "-p", "@DIR@/f2b.pid", "-f", "start"],
    );
    let begin = Instant::now();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let took = begin.elapsed();
    assert_eq!(line.trim(), "Server ready", "{}\n{}", peer.who(), peer.log());
    peer.client(&["stop"]);
    child.wait().unwrap();
    took
}

/// Memory after start-up, and CPU time while nothing happens; all at once, so that they share the weather.
fn idle_minute(measured: &mut [Measured]) {
    let mut peers: Vec<Peer> =
        measured.iter().map(|side| two_jails(side.who, "iptables-multiport")).collect();
    for peer in &mut peers {
        peer.start();
    }
    sleep(Duration::from_secs(5));
    for (side, peer) in measured.iter_mut().zip(&peers) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", peer.pid().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        side.resident = line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024;
    }
    let before: Vec<Duration> = peers.iter().map(cpu).collect();
    sleep(Duration::from_secs(60));
    for ((side, peer), before) in measured.iter_mut().zip(&peers).zip(before) {
        side.idle = cpu(peer).saturating_sub(before);
    }
}

/// Time on a CPU of all threads of the server, in the kernel and out of it.
fn cpu(peer: &Peer) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", peer.pid().unwrap())).unwrap();
    tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse().ok())
        .map(Duration::from_nanos)
        .sum()
}

/// A server under guard, somebody who listens there, and an attacker with many addresses.
struct Scene {
    peer: Peer,
    hosts: Hosts,
    listener: Child,
}

impl Scene {
    fn new(who: Who, banaction: &str) -> Self {
        let hosts = Hosts::new().unwrap_or_else(|reason| panic!("{reason}"));
        for number in 0..STRIKES {
            hosts.attacker.sh(&format!("ip addr add {}/24 dev gate", attacker(number)));
        }
        let listener = role(&hosts.server, &["listen"]).spawn().unwrap();
        let mut peer = two_jails(who, banaction);
        peer.on(&hosts.server);
        peer.start();
        Self { peer, hosts, listener }
    }

    /// From the write of the fifth failure to the first refused connection.
    fn latency(&mut self, number: usize) -> Duration {
        let from = attacker(number);
        for _ in 0..4 {
            self.peer.append("auth.log", &wrong_password(from));
        }
        self.peer.wait_log_times(&format!("[dropbear] Found {from} "), 4);
        // Neither side may profit from a rhythm.
        sleep(Duration::from_millis(200 + 173 * (number as u64 * 7 % 11)));
        let log = self.peer.path("auth.log");
        let strike = ["strike", log.to_str().unwrap(), &from.to_string()];
        let output = role(&self.hosts.attacker, &strike).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let micros = said.trim().parse().unwrap_or_else(|_| {
            panic!(
                "{}: {}{}\n{}",
                self.peer.who(),
                said,
                String::from_utf8_lossy(&output.stderr),
                self.peer.log()
            )
        });
        Duration::from_micros(micros)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.listener.kill();
        let _ = self.listener.wait();
    }
}

/// This program in another role, on one of the hosts.
fn role(host: &Host, arguments: &[&str]) -> Command {
    let mut command = host.command(std::env::current_exe().unwrap());
    command.args(arguments);
    command
}

fn attacker(number: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100 + number as u8))
}

/// On the server: accepts connections and closes them.
fn listen() {
    let listener = TcpListener::bind(SocketAddr::new(SERVER, PORT)).unwrap();
    for connection in listener.incoming() {
        drop(connection);
    }
}

/// At the attacker: writes the fifth failure, connects until refused, and prints the microseconds between.
fn strike(log: &str, from: IpAddr) {
    let line = wrong_password(from);
    assert!(knock(from), "refused before the fifth failure");
    let mut log = std::fs::File::options().append(true).open(log).unwrap();
    let begin = Instant::now();
    log.write_all(line.as_bytes()).unwrap();
    let refused = wait_for(Duration::from_secs(10), || {
        // wait_for sleeps for milliseconds; knock finer than that.
        for _ in 0..100 {
            // The moment of trying counts. The refusal (ICMP) of a neighbour on a veth pair arrives inside connect(2), while
            // that holds the socket, and is noticed a second later only, when the SYN is repeated.
            let tried = begin.elapsed();
            if !knock(from) {
                return Some(tried);
            }
            sleep(Duration::from_micros(100));
        }
        None
    });
    println!("{}", refused.expect("never refused").as_micros());
}

/// Connects from that address; whether it was let in.
fn knock(from: IpAddr) -> bool {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::new(from, 0)).unwrap();
    connect(&socket, &SocketAddr::new(SERVER, PORT)).is_ok()
}

// ---------------------------------------------------------------- the table

fn print(measured: &[Measured]) {
    println!(
        "\n{:<44}{}   wanted",
        "",
        measured.iter().map(|m| format!("{:>12}", m.who.to_string())).collect::<String>()
    );
    let row = |what: &str,
               values: Vec<f64>,
               unit: fn(f64) -> String,
               wanted: &dyn Fn(f64, f64) -> (String, bool)| {
        let cells: String = values.iter().map(|&value| format!("{:>12}", unit(value))).collect();
        let verdict = match values[..] {
            [genuine, ours] => {
                let (text, met) = wanted(genuine, ours);
                format!(
                    "   {text}: {:.0} times less, {}",
                    genuine / ours.max(1e-9),
                    if met { "met" } else { "MISSED" }
                )
            }
            _ => String::new(),
        };
        println!("{what:<44}{cells}{verdict}");
    };
    row(
        "start-up to `Server ready`, median",
        measured.iter().map(|m| median(&m.start)).collect(),
        seconds,
        &|genuine, ours| ("5 times less, better 10".into(), genuine / ours >= 5.0),
    );
    row(
        "resident memory, idle, 2 jails",
        measured.iter().map(|m| m.resident as f64).collect(),
        |bytes| format!("{:.1} MiB", bytes / 1024.0 / 1024.0),
        &|_, ours| ("under 10 MiB".into(), ours < 10.0 * 1024.0 * 1024.0),
    );
    row(
        "CPU time in a minute of idleness",
        measured.iter().map(|m| m.idle.as_secs_f64()).collect(),
        seconds,
        &|_, ours| ("near zero (under 10 ms)".into(), ours < 0.010),
    );
    for index in 0..measured.first().map_or(0, |m| m.latency.len()) {
        let banaction = measured[0].latency[index].0;
        row(
            &format!("fifth failure to refusal, median, {}", banaction.trim_end_matches("-multiport")),
            measured.iter().map(|m| median(&m.latency[index].1)).collect(),
            seconds,
            &|genuine, ours| ("20 times less and under 10 ms".into(), genuine / ours >= 20.0 && ours < 0.010),
        );
        row(
            "                    maximum",
            measured.iter().map(|m| m.latency[index].1.iter().max().unwrap().as_secs_f64()).collect(),
            seconds,
            &|_, ours| ("under 10 ms".into(), ours < 0.010),
        );
    }
}

fn median(values: &[Duration]) -> f64 {
    let mut values = values.to_vec();
    values.sort();
    values[values.len() / 2].as_secs_f64()
}

fn seconds(value: f64) -> String {
    if value >= 1.0 { format!("{value:.2} s") } else { format!("{:.2} ms", value * 1000.0) }
}
