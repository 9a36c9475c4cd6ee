//! The whole check: the server's and the jails' files, then the filters and actions of each jail that is enabled.

use std::path::PathBuf;
use std::rc::Rc;

use indexmap::IndexMap;

use super::brackets;
use super::options::{self, Family, similar};
use super::tree::{Leaf, Tree};
use super::{Place, Problem, Severity};
use crate::definition::{self, Kind};
use crate::interpolate::Missing;
use crate::layers::{Layers, Reader, Section};
use crate::source::Source;
use crate::stream::{self, Configuration, Request};
use crate::{Settings, arguments, jail, python};

/// A configuration that was looked through.
pub struct Checked {
    /// What is wrong with the text of the files, in their order.
    pub problems: Vec<Problem>,
    /// What would be sent to the server, if anything can be read.
    pub configuration: Option<Configuration>,
    pub(super) layers: Rc<Layers>,
    pub(super) jail_files: Vec<Leaf>,
    /// The files of each enabled jail's filter and actions.
    pub(super) parts: IndexMap<String, Vec<Part>>,
}

/// A filter or action that a jail names.
pub(super) struct Part {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) files: Vec<Leaf>,
}

pub(super) fn check(source: &Source, all: bool) -> Checked {
    let mut tree = Tree::new(source);
    let mut problems = Vec::new();
    let server = tree.family(&source.path().join("fail2ban"));
    options::look(Family::Server, &server, &mut problems);
    let jail_files = tree.family(&source.path().join("jail"));
    options::look(Family::Jail, &jail_files, &mut problems);
    problems.extend(settings(source));

    let layers = layers(source, &mut problems, &tree, jail_files.is_empty());
    let mut checked = Checked {
        problems,
        configuration: None,
        layers: Rc::new(layers),
        jail_files,
        parts: IndexMap::new(),
    };
    let jails: Vec<String> = checked
        .layers
        .sections()
        .map(|(name, _)| name)
        .filter(|name| *name != "INCLUDES" && !name.starts_with("KNOWN/"))
        .filter(|name| all || checked.is_enabled(name))
        .map(str::to_owned)
        .collect();
    let mut seen = Vec::new();
    for jail in &jails {
        checked.parts_of(jail, source, &mut tree, &mut seen);
    }
    let request = Request {
        allow_no_files: true,
        jail_by_jail: true,
        skip_broken_files: true,
        even_disabled: all,
        ..Request::default()
    };
    if let Ok(configuration) = stream::read(source, &request) {
        checked.broken(&configuration);
        checked.configuration = Some(configuration);
    }
    // What keeps files from being read comes first.
    tree.problems.append(&mut checked.problems);
    checked.problems = tree.problems;
    checked
}

/// The jails' files put together, those of wrong syntax left out.
fn layers(source: &Source, problems: &mut Vec<Problem>, tree: &Tree, none: bool) -> Layers {
    let mut reader = Reader::new(source);
    reader.left_out = Some(Vec::new());
    let mut layers = match reader.layers("jail", &source.path().join("jail")) {
        Ok(Some(layers)) => (*layers).clone(),
        Ok(None) => {
            if none && tree.problems.is_empty() {
                let title = format!("there is no `jail.conf` in `{}`", source.path().display());
                problems.push(Problem::new(Severity::Error, "unreadable", title));
            }
            Layers::default()
        }
        Err(fatal) => {
            // Told of each line already, unless it is none of a line.
            if tree.problems.iter().all(|problem| problem.severity < Severity::Error) {
                problems.push(Problem::new(Severity::Error, "syntax", fatal.0));
            }
            Layers::default()
        }
    };
    layers.define_default("fail2ban_version", "1.0.2");
    layers.define_default("fail2ban_confpath", &source.path().display().to_string());
    layers
}

/// The files of all jails, and those of one jail's filter and actions. And whether that jail is enabled.
pub(super) fn open(source: &Source, jail: &str) -> (Checked, bool) {
    let mut tree = Tree::new(source);
    let jail_files = tree.family(&source.path().join("jail"));
    let mut problems = Vec::new();
    let layers = layers(source, &mut problems, &tree, jail_files.is_empty());
    let mut checked = Checked {
        problems,
        configuration: None,
        layers: Rc::new(layers),
        jail_files,
        parts: IndexMap::new(),
    };
    checked.parts_of(jail, source, &mut tree, &mut Vec::new());
    let enabled = checked.is_enabled(jail);
    (checked, enabled)
}

