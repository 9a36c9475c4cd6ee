//! Bans by hand with a time of their own and a reason: `portcullis ban --for 1d --why TEXT`.

use std::sync::Arc;

use portcullis_value::{Number, Value};

use super::{Effect, Jail};
use crate::ban::{Added, CHECK_AGE};
use crate::filter::Moment;
use crate::{Id, Outside, Ticket};

/// Under this key a ticket's data has the reason. In the database's JSON it is one member more, which Fail2ban keeps.
pub const WHY: &str = "portcullis-why";
/// Under this key a ticket's data has the time that was asked for, in seconds: it holds whatever the jail's ban time is.
pub const FOR: &str = "portcullis-for";

/// What became of a ban by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByHand {
    /// It is new.
    New,
    /// There is one already; it was given this time and reason.
    Changed,
    /// There is one already.
    Already,
    /// It would be over already.
    Expired,
    /// Nobody is banned: [`Jail::dry_run`].
    DryRun,
}

impl Jail {
    /// Bans somebody from now on for `seconds` (-1 is for ever; `None`: as long as the jail bans, longer for known offenders), with
    /// a reason. A ban that is there already gets the new time, from now on, and the new reason.
    pub fn ban_by_hand(
        &mut self,
        id: &Id,
        seconds: Option<Number>,
        why: Option<&str>,
        at: Moment,
        outside: &mut dyn Outside,
        effects: &mut Vec<Effect>,
    ) -> ByHand {
        if let Some(ticket) = self.bans.ticket(id).filter(|_| !self.dry_run) {
            return self.change_by_hand(ticket, seconds, why, at, effects);
        }
        let mut ticket = Ticket::by_hand(id.clone(), at.now);
        ticket.bantime = seconds.map(Value::from);
        tell(&mut ticket, seconds, why);
        if self.ban(ticket, at, outside, effects) {
            ByHand::New
        } else if self.dry_run {
            ByHand::DryRun
        } else {
            ByHand::Expired
        }
    }

    fn change_by_hand(
        &mut self,
        mut ticket: Ticket,
        seconds: Option<Number>,
        why: Option<&str>,
        at: Moment,
        effects: &mut Vec<Effect>,
    ) -> ByHand {
        let already = Added::AlreadyBanned { age: CHECK_AGE, prolonged: seconds.is_some() };
        effects.push(Effect::Say(already.line(&self.name, &ticket.id)));
        if seconds.is_none() && why.is_none() {
            return ByHand::Already;
        }
        if let Some(seconds) = seconds {
            // A ban keeps its begin; what is asked for counts from now.
            let so_far = at.now.since(ticket.time).max(0.0);
            let bantime = match seconds {
                Number::Int(-1) => Number::Int(-1),
                Number::Int(whole) => Number::Int(whole.saturating_add(so_far.ceil() as i64)),
                Number::Float(float) => Number::Float(float + so_far),
            };
            ticket.bantime = Some(bantime.into());
            self.bans.set_own_bantime(&ticket.id, &bantime.into());
        }
        tell(&mut ticket, seconds, why);
        self.bans.set_data(&ticket.id, &ticket.data);
        ticket.restored = false;
        let ticket = Arc::new(ticket);
        effects.push(Effect::Remember(Arc::clone(&ticket)));
        if seconds.is_some() {
            effects.push(Effect::Prolong(ticket, 0.0));
        }
        ByHand::Changed
    }
}

/// Writes time and reason into a ticket.
fn tell(ticket: &mut Ticket, seconds: Option<Number>, why: Option<&str>) {
    if let Some(seconds) = seconds {
        ticket.data.insert(FOR.to_owned(), seconds.into());
    }
    if let Some(why) = why {
        ticket.data.insert(WHY.to_owned(), why.into());
    }
}

#[cfg(test)]
mod tests {

    use jiff::tz::TimeZone;

    use super::*;
    use crate::{History, Timestamp};

    const NOW: Timestamp = Timestamp(1_795_370_000.0);

    /// Knows everybody as an offender.
    struct World;

