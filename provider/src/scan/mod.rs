//! Scans: from a range of tiles to frames, and from frames to batches.
//!
//! Many tiles at a time are [sifted](Selection::sift). The remaining boxes are grouped into frames
//! that are worth reading at once. The rows of a frame are [selected](Selection::select), and a
//! [`Consumer`] turns them into batches.

pub mod boxes;
pub mod chunks;
mod compare;
mod counters;
mod dynamic;
pub mod expand;
pub mod filters;
pub mod frame;
pub mod large;
pub mod order;
mod pruning;
pub mod reader;
mod reduce;
pub mod rows;
pub mod select;
pub mod statistics;
pub mod tiles;
pub mod zeros;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use atlas::{ChunkFinder, Fit, ReadMetrics, Span};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use self::boxes::{Boxes, Tile};
use self::chunks::ColumnChunks;
pub use self::counters::Counters;
use self::frame::Frame;
use self::large::width;
use self::order::BestFirst;
use self::reader::{Reader, Reading};
use self::select::Selection;
use self::tiles::Tiles;

/// The size of a frame's values in bytes, unless one tile is larger. It is large enough that a
/// distant storage gets few requests and that frames share few blocks, and small enough that
/// several frames fit in memory.
const FRAME_BYTES: usize = 5 * 1024 * 1024;

/// The number of rows from which on a frame may end where a block does.
const WORTHWHILE: usize = 131_072;

/// The number of frames' worth of rows from which on a box is divided: dividing a box means looking
/// at it several times.
const LARGE_BOX: usize = 4;

/// The greatest number of tiles that are sifted together, and of boxes in a frame.
const TILES: usize = 65_536;

/// The number of rows that are read first if the first rows of an order are wanted.
const FIRST_ROWS: usize = 4096;

/// The number of frames in progress at a time, so that one is read while another is decoded.
const FRAMES: usize = 2;

/// Turns the selected rows of a scan into batches.
#[async_trait]
pub trait Consumer: Send + Sync {
    /// The columns that it needs, as positions in the table.
    fn columns(&self) -> &[usize];

    /// True if it must get all rows of a dataset in one frame.
    fn whole_datasets(&self) -> bool;

    /// True if statistics will probably suffice for boxes of which all rows match.
    fn is_of_statistics(&self) -> bool;

    /// The batches of a frame. `work` counts what is read for it, and the chunks that need not be
    /// read.
    async fn consume(
        self: Arc<Self>,
        frame: Frame,
        work: Work<'_>,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>>;
}

/// The context of a consumer.
pub struct Work<'a> {
    pub reader: &'a Reader,
    pub reading: &'a Reading<'a>,
    /// The columns that are needed.
    pub needed: &'a [usize],
    /// The greatest number of rows that are read at a time.
    pub most: usize,
    pub batch_size: usize,
}

impl Work<'_> {
    /// Counts the chunks of needed columns that were not read for a frame.
    pub fn count_unread(&self, frame: &Frame) {
        for &column in self.needed {
            let unread = frame.lacking(column);
            self.reading.counters.count_answered(&self.reader.table, column, &unread);
        }
    }
}

/// A scan of a table.
pub struct Scan {
    pub selection: Selection,
    pub consumer: Arc<dyn Consumer>,
    /// The order by which the scan should visit tiles, if it has one.
    pub order: Option<BestFirst>,
    pub batch_size: usize,
    /// The number of rows after which no more are needed.
    pub limit: Option<usize>,
    pub counters: Counters,
    /// The pool in which the memory of read data is reserved.
    pub memory: Arc<dyn MemoryPool>,
}

