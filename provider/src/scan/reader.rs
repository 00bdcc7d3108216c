//! Reading the values of a column in boxes of rows, as one array at the column's level.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, UInt32Array, new_null_array};
use arrow::compute::{concat, take};
use atlas::{ArrayRead, DType, ReadMetrics, Region, Regions, Span, VariableIndex};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryReservation;

use super::boxes::{Boxes, Tile, runs_of_datasets};
use super::chunks::ColumnChunks;
use super::counters::Counters;
use super::expand::Expansion;
use super::large::{Held, LargeChunk, is_large, width};
use crate::error::from_store;
use crate::tables::columns::Table;
use crate::tables::layout::Origin;
use crate::tables::level::Level;

/// The accounts to which reading is charged.
pub struct Reading<'a> {
    pub counters: &'a Counters,
    pub metrics: &'a ReadMetrics,
    /// The reservation for data that was read and is still in memory.
    pub memory: &'a MemoryReservation,
}

/// Reads the columns of a table for a scan.
pub struct Reader {
    pub table: Table,
    /// The large chunks that the scan keeps; `None` if each chunk is wanted once.
    held: Option<Held>,
}

/// The source of a box's values.
enum Part {
    /// A number of cells of the array that was read, unchanged.
    Cells(usize),
    /// Values that were assembled for the box.
    Own(ArrayRef),
    /// A number of missing values.
    Missing(usize),
}

impl Reader {
    /// A reader of a table's columns. With `all`, all parts of large chunks are wanted, one after
    /// the other.
    pub fn new(table: Table, all: bool) -> Self {
        Self { table, held: all.then(Held::default) }
    }

    /// The values of a column in boxes, one box after the other. A box has one value for each
    /// combination of indices along the dimensions of the column's level.
    pub async fn column(&self, column: usize, boxes: &Boxes, reading: &Reading<'_>) -> Result<ArrayRef> {
        let variable = self.table.layout.variable(column);
        if boxes.is_empty() {
            return Ok(new_null_array(&self.table.data_type(column), 0));
        }
        match variable {
            None if self.table.layout.is_of_datasets(column) => self.of_datasets(column, boxes),
            None => match self.index_spans(column, boxes) {
                Some(spans) => self.table.shown(indices(spans), column, false),
                None => self.assemble(column, boxes, None, reading).await,
            },
            Some(variable) => {
                let index = self.table.index(variable, reading.metrics).await?;
                match self.direct(column, boxes) {
                    Some((regions, dtype)) => {
                        let values = self.joined(column, &index, &regions, dtype, reading).await?;
                        self.table.shown(values, column, index.has_nan())
                    }
                    None => self.assemble(column, boxes, Some(&index), reading).await,
                }
            }
        }
    }

    /// The same for coordinates. They are read to reduce boxes, and do not count among the chunks
    /// of the scan.
    pub async fn quietly(&self, column: usize, boxes: &Boxes, reading: &Reading<'_>) -> Result<ArrayRef> {
        let counters = Counters::apart();
        self.column(column, boxes, &Reading { counters: &counters, ..*reading }).await
    }

