//! What the ban list promises, with figures of Fail2ban 1.0.2's own list.

use jiff::tz::TimeZone;
use portcullis_value::Value;
use proptest::prelude::*;

use super::*;
use crate::{MatchedLine, Ticket, Timestamp};

const NOW: f64 = 1_795_374_974.0;

fn ticket(id: &str, at: f64) -> Ticket {
    Ticket::by_hand(Id::new(id), Timestamp(at))
}

fn lasting(id: &str, at: f64, bantime: impl Into<Value>) -> Ticket {
    Ticket { bantime: Some(bantime.into()), ..ticket(id, at) }
}

fn bans() -> Bans {
    Bans::new(&Value::Int(600))
}

fn texts(tickets: Vec<Ticket>) -> Vec<String> {
    tickets.into_iter().map(|ticket| ticket.id.text().to_owned()).collect()
}

fn only_line(bans: &Bans) -> String {
    let lines = bans.with_time(&TimeZone::UTC);
    assert_eq!(lines.len(), 1);
    lines[0].clone()
}

#[test]
fn a_ban_there_is_already_ends_at_the_later_of_both_ends() {
    let mut bans = bans();
    let now = Timestamp(NOW);
    assert_eq!(bans.add(&ticket("1.1.1.1", NOW), now), Added::New { restored: false });
    let steps = [
        (ticket("1.1.1.1", NOW + 5.0), true, "605 = 2026-11-22 19:26:19"),
        (ticket("1.1.1.1", NOW - 5.0), false, "605 = 2026-11-22 19:26:19"),
        (ticket("1.1.1.1", NOW + 10.5), true, "610 = 2026-11-22 19:26:24"),
        (lasting("1.1.1.1", NOW + 2.0, 1000), true, "1002 = 2026-11-22 19:32:56"),
        (lasting("1.1.1.1", NOW + 2.0, 20), false, "1002 = 2026-11-22 19:32:56"),
        (lasting("1.1.1.1", NOW + 2.0, 1000.5), true, "1002 = 2026-11-22 19:32:56"),
        (lasting("1.1.1.1", NOW + 2.0, -1), true, "-1 = 9999-12-31 23:59:59"),
        (lasting("1.1.1.1", NOW + 20.0, 100), false, "-1 = 9999-12-31 23:59:59"),
    ];
    for (ticket, expected, end) in steps {
        let Added::AlreadyBanned { age, prolonged } = bans.add(&ticket, now) else {
            panic!("not already banned")
        };
        assert_eq!((age, prolonged), (ticket.time.0 - NOW, expected), "{end}");
        assert_eq!(only_line(&bans), format!("1.1.1.1 \t2026-11-22 19:16:14 + {end}"));
    }
    assert_eq!((bans.len(), bans.total()), (1, 1));
}

#[test]
fn a_prolonged_ban_keeps_an_integer_for_integers() {
    let mut bans = bans();
    bans.add(&ticket("1.1.1.1", NOW), Timestamp(NOW));
    bans.add(&ticket("1.1.1.1", NOW + 5.0), Timestamp(NOW));
    assert_eq!(bans.ticket(&Id::new("1.1.1.1")).unwrap().bantime, Some(Value::Int(605)));
    bans.add(&ticket("1.1.1.1", NOW + 10.5), Timestamp(NOW));
    assert_eq!(bans.ticket(&Id::new("1.1.1.1")).unwrap().bantime, Some(Value::Float(610.5)));
}

#[test]
fn a_ban_that_would_be_over_is_none() {
    let mut bans = bans();
    let added =
        [600.5, 600.0, 599.5].map(|ago| bans.add(&ticket(&ago.to_string(), NOW - ago), Timestamp(NOW)));
    let new = Added::New { restored: false };
    assert_eq!(added, [Added::Expired, new, new]);
    assert_eq!(bans.add(&lasting("a", NOW, 0), Timestamp(NOW)), new);
    assert_eq!(bans.add(&lasting("b", NOW, -7), Timestamp(NOW)), Added::Expired);
    assert_eq!(bans.add(&lasting("c", 0.0, -1), Timestamp(NOW)), new);
}

#[test]
fn a_ban_ends_after_its_last_moment_and_next_expiry_tells_it_exactly() {
    let mut bans = bans();
    for n in 0..30 {
        bans.add(&ticket(&format!("3.3.3.{n}"), NOW - f64::from(n)), Timestamp(NOW));
    }
    assert_eq!(bans.expired(Timestamp(NOW + 571.0), usize::MAX), []);
    let next = bans.next_expiry().unwrap();
    assert!(next > Timestamp(NOW + 571.0) && next < Timestamp(NOW + 571.001));
    assert_eq!(texts(bans.expired(next, usize::MAX)), ["3.3.3.29"]);
    assert_eq!(texts(bans.expired(Timestamp(NOW + 575.5), 3)), ["3.3.3.26", "3.3.3.27", "3.3.3.28"]);
    assert_eq!(texts(bans.expired(Timestamp(NOW + 575.5), 3)), ["3.3.3.25"]);
    assert_eq!(bans.expired(Timestamp(NOW + 600.0), usize::MAX).len(), 24);
    assert_eq!((bans.len(), bans.total()), (1, 30));
}

