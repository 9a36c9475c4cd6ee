//! `portcullis restart`: the running server is followed by another, which may be of another version, without a gap in what
//! the action `portcullis` enforces.

use std::time::{Duration, Instant};

use super::answer::is;
use super::arguments::Restart;
use super::server::{Failure, PATIENCE, Server};
use super::{NOT_SO, WELL, document, say};
use crate::client;

/// How long the old server may take to end, and the new one to begin.
const CHANGE: Duration = Duration::from_secs(120);
/// How long a new server may take to carry out its configuration.
const CONFIGURE: Duration = Duration::from_secs(600);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Restarts. Exit code 1 when the new server does not run as it should.
pub(super) fn run(wanted: &Restart) -> Result<u8, Failure> {
    let server = Server::find(&wanted.place)?;
    server.ask(vec!["ping".into()], PATIENCE)?;
    // With a configuration that cannot be read, the running server is better than none.
    let stream = client::reload_stream(&wanted.place.conf, None).ok_or_else(|| {
        Failure::Configuration("nothing was restarted: `portcullis check` explains what is wrong".to_owned())
    })?;
    let by_client = server.ask(vec!["portcullis-restart".into()], CHANGE)?.is_true();
    let answers = || server.ask(vec!["ping".into()], PATIENCE).is_ok();
    if !within(CHANGE, answers) {
        let text = "the new server does not answer: its log tells why";
        return Err(Failure::Silent { why: text.to_owned() });
    }
    let configured = if by_client {
        client::send_configuration(&wanted.place.conf, server.socket(), stream)
    } else {
        let report = || server.ask(vec!["portcullis-report".into()], PATIENCE);
        within(CONFIGURE, || report().is_ok_and(|report| is(&report, "configured")))
    };
    if wanted.json {
        say(&document(vec![("restarted", configured.into())]));
    } else if configured {
        say("restarted\n");
    }
    Ok(if configured { WELL } else { NOT_SO })
}

/// Asks until the answer is yes.
fn within(limit: Duration, question: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    while !question() {
        if begun.elapsed() > limit {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
    true
}
