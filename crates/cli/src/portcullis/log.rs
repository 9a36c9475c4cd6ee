//! `portcullis log`: what happens, as it happens: failures, bans, whether they are in force, what goes wrong.

use std::io::Write as _;
use std::time::Duration;

use ipnet::IpNet;
use portcullis_jail::Id;
use portcullis_value::Value;
use portcullis_wire::event::Kind;

use super::answer::{field, list, number, seconds, text};
use super::arguments::Log;
use super::human::{clock, now, span};
use super::paint::{BAD, FAINT, GOOD, NOTE, STRONG};
use super::server::{Failure, PATIENCE, Server};
use super::{WELL, plain, to_json};

/// The server answers at the latest after so many seconds, whether something has happened or not.
const WAIT: f64 = 5.0;
/// How long to wait for a server that has gone.
const AGAIN: Duration = Duration::from_millis(500);

/// Shows events; with `-f` until somebody has seen enough.
pub(super) fn run(wanted: &Log) -> Result<u8, Failure> {
    let server = Server::find(&wanted.place)?;
    let mut listener = Listener::default();
    let mut events = listener.ask(&server, 0.0)?;
    events.retain(|event| fits(wanted, event));
    events.drain(..events.len().saturating_sub(wanted.number as usize));
    // Whoever has closed the pipe has seen enough.
    let mut read = show_all(&events, wanted.json).is_ok();
    while read && wanted.follow {
        let lost = listener.lost;
        match listener.ask(&server, WAIT) {
            Ok(mut events) => {
                events.retain(|event| fits(wanted, event));
                let missed = listener.lost - lost;
                if missed > 0 {
                    events.insert(0, gap(missed));
                }
                read = show_all(&events, wanted.json).is_ok() && !nobody_reads();
            }
            // It is restarted, one hopes.
            Err(failure) if failure.may_pass() => {
                if !std::mem::replace(&mut listener.away, true) {
                    let _ = writeln!(anstream::stderr(), "portcullis: {failure}\nportcullis: waiting for it");
                }
                read = !nobody_reads();
                std::thread::sleep(AGAIN);
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(WELL)
}

/// Hears each event once, and notices when the server is another one.
#[derive(Default)]
pub(super) struct Listener {
    heard: i64,
    started: Option<f64>,
    /// How many events were forgotten by the server before they were asked for.
    pub(super) lost: i64,
    away: bool,
}

impl Listener {
    /// The events since the last time; all that the server has, at first.
    ///
    /// # Errors
    /// As [`Server::ask`].
    pub(super) fn ask(&mut self, server: &Server, wait: f64) -> Result<Vec<Value>, Failure> {
        let patience = PATIENCE + Duration::try_from_secs_f64(wait).unwrap_or_default();
        let asked = vec![
            ("after", Value::Int(self.heard)),
            ("started", self.started.map_or(Value::None, Value::Float)),
            ("wait", Value::Float(wait)),
        ];
        let answer = server.ours("portcullis-events", asked, patience)?;
        self.away = false;
        let started = seconds(&answer, "started");
        // What another run has forgotten already was never asked for.
        if self.started.is_some() && self.started == started {
            self.lost += number(&answer, "lost");
        }
        self.started = started;
        self.heard = number(&answer, "newest");
        Ok(list(&answer, "events").to_vec())
    }
}

/// Events that nobody can have any more.
fn gap(missed: i64) -> Value {
    let text = format!("{missed} events were lost: they came faster than they could be shown");
    let fields = [("kind", "lost".into()), ("time", Value::Float(now())), ("text", text.into())];
    Value::Dict(fields.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

/// Whether the terminal or the pipe behind standard output is gone.
fn nobody_reads() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stdout = std::io::stdout();
    let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
    let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&zero)).is_ok()
        && fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL)
}

fn fits(wanted: &Log, event: &Value) -> bool {
    let jail = || wanted.jail.iter().any(|jail| jail == text(event, "jail"));
    let kind = || wanted.kind.iter().any(|kind| kind.name() == text(event, "kind"));
    let address = || {
        let address = Id::new(text(event, "address"));
        wanted.address.iter().any(|wanted| touches(wanted, &address))
    };
    (wanted.jail.is_empty() || jail())
        && (wanted.kind.is_empty() || kind())
        && (wanted.address.is_empty() || address())
}

/// Whether one of them is inside the other, or they are the same text.
fn touches(wanted: &Id, id: &Id) -> bool {
    let inside = |a: IpNet, b: IpNet| a.contains(&b) || b.contains(&a);
    match (wanted.covers(), id.covers()) {
        (Some(wanted), Some(id)) => inside(wanted, id),
        _ => wanted == id,
    }
}

fn show_all(events: &[Value], json: bool) -> std::io::Result<()> {
    let mut out = anstream::stdout().lock();
    for event in events {
        if json {
            writeln!(out, "{}", to_json(event))?;
        } else {
            writeln!(out, "{}", line(event, now()))?;
        }
    }
    out.flush()
}

/// One event as a line.
pub(super) fn line(event: &Value, now: f64) -> String {
    let kind = text(event, "kind");
    let style = match Kind::named(kind) {
        Some(Kind::Ban | Kind::Restore | Kind::WouldBan | Kind::Warning) | None => NOTE,
        Some(Kind::Enforced | Kind::Unban) => GOOD,
        Some(Kind::Failed | Kind::Error) => BAD,
        Some(Kind::Found | Kind::State | Kind::Unverified) => FAINT,
    };
    let time = clock(seconds(event, "time").unwrap_or_default(), now);
    let mut parts = Vec::new();
    if !matches!(field(event, "address"), Value::None) {
        parts.push(format!("{STRONG}{}{STRONG:#}", plain(text(event, "address"))));
    }
    if matches!(Kind::named(kind), Some(Kind::Ban | Kind::Restore | Kind::WouldBan)) {
        parts.push(match seconds(event, "bantime") {
            Some(bantime) if bantime >= 0.0 => format!("for {}", span(bantime)),
            _ => "for ever".to_owned(),
        });
    }
    if !text(event, "text").is_empty() {
        parts.push(plain(text(event, "text")));
    }
    let jail = plain(text(event, "jail"));
    format!("{FAINT}{time}{FAINT:#} {style}{kind:<10}{style:#} {jail:<12} {}", parts.join(", "))
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_by_its_network_and_the_other_way_round() {
        let touches = |a: &str, b: &str| touches(&Id::new(a), &Id::new(b));
        assert!(touches("192.0.2.0/24", "192.0.2.7") && touches("192.0.2.7", "192.0.2.0/24"));
        assert!(touches("2001:db8::/32", "2001:db8::7") && touches("joe", "joe"));
        assert!(
            !touches("192.0.2.0/24", "192.0.3.7")
                && !touches("192.0.2.0/24", "")
                && !touches("::/1", "1.2.3.4")
        );
    }

    #[test]
    fn a_line_has_nothing_in_it_that_moves_the_cursor() {
        let fields = [("kind", "error"), ("text", "a\u{1b}[2J\nb\u{7}"), ("jail", "x\r")];
        let event = Value::Dict(fields.into_iter().map(|(key, value)| (key.into(), value.into())).collect());
        let line = anstream::adapter::strip_str(&line(&event, 0.0)).to_string();
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}
