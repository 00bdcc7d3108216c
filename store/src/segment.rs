//! Segments: writing them as chunks arrive, opening them, reading blocks.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use bytes::Bytes;
use object_store::buffered::BufWriter;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;

use crate::catalog::SegmentEntry;
use crate::checksum::crc32c;
use crate::format::VERSION;
use crate::format::block;
use crate::format::index::{self, BlockEntry, ChunkEntry, ChunkTable, Index};
use crate::format::trailer::{self, Trailer};
use crate::storage::{ReadMetrics, Storage};
use crate::{Codec, DType, Error, Result, Statistics};

/// Bytes of values, before encoding, that a block is filled to.
const BLOCK_BYTES: usize = 1024 * 1024;

/// Bytes held back before a segment's writing goes on in parts; S3's least size of a part.
const PART_BYTES: usize = 5 * 1024 * 1024;

/// Blocks of a segment that are encoded at one time.
const ENCODERS: usize = 4;

/// A segment of a catalog, opened.
#[derive(Debug)]
pub(crate) struct Segment {
    /// By which the cache knows its blocks.
    pub number: u64,
    /// The path of its file in the store.
    pub file: String,
    pub entry: SegmentEntry,
    pub index: Index,
}

impl Segment {
    /// Reads the index: one request.
    pub(crate) async fn open(
        storage: &Storage,
        number: u64,
        variable: &str,
        entry: &SegmentEntry,
        metrics: &ReadMetrics,
    ) -> Result<Self> {
        let file = entry.path(variable);
        let corrupt = |reason: String| Error::corrupt(&file, reason);
        let length =
            entry.size.checked_sub(entry.index).and_then(|tail| tail.checked_sub(trailer::LENGTH as u64));
        let length = length.ok_or_else(|| corrupt("the catalog says that it has no index".to_owned()))?;
        let tail = storage.get_range(&file, entry.size, entry.index..entry.size, metrics).await?;
        let (stored, trailer) =
            tail.split_last_chunk().ok_or_else(|| corrupt("it is too short".to_owned()))?;
        let trailer = Trailer::decode(trailer).map_err(corrupt)?;
        if u32::from(trailer.version) != VERSION {
            let found = u32::from(trailer.version);
            return Err(Error::Version { file, found, supported: VERSION });
        }
        if (trailer.index_offset, trailer.index_length, trailer.dtype) != (entry.index, length, entry.dtype) {
            return Err(corrupt("it is not the file that the catalog means".to_owned()));
        }
        let (expected, found) = (trailer.index_checksum, crc32c(&[stored]));
        if expected != found {
            let reason = format!("its index has checksum {found:08x} where {expected:08x} was expected");
            return Err(corrupt(reason));
        }
        if trailer.index_raw_length > index::MAX_BYTES {
            return Err(corrupt(format!("its index takes {} bytes", trailer.index_raw_length)));
        }
        let index =
            block::decompress(trailer.index_codec, tail.slice(..stored.len()), trailer.index_raw_length)
                .and_then(|index| Index::decode(entry.dtype, &index, entry.index))
                .map_err(|reason| corrupt(format!("in its index, {reason}")))?;
        let (expected, found) = ((entry.chunks, entry.cells, entry.missing), index::totals(index.table()));
        if expected != found {
            let counts =
                |(chunks, cells, missing)| format!("{chunks} chunks, {cells} cells, {missing} missing");
            return Err(corrupt(format!(
                "its index has {} where the catalog says {}",
                counts(found),
                counts(expected)
            )));
        }
        Ok(Self { number, entry: entry.clone(), index, file })
    }

    /// Bytes in memory.
    pub(crate) fn memory(&self) -> usize {
        self.index.memory() + size_of::<Self>()
    }

