//! What stands where the tester wants a REGEX: a filter of a configuration, a filter's file, or a regular expression.

use std::path::{Path, PathBuf};

use portcullis_config::filter_reference;

use super::Stop;
use super::options::Options;
use super::tester::CONFIGURATION;

/// What REGEX is.
pub(super) enum Given {
    /// A filter of the configuration.
    Filter { name: String, directory: PathBuf, options: Vec<(String, String)> },
    /// A filter's file elsewhere: its path, and as it was given.
    File { path: String, name: String, options: Vec<(String, String)> },
    /// A regular expression.
    Regex,
}

/// Finds out what REGEX is. What looks like a filter's name and is none is a regular expression.
pub(super) fn given(options: &Options) -> Result<Given, Stop> {
    let text = options.regex.as_str();
    let name_end = text.find(|c: char| !(c.is_alphanumeric() || "_/.-".contains(c))).unwrap_or(text.len());
    let (name, rest) = text.split_at(name_end);
    if name.is_empty() || !(rest.is_empty() || (rest.starts_with('[') && rest.trim_end().ends_with(']'))) {
        return Ok(Given::Regex);
    }
    let directory = Path::new(options.config.as_deref().unwrap_or(CONFIGURATION));
    let path = if name.contains('/') { PathBuf::from(name) } else { directory.join("filter.d").join(name) };
    let with = |extension: &str| {
        let mut file = path.clone().into_os_string();
        file.push(extension);
        Path::new(&file).is_file()
    };
    // Whose name ends like one with an extension stands there under just that name, if anything does: so `a.b` is a regular
    // expression, even where there is an `a.b.conf`.
    let ends = name.rsplit_once('.').is_some_and(|(_, end)| (1..=5).contains(&end.chars().count()));
    if !(with("") || !ends && (with(".conf") || with(".local"))) {
        return Ok(Given::Regex);
    }
    let options = filter_reference(text).map(|(_, options)| options).map_err(|why| {
        Stop::Error(format!("Wrong filter name or options: {why}\n       while parsing: {text}"))
    })?;
    let bare = name.strip_suffix(".conf").or_else(|| name.strip_suffix(".local")).unwrap_or(name);
    // A filter in the folder of filters belongs to the configuration around that.
    let around = path.parent().and_then(|parent| parent.to_str()?.strip_suffix("/filter.d"));
    Ok(match (around, Path::new(bare).file_name().and_then(|file| file.to_str())) {
        _ if !name.contains('/') => {
            Given::Filter { name: bare.to_owned(), directory: directory.to_owned(), options }
        }
        (Some(around), Some(file)) => {
            Given::Filter { name: file.to_owned(), directory: PathBuf::from(around), options }
        }
        _ => {
            let path = std::path::absolute(&path).unwrap_or_default().display().to_string();
            Given::File { path, name: name.to_owned(), options }
        }
    })
}
