//! The scan of a table as DataFusion sees it: a [`FileSource`] whose "files" are ranges of tiles.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpenFuture, FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::physical_expr::expressions::{Column, DynamicFilterTracking};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::utils::{collect_columns, conjunction, reassign_expr_columns};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, SortOrderPushdownResult};
use object_store::ObjectStore;

use crate::plan::request::{Request, apply};
use crate::scan::filters::{Filters, Scope, scope};
use crate::scan::large::width;
use crate::scan::order::BestFirst;
use crate::scan::reader::Reader;
use crate::scan::rows::Rows;
use crate::scan::select::Selection;
use crate::scan::{Consumer, Counters, Scan};
use crate::tables::columns::Table;
use crate::tables::level::Level;
use crate::tables::options::AtlasOptions;

/// The scan of a table.
///
/// A [`PartitionedFile`] of it is the store's catalog with a range of tile numbers. The numbers
/// depend only on the generation, so that any process that opens the same generation can run the
/// plan.
#[derive(Clone)]
pub struct AtlasSource {
    table: Table,
    schema: TableSchema,
    request: Request,
    /// The number of rows of the datasets that it selects.
    rows: u64,
    /// Dynamic filters that were offered and have not been found sound. They are ignored.
    offered: Vec<Arc<dyn PhysicalExpr>>,
    memory: Arc<dyn MemoryPool>,
    metrics: ExecutionPlanMetricsSet,
}

impl AtlasSource {
    /// The scan of all rows of a table that satisfy `predicates`. It may drop rows that do not
    /// satisfy an `inexact` filter, but need not. The datasets that it selects have `rows` rows.
    pub(crate) fn new(
        table: Table,
        predicates: Vec<Arc<dyn PhysicalExpr>>,
        inexact: Vec<Arc<dyn PhysicalExpr>>,
        rows: u64,
        options: AtlasOptions,
        memory: Arc<dyn MemoryPool>,
    ) -> Self {
        let all: Vec<_> = (0..table.layout.columns.len()).collect();
        let request = Request {
            projection: ProjectionExprs::from_indices(&all, &table.layout.schema),
            counted: predicates.len(),
            predicates,
            inexact,
            dynamic: Vec::new(),
            order: None,
            options,
            batch_size: 8192,
        };
        let schema = TableSchema::from(Arc::clone(&table.layout.schema));
        let (offered, metrics) = (Vec::new(), ExecutionPlanMetricsSet::new());
        Self { table, schema, request, rows, offered, memory, metrics }
    }

    /// The scan for a request, with its counters in `metrics`.
    #[cfg(feature = "proto")]
    pub(crate) fn of_request(
        table: Table,
        request: Request,
        memory: Arc<dyn MemoryPool>,
        metrics: ExecutionPlanMetricsSet,
    ) -> Self {
        let schema = TableSchema::from(Arc::clone(&table.layout.schema));
        Self { table, schema, request, rows: 0, offered: Vec::new(), memory, metrics }
    }

    /// What the scan is to do.
    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    /// An estimate of the bytes of the values of `columns`, and of those that filters need, in the
    /// selected datasets.
    pub(crate) fn bytes_of(&self, columns: &[usize]) -> u64 {
        let layout = &self.table.layout;
        let filtered = self.request.filters().flat_map(collect_columns).map(|column| column.index());
        let columns: BTreeSet<usize> = filtered.chain(columns.iter().copied()).collect();
        let rows = Level::of(0..layout.dims.len());
        // Columns of lower levels are small.
        let large = columns.into_iter().filter(|&column| rows.is_part_of(layout.level(column)));
        let row: usize = large.map(|column| width(&self.table.data_type(column))).sum();
        self.rows.saturating_mul(row as u64)
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) fn sized(&self, batch_size: usize) -> Self {
        let request = Request { batch_size, ..self.request.clone() };
        Self { request, ..self.clone() }
    }

