//! One followed file: its present and former incarnations, and a cursor in each for every jail.
//!
//! No threads and no waiting here: [`Tail::read`] reads what is there, and the driver decides when to call it.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::TrySendError;
use portcullis_jail::Page;
use sha1::{Digest, Sha1};

use super::{Batch, Content, Follow};
use crate::jailer::now;

/// How much is read and handed over at once.
const CHUNK: usize = 64 * 1024;
/// A line longer than this is cut here; the rest of it is skipped, and counted.
const LINE_LIMIT: usize = 1024 * 1024;
/// How long a renamed file is still read: a service keeps writing to it until it is told to reopen its log.
const LINGER: Duration = Duration::from_secs(60);
/// How much of a file's beginning tells whether it is still the same text.
const PREFIX: usize = 256;
/// So many incarnations of a file are kept open for jails that are behind. The oldest goes first.
const INCARNATIONS: usize = 8;

/// What the first line says about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstLine {
    /// SHA-1 of its bytes with the line end, in hex. Empty while the line has no end.
    pub hash: Arc<str>,
    /// The size of the file in bytes.
    pub size: u64,
}

/// Opens a log and reads its first line, as Fail2ban identifies files by it.
///
/// # Errors
/// When it cannot be opened or read, and for a directory.
pub fn first_line(path: &Path) -> io::Result<FirstLine> {
    let file = File::open(path)?;
    let meta = file.metadata()?;
    if meta.is_dir() {
        return Err(io::Error::from_raw_os_error(rustix::io::Errno::ISDIR.raw_os_error()));
    }
    Ok(FirstLine { hash: first_line_hash(&file)?, size: meta.len() })
}

fn first_line_hash(file: &File) -> io::Result<Arc<str>> {
    let mut sha1 = Sha1::new();
    let mut buffer = [0; 4096];
    let mut at = 0;
    while at < LINE_LIMIT as u64 {
        let read = file.read_at(&mut buffer, at)?;
        if read == 0 {
            return Ok("".into());
        }
        if let Some(end) = memchr::memchr(b'\n', &buffer[..read]) {
            sha1.update(&buffer[..=end]);
            let hex: String = sha1.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            return Ok(hex.into());
        }
        sha1.update(&buffer[..read]);
        at += read as u64;
    }
    Ok("".into())
}

/// A file that is or was at the path.
struct Incarnation {
    file: File,
    device: u64,
    inode: u64,
}

/// How far a jail has read in one incarnation.
struct Cursor {
    of: Arc<Incarnation>,
    position: u64,
    /// The beginning of what was read, to notice text that was replaced in place.
    prefix: Vec<u8>,
    first_line: Arc<str>,
    /// Inside a line that was too long: skip to its end.
    skipping: bool,
    superseded: Option<Instant>,
}

struct Reader {
    follow: Follow,
    /// Oldest first; the last is the file at the path, if there is one.
    cursors: Vec<Cursor>,
    in_operation: bool,
}

/// What happened while reading.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// A jail's inbox was full: call again soon.
    pub(super) blocked: bool,
    /// A former incarnation is still open: call again before long.
    pub(super) lingering: bool,
    /// Lines that were cut at [`LINE_LIMIT`].
    pub(super) cut: u64,
    /// Rotations and truncations, as Fail2ban words them.
    pub(super) rotations: Vec<String>,
    /// Jails that went away.
    pub(super) gone: bool,
}

/// One followed path.
pub(super) struct Tail {
    path: Arc<Path>,
    current: Option<Arc<Incarnation>>,
    readers: Vec<Reader>,
    /// The last chunks that were read, for the next jails at the same places.
    shared: Shared,
}

/// As many chunks as an inbox holds, and some: when the first jail has filled its inbox, the next finds all of them here.
const SHARED: usize = 12;

/// Inode, offset, and what was read there; the oldest first.
type Shared = VecDeque<(u64, u64, Chunk)>;

#[derive(Clone)]
struct Chunk {
    /// Complete lines, or the beginning of one that is too long.
    page: Arc<Page>,
    cut: bool,
}

impl Chunk {
    fn new(mut bytes: Vec<u8>, cut: bool) -> Self {
        bytes.shrink_to_fit();
        Chunk { page: Arc::new(Page::new(bytes, now())), cut }
    }
}

