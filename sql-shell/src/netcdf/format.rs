//! NetCDF as an output format of DataFusion.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::common::{DataFusionError, GetExt, Result, Statistics, exec_err, not_impl_err, plan_err};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::{FileFormat, FileFormatFactory};
use datafusion::datasource::physical_plan::{FileScanConfig, FileSinkConfig, FileSource};
use datafusion::datasource::sink::{DataSink, DataSinkExec};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::TaskContext;
use datafusion::object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use datafusion::physical_expr::LexRequirement;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, SendableRecordBatchStream};
use futures::TryStreamExt;

use super::grid::arrays;

/// The option that names the dimensions.
const DIMENSIONS: &str = "dimensions";

/// The error for queries that read a NetCDF file.
const NOT_READ: &str =
    "a NetCDF file is no table: import it into a store first, with `atlas import STORE FILE`";

/// Creates formats from the options of a statement.
#[derive(Debug)]
pub(super) struct NetcdfFactory;

impl GetExt for NetcdfFactory {
    fn get_ext(&self) -> String {
        "nc".to_owned()
    }
}

impl FileFormatFactory for NetcdfFactory {
    fn create(&self, _: &dyn Session, options: &HashMap<String, String>) -> Result<Arc<dyn FileFormat>> {
        let mut format = Netcdf::default();
        for (key, value) in options {
            match key.strip_prefix("format.") {
                Some(DIMENSIONS) => {
                    let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
                    format.dimensions = names.map(str::to_owned).collect();
                }
                Some(other) => {
                    return plan_err!("`{other}` is no option of a NetCDF file: it has {DIMENSIONS}");
                }
                None => {}
            }
        }
        Ok(Arc::new(format))
    }

    fn default(&self) -> Arc<dyn FileFormat> {
        Arc::new(Netcdf::default())
    }
}

/// The format of NetCDF files whose variables have these dimensions.
#[derive(Clone, Debug, Default)]
struct Netcdf {
    dimensions: Vec<String>,
}

#[async_trait]
impl FileFormat for Netcdf {
    fn get_ext(&self) -> String {
        NetcdfFactory.get_ext()
    }

    fn get_ext_with_compression(&self, compression: &FileCompressionType) -> Result<String> {
        match compression.get_variant() {
            CompressionTypeVariant::UNCOMPRESSED => Ok(self.get_ext()),
            other => not_impl_err!("NetCDF files compressed with {other:?}"),
        }
    }

    fn compression_type(&self) -> Option<FileCompressionType> {
        None
    }

    async fn infer_schema(
        &self,
        _: &dyn Session,
        _: &Arc<dyn ObjectStore>,
        _: &[ObjectMeta],
    ) -> Result<SchemaRef> {
        plan_err!("{NOT_READ}")
    }

    async fn infer_stats(
        &self,
        _: &dyn Session,
        _: &Arc<dyn ObjectStore>,
        _: SchemaRef,
        _: &ObjectMeta,
    ) -> Result<Statistics> {
        plan_err!("{NOT_READ}")
    }

    async fn create_physical_plan(
        &self,
        _: &dyn Session,
        _: FileScanConfig,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan_err!("{NOT_READ}")
    }

    async fn create_writer_physical_plan(
        &self,
        input: Arc<dyn ExecutionPlan>,
        _: &dyn Session,
        config: FileSinkConfig,
        order: Option<LexRequirement>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !config.table_partition_cols.is_empty() {
            return not_impl_err!("PARTITIONED BY for NetCDF files: write one file at a time");
        }
        let sink = NetcdfSink { config, dimensions: self.dimensions.clone() };
        Ok(Arc::new(DataSinkExec::new(input, Arc::new(sink), order)))
    }

    fn file_source(&self, schema: TableSchema) -> Arc<dyn FileSource> {
        // DataFusion only asks for the type of this source; no plan reads from it.
        datafusion::datasource::file_format::csv::CsvFormat::default().file_source(schema)
    }
}

/// Writes the file.
#[derive(Debug)]
struct NetcdfSink {
    config: FileSinkConfig,
    dimensions: Vec<String>,
}

impl DisplayAs for NetcdfSink {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NetcdfSink(dimensions=[{}])", self.dimensions.join(", "))
    }
}

#[async_trait]
impl DataSink for NetcdfSink {
    fn schema(&self) -> &SchemaRef {
        self.config.output_schema()
    }

    async fn write_all(&self, data: SendableRecordBatchStream, context: &Arc<TaskContext>) -> Result<u64> {
        let schema = data.schema();
        let batches: Vec<_> = data.try_collect().await?;
        let rows = concat_batches(&schema, &batches)?;
        drop(batches);
        let count = rows.num_rows() as u64;
        if count == 0 {
            return exec_err!("the result has no rows: a dimension of a NetCDF file has at least one cell");
        }
        let dimensions = self.dimensions.clone();
        let bytes = tokio::task::spawn_blocking(move || {
            atlas_import::export::encode(arrays(&rows, &dimensions)?, &[])
        });
        let bytes = bytes.await.map_err(|e| DataFusionError::External(e.into()))?;
        let bytes = bytes.map_err(DataFusionError::Execution)?;
        let Some(target) = self.config.table_paths.first() else {
            return plan_err!("there is no file to write to");
        };
        let objects = context.runtime_env().object_store(&self.config.object_store_url)?;
        objects.put(target.prefix(), bytes.into()).await?;
        Ok(count)
    }
}
