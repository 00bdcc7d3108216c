//! Regions of an array in many datasets as one array.
//!
//! Chunks of consecutive datasets mostly follow each other in a block. Regions that are whole
//! chunks are therefore found row by row in the index, and combined as pieces of blocks. No single
//! region needs an allocation.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BooleanBufferBuilder, GenericByteViewArray, GenericByteViewBuilder,
    MutableArrayData, make_array, new_null_array,
};
use arrow::buffer::{MutableBuffer, NullBuffer};
use arrow::datatypes::{BinaryViewType, ByteViewType, DataType, StringViewType};
use arrow::error::ArrowError;
use futures::{StreamExt, TryStreamExt, stream};

use super::cache::Cells;
use super::snapshot::{
    ArrayRead, CONCURRENCY, ChunkRef, Plan, Snapshot, VariableIndex, cells_differ, check_region, check_room,
    plan,
};
use crate::error::{Error, Result};
use crate::format::catalog::Catalog;
use crate::model::dtype::DType;
use crate::model::grid::{ChunkGrid, Fit, Region, Regions};
use crate::model::schema::ArraySchema;
use crate::storage::requests::ReadMetrics;

/// Iterates over the arrays of one variable in consecutive datasets.
#[derive(Clone, Debug)]
pub struct ArrayCursor<'a> {
    catalog: &'a Catalog,
    variable: &'a str,
    /// The schema of the last dataset, its array, and the positions of the array's dimensions.
    last: Option<(usize, Option<&'a Arc<ArraySchema>>)>,
    places: Vec<usize>,
    ordinal: Option<u32>,
    grid: ChunkGrid,
}

impl<'a> ArrayCursor<'a> {
    /// The arrays of a variable.
    pub fn new(catalog: &'a Catalog, variable: &'a str) -> Self {
        let (places, grid) = (Vec::new(), ChunkGrid::default());
        Self { catalog, variable, last: None, places, ordinal: None, grid }
    }

    /// The array of the dataset with this ordinal, and its chunks; `None` if the dataset lacks the
    /// array, or does not exist.
    pub fn at(&mut self, ordinal: u32) -> Option<(&'a Arc<ArraySchema>, &ChunkGrid)> {
        if self.ordinal == Some(ordinal) {
            return self.last.and_then(|(_, array)| array).map(|array| (array, &self.grid));
        }
        let dataset = self.catalog.dataset(ordinal)?;
        let array = match self.last {
            Some((schema, array)) if schema == dataset.schema() => array,
            _ => {
                let array = self.catalog.array(dataset, self.variable);
                let dims = &self.catalog.schema(dataset).dims;
                let place = |dim: &String| dims.iter().position(|other| other == dim);
                self.places.clear();
                self.places.extend(array.iter().flat_map(|array| &array.dims).filter_map(place));
                self.last = Some((dataset.schema(), array));
                array
            }
        };
        self.ordinal = Some(ordinal);
        let array = array?;
        let sizes = self.places.iter().filter_map(|&place| dataset.size_at(place));
        self.grid.set(sizes, &array.chunk);
        Some((array, &self.grid))
    }
}

/// Finds chunks in an index, requested in ascending order.
#[derive(Clone, Debug)]
pub struct ChunkFinder<'a> {
    index: &'a VariableIndex,
    /// For each segment, the row after the last one that was found.
    next: Vec<usize>,
}

impl<'a> ChunkFinder<'a> {
    /// The chunks of an index.
    pub fn new(index: &'a VariableIndex) -> Self {
        Self { index, next: vec![0; index.segments.len()] }
    }

    /// Finds a chunk, as [`VariableIndex::find`] does.
    pub fn find(&mut self, dataset: u32, coordinate: &[u32]) -> Option<ChunkRef> {
        for (number, segment) in self.index.segments.iter().enumerate().rev() {
            let index = &segment.index;
            let next = self.next.get_mut(number)?;
            let is_next = *next < index.len()
                && index.dataset(*next) == dataset
                && index.coordinate(*next) == coordinate
                && !index.is_deletion(*next);
            let row = if is_next {
                *next
            } else {
                let is_after = |row: usize| row >= index.len() || index.dataset(row) > dataset;
                // There is nothing to look for between two consecutive datasets.
                if is_after(*next) && next.checked_sub(1).is_none_or(|row| index.dataset(row) < dataset) {
                    continue;
                }
                let rows = index.rows(dataset);
                let deletes = index.deletes(&rows);
                match index.find(rows, coordinate) {
                    Some(row) => row,
                    None if deletes => return None,
                    None => continue,
                }
            };
            *next = row + 1;
            return Some(ChunkRef { segment: number, row });
        }
        None
    }
}

