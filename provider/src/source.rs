//! A table's scan as DataFusion plans it: a [`FileSource`] whose "files" are ranges of tiles.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpenFuture, FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::expressions::DynamicFilterTracking;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::utils::{collect_columns, conjunction, reassign_expr_columns};
use datafusion::physical_expr::{LexOrdering, PhysicalExpr};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::DisplayFormatType;
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use object_store::ObjectStore;

use crate::columns::Table;
use crate::predicate::{Predicate, Scope};
use crate::scan::{Counters, Scan};

/// The scan of a table.
///
/// A [`PartitionedFile`] of it is the store's catalog with a range of tile numbers. The numbers follow from the
/// generation alone, so that a plan can be taken up by whoever opens the same generation.
#[derive(Clone)]
pub struct AtlasSource {
    table: Table,
    schema: TableSchema,
    projection: ProjectionExprs,
    /// What the scan's rows satisfy. Over the table's columns.
    predicates: Vec<Arc<dyn PhysicalExpr>>,
    /// How many of the predicates the table knew when it counted its rows: the first ones.
    counted: usize,
    /// What somebody else makes sure of, and what may yet rule boxes of rows out.
    hints: Vec<Arc<dyn PhysicalExpr>>,
    batch_size: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl AtlasSource {
    /// The scan of all rows of a table for which `predicates` hold. Rows for which a `hint` does not hold
    /// may come or not.
    pub(crate) fn new(
        table: Table,
        predicates: Vec<Arc<dyn PhysicalExpr>>,
        hints: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Self {
        let schema = TableSchema::from(Arc::clone(&table.layout.schema));
        let all: Vec<_> = (0..table.layout.columns.len()).collect();
        let projection = ProjectionExprs::from_indices(&all, &table.layout.schema);
        let metrics = ExecutionPlanMetricsSet::new();
        let counted = predicates.len();
        Self { table, schema, projection, predicates, counted, hints, batch_size: 8192, metrics }
    }

    fn scan(&self, limit: Option<usize>, partition: usize) -> Result<Scan> {
        let table = &self.table;
        let columns: BTreeSet<usize> = self
            .projection
            .expr_iter()
            .flat_map(|expr| collect_columns(&expr))
            .map(|column| column.index())
            .collect();
        let columns: Vec<usize> = columns.into_iter().collect();
        let schema = Arc::new(table.layout.schema.project(&columns)?);
        let projection =
            self.projection.clone().try_map_exprs(|expr| reassign_expr_columns(expr, &schema))?;
        let (mut predicates, mut pruning) = (Vec::new(), Vec::new());
        let mut of_dims: BTreeMap<usize, Vec<Arc<dyn PhysicalExpr>>> = BTreeMap::new();
        for expr in &self.predicates {
            let predicate = Predicate::new(expr, &table.layout.schema, &table.layout.columns)?;
            match predicate.scope {
                Scope::Dimension(dim) => of_dims.entry(dim).or_default().push(Arc::clone(expr)),
                Scope::Dataset => predicates.push(predicate),
                Scope::Rows => {
                    predicates.push(predicate);
                    pruning.push(Arc::clone(expr));
                }
            }
        }
        // Together, those on one coordinate read it once.
        for exprs in of_dims.into_values() {
            let all = conjunction(exprs);
            predicates.push(Predicate::new(&all, &table.layout.schema, &table.layout.columns)?);
        }
        pruning.extend(self.hints.iter().map(Arc::clone));
        Ok(Scan {
            projector: projection.make_projector(&schema)?,
            table: table.clone(),
            columns,
            predicates,
            pruning,
            schema,
            batch_size: self.batch_size,
            limit,
            counters: Counters::new(&self.metrics, partition),
            selections: Mutex::new(HashMap::new()),
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
        let scan = self.scan(base_config.limit, partition)?;
        Ok(Arc::new(TileOpener { scan: Arc::new(scan) }))
    }

    fn table_schema(&self) -> &TableSchema {
        &self.schema
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(Self { batch_size, ..self.clone() })
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        // The table's statistics are exact for predicates that select whole datasets, where it knew them.
        let layout = &self.table.layout;
        let is_counted = |expr: &Arc<dyn PhysicalExpr>| {
            let predicate = Predicate::new(expr, &layout.schema, &layout.columns);
            predicate.is_ok_and(|predicate| predicate.scope == Scope::Dataset)
        };
        let (known, late) = self.predicates.split_at(self.counted);
        let rest = known.iter().filter(|expr| !is_counted(expr)).chain(late);
        let rest: Vec<_> = rest.map(Arc::clone).collect();
        (!rest.is_empty()).then(|| conjunction(rest))
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection)
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &str {
        "atlas"
    }

    fn fmt_extra(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, what: &str, exprs: &[Arc<dyn PhysicalExpr>]| {
            if exprs.is_empty() {
                return Ok(());
            }
            let exprs: Vec<_> = exprs.iter().map(ToString::to_string).collect();
            write!(f, ", {what}=[{}]", exprs.join(" AND "))
        };
        write!(f, ", table={}", self.table.name)?;
        list(f, "predicate", &self.predicates)?;
        list(f, "pruning", &self.hints)
    }

    fn repartitioned(
        &self,
        _target_partitions: usize,
        _repartition_file_min_size: usize,
        _output_ordering: Option<LexOrdering>,
        _config: &FileScanConfig,
    ) -> Result<Option<FileScanConfig>> {
        // A range is of tiles, not of bytes, and the table has cut it for the session's partitions.
        Ok(None)
    }

    fn supports_repartitioning(&self) -> bool {
        false
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let mut source = self.clone();
        let answers = filters
            .into_iter()
            .map(|filter| {
                if is_volatile(&filter) {
                    return PushedDown::No;
                }
                if DynamicFilterTracking::classify(&filter).contains_dynamic_filter() {
                    if !source.hints.contains(&filter) {
                        source.hints.push(filter);
                    }
                    return PushedDown::No;
                }
                source.hints.retain(|hint| hint != &filter);
                if !source.predicates.contains(&filter) {
                    source.predicates.push(filter);
                }
                PushedDown::Yes
            })
            .collect();
        Ok(FilterPushdownPropagation::with_parent_pushdown_result(answers)
            .with_updated_node(Arc::new(source) as _))
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        let projection = self.projection.try_merge(projection)?;
        Ok(Some(Arc::new(Self { projection, ..self.clone() })))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let projected: Vec<_> = self.projection.expr_iter().collect();
        for expr in self.predicates.iter().chain(&self.hints).chain(&projected) {
            if f(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }
}

struct TileOpener {
    scan: Arc<Scan>,
}

impl FileOpener for TileOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let range = file.range.ok_or_else(|| {
            DataFusionError::Internal("a part of an Atlas scan has no range of tiles".to_owned())
        })?;
        let bound = |bound: i64| u64::try_from(bound).unwrap_or(0);
        let tiles = bound(range.start)..bound(range.end);
        let scan = Arc::clone(&self.scan);
        Ok(Box::pin(async move { scan.stream(tiles) }))
    }
}