impl Tail {
    pub(super) fn new(path: Arc<Path>) -> Self {
        Tail { path, current: None, readers: Vec::new(), shared: Shared::new() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_followed(&self) -> bool {
        !self.readers.is_empty()
    }

    /// The file is at its path, as far as we know.
    pub(super) fn is_present(&self) -> bool {
        self.current.is_some()
    }

    pub(super) fn follow(&mut self, follow: Follow) {
        self.unfollow(&follow.jail);
        self.look();
        let mut reader = Reader { in_operation: follow.in_operation, follow, cursors: Vec::new() };
        if let Some(current) = &self.current {
            let position = reader.follow.position;
            reader.cursors.push(Cursor::new(Arc::clone(current), position));
        }
        self.readers.push(reader);
    }

    pub(super) fn unfollow(&mut self, jail: &str) {
        self.readers.retain(|reader| &*reader.follow.jail != jail);
    }

    /// Looks which file is at the path. Returns true when it is another one than before.
    pub(super) fn look(&mut self) -> bool {
        let Ok(meta) = std::fs::metadata(&self.path) else { return self.lose() };
        let same = |i: &Arc<Incarnation>| i.device == meta.dev() && i.inode == meta.ino();
        if self.current.as_ref().is_some_and(same) {
            return false;
        }
        let Ok(file) = File::open(&self.path) else { return self.lose() };
        // Asked again: between the look and the open it may have been replaced once more.
        let Ok(meta) = file.metadata() else { return false };
        let new = Arc::new(Incarnation { file, device: meta.dev(), inode: meta.ino() });
        for reader in &mut self.readers {
            reader.supersede();
            reader.cursors.push(Cursor::new(Arc::clone(&new), 0));
            if reader.cursors.len() > INCARNATIONS {
                reader.cursors.remove(0);
            }
        }
        self.current = Some(new);
        true
    }

    fn lose(&mut self) -> bool {
        self.readers.iter_mut().for_each(Reader::supersede);
        self.current.take().is_some()
    }

    /// Reads everything that is there and hands it to the jails that have room.
    pub(super) fn read(&mut self, progress: &mut Progress) {
        if self.look() {
            progress.rotations.push(format!("Log presence detected for file {}", self.path.display()));
        }
        let path = Arc::clone(&self.path);
        let shared = &mut self.shared;
        self.readers.retain_mut(|reader| {
            let alive = reader.read(&path, shared, progress);
            progress.gone |= !alive;
            alive
        });
        // Nothing to share once all have it. A jail whose inbox is full comes back soon.
        if !progress.blocked {
            self.shared = Shared::new();
        }
    }
}

impl Reader {
    fn supersede(&mut self) {
        if let Some(last) = self.cursors.last_mut() {
            last.superseded.get_or_insert_with(Instant::now);
        }
    }

    /// False when the jail is gone.
    fn read(&mut self, path: &Arc<Path>, shared: &mut Shared, progress: &mut Progress) -> bool {
        let mut at = 0;
        while at < self.cursors.len() {
            let cursor = &mut self.cursors[at];
            if cursor.notice_truncation(path, progress) {
                shared.clear();
            }
            // An unreadable file is tried again at the next occasion.
            while let Ok(Some(chunk)) = cursor.chunk(shared) {
                if cursor.skipping {
                    // The rest of a line that was cut is passed over: its head was judged.
                    let bytes = chunk.page.bytes();
                    let skip = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1);
                    cursor.skipping = !bytes[..skip].ends_with(b"\n");
                    cursor.advance(cursor.position + skip as u64);
                    continue;
                }
                let end = cursor.position + chunk.page.bytes().len() as u64;
                let batch = Batch {
                    path: Arc::clone(path),
                    content: Content::Lines(Arc::clone(&chunk.page)),
                    end,
                    first_line: cursor.first_line(),
                    in_operation: self.in_operation,
                    superseded: cursor.superseded.is_some(),
                };
                match self.follow.inbox.try_send(batch) {
                    Ok(()) => {}
                    Err(TrySendError::Full(_)) => {
                        progress.blocked = true;
                        return true;
                    }
                    Err(TrySendError::Disconnected(_)) => return false,
                }
                progress.cut += u64::from(chunk.cut);
                cursor.skipping = chunk.cut;
                cursor.advance(end);
            }
            match cursor.superseded {
                Some(since) if since.elapsed() > LINGER => {
                    self.cursors.remove(at);
                }
                Some(_) => {
                    progress.lingering = true;
                    at += 1;
                }
                None => at += 1,
            }
        }
        // An empty file was not read to an end: there was none.
        self.in_operation = self.in_operation || self.cursors.iter().any(Cursor::has_content);
        true
    }
}

impl Cursor {
    fn new(of: Arc<Incarnation>, position: u64) -> Self {
        let mut cursor = Cursor {
            of,
            position,
            prefix: Vec::new(),
            first_line: "".into(),
            skipping: false,
            superseded: None,
        };
        cursor.advance(position);
        cursor
    }

