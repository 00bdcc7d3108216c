//! The files of a store: objects under a prefix of an object store.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::StreamExt;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use tokio::io::AsyncWriteExt;
use url::Url;

use crate::error::{Error, Result};
use crate::storage::durability::{Durability, Staged};
use crate::storage::names::{self, RECORDS, new_file};
use crate::storage::remote;

/// The number of bytes that are buffered before a file is uploaded in parts: the least part size of
/// S3.
const PART_BYTES: usize = 5 * 1024 * 1024;

/// The location of a store: an object store, a prefix in it, and the URL of the object store.
#[derive(Clone)]
pub struct Storage {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) prefix: Path,
    root: Url,
    address: Option<String>,
    pub(super) durability: Option<Arc<dyn Durability>>,
    /// Set once the storage has been shown to create files exclusively.
    pub(super) exclusive: Arc<AtomicBool>,
}

/// A file under a store's prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// Its path in the object store.
    pub location: Path,
    /// Its path in the store, as the object store writes names.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// When it was last written.
    pub modified: DateTime<Utc>,
}

impl Storage {
    /// The objects under `prefix` of `objects`, whose URL is `root`.
    pub(super) fn of(objects: Arc<dyn ObjectStore>, prefix: Path, root: Url) -> Self {
        Self { objects, prefix, root, address: None, durability: None, exclusive: Arc::default() }
    }

    /// The same storage, with the address under which [`Storage::at`] finds it.
    pub(super) fn with_address(self, address: String) -> Self {
        Self { address: Some(address), ..self }
    }

    /// The same storage, with files that become durable only by `durability`.
    pub fn with_durability(self, durability: Arc<dyn Durability>) -> Self {
        Self { durability: Some(durability), exclusive: Arc::default(), ..self }
    }

