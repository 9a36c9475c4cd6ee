//! When a line happened: its date, or the last line's, or now; and what is said about dates that cannot be true.

use std::sync::Arc;

use jiff::tz::TimeZone;
use portcullis_value::{Value, repr_str};

use crate::date::{DateError, Detector, Fields, Found, Offset, Zones, parse_logtimezone};
use crate::event::{Level, LogLine};
use crate::failure::MatchedLine;
use crate::time::duration_text;
use crate::{Page, Timestamp};

use super::explain::DateCut;
use super::{LONGEST_LINE, Moment};

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
#[derive(Clone, Debug)]
pub(super) struct Clock {
    dating: Dating,
    /// The dates of the page at hand.
    page: Option<Arc<Dates>>,
    told: [Option<Timestamp>; 4],
    /// Whether the last time is an integer in Fail2ban, if anybody wants to know.
    pub(super) integer: bool,
    pub(super) tells_integers: bool,
    /// Whether the last line has no time at all.
    pub(super) timeless: bool,
}

/// How dates are found and read.
#[derive(Clone, Debug)]
struct Dating {
    memory: Memory,
    zones: Zones,
    /// The last date whose fields are known, with its answer: most lines come in bursts of one second.
    parsed: Option<(Fields, Timestamp, Result<Timestamp, DateError>)>,
    /// The last text of which no more was known, with its answer.
    read: Option<(String, Timestamp, Result<Timestamp, DateError>)>,
}

/// The settings of dates, and what is remembered of the lines before. Two that are equal find the same dates in whatever
/// comes.
#[derive(Clone, Debug, Default, PartialEq)]
struct Memory {
    datepattern: Option<String>,
    logtimezone: Option<(String, Offset)>,
    detector: Option<Detector>,
    last: Option<Timestamp>,
    last_text: String,
    burst: Burst,
}

/// When it was asked what time the date tells that the detector found last, and the answer; `None` when there was none.
#[derive(Clone, Debug, Default)]
struct Burst(Option<(Timestamp, Timestamp)>);

impl PartialEq for Burst {
    /// It makes no difference for what is found.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// The dates of a page's lines, as somebody found them.
#[derive(Debug)]
pub(crate) struct Dates {
    before: Memory,
    after: Memory,
    now: Timestamp,
    in_operation: bool,
    /// `None` when a line has no date, or none that can be read: then each jail looks for itself.
    lines: Option<Vec<LineDate>>,
}

/// Where a line's date is, in bytes, and what it tells.
#[derive(Clone, Copy, Debug)]
struct LineDate {
    start: u32,
    end: u32,
    time: Timestamp,
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
            dating: Dating {
                memory: Memory::default(),
                zones: Zones::new(TimeZone::UTC, None),
                parsed: None,
                read: None,
            },
            page: None,
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
        self.dating.memory.datepattern = pattern.map(str::to_owned);
        self.dating.memory.detector = Some(detector);
        self.dating.forget();
        Ok(lines)
    }

    pub(super) fn set_logtimezone(&mut self, zone: Option<&str>) -> Result<(), DateError> {
        self.dating.memory.logtimezone = match zone {
            Some(zone) => Some((zone.to_owned(), parse_logtimezone(zone)?)),
            None => None,
        };
        self.dating.zones.logtimezone = self.dating.memory.logtimezone.as_ref().map(|(_, offset)| *offset);
        self.dating.forget();
        Ok(())
    }

    pub(super) fn logtimezone(&self) -> Option<&str> {
        self.dating.memory.logtimezone.as_ref().map(|(zone, _)| zone.as_str())
    }

    pub(super) fn set_zone(&mut self, zone: TimeZone) {
        self.dating.zones =
            Zones::new(zone, self.dating.memory.logtimezone.as_ref().map(|(_, offset)| *offset));
        self.dating.forget();
    }

    pub(super) fn detector(&mut self, now: Timestamp) -> Option<&mut Detector> {
        self.dating.detector(now)
    }

    pub(super) fn known_detector(&self) -> Option<&Detector> {
        self.dating.memory.detector.as_ref()
    }

