//! `stats` of 1.1: a table of all jails.

use portcullis_value::Value;

use super::{Charset, items};

/// Lines and crossings of the table.
struct Lines {
    /// Between the groups of columns.
    wall: &'static str,
    /// Between the columns of a group.
    fence: &'static str,
    /// Across the table, and where it meets a wall.
    rule: [&'static str; 2],
    /// Below the headings of the groups: where it begins, itself, where it meets a wall.
    shelf: [&'static str; 3],
    /// At the bottom, and where it meets a wall.
    floor: [&'static str; 2],
}

const ASCII: Lines =
    Lines { wall: "|", fence: "|", rule: ["-", "x"], shelf: ["|", "-", "x"], floor: ["-", "-"] };
const UTF8: Lines =
    Lines {
        wall: "║", fence: "│", rule: ["═", "╬"], shelf: ["╟", "─", "╫"], floor: ["═", "╩"]
    };

struct Row {
    jail: String,
    backend: String,
    numbers: [String; 4],
}

/// The table; `None` if the reply is not what `stats` answers.
pub(super) fn table(reply: &Value, charset: Charset) -> Option<String> {
    let Value::Dict(jails) = reply else { return None };
    if jails.is_empty() {
        return Some("No jails found.".to_owned());
    }
    let rows = jails.iter().map(|(jail, stats)| row(jail, stats)).collect::<Option<Vec<_>>>()?;
    let lines = if charset == Charset::Utf8 { UTF8 } else { ASCII };
    Some(draw(&rows, &lines))
}

fn row(jail: &Value, stats: &Value) -> Option<Row> {
    let [backend, filter, actions] = items(stats)? else { return None };
    let ([failed, all_failed], [banned, all_banned]) = (items(filter)?, items(actions)?) else { return None };
    let numbers = [failed, all_failed, banned, all_banned].map(Value::to_string);
    Some(Row { jail: jail.to_string(), backend: backend.to_string(), numbers })
}

fn draw(rows: &[Row], lines: &Lines) -> String {
    let widest = |least: usize, of: &dyn Fn(&Row) -> usize| rows.iter().map(of).max().unwrap_or(0).max(least);
    let jail = widest(8, &|row| row.jail.chars().count());
    let backend = widest(8, &|row| row.backend.chars().count());
    let number: [usize; 4] = std::array::from_fn(|n| widest(3, &|row| row.numbers[n].len()));
    // A blank on both sides of a name and before a number; one behind a group's first number.
    let [left, middle] = [jail + 2, backend + 2];
    let groups = [number[0] + number[1] + 5, number[2] + number[3] + 5];
    let Lines { wall, fence, .. } = lines;
    let [rule, crossing] = lines.rule;
    let [shelf_begin, shelf, shelf_crossing] = lines.shelf;
    let [floor, floor_crossing] = lines.floor;
    let across = |line: &str, crossing: &str| {
        [left, middle, groups[0], groups[1]].map(|width| line.repeat(width)).join(crossing)
    };
    let cells = |[a, b, c, d]: [&str; 4]| {
        format!(
            " {a:>0$} {fence} {b:>1$} {wall} {c:>2$} {fence} {d:>3$}",
            number[0], number[1], number[2], number[3]
        )
    };
    let [first, second] = groups;
    // The last column has no blank behind it, though the rules run on.
    let last = second - 1;
    let mut out = Vec::with_capacity(rows.len() + 5);
    out.push(format!("{:left$}{wall}{:middle$}{wall}{:first$}{wall}{:last$}", "", "", " Filter", " Actions"));
    out.push(format!(
        "{:left$}{wall}{:middle$}{shelf_begin}{}{shelf_crossing}{}",
        " Jail",
        " Backend",
        shelf.repeat(first),
        shelf.repeat(second)
    ));
    out.push(format!("{:left$}{wall}{:middle$}{wall}{}", "", "", cells(["cur", "tot", "cur", "tot"])));
    out.push(across(rule, crossing));
    for row in rows {
        let numbers = [0, 1, 2, 3].map(|n| row.numbers[n].as_str());
        out.push(format!(
            "{:left$}{wall}{:middle$}{wall}{}",
            format!(" {}", row.jail),
            format!(" {}", row.backend),
            cells(numbers)
        ));
    }
    out.push(across(floor, floor_crossing));
    out.join("\n")
}
