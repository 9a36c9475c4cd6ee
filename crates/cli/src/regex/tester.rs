//! A filter, the log's way through it, and the sums.

use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use portcullis_config::{Source, read_filter, shell_words};
use portcullis_jail::filter::{DatedLine, Filter, Hit, Moment, RegexError, Verdict};
use portcullis_jail::{Level, LogLine, MatchedLine, Timestamp};
use portcullis_value::Value;

use portcullis_daemon::journal::Line;

use super::given::{Given, given};
use super::lines::{self, FileLine, Log};
use super::options::Options;
use super::progress::Progress;
use super::report::{Sum, shortened};
use super::row::{Row, Time};
use super::sums::{Kept, Sums, is_skipped};
use super::world::World;
use super::{Stop, pages};
use crate::form::{Detail, Form, now as wall_clock, zone};

/// Where Fail2ban's configuration is, unless `-c` says otherwise.
pub(super) const CONFIGURATION: &str = "/etc/fail2ban";
/// So many lines of a kind are too many to be shown.
const TOO_MANY: usize = 20;
/// What stands for a jail's name in log lines.
pub(super) const JAILLESS: &str = "~jailless~";
/// After so many lines one looks at the clock.
const LINES_A_LOOK: u64 = 64;

/// The tester at work.
pub(super) struct Tester<'o> {
    pub(super) options: &'o Options,
    pub(super) filter: Filter,
    pub(super) zone: TimeZone,
    pub(super) sums: Sums,
    level: Option<Level>,
    form: Form,
    told_encoding: bool,
    /// The filter's.
    journalmatch: Vec<String>,
    now: Timestamp,
    world: World,
}

/// The time now.
pub(super) fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()))
}

impl<'o> Tester<'o> {
    /// A tester without regexes.
    pub(super) fn new(options: &'o Options) -> Result<Self, Stop> {
        if let Some(words) = &options.journalmatch {
            shell_words(words).map_err(|why| Stop::Error(why.to_owned()))?;
        }
        let mut filter = Filter::new();
        filter.set_jail(JAILLESS);
        let zone = zone();
        filter.set_zone(zone.clone());
        filter.set_check_all(true);
        filter.set_first_only(options.first_only || options.out.is_some());
        // Values and lines are made only where they are shown.
        filter.set_counts_only(options.out.is_none() && options.verbose == 0);
        if let Some(usedns) = &options.usedns {
            filter.set_usedns(usedns);
        }
        let level = match &options.log_level {
            Some(name) => Some(level(name).ok_or_else(|| {
                let name = portcullis_value::repr_str(name);
                Stop::Exception(format!("ValueError: Invalid log level {name}"))
            })?),
            None => None,
        };
        if let Some(zone) = &options.timezone {
            filter.set_logtimezone(Some(zone)).map_err(|error| Stop::Error(error.to_string()))?;
        }
        let several = options.maxlines.is_some_and(|lines| lines > 1);
        let room = |all: bool| if all || several { usize::MAX } else { options.maxlines.unwrap_or(TOO_MANY) };
        Ok(Tester {
            options,
            filter,
            zone,
            sums: Sums {
                matched: Kept::new(if options.all_matched { usize::MAX } else { 0 }),
                ignored: Kept::new(room(options.ignored.all)),
                missed: Kept::new(room(options.missed.all)),
                only_failures: options.first_only,
                ..Sums::default()
            },
            level,
            form: Form::new(match options.verbose {
                0 | 1 => Detail::Tester,
                2 => Detail::Thread,
                3 => Detail::Since,
                _ => Detail::Place,
            }),
            told_encoding: false,
            journalmatch: Vec::new(),
            now: now(),
            world: World::default(),
        })
    }

    /// Below so many lines, they are shown.
    pub(super) fn too_many(&self) -> usize {
        self.options.maxlines.unwrap_or(TOO_MANY)
    }

