//! Earlier generations of a store, and the removal of files that no generation needs.

use std::collections::HashSet;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::catalog::Root;
use crate::storage::files::StoredFile;
use crate::storage::names;
use crate::store::Atlas;
use crate::write::commit;

/// A commit of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Commit {
    /// The number of the commit, from 1.
    pub generation: u64,
    /// The time of the commit, in milliseconds since 1970-01-01T00:00:00Z, by the writer's clock.
    pub committed: i64,
    /// The kind of the commit: `write`, `merge` or `compact`.
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

/// The result of [`Atlas::vacuum`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Vacuumed {
    /// The files, as paths in the store, with their lengths in bytes.
    pub files: Vec<(String, u64)>,
    /// The generations that can no longer be opened.
    pub generations: Vec<u64>,
}

impl Atlas {
    /// The commits whose records are kept, newest first.
    ///
    /// # Errors
    /// Those of the storage; [`Error::Corrupt`](crate::error::Error::Corrupt) if a record is
    /// damaged.
    pub async fn log(&self) -> Result<Vec<Commit>> {
        let mut generations: Vec<_> = records(&self.storage().list().await?)
            .filter(|(_, file)| file.size > 0)
            .map(|(generation, _)| generation)
            .collect();
        generations.sort_unstable();
        let mut commits = Vec::with_capacity(generations.len());
        for generation in generations.into_iter().rev() {
            commits.push(Commit::of(&commit::read_generation(self.storage(), generation).await?.0));
        }
        Ok(commits)
    }

    /// Opens this store as it was at a generation. Changes through the new handle are committed to
    /// the newest generation, as if a writer had opened the store back then.
    ///
    /// # Errors
    /// [`Error::NoGeneration`](crate::error::Error::NoGeneration) if there is no such generation,
    /// or it was vacuumed.
    pub async fn open_at(&self, generation: u64) -> Result<Self> {
        let (root, _) = commit::read_generation(self.storage(), generation).await?;
        Ok(Self::of(self.snapshot().at(root, [])))
    }

