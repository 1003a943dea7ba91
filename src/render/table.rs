//! Columns that line up whatever the script. Must not know what stands in them.

use crate::render::words::{ellipsis, one_line, width};

/// To which edge of its column a cell keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table of `N` columns. Cells are brought onto one line and made visible.
#[derive(Debug, Clone)]
pub struct Table<const N: usize> {
    head: [(&'static str, Align); N],
    rows: Vec<[String; N]>,
}

/// What stands between two columns.
const GAP: &str = "  ";

/// The last column is not cut below this: less would say nothing.
const LAST_COLUMNS_MIN: usize = 8;

impl<const N: usize> Table<N> {
    /// A table with these headings.
    pub fn new(head: [(&'static str, Align); N]) -> Self {
        Self { head, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: [impl AsRef<str>; N]) {
        self.rows.push(cells.map(|cell| one_line(cell.as_ref())));
    }

    /// The text, a line for the headings and one for each row, without spaces at the ends of
    /// lines. With `columns_max` the last column is cut so that lines keep within it, as far as
    /// the other columns leave room.
    pub fn render(&self, columns_max: Option<usize>) -> String {
        let widths = self.widths(columns_max);
        let heads = self.head.map(|(head, _)| head.to_owned());
        let lines = std::iter::once(&heads).chain(&self.rows).map(|row| self.line(row, &widths));
        lines.map(|line| line + "\n").collect()
    }

    fn widths(&self, columns_max: Option<usize>) -> [usize; N] {
        let mut widths = self.head.map(|(head, _)| width(head));
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = width(cell).max(*widest);
            }
        }
        if let (Some(most), Some((last, others))) = (columns_max, widths.split_last_mut()) {
            let taken: usize = others.iter().map(|other| other + GAP.len()).sum();
            *last = most.saturating_sub(taken).max(LAST_COLUMNS_MIN).min(*last);
        }
        widths
    }

    fn line(&self, row: &[String; N], widths: &[usize; N]) -> String {
        let cells = row.iter().zip(widths).zip(&self.head).map(|((cell, columns), (_, align))| {
            let cell = ellipsis(cell, *columns);
            let pad = " ".repeat(columns - width(&cell));
            match align {
                Align::Left => cell + &pad,
                Align::Right => pad + &cell,
            }
        });
        let line = cells.collect::<Vec<_>>().join(GAP);
        line.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table<3> {
        let mut table =
            Table::new([("TASK", Align::Left), ("TRY", Align::Right), ("TITLE", Align::Left)]);
        table.row(["api", "2", "Build the API"]);
        table.row(["データ", "10", "Migrate\nthe tables, all of them"]);
        table.row(["ui", "1", ""]);
        table
    }

    #[test]
    fn columns_line_up_by_display_width() {
        insta::assert_snapshot!(sample().render(None));
    }

    #[test]
    fn a_cap_cuts_the_last_column_only() {
        let text = sample().render(Some(24));
        assert!(text.lines().all(|line| width(line) <= 24), "{text}");
        insta::assert_snapshot!(text);
        let narrow = sample().render(Some(3));
        assert!(narrow.contains("データ   10  Migrate…"), "{narrow}");
    }
}
