//! What is in the directories of a configuration. Each is listed once, instead of being asked for one file after the other:
//! most of the files that may be there are not.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::maps::HashMap;
use crate::source::Source;

/// In a directory of more entries than this, files are asked for one by one.
const MOST_ENTRIES: usize = 5_000;

/// A name in a directory.
struct Entry {
    name: OsString,
    /// Whether it is a file or a directory for sure, and not a link that may lead nowhere.
    certain: bool,
}

/// Looks at the files of one source. What has been looked at once is not looked at again.
pub(crate) struct Folders<'a> {
    source: &'a Source,
    /// Names in order; nothing for a directory that cannot be listed.
    listed: HashMap<OsString, Option<Vec<Entry>>>,
}

impl<'a> Folders<'a> {
    pub(crate) fn new(source: &'a Source) -> Self {
        Folders { source, listed: HashMap::default() }
    }

    /// Whether anything is at `path`, be it readable or not.
    pub(crate) fn exists(&mut self, path: &Path) -> bool {
        self.listed(path).unwrap_or_else(|| self.source.exists(path))
    }

    /// The files in directory `path` whose names end with `extension`, sorted, hidden ones left out.
    pub(crate) fn files_in(&mut self, path: &Path, extension: &str) -> Vec<PathBuf> {
        if self.listed(path) == Some(false) {
            return Vec::new();
        }
        let Some(entries) = self.entries(path.as_os_str()) else {
            return self.source.files_in(path, extension);
        };
        let names = entries.iter().map(|entry| entry.name.as_bytes());
        let wanted = names.filter(|name| name.ends_with(extension.as_bytes()) && !name.starts_with(b"."));
        wanted.map(|name| path.join(OsStr::from_bytes(name))).collect()
    }

    /// Whether the directory of `path` has it. Nothing if that must be asked for.
    fn listed(&mut self, path: &Path) -> Option<bool> {
        let path = path.as_os_str().as_bytes();
        let (folder, name) = path.split_at(memchr::memrchr(b'/', path)? + 1);
        if matches!(name, b"" | b"." | b"..") {
            return None;
        }
        let entries = self.entries(OsStr::from_bytes(&folder[..folder.len() - 1]))?;
        match entries.binary_search_by(|entry| entry.name.as_bytes().cmp(name)) {
            Ok(at) => entries[at].certain.then_some(true),
            Err(_) => Some(false),
        }
    }

    /// What is in a directory of the configuration. The built-in one is on no disk.
    fn entries(&mut self, folder: &OsStr) -> Option<&[Entry]> {
        let directory = self.source.path().as_os_str().as_bytes();
        let directory = directory.strip_suffix(b"/").unwrap_or(directory);
        if self.source.uses_catalogue() || !folder.as_bytes().starts_with(directory) {
            return None;
        }
        if !self.listed.contains_key(folder) {
            self.listed.insert(folder.to_owned(), list(Path::new(folder)));
        }
        self.listed.get(folder)?.as_deref()
    }
}

fn list(folder: &Path) -> Option<Vec<Entry>> {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    let listed = match std::fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => return Some(Vec::new()),
        Err(_) => return None,
    };
    let mut entries = Vec::new();
    for entry in listed {
        let entry = entry.ok()?;
        let certain = entry.file_type().is_ok_and(|kind| kind.is_file() || kind.is_dir());
        entries.push(Entry { name: entry.file_name(), certain });
        if entries.len() > MOST_ENTRIES {
            return None;
        }
    }
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Some(entries)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_has_what_the_disk_has() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("jail.d")).unwrap();
        for name in ["jail.conf", "jail.d/b.conf", "jail.d/a.conf", "jail.d/.c.conf", "jail.d/d.local"] {
            fs::write(at(name), "").unwrap();
        }
        std::os::unix::fs::symlink("nowhere", at("jail.d/e.conf")).unwrap();
        std::os::unix::fs::symlink("a.conf", at("jail.d/f.conf")).unwrap();
        std::os::unix::fs::symlink("jail.d", at("link.d")).unwrap();
        let source = Source::directory(dir.path());
        let mut folders = Folders::new(&source);
        for folder in ["jail.d", "link.d", "none.d", "jail.conf", "jail.d/..", "none.d/.."] {
            for extension in [".conf", ".local"] {
                let (ours, disk) =
                    (folders.files_in(&at(folder), extension), source.files_in(&at(folder), extension));
                assert_eq!(ours, disk, "{folder} {extension}");
            }
        }
        let paths = [
            "jail.conf",
            "jail.local",
            "jail.d",
            "link.d",
            "none.d",
            "jail.d/",
            "jail.d/.",
            "jail.d/..",
            "..",
        ];
        let deeper = [
            "jail.d/a.conf",
            "jail.d/e.conf",
            "jail.d/f.conf",
            "link.d/f.conf",
            "link.d/x.conf",
            "none.d/x",
            "jail.conf/x",
        ];
        for path in paths.into_iter().chain(deeper) {
            assert_eq!(folders.exists(&at(path)), source.exists(&at(path)), "{path}");
        }
        assert!(folders.exists(Path::new("/")) && !folders.exists(Path::new("/no/such/file")));
    }
}
