//! `bantime.increment`: whoever comes back stays out for longer.
//!
//! The options as they were given, the ban time that they make of an earlier count of bans, and what Fail2ban's
//! observer says about it. Randomness is an argument.

use jiff::tz::TimeZone;
use portcullis_value::expr::Program;
use portcullis_value::{Exception, Number, Value, int, seconds};

use crate::time::{duration_text, local_text};
use crate::{History, Id, Level, LogLine, Timestamp};

/// The options `bantime.…` of a jail.
#[derive(Clone, Debug, Default)]
pub struct Increment {
    /// What was set, as `get` answers it; also names that mean nothing.
    stored: Vec<(String, Value)>,
    on: bool,
    overalljails: bool,
    rndtime: Option<Number>,
    maxtime: Option<Number>,
    factor: Option<Number>,
    formula: Option<Program>,
    multipliers: Vec<i64>,
    /// Factor and formula were without a mistake once.
    computed: bool,
}

/// What is decided about a new ban.
#[derive(Clone, Debug, PartialEq)]
pub struct Increased {
    /// What the observer says.
    pub lines: Vec<LogLine>,
    /// The ban's own time, where it is not the jail's.
    pub bantime: Option<Value>,
    /// Which ban of this offender it is, beginning with 1.
    pub bancount: u32,
    /// Whether the ban would be over by now: it is not written down.
    pub over: bool,
    /// In how many seconds `actionprolong` is due, when the ban's end has moved.
    pub prolong_after: Option<f64>,
}

/// Said when the switch is turned on in a server without a database.
pub const NO_DATABASE: &str = "ban time increment is not available as long jail database is not set";

/// How Python calls the text of a formula.
const FORMULA: &str = "~inline-conf-expr~";

/// What Fail2ban says when an option is set, before anything is checked.
pub fn set_line(option: &str, value: &Value) -> LogLine {
    let value = if is_empty(value) { &Value::None } else { value };
    LogLine::new(Level::INFO, "jail", format!("Set banTime.{option} = {value}"))
}

/// What the formula is computed from.
const NUMBERS: [&str; 5] = ["rndtime", "maxtime", "factor", "formula", "multipliers"];

impl Increment {
    /// Sets `bantime.OPTION`; an empty text or `None` deletes it. Any name is accepted and stored. A value with an error is
    /// stored too, as Fail2ban does, but has no effect.
    ///
    /// # Errors
    /// Python's exception for an expression, time or number that is none.
    pub fn set(&mut self, option: &str, value: &Value) -> Result<(), Exception> {
        self.stored.retain(|(name, _)| name != option);
        let value = (!is_empty(value)).then_some(value);
        let shown = match option {
            "increment" => Some(Value::Bool(value.is_some_and(is_on))),
            _ => value.cloned(),
        };
        self.stored.extend(shown.map(|shown| (option.to_owned(), shown)));
        match option {
            "increment" => self.on = value.is_some_and(is_on),
            "overalljails" => self.overalljails = value.is_some_and(is_on),
            "rndtime" => {
                self.rndtime = None;
                self.rndtime = self.store_seconds(option, value)?;
            }
            "maxtime" => {
                self.maxtime = None;
                self.maxtime = self.store_seconds(option, value)?;
            }
            "factor" => {
                self.factor = None;
                self.factor = value.map(number).transpose()?;
            }
            "formula" => {
                self.formula = None;
                self.recheck()?;
                self.formula = value.map(formula).transpose()?;
            }
            "multipliers" => {
                self.multipliers = Vec::new();
                self.multipliers = value.map_or(Ok(Vec::new()), multipliers)?;
            }
            _ => {}
        }
        if self.computed && !NUMBERS.contains(&option) {
            return Ok(());
        }
        self.recheck()?;
        self.computed = true;
        Ok(())
    }

    /// Fail2ban computes factor and formula anew whenever one of the numbers changes (and whenever anything is set, as long as
    /// it never could), and so says again what is wrong with
    /// them, until that is mended.
    fn recheck(&self) -> Result<(), Exception> {
        let stored = |option: &str| Some(self.stored(option)).filter(|value| !is_empty(value));
        stored("factor").as_ref().map(number).transpose()?;
        stored("formula").as_ref().map(formula).transpose()?;
        Ok(())
    }

    /// What `get J bantime.OPTION` answers.
    pub fn stored(&self, option: &str) -> Value {
        let found = self.stored.iter().find(|(name, _)| name == option);
        found.map_or(Value::None, |(_, value)| value.clone())
    }

