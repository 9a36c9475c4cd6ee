//! A filter's settings, as commands set and get them.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::clock::Clock;
use super::connection::Connections;
use super::counted;
use super::gate::Gate;
use super::identity::{ID_GROUPS, UseDns};
use super::python::{Captures, Regex, Scratch};
use super::rule::Rule;
use super::tags;
use super::window::Window;
use crate::Timestamp;
use crate::date::{DateError, Detector};
use crate::event::{Level, LogLine};
use crate::failure::MatchedLine;

/// Longer lines are cut, in bytes. Fail2ban has no bound; no program that we know logs an attack in more.
pub const LONGEST_LINE: usize = 64 * 1024;

/// Why a regex is refused, in Fail2ban's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegexError {
    /// Nothing but blanks.
    #[error("Cannot add empty regex")]
    Empty,
    /// Python would not compile it.
    #[error("Unable to compile regular expression '{regex}':\n{reason}")]
    Invalid {
        /// The regex with its tags written out.
        regex: String,
        /// Python's message.
        reason: String,
    },
    /// Nothing in it says whom a failure is counted against.
    #[error("No failure-id group in '{0}'")]
    NoId(String),
    /// There is no regex of this index.
    #[error("list index out of range")]
    NoSuch(usize),
}

/// What a filter has seen that it could not do fully, or need not do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Lines longer than [`LONGEST_LINE`].
    pub cut: u64,
    /// Searches that reached the step limit: an evasion until proven otherwise.
    pub too_hard: u64,
    /// Pages that a copy had looked at before, see [`Filter::look_ahead`].
    pub ahead: u64,
}

/// The filter of one jail.
///
/// A copy shares the compiled regexes and has everything else for itself, so that another thread can judge with it; that
/// costs a copy of the automaton's cache, some MiB at most. Lines may be shared out among
/// copies where no line's verdict depends on the lines before it; [`Filter::stamp`], [`Filter::scan`] and
/// [`Filter::settle`] part what does from what does not (connections that it knows, [`Filter::judge`] does not, nor the
/// other way round). What a filter carries from line to line is:
///
/// * the lines before, with [`Filter::maxlines`] above 1 (the window; a match takes its lines out);
/// * connections, if a regex has `<F-MLFID>`: who they are, and whether somebody has been accused
///   ([`Filter::joins_lines`] says that one of these two is so);
/// * the date templates' hits and order, and where the last date stood ([`Filter::detector`]); they decide only where a line
///   allows more than one template, and the tester prints the hits: they must be added up in order;
/// * the time of the last dated line, which a line without a date gets if it is at most a minute old;
/// * which complaints were made today ([`Verdict::notes`](super::Verdict::notes)), and [`Filter::counters`], which add up.
///
/// A time without a year or a day depends on [`Moment::now`](super::Moment::now) only, never on other lines.
#[derive(Clone, Debug)]
pub struct Filter {
    pub(super) jail: String,
    pub(super) failregex: Vec<Arc<Rule>>,
    pub(super) ignoreregex: Vec<Arc<Rule>>,
    pub(super) prefregex: Option<Arc<Rule>>,
    pub(super) usedns: UseDns,
    pub(super) maxlines: usize,
    pub(super) findtime: f64,
    pub(super) check_all: bool,
    pub(super) first_only: bool,
    pub(super) counts_only: bool,
    pub(super) clock: Clock,
    pub(super) connections: Connections,
    /// The same for [`Filter::settle`].
    pub(super) counted: counted::Connections,
    /// Whether any regex has groups that are made of several others.
    pub(super) has_tuples: bool,
    pub(super) window: Window,
    /// Built when the first line comes.
    pub(super) gate: Option<Gate>,
    /// Whether no line of the page at hand is too old or has an odd time.
    pub(super) quiet: bool,
    pub(super) counters: Counters,
    /// Until when a regex that reached the step limit keeps silent about it.
    pub(super) silent: Vec<(String, Timestamp)>,
    /// The line without its date, and of that the prefregex' content.
    pub(super) text: String,
    pub(super) content: String,
    pub(super) scratch: Scratch,
    pub(super) captures: Captures,
    /// What the prefregex captured.
    pub(super) prefix: Captures,
}

impl Default for Filter {
    fn default() -> Self {
        Filter::new()
    }
}

