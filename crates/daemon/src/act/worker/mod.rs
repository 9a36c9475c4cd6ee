//! The thread of one action of one jail: it carries out bans in their order, knows which of them are in force, and tries
//! again what failed.
//!
//! Actions never wait for each other: a mail that takes a minute is sent beside the firewall's work, not before it.

mod call;
mod carrier;
mod choose;
mod health;
mod inquire;
mod kernel;
mod ledger;
mod protection;
mod readback;
mod release;
mod shell;
mod shelter;
mod shortcut;
mod warden;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use portcullis_jail::action::{Action, Facts, Operation};
use portcullis_jail::{Id, Level, LogLine, Ticket};
use portcullis_value::{Exception, Value};
use portcullis_wire::event::Kind;

use crate::act::nft::Pace;
use crate::events::Event;
use crate::log::Log;

pub(crate) use call::Call;
pub(crate) use carrier::Carriage;
use carrier::Carrier;
pub(crate) use health::{Enforcement, Health, States};
use inquire::Inquiries;
use ledger::{Ledger, News};
pub(crate) use protection::Protection;
use release::Lingering;
use shelter::Hush;
pub(crate) use shelter::Shelter;

/// So many bans are tried again in one go; a shell action must not spend its time on the past.
const RETRIED: usize = 64;
/// So many orders are taken together, for carriers that do many at the price of one.
const TOGETHER: usize = 2000;
/// So long a new ban waits for those that are being restored.
const PORTION: Duration = Duration::from_millis(4);
/// The fewest that are restored at a time.
const SMALL_PORTION: usize = 64;

/// So many bans wait at most for an action that lifts none, as a mail does.
const MOST_NOTES: usize = 10_000;

/// Dropped when an order has been carried out; whoever holds the other end of the channel sees that.
pub(crate) type Done = Option<Sender<()>>;

/// What an action is told.
pub(crate) enum Order {
    Start(Done),
    Ban(Arc<Ticket>, Done),
    Unban(Arc<Ticket>, Done),
    Prolong(Arc<Ticket>),
    /// All bans end.
    Flush(Done),
    /// A banned address showed up again: does the ban hold?
    Check(Arc<Ticket>),
    /// A banned address failed once more: is the ban in force, and why does it not help?
    Inquire(Id),
    /// Compare the firewall with what should be in force.
    Verify,
    /// The properties are these now.
    Change(Box<Action>),
    /// The configuration was read again.
    Reload(Done),
    /// Whether the bans of these are in force.
    States(Arc<[Id]>, Sender<States>),
    /// A method is called by hand.
    Call(Call, Sender<Result<Value, Exception>>),
    /// About so many bans come from the database.
    Expect(usize),
    /// All bans that the database knows have been ordered.
    Settled,
    /// Lift all bans, stop, end.
    Stop(Done),
    /// End, and leave to the next server what is in our own table; stop what is not.
    Leave(Done),
}

/// A handle on the thread of an action.
pub(crate) struct Worker {
    orders: Sender<Order>,
    health: Arc<Mutex<Health>>,
    shelter: Arc<Shelter>,
    number: u64,
    /// Bans from the database that it has not looked at.
    ahead: Arc<AtomicUsize>,
    /// For an action that only tells of bans: how many wait at most, and how many were left out.
    bound: Option<(usize, AtomicU64)>,
    log: Log,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shelter.roll.strike(self.number);
        self.shelter.release(self.number);
    }
}

