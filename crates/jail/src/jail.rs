//! One jail: lines and commands in, effects out.
//!
//! Puts filter, ignore list, tally and bans together in the order in which Fail2ban does, and says what has to be done. It
//! does nothing itself; whoever drives it carries out the [`Effect`]s in their order.

mod by_hand;

use std::sync::Arc;

use ipnet::IpNet;
use jiff::tz::TimeZone;
use portcullis_value::{Number, Value};

use crate::ban::increment::{Increment, NewBan};
use crate::ban::{Added, Bans, CHECK_AGE, not_banned_line, unban_line};
use crate::filter::{DatedLine, Filter, Moment, Verdict};
use crate::ignore::Ignore;
use crate::networks::Networks;
use crate::tally::{Tally, known};
use crate::time::local_text;
use crate::{Failure, Id, Level, LogLine, MatchedLine, Outside, Page, Ticket, Timestamp};

pub use by_hand::{ByHand, FOR, WHY};

/// Tallies are cleaned up this often, in seconds, as Fail2ban does.
const CLEANUP: f64 = 5.0;
/// Expired bans are taken off in portions, so that a new one never waits for all of them.
const EXPIRY_PORTION: usize = 1000;

/// A failure so many seconds after the ban is none that was under way when it came.
const SETTLED: f64 = 1.0;

/// What a jail wants to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A line for the log.
    Say(LogLine),
    /// A failure counts; the log has been told.
    Found(Id),
    /// Somebody is banned from now on.
    Ban(Arc<Ticket>),
    /// The database should know this ban, with this ban time.
    Remember(Arc<Ticket>),
    /// A ban got longer after it was carried out; the actions should know in so many seconds.
    Prolong(Arc<Ticket>, f64),
    /// A ban is over.
    Unban(Arc<Ticket>),
    /// Somebody who has been banned for a while still fails: does the ban hold?
    StillHere(Arc<Ticket>),
    /// Somebody failed who has been banned for more than a second: how does he still get here?
    StillFails(Id),
    /// With [`Jail::dry_run`]: somebody would be banned now.
    WouldBan(Arc<Ticket>),
}

/// How far a jail is through a page. Should it panic over a line, the lines before have had their effects.
#[derive(Clone, Copy, Debug, Default)]
pub struct Through {
    /// The line at hand.
    pub next: usize,
    /// How many effects there were when the line at hand began.
    pub effects: usize,
}

/// A jail.
pub struct Jail {
    name: Arc<str>,
    /// Which lines are failures.
    pub filter: Filter,
    /// Who is never banned by detection.
    pub ignore: Ignore,
    /// Who failed how often.
    pub tally: Tally,
    /// Who is banned.
    pub bans: Bans,
    /// How ban times grow.
    pub increment: Increment,
    /// Which offenders are taken together.
    pub networks: Networks,
    /// Detect and tell, but ban nobody.
    pub dry_run: bool,
    zone: TimeZone,
    /// Who is to be banned once the lines at hand are judged.
    due: Vec<Ticket>,
    /// State of the generator behind `bantime.rndtime`.
    random: u64,
    cleaned: Timestamp,
}

