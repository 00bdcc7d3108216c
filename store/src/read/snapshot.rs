//! One generation of a store, to read from.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, MutableArrayData, RecordBatch, make_array, new_null_array};
use arrow::buffer::MutableBuffer;
use arrow::error::ArrowError;
use futures::{StreamExt, TryStreamExt, stream};

use crate::error::{Error, Result};
use crate::format::catalog::{Catalog, Dataset, SegmentEntry};
use crate::model::dtype::DType;
use crate::model::grid::{ChunkGrid, Region, Run};
use crate::model::schema::ArraySchema;
use crate::model::statistics::Statistics;
use crate::read::cache::{Caches, Cells};
use crate::read::segment::Segment;
use crate::storage::files::{ReadMetrics, Storage};

/// Requests to the storage that are under way at one time.
const CONCURRENCY: usize = 8;

/// A generation of a store. It stays what it is while writers commit others.
#[derive(Clone, Debug)]
pub struct Snapshot {
    storage: Storage,
    caches: Arc<Caches>,
    catalog: Arc<Catalog>,
}

/// The chunks of one variable, in all datasets.
#[derive(Debug)]
pub struct VariableIndex {
    /// Oldest first: what a later one says replaces what an earlier one said.
    segments: Vec<Arc<Segment>>,
}

/// A chunk of a [`VariableIndex`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkRef {
    segment: u32,
    row: u32,
}

/// A region of a variable in one dataset, to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrayRead {
    /// The dataset's ordinal.
    pub dataset: u32,
    /// The region; it must lie in the array.
    pub region: Region,
}

/// How to read one region: the chunks that it crosses, and its cells as runs in them.
struct Plan {
    dtype: DType,
    cells: usize,
    /// `None` for chunks without values. With the number of cells that the grid gives the chunk.
    chunks: Vec<(Option<ChunkRef>, usize)>,
    runs: Vec<Run>,
}

impl Snapshot {
    pub(crate) fn new(storage: Storage, caches: Arc<Caches>, catalog: Arc<Catalog>) -> Self {
        Self { storage, caches, catalog }
    }

    pub(crate) fn caches(&self) -> &Arc<Caches> {
        &self.caches
    }

    /// The catalog.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Where the store lies.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The index of a variable: one request for each of its segments that is not in the cache.
    ///
    /// # Errors
    /// Where a segment cannot be read, or is damaged.
    pub async fn index(&self, variable: &str, metrics: &ReadMetrics) -> Result<Arc<VariableIndex>> {
        let entries = self.catalog.variables.get(variable).into_iter().flatten();
        self.index_of(variable, entries, metrics).await.map(Arc::new)
    }

    /// The index of a variable, where all of it is in the cache.
    pub fn resident_index(&self, variable: &str) -> Option<VariableIndex> {
        let entries = self.catalog.variables.get(variable)?.iter();
        let segments = entries.map(|entry| self.caches.segments.peek(&entry.path(variable)));
        Some(VariableIndex { segments: segments.collect::<Option<_>>()? })
    }

    /// The index that segments of a variable have together, oldest first.
    pub(crate) async fn index_of(
        &self,
        variable: &str,
        entries: impl Iterator<Item = &SegmentEntry>,
        metrics: &ReadMetrics,
    ) -> Result<VariableIndex> {
        let opening: Vec<_> = entries.map(|entry| self.segment(variable, entry, metrics)).collect();
        let segments = stream::iter(opening).buffered(CONCURRENCY).try_collect().await?;
        Ok(VariableIndex { segments })
    }

    async fn segment(
        &self,
        variable: &str,
        entry: &SegmentEntry,
        metrics: &ReadMetrics,
    ) -> Result<Arc<Segment>> {
        let open = async {
            let number = self.caches.number();
            Segment::open(&self.storage, number, variable, entry, metrics).await.map(Arc::new)
        };
        self.caches.segments.get_or_insert_async(&entry.path(variable), open).await
    }

    /// The chunks of an array of a dataset.
    pub fn chunk_grid(&self, dataset: &Dataset, array: &ArraySchema) -> ChunkGrid {
        let shape = self.catalog.shape(dataset, array);
        ChunkGrid::new(&shape, &array.chunk_shape(&shape))
    }

