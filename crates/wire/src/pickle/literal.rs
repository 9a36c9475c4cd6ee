//! Numbers and texts in the forms that only pickles have, and what Python says where they are malformed.

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

/// INT: as C reads it (`0x1f`, `017`), or else as Python does (`0o17`, `1_000`).
pub(super) fn int(line: &str) -> Result<i64, Error> {
    let trimmed = line.trim_start();
    let (sign, digits) = signed(trimmed);
    if let Some(octal) = digits.strip_prefix('0').filter(|octal| !octal.is_empty() && is_octal(octal)) {
        return parsed(sign, octal, 8);
    }
    let no_number = |_| Error::Number("could not convert string to int".to_owned());
    python_int(line).map_err(no_number)?
}

/// LONG: as Python reads it, with or without Python 2's `L` behind.
pub(super) fn long(line: &str) -> Result<i64, Error> {
    match line.strip_suffix('L') {
        Some(digits) => python_int(digits).map_err(|base| no_int(digits, base))?,
        None => python_int(line).map_err(|base| no_int(&format!("{line}\n"), base))?,
    }
}

/// The number of a memo slot.
pub(super) fn slot(line: &str) -> Result<i64, Error> {
    let digits = line.trim();
    let (sign, bare) = signed(digits);
    match plain(bare).filter(|bare| bare.bytes().all(|digit| digit.is_ascii_digit())) {
        Some(bare) => parsed(sign, &bare, 10),
        None => Err(no_int(&format!("{line}\n"), 10)),
    }
}

fn no_int(text: &str, base: u32) -> Error {
    let shown = portcullis_value::repr_str(text);
    Error::Number(format!("invalid literal for int() with base {base}: {shown}"))
}

fn signed(digits: &str) -> (&'static str, &str) {
    match digits.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", digits.strip_prefix('+').unwrap_or(digits)),
    }
}

fn is_octal(digits: &str) -> bool {
    digits.bytes().all(|digit| matches!(digit, b'0'..=b'7'))
}

/// `int(text, 0)`. For what is none, the base in which Python tells that it is none.
fn python_int(text: &str) -> Result<Result<i64, Error>, u32> {
    let (sign, digits) = signed(text.trim());
    let lower = digits.to_ascii_lowercase();
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(rest) = lower.strip_prefix(prefix) {
            let rest = plain(rest.strip_prefix('_').unwrap_or(rest)).ok_or(radix)?;
            let fits = rest.chars().all(|digit| digit.is_digit(radix));
            return if fits { Ok(parsed(sign, &rest, radix)) } else { Err(radix) };
        }
    }
    let digits =
        plain(digits).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit())).ok_or(10_u32)?;
    // Python 3 takes no leading zero, unless all are.
    let octal = digits.starts_with('0') && digits.bytes().any(|digit| digit != b'0');
    if octal { Err(0) } else { Ok(parsed(sign, &digits, 10)) }
}

/// Digits without the single underscores that may stand between them.
fn plain(digits: &str) -> Option<String> {
    let well_placed = !digits.starts_with('_') && !digits.ends_with('_') && !digits.contains("__");
    let bare = digits.replace('_', "");
    let sound = well_placed && !bare.is_empty() && bare.bytes().all(|digit| digit.is_ascii_alphanumeric());
    sound.then_some(bare)
}

fn parsed(sign: &str, digits: &str, radix: u32) -> Result<i64, Error> {
    i64::from_str_radix(&format!("{sign}{digits}"), radix).map_err(|error| match error.kind() {
        std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => Error::BigInteger,
        _ => no_int(digits, radix),
    })
}

/// FLOAT: as C reads it, with nothing before or behind.
pub(super) fn float(line: &str) -> Result<f64, Error> {
    let begins = line.trim_start_matches(['-', '+']);
    let begins = begins.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || ["inf", "nan"]
            .iter()
            .any(|word| begins.get(..3).is_some_and(|text| text.eq_ignore_ascii_case(word)));
    let number =
        if line.contains(['_', ' ', '\t']) { None } else { portcullis_value::float(&line.into()).ok() };
    number.ok_or_else(|| {
        let text = "could not convert string to float";
        Error::Number(if begins { text.to_owned() } else { format!("{text}: '{line}\n'") })
    })
}

