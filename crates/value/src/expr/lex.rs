//! Words of an expression. Errors and their columns are Python's.

use super::SyntaxError;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Int(i128),
    Float(f64),
    Name(String),
    /// An operator or a bracket.
    Op(&'static str),
    /// A character that no expression has.
    Stray,
    End,
}

/// The words of a text, up to its end or to what is no word.
pub(super) struct Words {
    pub(super) tokens: Vec<Placed>,
    /// What is no word. Python tells it even if the words before make no sense.
    pub(super) error: Option<SyntaxError>,
    /// The innermost bracket that is not closed, and its column.
    pub(super) open: Option<(char, usize)>,
}

/// A token and the columns (from 1, in characters) where it begins and ends.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) begin: usize,
    pub(super) end: usize,
}

/// Longest first, so that `**` is not taken for two `*`.
const OPERATORS: [&str; 26] = [
    "**", "//", "<<", ">>", "<=", ">=", "==", "!=", "+", "-", "*", "/", "%", "<", ">", "(", ")", ",", "~",
    "&", "|", "^", ".", "[", "]", ":",
];

pub(super) fn words(text: &str) -> Words {
    let chars: Vec<char> = text.chars().collect();
    let mut words = Words { tokens: Vec::new(), error: None, open: None };
    let mut open: Vec<(char, usize)> = Vec::new();
    let mut at = 0;
    while at < chars.len() && chars[at] != '#' {
        if matches!(chars[at], ' ' | '\t' | '\x0c') {
            at += 1;
            continue;
        }
        let begin = at;
        match token(&chars, &mut at, text)
            .and_then(|token| balanced(&token, &mut open, begin, text).map(|()| token))
        {
            Ok(token) => words.tokens.push(Placed { token, begin: begin + 1, end: at + 1 }),
            Err(error) => {
                words.error = Some(error);
                break;
            }
        }
    }
    words.open = open.pop();
    // Python reports an unexpected end with column 0.
    words.tokens.push(Placed { token: Token::End, begin: 0, end: 0 });
    words
}

fn token(chars: &[char], at: &mut usize, text: &str) -> Result<Token, SyntaxError> {
    let begin = *at;
    match chars[begin] {
        '0'..='9' => number(chars, at, text),
        '.' if chars.get(begin + 1).is_some_and(char::is_ascii_digit) => number(chars, at, text),
        c if c == '_' || c.is_alphabetic() => {
            while chars.get(*at).is_some_and(|c| *c == '_' || c.is_alphanumeric()) {
                *at += 1;
            }
            Ok(Token::Name(chars[begin..*at].iter().collect()))
        }
        // Texts are no numbers; but one that does not end is another mistake.
        quote @ ('"' | '\'') => match chars[begin + 1..].iter().position(|c| *c == quote) {
            Some(length) => {
                *at += length + 2;
                Ok(Token::Stray)
            }
            None => {
                let message = "unterminated string literal (detected at line 1)";
                Err(SyntaxError::at(message, text, begin + 1, begin + 1))
            }
        },
        '\\' => {
            let message = "unexpected character after line continuation character";
            Err(SyntaxError::at(message, text, begin + 2, 0))
        }
        c => {
            let stands_here =
                |op: &&&str| op.chars().enumerate().all(|(i, o)| chars.get(begin + i) == Some(&o));
            match OPERATORS.iter().find(stands_here) {
                Some(op) => {
                    *at += op.len();
                    Ok(Token::Op(op))
                }
                None if c.is_ascii_graphic() || matches!(c, '\n' | '\r') => {
                    *at += 1;
                    Ok(Token::Stray)
                }
                None if !crate::printable::is_printable(c) => {
                    let message = format!("invalid non-printable character U+{:04X}", c as u32);
                    Err(SyntaxError::at(message, text, begin + 1, begin + 1))
                }
                None => {
                    let message = format!("invalid character '{c}' (U+{:04X})", c as u32);
                    Err(SyntaxError::at(message, text, begin + 1, begin + 1))
                }
            }
        }
    }
}