    /// Reads what REGEX and IGNOREREGEX name, and says what is in use.
    pub(super) fn read_regexes(&mut self, out: &mut impl Write) -> Result<(), Stop> {
        let options = self.options;
        let said = |usedns: &str| {
            let text = format!("Setting usedns = {usedns} for Filter(None)");
            LogLine::new(Level::DEBUG, "filter", text)
        };
        self.log(&[said("warn"), LogLine::new(Level::DEBUG, "filter", "Created Filter(None)")], out)?;
        if let Some(maxlines) = options.maxlines {
            self.use_maxlines(maxlines, out)?;
        }
        if let Some(pattern) = &options.datepattern {
            self.use_datepattern(pattern, out)?;
        }
        if let Some(usedns) = &options.usedns {
            self.log(&[said(usedns)], out)?;
        }
        match given(options)? {
            Given::Filter { name, directory, options } => {
                let shown = directory.display();
                self.tell(out, &format!("Use   failregex filter file : {name}, basedir: {shown}"))?;
                self.use_filter(&name, &directory, options, out)?;
            }
            Given::File { path, name, options } => {
                self.tell(out, &format!("Use   failregex file : {name}"))?;
                let directory = self.options.config.as_deref().unwrap_or(CONFIGURATION);
                self.use_filter(&path, Path::new(directory), options, out)?;
            }
            Given::Regex => {
                self.tell(out, &format!("Use   failregex line : {}", shortened(&options.regex)))?;
                self.add_failregex(&options.regex, out)?;
            }
        }
        if let Some(regex) = &options.ignoreregex {
            self.tell(out, &format!("Use ignoreregex line : {}", shortened(regex)))?;
            self.add_ignoreregex(regex, out)?;
        }
        Ok(())
    }

    fn tell(&self, out: &mut impl Write, text: &str) -> Result<(), Stop> {
        if self.options.out.is_none() {
            writeln!(out, "{text}")?;
        }
        Ok(())
    }

    fn use_maxlines(&mut self, maxlines: usize, out: &mut impl Write) -> Result<(), Stop> {
        self.filter.set_maxlines(maxlines);
        if maxlines > 1 {
            // A match of several lines takes back those that were missed.
            self.filter.set_counts_only(false);
            (self.sums.ignored.room, self.sums.missed.room) = (usize::MAX, usize::MAX);
        }
        self.log(&[LogLine::new(Level::INFO, "filter", format!("  maxLines: {maxlines}"))], out)?;
        self.tell(out, &format!("Use         maxlines : {maxlines}"))
    }

    fn use_datepattern(&mut self, pattern: &str, out: &mut impl Write) -> Result<(), Stop> {
        let said =
            self.filter.set_datepattern(pattern, now()).map_err(|error| Stop::Error(error.to_string()))?;
        self.log(&said, out)?;
        let name = self.filter.known_detector().map_or("", |detector| detector.name().1).to_owned();
        self.tell(out, &format!("Use      datepattern : {pattern} : {name}"))
    }

