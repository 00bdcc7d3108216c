//! The decompressed values of a block: a byte for the encoding, one for the type, two for the
//! number of values, then the values. Values that can be decoded are encoded again, and must come
//! back.
#![no_main]

use atlas::{Codec, DType};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&[code, dtype, low, high], bytes)) = bytes.split_first_chunk::<4>() else { return };
    let dtype = DType::ALL[usize::from(dtype) % DType::ALL.len()];
    let count = usize::from(u16::from_le_bytes([low, high]));
    let Some(Ok(array)) = atlas::internals::decode_values(code % 8, dtype, bytes, count) else { return };
    assert_eq!((array.data_type(), array.len()), (&dtype.arrow(), count));
    let block = atlas::internals::encode_block(&array, dtype, Codec::Zstd).expect("it is small");
    let back = atlas::internals::decode_block(&block.into(), dtype, array.len()).expect("it was encoded");
    if dtype.is_float() {
        // Compared bit by bit, because NaN does not equal itself.
        let bits = |array: &arrow::array::ArrayRef| array.to_data().buffers()[0].as_slice().to_vec();
        assert_eq!(bits(&back), bits(&array));
    } else {
        assert_eq!(&back, &array);
    }
});
