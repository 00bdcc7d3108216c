//! The filters of chunks in HDF5 datasets, as
//! [registered](https://github.com/HDFGroup/hdf5_plugins/blob/master/docs/RegisteredFilterPlugins.md).

use std::fmt;
use std::io::{Cursor, Read};

use hdf5_reader::FilterRegistry;
use hdf5_reader::error::Error;
use hdf5_reader::messages::filter_pipeline;

use super::objects::told;

const BZIP2: u16 = 307;
const LZF: u16 = 32000;
const ZSTD: u16 = 32015;
/// The filters of the HDF5 crate: deflate, shuffle, fletcher32, szip, nbit, scaleoffset, lz4.
const BUILT_IN: [u16; 7] = [1, 2, 3, 4, 5, 6, 32004];

/// Registered filters by number.
const NAMES: [(u16, &str); 36] = [
    (257, "hzip"),
    (258, "fpzip"),
    (305, "LZO"),
    (307, "bzip2"),
    (32000, "LZF"),
    (32001, "Blosc"),
    (32002, "MAFISC"),
    (32003, "Snappy"),
    (32004, "LZ4"),
    (32005, "APAX"),
    (32006, "CBF"),
    (32007, "JPEG-XR"),
    (32008, "bitshuffle"),
    (32009, "SPDP"),
    (32010, "LPC-Rice"),
    (32011, "CCSDS-123"),
    (32012, "JPEG-LS"),
    (32013, "ZFP"),
    (32014, "FPZip"),
    (32015, "Zstandard"),
    (32016, "B³D"),
    (32017, "SZ"),
    (32018, "FCIDECOMP"),
    (32019, "JPEG"),
    (32020, "VBZ"),
    (32021, "FAPEC"),
    (32022, "BitGroom"),
    (32023, "Granular BitRound"),
    (32024, "SZ3"),
    (32025, "Delta-Rice"),
    (32026, "Blosc2"),
    (32027, "FLAC"),
    (32028, "SPERR"),
    (32029, "TERSE/PROLIX"),
    (32030, "FFMPEG"),
    (32031, "JPEG 2000"),
];

/// Checks that all filters of a pipeline can be decoded.
pub(super) fn unknown_filter(message: &[u8]) -> Result<(), String> {
    let pipeline = filter_pipeline::parse(&mut hdf5_reader::io::Cursor::new(message), 8, 8, message.len());
    for filter in pipeline.map_err(told)?.filters {
        if BUILT_IN.contains(&filter.id) || [BZIP2, LZF, ZSTD].contains(&filter.id) {
            continue;
        }
        let known = NAMES.iter().find(|(id, _)| *id == filter.id).map(|(_, name)| (*name).to_owned());
        let named = known.or(filter.name.filter(|name| !name.is_empty()));
        let name = named.map_or_else(String::new, |name| format!("{name}, "));
        return Err(format!(
            "it is compressed with a filter that is not known here ({name}number {})",
            filter.id
        ));
    }
    Ok(())
}

/// The filters of the HDF5 crate, and those that it lacks. No chunk may have more than `largest`
/// bytes after a filter is decoded.
pub(super) fn registry(largest: usize) -> FilterRegistry {
    let mut registry = FilterRegistry::new();
    registry.register(
        ZSTD,
        Box::new(move |_, bytes, _| {
            let decoder = zstd::Decoder::with_buffer(Cursor::new(bytes)).map_err(|e| failed("zstd", &e))?;
            read_all("zstd", decoder, largest)
        }),
    );
    registry.register(
        BZIP2,
        Box::new(move |_, bytes, _| {
            read_all("bzip2", bzip2::read::MultiBzDecoder::new(Cursor::new(bytes)), largest)
        }),
    );
    registry.register(
        LZF,
        Box::new(move |_, bytes, _| {
            lzf(bytes, largest).ok_or_else(|| failed("lzf", &"the data are damaged"))
        }),
    );
    registry
}

fn failed(filter: &str, error: &dyn fmt::Display) -> Error {
    Error::DecompressionError(format!("{filter}: {error}"))
}

fn read_all(filter: &str, decoder: impl Read, largest: usize) -> Result<Vec<u8>, Error> {
    let mut decoded = Vec::new();
    let read = decoder.take(largest as u64 + 1).read_to_end(&mut decoded).map_err(|e| failed(filter, &e))?;
    if read > largest { Err(failed(filter, &"a chunk is too large to be true")) } else { Ok(decoded) }
}

/// Decodes LZF, which consists of runs of literal bytes, and references to earlier bytes.
fn lzf(mut bytes: &[u8], largest: usize) -> Option<Vec<u8>> {
    let mut decoded: Vec<u8> = Vec::new();
    while let Some((&control, rest)) = bytes.split_first() {
        bytes = rest;
        if control < 32 {
            let (run, rest) = bytes.split_at_checked(usize::from(control) + 1)?;
            decoded.extend_from_slice(run);
            bytes = rest;
        } else {
            let mut length = usize::from(control >> 5);
            if length == 7 {
                let (&more, rest) = bytes.split_first()?;
                length += usize::from(more);
                bytes = rest;
            }
            let (&low, rest) = bytes.split_first()?;
            bytes = rest;
            let distance = (usize::from(control & 31) << 8 | usize::from(low)) + 1;
            let start = decoded.len().checked_sub(distance)?;
            for at in start..start + length + 2 {
                decoded.push(*decoded.get(at)?);
            }
        }
        if decoded.len() > largest {
            return None;
        }
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline(id: u16, name: &[u8]) -> Vec<u8> {
        let mut bytes = vec![2, 1];
        bytes.extend(id.to_le_bytes());
        bytes.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        bytes.extend([0, 0, 0, 0]);
        bytes.extend(name);
        bytes
    }

    #[test]
    fn unknown_filters_are_named() {
        let reason = |id, name: &[u8]| unknown_filter(&pipeline(id, name)).unwrap_err();
        assert!(reason(32001, b"x").contains("(Blosc, number 32001)"));
        assert!(reason(4321, b"mine").contains("(mine, number 4321)"));
        assert!(reason(4321, b"").contains("(number 4321)"));
        for id in [BZIP2, LZF, ZSTD, 32004] {
            assert_eq!(unknown_filter(&pipeline(id, b"")), Ok(()));
        }
    }

    #[test]
    fn lzf_is_undone() {
        // Two literals, then seven bytes that repeat them, as liblzf writes "ababababa".
        assert_eq!(lzf(&[1, b'a', b'b', 0b1010_0000, 1], 100).unwrap(), b"ababababa");
        assert_eq!(lzf(&[0, b'a', 0b1110_0000, 3, 0], 100).unwrap(), vec![b'a'; 13]);
        for damaged in
            [&[0b0010_0000][..], &[3, 1], &[0, b'a', 0b0010_0000, 9], &[0, b'a', 0b1110_0000, 255, 0]]
        {
            assert_eq!(lzf(damaged, 100), None);
        }
    }
}
