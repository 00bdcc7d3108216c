//! Segments: writing them as chunks arrive.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use bytes::Bytes;
use object_store::buffered::BufWriter;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;

use crate::encoding::checksum::crc32c;
use crate::encoding::codec::Codec;
use crate::error::{Error, Result};
use crate::format::VERSION;
use crate::format::block;
use crate::format::catalog::SegmentEntry;
use crate::format::index::{self, BlockEntry, ChunkEntry, ChunkTable};
use crate::format::trailer::{self, Trailer};
use crate::model::dtype::DType;
use crate::model::statistics::Statistics;
use crate::storage::files::Storage;

/// The size of a full block: bytes of values before encoding.
const BLOCK_BYTES: usize = 1024 * 1024;

/// The number of bytes that are buffered before a segment is uploaded in parts: the least part size
/// of S3.
const PART_BYTES: usize = 5 * 1024 * 1024;

/// The number of blocks of a segment that are encoded at a time.
const ENCODERS: usize = 4;

/// A block that is being encoded on another thread.
type Encoded = JoinHandle<Result<Vec<u8>, String>>;

/// The name of a segment's file, and its directory if that does not have the variable's name.
pub(crate) struct SegmentFile {
    pub(crate) directory: Option<String>,
    pub(crate) name: String,
}

/// Writes one segment: takes chunks, and writes blocks as they fill.
pub(crate) struct SegmentWriter {
    storage: Storage,
    file: String,
    directory: Option<String>,
    path: String,
    /// The number that is subtracted from ordinals of datasets.
    first: u32,
    dtype: DType,
    codec: Codec,
    /// `None` once the file is being completed. It then accepts no more bytes.
    sink: Option<BufWriter>,
    /// The chunks of the block that is being filled, with the ordinals of their datasets in the
    /// index and their coordinates.
    filling: Vec<(u32, Vec<u32>, ArrayRef)>,
    filling_cells: usize,
    filling_bytes: usize,
    /// Blocks being encoded, in their order in the file, with their numbers of cells.
    encoding: VecDeque<(u32, Encoded)>,
    /// The number of blocks written or being encoded.
    started: u32,
    blocks: Vec<BlockEntry>,
    offset: u64,
    chunks: ChunkTable,
}

impl SegmentWriter {
    /// A segment of a variable, for chunks of datasets whose ordinals are at least `first`. Its
    /// entry contains `first`, and its index contains ordinals minus `first`.
    pub(crate) fn new(
        storage: &Storage,
        variable: &str,
        file: SegmentFile,
        dtype: DType,
        codec: Codec,
        first: u32,
    ) -> Self {
        let SegmentFile { directory, name: file } = file;
        let path = format!("{}/{file}", directory.as_deref().unwrap_or(variable));
        let sink = BufWriter::with_capacity(Arc::clone(storage.objects()), storage.path(&path), PART_BYTES)
            .with_max_concurrency(2);
        Self {
            storage: storage.clone(),
            file,
            directory,
            path,
            first,
            dtype,
            codec,
            sink: Some(sink),
            filling: Vec::new(),
            filling_cells: 0,
            filling_bytes: 0,
            encoding: VecDeque::new(),
            started: 0,
            blocks: Vec::new(),
            offset: 0,
            chunks: ChunkTable::new(dtype),
        }
    }

    /// Adds a chunk: its cells in row-major order, missing ones null.
    pub(crate) async fn append(&mut self, dataset: u32, coordinate: Vec<u32>, cells: ArrayRef) -> Result<()> {
        let dataset = self.relative(dataset)?;
        let bytes = value_bytes(&cells, self.dtype);
        if self.filling_bytes > 0 && self.filling_bytes + bytes > BLOCK_BYTES {
            self.seal().await?;
        }
        let offset = cell_number(self.filling_cells);
        let entry = offset.and_then(|offset| {
            let statistics = Statistics::of(&cells, self.dtype);
            self.chunks.push(ChunkEntry {
                dataset,
                chunk: Some(coordinate.clone()),
                block: self.started,
                offset,
                statistics,
            })
        });
        entry.map_err(|reason| self.failed(reason))?;
        self.filling_cells += cells.len();
        self.filling_bytes += bytes;
        self.filling.push((dataset, coordinate, cells));
        if self.filling_bytes >= BLOCK_BYTES { self.seal().await } else { Ok(()) }
    }

    /// The cells of a chunk, if they are still in memory.
    pub(crate) fn peek(&self, dataset: u32, coordinate: &[u32]) -> Option<ArrayRef> {
        let dataset = dataset.checked_sub(self.first)?;
        let found = self.filling.iter().rev().find(|(of, at, _)| *of == dataset && at == coordinate);
        found.map(|(.., cells)| Arc::clone(cells))
    }

    /// Closes the block that is being filled, and writes those that are encoded by now.
    async fn seal(&mut self) -> Result<()> {
        let count = cell_number(self.filling_cells).map_err(|reason| self.failed(reason))?;
        let cells = std::mem::take(&mut self.filling);
        self.filling_cells = 0;
        self.filling_bytes = 0;
        let (dtype, codec) = (self.dtype, self.codec);
        // One array takes a fraction of the memory of many small chunks.
        let parts: Vec<&dyn Array> = cells.iter().map(|(.., cells)| cells.as_ref()).collect();
        let joined = arrow::compute::concat(&parts).map_err(|e| self.failed(e.to_string()))?;
        drop(cells);
        let task = tokio::task::spawn_blocking(move || block::encode(&joined, dtype, codec));
        self.started += 1;
        self.encoding.push_back((count, task));
        while self.encoding.len() > ENCODERS {
            self.write_next().await?;
        }
        Ok(())
    }