/// Text of Python 2 that is ASCII.
pub(super) fn ascii(bytes: &[u8]) -> Result<String, Error> {
    match bytes.iter().position(|byte| !byte.is_ascii()) {
        None => Ok(bytes.iter().copied().map(char::from).collect()),
        Some(at) => {
            let reason = "ordinal not in range(128)";
            Err(Error::Text { codec: "ascii", bytes: vec![bytes[at]], at, reason })
        }
    }
}

/// Text in UTF-8. Lone surrogates, which Python writes like other characters, become U+FFFD.
pub(super) fn utf8(bytes: &[u8]) -> Result<String, Error> {
    let mut out = String::new();
    let mut rest = bytes;
    loop {
        let error = match std::str::from_utf8(rest) {
            Ok(text) if out.is_empty() => return Ok(text.to_owned()),
            Ok(text) => return Ok(out + text),
            Err(error) => error,
        };
        let (sound, broken) = rest.split_at(error.valid_up_to());
        out.push_str(&String::from_utf8_lossy(sound));
        if let [0xed, 0xa0..=0xbf, 0x80..=0xbf, after @ ..] = broken {
            out.push(char::REPLACEMENT_CHARACTER);
            rest = after;
            continue;
        }
        let reason = match (error.error_len(), broken.first()) {
            (None, _) => "unexpected end of data",
            (_, Some(0xc2..=0xf4)) => "invalid continuation byte",
            _ => "invalid start byte",
        };
        let at = bytes.len() - broken.len();
        let bytes = broken[..error.error_len().unwrap_or(broken.len())].to_vec();
        return Err(Error::Text { codec: "utf-8", bytes, at, reason });
    }
}

/// Text of protocol 0: Latin-1 with `\u` and `\U` escapes. A backslash that another one stands before escapes nothing.
pub(super) fn raw_unicode_escape(line: &[u8]) -> Result<String, Error> {
    let mut out = String::with_capacity(line.len());
    let mut high: Option<u32> = None;
    let mut rest = line;
    let mut escaping = true;
    while let Some((&byte, after)) = rest.split_first() {
        let (digits, truncated) = match after.first() {
            Some(b'u') if byte == b'\\' && escaping => (4, "truncated \\uXXXX escape"),
            Some(b'U') if byte == b'\\' && escaping => (8, "truncated \\UXXXXXXXX escape"),
            _ => (0, ""),
        };
        let at = line.len() - rest.len();
        let wrong = |length: usize, reason| Error::Text {
            codec: "rawunicodeescape",
            bytes: line[at..at + length].to_vec(),
            at,
            reason,
        };
        let (code, after) = if digits == 0 {
            escaping = byte != b'\\' || !escaping;
            (u32::from(byte), after)
        } else {
            let hex = after[1..].iter().take(digits).take_while(|digit| digit.is_ascii_hexdigit()).count();
            let code = std::str::from_utf8(&after[1..=hex]).ok();
            let code = code.filter(|_| hex == digits).and_then(|code| u32::from_str_radix(code, 16).ok());
            let code = code.ok_or_else(|| wrong(2 + hex, truncated))?;
            if code > 0x10_ffff {
                return Err(wrong(2 + hex, "\\Uxxxxxxxx out of range"));
            }
            (code, &after[digits + 1..])
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
    Ok(out)
}

/// The inside of a string that was written with `repr()`, or with another language's like of it. What is no escape stays
/// as it is.
pub(super) fn unescape(text: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let at = text.len() - rest.len();
        rest = after;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let (&escape, after) = rest.split_first().ok_or(Error::TrailingBackslash)?;
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
                let (digits, after) = rest.split_at_checked(2).ok_or(Error::Escape(at))?;
                rest = after;
                let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'));
                digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or(Error::Escape(at))?
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
    Ok(out)
}
