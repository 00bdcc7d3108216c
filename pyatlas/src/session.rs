//! `Session`: stores as tables of SQL.

use std::sync::Arc;

use atlas::Atlas;
use atlas_datafusion::register_store;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::{ParamValues, ScalarValue, TableReference};
use datafusion::prelude::SessionContext;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDate, PyDateTime, PyDict, PyFloat, PyInt, PyString};
use pyo3::{IntoPyObjectExt, intern};

use crate::errors::{Kind, Raise};
use crate::ffi::PyTable;
use crate::result::PyResultSet;
use crate::runtime::{check_process, wait};
use crate::values::to_value;

/// Stores, each under a name, for queries over all of them.
#[pyclass(name = "Session", module = "pyatlas", frozen)]
pub(crate) struct PySession {
    context: SessionContext,
    stores: Arc<Vec<(String, Atlas)>>,
}

impl PySession {
    pub(crate) fn of(py: Python<'_>, stores: Vec<(String, Atlas)>) -> PyResult<Self> {
        let context = atlas_sql::new_session(None).map_err(Raise::raise)?;
        let (known, registered) = (context.clone(), stores.clone());
        wait(py, async move {
            for (name, atlas) in registered {
                atlas.snapshot().load().await.map_err(Raise::raise)?;
                register_store(&known, &name, &atlas).map_err(Raise::raise)?;
            }
            Ok::<_, PyErr>(())
        })?;
        Ok(Self { context, stores: Arc::new(stores) })
    }
}

#[pymethods]
impl PySession {
    #[pyo3(signature = (query, params=None))]
    pub(crate) fn sql(
        &self,
        py: Python<'_>,
        query: &str,
        params: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PyResultSet> {
        check_process()?;
        let params = params.map(parameters).transpose()?;
        let (context, text) = (self.context.clone(), query.to_owned());
        let frame = wait(py, async move {
            let frame = atlas_sql::plan_statement(&context, &text).await.map_err(Raise::raise)?;
            match params {
                Some(params) => frame.with_param_values(params).map_err(Raise::raise),
                None => Ok(frame),
            }
        })?;
        Ok(PyResultSet::new(frame, self.context.clone(), Arc::clone(&self.stores)))
    }

    pub(crate) fn table(&self, py: Python<'_>, name: String) -> PyResult<PyTable> {
        check_process()?;
        let context = self.context.clone();
        let reference = match name.split_once('.') {
            // Names without folding, so that capitals work.
            Some((store, table)) => TableReference::partial(store, table),
            None => TableReference::bare(name.as_str()),
        };
        let provider = wait(py, async move { context.table_provider(reference).await });
        let provider = provider.map_err(|_| Kind::NotFound.error(format!("there is no table {name:?}")))?;
        Ok(PyTable::new(name, provider, self.context.clone()))
    }

    fn __repr__(&self) -> String {
        let names: Vec<&str> = self.stores.iter().map(|(name, _)| name.as_str()).collect();
        format!("<Session stores={names:?}>")
    }
}

/// The values of a query's parameters: of `$1`, `$2` … from a sequence, of `$name` from a dict.
fn parameters(params: &Bound<'_, PyAny>) -> PyResult<ParamValues> {
    if let Ok(named) = params.cast::<PyDict>() {
        let values = named.iter().map(|(name, value)| Ok((name.extract()?, scalar(&value)?.into())));
        return Ok(ParamValues::Map(values.collect::<PyResult<_>>()?));
    }
    if params.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err("params is a sequence of values, or a dict of them"));
    }
    let values = params.try_iter()?.map(|value| Ok(ScalarAndMetadata::from(scalar(&value?)?)));
    Ok(ParamValues::List(values.collect::<PyResult<_>>()?))
}

/// A Python value as an SQL value.
fn scalar(value: &Bound<'_, PyAny>) -> PyResult<ScalarValue> {
    let py = value.py();
    let numpy = py.import(intern!(py, "numpy"))?;
    let instant = |value: &Bound<'_, PyAny>| match to_value(value, atlas::DType::Timestamp, "a parameter")? {
        atlas::Value::Timestamp(time) => Ok(ScalarValue::TimestampNanosecond(Some(time), None)),
        _ => Err(PyTypeError::new_err("a parameter that is no instant")),
    };
    if value.is_none() {
        return Ok(ScalarValue::Null);
    }
    if value.is_instance(&numpy.getattr(intern!(py, "datetime64"))?)? {
        return instant(value);
    }
    if value.cast::<PyDate>().is_ok() {
        if let Ok(zoned) = value.cast::<PyDateTime>()
            && !zoned.getattr(intern!(py, "tzinfo"))?.is_none()
        {
            return Err(PyTypeError::new_err("a parameter with a time zone: convert it to UTC, without one"));
        }
        // pandas' Timestamp has nanoseconds.
        let exact = match value.getattr(intern!(py, "to_datetime64")) {
            Ok(convert) => convert.call0()?,
            Err(_) => numpy.call_method1(intern!(py, "datetime64"), (value,))?,
        };
        return instant(&exact);
    }
    let plain = if value.is_instance(&numpy.getattr(intern!(py, "generic"))?)? {
        value.call_method0(intern!(py, "item"))?
    } else {
        value.clone()
    };
    Ok(if plain.is_instance_of::<PyBool>() {
        ScalarValue::Boolean(Some(plain.extract()?))
    } else if plain.is_instance_of::<PyInt>() {
        match plain.extract::<i64>() {
            Ok(value) => ScalarValue::Int64(Some(value)),
            Err(_) => ScalarValue::UInt64(Some(plain.extract()?)),
        }
    } else if plain.is_instance_of::<PyFloat>() {
        ScalarValue::Float64(Some(plain.extract()?))
    } else if plain.is_instance_of::<PyString>() {
        ScalarValue::Utf8(Some(plain.extract()?))
    } else if let Ok(bytes) = plain.cast::<PyBytes>() {
        ScalarValue::Binary(Some(bytes.as_bytes().to_vec()))
    } else {
        let found = plain.get_type().into_bound_py_any(py)?;
        return Err(PyTypeError::new_err(format!("a parameter cannot be of {found}")));
    })
}
