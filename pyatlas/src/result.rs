//! `Result`: the rows of a query. The query runs when the rows are requested.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchReader};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, DurationNanosecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, SchemaRef, TimeUnit, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches_with_options;
use atlas::Atlas;
use atlas_datafusion::ScanProgress;
use atlas_sql::plot::{self, Picture};
use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::{ExecutionPlan, displayable, execute_stream};
use datafusion::prelude::{DataFrame, SessionContext};
use futures::StreamExt;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule, PyDict, PyList, PyTuple};
use pyo3::{IntoPyObjectExt, intern};
use pyo3_arrow::{PyRecordBatchReader, PySchema, PyTable};

use crate::errors::{Kind, Raise};
use crate::html::escaped;
use crate::progress::Progress;
use crate::runtime::{check_process, wait, watch};
use crate::values::from_attributes;

/// The number of rows that a notebook shows.
const SHOWN: usize = 20;

/// The time after which the chunks of a running query are counted for its progress.
const PATIENCE: Duration = Duration::from_millis(400);

/// The rows of a query. Each method that returns rows runs the query.
#[pyclass(name = "Result", module = "pyatlas", frozen)]
pub(crate) struct PyResultSet {
    frame: DataFrame,
    context: SessionContext,
    stores: Arc<Vec<(String, Atlas)>>,
}

/// The progress of a query's scans, once it is known.
type Watched = Arc<Mutex<Option<ScanProgress>>>;

impl PyResultSet {
    pub(crate) fn new(frame: DataFrame, context: SessionContext, stores: Arc<Vec<(String, Atlas)>>) -> Self {
        Self { frame, context, stores }
    }

    fn arrow_schema(&self) -> SchemaRef {
        Arc::new(self.frame.schema().as_arrow().clone())
    }

    /// All rows of a query, in batches, with progress.
    fn collect(&self, py: Python<'_>, frame: DataFrame) -> PyResult<(SchemaRef, Vec<RecordBatch>)> {
        check_process()?;
        let context = self.context.clone();
        let watched = Watched::default();
        let scans = Arc::clone(&watched);
        let work = async move {
            let plan = frame.create_physical_plan().await?;
            let counting = count_later(Arc::clone(&plan), scans);
            let collected = datafusion::physical_plan::collect(Arc::clone(&plan), context.task_ctx()).await;
            counting.abort();
            Ok::<_, DataFusionError>((plan.schema(), collected?))
        };
        let mut progress = Progress::new();
        let collected = watch(py, work, |py| {
            let now = watched.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(ScanProgress::now);
            now.map_or(Ok(()), |now| {
                progress.show(py, now.chunks_done, now.chunks, "chunks", now.bytes as u64)
            })
        });
        progress.end(py)?;
        collected
    }

    /// The first rows, and whether there are more.
    fn first(&self, py: Python<'_>, rows: usize) -> PyResult<(SchemaRef, Vec<RecordBatch>, bool)> {
        let some = self.frame.clone().limit(0, Some(rows.saturating_add(1))).map_err(Raise::raise)?;
        let (schema, batches) = self.collect(py, some)?;
        let mut left = rows;
        let mut shown = Vec::new();
        let mut number = 0;
        for batch in batches {
            number += batch.num_rows();
            let part = batch.slice(0, left.min(batch.num_rows()));
            left -= part.num_rows();
            shown.push(part);
        }
        Ok((schema, shown, number > rows))
    }
}

/// Counts the chunks of a plan's scans, if the plan still runs after a while.
fn count_later(plan: Arc<dyn ExecutionPlan>, scans: Watched) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        tokio::time::sleep(PATIENCE).await;
        let counted = tokio::task::spawn_blocking(move || ScanProgress::of(&plan)).await;
        if let Ok(Ok(counted)) = counted {
            *scans.lock().unwrap_or_else(PoisonError::into_inner) = Some(counted);
        }
    })
}

/// The rows of a query that runs while they are consumed.
struct Rows {
    schema: SchemaRef,
    stream: Option<SendableRecordBatchStream>,
}

