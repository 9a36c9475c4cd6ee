//! Fail2ban's stock configuration with the corpus' own filters, and our filters set up from it.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use portcullis_compliance::{genuine_root, skip, workspace};
use portcullis_config::{Request, Source, read};
use portcullis_jail::Timestamp;
use portcullis_jail::filter::Filter;
use serde_json::{Map, Value};

/// A moment in 2026. Which years are believed goes by the year of the program's start, whatever time a test says it is.
const STARTED: Timestamp = Timestamp(1_790_000_000.0);

/// The genuine configuration with the corpus' own filters beside the stock ones, in a directory of its own.
pub(crate) struct Stock {
    pub(crate) dir: tempfile::TempDir,
    /// The sample logs.
    pub(crate) logs: PathBuf,
}

impl Stock {
    pub(crate) fn new() -> Option<Self> {
        let root = genuine_root().map_err(|reason| skip(&reason)).ok()?;
        let tests = root.join("usr/lib/python3/dist-packages/fail2ban/tests");
        let dir = tempfile::tempdir().unwrap();
        copy(&root.join("etc/fail2ban"), dir.path());
        for entry in std::fs::read_dir(tests.join("config/filter.d")).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if name.starts_with("zzz-") {
                // They include the stock file by a path into Fail2ban's sources, which 1.1 has elsewhere.
                let mut text = std::fs::read_to_string(entry.path()).unwrap();
                for up in ["../../../../../../../", "../../../../"] {
                    text = text.replace(&format!("{up}config/filter.d/common.conf"), "common.conf");
                }
                std::fs::write(dir.path().join("filter.d").join(name), text).unwrap();
            }
        }
        Some(Stock { dir, logs: tests.join("files/logs") })
    }

    /// Our own catalogue's filters instead of the stock ones.
    pub(crate) fn catalogue() -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy(&workspace().join("catalogue/filter.d"), &dir.path().join("filter.d"));
        Stock { dir, logs: PathBuf::new() }
    }

    /// The filter of this name with options, as the configuration's commands set it up.
    pub(crate) fn filter(&self, name: &str, options: &Map<String, Value>) -> Filter {
        let options: Vec<String> =
            options.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap())).collect();
        let jail = format!(
            "[DEFAULT]\nbackend = polling\nlogpath = /dev/null\n[j]\nenabled = true\nfilter = {name}[{}]\n",
            options.join(", ")
        );
        std::fs::write(self.dir.path().join("jail.conf"), jail).unwrap();
        let request = Request { allow_no_files: true, ..Request::default() };
        let configuration = read(&Source::directory(self.dir.path()), &request).unwrap();
        assert!(configuration.flawless(), "{name}{options:?}: {:?}", configuration.messages);
        let mut filter = Filter::new();
        filter.set_zone(TimeZone::posix("CET-01CEST-02,M3.5.0,M10.5.0").unwrap());
        // Names are not resolved, as in the corpus' own runner.
        filter.set_usedns("raw");
        filter.detector(STARTED);
        for command in &configuration.stream {
            let words: Vec<String> = command.iter().flat_map(words).collect();
            let [set, _jail, option, values @ ..] = &*words else { continue };
            if set != "set" && set != "multi-set" {
                continue;
            }
            for value in values {
                apply(&mut filter, option, value).unwrap_or_else(|e| panic!("{name}{options:?}: {e}"));
            }
        }
        filter
    }
}

fn words(value: &portcullis_value::Value) -> Vec<String> {
    match value {
        portcullis_value::Value::List(items) => items.iter().map(ToString::to_string).collect(),
        one => vec![one.to_string()],
    }
}

fn apply(filter: &mut Filter, option: &str, value: &str) -> Result<(), String> {
    match option {
        "addfailregex" => filter.add_failregex(value).map_err(|e| e.to_string())?,
        "addignoreregex" => filter.add_ignoreregex(value).map_err(|e| e.to_string())?,
        "prefregex" => filter.set_prefregex(value).map_err(|e| e.to_string())?,
        "maxlines" => filter.set_maxlines(value.parse().unwrap()),
        "datepattern" => drop(filter.set_datepattern(value, STARTED).map_err(|e| e.to_string())?),
        _ => {}
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
