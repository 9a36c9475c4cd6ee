//! The sequences of commands that Fail2ban 1.0.2 was seen to run in the same situations, and where ours differ on purpose.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use portcullis_jail::action::{Action, Counters, Facts, Past, Script};
use portcullis_jail::{Id, Level, LogLine, Ticket, Timestamp};
use portcullis_value::Value;

use super::{Actions, Executor, Outcome};
use crate::act::shell::{Exit, Status};

/// A world in which commands fail by name; it writes down what was run and said.
#[derive(Default)]
struct World {
    failing: BTreeSet<&'static str>,
    seen: Vec<String>,
}

impl Executor for World {
    fn run(&mut self, script: &Script, _: Duration) -> Exit {
        let text = script.text.trim().to_owned();
        let fails = self.failing.iter().any(|word| text.split(' ').any(|part| part == *word));
        if text.contains("MEND") {
            self.failing.remove("check");
        }
        self.seen.push(text);
        let status = Status::Exited(i32::from(fails));
        Exit { status, timed_out: false, stdout: Vec::new(), stderr: Vec::new(), lines: Vec::new() }
    }

    fn log(&mut self, line: LogLine) {
        if line.level >= Level::INFO {
            let text = match (line.text.find(" info '"), line.text.rfind("})': ")) {
                (Some(from), Some(to)) => format!("{}: {}", &line.text[..from], &line.text[to + 5..]),
                _ => line.text,
            };
            self.seen.push(format!("# {text}"));
        }
    }
}

#[derive(Default)]
struct Jail {
    now: Cell<f64>,
}

impl Facts for Jail {
    fn jail(&self) -> String {
        "J".into()
    }
    fn now(&self) -> Timestamp {
        Timestamp(self.now.get())
    }
    fn bantime(&self) -> Value {
        Value::Int(600)
    }
    fn counters(&self) -> Counters {
        Counters::default()
    }
    fn host_of(&self, _: &Id) -> Option<String> {
        None
    }
    fn past(&self, _: &Id, _: bool) -> Past {
        Past::default()
    }
    fn own_host(&self, _: bool) -> String {
        "vm".into()
    }
}

struct Case {
    actions: Actions,
    world: World,
    jail: Jail,
    banned: Vec<Arc<Ticket>>,
}

const OPERATIONS: [&str; 6] = ["start", "stop", "check", "ban", "unban", "flush"];

/// The action of the observations: every operation says its name, the family, and the address.
fn action(name: &str, without: &[&str], with: &[(&str, &str)]) -> Action {
    let mut action = Action::new(name);
    for operation in OPERATIONS.iter().filter(|operation| !without.contains(operation)) {
        action.set(&format!("action{operation}"), format!("{operation} <family> <ip>").into());
    }
    for (property, value) in with {
        action.set(property, (*value).into());
    }
    action
}

const FAMILIES: (&str, &str) = ("v?family=inet6", "6");

impl Case {
    fn of(actions: Vec<Action>) -> Self {
        let mut all = Actions::new("J");
        for action in actions {
            assert!(all.add(action));
        }
        Case { actions: all, world: World::default(), jail: Jail::default(), banned: Vec::new() }
    }

    fn one(action: Action) -> Self {
        Self::of(vec![action])
    }

    fn start(mut self) -> Self {
        self.actions.start(&mut self.world, &self.jail);
        self
    }

