//! A table with a frame, fitted to the available width.

use std::fmt;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use atlas_datafusion::type_in_words;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::cells::Looks;
use super::style::{NULL, Style, UNITS, dimmed};
use crate::error::Result;
use crate::printable::printable;

/// The smallest width of a text column that is cut, and of a heading.
const NARROW: usize = 12;

/// Marks the end of text that was cut.
const CUT: char = '…';

/// A column that is shown.
struct Column {
    /// Its name, its type, and, if any column has units, its units.
    heads: Vec<String>,
    /// Whether cells are aligned to the right, as numbers are.
    right: bool,
    /// Whether cells may be cut. The beginning of a number or a time would be a different value.
    is_text: bool,
    cells: Vec<Option<String>>,
    width: usize,
}

impl Column {
    fn natural(&self) -> usize {
        let heads = self.heads.iter().map(|head| head.width());
        heads.chain([self.values()]).max().unwrap_or(0)
    }

    fn values(&self) -> usize {
        self.cells.iter().map(|cell| cell.as_deref().unwrap_or(NULL).width()).max().unwrap_or(0)
    }

    fn least(&self) -> usize {
        let values = if self.is_text { self.values().min(NARROW) } else { self.values() };
        let heads = self.heads.iter().map(|head| head.width().min(NARROW));
        heads.fold(values, usize::max)
    }
}

/// Rows as text, with a frame.
pub(super) struct Grid {
    columns: Vec<Column>,
    /// The number of columns that do not fit.
    left_out: usize,
    rows: usize,
    /// The row before which rows were omitted.
    gap: Option<usize>,
    dim: bool,
}

impl Grid {
    /// Lays out the rows of batches in columns that fit the width of the style. Text is cut, and if
    /// that does not suffice, the last columns are omitted. Rows are omitted before row `gap`.
    pub(super) fn new(
        schema: &Schema,
        batches: &[RecordBatch],
        looks: &Looks,
        gap: Option<usize>,
        style: Style,
    ) -> Result<Self> {
        let units = |field: &arrow::datatypes::Field| field.metadata().get(UNITS).cloned();
        let has_units = schema.fields().iter().any(|field| units(field).is_some());
        let mut columns: Vec<Column> = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            let mut heads = vec![printable(field.name()).into_owned()];
            if style.of_query {
                heads.push(type_in_words(field.data_type()));
                heads.extend(has_units.then(|| printable(&units(field).unwrap_or_default()).into_owned()));
            }
            let (right, is_text) = (field.data_type().is_numeric(), is_text(field.data_type()));
            columns.push(Column { heads, right, is_text, cells: Vec::new(), width: 0 });
        }
        let mut rows = 0;
        for batch in batches {
            rows += batch.num_rows();
            let formatters = looks.formatters(batch, NULL)?;
            for ((column, values), array) in columns.iter_mut().zip(&formatters).zip(batch.columns()) {
                let nulls = array.logical_nulls();
                let cell = |row: usize| {
                    let is_valid = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
                    is_valid.then(|| printable(&values.value(row).to_string()).into_owned())
                };
                column.cells.extend((0..batch.num_rows()).map(cell));
            }
        }
        let mut grid = Self { columns, left_out: 0, rows, gap, dim: style.dim };
        grid.columns.iter_mut().for_each(|column| column.width = column.natural());
        if let Some(width) = style.width {
            grid.fit(width);
        }
        Ok(grid)
    }

    /// The number of columns that are omitted.
    pub(super) fn left_out(&self) -> usize {
        self.left_out
    }

    fn fit(&mut self, width: usize) {
        const FRAME: usize = 3;
        let total: usize = self.columns.iter().map(|column| column.width + FRAME).sum();
        if total < width {
            return;
        }
        // Keeps as many columns as fit when cut, with room for a column that marks omitted ones.
        let mut room = width.saturating_sub(1);
        let mut kept = 0;
        for (i, column) in self.columns.iter().enumerate() {
            let rest = if i + 1 < self.columns.len() { FRAME + 1 } else { 0 };
            let least = column.least() + FRAME;
            if least + rest > room && i > 0 {
                break;
            }
            room = room.saturating_sub(least);
            kept = i + 1;
        }
        self.left_out = self.columns.len() - kept;
        self.columns.truncate(kept);
        if self.left_out > 0 {
            room = room.saturating_sub(FRAME + 1);
        }
        // The remaining width goes to columns that would be cut, the narrowest first.
        let mut order: Vec<usize> = (0..kept).collect();
        let need = |column: &Column| column.width.saturating_sub(column.least());
        order.sort_by_key(|&i| self.columns.get(i).map_or(0, need));
        let mut waiting = order.len();
        for i in order {
            let Some(column) = self.columns.get_mut(i) else { continue };
            let given = need(column).min(room / waiting.max(1));
            column.width = column.least() + given;
            room -= given;
            waiting -= 1;
        }
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = self.left_out > 0;
        let rule = |f: &mut fmt::Formatter<'_>| {
            for column in &self.columns {
                write!(f, "+{}", "-".repeat(column.width + 2))?;
            }
            writeln!(f, "{}", if more { "+---+" } else { "+" })
        };
        let end = |f: &mut fmt::Formatter<'_>| writeln!(f, "{}", if more { "| … |" } else { "|" });
        rule(f)?;
        let lines = self.columns.first().map_or(0, |column| column.heads.len());
        for line in 0..lines {
            for column in &self.columns {
                let head = cut(column.heads.get(line).map_or("", String::as_str), column.width);
                let room = " ".repeat(column.width.saturating_sub(head.width()));
                let head = if line > 0 { dimmed(&head, self.dim) } else { head };
                write!(f, "| {head}{room} ")?;
            }
            end(f)?;
        }
        rule(f)?;
        for row in 0..=self.rows {
            if self.gap == Some(row) {
                for column in &self.columns {
                    let room = " ".repeat(column.width.saturating_sub(1));
                    if column.right { write!(f, "| {room}{CUT} ")? } else { write!(f, "| {CUT}{room} ")? }
                }
                end(f)?;
            }
            if row == self.rows {
                break;
            }
            for column in &self.columns {
                let cell = column.cells.get(row).and_then(Option::as_deref);
                let text = cut(cell.unwrap_or(NULL), if column.is_text { column.width } else { usize::MAX });
                let room = " ".repeat(column.width.saturating_sub(text.width()));
                let text = if cell.is_none() { dimmed(&text, self.dim) } else { text };
                if column.right { write!(f, "| {room}{text} ")? } else { write!(f, "| {text}{room} ")? }
            }
            end(f)?;
        }
        if self.rows > 0 {
            rule(f)?;
        }
        Ok(())
    }
}

