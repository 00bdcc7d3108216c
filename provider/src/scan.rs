//! From a range of tiles to batches of rows.
//!
//! Tiles go through in groups, and for each group in this order: predicates on the dataset choose datasets, those on
//! a coordinate cut boxes out of tiles, statistics rule boxes out, the columns of the remaining predicates are read and
//! choose rows, and only then are the other columns read, for the boxes that still have rows.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{concat, filter, filter_record_batch};
use arrow::datatypes::SchemaRef;
use atlas::ReadMetrics;
use datafusion::common::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::DynamicFilterTracking;
use datafusion::physical_expr::projection::Projector;
use datafusion::physical_expr_common::physical_expr::snapshot_physical_expr;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use crate::columns::Table;
use crate::layout::{ColumnKind, Tile};
use crate::predicate::{Predicate, Scope, all_of, batch};
use crate::pruning::{indexes, may_match, project};

/// Rows of a group of tiles where it has many columns, unless one tile has more.
const GROUP_ROWS: usize = 64 * 1024;

/// Values of a group of tiles where it has few columns: so many that a distant storage is asked a few times for much,
/// and that groups share few blocks.
const GROUP_VALUES: usize = 1024 * 1024;

/// Tiles of a group, at the most.
const GROUP_TILES: usize = 4096;

/// Groups that are worked on at one time, so that one is read while another is decoded.
const GROUPS: usize = 2;

/// A scan of a table.
pub struct Scan {
    pub table: Table,
    /// The columns that the projection needs, as positions in the table, ascending.
    pub columns: Vec<usize>,
    /// What rows must satisfy.
    pub predicates: Vec<Predicate>,
    /// What may rule boxes out: the predicates on rows among others. Some change while the scan runs.
    pub pruning: Vec<Arc<dyn PhysicalExpr>>,
    /// From a batch of `columns` to the output.
    pub projector: Projector,
    /// The schema of a batch of `columns`.
    pub schema: SchemaRef,
    pub batch_size: usize,
    /// Rows after which nobody asks for more.
    pub limit: Option<usize>,
    pub counters: Counters,
    /// For a predicate on a coordinate and a dataset, the indices that it selects.
    pub selections: Mutex<HashMap<(usize, u32), BooleanArray>>,
}

/// What a scan did. A chunk counts once for each box of rows that it has cells in.
pub struct Counters {
    total: Count,
    pruned: Count,
    from_stats: Count,
    decoded: Count,
    bytes: Count,
    requests: Count,
}

impl Counters {
    pub fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        let counter = |name: &'static str| MetricBuilder::new(metrics).counter(name, partition);
        Self {
            total: counter("chunks_total"),
            pruned: counter("chunks_pruned"),
            from_stats: counter("chunks_from_stats"),
            decoded: counter("chunks_decoded"),
            bytes: counter("bytes_read"),
            requests: counter("requests"),
        }
    }

    fn add(&self, metrics: &ReadMetrics) {
        self.bytes.add(usize::try_from(metrics.bytes()).unwrap_or(usize::MAX));
        self.requests.add(usize::try_from(metrics.requests()).unwrap_or(usize::MAX));
    }
}

/// A box of rows, with those of its rows that are selected; all, where there is no mask.
struct Selected {
    tile: Tile,
    mask: Option<BooleanArray>,
}

