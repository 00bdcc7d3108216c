//! Object stores that count requests, or fail after some.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

/// A request for bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The object.
    pub path: String,
    /// The byte range; `None` for the whole object or for its size.
    pub range: Option<Range<u64>>,
}

/// An object store that records reads, and fails after a number of operations.
#[derive(Debug)]
pub struct Watched {
    inner: Arc<dyn ObjectStore>,
    /// The delay of each answer.
    latency: Duration,
    requests: Mutex<Vec<Request>>,
    /// The number of operations until everything fails; negative for never.
    left: Arc<AtomicI64>,
}

impl Watched {
    /// Watches `inner`, and never fails.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Self::failing_after(inner, -1)
    }

    /// Watches `inner`, and fails every operation after the first `operations`.
    pub fn failing_after(inner: Arc<dyn ObjectStore>, operations: i64) -> Arc<Self> {
        let left = Arc::new(AtomicI64::new(operations));
        Arc::new(Self { inner, latency: Duration::ZERO, requests: Mutex::default(), left })
    }

    /// Watches `inner`, and delays every read.
    pub fn distant(inner: Arc<dyn ObjectStore>, latency: Duration) -> Arc<Self> {
        let left = Arc::new(AtomicI64::new(-1));
        Arc::new(Self { inner, latency, requests: Mutex::default(), left })
    }

    /// The reads since the last call.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The paths that were read since the last call, each once, sorted.
    pub fn take_paths(&self) -> Vec<String> {
        let mut paths: Vec<_> = self.take_requests().into_iter().map(|request| request.path).collect();
        paths.sort();
        paths.dedup();
        paths
    }
}

pub(crate) fn operate(left: &AtomicI64) -> Result<()> {
    let before = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| (left > 0).then(|| left - 1));
    match before {
        Err(0) => Err(Error::Generic { store: "watched", source: "the storage is gone".into() }),
        _ => Ok(()),
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watched({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Watched {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        operate(&self.left)?;
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        operate(&self.left)?;
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(WatchedUpload { inner, left: Arc::clone(&self.left) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        operate(&self.left)?;
        let range = match &options.range {
            Some(GetRange::Bounded(range)) => Some(range.clone()),
            _ => None,
        };
        let request = Request { path: location.to_string(), range };
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match operate(&self.left) {
            Ok(()) => self.inner.delete_stream(locations),
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        operate(&self.left)?;
        self.inner.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct WatchedUpload {
    inner: Box<dyn MultipartUpload>,
    left: Arc<AtomicI64>,
}

#[async_trait]
impl MultipartUpload for WatchedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        match operate(&self.left) {
            Ok(()) => self.inner.put_part(data),
            Err(error) => Box::pin(async move { Err(error) }),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        operate(&self.left)?;
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