impl Worker {
    /// Starts the thread. `carriage` decides how the action is carried out.
    pub(crate) fn spawn(
        jail: &str,
        action: Action,
        carriage: Carriage,
        facts: Box<dyn Facts + Send>,
        log: Log,
    ) -> std::io::Result<Self> {
        // Bounded by the number of bans: each is ordered once, lifted once. What is never lifted (a mail) has a bound of
        // its own.
        let (orders, inbox) = unbounded();
        let bound = (!action.has(Operation::Unban)).then(|| (MOST_NOTES, AtomicU64::new(0)));
        let health = Arc::new(Mutex::new(Health::new(action.name())));
        let thread = crate::jailer::thread_name('a', jail);
        let jail: Arc<str> = jail.into();
        let shared = Arc::clone(&health);
        let shelter = Arc::clone(&carriage.shelter);
        let number = shelter.roll.enrol(orders.clone());
        let ahead = Arc::new(AtomicUsize::new(0));
        let behind = Arc::clone(&ahead);
        let handle =
            Worker { ahead, orders, health: Arc::clone(&health), shelter, number, bound, log: log.clone() };
        std::thread::Builder::new().name(thread).spawn(move || {
            let carrier = Carrier::choose(&jail, action, &carriage, &*facts, &log);
            carriage.shelter.claim(number, carrier.places());
            let mut working = Working {
                jail,
                ledger: Ledger::new(carrier.needs_tickets()),
                carrier,
                carriage,
                inquiries: Inquiries::default(),
                restored: VecDeque::new(),
                behind,
                ended: HashSet::new(),
                portion: SMALL_PORTION,
                settled: false,
                unread: false,
                hush: None,
                swept: false,
                lingering: Lingering::default(),
                number,
                facts,
                log,
                health: shared,
            };
            working.tell_health();
            working.run(&inbox);
        })?;
        Ok(handle)
    }

    /// Gives an order; it is carried out after those before it. Where nothing but notes wait, and too many of them, a
    /// further one is left out, counted and told.
    pub(crate) fn order(&self, order: Order) {
        if let (Some((most, left_out)), Order::Ban(..)) = (&self.bound, &order)
            && self.orders.len() >= *most
        {
            left_out.fetch_add(1, Ordering::Relaxed);
            let action = self.health().action;
            let text = format!("action '{action}' is too slow: {most} bans wait for it, others are left out");
            self.log.warning("actions", text);
            return;
        }
        let restored = matches!(&order, Order::Ban(ticket, _) if ticket.restored);
        self.ahead.fetch_add(usize::from(restored), Ordering::Relaxed);
        // Fails only when the thread has ended, and an ended action has nothing in force.
        if self.orders.send(order).is_err() {
            self.ahead.fetch_sub(usize::from(restored), Ordering::Relaxed);
        }
    }

    /// Whether it takes any number of bans, and says nothing when it is given one.
    pub(crate) fn never_says_no(&self) -> bool {
        self.bound.is_none()
    }

    /// How many bans from the database wait for it.
    pub(crate) fn to_restore(&self) -> usize {
        self.ahead.load(Ordering::Relaxed)
    }

    /// How it is, without waiting for what is under way.
    pub(crate) fn health(&self) -> Health {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner).clone();
        health.waiting = self.orders.len();
        let left_out = self.bound.as_ref().map_or(0, |(_, left_out)| left_out.load(Ordering::Relaxed));
        if left_out > 0 {
            let text = format!("too slow: {left_out} ban(s) were left out");
            health.finding.get_or_insert(text);
        }
        health
    }
}

struct Working {
    jail: Arc<str>,
    carrier: Carrier,
    carriage: Carriage,
    inquiries: Inquiries,
    ledger: Ledger,
    /// Bans from the database that are still to be carried out, and those of them that have ended meanwhile.
    restored: VecDeque<Arc<Ticket>>,
    ended: HashSet<Id>,
    /// How many of them are not carried out, those in the inbox included.
    behind: Arc<AtomicUsize>,
    /// So many of them at a time.
    portion: usize,
    /// There are no more to come. Until then the kernel may rightly have bans that we do not know yet.
    settled: bool,
    /// Some were put into the kernel and not read back yet: that is done once for all of them.
    unread: bool,
    /// While there are many of them, the kernel need not tell of each.
    hush: Option<Hush>,
    /// What a server that did not stop had left is taken away.
    swept: bool,
    lingering: Lingering,
    /// Ours among all actions.
    number: u64,
    facts: Box<dyn Facts + Send>,
    log: Log,
    health: Arc<Mutex<Health>>,
}

