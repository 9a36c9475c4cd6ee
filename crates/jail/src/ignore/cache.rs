//! Remembered verdicts of the ignore list (`ignorecache`): so many, for so long, the first in is the first out.

use std::collections::{HashMap, VecDeque};

use portcullis_value::Number;

use crate::Timestamp;

/// No more verdicts than these are remembered, whatever the configuration says.
const MOST: usize = 100_000;

#[derive(Clone, Debug)]
pub(super) struct Cache {
    key: String,
    max_count: i64,
    max_time: Number,
    verdicts: HashMap<String, (bool, Timestamp)>,
    order: VecDeque<String>,
}

impl Cache {
    pub(super) fn new(key: String, max_count: i64, max_time: Number) -> Self {
        Cache { key, max_count, max_time, verdicts: HashMap::new(), order: VecDeque::new() }
    }

    pub(super) fn settings(&self) -> (&str, i64, Number) {
        (&self.key, self.max_count, self.max_time)
    }

    pub(super) fn verdict(&self, key: &str, now: Timestamp) -> Option<bool> {
        let (verdict, at) = self.verdicts.get(key)?;
        (now.since(*at) < self.max_time.as_f64()).then_some(*verdict)
    }

    pub(super) fn remember(&mut self, key: String, ignored: bool, now: Timestamp) {
        if self.verdicts.insert(key.clone(), (ignored, now)).is_none() {
            self.order.push_back(key);
        }
        let most = usize::try_from(self.max_count).unwrap_or(0).min(MOST);
        while self.order.len() > most {
            if let Some(oldest) = self.order.pop_front() {
                self.verdicts.remove(&oldest);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.verdicts.clear();
        self.order.clear();
    }
}
