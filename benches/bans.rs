//! `make bench`: what bans cost, from the failure to the kernel and back, of the genuine Fail2ban and of ours, in one run.
//!
//! What is measured, and how: `benches/README.md`. Two roles besides, played by this program itself on the hosts of the
//! network: `strike` writes a failure and knocks until it is refused, `until` waits for the kernel to have so many bans.

// A measurement that cannot be made ends the run, and says where.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)]

#[path = "bans/roles.rs"]
mod roles;
#[path = "bans/scene.rs"]
mod scene;
#[path = "bans/table.rs"]
mod table;

use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use portcullis_compliance::{Who, workspace, wrong_password};

use scene::{Firewall, Scene, offender};
use table::{Row, Table, percentile};

/// How often we are struck, and how often the genuine one is: each of its bans takes a good part of a second.
const STRIKES: [usize; 2] = [30, 100];

/// Measures something and tells what it found.
type Measure = fn(&mut Table);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["strike", log, from, every, after] => {
            roles::strike(log, from.parse().unwrap(), every.parse().unwrap(), after);
        }
        ["until", firewall, offenders, others] => {
            roles::until(firewall, offenders.parse().unwrap(), others.parse().unwrap());
        }
        ["listen"] => roles::listen(),
        ref rows => {
            // A database in memory would flatter whoever writes most.
            let disk = workspace().join("target/bench");
            std::fs::create_dir_all(&disk).unwrap();
            tempfile::env::override_temp_dir(&disk).unwrap();
            let mut table = Table::default();
            let all: [(&str, Measure); 7] = [
                ("latency", latency),
                ("banip", banip),
                ("restore", restore),
                ("many", a_hundred_thousand),
                ("mail", slow_mail),
                ("behind", behind_a_restore),
                ("expire", expire),
            ];
            for (name, measure) in all {
                if rows.is_empty() || rows.contains(&name) {
                    eprintln!("{name}");
                    measure(&mut table);
                }
            }
            table.print();
        }
    }
}

const SIDES: [Who; 2] = [Who::Genuine, Who::Ours];

/// From the write of the last failure to the first refused connection.
fn latency(table: &mut Table) {
    let [genuine, ours] = SIDES.map(|who| {
        let mut scene = Scene::new(who, Firewall::Nftables, "");
        scene.listen();
        scene.peer.start();
        // The first ban makes table and set.
        let made = scene.watch(1);
        scene.ban(&[offender(0)]);
        made.since(SystemTime::now());
        scene
    });
    let mut times = [Vec::new(), Vec::new()];
    for number in 0..STRIKES[1] {
        if number < STRIKES[0] {
            times[0].push(genuine.strike(number));
        }
        times[1].push(ours.strike(number));
    }
    genuine.watch_with(1, STRIKES[0]).since(SystemTime::now());
    ours.watch_with(1, STRIKES[1]).since(SystemTime::now());
    let [half, most] = [50, 99].map(|part| [0, 1].map(|side| percentile(&times[side], part)));
    let met = half[1] < Duration::from_millis(1) && half[0] >= half[1] * 50;
    table.push(Row::pair("last failure to refusal, nftables, median", half[0], half[1], "< 1 ms, 50 x", met));
    let met = most[1] < Duration::from_millis(5);
    table.push(Row::pair("                         99th percentile", most[0], most[1], "< 5 ms", met));
}

/// Many addresses in one `banip`, until the last is in the kernel. Of the genuine one, what 100 more cost than 10.
fn banip(table: &mut Table) {
    for (firewall, wanted) in
        [(Firewall::Nftables, 100.0), (Firewall::Iptables, 50.0), (Firewall::Ipset, 50.0)]
    {
        let scenes = SIDES.map(|who| {
            let mut scene = Scene::new(who, firewall, "");
            scene.peer.start();
            let made = scene.watch(1);
            scene.ban(&[offender(0)]);
            made.since(SystemTime::now());
            scene
        });
        let timed = |scene: &Scene, from: usize, count: usize| {
            let all: Vec<Ipv4Addr> = (from..from + count).map(offender).collect();
            let watcher = scene.watch(from + count);
            let began = SystemTime::now();
            scene.ban(&all);
            watcher.since(began)
        };
        let few = timed(&scenes[0], 1, 10);
        let more = timed(&scenes[0], 11, 110);
        let genuine = few + more.saturating_sub(few).mul_f64(990.0 / 100.0);
        let ours = timed(&scenes[1], 1, 1000);
        table.push(Row::times_less(
            &format!("1,000 in one banip, {}", firewall.name()),
            genuine,
            ours,
            wanted,
        ));
    }
}

