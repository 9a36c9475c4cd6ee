//! Several files made one configuration: which ones, in which order, and what each changes.
//!
//! For a name such as `jail` these are `jail.conf`, `jail.d/*.conf`, `jail.local`, `jail.d/*.local`, each with what its
//! `[INCLUDES]` names around it. Later ones win, option by option; what they replace stays known.

use std::cell::{OnceCell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use portcullis_value::repr_str;

use crate::folders::Folders;
use crate::ini::{self, Parsed};
use crate::interpolate::Missing;
use crate::maps::{HashMap, HashSet, Map};
use crate::message::{Fatal, Messages};
use crate::prepared::Prepared;
use crate::python::is_word;
use crate::source::{Source, Unreadable};

/// More files than this for one name mean includes that multiply.
const MOST_FILES: usize = 20_000;
/// A longer chain of includes is an error: where Fail2ban runs into Python's recursion limit.
pub(crate) const DEEPEST_INCLUDE: usize = 489;

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
    pub(crate) options: Map<Arc<str>, Setting>,
    pub(crate) known: HashMap<Arc<str>, Known>,
}

impl Section {
    /// What was there before the last file that changed it, as a section.
    pub(crate) fn before(&self) -> Section {
        let mut before = Section::default();
        for (name, setting) in &self.options {
            if let Some((raw, origin)) = self.known_of(name, setting) {
                let setting = Setting { raw: raw.clone(), origin: origin.clone(), shadowed: Vec::new() };
                before.options.insert(name.clone(), setting);
            }
        }
        before
    }

    /// What one of the options was before the last file that changed it.
    pub(crate) fn known_of<'a>(&self, name: &str, setting: &'a Setting) -> Option<&'a (Arc<str>, Origin)> {
        let last = setting.shadowed.last()?;
        matches!(self.known.get(name), Some(Known::Text(_))).then_some(last)
    }

    /// Options in the order of their first appearance.
    pub fn options(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.options.iter().map(|(name, setting)| (&**name, setting))
    }
}

/// All files of one name, put together.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    pub(crate) defaults: Section,
    pub(crate) sections: Map<Arc<str>, Section>,
    /// Whether what is known of options matters, since values refer to it. Only for the layers of jails.
    pub(crate) known_matters: bool,
    /// What `[Init]` says, once somebody wanted to know.
    init: OnceCell<Vec<Init>>,
    /// Of an action: its options for the jails that use it.
    pub(crate) prepared: RefCell<Vec<Prepared>>,
}

/// An option of `[Init]` with everything replaced.
#[derive(Clone, Debug)]
pub(crate) struct Init {
    pub(crate) name: Arc<str>,
    /// The name behind `known/`.
    pub(crate) known: Arc<str>,
    pub(crate) value: Arc<str>,
}

impl Layers {
    /// What `[Init]` says, of a filter or an action. (Nobody changes these once they are put together.)
    pub(crate) fn init(&self) -> Result<&[Init], Fatal> {
        if let Some(init) = self.init.get() {
            return Ok(init);
        }
        let mut init = Vec::new();
        for (name, _) in self.sections.get("Init").iter().flat_map(|section| &section.options) {
            match self.value("Init", name, &[]) {
                _ if &**name == "__name__" => {}
                Ok(value) => {
                    init.push(Init { name: name.clone(), known: format!("known/{name}").into(), value });
                }
                Err(Missing::Fatal(fatal)) => return Err(fatal),
                Err(_) => {}
            }
        }
        Ok(self.init.get_or_init(|| init))
    }