impl Scan {
    /// The batches of a range of tiles.
    pub fn stream(self: Arc<Self>, tiles: Range<u64>) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let datasets = self.selection.datasets(tiles)?;
        let ahead = if self.limit.is_some() || self.order.is_some() { 1 } else { FRAMES };
        let tiles = Tiles::new(self.selection.table().clone(), datasets);
        let runs: BoxStream<'static, Result<Boxes>> = match self.order.clone() {
            None => stream::iter(self.runs(tiles)).map(Ok).boxed(),
            Some(order) => {
                let scan = Arc::clone(&self);
                let sorted = async move {
                    let tiles = order.sort(scan.selection.table(), tiles.all()).await?;
                    Ok::<_, DataFusionError>(stream::iter(sorted_runs(tiles)).map(Ok))
                };
                stream::once(sorted).try_flatten().boxed()
            }
        };
        let scan = Arc::clone(&self);
        let batches = runs
            .and_then(move |tiles| {
                let scan = Arc::clone(&scan);
                async move {
                    let boxes = scan.sift(tiles).await?;
                    Ok(stream::iter(scan.frames(&boxes)).map(Ok::<_, DataFusionError>))
                }
            })
            .try_flatten()
            .map(move |boxes| {
                let scan = Arc::clone(&self);
                async move { scan.frame(boxes?).await }
            })
            .buffered(ahead)
            .try_flatten();
        Ok(batches.boxed())
    }

    /// The number of chunks in which a range of tiles has cells, for the selected datasets.
    pub fn count_chunks(&self, tiles: Range<u64>) -> Result<usize> {
        let tiles = Tiles::new(self.selection.table().clone(), self.selection.datasets(tiles)?);
        Ok(self.runs(tiles).map(|run| self.counted(run).chunks()).sum())
    }

    /// Groups tiles that are sifted together.
    fn runs(&self, mut tiles: Tiles) -> impl Iterator<Item = Boxes> + use<> {
        // If few rows are wanted, the next tiles are mostly not needed: begin with few, and double.
        let mut length = if self.limit.is_some() { 1 } else { TILES };
        let whole = self.consumer.whole_datasets();
        std::iter::from_fn(move || {
            let run = tiles.take_some(length, whole);
            length = (length * 2).min(TILES);
            (!run.is_empty()).then_some(run)
        })
    }

    /// Groups boxes into frames that are worth reading at once.
    fn frames(&self, boxes: &Boxes) -> Vec<Boxes> {
        let most = self.limit.unwrap_or(usize::MAX).clamp(1, self.rows_at_once());
        // Boxes that are much larger than a frame are divided into parts no smaller than batches.
        let part = most.max(self.batch_size);
        let whole = self.consumer.whole_datasets();
        let begins_block = self.begin_blocks(boxes);
        let mut frames = Frames { all: Vec::new(), frame: Boxes::default(), rows: 0 };
        let mut last = None;
        for (place, tile) in boxes.iter().enumerate() {
            let is_answered = self.is_answered(&tile);
            let is_new = !whole || last != Some(tile.dataset);
            last = Some(tile.dataset);
            // A frame within one block is a slice of it, and needs no copy.
            let is_enough = begins_block.get(place) == Some(&true) && frames.rows >= WORTHWHILE;
            if is_new && (frames.rows >= most || is_enough) {
                frames.end();
            }
            if tile.rows() / LARGE_BOX <= part || whole || is_answered {
                frames.push(&tile, if is_answered { 0 } else { tile.rows() });
                continue;
            }
            let mut parts = Boxes::default();
            push_parts(&tile, part, &mut parts);
            for tile in self.counted(parts).iter() {
                if frames.rows >= most {
                    frames.end();
                }
                frames.push(&tile, tile.rows());
            }
        }
        frames.end();
        frames.all
    }

    /// For each box, whether it lies in another block than the box before it, for some column that
    /// will be read. Only indexes in memory are considered.
    fn begin_blocks(&self, boxes: &Boxes) -> Vec<bool> {
        let mut begin = vec![false; boxes.len()];
        if boxes.len() < 2 || boxes.iter().all(|tile| self.is_answered(&tile)) {
            return begin;
        }
        let table = self.selection.table();
        for &column in self.consumer.columns() {
            let index = table.layout.variable(column).and_then(|name| table.snapshot.resident_index(name));
            let Some(index) = index else { continue };
            let (mut chunks, mut finder) = (ColumnChunks::new(table, column), ChunkFinder::new(&index));
            let (mut coordinate, mut last) = (Vec::new(), None);
            for (tile, begin) in boxes.iter().zip(&mut begin) {
                let Some(array) = chunks.of(&tile).filter(|array| array.direct) else { continue };
                if array.chunks.fit(array.spans(&tile), &mut coordinate) == Fit::Several {
                    continue;
                }
                let block = finder.find(tile.dataset, &coordinate).map(|chunk| index.block(chunk));
                *begin |= last.is_some() && block.is_some() && block != last;
                last = block.or(last);
            }
        }
        begin
    }

    /// The number of rows that are read at a time.
    fn rows_at_once(&self) -> usize {
        let table = self.selection.table();
        let width = |&column: &usize| width(&table.data_type(column));
        let row: usize = self.consumer.columns().iter().map(width).sum();
        FRAME_BYTES / row.max(size_of::<f32>())
    }

    /// True if statistics will probably do for a box.
    fn is_answered(&self, tile: &Tile<'_>) -> bool {
        !tile.undecided && self.consumer.is_of_statistics()
    }

    /// The columns that are needed.
    fn needed(&self) -> Vec<usize> {
        let columns = self.selection.row_columns().chain(self.consumer.columns().iter().copied());
        columns.collect::<BTreeSet<usize>>().into_iter().collect()
    }

    /// The boxes with the numbers of chunks in which they have cells.
    fn counted(&self, mut boxes: Boxes) -> Boxes {
        let mut chunks = vec![0; boxes.len()];
        for column in self.needed() {
            ColumnChunks::new(self.selection.table(), column).add_crossed(&boxes, &mut chunks);
        }
        boxes.set_chunks(chunks);
        boxes
    }

    fn reserve(&self) -> MemoryReservation {
        MemoryConsumer::new("Atlas scan").register(&self.memory)
    }

    /// The boxes that remain of tiles after predicates on coordinates and statistics.
    async fn sift(&self, tiles: Boxes) -> Result<Boxes> {
        let (metrics, counters) = (ReadMetrics::default(), Counters::apart());
        let memory = self.reserve();
        let reading = Reading { counters: &counters, metrics: &metrics, memory: &memory };
        let tiles = self.counted(tiles);
        let all = tiles.chunks();
        let mut boxes = self.selection.sift(tiles, &reading).await;
        if !self.selection.filters.dimensions.is_empty() {
            boxes = boxes.map(|boxes| self.counted(boxes));
        }
        let left = boxes.as_ref().map_or(0, Boxes::chunks);
        self.counters.add(&counters, all - left.min(all), &metrics);
        boxes
    }

    /// The batches of a frame.
    #[cfg_attr(feature = "tracing", tracing::instrument(name = "scan", level = "debug", skip_all, fields(boxes = boxes.len())))]
    async fn frame(self: Arc<Self>, boxes: Boxes) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let (metrics, counters) = (ReadMetrics::default(), Counters::apart());
        let memory = self.reserve();
        let reading = Reading { counters: &counters, metrics: &metrics, memory: &memory };
        let (chunks, needed) = (boxes.chunks(), self.needed());
        let consumed = async {
            let frame = self.selection.select(boxes, &needed, &reading).await?;
            let work = Work {
                reader: &self.selection.reader,
                reading: &reading,
                needed: &needed,
                most: self.rows_at_once(),
                batch_size: self.batch_size,
            };
            Arc::clone(&self.consumer).consume(frame, work).await
        };
        let consumed = consumed.await;
        self.counters.add(&counters, chunks, &metrics);
        // The memory stays reserved until the last batch.
        Ok(stream::unfold((consumed?, memory), |(mut batches, memory)| async move {
            batches.next().await.map(|batch| (batch, (batches, memory)))
        })
        .boxed())
    }
}