    fn use_filter(
        &mut self,
        name: &str,
        directory: &Path,
        options: Vec<(String, String)>,
        out: &mut impl Write,
    ) -> Result<(), Stop> {
        if !options.is_empty() {
            let shown = options.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into()));
            self.tell(out, &format!("Use   filter options : {}", Value::Dict(shown.collect()).repr()))?;
        }
        let given = self.options;
        let source = Source::with_catalogue(directory);
        let failed = || Stop::Error(format!("failed to load filter {}", given.regex));
        let logtype = if lines::is_journal(given) { "journal" } else { "file" };
        let filter = match read_filter(&source, name, options, logtype) {
            Ok(filter) => filter.ok_or_else(failed)?,
            Err(why) => {
                writeln!(out, "Wrong config file: {why}")?;
                return Err(failed());
            }
        };
        for message in &filter.messages {
            self.say(Level(message.level.0), message.logger, &message.text, out)?;
        }
        if given.verbose > 1 || self.level.is_some_and(|least| least <= Level::DEBUG) {
            let real = filter.real.iter().map(|(name, value)| (name.as_str().into(), value.clone()));
            self.tell(out, &format!("Real  filter options : {}", Value::Dict(real.collect()).repr()))?;
        }
        if given.usedns.is_none()
            && let Some(usedns) = filter.option("usedns")
        {
            self.filter.set_usedns(usedns);
        }
        if given.maxlines.is_none()
            && let Some(maxlines) = filter.option("maxlines").and_then(|lines| lines.parse().ok())
        {
            self.use_maxlines(maxlines, out)?;
        }
        if let Some(prefregex) = filter.option("prefregex") {
            let set = self.filter.set_prefregex(prefregex);
            self.accepted(set, out)?;
        }
        for regex in filter.lines("failregex") {
            self.add_failregex(regex, out)?;
        }
        for regex in filter.lines("ignoreregex") {
            self.add_ignoreregex(regex, out)?;
        }
        if given.datepattern.is_none()
            && let Some(pattern) = filter.option("datepattern")
        {
            self.use_datepattern(pattern, out)?;
        }
        self.journalmatch = filter.lines("journalmatch").map(str::to_owned).collect();
        Ok(())
    }

    /// Opens the log, and says which it is.
    pub(super) fn open(&self, out: &mut impl Write) -> Result<Log, Stop> {
        let journalmatch: Vec<&str> = self.journalmatch.iter().map(String::as_str).collect();
        lines::open(self.options, &journalmatch, |notes, out| self.log(notes, out), out)
    }

    fn add_failregex(&mut self, regex: &str, out: &mut impl Write) -> Result<(), Stop> {
        let added = self.filter.add_failregex(regex);
        self.accepted(added, out)?;
        self.sums.failregex.push(Sum::of(regex));
        Ok(())
    }

    fn add_ignoreregex(&mut self, regex: &str, out: &mut impl Write) -> Result<(), Stop> {
        let added = self.filter.add_ignoreregex(regex);
        self.accepted(added, out)?;
        self.sums.ignoreregex.push(Sum::of(regex));
        Ok(())
    }

    fn accepted(&self, regex: Result<(), RegexError>, out: &mut impl Write) -> Result<(), Stop> {
        let Err(error) = regex else { return Ok(()) };
        self.say(Level::ERROR, "filter", &error.to_string(), out)?;
        Err(Stop::Error(error.to_string()))
    }

    /// Takes all lines of the log.
    pub(super) fn process(&mut self, log: Log, out: &mut impl Write) -> Result<(), Stop> {
        match log {
            Log::File(mut lines) if self.counts_pages() && lines.has_pages() => {
                let (filter, world, sums) = (&mut self.filter, &mut self.world, &mut self.sums);
                pages::count(&mut lines, filter, world, sums, pages::cores())
                    .map_err(|error| Stop::Error(format!("{}: {error}", self.options.log)))?;
            }
            Log::File(mut lines) => {
                let mut progress = Progress::new(lines.size(), self.options.out.is_some());
                loop {
                    progress.line(|| lines.read());
                    let line = lines.next();
                    match line.map_err(|error| Stop::Error(format!("{}: {error}", self.options.log)))? {
                        Some(FileLine { text, undecoded }) => {
                            if let Some(bytes) = undecoded {
                                self.tell_encoding(bytes, out)?;
                            }
                            self.line(text, out)?;
                        }
                        None => break,
                    }
                }
            }
            Log::Journal(mut entries) => {
                while let Some(line) = entries.next()? {
                    self.entry(&line, out)?;
                }
                entries.finish()?;
            }
            Log::Text(lines) => {
                for line in &lines {
                    self.line(line, out)?;
                }
            }
        }
        Ok(())
    }

    /// The first line of the file that is no text in its encoding is told.
    fn tell_encoding(&mut self, line: &[u8], out: &mut impl Write) -> Result<(), Stop> {
        if !self.told_encoding && self.level.is_some_and(|least| least <= Level::WARNING) {
            self.told_encoding = true;
            let encoding = self.options.encoding.as_deref().unwrap_or(lines::ENCODING);
            let (path, line) =
                (portcullis_value::repr_str(&self.options.log), Value::Bytes(line.to_vec()).repr());
            let text = format!("Error decoding line from {path} with '{encoding}'.");
            self.say(Level::WARNING, "filter", &text, out)?;
            let text = format!(
                "Consider setting logencoding to appropriate encoding for this jail. Continuing to process line ignoring invalid characters: {line}"
            );
            self.say(Level::WARNING, "filter", &text, out)?;
        }
        Ok(())
    }

    /// Whether lines only count, each for itself, so that a page of them can be taken at once.
    fn counts_pages(&self) -> bool {
        let options = self.options;
        options.out.is_none() && options.verbose == 0 && self.level.is_none() && self.filter.maxlines() == 1
    }

    fn line(&mut self, line: &str, out: &mut impl Write) -> Result<(), Stop> {
        if is_skipped(line) {
            return Ok(());
        }
        // The clock is asked now and then: a date's meaning does not hang on the millisecond.
        if self.sums.lines.is_multiple_of(LINES_A_LOOK) {
            self.now = now();
        }
        let at = Moment { now: self.now, in_operation: false };
        let before = self.window();
        let verdict = self.filter.judge(line, at, &mut self.world);
        self.take(line, &verdict, &before, out)
    }

    fn entry(&mut self, line: &Line, out: &mut impl Write) -> Result<(), Stop> {
        let at = Moment { now: now(), in_operation: false };
        let dated = DatedLine { date: &line.date, line: &line.text, time: line.time };
        let before = self.window();
        let verdict = self.filter.judge_dated(dated, at, &mut self.world);
        self.take(&format!("{}{}", line.date, line.text), &verdict, &before, out)
    }

    fn take(
        &mut self,
        line: &str,
        verdict: &Verdict,
        before: &[MatchedLine],
        out: &mut impl Write,
    ) -> Result<(), Stop> {
        self.sums.lines += 1;
        self.log(&verdict.notes, out)?;
        if self.options.out.is_some() {
            return self.print(verdict, out);
        }
        self.count(verdict);
        let mut hits = verdict.hits.iter().filter(|hit| self.counts(hit)).peekable();
        let matched = hits.peek().is_some();
        let ignored = !verdict.ignored_by.is_empty();
        let failed = matched && !hits.any(harmless) && !ignored;
        self.take_back(before);
        let kept = if failed {
            &mut self.sums.matched
        } else if ignored || matched {
            &mut self.sums.ignored
        } else {
            &mut self.sums.missed
        };
        kept.add(line);
        Ok(())
    }

    /// The lines before this one that will not be forgotten for it.
    fn window(&self) -> Vec<MatchedLine> {
        if self.filter.maxlines() == 1 {
            return Vec::new();
        }
        let lines: Vec<_> = self.filter.window().cloned().collect();
        let forgotten = usize::from(lines.len() >= self.filter.maxlines());
        lines.into_iter().skip(forgotten).collect()
    }

    /// Lines that were missed one by one, and have left the window with this one, belong to a match of several.
    fn take_back(&mut self, before: &[MatchedLine]) {
        for line in before {
            if !self.filter.window().any(|left| left == line) {
                let line = line.line();
                self.sums.missed.remove(&line);
                self.sums.matched.add(&line);
            }
        }
    }

    fn count(&mut self, verdict: &Verdict) {
        let verbose = self.options.verbose > 0;
        let prefregex = verdict.prefregex.as_ref().map(|groups| {
            let groups = groups.iter().map(|(name, value)| (name.into(), value.clone()));
            if verbose { Value::Dict(groups.collect()).repr() } else { String::new() }
        });
        self.sums.count_prefregex(prefregex, !verdict.ignored_by.is_empty());
        // From the third on, Fail2ban calls it several.
        let mut failures = 0;
        let only_failures = self.options.first_only;
        for hit in verdict.hits.iter().filter(|hit| counts(hit, only_failures)) {
            let Some(sum) = self.sums.failregex.get_mut(hit.index) else { continue };
            let when = || calendar(hit.time, &self.zone);
            let mut add = |who: &dyn Fn() -> String| {
                let more = if failures > 1 { " (multiple regex matched)" } else { "" };
                sum.add(verbose.then(|| format!("{}  {}{more}", who(), when())));
                failures += usize::from(!harmless(hit));
            };
            if hit.identities.is_empty() {
                add(&|| who(hit));
            }
            for (id, _) in &hit.identities {
                add(&|| id.to_string());
            }
        }
        for index in &verdict.ignored_by {
            let Some(sum) = self.sums.ignoreregex.get_mut(*index) else { continue };
            sum.add(None);
        }
    }

    fn counts(&self, hit: &Hit) -> bool {
        counts(hit, self.options.first_only)
    }

    fn print(&self, verdict: &Verdict, out: &mut impl Write) -> Result<(), Stop> {
        let wanted = self.options.out.as_deref().unwrap_or_default();
        let mut failures = verdict.failures.iter();
        for hit in verdict.hits.iter().filter(|hit| !hit.nofail) {
            for failure in failures.by_ref().take(hit.identities.len()) {
                let (integer, missing) = (self.filter.time_is_integer(), self.filter.is_timeless());
                let time = Time { at: failure.time, integer: integer && !missing, missing };
                for text in (Row { hit, failure, time }).texts(wanted) {
                    writeln!(out, "{text}")?;
                }
            }
        }
        Ok(())
    }

    fn log(&self, notes: &[LogLine], out: &mut impl Write) -> Result<(), Stop> {
        notes.iter().try_for_each(|note| self.say(note.level, note.logger, &note.text, out))
    }

    fn say(&self, level: Level, logger: &str, text: &str, out: &mut impl Write) -> Result<(), Stop> {
        if self.level.is_some_and(|least| level >= least) {
            out.write_all(self.form.line(&wall_clock(), level.0, logger, text).as_bytes())?;
        }
        Ok(())
    }
}

