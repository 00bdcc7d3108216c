//! `Atlas`: a store of many datasets.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use atlas::{Atlas, Codec, DType, Value};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::dataset::{PyDatasetView, whole_or_part};
use crate::errors::{Kind, Raise};
use crate::ffi::PyTable;
use crate::html::escaped;
use crate::location::{Handle, Origin, StorageOptions};
use crate::result::PyResultSet;
use crate::runtime::wait;
use crate::session::PySession;
use crate::values::{Missing, from_attribute, from_attributes, to_attribute};

/// A store of many named datasets of N-dimensional arrays.
#[pyclass(name = "Atlas", module = "pyatlas", frozen)]
pub(crate) struct PyAtlas {
    pub(crate) handle: Handle,
    /// The session of `sql`, with the generation that it shows.
    session: Mutex<Option<(u64, Py<PySession>)>>,
}

impl PyAtlas {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle, session: Mutex::new(None) }
    }

    pub(crate) fn atlas(&self) -> PyResult<&Atlas> {
        self.handle.atlas()
    }

    /// The session that shows the committed store as `atlas`.
    fn session(&self, py: Python<'_>) -> PyResult<Py<PySession>> {
        let atlas = self.atlas()?;
        let generation = atlas.snapshot().root().generation();
        if atlas.has_pending().map_err(Raise::raise)? {
            let message =
                c"SQL shows what is committed, and something is pending in this handle: flush it first";
            PyErr::warn(py, &py.get_type::<pyo3::exceptions::PyUserWarning>(), message, 2)?;
        }
        let session = || self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((shown, session)) = session().as_ref()
            && *shown == generation
        {
            return Ok(session.clone_ref(py));
        }
        let made = Py::new(py, PySession::of(py, vec![("atlas".to_owned(), atlas.clone())])?)?;
        *session() = Some((generation, made.clone_ref(py)));
        Ok(made)
    }

    /// The type of an array in the first of some datasets that has it; `None` if none of these has
    /// it.
    fn dtype_in(&self, py: Python<'_>, array: &str, datasets: &[String]) -> PyResult<Option<DType>> {
        let atlas = self.atlas()?;
        for name in datasets {
            let view = PyDatasetView::existing(py, &self.handle, name)?;
            if let Some(meta) = view.map(|view| view.meta(array)).transpose()?.flatten() {
                return Ok(Some(meta.schema.dtype));
            }
        }
        if atlas.list_arrays().map_err(Raise::raise)?.iter().any(|known| known == array) {
            return Ok(None);
        }
        Err(Kind::NotFound.error(format!("array not found: {array}")))
    }
}

