//! A catalog with a correct checksum.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = atlas::internals::decode_catalog(bytes);
});
