//! Damages the seeds of the fuzzers at random. Every decoder must return a result or an error, and
//! must not allocate memory that a file merely claims to need. `ATLAS_SECONDS=60` sets the
//! duration. `fuzz/run`, with a nightly toolchain, searches better.

#![allow(clippy::unwrap_used, reason = "the helpers of a test")]

use std::path::Path;
use std::time::{Duration, Instant};

use atlas::{DType, internals};

/// Pseudo-random numbers, the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit.max(1)
    }

    /// Changes, removes or repeats some bytes of `seed`, or replaces them with the largest number.
    fn damage(&mut self, seed: &[u8], words: &[&[u8]]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..1 + self.below(4) {
            let at = self.below(bytes.len());
            match self.below(6) {
                0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << self.below(8)),
                1 => bytes.iter_mut().skip(at).take(8).for_each(|byte| *byte = 0xff),
                2 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = self.below(256) as u8),
                3 => bytes.truncate(at),
                4 => {
                    let part: Vec<u8> = bytes.iter().skip(at).take(self.below(64)).copied().collect();
                    bytes.splice(at..at, part);
                }
                _ => {
                    let word = words.get(self.below(words.len())).copied().unwrap_or(&[0, 0, 0, 0x10]);
                    let end = (at + word.len()).min(bytes.len());
                    bytes.splice(at..end, word.iter().copied());
                }
            }
        }
        bytes
    }
}

fn damaged(decoder: &str, words: &[&[u8]], mut decode: impl FnMut(&[u8])) {
    let seconds = std::env::var("ATLAS_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(3));
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(decoder);
    let mut seeds: Vec<_> = std::fs::read_dir(seeds).unwrap().map(|entry| entry.unwrap().path()).collect();
    seeds.sort();
    let seeds: Vec<_> = seeds.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    seeds.iter().for_each(|seed| decode(seed));
    while Instant::now() < until {
        let seed = &seeds[chance.below(seeds.len())];
        let bytes = chance.damage(seed, words);
        let since = Instant::now();
        decode(&bytes);
        assert!(since.elapsed() < Duration::from_secs(20), "{decoder} took {:?}", since.elapsed());
    }
}

#[test]
fn damaged_blocks() {
    damaged("block", &[], |bytes| {
        let Some((cells, block)) = bytes.split_first_chunk::<2>() else { return };
        let (cells, mut block) = (usize::from(u16::from_le_bytes(*cells)), block.to_vec());
        internals::seal_block(&mut block);
        let code = block.get(4).copied().unwrap_or_default();
        let dtype = DType::ALL.get(usize::from(code)).copied().unwrap_or(DType::F32);
        if let Ok(array) = internals::decode_block(&block.into(), dtype, cells) {
            assert_eq!((array.data_type(), array.len()), (&dtype.arrow(), cells));
        }
    });
}

#[test]
fn damaged_encodings() {
    damaged("encodings", &[], |bytes| {
        let Some((&[code, dtype, low, high], bytes)) = bytes.split_first_chunk::<4>() else { return };
        let dtype = DType::ALL[usize::from(dtype) % DType::ALL.len()];
        let count = usize::from(u16::from_le_bytes([low, high]));
        if let Some(Ok(array)) = internals::decode_values(code % 8, dtype, bytes, count) {
            assert_eq!((array.data_type(), array.len()), (&dtype.arrow(), count));
        }
    });
}

#[test]
fn damaged_indexes() {
    damaged("index", &[], |bytes| {
        let Some((&[dtype, offset @ ..], index)) = bytes.split_first_chunk::<9>() else { return };
        let dtype = DType::ALL[usize::from(dtype) % DType::ALL.len()];
        let _ = internals::decode_index(dtype, index, u64::from_le_bytes(offset));
    });
}

#[test]
fn damaged_catalogs() {
    let words: [&[u8]; 12] = [
        b"18446744073709551615",
        b"9223372036854775807",
        b"1e999",
        b"-1",
        b"0",
        b"null",
        b"[]",
        b"{}",
        b"\"..\"",
        b"[[[[[[[[",
        b"\"\\u0000\"",
        b",",
    ];
    damaged("catalog", &words, |bytes| {
        let _ = internals::decode_catalog(bytes);
    });
}

/// A few bytes that claim as many cells as a block can have, and more.
#[test]
fn claims_are_not_believed() {
    for dtype in DType::ALL {
        for cells in [u32::MAX as usize, 1 << 28, 1 << 20] {
            for encoding in 0..7u8 {
                let mut block = b"ATLB".to_vec();
                block.extend([dtype as u8, encoding, 0, 0]);
                for number in [cells as u32, cells as u32, 8, 8, 0, 0] {
                    block.extend(number.to_le_bytes());
                }
                block.extend([0; 8]);
                internals::seal_block(&mut block);
                if let Ok(array) = internals::decode_block(&block.into(), dtype, cells) {
                    // So few bytes can only encode one value that all cells equal.
                    assert!(encoding == 2 && cells <= 1 << 28, "{dtype} {encoding} {cells}");
                    assert!(array.get_array_memory_size() <= (1 << 28) + 4096);
                }
            }
        }
    }
}
