//! What a store keeps in memory of what it read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::segment::Segment;

const MIB: u64 = 1024 * 1024;

/// Items that a cache is made for: so few that it is not split into shards, each with a share of the budget that a large
/// index would not fit.
const ITEMS: usize = 32;

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

/// The caches of a store. Its generations share them: a segment never changes.
#[derive(Debug)]
pub(crate) struct Caches {
    /// Segments by path.
    pub(crate) segments: Cache<String, Arc<Segment>, Weight>,
    /// Decoded blocks, by the number of their segment and their own.
    blocks: Cache<(u64, usize), ArrayRef, Weight>,
    keeps_blocks: bool,
    numbers: AtomicU64,
}

/// Bytes in memory.
#[derive(Clone, Debug)]
pub(crate) struct Weight;

impl Weighter<String, Arc<Segment>> for Weight {
    fn weight(&self, path: &String, segment: &Arc<Segment>) -> u64 {
        (path.len() + segment.memory()) as u64
    }
}

impl Weighter<(u64, usize), ArrayRef> for Weight {
    fn weight(&self, _: &(u64, usize), block: &ArrayRef) -> u64 {
        block.get_array_memory_size() as u64
    }
}

impl Caches {
    pub(crate) fn new(budget: CacheBudget) -> Self {
        Self {
            segments: Cache::with_weighter(ITEMS, budget.indexes, Weight),
            blocks: Cache::with_weighter(ITEMS, budget.blocks, Weight),
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

    pub(crate) fn block(&self, segment: u64, number: usize) -> Option<ArrayRef> {
        self.blocks.get(&(segment, number))
    }

    pub(crate) fn keep_block(&self, segment: u64, number: usize, block: &ArrayRef) {
        self.blocks.insert((segment, number), Arc::clone(block));
    }
}
