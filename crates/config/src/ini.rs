//! One file's text into sections, by the rules of Python's `configparser` with Fail2ban's settings.
//!
//! Comments are whole lines beginning with `#` or `;`, or ` ;` behind a value. Deeper indented lines continue a value.
//! A key or a section twice in one file is an error; what several files say is put together elsewhere.

use std::sync::Arc;

use indexmap::map::Entry as Slot;
use portcullis_value::repr_str;

use crate::interpolate::lower;
use crate::maps::Map;
use crate::message::Fatal;
use crate::python::{is_space, strip, strip_end, strip_start};

/// An option as one file has it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) raw: Arc<str>,
    /// The line that holds the key, counted from 1.
    pub(crate) line: u32,
}

pub(crate) type Section = Map<Arc<str>, Entry>;

/// The content of one file. `DEFAULT` is kept apart, since every section sees it.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) defaults: Section,
    pub(crate) sections: Map<Arc<str>, Section>,
}

impl Parsed {
    /// The section at a place, and its name.
    fn section_at(&mut self, place: Place) -> (&mut Section, &str) {
        let section = match place {
            Place::Section(index) => self.sections.get_index_mut(index),
            Place::Nowhere | Place::Defaults => None,
        };
        section.map_or((&mut self.defaults, "DEFAULT"), |(name, section)| (section, name))
    }
}

/// Where the options below a header go.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Nowhere,
    Defaults,
    Section(usize),
}

/// So many characters of a line are shown.
const LONGEST_SHOWN: usize = 10_000;
/// So many lines that are no options are told.
const MOST_ERRORS: usize = 1000;

struct Parser<'a> {
    file: &'a str,
    parsed: Parsed,
    place: Place,
    /// The option that a deeper indented line continues, by its place in its section.
    open: Option<usize>,
    /// The lines of its value so far.
    value: String,
    indent: usize,
    nothing: Arc<str>,
    errors: Vec<(u32, String)>,
}

/// Parses `text`, whose line ends are line feeds already. `file` is named in errors.
///
/// # Errors
/// As Python's parser: lines outside any section at once, duplicates at once, lines without delimiter at the end.
pub(crate) fn parse(file: &str, text: &str) -> Result<Parsed, Fatal> {
    let mut parser = Parser::new(file);
    parser.lines(text)?;
    parser.finish()
}

/// The error, if any, that stops a parser within `text` before its end: what is told of a file whose rest cannot be decoded.
pub(crate) fn stops_within(file: &str, text: &str) -> Result<(), Fatal> {
    Parser::new(file).lines(text)
}

impl<'a> Parser<'a> {
    fn new(file: &'a str) -> Self {
        Parser {
            file,
            parsed: Parsed::default(),
            place: Place::Nowhere,
            open: None,
            value: String::new(),
            indent: 0,
            nothing: "".into(),
            errors: Vec::new(),
        }
    }

    fn lines(&mut self, text: &str) -> Result<(), Fatal> {
        let (mut rest, mut number) = (text, 0_u32);
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest.as_bytes()).map_or(rest.len(), |at| at + 1);
            let (line, behind) = rest.split_at(end);
            rest = behind;
            number = number.saturating_add(1);
            self.line(line, number)?;
        }
        Ok(())
    }

    fn line(&mut self, line: &str, number: u32) -> Result<(), Fatal> {
        let (content, commented) = without_comment(line);
        let value = strip(content);
        if value.is_empty() {
            if !commented && self.open.is_some() {
                self.value.push('\n');
            }
            return Ok(());
        }
        let indent = indentation(line);
        if indent > self.indent && self.open.is_some() {
            self.value.push('\n');
            self.value.push_str(value);
            return Ok(());
        }
        self.indent = indent;
        if let Some(name) = header(value) {
            self.section(name, number)
        } else if self.place == Place::Nowhere {
            Err(Fatal(format!(
                "File contains no section headers.\nfile: {}, line: {number}\n{}",
                repr_str(self.file),
                shown(line)
            )))
        } else {
            self.option(value, line, number)
        }
    }

    fn section(&mut self, name: &str, number: u32) -> Result<(), Fatal> {
        self.close();
        self.place = if self.parsed.sections.contains_key(name) {
            return Err(Fatal(format!(
                "While reading from {} [line {number:2}]: section {} already exists",
                repr_str(self.file),
                repr_str(name)
            )));
        } else if name == "DEFAULT" {
            Place::Defaults
        } else {
            Place::Section(self.parsed.sections.insert_full(name.into(), Section::default()).0)
        };
        Ok(())
    }

    fn option(&mut self, value: &str, line: &str, number: u32) -> Result<(), Fatal> {
        // A line that is no option leaves the one before it open, for deeper indented lines to continue.
        let Some(at) = memchr::memchr2(b'=', b':', value.as_bytes()) else {
            self.errors.push((number, shown(line)));
            return Ok(());
        };
        self.close();
        let key = strip_end(&value[..at]);
        if key.is_empty() {
            self.errors.push((number, shown(line)));
        }
        let key: Arc<str> = lower(key).into();
        let (section, name) = self.parsed.section_at(self.place);
        // Registered at once, so that a second one is noticed; the value follows when it is complete.
        match section.entry(key) {
            Slot::Vacant(slot) => {
                if !slot.key().is_empty() {
                    self.open = Some(slot.index());
                    self.value.clear();
                    self.value.push_str(strip(&value[at + 1..]));
                }
                slot.insert(Entry { raw: self.nothing.clone(), line: number });
                Ok(())
            }
            Slot::Occupied(slot) => Err(Fatal(format!(
                "While reading from {} [line {number:2}]: option {} in section {} already exists",
                repr_str(self.file),
                repr_str(slot.key()),
                repr_str(name)
            ))),
        }
    }

    fn close(&mut self) {
        let Some(index) = self.open.take() else { return };
        if let Some((_, entry)) = self.parsed.section_at(self.place).0.get_index_mut(index) {
            entry.raw = strip_end(&self.value).into();
        }
    }

    fn finish(mut self) -> Result<Parsed, Fatal> {
        self.close();
        if self.errors.is_empty() {
            return Ok(self.parsed);
        }
        let mut text = format!("Source contains parsing errors: {}", repr_str(self.file));
        for (number, line) in self.errors.iter().take(MOST_ERRORS) {
            text.push_str(&format!("\n\t[line {number:2}]: {line}"));
        }
        Err(Fatal(text))
    }
}

