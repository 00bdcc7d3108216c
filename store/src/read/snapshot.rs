//! One generation of a store, to read from.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayData, ArrayRef, MutableArrayData, make_array, new_null_array};
use arrow::buffer::MutableBuffer;
use arrow::error::ArrowError;
use futures::{StreamExt, TryStreamExt, stream};

use crate::error::{Error, Result};
use crate::format::catalog::{Catalog, Part, Root, SegmentEntry};
use crate::format::index::{ChunkColumns, Index};
use crate::format::manifest::{self, ManifestEntry};
use crate::format::rows::Rows;
use crate::model::dtype::DType;
use crate::model::grid::{ChunkGrid, Region, Run};
use crate::model::statistics::Statistics;
use crate::read::cache::{Caches, Cells};
use crate::read::segment::Segment;
use crate::storage::blocking;
use crate::storage::files::Storage;
use crate::storage::names::{self, CATALOG_FILE};
use crate::storage::requests::ReadMetrics;

/// The number of requests to the storage at a time.
pub(super) const CONCURRENCY: usize = 8;

/// A generation of a store. It does not change while writers commit other generations.
#[derive(Clone, Debug)]
pub struct Snapshot {
    storage: Storage,
    caches: Arc<Caches>,
    root: Arc<Root>,
    /// Loaded on demand.
    catalog: Arc<OnceLock<Arc<Catalog>>>,
    /// Manifests that are already in memory.
    known: Arc<HashMap<String, Arc<Rows>>>,
}

/// The chunks of one variable, in all datasets.
#[derive(Debug)]
pub struct VariableIndex {
    /// Oldest first. Later segments replace chunks of earlier ones.
    pub(super) segments: Vec<Arc<Segment>>,
}

/// A chunk of a [`VariableIndex`], valid for that index only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkRef {
    pub(super) segment: usize,
    pub(super) row: usize,
}

/// A region of a variable in one dataset, to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrayRead {
    /// The dataset's ordinal.
    pub dataset: u32,
    /// The region, which must lie in the array.
    pub region: Region,
}

/// How to read one region: the chunks that it crosses, and its cells as runs in them.
pub(crate) struct Plan<K> {
    pub(crate) dtype: DType,
    pub(crate) cells: usize,
    /// The keys of the chunks' cells, `None` for chunks without values; and the number of cells
    /// that the grid gives the chunk.
    pub(crate) chunks: Vec<(Option<K>, usize)>,
    pub(crate) runs: Vec<Run>,
}

impl Snapshot {
    pub(crate) fn new(storage: Storage, caches: Arc<Caches>, root: Arc<Root>) -> Self {
        Self { storage, caches, root, catalog: Arc::default(), known: Arc::default() }
    }

    /// Another generation of the same store. It may share manifests with this one.
    pub(crate) fn at(&self, root: Root, rows: impl IntoIterator<Item = (String, Arc<Rows>)>) -> Self {
        let mut known: HashMap<String, Arc<Rows>> = rows.into_iter().collect();
        if let Some(catalog) = self.catalog.get() {
            let parts = catalog.manifests.iter().zip(catalog.manifest_parts());
            known.extend(parts.map(|(entry, part)| (entry.file.clone(), Arc::clone(part.rows()))));
        }
        known.retain(|file, _| root.manifests.iter().any(|entry| entry.file == *file));
        let (storage, caches) = (self.storage.clone(), Arc::clone(&self.caches));
        Self { storage, caches, root: Arc::new(root), catalog: Arc::default(), known: Arc::new(known) }
    }

    /// The content of `atlas.json`: the catalog without the datasets.
    pub fn root(&self) -> &Arc<Root> {
        &self.root
    }

