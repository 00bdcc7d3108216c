//! A scan that opens its store when it runs.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, exec_err, internal_datafusion_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpenFuture, FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::utils::conjunction;
use datafusion::physical_plan::DisplayFormatType;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use object_store::ObjectStore;
use tokio::sync::OnceCell;

use super::open::TableOf;
use crate::plan::aggregate_source::{AggregateSource, Planned};
use crate::plan::request::{Request, apply};
use crate::plan::source::AtlasSource;

/// A decoded scan of a store. It knows its columns, and opens the store when it runs.
#[derive(Clone)]
pub struct DeferredSource {
    pub(super) table: TableOf,
    /// The columns of the store's table.
    pub(super) columns: SchemaRef,
    /// The columns before the projection.
    pub(super) schema: TableSchema,
    pub(super) request: Request,
    pub(super) aggregate: Option<DeferredAggregate>,
    pub(super) memory: Arc<dyn MemoryPool>,
    pub(super) metrics: ExecutionPlanMetricsSet,
}

/// The aggregation that the scan computes.
#[derive(Clone)]
pub(super) struct DeferredAggregate {
    pub planned: Planned,
    /// The schema of the keys, and of the states or values.
    pub schema: SchemaRef,
    /// True if the scan emits values instead of states.
    pub finished: bool,
}

impl DeferredSource {
    /// The address of the store, without credentials.
    pub fn address(&self) -> &str {
        &self.table.generation.address
    }

    /// Opens the store, and returns the opener of ranges of tiles.
    async fn opener(&self, limit: Option<usize>, partition: usize) -> Result<Arc<dyn FileOpener>> {
        let table = self.table.open().await?;
        if table.layout.schema != self.columns {
            return exec_err!(
                "the columns of {} in {} differ from those in the plan",
                table.name,
                self.address()
            );
        }
        let layout = Arc::clone(&table.layout);
        let (request, memory) = (self.request.clone(), Arc::clone(&self.memory));
        let scan = AtlasSource::of_request(table, request, memory, self.metrics.clone());
        let Some(aggregate) = &self.aggregate else { return scan.opener(limit, partition) };
        let DeferredAggregate { planned, schema, finished } = aggregate;
        let aggregation = match (planned.aggregation(&layout)?, finished) {
            (Some(aggregation), true) => aggregation.finished(Arc::clone(schema)),
            (aggregation, _) => aggregation,
        };
        let aggregation = aggregation
            .ok_or_else(|| internal_datafusion_err!("a decoded scan cannot compute its aggregation"))?;
        AggregateSource::new(scan, planned.clone(), aggregation, Arc::clone(schema)).opener(partition)
    }
}

impl FileSource for DeferredSource {
    fn create_file_opener(
        &self,
        _object_store: Arc<dyn ObjectStore>,
        base_config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let (source, limit) = (Arc::new(self.clone()), base_config.limit);
        Ok(Arc::new(DeferredOpener { source, limit, partition, opened: Arc::default() }))
    }

    fn table_schema(&self) -> &TableSchema {
        &self.schema
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        let request = Request { batch_size, ..self.request.clone() };
        Arc::new(Self { request, ..self.clone() })
    }

    // From it, operators above know which columns are constant.
    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        let has_rows = self.aggregate.is_none() && !self.request.predicates.is_empty();
        has_rows.then(|| conjunction(self.request.predicates.iter().cloned()))
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.aggregate.is_none().then_some(&self.request.projection)
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &str {
        "atlas"
    }

    fn fmt_extra(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ", table={}, generation={}", self.table.name, self.table.generation.number)?;
        let filters: Vec<_> = self.request.filters().map(ToString::to_string).collect();
        if !filters.is_empty() {
            write!(f, ", filters=[{}]", filters.join(" AND "))?;
        }
        Ok(())
    }

    // Ranges are of tiles, not of bytes.
    fn supports_repartitioning(&self) -> bool {
        false
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let filters = apply(self.request.filters(), f)?;
        if filters == TreeNodeRecursion::Stop || self.aggregate.is_some() {
            return Ok(filters);
        }
        let shown: Vec<_> = self.request.projection.expr_iter().collect();
        apply(&shown, f)
    }
}

/// Opens the store together with the first range of tiles.
struct DeferredOpener {
    source: Arc<DeferredSource>,
    limit: Option<usize>,
    partition: usize,
    opened: Arc<OnceCell<Arc<dyn FileOpener>>>,
}

impl FileOpener for DeferredOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let (source, limit, partition) = (Arc::clone(&self.source), self.limit, self.partition);
        let opened = Arc::clone(&self.opened);
        Ok(Box::pin(async move {
            let opener = opened.get_or_try_init(|| source.opener(limit, partition)).await?;
            opener.open(file)?.await
        }))
    }
}