    /// The chunks of a variable that datasets have, in order of their tables: with the dataset and the coordinate.
    pub fn chunks_of<'a>(
        &'a self,
        variable: &'a str,
        index: &'a VariableIndex,
    ) -> impl Iterator<Item = (ChunkRef, u32, &'a [u32])> {
        index.chunks().filter(move |(_, dataset, coordinate)| {
            // Of datasets and arrays that were deleted the index may still tell.
            let found = self
                .catalog
                .dataset(*dataset)
                .and_then(|dataset| Some((dataset, self.catalog.array(dataset, variable)?)));
            found.is_some_and(|(dataset, array)| self.chunk_grid(dataset, array).contains(coordinate))
        })
    }

    /// Chunks of a variable, their cells, and those of these that are missing.
    ///
    /// # Errors
    /// Those of [`index`](Self::index), which is read where the catalog alone does not tell.
    pub async fn counts(&self, variable: &str, metrics: &ReadMetrics) -> Result<[u64; 3]> {
        if let Some(counts) = self.catalog.counts(variable) {
            return Ok(counts);
        }
        let index = self.index(variable, metrics).await?;
        Ok(self.chunks_of(variable, &index).fold([0; 3], |[chunks, cells, missing], (chunk, ..)| {
            let known = index.statistics(chunk);
            [chunks + 1, cells + known.row_count, missing + known.null_count]
        }))
    }

    /// The cells of regions of a variable, each in row-major order with missing cells null: one array for
    /// each read, in the variable's type in that dataset. Each block is read and decoded once.
    ///
    /// # Errors
    /// Where a dataset has no such array, a region lies outside it, or a file cannot be read.
    pub async fn read(
        &self,
        variable: &str,
        reads: &[ArrayRead],
        metrics: &ReadMetrics,
    ) -> Result<Vec<ArrayRef>> {
        let index = self.index(variable, metrics).await?;
        self.read_from(&index, variable, reads, metrics).await
    }

    /// Reads as [`read`](Self::read) does, with the variable's index at hand.
    ///
    /// # Errors
    /// Those of `read`.
    pub async fn read_from(
        &self,
        index: &VariableIndex,
        variable: &str,
        reads: &[ArrayRead],
        metrics: &ReadMetrics,
    ) -> Result<Vec<ArrayRef>> {
        let plans: Vec<_> =
            reads.iter().map(|read| self.plan(index, variable, read)).collect::<Result<_>>()?;
        let mut chunks: Vec<_> =
            plans.iter().flat_map(|plan| &plan.chunks).filter_map(|(chunk, _)| *chunk).collect();
        chunks.sort_unstable();
        chunks.dedup();
        let cells = self.chunks(index, &chunks, metrics).await?;
        let cells: HashMap<_, _> = chunks.into_iter().zip(cells).collect();
        plans
            .iter()
            .map(|plan| plan.assemble(&cells).map_err(|reason| Error::corrupt(variable, reason)))
            .collect()
    }

    fn plan(&self, index: &VariableIndex, variable: &str, read: &ArrayRead) -> Result<Plan> {
        let Some(dataset) = self.catalog.dataset(read.dataset) else {
            return Err(Error::NoDataset { dataset: format!("#{}", read.dataset) });
        };
        let Some(array) = self.catalog.array(dataset, variable) else {
            return Err(Error::NoArray { dataset: dataset.name.clone(), array: variable.to_owned() });
        };
        let shape = self.catalog.shape(dataset, array);
        check_region(&dataset.name, variable, &read.region, &shape)?;
        let grid = self.chunk_grid(dataset, array);
        let (dtype, cells) = (array.dtype, read.region.cells());
        let shape = || (dataset.name.clone(), variable.to_owned());
        check_room(dtype, cells).map_err(|reason| {
            let (dataset, array) = shape();
            Error::Shape { dataset, array, reason }
        })?;
        // What an index says of a chunk must fit its array before memory is taken for it.
        let find = |coordinate: &[u32], cells: usize| {
            let found = index.find(read.dataset, coordinate);
            match found.map(|chunk| index.cells(chunk)) {
                Some(other) if other != cells => {
                    let name = &dataset.name;
                    let reason = format!(
                        "its index has {other} cells for the chunk at {coordinate:?} of dataset `{name}`, which has {cells}"
                    );
                    Err(Error::corrupt(variable, reason))
                }
                _ => Ok((found.filter(|chunk| !index.all_missing(*chunk)), cells)),
            }
        };
        if let Some(coordinate) = grid.chunk_of(&read.region) {
            let runs = vec![Run { chunk: 0, offset: 0, length: cells }];
            return Ok(Plan { dtype, cells, chunks: vec![find(&coordinate, cells)?], runs });
        }
        if index.is_unwritten(read.dataset) {
            // However many chunks it has.
            let runs = vec![Run { chunk: 0, offset: 0, length: cells }];
            return Ok(Plan { dtype, cells, chunks: vec![(None, cells)], runs });
        }
        let chunks = grid
            .crossing(&read.region)
            .iter()
            .map(|coordinate| find(coordinate, grid.region(coordinate).cells()))
            .collect::<Result<_>>()?;
        Ok(Plan { dtype, cells, chunks, runs: grid.runs(&read.region) })
    }

    /// The cells of chunks, each block read and decoded once.
    pub(crate) async fn chunks(
        &self,
        index: &VariableIndex,
        chunks: &[ChunkRef],
        metrics: &ReadMetrics,
    ) -> Result<Vec<ArrayRef>> {
        // The cells needed of each block of each segment, from the first to the last.
        let mut needed: BTreeMap<usize, BTreeMap<usize, Range<usize>>> = BTreeMap::new();
        let mut places = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let segment = index.segment(*chunk)?;
            let (block, cells) = segment.index.cells(chunk.row as usize);
            let blocks = needed.entry(chunk.segment as usize).or_default();
            let all = blocks.entry(block).or_insert_with(|| cells.clone());
            *all = all.start.min(cells.start)..all.end.max(cells.end);
            places.push((chunk.segment as usize, block, cells));
        }
        let reading: Vec<_> = needed
            .into_iter()
            .map(|(segment, blocks)| self.blocks(index, segment, blocks.into_iter().collect(), metrics))
            .collect();
        let read: HashMap<_, _> = stream::iter(reading).buffered(CONCURRENCY).try_collect().await?;
        metrics.count_chunks(chunks.len());
        let cells = places.into_iter().map(|(segment, block, cells)| {
            let block: Option<&Cells> = read.get(&segment).and_then(|blocks| blocks.get(&block));
            let slice = block.and_then(|block| block.slice(&cells));
            slice.ok_or_else(|| Error::corrupt("an index", "a chunk lies outside its block"))
        });
        cells.collect()
    }

    /// Cells of blocks of one segment, by the block's number: those that are not in the cache are read.
    async fn blocks(
        &self,
        index: &VariableIndex,
        segment: usize,
        wanted: Vec<(usize, Range<usize>)>,
        metrics: &ReadMetrics,
    ) -> Result<(usize, HashMap<usize, Cells>)> {
        let mut blocks = HashMap::with_capacity(wanted.len());
        let Some(opened) = index.segments.get(segment) else { return Ok((segment, blocks)) };
        let mut missing = Vec::new();
        for (number, cells) in wanted {
            let all = 0..opened.index.blocks.get(number).map_or(0, |block| block.cells as usize);
            match self.caches.block(opened.number, number) {
                Some(kept) if kept.have(&cells) => drop(blocks.insert(number, kept)),
                // Now this part and then that one: both had better be there the next time.
                Some(_) => missing.push((number, all)),
                None if cells.len() > all.len() / 2 => missing.push((number, all)),
                None => missing.push((number, cells)),
            }
        }
        let read = opened.blocks(&self.storage, &missing, self.caches.keeps_blocks(), metrics).await?;
        for ((number, cells), values) in missing.into_iter().zip(read) {
            let cells = Cells { start: cells.start, values };
            if self.caches.keeps_blocks() {
                self.caches.keep_block(opened.number, number, &cells);
            }
            blocks.insert(number, cells);
        }
        Ok((segment, blocks))
    }
}

