//! The way of a line: date, prefregex, failregexes, ignoreregex, connection, identity.

use portcullis_value::Value;

use super::clock::Dated;
use super::connection::Outcome;
use super::gate::Gate;
use super::identity;
use super::python::{Captures, TooHard};
use super::settings::{Filter, LONGEST_LINE};
use crate::event::{Level, LogLine};
use crate::failure::{Data, MatchedLine};
use crate::{Failure, Id, Outside, Timestamp};

/// A regex that reached the step limit says so once in this many seconds.
const MINUTE: f64 = 60.0;

/// When a line is judged.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time now.
    pub now: Timestamp,
    /// Whether the log has been read to its end before: its lines are news then, whatever their dates say.
    pub in_operation: bool,
}

/// A line whose time is known: a journal's entry.
#[derive(Clone, Copy, Debug)]
pub struct DatedLine<'l> {
    /// The date as tickets keep it.
    pub date: &'l str,
    /// The line, without a date.
    pub line: &'l str,
    /// Its time.
    pub time: Timestamp,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Status {
    /// No regex matched.
    #[default]
    Missed,
    /// A failregex matched.
    Matched,
    /// An ignoreregex matched.
    Ignored,
    /// Too old to be looked at.
    TooOld,
}

/// The answer to a line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// What became of the line.
    pub status: Status,
    /// The failures to be counted. A name with several addresses is as many failures.
    pub failures: Vec<Failure>,
    /// What there is to say.
    pub notes: Vec<LogLine>,
    /// Which failregexes matched, in order; more than one only with [`Filter::set_check_all`].
    pub hits: Vec<Hit>,
    /// The groups of the prefregex, if it matched; only with [`Filter::set_check_all`].
    pub prefregex: Option<Data>,
    /// The index of the ignoreregex that matched.
    pub ignored_by: Option<usize>,
}

/// One failregex that matched.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Its index.
    pub index: usize,
    /// What it captured, with the prefregex' groups before: null where a group took no part. Only with
    /// [`Filter::set_check_all`].
    pub data: Data,
    /// Whether it is no failure (`<F-NOFAIL>`, or a connection whose address is not known yet).
    pub nofail: bool,
    /// Whose it is, and the address where the identity is not one. Empty when nobody knows, or yet.
    pub identities: Vec<(Id, Option<Id>)>,
    /// When it was.
    pub time: Timestamp,
}

/// Where the search goes on after a match.
enum Next {
    Stop,
    Continue,
}

impl Filter {
    /// Judges a line of a log, without its line end.
    pub fn judge(&mut self, line: &str, at: Moment, outside: &mut dyn Outside) -> Verdict {
        let line = self.cut(line);
        let mut verdict = Verdict::default();
        let dated = self.clock.date(line, &at, &mut verdict.notes);
        self.judge_parts(dated, &at, outside, &mut verdict);
        verdict
    }

    /// Judges a line that comes with its time.
    pub fn judge_dated(&mut self, line: DatedLine<'_>, at: Moment, outside: &mut dyn Outside) -> Verdict {
        let text = self.cut(line.line);
        let mut verdict = Verdict::default();
        let dated = self.clock.given(line.date, text, line.time);
        self.judge_parts(dated, &at, outside, &mut verdict);
        verdict
    }

