//! The source of a scan that emits states of aggregates.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::DynamicFilterTracking;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::DisplayFormatType;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use object_store::ObjectStore;

use crate::aggregate::plan::over;
use crate::aggregate::{Adder, Aggregation};
use crate::plan::source::{AtlasSource, of_tiles, tiles};
use crate::tables::layout::Layout;

/// A scan that aggregates its rows. It takes the place of a partial aggregation over an
/// [`AtlasSource`], or of both the partial and the final one.
#[derive(Clone)]
pub struct AggregateSource {
    scan: AtlasSource,
    planned: Planned,
    aggregation: Arc<Aggregation>,
    schema: TableSchema,
}

/// The aggregation that a scan computes, as DataFusion planned it.
#[derive(Clone)]
pub struct Planned {
    /// The partial aggregation, over an empty input with the same schema.
    pub partial: Arc<AggregateExec>,
    /// The expressions over the table that yield the columns of its input.
    pub inputs: Vec<Arc<dyn PhysicalExpr>>,
}

impl Planned {
    /// A partial aggregation whose input columns are expressions over a table.
    pub fn new(partial: &AggregateExec, inputs: Vec<Arc<dyn PhysicalExpr>>) -> Result<Self> {
        let schema = partial.input_schema();
        let partial = AggregateExec::try_new(
            *partial.mode(),
            partial.group_expr().clone(),
            partial.aggr_expr().to_vec(),
            partial.filter_expr().to_vec(),
            Arc::new(EmptyExec::new(Arc::clone(&schema))),
            schema,
        )?;
        Ok(Self { partial: Arc::new(partial), inputs })
    }

    /// The aggregation for a scan of a table; `None` if scans cannot compute it.
    pub fn aggregation(&self, layout: &Layout) -> Result<Option<Aggregation>> {
        Aggregation::of(&self.partial, &self.inputs, layout)
    }
}

impl AggregateSource {
    pub(crate) fn new(
        scan: AtlasSource,
        planned: Planned,
        aggregation: Aggregation,
        schema: SchemaRef,
    ) -> Self {
        Self { scan, planned, aggregation: Arc::new(aggregation), schema: TableSchema::from(schema) }
    }

    /// The scan of the rows that it aggregates.
    pub(crate) fn scan(&self) -> &AtlasSource {
        &self.scan
    }

    /// The aggregation as DataFusion planned it.
    #[cfg(feature = "proto")]
    pub(crate) fn planned(&self) -> &Planned {
        &self.planned
    }

    /// True if it emits values instead of states. Each range must then have whole datasets.
    pub(crate) fn is_finished(&self) -> bool {
        self.aggregation.is_finished()
    }

    /// An estimate of the bytes of the values that it reads.
    pub(crate) fn bytes(&self) -> u64 {
        self.scan.bytes_of(self.aggregation.columns())
    }

    /// The opener of ranges of tiles that emits aggregates.
    pub(crate) fn opener(&self, partition: usize) -> Result<Arc<dyn FileOpener>> {
        let aggregation = Arc::clone(&self.aggregation);
        let values_of = move |predicates: &[Arc<dyn PhysicalExpr>]| aggregation.is_of_values(predicates);
        self.scan.opener_for(self.adder(), values_of, None, partition)
    }

    /// The scan with final values instead of states, over ranges of whole datasets; `None` if
    /// groups may have rows in several ranges.
    pub(crate) fn finished(&self, parts: &[FileGroup], schema: SchemaRef) -> Option<(Self, Vec<FileGroup>)> {
        let aggregation = self.aggregation.finished(Arc::clone(&schema))?;
        let layout = &self.scan.table().layout;
        let ranges = || parts.iter().flat_map(|part| part.iter()).filter_map(tiles);
        let total: u64 = ranges().map(|tiles| tiles.end - tiles.start).sum();
        // A dataset that is a large part of the work is shared by several partitions, unless the
        // work is nothing.
        let even = layout.largest().saturating_mul(ranges().count() as u64) <= total;
        if !even && !self.is_of_statistics() {
            return None;
        }
        let whole = |file: &PartitionedFile| {
            let tiles = layout.whole_datasets(&tiles(file)?);
            (!tiles.is_empty()).then(|| of_tiles(file.clone(), tiles))
        };
        let parts =
            parts.iter().map(|part| FileGroup::new(part.iter().filter_map(whole).collect())).collect();
        Some((Self::new(self.scan.clone(), self.planned.clone(), aggregation, schema), parts))
    }

    /// True if statistics answer it without reading cells, except in chunks whose statistics do not
    /// suffice.
    pub(crate) fn is_of_statistics(&self) -> bool {
        self.aggregation.is_of_statistics() && self.scan.selects_datasets()
    }

    /// The same scan, which uses the sound ones among its offered dynamic filters; `None` if none
    /// were offered.
    pub(crate) fn vouched(&self, is_sound: impl Fn(&Arc<dyn PhysicalExpr>) -> bool) -> Option<Self> {
        Some(Self { scan: self.scan.vouched(is_sound)?, ..self.clone() })
    }

    /// The same scan without dynamic filters.
    pub(crate) fn without_dynamic_filters(&self) -> Self {
        Self { scan: self.scan.without_dynamic_filters(), ..self.clone() }
    }

    fn adder(&self) -> Arc<Adder> {
        Arc::new(Adder::new(Arc::clone(&self.aggregation), self.scan.table().clone()))
    }

    /// The number of chunks in which the scan has cells.
    pub(crate) fn chunks(&self, config: &FileScanConfig) -> Result<usize> {
        self.scan.chunks_for(self.adder(), config)
    }
}

impl FileSource for AggregateSource {
    fn create_file_opener(
        &self,
        _object_store: Arc<dyn ObjectStore>,
        _base_config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        self.opener(partition)
    }

    fn table_schema(&self) -> &TableSchema {
        &self.schema
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(Self { scan: self.scan.sized(batch_size), ..self.clone() })
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.scan.metrics()
    }

    fn file_type(&self) -> &str {
        self.scan.file_type()
    }

    fn fmt_extra(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.scan.fmt_extra(t, f)?;
        write!(f, "{}", self.aggregation)
    }

    fn supports_repartitioning(&self) -> bool {
        false
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        if filters.is_empty() {
            return Ok(FilterPushdownPropagation::with_parent_pushdown_result(Vec::new()));
        }
        // A dynamic filter on keys is a filter on rows.
        let keys = self.aggregation.key_expressions();
        let mut scan = self.scan.clone();
        for filter in &filters {
            let of_keys = collect_columns(filter).iter().all(|column| column.index() < keys.len());
            if of_keys && DynamicFilterTracking::classify(filter).contains_dynamic_filter() {
                scan = scan.offered(over(Arc::clone(filter), &keys)?);
            }
        }
        Ok(FilterPushdownPropagation::with_parent_pushdown_result(vec![PushedDown::No; filters.len()])
            .with_updated_node(Arc::new(Self { scan, ..self.clone() }) as _))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.scan.apply_filters(f)
    }
}
