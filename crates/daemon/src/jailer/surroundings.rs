//! What all jails share: log, database, names, files, the firewall, the settings of `portcullis.conf`.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use portcullis_config::{JailSettings, Settings, Source};
use portcullis_jail::{Outside, Timestamp};

use super::outside::JailOutside;
use crate::act::worker::Shelter;
use crate::incident::Incidents;
use crate::lockout::Lockout;
use crate::log::Log;
use crate::names::Names;
use crate::options::Options;
use crate::store::Store;
use crate::watch::{Means, Watch};

/// Handles on what is shared; clones are the same.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) log: Log,
    pub(crate) store: Store,
    pub(crate) names: Names,
    pub(crate) shelter: Arc<Shelter>,
    pub(crate) dry_run: bool,
    /// The server ends, and another begins at once: our own bans stay in the kernel.
    pub(crate) leaving: Arc<AtomicBool>,
    pub(crate) lockout: Lockout,
    pub(crate) incidents: Incidents,
    inotify: Watch,
    polling: Watch,
    source: Arc<Source>,
    settings: Arc<Mutex<Settings>>,
}

impl Surroundings {
    /// Starts the threads that are shared.
    ///
    /// # Errors
    /// When the system gives no thread or no inotify instance.
    pub(crate) fn start(options: &Options, log: Log) -> std::io::Result<Self> {
        let inotify = Watch::start(Means::Inotify, log.clone()).or_else(|error| {
            log.warning("filter", format!("no inotify ({error}): files are polled"));
            Watch::start(Means::Polling, log.clone())
        })?;
        Ok(Surroundings {
            store: Store::start(log.clone())?,
            names: Names::start()?,
            shelter: Shelter::start()?,
            dry_run: options.dry_run,
            leaving: Arc::default(),
            lockout: Lockout::default(),
            incidents: Incidents::start(log.clone())?,
            inotify,
            polling: Watch::start(Means::Polling, log.clone())?,
            source: Arc::new(options.source.clone()),
            settings: Arc::new(Mutex::new(options.settings.clone())),
            log,
        })
    }

    /// The world as a jail sees it.
    pub(crate) fn outside(&self, jail: &Arc<str>) -> impl Outside {
        JailOutside::new(Arc::clone(jail), self)
    }

    pub(crate) fn watch(&self, means: Means) -> &Watch {
        match means {
            // A jail that reads the journal has no files to be watched.
            Means::Inotify | Means::Journal => &self.inotify,
            Means::Polling => &self.polling,
        }
    }

    /// The settings of `portcullis.conf` that hold for a jail.
    pub(crate) fn settings_of(&self, jail: &str) -> JailSettings {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).of(jail).clone()
    }

    /// How many bits of an IPv6 address tell one offender of this jail from another.
    pub(crate) fn ipv6_prefix(&self, jail: &str) -> u8 {
        self.settings_of(jail).ipv6prefix.unwrap_or(if self.source.uses_catalogue() { 64 } else { 128 })
    }

    /// Whether detection of this jail spares administrators who are logged in, the gateway and this machine.
    pub(crate) fn protects_admin(&self, jail: &str) -> bool {
        self.settings_of(jail).protectadmin.unwrap_or(self.source.uses_catalogue())
    }

    /// Whether one mistake shall stop all, as in Fail2ban.
    pub(crate) fn is_strict(&self) -> bool {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).default.strict
    }

    /// Reads `portcullis.conf` again. What is wrong with it is logged; if it cannot be read, the old settings stay.
    pub(crate) fn reread_settings(&self) {
        match Settings::read(self.source.path()) {
            Ok(settings) => {
                for problem in &settings.problems {
                    self.log.warning("server", problem.as_str());
                }
                *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
            }
            Err(failed) => self.log.error("server", failed.text),
        }
    }

    /// The end: nothing is read any more, and all that is to be remembered is written.
    pub(crate) fn stop(&self) {
        self.inotify.stop();
        self.polling.stop();
        self.store.close();
    }
}

/// What time it is.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp(since.map_or_else(|before| -before.duration().as_secs_f64(), |after| after.as_secs_f64()))
}