impl Filter {
    /// A filter with Fail2ban's defaults and no regexes.
    pub fn new() -> Self {
        Filter {
            jail: String::new(),
            failregex: Vec::new(),
            ignoreregex: Vec::new(),
            prefregex: None,
            usedns: UseDns::default(),
            maxlines: 1,
            findtime: 600.0,
            check_all: false,
            first_only: false,
            counts_only: false,
            clock: Clock::new(),
            connections: Connections::default(),
            counted: counted::Connections::default(),
            has_tuples: false,
            window: Window::default(),
            gate: None,
            quiet: false,
            counters: Counters::default(),
            silent: Vec::new(),
            text: String::new(),
            content: String::new(),
            scratch: Scratch::default(),
            captures: Captures::default(),
            prefix: Captures::default(),
        }
    }

    /// The jail's name, for log lines.
    pub fn set_jail(&mut self, name: &str) {
        name.clone_into(&mut self.jail);
    }

    /// Adds a failregex behind the others. `<HOST>` is expanded as `usedns` is now.
    ///
    /// # Errors
    /// When it is empty, does not compile, or neither it nor the prefregex says whom a failure is counted against.
    pub fn add_failregex(&mut self, regex: &str) -> Result<(), RegexError> {
        let rule = self.compile(regex, self.maxlines > 1)?;
        if !has_id(&rule) && !self.prefregex.as_deref().is_some_and(has_id) {
            return Err(RegexError::NoId(rule.regex.pattern().to_owned()));
        }
        self.failregex.push(rule);
        self.gate = None;
        Ok(())
    }

    /// Adds an ignoreregex behind the others.
    ///
    /// # Errors
    /// When it is empty or does not compile.
    pub fn add_ignoreregex(&mut self, regex: &str) -> Result<(), RegexError> {
        self.ignoreregex.push(self.compile(regex, false)?);
        self.gate = None;
        Ok(())
    }

    /// Removes a failregex.
    ///
    /// # Errors
    /// When there is none of this index.
    pub fn del_failregex(&mut self, index: usize) -> Result<(), RegexError> {
        remove(&mut self.failregex, index)?;
        self.gate = None;
        Ok(())
    }

    /// Removes an ignoreregex.
    ///
    /// # Errors
    /// When there is none of this index.
    pub fn del_ignoreregex(&mut self, index: usize) -> Result<(), RegexError> {
        remove(&mut self.ignoreregex, index)?;
        self.gate = None;
        Ok(())
    }

    /// The failregexes with their tags written out.
    pub fn failregex(&self) -> impl ExactSizeIterator<Item = &str> {
        self.failregex.iter().map(|rule| rule.regex.pattern())
    }

    /// The ignoreregexes with their tags written out.
    pub fn ignoreregex(&self) -> impl ExactSizeIterator<Item = &str> {
        self.ignoreregex.iter().map(|rule| rule.regex.pattern())
    }

    /// Sets the prefregex; an empty one is none.
    ///
    /// # Errors
    /// When it does not compile; the former one stays.
    pub fn set_prefregex(&mut self, regex: &str) -> Result<(), RegexError> {
        self.prefregex = if regex.is_empty() { None } else { Some(self.compile(regex, false)?) };
        self.gate = None;
        Ok(())
    }

    /// The prefregex with its tags written out.
    pub fn prefregex(&self) -> Option<&str> {
        self.prefregex.as_ref().map(|rule| rule.regex.pattern())
    }

    fn compile(&self, regex: &str, multiline: bool) -> Result<Arc<Rule>, RegexError> {
        if regex.trim().is_empty() {
            return Err(RegexError::Empty);
        }
        let regex = tags::expand(regex, self.usedns != UseDns::No);
        match Regex::new(&regex, multiline) {
            Ok(regex) => Ok(Arc::new(Rule::new(regex))),
            Err(error) => Err(RegexError::Invalid { regex, reason: error.0 }),
        }
    }

    /// Sets what to do with host names. An unknown value becomes `no`; the answer is the line for the log then.
    pub fn set_usedns(&mut self, value: &str) -> Option<LogLine> {
        let known = UseDns::from_name(&value.to_lowercase());
        self.usedns = known.unwrap_or(UseDns::No);
        known.is_none().then(|| {
            let text = format!("Incorrect value '{value}' specified for usedns. Using safe 'no'");
            LogLine::new(Level::ERROR, "filter", text)
        })
    }