    /// Reads blocks, given by number, each once, and decodes the wanted cells of each. What is to be kept for long
    /// (`keep`) does not hold on to what was read beside it.
    pub(crate) async fn blocks(
        &self,
        storage: &Storage,
        wanted: &[(usize, Range<usize>)],
        keep: bool,
        metrics: &ReadMetrics,
    ) -> Result<Vec<ArrayRef>> {
        let entries: Vec<_> =
            wanted.iter().filter_map(|(number, _)| self.index.blocks.get(*number)).collect();
        let ranges: Vec<_> =
            entries.iter().map(|entry| entry.offset..entry.offset + u64::from(entry.length)).collect();
        let bytes = storage.get_ranges(&self.file, self.entry.size, &ranges, metrics).await?;
        let decode = |(((number, cells), entry), bytes): ((&(usize, Range<usize>), &&BlockEntry), &Bytes)| {
            let apart = keep && wanted.len() > 1 && block::is_used_in_place(bytes);
            let bytes = if apart { &Bytes::copy_from_slice(bytes) } else { bytes };
            block::decode(bytes, self.entry.dtype, entry.cells as usize, cells.clone())
                .map_err(|reason| Error::corrupt(&self.file, format!("block {number}: {reason}")))
        };
        wanted.iter().zip(&entries).zip(&bytes).map(decode).collect()
    }
}

/// A block that is being encoded on another thread.
type Encoded = JoinHandle<Result<Vec<u8>, String>>;

/// Writes one segment: chunks in, blocks out as they fill.
pub(crate) struct SegmentWriter {
    storage: Storage,
    file: String,
    directory: Option<String>,
    path: String,
    dtype: DType,
    codec: Codec,
    /// `None` once it was asked to complete the file, after which it takes no more orders.
    sink: Option<BufWriter>,
    /// Chunks of the block being filled.
    filling: Vec<ArrayRef>,
    filling_cells: usize,
    filling_bytes: usize,
    /// Blocks being encoded, in their order in the file, with their numbers of cells.
    encoding: VecDeque<(u32, Encoded)>,
    /// Blocks written or being encoded.
    started: u32,
    blocks: Vec<BlockEntry>,
    offset: u64,
    chunks: ChunkTable,
}

