//! `make bench`: the control socket of the genuine Fail2ban and of ours, in one run: `status` as users feel it, requests a second,
//! `banned` with many bans, and what a flood of questions does to a ban.

// A measurement that cannot be made ends the run, and says where.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portcullis_compliance::{Peer, Who, workspace};

/// How often `fail2ban-client status` is run.
const RUNS: usize = 15;
/// How long requests are sent.
const FLOOD: Duration = Duration::from_secs(3);
/// How many are banned when `banned` is asked.
const BANS: u32 = 100_000;
/// How often a ban is timed, in the calm and in the flood.
const STRIKES: usize = 30;
/// Connections that flood.
const CLIENTS: usize = 4;

const END: &[u8] = b"<F2B_END_COMMAND>";

fn main() {
    let sides: &[Who] = match std::env::args().nth(1).as_deref() {
        None => &[Who::Genuine, Who::Ours],
        Some("genuine") => &[Who::Genuine],
        Some("ours") => &[Who::Ours],
        Some(_) => {
            eprintln!("usage: control [genuine|ours]");
            std::process::exit(2);
        }
    };
    let disk = workspace().join("target/bench");
    std::fs::create_dir_all(&disk).unwrap();
    tempfile::env::override_temp_dir(&disk).unwrap();
    let peers: Vec<Peer> = sides.iter().map(|who| started(*who)).collect();

    eprintln!("fail2ban-client status, {RUNS} times each");
    let mut runs = vec![Vec::new(); peers.len()];
    for _ in 0..RUNS {
        for (peer, runs) in peers.iter().zip(&mut runs) {
            let mut client = client(peer);
            let begin = Instant::now();
            let output = client.output().unwrap();
            runs.push(begin.elapsed());
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains("Jail list:\tweb"), "{}: {text}", peer.who());
        }
    }
    let runs: Vec<f64> = runs.iter().map(|runs| median(runs)).collect();
    row("fail2ban-client status, median", &runs, milliseconds, &|genuine, ours| {
        (format!("30 times less: {:.0} times", genuine / ours), genuine / ours >= 30.0)
    });

    eprintln!("status over the socket, {FLOOD:?} each");
    // By one connection, either side sleeps while the other works: how fast the machine wakes them is what is measured.
    for (connections, wanted) in [(1, None), (CLIENTS, Some(10_000.0))] {
        let rates: Vec<f64> = peers.iter().map(|peer| requests_a_second(peer, connections)).collect();
        let what = format!("status requests a second, connections: {connections}");
        row(&what, &rates, |rate| format!("{rate:.0}"), &|_, ours| match wanted {
            Some(wanted) => ("10,000".into(), ours >= wanted),
            None => (String::new(), true),
        });
    }

    eprintln!("a ban in the calm and in a flood of status requests, {STRIKES} times each");
    let mut number = 0;
    let calm: Vec<f64> = peers.iter().map(|peer| median(&strikes(peer, &mut number))).collect();
    let flooded: Vec<f64> = peers.iter().map(|peer| flooded(peer, &mut number)).collect();
    row("a failure's line to its ban, calm, median", &calm, milliseconds, &|_, _| (String::new(), true));
    let ours_calm = calm.last().copied().unwrap_or_default();
    row("                    in a flood", &flooded, milliseconds, &|_, ours| {
        ("at most 2 ms more".into(), ours <= ours_calm + 0.002)
    });

    eprintln!("{BANS} bans");
    let banned: Vec<f64> = peers.iter().map(banned).collect();
    row(&format!("banned, with {BANS} bans, median"), &banned, milliseconds, &|_, ours| {
        ("under 100 ms".into(), ours < 0.1)
    });
}

/// A server with a jail that bans at the first failure, by no action.
fn started(who: Who) -> Peer {
    let mut peer = Peer::new(who).expect("the genuine Fail2ban cannot be had here");
    peer.write("conf/filter.d/fails.conf", "[Definition]\nfailregex = ^\\s*fail from <HOST>$\n");
    peer.write(
        "conf/jail.d/control.conf",
        "[web]\nenabled = true\nbackend = auto\nlogpath = @DIR@/web.log\nfilter = fails\naction =\nmaxretry = 1\nbantime = 1d\n",
    );
    peer.write("web.log", "");
    peer.start();
    peer
}

/// `fail2ban-client status`, without the shells that the harness puts before it.
fn client(peer: &Peer) -> Command {
    let mut command = match peer.who() {
        Who::Ours => Command::new(peer.path("bin/fail2ban-client")),
        Who::Genuine => {
            let root = portcullis_compliance::genuine_root().unwrap();
            let mut command = Command::new("/usr/bin/python3");
            command.arg(root.join("usr/bin/fail2ban-client"));
            command.env("PYTHONPATH", root.join("usr/lib/python3/dist-packages"));
            command
        }
    };
    let place = |option: &str, file: &str| [option.into(), peer.path(file).into_os_string()];
    command
        .args(place("-c", "conf"))
        .args(place("-s", "f2b.sock"))
        .args(place("-p", "f2b.pid"))
        .arg("status");
    command
}