    fn fail(&mut self, words: &[&'static str]) {
        self.world.failing = words.iter().copied().collect();
    }

    fn ban(&mut self, id: &str) -> Vec<Outcome> {
        let ticket = Arc::new(Ticket::by_hand(Id::new(id), Timestamp(1.0)));
        self.banned.push(Arc::clone(&ticket));
        self.actions.ban(&ticket, &mut self.world, &self.jail)
    }

    fn unban(&mut self, id: &str) -> Vec<Outcome> {
        let index = self.banned.iter().position(|ticket| ticket.id.text() == id).unwrap();
        let ticket = self.banned.remove(index);
        self.actions.unban(&ticket, &mut self.world, &self.jail)
    }

    fn end(&mut self) {
        self.actions.flush(&std::mem::take(&mut self.banned), &mut self.world, &self.jail);
        self.actions.stop(&mut self.world, &self.jail);
    }

    fn seen(&mut self) -> Vec<String> {
        std::mem::take(&mut self.world.seen)
    }
}

#[track_caller]
fn assert_seen(case: &mut Case, expected: &str) {
    let seen = case.seen().join("\n");
    let expected: Vec<_> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(seen, expected.join("\n"));
}

#[test]
fn an_action_with_families_starts_with_the_first_ban_of_each() {
    let mut case = Case::one(action("t", &[], &[FAMILIES])).start();
    for id in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
        assert_eq!(case.ban(id), [Outcome::Done]);
    }
    case.unban("192.0.2.1");
    case.end();
    assert_seen(
        &mut case,
        "start inet4
        ban inet4 192.0.2.1
        ban inet4 192.0.2.2
        start inet6
        ban inet6 2001:db8::1
        unban inet4 192.0.2.1
        # [J] Flush ticket(s) with t
        flush inet4
        flush inet6
        # [J] Unban 192.0.2.2
        # [J] Unban 2001:db8::1
        stop inet4
        stop inet6",
    );
}

#[test]
fn an_action_without_families_starts_with_the_jail_and_stops_for_all() {
    let mut case = Case::one(action("t", &[], &[])).start();
    case.ban("192.0.2.1");
    case.ban("2001:db8::1");
    case.end();
    assert_seen(
        &mut case,
        "start
        ban inet4 192.0.2.1
        ban inet6 2001:db8::1
        # [J] Flush ticket(s) with t
        flush inet4
        flush inet6
        # [J] Unban 192.0.2.1
        # [J] Unban 2001:db8::1
        stop
        stop inet4
        stop inet6",
    );
}

#[test]
fn the_same_stop_and_flush_are_run_once() {
    let mut case = Case::one(action("t", &[], &[("actionstop", "stop"), ("actionflush", "flush")])).start();
    case.ban("192.0.2.1");
    case.ban("2001:db8::1");
    case.seen();
    case.end();
    assert_seen(
        &mut case,
        "# [J] Flush ticket(s) with t
        flush
        # [J] Unban 192.0.2.1
        # [J] Unban 2001:db8::1
        stop",
    );
}

#[test]
fn what_is_no_address_is_started_as_ipv4_where_families_differ() {
    let mut case = Case::one(action("t", &[], &[FAMILIES])).start();
    case.ban("garbage");
    case.unban("garbage");
    case.ban("192.0.2.1");
    case.end();
    assert_seen(
        &mut case,
        "start inet4
        ban None garbage
        unban None garbage
        ban inet4 192.0.2.1
        # [J] Flush ticket(s) with t
        flush inet4
        flush None
        # [J] Unban 192.0.2.1
        stop inet4
        stop None",
    );
}

#[test]
fn a_failed_ban_is_checked_and_tried_once_more() {
    let mut case = Case::one(action("t", &[], &[])).start();
    case.fail(&["ban"]);
    assert!(matches!(case.ban("192.0.2.2")[..], [Outcome::Failed(_)]));
    assert_seen(
        &mut case,
        "start
        ban inet4 192.0.2.2
        check inet4 <ip>
        ban inet4 192.0.2.2
        # Failed to execute ban jail 'J' action 't': Error banning 192.0.2.2",
    );
    let failed: Vec<_> =
        case.actions.get("t").unwrap().failed().map(|(ticket, _)| ticket.id.text().to_owned()).collect();
    assert_eq!(failed, ["192.0.2.2"]);
}

