//! Compaction: rewrites the chunks of each variable that count, in order of dataset, into as few
//! segments as possible, and the datasets into one manifest.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::catalog::{Root, SegmentEntry};
use crate::format::record::Recorded;
use crate::model::dtype::DType;
use crate::read::snapshot::{ChunkRef, Snapshot, VariableIndex};
use crate::storage::names;
use crate::storage::requests::ReadMetrics;
use crate::store::Atlas;
use crate::write::changes::Next;
use crate::write::commit::{self, ATTEMPTS, Published};
use crate::write::segment::{SegmentFile, SegmentWriter};

/// The number of cells of the chunks in memory at a time.
const CELLS: usize = 4 * 1024 * 1024;

/// The result of [`Atlas::compact`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compacted {
    /// The variables that were rewritten. Other variables were compact already.
    pub variables: Vec<String>,
    /// The numbers of segments of these variables before and after.
    pub segments: (usize, usize),
    /// The sizes of these segments in bytes, before and after.
    pub bytes: (u64, u64),
}

/// New segments of one variable, and the segments that they replace.
struct Rewritten {
    variable: String,
    old: Vec<SegmentEntry>,
    new: Vec<SegmentEntry>,
}

impl Atlas {
    /// Rewrites the segments of the given variables, or of all variables: chunks in order of
    /// dataset, without chunks that were replaced or deleted. Compact variables stay unchanged.
    /// Earlier generations keep their files until [`vacuum`](Self::vacuum).
    ///
    /// Others can commit meanwhile. Their commits are kept, and their pending changes can still be
    /// committed.
    ///
    /// # Errors
    /// [`Error::Conflict`] if others have compacted the same variables, or commit so often that
    /// this commit never succeeds; the store is then as they left it. Those of the storage.
    #[cfg_attr(feature = "tracing", tracing::instrument(skip(self), fields(store = %self.storage())))]
    pub async fn compact(&self, variables: Option<&[&str]>) -> Result<Compacted> {
        let storage = self.storage();
        let snapshot = self.snapshot().at(commit::newest(storage).await?, []);
        let catalog = snapshot.load().await?;
        for name in variables.into_iter().flatten() {
            if !catalog.variables.contains_key(*name) {
                return Err(Error::NoVariable { variable: (*name).to_owned() });
            }
        }
        storage.check_exclusive_create().await?;
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
        if rewritten.is_empty() && (variables.is_some() || !is_scattered(&catalog)) {
            return Ok(Compacted::default());
        }
        if let Err(error) = self.commit_rewritten(&snapshot, &rewritten, variables.is_none()).await {
            // After any other failure, the segments may have been committed.
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

    /// Commits new segments in place of the old ones, after all commits of others. With `datasets`,
    /// the rows of datasets are moved to one manifest as well.
    async fn commit_rewritten(&self, base: &Snapshot, rewritten: &[Rewritten], datasets: bool) -> Result<()> {
        let storage = self.storage();
        let files: Vec<_> = rewritten
            .iter()
            .flat_map(|done| done.new.iter().map(|entry| entry.path(&done.variable)))
            .collect();
        let compacted = rewritten.iter().map(|done| done.variable.clone()).collect();
        let recorded = Recorded { writer: names::token(), compacted, ..Recorded::default() };
        let (mut newest, mut manifests) = (base.clone(), HashSet::new());
        for attempt in 0..ATTEMPTS {
            let mut next = replaced(newest.root(), rewritten).ok_or_else(|| Error::Conflict {
                location: storage.to_string(),
                generation: newest.root().generation,
                dataset: None,
                array: None,
                reason: "others have compacted the same variables".to_owned(),
            })?;
            if datasets {
                let catalog = newest.load().await?;
                if is_scattered(&catalog) {
                    let rows = Arc::clone(&next.root.rows);
                    let folded = next.fold(Some(&catalog), &rows, usize::MAX);
                    folded.map_err(|reason| Error::Limit { location: storage.to_string(), reason })?;
                }
            }
            match commit::publish(storage, &next, &recorded, &files, &mut manifests, attempt).await {
                Ok(Published::Committed) => {
                    self.show_unless_pending(newest.at(next.root, next.rows)).await;
                    return Ok(());
                }
                Ok(Published::Lost) => {}
                Err(error) => return Err(error),
            }
            newest = newest.at(commit::newest(storage).await?, []);
        }
        Err(Error::Busy { location: storage.to_string(), attempts: ATTEMPTS as usize })
    }
}

/// True if the rows of datasets should be moved to one manifest.
fn is_scattered(root: &Root) -> bool {
    root.manifests.len() > 1 || !root.manifests.is_empty() && !root.rows.is_empty()
}

/// The generation after `root` with new segments in place of old ones. `None` if the old ones are
/// no longer the first.
fn replaced(root: &Root, rewritten: &[Rewritten]) -> Option<Next> {
    let mut root = root.following("compact");
    for Rewritten { variable, old, new } in rewritten {
        // A variable that was deleted meanwhile needs no segments.
        let Some(entries) = root.variables.get_mut(variable) else { continue };
        let later = entries.strip_prefix(old.as_slice())?.to_vec();
        *entries = new.iter().cloned().chain(later).collect();
    }
    Some(Next { root, manifests: Vec::new(), rows: Vec::new() })
}

/// Rewrites the chunks of a variable that count; `None` if there is nothing to gain.
async fn rewrite(snapshot: &Snapshot, variable: &str) -> Result<Option<Rewritten>> {
    let catalog = snapshot.load().await?;
    let index = snapshot.index(variable, &ReadMetrics::default()).await?;
    let mut chunks: Vec<_> = index.live(&catalog, variable).collect();
    let rows: usize = index.columns().map(|columns| columns.rows()).sum();
    let types = index.columns().map(|columns| columns.dtype()).collect::<BTreeSet<_>>().len();
    let old = catalog.variables.get(variable).cloned().unwrap_or_default();
    if old.len() <= types && rows == chunks.len() {
        return Ok(None);
    }
    chunks.sort_unstable_by_key(|(_, dataset, coordinate)| (*dataset, *coordinate));
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
    chunks: &[(ChunkRef, u32, &[u32])],
    writers: &mut BTreeMap<DType, SegmentWriter>,
    new: &mut Vec<SegmentEntry>,
) -> Result<()> {
    let mut rest = chunks;
    while !rest.is_empty() {
        let mut cells = 0;
        let mut refs = Vec::new();
        for (chunk, ..) in rest {
            cells += index.cells(*chunk)?;
            if !refs.is_empty() && cells > CELLS {
                break;
            }
            refs.push(*chunk);
        }
        let (now, later) = rest.split_at(refs.len());
        rest = later;
        let arrays = snapshot.chunks(index, &refs, &ReadMetrics::default()).await?;
        for ((_, dataset, coordinate), array) in now.iter().zip(arrays) {
            let dtype = DType::from_arrow(array.data_type())
                .ok_or_else(|| Error::corrupt(variable, "a chunk of it has values of no type"))?;
            let writer = writers.entry(dtype).or_insert_with(|| {
                let directory =
                    snapshot.root().segments(variable).first().and_then(|old| old.directory.clone());
                let (file, codec) =
                    (SegmentFile { directory, name: names::segment(dtype) }, snapshot.root().codec);
                SegmentWriter::new(snapshot.storage(), variable, file, dtype, codec, 0)
            });
            writer.append(*dataset, coordinate.to_vec(), array).await?;
        }
    }
    for writer in writers.values_mut() {
        new.extend(writer.finish().await?);
    }
    Ok(())
}

/// Removes new segments that no catalog names. Files that cannot be removed are left to `vacuum`.
async fn discard(snapshot: &Snapshot, rewritten: &[Rewritten]) {
    for done in rewritten {
        for entry in &done.new {
            let _ = snapshot.storage().delete(&entry.path(&done.variable)).await;
        }
    }
}
