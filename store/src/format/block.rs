//! Blocks: cells of one or several chunks, encoded and compressed together. The unit of I/O.

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::filter;
use bytes::Bytes;

use crate::encoding::checksum::crc32c;
use crate::encoding::codec::Codec;
use crate::encoding::{self, Encoding};
use crate::model::dtype::DType;

/// The first bytes of a block, and so of a segment.
pub(crate) const MAGIC: [u8; 4] = *b"ATLB";

pub(crate) const HEADER_LENGTH: usize = 4 // magic
    + 1 // dtype
    + 1 // encoding
    + 1 // codec
    + 1 // validity
    + 4 // cells
    + 4 // values
    + 4 // length of the encoded values
    + 4 // length of the stored values
    + 4 // length of the stored validity
    + 4; // checksum

/// The length of a block is a multiple of this, and so is its offset in the segment. Values are
/// thus aligned in memory as the processor requires.
pub(crate) const ALIGNMENT: usize = 8;

/// The greatest size of a block's cells in memory: one chunk of the largest size.
const MAX_BYTES: usize = crate::model::schema::MAX_CHUNK_BYTES;

/// The greatest size of a block's encoded values.
const MAX_ENCODED: usize = 1 << 30;

/// The greatest number of cells in a block.
pub(crate) fn max_cells(dtype: DType) -> usize {
    MAX_BYTES / dtype.memory_width()
}

/// The greatest size of the encoded values of some cells. No encoding is much longer than the raw
/// values; text may have any length.
fn max_encoded(dtype: DType, cells: usize) -> usize {
    const OVERHEAD: usize = 64 * 1024;
    match dtype.width() {
        Some(width) => (4 * width * cells).saturating_add(OVERHEAD),
        None => MAX_ENCODED,
    }
}

/// Encodes `cells`, whose Arrow type is that of `dtype`, as a block.
///
/// # Errors
/// If the cells, or the bytes of their values, are too many for one block.
pub(crate) fn encode(cells: &ArrayRef, dtype: DType, codec: Codec) -> Result<Vec<u8>, String> {
    let (bitmap, values) = match cells.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => (None, Cow::Borrowed(cells)),
        Some(nulls) => {
            let present = BooleanArray::new(nulls.inner().clone(), None);
            let values = filter(cells, &present).map_err(|e| e.to_string())?;
            (Some(bitmap(nulls)), Cow::Owned(values))
        }
    };
    let (encoding, encoded) = encoding::encode(&values, dtype, codec);
    let (values_codec, stored) = codec.compress(&encoded);
    let (bitmap_codec, bitmap) = match &bitmap {
        None => (None, Cow::default()),
        Some(bitmap) => {
            let (codec, bitmap) = codec.compress(bitmap);
            (Some(codec), bitmap)
        }
    };
    if cells.len() > max_cells(dtype) {
        return Err(format!("{} cells are too many for one chunk: make chunks smaller", cells.len()));
    }
    if encoded.len() > max_encoded(dtype, cells.len()) {
        return Err(format!("{} bytes are too many for one chunk: make chunks smaller", encoded.len()));
    }

    let mut block = Vec::with_capacity(HEADER_LENGTH + stored.len() + bitmap.len() + ALIGNMENT);
    block.extend(MAGIC);
    block.extend([dtype.code(), encoding.code(), values_codec.code(), validity_code(bitmap_codec)]);
    for number in [cells.len(), values.len(), encoded.len(), stored.len(), bitmap.len()] {
        block.extend(u32::try_from(number).map_err(|_| "too many cells for one chunk")?.to_le_bytes());
    }
    let padding = (stored.len() + bitmap.len()).next_multiple_of(ALIGNMENT) - stored.len() - bitmap.len();
    let padding = [0; ALIGNMENT].get(..padding).unwrap_or_default();
    let checksum = crc32c(&[&block, &stored, &bitmap, padding]);
    block.extend(checksum.to_le_bytes());
    block.extend(stored.as_ref());
    block.extend(bitmap.as_ref());
    block.extend(padding);
    Ok(block)
}

/// True if a block stores its values raw, so that the decoded values stay in the block's memory.
pub(crate) fn is_used_in_place(block: &[u8]) -> bool {
    matches!(block, [_, _, _, _, _, encoding, codec, validity, ..]
        if [*encoding, *codec, *validity] == [Encoding::Raw.code(), Codec::None.code(), 0])
}

