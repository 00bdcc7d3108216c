//! From a range of tiles to batches: of rows, or of what they add up to.
//!
//! Tiles are [sifted](Selection::sift), many at a time, and what is left of them goes through in groups that are worth
//! reading at once. The rows of a group are [selected](Selection::select), then the columns that are left are read, for the
//! boxes that have selected rows, and become batches as somebody asks for them.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::datatypes::SchemaRef;
use atlas::ReadMetrics;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::physical_expr::projection::Projector;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use crate::aggregate::{Aggregation, Work};
use crate::columns::{Grids, Table, project};
use crate::large::width;
use crate::layout::Tile;
use crate::order::BestFirst;
use crate::predicate::batch;
use crate::select::{STRETCH, Selected, Selection, gather, read, stretches};
use crate::tiles::Tiles;

/// Bytes of the values of a group of tiles, unless one tile has more: so many that a distant storage is asked a few times for
/// much, and that groups share few blocks; so few that some groups at a time are no burden.
pub const GROUP_BYTES: usize = 5 * 1024 * 1024;

/// Groups that a box has the rows of when it is cut: to be cut is to be looked at several times.
const LARGE_BOX: usize = 4;

/// Tiles that are sifted together, at the most, and boxes of a group.
const TILES: usize = 4096;

/// Groups that are worked on at one time, so that one is read while another is decoded.
const GROUPS: usize = 2;

/// A scan of a table.
pub struct Scan {
    pub selection: Selection,
    pub output: Output,
    /// What the best rows for somebody are, where a scan had better begin with those.
    pub order: Option<BestFirst>,
    pub batch_size: usize,
    /// Rows after which nobody asks for more.
    pub limit: Option<usize>,
    pub counters: Counters,
    /// Where the memory of what is read is accounted for.
    pub memory: Arc<dyn MemoryPool>,
}

/// What comes out of a scan.
pub enum Output {
    Rows(Rows),
    Aggregates(Arc<Aggregation>),
}

/// Rows as they come out of a scan.
pub struct Rows {
    /// The columns that the projection needs, as positions in the table, ascending.
    pub columns: Vec<usize>,
    /// The schema of a batch of `columns`.
    pub schema: SchemaRef,
    /// From a batch of `columns` to the output.
    pub projector: Projector,
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

    /// Counters of a part of the work, to be [added](Self::add) to others, which find its total
    /// themselves.
    fn apart() -> Self {
        Self {
            total: Count::new(),
            pruned: Count::new(),
            from_stats: Count::new(),
            decoded: Count::new(),
            bytes: Count::new(),
            requests: Count::new(),
        }
    }

    /// Adds a part of the work on boxes that have cells in `chunks`: what was neither decoded nor
    /// answered was pruned. So the counters add up, also for a scan that somebody stops.
    fn add(&self, part: &Self, chunks: usize, metrics: &ReadMetrics) {
        let done = part.from_stats.value() + part.decoded.value();
        self.total.add(chunks.max(done));
        self.pruned.add(chunks.saturating_sub(done));
        self.from_stats.add(part.from_stats.value());
        self.decoded.add(part.decoded.value());
        self.bytes.add(usize::try_from(metrics.bytes()).unwrap_or(usize::MAX));
        self.requests.add(usize::try_from(metrics.requests()).unwrap_or(usize::MAX));
    }

    /// Counts the chunks behind a column in boxes that are about to be read.
    pub async fn count_read(
        &self,
        table: &Table,
        rows: &[(&Tile, Option<&UInt32Array>)],
        column: usize,
        metrics: &ReadMetrics,
    ) -> Result<()> {
        let Some(index) = table.index_of(column, rows.iter().map(|(tile, _)| *tile), metrics).await? else {
            return Ok(());
        };
        let mut grids = Grids::new(table, column);
        for (tile, _) in rows {
            let Some((_, dims, grid)) = grids.of(tile.dataset) else { continue };
            for coordinate in grid.crossing(&project(&tile.region, dims)) {
                // Of a chunk without values the index says all there is to know.
                let chunk = index.find(tile.dataset, &coordinate);
                let decoded = chunk.is_some_and(|chunk| !index.all_missing(chunk));
                if decoded { &self.decoded } else { &self.from_stats }.add(1);
            }
        }
        Ok(())
    }

    /// Counts the chunks behind those of `columns` that boxes were not read for.
    pub fn count_answered(&self, table: &Table, boxes: &[Selected], columns: &[usize]) {
        for &column in columns {
            let unread = boxes.iter().filter(|selected| selected.value(column).is_none());
            self.from_stats.add(Grids::new(table, column).crossed(unread.map(|selected| &selected.tile)));
        }
    }
}

/// What reading is accounted to.
pub struct Reading<'a> {
    pub counters: &'a Counters,
    pub metrics: &'a ReadMetrics,
    /// For what was read and is still there.
    pub memory: &'a MemoryReservation,
}

