//! A filter, the log's way through it, and the sums.

use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use portcullis_config::{Source, read_filter, shell_words};
use portcullis_jail::filter::{DatedLine, Filter, Hit, Moment, RegexError, Status, Verdict};
use portcullis_jail::{Level, LogLine, Timestamp};
use portcullis_value::Value;

use portcullis_daemon::journal::Line;

use super::given::{Given, given};
use super::lines::{self, Log};
use super::options::Options;
use super::progress::Progress;
use super::report::{Sum, shortened};
use super::row::{Row, Time};
use super::sums::{Kept, Sums, is_skipped};
use super::world::World;
use super::{Stop, pages};

/// Where Fail2ban's configuration is, unless `-c` says otherwise.
pub(super) const CONFIGURATION: &str = "/etc/fail2ban";
/// So many lines of a kind are too many to be shown.
const TOO_MANY: usize = 20;
/// After so many lines one looks at the clock.
const LINES_A_LOOK: u64 = 64;

/// The tester at work.
pub(super) struct Tester<'o> {
    pub(super) options: &'o Options,
    pub(super) filter: Filter,
    pub(super) zone: TimeZone,
    pub(super) sums: Sums,
    level: Option<Level>,
    /// The filter's.
    journalmatch: Vec<String>,
    now: Timestamp,
    world: World,
}

/// The time now.
pub(super) fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()))
}

/// The machine's time zone. Its name is of no interest here, and to find it all zones would be listed.
fn zone() -> TimeZone {
    let named = std::env::var_os("TZ").is_some();
    let file = if named { None } else { std::fs::read("/etc/localtime").ok() };
    file.and_then(|file| TimeZone::tzif("Local", &file).ok()).unwrap_or_else(TimeZone::system)
}

impl<'o> Tester<'o> {
    /// A tester without regexes.
    pub(super) fn new(options: &'o Options) -> Result<Self, Stop> {
        if let Some(words) = &options.journalmatch {
            shell_words(words).map_err(|why| Stop::Error(why.to_owned()))?;
        }
        let mut filter = Filter::new();
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
        if let Some(maxlines) = options.maxlines {
            self.use_maxlines(maxlines, out)?;
        }
        if let Some(pattern) = &options.datepattern {
            self.use_datepattern(pattern, out)?;
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
                self.add_failregex(&options.regex)?;
            }
        }
        if let Some(regex) = &options.ignoreregex {
            self.tell(out, &format!("Use ignoreregex line : {}", shortened(regex)))?;
            self.add_ignoreregex(regex)?;
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
            self.filter.set_prefregex(prefregex).map_err(|error| refused(&error))?;
        }
        for regex in filter.lines("failregex") {
            self.add_failregex(regex)?;
        }
        for regex in filter.lines("ignoreregex") {
            self.add_ignoreregex(regex)?;
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
        let log = lines::open(self.options, &journalmatch, out)?;
        if let Log::Journal(entries) = &log {
            let text = format!("  encoding: {}", entries.name());
            self.log(&[LogLine::new(Level::INFO, "filter", text)], out)?;
        }
        Ok(log)
    }

    fn add_failregex(&mut self, regex: &str) -> Result<(), Stop> {
        self.filter.add_failregex(regex).map_err(|error| refused(&error))?;
        self.sums.failregex.push(Sum::of(regex));
        Ok(())
    }

    fn add_ignoreregex(&mut self, regex: &str) -> Result<(), Stop> {
        self.filter.add_ignoreregex(regex).map_err(|error| refused(&error))?;
        self.sums.ignoreregex.push(Sum::of(regex));
        Ok(())
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
                        Some(line) => self.line(line, out)?,
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
        let verdict = self.filter.judge(line, at, &mut self.world);
        self.take(line, &verdict, out)
    }

    fn entry(&mut self, line: &Line, out: &mut impl Write) -> Result<(), Stop> {
        let at = Moment { now: now(), in_operation: false };
        let dated = DatedLine { date: &line.date, line: &line.text, time: line.time };
        let verdict = self.filter.judge_dated(dated, at, &mut self.world);
        self.take(&format!("{}{}", line.date, line.text), &verdict, out)
    }