/// The codecs that are needed to decode a block.
pub(crate) fn codecs(block: &[u8]) -> impl Iterator<Item = Codec> {
    let values = block.get(6).and_then(|&code| Codec::from_code(code));
    let validity = block.get(7).and_then(|&code| validity_codec(code).ok().flatten());
    values.into_iter().chain(validity)
}

/// The inverse of [`encode`], for a block that has `cells` cells of `dtype` according to the index:
/// decodes the wanted cells. Values that are stored raw stay in the memory of `block`.
pub(crate) fn decode(
    block: &Bytes,
    dtype: DType,
    cells: usize,
    wanted: Range<usize>,
) -> Result<ArrayRef, String> {
    let (header, payload) = block.split_first_chunk::<HEADER_LENGTH>().ok_or("it is too short")?;
    let [head @ .., s0, s1, s2, s3] = *header;
    let (expected, found) = (u32::from_le_bytes([s0, s1, s2, s3]), crc32c(&[&head, payload]));
    if expected != found {
        return Err(format!("its checksum is {found:08x} where {expected:08x} was expected"));
    }
    let (&[m0, m1, m2, m3, dtype_code, encoding, codec, validity], numbers) =
        head.split_first_chunk::<8>().ok_or("it is too short")?;
    if [m0, m1, m2, m3] != MAGIC {
        return Err("it does not start as a block does".to_owned());
    }
    if dtype_code != dtype.code() {
        return Err(format!("its type has code {dtype_code} where {} was expected", dtype.code()));
    }
    let encoding =
        Encoding::from_code(encoding).ok_or_else(|| format!("its encoding {encoding} is unknown"))?;
    let codec = Codec::from_code(codec).ok_or_else(|| format!("its codec {codec} is unknown"))?;
    let mut numbers = numbers.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes) as usize);
    let mut number = || numbers.next().unwrap_or_default();
    let (found, values, encoded, stored, bitmap) = (number(), number(), number(), number(), number());
    if found != cells || values > cells || cells > max_cells(dtype) {
        return Err(format!("it has {values} values and {found} cells where {cells} were expected"));
    }
    if stored.checked_add(bitmap).map(|length| length.next_multiple_of(ALIGNMENT)) != Some(payload.len()) {
        return Err(format!("it has {} bytes for {stored} and {bitmap}", payload.len()));
    }
    let payload = block.slice(HEADER_LENGTH..);
    if encoded > max_encoded(dtype, cells) {
        return Err(format!("its {values} values take {encoded} bytes"));
    }
    let stored_values = payload.slice(..stored);
    let validity = match validity_codec(validity)? {
        None if values != cells => return Err(format!("{values} values for {cells} cells")),
        None if bitmap != 0 => return Err("it has a bitmap that means nothing".to_owned()),
        None => None,
        Some(codec) => {
            let bitmap = decompress(codec, payload.slice(stored..stored + bitmap), cells.div_ceil(8) as u64)?;
            Some(NullBuffer::new(BooleanBuffer::new(bitmap, 0, cells)))
        }
    };
    let decode = |encoded: &Buffer| encoding::decode(encoding, dtype, encoded, values, validity, wanted);
    if codec == Codec::None || matches!(encoding, Encoding::Raw | Encoding::Dictionary) {
        return decode(&decompress(codec, stored_values, encoded as u64)?);
    }
    // These encodings do not refer to the bytes that they decode. The next block may reuse the
    // memory.
    let mut scratch = SCRATCH.take();
    inflate(codec, &stored_values, encoded as u64, &mut scratch)?;
    let encoded = Buffer::from_vec(scratch);
    let decoded = decode(&encoded);
    SCRATCH
        .set(encoded.into_vec().ok().filter(|scratch| scratch.capacity() <= MAX_SCRATCH).unwrap_or_default());
    decoded
}

/// The `length` bytes that `bytes` were compressed from; `bytes` themselves if they are
/// uncompressed.
pub(crate) fn decompress(codec: Codec, bytes: Bytes, length: u64) -> Result<Buffer, String> {
    if codec == Codec::None {
        return if bytes.len() as u64 == length {
            Ok(Buffer::from(bytes))
        } else {
            Err(format!("{} bytes where {length} were expected", bytes.len()))
        };
    }
    let mut raw = Vec::new();
    inflate(codec, &bytes, length, &mut raw)?;
    Ok(Buffer::from_vec(raw))
}

