//! Several files made one configuration: which ones, in which order, and what each changes.
//!
//! For a name such as `jail` these are `jail.conf`, `jail.d/*.conf`, `jail.local`, `jail.d/*.local`, each with what its
//! `[INCLUDES]` names around it. Later ones win, option by option; what they replace stays known.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexMap;
use portcullis_value::repr_str;

use crate::ini::{self, Parsed};
use crate::interpolate::Missing;
use crate::message::{Fatal, Messages};
use crate::python::is_word;
use crate::source::{Source, Unreadable};

/// More files than this for one name mean includes that multiply.
const MOST_FILES: usize = 20_000;
/// A longer chain of includes is a mistake; the genuine program ends at Python's recursion limit.
const DEEPEST_INCLUDE: usize = 150;

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file, as it was opened.
    pub file: Arc<Path>,
    /// The line that holds the key, counted from 1.
    pub line: u32,
}

/// An option as the files have it: the last one's raw value, and what it replaced.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The value before anything in it is replaced.
    pub raw: Arc<str>,
    /// Where it stands.
    pub origin: Origin,
    /// The values of earlier files, oldest first.
    pub shadowed: Vec<(Arc<str>, Origin)>,
}

/// A value that can be referred to as `%(known/x)s`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Known {
    Text(Arc<str>),
    /// Something of the filter that is no text, with Python's name of its type: referring to it is an error in Fail2ban.
    Other(&'static str),
}

/// One section of all files together.
#[derive(Clone, Debug, Default)]
pub struct Section {
    pub(crate) options: IndexMap<Arc<str>, Setting>,
    pub(crate) known: HashMap<Arc<str>, Known>,
}

impl Section {
    /// Options in the order of their first appearance.
    pub fn options(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.options.iter().map(|(name, setting)| (&**name, setting))
    }
}

/// All files of one name, put together.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    pub(crate) defaults: Section,
    pub(crate) sections: IndexMap<Arc<str>, Section>,
}

impl Layers {
    /// A section; `DEFAULT` is one, too.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.get(name).or_else(|| (name == "DEFAULT").then_some(&self.defaults))
    }

    /// Sections in the order of their first appearance, without `DEFAULT`.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &Section)> {
        self.sections.iter().map(|(name, section)| (&**name, section))
    }

    /// Lets the values of one more file win over what is there.
    fn add(&mut self, path: &Arc<Path>, parsed: &Parsed) {
        merge(&mut self.defaults, path, &parsed.defaults, None);
        for (name, section) in &parsed.sections {
            let (name, condition) = conditional(name);
            let into = match self.sections.get_mut(name) {
                Some(section) => section,
                None => self.sections.entry(name.into()).or_default(),
            };
            merge(into, path, section, Some(condition));
        }
    }

    /// Defines an option as the program itself does, for `%(fail2ban_version)s` and the like.
    pub(crate) fn define_default(&mut self, option: &str, value: &str) {
        let origin = Origin { file: Path::new("").into(), line: 0 };
        self.defaults
            .options
            .insert(option.into(), Setting { raw: value.into(), origin, shadowed: Vec::new() });
    }
}

/// `[Init?family=inet6]` adds to `[Init]`, to each name its condition: the section's name, and `?family=inet6`.
fn conditional(name: &str) -> (&str, &str) {
    match name.find('?') {
        Some(at) if at > 0 && at + 1 < name.len() && name[..at].chars().all(is_word) => name.split_at(at),
        _ => (name, ""),
    }
}

/// Adds a file's section. What it replaces is remembered as known, except in `[DEFAULT]`, which has no condition either.
fn merge(into: &mut Section, path: &Arc<Path>, from: &ini::Section, condition: Option<&str>) {
    for (key, entry) in from {
        let key = match condition {
            None | Some("") => key.clone(),
            // Nobody ever reads it.
            Some(_) if &**key == "__name__" => continue,
            Some(condition) => format!("{key}{condition}").into(),
        };
        let origin = Origin { file: path.clone(), line: entry.line };
        if let Some(setting) = into.options.get_mut(&key) {
            let replaced = std::mem::replace(&mut setting.raw, entry.raw.clone());
            if condition.is_some() {
                into.known.insert(key.clone(), Known::Text(replaced.clone()));
            }
            setting.shadowed.push((replaced, std::mem::replace(&mut setting.origin, origin)));
        } else {
            let setting = Setting { raw: entry.raw.clone(), origin, shadowed: Vec::new() };
            into.options.insert(key, setting);
        }
    }
}

/// A file that was looked at.
struct File {
    path: Arc<Path>,
    /// Nothing when it cannot be read; that has been said then.
    parsed: Option<Parsed>,
    before: Vec<PathBuf>,
    after: Vec<PathBuf>,
}

/// Reads files of one source, each once.
pub(crate) struct Reader<'a> {
    pub(crate) source: &'a Source,
    pub(crate) messages: Messages,
    files: HashMap<PathBuf, Rc<File>>,
}

/// The files of a name in their order, and which of them are there of their own accord.
#[derive(Default)]
struct Listed {
    files: Vec<Rc<File>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(source: &'a Source) -> Self {
        Reader { source, messages: Messages::default(), files: HashMap::new() }
    }