#[test]
fn without_a_check_a_failed_command_is_not_run_twice() {
    let mut case = Case::one(action("t", &["check"], &[])).start();
    case.fail(&["ban"]);
    case.ban("192.0.2.2");
    assert_seen(
        &mut case,
        "start
        ban inet4 192.0.2.2
        # Failed to execute ban jail 'J' action 't': Error banning 192.0.2.2",
    );
}

#[test]
fn a_repair_applies_the_older_bans_again() {
    let mut case = Case::one(action("t", &[], &[("actionrepair", "MEND <family>")])).start();
    case.ban("192.0.2.1");
    case.ban("2001:db8::1");
    case.fail(&["ban", "check"]);
    // The ban fails until the environment has been mended.
    let ticket = Arc::new(Ticket::by_hand(Id::new("192.0.2.2"), Timestamp(1.0)));
    case.seen();
    struct Mended<'a>(&'a mut World);
    impl Executor for Mended<'_> {
        fn run(&mut self, script: &Script, timeout: Duration) -> Exit {
            let exit = self.0.run(script, timeout);
            if !self.0.failing.contains("check") {
                self.0.failing.clear();
            }
            exit
        }
        fn log(&mut self, line: LogLine) {
            self.0.log(line);
        }
    }
    assert_eq!(case.actions.ban(&ticket, &mut Mended(&mut case.world), &case.jail), [Outcome::Done]);
    assert_seen(
        &mut case,
        "ban inet4 192.0.2.2
        check inet4 <ip>
        # Invariant check failed. Trying to restore a sane environment
        MEND inet4
        check inet4 <ip>
        ban inet4 192.0.2.2
        # [J] Reban 192.0.2.1, action 't'
        ban inet4 192.0.2.1
        # [J] Reban 2001:db8::1, action 't'
        ban inet6 2001:db8::1",
    );
    assert_eq!(case.actions.get("t").unwrap().action().epoch(), 1);
    case.end();
    assert_seen(
        &mut case,
        "# [J] Flush ticket(s) with t
        flush inet4
        flush inet6
        # [J] Unban 192.0.2.1
        # [J] Unban 2001:db8::1
        stop
        stop inet4
        stop inet6",
    );
}

#[test]
fn an_environment_that_cannot_be_restored_is_said_and_started_again_with_the_next_ban() {
    let mut case = Case::one(action("t", &[], &[FAMILIES])).start();
    case.ban("192.0.2.1");
    case.fail(&["ban", "check"]);
    case.ban("192.0.2.2");
    case.fail(&["ban", "check", "start"]);
    case.ban("192.0.2.3");
    case.fail(&[]);
    assert_eq!(case.ban("192.0.2.4"), [Outcome::Done]);
    assert_seen(
        &mut case,
        "start inet4
        ban inet4 192.0.2.1
        ban inet4 192.0.2.2
        check inet4 <ip>
        # Invariant check failed. Trying to restore a sane environment
        stop inet4
        start inet4
        check inet4 <ip>
        # Unable to restore environment
        # Failed to execute ban jail 'J' action 't': Error banning 192.0.2.2
        start inet4
        # Failed to execute ban jail 'J' action 't': Error starting action Jail('J')/t: 'Script error'
        start inet4
        ban inet4 192.0.2.4
        # [J] Reban 192.0.2.1, action 't'
        ban inet4 192.0.2.1
        # [J] Reban 192.0.2.2, action 't'
        ban inet4 192.0.2.2
        # [J] Reban 192.0.2.3, action 't'
        ban inet4 192.0.2.3",
    );
}

#[test]
fn a_start_that_fails_during_a_repair_is_what_is_said() {
    let mut case = Case::one(action("t", &[], &[])).start();
    case.ban("192.0.2.1");
    case.fail(&["ban", "check", "start"]);
    case.seen();
    case.ban("192.0.2.2");
    assert_seen(
        &mut case,
        "ban inet4 192.0.2.2
        check inet4 <ip>
        # Invariant check failed. Trying to restore a sane environment
        stop inet4
        start inet4
        # Failed to execute ban jail 'J' action 't': Error starting action Jail('J')/t: 'Script error'",
    );
}

