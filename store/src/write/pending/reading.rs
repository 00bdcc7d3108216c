//! Reading pending changes: where the cells of a changed array are.

use std::sync::Arc;

use super::Pending;
use super::open_chunk::OpenChunk;
use super::writers::Target;
use crate::error::{Error, Result};
use crate::model::grid::{ChunkGrid, Region};
use crate::model::schema::ArraySchema;
use crate::read::snapshot::check_region;

/// Where an array's cells are.
pub(crate) enum PendingRead {
    /// In the base, unchanged, under this ordinal of the dataset.
    Committed(u32),
    /// In chunks, some of which are pending.
    Chunks(PendingChunks),
}

/// An array of which chunks are pending.
pub(crate) struct PendingChunks {
    pub(crate) ordinal: u32,
    pub(crate) target: Target,
    pub(crate) schema: Arc<ArraySchema>,
    pub(crate) grid: ChunkGrid,
    /// The requested chunks: their coordinates, and where their cells are.
    pub(crate) chunks: Vec<(Vec<u32>, Source)>,
}

/// Where the cells of a chunk are.
pub(crate) enum Source {
    /// In memory, over the cells beneath.
    Open(OpenChunk),
    /// In a segment that is being written, or waits for the commit.
    Written,
    /// In the base.
    Committed,
    /// Nowhere: they are missing.
    Nothing,
}

impl Pending {
    /// Where the cells of a region of an array are; without a region, those of all its chunks.
    pub(crate) fn reading(&self, dataset: &str, array: &str, region: Option<&Region>) -> Result<PendingRead> {
        let missing = || Error::NoDataset { dataset: dataset.to_owned() };
        let none = || Error::NoArray { dataset: dataset.to_owned(), array: array.to_owned() };
        let ordinal = self.ordinal(dataset)?.ok_or_else(missing)?;
        let settled;
        let draft = match (self.drafts.get(&ordinal), ordinal.checked_sub(self.first_new())) {
            (Some(draft), _) => draft,
            (None, None) => return Ok(PendingRead::Committed(ordinal)),
            (None, Some(number)) => {
                settled = self.settled.draft(number, ordinal).ok_or_else(missing)?;
                &settled
            }
        };
        let found = draft.arrays.get(array).ok_or_else(none)?;
        let grid = found.grid();
        if let Some(region) = region {
            check_region(dataset, array, region, &found.shape)?;
        }
        let untouched = found.open.is_empty() && found.sealed.is_empty();
        if untouched && found.committed.as_deref() == Some(&grid) {
            return Ok(PendingRead::Committed(ordinal));
        }
        let all = Region::all(&found.shape);
        let chunks = grid.crossing(region.unwrap_or(&all)).into_iter().map(|coordinate| {
            let source = match found.open.get(&coordinate) {
                Some(chunk) => Source::Open(chunk.clone()),
                None if found.sealed.contains(grid.number(&coordinate)) => Source::Written,
                None => match &found.committed {
                    Some(committed) if committed.contains(&coordinate) => Source::Committed,
                    _ => Source::Nothing,
                },
            };
            (coordinate, source)
        });
        let target = self.target(array, found.schema.dtype, ordinal);
        let chunks = chunks.collect();
        Ok(PendingRead::Chunks(PendingChunks {
            ordinal,
            target,
            schema: Arc::clone(&found.schema),
            grid,
            chunks,
        }))
    }
}
