//! A table over a store, as DataFusion sees it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use atlas::{ArraySchema, Catalog, Root, Snapshot, Storage};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, DFSchema, DataFusionError, Result, Statistics, plan_err};
use datafusion::datasource::listing::{FileRange, PartitionedFile};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::error::from_store;
use crate::plan::share::PARTS;
use crate::plan::source::AtlasSource;
use crate::scan::filters::{Filter, Scope, scope};
use crate::scan::select::select_datasets;
use crate::scan::statistics::of_column;
use crate::tables::columns::Table;
use crate::tables::grids::grids;
use crate::tables::kind::TableKind;
use crate::tables::level::Level;
use crate::tables::options::{AtlasOptions, TableOptions};

/// A table over one generation of a store.
#[derive(Debug)]
pub struct AtlasTable {
    table: Table,
    /// The number of rows, once it was needed.
    rows: OnceLock<u64>,
    /// The statistics of the columns that were needed so far.
    columns: Mutex<HashMap<usize, ColumnStatistics>>,
}

impl AtlasTable {
    /// The wide table: over the store's primary grid, or over the dimensions in `options`.
    ///
    /// # Errors
    /// If `options` has a dimension that no dataset has, or the store's datasets cannot be read.
    pub fn wide(name: &str, snapshot: Arc<Snapshot>, options: &TableOptions) -> Result<Self> {
        let catalog = snapshot.catalog().map_err(from_store)?;
        let dims = match &options.dimensions {
            Some(dims) => {
                check_dimensions(&catalog, dims)?;
                dims.clone()
            }
            None => grids(&catalog).into_iter().next().map_or_else(Vec::new, |grid| grid.dims),
        };
        let kind = TableKind::Wide { dims, attributes: options.attributes };
        Ok(Self::new(name, snapshot, catalog, kind, options))
    }

    /// The table of one variable: its own cells only. `name` is the table's name in plans.
    ///
    /// # Errors
    /// If the store's datasets cannot be read.
    pub fn variable(
        name: &str,
        snapshot: Arc<Snapshot>,
        variable: &str,
        options: &TableOptions,
    ) -> Result<Self> {
        let catalog = snapshot.catalog().map_err(from_store)?;
        let kind = TableKind::Variable(variable.to_owned());
        Ok(Self::new(name, snapshot, catalog, kind, options))
    }

    fn new(
        name: &str,
        snapshot: Arc<Snapshot>,
        catalog: Arc<Catalog>,
        kind: TableKind,
        options: &TableOptions,
    ) -> Self {
        Self::of(Table::new(name, snapshot, catalog, kind, options.nan_as_null))
    }

    pub(crate) fn of(table: Table) -> Self {
        Self { table, rows: OnceLock::new(), columns: Mutex::default() }
    }

    /// The generation of the store that it shows.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.table.snapshot
    }

    /// The dimensions of the table, slowest first.
    pub fn dimensions(&self) -> &[String] {
        &self.table.layout.dims
    }

    /// The different ways in which datasets declare the variable that a column shows; none
    /// if it shows no variable.
    pub fn declarations(&self, column: &str) -> Vec<&ArraySchema> {
        self.table.declarations(column)
    }

    /// The scope of a filter; rows, if it refers to something that is not a column.
    fn scope(&self, filter: &Expr) -> Scope {
        let layout = &self.table.layout;
        let columns = filter
            .column_refs()
            .into_iter()
            .map(|column| layout.position(column.name()).and_then(|position| layout.columns.get(position)));
        columns.collect::<Option<Vec<_>>>().map_or(Scope::Rows, scope)
    }

    /// The table over its generation.
    pub(crate) fn inner(&self) -> &Table {
        &self.table
    }

    /// The names of the datasets that have rows, in the order of the rows.
    pub fn dataset_names(&self) -> Vec<String> {
        let datasets = self.table.layout.datasets();
        let names =
            datasets.filter_map(|(ordinal, _)| Some(self.table.catalog.dataset(ordinal)?.name().to_owned()));
        names.collect()
    }

    /// The number of rows of all datasets: what `count(*)` gives.
    pub fn all_rows(&self) -> u64 {
        *self.rows.get_or_init(|| {
            let layout = &self.table.layout;
            let rows = layout.datasets().filter_map(|(ordinal, _)| self.rows_of(ordinal));
            rows.fold(0, u64::saturating_add)
        })
    }

    pub(crate) fn rows_of(&self, ordinal: u32) -> Option<u64> {
        let (dataset, layout) = self.table.dataset(ordinal)?;
        Some(layout.shape(dataset).iter().fold(1, |rows: u64, &size| rows.saturating_mul(size as u64)))
    }

    /// The statistics of all rows: their number, and for columns what indexes in memory have.
    fn statistics(&self, columns: &[usize]) -> Statistics {
        let mut statistics = Statistics::new_unknown(&self.table.layout.schema);
        for &column in columns {
            let mut known = self.columns.lock().unwrap_or_else(PoisonError::into_inner);
            let own = match known.get(&column) {
                Some(own) => Some(own.clone()),
                None => of_column(&self.table, column, self.all_rows()),
            };
            if let (Some(own), Some(slot)) = (own, statistics.column_statistics.get_mut(column)) {
                known.insert(column, own.clone());
                *slot = own;
            }
        }
        statistics
    }

    /// The tiles of the selected datasets, divided into ranges for `partitions` partitions, and the
    /// number of rows of those datasets.
    fn parts(&self, filters: &[Filter], partitions: usize) -> Result<(Vec<Vec<FileRange>>, u64)> {
        let layout = &self.table.layout;
        let mut rows = 0u64;
        let mut runs: Vec<std::ops::Range<u64>> = Vec::new();
        match select_datasets(&self.table, filters, 0..layout.datasets().len())? {
            None => {
                rows = self.all_rows();
                runs.push(0..layout.all_tiles());
            }
            Some(selected) => {
                for (ordinal, tiles) in selected.set_indices().filter_map(|place| layout.at(place)) {
                    rows = rows.saturating_add(self.rows_of(ordinal).unwrap_or(0));
                    match runs.last_mut() {
                        Some(run) if run.end == tiles.start => run.end = tiles.end,
                        _ if tiles.is_empty() => {}
                        _ => runs.push(tiles),
                    }
                }
            }
        }
        let tiles: u64 = runs.iter().map(|run| run.end - run.start).sum();
        let partitions = u64::try_from(partitions.max(1)).unwrap_or(1);
        let size = tiles.div_ceil(partitions * PARTS).max(1);
        let mut parts: Vec<(std::ops::Range<u64>, u64)> = Vec::new();
        for mut run in runs {
            while !run.is_empty() {
                // A range may contain datasets that are not selected: the scan checks again.
                match parts.last_mut() {
                    Some((part, count)) if *count < size => {
                        let more = (size - *count).min(run.end - run.start);
                        part.end = run.start + more;
                        *count += more;
                        run.start += more;
                    }
                    _ => parts.push((run.start..run.start, 0)),
                }
            }
        }
        if parts.is_empty() {
            // A plan has at least one partition.
            parts.push((0..0, 0));
        }
        let per_partition = parts.len().div_ceil(usize::try_from(partitions).unwrap_or(1)).max(1);
        let bound = |bound: u64| i64::try_from(bound).unwrap_or(i64::MAX);
        let parts: Vec<_> = parts
            .into_iter()
            .map(|(part, _)| FileRange { start: bound(part.start), end: bound(part.end) })
            .collect();
        Ok((parts.chunks(per_partition).map(<[_]>::to_vec).collect(), rows))
    }
}