    /// The newest generation before that of this handle whose datasets can be read.
    pub(crate) async fn readable_before(&self) -> Result<Option<u64>> {
        let snapshot = self.snapshot();
        let mut generations = self.storage().generations().await?;
        generations.retain(|&generation| generation < snapshot.root().generation());
        generations.sort_unstable();
        for generation in generations.into_iter().rev() {
            let read = async {
                let (root, _) = commit::read_generation(self.storage(), generation).await?;
                snapshot.at(root, []).load().await
            };
            match read.await {
                Ok(_) => return Ok(Some(generation)),
                Err(error) if error.is_of_file() || matches!(error, Error::NoGeneration { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Empties the records of earlier generations that are older than `older_than`, so that these
    /// can no longer be opened. Then removes the files of that age that no remaining generation
    /// needs: segments that were compacted or rewritten, and leftovers of writers that died.
    ///
    /// The storage's clock, which dates the files, determines ages. The files that this handle
    /// reads stay. Other programs must no longer read the removed generations, and the first
    /// segment of every active writer must be younger than `older_than`. A day is sensible if
    /// imports take hours.
    ///
    /// # Errors
    /// Those of the storage. The files removed until then are gone; the store itself is intact.
    #[cfg_attr(feature = "tracing", tracing::instrument(skip(self), fields(store = %self.storage())))]
    pub async fn vacuum(&self, older_than: Duration) -> Result<Vacuumed> {
        let storage = self.storage();
        let mut vacuumed = Vacuumed::default();
        let current = match commit::mend(storage).await {
            Ok(root) => root,
            Err(Error::NoStore { .. }) => return Ok(vacuumed),
            // On a full disk nothing can be written, and vacuuming makes room.
            Err(Error::Storage { .. }) => commit::newest(storage).await?,
            Err(error) => return Err(error),
        };
        let now = storage.now().await?;
        let files = storage.list().await?;
        let age = chrono::Duration::from_std(older_than).unwrap_or(chrono::Duration::MAX);
        let old = |file: &StoredFile| now.signed_duration_since(file.modified) >= age;

        // The pending changes of this handle may still be merged with the generation that it reads.
        let own = self.snapshot();
        let pending = self.pending().segments().to_vec();
        let pending = pending.iter().map(|segment| segment.entry.file.clone());
        let mut needed: HashSet<String> =
            files_of(&current).chain(files_of(own.root())).chain(pending).collect();
        for (generation, file) in records(&files).filter(|(_, file)| file.size > 0) {
            if generation >= current.generation || generation == own.root().generation {
                continue;
            }
            if old(file) {
                // The record stays, empty. A writer that has not seen this generation must still
                // find that it exists, and lose.
                storage.replace(&file.path, bytes::Bytes::new()).await?;
                vacuumed.generations.push(generation);
            } else {
                let (kept, _) = commit::read_generation(storage, generation).await?;
                needed.extend(files_of(&kept));
            }
        }
        vacuumed.generations.sort_unstable();
        for file in files.iter().chain(&storage.staged().await?) {
            if old(file) && names::is_ours(&file.path) && !needed.contains(names::last(&file.path)) {
                storage.remove(file).await?;
                vacuumed.files.push((file.path.clone(), file.size));
            }
        }
        vacuumed.files.sort();
        Ok(vacuumed)
    }
}

impl Commit {
    fn of(catalog: &Root) -> Self {
        let segments = catalog.variables.values().flatten();
        Self {
            generation: catalog.generation,
            committed: catalog.committed,
            operation: catalog.operation.clone(),
            datasets: catalog.dataset_count(),
            variables: catalog.variables.len(),
            segments: segments.clone().count(),
            bytes: segments.map(|segment| segment.size).sum(),
        }
    }
}

/// The names of the files of a generation. No two files of a store have the same name, in any
/// directory. Some file systems treat several directories of variables as one.
pub(crate) fn files_of(root: &Root) -> impl Iterator<Item = String> {
    let segments = root.variables.values().flatten().map(|entry| entry.file.clone());
    segments.chain(root.manifests.iter().map(|entry| entry.file.clone()))
}

/// The records of commits among files, including vacuumed ones.
pub(crate) fn records(files: &[StoredFile]) -> impl Iterator<Item = (u64, &StoredFile)> {
    files.iter().filter_map(|file| Some((names::generation_of(&file.path)?, file)))
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use async_trait::async_trait;
    use futures::stream::BoxStream;
    use futures::{StreamExt, TryStreamExt};
    use object_store::memory::InMemory;
    use object_store::{
        CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
        PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    };

    use std::sync::Arc;

    use object_store::path::Path;

    use super::*;
    use crate::store::StoreConfig;

    /// An object store whose clock is two days late.
    #[derive(Debug)]
    struct Late(InMemory);

    impl fmt::Display for Late {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Late")
        }
    }

    fn late(mut meta: ObjectMeta) -> ObjectMeta {
        meta.last_modified -= chrono::Duration::days(2);
        meta
    }

    #[async_trait]
    impl ObjectStore for Late {
        async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
            self.0.put_opts(path, payload, options).await
        }

        async fn put_multipart_opts(
            &self,
            path: &Path,
            options: PutMultipartOptions,
        ) -> Result<Box<dyn MultipartUpload>> {
            self.0.put_multipart_opts(path, options).await
        }

        async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
            let mut result = self.0.get_opts(path, options).await?;
            result.meta = late(result.meta);
            Ok(result)
        }

        fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
            self.0.delete_stream(paths)
        }

        fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
            self.0.list(prefix).map_ok(late).boxed()
        }

        async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
            self.0.list_with_delimiter(prefix).await
        }

        async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
            self.0.copy_opts(from, to, options).await
        }
    }

    #[tokio::test]
    async fn ages_are_told_by_the_clock_of_the_storage() {
        let objects = Arc::new(Late(InMemory::new()));
        let atlas = Atlas::create(objects, Path::from("late"), StoreConfig::default()).await.unwrap();
        for name in ["a", "b"] {
            atlas.create_dataset(name).await.unwrap();
            atlas.flush().await.unwrap();
        }
        // A segment that another writer is still writing.
        let segment = "t/data.0123456789abcdef.f32.af";
        atlas.storage().replace(segment, bytes::Bytes::from_static(b"x")).await.unwrap();
        let vacuumed = atlas.vacuum(Duration::from_secs(24 * 60 * 60)).await.unwrap();
        assert_eq!(vacuumed, Vacuumed::default());
        let vacuumed = atlas.vacuum(Duration::ZERO).await.unwrap();
        assert_eq!(vacuumed, Vacuumed { files: vec![(segment.to_owned(), 1)], generations: vec![1] });
    }
}
