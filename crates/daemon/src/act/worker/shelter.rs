//! What the threads of all actions share: the firewall's socket, the names of ports, the programs of this machine.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::warden::{self, Roll};
use crate::act::nft::{Error, Firewall, Services};
use crate::act::preflight;

/// Names of files behind which the genuine tools are; the rest of what a program is called by are links to these.
const GENUINE: &[&str] = &["nft", "ipset", "xtables-nft-multi", "xtables-legacy-multi"];

/// The firewall, opened when it is needed, and what never changes.
#[derive(Default)]
pub(crate) struct Shelter {
    firewall: Mutex<Option<Firewall>>,
    services: OnceLock<Services>,
    pub(super) roll: Roll,
}

/// What stands behind the name of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    /// Nothing.
    Missing,
    /// The genuine one of nf_tables.
    NfTables,
    /// The genuine one of the old iptables.
    Legacy,
    /// Another program of this name: a wrapper, a recording stand-in. Only it knows what it does.
    Other,
}

impl Shelter {
    /// Starts to listen for changes that others make.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start() -> std::io::Result<Arc<Self>> {
        let shelter = Arc::new(Shelter::default());
        warden::start(Arc::clone(&shelter), shelter.roll.clone())?;
        Ok(shelter)
    }

    /// The number of our socket, by which the kernel tells who made a change. `None` when the firewall is not ours to
    /// change.
    pub(super) fn port(&self) -> Option<u32> {
        self.with(|firewall| Ok(firewall.port())).ok()
    }

    pub(super) fn services(&self) -> &Services {
        self.services.get_or_init(Services::system)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Firewall>> {
        self.firewall.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the firewall.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Firewall) -> Result<T, Error>) -> Result<T, Error> {
        let mut slot = self.lock();
        let mut firewall = match slot.take() {
            Some(firewall) => firewall,
            None => Firewall::open()?,
        };
        let result = work(&mut firewall);
        // A socket that failed, or whose answers are out of step, is opened anew the next time.
        if !matches!(&result, Err(Error::Socket(_) | Error::Lost | Error::TimedOut(_) | Error::Malformed(_)))
        {
            *slot = Some(firewall);
        }
        result
    }
}

/// Finds out what a command's program is, on the PATH of our shells.
pub(super) fn tool(program: &str) -> Tool {
    let found = preflight::Path::own().find(program);
    let Some(path) = found.and_then(|path| std::fs::canonicalize(path).ok()) else { return Tool::Missing };
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Tool::Other };
    if !GENUINE.contains(&name) || !is_binary(&path) {
        return Tool::Other;
    }
    if name == "xtables-legacy-multi" { Tool::Legacy } else { Tool::NfTables }
}

/// An executable of the machine (ELF), not a script that was given the name.
fn is_binary(path: &PathBuf) -> bool {
    let mut magic = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok_and(|()| &magic == b"\x7fELF")
}