/// Whether the beginning of a value is meaningful: for text, bytes, lists and structures.
fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_)
            | DataType::Dictionary(..)
    ) || data_type.is_nested()
}

/// Cuts text to `width`.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
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

    use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampNanosecondArray};

    use super::super::cells::Between;
    use super::*;

    fn shown(columns: usize, width: Option<usize>) -> (String, usize) {
        let name: ArrayRef =
            Arc::new(StringArray::from(vec![Some("a name that is long\nand of two lines"), None]));
        let number: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(-123_456_789_012_345)]));
        let time: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![Some(0), Some(1)]));
        let column = |i: usize| {
            let array = [&name, &number, &time][i % 3];
            (format!("column {i}"), Arc::clone(array))
        };
        let batch = RecordBatch::try_from_iter((0..columns).map(column)).unwrap();
        let schema = batch.schema();
        let looks = Looks::of(&schema, std::slice::from_ref(&batch), Between::Space);
        let style = Style { width, of_query: true, ..Style::default() };
        let grid = Grid::new(&schema, &[batch], &looks, None, style).unwrap();
        (grid.to_string(), grid.left_out())
    }

    #[test]
    fn text_is_cut_and_the_last_columns_are_left_out() {
        for width in [200, 120, 80, 60, 40] {
            let (text, left_out) = shown(12, Some(width));
            assert!(text.lines().all(|line| line.width() <= width), "{width}\n{text}");
            assert!(left_out > 0 && text.lines().nth(1).unwrap().ends_with("| … |"), "{text}");
            let numbers = text.matches("-123456789012345 |").count();
            let times = text.matches("1970-01-01 00:00:00.000000001 |").count();
            let columns = text.lines().nth(1).unwrap().matches("column ").count();
            assert_eq!(numbers + times + columns.div_ceil(3), columns, "{text}");
        }
        let (text, left_out) = shown(3, Some(80));
        assert!(left_out == 0 && text.lines().all(|line| line.width() <= 80), "{text}");
        assert!(text.contains("a name that is long\\nan") && text.contains('…'), "{text}");
        assert!(shown(1, None).0.contains("a name that is long\\nand of two lines"));
    }

    #[test]
    fn three_thousand_columns_take_no_time() {
        let begun = std::time::Instant::now();
        let (text, left_out) = shown(3000, Some(80));
        assert!(left_out > 2990 && text.lines().all(|line| line.width() <= 80), "{text}");
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    }
}
