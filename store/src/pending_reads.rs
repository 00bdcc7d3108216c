//! Reading through a handle: committed data with pending changes on top.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::ArrayRef;

use crate::error::{Error, Result};
use crate::model::grid::Region;
use crate::model::statistics::Statistics;
use crate::read::snapshot::{ArrayRead, Plan, Snapshot, VariableIndex};
use crate::storage::requests::ReadMetrics;
use crate::store::Atlas;
use crate::write::changes::NewSegment;
use crate::write::pending::{OpenChunk, PendingChunks, PendingRead, Source};

/// Pending chunks, and what is needed to read them.
struct Found {
    base: Arc<Snapshot>,
    chunks: PendingChunks,
    /// The chunks that are still in memory, by their position among the chunks.
    peeked: HashMap<usize, ArrayRef>,
    /// Segments that no catalog names.
    segments: Vec<NewSegment>,
}

impl Atlas {
    /// The cells of a region, in row-major order, missing ones null.
    pub(crate) async fn cells(&self, dataset: &str, array: &str, region: Region) -> Result<ArrayRef> {
        let base = self.snapshot();
        base.load().await?;
        let reading = self.pending().reading(dataset, array, Some(&region))?;
        if let PendingRead::Committed(ordinal) = reading {
            let reads = [ArrayRead { dataset: ordinal, region }];
            let cells = base.read(array, &reads, &ReadMetrics::default()).await?.pop();
            return cells
                .ok_or_else(|| Error::NoArray { dataset: dataset.to_owned(), array: array.to_owned() });
        }
        let Some(found) = self.find(dataset, array, Some(&region)).await? else {
            // Another task has committed them meanwhile.
            return Box::pin(self.cells(dataset, array, region)).await;
        };
        let (committed, written) = found.indexes().await?;
        let PendingChunks { schema, grid, chunks, .. } = &found.chunks;
        let (mut cells, mut places) = (HashMap::new(), Vec::with_capacity(chunks.len()));
        for (place, (coordinate, source)) in chunks.iter().enumerate() {
            let values = match source {
                Source::Open(chunk) => {
                    let under = if chunk.is_over_written() { &written } else { &committed };
                    Some(found.assemble(chunk, under, coordinate).await?)
                }
                Source::Written => match found.peeked.get(&place) {
                    Some(values) => Some(values.clone()),
                    None => found.read(&written, coordinate).await?,
                },
                Source::Committed => found.read(&committed, coordinate).await?,
                Source::Nothing => None,
            };
            let there = values.map(|values| cells.insert(place, values)).map(|_| place);
            places.push((there, grid.region(coordinate).cells()));
        }
        let runs = grid.runs(&region);
        let plan = Plan { dtype: schema.dtype, cells: region.cells(), chunks: places, runs };
        plan.assemble(&cells).map_err(|reason| Error::corrupt(array, reason))
    }

    /// Statistics of all cells of an array.
    pub(crate) async fn statistics(&self, dataset: &str, array: &str) -> Result<Statistics> {
        let base = self.snapshot();
        let catalog = base.load().await?;
        let reading = self.pending().reading(dataset, array, None)?;
        if let PendingRead::Committed(ordinal) = reading {
            let none = || Error::NoArray { dataset: dataset.to_owned(), array: array.to_owned() };
            let dataset = catalog.dataset(ordinal).ok_or_else(none)?;
            let array = catalog.array(dataset, array).ok_or_else(none)?;
            let index = base.index(&array.name, &ReadMetrics::default()).await?;
            let grid = catalog.chunk_grid(dataset, array);
            return index.statistics_of(ordinal, &grid, &Region::all(grid.shape()));
        }
        let Some(found) = self.find(dataset, array, None).await? else {
            return Box::pin(self.statistics(dataset, array)).await;
        };
        let (committed, written) = found.indexes().await?;
        let PendingChunks { ordinal, target, grid, chunks, .. } = &found.chunks;
        let mut all = Statistics::default();
        for (place, (coordinate, source)) in chunks.iter().enumerate() {
            let known = |index: &VariableIndex| {
                index.find(*ordinal, coordinate).map(|chunk| index.statistics(chunk)).transpose()
            };
            let statistics = match source {
                Source::Open(chunk) => {
                    let under = if chunk.is_over_written() { &written } else { &committed };
                    let values = found.assemble(chunk, under, coordinate).await?;
                    Some(Statistics::of(&values, target.dtype))
                }
                Source::Written => match found.peeked.get(&place) {
                    Some(values) => Some(Statistics::of(values, target.dtype)),
                    None => known(&written)?,
                },
                Source::Committed => known(&committed)?,
                Source::Nothing => None,
            };
            all.merge(&statistics.unwrap_or_else(|| Statistics::missing(grid.region(coordinate).cells())));
        }
        Ok(all)
    }

    /// Where the chunks of a pending array are. `None` if the array is no longer pending.
    async fn find(&self, dataset: &str, array: &str, region: Option<&Region>) -> Result<Option<Found>> {
        let mut writers = self.writers().await;
        let (base, reading) = {
            let pending = self.pending();
            (Arc::clone(pending.base()), pending.reading(dataset, array, region)?)
        };
        let chunks = match reading {
            PendingRead::Committed(_) => return Ok(None),
            PendingRead::Chunks(chunks) => chunks,
        };
        let mut peeked = HashMap::new();
        let mut in_files = false;
        for (place, (coordinate, source)) in chunks.chunks.iter().enumerate() {
            match source {
                Source::Written => match writers.peek(&chunks.target, chunks.ordinal, coordinate) {
                    Some(values) => drop(peeked.insert(place, values)),
                    None => in_files = true,
                },
                Source::Open(chunk) => in_files |= chunk.is_over_written(),
                Source::Committed | Source::Nothing => {}
            }
        }
        // A file can be read once it is complete. Later chunks go to another file.
        if in_files {
            self.pending().poison();
            let complete = writers.finish_one(&chunks.target).await?;
            let mut pending = self.pending();
            pending.mend();
            pending.add_segments(complete);
        }
        let segments = self.pending().segments().to_vec();
        Ok(Some(Found { base, chunks, peeked, segments }))
    }
}

impl Found {
    /// The index of the committed chunks, and that of the chunks written since.
    async fn indexes(&self) -> Result<(VariableIndex, VariableIndex)> {
        let (variable, metrics) = (&self.chunks.target.variable, ReadMetrics::default());
        let committed = self.base.root().segments(variable).iter();
        let written = self.segments.iter().filter(|segment| segment.variable == *variable);
        let committed = self.base.index_of(variable, committed, &metrics).await?;
        let written = self.base.index_of(variable, written.map(|segment| &segment.entry), &metrics).await?;
        Ok((committed, written))
    }

    /// The cells of the chunk at `coordinate`, as in `index`.
    async fn read(&self, index: &VariableIndex, coordinate: &[u32]) -> Result<Option<ArrayRef>> {
        let Some(chunk) = index.find(self.chunks.ordinal, coordinate) else { return Ok(None) };
        Ok(self.base.chunks(index, &[chunk], &ReadMetrics::default()).await?.pop())
    }

    /// The cells of an open chunk, over the cells that `under` has of it.
    async fn assemble(
        &self,
        chunk: &OpenChunk,
        under: &VariableIndex,
        coordinate: &[u32],
    ) -> Result<ArrayRef> {
        let target = &self.chunks.target;
        let cells = chunk.assemble(target.dtype, self.read(under, coordinate).await?);
        cells.map_err(|e| Error::corrupt(&target.variable, e.to_string()))
    }
}