    /// The catalog with all datasets. The first call loads the manifests, if the store has any, and
    /// blocks until they are loaded. Async callers can await [`load`](Self::load) first.
    ///
    /// # Errors
    /// If a manifest cannot be read, or is damaged.
    pub fn catalog(&self) -> Result<Arc<Catalog>> {
        if let Some(catalog) = self.loaded() {
            return catalog;
        }
        blocking::wait(self.load())
    }

    /// The catalog with all datasets. Waits asynchronously until it is loaded.
    ///
    /// # Errors
    /// Those of [`catalog`](Self::catalog).
    pub async fn load(&self) -> Result<Arc<Catalog>> {
        if let Some(catalog) = self.loaded() {
            return catalog;
        }
        let entries: Vec<_> = self.root.manifests.iter().map(|entry| self.manifest(entry)).collect();
        let parts = stream::iter(entries).buffered(CONCURRENCY).try_collect().await?;
        self.keep(parts)
    }

    /// The catalog, if it can be had without reading a file.
    fn loaded(&self) -> Option<Result<Arc<Catalog>>> {
        if let Some(catalog) = self.catalog.get() {
            return Some(Ok(Arc::clone(catalog)));
        }
        let parts = self.root.manifests.iter().map(|entry| Some(part(entry, self.known.get(&entry.file)?)));
        let parts = parts.collect::<Option<Vec<_>>>()?;
        Some(self.keep(parts))
    }

    fn keep(&self, parts: Vec<Part>) -> Result<Arc<Catalog>> {
        let catalog = Catalog::of(Arc::clone(&self.root), parts);
        let catalog = catalog.map_err(|reason| Error::corrupt(CATALOG_FILE, reason))?;
        Ok(Arc::clone(self.catalog.get_or_init(|| Arc::new(catalog))))
    }

    async fn manifest(&self, entry: &ManifestEntry) -> Result<Part> {
        if let Some(rows) = self.known.get(&entry.file) {
            return Ok(part(entry, rows));
        }
        let file = names::manifest_path(&entry.file);
        let bytes = self.storage.get(&file).await?;
        if bytes.len() as u64 != entry.size {
            return Err(Error::wrong_size(&file, entry.size, bytes.len() as u64));
        }
        entry.codec.check_built(&file)?;
        let rows = manifest::decode(entry, bytes).map_err(|reason| Error::corrupt(file, reason))?;
        Ok(part(entry, &Arc::new(rows)))
    }

    /// Where the store lies.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The index of a variable. Takes one request for each of its segments that is not in the
    /// cache.
    ///
    /// # Errors
    /// If a segment cannot be read, or is damaged.
    pub async fn index(&self, variable: &str, metrics: &ReadMetrics) -> Result<Arc<VariableIndex>> {
        self.index_of(variable, self.root.segments(variable).iter(), metrics).await.map(Arc::new)
    }

    /// The index of a variable, if all of it is in the cache.
    pub fn resident_index(&self, variable: &str) -> Option<VariableIndex> {
        let entries = self.root.variables.get(variable)?.iter();
        let segments = entries.map(|entry| self.caches.segments.peek(&(entry.path(variable), entry.first)));
        Some(VariableIndex { segments: segments.collect::<Option<_>>()? })
    }

