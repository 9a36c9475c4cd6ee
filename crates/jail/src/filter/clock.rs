//! When a line happened: its date, or the last line's, or now; and what is said about dates that cannot be true.

use jiff::tz::TimeZone;
use portcullis_value::{Value, repr_str};

use crate::Timestamp;
use crate::date::{DateError, Detector, Found, Offset, Zones, parse_logtimezone};
use crate::event::{Level, LogLine};
use crate::time::duration_text;

use super::Moment;
use super::explain::DateCut;

/// A line may be this far from now, in seconds, before it counts as happening now (in operation).
const NEAR: f64 = 60.0;
/// The same complaint comes once in this many seconds.
const DAY: f64 = 86_400.0;

/// The parts of a line around its date, and its time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dated<'l> {
    pub(super) before: &'l str,
    /// What the ticket keeps as the date: with an undated line, the date of the line before.
    pub(super) date: DateText<'l>,
    pub(super) after: &'l str,
    /// `None`: nobody knows, so that the line cannot count.
    pub(super) time: Option<Timestamp>,
    /// The line had no valid date: worth a warning if it matches.
    pub(super) undated: bool,
}

/// Where the date's text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DateText<'l> {
    Own(&'l str),
    Remembered,
}

/// The dates of a jail's lines.
#[derive(Debug)]
pub(super) struct Clock {
    datepattern: Option<String>,
    detector: Option<Detector>,
    logtimezone: Option<(String, Offset)>,
    zones: Zones,
    last: Option<Timestamp>,
    last_text: String,
    /// The last text that was parsed, with its answer: most lines come in bursts of one second.
    parsed: Option<(String, Timestamp, Result<Timestamp, DateError>)>,
    told: [Option<Timestamp>; 4],
    /// Whether the last time is an integer in Fail2ban, if anybody wants to know.
    pub(super) integer: bool,
    pub(super) tells_integers: bool,
    /// Whether the last line has no time at all.
    pub(super) timeless: bool,
}

/// Complaints that come once a day.
#[derive(Clone, Copy, Debug)]
enum Complaint {
    NoDate,
    Odd,
    TooOld,
}

impl Clock {
    pub(super) fn new() -> Self {
        Clock {
            datepattern: None,
            detector: None,
            logtimezone: None,
            zones: Zones::new(TimeZone::UTC, None),
            last: None,
            last_text: String::new(),
            parsed: None,
            told: [None; 4],
            integer: false,
            tells_integers: false,
            timeless: false,
        }
    }

    pub(super) fn set_datepattern(
        &mut self,
        pattern: &str,
        now: Timestamp,
    ) -> Result<Vec<LogLine>, DateError> {
        let pattern = (!pattern.is_empty()).then_some(pattern);
        let detector = Detector::new(pattern, now)?;
        let lines = detector.log_lines();
        self.datepattern = pattern.map(str::to_owned);
        self.detector = Some(detector);
        self.parsed = None;
        Ok(lines)
    }

    pub(super) fn set_logtimezone(&mut self, zone: Option<&str>) -> Result<(), DateError> {
        self.logtimezone = match zone {
            Some(zone) => Some((zone.to_owned(), parse_logtimezone(zone)?)),
            None => None,
        };
        self.zones.logtimezone = self.logtimezone.as_ref().map(|(_, offset)| *offset);
        self.parsed = None;
        Ok(())
    }

    pub(super) fn logtimezone(&self) -> Option<&str> {
        self.logtimezone.as_ref().map(|(zone, _)| zone.as_str())
    }

    pub(super) fn set_zone(&mut self, zone: TimeZone) {
        self.zones = Zones::new(zone, self.logtimezone.as_ref().map(|(_, offset)| *offset));
        self.parsed = None;
    }

    pub(super) fn detector(&mut self, now: Timestamp) -> Option<&mut Detector> {
        if self.detector.is_none() {
            self.detector = Detector::new(self.datepattern.as_deref(), now).ok();
        }
        self.detector.as_mut()
    }