/// Whether a match is one at all: not when the name that it has leads nowhere; what is no failure, unless all is checked.
fn counts(hit: &Hit, only_failures: bool) -> bool {
    (hit.nofail && !only_failures) || !hit.identities.is_empty()
}

/// Whether a match is marked as no failure. One of them makes its line an ignored one.
fn harmless(hit: &Hit) -> bool {
    hit.harmless
}

/// Who did it, where that does not count.
fn who(hit: &Hit) -> String {
    let known = ["fid", "ip4", "ip6", "dns"].into_iter().find_map(|name| hit.data.get(name)?.as_str());
    known.map_or_else(|| "None".to_owned(), |text| portcullis_jail::Id::new(text).text().to_owned())
}

/// A time as C's `ctime` writes it.
fn calendar(at: Timestamp, zone: &TimeZone) -> String {
    let instant = jiff::Timestamp::from_second(at.0.floor() as i64).unwrap_or_default();
    instant.to_zoned(zone.clone()).strftime("%a %b %d %H:%M:%S %Y").to_string()
}

/// Differs: there is nothing below DEBUG.
fn level(name: &str) -> Option<Level> {
    Some(match name.to_uppercase().as_str() {
        "CRITICAL" | "FATAL" => Level::CRITICAL,
        "ERROR" => Level::ERROR,
        // Python's loggers take none for that.
        "WARNING" | "WARN" | "NOTSET" | "0" => Level::WARNING,
        "NOTICE" => Level::NOTICE,
        "INFO" => Level::INFO,
        "MSG" => Level::MSG,
        "DEBUG" => Level::DEBUG,
        "TRACEDEBUG" => Level::TRACEDEBUG,
        "HEAVYDEBUG" => Level::HEAVYDEBUG,
        number => Level(number.parse().ok()?),
    })
}
