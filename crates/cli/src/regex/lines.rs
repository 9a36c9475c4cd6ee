//! The lines that are tested: of a file, or those given on the command line.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use super::options::Options;
use super::{Stop, report};

/// How bytes become text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Latin1,
}

/// Where lines come from.
pub(super) enum Log {
    File(Box<Lines>),
    Text(Vec<String>),
}

/// A file, line by line, in one buffer.
pub(super) struct Lines {
    file: BufReader<File>,
    encoding: Encoding,
    bytes: Vec<u8>,
    text: String,
}

/// Opens what the command line names, and says so.
pub(super) fn open(options: &Options, out: &mut impl Write) -> Result<Log, Stop> {
    let silent = options.out.is_some();
    let path = Path::new(&options.log);
    if path.is_file() {
        let encoding = options.encoding.as_deref().unwrap_or("UTF-8");
        let known = known(encoding)
            .ok_or_else(|| Stop::Exception(format!("LookupError: unknown encoding: {encoding}")))?;
        if !silent {
            writeln!(out, "Use         log file : {}\nUse         encoding : {encoding}", options.log)?;
        }
        let file = File::open(path).map_err(|error| Stop::Error(format!("{}: {error}", options.log)))?;
        let file = BufReader::with_capacity(1 << 17, file);
        let lines = Lines { file, encoding: known, bytes: Vec::new(), text: String::new() };
        return Ok(Log::File(Box::new(lines)));
    }
    if options.log.starts_with("systemd-journal") {
        // Differs: Fail2ban reads the journal here.
        return Err(Stop::Error(
            "the journal cannot be tested yet. Write it to a file: journalctl -o short-iso > FILE".into(),
        ));
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

fn known(encoding: &str) -> Option<Encoding> {
    match encoding.to_ascii_lowercase().replace(['_', ' '], "-").as_str() {
        "auto" | "utf-8" | "utf8" | "u8" | "ascii" | "us-ascii" => Some(Encoding::Utf8),
        "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" | "l1" => Some(Encoding::Latin1),
        _ => None,
    }
}

impl Lines {
    /// The next line without its end; valid until the next call.
    pub(super) fn next(&mut self) -> std::io::Result<Option<&str>> {
        self.bytes.clear();
        // A last line without an end is one that is still being written.
        if self.file.read_until(b'\n', &mut self.bytes)? == 0 || self.bytes.last() != Some(&b'\n') {
            return Ok(None);
        }
        while matches!(self.bytes.last(), Some(b'\n' | b'\r')) {
            self.bytes.pop();
        }
        if self.encoding == Encoding::Latin1 && !self.bytes.is_ascii() {
            self.text.clear();
            self.text.extend(self.bytes.iter().map(|b| char::from(*b)));
            return Ok(Some(&self.text));
        }
        if std::str::from_utf8(&self.bytes).is_err() {
            self.text = String::from_utf8_lossy(&self.bytes).into_owned();
            return Ok(Some(&self.text));
        }
        Ok(std::str::from_utf8(&self.bytes).ok())
    }
}
