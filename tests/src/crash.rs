//! A storage that loses power: what remains of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use atlas::Durability;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use crate::objects::operate;

/// The bytes of a file with one or several names, and whether they are on the disk.
#[derive(Debug)]
struct File {
    bytes: Bytes,
    synced: AtomicBool,
}

#[derive(Debug, Default)]
struct Names {
    /// As seen by running programs.
    live: BTreeMap<Path, Arc<File>>,
    /// As last synced.
    durable: BTreeMap<Path, Arc<File>>,
}

/// A storage that guarantees only what was synced, and that loses power after a number of
/// operations.
#[derive(Clone, Debug)]
pub struct Crashing {
    inner: Arc<InMemory>,
    names: Arc<Mutex<Names>>,
    left: Arc<AtomicI64>,
}

impl Crashing {
    /// Starts with the content of `objects`, all of it durable. After `operations`, everything
    /// fails.
    pub async fn after(objects: &InMemory, operations: i64) -> Self {
        let (inner, mut names) = (Arc::new(InMemory::new()), Names::default());
        let mut listed = objects.list(None);
        while let Some(Ok(meta)) = listed.next().await {
            let bytes = objects.get(&meta.location).await.expect("it is there");
            let bytes = bytes.bytes().await.expect("it is there");
            inner.put(&meta.location, bytes.clone().into()).await.expect("there is memory");
            let file = Arc::new(File { bytes, synced: AtomicBool::new(true) });
            names.live.insert(meta.location.clone(), Arc::clone(&file));
            names.durable.insert(meta.location, file);
        }
        Self { inner, names: Arc::new(Mutex::new(names)), left: Arc::new(AtomicI64::new(operations)) }
    }

    /// A possible state after the loss of power. Each name is in its old or its new state; bytes
    /// that were not synced are complete, truncated or missing. `chance` decides.
    pub async fn image(&self, mut chance: impl FnMut(usize) -> usize) -> Arc<InMemory> {
        let mut found = Vec::new();
        {
            let names = self.names();
            let all: BTreeSet<&Path> = names.live.keys().chain(names.durable.keys()).collect();
            for path in all {
                let states = [names.durable.get(path), names.live.get(path)];
                let Some(file) = states.get(chance(2)).copied().flatten() else { continue };
                let length = match file.synced.load(Ordering::SeqCst) {
                    true => file.bytes.len(),
                    false => [0, file.bytes.len() / 2, file.bytes.len()].get(chance(3)).copied().unwrap_or(0),
                };
                found.push((path.clone(), file.bytes.slice(..length)));
            }
        }
        let image = Arc::new(InMemory::new());
        for (path, bytes) in found {
            image.put(&path, bytes.into()).await.expect("there is memory");
        }
        image
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn written(&self, path: &Path) -> Result<()> {
        let bytes = self.inner.get(path).await?.bytes().await?;
        self.names().live.insert(path.clone(), Arc::new(File { bytes, synced: AtomicBool::new(false) }));
        Ok(())
    }
}

#[async_trait]
impl Durability for Crashing {
    async fn sync(&self, _prefix: &Path, objects: Vec<Path>) -> Result<()> {
        operate(&self.left)?;
        let mut names = self.names();
        for path in objects {
            if let Some(file) = names.live.get(&path).cloned() {
                file.synced.store(true, Ordering::SeqCst);
                names.durable.insert(path, file);
            }
        }
        Ok(())
    }
}

impl fmt::Display for Crashing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Crashing")
    }
}

#[async_trait]
impl ObjectStore for Crashing {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        operate(&self.left)?;
        let result = self.inner.put_opts(location, payload, options).await?;
        self.written(location).await?;
        Ok(result)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        operate(&self.left)?;
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(CrashingUpload { inner, crashing: self.clone(), location: location.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        operate(&self.left)?;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        if let Err(error) = operate(&self.left) {
            return futures::stream::iter([Err(error)]).boxed();
        }
        let names = Arc::clone(&self.names);
        let deleted = self.inner.delete_stream(locations);
        deleted
            .inspect(move |path| {
                if let Ok(path) = path {
                    names.lock().unwrap_or_else(PoisonError::into_inner).live.remove(path);
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        operate(&self.left)?;
        self.inner.copy_opts(from, to, options).await?;
        // Another name of the same file.
        let mut names = self.names();
        if let Some(file) = names.live.get(from).cloned() {
            names.live.insert(to.clone(), file);
        }
        Ok(())
    }
}

#[derive(Debug)]
struct CrashingUpload {
    inner: Box<dyn MultipartUpload>,
    crashing: Crashing,
    location: Path,
}

#[async_trait]
impl MultipartUpload for CrashingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        match operate(&self.crashing.left) {
            Ok(()) => self.inner.put_part(data),
            Err(error) => Box::pin(async move { Err(error) }),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        operate(&self.crashing.left)?;
        let result = self.inner.complete().await?;
        self.crashing.written(&self.location).await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
