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

fn shown_byte(byte: u8) -> String {
    match byte {
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    }
}

#[cfg(test)]
mod tests;
