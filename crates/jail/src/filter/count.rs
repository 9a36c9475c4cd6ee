//! What a tester counts of a page, in three steps: the dates, the regexes, whose it was.
//!
//! The second costs most and hangs on nothing but the line, so that copies of a filter can do it on several cores. The first
//! and the third remember lines before, and are done in order. Together they come to what [`Filter::judge`] says of
//! each line, without what would only be shown.

use portcullis_value::Value;

use super::counted::{Keys, Told};
use super::rule::{Key, Wanted};
use super::settings::Filter;
use super::verdict::Moment;
use super::walk::{Text, without_date};
use super::{UseDns, identity};
use crate::failure::Data;
use crate::{Id, Outside, Page};

/// Where the dates of a page's lines stand.
#[derive(Debug, Default)]
pub struct Stamps(Vec<Option<Stamp>>);

/// The parts of a line around its date, in bytes.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    /// The end of what stands before.
    before: u32,
    /// What stands behind.
    after: u32,
    end: u32,
}

impl Stamps {
    /// What the regexes are tried on.
    fn text<'p>(&self, page: &'p Page, line: usize) -> Option<Text<'p>> {
        let Stamp { before, after, end } = (*self.0.get(line)?)?;
        let line = page.line_bytes(line);
        Some(without_date(line, before as usize, after as usize, end as usize))
    }

    /// The same in one piece.
    fn joined<'t>(&self, page: &'t Page, line: usize, joined: &'t mut String) -> Option<&'t str> {
        let Stamp { before, after, end } = (*self.0.get(line)?)?;
        let (before, after, end) = (before as usize, after as usize, end as usize);
        if let Some(fed) = page.line_with_feed(line).filter(|fed| before == 0 && fed.len() == end + 1) {
            return Some(&fed[after..]);
        }
        let line = page.line(line);
        joined.clear();
        joined.extend([&line[..before], &line[after..end], "\n"]);
        Some(joined)
    }
}

/// What regexes found on a page's lines.
#[derive(Debug, Default)]
pub struct Finds {
    lines: Vec<Find>,
    hits: Vec<Hit>,
    ignored_by: Vec<usize>,
    /// What lines say about connections, in one piece.
    text: String,
}

/// What was found on a line.
#[derive(Debug)]
struct Find {
    line: u32,
    prefregex: bool,
    /// What it was ignored by, and its hits, end here.
    ignored_by: u32,
    hits: u32,
}

#[derive(Debug)]
struct Hit {
    index: u32,
    nofail: bool,
    harmless: bool,
    whose: Whose,
}

/// Whose a hit is, as far as the line itself tells.
#[derive(Debug)]
enum Whose {
    Nobodys,
    Somebodys,
    /// All addresses' of this name.
    Host(String),
    /// The connection's tells.
    Connected(Said),
    /// The same, where groups are made of others.
    Joined(Data),
}

/// What a line says about its connection: places in the text of all, one behind the other.
#[derive(Clone, Copy, Debug)]
struct Said {
    id: u32,
    user: u32,
    name: u32,
    end: u32,
    keys: Keys,
}

impl Said {
    fn new(text: &mut String, told: Told<'_>) -> Self {
        let Told { id, user, name, keys } = told;
        let mut add = |part: &str| {
            text.push_str(part);
            (text.len() - part.len()) as u32
        };
        Said { id: add(id), user: add(user), name: add(name), end: add(""), keys }
    }

    fn told<'t>(&self, text: &'t str) -> Told<'t> {
        let part = |from: u32, to: u32| &text[from as usize..to as usize];
        Told {
            id: part(self.id, self.user),
            user: part(self.user, self.name),
            name: part(self.name, self.end),
            keys: self.keys,
        }
    }
}

/// What is counted of a line. Lines without anything to count are not told.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'h> {
    /// Whether the prefregex matched.
    pub prefregex: bool,
    /// The indices of the ignoreregexes that matched, one for each failregex that had.
    pub ignored_by: &'h [usize],
    /// The failregexes that matched, in order.
    pub hits: &'h [CountedHit],
}

/// A failregex that matched, as [`Hit`](super::Hit) has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountedHit {
    /// Its index.
    pub index: usize,
    /// How many it counts against.
    pub identities: usize,
    /// Whether it is marked as no failure.
    pub harmless: bool,
    /// Whether it is no failure.
    pub nofail: bool,
}

