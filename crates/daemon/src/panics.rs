//! A bad line costs that line: a panic while a line is judged is caught where it is judged. Any other ends the process,
//! before it can do its work half; whoever supervises it starts it again, and the database has what counts.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::log::Log;

thread_local! {
    /// This thread is at a line.
    static JUDGING: Cell<bool> = const { Cell::new(false) };
}

/// Tells of every panic in the log, and ends the process unless a line is to blame.
pub(crate) fn install(log: Log) {
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let text = format!("internal error in {}: {panic}", thread.name().unwrap_or("a thread"));
        log.error("server", text);
        if !JUDGING.get() {
            log.finish();
            std::process::abort();
        }
    }));
}

/// Does something about a line. `None` when it panicked; what it was working on must be taken for half done.
pub(crate) fn contained<T>(work: impl FnOnce() -> T) -> Option<T> {
    JUDGING.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    JUDGING.set(false);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_over_a_line_is_contained() {
        let log = Log::new(crate::log::Target::Stderr, crate::log::Format::default());
        install(log);
        assert_eq!(contained(|| 7), Some(7));
        assert_eq!(contained(|| -> i32 { panic!("a line that nobody thought of") }), None);
    }
}
