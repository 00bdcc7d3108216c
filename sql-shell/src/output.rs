//! Results as text.

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::csv::WriterBuilder as CsvBuilder;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::json::writer::{JsonArray, JsonFormat, LineDelimited, WriterBuilder as JsonBuilder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches_with_options;
use clap::ValueEnum;
use datafusion::physical_plan::SendableRecordBatchStream;
use futures::StreamExt;

use crate::error::Result;

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
}

/// Writes a result, and returns its number of rows. A table shows `most` rows at the most and says how many it
/// leaves out.
pub(crate) async fn write(
    mut rows: SendableRecordBatchStream,
    format: Format,
    most: Option<usize>,
    out: &mut (dyn Write + Send),
) -> Result<usize> {
    let schema = rows.schema();
    match format {
        Format::Table => write_table(rows, most, out).await,
        Format::Csv => write_csv(rows, b',', out).await,
        Format::Tsv => write_csv(rows, b'\t', out).await,
        Format::Json => {
            let count = write_json::<JsonArray>(rows, out).await?;
            writeln!(out)?;
            Ok(count)
        }
        Format::Ndjson => write_json::<LineDelimited>(rows, out).await,
        Format::Markdown => {
            let names: Vec<_> = schema.fields().iter().map(|field| escape(field.name())).collect();
            writeln!(out, "| {} |", names.join(" | "))?;
            let rules: Vec<_> = schema.fields().iter().map(|field| rule(field.data_type())).collect();
            writeln!(out, "| {} |", rules.join(" | "))?;
            let mut count = 0;
            while let Some(batch) = rows.next().await {
                let batch = batch?;
                count += batch.num_rows();
                let columns = formatters(&batch, "NULL")?;
                for row in 0..batch.num_rows() {
                    let values: Vec<_> =
                        columns.iter().map(|column| escape(&column.value(row).to_string())).collect();
                    writeln!(out, "| {} |", values.join(" | "))?;
                }
            }
            Ok(count)
        }
    }
}

async fn write_table(
    mut rows: SendableRecordBatchStream,
    most: Option<usize>,
    out: &mut (dyn Write + Send),
) -> Result<usize> {
    let most = most.unwrap_or(usize::MAX);
    let mut batches = vec![RecordBatch::new_empty(rows.schema())];
    let (mut count, mut shown) = (0, 0);
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        count += batch.num_rows();
        let room = (most - shown).min(batch.num_rows());
        if room > 0 {
            shown += room;
            batches.push(batch.slice(0, room));
        }
    }
    writeln!(out, "{}", pretty_format_batches_with_options(&batches, &options("NULL"))?)?;
    if shown < count {
        writeln!(out, "… {} more rows", count - shown)?;
    }
    Ok(count)
}

async fn write_csv(
    mut rows: SendableRecordBatchStream,
    delimiter: u8,
    out: &mut (dyn Write + Send),
) -> Result<usize> {
    let mut count = 0;
    let mut writer = CsvBuilder::new().with_delimiter(delimiter).with_header(true).build(&mut *out);
    writer.write(&flat(&RecordBatch::new_empty(rows.schema()))?)?;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        count += batch.num_rows();
        writer.write(&flat(&batch)?)?;
    }
    Ok(count)
}

async fn write_json<F: JsonFormat>(
    mut rows: SendableRecordBatchStream,
    out: &mut (dyn Write + Send),
) -> Result<usize> {
    let mut count = 0;
    let mut writer = JsonBuilder::new().with_explicit_nulls(true).build::<_, F>(&mut *out);
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        count += batch.num_rows();
        writer.write(&batch)?;
    }
    writer.finish()?;
    Ok(count)
}

fn options(null: &str) -> FormatOptions<'_> {
    FormatOptions::default().with_null(null)
}

fn formatters<'a>(batch: &'a RecordBatch, null: &'a str) -> Result<Vec<ArrayFormatter<'a>>> {
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
    text.replace('\\', "\\\\").replace('|', "\\|").replace('\n', " ")
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
