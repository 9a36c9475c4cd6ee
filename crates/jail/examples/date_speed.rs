//! Nanoseconds that a line's date costs: `cargo run --release -p portcullis-jail --example date_speed`.

use std::hint::black_box;
use std::time::Instant;

use jiff::tz::TimeZone;
use portcullis_jail::Timestamp;
use portcullis_jail::date::{Detector, Zones};

fn main() {
    let now = Timestamp(1_795_374_000.0);
    let zones = Zones::new(TimeZone::get("Europe/Berlin").unwrap_or(TimeZone::UTC), None);
    let hostile = format!("{} {}", "1:2[".repeat(262_144), "x");
    let cases: [(&str, Option<&str>, &str, u32); 7] = [
        (
            "syslog",
            None,
            "Nov 22 10:00:01 host sshd[1]: Failed password for root from 192.0.2.1 port 22 ssh2",
            2_000_000,
        ),
        (
            "ISO",
            Some("{^LN-BEG}"),
            "2026-11-22T10:00:01.123456+01:00 host sshd[1]: Failed password for root",
            2_000_000,
        ),
        (
            "web, default list",
            None,
            "192.0.2.1 - - [22/Nov/2026:10:00:01 +0100] \"GET / HTTP/1.1\" 401 381",
            500_000,
        ),
        (
            "web, stock filter",
            Some("^[^\\[]*\\[({DATE})\n{^LN-BEG}"),
            "192.0.2.1 - - [22/Nov/2026:10:00:01 +0100] \"GET / HTTP/1.1\" 401",
            500_000,
        ),
        ("none", None, "nothing in this line looks like a date, though it is as long as others are", 500_000),
        (
            "user's own",
            Some("%Y-%m-%d %H:%M:%S"),
            "2026-11-22 10:00:01 host sshd[1]: Failed password for root",
            200_000,
        ),
        ("hostile, 1 MiB", None, &hostile, 5),
    ];
    for (name, pattern, line, times) in cases {
        let Ok(mut detector) = Detector::new(pattern, now) else { continue };
        let warm = detector.find(line, now);
        let started = Instant::now();
        for _ in 0..times {
            black_box(detector.find(black_box(line), now));
        }
        let find = started.elapsed().as_nanos() / u128::from(times);
        let started = Instant::now();
        if let Some(found) = &warm {
            for _ in 0..times {
                let _ = black_box(detector.parse(black_box(line), found, now, &zones));
            }
        }
        println!(
            "{name:20} find {find:>10} ns, parse {:>6} ns",
            started.elapsed().as_nanos() / u128::from(times)
        );
    }
}
