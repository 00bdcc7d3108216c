//! Writes results as text and to files.

mod cells;
mod grid;

use std::collections::VecDeque;
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::csv::WriterBuilder as CsvBuilder;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::ipc::writer::FileWriter;
use arrow::json::writer::{JsonArray, JsonFormat, LineDelimited, WriterBuilder as JsonBuilder};
use arrow::util::display::ArrayFormatter;
use clap::ValueEnum;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use unicode_width::UnicodeWidthStr;

use self::cells::{Between, Looks, has_times};
use self::grid::Grid;
use crate::error::Result;
use crate::printable::printable;

/// Represents missing values in output for people.
const NULL: &str = "NULL";

/// The number of bytes of rows that are examined before the first row is written.
const LOOK_AHEAD: usize = 64 << 20;

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns in a frame.
    #[default]
    Table,
    /// Comma-separated values with a header.
    Csv,
    /// Tab-separated values with a header.
    Tsv,
    /// One JSON array of objects.
    Json,
    /// A JSON object a line.
    Ndjson,
    /// A Markdown table.
    Markdown,
    /// A Parquet file.
    Parquet,
    /// An Arrow IPC file.
    Arrow,
}

impl Format {
    /// Whether the format is binary, and unsuitable for a terminal.
    pub(crate) fn is_binary(self) -> bool {
        matches!(self, Self::Parquet | Self::Arrow)
    }

    /// Whether a file in this format can hold only one result.
    pub(crate) fn is_of_one_result(self) -> bool {
        self.is_binary() || self == Self::Json
    }

    /// The format for the ending of a file's name.
    pub(crate) fn of_file(path: &Path) -> Option<Self> {
        Some(match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Self::Csv,
            "tsv" | "tab" => Self::Tsv,
            "json" => Self::Json,
            "ndjson" | "jsonl" => Self::Ndjson,
            "md" | "markdown" => Self::Markdown,
            "parquet" => Self::Parquet,
            "arrow" | "feather" | "ipc" => Self::Arrow,
            "txt" => Self::Table,
            _ => return None,
        })
    }
}

/// The metadata key for the units of a field.
pub(crate) const UNITS: &str = "units";

/// How results are displayed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    pub format: Format,
    /// Whether a table has a line for each column of each row.
    pub expanded: bool,
    /// The number of rows that a table shows at most, from its start and its end. The other rows
    /// are counted.
    pub limit: Option<usize>,
    /// The width to which a table is fitted.
    pub width: Option<usize>,
    /// Whether everything but values is dimmed.
    pub dim: bool,
    /// Whether the result belongs to a query. Its table shows the types and units of columns, and a
    /// hint how to show all of it.
    pub of_query: bool,
}

impl Style {
    /// The whole result in a format.
    pub(crate) fn whole(format: Format) -> Self {
        Self { format, ..Self::default() }
    }
}

/// Dims text, if the terminal supports it.
fn dimmed(text: &str, dim: bool) -> String {
    if dim { format!("\x1b[2m{text}\x1b[22m") } else { text.to_owned() }
}

/// Writes a result, and returns its number of rows.
pub(crate) async fn write(
    rows: SendableRecordBatchStream,
    style: Style,
    out: &mut (dyn Write + Send),
) -> Result<usize> {
    match style.format {
        Format::Table => write_table(rows, style, out).await,
        Format::Csv => write_csv(rows, b',', out).await,
        Format::Tsv => write_csv(rows, b'\t', out).await,
        Format::Json => {
            let count = write_json::<JsonArray>(rows, out).await?;
            writeln!(out)?;
            Ok(count)
        }
        Format::Ndjson => write_json::<LineDelimited>(rows, out).await,
        Format::Markdown => write_markdown(rows, out).await,
        Format::Parquet => {
            let schema = rows.schema();
            let mut writer = ArrowWriter::try_new(out, schema, None)?;
            let count = each(rows, |batch| Ok(writer.write(batch)?)).await?;
            writer.close()?;
            Ok(count)
        }
        Format::Arrow => {
            let schema = rows.schema();
            let mut writer = FileWriter::try_new(out, &schema)?;
            let count = each(rows, |batch| Ok(writer.write(batch)?)).await?;
            writer.finish()?;
            Ok(count)
        }
    }
}

/// Calls a function for every batch of a result, and returns the number of rows.
async fn each(
    mut rows: SendableRecordBatchStream,
    mut of: impl FnMut(&RecordBatch) -> Result<()>,
) -> Result<usize> {
    let mut count = 0;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        count += batch.num_rows();
        of(&batch)?;
    }
    Ok(count)
}

