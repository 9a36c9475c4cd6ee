//! A server of ours on a host of its own, and what tests ask it.

// Each test file uses some of it.
#![allow(dead_code, unreachable_pub)]

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use portcullis_compliance::{Hosts, Output, Peer, farm, wait_for};

pub const JAIL: &str = "[gate]
enabled = true
filter = dropbear
port = 2222
logpath = @DIR@/auth.log
ignoreself = false
bantime = 600
";

/// Our server on a host of its own, with this action.
pub fn guarded(banaction: &str) -> Option<(Hosts, Peer)> {
    let (hosts, peer) = Peer::guarding()?;
    peer.write("auth.log", "");
    peer.write("conf/jail.local", &format!("{JAIL}banaction = {banaction}\n"));
    Some((hosts, peer))
}

pub fn status(peer: &Peer) -> Output {
    peer.run("portcullis", &["status", "-c", "@DIR@/conf", "-s", "@DIR@/f2b.sock"])
}

/// Waits until `portcullis status` shows this, and returns it.
pub fn wait_status(peer: &Peer, text: &str) -> Output {
    let found =
        wait_for(Duration::from_secs(10), || Some(status(peer)).filter(|out| out.stdout.contains(text)));
    found.unwrap_or_else(|| panic!("no `{text}` in\n{}\nlog:\n{}", status(peer), peer.log()))
}

/// Puts a program of this text on the server's PATH, before all others.
pub fn stand_in(peer: &mut Peer, names: &[&str], text: &str) {
    farm(&peer.path("farm"), names);
    for name in names {
        let file = peer.path("farm").join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let farm = peer.path("farm").to_str().unwrap().to_owned();
    peer.env("PATH", farm);
}
