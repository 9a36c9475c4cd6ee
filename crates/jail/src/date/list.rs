//! Which templates a `datepattern` stands for: Fail2ban's default list, its keywords, and patterns of the user's own.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use super::DateError;
use super::field::last_decade;
use super::hand::{Hand, Place};
use super::pattern::{Expression, LINE_BEGIN, Left, Right, dated, whole};
use super::shape::{SHAPES, Shape};
use super::template::{Reading, Template};

/// The default list, in order. `true`: it exists twice, bound to the line's beginning and free.
const DEFAULTS: [(&str, bool); 17] = [
    (r"%ExY(?P<_sep>[-/.])%m(?P=_sep)%d(?:T|  ?)%H:%M:%S(?:[.,]%f)?(?:\s*%z)?", true),
    (r"(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?", true),
    (r"(?:%a )?%b %d %ExY %k:%M:%S(?:\.%f)?", true),
    (r"%d(?P<_sep>[-/])%m(?P=_sep)(?:%ExY|%Exy) %k:%M:%S", true),
    (r"%d(?P<_sep>[-/])%b(?P=_sep)%ExY[ :]?%H:%M:%S(?:\.%f)?(?: %z)?", true),
    (r"%m/%d/%ExY:%H:%M:%S", true),
    (r"%m-%d-%ExY %k:%M:%S(?:\.%f)?", true),
    ("EPOCH", true),
    (r"{^LN-BEG}%H:%M:%S", false),
    (r"^<%m/%d/%Exy@%H:%M:%S>", false),
    (r"%Exy%Exm%Exd  ?%H:%M:%S", true),
    (r"%b %d, %ExY %I:%M:%S %p", true),
    (r"^%b-%d-%Exy %k:%M:%S", false),
    (r"%ExY%Exm%Exd(?:T|  ?)%ExH%ExM%ExS(?:[.,]%f)?(?:\s*%z)?", true),
    (r"(?:%Z )?(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?", true),
    (r"(?:%z )?(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?", true),
    ("TAI64N", true),
];

/// `[20050123-21:59:59]`, as xrdp writes it. Comes last.
// Differs: of Fail2ban 1.1, which takes it without brackets and colons, too, where 1.0.2 finds no date.
const NEWER: &str = r"^\[(%ExY%Exm%Exd-%ExH:%ExM:%ExS(?:[.,]%f)?(?:\s*%z)?)";

/// What a hit of a line-bound copy of a default template counts.
const LINE_BEGIN_WEIGHT: f64 = 100.0;

/// What the lines of a `datepattern` are.
enum Entry<'a> {
    /// `{^LN-BEG}`, or nothing at all (then with the free ones): the default list.
    Defaults { line_begin_only: bool },
    /// Each of the default list in place of `{DATE}`.
    Around(&'a str),
    /// One template.
    Own(&'a str),
}

/// The templates of a `datepattern` in order, and those that the user wrote himself (each is a line in the log).
pub(crate) struct Templates {
    /// All of them, and what a hit of each counts.
    pub(crate) all: Vec<(Arc<Template>, f64)>,
    pub(crate) own: Vec<Own>,
}

/// A template of the user's own, as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Own {
    pub(crate) pattern: String,
    pub(crate) name: String,
    /// In Python's dialect.
    pub(crate) regex: String,
}

/// Reads a `datepattern`. `year` is the present one.
pub(crate) fn templates(datepattern: Option<&str>, year: i16) -> Result<Templates, DateError> {
    let given = datepattern.unwrap_or_default();
    let lines: Vec<&str> = given.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect();
    let entries: Vec<Entry> = match lines[..] {
        [] => vec![Entry::Defaults { line_begin_only: false }],
        [one] if one.eq_ignore_ascii_case("{DEFAULT}") => vec![Entry::Defaults { line_begin_only: false }],
        // Among others, `{DEFAULT}` adds nothing.
        _ => lines
            .iter()
            .filter(|line| !line.eq_ignore_ascii_case("{DEFAULT}"))
            .map(|line| entry(line))
            .collect(),
    };
    let mut list = List { names: HashSet::new(), all: Vec::new(), own: Vec::new() };
    for entry in entries {
        match entry {
            Entry::Defaults { line_begin_only } => {
                let wanted = defaults(year)?.iter().filter(|t| t.line_begin || !line_begin_only);
                wanted.for_each(|t| list.add_missing(Arc::clone(&t.template), t.weight));
            }
            Entry::Around(text) => {
                for (at, (default, _)) in DEFAULTS.iter().enumerate() {
                    let mut template = around(text, default, year)?;
                    template.hand = place(text, default, SHAPES[at]).map(|place| Hand {
                        shape: SHAPES[at],
                        place,
                        decade: last_decade(year),
                    });
                    // The user's part is in all of them: when one compiles, so do the others. Where it is nothing of a
                    // regular expression, there is nothing that could fail.
                    if at == 0 && template.hand.is_none() {
                        template.check()?;
                    }
                    list.add_missing(Arc::new(template), 1.0);
                }
            }
            Entry::Own(text) => list.add_own(default_or_own(text, year)?)?,
        }
    }
    Ok(Templates { all: list.all, own: list.own })
}

