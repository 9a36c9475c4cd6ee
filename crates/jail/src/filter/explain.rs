//! What becomes of a line, step by step: for people who ask why somebody is banned, or not.

use super::nearest;
use super::settings::Filter;
use super::verdict::{Moment, Verdict};
use crate::{Outside, Timestamp};

/// A line's way through a filter.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The date, when one was found.
    pub date: Option<DateCut>,
    /// What the regexes see: the line without its date.
    pub text: String,
    /// What the filter says, with the groups that were captured.
    pub verdict: Verdict,
    /// With a line that nothing matches: the regex that got farthest.
    pub nearest: Option<Nearest>,
}

/// A date in a line.
#[derive(Clone, Debug, PartialEq)]
pub struct DateCut {
    /// The template's name, as `fail2ban-regex` lists it.
    pub template: String,
    /// The bytes that are cut out.
    pub span: (usize, usize),
    /// The time that it tells; `None` when there is no such date.
    pub time: Option<Timestamp>,
}

/// The regex that got farthest in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nearest {
    /// The index of the failregex; `None` for the prefregex.
    pub index: Option<usize>,
    /// Where it stopped: a byte of the line.
    pub at: usize,
    /// What of it was found, as it is written.
    pub found: String,
    /// What it wanted there; empty when all of it was found, and something else refused the match.
    pub expected: String,
}

impl Filter {
    /// Explains a line. The line leaves traces in the filter (its connection, the order of date templates) as any line does, so
    /// this is for a filter of one's own.
    pub fn explain(&mut self, line: &str, at: Moment, outside: &mut dyn Outside) -> Explanation {
        let date = self.clock.explain(line, &at);
        let (all, first) = (self.check_all, self.first_only);
        (self.check_all, self.first_only) = (true, true);
        let verdict = self.judge(line, at, outside);
        (self.check_all, self.first_only) = (all, first);
        let cut = date.as_ref().map_or((line.len(), line.len()), |date| date.span);
        let text = format!("{}{}", &line[..cut.0], &line[cut.1..]);
        let nearest = if verdict.hits.is_empty() && verdict.ignored_by.is_empty() {
            // Where the date was cut out, what stands behind it is farther on in the line.
            let place = |at: usize| if at <= cut.0 { at } else { at + cut.1 - cut.0 };
            self.nearest(&format!("{text}\n")).map(|nearest| Nearest { at: place(nearest.at), ..nearest })
        } else {
            None
        };
        Explanation { date, text, verdict, nearest }
    }

    fn nearest(&mut self, text: &str) -> Option<Nearest> {
        let mut searched = (text.to_owned(), 0);
        if let Some(prefregex) = self.prefregex.as_ref().map(|rule| &rule.regex) {
            if prefregex.search(text, &mut self.scratch) != Ok(true) {
                let reach = nearest::reach(prefregex, text, false)?;
                return Some(Nearest {
                    index: None,
                    at: reach.at,
                    found: reach.found,
                    expected: reach.expected,
                });
            }
            let content = prefregex.group("content").and_then(|group| self.scratch.span(group));
            if let Some((start, end)) = content.filter(|(start, end)| start < end) {
                searched = (format!("{}\n", &text[start..end]), start);
            }
        }
        let multiline = self.maxlines > 1;
        let reaches = self.failregex.iter().enumerate().filter_map(|(index, rule)| {
            let reach = nearest::reach(&rule.regex, &searched.0, multiline)?;
            Some((index, reach))
        });
        // Of equals the first.
        let (index, reach) = reaches.reduce(|best, other| {
            let rank = |reach: &nearest::Reach| (reach.literal, reach.at);
            if rank(&other.1) > rank(&best.1) { other } else { best }
        })?;
        (reach.literal > 0).then(|| Nearest {
            index: Some(index),
            at: searched.1 + reach.at.min(searched.0.len() - 1),
            found: reach.found,
            expected: reach.expected,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Nobody;
    use crate::filter::Status;

    fn explained(line: &str) -> Explanation {
        let mut filter = Filter::new();
        filter.set_prefregex(r"^\s*sshd\[\d+\]: <F-CONTENT>.+</F-CONTENT>$").unwrap();
        filter.add_failregex("^Invalid user <F-USER>.*</F-USER> from <HOST>$").unwrap();
        filter.add_failregex("^Failed password for <F-USER>.*</F-USER> from <HOST>$").unwrap();
        let at = Moment { now: Timestamp(1_124_013_600.0), in_operation: false };
        filter.explain(line, at, &mut Nobody)
    }

    #[test]
    fn the_nearest_regex_is_told_with_the_place_in_the_line_where_it_stopped() {
        let line = "2005-08-14 09:59:59 sshd[1]: Failed password for root form 192.0.2.1";
        let explanation = explained(line);
        let nearest = explanation.nearest.unwrap();
        assert_eq!((nearest.index, &line[nearest.at..]), (Some(1), "orm 192.0.2.1"));
        assert_eq!(nearest.expected, "r");
        assert_eq!(&line[explanation.date.unwrap().span.1..][..6], " sshd[");
        let line = "2005-08-14 09:59:59 cron[1]: Failed password for root from 192.0.2.1";
        let nearest = explained(line).nearest.unwrap();
        assert_eq!((nearest.index, &line[nearest.at..][..4]), (None, "cron"));
    }

    #[test]
    fn a_line_that_matches_has_no_nearest_regex() {
        let explanation = explained("2005-08-14 09:59:59 sshd[1]: Invalid user x from 192.0.2.1");
        assert_eq!((explanation.verdict.status, explanation.nearest), (Status::Matched, None));
        assert_eq!(explanation.text, " sshd[1]: Invalid user x from 192.0.2.1");
        assert_eq!(explanation.verdict.failures[0].id.text(), "192.0.2.1");
    }
}