    /// Whether ban times grow.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Whether bans of all jails count.
    pub fn overalljails(&self) -> bool {
        self.overalljails
    }

    /// The upper limit, in seconds.
    pub fn maxtime(&self) -> Option<Number> {
        self.maxtime
    }

    /// The ban time after `count` earlier bans, where the jail's is `base`. `random` is in [0, 1).
    ///
    /// # Errors
    /// Python's exception when the formula cannot be computed.
    pub fn bantime(&self, base: Number, count: u32, random: f64) -> Result<Number, Exception> {
        let mut time = match self.multipliers.len() {
            0 => {
                let formula = self.computed(base, count)?;
                if formula.as_f64() > base.as_f64() { formula } else { base }
            }
            len => {
                let multiplier = self.multipliers[(len - 1).min(count as usize)];
                times(times(base, self.factor()), Number::Int(multiplier))
            }
        };
        if let Some(maxtime) = self.maxtime.filter(|maxtime| maxtime.as_f64() < time.as_f64()) {
            time = maxtime;
        }
        if let Some(rndtime) = self.rndtime {
            time = Number::Float(time.as_f64() + random * rndtime.as_f64());
        }
        // Where Python would fail at the first use of such a time.
        time.trunc()?;
        Ok(time)
    }

    /// Decides about a new ban (not a restored one) that began at `time`, given what is known of earlier ones.
    pub fn increase(&self, ban: &NewBan<'_>, history: Option<&History>, random: f64) -> Increased {
        let unchanged =
            Increased { lines: Vec::new(), bantime: None, bancount: 1, over: false, prolong_after: None };
        // A permanent ban is never increased, and its earlier ones are not even looked up.
        let (true, Some(history)) = (self.on && ban.bantime.as_f64() != -1.0, history) else {
            return unchanged;
        };
        let earlier = history.last.0.round_ties_even();
        let text = format!("IP {} was already banned: {} #, {earlier}", ban.id, history.count);
        let mut lines = vec![LogLine::new(Level::DEBUG, "observer", text)];
        let bancount = history.count.saturating_add(1);
        let new = match self.bantime(ban.bantime, history.count, random) {
            Ok(new) => new,
            Err(error) => {
                lines.push(LogLine::new(Level::ERROR, "observer", error.to_string()));
                return Increased { lines, bancount, ..unchanged };
            }
        };
        let words = duration_text(&new.into());
        lines.push(LogLine::new(
            Level::INFO,
            "observer",
            format!(
                "[{}] IP {} is bad: {} # last {} - incr {} to {words}",
                ban.jail,
                ban.id,
                history.count,
                local_text(history.last, ban.zone),
                duration_text(&ban.bantime.into())
            ),
        ));
        let permanent = new.as_f64() == -1.0;
        let end = ban.time.plus(new.as_f64());
        if !permanent && end < ban.now {
            let text = format!("Ignore old bantime {}", local_text(end, ban.zone));
            lines.push(LogLine::new(Level::DEBUG, "observer", text));
            return Increased { lines, bantime: Some(new.into()), bancount, over: true, prolong_after: None };
        }
        if new.as_f64() == ban.bantime.as_f64() {
            return Increased { lines, bantime: Some(new.into()), bancount, ..unchanged };
        }
        let until = if permanent {
            "permanent -> infinite".to_owned()
        } else {
            format!("{words} -> {}", local_text(end, ban.zone))
        };
        let text = format!("[{}] Increase Ban {} ({bancount} # {until})", ban.jail, ban.id);
        lines.push(LogLine::new(Level::NOTICE, "observer", text));
        let gained = new.as_f64() - ban.bantime.as_f64();
        let prolong_after = Some((gained - 5.0).clamp(0.0, 10.0));
        Increased { lines, bantime: Some(new.into()), bancount, over: false, prolong_after }
    }

    fn factor(&self) -> Number {
        self.factor.unwrap_or(Number::Int(1))
    }

    fn computed(&self, base: Number, count: u32) -> Result<Number, Exception> {
        let Some(formula) = &self.formula else {
            return Ok(times(times(base, Number::Int(1 << count.min(20))), self.factor()));
        };
        formula.eval(&|name| match name {
            "ban.Time" => Some(base),
            "ban.Count" => Some(Number::Int(count.into())),
            "banFactor" => Some(self.factor()),
            _ => None,
        })
    }