/// A line in a message. Of a very long one only the beginning: nobody reads a megabyte.
// Differs: Fail2ban repeats it, however long.
fn shown(line: &str) -> String {
    match line.char_indices().nth(LONGEST_SHOWN) {
        None => repr_str(line),
        Some((end, _)) => format!("{}…", repr_str(&line[..end])),
    }
}

/// How many blanks a line begins with.
pub(crate) fn indentation(line: &str) -> usize {
    if line.as_bytes().first().is_some_and(|byte| (b'!'..0x80).contains(byte)) {
        return 0;
    }
    line.chars().take_while(|c| is_space(*c)).count()
}

/// The line without its comment, and whether it had one.
pub(crate) fn without_comment(line: &str) -> (&str, bool) {
    if strip_start(line).starts_with(['#', ';']) {
        return ("", true);
    }
    let inline = memchr::memchr_iter(b';', line.as_bytes())
        .find(|at| line[..*at].chars().next_back().is_none_or(is_space));
    match inline {
        Some(at) => (&line[..at], true),
        None => (line, false),
    }
}

/// `[name]`: up to the last `]` of the line.
pub(crate) fn header(value: &str) -> Option<&str> {
    let rest = value.strip_prefix('[')?;
    // The name has at least one character, so `[]]` is called `]`.
    let end = rest.rfind(']').filter(|end| *end > 0)?;
    Some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::layers::Layers;

    fn value(text: &str, section: &str, key: &str) -> Option<(String, u32)> {
        let parsed = parse("x.conf", text).unwrap();
        let section = if section == "DEFAULT" { &parsed.defaults } else { &parsed.sections[section] };
        section.get(key).map(|entry| (entry.raw.to_string(), entry.line))
    }

    #[test]
    fn comments_continuations_and_gaps_are_read_as_python_does() {
        let text = "# c\n[a] x\nKey = 1 ; c\n  # gone\n  2\n\n  3;x\n\nother : y # kept\n[DEFAULT]\nd=\n";
        assert_eq!(value(text, "a", "key"), Some(("1\n2\n\n3;x".into(), 3)));
        assert_eq!(value(text, "a", "other"), Some(("y # kept".into(), 9)));
        assert_eq!(value(text, "DEFAULT", "d"), Some((String::new(), 11)));
    }

    #[test]
    fn mistakes_name_file_and_line() {
        for (text, told) in [
            ("x=1\n", "File contains no section headers.\nfile: 'x.conf', line: 1\n'x=1\\n'"),
            (
                "[a]\nx=1\nX=2\n",
                "While reading from 'x.conf' [line  3]: option 'x' in section 'a' already exists",
            ),
            ("[a]\n[a]\n", "While reading from 'x.conf' [line  2]: section 'a' already exists"),
            ("[a]\nb\n", "Source contains parsing errors: 'x.conf'\n\t[line  2]: 'b\\n'"),
        ] {
            assert_eq!(parse("x.conf", text).unwrap_err().0, told);
        }
    }

    /// A file to be written: sections with options, and each option's value line by line.
    type Written = Vec<(String, Vec<(String, Vec<String>)>)>;

    /// Text that is kept as it stands: no blanks around it, and nothing that begins a comment.
    fn text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[a-zA-Z0-9]{1,6}",
            "[ -~]{0,12}",
            "\\PC{0,8}",
            prop::sample::select(vec![
                "<HOST>", "%", "%%", "#", "a;b", "=", ":", "[x]", "\\", "\"'", "\u{a0}", "é", "日本", "😀"
            ])
            .prop_map(str::to_owned),
        ];
        prop::collection::vec(piece, 0..5)
            .prop_map(|pieces| {
                let text = pieces.concat().replace(';', "x;").replace(char::is_control, "c");
                let text = text.trim_start_matches(['#', ';']);
                strip(text).trim_start_matches(['#', ';']).to_owned()
            })
            .prop_filter("a comment, or blanks around it", |text| {
                strip(text) == text && without_comment(text) == (text, false)
            })
    }

    /// The first line, and further ones; those in between may be empty, the last one is not.
    fn lines() -> impl Strategy<Value = Vec<String>> {
        (text(), prop::collection::vec(text(), 0..4)).prop_map(|(first, more)| {
            let mut lines = vec![first];
            lines.extend(more);
            while lines.len() > 1 && lines.last().is_some_and(String::is_empty) {
                lines.pop();
            }
            lines
        })
    }

    fn written() -> impl Strategy<Value = Written> {
        let name = "[A-Za-z0-9_. é-]{0,6}[A-Za-z0-9]";
        let key = "[a-zé][a-z0-9_.?-]{0,8}[a-z0-9]";
        let options = prop::collection::btree_map(key, lines(), 0..6);
        let sections = prop::collection::btree_map(name, options, 0..5);
        sections.prop_map(|sections| {
            let named = sections.into_iter().filter(|(name, _)| name != "DEFAULT");
            named.map(|(name, options)| (name, options.into_iter().collect())).collect()
        })
    }

    /// Writes them as people do: with any delimiter, depth and case of keys, and with comments in between.
    fn ini(sections: &Written, mut dice: u64) -> String {
        let mut next = |most: usize| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) as usize % most
        };
        let mut out = String::new();
        for (name, options) in sections {
            out.push_str(["", "\n", "# [none]\n", "; x = 1\n\n"][next(4)]);
            out.push_str(&format!("[{name}]{}\n", ["", " ", " rest"][next(3)]));
            for (key, value) in options {
                out.push_str(["", "\n", "#y = 2\n", "   # z\n"][next(4)]);
                let key = if next(3) == 0 { key.to_uppercase() } else { key.clone() };
                out.push_str(&format!("{key}{}{}", ["=", " = ", ":", ": ", " =\t"][next(5)], value[0]));
                out.push_str(["", " ", "\t", " ; said", " ;"][next(5)]);
                out.push('\n');
                for line in &value[1..] {
                    if next(3) == 0 {
                        out.push_str(["# between\n", "    ; between\n", "  #\n"][next(3)]);
                    }
                    if line.is_empty() {
                        out.push_str(["\n", "  \n"][next(2)]);
                    } else {
                        out.push_str(&format!(
                            "{}{line}{}\n",
                            [" ", "\t", "        "][next(3)],
                            ["", "  "][next(2)]
                        ));
                    }
                }
            }
        }
        if next(2) == 0 { out.trim_end_matches('\n').to_owned() } else { out }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(sections in written(), dice in any::<u64>()) {
            let text = ini(&sections, dice);
            let parsed = parse("x.conf", &text).unwrap_or_else(|error| panic!("{}\n{text}", error.0));
            prop_assert!(parsed.defaults.is_empty());
            let names: Vec<&str> = parsed.sections.keys().map(|name| &**name).collect();
            let expected: Vec<&str> = sections.iter().map(|(name, _)| &**name).collect();
            prop_assert_eq!(names, expected);
            for (name, options) in &sections {
                let section = &parsed.sections[name.as_str()];
                let read: Vec<(&str, &str)> = section.iter().map(|(key, entry)| (&**key, &*entry.raw)).collect();
                let written: Vec<(&str, String)> = options.iter().map(|(key, value)| (key.as_str(), value.join("\n"))).collect();
                let written: Vec<(&str, &str)> = written.iter().map(|(key, value)| (*key, value.as_str())).collect();
                prop_assert_eq!(read, written, "{}", text);
            }
        }

        #[test]
        fn a_value_with_doubled_percent_signs_is_interpolated_to_itself(sections in written(), dice in any::<u64>()) {
            let mut doubled = sections.clone();
            for line in doubled.iter_mut().flat_map(|(_, options)| options).flat_map(|(_, lines)| lines) {
                *line = line.replace('%', "%%");
            }
            let parsed = parse("x.conf", &ini(&doubled, dice)).unwrap_or_else(|error| panic!("{}", error.0));
            let mut layers = Layers::default();
            layers.add(&Path::new("x.conf").into(), &parsed);
            for (name, options) in sections.iter().filter(|(name, _)| !name.contains('?')) {
                for (key, value) in options {
                    let read = layers.value(name, key, &[]).ok();
                    prop_assert_eq!(read.as_deref(), Some(&*value.join("\n")), "[{}] {}", name, key);
                }
            }
        }
    }
}
