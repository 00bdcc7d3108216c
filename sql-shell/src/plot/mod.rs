//! Plots of results; and `\plot`, which draws them in the terminal or to a file.

mod axis;
mod canvas;
mod clip;
mod coastlines;
mod colours;
mod draw;
mod figure;
mod raster;
pub(crate) mod request;
mod steps;
mod svg;
mod terminal;

use std::io::{IsTerminal, Write};
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, DurationNanosecondType, Float64Type, SchemaRef, TimeUnit, TimestampNanosecondType,
};
use datafusion::logical_expr::LogicalPlan;
use futures::StreamExt;

use self::draw::draw;
use self::figure::{Column, Figure, Values};
pub use self::request::Kind;
use self::request::{Format, Request};
use self::svg::{Svg, to_png};
use self::terminal::{Colours, Terminal};
use crate::columns::{Description, Meaning};
use crate::destination;
use crate::error::{Failure, Result};
use crate::output::count;
use crate::printable::{Printable, printable};
use crate::runner::Runner;
use crate::session::Session;
use crate::statement::{Prepared, What};
use crate::target;

/// The largest number of rows that are drawn.
const MOST_ROWS: usize = 5_000_000;

/// The columns and rows of a plot if there is no terminal that has a size.
const SIZE: (usize, usize) = (80, 24);

/// Runs a query, or the last one again, and plots its result: in the terminal, or to a PNG or SVG
/// file.
pub(crate) async fn plot(session: &mut Session, arguments: &str) -> Result<()> {
    let Request { kind, file, query } = Request::parse(arguments)?;
    let query = query.map(str::to_owned).or_else(|| session.last_query.clone());
    let query = query.ok_or_else(|| {
        Failure::new("there is no result to draw yet: run a query first, or write it after \\plot")
    })?;
    if let Some((file, _)) = file {
        destination::check_path(Path::new(file))?;
    }
    let statement = session.prepare(&query).await?;
    let runner = session.runner();
    let (picture, rows) =
        session.on_workers(async move { picture_of(&runner, statement, kind).await }).await?;
    let Some((file, format)) = file else { return picture.to_terminal() };
    let bytes = match format {
        Format::Png => picture.to_png()?,
        Format::Svg => picture.to_svg().into_bytes(),
    };
    target::write_whole(Path::new(file), &bytes).map_err(|e| Failure::new(format!("{file}: {e}")))?;
    let mut out = Printable::new(std::io::stdout());
    writeln!(out, "{} drawn to {file}", count(rows, "row"))?;
    Ok(())
}

/// The plot of a query, and the number of its rows.
async fn picture_of(runner: &Runner, query: Prepared, kind: Option<Kind>) -> Result<(Picture, usize)> {
    let What::Plan(plan) = &query.what else { return Err(Failure::new("only queries can be drawn")) };
    let description = Description::of(plan);
    let (schema, batches, rows) = collect(runner, query).await?;
    Ok((Picture::described(description, kind, &schema, &batches)?, rows))
}

/// The rows of a query, and their number.
async fn collect(runner: &Runner, query: Prepared) -> Result<(SchemaRef, Vec<RecordBatch>, usize)> {
    let mut rows = runner.stream(query).await?;
    let (mut batches, mut number) = (Vec::new(), 0);
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        number += batch.num_rows();
        if number > MOST_ROWS {
            return Err(Failure::new(format!(
                "the last result has more than {MOST_ROWS} rows: group them, or take a part"
            )));
        }
        batches.push(batch);
    }
    runner.watch.hide();
    Ok((rows.schema(), batches, number))
}

/// A plot of a result.
#[derive(Debug)]
pub struct Picture(Figure);

impl Picture {
    /// Plots the result of a plan, as the given kind or as the one that suits its columns. The plan
    /// determines the meanings of the columns: their units, and which of them are coordinates.
    ///
    /// # Errors
    /// There are no rows or no numbers to draw, or the columns do not suit the kind.
    pub fn of(
        plan: &LogicalPlan,
        kind: Option<Kind>,
        schema: &SchemaRef,
        batches: &[RecordBatch],
    ) -> Result<Self> {
        Self::described(Description::of(plan), kind, schema, batches)
    }

