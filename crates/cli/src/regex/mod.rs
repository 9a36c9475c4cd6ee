//! `fail2ban-regex`: what a filter makes of a log, told line by line and in sums.

mod given;
mod lines;
mod options;
mod pages;
mod progress;
mod report;
mod row;
mod sums;
mod tester;
mod world;

use std::ffi::OsString;
use std::io::{BufWriter, Write, stdout};
use std::process::ExitCode;

pub(crate) use options::names as option_names;
use options::{Options, Parsed};
use tester::Tester;
pub(crate) use world::World;

/// Exit status of a run that could not begin; Fail2ban exits with -1.
const FAILED: u8 = 255;

/// Runs the tester. `program` is the name in its usage line.
pub(crate) fn run(program: &str, words: Vec<OsString>) -> ExitCode {
    let words = words.into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let options = match options::parse(words) {
        Parsed::Run(options) => options,
        Parsed::Say(text) => return say(&text, 0),
        Parsed::Help => return say(&options::help(program), 0),
        Parsed::Unknown(message) => {
            eprint!("{}\n\nfail2ban-regex: error: {message}\n", options::usage(program));
            return ExitCode::from(2);
        }
        Parsed::Wrong(message) => {
            let status = say(&options::help(program), FAILED);
            eprint!("\nERROR: {message}\n");
            return status;
        }
    };
    // A reader that has seen enough closes the pipe: then there is nobody to tell.
    let mut out = BufWriter::with_capacity(1 << 16, stdout().lock());
    match test(&options, &mut out) {
        Ok(()) => ExitCode::from(u8::from(out.flush().is_err())),
        Err(Stop::Error(message)) => {
            let _ = writeln!(out, "ERROR: {message}").and_then(|()| out.flush());
            ExitCode::from(FAILED)
        }
        Err(Stop::Exception(message)) => {
            let _ = out.flush();
            eprintln!("{message}");
            ExitCode::from(1)
        }
        Err(Stop::Output) => ExitCode::from(1),
    }
}

fn say(text: &str, status: u8) -> ExitCode {
    let mut out = stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    ExitCode::from(status)
}

/// Why a test ends before its end.
enum Stop {
    /// In Fail2ban's words, behind `ERROR: `.
    Error(String),
    /// Where Fail2ban shows a traceback; its last line.
    Exception(String),
    /// Nobody reads what we write.
    Output,
}

impl From<std::io::Error> for Stop {
    fn from(_: std::io::Error) -> Self {
        Stop::Output
    }
}

fn test(options: &Options, out: &mut impl Write) -> Result<(), Stop> {
    let silent = options.out.is_some();
    if !silent {
        write!(out, "\nRunning tests\n=============\n\n")?;
    }
    let mut tester = Tester::new(options)?;
    tester.read_regexes(out)?;
    let log = tester.open(out)?;
    if !silent {
        writeln!(out)?;
        out.flush()?;
    }
    let started = std::time::Instant::now();
    tester.process(log, out)?;
    if !silent {
        writeln!(out)?;
        tester.report(started.elapsed(), out)?;
    }
    Ok(())
}