#[test]
fn lists_are_by_arrival_or_by_end_with_ties_by_arrival() {
    let mut bans = bans();
    for (id, at) in [("b", NOW), ("a", NOW), ("10.0.0.1", NOW), ("9.0.0.1", NOW - 1.0)] {
        bans.add(&ticket(id, at), Timestamp(NOW));
    }
    bans.add(&lasting("for.ever", NOW - 50.0, -1), Timestamp(NOW));
    bans.add(&lasting("brief", NOW, 1), Timestamp(NOW));
    let order: Vec<&str> = bans.ids().map(Id::text).collect();
    assert_eq!(order, ["b", "a", "10.0.0.1", "9.0.0.1", "for.ever", "brief"]);
    let order: Vec<&str> = bans.ids_by_end().into_iter().map(Id::text).collect();
    assert_eq!(order, ["brief", "9.0.0.1", "b", "a", "10.0.0.1", "for.ever"]);
}

#[test]
fn the_jails_bantime_rules_plain_bans_already_in_force() {
    let mut bans = bans();
    bans.add(&ticket("plain", NOW - 599.0), Timestamp(NOW));
    bans.add(&lasting("own", NOW, 0), Timestamp(NOW));
    bans.set_bantime(&Value::Int(-1));
    assert_eq!(bans.with_time(&TimeZone::UTC)[1], "plain \t2026-11-22 19:06:15 + -1 = 9999-12-31 23:59:59");
    assert_eq!(texts(bans.expired(Timestamp(1e12), 9)), ["own"]);
    assert_eq!(bans.next_expiry(), None);
    bans.set_bantime(&Value::Int(30));
    assert_eq!(texts(bans.expired(Timestamp(NOW), 9)), ["plain"]);
}

#[test]
fn unban_takes_the_same_identity_or_else_all_in_the_network() {
    let mut bans = bans();
    let all = ["10.0.0.0/24", "10.0.0.5", "10.0.1.0/25", "10.0.1.7", "joe", "2001:db8::/32", "2001:db8::5"];
    for id in all {
        bans.add(&ticket(id, NOW), Timestamp(NOW));
    }
    let mut unban = |id| texts(bans.unban(&Id::new(id)));
    assert_eq!(unban("10.0.0.0/24"), ["10.0.0.0/24"]);
    assert_eq!(unban("10.0.1.9"), [""; 0]);
    assert_eq!(unban("10.0.0.0/16"), ["10.0.0.5", "10.0.1.0/25", "10.0.1.7"]);
    assert_eq!(unban("jo"), [""; 0]);
    assert_eq!(unban("joe"), ["joe"]);
    assert_eq!(unban("2001:DB8:0::/16"), ["2001:db8::/32", "2001:db8::5"]);
    for id in ["1.2.3.4", "0.0.0.0/0", "1.1.1.1"] {
        bans.add(&ticket(id, NOW), Timestamp(NOW));
    }
    assert_eq!(texts(bans.unban(&Id::new("0.0.0.0/0"))), ["1.2.3.4", "0.0.0.0", "1.1.1.1"]);
}

#[test]
fn what_is_said_depends_on_the_age_of_the_ban() {
    let id = Id::new("192.0.2.1");
    let already = |age| Added::AlreadyBanned { age, prolonged: true }.line("j", &id);
    let levels = [-9.0, 0.0, 2.9, 3.0, 59.9, 60.0].map(|age| already(age).level);
    let (debug, notice, warning) = (Level::DEBUG, Level::NOTICE, Level::WARNING);
    assert_eq!(levels, [debug, debug, debug, notice, notice, warning]);
    assert_eq!(already(5.0).text, "[j] 192.0.2.1 already banned");
    let said = |added: Added| (added.line("j", &id).level, added.line("j", &id).text);
    assert_eq!(said(Added::New { restored: false }), (notice, "[j] Ban 192.0.2.1".into()));
    assert_eq!(said(Added::New { restored: true }), (notice, "[j] Restore Ban 192.0.2.1".into()));
    assert_eq!(said(Added::Expired), (Level::INFO, "[j] Ignore 192.0.2.1, expired bantime".into()));
    assert_eq!(unban_line("j", &id).text, "[j] Unban 192.0.2.1");
}

#[test]
fn beyond_the_bound_those_go_that_would_end_first() {
    let mut bans = bans().bounded(2, 0);
    for (id, bantime) in [("a", -1), ("b", -1), ("c", 50), ("d", 40)] {
        bans.add(&lasting(id, NOW, bantime), Timestamp(NOW));
    }
    assert!(bans.next_expiry().unwrap() < Timestamp(NOW));
    assert_eq!(texts(bans.expired(Timestamp(NOW), 1)), ["d"]);
    assert_eq!(texts(bans.expired(Timestamp(NOW), 9)), ["c"]);
    bans.add(&lasting("e", NOW, -1), Timestamp(NOW));
    assert_eq!(texts(bans.expired(Timestamp(NOW), 9)), ["a"]);
}

