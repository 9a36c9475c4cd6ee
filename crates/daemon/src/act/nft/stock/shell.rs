//! The little of a shell's language that stock scripts are written in: simple commands, `for` over words, pipes and
//! `||`, `while read`, and `$(echo 'x' | sed s/a/b/g)`. Whatever else stands in a script makes it "not understood", and
//! a real shell runs it.

/// A simple command: its words. What connects commands is one word by itself: [`PIPE`], [`AND`], [`OR`], or [`OR_BLOCK`]
/// with its [`END`].
pub(in super::super) type Command = Vec<String>;

pub(super) const PIPE: &str = "|";
pub(super) const AND: &str = "&&";
/// `||` before a simple command.
pub(super) const OR: &str = "||";
/// `|| {`
pub(super) const OR_BLOCK: &str = "|| {";
/// The `}` of an [`OR_BLOCK`].
pub(super) const END: &str = "}";

/// Longer scripts are none of ours.
const LONGEST_SCRIPT: usize = 16 * 1024;
/// A `for` over more words, and nested deeper, neither.
const MOST_ROUNDS: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(Vec<Part>),
    Operator(&'static str),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// Text; quoted text is not split into words.
    Text {
        text: String,
        quoted: bool,
    },
    Variable(String),
    /// `$(echo TEXT | sed EXPRESSION…)`, already evaluated.
    Substituted(String),
}

/// All simple commands of a script and what connects them, in the order of its text, with `for` unrolled. A variable that
/// `read` sets stays as `$name`. `None` when the script has anything that is not understood.
///
/// Braces without `||` and the words of `while` are cut away.
pub(in super::super) fn commands(script: &str) -> Option<Vec<Command>> {
    if script.len() > LONGEST_SCRIPT {
        return None;
    }
    let tokens = tokens(script)?;
    let mut commands = Vec::new();
    let mut rest = &tokens[..];
    run(&mut rest, &mut Vec::new(), &mut commands, None)?;
    rest.is_empty().then_some(commands)
}

/// Runs until the end, or until `done` when `closing` asks for it.
fn run(
    rest: &mut &[Token],
    variables: &mut Vec<(String, String)>,
    commands: &mut Vec<Command>,
    closing: Option<&str>,
) -> Option<()> {
    // Open braces: whether each began with `||`.
    let mut blocks = Vec::new();
    loop {
        connectors(rest, &mut blocks, commands)?;
        match keyword(rest) {
            None if rest.is_empty() => return (closing.is_none() && blocks.is_empty()).then_some(()),
            Some("done") => {
                *rest = &rest[1..];
                return (closing == Some("done") && blocks.is_empty()).then_some(());
            }
            Some("for") => for_loop(rest, variables, commands)?,
            Some("while") => {
                *rest = &rest[1..];
                // `while read -r name`: the variable is known by its name only.
                simple(rest, variables, commands)?;
                commands.last().filter(|command| command.first().is_some_and(|word| word == "read"))?;
                body(rest, variables, commands)?;
            }
            Some("if" | "case" | "until" | "then" | "else" | "fi" | "do" | "function" | "!") => return None,
            _ => simple(rest, variables, commands)?,
        }
    }
}

/// Everything between two simple commands.
fn connectors(rest: &mut &[Token], blocks: &mut Vec<bool>, commands: &mut Vec<Command>) -> Option<()> {
    let mut put = |text: &str| commands.push(vec![text.to_owned()]);
    while let [Token::Operator(operator), more @ ..] = rest {
        *rest = more;
        match *operator {
            "||" => {
                let after =
                    more.iter().position(|token| *token != Token::Operator("\n")).unwrap_or(more.len());
                if more.get(after) == Some(&Token::Operator("{")) {
                    *rest = &more[after + 1..];
                    blocks.push(true);
                    put(OR_BLOCK);
                } else {
                    put(OR);
                }
            }
            "{" => blocks.push(false),
            "}" if blocks.pop()? => put(END),
            PIPE => put(PIPE),
            AND => put(AND),
            _ => {}
        }
    }
    Some(())
}

fn for_loop(
    rest: &mut &[Token],
    variables: &mut Vec<(String, String)>,
    commands: &mut Vec<Command>,
) -> Option<()> {
    *rest = &rest[1..];
    let mut header = Vec::new();
    simple(rest, variables, &mut header)?;
    let [name, word_in, words @ ..] = header.first()?.as_slice() else { return None };
    if word_in != "in" || words.len() > MOST_ROUNDS || variables.len() > 2 {
        return None;
    }
    let start = *rest;
    for word in words {
        *rest = start;
        variables.push((name.clone(), word.clone()));
        body(rest, variables, commands)?;
        variables.pop();
        if commands.len() > MOST_ROUNDS * MOST_ROUNDS {
            return None;
        }
    }
    (!words.is_empty()).then_some(())
}

