//! General-purpose compression of encoded bytes.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::encoding::parts::Parts;
use crate::error::Error;

/// zstd's default level: a good ratio, and fast enough not to slow down imports.
#[cfg(feature = "zstd")]
const ZSTD_LEVEL: i32 = 3;

/// The compression of a store's blocks. A block is stored compressed only if that makes it smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// No compression.
    None,
    /// Zstandard, level 3. It needs the feature `zstd`.
    Zstd,
    /// LZ4 blocks: larger than with Zstandard, and faster. They need the feature `lz4`.
    Lz4,
}

/// The first of [`Zstd`](Codec::Zstd), [`Lz4`](Codec::Lz4) and [`None`](Codec::None) that this
/// program was built with.
impl Default for Codec {
    fn default() -> Self {
        [Self::Zstd, Self::Lz4].into_iter().find(|codec| codec.is_built()).unwrap_or(Self::None)
    }
}

impl Codec {
    /// Another name of [`None`](Self::None).
    #[allow(non_upper_case_globals)]
    pub const Uncompressed: Self = Self::None;

    /// True if this program was built with the feature that the codec needs.
    pub fn is_built(self) -> bool {
        match self {
            Self::None => true,
            Self::Zstd => cfg!(feature = "zstd"),
            Self::Lz4 => cfg!(feature = "lz4"),
        }
    }

    /// # Errors
    /// [`Error::Feature`] if this program cannot decompress bytes of `file` that have this codec.
    pub(crate) fn check_built(self, file: &str) -> Result<(), Error> {
        if self.is_built() {
            return Ok(());
        }
        Err(Error::Feature { file: file.to_owned(), feature: self.to_string() })
    }

    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [Self::None, Self::Zstd, Self::Lz4].get(usize::from(code)).copied()
    }

    /// `raw` compressed with this codec, and the codec used. The bytes stay uncompressed if
    /// compression does not pay or the codec is not built.
    pub(crate) fn compress(self, raw: &[u8]) -> (Self, Cow<'_, [u8]>) {
        let compressed = match self {
            Self::None => return (Self::None, Cow::Borrowed(raw)),
            // Compression into memory fails only if memory runs out; the bytes then stay
            // uncompressed.
            #[cfg(feature = "zstd")]
            Self::Zstd => zstd::bulk::compress(raw, ZSTD_LEVEL).ok(),
            #[cfg(feature = "lz4")]
            Self::Lz4 => Some(lz4_flex::block::compress(raw)),
            #[cfg(not(all(feature = "zstd", feature = "lz4")))]
            _ => None::<Vec<u8>>,
        };
        match compressed {
            Some(compressed) if self.price(compressed.len(), raw.len()) < raw.len() => {
                (self, Cow::Owned(compressed))
            }
            _ => (Self::None, Cow::Borrowed(raw)),
        }
    }

    /// Compresses the parts of `raw` as [`compress`](Self::compress) does. zstd compresses part by
    /// part, without the whole in memory.
    pub(crate) fn compress_parts(self, raw: &Parts) -> (Self, Vec<u8>) {
        #[cfg(feature = "zstd")]
        if self == Self::Zstd {
            if let Ok(compressed) = compress_zstd(raw)
                && self.price(compressed.len(), raw.len()) < raw.len()
            {
                return (self, compressed);
            }
            return (Self::None, raw.concat());
        }
        let raw = raw.concat();
        let (codec, compressed) = self.compress(&raw);
        let compressed = match compressed {
            Cow::Owned(compressed) => Some(compressed),
            Cow::Borrowed(_) => None,
        };
        (codec, compressed.unwrap_or(raw))
    }

    /// The cost of `raw` once it is compressed, if compression pays: its compressed size, plus the
    /// time of decompression, as the number of bytes that could be read in that time.
    pub(crate) fn cost(self, raw: &[u8]) -> usize {
        let (codec, bytes) = self.compress(raw);
        codec.price(bytes.len(), raw.len())
    }

    fn price(self, compressed: usize, raw: usize) -> usize {
        compressed
            + match self {
                Self::None => 0,
                Self::Zstd => raw / 10,
                Self::Lz4 => raw / 50,
            }
    }

    /// The greatest size that `length` compressed bytes can decompress to. It limits what hostile
    /// bytes can make a reader allocate.
    pub(crate) fn most(self, length: usize) -> usize {
        match self {
            Self::None => length,
            // A block of 128 KiB of one byte compresses to four bytes.
            Self::Zstd => length.saturating_mul(128 * 1024 / 4),
            Self::Lz4 => length.saturating_mul(255),
        }
    }

    /// Replaces the content of `raw` with the `length` bytes that `bytes` were compressed from.
    pub(crate) fn decompress(self, bytes: &[u8], length: usize, raw: &mut Vec<u8>) -> Result<(), String> {
        raw.clear();
        raw.try_reserve_exact(length).map_err(|e| format!("no memory for {length} bytes: {e}"))?;
        match self {
            Self::None => raw.extend_from_slice(bytes),
            #[cfg(feature = "zstd")]
            Self::Zstd => {
                // Decompress into memory that need not be cleared first.
                decompress_zstd(bytes, raw).map_err(|e| format!("zstd: {e}"))?;
            }
            #[cfg(feature = "lz4")]
            Self::Lz4 => {
                raw.resize(length, 0);
                let found = lz4_flex::block::decompress_into(bytes, raw).map_err(|e| format!("lz4: {e}"))?;
                raw.truncate(found);
            }
            #[cfg(not(all(feature = "zstd", feature = "lz4")))]
            _ => return Err(format!("this program was built without the feature `{self}` of atlas-store")),
        }
        if raw.len() == length {
            return Ok(());
        }
        Err(format!("{} bytes where {length} were expected", raw.len()))
    }
}

