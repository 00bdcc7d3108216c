//! The index of a segment, as it is once its checksum was found right and its compression undone: a byte for the type,
//! eight for the offset, the index.
#![no_main]

use atlas::DType;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&[dtype, offset @ ..], index)) = bytes.split_first_chunk::<9>() else { return };
    let dtype = DType::ALL[usize::from(dtype) % DType::ALL.len()];
    let _ = atlas::internals::decode_index(dtype, index, u64::from_le_bytes(offset));
});