    async fn write_next(&mut self) -> Result<()> {
        let Some((cells, task)) = self.encoding.pop_front() else { return Ok(()) };
        // Nothing of `self` is borrowed across the await, because a sink cannot be shared between
        // threads.
        let encoded = task.await;
        let block = encoded.map_err(|e| self.failed(e.to_string()))?;
        let too_large = |reason| Error::TooLarge { of: format!("a chunk of {}", self.path), reason };
        let block = block.map_err(too_large)?;
        let length = u32::try_from(block.len()).map_err(|e| too_large(e.to_string()))?;
        self.blocks.push(BlockEntry { offset: self.offset, length, cells });
        self.write(block).await
    }

    async fn write(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.offset += bytes.len() as u64;
        let Some(sink) = &mut self.sink else { return Err(Error::Poisoned) };
        sink.put(Bytes::from(bytes)).await.map_err(|e| self.storage.failed(&self.path, e))
    }

    /// Adds the row that deletes the chunks of a dataset in earlier segments.
    pub(crate) fn delete(&mut self, dataset: u32) -> Result<()> {
        let (dataset, statistics) = (self.relative(dataset)?, Statistics::default());
        let entry = ChunkEntry { dataset, chunk: None, block: 0, offset: 0, statistics };
        self.chunks.push(entry).map_err(|reason| self.failed(reason))
    }

    /// Drops the chunks of a dataset that were added so far.
    pub(crate) fn forget(&mut self, dataset: u32) {
        // A dataset before the first one has no chunks here.
        if let Some(dataset) = dataset.checked_sub(self.first) {
            self.chunks.forget(dataset);
        }
    }

    /// The ordinal of a dataset as stored in the index.
    fn relative(&self, dataset: u32) -> Result<u32> {
        dataset
            .checked_sub(self.first)
            .ok_or_else(|| self.failed(format!("dataset {dataset} lies before its first, {}", self.first)))
    }

    fn failed(&self, reason: String) -> Error {
        Error::internal(&self.path, reason)
    }

    /// Writes the remaining data. The file exists when this returns. `None`, and no file, if there
    /// is nothing to store.
    pub(crate) async fn finish(&mut self) -> Result<Option<SegmentEntry>> {
        if !self.filling.is_empty() {
            self.seal().await?;
        }
        while !self.encoding.is_empty() {
            self.write_next().await?;
        }
        let Some((index, entry)) = self.index()? else {
            self.abort().await;
            return Ok(None);
        };
        self.write(index).await?;
        let Some(mut sink) = self.sink.take() else { return Err(Error::Poisoned) };
        sink.shutdown().await.map_err(|e| {
            let source = e
                .downcast()
                .unwrap_or_else(|e| object_store::Error::Generic { store: "atlas", source: Box::new(e) });
            self.storage.failed(&self.path, source)
        })?;
        Ok(Some(entry))
    }

    /// The index with its trailer, and the segment's entry in the catalog; `None` if no chunk
    /// counts. The table of chunks, which is large if chunks are small, is dropped here.
    fn index(&mut self) -> Result<Option<(Vec<u8>, SegmentEntry)>> {
        let chunks = std::mem::replace(&mut self.chunks, ChunkTable::new(self.dtype));
        let corrupt = |reason| Error::corrupt(&self.path, reason);
        let chunks = chunks.finish().map_err(|e| corrupt(e.to_string()))?;
        if chunks.num_rows() == 0 {
            return Ok(None);
        }
        let (count, cells, missing) = index::totals(&chunks).map_err(corrupt)?;
        let raw = index::encode(&self.blocks, &chunks).map_err(corrupt)?;
        let (index_codec, mut index) = Codec::Zstd.compress_parts(&raw);
        let trailer = Trailer {
            index_offset: self.offset,
            index_length: index.len() as u64,
            index_raw_length: raw.len() as u64,
            index_codec,
            index_checksum: crc32c(&[&index]),
            version: u16::try_from(VERSION).map_err(|e| corrupt(e.to_string()))?,
            dtype: self.dtype,
        };
        let entry = SegmentEntry {
            file: self.file.clone(),
            directory: self.directory.clone(),
            dtype: self.dtype,
            size: self.offset + (index.len() + trailer::LENGTH) as u64,
            index: self.offset,
            chunks: count,
            cells,
            missing,
            first: self.first,
        };
        index.extend(trailer.encode());
        Ok(Some((index, entry)))
    }

    /// Aborts the segment. A file that cannot be removed is not named by any catalog.
    pub(crate) async fn abort(&mut self) {
        self.encoding.clear();
        if let Some(mut sink) = self.sink.take() {
            let _ = sink.abort().await;
        }
    }
}

/// The size of the values of `cells` before encoding.
fn value_bytes(cells: &ArrayRef, dtype: DType) -> usize {
    match dtype {
        DType::String => cells.as_string_view().lengths().map(|length| length as usize + 4).sum(),
        DType::Binary => cells.as_binary_view().lengths().map(|length| length as usize + 4).sum(),
        fixed => cells.len() * fixed.memory_width(),
    }
}

/// The number of a cell in a block.
fn cell_number(cells: usize) -> Result<u32, String> {
    u32::try_from(cells).map_err(|_| format!("a block would have {cells} cells, which is too many"))
}