struct List {
    names: HashSet<String>,
    all: Vec<(Arc<Template>, f64)>,
    own: Vec<Own>,
}

impl List {
    /// Adds a template of a list, or lends its weight to the one of the same name.
    fn add_missing(&mut self, template: Arc<Template>, weight: f64) {
        if self.names.insert(template.name.clone()) {
            self.all.push((template, weight));
        } else if let Some((_, known)) = self.all.iter_mut().find(|(known, _)| known.name == template.name) {
            *known = weight;
        }
    }

    fn add_own(&mut self, template: Arc<Template>) -> Result<(), DateError> {
        if !self.names.insert(template.name.clone()) {
            return Err(DateError::Duplicate(template.name.clone()));
        }
        self.own.push(Own {
            pattern: template.pattern.clone(),
            name: template.name.clone(),
            regex: template.python.clone(),
        });
        self.all.push((template, 1.0));
        Ok(())
    }
}

fn entry(line: &str) -> Entry<'_> {
    if line.eq_ignore_ascii_case(LINE_BEGIN) {
        Entry::Defaults { line_begin_only: true }
    } else if find_keyword(line, "{DATE}").is_some() {
        Entry::Around(line)
    } else {
        Entry::Own(line)
    }
}

/// A template of the default list.
struct Default {
    template: Arc<Template>,
    weight: f64,
    /// Whether `{^LN-BEG}` alone has it.
    line_begin: bool,
}

/// The default list as of `year`, the same one for all jails: what is compiled of it is compiled once.
fn defaults(year: i16) -> Result<&'static [Default], DateError> {
    static LISTS: [OnceLock<Vec<Default>>; 10] = [const { OnceLock::new() }; 10];
    let list = &LISTS[usize::from(last_decade(year))];
    match list.get() {
        Some(list) => Ok(list),
        None => default_list(year).map(|new| list.get_or_init(|| new).as_slice()),
    }
}

/// First the line-bound copies, then all as they stand.
fn default_list(year: i16) -> Result<Vec<Default>, DateError> {
    let mut list = Vec::new();
    let decade = last_decade(year);
    for ((pattern, twice), shape) in DEFAULTS.into_iter().zip(SHAPES) {
        if twice {
            let mut template = own(&format!("{LINE_BEGIN}{pattern}"), year)?;
            template.hand = Some(Hand { shape, place: Place::Beginning(2), decade });
            list.push(Default { template: Arc::new(template), weight: LINE_BEGIN_WEIGHT, line_begin: true });
        }
    }
    for ((pattern, twice), shape) in DEFAULTS.into_iter().zip(SHAPES) {
        let mut template = own(pattern, year)?;
        let place = match shape {
            Shape::Clock => Place::Beginning(2),
            Shape::Angle | Shape::Dashes => Place::Beginning(0),
            _ => Place::Anywhere,
        };
        template.hand = Some(Hand { shape, place, decade });
        list.push(Default { template: Arc::new(template), weight: 1.0, line_begin: !twice });
    }
    let mut newer = own(NEWER, year)?;
    newer.newer = true;
    list.push(Default { template: Arc::new(newer), weight: LINE_BEGIN_WEIGHT, line_begin: true });
    Ok(list)
}

/// A default template in place of the `{DATE}` of `text`.
fn around(text: &str, default: &str, year: i16) -> Result<Template, DateError> {
    let free = default.strip_prefix(LINE_BEGIN).unwrap_or(default);
    let Some(at) = find_keyword(text, "{DATE}") else { return own(text, year) };
    let (before, after) = (&text[..at], &text[at + "{DATE}".len()..]);
    let word = match free {
        "EPOCH" if !keyword_place(before, after) => "Epoch",
        other => other,
    };
    own(&format!("{before}{word}{after}"), year)
}

/// Where a default template stands in `text`, if that needs no regular expression: in the logs of web servers, and where
/// lines begin with it.
fn place(text: &str, default: &str, shape: Shape) -> Option<Place> {
    let anchored = default.starts_with('^');
    match text {
        r"^[^\[]*\[({DATE})" if !anchored && !matches!(shape, Shape::Epoch | Shape::Tai64n) => {
            Some(Place::Bracket)
        }
        "{DATE}" if !anchored => Some(Place::Anywhere),
        "{^LN-BEG}{DATE}" if !anchored => Some(Place::Beginning(2)),
        // The keywords are bound to the line's beginning in their own way.
        "^{DATE}" if matches!(shape, Shape::Epoch | Shape::Tai64n) => Some(Place::Beginning(2)),
        "{DATE}" | "{^LN-BEG}{DATE}" | "^{DATE}" => Some(Place::Beginning(0)),
        _ => None,
    }
}

