//! A table in a frame, fitted to the width there is.

use std::fmt;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::formatters;
use crate::error::Result;
use crate::printable::printable;

/// The least width of a column that is cut.
const NARROW: usize = 6;

/// What stands for what was cut.
const CUT: char = '…';

/// Rows as text, in a frame.
pub(super) struct Grid {
    heads: Vec<String>,
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
    /// Columns that were left out, and in front of which column that is told.
    left_out: usize,
    gap: usize,
}

impl Grid {
    /// The rows of batches, in columns that are together no wider than `width`, where that is given: wide columns are cut, and
    /// where that does not do, columns in the middle are left out.
    pub(super) fn new(batches: &[RecordBatch], width: Option<usize>) -> Result<Self> {
        let Some(schema) = batches.first().map(RecordBatch::schema) else {
            return Ok(Self { heads: vec![], right: vec![], rows: vec![], left_out: 0, gap: 0 });
        };
        let heads: Vec<String> =
            schema.fields().iter().map(|field| printable(field.name()).into_owned()).collect();
        let right = schema.fields().iter().map(|field| is_number(field.data_type())).collect();
        let mut rows = Vec::new();
        for batch in batches {
            let columns = formatters(batch, "NULL")?;
            let cell = |text: String| printable(&text).into_owned();
            let text =
                |row: usize| columns.iter().map(|column| cell(column.value(row).to_string())).collect();
            rows.extend((0..batch.num_rows()).map(text));
        }
        let mut grid = Self { heads, right, rows, left_out: 0, gap: 0 };
        if let Some(width) = width {
            grid.fit(width);
        }
        Ok(grid)
    }

    /// The number of columns that are not shown.
    pub(super) fn left_out(&self) -> usize {
        self.left_out
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.heads.iter().map(|head| head.width()).collect();
        for row in &self.rows {
            for (width, text) in widths.iter_mut().zip(row) {
                *width = (*width).max(text.width());
            }
        }
        widths
    }

    fn fit(&mut self, width: usize) {
        let framed = |widths: &[usize]| widths.iter().map(|width| width + 3).sum::<usize>() + 1;
        let mut widths = self.widths();
        if framed(&widths) <= width {
            return;
        }
        // Columns go from the middle, until the others have room when cut.
        let least =
            |widths: &[usize]| framed(&widths.iter().map(|&width| width.min(NARROW)).collect::<Vec<_>>());
        while widths.len() > 2 && least(&widths) + 4 * usize::from(self.left_out > 0) > width {
            let middle = widths.len() / 2;
            widths.remove(middle);
            self.heads.remove(middle);
            self.right.remove(middle);
            self.rows.iter_mut().for_each(|row| drop(row.remove(middle)));
            self.left_out += 1;
            self.gap = middle;
        }
        let width = width.saturating_sub(4 * usize::from(self.left_out > 0));
        // The widest give, down to one width, but numbers only when text has nothing left to give.
        for numbers_too in [false, true] {
            while framed(&widths) > width {
                let candidates = widths.iter().zip(&self.right).enumerate();
                let widest = candidates
                    .filter(|(_, (width, is_number))| **width > NARROW && (numbers_too || !**is_number))
                    .max_by_key(|(_, (width, _))| **width)
                    .map(|(i, _)| i);
                let Some(widest) = widest.and_then(|i| widths.get_mut(i)) else { break };
                *widest -= 1;
            }
        }
        for (i, &width) in widths.iter().enumerate() {
            let cells = self.rows.iter_mut().filter_map(|row| row.get_mut(i));
            for text in self.heads.get_mut(i).into_iter().chain(cells) {
                if text.width() > width {
                    *text = cut(text, width);
                }
            }
        }
        if self.left_out > 0 {
            self.heads.insert(self.gap, CUT.to_string());
            self.right.insert(self.gap, false);
            self.rows.iter_mut().for_each(|row| row.insert(self.gap, CUT.to_string()));
        }
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let rule = |f: &mut fmt::Formatter<'_>| {
            let dashes: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
            writeln!(f, "+{}+", dashes.join("+"))
        };
        let row = |f: &mut fmt::Formatter<'_>, row: &[String], is_head: bool| {
            for ((text, width), right) in row.iter().zip(&widths).zip(&self.right) {
                let room = " ".repeat(width - text.width().min(*width));
                if *right && !is_head { write!(f, "| {room}{text} ")? } else { write!(f, "| {text}{room} ")? }
            }
            writeln!(f, "|")
        };
        rule(f)?;
        row(f, &self.heads, true)?;
        rule(f)?;
        for values in &self.rows {
            row(f, values, false)?;
        }
        if !self.rows.is_empty() {
            rule(f)?;
        }
        Ok(())
    }
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

/// The beginning of text, no wider than `width`.
fn cut(text: &str, width: usize) -> String {
    let mut room = width.saturating_sub(1);
    let fits = |c: &char| {
        let wide = c.width().unwrap_or(0);
        let fits = wide <= room;
        room = room.saturating_sub(wide);
        fits
    };
    text.chars().take_while(fits).chain([CUT]).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn shown(width: Option<usize>) -> String {
        let name: ArrayRef =
            Arc::new(StringArray::from(vec![Some("a name that is long\nand of two lines"), None]));
        let number: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(-12_345_678)]));
        let column = |i: usize| {
            (format!("c{i}"), if i.is_multiple_of(2) { Arc::clone(&name) } else { Arc::clone(&number) })
        };
        let batch = RecordBatch::try_from_iter((0..4).map(column)).unwrap();
        Grid::new(&[batch], width).unwrap().to_string()
    }

    #[test]
    fn wide_columns_are_cut_and_then_left_out() {
        for width in [120, 80, 60, 40, 30] {
            let text = shown(Some(width));
            assert!(text.lines().all(|line| line.width() <= width), "{text}");
        }
        assert!(shown(Some(60)).contains("-12345678 |"), "{}", shown(Some(60)));
        assert!(shown(Some(30)).contains("| … |"), "{}", shown(Some(30)));
        assert!(shown(None).contains("a name that is long\\nand of two lines"));
    }
}
