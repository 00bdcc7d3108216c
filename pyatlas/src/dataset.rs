//! `DatasetView`: one dataset of a store.

use arrow::array::ArrayRef;
use atlas::{ArrayMeta, ArraySchema, DType, DatasetView, Error, Value, default_chunk};
use futures::future::try_join_all;
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::{Kind, Raise};
use crate::location::Handle;
use crate::runtime::wait;
use crate::values::{
    Cells, Missing, dtype_name, from_attribute, from_attributes, from_cells, from_value, parse_dtype,
    to_attribute, to_cells, to_value,
};

/// A handle of one dataset of a store.
#[pyclass(name = "DatasetView", module = "pyatlas", frozen)]
pub(crate) struct PyDatasetView {
    handle: Handle,
    view: DatasetView,
}

impl PyDatasetView {
    pub(crate) fn new(handle: Handle, view: DatasetView) -> Self {
        Self { handle, view }
    }

    /// A dataset by its name; `None` if the store has none of that name.
    pub(crate) fn existing(py: Python<'_>, handle: &Handle, name: &str) -> PyResult<Option<Self>> {
        let atlas = handle.atlas()?.clone();
        let name = name.to_owned();
        match wait(py, async move {
            match atlas.open_dataset(&name).await {
                Err(Error::NoDataset { .. }) => Ok(None),
                opened => opened.map(Some),
            }
        })? {
            Some(view) => Ok(Some(Self::new(handle.clone(), view))),
            None => Ok(None),
        }
    }

    fn view(&self) -> PyResult<&DatasetView> {
        self.handle.atlas()?;
        Ok(&self.view)
    }

    /// The metadata of an array; `None` if the dataset has none of that name.
    pub(crate) fn meta(&self, array: &str) -> PyResult<Option<ArrayMeta>> {
        match self.view()?.array_meta(array) {
            Err(Error::NoArray { .. }) => Ok(None),
            meta => meta.map(Some).map_err(Raise::raise),
        }
    }

    /// Cells of an array; `None` if the dataset has none of that name.
    pub(crate) fn read<'py>(
        &self,
        py: Python<'py>,
        array: &str,
        start: Option<Vec<usize>>,
        shape: Option<Vec<usize>>,
        missing: Missing,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(meta) = self.meta(array)? else { return Ok(None) };
        let (start, shape) = whole_or_part(start, shape, &meta.shape);
        let (view, name, wanted) = (self.view.clone(), array.to_owned(), shape.clone());
        let cells = wait(py, async move { view.read_arrow(&name, &start, &wanted).await })?;
        found(py, cells, &meta, &shape, missing).map(Some)
    }
}

fn found<'py>(
    py: Python<'py>,
    cells: ArrayRef,
    meta: &ArrayMeta,
    shape: &[usize],
    missing: Missing,
) -> PyResult<Bound<'py, PyAny>> {
    from_cells(py, cells, meta.schema.dtype, meta.schema.fill.as_ref(), shape, missing)
}

/// The region that a caller requests of an array of shape `whole`. By default it extends from the
/// beginning to the end.
pub(crate) fn whole_or_part(
    start: Option<Vec<usize>>,
    shape: Option<Vec<usize>>,
    whole: &[usize],
) -> (Vec<usize>, Vec<usize>) {
    let start = start.unwrap_or_else(|| vec![0; whole.len()]);
    let rest = || whole.iter().zip(&start).map(|(size, start)| size.saturating_sub(*start)).collect();
    let shape = shape.unwrap_or_else(rest);
    (start, shape)
}

#[pymethods]
impl PyDatasetView {
    #[getter]
    fn name(&self) -> &str {
        self.view.name()
    }

    fn list_arrays(&self) -> PyResult<Vec<String>> {
        self.view()?.list_arrays().map_err(Raise::raise)
    }

    #[pyo3(signature = (name, dtype, dims, shape, chunk_shape=None, fill_value=None))]
    fn define_array(
        &self,
        name: String,
        dtype: &str,
        dims: Vec<String>,
        shape: Vec<usize>,
        chunk_shape: Option<Vec<usize>>,
        fill_value: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let dtype = parse_dtype(dtype)?;
        let mut schema = ArraySchema::new(name, dtype, &[]);
        schema.dims = dims;
        schema.chunk = chunk_shape.unwrap_or_else(|| default_chunk(&shape));
        schema.fill = fill_value.map(|fill| to_value(fill, dtype, "fill_value")).transpose()?;
        self.view()?.define(schema, &shape).map_err(Raise::raise)
    }

    fn write_array(
        &self,
        py: Python<'_>,
        name: String,
        start: Vec<usize>,
        data: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let view = self.view()?.clone();
        let Some(meta) = self.meta(&name)? else {
            return Err(Kind::NotFound.error(format!("array not found: {name}")));
        };
        let Cells { shape, values } = to_cells(data, meta.schema.dtype, &name)?;
        let hidden = values.null_count() > 0 && meta.schema.fill.is_none();
        let shown_as_number = meta.schema.dtype.width().is_some() && meta.schema.dtype != DType::Timestamp;
        if hidden && shown_as_number {
            let message = format!(
                "array {name:?} has no fill value: read_array shows missing cells as zero, unless \
                 it is asked for masked=True"
            );
            let message = std::ffi::CString::new(message)?;
            PyErr::warn(py, &py.get_type::<pyo3::exceptions::PyUserWarning>(), &message, 2)?;
        }
        wait(py, async move { view.write_arrow(&name, &start, &shape, values).await })
    }

