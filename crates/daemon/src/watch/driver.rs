//! The thread that knows when to read: it waits for the kernel's notices, or looks at the files by itself.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use portcullis_jail::{Level, LogLine};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use super::tail::{Progress, Tail};
use super::{Follow, Means};
use crate::log::Log;

/// How often files are looked at when the kernel does not tell.
const POLL: Duration = Duration::from_millis(200);
/// How often they are looked at although it does: network file systems and lost notices.
const RECHECK: Duration = Duration::from_secs(10);
/// Without files there is nothing to look at; orders wake the thread.
const IDLE: Duration = Duration::from_secs(3600);
/// How soon a full inbox is tried again: a jail that catches up is through it by then.
const BLOCKED: Duration = Duration::from_millis(2);
/// How often a renamed file is looked at, although the kernel tells of changes in it.
const LINGERING: Duration = Duration::from_secs(1);

enum Order {
    Follow(Follow),
    Unfollow { jail: Arc<str>, path: Option<Arc<Path>> },
    Stop,
}

/// A handle on the thread that reads log files.
#[derive(Clone, Debug)]
pub struct Watch {
    orders: Sender<Order>,
    wake: Arc<OwnedFd>,
}

impl Watch {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the kernel gives no inotify instance (`fs.inotify.max_user_instances`) or no thread.
    pub fn start(means: Means, log: Log) -> std::io::Result<Self> {
        let wake = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        // Unbounded, but only configuration comes this way.
        let (orders, inbox) = unbounded();
        let inotify = match means {
            Means::Inotify => Some(Inotify::init()?),
            Means::Polling | Means::Journal => None,
        };
        let driver = Driver {
            notices: Notices { inotify, files: HashMap::new(), directories: HashMap::new() },
            tails: HashMap::new(),
            wake: Arc::clone(&wake),
            inbox,
            log,
        };
        let name = if means == Means::Inotify { "f2b/watch" } else { "f2b/poll" };
        std::thread::Builder::new().name(name.into()).spawn(move || driver.run())?;
        Ok(Watch { orders, wake })
    }

    /// A jail begins to read a file.
    pub fn follow(&self, follow: Follow) {
        self.order(Order::Follow(follow));
    }

    /// A jail stops reading a file, or all its files.
    pub fn unfollow(&self, jail: Arc<str>, path: Option<Arc<Path>>) {
        self.order(Order::Unfollow { jail, path });
    }

    /// Ends the thread.
    pub fn stop(&self) {
        self.order(Order::Stop);
    }

    fn order(&self, order: Order) {
        // Both fail only when the thread has ended, and then nobody reads anyway.
        let _ = self.orders.send(order);
        let _ = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes());
    }
}

struct Driver {
    notices: Notices,
    tails: HashMap<Arc<Path>, Tail>,
    wake: Arc<OwnedFd>,
    inbox: Receiver<Order>,
    log: Log,
}

/// Which files have news.
enum News {
    All,
    Of(Vec<Arc<Path>>),
}

impl Driver {
    fn run(mut self) {
        // When all files are looked at, whatever the kernel tells.
        let mut due = Instant::now();
        let mut news = Vec::new();
        loop {
            while let Ok(order) = self.inbox.try_recv() {
                match order {
                    Order::Follow(follow) => {
                        self.follow(follow);
                        due = Instant::now();
                    }
                    Order::Unfollow { jail, path } => self.unfollow(&jail, path.as_deref()),
                    Order::Stop => return,
                }
            }
            let all = Instant::now() >= due;
            let progress = if all { self.read_all() } else { self.read(&news) };
            let usual = match &self.notices.inotify {
                _ if self.tails.is_empty() => IDLE,
                Some(_) => RECHECK,
                None => POLL,
            };
            let pause = match progress {
                Progress { blocked: true, .. } => BLOCKED,
                Progress { lingering: true, .. } => usual.min(LINGERING),
                _ => usual,
            };
            let next = Instant::now() + pause;
            due = if all { next } else { due.min(next) };
            news = match self.wait(due.saturating_duration_since(Instant::now())) {
                News::Of(paths) => paths,
                News::All => {
                    due = Instant::now();
                    Vec::new()
                }
            };
        }
    }

