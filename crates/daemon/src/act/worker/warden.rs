//! Whoever changes the firewall behind our back is noticed: the kernel tells of changes to nf_tables, and twice a minute
//! everything is compared anyway.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::{Order, Shelter};
use crate::act::nft::Events;

/// How often all is compared though nobody told of a change: the old iptables and ipset tell nothing.
const ROUND: Duration = Duration::from_secs(30);
/// Who was busy when others changed something, or could not hear of it, looks after its bans so soon.
const SOON: Duration = Duration::from_secs(1);
/// By then all jails have told what they keep in the kernel; what else a restart has left is taken away.
const CLAIMED: Duration = Duration::from_secs(10);
/// After a change one waits this long, since changes come in numbers.
const SETTLE: Duration = Duration::from_millis(100);
/// Between two comparisons at least this much time passes, whatever is changed.
const PAUSE: Duration = Duration::from_millis(700);

/// Who is told to look after its bans.
#[derive(Clone, Default)]
pub(super) struct Roll {
    workers: Arc<Mutex<HashMap<u64, Sender<Order>>>>,
    next: Arc<AtomicU64>,
}

impl Roll {
    pub(super) fn enrol(&self, orders: Sender<Order>) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).insert(number, orders);
        number
    }

    pub(super) fn strike(&self, number: u64) {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }

    /// Has these (or all) look after their bans, but for those who are busy: new bans go first. Answers who was.
    fn call(&self, only: Option<&HashSet<u64>>) -> HashSet<u64> {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut busy = HashSet::new();
        for (number, orders) in workers.iter().filter(|(number, _)| only.is_none_or(|o| o.contains(number))) {
            if orders.is_empty() {
                let _ = orders.send(Order::Verify);
            } else {
                busy.insert(*number);
            }
        }
        busy
    }
}

/// Starts the thread that listens. It ends with the process.
pub(super) fn start(shelter: Arc<Shelter>, roll: Roll) -> std::io::Result<()> {
    std::thread::Builder::new().name("f2b/warden".into()).stack_size(256 * 1024).spawn(move || {
        let mut listening: Option<(u32, Events)> = None;
        let mut left = Some(Instant::now() + CLAIMED);
        let mut busy = HashSet::new();
        loop {
            // Our own socket may have been opened anew; what it does is no foreign change.
            let port = shelter.port();
            if listening.as_ref().map(|(port, _)| *port) != port {
                listening = port.and_then(|port| Some((port, Events::subscribe(&[port]).ok()?)));
                shelter.listen_with(listening.as_ref().map(|(_, events)| events.ears()));
            }
            let rest = left.map(|at| at.saturating_duration_since(Instant::now()));
            if rest == Some(Duration::ZERO) {
                left = None;
                shelter.clear_left();
            }
            let round = Instant::now() + rest.filter(|rest| !rest.is_zero()).unwrap_or(ROUND);
            until_changed(&mut listening, round, &shelter, || {
                if !busy.is_empty() {
                    busy = roll.call(Some(&busy));
                }
            });
            busy = roll.call(None);
            std::thread::sleep(PAUSE);
        }
    })?;
    Ok(())
}

/// Waits until the kernel tells of a change, others may have changed something unheard, or this moment comes. `meanwhile` has
/// its turn now and then.
fn until_changed(
    listening: &mut Option<(u32, Events)>,
    end: Instant,
    shelter: &Shelter,
    mut meanwhile: impl FnMut(),
) {
    loop {
        let rest = end.saturating_duration_since(Instant::now()).min(SOON);
        match listening.as_mut().map(|(_, events)| events.changed(rest)) {
            Some(Ok(Some(_))) => return std::thread::sleep(SETTLE),
            Some(Ok(None)) => {}
            // Without the kernel's word, by the clock alone.
            Some(Err(_)) | None => {
                *listening = None;
                std::thread::sleep(rest);
            }
        }
        if shelter.was_deaf() || Instant::now() >= end {
            return;
        }
        meanwhile();
    }
}
