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
    assert!(Program::parse(&format!("{}1{}", "(".repeat(30), ")".repeat(30))).is_ok());
    for deep in ["(".repeat(400) + "1" + &")".repeat(400), "-".repeat(900) + "1", "2**".repeat(300) + "2"] {
        assert!(Program::parse(&deep).is_err());
    }
    assert!(Program::parse(&("1+".repeat(1500) + "1")).is_err());
    // The longest chain and the deepest nesting fit a small stack, also where nothing is optimised.
    let long = "1+".repeat(510) + "1";
    let nested = "(0 or 0<1|1^1&1<<1+1*".repeat(30) + "1" + &")".repeat(30);
    let thread = std::thread::Builder::new().stack_size(512 << 10);
    let results = thread.spawn(move || (eval(&long), eval(&nested).is_ok())).unwrap();
    assert_eq!(results.join().unwrap(), (Ok(Number::Int(511)), true));
}

mod against_python {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    use super::*;

    /// Expressions whose integers stay within 64 bits most of the time.
    fn expression() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            (0_u32..50).prop_map(|number| number.to_string()),
            (0_u32..5000).prop_map(|number| format!("{}.{}", number / 10, number % 10)),
            prop::sample::select(vec![
                "ban.Time",
                "ban.Count",
                "banFactor",
                "math.pi",
                "1e3",
                ".5",
                "1_000",
                "True"
            ])
            .prop_map(str::to_owned),
        ];
        leaf.prop_recursive(5, 40, 3, |inner| {
            let operator = prop::sample::select(vec![
                "+", "-", "*", "/", "//", "%", "<", ">", "<=", "==", "!=", " and ", " or ", "&", "|", "^",
            ]);
            let function = prop::sample::select(vec![
                "float",
                "int",
                "round",
                "abs",
                "math.exp",
                "math.log",
                "math.sqrt",
                "math.ceil",
                "math.floor",
                "math.log2",
                "math.log10",
                "-",
                "+",
                "~",
                "not ",
            ]);
            let two = prop::sample::select(vec!["min", "max", "math.pow", "pow", "math.log"]);
            prop_oneof![
                (inner.clone(), operator, inner.clone()).prop_map(|(a, op, b)| format!("{a}{op}{b}")),
                (inner.clone(), prop::sample::select(vec!["**", "<<", ">>"]), 0_u32..4)
                    .prop_map(|(a, op, b)| format!("({a}){op}{b}")),
                (function, inner.clone()).prop_map(|(f, a)| format!("{f}({a})")),
                (two, inner.clone(), 0_u32..4).prop_map(|(f, a, b)| format!("{f}({a},{b})")),
                (inner.clone(), inner.clone(), inner.clone())
                    .prop_map(|(a, b, c)| format!("({a} if {b} else {c})")),
                inner.prop_map(|a| format!("({a})")),
            ]
        })
    }

    const PROGRAM: &str = "
import sys, math
class ban: Time = 600; Count = 3
banFactor = 2.0 / 2.885385
import warnings; warnings.simplefilter('ignore')
for line in sys.stdin:
    try:
        value = eval(line)
        print(int(value) if isinstance(value, bool) else 'complex' if isinstance(value, complex) else repr(value))
    except Exception as error:
        print(type(error).__name__, error)
";

    #[test]
    fn two_thousand_expressions_yield_what_python_yields() {
        let mut runner = TestRunner::deterministic();
        let strategy = expression();
        let texts: Vec<String> = (0..2000)
            .map(|_| strategy.new_tree(&mut runner).unwrap().current())
            .filter(|text| text.len() < 500)
            .collect();
        let Ok(mut python) = Command::new("/usr/bin/python3")
            .args(["-c", PROGRAM])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
        else {
            eprintln!("skipped: no /usr/bin/python3");
            return;
        };
        let mut stdin = python.stdin.take().unwrap();
        let input = texts.join("\n");
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = python.wait_with_output().unwrap().stdout;
        writer.join().unwrap().unwrap();
        let output = String::from_utf8(output).unwrap();
        let mut compared = 0;
        for (text, python) in texts.iter().zip(output.lines()) {
            let ours = match eval(text) {
                Ok(number) => number.to_string(),
                Err(error) => format!("{} {error}", error.name()),
            };
            let beyond = |number: &str| number.bytes().filter(u8::is_ascii_digit).count() > 18;
            if python == "complex"
                || (beyond(python) && !python.contains(['.', 'e']))
                || python.contains("Error (34,")
            {
                continue;
            }
            // A truth value is a number here.
            let python = python.replace("'bool'", "'int'");
            compared += 1;
            assert_eq!(ours, python, "{text}");
        }
        assert!(compared > 1500, "only {compared} comparisons");
    }
}
