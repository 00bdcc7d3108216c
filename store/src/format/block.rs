//! Blocks: cells of one or several chunks, encoded and compressed together. The unit of I/O.

use std::borrow::Cow;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::filter;

use crate::encoding::{self, Encoding};
use crate::{Codec, DType};

/// The first bytes of a block, and so of a segment.
pub(crate) const MAGIC: [u8; 4] = *b"ATLB";

pub(crate) const HEADER_LENGTH: usize = 4 // magic
    + 1 // dtype
    + 1 // encoding
    + 1 // codec
    + 1 // validity
    + 4 // cells
    + 4 // values
    + 4; // raw length of the payload

pub(crate) const CHECKSUM_LENGTH: usize = 4;

/// Cells of a block, at the most: of one chunk of the largest size, of the narrowest type.
pub(crate) const MAX_CELLS: usize = crate::schema::MAX_CHUNK_BYTES;

/// Bytes of a block before compression, at the most.
const MAX_RAW_LENGTH: usize = 1 << 30;

/// Which cells of a block are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Validity {
    /// None: the payload is the values alone.
    AllPresent = 0,
    /// Those whose bit is 0 in a bitmap before the values, least significant bit first.
    Bitmap = 1,
}

/// `cells`, whose Arrow type is that of `dtype`, as a block.
///
/// # Errors
/// Where the cells, or the bytes of their values, are too many for one block.
pub(crate) fn encode(cells: &ArrayRef, dtype: DType, codec: Codec) -> Result<Vec<u8>, String> {
    let (validity, bitmap, values) = match cells.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => (Validity::AllPresent, Vec::new(), Cow::Borrowed(cells)),
        Some(nulls) => {
            let present = arrow::array::BooleanArray::new(nulls.inner().clone(), None);
            let values = filter(cells, &present).map_err(|e| e.to_string())?;
            (Validity::Bitmap, bitmap(nulls), Cow::Owned(values))
        }
    };
    let (encoding, encoded) = encoding::encode(values.as_ref(), dtype, codec);
    let payload = if bitmap.is_empty() { encoded } else { [bitmap, encoded].concat() };
    let (cells, raw_length) = match (u32::try_from(cells.len()), u32::try_from(payload.len())) {
        (Ok(cells), Ok(length)) if payload.len() <= MAX_RAW_LENGTH => (cells, length),
        _ => return Err(format!("{} bytes are too many for one chunk: make chunks smaller", payload.len())),
    };
    let values = u32::try_from(values.len()).unwrap_or(cells);
    let (codec, payload) = codec.compress(&payload);

    let mut block = Vec::with_capacity(HEADER_LENGTH + payload.len() + CHECKSUM_LENGTH);
    block.extend(MAGIC);
    block.extend([dtype.code(), encoding.code(), codec.code(), validity as u8]);
    block.extend(cells.to_le_bytes());
    block.extend(values.to_le_bytes());
    block.extend(raw_length.to_le_bytes());
    block.extend(payload.as_ref());
    block.extend(crc32c::crc32c(&block).to_le_bytes());
    Ok(block)
}

/// The inverse of [`encode`], for a block that the index says has `cells` cells of `dtype`.
pub(crate) fn decode(block: &[u8], dtype: DType, cells: usize) -> Result<ArrayRef, String> {
    let (content, checksum) = block.split_last_chunk::<CHECKSUM_LENGTH>().ok_or("it is too short")?;
    let (expected, found) = (u32::from_le_bytes(*checksum), crc32c::crc32c(content));
    if expected != found {
        return Err(format!("its checksum is {found:08x} where {expected:08x} was expected"));
    }
    let (header, payload) = content.split_first_chunk::<HEADER_LENGTH>().ok_or("it is too short")?;
    let [magic @ .., c0, c1, c2, c3, v0, v1, v2, v3, r0, r1, r2, r3] = *header;
    let [m0, m1, m2, m3, dtype_code, encoding, codec, validity] = magic;
    if [m0, m1, m2, m3] != MAGIC {
        return Err("it does not start as a block does".to_owned());
    }
    if dtype_code != dtype.code() {
        return Err(format!("its type has code {dtype_code} where {} was expected", dtype.code()));
    }
    let encoding =
        Encoding::from_code(encoding).ok_or_else(|| format!("its encoding {encoding} is unknown"))?;
    let codec = Codec::from_code(codec).ok_or_else(|| format!("its codec {codec} is unknown"))?;
    let found = u32::from_le_bytes([c0, c1, c2, c3]) as usize;
    let values = u32::from_le_bytes([v0, v1, v2, v3]) as usize;
    let raw_length = u32::from_le_bytes([r0, r1, r2, r3]) as usize;
    if found != cells || cells > MAX_CELLS || raw_length > MAX_RAW_LENGTH {
        return Err(format!("it has {found} cells where {cells} were expected"));
    }
    let bitmap_length = match validity {
        0 => 0,
        1 => cells.div_ceil(8),
        other => return Err(format!("its validity {other} is unknown")),
    };
    let encoded_length = raw_length.checked_sub(bitmap_length).ok_or("its payload is too short")?;
    if values > cells || encoding.length(dtype, values).is_some_and(|length| length != encoded_length) {
        return Err(format!("{values} values of {dtype} do not take {encoded_length} bytes"));
    }
    let mut raw = vec![0; raw_length];
    codec.decompress(payload, &mut raw)?;
    let (bitmap, encoded) = raw.split_at_checked(bitmap_length).ok_or("its payload is too short")?;
    let validity = (validity == Validity::Bitmap as u8)
        .then(|| NullBuffer::new(BooleanBuffer::new(Buffer::from(bitmap), 0, cells)));
    if validity.is_none() && values != cells {
        return Err(format!("{values} values for {cells} cells"));
    }
    encoding::decode(encoding, dtype, encoded, values, validity)
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
                let block = encode(&cells, dtype, Codec::Zstd).unwrap();
                assert_eq!(&decode(&block, dtype, cells.len()).unwrap(), &cells);
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
                assert!(decode(&damaged, dtype, cells.len()).is_err());
            }
            for end in 0..block.len() {
                assert!(decode(&block[..end], dtype, cells.len()).is_err());
            }
            assert!(decode(&block, dtype, cells.len() + 1).is_err());
        }
    }

    /// Sealed with a right checksum, a header that lies is still an error.
    #[test]
    fn lying_headers_are_refused() {
        for (cells, dtype) in examples() {
            let block = encode(&cells, dtype, Codec::None).unwrap();
            for byte in 0..HEADER_LENGTH {
                for value in [0, 1, 2, 127, 255] {
                    let mut lie = block[..block.len() - CHECKSUM_LENGTH].to_vec();
                    if lie[byte] == value {
                        continue;
                    }
                    lie[byte] = value;
                    lie.extend(crc32c::crc32c(&lie).to_le_bytes());
                    if let Ok(read) = decode(&lie, dtype, cells.len()) {
                        // Another encoding of as many bytes is no lie that can be told from the truth.
                        assert_eq!(read.len(), cells.len());
                        assert_eq!(byte, 5);
                    }
                }
            }
        }
    }
}
