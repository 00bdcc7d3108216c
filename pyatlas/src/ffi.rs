//! Tables and functions for other builds of DataFusion, such as the package `datafusion` on PyPI.

use std::ffi::CStr;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, Statistics};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use datafusion_ffi::proto::logical_extension_codec::FFI_LogicalExtensionCodec;
use datafusion_ffi::table_provider::FFI_TableProvider;
use datafusion_ffi::udaf::FFI_AggregateUDF;
use datafusion_ffi::udf::FFI_ScalarUDF;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::errors::Kind;
use crate::runtime::handle;

/// A table of a store.
#[pyclass(name = "Table", module = "pyatlas", frozen)]
pub(crate) struct PyTable {
    name: String,
    provider: Arc<Elsewhere>,
}

impl PyTable {
    /// A table of a session.
    pub(crate) fn new(name: String, provider: Arc<dyn TableProvider>, context: SessionContext) -> Self {
        Self { name, provider: Arc::new(Elsewhere { table: provider, context }) }
    }
}

#[pymethods]
impl PyTable {
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    fn __datafusion_table_provider__<'py>(
        &self,
        py: Python<'py>,
        session: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let provider: Arc<dyn TableProvider> = self.provider.clone();
        let runtime = handle()?.clone();
        let table = FFI_TableProvider::new_with_ffi_codec(provider, true, Some(runtime), codec(session)?);
        PyCapsule::new_with_value(py, table, c"datafusion_table_provider")
    }

    fn __repr__(&self) -> String {
        format!("<Table {}>", self.name)
    }
}

const CODEC: &CStr = c"datafusion_logical_extension_codec";

/// The codec of a session of another DataFusion, with which both exchange expressions.
fn codec(session: &Bound<'_, PyAny>) -> PyResult<FFI_LogicalExtensionCodec> {
    let py = session.py();
    let method = intern!(py, "__datafusion_logical_extension_codec__");
    let capsule = if session.hasattr(method)? { session.call_method0(method)? } else { session.clone() };
    let capsule = capsule.cast::<PyCapsule>().map_err(|_| {
        Kind::WrongType.error("a table is registered with a session of datafusion 55, which has a codec")
    })?;
    let pointer = capsule.pointer_checked(Some(CODEC))?.cast::<FFI_LogicalExtensionCodec>();
    // SAFETY: by the contract of datafusion-ffi, a capsule of this name holds that type as long as
    // the capsule lives. It lives until the clone is made.
    #[expect(unsafe_code, reason = "a capsule of Python is a pointer, which nothing safe can follow")]
    let codec = unsafe { pointer.as_ref() }.clone();
    Ok(codec)
}

/// A table whose plans run in another DataFusion.
///
/// The other DataFusion does not know the object stores of our sessions. Before it runs a scan of
/// files, it asks its own registry for an object store, although our scan brings its own storage.
/// The file system's store is always registered, so scans use that one. Scans are planned in our
/// session: the other session, passed through datafusion-ffi 55.2, knows no columns when it plans a
/// predicate.
struct Elsewhere {
    table: Arc<dyn TableProvider>,
    context: SessionContext,
}

impl fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Elsewhere").field(&self.table).finish()
    }
}

#[async_trait]
impl TableProvider for Elsewhere {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        self.table.table_type()
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let state = self.context.state();
        let plan = self.table.scan(&state, projection, filters, limit).await?;
        plan.transform_up(|plan| {
            let scan = plan.downcast_ref::<DataSourceExec>();
            let Some(config) = scan.and_then(|scan| scan.data_source().downcast_ref::<FileScanConfig>())
            else {
                return Ok(Transformed::no(plan));
            };
            let mut config = config.clone();
            config.object_store_url = ObjectStoreUrl::local_filesystem();
            Ok(Transformed::yes(DataSourceExec::from_data_source(config) as Arc<dyn ExecutionPlan>))
        })
        .data()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.table.supports_filters_pushdown(filters)
    }

    fn statistics(&self) -> Option<Statistics> {
        self.table.statistics()
    }
}

/// A function of SQL that another DataFusion can register.
#[pyclass(name = "Function", module = "pyatlas", frozen)]
pub(crate) struct PyFunction(Function);

enum Function {
    Scalar(Arc<datafusion::logical_expr::ScalarUDF>),
    Aggregate(Arc<datafusion::logical_expr::AggregateUDF>),
}

#[pymethods]
impl PyFunction {
    #[getter]
    fn name(&self) -> &str {
        match &self.0 {
            Function::Scalar(function) => function.name(),
            Function::Aggregate(function) => function.name(),
        }
    }

    #[getter]
    fn is_aggregate(&self) -> bool {
        matches!(self.0, Function::Aggregate(_))
    }

    fn __datafusion_scalar_udf__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let Function::Scalar(function) = &self.0 else {
            return Err(Kind::WrongType.error(format!("{} is an aggregate function", self.name())));
        };
        let function = FFI_ScalarUDF::from(Arc::clone(function));
        PyCapsule::new_with_value(py, function, c"datafusion_scalar_udf")
    }

    fn __datafusion_aggregate_udf__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let Function::Aggregate(function) = &self.0 else {
            return Err(Kind::WrongType.error(format!("{} is a function of rows", self.name())));
        };
        let function = FFI_AggregateUDF::from(Arc::clone(function));
        PyCapsule::new_with_value(py, function, c"datafusion_aggregate_udf")
    }

    fn __repr__(&self) -> String {
        format!("<Function {}>", self.name())
    }
}

/// All SQL functions of Atlas.
#[pyfunction]
pub(crate) fn functions() -> Vec<PyFunction> {
    let scalar =
        atlas_udfs::scalar_functions().into_iter().map(|function| Function::Scalar(Arc::new(function)));
    let aggregate =
        atlas_udfs::aggregate_functions().into_iter().map(|function| Function::Aggregate(Arc::new(function)));
    scalar.chain(aggregate).map(PyFunction).collect()
}
