//! Python's regular expressions, exactly: filters are written in Python's dialect and must mean here what they mean there.
//!
//! A pattern is parsed into a tree of our own ([`ast`], [`parse`], with Python's own error messages). From the tree come
//! three things: an exact program for the linear-time engine, when the pattern is regular ([`linear`]); an exact program
//! for a backtracking engine with a memory, for all others ([`program`], [`backtrack`]); and a superset of the pattern
//! that is always regular, for the automaton which decides whether a line can match at all ([`linear::superset`]).

mod ast;
mod backtrack;
mod class;
mod linear;
mod parse;
mod peek;
mod place;
mod program;
mod regex;
mod rewrite;
mod scratch;
mod spans;

pub(crate) use ast::{Assertion, Greed, Node};
pub(crate) use backtrack::TooHard;
pub(crate) use linear::{Scene, anything, is_any_of_line, is_own_superset, subset, superset};
pub(crate) use regex::{Captures, Regex};
pub(crate) use scratch::Scratch;

#[cfg(test)]
mod tests;
