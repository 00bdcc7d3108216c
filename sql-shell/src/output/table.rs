//! Tables, blocks and plans: the format for people.

use std::collections::VecDeque;
use std::io::Write;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::physical_plan::SendableRecordBatchStream;
use unicode_width::UnicodeWidthStr;

use super::cells::{Between, Looks, formatters};
use super::grid::Grid;
use super::numbers::grouped;
use super::rows::each;
use super::style::{NULL, Style, dimmed};
use crate::error::Result;
use crate::printable::printable;

/// Collects the first and the last rows of a result.
struct Ends {
    limit: usize,
    first: Vec<RecordBatch>,
    /// The number of first rows that are still to come.
    room: usize,
    last: VecDeque<RecordBatch>,
    last_rows: usize,
}

impl Ends {
    fn new(limit: Option<usize>) -> Self {
        let limit = limit.unwrap_or(usize::MAX);
        Self { limit, first: Vec::new(), room: limit.div_ceil(2), last: VecDeque::new(), last_rows: 0 }
    }

    fn push(&mut self, batch: &RecordBatch) {
        let taken = self.room.min(batch.num_rows());
        if taken > 0 {
            self.first.push(batch.slice(0, taken));
            self.room -= taken;
        }
        let rest = batch.num_rows() - taken;
        if rest > 0 {
            self.last.push_back(batch.slice(taken, rest));
            self.last_rows += rest;
        }
        while self.last.front().is_some_and(|first| self.last_rows - first.num_rows() >= self.limit / 2) {
            self.last_rows -= self.last.pop_front().map_or(0, |first| first.num_rows());
        }
    }

    /// The collected rows out of `count`, and the row before which others are omitted.
    fn finish(self, count: usize) -> (Vec<RecordBatch>, Option<usize>) {
        let mut batches = self.first;
        let first: usize = batches.iter().map(RecordBatch::num_rows).sum();
        if count <= self.limit {
            batches.extend(self.last);
            return (batches, None);
        }
        let mut surplus = self.last_rows.saturating_sub(self.limit / 2);
        for batch in self.last {
            let skipped = surplus.min(batch.num_rows());
            surplus -= skipped;
            if skipped < batch.num_rows() {
                batches.push(batch.slice(skipped, batch.num_rows() - skipped));
            }
        }
        (batches, Some(first))
    }
}

pub(super) async fn write_table(
    rows: SendableRecordBatchStream,
    style: Style,
    out: &mut (dyn Write + Send),
) -> Result<usize> {
    let table = Table::collect(rows, style.limit).await?;
    table.write(style, out)?;
    Ok(table.count)
}

/// Writes a table twice: in the given style, and with all its columns. Returns the number of rows.
pub(crate) async fn write_fitted(
    rows: SendableRecordBatchStream,
    style: Style,
) -> Result<(Vec<u8>, Vec<u8>, usize)> {
    let table = Table::collect(rows, style.limit).await?;
    let (mut fitted, mut whole) = (Vec::new(), Vec::new());
    table.write(style, &mut fitted)?;
    table.write(Style { width: None, ..style }, &mut whole)?;
    Ok((fitted, whole, table.count))
}

/// A result and its visible rows.
struct Table {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    /// The row before which others are omitted.
    gap: Option<usize>,
    looks: Looks,
    /// The number of all rows.
    count: usize,
    /// The number of rows that are omitted.
    hidden: usize,
}

impl Table {
    async fn collect(rows: SendableRecordBatchStream, limit: Option<usize>) -> Result<Self> {
        let schema = rows.schema();
        // A plan is always shown as a whole.
        let limit = limit.filter(|_| !is_plan(&schema));
        let mut ends = Ends::new(limit);
        let count = each(rows, |batch| {
            ends.push(batch);
            Ok(())
        })
        .await?;
        let (batches, gap) = ends.finish(count);
        let looks = Looks::of(&schema, &batches, Between::Space);
        let hidden = limit.map_or(0, |limit| count.saturating_sub(limit));
        Ok(Self { schema, batches, gap, looks, count, hidden })
    }