    fn has_content(&self) -> bool {
        self.of.file.metadata().is_ok_and(|meta| meta.len() > 0)
    }

    /// Goes to `position`, and keeps the beginning of the file up to there, so that a replaced text is noticed.
    fn advance(&mut self, position: u64) {
        self.position = position;
        let wanted = PREFIX.min(usize::try_from(position).unwrap_or(PREFIX));
        if self.prefix.len() < wanted {
            let mut prefix = vec![0; wanted];
            let read = self.of.file.read_at(&mut prefix, 0).unwrap_or(0);
            prefix.truncate(read);
            self.prefix = prefix;
        }
    }

    fn first_line(&mut self) -> Arc<str> {
        if self.first_line.is_empty()
            && let Ok(hash) = first_line_hash(&self.of.file)
        {
            self.first_line = hash;
        }
        Arc::clone(&self.first_line)
    }

    /// A file that shrank, or begins with other text than before, is read from its beginning.
    // Differs: Fail2ban looks at the first line every 30 seconds, and misses what was refilled in between.
    fn notice_truncation(&mut self, path: &Path, progress: &mut Progress) -> bool {
        let Ok(meta) = self.of.file.metadata() else { return false };
        let size = meta.len();
        let mut present = [0; PREFIX];
        let kept = self.prefix.len();
        let replaced = size < self.position
            || self.of.file.read_at(&mut present[..kept], 0).is_ok_and(|n| present[..n] != self.prefix[..n]);
        if !replaced {
            return false;
        }
        let hash = first_line_hash(&self.of.file).unwrap_or_default();
        progress.rotations.push(format!(
            "Log rotation detected for {}, reason: ({size}, {}, {}, {}, '{hash}', '{}')",
            path.display(),
            self.position,
            meta.ino(),
            self.of.inode,
            self.first_line,
        ));
        self.position = 0;
        self.prefix.clear();
        self.skipping = false;
        self.first_line = hash;
        true
    }