fn check_dimensions(root: &Root, dims: &[String]) -> Result<()> {
    let known = |dim: &String| root.dataset_schemas().iter().any(|schema| schema.dims.contains(dim));
    match dims.iter().enumerate().find(|(i, dim)| !known(dim) || dims.iter().take(*i).any(|d| d == *dim)) {
        None => Ok(()),
        Some((_, dim)) => {
            let mut all: Vec<_> =
                root.dataset_schemas().iter().flat_map(|schema| &schema.dims).cloned().collect();
            all.sort();
            all.dedup();
            let all = all.join(", ");
            Err(DataFusionError::Plan(format!(
                "`{dim}` cannot be a dimension of the table: choose from {all}, each once"
            )))
        }
    }
}

/// Registers the object store of a storage, if none is registered at its URL.
pub(crate) fn register_objects(runtime: &RuntimeEnv, storage: &Storage) -> Result<ObjectStoreUrl> {
    let url = ObjectStoreUrl::parse(storage.root())?;
    if runtime.object_store(&url).is_err() {
        runtime.register_object_store(storage.root(), Arc::clone(storage.objects()));
    }
    Ok(url)
}

#[async_trait]
impl TableProvider for AtlasTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.table.layout.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| match self.scope(filter) {
                Scope::Dataset | Scope::Dimension(_) => TableProviderFilterPushDown::Exact,
                Scope::Rows => TableProviderFilterPushDown::Inexact,
            })
            .collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let layout = &self.table.layout;
        if layout.dims.len() > Level::MAX_DIMS {
            let (name, dims, most) = (&self.table.name, layout.dims.len(), Level::MAX_DIMS);
            return plan_err!("table `{name}` has {dims} dimensions, and at most {most} can be read");
        }
        let schema = DFSchema::try_from(Arc::clone(&layout.schema))?;
        let (mut predicates, mut inexact, mut selecting) = (Vec::new(), Vec::new(), Vec::new());
        let mut exact = true;
        for filter in filters {
            let expr = state.create_physical_expr(filter.clone(), &schema)?;
            match self.scope(filter) {
                Scope::Rows => inexact.push(expr),
                scope => {
                    if scope == Scope::Dataset {
                        selecting.push(Filter::new(&expr, &self.table)?);
                    } else {
                        exact = false;
                    }
                    predicates.push(expr);
                }
            }
        }
        let (parts, rows) = self.parts(&selecting, state.config().target_partitions())?;

        let options = AtlasOptions::of(state.config_options());
        let every: Vec<usize> = (0..layout.columns.len()).collect();
        let shown = projection.map_or(every.as_slice(), Vec::as_slice);
        // From bounds below a filter, the optimizer estimates how many rows remain. It fails the
        // query if its interval arithmetic rounds outwards.
        let unfiltered = predicates.is_empty() && inexact.is_empty();
        let mut statistics = self.statistics(if options.statistics && unfiltered { shown } else { &[] });
        let counted = usize::try_from(rows).unwrap_or(usize::MAX);
        statistics.num_rows = if exact { Precision::Exact(counted) } else { Precision::Inexact(counted) };

        let storage = self.table.snapshot.storage();
        let url = register_objects(state.runtime_env(), storage)?;
        let catalog = storage.path("atlas.json");
        let file = |range: FileRange| {
            PartitionedFile::new_with_range(catalog.to_string(), 0, range.start, range.end)
        };
        let groups = parts.into_iter().map(|parts| FileGroup::new(parts.into_iter().map(file).collect()));
        let memory = Arc::clone(&state.runtime_env().memory_pool);
        let source = AtlasSource::new(self.table.clone(), predicates, inexact, rows, options, memory);
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups.collect())
            .with_statistics(statistics)
            .with_limit(limit)
            .with_projection_indices(projection.cloned())?
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}
