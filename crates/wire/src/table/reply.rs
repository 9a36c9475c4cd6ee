//! What commands answer: the types of their replies on the wire, for scripts that unpickle them.
//!
//! [`show`](crate::show) formats only what has its command's type; the manual tells the types in Python's notation.

use std::fmt;

use portcullis_value::Value;

/// The type of a reply, or of a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Whatever was given, or is stored.
    Any,
    /// `None`
    None,
    /// `bool`
    Bool,
    /// `int`
    Int,
    /// `int` or `float`
    Number,
    /// `str`
    Str,
    /// `list[…]`, of any length
    List(&'static Type),
    /// A list of these and no more
    Row(&'static [Type]),
    /// `tuple[…]`
    Tuple(&'static [Type]),
    /// `dict[str, …]`
    Dict(&'static Type),
    /// One of these.
    OneOf(&'static [Type]),
}

/// What every question about a list of names, files, expressions answers.
pub(super) const TEXTS: Type = Type::List(&Type::Str);
/// A text, or nothing.
pub(super) const PERHAPS_TEXT: Type = Type::OneOf(&[Type::None, Type::Str]);
/// A whole number, or nothing.
pub(super) const PERHAPS_INT: Type = Type::OneOf(&[Type::None, Type::Int]);
/// Lists of words.
pub(super) const MATCHES: Type = Type::List(&TEXTS);
/// A pattern and its name.
pub(super) const DATE_PATTERN: Type = Type::OneOf(&[Type::None, Type::Tuple(&[PERHAPS_TEXT, Type::Str])]);
/// A key, a number and a time.
pub(super) const IGNORE_CACHE: Type =
    Type::OneOf(&[Type::None, Type::Row(&[Type::Str, Type::Int, Type::Number])]);
/// Names and values of a status.
const PAIRS: Type =
    Type::List(&Type::Tuple(&[Type::Str, Type::OneOf(&[Type::Int, Type::Str, Type::List(&Type::Any)])]));
/// How a jail is, in numbers: backend, failures and bans (present, total).
const NUMBERS: Type =
    Type::Row(&[Type::Str, Type::Tuple(&[Type::Int, Type::Int]), Type::Tuple(&[Type::Int, Type::Int])]);
/// `status JAIL`
const JAIL_STATUS: Type = Type::OneOf(&[Type::List(&Type::Tuple(&[Type::Str, PAIRS])), NUMBERS]);
/// `status --all`: the pairs of `status`, then each jail's status.
const ALL_STATUS: Type = Type::List(&Type::OneOf(&[
    Type::Tuple(&[Type::Str, Type::OneOf(&[Type::Int, Type::Str])]),
    Type::Dict(&JAIL_STATUS),
]));
/// `status`, `status JAIL`, `status --all`
pub(super) const STATUS: Type = Type::OneOf(&[PAIRS, JAIL_STATUS, ALL_STATUS]);
/// `stats`
pub(super) const STATS: Type = Type::Dict(&NUMBERS);
/// `banned`: who is banned in each jail; or for each address the jails that ban it.
pub(super) const BANNED: Type = Type::OneOf(&[Type::List(&Type::Dict(&TEXTS)), Type::List(&TEXTS)]);
/// `get JAIL banned`: who is; or whether, for one address or several.
pub(super) const JAIL_BANNED: Type = Type::OneOf(&[TEXTS, Type::Int, Type::List(&Type::Int)]);

impl Type {
    /// Whether the value is of this type.
    pub fn fits(self, value: &Value) -> bool {
        match (self, value) {
            (Type::Any, _)
            | (Type::None, Value::None)
            | (Type::Bool, Value::Bool(_))
            | (Type::Int, Value::Int(_))
            | (Type::Number, Value::Int(_) | Value::Float(_))
            | (Type::Str, Value::Str(_)) => true,
            (Type::List(of), Value::List(items)) => items.iter().all(|item| of.fits(item)),
            (Type::Row(of), Value::List(items)) | (Type::Tuple(of), Value::Tuple(items)) => {
                of.len() == items.len() && of.iter().zip(items).all(|(of, item)| of.fits(item))
            }
            (Type::Dict(of), Value::Dict(items)) => {
                items.iter().all(|(key, value)| Type::Str.fits(key) && of.fits(value))
            }
            (Type::OneOf(types), value) => types.iter().any(|one| one.fits(value)),
            _ => false,
        }
    }
}

/// In Python's notation: `list[tuple[str, int | str]]`.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separated = |f: &mut fmt::Formatter<'_>, types: &[Type], separator: &str| {
            types.iter().enumerate().try_for_each(|(index, one)| {
                let before = if index == 0 { "" } else { separator };
                write!(f, "{before}{one}")
            })
        };
        match self {
            Type::Any => f.write_str("Any"),
            Type::None => f.write_str("None"),
            Type::Bool => f.write_str("bool"),
            Type::Int => f.write_str("int"),
            Type::Number => f.write_str("int | float"),
            Type::Str => f.write_str("str"),
            Type::List(of) => write!(f, "list[{of}]"),
            Type::Row(types) => {
                f.write_str("list[")?;
                separated(f, types, ", ")?;
                f.write_str("]")
            }
            Type::Tuple(types) => {
                f.write_str("tuple[")?;
                separated(f, types, ", ")?;
                f.write_str("]")
            }
            Type::Dict(of) => write!(f, "dict[str, {of}]"),
            Type::OneOf(types) => separated(f, types, " | "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_strict_about_lists_tuples_and_numbers() {
        let pair = |first: Value, second: Value| Value::Tuple(vec![first, second]);
        assert!(STATUS.fits(&Value::List(vec![pair("Number of jail".into(), Value::Int(1))])));
        assert!(!STATUS.fits(&Value::Tuple(vec![pair("Number of jail".into(), Value::Int(1))])));
        assert!(!TEXTS.fits(&Value::List(vec![Value::Int(1)])));
        assert!(!Type::Int.fits(&Value::Bool(true)) && !Type::Int.fits(&Value::Float(1.0)));
        assert!(Type::Number.fits(&Value::Float(1.5)) && !Type::Number.fits(&"1".into()));
        assert!(!DATE_PATTERN.fits(&pair("x".into(), Value::None)));
        assert!(!NUMBERS.fits(&Value::List(vec!["polling".into()])));
        assert!(!STATS.fits(&Value::Dict(vec![(Value::Int(1), Value::List(vec![]))])));
    }

    #[test]
    fn a_type_is_written_as_python_writes_it() {
        assert_eq!(STATS.to_string(), "dict[str, list[str, tuple[int, int], tuple[int, int]]]");
        assert_eq!(DATE_PATTERN.to_string(), "None | tuple[None | str, str]");
        assert_eq!(JAIL_BANNED.to_string(), "list[str] | int | list[int]");
    }
}
