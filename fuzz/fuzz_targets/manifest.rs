//! A manifest before compression.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = atlas::internals::decode_manifest(bytes);
});
