//! Words of an expression. Errors and their columns are Python's.

use super::SyntaxError;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Int(i128),
    Float(f64),
    Name(String),
    /// An operator or a bracket.
    Op(&'static str),
    End,
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

pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, SyntaxError> {
    let chars: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let mut open: Vec<(char, usize)> = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let begin = at;
        let c = chars[at];
        let token = match c {
            ' ' | '\t' | '\x0c' => {
                at += 1;
                continue;
            }
            '#' => break,
            '0'..='9' => number(&chars, &mut at, text)?,
            '.' if chars.get(at + 1).is_some_and(char::is_ascii_digit) => number(&chars, &mut at, text)?,
            c if c == '_' || c.is_alphabetic() => {
                while at < chars.len() && (chars[at] == '_' || chars[at].is_alphanumeric()) {
                    at += 1;
                }
                Token::Name(chars[begin..at].iter().collect())
            }
            c => match OPERATORS
                .iter()
                .find(|op| op.chars().enumerate().all(|(i, o)| chars.get(at + i) == Some(&o)))
            {
                Some(op) => {
                    at += op.len();
                    Token::Op(op)
                }
                None if c.is_ascii() => {
                    return Err(SyntaxError::at("invalid syntax", text, begin + 1, begin + 2));
                }
                None => {
                    let message = format!("invalid character '{c}' (U+{:04X})", c as u32);
                    return Err(SyntaxError::at(message, text, begin + 1, begin + 1));
                }
            },
        };
        match token {
            Token::Op("(" | "[") => open.push((c, begin + 1)),
            Token::Op(")" | "]") => match open.pop() {
                Some(('(', _)) if c == ')' => {}
                Some(('[', _)) if c == ']' => {}
                Some((opener, _)) => {
                    let message =
                        format!("closing parenthesis '{c}' does not match opening parenthesis '{opener}'");
                    return Err(SyntaxError::at(message, text, begin + 1, begin + 1));
                }
                None => {
                    return Err(SyntaxError::at(format!("unmatched '{c}'"), text, begin + 1, begin + 1));
                }
            },
            _ => {}
        }
        out.push(Placed { token, begin: begin + 1, end: at + 1 });
    }
    if let Some((opener, column)) = open.pop() {
        return Err(SyntaxError::at(format!("'{opener}' was never closed"), text, column, 0));
    }
    // Python reports an unexpected end with column 0.
    out.push(Placed { token: Token::End, begin: 0, end: 0 });
    Ok(out)
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
    if chars.get(*at).is_some_and(|c| *c == '_' || c.is_alphabetic()) && !keyword_follows(&chars[*at..]) {
        return Err(invalid("decimal", *at));
    }
    if float {
        return Ok(Token::Float(spelled.parse().unwrap_or(f64::INFINITY)));
    }
    if whole.len() > 1 && whole.starts_with('0') && whole.bytes().any(|b| b != b'0') {
        let message = "leading zeros in decimal integer literals are not permitted; \
                       use an 0o prefix for octal integers";
        return Err(SyntaxError::at(message, text, begin + 1, begin + 2));
    }
    Ok(Token::Int(whole.parse().unwrap_or(i128::MAX)))
}

/// Python lets a keyword follow a number without a blank: `1if x else 2`.
fn keyword_follows(rest: &[char]) -> bool {
    let word: String = rest.iter().take_while(|c| **c == '_' || c.is_alphanumeric()).collect();
    matches!(word.as_str(), "and" | "else" | "if" | "or" | "not" | "is" | "in")
}