impl Jail {
    /// A jail with Fail2ban's defaults.
    ///
    /// `zone` is the machine's time zone; `seed` is what the random part of ban times comes from.
    pub fn new(name: Arc<str>, zone: TimeZone, seed: u64) -> Self {
        let mut filter = Filter::new();
        filter.set_jail(&name);
        filter.set_zone(zone.clone());
        Jail {
            name,
            filter,
            ignore: Ignore::new(),
            tally: Tally::default(),
            bans: Bans::new(&Value::Int(600)),
            increment: Increment::default(),
            networks: Networks::default(),
            dry_run: false,
            zone,
            due: Vec::new(),
            random: seed | 1,
            cleaned: Timestamp::default(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Judges one line of a log. Whoever is to be banned for it is banned by [`Jail::settle`]: Fail2ban bans when it has
    /// read what there is, and its log tells all failures first.
    pub fn line(&mut self, line: &str, at: Moment, outside: &mut dyn Outside, effects: &mut Vec<Effect>) {
        let verdict = self.filter.judge(line, at, outside);
        self.judged(verdict, at, outside, effects);
    }

    /// Judges an entry of the journal, likewise.
    pub fn dated_line(
        &mut self,
        line: DatedLine<'_>,
        at: Moment,
        outside: &mut dyn Outside,
        effects: &mut Vec<Effect>,
    ) {
        let verdict = self.filter.judge_dated(line, at, outside);
        self.judged(verdict, at, outside, effects);
    }

    /// Judges the lines of a page from where `through` is, as [`Jail::line`] does.
    pub fn page(
        &mut self,
        page: &Page,
        at: Moment,
        through: &mut Through,
        outside: &mut dyn Outside,
        effects: &mut Vec<Effect>,
    ) {
        while let Some(verdict) = self.filter.judge_page(page, at, &mut through.next, outside) {
            self.judged(verdict, at, outside, effects);
            through.next += 1;
            through.effects = effects.len();
        }
    }

    fn judged(&mut self, verdict: Verdict, at: Moment, outside: &mut dyn Outside, effects: &mut Vec<Effect>) {
        effects.extend(verdict.notes.into_iter().map(Effect::Say));
        for failure in verdict.failures {
            self.failed(failure, at, outside, effects);
        }
    }

    fn failed(
        &mut self,
        mut failure: Failure,
        at: Moment,
        outside: &mut dyn Outside,
        effects: &mut Vec<Effect>,
    ) {
        let mut lines = Vec::new();
        let ignored = self.ignore.check(&self.name, &failure, at.now, outside, &mut lines);
        effects.extend(lines.into_iter().map(Effect::Say));
        if ignored {
            return;
        }
        let (jail, id) = (&self.name, &failure.id);
        let found = format!("[{jail}] Found {id} - {}", local_text(failure.time, &self.zone));
        effects.push(Effect::Say(LogLine::new(Level::INFO, "filter", found)));
        effects.push(Effect::Found(failure.id.clone()));
        if let Some(network) = self.networks.counted_as(&failure.id)
            && network.net().is_some_and(|net| self.may_ban(net, outside, effects))
        {
            failure.id = network;
        }
        if self.bans.begin(&failure.id).is_some_and(|begin| failure.time.since(begin) > SETTLED) {
            effects.push(Effect::StillFails(failure.id.clone()));
        }
        self.count(failure, outside, effects);
        self.clean_up(at.now);
    }

    fn count(&mut self, failure: Failure, outside: &mut dyn Outside, effects: &mut Vec<Effect>) {
        let again = self.increment.is_on().then(|| failure.clone());
        self.due.extend(self.tally.failed(failure, 1.0));
        let Some(failure) = again else { return };
        let overalljails = self.increment.overalljails();
        let Some(history) = self.networks.history(&failure.id, overalljails, outside) else { return };
        let Some(known) = known(&history, failure.time, self.tally.settings().maxretry) else { return };
        effects.push(Effect::Say(known.line(&self.name, &failure.id, &self.zone)));
        if let Some(extra) = known.extra() {
            self.due.extend(self.tally.failed_again(failure, extra));
        }
    }

    /// Bans whom the lines judged so far have condemned.
    pub fn settle(&mut self, at: Moment, outside: &mut dyn Outside, effects: &mut Vec<Effect>) {
        for ticket in std::mem::take(&mut self.due) {
            // A ban by hand, or from the database, does not come this way.
            match outside.why_not(&ticket.id) {
                None => drop(self.ban(ticket, at, outside, effects)),
                Some(why) => effects.push(Effect::Say(spared_line(&self.name, &ticket, &why))),
            }
        }
    }

    /// Takes a ticket: from the tally, from the database, or by hand. Returns whether it is a new ban.
    pub fn ban(
        &mut self,
        mut ticket: Ticket,
        at: Moment,
        outside: &mut dyn Outside,
        effects: &mut Vec<Effect>,
    ) -> bool {
        if ticket.restored {
            ticket.keep_matches(self.tally.settings().maxmatches);
        }
        if self.dry_run {
            effects.push(Effect::WouldBan(Arc::new(ticket)));
            return false;
        }
        let added = self.bans.add(&ticket, at.now);
        effects.push(Effect::Say(added.line(&self.name, &ticket.id)));
        match added {
            Added::New { restored } => {
                let ticket = Arc::new(ticket);
                effects.push(Effect::Ban(Arc::clone(&ticket)));
                if !restored {
                    self.remember(&ticket, at, outside, effects);
                }
                if let Some(net) = self.networks.banned(&ticket.id) {
                    self.ban_around(net, &ticket, at, outside, effects);
                }
                true
            }
            Added::AlreadyBanned { age, .. } => {
                if age >= CHECK_AGE {
                    effects.push(Effect::StillHere(Arc::new(ticket)));
                }
                false
            }
            Added::Expired => false,
        }
    }

    /// Too many of one network are banned: the network is, in their place. Not where somebody in it must not be.
    fn ban_around(
        &mut self,
        net: IpNet,
        last: &Ticket,
        at: Moment,
        outside: &mut dyn Outside,
        effects: &mut Vec<Effect>,
    ) {
        let id = Id::from(net);
        if self.bans.contains(&id) || !self.may_ban(net, outside, effects) {
            return;
        }
        let text = format!(
            "[{}] More than {} addresses of {id} are banned: the network is, in their place",
            self.name,
            self.networks.limit()
        );
        effects.push(Effect::Say(LogLine::new(Level::NOTICE, "actions", text)));
        let whole = Ticket { id: id.clone(), ip: None, restored: false, ..last.clone() };
        if !self.ban(whole, at, outside, effects) {
            return;
        }
        // Whoever is to stay longer than the network does stays by himself.
        let until = self.bans.end(&id).flatten();
        let inside = |other: &&Id| **other != id && other.net().is_some_and(|inner| net.contains(&inner));
        let shorter = |other: &&Id| match (self.bans.end(other).flatten(), until) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(end), Some(until)) => end <= until,
        };
        let replaced: Vec<Id> = self.bans.ids().filter(inside).filter(shorter).cloned().collect();
        for id in replaced {
            let ended = self.bans.unban(&id);
            self.let_go(ended, effects);
        }
    }

    /// Whether nobody who must not be banned is in this network.
    fn may_ban(&mut self, net: IpNet, outside: &mut dyn Outside, effects: &mut Vec<Effect>) -> bool {
        let mut lines = Vec::new();
        let touches = self.ignore.touches(net, outside, &mut lines);
        effects.extend(lines.into_iter().map(Effect::Say));
        !touches && outside.why_not(&Id::from(net)).is_none()
    }

    /// The database learns of a ban; and with `bantime.increment` a known offender's ban gets longer, after it was carried
    /// out with the plain ban time, as Fail2ban's observer does it.
    fn remember(
        &mut self,
        ticket: &Arc<Ticket>,
        at: Moment,
        outside: &mut dyn Outside,
        effects: &mut Vec<Effect>,
    ) {
        let history = if self.increment.is_on() {
            self.networks.history(&ticket.id, self.increment.overalljails(), outside)
        } else {
            None
        };
        let random = self.random();
        let new = NewBan {
            jail: &self.name,
            id: &ticket.id,
            time: ticket.time,
            bantime: seconds(&self.bans.bantime()),
            now: at.now,
            zone: &self.zone,
        };
        let increased = self.increment.increase(&new, history.as_ref(), random);
        // A time that somebody asked for is not for us to change.
        let asked = ticket.bantime.is_some();
        if !asked {
            effects.extend(increased.lines.into_iter().map(Effect::Say));
        }
        let mut known = Ticket::clone(ticket);
        known.bancount = increased.bancount;
        known.bantime = known.bantime.or(increased.bantime);
        if let Some(bantime) = &known.bantime {
            self.bans.set_own_bantime(&ticket.id, bantime);
        }
        if increased.over && !asked {
            return;
        }
        let known = Arc::new(known);
        effects.push(Effect::Remember(Arc::clone(&known)));
        if let Some(after) = increased.prolong_after.filter(|_| !asked) {
            effects.push(Effect::Prolong(known, after));
        }
    }

    /// A number from 0 to below 1 (xorshift64*, Vigna 2016): ban times shall differ, no secret hangs on it.
    fn random(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let bits = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        bits as f64 / (1_u64 << 53) as f64
    }

    /// Counts failures by hand (`set J attempt IP [LINE…]`).
    pub fn attempt(
        &mut self,
        id: Id,
        lines: Vec<String>,
        at: Moment,
        outside: &mut dyn Outside,
        effects: &mut Vec<Effect>,
    ) {
        let text = format!("[{}] Attempt {id} - {}", self.name, local_text(at.now, &self.zone));
        effects.push(Effect::Say(LogLine::new(Level::INFO, "filter", text)));
        let attempts = lines.len().max(1) as f64;
        let matches = lines.into_iter().map(MatchedLine::plain).collect();
        let failure = Failure { id, ip: None, time: at.now, matches, data: crate::failure::Data::new() };
        // Former bans are of no account here.
        self.due.extend(self.tally.failed(failure, attempts));
        self.settle(at, outside, effects);
    }

    /// Ends the bans of this identity, or of everybody in this network; says whose.
    pub fn unban(&mut self, id: &Id, effects: &mut Vec<Effect>) -> Vec<Id> {
        let ended = self.bans.unban(id);
        if ended.is_empty() {
            effects.push(Effect::Say(not_banned_line(id)));
        }
        let whom = ended.iter().map(|ticket| ticket.id.clone()).collect();
        self.let_go(ended, effects);
        whom
    }

    /// Ends what is over by `now`; and forgets failures that are too old to count.
    pub fn tick(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let ended = self.bans.expired(now, EXPIRY_PORTION);
        self.let_go(ended, effects);
        self.clean_up(now);
    }

    /// When [`Jail::tick`] has something to do next.
    pub fn next_tick(&self) -> Option<Timestamp> {
        self.bans.next_expiry()
    }

    fn let_go(&mut self, ended: Vec<Ticket>, effects: &mut Vec<Effect>) {
        for ticket in ended {
            self.networks.ended(&ticket.id);
            effects.push(Effect::Say(unban_line(&self.name, &ticket.id)));
            effects.push(Effect::Unban(Arc::new(ticket)));
        }
    }

    fn clean_up(&mut self, now: Timestamp) {
        if (now.0 - self.cleaned.0).abs() >= CLEANUP {
            self.cleaned = now;
            self.tally.cleanup(now);
        }
    }
}

/// Differs: Fail2ban locks out whoever fails often enough.
fn spared_line(jail: &str, ticket: &Ticket, why: &str) -> LogLine {
    let text = format!(
        "[{jail}] NOT banning {} after {} failure(s): {why}. 'banip' bans all the same; protectadmin = false in \
         portcullis.conf turns this off",
        ticket.id, ticket.failures
    );
    LogLine::new(Level::WARNING, "actions", text)
}

fn seconds(value: &Value) -> Number {
    match value {
        Value::Float(seconds) => Number::Float(*seconds),
        Value::Int(seconds) => Number::Int(*seconds),
        _ => Number::Int(600),
    }
}
