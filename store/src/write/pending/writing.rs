//! Writing: cells to chunks, chunks to segments, and pending changes to a commit.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};

use super::draft::{Complete, Replaces};
use super::open_chunk::{OpenChunk, Under};
use super::writers::{Target, Writers};
use super::{Pending, shape_error};
use crate::error::{Error, Result};
use crate::format::record::Written;
use crate::model::dtype::DType;
use crate::model::grid::Region;
use crate::read::snapshot::{Snapshot, VariableIndex, check_region};
use crate::storage::requests::ReadMetrics;
use crate::write::changes::{Changes, NewSegment};

/// The number of chunks that are merged at a time.
const MERGED: usize = 32;

/// Complete chunks of one array, to be written to a segment.
pub(crate) struct Writing {
    target: Target,
    ordinal: u32,
    /// True if chunks of the array in earlier segments must be deleted first.
    deletes: bool,
    complete: Vec<Complete>,
}

/// A chunk to merge with the cells beneath: its dataset's ordinal, its coordinate, its cells.
type Merge = (u32, Vec<u32>, OpenChunk);

/// The data that is still in memory when everything is to be committed.
#[derive(Default)]
pub(crate) struct Rest {
    deletions: Vec<(Target, u32)>,
    over_committed: BTreeMap<Target, Vec<Merge>>,
    /// Parts of chunks that were complete before.
    over_written: BTreeMap<Target, Vec<Merge>>,
}

impl Writing {
    pub(crate) async fn append(self, base: &Snapshot, writers: &mut Writers) -> Result<()> {
        let writer = writers.of(base, &self.target);
        if self.deletes {
            writer.delete(self.ordinal)?;
        }
        for (coordinate, cells) in self.complete {
            writer.append(self.ordinal, coordinate, cells).await?;
        }
        Ok(())
    }
}

impl Pending {
    pub(super) fn target(&self, variable: &str, dtype: DType, ordinal: u32) -> Target {
        Target { variable: variable.to_owned(), dtype, of_new: ordinal >= self.first_new() }
    }

    /// Writes the cells of a region, in row-major order. Cells that are null or equal the fill
    /// value are missing. Returns the chunks that are now complete, if any. The changes are
    /// poisoned until these chunks are being written.
    pub(crate) fn write(
        &mut self,
        dataset: &str,
        array: &str,
        region: &Region,
        cells: ArrayRef,
    ) -> Result<Option<Writing>> {
        let draft = self.draft(dataset)?;
        let ordinal = draft.ordinal;
        let pending = draft.array(array)?;
        let schema = Arc::clone(&pending.schema);
        if DType::from_arrow(cells.data_type()) != Some(schema.dtype) {
            return Err(Error::WrongType {
                dataset: dataset.to_owned(),
                array: array.to_owned(),
                expected: schema.dtype,
                found: DType::from_arrow(cells.data_type())
                    .map_or_else(|| cells.data_type().to_string(), |dtype| dtype.to_string()),
            });
        }
        check_region(dataset, array, region, &pending.shape)?;
        if region.cells() != cells.len() {
            let (found, shape) = (cells.len(), &region.shape);
            let reason = format!("{found} values were given for a region of shape {shape:?}");
            return Err(shape_error(dataset, array, reason));
        }
        let cells = match &schema.fill {
            Some(fill) => schema.dtype.mask(&cells, fill),
            None => cells,
        };
        let complete = pending.write(region, &cells);
        let deletes = pending.replaces == Replaces::Due;
        let due = deletes && complete.as_ref().is_ok_and(|complete| !complete.is_empty());
        if due {
            pending.replaces = Replaces::Done;
        }
        // From here on, a failure leaves the array partially written.
        self.poison();
        let complete = complete.map_err(|e| shape_error(dataset, array, e.to_string()))?;
        if complete.is_empty() {
            self.mend();
            return Ok(None);
        }
        let target = self.target(array, schema.dtype, ordinal);
        Ok(Some(Writing { target, ordinal, deletes, complete }))
    }

