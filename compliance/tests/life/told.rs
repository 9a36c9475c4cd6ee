//! Commands between the lines: steps of chance, the same for both servers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use portcullis_compliance::{Peer, Random, logged, wait_for, wrong_password};
use regex::Regex;

/// What happens next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Failures in the log of a jail, from these addresses; the last one until it is banned.
    Lines { jail: &'static str, from: Vec<String>, until: String },
    /// A command of the client's.
    Command(Vec<String>),
    /// Other settings, and a reload.
    Settings(String),
    /// The server stops, and another starts.
    Again,
}

const JAILS: [&str; 3] = ["one", "two", "three"];
const ADDRESSES: [&str; 8] = [
    "192.0.2.1",
    "192.0.2.2",
    "192.0.2.3",
    "198.51.100.9",
    "198.51.100.10",
    "2001:db8::1",
    "2001:db8::2",
    "::ffff:192.0.2.1",
];

const COMMANDS: [&str; 33] = [
    "set JAIL banip IP",
    "set JAIL banip IP IP IP",
    "set JAIL banip IP",
    "set JAIL unbanip IP",
    "set JAIL unbanip IP IP",
    "set JAIL unbanip --report-absent IP",
    "unban IP",
    "unban IP IP",
    "unban --all",
    "set JAIL maxretry FEW",
    "set JAIL findtime 600",
    "set JAIL findtime 1h",
    "set JAIL bantime 1h",
    "set JAIL bantime 1d",
    "set JAIL addignoreip IP",
    "set JAIL delignoreip IP",
    "set JAIL attempt IP",
    "set JAIL attempt IP text",
    "set JAIL maxmatches FEW",
    "set JAIL dbmaxmatches FEW",
    "reload",
    "reload JAIL",
    "reload --unban JAIL",
    "reload --restart JAIL",
    "restart JAIL",
    "restart --unban JAIL",
    "restart --if-exists JAIL",
    "status JAIL",
    "status",
    "banned",
    "banned IP",
    "get JAIL banned IP",
    "get JAIL ignoreip",
];

/// So many steps.
pub(crate) fn steps(random: &mut Random, many: usize) -> Vec<Step> {
    let address = |random: &mut Random| random.pick(&ADDRESSES).to_owned();
    let restored = [
        Step::Lines { jail: "one", from: vec![ADDRESSES[0].into(); 5], until: "203.0.113.250".into() },
        Step::Command(["set", "one", "attempt", ADDRESSES[0], "text"].map(str::to_owned).to_vec()),
        Step::Settings(settings(random)),
        Step::Command(["restart", "one"].map(str::to_owned).to_vec()),
    ];
    let by_chance = (0..many).map(|at| match random.below(20) {
        0 => Step::Settings(settings(random)),
        1 => Step::Again,
        2..10 => {
            let from = (0..=random.below(8)).map(|_| address(random)).collect();
            Step::Lines { jail: random.pick(&JAILS), from, until: format!("203.0.113.{}", at + 1) }
        }
        _ => {
            let words = random.pick(&COMMANDS).split(' ').map(|word| match word {
                "JAIL" => random.pick(&JAILS).to_owned(),
                "IP" => address(random),
                "FEW" => (1 + random.below(5)).to_string(),
                word => word.to_owned(),
            });
            Step::Command(words.collect())
        }
    });
    restored.into_iter().chain(by_chance).collect()
}

/// The text of `jail.local`: the three jails, each with options of its own.
pub(crate) fn settings(random: &mut Random) -> String {
    let mut text = String::from("[DEFAULT]\nignoreself = false\nusedns = no\nbackend = auto\n");
    for jail in JAILS {
        let _ = write!(
            text,
            "[{jail}]\nenabled = true\nfilter =\nfailregex = ^\\s*gate dropbear\\[\\d+\\]: Bad password attempt for '<F-USER>\\S+</F-USER>' from \\[?<ADDR>\\]?:\\d+$\nlogpath = @DIR@/{jail}.log\nmaxretry = {}\nfindtime = 1h\nbantime = {}\nbantime.increment = {}\naction = told[name={jail}]\n",
            1 + random.below(5),
            random.pick(&["1h", "1d", "-1"]),
            random.pick(&["false", "false", "true"]),
        );
    }
    text
}

/// What the commands answered, and all that is known at the end; without times.
pub(crate) fn live(peer: &mut Peer, settings: &str, steps: &[Step]) -> BTreeMap<String, String> {
    peer.write("conf/action.d/told.conf", super::TOLD);
    peer.write("conf/jail.local", settings);
    for jail in JAILS {
        peer.write(&format!("{jail}.log"), &logged("gate opened"));
    }
    peer.start();
    std::thread::sleep(Duration::from_secs(2));
    let mut known = BTreeMap::new();
    for (at, step) in steps.iter().enumerate() {
        let answer = match step {
            Step::Lines { jail, from, until } => {
                let lines: String = from
                    .iter()
                    .map(String::as_str)
                    .chain(std::iter::repeat_n(until.as_str(), 10))
                    .map(wrong_password)
                    .collect();
                peer.append(&format!("{jail}.log"), &lines);
                let banned = format!("[{jail}] Ban {until}");
                let came = wait_for(Duration::from_secs(30), || peer.log().contains(&banned).then_some(()));
                assert!(came.is_some(), "step {at}: not `{banned}`:\n{}", peer.log());
                String::new()
            }
            Step::Command(words) => {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                peer.client(&words).masked().to_string()
            }
            Step::Settings(settings) => {
                peer.write("conf/jail.local", settings);
                peer.client(&["reload"]).masked().to_string()
            }
            Step::Again => {
                let said = peer.stop();
                peer.start();
                std::thread::sleep(Duration::from_secs(2));
                said.masked().to_string()
            }
        };
        known.insert(format!("{at:3} {step:?}"), answer);
        // What is done behind an answer is done within a second. A ban by hand has its fraction of one, lines have none.
        let by_hand = matches!(step, Step::Command(words) if words.iter().any(|word| word == "banip"));
        std::thread::sleep(Duration::from_millis(if by_hand { 2200 } else { 1200 }));
    }
    known.extend(super::at_the_end(peer, JAILS.into_iter()));
    // The two do not write their lines in the same second.
    let moment = Regex::new(
        r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\b1[78]\d{8}(?:\.\d+)?",
    )
    .unwrap();
    for text in known.values_mut() {
        // `already banned` is worth a line from the third second on.
        let lines = text.lines().filter(|line| !line.ends_with(" already banned"));
        let kept: String = lines.flat_map(|line| [line, "\n"]).collect();
        *text = moment.replace_all(&kept, "TIME").into_owned();
    }
    known
}