impl Scan {
    /// The rows of a range of tiles.
    pub fn stream(self: Arc<Self>, tiles: Range<u64>) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let datasets = self.select_datasets(tiles)?;
        let ahead = if self.limit.is_some() { 1 } else { GROUPS };
        let groups = Groups { scan: Arc::clone(&self), datasets: datasets.into_iter(), current: None };
        let batches = stream::iter(groups)
            .map(move |tiles| {
                let scan = Arc::clone(&self);
                async move { scan.group(tiles).await }
            })
            .buffered(ahead)
            .map_ok(|batches| stream::iter(batches.into_iter().map(Ok)))
            .try_flatten();
        Ok(batches.boxed())
    }

    /// The datasets of a range of tiles for which the predicates on datasets hold.
    fn select_datasets(&self, tiles: Range<u64>) -> Result<Vec<(u32, Range<u64>)>> {
        let datasets: Vec<_> = self.table.layout.datasets_in(tiles).collect();
        let ordinals: Vec<_> = datasets.iter().map(|&(ordinal, _)| ordinal).collect();
        let selected = select_datasets(&self.table, &self.predicates, &ordinals)?;
        Ok(match selected {
            None => datasets,
            Some(mask) => {
                datasets.into_iter().zip(mask.values()).filter_map(|(d, keep)| keep.then_some(d)).collect()
            }
        })
    }

    /// The batches of a group of tiles.
    async fn group(&self, tiles: Vec<Tile>) -> Result<Vec<RecordBatch>> {
        let metrics = ReadMetrics::default();
        let batches = self.read_group(tiles, &metrics).await;
        self.counters.add(&metrics);
        batches
    }

    async fn read_group(&self, tiles: Vec<Tile>, metrics: &ReadMetrics) -> Result<Vec<RecordBatch>> {
        let needed: BTreeSet<usize> = self.row_columns().chain(self.columns.iter().copied()).collect();
        let needed: Vec<usize> = needed.into_iter().collect();
        let total: usize = tiles.iter().map(|tile| self.chunks(tile, &needed)).sum();
        self.counters.total.add(total);
        let boxes = self.cut(tiles, metrics).await?;
        let boxes = self.prune(boxes, metrics).await?;
        let left: usize = boxes.iter().map(|selected| self.chunks(&selected.tile, &needed)).sum();
        self.counters.pruned.add(total - left.min(total));

        let first: Vec<usize> = self.row_columns().collect::<BTreeSet<_>>().into_iter().collect();
        let second: Vec<usize> =
            self.columns.iter().copied().filter(|column| !first.contains(column)).collect();
        let (boxes, known) = self.choose_rows(boxes, &first, metrics).await?;
        let tiles: Vec<_> = boxes.iter().map(|selected| selected.tile.clone()).collect();
        self.count_read(&tiles, &second, metrics).await?;
        let read = gather(self.table.read(&second, &tiles, metrics).await?, second.len())?;

        let rows = tiles.iter().map(|tile| tile.region.cells()).sum();
        if rows == 0 {
            return Ok(Vec::new());
        }
        let column = |column: &usize| {
            let from = |columns: &[usize], arrays: &[ArrayRef]| {
                columns.iter().position(|c| c == column).and_then(|position| arrays.get(position).cloned())
            };
            from(&first, &known).or_else(|| from(&second, &read))
        };
        let mut rows = batch(&self.schema, self.columns.iter().filter_map(column).collect(), rows)?;
        if let Some(mask) = join(&boxes) {
            rows = filter_record_batch(&rows, &mask)?;
        }
        let rows = self.projector.project_batch(&rows)?;
        let size = self.batch_size.max(1);
        let starts = (0..rows.num_rows()).step_by(size);
        Ok(starts.map(|start| rows.slice(start, size.min(rows.num_rows() - start))).collect())
    }

    /// The columns that the predicates on rows name.
    fn row_columns(&self) -> impl Iterator<Item = usize> {
        self.predicates.iter().filter(|p| p.scope == Scope::Rows).flat_map(|p| p.columns.iter().copied())
    }

    /// The boxes of tiles that the predicates on coordinates leave.
    async fn cut(&self, tiles: Vec<Tile>, metrics: &ReadMetrics) -> Result<Vec<Selected>> {
        let mut masks: HashMap<u32, Vec<(usize, BooleanArray)>> = HashMap::new();
        for (number, predicate) in self.predicates.iter().enumerate() {
            if let Scope::Dimension(dim) = predicate.scope {
                self.select_indices(number, predicate, dim, &tiles, &mut masks, metrics).await?;
            }
        }
        let none = Vec::new();
        Ok(tiles
            .into_iter()
            .filter_map(|tile| {
                let masks = masks.get(&tile.dataset).unwrap_or(&none);
                cut(tile, masks)
            })
            .collect())
    }

    /// Adds, for each dataset of `tiles`, the indices along `dim` that a predicate selects, with the position of
    /// the dimension in the dataset's rows.
    async fn select_indices(
        &self,
        number: usize,
        predicate: &Predicate,
        dim: usize,
        tiles: &[Tile],
        masks: &mut HashMap<u32, Vec<(usize, BooleanArray)>>,
        metrics: &ReadMetrics,
    ) -> Result<()> {
        let ordinals: BTreeSet<u32> = tiles.iter().map(|tile| tile.dataset).collect();
        let mut known = {
            let mut selections = self.selections.lock().unwrap_or_else(PoisonError::into_inner);
            // Groups go through the datasets in order: those before this group's are done with.
            let first = ordinals.first().copied().unwrap_or(0);
            selections.retain(|&(_, dataset), _| dataset + 1 >= first);
            selections.clone()
        };
        // For each dataset that is not known yet, the extent of its rows along the dimension: one, where
        // they lack it and the coordinate is NULL.
        let mut places = HashMap::new();
        let mut missing = Vec::new();
        for &ordinal in &ordinals {
            let Some((dataset, layout)) = self.table.dataset(ordinal) else { continue };
            let local = layout.dims.iter().position(|&(d, _)| d == dim);
            let size = local.and_then(|local| layout.shape(dataset).get(local).copied());
            places.insert(ordinal, local);
            if !known.contains_key(&(number, ordinal)) {
                missing.push((ordinal, 0, size.unwrap_or(1)));
            }
        }
        if !missing.is_empty() {
            let mut columns = Vec::with_capacity(predicate.columns.len());
            for &column in &predicate.columns {
                let parts = match self.table.layout.columns.get(column) {
                    Some(ColumnKind::Dimension(_)) => {
                        self.table.coordinates(column, &missing, metrics).await?
                    }
                    _ => missing
                        .iter()
                        .map(|&(ordinal, _, size)| self.table.constant(column, ordinal, size))
                        .collect::<Result<_>>()?,
                };
                columns.push(concat_all(&parts)?);
            }
            let rows = missing.iter().map(|&(_, _, size)| size).sum();
            let selected = predicate.evaluate(columns, rows)?;
            let mut start = 0;
            let mut selections = self.selections.lock().unwrap_or_else(PoisonError::into_inner);
            for (ordinal, _, size) in missing {
                let mask = selected.slice(start, size);
                start += size;
                selections.insert((number, ordinal), mask.clone());
                known.insert((number, ordinal), mask);
            }
        }
        for (ordinal, local) in places {
            if let Some(mask) = known.remove(&(number, ordinal)) {
                // A dataset without the dimension is selected or not as a whole.
                masks.entry(ordinal).or_default().push((local.unwrap_or(usize::MAX), mask));
            }
        }
        Ok(())
    }

    /// The boxes that statistics do not rule out.
    async fn prune(&self, mut boxes: Vec<Selected>, metrics: &ReadMetrics) -> Result<Vec<Selected>> {
        for predicate in &self.pruning {
            let dynamic = DynamicFilterTracking::classify(predicate).contains_dynamic_filter();
            if boxes.is_empty() || dynamic && self.limit.is_some() {
                continue;
            }
            let predicate =
                if dynamic { snapshot_physical_expr(Arc::clone(predicate))? } else { Arc::clone(predicate) };
            let tiles: Vec<_> = boxes.iter().map(|selected| selected.tile.clone()).collect();
            let mut keep = may_match(&self.table, &predicate, &tiles, metrics).await?.into_iter();
            boxes.retain(|_| keep.next().unwrap_or(true));
        }
        Ok(boxes)
    }

    /// The boxes that have rows for which the predicates on rows hold, with those rows, and the values of `columns`,
    /// which those predicates need, in them.
    async fn choose_rows(
        &self,
        boxes: Vec<Selected>,
        columns: &[usize],
        metrics: &ReadMetrics,
    ) -> Result<(Vec<Selected>, Vec<ArrayRef>)> {
        let predicates: Vec<_> = self.predicates.iter().filter(|p| p.scope == Scope::Rows).collect();
        if predicates.is_empty() || boxes.is_empty() {
            return Ok((boxes, Vec::new()));
        }
        let tiles: Vec<_> = boxes.iter().map(|selected| selected.tile.clone()).collect();
        self.count_read(&tiles, columns, metrics).await?;
        let values = gather(self.table.read(columns, &tiles, metrics).await?, columns.len())?;
        let rows = tiles.iter().map(|tile| tile.region.cells()).sum();
        let masks = predicates
            .into_iter()
            .map(|predicate| {
                let own = predicate.columns.iter().filter_map(|column| {
                    columns
                        .iter()
                        .position(|c| c == column)
                        .and_then(|position| values.get(position).cloned())
                });
                predicate.evaluate(own.collect(), rows)
            })
            .chain(join(&boxes).map(Ok))
            .collect::<Result<Vec<_>>>()?;
        let Some(mask) = all_of(masks) else { return Ok((boxes, values)) };

        let (mut kept, mut rows_kept, mut start) = (Vec::new(), Vec::with_capacity(rows), 0);
        for selected in boxes {
            let size = selected.tile.region.cells();
            let own = mask.slice(start, size);
            let keep = own.true_count() > 0;
            rows_kept.resize(start + size, keep);
            start += size;
            if keep {
                kept.push(Selected { tile: selected.tile, mask: Some(own) });
            } else {
                self.counters.pruned.add(self.chunks(&selected.tile, &self.other_columns(columns)));
            }
        }
        let rows_kept = BooleanArray::from(rows_kept);
        let values = values.iter().map(|values| filter(values, &rows_kept)).collect::<Result<_, _>>()?;
        Ok((kept, values))
    }

    fn other_columns(&self, columns: &[usize]) -> Vec<usize> {
        self.columns.iter().copied().filter(|column| !columns.contains(column)).collect()
    }

    /// The chunks of the arrays behind `columns` that a box has cells in.
    fn chunks(&self, tile: &Tile, columns: &[usize]) -> usize {
        let Some((dataset, _)) = self.table.dataset(tile.dataset) else { return 0 };
        let arrays = self.table.arrays(tile.dataset, columns);
        let crossing = arrays.into_iter().map(|(array, dims)| {
            let grid = self.table.snapshot.chunk_grid(dataset, array);
            grid.crossing(&project(&tile.region, dims)).len()
        });
        crossing.sum()
    }

    /// Counts the chunks behind `columns` in boxes that are about to be read.
    async fn count_read(&self, tiles: &[Tile], columns: &[usize], metrics: &ReadMetrics) -> Result<()> {
        let indexes = indexes(&self.table, columns, tiles, metrics).await?;
        for tile in tiles {
            let Some((dataset, _)) = self.table.dataset(tile.dataset) else { continue };
            for (array, dims) in self.table.arrays(tile.dataset, columns) {
                let grid = self.table.snapshot.chunk_grid(dataset, array);
                let index = indexes.get(&array.name);
                for coordinate in grid.crossing(&project(&tile.region, dims)) {
                    let chunk = index.and_then(|index| Some((index, index.find(tile.dataset, &coordinate)?)));
                    // Of a chunk without values the index says all there is to know.
                    let read = chunk.is_some_and(|(index, chunk)| !index.all_missing(chunk));
                    if read { &self.counters.decoded } else { &self.counters.from_stats }.add(1);
                }
            }
        }
        Ok(())
    }
}