    fn cut<'l>(&mut self, line: &'l str) -> &'l str {
        if line.len() <= LONGEST_LINE {
            return line;
        }
        // Differs: Fail2ban judges lines of any length.
        self.counters.cut += 1;
        let end = (0..=LONGEST_LINE).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
        &line[..end]
    }

    fn judge_parts(
        &mut self,
        mut dated: Dated<'_>,
        at: &Moment,
        outside: &mut dyn Outside,
        verdict: &mut Verdict,
    ) {
        let notes = &mut verdict.notes;
        if !self.check_all && !self.clock.plausible(&mut dated, &self.jail, self.findtime, at, notes) {
            verdict.status = Status::TooOld;
            return;
        }
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        if self.maxlines > 1 {
            let line = self.line(&dated);
            self.window.push(line, self.maxlines);
            self.window.text(&mut text);
        } else {
            text.push_str(dated.before);
            text.push_str(dated.after);
            text.push('\n');
        }
        if self.check_all || self.may_match(&text) {
            self.match_text(&text, &dated, at, outside, verdict);
        }
        self.text = text;
    }

    fn may_match(&mut self, text: &str) -> bool {
        let gate = self.gate.get_or_insert_with(|| Gate::new(self.prefregex.as_ref(), &self.failregex));
        gate.read(text)
    }

    fn line(&self, dated: &Dated<'_>) -> MatchedLine {
        MatchedLine {
            before: dated.before.to_owned(),
            date: self.clock.text(dated.date).to_owned(),
            after: dated.after.to_owned(),
        }
    }

    fn match_text(
        &mut self,
        text: &str,
        dated: &Dated<'_>,
        at: &Moment,
        outside: &mut dyn Outside,
        verdict: &mut Verdict,
    ) {
        // Fail2ban looks for ignoreregexes first when they are few.
        if self.ignoreregex.len() + 2 < self.failregex.len()
            && let Some(index) = self.ignored(text, at, &mut verdict.notes)
        {
            verdict.status = Status::Ignored;
            verdict.ignored_by = Some(index);
            return;
        }
        let mut groups = Data::new();
        let (mut content, mut base) = (String::new(), 0);
        if self.prefregex.is_some() {
            let Some((pre, span)) = self.prefix(text, at, verdict) else { return };
            groups = pre;
            if let Some((start, end)) = span {
                content = format!("{}\n", &text[start..end]);
                base = start;
            }
        }
        let mut shorter: String;
        let mut text = if content.is_empty() { text } else { &content };
        for index in 0..self.failregex.len() {
            if !self.check_all && self.gate.as_ref().is_some_and(|gate| !gate.may_match(index)) {
                continue;
            }
            let searched = self.failregex[index].search(text);
            let Some(captures) = self.settled(searched, "failregex", index, text, at, &mut verdict.notes)
            else {
                continue;
            };
            match self.matched(index, &captures, text, base, &mut groups, dated, at, outside, verdict) {
                Next::Stop => return,
                Next::Continue if self.maxlines > 1 => {
                    // The lines that matched have left.
                    shorter = String::new();
                    self.window.text(&mut shorter);
                    (text, base) = (&shorter, 0);
                }
                Next::Continue => {}
            }
        }
    }

    /// The prefregex' groups, and the span of its content when that is not empty.
    fn prefix(
        &mut self,
        text: &str,
        at: &Moment,
        verdict: &mut Verdict,
    ) -> Option<(Data, Option<(usize, usize)>)> {
        let searched = self.prefregex.as_mut()?.search(text);
        let captures = self.settled(searched, "prefregex", 0, text, at, &mut verdict.notes)?;
        let regex = self.prefregex.as_ref()?;
        let mut groups = identity::groups(regex, &captures, text, self.check_all);
        if self.check_all {
            verdict.prefregex = Some(groups.clone());
        }
        groups.shift_remove("content");
        let content = regex.names().get("content").and_then(|group| captures.span(*group));
        Some((groups, content.filter(|(start, end)| start < end)))
    }

    /// The ignoreregex that matches.
    fn ignored(&mut self, text: &str, at: &Moment, notes: &mut Vec<LogLine>) -> Option<usize> {
        for index in 0..self.ignoreregex.len() {
            let searched = self.ignoreregex[index].search(text);
            if self.settled(searched, "ignoreregex", index, text, at, notes).is_some() {
                return Some(index);
            }
        }
        None
    }

    /// The search's result; a search without one is counted and told.
    fn settled(
        &mut self,
        searched: Result<Option<Captures>, TooHard>,
        kind: &str,
        index: usize,
        text: &str,
        at: &Moment,
        notes: &mut Vec<LogLine>,
    ) -> Option<Captures> {
        let Err(TooHard) = searched else { return searched.ok().flatten() };
        self.counters.too_hard += 1;
        let key = format!("{kind} {}", index + 1);
        self.silent.retain(|(_, until)| until.0 > at.now.0 && until.since(at.now) <= MINUTE);
        if !self.silent.iter().any(|(silent, _)| *silent == key) {
            let shown: String = text.trim_end_matches('\n').chars().take(200).collect();
            let text = format!(
                "[{}] {key} gave up on a line of {} bytes, which may be an evasion: {}",
                self.jail,
                text.len(),
                portcullis_value::repr_str(&shown)
            );
            notes.push(LogLine::new(Level::WARNING, "filter", text));
            self.silent.push((key, at.now.plus(MINUTE)));
        }
        None
    }

    #[allow(clippy::too_many_arguments, reason = "the state of one line on its way")]
    fn matched(
        &mut self,
        index: usize,
        captures: &Captures,
        text: &str,
        base: usize,
        pre: &mut Data,
        dated: &Dated<'_>,
        at: &Moment,
        outside: &mut dyn Outside,
        verdict: &mut Verdict,
    ) -> Next {
        let lines = if self.maxlines > 1 {
            self.window.take(&self.failregex[index], captures, base)
        } else {
            Vec::new()
        };
        let joined: String;
        let to_ignore = if self.maxlines > 1 {
            joined = lines.iter().map(|line| format!("{}{}\n", line.before, line.after)).collect();
            &joined
        } else {
            text
        };
        if let Some(ignored) = self.ignored(to_ignore, at, &mut verdict.notes) {
            verdict.status = Status::Ignored;
            verdict.ignored_by = Some(ignored);
            return Next::Stop;
        }
        let time = match dated.time {
            Some(time) => Some(time),
            None if self.check_all => Some(at.now),
            None => None,
        };
        if dated.undated {
            self.clock.complain_of_no_date(dated, &self.jail, at.now, &mut verdict.notes);
        }
        verdict.status = Status::Matched;
        let Some(time) = time else { return Next::Stop };

        let mut data = if self.check_all { pre.clone() } else { std::mem::take(pre) };
        merge(&mut data, identity::groups(&self.failregex[index], captures, text, self.check_all));
        let lines = if self.maxlines > 1 { lines } else { vec![self.line(dated)] };
        self.found(index, data, lines, time, at, outside, verdict);
        if self.check_all && !self.first_only { Next::Continue } else { Next::Stop }
    }

    #[allow(clippy::too_many_arguments, reason = "the state of one line on its way")]
    fn found(
        &mut self,
        index: usize,
        mut data: Data,
        mut lines: Vec<MatchedLine>,
        time: Timestamp,
        at: &Moment,
        outside: &mut dyn Outside,
        verdict: &mut Verdict,
    ) {
        let mut nofail = false;
        if data.get("mlfid").is_some_and(Value::is_true) {
            match self.connections.merge(data, std::mem::take(&mut lines), at.now) {
                Outcome::Failure(merged, matches) => (data, lines) = (merged, matches),
                Outcome::Nothing(merged) => {
                    data = merged;
                    nofail = true;
                }
            }
        }
        let identities = if nofail {
            Vec::new()
        } else {
            identity::identities(&mut data, self.usedns, outside, &mut verdict.notes)
        };
        // The tester does not count what is marked as no failure; a jail does, unless it belongs to a connection.
        let marked = data.get("nofail").is_some_and(Value::is_true);
        let shown = if self.check_all { data.clone() } else { Data::new() };
        if !(nofail || self.check_all && marked) {
            data.retain(|_, value| *value != Value::None);
            // A time that is still to come is now, unless a tester asks.
            let time = if self.check_all || time.0 <= at.now.0 { time } else { at.now };
            let count = identities.len();
            for (i, (id, ip)) in identities.iter().enumerate() {
                let (id, ip) = (id.clone(), ip.clone());
                // The last one, mostly the only one, has the originals.
                let (data, matches) = if i + 1 == count {
                    (std::mem::take(&mut data), std::mem::take(&mut lines))
                } else {
                    (data.clone(), lines.clone())
                };
                verdict.failures.push(Failure { id, ip, time, matches, data });
            }
        }
        verdict.hits.push(Hit { index, data: shown, nofail: nofail || marked, identities, time });
    }
}

/// The failregex' groups over the prefregex'.
fn merge(data: &mut Data, groups: Data) {
    for (name, value) in groups {
        // Differs: a group that took no part does not overwrite the prefregex' (1.1 does so; in 1.0.2 it does).
        if value != Value::None || !data.contains_key(&name) {
            data.insert(name, value);
        }
    }
}
