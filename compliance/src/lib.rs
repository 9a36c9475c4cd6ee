//! Runs one test against the genuine Fail2ban and against us, and shows the difference.
//!
//! ```no_run
//! use portcullis_compliance::{Comparison, both};
//!
//! let Some((genuine, ours)) = both(|peer| {
//!     peer.write("log", "");
//!     peer.write("conf/jail.local", "[sshd]\nenabled = true\nbackend = polling\nlogpath = @DIR@/log\n");
//!     peer.start();
//!     peer.client(&["status"]).masked()
//! }) else {
//!     return; // skipped, and counted as such
//! };
//! let mut comparison = Comparison::new("status of one jail");
//! comparison.same_output("status", &genuine, &ours);
//! comparison.finish();
//! ```
//!
//! * [`both`] runs a closure with a [`Peer`] of each kind: a private directory with Debian's configuration, a server that
//!   can be started in it, a client that talks to it. Everything ends with the closure.
//! * [`Hosts`] are two network namespaces, a server and an attacker; [`Gate`] is a real rsyslog and a real dropbear there.
//! * [`Comparison`] collects differences and shows them all at once. `make test` adds up the comparisons of all tests.
//! * [`skip`] says why a test could not run. In CI on Debian nothing may be skipped: there it fails the test.
//!
//! The genuine program and the tools come from `compliance/fetch`, which the harness calls when it needs them.

// A harness speaks by panicking: its callers are tests.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)]

mod compare;
mod cpu;
mod dated;
mod gate;
mod hosts;
mod journal;
mod peer;
mod program;
mod random;
mod skip;
mod socket;
mod syslog;

pub use compare::{Comparison, diff};
pub use cpu::children_cpu;
pub use dated::Dated;
pub use gate::{Attempt, Gate};
pub use hosts::{ATTACKER, FRIEND, Host, Hosts, SERVER};
pub use journal::{Fields, Journal};
pub use peer::{Output, Peer, Signal, both};
pub use program::{Who, farm, genuine_root, require_tools, tool, tool_path, workspace};
pub use random::{Random, number};
pub use skip::skip;
pub use socket::Socket;
pub use syslog::{logged, wrong_password};

use std::time::{Duration, Instant};

/// Asks `question` every few milliseconds until it answers, at most for `limit`.
pub fn wait_for<T>(limit: Duration, mut question: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = question() {
            return Some(answer);
        }
        if start.elapsed() > limit {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