    /// Everything that configures `name` (`jail`, `filter.d/sshd`), which is found at `stem` with an extension added.
    /// Nothing if no file can be read; that has been said then.
    pub(crate) fn layers(&mut self, name: &str, stem: &Path) -> Result<Option<Layers>, Fatal> {
        let directory = self.source.path().display().to_string();
        self.messages.info("configreader", format!("Loading configs for {name} under {directory} "));
        let with = |extension: &str| {
            let mut path = stem.as_os_str().to_owned();
            path.push(extension);
            PathBuf::from(path)
        };
        let mut candidates = vec![with(".conf")];
        candidates.extend(self.source.files_in(&with(".d"), ".conf"));
        candidates.push(with(".local"));
        candidates.extend(self.source.files_in(&with(".d"), ".local"));
        candidates.retain(|path| self.source.exists(path));
        let absent = || format!("Found no accessible config files for {} under {directory}", repr_str(name));
        if candidates.is_empty() {
            self.messages.error("configreader", absent());
            return Ok(None);
        }
        let mut listed = Listed::default();
        for path in &candidates {
            self.list(path, &mut Vec::new(), &mut listed)?;
        }
        let readable: Vec<_> = listed.files.iter().filter(|file| file.parsed.is_some()).collect();
        let names = readable.iter().map(|file| repr_str(&file.path.to_string_lossy())).collect::<Vec<_>>();
        self.messages.info("configparserinc", format!("  Loading files: [{}]", names.join(", ")));
        let mut layers = Layers::default();
        for file in &readable {
            if let Some(parsed) = &file.parsed {
                layers.add(&file.path, parsed);
            }
        }
        let missed: Vec<_> = candidates
            .iter()
            .filter(|path| self.files.get(*path).is_none_or(|file| file.parsed.is_none()))
            .map(|path| path.display().to_string())
            .collect();
        if !missed.is_empty() {
            self.messages
                .error("configreader", format!("Could not read config files: {}", missed.join(", ")));
        }
        if readable.is_empty() {
            self.messages.error("configreader", absent());
            return Ok(None);
        }
        Ok(Some(layers))
    }

    /// Adds a file and what it includes. `chain` holds the files that led here.
    fn list(&mut self, path: &Path, chain: &mut Vec<PathBuf>, listed: &mut Listed) -> Result<(), Fatal> {
        let file = self.file(path)?;
        if chain.len() >= DEEPEST_INCLUDE {
            return Err(Fatal("maximum recursion depth exceeded".into()));
        }
        if listed.files.len() >= MOST_FILES {
            return Err(Fatal(format!(
                "More than {MOST_FILES} files are included, the last by {}",
                path.display()
            )));
        }
        chain.push(path.to_owned());
        self.include(&file.before, chain, listed)?;
        listed.files.push(file.clone());
        self.include(&file.after, chain, listed)?;
        chain.pop();
        Ok(())
    }

    /// Adds included files, behind each its `.local` unless that is named itself. Files that led here are left out; their
    /// `.local` is not, so that one which includes its own `.conf` is an endless chain, as in Fail2ban.
    fn include(
        &mut self,
        paths: &[PathBuf],
        chain: &mut Vec<PathBuf>,
        listed: &mut Listed,
    ) -> Result<(), Fatal> {
        for path in paths {
            if !chain.contains(path) && self.source.exists(path) {
                self.list(path, chain, listed)?;
            }
            let local = path.with_extension("local");
            if !paths.contains(&local) && self.source.exists(&local) {
                self.list(&local, chain, listed)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<Rc<File>, Fatal> {
        if let Some(file) = self.files.get(path) {
            return Ok(file.clone());
        }
        let name = path.to_string_lossy();
        self.messages.info("configparserinc", format!("  Loading files: [{}]", repr_str(&name)));
        let parsed = match self.source.text(path) {
            Ok(text) => Some(ini::parse(&name, &text)?),
            Err(Unreadable::NotText { before, why }) => {
                ini::stops_within(&name, &before)?;
                self.messages.error(
                    "configparserinc",
                    format!("Error decoding config file {}: {why}", repr_str(&name)),
                );
                None
            }
            Err(Unreadable::Missing | Unreadable::Denied) => None,
        };
        let mut file = File { path: path.into(), parsed: None, before: Vec::new(), after: Vec::new() };
        if let Some(parsed) = parsed {
            if parsed.sections.contains_key("INCLUDES") {
                let mut own = Layers::default();
                own.add(&file.path, &parsed);
                file.before = included(&own, "before", path)?;
                file.after = included(&own, "after", path)?;
            }
            file.parsed = Some(parsed);
        }
        let file = Rc::new(file);
        self.files.insert(path.to_owned(), file.clone());
        Ok(file)
    }
}

/// The files that `[INCLUDES]` names under `option`, relative to the file itself.
fn included(own: &Layers, option: &str, path: &Path) -> Result<Vec<PathBuf>, Fatal> {
    let folder = path.parent().unwrap_or(Path::new(""));
    match own.value("INCLUDES", option, &[]) {
        Ok(names) => {
            Ok(names.split('\n').filter(|name| !name.is_empty()).map(|name| folder.join(name)).collect())
        }
        Err(Missing::Fatal(fatal)) => Err(fatal),
        Err(_) => Ok(Vec::new()),
    }
}