    fn take(&mut self, line: &str, verdict: &Verdict, out: &mut impl Write) -> Result<(), Stop> {
        self.sums.lines += 1;
        self.log(&verdict.notes, out)?;
        if self.options.out.is_some() {
            return self.print(verdict, out);
        }
        self.count(verdict);
        let mut hits = verdict.hits.iter().filter(|hit| self.counts(hit)).peekable();
        let matched = hits.peek().is_some();
        let failed = matched && !hits.any(harmless) && verdict.status != Status::Ignored;
        if self.filter.maxlines() > 1 && failed {
            self.take_back(verdict, line);
        }
        let kept = match (verdict.status, failed) {
            (_, true) => &mut self.sums.matched,
            (Status::Ignored, _) => &mut self.sums.ignored,
            _ if matched => &mut self.sums.ignored,
            _ => &mut self.sums.missed,
        };
        kept.add(line);
        Ok(())
    }

    /// Lines that were missed one by one belong to a match of several.
    fn take_back(&mut self, verdict: &Verdict, line: &str) {
        for failure in &verdict.failures {
            for part in &failure.matches {
                let part = part.line();
                if part != line && self.sums.missed.remove(&part) {
                    self.sums.matched.add(&part);
                }
            }
        }
    }

    fn count(&mut self, verdict: &Verdict) {
        let verbose = self.options.verbose > 0;
        if let Some(groups) = &verdict.prefregex {
            let groups = groups.iter().map(|(name, value)| (name.into(), value.clone()));
            self.sums.prefregex.add(verbose.then(|| Value::Dict(groups.collect()).repr()));
        }
        let several = verdict.hits.iter().filter(|hit| self.counts(hit) && !harmless(hit)).count() > 1;
        let only_failures = self.options.first_only;
        for hit in verdict.hits.iter().filter(|hit| counts(hit, only_failures)) {
            let Some(sum) = self.sums.failregex.get_mut(hit.index) else { continue };
            let when = || calendar(hit.time, &self.zone);
            let more = if several { " (multiple regex matched)" } else { "" };
            if hit.identities.is_empty() {
                sum.add(verbose.then(|| format!("{}  {}{more}", who(hit), when())));
            }
            for (id, _) in &hit.identities {
                sum.add(verbose.then(|| format!("{id}  {}{more}", when())));
            }
        }
        if let Some(sum) = verdict.ignored_by.and_then(|index| self.sums.ignoreregex.get_mut(index)) {
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
                writeln!(out, "{}", Row { hit, failure, time }.text(wanted))?;
            }
        }
        Ok(())
    }

    fn log(&self, notes: &[LogLine], out: &mut impl Write) -> Result<(), Stop> {
        let Some(least) = self.level else { return Ok(()) };
        for note in notes.iter().filter(|note| note.level >= least) {
            let at = now();
            let time = jiff::Timestamp::from_millisecond((at.0 * 1000.0) as i64).unwrap_or_default();
            let time = time.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string();
            let name = match note.level {
                Level::CRITICAL => "CRITICAL",
                Level::ERROR => "ERROR",
                Level::WARNING => "WARNING",
                Level::NOTICE => "NOTICE",
                Level::INFO => "INFO",
                _ => "DEBUG",
            };
            let initial = name.chars().next().unwrap_or('I');
            let logger = format!("fail2ban.{}", note.logger);
            let (ms, pid) = ((at.0 * 1000.0) as i64 % 1000, std::process::id());
            writeln!(out, "{time},{ms:03} {logger:<23} [{pid}]: {name:<6} {initial}: {}", note.text)?;
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

fn refused(error: &RegexError) -> Stop {
    Stop::Error(error.to_string())
}

/// A time as C's `ctime` writes it.
fn calendar(at: Timestamp, zone: &TimeZone) -> String {
    let instant = jiff::Timestamp::from_second(at.0.floor() as i64).unwrap_or_default();
    instant.to_zoned(zone.clone()).strftime("%a %b %d %H:%M:%S %Y").to_string()
}

fn level(name: &str) -> Option<Level> {
    Some(match name.to_uppercase().as_str() {
        "CRITICAL" => Level::CRITICAL,
        "ERROR" => Level::ERROR,
        "WARNING" => Level::WARNING,
        "NOTICE" => Level::NOTICE,
        "INFO" => Level::INFO,
        "MSG" => Level::MSG,
        "DEBUG" => Level::DEBUG,
        "TRACEDEBUG" => Level::TRACEDEBUG,
        "HEAVYDEBUG" => Level::HEAVYDEBUG,
        number => Level(number.parse().ok()?),
    })
}