impl SegmentWriter {
    pub(crate) fn new(storage: &Storage, variable: &str, file: String, dtype: DType, codec: Codec) -> Self {
        let directory = SegmentEntry::directory_of(variable);
        let path = format!("{}/{file}", directory.as_deref().unwrap_or(variable));
        let sink = BufWriter::with_capacity(Arc::clone(storage.objects()), storage.path(&path), PART_BYTES)
            .with_max_concurrency(2);
        Self {
            storage: storage.clone(),
            file,
            directory,
            path,
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
        let bytes = value_bytes(&cells, self.dtype);
        if self.filling_bytes > 0 && self.filling_bytes + bytes > BLOCK_BYTES {
            self.seal().await?;
        }
        self.chunks.push(ChunkEntry {
            dataset,
            chunk: Some(coordinate),
            block: self.started,
            offset: u32::try_from(self.filling_cells).unwrap_or(u32::MAX),
            statistics: Statistics::of(&cells, self.dtype),
        });
        self.filling_cells += cells.len();
        self.filling_bytes += bytes;
        self.filling.push(cells);
        if self.filling_bytes >= BLOCK_BYTES { self.seal().await } else { Ok(()) }
    }

    /// Ends the block being filled, and writes those that are encoded by now.
    async fn seal(&mut self) -> Result<()> {
        let cells = std::mem::take(&mut self.filling);
        let count = u32::try_from(std::mem::take(&mut self.filling_cells)).unwrap_or(u32::MAX);
        self.filling_bytes = 0;
        let (dtype, codec) = (self.dtype, self.codec);
        let task = tokio::task::spawn_blocking(move || {
            let cells: Vec<&dyn Array> = cells.iter().map(AsRef::as_ref).collect();
            let cells = arrow::compute::concat(&cells).map_err(|e| e.to_string())?;
            block::encode(&cells, dtype, codec)
        });
        self.started += 1;
        self.encoding.push_back((count, task));
        while self.encoding.len() > ENCODERS {
            self.write_next().await?;
        }
        Ok(())
    }

    async fn write_next(&mut self) -> Result<()> {
        let Some((cells, task)) = self.encoding.pop_front() else { return Ok(()) };
        let failed = |reason: String| Error::Storage {
            file: self.path.clone(),
            source: object_store::Error::Generic { store: "atlas", source: reason.into() },
        };
        let block = task.await.map_err(|e| failed(e.to_string()))?.map_err(failed)?;
        let length = u32::try_from(block.len()).map_err(|e| failed(e.to_string()))?;
        self.blocks.push(BlockEntry { offset: self.offset, length, cells });
        self.write(block).await
    }

    async fn write(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.offset += bytes.len() as u64;
        let Some(sink) = &mut self.sink else { return Err(Error::Poisoned) };
        sink.put(Bytes::from(bytes)).await.map_err(|e| self.storage.failed(&self.path, e))
    }

    /// Adds the row that deletes what earlier segments have of a dataset.
    pub(crate) fn delete(&mut self, dataset: u32) {
        let statistics = Statistics::default();
        self.chunks.push(ChunkEntry { dataset, chunk: None, block: 0, offset: 0, statistics });
    }

    /// Leaves out the chunks that were added of a dataset so far.
    pub(crate) fn forget(&mut self, dataset: u32) {
        self.chunks.forget(dataset);
    }

    /// Writes what is left: the file is there when this returns. `None` where there is nothing to keep, and so no file.
    pub(crate) async fn finish(&mut self) -> Result<Option<SegmentEntry>> {
        if !self.filling.is_empty() {
            self.seal().await?;
        }
        while !self.encoding.is_empty() {
            self.write_next().await?;
        }
        let chunks = std::mem::replace(&mut self.chunks, ChunkTable::new(self.dtype));
        let corrupt = |reason| Error::corrupt(&self.path, reason);
        let chunks = chunks.finish().map_err(|e| corrupt(e.to_string()))?;
        if chunks.num_rows() == 0 {
            self.abort().await;
            return Ok(None);
        }
        let raw = index::encode(&self.blocks, &chunks).map_err(corrupt)?;
        let (index_codec, index) = Codec::Zstd.compress(&raw);
        let (count, cells, missing) = index::totals(&chunks);
        let entry = SegmentEntry {
            file: self.file.clone(),
            directory: self.directory.clone(),
            dtype: self.dtype,
            size: self.offset + (index.len() + trailer::LENGTH) as u64,
            index: self.offset,
            chunks: count,
            cells,
            missing,
        };
        let trailer = Trailer {
            index_offset: self.offset,
            index_length: index.len() as u64,
            index_raw_length: raw.len() as u64,
            index_codec,
            index_checksum: crc32c(&[&index]),
            version: u16::try_from(VERSION).unwrap_or(u16::MAX),
            dtype: self.dtype,
        };
        self.write(index.into_owned()).await?;
        self.write(trailer.encode()).await?;
        let Some(mut sink) = self.sink.take() else { return Err(Error::Poisoned) };
        sink.shutdown().await.map_err(|e| {
            let source = e
                .downcast()
                .unwrap_or_else(|e| object_store::Error::Generic { store: "atlas", source: Box::new(e) });
            self.storage.failed(&self.path, source)
        })?;
        Ok(Some(entry))
    }

    /// Gives up what was written so far. What cannot be removed is a file that no catalog names.
    pub(crate) async fn abort(&mut self) {
        self.encoding.clear();
        if let Some(mut sink) = self.sink.take() {
            let _ = sink.abort().await;
        }
    }
}

/// A number for the names of one writer's files, which no other has.
pub(crate) fn token() -> u64 {
    // The hasher's keys are random, and differ from one to the next.
    RandomState::new().hash_one(std::process::id())
}

/// The name of a segment in its variable's directory.
pub(crate) fn file_name(generation: u64, token: u64, dtype: DType) -> String {
    format!("data.{generation}-{token:016x}.{dtype}.af")
}

/// The bytes that the values of `cells` take before encoding.
fn value_bytes(cells: &ArrayRef, dtype: DType) -> usize {
    match dtype {
        DType::String => cells.as_string_view().lengths().map(|length| length as usize + 4).sum(),
        DType::Binary => cells.as_binary_view().lengths().map(|length| length as usize + 4).sum(),
        _ => cells.len() * dtype.width().unwrap_or(1),
    }
}