    impl Outside for World {
        fn history(&mut self, _: &Id, _: bool) -> Option<History> {
            Some(History { count: 3, last: NOW.plus(-1000.0), bantime: Value::Int(600) })
        }
    }

    fn jail() -> Jail {
        Jail::new("j".into(), TimeZone::UTC, 1)
    }

    /// Bans `after` seconds, and answers what became of it, the effects without log lines, and how many seconds are left.
    fn ban(
        jail: &mut Jail,
        after: f64,
        seconds: Option<Number>,
        why: Option<&str>,
    ) -> (ByHand, Vec<Effect>, Option<f64>) {
        let id = Id::new("192.0.2.7");
        let now = NOW.plus(after);
        let mut effects = Vec::new();
        let at = Moment { now, in_operation: true };
        let outcome = jail.ban_by_hand(&id, seconds, why, at, &mut World, &mut effects);
        effects.retain(|effect| !matches!(effect, Effect::Say(_)));
        let left = jail.bans.end(&id).flatten().map(|end| end.since(now));
        (outcome, effects, left)
    }

    #[test]
    fn a_ban_has_the_time_and_the_reason_that_were_asked_for() {
        let mut jail = jail();
        let (outcome, effects, left) = ban(&mut jail, 0.0, Some(Number::Int(86400)), Some("ticket 4711"));
        assert_eq!((outcome, left), (ByHand::New, Some(86400.0)));
        let [Effect::Ban(_), Effect::Remember(known)] = effects.as_slice() else { panic!("{effects:?}") };
        assert_eq!(known.bantime, Some(Value::Int(86400)));
        assert_eq!((&known.data[WHY], &known.data[FOR]), (&Value::from("ticket 4711"), &Value::Int(86400)));
    }

    #[test]
    fn the_time_that_was_asked_for_does_not_grow_with_the_offenders_past() {
        let mut jail = jail();
        jail.increment.set("increment", &Value::from("true")).unwrap();
        let (_, effects, left) = ban(&mut jail, 0.0, Some(Number::Int(60)), None);
        assert_eq!(left, Some(60.0));
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Prolong(..))), "{effects:?}");
        let Some(Effect::Remember(known)) = effects.last() else { panic!("{effects:?}") };
        assert_eq!((&known.bantime, known.bancount), (&Some(Value::Int(60)), 4));
        // Without a time of its own, it does.
        let mut jail = self::jail();
        jail.increment.set("increment", &Value::from("true")).unwrap();
        assert!(ban(&mut jail, 0.0, None, None).2 > Some(600.0));
    }

    #[test]
    fn a_ban_that_is_there_gets_the_new_time_from_now_on_and_the_new_reason() {
        let mut jail = jail();
        ban(&mut jail, 0.0, None, None);
        assert_eq!(ban(&mut jail, 100.0, None, None), (ByHand::Already, vec![], Some(500.0)));
        let (outcome, effects, left) = ban(&mut jail, 100.0, Some(Number::Int(50)), Some("shorter"));
        assert_eq!((outcome, left), (ByHand::Changed, Some(50.0)));
        assert!(matches!(effects.as_slice(), [Effect::Remember(_), Effect::Prolong(..)]), "{effects:?}");
        let (outcome, effects, left) = ban(&mut jail, 120.0, None, Some("only a reason"));
        assert_eq!((outcome, left), (ByHand::Changed, Some(30.0)));
        assert!(matches!(effects.as_slice(), [Effect::Remember(_)]), "{effects:?}");
        assert_eq!(jail.bans.ticket(&Id::new("192.0.2.7")).unwrap().data[WHY], Value::from("only a reason"));
        assert_eq!(ban(&mut jail, 125.0, Some(Number::Int(-1)), None).2, None);
    }

    #[test]
    fn in_a_dry_run_nobody_is_banned() {
        let mut jail = jail();
        jail.dry_run = true;
        let (outcome, effects, left) = ban(&mut jail, 0.0, Some(Number::Int(9)), None);
        assert_eq!((outcome, left), (ByHand::DryRun, None));
        assert!(matches!(effects.as_slice(), [Effect::WouldBan(_)]), "{effects:?}");
    }
}
