//! Tables that fit the terminal: columns as wide as what is in them, the last ones cut where the line ends.

use anstyle::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How wide a table may be where nobody tells: unlimited, a program reads it.
const UNLIMITED: usize = usize::MAX;
/// A column is not cut below this.
const NARROWEST: usize = 8;
/// Between two columns.
const GAP: usize = 2;

/// Where the text of a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// A cell: text, and how it looks on a terminal.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell { text: super::plain(&text), style: Style::new() }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Cell {
    pub(super) fn styled(text: impl Into<String>, style: Style) -> Self {
        Cell { style, ..text.into().into() }
    }
}

/// A table in the making.
pub(super) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(super) fn new(columns: &[(&'static str, Align)]) -> Self {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(cells.into());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text, no line wider than the terminal. Columns without anything in them are left out, and those for which there
    /// is no room.
    pub(super) fn text(&self, width: usize) -> String {
        let filled = |column: &usize| self.rows.iter().any(|row| !row[*column].text.is_empty());
        let mut columns: Vec<usize> = (0..self.columns.len()).filter(filled).collect();
        let mut widths: Vec<usize> = columns.iter().map(|&column| self.widest(column)).collect();
        fit(&mut widths, width);
        // What has no room even so is left out, from the right.
        while columns.len() > 1 && total(&widths) > width {
            columns.pop();
            widths = columns.iter().map(|&column| self.widest(column)).collect();
            fit(&mut widths, width);
        }
        let heading = Style::new().dimmed();
        let headings: Vec<Cell> = self.columns.iter().map(|(name, _)| Cell::styled(*name, heading)).collect();
        let mut out = String::new();
        for row in std::iter::once(&headings).chain(&self.rows) {
            let mut line = String::new();
            for (place, (&column, &width)) in columns.iter().zip(&widths).enumerate() {
                let cell = &row[column];
                let text = cut(&cell.text, width);
                let missing = width - text.width();
                let (before, after) = match self.columns[column].1 {
                    Align::Left => (0, missing),
                    Align::Right => (missing, 0),
                };
                let last = place + 1 == columns.len();
                let style = cell.style;
                line.push_str(&" ".repeat(before));
                line.push_str(&format!("{style}{text}{style:#}"));
                line.push_str(&" ".repeat(if last { 0 } else { after + GAP }));
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }

    fn widest(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| row[column].text.width());
        cells.chain([self.columns[column].0.width()]).max().unwrap_or(0)
    }
}

/// How wide a line is.
fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

/// Makes columns narrower, the widest first, until the line fits or all are as narrow as may be.
fn fit(widths: &mut [usize], width: usize) {
    loop {
        let over = total(widths).saturating_sub(width);
        let Some(widest) = widths.iter_mut().max() else { return };
        if over == 0 || *widest <= NARROWEST {
            return;
        }
        *widest -= 1;
    }
}

/// The text, or its beginning and an ellipsis.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

/// How wide the terminal is; without one there is no limit, unless `COLUMNS` sets it.
pub(super) fn terminal_width() -> usize {
    let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok().map(|size| usize::from(size.ws_col));
    size.filter(|&width| width > 0).or(told).unwrap_or(UNLIMITED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[("JAIL", Align::Left), ("NUMBER", Align::Right), ("WHY", Align::Left)]);
        table.row(["sshd".into(), "7".into(), "".into()]);
        table.row(["日本語".into(), "1234567".into(), "".into()]);
        table
    }

    #[test]
    fn columns_are_aligned_by_what_one_sees_and_empty_ones_left_out() {
        let text = anstream::adapter::strip_str(&table().text(80)).to_string();
        assert_eq!(text, "JAIL     NUMBER\nsshd          7\n日本語  1234567\n");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_as_long_as_columns_can_be_cut() {
        let mut table = table();
        table.row([
            "a-very-long-name-of-a-jail".into(),
            "5".into(),
            "because of\nthis \u{1b}[31mthat".into(),
        ]);
        for width in 8..70 {
            for line in anstream::adapter::strip_str(&table.text(width)).to_string().lines() {
                assert!(line.width() <= width, "{width}: {line}");
                assert!(!line.contains('\u{1b}'));
            }
        }
        // Narrower than that is cut by the terminal.
        assert!(!table.text(5).is_empty());
    }

    #[test]
    fn wide_characters_are_cut_whole() {
        assert_eq!(cut("日本語日本語", 7), "日本語…");
        assert_eq!(cut("日本語日本語", 6), "日本…");
        assert_eq!(cut("abc", 3), "abc");
    }
}