    /// The next complete lines, at most [`CHUNK`] bytes unless one line is longer.
    fn chunk(&self, shared: &mut Shared) -> io::Result<Option<Chunk>> {
        let here =
            |(inode, position, _): &&(u64, u64, Chunk)| (*inode, *position) == (self.of.inode, self.position);
        if let Some((.., chunk)) = shared.iter().find(here) {
            return Ok(Some(chunk.clone()));
        }
        let Some(chunk) = read_lines(&self.of.file, self.position)? else { return Ok(None) };
        if shared.len() >= SHARED {
            shared.pop_front();
        }
        shared.push_back((self.of.inode, self.position, chunk.clone()));
        Ok(Some(chunk))
    }
}

fn read_lines(file: &File, position: u64) -> io::Result<Option<Chunk>> {
    let mut buffer = vec![0; CHUNK];
    let mut filled = 0;
    loop {
        let read = file.read_at(&mut buffer[filled..], position + filled as u64)?;
        let from = filled;
        filled += read;
        if let Some(end) = memchr::memrchr(b'\n', &buffer[from..filled]) {
            buffer.truncate(from + end + 1);
            return Ok(Some(Chunk::new(buffer, false)));
        }
        if read == 0 {
            return Ok(None);
        }
        if filled >= LINE_LIMIT {
            buffer.truncate(filled);
            return Ok(Some(Chunk::new(buffer, true)));
        }
        if filled == buffer.len() {
            buffer.resize(buffer.len() * 2, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use crossbeam_channel::{Receiver, bounded};

    use super::*;

    struct Log {
        dir: tempfile::TempDir,
        tail: Tail,
        lines: Receiver<Batch>,
    }

    impl Log {
        fn with(text: &str, inbox: usize) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path: Arc<Path> = dir.path().join("a.log").into();
            std::fs::write(&path, text).unwrap();
            let mut tail = Tail::new(Arc::clone(&path));
            let (sender, lines) = bounded(inbox);
            let jail = "j".into();
            tail.follow(Follow { jail, path, position: 0, in_operation: false, inbox: sender });
            Log { dir, tail, lines }
        }

        fn path(&self) -> std::path::PathBuf {
            self.dir.path().join("a.log")
        }

        fn append(&self, name: &str, text: &str) {
            let path = self.dir.path().join(name);
            let mut file = File::options().append(true).create(true).open(path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        fn read(&mut self) -> String {
            let mut progress = Progress::default();
            self.tail.read(&mut progress);
            let batches: Vec<Batch> = self.lines.try_iter().collect();
            batches.iter().map(Batch::text).collect()
        }
    }

    #[test]
    fn an_incomplete_line_waits_for_its_end() {
        let mut log = Log::with("one\ntw", 9);
        assert_eq!(log.read(), "one\n");
        log.append("a.log", "o\n");
        assert_eq!(log.read(), "two\n");
        assert_eq!(log.read(), "");
    }

    #[test]
    fn a_renamed_file_is_read_to_its_end_and_beyond() {
        let mut log = Log::with("one\n", 9);
        assert_eq!(log.read(), "one\n");
        log.append("a.log", "two\n");
        std::fs::rename(log.path(), log.dir.path().join("a.log.1")).unwrap();
        log.append("a.log", "three\n");
        assert_eq!(log.read(), "two\nthree\n");
        log.append("a.log.1", "late\n");
        assert_eq!(log.read(), "late\n");
    }

    #[test]
    fn a_file_refilled_in_place_is_read_from_its_beginning() {
        let mut log = Log::with("one\ntwo\n", 9);
        assert_eq!(log.read(), "one\ntwo\n");
        std::fs::write(log.path(), "three\nfour\nfive\n").unwrap();
        assert_eq!(log.read(), "three\nfour\nfive\n");
        std::fs::write(log.path(), "").unwrap();
        assert_eq!(log.read(), "");
        log.append("a.log", "six\n");
        assert_eq!(log.read(), "six\n");
    }

    #[test]
    fn a_jail_that_is_behind_loses_nothing() {
        let text: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
        let mut log = Log::with(&text, 1);
        let mut all = String::new();
        for _ in 0..20 {
            all.push_str(&log.read());
        }
        assert_eq!(all, text);
    }

    #[test]
    fn a_line_without_end_is_cut_and_the_next_one_is_read() {
        let mut log = Log::with(&"x".repeat(3 * LINE_LIMIT), 9);
        let mut progress = Progress::default();
        log.tail.read(&mut progress);
        log.append("a.log", "\nnext\n");
        log.tail.read(&mut progress);
        let batches: Vec<Batch> = log.lines.try_iter().collect();
        assert_eq!(progress.cut, 1);
        assert!(batches[0].text().len() <= 2 * LINE_LIMIT);
        let rest: String = batches[1..].iter().map(Batch::text).collect();
        assert!(rest.ends_with("next\n"), "{rest:.20}");
    }

    #[test]
    fn operation_begins_when_the_end_was_reached() {
        let mut log = Log::with("old\n", 9);
        let mut progress = Progress::default();
        log.tail.read(&mut progress);
        log.append("a.log", "new\n");
        log.tail.read(&mut progress);
        let flags: Vec<bool> = log.lines.try_iter().map(|b| b.in_operation).collect();
        assert_eq!(flags, [false, true]);
    }

    #[test]
    fn an_empty_file_has_no_end_to_reach() {
        let mut log = Log::with("", 9);
        let mut progress = Progress::default();
        log.tail.read(&mut progress);
        for text in ["old\n", "new\n"] {
            log.append("a.log", text);
            log.tail.read(&mut progress);
        }
        let flags: Vec<bool> = log.lines.try_iter().map(|b| b.in_operation).collect();
        assert_eq!(flags, [false, true]);
    }

    #[test]
    fn the_first_line_is_known_by_its_sha1() {
        let log = Log::with("a\nb\n", 9);
        // Fail2ban's own example: the bytes `a\n`.
        let first = first_line(&log.path()).unwrap();
        assert_eq!(&*first.hash, "3f786850e387550fdab836ed7e6dc881de23001b");
        assert_eq!(first.size, 4);
        assert!(first_line(log.dir.path()).is_err(), "a directory is no log");
    }
}
