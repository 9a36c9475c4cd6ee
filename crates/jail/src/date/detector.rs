//! Which of many templates a line's date is of. The memory of earlier lines decides where a line allows several.

use std::sync::Arc;

use super::DateError;
use super::civil::{DAY, Zones, date};
use super::list::{Own, Templates, templates};
use super::parse::{Fields, epoch, tai64n};
use super::template::{Read, Reading, Span, Template};
use crate::{Level, LogLine, Timestamp};

/// How long a template must have been idle before one with less weight may pass it.
const IDLE: f64 = 300.0;

/// Finds and reads the dates of one jail's lines. Two are equal when they find the same in whatever comes.
#[derive(Clone, Debug, PartialEq)]
pub struct Detector {
    datepattern: Option<String>,
    own: Vec<Own>,
    /// In the order in which they are tried.
    slots: Vec<Slot>,
    last: Option<Last>,
    repeat: Repeat,
}

/// The beginning of the last line, as far as its date hung on it: a line that begins so has the same date in the same
/// place. Most lines come in bursts of one second, whose fraction tells us nothing.
#[derive(Clone, Debug)]
struct Repeat {
    beginning: [u8; Repeat::MOST],
    /// How many bytes of it there are; 0 when the last line is no help.
    len: usize,
    /// Where any digit will do.
    any_digits: (usize, usize),
    found: Option<Found>,
}

impl Repeat {
    const MOST: usize = 48;
    const NONE: Repeat = Repeat { beginning: [0; Repeat::MOST], len: 0, any_digits: (0, 0), found: None };

    fn of(line: &str, len: usize, found: Found) -> Self {
        match line.as_bytes().get(..len) {
            Some(bytes) if (1..=Repeat::MOST).contains(&len) => {
                let mut beginning = [0; Repeat::MOST];
                beginning[..len].copy_from_slice(bytes);
                let any_digits = found.any_digits;
                Repeat { beginning, len, any_digits, found: Some(found) }
            }
            _ => Repeat::NONE,
        }
    }

    /// The date of a line that begins in the same way.
    fn found(&self, line: &str) -> Option<&Found> {
        let found = self.found.as_ref()?;
        let (new, known) = (line.as_bytes().get(..self.len)?, self.beginning.get(..self.len)?);
        let (from, to) = self.any_digits;
        let same = new.get(to..)? == known.get(to..)?
            && new[..from] == known[..from]
            && new[from..to].iter().all(u8::is_ascii_digit);
        same.then_some(found)
    }
}

impl PartialEq for Repeat {
    /// It makes no difference for what is found.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

#[derive(Clone, Debug)]
struct Slot {
    template: Arc<Template>,
    /// What a hit in the first column counts.
    weight: f64,
    hits: u64,
    last_used: f64,
    /// Column of the last hit, in characters.
    distance: usize,
}

impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        let state = |slot: &Self| (slot.hits, slot.weight, slot.last_used, slot.distance);
        let same =
            || (&self.template.name, &self.template.python) == (&other.template.name, &other.template.python);
        state(self) == state(other) && (Arc::ptr_eq(&self.template, &other.template) || same())
    }
}

impl Slot {
    fn weighs(&self) -> f64 {
        self.hits as f64 * self.weight / self.distance.max(1) as f64
    }
}

/// The last winner, and where its date stood.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Last {
    index: usize,
    start: Edge,
    end: Edge,
}

/// A column where a date begins or ends, and the characters on both sides of it; `None` where the line begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edge {
    column: usize,
    outside: Option<char>,
    inside: Option<char>,
}

/// A date in a line.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// First byte of the text that is cut out.
    pub start: usize,
    /// The byte behind it. Equal to `start` when the template matched nothing (`{NONE}`).
    pub end: usize,
    /// Which template, in the present order; good until the next `find`.
    slot: usize,
    /// What of the line was searched.
    from: usize,
    to: usize,
    /// What the template took, with what stands around the date.
    whole: (usize, usize),
    read: Option<Read>,
    /// So many bytes of the line's beginning decided; 0 when nobody knows.
    looked_at: usize,
    any_digits: (usize, usize),
}

impl Found {
    fn new(span: Span, slot: usize, from: usize, to: usize) -> Self {
        let Span { start, end, whole, read, looked_at, any_digits } = span;
        Found { start, end, slot, from, to, whole, read, looked_at, any_digits }
    }

    /// The date's fields, if they were read while it was searched. They alone decide what time it tells.
    pub(crate) fn fields(&self) -> Option<Fields> {
        self.read.flatten()
    }