/// A list of words as a pickle of protocol 0, with its terminator.
fn request(words: &[&str]) -> Vec<u8> {
    let words: String = words.iter().map(|word| format!("S'{word}'\n")).collect();
    [format!("({words}l.").as_bytes(), END].concat()
}

fn connect(peer: &Peer) -> UnixStream {
    let stream = UnixStream::connect(peer.path("f2b.sock")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    stream
}

/// The length of the answer.
fn ask(stream: &mut UnixStream, request: &[u8]) -> usize {
    stream.write_all(request).unwrap();
    let mut part = vec![0; 64 * 1024];
    let mut got = Vec::new();
    while !got.ends_with(END) {
        match stream.read(&mut part) {
            Ok(length) => {
                assert!(length > 0, "the server closed the connection");
                got.extend(&part[..length]);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => panic!("{error}"),
        }
    }
    got.len()
}

fn requests_a_second(peer: &Peer, connections: usize) -> f64 {
    let begin = Instant::now();
    let asked: u32 = std::thread::scope(|scope| {
        let client = || {
            let mut stream = connect(peer);
            let status = request(&["status"]);
            let mut asked = 0;
            while begin.elapsed() < FLOOD {
                ask(&mut stream, &status);
                asked += 1;
            }
            asked
        };
        let clients: Vec<_> = (0..connections).map(|_| scope.spawn(client)).collect();
        clients.into_iter().map(|client| client.join().expect("a client")).sum()
    });
    f64::from(asked) / begin.elapsed().as_secs_f64()
}

/// How long `banned` takes with many bans: the median of five.
fn banned(peer: &Peer) -> f64 {
    let mut stream = connect(peer);
    ask(&mut stream, &request(&["set", "loglevel", "ERROR"]));
    for chunk in (0..BANS).collect::<Vec<u32>>().chunks(5000) {
        let addresses: Vec<String> =
            chunk.iter().map(|n| format!("198.{}.{}.{}", 18 + n / 62_500, n / 250 % 250, n % 250)).collect();
        let mut words = vec!["set", "web", "banip"];
        words.extend(addresses.iter().map(String::as_str));
        ask(&mut stream, &request(&words));
    }
    let banned = request(&["banned"]);
    let times: Vec<Duration> = (0..5)
        .map(|_| {
            let begin = Instant::now();
            let length = ask(&mut stream, &banned);
            assert!(length > BANS as usize * 10, "{}: an answer of {length} bytes", peer.who());
            begin.elapsed()
        })
        .collect();
    median(&times)
}

/// Times from the write of a failure to its `Ban` in the server's log.
fn strikes(peer: &Peer, number: &mut u32) -> Vec<Duration> {
    let mut log = std::fs::File::open(peer.path("fail2ban.log")).unwrap();
    let time = || {
        *number += 1;
        let address = format!("203.{}.{}.1", *number / 250, *number % 250);
        let now = Command::new("date").arg("+%F %T").output().unwrap().stdout;
        let line = format!("{} fail from {address}\n", String::from_utf8(now).unwrap().trim());
        log.seek(SeekFrom::End(0)).unwrap();
        let ban = format!("[web] Ban {address}\n");
        let mut said = Vec::new();
        std::thread::sleep(Duration::from_millis(50 + u64::from(*number % 7) * 13));
        let begin = Instant::now();
        peer.append("web.log", &line);
        while !said.windows(ban.len()).any(|window| window == ban.as_bytes()) {
            assert!(begin.elapsed() < Duration::from_secs(20), "{}: no {ban}", peer.who());
            std::thread::sleep(Duration::from_micros(100));
            log.read_to_end(&mut said).unwrap();
        }
        begin.elapsed()
    };
    std::iter::repeat_with(time).take(STRIKES).collect()
}

/// The same while clients ask without a pause.
fn flooded(peer: &Peer, number: &mut u32) -> f64 {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut stream = connect(peer);
                let status = request(&["status", "web"]);
                while !stop.load(Ordering::Relaxed) {
                    ask(&mut stream, &status);
                }
            });
        }
        let times = strikes(peer, number);
        stop.store(true, Ordering::Relaxed);
        median(&times)
    })
}

fn median(values: &[Duration]) -> f64 {
    let mut values = values.to_vec();
    values.sort();
    values[values.len() / 2].as_secs_f64()
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.2} ms", seconds * 1000.0)
}

fn row(what: &str, values: &[f64], unit: fn(f64) -> String, wanted: &dyn Fn(f64, f64) -> (String, bool)) {
    let cells: String = values.iter().map(|value| format!("{:>14}", unit(*value))).collect();
    let verdict = match values {
        [genuine, ours] => match wanted(*genuine, *ours) {
            (text, _) if text.is_empty() => String::new(),
            (text, met) => format!("   wanted {text}, {}", if met { "met" } else { "MISSED" }),
        },
        _ => String::new(),
    };
    println!("{what:<44}{cells}{verdict}");
}
