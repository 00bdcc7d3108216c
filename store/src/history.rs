//! Earlier generations of a store, and the files that none of them needs.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use object_store::path::Path;

use crate::error::Result;
use crate::format::catalog::Catalog;
use crate::storage::files::{Storage, StoredFile};
use crate::storage::names;
use crate::store::Atlas;
use crate::write::commit;

/// A commit of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Counts the commits, from 1.
    pub generation: u64,
    /// When it was committed, in milliseconds since 1970-01-01T00:00:00Z by the clock of who did.
    pub committed: i64,
    /// What was done: `write` or `compact`.
    pub operation: String,
    /// The number of datasets after it.
    pub datasets: usize,
    /// The number of variables after it.
    pub variables: usize,
    /// The number of segments after it.
    pub segments: usize,
    /// The length of these segments, in bytes.
    pub bytes: u64,
}

/// What [`Atlas::vacuum`] removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vacuumed {
    /// The files, as paths in the store, with their lengths in bytes.
    pub files: Vec<(String, u64)>,
    /// The generations that can no longer be opened.
    pub generations: Vec<u64>,
}

impl Atlas {
    /// The commits whose catalogs are kept, newest first.
    ///
    /// # Errors
    /// Those of the storage; [`Error::Corrupt`](crate::error::Error::Corrupt) where a catalog is damaged.
    pub async fn log(&self) -> Result<Vec<Commit>> {
        let mut generations: Vec<_> = records(&self.storage().list().await?)
            .filter(|(_, file)| file.size > 0)
            .map(|(generation, _)| generation)
            .collect();
        generations.sort_unstable();
        let mut commits = Vec::with_capacity(generations.len());
        for generation in generations.into_iter().rev() {
            commits.push(Commit::of(&commit::read_generation(self.storage(), generation).await?));
        }
        Ok(commits)
    }

    /// This store as it was at a generation, to read from: a commit to it is a conflict.
    ///
    /// # Errors
    /// [`Error::NoGeneration`](crate::error::Error::NoGeneration) where there is no such generation, or its catalog was
    /// vacuumed.
    pub async fn open_at(&self, generation: u64) -> Result<Self> {
        let catalog = commit::read_generation(self.storage(), generation).await?;
        Ok(self.at(catalog))
    }

    /// Removes the catalogs of earlier generations that are older than `older_than`, and then the files of that age
    /// that no catalog left needs: segments that were compacted or rewritten, and what writers left that died.
    ///
    /// What this handle reads stays. Nobody else may be reading such a generation still, and no writer may be at work
    /// whose first segment is older than that: a day is sensible where imports take hours.
    ///
    /// # Errors
    /// Those of the storage. What was removed until then is gone; the store is whole.
    pub async fn vacuum(&self, older_than: Duration) -> Result<Vacuumed> {
        let storage = self.storage();
        let mut vacuumed = Vacuumed::default();
        let Some(current) = commit::newest(storage).await? else { return Ok(vacuumed) };
        let files = storage.list().await?;
        let now = DateTime::<Utc>::from(SystemTime::now());
        let age = chrono::Duration::from_std(older_than).unwrap_or(chrono::Duration::MAX);
        let old = |file: &StoredFile| now.signed_duration_since(file.modified) >= age;

        // What is pending in this handle may still be put together with what it reads.
        let own = self.snapshot();
        let mut needed: HashSet<Path> =
            segments(storage, &current).chain(segments(storage, own.catalog())).collect();
        for (generation, file) in records(&files).filter(|(_, file)| file.size > 0) {
            if generation >= current.generation || generation == own.catalog().generation {
                continue;
            }
            if old(file) {
                // The record stays, empty: a writer that knows nothing newer than the generation before must still
                // find that it has lost.
                storage.replace(&file.path, bytes::Bytes::new()).await?;
                vacuumed.generations.push(generation);
            } else {
                let kept = commit::read_generation(storage, generation).await?;
                needed.extend(segments(storage, &kept));
            }
        }
        vacuumed.generations.sort_unstable();
        for file in files.iter().chain(&storage.staged().await?) {
            if old(file) && names::is_ours(&file.path) && !needed.contains(&file.location) {
                storage.remove(file).await?;
                vacuumed.files.push((file.path.clone(), file.size));
            }
        }
        vacuumed.files.sort();
        Ok(vacuumed)
    }
}

impl Commit {
    fn of(catalog: &Catalog) -> Self {
        let segments = catalog.variables.values().flatten();
        Self {
            generation: catalog.generation,
            committed: catalog.committed,
            operation: catalog.operation.clone(),
            datasets: catalog.datasets().count(),
            variables: catalog.variables.len(),
            segments: segments.clone().count(),
            bytes: segments.map(|segment| segment.size).sum(),
        }
    }
}

/// The paths of a catalog's segments in the object store.
pub(crate) fn segments(storage: &Storage, catalog: &Catalog) -> impl Iterator<Item = Path> {
    let variables = catalog.variables.iter();
    variables.flat_map(|(name, entries)| entries.iter().map(|entry| storage.path(&entry.path(name))))
}

/// The records of commits among files, vacuumed ones too.
pub(crate) fn records(files: &[StoredFile]) -> impl Iterator<Item = (u64, &StoredFile)> {
    files.iter().filter_map(|file| Some((names::generation_of(&file.path)?, file)))
}

impl Atlas {
    /// A handle of the same store at another generation, with the same caches.
    fn at(&self, catalog: Catalog) -> Self {
        Self::with(self.storage().clone(), Arc::clone(self.snapshot().caches()), catalog)
    }
}
