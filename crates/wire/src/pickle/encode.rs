//! Values to bytes: protocol 5, the same bytes as CPython's C pickler.
//!
//! CPython remembers every object it has written, by identity, and refers back to it. Values have no identity; what
//! Python shares by itself, the strings of at most one Latin-1 character and a class named twice, is shared here too.

use std::collections::HashMap;

use portcullis_value::{Exception, Value};

// The opcodes are the vocabulary of this file.
#[allow(clippy::wildcard_imports)]
use super::opcode::*;

/// A frame is closed once it has reached this size, and longer texts stand outside of frames.
const FRAME_TARGET: usize = 64 * 1024;
/// A frame that would be shorter is left out.
const FRAME_MIN: usize = 4;
/// How many items one `APPENDS` takes.
const BATCH: usize = 1000;

/// The value as a pickle. Nested values recurse; those we build are a few levels deep.
pub fn encode(value: &Value) -> Vec<u8> {
    let mut pickler = Pickler { out: vec![PROTO, 5], frame: None, memo: 0, shared: HashMap::new() };
    pickler.save(value);
    pickler.write(&[STOP]);
    pickler.close_frame();
    pickler.out
}

struct Pickler {
    out: Vec<u8>,
    /// Where the open frame's opcode stands.
    frame: Option<usize>,
    /// How many memo slots are taken.
    memo: u32,
    /// Slots of objects that Python shares.
    shared: HashMap<String, u32>,
}

impl Pickler {
    fn write(&mut self, bytes: &[u8]) {
        if self.frame.is_none() {
            self.frame = Some(self.out.len());
            // The length follows when the frame is closed.
            self.out.extend([FRAME, 0, 0, 0, 0, 0, 0, 0, 0]);
        }
        self.out.extend(bytes);
    }

    fn close_frame(&mut self) {
        let Some(begin) = self.frame.take() else { return };
        let content = begin + 9;
        let length = self.out.len() - content;
        if length < FRAME_MIN {
            self.out.drain(begin..content);
        } else {
            self.out[begin + 1..content].copy_from_slice(&(length as u64).to_le_bytes());
        }
    }

    /// Text or bytes: an opcode for its length, the length, the content.
    fn write_counted(&mut self, [short, medium, long]: [u8; 3], content: &[u8]) {
        let length = content.len();
        // No allocation: an answer may hold a hundred thousand texts.
        let mut header = [0; 9];
        header[1..].copy_from_slice(&(length as u64).to_le_bytes());
        let (opcode, size) = match length {
            0..=0xff => (short, 1),
            0x100..=0xffff_ffff => (medium, 4),
            _ => (long, 8),
        };
        header[0] = opcode;
        let header = &header[..=size];
        if length < FRAME_TARGET {
            self.write(header);
            self.write(content);
        } else {
            self.close_frame();
            self.out.extend(header);
            self.out.extend(content);
        }
    }

    fn memoize(&mut self) -> u32 {
        self.write(&[MEMOIZE]);
        self.memo += 1;
        self.memo - 1
    }

    fn refer(&mut self, slot: u32) {
        match u8::try_from(slot) {
            Ok(slot) => self.write(&[BINGET, slot]),
            Err(_) => self.write(&[&[LONG_BINGET][..], &slot.to_le_bytes()].concat()),
        }
    }

