//! `-i`: commands from a prompt.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use super::commands::{self, Mode};
use super::{Session, say, usage};

/// A longer line is no command.
const LONGEST_LINE: u64 = 1 << 20;

/// Reads and carries out commands until `exit`, `quit` or the end of the input, which counts as an error.
pub(super) fn run(session: &Session) -> bool {
    say(&format!("{}\n", usage::banner()));
    let mut input = std::io::stdin().lock();
    loop {
        {
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(b"fail2ban> ").and_then(|()| out.flush());
        }
        let mut line = Vec::new();
        let read = std::io::Read::take(&mut input, LONGEST_LINE).read_until(b'\n', &mut line);
        if !matches!(read, Ok(1..)) {
            say("");
            // Python's line editor, which it has at a terminal, ends without a word.
            let at_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
            session.log.error("", if at_terminal { "" } else { "EOF when reading a line" });
            return false;
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches('\n');
        match line {
            "" => {}
            "exit" | "quit" => return true,
            "help" => say(&usage::text(session.name)),
            line => match portcullis_config::shell_words(line) {
                Ok(words) => {
                    commands::run(session, &words, Mode::Interactive);
                }
                Err(unfinished) => session.log.error("", unfinished),
            },
        }
    }
}
