//! A line of the interactive mode, split into words as a shell does.

/// Why a line has no words; the text is Python's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfinished {
    #[error("No closing quotation")]
    Quotation,
    #[error("No escaped character")]
    Escape,
}

/// Splits at blanks; `'…'` is literal, in `"…"` and outside a backslash takes the next character as it is.
pub(super) fn split(line: &str) -> Result<Vec<String>, Unfinished> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(Unfinished::Quotation)? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(Unfinished::Quotation)? {
                        '"' => break,
                        '\\' => match chars.next().ok_or(Unfinished::Escape)? {
                            c @ ('"' | '\\') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next().ok_or(Unfinished::Escape)?),
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
    fn words_are_split_as_in_a_shell() {
        for (line, words) in [
            ("a  b\t c ", vec!["a", "b", "c"]),
            ("", vec![]),
            ("'a b'c \"d \\\" \\x\" ''", vec!["a bc", "d \" \\x", ""]),
            ("a\\ b \\'", vec!["a b", "'"]),
        ] {
            assert_eq!(split(line), Ok(words.into_iter().map(str::to_owned).collect()), "{line}");
        }
        assert_eq!(split("echo 'a"), Err(Unfinished::Quotation));
        assert_eq!(split("echo \"a"), Err(Unfinished::Quotation));
        assert_eq!(split("echo a\\"), Err(Unfinished::Escape));
    }
}