impl Plan {
    fn assemble(&self, cells: &HashMap<ChunkRef, ArrayRef>) -> Result<ArrayRef, String> {
        let arrow = self.dtype.arrow();
        let chunk = |number: usize| -> Result<Option<&ArrayRef>, String> {
            let Some((chunk, expected)) = self.chunks.get(number) else {
                return Err("no such chunk".to_owned());
            };
            let Some(array) = chunk.as_ref().and_then(|chunk| cells.get(chunk)) else { return Ok(None) };
            if array.len() != *expected || *array.data_type() != arrow {
                let (found, of) = (array.len(), array.data_type());
                return Err(format!(
                    "a chunk has {found} cells of {of} where {expected} of {arrow} were expected"
                ));
            }
            Ok(Some(array))
        };
        if let [run] = self.runs.as_slice() {
            return Ok(match chunk(run.chunk)? {
                Some(array) => array.slice(run.offset, run.length),
                None => new_null_array(&arrow, run.length),
            });
        }
        let chunks: Vec<_> = (0..self.chunks.len()).map(chunk).collect::<Result<_, _>>()?;
        let cells = match self.copied(&chunks) {
            Some(cells) => cells,
            None => self.gathered(&chunks),
        };
        cells.map_err(|e| e.to_string())
    }

    /// The runs put together from chunks of numbers of which none is missing, as bytes.
    fn copied(&self, chunks: &[Option<&ArrayRef>]) -> Option<Result<ArrayRef, ArrowError>> {
        let arrow = self.dtype.arrow();
        let width = arrow.primitive_width()?;
        let complete = |chunk: &Option<&ArrayRef>| {
            chunk.filter(|chunk| chunk.null_count() == 0).map(|chunk| chunk.to_data())
        };
        let chunks: Vec<ArrayData> = chunks.iter().map(complete).collect::<Option<_>>()?;
        let mut cells = MutableBuffer::with_capacity(self.cells * width);
        for run in &self.runs {
            let chunk = chunks.get(run.chunk)?;
            let start = (chunk.offset() + run.offset) * width;
            cells.extend_from_slice(chunk.buffers().first()?.get(start..start + run.length * width)?);
        }
        let data = ArrayData::builder(arrow).len(self.cells).add_buffer(cells.into()).build();
        Some(data.map(make_array))
    }