impl Filter {
    /// The first step: finds the dates of a page's lines. Those that are to be `skipped` are as if they were not there.
    /// Only for a filter that looks at one line at a time.
    pub fn stamp(&mut self, page: &Page, at: Moment, skipped: fn(&str) -> bool) -> Stamps {
        let mut notes = Vec::new();
        let mut stamp = |line| {
            if skipped(line) {
                return None;
            }
            let line = self.cut(line);
            notes.clear();
            let dated = self.clock.date(line, &at, &mut notes);
            let after = line.len() - dated.after.len();
            Some(Stamp { before: dated.before.len() as u32, after: after as u32, end: line.len() as u32 })
        };
        Stamps(page.lines().map(&mut stamp).collect())
    }

    /// The second step: tries the regexes. Any copy of the filter says the same.
    pub fn scan(&mut self, page: &Page, stamps: &Stamps, at: Moment) -> Finds {
        let mut finds = Finds::default();
        self.ready_gate();
        self.has_tuples = self.failregex.iter().chain(&self.prefregex).any(|rule| rule.tuples);
        if let Some(gate) = &mut self.gate {
            gate.read_page((0..page.len()).map(|line| stamps.text(page, line)));
        }
        let mut joined = String::new();
        for line in 0..page.len() {
            let Some(gate) = &mut self.gate else { break };
            let known = gate.turn_to(line);
            if known == Some(false) {
                continue;
            }
            let Some(text) = stamps.joined(page, line, &mut joined) else { continue };
            if known.is_none() && !gate.read([text.as_bytes(), b"", b""]) {
                continue;
            }
            self.scan_line(line, text, at, &mut finds);
        }
        finds
    }

    fn scan_line(&mut self, line: usize, text: &str, at: Moment, finds: &mut Finds) {
        let mut find = Find { line: line as u32, prefregex: false, ignored_by: 0, hits: 0 };
        self.scan_text(text, at, &mut find, finds);
        find.ignored_by = finds.ignored_by.len() as u32;
        find.hits = finds.hits.len() as u32;
        finds.lines.push(find);
    }

    /// See `Filter::match_text`, which does the same with all that is to be told.
    fn scan_text(&mut self, text: &str, at: Moment, find: &mut Find, finds: &mut Finds) {
        let notes = &mut Vec::new();
        if self.ignoreregex.len() + 2 < self.failregex.len()
            && self.ignored(text, &at, true, &mut finds.ignored_by, notes)
        {
            return;
        }
        let may_fail = self.gate.as_ref().is_none_or(super::gate::Gate::may_fail);
        if !may_fail && let Some(matches) = self.gate.as_ref().and_then(|gate| gate.prefix_matches(text)) {
            find.prefregex = matches;
            return;
        }
        let mut content = text;
        let copy: String;
        if let Some(prefregex) = self.prefregex.clone() {
            let searched = prefregex.regex.search(text, &mut self.scratch);
            if !self.settled(searched, "prefregex", 0, text, &at, notes) {
                return;
            }
            find.prefregex = true;
            self.prefix.take(&prefregex.regex, &self.scratch);
            if let Some((start, end)) = prefregex.content.and_then(|group| self.prefix.span(group))
                && start < end
            {
                content = match text.get(start..=end).filter(|piece| piece.ends_with('\n')) {
                    Some(piece) => piece,
                    None => {
                        copy = format!("{}\n", &text[start..end]);
                        &copy
                    }
                };
            }
        }
        let mut next = 0;
        while let Some(index) = self.gate.as_ref().and_then(|gate| gate.next_failregex(next)) {
            next = index + 1;
            let rule = std::sync::Arc::clone(&self.failregex[index]);
            let searched = rule.regex.search(content, &mut self.scratch);
            if !self.settled(searched, "failregex", index, content, &at, notes) {
                continue;
            }
            self.captures.take(&rule.regex, &self.scratch);
            if !self.ignoreregex.is_empty() && self.ignored(content, &at, false, &mut finds.ignored_by, notes)
            {
                if self.first_only {
                    return;
                }
                continue;
            }
            let hit = self.hit(index, text, content, &mut finds.text);
            finds.hits.push(hit);
            if self.first_only {
                return;
            }
        }
    }

    /// What the failregex that matched last comes to.
    fn hit(&self, index: usize, whole: &str, content: &str, said: &mut String) -> Hit {
        let rule = &self.failregex[index];
        let prefregex = self.prefregex.as_deref();
        let captured = |key: Key| {
            let own = rule.value(key, &self.captures, content);
            own.or_else(|| prefregex?.value(key, &self.prefix, whole))
        };
        let index = index as u32;
        if rule.special || prefregex.is_some_and(|rule| rule.special) {
            let mut data = Data::new();
            if let Some(prefregex) = prefregex {
                data = prefregex.groups(&self.prefix, whole, Wanted::Deciding);
                data.remove("content");
            }
            super::judge::merge(&mut data, rule.groups(&self.captures, content, Wanted::Deciding));
            if self.has_tuples {
                return Hit { index, nofail: false, harmless: false, whose: Whose::Joined(data) };
            }
            return self.hit_of(index, |key| data.get(key.name()).and_then(Value::as_str), said);
        }
        if self.has_tuples && captured(Key::Mlfid).is_some_and(|id| !id.is_empty()) {
            // All connections are to be in one place.
            let value = |key: Key| Some((key.name(), Value::from(captured(key)?)));
            let data = Key::ALL.into_iter().filter_map(value).collect();
            return Hit { index, nofail: false, harmless: false, whose: Whose::Joined(data) };
        }
        self.hit_of(index, captured, said)
    }

