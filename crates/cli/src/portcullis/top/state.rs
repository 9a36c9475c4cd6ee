//! What the screen shows, and what keys do to it. No terminal is needed for that.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use portcullis_value::Value;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::widgets::TableState;

use super::asking::{Question, Snapshot, Told};
use crate::portcullis::answer::{items, list, number, seconds, text};
use crate::portcullis::human::now;

/// Rates are of the last minute.
const MINUTE: Duration = Duration::from_secs(60);
/// So many snapshots are remembered for the rates at most.
const REMEMBERED: usize = 400;
/// So many events are remembered for the screen.
const EVENTS: usize = 200;
/// How long a line about what was done stays.
const SAID: Duration = Duration::from_secs(8);
/// So many lines go by at once.
const PAGE: usize = 10;

/// What lies over the screen.
#[derive(Debug)]
pub(super) enum Over {
    Nothing,
    Help,
    /// Shall this ban be lifted?
    Confirm {
        address: String,
        jail: String,
    },
    /// Everything about an address, scrolled by so many lines; `None` until it has come.
    About {
        address: String,
        known: Option<Value>,
        scroll: u16,
    },
}

/// What a key asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Do {
    Nothing,
    Ask(Question),
    Quit,
}

/// A ban in the list.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) jail: String,
    pub(super) ban: Value,
}

/// Failures and bans of a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rate {
    pub(super) failures: f64,
    pub(super) bans: f64,
}

/// Counters of a jail at some moment.
#[derive(Clone, Copy)]
struct Counted {
    failures: i64,
    bans: i64,
}

pub(super) struct State {
    pub(super) report: Value,
    pub(super) rows: Vec<Row>,
    /// The networks of all jails, those with the most bans first.
    pub(super) networks: Vec<(String, i64)>,
    pub(super) events: VecDeque<Value>,
    /// The jail whose bans are shown; all of them without one.
    pub(super) jail: Option<String>,
    pub(super) chosen: TableState,
    pub(super) over: Over,
    /// Why the server does not answer.
    pub(super) trouble: Option<String>,
    said: Option<(Instant, String)>,
    history: VecDeque<(Instant, HashMap<String, Counted>)>,
}

impl State {
    pub(super) fn new(first: Snapshot) -> Self {
        let mut state = State {
            report: Value::None,
            rows: Vec::new(),
            networks: Vec::new(),
            events: VecDeque::new(),
            jail: None,
            chosen: TableState::default(),
            over: Over::Nothing,
            trouble: None,
            said: None,
            history: VecDeque::new(),
        };
        state.take(first);
        state
    }

    /// Takes what the server has told.
    pub(super) fn hear(&mut self, told: Told) {
        match told {
            Told::Snapshot(snapshot) => self.take(*snapshot),
            Told::Done(text) => self.said = Some((Instant::now(), text)),
            Told::Failed(why) => self.trouble = Some(why),
            Told::About(of, about) => {
                if let Over::About { address, known, .. } = &mut self.over
                    && *address == of
                {
                    *known = Some(about);
                }
            }
        }
    }

    fn take(&mut self, snapshot: Snapshot) {
        self.trouble = None;
        // Another run of the server counts from the beginning.
        if seconds(&self.report, "started") != seconds(&snapshot.report, "started") {
            self.history.clear();
        }
        self.report = snapshot.report;
        self.remember(snapshot.taken);
        for event in snapshot.events {
            self.events.push_back(event);
        }
        self.events.drain(..self.events.len().saturating_sub(EVENTS));
        let chosen = self.choice().map(|row| (row.jail.clone(), text(&row.ban, "address").to_owned()));
        self.rows = rows(&snapshot.bans);
        self.networks = networks(&snapshot.bans);
        if self.jail.as_ref().is_some_and(|jail| !self.jails().contains(&jail.as_str())) {
            self.jail = None;
        }
        // Whom somebody looks at stays chosen, wherever it is now.
        if let Some((jail, address)) = chosen {
            let same = |row: &&Row| row.jail == jail && text(&row.ban, "address") == address;
            let place = self.shown().iter().position(same);
            self.choose(place.or(self.chosen.selected()));
        }
    }