    /// The runs put together from chunks of anything.
    fn gathered(&self, chunks: &[Option<&ArrayRef>]) -> Result<ArrayRef, ArrowError> {
        let mut sources = Vec::with_capacity(chunks.len());
        let source: Vec<Option<usize>> = chunks
            .iter()
            .map(|chunk| {
                sources.push(chunk.as_ref()?.to_data());
                Some(sources.len() - 1)
            })
            .collect();
        if sources.is_empty() {
            return Ok(new_null_array(&self.dtype.arrow(), self.cells));
        }
        let complete = source.iter().all(Option::is_some);
        let mut gathered = MutableArrayData::new(sources.iter().collect(), !complete, self.cells);
        for run in &self.runs {
            match source.get(run.chunk).copied().flatten() {
                Some(source) => gathered.try_extend(source, run.offset, run.offset + run.length),
                None => gathered.try_extend_nulls(run.length),
            }?;
        }
        Ok(make_array(gathered.freeze()))
    }
}

impl VariableIndex {
    /// The chunk at a coordinate of a dataset's array, unless nobody wrote it.
    pub fn find(&self, dataset: u32, coordinate: &[u32]) -> Option<ChunkRef> {
        for (number, segment) in self.segments.iter().enumerate().rev() {
            let rows = segment.index.rows(dataset);
            let deletes = segment.index.deletes(&rows);
            if let Some(row) = segment.index.find(rows, coordinate) {
                return Some(ChunkRef {
                    segment: u32::try_from(number).ok()?,
                    row: u32::try_from(row).ok()?,
                });
            }
            if deletes {
                return None;
            }
        }
        None
    }

    /// What is known of a chunk.
    pub fn statistics(&self, chunk: ChunkRef) -> Statistics {
        let segment = self.segments.get(chunk.segment as usize);
        segment.map(|segment| segment.index.statistics(chunk.row as usize)).unwrap_or_default()
    }

    /// What is known of the chunks that a region of a dataset's array crosses; `grid` has the array's chunks.
    pub fn statistics_of(&self, dataset: u32, grid: &ChunkGrid, region: &Region) -> Statistics {
        let mut all = Statistics::default();
        let unwritten =
            |cells: u64| Statistics { row_count: cells, null_count: cells, ..Statistics::default() };
        let spans = region.start.iter().copied().zip(region.shape.iter().copied());
        if grid.crossed_chunks(spans) > self.rows(dataset) {
            // Most were never written.
            let covered = grid.covered(region);
            for (chunk, coordinate) in self.chunks_of(dataset).filter(|(_, c)| grid.contains(c)) {
                let own = grid.region(coordinate);
                if own.intersect(&covered) == own {
                    all.merge(&self.statistics(chunk));
                }
            }
            all.merge(&unwritten((covered.cells() as u64).saturating_sub(all.row_count)));
            return all;
        }
        for coordinate in grid.crossing(region) {
            all.merge(&match self.find(dataset, &coordinate) {
                Some(chunk) => self.statistics(chunk),
                // Nobody wrote it.
                None => unwritten(grid.region(&coordinate).cells() as u64),
            });
        }
        all
    }

    /// The number of cells of a chunk.
    pub(crate) fn cells(&self, chunk: ChunkRef) -> usize {
        self.segments.get(chunk.segment as usize).map_or(0, |s| s.index.cells(chunk.row as usize).1.len())
    }