    /// The same by what keys have captured, when all of that is text.
    fn hit_of<'t>(&self, index: u32, captured: impl Fn(Key) -> Option<&'t str>, said: &mut String) -> Hit {
        let value = |key: Key| captured(key).filter(|text| !text.is_empty());
        if let Some(id) = value(Key::Mlfid) {
            let text = |key: Key| value(key).unwrap_or_default();
            let told = Told { id, user: text(Key::User), name: text(Key::Dns), keys: Keys::of(&captured) };
            let whose = Whose::Connected(Said::new(said, told));
            return Hit { index, nofail: false, harmless: false, whose };
        }
        let nofail = value(Key::Nofail).is_some();
        let harmless = nofail || value(Key::Mlfgained).is_some();
        let host = value(Key::Dns).unwrap_or_default();
        let whose = whose(|key| value(key).is_some(), host, self.usedns);
        Hit { index, nofail, harmless, whose }
    }

    /// The third step: asks for names, and takes connections together. Tells of each line on which something was found.
    pub fn settle(
        &mut self,
        finds: Finds,
        at: Moment,
        outside: &mut dyn Outside,
        tell: &mut dyn FnMut(usize, &Counted<'_>),
    ) {
        let (mut all, text) = (finds.hits.into_iter(), finds.text);
        let (mut taken, mut ignored) = (0, 0);
        let mut hits = Vec::new();
        for find in finds.lines {
            hits.clear();
            let count = (find.hits - taken) as usize;
            taken = find.hits;
            hits.extend(all.by_ref().take(count).map(|hit| self.counted(hit, &text, at, outside)));
            let ignored_by = &finds.ignored_by[ignored as usize..find.ignored_by as usize];
            ignored = find.ignored_by;
            tell(find.line as usize, &Counted { prefregex: find.prefregex, ignored_by, hits: &hits });
        }
    }

    fn counted(&mut self, hit: Hit, text: &str, at: Moment, outside: &mut dyn Outside) -> CountedHit {
        let (mut nofail, mut harmless) = (hit.nofail, hit.harmless);
        // What could be said of a name is not for this tester.
        let resolved =
            |name: &str, outside: &mut dyn Outside| outside.resolve(name).map_or(0, |all| all.len());
        let identities = match hit.whose {
            Whose::Nobodys => 0,
            Whose::Somebodys => 1,
            Whose::Host(name) => resolved(&name, outside),
            Whose::Connected(said) => {
                let (keys, name, failed) = self.counted.merge(said.told(text), at.now);
                nofail = !failed || keys.has(Key::Nofail);
                harmless = keys.has(Key::Nofail) || keys.has(Key::Mlfgained);
                match whose(|key| keys.has(key), name, self.usedns) {
                    _ if !failed => 0,
                    Whose::Somebodys => 1,
                    Whose::Host(name) => resolved(&name, outside),
                    _ => 0,
                }
            }
            Whose::Joined(data) => {
                let (data, failed) = self.connections.joined(data, at.now);
                let is_set = |name: &str| data.get(name).is_some_and(Value::is_true);
                nofail = !failed || is_set("nofail");
                harmless = is_set("nofail") || is_set("mlfgained");
                let notes = &mut Vec::new();
                if failed { identity::identities(&data, self.usedns, outside, notes).len() } else { 0 }
            }
        };
        CountedHit { index: hit.index as usize, identities, harmless, nofail }
    }
}

/// Whose a match is with these keys, as `identity::identities` has it. `host`: the name, if there is one.
fn whose(has: impl Fn(Key) -> bool, host: &str, usedns: UseDns) -> Whose {
    if has(Key::Ip4) || has(Key::Ip6) {
        return Whose::Somebodys;
    }
    if !has(Key::Dns) {
        return if has(Key::Fid) { Whose::Somebodys } else { Whose::Nobodys };
    }
    match usedns {
        UseDns::Raw => Whose::Somebodys,
        _ if Id::new(host).address().is_some() => Whose::Somebodys,
        UseDns::No => Whose::Nobodys,
        UseDns::Yes | UseDns::Warn => Whose::Host(host.to_owned()),
    }
}