/// `; do … done`
fn body(
    rest: &mut &[Token],
    variables: &mut Vec<(String, String)>,
    commands: &mut Vec<Command>,
) -> Option<()> {
    while let [Token::Operator(";" | "\n"), more @ ..] = rest {
        *rest = more;
    }
    if keyword(rest) != Some("do") {
        return None;
    }
    *rest = &rest[1..];
    run(rest, variables, commands, Some("done"))
}

/// One simple command up to the next operator.
fn simple(rest: &mut &[Token], variables: &[(String, String)], commands: &mut Vec<Command>) -> Option<()> {
    let mut command = Command::new();
    while let [Token::Word(parts), more @ ..] = rest {
        expand(parts, variables, &mut command)?;
        *rest = more;
    }
    // An assignment would change what follows.
    if command.first().is_some_and(|word| word.contains('=')) {
        return None;
    }
    if !command.is_empty() {
        commands.push(command);
    }
    Some(())
}

fn keyword(rest: &[Token]) -> Option<&str> {
    match rest.first()? {
        Token::Word(parts) => match parts.as_slice() {
            [Part::Text { text, quoted: false }] => Some(text),
            _ => Some(""),
        },
        Token::Operator(_) => None,
    }
}

/// The words that a word becomes: unquoted substitutions split at blanks.
fn expand(parts: &[Part], variables: &[(String, String)], command: &mut Command) -> Option<()> {
    if let [Part::Substituted(text)] = parts {
        command.extend(text.split_whitespace().map(str::to_owned));
        return Some(());
    }
    let mut word = String::new();
    for part in parts {
        match part {
            Part::Text { text, .. } => word.push_str(text),
            Part::Variable(name) => {
                let value = variables.iter().rev().find(|(other, _)| other == name);
                word.push_str(&value.map_or_else(|| format!("${name}"), |(_, value)| value.clone()));
            }
            Part::Substituted(text) if !text.contains(char::is_whitespace) => word.push_str(text),
            Part::Substituted(_) => return None,
        }
    }
    command.push(word);
    Some(())
}

fn tokens(script: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = script;
    while let Some(first) = rest.chars().next() {
        match first {
            ' ' | '\t' => rest = &rest[1..],
            '\\' if rest.starts_with("\\\n") => rest = &rest[2..],
            '#' => rest = rest.find('\n').map_or("", |end| &rest[end..]),
            _ => {
                if let Some(operator) = operator(rest) {
                    rest = &rest[operator.len()..];
                    tokens.push(Token::Operator(operator));
                } else if let Some(after) = null_redirection(rest) {
                    rest = after;
                } else {
                    let (word, after) = word(rest)?;
                    rest = after;
                    tokens.push(match word.as_slice() {
                        [Part::Text { text, quoted: false }] if text == "{" => Token::Operator("{"),
                        [Part::Text { text, quoted: false }] if text == "}" => Token::Operator("}"),
                        _ => Token::Word(word),
                    });
                }
            }
        }
    }
    Some(tokens)
}

fn operator(text: &str) -> Option<&'static str> {
    ["||", "&&", "|", ";", "\n"].into_iter().find(|operator| text.starts_with(operator))
}

/// `2> /dev/null`, `>/dev/null`, `2>&1`: what is behind it.
fn null_redirection(text: &str) -> Option<&str> {
    let after = text.trim_start_matches(['1', '2']).strip_prefix('>')?;
    let after = after.strip_prefix('>').unwrap_or(after).trim_start_matches(' ');
    after.strip_prefix("/dev/null").or_else(|| after.strip_prefix("&1"))
}

/// One word, and what is behind it.
fn word(text: &str) -> Option<(Vec<Part>, &str)> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        match first {
            ' ' | '\t' | '\n' | ';' | '|' => break,
            '\'' => {
                let (quoted, after) = rest[1..].split_once('\'')?;
                push(&mut parts, quoted, true);
                rest = after;
            }
            '"' => {
                let (quoted, after) = rest[1..].split_once('"')?;
                // Substitutions within double quotes are left to a real shell.
                if quoted.contains(['$', '`', '\\']) {
                    return None;
                }
                push(&mut parts, quoted, true);
                rest = after;
            }
            '\\' => {
                let escaped = rest[1..].chars().next()?;
                push(&mut parts, &rest[1..=escaped.len_utf8()], true);
                rest = &rest[1 + escaped.len_utf8()..];
            }
            '$' if rest.starts_with("$(") => {
                let (text, after) = substitution(rest)?;
                parts.push(Part::Substituted(text));
                rest = after;
            }
            '$' => {
                let name = &rest[1..];
                let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
                if end == 0 || name.as_bytes()[0].is_ascii_digit() {
                    return None;
                }
                parts.push(Part::Variable(name[..end].to_owned()));
                rest = &name[end..];
            }
            '<' => {
                // A tag that is filled in later.
                let tag = &rest[..=rest.find('>')?];
                let inner = &tag[1..tag.len() - 1];
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
                if inner.is_empty() || !inner.bytes().all(plain) {
                    return None;
                }
                push(&mut parts, tag, true);
                rest = &rest[tag.len()..];
            }
            '`' | '&' | '>' | '(' | ')' | '*' | '?' | '[' | '~' | '!' | '\r' | '\0' => return None,
            other => {
                push(&mut parts, &rest[..other.len_utf8()], false);
                rest = &rest[other.len_utf8()..];
            }
        }
    }
    Some((parts, rest))
}

