//! Random failures and bans: who is counted how often, who is banned until when, against the genuine program's own counters.
//!
//! The genuine ones are called from Python as they are installed; every run has a new seed, which is printed.

#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::process::{Command, Stdio};

use jiff::tz::TimeZone;
use portcullis_compliance::{Comparison, Peer, Who, genuine_root};
use portcullis_jail::ban::{Added, Bans};
use portcullis_jail::failure::Data;
use portcullis_jail::tally::{Settings, Tally};
use portcullis_jail::{Failure, Id, MatchedLine, Ticket, Timestamp};
use portcullis_value::Value;
use serde_json::{Value as Json, json};

/// Reads cases from its input, answers what the genuine counters say to each.
const GENUINE: &str = r"
import json, os, sys, time
os.environ['TZ'] = 'UTC'; time.tzset()
from fail2ban.server.failmanager import FailManager
from fail2ban.server.banmanager import BanManager
from fail2ban.server.ticket import FailTicket, BanTicket
from fail2ban.server.mytime import MyTime
def tally(case):
    manager = FailManager()
    manager.setMaxRetry(case['maxretry']); manager.setMaxTime(case['findtime'])
    manager.maxMatches = case['maxmatches']
    for kind, ip, at, weight in case['events']:
        if kind == 'cleanup':
            manager.cleanup(at); yield [manager.size()]; continue
        count = manager.addFailure(FailTicket(ip, at, matches=[['', 'D', ' %s' % at]]), weight, kind == 'again')
        if count >= manager.getMaxRetry():
            t = manager.toBan(ip)
            yield ['ticket', t.getTime(), t.getAttempt(), t.getMatches()]
        else:
            yield [count, manager.size(), manager.getFailTotal()]
def bans(case):
    manager = BanManager()
    manager.setBanTime(case['bantime'])
    for kind, ip, at, own, now in case['events']:
        MyTime.setTime(now)
        if kind == 'expire':
            ended = [str(t.getID()) for t in manager.unBanList(now)]
            yield [ended, manager.size(), manager.getBanList(ordered=True, withTime=True)]
            continue
        ticket = BanTicket(ip, at)
        if own is not None: ticket.setBanTime(own)
        reason = {}
        added = manager.addBanTicket(ticket, reason)
        yield ['new' if added else 'expired' if reason.get('expired') else 'prolonged' if reason.get('prolong') else 'there']
for case in json.load(sys.stdin):
    print(json.dumps(list(globals()[case['what']](case))))
";

/// A small generator of pseudo-random numbers (xorshift64*).
struct Random(u64);

impl Random {
    /// From the clock, and said, so that a failure can be seen again: `SEED=… cargo test`.
    fn seeded() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or(now.as_nanos() as u64) | 1;
        eprintln!("SEED={seed}");
        Random(seed)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    /// A point in time; a third of them with a fraction that needs no rounding.
    fn time(&mut self, limit: u64) -> f64 {
        let whole = self.below(limit) as f64;
        if self.below(3) == 0 { whole + self.below(8) as f64 / 8.0 } else { whole }
    }
}

/// What the genuine program answers to these cases; `None` when there is none here.
fn genuine(cases: &[Json]) -> Option<Vec<Json>> {
    Peer::new(Who::Genuine)?;
    let packages = genuine_root().unwrap().join("usr/lib/python3/dist-packages");
    let mut python = Command::new("python3")
        .args(["-c", GENUINE])
        .env("PYTHONPATH", packages)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text = Json::Array(cases.to_vec()).to_string();
    let mut stdin = python.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || stdin.write_all(text.as_bytes()).unwrap());
    let output = python.wait_with_output().unwrap();
    feeder.join().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// Python's `5` and `5.0` count alike.
