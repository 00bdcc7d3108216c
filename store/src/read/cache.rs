//! What a store keeps in memory of what it read.

use std::hash::Hash;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef};
use quick_cache::sync::Cache;
use quick_cache::{OptionsBuilder, Weighter};

use crate::read::segment::Segment;

const MIB: u64 = 1024 * 1024;

/// Items that a cache is made for. It remembers as many that it had to drop, so that what is read
/// again and again stays once it was read a second time.
const ITEMS: usize = 1024;

/// Bytes of memory for what was read, shared by all arrays of a store. What is used most stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheBudget {
    /// For indexes. A million chunks of `f32` take about 50 MB.
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
    /// Nothing is kept.
    pub const NONE: Self = Self { indexes: 0, blocks: 0 };
}

/// Consecutive cells of a block.
#[derive(Clone, Debug)]
pub(crate) struct Cells {
    /// The place of the first in the block.
    pub(crate) start: usize,
    pub(crate) values: ArrayRef,
}

impl Cells {
    /// True where they have all of some cells, given by their places in the block.
    pub(crate) fn have(&self, cells: &Range<usize>) -> bool {
        self.start <= cells.start && cells.end <= self.start + self.values.len()
    }

    /// Some of the cells, by their place in the block; `None` where they are not among these.
    pub(crate) fn slice(&self, cells: &Range<usize>) -> Option<ArrayRef> {
        self.have(cells).then(|| self.values.slice(cells.start - self.start, cells.len()))
    }
}

/// The caches of a store. Its generations share them: a segment never changes.
#[derive(Debug)]
pub(crate) struct Caches {
    /// Segments by path and by what is added to their ordinals of datasets.
    pub(crate) segments: Cache<(String, u32), Arc<Segment>, Weight>,
    /// Decoded blocks, by the number of their segment and their own.
    blocks: Cache<(u64, usize), Cells, Weight>,
    keeps_blocks: bool,
    numbers: AtomicU64,
}

/// Bytes in memory.
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

/// A cache in one piece: in several, each would have a share of the budget that a large index would
/// not fit.
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

    /// A number for a segment that is opened, which no other has had.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// True where it is worth giving blocks.
    pub(crate) fn keeps_blocks(&self) -> bool {
        self.keeps_blocks
    }

    /// What is kept of the cells of a block.
    pub(crate) fn block(&self, segment: u64, number: usize) -> Option<Cells> {
        self.blocks.get(&(segment, number))
    }

    pub(crate) fn keep_block(&self, segment: u64, number: usize, cells: &Cells) {
        self.blocks.insert((segment, number), cells.clone());
    }
}