    fn remember(&mut self, taken: Instant) {
        let counted = list(&self.report, "jails").iter().map(|jail| {
            let counted =
                Counted { failures: number(jail, "total_failed"), bans: number(jail, "total_banned") };
            (text(jail, "name").to_owned(), counted)
        });
        self.history.push_back((taken, counted.collect()));
        while self.history.len() > REMEMBERED
            || self.history.front().is_some_and(|(at, _)| taken.duration_since(*at) > MINUTE)
                && self.history.len() > 2
        {
            self.history.pop_front();
        }
    }

    /// How many failures and bans a jail had in the last minute; of a shorter time, as many as it would make.
    pub(super) fn rate(&self, jail: &str) -> Rate {
        let (Some((first, before)), Some((last, after))) = (self.history.front(), self.history.back()) else {
            return Rate::default();
        };
        let (Some(before), Some(after)) = (before.get(jail), after.get(jail)) else { return Rate::default() };
        let minutes = last.duration_since(*first).as_secs_f64() / 60.0;
        if minutes <= 0.0 {
            return Rate::default();
        }
        let rate = |before: i64, after: i64| (after - before).max(0) as f64 / minutes;
        Rate { failures: rate(before.failures, after.failures), bans: rate(before.bans, after.bans) }
    }

    /// Failures of all jails between the snapshots, for a little graph.
    pub(super) fn failures(&self) -> Vec<u64> {
        let sum = |counted: &HashMap<String, Counted>| counted.values().map(|c| c.failures).sum::<i64>();
        let sums: Vec<i64> = self.history.iter().map(|(_, counted)| sum(counted)).collect();
        sums.windows(2).map(|pair| (pair[1] - pair[0]).max(0).unsigned_abs()).collect()
    }

    pub(super) fn jails(&self) -> Vec<&str> {
        list(&self.report, "jails").iter().map(|jail| text(jail, "name")).collect()
    }

    /// The bans in the list.
    pub(super) fn shown(&self) -> Vec<&Row> {
        let wanted = |row: &&Row| self.jail.as_ref().is_none_or(|jail| *jail == row.jail);
        self.rows.iter().filter(wanted).collect()
    }

    fn choice(&self) -> Option<Row> {
        self.shown().get(self.chosen.selected()?).map(|row| (*row).clone())
    }

    fn choose(&mut self, place: Option<usize>) {
        let last = self.shown().len().checked_sub(1);
        self.chosen.select(place.and_then(|place| last.map(|last| place.min(last))));
    }

    /// What was done lately.
    pub(super) fn said(&self) -> Option<&str> {
        self.said.as_ref().filter(|(at, _)| at.elapsed() < SAID).map(|(_, text)| text.as_str())
    }