async fn write_markdown(rows: SendableRecordBatchStream, out: &mut (dyn Write + Send)) -> Result<usize> {
    let schema = rows.schema();
    let names: Vec<_> = schema.fields().iter().map(|field| escape(field.name())).collect();
    writeln!(out, "| {} |", names.join(" | "))?;
    let rules: Vec<_> = schema.fields().iter().map(|field| rule(field.data_type())).collect();
    writeln!(out, "| {} |", rules.join(" | "))?;
    let (looks, rows) = look(rows, Between::Space).await?;
    each(rows, |batch| {
        let columns = looks.formatters(batch, NULL)?;
        for row in 0..batch.num_rows() {
            let values: Vec<_> =
                columns.iter().map(|column| escape(&column.value(row).to_string())).collect();
            writeln!(out, "| {} |", values.join(" | "))?;
        }
        Ok(())
    })
    .await
}

/// The format of a result's columns, and its rows. If the result is small, columns are formatted as
/// the values need; otherwise as their types allow.
async fn look(
    mut rows: SendableRecordBatchStream,
    between: Between,
) -> Result<(Looks, SendableRecordBatchStream)> {
    let schema = rows.schema();
    if !schema.fields().iter().any(|field| has_times(field.data_type())) {
        return Ok((Looks::of(&schema, &[], between), rows));
    }
    let (mut first, mut bytes) = (Vec::new(), 0);
    let looks = loop {
        match rows.next().await.transpose()? {
            None => break Looks::of(&schema, &first, between),
            Some(batch) => {
                bytes += batch.get_array_memory_size();
                first.push(batch);
                if bytes > LOOK_AHEAD {
                    break Looks::widest(&schema, between);
                }
            }
        }
    };
    let all = futures::stream::iter(first.into_iter().map(Ok)).chain(rows);
    Ok((looks, Box::pin(RecordBatchStreamAdapter::new(schema, all))))
}

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

async fn write_table(
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

async fn write_csv(
    rows: SendableRecordBatchStream,
    delimiter: u8,
    out: &mut (dyn Write + Send),
) -> Result<usize> {
    let (looks, rows) = look(rows, Between::T).await?;
    let mut writer = CsvBuilder::new().with_delimiter(delimiter).with_header(true).build(&mut *out);
    writer.write(&flat(&RecordBatch::new_empty(rows.schema()), &looks)?)?;
    each(rows, |batch| Ok(writer.write(&flat(batch, &looks)?)?)).await
}

async fn write_json<F: JsonFormat>(
    rows: SendableRecordBatchStream,
    out: &mut (dyn Write + Send),
) -> Result<usize> {
    let mut writer = JsonBuilder::new().with_explicit_nulls(true).build::<_, F>(&mut *out);
    let count = each(rows, |batch| Ok(writer.write(batch)?)).await?;
    writer.finish()?;
    Ok(count)
}

/// The formatters of a batch that is a whole result.
pub(crate) fn formatters<'a>(batch: &'a RecordBatch, null: &'a str) -> Result<Vec<ArrayFormatter<'a>>> {
    Looks::of(batch.schema_ref(), std::slice::from_ref(batch), Between::Space).formatters(batch, null)
}

/// Converts nested columns, times and durations to text: CSV has no such types, and the times of a
/// column get the same number of digits.
fn flat(batch: &RecordBatch, looks: &Looks) -> Result<RecordBatch> {
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    let texts = looks.formatters(batch, "")?;
    for ((field, column), text) in batch.schema_ref().fields().iter().zip(batch.columns()).zip(&texts) {
        let data_type = field.data_type();
        if data_type.is_nested()
            || has_times(data_type)
            || matches!(data_type, DataType::Duration(_) | DataType::Interval(_))
        {
            let text = (0..column.len()).map(|row| column.is_valid(row).then(|| text.value(row).to_string()));
            columns.push(Arc::new(text.collect::<StringArray>()));
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
        } else {
            columns.push(Arc::clone(column));
            fields.push(Arc::clone(field));
        }
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema, columns, &rows)?)
}

fn escape(text: &str) -> String {
    printable(&text.replace('\\', "\\\\").replace('|', "\\|")).into_owned()
}

/// The line below a Markdown heading, which aligns numbers to the right.
fn rule(data_type: &DataType) -> &'static str {
    if data_type.is_numeric() { "---:" } else { "---" }
}

/// Formats a number of things: `1 file`, `2,000 files`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", grouped(number))
}

/// A number with commas between thousands.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a number of bytes for people.
pub(crate) struct Bytes(pub u64);

impl fmt::Display for Bytes {
    #[allow(clippy::cast_precision_loss)]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut amount = self.0 as f64;
        for unit in ["B", "kB", "MB", "GB"] {
            if amount < 1000.0 {
                let digits = usize::from(unit != "B" && amount < 100.0);
                return write!(f, "{amount:.digits$} {unit}");
            }
            amount /= 1000.0;
        }
        write!(f, "{amount:.1} TB")
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array};
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

    #[test]
    fn numbers_have_commas() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(number), text);
        }
    }
}
