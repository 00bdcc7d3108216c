//! Creating files that must not exist yet. Commits rely on it.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload};

use crate::error::{Error, Result};
use crate::storage::files::Storage;
use crate::storage::names::new_file;

impl Storage {
    /// Writes a file that must not exist yet. Returns false if it exists.
    #[cfg_attr(feature = "tracing", tracing::instrument(level = "trace", skip_all, fields(file, bytes = bytes.len())))]
    pub(crate) async fn create(&self, file: &str, bytes: Bytes) -> Result<bool> {
        let path = self.path(file);
        let Some(durability) = &self.durability else {
            return self.is_created(file, self.put_new(&path, bytes).await);
        };
        let new = self.write_new(durability.as_ref(), bytes).await?;
        let published = durability.publish(self.objects.as_ref(), &new, &path).await;
        if published.is_ok() {
            durability.sync(&self.prefix, vec![path]).await.map_err(|e| self.failed(file, e))?;
        }
        // A leftover file is harmless.
        let _ = self.objects.delete(&new).await;
        self.is_created(file, published)
    }

    /// Checks that if two writers [`create`](Self::create) one file, only one succeeds. Commits
    /// rely on this. Writers call it before their first segment. Only the first call on a storage
    /// sends requests.
    ///
    /// # Errors
    /// [`Error::Location`] if the storage cannot do that, with what it lacks.
    pub(crate) async fn check_exclusive_create(&self) -> Result<()> {
        if self.exclusive.load(Ordering::Relaxed) {
            return Ok(());
        }
        let file = new_file();
        let path = self.path(&file);
        // If a request was repeated because its answer was lost, it finds the file that it created
        // itself.
        let checked = match self.probe(&path).await {
            Ok(())
            | Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                self.probe(&path).await
            }
            failed => failed,
        };
        let _ = self.objects.delete(&path).await;
        let lacking = |reason: String| Error::Location { location: self.to_string(), reason };
        match self.is_created(&file, checked) {
            Ok(false) => {
                self.exclusive.store(true, Ordering::Relaxed);
                Ok(())
            }
            Ok(true) => Err(lacking(
                "it creates a file although there is one of that name, so that one writer's commit could replace \
                 another's: writing needs conditional requests (`If-None-Match: *`)"
                    .to_owned(),
            )),
            Err(Error::Storage { source: object_store::Error::NotSupported { source }, .. }) => Err(lacking(format!(
                "{source}, so that one writer's commit could replace another's: write to another file system, \
                 and copy the store"
            ))),
            Err(Error::Storage { source: source @ object_store::Error::NotImplemented { .. }, .. }) => {
                Err(lacking(format!(
                    "one writer's commit could replace another's: writing needs conditional requests \
                     (`If-None-Match: *`): {source}"
                )))
            }
            Err(error) => Err(error),
        }
    }

    /// Creates an empty file as [`create`](Self::create) does, but not durably.
    async fn probe(&self, path: &Path) -> object_store::Result<()> {
        let Some(durability) = &self.durability else { return self.put_new(path, Bytes::new()).await };
        let new = self.path(&new_file());
        self.objects.put(&new, PutPayload::new()).await?;
        let published = durability.publish(self.objects.as_ref(), &new, path).await;
        let _ = self.objects.delete(&new).await;
        published
    }

    async fn put_new(&self, path: &Path, bytes: Bytes) -> object_store::Result<()> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        self.objects.put_opts(path, PutPayload::from(bytes), options).await.map(drop)
    }

    fn is_created(&self, file: &str, created: object_store::Result<()>) -> Result<bool> {
        match created {
            Ok(()) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(false)
            }
            Err(e) => Err(self.failed(file, e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::ObjectStore;
    use object_store::local::LocalFileSystem;
    use object_store::memory::InMemory;
    use url::Url;

    use super::*;
    use crate::storage::durability::{Disk, Durability};
    use crate::storage::exclusive::tests::{NO_LINKS, NO_WAY};
    use crate::storage::exclusive::{WAYS, Way};
    use crate::storage::names::RECORDS;

    /// A directory on a file system that supports only some ways of exclusive creation.
    fn disk(directory: &std::path::Path, ways: &'static [Way]) -> Storage {
        let objects = Arc::new(LocalFileSystem::new());
        let disk = Disk::with_ways(Arc::clone(&objects), ways);
        let prefix = Path::from_absolute_path(directory.canonicalize().unwrap()).unwrap();
        Storage::of(objects, prefix, Url::parse("file:///").unwrap()).with_durability(Arc::new(disk))
    }

    #[tokio::test]
    async fn a_file_is_created_once() {
        for ways in [WAYS, NO_LINKS] {
            let directory = tempfile::tempdir().unwrap();
            let storage = disk(directory.path(), ways);
            storage.check_exclusive_create().await.unwrap();
            storage.check_exclusive_create().await.unwrap();
            assert!(storage.list().await.unwrap().is_empty());
            for round in 0..10 {
                let file = format!("{RECORDS}/{round}.json");
                let create = |bytes: &'static [u8]| storage.create(&file, Bytes::from_static(bytes));
                let (a, b) = tokio::join!(create(b"a"), create(b"b"));
                let (a, b) = (a.unwrap(), b.unwrap());
                assert_ne!(a, b);
                assert_eq!(storage.get(&file).await.unwrap().as_ref(), if a { b"a" } else { b"b" });
                assert!(!create(b"c").await.unwrap());
            }
            assert_eq!(storage.list().await.unwrap().len(), 10, "nothing is left over");
        }
    }

    #[tokio::test]
    async fn a_storage_that_creates_nothing_exclusively_is_found_out() {
        let directory = tempfile::tempdir().unwrap();
        let storage = disk(directory.path(), NO_WAY);
        for _ in 0..2 {
            let error = storage.check_exclusive_create().await.unwrap_err();
            assert!(matches!(error, Error::Location { .. }), "{error:?}");
            let error = error.to_string();
            assert!(error.contains("file system") && error.contains("has neither"), "{error}");
        }
        assert!(storage.create("_commits/1.json", Bytes::new()).await.is_err());
        assert!(storage.list().await.unwrap().is_empty());

        // Many storages copy with replacement although they should not.
        struct Replacing;
        #[async_trait::async_trait]
        impl Durability for Replacing {
            async fn sync(&self, _: &Path, _: Vec<Path>) -> object_store::Result<()> {
                Ok(())
            }

            async fn publish(
                &self,
                objects: &dyn ObjectStore,
                from: &Path,
                to: &Path,
            ) -> object_store::Result<()> {
                objects.copy(from, to).await
            }
        }
        let storage = Storage::new(Arc::new(InMemory::new()), Path::from("x"));
        storage.check_exclusive_create().await.unwrap();
        let storage = storage.with_durability(Arc::new(Replacing));
        let error = storage.check_exclusive_create().await.unwrap_err().to_string();
        assert!(error.contains("although there is one of that name"), "{error}");
        assert!(storage.list().await.unwrap().is_empty());
    }
}