fn numbers_alike(value: &Json) -> String {
    match value {
        Json::Number(number) => number.as_f64().unwrap().to_string(),
        Json::Array(items) => format!("[{}]", items.iter().map(numbers_alike).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn compare(name: &str, cases: &[Json], ours: impl Fn(&Json) -> Vec<Json>) {
    let Some(genuine) = genuine(cases) else { return };
    assert_eq!(genuine.len(), cases.len());
    let mut comparison = Comparison::new(name);
    for (case, genuine) in cases.iter().zip(genuine) {
        let text = |answers: &[Json]| {
            let lines = case["events"].as_array().unwrap().iter().zip(answers);
            lines.map(|(event, answer)| format!("{event} -> {}\n", numbers_alike(answer))).collect::<String>()
        };
        let mut settings = case.clone();
        settings["events"] = Json::Null;
        if !comparison.same(&settings.to_string(), &text(genuine.as_array().unwrap()), &text(&ours(case))) {
            break; // one is enough to look at
        }
    }
    comparison.finish();
}

fn tally_case(random: &mut Random) -> Json {
    let findtime = [10.0, 600.0, 0.0, 37.5, 3600.0][random.below(5) as usize];
    let mut now = 1e9;
    let events = (0..60).map(|_| {
        let pause = if random.below(4) == 0 { 2 * findtime as u64 } else { findtime as u64 / 3 };
        now += random.time(pause + 2);
        // Some lines come late.
        let at = if random.below(6) == 0 { now - random.time(findtime as u64 + 5) } else { now };
        let id = format!("192.0.2.{}", random.below(4));
        match random.below(12) {
            0 => json!(["cleanup", id, now, 0]),
            1 => json!(["again", id, at, f64::from(1 << random.below(4))]),
            2 => json!(["fail", id, at, 1 + random.below(3)]),
            _ => json!(["fail", id, at, 1]),
        }
    });
    let events: Vec<Json> = events.collect();
    json!({
        "what": "tally", "maxretry": random.below(9), "findtime": findtime, "maxmatches": random.below(7),
        "events": events,
    })
}

fn our_tally(case: &Json) -> Vec<Json> {
    let settings = Settings {
        maxretry: case["maxretry"].as_i64().unwrap(),
        findtime: case["findtime"].as_f64().unwrap(),
        maxmatches: case["maxmatches"].as_u64().unwrap() as usize,
        ..Settings::default()
    };
    let mut tally = Tally::new(settings);
    let answer = |event: &Json| {
        let (id, at) = (Id::new(event[1].as_str().unwrap()), event[2].as_f64().unwrap());
        // As Python writes it.
        let line = format!(" {}", Value::Float(at));
        let line = MatchedLine { before: String::new(), date: "D".into(), after: line };
        let weight = event[3].as_f64().unwrap();
        let failure =
            Failure { id: id.clone(), ip: None, time: Timestamp(at), matches: vec![line], data: Data::new() };
        let ticket = match event[0].as_str().unwrap() {
            "cleanup" => {
                tally.cleanup(Timestamp(at));
                return json!([tally.currently_failed()]);
            }
            // Of somebody who is not counted, Python says 0 without a look at `maxretry`.
            "again" if tally.retry(&id).is_none() => {
                assert_eq!(tally.failed_again(failure, weight), None);
                return json!([0, tally.currently_failed(), tally.total_failed()]);
            }
            "again" => tally.failed_again(failure, weight),
            _ => tally.failed(failure, weight),
        };
        match ticket {
            Some(ticket) => {
                let lines: Vec<String> = ticket.matches.iter().map(MatchedLine::line).collect();
                json!(["ticket", ticket.time.0, ticket.failures, lines])
            }
            None => json!([tally.retry(&id), tally.currently_failed(), tally.total_failed()]),
        }
    };
    case["events"].as_array().unwrap().iter().map(answer).collect()
}

#[test]
fn failures_are_counted_as_the_genuine_program_counts_them() {
    let mut random = Random::seeded();
    let mut cases: Vec<Json> = (0..300).map(|_| tally_case(&mut random)).collect();
    // With `maxretry` 0, the genuine "not counted at all" looks like a ban to the caller.
    for case in &mut cases {
        if case["maxretry"] == 0 {
            case["events"].as_array_mut().unwrap().retain(|event| event[0] != "again");
        }
    }
    compare("tally", &cases, our_tally);
}

fn bans_case(random: &mut Random) -> Json {
    let bantime = [600, 30, -1, 5][random.below(4) as usize];
    let mut now = 1e9;
    let events = (0..60).map(|_| {
        now += random.time(20);
        let at = now - random.time(60) + random.time(20);
        let id = format!("192.0.2.{}", random.below(6));
        let own = match random.below(3) {
            0 => [json!(100), json!(7), json!(-1), json!(12.5), json!(0)][random.below(5) as usize].clone(),
            _ => Json::Null,
        };
        match random.below(4) {
            0 => json!(["expire", id, at, own, now]),
            _ => json!(["add", id, at, own, now]),
        }
    });
    let events: Vec<Json> = events.collect();
    json!({ "what": "bans", "bantime": bantime, "events": events })
}

fn our_bans(case: &Json) -> Vec<Json> {
    let mut bans = Bans::new(&Value::Int(case["bantime"].as_i64().unwrap()));
    let answer = |event: &Json| {
        let now = Timestamp(event[4].as_f64().unwrap());
        if event[0] == "expire" {
            let ended = bans.expired(now, usize::MAX);
            let ended: Vec<&str> = ended.iter().map(|ticket| ticket.id.text()).collect();
            return json!([ended, bans.len(), bans.with_time(&TimeZone::UTC)]);
        }
        let time = Timestamp(event[2].as_f64().unwrap());
        let mut ticket = Ticket::by_hand(Id::new(event[1].as_str().unwrap()), time);
        ticket.bantime = match &event[3] {
            Json::Null => None,
            own => Some(own.as_i64().map_or_else(|| Value::Float(own.as_f64().unwrap()), Value::Int)),
        };
        json!([match bans.add(&ticket, now) {
            Added::New { .. } => "new",
            Added::Expired => "expired",
            Added::AlreadyBanned { prolonged: true, .. } => "prolonged",
            Added::AlreadyBanned { prolonged: false, .. } => "there",
        }])
    };
    case["events"].as_array().unwrap().iter().map(answer).collect()
}

#[test]
fn bans_begin_last_and_end_as_the_genuine_programs() {
    let mut random = Random::seeded();
    let cases: Vec<Json> = (0..300).map(|_| bans_case(&mut random)).collect();
    compare("bans", &cases, our_bans);
}