    /// The bytes that tell the time: more than what is cut out, where a pattern has its group around a part only.
    pub(crate) fn telling(&self) -> (usize, usize) {
        if self.read.is_some() { (self.start, self.end) } else { self.whole }
    }
}

/// What became of a template so far.
#[derive(Clone, Debug, PartialEq)]
pub struct TemplateReport<'a> {
    /// The name in listings.
    pub name: &'a str,
    /// The pattern as written; empty for the epoch and TAI64N kinds.
    pub pattern: &'a str,
    /// The regular expression, in Python's dialect.
    pub regex: &'a str,
    /// How many lines it won.
    pub hits: u64,
    /// Its weight now.
    pub weight: f64,
    /// What one hit in the first column weighs.
    pub template_weight: f64,
}

impl Detector {
    /// A detector for a `datepattern`; without one (or with an empty one) for the default list. Several lines are several
    /// templates. `now` gives the year up to which dates are believed.
    ///
    /// # Errors
    /// An unknown field, a template twice, or a pattern that is no regular expression.
    // Differs: Fail2ban takes a broken regular expression without a word and then fails at each line.
    pub fn new(datepattern: Option<&str>, now: Timestamp) -> Result<Detector, DateError> {
        let year = date((now.0.floor() as i64).div_euclid(DAY)).0;
        let Templates { all, own } = templates(datepattern, i16::try_from(year).unwrap_or(i16::MAX))?;
        let slots = all
            .into_iter()
            .map(|(template, weight)| Slot {
                template,
                weight,
                hits: 0,
                last_used: 0.0,
                distance: usize::MAX,
            })
            .collect();
        let datepattern = datepattern.filter(|pattern| !pattern.is_empty()).map(str::to_owned);
        Ok(Detector { datepattern, own, slots, last: None, repeat: Repeat::NONE })
    }

    /// The first template's pattern (None for those that have none: epoch, TAI64N) and its name, as `get JAIL datepattern`
    /// answers. More than two templates have a name together.
    pub fn name(&self) -> (Option<&str>, &str) {
        match &self.datepattern {
            Some(given) if given == "{NONE}" => (Some("{UNB}^"), "^"),
            _ if self.slots.len() > 2 => (None, "Default Detectors"),
            _ => match self.own.first() {
                Some(own) => (Some(own.pattern.as_str()).filter(|pattern| !pattern.is_empty()), &own.name),
                None => (None, "Default Detectors"),
            },
        }
    }

    /// The lines for the log when the pattern is set: two for each template of the user's own.
    pub fn log_lines(&self) -> Vec<LogLine> {
        let lines = |own: &Own| {
            let (pattern, name, regex) = (portcullis_value::repr_str(&own.pattern), &own.name, &own.regex);
            let said = [
                (Level::INFO, format!("  date pattern `{pattern}`: `{name}`")),
                (Level::DEBUG, format!("  date pattern regex for {pattern}: {regex}")),
            ];
            said.map(|(level, text)| LogLine::new(level, "datedetector", text))
        };
        self.own.iter().flat_map(lines).collect()
    }

