//! Objects under a prefix of an object store, and the address by which people know them.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Component, Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::StreamExt;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, GetResult, GetResultPayload, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload,
};
use url::Url;

use crate::error::{Error, Result};
use crate::storage::durability::{Disk, Durability, kind};
use crate::storage::names::{RECORDS, token};
use crate::storage::remote::{self, PATIENCE, Patience};

/// Ranges of one file that lie closer than this are read as one.
const COALESCE: u64 = 1024 * 1024;

/// What reading took.
#[derive(Debug, Default)]
pub struct ReadMetrics {
    requests: AtomicU64,
    bytes: AtomicU64,
    chunks: AtomicU64,
}

impl ReadMetrics {
    /// The number of requests to the object storage.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The number of bytes that they brought.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The number of chunks decoded.
    pub fn chunks(&self) -> u64 {
        self.chunks.load(Ordering::Relaxed)
    }

    pub(crate) fn count_request(&self, bytes: usize) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_chunks(&self, chunks: usize) {
        self.chunks.fetch_add(chunks as u64, Ordering::Relaxed);
    }
}

/// Where a store lies: an object store, a prefix in it, and the URL of the object store.
#[derive(Clone)]
pub struct Storage {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    root: Url,
    durability: Option<Arc<dyn Durability>>,
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
    /// When it was written last.
    pub modified: DateTime<Utc>,
}

impl Storage {
    /// The objects under `prefix` of `objects`. The store is told from others by the object store's own
    /// address: two of them at the same address are taken to be the same.
    pub fn new(objects: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        static OTHERS: AtomicU64 = AtomicU64::new(0);
        let number = OTHERS.fetch_add(1, Ordering::Relaxed);
        let root = unnamed_root(number);
        Self { objects, prefix, root, durability: None }
    }

    /// The same, with files that are durable only once `durability` has made them so.
    pub fn with_durability(self, durability: Arc<dyn Durability>) -> Self {
        Self { durability: Some(durability), ..self }
    }

    /// A directory, which need not exist.
    pub fn local(path: impl AsRef<FilePath>) -> Result<Self> {
        let path = path.as_ref();
        let failed = |reason: String| Error::Location { location: path.display().to_string(), reason };
        let absolute = std::path::absolute(path).map_err(|e| failed(e.to_string()))?;
        let there = absolute.ancestors().find_map(|path| Some((path, path.metadata().ok()?)));
        if let Some((there, kind)) = there.and_then(|(path, known)| Some((path, kind(&known, false)?))) {
            return Err(failed(if there == absolute {
                format!("it is {kind}, not a directory")
            } else {
                format!("{} is {kind}, not a directory", there.display())
            }));
        }
        let absolute = resolve(&absolute);
        let prefix = Path::from_absolute_path(&absolute).map_err(|e| failed(e.to_string()))?;
        let root = Url::parse("file:///").map_err(|e| failed(e.to_string()))?;
        let objects = Arc::new(LocalFileSystem::new());
        let durability: Arc<dyn Durability> = Arc::new(Disk::new(Arc::clone(&objects)));
        Ok(Self { objects, prefix, root, durability: Some(durability) })
    }