    /// The same scan with another offered dynamic filter.
    pub(crate) fn offered(mut self, filter: Arc<dyn PhysicalExpr>) -> Self {
        let is_new = !self.offered.contains(&filter) && !self.request.dynamic.contains(&filter);
        if self.request.options.dynamic_filters && is_new {
            self.offered.push(filter);
        }
        self
    }

    /// The same scan, which uses the sound ones among its offered dynamic filters; `None` if none
    /// were offered.
    pub(crate) fn vouched(&self, is_sound: impl Fn(&Arc<dyn PhysicalExpr>) -> bool) -> Option<Self> {
        if self.offered.is_empty() {
            return None;
        }
        let mut source = self.clone();
        source.request.dynamic.extend(source.offered.drain(..).filter(|filter| is_sound(filter)));
        Some(source)
    }

    /// The same scan without dynamic filters.
    pub(crate) fn without_dynamic_filters(&self) -> Self {
        let mut source = Self { offered: Vec::new(), ..self.clone() };
        source.request.dynamic.clear();
        source
    }

    /// Opens ranges of tiles for a consumer. `values_of` tells, for predicates on values, whether
    /// rows that are NULL in their only column do not matter.
    pub(crate) fn opener_for(
        &self,
        consumer: Arc<dyn Consumer>,
        values_of: impl Fn(&[Arc<dyn PhysicalExpr>]) -> bool,
        limit: Option<usize>,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let scan = self.scan(consumer, values_of, limit, partition)?;
        Ok(Arc::new(TileOpener { scan: Arc::new(scan) }))
    }

    /// The opener of ranges of tiles that emits rows.
    pub(crate) fn opener(&self, limit: Option<usize>, partition: usize) -> Result<Arc<dyn FileOpener>> {
        self.opener_for(Arc::new(self.rows()?), |_| false, limit, partition)
    }

    /// The number of chunks in which a scan of rows has cells.
    pub(crate) fn chunks(&self, config: &FileScanConfig) -> Result<usize> {
        self.chunks_for(Arc::new(self.rows()?), config)
    }

    /// The number of chunks in which a scan has cells.
    pub(crate) fn chunks_for(&self, consumer: Arc<dyn Consumer>, config: &FileScanConfig) -> Result<usize> {
        // A scan that is not run, with counters of its own.
        let source = Self { metrics: ExecutionPlanMetricsSet::new(), ..self.clone() };
        let scan = source.scan(consumer, |_| false, config.limit, 0)?;
        let files = config.file_groups.iter().flat_map(|group| group.iter());
        files.filter_map(tiles).map(|tiles| scan.count_chunks(tiles)).sum()
    }

    /// Calls `f` with every expression that filters rows.
    pub(crate) fn apply_filters(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        apply(self.request.filters().chain(&self.offered), f)
    }

    /// True if the scan emits all rows of the datasets that it selects.
    pub(crate) fn selects_datasets(&self) -> bool {
        self.request.inexact.is_empty()
            && self.request.dynamic.is_empty()
            && self.request.predicates.iter().all(|expr| self.selects_whole(expr))
    }

    /// The scope of a predicate.
    fn scope(&self, predicate: &Arc<dyn PhysicalExpr>) -> Scope {
        let columns = collect_columns(predicate);
        scope(columns.iter().filter_map(|column| self.table.layout.columns.get(column.index())))
    }

    /// True if a predicate selects whole datasets.
    fn selects_whole(&self, predicate: &Arc<dyn PhysicalExpr>) -> bool {
        self.scope(predicate) == Scope::Dataset
    }

    /// True if the scan applies a predicate itself.
    fn takes(&self, predicate: &Arc<dyn PhysicalExpr>) -> bool {
        self.request.options.late_materialization || self.scope(predicate) != Scope::Rows
    }

    /// True if the projection is all columns of the table, unchanged.
    fn shows_all(&self) -> bool {
        let fields = self.table.layout.schema.fields();
        self.request.projection.as_ref().len() == fields.len()
            && self.request.projection.iter().enumerate().all(|(place, shown)| {
                let column = shown.expr.downcast_ref::<Column>();
                column.is_some_and(|column| column.index() == place && column.name() == shown.alias)
            })
    }

