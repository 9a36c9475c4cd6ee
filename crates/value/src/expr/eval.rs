//! From the tree to the number, with Python's arithmetic.

use super::parse::Node;
use super::{EvalError, Scope};
use crate::{Exception, Number};

/// A number while it is computed: wider than what comes out.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Num {
    Int(i128),
    Float(f64),
}

use Num::{Float, Int};

type Names<'n> = &'n dyn Fn(&str) -> Option<Number>;

pub(super) fn eval(root: &Node, scope: Scope, names: Names<'_>) -> Result<Number, EvalError> {
    Ok(match (Evaluation { scope, names }).value(root)? {
        Int(number) => Number::Int(number.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64),
        Float(number) => Number::Float(number),
    })
}

/// Nesting recurses, and by nesting alone: `value` and each of its arms is small, so that a small stack suffices.
struct Evaluation<'n> {
    scope: Scope,
    names: Names<'n>,
}

impl Evaluation<'_> {
    fn value(&self, node: &Node) -> Result<Num, EvalError> {
        match node {
            Node::Int(number) => Ok(Int(*number)),
            Node::Float(number) => Ok(Float(*number)),
            Node::Name(name) => lookup(name, self.scope, self.names),
            Node::Call(function, arguments) => self.call(function, arguments),
            Node::Unary(op, operand) => unary(op, self.value(operand)?),
            Node::Power(base, exponent) => power(self.value(base)?, self.value(exponent)?),
            Node::Chain(first, rest) => self.chain(first, rest),
            Node::Compare(first, rest) => self.compare(first, rest),
            Node::And(operands) => self.first(operands, false),
            Node::Or(operands) => self.first(operands, true),
            Node::If { condition, then, otherwise } => {
                if self.value(condition)?.is_true() {
                    self.value(then)
                } else {
                    self.value(otherwise)
                }
            }
        }
    }

    fn call(&self, function: &str, arguments: &[Node]) -> Result<Num, EvalError> {
        let mut numbers = Vec::with_capacity(arguments.len());
        for argument in arguments {
            numbers.push(self.value(argument)?);
        }
        call(function, &numbers, self.scope, self.names)
    }

    fn chain(&self, first: &Node, rest: &[(&str, Node)]) -> Result<Num, EvalError> {
        let mut left = self.value(first)?;
        for (op, right) in rest {
            left = binary(op, left, self.value(right)?)?;
        }
        Ok(left)
    }

    fn compare(&self, first: &Node, rest: &[(&str, Node)]) -> Result<Num, EvalError> {
        let mut left = self.value(first)?;
        for (op, right) in rest {
            let right = self.value(right)?;
            if !compare(op, left, right) {
                return Ok(Int(0));
            }
            left = right;
        }
        Ok(Int(1))
    }

    /// The first operand that is true (or false), else the last.
    fn first(&self, operands: &[Node], truth: bool) -> Result<Num, EvalError> {
        let mut value = Int(0);
        for operand in operands {
            value = self.value(operand)?;
            if value.is_true() == truth {
                break;
            }
        }
        Ok(value)
    }
}

impl Num {
    fn is_true(self) -> bool {
        self.float() != 0.0
    }

    fn float(self) -> f64 {
        match self {
            Int(number) => number as f64,
            Float(number) => number,
        }
    }

    /// A whole number out of a float, which must be finite.
    fn whole(number: f64) -> Result<Num, EvalError> {
        // Says what is wrong with the infinities and NaN.
        Number::Float(number).trunc()?;
        Ok(Int(number as i128))
    }

    fn type_name(self) -> &'static str {
        match self {
            Int(_) => "int",
            Float(_) => "float",
        }
    }
}

fn error(class: &str, message: impl Into<String>) -> EvalError {
    Exception::builtin(class, message)
}

fn lookup(name: &str, scope: Scope, names: Names<'_>) -> Result<Num, EvalError> {
    if let Some(number) = names(name) {
        return Ok(match number {
            Number::Int(number) => Int(i128::from(number)),
            Number::Float(number) => Float(number),
        });
    }
    match (name.split_once('.'), scope) {
        (Some(("math", "pi")), Scope::Math) => Ok(Float(std::f64::consts::PI)),
        (Some(("math", "e")), Scope::Math) => Ok(Float(std::f64::consts::E)),
        (Some(("math", "tau")), Scope::Math) => Ok(Float(std::f64::consts::TAU)),
        (Some(("math", "inf")), Scope::Math) => Ok(Float(f64::INFINITY)),
        (Some(("math", attribute)), Scope::Math) => {
            Err(error("AttributeError", format!("module 'math' has no attribute '{attribute}'")))
        }
        (Some((root, _)), _) => Err(undefined(root)),
        (None, _) => Err(undefined(name)),
    }
}

/// Python shows 200 bytes of a name at most.
fn undefined(name: &str) -> EvalError {
    let shown = String::from_utf8_lossy(&name.as_bytes()[..name.len().min(200)]);
    error("NameError", format!("name '{shown}' is not defined"))
}