    /// The coordinate of a chunk.
    pub(crate) fn coordinate(&self, chunk: ChunkRef) -> &[u32] {
        let segment = self.segments.get(chunk.segment as usize);
        segment.map(|segment| segment.index.coordinate(chunk.row as usize)).unwrap_or_default()
    }

    /// True where every cell of a chunk is missing, so that there is nothing to read.
    pub fn all_missing(&self, chunk: ChunkRef) -> bool {
        let segment = self.segments.get(chunk.segment as usize);
        segment.is_some_and(|segment| segment.index.all_missing(chunk.row as usize))
    }

    /// True where some chunk has a cell that is NaN.
    pub fn has_nan(&self) -> bool {
        self.segments.iter().any(|segment| segment.index.has_nan())
    }

    /// The tables of chunks as they are stored: the file, its type, and the table of section "Index" of the
    /// format. They have chunks too that later ones replace or whose dataset is gone.
    pub fn tables(&self) -> impl Iterator<Item = (&str, DType, &RecordBatch)> {
        self.segments
            .iter()
            .map(|segment| (segment.file.as_str(), segment.entry.dtype, segment.index.table()))
    }

    /// The chunks that no later one replaces, in order of their tables: with the dataset and the coordinate.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = (ChunkRef, u32, &[u32])> {
        self.segments.iter().enumerate().flat_map(move |(number, segment)| {
            (0..segment.index.len()).filter(|&row| !segment.index.is_deletion(row)).filter_map(move |row| {
                let chunk = ChunkRef { segment: u32::try_from(number).ok()?, row: u32::try_from(row).ok()? };
                let (dataset, coordinate) = (segment.index.dataset(row), segment.index.coordinate(row));
                (self.find(dataset, coordinate) == Some(chunk)).then_some((chunk, dataset, coordinate))
            })
        })
    }

    /// The chunks of a dataset that no later one replaces, with their coordinates.
    fn chunks_of(&self, dataset: u32) -> impl Iterator<Item = (ChunkRef, &[u32])> {
        self.segments.iter().enumerate().flat_map(move |(number, segment)| {
            let rows = segment.index.rows(dataset).filter(|&row| !segment.index.is_deletion(row));
            rows.filter_map(move |row| {
                let chunk = ChunkRef { segment: u32::try_from(number).ok()?, row: u32::try_from(row).ok()? };
                let coordinate = segment.index.coordinate(row);
                (self.find(dataset, coordinate) == Some(chunk)).then_some((chunk, coordinate))
            })
        })
    }

    /// The rows of a dataset in all tables.
    fn rows(&self, dataset: u32) -> usize {
        self.segments.iter().map(|segment| segment.index.rows(dataset).len()).sum()
    }

    /// True where no table has a row of a dataset.
    fn is_unwritten(&self, dataset: u32) -> bool {
        self.rows(dataset) == 0
    }

    /// A chunk's place: the number of its table, and of its row there.
    pub fn place(&self, chunk: ChunkRef) -> (usize, usize) {
        (chunk.segment as usize, chunk.row as usize)
    }

    fn segment(&self, chunk: ChunkRef) -> Result<&Segment> {
        let segment = self.segments.get(chunk.segment as usize).map(AsRef::as_ref);
        segment.ok_or_else(|| Error::corrupt("an index", "it has no such segment"))
    }
}

/// Checks that there is memory for some cells. Arrow ends the process where there is none.
fn check_room(dtype: DType, cells: usize) -> Result<(), String> {
    /// Bytes that are always taken to be there.
    const SMALL: usize = 1 << 30;
    let bytes = cells.checked_mul(dtype.memory_width());
    let fits = bytes.is_some_and(|bytes| bytes <= SMALL || Vec::<u8>::new().try_reserve_exact(bytes).is_ok());
    if fits { Ok(()) } else { Err(format!("there is no memory for {cells} cells at once: read it in parts")) }
}

/// Checks that `region` lies in an array of `shape`.
pub(crate) fn check_region(dataset: &str, array: &str, region: &Region, shape: &[usize]) -> Result<()> {
    let (start, size) = (&region.start, &region.shape);
    let inside = start.len() == shape.len()
        && size.len() == shape.len()
        && start
            .iter()
            .zip(size)
            .zip(shape)
            .all(|((start, size), &limit)| start.checked_add(*size).is_some_and(|end| end <= limit));
    if inside {
        return Ok(());
    }
    Err(Error::Shape {
        dataset: dataset.to_owned(),
        array: array.to_owned(),
        reason: format!("the region of shape {size:?} at {start:?} does not lie in its shape {shape:?}"),
    })
}
