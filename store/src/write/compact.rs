//! Compaction: the chunks that count of each variable, in order of dataset, in as few segments as can be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::catalog::{Catalog, SegmentEntry};
use crate::model::dtype::DType;
use crate::read::snapshot::{ChunkRef, Snapshot, VariableIndex};
use crate::storage::files::ReadMetrics;
use crate::storage::names::{file_name, token};
use crate::store::Atlas;
use crate::write::commit;
use crate::write::pending::Changes;
use crate::write::segment::SegmentWriter;

/// Cells of the chunks that are in memory at one time.
const CELLS: usize = 4 * 1024 * 1024;

/// Commits of others that a compaction gives way to before it gives up.
const ATTEMPTS: usize = 20;

/// What [`Atlas::compact`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// The variables that were rewritten; the others were compact.
    pub variables: Vec<String>,
    /// Segments of these before and after.
    pub segments: (usize, usize),
    /// The lengths of these segments, in bytes, before and after.
    pub bytes: (u64, u64),
}

/// New segments of one variable, and those that they replace.
struct Rewritten {
    variable: String,
    old: Vec<SegmentEntry>,
    new: Vec<SegmentEntry>,
}

impl Atlas {
    /// Rewrites the segments of variables, or of all of them: chunks in order of dataset, without those that were
    /// replaced or deleted. Variables that are so already stay. Earlier generations keep their files until
    /// [`vacuum`](Self::vacuum).
    ///
    /// Others can commit meanwhile: what they commit is kept, and what they have pending can still be committed.
    ///
    /// # Errors
    /// [`Error::Conflict`] where others have compacted the same variables or would not leave it time to commit: the
    /// store is as they left it. Those of the storage.
    pub async fn compact(&self, variables: Option<&[&str]>) -> Result<Compacted> {
        let storage = self.storage();
        let Some(catalog) = commit::newest(storage).await? else {
            return Err(Error::NoStore { location: storage.to_string() });
        };
        let snapshot =
            Snapshot::new(storage.clone(), Arc::clone(self.snapshot().caches()), Arc::new(catalog));
        let catalog = snapshot.catalog();
        for name in variables.into_iter().flatten() {
            if !catalog.variables.contains_key(*name) {
                return Err(Error::NoVariable { variable: (*name).to_owned() });
            }
        }
        let chosen = |name: &str| variables.is_none_or(|variables| variables.contains(&name));
        let mut rewritten = Vec::new();
        for name in catalog.variables.keys().filter(|name| chosen(name)) {
            match rewrite(&snapshot, name).await {
                Ok(done) => rewritten.extend(done),
                Err(error) => {
                    discard(&snapshot, &rewritten).await;
                    return Err(error);
                }
            }
        }
        if rewritten.is_empty() {
            return Ok(Compacted::default());
        }
        if let Err(error) = self.commit_rewritten(catalog, &rewritten).await {
            // After any other failure it may have been committed.
            if matches!(error, Error::Conflict { .. }) {
                discard(&snapshot, &rewritten).await;
            }
            return Err(error);
        }
        let mut compacted = Compacted::default();
        for Rewritten { variable, old, new } in rewritten {
            let bytes = |entries: &[SegmentEntry]| entries.iter().map(|entry| entry.size).sum::<u64>();
            compacted.segments.0 += old.len();
            compacted.segments.1 += new.len();
            compacted.bytes.0 += bytes(&old);
            compacted.bytes.1 += bytes(&new);
            compacted.variables.push(variable);
        }
        Ok(compacted)
    }