    fn described(
        description: Description,
        kind: Option<Kind>,
        schema: &SchemaRef,
        batches: &[RecordBatch],
    ) -> Result<Self> {
        let Description { columns: mut meanings, ordered, source } = description;
        let fields = schema.fields();
        if meanings.len() != fields.len() {
            meanings = fields.iter().map(|field| Meaning::named(field.name())).collect();
        }
        let all = arrow::compute::concat_batches(schema, batches)?;
        let columns = meanings.into_iter().zip(all.columns());
        let columns = columns.map(|(mut meaning, values)| {
            if matches!(values.data_type(), DataType::Duration(_)) {
                (meaning.units, meaning.role) = (Some("days".to_owned()), None);
            }
            Ok(Column { meaning, values: read(values)? })
        });
        let columns = columns.collect::<Result<_>>()?;
        let source: Vec<String> = source.iter().map(|part| printable(part).into_owned()).collect();
        Ok(Self(Figure::of(columns, kind, ordered, &source)?))
    }

    /// The plot as the text of an SVG file.
    pub fn to_svg(&self) -> String {
        let mut svg = Svg::new(&self.0.title);
        draw(&self.0, &mut svg);
        svg.finish()
    }

    /// The plot as the bytes of a PNG file.
    ///
    /// # Errors
    /// It cannot be drawn.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        to_png(&self.to_svg())
    }

    /// The plot as characters without colours.
    pub fn to_text(&self) -> String {
        self.terminal(SIZE, Colours::None).to_string()
    }

    fn terminal(&self, (columns, rows): (usize, usize), colours: Colours) -> Terminal {
        // Leaves a line for the prompt below.
        let rows = (rows.saturating_sub(2)).clamp(10, (columns / 2).max(12));
        let shaded = self.0.colours.is_some();
        let mut terminal = Terminal::new(columns.max(40), rows, colours, shaded);
        draw(&self.0, &mut terminal);
        terminal
    }

    fn to_terminal(&self) -> Result<()> {
        let mut out = std::io::stdout();
        let is_terminal = out.is_terminal();
        let size = terminal_size::terminal_size()
            .filter(|_| is_terminal)
            .map_or(SIZE, |(width, height)| (usize::from(width.0), usize::from(height.0)));
        let colours = if is_terminal { Colours::of_terminal() } else { Colours::None };
        Ok(write!(out, "{}", self.terminal(size, colours))?)
    }
}

fn read(values: &ArrayRef) -> Result<Values> {
    Ok(match values.data_type() {
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
            let times = cast(values, &DataType::Timestamp(TimeUnit::Nanosecond, None))?;
            let times = times.as_primitive::<TimestampNanosecondType>();
            let values = times.iter().map(|time| time.map_or(f64::NAN, |time| time as f64 / 1e9));
            Values::Numbers { values: values.collect(), times: true, whole: false }
        }
        DataType::Duration(_) => {
            let durations = cast(values, &DataType::Duration(TimeUnit::Nanosecond))?;
            let durations = durations.as_primitive::<DurationNanosecondType>();
            let days =
                durations.iter().map(|time| time.map_or(f64::NAN, |time| time as f64 / (86_400.0 * 1e9)));
            Values::Numbers { values: days.collect(), times: false, whole: false }
        }
        data_type if data_type.is_numeric() => {
            let numbers: Float64Array =
                cast(values, &DataType::Float64)?.as_primitive::<Float64Type>().clone();
            let values = numbers.iter().map(|number| number.unwrap_or(f64::NAN)).collect();
            Values::Numbers { values, times: false, whole: data_type.is_integer() }
        }
        DataType::Null => {
            Values::Numbers { values: vec![f64::NAN; values.len()], times: false, whole: false }
        }
        _ => {
            let batch = RecordBatch::try_from_iter([("text", values.clone())])?;
            let columns = crate::output::formatters(&batch, "NULL")?;
            let text =
                |row| columns.first().map(|column| printable(&column.value(row).to_string()).into_owned());
            let text = |row| text(row).unwrap_or_default();
            Values::Texts((0..batch.num_rows()).map(text).collect())
        }
    })
}
