//! Python's ideas of white space, words and numbers, as far as the configuration's grammar rests on them.

/// `str.isspace()` of one character. Beyond Unicode's `White_Space`, Python counts the separators FS, GS, RS and US.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// `str.strip()`
pub(crate) fn strip(text: &str) -> &str {
    strip_start(strip_end(text))
}

/// `str.lstrip()`
pub(crate) fn strip_start(text: &str) -> &str {
    let blank = text.bytes().take_while(|byte| is_plain_space(*byte)).count();
    let text = &text[blank..];
    // What is left may begin with a space beyond ASCII.
    if text.bytes().next().is_some_and(|byte| byte >= 0x80) {
        text.trim_start_matches(is_space)
    } else {
        text
    }
}

/// `str.rstrip()`
pub(crate) fn strip_end(text: &str) -> &str {
    let blank = text.bytes().rev().take_while(|byte| is_plain_space(*byte)).count();
    let text = &text[..text.len() - blank];
    if text.bytes().next_back().is_some_and(|byte| byte >= 0x80) {
        text.trim_end_matches(is_space)
    } else {
        text
    }
}

/// [`is_space`] of ASCII.
fn is_plain_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | 0x1c..=0x1f)
}

/// `\w` of a regular expression.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// `int(text)`: blanks around, a sign, single underscores between digits. Beyond 64 bits it is refused.
pub(crate) fn int(text: &str) -> Option<i64> {
    let text = strip(text);
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let mut value: i64 = 0;
    let mut after_digit = false;
    for c in digits.chars() {
        match c.to_digit(10) {
            Some(digit) => {
                let digit = i64::from(digit);
                value = value.checked_mul(10)?;
                value = if negative { value.checked_sub(digit)? } else { value.checked_add(digit)? };
                after_digit = true;
            }
            None if c == '_' && after_digit => after_digit = false,
            None => return None,
        }
    }
    after_digit.then_some(value)
}

/// What Fail2ban takes for true; everything else is false.
pub(crate) fn truth(text: &str) -> bool {
    ["1", "on", "true", "yes"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Splits like a POSIX shell without expansions (`shlex.split`).
///
/// # Errors
/// What is missing, in Python's words.
pub fn shell_words(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or("No closing quotation")? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or("No closing quotation")? {
                        '"' => break,
                        '\\' => match chars.next().ok_or("No escaped character")? {
                            c @ ('"' | '\\') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next().ok_or("No escaped character")?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_python_reads_them() {
        for (text, value) in [
            ("5", Some(5)),
            (" +5\n", Some(5)),
            ("-7", Some(-7)),
            ("1_0", Some(10)),
            ("1__0", None),
            ("_1", None),
            ("1_", None),
            ("", None),
            ("-", None),
            ("0x10", None),
            ("1.0", None),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
        ] {
            assert_eq!(int(text), value, "{text:?}");
        }
    }

    #[test]
    fn words_are_split_as_a_shell_does() {
        assert_eq!(
            shell_words(r#"a 'b c' + "d\"e" f\ g '' #x"#).unwrap(),
            ["a", "b c", "+", "d\"e", "f g", "", "#x"]
        );
        assert_eq!(shell_words(r#"'a b'c "d \" \x" a\ b \'"#).unwrap(), ["a bc", "d \" \\x", "a b", "'"]);
        assert_eq!(shell_words(" \t").unwrap(), [""; 0]);
        assert_eq!(shell_words("a \"b").unwrap_err(), "No closing quotation");
        assert_eq!(shell_words("a 'b").unwrap_err(), "No closing quotation");
        assert_eq!(shell_words("a\\").unwrap_err(), "No escaped character");
    }
}
