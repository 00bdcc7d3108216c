//! Access for this crate's benches and fuzzers only. Any version may change it.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::buffer::Buffer;
use bytes::Bytes;

use crate::encoding::codec::Codec;
use crate::encoding::{self, Encoding};
use crate::error::Error;
use crate::format::block;
use crate::format::catalog::{Catalog, Root};
use crate::format::index::Index;
use crate::format::manifest;
use crate::format::record::{Recorded, Written};
use crate::format::trailer::{self, Trailer};
use crate::model::dtype::DType;

/// Cells as a block.
pub fn encode_block(cells: &ArrayRef, dtype: DType, codec: Codec) -> Result<Vec<u8>, String> {
    block::encode(cells, dtype, codec)
}

/// The cells of a block.
pub fn decode_block(block: &Bytes, dtype: DType, cells: usize) -> Result<ArrayRef, String> {
    block::decode(block, dtype, cells, 0..cells)
}

/// How a block is encoded and compressed.
pub fn describe_block(block: &[u8]) -> String {
    let encoding = block.get(5).copied().and_then(Encoding::from_code);
    let codec = block.get(6).copied().and_then(Codec::from_code);
    match (encoding, codec) {
        (Some(encoding), Some(Codec::None)) => format!("{encoding:?}").to_lowercase(),
        (Some(encoding), Some(codec)) => format!("{encoding:?}, {codec}").to_lowercase(),
        _ => "unknown".to_owned(),
    }
}

/// Corrects the checksum of a block, so that a fuzzer gets past it.
pub fn seal_block(block: &mut [u8]) {
    let Some((header, payload)) = block.split_first_chunk_mut::<{ block::HEADER_LENGTH }>() else { return };
    let Some((head, checksum)) = header.split_last_chunk_mut::<4>() else { return };
    *checksum = encoding::checksum::crc32c(&[head, payload]).to_le_bytes();
}

/// `count` values in the encoding with this code; `None` if there is no such encoding.
pub fn decode_values(code: u8, dtype: DType, bytes: &[u8], count: usize) -> Option<Result<ArrayRef, String>> {
    let encoding = Encoding::from_code(code)?;
    Some(encoding::decode(encoding, dtype, &Buffer::from(bytes), count, None, 0..count))
}

/// The number of rows of an index.
pub fn decode_index(dtype: DType, bytes: &[u8], offset: u64) -> Result<usize, String> {
    let index = Index::decode(dtype, &Buffer::from(bytes), offset, 0)?;
    for row in 0..index.len() {
        let _ = (index.statistics(row), index.find(index.rows(index.dataset(row)), index.coordinate(row)));
    }
    Ok(index.len())
}

/// True if the bytes are a trailer.
pub fn decode_trailer(bytes: &[u8]) -> bool {
    <&[u8; trailer::LENGTH]>::try_from(bytes).is_ok_and(|bytes| Trailer::decode(bytes).is_ok())
}

/// The number of datasets of a catalog, after its checksum is corrected.
pub fn decode_catalog(bytes: &[u8]) -> Result<usize, Error> {
    let (root, _) = Root::decode("fuzz", &Root::sealed(bytes))?;
    let catalog = Catalog::of(Arc::new(root), Vec::new()).map_err(|reason| Error::corrupt("fuzz", reason))?;
    for (_, dataset) in catalog.datasets() {
        for array in catalog.arrays(catalog.schema(dataset)) {
            let _ = catalog.shape(dataset, array);
        }
    }
    Ok(catalog.datasets().count())
}

/// The parts of a segment: its type, its blocks with their numbers of cells, and its index before
/// compression.
pub async fn parts(
    atlas: &crate::store::Atlas,
    variable: &str,
) -> crate::error::Result<Vec<(DType, Vec<(Vec<u8>, u32)>, Vec<u8>)>> {
    let snapshot = atlas.snapshot();
    let mut parts = Vec::new();
    for entry in snapshot.root().segments(variable) {
        let file = atlas.storage().get(&entry.path(variable)).await?;
        let segment = crate::read::segment::Segment::open(
            atlas.storage(),
            0,
            variable,
            entry,
            &crate::storage::requests::ReadMetrics::default(),
        )
        .await?;
        let block = |block: &crate::format::index::BlockEntry| {
            let start = usize::try_from(block.offset).unwrap_or(usize::MAX);
            let bytes = file.get(start..start.saturating_add(block.length as usize));
            (bytes.unwrap_or_default().to_vec(), block.cells)
        };
        let chunks = crate::format::index::encode(&segment.index.blocks, segment.index.table());
        parts.push((
            entry.dtype,
            segment.index.blocks.iter().map(block).collect(),
            chunks.unwrap_or_default().concat(),
        ));
    }
    Ok(parts)
}

/// The bytes of a store's catalog.
pub fn catalog(atlas: &crate::store::Atlas) -> Result<Vec<u8>, serde_json::Error> {
    atlas.snapshot().root().encode(None)
}

/// The rows of a store's root as a manifest, before compression.
pub fn manifest(atlas: &crate::store::Atlas) -> Result<Vec<u8>, String> {
    manifest::write(&atlas.snapshot().root().rows).map(|parts| parts.concat())
}

/// The number of rows of a manifest, before compression.
pub fn decode_manifest(bytes: &[u8]) -> Result<usize, String> {
    let rows = manifest::parse(&Buffer::from(bytes))?;
    for row in 0..rows.len() {
        let _ = (rows.find(rows.ordinal(row)), rows.name(row), rows.schema(row), rows.sizes(row));
        for key in rows.keys() {
            let _ = (rows.has(row, key), rows.attribute(row, key));
        }
    }
    Ok(rows.len())
}

/// The bytes of the record of a commit that wrote chunks.
pub fn record(atlas: &crate::store::Atlas) -> Result<Vec<u8>, serde_json::Error> {
    let mut written = Written::default();
    written.add(0, vec![1, 2]);
    written.add_all(1);
    let written = [("t".to_owned(), written)].into();
    let recorded =
        Recorded { added: (2, 3), changed: vec![0], deleted: vec![1], written, ..Recorded::default() };
    atlas.snapshot().root().encode(Some(&recorded))
}

/// The number of variables with written chunks in a record, after its checksum is corrected.
pub fn decode_record(bytes: &[u8]) -> Result<usize, Error> {
    let (_, recorded) = Root::decode("fuzz", &Root::sealed(bytes))?;
    Ok(recorded.map_or(0, |recorded| recorded.written.len()))
}