impl Working {
    fn run(&mut self, inbox: &Receiver<Order>) {
        let mut left_over = None;
        loop {
            let order = match left_over.take() {
                Some(order) => Ok(order),
                None if !self.restored.is_empty() => inbox.recv_timeout(Duration::ZERO),
                None => match self.ledger.next_retry().into_iter().chain(self.lingering.next_retry()).min() {
                    Some(at) => inbox.recv_deadline(at),
                    None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                },
            };
            match order {
                Ok(Order::Stop(done)) => {
                    self.lift_all();
                    self.carrier.stop(&*self.facts, &self.log);
                    drop(done);
                    return;
                }
                Ok(Order::Leave(done)) => {
                    if !self.carrier.leave() {
                        self.lift_all();
                        self.carrier.stop(&*self.facts, &self.log);
                    }
                    drop(done);
                    return;
                }
                // Bans from the database go behind all others: whoever attacks now is stopped now.
                Ok(Order::Ban(ticket, _)) if ticket.restored => {
                    self.restored.push_back(ticket);
                    continue;
                }
                Ok(order @ (Order::Ban(..) | Order::Unban(..))) => left_over = self.in_numbers(order, inbox),
                Ok(order) => self.carry_out(order),
                Err(RecvTimeoutError::Timeout) if !self.restored.is_empty() => self.restore(),
                Err(RecvTimeoutError::Timeout) => {
                    self.retry();
                    self.lift_again();
                }
                // The jail's thread has gone without a word; its bans stay in force, as after a kill.
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let states = self.carrier.aftermath(&*self.facts, &self.log);
            self.keep(&[], states);
            self.tell_health();
        }
    }

    /// Some of the bans that came from the database: as many as can be done while nobody notices.
    fn restore(&mut self) {
        let fewest = match self.carrier.pace() {
            Pace::One => 1,
            Pace::Each => SMALL_PORTION,
            Pace::Batch(fewest) => fewest.min(TOGETHER),
        };
        let portion = self.portion.clamp(fewest, if fewest == 1 { 1 } else { TOGETHER });
        if self.hush.is_none() && self.behind.load(Ordering::Relaxed) + self.ledger.len() >= kernel::BULK {
            self.hush = Some(self.carriage.shelter.hush());
        }
        let began = Instant::now();
        let some = self.restored.drain(..portion.min(self.restored.len()));
        let mut tickets: Vec<Arc<Ticket>> = some.collect();
        let taken = tickets.len();
        if !self.ended.is_empty() {
            tickets.retain(|ticket| !self.ended.remove(&ticket.id));
        }
        // Who was banned anew meanwhile is in force already.
        tickets.retain(|ticket| !self.ledger.contains(&ticket.id));
        let left = self.put(tickets);
        if !left.is_empty() {
            self.ban(left);
        }
        self.behind.fetch_sub(taken, Ordering::Relaxed);
        self.portion = match began.elapsed() {
            short if short < PORTION / 2 => portion * 2,
            long if long > PORTION => portion.div_ceil(2),
            _ => portion,
        };
        if self.restored.is_empty() {
            self.restored = VecDeque::new();
            self.ended = HashSet::new();
        }
        self.clear_away();
    }

    /// Puts earlier bans into the kernel where that can be read as a whole in the end. Answers the others.
    fn put(&mut self, mut tickets: Vec<Arc<Ticket>>) -> Vec<Arc<Ticket>> {
        let left = self.carrier.put(tickets.clone(), &*self.facts, &self.log);
        if !left.is_empty() {
            let left: HashSet<&Id> = left.iter().map(|ticket| &ticket.id).collect();
            tickets.retain(|ticket| !left.contains(&ticket.id));
        }
        for ticket in &tickets {
            self.ledger.add(ticket);
            self.lingering.forget(&ticket.id);
        }
        self.unread |= !tickets.is_empty();
        if self.carrier.protection.closes {
            let locked_out: Vec<Id> = tickets.iter().map(|ticket| ticket.id.clone()).collect();
            self.carrier.protection.close(&self.jail, &locked_out, &self.carriage, &self.log);
        }
        left
    }

    /// Reads back what was put there.
    fn read_back(&mut self) {
        if !std::mem::take(&mut self.unread) {
            return;
        }
        // Where it cannot be read as a whole, it is done again, and read one by one.
        let again = match self.carrier.missing(&self.ledger, &*self.facts) {
            Some(missing) => {
                let lost = missing.iter().filter_map(|id| self.ledger.ticket(id)).collect();
                self.ledger.enforced();
                lost
            }
            None => self.ledger.pending(),
        };
        self.ban(again);
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Start(_done) => self.carrier.start(&*self.facts, &self.log),
            Order::Prolong(ticket) => {
                self.carrier.prolong(&ticket, &*self.facts, &self.log);
                match self.restored.iter_mut().find(|waiting| waiting.id == ticket.id) {
                    Some(waiting) => *waiting = ticket,
                    None => self.ledger.replace(&ticket),
                }
            }
            Order::Flush(_done) => self.lift_all(),
            Order::Check(ticket) => self.check(&ticket),
            Order::Inquire(id) => self.inquire(&id),
            Order::Verify => self.verify(),
            Order::Expect(bans) => self.ledger.reserve(bans),
            Order::Settled => {
                self.settled = true;
                self.clear_away();
            }
            Order::Change(action) => {
                self.carrier.change(*action);
            }
            Order::Reload(_done) => self.carrier.reload(&*self.facts, &self.log),
            Order::States(ids, answer) => {
                // Whoever asked may have gone.
                let _ = answer.send(self.states(&ids));
            }
            Order::Call(call, answer) => {
                // Whoever asked may have gone.
                let _ = answer.send(self.carrier.call(call, &*self.facts, &self.log));
            }
            // Those are taken in numbers, or end the thread: see `run`.
            Order::Ban(..) | Order::Unban(..) | Order::Stop(_) | Order::Leave(_) => {}
        }
    }

