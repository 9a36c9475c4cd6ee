//! While a jail catches up with a log: the pages before it, and copies of its filter that look at them on other cores.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use crossbeam_channel::Receiver;
use portcullis_jail::Page;
use portcullis_jail::filter::{Filter, Moment};

use super::thread_name;
use crate::panics::contained;
use crate::watch::{Batch, Content};

/// So many pages of 64 KiB are taken from the inbox before their turn.
const PAGES: usize = 8;
/// With fewer of them waiting, the jail is not behind.
const BEHIND: usize = 4;
/// More copies than that have nothing to do: the jail itself is no quicker.
const MOST: usize = 4;

/// What is before a jail.
#[derive(Default)]
pub(super) struct Scouts {
    batches: VecDeque<Batch>,
    /// To each of the copies; they end when these are gone.
    pages: Vec<SyncSender<Arc<Page>>>,
    /// The jail was quicker than a copy: there is no core to spare.
    outrun: bool,
}

impl Scouts {
    /// Whether there is a batch to be judged without a look at the inbox.
    pub(super) fn have_batches(&self) -> bool {
        !self.batches.is_empty()
    }

    /// The next batch: one that was taken before, or one from the inbox.
    pub(super) fn next(&mut self, inbox: &Receiver<Batch>) -> Option<Batch> {
        self.batches.pop_front().or_else(|| inbox.try_recv().ok())
    }

    /// Has copies of the filter look at what waits in the inbox, when that is much. `at_hand` is the batch that is judged
    /// next; the filter is as it was before it.
    pub(super) fn look_ahead(
        &mut self,
        at_hand: &Batch,
        inbox: &Receiver<Batch>,
        jail: &str,
        filter: &mut Filter,
    ) {
        if at_hand.in_operation || !matches!(at_hand.content, Content::Lines(_)) {
            self.call_back();
            return;
        }
        let known = self.batches.len();
        while self.batches.len() < PAGES
            && let Ok(batch) = inbox.try_recv()
        {
            self.batches.push_back(batch);
        }
        if !self.pages.is_empty() {
            self.show(known);
        } else if self.batches.len() >= BEHIND && !self.outrun {
            self.send_out(jail, filter);
            self.show_page(at_hand);
            self.show(0);
        }
        if self.batches.is_empty() {
            self.call_back();
            self.outrun = false;
        }
    }

    /// Ends the copies: the filter is to be another one, or they are of no use any more.
    pub(super) fn call_back(&mut self) {
        self.pages.clear();
    }

    /// Shows the batches from this one on to the copies.
    fn show(&mut self, from: usize) {
        let batches = std::mem::take(&mut self.batches);
        batches.iter().skip(from).for_each(|batch| self.show_page(batch));
        self.batches = batches;
    }

    fn show_page(&mut self, batch: &Batch) {
        let Content::Lines(page) = &batch.content else { return };
        let known = self.pages.len();
        // One that has missed a page is of no use for the next.
        self.pages.retain(|scout| scout.try_send(Arc::clone(page)).is_ok());
        self.outrun |= self.pages.len() < known;
    }

    fn send_out(&mut self, jail: &str, filter: &mut Filter) {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 1..cores.min(MOST + 1) {
            let (pages, todo) = sync_channel::<Arc<Page>>(PAGES + 1);
            let mut filter = filter.scout();
            let work = move || {
                for page in todo {
                    let at = Moment { now: page.read(), in_operation: false };
                    if contained(|| filter.look_ahead(&page, at)).is_none() {
                        // What it remembers is half done. The jail finds out for itself which line it was.
                        return;
                    }
                }
            };
            // Without a thread the jail does it all.
            if std::thread::Builder::new().name(thread_name('s', jail)).spawn(work).is_ok() {
                self.pages.push(pages);
            }
        }
    }
}
