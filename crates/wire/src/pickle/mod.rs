//! Python's pickle, as far as plain values need it.
//!
//! Written is protocol 5, byte for byte what CPython 3.11 writes. Read are protocols 0 to 5, data only: nothing in a pickle is
//! ever looked up or called, and depth, size and number of items are bounded.

mod decode;
mod encode;
mod literal;
mod opcode;

pub use decode::{Classes, Limits, decode};
pub use encode::encode;

/// Why bytes are no acceptable pickle; the words are Python's where Python would refuse them too.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing is left where an opcode should be.
    #[error("Ran out of input")]
    OutOfInput,
    /// The bytes end within an argument.
    #[error("pickle data was truncated")]
    Truncated,
    /// No such opcode.
    #[error("invalid load key, '{}'.", shown_byte(*.0))]
    InvalidOpcode(u8),
    /// A protocol newer than 5.
    #[error("unsupported pickle protocol: {0}")]
    Protocol(u8),
    /// An opcode needs more operands than there are.
    #[error("unpickling stack underflow")]
    Underflow,
    /// An opcode needs a mark that was not set.
    #[error("could not find MARK")]
    NoMark,
    /// A memo slot that was not written.
    #[error("Memo value not found at index {0}")]
    NoMemo(u64),
    /// An operand of another type than the opcode works on.
    #[error("unexpected operand of opcode {}", shown_byte(*.0))]
    Operand(u8),
    /// The same, where Python names the type and what it cannot do.
    #[error("'{0}' object {1}")]
    Object(String, &'static str),
    /// Bytes that are no text in the encoding they should have.
    #[error("'{codec}' codec can't decode {} in position {}: {reason}", shown_bytes(.bytes), shown_range(*.at, .bytes.len()))]
    Text {
        /// The encoding.
        codec: &'static str,
        /// What cannot be decoded.
        bytes: Vec<u8>,
        /// Where that begins.
        at: usize,
        /// Why it cannot.
        reason: &'static str,
    },
    /// A string of protocol 0 without its quotes.
    #[error("the STRING opcode argument must be quoted")]
    Unquoted,
    /// A string of protocol 0 with half an escape.
    #[error("invalid \\x escape at position {0}")]
    Escape(usize),
    /// A string of protocol 0 that ends in the middle of an escape.
    #[error("Trailing \\ in string")]
    TrailingBackslash,
    /// A number that is none.
    #[error("{0}")]
    Number(String),
    /// A memo slot below 0.
    #[error("negative PUT argument")]
    NegativePut,
    /// A length below 0.
    #[error("LONG pickle has negative byte count")]
    NegativeCount,
    /// A key without a value.
    #[error("odd number of items for {0}")]
    OddItems(&'static str),
    /// The end, where a mark is still open.
    #[error("unexpected MARK found")]
    UnexpectedMark,
    /// Text of a number or a string that is none.
    #[error("malformed argument of opcode {}", shown_byte(*.0))]
    Argument(u8),
    /// A class, function or object: this is data only.
    #[error("a pickle must hold plain data, not {0}")]
    Class(String),
    /// An integer beyond 64 bits.
    #[error("integer is too big")]
    BigInteger,
    /// More bytes, items or levels than allowed.
    #[error("pickle exceeds the limit of {0}")]
    Limit(&'static str),
}

/// `byte 0xc3` or `bytes`
fn shown_bytes(bytes: &[u8]) -> String {
    if let [byte] = bytes { format!("byte 0x{byte:02x}") } else { "bytes".to_owned() }
}

/// `4` or `4-5`
fn shown_range(at: usize, length: usize) -> String {
    if length == 1 { at.to_string() } else { format!("{at}-{}", (at + length).saturating_sub(1)) }
}

fn shown_byte(byte: u8) -> String {
    match byte {
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    }
}

#[cfg(test)]
mod tests;