#[test]
fn a_failed_unban_does_not_repair_unless_told() {
    let mut case = Case::one(action("t", &["flush"], &[])).start();
    case.ban("192.0.2.1");
    case.ban("192.0.2.2");
    case.fail(&["unban", "check"]);
    case.seen();
    case.unban("192.0.2.1");
    assert_seen(
        &mut case,
        "unban inet4 192.0.2.1
        check inet4 <ip>
        # Invariant check failed. Unban is impossible.
        # Failed to execute unban jail 'J' action 't': Error unbanning 192.0.2.1",
    );
    let wanted = [("actionrepair", "MEND <family>"), ("actionrepair_on_unban", "1")];
    let mut case = Case::one(action("t", &["flush"], &wanted)).start();
    case.ban("192.0.2.1");
    case.ban("192.0.2.2");
    case.fail(&["unban", "check"]);
    case.seen();
    case.unban("192.0.2.1");
    assert_seen(
        &mut case,
        "unban inet4 192.0.2.1
        check inet4 <ip>
        # Invariant check failed. Trying to restore a sane environment
        MEND inet4
        check inet4 <ip>
        unban inet4 192.0.2.1
        # [J] Reban 192.0.2.2, action 't'
        ban inet4 192.0.2.2
        # Failed to execute unban jail 'J' action 't': Error unbanning 192.0.2.1",
    );
}

#[test]
fn a_failed_flush_falls_back_to_single_unbans() {
    let mut case = Case::one(action("t", &[], &[FAMILIES])).start();
    for id in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
        case.ban(id);
    }
    case.fail(&["flush"]);
    case.seen();
    case.end();
    assert_seen(
        &mut case,
        "# [J] Flush ticket(s) with t
        flush inet4
        flush inet6
        # Failed to flush bans in jail 'J' action 't': Error flushing action Jail('J')/t: 'Script error'
        # No flush occurred, do consistency check
        check inet4 <ip>
        check inet6 <ip>
        unban inet4 192.0.2.1
        unban inet4 192.0.2.2
        unban inet6 2001:db8::1
        # [J] Unban 192.0.2.1
        # [J] Unban 192.0.2.2
        # [J] Unban 2001:db8::1
        stop inet4
        stop inet6",
    );
}

#[test]
fn a_flush_in_a_broken_environment_is_impossible() {
    let mut case = Case::one(action("t", &[], &[])).start();
    case.ban("192.0.2.1");
    case.fail(&["flush", "check"]);
    case.seen();
    case.end();
    assert_seen(
        &mut case,
        "# [J] Flush ticket(s) with t
        flush inet4
        # Failed to flush bans in jail 'J' action 't': Error flushing action Jail('J')/t: 'Script error'
        # No flush occurred, do consistency check
        check <family> <ip>
        # Invariant check failed. Flush is impossible.
        check inet4 <ip>
        # Invariant check failed. Flush is impossible.
        # [J] Unban 192.0.2.1
        stop
        stop inet4",
    );
}

#[test]
fn actions_go_forward_for_bans_and_backward_for_the_end() {
    let mut case = Case::of(vec![
        action("t", &["flush"], &[]),
        action("s", &[], &[("actionban", "B ban <ip>"), ("actionstop", "B stop")]),
    ])
    .start();
    case.ban("192.0.2.1");
    case.ban("192.0.2.2");
    case.end();
    assert_seen(
        &mut case,
        "start
        start
        ban inet4 192.0.2.1
        B ban 192.0.2.1
        ban inet4 192.0.2.2
        B ban 192.0.2.2
        # [J] Flush ticket(s) with s
        flush inet4
        # [J] Unban 192.0.2.1
        unban inet4 192.0.2.1
        # [J] Unban 192.0.2.2
        unban inet4 192.0.2.2
        B stop
        stop
        stop inet4",
    );
}