fn inflate(codec: Codec, bytes: &[u8], length: u64, raw: &mut Vec<u8>) -> Result<(), String> {
    let possible = usize::try_from(length).ok().filter(|&length| length <= codec.most(bytes.len()));
    let length = possible.ok_or_else(|| format!("{} bytes cannot have been {length} bytes", bytes.len()))?;
    codec.decompress(bytes, length, raw)
}

/// The most memory that a thread keeps for decompressing.
const MAX_SCRATCH: usize = 4 * 1024 * 1024;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// 0 if no cell is missing, otherwise 1 plus the code of the bitmap's codec.
fn validity_code(codec: Option<Codec>) -> u8 {
    codec.map_or(0, |codec| codec.code() + 1)
}

fn validity_codec(code: u8) -> Result<Option<Codec>, String> {
    let Some(code) = code.checked_sub(1) else { return Ok(None) };
    Codec::from_code(code).map(Some).ok_or_else(|| format!("its validity {} is unknown", code + 1))
}

/// The bits of `nulls` from its first cell on.
fn bitmap(nulls: &NullBuffer) -> Vec<u8> {
    let mut bytes = nulls.inner().sliced().to_vec();
    bytes.truncate(nulls.len().div_ceil(8));
    bytes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float32Array, StringViewArray};

    use super::*;

    fn examples() -> Vec<(ArrayRef, DType)> {
        let gaps = (0..100).map(|i| (i % 3 != 0).then_some(i as f32 * 0.5));
        vec![
            (Arc::new(Float32Array::from_iter(gaps)), DType::F32),
            (Arc::new(Float32Array::from(vec![None; 20])), DType::F32),
            (Arc::new(Float32Array::from(vec![1.5; 20])), DType::F32),
            (
                Arc::new(StringViewArray::from(vec![Some("a"), None, Some("longer than twelve")])),
                DType::String,
            ),
        ]
    }

    #[test]
    fn cells_come_back_and_a_slice_is_a_block_of_its_own() {
        for (cells, dtype) in examples() {
            for cells in [cells.clone(), cells.slice(1, 2)] {
                let block = Bytes::from(encode(&cells, dtype, Codec::Zstd).unwrap());
                assert_eq!(&decode(&block, dtype, cells.len(), 0..cells.len()).unwrap(), &cells);
                let last = cells.len() - 1..cells.len();
                assert_eq!(
                    &decode(&block, dtype, cells.len(), last).unwrap(),
                    &cells.slice(cells.len() - 1, 1)
                );
            }
        }
    }

    #[test]
    fn a_block_of_missing_cells_is_a_few_bytes() {
        let cells: ArrayRef = Arc::new(Float32Array::from(vec![None; 100_000]));
        assert!(encode(&cells, DType::F32, Codec::Zstd).unwrap().len() < 64);
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_noticed() {
        for (cells, dtype) in examples() {
            let block = encode(&cells, dtype, Codec::Zstd).unwrap();
            for bit in 0..block.len() * 8 {
                let mut damaged = block.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(decode(&damaged.into(), dtype, cells.len(), 0..cells.len()).is_err());
            }
            let block = Bytes::from(block);
            for end in 0..block.len() {
                assert!(decode(&block.slice(..end), dtype, cells.len(), 0..cells.len()).is_err());
            }
            assert!(decode(&block, dtype, cells.len() + 1, 0..1).is_err());
        }
    }

    /// A header with wrong content is an error even if its checksum is right.
    #[test]
    fn lying_headers_are_refused() {
        for (cells, dtype) in examples() {
            let block = encode(&cells, dtype, Codec::None).unwrap();
            for byte in 0..HEADER_LENGTH - 4 {
                for value in 0..=255 {
                    let mut lie = block.clone();
                    lie[byte] = value;
                    let (head, rest) = lie.split_at_mut(HEADER_LENGTH - 4);
                    let (checksum, payload) = rest.split_at_mut(4);
                    let sum = crc32c(&[head, payload]);
                    checksum.copy_from_slice(&sum.to_le_bytes());
                    if let Ok(read) = decode(&lie.into(), dtype, cells.len(), 0..cells.len()) {
                        // Another encoding, or another codec of no bytes, cannot be distinguished
                        // from the right one.
                        assert_eq!(read.len(), cells.len());
                        assert!([5, 6].contains(&byte) || value == block[byte], "{byte} {value}");
                    }
                }
            }
        }
    }
}