    fn store_seconds(&mut self, option: &str, value: Option<&Value>) -> Result<Option<Number>, Exception> {
        let Some(value) = value else { return Ok(None) };
        let number = seconds(value)?;
        self.stored.retain(|(name, _)| name != option);
        self.stored.push((option.to_owned(), number.into()));
        Ok(Some(number))
    }
}

/// A ban that has just begun.
#[derive(Clone, Copy, Debug)]
pub struct NewBan<'a> {
    /// Whose jail.
    pub jail: &'a str,
    /// Whom.
    pub id: &'a Id,
    /// When it began.
    pub time: Timestamp,
    /// How long bans of this jail last, in seconds.
    pub bantime: Number,
    /// What time it is.
    pub now: Timestamp,
    /// In whose words.
    pub zone: &'a TimeZone,
}

fn is_empty(value: &Value) -> bool {
    matches!(value, Value::None) || value.as_str() == Some("")
}

/// Fail2ban's reading of a switch.
// Differs: it does not read `set J bantime.overalljails false`, and takes every text for true there.
fn is_on(value: &Value) -> bool {
    match value {
        Value::Str(text) => matches!(text.to_ascii_lowercase().as_str(), "1" | "on" | "true" | "yes"),
        other => other.is_true(),
    }
}

fn times(a: Number, b: Number) -> Number {
    match (a, b) {
        (Number::Int(a), Number::Int(b)) => Number::Int(a.saturating_mul(b)),
        (a, b) => Number::Float(a.as_f64() * b.as_f64()),
    }
}

fn number(value: &Value) -> Result<Number, Exception> {
    match value {
        Value::Str(text) => {
            let program = Program::parse(text).map_err(|error| error.exception("<string>"))?;
            program.eval(&|_| None)
        }
        _ => Err(no_expression()),
    }
}

fn no_expression() -> Exception {
    Exception::builtin("TypeError", "eval() arg 1 must be a string, bytes or code object")
}

fn formula(value: &Value) -> Result<Program, Exception> {
    Program::parse(&value.to_string()).map_err(|error| error.exception(FORMULA))
}