    /// A key was pressed.
    pub(super) fn key(&mut self, key: KeyEvent) -> Do {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Do::Quit;
        }
        match &mut self.over {
            Over::Nothing => self.key_in_list(key.code),
            Over::Help => {
                self.over = Over::Nothing;
                Do::Nothing
            }
            Over::Confirm { address, jail } => {
                let question =
                    Question::Unban { address: std::mem::take(address), jail: std::mem::take(jail) };
                self.over = Over::Nothing;
                // Nothing but a clear yes is one.
                if matches!(key.code, KeyCode::Char('y' | 'Y')) { Do::Ask(question) } else { Do::Nothing }
            }
            Over::About { scroll, .. } => {
                match key.code {
                    KeyCode::Down | KeyCode::Char('j') => *scroll = scroll.saturating_add(1),
                    KeyCode::Up | KeyCode::Char('k') => *scroll = scroll.saturating_sub(1),
                    KeyCode::PageDown => *scroll = scroll.saturating_add(PAGE as u16),
                    KeyCode::PageUp => *scroll = scroll.saturating_sub(PAGE as u16),
                    _ => self.over = Over::Nothing,
                }
                Do::Nothing
            }
        }
    }

    fn key_in_list(&mut self, key: KeyCode) -> Do {
        let place = self.chosen.selected();
        match key {
            KeyCode::Char('q') | KeyCode::Esc => return Do::Quit,
            KeyCode::Char('?' | 'h') => self.over = Over::Help,
            KeyCode::Char('r') => return Do::Ask(Question::Look),
            KeyCode::Down | KeyCode::Char('j') => self.choose(Some(place.map_or(0, |place| place + 1))),
            KeyCode::Up | KeyCode::Char('k') => {
                self.choose(Some(place.map_or(0, |place| place.saturating_sub(1))));
            }
            KeyCode::PageDown => self.choose(Some(place.unwrap_or(0) + PAGE)),
            KeyCode::PageUp => self.choose(Some(place.unwrap_or(0).saturating_sub(PAGE))),
            KeyCode::Home | KeyCode::Char('g') => self.choose(Some(0)),
            KeyCode::End | KeyCode::Char('G') => self.choose(Some(usize::MAX)),
            KeyCode::Tab => self.next_jail(),
            KeyCode::Char('u') | KeyCode::Delete => {
                if let Some(Row { jail, ban }) = self.choice() {
                    self.over = Over::Confirm { address: text(&ban, "address").to_owned(), jail };
                }
            }
            KeyCode::Enter | KeyCode::Char('l') => {
                if let Some(row) = self.choice() {
                    let address = text(&row.ban, "address").to_owned();
                    self.over = Over::About { address: address.clone(), known: None, scroll: 0 };
                    return Do::Ask(Question::About(address));
                }
            }
            _ => {}
        }
        Do::Nothing
    }

    /// All jails, then one after the other.
    fn next_jail(&mut self) {
        let jails = self.jails();
        let next = match &self.jail {
            None => 0,
            Some(jail) => jails.iter().position(|name| name == jail).map_or(0, |place| place + 1),
        };
        self.jail = jails.get(next).map(|name| (*name).to_owned());
        self.chosen.select(None);
    }
}

/// The bans of all jails, the newest first.
fn rows(bans: &Value) -> Vec<Row> {
    let of = |jail: &Value| {
        let name = text(jail, "jail").to_owned();
        let row = move |ban: &Value| Row { jail: name.clone(), ban: ban.clone() };
        list(jail, "bans").iter().map(row).collect::<Vec<_>>()
    };
    let mut rows: Vec<Row> = items(bans).iter().flat_map(of).collect();
    let begin = |row: &Row| seconds(&row.ban, "begin").unwrap_or_else(now);
    rows.sort_by(|a, b| begin(b).total_cmp(&begin(a)));
    rows
}