fn unary(op: &str, operand: Num) -> Result<Num, EvalError> {
    Ok(match (op, operand) {
        ("not", operand) => Int(i128::from(!operand.is_true())),
        ("-", Int(number)) => Int(number.saturating_neg()),
        ("-", Float(number)) => Float(-number),
        ("~", Int(number)) => Int(!number),
        ("~", Float(_)) => return Err(error("TypeError", "bad operand type for unary ~: 'float'")),
        (_, operand) => operand,
    })
}

fn compare(op: &str, left: Num, right: Num) -> bool {
    let order = match (left, right) {
        (Int(left), Int(right)) => Some(left.cmp(&right)),
        (left, right) => left.float().partial_cmp(&right.float()),
    };
    match op {
        "<" => order.is_some_and(std::cmp::Ordering::is_lt),
        ">" => order.is_some_and(std::cmp::Ordering::is_gt),
        "<=" => order.is_some_and(std::cmp::Ordering::is_le),
        ">=" => order.is_some_and(std::cmp::Ordering::is_ge),
        "==" => order.is_some_and(std::cmp::Ordering::is_eq),
        _ => !order.is_some_and(std::cmp::Ordering::is_eq),
    }
}

fn binary(op: &str, left: Num, right: Num) -> Result<Num, EvalError> {
    if let "<<" | ">>" | "&" | "|" | "^" = op {
        let (Int(left), Int(right)) = (left, right) else {
            let (left, right) = (left.type_name(), right.type_name());
            let message = format!("unsupported operand type(s) for {op}: '{left}' and '{right}'");
            return Err(error("TypeError", message));
        };
        return match op {
            "&" => Ok(Int(left & right)),
            "|" => Ok(Int(left | right)),
            "^" => Ok(Int(left ^ right)),
            _ if right < 0 => Err(error("ValueError", "negative shift count")),
            ">>" => Ok(Int(left >> right.min(127))),
            _ => Ok(Int(shift_left(left, right))),
        };
    }
    match (op, left, right) {
        ("**", left, right) => power(left, right),
        ("/", left, right) => {
            if right.float() == 0.0 {
                let kind = if matches!((left, right), (Int(_), Int(_))) { "" } else { "float " };
                return Err(error("ZeroDivisionError", format!("{kind}division by zero")));
            }
            Ok(Float(left.float() / right.float()))
        }
        ("//", Int(_), Int(0)) => Err(error("ZeroDivisionError", "integer division or modulo by zero")),
        ("%", Int(_), Int(0)) => Err(error("ZeroDivisionError", "integer modulo by zero")),
        ("+", Int(left), Int(right)) => Ok(Int(left.saturating_add(right))),
        ("-", Int(left), Int(right)) => Ok(Int(left.saturating_sub(right))),
        ("*", Int(left), Int(right)) => Ok(Int(left.saturating_mul(right))),
        ("//", Int(left), Int(right)) => Ok(Int(floor_division(left, right))),
        ("%", Int(left), Int(right)) => {
            Ok(Int(left.saturating_sub(floor_division(left, right).saturating_mul(right))))
        }
        (op, left, right) => {
            let (left, right) = (left.float(), right.float());
            Ok(Float(match op {
                "+" => left + right,
                "-" => left - right,
                "*" => left * right,
                "//" if right == 0.0 => {
                    return Err(error("ZeroDivisionError", "float floor division by zero"));
                }
                "%" if right == 0.0 => return Err(error("ZeroDivisionError", "float modulo")),
                "//" => (left - float_modulo(left, right)) / right,
                _ => float_modulo(left, right),
            }))
        }
    }
}

fn floor_division(left: i128, right: i128) -> i128 {
    let quotient = left.saturating_div(right);
    let exact = quotient.saturating_mul(right) == left;
    if exact || (left < 0) == (right < 0) { quotient } else { quotient - 1 }
}

/// The remainder with the divisor's sign.
fn float_modulo(left: f64, right: f64) -> f64 {
    let rest = left % right;
    if rest != 0.0 && (rest < 0.0) != (right < 0.0) { rest + right } else { rest }
}

fn shift_left(left: i128, right: i128) -> i128 {
    match u32::try_from(right) {
        Ok(bits) if bits < 127 => left.saturating_mul(1 << bits),
        _ => left.saturating_mul(i128::MAX),
    }
}

fn power(base: Num, exponent: Num) -> Result<Num, EvalError> {
    if let (Int(base), Int(exponent)) = (base, exponent)
        && exponent >= 0
    {
        // From 128 on it is -1, 0, 1 or has long saturated; the parity keeps the sign right.
        let exponent = if exponent > 128 { 128 + exponent % 2 } else { exponent };
        return Ok(Int(base.saturating_pow(exponent as u32)));
    }
    let (base, exponent) = (base.float(), exponent.float());
    if base == 0.0 && exponent < 0.0 {
        return Err(error("ZeroDivisionError", "0.0 cannot be raised to a negative power"));
    }
    if base < 0.0 && base.is_finite() && exponent.fract() != 0.0 {
        return Err(error("ValueError", "negative number cannot be raised to a fractional power"));
    }
    let result = base.powf(exponent);
    if result.is_infinite() && base.is_finite() && exponent.is_finite() {
        let args = vec![34.into(), "Numerical result out of range".into()];
        return Err(Exception { class: "builtins.OverflowError".into(), args });
    }
    Ok(Float(result))
}