    /// The consumer that emits rows as the projection shows them.
    fn rows(&self) -> Result<Rows> {
        let columns = self.request.shown_columns();
        let schema = Arc::new(self.table.layout.schema.project(&columns)?);
        let projection =
            self.request.projection.clone().try_map_exprs(|expr| reassign_expr_columns(expr, &schema))?;
        let projector = projection.make_projector(&schema)?;
        Ok(Rows { table: self.table.clone(), projector, columns, schema })
    }

    fn scan(
        &self,
        consumer: Arc<dyn Consumer>,
        values_of: impl Fn(&[Arc<dyn PhysicalExpr>]) -> bool,
        limit: Option<usize>,
        partition: usize,
    ) -> Result<Scan> {
        let table = self.table.for_scan();
        // Filtering before a limit would change which rows it lets through.
        let Request { predicates, inexact, dynamic, options, .. } = &self.request;
        let dynamic = if limit.is_some() { Vec::new() } else { dynamic.clone() };
        let filters = Filters::new(&table, predicates, inexact, dynamic, options, values_of)?;
        Ok(Scan {
            selection: Selection { reader: Reader::new(table, limit.is_none()), filters },
            consumer,
            order: self.request.order.clone(),
            batch_size: self.request.batch_size,
            limit,
            counters: Counters::new(&self.metrics, partition),
            memory: Arc::clone(&self.memory),
        })
    }
}

impl FileSource for AtlasSource {
    fn create_file_opener(
        &self,
        _object_store: Arc<dyn ObjectStore>,
        base_config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        self.opener(base_config.limit, partition)
    }