    /// The place that a URL names (`file`, `memory`, `s3`, `gs`, `az`, `http` and their like); or a
    /// local path, where it is not a URL.
    ///
    /// Credentials and settings come from the variables of the environment that [`object_store`]
    /// documents for the provider: those that start with `AWS_` for `s3`, with `GOOGLE_` (and
    /// `SERVICE_ACCOUNT`) for `gs`, with `AZURE_` (and `IDENTITY_ENDPOINT`) for `az`, and none for
    /// `http`. Others are not read. Who has other settings makes an object store of them, and calls
    /// [`new`](Self::new).
    ///
    /// A connection may take 5 seconds, a request without a body 10 until it is answered, and any
    /// request 30 until all of its answer is there (`AWS_CONNECT_TIMEOUT` and `AWS_TIMEOUT` change
    /// the first and the last). Requests that fail in a way that may pass are repeated up to ten
    /// times, as long as the first was begun less than 15 seconds ago.
    ///
    /// # Errors
    /// [`Error::Location`] where the URL, the path or a variable cannot be used.
    pub fn at(location: &str) -> Result<Self> {
        let url = match Url::parse(location) {
            // One letter is a drive of Windows rather than a scheme.
            Ok(url) if url.scheme().len() > 1 => url,
            _ => return Self::local(location),
        };
        // What talks to the storage would show them in its errors.
        if url.password().is_some() {
            return Err(unusable(&url, "it has a password in it: give credentials in the environment"));
        }
        if url.scheme() == "file" {
            let path = url.to_file_path().map_err(|()| unusable(&url, "it is not an absolute path"))?;
            return Self::local(path);
        }
        if url.scheme() == "memory" {
            static MEMORY: OnceLock<Arc<InMemory>> = OnceLock::new();
            let prefix = Path::from_url_path(url.path()).map_err(|e| unusable(&url, &e.to_string()))?;
            let objects = Arc::clone(MEMORY.get_or_init(Arc::default));
            return Ok(Self { objects, prefix, root: root_of(&url), durability: None });
        }
        Self::remote(&url, std::env::vars_os(), PATIENCE)
    }

    /// A place on the network, with the settings that `environment` has for its provider.
    pub(crate) fn remote(
        url: &Url,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        patience: Patience,
    ) -> Result<Self> {
        let (objects, prefix) =
            remote::open(url, environment, patience).map_err(|reason| unusable(url, &reason))?;
        Ok(Self { objects, prefix, root: root_of(url), durability: None })
    }