    pub(super) fn known_detector(&self) -> Option<&Detector> {
        self.detector.as_ref()
    }

    /// Finds and reads the date of a line.
    pub(super) fn date<'l>(&mut self, line: &'l str, at: &Moment, notes: &mut Vec<LogLine>) -> Dated<'l> {
        let dated = self.dated(line, at, notes);
        self.timeless = dated.time.is_none();
        dated
    }

    fn dated<'l>(&mut self, line: &'l str, at: &Moment, notes: &mut Vec<LogLine>) -> Dated<'l> {
        let found = self.detector(at.now).and_then(|detector| detector.find(line, at.now));
        let Some(found) = found else {
            return self.undated(line, line.len(), line.len(), at);
        };
        let (start, end) = (found.start, found.end);
        if start == end {
            return self.empty_date(line, start, at);
        }
        let text = &line[start..end];
        let Ok(time) = self.parse(line, &found, at) else {
            let text = format!("findFailure failed to parse timeText: {text}");
            notes.push(LogLine::new(Level::ERROR, "filter", text));
            return self.undated(line, start, end, at);
        };
        if self.tells_integers {
            self.integer =
                self.detector.as_ref().is_some_and(|detector| detector.is_integer(line, &found, &self.zones));
        }
        self.remember(text, time);
        Dated {
            before: &line[..start],
            date: DateText::Own(text),
            after: &line[end..],
            time: Some(time),
            undated: false,
        }
    }

    /// Which template takes the date of a line, and where it stands.
    pub(super) fn explain(&mut self, line: &str, at: &Moment) -> Option<DateCut> {
        let found = self.detector(at.now).and_then(|detector| detector.find(line, at.now))?;
        let detector = self.detector.as_ref()?;
        let template = detector.template(&found).map(|template| template.name.to_owned()).unwrap_or_default();
        let time = detector.parse(line, &found, at.now, &self.zones).ok();
        Some(DateCut { template, span: (found.start, found.end), time })
    }

    /// A date that came with the line (a journal's).
    pub(super) fn given<'l>(&mut self, date: &'l str, line: &'l str, time: Timestamp) -> Dated<'l> {
        self.remember(date, time);
        Dated { before: "", date: DateText::Own(date), after: line, time: Some(time), undated: false }
    }

    fn remember(&mut self, text: &str, time: Timestamp) {
        self.last = Some(time);
        if self.last_text != text {
            text.clone_into(&mut self.last_text);
        }
    }

    fn parse(&mut self, line: &str, found: &Found, at: &Moment) -> Result<Timestamp, DateError> {
        let text = &line[found.start..found.end];
        // What a text means depends on now (the year, yesterday), but not within a second.
        if let Some((known, now, answer)) = &self.parsed
            && known == text
            && *now == at.now
        {
            return answer.clone();
        }
        let answer = match &self.detector {
            Some(detector) => detector.parse(line, found, at.now, &self.zones),
            None => Err(DateError::Invalid),
        };
        match &mut self.parsed {
            Some((known, now, old)) => {
                text.clone_into(known);
                (*now, *old) = (at.now, answer.clone());
            }
            none => *none = Some((text.to_owned(), at.now, answer.clone())),
        }
        answer
    }

    fn recent(&self, at: &Moment) -> Option<Timestamp> {
        self.last.filter(|last| last.0 > at.now.0 - NEAR)
    }

    /// A template that matched nothing at all, like `{NONE}`.
    fn empty_date<'l>(&self, line: &'l str, place: usize, at: &Moment) -> Dated<'l> {
        let (before, after) = line.split_at(place);
        match self.recent(at) {
            Some(last) => {
                Dated { before, date: DateText::Remembered, after, time: Some(last), undated: false }
            }
            None => Dated { before, date: DateText::Own(""), after, time: Some(at.now), undated: false },
        }
    }

    /// No date, or none that is true. `start..end` is what looked like one.
    fn undated<'l>(&self, line: &'l str, start: usize, end: usize, at: &Moment) -> Dated<'l> {
        let (before, text, after) = (&line[..start], &line[start..end], &line[end..]);
        // Without anything that looks like a date, all of the line stands behind it. So it does behind a remembered date.
        let whole = start == end || self.recent(at).is_some();
        let (before, after) = if whole { ("", line) } else { (before, after) };
        let (date, time) = match self.recent(at) {
            Some(last) => (DateText::Remembered, Some(last)),
            None if at.in_operation => (DateText::Own(text), Some(at.now)),
            None => (DateText::Own(text), None),
        };
        Dated { before, date, after, time, undated: true }
    }

    /// Whether the line is too old to count (`false`), after its time was corrected where it cannot be true.
    pub(super) fn plausible(
        &mut self,
        dated: &mut Dated<'_>,
        jail: &str,
        findtime: f64,
        at: &Moment,
        notes: &mut Vec<LogLine>,
    ) -> bool {
        let Some(time) = dated.time else { return true };
        let off = time.since(at.now).trunc();
        if at.in_operation {
            if off.abs() > NEAR {
                if self.first_today(Complaint::Odd, at.now) {
                    odd(jail, off, &self.whole(dated), notes);
                }
                dated.time = Some(at.now);
                self.last = Some(at.now);
            }
            return true;
        }
        if time.0 >= at.now.0 - findtime {
            return true;
        }
        if self.first_today(Complaint::TooOld, at.now) {
            let findtime = Value::Float(findtime);
            let findtime = portcullis_value::int(&findtime).map_or(findtime, Value::Int);
            warn(
                notes,
                jail,
                &format!(
                    "Ignoring all log entries older than {}s; these are probably messages generated while fail2ban was not running.",
                    findtime.repr()
                ),
            );
            let line = self.whole(dated);
            warn(
                notes,
                jail,
                &format!("Please check a jail for a timing issue. Line with odd timestamp: {line}"),
            );
        }
        false
    }

    /// What is said of a match without a date.
    pub(super) fn complain_of_no_date(
        &mut self,
        dated: &Dated<'_>,
        jail: &str,
        now: Timestamp,
        notes: &mut Vec<LogLine>,
    ) {
        if !self.first_today(Complaint::NoDate, now) {
            return;
        }
        let text = repr_str(&self.last_text);
        warn(notes, jail, &format!("Found a match but no valid date/time found for {text}."));
        warn(notes, jail, &format!("Match without a timestamp: {}{}", dated.before, dated.after));
        warn(notes, jail, "Please try setting a custom date pattern (see man page jail.conf(5)).");
    }

    /// The text of the date as tickets keep it.
    pub(super) fn text<'a>(&'a self, date: DateText<'a>) -> &'a str {
        match date {
            DateText::Own(text) => text,
            DateText::Remembered => &self.last_text,
        }
    }

    fn whole(&self, dated: &Dated<'_>) -> String {
        format!("{}{}{}", dated.before, self.text(dated.date), dated.after)
    }

    fn first_today(&mut self, complaint: Complaint, now: Timestamp) -> bool {
        let told = &mut self.told[complaint as usize];
        if told.is_some_and(|told| now.since(told) < DAY && now.0 >= told.0) {
            return false;
        }
        *told = Some(now);
        true
    }
}

fn odd(jail: &str, off: f64, line: &str, notes: &mut Vec<LogLine>) {
    let direction = if off > 0.0 { "after" } else { "before" };
    let kind = if (-3300.0..0.0).contains(&off) { "latency" } else { "timezone" };
    let duration = duration_text(&Value::Int(off.abs() as i64));
    warn(
        notes,
        jail,
        &format!(
            "Detected a log entry {duration} {direction} the current time in operation mode. This looks like a {kind} problem. Treating such entries as if they just happened."
        ),
    );
    warn(notes, jail, &format!("Please check a jail for a timing issue. Line with odd timestamp: {line}"));
}

fn warn(notes: &mut Vec<LogLine>, jail: &str, text: &str) {
    notes.push(LogLine::new(Level::WARNING, "filter", format!("[{jail}] {text}")));
}
