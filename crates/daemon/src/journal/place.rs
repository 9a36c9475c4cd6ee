//! Which journal is read: the options of `systemd[journalpath=…, journalfiles=…, journalflags=…, namespace=…, rotated=…]`.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use portcullis_config::files_like;
use portcullis_value::{Exception, Value, int};

/// The journals of this machine only.
const LOCAL_ONLY: i64 = 1;
/// Those that are lost at a reboot.
const RUNTIME_ONLY: i64 = 2;
/// Those of services and the kernel.
const SYSTEM: i64 = 4;
/// Those of our own user.
const CURRENT_USER: i64 = 8;

/// A journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    directory: Option<PathBuf>,
    /// Patterns, as given.
    files: Vec<String>,
    flags: i64,
    namespace: Option<String>,
}

impl Place {
    /// Reads the options of a backend.
    ///
    /// # Errors
    /// As Fail2ban: an unknown option, a flag that is no number, files and a directory together, a journal that is not there.
    pub fn new(options: &[(String, String)]) -> Result<Self, Exception> {
        let mut place = Place::default();
        let mut flags = None;
        for (name, value) in options {
            match name.as_str() {
                "journalpath" => place.directory = Some(value.into()),
                "journalfiles" => {
                    let patterns = value.split([',', ' ', '\t', '\n']).filter(|pattern| !pattern.is_empty());
                    place.files = patterns.map(str::to_owned).collect();
                }
                "journalflags" => flags = Some(int(&value.as_str().into())?),
                "namespace" => place.namespace = Some(value.clone()),
                // 1.1's; we read rotated files anyway, and nothing twice.
                "rotated" => {}
                other => {
                    let text = format!("Filter.__init__() got an unexpected keyword argument '{other}'");
                    return Err(Exception::builtin("TypeError", text));
                }
            }
        }
        let elsewhere = place.directory.is_some() || !place.files.is_empty();
        place.flags = flags.unwrap_or(if elsewhere { 0 } else { SYSTEM });
        place.check()?;
        Ok(place)
    }

    fn check(&self) -> Result<(), Exception> {
        let refused = |text: &str| Err(Exception::builtin("ValueError", text));
        if self.files.is_empty() {
            return match &self.directory {
                Some(directory) if !directory.is_dir() => Err(Exception {
                    class: "builtins.FileNotFoundError".to_owned(),
                    args: vec![Value::Int(2), "No such file or directory".into()],
                }),
                _ => Ok(()),
            };
        }
        if self.directory.is_some() {
            return refused("path and files cannot be specified simultaneously");
        }
        if self.flags != 0 || self.existing().is_empty() {
            return refused("Opening the journal failed");
        }
        Ok(())
    }

    fn existing(&self) -> Vec<String> {
        self.files
            .iter()
            .flat_map(|pattern| files_like(pattern))
            .filter(|path| Path::new(path).is_file())
            .collect()
    }

    /// Whether it is a set of files: `journalctl` cannot follow them, they must be looked at.
    pub fn is_files(&self) -> bool {
        !self.files.is_empty()
    }

    /// Something that changes when one of the files does.
    pub(crate) fn version(&self) -> Vec<(u64, Option<SystemTime>)> {
        let metas = self.existing().into_iter().filter_map(|path| std::fs::metadata(path).ok());
        metas.map(|meta| (meta.len(), meta.modified().ok())).collect()
    }

    /// The options for `journalctl`.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        if self.is_files() {
            arguments.extend(self.existing().into_iter().map(|file| format!("--file={file}")));
            return arguments;
        }
        if let Some(directory) = &self.directory {
            arguments.push(format!("--directory={}", directory.display()));
        } else if self.flags & RUNTIME_ONLY != 0 {
            arguments.push("--directory=/run/log/journal".into());
        }
        if self.flags & LOCAL_ONLY == 0 {
            arguments.push("--merge".into());
        }
        if self.flags & SYSTEM != 0 {
            arguments.push("--system".into());
        }
        if self.flags & CURRENT_USER != 0 {
            arguments.push("--user".into());
        }
        arguments.extend(self.namespace.iter().map(|namespace| format!("--namespace={namespace}")));
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Result<Vec<String>, String> {
        let options = portcullis_value::options::options(text).unwrap().options;
        Place::new(&options).map(|place| place.arguments()).map_err(|error| error.to_string())
    }

    #[test]
    fn options_become_those_of_journalctl() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.journal", "b.journal", "c"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let dir = dir.path().display();
        for (text, expected) in [
            ("systemd".into(), "--merge --system".into()),
            ("systemd[journalflags=0]".into(), "--merge".into()),
            ("systemd[journalflags=5]".into(), "--system".into()),
            ("systemd[journalflags=12]".into(), "--merge --system --user".into()),
            ("systemd[namespace=x, rotated=on]".into(), "--merge --system --namespace=x".into()),
            (format!("systemd[journalpath='{dir}']"), format!("--directory={dir} --merge")),
            (
                format!("systemd[journalfiles='{dir}/[ab].journal, {dir}/nope']"),
                format!("--file={dir}/a.journal --file={dir}/b.journal"),
            ),
        ] {
            let mut arguments = place(&text).unwrap();
            // Files come as the directory lists them.
            arguments.sort_by_key(|argument| argument.starts_with("--file").then(|| argument.clone()));
            assert_eq!(arguments.join(" "), expected, "{text}");
        }
    }

    #[test]
    fn what_fail2ban_refuses_is_refused_in_its_words() {
        for (text, expected) in [
            ("systemd[bad=1]", "Filter.__init__() got an unexpected keyword argument 'bad'"),
            ("systemd[journalflags=x]", "invalid literal for int() with base 10: 'x'"),
            ("systemd[journalfiles=/nope]", "Opening the journal failed"),
            ("systemd[journalfiles=/,journalpath=/]", "path and files cannot be specified simultaneously"),
        ] {
            assert_eq!(place(text).unwrap_err(), expected, "{text}");
        }
        assert!(place("systemd[journalpath=/nope]").unwrap_err().contains("No such file or directory"));
    }
}