impl Iterator for Rows {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut stream = self.stream.take()?;
        let taken = Python::attach(|py| {
            let taken = wait(py, async move {
                let batch = stream.next().await.transpose()?;
                Ok::<_, DataFusionError>((stream, batch))
            });
            taken.map_err(|error| {
                let told = ArrowError::ExternalError(error.to_string().into());
                if error.is_instance_of::<pyo3::exceptions::PyKeyboardInterrupt>(py) {
                    // The consumer of the rows only reports that they end. Python raises the
                    // exception after that.
                    let thread = py.import("_thread");
                    if let Err(error) = thread.and_then(|thread| thread.call_method0("interrupt_main")) {
                        return ArrowError::ExternalError(error.to_string().into());
                    }
                }
                told
            })
        });
        match taken {
            Ok((stream, batch)) => {
                self.stream = Some(stream);
                batch.map(Ok)
            }
            Err(error) => Some(Err(error)),
        }
    }
}

impl RecordBatchReader for Rows {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

#[pymethods]
impl PyResultSet {
    #[getter]
    fn columns(&self) -> Vec<String> {
        self.frame.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let schema = PySchema::new(self.arrow_schema()).into_bound_py_any(py)?;
        schema.call_method0(intern!(py, "__arrow_c_schema__"))
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyCapsule>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        check_process()?;
        let (frame, context) = (self.frame.clone(), self.context.clone());
        let stream = wait(py, async move {
            let plan = frame.create_physical_plan().await?;
            execute_stream(plan, context.task_ctx())
        })?;
        let rows = Rows { schema: stream.schema(), stream: Some(stream) };
        let reader = PyRecordBatchReader::new(Box::new(rows)).into_bound_py_any(py)?;
        reader.call_method1(intern!(py, "__arrow_c_stream__"), (requested_schema,))
    }

    fn to_arrow<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (schema, batches) = self.collect(py, self.frame.clone())?;
        let table = PyTable::try_new(batches, schema)?.into_bound_py_any(py)?;
        py.import("pyarrow")?.call_method1("table", (table,))
    }

    fn to_pandas<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("pyatlas.frames")?.call_method1("to_pandas", (self.to_arrow(py)?,))
    }

    fn to_polars<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (schema, batches) = self.collect(py, self.frame.clone())?;
        let table = PyTable::try_new(batches, schema)?.into_bound_py_any(py)?;
        py.import("polars")?.call_method1("DataFrame", (table,))
    }

    #[pyo3(signature = (dims=None))]
    fn to_xarray<'py>(&self, py: Python<'py>, dims: Option<Vec<String>>) -> PyResult<Bound<'py, PyAny>> {
        let columns = self.to_columns(py)?;
        let attributes = PyDict::new(py);
        for (_, atlas) in self.stores.iter() {
            for array in atlas.snapshot().root().array_schemas() {
                if columns.contains(&array.name)? && !attributes.contains(&array.name)? {
                    attributes.set_item(&array.name, from_attributes(py, &array.attributes)?)?;
                }
            }
        }
        py.import("pyatlas.frames")?.call_method1("to_xarray", (columns, dims, attributes))
    }

    /// The columns as NumPy arrays, each with a mask of missing values.
    fn to_columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (schema, batches) = self.collect(py, self.frame.clone())?;
        let all = arrow::compute::concat_batches(&schema, &batches).map_err(Raise::raise)?;
        let columns = PyDict::new(py);
        for (field, column) in schema.fields().iter().zip(all.columns()) {
            columns.set_item(field.name(), numpy_column(py, field.name(), column)?)?;
        }
        Ok(columns)
    }

    fn fetchall<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let (_, batches) = self.collect(py, self.frame.clone())?;
        let rows = PyList::empty(py);
        for batch in batches {
            let columns: Vec<_> =
                batch.columns().iter().map(|column| objects(py, column)).collect::<PyResult<_>>()?;
            for row in 0..batch.num_rows() {
                let cells = columns.iter().filter_map(|column| column.get(row).cloned());
                rows.append(PyTuple::new(py, cells.collect::<Vec<_>>())?)?;
            }
        }
        Ok(rows)
    }

    #[pyo3(signature = (rows=20))]
    fn show(&self, py: Python<'_>, rows: usize) -> PyResult<()> {
        let (schema, mut batches, more) = self.first(py, rows)?;
        if batches.is_empty() {
            batches.push(RecordBatch::new_empty(schema));
        }
        let options = FormatOptions::default().with_null("NULL");
        let mut text =
            pretty_format_batches_with_options(&batches, &options).map_err(Raise::raise)?.to_string();
        if more {
            text.push_str(&format!("\nthe first {rows} rows; there are more"));
        }
        py.import("builtins")?.call_method1("print", (text,)).map(drop)
    }

    #[pyo3(signature = (analyze=false))]
    fn explain(&self, py: Python<'_>, analyze: bool) -> PyResult<String> {
        check_process()?;
        if !analyze {
            let frame = self.frame.clone();
            return wait(py, async move {
                let plan = frame.create_physical_plan().await?;
                Ok::<_, DataFusionError>(displayable(plan.as_ref()).indent(false).to_string())
            });
        }
        let explained = self.frame.clone().explain(false, true).map_err(Raise::raise)?;
        let (_, batches) = self.collect(py, explained)?;
        let mut text = String::new();
        for batch in batches {
            let Some(plans) = batch.columns().last() else { continue };
            let plans = cast(plans, &DataType::Utf8).map_err(Raise::raise)?;
            plans.as_string::<i32>().iter().flatten().for_each(|plan| text.push_str(plan));
        }
        Ok(text)
    }

    #[pyo3(signature = (kind=None))]
    fn plot(&self, py: Python<'_>, kind: Option<&str>) -> PyResult<PyPicture> {
        let kind = kind.map(plot::Kind::named).transpose().map_err(Raise::raise)?;
        let (schema, batches) = self.collect(py, self.frame.clone())?;
        let plan = self.frame.logical_plan();
        Picture::of(plan, kind, &schema, &batches).map(PyPicture).map_err(Raise::raise)
    }

    fn _repr_html_(&self, py: Python<'_>) -> PyResult<String> {
        let (schema, batches, more) = self.first(py, SHOWN)?;
        let mut html = String::from("<table><thead><tr>");
        for field in schema.fields() {
            let data_type = field.data_type().to_string();
            let (name, data_type) = (escaped(field.name()), escaped(&data_type));
            html.push_str(&format!("<th title=\"{data_type}\">{name}</th>"));
        }
        html.push_str("</tr></thead><tbody>");
        let options = FormatOptions::default().with_null("NULL");
        for batch in &batches {
            let columns: Vec<_> = batch
                .columns()
                .iter()
                .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
                .collect::<Result<_, _>>()
                .map_err(Raise::raise)?;
            for row in 0..batch.num_rows() {
                html.push_str("<tr>");
                for column in &columns {
                    let cell = column.value(row).try_to_string().map_err(Raise::raise)?;
                    html.push_str(&format!("<td>{}</td>", escaped(&cell)));
                }
                html.push_str("</tr>");
            }
        }
        html.push_str("</tbody></table>");
        if more {
            html.push_str(&format!("<p>the first {SHOWN} rows; there are more</p>"));
        }
        Ok(html)
    }

    fn __repr__(&self) -> String {
        let fields = self.frame.schema().fields().iter();
        let fields: Vec<_> = fields.map(|field| format!("{}: {}", field.name(), field.data_type())).collect();
        format!("<Result {}>", fields.join(", "))
    }
}