fn call(function: &str, arguments: &[Num], scope: Scope, names: Names<'_>) -> Result<Num, EvalError> {
    match (function, arguments) {
        ("float", []) => Ok(Float(0.0)),
        ("float", [one]) => Ok(Float(one.float())),
        ("int", []) => Ok(Int(0)),
        ("int" | "round", [Int(number)]) => Ok(Int(*number)),
        ("int", [Float(number)]) => Num::whole(*number),
        ("round", [Float(number)]) => Num::whole(number.round_ties_even()),
        ("round", [number, Int(digits)]) => Ok(round(*number, *digits)),
        ("abs", [Int(number)]) => Ok(Int(number.saturating_abs())),
        ("abs", [Float(number)]) => Ok(Float(number.abs())),
        ("pow", [base, exponent]) => power(*base, *exponent),
        ("min" | "max", [first, rest @ ..]) if !rest.is_empty() => {
            let op = if function == "min" { "<" } else { ">" };
            Ok(rest.iter().fold(*first, |best, next| if compare(op, *next, best) { *next } else { best }))
        }
        ("min" | "max", [one]) => {
            Err(error("TypeError", format!("'{}' object is not iterable", one.type_name())))
        }
        ("min" | "max", []) => {
            Err(error("TypeError", format!("{function} expected at least 1 argument, got 0")))
        }
        ("float" | "int" | "round" | "abs" | "pow", _) => {
            Err(error("TypeError", format!("{function}() takes another number of arguments")))
        }
        _ => match function.strip_prefix("math.") {
            Some(name) if scope == Scope::Math => math(name, arguments),
            _ => {
                let kind = lookup(function, scope, names)?.type_name();
                Err(error("TypeError", format!("'{kind}' object is not callable")))
            }
        },
    }
}

fn math(name: &str, arguments: &[Num]) -> Result<Num, EvalError> {
    let domain = || error("ValueError", "math domain error");
    let result = match (name, arguments) {
        ("ceil" | "floor", [Int(number)]) => return Ok(Int(*number)),
        ("ceil", [Float(number)]) => return Num::whole(number.ceil()),
        ("floor", [Float(number)]) => return Num::whole(number.floor()),
        ("exp", [x]) => x.float().exp(),
        ("sqrt", [x]) if x.float() < 0.0 => return Err(domain()),
        ("sqrt", [x]) => x.float().sqrt(),
        ("log" | "log2" | "log10", [x, ..]) if x.float() <= 0.0 => return Err(domain()),
        ("log", [x]) => x.float().ln(),
        ("log", [x, base]) => {
            if base.float() <= 0.0 {
                return Err(domain());
            }
            return binary("/", Float(x.float().ln()), Float(base.float().ln()));
        }
        ("log2", [x]) => x.float().log2(),
        ("log10", [x]) => x.float().log10(),
        ("pow", [base, exponent]) => {
            let (base, exponent) = (base.float(), exponent.float());
            if (base == 0.0 && exponent < 0.0) || (base < 0.0 && base.is_finite() && exponent.fract() != 0.0)
            {
                return Err(domain());
            }
            base.powf(exponent)
        }
        ("ceil" | "floor" | "exp" | "sqrt" | "log" | "log2" | "log10" | "pow", _) => {
            return Err(error("TypeError", format!("math.{name}() takes another number of arguments")));
        }
        _ => return Err(error("AttributeError", format!("module 'math' has no attribute '{name}'"))),
    };
    if result.is_infinite() && arguments.iter().all(|argument| argument.float().is_finite()) {
        return Err(error("OverflowError", "math range error"));
    }
    Ok(Float(result))
}

/// `round(number, digits)`: half to even, by way of the decimal text as Python does it.
fn round(number: Num, digits: i128) -> Num {
    match number {
        Int(number) if digits >= 0 => Int(number),
        Int(number) => {
            let Some(unit) = u32::try_from(-digits).ok().and_then(|power| 10_i128.checked_pow(power)) else {
                return Int(0);
            };
            let floor = floor_division(number, unit).saturating_mul(unit);
            let up = match (number.saturating_sub(floor).saturating_mul(2)).cmp(&unit) {
                std::cmp::Ordering::Less => false,
                std::cmp::Ordering::Greater => true,
                std::cmp::Ordering::Equal => floor_division(floor, unit) % 2 != 0,
            };
            Int(if up { floor.saturating_add(unit) } else { floor })
        }
        // Beyond these digits a double does not change, or is nothing but zero.
        Float(number) if !number.is_finite() || digits > 340 => Float(number),
        Float(number) if digits >= 0 => {
            Float(format!("{number:.*}", digits as usize).parse().unwrap_or(number))
        }
        Float(_) if digits < -310 => Float(0.0),
        Float(number) => {
            let unit = 10_f64.powi(-digits as i32);
            Float((number / unit).round_ties_even() * unit)
        }
    }
}
