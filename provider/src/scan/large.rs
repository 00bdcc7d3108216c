//! Chunks that are too large to be decoded again for each part that is wanted.
//!
//! A chunk is decoded as a whole, but the rows of a large chunk are processed in parts. A scan
//! therefore keeps the last large chunk of each column, and reserves its memory in the session's
//! memory pool.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::ArrayRef;
use arrow::compute::concat;
use arrow::datatypes::DataType;
use atlas::{ChunkGrid, Fit, Region, Span};
use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryReservation;

/// The size in bytes from which on a decoded chunk is large. Smaller chunks fit the store's cache
/// of blocks.
const LARGE: usize = 16 << 20;

/// The size of a value whose type does not determine it: a view of text.
const VIEW_BYTES: usize = 16;

/// The size of a value in memory, without the text behind a view.
pub fn width(data_type: &DataType) -> usize {
    data_type.primitive_width().unwrap_or(VIEW_BYTES)
}

/// True if a chunk of values of `width` bytes may be large.
pub fn is_large(chunks: &ChunkGrid, width: usize) -> bool {
    let cells = chunks.chunk().iter().fold(1usize, |cells, &size| cells.saturating_mul(size));
    cells.saturating_mul(width) >= LARGE
}

/// A large chunk of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LargeChunk {
    /// The dataset's ordinal.
    pub dataset: u32,
    /// The cells of the chunk.
    pub region: Region,
}

impl LargeChunk {
    /// The large chunk that contains `region` of an array and is larger than it, if there is one.
    /// `width` is the size of a value.
    pub fn around(dataset: u32, grid: &ChunkGrid, region: &[Span], width: usize) -> Option<Self> {
        let mut coordinate = Vec::new();
        if !is_large(grid, width) || grid.fit(region.iter().copied(), &mut coordinate) == Fit::Several {
            return None;
        }
        let (chunk, region) = (grid.region(&coordinate), Region::from(region));
        let is_large = chunk.cells().saturating_mul(width) >= LARGE && chunk.cells() > region.cells();
        is_large.then_some(Self { dataset, region: chunk })
    }

    /// The values of `region`, sliced from those of the chunk.
    pub fn cut(&self, values: &ArrayRef, region: &Region) -> Result<ArrayRef> {
        let start: Vec<usize> =
            region.start.iter().zip(&self.region.start).map(|(start, origin)| start - origin).collect();
        let within = Region::new(start, region.shape.clone());
        let runs = ChunkGrid::new(&self.region.shape, &self.region.shape).runs(&within);
        let parts: Vec<ArrayRef> = runs.iter().map(|run| values.slice(run.offset, run.length)).collect();
        Ok(match parts.as_slice() {
            [part] => Arc::clone(part),
            parts => concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>())?,
        })
    }
}

/// The large chunks that a scan keeps: the last one of each column.
#[derive(Debug, Default)]
pub struct Held(Mutex<HashMap<usize, HeldChunk>>);

#[derive(Debug)]
struct HeldChunk {
    chunk: LargeChunk,
    values: ArrayRef,
    /// Reserves the memory of the values until they are dropped.
    _memory: MemoryReservation,
}

impl Held {
    /// The values of a chunk, if they are kept for a column.
    pub fn get(&self, column: usize, chunk: &LargeChunk) -> Option<ArrayRef> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(&column).filter(|held| held.chunk == *chunk).map(|held| Arc::clone(&held.values))
    }

    /// Drops the chunk that is kept for a column.
    pub fn release(&self, column: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&column);
    }

    /// Keeps the values of a chunk for a column, together with the reservation of their memory.
    pub fn put(&self, column: usize, chunk: LargeChunk, values: ArrayRef, memory: MemoryReservation) {
        let held = HeldChunk { chunk, values, _memory: memory };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(column, held);
    }
}