/// A picture of a result.
#[pyclass(name = "Picture", module = "pyatlas", frozen)]
pub(crate) struct PyPicture(Picture);

#[pymethods]
impl PyPicture {
    fn to_svg(&self) -> String {
        self.0.to_svg()
    }

    fn to_png<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.0.to_png().map_err(Raise::raise)?))
    }

    fn save(&self, path: std::path::PathBuf) -> PyResult<()> {
        let bytes = match path.extension().and_then(|ending| ending.to_str()) {
            Some("svg") => self.0.to_svg().into_bytes(),
            Some("png") => self.0.to_png().map_err(Raise::raise)?,
            _ => return Err(Kind::Invalid.error(format!("{}: pictures are .png or .svg", path.display()))),
        };
        Ok(std::fs::write(path, bytes)?)
    }

    fn _repr_svg_(&self) -> String {
        self.0.to_svg()
    }

    fn __repr__(&self) -> String {
        self.0.to_text()
    }
}

/// A column as a NumPy array, and a mask if values are missing; otherwise None.
fn numpy_column<'py>(
    py: Python<'py>,
    name: &str,
    column: &ArrayRef,
) -> PyResult<(Bound<'py, PyAny>, Option<Bound<'py, PyAny>>)> {
    let to = match column.data_type() {
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        other => other.clone(),
    };
    let to = match to {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::BinaryView,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
            DataType::Timestamp(TimeUnit::Nanosecond, None)
        }
        DataType::Null => DataType::Float64,
        DataType::Float16 => DataType::Float32,
        other => other,
    };
    let cells = cast(column, &to).map_err(Raise::raise)?;
    let Some(dtype) = atlas::DType::from_arrow(&to) else {
        return Err(PyTypeError::new_err(format!(
            "column {name:?} of {to} has no NumPy array: cast it in the query, or take to_arrow()"
        )));
    };
    let mask = (cells.null_count() > 0).then(|| cells.clone());
    let mask = mask.and_then(|cells| cells.nulls().map(|nulls| nulls.iter().map(|shown| !shown).collect()));
    let mask = mask.map(|mask: Vec<bool>| numpy::PyArray1::from_vec(py, mask).into_any());
    let shape = [cells.len()];
    let values = crate::values::from_cells(py, cells, dtype, None, &shape, crate::values::Missing::Filled)?;
    Ok((values, mask))
}

