//! Any words as a request: a command or the exception that Fail2ban raises; its reply can be shown.
//!
//! The input is a pickle, or words with a NUL behind each.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_value::Value;
use portcullis_wire::Request;
use portcullis_wire::pickle::{Classes, Limits, decode};
use portcullis_wire::show;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { bytes: 1 << 16, items: 1 << 12, depth: 32 };
    let text = String::from_utf8_lossy(bytes);
    let words: Vec<Value> = text.split('\0').map(Value::from).collect();
    let request = decode(bytes, Classes::Refused, limits).unwrap_or(Value::List(words));
    if let Err(exception) = Request::from_value(&request) {
        show::exception(&exception);
    }
});