/// Keeps account of the brackets.
fn balanced(
    token: &Token,
    open: &mut Vec<(char, usize)>,
    begin: usize,
    text: &str,
) -> Result<(), SyntaxError> {
    let (closer, opener) = match token {
        Token::Op(bracket @ ("(" | "[")) => {
            open.extend(bracket.chars().map(|bracket| (bracket, begin + 1)));
            return Ok(());
        }
        Token::Op(")") => (')', '('),
        Token::Op("]") => (']', '['),
        _ => return Ok(()),
    };
    let message = match open.pop() {
        Some((opened, _)) if opened == opener => return Ok(()),
        Some((opened, _)) => {
            format!("closing parenthesis '{closer}' does not match opening parenthesis '{opened}'")
        }
        None => format!("unmatched '{closer}'"),
    };
    Err(SyntaxError::at(message, text, begin + 1, begin + 1))
}

/// Digits with single underscores between them; `None` when an underscore stands elsewhere.
fn digits(chars: &[char], at: &mut usize) -> Option<String> {
    let mut out = String::new();
    loop {
        match chars.get(*at) {
            Some(c) if c.is_ascii_digit() => out.push(*c),
            Some('_') if !out.is_empty() => {
                if !chars.get(*at + 1).is_some_and(char::is_ascii_digit) {
                    return None;
                }
            }
            _ => return Some(out),
        }
        *at += 1;
    }
}

fn number(chars: &[char], at: &mut usize, text: &str) -> Result<Token, SyntaxError> {
    let begin = *at;
    let invalid =
        |kind: &str, column: usize| SyntaxError::at(format!("invalid {kind} literal"), text, column, column);
    let radix = (chars[begin] == '0').then(|| chars.get(begin + 1)).flatten().and_then(|c| match c {
        'x' | 'X' => Some((16, "hexadecimal")),
        'o' | 'O' => Some((8, "octal")),
        'b' | 'B' => Some((2, "binary")),
        _ => None,
    });
    if let Some((radix, kind)) = radix {
        *at += 2;
        let mut value: i128 = 0;
        let first = *at;
        while let Some(digit) = chars.get(*at).and_then(|c| c.to_digit(radix)) {
            value = value.saturating_mul(i128::from(radix)).saturating_add(i128::from(digit));
            *at += 1;
        }
        if *at == first || chars.get(*at).is_some_and(|c| *c == '_' || c.is_alphanumeric()) {
            return Err(invalid(kind, *at));
        }
        return Ok(Token::Int(value));
    }
    let Some(whole) = digits(chars, at) else { return Err(invalid("decimal", *at + 1)) };
    let mut float = false;
    let mut spelled = whole.clone();
    if chars.get(*at) == Some(&'.') {
        float = true;
        *at += 1;
        spelled.push('.');
        if chars.get(*at).is_some_and(char::is_ascii_digit) {
            match digits(chars, at) {
                Some(fraction) => spelled.push_str(&fraction),
                None => return Err(invalid("decimal", *at + 1)),
            }
        }
    }
    if matches!(chars.get(*at), Some('e' | 'E')) {
        let sign = usize::from(matches!(chars.get(*at + 1), Some('+' | '-')));
        if chars.get(*at + 1 + sign).is_some_and(char::is_ascii_digit) {
            float = true;
            spelled.push('e');
            if sign == 1 {
                spelled.push(chars[*at + 1]);
            }
            *at += 1 + sign;
            match digits(chars, at) {
                Some(exponent) => spelled.push_str(&exponent),
                None => return Err(invalid("decimal", *at + 1)),
            }
        }
    }
    if !float && whole.len() > 1 && whole.starts_with('0') && whole.bytes().any(|b| b != b'0') {
        let message = "leading zeros in decimal integer literals are not permitted; \
                       use an 0o prefix for octal integers";
        return Err(SyntaxError::at(message, text, begin + 1, begin + 2));
    }
    if chars.get(*at).is_some_and(|c| *c == '_' || c.is_alphabetic()) && !keyword_follows(&chars[*at..]) {
        return Err(invalid("decimal", *at));
    }
    if float {
        return Ok(Token::Float(spelled.parse().unwrap_or(f64::INFINITY)));
    }
    Ok(Token::Int(whole.parse().unwrap_or(i128::MAX)))
}

/// Python lets what begins like a keyword follow a number without a blank: `1if x else 2`.
fn keyword_follows(rest: &[char]) -> bool {
    ["and", "else", "if", "in", "is", "not", "or"]
        .iter()
        .any(|keyword| keyword.chars().enumerate().all(|(i, c)| rest.get(i) == Some(&c)))
}
