//! Reading a configuration: `fail2ban-client -d` with Debian's configuration and all of its jails enabled, ours and the genuine
//! one's, in turns. The output must be the same.
//!
//! Measured is a whole run of the program, from its start to its end, its output thrown away: the CPU time of user and
//! kernel together, and the time that somebody waits for it. Neither program does anything at the same time as
//! something else, so the two differ by what else the machine does meanwhile. The verdict is on the smaller ratio.

// A measurement speaks by panicking, as tests do.
#![allow(clippy::panic, clippy::unwrap_used)]

use std::process::Command;
use std::time::Instant;

use portcullis_compliance::{Peer, Who, children_cpu};

/// So many runs are one measurement: the clock counts hundredths of a second.
const OURS: usize = 40;
const GENUINE: usize = 4;
const ROUNDS: usize = 5;

/// Seconds of one run, of several: CPU time, and by the clock.
fn measure(peer: &Peer, runs: usize) -> [f64; 2] {
    let (before, start) = (children_cpu(), Instant::now());
    for _ in 0..runs {
        let status =
            dump(peer).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).status();
        assert!(status.unwrap().success());
    }
    [children_cpu() - before, start.elapsed().as_secs_f64()].map(|seconds| seconds / runs as f64)
}

/// The program itself: no shell in between, and it may run in our process' time.
fn dump(peer: &Peer) -> Command {
    let mut command = Command::new(peer.path("bin/fail2ban-client"));
    command.arg("-c").arg(peer.path("conf")).arg("-d");
    command
}

/// What the program prints, without the paths in which the two differ.
fn printed(peer: &Peer) -> String {
    let output = dump(peer).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    peer.mask(&String::from_utf8(output.stdout).unwrap())
}

fn main() {
    let peer = |who| Peer::new(who).unwrap_or_else(|| panic!("the genuine Fail2ban cannot be had here"));
    let (genuine, ours) = (peer(Who::Genuine), peer(Who::Ours));
    for peer in [&genuine, &ours] {
        peer.write("conf/jail.local", "[DEFAULT]\nenabled = true\n");
    }
    let text = printed(&genuine);
    assert!(text == printed(&ours), "the dumps differ");
    println!("fail2ban-client -d with all of Debian's jails: {} commands, the same", text.lines().count());
    let mut ratios = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let (theirs, own) = (measure(&genuine, GENUINE), measure(&ours, OURS));
        for (which, name) in ["of CPU time", "to wait for"].into_iter().enumerate() {
            let (theirs, own) = (theirs[which], own[which]);
            println!(
                "  genuine {:6.1} ms;  ours {:5.2} ms {name};  {:.1} times",
                theirs * 1000.0,
                own * 1000.0,
                theirs / own
            );
            ratios[which].push(theirs / own);
        }
    }
    let [cpu, wall] = ratios.map(|mut ratios| {
        ratios.sort_by(f64::total_cmp);
        ratios[ROUNDS / 2]
    });
    let verdict = if cpu.min(wall) >= 20.0 { "met" } else { "MISSED" };
    println!("  median {cpu:.1} times in CPU time, {wall:.1} times in waiting, {verdict}; wanted 20");
}