    /// Commits new segments in the place of those that they were made of, after whatever others have committed.
    async fn commit_rewritten(&self, base: &Catalog, rewritten: &[Rewritten]) -> Result<()> {
        let storage = self.storage();
        let paths: Vec<_> = rewritten
            .iter()
            .flat_map(|done| done.new.iter().map(|entry| entry.path(&done.variable)))
            .collect();
        let mut catalog = base.clone();
        let mut attempts = 0..ATTEMPTS;
        loop {
            let conflict =
                || Error::Conflict { location: storage.to_string(), generation: catalog.generation + 1 };
            let next = replaced(&catalog, rewritten).ok_or_else(conflict)?;
            match commit::commit(storage, &next, &paths).await {
                Ok(()) => {
                    self.show_unless_pending(next).await;
                    return Ok(());
                }
                Err(Error::Conflict { .. }) if attempts.next().is_some() => {
                    catalog = commit::newest(storage).await?.ok_or_else(conflict)?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// The catalog after `catalog` in which new segments are in the place of old ones. `None` where the old ones are no
/// longer those that come first.
fn replaced(catalog: &Catalog, rewritten: &[Rewritten]) -> Option<Catalog> {
    let mut next = catalog.next("compact");
    for Rewritten { variable, old, new } in rewritten {
        // A variable that is gone meanwhile needs no segments.
        let Some(entries) = next.variables.get_mut(variable) else { continue };
        let later = entries.strip_prefix(old.as_slice())?.to_vec();
        *entries = new.iter().cloned().chain(later).collect();
    }
    Some(next)
}

/// Writes the chunks that count of a variable anew; `None` where nothing would be gained.
async fn rewrite(snapshot: &Snapshot, variable: &str) -> Result<Option<Rewritten>> {
    let catalog = snapshot.catalog();
    let index = snapshot.index(variable, &ReadMetrics::default()).await?;
    let mut chunks: Vec<_> =
        snapshot.chunks_of(variable, &index).map(|(chunk, dataset, _)| (chunk, dataset)).collect();
    let rows: usize = index.tables().map(|(_, _, table)| table.num_rows()).sum();
    let types = index.tables().map(|(_, dtype, _)| dtype).collect::<BTreeSet<_>>().len();
    let old = catalog.variables.get(variable).cloned().unwrap_or_default();
    if old.len() <= types && rows == chunks.len() {
        return Ok(None);
    }
    chunks.sort_unstable_by(|a, b| (a.1, index.coordinate(a.0)).cmp(&(b.1, index.coordinate(b.0))));
    let mut writers: BTreeMap<DType, SegmentWriter> = BTreeMap::new();
    let mut new = Vec::new();
    let written = write(snapshot, variable, &index, &chunks, &mut writers, &mut new).await;
    if let Err(error) = written {
        for writer in writers.values_mut() {
            writer.abort().await;
        }
        discard(snapshot, &[Rewritten { variable: variable.to_owned(), old, new }]).await;
        return Err(error);
    }
    Ok(Some(Rewritten { variable: variable.to_owned(), old, new }))
}

async fn write(
    snapshot: &Snapshot,
    variable: &str,
    index: &VariableIndex,
    chunks: &[(ChunkRef, u32)],
    writers: &mut BTreeMap<DType, SegmentWriter>,
    new: &mut Vec<SegmentEntry>,
) -> Result<()> {
    let catalog = snapshot.catalog();
    let token = token();
    let mut rest = chunks;
    while !rest.is_empty() {
        let mut cells = 0;
        let now = rest.iter().take_while(|(chunk, _)| {
            let first = cells == 0;
            cells += index.cells(*chunk);
            first || cells <= CELLS
        });
        let (now, later) = rest.split_at(now.count());
        rest = later;
        let refs: Vec<_> = now.iter().map(|(chunk, _)| *chunk).collect();
        let arrays = snapshot.chunks(index, &refs, &ReadMetrics::default()).await?;
        for ((chunk, dataset), array) in now.iter().zip(arrays) {
            let dtype = DType::from_arrow(array.data_type()).unwrap_or(DType::Binary);
            let writer = writers.entry(dtype).or_insert_with(|| {
                let file = file_name(catalog.generation + 1, token, dtype);
                SegmentWriter::new(snapshot.storage(), variable, file, dtype, catalog.codec)
            });
            writer.append(*dataset, index.coordinate(*chunk).to_vec(), array).await?;
        }
    }
    for writer in writers.values_mut() {
        new.extend(writer.finish().await?);
    }
    Ok(())
}

/// Removes new segments that no catalog names. What cannot be removed is left to `vacuum`.
async fn discard(snapshot: &Snapshot, rewritten: &[Rewritten]) {
    let segments = rewritten
        .iter()
        .flat_map(|done| done.new.iter().map(|entry| (done.variable.clone(), entry.clone())))
        .collect();
    Changes { segments, ..Changes::default() }.discard(snapshot.storage()).await;
}