/// A group that was read.
struct Group {
    boxes: Vec<Selected>,
    /// For the memory of what was read, until it is dropped.
    _memory: MemoryReservation,
}

/// What comes of a group.
enum Batches {
    Made(Vec<RecordBatch>),
    /// To be made of boxes that have all columns.
    Rows(Vec<Selected>),
}

impl Scan {
    /// The batches of a range of tiles.
    pub fn stream(self: Arc<Self>, tiles: Range<u64>) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let datasets = self.selection.datasets(tiles)?;
        let ahead = if self.limit.is_some() || self.order.is_some() { 1 } else { GROUPS };
        let tiles = Tiles::new(self.selection.table.clone(), datasets);
        let runs: BoxStream<'static, Result<Vec<Tile>>> = match self.order.clone() {
            None => stream::iter(self.runs(tiles)).map(Ok).boxed(),
            Some(order) => {
                let scan = Arc::clone(&self);
                let sorted = async move {
                    let tiles = order.sort(&scan.selection.table, tiles.collect()).await?;
                    Ok::<_, DataFusionError>(stream::iter(scan.runs(tiles.into_iter())).map(Ok))
                };
                stream::once(sorted).try_flatten().boxed()
            }
        };
        let scan = Arc::clone(&self);
        let batches = runs
            .and_then(move |tiles| {
                let scan = Arc::clone(&scan);
                async move { Ok(stream::iter(scan.groups(scan.sift(tiles).await?)).map(Ok::<_, DataFusionError>)) }
            })
            .try_flatten()
            .map(move |boxes| {
                let scan = Arc::clone(&self);
                async move { scan.group(boxes?).await }
            })
            .buffered(ahead)
            .try_flatten();
        Ok(batches.boxed())
    }

    /// The chunks that a range of tiles has cells in, of the datasets that are wanted.
    pub fn count_chunks(&self, tiles: Range<u64>) -> Result<usize> {
        let tiles = Tiles::new(self.selection.table.clone(), self.selection.datasets(tiles)?);
        Ok(self.runs(tiles).map(|run| self.chunks(run.iter())).sum())
    }

    /// Tiles, those together that are sifted together.
    fn runs<I: Iterator<Item = Tile>>(&self, tiles: I) -> impl Iterator<Item = Vec<Tile>> + use<I> {
        // Where few rows are wanted, the next tiles are mostly not: few at first, then more and more.
        let few = self.order.is_some() || self.limit.is_some();
        let mut length = if few { 1 } else { TILES };
        let (whole, mut tiles) = (self.keeps_datasets(), tiles.peekable());
        std::iter::from_fn(move || {
            let mut run: Vec<_> = tiles.by_ref().take(length).collect();
            let last = run.last().map(|tile| tile.dataset).filter(|_| whole);
            run.extend(std::iter::from_fn(|| tiles.next_if(|tile| Some(tile.dataset) == last)));
            length = (length * 2).min(TILES);
            (!run.is_empty()).then_some(run)
        })
    }

    /// Boxes in groups that are worth reading at once.
    fn groups(&self, boxes: Vec<Selected>) -> impl Iterator<Item = Vec<Selected>> + use<> {
        let most = self.limit.unwrap_or(usize::MAX).clamp(1, self.rows_at_once());
        let (mut groups, mut rows): (Vec<Vec<Selected>>, usize) = (Vec::new(), most);
        let mut last = None;
        // Parts that are no smaller than batches, of boxes that are much larger than a group.
        let part = most.max(self.batch_size);
        let boxes = boxes.into_iter().flat_map(|selected| {
            let is_large = selected.rows() / LARGE_BOX > part && !self.keeps_datasets();
            if is_large && !self.is_answered(&selected) { selected.parts(part) } else { vec![selected] }
        });
        for selected in boxes {
            let dataset = Some(selected.tile.dataset).filter(|_| self.keeps_datasets());
            if rows >= most && (dataset.is_none() || dataset != last) {
                groups.push(Vec::new());
                rows = 0;
            }
            rows += if self.is_answered(&selected) { 0 } else { selected.rows() };
            if let Some(group) = groups.last_mut() {
                group.push(selected);
            }
            last = dataset;
        }
        groups.into_iter()
    }

    /// Whether all of a dataset must be in one group.
    fn keeps_datasets(&self) -> bool {
        matches!(&self.output, Output::Aggregates(aggregation) if aggregation.is_finished())
    }

    /// Rows that are read at one time.
    fn rows_at_once(&self) -> usize {
        let table = &self.selection.table;
        let width = |&column: &usize| width(&table.data_type(column));
        let row: usize = self.columns().iter().map(width).sum();
        GROUP_BYTES / row.max(size_of::<f32>())
    }

    /// True where statistics will probably do for a box.
    fn is_answered(&self, selected: &Selected) -> bool {
        match &self.output {
            Output::Rows(_) => false,
            Output::Aggregates(aggregation) => {
                !selected.open && selected.mask.is_none() && aggregation.is_of_statistics()
            }
        }
    }

    /// The columns that the output is made of.
    fn columns(&self) -> &[usize] {
        match &self.output {
            Output::Rows(rows) => &rows.columns,
            Output::Aggregates(aggregation) => aggregation.columns(),
        }
    }

    /// The columns that something is to be known of.
    fn needed(&self) -> Vec<usize> {
        let needed: BTreeSet<usize> =
            self.selection.row_columns().chain(self.columns().iter().copied()).collect();
        needed.into_iter().collect()
    }

    /// The chunks that tiles have cells in.
    fn chunks<'a>(&self, tiles: impl Iterator<Item = &'a Tile> + Clone) -> usize {
        let crossed = |column| Grids::new(&self.selection.table, column).crossed(tiles.clone());
        self.needed().into_iter().map(crossed).sum()
    }

    /// What coordinates and statistics leave of tiles.
    async fn sift(&self, tiles: Vec<Tile>) -> Result<Vec<Selected>> {
        let (metrics, counters) = (ReadMetrics::default(), Counters::apart());
        let all = self.chunks(tiles.iter());
        let boxes = self.selection.sift(tiles, &metrics).await;
        let left = boxes.as_ref().map_or(0, |boxes| self.chunks(boxes.iter().map(|selected| &selected.tile)));
        self.counters.add(&counters, all - left.min(all), &metrics);
        boxes
    }

    /// The batches of a group of boxes.
    #[cfg_attr(feature = "tracing", tracing::instrument(name = "scan", level = "debug", skip_all, fields(boxes = boxes.len())))]
    async fn group(self: Arc<Self>, boxes: Vec<Selected>) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let (metrics, counters) = (ReadMetrics::default(), Counters::apart());
        let memory = MemoryConsumer::new("Atlas scan").register(&self.memory);
        let reading = Reading { counters: &counters, metrics: &metrics, memory: &memory };
        let chunks = self.chunks(boxes.iter().map(|selected| &selected.tile));
        let read = self.read_group(boxes, &reading).await;
        self.counters.add(&counters, chunks, &metrics);
        Ok(match read? {
            Batches::Made(batches) => stream::iter(batches.into_iter().map(Ok)).boxed(),
            Batches::Rows(boxes) => {
                memory.try_resize(memory_of(&boxes))?;
                let stretches = stretches(&boxes, STRETCH).into_iter();
                let group = Group { boxes, _memory: memory };
                let batches = stretches.map(move |stretch| self.batches(&group, stretch));
                stream::iter(batches)
                    .map_ok(|batches| stream::iter(batches.into_iter().map(Ok)))
                    .try_flatten()
                    .boxed()
            }
        })
    }

    async fn read_group(&self, boxes: Vec<Selected>, reading: &Reading<'_>) -> Result<Batches> {
        let (table, needed) = (&self.selection.table, self.needed());
        let mut boxes = self.selection.select(boxes, reading).await?;
        match &self.output {
            Output::Aggregates(aggregation) => {
                let work = Work { table, needed: &needed, most: self.rows_at_once(), reading };
                let states = aggregation.aggregate(&mut boxes, &work).await?;
                Ok(Batches::Made(sliced(states, self.batch_size).collect()))
            }
            Output::Rows(rows) => {
                boxes.iter_mut().try_for_each(Selected::pick)?;
                for &column in &rows.columns {
                    read(table, column, &mut boxes, &|_| true, reading).await?;
                }
                reading.counters.count_answered(table, &boxes, &needed);
                Ok(Batches::Rows(boxes))
            }
        }
    }

    /// The rows of some boxes of a group.
    fn batches(&self, group: &Group, stretch: Range<usize>) -> Result<Vec<RecordBatch>> {
        let Output::Rows(rows) = &self.output else { return Ok(Vec::new()) };
        let boxes = group.boxes.get(stretch).unwrap_or_default();
        let count = boxes.iter().map(Selected::rows).sum();
        let columns = rows.columns.iter().map(|&column| gather(boxes, column));
        let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
        let all = batch(&rows.schema, columns, count)?;
        // In slices, so that what the projection computes stays small.
        sliced(all, self.batch_size).map(|slice| rows.projector.project_batch(&slice)).collect()
    }
}

/// The bytes of what was read for boxes.
fn memory_of(boxes: &[Selected]) -> usize {
    let values = boxes.iter().flat_map(|selected| &selected.values);
    values.map(|(_, values)| values.to_data().get_slice_memory_size().unwrap_or(0)).sum()
}

fn sliced(rows: RecordBatch, size: usize) -> impl Iterator<Item = RecordBatch> {
    let size = size.max(1);
    let starts = (0..rows.num_rows()).step_by(size);
    starts.map(move |start| rows.slice(start, size.min(rows.num_rows() - start)))
}
