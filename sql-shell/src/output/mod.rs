//! Writes results as text and to files.

mod cells;
mod grid;
mod numbers;
mod rows;
mod style;
mod table;

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::csv::WriterBuilder as CsvBuilder;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::ipc::writer::FileWriter;
use arrow::json::writer::{JsonArray, JsonFormat, LineDelimited, WriterBuilder as JsonBuilder};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::physical_plan::SendableRecordBatchStream;

use self::cells::{Between, Looks, has_times};
use self::rows::{each, look};
use self::style::NULL;
use self::table::write_table;
use crate::error::Result;
use crate::printable::printable;

pub(crate) use self::cells::formatters;
pub(crate) use self::numbers::{Bytes, count, grouped};
pub(crate) use self::style::{Format, Style, UNITS};
pub(crate) use self::table::write_fitted;

/// Writes a result, and returns its number of rows.
pub(crate) async fn write(
    rows: SendableRecordBatchStream,
    style: Style,
    out: &mut (dyn Write + Send),
) -> Result<usize> {
    let mut out = Noting { out, is_closed: false };
    let written = write_format(rows, style, &mut out).await;
    // Writers of formats do not always keep the kind of an error.
    written.map_err(|error| if out.is_closed { io::ErrorKind::BrokenPipe.into() } else { error })
}

/// Notes whether the reader of an output has closed it.
struct Noting<'a> {
    out: &'a mut (dyn Write + Send),
    is_closed: bool,
}

impl Write for Noting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes);
        self.is_closed |= written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

async fn write_format(
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