#[test]
fn beyond_the_bound_of_bytes_the_oldest_bans_lose_their_lines() {
    let mut bans = bans().bounded(100, 1000);
    for n in 0..10 {
        let line = MatchedLine { after: "x".repeat(300), ..MatchedLine::default() };
        let ticket =
            Ticket { matches: vec![line], ip: Some(Id::new("1.1.1.1")), ..ticket(&n.to_string(), NOW) };
        bans.add(&ticket, Timestamp(NOW));
    }
    let kept: Vec<usize> = bans.tickets().map(|ticket| ticket.matches.len()).collect();
    assert_eq!(kept[..6], [0; 6]);
    assert_eq!(kept[9], 1);
    assert!(bans.tickets().all(|ticket| ticket.ip.is_some()));
}

#[test]
fn what_was_put_in_comes_out() {
    let mut bans = bans();
    let line = MatchedLine { before: "a".into(), date: "b".into(), after: "c".into() };
    let full = Ticket {
        ip: Some(Id::new("192.0.2.1")),
        bancount: 3,
        failures: 7,
        matches: vec![line],
        data: [("user".to_owned(), "joe".into())].into_iter().collect(),
        restored: true,
        ..lasting("joe", NOW, 5.5)
    };
    assert_eq!(bans.add(&full, Timestamp(NOW)), Added::New { restored: true });
    assert_eq!(bans.ticket(&full.id), Some(full.clone()));
    assert!(bans.contains(&full.id) && !bans.contains(&Id::new("192.0.2.1")));
    assert_eq!(bans.flush(), [full]);
    assert!(bans.is_empty());
}

/// The list as it would be written down on paper.
#[derive(Default)]
struct Paper(Vec<(String, f64, Option<f64>)>);

impl Paper {
    fn end(&self, at: usize, bantime: i64) -> f64 {
        let (_, time, own) = &self.0[at];
        let bantime = own.unwrap_or(bantime as f64);
        if bantime == -1.0 { f64::INFINITY } else { time + bantime }
    }
}

proptest! {
    #[test]
    fn the_list_behaves_as_one_on_paper(
        steps in prop::collection::vec((0_u8..6, 0_u8..40, 0_i32..200, prop_oneof![-1_i64..60, Just(-1)]), 1..300)
    ) {
        let (mut bans, mut paper, mut bantime) = (Bans::new(&Value::Int(20)), Paper::default(), 20);
        let mut now = 0.0;
        for (what, id, number, seconds) in steps {
            let name = format!("id{id}");
            match what {
                0 => { bantime = seconds; bans.set_bantime(&Value::Int(seconds)); }
                1 => {
                    now += f64::from(number) / 8.0; // without rounding
                    let expected: Vec<String> = (0..paper.0.len())
                        .filter(|&at| now > paper.end(at, bantime))
                        .map(|at| paper.0[at].0.clone()).collect();
                    prop_assert_eq!(bans.next_expiry().is_some_and(|at| at.0 <= now), !expected.is_empty());
                    paper.0.retain(|(id, ..)| !expected.contains(id));
                    prop_assert_eq!(texts(bans.expired(Timestamp(now), usize::MAX)), expected);
                }
                2 => {
                    let before = paper.0.len();
                    paper.0.retain(|(id, ..)| *id != name);
                    prop_assert_eq!(bans.unban(&Id::raw(&name)).len(), before - paper.0.len());
                }
                _ => {
                    let own = (what < 5).then_some(seconds);
                    let time = f64::from(number - 100) + now;
                    let mut ticket = ticket(&name, time);
                    ticket.bantime = own.map(Value::Int);
                    let added = bans.add(&ticket, Timestamp(now));
                    paper.0.push((name.clone(), time, own.map(|own| own as f64)));
                    let end = paper.end(paper.0.len() - 1, bantime);
                    let old = paper.0.iter().position(|(id, ..)| *id == name).unwrap();
                    let new = old + 1 == paper.0.len();
                    if end < now || !new { paper.0.pop(); }
                    if end < now {
                        prop_assert_eq!(added, Added::Expired);
                    } else if new {
                        prop_assert_eq!(added, Added::New { restored: false });
                    } else {
                        let prolonged = end > paper.end(old, bantime);
                        if prolonged {
                            let begin = paper.0[old].1;
                            paper.0[old].2 = Some(if end.is_finite() { end - begin.min(time) } else { -1.0 });
                        }
                        let age = time - paper.0[old].1;
                        prop_assert_eq!(added, Added::AlreadyBanned { age, prolonged });
                    }
                }
            }
            let names: Vec<&str> = bans.ids().map(Id::text).collect();
            prop_assert_eq!(names, paper.0.iter().map(|(id, ..)| id.as_str()).collect::<Vec<_>>());
        }
    }
}
