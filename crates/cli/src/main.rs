//! The portcullis program. It answers to Fail2ban's names, too: as a link, or by its first word.

mod check;
mod client;
mod config;
mod form;
mod portcullis;
mod regex;
mod status;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use client::Name;

fn main() -> ExitCode {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let program = words.first().map(Path::new).and_then(Path::file_name).map(std::ffi::OsStr::to_os_string);
    words.drain(..words.len().min(1));
    match program.as_ref().and_then(|name| name.to_str()) {
        Some("fail2ban-client") => return client::run(Name::Client, words),
        Some("fail2ban-server") => return client::run(Name::Server, words),
        Some("fail2ban-regex") => return regex::run("fail2ban-regex", words),
        _ => {}
    }
    portcullis::run(portcullis::Arguments::parse().command)
}
