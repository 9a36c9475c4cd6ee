//! What Python 3.11 answers, unless a test says otherwise.

use super::*;

fn eval(text: &str) -> Result<Number, Exception> {
    let names = |name: &str| match name {
        "ban.Time" => Some(Number::Int(600)),
        "ban.Count" => Some(Number::Int(3)),
        "banFactor" => Some(Number::Float(2.0 / 2.885_385)),
        _ => None,
    };
    Program::parse(text).map_err(|error| error.exception("<string>"))?.eval(&names)
}

#[test]
fn arithmetic_is_python_s() {
    for (text, expected) in [
        ("ban.Time * (1<<(ban.Count if ban.Count<20 else 20)) * 1", "4800"),
        ("ban.Time * math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)", "4800.017579262904"),
        ("7/2", "3.5"),
        ("4/2", "2.0"),
        ("-5//2", "-3"),
        ("-5%3", "1"),
        ("-5.5%2", "0.5"),
        ("5.5//2", "2.0"),
        ("2**3**2", "512"),
        ("-2**2", "-4"),
        ("2**-1", "0.5"),
        ("1<2<3", "1"),
        ("3>1<2", "1"),
        ("1<3<2", "0"),
        ("not 1 or 5", "5"),
        ("round(2.5)", "2"),
        ("round(-1250, -2)", "-1200"),
        ("round(2.675, 2)", "2.67"),
        ("max(1, 2.5, 2)", "2.5"),
        ("int(-5.9)", "-5"),
        ("math.floor(-0.5)", "-1"),
        ("math.pow(ban.Time, 1.1)", "1137.5392102014284"),
        ("1_000 + 0x10", "1016"),
        ("5if 1 else 6", "5"),
        ("~5 & 0xff | 1 ^ 3", "250"),
        ("1e16", "1e+16"),
    ] {
        assert_eq!(eval(text).map(|number| number.to_string()), Ok(expected.to_owned()), "{text}");
    }
}

#[test]
fn big_integers_saturate_instead_of_growing() {
    assert_eq!(eval("2**64"), Ok(Number::Int(i64::MAX)));
    assert_eq!(eval("(2**64 - 1) // 2**60"), Ok(Number::Int(15)));
    assert_eq!(eval("-(10**400)"), Ok(Number::Int(i64::MIN)));
    assert_eq!(eval("1<<10**9"), Ok(Number::Int(i64::MAX)));
    assert_eq!(eval("-1<<500"), Ok(Number::Int(i64::MIN)));
    assert_eq!(eval("(-2)**201"), Ok(Number::Int(i64::MIN)));
    assert_eq!(eval("99999999999999999999999999999999999999999999 * 0"), Ok(Number::Int(0)));
}

#[test]
fn errors_have_python_s_words() {
    for (text, expected) in [
        ("nosuch", "NameError(\"name 'nosuch' is not defined\")"),
        ("ban.Time + os.path", "NameError(\"name 'os' is not defined\")"),
        ("open(1)", "NameError(\"name 'open' is not defined\")"),
        ("math.foo", "AttributeError(\"module 'math' has no attribute 'foo'\")"),
        ("1/0", "ZeroDivisionError('division by zero')"),
        ("1.0/0", "ZeroDivisionError('float division by zero')"),
        ("1//0", "ZeroDivisionError('integer division or modulo by zero')"),
        ("1%0", "ZeroDivisionError('integer modulo by zero')"),
        ("1<<-1", "ValueError('negative shift count')"),
        ("math.log(0)", "ValueError('math domain error')"),
        ("math.exp(1000)", "OverflowError('math range error')"),
        ("10.0**400", "OverflowError(34, 'Numerical result out of range')"),
        ("int(1e999)", "OverflowError('cannot convert float infinity to integer')"),
        ("1.5 << 2", "TypeError(\"unsupported operand type(s) for <<: 'float' and 'int'\")"),
        ("ban.Time*", "SyntaxError('invalid syntax', ('<string>', 1, 0, 'ban.Time*', 1, 0))"),
        ("", "SyntaxError('invalid syntax', ('<string>', 0, 0, '', 0, 0))"),
        ("5;6", "SyntaxError('invalid syntax', ('<string>', 1, 2, '5;6', 1, 3))"),
        ("1..2", "SyntaxError('invalid syntax', ('<string>', 1, 3, '1..2', 1, 5))"),
        ("1__0", "SyntaxError('invalid decimal literal', ('<string>', 1, 2, '1__0', 1, 2))"),
        ("(5", "SyntaxError(\"'(' was never closed\", ('<string>', 1, 1, '(5', 1, 0))"),
        ("5)", "SyntaxError(\"unmatched ')'\", ('<string>', 1, 2, '5)', 1, 2))"),
        ("1é", "SyntaxError('invalid decimal literal', ('<string>', 1, 1, '1é', 1, 1))"),
        ("²", "SyntaxError(\"invalid character '²' (U+00B2)\", ('<string>', 1, 1, '²', 1, 1))"),
        (
            "5 if 5",
            "SyntaxError(\"expected 'else' after 'if' expression\", ('<string>', 1, 1, '5 if 5', 1, 7))",
        ),
    ] {
        let error = eval(text).expect_err(text);
        assert_eq!(Value::Exception(error).repr(), expected, "{text}");
    }
}

#[test]
fn nothing_but_numbers_is_computed() {
    for text in
        ["'a'", "[1]", "lambda: 5", "__import__('os')", "().__class__", "x:=5", "5 .real", "f'1'", "{1}"]
    {
        assert!(eval(text).is_err(), "{text}");
    }
}

#[test]
fn depth_and_length_are_bounded() {
    assert!(Program::parse(&format!("{}1{}", "(".repeat(50), ")".repeat(50))).is_ok());
    for deep in ["(".repeat(2000) + "1" + &")".repeat(2000), "-".repeat(3000) + "1", "2**".repeat(1000) + "2"]
    {
        assert!(Program::parse(&deep).is_err());
    }
    assert!(Program::parse(&("1+".repeat(1500) + "1")).is_ok());
    assert!(Program::parse(&("1+".repeat(5000) + "1")).is_err());
}