    /// The combined index of segments of a variable, oldest first.
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
        self.caches.segments.get_or_insert_async(&(entry.path(variable), entry.first), open).await
    }

    /// The numbers of a variable's chunks, of their cells, and of the missing cells among these.
    ///
    /// # Errors
    /// Those of [`index`](Self::index), which is read if the catalog alone does not determine the
    /// numbers.
    pub async fn counts(&self, variable: &str, metrics: &ReadMetrics) -> Result<[u64; 3]> {
        if let Some(counts) = self.root.counts(variable) {
            return Ok(counts);
        }
        let (index, catalog) = (self.index(variable, metrics).await?, self.load().await?);
        let mut counts = [0; 3];
        for (chunk, ..) in index.live(&catalog, variable) {
            let known = index.statistics(chunk)?;
            let [chunks, cells, missing] = counts;
            counts = [chunks + 1, cells + known.row_count, missing + known.null_count];
        }
        Ok(counts)
    }

    /// Reads regions of a variable. Returns one array for each read, in the variable's type in that
    /// dataset, with cells in row-major order and missing cells null. Each block is read and
    /// decoded once.
    ///
    /// # Errors
    /// If a dataset has no such array, a region lies outside it, or a file cannot be read.
    #[cfg_attr(feature = "tracing", tracing::instrument(skip_all, fields(generation = self.root.generation, variable, reads = reads.len())))]
    pub async fn read(
        &self,
        variable: &str,
        reads: &[ArrayRead],
        metrics: &ReadMetrics,
    ) -> Result<Vec<ArrayRef>> {
        let index = self.index(variable, metrics).await?;
        self.read_from(&index, variable, reads, metrics).await
    }

    /// Like [`read`](Self::read), with an index that the caller has.
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
        let catalog = self.load().await?;
        let plans: Vec<_> =
            reads.iter().map(|read| plan(&catalog, index, variable, read)).collect::<Result<_>>()?;
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

    /// The cells of chunks. Each block is read and decoded once.
    pub(crate) async fn chunks(
        &self,
        index: &VariableIndex,
        chunks: &[ChunkRef],
        metrics: &ReadMetrics,
    ) -> Result<Vec<ArrayRef>> {
        // The cells needed of each block of each segment, from the first to the last needed one.
        let mut needed: BTreeMap<usize, BTreeMap<usize, Range<usize>>> = BTreeMap::new();
        let mut places = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let (block, cells) = index.index_of(*chunk)?.cells(chunk.row);
            let blocks = needed.entry(chunk.segment).or_default();
            let all = blocks.entry(block).or_insert_with(|| cells.clone());
            *all = all.start.min(cells.start)..all.end.max(cells.end);
            places.push((chunk.segment, block, cells));
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

    /// Cells of blocks of one segment, by the block's number. Blocks that are not in the cache are
    /// read.
    pub(super) async fn blocks(
        &self,
        index: &VariableIndex,
        segment: usize,
        wanted: Vec<(usize, Range<usize>)>,
        metrics: &ReadMetrics,
    ) -> Result<(usize, HashMap<usize, Cells>)> {
        let mut blocks = HashMap::with_capacity(wanted.len());
        let opened = index.segment(segment)?;
        let mut missing = Vec::new();
        for (number, cells) in wanted {
            let all = 0..opened.block(number)?.cells as usize;
            match self.caches.block(opened.number, number) {
                Some(kept) if kept.have(&cells) => drop(blocks.insert(number, kept)),
                // Queries want different parts of this block: decode all of it, so that the cache
                // has both parts.
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

fn part(entry: &ManifestEntry, rows: &Arc<Rows>) -> Part {
    Part::of_manifest(entry.first, entry.schemas.clone(), Arc::clone(rows))
}

pub(super) fn plan(
    catalog: &Catalog,
    index: &VariableIndex,
    variable: &str,
    read: &ArrayRead,
) -> Result<Plan<ChunkRef>> {
    let Some(dataset) = catalog.dataset(read.dataset) else {
        return Err(Error::NoDataset { dataset: format!("#{}", read.dataset) });
    };
    let Some(array) = catalog.array(dataset, variable) else {
        return Err(Error::NoArray { dataset: dataset.name().to_owned(), array: variable.to_owned() });
    };
    let shape = catalog.shape(dataset, array);
    check_region(dataset.name(), variable, &read.region, &shape)?;
    let grid = catalog.chunk_grid(dataset, array);
    let (dtype, cells) = (array.dtype, read.region.cells());
    let shape = || (dataset.name().to_owned(), variable.to_owned());
    check_room(dtype, cells).map_err(|reason| {
        let (dataset, array) = shape();
        Error::Shape { dataset, array, reason }
    })?;
    // The index and the array must agree on the size of a chunk before memory is allocated for it.
    let find = |coordinate: &[u32], cells: usize| {
        let found = index.find(read.dataset, coordinate);
        match found.map(|chunk| index.cells(chunk)).transpose()? {
            Some(other) if other != cells => {
                Err(cells_differ(variable, dataset.name(), other, coordinate, cells))
            }
            _ => Ok((found.filter(|chunk| !index.all_missing(*chunk)), cells)),
        }
    };
    if let Some(coordinate) = grid.chunk_of(&read.region) {
        let runs = vec![Run { chunk: 0, offset: 0, length: cells }];
        return Ok(Plan { dtype, cells, chunks: vec![find(&coordinate, cells)?], runs });
    }
    if index.is_unwritten(read.dataset) {
        // One run, however many chunks it has.
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

/// The error for an index whose chunk has another number of cells than the array implies.
pub(super) fn cells_differ(
    variable: &str,
    dataset: &str,
    found: usize,
    coordinate: &[u32],
    cells: usize,
) -> Error {
    let reason = format!(
        "its index has {found} cells for the chunk at {coordinate:?} of dataset `{dataset}`, which has {cells}"
    );
    Error::corrupt(variable, reason)
}

impl<K: Eq + Hash> Plan<K> {
    pub(crate) fn assemble(&self, cells: &HashMap<K, ArrayRef>) -> Result<ArrayRef, String> {
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

    /// The runs copied as bytes from chunks of numbers without missing cells.
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

    /// The runs gathered from chunks of any type.
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
    /// The chunk at a coordinate of a dataset's array, unless it was never written.
    pub fn find(&self, dataset: u32, coordinate: &[u32]) -> Option<ChunkRef> {
        for (number, segment) in self.segments.iter().enumerate().rev() {
            let rows = segment.index.rows(dataset);
            let deletes = segment.index.deletes(&rows);
            if let Some(row) = segment.index.find(rows, coordinate) {
                return Some(ChunkRef { segment: number, row });
            }
            if deletes {
                return None;
            }
        }
        None
    }

    /// The statistics of a chunk.
    ///
    /// # Errors
    /// If it is not a chunk of this index.
    pub fn statistics(&self, chunk: ChunkRef) -> Result<Statistics> {
        Ok(self.index_of(chunk)?.statistics(chunk.row))
    }

    /// The statistics of the chunks that a region of a dataset's array crosses. `grid` has the
    /// array's chunks.
    ///
    /// # Errors
    /// None, unless the index contradicts itself.
    pub fn statistics_of(&self, dataset: u32, grid: &ChunkGrid, region: &Region) -> Result<Statistics> {
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
                    all.merge(&self.statistics(chunk)?);
                }
            }
            all.merge(&unwritten((covered.cells() as u64).saturating_sub(all.row_count)));
            return Ok(all);
        }
        for coordinate in grid.crossing(region) {
            all.merge(&match self.find(dataset, &coordinate) {
                Some(chunk) => self.statistics(chunk)?,
                // The chunk was never written.
                None => unwritten(grid.region(&coordinate).cells() as u64),
            });
        }
        Ok(all)
    }

    /// The number of cells of a chunk.
    pub(crate) fn cells(&self, chunk: ChunkRef) -> Result<usize> {
        Ok(self.index_of(chunk)?.cells(chunk.row).1.len())
    }

    /// True if every cell of a chunk of this index is missing, so that there is nothing to read.
    pub fn all_missing(&self, chunk: ChunkRef) -> bool {
        // A chunk of another index is not missing: reading it reports the error.
        self.index_of(chunk).is_ok_and(|index| index.all_missing(chunk.row))
    }

    /// True if some chunk has a cell that is NaN.
    pub fn has_nan(&self) -> bool {
        self.segments.iter().any(|segment| segment.index.has_nan())
    }

    /// The chunks of each segment as columns, oldest segment first. [`place`](Self::place) gives
    /// the row of a chunk.
    pub fn columns(&self) -> impl Iterator<Item = ChunkColumns<'_>> {
        self.segments.iter().map(|segment| ChunkColumns::new(&segment.file, &segment.index))
    }

    /// The chunks that no later one replaces, in the order of their tables, with the dataset and
    /// the coordinate.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = (ChunkRef, u32, &[u32])> {
        self.segments.iter().enumerate().flat_map(move |(number, segment)| {
            (0..segment.index.len()).filter(|&row| !segment.index.is_deletion(row)).filter_map(move |row| {
                let chunk = ChunkRef { segment: number, row };
                let (dataset, coordinate) = (segment.index.dataset(row), segment.index.coordinate(row));
                (self.find(dataset, coordinate) == Some(chunk)).then_some((chunk, dataset, coordinate))
            })
        })
    }

    /// The chunks of a variable that datasets have, in the order of their tables, with the dataset
    /// and the coordinate.
    pub fn live<'a>(
        &'a self,
        catalog: &'a Catalog,
        variable: &'a str,
    ) -> impl Iterator<Item = (ChunkRef, u32, &'a [u32])> {
        self.chunks().filter(move |(_, dataset, coordinate)| {
            // The index may still have chunks of deleted datasets and arrays.
            let found = catalog
                .dataset(*dataset)
                .and_then(|dataset| Some((dataset, catalog.array(dataset, variable)?)));
            found.is_some_and(|(dataset, array)| catalog.chunk_grid(dataset, array).contains(coordinate))
        })
    }

    /// The chunks of a dataset that no later one replaces, with their coordinates.
    fn chunks_of(&self, dataset: u32) -> impl Iterator<Item = (ChunkRef, &[u32])> {
        self.segments.iter().enumerate().flat_map(move |(number, segment)| {
            let rows = segment.index.rows(dataset).filter(|&row| !segment.index.is_deletion(row));
            rows.filter_map(move |row| {
                let chunk = ChunkRef { segment: number, row };
                let coordinate = segment.index.coordinate(row);
                (self.find(dataset, coordinate) == Some(chunk)).then_some((chunk, coordinate))
            })
        })
    }

    /// The number of rows of a dataset in all tables.
    fn rows(&self, dataset: u32) -> usize {
        self.segments.iter().map(|segment| segment.index.rows(dataset).len()).sum()
    }

    /// True if no table has a row of a dataset.
    fn is_unwritten(&self, dataset: u32) -> bool {
        self.rows(dataset) == 0
    }

    /// The position of a chunk: the number of its segment in [`columns`](Self::columns), and of its
    /// row there.
    pub fn place(&self, chunk: ChunkRef) -> (usize, usize) {
        (chunk.segment, chunk.row)
    }

    /// The block of a chunk: the numbers of its segment and of the block in the segment.
    pub fn block(&self, chunk: ChunkRef) -> (usize, usize) {
        let block = self.index_of(chunk).map_or(usize::MAX, |index| index.cells(chunk.row).0);
        (chunk.segment, block)
    }

    fn segment(&self, number: usize) -> Result<&Segment> {
        let segment = self.segments.get(number).map(AsRef::as_ref);
        segment.ok_or_else(|| Error::internal("an index", format!("it has no segment {number}")))
    }

    /// The segment's index that contains a chunk.
    pub(super) fn index_of(&self, chunk: ChunkRef) -> Result<&Index> {
        let segment = self.segment(chunk.segment)?;
        if chunk.row < segment.index.len() {
            return Ok(&segment.index);
        }
        Err(Error::internal(&segment.file, format!("it has no chunk {}", chunk.row)))
    }
}

/// Checks that there is memory for some cells. Arrow ends the process if an allocation fails.
pub(super) fn check_room(dtype: DType, cells: usize) -> Result<(), String> {
    /// A size in bytes that is assumed to be available.
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

#[cfg(test)]
mod tests {
    use arrow::array::Int32Array;
    use object_store::memory::InMemory;

    use super::*;
    use crate::encoding::codec::Codec;
    use crate::read::cache::CacheBudget;
    use crate::write::segment::{SegmentFile, SegmentWriter};

    /// A segment of datasets 5 and 7, of one chunk each.
    async fn segment(storage: &Storage) -> SegmentEntry {
        let file = SegmentFile { directory: None, name: names::segment(DType::I32) };
        let mut writer = SegmentWriter::new(storage, "t", file, DType::I32, Codec::Zstd, 5);
        for dataset in [7, 5] {
            let cells = Arc::new(Int32Array::from_iter_values(0..dataset));
            writer.append(dataset.cast_unsigned(), vec![0], cells).await.unwrap();
        }
        let error = writer.append(4, vec![0], Arc::new(Int32Array::from_iter_values(0..4))).await;
        assert!(error.unwrap_err().to_string().contains("lies before its first"));
        writer.finish().await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_segment_is_moved_to_other_datasets_by_its_entry_alone() {
        let storage = Storage::new(Arc::new(InMemory::new()), "s".into());
        let entry = segment(&storage).await;
        assert_eq!(entry.first, 5);
        let caches = Arc::new(Caches::new(CacheBudget::default()));
        let snapshot = Snapshot::new(storage, caches, Arc::new(Root::empty(Codec::None)));
        let metrics = ReadMetrics::default();
        // The caches distinguish them.
        for first in [5, 0, 1000, 5] {
            let entry = SegmentEntry { first, ..entry.clone() };
            let index = snapshot.index_of("t", std::iter::once(&entry), &metrics).await.unwrap();
            let datasets: Vec<_> = index.chunks().map(|(_, dataset, _)| dataset).collect();
            assert_eq!(datasets, [first, first + 2]);
            let columns = index.columns().next().unwrap();
            assert_eq!((columns.file(), columns.dtype()), (entry.path("t").as_str(), DType::I32));
            assert_eq!(*columns.datasets().values(), datasets);
            let chunk = index.find(first + 2, &[0]).unwrap();
            let statistics = index.statistics(chunk).unwrap();
            assert_eq!((statistics.row_count, statistics.m2), (7, Some(28.0)));
            let cells = snapshot.chunks(&index, &[chunk], &metrics).await.unwrap();
            assert_eq!(*cells, [Arc::new(Int32Array::from_iter_values(0..7)) as ArrayRef]);
            assert!(index.find(first + 1, &[0]).is_none());
        }
        assert_eq!(metrics.requests(), 3 + 3, "three indexes, and the block of each");
        let entry = SegmentEntry { first: u32::MAX - 2, ..entry };
        let error = snapshot.index_of("t", std::iter::once(&entry), &metrics).await.unwrap_err();
        assert!(error.to_string().contains("more than a store can have"), "{error}");
    }

    #[tokio::test]
    async fn a_chunk_of_another_index_is_refused() {
        let storage = Storage::new(Arc::new(InMemory::new()), "s".into());
        let entry = segment(&storage).await;
        let caches = Arc::new(Caches::new(CacheBudget::default()));
        let snapshot = Snapshot::new(storage, caches, Arc::new(Root::empty(Codec::None)));
        let metrics = ReadMetrics::default();
        let index = snapshot.index_of("t", std::iter::once(&entry), &metrics).await.unwrap();
        for chunk in [ChunkRef { segment: 1, row: 0 }, ChunkRef { segment: 0, row: 2 }] {
            assert!(matches!(index.statistics(chunk), Err(Error::Internal { .. })));
            assert!(matches!(index.cells(chunk), Err(Error::Internal { .. })));
            assert!(snapshot.chunks(&index, &[chunk], &metrics).await.is_err());
        }
    }
}