    fn table_schema(&self) -> &TableSchema {
        &self.schema
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(self.sized(batch_size))
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        // The table's statistics are exact for predicates that select whole datasets, if the table
        // knew them.
        let (known, late) = self.request.predicates.split_at(self.request.counted);
        let rest = known.iter().filter(|expr| !self.selects_whole(expr)).chain(late);
        let rest: Vec<_> = rest.map(Arc::clone).collect();
        (!rest.is_empty()).then(|| conjunction(rest))
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        // If the projection shows all columns unchanged, steps of planning need not recompute
        // anything.
        (!self.shows_all()).then_some(&self.request.projection)
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &str {
        "atlas"
    }

    fn fmt_extra(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, what: &str, exprs: &[&Arc<dyn PhysicalExpr>]| {
            if exprs.is_empty() {
                return Ok(());
            }
            let exprs: Vec<_> = exprs.iter().map(ToString::to_string).collect();
            write!(f, ", {what}=[{}]", exprs.join(" AND "))
        };
        write!(f, ", table={}", self.table.name)?;
        let layout = &self.table.layout;
        let mut levels: BTreeMap<(u32, Level), Vec<&Arc<dyn PhysicalExpr>>> = BTreeMap::new();
        for expr in &self.request.predicates {
            let level = layout.level_of(collect_columns(expr).iter().map(Column::index));
            levels.entry((level.dims(), level)).or_default().push(expr);
        }
        for ((_, level), exprs) in &levels {
            list(f, &format!("filtered once per {}", layout.words(*level)), exprs)?;
        }
        list(f, "ruled out by statistics", &self.request.inexact.iter().collect::<Vec<_>>())?;
        list(f, "dynamic", &self.request.dynamic.iter().collect::<Vec<_>>())?;
        if let Some(order) = &self.request.order {
            let column = self.table.layout.schema.fields().get(order.column);
            let column = column.map_or("", |field| field.name());
            write!(f, ", {} {column} first", if order.descending { "greatest" } else { "least" })?;
        }
        Ok(())
    }

    // A range contains tiles, not bytes, and the table has already divided the tiles among the
    // session's partitions.
    fn supports_repartitioning(&self) -> bool {
        false
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        // DataFusion plans a new scan again, so none is made without filters.
        if filters.is_empty() {
            return Ok(FilterPushdownPropagation::with_parent_pushdown_result(Vec::new()));
        }
        let mut source = self.clone();
        let answers = filters
            .into_iter()
            .map(|filter| {
                if is_volatile(&filter) {
                    return PushedDown::No;
                }
                if DynamicFilterTracking::classify(&filter).contains_dynamic_filter() {
                    source = source.clone().offered(filter);
                    return PushedDown::No;
                }
                if !source.takes(&filter) {
                    return PushedDown::No;
                }
                source.request.inexact.retain(|inexact| inexact != &filter);
                if !source.request.predicates.contains(&filter) {
                    source.request.predicates.push(filter);
                }
                PushedDown::Yes
            })
            .collect();
        Ok(FilterPushdownPropagation::with_parent_pushdown_result(answers)
            .with_updated_node(Arc::new(source) as _))
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        _eq_properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        let column = order.first().and_then(|first| {
            let shown = first.expr.downcast_ref::<Column>()?.index();
            let expr = self.request.projection.expr_iter().nth(shown)?;
            Some((expr.downcast_ref::<Column>()?.index(), first.options))
        });
        let Some((column, options)) = column.filter(|_| self.request.options.best_first) else {
            return Ok(SortOrderPushdownResult::Unsupported);
        };
        let (descending, nulls_first) = (options.descending, options.nulls_first);
        let order = Some(BestFirst { column, descending, nulls_first });
        let request = Request { order, ..self.request.clone() };
        Ok(SortOrderPushdownResult::Inexact { inner: Arc::new(Self { request, ..self.clone() }) })
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        let ranges: Option<Vec<_>> = files.iter().map(tiles).collect();
        let sorted = self
            .request
            .order
            .as_ref()
            .zip(ranges)
            .and_then(|(order, ranges)| order.sort_parts(&self.table, &ranges));
        match sorted {
            Some(places) => places.into_iter().filter_map(|place| files.get(place).cloned()).collect(),
            None => files,
        }
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        let projection = self.request.projection.try_merge(projection)?;
        let request = Request { projection, ..self.request.clone() };
        Ok(Some(Arc::new(Self { request, ..self.clone() })))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        if self.apply_filters(f)? == TreeNodeRecursion::Stop {
            return Ok(TreeNodeRecursion::Stop);
        }
        let shown: Vec<_> = self.request.projection.expr_iter().collect();
        apply(&shown, f)
    }
}

/// The tiles of a range of a scan.
pub(crate) fn tiles(file: &PartitionedFile) -> Option<Range<u64>> {
    let bound = |bound: i64| u64::try_from(bound).unwrap_or(0);
    file.range.as_ref().map(|range| bound(range.start)..bound(range.end))
}

/// A range of a scan with other tiles.
pub(crate) fn of_tiles(file: PartitionedFile, tiles: Range<u64>) -> PartitionedFile {
    let bound = |bound: u64| i64::try_from(bound).unwrap_or(i64::MAX);
    file.with_range(bound(tiles.start), bound(tiles.end))
}

struct TileOpener {
    scan: Arc<Scan>,
}

impl TileOpener {
    /// Refuses ranges that cut a dataset if the scan emits the values of finished groups. A group of
    /// a cut dataset would be emitted twice, each time for some of its rows.
    fn check(&self, tiles: &Range<u64>) -> Result<()> {
        if tiles.is_empty() || !self.scan.consumer.whole_datasets() {
            return Ok(());
        }
        if self.scan.selection.table().layout.whole_datasets(tiles) != *tiles {
            return internal_err!("tiles {tiles:?} of a finished aggregation are not whole datasets");
        }
        Ok(())
    }
}

impl FileOpener for TileOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let tiles = tiles(&file).ok_or_else(|| {
            DataFusionError::Internal("a part of an Atlas scan has no range of tiles".to_owned())
        })?;
        self.check(&tiles)?;
        let scan = Arc::clone(&self.scan);
        Ok(Box::pin(async move { scan.stream(tiles) }))
    }
}
