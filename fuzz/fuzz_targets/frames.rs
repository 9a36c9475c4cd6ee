//! Any bytes on the socket, in any pieces: the same messages as in one piece, and never more held than allowed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_wire::frame::{Message, Splitter};

const LIMIT: usize = 1024;

fn split<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Option<Vec<Message>> {
    let (mut splitter, mut messages) = (Splitter::new(LIMIT), Vec::new());
    for piece in pieces {
        splitter.push(piece).ok()?;
        messages.extend(std::iter::from_fn(|| splitter.message()));
    }
    Some(messages)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let piecewise = split(bytes.chunks(usize::from(size) + 1));
    let whole = split(std::iter::once(bytes));
    if let (Some(piecewise), Some(whole)) = (piecewise, whole) {
        assert_eq!(piecewise, whole);
    }
});