    /// Takes a ban (or the end of one) and those like it that wait behind it, when the carrier does many at once. Answers
    /// the order behind them.
    fn in_numbers(&mut self, first: Order, inbox: &Receiver<Order>) -> Option<Order> {
        let bans = matches!(first, Order::Ban(..));
        let mut tickets = Vec::new();
        // Whoever waits is answered when all of them are done.
        let mut waiting = Vec::new();
        let mut next = Some(first);
        while let Some(order) = next.take() {
            match order {
                Order::Ban(ticket, done) if bans && !ticket.restored => {
                    tickets.push(ticket);
                    waiting.push(done);
                }
                Order::Unban(ticket, done) if !bans => {
                    tickets.push(ticket);
                    waiting.push(done);
                }
                other => {
                    next = Some(other);
                    break;
                }
            }
            if self.carrier.pace() != Pace::One && tickets.len() < TOGETHER {
                next = inbox.try_recv().ok();
            }
        }
        if bans {
            self.ban(tickets);
        } else {
            self.unban(tickets);
        }
        next
    }

    fn ban(&mut self, tickets: Vec<Arc<Ticket>>) {
        for ticket in &tickets {
            self.ledger.add(ticket);
            self.lingering.forget(&ticket.id);
        }
        self.tell_health();
        let states = self.carrier.ban(&tickets, false, &*self.facts, &self.log);
        self.keep(&tickets, states);
    }

    /// Notes what has become of bans: of these, in this order, and of whom else is told.
    fn keep(&mut self, tickets: &[Arc<Ticket>], mut states: HashMap<Id, Enforcement>) {
        if self.carrier.protection.closes {
            let holds = |(_, state): &(&Id, &Enforcement)| state.failure().is_none();
            let locked_out: Vec<Id> = states.iter().filter(holds).map(|(id, _)| id.clone()).collect();
            self.carrier.protection.close(&self.jail, &locked_out, &self.carriage, &self.log);
        }
        for ticket in tickets {
            let state = states.remove(&ticket.id).unwrap_or(Enforcement::Unverified);
            self.settle(&ticket.id, state, ticket.restored);
        }
        for id in self.ledger.in_order(states.keys()) {
            if let Some(state) = states.remove(&id) {
                self.settle(&id, state, false);
            }
        }
    }