/// The networks of all jails together.
fn networks(bans: &Value) -> Vec<(String, i64)> {
    let mut sums: HashMap<&str, i64> = HashMap::new();
    for network in items(bans).iter().flat_map(|jail| list(jail, "networks")) {
        *sums.entry(text(network, "network")).or_default() += number(network, "bans");
    }
    let mut sums: Vec<(String, i64)> = sums.into_iter().map(|(name, bans)| (name.to_owned(), bans)).collect();
    sums.sort_unstable_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dict(items: Vec<(&str, Value)>) -> Value {
        Value::Dict(items.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// Two jails with these bans each, `failed` failures so far.
    fn snapshot(addresses: &[&str], failed: i64, taken: Instant) -> Snapshot {
        let jail = |name: &str| {
            dict(vec![
                ("name", name.into()),
                ("started", true.into()),
                ("total_failed", Value::Int(failed)),
                ("total_banned", Value::Int(failed / 5)),
            ])
        };
        let bans = |name: &str| {
            let ban = |(age, address): (usize, &&str)| {
                dict(vec![("address", (*address).into()), ("begin", Value::Float(1000.0 - age as f64))])
            };
            let network = dict(vec![("network", "192.0.2.0/24".into()), ("bans", Value::Int(2))]);
            dict(vec![
                ("jail", name.into()),
                ("bans", Value::List(addresses.iter().enumerate().map(ban).collect())),
                ("networks", Value::List(vec![network])),
            ])
        };
        let report =
            dict(vec![("started", Value::Float(1.0)), ("jails", Value::List(vec![jail("a"), jail("b")]))]);
        Snapshot { report, bans: Value::List(vec![bans("a"), bans("b")]), events: vec![], taken }
    }

    fn press(state: &mut State, code: KeyCode) -> Do {
        state.key(KeyEvent::from(code))
    }

    fn chosen(state: &State) -> String {
        state.choice().map_or(String::new(), |row| format!("{} {}", row.jail, text(&row.ban, "address")))
    }

    #[test]
    fn whom_one_looks_at_stays_chosen_when_others_come() {
        let start = Instant::now();
        let mut state = State::new(snapshot(&["192.0.2.2", "192.0.2.1"], 0, start));
        assert_eq!(press(&mut state, KeyCode::Char('u')), Do::Nothing, "nothing is chosen");
        press(&mut state, KeyCode::Char('G'));
        assert_eq!(chosen(&state), "b 192.0.2.1");
        state.take(snapshot(&["192.0.2.3", "192.0.2.2", "192.0.2.1"], 0, start));
        assert_eq!(chosen(&state), "b 192.0.2.1");
        state.take(snapshot(&["192.0.2.3"], 0, start));
        assert_eq!(chosen(&state), "b 192.0.2.3");
        state.take(snapshot(&[], 0, start));
        assert_eq!(chosen(&state), "");
    }

    #[test]
    fn a_ban_is_lifted_only_after_a_clear_yes() {
        let mut state = State::new(snapshot(&["192.0.2.2"], 0, Instant::now()));
        for (answer, lifted) in [('n', false), ('q', false), (' ', false), ('y', true)] {
            press(&mut state, KeyCode::Home);
            press(&mut state, KeyCode::Char('u'));
            assert!(matches!(state.over, Over::Confirm { .. }));
            let done = press(&mut state, KeyCode::Char(answer));
            let question = Question::Unban { address: "192.0.2.2".into(), jail: "a".into() };
            assert_eq!(done, if lifted { Do::Ask(question) } else { Do::Nothing });
            assert!(matches!(state.over, Over::Nothing));
        }
    }

    #[test]
    fn tab_goes_through_the_jails_and_back_to_all() {
        let mut state = State::new(snapshot(&["192.0.2.2"], 0, Instant::now()));
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(state.shown().len());
            press(&mut state, KeyCode::Tab);
        }
        assert_eq!(seen, [2, 1, 1, 2]);
    }

    #[test]
    fn rates_are_of_the_last_minute_and_another_run_begins_anew() {
        let start = Instant::now();
        let mut state = State::new(snapshot(&[], 0, start));
        assert_eq!(state.rate("a"), Rate::default());
        for second in 1..=120 {
            state.take(snapshot(&[], 10 * second, start + Duration::from_secs(second.unsigned_abs())));
        }
        assert_eq!(state.rate("a"), Rate { failures: 600.0, bans: 120.0 });
        assert_eq!(state.failures().last(), Some(&20));
        let mut other = snapshot(&[], 3, start + Duration::from_secs(121));
        other.report = dict(vec![("started", Value::Float(2.0))]);
        state.take(other);
        assert_eq!((state.rate("a"), state.failures().len()), (Rate::default(), 0));
    }

    #[test]
    fn networks_are_counted_over_all_jails() {
        let state = State::new(snapshot(&[], 0, Instant::now()));
        assert_eq!(state.networks, [("192.0.2.0/24".to_owned(), 4)]);
    }
}
