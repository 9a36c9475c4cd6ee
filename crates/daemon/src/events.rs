//! What happened lately, for those who listen (`portcullis log`, `portcullis top`): a ring of so many events.
//!
//! Whoever tells an event never waits: a listener that is too slow finds that the oldest are gone, and how many.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portcullis_jail::Id;
use portcullis_value::Value;
use portcullis_wire::event::Kind;

use crate::control::dict;

/// So many events are kept, some 100 bytes each. Beyond, the oldest are forgotten.
const KEPT: usize = 1024;
/// So much text of an event is kept, in bytes.
const LONGEST_TEXT: usize = 500;
/// So many listeners may wait at a time; others are answered at once, and may ask again.
const LISTENERS: usize = 32;

/// A handle on the ring; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Events {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    ring: Mutex<Ring>,
    told: Condvar,
}

#[derive(Default)]
struct Ring {
    events: VecDeque<Event>,
    /// The number of the newest event; the first one is 1.
    newest: u64,
    listeners: usize,
}

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    kind: Kind,
    /// Seconds since 1970.
    time: f64,
    jail: Option<Arc<str>>,
    address: Option<Id>,
    text: Option<Box<str>>,
    /// For how long, in seconds; -1 for ever.
    bantime: Option<f64>,
}

impl Event {
    /// Something that happened now.
    pub(crate) fn new(kind: Kind) -> Self {
        let time = crate::jailer::now().0;
        Event { kind, time, jail: None, address: None, text: None, bantime: None }
    }

    pub(crate) fn jail(self, jail: &Arc<str>) -> Self {
        Event { jail: Some(Arc::clone(jail)), ..self }
    }

    pub(crate) fn address(self, id: &Id) -> Self {
        Event { address: Some(id.clone()), ..self }
    }

    /// In words; what is longer than some lines is cut.
    pub(crate) fn text(self, text: &str) -> Self {
        let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
        let end = ends.take_while(|end| *end <= LONGEST_TEXT).last().unwrap_or(0);
        Event { text: Some(text[..end].into()), ..self }
    }

    pub(crate) fn bantime(self, bantime: &Value) -> Self {
        Event { bantime: portcullis_value::float(bantime).ok(), ..self }
    }

    fn value(&self, number: u64) -> Value {
        let text = |text: Option<&str>| text.map_or(Value::None, Value::from);
        dict(vec![
            ("number", Value::Int(number.cast_signed())),
            ("time", Value::Float(self.time)),
            ("kind", self.kind.name().into()),
            ("jail", text(self.jail.as_deref())),
            ("address", text(self.address.as_ref().map(Id::text))),
            ("bantime", self.bantime.map_or(Value::None, Value::Float)),
            ("text", text(self.text.as_deref())),
        ])
    }
}

impl Events {
    /// Tells an event, without waiting for anybody who listens.
    pub(crate) fn tell(&self, event: Event) {
        let mut ring = self.ring();
        ring.newest += 1;
        if ring.events.len() >= KEPT {
            ring.events.pop_front();
        }
        ring.events.push_back(event);
        if ring.listeners > 0 {
            self.shared.told.notify_all();
        }
    }

    /// The events after number `after`, at most `most` (the newest), and how many of them are forgotten: `events`, `lost`,
    /// `newest`. When there are none, waits for one.
    pub(crate) fn after(&self, after: u64, wait: Duration, most: usize) -> Value {
        let mut ring = self.ring();
        let deadline = Instant::now() + wait;
        if ring.listeners < LISTENERS {
            ring.listeners += 1;
            while ring.newest <= after {
                let rest = deadline.saturating_duration_since(Instant::now());
                if rest.is_zero() {
                    break;
                }
                let waited = self.shared.told.wait_timeout(ring, rest);
                ring = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            ring.listeners -= 1;
        }
        let first = ring.newest + 1 - ring.events.len() as u64;
        let from = after.saturating_add(1).max(first);
        let numbered = (first..).zip(&ring.events).skip_while(|(number, _)| *number < from);
        let mut events: Vec<(u64, Event)> = numbered.map(|(number, event)| (number, event.clone())).collect();
        let newest = ring.newest;
        drop(ring);
        let lost = from - after.saturating_add(1).min(from);
        events.drain(..events.len().saturating_sub(most));
        let events = events.iter().map(|(number, event)| event.value(*number));
        dict(vec![
            ("events", Value::List(events.collect())),
            ("lost", Value::Int(lost.cast_signed())),
            ("newest", Value::Int(newest.cast_signed())),
        ])
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // Whoever panicked while it held this left a whole ring behind.
        self.shared.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(events: &Events, text: &str) {
        events.tell(Event::new(Kind::Warning).text(text));
    }

    /// The texts, how many were lost, the newest number.
    fn after(events: &Events, number: u64, most: usize) -> (Vec<String>, i64, i64) {
        let Value::Dict(answer) = events.after(number, Duration::ZERO, most) else { panic!() };
        let Value::List(list) = &answer[0].1 else { panic!() };
        let texts = list.iter().map(|event| {
            let Value::Dict(event) = event else { panic!() };
            event.last().unwrap().1.to_string()
        });
        let (Value::Int(lost), Value::Int(newest)) = (&answer[1].1, &answer[2].1) else { panic!() };
        (texts.collect(), *lost, *newest)
    }

    #[test]
    fn a_listener_hears_each_event_once() {
        let events = Events::default();
        assert_eq!(after(&events, 0, 9), (vec![], 0, 0));
        told(&events, "a");
        told(&events, "b");
        assert_eq!(after(&events, 0, 9), (vec!["a".into(), "b".into()], 0, 2));
        assert_eq!(after(&events, 1, 9), (vec!["b".into()], 0, 2));
        assert_eq!(after(&events, 2, 9), (vec![], 0, 2));
        assert_eq!(after(&events, 0, 1), (vec!["b".into()], 0, 2));
        // Numbers of another run.
        assert_eq!(after(&events, u64::MAX, 9), (vec![], 0, 2));
    }

    #[test]
    fn a_slow_listener_is_told_how_many_it_has_missed() {
        let events = Events::default();
        for number in 0..KEPT + 10 {
            told(&events, &number.to_string());
        }
        let (texts, lost, newest) = after(&events, 3, usize::MAX);
        assert_eq!((texts.len(), lost, newest as usize), (KEPT, 7, KEPT + 10));
        assert_eq!(texts[0], "10");
        assert_eq!(after(&events, 20, usize::MAX).1, 0);
    }

    #[test]
    fn a_listener_that_waits_is_woken() {
        let events = Events::default();
        let heard = std::thread::spawn({
            let events = events.clone();
            move || events.after(0, Duration::from_secs(30), 9)
        });
        while events.ring().listeners == 0 {
            std::thread::yield_now();
        }
        told(&events, "now");
        assert!(heard.join().unwrap().repr().contains("'now'"));
        assert_eq!(events.ring().listeners, 0);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let event = Event::new(Kind::Error).text(&"é".repeat(400));
        assert_eq!(event.text.unwrap().len(), 500);
    }
}
