//! The fields of a `datepattern` (`%Y`, `%ExY`, …): what each is called, and the regular expression that it stands for.
//!
//! The expressions are Python's and are shown to users as they are (`fail2ban-regex --VD`).

use super::DateError;

/// Letters whose fields hold names. A pattern with one of them is matched without regard to case.
const NAMES: [&str; 6] = ["a", "A", "b", "B", "p", "c"];

/// Name in listings, and regular expression, of a field. The year of `ExY` is written by [`year_regex`].
fn field(key: &str) -> Option<(&'static str, &'static str)> {
    Some(match key {
        "%" => ("%", "%"),
        "Y" => ("Year", r"(?P<Y>\d{4})"),
        "y" => ("Year2", r"(?P<y>\d\d)"),
        "m" => ("Month", r"(?P<m>0?[1-9]|1[0-2])"),
        "d" => ("Day", r"(?P<d>[1-2]\d|[0 ]?[1-9]|3[0-1])"),
        "H" => ("24hour", r"(?P<H>[0-1]?\d|2[0-3])"),
        "k" => ("%k", r" ?(?P<H>[0-2]?\d)"),
        "I" => ("12hour", r"(?P<I>1[0-2]|0[1-9]|[1-9])"),
        "l" => ("%l", r" ?(?P<I>1?\d)"),
        "p" => ("AMPM", r"(?P<p>am|pm)"),
        "M" => ("Minute", r"(?P<M>[0-5]?\d)"),
        "S" => ("Second", r"(?P<S>[0-5]?\d|6[0-1])"),
        "f" => ("Microseconds", r"(?P<f>[0-9]{1,6})"),
        "a" => ("DAY", r"(?P<a>mon|tue|wed|thu|fri|sat|sun)"),
        "A" => ("DAYNAME", r"(?P<A>wednesday|thursday|saturday|tuesday|monday|friday|sunday)"),
        "b" => ("MON", r"(?P<b>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"),
        "B" => (
            "MONTH",
            r"(?P<B>september|february|november|december|january|october|august|march|april|june|july|may)",
        ),
        "j" => ("Yearday", r"(?P<j>36[0-6]|3[0-5]\d|[1-2]\d\d|0[1-9]\d|00[1-9]|[1-9]\d|0[1-9]|[1-9])"),
        "U" => ("Yearweek", r"(?P<U>5[0-3]|[0-4]\d|\d)"),
        "W" => ("Yearweek", r"(?P<W>5[0-3]|[0-4]\d|\d)"),
        "w" => ("Weekday", r"(?P<w>[0-6])"),
        "u" => ("%u", r"(?P<u>[1-7])"),
        "G" => ("%G", r"(?P<G>\d\d\d\d)"),
        "V" => ("%V", r"(?P<V>5[0-3]|0[1-9]|[1-4]\d|\d)"),
        "z" => ("Zone offset", r"(?P<z>Z|UTC|GMT|[+-][01]\d(?::?\d{2})?)"),
        "Z" => ("Zone name", r"(?P<Z>Z|[A-Z]{3,5})"),
        "c" => (
            "%c",
            concat!(
                r"(?P<a>mon|tue|wed|thu|fri|sat|sun)\s+(?P<b>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\s+",
                r"(?P<d>3[0-1]|[1-2]\d|0[1-9]|[1-9]| [1-9])\s+(?P<H>2[0-3]|[0-1]\d|\d):(?P<M>[0-5]\d|\d):",
                r"(?P<S>6[0-1]|[0-5]\d|\d)\s+(?P<Y>\d\d\d\d)"
            ),
        ),
        "x" => ("%x", r"(?P<m>1[0-2]|0[1-9]|[1-9])/(?P<d>3[0-1]|[1-2]\d|0[1-9]|[1-9]| [1-9])/(?P<y>\d\d)"),
        "X" => ("%X", r"(?P<H>2[0-3]|[0-1]\d|\d):(?P<M>[0-5]\d|\d):(?P<S>6[0-1]|[0-5]\d|\d)"),
        "ExY" => ("ExYear", ""),
        "Exy" => ("ExYear2", r"(?P<y>\d{2})"),
        "Exm" => ("ExMonth", r"(?P<m>0[1-9]|1[0-2])"),
        "Exd" => ("ExDay", r"(?P<d>[1-2]\d|0[1-9]|3[0-1])"),
        "ExH" => ("Ex24hour", r"(?P<H>[0-1]\d|2[0-3])"),
        "Exk" => ("%Exk", r" ?(?P<H>[0-1]?\d|2[0-3])"),
        "Exl" => ("%Exl", r" ?(?P<I>1[0-2]|\d)"),
        "ExM" => ("ExMinute", r"(?P<M>[0-5]\d)"),
        "ExS" => ("ExSecond", r"(?P<S>[0-5]\d|6[0-1])"),
        "Exz" => {
            ("ExZone offset", r"(?P<z>(?:[A-Z](?:[A-Z]{2,4})?)?[+-][01]\d(?::?\d{2})?|[A-Z](?:[A-Z]{2,4})?)")
        }
        "ExZ" => ("ExZone name", r"(?P<Z>[A-Z](?:[A-Z]{2,4})?)"),
        _ => return None,
    })
}

/// The regular expression of `%ExY`: the years from 2000 to three years after `year`, by decades.
fn year_regex(year: i16) -> String {
    let decades: String = (0..=last_decade(year)).map(|decade| char::from(b'0' + decade)).collect();
    format!(r"(?P<Y>20[{decades}]\d)")
}

