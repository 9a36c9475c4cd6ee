//! `portcullis config show`: the value in force, and every line that had a part in it.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use portcullis_config::check::{Explained, Place, Step, explain};
use portcullis_config::{Origin, Source};

use crate::portcullis::Show;

/// Shows one option of a jail, or all.
pub(crate) fn show(arguments: &Show) -> ExitCode {
    let source = Source::with_catalogue(&arguments.conf);
    match explain(&source, &arguments.jail, arguments.option.as_deref()) {
        Ok(options) => {
            let page = Page { directory: &arguments.conf, out: String::new() };
            let text = page.text(&options);
            // A reader that has seen enough is no error.
            let _ = std::io::Write::write_all(&mut anstream::stdout().lock(), text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(why) => {
            anstream::eprintln!("portcullis: {why}");
            ExitCode::FAILURE
        }
    }
}

fn origin(place: &Place) -> Origin {
    Origin { file: place.file.clone(), line: place.line }
}

/// The text in the making. Files below the directory are shown without it.
struct Page<'a> {
    directory: &'a Path,
    out: String,
}

impl Page<'_> {
    fn text(mut self, options: &[Explained]) -> String {
        for (index, option) in options.iter().enumerate() {
            if index > 0 {
                self.out.push('\n');
            }
            self.option(option);
        }
        self.out
    }

    fn option(&mut self, explained: &Explained) {
        let option = &explained.option;
        match &explained.value {
            Ok(_) if !explained.filter.is_empty() => self.line("", &format!("{option}, from the filter:")),
            Ok(value) => self.assignment("", option, value),
            Err(why) => self.line("", &format!("{option}: {why}")),
        }
        if let Some(step) = &explained.step {
            self.step(step, 1);
        }
        for (line, place, remarks) in &explained.filter {
            self.line("  ", line);
            let Some(place) = place else { continue };
            // What is written there says the same, unless something in it was replaced.
            let written = if place.marked() == line { "" } else { place.marked() };
            let at = self.place(&origin(place));
            self.line("    ", format!("{at}  {written}").trim_end());
            for including in remarks.iter().filter_map(|remark| remark.place.as_ref()) {
                let at = self.place(&origin(including));
                self.line("      ", &format!("included by {at}  {}", including.text.trim()));
            }
        }
    }

    fn step(&mut self, step: &Step, depth: usize) {
        let indent = "  ".repeat(depth);
        let head = format!("{indent}{}  [{}] ", self.place(&step.origin), step.section);
        self.assignment(&head, &step.option, &step.raw);
        for (section, raw, origin) in &step.shadowed {
            let head = format!("{indent}  replaces {}  [{section}] ", self.place(origin));
            self.assignment(&head, &step.option, raw);
        }
        for (reference, found) in &step.references {
            match found {
                Some(found) => self.step(found, depth + 1),
                None if reference.starts_with("%(known/") => {
                    self.line(&indent, &format!("  {reference} is what the filter says"));
                }
                None => self.line(&indent, &format!("  {reference} is set by nobody")),
            }
        }
    }

    /// `head name = value`, further lines of the value below its beginning.
    fn assignment(&mut self, head: &str, name: &str, value: &str) {
        let mut lines = value.split('\n').filter(|line| !line.is_empty());
        let first = lines.next().unwrap_or_default();
        self.line(head, format!("{name} = {first}").trim_end());
        let blanks = " ".repeat(head.chars().count() + name.chars().count() + 3);
        for line in lines {
            self.line(&blanks, line);
        }
    }

    fn line(&mut self, head: &str, text: &str) {
        let _ = writeln!(self.out, "{head}{}", annotate_snippets::normalize_untrusted_str(text));
    }

    fn place(&self, origin: &Origin) -> String {
        if origin.line == 0 {
            return "(built in)".into();
        }
        let file = origin.file.strip_prefix(self.directory).unwrap_or(&origin.file);
        format!("{}:{}", file.display(), origin.line)
    }
}
