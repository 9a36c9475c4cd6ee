//! Any text as a regex: it is refused with a reason, or it becomes an engine of bounded size.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_jail::filter::Filter;

fuzz_target!(|text: &str| {
    let mut filter = Filter::new();
    filter.set_maxlines(1 + text.len() % 2);
    let _ = filter.set_prefregex(text);
    if let Err(error) = filter.add_failregex(text) {
        assert!(!error.to_string().is_empty());
    }
    let _ = filter.add_ignoreregex(text);
    filter.engines();
});