    /// The templates in their present order.
    pub fn templates(&self) -> impl Iterator<Item = TemplateReport<'_>> {
        let listed = self.slots.iter().filter(|slot| !slot.template.newer || slot.hits > 0);
        listed.map(|slot| TemplateReport {
            name: &slot.template.name,
            pattern: &slot.template.pattern,
            regex: &slot.template.python,
            hits: slot.hits,
            weight: slot.weighs(),
            template_weight: slot.weight,
        })
    }

    /// The place of a line's date, if the line begins like the one before: then it tells the same time, too. `None` says
    /// nothing, and changes nothing. The flag says that its text is the same, too.
    pub(crate) fn again(&mut self, line: &str, now: Timestamp) -> Option<(usize, usize, bool)> {
        let found = self.repeat.found(line)?;
        let same = found.any_digits.0 == found.any_digits.1;
        let slot = self.slots.get_mut(found.slot)?;
        slot.hits += 1;
        slot.last_used = now.0;
        Some((found.start, found.end, same))
    }

    /// Finds the date of a line and remembers which template had it.
    pub fn find(&mut self, line: &str, now: Timestamp) -> Option<Found> {
        if self.again(line, now).is_some()
            && let Some(found) = self.repeat.found
        {
            return Some(Found { to: line.len(), ..found });
        }
        self.repeat = Repeat::NONE;
        let (found, at) = self.search(line)?;
        let slot = &mut self.slots[at];
        let (start, end) = found.whole;
        let (column, end_column) = span_columns(line, found.whole);
        slot.hits += 1;
        slot.last_used = now.0;
        slot.distance = column;
        let (start, end) = (Edge::start(line, start, column), Edge::end(line, end, end_column));
        let index = self.promoted(at, now);
        self.last = Some(Last { index, start, end });
        let found = Found { slot: index, ..found };
        // Such a template is tried first on the next line, and when it fits nobody else is asked. It was tried in one place
        // only where the date begins with a letter or a digit.
        let begins = line.as_bytes().get(found.start).is_some_and(u8::is_ascii_alphanumeric);
        if begins && self.slots[index].template.anchored {
            self.repeat = Repeat::of(line, found.looked_at, found);
        }
        Some(found)
    }

    /// The template that found a date.
    pub fn template(&self, found: &Found) -> Option<TemplateReport<'_>> {
        self.templates().nth(found.slot)
    }

    /// The winner for this line and its place in the order.
    fn search(&self, line: &str) -> Option<(Found, usize)> {
        let mut best: Option<(usize, Found, usize)> = None;
        let mut tried = None;
        if let Some(last) = self.last {
            let template = &self.slots[last.index].template;
            let within = if template.anchored { None } else { last.within(line) };
            let (from, to) = within.unwrap_or((0, line.len()));
            // One that was searched in the last date's columns only is searched in the whole line below.
            tried = within.is_none().then_some(last.index);
            if let Some(span) = template.find(&line[..to], from) {
                let found = Found::new(span, last.index, from, to);
                let same = last.columns() == span_columns(line, span.whole);
                if template.anchored || self.slots.len() == 1 || same {
                    return Some((found, last.index));
                }
                best = Some((columns(&line[..span.whole.0]), found, last.index));
            }
        }
        let last_distance = self.last.map_or(1, |last| last.start.column);
        for (at, slot) in self.slots.iter().enumerate() {
            if tried == Some(at) {
                continue;
            }
            let Some(span) = slot.template.find(line, 0) else { continue };
            let found = Found::new(span, at, 0, line.len());
            let column = columns(&line[..span.whole.0]);
            let next = self.slots.get(at + 1).filter(|next| !next.template.newer);
            let first_choice = column == 0 && slot.hits > 0 && next.is_some_and(|next| next.hits == 0);
            if next.is_none() || slot.template.anchored || first_choice {
                return Some((found, at));
            }
            if column > slot.distance || column > last_distance {
                if best.is_none_or(|(least, ..)| column < least) {
                    best = Some((column, found, at));
                }
                continue;
            }
            return Some((found, at));
        }
        best.map(|(_, found, at)| (found, at))
    }

    /// Moves the winner up the order if it has earned that. Its place afterwards.
    fn promoted(&mut self, at: usize, _now: Timestamp) -> usize {
        if at == 0 || self.last.is_some_and(|last| last.index == at) {
            return at;
        }
        let unused = self.slots.iter().position(|slot| slot.hits == 0).unwrap_or(at);
        let target = if unused < at { unused } else { at / 2 };
        for target in [target, at - 1] {
            let (winner, other) = (&self.slots[at], &self.slots[target]);
            if winner.weighs() > other.weighs() || winner.last_used - other.last_used > IDLE {
                let slot = self.slots.remove(at);
                self.slots.insert(target, slot);
                return target;
            }
        }
        at
    }

    /// The time that a found date tells.
    ///
    /// # Errors
    /// [`DateError::Invalid`] when there is no such time.
    // Differs: an unknown zone name (`XXX`) or a pattern with a month and no day is no date here; Fail2ban loses the line
    // and pauses for two seconds.
    pub fn parse(
        &self,
        line: &str,
        found: &Found,
        now: Timestamp,
        zones: &Zones,
    ) -> Result<Timestamp, DateError> {
        let template = &self.slots[found.slot].template;
        if let Some(read) = &found.read {
            return read.as_ref().ok_or(DateError::Invalid)?.time(now, zones);
        }
        let line = line.get(..found.to).ok_or(DateError::Invalid)?;
        // What the hand found of these two is the number and nothing else.
        if template.hand.is_some() {
            let text = &line[found.start..found.end];
            match template.reading {
                Reading::Epoch(_) => return epoch(text, false),
                Reading::Tai64n => return tai64n(text),
                Reading::LongEpoch(_) | Reading::Fields => {}
            }
        }
        let raw = template.read(line, found.from).filter(|raw| !raw.broken).ok_or(DateError::Invalid)?;
        let number = raw.number.map_or("", |(start, end)| &line[start..end]);
        match template.reading {
            Reading::Fields => Fields::time(&raw.fields, now, zones),
            Reading::Epoch(_) => epoch(number, false),
            Reading::LongEpoch(_) => epoch(number, true),
            Reading::Tai64n => tai64n(number),
        }
    }

    /// Whether Fail2ban would have the found date's time as an integer (`1124013599`, not `1124013599.0`): with a zone, and
    /// for TAI64N.
    pub fn is_integer(&self, line: &str, found: &Found, zones: &Zones) -> bool {
        let template = &self.slots[found.slot].template;
        match template.reading {
            Reading::Tai64n => true,
            Reading::Epoch(_) | Reading::LongEpoch(_) => false,
            Reading::Fields => {
                if zones.logtimezone.is_some() {
                    return true;
                }
                if let Some(read) = &found.read {
                    return read.is_some_and(|fields| fields.zone.is_some());
                }
                template.read(&line[..found.to], found.from).is_some_and(|raw| raw.fields.zone.is_some())
            }
        }
    }
}

