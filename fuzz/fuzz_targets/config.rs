//! Any files as a configuration: commands or problems, never an end.
//!
//! The input is `jail.conf`, a filter, an action and `fail2ban.conf`, with a NUL between them.
#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use portcullis_config::{Request, Source, read, read_server, shell_words};

fn directory() -> &'static PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let dir = std::env::temp_dir().join(format!("portcullis-fuzz-{}", std::process::id()));
        for part in ["filter.d", "action.d"] {
            std::fs::create_dir_all(dir.join(part)).expect("a directory for the files");
        }
        dir
    })
}

fuzz_target!(|bytes: &[u8]| {
    let dir = directory();
    let mut parts = bytes.split(|byte| *byte == 0);
    for file in ["jail.conf", "filter.d/f.conf", "action.d/a.conf", "fail2ban.conf"] {
        let part = parts.next().unwrap_or_default();
        std::fs::write(dir.join(file), part).expect("a file");
    }
    let source = Source::directory(dir);
    let _ = read_server(&source, &mut Vec::new());
    for jail_by_jail in [false, true] {
        let request =
            Request { allow_no_files: true, jail_by_jail, even_disabled: true, ..Request::default() };
        let _ = read(&source, &request);
    }
    let _ = shell_words(&String::from_utf8_lossy(bytes));
});
