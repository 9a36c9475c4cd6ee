//! Reads a shell script (POSIX `sh`) without running it.
//!
//! Only the structure matters: what is a command, what an argument. What is beyond this reader is an error, never a guess,
//! so that nobody is alarmed by a misreading. Depth and size are bounded.

use super::syntax::{Command, Part, Word};

/// How deep commands may stand in each other.
const DEEPEST: usize = 40;

/// The longest script that is read, in bytes.
const LONGEST: usize = 256 * 1024;

/// A script that this reader does not understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a part of the script is beyond this reader, near byte {at}")]
pub struct Unreadable {
    /// Where it gave up.
    pub at: usize,
}

type Read<T> = Result<T, Unreadable>;

/// The commands of a script.
///
/// # Errors
/// When the script is not one that this reader understands.
pub fn parse(text: &str) -> Result<Vec<Command>, Unreadable> {
    nested(text, 0)
}

fn nested(text: &str, depth: usize) -> Read<Vec<Command>> {
    if text.len() > LONGEST || depth > DEEPEST {
        return Err(Unreadable { at: 0 });
    }
    let mut reader = Reader { text, at: 0, depth, heredocs: Vec::new() };
    let commands = reader.list(&[])?;
    if reader.at < text.len() { Err(reader.lost()) } else { Ok(commands) }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
    /// Delimiters of here-documents whose text begins on the next line, and whether tabs are taken off.
    heredocs: Vec<(String, bool)>,
}

/// Words that begin or end a compound command, when they stand where a command is expected.
const KEYWORDS: &[&str] = &["then", "else", "elif", "fi", "do", "done", "esac", "}", "in"];

