//! Rows of the tester: which lines are of use for a comparison, and what of a row may differ between two runs.

use std::sync::LazyLock;

use regex::Regex;

/// Lines at which the genuine program itself ends, with a traceback, are of no use: an unknown name of a zone before a date,
/// and a name that is only in another case.
pub(crate) fn ends_the_genuine_program(line: &[u8]) -> bool {
    static ZONE: LazyLock<regex::bytes::Regex> = LazyLock::new(|| {
        regex::bytes::Regex::new(
            r"(?i)([a-z]{3,5}|z) (?:(?:mon|tue|wed|thu|fri|sat|sun) )?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec) ",
        )
        .unwrap()
    });
    // Names may follow each other, so that what looked like the month may be a zone itself.
    let mut from = 0;
    while let Some(zone) = ZONE.captures_at(line, from) {
        from = zone.get(1).map_or(line.len(), |name| name.end());
        let name = String::from_utf8_lossy(&zone[1]).into_owned();
        // `Thu` is read as a day, or taken for no zone without a word; `THU` may be taken for a zone.
        let day = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&&*name);
        if !day && !["Z", "UTC", "GMT", "CET", "CEST", "EST", "PDT", "PST"].contains(&&*name) {
            return true;
        }
    }
    false
}

/// What differs between two runs: the second in which a line without a date was read, and the order of Python's sets; and an
/// IPv4 address in IPv6's clothes with a length of 128 or more, which the genuine program leaves in them.
pub(crate) fn comparable(row: &str, now: f64) -> String {
    static TIME: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(^|\t)(\d{9,10}(?:\.\d+)?)(,| )").unwrap());
    let row = TIME.replace(row, |found: &regex::Captures<'_>| {
        let recent = found[2].parse::<f64>().is_ok_and(|time| (time - now).abs() < 1000.0);
        format!("{}{}{}", &found[1], if recent { "NOW" } else { &found[2] }, &found[3])
    });
    static MAPPED: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^\['::ffff:([0-9.]+)',(.*'cidr': '[0-9]+')").unwrap());
    let row = MAPPED.replace(&row, "['$1',$2");
    let Some(at) = row.find("'users': {") else { return row.into_owned() };
    let mut users: Vec<&str> = row[at..].split(", ").flat_map(|part| part.split(['{', '}'])).collect();
    users.sort_unstable();
    format!("{}{}", &row[..at], users.join("|"))
}
