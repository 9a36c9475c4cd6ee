//! Any bytes as a pickle: refused, or a value that stays the same through writing and reading.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_wire::pickle::{Classes, Limits, decode, encode};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { bytes: 1 << 16, items: 1 << 12, depth: 32 };
    let _ = decode(bytes, Classes::Refused, limits);
    let Ok(value) = decode(bytes, Classes::Replies, limits) else { return };
    let written = encode(&value);
    let again = decode(&written, Classes::Replies, Limits::default()).expect("our own pickle");
    // Numbers that are none differ from themselves; their text does not.
    assert_eq!(format!("{again:?}"), format!("{value:?}"));
});