/// The result of [`Snapshot::read_joined`].
#[derive(Clone, Debug)]
pub struct Joined {
    /// The cells of the regions, one region after the other.
    pub cells: ArrayRef,
    /// The number of chunks that the regions cross, counted for each region.
    pub chunks: usize,
    /// The number of these chunks that have values, and were decoded.
    pub decoded: usize,
}

/// Consecutive cells of the result.
enum Piece {
    /// Cells of a block, given by its position among the blocks that are read.
    Cells {
        block: usize,
        start: usize,
        length: usize,
    },
    Missing(usize),
}

/// Pieces, and the blocks that contain them.
#[derive(Default)]
struct Pieces {
    pieces: Vec<Piece>,
    /// The position of each block, by its segment and number.
    places: HashMap<(usize, usize), usize>,
    /// For each block, its segment and number, and the cells that are needed of it.
    blocks: Vec<((usize, usize), Range<usize>)>,
    /// The block of the last piece.
    last: Option<((usize, usize), usize)>,
    chunks: usize,
    decoded: usize,
}

impl Pieces {
    fn push(&mut self, of: (usize, usize), cells: Range<usize>) {
        let block = match self.last {
            Some((last, block)) if last == of => block,
            _ => *self.places.entry(of).or_insert_with(|| {
                self.blocks.push((of, cells.clone()));
                self.blocks.len() - 1
            }),
        };
        self.last = Some((of, block));
        if let Some((_, wanted)) = self.blocks.get_mut(block) {
            *wanted = wanted.start.min(cells.start)..wanted.end.max(cells.end);
        }
        match self.pieces.last_mut() {
            Some(Piece::Cells { block: last, start, length })
                if *last == block && *start + *length == cells.start =>
            {
                *length += cells.len();
            }
            _ => self.pieces.push(Piece::Cells { block, start: cells.start, length: cells.len() }),
        }
    }

    fn push_missing(&mut self, cells: usize) {
        match self.pieces.last_mut() {
            Some(Piece::Missing(length)) => *length += cells,
            _ => self.pieces.push(Piece::Missing(cells)),
        }
    }

    /// Adds the pieces of a plan.
    fn push_plan(&mut self, plan: &Plan<ChunkRef>, index: &VariableIndex) -> Result<()> {
        for run in &plan.runs {
            let chunk = plan.chunks.get(run.chunk).and_then(|(chunk, _)| *chunk);
            match chunk {
                Some(chunk) => {
                    let (block, cells) = index.index_of(chunk)?.cells(chunk.row);
                    let start = cells.start + run.offset;
                    self.push((chunk.segment, block), start..start + run.length);
                }
                None => self.push_missing(run.length),
            }
        }
        self.chunks += plan.chunks.len();
        self.decoded += plan.chunks.iter().filter(|(chunk, _)| chunk.is_some()).count();
        Ok(())
    }
}

impl Snapshot {
    /// Reads regions of a variable as one array: the cells of each region in row-major order, one
    /// region after the other, missing cells null. The arrays must have one type, `dtype`. Each
    /// block is read and decoded once.
    ///
    /// # Errors
    /// If a dataset has no such array, a region lies outside it, or a file cannot be read.
    pub async fn read_joined(
        &self,
        index: &VariableIndex,
        variable: &str,
        regions: &Regions,
        dtype: DType,
        metrics: &ReadMetrics,
    ) -> Result<Joined> {
        let catalog = self.load().await?;
        let pieces = pieces(&catalog, index, variable, regions, dtype)?;
        let mut wanted: BTreeMap<usize, Vec<(usize, Range<usize>)>> = BTreeMap::new();
        for ((segment, number), cells) in &pieces.blocks {
            wanted.entry(*segment).or_default().push((*number, cells.clone()));
        }
        let reading: Vec<_> = wanted
            .into_iter()
            .map(|(segment, mut blocks)| {
                blocks.sort_unstable_by_key(|(number, _)| *number);
                self.blocks(index, segment, blocks, metrics)
            })
            .collect();
        let read: HashMap<usize, HashMap<usize, Cells>> =
            stream::iter(reading).buffered(CONCURRENCY).try_collect().await?;
        metrics.count_chunks(pieces.decoded);
        let blocks = pieces.blocks.iter().map(|((segment, number), cells)| {
            let block = read.get(segment).and_then(|blocks| blocks.get(number));
            block.filter(|block| block.have(cells) && *block.values.data_type() == dtype.arrow())
        });
        let blocks: Option<Vec<&Cells>> = blocks.collect();
        let blocks = blocks.ok_or_else(|| Error::corrupt(variable, "a chunk lies outside its block"))?;
        let cells = join(&pieces.pieces, &blocks, dtype);
        let cells = cells.map_err(|e| Error::corrupt(variable, e.to_string()))?;
        Ok(Joined { cells, chunks: pieces.chunks, decoded: pieces.decoded })
    }
}

