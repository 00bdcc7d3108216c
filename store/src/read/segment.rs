//! Segments: opening them, reading blocks.

use std::ops::Range;

use arrow::array::ArrayRef;
use bytes::Bytes;

use crate::encoding::checksum::crc32c;
use crate::error::{Error, Result};
use crate::format::VERSION;
use crate::format::block;
use crate::format::catalog::SegmentEntry;
use crate::format::index::{self, BlockEntry, Index};
use crate::format::trailer::{self, Trailer};
use crate::storage::files::Storage;
use crate::storage::requests::ReadMetrics;

/// A segment of a catalog, opened.
#[derive(Debug)]
pub(crate) struct Segment {
    /// The number that identifies its blocks in the cache.
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
        trailer.index_codec.check_built(&file)?;
        let index =
            block::decompress(trailer.index_codec, tail.slice(..stored.len()), trailer.index_raw_length)
                .and_then(|index| Index::decode(entry.dtype, &index, entry.index, entry.first))
                .map_err(|reason| corrupt(format!("in its index, {reason}")))?;
        let expected = (entry.chunks, entry.cells, entry.missing);
        let found = index::totals(index.table()).map_err(corrupt)?;
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

    /// Where a block lies.
    pub(crate) fn block(&self, number: usize) -> Result<&BlockEntry> {
        let block = self.index.blocks.get(number);
        block.ok_or_else(|| Error::corrupt(&self.file, format!("it has no block {number}")))
    }

    /// Reads blocks, given by number, each once, and decodes the wanted cells of each. With `keep`,
    /// which is for data that stays long in memory, the cells do not hold on to the bytes read
    /// beside them.
    pub(crate) async fn blocks(
        &self,
        storage: &Storage,
        wanted: &[(usize, Range<usize>)],
        keep: bool,
        metrics: &ReadMetrics,
    ) -> Result<Vec<ArrayRef>> {
        let entries = wanted.iter().map(|(number, _)| self.block(*number));
        let entries: Vec<_> = entries.collect::<Result<_>>()?;
        let ranges: Vec<_> =
            entries.iter().map(|entry| entry.offset..entry.offset + u64::from(entry.length)).collect();
        let bytes = storage.get_ranges(&self.file, self.entry.size, &ranges, metrics).await?;
        let decode = |(((number, cells), entry), bytes): ((&(usize, Range<usize>), &&BlockEntry), &Bytes)| {
            let apart = keep && wanted.len() > 1 && block::is_used_in_place(bytes);
            let bytes = if apart { &Bytes::copy_from_slice(bytes) } else { bytes };
            block::codecs(bytes).try_for_each(|codec| codec.check_built(&self.file))?;
            block::decode(bytes, self.entry.dtype, entry.cells as usize, cells.clone())
                .map_err(|reason| Error::corrupt(&self.file, format!("block {number}: {reason}")))
        };
        wanted.iter().zip(&entries).zip(&bytes).map(decode).collect()
    }
}