    /// Takes the data that is still in memory.
    pub(crate) fn take_rest(&mut self) -> Rest {
        let mut rest = Rest::default();
        let first_new = self.first_new();
        for draft in self.drafts.values_mut().filter(|draft| !draft.deleted) {
            let of_new = draft.ordinal >= first_new;
            for array in draft.arrays.iter_mut() {
                let (variable, dtype) = (array.schema.name.clone(), array.schema.dtype);
                let target = Target { variable, dtype, of_new };
                if array.replaces == Replaces::Due {
                    array.replaces = Replaces::Done;
                    rest.deletions.push((target.clone(), draft.ordinal));
                }
                let grid = array.grid();
                for (coordinate, chunk) in std::mem::take(&mut array.open) {
                    array.sealed.insert(grid.number(&coordinate));
                    let merges = match chunk.under() {
                        Under::Written(_) => &mut rest.over_written,
                        Under::Committed(_) | Under::Nothing => &mut rest.over_committed,
                    };
                    let merge = (draft.ordinal, coordinate, chunk);
                    merges.entry(target.clone()).or_default().push(merge);
                }
            }
        }
        let sort = |merges: &mut BTreeMap<Target, Vec<Merge>>| {
            merges.values_mut().for_each(|merges| merges.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1))));
        };
        sort(&mut rest.over_committed);
        sort(&mut rest.over_written);
        rest.deletions.sort();
        rest
    }

    /// All pending changes. Their chunks are in segments.
    pub(crate) fn changes(&mut self) -> Result<Changes> {
        let first_new = self.first_new();
        let mut changes = Changes { attributes: self.attributes.clone(), ..Changes::default() };
        if self.settled.created() > 0 {
            changes.added = self.added()?;
        }
        for draft in self.drafts.values().filter(|draft| draft.ordinal < first_new) {
            if draft.deleted {
                changes.changed.insert(draft.ordinal, None);
                continue;
            }
            let was = self.committed(draft)?;
            if was.as_ref() != Some(&draft.changed()) {
                changes.changed.insert(draft.ordinal, Some(draft.changed()));
            }
            // A deletion counts as writing all chunks: after a later commit that defines the same
            // array again, nothing else tells that its values are gone.
            let were = was.iter().flat_map(|was| &was.arrays).map(|(array, _)| &array.name);
            let deleted = were.filter(|name| !draft.arrays.contains(name));
            for array in draft.stale.iter().chain(deleted) {
                changes.written.entry(array.clone()).or_default().add_all(draft.ordinal);
            }
            for array in draft.arrays.iter() {
                let mut written = Written::default();
                if array.replaces == Replaces::No {
                    let grid = array.grid();
                    let sealed = array.sealed.numbers();
                    sealed.for_each(|number| written.add(draft.ordinal, grid.coordinate(number)));
                } else {
                    written.add_all(draft.ordinal);
                }
                if !written.is_empty() {
                    changes.written.entry(array.schema.name.clone()).or_default().extend(&written);
                }
            }
        }
        changes.segments = self.segments.clone();
        for segment in changes.segments.iter_mut().filter(|segment| segment.of_new) {
            segment.entry.first -= first_new;
        }
        Ok(changes)
    }
}

impl Rest {
    /// Writes the data to segments and completes these. `segments` are the segments that were
    /// complete before.
    pub(crate) async fn write(
        self,
        base: &Snapshot,
        writers: &mut Writers,
        segments: &[NewSegment],
    ) -> Result<Vec<NewSegment>> {
        for (target, ordinal) in self.deletions {
            writers.of(base, &target).delete(ordinal)?;
        }
        for (target, merges) in self.over_committed {
            let index = base.index(&target.variable, &ReadMetrics::default()).await?;
            merge(base, writers, &target, &index, merges).await?;
        }
        let mut complete = Vec::new();
        writers.finish(&mut complete).await?;
        // Parts of chunks that were complete before lie in segments that can be read only now.
        for (target, merges) in self.over_written {
            let index = index_of(base, segments.iter().chain(&complete), &target.variable).await?;
            merge(base, writers, &target, &index, merges).await?;
        }
        writers.finish(&mut complete).await?;
        Ok(complete)
    }
}

/// The combined index of new segments of a variable.
pub(super) async fn index_of<'a>(
    base: &Snapshot,
    segments: impl Iterator<Item = &'a NewSegment>,
    variable: &str,
) -> Result<VariableIndex> {
    let entries = segments.filter(|segment| segment.variable == variable).map(|segment| &segment.entry);
    base.index_of(variable, entries, &ReadMetrics::default()).await
}

/// Merges chunks with their cells in `index`, and writes them.
async fn merge(
    base: &Snapshot,
    writers: &mut Writers,
    target: &Target,
    index: &VariableIndex,
    merges: Vec<Merge>,
) -> Result<()> {
    for merges in merges.chunks(MERGED) {
        let found: Vec<_> = merges
            .iter()
            .map(|(ordinal, coordinate, chunk)| match chunk.under() {
                Under::Nothing => None,
                Under::Committed(_) | Under::Written(_) => index.find(*ordinal, coordinate),
            })
            .collect();
        let mut sorted: Vec<_> = found.iter().flatten().copied().collect();
        sorted.sort_unstable();
        let cells = base.chunks(index, &sorted, &ReadMetrics::default()).await?;
        let cells: HashMap<_, _> = sorted.into_iter().zip(cells).collect();
        for ((ordinal, coordinate, chunk), found) in merges.iter().zip(found) {
            if found.is_none() && chunk.is_untouched() {
                continue;
            }
            let under = found.and_then(|found| cells.get(&found).cloned());
            let merged = chunk.assemble(target.dtype, under);
            let merged = merged.map_err(|e| Error::corrupt(&target.variable, e.to_string()))?;
            writers.of(base, target).append(*ordinal, coordinate.clone(), merged).await?;
        }
    }
    Ok(())
}
