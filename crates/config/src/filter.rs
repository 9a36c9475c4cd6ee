//! One filter by itself, as the tester reads it: no jail around it.

use std::path::Path;

use crate::arguments;
use portcullis_value::Value as Shown;

use crate::definition::{Definition, Kind, Value};
use crate::interpolate::Scope;
use crate::layers::{Reader, Section};
use crate::message::Message;
use crate::source::Source;

/// What a filter says, tags replaced.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Its options in the order in which a server gets them.
    pub options: Vec<(String, String)>,
    /// What is in force of the options that one may have given, or that are of interest to whoever tries a filter: a number, a text or
    /// None.
    pub real: Vec<(String, Shown)>,
    /// What reading it had to say.
    pub messages: Vec<Message>,
}

impl Filter {
    /// The value of an option; what is empty is not there.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .filter(|v| !v.is_empty())
    }

    /// The lines of an option: a list of regexes.
    pub fn lines(&self, name: &str) -> impl Iterator<Item = &str> {
        self.option(name).unwrap_or_default().split('\n').filter(|line| !line.is_empty())
    }
}

/// Name and options of `sshd[mode=aggressive]`.
///
/// # Errors
/// Fail2ban's words for what is wrong with it.
pub fn filter_reference(text: &str) -> Result<(String, Vec<(String, String)>), String> {
    arguments::parse(text).map(|parsed| (parsed.name, parsed.options))
}

/// The modes of a filter, by its file: `aggressive` where that has an `mdre-aggressive`. In the order of the file.
pub fn filter_modes(source: &Source, name: &str) -> Vec<String> {
    let mut reader = Reader::new(source);
    let read = Definition::read(&mut reader, Kind::Filter, name, Scope::default(), Vec::new(), None);
    let Ok(Some(definition)) = read else { return Vec::new() };
    let sections = ["DEFAULT", "Definition"].into_iter().filter_map(|name| definition.layers.section(name));
    let mut modes: Vec<String> = Vec::new();
    for (option, _) in sections.flat_map(Section::options) {
        let mode = option.strip_prefix("mdre-").filter(|mode| modes.iter().all(|known| known != mode));
        modes.extend(mode.map(str::to_owned));
    }
    modes
}

/// The name by which the reader knows what [`read_filter`] is given. A file that stands elsewhere stands alone.
fn known_as(name: &str, reader: &mut Reader) -> String {
    let path = Path::new(name);
    if !path.is_absolute() {
        return name.to_owned();
    }
    let (stem, file) = if path.is_file() {
        (path.with_extension(""), path.to_owned())
    } else {
        (path.to_owned(), format!("{name}.conf").into())
    };
    let name = stem.display().to_string();
    reader.alone = Some((stem, file));
    name
}

/// Reads a filter. `name` is one of `filter.d`, or the absolute path of a file, whatever its name ends in; `.conf` may be left out.
/// `logtype`: `file` or `journal`.
///
/// # Errors
/// Why it cannot be used, in Fail2ban's words; nothing when there is no such file.
pub fn read_filter(
    source: &Source,
    name: &str,
    options: Vec<(String, String)>,
    logtype: &str,
) -> Result<Option<Filter>, String> {
    let mut reader = Reader::new(source);
    let name = &known_as(name, &mut reader);
    let logtype = Some(("logtype", logtype));
    let read = Definition::read(&mut reader, Kind::Filter, name, Scope::default(), options, logtype)
        .map_err(|fatal| fatal.0)?;
    let Some(definition) = read else { return Ok(None) };
    let combined = definition.combined(&mut reader.messages).map_err(|fatal| fatal.0)?;
    let given = definition.parameters.keys().map(|name| &**name);
    let mut real: Vec<(String, Shown)> = Vec::new();
    for name in ["logtype", "datepattern"].into_iter().chain(given) {
        if real.iter().any(|(known, _)| known == name) {
            continue;
        }
        let value = match combined.iter().find(|(option, _)| *option == name) {
            Some((_, Value::Absent)) => Some(Shown::None),
            Some((_, Value::Int(number))) => Some(Shown::Int(*number)),
            Some((_, value)) => Some(Shown::Str(value.clone().text().into_owned())),
            None => {
                definition.stated(name).map_err(|fatal| fatal.0)?.map(|text| Shown::Str(text.to_string()))
            }
        };
        real.extend(value.map(|value| (name.to_owned(), value)));
    }
    let present = combined.into_iter().filter(|(_, value)| *value != Value::Absent);
    let options = present.map(|(name, value)| (name.to_owned(), value.text().into_owned())).collect();
    Ok(Some(Filter { options, real, messages: reader.messages.said }))
}
