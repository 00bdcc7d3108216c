//! The record of a commit whose checksum is right.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = atlas::internals::decode_record(bytes);
});
