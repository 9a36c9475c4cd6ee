//! `docs/regex.md` has a table of the stock patterns that the linear engine does not carry; here it is kept true.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use portcullis_compliance::workspace;
use portcullis_jail::filter::{Carried, Engine};

use crate::corpus::stock::Stock;
use crate::subjects;

const BEGIN: &str =
    "<!-- made by `UPDATE=1 cargo test -p portcullis-compliance --test adversary regex_md` -->\n";
const END: &str = "<!-- end -->\n";

/// The table, and the sums above it.
fn table(stock: &Stock) -> String {
    let ours = Stock::catalogue();
    let (mut all, mut linear) = (0, 0);
    let mut rows: BTreeMap<(String, String), (Vec<String>, String)> = BTreeMap::new();
    let mut seen = std::collections::BTreeSet::new();
    for subject in subjects(stock) {
        let filter = if subject.catalogue { &ours } else { stock }.filter(&subject.name, &subject.options);
        for Carried { option, number, regex, engine } in filter.engines() {
            if !seen.insert((subject.catalogue, subject.name.clone(), regex.clone())) {
                continue;
            }
            all += 1;
            let (kind, reasons) = match engine {
                Engine::Linear => {
                    linear += 1;
                    continue;
                }
                Engine::Remembering(reasons) => ("remembering", reasons),
                Engine::Limited(reasons) => ("limited", reasons),
            };
            let options: Vec<String> = subject
                .options
                .iter()
                .map(|(key, value)| format!("{key}={}", value.as_str().unwrap()))
                .collect();
            let name = match (&*options, subject.catalogue) {
                ([], false) => subject.name.clone(),
                ([], true) => format!("{} (catalogue)", subject.name),
                (options, _) => format!("{}[{}]", subject.name, options.join(", ")),
            };
            let place = if option == "prefregex" { option.to_owned() } else { format!("{option} {number}") };
            let why = format!("{kind} | {}", reasons.join(", "));
            rows.entry((name, why)).or_default().0.push(place);
        }
    }
    let others: usize = rows.values().map(|(places, _)| places.len()).sum();
    let mut text = format!(
        "{BEGIN}\nOf {all} different patterns, {linear} run on the linear engine, {others} on the other one:\n\n\
         | filter | patterns | engine | because of |\n|---|---|---|---|\n"
    );
    for ((name, why), (places, _)) in rows {
        let _ = writeln!(text, "| {name} | {} | {why} |", places.join(", "));
    }
    text + "\n" + END
}

#[test]
fn docs_regex_md_tells_which_engine_carries_each_stock_pattern() {
    let Some(stock) = Stock::new() else { return };
    if std::env::var_os("FILTER").is_some() {
        return;
    }
    let path = workspace().join("docs/regex.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (written, after) = rest.split_once(END).unwrap();
    let table = table(&stock);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{table}{after}")).unwrap();
        return;
    }
    assert_eq!(format!("{BEGIN}{written}{END}"), table, "docs/regex.md: run its test with UPDATE=1");
}