#[cfg(feature = "zstd")]
fn compress_zstd(raw: &Parts) -> std::io::Result<Vec<u8>> {
    use std::io::Write;

    let mut encoder = zstd::stream::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
    // One-shot compression also records the size, from which readers know how much they will get.
    encoder.set_pledged_src_size(u64::try_from(raw.len()).ok())?;
    for part in raw.iter() {
        encoder.write_all(part)?;
    }
    encoder.finish()
}

/// Making a decompressor takes longer than reading a small block, so each thread keeps one.
#[cfg(feature = "zstd")]
fn decompress_zstd(bytes: &[u8], raw: &mut Vec<u8>) -> std::io::Result<usize> {
    use std::cell::RefCell;

    use zstd::bulk::Decompressor;

    thread_local! {
        static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(Decompressor::new()?),
        };
        decompressor.decompress_to_buffer(bytes, raw)
    })
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
        })
    }
}

impl FromStr for Codec {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::None, Self::Zstd, Self::Lz4]
            .into_iter()
            .find(|codec| codec.to_string() == name)
            .ok_or_else(|| format!("`{name}` is not a codec: choose zstd, lz4 or none"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_comes_back() {
        let repetitive = b"temperature".repeat(100);
        let random: Vec<u8> =
            (0..999u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
        for codec in [Codec::None, Codec::Zstd, Codec::Lz4] {
            for raw in [&repetitive, &random, &vec![]] {
                let (used, bytes) = codec.compress(raw);
                assert!(bytes.len() <= raw.len());
                let mut back = vec![7; 9];
                used.decompress(&bytes, raw.len(), &mut back).unwrap();
                assert_eq!(&back, raw);
                let parts: Parts = raw.chunks(100).map(arrow::buffer::Buffer::from).collect();
                let (used_for_parts, bytes) = codec.compress_parts(&parts);
                assert!(used_for_parts == used && bytes.len() <= raw.len());
                used.decompress(&bytes, raw.len(), &mut back).unwrap();
                assert_eq!(&back, raw);
            }
            assert_eq!(codec.to_string().parse(), Ok(codec));
            assert_eq!(Codec::from_code(codec.code()), Some(codec));
        }
    }

    #[test]
    fn a_wrong_length_is_an_error() {
        for codec in [Codec::None, Codec::Zstd, Codec::Lz4] {
            let (used, bytes) = codec.compress(&[7; 100]);
            for length in [0, 99, 101] {
                assert!(used.decompress(&bytes, length, &mut Vec::new()).is_err());
            }
        }
    }
}
