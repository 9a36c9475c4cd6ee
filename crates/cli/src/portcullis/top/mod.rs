//! `portcullis top`: jails, rates, bans and what is enforced, live; with keys to lift a ban and to see what led to it.
//!
//! A thread of its own speaks with the server ([`asking`]), so that the screen never waits for it; [`state`] is what the
//! screen shows and what keys do, without a terminal; [`screen`] draws it.

mod asking;
mod screen;
mod state;

use std::io::IsTerminal as _;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::arguments::Top;
use super::server::{Failure, Server};
use super::{WELL, document, say, to_json};
use asking::{Asking, Snapshot};
use state::{Do, State};

/// How often the screen looks whether a key was pressed or something has come from the server.
const LOOK: Duration = Duration::from_millis(100);

/// Shows the screen until `q`.
pub(super) fn run(wanted: &Top) -> Result<u8, Failure> {
    let server = Server::find(&wanted.place)?;
    // Whoever has no server shall read so on a screen that stays.
    let first = Snapshot::take(&server, &mut super::log::Listener::default())?;
    if wanted.json {
        say(&document(vec![
            ("status", to_json(&first.report)),
            ("jails", to_json(&first.bans)),
            ("events", first.events.iter().map(to_json).collect()),
        ]));
        return Ok(WELL);
    }
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        let text = "the live screen needs a terminal: use --json, or `portcullis status`";
        return Err(Failure::Refused(text.to_owned()));
    }
    end_when_told().map_err(failed)?;
    let asking = Asking::start(server, Duration::from_secs_f64(wanted.interval)).map_err(failed)?;
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let shown = watch(&mut terminal, State::new(first), &asking);
    ratatui::restore();
    shown.map(|()| WELL).map_err(failed)
}

fn failed(error: std::io::Error) -> Failure {
    Failure::Refused(format!("the terminal does not play along: {error}"))
}

/// Ends the program at a signal. Not by a flag that the loop looks at: once a terminal has gone, crossterm reads its end for
/// ever and comes back no more.
fn end_when_told() -> std::io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // It fails where there is no terminal any more.
            let _ = ratatui::try_restore();
            std::process::exit(128 + signal);
        }
    })?;
    Ok(())
}

fn watch(terminal: &mut DefaultTerminal, mut state: State, asking: &Asking) -> std::io::Result<()> {
    loop {
        while let Some(told) = asking.told() {
            state.hear(told);
        }
        terminal.draw(|frame| screen::draw(frame, &mut state))?;
        if !event::poll(LOOK)? {
            continue;
        }
        // A new size is drawn anyway.
        if let Event::Key(key) = event::read()?
            && key.kind != KeyEventKind::Release
        {
            match state.key(key) {
                Do::Nothing => {}
                Do::Ask(question) => asking.ask(question),
                Do::Quit => return Ok(()),
            }
        }
    }
}
