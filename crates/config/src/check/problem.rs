//! A problem of a configuration, as data: how it is shown is somebody else's business.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// All is well, but good to know.
    Note,
    /// Something will not do what is written there.
    Warning,
    /// A jail, or all of them, will not start.
    Error,
}

/// Part of a line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was opened.
    pub file: Arc<Path>,
    /// Counted from 1.
    pub line: u32,
    /// In bytes from the beginning of the line.
    pub columns: Range<usize>,
    /// The whole line, without its end.
    pub text: Arc<str>,
}

impl Place {
    /// The column in characters, counted from 1.
    pub fn column(&self) -> usize {
        self.text.get(..self.columns.start).map_or(0, |before| before.chars().count()) + 1
    }

    /// What stands there.
    pub fn marked(&self) -> &str {
        self.text.get(self.columns.clone()).unwrap_or_default()
    }

    /// The part of this place that is `text`, or all of it.
    #[must_use]
    pub fn narrowed(mut self, text: &str) -> Self {
        if let Some(at) = self.marked().find(text)
            && !text.is_empty()
        {
            let start = self.columns.start + at;
            self.columns = start..start + text.len();
        }
        self
    }
}

/// Something to know about a problem, and where that is to be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// What.
    pub text: String,
    /// Where, if anywhere.
    pub place: Option<Place>,
}

impl Remark {
    /// A remark about a line.
    pub fn at(text: impl Into<String>, place: Place) -> Self {
        Remark { text: text.into(), place: Some(place) }
    }
}

/// A problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// Its kind in one word, for programs: `unknown-option`.
    pub code: &'static str,
    /// What is wrong, in half a sentence.
    pub title: String,
    /// Where.
    pub place: Option<Place>,
    /// What to say about that place.
    pub label: String,
    /// What led there: includes, references; what else is worth knowing.
    pub remarks: Vec<Remark>,
    /// What to do.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem that has no place yet.
    pub fn new(severity: Severity, code: &'static str, title: impl Into<String>) -> Self {
        let title = title.into();
        Problem { severity, code, title, place: None, label: String::new(), remarks: Vec::new(), hint: None }
    }

    /// Says where it is, and what is wrong there.
    #[must_use]
    pub fn at(mut self, place: impl Into<Option<Place>>, label: impl Into<String>) -> Self {
        self.place = place.into();
        self.label = label.into();
        self
    }

    /// Adds a remark about a line.
    #[must_use]
    pub fn remark(mut self, text: impl Into<String>, place: Place) -> Self {
        self.remarks.push(Remark::at(text, place));
        self
    }

    /// Adds a remark.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.remarks.push(Remark { text: text.into(), place: None });
        self
    }

    /// Adds remarks.
    #[must_use]
    pub fn noting(mut self, remarks: Vec<Remark>) -> Self {
        self.remarks.extend(remarks);
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
