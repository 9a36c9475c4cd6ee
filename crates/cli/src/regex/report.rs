//! The sums at the end, in Fail2ban's layout.

use std::io::Write;
use std::time::Duration;

use super::Stop;
use super::sums::Kept;
use super::tester::Tester;

/// Of so many lines `-v` shows what the prefregex captured.
const MOST_GROUPS: usize = 20;

/// Hits of one regex.
#[derive(Debug, Default)]
pub(super) struct Sum {
    /// As it was written.
    regex: String,
    hits: u64,
    /// What `-v` tells of each.
    told: Vec<String>,
}

impl Sum {
    pub(super) fn of(regex: &str) -> Self {
        Sum { regex: regex.to_owned(), ..Sum::default() }
    }

    pub(super) fn add(&mut self, told: Option<String>) {
        self.hits += 1;
        self.told.extend(told);
    }
}

/// A text, or its beginning if it is long.
pub(super) fn shortened(text: &str) -> String {
    if text.chars().count() <= 53 {
        return text.to_owned();
    }
    text.chars().take(50).chain("...".chars()).collect()
}

impl Tester<'_> {
    /// Everything that is told behind the log.
    pub(super) fn report(&self, took: Duration, out: &mut impl Write) -> Result<(), Stop> {
        write!(out, "Results\n=======\n\n")?;
        self.report_prefregex(out)?;
        self.report_regexes("Failregex", &self.sums.failregex, out)?;
        writeln!(out)?;
        self.report_regexes("Ignoreregex", &self.sums.ignoreregex, out)?;
        self.report_dates(out)?;
        write!(
            out,
            "\nLines: {} lines, {} ignored, {} matched, {} missed\n",
            self.sums.lines, self.sums.ignored.count, self.sums.matched.count, self.sums.missed.count
        )?;
        write!(out, "[processed in {:.2} sec]\n\n", took.as_secs_f64())?;
        if self.options.all_matched {
            let regexes = self.failregexes();
            self.report_lines("matched", &self.sums.matched, true, &regexes, out)?;
        }
        if !self.options.ignored.none {
            let regexes: Vec<_> = pairs(&self.sums.ignoreregex, self.filter.ignoreregex());
            self.report_lines("ignored", &self.sums.ignored, self.options.ignored.all, &regexes, out)?;
        }
        if !self.options.missed.none {
            let regexes = self.failregexes();
            self.report_lines("missed", &self.sums.missed, self.options.missed.all, &regexes, out)?;
        }
        Ok(())
    }

    fn failregexes(&self) -> Vec<(&str, &str)> {
        pairs(&self.sums.failregex, self.filter.failregex())
    }

    fn report_prefregex(&self, out: &mut impl Write) -> Result<(), Stop> {
        let Some(regex) = self.filter.prefregex() else { return Ok(()) };
        write!(out, "Prefregex: {} total\n|  {regex}\n", self.sums.prefregex.hits)?;
        for told in self.sums.prefregex.told.iter().take(MOST_GROUPS) {
            writeln!(out, "|      {told}")?;
        }
        if self.sums.prefregex.told.len() > MOST_GROUPS {
            writeln!(out, "|      ...")?;
        }
        write!(out, "`-\n\n")?;
        Ok(())
    }

    fn report_regexes(&self, name: &str, sums: &[Sum], out: &mut impl Write) -> Result<(), Stop> {
        let total: u64 = sums.iter().map(|sum| sum.hits).sum();
        writeln!(out, "{name}: {total} total")?;
        let verbose = self.options.verbose > 0;
        let shown = || sums.iter().enumerate().filter(|(_, sum)| sum.hits > 0 || verbose);
        if shown().next().is_some() {
            writeln!(out, "|-  #) [# of hits] regular expression")?;
            for (at, sum) in shown() {
                writeln!(out, "|  {:2}) [{}] {}", at + 1, sum.hits, sum.regex)?;
                for told in &sum.told {
                    writeln!(out, "|      {told}")?;
                }
            }
            writeln!(out, "`-")?;
        }
        Ok(())
    }

    fn report_dates(&self, out: &mut impl Write) -> Result<(), Stop> {
        let detector = self.filter.known_detector();
        // Entries of the journal have their times: nobody looked for dates.
        if detector.is_none() && super::lines::is_journal(self.options) {
            return Ok(());
        }
        writeln!(out, "\nDate template hits:")?;
        let Some(detector) = detector else { return Ok(()) };
        let verbose = self.options.verbose > 0;
        let shown = || detector.templates().filter(|template| template.hits > 0 || verbose);
        if shown().next().is_none() {
            return Ok(());
        }
        writeln!(out, "|- [# of hits] date format")?;
        for template in shown() {
            writeln!(out, "|  [{}] {}", template.hits, template.name)?;
            if self.options.verbose_date {
                writeln!(
                    out,
                    "|      # weight: {:.3} ({:.3}), pattern: {}\n|      # regex:   {}",
                    template.weight, template.template_weight, template.pattern, template.regex
                )?;
            }
        }
        writeln!(out, "`-")?;
        Ok(())
    }

    fn report_lines(
        &self,
        name: &str,
        kept: &Kept,
        all: bool,
        regexes: &[(&str, &str)],
        out: &mut impl Write,
    ) -> Result<(), Stop> {
        if kept.count == 0 {
            return Ok(());
        }
        let title = format!("{}{} line(s)", name[..1].to_uppercase(), &name[1..]);
        if !all && usize::try_from(kept.count).is_ok_and(|count| count >= self.too_many()) {
            writeln!(
                out,
                "{title}: too many to print.  Use --print-all-{name} to print all {} lines",
                kept.count
            )?;
            return Ok(());
        }
        writeln!(out, "|- {title}:")?;
        for line in &kept.lines {
            if !self.options.debuggex {
                writeln!(out, "|  {}", line.trim_end())?;
                continue;
            }
            for (regex, expanded) in regexes {
                let (re, text) = (quoted(expanded), quoted(line));
                writeln!(
                    out,
                    "|  {line} | {regex} |  https://www.debuggex.com/?re={re}&str={text}&flavor=python"
                )?;
            }
        }
        writeln!(out, "`-")?;
        Ok(())
    }
}

/// Regexes as written and as compiled.
fn pairs<'t>(sums: &'t [Sum], expanded: impl Iterator<Item = &'t str>) -> Vec<(&'t str, &'t str)> {
    sums.iter().map(|sum| sum.regex.as_str()).zip(expanded).collect()
}

/// A text in an address, as forms write it.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
