//! A block with a correct checksum: two bytes for the number of cells, then the block.
#![no_main]

use atlas::DType;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&cells, block)) = bytes.split_first_chunk::<2>() else { return };
    let (cells, mut block) = (usize::from(u16::from_le_bytes(cells)), block.to_vec());
    atlas::internals::seal_block(&mut block);
    let dtype = block.get(4).and_then(|&code| DType::ALL.get(usize::from(code))).copied().unwrap_or(DType::F32);
    if let Ok(array) = atlas::internals::decode_block(&block.into(), dtype, cells) {
        assert_eq!((array.data_type(), array.len()), (&dtype.arrow(), cells));
        let _ = atlas::Statistics::of(&array, dtype);
    }
});
