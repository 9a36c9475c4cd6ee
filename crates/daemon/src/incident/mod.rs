//! Somebody is banned, the ban is in the kernel, and he still fails: why? Each such failure is an incident, looked into in a
//! thread of its own; what is found is said once for each address and cause, with the remedy, and kept for
//! `portcullis status`.

mod ahead;
mod cause;
mod inquiry;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use indexmap::IndexMap;
use portcullis_jail::{Id, Level};
use portcullis_value::Value;

use crate::act::worker::Protection;
use crate::control::dict;
use crate::log::Log;
pub(crate) use cause::Cause;

/// So many cases wait to be looked into; more are not worth the time: their cause is most likely the same.
const WAITING: usize = 64;
/// So many findings are kept, the newest.
const KEPT: usize = 1000;
/// An inquiry is followed by a rest of so many times what it took, up to this time.
const REST: u32 = 9;
const LONGEST_REST: Duration = Duration::from_secs(5);
/// What has not been seen again for so long is over.
const OVER: Duration = Duration::from_secs(3600);
/// Of one cause in one jail, so many addresses are told in the log within [`OVER`]; all are in `portcullis status`.
const TOLD: usize = 10;

/// A banned address that failed again.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) jail: Arc<str>,
    pub(crate) id: Id,
    pub(crate) protection: Protection,
    /// How often he failed since he was banned.
    pub(crate) failures: u32,
    /// What the action found out already.
    pub(crate) known: Option<Cause>,
}

/// What was found out.
#[derive(Clone, Debug)]
struct Finding {
    cause: Cause,
    text: String,
    count: u64,
    last: Instant,
}

/// By jail, address, and the cause's word.
type Findings = IndexMap<(Arc<str>, Id, &'static str), Finding>;

/// A handle on the thread that looks into cases. Clones are the same.
#[derive(Clone)]
pub(crate) struct Incidents {
    cases: Sender<Case>,
    findings: Arc<Mutex<Findings>>,
}

fn lock(findings: &Mutex<Findings>) -> MutexGuard<'_, Findings> {
    findings.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Incidents {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub(crate) fn start(log: Log) -> std::io::Result<Self> {
        let (cases, inbox) = bounded(WAITING);
        let findings = Arc::new(Mutex::default());
        let shared = Arc::clone(&findings);
        std::thread::Builder::new()
            .name("f2b/incident".into())
            .stack_size(512 * 1024)
            .spawn(move || run(&inbox, &shared, &log))?;
        Ok(Incidents { cases, findings })
    }

    /// Looks into a case, after the call has returned. Too many at a time are passed over.
    pub(crate) fn look_into(&self, case: Case) {
        let _ = self.cases.try_send(case);
    }

    /// A ban is over, and with it what was found about it.
    pub(crate) fn forget(&self, jail: &str, id: &Id) {
        lock(&self.findings).retain(|(of, whom, _), _| &**of != jail || whom != id);
    }

    /// What `portcullis status` shows of a jail.
    pub(crate) fn report(&self, jail: &str) -> Value {
        let mut findings = lock(&self.findings);
        findings.retain(|_, finding| finding.last.elapsed() < OVER);
        let of_jail = findings.iter().filter(|((of, ..), _)| &**of == jail);
        let shown = of_jail.map(|((_, id, word), finding)| {
            dict(vec![
                ("address", id.text().into()),
                ("cause", (*word).into()),
                ("problem", finding.text.as_str().into()),
                ("remedy", finding.cause.remedy().into()),
                ("mended", finding.cause.is_mended().into()),
                ("times", Value::Int(i64::try_from(finding.count).unwrap_or(i64::MAX))),
                ("seconds_ago", Value::Int(finding.last.elapsed().as_secs() as i64)),
            ])
        });
        Value::List(shown.collect())
    }
}

fn run(inbox: &Receiver<Case>, findings: &Mutex<Findings>, log: &Log) {
    while let Ok(mut case) = inbox.recv() {
        let began = Instant::now();
        let known = case.known.take();
        let found = known.or_else(|| inquiry::cause(&case));
        // Whoever is banned and noisy shall not keep the machine busy.
        std::thread::sleep((began.elapsed() * REST).min(LONGEST_REST));
        let Some(cause) = found else { continue };
        let mut findings = lock(findings);
        findings.retain(|_, finding| finding.last.elapsed() < OVER);
        let of_cause = findings.keys().filter(|(jail, _, word)| *jail == case.jail && *word == cause.word());
        let told = of_cause.count();
        let key = (Arc::clone(&case.jail), case.id.clone(), cause.word());
        if let Some(finding) = findings.get_mut(&key) {
            finding.count += 1;
            finding.last = Instant::now();
            continue;
        }
        let text = format!("{} is banned and still here: {cause}", case.id);
        if told < TOLD {
            let line = format!("[{}] {text}. {}", case.jail, cause.remedy());
            log.say(Level::WARNING, "actions", line);
        }
        if findings.len() >= KEPT {
            findings.shift_remove_index(0);
        }
        findings.insert(key, Finding { cause, text, count: 1, last: Instant::now() });
    }
}
