//! From words to a tree, with Python's precedences.

use super::lex::{Placed, Token, Words, words};
use super::{MAX_DEPTH, MAX_LENGTH, SyntaxError};

#[derive(Clone, Debug)]
pub(super) enum Node {
    Int(i128),
    Float(f64),
    /// A name with its attributes: `ban.Time`.
    Name(String),
    Call(String, Vec<Node>),
    Unary(&'static str, Box<Node>),
    /// `a ** b`
    Power(Box<Node>, Box<Node>),
    /// `a + b - c`: the first operand, then the others with the operator before each, of one precedence.
    Chain(Box<Node>, Vec<(&'static str, Node)>),
    /// `a < b <= c`: the first operand, then the others with the operator before each.
    Compare(Box<Node>, Vec<(&'static str, Node)>),
    And(Vec<Node>),
    Or(Vec<Node>),
    /// `then if condition else otherwise`
    If {
        condition: Box<Node>,
        then: Box<Node>,
        otherwise: Box<Node>,
    },
}

/// Binary operators, weakest first.
const LEVELS: [&[&str]; 6] = [&["|"], &["^"], &["&"], &["<<", ">>"], &["+", "-"], &["*", "//", "/", "%"]];
const COMPARISONS: [&str; 6] = ["<", ">", "<=", ">=", "==", "!="];
const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def",
    "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is",
    "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    // As eval() does; the blanks behind count in no column.
    let text = text.trim_start_matches([' ', '\t']).trim_end();
    if text.len() > MAX_LENGTH {
        return Err(SyntaxError::at("expression is too long", "", 0, 0));
    }
    let Words { tokens, error, open } = words(text);
    let mut parser = Parser { tokens, at: 0, depth: 0, text };
    let parsed = parser.expression().and_then(|node| match parser.peek() {
        Token::End => Ok(node),
        _ => Err(parser.unexpected()),
    });
    match (error, open) {
        (Some(error), _) => Err(error),
        // The end came too early, or a bracket is missing before it.
        (None, Some((bracket, column))) if *parser.peek() == Token::End => {
            Err(SyntaxError::at(format!("'{bracket}' was never closed"), text, column, 0))
        }
        (None, _) => parsed,
    }
}

struct Parser<'t> {
    tokens: Vec<Placed>,
    at: usize,
    depth: usize,
    text: &'t str,
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        // The last token is `End`, and it is never consumed.
        self.tokens.get(self.at).map_or(&Token::End, |placed| &placed.token)
    }

    fn unexpected(&self) -> SyntaxError {
        let (begin, end) = self.tokens.get(self.at).map_or((0, 0), |placed| (placed.begin, placed.end));
        SyntaxError::at("invalid syntax", self.text, begin, end)
    }

    fn operator(&mut self, among: &[&'static str]) -> Option<&'static str> {
        let Token::Op(op) = self.peek() else { return None };
        let op = *op;
        if !among.contains(&op) {
            return None;
        }
        self.at += 1;
        Some(op)
    }

    fn keyword(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Name(name) if name == word);
        self.at += usize::from(found);
        found
    }

    /// Runs one level deeper, unless that is too deep.
    fn nested(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<Node, SyntaxError>,
    ) -> Result<Node, SyntaxError> {
        if self.depth >= MAX_DEPTH {
            return Err(SyntaxError::at("too many nested parentheses", self.text, 0, 0));
        }
        self.depth += 1;
        let node = inner(self);
        self.depth -= 1;
        node
    }

    fn expression(&mut self) -> Result<Node, SyntaxError> {
        self.nested(|this| {
            let begin = this.tokens.get(this.at).map_or(0, |placed| placed.begin);
            let then = this.or()?;
            if !this.keyword("if") {
                return Ok(then);
            }
            let condition = this.or()?;
            if !this.keyword("else") {
                if *this.peek() != Token::End {
                    return Err(this.unexpected());
                }
                let end = this.text.chars().count() + 1;
                let message = "expected 'else' after 'if' expression";
                return Err(SyntaxError::at(message, this.text, begin, end));
            }
            let otherwise = this.expression()?;
            Ok(Node::If {
                condition: Box::new(condition),
                then: Box::new(then),
                otherwise: Box::new(otherwise),
            })
        })
    }

    fn or(&mut self) -> Result<Node, SyntaxError> {
        let first = self.and()?;
        let mut operands = vec![first];
        while self.keyword("or") {
            operands.push(self.and()?);
        }
        Ok(sole(operands).unwrap_or_else(Node::Or))
    }

    fn and(&mut self) -> Result<Node, SyntaxError> {
        let first = self.not()?;
        let mut operands = vec![first];
        while self.keyword("and") {
            operands.push(self.not()?);
        }
        Ok(sole(operands).unwrap_or_else(Node::And))
    }

    fn not(&mut self) -> Result<Node, SyntaxError> {
        if self.keyword("not") {
            return self.nested(|this| Ok(Node::Unary("not", Box::new(this.not()?))));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Node, SyntaxError> {
        let first = self.binary(0)?;
        let mut rest = Vec::new();
        while let Some(op) = self.operator(&COMPARISONS) {
            rest.push((op, self.binary(0)?));
        }
        Ok(if rest.is_empty() { first } else { Node::Compare(Box::new(first), rest) })
    }

    fn binary(&mut self, level: usize) -> Result<Node, SyntaxError> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let first = self.binary(level + 1)?;
        let mut rest = Vec::new();
        while let Some(op) = self.operator(operators) {
            rest.push((op, self.binary(level + 1)?));
        }
        Ok(if rest.is_empty() { first } else { Node::Chain(Box::new(first), rest) })
    }

    fn unary(&mut self) -> Result<Node, SyntaxError> {
        match self.operator(&["-", "+", "~"]) {
            Some(op) => self.nested(|this| Ok(Node::Unary(op, Box::new(this.unary()?)))),
            None => self.power(),
        }
    }

    fn power(&mut self) -> Result<Node, SyntaxError> {
        let base = self.primary()?;
        if self.operator(&["**"]).is_none() {
            return Ok(base);
        }
        self.nested(|this| Ok(Node::Power(Box::new(base), Box::new(this.unary()?))))
    }

    fn primary(&mut self) -> Result<Node, SyntaxError> {
        let token = self.peek().clone();
        match token {
            Token::Int(number) => {
                self.at += 1;
                Ok(Node::Int(number))
            }
            Token::Float(number) => {
                self.at += 1;
                Ok(Node::Float(number))
            }
            Token::Op("(") => {
                self.at += 1;
                let node = self.expression()?;
                match self.operator(&[")"]) {
                    Some(_) => Ok(node),
                    None => Err(self.unexpected()),
                }
            }
            Token::Name(name) if name == "True" || name == "False" => {
                self.at += 1;
                Ok(Node::Int(i128::from(name == "True")))
            }
            Token::Name(name) if !KEYWORDS.contains(&name.as_str()) => {
                self.at += 1;
                self.name(name)
            }
            _ => Err(self.unexpected()),
        }
    }

    /// A name, its attributes, and the call that may follow.
    fn name(&mut self, mut name: String) -> Result<Node, SyntaxError> {
        while self.operator(&["."]).is_some() {
            let Token::Name(attribute) = self.peek().clone() else { return Err(self.unexpected()) };
            self.at += 1;
            name = name + "." + &attribute;
        }
        if self.operator(&["("]).is_none() {
            return Ok(Node::Name(name));
        }
        let mut arguments = Vec::new();
        loop {
            if self.operator(&[")"]).is_some() {
                return Ok(Node::Call(name, arguments));
            }
            arguments.push(self.expression()?);
            if self.operator(&[","]).is_none() && *self.peek() != Token::Op(")") {
                return Err(self.unexpected());
            }
        }
    }
}

/// The only one, or all of them again.
fn sole(mut operands: Vec<Node>) -> Result<Node, Vec<Node>> {
    match operands.pop() {
        Some(only) if operands.is_empty() => Ok(only),
        Some(last) => {
            operands.push(last);
            Err(operands)
        }
        None => Err(operands),
    }
}
