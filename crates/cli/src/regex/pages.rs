//! A log by pages, on all cores: many try the regexes, one finds the dates before and takes everything together after, in the
//! order of the lines. Whatever remembers lines is done by that one, so that what comes out is the same on any machine.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use portcullis_jail::filter::{Filter, Finds, Moment, Stamps};
use portcullis_jail::{Outside, Page};

use super::lines::Lines;
use super::progress::Progress;
use super::sums::{Sums, is_skipped};

/// Smaller logs are through within a fraction of a second, and others cost some time of their own.
const WORTH_IT: u64 = 32 << 20;
/// So many pages may be with each of the others.
const AHEAD: usize = 4;

/// A page whose dates are found.
struct Work {
    page: Page,
    stamps: Stamps,
    at: Moment,
}

/// The same with what regexes found on it.
struct Done {
    page: Page,
    finds: Finds,
    at: Moment,
}

/// Somebody who tries regexes: pages in, finds out, in the same order.
struct Hand {
    work: SyncSender<Work>,
    done: Receiver<Done>,
}

/// How many cores there are to work on.
pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Adds up a whole log, on so many cores.
///
/// # Errors
/// When the log cannot be read on.
pub(super) fn count(
    lines: &mut Lines,
    filter: &mut Filter,
    outside: &mut dyn Outside,
    sums: &mut Sums,
    cores: usize,
) -> std::io::Result<()> {
    let mut progress = Progress::new(lines.size(), false);
    let others = if lines.size() < WORTH_IT || cores < 2 { 0 } else { cores };
    let mut scanned = 0;
    // The first page is done here: what is built for it the others get ready made.
    while others == 0 || scanned == 0 {
        let Some(work) = dated(lines, filter)? else { return Ok(()) };
        let done = work.by(filter);
        progress.page(done.page.len(), lines.read());
        sums.add_page(&done.page, done.finds, done.at, filter, outside);
        scanned += 1;
    }
    thread::scope(|scope| {
        let hands: Vec<Hand> = (0..others).map(|_| Hand::new(scope, filter.clone())).collect();
        let mut round = hands.iter().cycle();
        let mut next = hands.iter().cycle();
        let mut under_way = 0;
        let mut more = true;
        while more || under_way > 0 {
            if more && under_way < others * AHEAD {
                match dated(lines, filter)? {
                    Some(work) => {
                        // A hand that is gone has panicked, and so shall we when all are joined.
                        if round.next().is_none_or(|hand| hand.work.send(work).is_err()) {
                            return Ok(());
                        }
                        under_way += 1;
                    }
                    None => more = false,
                }
                continue;
            }
            let Some(Ok(done)) = next.next().map(|hand| hand.done.recv()) else { return Ok(()) };
            under_way -= 1;
            progress.page(done.page.len(), lines.read());
            sums.add_page(&done.page, done.finds, done.at, filter, outside);
        }
        Ok(())
    })
}

/// The next page with its dates.
fn dated(lines: &mut Lines, filter: &mut Filter) -> std::io::Result<Option<Work>> {
    let Some(page) = lines.page(super::tester::now())? else { return Ok(None) };
    let at = Moment { now: page.read(), in_operation: false };
    let stamps = filter.stamp(&page, at, is_skipped);
    Ok(Some(Work { page, stamps, at }))
}

impl Work {
    fn by(self, filter: &mut Filter) -> Done {
        let Work { page, stamps, at } = self;
        let finds = filter.scan(&page, &stamps, at);
        Done { page, finds, at }
    }
}

impl Hand {
    fn new<'s>(scope: &'s thread::Scope<'s, '_>, mut filter: Filter) -> Self {
        let (work, todo) = sync_channel::<Work>(AHEAD);
        let (results, done) = sync_channel(AHEAD);
        scope.spawn(move || {
            for work in todo {
                if results.send(work.by(&mut filter)).is_err() {
                    return;
                }
            }
        });
        Hand { work, done }
    }
}