#[test]
fn one_failed_action_does_not_keep_the_next_from_banning() {
    let mut case =
        Case::of(vec![action("t", &["check"], &[]), action("s", &[], &[("actionban", "B <ip>")])]).start();
    case.fail(&["ban"]);
    let outcomes = case.ban("192.0.2.1");
    assert!(!outcomes[0].is_done() && outcomes[1].is_done());
}

#[test]
fn a_start_that_failed_with_the_jail_is_tried_again_but_not_at_every_ban() {
    let mut case = Case::one(action("t", &[], &[]));
    case.fail(&["start"]);
    let mut case = case.start();
    case.ban("192.0.2.1");
    case.jail.now.set(20.0);
    case.ban("192.0.2.2");
    case.ban("192.0.2.3");
    case.fail(&[]);
    case.jail.now.set(40.0);
    case.ban("192.0.2.4");
    case.ban("192.0.2.5");
    assert_seen(
        &mut case,
        "start
        # Failed to start jail 'J' action 't': Error starting action Jail('J')/t: 'Script error'
        ban inet4 192.0.2.1
        start
        ban inet4 192.0.2.2
        ban inet4 192.0.2.3
        start
        ban inet4 192.0.2.4
        ban inet4 192.0.2.5",
    );
}

#[test]
fn restored_bans_are_not_the_business_of_norestored() {
    let mut case =
        Case::one(action("t", &[], &[("norestored", "1"), ("actionprolong", "prolong <ip>")])).start();
    case.seen();
    let restored =
        Arc::new(Ticket { restored: true, ..Ticket::by_hand(Id::new("192.0.2.1"), Timestamp(1.0)) });
    assert_eq!(case.actions.ban(&restored, &mut case.world, &case.jail), [Outcome::Done]);
    case.actions.prolong(&restored, &mut case.world, &case.jail);
    case.actions.unban(&restored, &mut case.world, &case.jail);
    assert_seen(&mut case, "");
    case.ban("192.0.2.2");
    let other = Arc::clone(&case.banned[0]);
    case.actions.prolong(&other, &mut case.world, &case.jail);
    assert_seen(&mut case, "ban inet4 192.0.2.2\nprolong 192.0.2.2");
}

#[test]
fn nobody_is_unbanned_who_was_never_banned_with_success() {
    let mut case = Case::one(action("t", &["flush", "check"], &[FAMILIES])).start();
    case.fail(&["start"]);
    case.ban("192.0.2.1");
    case.seen();
    case.end();
    assert_seen(&mut case, "# [J] Unban 192.0.2.1");
}

#[test]
fn whoever_shows_up_again_has_all_environments_checked() {
    let mut case = Case::one(action("t", &[], &[("actionrepair", "MEND <family>")])).start();
    case.ban("192.0.2.1");
    case.ban("2001:db8::1");
    case.fail(&["check"]);
    case.seen();
    case.actions.check(&mut case.world, &case.jail);
    assert_seen(
        &mut case,
        "check <family> <ip>
        # Invariant check failed. Trying to restore a sane environment
        MEND <family>
        check <family> <ip>
        # [J] Reban 192.0.2.1, action 't'
        ban inet4 192.0.2.1
        # [J] Reban 2001:db8::1, action 't'
        ban inet6 2001:db8::1
        check inet4 <ip>
        check inet6 <ip>",
    );
}

#[test]
fn a_repair_of_one_family_looks_at_the_other() {
    let mut case = Case::one(action("t", &[], &[FAMILIES, ("actionstart", "start MEND <family>")])).start();
    case.ban("192.0.2.1");
    case.ban("2001:db8::1");
    case.fail(&["ban", "check"]);
    case.seen();
    case.ban("2001:db8::2");
    let seen = case.seen();
    let at = |text: &str| {
        seen.iter().position(|line| line == text).unwrap_or_else(|| panic!("{text} in {seen:#?}"))
    };
    assert!(at("# [J] Reban 2001:db8::1, action 't'") < at("check inet4 <ip>"));
}