    #[pyo3(signature = (name, start=None, shape=None, *, masked=false, arrow=false))]
    fn read_array<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        start: Option<Vec<usize>>,
        shape: Option<Vec<usize>>,
        masked: bool,
        arrow: bool,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.read(py, name, start, shape, Missing::of(masked, arrow)?)
    }

    #[pyo3(signature = (names, start=None, shape=None, *, masked=false, arrow=false))]
    fn read_arrays<'py>(
        &self,
        py: Python<'py>,
        names: Vec<String>,
        start: Option<Vec<usize>>,
        shape: Option<Vec<usize>>,
        masked: bool,
        arrow: bool,
    ) -> PyResult<Bound<'py, PyDict>> {
        let missing = Missing::of(masked, arrow)?;
        let mut wanted = Vec::new();
        for name in &names {
            if let Some(meta) = self.meta(name)? {
                let (start, shape) = whole_or_part(start.clone(), shape.clone(), &meta.shape);
                wanted.push((name.clone(), meta, start, shape));
            }
        }
        let reads: Vec<_> = wanted
            .iter()
            .map(|(name, _, start, shape)| {
                let (view, name) = (self.view.clone(), name.clone());
                let (start, shape) = (start.clone(), shape.clone());
                async move { view.read_arrow(&name, &start, &shape).await }
            })
            .collect();
        let read = wait(py, async move { try_join_all(reads).await })?;
        let arrays = PyDict::new(py);
        for name in &names {
            arrays.set_item(name, py.None())?;
        }
        for ((name, meta, _, shape), cells) in wanted.iter().zip(read) {
            arrays.set_item(name, found(py, cells, meta, shape, missing)?)?;
        }
        Ok(arrays)
    }

    fn delete_array(&self, py: Python<'_>, name: String) -> PyResult<()> {
        let view = self.view()?.clone();
        wait(py, async move { view.delete_array(&name).await })
    }

    fn extend(&self, py: Python<'_>, dim: String, size: usize) -> PyResult<()> {
        let view = self.view()?.clone();
        wait(py, async move { view.extend(&dim, size).await })
    }

    fn array_meta<'py>(&self, py: Python<'py>, array: &str) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(ArrayMeta { schema, shape, chunk_shape, .. }) = self.meta(array)? else { return Ok(None) };
        let meta = PyDict::new(py);
        meta.set_item("dtype", dtype_name(schema.dtype))?;
        meta.set_item("shape", shape)?;
        meta.set_item("chunk_shape", chunk_shape)?;
        meta.set_item("dimension_names", &schema.dims)?;
        Ok(Some(meta))
    }

    fn array_stats<'py>(&self, py: Python<'py>, array: String) -> PyResult<Option<Bound<'py, PyDict>>> {
        let view = self.view()?.clone();
        if self.meta(&array)?.is_none() {
            return Ok(None);
        }
        let statistics = wait(py, async move { view.array_stats(&array).await })?;
        let bound = |bound: Option<Value>| bound.map(|value| from_value(py, &value)).transpose();
        let stats = PyDict::new(py);
        stats.set_item("row_count", statistics.row_count)?;
        stats.set_item("null_count", statistics.null_count)?;
        stats.set_item("min", bound(statistics.min)?)?;
        stats.set_item("max", bound(statistics.max)?)?;
        Ok(Some(stats))
    }

    fn array_fill_value<'py>(&self, py: Python<'py>, array: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(meta) = self.meta(array)? else { return Ok(None) };
        meta.schema.fill.as_ref().map(|fill| from_value(py, fill)).transpose()
    }

    fn attributes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        from_attributes(py, &self.view()?.attributes().map_err(Raise::raise)?)
    }

    #[pyo3(signature = (key, value, dtype=None))]
    fn set_attribute(&self, key: &str, value: &Bound<'_, PyAny>, dtype: Option<&str>) -> PyResult<()> {
        let value = to_attribute(key, value, dtype)?;
        self.view()?.set_attribute(key, value).map_err(Raise::raise)
    }

    fn get_attribute<'py>(&self, py: Python<'py>, key: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let value = self.view()?.get_attribute(key).map_err(Raise::raise)?;
        value.map(|value| from_attribute(py, &value)).transpose()
    }

    fn remove_attribute(&self, key: &str) -> PyResult<()> {
        self.view()?.remove_attribute(key).map_err(Raise::raise)
    }

    fn array_attributes<'py>(&self, py: Python<'py>, array: &str) -> PyResult<Bound<'py, PyDict>> {
        let meta = self.view()?.array_meta(array).map_err(Raise::raise)?;
        from_attributes(py, &meta.schema.attributes)
    }

    #[pyo3(signature = (array, key, value, dtype=None))]
    fn set_array_attribute(
        &self,
        array: &str,
        key: &str,
        value: &Bound<'_, PyAny>,
        dtype: Option<&str>,
    ) -> PyResult<()> {
        let value = to_attribute(key, value, dtype)?;
        self.view()?.set_array_attribute(array, key, value).map_err(Raise::raise)
    }

    fn get_array_attribute<'py>(
        &self,
        py: Python<'py>,
        array: &str,
        key: &str,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let value = self.view()?.get_array_attribute(array, key).map_err(Raise::raise)?;
        value.map(|value| from_attribute(py, &value)).transpose()
    }

    fn remove_array_attribute(&self, array: &str, key: &str) -> PyResult<()> {
        self.view()?.remove_array_attribute(array, key).map_err(Raise::raise)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let open = py.import("pyatlas._pyatlas")?.getattr("_open_dataset")?;
        let view = slf.get();
        let (source, options, generation) = view.handle.reopening(py)?;
        (open, (source, options, generation, view.name())).into_bound_py_any(py)
    }

    fn __repr__(&self) -> PyResult<String> {
        Ok(format!("<DatasetView name=\"{}\" arrays={}>", self.name(), self.list_arrays()?.len()))
    }
}
