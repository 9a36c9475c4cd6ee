//! The lines that are tested: of a file, or those given on the command line.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use jiff::tz::TimeZone;
use portcullis_daemon::journal::{Entry, Line, NAME, Place, Reader, Selection, Start, Until};
use portcullis_jail::encoding::Encoding;
use portcullis_jail::{Level, LogLine, Page, Timestamp};
use portcullis_value::options::options as parsed;
use portcullis_value::{Exception, repr_str};

use super::options::Options;
use super::tester::JAILLESS;
use super::{Stop, report};

/// The encoding of files, unless `-e` says otherwise.
pub(super) const ENCODING: &str = "UTF-8";
/// Bytes of a page, about.
const PAGE: usize = 1 << 17;

/// Where lines come from.
pub(super) enum Log {
    File(Box<Lines>),
    Journal(Box<Entries>),
    Text(Vec<String>),
}

/// A file, line by line, in one buffer.
pub(super) struct Lines {
    file: BufReader<File>,
    encoding: Encoding,
    bytes: Vec<u8>,
    text: String,
    /// Bytes of the file, and of them read.
    size: u64,
    read: u64,
}

/// A line of a file.
pub(super) struct FileLine<'l> {
    /// Without its end.
    pub(super) text: &'l str,
    /// The line as it stands in the file, where some of its bytes are no text.
    pub(super) undecoded: Option<&'l [u8]>,
}

/// The systemd journal, entry by entry.
pub(super) struct Entries {
    reader: Reader,
    waiting: std::vec::IntoIter<Entry>,
    encoding: Encoding,
    zone: TimeZone,
}

/// Opens what the command line names, and says so. `journalmatch` is the filter's; `log` writes lines of the log.
pub(super) fn open<W: Write>(
    options: &Options,
    journalmatch: &[&str],
    log: impl Fn(&[LogLine], &mut W) -> Result<(), Stop>,
    out: &mut W,
) -> Result<Log, Stop> {
    let silent = options.out.is_some();
    let path = Path::new(&options.log);
    let encoding = options.encoding.as_deref().unwrap_or(ENCODING);
    let known = || {
        Encoding::named(encoding)
            .ok_or_else(|| Stop::Exception(format!("LookupError: unknown encoding: {encoding}")))
    };
    if path.is_file() {
        let known = known()?;
        if !silent {
            writeln!(out, "Use         log file : {}\nUse         encoding : {encoding}", options.log)?;
        }
        let file = File::open(path).map_err(|error| Stop::Error(format!("{}: {error}", options.log)))?;
        let size = file.metadata().map_or(0, |meta| meta.len());
        let file = BufReader::with_capacity(1 << 17, file);
        let lines = Lines { file, encoding: known, bytes: Vec::new(), text: String::new(), size, read: 0 };
        return Ok(Log::File(Box::new(lines)));
    }
    if is_journal(options) {
        return journal(options, journalmatch, encoding, known, log, out);
    }
    let lines: Vec<String> = options.log.split('\n').map(str::to_owned).collect();
    if !silent {
        match lines.as_slice() {
            [one] => writeln!(out, "Use      single line : {}", report::shortened(one))?,
            many => {
                writeln!(out, "Use      multi line : {} line(s)", many.len())?;
                for (at, line) in many.iter().take(5).enumerate() {
                    writeln!(out, "| {:2}: {}", at + 1, report::shortened(line))?;
                }
                if many.len() > 5 {
                    writeln!(out, "| ...")?;
                }
                writeln!(out, "`-")?;
            }
        }
    }
    Ok(Log::Text(lines))
}

/// Whether the log is the journal.
pub(super) fn is_journal(options: &Options) -> bool {
    options.log.starts_with(NAME) && !Path::new(&options.log).is_file()
}