fn push(parts: &mut Vec<Part>, more: &str, more_quoted: bool) {
    match parts.last_mut() {
        Some(Part::Text { text, quoted }) => {
            text.push_str(more);
            *quoted |= more_quoted;
        }
        _ => parts.push(Part::Text { text: more.to_owned(), quoted: more_quoted }),
    }
}

/// `$(echo 'TEXT' | sed s/a/b/g | …)`: its output, and what is behind it.
fn substitution(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix("$(")?;
    let mut end = None;
    let mut quoted = false;
    for (at, character) in inner.char_indices() {
        match character {
            '\'' => quoted = !quoted,
            ')' if !quoted => {
                end = Some(at);
                break;
            }
            '(' | '$' | '`' | '"' | '\\' if !quoted => return None,
            _ => {}
        }
    }
    let (inner, after) = (&inner[..end?], &inner[end? + 1..]);
    let mut stages = Vec::new();
    let mut stage = Command::new();
    for token in tokens(inner)? {
        match token {
            Token::Word(parts) => expand(&parts, &[], &mut stage)?,
            Token::Operator("|") => stages.push(std::mem::take(&mut stage)),
            Token::Operator(_) => return None,
        }
    }
    stages.push(stage);
    let (echo, filters) = stages.split_first()?;
    let [program, words @ ..] = echo.as_slice() else { return None };
    if program != "echo" || words.iter().any(|word| word.starts_with('-')) {
        return None;
    }
    let mut text = words.join(" ");
    for filter in filters {
        let words: Vec<&str> = filter.iter().map(String::as_str).collect();
        let ["sed", expressions @ ..] = words.as_slice() else { return None };
        let expressions: Vec<&str> = expressions.iter().copied().filter(|word| *word != "-e").collect();
        if expressions.is_empty() {
            return None;
        }
        for expression in expressions {
            text = substitute(expression, &text)?;
        }
    }
    Some((text, after))
}

/// `s/a/b/` and `s/a/b/g` with texts that mean themselves.
fn substitute(expression: &str, text: &str) -> Option<String> {
    let rest = expression.strip_prefix('s')?;
    let delimiter = rest.chars().next()?;
    let parts: Vec<&str> = rest[delimiter.len_utf8()..].split(delimiter).collect();
    let [from, to, flags] = parts[..] else { return None };
    let plain =
        |part: &str| !part.contains(['\\', '.', '*', '[', ']', '^', '$', '&', '+', '?', '(', ')', '|']);
    if from.is_empty() || !plain(from) || !plain(to) {
        return None;
    }
    match flags {
        "g" => Some(text.replace(from, to)),
        "" => Some(text.replacen(from, to, 1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(script: &str) -> Option<Vec<String>> {
        Some(commands(script)?.into_iter().map(|command| command.join(" ")).collect())
    }

    #[test]
    fn a_loop_over_a_substitution_is_unrolled() {
        let script = "for p in $(echo 'tcp,udp' | sed 's/,/ /g'); do\nfw $p dport \\{ $(echo '1:2,ssh' | sed s/:/-/g) \\}\ndone\nend";
        assert_eq!(run(script).unwrap(), ["fw tcp dport { 1-2,ssh }", "fw udp dport { 1-2,ssh }", "end"]);
    }

    #[test]
    fn quotes_and_escapes_are_taken_off() {
        assert_eq!(run("a 'b c' \"d;e\" f\\;g \\{").unwrap(), ["a b c d;e f;g {"]);
        assert_eq!(run("{ a 2> /dev/null; } || {\nb\n}").unwrap(), ["a", "|| {", "b", "}"]);
        assert_eq!(
            run("a | while read -r x; do b $x; done || c").unwrap(),
            ["a", "|", "read -r x", "b $x", "||", "c"]
        );
    }

    #[test]
    fn what_a_real_shell_must_run_is_left_to_it() {
        for script in [
            "a `b`",
            "a $(b)",
            "X=1 a",
            "if a; then b; fi",
            "a > file",
            "a &",
            "for x in a b; do c",
            "a $1",
            "a *",
            "f() { a; }",
            "a $(echo x | sed s/./y/g)",
            "! a",
            "a 'b",
        ] {
            assert_eq!(run(script), None, "{script}");
        }
    }

    proptest! {
        #[test]
        fn no_script_makes_it_panic(script in "[a-z $(){}'\"\\\\;|&<>\n!#*/=-]{0,80}") {
            let _ = commands(&script);
        }

        #[test]
        fn any_text_is_survived(script in "\\PC{0,60}") {
            let _ = commands(&script);
        }
    }
}
