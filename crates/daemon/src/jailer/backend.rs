//! Which backend a word of the configuration means, and what is said about it.

use portcullis_value::options::options;
use portcullis_value::{Exception, Value};

use crate::journal::{self, Place};
use crate::log::Log;
use crate::watch::Means;

/// What carries a jail's lines.
pub(super) struct Backend {
    pub(super) means: Means,
    /// With [`Means::Journal`]: which.
    pub(super) place: Option<Place>,
}

impl Backend {
    /// The backend that Fail2ban would come to: its list is tried from the word on. `auto` never comes to the journal, as in
    /// Fail2ban: files can always be looked at.
    ///
    /// # Errors
    /// When there is no such backend, or no such journal.
    pub(super) fn new(jail: &str, backend: &str, log: &Log) -> Result<Self, Exception> {
        let parsed = options(backend)?;
        let lower = parsed.name.trim().to_lowercase();
        let means = match lower.as_str() {
            "auto" | "pyinotify" => Means::Inotify,
            "polling" => Means::Polling,
            "gamin" => {
                // Fail2ban's Debian package has no gamin either, and says the same.
                log.error("jail", "Backend 'gamin' failed to initialize due to No module named 'gamin'");
                Means::Polling
            }
            "systemd" => Means::Journal,
            _ => {
                let text = format!(
                    "Unknown backend {backend}. Must be among ['pyinotify', 'gamin', 'polling', 'systemd'] or 'auto'"
                );
                log.error("jail", text.as_str());
                return Err(Exception::builtin("ValueError", text));
            }
        };
        let (uses, initiated) = match means {
            Means::Inotify => ("pyinotify", "pyinotify"),
            Means::Polling => ("poller", "polling"),
            Means::Journal => ("systemd", "systemd"),
        };
        let shown = parsed.options.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into()));
        let shown = Value::Dict(shown.collect()).repr();
        log.info("jail", format!("Jail '{jail}' uses {uses} {shown}"));
        let place = match means {
            Means::Journal => Some(place(&parsed.options, log)?),
            _ => None,
        };
        if lower == "gamin" {
            let text = format!("Could only initiated '{initiated}' backend whenever '{lower}' was requested");
            log.warning("jail", text);
        } else {
            log.info("jail", format!("Initiated '{initiated}' backend"));
        }
        Ok(Backend { means, place })
    }
}

fn place(options: &[(String, String)], log: &Log) -> Result<Place, Exception> {
    let place = Place::new(options)?;
    // Said at once, not at the first reading.
    journal::program().map_err(|text| {
        log.error("jail", format!("Backend 'systemd' failed to initialize due to {text}"));
        Exception::builtin("RuntimeError", text)
    })?;
    Ok(place)
}
