//! The caches of a store.

use std::hash::Hash;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef};
use quick_cache::sync::Cache;
use quick_cache::{OptionsBuilder, Weighter};

use crate::read::segment::Segment;

const MIB: u64 = 1024 * 1024;

/// The number of items that a cache is made for. It remembers as many dropped items, so that items
/// that are read repeatedly stay after the second read.
const ITEMS: usize = 1024;

/// The memory budget in bytes for cached data, shared by all arrays of a store. The caches keep
/// what is used most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheBudget {
    /// For indexes. The index of a million chunks of `f32` takes about 50 MB.
    pub indexes: u64,
    /// For decoded blocks.
    pub blocks: u64,
}

impl Default for CacheBudget {
    /// 512 MiB for indexes, 64 MiB for blocks.
    fn default() -> Self {
        Self { indexes: 512 * MIB, blocks: 64 * MIB }
    }
}

impl CacheBudget {
    /// No caching.
    pub const NONE: Self = Self { indexes: 0, blocks: 0 };
}

/// Consecutive cells of a block.
#[derive(Clone, Debug)]
pub(crate) struct Cells {
    /// The position of the first cell in the block.
    pub(crate) start: usize,
    pub(crate) values: ArrayRef,
}

impl Cells {
    /// True if they include all of the cells at these positions in the block.
    pub(crate) fn have(&self, cells: &Range<usize>) -> bool {
        self.start <= cells.start && cells.end <= self.start + self.values.len()
    }

    /// The cells at these positions in the block; `None` if some are not among these cells.
    pub(crate) fn slice(&self, cells: &Range<usize>) -> Option<ArrayRef> {
        self.have(cells).then(|| self.values.slice(cells.start - self.start, cells.len()))
    }
}

/// The caches of a store. All its generations share them, because a segment never changes.
#[derive(Debug)]
pub(crate) struct Caches {
    /// Segments by their path and by the number that is added to their ordinals.
    pub(crate) segments: Cache<(String, u32), Arc<Segment>, Weight>,
    /// Decoded blocks, by the number of their segment and their number in it.
    blocks: Cache<(u64, usize), Cells, Weight>,
    keeps_blocks: bool,
    numbers: AtomicU64,
}

/// Weighs items by their bytes in memory.
#[derive(Clone, Debug)]
pub(crate) struct Weight;

impl Weighter<(String, u32), Arc<Segment>> for Weight {
    fn weight(&self, (path, _): &(String, u32), segment: &Arc<Segment>) -> u64 {
        (path.len() + segment.memory()) as u64
    }
}

impl Weighter<(u64, usize), Cells> for Weight {
    fn weight(&self, _: &(u64, usize), cells: &Cells) -> u64 {
        cells.values.get_array_memory_size() as u64
    }
}

/// A cache with a single shard. With several shards, a large index would exceed the budget of each.
fn cache<Key: Eq + Hash, Value: Clone>(budget: u64) -> Cache<Key, Value, Weight>
where
    Weight: Weighter<Key, Value>,
{
    let options = OptionsBuilder::new()
        .shards(1)
        .estimated_items_capacity(ITEMS)
        .ghost_allocation(1.0)
        .weight_capacity(budget)
        .build();
    match options {
        Ok(options) => Cache::with_options(options, Weight, Default::default(), Default::default()),
        Err(_) => Cache::with_weighter(ITEMS, budget, Weight),
    }
}

impl Caches {
    pub(crate) fn new(budget: CacheBudget) -> Self {
        Self {
            segments: cache(budget.indexes),
            blocks: cache(budget.blocks),
            keeps_blocks: budget.blocks > 0,
            numbers: AtomicU64::new(0),
        }
    }

    /// A unique number for a segment that is opened.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// True if it has room for blocks.
    pub(crate) fn keeps_blocks(&self) -> bool {
        self.keeps_blocks
    }

    /// The cached cells of a block.
    pub(crate) fn block(&self, segment: u64, number: usize) -> Option<Cells> {
        self.blocks.get(&(segment, number))
    }

    pub(crate) fn keep_block(&self, segment: u64, number: usize, cells: &Cells) {
        self.blocks.insert((segment, number), cells.clone());
    }
}