/// The cells of a column as objects: None for missing ones, instants as `numpy.datetime64`.
fn objects<'py>(py: Python<'py>, column: &ArrayRef) -> PyResult<Vec<Bound<'py, PyAny>>> {
    macro_rules! primitives {
        ($arrow:ty) => {
            column.as_primitive::<$arrow>().iter().map(|cell| cell.into_bound_py_any(py)).collect()
        };
    }
    let numpy = py.import(intern!(py, "numpy"))?;
    let of_unit = |class: &str, cell: Option<i64>, unit: &str| match cell {
        None => Ok(py.None().into_bound(py)),
        Some(cell) => numpy.call_method1(class, (cell, unit)),
    };
    let as_type = |to: &DataType| objects(py, &cast(column, to).map_err(Raise::raise)?);
    match column.data_type() {
        DataType::Null => Ok(vec![py.None().into_bound(py); column.len()]),
        DataType::Boolean => column.as_boolean().iter().map(|cell| cell.into_bound_py_any(py)).collect(),
        DataType::Int8 => primitives!(Int8Type),
        DataType::Int16 => primitives!(Int16Type),
        DataType::Int32 => primitives!(Int32Type),
        DataType::Int64 => primitives!(Int64Type),
        DataType::UInt8 => primitives!(UInt8Type),
        DataType::UInt16 => primitives!(UInt16Type),
        DataType::UInt32 => primitives!(UInt32Type),
        DataType::UInt64 => primitives!(UInt64Type),
        DataType::Float32 => primitives!(Float32Type),
        DataType::Float64 => primitives!(Float64Type),
        DataType::Utf8View => column.as_string_view().iter().map(|cell| cell.into_bound_py_any(py)).collect(),
        DataType::BinaryView => {
            let bytes = |cell: Option<&[u8]>| cell.map(|cell| PyBytes::new(py, cell)).into_bound_py_any(py);
            column.as_binary_view().iter().map(bytes).collect()
        }
        DataType::Utf8 | DataType::LargeUtf8 => as_type(&DataType::Utf8View),
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => {
            as_type(&DataType::BinaryView)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => column
            .as_primitive::<TimestampNanosecondType>()
            .iter()
            .map(|cell| of_unit("datetime64", cell, "ns"))
            .collect(),
        DataType::Timestamp(..) => as_type(&DataType::Timestamp(TimeUnit::Nanosecond, None)),
        DataType::Date32 => column
            .as_primitive::<Date32Type>()
            .iter()
            .map(|cell| of_unit("datetime64", cell.map(i64::from), "D"))
            .collect(),
        DataType::Duration(TimeUnit::Nanosecond) => column
            .as_primitive::<DurationNanosecondType>()
            .iter()
            .map(|cell| of_unit("timedelta64", cell, "ns"))
            .collect(),
        DataType::Duration(_) => as_type(&DataType::Duration(TimeUnit::Nanosecond)),
        DataType::Dictionary(_, values) => as_type(values),
        DataType::List(_) => column
            .as_list::<i32>()
            .iter()
            .map(|cell| match cell {
                None => Ok(py.None().into_bound(py)),
                Some(items) => Ok(PyList::new(py, objects(py, &items)?)?.into_any()),
            })
            .collect(),
        DataType::Struct(fields) => {
            let parts = column.as_struct();
            let columns: Vec<_> =
                parts.columns().iter().map(|part| objects(py, part)).collect::<PyResult<_>>()?;
            let row = |row| {
                if parts.is_null(row) {
                    return Ok(py.None().into_bound(py));
                }
                let dict = PyDict::new(py);
                for (field, column) in fields.iter().zip(&columns) {
                    dict.set_item(field.name(), column.get(row))?;
                }
                Ok(dict.into_any())
            };
            (0..parts.len()).map(row).collect()
        }
        other => Err(PyTypeError::new_err(format!("rows with {other} are taken by to_arrow()"))),
    }
}
