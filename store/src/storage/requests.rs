//! Reading parts of files, and counting the requests.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use object_store::{GetOptions, GetRange, GetResult, GetResultPayload, ObjectStoreExt};

use crate::error::{Error, Result};
use crate::storage::files::Storage;

/// Ranges of one file that are closer than this are read in one request.
const COALESCE: u64 = 1024 * 1024;

/// Counts of what reads took.
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

    /// The number of bytes that they returned.
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

impl Storage {
    /// The bytes of `range` of a file that must be `size` bytes long.
    #[cfg_attr(feature = "tracing", tracing::instrument(level = "trace", skip(self, size, metrics)))]
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
        let result = self.objects().get_opts(&self.path(file), options).await;
        let result: GetResult = match result {
            Ok(result) => result,
            Err(e) => return Err(self.unreadable(file, size, e).await),
        };
        if result.meta.size != size {
            return Err(Error::wrong_size(file, size, result.meta.size));
        }
        let bytes = bytes_of(result).await.map_err(|e| self.failed(file, e))?;
        metrics.count_request(bytes.len());
        if bytes.len() as u64 == length {
            Ok(bytes)
        } else {
            Err(Error::corrupt(file, format!("{} bytes came where {length} were asked for", bytes.len())))
        }
    }

    /// The bytes of `ranges` of a file that must be `size` bytes long, read in few requests.
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

    /// The error for a range that cannot be read: the file has become shorter, or the storage
    /// failed.
    async fn unreadable(&self, file: &str, size: u64, source: object_store::Error) -> Error {
        match self.objects().head(&self.path(file)).await {
            Ok(meta) if meta.size != size => Error::wrong_size(file, size, meta.size),
            _ => self.failed(file, source),
        }
    }
}

/// The bytes of an object. The bytes of a local file are read into uninitialized memory.
/// [`GetResult::bytes`] writes zeros first, which takes a twentieth of the time of reading.
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
