//! The way of a line: date, prefregex, failregexes, ignoreregex, connection, identity.

use std::borrow::Cow;
use std::sync::Arc;

use portcullis_value::Value;

use super::clock::{Dated, is_odd};
use super::gate::Gate;
use super::identity;
use super::python::{Captures, TooHard};
use super::rule::{Rule, Wanted};
use super::settings::{Filter, LONGEST_LINE};
use super::verdict::{DatedLine, Hit, Moment, Status, Verdict};
use super::walk::without_date;
use crate::event::{Level, LogLine};
use crate::failure::{Data, MatchedLine};
use crate::{Failure, Id, Outside, Page, Timestamp};

/// A regex that reached the step limit says so once in this many seconds.
const MINUTE: f64 = 60.0;

/// A failregex that matched.
struct Found<'f> {
    index: usize,
    rule: &'f Rule,
    captures: &'f Captures,
    /// All that the prefregex was tried on, and what the failregex matched in.
    whole: &'f str,
    text: &'f str,
}

/// What regexes are tried on.
struct Texts<'t> {
    whole: &'t str,
    /// What of it the prefregex left, with a line feed, or all.
    content: &'t str,
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
        self.judge_parts(dated, None, &at, outside, &mut verdict);
        verdict
    }

    /// Judges the lines of a page from `next` on, up to one that there is something to do or to say about; `None` when the
    /// page is through. `next` is then that line, and whoever calls goes on behind it; so he may after a panic.
    pub fn judge_page(
        &mut self,
        page: &Page,
        at: Moment,
        next: &mut usize,
        outside: &mut dyn Outside,
    ) -> Option<Verdict> {
        let dated = if *next == 0 { self.clock.turn_to(page, &at) } else { self.clock.is_on_page() };
        if dated && *next == 0 {
            self.read_or_take(page, &at);
        }
        let mut verdict = Verdict::default();
        while *next < page.len() {
            // Most lines are nobody's business.
            if dated && self.quiet && self.gate.as_ref().is_some_and(|gate| gate.refuses(*next)) {
                *next += 1;
                continue;
            }
            let line = page.line(*next);
            match self.clock.on_page(line, *next).filter(|_| dated) {
                Some(dated) => self.judge_parts(dated, Some(*next), &at, outside, &mut verdict),
                None => verdict = self.judge(line, at, outside),
            }
            if !verdict.failures.is_empty() || !verdict.notes.is_empty() {
                return Some(verdict);
            }
            *next += 1;
        }
        self.clock.turn_away();
        if let Some(gate) = &mut self.gate {
            gate.turn_away();
        }
        None
    }

    /// Has the automaton read those lines of a page that are not too old.
    pub(super) fn read_page(&mut self, page: &Page, at: &Moment) {
        self.quiet = false;
        self.ready_gate();
        let oldest = self.oldest(at);
        let Some(gate) = self.gate.as_mut().filter(|_| self.maxlines == 1) else { return };
        let mut quiet = true;
        let text = |index| {
            let (start, end, time) = self.clock.place_on_page(index)?;
            let young = time.0 >= oldest;
            quiet &= young && (self.check_all || !at.in_operation || !is_odd(time, at.now));
            let line = page.line_bytes(index);
            let length = page.length(index);
            young.then(|| without_date(line, start, end, length))
        };
        gate.read_page((0..page.len()).map(text));
        self.quiet = quiet;
    }

    /// Builds the automaton, unless there is one.
    pub(super) fn ready_gate(&mut self) {
        if self.gate.as_ref().is_none_or(|gate| gate.tells_prefix() != self.check_all) {
            self.gate = Some(Gate::new(
                self.prefregex.as_ref().map(|rule| &rule.regex),
                self.failregex.iter().map(|rule| &rule.regex),
                self.ignoreregex.iter().map(|rule| &rule.regex),
                self.check_all,
            ));
        }
    }

    /// Judges a line that comes with its time.
    pub fn judge_dated(&mut self, line: DatedLine<'_>, at: Moment, outside: &mut dyn Outside) -> Verdict {
        let text = self.cut(line.line);
        let mut verdict = Verdict::default();
        let dated = self.clock.given(line.date, text, line.time);
        self.judge_parts(dated, None, &at, outside, &mut verdict);
        verdict
    }

    pub(super) fn cut<'l>(&mut self, line: &'l str) -> &'l str {
        if line.len() <= LONGEST_LINE {
            return line;
        }
        // Differs: Fail2ban judges lines of any length.
        self.counters.cut += 1;
        let end = (0..=LONGEST_LINE).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
        &line[..end]
    }

    /// `place`: which line of the page at hand it is.
    fn judge_parts(
        &mut self,
        mut dated: Dated<'_>,
        place: Option<usize>,
        at: &Moment,
        outside: &mut dyn Outside,
        verdict: &mut Verdict,
    ) {
        let notes = &mut verdict.notes;
        if !self.check_all && !self.clock.plausible(&mut dated, &self.jail, self.findtime, at, notes) {
            verdict.status = Status::TooOld;
            return;
        }
        self.ready_gate();
        if self.maxlines == 1 {
            let parts = [dated.before, dated.after, "\n"];
            let Some(gate) = &mut self.gate else { return };
            let read = |gate: &mut Gate| gate.read(parts.map(str::as_bytes));
            let may_match = place.and_then(|place| gate.turn_to(place)).unwrap_or_else(|| read(gate));
            // Most lines are nobody's business.
            if may_match {
                let mut text = std::mem::take(&mut self.text);
                text.clear();
                text.extend(parts);
                self.match_text(&text, &dated, at, outside, verdict);
                self.text = text;
            }
            return;
        }
        self.window.push(dated.before, self.clock.text(dated.date), dated.after, self.maxlines);
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        self.window.text(&mut text);
        let may_match = self.gate.as_mut().is_some_and(|gate| gate.read([text.as_bytes(), b"", b""]));
        if may_match || self.cuts_window() {
            self.match_text(&text, &dated, at, outside, verdict);
        }
        self.text = text;
    }

    /// Whether the window is left with the content that a prefregex finds in it.
    fn cuts_window(&self) -> bool {
        self.maxlines > 1 && self.prefregex.as_ref().is_some_and(|prefregex| prefregex.content.is_some())
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
            && self.ignored(text, at, true, &mut verdict.ignored_by, &mut verdict.notes)
        {
            verdict.status = Status::Ignored;
            return;
        }
        let may_fail = self.gate.as_ref().is_none_or(Gate::may_fail);
        // A tester wants to know of the prefregex whatever comes of it.
        if !may_fail && !self.check_all && !self.cuts_window() {
            return;
        }
        // Where only the number counts, the automaton mostly knows.
        if !may_fail
            && self.counts_only
            && self.maxlines == 1
            && let Some(matches) = self.gate.as_ref().and_then(|gate| gate.prefix_matches(text))
        {
            verdict.prefregex = matches.then(Data::new);
            return;
        }
        let mut content = std::mem::take(&mut self.content);
        content.clear();
        if let Some(prefregex) = self.prefregex.clone() {
            let Some(span) = self.prefix(&prefregex, text, at, verdict) else {
                self.content = content;
                return;
            };
            if let Some((start, end)) = span {
                content.push_str(&text[start..end]);
                if self.maxlines > 1 {
                    self.window.keep_only(&content);
                }
                content.push('\n');
            }
        }
        if may_fail {
            let content = if content.is_empty() { text } else { &content };
            self.try_all(&Texts { whole: text, content }, dated, at, outside, verdict);
        }
        self.content = content;
    }

    /// Tries the failregexes that may match, in order, until one does.
    fn try_all(
        &mut self,
        texts: &Texts<'_>,
        dated: &Dated<'_>,
        at: &Moment,
        outside: &mut dyn Outside,
        verdict: &mut Verdict,
    ) {
        let mut shorter: String;
        let Texts { whole, content: mut text } = *texts;
        let mut next = 0;
        while let Some(index) = self.gate.as_ref().and_then(|gate| gate.next_failregex(next)) {
            next = index + 1;
            let rule = Arc::clone(&self.failregex[index]);
            let searched = rule.regex.search(text, &mut self.scratch);
            if !self.settled(searched, "failregex", index, text, at, &mut verdict.notes) {
                continue;
            }
            let mut captures = std::mem::take(&mut self.captures);
            captures.take(&rule.regex, &self.scratch);
            let found = Found { index, rule: &rule, captures: &captures, whole, text };
            let then = self.matched(&found, dated, at, outside, verdict);
            self.captures = captures;
            match then {
                Next::Stop => return,
                Next::Continue if self.maxlines > 1 => {
                    // The lines that matched have left, and those around them have become neighbours.
                    shorter = String::new();
                    self.window.text(&mut shorter);
                    text = &shorter;
                    if let Some(gate) = &mut self.gate {
                        gate.read([text.as_bytes(), b"", b""]);
                    }
                }
                Next::Continue => {}
            }
        }
    }

    /// Searches with the prefregex. The span of its content when that is not empty.
    #[allow(clippy::option_option, reason = "no match, a match without content, the content")]
    fn prefix(
        &mut self,
        prefregex: &Rule,
        text: &str,
        at: &Moment,
        verdict: &mut Verdict,
    ) -> Option<Option<(usize, usize)>> {
        let searched = prefregex.regex.search(text, &mut self.scratch);
        if !self.settled(searched, "prefregex", 0, text, at, &mut verdict.notes) {
            return None;
        }
        // What it captured is looked at only if a failregex matches, or by a tester.
        self.prefix.take(&prefregex.regex, &self.scratch);
        if self.check_all {
            let groups = || prefregex.groups(&self.prefix, text, self.wanted());
            verdict.prefregex = Some(if self.counts_only { Data::new() } else { groups() });
        }
        let content = prefregex.content.and_then(|group| self.prefix.span(group));
        Some(content.filter(|(start, end)| start < end))
    }

    fn wanted(&self) -> Wanted {
        match (self.counts_only, self.check_all) {
            (true, _) => Wanted::Deciding,
            (_, true) => Wanted::All,
            _ => Wanted::Captured,
        }
    }

    /// Whether a regex is tried though another has matched.
    pub(super) fn tries_all(&self) -> bool {
        self.check_all && !self.first_only
    }

    /// Whether an ignoreregex matches. `by`: the one that does, or all. `read`: the text is the one that the automaton has read.
    pub(super) fn ignored(
        &mut self,
        text: &str,
        at: &Moment,
        read: bool,
        by: &mut Vec<usize>,
        notes: &mut Vec<LogLine>,
    ) -> bool {
        let known = by.len();
        let candidate = |filter: &Self, from: usize| match &filter.gate {
            Some(gate) if read => gate.next_ignoreregex(from),
            _ => (from < filter.ignoreregex.len()).then_some(from),
        };
        let mut next = 0;
        while let Some(index) = candidate(self, next) {
            next = index + 1;
            let rule = Arc::clone(&self.ignoreregex[index]);
            let searched = rule.regex.search(text, &mut self.scratch);
            if self.settled(searched, "ignoreregex", index, text, at, notes) {
                by.push(index);
                if !self.tries_all() {
                    break;
                }
            }
        }
        by.len() > known
    }

    /// The search's result; a search without one is counted and told.
    pub(super) fn settled(
        &mut self,
        searched: Result<bool, TooHard>,
        kind: &str,
        index: usize,
        text: &str,
        at: &Moment,
        notes: &mut Vec<LogLine>,
    ) -> bool {
        if let Ok(found) = searched {
            return found;
        }
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
        false
    }

    fn matched(
        &mut self,
        found: &Found<'_>,
        dated: &Dated<'_>,
        at: &Moment,
        outside: &mut dyn Outside,
        verdict: &mut Verdict,
    ) -> Next {
        let Found { rule, captures, text, .. } = *found;
        let lines =
            if self.maxlines > 1 { self.window.take(&rule.regex, captures, text) } else { Vec::new() };
        let joined: String;
        let to_ignore = if self.maxlines > 1 {
            joined = lines.iter().map(|line| format!("{}{}\n", line.before, line.after)).collect();
            &joined
        } else {
            text
        };
        if self.ignored(to_ignore, at, false, &mut verdict.ignored_by, &mut verdict.notes) {
            verdict.status = Status::Ignored;
            return if self.tries_all() { Next::Continue } else { Next::Stop };
        }
        let time = match dated.time {
            Some(time) => Some(time),
            None if self.check_all => Some(at.now),
            None => None,
        };
        if dated.undated {
            let several = (self.maxlines > 1).then_some(&lines[..]);
            self.clock.complain_of_no_date(dated, several, &self.jail, at.now, &mut verdict.notes);
        }
        verdict.status = Status::Matched;
        let Some(time) = time else { return Next::Stop };

        let groups = rule.groups(captures, text, self.wanted());
        let data = match &self.prefregex {
            Some(prefregex) => {
                let mut data = prefregex.groups(&self.prefix, found.whole, self.wanted());
                data.remove("content");
                merge(&mut data, groups);
                data
            }
            None => groups,
        };
        let lines = match self.maxlines {
            1 if self.counts_only => Vec::new(),
            1 => vec![self.line(dated)],
            _ => lines,
        };
        self.found(found.index, data, lines, time, at, outside, verdict);
        // More may match if all are checked.
        if self.check_all && !self.first_only { Next::Continue } else { Next::Stop }
    }

    #[allow(clippy::too_many_arguments, reason = "the state of one line on its way")]
    fn found(
        &mut self,
        index: usize,
        data: Data,
        mut lines: Vec<MatchedLine>,
        time: Timestamp,
        at: &Moment,
        outside: &mut dyn Outside,
        verdict: &mut Verdict,
    ) {
        let mut failed = true;
        let mut data: Cow<'_, Data> = Cow::Owned(data);
        if data.get("mlfid").is_some_and(Value::is_true) {
            let outcome = self.connections.merge(data.into_owned(), std::mem::take(&mut lines), at.now);
            failed = outcome.lines.is_some();
            lines = outcome.lines.unwrap_or_default();
            data = outcome.data;
        }
        let identities = if failed {
            identity::identities(&data, self.usedns, outside, &mut verdict.notes)
        } else {
            Vec::new()
        };
        // The tester does not count what is marked as no failure; a jail does, unless it belongs to a connection.
        let is_set = |name: &str| data.get(name).is_some_and(Value::is_true);
        let marked = is_set("nofail");
        let harmless = marked || is_set("mlfgained");
        let mut shown = Data::new();
        if !self.counts_only {
            let mut data = data.into_owned();
            // The address, where the identity is not it.
            if let [(_, Some(address))] = &*identities {
                data.insert("ip", Value::from(address.text()));
            }
            if self.check_all {
                shown = data.clone();
            }
            if failed && !(self.check_all && marked) {
                // A time that is still to come is now, unless a tester asks.
                let time = if self.check_all || time.0 <= at.now.0 { time } else { at.now };
                data.retain(|_, value| *value != Value::None);
                verdict.failures.extend(failures(&identities, data, lines, time));
            }
        }
        verdict.hits.push(Hit { index, data: shown, harmless, nofail: !failed || marked, identities, time });
    }
}

/// A failure for each identity.
fn failures(
    identities: &[(Id, Option<Id>)],
    mut data: Data,
    mut matches: Vec<MatchedLine>,
    time: Timestamp,
) -> impl Iterator<Item = Failure> {
    let count = identities.len();
    identities.iter().enumerate().map(move |(at, (id, ip))| {
        // The last one, mostly the only one, has the originals.
        let (data, matches) = if at + 1 == count {
            (std::mem::take(&mut data), std::mem::take(&mut matches))
        } else {
            (data.clone(), matches.clone())
        };
        Failure { id: id.clone(), ip: ip.clone(), time, matches, data }
    })
}

/// The failregex' groups over the prefregex'.
pub(super) fn merge(data: &mut Data, groups: Data) {
    for (name, value) in groups {
        // Differs: a group that took no part does not overwrite the prefregex' (1.1 does so; in 1.0.2 it does).
        if value != Value::None || !data.contains_key(&name) {
            data.insert(name, value);
        }
    }
}