    fn write(&self, style: Style, out: &mut (dyn Write + Send)) -> Result<()> {
        let mut left_out = 0;
        if is_plan(&self.schema) {
            write_plan(&self.batches, out)?;
        } else if style.expanded {
            write_expanded(
                &self.batches,
                &self.looks,
                self.gap.map(|gap| (gap, self.count)),
                style.dim,
                out,
            )?;
        } else {
            let grid = Grid::new(&self.schema, &self.batches, &self.looks, self.gap, style)?;
            left_out = grid.left_out();
            write!(out, "{grid}")?;
        }
        let mut missing = Vec::new();
        if self.hidden > 0 {
            missing.push(format!("{} of {} rows", grouped(self.hidden), grouped(self.count)));
        }
        if left_out > 0 {
            missing.push(format!("{} of {} columns", grouped(left_out), grouped(self.schema.fields().len())));
        }
        if !missing.is_empty() {
            let how = if style.of_query { "\\last" } else { "\\x" };
            writeln!(out, "… {} are not shown: {how} shows all", missing.join(" and "))?;
        }
        Ok(())
    }
}

/// Whether rows are the result of EXPLAIN.
fn is_plan(schema: &Schema) -> bool {
    schema.fields().iter().map(|field| field.name()).eq(["plan_type", "plan"])
}

/// Writes plans unchanged, with one operator on each line.
fn write_plan(batches: &[RecordBatch], out: &mut (dyn Write + Send)) -> Result<()> {
    for batch in batches {
        let columns = formatters(batch, NULL)?;
        let [kind, plan] = columns.as_slice() else { continue };
        for row in 0..batch.num_rows() {
            writeln!(out, "{}:", kind.value(row))?;
            for line in plan.value(row).to_string().trim_end().lines() {
                writeln!(out, "  {}", printable(line))?;
            }
        }
    }
    Ok(())
}

/// Writes each row as a block, with a line for each column. Rows are omitted before row `gap`.
fn write_expanded(
    batches: &[RecordBatch],
    looks: &Looks,
    gap: Option<(usize, usize)>,
    dim: bool,
    out: &mut (dyn Write + Send),
) -> Result<()> {
    let shown: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let mut number = 0;
    for batch in batches {
        let columns = looks.formatters(batch, NULL)?;
        let names: Vec<_> =
            batch.schema().fields().iter().map(|field| printable(field.name()).into_owned()).collect();
        let widest = names.iter().map(|name| name.width()).max().unwrap_or(0);
        for row in 0..batch.num_rows() {
            if let Some((gap, count)) = gap
                && gap == number
            {
                writeln!(out, "…")?;
                number += count - shown;
            }
            number += 1;
            writeln!(out, "-[ row {number} ]-")?;
            for ((name, column), array) in names.iter().zip(&columns).zip(batch.columns()) {
                let room = " ".repeat(widest - name.width());
                let value = column.value(row).to_string();
                writeln!(
                    out,
                    "{name}{room} | {}",
                    dimmed(
                        &printable(&value),
                        dim && array.logical_nulls().is_some_and(|nulls| nulls.is_null(row))
                    )
                )?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    use super::*;

    #[test]
    fn the_first_and_the_last_rows_are_kept() {
        for (sizes, limit) in [
            (vec![3, 1, 4], 8),
            (vec![3, 1, 4], 5),
            (vec![10], 4),
            (vec![1; 20], 7),
            (vec![0, 5, 0, 5], 3),
            (vec![9, 1], 1),
            (vec![100, 1, 1], 2),
            (vec![], 3),
        ] {
            let mut ends = Ends::new(Some(limit));
            let mut next = 0;
            for size in sizes {
                let values: ArrayRef = Arc::new(Int64Array::from_iter_values(next..next + size));
                next += size;
                ends.push(&RecordBatch::try_from_iter([("a", values)]).unwrap());
            }
            let count = next as usize;
            let (batches, gap) = ends.finish(count);
            let shown: Vec<i64> = batches
                .iter()
                .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
                .collect();
            let expected: Vec<i64> = if count <= limit {
                (0..next).collect()
            } else {
                (0..limit.div_ceil(2) as i64).chain(next - (limit / 2) as i64..next).collect()
            };
            assert_eq!(
                (shown, gap),
                (expected, (count > limit).then_some(limit.div_ceil(2))),
                "{count} {limit}"
            );
        }
    }
}