    fn follow(&mut self, follow: Follow) {
        let path = Arc::clone(&follow.path);
        let tail = self.tails.entry(Arc::clone(&path)).or_insert_with(|| Tail::new(path));
        tail.follow(follow);
        self.notices.add(tail);
    }

    fn unfollow(&mut self, jail: &str, path: Option<&Path>) {
        self.tails.retain(|known, tail| {
            if path.is_none_or(|path| path == &**known) {
                tail.unfollow(jail);
            }
            tail.is_followed()
        });
        self.notices.forget(&self.tails);
    }

    fn read_all(&mut self) -> Progress {
        let mut progress = Progress::default();
        for tail in self.tails.values_mut() {
            read_one(tail, &mut self.notices, &mut progress);
        }
        self.tell(progress)
    }

    fn read(&mut self, news: &[Arc<Path>]) -> Progress {
        let mut progress = Progress::default();
        for path in news {
            if let Some(tail) = self.tails.get_mut(path) {
                read_one(tail, &mut self.notices, &mut progress);
            }
        }
        self.tell(progress)
    }

    fn tell(&mut self, mut progress: Progress) -> Progress {
        for text in progress.rotations.drain(..) {
            self.log.say(Level::MSG, "filter", text);
        }
        if progress.cut > 0 {
            let text = format!("{} line(s) longer than 1 MiB were cut there", progress.cut);
            self.log.write(&LogLine::new(Level::WARNING, "filter", text));
        }
        if progress.gone {
            self.tails.retain(|_, tail| tail.is_followed());
            self.notices.forget(&self.tails);
        }
        progress
    }

    fn wait(&mut self, pause: Duration) -> News {
        let timeout = Timespec { tv_sec: pause.as_secs() as i64, tv_nsec: i64::from(pause.subsec_nanos()) };
        let mut fds = vec![PollFd::new(&*self.wake, PollFlags::IN)];
        if let Some(inotify) = &self.notices.inotify {
            fds.push(PollFd::from_borrowed_fd(inotify.as_fd(), PollFlags::IN));
        }
        let woken = match poll(&mut fds, Some(&timeout)) {
            Ok(count) => count > 0,
            Err(Errno::INTR) => true,
            Err(_) => {
                // Cannot happen with our own descriptors; and if it does, reading on a clock still works.
                std::thread::sleep(pause);
                false
            }
        };
        if !woken {
            return News::All;
        }
        let mut drained = [0; 8];
        let _ = rustix::io::read(&*self.wake, &mut drained);
        self.notices.read()
    }
}

fn read_one(tail: &mut Tail, notices: &mut Notices, progress: &mut Progress) {
    let was_there = tail.is_present();
    let before = progress.rotations.len();
    tail.read(progress);
    // A file that came or was replaced has a new inode, and the old notice does not cover it.
    if progress.rotations.len() > before || !was_there {
        notices.add(tail);
    }
}

/// The kernel's notices: of changed files, and of files that come into a directory.
struct Notices {
    inotify: Option<Inotify>,
    files: HashMap<WatchDescriptor, Arc<Path>>,
    directories: HashMap<WatchDescriptor, PathBuf>,
}

impl Notices {
    fn add(&mut self, tail: &Tail) {
        let Some(inotify) = &mut self.inotify else { return };
        let path: Arc<Path> = tail.path().into();
        let mut watches = inotify.watches();
        // The directory first: a file created in between is then told.
        if let Some(directory) = path.parent()
            && let Ok(watch) =
                watches.add(directory, WatchMask::CREATE | WatchMask::MOVED_TO | WatchMask::MOVED_FROM)
        {
            self.directories.insert(watch, directory.to_owned());
        }
        // A missing file is no error: the directory tells when it comes.
        if let Ok(watch) = watches.add(&path, WatchMask::MODIFY) {
            self.files.insert(watch, path);
        }
    }