fn journal<W: Write>(
    options: &Options,
    journalmatch: &[&str],
    name: &str,
    encoding: impl FnOnce() -> Result<Encoding, Stop>,
    log: impl Fn(&[LogLine], &mut W) -> Result<(), Stop>,
    out: &mut W,
) -> Result<Log, Stop> {
    let raised = |exception: Exception| {
        let class = exception.class.rsplit('.').next().unwrap_or_default();
        Stop::Exception(format!("{class}: {exception}"))
    };
    if options.out.is_none() {
        writeln!(out, "Use         systemd journal\nUse         encoding : {name}")?;
    }
    let encoding = encoding()?;
    let place = Place::new(&parsed(&options.log).map_err(raised)?.options).map_err(raised)?;
    let mut selection = Selection::default();
    let mut shown = Vec::new();
    let given = options.journalmatch.as_deref().map(|line| vec![line]);
    for line in given.as_deref().unwrap_or(journalmatch) {
        let words = portcullis_config::shell_words(line)
            .map_err(|why| Stop::Exception(format!("ValueError: {why}")))?;
        if !words.is_empty() {
            selection.add(&words).map_err(raised)?;
            shown.push(words.join(" "));
        }
    }
    let mut said = vec![
        LogLine::new(Level::DEBUG, "filter", "Setting usedns = warn for FilterSystemd(None)"),
        LogLine::new(Level::DEBUG, "filter", "Created FilterSystemd(None)"),
        LogLine::new(Level::DEBUG, "filtersystemd", "Created FilterSystemd"),
        LogLine::new(Level::INFO, "filter", format!("  encoding: {name}")),
    ];
    if !shown.is_empty() {
        let text = format!("[{JAILLESS}] Added journal match for: {}", repr_str(&shown.join(" + ")));
        said.push(LogLine::new(Level::INFO, "filtersystemd", text));
    }
    log(&said, out)?;
    if options.out.is_none() && !shown.is_empty() {
        writeln!(out, "Use    journal match : {}", shown.join(" + "))?;
    }
    let reader = Reader::open(&place, &selection, &Start::Beginning, Until::Now);
    let reader = reader.map_err(|error| Stop::Error(error.to_string()))?;
    let waiting = Vec::new().into_iter();
    Ok(Log::Journal(Box::new(Entries { reader, waiting, encoding, zone: TimeZone::system() })))
}

impl Entries {
    /// The next entry as a line.
    pub(super) fn next(&mut self) -> Result<Option<Line>, Stop> {
        let mut more = true;
        loop {
            if let Some(entry) = self.waiting.next() {
                return Ok(Some(entry.line(self.encoding, &self.zone)));
            }
            if !more {
                return Ok(None);
            }
            let mut entries = Vec::new();
            more = self
                .reader
                .read(&mut entries)
                .map_err(|error| Stop::Error(format!("journalctl: {error}")))?;
            self.waiting = entries.into_iter();
        }
    }

    /// The end: what `journalctl` complained about is told.
    pub(super) fn finish(self) -> Result<(), Stop> {
        self.reader.finish().map_err(Stop::Error)
    }
}

impl Lines {
    /// How many bytes the file had when it was opened.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// How many were read.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// Whether the file can be read by pages instead of lines.
    pub(super) fn has_pages(&self) -> bool {
        self.encoding == Encoding::UTF_8
    }

    /// The next lines, as far as they have ends.
    pub(super) fn page(&mut self, now: Timestamp) -> std::io::Result<Option<Page>> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.reserve(PAGE);
        loop {
            let begun = bytes.len();
            if self.file.get_mut().take(PAGE as u64).read_to_end(&mut bytes)? == 0 {
                // A last line without an end is one that is still being written.
                return Ok(None);
            }
            if let Some(end) = bytes[begun..].iter().rposition(|byte| *byte == b'\n') {
                self.bytes = bytes.split_off(begun + end + 1);
                self.read += bytes.len() as u64;
                return Ok(Some(Page::new(bytes, now)));
            }
        }
    }

    /// The next line; valid until the next call.
    pub(super) fn next(&mut self) -> std::io::Result<Option<FileLine<'_>>> {
        self.bytes.clear();
        loop {
            let before = self.bytes.len();
            // A last line without an end is one that is still being written.
            if self.file.read_until(b'\n', &mut self.bytes)? == 0 {
                return Ok(None);
            }
            let unit = self.encoding.unit();
            if unit > 1 {
                // The rest of a unit that begins with the byte of a line feed.
                let rest = (unit - self.bytes.len() % unit) % unit;
                let read = (&mut self.file).take(rest as u64).read_to_end(&mut self.bytes)?;
                if read < rest {
                    return Ok(None);
                }
            }
            let checked = before - before % unit;
            if self.encoding.line_end(&self.bytes[checked..]).is_some() {
                break;
            }
            if unit == 1 {
                return Ok(None);
            }
        }
        self.read += self.bytes.len() as u64;
        let (text, broken) = self.encoding.decode(&self.bytes);
        let text = match text {
            Cow::Borrowed(text) => text,
            Cow::Owned(text) => {
                self.text = text;
                &self.text
            }
        };
        let text = text.trim_end_matches(['\r', '\n']);
        Ok(Some(FileLine { text, undecoded: broken.then_some(&self.bytes) }))
    }
}
