//! Where configuration files come from: a directory, and the built-in catalogue that may lie under it.
//!
//! A name is looked up on disk first. Nothing here knows what is in a file, except that it is text in UTF-8.

use std::borrow::Cow;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// Files of the catalogue: path below the configuration directory, content.
pub(crate) static CATALOGUE: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/catalogue.rs"));

/// A larger file is no configuration.
const LARGEST_FILE: u64 = 256 << 20;

/// A place to read a configuration from.
#[derive(Clone, Debug)]
pub struct Source {
    directory: PathBuf,
    catalogue: bool,
}

/// Why a file gives no text.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// It is not there.
    Missing,
    /// It is there and cannot be read: no permission, a directory, too large.
    Denied,
    /// The bytes are no UTF-8. Holds the text before the block with the bad byte, and Python's words for it.
    NotText { before: String, why: String },
}

impl Source {
    /// The directory alone, as Fail2ban reads it.
    pub fn directory(directory: impl Into<PathBuf>) -> Self {
        Source { directory: directory.into(), catalogue: false }
    }

    /// The directory, with the built-in catalogue under it when it has no `jail.conf` of its own: a directory with one
    /// counts alone. It may be missing altogether.
    pub fn with_catalogue(directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        let catalogue = !directory.join("jail.conf").exists();
        Source { directory, catalogue }
    }

    /// The directory, as it was given.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Whether the built-in catalogue is in use.
    pub fn uses_catalogue(&self) -> bool {
        self.catalogue
    }

    /// The built-in file at `path`, if there is one.
    fn built_in(&self, path: &Path) -> Option<&'static str> {
        if !self.catalogue {
            return None;
        }
        let name = normal(path.strip_prefix(&self.directory).ok()?);
        let name = name.to_str()?;
        CATALOGUE.iter().find(|(file, _)| *file == name).map(|(_, text)| *text)
    }

    /// Whether anything is at `path`, be it readable or not.
    pub(crate) fn exists(&self, path: &Path) -> bool {
        path.exists() || self.built_in(path).is_some()
    }

    /// The files in directory `path` whose names end with `extension`, sorted, hidden ones left out.
    pub(crate) fn files_in(&self, path: &Path, extension: &str) -> Vec<PathBuf> {
        let mut names: Vec<_> = std::fs::read_dir(path)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name())
            .filter(|name| {
                let name = name.as_encoded_bytes();
                name.ends_with(extension.as_bytes()) && !name.starts_with(b".")
            })
            .collect();
        if self.catalogue
            && let Some(folder) = path.strip_prefix(&self.directory).ok().and_then(Path::to_str)
        {
            names.extend(
                CATALOGUE
                    .iter()
                    .filter_map(|(file, _)| file.strip_prefix(folder)?.strip_prefix('/'))
                    .filter(|name| !name.contains('/') && name.ends_with(extension))
                    .map(Into::into),
            );
        }
        names.sort();
        names.dedup();
        names.into_iter().map(|name| path.join(name)).collect()
    }

    /// The text of a file, its line ends made line feeds. `buffer` is what it may be read into.
    pub(crate) fn text<'b>(&self, path: &Path, buffer: &'b mut Vec<u8>) -> Result<Cow<'b, str>, Unreadable> {
        use std::io::ErrorKind::{NotADirectory, NotFound};
        match read_bounded(path, buffer) {
            Ok(()) => {}
            Err(e) if matches!(e.kind(), NotFound | NotADirectory) => {
                return self.built_in(path).map(Cow::Borrowed).ok_or(Unreadable::Missing);
            }
            Err(_) => return Err(Unreadable::Denied),
        }
        match std::str::from_utf8(buffer) {
            Ok(text) => Ok(with_line_feeds(text)),
            Err(_) => Err(not_text(buffer)),
        }
    }
}

fn read_bounded(path: &Path, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    let mut file = std::fs::File::open(path)?;
    let metadata = file.metadata()?;
    // An ordinary file has told how long it is; anything else is read to its end.
    let length = if metadata.is_file() { metadata.len().min(LARGEST_FILE + 1) as usize } else { 0 };
    buffer.clear();
    buffer.resize(length, 0);
    let mut filled = 0;
    while filled < length {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(filled);
    if length == 0 {
        file.take(LARGEST_FILE + 1).read_to_end(buffer)?;
    }
    if buffer.len() as u64 > LARGEST_FILE {
        return Err(std::io::Error::other("the file is larger than 256 MiB"));
    }
    Ok(())
}

/// Universal newlines: `\r\n` and `\r` are line ends as well.
fn with_line_feeds(text: &str) -> Cow<'_, str> {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n").into() } else { text.into() }
}

/// Python decodes in blocks and counts positions from the beginning of the block.
const BLOCK: usize = 8192;

fn not_text(bytes: &[u8]) -> Unreadable {
    let Err(error) = std::str::from_utf8(bytes) else { return Unreadable::Missing };
    let bad = error.valid_up_to();
    let first = bytes[bad];
    let count = error.error_len().unwrap_or(bytes.len() - bad);
    let starts_badly = matches!(first, 0x80..=0xc1 | 0xf5..);
    // The block being decoded when the error is noticed, with the unfinished character carried over from the one before.
    let start = if error.error_len().is_none() {
        bad
    } else {
        let noticed = if starts_badly { bad } else { bad + count };
        let mut start = noticed / BLOCK * BLOCK;
        while start > 0 && bytes.get(start).is_some_and(|b| b & 0xc0 == 0x80) {
            start -= 1;
        }
        start.min(bad)
    };
    let reason = match error.error_len() {
        _ if starts_badly => "invalid start byte",
        None => "unexpected end of data",
        Some(_) => "invalid continuation byte",
    };
    let position = bad - start;
    let why = if count == 1 {
        format!("'utf-8' codec can't decode byte 0x{first:02x} in position {position}: {reason}")
    } else {
        format!("'utf-8' codec can't decode bytes in position {position}-{}: {reason}", position + count - 1)
    };
    // Only whole lines were seen.
    let whole = bytes[..start].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    Unreadable::NotText {
        before: with_line_feeds(&String::from_utf8_lossy(&bytes[..whole])).into_owned(),
        why,
    }
}

/// `path` without `.` and `..`, as `os.path.normpath` has it: by text, without asking the disk.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => match out.components().next_back() {
                Some(Component::Normal(_)) => {
                    out.pop();
                }
                Some(Component::RootDir) => {}
                _ => out.push(".."),
            },
            other => out.push(other),
        }
    }
    if out.as_os_str().is_empty() { PathBuf::from(".") } else { out }
}
