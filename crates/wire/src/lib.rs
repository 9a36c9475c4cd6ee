//! What goes over the control socket: the command table, requests, replies and how they are shown as text.
//!
//! Nothing here does I/O: bytes and values go in, bytes, requests and text come out.

mod encodings;
pub mod event;
pub mod frame;
pub mod pickle;
pub mod request;
pub mod show;
pub mod table;
mod words;

pub use request::Request;
pub use words::missing_argument;
