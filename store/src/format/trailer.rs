//! The trailer: the last bytes of a segment, which give the position of its index.

use crate::encoding::checksum::crc32c;
use crate::encoding::codec::Codec;
use crate::model::dtype::DType;

/// The last bytes of a segment.
pub(crate) const MAGIC: [u8; 8] = *b"ATLAS.AF";

pub(crate) const LENGTH: usize = 8 // index offset
    + 8 // index length, as stored
    + 8 // index length before compression
    + 4 // index checksum
    + 2 // version
    + 1 // dtype
    + 1 // codec of the index
    + 4 // checksum of the bytes before it
    + 8; // magic

const CHECKED: usize = LENGTH - 4 - MAGIC.len();

/// The position of a segment's index, and the type of the segment's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub index_offset: u64,
    /// The length of the index as stored.
    pub index_length: u64,
    /// The length of the index before compression.
    pub index_raw_length: u64,
    pub index_codec: Codec,
    pub index_checksum: u32,
    pub version: u16,
    pub dtype: DType,
}

impl Trailer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend(self.index_offset.to_le_bytes());
        bytes.extend(self.index_length.to_le_bytes());
        bytes.extend(self.index_raw_length.to_le_bytes());
        bytes.extend(self.index_checksum.to_le_bytes());
        bytes.extend(self.version.to_le_bytes());
        bytes.extend([self.dtype.code(), self.index_codec.code()]);
        bytes.extend(crc32c(&[&bytes]).to_le_bytes());
        bytes.extend(MAGIC);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; LENGTH]) -> Result<Self, String> {
        let (rest, magic) = bytes.split_last_chunk::<8>().ok_or("it is too short")?;
        if *magic != MAGIC {
            return Err("it does not end as a segment does".to_owned());
        }
        let (checked, checksum) = rest.split_last_chunk::<4>().ok_or("it is too short")?;
        let (expected, found) = (u32::from_le_bytes(*checksum), crc32c(&[checked]));
        if expected != found {
            return Err(format!("its trailer's checksum is {found:08x} where {expected:08x} was expected"));
        }
        let checked: &[u8; CHECKED] = checked.try_into().map_err(|_| "it is too short")?;
        let [o0, o1, o2, o3, o4, o5, o6, o7, rest @ ..] = *checked;
        let [l0, l1, l2, l3, l4, l5, l6, l7, rest @ ..] = rest;
        let [r0, r1, r2, r3, r4, r5, r6, r7, c0, c1, c2, c3, v0, v1, dtype, codec] = rest;
        Ok(Self {
            index_offset: u64::from_le_bytes([o0, o1, o2, o3, o4, o5, o6, o7]),
            index_length: u64::from_le_bytes([l0, l1, l2, l3, l4, l5, l6, l7]),
            index_raw_length: u64::from_le_bytes([r0, r1, r2, r3, r4, r5, r6, r7]),
            index_codec: Codec::from_code(codec).ok_or_else(|| format!("its codec {codec} is unknown"))?,
            index_checksum: u32::from_le_bytes([c0, c1, c2, c3]),
            version: u16::from_le_bytes([v0, v1]),
            dtype: DType::from_code(dtype).ok_or_else(|| format!("its type {dtype} is unknown"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailer_comes_back_and_every_flipped_bit_is_noticed() {
        let trailer = Trailer {
            index_offset: 1 << 40,
            index_length: 77,
            index_raw_length: 99,
            index_codec: Codec::Zstd,
            index_checksum: 0xdead_beef,
            version: 1,
            dtype: DType::Timestamp,
        };
        let bytes: [u8; LENGTH] = trailer.encode().try_into().unwrap();
        assert_eq!(Trailer::decode(&bytes), Ok(trailer));
        for bit in 0..LENGTH * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Trailer::decode(&damaged).is_err());
        }
    }
}
