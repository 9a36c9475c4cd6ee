//! Pages that are looked at before their jail comes to them: what is found is left with the page.
//!
//! What costs most about a line that is nobody's business is its date and the automaton's look at it. While a jail catches up,
//! copies of its filter go ahead and do just that, on other cores. The jail takes what fits its own memory and its own
//! regexes, and does the rest itself: its verdicts are the same whoever was ahead, and whether anybody was.

use std::sync::{Arc, PoisonError, TryLockError};

use super::clock::Dates;
use super::settings::Filter;
use super::verdict::Moment;
use crate::Page;

/// What became of looking ahead at a page.
#[derive(Debug, Default)]
pub(crate) enum Ahead {
    /// Nobody has looked.
    #[default]
    Nobody,
    /// What the automaton has read.
    Read(Scan),
    /// The jail is there: too late.
    TooLate,
}

/// What an automaton has read of a page.
#[derive(Debug)]
pub(crate) struct Scan {
    /// Whose automaton.
    gate: Arc<()>,
    /// Without which dates.
    dates: Arc<Dates>,
    /// Lines before that time were not read.
    oldest: f64,
    marks: Vec<u64>,
    quiet: bool,
}

impl Filter {
    /// A copy that may look ahead: it shares this filter's automaton.
    #[must_use]
    pub fn scout(&mut self) -> Filter {
        self.ready_gate();
        self.clone()
    }

    /// Finds the dates of a page and has the automaton read it, and leaves both with the page. A [`Filter::scout`] is shown all
    /// pages from the one on at which it was made, in order; the filter judges them at the same moments.
    pub fn look_ahead(&mut self, page: &Page, at: Moment) {
        if !self.clock.turn_to(page, &at) {
            // Lines without dates are the jail's; what is remembered of the others goes on.
            let mut notes = Vec::new();
            for line in page.lines() {
                let line = self.cut(line);
                self.clock.date(line, &at, &mut notes);
                notes.clear();
            }
            return;
        }
        let mut place = match page.ahead().try_lock() {
            Ok(place) => place,
            Err(TryLockError::Poisoned(place)) => place.into_inner(),
            // Somebody is at it.
            Err(TryLockError::WouldBlock) => return,
        };
        if matches!(*place, Ahead::Nobody) {
            self.read_page(page, &at);
            *place = self.scan_of_page(&at).map_or(Ahead::TooLate, Ahead::Read);
        }
    }

    /// What the automaton has just read.
    fn scan_of_page(&mut self, at: &Moment) -> Option<Scan> {
        let (oldest, quiet, dates) = (self.oldest(at), self.quiet, self.clock.dates()?);
        let gate = self.gate.as_mut().filter(|_| self.maxlines == 1)?;
        Some(Scan { gate: Arc::clone(gate.identity()), dates, oldest, marks: gate.take_page(), quiet })
    }

    /// Has the automaton read the page at hand, unless a copy has been ahead of us. One that is at it is waited for.
    pub(super) fn read_or_take(&mut self, page: &Page, at: &Moment) {
        let mut place = page.ahead().lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *place, Ahead::TooLate) {
            Ahead::Read(scan) if self.fits(&scan, at) => {
                drop(place);
                self.quiet = scan.quiet;
                self.counters.ahead += 1;
                if let Some(gate) = &mut self.gate {
                    gate.give_page(scan.marks);
                }
            }
            other => {
                // It may be of use for another jail.
                *place = if let Ahead::Read(_) = other { other } else { Ahead::TooLate };
                drop(place);
                self.read_page(page, at);
            }
        }
    }

    fn fits(&mut self, scan: &Scan, at: &Moment) -> bool {
        self.ready_gate();
        let same_dates = self.clock.dates().is_some_and(|dates| Arc::ptr_eq(&dates, &scan.dates));
        let same_gate = self.gate.as_ref().is_some_and(|gate| Arc::ptr_eq(gate.identity(), &scan.gate));
        same_dates && same_gate && self.maxlines == 1 && self.oldest(at) == scan.oldest
    }

    /// Lines before that time are not looked at.
    pub(super) fn oldest(&self, at: &Moment) -> f64 {
        if self.check_all || at.in_operation { f64::MIN } else { at.now.0 - self.findtime }
    }
}
