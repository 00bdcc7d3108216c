//! Results as text and as files.

mod grid;

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::csv::WriterBuilder as CsvBuilder;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::ipc::writer::FileWriter;
use arrow::json::writer::{JsonArray, JsonFormat, LineDelimited, WriterBuilder as JsonBuilder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use clap::ValueEnum;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::physical_plan::SendableRecordBatchStream;
use futures::StreamExt;
use unicode_width::UnicodeWidthStr;

use self::grid::Grid;
use crate::error::Result;
use crate::printable::printable;

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
    /// Whether it is nothing for a terminal.
    pub(crate) fn is_binary(self) -> bool {
        matches!(self, Self::Parquet | Self::Arrow)
    }
}

/// How results look.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    pub format: Format,
    /// A table with a line for each column of each row.
    pub expanded: bool,
    /// Rows that a table shows at the most; the rest is counted.
    pub most: Option<usize>,
    /// The width that a table is fitted to.
    pub width: Option<usize>,
}

impl Style {
    /// Everything, in a format.
    pub(crate) fn whole(format: Format) -> Self {
        Self { format, ..Self::default() }
    }
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

/// Does something with every batch of a result, and returns its number of rows.
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
    each(rows, |batch| {
        let columns = formatters(batch, "NULL")?;
        for row in 0..batch.num_rows() {
            let values: Vec<_> =
                columns.iter().map(|column| escape(&column.value(row).to_string())).collect();
            writeln!(out, "| {} |", values.join(" | "))?;
        }
        Ok(())
    })
    .await
}

async fn write_table(
    rows: SendableRecordBatchStream,
    style: Style,
    out: &mut (dyn Write + Send),
) -> Result<usize> {
    let most = style.most.unwrap_or(usize::MAX);
    let mut batches = vec![RecordBatch::new_empty(rows.schema())];
    let mut shown = 0;
    let count = each(rows, |batch| {
        let room = (most - shown).min(batch.num_rows());
        if room > 0 {
            shown += room;
            batches.push(batch.slice(0, room));
        }
        Ok(())
    })
    .await?;
    let mut left_out = 0;
    if is_plan(&batches) {
        write_plan(&batches, out)?;
    } else if style.expanded {
        write_expanded(&batches, out)?;
    } else {
        let grid = Grid::new(&batches, style.width)?;
        left_out = grid.left_out();
        write!(out, "{grid}")?;
    }
    let more = [(count - shown, "row"), (left_out, "column")];
    let more: Vec<_> = more
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, thing)| format!("{number} more {thing}{}", if number == 1 { "" } else { "s" }))
        .collect();
    if !more.is_empty() {
        writeln!(out, "… {}", more.join(" and "))?;
    }
    Ok(count)
}

/// Whether rows are what EXPLAIN gives.
fn is_plan(batches: &[RecordBatch]) -> bool {
    let schema = batches.first().map(RecordBatch::schema);
    schema.is_some_and(|schema| schema.fields().iter().map(|field| field.name()).eq(["plan_type", "plan"]))
}

/// Plans as they are: an operator a line.
fn write_plan(batches: &[RecordBatch], out: &mut (dyn Write + Send)) -> Result<()> {
    for batch in batches {
        let columns = formatters(batch, "NULL")?;
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

/// Each row as a block, each column a line of it.
fn write_expanded(batches: &[RecordBatch], out: &mut (dyn Write + Send)) -> Result<()> {
    let mut number = 0;
    for batch in batches {
        let columns = formatters(batch, "NULL")?;
        let names: Vec<_> =
            batch.schema().fields().iter().map(|field| printable(field.name()).into_owned()).collect();
        let widest = names.iter().map(|name| name.width()).max().unwrap_or(0);
        for row in 0..batch.num_rows() {
            number += 1;
            writeln!(out, "-[ row {number} ]-")?;
            for (name, column) in names.iter().zip(&columns) {
                let room = " ".repeat(widest - name.width());
                writeln!(out, "{name}{room} | {}", printable(&column.value(row).to_string()))?;
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
    let mut writer = CsvBuilder::new().with_delimiter(delimiter).with_header(true).build(&mut *out);
    writer.write(&flat(&RecordBatch::new_empty(rows.schema()))?)?;
    each(rows, |batch| Ok(writer.write(&flat(batch)?)?)).await
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

fn options(null: &str) -> FormatOptions<'_> {
    FormatOptions::default().with_null(null).with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
}

pub(crate) fn formatters<'a>(batch: &'a RecordBatch, null: &'a str) -> Result<Vec<ArrayFormatter<'a>>> {
    let options = options(null);
    Ok(batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options))
        .collect::<Result<_, _>>()?)
}

/// Nested columns as text, since CSV has no others.
fn flat(batch: &RecordBatch) -> Result<RecordBatch> {
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if field.data_type().is_nested() {
            let options = options("");
            let text = ArrayFormatter::try_new(column, &options)?;
            let text = (0..column.len()).map(|row| column.is_valid(row).then(|| text.value(row).to_string()));
            columns.push(Arc::new(text.collect::<StringArray>()));
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
        } else {
            columns.push(Arc::clone(column));
            fields.push(Arc::clone(field));
        }
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    Ok(RecordBatch::try_new(schema, columns)?)
}

fn escape(text: &str) -> String {
    printable(&text.replace('\\', "\\\\").replace('|', "\\|")).into_owned()
}

/// The rule under a Markdown heading, which aligns numbers to the right.
fn rule(data_type: &DataType) -> &'static str {
    if data_type.is_numeric() { "---:" } else { "---" }
}

/// A number of things: `1 file`, `2 files`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// A number of bytes for people.
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