    /// The indices that a column is in each box, where it is the index along its dimension in all of
    /// them.
    pub fn index_spans(&self, column: usize, boxes: &Boxes) -> Option<Vec<Span>> {
        let chunks = ColumnChunks::new(&self.table, column);
        let span = |tile: Tile<'_>| match chunks.origin(&tile) {
            Origin::Index(dim) => tile.spans.get(*dim).copied(),
            _ => None,
        };
        boxes.iter().map(span).collect()
    }

    /// A column with one value for each box.
    fn of_datasets(&self, column: usize, boxes: &Boxes) -> Result<ArrayRef> {
        let (datasets, places) = runs_of_datasets(boxes);
        let values = self.table.of_datasets(column, &datasets)?;
        if datasets.len() == boxes.len() {
            return Ok(values);
        }
        Ok(take(&values, &UInt32Array::from(places), None)?)
    }

    /// The regions whose cells are a column's values without any change, if all boxes have such
    /// regions, and their type.
    fn direct(&self, column: usize, boxes: &Boxes) -> Option<(Regions, DType)> {
        let width = width(&self.table.data_type(column));
        let (mut chunks, mut regions) = (ColumnChunks::new(&self.table, column), Regions::default());
        let mut dtype = None;
        for tile in boxes.iter() {
            let array = chunks.of(&tile)?;
            let own = array.schema.dtype;
            if !array.direct || *dtype.get_or_insert(own) != own || is_large(array.chunks, width) {
                return None;
            }
            regions.push(tile.dataset, array.spans(&tile));
        }
        Some((regions, dtype?))
    }

    /// The cells of regions that are not parts of large chunks. Their memory is reserved before it
    /// is used: twice while they are decoded, once for as long as `reading` goes on.
    async fn joined(
        &self,
        column: usize,
        index: &VariableIndex,
        regions: &Regions,
        dtype: DType,
        reading: &Reading<'_>,
    ) -> Result<ArrayRef> {
        let (layout, table) = (&self.table.layout, &self.table);
        let variable = layout.variable(column).unwrap_or_default();
        let cells: usize = regions.iter().map(|(_, spans)| cells(spans)).sum();
        let bytes = cells.saturating_mul(width(&table.data_type(column)));
        reading.memory.try_grow(bytes.saturating_mul(2))?;
        let read = table.snapshot.read_joined(index, variable, regions, dtype, reading.metrics).await;
        reading.memory.shrink(bytes);
        let read = read.map_err(from_store)?;
        reading.counters.count_read(read.chunks, read.decoded);
        Ok(read.cells)
    }

    /// The values of a column whose boxes have different origins, types or dimensions.
    async fn assemble(
        &self,
        column: usize,
        boxes: &Boxes,
        index: Option<&VariableIndex>,
        reading: &Reading<'_>,
    ) -> Result<ArrayRef> {
        let (table, layout) = (&self.table, &self.table.layout);
        let (level, data_type) = (layout.level(column), table.data_type(column));
        let mut chunks = ColumnChunks::new(table, column);
        // For each type, the regions of arrays whose cells are the values without any change.
        let mut regions: Vec<(DType, Regions)> = Vec::new();
        let mut parts = Vec::with_capacity(boxes.len());
        let mut kinds = Vec::with_capacity(boxes.len());
        for (place, tile) in boxes.iter().enumerate() {
            let count = tile.values(layout, level);
            if let Origin::Index(dim) = chunks.origin(&tile) {
                let span = tile.spans.get(*dim).copied().unwrap_or_default();
                let values = table.shown(indices([span]), column, false)?;
                parts.push(Part::Own(self.raised(values, &[*dim], &tile, level)?));
                kinds.push(0);
                continue;
            }
            let (Some(array), Some(index)) = (chunks.of(&tile), index) else {
                parts.push(Part::Missing(count));
                kinds.push(0);
                continue;
            };
            let spans: Vec<Span> = array.spans(&tile).collect();
            if array.direct && !is_large(array.chunks, width(&data_type)) {
                let dtype = array.schema.dtype;
                let kind = regions.iter().position(|(known, _)| *known == dtype);
                let kind = kind.unwrap_or_else(|| {
                    regions.push((dtype, Regions::default()));
                    regions.len() - 1
                });
                if let Some((_, regions)) = regions.get_mut(kind) {
                    regions.push(tile.dataset, spans);
                }
                parts.push(Part::Cells(count));
                kinds.push(kind);
                continue;
            }
            let (dims, dtype) = (array.dims.to_vec(), array.schema.dtype);
            let large = LargeChunk::around(tile.dataset, array.chunks, &spans, width(&data_type));
            let values = match large {
                Some(chunk) => self.part_of_large(column, index, &chunk, &spans, reading).await?,
                None => {
                    let mut one = Regions::default();
                    one.push(tile.dataset, spans);
                    let values = self.joined(column, index, &one, dtype, reading).await?;
                    table.shown(values, column, index.has_nan())?
                }
            };
            parts.push(Part::Own(self.raised(values, &dims, &boxes.get(place), level)?));
            kinds.push(0);
        }
        let mut read = Vec::with_capacity(regions.len());
        for (dtype, regions) in &regions {
            if let Some(index) = index {
                let values = self.joined(column, index, regions, *dtype, reading).await?;
                read.push((table.shown(values, column, index.has_nan())?, 0));
            }
        }
        let mut pieces: Vec<ArrayRef> = Vec::with_capacity(parts.len());
        for (part, kind) in parts.into_iter().zip(kinds) {
            pieces.push(match part {
                Part::Own(values) => values,
                Part::Missing(count) => new_null_array(&data_type, count),
                Part::Cells(count) => match read.get_mut(kind) {
                    Some((values, start)) => {
                        *start += count;
                        values.slice(*start - count, count)
                    }
                    None => new_null_array(&data_type, count),
                },
            });
        }
        match pieces.as_slice() {
            [piece] => Ok(Arc::clone(piece)),
            _ => Ok(concat(&pieces.iter().map(AsRef::as_ref).collect::<Vec<_>>())?),
        }
    }

    /// Values over the dimensions `dims` of a box, expanded to a level.
    fn raised(&self, values: ArrayRef, dims: &[usize], tile: &Tile<'_>, level: Level) -> Result<ArrayRef> {
        let layout = &self.table.layout;
        let Some(own) = layout.schema(tile.schema as usize) else { return Ok(values) };
        let mut values = values;
        let mut sorted = dims.to_vec();
        sorted.sort_unstable();
        if sorted != dims {
            values = take(&values, &transposed(tile, dims, &sorted), None)?;
        }
        let table_dim = |&dim: &usize| own.dims.get(dim).map(|&(dim, _)| dim);
        let from = Level::of(sorted.iter().filter_map(table_dim));
        let mut boxes = Boxes::default();
        boxes.push(tile);
        Expansion { boxes: &boxes, layout, from, to: level }.array(&values)
    }

    /// A part of a large chunk. The memory of the chunk is reserved before it is used.
    async fn part_of_large(
        &self,
        column: usize,
        index: &VariableIndex,
        chunk: &LargeChunk,
        spans: &[Span],
        reading: &Reading<'_>,
    ) -> Result<ArrayRef> {
        let table = &self.table;
        let of_cells = |cells: usize| cells.saturating_mul(width(&table.data_type(column)));
        let variable = table.layout.variable(column).unwrap_or_default();
        let decoded = of_cells(chunk.region.cells());
        let is_large = |error: DataFusionError| {
            let (cells, bytes) = (chunk.region.cells(), decoded.saturating_mul(2) / 1_000_000);
            error.context(format!(
                "a chunk of `{variable}` has {cells} cells, which take {bytes} MB while they are decoded"
            ))
        };
        reading.memory.try_grow(of_cells(cells(spans))).map_err(is_large)?;
        reading.counters.count_read(1, 1);
        let region = Region::from(spans);
        if let Some(values) = self.held.as_ref().and_then(|held| held.get(column, chunk)) {
            return chunk.cut(&values, &region);
        }
        if let Some(held) = &self.held {
            held.release(column);
        }
        let memory = reading.memory.new_empty();
        memory.try_grow(decoded.saturating_mul(2)).map_err(is_large)?;
        let whole = [ArrayRead { dataset: chunk.dataset, region: chunk.region.clone() }];
        let read = table.snapshot.read_from(index, variable, &whole, reading.metrics).await;
        let Some(values) = read.map_err(from_store)?.pop() else {
            return Ok(new_null_array(&table.data_type(column), region.cells()));
        };
        let values = table.shown(values, column, index.has_nan())?;
        let part = chunk.cut(&values, &region)?;
        if let Some(held) = &self.held {
            memory.shrink(decoded);
            held.put(column, chunk.clone(), values, memory);
        }
        Ok(part)
    }
}

