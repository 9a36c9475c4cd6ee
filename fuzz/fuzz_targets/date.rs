//! Any date pattern on any lines: what is found lies within the line, and has a time or none.
//!
//! The input is a pattern (may be empty: the default list), and lines, each a line. `|` in the pattern begins another one.
#![no_main]

use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;
use portcullis_jail::Timestamp;
use portcullis_jail::date::{Detector, Zones, parse_logtimezone};

const NOW: Timestamp = Timestamp(1_795_345_200.0);

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let Some(pattern) = lines.next() else { return };
    let _ = parse_logtimezone(pattern);
    let Ok(mut detector) = Detector::new(Some(&pattern.replace('|', "\n")), NOW) else { return };
    let zones = Zones::new(TimeZone::UTC, None);
    for line in lines {
        let Some(found) = detector.find(line, NOW) else { continue };
        assert!(line.get(found.start..found.end).is_some(), "{pattern:?} {line:?} {found:?}");
        if let Ok(time) = detector.parse(line, &found, NOW, &zones) {
            assert!(time.0.is_finite(), "{pattern:?} {line:?} {time:?}");
        }
        detector.is_integer(line, &found, &zones);
    }
});