    /// Finds and reads the date of a line.
    pub(super) fn date<'l>(&mut self, line: &'l str, at: &Moment, notes: &mut Vec<LogLine>) -> Dated<'l> {
        let dated = self.dated(line, at, notes);
        self.timeless = dated.time.is_none();
        dated
    }

    fn dated<'l>(&mut self, line: &'l str, at: &Moment, notes: &mut Vec<LogLine>) -> Dated<'l> {
        if !self.tells_integers
            && let Some((start, end, time)) = self.dating.again(line, at)
        {
            let (before, date, after) = (&line[..start], DateText::Own(&line[start..end]), &line[end..]);
            return Dated { before, date, after, time: Some(time), undated: false };
        }
        let found = self.dating.find(line, at);
        let Some(found) = found else {
            return self.undated(line, line.len(), line.len(), at);
        };
        let (start, end) = (found.start, found.end);
        if start == end {
            return self.empty_date(line, start, at);
        }
        let text = &line[start..end];
        let Ok(time) = self.dating.parse(line, &found, at) else {
            let text = format!("findFailure failed to parse timeText: {text}");
            notes.push(LogLine::new(Level::ERROR, "filter", text));
            return self.undated(line, start, end, at);
        };
        if self.tells_integers {
            let Dating { memory, zones, .. } = &self.dating;
            self.integer =
                memory.detector.as_ref().is_some_and(|detector| detector.is_integer(line, &found, zones));
        }
        self.dating.remember(text, time, Some(at.now));
        Dated {
            before: &line[..start],
            date: DateText::Own(text),
            after: &line[end..],
            time: Some(time),
            undated: false,
        }
    }

    /// When a line says that it was written.
    pub(super) fn time_of(&mut self, line: &str, at: &Moment) -> Option<Timestamp> {
        let found = self.dating.find(line, at)?;
        self.dating.parse(line, &found, at).ok()
    }

    /// Which template takes the date of a line, and where it stands.
    pub(super) fn explain(&mut self, line: &str, at: &Moment) -> Option<DateCut> {
        let found = self.dating.find(line, at)?;
        let detector = self.dating.memory.detector.as_ref()?;
        let template = detector.template(&found).map(|template| template.name.to_owned()).unwrap_or_default();
        let time = detector.parse(line, &found, at.now, &self.dating.zones).ok();
        Some(DateCut { template, span: (found.start, found.end), time })
    }

    /// Looks at all dates of a page, unless another jail has done so. Whether [`Clock::on_page`] knows them now; if not,
    /// nothing has happened.
    pub(super) fn turn_to(&mut self, page: &Page, at: &Moment) -> bool {
        self.page = None;
        // Built before the comparison, so that new jails are alike.
        self.dating.detector(at.now);
        let before = &self.dating.memory;
        let dates = page.dates(
            |known| known.now == at.now && known.in_operation == at.in_operation && known.before == *before,
            |page| {
                let mut dating = self.dating.clone();
                let lines = dating.lines(page, at);
                let after = dating.memory;
                Dates { before: before.clone(), after, now: at.now, in_operation: at.in_operation, lines }
            },
        );
        if dates.lines.is_none() {
            return false;
        }
        self.dating.memory.clone_from(&dates.after);
        self.timeless = false;
        self.page = Some(dates);
        true
    }

    /// A line of the page at hand, by its date.
    pub(super) fn on_page<'l>(&self, line: &'l str, index: usize) -> Option<Dated<'l>> {
        let found = self.page.as_ref()?.lines.as_ref()?.get(index)?;
        let (start, end) = (found.start as usize, found.end as usize);
        Some(Dated {
            before: &line[..start],
            date: DateText::Own(&line[start..end]),
            after: &line[end..],
            time: Some(found.time),
            undated: false,
        })
    }

    /// The date of a line of the page at hand: where it is, and the time that it tells.
    pub(super) fn place_on_page(&self, index: usize) -> Option<(usize, usize, Timestamp)> {
        let found = self.page.as_ref()?.lines.as_ref()?.get(index)?;
        Some((found.start as usize, found.end as usize, found.time))
    }

    /// The dates of the page at hand.
    pub(super) fn dates(&self) -> Option<Arc<Dates>> {
        self.page.clone()
    }

    /// Whether the dates of the page at hand are known.
    pub(super) fn is_on_page(&self) -> bool {
        self.page.is_some()
    }

    /// The page is through.
    pub(super) fn turn_away(&mut self) {
        self.page = None;
    }

    /// A date that came with the line (a journal's).
    pub(super) fn given<'l>(&mut self, date: &'l str, line: &'l str, time: Timestamp) -> Dated<'l> {
        self.dating.remember(date, time, None);
        Dated { before: "", date: DateText::Own(date), after: line, time: Some(time), undated: false }
    }

    fn recent(&self, at: &Moment) -> Option<Timestamp> {
        self.dating.memory.last.filter(|last| last.0 > at.now.0 - NEAR)
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
            if is_odd(time, at.now) {
                if self.first_today(Complaint::Odd, at.now) {
                    odd(jail, off, &self.whole(dated), notes);
                }
                dated.time = Some(at.now);
                // On a page it is remembered already.
                if self.page.is_none() {
                    self.dating.memory.last = Some(at.now);
                }
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

    /// What is said of a match without a date. `several`: the lines that matched, where more than one is looked at.
    pub(super) fn complain_of_no_date(
        &mut self,
        dated: &Dated<'_>,
        several: Option<&[MatchedLine]>,
        jail: &str,
        now: Timestamp,
        notes: &mut Vec<LogLine>,
    ) {
        if !self.first_today(Complaint::NoDate, now) {
            return;
        }
        let text = repr_str(self.text(dated.date));
        let joined =
            |lines: &[MatchedLine]| lines.iter().map(MatchedLine::line).collect::<Vec<_>>().join("\n");
        let line = several.map_or_else(|| self.whole(dated), joined);
        warn(notes, jail, &format!("Found a match but no valid date/time found for {text}."));
        warn(notes, jail, &format!("Match without a timestamp: {line}"));
        warn(notes, jail, "Please try setting a custom date pattern (see man page jail.conf(5)).");
    }

    /// The text of the date as tickets keep it.
    pub(super) fn text<'a>(&'a self, date: DateText<'a>) -> &'a str {
        match date {
            DateText::Own(text) => text,
            DateText::Remembered => &self.dating.memory.last_text,
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

impl Dating {
    fn detector(&mut self, now: Timestamp) -> Option<&mut Detector> {
        if self.memory.detector.is_none() {
            self.memory.detector = Detector::new(self.memory.datepattern.as_deref(), now).ok();
        }
        self.memory.detector.as_mut()
    }

    fn find(&mut self, line: &str, at: &Moment) -> Option<Found> {
        self.memory.burst = Burst(None);
        self.detector(at.now)?.find(line, at.now)
    }

    /// The date of a line that begins like the last one: where it is, and the time that it tells. It is remembered.
    fn again(&mut self, line: &str, at: &Moment) -> Option<(usize, usize, Timestamp)> {
        let (_, time) = self.memory.burst.0.filter(|(now, _)| *now == at.now)?;
        let (start, end, same) = self.memory.detector.as_mut()?.again(line, at.now)?;
        self.memory.last = Some(time);
        if !same {
            line.get(start..end)?.clone_into(&mut self.memory.last_text);
        }
        Some((start, end, time))
    }

    /// Forgets what dates tell.
    fn forget(&mut self) {
        (self.parsed, self.read, self.memory.burst) = (None, None, Burst(None));
    }

    /// Remembers a line's date. `asked`: when that was, if it is the date that the detector found last.
    fn remember(&mut self, text: &str, time: Timestamp, asked: Option<Timestamp>) {
        self.memory.burst = Burst(asked.map(|now| (now, time)));
        self.memory.last = Some(time);
        if self.memory.last_text != text {
            text.clone_into(&mut self.memory.last_text);
        }
    }

    fn parse(&mut self, line: &str, found: &Found, at: &Moment) -> Result<Timestamp, DateError> {
        // What a date means depends on now (the year, yesterday), but not within a second.
        if let Some(fields) = found.fields() {
            if let Some((known, now, answer)) = &self.parsed
                && *known == fields
                && *now == at.now
            {
                return answer.clone();
            }
            let answer = fields.time(at.now, &self.zones);
            self.parsed = Some((fields, at.now, answer.clone()));
            return answer;
        }
        let (start, end) = found.telling();
        let text = &line[start..end];
        if let Some((known, now, answer)) = &self.read
            && known == text
            && *now == at.now
        {
            return answer.clone();
        }
        let answer = match &self.memory.detector {
            Some(detector) => detector.parse(line, found, at.now, &self.zones),
            None => Err(DateError::Invalid),
        };
        match &mut self.read {
            Some((known, now, old)) => {
                text.clone_into(known);
                (*now, *old) = (at.now, answer.clone());
            }
            none => *none = Some((text.to_owned(), at.now, answer.clone())),
        }
        answer
    }

    /// The dates of a page's lines, if there is nothing to be said about any.
    fn lines(&mut self, page: &Page, at: &Moment) -> Option<Vec<LineDate>> {
        let mut dates = Vec::with_capacity(page.len());
        for line in page.lines() {
            if line.len() > LONGEST_LINE {
                return None;
            }
            let (start, end, time) = match self.again(line, at) {
                Some(known) => known,
                None => {
                    let found = self.find(line, at).filter(|found| found.start < found.end)?;
                    let time = self.parse(line, &found, at).ok()?;
                    self.remember(&line[found.start..found.end], time, Some(at.now));
                    (found.start, found.end, time)
                }
            };
            // See `Clock::plausible`.
            if at.in_operation && is_odd(time, at.now) {
                self.memory.last = Some(at.now);
            }
            dates.push(LineDate { start: start as u32, end: end as u32, time });
        }
        Some(dates)
    }
}

/// Whether a line's time is too far from now to be true (in operation).
pub(super) fn is_odd(time: Timestamp, now: Timestamp) -> bool {
    time.since(now).trunc().abs() > NEAR
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