fn pieces(
    catalog: &Catalog,
    index: &VariableIndex,
    variable: &str,
    regions: &Regions,
    dtype: DType,
) -> Result<Pieces> {
    let (mut arrays, mut finder) = (ArrayCursor::new(catalog, variable), ChunkFinder::new(index));
    let (mut pieces, mut coordinate) = (Pieces::default(), Vec::new());
    let mut all = 0usize;
    for (dataset, spans) in regions.iter() {
        let cells = spans.iter().map(|span| span.size).product::<usize>();
        all = all.saturating_add(cells);
        let fit = match arrays.at(dataset) {
            Some((array, grid)) if array.dtype == dtype && spans.len() == grid.shape().len() => {
                grid.fit(spans.iter().copied(), &mut coordinate)
            }
            Some((array, grid)) => {
                let name = catalog.dataset(dataset).map_or("", |dataset| dataset.name());
                check_region(name, variable, &Region::from(spans), grid.shape())?;
                let reason = format!("dataset `{name}` has {}, not {dtype}", array.dtype);
                return Err(Error::internal(variable, reason));
            }
            // The plan reports what is missing.
            None => Fit::Several,
        };
        if fit == Fit::Several {
            let read = ArrayRead { dataset, region: Region::from(spans) };
            pieces.push_plan(&plan(catalog, index, variable, &read)?, index)?;
            continue;
        }
        pieces.chunks += 1;
        match finder.find(dataset, &coordinate) {
            Some(chunk) if !index.all_missing(chunk) => {
                let (block, own) = index.index_of(chunk)?.cells(chunk.row);
                let grid = arrays.at(dataset).map(|(_, grid)| grid);
                let expected = grid.map_or(cells, |grid| grid.cells_of(&coordinate));
                if own.len() != expected {
                    let name = catalog.dataset(dataset).map_or("", |dataset| dataset.name());
                    return Err(cells_differ(variable, name, own.len(), &coordinate, expected));
                }
                let block = (chunk.segment, block);
                match grid.filter(|_| fit == Fit::Inside) {
                    Some(grid) => grid.runs_inside(spans, |offset, length| {
                        pieces.push(block, own.start + offset..own.start + offset + length);
                    }),
                    None => pieces.push(block, own),
                }
                pieces.decoded += 1;
            }
            _ => pieces.push_missing(cells),
        }
    }
    check_room(dtype, all).map_err(|reason| Error::Shape {
        dataset: format!("{} datasets", regions.len()),
        array: variable.to_owned(),
        reason,
    })?;
    Ok(pieces)
}

/// Concatenates pieces of blocks into one array.
fn join(pieces: &[Piece], blocks: &[&Cells], dtype: DType) -> std::result::Result<ArrayRef, ArrowError> {
    match pieces {
        [] => return Ok(dtype.array([])),
        [Piece::Missing(length)] => return Ok(new_null_array(&dtype.arrow(), *length)),
        [Piece::Cells { block, start, length }] => {
            if let Some(block) = blocks.get(*block) {
                return Ok(block.values.slice(start - block.start, *length));
            }
        }
        _ => {}
    }
    let length = |piece: &Piece| match piece {
        Piece::Cells { length, .. } | Piece::Missing(length) => *length,
    };
    let cells = pieces.iter().map(length).sum();
    let Some(first) = blocks.first() else { return Ok(new_null_array(&dtype.arrow(), cells)) };
    let short = match first.values.data_type() {
        DataType::Utf8View => join_short::<StringViewType>(pieces, blocks, cells),
        DataType::BinaryView => join_short::<BinaryViewType>(pieces, blocks, cells),
        _ => None,
    };
    if let Some(joined) = short {
        return Ok(joined);
    }
    let data: Vec<ArrayData> = blocks.iter().map(|block| block.values.to_data()).collect();
    let starts: Vec<usize> = blocks.iter().map(|block| block.start).collect();
    if let Some(width) = dtype.arrow().primitive_width() {
        return join_bytes(pieces, &data, &starts, width, cells);
    }
    let has_missing = pieces.iter().any(|piece| matches!(piece, Piece::Missing(_)));
    let mut joined = MutableArrayData::new(data.iter().collect(), has_missing, cells);
    for piece in pieces {
        match piece {
            Piece::Cells { block, start, length } => {
                let start = start - starts.get(*block).copied().unwrap_or_default();
                joined.try_extend(*block, start, start + length)?;
            }
            Piece::Missing(length) => joined.try_extend_nulls(*length)?,
        }
    }
    Ok(make_array(joined.freeze()))
}