    /// What is done with host names.
    pub fn usedns(&self) -> UseDns {
        self.usedns
    }

    /// How many lines are looked at together; at least one.
    pub fn set_maxlines(&mut self, maxlines: usize) {
        self.maxlines = maxlines.max(1);
    }

    /// The lines that are looked at together with the next, the oldest first; what a prefregex found in them is one. None with
    /// [`Filter::maxlines`] of 1.
    pub fn window(&self) -> impl Iterator<Item = &MatchedLine> {
        self.window.lines()
    }

    /// How many lines are looked at together.
    pub fn maxlines(&self) -> usize {
        self.maxlines
    }

    /// Sets the pattern of dates; an empty one is the default list. The answer is lines for the log.
    ///
    /// # Errors
    /// When it is no date pattern; the former one stays.
    pub fn set_datepattern(&mut self, pattern: &str, now: Timestamp) -> Result<Vec<LogLine>, DateError> {
        self.clock.set_datepattern(pattern, now)
    }

    /// The date detector as it stands, for `get JAIL datepattern` and the tester; built now if no line has come yet.
    pub fn detector(&mut self, now: Timestamp) -> Option<&Detector> {
        self.clock.detector(now).map(|detector| &*detector)
    }

    /// When a line says that it was written. The detector remembers which template found that.
    pub fn time_of(&mut self, line: &str, now: Timestamp) -> Option<Timestamp> {
        self.clock.time_of(line, &super::Moment { now, in_operation: false })
    }

    /// The date detector, if there is one yet.
    pub fn known_detector(&self) -> Option<&Detector> {
        self.clock.known_detector()
    }

    /// Sets the zone of dates that name none; `None` is the machine's.
    ///
    /// # Errors
    /// When it is no fixed offset; the former one stays.
    pub fn set_logtimezone(&mut self, zone: Option<&str>) -> Result<(), DateError> {
        self.clock.set_logtimezone(zone)
    }

    /// The zone of dates that name none, as it was set.
    pub fn logtimezone(&self) -> Option<&str> {
        self.clock.logtimezone()
    }

    /// Sets the machine's time zone. UTC, until it is.
    pub fn set_zone(&mut self, zone: TimeZone) {
        self.clock.set_zone(zone);
    }

    /// Sets the findtime in seconds: older lines do not count in the first scan of a log.
    pub fn set_findtime(&mut self, seconds: f64) {
        self.findtime = seconds;
    }

    /// Lets every failregex be tried, also behind one that matched, without looking at findtime: for the tester.
    pub fn set_check_all(&mut self, on: bool) {
        self.check_all = on;
        self.clock.tells_integers = on && !self.counts_only;
    }

    /// Lets a tester stop behind the first failregex that matches, as a jail does.
    pub fn set_first_only(&mut self, on: bool) {
        self.first_only = on;
    }

    /// Lets a tester do without what only is told: captured values, failures and their lines. Statuses, hits and what
    /// they are counted as stay the same.
    pub fn set_counts_only(&mut self, on: bool) {
        self.counts_only = on;
        self.clock.tells_integers = self.check_all && !on;
    }

    /// Whether a line's verdict may depend on lines before it: with several lines matched together, or with connections.
    pub fn joins_lines(&self) -> bool {
        let connects = |rule: &Arc<Rule>| rule.regex.group("mlfid").is_some();
        self.maxlines > 1 || self.failregex.iter().chain(&self.prefregex).any(connects)
    }

    /// Whether Fail2ban would have the last line's time as an integer; known to a tester only.
    pub fn time_is_integer(&self) -> bool {
        self.clock.integer
    }

    /// Whether the last line had no date, and no line before it a recent one: a tester takes the time now instead.
    pub fn is_timeless(&self) -> bool {
        self.clock.timeless
    }

    /// What could not be done fully so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Which failregexes the linear-time engine carries.
    pub fn linear(&self) -> Vec<bool> {
        self.failregex.iter().map(|rule| rule.regex.is_linear()).collect()
    }
}

fn has_id(rule: &Rule) -> bool {
    ID_GROUPS.iter().any(|name| rule.regex.group(name).is_some())
}

fn remove(regexes: &mut Vec<Arc<Rule>>, index: usize) -> Result<(), RegexError> {
    if index >= regexes.len() {
        return Err(RegexError::NoSuch(index));
    }
    regexes.remove(index);
    Ok(())
}