/// Which of some datasets the predicates on datasets select; `None` where there are no such predicates.
pub fn select_datasets(
    table: &Table,
    predicates: &[Predicate],
    ordinals: &[u32],
) -> Result<Option<BooleanArray>> {
    let masks = predicates.iter().filter(|predicate| predicate.scope == Scope::Dataset).map(|predicate| {
        let columns = predicate.columns.iter().map(|&column| table.of_datasets(column, ordinals));
        predicate.evaluate(columns.collect::<Result<_>>()?, ordinals.len())
    });
    Ok(all_of(masks.collect::<Result<Vec<_>>>()?))
}

/// Tiles of datasets, in groups.
struct Groups {
    scan: Arc<Scan>,
    datasets: std::vec::IntoIter<(u32, Range<u64>)>,
    /// The dataset whose tiles are being given out, and those that are left.
    current: Option<(u32, Range<u64>)>,
}

impl Iterator for Groups {
    type Item = Vec<Tile>;

    fn next(&mut self) -> Option<Vec<Tile>> {
        let rows = (GROUP_VALUES / self.scan.columns.len().max(1)).max(GROUP_ROWS);
        let most = self.scan.limit.unwrap_or(rows).clamp(1, rows);
        let (mut group, mut rows) = (Vec::new(), 0);
        while rows < most && group.len() < GROUP_TILES {
            let Some((ordinal, left)) = self.current.take().or_else(|| self.datasets.next()) else { break };
            let Some((dataset, layout)) = self.scan.table.dataset(ordinal) else { continue };
            let mut left = left;
            for tile in layout.tiles_in(ordinal, &layout.shape(dataset), left.clone()) {
                left.start += 1;
                rows += tile.region.cells();
                group.push(tile);
                if rows >= most || group.len() >= GROUP_TILES {
                    break;
                }
            }
            if !left.is_empty() {
                self.current = Some((ordinal, left));
            }
        }
        (!group.is_empty()).then_some(group)
    }
}

