//! Results as pictures; and `\plot`, which draws the last one in the terminal or in a file.

mod axis;
mod canvas;
mod draw;
mod figure;
mod svg;
mod terminal;

use std::collections::{HashMap, HashSet};
use std::io::{IsTerminal, Write};
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, SchemaRef, TimeUnit, TimestampNanosecondType};
use atlas::Atlas;
use datafusion::prelude::SessionContext;
use futures::StreamExt;

use self::axis::{Role, texts};
use self::draw::draw;
use self::figure::{Column, Figure, Marks, Values};
use self::svg::{Svg, to_png};
use self::terminal::{Colours, Terminal};
use crate::destination;
use crate::error::{Failure, Result};
use crate::output::count;
use crate::printable::{Printable, printable};
use crate::session::{Runner, Session};
use crate::statement::Prepared;

/// Rows that are drawn at the most.
const MOST_ROWS: usize = 5_000_000;

/// Columns and rows of a picture where there is no terminal to ask.
const SIZE: (usize, usize) = (80, 24);

/// Runs the last query again and draws its result: in the terminal, or as a PNG or SVG file.
pub(crate) async fn plot(session: &mut Session, file: &str) -> Result<()> {
    let query = session.last_query.clone();
    let query = query.ok_or_else(|| Failure::new("there is no result to draw yet: run a query first"))?;
    let ending = Path::new(file).extension().map(|ending| ending.to_ascii_lowercase());
    let to_file = match ending.as_ref().and_then(|ending| ending.to_str()) {
        _ if file.is_empty() => None,
        Some("png") => Some(true),
        Some("svg") => Some(false),
        _ => return Err(Failure::new(format!("{file}: pictures are .png or .svg"))),
    };
    if to_file.is_some() {
        destination::check_path(Path::new(file))?;
    }
    let statement = session.prepare(&query).await?;
    let runner = session.runner();
    let (schema, batches, number) =
        session.on_workers(async move { collect(&runner, statement).await }).await?;
    let atlases: Vec<_> = session.stores.iter().map(|store| &store.atlas).collect();
    let picture = Picture::of(&Names::of(&session.context, &atlases), &schema, &batches)?;
    match to_file {
        None => picture.to_terminal(),
        Some(png) => {
            let bytes = if png { picture.to_png()? } else { picture.to_svg().into_bytes() };
            std::fs::write(file, bytes).map_err(|e| Failure::new(format!("{file}: {e}")))?;
            let mut out = Printable::new(std::io::stdout());
            writeln!(out, "{} drawn to {file}", count(number, "row"))?;
            Ok(())
        }
    }
}

/// The rows of a query, with their number.
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

/// A picture of a result.
#[derive(Debug)]
pub struct Picture(Figure);

impl Picture {
    /// The picture that suits the columns of a result.
    ///
    /// # Errors
    /// Where there are no rows or no numbers to draw, or more than can be told apart.
    pub fn of(names: &Names, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Self> {
        let all = arrow::compute::concat_batches(schema, batches)?;
        let columns = schema.fields().iter().zip(all.columns());
        let columns = columns.map(|(field, values)| names.column(field.name(), values));
        Ok(Self(Figure::of(columns.collect::<Result<_>>()?)?))
    }

    /// The picture as the text of an SVG file.
    pub fn to_svg(&self) -> String {
        let mut svg = Svg::new();
        draw(&self.0, &mut svg);
        svg.finish()
    }

    /// The picture as the bytes of a PNG file.
    ///
    /// # Errors
    /// Where it cannot be drawn.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        to_png(&self.to_svg())
    }

    /// The picture as characters without colours.
    pub fn to_text(&self) -> String {
        self.terminal(SIZE, Colours::None).to_string()
    }

    fn terminal(&self, (columns, rows): (usize, usize), colours: Colours) -> Terminal {
        // The prompt is to have a line below.
        let rows = (rows.saturating_sub(2)).clamp(10, (columns / 2).max(12));
        let shaded = matches!(self.0.marks, Marks::Cells(_));
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

/// What a session knows of the names in a result.
#[derive(Debug)]
pub struct Names {
    /// The attributes of variables of its stores.
    variables: HashMap<String, HashMap<String, String>>,
    /// The functions that give a value for many.
    aggregates: HashSet<String>,
}

impl Names {
    /// What is known of the variables of stores and of the functions of a session.
    pub fn of(context: &SessionContext, stores: &[&Atlas]) -> Self {
        let mut variables = HashMap::new();
        for store in stores {
            for array in store.snapshot().root().array_schemas() {
                variables.entry(array.name.clone()).or_insert_with(|| texts(&array.attributes));
            }
        }
        let aggregates = context.state().aggregate_functions().keys().cloned().collect();
        Self { variables, aggregates }
    }

    fn column(&self, name: &str, values: &ArrayRef) -> Result<Column> {
        let values = read(values)?;
        let none = HashMap::new();
        let own = self.variables.get(name);
        let units = own.and_then(|own| own.get("units")).filter(|units| !units.contains(" since "));
        let label = units.map_or_else(|| name.to_owned(), |units| format!("{name} [{units}]"));
        let label = printable(&label).into_owned();
        let role_of = |name| Role::of(name, self.variables.get(name).unwrap_or(&none));
        let role = match name.split_once('(') {
            None => role_of(name),
            // An average of latitudes is a value like others; but `round(atlas.lat)` is along what
            // `lat` is.
            Some((function, _)) if self.aggregates.contains(function) => None,
            Some((_, arguments)) => {
                arguments.split(|c: char| !c.is_alphanumeric() && c != '_').find_map(role_of)
            }
        };
        Ok(Column { label, role, values })
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