/// Length in characters.
fn columns(text: &str) -> usize {
    text.bytes().filter(|b| (*b as i8) >= -0x40).count()
}

fn span_columns(line: &str, (start, end): (usize, usize)) -> (usize, usize) {
    let column = columns(&line[..start]);
    (column, column + columns(&line[start..end]))
}

/// Byte offset of a column; the line's end, if it is shorter.
fn byte_of(line: &str, column: usize) -> usize {
    let beginning = line.as_bytes().get(..=column).unwrap_or(line.as_bytes());
    if beginning.is_ascii() {
        return column.min(line.len());
    }
    line.char_indices().nth(column).map_or(line.len(), |(at, _)| at)
}

/// The character in a column.
fn char_in(line: &str, column: usize) -> Option<char> {
    line[byte_of(line, column)..].chars().next()
}

impl Edge {
    /// The edge of a date that starts at byte `at`.
    fn start(line: &str, at: usize, column: usize) -> Self {
        let (outside, inside) = (line[..at].chars().next_back(), line[at..].chars().next());
        Edge { column, outside, inside }
    }

    /// The edge of a date that stops before byte `at`.
    fn end(line: &str, at: usize, column: usize) -> Self {
        let (outside, inside) = (line[at..].chars().next(), line[..at].chars().next_back());
        Edge { column, outside, inside }
    }

    /// Whether a line with these characters around the column looks the same there: outside of the date, or inside if
    /// that is no letter and no digit.
    fn is_like(&self, outside: Option<char>, inside: Option<char>) -> bool {
        outside == self.outside || (inside == self.inside && !inside.is_some_and(char::is_alphanumeric))
    }
}

impl Last {
    fn columns(&self) -> (usize, usize) {
        (self.start.column, self.end.column)
    }

    /// The bytes in which the last date stood, when the line looks the same around them.
    fn within(&self, line: &str) -> Option<(usize, usize)> {
        let before = |column: usize| column.checked_sub(1).and_then(|column| char_in(line, column));
        let (start, end) = self.columns();
        let same = self.start.is_like(before(start), char_in(line, start))
            && self.end.is_like(char_in(line, end), before(end));
        same.then(|| (byte_of(line, start), byte_of(line, end)))
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn a_date_of_xrdp_is_found_and_is_not_listed_before() {
        let now = Timestamp(1_795_374_000.0);
        let zones = Zones::new(TimeZone::UTC, None);
        for pattern in [None, Some("{^LN-BEG}"), Some("{DEFAULT}")] {
            let mut detector = Detector::new(pattern, now).unwrap();
            let before = detector.templates().count();
            let other = "2026-11-22 10:00:00 x";
            assert!(detector.find(other, now).is_some());
            assert!(detector.find("[20261122-100000] x", now).is_none());
            assert!(detector.find("20261122-10:00:00 x", now).is_none());
            assert_eq!(detector.templates().count(), before);
            for (line, text) in [
                ("[20261122-10:00:00] [INFO ] x", "20261122-10:00:00"),
                ("[20261122-10:00:00.123 +0000] x", "20261122-10:00:00.123 +0000"),
            ] {
                let found = detector.find(line, now).unwrap();
                assert_eq!(&line[found.start..found.end], text);
                assert_eq!(detector.parse(line, &found, now, &zones).unwrap().0, 1_795_341_600.0);
            }
            assert_eq!(detector.templates().count(), before + 1);
            let found = detector.find(other, now).unwrap();
            assert_eq!((found.start, found.end), (0, 19));
        }
    }
}
