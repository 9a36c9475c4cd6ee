//! Where to begin in a log that is read for the first time: at the first line young enough to count, found by halves. A log of
//! gigabytes is not read through at a start.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// So many lines are looked at for one with a date.
const LINES: usize = 5;
/// So much of the file is read at a place.
const WINDOW: usize = 64 * 1024;
/// A file that can be halved more often than this grows while it is looked at.
const PROBES: usize = 64;

/// What a search came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sought {
    /// Where to begin: the start of a line. All lines before it are older, if times ascend.
    pub(crate) position: u64,
    /// The file's size in bytes.
    pub(crate) size: u64,
    /// The date of the last line that was looked at, in seconds since 1970.
    pub(crate) found: Option<f64>,
    /// How many places were looked at.
    pub(crate) seeks: usize,
}

/// What stands at a place.
enum Look {
    /// The first line with a date, and where that line ends.
    Dated { time: f64, end: u64 },
    /// No line begins here, or none of the next has a date.
    Undated,
}

/// Looks for the first line at or behind `start` (the start of a line) that is not older than `since`, in seconds since 1970.
/// `time_of` tells what a line says of itself.
///
/// A place without dates counts as young, so that more is read rather than less.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn seek(
    file: &File,
    start: u64,
    since: f64,
    mut time_of: impl FnMut(&[u8]) -> Option<f64>,
) -> io::Result<Sought> {
    let size = file.metadata()?.len();
    let mut sought = Sought { position: start, size, found: None, seeks: 0 };
    let (mut at, mut upper) = (start, size);
    while sought.position < upper && sought.seeks < PROBES {
        sought.seeks += 1;
        match look(file, at, upper, &mut time_of)? {
            Look::Dated { time, end } => {
                sought.found = Some(time);
                if time < since {
                    sought.position = end;
                } else {
                    upper = at;
                }
            }
            // Further down there may be dates; where no line begins, there is nothing.
            Look::Undated if sought.seeks == 1 => {}
            Look::Undated => upper = at,
        }
        at = sought.position + upper.saturating_sub(sought.position) / 2;
    }
    Ok(sought)
}

/// The lines that begin at or behind `at`, and before `upper`.
fn look(
    file: &File,
    at: u64,
    upper: u64,
    time_of: &mut impl FnMut(&[u8]) -> Option<f64>,
) -> io::Result<Look> {
    // The end of the line before tells whether one begins just here.
    let from = at.saturating_sub(1);
    let mut window = vec![0; WINDOW];
    let mut read = 0;
    while read < WINDOW {
        match file.read_at(&mut window[read..], from + read as u64)? {
            0 => break,
            more => read += more,
        }
    }
    let window = &window[..read];
    let mut begin = match at {
        0 => 0,
        _ => match memchr::memchr(b'\n', window) {
            Some(end) => end + 1,
            None => return Ok(Look::Undated),
        },
    };
    for _ in 0..LINES {
        if from + begin as u64 >= upper {
            break;
        }
        let Some(length) = memchr::memchr(b'\n', &window[begin..]) else { break };
        let end = begin + length + 1;
        if let Some(time) = time_of(&window[begin..end]) {
            return Ok(Look::Dated { time, end: from + end as u64 });
        }
        begin = end;
    }
    Ok(Look::Undated)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn time(line: &[u8]) -> Option<f64> {
        std::str::from_utf8(line).ok()?.split(' ').next()?.parse().ok()
    }

    fn sought(text: &str, start: u64, since: f64) -> Sought {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        seek(&file, start, since, time).unwrap()
    }

    /// Ten thousand lines, one a second.
    fn sorted() -> String {
        (0..10_000).map(|second| format!("{second} failed\n")).collect()
    }

    #[test]
    fn in_ascending_times_the_first_young_line_is_found_in_a_few_looks() {
        let text = sorted();
        for since in [1, 17, 4999, 5000, 9999] {
            let sought = sought(&text, 0, f64::from(since));
            let rest = &text[usize::try_from(sought.position).unwrap()..];
            assert!(rest.starts_with(&format!("{since} ")), "{since}: {sought:?}");
            assert!(sought.seeks < 30, "{sought:?}");
        }
    }

    #[test]
    fn all_young_or_no_dates_is_the_beginning_and_all_old_is_the_end() {
        let text = sorted();
        assert_eq!(
            sought(&text, 0, 0.0),
            Sought { position: 0, size: text.len() as u64, found: Some(0.0), seeks: 1 }
        );
        assert_eq!(sought(&text, 0, 1e6).position, text.len() as u64);
        assert_eq!(sought(&"nothing\n".repeat(9999), 0, 5.0).position, 0);
        assert_eq!(sought("", 0, 5.0), Sought { position: 0, size: 0, found: None, seeks: 0 });
    }

    #[test]
    fn a_line_without_its_end_and_one_without_measure_are_left_to_the_reader() {
        assert_eq!(sought("1 a\n2 b", 0, 9.0).position, 4);
        let text = format!("1 {}\n2 b\n", "x".repeat(3 * WINDOW));
        assert_eq!(sought(&text, 0, 9.0).position, 0);
    }

    proptest! {
        #[test]
        fn no_young_line_is_passed_over(
            steps in proptest::collection::vec((0_u32..4, 0_usize..60, proptest::bool::weighted(0.2)), 0..300),
            skip in 0_usize..5,
            since in 0_u32..600,
        ) {
            let (mut now, mut text, mut first, mut starts) = (0, String::new(), None, vec![0]);
            for (step, length, undated) in steps {
                now += step;
                if !undated && now >= since && starts.len() > skip {
                    first.get_or_insert(text.len());
                }
                let date = if undated { String::from("-") } else { now.to_string() };
                text.push_str(&format!("{date} {}\n", "y".repeat(length)));
                starts.push(text.len());
            }
            let start = starts.get(skip).copied().unwrap_or(text.len());
            let position = usize::try_from(sought(&text, start as u64, f64::from(since)).position).unwrap();
            prop_assert!(starts.contains(&position), "{position} is inside of a line");
            prop_assert!(position >= start && position <= first.unwrap_or(text.len()), "{position}, {first:?}");
        }
    }
}
