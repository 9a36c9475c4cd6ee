//! Names and addresses: the system's resolver behind a bounded cache and a time limit, so that it never holds up a jail.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

/// How long an answer, good or bad, is kept; Fail2ban's figure.
const KEPT: Duration = Duration::from_secs(300);
/// How many are kept; Fail2ban's figure. The oldest goes first.
const CACHED: usize = 1000;
/// How long a jail waits for an answer. One that comes later serves the next line.
const PATIENCE: Duration = Duration::from_secs(1);
/// So many questions may be under way. Beyond, a name counts as unknown for now.
const QUEUE: usize = 64;
/// Threads that ask.
const ASKING: usize = 2;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Question {
    Addresses(String),
    Name(IpAddr),
}

/// What came back: addresses, or a name, or the resolver's words.
type Answer = Result<Found, String>;

#[derive(Clone, Debug)]
enum Found {
    Addresses(Vec<IpAddr>),
    Name(String),
}

#[derive(Clone, Debug)]
struct Cached {
    answer: Answer,
    since: Instant,
    told: bool,
}

impl Cached {
    fn is_fresh(&self) -> bool {
        self.since.elapsed() < KEPT
    }
}

/// A handle on the resolver.
#[derive(Clone)]
pub(crate) struct Names {
    shared: Arc<Shared>,
    questions: Sender<Question>,
}

struct Shared {
    cache: Mutex<HashMap<Question, Cached>>,
    answered: Condvar,
}

impl Shared {
    fn cache(&self) -> MutexGuard<'_, HashMap<Question, Cached>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Names {
    /// Starts the threads that ask.
    pub(crate) fn start() -> std::io::Result<Self> {
        let (questions, asked) = bounded::<Question>(QUEUE);
        let shared = Arc::new(Shared { cache: Mutex::default(), answered: Condvar::new() });
        for _ in 0..ASKING {
            let shared = Arc::clone(&shared);
            let asked = asked.clone();
            std::thread::Builder::new()
                .name("f2b/names".into())
                .stack_size(256 * 1024)
                .spawn(move || ask(&shared, &asked))?;
        }
        Ok(Names { shared, questions })
    }

    /// The addresses of a host name.
    ///
    /// # Errors
    /// The resolver's words, the first time; afterwards, as long as it is kept, an empty list.
    pub(crate) fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        match self.answer(Question::Addresses(name.to_owned()))? {
            Found::Addresses(addresses) => Ok(addresses),
            Found::Name(_) => Ok(Vec::new()),
        }
    }

    /// The host name of an address.
    pub(crate) fn host_of(&self, address: IpAddr) -> Option<String> {
        match self.answer(Question::Name(address)) {
            Ok(Found::Name(name)) => Some(name),
            _ => None,
        }
    }

    /// This machine's host name, short or with its domain.
    pub(crate) fn own_host(&self, full: bool) -> String {
        let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let short = node.split('.').next().unwrap_or_default().to_owned();
        if !full {
            return short;
        }
        if node.contains('.') {
            return node;
        }
        let addresses = self.addresses(&node).unwrap_or_default();
        let named = addresses.first().and_then(|address| self.host_of(*address));
        named.filter(|name| name.starts_with(&format!("{short}."))).unwrap_or(node)
    }

    /// All addresses of this machine: of its interfaces, and those that its names stand for.
    pub(crate) fn own_addresses(&self) -> Vec<IpAddr> {
        // Fail2ban 1.1 asks the interfaces too; 1.0.2 only the names, and so bans itself on many machines.
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        let mut addresses: Vec<IpAddr> = interfaces.iter().map(if_addrs::Interface::ip).collect();
        for name in ["localhost".to_owned(), self.own_host(false), self.own_host(true)] {
            addresses.extend(self.addresses(&name).unwrap_or_default());
        }
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    fn answer(&self, question: Question) -> Answer {
        let mut cache = self.shared.cache();
        if let Some(answer) = kept(&mut cache, &question) {
            return answer;
        }
        match self.questions.try_send(question.clone()) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err("[Errno -3] Too many names are being resolved".into()),
            Err(TrySendError::Disconnected(_)) => return Err("[Errno -4] No resolver".into()),
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Err("[Errno -3] No answer within a second".into());
            }
            let waited = self.shared.answered.wait_timeout(cache, rest);
            cache = waited.unwrap_or_else(PoisonError::into_inner).0;
            if let Some(answer) = kept(&mut cache, &question) {
                return answer;
            }
        }
    }
}

/// What is known already. A failure is told once; then there are just no addresses.
fn kept(cache: &mut HashMap<Question, Cached>, question: &Question) -> Option<Answer> {
    let cached = cache.get_mut(question).filter(|cached| cached.is_fresh())?;
    match &cached.answer {
        Err(_) if cached.told => Some(Ok(Found::Addresses(Vec::new()))),
        answer => {
            cached.told = true;
            Some(answer.clone())
        }
    }
}

fn ask(shared: &Shared, asked: &Receiver<Question>) {
    while let Ok(question) = asked.recv() {
        // Whoever did not want to wait any longer has asked again.
        if shared.cache().get(&question).is_some_and(Cached::is_fresh) {
            continue;
        }
        let answer = match &question {
            Question::Addresses(name) => addresses_of(name).map(Found::Addresses),
            Question::Name(address) => dns_lookup::lookup_addr(address)
                // The system answers with the address itself when it has no name.
                .map_err(resolver_words)
                .and_then(|name| match name.parse::<IpAddr>() {
                    Ok(_) => Err("[Errno 1] Unknown host".into()),
                    Err(_) => Ok(Found::Name(name)),
                }),
        };
        let mut cache = shared.cache();
        if cache.len() >= CACHED {
            let oldest =
                cache.iter().min_by_key(|(_, cached)| cached.since).map(|(question, _)| question.clone());
            oldest.map(|oldest| cache.remove(&oldest));
        }
        cache.insert(question, Cached { answer, since: Instant::now(), told: false });
        shared.answered.notify_all();
    }
}

/// The addresses of a name, each once, as the system's resolver finds them however long that takes.
///
/// # Errors
/// Its words, behind its number as Python shows it.
pub fn addresses_of(name: &str) -> Result<Vec<IpAddr>, String> {
    let mut addresses = Vec::new();
    for address in dns_lookup::lookup_host(name).map_err(resolver_words)? {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

/// `[Errno -2] Name or service not known`: the numbers are those of `getaddrinfo`, as in Python.
fn resolver_words(error: dns_lookup::LookupError) -> String {
    let number = error.error_num();
    let text = std::io::Error::from(error).to_string();
    let words = text.rsplit(": ").next().unwrap_or(&text);
    format!("[Errno {number}] {words}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_is_ours_and_an_invalid_name_is_told_once() {
        let names = Names::start().unwrap();
        assert!(names.addresses("localhost").unwrap().iter().any(IpAddr::is_loopback));
        assert!(names.own_addresses().iter().any(IpAddr::is_loopback));
        assert!(names.addresses("no.such.invalid").is_err());
        // Whatever the resolver said, and unless it was too slow to say anything.
        if names.addresses("no.such.invalid").is_ok() {
            assert_eq!(names.addresses("no.such.invalid"), Ok(Vec::new()));
        }
    }
}
