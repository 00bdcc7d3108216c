//! The decompressed index of a segment: a byte for the type, eight for the offset, then the index.
#![no_main]

use atlas::DType;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&[dtype, offset @ ..], index)) = bytes.split_first_chunk::<9>() else { return };
    let dtype = DType::ALL[usize::from(dtype) % DType::ALL.len()];
    let _ = atlas::internals::decode_index(dtype, index, u64::from_le_bytes(offset));
});