/// The part of a tile that masks along its dimensions leave; `None` where that is nothing.
fn cut(mut tile: Tile, masks: &[(usize, BooleanArray)]) -> Option<Selected> {
    let rank = tile.region.shape.len();
    let mut along: Vec<Option<BooleanArray>> = vec![None; rank];
    for (dim, mask) in masks {
        match along.get_mut(*dim) {
            Some(slot) => *slot = all_of(slot.take().into_iter().chain([mask.clone()])),
            None if mask.true_count() == 0 => return None,
            None => {}
        }
    }
    let mut residual = Vec::with_capacity(rank);
    let extents = tile.region.start.iter_mut().zip(&mut tile.region.shape);
    for ((start, size), mask) in extents.zip(along) {
        let Some(mask) = mask else {
            residual.push(None);
            continue;
        };
        let mask = mask.slice(*start, *size);
        let first = mask.values().set_indices().next()?;
        let last = (0..*size).rev().find(|&i| mask.value(i))?;
        let mask = mask.slice(first, last + 1 - first);
        *start += first;
        *size = mask.len();
        residual.push((mask.true_count() < mask.len()).then_some(mask));
    }
    let mask = residual.iter().any(Option::is_some).then(|| {
        let mut rows = vec![true];
        for (mask, &size) in residual.iter().zip(&tile.region.shape) {
            let along = |i: usize| mask.as_ref().is_none_or(|mask| mask.value(i));
            rows = rows.into_iter().flat_map(|row| (0..size).map(move |i| row && along(i))).collect();
        }
        BooleanArray::from(rows)
    });
    Some(Selected { tile, mask })
}

/// The selected rows of boxes, one after the other; `None` where all are.
fn join(boxes: &[Selected]) -> Option<BooleanArray> {
    if boxes.iter().all(|selected| selected.mask.is_none()) {
        return None;
    }
    let mut rows = Vec::new();
    for selected in boxes {
        match &selected.mask {
            Some(mask) => rows.extend(mask.values().iter()),
            None => rows.resize(rows.len() + selected.tile.region.cells(), true),
        }
    }
    Some(BooleanArray::from(rows))
}

/// From the columns of each box to `count` columns of all boxes.
fn gather(boxes: Vec<Vec<ArrayRef>>, count: usize) -> Result<Vec<ArrayRef>> {
    if boxes.is_empty() {
        return Ok(Vec::new());
    }
    (0..count)
        .map(|column| {
            concat_all(&boxes.iter().filter_map(|arrays| arrays.get(column).cloned()).collect::<Vec<_>>())
        })
        .collect()
}

fn concat_all(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    if let [array] = arrays {
        return Ok(Arc::clone(array));
    }
    Ok(concat(&arrays.iter().map(AsRef::as_ref).collect::<Vec<_>>())?)
}