/// Pieces of blocks of texts as one array of as many cells, where each text lies in its view.
fn join_short<T: ByteViewType>(pieces: &[Piece], blocks: &[&Cells], cells: usize) -> Option<ArrayRef> {
    let texts = |block: &&Cells| Some((block.values.as_byte_view_opt::<T>()?.clone(), block.start));
    let texts: Option<Vec<(GenericByteViewArray<T>, usize)>> = blocks.iter().map(texts).collect();
    let texts = texts.filter(|texts| texts.iter().all(|(texts, _)| texts.data_buffers().is_empty()))?;
    let mut joined = GenericByteViewBuilder::<T>::with_capacity(cells);
    for piece in pieces {
        match piece {
            Piece::Cells { block, start, length } => {
                let (texts, first) = texts.get(*block)?;
                joined.append_array(&texts.slice(start - first, *length));
            }
            Piece::Missing(length) => joined.append_array(&GenericByteViewArray::new_null(*length)),
        }
    }
    Some(Arc::new(joined.finish()))
}

/// Pieces of blocks of values of `width` bytes as one array of as many cells.
fn join_bytes(
    pieces: &[Piece],
    data: &[ArrayData],
    starts: &[usize],
    width: usize,
    cells: usize,
) -> std::result::Result<ArrayRef, ArrowError> {
    let has_nulls = pieces.iter().any(|piece| match piece {
        Piece::Cells { block, .. } => data.get(*block).is_some_and(|data| data.null_count() > 0),
        Piece::Missing(_) => true,
    });
    let mut validity = has_nulls.then(|| BooleanBufferBuilder::new(cells));
    let mut bytes = MutableBuffer::with_capacity(cells * width);
    for piece in pieces {
        match piece {
            Piece::Cells { block, start, length } => {
                let (Some(data), Some(first)) = (data.get(*block), starts.get(*block)) else { continue };
                let start = start - first;
                let own = (data.offset() + start) * width..(data.offset() + start + length) * width;
                let own = data.buffers().first().and_then(|buffer| buffer.get(own));
                bytes.extend_from_slice(own.unwrap_or_default());
                match (&mut validity, data.nulls()) {
                    (Some(validity), Some(nulls)) => {
                        validity.append_buffer(&nulls.inner().slice(start, *length));
                    }
                    (Some(validity), None) => validity.append_n(*length, true),
                    (None, _) => {}
                }
            }
            Piece::Missing(length) => {
                bytes.extend_zeros(length * width);
                validity.iter_mut().for_each(|validity| validity.append_n(*length, false));
            }
        }
    }
    let dtype = data.first().map_or(&DataType::Null, ArrayData::data_type);
    let nulls = validity.map(|mut validity| NullBuffer::new(validity.finish()));
    let joined = ArrayData::builder(dtype.clone()).len(cells).add_buffer(bytes.into()).nulls(nulls);
    Ok(make_array(joined.build()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::grid::Span;
    use crate::store::{Atlas, StoreConfig};

    /// A store with arrays `t` of several shapes and chunk sizes. Some are not written, some are
    /// written twice.
    async fn store(number: usize, text: bool, shapes: &[(usize, usize, usize)]) -> Atlas {
        let location = format!("memory:///joined-{number}-{text}");
        let atlas = Atlas::create_url(&location, StoreConfig::default()).await.unwrap();
        for (dataset, &(x, y, chunk)) in shapes.iter().enumerate() {
            let view = atlas.create_dataset(&format!("d{dataset}")).await.unwrap();
            let chunks = (chunk > 0).then(|| vec![chunk, 2]);
            let value = |x: usize, y: usize| (dataset * 1000 + x * 10 + y) % 7 * 100 + x * 10 + y;
            if text {
                view.define_array::<String>("t", &["x", "y"], &[x, y], chunks, None).unwrap();
                // Of some datasets too long for a view.
                let name = if dataset % 3 == 2 { "the value of the cell" } else { "cell" };
                let cells =
                    ndarray::Array2::from_shape_fn((x, y), |(x, y)| format!("{name} {}", value(x, y)));
                view.write_array("t", &[0, 0], cells.view().into_dyn()).await.unwrap();
            } else {
                view.define_array::<i32>("t", &["x", "y"], &[x, y], chunks, Some(300)).unwrap();
                if dataset % 4 != 3 {
                    let cells = ndarray::Array2::from_shape_fn((x, y), |(x, y)| value(x, y) as i32);
                    view.write_array("t", &[0, 0], cells.view().into_dyn()).await.unwrap();
                }
            }
            if dataset == shapes.len() / 2 {
                atlas.flush().await.unwrap();
            }
        }
        atlas.flush().await.unwrap();
        if !text && let Some(&(x, y, _)) = shapes.first() {
            let view = atlas.open_dataset("d0").await.unwrap();
            let cells = ndarray::Array2::from_elem((1, y), 5);
            view.write_array("t", &[x - 1, 0], cells.view().into_dyn()).await.unwrap();
            atlas.flush().await.unwrap();
        }
        atlas
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Reading regions together gives the same cells as reading them one by one.
        #[test]
        fn joined_regions_are_the_regions(
            number: u32,
            text: bool,
            shapes in prop::collection::vec((1usize..5, 1usize..5, 0usize..3), 1..8),
            reads in prop::collection::vec((0usize..8, 0usize..5, 0usize..5, 0usize..5, 0usize..5, any::<bool>()), 0..12),
            sorted: bool,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let atlas = store(number as usize, text, &shapes).await;
                let snapshot = atlas.snapshot();
                let metrics = ReadMetrics::default();
                let index = snapshot.index("t", &metrics).await.unwrap();
                let (mut regions, mut one_by_one) = (Regions::default(), Vec::new());
                let mut reads = reads;
                if sorted {
                    reads.sort();
                }
                for (dataset, a, b, c, d, whole) in reads {
                    let dataset = dataset % shapes.len();
                    let (x, y, _) = shapes[dataset];
                    let span = |start: usize, size: usize, all: usize| {
                        let start = if whole { 0 } else { start.min(all) };
                        Span { start, size: if whole { all } else { size.min(all - start) } }
                    };
                    let spans = [span(a, b, x), span(c, d, y)];
                    regions.push(dataset as u32, spans);
                    one_by_one.push(ArrayRead { dataset: dataset as u32, region: Region::from(&spans[..]) });
                }
                let dtype = if text { DType::String } else { DType::I32 };
                let joined = snapshot.read_joined(&index, "t", &regions, dtype, &metrics).await.unwrap();
                let single = snapshot.read_from(&index, "t", &one_by_one, &metrics).await.unwrap();
                let single: Vec<&dyn Array> = single.iter().map(AsRef::as_ref).collect();
                let expected =
                    if single.is_empty() { dtype.array([]) } else { arrow::compute::concat(&single).unwrap() };
                assert_eq!(&joined.cells, &expected);
                let mut finder = ChunkFinder::new(&index);
                for (chunk, dataset, coordinate) in index.chunks() {
                    assert_eq!(finder.find(dataset, coordinate), Some(chunk));
                    assert_eq!(finder.find(dataset, &[9, 9]), index.find(dataset, &[9, 9]));
                }
            });
        }
    }

    #[tokio::test]
    async fn a_region_of_another_type_or_place_is_refused() {
        let atlas = store(0, false, &[(2, 3, 0)]).await;
        let (snapshot, metrics) = (atlas.snapshot(), ReadMetrics::default());
        let index = snapshot.index("t", &metrics).await.unwrap();
        let read = async |dataset: u32, size: usize, dtype: DType| {
            let mut regions = Regions::default();
            regions.push(dataset, [Span { start: 0, size }, Span { start: 0, size: 3 }]);
            snapshot.read_joined(&index, "t", &regions, dtype, &metrics).await.map_err(|e| e.to_string())
        };
        assert_eq!(read(0, 2, DType::I32).await.unwrap().cells.len(), 6);
        assert!(read(0, 2, DType::F64).await.unwrap_err().contains("has i32, not f64"));
        assert!(read(0, 3, DType::I32).await.unwrap_err().contains("does not lie in its shape"));
        assert!(read(7, 2, DType::I32).await.unwrap_err().contains("#7"));
    }
}