    /// A section; `DEFAULT` is one, too.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.get(name).or_else(|| (name == "DEFAULT").then_some(&self.defaults))
    }

    /// Sections in the order of their first appearance, without `DEFAULT`.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &Section)> {
        self.sections.iter().map(|(name, section)| (&**name, section))
    }

    /// Where the option of a section stands, or that of `[DEFAULT]`: `FILE:LINE`.
    pub(crate) fn place(&self, section: &str, option: &str) -> String {
        let own = self.section(section).and_then(|section| section.options.get(option));
        match own.or_else(|| self.defaults.options.get(option)) {
            Some(Setting { origin, .. }) => format!("{}:{}", origin.file.display(), origin.line),
            None => "nowhere".into(),
        }
    }

    /// Lets the values of one more file win over what is there.
    pub(crate) fn add(&mut self, path: &Arc<Path>, parsed: &Parsed) {
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

    /// Whether any value may refer to another as `%(known/x)s`.
    pub(crate) fn refers_to_known(&self) -> bool {
        let sections = self.sections.values().chain([&self.defaults]);
        sections.flat_map(|section| section.options.values()).any(|setting| mentions_known(&setting.raw))
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
    match memchr::memchr(b'?', name.as_bytes()) {
        Some(at) if at > 0 && at + 1 < name.len() && name[..at].chars().all(is_word) => name.split_at(at),
        _ => (name, ""),
    }
}

/// Adds a file's section. What it replaces is remembered as known, except in `[DEFAULT]`, which has no condition either.
fn merge(into: &mut Section, path: &Arc<Path>, from: &ini::Section, condition: Option<&str>) {
    into.options.reserve(from.len());
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

/// Whether `(known/` or `/known/` occurs in any case. Of its `k` there is one beyond ASCII as well.
fn mentions_known(raw: &str) -> bool {
    memchr::memchr_iter(b'/', raw.as_bytes()).any(|at| {
        let Some(nown) = at.checked_sub(4).and_then(|from| raw.get(from..at)) else { return false };
        let before = raw[..at - 4].strip_suffix(['k', 'K', '\u{212a}']);
        nown.eq_ignore_ascii_case("nown") && before.is_some_and(|before| before.ends_with(['(', '/']))
    })
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
    /// What is wrong with one jail costs that jail only.
    pub(crate) jail_by_jail: bool,
    /// Jails are read whether they are enabled or not.
    pub(crate) even_disabled: bool,
    pub(crate) messages: Messages,
    folders: Folders<'a>,
    /// What files are read into, one after the other.
    buffer: Vec<u8>,
    files: HashMap<PathBuf, Rc<File>>,
    /// Included files that are not there.
    absent: HashSet<PathBuf>,
    lists: HashMap<PathBuf, Rc<Vec<Rc<File>>>>,
    layers: HashMap<PathBuf, Option<Rc<Layers>>>,
    /// With `Some`, a file of wrong syntax that only adds to another (`.local`, `.d/`) is left out; what was wrong with it.
    pub(crate) left_out: Option<Vec<String>>,
    /// What is found at this stem: that file and its `.local`, and no `.d/`.
    pub(crate) alone: Option<(PathBuf, PathBuf)>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(source: &'a Source) -> Self {
        Reader {
            source,
            jail_by_jail: false,
            even_disabled: false,
            messages: Messages::default(),
            folders: Folders::new(source),
            buffer: Vec::new(),
            files: HashMap::default(),
            absent: HashSet::default(),
            lists: HashMap::default(),
            layers: HashMap::default(),
            left_out: None,
            alone: None,
        }
    }

    /// Everything that configures `name` (`jail`, `filter.d/sshd`), which is found at `stem` with an extension added.
    /// Nothing if no file can be read; that was said when it was asked for first.
    pub(crate) fn layers(&mut self, name: &str, stem: &Path) -> Result<Option<Rc<Layers>>, Fatal> {
        if let Some(layers) = self.layers.get(stem) {
            return Ok(layers.clone());
        }
        let layers = self.put_together(name, stem)?.map(Rc::new);
        self.layers.insert(stem.to_owned(), layers.clone());
        Ok(layers)
    }

    fn put_together(&mut self, name: &str, stem: &Path) -> Result<Option<Layers>, Fatal> {
        let directory = self.source.path().display();
        self.messages.info("configreader", || format!("Loading configs for {name} under {directory} "));
        let with = |extension: &str| {
            let mut path = stem.as_os_str().to_owned();
            path.push(extension);
            PathBuf::from(path)
        };
        let alone = self.alone.as_ref().filter(|(alone, _)| alone == stem);
        let main = alone.map_or_else(|| with(".conf"), |(_, file)| file.clone());
        let folder = with(".d");
        let mut more = |extension: &str| match alone {
            Some(_) => Vec::new(),
            None => self.folders.files_in(&folder, extension),
        };
        let mut candidates = vec![main.clone()];
        candidates.extend(more(".conf"));
        candidates.push(with(".local"));
        candidates.extend(more(".local"));
        candidates.retain(|path| self.folders.exists(path));
        self.messages.debug("configreader", || format!("Reading configs for {name} under {directory} "));
        let absent = || format!("Found no accessible config files for {} under {directory}", repr_str(name));
        if candidates.is_empty() {
            self.messages.error("configreader", absent());
            return Ok(None);
        }
        self.messages.debug("configreader", || {
            let paths = candidates.iter().map(|path| path.display().to_string());
            format!("Reading config files: {}", paths.collect::<Vec<_>>().join(", "))
        });
        let mut files = Vec::new();
        for path in &candidates {
            match (self.list(path, &mut Vec::new()), &mut self.left_out) {
                (Ok(list), _) => files.extend(list.iter().cloned()),
                (Err(Fatal(why)), Some(left_out)) if *path != main => {
                    let why = why.replace('\n', " ");
                    let text = format!("{} is left out: {why}. Mend it and reload", path.display());
                    self.messages.error("configreader", text.clone());
                    left_out.push(text);
                }
                (Err(fatal), _) => return Err(fatal),
            }
        }
        let readable: Vec<_> = files.iter().filter(|file| file.parsed.is_some()).collect();
        self.messages.info("configparserinc", || {
            let names = readable.iter().map(|file| repr_str(&file.path.to_string_lossy()));
            format!("  Loading files: [{}]", names.collect::<Vec<_>>().join(", "))
        });
        let mut layers = Layers::default();
        for file in &readable {
            if let Some(parsed) = &file.parsed {
                layers.add(&file.path, parsed);
            }
        }
        let missed: Vec<_> = candidates
            .iter()
            .filter(|path| match self.files.get(*path) {
                Some(file) => file.parsed.is_none(),
                // What was left out has been told.
                None => self.left_out.is_none(),
            })
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

    /// A file between those that it includes. `chain` holds the files that led here. What a file brings with it is found
    /// out once: met again from elsewhere, it brings the same.
    fn list(&mut self, path: &Path, chain: &mut Vec<PathBuf>) -> Result<Rc<Vec<Rc<File>>>, Fatal> {
        // Of files that include each other, Fail2ban knows what was left out when they were first included, but begins anew with those
        // that it reads by themselves.
        let included = !chain.is_empty();
        if let Some(files) = self.lists.get(path).filter(|_| included) {
            return Ok(files.clone());
        }
        let file = self.file(path)?;
        if chain.len() >= DEEPEST_INCLUDE {
            return Err(Fatal("maximum recursion depth exceeded while calling a Python object".into()));
        }
        let mut files = Vec::new();
        self.include(&file, &file.before, chain, &mut files)?;
        files.push(file.clone());
        self.include(&file, &file.after, chain, &mut files)?;
        if files.len() > MOST_FILES {
            return Err(Fatal(format!("{} includes more than {MOST_FILES} files", path.display())));
        }
        let files = Rc::new(files);
        if included {
            self.lists.insert(path.to_owned(), files.clone());
        }
        Ok(files)
    }

    /// Adds files that `file` includes, behind each its `.local` unless that is named itself. Files on the way to `file` are
    /// left out. Their `.local` are not, so that one which includes its own `.conf` never ends, as in Fail2ban.
    fn include(
        &mut self,
        file: &File,
        paths: &[PathBuf],
        chain: &mut Vec<PathBuf>,
        files: &mut Vec<Rc<File>>,
    ) -> Result<(), Fatal> {
        let named: HashSet<&PathBuf> = paths.iter().collect();
        let paths: Vec<_> = paths.iter().filter(|path| !chain.contains(path)).collect();
        chain.push(file.path.to_path_buf());
        for path in paths {
            if self.folders.exists(path) {
                files.extend(self.list(path, chain)?.iter().cloned());
            } else if self.absent.insert(path.clone()) {
                let loading = || format!("  Loading files: [{}]", repr_str(&path.to_string_lossy()));
                self.messages.info("configparserinc", loading);
            }
            let local = path.with_extension("local");
            if !named.contains(&local) && self.folders.exists(&local) {
                files.extend(self.list(&local, chain)?.iter().cloned());
            }
            if files.len() > MOST_FILES {
                break;
            }
        }
        chain.pop();
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<Rc<File>, Fatal> {
        if let Some(file) = self.files.get(path) {
            return Ok(file.clone());
        }
        let name = path.to_string_lossy();
        self.messages.info("configparserinc", || format!("  Loading files: [{}]", repr_str(&name)));
        let parsed = match self.source.text(path, &mut self.buffer) {
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
            file.before = includes(&parsed, "before", &file.path)?;
            file.after = includes(&parsed, "after", &file.path)?;
            file.parsed = Some(parsed);
        }
        let file = Rc::new(file);
        self.files.insert(path.to_owned(), file.clone());
        Ok(file)
    }
}

/// The files that a file's own `[INCLUDES]` names under `option`.
fn includes(parsed: &Parsed, option: &str, path: &Arc<Path>) -> Result<Vec<PathBuf>, Fatal> {
    let Some(section) = parsed.sections.get("INCLUDES") else { return Ok(Vec::new()) };
    match section.get(option).or_else(|| parsed.defaults.get(option)) {
        None => Ok(Vec::new()),
        Some(entry) if !entry.raw.contains('%') => Ok(beside(path, &entry.raw)),
        Some(_) => {
            let mut own = Layers::default();
            own.add(path, parsed);
            included(&own, option, path)
        }
    }
}

/// The files that `[INCLUDES]` names under `option`, relative to the file itself.
pub(crate) fn included(own: &Layers, option: &str, path: &Path) -> Result<Vec<PathBuf>, Fatal> {
    match own.value("INCLUDES", option, &[]) {
        Ok(names) => Ok(beside(path, &names)),
        Err(Missing::Fatal(fatal)) => Err(fatal),
        Err(_) => Ok(Vec::new()),
    }
}

/// Names, one a line, relative to the file at `path`.
fn beside(path: &Path, names: &str) -> Vec<PathBuf> {
    let folder = path.parent().unwrap_or(Path::new(""));
    names.split('\n').filter(|name| !name.is_empty()).map(|name| folder.join(name)).collect()
}