impl Reader<'_> {
    fn lost(&self) -> Unreadable {
        Unreadable { at: self.at }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    /// Skips blanks, joined lines and comments, but no line ends.
    fn blanks(&mut self) {
        loop {
            if self.eat(" ") || self.eat("\t") || self.eat("\\\n") {
                continue;
            }
            if self.rest().starts_with('#') {
                self.at += self.rest().find('\n').unwrap_or(self.rest().len());
            }
            return;
        }
    }

    /// Skips line ends too, and the here-documents that follow them.
    fn lines(&mut self) -> Read<()> {
        loop {
            self.blanks();
            if !self.eat("\n") {
                return Ok(());
            }
            for (delimiter, tabs) in std::mem::take(&mut self.heredocs) {
                self.heredoc(&delimiter, tabs)?;
            }
        }
    }

    fn heredoc(&mut self, delimiter: &str, tabs: bool) -> Read<()> {
        while self.at < self.text.len() {
            let length = self.rest().find('\n').map_or(self.rest().len(), |end| end + 1);
            let line = self.rest()[..length].trim_end_matches('\n');
            let line = if tabs { line.trim_start_matches('\t') } else { line };
            let end = line == delimiter;
            self.at += length;
            if end {
                return Ok(());
            }
        }
        Err(self.lost())
    }

    /// Whether a bare word stands here; it is not consumed.
    fn at_word(&self, word: &str) -> bool {
        let Some(behind) = self.rest().strip_prefix(word) else { return false };
        behind.chars().next().is_none_or(|c| c.is_whitespace() || ";&|()<>".contains(c))
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.at_word(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn expect_word(&mut self, word: &str) -> Read<()> {
        self.lines()?;
        if self.eat_word(word) { Ok(()) } else { Err(self.lost()) }
    }

    /// Commands up to one of `ends` (keywords, `)`), or to the end of the text. The end is not consumed.
    fn list(&mut self, ends: &[&str]) -> Read<Vec<Command>> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.lost());
        }
        let mut commands = Vec::new();
        loop {
            self.lines()?;
            let ended = ends.iter().any(|end| {
                if matches!(*end, ")" | ";;") { self.rest().starts_with(end) } else { self.at_word(end) }
            });
            if ended || self.at == self.text.len() {
                break;
            }
            commands.push(self.and_or()?);
            self.blanks();
            if self.rest().starts_with(";;") {
                continue;
            }
            // What separates commands; without it, an end must follow.
            let separated = self.eat(";") || self.eat_single('&') || self.rest().starts_with('\n');
            let ended = self.at == self.text.len() || ends.iter().any(|end| self.rest().starts_with(end));
            if !separated && !ended {
                return Err(self.lost());
            }
        }
        self.depth -= 1;
        Ok(commands)
    }

    fn eat_single(&mut self, c: char) -> bool {
        let rest = self.rest();
        let single = rest.starts_with(c) && !rest[1..].starts_with(c);
        if single {
            self.at += 1;
        }
        single
    }

    fn and_or(&mut self) -> Read<Command> {
        let mut left = self.pipeline()?;
        loop {
            self.blanks();
            if self.eat("||") {
                self.lines()?;
                left = Command::Or(Box::new(left), Box::new(self.pipeline()?));
            } else if self.eat("&&") {
                self.lines()?;
                left = Command::Several(vec![left, self.pipeline()?]);
            } else {
                return Ok(left);
            }
        }
    }

    fn pipeline(&mut self) -> Read<Command> {
        self.blanks();
        while self.eat_word("!") {
            self.blanks();
        }
        let first = self.command()?;
        let mut all = vec![first];
        loop {
            self.blanks();
            if !self.eat_single('|') {
                break;
            }
            self.lines()?;
            all.push(self.command()?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Command::Several(all) })
    }

    fn command(&mut self) -> Read<Command> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.lost());
        }
        self.blanks();
        let compound = if self.eat("(") {
            let inner = self.list(&[")"])?;
            if !self.eat(")") {
                return Err(self.lost());
            }
            Some(Command::Several(inner))
        } else if self.eat_word("{") {
            let inner = self.list(&["}"])?;
            self.expect_word("}")?;
            Some(Command::Several(inner))
        } else if self.eat_word("if") {
            Some(self.if_command()?)
        } else if self.eat_word("while") || self.eat_word("until") {
            let mut all = self.list(&["do"])?;
            self.expect_word("do")?;
            all.extend(self.list(&["done"])?);
            self.expect_word("done")?;
            Some(Command::Several(all))
        } else if self.eat_word("for") {
            Some(self.for_command()?)
        } else if self.eat_word("case") {
            Some(self.case_command()?)
        } else {
            None
        };
        let command = match compound {
            Some(compound) => self.redirected(compound)?,
            None => self.simple()?,
        };
        self.depth -= 1;
        Ok(command)
    }

    fn if_command(&mut self) -> Read<Command> {
        let mut all = self.list(&["then"])?;
        self.expect_word("then")?;
        loop {
            all.extend(self.list(&["elif", "else", "fi"])?);
            if self.eat_word("elif") {
                all.extend(self.list(&["then"])?);
                self.expect_word("then")?;
            } else if !self.eat_word("else") {
                self.expect_word("fi")?;
                return Ok(Command::Several(all));
            }
        }
    }

    fn for_command(&mut self) -> Read<Command> {
        self.blanks();
        let variable =
            self.word()?.and_then(|word| word.text().map(str::to_owned)).ok_or_else(|| self.lost())?;
        self.lines()?;
        let mut items = Vec::new();
        if self.eat_word("in") {
            loop {
                self.blanks();
                match self.word()? {
                    Some(word) => items.push(word),
                    None => break,
                }
            }
        }
        self.blanks();
        self.eat(";");
        self.expect_word("do")?;
        let body = self.list(&["done"])?;
        self.expect_word("done")?;
        Ok(Command::For { variable, items, body })
    }

    fn case_command(&mut self) -> Read<Command> {
        self.blanks();
        let word = self.word()?.ok_or_else(|| self.lost())?;
        self.expect_word("in")?;
        let mut all = Vec::new();
        loop {
            self.lines()?;
            if self.eat_word("esac") {
                return Ok(Command::Case(word, all));
            }
            self.eat("(");
            loop {
                self.blanks();
                self.word()?.ok_or_else(|| self.lost())?;
                self.blanks();
                if self.eat(")") {
                    break;
                }
                if !self.eat("|") {
                    return Err(self.lost());
                }
            }
            all.extend(self.list(&[";;", "esac"])?);
            self.eat(";;");
        }
    }

    /// The redirections behind a compound command.
    fn redirected(&mut self, command: Command) -> Read<Command> {
        let mut targets = Vec::new();
        while self.redirection(&mut targets)? {}
        if targets.is_empty() {
            return Ok(command);
        }
        let files = Command::Simple { assignments: Vec::new(), words: Vec::new(), targets };
        Ok(Command::Several(vec![command, files]))
    }

    /// One redirection, if there is one.
    fn redirection(&mut self, targets: &mut Vec<Word>) -> Read<bool> {
        self.blanks();
        let digits = self.rest().chars().take_while(char::is_ascii_digit).count();
        if !self.rest()[digits..].starts_with(['<', '>']) {
            return Ok(false);
        }
        self.at += digits;
        if self.eat("<<") {
            let tabs = self.eat("-");
            self.blanks();
            let word = self.word()?.ok_or_else(|| self.lost())?;
            let delimiter = word.text().ok_or_else(|| self.lost())?.to_owned();
            self.heredocs.push((delimiter, tabs));
            return Ok(true);
        }
        let _ = self.eat(">>") || self.eat(">|") || self.eat(">&") || self.eat("<&") || self.eat("<>");
        let _ = self.eat(">") || self.eat("<");
        self.blanks();
        targets.push(self.word()?.ok_or_else(|| self.lost())?);
        Ok(true)
    }

    fn simple(&mut self) -> Read<Command> {
        let begin = self.at;
        let (mut assignments, mut words, mut targets) = (Vec::new(), Vec::<Word>::new(), Vec::new());
        loop {
            if self.redirection(&mut targets)? {
                continue;
            }
            self.blanks();
            if words.is_empty()
                && let Some(name) = self.assigned()
            {
                assignments.push((name, self.word()?.unwrap_or_default()));
                continue;
            }
            let Some(word) = self.word()? else { break };
            if words.is_empty() && word.bare().is_some_and(|word| KEYWORDS.contains(&word)) {
                self.at = begin;
                return Err(self.lost());
            }
            words.push(word);
            if let [only] = words.as_slice()
                && let Some(name) = only.bare().map(str::to_owned)
                && self.function_follows()
            {
                self.lines()?;
                return Ok(Command::Function(name, Box::new(self.command()?)));
            }
        }
        if self.at == begin || (words.is_empty() && assignments.is_empty() && targets.is_empty()) {
            return Err(self.lost());
        }
        Ok(Command::Simple { assignments, words, targets })
    }

    /// `()` behind a name; consumed when there.
    fn function_follows(&mut self) -> bool {
        let begin = self.at;
        self.blanks();
        if self.eat("(") {
            self.blanks();
            if self.eat(")") {
                return true;
            }
        }
        self.at = begin;
        false
    }

    /// `NAME=`, consumed when there.
    fn assigned(&mut self) -> Option<String> {
        let name: String =
            self.rest().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let fine = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !fine || !self.rest()[name.len()..].starts_with('=') {
            return None;
        }
        self.at += name.len() + 1;
        Some(name)
    }

    /// A word, if one begins here.
    fn word(&mut self) -> Read<Option<Word>> {
        let begin = self.at;
        let mut word = Word::default();
        while let Some(c) = self.peek() {
            match c {
                c if c.is_ascii_whitespace() || ";&|()<>".contains(c) => break,
                '\'' => {
                    self.bump();
                    let length = self.rest().find('\'').ok_or_else(|| self.lost())?;
                    word.quoted = true;
                    word.push_text(&self.text[self.at..self.at + length]);
                    self.at += length + 1;
                }
                '"' => {
                    self.bump();
                    word.quoted = true;
                    self.double_quoted(&mut word)?;
                }
                '\\' => {
                    self.bump();
                    match self.bump() {
                        Some('\n') => {}
                        Some(c) => {
                            word.quoted = true;
                            word.push_text(c.encode_utf8(&mut [0; 4]));
                        }
                        None => word.push_text("\\"),
                    }
                }
                '$' | '`' => self.expansion(&mut word)?,
                c => {
                    self.bump();
                    word.push_text(c.encode_utf8(&mut [0; 4]));
                }
            }
        }
        Ok((self.at > begin).then_some(word))
    }

    fn double_quoted(&mut self, word: &mut Word) -> Read<()> {
        word.push_text("");
        while let Some(c) = self.peek() {
            match c {
                '"' => {
                    self.bump();
                    return Ok(());
                }
                '\\' => {
                    self.bump();
                    match self.bump().ok_or_else(|| self.lost())? {
                        '\n' => {}
                        c @ ('$' | '`' | '"' | '\\') => word.push_text(c.encode_utf8(&mut [0; 4])),
                        c => {
                            word.push_text("\\");
                            word.push_text(c.encode_utf8(&mut [0; 4]));
                        }
                    }
                }
                '$' | '`' => self.expansion(word)?,
                c => {
                    self.bump();
                    word.push_text(c.encode_utf8(&mut [0; 4]));
                }
            }
        }
        Err(self.lost())
    }

    /// What begins with `$` or a backquote.
    fn expansion(&mut self, word: &mut Word) -> Read<()> {
        if self.eat("`") {
            let inner = self.backquoted()?;
            word.parts.push(Part::Substitution(nested(&inner, self.depth + 1)?));
            return Ok(());
        }
        self.bump();
        if self.eat("((") {
            self.skip_balanced('(', ')', 2)?;
            word.parts.push(Part::Other);
        } else if self.eat("(") {
            let inner = self.list(&[")"])?;
            if !self.eat(")") {
                return Err(self.lost());
            }
            word.parts.push(Part::Substitution(inner));
        } else if self.eat("{") {
            let begin = self.at;
            self.skip_balanced('{', '}', 1)?;
            let name = &self.text[begin..self.at - 1];
            let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            word.parts.push(if plain { Part::Variable(name.to_owned()) } else { Part::Other });
        } else {
            let rest = self.rest();
            let mut length = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').count();
            if length == 0 && rest.starts_with(['?', '$', '!', '#', '*', '@', '-']) {
                length = 1;
            }
            if length == 0 {
                word.push_text("$");
            } else {
                word.parts.push(Part::Variable(rest[..length].to_owned()));
                self.at += length;
            }
        }
        Ok(())
    }

    /// The text between backquotes, the opening one consumed already.
    fn backquoted(&mut self) -> Read<String> {
        let mut inner = String::new();
        loop {
            match self.bump().ok_or_else(|| self.lost())? {
                '`' => return Ok(inner),
                '\\' => {
                    let c = self.bump().ok_or_else(|| self.lost())?;
                    if !matches!(c, '`' | '\\' | '$') {
                        inner.push('\\');
                    }
                    inner.push(c);
                }
                c => inner.push(c),
            }
        }
    }

    /// Skips to behind the bracket that closes `open` of them.
    fn skip_balanced(&mut self, opening: char, closing: char, mut open: usize) -> Read<()> {
        while open > 0 {
            match self.bump().ok_or_else(|| self.lost())? {
                '\\' => {
                    self.bump();
                }
                '\'' if closing == '}' => {
                    let length = self.rest().find('\'').ok_or_else(|| self.lost())?;
                    self.at += length + 1;
                }
                c if c == opening => open += 1,
                c if c == closing => open -= 1,
                _ => {}
            }
        }
        Ok(())
    }
}
