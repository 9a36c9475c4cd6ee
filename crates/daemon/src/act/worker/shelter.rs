//! What the threads of all actions share: the firewall's socket, and the names of ports.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::warden::{self, Roll};
use crate::act::nft::{self, Ears, Error, Firewall, Services};
use crate::act::sockets::Closer;

/// The firewall, opened when it is needed, and what never changes.
#[derive(Default)]
pub(crate) struct Shelter {
    firewall: Mutex<Option<Firewall>>,
    /// For comparisons.
    reader: Mutex<Option<Firewall>>,
    services: OnceLock<Services>,
    pub(super) roll: Roll,
    /// Started with the first ban; `None` inside when the system gave no thread.
    closer: OnceLock<Option<Closer>>,
    /// Which chains and sets the actions keep their bans in, by the numbers of the actions.
    claims: Mutex<HashMap<u64, Vec<String>>>,
    hearing: Mutex<Hearing>,
}

/// How the warden listens.
#[derive(Default)]
struct Hearing {
    ears: Option<Ears>,
    /// How many bulk changes of our own are under way, during which it does not.
    hushes: usize,
    /// It did not for a while, and nobody has looked since what others did meanwhile.
    was_deaf: bool,
}

/// An action's chains and sets are nobody else's as long as this lives.
pub(super) struct Alone<'s>(
    #[expect(dead_code, reason = "held, not read")] MutexGuard<'s, HashMap<u64, Vec<String>>>,
);

/// Large changes of our own are under way: as long as this lives, the kernel need not tell of each.
pub(super) struct Hush(Arc<Shelter>);

impl Drop for Hush {
    fn drop(&mut self) {
        let mut hearing = self.0.hearing();
        hearing.hushes -= 1;
        if let (Some(ears), 0) = (&hearing.ears, hearing.hushes) {
            // Should it fail, the round twice a minute finds what was not heard.
            let _ = ears.open();
        }
    }
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

    /// Who ends the connections of banned addresses.
    pub(super) fn closer(&self) -> Option<&Closer> {
        self.closer.get_or_init(|| Closer::start().ok()).as_ref()
    }

    /// Notes how the warden listens now.
    pub(super) fn listen_with(&self, ears: Option<Ears>) {
        self.hearing().ears = ears;
    }

    /// Stops the kernel from telling of our own changes one by one, which makes many of them several times faster.
    pub(super) fn hush(self: &Arc<Self>) -> Hush {
        let mut hearing = self.hearing();
        hearing.hushes += 1;
        hearing.was_deaf = true;
        if let (Some(ears), 1) = (&hearing.ears, hearing.hushes) {
            let _ = ears.close();
        }
        drop(hearing);
        Hush(Arc::clone(self))
    }

    /// Whether others may have changed something unheard, once; it is asked when the kernel tells again.
    pub(super) fn was_deaf(&self) -> bool {
        let mut hearing = self.hearing();
        hearing.hushes == 0 && std::mem::take(&mut hearing.was_deaf)
    }

    fn hearing(&self) -> MutexGuard<'_, Hearing> {
        self.hearing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this action keeps its bans there.
    pub(super) fn claim(&self, number: u64, places: Vec<String>) {
        self.claims().insert(number, places);
    }

    /// The action has ended.
    pub(super) fn release(&self, number: u64) {
        self.claims().remove(&number);
    }

    /// Whether no other action keeps its bans in the same chains and sets. As long as the answer lives, none begins to.
    pub(super) fn alone(&self, number: u64) -> Option<Alone<'_>> {
        let claims = self.claims();
        let mine = claims.get(&number)?;
        let others = claims.iter().filter(|(other, _)| **other != number).flat_map(|(_, places)| places);
        let shared = others.into_iter().any(|place| mine.contains(place));
        (!shared).then_some(Alone(claims))
    }

    /// Takes away what a restart has left and no action has claimed. Should that fail, the next restart's server does it.
    pub(super) fn clear_left(&self) {
        let claims = self.claims();
        let claimed = |place: &str| claims.values().flatten().any(|mine| mine == place);
        let _ = self.with(|firewall| nft::clear_left(firewall, &claimed));
    }

    fn claims(&self) -> MutexGuard<'_, HashMap<u64, Vec<String>>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the firewall.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Firewall) -> Result<T, Error>) -> Result<T, Error> {
        through(&self.firewall, work)
    }

    /// Reads what may be long, through a socket of its own: bans do not wait for it.
    pub(super) fn read<T>(&self, work: impl FnOnce(&mut Firewall) -> Result<T, Error>) -> Result<T, Error> {
        through(&self.reader, work)
    }
}

fn through<T>(
    socket: &Mutex<Option<Firewall>>,
    work: impl FnOnce(&mut Firewall) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut slot = socket.lock().unwrap_or_else(PoisonError::into_inner);
    let mut firewall = match slot.take() {
        Some(firewall) => firewall,
        None => Firewall::open()?,
    };
    let result = work(&mut firewall);
    // A socket that failed, or whose answers are out of step, is opened anew the next time.
    if !matches!(&result, Err(Error::Socket(_) | Error::Lost | Error::TimedOut(_) | Error::Malformed(_))) {
        *slot = Some(firewall);
    }
    result
}
