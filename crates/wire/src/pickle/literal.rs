//! Numbers and texts in the forms that only pickles have.

use super::Error;

/// Two's complement, the lowest byte first, of any length.
pub(super) fn little_endian(bytes: &[u8]) -> Result<i64, Error> {
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let fill = if negative { 0xff } else { 0 };
    let mut wide = [fill; 8];
    let (low, high) = bytes.split_at(bytes.len().min(8));
    wide[..low.len()].copy_from_slice(low);
    let number = i64::from_le_bytes(wide);
    if high.iter().any(|byte| *byte != fill) || (number < 0) != negative {
        return Err(Error::BigInteger);
    }
    Ok(number)
}

/// Text of protocol 0: Latin-1 with `\u` and `\U` escapes.
pub(super) fn raw_unicode_escape(line: &[u8]) -> String {
    let mut out = String::with_capacity(line.len());
    let mut high: Option<u32> = None;
    let mut rest = line;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = match after.first() {
            Some(b'u') if byte == b'\\' => 4,
            Some(b'U') if byte == b'\\' => 8,
            _ => 0,
        };
        let escaped = (digits > 0)
            .then(|| after.get(1..=digits))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let (code, after) = match escaped {
            Some(code) => (code, &after[digits + 1..]),
            None => (u32::from(byte), after),
        };
        rest = after;
        // A pair of surrogates is one character; alone they are none.
        match (high.take(), code) {
            (Some(first), 0xdc00..=0xdfff) => {
                let pair = 0x1_0000 + ((first - 0xd800) << 10) + (code - 0xdc00);
                out.push(char::from_u32(pair).unwrap_or(char::REPLACEMENT_CHARACTER));
                continue;
            }
            (Some(_), _) => out.push(char::REPLACEMENT_CHARACTER),
            (None, _) => {}
        }
        match code {
            0xd800..=0xdbff => high = Some(code),
            code => out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)),
        }
    }
    if high.is_some() {
        out.push(char::REPLACEMENT_CHARACTER);
    }
    out
}

/// The inside of a string that was written with `repr()`, or with another language's like of it. What is no escape stays
/// as it is.
pub(super) fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let (&escape, after) = rest.split_first()?;
        rest = after;
        let meant = match escape {
            b'a' => 7,
            b'b' => 8,
            b't' => b'\t',
            b'n' => b'\n',
            b'v' => 11,
            b'f' => 12,
            b'r' => b'\r',
            b'\\' | b'\'' | b'"' => escape,
            b'x' => {
                let (digits, after) = rest.split_at_checked(2)?;
                rest = after;
                u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
            }
            b'0'..=b'7' => {
                let more = rest.iter().take(2).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
                let (digits, after) = rest.split_at(more);
                rest = after;
                digits
                    .iter()
                    .fold(escape - b'0', |number, digit| number.wrapping_mul(8).wrapping_add(digit - b'0'))
            }
            other => {
                out.push(b'\\');
                other
            }
        };
        out.push(meant);
    }
    Some(out)
}
