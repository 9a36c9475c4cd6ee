//! A problem as text with a caret, in the look of rustc.

use std::path::Path;

use annotate_snippets::{AnnotationKind, Element, Level, Origin, Renderer, Snippet};
use portcullis_config::check::{Place, Problem, Severity};

/// A longer line, in bytes, is not shown with a caret.
const LONGEST: usize = 4096;
/// Of such a line, so many bytes are shown from where the mistake begins.
const SHOWN: usize = 200;

/// One problem, without a line feed at the end.
pub(super) fn problem(problem: &Problem, renderer: &Renderer) -> String {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let texts: Vec<(Window, &str)> = problem
        .place
        .iter()
        .map(|place| (place, problem.label.as_str()))
        .map(|(place, label)| (Window::new(place), label))
        .collect();
    let remarks: Vec<(&str, Option<Window>)> = problem
        .remarks
        .iter()
        .map(|remark| (remark.text.as_str(), remark.place.as_ref().map(Window::new)))
        .collect();
    let mut elements: Vec<Element<'_>> = Vec::new();
    for (window, label) in &texts {
        window.show(AnnotationKind::Primary, label, &mut elements);
    }
    // Without a place, the label has to be told by itself.
    if problem.place.is_none() && !problem.label.is_empty() {
        elements.push(Level::NOTE.message(problem.label.as_str()).into());
    }
    for (text, window) in &remarks {
        elements.push(Level::NOTE.message(*text).into());
        if let Some(window) = window {
            window.show(AnnotationKind::Context, "", &mut elements);
        }
    }
    elements.extend(problem.hint.iter().map(|hint| Level::HELP.message(hint.as_str()).into()));
    let group = level.primary_title(problem.title.as_str()).id(problem.code).elements(elements);
    renderer.render(&[group])
}

/// The part of a line that is shown.
struct Window {
    path: String,
    line: usize,
    text: String,
    from: usize,
    to: usize,
    /// Whether this is not the whole line.
    cut: bool,
    column: usize,
}

impl Window {
    fn new(place: &Place) -> Self {
        let text = &*place.text;
        let boundary = |mut at: usize| {
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let (start, end) = if text.len() <= LONGEST {
            (0, text.len())
        } else {
            let start = place.columns.start.min(text.len());
            (boundary(start), boundary((start + SHOWN).min(text.len())))
        };
        let from = place.columns.start.clamp(start, end) - start;
        let to = place.columns.end.clamp(start + from, end) - start;
        Window {
            path: place.file.display().to_string(),
            line: place.line as usize,
            text: text[start..end].to_owned(),
            from,
            to,
            cut: text.len() > LONGEST,
            column: place.column(),
        }
    }

    fn show<'a>(&'a self, kind: AnnotationKind, label: &'a str, elements: &mut Vec<Element<'a>>) {
        if self.cut {
            // A snippet would count columns from where it was cut.
            let origin = Origin::path(self.path.as_str()).line(self.line).char_column(self.column);
            elements.push(origin.into());
            let marked = &self.text[self.from..self.to];
            let text = if label.is_empty() { format!("`{marked}`") } else { format!("`{marked}`: {label}") };
            elements.push(Level::NOTE.message(text).into());
            return;
        }
        let mark = kind.span(self.from..self.to);
        let mark = if label.is_empty() { mark } else { mark.label(label) };
        let snippet = Snippet::source(self.text.as_str()).line_start(self.line).path(self.path.as_str());
        elements.push(snippet.annotation(mark).into());
    }
}

/// The last line.
pub(super) fn sum(errors: usize, warnings: usize, jails: usize, all: bool, directory: &Path) -> String {
    let count = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        count => format!("{count} {word}s"),
    };
    let found = match (errors, warnings) {
        (0, 0) => "no problems".into(),
        (0, warnings) => count(warnings, "warning"),
        (errors, 0) => count(errors, "error"),
        (errors, warnings) => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
    };
    let looked_at = if all { "looked at, enabled or not" } else { "enabled" };
    format!("{}: {found}; {} {looked_at}", directory.display(), count(jails, "jail"))
}