/// The last decade of this century that a log line may be dated in.
pub(crate) fn last_decade(year: i16) -> u8 {
    u8::try_from((year + 3 - 2000).clamp(0, 99) / 10).unwrap_or(9)
}

/// A `datepattern` with its fields written out.
#[derive(Debug, PartialEq)]
pub(crate) struct Written {
    /// As listings name it: `Year-Month-Day`.
    pub(crate) name: String,
    /// As a regular expression, in Python's dialect.
    pub(crate) regex: String,
    /// Whether letters match in either case.
    pub(crate) any_case: bool,
}

/// Writes out the fields of `pattern`. `year` is the present one, for `%ExY`.
pub(crate) fn write_out(pattern: &str, year: i16) -> Result<Written, DateError> {
    let mut written = Written { name: String::new(), regex: String::new(), any_case: false };
    let mut rest = pattern;
    // Fail2ban writes `%Y` as `%(Y)s` and lets Python format that: its complaints count in the longer text.
    let mut formatted = 0;
    let mut fields = 0;
    while let Some(percent) = rest.find('%') {
        let (literal, after) = (&rest[..percent], &rest[percent + 1..]);
        written.name.push_str(literal);
        written.regex.push_str(literal);
        formatted += literal.chars().count();
        let (key, length) = named_key(after).unwrap_or_else(|| {
            let key = key_of(after);
            (key, key.len())
        });
        let Some((name, regex)) = field(key) else {
            let reason = complaint(after, formatted, fields);
            return Err(DateError::Pattern { pattern: pattern.to_owned(), reason });
        };
        written.name.push_str(name);
        if key == "ExY" {
            written.regex.push_str(&year_regex(year));
        } else {
            written.regex.push_str(regex);
        }
        written.any_case |= NAMES.contains(&key);
        formatted += key.len() + 4;
        fields += 1;
        rest = &after[length..];
    }
    written.name.push_str(rest);
    written.regex.push_str(rest);
    Ok(written)
}

/// The key of a conversion that is written as Fail2ban would write it, `%(Y)s`, and how long that is without the percent sign.
fn named_key(text: &str) -> Option<(&str, usize)> {
    let (key, _) = text.strip_prefix('(')?.split_once(")s")?;
    field(key).is_some().then_some((key, key.len() + 3))
}

/// The letter or `Ex` and letter at the start of `text`.
fn key_of(text: &str) -> &str {
    let extended = text.strip_prefix("Ex").and_then(|t| t.chars().next()).map(|c| 2 + c.len_utf8());
    if let Some(key) = extended.and_then(|len| text.get(..len)).filter(|key| field(key).is_some()) {
        return key;
    }
    let len = text.chars().next().map_or(0, char::len_utf8);
    &text[..len]
}

/// Python's words for a conversion that it does not know. `index` is where its percent sign stands.
fn complaint(after: &str, index: usize, fields: usize) -> String {
    let flags = after.find(|c: char| !" #+-0123456789.*hlL".contains(c));
    let Some((at, letter)) = flags.and_then(|at| Some((at, after[at..].chars().next()?))) else {
        return "incomplete format".to_owned();
    };
    match letter {
        _ if fields > 0 => "not enough arguments for format string".to_owned(),
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' => "must be real number, not dict".to_owned(),
        'o' | 'x' | 'X' => format!("%{letter} format: an integer is required, not dict"),
        'd' | 'i' | 'u' => format!("%{letter} format: a real number is required, not dict"),
        'c' => "%c requires int or char".to_owned(),
        // Differs: Python would write its table of fields here. Nobody means that.
        's' | 'r' | 'a' => "no such field".to_owned(),
        letter => {
            format!(
                "unsupported format character '{letter}' (0x{:x}) at index {}",
                letter as u32,
                index + at + 1
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_and_written_out() {
        let written = write_out("%Y-%Exd%% %b", 2026).unwrap();
        assert_eq!(written.name, "Year-ExDay% MON");
        assert!(written.regex.starts_with(r"(?P<Y>\d{4})-(?P<d>[1-2]\d|0[1-9]|3[0-1])% (?P<b>jan|"));
        assert!(written.any_case);
        assert_eq!(write_out("%(Y)s-%(Exd)s%% %(b)s", 2026).unwrap().regex, written.regex);
        assert_eq!(write_out("%ExY", 2026).unwrap().regex, r"(?P<Y>20[012]\d)");
        assert_eq!(write_out("%ExY", 2027).unwrap().regex, r"(?P<Y>20[0123]\d)");
    }

    #[test]
    fn a_wrong_field_is_refused_in_pythons_words() {
        let reason = |pattern: &str| match write_out(pattern, 2026) {
            Err(DateError::Pattern { reason, .. }) => reason,
            other => panic!("{pattern}: {other:?}"),
        };
        assert_eq!(reason("%Q"), "unsupported format character 'Q' (0x51) at index 1");
        assert_eq!(reason("50%,%Y"), "unsupported format character ',' (0x2c) at index 3");
        assert_eq!(reason("%5Y"), "unsupported format character 'Y' (0x59) at index 2");
        assert_eq!(reason("%Y %Q"), "not enough arguments for format string");
        assert_eq!(reason("%"), "incomplete format");
        assert_eq!(reason("%h"), "incomplete format");
        assert_eq!(reason("%E"), "must be real number, not dict");
        assert_eq!(reason("%-d"), "%d format: a real number is required, not dict");
    }
}