    fn save(&mut self, value: &Value) {
        match value {
            Value::None => self.write(&[NONE]),
            Value::Bool(truth) => self.write(&[if *truth { NEWTRUE } else { NEWFALSE }]),
            Value::Int(number) => self.save_int(*number),
            Value::Float(number) => self.write(&[&[BINFLOAT][..], &number.to_be_bytes()].concat()),
            Value::Str(text) => self.save_str(text),
            Value::Bytes(bytes) => {
                self.write_counted([SHORT_BINBYTES, BINBYTES, BINBYTES8], bytes);
                self.memoize();
            }
            Value::List(items) => {
                self.write(&[EMPTY_LIST]);
                self.memoize();
                match items.as_slice() {
                    [one] => {
                        self.save(one);
                        self.write(&[APPEND]);
                    }
                    many => self.batches(many, APPENDS, Self::save),
                }
            }
            Value::Set(items) => {
                self.write(&[EMPTY_SET]);
                self.memoize();
                self.batches(items, ADDITEMS, Self::save);
            }
            Value::Dict(items) => {
                self.write(&[EMPTY_DICT]);
                self.memoize();
                let save_pair = |this: &mut Self, (key, value): &(Value, Value)| {
                    this.save(key);
                    this.save(value);
                };
                match items.as_slice() {
                    [one] => {
                        save_pair(self, one);
                        self.write(&[SETITEM]);
                    }
                    many => self.batches(many, SETITEMS, save_pair),
                }
            }
            Value::Tuple(items) => self.save_tuple(items),
            Value::Exception(exception) => self.save_exception(exception),
        }
        // CPython looks here whether the frame is full.
        if self.frame.is_some_and(|begin| self.out.len() - begin - 9 >= FRAME_TARGET) {
            self.close_frame();
        }
    }

    fn save_int(&mut self, number: i64) {
        if let Ok(number) = u8::try_from(number) {
            self.write(&[BININT1, number]);
        } else if let Ok(number) = u16::try_from(number) {
            self.write(&[&[BININT2][..], &number.to_le_bytes()].concat());
        } else if let Ok(number) = i32::try_from(number) {
            self.write(&[&[BININT][..], &number.to_le_bytes()].concat());
        } else {
            // As few bytes as keep the sign.
            let bytes = number.to_le_bytes();
            let mut length = bytes.len();
            let sign = if number < 0 { 0xff } else { 0 };
            while bytes[length - 1] == sign && bytes[length - 2] & 0x80 == sign & 0x80 {
                length -= 1;
            }
            self.write(&[&[LONG1, length as u8][..], &bytes[..length]].concat());
        }
    }

    fn save_str(&mut self, text: &str) {
        let shared = text.chars().nth(1).is_none() && text.chars().all(|c| u32::from(c) < 256);
        if shared && let Some(slot) = self.shared.get(text) {
            return self.refer(*slot);
        }
        self.write_counted([SHORT_BINUNICODE, BINUNICODE, BINUNICODE8], text.as_bytes());
        let slot = self.memoize();
        if shared {
            self.shared.insert(text.to_owned(), slot);
        }
    }

    fn save_tuple(&mut self, items: &[Value]) {
        let opcode = match items.len() {
            0 => return self.write(&[EMPTY_TUPLE]),
            1 => TUPLE1,
            2 => TUPLE2,
            3 => TUPLE3,
            _ => TUPLE,
        };
        if opcode == TUPLE {
            self.write(&[MARK]);
        }
        for item in items {
            self.save(item);
        }
        self.write(&[opcode]);
        self.memoize();
    }

    fn save_exception(&mut self, exception: &Exception) {
        // A class name has characters to spare, so it cannot be mistaken for a shared string.
        match self.shared.get(&exception.class) {
            Some(slot) if exception.class.contains('.') => self.refer(*slot),
            _ => {
                let (module, name) =
                    exception.class.rsplit_once('.').unwrap_or(("builtins", &exception.class));
                self.save(&Value::from(module));
                self.save(&Value::from(name));
                self.write(&[STACK_GLOBAL]);
                let slot = self.memoize();
                self.shared.insert(exception.class.clone(), slot);
            }
        }
        self.save(&Value::Tuple(exception.args.clone()));
        self.write(&[REDUCE]);
        self.memoize();
    }

    fn batches<T>(&mut self, items: &[T], opcode: u8, mut save: impl FnMut(&mut Self, &T)) {
        for batch in items.chunks(BATCH) {
            self.write(&[MARK]);
            for item in batch {
                save(self, item);
            }
            self.write(&[opcode]);
        }
    }
}