/// Frames under construction.
struct Frames {
    all: Vec<Boxes>,
    /// The last frame, and the number of its rows that are read.
    frame: Boxes,
    rows: usize,
}

impl Frames {
    fn push(&mut self, tile: &Tile<'_>, rows: usize) {
        self.frame.push(tile);
        self.rows += rows;
    }

    fn end(&mut self) {
        if !self.frame.is_empty() {
            self.all.push(std::mem::take(&mut self.frame));
        }
        self.rows = 0;
    }
}

/// Divides sorted tiles into runs: few rows at first, then more and more.
fn sorted_runs(tiles: Boxes) -> impl Iterator<Item = Boxes> {
    let (mut start, mut rows) = (0, FIRST_ROWS);
    std::iter::from_fn(move || {
        let (mut end, mut own) = (start, 0);
        while end < tiles.len() && own < rows {
            own += tiles.range(end).len();
            end += 1;
        }
        let run = tiles.slice(start..end);
        start = end;
        rows = rows.saturating_mul(2);
        (!run.is_empty()).then_some(run)
    })
}

/// Adds a box in parts of about `rows` rows each, in order.
fn push_parts(tile: &Tile<'_>, rows: usize, parts: &mut Boxes) {
    // A part is whole along the fastest dimensions, divided along one, and of size one along those
    // before it.
    let mut inner = 1usize;
    let mut cut = tile.spans.len();
    while let Some(span) = cut.checked_sub(1).and_then(|dim| tile.spans.get(dim)) {
        cut -= 1;
        if inner.saturating_mul(span.size) > rows {
            break;
        }
        inner *= span.size;
    }
    let step = (rows / inner).max(1);
    let mut all: Vec<Vec<Span>> = vec![Vec::new()];
    for (dim, span) in tile.spans.iter().enumerate() {
        let size = match dim.cmp(&cut) {
            std::cmp::Ordering::Less => 1,
            std::cmp::Ordering::Equal => step,
            std::cmp::Ordering::Greater => span.size.max(1),
        };
        let pieces = (span.start..span.end()).step_by(size);
        let pieces = pieces.map(|start| Span { start, size: size.min(span.end() - start) });
        let pieces: Vec<Span> = pieces.collect();
        let with = |prefix: &Vec<Span>| {
            let prefix = prefix.clone();
            pieces.iter().map(move |&piece| [prefix.as_slice(), &[piece]].concat()).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(with).collect();
    }
    for spans in all {
        parts.push_spans(tile.dataset, tile.schema, spans, tile.undecided);
    }
}

/// A batch in slices of `size` rows.
pub fn sliced(rows: &RecordBatch, size: usize) -> impl Iterator<Item = RecordBatch> {
    let size = size.max(1);
    let starts = (0..rows.num_rows()).step_by(size);
    starts.map(move |start| rows.slice(start, size.min(rows.num_rows() - start)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cells(boxes: &Boxes) -> Vec<Vec<usize>> {
        let mut cells = Vec::new();
        for tile in boxes.iter() {
            let mut own: Vec<Vec<usize>> = vec![vec![]];
            for span in tile.spans {
                let along = |cell: &Vec<usize>| {
                    let cell = cell.clone();
                    (span.start..span.end()).map(move |i| [cell.as_slice(), &[i]].concat())
                };
                own = own.iter().flat_map(along).collect();
            }
            cells.extend(own);
        }
        cells
    }

    proptest! {
        /// The parts of a box contain its rows, each once and in order, and are no larger than
        /// requested.
        #[test]
        fn parts_are_the_rows_of_the_box(spans in prop::collection::vec((0usize..3, 1usize..7), 0..4), rows in 1usize..40) {
            let spans = spans.into_iter().map(|(start, size)| Span { start, size });
            let mut whole = Boxes::default();
            whole.push_spans(3, 0, spans, true);
            let mut parts = Boxes::default();
            push_parts(&whole.get(0), rows, &mut parts);
            prop_assert_eq!(cells(&parts), cells(&whole));
            prop_assert!(parts.iter().all(|part| part.rows() <= rows && part.dataset == 3));
        }
    }

    #[test]
    fn tiles_are_the_rows_of_their_datasets() {
        use atlas::{ArraySchema, Attributes, DType};
        let array = |chunk: Vec<usize>, shape: Vec<usize>| {
            let mut schema = ArraySchema::new("v".to_owned(), DType::F32, &["x", "y"]);
            schema.chunk = chunk;
            (vec![(schema, shape)], Attributes::new())
        };
        let datasets =
            [array(vec![0, 0], vec![3, 4]), array(vec![2, 3], vec![5, 7]), array(vec![1, 0], vec![2, 1])];
        let (table, tiles) = crate::testing::table(datasets, &["x", "y"]);
        assert_eq!(tiles.len(), 1 + 9 + 2);
        for (ordinal, (x, y)) in [(0, (3, 4)), (1, (5, 7)), (2, (2, 1))] {
            let own = tiles.clone().filter(|place| tiles.get(place).dataset == ordinal);
            let mut found = cells(&own);
            found.sort();
            let all = (0..x).flat_map(|i| (0..y).map(move |j| vec![i, j]));
            assert_eq!(found, all.collect::<Vec<_>>());
        }
        // Some of the tiles, by number.
        let some = |from: u64, to: u64| Tiles::new(table.clone(), vec![(1, from..to)]).all();
        let all: Vec<_> = some(0, 9).iter().map(|tile| tile.spans.to_vec()).collect();
        let parts = [some(0, 4), some(4, 5), some(5, 9)];
        let parts: Vec<_> = parts
            .iter()
            .flat_map(|part| part.iter().map(|tile| tile.spans.to_vec()).collect::<Vec<_>>())
            .collect();
        assert_eq!(all, parts);
        let mut tiles = Tiles::new(table.clone(), vec![(0, 0..1), (1, 0..9), (2, 0..2)]);
        let taken: Vec<usize> =
            std::iter::from_fn(|| Some(tiles.take_some(2, true).len()).filter(|&len| len > 0)).collect();
        assert_eq!(taken, [10, 2], "a dataset is not left half taken");
    }
}