#[test]
fn a_repair_that_does_not_help_does_not_try_every_ban() {
    let mut case = Case::one(action("t", &[], &[("actionrepair", "MEND")])).start();
    for host in 1..=20 {
        case.ban(&format!("192.0.2.{host}"));
    }
    case.fail(&["ban", "check"]);
    case.seen();
    case.ban("192.0.2.99");
    assert_eq!(case.seen().iter().filter(|line| line.starts_with("ban ")).count(), 2 + 3);
    assert_eq!(case.actions.get("t").unwrap().failed().count(), 21);
}

#[test]
fn a_removed_action_lifts_its_bans_and_stops() {
    let mut case = Case::of(vec![action("t", &["flush"], &[]), action("s", &[], &[])]).start();
    case.ban("192.0.2.1");
    case.seen();
    let banned = case.banned.clone();
    assert!(case.actions.remove("t", &banned, &mut case.world, &case.jail));
    assert!(!case.actions.remove("t", &banned, &mut case.world, &case.jail));
    assert_seen(
        &mut case,
        "unban inet4 192.0.2.1
        stop
        stop inet4",
    );
    assert_eq!(case.actions.iter().count(), 1);
}

#[test]
fn a_reload_is_told_to_every_family() {
    let mut case = Case::one(action("t", &[], &[("actionreload", "reload <family>")])).start();
    case.ban("192.0.2.1");
    case.seen();
    let runner = case.actions.get_mut("t").unwrap();
    assert_eq!(runner.reload(&mut case.world, &case.jail), Outcome::Done);
    case.fail(&["reload"]);
    let runner = case.actions.get_mut("t").unwrap();
    let failed = Outcome::Failed("Error reloading action Jail('J')/t: 'Script error'".into());
    assert_eq!(runner.reload(&mut case.world, &case.jail), failed);
}

/// A firewall with a chain for each family, as the stock actions treat one.
#[derive(Default)]
struct Firewall {
    chains: std::collections::BTreeMap<String, BTreeSet<String>>,
    /// Nothing works.
    down: bool,
}

impl Executor for Firewall {
    fn run(&mut self, script: &Script, _: Duration) -> Exit {
        let words: Vec<_> = script.text.split_whitespace().collect();
        let chain = words.get(1).and_then(|family| self.chains.get_mut(*family));
        let success = !self.down
            && match (words[0], chain) {
                ("start", _) => {
                    self.chains.entry(words[1].to_owned()).or_default();
                    true
                }
                ("stop", _) => self.chains.remove(words[1]).is_some(),
                (_, None) => false,
                ("check", _) => true,
                ("ban", Some(chain)) => {
                    chain.insert(words[2].to_owned());
                    true
                }
                ("unban", Some(chain)) => chain.remove(words[2]),
                ("flush", Some(chain)) => {
                    chain.clear();
                    true
                }
                _ => panic!("{}", script.text),
            };
        let status = Status::Exited(i32::from(!success));
        Exit { status, timed_out: false, stdout: Vec::new(), stderr: Vec::new(), lines: Vec::new() }
    }

    fn log(&mut self, _: LogLine) {}
}

#[derive(Clone, Debug)]
enum Event {
    Ban(u8),
    Unban(u8),
    Check,
    /// Somebody removes a chain.
    Remove(bool),
    /// Somebody empties nothing, but nothing works for a while.
    Down(bool),
}

fn event() -> impl proptest::strategy::Strategy<Value = Event> {
    use proptest::prelude::*;
    prop_oneof![
        4 => (0..12u8).prop_map(Event::Ban),
        2 => (0..12u8).prop_map(Event::Unban),
        1 => Just(Event::Check),
        2 => any::<bool>().prop_map(Event::Remove),
        1 => any::<bool>().prop_map(Event::Down),
    ]
}

