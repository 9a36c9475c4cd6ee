//! Any regex on any line: the way of a jail, behind the automaton, says what the regexes by themselves say.
//!
//! The input is a prefregex (may be empty), a failregex and lines, each a line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_jail::filter::{Filter, Moment};
use portcullis_jail::{Nobody, Timestamp};

const AT: Moment = Moment { now: Timestamp(1_795_345_200.0), in_operation: true };

fn filter(prefregex: &str, failregex: &str) -> Option<Filter> {
    let mut filter = Filter::new();
    filter.set_usedns("raw");
    filter.set_datepattern("{NONE}", AT.now).ok()?;
    filter.set_prefregex(prefregex).ok()?;
    filter.add_failregex(failregex).ok()?;
    Some(filter)
}

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let (Some(prefregex), Some(failregex)) = (lines.next(), lines.next()) else { return };
    let Some(mut jail) = filter(prefregex, failregex) else { return };
    let Some(mut tester) = filter(prefregex, failregex) else { return };
    tester.set_check_all(true);
    tester.set_first_only(true);
    for line in lines {
        let (one, all) = (jail.judge(line, AT, &mut Nobody), tester.judge(line, AT, &mut Nobody));
        if jail.counters().too_hard + tester.counters().too_hard == 0 {
            assert_eq!(one.status, all.status, "{prefregex:?} {failregex:?} {line:?}");
            assert_eq!(one.hits.len(), all.hits.len(), "{prefregex:?} {failregex:?} {line:?}");
        }
    }
});