    /// The object store.
    pub fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }

    /// Where the store lies in the object store.
    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// The URL of the object store, by which an engine may know it.
    pub fn root(&self) -> &Url {
        &self.root
    }

    /// The URL, without credentials, under which [`Storage::at`] finds this storage in other
    /// processes. `None` for an object store that the program has created itself.
    pub fn address(&self) -> Option<&str> {
        self.address.as_deref()
    }

    /// The path of one of the store's files in the object store.
    pub fn path(&self, file: &str) -> Path {
        file.split('/').fold(self.prefix.clone(), |path, part| path.join(part))
    }

    #[cfg_attr(feature = "tracing", tracing::instrument(level = "trace", skip(self)))]
    pub(crate) async fn get(&self, file: &str) -> Result<Bytes> {
        self.check_kind(file)?;
        let result = self.objects.get(&self.path(file)).await.map_err(|e| self.failed(file, e))?;
        result.bytes().await.map_err(|e| self.failed(file, e))
    }

    /// Refuses objects whose reading would never end, such as a pipe in place of a file.
    pub(super) fn check_kind(&self, file: &str) -> Result<()> {
        let kind = self.durability.as_ref().and_then(|durability| durability.kind(&self.path(file)));
        kind.map_or(Ok(()), |kind| Err(Error::corrupt(file, format!("it is {kind}, not a file"))))
    }

    #[cfg_attr(feature = "tracing", tracing::instrument(level = "trace", skip(self)))]
    pub(crate) async fn exists(&self, file: &str) -> Result<bool> {
        self.check_kind(file)?;
        // A request for the size alone does not say why an object is missing. The bytes of this one
        // are not read.
        match self.objects.get(&self.path(file)).await {
            Ok(_) => Ok(true),
            Err(e) => match self.failed(file, e) {
                error if error.is_not_found() => Ok(false),
                error => Err(error),
            },
        }
    }

    /// Writes a file at once, replacing an existing one.
    #[cfg_attr(feature = "tracing", tracing::instrument(level = "trace", skip_all, fields(file, bytes = bytes.len())))]
    pub(crate) async fn replace(&self, file: &str, bytes: Bytes) -> Result<()> {
        let path = self.path(file);
        let Some(durability) = &self.durability else {
            let put = self.objects.put(&path, PutPayload::from(bytes)).await;
            return put.map(drop).map_err(|e| self.failed(file, e));
        };
        // If power fails, bytes that are not durable must not have the file's name.
        let new = self.write_new(durability.as_ref(), bytes).await?;
        self.objects.rename(&new, &path).await.map_err(|e| self.failed(file, e))?;
        durability.sync(&self.prefix, vec![path]).await.map_err(|e| self.failed(file, e))
    }

    /// Writes durable bytes under a name that no reader opens.
    pub(super) async fn write_new(&self, durability: &dyn Durability, bytes: Bytes) -> Result<Path> {
        let file = new_file();
        let path = self.path(&file);
        let written = async {
            self.objects.put(&path, PutPayload::from(bytes)).await?;
            durability.sync(&self.prefix, vec![path.clone()]).await
        };
        written.await.map_err(|e| self.failed(&file, e))?;
        Ok(path)
    }

    /// The time of the clock that dates the files of this storage, which may not be this machine's.
    /// Determined by writing a file.
    pub(crate) async fn now(&self) -> Result<DateTime<Utc>> {
        let file = new_file();
        let path = self.path(&file);
        let failed = |e| self.failed(&file, e);
        self.objects.put(&path, PutPayload::from_static(b"now")).await.map_err(failed)?;
        let modified = self.modified(&path).await;
        // A leftover file is harmless.
        let _ = self.objects.delete(&path).await;
        modified.map_err(failed)
    }

    /// When an object was written, according to a listing. Requests for a single object give whole
    /// seconds, which may be earlier than the time in a listing.
    async fn modified(&self, path: &Path) -> object_store::Result<DateTime<Utc>> {
        let before = Path::from(path.as_ref().trim_end_matches(".new"));
        let mut listed = self.objects.list_with_offset(Some(&self.path(RECORDS)), &before);
        while let Some(meta) = listed.next().await {
            if let Some(meta) = meta.ok().filter(|meta| meta.location == *path) {
                return Ok(meta.last_modified);
            }
        }
        Ok(self.objects.head(path).await?.last_modified)
    }

    /// Makes files durable, if the storage needs more than writing them.
    pub(crate) async fn sync(&self, files: &[String]) -> Result<()> {
        let Some(durability) = &self.durability else { return Ok(()) };
        let paths = files.iter().map(|file| self.path(file)).collect();
        durability.sync(&self.prefix, paths).await.map_err(|e| self.failed("its segments", e))
    }

    /// Writes a file with the bytes of a file of another storage, which is `size` bytes long.
    #[cfg_attr(feature = "tracing", tracing::instrument(level = "trace", skip(self, other)))]
    pub(crate) async fn copy_from(&self, other: &Self, file: &str, size: u64, new: &str) -> Result<()> {
        let result = other.objects.get(&other.path(file)).await.map_err(|e| other.failed(file, e))?;
        if result.meta.size != size {
            return Err(Error::wrong_size(file, size, result.meta.size));
        }
        let mut sink = BufWriter::with_capacity(Arc::clone(&self.objects), self.path(new), PART_BYTES);
        let mut bytes = result.into_stream();
        while let Some(part) = bytes.next().await {
            let part = part.map_err(|e| other.failed(file, e))?;
            sink.put(part).await.map_err(|e| self.failed(new, e))?;
        }
        sink.shutdown().await.map_err(|e| {
            let source = e
                .downcast()
                .unwrap_or_else(|e| object_store::Error::Generic { store: "atlas", source: e.into() });
            self.failed(new, source)
        })
    }

    /// Every file under the store's prefix, also those that are not the store's.
    #[cfg_attr(feature = "tracing", tracing::instrument(level = "trace", skip(self)))]
    pub(crate) async fn list(&self) -> Result<Vec<StoredFile>> {
        let mut listed = self.objects.list(Some(&self.prefix));
        let mut files = Vec::new();
        while let Some(meta) = listed.next().await {
            let meta = match meta {
                Ok(meta) => meta,
                // It disappeared during the listing.
                Err(object_store::Error::NotFound { .. }) => continue,
                Err(e) => return Err(self.failed("the list of its files", e)),
            };
            let parts: Vec<_> = meta
                .location
                .parts()
                .skip(self.prefix.parts_count())
                .map(|part| part.as_ref().to_owned())
                .collect();
            files.push(StoredFile {
                path: parts.join("/"),
                size: meta.size,
                modified: meta.last_modified,
                location: meta.location,
            });
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// A file under the prefix that no writer of a store can have left, if there is one that is not
    /// hidden.
    pub(crate) async fn foreign(&self) -> Result<Option<String>> {
        let mut listed = self.objects.list(Some(&self.prefix));
        while let Some(meta) = listed.next().await {
            let meta = match meta {
                Ok(meta) => meta,
                Err(object_store::Error::NotFound { .. }) => continue,
                Err(e) => return Err(self.failed("the list of its files", e)),
            };
            let parts: Vec<_> = meta.location.parts().skip(self.prefix.parts_count()).collect();
            let path = parts.iter().map(|part| part.as_ref()).collect::<Vec<_>>().join("/");
            let is_hidden = parts.iter().any(|part| part.as_ref().starts_with('.'));
            if !is_hidden && !names::is_ours(&path) && names::generation_of(&path).is_none() {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// The generations that have records.
    #[cfg_attr(feature = "tracing", tracing::instrument(level = "trace", skip(self)))]
    pub(crate) async fn generations(&self) -> Result<Vec<u64>> {
        let mut listed = self.objects.list(Some(&self.path(RECORDS)));
        let mut generations = Vec::new();
        while let Some(meta) = listed.next().await {
            let meta = match meta {
                Ok(meta) => meta,
                Err(object_store::Error::NotFound { .. }) => continue,
                Err(e) => return Err(self.failed(RECORDS, e)),
            };
            let name = meta.location.filename().map(|name| format!("{RECORDS}/{name}"));
            generations.extend(name.and_then(|name| names::generation_of(&name)));
        }
        Ok(generations)
    }

    /// Files that the object store has begun to write and does not show yet. A killed process
    /// leaves them.
    pub(crate) async fn staged(&self) -> Result<Vec<StoredFile>> {
        match &self.durability {
            Some(durability) => {
                let staged = durability.staged(&self.prefix).await;
                let staged = staged.map_err(|e| self.failed("the list of its files", e))?;
                let file = |Staged { path, size, modified }| StoredFile {
                    location: Path::default(),
                    path,
                    size,
                    modified,
                };
                Ok(staged.into_iter().map(file).collect())
            }
            None => Ok(Vec::new()),
        }
    }

    /// Removes a listed or staged file, which may already be gone.
    #[cfg_attr(feature = "tracing", tracing::instrument(level = "trace", skip_all, fields(file = file.path)))]
    pub(crate) async fn remove(&self, file: &StoredFile) -> Result<()> {
        let removed = match &self.durability {
            Some(durability) if file.path.contains('#') => {
                durability.remove_staged(&self.prefix, &file.path).await
            }
            _ => self.objects.delete(&file.location).await,
        };
        match removed {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(self.failed(&file.path, e)),
        }
    }

    #[cfg_attr(feature = "tracing", tracing::instrument(level = "trace", skip(self)))]
    pub(crate) async fn delete(&self, file: &str) -> Result<()> {
        self.objects.delete(&self.path(file)).await.map_err(|e| self.failed(file, e))
    }

    pub(crate) fn failed(&self, file: &str, source: object_store::Error) -> Error {
        let file = file.to_owned();
        if let object_store::Error::JoinError { source } = source {
            return Error::internal(file, source.to_string());
        }
        if matches!(source, object_store::Error::NotFound { .. }) && remote::lacks_bucket(&source) {
            return Error::NoBucket { location: self.to_string(), bucket: self.root.authority().to_owned() };
        }
        if remote::lacks_credentials(&source) {
            return Error::NoCredentials { location: self.to_string(), source };
        }
        Error::Storage { file, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_time_is_the_storages() {
        let directory = tempfile::tempdir().unwrap();
        for storage in [Storage::local(directory.path()), Storage::at("memory:///time")] {
            let storage = storage.unwrap();
            storage.replace("a", Bytes::from_static(b"a")).await.unwrap();
            let now = storage.now().await.unwrap();
            storage.replace("b", Bytes::from_static(b"b")).await.unwrap();
            let files = storage.list().await.unwrap();
            let times: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.modified)).collect();
            let [("a", before), ("b", after)] = times[..] else { panic!("{times:?}") };
            assert!(before <= now && now <= after, "{before} {now} {after}");
        }
    }
}