fn address(host: u8) -> Id {
    Id::new(&if host.is_multiple_of(2) { format!("192.0.2.{host}") } else { format!("2001:db8::{host:x}") })
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_happens_a_check_brings_all_bans_back_and_the_end_leaves_none(
        events in proptest::collection::vec(event(), 0..60),
        flushes: bool,
        families: bool,
    ) {
        let without: &[&str] = if flushes { &[] } else { &["flush"] };
        let mut own = action("t", without, if families { &[FAMILIES] } else { &[] });
        for operation in OPERATIONS.iter().filter(|operation| !families && !without.contains(operation)) {
            // One chain for all addresses.
            own.set(&format!("action{operation}"), format!("{operation} all <ip>").into());
        }
        let mut actions = Actions::new("J");
        actions.add(own);
        actions.start(&mut Firewall::default(), &Jail::default());
        let (mut firewall, jail) = (Firewall::default(), Jail::default());
        if !families {
            firewall.chains.insert("all".into(), BTreeSet::new());
        }
        let mut banned: indexmap::IndexMap<Id, Arc<Ticket>> = indexmap::IndexMap::new();
        for event in events {
            match event {
                Event::Ban(host) if !banned.contains_key(&address(host)) => {
                    let ticket = Arc::new(Ticket::by_hand(address(host), Timestamp(1.0)));
                    banned.insert(ticket.id.clone(), Arc::clone(&ticket));
                    let done = actions.ban(&ticket, &mut firewall, &jail)[0].is_done();
                    proptest::prop_assert_eq!(done, !firewall.down, "a ban is told as it is");
                    if done {
                        // With the new ban, all of its family are in force that are not known to have failed.
                        let family = ticket.id.family().unwrap();
                        let failed: Vec<_> = actions.get("t").unwrap().failed().map(|(ticket, _)| ticket).collect();
                        let own = banned.values().filter(|ticket| !failed.contains(ticket)).map(|ticket| &ticket.id);
                        let own = own.filter(|id| !families || id.family() == Some(family));
                        let own: BTreeSet<_> = own.map(|id| id.text().to_owned()).collect();
                        let chain = firewall.chains.get(if families { family.name() } else { "all" }).cloned().unwrap_or_default();
                        proptest::prop_assert!(chain.is_superset(&own), "{:?} of {:?}", chain, own);
                    }
                }
                Event::Unban(host) => {
                    if let Some(ticket) = banned.shift_remove(&address(host)) {
                        actions.unban(&ticket, &mut firewall, &jail);
                    }
                }
                Event::Check => actions.check(&mut firewall, &jail),
                Event::Remove(first) => {
                    let name = if first { "inet4" } else { "inet6" };
                    firewall.chains.remove(if families { name } else { "all" });
                }
                Event::Down(down) => firewall.down = down,
                Event::Ban(_) => {}
            }
        }
        firewall.down = false;
        actions.check(&mut firewall, &jail);
        // What failed for want of a start is tried again by whoever drives this.
        let failed: Vec<_> = actions.get("t").unwrap().failed().map(|(ticket, _)| Arc::clone(ticket)).collect();
        for ticket in failed {
            let runner = actions.get_mut("t").unwrap();
            proptest::prop_assert!(runner.reban(&ticket, &mut firewall, &jail).is_done());
        }
        let wanted: BTreeSet<_> = banned.keys().map(|id| id.text().to_owned()).collect();
        let kept: BTreeSet<_> = firewall.chains.values().flatten().cloned().collect();
        proptest::prop_assert!(kept.is_superset(&wanted), "{:?} of {:?}", kept, wanted);
        let tickets: Vec<_> = banned.into_values().collect();
        actions.flush(&tickets, &mut firewall, &jail);
        actions.stop(&mut firewall, &jail);
        proptest::prop_assert!(firewall.chains.is_empty(), "{:?} is left", firewall.chains);
    }
}
