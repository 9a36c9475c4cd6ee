//! Arithmetic that users write in a configuration: `bantime.formula`, `bantime.factor`, times like `2*3600`.
//!
//! Fail2ban hands such text to Python's `eval()`, as root. Here it is a small language of numbers with Python's syntax and
//! semantics: nothing can be called but the functions listed at [`Program::parse`], and time and memory are bounded.

mod eval;
mod lex;
mod parse;

use crate::{Exception, Number, Value};

/// The longest text that is read as an expression, in bytes.
pub const MAX_LENGTH: usize = 1024;
/// How deep an expression may nest.
pub const MAX_DEPTH: usize = 32;

/// A parsed expression.
///
/// Integers are computed with 128 bits and saturate there; the result saturates at 64. A ban time of that size is
/// longer than the universe is old, so no comparison with `bantime.maxtime` changes by it.
#[derive(Clone, Debug)]
pub struct Program {
    root: parse::Node,
    scope: Scope,
}

/// Which names exist without the caller's help.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scope {
    /// Built-in functions only: time expressions.
    Builtins,
    /// These and `math.…`.
    Math,
}

/// Text that is no expression: Python's message, and the place.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// Python's words: `invalid syntax`.
    pub message: String,
    /// The text as it was parsed.
    pub text: String,
    /// Line, 1 unless the text is empty.
    pub line: usize,
    /// Column of the offending word, from 1; 0 at the unexpected end.
    pub offset: usize,
    /// Column after the offending word, as Python counts.
    pub end_offset: usize,
}

/// An expression that cannot be computed, as Python's exception: `NameError`, `ZeroDivisionError`, …
pub type EvalError = Exception;

impl Program {
    /// Reads a formula.
    ///
    /// Literals, `+ - * / // % **`, `<< >> & | ^ ~`, comparisons (chained too), `and or not`, `A if C else B`; the
    /// functions `float int round min max abs pow`, `math.exp log log2 log10 sqrt pow ceil floor`; `math.pi`, `math.e`.
    ///
    /// # Errors
    /// Anything else, and text beyond [`MAX_LENGTH`] or [`MAX_DEPTH`].
    pub fn parse(text: &str) -> Result<Program, SyntaxError> {
        Ok(Program { root: parse::parse(text)?, scope: Scope::Math })
    }

    /// Like [`Program::parse`], without `math`.
    pub(crate) fn parse_plain(text: &str) -> Result<Program, SyntaxError> {
        Ok(Program { root: parse::parse(text)?, scope: Scope::Builtins })
    }

    /// Computes it. `names` knows the variables by their whole name: `ban.Time`, `banFactor`.
    ///
    /// # Errors
    /// Python's exception for an unknown name, a division by zero, a wrong number of arguments and the like.
    pub fn eval(&self, names: &dyn Fn(&str) -> Option<Number>) -> Result<Number, EvalError> {
        eval::eval(&self.root, self.scope, names)
    }
}

impl SyntaxError {
    fn at(message: impl Into<String>, text: &str, offset: usize, end_offset: usize) -> Self {
        let message = message.into();
        // Python calls the place in an empty text line 0.
        let line = usize::from(!text.trim().is_empty());
        SyntaxError { message, text: text.to_owned(), line, offset, end_offset }
    }

    /// The exception that Python raises for it. `file` is what Python calls the text: `<string>`.
    pub fn exception(&self, file: &str) -> Exception {
        if self.text.contains('\0') {
            return Exception::builtin("ValueError", "source code string cannot contain null bytes");
        }
        let number = |n: usize| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
        let place = vec![
            file.into(),
            number(self.line),
            number(self.offset),
            self.text.as_str().into(),
            number(self.line),
            number(self.end_offset),
        ];
        Exception {
            class: "builtins.SyntaxError".into(),
            args: vec![self.message.as_str().into(), Value::Tuple(place)],
        }
    }
}

#[cfg(test)]
mod tests;
