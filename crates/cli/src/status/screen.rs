//! A report as a person wants to see it. Colours are taken off where nobody sees them.

use std::io::Write;

use anstyle::Style;
use portcullis_value::{Value, float};

use super::health::Health;
use super::jails;
use crate::portcullis::answer::{field, list, number, text};
use crate::portcullis::paint::{BAD, FAINT, GOOD, STRONG};
use crate::portcullis::span;

pub(super) fn draw(
    out: &mut impl Write,
    report: &Value,
    health: &Health,
    jail: Option<&str>,
) -> std::io::Result<()> {
    let mode = if field(report, "dry_run").is_true() { ", dry run: NOBODY IS BANNED" } else { "" };
    let since = field(report, "started");
    write!(out, "{STRONG}Portcullis {}{STRONG:#} runs", text(report, "version"))?;
    if let Ok(since) = float(since) {
        let at = jiff::Timestamp::from_second(since as i64).unwrap_or_default();
        let at = at.to_zoned(jiff::tz::TimeZone::system());
        write!(
            out,
            " since {} ({})",
            at.strftime("%Y-%m-%d %H:%M:%S"),
            span(jiff::Timestamp::now().as_second() as f64 - since)
        )?;
    }
    writeln!(out, ", process {}{mode}", number(report, "pid"))?;
    for place in ["log", "database"] {
        let target = text(field(report, place), "target");
        if !target.is_empty() {
            writeln!(out, "  {FAINT}{place:<9}{FAINT:#}{target}")?;
        }
    }
    for shown in jails(report, jail) {
        writeln!(out)?;
        draw_jail(out, shown)?;
    }
    writeln!(out)?;
    if health.attention.is_empty() {
        return writeln!(out, "{GOOD}All is well.{GOOD:#}");
    }
    writeln!(out, "{BAD}Needs attention:{BAD:#}")?;
    for line in &health.attention {
        writeln!(out, "  {BAD}!{BAD:#} {line}")?;
    }
    Ok(())
}

fn draw_jail(out: &mut impl Write, jail: &Value) -> std::io::Result<()> {
    let well = list(jail, "actions")
        .iter()
        .all(|action| number(action, "failed") == 0 && field(action, "problem").as_str().is_none());
    let (mark, style) = if well && field(jail, "started").is_true() { ("●", GOOD) } else { ("✗", BAD) };
    let idle = if field(jail, "idle").is_true() { ", idle" } else { "" };
    writeln!(out, "{style}{mark}{style:#} {STRONG}{}{STRONG:#}{idle}", text(jail, "name"))?;
    writeln!(
        out,
        "  {FAINT}failures {FAINT:#}{} now, {} in all",
        number(jail, "currently_failed"),
        number(jail, "total_failed")
    )?;
    writeln!(
        out,
        "  {FAINT}bans     {FAINT:#}{} now, {} in all",
        number(jail, "currently_banned"),
        number(jail, "total_banned")
    )?;
    for source in list(jail, "sources") {
        let path = text(source, "path");
        match field(source, "problem").as_str() {
            None => writeln!(out, "  {FAINT}reads    {FAINT:#}{path} ({})", text(jail, "backend"))?,
            Some(problem) => writeln!(out, "  {FAINT}reads    {FAINT:#}{path} {BAD}{problem}{BAD:#}")?,
        }
    }
    for action in list(jail, "actions") {
        write!(out, "  {FAINT}enforces {FAINT:#}{} ({})", text(action, "name"), text(action, "by"))?;
        let mut said = false;
        for (key, words, style) in [
            ("enforced", "enforced", GOOD),
            ("unverified", "carried out, cannot be read back", Style::new()),
            ("pending", "pending", Style::new()),
            ("failed", "NOT ENFORCED", BAD),
        ] {
            let count = number(action, key);
            if count > 0 {
                write!(out, "{} {style}{count} {words}{style:#}", if said { "," } else { ":" })?;
                said = true;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}