    /// Notes what has become of a ban, and tells it. Of restored ones nobody wants to know that all is well.
    fn settle(&mut self, id: &Id, state: Enforcement, restored: bool) {
        let kind = if state == Enforcement::Enforced { Kind::Enforced } else { Kind::Unverified };
        let reason = state.failure().map(str::to_owned).unwrap_or_default();
        let (jail, name) = (&self.jail, self.carrier.name());
        let event = |kind| Event::new(kind).jail(jail).address(id);
        match self.ledger.settle(id, state) {
            Some(News::Failed) => {
                let text = format!("[{jail}] {id} is NOT banned by action '{name}': {reason}. Trying again");
                let event = event(Kind::Failed).text(&format!("action '{name}': {reason}"));
                self.log.write_as(&LogLine::new(Level::ERROR, "actions", text), event);
            }
            Some(News::Holds(0)) if restored => {}
            Some(News::Holds(failures)) => {
                if failures > 0 {
                    let text = format!(
                        "[{jail}] {id} is banned now by action '{name}', after {failures} failure(s)"
                    );
                    self.log.say(Level::NOTICE, "actions", text);
                }
                self.log.events().tell(event(kind).text(&format!("action '{name}'")));
            }
            Some(News::Nothing) | None => {}
        }
    }

    /// Whether these bans are in force; `None` where there is no ban.
    fn states(&self, ids: &[Id]) -> States {
        let waits = |id: &Id| self.restored.iter().any(|ticket| ticket.id == *id) && !self.ended.contains(id);
        let state = |id: &Id| self.ledger.state(id).or_else(|| waits(id).then_some(Enforcement::Pending));
        States { action: self.carrier.name().to_owned(), bans: ids.iter().map(state).collect() }
    }

    fn retry(&mut self) {
        let tickets = self.ledger.due(Instant::now(), RETRIED);
        if tickets.is_empty() {
            return;
        }
        let states = self.carrier.ban(&tickets, true, &*self.facts, &self.log);
        self.keep(&tickets, states);
    }

    /// Somebody who should be locked out failed once more.
    fn check(&mut self, ticket: &Arc<Ticket>) {
        let Some(held) = self.ledger.ticket(&ticket.id) else { return };
        let states = self.carrier.check(&held, &*self.facts, &self.log);
        if let Some(lost) = states {
            let text = format!("[{}] Reban {}, action '{}'", self.jail, ticket.id, self.carrier.name());
            self.log.write(&LogLine::new(Level::NOTICE, "actions", text));
            self.keep(&[held], lost);
        }
    }

    /// Others may have changed the firewall: all bans that should be in force are looked for.
    fn verify(&mut self) {
        if self.carrier.is_own() && !(self.settled && self.restored.is_empty()) {
            return;
        }
        let Some((said, states)) = self.carrier.verify(&self.ledger, &*self.facts, &self.log) else { return };
        let failed = states.values().filter(|state| state.failure().is_some()).count();
        let outcome =
            if failed == 0 { "all are back".to_owned() } else { format!("{failed} could not be put back") };
        let text = format!("[{}] action '{}': {said}; {outcome}", self.jail, self.carrier.name());
        self.log.warning("actions", text);
        self.keep(&[], states);
    }

    fn lift_all(&mut self) {
        let tickets = self.ledger.take_all();
        self.behind.fetch_sub(self.restored.len(), Ordering::Relaxed);
        self.restored.clear();
        self.ended.clear();
        self.lingering = Lingering::default();
        self.carrier.lift_all(&tickets, &*self.facts, &self.log);
    }

    fn tell_health(&self) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.by = self.carrier.by();
        health.finding = self.carrier.finding().map(str::to_owned).or_else(|| self.lingering.finding());
        health.bans = self.ledger.tally();
        health.bans.pending += self.restored.len();
        health.reason = self.ledger.reason();
    }
}
