//! The catalogue's own filters: against lines of our own, and against the sample lines of Fail2ban's filters of that name.

#![allow(clippy::panic, clippy::unwrap_used)]
#![allow(dead_code, reason = "the corpus is shared with other tests")]

mod corpus;

use corpus::checks;
use corpus::stock::Stock;
use portcullis_jail::filter::Moment;
use portcullis_jail::{Nobody, Timestamp};
use serde_json::{Map, Value};

/// 2026-11-22 11:00:00 UTC.
const AT: Moment = Moment { now: Timestamp(1_795_345_200.0), in_operation: true };

#[test]
fn our_filters_say_whose_failure_each_of_our_lines_is() {
    let stock = Stock::catalogue();
    let mut mistakes = Vec::new();
    for row in include_str!("corpus/ours.tsv").lines().filter(|row| !row.starts_with('#')) {
        let [filter, whose, line] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("{row}") };
        let (name, mode) =
            filter.split_once("[mode=").map_or((filter, None), |(n, m)| (n, Some(m.trim_end_matches(']'))));
        let options = mode.map(|mode| ("mode".to_owned(), Value::from(mode)));
        let mut filter = stock.filter(name, &Map::from_iter(options));
        let found: Vec<String> =
            filter.judge(line, AT, &mut Nobody).failures.iter().map(|f| f.id.text().to_owned()).collect();
        let wanted: Vec<String> = if whose == "-" { Vec::new() } else { vec![whose.to_owned()] };
        if found != wanted {
            mistakes.push(format!("{name}: {found:?} instead of {wanted:?}: {line}"));
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

/// Of Fail2ban's samples, at least so many in a hundred get the same answer, and nobody who is innocent there is guilty here.
const AGREED: usize = 75;

#[test]
fn our_filters_agree_with_the_samples_of_fail2ban_where_the_messages_are_known() {
    let Some(genuine) = Stock::new() else { return };
    let ours = Stock::catalogue();
    for name in ["sshd", "dropbear"] {
        let (mut agreed, mut missed, mut wrong) = (0, 0, Vec::new());
        for check in
            checks(&genuine.logs, name).iter().filter(|check| !check.place.starts_with("sshd-journal"))
        {
            if check.options.get("mode").is_some() || check.options.get("logtype").is_some() {
                continue;
            }
            // Each line for itself: what a connection did before is another filter's business.
            let mut filter = ours.filter(name, &Map::new());
            let found = !filter.judge(&check.line, AT, &mut Nobody).failures.is_empty();
            let wanted = check.expected.get("match").and_then(Value::as_bool).unwrap_or(false);
            match (found, wanted) {
                (true, false) => wrong.push(format!("{}: {}", check.place, check.line)),
                (false, true) => {
                    missed += 1;
                    println!("{name} does not know {}: {}", check.place, check.line);
                }
                _ => agreed += 1,
            }
        }
        println!("{name}: {agreed} agreed, {missed} unknown to us, {} guilty only here", wrong.len());
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(agreed * 100 >= (agreed + missed) * AGREED, "{name}: {agreed} of {}", agreed + missed);
    }
}