fn multipliers(value: &Value) -> Result<Vec<i64>, Exception> {
    match value {
        Value::Str(text) => text.split(' ').map(|word| int(&word.into())).collect(),
        other => {
            let text = format!("'{}' object has no attribute 'split'", other.type_name());
            Err(Exception::builtin("AttributeError", text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn increment(options: &str) -> Result<Increment, Exception> {
        let mut increment = Increment::default();
        for option in options.split(';').filter(|option| *option != "-") {
            let (name, value) = option.split_once('=').unwrap();
            increment.set(name, &value.into())?;
        }
        Ok(increment)
    }

    #[test]
    fn every_row_of_the_genuine_table_is_met() {
        let table = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/compat/bantime-increment.tsv");
        let table = std::fs::read_to_string(table).unwrap();
        let mut rows = 0;
        for row in table.lines().skip(1) {
            let [base, count, options, expected] = row.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{row}")
            };
            let time = increment(options)
                .and_then(|increment| {
                    increment.bantime(Number::Int(base.parse().unwrap()), count.parse().unwrap(), 0.5)
                })
                .map_or_else(|error| format!("ERR {}: {error}", error.name()), |time| time.to_string());
            assert_eq!(time, expected, "{row}");
            rows += 1;
        }
        assert_eq!(rows, 95);
    }

    fn said(base: i64, count: u32, options: &str, random: f64) -> (Vec<String>, Increased) {
        let history = History { count, last: Timestamp(1_795_275_524.0), bantime: Value::Int(600) };
        let mut increment = increment(options).unwrap();
        increment.set("increment", &"true".into()).unwrap();
        let id = Id::new("1.1.1.1");
        let ban = NewBan {
            jail: "j",
            id: &id,
            time: Timestamp(1_795_375_525.5),
            bantime: Number::Int(base),
            now: Timestamp(1_795_375_525.7),
            zone: &TimeZone::UTC,
        };
        let increased = increment.increase(&ban, Some(&history), random);
        let lines = increased.lines.iter().filter(|line| line.level > Level::DEBUG);
        (lines.map(|line| line.text.clone()).collect(), increased)
    }

    // The lines are those of a genuine server with these options.
    #[test]
    fn the_observers_lines() {
        let bad = |to| format!("[j] IP 1.1.1.1 is bad: 2 # last 2026-11-21 15:38:44 - incr 10m to {to}");
        let more = |to| format!("[j] Increase Ban 1.1.1.1 (3 # {to})");
        assert_eq!(said(600, 2, "-", 0.0).0, [bad("40m"), more("40m -> 2026-11-22 20:05:25")]);
        assert_eq!(said(600, 2, "maxtime=300", 0.0).0, [bad("5m"), more("5m -> 2026-11-22 19:30:25")]);
        assert_eq!(said(600, 2, "maxtime=-1", 0.0).0, [bad("-1s"), more("permanent -> infinite")]);
        assert_eq!(said(600, 2, "factor=0.1", 0.0).0, [bad("10m")]);
        assert_eq!(said(600, 2, "multipliers=1 0", 0.0).0, [bad("0")]);
        assert!(said(600, 2, "multipliers=1 0", 0.0).1.over);
        let random = [bad("40.0m 2.5s"), more("40.0m 2.5s -> 2026-11-22 20:05:28")];
        assert_eq!(said(600, 2, "rndtime=10", 0.25).0, random);
        let (lines, increased) = said(600, 2, "formula=nosuch", 0.0);
        assert_eq!(lines, ["name 'nosuch' is not defined"]);
        assert_eq!((increased.bantime, increased.bancount), (None, 3));
        let (lines, increased) = said(-1, 2, "-", 0.0);
        assert_eq!((lines, increased.bantime, increased.bancount), (vec![], None, 1));
        let words = |base, options| {
            said(base, 2, options, 0.0).1.lines[1].text.rsplit_once(" - ").unwrap().1.to_owned()
        };
        assert_eq!(words(20, "-"), "incr 20s to 1m 20s");
        let infinite = said(600, 2, "formula=float(1e999)", 0.0).0;
        assert_eq!(infinite, ["cannot convert float infinity to integer"]);
    }

    #[test]
    fn without_history_or_switch_nothing_is_said() {
        let id = Id::new("1.1.1.1");
        let now = Timestamp(0.0);
        let ban =
            NewBan { jail: "j", id: &id, time: now, bantime: Number::Int(600), now, zone: &TimeZone::UTC };
        let mut increment = Increment::default();
        let history = History { count: 2, last: now, bantime: Value::Int(600) };
        assert_eq!(increment.increase(&ban, Some(&history), 0.0).bantime, None);
        increment.set("increment", &true.into()).unwrap();
        assert_eq!(increment.increase(&ban, None, 0.0).bancount, 1);
        assert_eq!(increment.increase(&ban, Some(&history), 0.0).bantime, Some(Value::Int(2400)));
    }

    #[test]
    fn options_are_stored_as_fail2ban_shows_them() {
        let mut increment = Increment::default();
        let mut set = |option: &str, value: &str| {
            let answer = increment
                .set(option, &value.into())
                .map_or_else(|error| error.name().to_owned(), |()| "ok".into());
            (answer, increment.stored(option).to_string(), set_line(option, &value.into()).text)
        };
        let cases = [
            ("increment", "yes", "ok", "True"),
            ("increment", "nonsense", "ok", "False"),
            ("factor", "2.0 / 2.885385", "ok", "2.0 / 2.885385"),
            ("factor", "foo", "NameError", "foo"),
            ("factor", "2 +", "SyntaxError", "2 +"),
            // Fail2ban computes the factor anew, and so says again what is wrong.
            ("rndtime", "5", "SyntaxError", "5"),
            ("factor", "2", "ok", "2"),
            ("maxtime", "1d", "ok", "86400"),
            ("maxtime", "1.5", "ok", "1.5"),
            ("maxtime", "foo", "NameError", "foo"),
            ("multipliers", "1 2 4", "ok", "1 2 4"),
            ("multipliers", "1  2", "ValueError", "1  2"),
            ("formula", "ban.Time*3", "ok", "ban.Time*3"),
            ("formula", "ban.Time*", "SyntaxError", "ban.Time*"),
            ("overalljails", "true", "ok", "true"),
            ("foo", "bar", "ok", "bar"),
        ];
        for (option, value, answer, stored) in cases {
            let text = format!("Set banTime.{option} = {value}");
            let (got_answer, got_stored, line) = set(option, value);
            assert_eq!((got_answer.as_str(), got_stored.as_str(), line), (answer, stored, text));
        }
        assert_eq!(set("formula", "").0, "ok");
        assert_eq!(set("maxtime", ""), ("ok".into(), "None".into(), "Set banTime.maxtime = None".into()));
    }
}
