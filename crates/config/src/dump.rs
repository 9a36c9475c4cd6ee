//! The commands as text: `-d`, one a line, and `--dp`, as Python's `pprint` shows them at a width of 1000.

use portcullis_value::{Command, Value};

/// So many bytes are written at once, unless one command is longer.
const PORTION: usize = 64 << 10;
/// `--dp` breaks what is longer, in characters.
const WIDTH: usize = 1000;

/// One command a line, as Python writes a list.
pub fn dump(stream: &[Command]) -> String {
    let mut out = Vec::new();
    // A vector takes everything.
    let _ = write_dump(stream, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// As [`dump`], without ever holding all of it.
///
/// # Errors
/// The writer's.
pub fn write_dump(stream: &[Command], to: &mut impl std::io::Write) -> std::io::Result<()> {
    let mut out = String::with_capacity(PORTION);
    for command in stream {
        list(command, &mut out);
        out.push('\n');
        if out.len() > PORTION / 2 {
            to.write_all(out.as_bytes())?;
            out.clear();
        }
    }
    to.write_all(out.as_bytes())
}

fn list(items: &[Value], out: &mut String) {
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        item.write_repr(out);
    }
    out.push(']');
}

/// As [`dump`], but what does not fit into a line is broken, one element a line.
pub fn dump_pretty(stream: &[Command]) -> String {
    let mut out = String::new();
    for command in stream {
        pretty(&Value::List(command.clone()), 0, 0, &mut out);
        out.push('\n');
    }
    out
}

/// Writes a value that begins in column `indent`; `behind` brackets and commas will follow it in its last line.
fn pretty(value: &Value, indent: usize, behind: usize, out: &mut String) {
    let flat = value.repr();
    if flat.chars().count() <= WIDTH - indent - behind {
        out.push_str(&flat);
        return;
    }
    match value {
        Value::List(items) => {
            out.push_str("[ ");
            let inner = indent + 2;
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(",\n");
                    out.push_str(&" ".repeat(inner));
                }
                let last = index + 1 == items.len();
                pretty(item, inner, if last { behind + 1 } else { 1 }, out);
            }
            out.push(']');
        }
        Value::Str(text) => pretty_text(text, indent, behind, out),
        _ => out.push_str(&flat),
    }
}

/// A long text as adjacent literals: each line of it one, and long lines broken behind white space.
fn pretty_text(text: &str, indent: usize, behind: usize, out: &mut String) {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut literals: Vec<String> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let behind = if index + 1 == lines.len() { behind } else { 0 };
        broken_line(line, WIDTH - indent, behind, &mut literals);
    }
    out.push_str(&literals.join(&format!("\n{}", " ".repeat(indent))));
}

fn broken_line(line: &str, width: usize, behind: usize, literals: &mut Vec<String>) {
    let whole = portcullis_value::repr_str(line);
    if whole.chars().count() <= width - behind {
        literals.push(whole);
        return;
    }
    let mut current = String::new();
    let pieces = words(line);
    for (index, piece) in pieces.iter().enumerate() {
        let width = if index + 1 == pieces.len() { width - behind } else { width };
        let longer = format!("{current}{piece}");
        if portcullis_value::repr_str(&longer).chars().count() > width {
            if !current.is_empty() {
                literals.push(portcullis_value::repr_str(&current));
            }
            (*piece).clone_into(&mut current);
        } else {
            current = longer;
        }
    }
    if !current.is_empty() {
        literals.push(portcullis_value::repr_str(&current));
    }
}

/// Words, each with the white space behind it.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let word = rest.find(crate::python::is_space).unwrap_or(rest.len());
        let blank = rest[word..].find(|c| !crate::python::is_space(c)).map_or(rest.len(), |at| word + at);
        words.push(&rest[..blank]);
        rest = &rest[blank..];
    }
    words
}