/// What `portcullis.conf` has to say; its reader tells places as text.
fn settings(source: &Source) -> Vec<Problem> {
    let Ok(settings) = Settings::read(source.path()) else { return Vec::new() };
    let mut tree = Tree::new(source);
    let files = tree.family(&source.path().join("portcullis"));
    let mut problems = std::mem::take(&mut tree.problems);
    for text in settings.problems {
        let place = files.iter().find_map(|leaf| {
            let rest = text.strip_prefix(&format!("{}:", leaf.sheet.path.display()))?;
            let (line, rest) = rest.split_once(": ")?;
            let entry = leaf.sheet.entry_at(line.parse().ok()?)?;
            Some((leaf.sheet.place(&entry.at), rest.to_owned()))
        });
        problems.push(match place {
            Some((place, text)) => Problem::new(Severity::Warning, "setting", text).at(place, ""),
            None => Problem::new(Severity::Warning, "setting", text),
        });
    }
    problems
}

impl Checked {
    /// Whether the server would run this jail.
    pub fn is_enabled(&self, jail: &str) -> bool {
        self.value(jail, "enabled").is_some_and(|text| python::truth(&text))
    }

    /// The jails that were looked at, be they good or not.
    pub fn jails(&self) -> impl Iterator<Item = &str> {
        self.parts.keys().map(String::as_str)
    }

    /// The value of a jail's option, references replaced; what only a filter can tell (`%(known/…)s`) is not.
    pub fn value(&self, jail: &str, option: &str) -> Option<String> {
        Some(self.layers.value(jail, option, &[]).ok()?.to_string())
    }

    /// Reads the files of a jail's filter and actions, and looks through those that are new.
    fn parts_of(&mut self, jail: &str, source: &Source, tree: &mut Tree, seen: &mut Vec<PathBuf>) {
        let mut parts = Vec::new();
        for option in jail::option_names() {
            if let Err(Missing::Fatal(fatal)) = self.layers.value(jail, option, &[]) {
                // `%(known/…)s` of the filter is only known to the reader of jails.
                let unknown = fatal.0.starts_with("Bad value substitution");
                if unknown && !fatal.0.contains("interpolation key 'known/") {
                    let problem = self.reference(jail, option, &fatal.0);
                    self.problems.push(problem);
                }
            }
        }
        let text = |option: &str| self.layers.value(jail, option, &[]).unwrap_or_default();
        let filter = arguments::parse(&text("filter")).ok();
        let actions = text("action");
        let actions = arguments::split(&actions).into_iter().filter_map(|text| arguments::parse(text).ok());
        let named = filter.into_iter().map(|filter| (Kind::Filter, filter));
        let mut found = Vec::new();
        for (kind, reference) in named.chain(actions.map(|action| (Kind::Action, action))) {
            let name = &reference.name;
            let python =
                kind == Kind::Action && std::path::Path::new(name).extension().is_some_and(|e| e == "py");
            if python {
                continue;
            }
            let (_, stem) = definition::place(kind, name, source.path());
            let files = tree.family(&stem);
            if files.is_empty() {
                found.push(self.absent(jail, kind, name, source));
            } else if !seen.contains(&stem) {
                let family = if kind == Kind::Filter { Family::Filter } else { Family::Action };
                options::look(family, &files, &mut found);
                seen.push(stem);
            }
            let part = Part { kind, name: name.clone(), files };
            found.extend(brackets::look(self, jail, &reference, &part));
            parts.push(part);
        }
        self.problems.append(&mut found);
        self.parts.insert(jail.to_owned(), parts);
    }