    /// The object store.
    pub fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }

    /// The URL of the object store, under which an engine may know it.
    pub fn root(&self) -> &Url {
        &self.root
    }

    /// The path of one of the store's files in the object store.
    pub fn path(&self, file: &str) -> Path {
        file.split('/').fold(self.prefix.clone(), |path, part| path.join(part))
    }

    pub(crate) async fn get(&self, file: &str) -> Result<Bytes> {
        self.check_kind(file)?;
        let result = self.objects.get(&self.path(file)).await.map_err(|e| self.failed(file, e))?;
        result.bytes().await.map_err(|e| self.failed(file, e))
    }

    /// Refuses what would be read for ever, such as a pipe in the place of a file.
    fn check_kind(&self, file: &str) -> Result<()> {
        let kind = self.durability.as_ref().and_then(|durability| durability.kind(&self.path(file)));
        kind.map_or(Ok(()), |kind| Err(Error::corrupt(file, format!("it is {kind}, not a file"))))
    }

    pub(crate) async fn exists(&self, file: &str) -> Result<bool> {
        self.check_kind(file)?;
        // Servers do not say why there is no such object to who asks for its size only. The bytes
        // are not read.
        match self.objects.get(&self.path(file)).await {
            Ok(_) => Ok(true),
            Err(e) => match self.failed(file, e) {
                error if error.is_not_found() => Ok(false),
                error => Err(error),
            },
        }
    }

    /// The bytes of `range` of a file that must be `size` bytes long.
    pub(crate) async fn get_range(
        &self,
        file: &str,
        size: u64,
        range: Range<u64>,
        metrics: &ReadMetrics,
    ) -> Result<Bytes> {
        self.check_kind(file)?;
        let length = range.end - range.start;
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let result = self.objects.get_opts(&self.path(file), options).await;
        let result: GetResult = match result {
            Ok(result) => result,
            Err(e) => return Err(self.unreadable(file, size, e).await),
        };
        if result.meta.size != size {
            return Err(wrong_size(file, size, result.meta.size));
        }
        let bytes = bytes_of(result).await.map_err(|e| self.failed(file, e))?;
        metrics.count_request(bytes.len());
        if bytes.len() as u64 == length {
            Ok(bytes)
        } else {
            Err(Error::corrupt(file, format!("{} bytes came where {length} were asked for", bytes.len())))
        }
    }

    /// The bytes of `ranges` of a file that must be `size` bytes long, in as few requests as is sensible.
    pub(crate) async fn get_ranges(
        &self,
        file: &str,
        size: u64,
        ranges: &[Range<u64>],
        metrics: &ReadMetrics,
    ) -> Result<Vec<Bytes>> {
        object_store::coalesce_ranges(ranges, |range| self.get_range(file, size, range, metrics), COALESCE)
            .await
    }

    /// Writes a file, in the place of one that may be there, at once.
    pub(crate) async fn replace(&self, file: &str, bytes: Bytes) -> Result<()> {
        let path = self.path(file);
        let Some(durability) = &self.durability else {
            let put = self.objects.put(&path, PutPayload::from(bytes)).await;
            return put.map(drop).map_err(|e| self.failed(file, e));
        };
        // Bytes that are not durable must not be under the name when the power fails.
        let new = self.write_new(durability.as_ref(), bytes).await?;
        self.objects.rename(&new, &path).await.map_err(|e| self.failed(file, e))?;
        durability.sync(&self.prefix, vec![path]).await.map_err(|e| self.failed(file, e))
    }

    /// Writes a file that must not exist. False where it does.
    pub(crate) async fn create(&self, file: &str, bytes: Bytes) -> Result<bool> {
        let path = self.path(file);
        let Some(durability) = &self.durability else {
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            let put = self.objects.put_opts(&path, PutPayload::from(bytes), options).await;
            return self.is_created(file, put.map(drop));
        };
        let new = self.write_new(durability.as_ref(), bytes).await?;
        let copied = self.objects.copy_if_not_exists(&new, &path).await;
        if copied.is_ok() {
            durability.sync(&self.prefix, vec![path]).await.map_err(|e| self.failed(file, e))?;
        }
        // What cannot be removed does no harm.
        let _ = self.objects.delete(&new).await;
        self.is_created(file, copied)
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

    /// Writes durable bytes under a name that nobody reads.
    async fn write_new(&self, durability: &dyn Durability, bytes: Bytes) -> Result<Path> {
        let file = format!("{RECORDS}/{:016x}.new", token());
        let path = self.path(&file);
        let written = async {
            self.objects.put(&path, PutPayload::from(bytes)).await?;
            durability.sync(&self.prefix, vec![path.clone()]).await
        };
        written.await.map_err(|e| self.failed(&file, e))?;
        Ok(path)
    }

    /// Makes files durable, where that takes more than to write them.
    pub(crate) async fn sync(&self, files: &[String]) -> Result<()> {
        let Some(durability) = &self.durability else { return Ok(()) };
        let paths = files.iter().map(|file| self.path(file)).collect();
        durability.sync(&self.prefix, paths).await.map_err(|e| self.failed("its segments", e))
    }

    /// Every file of the store, and what else lies under its prefix.
    pub(crate) async fn list(&self) -> Result<Vec<StoredFile>> {
        let mut listed = self.objects.list(Some(&self.prefix));
        let mut files = Vec::new();
        while let Some(meta) = listed.next().await {
            let meta = match meta {
                Ok(meta) => meta,
                // It went away while we looked.
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

    /// Files that the object store began to write and has not shown yet: a process that was killed leaves them.
    pub(crate) async fn staged(&self) -> Result<Vec<StoredFile>> {
        match &self.durability {
            Some(durability) => {
                let staged = durability.staged(&self.prefix).await;
                staged.map_err(|e| self.failed("the list of its files", e))
            }
            None => Ok(Vec::new()),
        }
    }

    /// Removes a listed or staged file, which may be gone already.
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

    pub(crate) async fn delete(&self, file: &str) -> Result<()> {
        self.objects.delete(&self.path(file)).await.map_err(|e| self.failed(file, e))
    }

    pub(crate) fn failed(&self, file: &str, source: object_store::Error) -> Error {
        let file = file.to_owned();
        if matches!(source, object_store::Error::NotFound { .. }) && remote::lacks_bucket(&source) {
            return Error::NoBucket { location: self.to_string(), bucket: self.root.authority().to_owned() };
        }
        if remote::lacks_credentials(&source) {
            return Error::NoCredentials { location: self.to_string(), source };
        }
        Error::Storage { file, source }
    }

    /// Why a range could not be read: because the file is shorter than it was, or as the storage says.
    async fn unreadable(&self, file: &str, size: u64, source: object_store::Error) -> Error {
        match self.objects.head(&self.path(file)).await {
            Ok(meta) if meta.size != size => wrong_size(file, size, meta.size),
            _ => self.failed(file, source),
        }
    }
}

/// An absolute path without links and `..`, which have no meaning in an object's path. What does not exist yet is taken
/// by its words.
fn resolve(path: &FilePath) -> PathBuf {
    let existing = path.ancestors().find_map(|ancestor| Some((ancestor, ancestor.canonicalize().ok()?)));
    let Some((ancestor, mut resolved)) = existing else { return path.to_owned() };
    for part in path.strip_prefix(ancestor).unwrap_or(path).components() {
        match part {
            Component::ParentDir => {
                resolved.pop();
            }
            Component::Normal(name) => resolved.push(name),
            _ => {}
        }
    }
    resolved
}

/// The bytes of an object. Those of a local file are read without writing zeros first where they are to be, as
/// [`GetResult::bytes`] does: a twentieth of what it takes to read them.
async fn bytes_of(result: GetResult) -> object_store::Result<Bytes> {
    let GetResultPayload::File(file, _) = result.payload else { return result.bytes().await };
    let read = move || {
        let (mut file, range) = (file, result.range);
        let length = range.end - range.start;
        let mut bytes = Vec::with_capacity(usize::try_from(length).map_err(io::Error::other)?);
        file.seek(SeekFrom::Start(range.start))?;
        file.take(length).read_to_end(&mut bytes)?;
        Ok(Bytes::from(bytes))
    };
    let read: io::Result<_> = tokio::task::spawn_blocking(read).await?;
    read.map_err(|e| object_store::Error::Generic { store: "LocalFileSystem", source: Box::new(e) })
}

fn wrong_size(file: &str, expected: u64, found: u64) -> Error {
    Error::corrupt(file, format!("it is {found} bytes long where the catalog says {expected}"))
}

#[allow(clippy::expect_used)]
fn unnamed_root(number: u64) -> Url {
    Url::parse(&format!("atlas-{number}://store")).expect("the address is well formed")
}

/// The URL of the object store of a URL.
fn root_of(url: &Url) -> Url {
    let mut root = url.clone();
    root.set_path("");
    root.set_query(None);
    root.set_fragment(None);
    let _ = root.set_username("");
    let _ = root.set_password(None);
    root
}

/// Errors of libraries repeat the address, which may have credentials in it.
fn unusable(url: &Url, reason: &str) -> Error {
    let location = without_credentials(url);
    Error::Location { reason: reason.replace(url.as_str(), &location), location }
}

fn without_credentials(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.to_string()
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.root.scheme() == "file" {
            write!(f, "/{}", self.prefix)
        } else {
            write!(f, "{}://{}/{}", self.root.scheme(), self.root.authority(), self.prefix)
        }
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Storage({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_shows_no_credentials() {
        let storage = Storage::at("memory://user@host/a/b?key=secret").unwrap();
        assert_eq!(storage.to_string(), "memory://host/a/b");
        for scheme in ["memory", "https", "gopher"] {
            let error = Storage::at(&format!("{scheme}://user:secret@host/a")).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn a_path_may_lead_up_and_need_not_exist() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("a")).unwrap();
        let at = |path: &str| Storage::local(root.join(path)).unwrap().to_string();
        assert_eq!(at("a/../new store/é"), root.join("new store/é").to_string_lossy());
        assert_eq!(at("b/../c/./d"), root.join("c/d").to_string_lossy());
        assert_eq!(at("a"), root.join("a").to_string_lossy());
        std::fs::write(root.join("file"), "").unwrap();
        assert!(Storage::local(root.join("file")).is_err());
    }

    #[test]
    fn a_path_is_local() {
        assert_eq!(Storage::at("/tmp/no such store").unwrap().to_string(), "/tmp/no such store");
        assert_eq!(Storage::at("file:///tmp/x").unwrap().to_string(), "/tmp/x");
    }
}
