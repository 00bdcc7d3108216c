//! General-purpose compression of encoded bytes.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::encoding::parts::Parts;
use crate::error::Error;

/// zstd's own default: a good ratio at a rate that import does not notice.
#[cfg(feature = "zstd")]
const ZSTD_LEVEL: i32 = 3;

/// The compression of a store's blocks, kept only where it makes a block smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// No compression.
    None,
    /// Zstandard, level 3. It takes the feature `zstd`.
    Zstd,
    /// LZ4 blocks: larger, faster. It takes the feature `lz4`.
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

    /// True where this program was built with the feature that the codec takes.
    pub fn is_built(self) -> bool {
        match self {
            Self::None => true,
            Self::Zstd => cfg!(feature = "zstd"),
            Self::Lz4 => cfg!(feature = "lz4"),
        }
    }

    /// # Errors
    /// [`Error::Feature`] where bytes of `file` that have this codec cannot be decompressed.
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

    /// `raw` compressed with this codec, or as it is where that does not pay or the codec is not
    /// built; and the codec that was used.
    pub(crate) fn compress(self, raw: &[u8]) -> (Self, Cow<'_, [u8]>) {
        let compressed = match self {
            Self::None => return (Self::None, Cow::Borrowed(raw)),
            // Compression into memory fails only for want of it; the bytes are then kept as they
            // are.
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

    /// What `raw` has in several parts, compressed as [`compress`](Self::compress) does. zstd does
    /// so part by part, without the whole in memory.
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

    /// What `raw` costs when it is compressed where that pays: the bytes it takes, and the time to
    /// get them back in bytes that could be read in it.
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

    /// The bytes that `length` compressed ones can be at the most: what to allocate for hostile
    /// ones.
    pub(crate) fn most(self, length: usize) -> usize {
        match self {
            Self::None => length,
            // A block of 128 KiB of one byte takes four.
            Self::Zstd => length.saturating_mul(128 * 1024 / 4),
            Self::Lz4 => length.saturating_mul(255),
        }
    }

    /// Puts the `length` bytes that `bytes` were compressed from in place of what is in `raw`.
    pub(crate) fn decompress(self, bytes: &[u8], length: usize, raw: &mut Vec<u8>) -> Result<(), String> {
        raw.clear();
        raw.try_reserve_exact(length).map_err(|e| format!("no memory for {length} bytes: {e}"))?;
        match self {
            Self::None => raw.extend_from_slice(bytes),
            #[cfg(feature = "zstd")]
            Self::Zstd => {
                // Into memory that need not be cleared before.
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
    // As compressing it at once does, which tells readers what they will get.
    encoder.set_pledged_src_size(u64::try_from(raw.len()).ok())?;
    for part in raw.iter() {
        encoder.write_all(part)?;
    }
    encoder.finish()
}

/// A decompressor takes longer to make than a small block to read: each thread keeps one.
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