/// Bans from the database, from the start of the process until the last is in the kernel. Of the genuine one, the start by
/// itself and what 100 bans cost more.
fn restore(table: &mut Table) {
    for firewall in [Firewall::Iptables, Firewall::Ipset, Firewall::Nftables] {
        let mut genuine = Scene::new(Who::Genuine, firewall, "");
        let began = Instant::now();
        genuine.peer.start();
        let start = began.elapsed();
        genuine.peer.stop();
        let few = restored(&mut genuine, 100);
        let genuine = start + few.saturating_sub(start) * 50;
        let ours = restored(&mut Scene::new(Who::Ours, firewall, ""), 5000);
        table.push(Row::times_less(&format!("restore of 5,000, {}", firewall.name()), genuine, ours, 100.0));
    }
}

/// From the start of the process until so many bans from the database are in the kernel.
fn restored(scene: &mut Scene, count: usize) -> Duration {
    scene.fill(count);
    let watcher = scene.watch(count);
    let began = SystemTime::now();
    scene.peer.start();
    watcher.since(began)
}

/// A failure while many bans are being restored.
fn behind_a_restore(table: &mut Table) {
    // Ten thousand are restored before anybody can fail. The genuine program takes seconds for a hundred, and minutes for as
    // many as ours; a strike that was not answered within a minute ends the run.
    let counts = [100, 100_000];
    let [genuine, ours] = [0, 1].map(|side| {
        let mut scene = Scene::new(SIDES[side], Firewall::Nftables, "");
        scene.listen();
        scene.fill(counts[side]);
        let striker = scene.strike_after("Restore Ban");
        scene.peer.start();
        let took = striker.struck();
        scene.watch_with(counts[side], 1).since(SystemTime::now());
        let log = scene.peer.log();
        let line = |text: &str| log.lines().position(|line| line.contains(text));
        let last = format!("Restore Ban {}", offender(counts[side] - 1));
        // The genuine one bans when all the others are restored.
        let during = line("] Ban 192.0.2.100") < line(&last);
        assert!(during || side == 0, "the restore was over before the failure");
        took
    });
    let what = "a new ban while 100,000 are being restored (genuine: 100)";
    table.push(Row::pair(what, genuine, ours, "< 10 ms", ours < Duration::from_millis(10)));
}

/// Memory with many bans, and their restore.
fn a_hundred_thousand(table: &mut Table) {
    let with = |count: usize| {
        let mut scene = Scene::new(Who::Ours, Firewall::Nftables, "");
        let took = restored(&mut scene, count);
        sleep(Duration::from_secs(2));
        (took, scene.resident())
    };
    let (took, resident) = with(100_000);
    table.push(Row::alone("restore of 100,000, nftables", took, Duration::from_secs(1)));
    table.push(Row::size("memory with 100,000 bans", resident, 50 << 20));
    let (_, idle) = with(1);
    println!("a ban takes {} bytes", resident.saturating_sub(idle) / 100_000);
    // Twice as many may take a tenth more than twice as much.
    let limit = idle + resident.saturating_sub(idle) / 10 * 22;
    table.push(Row::size("            200,000", with(200_000).1, limit));
}

/// A mail that takes ten seconds beside the firewall's action, and a burst of attackers. Of the genuine one, two.
fn slow_mail(table: &mut Table) {
    let counts = [2, 200];
    let [genuine, ours] = [0, 1].map(|side| {
        let mut scene = Scene::new(SIDES[side], Firewall::Nftables, "\n         slow");
        scene.peer.write("conf/action.d/slow.conf", "[Definition]\nactionban = sleep 10\n");
        scene.peer.start();
        let lines: String = (0..counts[side]).map(|n| wrong_password(offender(n))).collect();
        let watcher = scene.watch(counts[side]);
        let began = SystemTime::now();
        scene.peer.append("auth.log", &lines);
        watcher.since(began)
    });
    let what = "200 attackers, and a mail of 10 s for each (genuine: 2)";
    let met = ours < Duration::from_secs(1);
    table.push(Row::pair(what, genuine, ours, "no ban waits for a mail", met));
}

/// Many bans that end in the same second, and a ban in another jail meanwhile.
fn expire(table: &mut Table) {
    let mut scene = Scene::new(Who::Ours, Firewall::Nftables, "");
    scene.listen();
    scene.peer.start();
    let all: Vec<Ipv4Addr> = (0..100_000).map(offender).collect();
    for part in all.chunks(5000) {
        scene.ban(part);
    }
    scene.watch(all.len()).since(SystemTime::now());
    // All are older than a second.
    sleep(Duration::from_secs(2));
    let watcher = scene.watch(0);
    let began = SystemTime::now();
    scene.peer.client(&["set", "J", "bantime", "1"]);
    let struck = scene.strike_at("other.log", 0);
    let took = watcher.since(began);
    table.push(Row::alone("unban of 100,000 that end at once, nftables", took, Duration::from_secs(2)));
    table.push(Row::alone(
        "                  a ban in another jail meanwhile",
        struck,
        Duration::from_millis(100),
    ));
}