/// The number of cells of a region.
fn cells(spans: &[Span]) -> usize {
    spans.iter().fold(1, |cells, span| cells.saturating_mul(span.size))
}

fn indices(spans: impl IntoIterator<Item = Span>) -> ArrayRef {
    let index = |i: usize| i64::try_from(i).unwrap_or(i64::MAX);
    let mut indices = Vec::new();
    spans.into_iter().for_each(|span| indices.extend((span.start..span.end()).map(index)));
    Arc::new(Int64Array::from(indices))
}

/// For each cell of a box over the `sorted` dimensions, the cell of an array over the same
/// dimensions in the order of `dims`.
fn transposed(tile: &Tile<'_>, dims: &[usize], sorted: &[usize]) -> UInt32Array {
    let size = |dim: usize| tile.spans.get(dim).map_or(1, |span| span.size);
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    // The stride of each dimension of the array, from the fastest on.
    let mut stride = 1;
    let mut strides = Vec::with_capacity(dims.len());
    for &dim in dims.iter().rev() {
        strides.push((dim, stride));
        stride *= size(dim);
    }
    let mut cells = vec![0];
    for &dim in sorted {
        let stride = strides.iter().find(|(other, _)| *other == dim).map_or(0, |(_, stride)| *stride);
        cells = cells.into_iter().flat_map(|cell| (0..size(dim)).map(move |i| cell + i * stride)).collect();
    }
    UInt32Array::from_iter_values(cells.into_iter().map(number))
}
