//! `\plot`: the last result as a picture, in the terminal or in a file.

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
    let all = arrow::compute::concat_batches(&schema, &batches)?;
    let names = Names::of(session);
    let columns = schema.fields().iter().zip(all.columns());
    let columns = columns.map(|(field, values)| names.column(field.name(), values));
    let figure = Figure::of(columns.collect::<Result<_>>()?)?;
    match to_file {
        None => to_terminal(&figure),
        Some(png) => {
            let mut svg = Svg::new();
            draw(&figure, &mut svg);
            let svg = svg.finish();
            let bytes = if png { to_png(&svg)? } else { svg.into_bytes() };
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

fn to_terminal(figure: &Figure) -> Result<()> {
    let mut out = std::io::stdout();
    let is_terminal = out.is_terminal();
    let (columns, rows) = terminal_size::terminal_size()
        .filter(|_| is_terminal)
        .map_or(SIZE, |(width, height)| (usize::from(width.0), usize::from(height.0)));
    // The prompt is to have a line below.
    let rows = (rows.saturating_sub(2)).clamp(10, (columns / 2).max(12));
    let colours = if is_terminal { Colours::of_terminal() } else { Colours::None };
    let shaded = matches!(figure.marks, Marks::Cells(_));
    let mut terminal = Terminal::new(columns.max(40), rows, colours, shaded);
    draw(figure, &mut terminal);
    Ok(write!(out, "{terminal}")?)
}

/// What a session knows of the names in a result.
struct Names {
    /// The attributes of variables of its stores.
    variables: HashMap<String, HashMap<String, String>>,
    /// The functions that give a value for many.
    aggregates: HashSet<String>,
}

impl Names {
    fn of(session: &Session) -> Self {
        let mut variables = HashMap::new();
        for store in &session.stores {
            for array in store.atlas.snapshot().root().array_schemas() {
                variables.entry(array.name.clone()).or_insert_with(|| texts(&array.attributes));
            }
        }
        let aggregates = session.context.state().aggregate_functions().keys().cloned().collect();
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
            // An average of latitudes is a value like others; but `round(atlas.lat)` is along what `lat` is.
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