/// An array of any dimensions, for Python.
trait IntoNumpy {
    fn into_numpy(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>>;
}

macro_rules! number_into_numpy {
    ($($number:ty),*) => {$(
        impl IntoNumpy for ndarray::ArrayD<$number> {
            fn into_numpy(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
                Ok(numpy::PyArray::from_owned_array(py, self).into_any())
            }
        }
    )*};
}

number_into_numpy!(bool, i8, i16, i32, i64, u8, u16, u32, u64, f32, f64);

impl IntoNumpy for ndarray::ArrayD<atlas::Timestamp> {
    fn into_numpy(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        let nanoseconds = self.mapv_into_any(|time| time.0).into_numpy(py)?;
        nanoseconds.call_method1(intern!(py, "view"), ("datetime64[ns]",))
    }
}

impl IntoNumpy for ndarray::ArrayD<String> {
    fn into_numpy(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        let objects = self.map(|text| text.into_py_any(py));
        into_objects(py, objects)
    }
}

impl IntoNumpy for ndarray::ArrayD<Vec<u8>> {
    fn into_numpy(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        let objects = self.map(|bytes| pyo3::types::PyBytes::new(py, bytes).into_py_any(py));
        into_objects(py, objects)
    }
}

fn into_objects(py: Python<'_>, objects: ndarray::ArrayD<PyResult<Py<PyAny>>>) -> PyResult<Bound<'_, PyAny>> {
    let shape = objects.raw_dim();
    let objects: Vec<Py<PyAny>> = objects.into_iter().collect::<PyResult<_>>()?;
    let objects = ndarray::ArrayD::from_shape_vec(shape, objects);
    let objects = objects.map_err(|e| Kind::Internal.error(e))?;
    Ok(numpy::PyArray::from_owned_array(py, objects).into_any())
}

#[pymethods]
impl PyAtlas {
    #[staticmethod]
    #[pyo3(signature = (source, codec="zstd", meta_format="json", meta_compression="none", *, storage_options=None))]
    fn create(
        py: Python<'_>,
        source: &Bound<'_, PyAny>,
        codec: &str,
        meta_format: &str,
        meta_compression: &str,
        storage_options: Option<StorageOptions<'_>>,
    ) -> PyResult<Self> {
        let codec = match codec {
            "uncompressed" => Codec::None,
            name => Codec::from_str(name).map_err(|_| {
                Kind::Invalid.error(format!("unknown codec: {name:?} (expected 'zstd', 'lz4', or 'none')"))
            })?,
        };
        // The form of the catalog cannot be chosen here; the values that atlas-python accepts are
        // ignored.
        let known = [
            ("meta_format", meta_format, ["json", "msgpack", "mp"].as_slice()),
            ("meta_compression", meta_compression, ["none", "uncompressed", "zstd", "lz4"].as_slice()),
        ];
        for (argument, value, values) in known {
            if !values.contains(&value) {
                return Err(Kind::Invalid.error(format!("unknown {argument}: {value:?}")));
            }
        }
        Ok(Self::new(Origin::new(source, storage_options)?.create(py, codec)?))
    }

    #[staticmethod]
    #[pyo3(signature = (source, *, generation=None, storage_options=None))]
    fn open(
        py: Python<'_>,
        source: &Bound<'_, PyAny>,
        generation: Option<u64>,
        storage_options: Option<StorageOptions<'_>>,
    ) -> PyResult<Self> {
        Ok(Self::new(Origin::new(source, storage_options)?.open(py, generation)?))
    }

    #[getter]
    fn location(&self) -> PyResult<String> {
        Ok(self.atlas()?.storage().to_string())
    }

    #[getter]
    fn generation(&self) -> PyResult<u64> {
        Ok(self.atlas()?.snapshot().root().generation())
    }

    #[getter]
    fn has_pending(&self) -> PyResult<bool> {
        self.atlas()?.has_pending().map_err(Raise::raise)
    }

    fn create_dataset(&self, py: Python<'_>, name: String) -> PyResult<PyDatasetView> {
        let atlas = self.atlas()?.clone();
        let view = wait(py, async move { atlas.create_dataset(&name).await })?;
        Ok(PyDatasetView::new(self.handle.clone(), view))
    }

    fn open_dataset(&self, py: Python<'_>, name: String) -> PyResult<PyDatasetView> {
        let atlas = self.atlas()?.clone();
        let view = wait(py, async move { atlas.open_dataset(&name).await })?;
        Ok(PyDatasetView::new(self.handle.clone(), view))
    }

    fn delete_dataset(&self, py: Python<'_>, name: String) -> PyResult<()> {
        let atlas = self.atlas()?.clone();
        wait(py, async move { atlas.delete_dataset(&name).await })
    }

    fn rename_dataset(&self, py: Python<'_>, name: String, new: String) -> PyResult<()> {
        let atlas = self.atlas()?.clone();
        wait(py, async move { atlas.rename_dataset(&name, &new).await })
    }

    fn list_datasets(&self) -> PyResult<Vec<String>> {
        self.atlas()?.list_datasets().map_err(Raise::raise)
    }

    fn list_arrays(&self) -> PyResult<Vec<String>> {
        self.atlas()?.list_arrays().map_err(Raise::raise)
    }

    fn dataset_exists(&self, name: &str) -> PyResult<bool> {
        self.atlas()?.dataset_exists(name).map_err(Raise::raise)
    }

    fn attributes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        from_attributes(py, &self.atlas()?.attributes())
    }

    #[pyo3(signature = (key, value, dtype=None))]
    fn set_attribute(&self, key: &str, value: &Bound<'_, PyAny>, dtype: Option<&str>) -> PyResult<()> {
        self.atlas()?.set_attribute(key, to_attribute(key, value, dtype)?).map_err(Raise::raise)
    }

    fn get_attribute<'py>(&self, py: Python<'py>, key: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let attributes = self.atlas()?.attributes();
        let found = attributes.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| from_attribute(py, value)).transpose()
    }

    #[pyo3(signature = (ds, name, chunks=None, fill_value=None))]
    fn add_xarray_dataset(
        slf: &Bound<'_, Self>,
        ds: &Bound<'_, PyAny>,
        name: &str,
        chunks: Option<&Bound<'_, PyAny>>,
        fill_value: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let accessor = slf.py().import("pyatlas.accessor")?;
        accessor.call_method1("write_dataset", (slf, ds, name, chunks, fill_value)).map(drop)
    }

    fn open_as_xarray_dataset<'py>(slf: &Bound<'py, Self>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("pyatlas.backend")?.call_method1("open_as_written", (slf, name))
    }

    #[pyo3(signature = (names, concat_dim="dataset", parallel=true))]
    fn open_as_many_xarray_dataset<'py>(
        slf: &Bound<'py, Self>,
        names: Vec<String>,
        concat_dim: &str,
        parallel: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        // Reads are always distributed over the processor's cores.
        let _ = parallel;
        slf.py().import("pyatlas.backend")?.call_method1("open_as_many", (slf, names, concat_dim))
    }

    #[pyo3(signature = (names=None, *, r#where=None, concat_dim="dataset", variables=None))]
    fn open_many<'py>(
        slf: &Bound<'py, Self>,
        names: Option<Vec<String>>,
        r#where: Option<&str>,
        concat_dim: &str,
        variables: Option<Vec<String>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let backend = slf.py().import("pyatlas.backend")?;
        backend.call_method1("open_many", (slf, names, r#where, concat_dim, variables))
    }

    #[pyo3(signature = (array, dataset_names, start=None, shape=None))]
    fn read_array_across<'py>(
        &self,
        py: Python<'py>,
        array: String,
        dataset_names: Vec<String>,
        start: Option<Vec<usize>>,
        shape: Option<Vec<usize>>,
    ) -> PyResult<Bound<'py, PyList>> {
        if dataset_names.is_empty() {
            return Err(PyValueError::new_err("dataset_names is empty"));
        }
        let read = PyList::empty(py);
        let Some(dtype) = self.dtype_in(py, &array, &dataset_names)? else {
            dataset_names.iter().try_for_each(|_| read.append(py.None()))?;
            return Ok(read);
        };
        if start.is_some() != shape.is_some() {
            // The remaining dimensions of each array may differ between datasets.
            for name in &dataset_names {
                let view = PyDatasetView::existing(py, &self.handle, name)?;
                let part =
                    view.map(|view| view.read(py, &array, start.clone(), shape.clone(), Missing::Filled));
                read.append(part.transpose()?.flatten())?;
            }
            return Ok(read);
        }
        let atlas = self.atlas()?.clone();
        let mut existing = Vec::with_capacity(dataset_names.len());
        for name in &dataset_names {
            existing.push(atlas.dataset_exists(name).map_err(Raise::raise)?);
        }
        let names = dataset_names.into_iter().zip(&existing).filter(|(_, exists)| **exists);
        let names: Vec<String> = names.map(|(name, _)| name).collect();
        let (start, shape) = (start.unwrap_or_default(), shape.unwrap_or_default());
        atlas::with_element!(dtype, T => {
            let arrays = wait(py, async move {
                atlas.read_array_across::<T>(&array, &names, &start, &shape).await
            })?;
            let mut arrays = arrays.into_iter();
            for exists in existing {
                let array = if exists { arrays.next().flatten() } else { None };
                read.append(array.map(|array| array.into_numpy(py)).transpose()?)?;
            }
        });
        Ok(read)
    }

    #[pyo3(signature = (array, dataset_names, start=None, shape=None))]
    fn read_array_across_stacked<'py>(
        &self,
        py: Python<'py>,
        array: String,
        dataset_names: Vec<String>,
        start: Option<Vec<usize>>,
        shape: Option<Vec<usize>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Some(first) = dataset_names.first() else {
            return Err(PyValueError::new_err("dataset_names is empty"));
        };
        let not_found =
            |name: &str| Kind::NotFound.error(format!("array not found: {array} (in dataset {name})"));
        let view = PyDatasetView::existing(py, &self.handle, first)?.ok_or_else(|| not_found(first))?;
        let meta = view.meta(&array)?.ok_or_else(|| not_found(first))?;
        let (start, shape) = match (start, shape) {
            (None, None) => (Vec::new(), Vec::new()),
            (start, shape) => whole_or_part(start, shape, &meta.shape),
        };
        let atlas = self.atlas()?.clone();
        atlas::with_element!(meta.schema.dtype, T => {
            let stacked = wait(py, async move {
                atlas.read_array_stacked::<T>(&array, &dataset_names, &start, &shape).await
            })?;
            stacked.into_numpy(py)
        })
    }

    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        let atlas = self.atlas()?.clone();
        wait(py, async move { atlas.flush().await })
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.flush(py)
    }

    fn discard(&self, py: Python<'_>) -> PyResult<()> {
        let atlas = self.atlas()?.clone();
        wait(py, async move {
            atlas.discard().await;
            Ok::<_, PyErr>(())
        })
    }

    fn refresh(&self, py: Python<'_>) -> PyResult<()> {
        let atlas = self.atlas()?.clone();
        wait(py, async move { atlas.refresh().await })
    }

    fn export(&self, py: Python<'_>, dataset: String, path: PathBuf) -> PyResult<()> {
        let atlas = self.atlas()?.clone();
        let bytes = wait(py, async move { atlas_import::export::export(&atlas, &dataset).await })?;
        std::fs::write(&path, bytes).map_err(PyErr::from)
    }

    #[pyo3(signature = (variables=None))]
    fn compact(&self, py: Python<'_>, variables: Option<Vec<String>>) -> PyResult<()> {
        let atlas = self.atlas()?.clone();
        wait(py, async move {
            let variables: Option<Vec<&str>> =
                variables.as_ref().map(|variables| variables.iter().map(String::as_str).collect());
            atlas.compact(variables.as_deref()).await.map(drop)
        })
    }

    #[pyo3(signature = (older_than=None))]
    fn vacuum<'py>(&self, py: Python<'py>, older_than: Option<Duration>) -> PyResult<Bound<'py, PyDict>> {
        const WEEK: Duration = Duration::from_secs(7 * 86_400);
        let atlas = self.atlas()?.clone();
        let age = older_than.unwrap_or(WEEK);
        let removed = wait(py, async move { atlas.vacuum(age).await })?;
        let found = PyDict::new(py);
        found.set_item("files", removed.files)?;
        found.set_item("generations", removed.generations)?;
        Ok(found)
    }

    fn verify<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let atlas = self.atlas()?.clone();
        let verified = wait(py, async move { atlas.verify().await })?;
        let found = PyDict::new(py);
        found.set_item("generations", verified.generations)?;
        found.set_item("segments", verified.segments)?;
        found.set_item("blocks", verified.blocks)?;
        found.set_item("chunks", verified.chunks)?;
        found.set_item("bytes", verified.bytes)?;
        found.set_item("problems", verified.problems)?;
        found.set_item("unused", verified.unused)?;
        found.set_item("foreign", verified.foreign)?;
        Ok(found)
    }

    fn log<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let atlas = self.atlas()?.clone();
        let commits = wait(py, async move { atlas.log().await })?;
        let numpy = py.import(intern!(py, "numpy"))?;
        let commits = commits.into_iter().map(|commit| {
            let entry = PyDict::new(py);
            entry.set_item("generation", commit.generation)?;
            entry.set_item("committed", numpy.call_method1("datetime64", (commit.committed, "ms"))?)?;
            entry.set_item("operation", commit.operation)?;
            entry.set_item("datasets", commit.datasets)?;
            entry.set_item("variables", commit.variables)?;
            entry.set_item("segments", commit.segments)?;
            entry.set_item("bytes", commit.bytes)?;
            Ok(entry)
        });
        commits.collect()
    }

    #[pyo3(signature = (query, params=None))]
    fn sql(&self, py: Python<'_>, query: &str, params: Option<&Bound<'_, PyAny>>) -> PyResult<PyResultSet> {
        self.session(py)?.get().sql(py, query, params)
    }

    #[pyo3(signature = (name=None))]
    fn table(&self, py: Python<'_>, name: Option<&str>) -> PyResult<PyTable> {
        self.session(py)?
            .get()
            .table(py, name.map_or_else(|| "atlas".to_owned(), |name| format!("atlas.{name}")))
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: &Bound<'_, PyAny>,
        exc_value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (exc_value, traceback);
        if exc_type.is_none() { self.flush(py) } else { self.discard(py) }
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let open = py.import("pyatlas._pyatlas")?.getattr("_open")?;
        (open, slf.get().handle.reopening(py)?).into_bound_py_any(py)
    }

    fn __repr__(&self) -> PyResult<String> {
        Ok(format!("<Atlas datasets={}>", self.list_datasets()?.len()))
    }

    fn _repr_html_(&self) -> PyResult<String> {
        let atlas = self.atlas()?;
        let mut rows = String::new();
        let snapshot = atlas.snapshot();
        for array in snapshot.root().array_schemas() {
            let text = |key: &str| match array.attribute(key) {
                Some(atlas::AttributeValue::One(Value::String(text))) => escaped(text),
                _ => String::new(),
            };
            rows.push_str(&format!(
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escaped(&array.name),
                crate::values::dtype_name(array.dtype),
                escaped(&array.dims.join(", ")),
                text("units"),
                text("long_name"),
            ));
        }
        Ok(format!(
            "<div><b>Atlas</b> {}: generation {}, {} datasets<table><thead><tr><th>array</th><th>dtype</th>\
             <th>dims</th><th>units</th><th>long_name</th></tr></thead><tbody>{rows}</tbody></table></div>",
            escaped(&atlas.storage().to_string()),
            snapshot.root().generation(),
            self.list_datasets()?.len(),
        ))
    }
}
