//! The world as a jail and its actions ask for it: names, history, own addresses, commands.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use portcullis_jail::action::{Counters, Facts, Past, Script};
use portcullis_jail::jail::Jail;
use portcullis_jail::outside::FileText;
use portcullis_jail::{History, Id, Outside, Timestamp};
use portcullis_value::Value;

use super::surroundings::{Surroundings, now};
use crate::act::shell::{Shell, Status};
use crate::names::Names;
use crate::store::Store;

/// How long an `ignorecommand` may take; it holds up the lines of its jail.
const COMMAND_PATIENCE: Duration = Duration::from_secs(10);
/// How often a file of ignored addresses is looked at, at most.
const FILE_LOOK: Duration = Duration::from_secs(1);
/// So many bytes of such a file count: some hundred thousand addresses.
const LONGEST_FILE: u64 = 8 << 20;
/// How long the list of our own addresses is kept.
const OWN_KEPT: Duration = Duration::from_secs(60);

/// What a jail asks while it judges.
pub(super) struct JailOutside {
    jail: Arc<str>,
    names: Names,
    store: Store,
    shell: Shell,
    own: Option<(Instant, Vec<IpAddr>)>,
    /// Files of ignored addresses: when they were looked at, and what they were like.
    files: HashMap<String, (Instant, u64)>,
    surroundings: Surroundings,
}

impl JailOutside {
    pub(super) fn new(jail: Arc<str>, surroundings: &Surroundings) -> Self {
        JailOutside {
            jail,
            names: surroundings.names.clone(),
            store: surroundings.store.clone(),
            shell: Shell::new(),
            own: None,
            files: HashMap::new(),
            surroundings: surroundings.clone(),
        }
    }
}

impl Outside for JailOutside {
    fn resolve(&mut self, name: &str) -> Result<Vec<IpAddr>, String> {
        self.names.addresses(name)
    }

    fn host_of(&mut self, address: IpAddr) -> Option<String> {
        self.names.host_of(address)
    }

    fn is_own(&mut self, id: &Id) -> bool {
        let Some(address) = id.address() else { return false };
        if self.own.as_ref().is_none_or(|(since, _)| since.elapsed() > OWN_KEPT) {
            self.own = Some((Instant::now(), self.names.own_addresses()));
        }
        self.own.as_ref().is_some_and(|(_, own)| own.contains(&address))
    }

    fn owns_one_of(&mut self, net: ipnet::IpNet) -> bool {
        // Makes sure that the list is there, and fresh.
        self.is_own(&Id::from(net.addr()));
        self.own.as_ref().is_some_and(|(_, own)| own.iter().any(|address| net.contains(address)))
    }

    fn run(&mut self, script: &Script) -> Result<i32, String> {
        let exit = self.shell.run(script, COMMAND_PATIENCE);
        match exit.status {
            Status::Exited(code) => Ok(code),
            _ => Err(exit.reason()),
        }
    }

    fn why_not(&mut self, id: &Id) -> Option<String> {
        if !self.surroundings.protects_admin(&self.jail) {
            return None;
        }
        self.surroundings.lockout.why_not(id)
    }

    fn ignore_file(&mut self, path: &str, seen: Option<u64>) -> FileText {
        let looked = self.files.get(path).copied();
        if let Some((at, version)) = looked
            && at.elapsed() < FILE_LOOK
            && seen == Some(version)
        {
            return FileText::Same;
        }
        let opened = File::open(path).and_then(|file| file.metadata().map(|meta| (file, meta)));
        let (file, meta) = match opened {
            Ok(both) => both,
            Err(error) => return FileText::Unreadable(error.to_string()),
        };
        let mut hasher = DefaultHasher::new();
        (meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()).hash(&mut hasher);
        let version = hasher.finish();
        self.files.insert(path.to_owned(), (Instant::now(), version));
        if seen == Some(version) {
            return FileText::Same;
        }
        let mut bytes = Vec::new();
        match file.take(LONGEST_FILE).read_to_end(&mut bytes) {
            Ok(_) => FileText::New { version, text: String::from_utf8_lossy(&bytes).into_owned() },
            Err(error) => FileText::Unreadable(error.to_string()),
        }
    }

    fn history(&mut self, id: &Id, overalljails: bool) -> Option<History> {
        self.store.history(&self.jail, id, overalljails)
    }
}

/// What the tags of actions ask for; the jail's thread keeps the counters fresh, the actions' threads read them.
#[derive(Clone)]
pub(super) struct SharedFacts {
    jail: Arc<str>,
    names: Names,
    store: Store,
    changing: Arc<Mutex<(Counters, Value)>>,
}

impl SharedFacts {
    pub(super) fn new(jail: Arc<str>, surroundings: &Surroundings) -> Self {
        SharedFacts {
            jail,
            names: surroundings.names.clone(),
            store: surroundings.store.clone(),
            changing: Arc::new(Mutex::new((Counters::default(), Value::Int(600)))),
        }
    }

    pub(super) fn update(&self, jail: &Jail) {
        let counters = Counters {
            banned: jail.bans.len() as u64,
            banned_total: jail.bans.total(),
            found: jail.tally.currently_failed() as u64,
            found_total: jail.tally.total_failed(),
        };
        *self.changing.lock().unwrap_or_else(PoisonError::into_inner) = (counters, jail.bans.bantime());
    }
}

impl Facts for SharedFacts {
    fn jail(&self) -> String {
        self.jail.to_string()
    }

    fn now(&self) -> Timestamp {
        now()
    }

    fn bantime(&self) -> Value {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    fn counters(&self) -> Counters {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn host_of(&self, id: &Id) -> Option<String> {
        self.names.host_of(id.address()?)
    }

    fn past(&self, id: &Id, all_jails: bool) -> Past {
        self.store.past(&self.jail, id, all_jails)
    }

    fn own_host(&self, full: bool) -> String {
        self.names.own_host(full)
    }
}