/// Whether a keyword keeps its meaning in place of `{DATE}`: alone, or bound to the line's beginning.
fn keyword_place(before: &str, after: &str) -> bool {
    after.is_empty() && (before.is_empty() || before == LINE_BEGIN || before == "^")
}

/// Byte offset of a keyword in any case. A pattern with a percent sign is taken by the letter.
fn find_keyword(text: &str, keyword: &str) -> Option<usize> {
    if text.contains('%') { text.find(keyword) } else { text.to_ascii_uppercase().find(keyword) }
}

/// The template of one pattern, compiled; or the one of the default list that is the same.
fn default_or_own(text: &str, year: i16) -> Result<Arc<Template>, DateError> {
    let template = own(text, year)?;
    let is_same = |default: &&Default| {
        let default = &default.template;
        !default.newer && default.name == template.name && default.python == template.python
    };
    if let Some(default) = defaults(year)?.iter().find(is_same) {
        return Ok(Arc::clone(&default.template));
    }
    template.check()?;
    Ok(Arc::new(template))
}

/// The template of one pattern.
fn own(text: &str, year: i16) -> Result<Template, DateError> {
    let upper = if text.contains('%') { text.to_owned() } else { text.to_ascii_uppercase() };
    let (line_begin, word) = match upper.strip_prefix(LINE_BEGIN).or_else(|| upper.strip_prefix('^')) {
        Some(word) => (true, word),
        None => (false, upper.as_str()),
    };
    match word {
        "EPOCH" => return Ok(epoch(false, line_begin)),
        "LEPOCH" => return Ok(epoch(true, line_begin)),
        "TAI64N" => return Ok(tai64n(line_begin)),
        "{NONE}" if !line_begin => {
            let (name, expression) = dated("{UNB}^", year)?;
            return Ok(Template::new(name, "{UNB}^", &expression, Reading::Fields));
        }
        _ => {}
    }
    for (keyword, digits, reading) in
        [("{LEPOCH}", LONG_EPOCH, Reading::LongEpoch(&[2])), ("{EPOCH}", EPOCH, Reading::Epoch(&[2]))]
    {
        if let Some(at) = text.to_ascii_uppercase().find(keyword) {
            let regex = format!("{}({digits}){}", &text[..at], &text[at + keyword.len()..]);
            return Ok(Template::new(text.to_owned(), "", &whole(&regex), reading));
        }
    }
    let (name, expression) = dated(text, year)?;
    Ok(Template::new(name, text, &expression, Reading::Fields))
}

const EPOCH: &str = r"\d{10,11}\b(?:\.\d{3,6})?";
const LONG_EPOCH: &str = r"\d{10,11}(?:\d{3}(?:\.\d{1,6}|\d{3})?)?";

/// Seconds since 1970, at the start of the line, in brackets there, or in the audit log's `audit(…:42)`.
fn epoch(long: bool, line_begin: bool) -> Template {
    let digits = if long { LONG_EPOCH } else { EPOCH };
    let name = if long { "LongEpoch" } else { "Epoch" };
    if line_begin {
        // The bracket behind is asked for in vain: the group in front of it may be left out.
        let body = format!(r"((?P<square>(?<=^\[))?{digits})(?(square)(?=\]))");
        let expression = Expression {
            flags: String::new(),
            left: Left::LineBegin,
            body,
            right: Right::Boundary,
            anchored: true,
        };
        let python = expression.python();
        let linear = Expression { body: format!("({digits})"), ..expression };
        let reading = if long { Reading::LongEpoch(&[1]) } else { Reading::Epoch(&[1]) };
        let mut template = Template::new(format!("{LINE_BEGIN}{name}"), "", &linear, reading);
        template.python = python;
        return template;
    }
    let places = r"(?:^|(?P<square>(?<=^\[))|(?P<selinux>(?<=\baudit\()))";
    let python = format!(r"({places}{digits})(?:(?(selinux)(?=:\d+\)))|(?(square)(?=\])))(?=\b|\W|$)");
    // Python's `(?(group)…)|…` asks for nothing behind the digits: the second branch is empty for the first one's group.
    let end = r"(?:\b{start-half}|\b{end-half})";
    let rust = format!(r"^\[?({digits}){end}|\b{{start}}audit\(({digits}){end}");
    let reading = if long { Reading::LongEpoch(&[1, 2]) } else { Reading::Epoch(&[1, 2]) };
    Template::written(name.to_owned(), "", python, false, vec![rust], false, reading, &[1, 2])
}

/// A TAI64N label: `@` and 24 hexadecimal digits.
fn tai64n(line_begin: bool) -> Template {
    let expression = Expression {
        flags: String::new(),
        left: if line_begin { Left::LineBegin } else { Left::Anything },
        body: "(@[0-9a-f]{24})".to_owned(),
        right: Right::Boundary,
        anchored: line_begin,
    };
    let name = if line_begin { format!("{LINE_BEGIN}TAI64N") } else { "TAI64N".to_owned() };
    Template::new(name, "", &expression, Reading::Tai64n)
}