    fn absent(&self, jail: &str, kind: Kind, name: &str, source: &Source) -> Problem {
        let (word, folder, option) = match kind {
            Kind::Filter => ("filter", "filter.d", "filter"),
            Kind::Action => ("action", "action.d", "action"),
        };
        let (place, remarks) = self.text_place(jail, option, name);
        // A filter that the jail is named after is nowhere named itself.
        let place = place.filter(|place| place.marked() == name).or_else(|| self.section_place(jail));
        let mut names: Vec<String> = source
            .files_in(&source.path().join(folder), ".conf")
            .iter()
            .chain(&source.files_in(&source.path().join(folder), ".local"))
            .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .collect();
        names.dedup();
        let near: Vec<String> = near(name, &names).iter().map(|name| format!("`{name}`")).collect();
        let problem = Problem::new(Severity::Error, "no-such-file", format!("jail `{jail}`: no such {word}"))
            .at(place, format!("there is no `{folder}/{name}.conf`"))
            .noting(remarks);
        match near.len() {
            0 if names.is_empty() => problem.hint(format!("`{folder}` has none at all")),
            0 => problem.hint(format!("there are {} others in `{folder}`", names.len())),
            1 => problem.hint(format!("there is {}", near.join(", "))),
            _ => problem.hint(format!("there are {}", near.join(", "))),
        }
    }

    /// A value that refers to something that is not there.
    fn reference(&self, jail: &str, option: &str, why: &str) -> Problem {
        let key = why.split("an interpolation key '").nth(1).and_then(|rest| rest.split('\'').next());
        let problem =
            Problem::new(Severity::Error, "reference", format!("jail `{jail}`: `{option}` cannot be read"));
        let Some(key) = key else { return problem.note(why) };
        let (place, remarks) = self.text_place(jail, option, &format!("%({key})s"));
        let names = self.names(jail);
        let problem = problem.at(place, format!("there is no option `{key}`")).noting(remarks);
        match similar(key, names.iter().map(String::as_str)) {
            Some(meant) => problem.hint(format!("did you mean `%({meant})s`?")),
            None => problem.hint(format!("define `{key}` under `[{jail}]` or `[DEFAULT]`")),
        }
    }

    /// Whatever else keeps a jail from being read.
    fn broken(&mut self, configuration: &Configuration) {
        for words in &configuration.stream {
            let [name, text] = words.as_slice() else { continue };
            let (Some("config-error"), Some(text)) = (name.as_str(), text.as_str()) else { continue };
            let Some((jail, why)) = text
                .strip_prefix("Jail '")
                .and_then(|rest| rest.split_once("' skipped, because of wrong configuration: "))
            else {
                continue;
            };
            let told = |problem: &Problem| {
                matches!(problem.code, "no-such-file" | "reference")
                    && problem.title.contains(&format!("`{jail}`"))
            };
            if self.problems.iter().any(told) {
                continue;
            }
            let option = jail::option_names().find(|option| {
                why.contains(&format!(" {option} = "))
                    || why.contains(&format!("option '{option}' in section"))
            });
            let option = option.or_else(|| why.contains("action").then_some("action"));
            let place =
                self.option_place(jail, option.unwrap_or("filter")).or_else(|| self.section_place(jail));
            let title = format!("jail `{jail}` cannot be read");
            let why =
                why.rsplit_once(": expected").map_or(why.to_owned(), |(_, rest)| format!("expected{rest}"));
            let problem = Problem::new(Severity::Error, "jail", title).at(place, why);
            self.problems.push(problem);
        }
    }

    /// Every name that a value of the jail may refer to.
    fn names(&self, jail: &str) -> Vec<String> {
        let sections = [self.layers.section(jail), self.layers.section("DEFAULT")];
        sections.into_iter().flatten().flat_map(Section::options).map(|(name, _)| name.to_owned()).collect()
    }

    /// The header of a jail's section in the last file that has one.
    pub fn section_place(&self, jail: &str) -> Option<Place> {
        self.jail_files.iter().rev().find_map(|leaf| {
            let block = leaf.sheet.blocks.iter().find(|block| block.name == jail)?;
            Some(leaf.sheet.place(&block.at))
        })
    }
}

/// Names that may have been meant: those that differ little, then those that begin alike or hold it.
fn near<'a>(name: &str, names: &'a [String]) -> Vec<&'a str> {
    let mut out: Vec<&str> = similar(name, names.iter().map(String::as_str)).into_iter().collect();
    let lower = name.to_lowercase();
    let start: String = lower.chars().take(4).collect();
    for known in names {
        let alike = known.contains(&lower) || (start.chars().count() == 4 && known.starts_with(&start));
        if alike && !out.contains(&known.as_str()) && out.len() < 6 {
            out.push(known);
        }
    }
    out
}