    fn forget(&mut self, tails: &HashMap<Arc<Path>, Tail>) {
        let Some(inotify) = &mut self.inotify else { return };
        let mut watches = inotify.watches();
        self.files.retain(|watch, path| {
            let keep = tails.contains_key(path);
            if !keep {
                // Fails when the file is gone, and the kernel has removed it already.
                let _ = watches.remove(watch.clone());
            }
            keep
        });
        self.directories.retain(|watch, directory| {
            let keep = tails.keys().any(|path| path.parent() == Some(directory));
            if !keep {
                let _ = watches.remove(watch.clone());
            }
            keep
        });
    }

    fn read(&mut self) -> News {
        let Some(inotify) = &mut self.inotify else { return News::All };
        let mut buffer = [0; 4096];
        let mut paths: Vec<Arc<Path>> = Vec::new();
        loop {
            // WouldBlock: all were read.
            let Ok(events) = inotify.read_events(&mut buffer) else { break };
            let mut any = false;
            for event in events {
                any = true;
                if event.mask.contains(EventMask::Q_OVERFLOW) {
                    return News::All;
                }
                let name: Option<OsString> = event.name.map(ToOwned::to_owned);
                let path: Option<Arc<Path>> = match (&name, self.directories.get(&event.wd)) {
                    (Some(name), Some(directory)) => Some(directory.join(name).into()),
                    _ => self.files.get(&event.wd).cloned(),
                };
                if event.mask.contains(EventMask::IGNORED) {
                    self.files.remove(&event.wd);
                    self.directories.remove(&event.wd);
                }
                if let Some(path) = path.filter(|path| !paths.contains(path)) {
                    paths.push(path);
                }
            }
            if !any {
                break;
            }
        }
        News::Of(paths)
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;
    use std::io::Write;

    use super::super::Batch;
    use super::*;
    use crate::log::{Format, Target};

    fn followed(means: Means) -> (tempfile::TempDir, Watch, Receiver<Batch>) {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::new(Target::Stderr, Format::default());
        let watch = Watch::start(means, log).unwrap();
        let (inbox, lines) = bounded(16);
        let path = dir.path().join("a.log").into();
        watch.follow(Follow { jail: "j".into(), path, position: 0, in_operation: false, inbox });
        (dir, watch, lines)
    }

    fn append(dir: &Path, text: &str) {
        let mut file = std::fs::File::options().append(true).create(true).open(dir.join("a.log")).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn next(lines: &Receiver<Batch>) -> String {
        let batch = lines.recv_timeout(Duration::from_secs(5)).expect("a line within five seconds");
        batch.text()
    }

    #[test]
    fn a_file_that_comes_later_is_read_by_both_means() {
        for means in [Means::Inotify, Means::Polling] {
            let (dir, watch, lines) = followed(means);
            std::thread::sleep(Duration::from_millis(50));
            append(dir.path(), "one\n");
            assert_eq!(next(&lines), "one\n", "{means:?}");
            std::fs::rename(dir.path().join("a.log"), dir.path().join("a.log.1")).unwrap();
            append(dir.path(), "two\n");
            assert_eq!(next(&lines), "two\n", "{means:?}");
            append(dir.path(), "three\n");
            assert_eq!(next(&lines), "three\n", "{means:?}");
            watch.stop();
        }
    }

    #[test]
    fn inotify_tells_within_milliseconds() {
        let (dir, watch, lines) = followed(Means::Inotify);
        append(dir.path(), "first\n");
        next(&lines);
        let mut best = Duration::MAX;
        for _ in 0..20 {
            let start = Instant::now();
            append(dir.path(), "again\n");
            next(&lines);
            best = best.min(start.elapsed());
        }
        watch.stop();
        assert!(best < Duration::from_millis(5), "{best:?}");
    }
}
